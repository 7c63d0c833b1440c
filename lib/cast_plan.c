/* SPDX-License-Identifier: MIT */
/* Which tensors of a base are worth a cast: those that a tensor of the target
 * is a cast of, by name or else by number of elements, and always by a look at
 * the bytes. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "cast.h"
#include "cost.h"
#include "gather_plan.h"
#include "lowrank.h"
#include "nano_cast.h"
#include "ops.h"

#define SAMPLE 4096 /* bytes of the target's tensor looked at */
#define SMALL 64 /* bytes of a tensor that is not worth it */
#define SAYING 96 /* bits that a cast costs in the patch, without scales */
#define BYTES_MAX (24u << 20) /* of scales and factors, in all */
#define WORTH 1024 /* bits that all casts together must save */
#define TRIES 64 /* tensors of as many elements looked at */

struct plan {
	struct ml_cast_base *out;
	struct ml_src *bsrc, *tsrc;
	const struct ml_span **by_name, **by_count;
	size_t n;
	uint64_t gain; /* estimated bits */
	uint64_t bytes; /* that scales and factors take */
	uint64_t numbers; /* in factors */
	size_t threads;
	struct ml_layouts *layouts;
	size_t gathers, runs;
	uint32_t *scale; /* room for ML_QUANT_MAX, twice */
	int nano; /* only what class nano has */
	struct ml_lowrank_try tries[ML_LOWRANK_MANY]; /* tensors to come */
	size_t ntry, tried; /* and how many of them have come */
	uint8_t from[SAMPLE * 8], to[SAMPLE + 64], want[SAMPLE];
};

/* Elements of a tensor that can be cast; 0 for all others. */
static uint64_t count(const struct ml_span *sp, int to)
{
	const unsigned t = ml_cast_type(sp->dtype, to);

	if (sp->kind != ML_TENSOR || t == ML_CAST_NONE ||
		sp->len % ml_cast_bytes(t))
		return 0;
	return sp->len / ml_cast_bytes(t) * ml_cast_elems(t);
}

static int by_name(const void *pa, const void *pb)
{
	const struct ml_span *a = *(const struct ml_span *const *)pa;
	const struct ml_span *b = *(const struct ml_span *const *)pb;
	const int c = ml_own_name_cmp(a, b);

	return c ? c : (a->off > b->off) - (a->off < b->off);
}

static int by_count(const void *pa, const void *pb)
{
	const struct ml_span *a = *(const struct ml_span *const *)pa;
	const struct ml_span *b = *(const struct ml_span *const *)pb;
	const uint64_t x = count(a, 0), y = count(b, 0);

	if (x != y)
		return x < y ? -1 : 1;
	return (a->off > b->off) - (a->off < b->off);
}

/* The cast of b to the type of t; 0 when there is none. scale has room for
 * ML_QUANT_MAX. */
