/* SPDX-License-Identifier: MIT */
/* ml_delta when opt->pair is there. Private to the library. */
#ifndef ML_FAST_DELTA_H
#define ML_FAST_DELTA_H

#include "ml.h"

int ml_fast_delta(const struct ml_model *base, struct ml_src *bsrc,
	const struct ml_model *target, struct ml_src *tsrc,
	const struct ml_delta_opt *opt, const struct ml_sink *next,
	struct ml_diag *diag);

#endif
