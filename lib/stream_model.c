/* SPDX-License-Identifier: MIT */
/* A whole model to a stream and back, for those that need all of it. */
#include <stdlib.h>
#include <string.h>

#include "wrap.h"

struct load {
	struct ml_in *in;
	struct ml_model *m;
	struct ml_src *bytes; /* NULL: only the labels */
	struct ml_sum *sum;
	struct ml_rewrap *rewrap; /* made at the first byte */
	struct ml_done done;
};

static int hash(void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	(void)diag;
	ml_sum_update(ctx, p, n);
	return ML_OK;
}

/* Bytes of the image: their digest is that of the file. */
static int load_data(
	struct load *l, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	const struct ml_wraps *w =
		&ml_in_wrapped(l->in, ML_TARGET_SIDE)->wraps;
	int err = ML_OK;

	if (!l->bytes)
		return ML_OK;
	if (!l->rewrap)
		err = ml_rewrap_new(
			&l->rewrap, w->w, w->n, hash, l->sum, diag);
	if (!err)
		err = ml_rewrap_write(l->rewrap, p, n, diag);
	return err ? err : ml_src_append(l->bytes, p, n, diag);
}

/* A SPAN record into the model. */
static int load_span(
	struct ml_model *m, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct ml_span sp;
	int err = ml_span_decode(&sp, p, n, diag);

	if (err)
		return err;
	err = ml_model_add_span(m, &sp, diag);
	ml_span_clear(&sp);
	return err;
}

static int load_records(struct load *l, struct ml_diag *diag)
{
	const uint8_t *p;
	uint32_t tag;
	size_t n;
	int err;

	do {
		err = ml_in_next(l->in, &tag, &p, &n, diag);
		if (err)
			return err;
		switch (tag) {
		case ML_SPAN: err = load_span(l->m, p, n, diag); break;
		case ML_QUNT:
			err = ml_quant_decode(
				&l->m->span[l->m->nspan - 1].quant, p, n,
				diag);
			break;
		case ML_DATA: err = load_data(l, p, n, diag); break;
		case ML_CODE:
			if (!l->bytes)
				break;
			err = ml_fail(diag, ML_EFORMAT, ml_in_offset(l->in),
				"a coded stream: decode it first with "
				"ml-zipnn -d");
			break;
		case ML_DONE:
			err = ml_done_decode(&l->done, p, n, diag);
			break;
		default: break;
		}
	} while (!err && tag != ML_DONE);
	return err;
}

/* What HEAD, WRAP and DONE say of all. */
static int load_rest(struct load *l, struct ml_diag *diag)
{
	const struct ml_wrapped *w = ml_in_wrapped(l->in, ML_TARGET_SIDE);
	size_t i;
	int err = ML_OK;

	for (i = 0; !err && i < w->wraps.n; i++)
		err = ml_wrap_add(l->m, &w->wraps.w[i], diag);
	l->m->container = ml_in_head(l->in)->container;
	l->m->size = l->done.size;
	return err;
}

static int check_sha(struct load *l, uint8_t sha[ML_SHA256_LEN],
	struct ml_diag *diag)
{
	const char *name = ml_sum_name(ml_in_head(l->in)->sum);

	ml_sum_final(l->sum, sha);
	if (memcmp(sha, l->done.sha, ML_SHA256_LEN) == 0)
		return ML_OK;
	if (ml_in_wrapped(l->in, ML_TARGET_SIDE)->wraps.n)
		return ml_fail(diag, ML_EDIGEST, ml_in_offset(l->in),
			"the bytes, deflated again, do not have the %s "
			"that DONE says", name);
	return ml_fail(diag, ML_EDIGEST, ml_in_offset(l->in),
		"the bytes do not have the %s that DONE says", name);
}

int ml_stream_load(FILE *f, struct ml_model *m, struct ml_src **bytes,
	uint64_t *size, int *kind, uint8_t sha[ML_SHA256_LEN],
	struct ml_diag *diag)
{
	struct load l = {.m = m};
	const struct ml_wrapped *w;
	int err;

	ml_model_init(m);
	err = ml_in_open(&l.in, f, diag);
	if (!err && ml_in_head(l.in)->kind == ML_KIND_DELTA)
		err = ml_fail(diag, ML_EFORMAT, 0,
			"a delta stream needs its base: use ml-pack and "
			"ml-apply");
	if (!err)
		err = ml_src_spool(&l.bytes, diag);
	if (!err)
		err = ml_sum_new(&l.sum, ml_in_head(l.in)->sum, 2, diag);
	if (!err)
		err = load_records(&l, diag);
	if (!err)
		err = check_sha(&l, sha, diag);
	if (!err)
		err = load_rest(&l, diag);
	if (!err) {
		w = ml_in_wrapped(l.in, ML_TARGET_SIDE);
		*size = w->wraps.n ? w->size : m->size;
		*kind = ml_in_head(l.in)->sum;
	} else {
		ml_model_free(m);
		ml_src_free(l.bytes);
		l.bytes = NULL;
	}
	*bytes = l.bytes;
	ml_rewrap_free(l.rewrap);
	ml_sum_free(l.sum);
	ml_in_free(l.in);
	return err;
}

int ml_stream_labels(FILE *f, struct ml_model *m, struct ml_diag *diag)
{
	struct load l = {.m = m};
	int err = ml_in_open(&l.in, f, diag);

	ml_model_init(m);
	if (!err)
		err = load_records(&l, diag);
	if (!err)
		err = load_rest(&l, diag);
	if (err)
		ml_model_free(m);
	ml_in_free(l.in);
	return err;
}

int ml_stream_write(FILE *f, const struct ml_model *m, struct ml_src *s,
	int kind, void (*progress)(void *arg, uint64_t done), void *arg,
	struct ml_diag *diag)
{
	const struct ml_wrapped w = {ml_src_size(s), ml_model_wraps(m)};
	struct ml_head head = {.kind = ML_KIND_MODEL, .sum = (uint8_t)kind};
	struct ml_src *image = ml_model_src(m, s);
	struct ml_sum *sum = NULL;
	uint8_t sha[ML_SHA256_LEN];
	uint8_t *buf = malloc(ML_CHUNK);
	struct ml_out o;
	size_t i;
	int err;

	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	head.container = (uint8_t)m->container;
	err = m->image ? ml_src_sum(s, kind, sha, diag) :
		ml_sum_new(&sum, kind, 2, diag);
	if (!err)
		err = ml_out_open(&o, f, &head, diag);
	if (!err)
		err = ml_out_wraps(&o, ML_TARGET_SIDE, &w, diag);
	for (i = 0; !err && i < m->nspan; i++) {
		const struct ml_span *sp = &m->span[i];
		uint64_t at = 0;

		err = ml_out_span(&o, sp, diag);
		while (!err && at < sp->len) {
			const size_t n = sp->len - at < ML_CHUNK
				? (size_t)(sp->len - at)
				: ML_CHUNK;

			err = ml_src_read(image, sp->off + at, buf, n, diag);
			if (err)
				break;
			if (sum)
				ml_sum_update(sum, buf, n);
			err = ml_out_record(&o, ML_DATA, buf, n, diag);
			at += n;
			if (progress)
				progress(arg, sp->off + at);
		}
	}
	if (!err && sum)
		ml_sum_final(sum, sha);
	if (!err)
		err = ml_out_done(&o, m->size, sha, diag);
	ml_sum_free(sum);
	free(buf);
	return err;
}
