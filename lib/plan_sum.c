/* SPDX-License-Identifier: MIT */
/* Tensors of the base with a sum of low rank, as a merged LoRA leaves them;
 * several at a time, since it takes long to find out. */
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "lowrank.h"
#include "ops.h"
#include "plan.h"

struct sums {
	struct ml_lowrank_try tries[ML_LOWRANK_MANY]; /* tensors to come */
	size_t ntry, tried; /* and how many of them have come */
};

/* A sample of the tensor and the base's, and whether they differ. */
static int changed(struct ml_plan *p, const struct ml_span *t,
	const struct ml_span *own, size_t *n, int *is, struct ml_diag *diag)
{
	const unsigned w = ml_type_bytes(ml_type_of(t->dtype));
	uint64_t at;
	int err;

	*n = t->len < ML_PLAN_SAMPLE ? (size_t)t->len : ML_PLAN_SAMPLE;
	at = (t->len - *n) / 2 / w * w;
	err = ml_src_read(p->tsrc, t->off + at, p->want, *n, diag);
	if (!err)
		err = ml_src_read(p->bsrc, own->off + at, p->from, *n, diag);
	*is = !err && memcmp(p->want, p->from, *n) != 0;
	return err;
}

/* Looks at the tensor number i and at some behind it. */
static int look_ahead(struct ml_plan *p, struct sums *s, size_t i,
	struct ml_diag *diag)
{
	/* more than threads, since tensors differ in size */
	const size_t many = p->threads < 2 ? 1 : 4 * p->threads;
	const size_t most = many < ML_LOWRANK_MANY ? many : ML_LOWRANK_MANY;
	const struct ml_span *t, *own;
	size_t some;
	int err = ML_OK, is;

	s->ntry = s->tried = 0;
	for (; !err && i < p->target->nspan && s->ntry < most; i++) {
		t = &p->target->span[i];
		own = t->len < ML_PLAN_SMALL || !ml_plan_count(t, 1) ? NULL :
			ml_plan_own(p, t);
		if (!own)
			continue;
		err = changed(p, t, own, &some, &is, diag);
		if (!err && is) {
			struct ml_lowrank_try *y = &s->tries[s->ntry++];

			memset(y, 0, sizeof(*y));
			y->b = own;
			y->t = t;
			y->bsrc = p->bsrc;
			y->tsrc = p->tsrc;
		}
	}
	if (!err)
		ml_lowrank_many(s->tries, s->ntry, p->threads);
	return err;
}

/* Whether the tensor number i is that of the base and a sum of low rank. */
static int find(struct ml_plan *p, void *ctx, size_t i,
	const struct ml_span *own, struct ml_diag *diag)
{
	const struct ml_span *t = &p->target->span[i];
	const unsigned type = ml_type_of(t->dtype), w = ml_type_bytes(type);
	struct ml_lowrank_try *y;
	struct sums *s = ctx;
	uint64_t diff;
	size_t n;
	int err = ML_OK, is;

	if (!own || !ml_plan_count(t, 1))
		return ML_OK;
	if (s->tried == s->ntry) {
		err = changed(p, t, own, &n, &is, diag);
		if (err || !is)
			return err;
		err = look_ahead(p, s, i, diag);
	}
	y = &s->tries[s->tried];
	if (err || y->t != t)
		return err;
	s->tried++;
	if (y->err)
		*diag = y->diag;
	err = y->err ? y->err : changed(p, t, own, &n, &is, diag);
	diff = err ? 0 : ml_plan_scaled(ml_cost_diff(type, p->from, p->want,
		n / w), n, t);
	if (!err && y->bits < diff - diff / 8 && y->bits + ML_PLAN_SAYING < diff) {
		p->gain += diff - y->bits - ML_PLAN_SAYING;
		err = ml_plan_take(p, t, &y->c, diag);
	}
	free(y->c.u);
	free(y->c.v);
	y->c.u = y->c.v = NULL;
	return err;
}

static int begin(struct ml_plan *p, void **ctx, struct ml_diag *diag)
{
	(void)p;
	*ctx = calloc(1, sizeof(struct sums));
	return *ctx ? ML_OK :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

static void end(void *ctx)
{
	struct sums *s = ctx;

	for (; s->tried < s->ntry; s->tried++) {
		free(s->tries[s->tried].c.u);
		free(s->tries[s->tried].c.v);
	}
	free(s);
}

const struct ml_planner ml_plan_sum = {"sum", 0, 0, begin, end, find};
