/* SPDX-License-Identifier: MIT */
/* Entropy coding of blocks, and back: what ml-zipnn does. */
#include <stdlib.h>
#include <string.h>

#include "blockbuf.h"
#include "coder.h"
#include "hdr.h"
#include "match.h"
#include "mldec.h"
#include "ops.h"

/* A range-coded record must be so much smaller than what it makes that a
 * literal record beside it is paid for: the promise of ML_PATCH_OVERHEAD. */
#define GAIN_MIN 64
/* In class full the model begins anew after so many bytes of the target, so
 * that several threads can decode a patch; it costs less than 0.1 %. */
#define PART (8u << 20)

struct ml_zip {
	struct ml_coder *coder;
	struct ml_match *match; /* for data that come without operations */
	struct ml_blockbuf buf;
	struct ml_sink next;
	uint64_t tpos; /* of the block in buf */
	uint64_t every, made; /* restarts; bytes gathered so far */
	int reset; /* for the next block */
	uint64_t fresh; /* from here on the model is reset */
	unsigned type; /* of the data */
	uint64_t left; /* bytes of the span yet to come */
	uint8_t *data; /* gathered to whole elements */
	size_t ndata;
};

static int code(void *arg, const struct ml_block *plain, struct ml_diag *diag)
{
	struct ml_zip *z = arg;
	struct ml_block b = *plain;
	size_t limit = b.n, n;
	const uint8_t *p;
	int r;

	if (z->tpos >= z->fresh) {
		z->fresh = z->tpos + PART;
		z->reset = 1;
	}
	if (z->reset)
		ml_coder_reset(z->coder);
	if (b.n_out < limit + GAIN_MIN)
		limit = b.n_out > GAIN_MIN ? (size_t)b.n_out - GAIN_MIN : 0;
	r = ml_coder_encode(z->coder, &b, z->tpos, limit, &p, &n, diag);
	if (r)
		return r;
	if (n) {
		b.coder = 1;
		b.code = p;
		b.n = n;
	}
	if (z->reset)
		b.coder |= ML_RECORD_RESET;
	z->reset = 0;
	b.base = NULL;
	b.nbase = 0;
	z->tpos += b.n_out;
	return z->next.block(z->next.ctx, &b, diag);
}

int ml_zip_new(struct ml_zip **out, int cls, const struct ml_sink *next,
	struct ml_diag *diag)
{
	struct ml_zip *z;
	int r;

	*out = NULL;
	if (!ml_dec_arena(cls))
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"no such memory class");
	z = calloc(1, sizeof *z);
	if (!z)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	z->next = *next;
	z->fresh = cls == ML_FULL ? PART : UINT64_MAX;
	r = ml_blockbuf_init(&z->buf, code, z, diag);
	if (!r)
		r = ml_coder_new(&z->coder, cls, diag);
	if (r) {
		ml_zip_free(z);
		return r;
	}
	*out = z;
	return ML_OK;
}

void ml_zip_free(struct ml_zip *z)
{
	if (!z)
		return;
	ml_coder_free(z->coder);
	ml_match_free(z->match);
	ml_blockbuf_free(&z->buf);
	free(z->data);
	free(z);
}

void ml_zip_restart(struct ml_zip *z, uint64_t every)
{
	z->every = every;
}

/* An ml_emit: gathers an operation, in pieces where restarts are wanted. An
 * element that lies across such a place goes before it. */
static int gather(void *arg, unsigned op, unsigned type, uint64_t units,
	uint64_t at, const uint8_t *data, const uint8_t *base, size_t bytes,
	struct ml_diag *diag)
{
	const unsigned unit = op == ML_OP_DIFF || op == ML_OP_ALONE ?
		ml_type_bytes(type) : 1;
	struct ml_zip *z = arg;
	uint64_t k, n, left;
	int r = ML_OK;

	if (!z->every)
		return ml_blockbuf_op(&z->buf, op, type, units, at, data,
			base, bytes, diag);
	for (; !r && units; units -= k) {
		left = z->every - z->made % z->every;
		k = (left + unit - 1) / unit;
		if (k > units)
			k = units;
		n = k * unit;
		r = ml_blockbuf_op(&z->buf, op, type, k, at, data, base,
			(size_t)n, diag);
		data = data ? data + n : NULL;
		base = base ? base + n : NULL;
		if (op == ML_OP_COPY || op == ML_OP_DIFF)
			at += n;
		z->made += n;
		if (r || n < left)
			continue;
		r = ml_blockbuf_flush(&z->buf, diag);
		z->reset = 1;
	}
	return r;
}

static int data_out(struct ml_zip *z, struct ml_diag *diag)
{
	size_t n = z->ndata, unit = ml_type_bytes(z->type);
	int r;

	if (z->left) /* the span goes on: keep the started element */
		n -= n % unit;
	if (!n)
		return ML_OK;
	r = ml_match_run(z->match, z->data, n, z->type, gather, z, diag);
	z->ndata -= n;
	memmove(z->data, z->data + n, z->ndata);
	return r;
}

int ml_zip_span(struct ml_zip *z, const struct ml_span *sp,
	struct ml_diag *diag)
{
	z->type = ml_type_of(sp->dtype);
	z->left = sp->len;
	return z->next.span(z->next.ctx, sp, diag);
}

int ml_zip_data(struct ml_zip *z, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	size_t k;
	int r;

	if (!z->match) {
		z->data = malloc(ML_BLOCK_OUT);
		if (!z->data)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		r = ml_match_new(&z->match, NULL, NULL, diag);
		if (r)
			return r;
	}
	while (n) {
		k = ML_BLOCK_OUT - z->ndata < n ? ML_BLOCK_OUT - z->ndata : n;
		memcpy(z->data + z->ndata, p, k);
		z->ndata += k;
		z->left -= k < z->left ? k : z->left;
		p += k;
		n -= k;
		if (z->ndata == ML_BLOCK_OUT || !z->left) {
			r = data_out(z, diag);
			if (r)
				return r;
		}
	}
	return ML_OK;
}

int ml_zip_block(struct ml_zip *z, const struct ml_block *b,
	struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n, *base = b->base;
	size_t nbase = b->nbase;
	struct ml_op_view v;
	uint64_t made = 0;
	int r;

	if (b->coder)
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"block is coded already");
	while (p < end) {
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			return r;
		if (v.bytes > b->n_out - made)
			break;
		if (v.op == ML_OP_DIFF && v.bytes > nbase)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"residuals without their base values");
		r = gather(z, v.op, v.type, v.n, v.arg, v.data, base, v.bytes,
			diag);
		if (r)
			return r;
		if (v.op == ML_OP_DIFF) {
			base += v.bytes;
			nbase -= v.bytes;
		}
		made += v.bytes;
	}
	if (made != b->n_out || p < end || nbase)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operations do not make what their block says");
	return ML_OK;
}

int ml_zip_end(struct ml_zip *z, struct ml_diag *diag)
{
	int r = ML_OK;

	if (z->ndata) {
		z->left = 0;
		r = data_out(z, diag);
	}
	return r ? r : ml_blockbuf_flush(&z->buf, diag);
}