static int fits(struct ml_cast *c, const struct ml_span *t,
	const struct ml_span *b, uint32_t *scale)
{
	const struct ml_quant *q = t->quant, *o = b->quant;
	uint32_t i, was, same = 0;

	memset(c, 0, sizeof(*c));
	c->from = (uint8_t)ml_cast_type(b->dtype, 0);
	c->to = (uint8_t)ml_cast_type(t->dtype, 1);
	if (count(b, 0) != count(t, 1))
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
static int judge(struct plan *p, const struct ml_cast *c, uint64_t first,
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

/* Adds the cast, and the tensor that it makes under t's name. */
static int take(struct plan *p, const struct ml_span *t,
	const struct ml_cast *c, struct ml_diag *diag)
{
	struct ml_cast_base *o = p->out;
	int err;

	p->bytes += ml_cast_param_bits(c) / 8 + 64;
	if (c->rank)
		p->numbers += (c->units / c->inner + c->inner) * c->rank;
	if (p->bytes > BYTES_MAX || p->numbers > ML_FACTOR_NUMBERS_MAX || o->n >= ML_CASTS_MAX)
		return ML_OK; /* the rest does without */
	err = ml_cast_add(&o->c, &o->n, c, diag);

	if (!err)
		err = ml_model_add(&o->m, t->name, t->name_len, t->dtype,
			t->rank, t->shape, o->m.size, t->len, diag);
	o->m.size += t->len;
	return err;
}

/* The best cast for one tensor of the target; own is the base's of its name
 * and type, or NULL. */
static int choose(struct plan *p, const struct ml_span *t,
	const struct ml_span *own, uint32_t *scale, uint32_t *best_scale,
	struct ml_diag *diag)
{
	const unsigned to = ml_cast_type(t->dtype, 1);
	const unsigned type = ml_type_of(t->dtype);
	const uint64_t units = t->len / ml_cast_bytes(to);
	const size_t most = SAMPLE / ml_cast_bytes(to);
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
		const struct ml_span **list = pass ? p->by_count : p->by_name;

		for (lo = 0, hi = p->n; lo < hi;) {
			mid = lo + (hi - lo) / 2;
			if (pass ? count(list[mid], 0) < count(t, 1) :
				ml_own_name_cmp(list[mid], t) < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (i = lo; i < p->n && i - lo < TRIES; i++) {
			if (pass ? count(list[i], 0) != count(t, 1) :
				ml_own_name_cmp(list[i], t) != 0)
				break;
			/* another name may well have the very codes */
			if (!fits(&c, t, list[i], scale) ||
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
	gain = (least_before - least) / bytes * t->len +
		(least_before - least) % bytes * t->len / bytes;
	cost = SAYING + 32 * (uint64_t)best.nscale;
	if (gain <= cost)
		return ML_OK;
	p->gain += gain - cost;
	return take(p, t, &best, diag);
}

/* The base's tensor of the same name, type and length, or NULL. */
static const struct ml_span *own_of(const struct ml_span **name, size_t n, const struct ml_span *t)
{
	size_t lo = 0, hi = n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (ml_own_name_cmp(name[mid], t) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && !ml_own_name_cmp(name[lo], t); lo++)
		if (name[lo]->dtype == t->dtype && name[lo]->len == t->len)
			return name[lo];
	return NULL;
}

/* A sample of the tensor and the base's, and whether they differ. */
static int changed(struct plan *p, const struct ml_span *t,
	const struct ml_span *own, size_t *n, int *is, struct ml_diag *diag)
{
	const unsigned w = ml_type_bytes(ml_type_of(t->dtype));
	uint64_t at;
	int err;

	*n = t->len < SAMPLE ? (size_t)t->len : SAMPLE;
	at = (t->len - *n) / 2 / w * w;
	err = ml_src_read(p->tsrc, t->off + at, p->want, *n, diag);
	if (!err)
		err = ml_src_read(p->bsrc, own->off + at, p->from, *n, diag);
	*is = !err && memcmp(p->want, p->from, *n) != 0;
	return err;
}

/* Looks at the tensor number i and at some behind it. */
static int look_ahead(struct plan *p, const struct ml_span **all, size_t n,
	const struct ml_model *target, size_t i, struct ml_diag *diag)
{
	/* more than threads, since tensors differ in size */
	const size_t many = p->threads < 2 ? 1 : 4 * p->threads;
	const size_t most = many < ML_LOWRANK_MANY ? many : ML_LOWRANK_MANY;
	const struct ml_span *t, *own;
	size_t some;
	int err = ML_OK, is;

	p->ntry = p->tried = 0;
	for (; !err && i < target->nspan && p->ntry < most; i++) {
		t = &target->span[i];
		own = t->len < SMALL || !count(t, 1) ? NULL : own_of(all, n, t);
		if (!own)
			continue;
		err = changed(p, t, own, &some, &is, diag);
		if (!err && is) {
			struct ml_lowrank_try *y = &p->tries[p->ntry++];

			memset(y, 0, sizeof(*y));
			y->b = own;
			y->t = t;
			y->bsrc = p->bsrc;
			y->tsrc = p->tsrc;
		}
	}
	if (!err)
		ml_lowrank_many(p->tries, p->ntry, p->threads);
	return err;
}

/* Whether the tensor number i is that of the base and a sum of low rank. */
static int sum(struct plan *p, const struct ml_span **all, size_t nall,
	const struct ml_model *target, size_t i, const struct ml_span *own,
	struct ml_diag *diag)
{
	const struct ml_span *t = &target->span[i];
	const unsigned type = ml_type_of(t->dtype), w = ml_type_bytes(type);
	struct ml_lowrank_try *y;
	uint64_t diff;
	size_t n;
	int err = ML_OK, is;

	if (p->tried == p->ntry) {
		err = changed(p, t, own, &n, &is, diag);
		if (err || !is)
			return err;
		err = look_ahead(p, all, nall, target, i, diag);
	}
	y = &p->tries[p->tried];
	if (err || y->t != t)
		return err;
	p->tried++;
	if (y->err)
		*diag = y->diag;
	err = y->err ? y->err : changed(p, t, own, &n, &is, diag);
	diff = err ? 0 : ml_cost_diff(type, p->from, p->want, n / w);
	if (!err)
		diff = diff / n * t->len + diff % n * t->len / n;
	if (!err && y->bits < diff - diff / 8 && y->bits + SAYING < diff) {
		p->gain += diff - y->bits - SAYING;
		err = take(p, t, &y->c, diag);
	}
	free(y->c.u);
	free(y->c.v);
	y->c.u = y->c.v = NULL;
	return err;
}

static int recast(void *arg, struct ml_cast *c, const struct ml_span *t,
	const struct ml_span *b)
{
	struct plan *p = arg;

	return ml_cast_type(b->dtype, 0) != ML_CAST_NONE &&
		ml_cast_type(t->dtype, 1) != ML_CAST_NONE &&
		fits(c, t, b, p->scale);
}

/* Whether the tensor t is one of the base in another layout: as a gather, and
 * where the type differs a cast of what that makes. */
static int layout(struct plan *p, const struct ml_span *t,
	struct ml_diag *diag)
{
	struct ml_cast_base *o = p->out;
	struct ml_span like = *t;
	struct ml_cast c = {0};
	struct ml_found f;
	uint64_t gain, cost, made;
	size_t k, runs = 0;
	int err = ml_layouts_find(p->layouts, t, recast, p, &f, diag);

	if (err || !f.c.gather)
		return err;
	gain = (f.alone - f.bits) / f.bytes * t->len +
		(f.alone - f.bits) % f.bytes * t->len / f.bytes;
	made = ml_cast_len(&f.c);
	for (k = 0; k < ML_GATHER_DIMS; k++)
		runs += f.c.gather->nrun[k];
	cost = SAYING + 18 * runs;
	if (f.b->dtype != t->dtype) {
		like.dtype = f.b->dtype;
		like.len = made;
		like.off = o->m.size;
		like.quant = f.b->quant;
		if (!recast(p, &c, t, &like))
			gain = 0;
		cost += SAYING + 32 * (uint64_t)c.nscale;
	}
	p->bytes += 20 * runs + 128 + 4 * (uint64_t)c.nscale;
	if (gain <= cost || p->bytes > BYTES_MAX ||
		p->gathers >= ML_GATHERS_MAX || p->runs + runs > ML_RUNS_MAX ||
		o->n + 1 >= ML_CASTS_MAX || (!c.units && made != t->len)) {
		ml_found_free(&f);
		return ML_OK;
	}
	p->gain += gain - cost;
	p->gathers++;
	p->runs += runs;
	err = ml_cast_add(&o->c, &o->n, &f.c, diag);
	if (!err && c.units) {
		err = ml_cast_add(&o->c, &o->n, &c, diag);
		o->m.size += made;
	}
	if (!err)
		err = ml_model_add(&o->m, t->name, t->name_len, t->dtype,
			t->rank, t->shape, o->m.size, t->len, diag);
	o->m.size += t->len;
	ml_found_free(&f);
	return err;
}

static int plan(struct plan *p, const struct ml_model *base,
	const struct ml_model *target, struct ml_diag *diag)
{
	const struct ml_span **all = malloc((base->nspan + 1) * sizeof(*all));
	uint32_t *scale = malloc(2 * ML_QUANT_MAX * sizeof(*scale));
	size_t had;
	const struct ml_span *t, *own;
	size_t i, k = 0;
	int err = ML_OK;

	p->by_name = malloc((base->nspan + 1) * sizeof(*p->by_name));
	p->by_count = malloc((base->nspan + 1) * sizeof(*p->by_count));
	if (!all || !scale || !p->by_name || !p->by_count)
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; !err && i < base->nspan; i++) {
		if (base->span[i].kind == ML_TENSOR)
			all[k++] = &base->span[i];
		if (count(&base->span[i], 0)) {
			p->by_name[p->n] = &base->span[i];
			p->by_count[p->n++] = &base->span[i];
		}
	}
	if (!err) {
		qsort(all, k, sizeof(*all), by_name);
		qsort(p->by_name, p->n, sizeof(*all), by_name);
		qsort(p->by_count, p->n, sizeof(*all), by_count);
	}
	p->scale = scale;
	if (!err)
		err = ml_layouts_new(&p->layouts, base, p->bsrc, p->tsrc, diag);
	for (i = 0; !err && i < target->nspan; i++) {
		t = &target->span[i];
		if (t->len < SMALL || t->kind != ML_TENSOR)
			continue;
		had = p->out->n;
		own = own_of(all, k, t);
		if (own && !p->nano && count(t, 1))
			err = sum(p, all, k, target, i, own, diag);
		if (!err && count(t, 1) && (!own ||
			ml_cast_type(t->dtype, 1) == ML_C_I8))
			err = choose(p, t, own, scale, scale + ML_QUANT_MAX,
				diag);
		if (!err && !p->nano && p->out->n == had)
			err = layout(p, t, diag);
	}
	ml_layouts_free(p->layouts);
	for (i = p->tried; i < p->ntry; i++) {
		free(p->tries[i].c.u);
		free(p->tries[i].c.v);
	}
	free(all);
	free(scale);
	free(p->by_name);
	free(p->by_count);
	return err;
}

int ml_cast_plan(struct ml_cast_base *out, const struct ml_model *base,
	struct ml_src *bsrc, const struct ml_model *target,
	struct ml_src *tsrc, struct ml_diag *diag)
{
	struct plan *p = calloc(1, sizeof(*p));
	struct ml_casts casts;
	size_t i;
	int err = ML_OK, threads = out->threads, cls = out->cls;

	memset(out, 0, sizeof(*out));
	ml_model_init(&out->m);
	if (!p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	p->out = out;
	p->nano = cls == ML_NANO;
	p->threads = threads < 1 ? 1 : (size_t)threads;
	p->bsrc = bsrc;
	p->tsrc = tsrc;
	out->m.container = base->container;
	for (i = 0; !err && i < base->nspan; i++)
		err = ml_model_add_span(&out->m, &base->span[i], diag);
	out->m.size = base->size;
	if (!err)
		err = plan(p, base, target, diag);
	if (p->gain < WORTH) {
		ml_cast_free(out->c, out->n);
		out->c = NULL;
		out->n = 0;
	}
	free(p);
	casts.c = out->c;
	casts.n = out->n;
	if (!err && out->n)
		err = ml_cast_src(&out->src, bsrc, &casts, diag);
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
		err = ml_cast_src(&out->src, bsrc, &mine, diag);
	if (err)
		ml_cast_base_free(out);
	return err;
}

void ml_cast_base_free(struct ml_cast_base *b)
{
	ml_src_free(b->src);
	ml_model_free(&b->m);
	ml_cast_free(b->c, b->n);
	memset(b, 0, sizeof(*b));
}
