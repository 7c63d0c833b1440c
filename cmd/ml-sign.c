/* SPDX-License-Identifier: MIT */
/* ml-sign: a patch to a signed one. */
#include <stdlib.h>
#include <unistd.h>

#include "mldec.h"
#include "trust.h"

const char ml_prog[] = "ml-sign";

static const char usage[] =
	"usage: ml-sign [-fhV] -s key [-o file] [-w file] [patch]\n"
	"Signs every patch of a file with a secret key of minisign.\n"
	"  -f        sign anew what is signed already\n"
	"  -o file   write to file (standard output)\n"
	"  -s key    file of the secret key\n"
	"  -w file   read the key's password from file (the terminal)\n"
	"  -h, -V    this help, the version\n";

/* Only what is whole is signed, and nothing is written before that is known. */
static void look(struct ml_src *psrc, const char *path, int again)
{
	uint8_t hbuf[ML_HDR_MAX];
	struct ml_diag diag;
	uint64_t off = 0, start;
	struct ml_hdr h;
	int err;

	do {
		start = off;
		err = ml_patch_walk(psrc, &off, &h, hbuf, NULL, NULL, &diag);
		if (err == ML_EFORMAT && start && diag.off == start)
			ml_fail(&diag, err, start, "bytes after the patch");
		if (err)
			die_patch(path, psrc, err, &diag);
		if (h.flags & ML_HF_XXH3) {
			ml_fail(&diag, ML_EINVAL, start,
				"its digests are XXH3, which anyone can "
				"forge: make it with SHA-256");
			warn_diag(path, &diag);
			exit(EX_INPUT);
		}
		if (h.sig && !again) {
			ml_fail(&diag, ML_EINVAL, start,
				"signed already; '-f' signs it anew");
			warn_diag(path, &diag);
			exit(EX_INPUT);
		}
	} while (off < ml_src_size(psrc));
}

int main(int argc, char **argv)
{
	const char *target = NULL, *key = NULL, *pwfile = NULL, *path;
	struct ml_seckey secret;
	struct ml_src *psrc;
	struct ml_diag diag;
	struct out out;
	uint64_t off = 0;
	int c, err, again = 0;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":fho:s:Vw:")) != -1) {
		switch (c) {
		case 'f': again = 1; break;
		case 'h': help(usage);
		case 'o': target = optarg; break;
		case 's': key = optarg; break;
		case 'V': version();
		case 'w': pwfile = optarg; break;
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	if (!key)
		usage_error(usage, "no secret key: '-s' is needed");
	path = optind < argc ? argv[optind] : NULL;

	/* prepare */
	psrc = in_src(path);
	look(psrc, path, again);
	out_open(&out, target, 1);
	secret_key(&secret, key, pwfile);

	/* stream */
	do {
		err = ml_sign_patch(psrc, &off, &secret, out.f, &diag);
	} while (!err && off < ml_src_size(psrc));
	ml_seckey_wipe(&secret);
	if (err)
		die_either(path, out.f, err, &diag);

	/* close */
	ml_src_free(psrc);
	return out_close(&out);
}
