/* SPDX-License-Identifier: MIT */
/* The labels of a patch, and spans as text. Private to the library and the
 * programs that show tensors. */
#ifndef ML_LABEL_H
#define ML_LABEL_H

#include "ml.h"

/* Reads the notes of the patch at *off into a finished model, whose container
 * is not known, and moves *off behind the patch. A patch without labels gives
 * a model without tensors. */
int ml_patch_labels(struct ml_src *psrc, uint64_t *off, struct ml_model *m,
	struct ml_diag *diag);

/* ml_escape into memory of the right size, which the caller frees. NULL: out
 * of memory. The result is UTF-8. */
char *ml_escaped(const char *text, size_t n);

/* "128x64"; "-" without dimensions. Returns buf. */
#define ML_SHAPE_TEXT (ML_RANK_MAX * 21 + 1)
char *ml_shape_text(char buf[ML_SHAPE_TEXT], const struct ml_span *sp);

/* "bf16", or "type-77" for an unknown type, or "skeleton". Returns buf. */
#define ML_TYPE_TEXT 24
char *ml_type_text(char buf[ML_TYPE_TEXT], const struct ml_span *sp);

#endif
