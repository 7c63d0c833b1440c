/* SPDX-License-Identifier: MIT */
/* From matches to operations: small edits inside bytes that otherwise agree
 * with the base (counters, offsets, names in a skeleton) become residuals of
 * bytes; gaps go to gap.h. Private to the library. */
#ifndef ML_EDIT_H
#define ML_EDIT_H

#include "gap.h"

#define ML_STEPS 2048

/* A match, or the gap before the next one. */
struct ml_step {
	uint32_t at, len; /* in the window */
	uint64_t arg; /* of a match */
	int op; /* ML_OP_COPY, ML_OP_SELF; ML_OP_LIT: a gap */
};

struct ml_edit {
	struct ml_gap gap; /* gap.disp is kept up here */
	const uint8_t *win;
	uint64_t wfrom; /* target offset of win[0] */
	unsigned lit; /* price of a literal byte, in 1/8 bit */
	int described; /* residuals of bytes have a descriptor already */
	ml_emit *emit;
	void *arg;
	struct ml_diag *diag;
};

/* Emits the steps, which follow on each other. */
int ml_edit(struct ml_edit *e, const struct ml_step *step, size_t n);

#endif
