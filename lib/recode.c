/* SPDX-License-Identifier: MIT */
/* A stream's records through the entropy coder, or back: what ml-zipnn does
 * between two streams. */
#include <stdlib.h>
#include <string.h>

#include "blockio.h"
#include "mldec.h"
#include "nano_cast.h"
#include "ops.h"
#include "wrap.h"

struct job {
	struct ml_in *in;
	struct ml_out out;
	struct ml_src *base;
	struct ml_zip *zip; /* this way */
	struct ml_unzip *unzip; /* or that way, */
	struct ml_flat *flat; /* of a model, */
	struct ml_sum *sum; /* and proven */
	struct ml_rewrap *rewrap;
	struct ml_src *image; /* of a base with deflated parts */
	struct ml_cast_base cast;
	struct ml_wrap *map;
	int cls; /* that is coded for; 0: back */
	int wrapped; /* all WRAP records came */
	struct ml_span label; /* a SPAN waits for the qunt that may follow */
	int waits;
	int mixed; /* operations came: data are operations too */
	void (*progress)(void *arg, uint64_t done);
	void *arg;
	uint64_t n_done;
	size_t nside;
	uint8_t side[ML_DATA_MAX]; /* what BASE holds, */
	uint8_t more[ML_DATA_MAX]; /* or is read from the base */
	uint8_t lit[ML_LITERAL_MAX];
};

static void told(struct job *j, uint64_t n)
{
	j->n_done += n;
	if (j->progress)
		j->progress(j->arg, j->n_done);
}

/* ===== output =========================================================== */

/* Labels do not take the way of the blocks. */
static int no_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	(void)ctx;
	(void)sp;
	(void)diag;
	return ML_OK;
}

static int put_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	struct job *j = ctx;

	return ml_out_span(&j->out, sp, diag);
}

/* The digest is that of the file. */
static int hash(void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	(void)diag;
	ml_sum_update(ctx, p, n);
	return ML_OK;
}

static int put_data(
	void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct job *j = ctx;

	int err = ml_rewrap_write(j->rewrap, p, n, diag);

	return err ? err : ml_out_record(&j->out, ML_DATA, p, n, diag);
}

static int put_block(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	struct job *j = ctx;

	return ml_out_block(&j->out, b, diag);
}

static int flatten(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	struct job *j = ctx;

	return ml_flat_block(j->flat, b, diag);
}

/* ===== the ways of a record ============================================= */

/* Gives a plain block the base bytes of its residuals when it has none: the
 * way through a patch drops them. */
static int with_base(struct job *j, struct ml_block *b, struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n;
	struct ml_op_view v;
	size_t n = 0;
	int err;

	if (b->coder & 15 || b->nbase)
		return ML_OK;
	while (p < end) {
		err = ml_op_read(&p, end, &v, diag);
		if (err)
			return err;
		if (v.op != ML_OP_DIFF)
			continue;
		if (!j->base)
			return ml_fail(diag, ML_EBASE, ML_NOWHERE,
				"residuals without their base values");
		if (v.from > sizeof(j->more) - n)
			return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
				"more residuals than a block may hold");
		if (v.arg > ml_src_size(j->base) ||
			v.from > ml_src_size(j->base) - v.arg)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"residuals against bytes behind the base's "
				"end");
		err = ml_src_read(j->base, v.arg, j->more + n,
			(size_t)v.from, diag);
		if (err)
			return err;
		n += (size_t)v.from;
	}
	b->base = j->more;
	b->nbase = n;
	return ML_OK;
}

/* The label that waits. */
static int settle(struct job *j, struct ml_diag *diag)
{
	int err = ML_OK;

	if (!j->waits)
		return ML_OK;
	if (j->zip)
		err = ml_zip_span(j->zip, &j->label, diag);
	if (!err && j->flat)
		err = ml_flat_span(j->flat, &j->label, put_span, diag);
	ml_span_clear(&j->label);
	j->waits = 0;
	return err;
}

static int on_block(struct job *j, struct ml_block *b, struct ml_diag *diag)
{
	int err;

	if (j->unzip)
		return ml_unzip_block(j->unzip, b, diag);
	if (!j->mixed) { /* what came as data comes first */
		err = ml_zip_end(j->zip, diag);
		if (err)
			return err;
		j->mixed = 1;
	}
	err = with_base(j, b, diag);
	return err ? err : ml_zip_block(j->zip, b, diag);
}

