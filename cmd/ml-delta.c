/* SPDX-License-Identifier: MIT */
/* ml-delta: two tensor-record streams to the delta stream between them. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

const char ml_prog[] = "ml-delta";

static const char usage[] =
	"usage: ml-delta [-hqvVz] [-o file] [--in-place page] base target\n"
	"Writes what the stream of target has and the stream of base has not,\n"
	"as a delta stream. One of them may be '-'.\n"
	"  -o file  write to file (standard output)\n"
	"  -q       no progress\n"
	"  -v       a line per tensor on standard error\n"
	"  -z       no casts of the base to other element types\n"
	"  --in-place page\n"
	"           for a patch that may replace the base page by page (so -z)\n"
	"  -h, -V   this help, the version\n";

static const struct option long_options[] = { LONG_IN_PLACE, LONG_END };

/* A model, all of it. */
struct side {
	struct ml_model model;
	struct ml_src *bytes; /* of its image */
	uint64_t size; /* of its file */
	int sum; /* enum ml_sum_kind of */
	uint8_t sha[ML_SHA256_LEN];
};

static int put_wraps(struct ml_out *to, enum ml_side side,
	const struct side *s, struct ml_diag *diag)
{
	const struct ml_wrapped w = {s->size, ml_model_wraps(&s->model)};

	return ml_out_wraps(to, side, &w, diag);
}

static int put_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	return ml_out_span(ctx, sp, diag);
}

static int put_block(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	return ml_out_block(ctx, b, diag);
}

/* Whoever forgets ml-split is told so; a stream begins with this byte. */
static void load(struct side *s, const char *path)
{
	FILE *f = in_open(path, 1);
	const int first = getc(f);
	struct ml_diag diag;
	int err;

	if (first != EOF)
		ungetc(first, f);
	err = ml_stream_load(f, &s->model, &s->bytes, &s->size, &s->sum,
		s->sha, &diag);
	if (err == ML_EFORMAT && diag.off == 0 && first != 0xd3) {
		warn_diag(path, &diag);
		die(EX_INPUT, "ml-split makes a stream of a model file");
	}
	if (err)
		die_diag(path, err, &diag);
	fclose(f);
}

static void unload(struct side *s)
{
	ml_model_free(&s->model);
	ml_src_free(s->bytes);
}

int main(int argc, char **argv)
{
	struct ml_head head = {.kind = ML_KIND_DELTA};
	struct ml_delta_opt opt = {.progress = progress_told};
	struct ml_sink sink = {.span = put_span, .block = put_block};
	const char *output = NULL, *path[2];
	int quiet = 0, verbose = 0, as_is = 0, c, err;
	struct ml_cast_base cast = {0};
	struct ml_casts casts;
	struct side base, target;
	struct progress pr;
	struct ml_diag diag;
	struct ml_out to;
	struct out out;

	/* arguments */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:ho:qvVz", long_options,
		NULL)) != -1) {
		switch (c) {
		case 'h': help(usage);
		case 'o': output = optarg; break;
		case 'q': quiet = 1; break;
		case 'v': verbose = 1; break;
		case 'V': version();
		case 'z': as_is = 1; break;
		case OPT_IN_PLACE:
			opt.page = page_option(usage, optarg);
			as_is = 1;
			break;
		default: bad_option(usage, c);
		}
	}
	if (argc - optind != 2)
		usage_error(usage, "not two streams");
	path[0] = argv[optind];
	path[1] = argv[optind + 1];
	if (is_dash(path[0]) && is_dash(path[1]))
		usage_error(usage,
			"base and target cannot both be standard input");

	/* prepare */
	load(&base, path[0]);
	load(&target, path[1]);
	if (base.sum != target.sum)
		die(EX_INPUT, "one stream has a digest by %s, the other by %s",
			ml_sum_name(base.sum), ml_sum_name(target.sum));
	if (opt.page && (ml_model_wraps(&base.model).n ||
		ml_model_wraps(&target.model).n))
		die(EX_INPUT, "inflated parts cannot be replaced in place: "
			"leave them by '-z' of ml-split");
	out_open(&out, output, 1);
	head.container = (uint8_t)target.model.container;
	head.base_size = base.size;
	head.sum = (uint8_t)base.sum;
	head.page = (uint8_t)opt.page;
	memcpy(head.base_sha, base.sha, sizeof(head.base_sha));
	opt.log = verbose ? stderr : NULL;
	opt.own = base.model.size;
	opt.arg = &pr;
	sink.ctx = &to;

	/* stream */
	err = as_is ? ML_OK : ml_cast_plan(&cast, &base.model, base.bytes,
		&target.model, target.bytes, &diag);
	if (err)
		die_diag(path[1], err, &diag);
	casts.c = cast.c;
	casts.n = cast.n;
	opt.casts = casts;
	opt.crossed = cast.crossed;
	opt.ncrossed = cast.ncrossed;
	if (opt.page)
		err = ml_delta_lead(&base.model, base.bytes, &target.model,
			target.bytes, opt.page, &opt.lead, &diag);
	if (err)
		die_diag(path[1], err, &diag);
	head.lead = (uint8_t)opt.lead;
	err = ml_out_open(&to, out.f, &head, &diag);
	if (!err)
		err = put_wraps(&to, ML_BASE_SIDE, &base, &diag);
	if (!err)
		err = put_wraps(&to, ML_TARGET_SIDE, &target, &diag);
	if (!err)
		err = ml_out_casts(&to, &casts, &diag);
	if (err)
		die_out(err, &diag);
	progress_start(&pr, target.model.size, quiet || verbose);
	err = ml_delta(cast.src ? &cast.m : &base.model,
		cast.src ? cast.src : base.bytes, &target.model, target.bytes,
		&opt, &sink, &diag);
	progress_end(&pr);
	if (!err)
		err = ml_out_done(&to, target.model.size, target.sha, &diag);
	if (err)
		die_either(path[1], out.f, err, &diag);

	/* close */
	ml_cast_base_free(&cast);
	unload(&base);
	unload(&target);
	return out_close(&out);
}
