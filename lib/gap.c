/* SPDX-License-Identifier: MIT */
/* The choice among literals, elements and residuals, a piece at a time, by
 * estimated cost. */
#include <string.h>

#include "cost.h"
#include "elem.h"
#include "gap.h"
#include "inplace.h"
#include "ops.h"
#include "seen.h"

#define PIECE ML_GAP_PIECE /* bytes judged together */
#define SHORT 48 /* below, literals without thought */
#define SWITCH 48 /* bits that a change of coding costs */
#define SAMPLE 512 /* bytes of a piece that all types are tried on */
#define RARE_MIN 1024 /* bytes of a piece that may be of uncommon elements */
#define MANY (1u << 20) /* literals, which class full decodes slowly */

/* Element types that unknown bytes are tried as: i8, f32, bf16 and f16; f64
 * and big-endian f32, f16, f64; against a base also i16, i32 and these two
 * big-endian. Alone, integers are coded as well as bytes. */
static const uint8_t guess[] = { 1, 7, 6, 5, 8, 40, 39, 41, 2, 3, 37, 38 };
#define NCOMMON 4
#define NALONE 8
#define NGUESS (sizeof guess / sizeof *guess)

struct way {
	unsigned op, type;
	unsigned phase; /* bytes before the first whole element */
	int64_t disp;
};

/* Residuals of n elements of one kind. */
static inline void residuals(unsigned w, unsigned eb, const uint8_t *b,
	const uint8_t *p, uint8_t *res, unsigned n)
{
	for (; n--; b += w, p += w, res += w)
		ml_elem_store(res, w, ml_residual(w * 8, eb,
			ml_elem_load(b, w), ml_elem_load(p, w)));
}

static void residuals_of(unsigned kind, const uint8_t *b, const uint8_t *p,
	uint8_t *res, unsigned n)
{
	switch (kind) { /* the common ones written out */
	case ML_K_U4:
	case ML_K_R4:
		for (; n--; b++, p++)
			*res++ = (uint8_t)(((*p - *b) & 15) |
				(((*p & 0xf0) - (*b & 0xf0)) & 0xf0));
		break;
	case ML_K_I8: residuals(1, 0, b, p, res, n); break;
	case ML_K_F16: residuals(2, 5, b, p, res, n); break;
	case ML_K_BF16: residuals(2, 8, b, p, res, n); break;
	case ML_K_F32: residuals(4, 8, b, p, res, n); break;
	default:
		residuals(ml_kind_bytes[kind], ml_kind_ebits[kind], b, p, res,
			n);
	}
}

int ml_diff_emit(unsigned type, const uint8_t *base, const uint8_t *p,
	size_t units, uint64_t at, ml_emit *emit, void *arg,
	struct ml_diag *diag)
{
	const struct ml_type *t = &ml_types[type];
	uint8_t res[PIECE], sb[PIECE], sp[PIECE];
	size_t unit = ml_type_bytes(type), k, i;
	unsigned f;
	int r;

