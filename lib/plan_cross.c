/* SPDX-License-Identifier: MIT */
/* Blocks of GGML's types from weights of another type, floats or other blocks:
 * no cast, but an operation of its own that predicts every number of a block
 * from the weights. By name, or else by number of weights. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "cost.h"
#include "mlcast.h"
#include "ops.h"
#include "plan.h"
#include "seen.h"

#define TRIES 256 /* tensors of as many weights looked at */
#define LOOK 2 /* units by which most of them are passed over */

/* Tensors of the base that blocks can be made from. */
struct sources {
	const struct ml_span **by_name, **by_count;
	size_t n;
	struct ml_cross cross;
};

/* What a dtype is as a source, ML_X_NFROM for none. */
static unsigned from_of(unsigned dtype)
{
	const unsigned type = ml_type_of(dtype);

	if (dtype == ML_DT_C64)
		return ML_X_NFROM;
	return type == 7 ? ML_CAST_F32 : type == 5 ? ML_CAST_F16 :
		type == 6 ? ML_CAST_BF16 : ml_type_block(type) ?
		ML_X_FORM + type - ML_TYPE_BLOCK : ML_X_NFROM;
}

/* Weights of a tensor of such a type; 0 where they are not whole. */
static uint64_t weights(const struct ml_span *sp)
{
	const unsigned from = from_of(sp->dtype);
	unsigned n, bytes;

	if (from == ML_X_NFROM || sp->kind != ML_TENSOR)
		return 0;
	n = from < ML_X_FORM ? 1 :
		ml_b_weights((enum ml_bform)(from - ML_X_FORM));
	bytes = ml_x_from_bytes(from, n);
	return sp->len % bytes ? 0 : sp->len / bytes * n;
}

static int by_count(const void *pa, const void *pb)
{
	const struct ml_span *a = *(const struct ml_span *const *)pa;
	const struct ml_span *b = *(const struct ml_span *const *)pb;
	const uint64_t x = weights(a), y = weights(b);

	if (x != y)
		return x < y ? -1 : 1;
	return (a->off > b->off) - (a->off < b->off);
}

unsigned ml_plan_crossed(const struct ml_span *t, const struct ml_span *b)
{
	const unsigned to = ml_type_of(t->dtype), from = from_of(b->dtype);
	unsigned type;

	if (!ml_type_block(to) || from == ML_X_NFROM ||
		weights(t) != weights(b))
		return 0;
	type = ML_TYPE_CROSSED | (to - ML_TYPE_BLOCK) << 4 | from;
	return ml_cross_known(type) && t->len % ml_type_bytes(type) == 0 ?
		type : 0;
}

/* Units of b in p->from, and those of t in p->want, from `first` on. */
static int load(struct ml_plan *p, const struct ml_span *t,
	const struct ml_span *b, unsigned type, uint64_t first, size_t n,
	struct ml_diag *diag)
{
	const unsigned unit = ml_type_bytes(type), need = ml_type_base(type);
	int err = ml_src_read(p->tsrc, t->off + first * unit, p->want,
		n * unit, diag);

	return err ? err : ml_src_read(p->bsrc, b->off + first * need, p->from,
		n * need, diag);
}

/* How many of the codes in a few units are as expected, in 1/256. */
static int hits(struct ml_plan *p, struct sources *s, const struct ml_span *t,
	const struct ml_span *b, unsigned type, unsigned *share,
	struct ml_diag *diag)
{
	const enum ml_bform form = ML_CROSS_FORM(type);
	const unsigned from = ML_CROSS_FROM(type), w = ml_b_bytes(form);
	const unsigned n = ml_x_weights(form, from), need = ml_type_base(type);
	const uint64_t units = t->len / ml_type_bytes(type);
	const size_t look = units < LOOK ? (size_t)units : LOOK;
	uint8_t bytes[256], *q = p->want;
	unsigned i, j, pred, low, row, hit = 0, all = 0;
	enum ml_b_what what;
	struct ml_qblock k;
	size_t u;
	int err = load(p, t, b, type, (units - look) / 2, look, diag);

	for (u = 0; !err && u < look; u++) {
		memcpy(s->cross.raw, p->from + u * need, need);
		ml_x_load(&s->cross, from, n);
		for (i = 0; i < n; i += ml_b_weights(form), q += w) {
			memcpy(bytes, q, w);
			ml_qblock_begin(&k, form, 0, 0);
			ml_qblock_cross(&k, &s->cross, i);
			ml_qblock_bits(form, &k.t, bytes, 0);
			for (; k.step < k.steps; ml_qblock_next(&k, what, 0)) {
				what = ml_qblock_what(&k, &j);
				if (what != ML_B_Q)
					continue;
				ml_qblock_expect(&k, what, j, &pred, &low,
					&row);
				hit += pred == k.t.q[j];
				all++;
			}
		}
	}
	*share = all ? hit * 256 / all : 0;
	return err;
}

