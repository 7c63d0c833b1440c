/* SPDX-License-Identifier: MIT */
/* Dynamic programming over positions, forward, as LZMA's and zstd's optimal
 * parsers do it. At each position there are three ways to have come: by a
 * copy, inside literals, inside residuals; a run of the latter two is one
 * operation however long it gets, so they are kept apart. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "elem.h"
#include "litprice.h"
#include "ops.h"
#include "parse.h"

#define NEVER UINT32_MAX
#define ALL 48 /* lengths of a match that are all tried */

/* Prices in 1/8 bit: what adaptive coding makes of things, about. */
#define PRICE_REP 6 /* the last displacement, or distance */
#define PRICE_NEAR 20 /* one of the other two displacements */
#define PRICE_NEW 24 /* beside the number */
#define PRICE_DESC 100
#define PRICE_SAME 1 /* a residual of 0 */
#define PRICE_AGAIN 40 /* a residual as that four bytes before */
#define PRICE_OTHER 70

enum way { BY_COPY, BY_LIT, BY_DIFF, NWAY };

/* The cheapest way of a kind to a position. */
struct node {
	uint32_t cost, from; /* where the operation began */
	uint8_t prev; /* the way to there */
	uint8_t op;
	uint64_t arg;
	struct ml_reps reps;
};

struct ml_parse {
	struct node node[ML_PARSE_LEN + 1][NWAY];
	struct ml_step step[ML_PARSE_LEN + 2];
	struct ml_cand cand[ML_PARSE_CANDS];
	uint8_t residual[ML_PARSE_LEN];
	struct ml_litprice lit;
};

int ml_parse_new(struct ml_parse **out, struct ml_diag *diag)
{
	*out = malloc(sizeof **out);
	if (!*out)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	ml_litprice_reset(&(*out)->lit);
	return ML_OK;
}

void ml_parse_free(struct ml_parse *p)
{
	free(p);
}

/* A number as the coder has it: its length in unary, and the rest. */
static uint32_t price_number(uint64_t v)
{
	const uint32_t n = ml_bitlen(v + 1) - 1;

	return 7 * (n + 1) + 7 * n;
}

static uint32_t price_op(enum way before, unsigned op)
{
	static const uint8_t price[NWAY][5] = {
		/* LIT, COPY, SELF, DIFF */
		[BY_COPY] = { 8, 16, 16, 40, 0 },
		[BY_LIT] = { 0, 8, 12, 36, 0 },
		[BY_DIFF] = { 16, 16, 20, 0, 0 }
	};

	return price[before][op];
}

static uint32_t price_disp(const struct ml_reps *r, int64_t disp)
{
	const uint64_t d = (uint64_t)disp - (uint64_t)r->disp[0];

	if (!d)
		return PRICE_REP;
	if (disp == r->disp[1] || (uint64_t)disp ==
		2 * (uint64_t)r->disp[0] - (uint64_t)r->disp[1])
		return PRICE_NEAR;
	return PRICE_NEW + price_number(d << 1 ^ (0 - (d >> 63)));
}

static uint32_t price_dist(const struct ml_reps *r, uint64_t dist)
{
	return dist == r->dist ? PRICE_REP : 8 + price_number(dist - 1);
}

static void use_disp(struct ml_reps *r, int64_t disp)
{
	if (disp != r->disp[0]) {
		r->disp[1] = r->disp[0];
		r->disp[0] = disp;
	}
}

static enum way cheapest(const struct node n[NWAY])
{
	enum way w = BY_COPY;

	if (n[BY_LIT].cost < n[w].cost)
		w = BY_LIT;
	if (n[BY_DIFF].cost < n[w].cost)
		w = BY_DIFF;
	return w;
}

/* The same, but not by one way. */
static enum way other(const struct node n[NWAY], enum way not)
{
	const enum way a = not == BY_COPY ? BY_LIT : BY_COPY;
	const enum way b = not == BY_DIFF ? BY_LIT : BY_DIFF;

	return n[b].cost < n[a].cost ? b : a;
}

/* One byte more of a run that goes on, at a price; or of one that begins, at
 * another. */
