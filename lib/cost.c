/* SPDX-License-Identifier: MIT */
/* Estimates of coded size, by histograms of what the model codes: classes in
 * their contexts, and raw bits beside. */
#include <string.h>

#include "cost.h"
#include "elem.h"

#define SAMPLE 32768 /* elements looked at, at most */
#define ENOUGH 2048 /* bytes: more of a tensor follows, and learns from them */
#define CROSSED 8192 /* of those that are searched for scales */

uint32_t ml_log2(uint64_t v)
{
	uint32_t r, i;
	uint64_t x;

	for (r = 0; v >> r > 1; r++)
		;
	/* One bit of the logarithm per squaring of the mantissa. */
	x = r > 31 ? v >> (r - 31) : v << (31 - r);
	for (i = 0; i < 8; i++) {
		x = x * x >> 31;
		r = r * 2 + (x >> 32 != 0);
		if (x >> 32)
			x >>= 1;
	}
	return r;
}

uint64_t ml_entropy(const uint32_t *cnt, size_t n)
{
	uint64_t total = 0, bits = 0;
	size_t i;

	for (i = 0; i < n; i++)
		total += cnt[i];
	for (i = 0; i < n; i++)
		if (cnt[i])
			bits += (uint64_t)cnt[i] *
				(ml_log2(total) - ml_log2(cnt[i]));
	return bits >> 8;
}

static uint64_t learning(const uint32_t *cnt, size_t n)
{
	uint64_t used = 0;

	while (n--)
		used += cnt[n] != 0;
	return used * 5;
}

uint64_t ml_cost_lit(const uint8_t *p, size_t n)
{
	uint32_t cnt[256] = { 0 };
	size_t i;

	for (i = 0; i < n; i++)
		cnt[p[i]]++;
	return ml_entropy(cnt, 256) + learning(cnt, 256);
}

/* Histograms of a tensor: class by context, and the bits that stay raw. */
struct hist {
	uint32_t f[16][66], i[16][66], low[256], exp[257];
	uint32_t full; /* floats whose mantissa is there */
	ml_word mant; /* bits set in any of them */
	uint64_t raw;
};

static void one_alone(struct hist *h, unsigned kind, ml_word t,
	unsigned *prev)
{
	unsigned w = ml_kind_bits(kind), eb = ml_kind_ebits[kind];
	unsigned k;

	if (kind == ML_K_I8 || kind == ML_K_R8) { /* bytes: their own entropy is near enough */
		h->low[t & 255]++;
		return;
	}
	if (eb) {
		k = (unsigned)(t >> (w - 1 - eb)) & ((1u << eb) - 1);
		h->exp[t == 0 ? 256 : eb > 8 ? k >> (eb - 8) : k]++;
		h->raw += t == 0 ? 0 : w - (eb > 8 ? 8 : eb);
		h->full += t != 0;
		h->mant |= t;
		return;
	}
	t = ml_sign_extend(t, w);
	k = ml_bitlen(t >> 63 ? 0 - t : t);
	h->i[*prev > 15 ? 15 : *prev][k]++;
	*prev = k;
	h->raw += k;
}

static void one_diff(struct hist *h, unsigned kind, unsigned e0, ml_word b,
	ml_word t)
{
	unsigned w = ml_kind_bits(kind), eb = ml_kind_ebits[kind], c, k;

	k = ml_bitlen(ml_residual_mag(w, eb, b, t));
	c = ml_elem_ctx(w, eb, e0, b);
	if (eb)
		h->f[c][k]++;
	else
		h->i[c][k]++;
	h->raw += k; /* sign and all under the leading one */
}

/* A code on the scale of its block. */
static void one_requant(struct hist *h, uint32_t ratio, unsigned w,
	unsigned b, unsigned t)
{
	unsigned off = w == 4 ? 8 : 0, mask = (1u << w) - 1, c, r, k;

	r = (t - off - ml_requant(ratio, w, (b - off) & mask, &c)) & mask;
	k = ml_bitlen(r >> (w - 1) ? (0 - r) & mask : r);
	h->i[c][k]++;
	h->raw += k;
}

