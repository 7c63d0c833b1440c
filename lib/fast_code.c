/* SPDX-License-Identifier: MIT */
/* The encoder of coder 3: what a block is coded as, its chances, its parts.
 * Every choice is made with integers, from fixed samples, so that all kernels
 * and all machines write the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cost.h"
#include "elem.h"
#include "fast.h"
#include "mldec.h"
#include "ops.h"

#define GROUP ML_FAST_GROUP
#define CAP (ML_FAST_MAX + ML_FAST_MAX / 8 + 4096) /* of a payload in work */
#define SHORT 512 /* elements: below, nothing pays for the states */
#define CLASSES 15 /* that have symbols */
#define MANY_SYMS 15 /* few enough for every kernel, where more gain little */

/* What a sample says about a block as residuals. */
struct guess {
	uint32_t cnt[8][32];
	uint8_t f[256];
	uint64_t bits; /* of the block */
};

struct ml_faster {
	const struct ml_fast_code *k;
	struct ml_fast_resid re;
	struct ml_fast_div div;
	struct guess guess;
	uint32_t half[256]; /* 2^24 / (2 i + 1) */
	uint8_t sym[ML_FAST_MAX + ML_FAST_SLACK]; /* of all elements */
	uint8_t left[8 * ML_FAST_CHUNK + ML_FAST_SLACK];
	uint8_t raw[ML_FAST_MAX + ML_FAST_SLACK]; /* planes; or bits */
	uint8_t odd[ML_FAST_MAX + ML_FAST_SLACK];
	uint8_t list[ML_FAST_MAX + ML_FAST_SLACK]; /* of escapes */
	uint8_t data[ML_FAST_MAX + ML_FAST_SLACK]; /* without zero groups */
	uint8_t base[ML_FAST_MAX + ML_FAST_SLACK];
	uint8_t map[ML_FAST_MAX / GROUP / 8 + 1];
	uint8_t out[CAP + ML_FAST_SLACK];
};

int ml_faster_new(struct ml_faster **out, const struct ml_fast_code *code,
	struct ml_diag *diag)
{
	uint32_t i;

	*out = malloc(sizeof **out);
	if (!*out)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	(*out)->k = code ? code : ml_fast_code_best();
	for (i = 0; i < 256; i++)
		(*out)->half[i] = (1u << 24) / (2 * i + 1);
	return ML_OK;
}

void ml_faster_free(struct ml_faster *x)
{
	free(x);
}

/* ===== chances ========================================================== */

/* Frequencies of n symbols, 256 in all: 1 to 255 for those counted, 0 for
 * others but the first one and, when `always`, esc. */
static void normalise(const struct ml_faster *x, const uint32_t *cnt,
	unsigned n, unsigned esc, int always, uint8_t *f)
{
	uint64_t total = 0, best, v;
	unsigned i, at, sum = 0;
	uint32_t c[ML_FAST_SYMS];

	for (i = 0; i < n; i++)
		total += cnt[i];
	for (i = 0; i < n; i++) {
		c[i] = cnt[i];
		if (!c[i] && (!i || (i == esc && always)))
			c[i] = 1;
		v = total ? (uint64_t)c[i] * 256 / total : 0;
		f[i] = (uint8_t)(v > 255 ? 255 : v);
		if (c[i] && !f[i])
			f[i] = 1;
		sum += f[i];
	}
	if (sum < 256 && !f[esc]) { /* there must be two */
		for (i = 0, at = 0; i < n; i++)
			at += f[i] != 0;
		if (at < 2)
			f[esc] = 1, c[esc] = 1, sum++;
	}
	for (; sum < 256; sum++) { /* where it helps most */
		for (i = at = 0, best = 0; i < n; i++) {
			v = (uint64_t)c[i] * x->half[f[i]];
			if (f[i] && f[i] < 255 && v >= best)
				best = v, at = i;
		}
		f[at]++;
	}
	for (; sum > 256; sum--) { /* where it hurts least */
		for (i = 0, at = n, best = UINT64_MAX; i < n; i++) {
			if (f[i] < 2)
				continue;
			v = (uint64_t)c[i] * x->half[f[i] - 1];
			if (v < best)
				best = v, at = i;
		}
		f[at]--;
	}
}

