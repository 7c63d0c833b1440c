/* SPDX-License-Identifier: MIT */
/* Tensors of the base in another layout, as gathers. */
#include <stdlib.h>
#include <string.h>

#include "gather_plan.h"
#include "ops.h"
#include "plan.h"

struct layout {
	struct ml_layouts *of;
	size_t gathers, runs;
};

static int recast(void *arg, struct ml_cast *c, const struct ml_span *t,
	const struct ml_span *b)
{
	struct ml_plan *p = arg;

	if (ml_cast_type(b->dtype, 0) != ML_CAST_NONE &&
		ml_cast_type(t->dtype, 1) != ML_CAST_NONE &&
		ml_plan_fits(c, t, b, p->scale))
		return 1;
	memset(c, 0, sizeof(*c));
	/* a gather takes blocks for their bytes, not for their weights */
	c->units = p->micro || ml_type_block(ml_type_of(b->dtype)) ? 0 :
		ml_plan_crossed(t, b);
	return c->units ? 2 : 0;
}

/* Whether the tensor t is one of the base in another layout: as a gather, and
 * where the type differs a cast of what that makes. */
static int find(struct ml_plan *p, void *ctx, size_t i,
	const struct ml_span *own, struct ml_diag *diag)
{
	const struct ml_span *t = &p->target->span[i];
	struct layout *l = ctx;
	struct ml_cast_base *o = p->out;
	struct ml_span like = *t;
	struct ml_cast c = {0};
	struct ml_found f;
	uint64_t gain, cost, made;
	size_t k, runs = 0;
	unsigned type = 0;
	int err, how;

	(void)own;
	err = ml_layouts_find(l->of, t, recast, p, &f, diag);
	if (err || !f.c.gather)
		return err;
	gain = ml_plan_scaled(f.alone - f.bits, f.bytes, t);
	made = ml_cast_len(&f.c);
	for (k = 0; k < ML_GATHER_DIMS; k++)
		runs += f.c.gather->nrun[k];
	cost = ML_PLAN_SAYING + 18 * runs;
	if (f.b->dtype != t->dtype) {
		like.dtype = f.b->dtype;
		like.len = made;
		like.off = o->m.size;
		like.quant = f.b->quant;
		how = recast(p, &c, t, &like);
		if (!how)
			gain = 0;
		if (how == 2) {
			type = (unsigned)c.units;
			c.units = 0;
		}
		cost += ML_PLAN_SAYING + 32 * (uint64_t)c.nscale;
	}
	p->bytes += 20 * runs + 128 + 4 * (uint64_t)c.nscale;
	if (gain <= cost || p->bytes > ML_PLAN_BYTES_MAX ||
		l->gathers >= ML_GATHERS_MAX || l->runs + runs > ML_RUNS_MAX ||
		o->n + 1 >= ML_CASTS_MAX || (!c.units && !type && made != t->len)) {
		ml_found_free(&f);
		return ML_OK;
	}
	p->gain += gain - cost;
	l->gathers++;
	l->runs += runs;
	err = ml_cast_add(&o->c, &o->n, &f.c, diag);
	if (!err && c.units) {
		err = ml_cast_add(&o->c, &o->n, &c, diag);
		o->m.size += made;
	}
	if (!err)
		err = ml_model_add(&o->m, t->name, t->name_len, type ?
			f.b->dtype : t->dtype, t->rank, t->shape, o->m.size,
			type ? made : t->len, diag);
	o->m.size += type ? made : t->len;
	if (!err && type)
		err = ml_plan_cross_add(p, t, type, o->m.nspan - 1, diag);
	ml_found_free(&f);
	return err;
}

static void end(void *ctx)
{
	struct layout *l = ctx;

	ml_layouts_free(l->of);
	free(l);
}

static int begin(struct ml_plan *p, void **ctx, struct ml_diag *diag)
{
	struct layout *l = calloc(1, sizeof(*l));

	*ctx = l;
	if (!l)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	return ml_layouts_new(&l->of, p->base, p->bsrc, p->tsrc, diag);
}

const struct ml_planner ml_plan_layout = {"layout", 0, 0, begin, end, find};
