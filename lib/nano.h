/* SPDX-License-Identifier: MIT */
/* The encoder of coder 2, ml-patch(5), as ml_coder is that of coder 1. Private
 * to the library. */
#ifndef ML_NANOENC_H
#define ML_NANOENC_H

#include "ml.h"

struct ml_nano_cast;
struct ml_nanoenc;

int ml_nano_new(struct ml_nanoenc **out, struct ml_diag *diag);
void ml_nano_free(struct ml_nanoenc *c);
void ml_nano_reset(struct ml_nanoenc *c);
/* Residuals may be against casts of the base. */
void ml_nano_casts(struct ml_nanoenc *c, const struct ml_nano_cast *cast);

/* Codes a plain block, whose target bytes begin at tpos. *code and *n are the
 * payload, alive until the next call; never longer than the block's by more
 * than a few bytes for each operation. Hostile blocks are refused. */
int ml_nano_encode(struct ml_nanoenc *c, const struct ml_block *b,
	uint64_t tpos, const uint8_t **code, size_t *n, struct ml_diag *diag);


/* A bit for each element type in the descriptors of the last block. */
uint64_t ml_nano_types(const struct ml_nanoenc *c);

#endif