static int on_code(struct job *j, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	struct ml_block b;

	ml_block_decode(&b, p, n);
	b.base = j->nside ? j->side : NULL;
	b.nbase = j->nside;
	j->nside = 0;
	told(j, b.n_out);
	return on_block(j, &b, diag);
}

static int on_data(struct job *j, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	struct ml_block b;

	told(j, n);
	if (j->zip && !j->mixed)
		return ml_zip_data(j->zip, p, n, diag);
	ml_block_literal(&b, j->lit, p, n);
	return on_block(j, &b, diag);
}

/* What class nano tells by its operations instead: all of the casts, or an
 * error. */
static int nano_casts(const struct job *j, const struct ml_casts *casts,
	struct ml_diag *diag)
{
	size_t i;

	for (i = 0; i < casts->n; i++)
		if (!ml_nano_cast_able(&casts->c[i]))
			return ml_fail(diag, ML_ECLASS, ML_NOWHERE,
				"a cast that class nano has not: leave casts "
				"out by -z of ml-delta");
	return !casts->n || j->base ? ML_OK : ml_fail(diag, ML_EBASE,
		ML_NOWHERE, "casts are made of the base, which is not there");
}

/* Once all WRAP records came: the base as its image, and what the digest of a
 * decoded model needs. */
static int unwrap(struct job *j, struct ml_diag *diag)
{
	const struct ml_wraps *b =
		&ml_in_wrapped(j->in, ML_BASE_SIDE)->wraps;
	const struct ml_wraps *t =
		&ml_in_wrapped(j->in, ML_TARGET_SIDE)->wraps;
	const struct ml_casts *casts = ml_in_casts(j->in);
	const int nano = j->zip && j->cls == ML_NANO;
	uint64_t own;
	int err = ML_OK;

	j->wrapped = 1;
	if (j->sum)
		err = ml_rewrap_new(
			&j->rewrap, t->w, t->n, hash, j->sum, diag);
	if (!err && (b->n || t->n || (casts->n && !nano)) && j->cls &&
		j->cls < ML_FULL)
		err = ml_fail(diag, ML_ECLASS, ML_NOWHERE,
			"inflated parts or casts, which are of class full: "
			"leave them out by -z of ml-split and ml-delta");
	if (!err && nano)
		err = nano_casts(j, casts, diag);
	if (err || !j->base || (!b->n && !casts->n))
		return err;
	j->map = malloc((b->n + 1) * sizeof(*b->w));
	if (!j->map)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (b->n)
		memcpy(j->map, b->w, b->n * sizeof(*b->w));
	own = b->n ? b->image : ml_src_size(j->base);
	err = ml_base_open(&j->base, &j->image, &j->cast, j->map, b->n, own,
		casts, diag);
	if (!err && nano)
		err = ml_zip_casts(j->zip, casts, j->base, own, diag);
	if (!err && j->unzip)
		ml_unzip_base(j->unzip, j->base);
	return err;
}

/* ===== the stream ======================================================= */

static int on_record(struct job *j, uint32_t tag, const uint8_t *p, size_t n,
	struct ml_done *done, struct ml_diag *diag)
{
	const int passes = !j->zip && !j->unzip;
	int err = tag == ML_QUNT ? ML_OK : settle(j, diag);

	if (!err && tag == ML_DONE)
		return ml_done_decode(done, p, n, diag);
	if (!err && j->zip && (tag == ML_SPAN || tag == ML_QUNT))
		err = ml_zip_sync(j->zip, diag);
	/* a decoded model has its labels where its bytes begin */
	if (!err && (passes || tag == ML_WRAP ||
		(tag == ML_CAST && !(j->zip && j->cls == ML_NANO)) ||
		(!j->flat &&
		(tag == ML_SPAN || tag == ML_QUNT))))
		err = ml_out_record(&j->out, tag, p, n, diag);
	if (err || passes)
		return err;
	if (tag != ML_WRAP && tag != ML_CAST && !j->wrapped)
		err = unwrap(j, diag);
	if (err)
		return err;
	switch (tag) {
	case ML_SPAN:
		err = ml_span_decode(&j->label, p, n, diag);
		j->waits = !err;
		return err;
	case ML_QUNT: return ml_quant_decode(&j->label.quant, p, n, diag);
	case ML_BASE:
		memcpy(j->side, p, n);
		j->nside = n;
		return ML_OK;
	case ML_CODE: return on_code(j, p, n, diag);
	case ML_DATA: return on_data(j, p, n, diag);
	default: return ML_OK;
	}
}

/* The bytes of a decoded model must be those that were promised. */
static int check_sum(struct job *j, const struct ml_done *done,
	struct ml_diag *diag)
{
	uint8_t sha[ML_SHA256_LEN];

