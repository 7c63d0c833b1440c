/* SPDX-License-Identifier: MIT */
/* Casts of a base as coder 2 has them. An operation refers to what a cast makes
 * by an offset behind the base; here it learns where that comes from. */
#include <stdlib.h>
#include <string.h>

#include "cast.h"
#include "elem.h"
#include "nano_cast.h"
#include "ops.h"

#define PIECE 65536 /* bytes made of a copy at a time */
#define RUN_MIN 16 /* elements of one scale that are worth saying it */

struct ml_nano_cast {
	struct ml_casts casts;
	struct ml_src *src;
	uint64_t own;
	uint64_t *end; /* of each cast, as an offset */
	uint8_t zero[PIECE], base[PIECE];
};

int ml_nano_cast_able(const struct ml_cast *c)
{
	if (c->from > ML_C_BF16 || c->to >= ML_C_SUM)
		return 0;
	if (c->to != ML_C_I8 && c->to != ML_C_U8)
		return 1;
	return c->zero >= -512 && c->zero < 512 &&
		(c->nscale == 1 || c->inner >= RUN_MIN);
}

int ml_nano_cast_new(struct ml_nano_cast **out, const struct ml_casts *casts,
	struct ml_src *src, uint64_t own, struct ml_diag *diag)
{
	struct ml_nano_cast *n = calloc(1, sizeof(*n));
	uint64_t end = own;
	size_t i;

