/* SPDX-License-Identifier: MIT */
/* The bytes of a patch into a decoder. Private to the library. */
#ifndef ML_FEED_H
#define ML_FEED_H

#include <stdio.h>

#include "hdr.h"
#include "mldec.h"

#define ML_FEED_LEN 65536
#define ML_FEED_BUF (65536 - 8) /* the decoder's */

struct ml_feed {
	/* the patch: either a part of a source, or a FILE */
	struct ml_src *psrc;
	FILE *f;
	uint64_t at, end; /* read so far; where the source's part ends */
	uint8_t in[ML_FEED_LEN];
	size_t n, used; /* bytes in `in`, and taken from it */
	int eof;

	/* where the decoder is, for messages */
	uint64_t taken; /* offset behind the last byte taken */
	uint64_t rec; /* offset of the record in work; 0: header */
	uint64_t skip; /* bytes of it that are not looked at */
	uint8_t frame[ML_REC_HEAD_MAX];
	size_t nframe;

	struct ml_sha256 *body; /* of all that is taken behind the header, or
				 * NULL */
	struct ml_dec dec;
	int err; /* of a callback */
};

/* Puts more bytes of the patch behind those in `in`. */
int ml_feed_fill(struct ml_feed *f, struct ml_diag *diag);
/* Decodes until the end. */
int ml_feed_run(struct ml_feed *f, struct ml_diag *diag);

#endif
