/* SPDX-License-Identifier: MIT */
/* Bytes that the target had before, however far back. Private to the library.
 */
#ifndef ML_DUP_H
#define ML_DUP_H

#include "ml.h"

#define ML_DUP_MIN 512 /* bytes of a run */

struct ml_dup_run {
	uint64_t at, from, len; /* target offsets: from < at */
};

/* tsrc: the target, `size` bytes, which is read again where bytes seem to
 * come again. quick: only where spans begin. Memory is 4 MiB at most. */
struct ml_dup;
int ml_dup_new(struct ml_dup **out, struct ml_src *tsrc, uint64_t size,
	int quick, struct ml_diag *diag);
void ml_dup_free(struct ml_dup *d); /* NULL is allowed */

/* Looks at p[0..n), n <= ML_BLOCK_OUT, the bytes of the target at `at`, for
 * runs that were there before; they lie in the struct until the next call. All
 * bytes pass in order. begins: a span does. */
int ml_dup_find(struct ml_dup *d, uint64_t at, const uint8_t *p, size_t n,
	int begins, const struct ml_dup_run **run, size_t *nrun,
	struct ml_diag *diag);

/* The run that off lies in, or the first behind it; NULL: none. */
const struct ml_dup_run *ml_dup_at(const struct ml_dup_run *run, size_t n,
	uint64_t off);

#endif
