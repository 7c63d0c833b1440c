/* SPDX-License-Identifier: MIT */
/*
 * Blocks from weights of another type: what the base's weights would be
 * quantised to, ml-patch(5). Scales are searched for as ggml's reference
 * quantisers do, but in integers: with the same weights they come out the same
 * but for a rounding here and there, which costs a few bits and is no error.
 */
#ifndef ML_CROSS_H
#define ML_CROSS_H

#include "mlcast.h"
#include "mlquant.h"

/* What blocks are made from: floats as casts number them, then the formats. */
#define ML_X_FORM 3u
#define ML_X_NFROM (ML_X_FORM + ML_NBFORM)
#define ML_X_MAX 256 /* weights of a unit */
#define ML_X_FITS 22

struct ml_cross {
	uint8_t raw[4 * ML_X_MAX]; /* the base's bytes of a unit */
	uint32_t x[ML_X_MAX]; /* its weights, as the bits of f32 */
	/* of the block in work: */
	int32_t v[ML_X_MAX]; /* weights, times 2^k of their run */
	int16_t k[16];
	struct ml_fit {
		int32_t s, m; /* scale and minimum, times 2^(k - 8) */
	} fit[16][ML_X_FITS]; /* what a quantiser looks at in a run */
	uint8_t nfit[16], best[16];
	struct ml_num d, m; /* the two f16, before they are rounded */
	int64_t scale, add; /* of the run in work, times 2^(k - 12) */
};

/* ----- formats ---------------------------------------------------------- */

/* Weights and bytes of a block. */
static inline unsigned ml_b_weights(enum ml_bform f)
{
	return (unsigned)ml_bforms[f].nsub * ml_bforms[f].len;
}

static inline unsigned ml_b_bytes(enum ml_bform f)
{
	static const uint8_t n[ML_NBFORM] = {
		144, 176, 210, 110, 84, 20, 22, 24, 18, 34
	};

	return n[f];
}

/* The least that both types have whole blocks of. */
static inline unsigned ml_x_weights(enum ml_bform form, unsigned from)
{
	const unsigned n = ml_b_weights(form);
	const unsigned b = from < ML_X_FORM ? 1 :
		ml_b_weights((enum ml_bform)(from - ML_X_FORM));

	return n > b ? n : b;
}

/* Bytes of so many weights of the base. */
static inline unsigned ml_x_from_bytes(unsigned from, unsigned n)
{
	enum ml_bform f;

	if (from < ML_X_FORM)
		return n * (from ? 2 : 4);
	f = (enum ml_bform)(from - ML_X_FORM);
	return n / ml_b_weights(f) * ml_b_bytes(f);
}

static inline struct ml_num ml_x_int(int64_t v, int e)
{
	return ml_num_round(v < 0, (uint64_t)(v < 0 ? -v : v), e, 0);
}

static inline uint32_t ml_x_f32(struct ml_num x)
{
	return (x.neg ? 0x80000000u : 0) | ml_num_bits(x, 23, 127, 255);
}

