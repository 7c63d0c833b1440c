/* SPDX-License-Identifier: MIT */
/* Several threads decode one patch. Private to the library. */
#ifndef ML_CREW_H
#define ML_CREW_H

#include "ml.h"

struct ml_cast_src;
struct ml_hdr;

/* Where the target goes; called by one thread at a time, in order. */
struct ml_crew_io {
	void *ctx;
	int (*write)(void *ctx, const uint8_t *p, size_t n,
		struct ml_diag *diag);
	/* Up to n bytes of what was given to write; returns how many, at
	 * least one, or an error. */
	int (*target)(void *ctx, uint64_t off, uint8_t *p, size_t n,
		struct ml_diag *diag);
};

/* Decodes the body, which lies at `off`, by at most so many threads, the
 * caller's among them; the base is `made` unless that is NULL. What is written, and what goes wrong, does not depend
 * on their number. Each takes at most 16 MiB. *done 0: the patch has no parts
 * that stand alone, and nothing was done. */
int ml_crew(struct ml_src *psrc, uint64_t off, const struct ml_hdr *h,
	struct ml_src *bsrc, struct ml_cast_src *made, int threads,
	const struct ml_crew_io *io, int *done, struct ml_diag *diag);

#endif
