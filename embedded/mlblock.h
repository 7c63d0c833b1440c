/* SPDX-License-Identifier: MIT */
/* A block of GGML's types in work, ml-patch(5), Blocks: the numbers in turn, with
 * what is expected of each by the base's block, or by the base's weights. */
#ifndef ML_BLOCK_H
#define ML_BLOCK_H

#include "mlcross.h"
#include "mlquant.h"

/* ----- a block in work -------------------------------------------------- */

/* Number by number, so that a decoder can stop anywhere: the two f16, scales,
 * minima, codes. */
struct ml_qblock {
	struct ml_qblock_parts b, t; /* base's and target's */
	struct ml_cross *x; /* weights that b is made of; NULL: b is a block */
	struct ml_b_line line;
	uint16_t step, steps;
	uint8_t form, alone;
	uint8_t ends; /* which ends the numbers of a run have reached, alone */
	uint16_t avg; /* how far codes were off of late, in 1/16 */
};

static inline void ml_qblock_begin(struct ml_qblock *k, unsigned form,
	int alone, unsigned avg)
{
	const struct ml_bform_info *f = &ml_bforms[form];

	k->x = NULL;
	k->form = (uint8_t)form;
	k->alone = (uint8_t)alone;
	k->step = 0;
	k->steps = (uint16_t)(1 + (f->min != 0) + (f->sbits ? f->nsub : 0) +
		(f->nbits ? f->nsub : 0) + f->nsub * f->len);
	k->avg = (uint16_t)avg;
}

/* What a step of a block is about. */
enum ml_b_what { ML_B_D, ML_B_M, ML_B_S, ML_B_N, ML_B_Q };

static inline enum ml_b_what ml_qblock_what(const struct ml_qblock *k,
	unsigned *i)
{
	const struct ml_bform_info *f = &ml_bforms[k->form];
	unsigned n = k->step;

	*i = 0;
	if (n-- == 0)
		return ML_B_D;
	if (f->min && n-- == 0)
		return ML_B_M;
	*i = n;
	if (f->sbits && n < f->nsub)
		return ML_B_S;
	n -= f->sbits ? f->nsub : 0;
	*i = n;
	if (f->nbits && n < f->nsub)
		return ML_B_N;
	*i = n - (f->nbits ? f->nsub : 0);
	return ML_B_Q;
}

/* The contexts of a number: its chances begin at row * ML_B_ROW. */
#define ML_B_ROW 66 /* zero, sign, 8 classes, 8 times 7 low bits */
#define ML_B_LEVELS 8
#define ML_B_ROWS_Q (9 * 4 * ML_B_LEVELS)
#define ML_B_ROWS_S (9 * 2)
#define ML_B_ROWS (ML_B_ROWS_Q + ML_B_ROWS_S)
#define ML_B_NROWS (2 * ML_B_ROWS * ML_B_ROW) /* codes of <= 4 bits; others */
/* Without a base: trees in these contexts, of each format's codes, scales and
 * minima. Of codes by the ends and how many are left; of others by the ends. */
#define ML_B_LEFT 6
#define ML_B_NALONE (4 * ML_B_LEFT * (15 + 31 + 63 + 7 + 3 + 15 + 31 + 31 + \
	15 + 255) + 4 * (63 + 63 + 255 + 63 + 15) + 4 * (63 + 63 + 15))
#define ML_B_NPROB (ML_B_NROWS + ML_B_NALONE)

/* Of `avg`: 0, below 1/4, 1, 2, 4, and above. */
static inline unsigned ml_b_level(unsigned avg)
{
	return avg == 0 ? 0 : avg < 4 ? 1 : avg < 16 ? 2 : avg < 32 ? 3 :
		avg < 48 ? 4 : avg < 72 ? 5 : avg < 112 ? 6 : 7;
}

/* The largest weight of a run has the least or the greatest code, and often
 * keeps it: whether p, or the base's b, is such a one. */
static inline unsigned ml_b_place(const struct ml_bform_info *f, unsigned p,
	unsigned b)
{
	const unsigned max = (1u << f->qbits) - 1;
	const unsigned least = f->qbits == 8; /* GGML's go from -127 on */

	return p <= least ? 0 : p == max ? 1 : b <= least || b == max ? 2 : 3;
}

/* A number without a base: its width, and where the chances of its tree are.
 * The largest weight of a run has an end of the codes, the largest scale an end
 * of the scales, and as a rule no other one has; so numbers are in the context
 * of whether the ends have been reached. */
