/* SPDX-License-Identifier: MIT */
/* Elements without a base that are like those above them, in class full of
 * ml-patch(5): rows that hardly differ (tokens that were never trained), columns
 * of one scale. The highest bits of an element are expected from its neighbours
 * in the row and in the rows before, then its sign, and the next bits. */
#ifndef ML_GRID_H
#define ML_GRID_H

#include "mlbyte.h"

#define ML_GRID_LOW 3 /* bits that are expected behind the eight highest */

struct ml_grid_column {
	uint8_t up, upper; /* highest bits of the two elements above */
	uint8_t sign, low; /* of the element above */
	uint16_t mean; /* of the highest bits, times 256 */
};

struct ml_grid {
	struct ml_grid_column at[ML_ROW_MAX + 1];
	uint32_t used; /* columns, from the first one on */
	uint8_t before[2]; /* highest bits in the row, the newest first */
	uint8_t sign; /* of the element before */
	uint16_t near; /* mean of the last highest bits, times 256 */
};

static inline void ml_grid_first(struct ml_grid *g)
{
	g->used = ML_ROW_MAX + 1;
}

static inline void ml_grid_forget(struct ml_grid *g)
{
	memset(g->at, 0, g->used * sizeof g->at[0]);
	ML_CLEARS(g->used * sizeof g->at[0]);
	g->used = 0;
	g->before[0] = g->before[1] = g->sign = 0;
	g->near = 0;
}

/* Expects the eight highest bits behind the sign, of a column. */
static inline void ml_grid_expect(const struct ml_grid *g, struct ml_mix *x,
	uint32_t column)
{
	const struct ml_grid_column *u = &g->at[column];
	const uint32_t a = g->before[0];
	const uint32_t near = g->near >> 8, mean = u->mean >> 8;
	uint32_t *c = x->ctx;

	*c++ = ml_mix_hash(0, 280);
	*c++ = ml_mix_hash(a, 281);
	*c++ = ml_mix_hash((uint32_t)g->before[1] << 8 | a, 282);
	*c++ = ml_mix_hash(u->up, 283);
	*c++ = ml_mix_hash((uint32_t)u->up << 8 | a, 284);
	*c++ = ml_mix_hash((uint32_t)u->upper << 8 | u->up, 285);
	*c++ = ml_mix_hash(column, 286);
	*c++ = ml_mix_hash(column << 8 | u->up, 287);
	*c++ = ml_mix_hash(near, 288);
	*c++ = ml_mix_hash(near << 8 | mean, 289);
	*c++ = ml_mix_hash(mean << 8 | u->up, 290);
	x->n = (unsigned)(c - x->ctx);
	x->expect = -1;
	x->sure = 0;
	ml_mix_begin(x, &x->place);
}

/* Expects the sign of an element whose highest bits are top. */
static inline void ml_grid_sign(const struct ml_grid *g, struct ml_mix *x,
	uint32_t column, unsigned top)
{
	const uint32_t up = g->at[column].sign;

	x->ctx[0] = ml_mix_hash(up, 300);
	x->ctx[1] = ml_mix_hash(up << 1 | g->sign, 301);
	x->ctx[2] = ml_mix_hash(column << 1 | up, 302);
	x->ctx[3] = ml_mix_hash(top << 9 |
		(uint32_t)g->at[column].up << 1 | up, 303);
	x->n = 4;
	x->expect = -1;
	x->sure = 0;
	ml_mix_begin(x, &x->rest);
	ml_mix_skip(x, 7);
}

/* Expects the bits behind the highest, so many of them. */
static inline void ml_grid_low(const struct ml_grid *g, struct ml_mix *x,
	uint32_t column, unsigned top, unsigned bits)
{
	const struct ml_grid_column *u = &g->at[column];

	x->ctx[0] = ml_mix_hash(top, 310);
	x->ctx[1] = ml_mix_hash(top << 16 | (uint32_t)u->up << 8 | u->low, 311);
	x->ctx[2] = ml_mix_hash(column << 8 | top, 312);
	x->n = 3;
	x->expect = -1;
	x->sure = 0;
	ml_mix_begin(x, &x->rest);
	ml_mix_skip(x, 8 - bits);
}

static inline void ml_grid_was(struct ml_grid *g, uint32_t column, unsigned top,
	unsigned sign, unsigned low)
{
	struct ml_grid_column *u = &g->at[column];

	if (g->used <= column)
		g->used = column + 1;
	u->upper = u->up;
	u->up = (uint8_t)top;
	u->sign = (uint8_t)sign;
	u->low = (uint8_t)low;
	u->mean = (uint16_t)(u->mean + ml_mix_shift((int32_t)top * 256 -
		u->mean, 2));
	g->near = (uint16_t)(g->near + ml_mix_shift((int32_t)top * 256 -
		g->near, 3));
	g->before[1] = g->before[0];
	g->before[0] = (uint8_t)top;
	g->sign = (uint8_t)sign;
}

#endif