	if (n)
		n->end = malloc((casts->n + 1) * sizeof(*n->end));
	*out = n;
	if (!n || !n->end) {
		ml_nano_cast_free(n);
		*out = NULL;
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	n->casts = *casts;
	n->src = src;
	n->own = own;
	for (i = 0; i < casts->n; i++)
		n->end[i] = end += ml_cast_len(&casts->c[i]);
	return ML_OK;
}

void ml_nano_cast_free(struct ml_nano_cast *n)
{
	if (n)
		free(n->end);
	free(n);
}

/* The cast that makes the byte at this offset, its first byte at *start; NULL
 * for one of the base. */
static const struct ml_cast *find(const struct ml_nano_cast *n, uint64_t at,
	uint64_t *start)
{
	size_t lo = 0, hi = n->casts.n, mid;

	if (at < n->own)
		return NULL;
	while (lo < hi) { /* the first that ends behind it */
		mid = lo + (hi - lo) / 2;
		if (n->end[mid] <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == n->casts.n)
		return NULL;
	*start = n->end[lo] - ml_cast_len(&n->casts.c[lo]);
	return &n->casts.c[lo];
}

static unsigned kept(const struct ml_cast *c)
{
	const unsigned which = c->to < ML_C_Q8_0 ? 0 : c->to < ML_C_I8 ? 1 : 2;
	const unsigned first[3] = {ML_C_F32, ML_C_Q8_0, ML_C_I8};

	return ML_TYPE_KEPT + 16 * which + 4 * (c->to - first[which]) + c->from;
}

int ml_nano_cast_run(const struct ml_nano_cast *n, uint64_t at,
	uint64_t units, struct ml_nano_run *r)
{
	uint64_t start, first, left;
	const struct ml_cast *c = find(n, at, &start);

	if (!c)
		return 0;
	first = (at - start) / ml_cast_bytes(c->to);
	left = c->units - first;
	r->type = kept(c);
	r->from = c->at + first * (ml_cast_from_len(c) / c->units);
	r->scale = 0;
	r->zero = c->zero;
	if (c->nscale) {
		r->scale = c->scale[first / c->inner % c->nscale];
		if (c->nscale > 1 && left > c->inner - first % c->inner)
			left = c->inner - first % c->inner;
	}
	r->units = left < units ? left : units;
	return 1;
}

/* n bytes of what a cast makes, as residuals that are 0, or as bytes where they
 * are no whole elements. */
static int copied(struct ml_nano_cast *n, ml_emit *emit, void *arg,
	uint64_t at, uint64_t bytes, struct ml_diag *diag)
{
	const struct ml_cast *c;
	uint64_t start, in;
	unsigned type, unit;
	size_t k;
	int err = ML_OK;

	for (; !err && bytes; at += k, bytes -= k) {
		c = find(n, at, &start);
		if (!c)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"copy of bytes behind the base's end");
		in = at - start;
		type = ml_type_made(kept(c));
		unit = ml_type_bytes(type);
		k = bytes < PIECE ? (size_t)bytes : PIECE;
		if (k > ml_cast_len(c) - in)
			k = (size_t)(ml_cast_len(c) - in);
		if (in % unit || k < unit) {
			if (k > unit - in % unit)
				k = (size_t)(unit - in % unit);
			type = 0;
		} else {
			k -= k % unit;
		}
		err = ml_src_read(n->src, at, n->base, k, diag);
		if (!err)
			err = type ? emit(arg, ML_OP_DIFF, type, k / unit, at,
				n->zero, n->base, k, diag) :
				emit(arg, ML_OP_LIT, 0, k, 0, n->base, NULL, k,
				diag);
	}
	return err;
}

/* Elements of a residual alone. */
static int made(struct ml_nano_cast *n, ml_emit *emit, void *arg,
	unsigned type, uint64_t units, const uint8_t *data,
	const uint8_t *base, struct ml_diag *diag)
{
	const unsigned unit = ml_type_bytes(type);
	const size_t most = PIECE / unit;
	size_t k, i;
	int err = ML_OK;

	for (; !err && units; units -= k, data += k * unit, base += k * unit) {
		k = units < most ? (size_t)units : most;
		memcpy(n->base, data, k * unit);
		if (ml_type_swapped(type)) {
			/* residuals are little-endian, elements are not */
			ml_swap(n->base, unit, k);
			for (i = 0; i < k; i++) {
				const unsigned kind = ml_types[type].f[0].kind;
				uint8_t b[8], *t = n->base + i * unit;

				memcpy(b, base + i * unit, unit);
				ml_swap(b, unit, 1);
				ml_elem_store(t, unit, ml_unresidual(unit * 8,
					ml_kind_ebits[kind],
					ml_elem_load(b, unit),
					ml_elem_load(t, unit)));
				ml_swap(t, unit, 1);
			}
		} else {
			for (i = 0; i < k; i++)
				ml_qblock_unresidual(type, base + i * unit,
					n->base + i * unit, n->base + i * unit);
		}
		err = emit(arg, ML_OP_ALONE, type, k, 0, n->base, NULL,
			k * unit, diag);
	}
	return err;
}

/* Residuals: what is against whole elements of a cast to their type stays so,
 * also across the border of two. */
static int residual(struct ml_nano_cast *n, ml_emit *emit, void *arg,
	unsigned type, uint64_t units, uint64_t at, const uint8_t *data,
	const uint8_t *base, struct ml_diag *diag)
{
	const unsigned unit = ml_type_bytes(type);
	const struct ml_cast *c;
	uint64_t start, left, k;
	int err = ML_OK;

	for (; !err && units; units -= k, at += k * unit) {
		c = find(n, at, &start);
		if (!c && at >= n->own)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"residuals against bytes behind the base's "
				"end");
		left = c ? start + ml_cast_len(c) - at : n->own - at;
		if (c && type == ml_type_made(kept(c)) &&
			(at - start) % unit == 0) {
			k = left / unit < units ? left / unit : units;
			err = emit(arg, ML_OP_DIFF, type, k, at, data, base,
				(size_t)(k * unit), diag);
		} else {
			k = left / unit + (left % unit != 0);
			k = k < units ? k : units;
			err = made(n, emit, arg, type, k, data, base, diag);
		}
		data += k * unit;
		base += k * unit;
	}
	return err;
}

int ml_nano_cast_op(struct ml_nano_cast *n, ml_emit *emit, void *arg,
	unsigned op, unsigned type, uint64_t units, uint64_t at,
	const uint8_t *data, const uint8_t *base, size_t bytes,
	struct ml_diag *diag)
{
	const uint64_t len = op == ML_OP_COPY ? units : bytes;
	const uint64_t before = at < n->own ? n->own - at : 0;
	int err = ML_OK;

	if ((op != ML_OP_COPY && op != ML_OP_DIFF) || len <= before)
		return emit(arg, op, type, units, at, data, base, bytes, diag);
	if (op == ML_OP_DIFF) /* before the border: alone, which is rare */
		return residual(n, emit, arg, ml_plain_twin(type), units, at,
			data, base, diag);
	if (before)
		err = emit(arg, op, type, before, at, NULL, NULL,
			(size_t)before, diag);
	return err ? err : copied(n, emit, arg, at + before, len - before, diag);
}
