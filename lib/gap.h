/* SPDX-License-Identifier: MIT */
/* Codes bytes that no copy covers: as literals, as elements, or as residuals
 * against base bytes that lie where they would lie had nothing moved. Private
 * to the library. */
#ifndef ML_GAP_H
#define ML_GAP_H

#include "litprice.h"
#include "match.h"

struct ml_gap {
	struct ml_src *m; /* the base; NULL: none */
	uint64_t bsize;
	unsigned type; /* element type; 0: unknown, found by measurement */
	unsigned page; /* of a patch in place, log2; 0: none */
	uint64_t lead; /* of it, in bytes */
	/* Base offset - target offset: of the matches before and after, and
	 * of the last long one. */
	int64_t disp[2], steady;
	uint64_t literals; /* bytes coded so until now */
	const struct ml_litprice *lit; /* what they cost; NULL: not known */
};

/* What p[0..n), n <= ML_GAP_PIECE, costs if it is covered as one. */
#define ML_GAP_PIECE 4096
int ml_gap_price(const struct ml_gap *g, uint64_t off, const uint8_t *p,
	size_t n, uint64_t *bits, struct ml_diag *diag);

/* Covers p[0..n), which begins at target offset `off`. */
int ml_gap_code(struct ml_gap *g, uint64_t off, const uint8_t *p,
	size_t n, ml_emit *emit, void *arg, struct ml_diag *diag);

/* Emits a DIFF of `units` blocks: computes the residuals. */
int ml_diff_emit(unsigned type, const uint8_t *base, const uint8_t *p,
	size_t units, uint64_t at, ml_emit *emit, void *arg,
	struct ml_diag *diag);

#endif
