/* SPDX-License-Identifier: MIT */
/* The byte differ: hash chains over base and window, a lazy parse by gain in
 * bits. The matches become operations in edit.c. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cands.h"
#include "cost.h"
#include "elem.h"
#include "edit.h"
#include "inplace.h"
#include "match.h"
#include "ops.h"
#include "seen.h"

#define BASE_MIN 8 /* bytes of a base that are worth an index */
#define STEPS 2048

/* Rough prices in bits; what adaptive coding makes of the operations. */
#define PRICE_OP 14 /* an operation, its length, and a literal run after it */
#define PRICE_NEW 6 /* a new address, beside the bits of its value */
#define GAIN_MIN 6
#define WINDOW_MIN 4 /* bytes of a match in the window */
/* Where literals cost so much nothing can be coded, and a match must be worth
 * its operation uncoded: a patch is never larger than its target. */
#define NOISE (62 * 32)
#define NOISE_MIN 24
#define BEGIN 64 /* bits that it takes to begin with elements of a type */

#define AREA 4096 /* bytes looked at for scattered changes */
#define LARGE (1u << 22) /* bytes of a base where time counts */
#define GAP_MIN 256 /* bytes that may be numbers */
#define PARSE_MAX (1u << 22) /* bytes parsed with care, which takes its time */

struct ml_match {
	struct ml_cands at; /* base and window, as the parser sees them */
	struct ml_window win;
	uint64_t bsize;
	unsigned inpage; /* of a patch in place, log2; 0: none */
	uint64_t lead; /* of it, in bytes */
	int64_t disp[2]; /* last displacements of base matches */
	uint64_t dist; /* last distance of a window match */
	struct ml_step step[STEPS];
	struct ml_parse *parse;
	uint64_t parsed; /* bytes that were */
	int described; /* see struct ml_edit */
	uint64_t literals; /* see struct ml_gap */
	int64_t steady;
	int err;
};

struct cand {
	int op; /* ML_OP_COPY, ML_OP_SELF; -1: none */
	uint64_t arg;
	size_t len, back;
	int64_t gain;
};

/* Base bytes that could not be read are a failure, too. */
static int failed(const struct ml_match *m)
{
	return m->err || !m->at.base ? m->err : ml_index_err(m->at.base);
}

int ml_match_new(struct ml_match **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag)
{
	struct ml_match *m = calloc(1, sizeof *m);
	int r;

	*out = NULL;
	if (!m)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	m->at.win = &m->win;
	r = ml_window_init(&m->win, diag);
	if (!r && base && base->size >= BASE_MIN) {
		r = ml_index_new(&m->at.base, base, bsrc, diag);
		m->bsize = base->size;
	}
	if (!r)
		r = ml_parse_new(&m->parse, diag);
	if (r)
		ml_match_free(m);
	else
		*out = m;
	return r;
}

void ml_match_free(struct ml_match *m)
{
	if (!m)
		return;
	ml_index_free(m->at.base);
	ml_window_free(&m->win);
	ml_parse_free(m->parse);
	free(m);
}

void ml_match_page(struct ml_match *m, unsigned page, unsigned lead)
{
	m->inpage = page;
	m->lead = (uint64_t)lead << page;
}

void ml_match_far(struct ml_match *m, const struct ml_dup_run *run, size_t n)
{
	m->at.far = run;
	m->at.nfar = n;
}

static void moved(struct ml_match *m, int64_t disp)
{
	if (disp != m->disp[0]) {
		m->disp[1] = m->disp[0];
		m->disp[0] = disp;
	}
}

int ml_match_skip(struct ml_match *m, const uint8_t *p, size_t n, int64_t disp,
	struct ml_diag *diag)
{
	(void)diag;
	moved(m, disp);
	ml_match_pass(m, p, n);
	return ML_OK;
}

void ml_match_pass(struct ml_match *m, const uint8_t *p, size_t n)
{
	m->described = 0; /* a tensor's took its place */
	ml_window_skip(&m->win, p, n);
}

void ml_match_jump(struct ml_match *m, uint64_t n, int64_t disp)
{
	moved(m, disp);
	m->described = 0;
	ml_window_jump(&m->win, n);
}

