/* SPDX-License-Identifier: MIT */
/* ml-zipnn: entropy coding of a tensor-record stream, and back. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blockio.h"
#include "mldec.h"
#include "ops.h"
#include "util.h"

const char ml_prog[] = "ml-zipnn";

static const char usage[] =
	"usage: ml-zipnn [-hqV] [-b base] [-c class] [-o file] [file]\n"
	"       ml-zipnn -d [-hqV] [-b base] [-o file] [file]\n"
	"Codes a tensor-record stream, or with -d decodes it. A coded stream\n"
	"passes as it is.\n"
	"  -b base   the base's file, for delta streams that do not hold what\n"
	"            their residuals need\n"
	"  -c class  memory class: nano (default), micro or full\n"
	"  -d        the way back\n"
	"  -o file   write to file (standard output)\n"
	"  -q        no progress\n"
	"  -h, -V    this help, the version\n";

struct job {
	struct ml_in *in;
	struct ml_out out;
	struct ml_src *base;
	struct ml_zip *zip; /* this way */
	struct ml_unzip *unzip; /* or that way, */
	struct ml_flat *flat; /* of a model, */
	struct ml_sha256 *sha; /* and proven */
	int mixed; /* operations came: data are operations too */
	int failed; /* the output is at fault */
	struct progress pr;
	uint8_t side[ML_DATA_MAX]; /* what BASE holds, */
	size_t nside;
	uint8_t more[ML_DATA_MAX]; /* or is read from the base */
	uint8_t lit[ML_LITERAL_MAX];
};

/* ===== output =========================================================== */

static int wrote(struct job *j, int err)
{
	j->failed |= err != 0;
	return err;
}

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

	return wrote(j, ml_out_span(&j->out, sp, diag));
}

static int put_data(
	void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct job *j = ctx;

	ml_sha256_update(j->sha, p, n);
	return wrote(j, ml_out_record(&j->out, ML_DATA, p, n, diag));
}

static int put_block(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	struct job *j = ctx;

	return wrote(j, ml_out_block(&j->out, b, diag));
}

static int flatten(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	struct job *j = ctx;

	return ml_flat_block(j->flat, b, diag);
}

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
		if (v.bytes > sizeof(j->more) - n)
			return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
				"more residuals than a block may hold");
		if (v.arg > ml_src_size(j->base) ||
			v.bytes > ml_src_size(j->base) - v.arg)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"residuals against bytes behind the base's "
				"end");
		err = ml_src_read(j->base, v.arg, j->more + n,
			(size_t)v.bytes, diag);
		if (err)
			return err;
		n += (size_t)v.bytes;
	}
	b->base = j->more;
	b->nbase = n;
	return ML_OK;
}

/* ===== the ways of a record ============================================= */

/* SPAN and qunt of a stream whose labels stay where they are. */
static int pass(struct job *j, uint32_t tag, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	return wrote(j, ml_out_record(&j->out, tag, p, n, diag));
}

static int on_span(struct job *j, struct ml_span *sp, struct ml_diag *diag)
{
	int err = ML_OK;

	if (j->zip)
		err = ml_zip_span(j->zip, sp, diag);
	if (j->flat) {
		err = ml_flat_span(j->flat, sp, put_span, diag);
		memset(sp, 0, sizeof(*sp)); /* flat owns its memory now */
	}
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
	progress_add(&j->pr, b.n_out);
	return on_block(j, &b, diag);
}

static int on_data(struct job *j, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	struct ml_block b;

	progress_add(&j->pr, n);
	if (j->zip && !j->mixed)
		return ml_zip_data(j->zip, p, n, diag);
	ml_block_literal(&b, j->lit, p, n);
	return on_block(j, &b, diag);
}

/* ===== the stream ======================================================= */

/* A SPAN waits for the qunt that may follow it. */
struct label {
	struct ml_span sp;
	int waits;
};

static int settle(struct job *j, struct label *l, struct ml_diag *diag)
{
	int err = ML_OK;

	if (!l->waits)
		return ML_OK;
	err = on_span(j, &l->sp, diag);
	ml_span_clear(&l->sp);
	l->waits = 0;
	return err;
}

static int convert(struct job *j, struct ml_done *done, struct ml_diag *diag)
{
	struct label l = {.waits = 0};
	const uint8_t *p;
	uint32_t tag;
	size_t n;
	int err;

	do {
		err = ml_in_next(j->in, &tag, &p, &n, diag);
		if (!err && tag != ML_QUNT)
			err = settle(j, &l, diag);
		if (!err && !j->flat && (tag == ML_SPAN || tag == ML_QUNT))
			err = pass(j, tag, p, n, diag);
		if (err)
			break;
		switch (tag) {
		case ML_SPAN:
			err = ml_span_decode(&l.sp, p, n, diag);
			l.waits = !err;
			break;
		case ML_QUNT:
			err = ml_quant_decode(&l.sp.quant, p, n, diag);
			break;
		case ML_BASE:
			memcpy(j->side, p, n);
			j->nside = n;
			break;
		case ML_CODE: err = on_code(j, p, n, diag); break;
		case ML_DATA: err = on_data(j, p, n, diag); break;
		case ML_DONE: err = ml_done_decode(done, p, n, diag); break;
		default: break;
		}
	} while (!err && tag != ML_DONE);
	if (l.waits)
		ml_span_clear(&l.sp);
	if (!err && j->zip)
		err = ml_zip_end(j->zip, diag);
	if (!err && j->unzip)
		err = ml_unzip_end(j->unzip, diag);
	return err;
}

