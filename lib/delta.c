/* SPDX-License-Identifier: MIT */
/* Residuals of a target against a base: what ml-delta does. Tensors that have
 * a base are copied, or coded as residuals or alone, a piece at a time and by
 * estimated cost; all else goes to the byte differ. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "blockbuf.h"
#include "cast.h"
#include "cost.h"
#include "dup.h"
#include "elem.h"
#include "fast_delta.h"
#include "gap.h"
#include "inplace.h"
#include "match.h"
#include "ops.h"
#include "rows.h"
#include "seen.h"
#include "text.h"
#include "window.h"

#define PIECE ML_BLOCK_OUT /* bytes of a tensor judged together */
#define PACK (1u << 17) /* bytes of a piece by which its rows are judged */
#define PACKED (PACK + ML_ROW_BYTES_MAX)
#define NEAR (ML_WINDOW_BACK / 2) /* bytes back that need no search */
#define MOVE 24 /* bits that a row costs which comes from elsewhere */
#define AGAIN 96 /* bits that a run costs which was in the target before */
#define TRIES 4 /* pieces of a tensor whose rows are looked for in vain */

struct delta {
	const struct ml_sink *next;
	const struct ml_delta_opt *opt;
	struct ml_src *bsrc, *tsrc;
	struct ml_align *align;
	struct ml_match *match;
	struct ml_blockbuf out;
	struct ml_inplace *inplace; /* NULL: base bytes from anywhere */
	struct ml_dup *dup;
	const struct ml_dup_run *run; /* of the bytes in t */
	size_t nrun;
	struct ml_rows *rows;
	int64_t *disp; /* of rows */
	uint8_t *pack; /* rows put together, and their base bytes */
	unsigned tries; /* pieces of the tensor whose rows may be looked for */
	uint8_t *t, *b;
	uint64_t bits, alone, copied; /* of the tensor, for the log */
	uint64_t resid, again;
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

/* n bytes of a tensor at t, without a base. */
static int by_itself(struct delta *d, unsigned type, const uint8_t *t,
	size_t n, struct ml_diag *diag)
{
	d->alone += n;
	d->bits += type ? ml_cost_alone(type, t, n / ml_type_bytes(type)) :
		ml_cost_lit(t, n);
	return ml_match_run(d->match, t, n, type, ml_blockbuf_op, &d->out,
		diag);
}

/* What a piece costs which the base does not help much, else 0. */
static uint64_t is_poor(uint64_t diff, uint64_t alone)
{
	return diff <= alone / 4 * 3 ? 0 : diff < alone ? diff : alone;
}

/* n bytes at t, whose base bytes, from offset at on, are at b. *poor, unless
 * NULL: if the base does not help much, nothing is done but to say what the
 * piece costs. */
static int with_base(struct delta *d, unsigned type, const uint8_t *t,
	const uint8_t *b, uint64_t at, size_t n, int64_t disp,
	uint64_t *poor, struct ml_diag *diag)
{
	size_t unit = ml_type_bytes(type), i, from, to, same = 0, run;
	uint64_t diff, alone;
	int r;

	for (i = 0; i < n; i += unit)
		same += (size_t)ml_elem_equal(t + i, b + i, unit);
	if (same * unit >= n) {
		d->copied += n;
		r = ml_blockbuf_op(&d->out, ML_OP_COPY, 0, n, at, NULL, NULL,
			n, diag);
		return r ? r : ml_match_skip(d->match, t, n, disp, diag);
	}
	diff = ml_cost_diff(type, b, t, n / unit);
	alone = ml_cost_alone(type, t, n / unit);
	if (poor && (*poor = is_poor(diff, alone)))
		return ML_OK;
	d->if_diff += diff;
	d->if_alone += alone;
	if (alone <= diff)
		return by_itself(d, type, t, n, diag);
	d->bits += diff;
	d->resid += n;
	/* Runs of equal elements cost little as residuals already when most
	 * elements are equal. */
	run = unit * (same * unit > n / 4 * 3 ? 1024 : 48);
	for (i = 0; i < n; i = to) {
		from = equal_run(t, b, i, n, unit, run, &to);
		r = ML_OK;
		if (from > i)
			r = ml_diff_emit(type, b + i, t + i,
				(from - i) / unit, at + i, ml_blockbuf_op,
				&d->out, diag);
		if (!r && to > from)
			r = ml_blockbuf_op(&d->out, ML_OP_COPY, 0, to - from,
				at + from, NULL, NULL, to - from, diag);
		if (r)
			return r;
	}
	return ml_match_skip(d->match, t, n, disp, diag);
}

/* The part of a run in n bytes of the target from pos on, in whole units. */
static size_t part_of(const struct ml_dup_run *x, uint64_t pos, size_t n,
	size_t unit, size_t *from)
{
	uint64_t lo = x->at > pos ? x->at - pos : 0;
	uint64_t hi = x->at + x->len - pos;

	hi = hi < n ? hi : n;
	lo = (lo + unit - 1) / unit * unit;
	hi -= hi % unit;
	*from = (size_t)lo;
	return hi > lo ? (size_t)(hi - lo) : 0;
}

/* How many of n bytes from pos on were in the target before. */
static size_t known(const struct delta *d, uint64_t pos, size_t n)
{
	const struct ml_dup_run *x = ml_dup_at(d->run, d->nrun, pos);
	size_t sum = 0, from;

	for (; x && x < d->run + d->nrun && x->at < pos + n; x++)
		sum += part_of(x, pos, n, 1, &from);
	return sum;
}

/* n bytes at t, which begin at pos, from i on: the first run of them that is
 * better taken from the target than with the base bytes at b, which may be
 * NULL, or alone; 0: none. */
static size_t better(const struct delta *d, unsigned type, const uint8_t *t,
	const uint8_t *b, uint64_t pos, size_t i, size_t n, size_t *from,
	uint64_t *dist)
{
	const struct ml_dup_run *x = ml_dup_at(d->run, d->nrun, pos + i);
	const size_t unit = ml_type_bytes(type);
	uint64_t alone, diff;
	size_t k;

	for (; x && x < d->run + d->nrun && x->at < pos + n; x++) {
		k = part_of(x, pos, n, unit, from);
		if (!k || *from < i || (b && !memcmp(t + *from, b + *from, k)))
			continue;
		*dist = x->at - x->from;
		if (!b && *dist <= NEAR) /* the byte differ finds that */
			continue;
		alone = ml_cost_alone(type, t + *from, k / unit);
		diff = b ? ml_cost_diff(type, b + *from, t + *from, k / unit) :
			alone;
		if ((diff < alone ? diff : alone) / 4 * 3 > AGAIN)
			return k;
	}
	*from = n;
	return 0;
}

/* A piece of a tensor, at pos in the target: what was there before, and all
 * else with base bytes at b, or alone where it is NULL. */
static int piece(struct delta *d, unsigned type, const uint8_t *t,
	const uint8_t *b, uint64_t pos, size_t n, int64_t disp,
	uint64_t *poor, struct ml_diag *diag)
{
	uint64_t dist, diff, alone;
	size_t i, from = n, k = 0;
	int r = ML_OK;

	if (d->nrun && type)
		k = better(d, type, t, b, pos, 0, n, &from, &dist);
	if (!k)
		return b ? with_base(d, type, t, b, pos + (uint64_t)disp, n,
			disp, poor, diag) : by_itself(d, type, t, n, diag);
	if (poor) {
		diff = ml_cost_diff(type, b, t, n / ml_type_bytes(type));
		alone = ml_cost_alone(type, t, n / ml_type_bytes(type));
		*poor = is_poor(diff, alone);
		if (*poor)
			return ML_OK;
	}
	for (i = 0; i < n && !r; i = from + k) {
		if (i)
			k = better(d, type, t, b, pos, i, n, &from, &dist);
		if (from > i)
			r = b ? with_base(d, type, t + i, b + i, pos + i +
				(uint64_t)disp, from - i, disp, NULL, diag) :
				by_itself(d, type, t + i, from - i, diag);
		if (r || !k)
			continue;
		r = ml_blockbuf_op(&d->out, ML_OP_SELF, 0, k, dist, NULL,
			NULL, k, diag);
		d->again += k;
		d->bits += AGAIN;
		if (!r && b)
			r = ml_match_skip(d->match, t + from, k, disp, diag);
		else if (!r)
			ml_match_pass(d->match, t + from, k);
	}
	return r;
}

static void told(const struct delta *d, uint64_t done)
{
	if (d->opt && d->opt->progress)
		d->opt->progress(d->opt->arg, done);
}

/* What a piece in d->t costs with the bases d->disp of its rows, by some of
 * them: those that have a base are put together, and their base bytes, and so
 * are the others. */
static int rows_cost(struct delta *d, const struct ml_span *sp, uint64_t at,
	size_t rows, uint64_t *bits, struct ml_diag *diag)
{
	const size_t len = ml_rows_len(sp), step = (rows * len - 1) / PACK + 1;
	const unsigned type = ml_type_of(sp->dtype), unit = ml_type_bytes(type);
	uint8_t *t = d->pack, *b = d->pack + PACKED, *rest = b;
	uint64_t moves = 0;
	size_t i, has = 0, none = 0;
	int r = ML_OK;

	for (i = 1; i < rows; i++)
		moves += d->disp[i] != d->disp[i - 1];
	for (i = 0; i < rows && !r; i += step) {
		if (d->disp[i] == ML_ROWS_NONE) {
			rest -= len;
			memcpy(rest, d->t + i * len, len);
			none++;
			continue;
		}
		memcpy(t + has * len, d->t + i * len, len);
		r = ml_src_read(d->bsrc, sp->off + at + i * len +
			(uint64_t)d->disp[i], b + has * len, len, diag);
		has++;
	}
	if (r)
		return r;
	*bits = 0;
	if (has && memcmp(t, b, has * len))
		*bits += ml_cost_diff(type, b, t, has * len / unit);
	if (none)
		*bits += ml_cost_alone(type, rest, none * len / unit);
	*bits = *bits * rows / (has + none) + moves * MOVE;
	return ML_OK;
}

/* A piece in d->t by rows that lie elsewhere in the base; *done, if that is
 * better than `least` bits. disp: that of the tensor's base, or
 * ML_ROWS_NONE. */
static int by_rows(struct delta *d, const struct ml_span *sp, uint64_t at,
	size_t n, int64_t disp, uint64_t least, int *done,
	struct ml_diag *diag)
{
	const size_t len = ml_rows_len(sp), rows = n / len;
	const unsigned type = ml_type_of(sp->dtype);
	uint64_t from, bits = least;
	size_t moved = 0, i, j, k;
	int r = ml_rows_find(d->rows, sp, sp->off + at, d->t, rows, disp,
		d->disp, diag);

