/* SPDX-License-Identifier: MIT */
/* Deflated parts of a file, seen inflated: see struct ml_wrap. Private to the
 * library. */
#ifndef ML_WRAP_H
#define ML_WRAP_H

#include "ml.h"

#define ML_WRAPS_MAX (1u << 20)

/* Inflates w->clen bytes at w->off of s, which must make w->len, to the end of
 * the spool, and sets w->at. *again is 1 when zlib makes the same bytes again
 * with the arguments that are put into *w; else it is 0 and the spool is as
 * it was. */
int ml_wrap_try(struct ml_wrap *w, struct ml_src *s, struct ml_src *spool,
	int *again, struct ml_diag *diag);
/* Appends a copy. */
int ml_wrap_add(
	struct ml_model *m, const struct ml_wrap *w, struct ml_diag *diag);
/* The end of reading: sorts the wraps, makes the image of s when there are any
 * (it takes the spool) and moves the tensors to where they are in it. */
int ml_image_new(struct ml_model *m, struct ml_src *s, struct ml_src **spool,
	struct ml_diag *diag);

#endif
