/* SPDX-License-Identifier: MIT */
/* ml-apply: a base and a patch to the target. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "mldec.h"
#include "trust.h"

const char ml_prog[] = "ml-apply";

static const char usage[] =
	"usage: ml-apply [-BhqsvVx] [-c class] [-m file] [-o file] [-p key ...]\n"
	"                [-r number] [-R file] [-T threads] [base [patch]]\n"
	"Writes the file or directory that a patch makes of its base.\n"
	"  -B        go back to an older release on purpose\n"
	"  -c class  refuse patches above nano, micro or full\n"
	"  -m file   trust the patch by this signature, of minisign -S\n"
	"  -o file   write to file (standard output, a directory as a tar)\n"
	"  -p key    trust only what is signed by this public key, or file of it\n"
	"  -q        no progress\n"
	"  -r number refuse older releases\n"
	"  -R file   refuse releases older than the highest, which is kept there\n"
	"  -s        apply the patch as it arrives; not for chains\n"
	"  -T number of threads, 0: as many as there are cores (two at most)\n"
	"  -v        a line per patch on standard error\n"
	"  -x        a directory, though the base is none or not one\n"
	"  -h, -V    this help, the version\n";

/* What the target's bytes go to: a file, a spool or nothing. */
struct sink {
	FILE *f;
	int again; /* f can be read */
	struct ml_src *spool;
	struct progress *pr;
	struct trust *trust; /* of a patch that arrives */
	int threads;
};

/* What a chain of patches tells before it is applied. */
struct chain {
	size_t n;
	uint64_t size; /* of the last target */
	uint64_t release; /* of the last patch */
	int weak; /* has digests that can be forged */
};

/* Which patches are wanted. */
struct trust {
	struct keys keys; /* none: of whoever */
	const char *minisig;
	struct floor floor;
	uint64_t release; /* of the patch, once it is accepted */
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

static int from_sink(
	void *ctx, uint64_t off, uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct sink *to = ctx;
	ssize_t k;

	if (to->spool)
		return ml_src_read(to->spool, off, p, n, diag);
	errno = 0;
	if (fflush(to->f) == EOF)
		return ml_fail_errno(diag, "cannot write");
	for (; n; n -= (size_t)k, p += k, off += (uint64_t)k) {
		k = pread(fileno(to->f), p, n, (off_t)off);
		if (k < 0 && errno == EINTR)
			k = 0;
		else if (k < 0)
			return ml_fail_errno(diag,
				"cannot read what was written");
		else if (k == 0)
			return ml_fail(diag, ML_EIO, off,
				"what was written is gone");
	}
	return ML_OK;
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
	int kind = ML_SHA256, err;

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
		if (c->n && (h.base_size != c->size || ml_hdr_sum(&h) != kind ||
			memcmp(h.base_sha, sha, sizeof(sha)) != 0))
			return ml_fail(diag, ML_EBASE, start,
				"patch at %llu does not fit the one before it",
				(unsigned long long)start);
		memcpy(sha, h.target_sha, sizeof(sha));
		kind = ml_hdr_sum(&h);
		c->weak |= kind != ML_SHA256;
		c->size = h.target_size;
		c->release = h.release;
		c->n++;
		if (verbose)
			tell(&h, start);
	} while (off < ml_src_size(psrc));
	return ML_OK;
}

/* The patch for random access. What shall be verified first is copied, so that
 * nobody can change it after that. */
static struct ml_src *take(const char *path, int verify)
{
	struct ml_src *s = in_src(path), *copy;
	uint8_t buf[65536];
	struct ml_diag diag;
	struct stat st;
	uint64_t off;
	size_t n;
	int err;

	if (!verify || (is_dash(path) ? fstat(0, &st) : stat(path, &st)) < 0 ||
		!S_ISREG(st.st_mode))
		return s;
	err = ml_src_spool(&copy, &diag);
	for (off = 0; !err && off < ml_src_size(s); off += n) {
		n = ml_src_size(s) - off < sizeof(buf) ?
			(size_t)(ml_src_size(s) - off) : sizeof(buf);
		err = ml_src_read(s, off, buf, n, &diag);
		if (!err)
			err = ml_src_append(copy, buf, n, &diag);
	}
	if (err)
		die_diag(path, err, &diag);
	ml_src_free(s);
	return copy;
}

