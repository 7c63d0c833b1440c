/* SPDX-License-Identifier: MIT */
/*
 * Casts of elements as ml-patch(5) has them: numbers of 24 bits of mantissa
 * and any exponent, rounded to the nearest, ties to even. By hand, so that
 * every machine and compiler makes the same; no 64-bit division.
 */
#ifndef ML_CAST_NUM_H
#define ML_CAST_NUM_H

#include <stdint.h>

/* Types that are cast from and to, as casts have them. */
enum { ML_CAST_F32, ML_CAST_F16, ML_CAST_BF16 };

/* (-1)^neg * m * 2^e; m is 0 or has 24 bits. */
struct ml_num {
	int neg, e;
	uint32_t m;
};

/* m > 0, with `more` behind it, to 24 bits: to nearest, ties to even. */
static inline struct ml_num ml_num_round(int neg, uint64_t m, int e, int more)
{
	struct ml_num r = { neg, e, 0 };
	uint64_t half, rest;
	unsigned k = 0;

	if (!m)
		return r;
	while (m >> (24 + k))
		k++;
	if (k) {
		half = (uint64_t)1 << (k - 1);
		rest = m & (2 * half - 1);
		m >>= k;
		if (rest > half || (rest == half && (more || (m & 1))))
			m++;
		e += (int)k;
		if (m >> 24) {
			m >>= 1;
			e++;
		}
	}
	while (!(m >> 23)) {
		m <<= 1;
		e--;
	}
	r.m = (uint32_t)m;
	r.e = e;
	return r;
}

/* Of the bits of a f32. */
static inline struct ml_num ml_num_of(uint32_t v)
{
	const unsigned e = v >> 23 & 255;
	const uint32_t m = (v & 0x7fffff) | (e ? 0x800000u : 0);

	return ml_num_round((int)(v >> 31), m, (int)(e ? e : 1) - 150, 0);
}

static inline struct ml_num ml_num_times(struct ml_num a, struct ml_num b)
{
	return ml_num_round(a.neg ^ b.neg, (uint64_t)a.m * b.m, a.e + b.e, 0);
}

/* b is not 0. */
static inline struct ml_num ml_num_over(struct ml_num a, struct ml_num b)
{
	uint32_t q = 0, r = a.m; /* r stays below 2 * b.m */
	unsigned i;

	for (i = 0; i < 27; i++) {
		q <<= 1;
		if (r >= b.m) {
			r -= b.m;
			q |= 1;
		}
		r <<= 1;
	}
	return ml_num_round(a.neg ^ b.neg, q, a.e - 26 - b.e, r != 0);
}

static inline struct ml_num ml_num_plus(struct ml_num a, struct ml_num b)
{
	int64_t x, y;
	int d;

	if (!b.m)
		return a;
	if (!a.m)
		return b;
	if (a.e < b.e) {
		const struct ml_num t = a;

		a = b;
		b = t;
	}
	d = a.e - b.e;
	if (d > 38) /* too small to matter */
		return a;
	x = (int64_t)a.m << d;
	y = b.m;
	x = (a.neg ? -x : x) + (b.neg ? -y : y);
	return ml_num_round(x < 0, (uint64_t)(x < 0 ? -x : x), b.e, 0);
}

/* a < b */
static inline int ml_num_less(struct ml_num a, struct ml_num b)
{
	const int na = a.m && a.neg, nb = b.m && b.neg;

	if (na != nb)
		return na;
	if (!a.m || !b.m)
		return a.m ? na : b.m && !nb;
	if (a.e != b.e)
		return (a.e < b.e) != na;
	return na ? a.m > b.m : a.m < b.m;
}

/* To a format of mb bits of mantissa and a bias, without its sign. */
static inline unsigned ml_num_bits(struct ml_num x, unsigned mb, int bias,
	unsigned top)
{
	const unsigned inf = top << mb;
	int e = x.e + 23 + bias; /* the exponent field of a normal number */
	unsigned drop = 23 - mb;
	uint32_t half, rest, m = x.m;

	if (!m)
		return 0;
	if (e >= (int)top)
		return inf;
	if (e < 1) {
		if (1 - e > 24)
			return 0;
		drop += (unsigned)(1 - e);
		e = 0;
	}
	if (drop > 31)
		return 0;
	if (drop) {
		half = (uint32_t)1 << (drop - 1);
		rest = m & (2 * half - 1);
		m >>= drop;
		m += rest > half || (rest == half && (m & 1));
	}
	/* the leading one, where there is one, counts in the exponent */
	return (unsigned)((uint32_t)(e ? e - 1 : 0) << mb) + m;
}

/* To the nearest integer, ties away from 0; at most 2^30. */
static inline int32_t ml_num_nearest(struct ml_num x)
{
	int64_t v;

	if (!x.m || x.e < -25)
		return 0;
	v = x.e > 7 ? (int64_t)1 << 30 : x.e >= 0 ? (int64_t)x.m << x.e :
		(x.m + ((int64_t)1 << (-x.e - 1))) >> -x.e;
	v = v > (int64_t)1 << 30 ? (int64_t)1 << 30 : v;
	return (int32_t)(x.neg ? -v : v);
}

