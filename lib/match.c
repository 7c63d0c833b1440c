/* SPDX-License-Identifier: MIT */
/* The byte differ: hash chains over base and window, a lazy parse by gain in
 * bits. The matches become operations in edit.c. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cost.h"
#include "elem.h"
#include "edit.h"
#include "inplace.h"
#include "match.h"
#include "ops.h"

#define NEAR 8 /* bytes hashed for base positions indexed one by one */
#define FAR 24 /* bytes hashed for sparsely indexed ones */
#define WIN 4 /* bytes hashed for the window */
#define WIN_BITS 16
#define CHAIN 64 /* candidates looked at */
#define TRIES 24 /* of these, base positions compared */
#define NIL UINT32_MAX
#define PAGE 12 /* log2 of a base page */
#define PAGES 384 /* of them kept, when the base is larger than all */
#define RING (ML_MATCH_WINDOW + ML_BLOCK_OUT)
#define ML_STEPS 2048

/* Rough prices in bits; what adaptive coding makes of the operations. */
#define PRICE_OP 14 /* an operation, its length, and a literal run after it */
#define PRICE_NEW 6 /* a new address, beside the bits of its value */
#define GAIN_MIN 6
/* Where literals cost so much nothing can be coded, and a match must be worth
 * its operation uncoded: a patch is never larger than its target. */
#define NOISE 62
#define NOISE_MIN 24

#define AREA 4096 /* bytes looked at for scattered changes */
#define LARGE (1u << 22) /* bytes of a base where time counts */
#define GAP_MIN 256 /* bytes that may be numbers */
#define PARSE_MAX (1u << 22) /* bytes parsed with care, which takes its time */

struct ml_match {
	struct ml_src *bsrc;
	uint64_t bsize;
	uint8_t *page;
	uint64_t have[PAGES]; /* page number + 1 */
	unsigned npages;
	uint32_t *pos, *next, *head; /* base index, chained by hash */
	uint8_t *pos_hi;
	uint16_t *tag;
	size_t npos, cap;
	unsigned bits; /* of the hash */
	unsigned inpage; /* of a patch in place, log2; 0: none */
	uint64_t lead; /* of it, in bytes */
	int dense, sparse; /* which hashes occur */
	uint8_t *win; /* target bytes: history and the piece being coded */
	uint64_t wfrom; /* target offset of win[0] */
	size_t wn, sdone; /* bytes in win, of these indexed */
	uint32_t *shead, *sprev; /* window index, by offset modulo RING */
	int64_t disp[2]; /* last displacements of base matches */
	uint64_t dist; /* last distance of a window match */
	struct ml_step step[ML_STEPS];
	struct ml_parse *parse;
	uint64_t parsed; /* bytes that were */
	int described; /* see struct ml_edit */
	uint64_t literals; /* see struct ml_gap */
	int64_t steady;
	struct ml_diag *diag;
	int err;
};

struct cand {
	int op; /* ML_OP_COPY, ML_OP_SELF; -1: none */
	uint64_t arg;
	size_t len, back;
	int64_t gain;
};

static uint32_t hash_window(const uint8_t *p)
{
	return ml_load32(p) * 2654435761u >> (32 - WIN_BITS);
}

/* For the base: the high bits choose the chain, the low ones are kept as a
 * tag, so that few bytes of the base are read in vain. */
