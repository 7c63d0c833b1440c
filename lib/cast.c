/* SPDX-License-Identifier: MIT */
/*
 * Casts between element types, as frameworks do them: floats are rounded to
 * the nearest, ties to even; Q8_0 and Q4_0 as ggml's reference quantisers;
 * integers by scale and zero point as TensorFlow Lite. Where one does it
 * otherwise the residual says so. Floats are done by hand, so that every
 * machine and compiler makes the same.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"

static const struct {
	uint8_t bytes, elems;
	uint16_t dtype;
} info[ML_C_NTYPE] = {
	{4, 1, ML_DT_F32}, {2, 1, ML_DT_F16}, {2, 1, ML_DT_BF16},
	{8, 1, ML_DT_F64}, {34, 32, ML_DT_GGML + 8}, {18, 32, ML_DT_GGML + 2},
	{1, 1, ML_DT_I8}, {1, 1, ML_DT_U8},
	{4, 1, ML_DT_OPAQUE}, {2, 1, ML_DT_OPAQUE}, {2, 1, ML_DT_OPAQUE},
};

unsigned ml_cast_type(unsigned dtype, int to)
{
	unsigned t;

	if (dtype == ML_DT_GGML) /* what GGUF calls f32 and f16 */
		dtype = ML_DT_F32;
	if (dtype == ML_DT_GGML + 1)
		dtype = ML_DT_F16;
	for (t = 0; t < ML_C_SUM; t++)
		if (info[t].dtype == dtype)
			return to ? t != ML_C_F64 ? t : ML_CAST_NONE :
				t <= ML_C_F64 || t == ML_C_I8 ? t :
				ML_CAST_NONE;
	return ML_CAST_NONE;
}

unsigned ml_cast_bytes(unsigned type)
{
	return info[type].bytes;
}

unsigned ml_cast_elems(unsigned type)
{
	return info[type].elems;
}

uint64_t ml_cast_len(const struct ml_cast *c)
{
	return c->units * info[c->to].bytes;
}

uint64_t ml_cast_from_len(const struct ml_cast *c)
{
	return c->units * info[c->to].elems * info[c->from].bytes;
}

int ml_cast_legal(const struct ml_cast *c, uint64_t size)
{
	const int scaled = c->to == ML_C_I8 || c->to == ML_C_U8;

	if ((c->from > ML_C_F64 && (c->from != ML_C_I8 || c->to != ML_C_I8)) ||
		c->to >= ML_C_NTYPE || c->to == ML_C_F64 ||
		c->units == 0 || c->units > size || c->at > size)
		return 0;
	if (c->units > (UINT64_C(1) << 50) || ml_cast_from_len(c) > size -
		c->at)
		return 0;
	if (c->to >= ML_C_SUM)
		return c->rank >= 1 && c->rank <= ML_FACTORS_MAX &&
			c->inner >= 1 && c->units % c->inner == 0 &&
			c->exp > -2000 && c->exp < 2000 && c->nscale == 0;
	if (c->rank)
		return 0;
	return scaled ? c->nscale >= 1 && c->nscale <= ML_QUANT_MAX &&
		c->inner >= 1 : c->nscale == 0;
}

/* ===== floats by hand =================================================== */

/* (-1)^neg * m * 2^e; m is 0 or has 24 bits. */
struct num {
	int neg, e;
	uint32_t m;
};

/* m > 0, with `more` behind it, to 24 bits: to nearest, ties to even. */
static struct num rounded(int neg, uint64_t m, int e, int more)
{
	struct num r = {neg, e, 0};
	uint64_t half, rest;
	unsigned k = 0;

