/* SPDX-License-Identifier: MIT */
/* What readers of archives share with the one that picks readers. Private to
 * the library. */
#ifndef ML_CONTAINER_H
#define ML_CONTAINER_H

#include "ml.h"

/* Whether the bytes are at fault, and not the machine. */
int ml_input_fault(int err);
/* Finds the reader by content and adds the tensors, all within s; m is
 * initialised, with depth and spool set. An input error leaves m without
 * tensors. What no reader knows has none, and is no error. */
int ml_model_walk(struct ml_model *m, struct ml_src *s, struct ml_diag *diag);

/* ML_EFORMAT when a tensor leaves the file. */
int ml_model_check(
	const struct ml_model *m, uint64_t size, struct ml_diag *diag);

#endif
