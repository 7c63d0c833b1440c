/* SPDX-License-Identifier: MIT */
/* Which rows, columns, channels of a tensor are which of another one: both
 * keep their order, and one of them lacks some. By the distance of a few
 * numbers of each, and the cheapest way through the table of them. */
#include <stdlib.h>
#include <string.h>

#include "cast.h"
#include "elem.h"
#include "gather.h"
#include "gather_plan.h"
#include "mltype.h"

#define LOOK 32 /* numbers of an index that are compared */
#define WORK (UINT64_C(1) << 23) /* distances at most */
#define FIRST 8 /* rows that may be the first one's */

struct match {
	struct ml_src *src[2]; /* base, target */
	uint64_t at[2], dim[2][ML_GATHER_DIMS];
	unsigned rank, log, w, eb;
	uint64_t *map[ML_GATHER_DIMS]; /* of the shorter side's indices to those
				* of the longer; NULL: the same, or unknown */
	uint8_t *stage, *v[2];
};

/* Bits of the residual of two numbers. */
static unsigned far(const struct match *m, const uint8_t *a, const uint8_t *b)
{
	const ml_word x = ml_elem_load(a, m->w / 8);
	const ml_word y = ml_elem_load(b, m->w / 8);

	return ml_bitlen(ml_residual_mag(m->w, m->eb, x, y));
}

/* The shorter side's i-th index of a dimension, on the given side. */
static uint64_t on(const struct match *m, unsigned side, unsigned d,
	uint64_t i)
{
	const int longer = m->dim[side][d] > m->dim[!side][d];

	return longer && m->map[d] ? m->map[d][i] : i;
}

static uint64_t both(const struct match *m, unsigned d)
{
	return m->dim[0][d] < m->dim[1][d] ? m->dim[0][d] : m->dim[1][d];
}

/* LOOK numbers, or less, for every index of dimension d of one side, to
 * m->v[side]: at the same indices of the others. With `only`, for one number
 * each, at row `only` - 1 of dimension e. Returns how many each. */
static int columns(struct match *m, unsigned side, unsigned d, unsigned e,
	uint64_t only, unsigned *many, struct ml_diag *diag)
{
	const uint64_t *dim = m->dim[side];
	struct ml_run run[ML_GATHER_DIMS][LOOK];
	struct ml_gather g = {.rank = (uint8_t)m->rank};
	struct ml_cast c = {.from = (uint8_t)m->log, .to = ML_C_GATHER};
	unsigned k, left = LOOK, n, i, at = 1;

	*many = 1;
	g.order[0] = (uint8_t)d;
	for (k = m->rank; k-- > 0;) {
		g.dim[k] = dim[k];
		if (k == d)
			continue;
		n = both(m, k) < left ? (unsigned)both(m, k) : left;
		if (only && k == e)
			n = 1;
		g.run[k] = run[k];
		g.nrun[k] = n;
		for (i = 0; i < n; i++) { /* spread over what both have */
			run[k][i].at = only && k == e ? only - 1 :
				on(m, side, k, both(m, k) * (2 * i + 1) /
				(2 * n));
			run[k][i].end = i + 1;
		}
		left /= n;
		*many *= n;
	}
	for (k = 0; k < m->rank; k++)
		if (k != d)
			g.order[at++] = (uint8_t)k;
	c.gather = &g;
	c.at = m->at[side];
	c.units = dim[d] * *many;
	return ml_gather_make(&c, m->src[side], 0, c.units, m->v[side],
		m->stage, diag);
}

/* The cheapest way to give the n indices of one side, in order, indices of the
 * other, which has n + d of them: map[i], whose cost is returned. */
static uint64_t way(const struct match *m, const uint8_t *s, uint64_t n,
	const uint8_t *l, uint64_t d, unsigned many, uint64_t *map,
	uint8_t *back, uint32_t *cost)
{
	const size_t each = (size_t)many << m->log;
	uint64_t i, j;
	unsigned k;

	memset(cost, 0, (size_t)(d + 1) * sizeof(*cost));
	for (i = 0; i < n; i++)
		for (j = 0; j <= d; j++) {
			const uint8_t *a = s + i * each;
			const uint8_t *b = l + (i + j) * each;
			uint32_t here = cost[j];

			for (k = 0; k < many; k++)
				here += far(m, a + ((size_t)k << m->log),
					b + ((size_t)k << m->log));
			/* rather skip before than behind */
			back[i * (d + 1) + j] = j > 0 && cost[j - 1] < here;
			cost[j] = j > 0 && cost[j - 1] < here ? cost[j - 1] :
				here;
		}
	for (i = n, j = d; i-- > 0; map[i] = i + j)
		while (back[i * (d + 1) + j])
			j--;
	return cost[d];
}

/* The map of dimension d. */
static int map_of(struct match *m, unsigned d, unsigned e, uint64_t only[2],
	uint64_t *map, uint64_t *cost, struct ml_diag *diag)
{
	const unsigned shorter = m->dim[0][d] < m->dim[1][d] ? 0 : 1;
	const uint64_t n = m->dim[shorter][d];
	const uint64_t more = m->dim[!shorter][d] - n;
	unsigned many = 0;
	uint8_t *back = malloc((size_t)(n * (more + 1)));
	uint32_t *costs = malloc((size_t)(more + 1) * sizeof(*costs));
	int err = back && costs ? ML_OK : ml_fail(diag, ML_ENOMEM,
		ML_NOWHERE, "out of memory");

	if (!err)
		err = columns(m, 0, d, e, only ? only[0] : 0, &many, diag);
	if (!err)
		err = columns(m, 1, d, e, only ? only[1] : 0, &many, diag);
	if (!err)
		*cost = way(m, m->v[shorter], n, m->v[!shorter], more, many,
			map, back, costs);
	free(back);
	free(costs);
	return err;
}

