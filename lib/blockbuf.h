/* SPDX-License-Identifier: MIT */
/* Gathers plain operations into blocks that hold at most ML_BLOCK_OUT bytes of
 * data and hands each full one on. Private to the library. */
#ifndef ML_BLOCKBUF_H
#define ML_BLOCKBUF_H

#include "ml.h"

struct ml_blockbuf {
	uint8_t *code, *base;
	size_t n, nbase, ndata;
	uint64_t n_out;
	uint64_t window;
	/* The operation that may go on: its place in code, where its head
	 * has as much room as it may need, and what it is so far. */
	int open;
	size_t start;
	unsigned op, type;
	uint64_t units, at;
	/* Called with each full block. */
	int (*flush)(void *arg, const struct ml_block *b,
		struct ml_diag *diag);
	void *arg;
};

int ml_blockbuf_init(struct ml_blockbuf *b,
	int (*flush)(void *, const struct ml_block *, struct ml_diag *),
	void *arg, struct ml_diag *diag);
void ml_blockbuf_free(struct ml_blockbuf *b);
/* An ml_emit (match.h): arg is the struct ml_blockbuf. LIT, DIFF and
 * ALONE of any length are cut at block ends; COPY and SELF stay whole. What
 * goes on where the last operation ended becomes part of it. */
int ml_blockbuf_op(void *arg, unsigned op, unsigned type, uint64_t units,
	uint64_t at, const uint8_t *data, const uint8_t *base, size_t bytes,
	struct ml_diag *diag);
/* Elements without a base that come next are not part of an operation before:
 * another tensor has other values. */
void ml_blockbuf_apart(struct ml_blockbuf *b);
int ml_blockbuf_flush(struct ml_blockbuf *b, struct ml_diag *diag);

#endif