/* The encoder's view of f. */
static void divisors(struct ml_fast_div *d, unsigned contexts, unsigned n)
{
	unsigned c, s, sum, i;

	for (c = 0; c < contexts; c++)
		for (s = sum = 0; s < n; s++) {
			i = c * 32 + s;
			d->c[i] = (uint8_t)sum;
			sum += d->f[i];
			d->inv[i] = (uint16_t)(d->f[i] ? 65535 / d->f[i] : 0);
			d->inv_lo[i] = (uint8_t)d->inv[i];
			d->inv_hi[i] = (uint8_t)(d->inv[i] >> 8);
		}
}

/* Bits of n symbols that were counted in cnt, if coded with f; those without
 * a frequency cost `raw` bits beside esc's. */
static uint64_t price(const uint32_t *cnt, const uint8_t *f, unsigned n,
	unsigned esc, unsigned raw)
{
	uint64_t sum = 0, bits;
	unsigned i;

	for (i = 0; i < n; i++) {
		if (!cnt[i])
			continue;
		bits = f[i] ? 2048 - ml_log2(f[i]) :
			2048 - ml_log2(f[esc]) + raw * 256;
		sum += cnt[i] * bits;
	}
	return sum >> 8;
}

/* ===== parts ============================================================ */

static void emit(uint8_t **p, const void *from, size_t n)
{
	if (n)
		memcpy(*p, from, n);
	*p += n;
}

static void number(uint8_t **p, uint64_t v)
{
	*p += ml_put_varint(*p, v);
}

static uint8_t *head(struct ml_faster *x, const struct ml_fast_in *in,
	unsigned form)
{
	uint8_t *p = x->out;

	*p++ = (uint8_t)form;
	*p++ = (uint8_t)in->type;
	if (ML_FAST_BASED(form))
		number(&p, in->at);
	return p;
}

/* The symbols x->sym[0..n), filled up with `pad`; and the numbers before. */
static void put_symbols(struct ml_faster *x, uint8_t **p, size_t n,
	unsigned pad, int contexts, size_t nesc, uint64_t nbits)
{
	const size_t all = (n + ML_FAST_LANES - 1) & ~(ML_FAST_LANES - 1u);
	uint8_t *at = *p + 30; /* behind the longest numbers */
	size_t k;

	memset(x->sym + n, (int)pad, all - n);
	k = x->k->symbols(&x->div, contexts, x->sym, all, at);
	number(p, k - ML_FAST_STATES);
	number(p, nesc);
	if (contexts)
		number(p, nbits);
	memmove(*p, at, k);
	*p += k;
}

/* ===== exceptions ======================================================= */

/* ML_FAST_FILL and ML_FAST_CHANGE, of few elements that differ. */
static size_t exceptions(struct ml_faster *x, const struct ml_fast_in *in,
	unsigned w, size_t n, uint64_t fill, size_t count)
{
	const int based = in->base != NULL;
	uint8_t *p = head(x, in, based ? ML_FAST_CHANGE : ML_FAST_FILL);
	const unsigned eb = ml_kind_ebits[ml_types[in->type].f[0].kind];
	size_t i, last = 0;
	uint64_t v, b;

	if (!based) {
		ml_elem_store(p, w, fill);
		p += w;
	}
	number(&p, count);
	for (i = 0; i < n && count; i++) {
		v = ml_elem_load(in->data + i * w, w);
		b = fill;
		if (based) {
			b = 0;
			if (!in->given)
				v = ml_residual(w * 8, eb, ml_elem_load(
					in->base + i * w, w), v);
		}
		if (v == b)
			continue;
		number(&p, i - last);
		ml_elem_store(p, w, v);
		p += w;
		last = i + 1;
		count--;
	}
	return (size_t)(p - x->out);
}