	if (!m)
		return r;
	while (m >> (24 + k))
		k++;
	if (k) {
		half = UINT64_C(1) << (k - 1);
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

static struct num from_f32(uint32_t v)
{
	const unsigned e = v >> 23 & 255;
	const uint32_t m = (v & 0x7fffff) | (e ? 0x800000u : 0);

	return rounded((int)(v >> 31), m, (int)(e ? e : 1) - 150, 0);
}

static struct num times(struct num a, struct num b)
{
	return rounded(a.neg ^ b.neg, (uint64_t)a.m * b.m, a.e + b.e, 0);
}

/* b is not 0 */
static struct num over(struct num a, struct num b)
{
	const uint64_t n = (uint64_t)a.m << 38;

	return rounded(a.neg ^ b.neg, n / b.m, a.e - 38 - b.e, n % b.m != 0);
}

/* To a format of mb bits of mantissa and a bias, without its sign. */
static unsigned encode(struct num x, unsigned mb, int bias, unsigned top)
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
		half = UINT32_C(1) << (drop - 1);
		rest = m & (2 * half - 1);
		m >>= drop;
		m += rest > half || (rest == half && (m & 1));
	}
	/* the leading one, where there is one, counts in the exponent */
	return (unsigned)((uint32_t)(e ? e - 1 : 0) << mb) + m;
}

static unsigned f16_of(struct num x)
{
	return (x.neg ? 0x8000u : 0) | encode(x, 10, 15, 31);
}

static uint32_t f32_of_f16(unsigned v)
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

static unsigned bf16_of_f32(uint32_t v)
{
	if ((v & 0x7fffffff) > 0x7f800000)
		return v >> 16 | 64;
	return (v + 0x7fff + (v >> 16 & 1)) >> 16;
}

static unsigned f16_of_f32(uint32_t v)
{
	const unsigned sign = v >> 16 & 0x8000;

	if ((v & 0x7fffffff) >= 0x7f800000)
		return sign | 0x7c00 | (v & 0x7fffff ? 0x200 | (v >> 13 & 1023) :
			0);
	return f16_of(from_f32(v));
}

static uint32_t f32_of_f64(uint64_t v)
{
	const unsigned e = v >> 52 & 2047;
	const uint64_t m = (v & ((UINT64_C(1) << 52) - 1)) |
		(e ? UINT64_C(1) << 52 : 0);
	const uint32_t sign = (uint32_t)(v >> 32 & 0x80000000);

	if (e == 2047)
		return sign | 0x7f800000 | (uint32_t)(m >> 29 & 0x7fffff);
	return sign | encode(rounded(0, m, (int)(e ? e : 1) - 1075, 0), 23,
		127, 255);
}

/* Element i as the bits of a f32. */
static uint32_t load(unsigned type, const uint8_t *p)
{
	switch (type) {
	case ML_C_F32: return ml_load32(p);
	case ML_C_F16: return f32_of_f16(ml_load16(p));
	case ML_C_BF16: return (uint32_t)ml_load16(p) << 16;
	case ML_C_I8: return *p; /* not a f32, but see scaled() */
	default: return f32_of_f64(ml_load64(p));
	}
}

/* To the nearest integer, ties away from 0; at most 2^30. */
static int32_t nearest(struct num x)
{
	int64_t v;

	if (!x.m || x.e < -25)
		return 0;
	v = x.e > 7 ? INT64_C(1) << 30 : x.e >= 0 ? (int64_t)x.m << x.e :
		(x.m + (INT64_C(1) << (-x.e - 1))) >> -x.e;
	v = v > INT64_C(1) << 30 ? INT64_C(1) << 30 : v;
	return (int32_t)(x.neg ? -v : v);
}

/* x + 8.5, towards 0, 0 to 15. */
static unsigned nibble(struct num x)
{
	int64_t v; /* in 2^-32 */

	if (x.e > 4)
		return x.neg ? 0 : 15;
	v = x.e + 32 >= 0 ? (int64_t)x.m << (x.e + 32) :
		x.e + 32 > -24 ? (int64_t)(x.m >> -(x.e + 32)) : 0;
	v = (INT64_C(17) << 31) + (x.neg ? -v : v);
	return v < 0 ? 0 : v >> 32 > 15 ? 15 : (unsigned)(v >> 32);
}

/* ===== units ============================================================ */

