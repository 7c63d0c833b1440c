/* SPDX-License-Identifier: MIT */
/* What elements would cost as places in a list, as residuals against others
 * before them, or in the context of those above them. */
#include <string.h>

#include "cost.h"
#include "elem.h"
#include "seen.h"
#include "mlseen.h"

#define SAMPLE 32512 /* elements looked at, about, in runs */
#define SLOTS 16384 /* by which their values are found */
#define RUN 256
#define LOOK 1024 /* elements by which more is worth a look */
#define NEW 4096 /* elements by which new values are judged */
#define LEARN 8 /* bits that it takes to learn how frequent a place is */
#define MORE 400 /* bits that a line costs until its residuals are known */
#define GRID_UP 64 /* values of the element above that are told apart */
#define GRID_SAMPLE 16384 /* elements of a grid looked at */
#define GRID_MANY 8192 /* elements */
#define GRID_LEARN 2 /* bits that it takes to learn of a pair; 1 of many */
#define GRID_GAIN 1000 /* part of all that it must gain */
#define FEW 64 /* elements of which nothing is known */
#define FEW_ALONE 16 /* elements that are as they are */

void ml_places_begin(struct ml_places *l)
{
	memset(l->head, 0, sizeof l->head);
	l->n = 0;
	l->next = 1;
}

static unsigned bucket(uint64_t value)
{
	return (unsigned)(value * UINT64_C(0x9e3779b97f4a7c15) >> 50);
}

static unsigned find(const struct ml_places *l, uint64_t value)
{
	unsigned i = l->head[bucket(value)];

	while (i && l->value[i] != value)
		i = l->chain[i];
	return i;
}

unsigned ml_places_add(struct ml_places *l, uint64_t value)
{
	uint16_t *at = &l->head[bucket(value)], *old;
	unsigned i = find(l, value);

	if (i)
		return i;
	i = l->next;
	if (l->n == ML_SEEN_MAX) { /* in place of the oldest */
		old = &l->head[bucket(l->value[i])];
		while (*old != i)
			old = &l->chain[*old];
		*old = l->chain[i];
	} else {
		l->n++;
	}
	l->value[i] = value;
	l->chain[i] = *at;
	*at = (uint16_t)i;
	l->next = i < ML_SEEN_MAX ? i + 1 : 1;
	return 0;
}

uint64_t ml_seen_size(unsigned type)
{
	const unsigned kind = ml_types[type].f[0].kind;

	return ml_elem_mask(ml_kind_bits(kind)) >> (ml_kind_ebits[kind] != 0);
}

/* A list as an estimate has it: a value is known by the slot of its hash, and
 * the trail is that of mlseen.h, of slots. */
struct sketch {
	const uint8_t *p;
	size_t step; /* between runs that are looked at */
	uint64_t size;
	unsigned w, slots; /* a power of 2 */
	unsigned last, ahead, behind, mirror;
	uint16_t at[SLOTS]; /* number of the last element, plus 1; 0: none */
	uint16_t next[SLOTS], back[SLOTS]; /* slots, plus 1 */
	uint16_t other[SLOTS]; /* times that it came and was not expected */
};

static void sketch_begin(struct sketch *s, unsigned type, const uint8_t *p,
	size_t n)
{
	s->p = p;
	s->step = n > 2 * SAMPLE ? n / SAMPLE : 1;
	s->size = ml_seen_size(type);
	s->w = ml_type_bytes(type);
	for (s->slots = 64; s->slots < SLOTS && s->slots < 2 * n;)
		s->slots *= 2;
	s->last = s->ahead = s->behind = s->mirror = 0;
	memset(s->at, 0, s->slots * sizeof *s->at);
	memset(s->next, 0, s->slots * sizeof *s->next);
	memset(s->back, 0, s->slots * sizeof *s->back);
	memset(s->other, 0, s->slots * sizeof *s->other);
}

/* Element number i of those that are looked at. */
static uint64_t sketch_elem(const struct sketch *s, size_t i)
{
	return ml_elem_load(s->p + (i / RUN * RUN * s->step + i % RUN) * s->w,
		s->w);
}

/* The slot of a value, plus 1. *was: it as it was last, if it is not new. */
static unsigned sketch_find(const struct sketch *s, uint64_t value,
	uint64_t *was, int *new)
{
	unsigned h = bucket(value), i;

	for (i = 0; i < 4; i++, h++) {
		h &= s->slots - 1;
		*new = !s->at[h];
		if (*new)
			return h + 1;
		*was = sketch_elem(s, s->at[h] - 1u);
		if ((*was & s->size) == value)
			return h + 1;
	}
	*new = 1; /* in place of another one */
	return h;
}

