/* SPDX-License-Identifier: MIT */
/* Small edits as residuals: where copies of one displacement alternate with
 * short gaps, one run of byte residuals may cost less than all of them. */
#include "edit.h"
#include "elem.h"
#include "ops.h"

/* Prices in 1/8 bit. */
#define PRICE_GAP 64 /* a literal operation */
#define PRICE_COPY 88 /* a copy at the displacement of the last one */
#define PRICE_DIFF 120 /* a residual operation */
#define PRICE_DESC 264 /* its descriptor */
#define PRICE_SAME 3 /* a residual of 0 */
#define STEADY 32 /* bytes of a copy that is no accident */
#define LONG 64 /* bytes of a copy that no run goes across */
#define SPAN 1024 /* bytes of a run, at most */

static int64_t disp_of(const struct ml_edit *e, const struct ml_step *s)
{
	return (int64_t)(s->arg - e->wfrom - s->at);
}

/* What bytes at a displacement cost as residuals; -1: not in the base. */
static int64_t residual_price(const struct ml_edit *e, uint32_t at,
	uint32_t n, int64_t disp)
{
	uint64_t off = e->wfrom + at + (uint64_t)disp;
	uint8_t base[LONG];
	int64_t price = 0;
	uint32_t i;

	if (n > LONG || !e->gap.m || off >= e->gap.bsize ||
		e->gap.bsize - off < n ||
		ml_src_read(e->gap.m, off, base, n, e->diag))
		return -1;
	for (i = 0; i < n; i++) {
		unsigned r = (e->win[at + i] - base[i]) & 255;

		r = r > 127 ? 256 - r : r;
		price += r ? 24 + 12 * (int64_t)ml_bitlen(r) : PRICE_SAME;
	}
	return price;
}

/* How many steps from the gap at step[0] are best made one run of residuals
 * at displacement disp, and what that saves; 0: none. */
static size_t run_length(const struct ml_edit *e, const struct ml_step *step,
	size_t n, int64_t disp, int64_t *saved)
{
	int64_t gain = -PRICE_DIFF, best = 0, price;
	size_t i, len = 0, bytes = 0;

	for (i = 0; i < n; i++) {
		if (step[i].op == ML_OP_SELF || step[i].len > LONG ||
			(step[i].op == ML_OP_COPY &&
				disp_of(e, &step[i]) != disp))
			break;
		bytes += step[i].len;
		if (bytes > SPAN)
			break;
		if (step[i].op == ML_OP_COPY) {
			gain += PRICE_COPY -
				(int64_t)step[i].len * PRICE_SAME;
			continue;
		}
		price = residual_price(e, step[i].at, step[i].len, disp);
		if (price < 0)
			break;
		gain += PRICE_GAP + (int64_t)step[i].len * e->lit - price;
		if (gain > best) {
			best = gain;
			len = i + 1;
		}
	}
	*saved = best;
	return len;
}

/* Whether all runs together are worth a descriptor. */
static int worth(const struct ml_edit *e, const struct ml_step *step, size_t n)
{
	int64_t disp = e->gap.disp[0], sum = 0, saved;
	size_t i, k;

	for (i = 0; i < n; i++) {
		if (step[i].op == ML_OP_COPY)
			disp = disp_of(e, &step[i]);
		if (step[i].op != ML_OP_LIT)
			continue;
		k = run_length(e, step + i, n - i, disp, &saved);
		if (k) {
			sum += saved;
			i += k - 1;
		}
	}
	return sum > PRICE_DESC;
}

static int run_emit(struct ml_edit *e, uint32_t at, uint32_t n, int64_t disp)
{
	uint64_t off = e->wfrom + at + (uint64_t)disp;
	uint8_t base[SPAN];
	int r = ml_src_read(e->gap.m, off, base, n, e->diag);

	return r ? r : ml_diff_emit(1, base, e->win + at, n, off, e->emit,
		e->arg, e->diag);
}

int ml_edit(struct ml_edit *e, const struct ml_step *step, size_t n)
{
	struct ml_gap *g = &e->gap;
	size_t i, k;
	int64_t next, saved;
	int r = ML_OK;

	if (!g->type && !e->described)
		e->described = worth(e, step, n);
	for (i = 0; i < n && !r; i++) {
		const struct ml_step *s = &step[i];

		if (s->op != ML_OP_LIT) {
			if (s->op == ML_OP_COPY)
				g->disp[0] = disp_of(e, s);
			if (s->op == ML_OP_COPY && s->len >= STEADY)
				g->steady = g->disp[0];
			r = e->emit(e->arg, (unsigned)s->op, 0, s->len, s->arg,
				NULL, NULL, s->len, e->diag);
			continue;
		}
		next = i + 1 < n && step[i + 1].op == ML_OP_COPY ?
			disp_of(e, &step[i + 1]) : g->disp[0];
		k = g->type || !e->described ? 0 :
			run_length(e, s, n - i, g->disp[0], &saved);
		if (k) {
			const struct ml_step *end = &step[i + k - 1];

			r = run_emit(e, s->at, end->at + end->len - s->at,
				g->disp[0]);
			i += k - 1;
			continue;
		}
		g->disp[1] = next;
		r = ml_gap_code(g, e->wfrom + s->at, e->win + s->at, s->len,
			e->emit, e->arg, e->diag);
	}
	return r;
}
