/* SPDX-License-Identifier: MIT */
/* Keeps the rule of patches that may replace their base in place: base bytes
 * that a page of the target has already taken the place of are not used.
 * Whatever found the operations may know the rule or not; here is the last
 * word. What is lost is coded as elements of its tensor, or as bytes. */
#include <stdlib.h>
#include <string.h>

#include "blockbuf.h"
#include "gap.h"
#include "inplace.h"
#include "ops.h"

#define PIECE 65536 /* bytes read of the target at a time */

struct ml_inplace {
	unsigned page;
	uint64_t lead; /* in bytes */
	const struct ml_model *target;
	struct ml_src *tsrc;
	struct ml_sink next;
	struct ml_blockbuf buf;
	struct ml_gap gap;
	size_t span; /* that tpos lies in */
	uint64_t tpos;
	uint8_t bytes[PIECE];
};

static int hand_on(void *arg, const struct ml_block *b, struct ml_diag *diag)
{
	struct ml_inplace *ip = arg;

	return ip->next.block(ip->next.ctx, b, diag);
}

int ml_inplace_new(struct ml_inplace **out, unsigned page, unsigned lead,
	const struct ml_model *target, struct ml_src *tsrc,
	const struct ml_sink *next, struct ml_diag *diag)
{
	struct ml_inplace *ip = calloc(1, sizeof *ip);
	int r;

	*out = NULL;
	if (!ip)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	ip->page = page;
	ip->lead = (uint64_t)lead << page;
	ip->target = target;
	ip->tsrc = tsrc;
	ip->next = *next;
	r = ml_blockbuf_init(&ip->buf, hand_on, ip, diag);
	if (r) {
		free(ip);
		return r;
	}
	*out = ip;
	return ML_OK;
}

void ml_inplace_free(struct ml_inplace *ip)
{
	if (!ip)
		return;
	ml_blockbuf_free(&ip->buf);
	free(ip);
}

/* The element type of the tensor at tpos, if an element begins there. */
static unsigned type_here(struct ml_inplace *ip)
{
	const struct ml_model *m = ip->target;
	const struct ml_span *sp;
	unsigned type;

	while (ip->span < m->nspan && ip->tpos >= m->span[ip->span].off +
		m->span[ip->span].len)
		ip->span++;
	if (ip->span == m->nspan)
		return 0;
	sp = &m->span[ip->span];
	type = ml_type_of(sp->dtype);
	return (ip->tpos - sp->off) % ml_type_bytes(type) ? 0 : type;
}

/* n bytes of the target without the base: whole elements of a DIFF's type, or
 * as the tensor's elements or bytes. */
static int alone(struct ml_inplace *ip, const struct ml_op_view *v, uint64_t n,
	struct ml_diag *diag)
{
	const unsigned unit = v->op == ML_OP_DIFF ? ml_type_bytes(v->type) : 1;
	size_t k;
	int r;

	for (; n; n -= k, ip->tpos += k) {
		k = n < PIECE ? (size_t)n : PIECE - PIECE % unit;
		r = ml_src_read(ip->tsrc, ip->tpos, ip->bytes, k, diag);
		if (!r && v->op == ML_OP_DIFF)
			r = ml_blockbuf_op(&ip->buf, ML_OP_ALONE, v->type,
				k / unit, 0, ip->bytes, NULL, k, diag);
		else if (!r) {
			ip->gap.type = type_here(ip);
			r = ml_gap_code(&ip->gap, ip->tpos, ip->bytes, k,
				ml_blockbuf_op, &ip->buf, diag);
		}
		if (r)
			return r;
	}
	return ML_OK;
}

/* Bytes of whole units that come before the base may be used again, from where
 * it lies at off. */