static void consider(struct cand *best, int op, uint64_t arg, size_t len,
	size_t back, unsigned lit, int64_t price)
{
	int64_t gain = (int64_t)((len + back) * lit >> 8) - price -
		(int64_t)ml_bitlen(len);

	if (gain > best->gain) {
		best->op = op;
		best->arg = arg;
		best->len = len;
		best->back = back;
		best->gain = gain;
	}
}

/* The displacement one step on from the last two. */
static int64_t onward(const struct ml_match *m)
{
	return (int64_t)(2 * (uint64_t)m->disp[0] - (uint64_t)m->disp[1]);
}

static void try_base(struct ml_match *m, struct cand *best, int64_t disp,
	size_t i, size_t end, size_t lits, unsigned lit)
{
	uint64_t off = m->win.from + i + (uint64_t)disp;
	const uint8_t *p = m->win.win + i;
	int64_t d = disp - m->disp[0];
	int64_t price = PRICE_OP;
	size_t len, back;

	if (off >= m->bsize)
		return;
	len = ml_index_len(m->at.base, off, p, (size_t)ml_page_room(m->inpage,
		m->win.from + i, off + m->lead, end - i));
	if (len < 2)
		return;
	if (m->inpage && off + m->lead < m->win.from + i &&
		lits > off % (1u << m->inpage))
		lits = off % (1u << m->inpage);
	back = ml_index_back(m->at.base, off, p, lits);
	if (disp == m->disp[1] || disp == onward(m))
		price += 1;
	else if (d)
		price += PRICE_NEW + (int64_t)ml_bitlen(
			(uint64_t)(d < 0 ? -d : d) * 2);
	consider(best, ML_OP_COPY, off, len, back, lit, price);
}

/* A run from far back, which may have begun before i. */
static void try_far(struct ml_match *m, struct cand *best, size_t i,
	size_t end, size_t lits, unsigned lit)
{
	const uint64_t here = m->win.from + i;
	const struct ml_dup_run *x = ml_dup_at(m->at.far, m->at.nfar, here);
	uint64_t len, dist;

	if (!x || x->at > here)
		return;
	len = x->at + x->len - here;
	dist = x->at - x->from;
	consider(best, ML_OP_SELF, dist, len < end - i ? (size_t)len : end - i,
		here - x->at < lits ? (size_t)(here - x->at) : lits, lit,
		PRICE_OP + (dist == m->dist ? 0 : PRICE_NEW +
		(int64_t)ml_bitlen(dist)));
}

/* The best match for win[i..end), with up to `lits` bytes before it that are
 * not coded yet. */
static void find(struct ml_match *m, struct cand *best, size_t i, size_t end,
	size_t lits, unsigned lit)
{
	const uint64_t here = m->win.from + i;
	const uint8_t *p = m->win.win + i;
	struct ml_window_look w;
	struct ml_index_look x;
	uint64_t off;
	unsigned kind;
	uint32_t d;
	size_t len;

	best->op = -1;
	best->gain = GAIN_MIN - 1;
	ml_window_index(&m->win, i);
	if (m->at.base) {
		try_base(m, best, m->disp[0], i, end, lits, lit);
		if (m->disp[1] != m->disp[0]) {
			try_base(m, best, m->disp[1], i, end, lits, lit);
			try_base(m, best, onward(m), i, end, lits, lit);
		}
	}
	for (kind = 0; kind < ML_INDEX_KINDS && m->at.base; kind++) {
		ml_index_look(m->at.base, kind, p, end - i, &x);
		while (ml_index_next(m->at.base, &x, &off))
			try_base(m, best, (int64_t)(off - here), i, end, lits,
				lit);
	}
	if (m->dist && m->dist <= i) {
		len = ml_common(p, p - m->dist, end - i);
		if (len >= 2)
			consider(best, ML_OP_SELF, m->dist, len, 0, lit,
				PRICE_OP);
	}
	ml_window_look(&m->win, i, end, &w);
	while ((d = ml_window_next(&m->win, &w))) {
		len = ml_common(p, p - d, end - i);
		if (len >= WINDOW_MIN)
			consider(best, ML_OP_SELF, d, len, 0, lit, PRICE_OP +
				PRICE_NEW + (int64_t)ml_bitlen(d));
	}
	try_far(m, best, i, end, lits, lit);
}

