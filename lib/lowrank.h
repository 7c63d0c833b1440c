/* SPDX-License-Identifier: MIT */
/* Finds a low-rank change between two matrices, as a merged LoRA leaves it.
 * Private to the library. */
#ifndef ML_LOWRANK_H
#define ML_LOWRANK_H

#include "ml.h"

/* Tries to explain t, a matrix of floats of the same shape and type as b, as
 * b + U V: fills in the factors of *c (c->u, c->v, to be freed), its rank,
 * columns and exponent. *bits is the estimated cost of t by it, factors
 * included; UINT64_MAX when there is nothing of the kind. */
int ml_lowrank_find(struct ml_cast *c, uint64_t *bits,
	const struct ml_span *b, struct ml_src *bsrc, const struct ml_span *t,
	struct ml_src *tsrc, struct ml_diag *diag);

/* Several by some threads. */
#define ML_LOWRANK_MANY 16
struct ml_lowrank_try {
	const struct ml_span *b, *t;
	struct ml_src *bsrc, *tsrc; /* to be shared */
	struct ml_cast c;
	uint64_t bits;
	int err;
	struct ml_diag diag;
};
void ml_lowrank_many(struct ml_lowrank_try *tries, size_t n, size_t threads);

#endif
