/* SPDX-License-Identifier: MIT */
/* ml-pack: a tensor-record stream to a patch, and back. */
#include <stdlib.h>
#include <unistd.h>

#include "util.h"

const char ml_prog[] = "ml-pack";

static const char usage[] =
	"usage: ml-pack [-hlLqV] [-b base] [-o file] [-r release] [-t target]\n"
	"               [-T threads] [file]\n"
	"       ml-pack -d [-hqV] [-o file] [file]\n"
	"Writes the patch of a tensor-record stream, or with -d the stream of a\n"
	"patch. A patch that needs no base is always proven before it appears.\n"
	"  -b base     prove the patch by applying it to base\n"
	"  -d          the way back\n"
	"  -l, -L      keep, drop the labels of tensors (kept without a base)\n"
	"  -o file     write to file (standard output)\n"
	"  -q          no progress\n"
	"  -r release  a counter for the header\n"
	"  -t target   prove that the patch makes this very file\n"
	"  -T number   of threads for the proof, 0: as many as there are cores\n"
	"              (two at most)\n"
	"  -h, -V      this help, the version\n";

enum { LABELS_AUTO, LABELS_KEEP, LABELS_DROP };

struct option {
	const char *path, *output, *base, *target;
	uint64_t release;
	int labels, quiet, threads;
};

/* What is too large for its class is refused as a class is. */
static _Noreturn void die_class(const char *path, const struct ml_diag *diag)
{
	warn_diag(path, diag);
	exit(EX_VERSION);
}

/* Writes the patch, proven as far as what was given allows it. */
static void finish(struct ml_packer *p, const struct ml_patch_info *info,
	const struct option *o, struct ml_src *base, struct ml_src *target,
	FILE *f)
{
	struct ml_proof how = {.target = target, .threads = o->threads,
		.progress = progress_told};
	struct ml_proven proven;
	struct ml_diag diag;
	struct progress pr;
	int err;

	if (info->has_base && !base) {
		err = ml_pack_finish(p, info, f, &diag);
		if (err == ML_ELIMIT)
			die_class(o->path, &diag);
		if (err)
			die_either(o->path, f, err, &diag);
		return;
	}
	how.arg = &pr;
	progress_start(&pr, info->target_size, o->quiet);
	err = ml_pack_proven(p, info, base, &how, &proven, &diag);
	progress_end(&pr);
	if (err == ML_EBASE)
		die_diag(o->base, err, &diag);
	if (err == ML_ELIMIT)
		die_class(o->path, &diag);
	if (err == ML_EFORMAT)
		die_diag(o->path, err, &diag);
	if (!err)
		err = ml_src_copy(proven.patch, f, &diag);
	if (err)
		die_out(err, &diag);
	ml_proven_free(&proven);
}

static int pack(const struct option *o)
{
	struct ml_src *base = NULL, *target = NULL;
	struct ml_patch_info info = {.release = o->release};
	struct ml_packer *p = NULL;
	struct ml_in *in = NULL;
	struct ml_diag diag;
	struct progress pr;
	struct out out;
	int delta, labels, err;
	FILE *from;

	/* prepare */
	from = in_open(o->path, 1);
	err = ml_in_open(&in, from, &diag);
	if (!err)
		err = ml_pack_new(&p, &diag);
	if (err)
		die_diag(o->path, err, &diag);
	delta = ml_in_head(in)->kind == ML_KIND_DELTA;
	if (delta && o->target && !o->base)
		die(EX_BASE, "a delta needs its base for '-t': name the "
			"base's file with '-b'");
	if (delta && o->base)
		base = in_src(o->base);
	if (o->target)
		target = in_src(o->target);
	labels = o->labels == LABELS_KEEP ||
		(o->labels == LABELS_AUTO && !delta);

	/* stream */
	progress_start(&pr, 0, o->quiet);
	err = ml_pack_stream(
		p, in, labels, &info, progress_told, &pr, &diag);
	progress_end(&pr);
	if (err)
		die_diag(o->path, err, &diag);
	out_open(&out, o->output, 1);
	finish(p, &info, o, base, target, out.f);

	/* close */
	ml_src_free(base);
	ml_src_free(target);
	ml_pack_free(p);
	ml_in_free(in);
	fclose(from);
	return out_close(&out);
}

static int unpack(const struct option *o)
{
	struct ml_src *psrc = in_src(o->path);
	struct ml_diag diag;
	struct out out;
	int err;

	out_open(&out, o->output, 1);
	err = ml_unpack_stream(psrc, out.f, &diag);
	if (err && ferror(out.f))
		die_out(err, &diag);
	if (err)
		die_patch(o->path, psrc, err, &diag);
	ml_src_free(psrc);
	return out_close(&out);
}

int main(int argc, char **argv)
{
	struct option o = {.threads = threads_default()};
	int c, back = 0;

	/* arguments */
	opterr = 0;
	while ((c = getopt(argc, argv, ":b:dhlLo:qr:t:T:V")) != -1) {
		switch (c) {
		case 'b': o.base = optarg; break;
		case 'd': back = 1; break;
		case 'h': help(usage);
		case 'l': o.labels = LABELS_KEEP; break;
		case 'L': o.labels = LABELS_DROP; break;
		case 'o': o.output = optarg; break;
		case 'q': o.quiet = 1; break;
		case 'r': o.release = release_option(usage, optarg); break;
		case 't': o.target = optarg; break;
		case 'T': o.threads = threads_option(usage, optarg); break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	o.path = argv[optind];
	if (back && (o.base || o.target || o.labels || o.release))
		usage_error(usage, "'-d' goes only with '-o' and '-q'");
	return back ? unpack(&o) : pack(&o);
}