static void extend(struct node (*at)[NWAY], size_t k, enum way w, uint32_t on,
	uint32_t begin)
{
	const enum way o = other(at[0], w);
	const unsigned op = w == BY_LIT ? ML_OP_LIT : ML_OP_DIFF;
	const struct node *go = &at[0][w], *new = &at[0][o];
	struct node *to = &at[1][w];
	uint32_t a = NEVER, b = NEVER, n;

	if (go->cost != NEVER && on != NEVER) {
		n = (uint32_t)k - go->from;
		a = go->cost + on + price_number(n) - price_number(n - 1);
	}
	if (new->cost != NEVER && begin != NEVER)
		b = new->cost + begin + price_number(0) + price_op(o, op);
	if (a == NEVER && b == NEVER)
		return;
	if (a <= b) {
		*to = *go;
		to->cost = a;
		return;
	}
	to->cost = b;
	to->from = (uint32_t)k;
	to->prev = (uint8_t)o;
	to->op = (uint8_t)op;
	to->reps = new->reps;
}

static void take(struct node (*node)[NWAY], size_t k, enum way before,
	const struct ml_cand *c, uint32_t len, uint32_t price, uint64_t off)
{
	struct node *to = &node[k + len][BY_COPY];
	const struct node *n = &node[k][before];
	const uint32_t cost = n->cost + price + price_number(len - 1);

	if (cost >= to->cost)
		return;
	to->cost = cost;
	to->from = (uint32_t)k;
	to->prev = (uint8_t)before;
	to->op = (uint8_t)c->op;
	to->arg = c->arg;
	to->reps = n->reps;
	if (c->op == ML_OP_COPY)
		use_disp(&to->reps, (int64_t)(c->arg - off));
	else
		to->reps.dist = c->arg;
}

/* What the byte k costs as a residual at a displacement; NEVER: not at all. */
static uint32_t price_residual(struct ml_parse *p,
	const struct ml_parse_ops *ops, void *arg, const uint8_t *win, size_t k,
	uint64_t off, int64_t disp)
{
	const int b = ops->base(arg, off + (uint64_t)disp);

	if (b < 0)
		return NEVER;
	p->residual[k] = (uint8_t)(win[k] - b);
	return !p->residual[k] ? PRICE_SAME : k >= 4 &&
		p->residual[k] == p->residual[k - 4] ? PRICE_AGAIN :
		PRICE_OTHER;
}

/* A run of residuals goes on; one begins where bytes differ, at the last
 * displacement. */
static void residuals(struct ml_parse *p, const struct ml_parse_ops *ops,
	void *arg, const uint8_t *win, size_t k, uint64_t off, int described)
{
	struct node (*at)[NWAY] = p->node + k;
	const enum way o = other(at[0], BY_DIFF);
	uint32_t on = NEVER, begin = NEVER;

	if (at[0][o].cost != NEVER) {
		begin = price_residual(p, ops, arg, win, k, off,
			at[0][o].reps.disp[0]);
		if (begin == PRICE_SAME) /* a copy is as good */
			begin = NEVER;
		if (begin != NEVER)
			begin += PRICE_REP + (described ? 0u : PRICE_DESC);
	}
	if (at[0][BY_DIFF].cost != NEVER)
		on = price_residual(p, ops, arg, win, k, off,
			at[0][BY_DIFF].reps.disp[0]);
	extend(at, k, BY_DIFF, on, begin);
}

static void matches(struct ml_parse *p, size_t n, size_t k, uint64_t off,
	size_t nc)
{
	const enum way w = cheapest(p->node[k]);
	const struct node *b = &p->node[k][w];
	uint32_t price, len, all;
	size_t i;

	for (i = 0; i < nc; i++) {
		const struct ml_cand *c = &p->cand[i];

		price = price_op(w, c->op) + (c->op == ML_OP_COPY ?
			price_disp(&b->reps, (int64_t)(c->arg - off)) :
			price_dist(&b->reps, c->arg));
		len = c->len < n - k ? c->len : (uint32_t)(n - k);
		all = len < ALL ? len : ALL;
		for (; all >= 2; all--)
			take(p->node, k, w, c, all, price, off);
		if (len > ALL)
			take(p->node, k, w, c, len, price, off);
	}
}

