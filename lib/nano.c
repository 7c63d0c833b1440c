/* SPDX-License-Identifier: MIT */
/* The encoder of coder 2. What its model does not learn, it is told by
 * descriptors, and they are chosen here: for all elements of a type in a
 * block, unless the one in use serves. */
#include <stdlib.h>
#include <string.h>

#include "nano.h"
#include "nano_cast.h"
#include "cost.h"
#include "rcenc.h"

#define ML_RC struct rc_enc
#include "mlnano.h"
#include "elem.h"
#include "ops.h"

#define DESC_BITS 110 /* what a descriptor costs, about */
#define LIT_RAW 24 /* shorter literals do not change the descriptor */
#define NCLASS 65

/* What is known of the elements of a type that share a descriptor. */
struct plan {
	int used, alone, isfloat;
	unsigned w;
	uint64_t or; /* of all magnitudes */
	uint64_t centre[2]; /* bits when bytes are around 0, 128 */
	int64_t min, max;
	uint32_t exps[2048];
	uint8_t power[2048]; /* floats that are 2^n there, or -0 */
	int bad; /* cannot be told: literal */
	unsigned k1, k2;
	struct ml_desc d;
	uint32_t hist[16][NCLASS]; /* class 0: zero */
};

struct ml_nanoenc {
	struct ml_nano st, st0;
	uint16_t prob[ML_NANO_NPROB], prob0[ML_NANO_NPROB];
	struct rc_enc rc;
	uint8_t *swapped; /* elements of an operation, */
	uint8_t *made; /* and what they make */
	size_t nmade;
	unsigned half; /* the low one of a byte in the making */
	struct plan *plan[ML_TYPE_KEPT_END][2][2]; /* type, alone, slot */
	struct plan *in_use[2];
	uint64_t types; /* of the last block */
	const struct ml_nano_cast *cast; /* NULL: none */
};

/* The operations of a block, those against casts a run at a time. */
struct walk {
	const uint8_t *p, *end, *base;
	struct ml_op_view left;
};