/* Cuts a match to whole elements counted from win[from]. */
static void trim(struct cand *c, size_t from, size_t i, size_t unit)
{
	size_t skip = (i - c->back - from) % unit;

	if (skip) {
		skip = unit - skip;
		if (skip > c->back + c->len) {
			c->op = -1;
			return;
		}
		if (skip <= c->back) {
			c->back -= skip;
		} else { /* never: searches begin at whole elements */
			c->op = -1;
			return;
		}
	}
	c->len -= (c->back + c->len) % unit;
	if (c->back + c->len == 0)
		c->op = -1;
}

/* Whether the next AREA bytes of a large file are mostly the base's at the
 * displacement of late, with small changes all over: then copies would be many
 * and short, and residuals of the whole (gap.c) are much faster. */
static int scattered(struct ml_match *m, size_t i, size_t end)
{
	uint64_t off = m->win.from + i + (uint64_t)m->disp[0];
	size_t at, n, k, part = 0, same = 0, runs = 0;
	const uint8_t *b;
	int was = 1, is;

	if (m->bsize < LARGE || end - i < AREA || off >= m->bsize ||
		m->bsize - off < AREA)
		return 0;
	for (at = 0; at < AREA; at += n) {
		b = ml_index_bytes(m->at.base, off + at, &n);
		if (!b)
			return 0;
		if (n > AREA - at)
			n = AREA - at;
		for (k = 0; k < n; k++) {
			is = b[k] == m->win.win[i + at + k];
			runs += was && !is;
			was = is;
			same += (size_t)is;
			if (++part == AREA / 8) {
				if (same < part / 2)
					return 0;
				part = same = 0;
			}
		}
	}
	return runs >= AREA / 128;
}

/* Sends the steps on and begins anew. */
static int steps_out(struct ml_edit *e, struct ml_step *step, size_t *n)
{
	int r = ml_edit(e, step, *n);

	*n = 0;
	return r;
}

static void add_step(struct ml_step *step, size_t *n, unsigned op, size_t at,
	size_t len, uint64_t arg)
{
	step[*n].op = op;
	step[*n].at = (uint32_t)at;
	step[*n].len = (uint32_t)len;
	step[(*n)++].arg = arg;
}

/* What a byte costs when no match covers it, in 1/256 bit. */
static unsigned literal_price(const uint8_t *p, size_t n, unsigned type)
{
	const unsigned least = type ? 1 : 128;
	uint64_t bits = type ?
		ml_cost_alone(type, p, n / ml_type_bytes(type)) + BEGIN :
		ml_cost_lit(p, n);

	bits = bits * 256 / n;
	return bits < least ? least : bits > 2048 ? 2048 : (unsigned)bits;
}

/* Some bytes from *i on, by the cheapest steps; or as one gap, where they are
 * rather numbers than a text. */
static int parsed(struct ml_match *m, struct ml_edit *e, size_t *i, size_t end)
{
	struct ml_reps reps = { { m->disp[0], m->disp[1] }, m->dist };
	const struct ml_step *step;
	struct ml_step one[2];
	size_t to = end - *i > ML_PARSE_LEN ? *i + ML_PARSE_LEN : end, n, own;
	uint64_t bits, gap;
	int r;

	n = ml_parse_run(m->parse, &ml_cands_ops, &m->at, m->win.win, *i, to,
		m->win.from + *i, e->described, &reps, &step, &bits);
	if (failed(m))
		return failed(m);
	to = step[n - 1].at + step[n - 1].len;
	own = step[n - 1].len >= ML_PARSE_NICE ? step[n - 1].at : to;
	own -= *i;
	if (own >= GAP_MIN) {
		r = ml_gap_price(&e->gap, m->win.from + *i, m->win.win + *i,
			own, &gap, e->diag);
		if (r)
			return r;
		if (gap + gap / 8 < bits) {
			one[0].at = (uint32_t)*i;
			one[0].len = (uint32_t)own;
			one[0].op = ML_OP_LIT;
			one[0].arg = 0;
			one[1] = step[n - 1];
			n = own < to - *i ? 2 : 1;
			step = one;
			if (n == 1) {
				reps.disp[0] = m->disp[0];
				reps.disp[1] = m->disp[1];
				reps.dist = m->dist;
			}
		}
	}
	m->disp[0] = reps.disp[0];
	m->disp[1] = reps.disp[1];
	m->dist = reps.dist;
	m->parsed += to - *i;
	*i = to;
	return ml_edit(e, step, n);
}

