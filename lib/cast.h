/* SPDX-License-Identifier: MIT */
/* Tensors of a base as another element type, ml-patch(5): so a mere cast costs
 * no more than saying so. All in integers. Private to the library. */
#ifndef ML_CAST_H
#define ML_CAST_H

#include "ml.h"

/* Types that are cast from, and to. */
enum ml_cast_type {
	ML_C_F32, ML_C_F16, ML_C_BF16, ML_C_F64, /* both, but f64 only from */
	ML_C_Q8_0, ML_C_Q4_0, /* only to */
	ML_C_I8, ML_C_U8, /* to; and i8 from, to i8 */
	ML_C_SUM, /* to: this + f32, f16 or bf16, with a sum of low rank */
	ML_C_GATHER = ML_C_SUM + 3, /* to: as it is, in another order */
	ML_C_NTYPE
};
#define ML_FACTORS_MAX 64 /* rank of a sum */
#define ML_FACTOR_BITS 24 /* of a number in a factor, with its sign */
#define ML_CAST_NONE 0xffu

/* The type for a dtype, or ML_CAST_NONE. */
unsigned ml_cast_type(unsigned dtype, int to);
/* Bytes of a unit, and elements in it. */
unsigned ml_cast_bytes(unsigned type);
unsigned ml_cast_elems(unsigned type);
/* Bytes that a cast makes. */
uint64_t ml_cast_len(const struct ml_cast *c);
/* Bytes that it is made from. */
uint64_t ml_cast_from_len(const struct ml_cast *c);
/* Whether kinds, lengths and scales are in bounds, the source within `size`
 * bytes. */
int ml_cast_legal(const struct ml_cast *c, uint64_t size);
/* Whether all ranges lie in an image of so many bytes, or in what gathers
 * directly before made. */
int ml_cast_fit(const struct ml_cast *list, size_t n, uint64_t image);

/* Units first to first + n of a cast, from the same of its source. */
void ml_cast_make(const struct ml_cast *c, uint64_t first, uint64_t n,
	const uint8_t *from, uint8_t *to);

/* An element of a type that is cast from, as the bits of a f32. */
uint32_t ml_cast_f32(unsigned type, const uint8_t *p);
/* Bits that scales or factors take in a patch. */
uint64_t ml_cast_param_bits(const struct ml_cast *c);
/* a / b of f32 bits, 0 for b = 0. */
uint32_t ml_cast_divide(uint32_t a, uint32_t b);

/* The bytes of a source and behind them those of the casts, in order. Both
 * must outlive it. *made, unless NULL, lives as long as *out and is for who
 * reads here and there: ml_cast_read makes little but what is asked for, where
 * a struct ml_src would read ahead. */
int ml_cast_src(struct ml_src **out, struct ml_cast_src **made,
	struct ml_src *of, const struct ml_casts *casts, struct ml_diag *diag);
int ml_cast_read(struct ml_cast_src *s, uint64_t off, uint8_t *to, size_t n,
	struct ml_diag *diag);

/* Appends a copy with its scales to casts that are owned; and frees them. */
int ml_cast_add(struct ml_cast **list, size_t *n, const struct ml_cast *c,
	struct ml_diag *diag);
void ml_cast_free(struct ml_cast *list, size_t n);

/* The cast that makes the byte `off` of what they all make, or NULL; and the
 * gather that it is, or takes its bytes from, or NULL. */
const struct ml_cast *ml_cast_at(const struct ml_casts *casts, uint64_t off);
const struct ml_cast *ml_cast_behind(const struct ml_casts *casts,
	const struct ml_cast *c, uint64_t image);
/* What they do in words, to be followed by a tensor's name. */
#define ML_CAST_TEXT 80
void ml_gather_text(char *to, size_t cap, const struct ml_gather *g);
void ml_casts_text(char *to, size_t cap, const struct ml_casts *casts,
	const struct ml_cast *c, uint64_t image);
/* The element types, as ml-patch(5) numbers them; 8 to 10 are of the same type
 * as 0 to 2. */
const char *ml_cast_name(unsigned type);

/* As a record of a stream and a note of a patch have them. */
#define ML_CASTS_MAX (1u << 20)
#define ML_CAST_BYTES_MAX (1u << 26) /* of all of them */
#define ML_FACTOR_NUMBERS_MAX (1u << 25) /* in all of them */
#define ML_GATHERS_MAX (1u << 16)
#define ML_RUNS_MAX (1u << 18) /* in all of them */
int ml_cast_encode(uint8_t **out, size_t *n, const struct ml_casts *casts,
	struct ml_diag *diag);
/* Reads all of p[0..n); the first leaves it to ml_cast_fit whether the ranges
 * are there, the second sees to that, too, in an image of `size` bytes. */
int ml_cast_parse(struct ml_cast **list, size_t *count, const uint8_t *p,
	size_t n, struct ml_diag *diag);
int ml_cast_decode(struct ml_cast **list, size_t *count, const uint8_t *p,
	size_t n, uint64_t size, struct ml_diag *diag);

#endif
