/* SPDX-License-Identifier: MIT */
/* Residuals of a target against a base: what ml-delta does. Tensors that have
 * a base are copied, or coded as residuals or alone, a piece at a time and by
 * estimated cost; all else goes to the byte differ. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "blockbuf.h"
#include "cost.h"
#include "elem.h"
#include "fast_delta.h"
#include "gap.h"
#include "inplace.h"
#include "match.h"
#include "ops.h"
#include "text.h"

#define PIECE ML_BLOCK_OUT /* bytes of a tensor judged together */

struct delta {
	const struct ml_sink *next;
	const struct ml_delta_opt *opt;
	struct ml_src *bsrc, *tsrc;
	struct ml_align *align;
	struct ml_match *match;
	struct ml_blockbuf out;
	struct ml_inplace *inplace; /* NULL: base bytes from anywhere */
	uint8_t *t, *b;
	uint64_t bits, alone, copied; /* of the tensor, for the log */
	uint64_t resid;
	uint64_t if_diff, if_alone; /* estimates: all coded one way, bits */
};

static int flush(void *arg, const struct ml_block *b, struct ml_diag *diag)
{
	struct delta *d = arg;

	return d->inplace ? ml_inplace_block(d->inplace, b, diag) :
		d->next->block(d->next->ctx, b, diag);
}

/* Where from `at` the first run of at least `run` equal units begins. */
static size_t equal_run(const uint8_t *a, const uint8_t *b, size_t at,
	size_t n, size_t unit, size_t run, size_t *end)
{
	size_t i = at, j;

	while (i < n) {
		for (j = i; j < n && ml_elem_equal(a + j, b + j, unit);
			j += unit)
			;
		if (j - i >= run) {
			*end = j;
			return i;
		}
		i = j + unit;
	}
	*end = n;
	return n;
}

/* One piece of a tensor whose base bytes were read to d->b. */
static int piece(struct delta *d, unsigned type, uint64_t at, size_t n,
	int64_t disp, struct ml_diag *diag)
{
	size_t unit = ml_type_bytes(type), i, from, to, same = 0, run;
	uint64_t diff, alone;
	int r;

	for (i = 0; i < n; i += unit)
		same += (size_t)ml_elem_equal(d->t + i, d->b + i, unit);
	if (same * unit >= n) {
		d->copied += n;
		r = ml_blockbuf_op(&d->out, ML_OP_COPY, 0, n, at, NULL, NULL,
			n, diag);
		return r ? r : ml_match_skip(d->match, d->t, n, disp, diag);
	}
	diff = ml_cost_diff(type, d->b, d->t, n / unit);
	alone = ml_cost_alone(type, d->t, n / unit);
	d->if_diff += diff;
	d->if_alone += alone;
	if (alone <= diff) {
		d->alone += n;
		d->bits += alone;
		return ml_match_run(d->match, d->t, n, type, ml_blockbuf_op,
			&d->out, diag);
	}
	d->bits += diff;
	d->resid += n;
	/* Runs of equal elements cost little as residuals already when most
	 * elements are equal. */
	run = unit * (same * unit > n / 4 * 3 ? 1024 : 48);
	for (i = 0; i < n; i = to) {
		from = equal_run(d->t, d->b, i, n, unit, run, &to);
		r = ML_OK;
		if (from > i)
			r = ml_diff_emit(type, d->b + i, d->t + i,
				(from - i) / unit, at + i, ml_blockbuf_op,
				&d->out, diag);
		if (!r && to > from)
			r = ml_blockbuf_op(&d->out, ML_OP_COPY, 0, to - from,
				at + from, NULL, NULL, to - from, diag);
		if (r)
			return r;
	}
	return ml_match_skip(d->match, d->t, n, disp, diag);
}

static void told(const struct delta *d, uint64_t done)
{
	if (d->opt && d->opt->progress)
		d->opt->progress(d->opt->arg, done);
}

