/* SPDX-License-Identifier: MIT */
/* A whole model to a stream and back, for those that need all of it. */
#include <stdlib.h>
#include <string.h>

#include "ml.h"

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

/* bytes NULL: only the labels, whatever else the stream holds. */
static int load_records(struct ml_in *in, struct ml_model *m,
	struct ml_src *bytes, struct ml_sha256 *sha, struct ml_done *done,
	struct ml_diag *diag)
{
	const uint8_t *p;
	uint32_t tag;
	size_t n;
	int err;

	do {
		err = ml_in_next(in, &tag, &p, &n, diag);
		if (err)
			return err;
		switch (tag) {
		case ML_SPAN: err = load_span(m, p, n, diag); break;
		case ML_QUNT:
			err = ml_quant_decode(
				&m->span[m->nspan - 1].quant, p, n, diag);
			break;
		case ML_DATA:
			if (!bytes)
				break;
			ml_sha256_update(sha, p, n);
			err = ml_src_append(bytes, p, n, diag);
			break;
		case ML_CODE:
			if (!bytes)
				break;
			err = ml_fail(diag, ML_EFORMAT, ml_in_offset(in),
				"a coded stream: decode it first with "
				"ml-zipnn -d");
			break;
		case ML_DONE: err = ml_done_decode(done, p, n, diag); break;
		default: break;
		}
	} while (!err && tag != ML_DONE);
	return err;
}

int ml_stream_load(FILE *f, struct ml_model *m, struct ml_src **bytes,
	uint8_t sha[ML_SHA256_LEN], struct ml_diag *diag)
{
	struct ml_sha256 *hash = NULL;
	struct ml_in *in = NULL;
	struct ml_done done;
	int err;

	ml_model_init(m);
	*bytes = NULL;
	err = ml_in_open(&in, f, diag);
	if (!err && ml_in_head(in)->kind == ML_KIND_DELTA)
		err = ml_fail(diag, ML_EFORMAT, 0,
			"a delta stream needs its base: use ml-pack and "
			"ml-apply");
	if (!err)
		err = ml_src_spool(bytes, diag);
	if (!err)
		err = ml_sha256_new(&hash, diag);
	if (!err)
		err = load_records(in, m, *bytes, hash, &done, diag);
	if (!err) {
		ml_sha256_final(hash, sha);
		if (memcmp(sha, done.sha, ML_SHA256_LEN) != 0)
			err = ml_fail(diag, ML_EDIGEST, ml_in_offset(in),
				"the bytes do not have the SHA-256 that DONE "
				"says");
	}
	if (!err) {
		m->container = ml_in_head(in)->container;
		m->size = done.size;
	} else {
		ml_model_free(m);
		ml_src_free(*bytes);
		*bytes = NULL;
	}
	ml_sha256_free(hash);
	ml_in_free(in);
	return err;
}

int ml_stream_labels(FILE *f, struct ml_model *m, struct ml_diag *diag)
{
	struct ml_in *in = NULL;
	struct ml_done done;
	int err = ml_in_open(&in, f, diag);

	ml_model_init(m);
	if (!err)
		err = load_records(in, m, NULL, NULL, &done, diag);
	if (!err) {
		m->container = ml_in_head(in)->container;
		m->size = done.size;
	} else {
		ml_model_free(m);
	}
	ml_in_free(in);
	return err;
}

int ml_stream_write(FILE *f, const struct ml_model *m, struct ml_src *s,
	void (*progress)(void *arg, uint64_t done), void *arg,
	struct ml_diag *diag)
{
	struct ml_head head = {.kind = ML_KIND_MODEL};
	struct ml_sha256 *hash = NULL;
	uint8_t sha[ML_SHA256_LEN];
	uint8_t *buf = malloc(ML_CHUNK);
	struct ml_out o;
	size_t i;
	int err;

	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	head.container = (uint8_t)m->container;
	err = ml_sha256_new(&hash, diag);
	if (!err)
		err = ml_out_open(&o, f, &head, diag);
	for (i = 0; !err && i < m->nspan; i++) {
		const struct ml_span *sp = &m->span[i];
		uint64_t at = 0;

		err = ml_out_span(&o, sp, diag);
		while (!err && at < sp->len) {
			const size_t n = sp->len - at < ML_CHUNK
				? (size_t)(sp->len - at)
				: ML_CHUNK;

			err = ml_src_read(s, sp->off + at, buf, n, diag);
			if (err)
				break;
			ml_sha256_update(hash, buf, n);
			err = ml_out_record(&o, ML_DATA, buf, n, diag);
			at += n;
			if (progress)
				progress(arg, sp->off + at);
		}
	}
	if (!err) {
		ml_sha256_final(hash, sha);
		err = ml_out_done(&o, m->size, sha, diag);
	}
	ml_sha256_free(hash);
	free(buf);
	return err;
}
