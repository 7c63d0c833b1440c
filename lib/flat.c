/* SPDX-License-Identifier: MIT */
/* Plain operations of a stream that has no base, to the bytes that they make,
 * cut as ml-split cuts them. */
#include <stdlib.h>
#include <string.h>

#include "match.h"
#include "ops.h"

struct ml_flat {
	int (*data)(void *arg, const uint8_t *p, size_t n,
		struct ml_diag *diag);
	int (*label)(void *arg, const struct ml_span *sp,
		struct ml_diag *diag);
	void *arg;
	struct ml_model spans; /* those given, */
	size_t at; /* and the first whose bytes have not begun */
	uint64_t left; /* bytes to come of the span that has */
	struct ml_src *made; /* everything, for copies from far back */
	uint64_t n;
	uint8_t *out; /* a piece that is not full yet */
	size_t nout;
};

int ml_flat_new(struct ml_flat **out, int (*data)(void *arg,
	const uint8_t *p, size_t n, struct ml_diag *diag), void *arg,
	struct ml_diag *diag)
{
	struct ml_flat *f = calloc(1, sizeof *f);
	int r = ML_OK;

	*out = NULL;
	if (f)
		f->out = malloc(ML_CHUNK);
	if (!f || !f->out)
		r = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (!r)
		r = ml_src_spool(&f->made, diag);
	if (r) {
		ml_flat_free(f);
		return r;
	}
	f->data = data;
	f->arg = arg;
	*out = f;
	return ML_OK;
}

void ml_flat_free(struct ml_flat *f)
{
	if (!f)
		return;
	ml_model_free(&f->spans);
	ml_src_free(f->made);
	free(f->out);
	free(f);
}

/* Sends the piece, and opens the next span that has bytes. */
static int next(struct ml_flat *f, struct ml_diag *diag)
{
	int r = ML_OK;

	if (f->nout)
		r = f->data(f->arg, f->out, f->nout, diag);
	f->nout = 0;
	while (!r && !f->left && f->at < f->spans.nspan) {
		struct ml_span *sp = &f->spans.span[f->at++];

		f->left = sp->len;
		r = f->label(f->arg, sp, diag);
		ml_span_clear(sp);
	}
	return r;
}

int ml_flat_span(struct ml_flat *f, const struct ml_span *sp,
	int (*label)(void *arg, const struct ml_span *sp,
	struct ml_diag *diag), struct ml_diag *diag)
{
	int r = ml_model_add_span(&f->spans, sp, diag);

	f->label = label;
	return r || f->left || f->nout ? r : next(f, diag);
}

/* Bytes of the target, in order. */
static int put(struct ml_flat *f, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	size_t k;
	int r = ml_src_append(f->made, p, n, diag);

	while (n && !r) {
		if (!f->left)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"bytes behind the last span");
		k = ML_CHUNK - f->nout < n ? ML_CHUNK - f->nout : n;
		if (k > f->left)
			k = (size_t)f->left;
		memcpy(f->out + f->nout, p, k);
		f->nout += k;
		f->left -= k;
		f->n += k;
		p += k;
		n -= k;
		if (f->nout == ML_CHUNK || !f->left)
			r = next(f, diag);
	}
	return r;
}

static int self(struct ml_flat *f, uint64_t n, uint64_t dist,
	struct ml_diag *diag)
{
	uint8_t tmp[4096];
	uint64_t k;
	int r = ML_OK;

	if (!dist || dist > f->n)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"copy from before the target's begin");
	for (; n && !r; n -= k) {
		k = n < sizeof tmp ? n : sizeof tmp;
		if (k > dist)
			k = dist;
		r = ml_src_read(f->made, f->n - dist, tmp, (size_t)k, diag);
		if (!r)
			r = put(f, tmp, (size_t)k, diag);
	}
	return r;
}

int ml_flat_block(struct ml_flat *f, const struct ml_block *b,
	struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n;
	uint64_t left = b->n_out;
	struct ml_op_view v;
	int r;

	while (p < end) {
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			return r;
		if (v.bytes > left)
			break;
		left -= v.bytes;
		if (v.op == ML_OP_SELF)
			r = self(f, v.n, v.arg, diag);
		else if (v.op == ML_OP_LIT || v.op == ML_OP_ALONE)
			r = put(f, v.data, v.bytes, diag);
		else
			r = ml_fail(diag, ML_EBASE, ML_NOWHERE,
				"operation needs a base");
		if (r)
			return r;
	}
	if (left || p < end)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operations do not make what their block says");
	return ML_OK;
}