/* ===== without a base =================================================== */

struct plan {
	struct ml_fast_elem e;
	unsigned k, n; /* raw bits; symbols without the escape */
	uint16_t val[ML_FAST_SYMS];
	uint8_t f[ML_FAST_SYMS]; /* the escape's is the last */
	uint64_t bits; /* of a sample of `total` elements */
};

/* The symbols for values counted in cnt[0..2^v), at most `most` of them. */
static void choose(const struct ml_faster *x, struct plan *p, const uint32_t *cnt, unsigned nval,
	unsigned most, unsigned raw)
{
	uint32_t c[ML_FAST_SYMS], left = 0, total = 0, best, floor = UINT32_MAX;
	unsigned i, at, floor_at = 0;

	for (i = 0; i < nval; i++)
		total += cnt[i];
	/* the commonest first; of equals, those of lesser value */
	for (p->n = 0; p->n < most; p->n++) {
		for (i = at = 0, best = 0; i < nval; i++)
			if (cnt[i] > best && (cnt[i] < floor ||
				(cnt[i] == floor && i > floor_at)))
				best = cnt[i], at = i;
		/* a place costs more than escapes of the rare ones do */
		if (!best || (p->n && (uint64_t)best * 1400 < total))
			break;
		p->val[p->n] = (uint16_t)at;
		c[p->n] = best;
		floor = best;
		floor_at = at;
	}
	for (i = 0; i < p->n; i++)
		left += c[i];
	left = total - left;
	if (!p->n) {
		p->val[0] = 0;
		c[0] = 1;
		p->n = 1;
	}
	c[p->n] = left;
	normalise(x, c, p->n + 1, p->n, 0, p->f);
	p->bits = price(c, p->f, p->n + 1, p->n, raw);
	p->bits += (uint64_t)left * raw + (uint64_t)total * p->k;
}

/* How the block's n elements are split, from a histogram of their upper 8
 * bits. */
static void plan(const struct ml_faster *x, struct plan *p, unsigned type, const uint32_t *cnt)
{
	uint32_t folded[256];
	struct plan t;
	unsigned i, k, bits;

	ml_fast_elem(&p->e, type);
	bits = p->e.w * 8u;
	p->bits = UINT64_MAX;
	memcpy(folded, cnt, sizeof folded);
	for (k = bits - 8; k <= bits - 4; k++) {
		t.e = p->e;
		t.k = k;
		choose(x, &t, folded, 1u << (bits - k), ML_FAST_SYMS - 1, 8);
		if (t.n > MANY_SYMS) {
			struct plan few = t;

			choose(x, &few, folded, 1u << (bits - k), MANY_SYMS, 8);
			if (few.bits <= t.bits + t.bits / 512)
				t = few;
		}
		if (t.bits < p->bits)
			*p = t;
		/* the whole exponent of these is one symbol */
		if (p->e.ebits == 8)
			break;
		for (i = 0; i < 128; i++)
			folded[i] = folded[2 * i] + folded[2 * i + 1];
		memset(folded + 128, 0, 128 * sizeof *folded);
	}
	p->e.k = (uint8_t)p->k;
	p->e.a = (uint8_t)(p->k / 8);
	p->e.o = (uint8_t)(p->k % 8);
}

/* Every eighth element, in runs of 64. */
static void count_values(const uint8_t *val, size_t n, uint32_t cnt[256])
{
	uint32_t c[4][256] = {{0}};
	size_t i, j;

	for (i = 0; i + 64 <= n; i += 512)
		for (j = i; j < i + 64; j += 4) {
			c[0][val[j]]++;
			c[1][val[j + 1]]++;
			c[2][val[j + 2]]++;
			c[3][val[j + 3]]++;
		}
	if (n < 4096) /* all of a small one */
		for (memset(c, 0, sizeof c), i = 0; i < n; i++)
			c[0][val[i]]++;
	for (i = 0; i < 256; i++)
		cnt[i] = c[0][i] + c[1][i] + c[2][i] + c[3][i];
}