static int differs(const struct match *m, unsigned d)
{
	return m->dim[0][d] != m->dim[1][d];
}

/* The first guess for dimension d, where e differs as well: by a row of the
 * shorter side, and each that it may be of the other. */
static int guess(struct match *m, unsigned d, unsigned e, uint64_t *map,
	struct ml_diag *diag)
{
	const unsigned shorter = m->dim[0][e] < m->dim[1][e] ? 0 : 1;
	const uint64_t more = m->dim[!shorter][e] - m->dim[shorter][e];
	uint64_t *try = malloc((size_t)both(m, d) * sizeof(*try));
	uint64_t i, cost, least = UINT64_MAX, only[2];
	int err = try ? ML_OK : ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
		"out of memory");

	for (i = 0; !err && i <= more && i < FIRST; i++) {
		only[shorter] = 1;
		only[!shorter] = 1 + i;
		err = map_of(m, d, e, only, try, &cost, diag);
		if (!err && cost < least) {
			least = cost;
			memcpy(map, try, (size_t)both(m, d) * sizeof(*map));
		}
	}
	free(try);
	return err;
}

/* The runs of g's dimension d by the map. */
static int tell(const struct match *m, struct ml_gather *g, unsigned d,
	struct ml_diag *diag)
{
	const uint64_t n = m->dim[1][d], base = m->dim[0][d];
	uint64_t i, j = 0, at, end;
	size_t k = 0;
	struct ml_run *r;

	if (!differs(m, d))
		return ML_OK;
	r = malloc((size_t)(2 * both(m, d) + 1) * sizeof(*r));
	if (!r)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; i < n; i = end) {
		if (base > n) {
			at = m->map[d][i];
			for (end = i + 1; end < n && m->map[d][end] -
				m->map[d][i] == end - i; end++)
				;
		} else if (j < base && m->map[d][j] == i) {
			at = j++;
			for (end = i + 1; j < base && m->map[d][j] == end;
				end++)
				j++;
		} else {
			at = ML_RUN_ZERO;
			end = j < base ? m->map[d][j] : n;
		}
		r[k].at = at;
		r[k++].end = end;
	}
	g->run[d] = r;
	g->nrun[d] = (uint32_t)k;
	return ML_OK;
}

static int maps(struct match *m, unsigned first, unsigned second,
	struct ml_diag *diag)
{
	uint64_t cost;
	unsigned i;
	int err;

	if (first == second)
		return map_of(m, first, first, NULL, m->map[first], &cost,
			diag);
	/* in turns, each by what is known of the other */
	err = guess(m, first, second, m->map[first], diag);
	for (i = 0; !err && i < 4; i++)
		err = i & 1 ? map_of(m, first, second, NULL, m->map[first],
			&cost, diag) : map_of(m, second, first, NULL,
			m->map[second], &cost, diag);
	return err;
}

int ml_gather_match(struct ml_gather *g, const struct ml_span *b,
	struct ml_src *bsrc, const struct ml_span *t, struct ml_src *tsrc,
	const uint64_t *dim, unsigned type, int *good, struct ml_diag *diag)
{
	struct match m = {.src = {bsrc, tsrc}, .at = {b->off, t->off},
		.rank = g->rank, .w = ml_type_bytes(type) * 8};
	unsigned d, many = 0, at[2] = {0, 0};
	uint64_t i, cells = 0, most = 0;
	int err = ML_OK;

	*good = 0;
	m.eb = ml_type_how[type] & ML_HOW_FLOAT ? ml_kind_ebits[
		ml_types[type].f[0].kind] : 0;
	while (8u << m.log < m.w)
		m.log++;
	for (d = 0; d < m.rank; d++) {
		const uint64_t x = g->dim[d], y = dim[d];

		m.dim[0][d] = x;
		m.dim[1][d] = y;
		if (x == y)
			continue;
		/* half of them may be gone, or new */
		if (many == 2 || x > 2 * y || y > 2 * x || x + y > 1 << 15)
			return ML_OK;
		at[many++] = d;
		cells += (x < y ? x : y) * ((x < y ? y - x : x - y) + 1);
		most = x > most ? x : most;
		most = y > most ? y : most;
	}
	if (many == 0 || cells > WORK / 8)
		return ML_OK;
	if (many == 1)
		at[1] = at[0];
	/* the longer one is told apart better by a single row */
	if (m.dim[0][at[0]] < m.dim[0][at[1]]) {
		d = at[0];
		at[0] = at[1];
		at[1] = d;
	}
	m.stage = malloc(ML_GATHER_STAGE);
	m.v[0] = malloc((size_t)most * LOOK * (m.w / 8));
	m.v[1] = malloc((size_t)most * LOOK * (m.w / 8));
	for (i = 0; i < 2; i++)
		if (!m.map[at[i]])
			m.map[at[i]] = calloc((size_t)both(&m, at[i]),
				sizeof(**m.map));
	if (!m.stage || !m.v[0] || !m.v[1] || !m.map[at[0]] || !m.map[at[1]])
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; !err && i < both(&m, at[1]); i++)
		m.map[at[1]][i] = i;
	if (!err)
		err = maps(&m, at[0], at[1], diag);
	for (d = 0; !err && d < m.rank; d++)
		err = tell(&m, g, d, diag);
	*good = !err;
	free(m.stage);
	free(m.v[0]);
	free(m.v[1]);
	for (d = 0; d < m.rank; d++)
		free(m.map[d]);
	return err;
}