/* A span in pieces: those that the base tensor covers, then the rest. */
static int span(struct delta *d, const struct ml_span *sp,
	const struct ml_span *base, struct ml_diag *diag)
{
	unsigned type = ml_type_of(sp->dtype), unit = ml_type_bytes(type);
	uint64_t at, both = base ? base->len : 0, left;
	int64_t disp = base ? (int64_t)(base->off - sp->off) : 0;
	size_t n;
	int r;

	if (both > sp->len)
		both = sp->len;
	both -= both % unit;
	for (at = 0; at < sp->len; at += n) {
		left = (at < both ? both : sp->len) - at;
		n = left < PIECE ? (size_t)left : PIECE - PIECE % unit;
		r = ml_src_read(d->tsrc, sp->off + at, d->t, n, diag);
		if (!r && at < both) {
			r = ml_src_read(d->bsrc, base->off + at, d->b, n, diag);
			if (!r)
				r = piece(d, type, base->off + at, n, disp,
					diag);
		} else if (!r) {
			d->alone += n;
			d->bits += type ?
				ml_cost_alone(type, d->t, n / unit) :
				ml_cost_lit(d->t, n);
			r = ml_match_run(d->match, d->t, n, type,
				ml_blockbuf_op, &d->out, diag);
		}
		if (r)
			return r;
		told(d, sp->off + at + n);
	}
	return ML_OK;
}

static void logged(const struct delta *d, const struct ml_span *sp,
	const struct ml_span *base, const char *how)
{
	char name[128], from[128], type[ML_TYPE_TEXT], other[64] = "";

	if (!d->opt || !d->opt->log || sp->kind != ML_TENSOR)
		return;
	if (d->if_diff) /* there was a choice */
		snprintf(other, sizeof other, ", residual %llu, alone %llu",
			(unsigned long long)(d->if_diff / 8),
			(unsigned long long)(d->if_alone / 8));
	fprintf(d->opt->log, "%s\t%llu bytes\tcopy %llu\tresidual %llu\t"
		"alone %llu\testimate %llu%s\t%s\t%s%s%s%s\n",
		ml_escape(name, sizeof name, sp->name, sp->name_len),
		(unsigned long long)sp->len, (unsigned long long)d->copied,
		(unsigned long long)d->resid, (unsigned long long)d->alone,
		(unsigned long long)(d->bits / 8), other,
		ml_type_text(type, sp), base ? how : "no base",
		base && d->opt->own && base->off >= d->opt->own ? ", cast" :
		"", base ? " " : "", base ? ml_escape(from, sizeof from,
			base->name, base->name_len) : "");
}

int ml_delta(const struct ml_model *base, struct ml_src *bsrc,
	const struct ml_model *target, struct ml_src *tsrc,
	const struct ml_delta_opt *opt, const struct ml_sink *next,
	struct ml_diag *diag)
{
	struct delta d;
	const struct ml_span *sp, *from;
	const char *how;
	size_t i;
	int r;

	if (opt && opt->pair)
		return ml_fast_delta(base, bsrc, target, tsrc, opt, next, diag);
	memset(&d, 0, sizeof d);
	d.next = next;
	d.opt = opt;
	d.bsrc = bsrc;
	d.tsrc = tsrc;
	d.t = malloc(PIECE);
	d.b = malloc(PIECE);
	r = d.t && d.b ? ML_OK :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (!r)
		r = ml_blockbuf_init(&d.out, flush, &d, diag);
	if (!r)
		r = ml_align_new(&d.align, base, bsrc, diag);
	if (!r)
		r = ml_match_new(&d.match, base, bsrc, diag);
	if (!r && opt && opt->page) {
		ml_match_page(d.match, opt->page, opt->lead);
		r = ml_inplace_new(&d.inplace, opt->page, opt->lead, target,
			tsrc, next, diag);
	}
	for (i = 0; !r && i < target->nspan; i++) {
		sp = &target->span[i];
		d.bits = d.alone = d.copied = d.resid = 0;
		d.if_diff = d.if_alone = 0;
		r = ml_align_find(d.align, sp, tsrc, &from, &how, diag);
		if (!r)
			r = next->span(next->ctx, sp, diag);
		if (!r)
			r = span(&d, sp, from, diag);
		if (!r)
			logged(&d, sp, from, how);
	}
	if (!r)
		r = ml_blockbuf_flush(&d.out, diag);
	if (!r && d.inplace)
		r = ml_inplace_end(d.inplace, diag);
	ml_inplace_free(d.inplace);
	ml_match_free(d.match);
	ml_align_free(d.align);
	ml_blockbuf_free(&d.out);
	free(d.t);
	free(d.b);
	return r;
}
