/* SPDX-License-Identifier: MIT */
/* Elements of a range in another order: transposed, some of its columns, with
 * zeros between. Private to the library. */
#ifndef ML_GATHER_H
#define ML_GATHER_H

#include "ml.h"

/* Elements of the range; and how many indices are taken of its dimension k. */
uint64_t ml_gather_of(const struct ml_gather *g);
uint64_t ml_gather_taken(const struct ml_gather *g, unsigned k);
/* Whether dimensions, order and runs are in bounds, for elements of 2^log
 * bytes, and make `units` elements. */
int ml_gather_legal(const struct ml_gather *g, unsigned log, uint64_t units);
/* Elements that it makes; 0 when they are too many. */
uint64_t ml_gather_units(const struct ml_gather *g);

/* A copy with its runs, or NULL. */
struct ml_gather *ml_gather_copy(const struct ml_gather *g);
void ml_gather_free(struct ml_gather *g); /* NULL is allowed */

/* The orders of n things by number, below n!, in lexicographic order; and
 * back. */
void ml_gather_order(uint8_t *order, unsigned n, unsigned number);
unsigned ml_gather_number(const uint8_t *order, unsigned n);

/* Elements first to first + n of what c makes of src, through a buffer. */
#define ML_GATHER_STAGE (1u << 18)
int ml_gather_make(const struct ml_cast *c, struct ml_src *src, uint64_t first,
	uint64_t n, uint8_t *to, uint8_t stage[ML_GATHER_STAGE],
	struct ml_diag *diag);

#endif
