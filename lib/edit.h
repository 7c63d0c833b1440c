/* SPDX-License-Identifier: MIT */
/* From the steps of a parse to operations: residuals are computed, gaps go to
 * gap.h. Private to the library. */
#ifndef ML_EDIT_H
#define ML_EDIT_H

#include "gap.h"
#include "parse.h"

struct ml_edit {
	struct ml_gap gap; /* gap.disp is kept up here */
	const uint8_t *win;
	uint64_t wfrom; /* target offset of win[0] */
	int described; /* residuals of bytes have a descriptor already */
	ml_emit *emit;
	void *arg;
	struct ml_diag *diag;
};

/* Emits the steps, which follow on each other. */
int ml_edit(struct ml_edit *e, const struct ml_step *step, size_t n);

#endif
