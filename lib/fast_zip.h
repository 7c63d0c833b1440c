/* SPDX-License-Identifier: MIT */
/* Blocks of coder 3 by several threads, handed on in the order in which they
 * came: the same bytes whatever the number of threads. Private to the
 * library. */
#ifndef ML_FAST_ZIP_H
#define ML_FAST_ZIP_H

#include "fast.h"

struct ml_fast_zip;
/* threads 0: as many as there are processors; 1: none but the caller's. */
int ml_fast_zip_new(struct ml_fast_zip **out, unsigned threads,
	const struct ml_sink *next, struct ml_diag *diag);
void ml_fast_zip_free(struct ml_fast_zip *z); /* NULL is allowed */
/* Elements to be coded; they are copied. What gains nothing becomes a plain
 * block. */
int ml_fast_zip_add(struct ml_fast_zip *z, const struct ml_fast_in *in,
	struct ml_diag *diag);
/* A block that is finished already. */
int ml_fast_zip_block(struct ml_fast_zip *z, const struct ml_block *b,
	struct ml_diag *diag);
int ml_fast_zip_end(struct ml_fast_zip *z, struct ml_diag *diag);

#endif
