/* SPDX-License-Identifier: MIT */
/* Elements of a range of the base in another order, ml-patch(5), CASTS. What
 * is asked for falls into boxes of indices; a box is read at once where that
 * reads little beside it, and else halved, at worst down to an element. So
 * the work is bounded by what is asked for, and the memory by the buffer. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "gather.h"

#define ELEMS_MAX (UINT64_C(1) << 50)
#define BESIDE 4 /* times what is wanted that may be read */
#define LITTLE 256 /* bytes more that do not matter */

uint64_t ml_gather_of(const struct ml_gather *g)
{
	uint64_t n = 1;
	unsigned k;

	for (k = 0; k < g->rank; k++)
		n *= g->dim[k];
	return n;
}

uint64_t ml_gather_taken(const struct ml_gather *g, unsigned k)
{
	return g->nrun[k] ? g->run[k][g->nrun[k] - 1].end : g->dim[k];
}

/* n * m, or 0 when that is too many, or was. */
static uint64_t product(uint64_t n, uint64_t m)
{
	return m > 0 && n <= ELEMS_MAX / m ? n * m : 0;
}

uint64_t ml_gather_units(const struct ml_gather *g)
{
	uint64_t n = 1;
	unsigned k;

	for (k = 0; k < g->rank; k++)
		n = product(n, ml_gather_taken(g, k));
	return n;
}

int ml_gather_legal(const struct ml_gather *g, unsigned log, uint64_t units)
{
	uint64_t n = 1, end;
	unsigned k, seen = 0;
	uint32_t i;

	if (g->rank < 1 || g->rank > ML_GATHER_DIMS || log > 3)
		return 0;
	for (k = 0; k < g->rank; k++) {
		n = product(n, g->dim[k]);
		seen |= 1u << (g->order[k] & 7);
		for (i = 0, end = 0; i < g->nrun[k]; i++) {
			const struct ml_run *r = &g->run[k][i];

			if (r->end <= end || r->end > ELEMS_MAX)
				return 0;
			if (r->at != ML_RUN_ZERO && (r->at > g->dim[k] ||
				r->end - end > g->dim[k] - r->at))
				return 0;
			end = r->end;
		}
	}
	return n > 0 && seen == (1u << g->rank) - 1 && units > 0 &&
		ml_gather_units(g) == units;
}

struct ml_gather *ml_gather_copy(const struct ml_gather *g)
{
	struct ml_gather *c = malloc(sizeof(*c));
	int short_of = !c;
	unsigned k;

	if (!c)
		return NULL;
	*c = *g;
	for (k = 0; k < ML_GATHER_DIMS; k++) {
		c->run[k] = NULL;
		if (k >= g->rank || !g->nrun[k])
			continue;
		c->run[k] = malloc(g->nrun[k] * sizeof(**c->run));
		if (c->run[k])
			memcpy(c->run[k], g->run[k],
				g->nrun[k] * sizeof(**c->run));
		else
			short_of = 1;
	}
	if (short_of) {
		ml_gather_free(c);
		c = NULL;
	}
	return c;
}

void ml_gather_free(struct ml_gather *g)
{
	unsigned k;

	for (k = 0; g && k < ML_GATHER_DIMS; k++)
		free(g->run[k]);
	free(g);
}

void ml_gather_order(uint8_t *order, unsigned n, unsigned number)
{
	unsigned left = (1u << n) - 1, many = 1, k, i, j;

	for (k = 2; k < n; k++)
		many *= k; /* orders of all but the first */
	for (i = 0; i < n; i++) {
		k = number / many;
		number %= many;
		many /= n - 1 - i > 1 ? n - 1 - i : 1;
		for (j = 0; !(left >> j & 1) || k > 0; j++)
			k -= left >> j & 1;
		order[i] = (uint8_t)j;
		left &= ~(1u << j);
	}
}

