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

/* Writes the head of the open operation before its data. */
static void close_op(struct ml_blockbuf *b)
{
	uint8_t *p = b->code + b->start, *data = p + ML_OP_HEAD_MAX;
	size_t k, n;

	if (!b->open)
		return;
	n = b->n - b->start - ML_OP_HEAD_MAX;
	k = ml_op_head(p, b->op, b->type, b->units, b->at);
	memmove(p + k, data, n);
	b->n = b->start + k + n;
	b->open = 0;
}

void ml_blockbuf_apart(struct ml_blockbuf *b)
{
	if (b->open && b->op == ML_OP_ALONE)
		close_op(b);
}

int ml_blockbuf_flush(struct ml_blockbuf *b, struct ml_diag *diag)
{
	struct ml_block blk = { 0 };

	if (!b->n_out)
		return ML_OK;
	close_op(b);
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

/* Whether an operation goes on where the open one ends; its units are of so
 * many bytes of the base. */
static int goes_on(const struct ml_blockbuf *b, unsigned op, unsigned type,
	uint64_t at, unsigned unit)
{
	if (!b->open || b->op != op || b->type != type)
		return 0;
	if (op == ML_OP_COPY || op == ML_OP_DIFF)
		return at == b->at + b->units * unit;
	return op != ML_OP_SELF || at == b->at;
}

int ml_blockbuf_op(void *arg, unsigned op, unsigned type, uint64_t units,
	uint64_t at, const uint8_t *data, const uint8_t *base, size_t bytes,
	struct ml_diag *diag)
{
	struct ml_blockbuf *b = arg;
	unsigned unit = op == ML_OP_DIFF || op == ML_OP_ALONE ?
		ml_type_bytes(type) : 1;
	const unsigned from = op == ML_OP_DIFF ? ml_type_base(type) : unit;
	uint64_t k, room;
	int r;

	(void)bytes;
	while (units) {
		if (!goes_on(b, op, type, at, from)) {
			close_op(b);
			if (CODE_CAP - b->n < ML_OP_HEAD_MAX + unit ||
				(data && ML_BLOCK_OUT - b->ndata < unit) ||
				(op == ML_OP_DIFF &&
				ML_BLOCK_OUT - b->nbase < from)) {
				r = ml_blockbuf_flush(b, diag);
				if (r)
					return r;
			}
			b->open = 1;
			b->start = b->n;
			b->n += ML_OP_HEAD_MAX;
			b->op = op;
			b->type = type;
			b->units = 0;
			b->at = at;
		}
		k = units;
		if (data) {
			room = CODE_CAP - b->n;
			if (room > ML_BLOCK_OUT - b->ndata)
				room = ML_BLOCK_OUT - b->ndata;
			if (k > room / unit)
				k = room / unit;
			room = ML_BLOCK_OUT - b->nbase;
			if (op == ML_OP_DIFF && k > room / from)
				k = room / from;
			if (!k) {
				r = ml_blockbuf_flush(b, diag);
				if (r)
					return r;
				continue;
			}
			memcpy(b->code + b->n, data, k * unit);
			b->n += k * unit;
			b->ndata += k * unit;
			data += k * unit;
		}
		if (op == ML_OP_DIFF) {
			memcpy(b->base + b->nbase, base, k * from);
			b->nbase += k * from;
			base += k * from;
		}
		if (op == ML_OP_COPY || op == ML_OP_DIFF)
			at += k * from;
		if (op == ML_OP_SELF && at > b->window)
			b->window = at;
		b->units += k;
		b->n_out += k * unit;
		units -= k;
	}
	return ML_OK;
}
