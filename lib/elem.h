/* SPDX-License-Identifier: MIT */
/* Elements seen from the encoder's side: loading, residuals and contexts as
 * the models of mlmodel.h and mlnano.h have them. Private to the library. */
#ifndef ML_ELEM_H
#define ML_ELEM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bytes.h"
#include "mltype.h"

static inline unsigned ml_kind_bits(unsigned kind)
{
	return ml_kind_pair(kind) ? 4 : ml_kind_bytes[kind] * 8u;
}

static inline ml_word ml_elem_load(const uint8_t *p, unsigned w)
{
	switch (w) {
	case 1: return *p;
	case 2: return ml_load16(p);
	case 4: return ml_load32(p);
	default: return ml_load64(p);
	}
}

static inline void ml_elem_store(uint8_t *p, unsigned w, ml_word v)
{
	switch (w) {
	case 1: *p = (uint8_t)v; break;
	case 2: ml_store16(p, (unsigned)v & 0xffff); break;
	case 4: ml_store32(p, (uint32_t)v); break;
	default: ml_store64(p, v);
	}
}

/* Whether two units of n bytes are equal. */
static inline int ml_elem_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	return n <= 8 && !(n & (n - 1)) ?
		ml_elem_load(a, (unsigned)n) == ml_elem_load(b, (unsigned)n) :
		!memcmp(a, b, n);
}

static inline unsigned ml_bitlen(ml_word v)
{
	return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

static inline ml_word ml_sign_extend(ml_word v, unsigned w)
{
	ml_word s = (ml_word)1 << (w - 1);

	return (v ^ s) - s;
}

static inline ml_word ml_elem_mask(unsigned w)
{
	return ((ml_word)1 << (w - 1) << 1) - 1;
}

static inline ml_word ml_elem_map(unsigned w, ml_word v)
{
	ml_word s = (ml_word)1 << (w - 1);

	return v & s ? ~v & ml_elem_mask(w) : v | s;
}

static inline ml_word ml_elem_unmap(unsigned w, ml_word v)
{
	ml_word s = (ml_word)1 << (w - 1);

	return v & s ? v & ~s : ~v & ml_elem_mask(w);
}

/* The residual of t against b, modulo 2^w; and back. */
static inline ml_word ml_residual(unsigned w, unsigned eb, ml_word b,
	ml_word t)
{
	if (eb)
		b = ml_elem_map(w, b), t = ml_elem_map(w, t);
	return (t - b) & ml_elem_mask(w);
}

static inline ml_word ml_unresidual(unsigned w, unsigned eb, ml_word b,
	ml_word r)
{
	if (!eb)
		return (b + r) & ml_elem_mask(w);
	return ml_elem_unmap(w, (ml_elem_map(w, b) + r) & ml_elem_mask(w));
}

static inline ml_word ml_residual_mag(unsigned w, unsigned eb, ml_word b,
	ml_word t)
{
	ml_word r = ml_residual(w, eb, b, t);

	return r >> (w - 1) ? (0 - r) & ml_elem_mask(w) : r;
}

/* model_ctx with an explicit e0. */
static inline unsigned ml_elem_ctx(unsigned w, unsigned eb, unsigned e0,
	ml_word b)
{
	unsigned e, k;

	if (eb) {
		e = (unsigned)(b >> (w - 1 - eb)) & ((1u << eb) - 1);
		return e >= e0 ? 0 : e0 - e > 15 ? 15 : e0 - e;
	}
	if (w == 4)
		return (unsigned)b;
	if (w == 8)
		return (unsigned)(b - e0 + 128) >> 4 & 15;
	k = b >> (w - 1) ? 8 : 0;
	if (k)
		b = ~b & ml_elem_mask(w);
	e = ml_bitlen(b) >> (w == 16 ? 1 : w == 32 ? 2 : 3);
	return k + (e > 7 ? 7 : e);
}

/* The residual of one block t against b, field by field, as a plain record has
 * it; and back. r may be t. */
void ml_qblock_residual(unsigned type, const uint8_t *b, const uint8_t *t,
	uint8_t *r);
void ml_qblock_unresidual(unsigned type, const uint8_t *b, const uint8_t *r,
	uint8_t *t);
/* The type of lesser classes that has the same plain records as a block's. */
static inline unsigned ml_plain_twin(unsigned type)
{
	static const uint8_t twin[ML_NBFORM] = {
		20, 21, 22, 19, 18, 13, 14, 15, 35, 36
	};

	return type < ML_TYPE_BLOCK ? type : type == ML_TYPE_MIXED ? 1 :
		twin[type - ML_TYPE_BLOCK];
}

/* The largest exponent that field f of some blocks reaches, but for a few
 * strays; 0 for a field of integers. */
unsigned ml_top_exponent(unsigned type, unsigned f, const uint8_t *p,
	size_t units);
/* The exponent e for which most elements of the field have e - span < their
 * exponent <= e. */
unsigned ml_best_exponent(unsigned type, unsigned f, const uint8_t *p,
	size_t units, unsigned span);

#endif
