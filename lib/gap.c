/* SPDX-License-Identifier: MIT */
/* The choice among literals, elements and residuals, a piece at a time, by
 * estimated cost. */
#include <string.h>

#include "cost.h"
#include "elem.h"
#include "gap.h"
#include "ops.h"

#define PIECE 4096 /* bytes judged together */
#define SHORT 48 /* below, literals without thought */
#define SWITCH 48 /* bits that a change of coding costs */

struct way {
	unsigned op, type;
	int64_t disp;
};

int ml_diff_emit(unsigned type, const uint8_t *base, const uint8_t *p,
	size_t units, uint64_t at, ml_emit *emit, void *arg,
	struct ml_diag *diag)
{
	const struct ml_type *t = &ml_types[type];
	uint8_t res[PIECE];
	size_t unit = ml_type_bytes(type), k, i;
	unsigned f, j;
	int r;

	while (units) {
		k = PIECE / unit < units ? PIECE / unit : units;
		for (i = 0, f = 0; i < k * unit; f = (f + 1) % t->nfield) {
			unsigned kind = t->f[f].kind, w = ml_kind_bytes[kind];
			unsigned eb = ml_kind_ebits[kind];

			for (j = 0; j < t->f[f].n; j++, i += w) {
				ml_word b = ml_elem_load(base + i, w);
				ml_word x = ml_elem_load(p + i, w);

				if (kind == ML_K_U4)
					x = ((x - b) & 15) |
						(((x & 0xf0) - (b & 0xf0)) & 0xf0);
				else
					x = ml_residual(w * 8, eb, b, x);
				ml_elem_store(res + i, w, x);
			}
		}
		r = emit(arg, ML_OP_DIFF, type, k, at, res, base, k * unit,
			diag);
		if (r)
			return r;
		units -= k;
		at += k * unit;
		base += k * unit;
		p += k * unit;
	}
	return ML_OK;
}

static int emit_way(const struct ml_gap *g, const struct way *w, uint64_t off,
	const uint8_t *p, size_t n, ml_emit *emit, void *arg,
	struct ml_diag *diag)
{
	size_t unit = ml_type_bytes(w->type), units = n / unit, k;
	uint8_t base[PIECE];
	int r = ML_OK;

	if (w->op == ML_OP_LIT)
		return emit(arg, ML_OP_LIT, 0, n, 0, p, NULL, n, diag);
	if (w->op == ML_OP_ALONE) {
		r = emit(arg, ML_OP_ALONE, w->type, units, 0, p, NULL,
			units * unit, diag);
		p += units * unit;
		n -= units * unit;
	}
	for (; w->op == ML_OP_DIFF && n >= unit && !r; n -= k, p += k,
		off += k) {
		k = n < PIECE ? n : PIECE;
		k -= k % unit;
		r = ml_src_read(g->m, off + (uint64_t)w->disp, base, k, diag);
		if (!r)
			r = ml_diff_emit(w->type, base, p, k / unit,
				off + (uint64_t)w->disp, emit, arg, diag);
	}
	if (n && !r)
		r = emit(arg, ML_OP_LIT, 0, n, 0, p, NULL, n, diag);
	return r;
}

static void consider(struct way *best, uint64_t *least, const struct way *last,
	unsigned op, unsigned type, int64_t disp, uint64_t bits)
{
	if (op != last->op || type != last->type || disp != last->disp)
		bits += SWITCH;
	if (bits < *least) {
		*least = bits;
		best->op = op;
		best->type = type;
		best->disp = disp;
	}
}

/* Whether the base has n bytes for a DIFF of the target's at off. */
static int has_base(const struct ml_gap *g, uint64_t off, size_t n,
	int64_t disp)
{
	uint64_t at = off + (uint64_t)disp;

	return g->m && at < g->bsize && g->bsize - at >= n;
}

/* The cheapest way to code one piece. */
static int judge(const struct ml_gap *g, uint64_t off, const uint8_t *p,
	size_t n, const struct way *last, struct way *best,
	struct ml_diag *diag)
{
	static const uint8_t guess[] = { 1, 7, 6, 5 };
	uint64_t least = UINT64_MAX;
	uint8_t base[PIECE];
	unsigned i, t;
	int j, r;

	consider(best, &least, last, ML_OP_LIT, 0, 0, ml_cost_lit(p, n));
	for (i = 0; i < (g->type ? 1 : sizeof guess); i++) {
		t = g->type ? g->type : guess[i];
		consider(best, &least, last, ML_OP_ALONE, t, 0,
			ml_cost_alone(t, p, n / ml_type_bytes(t)) +
			n % ml_type_bytes(t) * 8);
	}
	for (j = 0; j < 2; j++) {
		if (g->type || !has_base(g, off, n, g->disp[j]) ||
			(j && g->disp[1] == g->disp[0]))
			continue;
		r = ml_src_read(g->m, off + (uint64_t)g->disp[j], base, n,
			diag);
		if (r)
			return r;
		for (i = 0; i < sizeof guess; i++) {
			t = guess[i];
			consider(best, &least, last, ML_OP_DIFF, t, g->disp[j],
				ml_cost_diff(t, base, p,
					n / ml_type_bytes(t)) +
				n % ml_type_bytes(t) * 8);
		}
	}
	return ML_OK;
}

int ml_gap_code(const struct ml_gap *g, uint64_t off, const uint8_t *p,
	size_t n, ml_emit *emit, void *arg, struct ml_diag *diag)
{
	struct way way = { ML_OP_LIT, 0, 0 }, w = way;
	uint64_t at = off;
	size_t left = n, run = 0, k;
	int r;

	if (n < SHORT || (g->type && n < 2 * ml_type_bytes(g->type)))
		return emit_way(g, &way, off, p, n, emit, arg, diag);
	if (!g->type && (off & 3)) { /* unknown elements lie at even places */
		k = 4 - (off & 3);
		r = emit_way(g, &way, off, p, k, emit, arg, diag);
		if (r)
			return r;
		at = off += k, p += k, n -= k, left = n;
	}
	for (; left; left -= k, at += k, run += k) {
		k = PIECE - (g->type ? PIECE % ml_type_bytes(g->type) : 0);
		if (k > left)
			k = left;
		r = judge(g, at, p + run, k, &way, &w, diag);
		if (r)
			return r;
		if (run && (w.op != way.op || w.type != way.type ||
			w.disp != way.disp)) {
			r = emit_way(g, &way, off, p, run, emit, arg, diag);
			if (r)
				return r;
			p += run;
			off += run;
			run = 0;
		}
		way = w;
	}
	return run ? emit_way(g, &way, off, p, run, emit, arg, diag) : ML_OK;
}
