/* SPDX-License-Identifier: MIT */
/* What a packer holds. Private to pack.c and pack_finish.c. */
#ifndef ML_PACK_H
#define ML_PACK_H

#include "hdr.h"
#include "ops.h"

#define ML_BLOCK_CODE_MAX (ML_CODE_MAX - ML_CODE_HEAD)
#define ML_RECORD_MAX (ML_BLOCK_CODE_MAX + ML_REC_HEAD_MAX + 4)

enum ml_piece_kind { P_OPS, P_OP, P_RECORD }; /* the last: any coder's */

struct ml_piece {
	uint64_t n; /* bytes in the spool, in order of the pieces; of a record
		     * or several all that there are */
	uint64_t out; /* target bytes that they make */
	uint64_t arg; /* of an operation */
	uint8_t kind; /* enum ml_piece_kind */
	uint8_t op, type; /* of an operation */
	uint8_t coder; /* first byte of the record */
};

struct ml_packer {
	struct ml_src *spool, *notes; /* the former after room for a header */
	struct ml_piece *piece;
	size_t npiece, cap;
	uint64_t made; /* target bytes */
	uint64_t window, types;
	int plain; /* has plain records */
	uint64_t base_end; /* of what copies and residuals use */
	int ranged; /* has range-coded records */
	int fast; /* has fast ones */
	int reset; /* for the next range-coded record */
	uint8_t *buf; /* what a block adds to the spool */
	size_t nbuf;
};

/* The pieces of one record: [first, end). */
struct ml_rec {
	size_t first, end;
	uint64_t out, n;
	unsigned coder;
	int whole; /* the spool has it, or several, as it is to be */
};

/* The head of a record; returns its length. */
size_t ml_record_head(uint8_t *p, unsigned coder, uint64_t out, uint64_t n);
/* The head of a piece in a record; 0 when it has none. */
size_t ml_piece_head(uint8_t p[ML_OP_HEAD_MAX], const struct ml_piece *t);
/* The record that begins with piece r->end. 0: there is none. */
int ml_next_record(const struct ml_packer *p, struct ml_rec *r);
/* Makes records of the operations at the end, unless they are many bytes. */
int ml_pack_close(struct ml_packer *p, struct ml_diag *diag);

#endif
