/* SPDX-License-Identifier: MIT */
/* Tensors of the base as another element type: those that a tensor of the
 * target is a cast of, by name or else by number of elements. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "cost.h"
#include "nano_cast.h"
#include "ops.h"
#include "plan.h"
#include "seen.h"

#define TRIES 64 /* tensors of as many elements looked at */

/* Tensors of the base that can be cast. */
struct castable {
	const struct ml_span **by_name, **by_count;
	size_t n;
};

uint64_t ml_plan_count(const struct ml_span *sp, int to)
{
	const unsigned t = ml_cast_type(sp->dtype, to);

	if (sp->kind != ML_TENSOR || t == ML_CAST_NONE ||
		sp->len % ml_cast_bytes(t))
		return 0;
	return sp->len / ml_cast_bytes(t) * ml_cast_elems(t);
}

static int by_count(const void *pa, const void *pb)
{
	const struct ml_span *a = *(const struct ml_span *const *)pa;
	const struct ml_span *b = *(const struct ml_span *const *)pb;
	const uint64_t x = ml_plan_count(a, 0), y = ml_plan_count(b, 0);

	if (x != y)
		return x < y ? -1 : 1;
	return (a->off > b->off) - (a->off < b->off);
}

int ml_plan_fits(struct ml_cast *c, const struct ml_span *t,
	const struct ml_span *b, uint32_t *scale)
{
	const struct ml_quant *q = t->quant, *o = b->quant;
	uint32_t i, was, same = 0;

	memset(c, 0, sizeof(*c));
	c->from = (uint8_t)ml_cast_type(b->dtype, 0);
	c->to = (uint8_t)ml_cast_type(t->dtype, 1);
	if (ml_plan_count(b, 0) != ml_plan_count(t, 1))
		return 0;
	/* codes of the same type only where the scales have moved */
	if (c->from == c->to && (c->to != ML_C_I8 || !o || !q || o->zero[0] ||
		(o->n != 1 && (o->n != q->n || o->axis != q->axis))))
		return 0;
	if (c->from == ML_C_I8 && c->to != ML_C_I8)
		return 0;
	c->at = b->off;
	c->units = t->len / ml_cast_bytes(c->to);
	if (c->to != ML_C_I8 && c->to != ML_C_U8)
		return 1;
	if (!q || q->zero[0] < -65536 || q->zero[0] > 65536)
		return 0;
	c->inner = 1;
	for (i = 0; q->axis >= 0 && i < t->rank; i++)
		if (i > (uint32_t)q->axis && t->shape[i])
			c->inner *= t->shape[i];
	if (c->inner == 0 || c->inner > t->len)
		return 0;
	for (i = 0; i < q->n; i++) {
		if (q->zero[i] != q->zero[0])
			return 0;
		memcpy(&scale[i], &q->scale[i], sizeof(*scale));
		if (c->from != ML_C_I8)
			continue;
		memcpy(&was, &o->scale[o->n == 1 ? 0 : i], sizeof(was));
		scale[i] = ml_cast_divide(scale[i], was);
		same += scale[i] == 0x3f800000;
	}
	if (same == q->n)
		return 0;
	c->zero = (int32_t)q->zero[0];
	c->nscale = q->n;
	c->scale = scale;
	return 1;
}

/* Estimated bits of the sample of t, whose units begin at `first`, by a cast. */
static int judge(struct ml_plan *p, const struct ml_cast *c, uint64_t first,
	size_t n, unsigned type, uint64_t *bits, struct ml_diag *diag)
{
	const uint64_t each = ml_cast_from_len(c) / c->units;
	const size_t bytes = n * ml_cast_bytes(c->to);
	int err = ml_src_read(p->bsrc, c->at + first * each, p->from,
		(size_t)(n * each), diag);

	if (err)
		return err;
	ml_cast_make(c, first, n, p->from, p->to);
	*bits = memcmp(p->to, p->want, bytes) ? ml_cost_diff(type, p->to,
		p->want, bytes / ml_type_bytes(type)) : 0;
	return ML_OK;
}

