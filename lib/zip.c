/* SPDX-License-Identifier: MIT */
/* Entropy coding of blocks, and back: what ml-zipnn does. */
#include <stdlib.h>
#include <string.h>

#include "blockbuf.h"
#include "coder.h"
#include "fast_zip.h"
#include "hdr.h"
#include "match.h"
#include "mldec.h"
#include "nano.h"
#include "nano_cast.h"
#include "ops.h"
#include "seen.h"

/* A range-coded record must be so much smaller than what it makes that a
 * literal record beside it is paid for: the promise of ML_PATCH_OVERHEAD. */
#define GAIN_MIN 64
/* In class full the model begins anew after so many bytes of the target, so
 * that several threads can decode a patch; it costs less than 0.1 %. */
#define PART (8u << 20)
#define FAST_MIN 1024 /* bytes of an operation worth a fast block, */
#define FAST_LIT 4096 /* and of literals */

#define SINCE_MIN 4096 /* bytes of data that are worth a restart */

struct ml_zip {
	struct ml_coder *coder; /* of coder 1, or */
	struct ml_nanoenc *nano; /* of coder 2, */
	struct ml_nano_cast *cast; /* with casts of the base, or NULL */
	struct ml_fast_zip *fast; /* NULL: as small as it gets */
	struct ml_match *match; /* for data that come without operations */
	struct ml_blockbuf buf;
	struct ml_sink next;
	uint64_t tpos; /* of the block in buf */
	uint64_t every, made; /* restarts; bytes gathered so far */
	uint64_t since; /* bytes of data since the last restart */
	int reset; /* for the next block */
	uint64_t fresh; /* from here on the model is reset */
	unsigned type; /* of the data */
	uint64_t left; /* bytes of the span yet to come */
	int begins; /* nothing of it has been handed on */
	int apart; /* it has operations of its own */
	uint8_t *data; /* gathered to whole elements */
	size_t ndata;
};

static int range(struct ml_zip *z, const struct ml_block *plain,
	struct ml_diag *diag)
{
	struct ml_block b = *plain;
	size_t limit = b.n, n;
	const uint8_t *p;
	int r;

	/* among fast blocks each one anew: it is short, and threads go by */
	if (z->tpos >= z->fresh || z->fast) {
		z->fresh = z->tpos + PART;
		z->reset = 1;
	}
	if (z->reset && z->nano)
		ml_nano_reset(z->nano);
	else if (z->reset)
		ml_coder_reset(z->coder);
	if (b.n_out < limit + GAIN_MIN)
		limit = b.n_out > GAIN_MIN ? (size_t)b.n_out - GAIN_MIN : 0;
	r = z->nano ? ml_nano_encode(z->nano, &b, z->tpos, &p, &n, diag) :
		ml_coder_encode(z->coder, &b, z->tpos, limit, &p, &n, diag);
	if (r)
		return r;
	if (n) {
		b.coder = z->nano ? 2 : 1;
		b.types = z->nano ? ml_nano_types(z->nano) : 0;
		b.code = p;
		b.n = n;
	}
	if (z->reset)
		b.coder |= ML_RECORD_RESET;
	z->reset = 0;
	b.base = NULL;
	b.nbase = 0;
	z->tpos += b.n_out;
	return z->fast ? ml_fast_zip_block(z->fast, &b, diag) :
		z->next.block(z->next.ctx, &b, diag);
}

/* ----- fast blocks ------------------------------------------------------ */

/* Bytes of one type, in blocks as large as they may be. */
static int add_fast(struct ml_zip *z, struct ml_fast_in *in, uint64_t bytes,
	struct ml_diag *diag)
{
	int r = ML_OK;

	for (; !r && bytes; bytes -= in->n) {
		in->n = bytes < ML_FAST_MAX ? (size_t)bytes : ML_FAST_MAX;
		r = ml_fast_zip_add(z->fast, in, diag);
		in->at += in->n;
		in->data += in->n;
		if (in->base)
			in->base += in->n;
		z->tpos += in->n;
	}
	return r;
}

/* Large operations become fast blocks, those between them range-coded ones. */
static int fast(struct ml_zip *z, const struct ml_block *b,
	struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n, *start;
	struct ml_block part = { .base = b->base, .window = b->window };
	struct ml_fast_in in;
	struct ml_op_view v;
	int r = ML_OK, typed;

	part.code = p;
	while (!r && p < end) {
		start = p;
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			return r;
		typed = (v.op == ML_OP_DIFF || v.op == ML_OP_ALONE) &&
			v.type < ML_FAST_TYPES && v.bytes >= FAST_MIN;
		if (typed || (v.op == ML_OP_LIT && v.bytes >= FAST_LIT)) {
			part.n = (size_t)(start - part.code);
			r = part.n ? range(z, &part, diag) : ML_OK;
			memset(&in, 0, sizeof in);
			in.type = v.type;
			in.data = v.data;
			in.at = v.arg;
			if (v.op == ML_OP_DIFF) {
				in.base = part.base + part.nbase;
				in.given = 1;
			}
			if (!r)
				r = add_fast(z, &in, v.bytes, diag);
			part.base += part.nbase + v.from;
			part.nbase = 0;
			part.n_out = 0;
			part.code = p;
			continue;
		}
		part.n_out += v.bytes;
		part.nbase += (size_t)v.from;
	}
	part.n = (size_t)(p - part.code);
	return !r && part.n ? range(z, &part, diag) : r;
}

