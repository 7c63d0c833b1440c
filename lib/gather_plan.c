/* SPDX-License-Identifier: MIT */
/* Which tensors of a base are a tensor of the target in another layout: with
 * its dimensions in another order, with halves of attention heads
 * interleaved, with columns or channels removed or added.
 * Shapes tell what may be, a look at a few numbers which of it is. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "cast.h"
#include "cost.h"
#include "gather.h"
#include "gather_plan.h"
#include "ops.h"
#include "seen.h"

#define LEAST 1024 /* bytes of a tensor that is worth it */
#define PROBE 256 /* bytes looked at first, */
#define SAMPLE 4096 /* and of the best then */
#define TRIES 48 /* tensors looked at for one */
#define COPIES 256 /* bytes, of a run that is found byte by byte */
/* Looks at tensors of other names: so many at first, one more for so many bytes
 * of the target, and more for each that was found. */
#define LOOKS 1500
#define LOOK_EVERY 8192
#define LOOKS_MORE 300
#define CHANNELS 12 /* different ones that are remembered */

/* A tensor as a dense array of elements of 2^log bytes; of quantised blocks,
 * the last dimension is in such pieces of a row. */
struct view {
	const struct ml_span *sp;
	unsigned type, unit, log, rank;
	int blocks;
	uint64_t dim[ML_GATHER_DIMS], count;
};

struct ml_layouts {
	struct ml_src *bsrc, *tsrc;
	struct view *v; /* by count */
	const struct view **name; /* by name */
	size_t n;
	uint64_t channels[CHANNELS]; /* numbers of them that kernels have */
	size_t nchannels;
	const struct ml_span *last; /* found last: the next is likely */
	uint64_t left; /* looks at tensors of other names */
	int own; /* the tensor looked at has the same name */
	ml_recast *recast;
	void *arg;
	uint8_t stage[ML_GATHER_STAGE];
	uint8_t raw[SAMPLE * 16], made[SAMPLE + 512], want[SAMPLE];
	uint8_t also[SAMPLE]; /* of a second look */
};

void ml_found_free(struct ml_found *f)
{
	ml_gather_free(f->c.gather);
	f->c.gather = NULL;
}

/* Without dimensions of 1. With `plain`, in numbers whatever the blocks. */
static int view_of(struct view *v, const struct ml_span *sp, int plain)
{
	uint64_t n = 1, rows = 1;
	unsigned i;

	memset(v, 0, sizeof(*v));
	v->sp = sp;
	v->type = ml_type_of(sp->dtype);
	if (sp->kind != ML_TENSOR || sp->len < LEAST || !v->type)
		return 0;
	v->unit = ml_type_bytes(v->type);
	v->blocks = !plain && (v->type == 11 || v->unit > 8 ||
		(v->unit & (v->unit - 1)));
	while (v->log < 3 && !(v->unit >> v->log & 1))
		v->log++;
	for (i = 0; i < sp->rank; i++) {
		if (sp->shape[i] == 1)
			continue;
		if (v->rank == ML_GATHER_DIMS - 2 || sp->shape[i] == 0 ||
			n > (UINT64_C(1) << 50) / sp->shape[i])
			return 0;
		rows = n;
		n *= v->dim[v->rank++] = sp->shape[i];
	}
	if (v->rank == 0)
		return 0;
	if (v->blocks) {
		if (sp->len % rows || sp->len / rows % v->unit)
			return 0;
		v->dim[v->rank - 1] = sp->len / rows >> v->log;
		n = sp->len >> v->log;
	}
	v->count = n;
	return plain || n << v->log == sp->len;
}

/* Elements in an index of the first dimension. */
static uint64_t row_of(const struct view *v)
{
	return v->count / v->dim[0];
}

static int by_count(const void *pa, const void *pb)
{
	const struct view *a = pa, *b = pb;

	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	return (a->sp->off > b->sp->off) - (a->sp->off < b->sp->off);
}

static int by_name(const void *pa, const void *pb)
{
	const struct view *a = *(const struct view *const *)pa;
	const struct view *b = *(const struct view *const *)pb;
	const int c = ml_own_name_cmp(a->sp, b->sp);

	return c ? c : (a->sp->off > b->sp->off) - (a->sp->off < b->sp->off);
}

