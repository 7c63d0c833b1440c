/* SPDX-License-Identifier: MIT */
/*
 * ml-diff: two model files to a patch. The pipeline of ml-split, ml-delta,
 * ml-zipnn and ml-pack in one process; the patch appears only after it was
 * applied to the old file and made the new one.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mldec.h"
#include "util.h"

const char ml_prog[] = "ml-diff";

static const char usage[] =
	"usage: ml-diff [-1..9hlpqvVz] [-c class] [-f format] [-H digest]\n"
	"               [-o file] [-r release] [-T number] [--in-place page]\n"
	"               [--restart bytes] old new\n"
	"Writes the patch that makes the model new of the model old: files, or\n"
	"directories, which are taken as tars. One of them may be '-'.\n"
	"  -1 .. -9    from fast to small: 1 compares tensors of the same name and\n"
	"              codes at the speed of memory, 2 to 4 look for the best base\n"
	"              first; 5 to 9 (default) code as small as it gets\n"
	"  -c class    memory class that applying needs: nano, micro or full\n"
	"              (full; nano for files below 2 GiB only)\n"
	"  -f format   raw, safetensors, gguf, onnx, tflite, pytorch,\n"
	"              torch-legacy, npy, zip, tar, hdf5 or milblob (by content)\n"
	"  -H digest   sha256 (default), or xxh3: integrity only, but fast\n"
	"  -l          keep the labels of tensors in the patch\n"
	"  -o file     write to file (standard output)\n"
	"  -p          keep the times and owners of new, a directory\n"
	"  -q          no warnings, no progress\n"
	"  -r release  a counter for the header\n"
	"  -T number   of threads, 0: as many as there are cores (two at most)\n"
	"  -v          a line per tensor on standard error\n"
	"  -z          neither inflate parts (so for nano, micro) nor cast tensors\n"
	"  --in-place page\n"
	"              the patch may replace old page by page (so -z)\n"
	"  --restart bytes\n"
	"              a decoder can begin anew every so many bytes of new\n"
	"  -h, -V      this help, the version\n";

static const struct option long_options[] = {
	LONG_IN_PLACE, LONG_RESTART, LONG_END
};

#define NANO_MAX (UINT64_C(1) << 31) /* files of a nano patch are below */

struct choices {
	const char *format, *output;
	int cls, as_is, casts, keep, labels, quiet, threads, verbose, level;
	unsigned page;
	uint64_t release, restart;
};

/* A model, all of it. */
struct side {
	const char *path;
	struct ml_src *src;
	struct ml_stamp stamp; /* before it was first read, if stamped */
	int stamped;
	struct ml_model model;
};

static void load(struct side *s, const struct choices *o, int keep)
{
	s->src = in_src_keep(s->path, keep);
	s->stamped = ml_src_stamp(s->src, &s->stamp);
	in_model(&s->model, s->src, s->path, o->format, o->as_is, o->quiet);
}

static void digests(struct ml_patch_info *info, const struct side *old,
	const struct side *new, int threads)
{
	struct ml_src *const src[2] = {old->src, new->src};
	uint8_t *const sum[2] = {info->base_sha, info->target_sha};
	struct ml_diag diag;
	int which, err;

	err = ml_src_sums(src, info->sum, sum, threads, &which, &diag);
	if (err)
		die_diag(which ? new->path : old->path, err, &diag);
}

/* With what o says now; what there was to warn of was said. */
static void read_again(struct side *s, const struct choices *o)
{
	ml_model_free(&s->model);
	in_model(&s->model, s->src, s->path, o->format, o->as_is, 1);
}

static void unload(struct side *s)
{
	ml_model_free(&s->model);
	ml_src_free(s->src);
}

/* ===== the stages ======================================================= */

static int relay_span(
	void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	return ml_relay_span(ctx, sp, diag);
}

static int relay_block(
	void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	return ml_relay_block(ctx, b, diag);
}

static int zip_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	return ml_zip_span(ctx, sp, diag);
}

static int zip_block(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	return ml_zip_block(ctx, b, diag);
}

static int zip_pair(void *ctx, unsigned type, uint64_t at, const uint8_t *base,
	const uint8_t *p, size_t n, struct ml_diag *diag)
{
	return ml_zip_pair(ctx, type, at, base, p, n, diag);
}

static int pack_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	return ml_pack_span(ctx, sp, diag);
}

static int drop_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	(void)ctx;
	(void)sp;
	(void)diag;
	return ML_OK;
}

static int pack_block(
	void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	return ml_pack_block(ctx, b, diag);
}

