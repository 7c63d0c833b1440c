/* SPDX-License-Identifier: MIT */
/* Elements without a base that those before them tell, in class full of
 * ml-patch(5). As a list: an element is its place among the values that came
 * before (of floats without the sign), and that place is expected from the
 * places of its neighbours, and from what stood beside the last one when it came
 * before, in either direction: tables of sines are their own mirrors. A value
 * that is new joins the list. As a line: an element is a residual against the
 * one so many before it. As a grid: mlgrid.h. */
#ifndef ML_SEEN_H
#define ML_SEEN_H

#include "mlgrid.h"
#include "mltype.h"

#define ML_SEEN_BITS 15 /* of a place; 0 means a new value */
#define ML_SEEN_MAX ((1u << ML_SEEN_BITS) - 1)

enum ml_seen_how { ML_SEEN_NOT, ML_SEEN_LIST, ML_SEEN_LINE, ML_SEEN_GRID };

/* What stood beside each place when it came last, in one direction and the
 * other. 0: none. */
struct ml_trail {
	uint16_t next[ML_SEEN_MAX + 1], back[ML_SEEN_MAX + 1];
};

/* Where a trail is: its last place, what stood beside that one before it came
 * again, and whether back is what comes rather than next. */
struct ml_trail_at {
	uint16_t last, next, back;
	uint8_t mirror;
	uint8_t sure; /* times that was right, one after the other, to 31 */
	uint16_t flips; /* whether signs had changed, the newest lowest */
};

struct ml_seen {
	ml_word value[ML_SEEN_MAX + 1]; /* by place; or the last elements */
	struct ml_grid grid;
	struct ml_trail along, down; /* a row, and the columns */
	struct ml_trail_at here;
	struct ml_trail_at columns[ML_ROW_MAX + 1];
	uint32_t n; /* values of the list; elements of the line */
	uint32_t next, joined; /* place that is given next; the last one given */
	/* Elements of a row, or back to the one that tells; and where in a row
	 * the target begins. */
	uint32_t row, first, column;
	uint16_t before[4]; /* the last places, the newest first */
	uint32_t used; /* columns, from the first one on */
	uint32_t ctx[ML_MIX_CTX]; /* contexts of the place */
	unsigned nctx;
	uint32_t likely, sure; /* the place that the surer trail expects */
};

/* The place that is expected; 0: a new one. */
static inline unsigned ml_trail_expect(const struct ml_trail_at *a)
{
	return a->mirror ? a->back : a->next;
}

/* The place v comes, which it got just now if it is new. */
static inline void ml_trail_go(struct ml_trail *t, struct ml_trail_at *a,
	unsigned v, int new)
{
	const unsigned was = new ? 0 : v;

	if (ml_trail_expect(a) == was) {
		a->sure = (uint8_t)(a->sure + (a->sure < 31));
	} else {
		a->sure = 0;
		a->mirror = (uint8_t)(was && a->back == was ? 1 :
			a->next == was ? 0 : a->mirror);
	}
	if (new)
		t->next[v] = t->back[v] = 0;
	a->next = t->next[v];
	a->back = t->back[v];
	t->next[a->last] = (uint16_t)v;
	t->back[v] = a->last;
	a->last = (uint16_t)v;
}

static inline void ml_seen_forget(struct ml_seen *k)
{
	k->n = k->column = 0;
	k->next = 1;
	memset(&k->here, 0, sizeof k->here);
	k->along.next[0] = k->along.back[0] = 0; /* others when they join */
	k->down.next[0] = k->down.back[0] = 0;
	memset(k->before, 0, sizeof k->before);
	memset(k->columns, 0, k->used * sizeof k->columns[0]);
	ML_CLEARS(k->used * sizeof k->columns[0]);
	ml_grid_forget(&k->grid);
	k->used = 0;
}

static inline void ml_seen_first(struct ml_seen *k)
{
	k->used = ML_ROW_MAX + 1;
	ml_grid_first(&k->grid);
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
	const uint32_t e = ml_trail_expect(&k->here);
	const uint16_t *p = k->before;
	uint32_t *c = k->ctx;
	unsigned n = 0;

	k->likely = e;
	k->sure = k->here.sure;

	*c++ = 0;
	*c++ = p[0];
	*c++ = (uint32_t)p[1] << 16 | p[0];
	*c = ml_mix_hash(c[-1], p[2]);
	c++;
	*c = ml_mix_hash(c[-1], p[3]);
	c++;
	*c++ = p[1];
	*c++ = e << 5 | k->here.sure;
	if (k->row) {
		const struct ml_trail_at *a = &k->columns[k->column];
		const uint32_t f = ml_trail_expect(a);

		*c++ = f << 5 | a->sure;
		*c++ = e << 16 | f;
		*c++ = a->last;
		*c++ = (uint32_t)a->last << 16 | p[0];
		*c++ = k->column;
		if (a->sure > k->here.sure) {
			k->likely = f;
			k->sure = a->sure;
		}
	}
	k->nctx = (unsigned)(c - k->ctx);
	while (k->n >> n)
		n++;
	return n;
}