static void split(struct ml_faster *x, const struct ml_fast_elem *e,
	const uint8_t *in, size_t n)
{
	const size_t k = n & ~(GROUP - 1u);

	x->k->split(e, in, k, x->sym, x->raw, x->odd);
	ml_fast_code_scalar.split(e, in + k * e->w, n - k, x->sym + k,
		x->raw + k * e->a, x->odd + k / 8 * e->o);
}

static size_t map_values(struct ml_faster *x, const struct plan *p, size_t n)
{
	const size_t k = n & ~(GROUP - 1u);
	uint8_t lut[256];
	size_t nesc;
	unsigned i;

	memset(lut, (int)p->n, sizeof lut);
	for (i = 0; i < p->n; i++)
		lut[p->val[i]] = (uint8_t)i;
	nesc = x->k->map(x->sym, k, lut, (uint8_t)p->n, x->list);
	return nesc + ml_fast_code_scalar.map(x->sym + k, n - k, lut,
		(uint8_t)p->n, x->list + nesc);
}

/* Elements without a base: in[0..n) of x->data or the caller's. */
static size_t planes(struct ml_faster *x, const struct ml_fast_in *in,
	const uint8_t *data, size_t n, const uint8_t *map, size_t nmap)
{
	uint8_t *p = head(x, in, ML_FAST_PLANES);
	struct ml_fast_elem e;
	uint32_t cnt[256];
	struct plan pl;
	uint64_t total = 0;
	size_t nesc;
	unsigned i;

	ml_fast_elem(&e, in->type);
	e.k = (uint8_t)(e.w * 8 - 8);
	e.a = e.w - 1;
	e.o = 0;
	split(x, &e, data, n);
	count_values(x->sym, n, cnt);
	plan(x, &pl, in->type, cnt);
	for (i = 0; i < 256; i++)
		total += cnt[i];
	/* seen early that nothing is gained */
	if (!total || pl.bits / 8 > total * e.w - total * e.w / 64)
		return 0;
	if (pl.k != e.k)
		split(x, &pl.e, data, n);
	nesc = map_values(x, &pl, n);
	if (nesc && !pl.f[pl.n]) { /* the sample did not show them */
		for (i = 0; i < pl.n && pl.f[i] < 2; i++)
			;
		if (i == pl.n)
			return 0;
		pl.f[i]--;
		pl.f[pl.n] = 1;
	}
	*p++ = nmap != 0;
	emit(&p, map, nmap);
	*p++ = (uint8_t)pl.k;
	*p++ = (uint8_t)pl.n;
	for (i = 0; i < pl.n; i++)
		*p++ = (uint8_t)pl.val[i];
	emit(&p, pl.f, pl.n + 1);
	memset(x->div.f, 0, sizeof x->div.f);
	memcpy(x->div.f, pl.f, pl.n + 1);
	divisors(&x->div, 1, pl.n + 1);
	put_symbols(x, &p, n, 0, 0, nesc, 0);
	emit(&p, x->list, nesc);
	emit(&p, x->raw, n * pl.e.a);
	emit(&p, x->odd, (n + 7) / 8 * pl.e.o);
	return (size_t)(p - x->out);
}

/* ===== against a base =================================================== */

/* The greatest level that 1 of 200 elements reach, and for each context the
 * class above which hardly any residual is, from some elements: every 64th
 * group, or all of a small block. */
