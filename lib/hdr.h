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
#define ML_CODER_FAST 3u
#define ML_CODER_NANO 2u /* all that class nano has */
#define ML_CODER_NOTE 0x0fu
#define ML_NOTE_LABEL 1u /* first byte of a note: a SPAN payload follows */
#define ML_NOTE_WRAPS 2u /* the deflated parts of base and target */
#define ML_NOTE_CASTS 3u /* the casts of the base, directly after these */
#define ML_NOTE_WRAPS_MAX (1u << 26) /* bytes of such a note */
#define ML_SIZE_MAX (UINT64_C(1) << 62) /* of a target, a body */

struct ml_hdr; /* mldec.h */

/* Numbers near `from`, in either direction, as small ones. */
static inline uint64_t ml_zigzag(uint64_t v, uint64_t from)
{
	const uint64_t d = v - from;

	return d << 1 ^ (d >> 63 ? UINT64_MAX : 0);
}

static inline uint64_t ml_unzigzag(uint64_t z, uint64_t from)
{
	return from + (z >> 1 ^ (z & 1 ? UINT64_MAX : 0));
}

/* 1: *v is there and *p behind it; 0: more bytes needed; -1: malformed. */
int ml_get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v);

/* The deflated parts of base and target, as such a note has them. */
struct ml_wrap_map {
	struct ml_wrap *base, *target; /* pos, len and arguments; owned */
	size_t nbase, ntarget;
	struct ml_cast *cast; /* owned */
	size_t ncast;
	uint64_t base_image; /* without the casts */
};
/* The payload of that note into *out (to be freed), its length to *n. */
int ml_map_encode(uint8_t **out, size_t *n, const struct ml_wraps *base,
	const struct ml_wraps *target, struct ml_diag *diag);
/* Reads it from the body of a wrapped patch, whose header is h, at `off`. On
 * failure m is empty. */
int ml_map_read(struct ml_wrap_map *m, struct ml_src *psrc, uint64_t off,
	const struct ml_hdr *h, struct ml_diag *diag);
void ml_map_free(struct ml_wrap_map *m);

/* Whether the records are not about the files themselves. */
int ml_info_wrapped(const struct ml_patch_info *info);
/* Bytes of the base that records may use: of its image with the casts. */
uint64_t ml_info_base_image(const struct ml_patch_info *info);

/* Returns the length of the header. */
size_t ml_hdr_put(uint8_t *p, const struct ml_patch_info *info, int cls,
	uint64_t body, uint64_t window, uint64_t types);

/* The header at `off`: into hbuf, and what it says. */
int ml_hdr_read(struct ml_src *s, uint64_t off, struct ml_hdr *h,
	uint8_t hbuf[384], struct ml_diag *diag);

/* Says why ml_hdr_parse refused a header with r < 0, what it found before that
 * in h. */
int ml_hdr_refused(int r, const struct ml_hdr *h, uint64_t off,
	struct ml_diag *diag);

/* The frame of the record at r->off, which ends by `end`. */
int ml_record_frame(struct ml_src *s, struct ml_record *r, uint64_t end,
	struct ml_diag *diag);
/* The same, its CRC checked. */
int ml_record_read(struct ml_src *s, struct ml_record *r, uint64_t end,
	struct ml_diag *diag);

/* The enum ml_err for a negative enum ml_dec_status. */
int ml_dec_err(int status);

#endif