unsigned ml_gather_number(const uint8_t *order, unsigned n)
{
	unsigned number = 0, i, j, less;

	for (i = 0; i < n; i++) {
		for (less = 0, j = i + 1; j < n; j++)
			less += order[j] < order[i];
		number = number * (n - i) + less;
	}
	return number;
}

/* ===== boxes ============================================================ */

/* Indices of one dimension, in the order in which they are made. */
struct side {
	uint64_t lo, hi;
};

struct work {
	const struct ml_gather *g;
	struct ml_src *src;
	uint64_t at; /* of the range */
	unsigned log, rank;
	uint64_t n[ML_GATHER_DIMS]; /* made, outermost first */
	uint64_t step[ML_GATHER_DIMS]; /* elements from index to index: made */
	uint64_t from[ML_GATHER_DIMS]; /* and in the range */
	uint8_t *stage;
	struct ml_diag *diag;
};

/* The run that index i lies in. */
static uint32_t run_at(const struct ml_run *r, uint32_t n, uint64_t i)
{
	uint32_t lo = 0, mid;

	while (n > 1) {
		mid = n / 2;
		if (r[lo + mid - 1].end <= i)
			lo += mid, n -= mid;
		else
			n = mid;
	}
	return lo;
}

/* What of the range's dimension the indices cover; 0 when only zeros. */
static int extent(const struct work *w, unsigned d, const struct side *s,
	uint64_t *low, uint64_t *high)
{
	const unsigned k = w->g->order[d];
	const struct ml_run *r = w->g->run[k];
	uint64_t i, to, at;
	uint32_t j;

	if (!w->g->nrun[k]) {
		*low = s->lo;
		*high = s->hi - 1;
		return 1;
	}
	*low = UINT64_MAX;
	*high = 0;
	j = run_at(r, w->g->nrun[k], s->lo);
	for (i = s->lo; i < s->hi; i = to, j++) {
		to = r[j].end < s->hi ? r[j].end : s->hi;
		if (r[j].at == ML_RUN_ZERO)
			continue;
		at = r[j].at + (i - (j ? r[j - 1].end : 0));
		*low = at < *low ? at : *low;
		at += to - i - 1;
		*high = at > *high ? at : *high;
	}
	return *low != UINT64_MAX;
}

static void line(uint8_t *to, const uint8_t *p, uint64_t n, uint64_t step,
	uint64_t from, unsigned log)
{
	const size_t w = (size_t)1 << log;
	uint64_t i;

	if (step == 1 && from == 1) {
		memcpy(to, p, (size_t)n * w);
		return;
	}
	step <<= log;
	from <<= log;
	switch (log) {
	case 0:
		for (i = 0; i < n; i++)
			to[i * step] = p[i * from];
		break;
	case 1:
		for (i = 0; i < n; i++)
			memcpy(to + i * step, p + i * from, 2);
		break;
	case 2:
		for (i = 0; i < n; i++)
			memcpy(to + i * step, p + i * from, 4);
		break;
	default:
		for (i = 0; i < n; i++)
			memcpy(to + i * step, p + i * from, 8);
	}
}

/* The box from dimension d on, to `to`, from the buffer; `low` is the index
 * in the range that the buffer begins with, of each dimension. */
static void spread(const struct work *w, unsigned d, const struct side *box,
	const uint64_t *low, uint8_t *to, const uint8_t *p)
{
	const unsigned k = w->g->order[d], last = d + 1 == w->rank;
	const uint32_t nrun = w->g->nrun[k];
	const struct ml_run *r = w->g->run[k];
	uint32_t j = nrun ? run_at(r, nrun, box[d].lo) : 0;
	uint64_t i, end, at;

	for (i = box[d].lo; i < box[d].hi; i = end, j++) {
		end = nrun && r[j].end < box[d].hi ? r[j].end : box[d].hi;
		at = nrun ? r[j].at + (i - (j ? r[j - 1].end : 0)) : i;
		if (nrun && r[j].at == ML_RUN_ZERO)
			continue;
		at -= low[d];
		if (last) {
			line(to + ((i - box[d].lo) * w->step[d] << w->log),
				p + (at * w->from[d] << w->log), end - i,
				w->step[d], w->from[d], w->log);
			continue;
		}
		for (; i < end; i++, at++)
			spread(w, d + 1, box, low,
				to + ((i - box[d].lo) * w->step[d] << w->log),
				p + (at * w->from[d] << w->log));
	}
}