	while (units) {
		k = PIECE / unit < units ? PIECE / unit : units;
		if (ml_type_swapped(type)) {
			memcpy(sb, base, k * unit);
			memcpy(sp, p, k * unit);
			ml_swap(sb, (unsigned)unit, k);
			ml_swap(sp, (unsigned)unit, k);
		}
		for (i = 0, f = 0; i < k * unit; f = (f + 1) % t->nfield) {
			unsigned kind = t->f[f].kind, m = t->f[f].n;

			if (t->nfield == 1) /* all elements at once */
				m = (unsigned)(k * unit / ml_kind_bytes[kind]);
			if (ml_type_swapped(type))
				residuals_of(kind, sb + i, sp + i, res + i, m);
			else
				residuals_of(kind, base + i, p + i, res + i,
					m);
			i += (size_t)m * ml_kind_bytes[kind];
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

static int emit_way(struct ml_gap *g, const struct way *w, uint64_t off,
	const uint8_t *p, size_t n, ml_emit *emit, void *arg,
	struct ml_diag *diag)
{
	size_t unit = ml_type_bytes(w->type), units, k;
	uint8_t base[PIECE];
	int r = ML_OK;

	if (w->op == ML_OP_LIT) {
		g->literals += n;
		return emit(arg, ML_OP_LIT, 0, n, 0, p, NULL, n, diag);
	}
	if (w->phase)
		r = emit(arg, ML_OP_LIT, 0, w->phase, 0, p, NULL, w->phase,
			diag);
	p += w->phase;
	off += w->phase;
	n -= w->phase;
	units = n / unit;
	if (w->op == ML_OP_ALONE && !r) {
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

/* The best way so far, and what it costs. */
struct choice {
	const struct way *last;
	struct way best;
	uint64_t least;
};

static void consider(struct choice *c, unsigned op, unsigned type,
	unsigned phase, int64_t disp, uint64_t bits)
{
	const struct way *l = c->last;

	if (op != l->op || type != l->type || phase != l->phase ||
		disp != l->disp)
		bits += SWITCH;
	if (bits < c->least) {
		c->least = bits;
		c->best.op = op;
		c->best.type = type;
		c->best.phase = phase;
		c->best.disp = disp;
	}
}

/* Elements of a type, beginning at a phase, and bytes around them; b is NULL
 * for elements alone. */
static uint64_t price(unsigned type, unsigned phase, const uint8_t *b,
	const uint8_t *p, size_t n)
{
	const unsigned unit = ml_type_bytes(type);
	const size_t units = (n - phase) / unit;
	uint8_t sp[PIECE], sb[PIECE];

	p += phase;
	b = b ? b + phase : NULL;
	if (ml_type_swapped(type)) {
		memcpy(sp, p, units * unit);
		ml_swap(sp, unit, units);
		if (b) {
			memcpy(sb, b, units * unit);
			ml_swap(sb, unit, units);
			b = sb;
		}
		p = sp;
	}
	return (b ? ml_cost_diff(type, b, p, units) :
		ml_cost_alone(type, p, units)) + (n - units * unit) * 8;
}

/* The least price of guess[from..to) on some bytes, over all phases. */
static struct way cheapest(size_t from, size_t to, const uint8_t *b,
	const uint8_t *p, size_t n, uint64_t *least)
{
	struct way best = { ML_OP_LIT, 0, 0, 0 };
	uint64_t bits;
	unsigned f;

	*least = UINT64_MAX;
	for (; from < to; from++)
		for (f = 0; f < ml_type_bytes(guess[from]) &&
			n > f + ml_type_bytes(guess[from]); f++) {
			bits = price(guess[from], f, b, p, n);
			if (bits < *least) {
				*least = bits;
				best.type = guess[from];
				best.phase = f;
			}
		}
	return best;
}

/* Elements of all types. The uncommon ones must show on a sample that they
 * are clearly better, for by chance one of many always looks better. */
static void consider_guesses(struct choice *c, const uint8_t *b,
	const uint8_t *p, size_t n, int64_t disp)
{
	const unsigned op = b ? ML_OP_DIFF : ML_OP_ALONE;
	const size_t some = n < SAMPLE ? n : SAMPLE;
	const struct way *last = c->last;
	uint64_t common, rare, bits;
	struct way w;
	unsigned g, f;

	for (g = 0; g < NCOMMON; g++)
		for (f = 0; f < ml_type_bytes(guess[g]) &&
			n > f + ml_type_bytes(guess[g]); f++)
			consider(c, op, guess[g], f, disp,
				price(guess[g], f, b, p, n));
	if (last->op == op && n > last->phase + ml_type_bytes(last->type))
		consider(c, op, last->type, last->phase, disp,
			price(last->type, last->phase, b, p, n));
	if (n < RARE_MIN)
		return;
	cheapest(0, NCOMMON, b, p, some, &common);
	w = cheapest(NCOMMON, b ? NGUESS : NALONE, b, p, some, &rare);
	if (rare >= common - common / 16)
		return;
	bits = price(w.type, w.phase, b, p, n);
	/* Text and tables look like numbers, but literals are coded better
	 * than is estimated here. */
	bits += !b && c->least < n * 13 / 2 ? bits / 2 : bits / 32;
	consider(c, op, w.type, w.phase, disp, bits);
}

/* Whether the base has n bytes for a DIFF of the target's at off. */
static int has_base(const struct ml_gap *g, uint64_t off, size_t n,
	int64_t disp)
{
	uint64_t at = off + (uint64_t)disp;

	return g->m && at < g->bsize && g->bsize - at >= n &&
		ml_page_room(g->page, off, at + g->lead, n) == n;
}

/* Residuals against the base at the displacements that are likely: of these,
 * where most bytes agree. */
static int judge_base(const struct ml_gap *g, uint64_t off, const uint8_t *p,
	size_t n, struct choice *c, struct ml_diag *diag)
{
	const int64_t disp[] = { c->last->disp, g->disp[0], g->disp[1],
		g->steady, 0 };
	uint8_t bytes[2][PIECE], *b = bytes[0], *best = NULL;
	size_t most = 0, same, i;
	int64_t at = 0;
	unsigned k, j;
	int r;

	for (k = 0; k < sizeof disp / sizeof *disp; k++) {
		for (j = 0; j < k && disp[j] != disp[k]; j++)
			;
		if (j < k || !has_base(g, off, n, disp[k]))
			continue;
		r = ml_src_read(g->m, off + (uint64_t)disp[k], b, n, diag);
		if (r)
			return r;
		for (i = same = 0; i < n; i++)
			same += b[i] == p[i];
		if (best && same <= most)
			continue;
		most = same;
		best = b;
		at = disp[k];
		b = bytes[best == bytes[0]];
	}
	if (best)
		consider_guesses(c, best, p, n, at);
	return ML_OK;
}

static uint64_t literal_bits(const struct ml_gap *g, uint64_t off,
	const uint8_t *p, size_t n)
{
	const uint64_t all = ml_cost_lit(p, n);
	const uint64_t seen = g->lit ? ml_litprice_all(g->lit, off, p, n) : all;

	return seen < all ? seen : all;
}

/* The cheapest way to code one piece. */
static int judge(const struct ml_gap *g, uint64_t off, const uint8_t *p,
	size_t n, const struct way *last, struct way *best, uint64_t *bits,
	struct ml_diag *diag)
{
	struct choice c = { last, *last, UINT64_MAX };
	uint64_t bits_lit;
	int r;

	/* Elements first: among equals they are faster than literals. */
	if (g->type && n >= ml_type_bytes(g->type))
		consider(&c, ML_OP_ALONE, g->type, 0, 0,
			price(g->type, 0, NULL, p, n));
	if (!g->type && g->literals < MANY)
		consider(&c, ML_OP_LIT, 0, 0, 0, literal_bits(g, off, p, n));
	if (!g->type) {
		consider_guesses(&c, NULL, p, n, 0);
		r = judge_base(g, off, p, n, &c, diag);
		if (r)
			return r;
	}
	if (g->type || g->literals >= MANY) {
		bits_lit = literal_bits(g, off, p, n);
		if (g->type == 1) /* elements know of rows and columns */
			bits_lit += bits_lit / 16;
		consider(&c, ML_OP_LIT, 0, 0, 0, bits_lit);
	}
	*best = c.best;
	*bits = c.least;
	/* noise: an estimate is no gain; but it errs on bytes of tensors */
	if (g->type != 1 && c.least > n * 8 - n / 8) {
		best->op = ML_OP_LIT;
		best->type = best->phase = 0;
		best->disp = 0;
	}
	return ML_OK;
}

int ml_gap_price(const struct ml_gap *g, uint64_t off, const uint8_t *p,
	size_t n, uint64_t *bits, struct ml_diag *diag)
{
	static const struct way lit = { ML_OP_LIT, 0, 0, 0 };
	struct way best;

	return judge(g, off, p, n, &lit, &best, bits, diag);
}

int ml_gap_code(struct ml_gap *g, uint64_t off, const uint8_t *p,
	size_t n, ml_emit *emit, void *arg, struct ml_diag *diag)
{
	struct way way = { ML_OP_LIT, 0, 0, 0 }, w = way;
	uint64_t at = off, bits;
	size_t left = n, run = 0, k;
	int r;

	if (n < SHORT || (g->type && n < 2 * ml_type_bytes(g->type)))
		return emit_way(g, &way, off, p, n, emit, arg, diag);
	if (g->type || g->literals >= MANY) {
		way.op = ML_OP_ALONE;
		way.type = g->type ? g->type : guess[0];
	}
	for (; left; left -= k, at += k, run += k) {
		k = PIECE - (g->type ? PIECE % ml_type_bytes(g->type) : 0);
		if (k > left)
			k = left;
		r = judge(g, at, p + run, k, &way, &w, &bits, diag);
		if (r)
			return r;
		if (run && (w.op != way.op || w.type != way.type ||
			w.phase != way.phase || w.disp != way.disp)) {
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