/* Fills the packer. */
static void diff(struct ml_packer *p, const struct side *old,
	const struct ml_cast_base *cast, const struct side *new,
	unsigned lead, const struct choices *o)
{
	struct ml_sink to_pack = {p, drop_span, pack_block};
	struct ml_sink to_zip = {NULL, zip_span, zip_block};
	struct ml_sink to_relay = {NULL, drop_span, relay_block};
	struct ml_delta_opt opt = {.progress = progress_told};
	const struct ml_casts casts = {cast->c, cast->n};
	struct ml_relay *relay;
	struct ml_zip *zip;
	struct progress pr;
	struct ml_diag diag;
	int err;

	if (o->labels) {
		to_pack.span = pack_span;
		to_relay.span = relay_span;
	}
	opt.log = o->verbose ? stderr : NULL;
	opt.own = old->model.size;
	opt.casts.c = cast->c;
	opt.casts.n = cast->n;
	opt.crossed = cast->crossed;
	opt.ncrossed = cast->ncrossed;
	opt.arg = &pr;
	opt.page = o->page;
	opt.lead = lead;
	opt.quick = o->level <= ML_LEVEL_FAST;
	err = ml_zip_new(&zip, o->cls, &to_pack, &diag);
	if (!err)
		err = ml_zip_casts(zip, &casts, cast->src, old->model.size,
			&diag);
	if (!err)
		err = ml_zip_know(zip, &new->model, &diag);
	if (err)
		die_diag(new->path, err, &diag);
	to_zip.ctx = zip;
	ml_zip_restart(zip, o->restart);
	if (o->level <= ML_LEVEL_FAST)
		err = ml_zip_fast(zip, (unsigned)o->threads, &diag);
	/* pairs of level 1 do not take the way of the blocks */
	if (!err)
		err = ml_relay_new(&relay, &to_zip,
			o->level == 1 ? 1 : o->threads, &diag);
	if (err)
		die_diag(new->path, err, &diag);
	to_relay.ctx = relay;
	if (o->level == 1) {
		opt.pair = zip_pair;
		opt.pair_ctx = zip;
	}
	progress_start(&pr, new->model.size, o->quiet || o->verbose);
	err = ml_delta(cast->src ? &cast->m : &old->model, cast->src ?
		cast->src : ml_model_src(&old->model, old->src), &new->model,
		ml_model_src(&new->model, new->src), &opt, &to_relay, &diag);
	if (!err)
		err = ml_relay_end(relay, &diag);
	if (!err)
		err = ml_zip_end(zip, &diag);
	progress_end(&pr);
	if (err)
		die_diag(new->path, err, &diag);
	ml_relay_free(relay);
	ml_zip_free(zip);
}

static int changed(const struct side *s)
{
	struct ml_stamp now;

	return !ml_src_stamp(s->src, &now) ||
		memcmp(&now, &s->stamp, sizeof(now)) != 0;
}

/* Refuses its own work when it is wrong. */
static void prove(struct ml_packer *p, const struct ml_patch_info *info,
	const struct side *old, const struct side *new,
	const struct choices *o, struct ml_proven *out)
{
	struct ml_proof how = {.again = new->src, .base_known = old->stamped,
		.threads = o->threads, .progress = progress_told};
	struct progress pr;
	struct ml_diag diag;
	int err;

	how.arg = &pr;
	progress_start(&pr, info->target_size, o->quiet);
	err = ml_pack_proven(p, info, old->src, &how, out, &diag);
	if (!err && how.base_known && changed(old))
		err = ml_fail(&diag, ML_EBASE, ML_NOWHERE,
			"the old one has changed");
	progress_end(&pr);
	if (err && ml_exit_status(err) == EX_SYSTEM)
		die_out(err, &diag);
	if (err == ML_ELIMIT) /* for its class */
		die(EX_VERSION, "%s", diag.why);
	if (err)
		die(EX_DIGEST, "the patch failed its proof: %s (a file that "
			"changed meanwhile, or an internal error)", diag.why);
}

/* A patch of both sides as they were read, or of nothing but literals. */
static void make(struct ml_patch_info *info, const struct side *old,
	const struct side *new, const struct choices *o, int literal,
	struct ml_proven *out)
{
	struct ml_cast_base cast = {.threads = o->threads, .cls = o->cls};
	const struct ml_casts none = {0};
	struct ml_packer *p;
	struct ml_diag diag;
	int err = ml_pack_new(&p, &diag);