/* Whether a patch that arrives is wanted. Its body is compared with the digest
 * in the header as it ends. */
static int accept_header(void *ctx, const struct ml_hdr *h, const uint8_t *p,
	struct ml_diag *diag)
{
	struct trust *t = ((struct sink *)ctx)->trust;
	int err = ML_OK;

	if (t->keys.n)
		err = ml_verify_header(h, p, t->keys.key, t->keys.n, 0, diag);
	if (!err)
		err = floor_check(&t->floor, h->release, diag);
	t->release = h->release;
	return err;
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
		struct ml_target t = {.write = to_sink, .ctx = out,
			.threads = out->threads};

		if (i + 1 < c->n) {
			err = ml_src_spool(&mid.spool, diag);
			t.ctx = &mid;
		}
		if (i + 1 < c->n || out->spool || out->again)
			t.read = from_sink;
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
	struct trust trust = {0};
	struct progress pr;
	struct ml_diag diag;
	struct sink sink = {.pr = &pr, .trust = &trust,
		.threads = threads_default()};
	struct out_tree out_tree;
	struct out out = {0};
	FILE *from = NULL;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":Bc:hm:o:p:qr:R:sT:vVx")) != -1) {
		switch (c) {
		case 'B': trust.floor.back = 1; break;
		case 'c': cls = class_option(usage, optarg); break;
		case 'h': help(usage);
		case 'm': trust.minisig = optarg; break;
		case 'o': target = optarg; break;
		case 'p': keys_add(&trust.keys, usage, optarg); break;
		case 'q': quiet = 1; break;
		case 'r':
			trust.floor.least = release_option(usage, optarg);
			break;
		case 'R': trust.floor.path = optarg; break;
		case 's': stream = 1; break;
		case 'T': sink.threads = threads_option(usage, optarg); break;
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
	if (trust.minisig && (stream || !trust.keys.n))
		usage_error(usage, stream ? "'-m' is of the whole patch, so "
			"not with '-s'" : "'-m' needs '-p'");
	if (stream && trust.keys.n && is_dash(target))
		usage_error(usage, "'-s' with '-p' needs '-o': only at its end "
			"is a patch known to be as signed");
	base_path = optind < argc ? argv[optind] : NULL;
	patch_path = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (base_path && is_dash(base_path) && is_dash(patch_path))
		usage_error(usage,
			"base and patch cannot both be standard input");

	/* prepare */
	floor_load(&trust.floor);
	if (stream) {
		from = in_open(patch_path, 1);
	} else {
		psrc = take(patch_path, trust.keys.n > 0);
		err = ML_OK;
		if (trust.keys.n)
			err = keys_verify(&trust.keys, psrc, trust.minisig,
				&diag);
		if (!err)
			err = walk(psrc, &chain, verbose, &diag);
		if (!err)
			err = floor_check(&trust.floor, chain.release, &diag);
		if (!err && trust.keys.n && chain.weak)
			err = ml_fail(&diag, ML_EAUTH, 0, "its digests are "
				"XXH3, which anyone can forge");
		if (err)
			die_patch(patch_path, psrc, err, &diag);
		trust.release = chain.release;
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
		sink.again = out.tmp != NULL;
		if (stream && trust.keys.n && !out.tmp)
			die(EX_USAGE, "'-s' with '-p' writes to a regular file "
				"only: what has gone to another cannot be "
				"taken back");
	}

	/* stream: what is needed is open */
	confine(tree || is_dir(base_path) ? CONFINE_FILES : CONFINE_ALL);
	progress_start(&pr, chain.n == 1 ? chain.size : 0, quiet);
	if (stream) {
		struct ml_target t = {.write = to_sink, .ctx = &sink,
			.accept = accept_header, .threads = sink.threads};

		if (sink.spool || sink.again)
			t.read = from_sink;
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
	if (tree)
		out_tree_close(&out_tree, sink.spool);
	else
		out_close(&out);
	ml_src_free(sink.spool);
	floor_save(&trust.floor, trust.release);
	return EX_OK;
}
