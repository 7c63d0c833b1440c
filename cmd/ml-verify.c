/* SPDX-License-Identifier: MIT */
/* ml-verify: whether a patch is signed by a key that one trusts. */
#include <unistd.h>

#include "mldec.h"
#include "trust.h"

const char ml_prog[] = "ml-verify";

static const char usage[] =
	"usage: ml-verify [-hqV] -p key ... [-m file] [-r number] [patch]\n"
	"Succeeds if every patch of a file is signed by one of the keys.\n"
	"  -m file   by a signature of the whole file, of minisign -S\n"
	"  -p key    a public key, or its file\n"
	"  -q        say nothing, only exit\n"
	"  -r number the least release to accept\n"
	"  -h, -V    this help, the version\n";

/* The release that the last patch leads to. The records are looked at, too. */
static int walk(struct ml_src *psrc, uint64_t *release, struct ml_diag *diag)
{
	uint8_t hbuf[ML_HDR_MAX];
	uint64_t off = 0;
	struct ml_hdr h;
	int err;

	do {
		err = ml_patch_walk(psrc, &off, &h, hbuf, NULL, NULL, diag);
		*release = h.release;
	} while (!err && off < ml_src_size(psrc));
	return err;
}

int main(int argc, char **argv)
{
	const char *minisig = NULL, *path;
	struct floor floor = {0};
	struct keys keys = {0};
	struct ml_src *psrc;
	struct ml_diag diag;
	uint64_t release = 0;
	int c, err, quiet = 0;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":hm:p:qr:V")) != -1) {
		switch (c) {
		case 'h': help(usage);
		case 'm': minisig = optarg; break;
		case 'p': keys_add(&keys, usage, optarg); break;
		case 'q': quiet = 1; break;
		case 'r': floor.least = release_option(usage, optarg); break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	if (!keys.n)
		usage_error(usage, "no key to trust: '-p' is needed");
	path = optind < argc ? argv[optind] : NULL;

	/* stream */
	psrc = in_src(path);
	err = keys_verify(&keys, psrc, minisig, &diag);
	if (!err)
		err = walk(psrc, &release, &diag);
	if (!err)
		err = floor_check(&floor, release, &diag);

	/* close */
	if (err && quiet)
		return patch_status(psrc, err, &diag);
	if (err)
		die_patch(path, psrc, err, &diag);
	ml_src_free(psrc);
	return EX_OK;
}
