/* SPDX-License-Identifier: MIT */
/* ml-pack: a tensor-record stream to a patch, and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "hdr.h"
#include "mldec.h"
#include "ops.h"
#include "util.h"

const char ml_prog[] = "ml-pack";

static const char usage[] =
	"usage: ml-pack [-hlLqV] [-b base] [-o file] [-r release] [-t target]\n"
	"               [file]\n"
	"       ml-pack -d [-hqV] [-o file] [file]\n"
	"Writes the patch of a tensor-record stream, or with -d the stream of a\n"
	"patch. A patch that needs no base is always proven before it appears.\n"
	"  -b base     prove the patch by applying it to base\n"
	"  -d          the way back\n"
	"  -l, -L      keep, drop the labels of tensors (kept without a base)\n"
	"  -o file     write to file (standard output)\n"
	"  -q          no progress\n"
	"  -r release  a counter for the header\n"
	"  -t target   prove that the patch makes this very file\n"
	"  -h, -V      this help, the version\n";

enum { LABELS_AUTO, LABELS_KEEP, LABELS_DROP };

/* ===== a stream to blocks =============================================== */

/* DATA are one literal operation. */
static int pack_data(struct ml_packer *p, const uint8_t *data, size_t n,
	struct ml_diag *diag)
{
	static uint8_t code[ML_DATA_MAX + ML_OP_HEAD_MAX];
	struct ml_block b = {.n_out = n, .code = code};

	b.n = ml_op_head(code, ML_OP_LIT, 0, n, 0);
	memcpy(code + b.n, data, n);
	b.n += n;
	return ml_pack_block(p, &b, diag);
}

static int pack_code(struct ml_packer *p, const uint8_t *payload, size_t n,
	struct ml_diag *diag)
{
	struct ml_block b = {.coder = payload[0]};

	b.n_out = ml_load64(payload + 8);
	b.window = ml_load64(payload + 16);
	b.code = payload + ML_CODE_HEAD;
	b.n = n - ML_CODE_HEAD;
	return ml_pack_block(p, &b, diag);
}

static int pack_label(struct ml_packer *p, const uint8_t *payload, size_t n,
	struct ml_diag *diag)
{
	struct ml_span sp;
	int err = ml_span_decode(&sp, payload, n, diag);

	if (err)
		return err;
	err = ml_pack_span(p, &sp, diag);
	ml_span_clear(&sp);
	return err;
}

static int pack_records(struct ml_packer *p, struct ml_in *in, int labels,
	struct ml_done *done, struct progress *pr, struct ml_diag *diag)
{
	const uint8_t *payload;
	uint32_t tag;
	size_t n;
	int err;

	do {
		err = ml_in_next(in, &tag, &payload, &n, diag);
		if (err)
			return err;
		switch (tag) {
		case ML_SPAN:
			if (labels)
				err = pack_label(p, payload, n, diag);
			break;
		case ML_DATA:
			err = pack_data(p, payload, n, diag);
			progress_add(pr, n);
			break;
		case ML_CODE:
			err = pack_code(p, payload, n, diag);
			progress_add(pr, ml_load64(payload + 8));
			break;
		case ML_DONE: err = ml_done_decode(done, payload, n, diag); break;
		default: break;
		}
	} while (!err && tag != ML_DONE);
	if (err && diag->off == ML_NOWHERE)
		diag->off = ml_in_offset(in);
	return err;
}

/* ===== the proof ======================================================== */

struct proof {
	struct ml_src *target; /* NULL: only the digest is compared */
	uint64_t at;
	struct progress *pr;
};

/* Throws the target away, but for the comparison. */
static int compare(
	void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	static uint8_t buf[65536];
	struct proof *pf = ctx;
	size_t k, i;
	int err;

	progress_add(pf->pr, n);
	for (; pf->target && n; n -= k, p += k) {
		k = n < sizeof(buf) ? n : sizeof(buf);
		err = ml_src_read(pf->target, pf->at, buf, k, diag);
		if (err == ML_ETRUNC)
			return ml_fail(diag, ML_EDIGEST, pf->at,
				"the patch makes more than the target");
		if (err)
			return err;
		for (i = 0; i < k && buf[i] == p[i];)
			i++;
		pf->at += i;
		if (i < k)
			return ml_fail(diag, ML_EDIGEST, pf->at,
				"the patch does not make the target");
	}
	return ML_OK;
}

