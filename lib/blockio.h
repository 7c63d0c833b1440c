/* SPDX-License-Identifier: MIT */
/* Records of ml-stream(5) to blocks. Private to the library. */
#ifndef ML_BLOCKIO_H
#define ML_BLOCKIO_H

#include "ml.h"
#include "ops.h"

/* What a CODE payload says that ml_in_next has accepted; the bytes stay where
 * they are. */
void ml_block_decode(struct ml_block *b, const uint8_t *p, size_t n);

/* Bytes of the target as a block of one operation, which is made in buf. */
#define ML_LITERAL_MAX (ML_DATA_MAX + ML_OP_HEAD_MAX)
void ml_block_literal(struct ml_block *b, uint8_t buf[ML_LITERAL_MAX],
	const uint8_t *p, size_t n);

#endif
