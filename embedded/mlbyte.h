/* SPDX-License-Identifier: MIT */
/* What 8-bit elements of class full are expected from, ml-patch(5): how large
 * their neighbours in the row and in the rows before were, and the base's
 * element if there is one. */
#ifndef ML_BYTE_H
#define ML_BYTE_H

#include "mlmix.h"

#define ML_ROW_BITS 13
#define ML_ROW_MAX ((1u << ML_ROW_BITS) - 1) /* elements of a row, at most */

struct ml_bytes {
	uint32_t row; /* elements of a row; 0: unknown */
	uint32_t first; /* where in a row the target's offset 0 would be */
	uint32_t column; /* of the next element */
	uint32_t before; /* the last four numbers, the newest lowest */
	uint32_t near; /* mean of the last magnitudes, times 256 */
	uint32_t used; /* columns that may have been, from the first */
	uint8_t alone; /* whether all this is of elements without a base */
	uint8_t up[ML_ROW_MAX + 1]; /* the row before */
	uint16_t mean[ML_ROW_MAX + 1]; /* of magnitudes in a column, times 256 */
};

static inline void ml_bytes_forget(struct ml_bytes *k)
{
	k->column = k->before = k->near = 0;
	memset(k->up, 0, k->used);
	memset(k->mean, 0, k->used * sizeof k->mean[0]);
	ML_CLEARS(k->used * 3);
	k->used = 0;
}

static inline void ml_bytes_first(struct ml_bytes *k)
{
	k->used = ML_ROW_MAX + 1;
}

static inline void ml_bytes_reset(struct ml_bytes *k)
{
	k->row = k->first = k->alone = 0;
	ml_bytes_forget(k);
}

/* An operation begins at an offset of the target. */
static inline void ml_bytes_begin(struct ml_bytes *k, uint64_t at,
	unsigned alone)
{
	if (alone != k->alone) {
		k->alone = (uint8_t)alone;
		ml_bytes_forget(k);
	}
	k->column = k->row ? (uint32_t)((at + k->first) % k->row) : 0;
}

static inline unsigned ml_bytes_size(unsigned v)
{
	return v & 128 ? 256 - v : v;
}

static inline unsigned ml_bytes_log(uint32_t v)
{
	unsigned n = 0;

	for (; v; v >>= 1)
		n++;
	return n;
}

/* Four times the logarithm of 1 + mean, about. */
static inline unsigned ml_bytes_level(uint32_t mean)
{
	const uint32_t v = mean + 256;
	const unsigned n = ml_bytes_log(v) - 1; /* 8 to 15 */

	return (n - 8) * 4 + (v >> (n - 2) & 3);
}

/* Contexts of the next number: an element less its centre or, with the base's
 * element b less its centre, a residual. */
static inline void ml_bytes_expect(struct ml_bytes *k, struct ml_mix *x,
	uint64_t at, unsigned b)
{
	const uint32_t v1 = k->before & 255, v2 = k->before >> 8 & 255;
	const uint32_t v4 = k->before >> 24, place = (uint32_t)at & 3;
	const uint32_t sizes = ml_bytes_log(ml_bytes_size(v1)) * 9 +
		ml_bytes_log(ml_bytes_size(v2));
	const uint32_t level = ml_bytes_level(k->near);
	const uint32_t above = ml_bytes_level(k->mean[k->column]);
	uint32_t *c = x->ctx, kind;

	x->expect = -1;
	x->sure = 0;
	kind = (k->alone ? 0u : 100u) + (k->row ? 0u : 50u);
	*c++ = ml_mix_hash(0, kind);
	*c++ = ml_mix_hash(sizes, kind + 1);
	if (k->alone) {
		*c++ = ml_mix_hash(v1, kind + 2);
		*c++ = ml_mix_hash(level, kind + 3);
		if (k->row) {
			*c++ = ml_mix_hash(above, kind + 4);
			*c++ = ml_mix_hash(above << 8 | level, kind + 5);
			*c++ = ml_mix_hash(k->up[k->column], kind + 6);
			*c++ = ml_mix_hash(k->column, kind + 7);
		} else {
			*c++ = ml_mix_hash(v4, kind + 4);
			*c++ = ml_mix_hash(place << 8 | v1, kind + 5);
			*c++ = ml_mix_hash(v2 << 8 | v1, kind + 6);
		}
	} else {
		const uint32_t coarse = (b + 128) >> 4 & 15;

		*c++ = ml_mix_hash(coarse, kind + 2);
		*c++ = ml_mix_hash(b, kind + 3);
		*c++ = ml_mix_hash(place << 8 | v4, kind + 4);
		*c++ = ml_mix_hash(b << 8 | v1, kind + 5);
		*c++ = ml_mix_hash(level << 4 | coarse, kind + 6);
		*c++ = ml_mix_hash(level << 4 |
			ml_bytes_log(ml_bytes_size(b)), kind + 7);
		if (k->row) {
			*c++ = ml_mix_hash(above << 4 | coarse, kind + 8);
			*c++ = ml_mix_hash(k->column, kind + 9);
		} else {
			*c++ = ml_mix_hash(b << 8 | v4, kind + 8);
			*c++ = ml_mix_hash(place << 8 |
				(k->before >> 16 & 255), kind + 9);
		}
	}
	x->n = (unsigned)(c - x->ctx);
	ml_mix_begin(x, &x->byte);
}

/* The number was v. */
static inline void ml_bytes_learn(struct ml_bytes *k, unsigned v)
{
	const int32_t size = (int32_t)ml_bytes_size(v) * 256;

	k->before = k->before << 8 | v;
	k->near = (uint32_t)((int32_t)k->near +
		ml_mix_shift(size - (int32_t)k->near, 3));
	if (!k->row)
		return;
	if (k->used <= k->column)
		k->used = k->column + 1;
	k->up[k->column] = (uint8_t)v;
	k->mean[k->column] = (uint16_t)(k->mean[k->column] + ml_mix_shift(
		size - (int32_t)k->mean[k->column], 2));
	if (++k->column == k->row)
		k->column = 0;
}

#endif
