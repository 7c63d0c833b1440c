/* SPDX-License-Identifier: MIT */
/* Which base tensor helps which target tensor. Private to the library. */
#ifndef ML_ALIGN_H
#define ML_ALIGN_H

#include "ml.h"

struct ml_align;

/* Indexes the base by name, and by element type and size. */
int ml_align_new(struct ml_align **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag);
void ml_align_free(struct ml_align *a);

/* The base tensor for sp, whose bytes are read from tsrc: the one of its name
 * when a sample says that it helps, else the best of those with the same
 * element type and size, in an order of likelihood. Sets *found to NULL when
 * none helps. *how says which rule it was: "name", "shape". */
int ml_align_find(struct ml_align *a, const struct ml_span *sp,
	struct ml_src *tsrc, const struct ml_span **found, const char **how,
	struct ml_diag *diag);

/* Compares the tensors' own names: without the members of archives that they
 * are in. */
int ml_own_name_cmp(const struct ml_span *a, const struct ml_span *b);

#endif