/* Element number i, in slot h, is as expected. */
static int sketch_go(struct sketch *s, size_t i, unsigned h, int new)
{
	const unsigned v = new ? 0 : h;
	const int right = v == (s->mirror ? s->behind : s->ahead);

	if (!right)
		s->mirror = v && v == s->behind ? 1 : v == s->ahead ? 0 :
			s->mirror;
	if (new)
		s->next[h - 1] = s->back[h - 1] = 0;
	s->ahead = s->next[h - 1];
	s->behind = s->back[h - 1];
	if (s->last)
		s->next[s->last - 1] = (uint16_t)h;
	s->back[h - 1] = (uint16_t)s->last;
	s->last = h;
	s->at[h - 1] = (uint16_t)(i + 1);
	return right;
}

/* Entropy of the places that were not expected, with so many new values. */
static uint64_t sketch_entropy(const struct sketch *s, uint32_t fresh)
{
	uint64_t bits, total = fresh;
	unsigned i;

	for (i = 0; i < s->slots; i++)
		total += s->other[i];
	bits = fresh ? fresh * (uint64_t)(ml_log2(total) - ml_log2(fresh)) : 0;
	for (i = 0; i < s->slots; i++)
		if (s->other[i])
			bits += s->other[i] * (uint64_t)(ml_log2(total) -
				ml_log2(s->other[i]));
	return bits >> 8;
}

/* Elements as places, from what the list is at first, if there is one.
 * UINT64_MAX: hardly any came before. */
static uint64_t list_cost(const struct ml_places *l, unsigned type,
	const uint8_t *p, size_t n)
{
	uint32_t rights[2][2] = { { 0 } }, flips[2][2] = { { 0 } };
	uint32_t unlike = 0, fresh = 0; /* of these unexpected; all new */
	unsigned right = 0, flip = 0, h, used = 0;
	const size_t looks = n > 2 * SAMPLE ? SAMPLE / RUN * RUN : n;
	uint8_t first[NEW * 8];
	uint64_t bits, each, x, was = 0;
	struct sketch s;
	size_t seen;
	int new;

	sketch_begin(&s, type, p, n);
	for (seen = 0; seen < looks; seen++) {
		if (seen % RUN == 0 && seen >= LOOK && fresh > seen / 8 * 7)
			return UINT64_MAX;
		x = sketch_elem(&s, seen);
		h = sketch_find(&s, x & s.size, &was, &new);
		if (new && l && find(l, x & s.size)) {
			was = x;
			new = 0;
		}
		if (new && fresh < NEW)
			ml_elem_store(first + fresh * s.w, s.w, x);
		fresh += (uint32_t)new;
		new = sketch_go(&s, seen, h, new) ? 2 | new : new;
		rights[right][new >> 1]++;
		right = (unsigned)new >> 1;
		unlike += new == 1;
		if (!new && !s.other[h - 1]++)
			used++;
		if (!(new & 1)) {
			flips[flip][(x ^ was) > s.size]++;
			flip = (x ^ was) > s.size;
		}
	}
	if (!seen)
		return UINT64_MAX;
	bits = ml_entropy(rights[0], 2) + ml_entropy(rights[1], 2) +
		ml_entropy(flips[0], 2) + ml_entropy(flips[1], 2) +
		sketch_entropy(&s, unlike);
	x = fresh < NEW ? fresh : NEW;
	each = x ? ml_cost_unseen(type, first, x) : 0;
	each = (x ? each * fresh / x : 0) + used * LEARN;
	/* A small list is complete, a large one goes on to grow. */
	if (fresh < seen / 16)
		return bits / seen * n + bits % seen * n / seen + each;
	bits += each;
	return bits / seen * n + bits % seen * n / seen;
}

static uint64_t line_cost(unsigned type, const uint8_t *p, size_t n,
	uint32_t back, uint64_t each)
{
	const size_t w = ml_type_bytes(type);
	size_t at, m;

	if (!back || n <= back + (uint64_t)FEW)
		return UINT64_MAX;
	at = n / 2 > back ? n / 2 : back;
	m = n - at < LOOK ? n - at : LOOK;
	if (m < n - back && ml_cost_diff(type, p + (at - back) * w, p + at * w,
		m) > ml_cost_unseen(type, p + at * w, m) / 16 * 15)
		return UINT64_MAX;
	return ml_cost_diff(type, p, p + back * w, n - back) +
		back * each / 256;
}

/* Entropy of the highest bits, given those of the element above or of the one
 * before; of the sign and the next bits, too. */
