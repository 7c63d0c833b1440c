/* SPDX-License-Identifier: MIT */
/* The encoder of coder 1, ml-patch(5): plain operations in, a range-coded
 * payload out. Private to the library. */
#ifndef ML_CODER_H
#define ML_CODER_H

#include "ml.h"

struct ml_coder;

int ml_coder_new(struct ml_coder **out, int cls, struct ml_diag *diag);
/* The spans of the target, in order, before what they have: rows of tensors
 * are good to know. */
int ml_coder_span(struct ml_coder *c, const struct ml_span *sp,
	struct ml_diag *diag);
void ml_coder_free(struct ml_coder *c);
/* As new: what a record with a reset begins with. */
void ml_coder_reset(struct ml_coder *c);

/* Codes a plain block, whose target bytes begin at tpos. *code and *n are
 * the payload, alive until the next call; 0 bytes say that it did not get
 * below `limit` bytes, and then the model is as before the call. Hostile
 * blocks are refused. */
int ml_coder_encode(struct ml_coder *c, const struct ml_block *b,
	uint64_t tpos, size_t limit, const uint8_t **code, size_t *n,
	struct ml_diag *diag);

#endif
