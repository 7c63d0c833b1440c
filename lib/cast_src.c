/* SPDX-License-Identifier: MIT */
/* Casts as a source: what they make, by offset. Nothing is kept but a few
 * pieces. A piece is first what was asked for and grows while it is read on
 * from, so that what is made is never much more than that: a patch may ask for
 * a byte here and a byte there. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "gather.h"

#define UNITS 512 /* cast at a time */
#define FROM_MAX (UNITS * 32 * 8)
#define PIECES 4
#define PIECE_MAX (1u << 19)

struct piece {
	size_t cast;
	uint64_t at; /* of its first byte, in what the cast makes */
	size_t n, ahead; /* bytes; those that the next one may have */
	uint64_t used; /* when */
	int busy; /* being made */
	uint8_t *p;
};

struct ml_cast_src {
	struct ml_src *of;
	uint64_t size, all; /* of it; with what the casts make */
	const struct ml_cast *c;
	uint64_t *end; /* of each cast, counted from there */
	size_t n;
	uint64_t now;
	struct piece piece[PIECES];
	uint8_t *stage; /* for gathers */
	uint8_t from[FROM_MAX];
};

static void src_free(void *ctx)
{
	struct ml_cast_src *s = ctx;
	size_t i;

	for (i = 0; i < PIECES; i++)
		free(s->piece[i].p);
	free(s->stage);
	free(s->end);
	free(s);
}

/* Units first to first + n of a cast. */
static int make(struct ml_cast_src *s, const struct ml_cast *c, uint64_t first,
	uint64_t n, uint8_t *to, struct ml_diag *diag)
{
	const uint64_t each = ml_cast_from_len(c) / c->units;
	const uint64_t made = ml_cast_len(c) / c->units;
	uint64_t k;
	int err = ML_OK;

	if (c->gather) {
		if (!s->stage)
			s->stage = malloc(ML_GATHER_STAGE);
		if (!s->stage)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		return ml_gather_make(c, s->of, first, n, to, s->stage, diag);
	}
	for (; n && !err; first += k, n -= k, to += k * made) {
		k = n < UNITS ? n : UNITS;
		/* what gathers made lies behind the image, and no deeper */
		err = c->at < s->size ? ml_src_read(s->of,
			c->at + first * each, s->from, (size_t)(k * each),
			diag) : ml_cast_read(s, c->at + first * each, s->from,
			(size_t)(k * each), diag);
		if (!err)
			ml_cast_make(c, first, k, s->from, to);
	}
	return err;
}

/* The piece of cast i with its byte `at`, of which n are wanted. */
static int get(struct ml_cast_src *s, size_t i, uint64_t at, size_t n,
	struct piece **out, struct ml_diag *diag)
{
	const struct ml_cast *c = &s->c[i];
	const uint64_t unit = ml_cast_len(c) / c->units, first = at / unit;
	struct piece *p, *old = NULL;
	uint64_t units, want;
	int err;

	s->now++;
	for (p = s->piece; p < s->piece + PIECES; p++) {
		if (p->busy)
			continue;
		if (p->n && p->cast == i && at >= p->at && at - p->at < p->n) {
			p->used = s->now;
			*out = p;
			return ML_OK;
		}
		if (!old || p->used < old->used)
			old = p;
	}
	for (p = s->piece; p < s->piece + PIECES; p++)
		if (!p->busy && p->n && p->cast == i && p->at + p->n == at)
			break;
	if (p == s->piece + PIECES) {
		p = old; /* never NULL: casts of casts are one deep */
		p->ahead = 0;
	}
	want = n > p->ahead ? n : p->ahead;
	if (want > PIECE_MAX - 128)
		want = PIECE_MAX - 128;
	p->ahead = want < PIECE_MAX / 2 ? (size_t)want * 2 : PIECE_MAX;
	if (!p->p)
		p->p = malloc(PIECE_MAX);
	if (!p->p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	units = (want + at % unit + unit - 1) / unit;
	if (units > c->units - first)
		units = c->units - first;
	p->n = 0;
	p->busy = 1;
	err = make(s, c, first, units, p->p, diag);
	p->busy = 0;
	if (err)
		return err;
	p->cast = i;
	p->at = first * unit;
	p->n = (size_t)(units * unit);
	p->used = s->now;
	*out = p;
	return ML_OK;
}

int ml_cast_read(struct ml_cast_src *s, uint64_t off, uint8_t *to, size_t n,
	struct ml_diag *diag)
{
	struct piece *p = NULL;
	uint64_t at;
	size_t k, lo, hi, mid;
	int err = ML_OK;

	if (!ml_add_ok(off, n, &at) || at > s->all)
		return ml_fail(diag, ML_ETRUNC, off,
			"%zu bytes wanted behind the end of the base", n);
	if (off < s->size) {
		k = s->size - off < n ? (size_t)(s->size - off) : n;
		err = ml_src_read(s->of, off, to, k, diag);
		off += k;
		to += k;
		n -= k;
	}
	off -= s->size;
	for (; n && !err; off += k, to += k, n -= k) {
		for (lo = 0, hi = s->n; lo < hi;) { /* ends behind off */
			mid = lo + (hi - lo) / 2;
			if (s->end[mid] <= off)
				lo = mid + 1;
			else
				hi = mid;
		}
		at = off - (lo ? s->end[lo - 1] : 0);
		err = get(s, lo, at, n, &p, diag);
		k = 0;
		if (err)
			break;
		at -= p->at;
		k = p->n - (size_t)at < n ? p->n - (size_t)at : n;
		memcpy(to, p->p + at, k);
	}
	return err;
}

static int src_read(void *ctx, uint64_t off, void *buf, size_t n,
	struct ml_diag *diag)
{
	return ml_cast_read(ctx, off, buf, n, diag);
}

int ml_cast_src(struct ml_src **out, struct ml_cast_src **made,
	struct ml_src *of, const struct ml_casts *casts, struct ml_diag *diag)
{
	static const struct ml_src_ops ops = {src_read, src_free};
	struct ml_cast_src *s = calloc(1, sizeof(*s));
	uint64_t end = 0;
	size_t i;
	int err;

	*out = NULL;
	if (made)
		*made = NULL;
	if (s)
		s->end = malloc((casts->n + 1) * sizeof(*s->end));
	if (!s || !s->end) {
		free(s);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	s->of = of;
	s->size = ml_src_size(of);
	s->c = casts->c;
	s->n = casts->n;
	for (i = 0; i < s->n; i++)
		s->end[i] = end += ml_cast_len(&casts->c[i]);
	s->all = s->size + end;
	err = ml_src_made(out, s->all, &ops, s, diag);
	if (!err && made)
		*made = s;
	return err;
}
