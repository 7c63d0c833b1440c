/* SPDX-License-Identifier: MIT */
/* Patches that may replace their base in place, page by page: ml-patch(5).
 * Private to the library. */
#ifndef ML_INPLACE_H
#define ML_INPLACE_H

#include "ml.h"

/* How many of n bytes of the target from t on may be made of base bytes which
 * lie at `off`, when each page of 1 << page bytes of the target takes the place
 * of what is there. The base lies its lead higher than it says. page 0: all of
 * them. */
static inline uint64_t ml_page_room(unsigned page, uint64_t t, uint64_t off,
	uint64_t n)
{
	const uint64_t size = (uint64_t)1 << page, in = t & (size - 1);

	if (!page || off >= t)
		return n;
	if (off < t - in)
		return 0;
	return n < size - in ? n : size - in;
}

/* Takes plain blocks and sends them on with what they may not use of the base
 * made without it. target and tsrc are what the blocks make. */
struct ml_inplace;
int ml_inplace_new(struct ml_inplace **out, unsigned page, unsigned lead,
	const struct ml_model *target, struct ml_src *tsrc,
	const struct ml_sink *next, struct ml_diag *diag);
void ml_inplace_free(struct ml_inplace *ip); /* NULL is allowed */
int ml_inplace_block(struct ml_inplace *ip, const struct ml_block *b,
	struct ml_diag *diag);
int ml_inplace_end(struct ml_inplace *ip, struct ml_diag *diag);

#endif