/* n weights of the base from c->raw to c->x. */
static inline void ml_x_load(struct ml_cross *c, unsigned from, unsigned n)
{
	const uint8_t *p = c->raw;
	struct ml_qblock_parts b;
	uint8_t bytes[256];
	enum ml_bform f;
	int64_t s, a;
	unsigned i, j, w;

	if (from < ML_X_FORM) {
		for (i = 0; i < n; i++) {
			uint32_t v = (uint32_t)(p[0] | p[1] << 8);

			p += 2;
			if (!from) {
				v |= (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
				p += 2;
			}
			c->x[i] = ml_cast_from(from, v);
		}
		return;
	}
	f = (enum ml_bform)(from - ML_X_FORM);
	w = ml_b_weights(f);
	for (i = 0; i < n; i += w, p += ml_b_bytes(f)) {
		memcpy(bytes, p, ml_b_bytes(f));
		ml_qblock_bits(f, &b, bytes, 0);
		for (j = 0; j < w; j++) {
			ml_b_run(&ml_bforms[f], &b, j / ml_bforms[f].len, &s,
				&a);
			s = s * ((int)b.q[j] - ml_bforms[f].qoff) + a;
			c->x[i + j] = ml_x_f32(ml_x_int(s, -24));
		}
	}
}

/* ----- runs ------------------------------------------------------------- */

static inline int64_t ml_x_abs(int64_t v)
{
	return v < 0 ? -v : v;
}

/* Integers of at most 2^20 for a run. */
static inline void ml_x_run(struct ml_cross *c, unsigned j, const uint32_t *x,
	int32_t *v, unsigned n)
{
	struct ml_num a;
	int k = -10000, d;
	unsigned i;

	for (i = 0; i < n; i++) {
		a = ml_num_of(x[i]);
		if (a.m && a.e + 4 > k)
			k = a.e + 4;
	}
	if (k == -10000)
		k = 0;
	c->k[j] = (int16_t)k;
	for (i = 0; i < n; i++) {
		a = ml_num_of(x[i]);
		d = k - a.e; /* at least 4 */
		v[i] = a.m && d <= 24 ?
			(int32_t)((a.m + ((uint32_t)1 << (d - 1))) >> d) : 0;
		if (a.neg)
			v[i] = -v[i];
	}
}

static inline void ml_x_fit(struct ml_cross *c, unsigned j, int64_t s,
	int64_t m, int best)
{
	struct ml_fit *f = &c->fit[j][c->nfit[j]];

	f->s = (int32_t)ml_b_clamp(s, (int64_t)1 << 30);
	f->m = (int32_t)ml_b_clamp(m, (int64_t)1 << 30);
	if (best)
		c->best[j] = c->nfit[j];
	c->nfit[j]++;
}

static inline uint32_t ml_x_root(uint64_t v)
{
	uint64_t r = 0, b = (uint64_t)1 << 44;

	for (; b; b >>= 2) {
		if (v >= r + b) {
			v -= r + b;
			r = r >> 1 | b;
			continue;
		}
		r >>= 1;
	}
	return (uint32_t)r;
}

/* a * 256 / b, b > 0, without overflow for a quotient that fits. */
static inline int64_t ml_x_over(int64_t a, int64_t b)
{
	return a / b * 256 + a % b * 256 / b;
}

/* Codes 0 to most, a scale and a minimum of at most 0, by weighted squares:
 * steps + 1 slightly other scales are tried, from most + first / 10 codes on,
 * as ggml's make_qkx2_quants. */
static inline void ml_x_fit_min(struct ml_cross *c, unsigned j,
	const int32_t *v, unsigned n, unsigned most, int first, int steps,
	int absolute)
{
	int64_t lo = 0, hi = v[0], range, sw = 0, sx = 0, rate, least = 0;
	int64_t s, m, err, e, sl, sl2, sxl, d, ns, nm;
	uint64_t sum = 0;
	int32_t w[32], l[32];
	uint32_t mean;
	unsigned i;
	int t;

	for (i = 0; i < n; i++) {
		lo = v[i] < lo ? v[i] : lo;
		hi = v[i] > hi ? v[i] : hi;
		sum += (uint64_t)((int64_t)v[i] * v[i]);
	}
	range = hi - lo;
	if (!range) {
		ml_x_fit(c, j, 0, lo * 256, 1);
		return;
	}
	mean = ml_x_root(sum / n);
	for (i = 0; i < n; i++) {
		w[i] = (int32_t)(absolute ? ml_x_abs(v[i]) >> 9 :
			(ml_x_abs(v[i]) + mean) >> 10);
		sw += w[i];
		sx += (int64_t)w[i] * v[i];
	}
	for (t = -1; t <= steps; t++) {
		rate = (int64_t)most * 10 + (t < 0 ? 0 : first + t);
		rate = (rate << 40) / (10 * range);
		sl = sl2 = sxl = 0;
		for (i = 0; i < n; i++) {
			int64_t q = ((v[i] - lo) * rate + ((int64_t)1 << 39)) >>
				40;

			if (q > (int64_t)most)
				q = most;
			l[i] = (int32_t)q;
			q *= w[i];
			sl += q;
			sl2 += q * l[i];
			sxl += q * v[i];
		}
		s = range * 256 / most;
		m = lo * 256;
		if (t >= 0) {
			d = sw * sl2 - sl * sl;
			if (d <= 0)
				continue;
			ns = sw * sxl - sx * sl;
			nm = sl2 * sx - sl * sxl;
			s = nm > 0 ? ml_x_over(sxl, sl2) : ml_x_over(ns, d);
			m = nm > 0 ? 0 : ml_x_over(nm, d);
		}
		for (err = 0, i = 0; i < n; i++) {
			e = (s * l[i] + m - (int64_t)v[i] * 256) / 16;
			e = ml_b_clamp(e, (int64_t)1 << 22);
			err += w[i] * (absolute ? ml_x_abs(e) : e * e);
		}
		ml_x_fit(c, j, s, m, t < 0 || err < least);
		least = t < 0 || err < least ? err : least;
	}
}

/* How good a scale is that has these sums. */
static inline int64_t ml_x_score(int64_t sxl, int64_t sl2)
{
	return sl2 > 0 ? (sxl / 4096) * (sxl / 4096) / sl2 : 0;
}

/* The first of the greatest absolute value. */
static inline int64_t ml_x_peak(const int32_t *v, unsigned n)
{
	int64_t most = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		if (ml_x_abs(v[i]) > ml_x_abs(most))
			most = v[i];
	return most;
}

/* The code of v, -most to most - 1, where 2^40 / rate is worth 1. */
static inline int64_t ml_x_code(int64_t v, int64_t rate, int most)
{
	int64_t q = (v * rate + ((int64_t)1 << 39) + ((int64_t)64 << 40)) >> 40;

	q -= 64;
	return q < -most ? -most : q >= most ? most - 1 : q;
}

/* The same without a minimum, as make_qx_quants. */
static inline void ml_x_fit_signed(struct ml_cross *c, unsigned j,
	const int32_t *v, unsigned n, int most)
{
	const int64_t peak = ml_x_peak(v, n);
	int64_t score, best = -1, keep = 0, sxl, sl2;
	unsigned i;
	int t;

	for (t = -10; peak && t <= 9; t++) {
		/* -10 stands for 0, which comes first */
		const int64_t rate = ((int64_t)-(10 * most +
			(t == -10 ? 0 : t)) * ((int64_t)1 << 40)) / (10 * peak);

		if (t == 0)
			continue;
		for (sxl = sl2 = 0, i = 0; i < n; i++) {
			const int64_t l = ml_x_code(v[i], rate, most);
			const int64_t w = (int64_t)v[i] * v[i] >> 27;

			sxl += w * v[i] * l;
			sl2 += w * l * l;
		}
		score = ml_x_score(sxl, sl2);
		if (sl2 > 0 && score > best) {
			best = score;
			keep = ml_x_over(sxl, sl2);
		}
	}
	ml_x_fit(c, j, keep, 0, 1);
}

/* As make_q3_quants: codes are moved one by one as long as that helps. */
static inline void ml_x_fit_moved(struct ml_cross *c, unsigned j,
	const int32_t *v, unsigned n, int most)
{
	const int64_t peak = ml_x_peak(v, n);
	int64_t l[16], sxl = 0, sl2 = 0, x, y, q, w;
	unsigned i, moved = 1;
	int pass;

	for (i = 0; peak && i < n; i++) {
		l[i] = ml_x_code(v[i], (int64_t)-most * ((int64_t)1 << 40) /
			peak, most);
		w = (int64_t)v[i] * v[i] >> 27;
		sxl += w * v[i] * l[i];
		sl2 += w * l[i] * l[i];
	}
	for (pass = 0; peak && moved && pass < 5; pass++)
		for (moved = 0, i = 0; i < n; i++) {
			w = (int64_t)v[i] * v[i] >> 27;
			x = sxl - w * v[i] * l[i];
			y = sl2 - w * l[i] * l[i];
			if (x <= 0)
				continue;
			q = 2 * v[i] * y + x + 32 * x;
			q = q < 0 ? -most : q / (2 * x) - 16;
			q = q < -most ? -most : q >= most ? most - 1 : q;
			if (q == l[i])
				continue;
			x += w * v[i] * q;
			y += w * q * q;
			if (y <= 0 || ml_x_score(x, y) <= ml_x_score(sxl, sl2))
				continue;
			l[i] = q;
			sxl = x;
			sl2 = y;
			moved = 1;
		}
	ml_x_fit(c, j, sl2 > 0 ? ml_x_over(sxl, sl2) : 0, 0, 1);
}

/* ----- blocks ----------------------------------------------------------- */

/* The number of a scale or minimum. */
static inline struct ml_num ml_x_num(const struct ml_cross *c, unsigned j,
	int64_t v)
{
	return ml_x_int(v, c->k[j] - 8);
}

static inline int ml_x_less(struct ml_num a, struct ml_num b) /* absolute */
{
	if (!a.m || !b.m)
		return !a.m && b.m;
	return a.e != b.e ? a.e < b.e : a.m < b.m;
}

/* a / b; 0 for b = 0. */
static inline struct ml_num ml_x_div(struct ml_num a, struct ml_num b)
{
	const struct ml_num none = { 0, 0, 0 };

	return a.m && b.m ? ml_num_over(a, b) : none;
}

/* The f16 of a block of 32: the weight of the greatest absolute value over
 * what it becomes, or the range over the number of steps. */
static inline void ml_x_guess_small(struct ml_cross *c, enum ml_bform form,
	const uint32_t *x)
{
	static const int16_t over[ML_NBFORM] = {
		0, 0, 0, 0, 0, 15, -16, 31, -8, 127
	};
	struct ml_num lo = ml_num_of(x[0]), hi = lo, most = { 0, 0, 0 }, a;
	unsigned i;

	for (i = 0; i < 32; i++) {
		a = ml_num_of(x[i]);
		if (ml_x_less(most, a))
			most = a;
		if (ml_num_less(a, lo))
			lo = a;
		if (ml_num_less(hi, a))
			hi = a;
	}
	if (ml_bforms[form].min) {
		c->m = lo;
		lo.neg ^= 1;
		most = ml_num_plus(hi, lo);
		most.neg = 0;
	} else if (form == ML_B_Q8_0) {
		most.neg = 0;
	}
	c->d = ml_num_over(most, ml_x_int(over[form], 0));
}

/* The same of a block of 256, by its runs. */
static inline void ml_x_guess_large(struct ml_cross *c, enum ml_bform form)
{
	const struct ml_bform_info *f = &ml_bforms[form];
	struct ml_num s = { 0, 0, 0 }, m = s, a;
	unsigned j;

	for (j = 0; j < f->nsub; j++) {
		const struct ml_fit *t = &c->fit[j][c->best[j]];

		a = ml_x_num(c, j, t->s);
		if (ml_x_less(s, a) && (!f->nbits || !a.neg))
			s = a;
		a = ml_x_num(c, j, -(int64_t)t->m);
		if (ml_x_less(m, a))
			m = a;
	}
	if (f->nbits) {
		a = ml_x_int((1 << f->sbits) - 1, 0);
		c->d = ml_x_div(s, a);
		c->m = ml_x_div(m, a);
	} else { /* twice rounded, as there */
		a = ml_x_int(-(1 << (f->sbits - 1)), 0);
		c->d = ml_x_div(ml_x_int(1, 0), ml_x_div(a, s));
	}
}

/* The block whose first weight is number `first` of the unit: what is known
 * before anything of it is decoded, and b's two f16. */
static inline void ml_x_guess(struct ml_cross *c, enum ml_bform form,
	unsigned first, struct ml_qblock_parts *b)
{
	const struct ml_bform_info *f = &ml_bforms[form];
	const uint32_t *x = c->x + first;
	unsigned j;

	memset(b, 0, sizeof *b);
	memset(&c->d, 0, sizeof c->d);
	memset(&c->m, 0, sizeof c->m);
	for (j = 0; j < f->nsub; j++) {
		int32_t *v = c->v + j * f->len;

		ml_x_run(c, j, x + j * f->len, v, f->len);
		c->nfit[j] = c->best[j] = 0;
		if (form == ML_B_Q4_K)
			ml_x_fit_min(c, j, v, f->len, 15, -10, 20, 0);
		else if (form == ML_B_Q5_K)
			ml_x_fit_min(c, j, v, f->len, 31, -5, 15, 0);
		else if (form == ML_B_Q2_K)
			ml_x_fit_min(c, j, v, f->len, 3, -5, 15, 1);
		else if (form == ML_B_Q6_K)
			ml_x_fit_signed(c, j, v, f->len, 32);
		else if (form == ML_B_Q3_K)
			ml_x_fit_moved(c, j, v, f->len, 4);
	}
	if (f->sbits)
		ml_x_guess_large(c, form);
	else
		ml_x_guess_small(c, form, x);
	b->d = (uint16_t)ml_cast_f16_of(c->d);
	b->m = (uint16_t)ml_cast_f16_of(c->m);
}

/* ----- numbers of a block ----------------------------------------------- */

/* v * 2^up, towards 0, to at most 2^48. */
static inline int64_t ml_x_shift(int64_t v, int up)
{
	const int64_t most = (int64_t)1 << 48;

	if (up < 0)
		return up < -62 ? 0 : v / ((int64_t)1 << -up);
	v = ml_b_clamp(v, most);
	for (; up && v && v < most && v > -most; up--)
		v *= 2;
	return ml_b_clamp(v, most);
}

/* The same of a number. */
static inline int64_t ml_x_fixed(struct ml_num x, int up)
{
	return ml_x_shift(x.neg ? -(int64_t)x.m : (int64_t)x.m, x.e + up);
}

/* Where number i lies, in 4096ths; t is known as far as it was decoded. */
static inline int64_t ml_x_at(const struct ml_cross *c, enum ml_bform form,
	const struct ml_qblock_parts *t, int scale, unsigned i)
{
	const unsigned n = c->best[i];
	const int64_t zero = (int64_t)ml_bforms[form].soff * 4096;
	int64_t at, want, off, least;
	unsigned k, pick = n, c0;
	struct ml_b_line l = { 0, 0 };

	at = ml_x_fixed(ml_x_div(ml_x_num(c, i, c->fit[i][n].s),
		ml_x_int(ml_b_fixed(t->d), -24)), 12) + zero;
	if (scale)
		return at;
	/* a minimum: that of the scale which is the nearest to what it is */
	l.at = at;
	if (ml_b_predict(&l, 0, (1u << ml_bforms[form].sbits) - 1, &c0) !=
		t->s[i]) {
		want = ml_x_shift(ml_b_fixed(t->d) * t->s[i], -16 - c->k[i]);
		for (least = INT64_MAX, k = 0; k < c->nfit[i]; k++) {
			off = ml_x_abs(c->fit[i][k].s - want);
			if (off < least) {
				least = off;
				pick = k;
			}
		}
	}
	return ml_x_fixed(ml_x_div(ml_x_num(c, i,
		-(int64_t)c->fit[i][pick].m),
		ml_x_int(ml_b_fixed(t->m), -24)), 12);
}

/* The same of code i; those of a run in turn. */
static inline int64_t ml_x_code_at(struct ml_cross *c, enum ml_bform form,
	const struct ml_qblock_parts *b, const struct ml_qblock_parts *t,
	unsigned i)
{
	const struct ml_bform_info *f = &ml_bforms[form];
	const unsigned j = i / f->len;
	const int64_t zero = (int64_t)f->qoff * 4096;

	if (i % f->len == 0) {
		ml_b_run(f, t, j, &c->scale, &c->add);
		c->scale = ml_x_shift(c->scale, -12 - c->k[j]);
		c->add = ml_x_shift(c->add, -12 - c->k[j]);
		/* blocks of 32 use d as it was before it was rounded */
		if (!f->sbits && t->d == b->d)
			c->scale = ml_x_fixed(c->d, 12 - c->k[j]);
		if (!f->sbits && f->min && t->m == b->m)
			c->add = ml_x_fixed(c->m, 12 - c->k[j]);
	}
	if (!c->scale)
		return zero;
	return ((int64_t)c->v[i] * 4096 - c->add) * 4096 / c->scale + zero;
}

#endif