static uint64_t forbidden(const struct ml_inplace *ip, uint64_t off,
	unsigned unit, uint64_t left)
{
	const uint64_t size = (uint64_t)1 << ip->page;
	const uint64_t from = ip->tpos & ~(size - 1);
	uint64_t n = from + size - ip->tpos;

	if (off >= from) /* a unit across the end of the page */
		n = unit;
	else if (from - off < n)
		n = from - off;
	n = (n + unit - 1) / unit * unit;
	return n < left ? n : left;
}

/* A COPY or DIFF, with the base bytes of the latter. */
static int from_base(struct ml_inplace *ip, const struct ml_op_view *v,
	const uint8_t *base, struct ml_diag *diag)
{
	const unsigned unit = v->op == ML_OP_DIFF ? ml_type_bytes(v->type) : 1;
	uint64_t at, n, left, from;
	int r;

	for (at = 0; at < v->bytes; at += n) {
		left = v->bytes - at;
		from = v->arg + ip->lead + at;
		n = ml_page_room(ip->page, ip->tpos, from, left);
		n -= n % unit;
		if (!n) {
			n = forbidden(ip, from, unit, left);
			r = alone(ip, v, n, diag);
		} else {
			r = ml_blockbuf_op(&ip->buf, v->op, v->type, n / unit,
				v->arg + at, v->data ? v->data + at : NULL,
				base ? base + at : NULL, (size_t)n, diag);
			ip->tpos += n;
		}
		if (r)
			return r;
	}
	return ML_OK;
}

int ml_inplace_block(struct ml_inplace *ip, const struct ml_block *b,
	struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n, *base = b->base;
	struct ml_op_view v;
	int r = ML_OK;

	while (!r && p < end) {
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			break;
		if (v.op == ML_OP_COPY) {
			r = from_base(ip, &v, NULL, diag);
		} else if (v.op == ML_OP_DIFF) {
			r = from_base(ip, &v, base, diag);
			base += v.bytes;
		} else {
			r = ml_blockbuf_op(&ip->buf, v.op, v.type, v.n, v.arg,
				v.data, NULL, (size_t)v.bytes, diag);
			ip->tpos += v.bytes;
		}
	}
	return r;
}

int ml_inplace_end(struct ml_inplace *ip, struct ml_diag *diag)
{
	return ml_blockbuf_flush(&ip->buf, diag);
}

/* ----- how far the base should be moved up ------------------------------ */

struct look {
	unsigned page;
	uint64_t tpos, need; /* bytes */
};

static int no_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	(void)ctx;
	(void)sp;
	(void)diag;
	return ML_OK;
}

static int look(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n;
	struct look *l = ctx;
	struct ml_op_view v;
	uint64_t from;
	int r;

	for (; p < end; l->tpos += v.bytes) {
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			return r;
		if (v.op != ML_OP_COPY && v.op != ML_OP_DIFF)
			continue;
		/* where the first byte of the last page is made */
		from = (l->tpos + v.bytes - 1) >> l->page << l->page;
		if (from < l->tpos)
			from = l->tpos >> l->page << l->page;
		else
			v.arg += from - l->tpos;
		if (from > v.arg && from - v.arg > l->need)
			l->need = from - v.arg;
	}
	return ML_OK;
}

int ml_delta_lead(const struct ml_model *base, struct ml_src *bsrc,
	const struct ml_model *target, struct ml_src *tsrc, unsigned page,
	unsigned *lead, struct ml_diag *diag)
{
	const uint64_t round = ((uint64_t)1 << page) - 1;
	const uint64_t most = 1 + (target->size <= base->size ? 0 :
		(target->size - base->size + round) >> page);
	struct look l = { page, 0, 0 };
	const struct ml_sink sink = { &l, no_span, look };
	int r = ml_delta(base, bsrc, target, tsrc, NULL, &sink, diag);

	l.need = (l.need + round) >> page;
	if (l.need > most)
		l.need = most;
	*lead = l.need > UINT8_MAX ? UINT8_MAX : (unsigned)l.need;
	return r;
}