/* The best source of t by that, of those in a list that cmp finds equal. */
static int pick(struct ml_plan *p, struct sources *s, const struct ml_span *t,
	int named, const struct ml_span **best, struct ml_diag *diag)
{
	const struct ml_span **list = named ? s->by_name : s->by_count, *b;
	size_t lo = 0, hi = s->n, mid, i;
	unsigned type, share, most = 0;
	int err;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (named ? ml_own_name_cmp(list[mid], t) < 0 :
			weights(list[mid]) < weights(t))
			lo = mid + 1;
		else
			hi = mid;
	}
	for (i = lo; i < s->n && i - lo < TRIES && most < 250; i++) {
		b = list[i];
		if (named ? ml_own_name_cmp(b, t) != 0 :
			weights(b) != weights(t))
			break;
		type = ml_plan_crossed(t, b);
		if (!type)
			continue;
		err = hits(p, s, t, b, type, &share, diag);
		if (err)
			return err;
		if (share > most) {
			most = share;
			*best = b;
		}
	}
	return ML_OK;
}

int ml_plan_cross_add(struct ml_plan *plan, const struct ml_span *t,
	unsigned type, size_t span, struct ml_diag *diag)
{
	const struct ml_crossed x = {t->off, type, span};
	struct ml_cast_base *o = plan->out;
	struct ml_crossed *p = o->crossed;

	if ((o->ncrossed & (o->ncrossed - 1)) == 0) { /* full */
		p = realloc(p, (o->ncrossed ? o->ncrossed * 2 : 1) *
			sizeof(*p));
		if (!p)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		o->crossed = p;
	}
	p[o->ncrossed++] = x;
	return ML_OK;
}

static int find(struct ml_plan *p, void *ctx, size_t i,
	const struct ml_span *own, struct ml_diag *diag)
{
	const struct ml_span *t = &p->target->span[i], *b = NULL;
	struct sources *s = ctx;
	unsigned pass, type, unit;
	uint64_t units, first, least, bits;
	size_t n;
	int err = ML_OK;

	if (!ml_type_block(ml_type_of(t->dtype)))
		return ML_OK;
	for (pass = 0; !err && !b && pass < 2; pass++)
		err = pick(p, s, t, !pass, &b, diag);
	if (err || !b)
		return err;
	type = ml_plan_crossed(t, b);
	unit = ml_type_bytes(type);
	units = t->len / unit;
	n = ML_PLAN_SAMPLE / unit;
	if (n > sizeof(p->from) / ml_type_base(type))
		n = sizeof(p->from) / ml_type_base(type);
	if (n > units)
		n = (size_t)units;
	first = (units - n) / 2;
	err = load(p, t, b, type, first, n, diag);
	if (err)
		return err;
	bits = ml_cost_diff(type, p->from, p->want, n);
	least = ml_cost_alone(ml_type_of(t->dtype), p->want,
		n * unit / ml_type_bytes(ml_type_of(t->dtype)));
	least -= least / 4; /* what it must be better than */
	if (own) { /* or clearly than the tensor as it is */
		uint64_t as_is;

		err = ml_src_read(p->bsrc, own->off + first * unit, p->to,
			n * unit, diag);
		if (err)
			return err;
		as_is = ml_cost_diff(ml_type_of(t->dtype), p->to, p->want,
			n * unit / ml_type_bytes(ml_type_of(t->dtype)));
		as_is -= as_is / 8;
		least = as_is < least ? as_is : least;
	}
	if (bits >= least)
		return ML_OK;
	return ml_plan_cross_add(p, t, type, (size_t)(b - p->base->span), diag);
}

static void end(void *ctx)
{
	struct sources *s = ctx;

	free(s->by_name);
	free(s->by_count);
	free(s);
}

static int begin(struct ml_plan *p, void **ctx, struct ml_diag *diag)
{
	struct sources *s = calloc(1, sizeof(*s));
	size_t i;

	*ctx = s;
	if (s) {
		s->by_name = malloc((p->n + 1) * sizeof(*s->by_name));
		s->by_count = malloc((p->n + 1) * sizeof(*s->by_count));
	}
	if (!s || !s->by_name || !s->by_count)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; i < p->n; i++)
		if (weights(p->by_name[i])) {
			s->by_name[s->n] = p->by_name[i];
			s->by_count[s->n++] = p->by_name[i];
		}
	qsort(s->by_count, s->n, sizeof(*s->by_count), by_count);
	return ML_OK;
}

const struct ml_planner ml_plan_cross = {"cross", 0, 1, begin, end, find};