/* A stream that is coded already. */
static int copy(struct job *j, struct ml_done *done, struct ml_diag *diag)
{
	const uint8_t *p;
	uint32_t tag;
	size_t n;
	int err;

	do {
		err = ml_in_next(j->in, &tag, &p, &n, diag);
		if (err)
			break;
		if (tag == ML_DONE)
			err = ml_done_decode(done, p, n, diag);
		else
			err = pass(j, tag, p, n, diag);
	} while (!err && tag != ML_DONE);
	return err;
}

static int check_base(struct job *j, const struct ml_head *h,
	struct ml_diag *diag)
{
	uint8_t sha[ML_SHA256_LEN];
	int err;

	if (ml_src_size(j->base) != h->base_size)
		return ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"wrong base: it has %llu bytes, not %llu",
			(unsigned long long)ml_src_size(j->base),
			(unsigned long long)h->base_size);
	err = ml_src_sha256(j->base, sha, diag);
	if (!err && memcmp(sha, h->base_sha, sizeof(sha)) != 0)
		err = ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"wrong base: it has the size, but not the SHA-256");
	return err;
}

/* The machinery for this stream; none when it passes as it is. */
static int set_up(struct job *j, struct ml_head *h, int cls, int back,
	struct ml_diag *diag)
{
	struct ml_sink sink = {.ctx = j, .span = no_span};
	int err;

	if (!back) {
		if (h->cls)
			return ML_OK;
		h->cls = (uint8_t)cls;
		sink.block = put_block;
		return ml_zip_new(&j->zip, cls, &sink, diag);
	}
	if (!h->cls && h->kind == ML_KIND_DELTA && !j->base)
		return ML_OK;
	cls = h->cls; /* 0: plain, which takes the same way */
	h->cls = 0;
	sink.block = put_block;
	if (h->kind == ML_KIND_MODEL) {
		sink.block = flatten;
		err = ml_flat_new(&j->flat, put_data, j, diag);
		if (!err)
			err = ml_sha256_new(&j->sha, diag);
		if (err)
			return err;
	}
	return ml_unzip_new(&j->unzip, cls, j->base, &sink, diag);
}

/* The bytes of a decoded model must be those that were promised. */
static int check_sum(struct job *j, const struct ml_done *done,
	struct ml_diag *diag)
{
	uint8_t sha[ML_SHA256_LEN];

	if (!j->sha)
		return ML_OK;
	ml_sha256_final(j->sha, sha);
	if (memcmp(sha, done->sha, sizeof(sha)) != 0)
		return ml_fail(diag, ML_EDIGEST, ml_in_offset(j->in),
			"the bytes do not have the SHA-256 that DONE says");
	return ML_OK;
}

static int class_by_name(const char *s)
{
	static const char *const name[] = {"nano", "micro", "full"};
	int i;

	for (i = 0; i < 3; i++)
		if (strcmp(s, name[i]) == 0)
			return i + 1;
	usage_error(usage, "unknown class after '-c'");
}

int main(int argc, char **argv)
{
	const char *base = NULL, *output = NULL, *path;
	int cls = 0, back = 0, quiet = 0, c, err;
	static struct job j;
	struct ml_head head;
	struct ml_done done;
	struct ml_diag diag;
	struct out out;
	FILE *from;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":b:c:dho:qV")) != -1) {
		switch (c) {
		case 'b': base = optarg; break;
		case 'c': cls = class_by_name(optarg); break;
		case 'd': back = 1; break;
		case 'h': help(usage);
		case 'o': output = optarg; break;
		case 'q': quiet = 1; break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	if (back && cls)
		usage_error(usage, "'-c' does not go with '-d'");
	path = argv[optind];
	if (base && strcmp(base, "-") == 0 &&
		(!path || strcmp(path, "-") == 0))
		usage_error(usage,
			"base and stream cannot both be standard input");

	/* prepare */
	from = in_open(path, 1);
	err = ml_in_open(&j.in, from, &diag);
	if (err)
		die_diag(path, err, &diag);
	head = *ml_in_head(j.in);
	if (base && head.kind == ML_KIND_DELTA) {
		j.base = in_src(base);
		err = check_base(&j, &head, &diag);
		if (err)
			die_diag(base, err, &diag);
	}
	err = set_up(&j, &head, cls ? cls : ML_NANO, back, &diag);
	if (err)
		die_diag(path, err, &diag);
	out_open(&out, output, 1);

	/* stream */
	err = ml_out_open(&j.out, out.f, &head, &diag);
	if (err)
		die_out(err, &diag);
	progress_start(&j.pr, 0, quiet);
	err = j.zip || j.unzip ? convert(&j, &done, &diag) :
		copy(&j, &done, &diag);
	progress_end(&j.pr);
	if (!err)
		err = check_sum(&j, &done, &diag);
	if (err && j.failed)
		die_out(err, &diag);
	if (err == ML_EBASE && !j.base && head.kind == ML_KIND_DELTA) {
		warn_diag(path, &diag);
		die(EX_BASE, "name the base's file with '-b'");
	}
	if (err && diag.off == ML_NOWHERE)
		diag.off = ml_in_offset(j.in);
	if (err)
		die_diag(path, err, &diag);
	err = ml_out_done(&j.out, done.size, done.sha, &diag);
	if (err)
		die_out(err, &diag);

	/* close */
	ml_zip_free(j.zip);
	ml_unzip_free(j.unzip);
	ml_flat_free(j.flat);
	ml_sha256_free(j.sha);
	ml_src_free(j.base);
	ml_in_free(j.in);
	fclose(from);
	return out_close(&out);
}
