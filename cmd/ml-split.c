/* SPDX-License-Identifier: MIT */
/* ml-split: a model file to a tensor-record stream. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

const char ml_prog[] = "ml-split";

static const char usage[] =
	"usage: ml-split [-hqvV] [-f format] [-o file] [file]\n"
	"Writes the tensor-record stream of a model file.\n"
	"  -f format  raw, safetensors, gguf, onnx or tflite (by content)\n"
	"  -o file    write to file (standard output)\n"
	"  -q         no warnings, no progress\n"
	"  -v         a line per span on standard error\n"
	"  -h, -V     this help, the version\n";

static int format_known(const char *name)
{
	return strcmp(name, "raw") == 0 || ml_reader_by_name(name);
}

static void tell_span(const struct ml_span *sp)
{
	const struct ml_dtype_info *type = ml_dtype_find(sp->dtype);
	char name[SHOW_MAX];
	unsigned i;

	fprintf(stderr, "%llu %llu ", (unsigned long long)sp->off,
		(unsigned long long)sp->len);
	if (sp->kind == ML_SKELETON) {
		fputs("skeleton\n", stderr);
		return;
	}
	if (type)
		fputs(type->name, stderr);
	else
		fprintf(stderr, "type-%u", sp->dtype);
	fputs(" [", stderr);
	for (i = 0; i < sp->rank; i++)
		fprintf(stderr, "%s%llu", i ? "," : "",
			(unsigned long long)sp->shape[i]);
	ml_escape(name, sizeof(name), sp->name, sp->name_len);
	fprintf(stderr, "] %s\n", name);
}

/* The DATA records of one span. */
static void emit_data(struct ml_out *o, const struct ml_span *sp,
	struct ml_src *s, struct ml_sha256 *sha, struct progress *pr,
	const char *path)
{
	static uint8_t buf[ML_CHUNK];
	struct ml_diag diag;
	uint64_t at = 0;
	int err;

	while (at < sp->len) {
		const size_t n = sp->len - at < sizeof(buf)
			? (size_t)(sp->len - at)
			: sizeof(buf);

		err = ml_src_read(s, sp->off + at, buf, n, &diag);
		if (err)
			die_diag(path, err, &diag);
		ml_sha256_update(sha, buf, n);
		err = ml_out_record(o, ML_DATA, buf, n, &diag);
		if (err)
			die_out(err, &diag);
		at += n;
		progress_add(pr, n);
	}
}

/* The same stream as ml_stream_write's, with progress. */
static void emit(FILE *f, const struct ml_model *m, struct ml_src *s,
	const char *path, int quiet)
{
	struct ml_head head = {.kind = ML_KIND_MODEL};
	uint8_t digest[ML_SHA256_LEN];
	struct ml_sha256 *sha;
	struct progress pr;
	struct ml_diag diag;
	struct ml_out o;
	size_t i;
	int err;

	head.container = (uint8_t)m->container;
	err = ml_sha256_new(&sha, &diag);
	if (!err)
		err = ml_out_open(&o, f, &head, &diag);
	progress_start(&pr, m->size, quiet);
	for (i = 0; !err && i < m->nspan; i++) {
		err = ml_out_span(&o, &m->span[i], &diag);
		if (!err)
			emit_data(&o, &m->span[i], s, sha, &pr, path);
	}
	progress_end(&pr);
	if (!err) {
		ml_sha256_final(sha, digest);
		err = ml_out_done(&o, m->size, digest, &diag);
	}
	if (err)
		die_out(err, &diag);
	ml_sha256_free(sha);
}

int main(int argc, char **argv)
{
	const char *format = NULL, *target = NULL, *path;
	int quiet = 0, verbose = 0, c, err;
	struct ml_model model;
	struct ml_diag diag;
	struct ml_src *src;
	struct out out;
	size_t i;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":f:ho:qvV")) != -1) {
		switch (c) {
		case 'f': format = optarg; break;
		case 'h': help(usage);
		case 'o': target = optarg; break;
		case 'q': quiet = 1; break;
		case 'v': verbose = 1; break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	if (format && !format_known(format))
		usage_error(usage, "unknown format after '-f'");
	path = argv[optind];

	/* prepare */
	src = in_src(path);
	err = ml_model_read(&model, src, format, &diag);
	if (err)
		die_diag(path, err, &diag);
	if (diag.why[0] && !quiet) {
		warn_diag(path, &diag);
		warn("keeping it as one opaque span");
	}
	if (verbose)
		for (i = 0; i < model.nspan; i++)
			tell_span(&model.span[i]);
	out_open(&out, target, 1);

	/* stream */
	emit(out.f, &model, src, path, quiet);

	/* close */
	ml_model_free(&model);
	ml_src_free(src);
	return out_close(&out);
}
