/* SPDX-License-Identifier: MIT */
/* Elements without a base that those before them tell, in class full of
 * ml-patch(5). As a list: an element is its place among the values that came
 * before (of floats without the sign), and that place is expected from the places of its neighbours; a
 * value that is new joins the list. As a line: an element is a residual against
 * the one so many before it. */
#ifndef ML_SEEN_H
#define ML_SEEN_H

#include "mlbyte.h"
#include "mltype.h"

#define ML_SEEN_BITS 12 /* of a place; 0 means a new value */
#define ML_SEEN_MAX ((1u << ML_SEEN_BITS) - 1)

enum ml_seen_how { ML_SEEN_NOT, ML_SEEN_LIST, ML_SEEN_LINE };

struct ml_seen {
	ml_word value[ML_ROW_MAX + 1]; /* by place; or the last elements */
	uint32_t n; /* values of the list; elements of the line */
	uint32_t next; /* place that is given next */
	/* Elements of a row, or back to the one that tells; and where in a row
	 * the target begins. */
	uint32_t row, first, column;
	uint16_t before[4]; /* the last places, the newest first */
	uint32_t used; /* of up, from the first column on */
	uint16_t up[ML_ROW_MAX + 1]; /* places of the row before */
	uint32_t ctx[ML_MIX_CTX]; /* contexts of the place */
	unsigned nctx;
};

static inline void ml_seen_forget(struct ml_seen *k)
{
	k->n = k->column = 0;
	k->next = 1;
	memset(k->before, 0, sizeof k->before);
	memset(k->up, 0, k->used * sizeof k->up[0]);
	ML_CLEARS(k->used * 2);
	k->used = 0;
}

static inline void ml_seen_first(struct ml_seen *k)
{
	k->used = ML_ROW_MAX + 1;
}

static inline void ml_seen_reset(struct ml_seen *k)
{
	k->row = k->first = 0;
	ml_seen_forget(k);
}

/* An operation begins, so many elements behind the target's start. */
static inline void ml_seen_begin(struct ml_seen *k, uint64_t at)
{
	k->column = k->row ? (uint32_t)((at + k->first) % k->row) : 0;
}

/* Contexts of the next place; returns how many bits it has. */
static inline unsigned ml_seen_expect(struct ml_seen *k)
{
	const uint16_t *p = k->before;
	uint32_t *c = k->ctx;
	unsigned n = 0;

	*c++ = 0;
	*c++ = p[0];
	*c++ = (uint32_t)p[1] << 16 | p[0];
	*c = ml_mix_hash(c[-1], p[2]);
	c++;
	*c = ml_mix_hash(c[-1], p[3]);
	c++;
	*c++ = p[1];
	if (k->row) {
		const uint32_t up = k->up[k->column];

		*c++ = up;
		*c++ = up << 16 | p[0];
		*c++ = k->column;
	}
	k->nctx = (unsigned)(c - k->ctx);
	while (k->n >> n)
		n++;
	return n;
}

enum ml_seen_part { ML_SEEN_HIGH, ML_SEEN_LOW, ML_SEEN_SIGN };

/* Expects a part of an element: so many of the place's bits beyond eight; the
 * others, with those before as `known`; or its sign, with the place. */
static inline void ml_seen_part(struct ml_seen *k, struct ml_mix *x,
	enum ml_seen_part part, unsigned known, unsigned bits)
{
	const uint32_t other = part ? ml_mix_hash(known, 250 + part) : 0;
	unsigned i;

	x->n = part == ML_SEEN_SIGN ? 3 : k->nctx;
	for (i = 0; i < x->n; i++)
		x->ctx[i] = ml_mix_hash(k->ctx[i] ^ other,
			200 + 20 * (unsigned)part + i);
	x->expect = -1;
	x->sure = 0;
	ml_mix_begin(x, part == ML_SEEN_LOW ? &x->place : &x->rest);
	ml_mix_skip(x, 8 - bits);
}

/* The place was v. */
static inline void ml_seen_place(struct ml_seen *k, unsigned v)
{
	memmove(k->before + 1, k->before, 3 * sizeof k->before[0]);
	k->before[0] = (uint16_t)v;
	if (!k->row)
		return;
	if (k->used <= k->column)
		k->used = k->column + 1;
	k->up[k->column] = (uint16_t)v;
	if (++k->column == k->row)
		k->column = 0;
}

/* A new value takes its place. */
static inline void ml_seen_join(struct ml_seen *k, ml_word v)
{
	k->value[k->next] = v;
	k->n += k->n < ML_SEEN_MAX;
	k->next = k->next < ML_SEEN_MAX ? k->next + 1 : 1;
}

/* That of a place; 0 if it has none. */
static inline ml_word ml_seen_value(const struct ml_seen *k, unsigned v)
{
	return v <= k->n ? k->value[v] : 0;
}

/* The element that tells the next one of a line; 0 before there is one. */
static inline ml_word ml_seen_back(const struct ml_seen *k)
{
	return k->row && k->n >= k->row ?
		k->value[(k->n - k->row) & ML_ROW_MAX] : 0;
}

static inline void ml_seen_on(struct ml_seen *k, ml_word v)
{
	k->value[k->n & ML_ROW_MAX] = v;
	/* never so many that they would count anew */
	k->n = k->n == UINT32_MAX ? k->n - ML_ROW_MAX : k->n + 1;
}

#endif