static void windows(struct ml_fast_resid *re, const struct ml_fast_in *in,
	size_t n)
{
	const size_t step = n < 16384 ? GROUP : 64 * GROUP;
	const unsigned w = re->e.w, bits = w * 8u, eb = re->e.ebits;
	uint32_t level[2048] = {0}, cnt[8][65] = {{0}}, total = 0, seen, c, k;
	uint64_t b, d;
	size_t i, j;

	for (i = 0; i < n; i += step)
		for (j = i; j < n && j < i + GROUP; j++, total++) {
			b = ml_elem_load(in->base + j * w, w);
			if (eb)
				b = b >> (bits - 1 - eb) & ((1u << eb) - 1);
			else
				b = ml_bitlen(b >> (bits - 1) ?
					~b & ml_elem_mask(bits) : b);
			level[b]++;
		}
	for (re->e0 = eb ? (1u << eb) - 1 : 64, seen = 0; re->e0; re->e0--) {
		seen += level[re->e0];
		if (seen * 200 > total)
			break;
	}
	memset(re->m, 0, sizeof re->m);
	re->m_any = 0;
	if (bits <= 16) /* all classes have symbols */
		return;
	for (i = 0; i < n; i += step)
		for (j = i; j < n && j < i + GROUP; j++) {
			b = ml_elem_load(in->base + j * w, w);
			d = ml_elem_load(in->data + j * w, w);
			if (!in->given)
				d = ml_residual(bits, eb, b, d);
			if (d >> (bits - 1))
				d = (0 - d) & ml_elem_mask(bits);
			cnt[ml_fast_context(&re->e, re->e0, b)][ml_bitlen(d)]++;
		}
	for (c = 0; c < 8; c++) {
		for (k = 0, seen = 0; k <= bits; k++)
			seen += cnt[c][k];
		for (k = bits - 1, total = 0; k > CLASSES; k--) {
			total += cnt[c][k];
			if (total * 2000 > seen)
				break;
		}
		re->m[c] = (uint8_t)(seen && k > CLASSES ? k - CLASSES : 0);
		re->m_any |= re->m[c];
	}
}

/* Symbols of every sixteenth group, and what the block would cost; all of a
 * small one. */
static void sample(struct ml_faster *x, const struct ml_fast_in *in, size_t n)
{
	const size_t step = n < 8192 ? GROUP : 16 * GROUP;
	struct ml_fast_resid *re = &x->re;
	struct guess *g = &x->guess;
	const unsigned w = re->e.w;
	uint32_t total = 0, c, s;
	size_t i, j, k;

	memset(g, 0, sizeof *g);
	for (i = 0; i < n; i += step) {
		const struct ml_fast_code *code = n - i < GROUP ?
			&ml_fast_code_scalar : x->k;

		k = n - i < GROUP ? n - i : GROUP;
		code->classes(re, in->base + i * w, in->data + i * w,
			in->given, k, x->sym, x->left);
		for (j = 0; j < k; j++)
			g->cnt[x->sym[j] >> 5][x->sym[j] & 31]++;
		total += (uint32_t)k;
	}
	for (c = 0; c < 8; c++) {
		for (s = 2; s < ML_FAST_ESCAPE; s++)
			if (s / 2 + 1 + re->m[c] > w * 8 - 1) {
				g->cnt[c][ML_FAST_ESCAPE] += g->cnt[c][s];
				g->cnt[c][s] = 0;
			}
		normalise(x, g->cnt[c], 32, ML_FAST_ESCAPE, 1, g->f + c * 32);
		g->bits += price(g->cnt[c], g->f + c * 32, 32, ML_FAST_ESCAPE,
			0);
		for (s = re->m[c] ? 0 : 1; s < ML_FAST_ESCAPE; s++)
			g->bits += (uint64_t)g->cnt[c][s] *
				((s < 2 ? 0 : s / 2 - 1) + re->m[c] + 1);
		g->bits += (uint64_t)g->cnt[c][s] * w * 8;
	}
	g->bits = total ? g->bits * n / total : 0;
}

