/* SPDX-License-Identifier: MIT */
/* ml-split: a model file to a tensor-record stream. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

const char ml_prog[] = "ml-split";

static const char usage[] =
	"usage: ml-split [-hpqvVz] [-f format] [-H digest] [-o file] [file]\n"
	"Writes the tensor-record stream of a model file or directory.\n"
	"  -f format  raw, safetensors, gguf, onnx, tflite, pytorch,\n"
	"             torch-legacy, npy, zip, tar, hdf5 or milblob (by content)\n"
	"  -H digest  sha256 (default), or xxh3: integrity only, but fast\n"
	"  -o file    write to file (standard output)\n"
	"  -p         keep the times and owners of a directory's files\n"
	"  -q         no warnings, no progress\n"
	"  -v         a line per span on standard error\n"
	"  -z         leave deflated parts as they are\n"
	"  -h, -V     this help, the version\n";

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
	fputs(sp->rank ? " " : " -", stderr);
	for (i = 0; i < sp->rank; i++)
		fprintf(stderr, "%s%llu", i ? "x" : "",
			(unsigned long long)sp->shape[i]);
	ml_escape(name, sizeof(name), sp->name, sp->name_len);
	fprintf(stderr, " %s\n", name);
}

int main(int argc, char **argv)
{
	const char *format = NULL, *target = NULL, *path;
	struct progress pr;
	int sum = ML_SHA256, keep = 0, quiet = 0, verbose = 0, as_is = 0, c, err;
	struct ml_model model;
	struct ml_diag diag;
	struct ml_src *src;
	struct out out;
	size_t i;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":f:hH:o:pqvVz")) != -1) {
		switch (c) {
		case 'f': format = format_option(usage, optarg); break;
		case 'h': help(usage);
		case 'H': sum = digest_option(usage, optarg); break;
		case 'o': target = optarg; break;
		case 'p': keep = 1; break;
		case 'q': quiet = 1; break;
		case 'v': verbose = 1; break;
		case 'V': version();
		case 'z': as_is = 1; break;
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	path = argv[optind];

	/* prepare */
	src = in_src_keep(path, keep);
	in_model(&model, src, path, format, as_is, quiet);
	if (verbose)
		for (i = 0; i < model.nspan; i++)
			tell_span(&model.span[i]);
	out_open(&out, target, 1);

	/* stream */
	progress_start(&pr, model.size, quiet);
	err = ml_stream_write(
		out.f, &model, src, sum, progress_told, &pr, &diag);
	progress_end(&pr);
	if (err)
		die_either(path, out.f, err, &diag);

	/* close */
	ml_model_free(&model);
	ml_src_free(src);
	return out_close(&out);
}
