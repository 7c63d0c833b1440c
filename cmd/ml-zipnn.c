/* SPDX-License-Identifier: MIT */
/* ml-zipnn: entropy coding of a tensor-record stream, and back. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mldec.h"
#include "util.h"

const char ml_prog[] = "ml-zipnn";

static const char usage[] =
	"usage: ml-zipnn [-hqV] [-b base] [-c class] [-o file]\n"
	"                [--restart bytes] [file]\n"
	"       ml-zipnn -d [-hqV] [-b base] [-o file] [file]\n"
	"Codes a tensor-record stream, or with -d decodes it. A coded stream\n"
	"passes as it is.\n"
	"  -b base   the base's file, for delta streams that do not hold what\n"
	"            their residuals need\n"
	"  -c class  memory class: nano, micro or full (default)\n"
	"  -d        the way back\n"
	"  -o file   write to file (standard output)\n"
	"  -q        no progress\n"
	"  --restart bytes\n"
	"            a decoder can begin anew every so many bytes of the target\n"
	"  -h, -V    this help, the version\n";

static const struct option long_options[] = { LONG_RESTART, LONG_END };

int main(int argc, char **argv)
{
	const char *base = NULL, *output = NULL, *path;
	int cls = 0, back = 0, quiet = 0, c, err;
	const struct ml_head *head;
	uint64_t restart = 0;
	struct ml_src *bsrc = NULL;
	struct ml_in *in = NULL;
	struct progress pr;
	struct ml_diag diag;
	struct out out;
	FILE *from;

	/* arguments */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:b:c:dho:qV", long_options,
		NULL)) != -1) {
		switch (c) {
		case 'b': base = optarg; break;
		case 'c': cls = class_option(usage, optarg); break;
		case 'd': back = 1; break;
		case 'h': help(usage);
		case 'o': output = optarg; break;
		case 'q': quiet = 1; break;
		case OPT_RESTART:
			restart = restart_option(usage, optarg);
			break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	if (back && (cls || restart))
		usage_error(usage,
			"'-c' and '--restart' do not go with '-d'");
	path = argv[optind];
	if (base && is_dash(base) && is_dash(path))
		usage_error(usage,
			"base and stream cannot both be standard input");

	/* prepare */
	from = in_open(path, 1);
	err = ml_in_open(&in, from, &diag);
	if (err)
		die_diag(path, err, &diag);
	head = ml_in_head(in);
	if (base && head->kind == ML_KIND_DELTA) {
		bsrc = in_src(base);
		err = ml_src_is_base(bsrc, head->sum,
			head->base_size, head->base_sha, &diag);
		if (err)
			die_diag(base, err, &diag);
	}
	out_open(&out, output, 1);

	/* stream */
	progress_start(&pr, 0, quiet);
	err = back ? ml_stream_decode(in, out.f, bsrc, progress_told, &pr,
		&diag) : ml_stream_encode(in, out.f, cls ? cls : ML_FULL,
		restart, bsrc, progress_told, &pr, &diag);
	progress_end(&pr);
	if (err == ML_EBASE && !bsrc && head->kind == ML_KIND_DELTA) {
		warn_diag(path, &diag);
		die(EX_BASE, "name the base's file with '-b'");
	}
	if (err)
		die_either(path, out.f, err, &diag);

	/* close */
	ml_src_free(bsrc);
	ml_in_free(in);
	fclose(from);
	return out_close(&out);
}