enum ml_seen_part { ML_SEEN_HIGH, ML_SEEN_LOW, ML_SEEN_SIGN };

/* Expects a part of an element: so many of the place's bits beyond eight; the
 * others, with those before as `known`; or its sign, with the place and the sign
 * that its value had the last time. */
static inline void ml_seen_part(struct ml_seen *k, struct ml_mix *x,
	enum ml_seen_part part, unsigned known, unsigned bits, unsigned was)
{
	const uint32_t other = part ? ml_mix_hash(known, 250 + part) : 0;
	unsigned i;

	x->n = part == ML_SEEN_SIGN ? 3 : k->nctx;
	for (i = 0; i < x->n; i++)
		x->ctx[i] = ml_mix_hash(k->ctx[i] ^ other,
			200 + 20 * (unsigned)part + i);
	x->expect = -1;
	x->sure = k->sure;
	if (part == ML_SEEN_SIGN) {
		const uint32_t f = k->here.flips, g = k->row ?
			k->columns[k->column].flips : 0;

		x->ctx[x->n++] = ml_mix_hash((f & 255) << 1 | was, 260);
		x->ctx[x->n++] = ml_mix_hash(known << 3 | (f & 3) << 1 | was,
			261);
		if (k->row) {
			x->ctx[x->n++] = ml_mix_hash((g & 255) << 1 | was, 262);
			x->ctx[x->n++] = ml_mix_hash((f & 15) << 5 |
				(g & 15) << 1 | was, 263);
			x->ctx[x->n++] = ml_mix_hash(known << 5 |
				(g & 3) << 3 | (f & 3) << 1 | was, 264);
		}
	} else if (part == ML_SEEN_HIGH) {
		x->expect = (int)(k->likely >> 8);
	} else if (k->likely >> 8 == known) {
		x->expect = (int)(k->likely & 255);
	}
	ml_mix_begin(x, part == ML_SEEN_LOW ? &x->place : &x->rest);
	ml_mix_skip(x, 8 - bits);
}

/* The element is done; the next one is in the next column. */
static inline void ml_seen_next(struct ml_seen *k)
{
	if (k->row && ++k->column == k->row)
		k->column = 0;
}

/* The place was v, 0 for a new value, which has joined the list. */
static inline void ml_seen_place(struct ml_seen *k, unsigned v)
{
	const unsigned at = !v ? k->joined : v <= k->n ? v : 0;

	ml_trail_go(&k->along, &k->here, at, !v);
	memmove(k->before + 1, k->before, 3 * sizeof k->before[0]);
	k->before[0] = (uint16_t)v;
	if (!k->row)
		return;
	if (k->used <= k->column)
		k->used = k->column + 1;
	ml_trail_go(&k->down, &k->columns[k->column], at, !v);
	ml_seen_next(k);
}

/* A new value takes its place. */
static inline void ml_seen_join(struct ml_seen *k, ml_word v)
{
	k->value[k->next] = v;
	k->joined = k->next;
	k->n += k->n < ML_SEEN_MAX;
	k->next = k->next < ML_SEEN_MAX ? k->next + 1 : 1;
}

/* That of a place, as it was last; 0 if it has none. */
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

/* Whether a sign was not the one its value had the last time. */
static inline void ml_seen_sign(struct ml_seen *k, unsigned flip)
{
	uint16_t *f = &k->here.flips, *g = &k->columns[k->column].flips;

	*f = (uint16_t)((unsigned)*f << 1 | flip);
	if (k->row)
		*g = (uint16_t)((unsigned)*g << 1 | flip);
}

static inline void ml_seen_on(struct ml_seen *k, ml_word v)
{
	k->value[k->n & ML_ROW_MAX] = v;
	/* never so many that they would count anew */
	k->n = k->n == UINT32_MAX ? k->n - ML_ROW_MAX : k->n + 1;
}

#endif