	for (i = 0; i < rows; i++)
		moved += d->disp[i] != ML_ROWS_NONE && d->disp[i] != disp;
	if (!r && moved)
		r = rows_cost(d, sp, at, rows, &bits, diag);
	*done = bits + MOVE < least - least / 16;
	if (r || !*done) {
		d->tries--;
		return r;
	}
	d->tries = TRIES;
	for (i = 0; i < rows && !r; i = j) {
		for (j = i + 1; j < rows && d->disp[j] == d->disp[i]; j++)
			;
		k = (j - i) * len;
		if (d->disp[i] == ML_ROWS_NONE) {
			r = piece(d, type, d->t + i * len, NULL, sp->off + at +
				i * len, k, 0, NULL, diag);
			continue;
		}
		from = sp->off + at + i * len + (uint64_t)d->disp[i];
		r = ml_src_read(d->bsrc, from, d->b, k, diag);
		if (!r)
			r = piece(d, type, d->t + i * len, d->b, sp->off + at +
				i * len, k, d->disp[i], NULL, diag);
	}
	return r;
}

/* A span in pieces: those that the base tensor covers, then the rest. */
static int span(struct delta *d, const struct ml_span *sp,
	const struct ml_span *base, struct ml_diag *diag)
{
	unsigned type = ml_type_of(sp->dtype), unit = ml_type_bytes(type);
	const size_t row = d->rows ? ml_rows_len(sp) : 0;
	uint64_t at, both = base ? base->len : 0, left;
	int64_t disp = base ? (int64_t)(base->off - sp->off) : 0;
	uint64_t poor;
	size_t n;
	int r, done, rows, apart = 0;

	if (both > sp->len)
		both = sp->len;
	both -= both % unit;
	d->tries = row ? TRIES : 0;
	for (at = 0; at < sp->len; at += n) {
		left = (at < both ? both : sp->len) - at;
		n = left < PIECE ? (size_t)left : PIECE - PIECE %
			(row ? row : unit);
		poor = 0;
		r = ml_src_read(d->tsrc, sp->off + at, d->t, n, diag);
		if (!r && !at && ml_seen_apart(type, d->t, sp->len)) {
			ml_blockbuf_apart(&d->out);
			apart = 1;
		}
		if (!r)
			r = ml_dup_find(d->dup, sp->off + at, d->t, n, !at,
				&d->run, &d->nrun, diag);
		ml_match_far(d->match, d->run, type ? 0 : d->nrun);
		rows = d->tries && known(d, sp->off + at, n) < n / 2;
		if (!r && at < both) {
			r = ml_src_read(d->bsrc, base->off + at, d->b, n, diag);
			if (!r)
				r = piece(d, type, d->t, d->b, sp->off + at,
					n, disp, rows ? &poor : NULL, diag);
		} else if (!r && rows) {
			poor = ml_cost_alone(type, d->t, n / unit);
		}
		done = !r && at < both && !poor;
		if (!r && poor && n % row == 0)
			r = by_rows(d, sp, at, n, at < both ? disp :
				ML_ROWS_NONE, poor, &done, diag);
		if (!r && !done)
			r = piece(d, type, d->t, at < both ? d->b : NULL,
				sp->off + at, n, disp, NULL, diag);
		if (r)
			return r;
		told(d, sp->off + at + n);
	}
	if (apart)
		ml_blockbuf_apart(&d->out);
	return ML_OK;
}

/* The same of blocks from weights of another type, where that is better than
 * what the base has of the same type. */
static int crossed(struct delta *d, const struct ml_span *sp,
	const struct ml_crossed *x, const struct ml_span *of,
	const struct ml_span *base, struct ml_diag *diag)
{
	const size_t unit = ml_type_bytes(x->type);
	const size_t need = ml_type_base(x->type);
	const size_t most = PIECE / (need > unit ? need : unit);
	const unsigned type = ml_type_of(sp->dtype);
	uint64_t u, at, from, bits, alone;
	size_t n, k;
	int r = ML_OK;

	for (u = 0; !r && u * unit < sp->len; u += k) {
		at = u * unit;
		from = of->off + u * need;
		k = (sp->len - at) / unit < most ?
			(size_t)((sp->len - at) / unit) : most;
		n = k * unit;
		r = ml_src_read(d->tsrc, sp->off + at, d->t, n, diag);
		if (!r)
			r = ml_dup_find(d->dup, sp->off + at, d->t, n, !at,
				&d->run, &d->nrun, diag);
		if (!r)
			r = ml_src_read(d->bsrc, from, d->b, k * need, diag);
		if (r)
			break;
		bits = ml_cost_diff(x->type, d->b, d->t, k);
		if (base && at + n <= base->len) {
			r = ml_src_read(d->bsrc, base->off + at, d->b, n, diag);
			if (!r && ml_cost_diff(type, d->b, d->t,
				n / ml_type_bytes(type)) < bits) {
				r = piece(d, type, d->t, d->b, sp->off + at, n,
					(int64_t)(base->off - sp->off), NULL,
					diag);
				continue;
			}
			if (!r)
				r = ml_src_read(d->bsrc, from, d->b, k * need,
					diag);
			if (r)
				break;
		}
		alone = ml_cost_alone(type, d->t, n / ml_type_bytes(type));
		d->if_diff += bits;
		d->if_alone += alone;
		if (alone <= bits) {
			r = by_itself(d, type, d->t, n, diag);
			continue;
		}
		d->bits += bits;
		d->resid += n;
		r = ml_blockbuf_op(&d->out, ML_OP_DIFF, x->type, k, from, d->t,
			d->b, n, diag);
		if (!r)
			r = ml_match_skip(d->match, d->t, n, 0, diag);
		told(d, sp->off + at + n);
	}
	return r;
}

/* The way that one goes, if any. */
static const struct ml_crossed *crossed_at(const struct delta *d,
	const struct ml_span *sp)
{
	size_t lo = 0, hi = d->opt ? d->opt->ncrossed : 0, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (d->opt->crossed[mid].target == sp->off &&
			sp->kind == ML_TENSOR)
			return &d->opt->crossed[mid];
		if (d->opt->crossed[mid].target < sp->off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void logged(const struct delta *d, const struct ml_span *sp,
	const struct ml_span *base, const char *how)
{
	char name[128], from[128], type[ML_TYPE_TEXT], other[96] = "";
	size_t k = 0;
	char cast[ML_CAST_TEXT] = "";

	if (!d->opt || !d->opt->log || sp->kind != ML_TENSOR)
		return;
	if (base && d->opt->own && base->off >= d->opt->own)
		ml_casts_text(cast, sizeof cast, &d->opt->casts,
			ml_cast_at(&d->opt->casts, base->off - d->opt->own),
			d->opt->own);
	if (d->if_diff) /* there was a choice */
		k = (size_t)snprintf(other, sizeof other,
			", residual %llu, alone %llu",
			(unsigned long long)(d->if_diff / 8),
			(unsigned long long)(d->if_alone / 8));
	if (d->again)
		snprintf(other + k, sizeof other - k, ", again %llu",
			(unsigned long long)d->again);
	fprintf(d->opt->log, "%s\t%llu bytes\tcopy %llu\tresidual %llu\t"
		"alone %llu\testimate %llu%s\t%s\t%s%s%s%s%s\n",
		ml_escape(name, sizeof name, sp->name, sp->name_len),
		(unsigned long long)sp->len, (unsigned long long)d->copied,
		(unsigned long long)d->resid, (unsigned long long)d->alone,
		(unsigned long long)(d->bits / 8), other,
		ml_type_text(type, sp), base ? how : "no base",
		*cast ? ", " : "", cast, base ? " " : "", base ? ml_escape(from, sizeof from,
			base->name, base->name_len) : "");
}

int ml_delta(const struct ml_model *base, struct ml_src *bsrc,
	const struct ml_model *target, struct ml_src *tsrc,
	const struct ml_delta_opt *opt, const struct ml_sink *next,
	struct ml_diag *diag)
{
	struct delta d;
	char type[ML_TYPE_TEXT], other[ML_TYPE_TEXT + 8];
	const struct ml_crossed *x;
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
	if (!r)
		r = ml_dup_new(&d.dup, tsrc, target->size, opt && opt->quick,
			diag);
	d.disp = malloc(PIECE / 32 * sizeof *d.disp);
	d.pack = malloc(2 * PACKED);
	if (!r && (!d.disp || !d.pack))
		r = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	/* in place rows from elsewhere are mostly gone */
	if (!r && base && !(opt && opt->page))
		r = ml_rows_new(&d.rows, base, bsrc, diag);
	if (!r && opt && opt->page) {
		ml_match_page(d.match, opt->page, opt->lead);
		r = ml_inplace_new(&d.inplace, opt->page, opt->lead, target,
			tsrc, next, diag);
	}
	for (i = 0; !r && i < target->nspan; i++) {
		sp = &target->span[i];
		d.bits = d.alone = d.copied = d.resid = d.again = 0;
		d.if_diff = d.if_alone = 0;
		x = crossed_at(&d, sp);
		r = ml_align_find(d.align, sp, tsrc, &from, &how, diag);
		if (!r)
			r = next->span(next->ctx, sp, diag);
		if (!r)
			r = x ? crossed(&d, sp, x, &base->span[x->span], from,
				diag) :
				span(&d, sp, from, diag);
		if (x) {
			from = &base->span[x->span];
			snprintf(other, sizeof other, "from %s",
				ml_type_text(type, from));
			how = other;
		}
		if (!r)
			logged(&d, sp, from, how);
	}
	if (!r)
		r = ml_blockbuf_flush(&d.out, diag);
	if (!r && d.inplace)
		r = ml_inplace_end(d.inplace, diag);
	ml_inplace_free(d.inplace);
	ml_match_free(d.match);
	ml_dup_free(d.dup);
	ml_rows_free(d.rows);
	free(d.disp);
	free(d.pack);
	ml_align_free(d.align);
	ml_blockbuf_free(&d.out);
	free(d.t);
	free(d.b);
	return r;
}
