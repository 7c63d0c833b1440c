/* SPDX-License-Identifier: MIT */
/* Plain operations, the payload of coder 0 in ml-patch(5): reading and
 * writing them. Private to the library. */
#ifndef ML_OPS_H
#define ML_OPS_H

#include "ml.h"
#include "mltype.h"

#define ML_OP_HEAD_MAX 22 /* bytes of an operation before its data */

struct ml_op_view {
	unsigned op; /* enum ml_op, never ML_OP_DESC */
	unsigned type; /* of DIFF and ALONE, else 0 */
	uint64_t n; /* units: bytes, or blocks of the type */
	uint64_t bytes; /* of the target */
	uint64_t from; /* bytes of the base of a DIFF, else 0 */
	uint64_t arg; /* base offset of COPY and DIFF, distance of SELF */
	const uint8_t *data; /* LIT, DIFF, ALONE: `bytes` bytes */
	uint32_t scale; /* coder 2, a cast to codes: the bits of a f32, */
	int32_t zero; /* and the zero point */
};

/* Takes the operation at *p, which ends by `end`; moves *p behind it. */
int ml_op_read(const uint8_t **p, const uint8_t *end, struct ml_op_view *v,
	struct ml_diag *diag);

/* One whose base is of another type, as those have it that do not know such:
 * the elements alone. */
void ml_op_uncross(struct ml_op_view *v);

/* Writes the head of an operation; returns its length. n and arg < 2^63. */
size_t ml_op_head(uint8_t dst[ML_OP_HEAD_MAX], unsigned op, unsigned type,
	uint64_t n, uint64_t arg);

/* LEB128; returns the bytes written, at most 10. */
size_t ml_put_varint(uint8_t *dst, uint64_t v);

/* The patch's element type for a tensor's dtype; 0 (bytes) for all that has
 * no better one. */
unsigned ml_type_of(unsigned dtype);

#endif