static uint64_t grid_cost(unsigned type, const uint8_t *p, size_t n,
	uint32_t row)
{
	const unsigned kind = ml_types[type].f[0].kind;
	const unsigned sign = ml_kind_ebits[kind] != 0;
	const unsigned width = ml_kind_bits(kind), w = width / 8;
	const unsigned left = width - sign - 8;
	uint32_t count[2][GRID_UP][256] = { { { 0 } } };
	uint32_t low[256][8] = { { 0 } }, signs[2][2] = { { 0 } };
	uint64_t x, up, both[2] = { 0, 0 }, bits, any = 0;
	size_t i, at, seen = 0, used[2] = { 0, 0 };
	unsigned a, j, k;

	const size_t step = n > 2 * GRID_SAMPLE ? n / GRID_SAMPLE : 1;

	for (i = 0; (at = i / RUN * RUN * step + i % RUN + row) < n; i++) {
		x = ml_elem_load(p + at * w, w);
		any |= x;
		a = (unsigned)(x >> left) & 255;
		up = ml_elem_load(p + (at - row) * w, w);
		count[0][(up >> left & 255) * GRID_UP / 256][a]++;
		signs[up >> (width - 1)][x >> (width - 1)]++;
		up = ml_elem_load(p + (at - 1) * w, w);
		count[1][(up >> left & 255) * GRID_UP / 256][a]++;
		low[a][left < 3 ? 0 : x >> (left - 3) & 7]++;
		seen++;
	}
	if (seen < LOOK)
		return UINT64_MAX;
	for (k = 0; k < 2; k++)
		for (j = 0; j < GRID_UP; j++) {
			both[k] += ml_entropy(count[k][j], 256);
			for (a = 0; a < 256; a++)
				used[k] += count[k][j][a] != 0;
		}
	for (k = 0; k < 2; k++)
		both[k] += used[k] * GRID_LEARN / (n < GRID_MANY ? 1 : 2);
	bits = both[0] < both[1] ? both[0] : both[1];
	for (a = 0; a < 256; a++)
		bits += ml_entropy(low[a], 8);
	if (sign)
		bits += ml_entropy(signs[0], 2) + ml_entropy(signs[1], 2);
	for (k = ML_GRID_LOW; k < left; k++) /* but the zeros at the end */
		bits += any & (((uint64_t)1 << (left - k)) - 1) ? seen : 0;
	return bits / seen * n + bits % seen * n / seen;
}

struct ml_telling ml_seen_best(unsigned type, const uint8_t *p, size_t n,
	uint32_t row, int grid)
{
	const uint32_t back[] = { 1, 2, 3, 4, row > 4 ? row : 0 };
	struct ml_telling best = { ML_SEEN_NOT, 0, 0 };
	const uint64_t alone = ml_cost_unseen(type, p, n);
	uint64_t each, bits;
	size_t i;

	best.bits = alone;
	if (n < FEW_ALONE || !ml_type_seen(type))
		return best;
	each = alone / n * 256 + alone % n * 256 / n;
	bits = list_cost(NULL, type, p, n);
	if (bits < best.bits - best.bits / 32) {
		best.how = ML_SEEN_LIST;
		best.bits = bits;
	}
	for (i = 0; i < sizeof back / sizeof *back; i++) {
		bits = line_cost(type, p, n, back[i], each);
		if (bits != UINT64_MAX && bits + MORE < best.bits -
			best.bits / 32) {
			best.how = ML_SEEN_LINE;
			best.back = back[i];
			best.bits = bits;
		}
	}
	if (grid && row && best.how != ML_SEEN_LIST &&
		ml_types[type].f[0].kind >= ML_K_F16 &&
		!ml_type_swapped(type)) {
		bits = grid_cost(type, p, n, row);
		if (bits != UINT64_MAX && bits + MORE < best.bits -
			best.bits / GRID_GAIN) {
			best.how = ML_SEEN_GRID;
			best.bits = bits;
		}
	}
	return best;
}

uint64_t ml_seen_go_on(const struct ml_places *l, unsigned type,
	const uint8_t *p, size_t n)
{
	return list_cost(l, type, p, n);
}

uint64_t ml_cost_alone(unsigned type, const uint8_t *p, size_t units)
{
	const struct ml_telling t = ml_seen_best(type, p, units, 0, 0);

	return t.bits + (t.how ? ML_TELLING : 0);
}

int ml_seen_apart(unsigned type, const uint8_t *p, uint64_t n)
{
	const size_t units = (size_t)n / ml_type_bytes(type);

	if (n >= ML_APART)
		return 1;
	return ml_type_seen(type) && ml_cost_alone(type, p, units) +
		2 * ML_TELLING < ml_cost_unseen(type, p, units);
}
