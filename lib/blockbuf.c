/* SPDX-License-Identifier: MIT */
/* Plain operations gathered into blocks. */
#include <stdlib.h>
#include <string.h>

#include "blockbuf.h"
#include "ops.h"

#define CODE_CAP (ML_CODE_MAX - ML_CODE_HEAD)

int ml_blockbuf_init(struct ml_blockbuf *b,
	int (*flush)(void *, const struct ml_block *, struct ml_diag *),
	void *arg, struct ml_diag *diag)
{
	memset(b, 0, sizeof *b);
	b->flush = flush;
	b->arg = arg;
	b->code = malloc(CODE_CAP);
	b->base = malloc(ML_BLOCK_OUT);
	if (!b->code || !b->base) {
		ml_blockbuf_free(b);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	return ML_OK;
}

void ml_blockbuf_free(struct ml_blockbuf *b)
{
	free(b->code);
	free(b->base);
	b->code = b->base = NULL;
}

int ml_blockbuf_flush(struct ml_blockbuf *b, struct ml_diag *diag)
{
	struct ml_block blk = { 0 };

	if (!b->n_out)
		return ML_OK;
	blk.n_out = b->n_out;
	blk.code = b->code;
	blk.n = b->n;
	blk.base = b->base;
	blk.nbase = b->nbase;
	blk.window = b->window;
	b->n = b->nbase = b->ndata = 0;
	b->n_out = 0;
	b->window = 0;
	return b->flush(b->arg, &blk, diag);
}

int ml_blockbuf_op(void *arg, unsigned op, unsigned type, uint64_t units,
	uint64_t at, const uint8_t *data, const uint8_t *base, size_t bytes,
	struct ml_diag *diag)
{
	struct ml_blockbuf *b = arg;
	unsigned unit = op == ML_OP_DIFF || op == ML_OP_ALONE ?
		ml_type_bytes(type) : 1;
	uint64_t k, room;
	int r;

	(void)bytes;
	while (units) {
		k = units;
		if (data) {
			room = CODE_CAP - b->n;
			room = room > ML_OP_HEAD_MAX ? room - ML_OP_HEAD_MAX : 0;
			if (room > ML_BLOCK_OUT - b->ndata)
				room = ML_BLOCK_OUT - b->ndata;
			if (k > room / unit)
				k = room / unit;
		}
		if (!k || CODE_CAP - b->n < ML_OP_HEAD_MAX) {
			r = ml_blockbuf_flush(b, diag);
			if (r)
				return r;
			continue;
		}
		b->n += ml_op_head(b->code + b->n, op, type, k, at);
		if (data) {
			memcpy(b->code + b->n, data, k * unit);
			b->n += k * unit;
			b->ndata += k * unit;
			data += k * unit;
		}
		if (op == ML_OP_DIFF) {
			memcpy(b->base + b->nbase, base, k * unit);
			b->nbase += k * unit;
			base += k * unit;
			at += k * unit;
		}
		if (op == ML_OP_SELF && at > b->window)
			b->window = at;
		b->n_out += k * unit;
		units -= k;
	}
	return ML_OK;
}
