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

/* Copies the bytes and returns what DONE says about them. */
static int copy_data(FILE *to, struct ml_in *in, struct ml_sha256 *sha,
	struct ml_done *done, struct progress *pr, struct ml_diag *diag)
{
	const uint8_t *p;
	uint32_t tag;
	size_t n;
	int err;

	for (;;) {
		err = ml_in_next(in, &tag, &p, &n, diag);
		if (err)
			return err;
		switch (tag) {
		case ML_DATA:
			ml_sha256_update(sha, p, n);
			if (fwrite(p, 1, n, to) != n)
				die(EX_SYSTEM, "cannot write the output:");
			progress_add(pr, n);
			break;
		case ML_CODE:
			return ml_fail(diag, ML_EFORMAT, ml_in_offset(in),
				"a coded stream: decode it first with "
				"ml-zipnn -d");
		case ML_DONE: return ml_done_decode(done, p, n, diag);
		default: break;
		}
	}
}

int main(int argc, char **argv)
{
	const char *target = NULL, *path;
	uint8_t digest[ML_SHA256_LEN];
	struct ml_sha256 *sha = NULL;
	struct ml_in *in = NULL;
	struct progress pr;
	struct ml_done done;
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
	if (!err && ml_in_head(in)->kind == ML_KIND_DELTA)
		err = ml_fail(&diag, ML_EFORMAT, ML_NOWHERE,
			"a delta stream needs its base: use ml-pack and "
			"ml-apply");
	if (!err)
		err = ml_sha256_new(&sha, &diag);
	if (err)
		die_diag(path, err, &diag);
	out_open(&out, target, 1);

	/* stream */
	progress_start(&pr, 0, quiet);
	err = copy_data(out.f, in, sha, &done, &pr, &diag);
	progress_end(&pr);
	if (!err) {
		ml_sha256_final(sha, digest);
		if (memcmp(digest, done.sha, ML_SHA256_LEN) != 0)
			err = ml_fail(&diag, ML_EDIGEST, ml_in_offset(in),
				"the bytes do not have the SHA-256 that DONE "
				"says");
	}
	if (err)
		die_diag(path, err, &diag);

	/* close */
	ml_sha256_free(sha);
	ml_in_free(in);
	fclose(from);
	return out_close(&out);
}