/* mant: bits of the mantissas of elements alone; 0 for others. */
static uint64_t total(const struct hist *h, unsigned mant, uint64_t seen,
	uint64_t all)
{
	uint64_t bits = h->raw, learn = 0;
	size_t c;

	for (c = 0; c < 16; c++) {
		bits += ml_entropy(h->f[c], 66) + ml_entropy(h->i[c], 66);
		learn += learning(h->f[c], 66) + learning(h->i[c], 66);
	}
	bits += ml_entropy(h->low, 256) + ml_entropy(h->exp, 257);
	learn += learning(h->low, 256) + learning(h->exp, 257);
	if (h->full && mant) { /* they end in zeros */
		for (c = 0; c < mant && !(h->mant >> c & 1); c++)
			;
		bits -= (uint64_t)h->full * c;
	}
	if (seen < all && seen)
		bits = bits / seen * all + bits % seen * all / seen;
	return bits + learn;
}

/* The numbers of one block: classes by context, as the model has them; or each
 * as it is, of a block alone. */
static void one_block(struct hist *h, uint32_t (*alone)[256],
	struct ml_qblock *k)
{
	unsigned i, pred, low, row, c, off = 0, v;
	enum ml_b_what what;

	while (k->step < k->steps) {
		what = ml_qblock_what(k, &i);
		if (what == ML_B_D || what == ML_B_M) {
			v = what == ML_B_D ? k->t.d : k->t.m;
			if (k->alone)
				one_alone(h, ML_K_F16, v, &row);
			else
				one_diff(h, ML_K_F16, 15, what == ML_B_D ?
					k->b.d : k->b.m, v);
			ml_qblock_next(k, what, 0);
			continue;
		}
		v = what == ML_B_Q ? k->t.q[i] : what == ML_B_S ? k->t.s[i] :
			k->t.n[i];
		if (k->alone) {
			alone[what - ML_B_S][v]++;
			ml_qblock_next(k, what, 0);
			continue;
		}
		ml_qblock_expect(k, what, i, &pred, &low, &row);
		off = v < pred ? pred - v : v - pred;
		row %= ML_B_ROWS;
		c = row < ML_B_ROWS_Q ? row / (4 * ML_B_LEVELS) : row < ML_B_ROWS_Q +
			ML_B_ROWS_S ? 9 : 10 + (row & 3);
		h->i[c][ml_bitlen(off)]++;
		h->raw += off ? ml_bitlen(off) : 0;
		ml_qblock_next(k, what, off);
	}
}

static uint64_t cost_blocks(unsigned type, const uint8_t *b,
	const uint8_t *p, size_t units)
{
	const enum ml_bform form = (enum ml_bform)(type - ML_TYPE_BLOCK);
	const size_t w = ml_type_bytes(type), n = (size_t)ml_bforms[form].nsub *
		ml_bforms[form].len;
	size_t step = units * n > 2 * SAMPLE ? units * n / SAMPLE : 1;
	size_t u, seen = 0;
	uint32_t alone[3][256] = { { 0 } };
	uint64_t learn = 0;
	uint8_t bytes[256];
	struct ml_qblock k;
	struct hist h;

	memset(&h, 0, sizeof h);
	for (u = 0; u < units; u += step, seen++) {
		ml_qblock_begin(&k, form, !b, 0);
		if (b) {
			memcpy(bytes, b + u * w, w);
			ml_qblock_bits(form, &k.b, bytes, 0);
		}
		memcpy(bytes, p + u * w, w);
		ml_qblock_bits(form, &k.t, bytes, 0);
		one_block(&h, alone, &k);
	}
	for (u = 0; u < 3; u++) {
		h.raw += ml_entropy(alone[u], 256);
		if (units * w < ENOUGH)
			learn += learning(alone[u], 256);
	}
	return total(&h, 0, seen, units) + learn;
}

