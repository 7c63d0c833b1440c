/* SPDX-License-Identifier: MIT */
/* A target against a base at the speed of memory: tensors go on with their
 * base bytes as they are, or as copies; what is no tensor is small and goes to
 * the byte differ. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "blockbuf.h"
#include "fast.h"
#include "fast_delta.h"
#include "match.h"
#include "ops.h"

#define PIECE ML_FAST_MAX
#define SMALL 4096 /* bytes of a tensor that the differ looks at */
#define DIFFER (4u << 20) /* bytes of all spans that it looks at */

struct fast {
	const struct ml_delta_opt *opt;
	const struct ml_sink *next;
	struct ml_src *bsrc, *tsrc;
	struct ml_align *align;
	struct ml_match *match;
	struct ml_model few; /* spans of the base that it sees; borrowed */
	struct ml_blockbuf out;
	uint8_t *t, *b;
	int whole; /* spans are few enough for the differ */
	uint64_t base_size;
};

static int flush(void *arg, const struct ml_block *b, struct ml_diag *diag)
{
	struct fast *f = arg;

	return f->next->block(f->next->ctx, b, diag);
}

static int for_differ(const struct ml_span *sp)
{
	return sp->kind == ML_SKELETON || sp->len < SMALL;
}

static uint64_t differ_bytes(const struct ml_model *m)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; m && i < m->nspan; i++)
		sum += for_differ(&m->span[i]) ? m->span[i].len : 0;
	return sum;
}

/* The base as the differ sees it: without large tensors. */
static int look_at_few(struct fast *f, const struct ml_model *base,
	struct ml_diag *diag)
{
	size_t i;

	if (!base)
		return ML_OK;
	f->few = *base;
	f->few.nspan = 0;
	f->few.span = malloc((base->nspan + 1) * sizeof *f->few.span);
	if (!f->few.span)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; i < base->nspan; i++)
		if (for_differ(&base->span[i]))
			f->few.span[f->few.nspan++] = base->span[i];
	return ML_OK;
}

static int equal(const struct fast *f, size_t n)
{
	return !memcmp(f->t, f->b, n);
}

static int pair(struct fast *f, unsigned type, uint64_t at, const uint8_t *b,
	size_t n, struct ml_diag *diag)
{
	int r = ml_blockbuf_flush(&f->out, diag);

	return r ? r : f->opt->pair(f->opt->pair_ctx, type, at, b, f->t, n,
		diag);
}

/* A large span: from base offset `from` on `both` bytes have a base. */
static int large(struct fast *f, const struct ml_span *sp, uint64_t from,
	uint64_t both, struct ml_diag *diag)
{
	const unsigned best = ml_type_of(sp->dtype);
	const unsigned type = best < ML_FAST_TYPES ? best : 1;
	const unsigned unit = ml_type_bytes(type);
	uint64_t at, left;
	size_t n, tail;
	int r = ML_OK;

	both -= both % unit;
	for (at = 0; !r && at < sp->len; at += n) {
		const int based = at < both;

		left = (based ? both : sp->len) - at;
		n = left < PIECE ? (size_t)left : PIECE;
		tail = n % unit;
		r = ml_src_read(f->tsrc, sp->off + at, f->t, n, diag);
		if (!r && based)
			r = ml_src_read(f->bsrc, from + at, f->b, n, diag);
		if (r)
			break;
		if (based && equal(f, n)) {
			r = ml_blockbuf_op(&f->out, ML_OP_COPY, 0, n,
				from + at, NULL, NULL, n, diag);
		} else {
			if (n > tail)
				r = pair(f, type, from + at, based ? f->b :
					NULL, n - tail, diag);
			if (!r && tail)
				r = ml_blockbuf_op(&f->out, ML_OP_LIT, 0, tail,
					0, f->t + n - tail, NULL, tail, diag);
		}
		if (!r && f->opt->progress)
			f->opt->progress(f->opt->arg, sp->off + at + n);
	}
	ml_match_jump(f->match, sp->len, both ? (int64_t)(from - sp->off) : 0);
	return r;
}

static int small(struct fast *f, const struct ml_span *sp,
	struct ml_diag *diag)
{
	const unsigned type = ml_type_of(sp->dtype);
	const size_t unit = ml_type_bytes(type);
	uint64_t at;
	size_t n;
	int r = ML_OK;

	for (at = 0; !r && at < sp->len; at += n) {
		n = sp->len - at < PIECE ? (size_t)(sp->len - at) :
			PIECE - PIECE % unit;
		r = ml_src_read(f->tsrc, sp->off + at, f->t, n, diag);
		if (!r)
			r = ml_match_run(f->match, f->t, n, type,
				ml_blockbuf_op, &f->out, diag);
	}
	return r;
}

static int span(struct fast *f, const struct ml_span *sp,
	struct ml_diag *diag)
{
	const struct ml_span *from = NULL;
	const char *how = "";
	uint64_t both = 0, at = 0;
	int r = ML_OK;

	if (for_differ(sp) && (f->whole || sp->len < SMALL))
		return small(f, sp, diag);
	if (sp->kind == ML_TENSOR) {
		r = ml_align_find(f->align, sp, f->tsrc, &from, &how, diag);
		if (from) {
			at = from->off;
			both = from->len < sp->len ? from->len : sp->len;
		}
	} else if (sp->off < f->base_size) { /* nothing known: as it lies */
		at = sp->off;
		both = f->base_size - at < sp->len ? f->base_size - at :
			sp->len;
	}
	return r ? r : large(f, sp, at, both, diag);
}

int ml_fast_delta(const struct ml_model *base, struct ml_src *bsrc,
	const struct ml_model *target, struct ml_src *tsrc,
	const struct ml_delta_opt *opt, const struct ml_sink *next,
	struct ml_diag *diag)
{
	struct fast f = { .opt = opt, .next = next, .bsrc = bsrc,
		.tsrc = tsrc };
	size_t i;
	int r;

	f.t = malloc(PIECE);
	f.b = malloc(PIECE);
	f.base_size = base ? base->size : 0;
	f.whole = differ_bytes(base) <= DIFFER &&
		differ_bytes(target) <= DIFFER;
	r = f.t && f.b ? ML_OK :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (!r)
		r = ml_blockbuf_init(&f.out, flush, &f, diag);
	if (!r)
		r = look_at_few(&f, base, diag);
	if (!r)
		r = ml_align_new(&f.align, base, bsrc, diag);
	if (!r)
		r = ml_match_new(&f.match, base && f.whole ? &f.few : NULL,
			bsrc, diag);
	for (i = 0; !r && i < target->nspan; i++) {
		r = next->span(next->ctx, &target->span[i], diag);
		if (!r)
			r = span(&f, &target->span[i], diag);
	}
	if (!r)
		r = ml_blockbuf_flush(&f.out, diag);
	ml_match_free(f.match);
	ml_align_free(f.align);
	ml_blockbuf_free(&f.out);
	free(f.few.span);
	free(f.t);
	free(f.b);
	return r;
}
