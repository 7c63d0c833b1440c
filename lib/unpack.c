/* SPDX-License-Identifier: MIT */
/* A patch back to labels and blocks: what ml-pack -d does. Records of any
 * size are read through a window, for a CODE record holds less than a record
 * of a patch may. */
#include <stdlib.h>
#include <string.h>

#include "hdr.h"
#include "mldec.h"
#include "ops.h"

#define CODE_CAP (ML_CODE_MAX - ML_CODE_HEAD)

struct unpack {
	struct ml_src *s;
	const struct ml_sink *next;
	uint64_t target, window, types; /* as the header says */
	uint64_t labelled; /* end of the spans that were sent */
	uint8_t *code; /* the block in work */
	size_t n, ndata;
	uint64_t out, self; /* what it makes, its farthest SELF */
	uint8_t coder;
};

/* ===== labels =========================================================== */

static int skeleton(struct unpack *u, uint64_t end, struct ml_diag *diag)
{
	char none[1] = "";
	struct ml_span sp = {0};

	if (u->labelled == end)
		return ML_OK;
	sp.off = u->labelled;
	sp.len = end - u->labelled;
	sp.name = none;
	u->labelled = end;
	return u->next->span(u->next->ctx, &sp, diag);
}

static int label(void *arg, const struct ml_record *r, struct ml_diag *diag)
{
	struct unpack *u = arg;
	struct ml_span sp;
	int err;

	if ((r->coder & ML_RECORD_CODER) != ML_CODER_NOTE || r->n == 0)
		return ML_OK;
	err = ml_src_read(u->s, r->code, u->code, 1, diag);
	if (err || u->code[0] != ML_NOTE_LABEL)
		return err;
	if (r->n > CODE_CAP)
		return ml_fail(diag, ML_ELIMIT, r->off, "label of %llu bytes",
			(unsigned long long)r->n);
	err = ml_src_read(u->s, r->code, u->code, (size_t)r->n, diag);
	if (!err)
		err = ml_span_decode(&sp, u->code + 1, (size_t)r->n - 1, diag);
	if (err) {
		if (diag->off == ML_NOWHERE)
			diag->off = r->off;
		return err;
	}
	if (sp.off < u->labelled || sp.off > u->target ||
		sp.len > u->target - sp.off)
		err = ml_fail(diag, ML_EFORMAT, r->off,
			"label out of order or beyond the target");
	if (!err && sp.kind == ML_TENSOR) {
		err = skeleton(u, sp.off, diag);
		u->labelled = sp.off + sp.len;
		if (!err)
			err = u->next->span(u->next->ctx, &sp, diag);
	}
	ml_span_clear(&sp);
	return err;
}

/* ===== blocks =========================================================== */

static int flush(struct unpack *u, struct ml_diag *diag)
{
	struct ml_block b = {0};

	if (u->out == 0)
		return ML_OK;
	b.coder = u->coder;
	b.n_out = u->out;
	b.code = u->code;
	b.n = u->n;
	b.window = u->self;
	b.types = (b.coder & ML_RECORD_CODER) == ML_CODER_NANO ? u->types : 0;
	u->n = u->ndata = 0;
	u->out = u->self = 0;
	u->coder &= ML_RECORD_CODER;
	return u->next->block(u->next->ctx, &b, diag);
}

/* One operation without its data, as much of it as a block can hold. */
static int add_op(struct unpack *u, struct ml_op_view *v, uint64_t *at,
	struct ml_diag *diag)
{
	const int data = v->op != ML_OP_COPY && v->op != ML_OP_SELF;
	const uint64_t unit = v->bytes / v->n;
	uint64_t k, room;
	int err;

	while (v->n) {
		k = v->n;
		if (data) {
			room = CODE_CAP - u->n;
			room -= room < ML_OP_HEAD_MAX ? room : ML_OP_HEAD_MAX;
			if (room > ML_BLOCK_OUT - u->ndata)
				room = ML_BLOCK_OUT - u->ndata;
			if (k > room / unit)
				k = room / unit;
		}
		if (!k || CODE_CAP - u->n < ML_OP_HEAD_MAX) {
			err = flush(u, diag);
			if (err)
				return err;
			continue;
		}
		u->n += ml_op_head(u->code + u->n, v->op, v->type, k, v->arg);
		if (data) {
			err = ml_src_read(u->s, *at, u->code + u->n,
				(size_t)(k * unit), diag);
			if (err)
				return err;
			*at += k * unit;
			u->n += (size_t)(k * unit);
			u->ndata += (size_t)(k * unit);
		}
		if (v->op == ML_OP_SELF && v->arg > u->self)
			u->self = v->arg;
		else if (v->op == ML_OP_DIFF)
			v->arg += k * unit;
		u->out += k * unit;
		v->n -= k;
	}
	return ML_OK;
}

