/* SPDX-License-Identifier: MIT */
/* All matches at a place: of base and window, and of the target far back. */
#include "bytes.h"
#include "cands.h"
#include "ops.h"

static int base_byte(void *arg, uint64_t off)
{
	const struct ml_cands *v = arg;
	const uint8_t *p;
	size_t n;

	p = v->base ? ml_index_bytes(v->base, off, &n) : NULL;
	return p ? *p : -1;
}

static void found(struct ml_cand *c, size_t *n, unsigned op, uint64_t arg,
	size_t len)
{
	if (*n == ML_PARSE_CANDS || len < 2)
		return;
	c[*n].op = op;
	c[*n].arg = arg;
	c[(*n)++].len = len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
}

static size_t of_base(const struct ml_cands *v, size_t i, size_t end,
	const struct ml_reps *reps, struct ml_cand *c, size_t n)
{
	const uint64_t here = v->win->from + i;
	const uint8_t *p = v->win->win + i;
	const int64_t d[3] = { reps->disp[0], reps->disp[1],
		(int64_t)(2 * (uint64_t)reps->disp[0] -
		(uint64_t)reps->disp[1]) };
	struct ml_index_look l;
	size_t most = 0, len;
	unsigned k, j;
	uint64_t off;

	for (k = 0; k < 3; k++) {
		for (j = 0; j < k && d[j] != d[k]; j++)
			;
		off = here + (uint64_t)d[k];
		if (j < k || off >= ml_index_size(v->base))
			continue;
		len = ml_index_len(v->base, off, p, end - i);
		found(c, &n, ML_OP_COPY, off, len);
		most = len > most ? len : most;
	}
	for (k = 0; k < ML_INDEX_KINDS && most < ML_PARSE_NICE; k++) {
		ml_index_look(v->base, k, p, end - i, &l);
		while (ml_index_next(v->base, &l, &off)) {
			len = ml_index_len(v->base, off, p, end - i);
			if (len > most || (len == most && len > 3))
				found(c, &n, ML_OP_COPY, off, len);
			most = len > most ? len : most;
		}
	}
	return n;
}

static size_t of_window(const struct ml_cands *v, size_t i, size_t end,
	const struct ml_reps *reps, struct ml_cand *c, size_t n)
{
	const uint8_t *p = v->win->win + i;
	struct ml_window_look l;
	size_t most = 3, len;
	uint32_t d;

	if (reps->dist && reps->dist <= i)
		found(c, &n, ML_OP_SELF, reps->dist,
			ml_common(p, p - reps->dist, end - i));
	ml_window_look(v->win, i, end, &l);
	while ((d = ml_window_next(v->win, &l))) {
		len = ml_common(p, p - d, end - i);
		if (len > most)
			found(c, &n, ML_OP_SELF, d, len);
		most = len > most ? len : most;
	}
	return n;
}

static size_t from_far(const struct ml_cands *v, size_t i, size_t end,
	struct ml_cand *c, size_t n)
{
	const uint64_t here = v->win->from + i;
	const struct ml_dup_run *x = ml_dup_at(v->far, v->nfar, here);
	uint64_t len;

	if (x && x->at <= here) {
		len = x->at + x->len - here;
		found(c, &n, ML_OP_SELF, x->at - x->from, len < end - i ?
			(size_t)len : end - i);
	}
	return n;
}

static size_t find_all(void *arg, size_t i, size_t end,
	const struct ml_reps *reps, struct ml_cand *c)
{
	const struct ml_cands *v = arg;
	size_t n = 0;

	ml_window_index(v->win, i);
	if (v->base)
		n = of_base(v, i, end, reps, c, n);
	n = of_window(v, i, end, reps, c, n);
	return from_far(v, i, end, c, n);
}

const struct ml_parse_ops ml_cands_ops = { find_all, base_byte };
