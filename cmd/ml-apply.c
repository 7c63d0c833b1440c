/* SPDX-License-Identifier: MIT */
/* ml-apply: a base and a patch to the target. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mldec.h"
#include "util.h"

const char ml_prog[] = "ml-apply";

static const char usage[] =
	"usage: ml-apply [-hqsvVx] [-c class] [-o file] [base [patch]]\n"
	"Writes the file or directory that a patch makes of its base.\n"
	"  -c class  refuse patches above nano, micro or full\n"
	"  -o file   write to file (standard output, a directory as a tar)\n"
	"  -q        no progress\n"
	"  -s        apply the patch as it arrives; not for chains\n"
	"  -v        a line per patch on standard error\n"
	"  -x        a directory, though the base is none or not one\n"
	"  -h, -V    this help, the version\n";

/* What the target's bytes go to: a file, a spool or nothing. */
struct sink {
	FILE *f;
	struct ml_src *spool;
	struct progress *pr;
};

/* What a chain of patches tells before it is applied. */
struct chain {
	size_t n;
	uint64_t size; /* of the last target */
};

static int to_sink(
	void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct sink *to = ctx;

	progress_add(to->pr, n);
	if (to->spool)
		return ml_src_append(to->spool, p, n, diag);
	errno = 0;
	if (fwrite(p, 1, n, to->f) == n)
		return ML_OK;
	return ml_fail_errno(diag, "cannot write");
}

static void tell(const struct ml_hdr *h, uint64_t off)
{
	fprintf(stderr, "patch at %llu: release %llu, class %s, window %llu, ",
		(unsigned long long)off, (unsigned long long)h->release,
		ml_class_name(h->cls), (unsigned long long)h->window);
	if (h->flags & ML_HF_BASE)
		fprintf(stderr, "base of %llu bytes",
			(unsigned long long)h->base_size);
	else
		fputs("no base", stderr);
	fprintf(stderr, ", target of %llu, body of %llu\n",
		(unsigned long long)h->target_size,
		(unsigned long long)h->body_len);
}

/* Walks all patches of a chain: frames, CRCs, and that each begins where the
 * one before it ends. Nothing was written when this refuses. */
static int walk(struct ml_src *psrc, struct chain *c, int verbose,
	struct ml_diag *diag)
{
	uint8_t hbuf[ML_HDR_MAX], sha[ML_SHA256_LEN];
	uint64_t off = 0, start;
	struct ml_hdr h;
	int err;

	c->n = 0;
	do {
		start = off;
		err = ml_patch_walk(psrc, &off, &h, hbuf, NULL, NULL, diag);
		if (err == ML_EFORMAT && c->n && diag->off == start)
			return ml_fail(diag, err, start,
				"bytes after the patch");
		if (err)
			return err;
		if (c->n && !(h.flags & ML_HF_BASE))
			return ml_fail(diag, ML_EFORMAT, start,
				"a patch without a base in a chain");
		if (c->n && (h.base_size != c->size ||
			memcmp(h.base_sha, sha, sizeof(sha)) != 0))
			return ml_fail(diag, ML_EBASE, start,
				"patch at %llu does not fit the one before it",
				(unsigned long long)start);
		memcpy(sha, h.target_sha, sizeof(sha));
		c->size = h.target_size;
		c->n++;
		if (verbose)
			tell(&h, start);
	} while (off < ml_src_size(psrc));
	return ML_OK;
}

/* Applies all patches: targets between are spooled. */
static int apply(struct ml_src *psrc, const struct chain *c,
	struct ml_src *base, int cls, struct sink *out, struct ml_diag *diag)
{
	struct ml_src *from = base;
	uint64_t off = 0;
	int err = ML_OK;
	size_t i;

	for (i = 0; !err && i < c->n; i++) {
		struct sink mid = {.pr = out->pr};
		struct ml_target t = {.write = to_sink, .ctx = out};

		if (i + 1 < c->n) {
			err = ml_src_spool(&mid.spool, diag);
			t.ctx = &mid;
		}
		if (!err)
			err = ml_apply(psrc, &off, from, cls, &t, diag);
		if (from != base)
			ml_src_free(from);
		from = mid.spool;
	}
	if (from != base)
		ml_src_free(from);
	return err;
}

int main(int argc, char **argv)
{
	const char *target = NULL, *base_path, *patch_path;
	struct ml_src *base = NULL, *psrc = NULL;
	int c, err, cls = ML_FULL, quiet = 0, verbose = 0, stream = 0, tree = 0;
	struct chain chain = {0};
	struct progress pr;
	struct ml_diag diag;
	struct sink sink = {.pr = &pr};
	struct out_tree out_tree;
	struct out out = {0};
	FILE *from = NULL;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":c:ho:qsvVx")) != -1) {
		switch (c) {
		case 'c': cls = class_option(usage, optarg); break;
		case 'h': help(usage);
		case 'o': target = optarg; break;
		case 'q': quiet = 1; break;
		case 's': stream = 1; break;
		case 'v': verbose = 1; break;
		case 'V': version();
		case 'x': tree = 1; break;
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 2)
		usage_error(usage, "more than two files");
	if (tree && is_dash(target))
		usage_error(usage, "'-x' needs '-o'");
	base_path = optind < argc ? argv[optind] : NULL;
	patch_path = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (base_path && is_dash(base_path) && is_dash(patch_path))
		usage_error(usage,
			"base and patch cannot both be standard input");

	/* prepare */
	if (stream) {
		from = in_open(patch_path, 1);
	} else {
		psrc = in_src(patch_path);
		err = walk(psrc, &chain, verbose, &diag);
		if (err)
			die_patch(patch_path, psrc, err, &diag);
	}
	if (base_path)
		base = in_src(base_path);
	tree = !is_dash(target) && (tree || is_dir(base_path));
	if (tree) {
		out_tree_open(&out_tree, target);
		err = ml_src_spool(&sink.spool, &diag);
		if (err)
			die_out(err, &diag);
	} else {
		out_open(&out, target, 1);
		sink.f = out.f;
	}

	/* stream */
	progress_start(&pr, chain.n == 1 ? chain.size : 0, quiet);
	if (stream) {
		struct ml_target t = {.write = to_sink, .ctx = &sink};

		err = ml_apply_stream(from, base, cls, &t, &diag);
	} else {
		err = apply(psrc, &chain, base, cls, &sink, &diag);
	}
	progress_end(&pr);
	if (err && out.f && ferror(out.f))
		die_out(err, &diag);
	if (err)
		die_patch(patch_path, psrc, err, &diag);

	/* close */
	ml_src_free(base);
	ml_src_free(psrc);
	if (from)
		fclose(from);
	if (!tree)
		return out_close(&out);
	err = out_tree_close(&out_tree, sink.spool);
	ml_src_free(sink.spool);
	return err;
}
