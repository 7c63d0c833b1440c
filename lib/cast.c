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
#include "gather.h"
#include "mlcast.h"

static const struct {
	uint8_t bytes, elems;
	uint16_t dtype;
} info[ML_C_NTYPE] = {
	{4, 1, ML_DT_F32}, {2, 1, ML_DT_F16}, {2, 1, ML_DT_BF16},
	{8, 1, ML_DT_F64}, {34, 32, ML_DT_GGML + 8}, {18, 32, ML_DT_GGML + 2},
	{1, 1, ML_DT_I8}, {1, 1, ML_DT_U8},
	{4, 1, ML_DT_OPAQUE}, {2, 1, ML_DT_OPAQUE}, {2, 1, ML_DT_OPAQUE},
	{0, 1, ML_DT_OPAQUE}, /* see below */
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

/* Bytes of a unit that is made. */
static unsigned made_bytes(const struct ml_cast *c)
{
	return c->gather ? 1u << c->from : info[c->to].bytes;
}

uint64_t ml_cast_len(const struct ml_cast *c)
{
	return c->units * made_bytes(c);
}

uint64_t ml_cast_from_len(const struct ml_cast *c)
{
	if (c->gather)
		return ml_gather_of(c->gather) << c->from; /* when legal */
	return c->units * info[c->to].elems * info[c->from].bytes;
}

int ml_cast_legal(const struct ml_cast *c, uint64_t size)
{
	const int scaled = c->to == ML_C_I8 || c->to == ML_C_U8;

	if (c->to == ML_C_GATHER)
		return c->gather && c->from <= 3 && !c->rank && !c->nscale &&
			ml_gather_legal(c->gather, c->from, c->units) &&
			c->at <= size && ml_cast_from_len(c) <= size - c->at;
	if ((c->from > ML_C_F64 && (c->from != ML_C_I8 || c->to != ML_C_I8)) ||
		c->to >= ML_C_GATHER || c->to == ML_C_F64 ||
		c->units == 0 || c->units > size || c->at > size)
		return 0;
	if (c->gather || c->units > (UINT64_C(1) << 50) || ml_cast_from_len(c) > size -
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

/* ===== numbers ========================================================== */

static uint32_t f32_of_f64(uint64_t v)
{
	const unsigned e = v >> 52 & 2047;
	const uint64_t m = (v & ((UINT64_C(1) << 52) - 1)) |
		(e ? UINT64_C(1) << 52 : 0);
	const uint32_t sign = (uint32_t)(v >> 32 & 0x80000000);

	if (e == 2047)
		return sign | 0x7f800000 | (uint32_t)(m >> 29 & 0x7fffff);
	return sign | ml_num_bits(ml_num_round(0, m, (int)(e ? e : 1) - 1075, 0), 23,
		127, 255);
}

/* Element i as the bits of a f32. */
static uint32_t load(unsigned type, const uint8_t *p)
{
	switch (type) {
	case ML_C_F32: return ml_load32(p);
	case ML_C_F16: return ml_cast_of_f16(ml_load16(p));
	case ML_C_BF16: return (uint32_t)ml_load16(p) << 16;
	case ML_C_I8: return *p; /* not a f32, but see scaled() */
	default: return f32_of_f64(ml_load64(p));
	}
}

/* ===== units ============================================================ */

/* An element with its share of a sum of low rank, as the bits of a f32. */
static uint32_t summed(const struct ml_cast *c, uint64_t i, uint32_t v)
{
	const int32_t *u = c->u + i / c->inner * c->rank;
	const int32_t *w = c->v + i % c->inner * c->rank;
	struct ml_num x;
	int64_t s = 0;
	unsigned k;

	/* below 2^23 * 2^30 * 64 */
	for (k = 0; k < c->rank; k++)
		s += (int64_t)u[k] * ((int64_t)w[k] * (1 << c->drop[k]));
	x = ml_num_plus(ml_num_of(v), ml_num_round(s < 0, (uint64_t)(s < 0 ? -s : s),
		c->exp, 0));
	return (x.neg ? 0x80000000u : 0) | ml_num_bits(x, 23, 127, 255);
}

static uint8_t scaled(const struct ml_cast *c, uint64_t i, uint32_t v)
{
	const struct ml_num x = c->from != ML_C_I8 ? ml_num_of(v) :
		v > 127 ? ml_num_round(1, 256 - v, 0, 0) :
		ml_num_round(0, v, 0, 0);

	return ml_cast_code(x, c->scale[i / c->inner % c->nscale], c->zero,
		c->to == ML_C_I8);
}

void ml_cast_make(const struct ml_cast *c, uint64_t first, uint64_t n,
	const uint8_t *from, uint8_t *to)
{
	const unsigned w = info[c->from].bytes;
	uint32_t v, x[ML_CAST_BLOCK];
	unsigned k;
	uint64_t i;

	for (i = 0; i < n; i++) {
		switch (c->to) {
		case ML_C_Q8_0:
		case ML_C_Q4_0:
			for (k = 0; k < ML_CAST_BLOCK; k++, from += w)
				x[k] = load(c->from, from);
			ml_cast_quantise(c->to == ML_C_Q4_0, x, to);
			to += info[c->to].bytes;
			continue;
		default: v = load(c->from, from);
		}
		from += w;
		if (c->to >= ML_C_SUM)
			v = summed(c, first + i, v);
		switch (c->to >= ML_C_SUM ? c->to - ML_C_SUM : c->to) {
		case ML_C_F32: ml_store32(to, v); break;
		case ML_C_F16: ml_store16(to, ml_cast_to_f16(v)); break;
		case ML_C_BF16: ml_store16(to, ml_cast_to_bf16(v)); break;
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
	const struct ml_num n = ml_num_of(b);
	struct ml_num q;

	if (!n.m)
		return 0;
	q = ml_num_over(ml_num_of(a), n);
	return (q.neg ? 0x80000000u : 0) | ml_num_bits(q, 23, 127, 255);
}