	if (!j->sum)
		return ML_OK;
	ml_sum_final(j->sum, sha);
	if (memcmp(sha, done->sha, sizeof(sha)) != 0)
		return ml_fail(diag, ML_EDIGEST, ml_in_offset(j->in),
			"the bytes do not have the %s that DONE says",
			ml_sum_name(ml_in_head(j->in)->sum));
	return ML_OK;
}

static int run(struct job *j, FILE *f, const struct ml_head *head,
	struct ml_diag *diag)
{
	struct ml_done done;
	const uint8_t *p;
	uint32_t tag;
	size_t n;
	int err = ml_out_open(&j->out, f, head, diag);

	if (err)
		return err;
	do {
		err = ml_in_next(j->in, &tag, &p, &n, diag);
		if (!err)
			err = on_record(j, tag, p, n, &done, diag);
	} while (!err && tag != ML_DONE);
	if (!err && j->zip)
		err = ml_zip_end(j->zip, diag);
	if (!err && j->unzip)
		err = ml_unzip_end(j->unzip, diag);
	if (!err)
		err = check_sum(j, &done, diag);
	if (!err)
		err = ml_out_done(&j->out, done.size, done.sha, diag);
	if (err && err != ML_EBASE && diag->off == ML_NOWHERE && !ferror(f))
		diag->off = ml_in_offset(j->in);
	return err;
}

/* The machinery for this stream; none when it passes as it is. */
static int set_up(struct job *j, struct ml_head *h, int cls, int back,
	struct ml_diag *diag)
{
	struct ml_sink sink = {j, no_span, put_block};
	int err;

	if (!back) {
		if (h->cls)
			return ML_OK;
		h->cls = (uint8_t)cls;
		return ml_zip_new(&j->zip, cls, &sink, diag);
	}
	if (!h->cls && h->kind == ML_KIND_DELTA && !j->base)
		return ML_OK;
	cls = h->cls; /* 0: plain, which takes the same way */
	h->cls = 0;
	if (h->kind == ML_KIND_MODEL) {
		sink.block = flatten;
		err = ml_flat_new(&j->flat, put_data, j, diag);
		if (!err)
			err = ml_sum_new(&j->sum, h->sum, 2, diag);
		if (err)
			return err;
	}
	return ml_unzip_new(&j->unzip, cls, j->base, &sink, diag);
}

static void job_free(struct job *j)
{
	if (j->waits)
		ml_span_clear(&j->label);
	ml_zip_free(j->zip);
	ml_unzip_free(j->unzip);
	ml_flat_free(j->flat);
	ml_sum_free(j->sum);
	ml_rewrap_free(j->rewrap);
	ml_cast_base_free(&j->cast);
	ml_src_free(j->image);
	free(j->map);
	free(j);
}

/* cls 0: back. */
static int recode(struct ml_in *in, FILE *f, const struct ml_coding *how,
	struct ml_src *base, void (*progress)(void *arg, uint64_t done),
	void *arg, struct ml_diag *diag)
{
	struct ml_head head = *ml_in_head(in);
	struct job *j = calloc(1, sizeof(*j));
	int err;

	if (!j)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	j->in = in;
	j->base = base;
	j->cls = how->cls;
	j->progress = progress;
	j->arg = arg;
	err = set_up(j, &head, how->cls, how->cls == 0, diag);
	if (!err && j->zip)
		ml_zip_restart(j->zip, how->restart);
	if (!err && j->zip && how->level <= ML_LEVEL_FAST)
		err = ml_zip_fast(j->zip, how->threads, diag);
	if (!err)
		err = run(j, f, &head, diag);
	job_free(j);
	return err;
}

int ml_stream_encode(struct ml_in *in, FILE *f, const struct ml_coding *how,
	struct ml_src *base, void (*progress)(void *arg, uint64_t done),
	void *arg, struct ml_diag *diag)
{
	if (how->cls == 0 || (how->level <= ML_LEVEL_FAST &&
		(how->cls < ML_FULL || how->restart)))
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"no such memory class, or not at this level");
	return recode(in, f, how, base, progress, arg, diag);
}

int ml_stream_decode(struct ml_in *in, FILE *f, struct ml_src *base,
	void (*progress)(void *arg, uint64_t done), void *arg,
	struct ml_diag *diag)
{
	const struct ml_coding back = { .level = ML_LEVEL_MAX };

	return recode(in, f, &back, base, progress, arg, diag);
}