/* The head of the operation at *at, which must not leave the record. */
static int op_head(struct unpack *u, const struct ml_record *r, uint64_t *at,
	uint64_t left, struct ml_op_view *v, struct ml_diag *diag)
{
	const uint64_t end = r->code + r->n;
	uint8_t head[ML_OP_HEAD_MAX];
	const uint8_t *p = head + 1;
	const size_t n = end - *at < sizeof(head) ? (size_t)(end - *at) :
		sizeof(head);
	uint64_t unit = 1;
	int typed, copy, err = ml_src_read(u->s, *at, head, n, diag);

	if (err)
		return err;
	memset(v, 0, sizeof(*v));
	v->op = head[0];
	typed = v->op == ML_OP_DIFF || v->op == ML_OP_ALONE;
	copy = v->op == ML_OP_COPY || v->op == ML_OP_SELF;
	if (v->op > ML_OP_ALONE || (typed && n < 2))
		goto bad;
	if (typed) {
		v->type = *p++;
		if (v->type >= ML_NTYPE)
			return ml_fail_newer(diag, *at,
				"element type %u", v->type);
		unit = ml_type_bytes(v->type);
	}
	if (ml_get_varint(&p, head + n, &v->n) != 1 || v->n == 0 ||
		v->n > left / unit)
		goto bad;
	v->bytes = v->n * unit;
	if ((copy || v->op == ML_OP_DIFF) &&
		ml_get_varint(&p, head + n, &v->arg) != 1)
		goto bad;
	*at += (uint64_t)(p - head);
	if (copy || v->bytes <= end - *at)
		return ML_OK;
bad:
	return ml_fail(diag, ML_EFORMAT, *at, "malformed operation");
}

static int plain(
	struct unpack *u, const struct ml_record *r, struct ml_diag *diag)
{
	uint64_t at = r->code, left = r->n_out;
	struct ml_op_view v;
	int err = ML_OK;

	u->coder = r->coder;
	while (!err && at < r->code + r->n) {
		err = op_head(u, r, &at, left, &v, diag);
		if (err)
			return err;
		left -= v.bytes;
		err = add_op(u, &v, &at, diag);
	}
	if (!err && left)
		err = ml_fail(diag, ML_EFORMAT, r->off,
			"operations do not make what their record says");
	return err ? err : flush(u, diag);
}

static int block(void *arg, const struct ml_record *r, struct ml_diag *diag)
{
	const unsigned coder = r->coder & ML_RECORD_CODER;
	struct unpack *u = arg;
	int err;

	if (coder == ML_CODER_NOTE)
		return ML_OK;
	if (coder == ML_CODER_PLAIN)
		return plain(u, r, diag);
	if (r->n > CODE_CAP)
		return ml_fail(diag, ML_ELIMIT, r->off,
			"coded record of %llu bytes, more than a stream "
			"can hold", (unsigned long long)r->n);
	err = ml_src_read(u->s, r->code, u->code, (size_t)r->n, diag);
	if (err)
		return err;
	u->n = (size_t)r->n;
	if (u->n == 0) /* the decoder makes zeros behind the end anyway */
		u->code[u->n++] = 0;
	u->out = r->n_out;
	u->self = u->window;
	u->coder = r->coder;
	return flush(u, diag);
}

int ml_unpack(struct ml_src *psrc, uint64_t *off, const struct ml_sink *next,
	struct ml_diag *diag)
{
	uint8_t hbuf[ML_HDR_MAX];
	struct unpack u = {0};
	uint64_t start = *off;
	struct ml_hdr h;
	int err;

	err = ml_patch_walk(psrc, &start, &h, hbuf, NULL, NULL, diag);
	if (err)
		return err;
	u.s = psrc;
	u.next = next;
	u.target = h.target_image;
	u.window = h.window;
	u.types = h.types;
	u.code = malloc(CODE_CAP);
	if (!u.code)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	start = *off;
	err = ml_patch_walk(psrc, &start, &h, hbuf, label, &u, diag);
	if (!err)
		err = skeleton(&u, h.target_image, diag);
	if (!err)
		err = ml_patch_walk(psrc, off, &h, hbuf, block, &u, diag);
	free(u.code);
	return err;
}
