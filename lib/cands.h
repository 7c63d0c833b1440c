/* SPDX-License-Identifier: MIT */
/* All matches at a place, as the parser wants them. Private to the library. */
#ifndef ML_CANDS_H
#define ML_CANDS_H

#include "dup.h"
#include "index.h"
#include "parse.h"
#include "window.h"

struct ml_cands {
	struct ml_index *base; /* NULL: none */
	struct ml_window *win;
	const struct ml_dup_run *far; /* that were in the target before */
	size_t nfar;
};

/* Both take a struct ml_cands. */
extern const struct ml_parse_ops ml_cands_ops;

#endif