int ml_nano_new(struct ml_nanoenc **out, struct ml_diag *diag)
{
	struct ml_nanoenc *c = calloc(1, sizeof *c);

	*out = NULL;
	if (c) {
		c->swapped = malloc(ML_CODE_MAX);
		c->made = malloc(ML_CODE_MAX);
	}
	if (!c || !c->swapped || !c->made || !rc_new(&c->rc)) {
		ml_nano_free(c);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	ml_nano_reset(c);
	*out = c;
	return ML_OK;
}

void ml_nano_reset(struct ml_nanoenc *c)
{
	nano_reset(&c->st, c->prob);
}

void ml_nano_casts(struct ml_nanoenc *c, const struct ml_nano_cast *cast)
{
	c->cast = cast;
}

uint64_t ml_nano_types(const struct ml_nanoenc *c)
{
	return c->types;
}

void ml_nano_free(struct ml_nanoenc *c)
{
	unsigned i;

	if (!c)
		return;
	for (i = 0; i < ML_TYPE_KEPT_END * 4; i++)
		free(c->plan[i / 4][i / 2 & 1][i & 1]);
	free(c->swapped);
	free(c->made);
	rc_free(&c->rc);
	free(c);
}

/* ----- elements --------------------------------------------------------- */

/* One number of an element: what it is, its base and itself. */
struct one {
	unsigned kind, w, slot;
	int isfloat, alone;
	uint64_t b, t;
};

typedef void each_fn(struct ml_nanoenc *c, struct plan *p, struct one *e);

static void each(struct ml_nanoenc *c, const struct ml_op_view *v,
	const uint8_t *base, each_fn *fn)
{
	const unsigned made = ml_type_made(v->type);
	const struct ml_type *t = &ml_types[made];
	const uint8_t *p = v->data, *end = p + v->bytes;
	struct one e;
	unsigned f, j, i, pair, w;
	uint64_t x, y;

	e.alone = v->op != ML_OP_DIFF;
	for (f = 0; p < end && !c->rc.full; f = f + 1 == t->nfield ? 0 : f + 1) {
		e.kind = t->f[f].kind;
		e.isfloat = e.kind >= ML_K_FLOAT;
		e.w = ml_kind_bits(e.kind);
		e.slot = ml_type_slot(made, e.kind, e.alone);
		pair = (unsigned)ml_kind_pair(e.kind);
		w = ml_kind_bytes[e.kind];
		for (j = 0; j < t->f[f].n; j++, p += w) {
			x = ml_elem_load(p, w);
			y = 0;
			if (!e.alone) {
				y = ml_elem_load(base, w);
				base += w;
			}
			for (i = 0; i <= pair; i++, x >>= 4, y >>= 4) {
				e.b = pair ? y & 15 : y;
				e.t = pair ? x & 15 : x;
				if (!e.alone && pair)
					e.t = (e.b + e.t) & 15;
				else if (!e.alone)
					e.t = ml_unresidual(e.w, e.isfloat ?
						ml_kind_ebits[e.kind] : 0u,
						y, x);
				fn(c, c->plan[v->type][e.alone][e.slot], &e);
			}
		}
	}
}

static int requantised(const struct one *e)
{
	return !e->alone && (e->kind == ML_K_R4 || e->kind == ML_K_R8);
}

static void scales(struct ml_nano *s, const struct one *e)
{
	if (!e->alone && e->kind == ML_K_F16) {
		s->scale_b = (uint16_t)e->b;
		s->scale_t = (uint16_t)e->t;
	}
}

/* How far an element is from what its plan expects. */
static uint64_t distance(const struct plan *p, const struct one *e)
{
	uint64_t b = e->b, t = e->t, m;

	if (e->alone && e->isfloat)
		return t ? (((uint64_t)p->d.h << p->d.s) - t) &
			ml_elem_mask(e->w - 1) : 0;
	if (e->alone)
		b = (uint64_t)(int64_t)p->d.h << p->d.s;
	if (e->isfloat)
		b = ml_elem_map(e->w, b), t = ml_elem_map(e->w, t);
	m = (t - b) & ml_elem_mask(e->w);
	return m >> (e->w - 1) ? (0 - m) & ml_elem_mask(e->w) : m;
}

/* First: where the numbers lie. */
static void survey(struct ml_nanoenc *c, struct plan *p, struct one *e)
{
	const unsigned eb = e->isfloat ? ml_kind_ebits[e->kind] : 0;
	const uint64_t mag = e->t & ~((uint64_t)1 << (e->w - 1));
	int64_t x;

	(void)c;
	p->used = 1;
	p->alone = e->alone;
	p->isfloat = e->isfloat;
	p->w = e->w;
	if (requantised(e))
		return;
	x = (int64_t)ml_sign_extend(e->b, e->w);
	if (!e->alone) {
		p->or |= distance(p, e);
		if (e->isfloat) {
			p->exps[e->b >> (e->w - 1 - eb) & ((1u << eb) - 1)]++;
			return;
		}
	} else if (e->isfloat) {
		const uint64_t m = mag & (((uint64_t)1 << (e->w - 1 - eb)) - 1);

		p->or |= m;
		p->exps[mag >> (e->w - 1 - eb)]++;
		p->power[mag >> (e->w - 1 - eb)] |= !m && e->t;
		return;
	} else {
		x = (int64_t)ml_sign_extend(e->t, e->w);
		p->or |= e->t;
		p->centre[0] += ml_bitlen((uint64_t)(x < 0 ? -x : x));
		x = (int64_t)ml_sign_extend((e->t + 128) & 255, 8);
		p->centre[1] += ml_bitlen((uint64_t)(x < 0 ? -x : x));
		return;
	}
	p->min = x < p->min ? x : p->min;
	p->max = x > p->max ? x : p->max;
	if (e->w == 8)
		p->exps[e->b]++;
}

/* Then: which classes there are. */
static void count(struct ml_nanoenc *c, struct plan *p, struct one *e)
{
	const struct ml_desc *d = &p->d;
	unsigned ctx, k;
	int64_t q;

	if (requantised(e)) {
		const unsigned off = e->w == 4 ? 8 : 0, mask = (1u << e->w) - 1;
		unsigned r;

		r = ml_requant(ml_requant_ratio(c->st.scale_b, c->st.scale_t),
			e->w, ((unsigned)e->b - off) & mask, &ctx);
		r = ((unsigned)e->t - off - r) & mask;
		k = ml_bitlen(r >> (e->w - 1) ? (0 - r) & mask : r);
		p->hist[ctx][k]++;
		return;
	}
	scales(&c->st, e);
	k = ml_bitlen(distance(p, e) >> d->tz);
	if (e->alone) {
		ctx = p->k1 + p->k2;
		p->k2 = p->k1;
		p->k1 = (d->ctx[0] >> 2) + 1u;
		p->k1 = k > p->k1 ? 0 : p->k1 - k;
	} else {
		q = e->isfloat ? (int64_t)((e->b << 1 & ml_elem_mask(e->w)) >>
			d->s) : (int64_t)ml_sign_extend(e->b, e->w) >> d->s;
		q = d->h - q;
		ctx = q < 0 || q > 15 ? 15 : (unsigned)q;
	}
	p->hist[ctx > 15 ? 15 : ctx][k]++;
}

/* At last. */
static void emit(struct ml_nanoenc *c, struct plan *p, struct one *e)
{
	const unsigned up = 64 - e->w;

	(void)p;
	scales(&c->st, e);
	if (requantised(e))
		nano_requant(&c->rc, &c->st, e->slot, e->w, (unsigned)e->b,
			(unsigned)e->t);
	else
		nano_element(&c->rc, &c->st, e->slot, e->alone, e->isfloat,
			e->w, e->b << up, e->t << up);
}

/* ----- descriptors ------------------------------------------------------ */

/* The exponent from which on floats without a base are told downwards, so
 * that most of them get classes of few exponents; others are far away. */
static unsigned bound(const struct plan *p, unsigned n)
{
	uint64_t bits, least = UINT64_MAX;
	uint32_t h[16];
	unsigned i, j, k, best = n;

	for (i = 0; i < n; i++) {
		/* What is the bound itself would be a 0. */
		if (p->power[(i + 1) % n])
			continue;
		memset(h, 0, sizeof h);
		for (bits = 0, j = 0; j < n; j++) {
			k = j > i ? n - 1 : i - j; /* the difference */
			h[ml_bitlen(k)] += p->exps[j];
			k = ml_bitlen(k);
			bits += k < 2 ? 0 : (uint64_t)(k - 1) * p->exps[j];
		}
		bits += ml_entropy(h, 16);
		if (bits < least) {
			least = bits;
			best = i;
		}
	}
	return best;
}

/* Reference, shift and zero bits of a plan. */
static void choose(struct plan *p, unsigned kind)
{
	const unsigned eb = p->isfloat ? ml_kind_ebits[kind] : 0;
	struct ml_desc *d = &p->d;
	uint64_t n = 0, above = 0;
	int i;

	d->tz = (uint8_t)(p->or ? __builtin_ctzll(p->or) : 0);
	if (d->tz > 31)
		d->tz = 31;
	if (p->isfloat) {
		for (i = 0; i < 1 << eb; i++)
			n += p->exps[i];
		i = (1 << eb) - 1;
		if (p->alone) {
			i = (int)bound(p, 1u << eb);
			p->bad = i == 1 << eb;
			d->h = (int16_t)(i + 1);
			d->s = (uint8_t)(p->w - 1 - eb);
			if (!p->or) /* powers of two */
				d->tz = (uint8_t)(d->s > 31 ? 31 : d->s);
			return;
		}
		while (i > 0 && above + p->exps[i] <= n >> 10)
			above += p->exps[i--];
		d->h = (int16_t)i;
		d->s = (uint8_t)(p->w - eb);
		return;
	}
	if (p->alone) {
		d->s = 0;
		d->h = p->w == 4 ? 8 : p->w == 8 && p->centre[1] <
			p->centre[0] ? -128 : 0;
		if (p->w == 8 || d->h)
			d->tz = 0;
		return;
	}
	if (p->w == 8) {
		int64_t lo = -128, hi = 127;

		for (i = 0; i < 256; i++)
			n += p->exps[i];
		for (above = 0; hi > 0 && (above += p->exps[hi & 255]) <=
			n >> 8;)
			hi--;
		for (above = 0; lo < 0 && (above += p->exps[lo & 255]) <=
			n >> 8;)
			lo++;
		p->min = lo;
		p->max = hi;
	}
	for (i = 0; (p->max >> i) - (p->min >> i) > 15 ||
		p->max >> i > 2047; i++)
		;
	d->s = (uint8_t)i;
	d->h = (int16_t)(p->max >> i);
}

/* Bits of all classes by a descriptor; UINT64_MAX, if it cannot tell some. */
static uint64_t cost(const struct plan *p, const struct ml_desc *d)
{
	uint32_t h[4][NCLASS];
	uint64_t bits = 0;
	unsigned c, k, top;

	memset(h, 0, sizeof h);
	for (c = 0; c < 16; c++) {
		top = (d->ctx[c] >> 2) + 1u;
		for (k = 1; k < NCLASS; k++) {
			if (k > top && p->hist[c][k])
				return UINT64_MAX;
			if (k <= top)
				h[d->ctx[c] & 3][top - k] += p->hist[c][k];
		}
	}
	for (c = 0; c < 4; c++)
		bits += ml_entropy(h[c], NCLASS);
	return bits;
}

/* Contexts that go together: pairs are joined that cost the least, until four
 * groups are left. */
static void group(struct plan *p)
{
	uint32_t h[16][NCLASS];
	uint64_t e[16], both, least;
	unsigned of[16], n = 0, c, i, j, k, a, b, top, highest = 1;

	memset(h, 0, sizeof h);
	for (c = 0; c < 16; c++)
		for (k = 1; k < NCLASS; k++)
			if (p->hist[c][k] && k > highest)
				highest = k;
	top = p->alone ? highest : 1;
	for (c = 0; c < 16; c++) {
		unsigned any = 0;

		for (k = 1; k < NCLASS; k++)
			if (p->hist[c][k])
				any = k;
		if (any && !p->alone)
			top = any;
		of[c] = any ? n : 16;
		p->d.ctx[c] = (uint8_t)((top - 1) << 2);
		if (!any)
			continue;
		for (k = 1; k <= top; k++)
			h[n][top - k] = p->hist[c][k];
		e[n] = ml_entropy(h[n], NCLASS);
		n++;
	}
	while (n > 4) {
		least = UINT64_MAX;
		a = b = 0;
		for (i = 0; i < n; i++)
			for (j = 0; j < i; j++) {
				uint32_t sum[NCLASS];

				for (k = 0; k < NCLASS; k++)
					sum[k] = h[i][k] + h[j][k];
				both = ml_entropy(sum, NCLASS) - e[i] - e[j];
				if (both < least)
					least = both, a = j, b = i;
			}
		for (k = 0; k < NCLASS; k++)
			h[a][k] += h[b][k];
		e[a] = ml_entropy(h[a], NCLASS);
		n--;
		memcpy(h[b], h[n], sizeof h[b]);
		e[b] = e[n];
		for (c = 0; c < 16; c++)
			of[c] = of[c] == b ? a : of[c] == n ? b : of[c];
	}
	for (c = 0, k = 0; c < 16; c++) {
		k = of[c] < 16 ? of[c] : k;
		p->d.ctx[c] = (uint8_t)(p->d.ctx[c] | k);
	}
}

/* The descriptor that a slot has serves the plan, too. */
static int serves(const struct plan *p, const struct ml_desc *d)
{
	return d->type == p->d.type && d->tz <= p->d.tz &&
		(p->d.tz - d->tz < 3) && d->s == p->d.s &&
		(p->alone && !p->isfloat ? d->h == p->d.h :
			d->h >= p->d.h && d->h <= p->d.h + 1);
}

/* Makes sure that the descriptor is there. */
static void describe(struct ml_nanoenc *c, struct plan *p, unsigned slot)
{
	struct ml_desc *d = &c->st.desc[slot];

	if (!p || !p->used || c->in_use[slot] == p)
		return;
	c->in_use[slot] = p;
	if (!memcmp(d, &p->d, sizeof *d))
		return;
	nano_op(&c->rc, &c->st, ML_OP_DESC);
	rc_raw(&c->rc, 1, slot);
	*d = p->d;
	nano_desc(&c->rc, d);
	c->types |= UINT64_C(1) << ml_type_told(d->type);
}

/* ----- operations ------------------------------------------------------- */

static struct plan *plan_of(struct ml_nanoenc *c, unsigned type, int alone,
	unsigned slot)
{
	struct plan **p = &c->plan[type][alone][slot];

	if (!*p)
		*p = calloc(1, sizeof **p);
	return *p;
}

/* A literal as elements of type 0; big-endian elements as little-endian ones;
 * blocks that only class full knows as their plain twins. */
static void view(struct ml_nanoenc *c, struct ml_op_view *v,
	const uint8_t **base)
{
	unsigned w;

	if (v->op == ML_OP_LIT)
		v->type = 0;
	if (v->type < ML_TYPE_KEPT)
		v->type = ml_plain_twin(v->type);
	if (!ml_type_swapped(v->type))
		return;
	w = ml_type_bytes(v->type);
	memcpy(c->swapped, v->op == ML_OP_DIFF ? *base : v->data, v->bytes);
	ml_swap(c->swapped, w, v->bytes / w);
	if (v->op == ML_OP_DIFF)
		*base = c->swapped;
	else
		v->data = c->swapped;
}

static struct walk start(const struct ml_block *b)
{
	struct walk w = { b->code, b->code + b->n, b->base, { 0 } };

	return w;
}

/* The next operation, and the base of its elements. Returns 1, or 0 behind the
 * last one, or an error. */
static int next(const struct ml_nanoenc *c, struct walk *w,
	struct ml_op_view *v, const uint8_t **base, struct ml_diag *diag)
{
	struct ml_nano_run run;
	int r;

	if (!w->left.n && w->p == w->end)
		return 0;
	if (!w->left.n) {
		r = ml_op_read(&w->p, w->end, &w->left, diag);
		if (r)
			return r;
		if (ml_type_crossed(w->left.type)) {
			w->base += w->left.from;
			ml_op_uncross(&w->left);
		}
	}
	*v = w->left;
	*base = w->base;
	if (v->op == ML_OP_DIFF && c->cast &&
		ml_nano_cast_run(c->cast, v->arg, v->n, &run)) {
		v->type = run.type;
		v->n = run.units;
		v->bytes = v->n * ml_type_bytes(ml_type_made(v->type));
		v->arg = run.from;
		v->scale = run.scale;
		v->zero = run.zero;
	}
	w->left.n -= v->n;
	w->left.bytes -= v->bytes;
	w->left.arg += v->bytes;
	if (v->op == ML_OP_DIFF) {
		w->left.data += v->bytes;
		w->base += v->bytes;
	}
	return 1;
}

static int prepare(struct ml_nanoenc *c, const struct ml_block *b, int pass,
	struct ml_diag *diag)
{
	struct walk w = start(b);
	struct ml_op_view v;
	const uint8_t *q;
	int r, alone;

	while ((r = next(c, &w, &v, &q, diag)) > 0) {
		if (v.op == ML_OP_COPY || v.op == ML_OP_SELF)
			continue;
		view(c, &v, &q);
		alone = v.op != ML_OP_DIFF;
		if (!plan_of(c, v.type, alone, 0) ||
			!plan_of(c, v.type, alone, 1))
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		each(c, &v, q, pass ? count : survey);
	}
	return r;
}

/* All plans of a block. */
static int plans(struct ml_nanoenc *c, const struct ml_block *b,
	struct ml_diag *diag)
{
	const struct ml_type *t;
	struct plan *p;
	unsigned i, f, type, slot;
	uint64_t new, old;
	int r;

	for (i = 0; i < ML_TYPE_KEPT_END * 4; i++)
		if ((p = c->plan[i / 4][i / 2 & 1][i & 1]) != NULL)
			memset(p, 0, sizeof *p);
	r = prepare(c, b, 0, diag);
	if (r)
		return r;
	for (i = 0; i < ML_TYPE_KEPT_END * 4; i++) {
		type = i / 4;
		slot = i & 1;
		p = c->plan[type][i / 2 & 1][slot];
		if (!p || !p->used)
			continue;
		/* the other elements of a block are not those cast */
		p->d.type = (uint8_t)(slot ? ml_type_made(type) : type);
		t = &ml_types[ml_type_made(type)];
		for (f = 0; f < t->nfield; f++)
			if ((t->f[f].kind >= ML_K_FLOAT) == p->isfloat)
				break;
		choose(p, t->f[f].kind);
		if (serves(p, &c->st.desc[slot]))
			p->d = c->st.desc[slot];
		else
			memset(p->d.ctx, 0, sizeof p->d.ctx);
	}
	r = prepare(c, b, 1, diag);
	for (i = 0; i < ML_TYPE_KEPT_END * 4 && !r; i++) {
		p = c->plan[i / 4][i / 2 & 1][i & 1];
		if (!p || !p->used)
			continue;
		group(p);
		new = cost(p, &p->d) + DESC_BITS;
		old = serves(p, &c->st.desc[i & 1]) ?
			cost(p, &c->st.desc[i & 1]) : UINT64_MAX;
		if (old <= new)
			p->d = c->st.desc[i & 1];
	}
	return r;
}

/* The bytes that an element makes. */
static void make(struct ml_nanoenc *c, struct plan *p, struct one *e)
{
	(void)p;
	if (!ml_kind_pair(e->kind)) {
		ml_elem_store(c->made + c->nmade, e->w / 8, e->t);
		c->nmade += e->w / 8;
		return;
	}
	c->half ^= 1;
	if (c->half)
		c->made[c->nmade] = (uint8_t)e->t;
	else
		c->made[c->nmade++] |= (uint8_t)(e->t << 4);
}

/* An operation as bytes: where nothing is gained, or nothing possible. */
static void literal(struct ml_nanoenc *c, const struct ml_op_view *v,
	const uint8_t *base)
{
	size_t i;

	c->nmade = c->half = 0;
	each(c, v, base, make);
	if (ml_type_swapped(v->type))
		ml_swap(c->made, ml_type_bytes(v->type), (size_t)v->n);
	nano_op(&c->rc, &c->st, ML_OP_LIT);
	nano_num(&c->rc, &c->st, 0, v->bytes - 1);
	for (i = 0; i < v->bytes && !c->rc.full; i++)
		rc_byte(&c->rc, c->made[i]);
}

/* Whether the operation is to be bytes. */
static int raw(const struct ml_nanoenc *c, const struct ml_op_view *v,
	int stored)
{
	const int alone = v->op != ML_OP_DIFF;
	const struct plan *p = c->plan[v->type][alone][0];
	const struct plan *q = c->plan[v->type][alone][1];

	if (v->op == ML_OP_COPY || v->op == ML_OP_SELF)
		return 0;
	if (v->op == ML_OP_LIT && v->n < LIT_RAW && c->st.desc[1].type)
		return 1;
	return stored || p->bad || q->bad;
}

static void operation(struct ml_nanoenc *c, struct ml_op_view *v,
	const uint8_t *base, uint64_t tpos, int stored)
{
	struct rc_enc *rc = &c->rc;
	const int alone = v->op != ML_OP_DIFF;
	unsigned op = v->op;

	view(c, v, &base);
	if (raw(c, v, stored)) {
		literal(c, v, base);
		return;
	}
	if (op == ML_OP_LIT)
		op = ML_OP_ALONE;
	if (op >= ML_OP_DIFF) {
		describe(c, c->plan[v->type][alone][0], 0);
		describe(c, c->plan[v->type][alone][1], 1);
	}
	nano_op(rc, &c->st, op);
	nano_num(rc, &c->st, op & 1, v->n - 1);
	if (op == ML_OP_COPY || op == ML_OP_DIFF)
		nano_arg(rc, &c->st, 0, v->arg - tpos);
	else if (op == ML_OP_SELF)
		nano_arg(rc, &c->st, 1, v->arg);
	if (op == ML_OP_DIFF && v->type >= ML_TYPE_CODES)
		nano_scale(rc, &c->st, v->scale, v->zero);
	if (op >= ML_OP_DIFF)
		each(c, v, base, emit);
}

/* All of a block; how many bytes that gave, 0 for too many. */
static size_t operations(struct ml_nanoenc *c, const struct ml_block *b,
	uint64_t tpos, int stored)
{
	struct walk w = start(b);
	struct ml_op_view v;
	struct ml_diag diag;
	const uint8_t *base;

	c->in_use[0] = c->in_use[1] = NULL;
	c->types = 0;
	rc_start(&c->rc);
	while (!c->rc.full && next(c, &w, &v, &base, &diag) > 0) {
		tpos += v.bytes;
		operation(c, &v, base, tpos - v.bytes, stored);
	}
	return c->rc.full ? 0 : rc_end(&c->rc);
}

int ml_nano_encode(struct ml_nanoenc *c, const struct ml_block *b,
	uint64_t tpos, const uint8_t **code, size_t *n, struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n;
	struct ml_op_view v;
	uint64_t made = 0;
	size_t nbase = b->nbase;
	int r;

	*n = 0;
	while (p < end) { /* so that nothing else needs to look */
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			return r;
		if (v.bytes > b->n_out - made ||
			v.from > nbase)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"operation exceeds its block");
		nbase -= (size_t)v.from;
		made += v.bytes;
	}
	if (made != b->n_out || nbase)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"block makes %llu bytes, not %lu",
			(unsigned long long)made, (unsigned long)b->n_out);
	memcpy(c->prob0, c->prob, sizeof c->prob);
	c->st0 = c->st;
	r = plans(c, b, diag);
	if (r)
		return r;
	*n = operations(c, b, tpos, 0);
	if (!*n || *n > b->n) { /* no gain: bytes then */
		memcpy(c->prob, c->prob0, sizeof c->prob);
		c->st = c->st0;
		*n = operations(c, b, tpos, 1);
	}
	*code = c->rc.out;
	return ML_OK;
}