/* The payload of residuals; in->data and base without zero groups. */
static size_t resid(struct ml_faster *x, const struct ml_fast_in *in,
	const uint8_t *base, const uint8_t *data, size_t n,
	const uint8_t *map, size_t nmap)
{
	uint8_t *p = head(x, in, ML_FAST_RESID), *set;
	struct ml_fast_bits b = { x->raw, 0, 0 };
	struct ml_fast_resid *re = &x->re;
	size_t at, k, j, nesc = 0, more;
	unsigned c, s, w, pad;
	uint64_t v, nbits;

	w = re->e.w;
	memcpy(x->div.f, x->guess.f, sizeof x->div.f);
	divisors(&x->div, 8, 32);
	for (at = 0; at < n; at += k) {
		const uint8_t *bp = base + at * w, *dp = data + at * w;
		uint8_t *sym = x->sym + at;
		size_t most;

		k = n - at < ML_FAST_CHUNK ? n - at : ML_FAST_CHUNK;
		most = k & ~(GROUP - 1u);
		x->k->classes(re, bp, dp, in->given, most, sym, x->left);
		ml_fast_code_scalar.classes(re, bp + most * w, dp + most * w,
			in->given, k - most, sym + most, x->left + most * w);
		more = x->k->escapes(sym, most, x->div.f);
		more += ml_fast_code_scalar.escapes(sym + most, k - most,
			x->div.f);
		for (j = 0; more && j < k; j++) {
			if ((sym[j] & 31) != ML_FAST_ESCAPE)
				continue;
			v = ml_elem_load(x->left + j * w, w);
			v = v & 1 && v >> 1 ? 0 - (v >> 1) : v & 1 ?
				(uint64_t)1 << (w * 8 - 1) : v >> 1;
			ml_elem_store(x->list + nesc * w, w, v &
				ml_elem_mask(w * 8));
			nesc++;
			more--;
		}
		x->k->bits(re, sym, x->left, most, &b);
		ml_fast_code_scalar.bits(re, sym + most, x->left + most * w,
			k - most, &b);
		if ((size_t)(b.p - x->raw) > ML_FAST_MAX - ML_FAST_CHUNK * 9)
			return 0;
	}
	nbits = (uint64_t)(b.p - x->raw) * 8 + b.n;
	*b.p = (uint8_t)b.acc;
	*p++ = nmap != 0;
	emit(&p, map, nmap);
	ml_store16(p, re->e0);
	p += 2;
	emit(&p, re->m, 8);
	for (c = 0; c < 8; c++) {
		uint32_t any = 0;

		for (s = 0; s < 32; s++)
			any |= (uint32_t)(x->div.f[c * 32 + s] != 0) << s;
		set = p;
		p += 4;
		ml_store32(set, any);
		for (s = 0; s < 32; s++)
			if (x->div.f[c * 32 + s])
				*p++ = x->div.f[c * 32 + s];
	}
	for (pad = 0, s = 1; s < ML_FAST_ESCAPE; s++)
		if (x->div.f[s] > x->div.f[pad])
			pad = s;
	put_symbols(x, &p, n, pad, 1, nesc, nbits);
	emit(&p, x->list, nesc * w);
	emit(&p, x->raw, (size_t)(nbits + 7) / 8);
	return (size_t)(p - x->out);
}

/* ===== the choice ======================================================= */

/* What the block would cost as it is, from a sample; bits. */
static uint64_t alone(const struct ml_faster *x, const struct ml_fast_in *in,
	size_t n)
{
	const size_t step = n < 8192 ? GROUP : 32 * GROUP;
	uint32_t cnt[256] = {0}, total = 0;
	struct ml_fast_elem e;
	struct plan pl;
	size_t i, j;
	uint64_t v;

	ml_fast_elem(&e, in->type);
	for (i = 0; i < n; i += step)
		for (j = i; j < n && j < i + GROUP; j++, total++) {
			v = ml_elem_load(in->data + j * e.w, e.w);
			if (e.ebits)
				v <<= 1;
			cnt[v >> (e.w * 8 - 8) & 255]++;
		}
	plan(x, &pl, in->type, cnt);
	return total ? pl.bits * n / total : 0;
}

