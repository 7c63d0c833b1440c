/* SPDX-License-Identifier: MIT */
/* The frame of ml-patch(5) for those that write or cut it: header, records,
 * notes. Private to the library. */
#ifndef ML_HDR_H
#define ML_HDR_H

#include "ml.h"

#define ML_VARINT_MAX 9 /* bytes of a number below 2^63 */
#define ML_REC_HEAD_MAX (1 + 2 * ML_VARINT_MAX)
#define ML_RECORD_CODER 0x0fu /* of a record's first byte */
#define ML_RECORD_RESET 0x10u
#define ML_CODER_PLAIN 0u
#define ML_CODER_RANGE 1u
#define ML_CODER_NOTE 0x0fu
#define ML_NOTE_LABEL 1u /* first byte of a note: a SPAN payload follows */
#define ML_SIZE_MAX (UINT64_C(1) << 62) /* of a target, a body */

/* 1: *v is there and *p behind it; 0: more bytes needed; -1: malformed. */
int ml_get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v);

/* Returns the length of the header. */
size_t ml_hdr_put(uint8_t *p, const struct ml_patch_info *info, int cls,
	uint64_t body, uint64_t window);

/* The enum ml_err for a negative enum ml_dec_status. */
int ml_dec_err(int status);

#endif
