/* SPDX-License-Identifier: MIT */
/*
 * ml-info: what a patch says of itself, and with its base also where its bytes
 * go: by kind of operation and by tensor. All is read before anything is
 * shown, so that a damaged patch shows nothing.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mldec.h"
#include "util.h"

const char ml_prog[] = "ml-info";

static const char usage[] =
	"usage: ml-info [-hjV] [-b base] [-t target] [patch]\n"
	"Shows what a patch, or each of a chain, says of itself; and if it\n"
	"needs no base or the base is named, where its bytes go.\n"
	"  -b base     the base's file\n"
	"  -t target   the target's file, to save the rebuilding of it\n"
	"  -j, --json  as JSON\n"
	"  -h, -V      this help, the version\n";

/* Whether a file is what the last patch of a chain makes. */
static int is_target(struct ml_src *s, const struct ml_report *r)
{
	const struct ml_hdr *h = ml_report_header(r, 0);
	uint8_t own[ML_SHA256_LEN];
	struct ml_diag diag;
	size_t i;
	int err;

	for (i = 1; ml_report_header(r, i); i++)
		h = ml_report_header(r, i);
	if (ml_src_size(s) != h->target_size)
		return 0;
	err = ml_src_sum(s, ml_hdr_sum(h), own, &diag);
	if (err)
		die_out(err, &diag);
	return memcmp(own, h->target_sha, sizeof(own)) == 0;
}

int main(int argc, char **argv)
{
	static const struct option longer[] = {
		{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	const char *base_path = NULL, *target_path = NULL, *path;
	struct ml_src *psrc, *base = NULL, *target = NULL;
	struct ml_report *report;
	int json = 0, c, err;
	struct ml_diag diag;
	struct out out;

	/* arguments */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:b:hjt:V", longer, NULL)) !=
		-1) {
		switch (c) {
		case 'b': base_path = optarg; break;
		case 'h': help(usage);
		case 'j': json = 1; break;
		case 't': target_path = optarg; break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one patch");
	path = optind < argc ? argv[optind] : "-";
	if ((base_path && is_dash(base_path)) +
		(target_path && is_dash(target_path)) + is_dash(path) > 1)
		usage_error(usage, "only one file can be standard input");

	/* prepare */
	psrc = in_src(path);
	err = ml_report_new(&report, psrc, &diag);
	if (err)
		die_patch(path, psrc, err, &diag);
	if (base_path)
		base = in_src(base_path);
	if (base || !(ml_report_header(report, 0)->flags & ML_HF_BASE)) {
		if (target_path)
			target = in_src(target_path);
		if (target && !is_target(target, report))
			die(EX_DIGEST, "not the target of the patch");
		err = ml_report_look(report, psrc, base, target, &diag);
		if (err)
			die_patch(path, psrc, err, &diag);
	} else if (target_path) {
		die(EX_BASE, "the patch needs its base for '-t': name the "
			"base's file with '-b'");
	}
	out_open(&out, NULL, 0);

	/* show */
	err = json ? ml_report_json(out.f, report, path, &diag) :
		ml_report_text(out.f, report, &diag);
	if (err)
		die_out(err, &diag);

	/* close */
	ml_report_free(report);
	ml_src_free(target);
	ml_src_free(base);
	ml_src_free(psrc);
	return out_close(&out);
}
