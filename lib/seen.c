/* SPDX-License-Identifier: MIT */
/* What elements would cost as places in a list, or as residuals against
 * others before them. */
#include <string.h>

#include "cost.h"
#include "elem.h"
#include "seen.h"
#include "mlseen.h"

#define SAMPLE 16384 /* elements looked at, about, in runs */
#define RUN 256
#define LOOK 1024 /* elements by which more is worth a look */
#define NEW 4096 /* elements by which new values are judged */
#define LEARN 8 /* bits that it takes to learn how frequent a place is */
#define MORE 400 /* bits that a line costs until its residuals are known */
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
	return (unsigned)(value * UINT64_C(0x9e3779b97f4a7c15) >> 52);
}

unsigned ml_places_add(struct ml_places *l, uint64_t value)
{
	uint16_t *at = &l->head[bucket(value)];
	unsigned i;

	for (i = *at; i; i = l->chain[i])
		if (l->value[i] == value)
			return i;
	i = l->next;
	if (l->n == ML_SEEN_MAX) { /* in place of the oldest */
		uint16_t *old = &l->head[bucket(l->value[i])];

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

/* Entropy of the signs at each place, so many of all negative. */
static uint64_t sign_cost(const uint32_t *all, const uint32_t *negative)
{
	uint64_t bits = 0;
	uint32_t two[2];
	unsigned i;

	for (i = 1; i < ML_PLACES; i++) {
		two[0] = all[i] - negative[i];
		two[1] = negative[i];
		bits += ml_entropy(two, 2);
	}
	return bits;
}

/* Elements as places, from what the list is at first. UINT64_MAX: hardly any
 * came before. */
static uint64_t list_cost(struct ml_places *l, unsigned type, const uint8_t *p,
	size_t n)
{
	const uint64_t size = ml_seen_size(type);
	const unsigned w = ml_type_bytes(type);
	const size_t step = n > 2 * SAMPLE ? n / SAMPLE : 1;
	uint32_t count[ML_PLACES] = { 0 }, negative[ML_PLACES] = { 0 };
	unsigned used = 0;
	uint8_t new[NEW * 8];
	uint64_t bits, each, x;
	unsigned at;
	size_t i, j, seen = 0;

	for (i = 0; i < n; i += RUN * step) {
		for (j = i; j < n && j < i + RUN; j++, seen++) {
			x = ml_elem_load(p + j * w, w);
			at = ml_places_add(l, x & size);
			if (!at && count[0] < NEW)
				memcpy(new + count[0] * w, p + j * w, w);
			count[at]++;
			negative[at] += x > size;
		}
		if (seen >= LOOK && count[0] > seen / 8 * 7)
			return UINT64_MAX;
	}
	if (!seen)
		return UINT64_MAX;
	bits = ml_entropy(count, ML_PLACES) + sign_cost(count, negative);
	x = count[0] < NEW ? count[0] : NEW;
	for (at = 1; at < ML_PLACES; at++)
		used += count[at] != 0;
	each = x ? ml_cost_unseen(type, new, x) : 0;
	each = (x ? each * count[0] / x : 0) + used * LEARN;
	/* A small list is complete, a large one goes on to grow. */
	if (count[0] < seen / 16)
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

struct ml_telling ml_seen_best(unsigned type, const uint8_t *p, size_t n,
	uint32_t row)
{
	const uint32_t back[] = { 1, 2, 3, 4, row > 4 ? row : 0 };
	struct ml_telling best = { ML_SEEN_NOT, 0, 0 };
	const uint64_t alone = ml_cost_unseen(type, p, n);
	uint64_t each, bits;
	struct ml_places l;
	size_t i;

	best.bits = alone;
	if (n < FEW_ALONE || !ml_type_seen(type))
		return best;
	each = alone / n * 256 + alone % n * 256 / n;
	ml_places_begin(&l);
	bits = list_cost(&l, type, p, n);
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
	return best;
}

uint64_t ml_seen_go_on(const struct ml_places *l, unsigned type,
	const uint8_t *p, size_t n)
{
	struct ml_places copy = *l;

	return list_cost(&copy, type, p, n);
}

uint64_t ml_cost_alone(unsigned type, const uint8_t *p, size_t units)
{
	const struct ml_telling t = ml_seen_best(type, p, units, 0);

	return t.bits + (t.how ? ML_TELLING : 0);
}