static int prove(struct ml_src *patch, struct ml_src *base,
	struct ml_src *target, uint64_t size, int quiet, struct ml_diag *diag)
{
	struct progress pr;
	struct proof pf = {.target = target, .pr = &pr};
	struct ml_target t = {.write = compare, .ctx = &pf};
	uint64_t off = 0;
	int err;

	progress_start(&pr, size, quiet);
	err = ml_apply(patch, &off, base, ML_FULL, &t, diag);
	progress_end(&pr);
	if (!err && off != ml_src_size(patch))
		err = ml_fail(diag, ML_EIO, off, "bytes after the patch");
	if (!err && target && pf.at != ml_src_size(target))
		err = ml_fail(diag, ML_EDIGEST, pf.at,
			"the patch makes less than the target");
	return err;
}

/* An unlinked file where spools lie, for a patch that goes to a pipe. */
static FILE *scratch(void)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	FILE *f = NULL;
	int fd = -1, n;

	n = snprintf(path, sizeof(path), "%s/ml-pack.XXXXXX",
		dir && *dir ? dir : "/tmp");
	if (n > 0 && (size_t)n < sizeof(path))
		fd = mkstemp(path);
	if (fd >= 0) {
		unlink(path);
		f = fdopen(fd, "w+b");
	}
	if (!f)
		die(EX_SYSTEM, "cannot make a temporary file:");
	return f;
}

static struct ml_src *reopen(const struct out *out, FILE *f)
{
	struct ml_diag diag;
	struct ml_src *s;
	int err;

	if (fflush(f) == EOF)
		die(EX_SYSTEM, "cannot write the patch:");
	err = out->tmp ? ml_src_open(&s, out->tmp, &diag) :
		ml_src_fd(&s, fileno(f), &diag);
	if (err)
		die_out(err, &diag);
	return s;
}

static void copy_out(struct ml_src *s, FILE *f)
{
	static uint8_t buf[65536];
	const uint64_t size = ml_src_size(s);
	struct ml_diag diag;
	uint64_t off = 0;
	int err;

	while (off < size) {
		const size_t n = size - off < sizeof(buf) ?
			(size_t)(size - off) : sizeof(buf);

		err = ml_src_read(s, off, buf, n, &diag);
		if (err)
			die_out(err, &diag);
		if (fwrite(buf, 1, n, f) != n)
			die(EX_SYSTEM, "cannot write the patch:");
		off += n;
	}
}

/* ===== both ways ======================================================== */

struct option {
	const char *path, *output, *base, *target;
	uint64_t release;
	int labels, quiet;
};

static int pack(const struct option *o)
{
	struct ml_src *base = NULL, *target = NULL, *proof;
	struct ml_patch_info info = {0};
	const struct ml_head *h;
	struct ml_packer *p = NULL;
	struct ml_in *in = NULL;
	struct ml_done done;
	struct ml_diag diag;
	struct progress pr;
	struct out out;
	FILE *from, *f;
	int labels, err;

	/* prepare */
	from = in_open(o->path, 1);
	err = ml_in_open(&in, from, &diag);
	if (!err)
		err = ml_pack_new(&p, &diag);
	if (err)
		die_diag(o->path, err, &diag);
	h = ml_in_head(in);
	info.has_base = h->kind == ML_KIND_DELTA;
	if (info.has_base && o->target && !o->base)
		usage_error(usage, "'-t' of a delta needs '-b'");
	if (o->base && info.has_base)
		base = in_src(o->base);
	if (o->target)
		target = in_src(o->target);
	labels = o->labels == LABELS_KEEP ||
		(o->labels == LABELS_AUTO && !info.has_base);

	/* stream */
	progress_start(&pr, 0, o->quiet);
	err = pack_records(p, in, labels, &done, &pr, &diag);
	progress_end(&pr);
	if (err)
		die_diag(o->path, err, &diag);
	info.cls = h->cls;
	info.release = o->release;
	info.base_size = h->base_size;
	info.target_size = done.size;
	memcpy(info.base_sha, h->base_sha, ML_SHA256_LEN);
	memcpy(info.target_sha, done.sha, ML_SHA256_LEN);
	out_open(&out, o->output, 1);
	f = out.f;
	if (!info.has_base || base) {
		f = out.tmp ? out.f : scratch();
		err = ml_pack_finish(p, &info, f, &diag);
		if (err)
			die_diag(o->path, err, &diag);
		proof = reopen(&out, f);
		err = prove(proof, base, target, done.size, o->quiet, &diag);
		if (err == ML_EBASE)
			die_diag(o->base, err, &diag);
		if (err)
			die_out(err, &diag);
		if (!out.tmp)
			copy_out(proof, out.f);
		ml_src_free(proof);
		if (f != out.f)
			fclose(f);
	} else {
		err = ml_pack_finish(p, &info, f, &diag);
		if (err)
			die_diag(o->path, err, &diag);
	}

	/* close */
	ml_src_free(base);
	ml_src_free(target);
	ml_pack_free(p);
	ml_in_free(in);
	fclose(from);
	return out_close(&out);
}