/* ggml's quantize_row_q8_0_ref and quantize_row_q4_0_ref: 32 elements. */
static void quantise(unsigned to, unsigned from, const uint8_t *p, uint8_t *q)
{
	const struct num one = from_f32(0x3f800000);
	const struct num eight = from_f32(0xc1000000); /* -8 */
	const struct num full = from_f32(0x42fe0000); /* 127 */
	const unsigned w = info[from].bytes;
	uint32_t x[32], most = 0, max = 0;
	struct num d, id;
	unsigned i;

	for (i = 0; i < 32; i++) {
		x[i] = load(from, p + i * w);
		if ((x[i] & 0x7fffffff) > most) {
			most = x[i] & 0x7fffffff;
			max = x[i];
		}
	}
	d = to == ML_C_Q8_0 ? over(from_f32(most), full) :
		over(from_f32(max), eight);
	ml_store16(q, f16_of(d) & 0xffff);
	q += 2;
	id = d;
	if (d.m)
		id = over(one, d);
	for (i = 0; i < 32; i++) {
		const struct num v = times(from_f32(x[i]), id);

		if (to == ML_C_Q8_0)
			q[i] = (uint8_t)nearest(v);
		else if (i < 16)
			q[i] = (uint8_t)nibble(v);
		else
			q[i - 16] = (uint8_t)(q[i - 16] | nibble(v) << 4);
	}
}

static struct num plus(struct num a, struct num b)
{
	int64_t x, y;
	int d;

	if (!b.m)
		return a;
	if (!a.m)
		return b;
	if (a.e < b.e) {
		const struct num t = a;

		a = b;
		b = t;
	}
	d = a.e - b.e;
	if (d > 38) /* too small to matter */
		return a;
	x = (int64_t)a.m << d;
	y = b.m;
	x = (a.neg ? -x : x) + (b.neg ? -y : y);
	return rounded(x < 0, (uint64_t)(x < 0 ? -x : x), b.e, 0);
}

/* An element with its share of a sum of low rank, as the bits of a f32. */
static uint32_t summed(const struct ml_cast *c, uint64_t i, uint32_t v)
{
	const int32_t *u = c->u + i / c->inner * c->rank;
	const int32_t *w = c->v + i % c->inner * c->rank;
	struct num x;
	int64_t s = 0;
	unsigned k;

	/* below 2^23 * 2^30 * 64 */
	for (k = 0; k < c->rank; k++)
		s += (int64_t)u[k] * ((int64_t)w[k] * (1 << c->drop[k]));
	x = plus(from_f32(v), rounded(s < 0, (uint64_t)(s < 0 ? -s : s),
		c->exp, 0));
	return (x.neg ? 0x80000000u : 0) | encode(x, 23, 127, 255);
}

static uint8_t scaled(const struct ml_cast *c, uint64_t i, uint32_t v)
{
	const int32_t least = c->to == ML_C_I8 ? -128 : 0;
	const struct num s = from_f32(c->scale[i / c->inner % c->nscale]);
	const struct num x = c->from != ML_C_I8 ? from_f32(v) :
		v > 127 ? rounded(1, 256 - v, 0, 0) : rounded(0, v, 0, 0);
	int32_t q = c->zero;

	if (s.m)
		q += nearest(over(x, s));
	q = q < least ? least : q > least + 255 ? least + 255 : q;
	return (uint8_t)q;
}

void ml_cast_make(const struct ml_cast *c, uint64_t first, uint64_t n,
	const uint8_t *from, uint8_t *to)
{
	const unsigned w = info[c->from].bytes;
	uint64_t i;
	uint32_t v;

	for (i = 0; i < n; i++) {
		switch (c->to) {
		case ML_C_Q8_0:
		case ML_C_Q4_0:
			quantise(c->to, c->from, from, to);
			from += 32 * w;
			to += info[c->to].bytes;
			continue;
		default: v = load(c->from, from);
		}
		from += w;
		if (c->to >= ML_C_SUM)
			v = summed(c, first + i, v);
		switch (c->to >= ML_C_SUM ? c->to - ML_C_SUM : c->to) {
		case ML_C_F32: ml_store32(to, v); break;
		case ML_C_F16: ml_store16(to, f16_of_f32(v)); break;
		case ML_C_BF16: ml_store16(to, bf16_of_f32(v)); break;
		default: *to = scaled(c, first + i, v);
		}
		to += info[c->to].bytes;
	}
}