static int code(void *arg, const struct ml_block *plain, struct ml_diag *diag)
{
	struct ml_zip *z = arg;

	return z->fast ? fast(z, plain, diag) : range(z, plain, diag);
}

int ml_zip_fast(struct ml_zip *z, unsigned threads, struct ml_diag *diag)
{
	return ml_fast_zip_new(&z->fast, threads, &z->next, diag);
}

int ml_zip_sync(struct ml_zip *z, struct ml_diag *diag)
{
	return z->fast ? ml_fast_zip_end(z->fast, diag) : ML_OK;
}

int ml_zip_pair(struct ml_zip *z, unsigned type, uint64_t at,
	const uint8_t *base, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct ml_fast_in in = { .type = type, .data = p, .base = base,
		.at = at };
	int r = ml_blockbuf_flush(&z->buf, diag);

	return r ? r : add_fast(z, &in, n, diag);
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
		r = cls == ML_NANO ? ml_nano_new(&z->nano, diag) :
			ml_coder_new(&z->coder, cls, diag);
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
	ml_fast_zip_free(z->fast);
	ml_nano_free(z->nano);
	ml_nano_cast_free(z->cast);
	ml_match_free(z->match);
	ml_blockbuf_free(&z->buf);
	free(z->data);
	free(z);
}

int ml_zip_casts(struct ml_zip *z, const struct ml_casts *casts,
	struct ml_src *src, uint64_t own, struct ml_diag *diag)
{
	int r;

	if (!z->nano || !casts->n)
		return ML_OK;
	r = ml_nano_cast_new(&z->cast, casts, src, own, diag);
	ml_nano_casts(z->nano, z->cast);
	return r;
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
	const unsigned from = op == ML_OP_DIFF ? ml_type_base(type) : unit;
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
		z->since += data ? n : 0;
		data = data ? data + n : NULL;
		base = base ? base + k * from : NULL;
		if (op == ML_OP_COPY || op == ML_OP_DIFF)
			at += k * from;
		z->made += n;
		if (r || n < left || z->since < SINCE_MIN)
			continue;
		r = ml_blockbuf_flush(&z->buf, diag);
		z->reset = 1;
		z->since = 0;
	}
	return r;
}

static int data_out(struct ml_zip *z, struct ml_diag *diag)
{
	size_t n = z->ndata, unit = ml_type_bytes(z->type);
	int r;

	if (z->begins) {
		z->apart = ml_seen_apart(z->type, z->data, z->left + n);
		if (z->apart)
			ml_blockbuf_apart(&z->buf);
		z->begins = 0;
	}
	if (z->left) /* the span goes on: keep the started element */
		n -= n % unit;
	if (!n)
		return ML_OK;
	if (z->fast && n >= FAST_LIT) {
		/* what has no planes is taken for bytes */
		const unsigned type = z->type < ML_FAST_TYPES ? z->type : 1;
		const size_t tail = type == z->type ? n % unit : 0;

		r = gather(z, ML_OP_ALONE, type, (n - tail) /
			ml_type_bytes(type), 0, z->data, NULL, n - tail, diag);
		if (!r && tail)
			r = gather(z, ML_OP_LIT, 0, tail, 0, z->data + n -
				tail, NULL, tail, diag);
		if (!r) /* later copies count their distance across it */
			r = ml_match_skip(z->match, z->data, n, 0, diag);
	} else {
		r = ml_match_run(z->match, z->data, n, z->type, gather, z, diag);
	}
	if (z->apart && !z->left)
		ml_blockbuf_apart(&z->buf);
	z->ndata -= n;
	memmove(z->data, z->data + n, z->ndata);
	return r;
}

/* Coder 1 takes shapes into account, coder 2 does not. */
static int tell_span(struct ml_zip *z, const struct ml_span *sp,
	struct ml_diag *diag)
{
	return z->coder ? ml_coder_span(z->coder, sp, diag) : ML_OK;
}

int ml_zip_know(struct ml_zip *z, const struct ml_model *target,
	struct ml_diag *diag)
{
	size_t i;
	int r = ML_OK;

	for (i = 0; !r && i < target->nspan; i++)
		r = tell_span(z, &target->span[i], diag);
	return r;
}

int ml_zip_span(struct ml_zip *z, const struct ml_span *sp,
	struct ml_diag *diag)
{
	int r = tell_span(z, sp, diag);

	z->type = ml_type_of(sp->dtype);
	z->left = sp->len;
	z->begins = 1;
	if (!r)
		r = ml_zip_sync(z, diag);
	return r ? r : z->next.span(z->next.ctx, sp, diag);
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
		if (v.from > nbase)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"residuals without their base values");
		if (made) /* operations of one block were apart before */
			ml_blockbuf_apart(&z->buf);
		r = z->cast ? ml_nano_cast_op(z->cast, gather, z, v.op, v.type,
			v.n, v.arg, v.data, base, v.bytes, diag) :
			gather(z, v.op, v.type, v.n, v.arg, v.data, base,
			v.bytes, diag);
		if (r)
			return r;
		base = v.from ? base + v.from : base;
		nbase -= (size_t)v.from;
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
	if (!r)
		r = ml_blockbuf_flush(&z->buf, diag);
	return r || !z->fast ? r : ml_fast_zip_end(z->fast, diag);
}