static uint64_t hash(const uint8_t *p, unsigned n)
{
	uint64_t h = 0;

	for (; n; n -= 8, p += 8) {
		h = (h ^ ml_load64(p)) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 40;
}

/* Base bytes from `off`, at least one; *n says how many. NULL at the end of
 * the base or after an error. */
static const uint8_t *base_at(struct ml_match *m, uint64_t off, size_t *n)
{
	uint64_t no = off >> PAGE, from = no << PAGE;
	size_t slot = no % PAGES, len;

	if (off >= m->bsize || m->err)
		return NULL;
	len = m->bsize - from < 1u << PAGE ? (size_t)(m->bsize - from) :
		1u << PAGE;
	if (m->have[slot] != no + 1) {
		m->err = ml_src_read(m->bsrc, from, m->page + (slot << PAGE),
			len, m->diag);
		if (m->err)
			return NULL;
		m->have[slot] = no + 1;
	}
	*n = len - (size_t)(off - from);
	return m->page + (slot << PAGE) + (off - from);
}

static size_t common(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;
	uint64_t x;

	for (; i + 8 <= n; i += 8) {
		x = ml_load64(a + i) ^ ml_load64(b + i);
		if (x)
			return i + (size_t)__builtin_ctzll(x) / 8;
	}
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/* How far win[i..end) agrees with the base at off. */
static size_t base_len(struct ml_match *m, uint64_t off, size_t i, size_t end)
{
	size_t len = 0, n, k;
	const uint8_t *b;

	while (i + len < end) {
		b = base_at(m, off + len, &n);
		if (!b)
			break;
		if (n > end - i - len)
			n = end - i - len;
		k = common(b, m->win + i + len, n);
		len += k;
		if (k < n)
			break;
	}
	return len;
}

/* How far both agree before, at most `max` bytes. */
static size_t base_back(struct ml_match *m, uint64_t off, size_t i, size_t max)
{
	size_t k = 0, n;
	const uint8_t *b;

	while (k < max && k < off) {
		b = base_at(m, off - k - 1, &n);
		if (!b || *b != m->win[i - k - 1])
			break;
		k++;
	}
	return k;
}

static void insert(struct ml_match *m, uint64_t off, const uint8_t *p,
	unsigned n)
{
	uint64_t h = hash(p, n);

	if (m->npos == m->cap)
		return;
	m->tag[m->npos] = (uint16_t)h;
	h >>= 64 - m->bits;
	m->pos[m->npos] = (uint32_t)off;
	m->pos_hi[m->npos] = (uint8_t)(off >> 32);
	m->next[m->npos] = m->head[h];
	m->head[h] = (uint32_t)m->npos++;
}

/* Indexes every step-th offset of one span. */
static void index_span(struct ml_match *m, const struct ml_span *sp,
	uint64_t step)
{
	unsigned want = step == 1 ? NEAR : FAR;
	uint64_t off = (sp->off + step - 1) / step * step;
	uint8_t tmp[FAR];
	const uint8_t *p;
	size_t n;

	for (; off < sp->off + sp->len && off + want <= m->bsize;
		off += step) {
		p = base_at(m, off, &n);
		if (!p)
			return;
		if (n < want) { /* across two pages */
			m->err = ml_src_read(m->bsrc, off, tmp, want, m->diag);
			if (m->err)
				return;
			p = tmp;
		}
		insert(m, off, p, want);
	}
	if (step == 1)
		m->dense = 1;
	else
		m->sparse = 1;
}

static int index_base(struct ml_match *m, const struct ml_model *base)
{
	uint64_t skel = 0, tens = 0, sstep = 1, tstep = 1, room;
	size_t i;

	for (i = 0; i < base->nspan; i++)
		*(base->span[i].kind == ML_TENSOR ? &tens : &skel) +=
			base->span[i].len;
	while (skel / sstep > ML_MATCH_ENTRIES / 2)
		sstep *= 2;
	room = ML_MATCH_ENTRIES - skel / sstep;
	while (tens / tstep > room)
		tstep *= 2;
	m->cap = (size_t)(skel / sstep + tens / tstep) + 2 * base->nspan + 16;
	if (m->cap > ML_MATCH_ENTRIES + 16)
		m->cap = ML_MATCH_ENTRIES + 16;
	for (m->bits = 10; m->bits < 20 && m->cap >> m->bits; m->bits++)
		;
	m->npages = m->bsize >> PAGE < PAGES ?
		(unsigned)(m->bsize >> PAGE) + 1 : PAGES;
	m->page = malloc((size_t)m->npages << PAGE);
	m->pos = malloc(m->cap * sizeof *m->pos);
	m->pos_hi = malloc(m->cap);
	m->tag = malloc(m->cap * sizeof *m->tag);
	m->next = malloc(m->cap * sizeof *m->next);
	m->head = malloc(sizeof *m->head << m->bits);
	if (!m->page || !m->pos || !m->pos_hi || !m->tag || !m->next ||
		!m->head)
		return ml_fail(m->diag, ML_ENOMEM, ML_NOWHERE,
			"out of memory");
	memset(m->head, 0xff, sizeof *m->head << m->bits);
	for (i = 0; i < base->nspan && !m->err; i++)
		index_span(m, &base->span[i],
			base->span[i].kind == ML_TENSOR ? tstep : sstep);
	return m->err;
}

int ml_match_new(struct ml_match **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag)
{
	struct ml_match *m = calloc(1, sizeof *m);
	int r = ML_OK;

	*out = NULL;
	if (m) {
		m->win = malloc(RING);
		m->shead = malloc(sizeof *m->shead << WIN_BITS);
		m->sprev = malloc(sizeof *m->sprev * RING);
	}
	if (!m || !m->win || !m->shead || !m->sprev) {
		ml_match_free(m);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	memset(m->shead, 0xff, sizeof *m->shead << WIN_BITS);
	m->diag = diag;
	if (base && base->size >= NEAR) {
		m->bsrc = bsrc;
		m->bsize = base->size;
		r = index_base(m, base);
	}
	if (!r)
		r = ml_parse_new(&m->parse, diag);
	if (r) {
		ml_match_free(m);
		return r;
	}
	*out = m;
	return ML_OK;
}

void ml_match_free(struct ml_match *m)
{
	if (!m)
		return;
	free(m->page);
	free(m->pos);
	free(m->pos_hi);
	free(m->tag);
	free(m->next);
	free(m->head);
	free(m->win);
	free(m->shead);
	free(m->sprev);
	ml_parse_free(m->parse);
	free(m);
}

void ml_match_page(struct ml_match *m, unsigned page, unsigned lead)
{
	m->inpage = page;
	m->lead = (uint64_t)lead << page;
}

/* Puts p behind the window; what is too far back falls out. */
static void push(struct ml_match *m, const uint8_t *p, size_t n)
{
	size_t drop;

	if (m->wn + n > RING) {
		drop = m->wn > ML_MATCH_WINDOW ? m->wn - ML_MATCH_WINDOW : 0;
		if (m->wn - drop + n > RING)
			drop = m->wn + n - RING;
		memmove(m->win, m->win + drop, m->wn - drop);
		m->wn -= drop;
		m->sdone = m->sdone > drop ? m->sdone - drop : 0;
		m->wfrom += drop;
	}
	memcpy(m->win + m->wn, p, n);
	m->wn += n;
}

int ml_match_skip(struct ml_match *m, const uint8_t *p, size_t n, int64_t disp,
	struct ml_diag *diag)
{
	(void)diag;
	if (disp != m->disp[0]) {
		m->disp[1] = m->disp[0];
		m->disp[0] = disp;
	}
	if (n > ML_MATCH_WINDOW) {
		m->wfrom += n - ML_MATCH_WINDOW;
		p += n - ML_MATCH_WINDOW;
		n = ML_MATCH_WINDOW;
		m->wfrom += m->wn;
		m->wn = 0;
	}
	m->described = 0; /* a tensor's took its place */
	push(m, p, n);
	m->sdone = m->wn;
	return ML_OK;
}

void ml_match_jump(struct ml_match *m, uint64_t n, int64_t disp)
{
	if (disp != m->disp[0]) {
		m->disp[1] = m->disp[0];
		m->disp[0] = disp;
	}
	m->wfrom += m->wn + n;
	m->wn = m->sdone = 0;
	m->described = 0;
}

static void index_window(struct ml_match *m, size_t to)
{
	uint32_t h, at;

	for (; m->sdone < to && m->sdone + WIN <= m->wn; m->sdone++) {
		h = hash_window(m->win + m->sdone);
		at = (uint32_t)((m->wfrom + m->sdone) % RING);
		m->sprev[at] = m->shead[h];
		m->shead[h] = (uint32_t)(m->wfrom + m->sdone);
	}
}

static void consider(struct cand *best, int op, uint64_t arg, size_t len,
	size_t back, unsigned lit, int64_t price)
{
	int64_t gain = (int64_t)((len + back) * lit >> 3) - price -
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
	uint64_t off = m->wfrom + i + (uint64_t)disp;
	int64_t d = disp - m->disp[0];
	int64_t price = PRICE_OP;
	size_t len, back;

	if (off >= m->bsize)
		return;
	end = i + (size_t)ml_page_room(m->inpage, m->wfrom + i, off + m->lead,
		end - i);
	len = base_len(m, off, i, end);
	if (len < 2)
		return;
	if (m->inpage && off + m->lead < m->wfrom + i &&
		lits > off % (1u << m->inpage))
		lits = off % (1u << m->inpage);
	back = base_back(m, off, i, lits);
	if (disp == m->disp[1] || disp == onward(m))
		price += 1;
	else if (d)
		price += PRICE_NEW + (int64_t)ml_bitlen(
			(uint64_t)(d < 0 ? -d : d) * 2);
	consider(best, ML_OP_COPY, off, len, back, lit, price);
}

/* The best match for win[i..end), with up to `lits` bytes before it that are
 * not coded yet. */
static void find(struct ml_match *m, struct cand *best, size_t i, size_t end,
	size_t lits, unsigned lit)
{
	uint64_t here = m->wfrom + i, d, h;
	unsigned n, kind, tried;
	uint32_t e;
	size_t len;

	best->op = -1;
	best->gain = GAIN_MIN - 1;
	index_window(m, i);
	if (m->bsize) {
		try_base(m, best, m->disp[0], i, end, lits, lit);
		if (m->disp[1] != m->disp[0]) {
			try_base(m, best, m->disp[1], i, end, lits, lit);
			try_base(m, best, onward(m), i, end, lits, lit);
		}
	}
	for (kind = 0; kind < 2 && m->bsize; kind++) {
		unsigned want = kind ? FAR : NEAR;

		if ((kind ? !m->sparse : !m->dense) || end - i < want)
			continue;
		h = hash(m->win + i, want);
		e = m->head[h >> (64 - m->bits)];
		for (n = tried = 0; e != NIL && n < CHAIN && tried < TRIES;
			n++, e = m->next[e]) {
			if (m->tag[e] != (uint16_t)h)
				continue;
			tried++;
			try_base(m, best, (int64_t)(((uint64_t)m->pos_hi[e]
				<< 32 | m->pos[e]) - here), i, end, lits, lit);
		}
	}
	if (m->dist && m->dist <= i) {
		len = common(m->win + i, m->win + i - m->dist, end - i);
		if (len >= 2)
			consider(best, ML_OP_SELF, m->dist, len, 0, lit,
				PRICE_OP);
	}
	if (end - i < WIN)
		return;
	e = m->shead[hash_window(m->win + i)];
	for (n = 0; e != NIL && n < CHAIN; n++) {
		d = (uint32_t)((uint32_t)here - e);
		if (!d || d > i || d > ML_MATCH_WINDOW)
			break;
		len = common(m->win + i, m->win + i - d, end - i);
		if (len >= WIN)
			consider(best, ML_OP_SELF, d, len, 0, lit, PRICE_OP +
				PRICE_NEW + (int64_t)ml_bitlen(d));
		e = m->sprev[(here - d) % RING];
		if ((uint32_t)((uint32_t)here - e) <= d)
			break; /* overwritten */
	}
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
	uint64_t off = m->wfrom + i + (uint64_t)m->disp[0];
	size_t at, n, k, part = 0, same = 0, runs = 0;
	const uint8_t *b;
	int was = 1, is;

	if (m->bsize < LARGE || end - i < AREA || off >= m->bsize ||
		m->bsize - off < AREA)
		return 0;
	for (at = 0; at < AREA; at += n) {
		b = base_at(m, off + at, &n);
		if (!b)
			return 0;
		if (n > AREA - at)
			n = AREA - at;
		for (k = 0; k < n; k++) {
			is = b[k] == m->win[i + at + k];
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

/* What a byte costs when no match covers it, in 1/8 bit. */
static unsigned literal_price(const uint8_t *p, size_t n, unsigned type)
{
	uint64_t bits = type ?
		ml_cost_alone(type, p, n / ml_type_bytes(type)) :
		ml_cost_lit(p, n);

	bits = bits * 8 / n;
	return bits < 4 ? 4 : bits > 64 ? 64 : (unsigned)bits;
}

/* ----- the parser's view ------------------------------------------------ */

static int base_byte(void *arg, uint64_t off)
{
	const uint8_t *p;
	size_t n;

	p = base_at(arg, off, &n);
	return p ? *p : -1;
}

/* Adds a match unless it is no longer than one that was found before. */
static void found(struct ml_cand *c, size_t *n, unsigned op, uint64_t arg,
	size_t len)
{
	if (*n == ML_PARSE_CANDS || len < 2)
		return;
	c[*n].op = op;
	c[*n].arg = arg;
	c[(*n)++].len = len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
}

static size_t base_matches(struct ml_match *m, size_t i, size_t end,
	const struct ml_reps *reps, struct ml_cand *c, size_t n)
{
	const uint64_t here = m->wfrom + i;
	const int64_t d[3] = { reps->disp[0], reps->disp[1],
		(int64_t)(2 * (uint64_t)reps->disp[0] -
		(uint64_t)reps->disp[1]) };
	size_t most = 0, len;
	unsigned k, j, kind, want, tried;
	uint64_t h, off;
	uint32_t e;

	for (k = 0; k < 3; k++) {
		for (j = 0; j < k && d[j] != d[k]; j++)
			;
		off = here + (uint64_t)d[k];
		if (j < k || off >= m->bsize)
			continue;
		len = base_len(m, off, i, end);
		found(c, &n, ML_OP_COPY, off, len);
		most = len > most ? len : most;
	}
	for (kind = 0; kind < 2 && most < ML_PARSE_NICE; kind++) {
		want = kind ? FAR : NEAR;
		if ((kind ? !m->sparse : !m->dense) || end - i < want)
			continue;
		h = hash(m->win + i, want);
		e = m->head[h >> (64 - m->bits)];
		for (k = tried = 0; e != NIL && k < CHAIN && tried < TRIES;
			k++, e = m->next[e]) {
			if (m->tag[e] != (uint16_t)h)
				continue;
			tried++;
			off = (uint64_t)m->pos_hi[e] << 32 | m->pos[e];
			len = base_len(m, off, i, end);
			if (len > most || (len == most && len > 3))
				found(c, &n, ML_OP_COPY, off, len);
			most = len > most ? len : most;
		}
	}
	return n;
}

static size_t window_matches(struct ml_match *m, size_t i, size_t end,
	const struct ml_reps *reps, struct ml_cand *c, size_t n)
{
	const uint64_t here = m->wfrom + i;
	size_t most = 3, len;
	unsigned k;
	uint64_t d;
	uint32_t e;

	if (reps->dist && reps->dist <= i)
		found(c, &n, ML_OP_SELF, reps->dist,
			common(m->win + i, m->win + i - reps->dist, end - i));
	if (end - i < WIN)
		return n;
	e = m->shead[hash_window(m->win + i)];
	for (k = 0; e != NIL && k < CHAIN; k++) {
		d = (uint32_t)((uint32_t)here - e);
		if (!d || d >= UINT32_MAX / 2) { /* not before: a second look */
			k--;
			e = m->sprev[e % RING];
			continue;
		}
		if (d > i || d > ML_MATCH_WINDOW)
			break;
		len = common(m->win + i, m->win + i - d, end - i);
		if (len > most)
			found(c, &n, ML_OP_SELF, d, len);
		most = len > most ? len : most;
		e = m->sprev[(here - d) % RING];
		if ((uint32_t)((uint32_t)here - e) <= d)
			break; /* overwritten */
	}
	return n;
}

static size_t find_all(void *arg, size_t i, size_t end,
	const struct ml_reps *reps, struct ml_cand *c)
{
	struct ml_match *m = arg;
	size_t n = 0;

	index_window(m, i);
	if (m->bsize)
		n = base_matches(m, i, end, reps, c, n);
	return window_matches(m, i, end, reps, c, n);
}

/* Some bytes from *i on, by the cheapest steps; or as one gap, where they are
 * rather numbers than a text. */
static int parsed(struct ml_match *m, struct ml_edit *e, size_t *i, size_t end)
{
	static const struct ml_parse_ops ops = { find_all, base_byte };
	struct ml_reps reps = { { m->disp[0], m->disp[1] }, m->dist };
	const struct ml_step *step;
	struct ml_step one[2];
	size_t to = end - *i > ML_PARSE_LEN ? *i + ML_PARSE_LEN : end, n, own;
	uint64_t bits, gap;
	int r;

	n = ml_parse_run(m->parse, &ops, m, m->win, *i, to, m->wfrom + *i,
		e->described, &reps, &step, &bits);
	if (m->err)
		return m->err;
	to = step[n - 1].at + step[n - 1].len;
	own = step[n - 1].len >= ML_PARSE_NICE ? step[n - 1].at : to;
	own -= *i;
	if (own >= GAP_MIN) {
		r = ml_gap_price(&e->gap, m->wfrom + *i, m->win + *i, own,
			&gap, m->diag);
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
	int64_t disp;

	m->diag = diag;
	if (!n)
		return ML_OK;
	push(m, p, n);
	end = m->wn;
	from = done = i = end - n;
	e.win = m->win;
	e.wfrom = m->wfrom;
	lit = literal_price(p, n, type);
	e.described = m->described;
	if (!type)
		ml_parse_prior(m->parse, p, n);
	e.emit = emit;
	e.arg = arg;
	e.diag = diag;
	e.gap.m = m->bsize ? m->bsrc : NULL;
	e.gap.bsize = m->bsize;
	e.gap.type = type;
	e.gap.page = m->inpage;
	e.gap.lead = m->lead;
	e.gap.literals = m->literals;
	e.gap.lit = type ? NULL : ml_parse_prices(m->parse);
	e.gap.steady = m->steady;
	e.gap.disp[0] = e.gap.disp[1] = m->disp[0];
	while (i < end && !m->err) {
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
				(d.back ? 0 : unit * lit >> 3))
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
			disp = (int64_t)(c.arg - m->wfrom - i);
			if (disp != m->disp[0]) {
				m->disp[1] = m->disp[0];
				m->disp[0] = disp;
			}
		} else {
			m->dist = c.arg;
		}
		add_step(m->step, &steps, (unsigned)c.op, i, c.len, c.arg);
		i += c.len;
		done = i;
		if (steps > ML_STEPS - 3 && !m->err)
			m->err = steps_out(&e, m->step, &steps);
	}
	if (end > done)
		add_step(m->step, &steps, ML_OP_LIT, done, end - done, 0);
	if (!m->err)
		m->err = steps_out(&e, m->step, &steps);
	m->described = e.described;
	m->literals = e.gap.literals;
	m->steady = e.gap.steady;
	index_window(m, end);
	return m->err;
}
