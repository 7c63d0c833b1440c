/* SPDX-License-Identifier: MIT */
/* The protobuf wire format, read in place: fields with their file offsets,
 * which the usual libraries do not tell. */
#ifndef ML_PROTOBUF_H
#define ML_PROTOBUF_H

#include "ml.h"

enum ml_pb_wire {
	ML_PB_VARINT = 0, ML_PB_I64 = 1, ML_PB_LEN = 2, ML_PB_I32 = 5
};

/* A message that is being read: the bytes [pos, end) of a source. */
struct ml_pb {
	struct ml_src *src;
	uint64_t pos, end;
};

struct ml_pb_field {
	uint32_t num; /* 1 .. 2^29 - 1 */
	uint8_t wire; /* enum ml_pb_wire */
	uint64_t at; /* of its tag */
	uint64_t val; /* of a number; 0 for ML_PB_LEN */
	uint64_t off, len; /* of a payload, inside its message; else 0 */
};

#define ML_VARINT_MAX 10 /* bytes */

/* The bytes that a varint takes, 0 when it does not end within n or does not
 * fit into 64 bits. */
size_t ml_varint(const uint8_t *p, size_t n, uint64_t *v);

/* Reads a field, 1; at the end of the message, 0; else a negative error. A
 * payload is stepped over, not read, and lies inside the message. */
int ml_pb_next(struct ml_pb *pb, struct ml_pb_field *f, struct ml_diag *diag);
/* ML_EFORMAT unless the field has that wire type. */
int ml_pb_want(const struct ml_pb_field *f, unsigned wire,
	struct ml_diag *diag);
/* The message in the payload of a field. */
struct ml_pb ml_pb_enter(const struct ml_pb *pb, const struct ml_pb_field *f);

#endif
