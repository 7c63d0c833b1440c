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
	"usage: ml-zipnn [-1..9hqV] [-b base] [-c class] [-o file]\n"
	"                [-T number] [--restart bytes] [file]\n"
	"       ml-zipnn -d [-hqV] [-b base] [-o file] [file]\n"
	"Codes a tensor-record stream, or with -d decodes it. A coded stream\n"
	"passes as it is.\n"
	"  -1 .. -9  from fast to small: 1 to 4 code at the speed of memory, for\n"
	"            class full; 5 to 9 (default) as small as it gets\n"
	"  -b base   the base's file, for delta streams that do not hold what\n"
	"            their residuals need\n"
	"  -c class  memory class: nano, micro or full (default)\n"
	"  -d        the way back\n"
	"  -o file   write to file (standard output)\n"
	"  -q        no progress\n"
	"  -T number of threads at 1 to 4, 0: as many as there are cores (two at\n"
	"            most)\n"
	"  --restart bytes\n"
	"            a decoder can begin anew every so many bytes of the target\n"
	"  -h, -V    this help, the version\n";

static const struct option long_options[] = { LONG_RESTART, LONG_END };

int main(int argc, char **argv)
{
	const char *base = NULL, *output = NULL, *path;
	int back = 0, quiet = 0, level = 0, c, err;
	struct ml_coding how = { .threads = (unsigned)threads_default() };
	const struct ml_head *head;
	struct ml_src *bsrc = NULL;
	struct ml_in *in = NULL;
	struct progress pr;
	struct ml_diag diag;
	struct out out;
	FILE *from;

	/* arguments */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:123456789b:c:dho:qT:V", long_options,
		NULL)) != -1) {
		switch (c) {
		case 'b': base = optarg; break;
		case 'c': how.cls = class_option(usage, optarg); break;
		case 'd': back = 1; break;
		case 'h': help(usage);
		case 'o': output = optarg; break;
		case 'q': quiet = 1; break;
		case OPT_RESTART:
			how.restart = restart_option(usage, optarg);
			break;
		case 'T': how.threads =
			(unsigned)threads_option(usage, optarg); break;
		case 'V': version();
		case '1': case '2': case '3': case '4': case '5': case '6':
		case '7': case '8': case '9':
			level = c - '0';
			break;
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	if (back && (how.cls || how.restart || level))
		usage_error(usage, "'-c', '--restart' and levels do not go "
			"with '-d'");
	how.cls = how.cls ? how.cls : ML_FULL;
	how.level = level ? level : ML_LEVEL_MAX;
	if (how.level <= ML_LEVEL_FAST && (how.cls < ML_FULL || how.restart))
		usage_error(usage, "levels 1 to 4 are of class full and have "
			"no restarts");
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
		&diag) : ml_stream_encode(in, out.f, &how, bsrc, progress_told,
		&pr, &diag);
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