/* x + 8.5, towards 0, 0 to 15. */
static inline unsigned ml_num_nibble(struct ml_num x)
{
	int64_t v; /* in 2^-32 */

	if (x.e > 4)
		return x.neg ? 0 : 15;
	v = x.e + 32 >= 0 ? (int64_t)x.m << (x.e + 32) :
		x.e + 32 > -24 ? (int64_t)(x.m >> -(x.e + 32)) : 0;
	v = ((int64_t)17 << 31) + (x.neg ? -v : v);
	return v < 0 ? 0 : v >> 32 > 15 ? 15 : (unsigned)(v >> 32);
}

/* ----- floats ----------------------------------------------------------- */

static inline unsigned ml_cast_f16_of(struct ml_num x)
{
	return (x.neg ? 0x8000u : 0) | ml_num_bits(x, 10, 15, 31);
}

static inline uint32_t ml_cast_of_f16(unsigned v)
{
	const unsigned e = v >> 10 & 31;
	uint32_t m = v & 1023, sign = (uint32_t)(v & 0x8000) << 16;
	unsigned k = 0;

	if (e == 31)
		return sign | 0x7f800000 | m << 13;
	if (e)
		return sign | (e + 112) << 23 | m << 13;
	if (!m)
		return sign;
	while (!(m & 1024)) {
		m <<= 1;
		k++;
	}
	return sign | (113 - k) << 23 | (m & 1023) << 13;
}

static inline unsigned ml_cast_to_bf16(uint32_t v)
{
	if ((v & 0x7fffffff) > 0x7f800000)
		return v >> 16 | 64;
	return (v + 0x7fff + (v >> 16 & 1)) >> 16;
}

static inline unsigned ml_cast_to_f16(uint32_t v)
{
	const unsigned sign = v >> 16 & 0x8000;

	if ((v & 0x7fffffff) >= 0x7f800000)
		return sign | 0x7c00 | (v & 0x7fffff ? 0x200 | (v >> 13 & 1023) :
			0);
	return ml_cast_f16_of(ml_num_of(v));
}

/* The bits of an element as those of a f32, and back. */
static inline uint32_t ml_cast_from(unsigned type, uint32_t v)
{
	return type == ML_CAST_F16 ? ml_cast_of_f16((unsigned)v) :
		type == ML_CAST_BF16 ? v << 16 : v;
}

static inline uint32_t ml_cast_to(unsigned type, uint32_t v)
{
	return type == ML_CAST_F16 ? ml_cast_to_f16(v) :
		type == ML_CAST_BF16 ? ml_cast_to_bf16(v) : v;
}

/* ----- integers --------------------------------------------------------- */

/* x / scale (the bits of a f32), rounded, and the zero point, as a code of
 * eight bits that are signed or not. */
static inline uint8_t ml_cast_code(struct ml_num x, uint32_t scale,
	int32_t zero, int is_signed)
{
	const struct ml_num s = ml_num_of(scale);
	const int32_t least = is_signed ? -128 : 0;

	if (s.m)
		zero += ml_num_nearest(ml_num_over(x, s));
	return (uint8_t)(zero < least ? least : zero > least + 255 ?
		least + 255 : zero);
}

#define ML_CAST_BLOCK 32 /* elements of Q8_0 and Q4_0 */

/* ggml's quantize_row_q8_0_ref, or _q4_0_ref if so: a block of elements, as the
 * bits of f32. */
static inline void ml_cast_quantise(int q4,
	const uint32_t x[ML_CAST_BLOCK], uint8_t *q)
{
	const struct ml_num one = ml_num_of(0x3f800000);
	const struct ml_num eight = ml_num_of(0xc1000000); /* -8 */
	const struct ml_num full = ml_num_of(0x42fe0000); /* 127 */
	uint32_t most = 0, max = 0;
	struct ml_num d, id, v;
	unsigned i, h;

	for (i = 0; i < ML_CAST_BLOCK; i++)
		if ((x[i] & 0x7fffffff) > most) {
			most = x[i] & 0x7fffffff;
			max = x[i];
		}
	d = q4 ? ml_num_over(ml_num_of(max), eight) :
		ml_num_over(ml_num_of(most), full);
	h = ml_cast_f16_of(d);
	*q++ = (uint8_t)h;
	*q++ = (uint8_t)(h >> 8);
	id = d;
	if (d.m)
		id = ml_num_over(one, d);
	for (i = 0; i < ML_CAST_BLOCK; i++) {
		v = ml_num_times(ml_num_of(x[i]), id);
		if (!q4)
			q[i] = (uint8_t)ml_num_nearest(v);
		else if (i < 16)
			q[i] = (uint8_t)ml_num_nibble(v);
		else
			q[i - 16] = (uint8_t)(q[i - 16] |
				ml_num_nibble(v) << 4);
	}
}

#endif