/* Remembers how many channels a kernel makes: what comes of them may be taken
 * flattened, with the channels outside or inside. */
static void note_channels(struct ml_layouts *l, uint64_t n)
{
	size_t i;

	for (i = 0; i < l->nchannels && l->channels[i] != n; i++)
		;
	if (i == l->nchannels && i < CHANNELS)
		l->channels[l->nchannels++] = n;
}

int ml_layouts_new(struct ml_layouts **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_src *tsrc, struct ml_diag *diag)
{
	struct ml_layouts *l = calloc(1, sizeof(*l));
	size_t i;

	*out = l;
	if (l) {
		l->v = malloc((base->nspan + 1) * sizeof(*l->v));
		l->name = malloc((base->nspan + 1) * sizeof(*l->name));
	}
	if (!l || !l->v || !l->name) {
		ml_layouts_free(l);
		*out = NULL;
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	l->bsrc = bsrc;
	l->tsrc = tsrc;
	l->left = LOOKS;
	for (i = 0; i < base->nspan; i++)
		if (view_of(&l->v[l->n], &base->span[i], 0)) {
			const struct view *v = &l->v[l->n++];

			if (v->rank > 2) {
				note_channels(l, v->dim[0]);
				note_channels(l, v->dim[v->rank - 1]);
			}
		}
	qsort(l->v, l->n, sizeof(*l->v), by_count);
	for (i = 0; i < l->n; i++)
		l->name[i] = &l->v[i];
	qsort(l->name, l->n, sizeof(*l->name), by_name);
	return ML_OK;
}

void ml_layouts_free(struct ml_layouts *l)
{
	if (!l)
		return;
	free(l->v);
	free(l->name);
	free(l);
}

/* ===== looking ========================================================== */

/* Some bytes of the target's tensor. */
struct look {
	const struct view *t;
	uint64_t at; /* in the tensor, a multiple of the unit */
	size_t n;
	uint64_t alone;
	uint8_t *want;
};

static int look_at(struct ml_layouts *l, struct look *k, const struct view *t,
	uint64_t at, size_t n, uint8_t *want, struct ml_diag *diag)
{
	int err;

	k->t = t;
	k->n = t->sp->len < n ? (size_t)t->sp->len : n;
	k->n -= k->n % t->unit;
	if (k->n == 0)
		k->n = t->unit;
	k->at = at > t->sp->len - k->n ? t->sp->len - k->n : at;
	k->at -= k->at % t->unit;
	k->want = want;
	err = ml_src_read(l->tsrc, t->sp->off + k->at, want, k->n, diag);
	k->alone = err ? 0 : ml_cost_alone(t->type, want,
		k->n / t->unit);
	return err;
}

/* Estimated bits of them by a gather of b's, cast where it is of another
 * type; UINT64_MAX when it cannot be. */
static int judge(struct ml_layouts *l, const struct look *k,
	const struct view *b, const struct ml_cast *g, uint64_t *bits,
	struct ml_diag *diag)
{
	const struct ml_span *t = k->t->sp;
	struct ml_span like = *t;
	struct ml_cast c, *recast = NULL;
	const uint8_t *made = l->raw;
	uint64_t first = k->at >> g->from, n = k->n >> g->from;
	uint64_t unit = k->at / k->t->unit;
	unsigned type = k->t->type;
	int err, how;

	*bits = UINT64_MAX;
	if (t->dtype != b->sp->dtype) {
		like.dtype = b->sp->dtype;
		like.len = b->sp->len;
		like.off = 0;
		like.quant = b->sp->quant;
		how = l->recast(l->arg, &c, t, &like);
		if (!how)
			return ML_OK;
		if (how == 2)
			type = (unsigned)c.units;
		else
			recast = &c;
		n = how == 2 ? ml_type_base(type) >> g->from :
			ml_cast_elems(c.to);
		first = unit * n;
		n *= k->n / k->t->unit;
	}
	err = ml_gather_make(g, l->bsrc, first, n, l->raw, l->stage, diag);
	if (err)
		return err;
	if (recast) {
		ml_cast_make(recast, unit, k->n / k->t->unit, l->raw, l->made);
		made = l->made;
	}
	*bits = type != k->t->type || memcmp(made, k->want, k->n) ?
		ml_cost_diff(type, made, k->want, k->n / k->t->unit) : 0;
	return ML_OK;
}

/* The best of what was looked at for one tensor. */
struct best {
	struct look probe;
	struct look second; /* of heads: a row alone may be where it is by chance */
	const struct view *b;
	struct ml_gather g;
	uint64_t bits;
	int as_is; /* a base tensor helps without any of this */
};

static struct ml_cast cast_of(struct ml_gather *g, const struct view *b)
{
	struct ml_cast c = {.from = (uint8_t)b->log, .to = ML_C_GATHER,
		.at = b->sp->off};

	c.gather = g;
	c.units = ml_gather_units(g);
	return c;
}

static int try_one(struct ml_layouts *l, struct best *best,
	const struct view *b, struct ml_gather *g, struct ml_diag *diag)
{
	const struct ml_cast c = cast_of(g, b);
	uint64_t bits, more;
	int err;

	if (!l->own && !l->left)
		return ML_OK;
	l->left -= !l->own;
	err = judge(l, &best->probe, b, &c, &bits, diag);
	if (!err && best->second.n && bits < best->probe.alone / 2) {
		err = judge(l, &best->second, b, &c, &more, diag);
		bits = more > bits ? more : bits;
	}
	if (!err && bits < best->bits) {
		best->bits = bits;
		best->b = b;
		best->g = *g;
	}
	return err;
}

/* All orders of b's dimensions that make t's shape. */
static int orders(struct ml_layouts *l, struct best *best,
	const struct view *t, const struct view *b, struct ml_diag *diag)
{
	struct ml_gather g = {.rank = (uint8_t)b->rank};
	unsigned many = 1, i, k;
	int err = ML_OK;

	memcpy(g.dim, b->dim, sizeof(g.dim));
	for (k = 2; k <= b->rank; k++)
		many *= k;
	for (i = 0; !err && i < many && b->rank == t->rank; i++) {
		ml_gather_order(g.order, g.rank, i);
		for (k = 0; k < g.rank; k++)
			if (g.dim[g.order[k]] != t->dim[k])
				break;
		/* as they are is not for us */
		if (k == g.rank && i > 0)
			err = try_one(l, best, b, &g, diag);
	}
	return err;
}

/* Rows in heads of two halves, as llama's are in other formats: the halves
 * one after the other, or interleaved. */
static int heads(struct ml_layouts *l, struct best *best,
	const struct view *t, const struct view *b, struct ml_diag *diag)
{
	const uint64_t rows = b->dim[0];
	struct ml_gather g = {.rank = 4, .order = {0, 2, 1, 3}};
	uint64_t h;
	int err = ML_OK;

	if (b->rank != t->rank || rows % 4 || memcmp(b->dim, t->dim,
		sizeof(b->dim)))
		return ML_OK;
	g.dim[3] = row_of(b);
	err = look_at(l, &best->second, best->probe.t, t->sp->len / 7 * 5,
		PROBE, l->also, diag);
	for (h = 1; !err && h <= rows / 4 && h <= 256; h++) {
		if (rows % (4 * h))
			continue;
		g.dim[0] = h;
		g.dim[1] = 2;
		g.dim[2] = rows / 2 / h;
		err = try_one(l, best, b, &g, diag);
		g.dim[1] = rows / 2 / h;
		g.dim[2] = 2;
		if (!err && rows / 2 / h != 2)
			err = try_one(l, best, b, &g, diag);
	}
	best->second.n = 0;
	return err;
}

/* A matrix that takes flattened images, pixels and channels the other way
 * round; perhaps transposed as well. */
static int flattened(struct ml_layouts *l, struct best *best,
	const struct view *t, const struct view *b, struct ml_diag *diag)
{
	struct ml_gather g = {.rank = 3};
	unsigned f, way, turned;
	size_t i;
	int err = ML_OK;

	if (b->rank != 2 || t->rank != 2)
		return ML_OK;
	for (i = 0; !err && i < 8 * l->nchannels; i++) {
		const uint64_t c = l->channels[i / 8];

		way = i & 1; /* channels inside, in the base */
		turned = i >> 1 & 1;
		f = i >> 2 & 1; /* the dimension that is flattened */
		if (t->dim[turned] != b->dim[0] || t->dim[!turned] !=
			b->dim[1] || b->dim[f] % c || c == 1 ||
			b->dim[f] == c)
			continue;
		g.dim[f ? 0 : 2] = b->dim[!f];
		g.dim[f + way] = c;
		g.dim[f + !way] = b->dim[f] / c;
		ml_gather_order(g.order, 3, turned ? 5 : f ? 1 : 2);
		err = try_one(l, best, b, &g, diag);
	}
	return err;
}

/* Whether b helps as it is; best->as_is then. */
static int plain(struct ml_layouts *l, struct best *best,
	const struct view *t, const struct view *b, struct ml_diag *diag)
{
	struct ml_gather g = {.rank = 1};
	struct ml_cast c;
	uint64_t bits;
	int err;

	if (t->sp->dtype != b->sp->dtype || t->count != b->count ||
		(!l->own && !l->left))
		return ML_OK;
	l->left -= !l->own;
	g.dim[0] = b->count;
	c = cast_of(&g, b);
	err = judge(l, &best->probe, b, &c, &bits, diag);
	if (!err && bits <= best->probe.alone / 4 * 3) {
		best->as_is = 1;
		l->last = b->sp;
	}
	return err;
}

/* So good that no other needs a look. */
static int clear(const struct best *best)
{
	return best->as_is || best->bits < best->probe.alone / 2;
}

static int try_all(struct ml_layouts *l, struct best *best,
	const struct view *t, const struct view *b, struct ml_diag *diag)
{
	int err = plain(l, best, t, b, diag);

	if (err || clear(best))
		return err;
	if (!b->blocks)
		err = orders(l, best, t, b, diag);
	if (!err && !clear(best) && (t->sp->dtype == b->sp->dtype ||
		(!t->blocks && !b->blocks)))
		err = heads(l, best, t, b, diag);
	if (!err && !clear(best) && !t->blocks && !b->blocks)
		err = flattened(l, best, t, b, diag);
	return err;
}

static size_t lower_name(const struct ml_layouts *l, const struct ml_span *t)
{
	size_t lo = 0, hi = l->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (ml_own_name_cmp(l->name[mid]->sp, t) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Tensors of as many elements: of t's name first, then that behind the last
 * one found, then all. */
static int same_count(struct ml_layouts *l, struct best *best,
	const struct view *t, struct ml_diag *diag)
{
	size_t i, lo = 0, hi = l->n, mid, tries = 0;
	int err = ML_OK, pass;

	l->own = 1;
	for (i = lower_name(l, t->sp); !err && i < l->n && tries++ < 8 &&
		!ml_own_name_cmp(l->name[i]->sp, t->sp); i++)
		if (l->name[i]->count == t->count)
			err = try_all(l, best, t, l->name[i], diag);
	l->own = 0;
	if (err || clear(best))
		return err;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (l->v[mid].count < t->count)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (pass = 0; pass < 2; pass++)
		for (i = lo, tries = 0; !err && !clear(best) && l->left &&
			i < l->n && l->v[i].count == t->count &&
			tries++ < TRIES; i++) {
			const int next = l->last && l->v[i].sp == l->last + 1;

			if (next == !pass)
				err = try_all(l, best, t, &l->v[i], diag);
		}
	return err;
}

/* ===== all of it ======================================================== */

/* Fills in what a look at more of the tensor says of what was found, or drops
 * it. What the base made of it is then in l->raw. */
static int confirm(struct ml_layouts *l, const struct view *t,
	const struct view *b, struct ml_found *f, struct ml_diag *diag)
{
	const size_t n = t->sp->len < SAMPLE ? (size_t)t->sp->len : SAMPLE;
	uint64_t bits = UINT64_MAX;
	struct look k;
	int err = look_at(l, &k, t, (t->sp->len - n) / 2, n, l->want,
		diag);

	if (!err)
		err = judge(l, &k, b, &f->c, &bits, diag);
	f->bits = bits;
	f->alone = k.alone;
	f->bytes = k.n;
	if (err || bits >= k.alone / 8 * 7)
		ml_found_free(f);
	return err;
}

/* Whether what was not changed lies in long runs: it is then found byte by
 * byte as well, for less than it costs to say. After confirm(). */
static int copies(const struct ml_layouts *l, const struct view *t,
	const struct ml_found *f)
{
	const struct ml_gather *g = f->c.gather;
	uint64_t run = 0, each = 1;
	unsigned k;
	size_t i;

	for (k = g->rank; k-- > 0; each *= t->dim[k])
		if (g->nrun[k]) {
			run = each * (t->dim[k] / g->nrun[k]) << t->log;
			break;
		}
	if (run < COPIES)
		return 0;
	for (i = 0; i < f->bytes; i++)
		if (l->raw[i] != l->want[i] && l->raw[i])
			return 0;
	return 1;
}

/* Tensors of t's name that have other dimensions. */
static int resized(struct ml_layouts *l, const struct view *t,
	struct ml_found *f, struct ml_diag *diag)
{
	size_t i, tries = 0;
	int err = ML_OK, good = 0;

	for (i = lower_name(l, t->sp); !err && !good && i < l->n &&
		tries++ < 4 && !ml_own_name_cmp(l->name[i]->sp, t->sp); i++) {
		const struct view *b = l->name[i];
		struct ml_gather *g;

		/* rows alone are found otherwise, see rows.h */
		if (b->sp->dtype != t->sp->dtype || b->rank != t->rank ||
			b->blocks || t->blocks || !memcmp(b->dim + 1,
			t->dim + 1, sizeof(b->dim) - sizeof(*b->dim)))
			continue;
		g = calloc(1, sizeof(*g));
		if (!g)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		g->rank = (uint8_t)b->rank;
		memcpy(g->dim, b->dim, sizeof(g->dim));
		ml_gather_order(g->order, g->rank, 0);
		err = ml_gather_match(g, b->sp, l->bsrc, t->sp, l->tsrc,
			t->dim, t->type, &good, diag);
		if (err || !good) {
			ml_gather_free(g);
			continue;
		}
		f->c = cast_of(g, b);
		f->b = b->sp;
		err = confirm(l, t, b, f, diag);
		if (!err && f->c.gather && copies(l, t, f))
			ml_found_free(f);
	}
	return err;
}

int ml_layouts_find(struct ml_layouts *l, const struct ml_span *sp,
	ml_recast *recast, void *arg, struct ml_found *f,
	struct ml_diag *diag)
{
	const int able = ml_cast_type(sp->dtype, 1) != ML_CAST_NONE ||
		ml_type_block(ml_type_of(sp->dtype));
	struct best best = {.bits = UINT64_MAX};
	struct view t, e;
	int err;

	memset(f, 0, sizeof(*f));
	l->recast = recast;
	l->arg = arg;
	l->left += sp->len / LOOK_EVERY;
	if (!view_of(&t, sp, 0))
		return ML_OK;
	e = t;
	if (t.blocks && (!able || !view_of(&e, sp, 1)))
		e = t;
	err = look_at(l, &best.probe, &t, t.sp->len / 3, PROBE, l->want, diag);
	if (!err)
		err = same_count(l, &best, &t, diag);
	if (!err && t.blocks && e.count != t.count && !best.as_is &&
		best.bits > best.probe.alone / 2)
		err = same_count(l, &best, &e, diag); /* to be quantised */
	if (err || best.as_is)
		return err;
	if (best.bits < best.probe.alone / 8 * 7) {
		struct ml_gather *g = ml_gather_copy(&best.g);

		if (!g)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		f->c = cast_of(g, best.b);
		f->b = best.b->sp;
		err = confirm(l, &t, best.b, f, diag);
	}
	if (!err && !f->c.gather)
		err = resized(l, &t, f, diag);
	if (!err && f->c.gather)
		l->last = f->b;
	if (!err && f->c.gather)
		l->left += LOOKS_MORE;
	return err;
}