uint32_t ml_cast_f32(unsigned type, const uint8_t *p)
{
	return load(type, p);
}

uint32_t ml_cast_divide(uint32_t a, uint32_t b)
{
	const struct num n = from_f32(b);
	struct num q;

	if (!n.m)
		return 0;
	q = over(from_f32(a), n);
	return (q.neg ? 0x80000000u : 0) | encode(q, 23, 127, 255);
}

/* ===== as a source ====================================================== */

#define UNITS 512 /* made at a time */
#define FROM_MAX (UNITS * 32 * 8)

struct cast_src {
	struct ml_src *of;
	uint64_t size; /* of it */
	const struct ml_cast *c;
	uint64_t *end; /* of each cast, counted from there */
	size_t n;
	uint8_t from[FROM_MAX], to[UNITS * 34];
};

static void src_free(void *ctx)
{
	struct cast_src *s = ctx;

	free(s->end);
	free(s);
}

/* The units around `off` of cast i, as many as are made at a time: *at is
 * the offset of the first. Returns bytes. */
static int make(struct cast_src *s, size_t i, uint64_t off, uint64_t *at,
	size_t *bytes, struct ml_diag *diag)
{
	const struct ml_cast *c = &s->c[i];
	const uint64_t first = off / info[c->to].bytes;
	const uint64_t n = c->units - first < UNITS ? c->units - first : UNITS;
	const uint64_t each = (uint64_t)info[c->to].elems *
		info[c->from].bytes;
	int err = ml_src_read(s->of, c->at + first * each, s->from,
		(size_t)(n * each), diag);

	if (err)
		return err;
	ml_cast_make(c, first, n, s->from, s->to);
	*at = first * info[c->to].bytes;
	*bytes = (size_t)(n * info[c->to].bytes);
	return ML_OK;
}

static int src_read(void *ctx, uint64_t off, void *buf, size_t n,
	struct ml_diag *diag)
{
	struct cast_src *s = ctx;
	uint8_t *p = buf;
	uint64_t start, at;
	size_t k, bytes, lo, hi, mid;
	int err = ML_OK;

	if (off < s->size) {
		k = s->size - off < n ? (size_t)(s->size - off) : n;
		err = ml_src_read(s->of, off, p, k, diag);
		off += k;
		p += k;
		n -= k;
	}
	off -= s->size;
	for (; n && !err; off += k, p += k, n -= k) {
		for (lo = 0, hi = s->n; lo < hi;) { /* ends behind off */
			mid = lo + (hi - lo) / 2;
			if (s->end[mid] <= off)
				lo = mid + 1;
			else
				hi = mid;
		}
		start = lo ? s->end[lo - 1] : 0;
		err = make(s, lo, off - start, &at, &bytes, diag);
		k = 0;
		if (err)
			break;
		k = (size_t)(at + bytes - (off - start));
		k = k < n ? k : n;
		memcpy(p, s->to + (off - start - at), k);
	}
	return err;
}

int ml_cast_src(struct ml_src **out, struct ml_src *of,
	const struct ml_casts *casts, struct ml_diag *diag)
{
	static const struct ml_src_ops ops = {src_read, src_free};
	struct cast_src *s = malloc(sizeof(*s));
	uint64_t end = 0;
	size_t i;

	*out = NULL;
	if (s)
		s->end = malloc((casts->n + 1) * sizeof(*s->end));
	if (!s || !s->end) {
		free(s);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	s->of = of;
	s->size = ml_src_size(of);
	s->c = casts->c;
	s->n = casts->n;
	for (i = 0; i < s->n; i++)
		s->end[i] = end += ml_cast_len(&casts->c[i]);
	return ml_src_made(out, s->size + end, &ops, s, diag);
}
