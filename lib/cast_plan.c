/* SPDX-License-Identifier: MIT */
/* What the base is shown to have beside its own tensors: what predictors make of
 * them, tensor by tensor, by a look at the bytes. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "mldec.h"
#include "plan.h"

#define WORTH 1024 /* bits that all casts together must save */

/* In this order, until one has something for a tensor. */
static const struct ml_planner *const planners[] = {
	&ml_plan_sum, &ml_plan_cast, &ml_plan_cross, &ml_plan_layout
};
#define NPLANNER (sizeof(planners) / sizeof(*planners))

static int by_name(const void *pa, const void *pb)
{
	const struct ml_span *a = *(const struct ml_span *const *)pa;
	const struct ml_span *b = *(const struct ml_span *const *)pb;
	const int c = ml_own_name_cmp(a, b);

	return c ? c : (a->off > b->off) - (a->off < b->off);
}

const struct ml_span *ml_plan_own(const struct ml_plan *p,
	const struct ml_span *t)
{
	const struct ml_span **name = p->by_name;
	size_t lo = 0, hi = p->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (ml_own_name_cmp(name[mid], t) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < p->n && !ml_own_name_cmp(name[lo], t); lo++)
		if (name[lo]->dtype == t->dtype && name[lo]->len == t->len)
			return name[lo];
	return NULL;
}

int ml_plan_take(struct ml_plan *p, const struct ml_span *t,
	const struct ml_cast *c, struct ml_diag *diag)
{
	struct ml_cast_base *o = p->out;
	int err;

	p->bytes += ml_cast_param_bits(c) / 8 + 64;
	if (c->rank)
		p->numbers += (c->units / c->inner + c->inner) * c->rank;
	if (p->bytes > ML_PLAN_BYTES_MAX ||
		p->numbers > ML_FACTOR_NUMBERS_MAX || o->n >= ML_CASTS_MAX)
		return ML_OK; /* the rest does without */
	err = ml_cast_add(&o->c, &o->n, c, diag);
	if (!err)
		err = ml_model_add(&o->m, t->name, t->name_len, t->dtype,
			t->rank, t->shape, o->m.size, t->len, diag);
	o->m.size += t->len;
	return err;
}

uint64_t ml_plan_scaled(uint64_t bits, uint64_t sample, const struct ml_span *t)
{
	return bits / sample * t->len + bits % sample * t->len / sample;
}

/* Whether the class has what a predictor makes. */
static int able(const struct ml_plan *p, const struct ml_planner *l)
{
	return (!p->nano || l->nano) && (!p->micro || !l->full);
}

static int plan(struct ml_plan *p, void **ctx, struct ml_diag *diag)
{
	const struct ml_model *base = p->base;
	const struct ml_span *t, *own;
	size_t i, k, had;
	int err = ML_OK;

	p->by_name = malloc((base->nspan + 1) * sizeof(*p->by_name));
	if (!p->by_name)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; i < base->nspan; i++)
		if (base->span[i].kind == ML_TENSOR)
			p->by_name[p->n++] = &base->span[i];
	qsort(p->by_name, p->n, sizeof(*p->by_name), by_name);
	for (k = 0; !err && k < NPLANNER; k++)
		if (able(p, planners[k]))
			err = planners[k]->begin(p, &ctx[k], diag);
	for (i = 0; !err && i < p->target->nspan; i++) {
		t = &p->target->span[i];
		if (t->len < ML_PLAN_SMALL || t->kind != ML_TENSOR)
			continue;
		had = p->out->n + p->out->ncrossed;
		own = ml_plan_own(p, t);
		for (k = 0; !err && k < NPLANNER &&
			p->out->n + p->out->ncrossed == had; k++)
			if (able(p, planners[k]))
				err = planners[k]->find(
					p, ctx[k], i, own, diag);
	}
	return err;
}

int ml_cast_plan(struct ml_cast_base *out, const struct ml_model *base,
	struct ml_src *bsrc, const struct ml_model *target,
	struct ml_src *tsrc, struct ml_diag *diag)
{
	struct ml_plan *p = calloc(1, sizeof(*p));
	void *ctx[NPLANNER] = {0};
	struct ml_casts casts;
	size_t i, k;
	int err = ML_OK, threads = out->threads, cls = out->cls;

	memset(out, 0, sizeof(*out));
	ml_model_init(&out->m);
	if (!p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	p->out = out;
	p->nano = cls == ML_NANO;
	p->micro = cls == ML_MICRO;
	p->threads = threads < 1 ? 1 : (size_t)threads;
	p->base = base;
	p->target = target;
	p->bsrc = bsrc;
	p->tsrc = tsrc;
	out->m.container = base->container;
	for (i = 0; !err && i < base->nspan; i++)
		err = ml_model_add_span(&out->m, &base->span[i], diag);
	out->m.size = base->size;
	if (!err)
		err = plan(p, ctx, diag);
	for (i = 0; i < NPLANNER; i++)
		if (ctx[i])
			planners[i]->end(ctx[i]);
	if (p->gain < WORTH) {
		ml_cast_free(out->c, out->n);
		out->c = NULL;
		out->n = 0;
		for (i = k = 0; i < out->ncrossed; i++)
			if (out->crossed[i].span < base->nspan)
				out->crossed[k++] = out->crossed[i];
		out->ncrossed = k;
	}
	free(p->by_name);
	free(p);
	casts.c = out->c;
	casts.n = out->n;
	if (!err && out->n)
		err = ml_cast_src(&out->src, &out->made, bsrc, &casts,
			diag);
	if (err)
		ml_cast_base_free(out);
	return err;
}

int ml_cast_known(struct ml_cast_base *out, struct ml_src *bsrc,
	const struct ml_casts *casts, struct ml_diag *diag)
{
	struct ml_casts mine;
	size_t i;
	int err = ML_OK;

	memset(out, 0, sizeof(*out));
	ml_model_init(&out->m);
	for (i = 0; !err && i < casts->n; i++)
		err = ml_cast_add(&out->c, &out->n, &casts->c[i], diag);
	mine.c = out->c;
	mine.n = out->n;
	if (!err && out->n)
		err = ml_cast_src(&out->src, &out->made, bsrc, &mine, diag);
	if (err)
		ml_cast_base_free(out);
	return err;
}

void ml_cast_base_free(struct ml_cast_base *b)
{
	ml_src_free(b->src);
	ml_model_free(&b->m);
	ml_cast_free(b->c, b->n);
	free(b->crossed);
	memset(b, 0, sizeof(*b));
}