	if (!err && !literal && o->casts && o->level > 1)
		err = ml_cast_plan(&cast, &old->model,
			ml_model_src(&old->model, old->src), &new->model,
			ml_model_src(&new->model, new->src), &diag);
	info->casts.c = cast.c;
	info->casts.n = cast.n;
	if (o->cls == ML_NANO) /* its operations tell */
		info->casts = none;
	if (!err && !literal && o->page)
		err = ml_delta_lead(&old->model, old->src, &new->model,
			new->src, o->page, &info->lead, &diag);
	info->base_wraps = ml_model_wraps(&old->model);
	info->target_wraps = ml_model_wraps(&new->model);
	if (!err && literal) {
		info->base_wraps.n = info->target_wraps.n = 0;
		info->lead = 0;
		err = ml_pack_literal(p, new->src, &diag);
	} else if (!err) {
		diff(p, old, &cast, new, info->lead, o);
	}
	if (err)
		die_diag(new->path, err, &diag);
	prove(p, info, old, new, o, out);
	ml_pack_free(p);
	ml_cast_base_free(&cast);
}

/* Never larger than the target and a header, whatever the inputs. */
static int too_large(const struct ml_patch_info *info,
	const struct choices *o, const struct ml_proven *made)
{
	return !o->labels && ml_src_size(made->patch) >
		info->target_size + ML_PATCH_OVERHEAD;
}

/* ===== all of it ======================================================== */

int main(int argc, char **argv)
{
	struct ml_patch_info info = {.has_base = 1};
	struct choices o = {.cls = ML_FULL, .level = ML_LEVEL_MAX,
		.threads = threads_default()};
	struct ml_proven proven;
	struct side old, new;
	struct ml_diag diag;
	struct out out;
	int c, err;

	/* arguments */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:123456789c:f:hH:lo:pqr:T:vVz",
		long_options, NULL)) != -1) {
		switch (c) {
		case 'c': o.cls = class_option(usage, optarg); break;
		case 'f': o.format = format_option(usage, optarg); break;
		case 'h': help(usage);
		case 'H': info.sum = digest_option(usage, optarg); break;
		case 'l': o.labels = 1; break;
		case 'o': o.output = optarg; break;
		case 'p': o.keep = 1; break;
		case 'q': o.quiet = 1; break;
		case 'r': o.release = release_option(usage, optarg); break;
		case 'T': o.threads = threads_option(usage, optarg); break;
		case 'v': o.verbose = 1; break;
		case 'V': version();
		case 'z': o.as_is = 1; break;
		case OPT_IN_PLACE: o.page = page_option(usage, optarg); break;
		case OPT_RESTART:
			o.restart = restart_option(usage, optarg);
			break;
		case '1': case '2': case '3': case '4': case '5': case '6':
		case '7': case '8': case '9':
			o.level = c - '0';
			break;
		default: bad_option(usage, c);
		}
	}
	if (o.level <= ML_LEVEL_FAST && (o.cls < ML_FULL || o.page ||
		o.restart))
		usage_error(usage, "levels 1 to 4 are of class full, not in "
			"place and without restarts");
	if (argc - optind != 2)
		usage_error(usage, "not two files");
	old.path = argv[optind];
	new.path = argv[optind + 1];
	if (is_dash(old.path) && is_dash(new.path))
		usage_error(
			usage, "old and new cannot both be standard input");
	if (o.cls < ML_FULL && info.sum != ML_SHA256)
		usage_error(usage, "'-H xxh3' is only for class full");
	o.casts = !o.as_is && !o.page && o.cls != ML_MICRO;
	if (o.cls < ML_FULL || o.page)
		o.as_is = 1; /* inflating takes memory, and another place */

	/* prepare */
	load(&old, &o, 0);
	load(&new, &o, o.keep);
	digests(&info, &old, &new, o.threads);
	info.release = o.release;
	info.base_size = ml_src_size(old.src);
	info.target_size = ml_src_size(new.src);
	info.cls = o.cls;
	info.page = o.page;
	if (o.cls == ML_NANO && (info.base_size >= NANO_MAX ||
		info.target_size >= NANO_MAX))
		die(EX_VERSION, "files of 2 GiB or more are too large for the "
			"class nano");
	out_open(&out, o.output, 1);

	/* stream */
	make(&info, &old, &new, &o, 0, &proven);
	if (too_large(&info, &o, &proven) && !o.as_is) {
		o.as_is = 1; /* deflated it may be smaller */
		o.casts = 0;
		ml_proven_free(&proven);
		read_again(&old, &o);
		read_again(&new, &o);
		make(&info, &old, &new, &o, 0, &proven);
	}
	if (too_large(&info, &o, &proven)) {
		ml_proven_free(&proven);
		make(&info, &old, &new, &o, 1, &proven);
	}
	err = ml_src_copy(proven.patch, out.f, &diag);
	if (err)
		die_out(err, &diag);

	/* close */
	ml_proven_free(&proven);
	unload(&old);
	unload(&new);
	return out_close(&out);
}
