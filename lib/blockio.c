/* SPDX-License-Identifier: MIT */
/* Blocks to records of ml-stream(5) and back. */
#include <string.h>

#include "blockio.h"
#include "bytes.h"

int ml_out_block(
	struct ml_out *o, const struct ml_block *b, struct ml_diag *diag)
{
	uint8_t head[ML_CODE_HEAD] = {b->coder};
	int err = ML_OK;

	ml_store64(head + 8, b->n_out);
	ml_store64(head + 16, b->window);
	ml_store48(head + 2, b->types);
	head[1] = (uint8_t)(b->types >> 48);
	if (b->nbase)
		err = ml_out_record(o, ML_BASE, b->base, b->nbase, diag);
	if (!err)
		err = ml_out_record2(o, ML_CODE, head, sizeof(head), b->code,
			b->n, diag);
	return err;
}

void ml_block_decode(struct ml_block *b, const uint8_t *p, size_t n)
{
	memset(b, 0, sizeof(*b));
	b->coder = p[0];
	b->n_out = ml_load64(p + 8);
	b->window = ml_load64(p + 16);
	b->types = ml_load48(p + 2) | (uint64_t)p[1] << 48;
	b->code = p + ML_CODE_HEAD;
	b->n = n - ML_CODE_HEAD;
}

void ml_block_literal(struct ml_block *b, uint8_t buf[ML_LITERAL_MAX],
	const uint8_t *p, size_t n)
{
	memset(b, 0, sizeof(*b));
	b->n_out = n;
	b->code = buf;
	b->n = ml_op_head(buf, ML_OP_LIT, 0, n, 0);
	memcpy(buf + b->n, p, n);
	b->n += n;
}
