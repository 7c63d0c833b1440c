/* SPDX-License-Identifier: MIT */
/* Casts of a base as coder 2 has them: not a list, but types of residuals.
 * Private to the library. */
#ifndef ML_NANO_CAST_H
#define ML_NANO_CAST_H

#include "match.h"
#include "ml.h"

struct ml_nano_cast;

/* Whether coder 2 has this cast. */
int ml_nano_cast_able(const struct ml_cast *c);

/* src is the base and behind it what the casts make, from `own` on. All must
 * outlive it. */
int ml_nano_cast_new(struct ml_nano_cast **out, const struct ml_casts *casts,
	struct ml_src *src, uint64_t own, struct ml_diag *diag);
void ml_nano_cast_free(struct ml_nano_cast *n);

/* An operation for an emit (match.h) and its argument, with what it takes of
 * casts as residuals against whole elements of one of them each; what cannot
 * be so, as elements alone or bytes. */
int ml_nano_cast_op(struct ml_nano_cast *n, ml_emit *emit, void *arg,
	unsigned op, unsigned type, uint64_t units, uint64_t at,
	const uint8_t *data, const uint8_t *base, size_t bytes,
	struct ml_diag *diag);

/* How residuals against a cast begin. */
struct ml_nano_run {
	unsigned type; /* of mltype.h, 64 and up */
	uint64_t units, from; /* how many; the base's offset of the first */
	uint32_t scale;
	int32_t zero;
};

/* Whether residuals at this offset are against a cast, and how. */
int ml_nano_cast_run(const struct ml_nano_cast *n, uint64_t at,
	uint64_t units, struct ml_nano_run *r);

#endif