/* Steps to position k, last of all one that ends there. */
static size_t steps_to(struct ml_parse *p, size_t k, size_t i, uint64_t off)
{
	size_t n = 0, at = k, m, j;
	enum way w = cheapest(p->node[k]);
	struct ml_step s;

	while (at) {
		const struct node *d = &p->node[at][w];

		p->step[n].at = (uint32_t)(i + d->from);
		p->step[n].len = (uint32_t)(at - d->from);
		p->step[n].op = d->op;
		p->step[n].arg = d->op == ML_OP_DIFF ? off + d->from +
			(uint64_t)d->reps.disp[0] : d->arg;
		n++;
		at = d->from;
		w = (enum way)d->prev;
	}
	for (j = 0, m = n; j + 1 < m; j++) {
		m--;
		s = p->step[j];
		p->step[j] = p->step[m];
		p->step[m] = s;
	}
	return n;
}

/* The four bytes before one. */
static uint32_t before(const uint8_t *win, size_t i)
{
	uint32_t h = 0;
	size_t k;

	for (k = i < 4 ? i : 4; k; k--)
		h = h << 8 | win[i - k];
	return h;
}

/* One parse; returns how far it came, and the nice match there. */
static size_t pass(struct ml_parse *p, const struct ml_parse_ops *ops,
	void *arg, const uint8_t *win, size_t i, size_t n, uint64_t off,
	int described, const struct ml_reps *reps, struct ml_cand *nice)
{
	size_t k, nc, j;
	uint32_t lit;

	memset(p->node, 0xff, (n + 1) * sizeof p->node[0]); /* NEVER */
	memset(p->residual, 0, n);
	p->node[0][BY_COPY].cost = 0;
	p->node[0][BY_COPY].reps = *reps;
	nice->len = 0;
	for (k = 0; k < n; k++) {
		const struct node *b = &p->node[k][cheapest(p->node[k])];

		nc = ops->find(arg, i + k, i + n, &b->reps, p->cand);
		for (j = 0; j < nc; j++)
			if (p->cand[j].len >= ML_PARSE_NICE &&
				p->cand[j].len > nice->len)
				*nice = p->cand[j];
		if (nice->len)
			break;
		lit = ml_litprice(&p->lit, before(win, i + k), off + k,
			win[i + k]);
		lit -= lit / 8; /* mixing does better than this */
		extend(p->node + k, k, BY_LIT, lit, lit);
		residuals(p, ops, arg, win + i, k, off + k, described);
		matches(p, n, k, off + k, nc);
	}
	return k;
}

size_t ml_parse_run(struct ml_parse *p, const struct ml_parse_ops *ops,
	void *arg, const uint8_t *win, size_t i, size_t end, uint64_t off,
	int described, struct ml_reps *reps, const struct ml_step **steps,
	uint64_t *bits)
{
	struct ml_cand nice;
	size_t k, ns, j, b;

	*steps = p->step;
	k = pass(p, ops, arg, win, i, end - i, off, described, reps, &nice);
	/* once more, now that it is known what will be literals */
	ns = steps_to(p, k, i, off);
	for (j = 0; j < ns; j++)
		for (b = p->step[j].at; p->step[j].op == ML_OP_LIT &&
			b < p->step[j].at + p->step[j].len; b++)
			ml_litprice_learn(&p->lit, before(win, b),
				off + b - i, win[b]);
	if (k) {
		k = pass(p, ops, arg, win, i, end - i, off, described, reps,
			&nice);
		ns = steps_to(p, k, i, off);
	}
	*reps = p->node[k][cheapest(p->node[k])].reps;
	*bits = p->node[k][cheapest(p->node[k])].cost / 8;
	if (!nice.len)
		return ns;
	p->step[ns].at = (uint32_t)(i + k);
	p->step[ns].len = nice.len;
	p->step[ns].op = nice.op;
	p->step[ns].arg = nice.arg;
	if (nice.op == ML_OP_COPY)
		use_disp(reps, (int64_t)(nice.arg - off - k));
	else
		reps->dist = nice.arg;
	return ns + 1;
}

const struct ml_litprice *ml_parse_prices(const struct ml_parse *p)
{
	return &p->lit;
}

void ml_parse_prior(struct ml_parse *p, const uint8_t *b, size_t n)
{
	ml_litprice_prior(&p->lit, b, n);
}