/* The best cast for one tensor of the target. */
static int choose(struct ml_plan *p, const struct castable *a,
	const struct ml_span *t, const struct ml_span *own,
	struct ml_diag *diag)
{
	uint32_t *scale = p->scale, *best_scale = p->scale + ML_QUANT_MAX;
	const unsigned to = ml_cast_type(t->dtype, 1);
	const unsigned type = ml_type_of(t->dtype);
	const uint64_t units = t->len / ml_cast_bytes(to);
	const size_t most = ML_PLAN_SAMPLE / ml_cast_bytes(to);
	const size_t n = units < most ? (size_t)units : most;
	const uint64_t first = (units - n) / 2;
	const size_t bytes = n * ml_cast_bytes(to);
	uint64_t bits, least, least_before, alone, gain, cost;
	struct ml_cast c, best = {0};
	size_t lo, hi, mid, i, pass;
	int err, found = 0;

	err = ml_src_read(p->tsrc, t->off + first * ml_cast_bytes(to),
		p->want, bytes, diag);
	if (err)
		return err;
	alone = ml_cost_alone(type, p->want, bytes / ml_type_bytes(type));
	least = alone - alone / 4; /* what a cast must be better than */
	if (own) { /* or clearly than the tensor as it is */
		err = ml_src_read(p->bsrc, own->off + first *
			ml_cast_bytes(to), p->to, bytes, diag);
		if (err)
			return err;
		bits = memcmp(p->to, p->want, bytes) ? ml_cost_diff(type,
			p->to, p->want, bytes / ml_type_bytes(type)) : 0;
		if (bits - bits / 8 < least)
			least = bits - bits / 8;
	}
	least_before = least;
	for (pass = 0; pass < 2 && !found; pass++) {
		const struct ml_span **list = pass ? a->by_count :
			a->by_name;

		for (lo = 0, hi = a->n; lo < hi;) {
			mid = lo + (hi - lo) / 2;
			if (pass ? ml_plan_count(list[mid], 0) < ml_plan_count(t, 1) :
				ml_own_name_cmp(list[mid], t) < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (i = lo; i < a->n && i - lo < TRIES; i++) {
			if (pass ? ml_plan_count(list[i], 0) != ml_plan_count(t, 1) :
				ml_own_name_cmp(list[i], t) != 0)
				break;
			/* another name may well have the very codes */
			if (!ml_plan_fits(&c, t, list[i], scale) ||
				(p->nano && !ml_nano_cast_able(&c)) ||
				(pass && c.from == c.to))
				continue;
			err = judge(p, &c, first, n, type, &bits, diag);
			if (err)
				return err;
			if (bits >= least)
				continue;
			least = bits;
			best = c;
			found = 1;
			if (c.nscale) {
				memcpy(best_scale, scale,
					c.nscale * sizeof(*scale));
				best.scale = best_scale;
			}
		}
	}
	if (!found)
		return ML_OK;
	/* what it saves on all of the tensor, less what it costs to say */
	gain = ml_plan_scaled(least_before - least, bytes, t);
	cost = ML_PLAN_SAYING + 32 * (uint64_t)best.nscale;
	if (gain <= cost)
		return ML_OK;
	p->gain += gain - cost;
	return ml_plan_take(p, t, &best, diag);
}

static void end(void *ctx)
{
	struct castable *a = ctx;

	free(a->by_name);
	free(a->by_count);
	free(a);
}

static int begin(struct ml_plan *p, void **ctx, struct ml_diag *diag)
{
	struct castable *a = calloc(1, sizeof(*a));
	size_t i;

	*ctx = a;
	if (a) {
		a->by_name = malloc((p->n + 1) * sizeof(*a->by_name));
		a->by_count = malloc((p->n + 1) * sizeof(*a->by_count));
	}
	if (!a || !a->by_name || !a->by_count)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; i < p->n; i++)
		if (ml_plan_count(p->by_name[i], 0)) {
			a->by_name[a->n] = p->by_name[i];
			a->by_count[a->n++] = p->by_name[i];
		}
	qsort(a->by_count, a->n, sizeof(*a->by_count), by_count);
	return ML_OK;
}

static int find(struct ml_plan *p, void *ctx, size_t i,
	const struct ml_span *own, struct ml_diag *diag)
{
	const struct ml_span *t = &p->target->span[i];

	/* codes that the base has may still be on another scale */
	if (!ml_plan_count(t, 1) ||
		(own && ml_cast_type(t->dtype, 1) != ML_C_I8))
		return ML_OK;
	return choose(p, ctx, t, own, diag);
}

const struct ml_planner ml_plan_cast = {"cast", 1, 0, begin, end, find};