static int fill(const struct work *w, const struct side *box, uint8_t *to)
{
	uint64_t low[ML_GATHER_DIMS], high, span = 0, many = 1, off = 0;
	uint64_t most = 0;
	struct side half[ML_GATHER_DIMS];
	unsigned d, cut = 0;
	int err;

	for (d = 0; d < w->rank; d++) {
		if (!extent(w, d, &box[d], &low[d], &high))
			return ML_OK; /* zeros are there already */
		high = (high - low[d]) * w->from[d];
		off += low[d] * w->from[d];
		span += high;
		many *= box[d].hi - box[d].lo;
		if (box[d].hi - box[d].lo > 1 && high >= most) {
			most = high;
			cut = d;
		}
	}
	span = (span + 1) << w->log;
	many <<= w->log;
	if (many == 1u << w->log || (span <= ML_GATHER_STAGE && span <=
		BESIDE * many + LITTLE)) {
		err = ml_src_read(w->src, w->at + (off << w->log), w->stage,
			(size_t)span, w->diag);
		if (!err)
			spread(w, 0, box, low, to, w->stage);
		return err;
	}
	memcpy(half, box, w->rank * sizeof(*box));
	half[cut].hi = box[cut].lo + (box[cut].hi - box[cut].lo) / 2;
	err = fill(w, half, to);
	to += (half[cut].hi - box[cut].lo) * w->step[cut] << w->log;
	half[cut].lo = half[cut].hi;
	half[cut].hi = box[cut].hi;
	return err ? err : fill(w, half, to);
}

int ml_gather_make(const struct ml_cast *c, struct ml_src *src, uint64_t first,
	uint64_t n, uint8_t *to, uint8_t stage[ML_GATHER_STAGE],
	struct ml_diag *diag)
{
	const struct ml_gather *g = c->gather;
	struct work w = {.g = g, .src = src, .at = c->at, .log = c->from,
		.rank = g->rank, .stage = stage, .diag = diag};
	uint64_t range[ML_GATHER_DIMS], k, i, many;
	struct side box[ML_GATHER_DIMS];
	unsigned d, zeros = 0;
	int err = ML_OK;

	for (d = w.rank, k = 1; d-- > 0; k *= g->dim[d])
		range[d] = k;
	for (d = w.rank, k = 1; d-- > 0; k *= w.n[d]) {
		w.n[d] = ml_gather_taken(g, g->order[d]);
		w.from[d] = range[g->order[d]];
		w.step[d] = k;
		zeros |= g->nrun[g->order[d]];
	}
	if (zeros)
		memset(to, 0, (size_t)(n << w.log));
	while (n > 0 && !err) {
		/* the outermost dimension that can be taken in whole steps */
		for (d = 0; d < w.rank - 1u; d++)
			if (first % w.step[d] == 0 && n >= w.step[d])
				break;
		for (k = 0, i = first; k < w.rank; k++) {
			box[k].lo = k <= d ? i / w.step[k] : 0;
			box[k].hi = k < d ? box[k].lo + 1 : w.n[k];
			i %= w.step[k];
		}
		many = n / w.step[d];
		if (many < box[d].hi - box[d].lo)
			box[d].hi = box[d].lo + many;
		many = (box[d].hi - box[d].lo) * w.step[d];
		err = fill(&w, box, to);
		to += many << w.log;
		first += many;
		n -= many;
	}
	return err;
}
