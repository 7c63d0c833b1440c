/* SPDX-License-Identifier: MIT */
/* From the steps of a parse to operations. */
#include "edit.h"
#include "ops.h"

#define STEADY 32 /* bytes of a copy that is no accident */
#define NUMBERS 64 /* bytes that may be elements of another type */

static int64_t disp_of(const struct ml_edit *e, const struct ml_step *s)
{
	return (int64_t)(s->arg - e->wfrom - s->at);
}

static int residuals(struct ml_edit *e, const struct ml_step *s)
{
	uint8_t base[ML_PARSE_LEN];
	const uint8_t *p = e->win + s->at;
	uint32_t i, same = 0;
	int r = ml_src_read(e->gap.m, s->arg, base, s->len, e->diag);

	for (i = 0; i < s->len && !r; i++)
		same += p[i] == base[i];
	if (s->len >= NUMBERS && same < s->len / 4 * 3) {
		e->gap.disp[1] = e->gap.disp[0];
		return ml_gap_code(&e->gap, e->wfrom + s->at, p, s->len,
			e->emit, e->arg, e->diag);
	}
	e->described = 1;
	return r ? r : ml_diff_emit(1, base, e->win + s->at, s->len, s->arg,
		e->emit, e->arg, e->diag);
}

/* Literals, or whatever else suits them. */
static int gap(struct ml_edit *e, const struct ml_step *s,
	const struct ml_step *next)
{
	struct ml_gap *g = &e->gap;

	g->disp[1] = next && next->op == ML_OP_COPY ? disp_of(e, next) :
		g->disp[0];
	return ml_gap_code(g, e->wfrom + s->at, e->win + s->at, s->len,
		e->emit, e->arg, e->diag);
}

int ml_edit(struct ml_edit *e, const struct ml_step *step, size_t n)
{
	struct ml_gap *g = &e->gap;
	size_t i;
	int r = ML_OK;

	for (i = 0; i < n && !r; i++) {
		const struct ml_step *s = &step[i];

		if (s->op == ML_OP_COPY || s->op == ML_OP_DIFF)
			g->disp[0] = disp_of(e, s);
		if (s->op == ML_OP_COPY && s->len >= STEADY)
			g->steady = g->disp[0];
		if (s->op == ML_OP_LIT)
			r = gap(e, s, i + 1 < n ? s + 1 : NULL);
		else if (s->op == ML_OP_DIFF)
			r = residuals(e, s);
		else
			r = e->emit(e->arg, s->op, 0, s->len, s->arg, NULL,
				NULL, s->len, e->diag);
	}
	return r;
}
