/* SPDX-License-Identifier: MIT */
/* Which tensors of a base are a tensor of the target in another layout.
 * Private to the library. */
#ifndef ML_GATHER_PLAN_H
#define ML_GATHER_PLAN_H

#include "ml.h"

/* What was found for a tensor. */
struct ml_found {
	struct ml_cast c; /* its gather is owned; NULL: nothing */
	const struct ml_span *b; /* the tensor that it is of */
	/* Of the sample: by it, without a base; and how much that was. */
	uint64_t bits, alone, bytes;
};
void ml_found_free(struct ml_found *f);

struct ml_layouts;
int ml_layouts_new(struct ml_layouts **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_src *tsrc, struct ml_diag *diag);
void ml_layouts_free(struct ml_layouts *l);

/* The cast that makes t of the numbers of b in t's layout, its range from
 * offset 0 on; 0 when there is none. Its scales are the caller's. 2: it is no
 * cast, but blocks are predicted from b, by operations of type c->units. */
typedef int ml_recast(void *arg, struct ml_cast *c, const struct ml_span *t,
	const struct ml_span *b);

/* Looks for t, which no base tensor helps as it is. */
int ml_layouts_find(struct ml_layouts *l, const struct ml_span *t,
	ml_recast *recast, void *arg, struct ml_found *f,
	struct ml_diag *diag);

/* For each index of a dimension of t the index of b's that it is, told as the
 * runs of *g (to be freed), which has b's dimensions. t has as many, dim; both
 * are dense and of the same dtype, without dimensions of 1. *good: it was
 * found. */
int ml_gather_match(struct ml_gather *g, const struct ml_span *b,
	struct ml_src *bsrc, const struct ml_span *t, struct ml_src *tsrc,
	const uint64_t *dim, unsigned type, int *good, struct ml_diag *diag);

#endif