/* The same from weights of another type. */
static uint64_t cost_crossed(unsigned type, const uint8_t *b,
	const uint8_t *p, size_t units)
{
	const enum ml_bform form = ML_CROSS_FORM(type);
	const unsigned n = ml_x_weights(form, ML_CROSS_FROM(type));
	const unsigned w = ml_b_bytes(form), need = ml_type_base(type);
	const size_t step = units * n > 2 * CROSSED ? units * n / CROSSED : 1;
	size_t u, seen = 0;
	uint8_t bytes[256];
	struct ml_cross x;
	struct ml_qblock k;
	struct hist h;
	unsigned i;

	memset(&h, 0, sizeof h);
	for (u = 0; u < units; u += step, seen++) {
		memcpy(x.raw, b + u * need, need);
		ml_x_load(&x, ML_CROSS_FROM(type), n);
		for (i = 0; i < n; i += ml_b_weights(form)) {
			memcpy(bytes, p + u * ml_type_bytes(type) +
				i / ml_b_weights(form) * w, w);
			ml_qblock_begin(&k, form, 0, 0);
			ml_qblock_cross(&k, &x, i);
			ml_qblock_bits(form, &k.t, bytes, 0);
			one_block(&h, NULL, &k);
		}
	}
	return total(&h, 0, seen, units);
}

static uint64_t cost(unsigned type, const uint8_t *b, const uint8_t *p,
	size_t units)
{
	const struct ml_type *t = &ml_types[ml_type_crossed(type) ? 0 : type];
	unsigned unit = ml_type_bytes(type), f, j, prev = 0, e0[4];
	size_t step = 1, per = 0, u, at, seen = 0;
	uint32_t ratio = 4096;
	struct hist h;

	if (ml_type_crossed(type))
		return cost_crossed(type, b, p, units);
	if (ml_type_block(type))
		return cost_blocks(type, b, p, units);
	memset(&h, 0, sizeof h);
	for (f = 0; f < t->nfield; f++)
		per += t->f[f].n;
	/* Runs of blocks from all over, when there are many. */
	if (units * per > 2 * SAMPLE)
		step = units * per / SAMPLE;
	for (f = 0; b && f < t->nfield; f++)
		e0[f] = ml_top_exponent(type, f, b, units);
	for (u = 0; u < units; u++) {
		if (step > 1 && u / 256 % step)
			continue;
		seen++;
		at = u * unit;
		for (f = 0; f < t->nfield; f++) {
			unsigned kind = t->f[f].kind, w = ml_kind_bytes[kind];

			for (j = 0; j < t->f[f].n; j++, at += w) {
				ml_word x = ml_elem_load(p + at, w);
				ml_word y = b ? ml_elem_load(b + at, w) : 0;

				if (b && kind == ML_K_F16)
					ratio = ml_requant_ratio((unsigned)y,
						(unsigned)x);
				if (b && kind == ML_K_R8) {
					one_requant(&h, ratio, 8, (unsigned)y,
						(unsigned)x);
				} else if (b && kind == ML_K_R4) {
					one_requant(&h, ratio, 4, y & 15,
						x & 15);
					one_requant(&h, ratio, 4,
						(unsigned)y >> 4,
						(unsigned)x >> 4);
				} else if (ml_kind_pair(kind)) {
					if (b) {
						one_diff(&h, kind, 0, y & 15,
							x & 15);
						one_diff(&h, kind, 0, y >> 4,
							x >> 4);
					} else {
						h.low[x]++;
					}
				} else if (b) {
					one_diff(&h, kind, e0[f], y, x);
				} else {
					one_alone(&h, kind, x, &prev);
				}
			}
		}
	}
	per = ml_kind_ebits[t->f[0].kind];
	return total(&h, !b && per && t->nfield == 1 && t->f[0].n == 1 ?
		ml_kind_bits(t->f[0].kind) - 1 - (unsigned)per : 0, seen,
		units);
}

uint64_t ml_cost_unseen(unsigned type, const uint8_t *p, size_t units)
{
	return cost(type, NULL, p, units);
}

uint64_t ml_cost_diff(unsigned type, const uint8_t *b, const uint8_t *p,
	size_t units)
{
	return cost(type, b, p, units);
}