int ml_match_run(struct ml_match *m, const uint8_t *p, size_t n, unsigned type,
	ml_emit *emit, void *arg, struct ml_diag *diag)
{
	size_t unit = ml_type_bytes(type), from, end, i, done, miss = 0;
	size_t steps = 0, look = 0;
	struct cand c, d;
	unsigned lit;
	struct ml_edit e;

	if (m->at.base)
		ml_index_diag(m->at.base, diag);
	if (!n)
		return ML_OK;
	ml_window_push(&m->win, p, n);
	end = m->win.n;
	from = done = i = end - n;
	e.win = m->win.win;
	e.wfrom = m->win.from;
	lit = literal_price(p, n, type);
	e.described = m->described;
	if (!type)
		ml_parse_prior(m->parse, p, n);
	e.emit = emit;
	e.arg = arg;
	e.diag = diag;
	e.gap.m = m->at.base ? ml_index_src(m->at.base) : NULL;
	e.gap.bsize = m->bsize;
	e.gap.type = type;
	e.gap.page = m->inpage;
	e.gap.lead = m->lead;
	e.gap.literals = m->literals;
	e.gap.lit = type ? NULL : ml_parse_prices(m->parse);
	e.gap.steady = m->steady;
	e.gap.disp[0] = e.gap.disp[1] = m->disp[0];
	while (i < end && !failed(m)) {
		if (!type && !m->inpage && lit < NOISE && m->parsed < PARSE_MAX &&
			!scattered(m, i, end)) {
			m->err = parsed(m, &e, &i, end);
			done = i;
			continue;
		}
		if (!type && i >= look) {
			if (scattered(m, i, end)) {
				i += AREA;
				look = i;
				continue;
			}
			look = i + AREA / 4;
		}
		find(m, &c, i, end, i - done, lit);
		if (unit > 1 && c.op >= 0)
			trim(&c, from, i, unit);
		if (c.op >= 0 && lit >= NOISE && n >= AREA &&
			c.len + c.back < NOISE_MIN)
			c.op = -1;
		if (c.op < 0) {
			/* Faster where nothing is found for long. */
			i += unit * (1 + (++miss >> 7));
			continue;
		}
		while (i + unit < end) { /* would one later be better? */
			find(m, &d, i + unit, end, i + unit - done, lit);
			if (unit > 1 && d.op >= 0)
				trim(&d, from, i + unit, unit);
			if (d.op < 0 || d.gain <= c.gain + (int64_t)
				(d.back ? 0 : unit * lit >> 8))
				break;
			c = d;
			i += unit;
		}
		miss = 0;
		i -= c.back;
		c.len += c.back;
		if (i > done)
			add_step(m->step, &steps, ML_OP_LIT, done, i - done,
				0);
		if (c.op == ML_OP_COPY) {
			c.arg -= c.back;
			moved(m, (int64_t)(c.arg - m->win.from - i));
		} else {
			m->dist = c.arg;
		}
		add_step(m->step, &steps, (unsigned)c.op, i, c.len, c.arg);
		i += c.len;
		done = i;
		if (steps > STEPS - 3 && !failed(m))
			m->err = steps_out(&e, m->step, &steps);
	}
	if (end > done)
		add_step(m->step, &steps, ML_OP_LIT, done, end - done, 0);
	m->err = failed(m);
	if (!m->err)
		m->err = steps_out(&e, m->step, &steps);
	m->described = e.described;
	m->literals = e.gap.literals;
	m->steady = e.gap.steady;
	ml_window_index(&m->win, end);
	return m->err;
}
