/* SPDX-License-Identifier: MIT */
/* Predictors: ways in which a tensor of the target may follow from one of the
 * base other than as it is. Each is a file with a struct ml_planner, and a line
 * in the table of cast_plan.c. Private to the library. */
#ifndef ML_PLAN_H
#define ML_PLAN_H

#include "cast.h"

#define ML_PLAN_SAMPLE 4096 /* bytes of the target's tensor looked at */
#define ML_PLAN_SMALL 64 /* bytes of a tensor that is not worth it */
#define ML_PLAN_SAYING 96 /* bits that a cast costs, without parameters */
#define ML_PLAN_BYTES_MAX (24u << 20) /* of parameters, in all */

/* What they share. */
struct ml_plan {
	struct ml_cast_base *out;
	const struct ml_model *base, *target;
	struct ml_src *bsrc, *tsrc;
	const struct ml_span **by_name; /* tensors of the base */
	size_t n;
	size_t threads;
	int nano; /* only what class nano has */
	int micro; /* nothing that only class full has */
	uint64_t gain; /* estimated bits */
	uint64_t bytes; /* that parameters take */
	uint64_t numbers; /* in factors */
	uint32_t scale[2 * ML_QUANT_MAX]; /* of the cast being looked at, the best */
	uint8_t from[ML_PLAN_SAMPLE * 8], to[ML_PLAN_SAMPLE + 64];
	uint8_t want[ML_PLAN_SAMPLE];
};

struct ml_planner {
	const char *name;
	int nano; /* class nano has it, too */
	int full; /* class micro does not, not even as a list of casts */
	/* What it keeps between tensors, in *ctx; end frees it, also after a
	 * failure. */
	int (*begin)(struct ml_plan *p, void **ctx, struct ml_diag *diag);
	void (*end)(void *ctx);
	/* Looks at tensor number i of the target; own: the base's of the same
	 * name, type and length, or NULL. By estimated cost it adds to p->out
	 * what makes a better base, and to p->gain. */
	int (*find)(struct ml_plan *p, void *ctx, size_t i,
		const struct ml_span *own, struct ml_diag *diag);
};

extern const struct ml_planner ml_plan_sum; /* a change of low rank */
extern const struct ml_planner ml_plan_cast; /* another element type, scale */
extern const struct ml_planner ml_plan_layout; /* another order, also cast */
extern const struct ml_planner ml_plan_cross; /* blocks from other types */

/* ===== for them ========================================================= */

/* Elements of a tensor that can be cast from, or to; 0 for all others. */
uint64_t ml_plan_count(const struct ml_span *sp, int to);
/* The cast of b to the type of t; 0 when there is none. scale has room for
 * ML_QUANT_MAX. */
int ml_plan_fits(struct ml_cast *c, const struct ml_span *t,
	const struct ml_span *b, uint32_t *scale);
/* The type of operations that make the blocks of t from the weights of b; 0 for
 * none. */
unsigned ml_plan_crossed(const struct ml_span *t, const struct ml_span *b);
int ml_plan_cross_add(struct ml_plan *p, const struct ml_span *t,
	unsigned type, size_t span, struct ml_diag *diag);
/* The base's tensor of t's name, type and length, or NULL. */
const struct ml_span *ml_plan_own(const struct ml_plan *p,
	const struct ml_span *t);
/* Adds the cast, and the tensor that it makes under t's name, if there is room
 * for them. */
int ml_plan_take(struct ml_plan *p, const struct ml_span *t,
	const struct ml_cast *c, struct ml_diag *diag);
/* The bits that a sample of so many bytes saves, for all of the tensor. */
uint64_t ml_plan_scaled(uint64_t bits, uint64_t sample, const struct ml_span *t);

#endif