static int out_span(
	void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	return ml_out_span(ctx, sp, diag);
}

static int out_code(
	void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	uint8_t head[ML_CODE_HEAD] = {b->coder};

	ml_store64(head + 8, b->n_out);
	ml_store64(head + 16, b->window);
	return ml_out_record2(
		ctx, ML_CODE, head, sizeof(head), b->code, b->n, diag);
}

static int ranged(void *arg, const struct ml_record *r, struct ml_diag *diag)
{
	int *any = arg;

	(void)diag;
	*any |= (r->coder & ML_RECORD_CODER) == ML_CODER_RANGE;
	return ML_OK;
}

static _Noreturn void die_patch(
	const char *path, int err, const struct ml_diag *d)
{
	const int status = ml_exit_status(err);

	warn_diag(path, d);
	exit(status == EX_INPUT && (err != ML_EFORMAT || d->off) ? EX_PATCH :
		status);
}

static int unpack(const struct option *o)
{
	struct ml_src *psrc = in_src(o->path);
	uint8_t hbuf[ML_HDR_MAX];
	struct ml_head head = {0};
	struct ml_diag diag;
	struct ml_hdr h;
	struct ml_out to;
	struct ml_sink sink = {&to, out_span, out_code};
	struct out out;
	uint64_t off = 0;
	int any = 0, err;

	/* prepare */
	err = ml_patch_walk(psrc, &off, &h, hbuf, ranged, &any, &diag);
	if (!err && off != ml_src_size(psrc))
		err = ml_fail(&diag, ML_EFORMAT, off,
			"more than one patch, or bytes after it");
	if (err)
		die_patch(o->path, err, &diag);
	out_open(&out, o->output, 1);

	/* stream */
	head.kind = h.flags & ML_HF_BASE ? ML_KIND_DELTA : ML_KIND_MODEL;
	head.cls = any ? h.cls : 0;
	head.base_size = h.base_size;
	if (h.base_sha)
		memcpy(head.base_sha, h.base_sha, ML_SHA256_LEN);
	off = 0;
	err = ml_out_open(&to, out.f, &head, &diag);
	if (err)
		die_out(err, &diag);
	err = ml_unpack(psrc, &off, &sink, &diag);
	if (err)
		die_patch(o->path, err, &diag);
	err = ml_out_done(&to, h.target_size, h.target_sha, &diag);
	if (err)
		die_out(err, &diag);

	/* close */
	ml_src_free(psrc);
	return out_close(&out);
}

static uint64_t number(const char *s)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || errno || v >> 63)
		usage_error(usage, "not a number below 2^63 after '-r'");
	return v;
}

int main(int argc, char **argv)
{
	struct option o = {0};
	int c, back = 0;

	opterr = 0;
	while ((c = getopt(argc, argv, ":b:dhlLo:qr:t:V")) != -1) {
		switch (c) {
		case 'b': o.base = optarg; break;
		case 'd': back = 1; break;
		case 'h': help(usage);
		case 'l': o.labels = LABELS_KEEP; break;
		case 'L': o.labels = LABELS_DROP; break;
		case 'o': o.output = optarg; break;
		case 'q': o.quiet = 1; break;
		case 'r': o.release = number(optarg); break;
		case 't': o.target = optarg; break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	o.path = argv[optind];
	if (back && (o.base || o.target || o.labels || o.release))
		usage_error(usage, "'-d' goes only with '-o' and '-q'");
	return back ? unpack(&o) : pack(&o);
}