/* Leaves out the groups that the map says. */
static size_t gather(const uint8_t *map, const uint8_t *from, size_t n,
	unsigned w, uint8_t *to)
{
	size_t g, at, k, left = 0;

	for (g = at = 0; at < n; at += k, g++) {
		k = n - at < GROUP ? n - at : GROUP;
		if (map[g / 8] >> g % 8 & 1)
			continue;
		memcpy(to + left * w, from + at * w, k * w);
		left += k;
	}
	return left;
}

/* Groups of zeros and elements that are none. */
static size_t look(struct ml_faster *x, const struct ml_fast_in *in,
	unsigned w, size_t n, size_t *zero)
{
	const size_t k = n & ~(8 * GROUP - 1u), groups = (n + GROUP - 1) / GROUP;
	size_t differ, i;

	differ = x->k->zeros(w, in->base, in->data, in->given, k, x->map);
	differ += ml_fast_code_scalar.zeros(w, in->base ? in->base + k * w :
		NULL, in->data + k * w, in->given, n - k,
		x->map + k / GROUP / 8);
	for (i = *zero = 0; i < groups; i++)
		*zero += x->map[i / 8] >> i % 8 & 1;
	return differ;
}

/* Elements that are not `fill`; n, when a few of them show that they are many.
 */
static size_t others(const uint8_t *p, size_t n, unsigned w, uint64_t fill)
{
	size_t i, k = 0;

	for (i = 0; i < n; i += n / 32 + 1)
		k += ml_elem_load(p + i * w, w) != fill;
	if (k > 2)
		return n;
	for (i = k = 0; i < n; i++)
		k += ml_elem_load(p + i * w, w) != fill;
	return k;
}

static size_t encode(struct ml_faster *x, const struct ml_fast_in *in)
{
	struct ml_fast_in part = *in;
	struct ml_fast_elem e;
	const uint8_t *map = NULL;
	size_t n, differ, zero, nmap = 0, left;

	ml_fast_elem(&e, in->type);
	n = in->n / e.w;
	differ = look(x, in, e.w, n, &zero);
	if (differ <= n / 256)
		return exceptions(x, in, e.w, n, 0, differ);
	if (!in->base) { /* one element nearly all along? */
		const uint64_t fill = ml_elem_load(in->data + n / 2 * e.w,
			e.w);

		differ = others(in->data, n, e.w, fill);
		if (differ <= n / 256)
			return exceptions(x, in, e.w, n, fill, differ);
	}
	if (n < SHORT)
		return 0;
	left = n;
	if (zero * 16 > n / GROUP) {
		map = x->map;
		nmap = ((n + GROUP - 1) / GROUP + 7) / 8;
		left = gather(map, in->data, n, e.w, x->data);
		part.data = x->data;
		if (in->base) {
			gather(map, in->base, n, e.w, x->base);
			part.base = x->base;
		}
	}
	if (!in->base)
		return planes(x, in, part.data, left, map, nmap);
	x->re.e = e;
	windows(&x->re, &part, left);
	sample(x, &part, left);
	if (!in->given && alone(x, in, n) <= x->guess.bits) {
		part = *in;
		part.base = NULL;
		return planes(x, &part, in->data, n, NULL, 0);
	}
	return resid(x, in, part.base, part.data, left, map, nmap);
}

void ml_faster_encode(struct ml_faster *x, const struct ml_fast_in *in,
	const uint8_t **code, size_t *n)
{
	*n = encode(x, in);
	/* what a record of its own costs must be won, too */
	if (*n + 64 > in->n - in->n / 64)
		*n = 0;
	*code = x->out;
}
