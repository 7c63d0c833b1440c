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
/* Whether pos and len are in bounds and the arguments are zlib's. */
int ml_wrap_legal(const struct ml_wrap *w);
/* Appends a copy. */
int ml_wrap_add(
	struct ml_model *m, const struct ml_wrap *w, struct ml_diag *diag);
/* The end of reading: sorts the wraps, makes the image of s when there are any
 * (it takes the spool) and moves the tensors to where they are in it. */
int ml_image_new(struct ml_model *m, struct ml_src *s, struct ml_src **spool,
	struct ml_diag *diag);
/* The image of a file, by pos and len of its n >= 1 deflated parts, which are
 * ascending and apart; fills in where they lie in the file. ML_EFORMAT unless
 * the image has `size` bytes. The file must outlive it. */
int ml_image_of(struct ml_src **out, struct ml_src *file, struct ml_wrap *w,
	size_t n, uint64_t size, struct ml_diag *diag);

/* What records of a patch read: the image of a base with n parts, and behind
 * it the casts. *image and *cast are to be freed, casts first; *base becomes
 * the source to read. */
int ml_base_open(struct ml_src **base, struct ml_src **image,
	struct ml_cast_base *cast, struct ml_wrap *w, size_t n, uint64_t size,
	const struct ml_casts *casts, struct ml_diag *diag);

/* Takes the bytes of an image in order and writes those of its file. w, which
 * is borrowed, has pos, len and the arguments; all ascending, and no len is 0.
 * write gets at most 64 KiB, or a piece of what was given. */
struct ml_rewrap;
int ml_rewrap_new(struct ml_rewrap **out, const struct ml_wrap *w, size_t n,
	int (*write)(void *ctx, const uint8_t *p, size_t n,
	struct ml_diag *diag), void *ctx, struct ml_diag *diag);
int ml_rewrap_write(struct ml_rewrap *r, const uint8_t *p, size_t n,
	struct ml_diag *diag);
void ml_rewrap_free(struct ml_rewrap *r); /* NULL is allowed */

#endif