static inline unsigned ml_qblock_alone(struct ml_qblock *k, enum ml_b_what what,
	unsigned i, unsigned *at)
{
	const struct ml_bform_info *f = ml_bforms;
	unsigned n = ML_B_NROWS, j, left, context;

	for (j = 0; j < k->form; j++, f++)
		n += 4 * (ML_B_LEFT * ((1u << f->qbits) - 1) +
			(1u << f->sbits) - 1 + (1u << f->nbits) - 1);
	if (i % (what == ML_B_Q ? f->len : f->nsub) == 0)
		k->ends = 0;
	context = k->ends;
	if (what == ML_B_Q) {
		left = f->len - i % f->len;
		for (j = 0; left >> j > 1; j++) /* 32 or fewer */
			;
		context = context * ML_B_LEFT + j;
		*at = n + context * ((1u << f->qbits) - 1);
		return f->qbits;
	}
	n += 4 * ML_B_LEFT * ((1u << f->qbits) - 1);
	if (what == ML_B_S) {
		*at = n + context * ((1u << f->sbits) - 1);
		return f->sbits;
	}
	*at = n + 4 * ((1u << f->sbits) - 1) + context * ((1u << f->nbits) - 1);
	return f->nbits;
}

/* It was v, of w bits. Codes of many bits miss the end by one now and then. */
static inline void ml_qblock_was(struct ml_qblock *k, enum ml_b_what what,
	unsigned w, unsigned v)
{
	k->ends |= (v <= (what == ML_B_Q && w > 5) ? 1u : 0) |
		(v == (1u << w) - 1 ? 2u : 0);
}

/* With a base, a number's width, prediction, distance from a border (0..8, *low
 * when it is the lower one) and row. Called in order of the steps. */
static inline unsigned ml_qblock_expect(struct ml_qblock *k, enum ml_b_what what,
	unsigned i, unsigned *pred, unsigned *low, unsigned *row)
{
	const enum ml_bform form = (enum ml_bform)k->form;
	const struct ml_bform_info *f = &ml_bforms[form];
	const unsigned w = what == ML_B_Q ? f->qbits : what == ML_B_S ?
		f->sbits : f->nbits;
	const unsigned max = (1u << w) - 1;
	const uint8_t *b = what == ML_B_Q ? k->b.q : what == ML_B_S ? k->b.s :
		k->b.n;
	unsigned c, near, a = ml_b_level(k->avg);

	*low = 0;
	*row = f->qbits > 4 ? ML_B_ROWS : 0;
	if (k->x) {
		k->line.by = 0;
		k->line.at = what == ML_B_Q ?
			ml_x_code_at(k->x, form, &k->b, &k->t, i) :
			ml_x_at(k->x, form, &k->t, what == ML_B_S, i);
	} else if (what == ML_B_Q && i % f->len == 0)
		k->line = ml_b_code_line(f, &k->b, &k->t, i / f->len);
	else if (what == ML_B_S && i == 0)
		k->line = ml_b_scale_line(f->soff, k->b.d, k->t.d);
	else if (what == ML_B_N && i == 0)
		k->line = ml_b_scale_line(0, k->b.m, k->t.m);
	*pred = ml_b_predict(&k->line, b[i], max, &c);
	*low = c < 8;
	near = c < 8 ? 8 - c : c - 8;
	if (what == ML_B_Q) {
		const unsigned place = ml_b_place(f, *pred,
			k->x ? *pred : b[i]);

		if (place == !*low) { /* beyond it there is no code */
			near = 0;
			*low = 0;
		}
		*row += (near * 4 + place) * ML_B_LEVELS + a;
	} else {
		*row += ML_B_ROWS_Q + near * 2 + (what == ML_B_N);
	}
	return w;
}

/* The base's side of a block that is made of weights of another type. */
static inline void ml_qblock_cross(struct ml_qblock *k, struct ml_cross *x,
	unsigned first)
{
	ml_x_guess(x, (enum ml_bform)k->form, first, &k->b);
	k->x = x;
}

/* Tells what the step was and goes to the next. */
static inline void ml_qblock_next(struct ml_qblock *k, enum ml_b_what what,
	unsigned off)
{
	if (what == ML_B_Q && !k->alone)
		k->avg = (uint16_t)(k->avg - (k->avg >> 3) + off * 2);
	k->step++;
}

#endif
