/* SPDX-License-Identifier: MIT */
/* ml-join: a tensor-record stream back to the model file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

const char ml_prog[] = "ml-join";

static const char usage[] =
	"usage: ml-join [-hqV] [-o file] [file]\n"
	"Writes the model file that a tensor-record stream holds.\n"
	"  -o file  write to file (standard output)\n"
	"  -q       no progress\n"
	"  -h, -V   this help, the version\n";

int main(int argc, char **argv)
{
	const char *target = NULL, *path;
	struct ml_in *in = NULL;
	struct progress pr;
	struct ml_diag diag;
	int quiet = 0, c, err;
	struct out out;
	FILE *from;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":ho:qV")) != -1) {
		switch (c) {
		case 'h': help(usage);
		case 'o': target = optarg; break;
		case 'q': quiet = 1; break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	path = argv[optind];

	/* prepare */
	from = in_open(path, 1);
	err = ml_in_open(&in, from, &diag);
	if (err)
		die_diag(path, err, &diag);
	out_open(&out, target, 1);

	/* stream */
	progress_start(&pr, 0, quiet);
	err = ml_stream_join(in, out.f, progress_told, &pr, &diag);
	progress_end(&pr);
	if (err)
		die_either(path, out.f, err, &diag);

	/* close */
	ml_in_free(in);
	fclose(from);
	return out_close(&out);
}
