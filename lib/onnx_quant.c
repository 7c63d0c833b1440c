/* SPDX-License-Identifier: MIT */
/* ONNX: scales and zero points of initializers, which nodes that read them
 * name. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "onnx.h"
#include "protobuf.h"

static int compare(const char *a, size_t na, const char *b, size_t nb)
{
	int c = memcmp(a, b, na < nb ? na : nb);

	return c ? c : (na > nb) - (na < nb);
}

static int by_name(const void *va, const void *vb)
{
	const struct ml_onnx_init *a = va, *b = vb;
	int c = compare(a->name, a->name_len, b->name, b->name_len);

	return c ? c : (a->span > b->span) - (a->span < b->span);
}

/* The first initializer of that name; *found is NULL when there is none. */
static int find(struct ml_onnx *o, const struct ml_onnx_str *s,
	struct ml_onnx_init **found)
{
	size_t lo = 0, hi = o->ninit, mid;
	struct ml_onnx_init *e;
	int r = ml_onnx_name(o, s);

	*found = NULL;
	if (r < 0)
		return r;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		e = &o->init[mid];
		if (compare(e->name, e->name_len, o->name, (size_t)s->len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < o->ninit) {
		e = &o->init[lo];
		if (e->name_len == s->len &&
			memcmp(e->name, o->name, (size_t)s->len) == 0)
			*found = e;
	}
	return ML_OK;
}

/* Bytes of an integer type, negative when it is signed, else 0. */
static int int_width(unsigned dtype)
{
	switch (dtype) {
	case ML_DT_U8: return 1;
	case ML_DT_I8: return -1;
	case ML_DT_U16: return 2;
	case ML_DT_I16: return -2;
	case ML_DT_U32: return 4;
	case ML_DT_I32: return -4;
	default: return 0;
	}
}

/* A number of up to 4 bytes; its sign is spread when width is negative. */
static int64_t widen(const uint8_t b[4], int width)
{
	uint64_t v = ml_load32(b), sign;

	if (width > 0)
		return (int64_t)v;
	sign = (uint64_t)1 << (8 * -width - 1);
	return (int64_t)(v ^ sign) - (int64_t)sign;
}

/* Reads q->n zero points; 1, or 0 when there are not just as many. */
static int zeros(struct ml_onnx *o, const struct ml_onnx_init *z,
	struct ml_quant *q)
{
	const struct ml_span *sp = &o->m->span[z->span];
	uint64_t at = sp->off, left = sp->len, v;
	uint8_t b[ML_VARINT_MAX];
	int width = int_width(sp->dtype), r;
	size_t size = (size_t)abs(width), n;
	uint32_t i;

	if (z->varints ? left < q->n : !width || left != q->n * size)
		return 0;
	for (i = 0; i < q->n; i++, at += n, left -= n) {
		n = z->varints ? sizeof b : size;
		if (n > left)
			n = (size_t)left;
		memset(b, 0, sizeof b);
		r = ml_src_read(o->src, at, b, n, o->diag);
		if (r < 0)
			return r;
		if (z->varints) {
			n = ml_varint(b, n, &v);
			if (n == 0)
				return 0;
			ml_store32(b, (uint32_t)v); /* the schema's int32 */
		}
		q->zero[i] = widen(b, z->varints ? -4 : width);
	}
	return left == 0;
}

/* Whether the scales go with the tensor; *axis becomes ml_quant's. */
static int suits(const struct ml_span *x, const struct ml_span *scale,
	int64_t *axis)
{
	uint64_t n = scale->len / 4;

	if (!int_width(x->dtype) && x->dtype != ML_DT_U4 &&
		x->dtype != ML_DT_I4)
		return 0;
	if (scale->dtype != ML_DT_F32 || scale->rank > 1 || n == 0 ||
		n > ML_QUANT_MAX)
		return 0;
	if (n == 1) {
		*axis = -1;
		return 1;
	}
	if (*axis < 0)
		*axis += x->rank;
	return *axis >= 0 && *axis < x->rank && x->shape[*axis] == n;
}

static int quantise(struct ml_onnx *o, const struct ml_onnx_use *u)
{
	struct ml_onnx_init *x, *s = NULL, *z = NULL;
	const struct ml_span *scale;
	struct ml_quant *q;
	int64_t axis = u->axis;
	uint32_t i, bits;
	uint8_t b[4] = {0};
	int r = find(o, &u->x, &x);

	if (r == ML_OK && x)
		r = find(o, &u->scale, &s);
	if (r < 0 || !x || !s)
		return r;
	if (u->zero.len > 0) {
		r = find(o, &u->zero, &z);
		if (r < 0 || !z)
			return r;
	}
	scale = &o->m->span[s->span];
	if (x->tried || !suits(&o->m->span[x->span], scale, &axis))
		return ML_OK;
	/* once, lest many nodes read the same long list */
	x->tried = 1;
	r = ml_quant_new(
		&q, (int32_t)axis, (size_t)(scale->len / 4), o->diag);
	if (r < 0)
		return r;
	for (i = 0; r == ML_OK && i < q->n; i++) {
		r = ml_src_read(o->src, scale->off + 4 * (uint64_t)i, b, 4,
			o->diag);
		bits = ml_load32(b);
		memcpy(&q->scale[i], &bits, 4);
	}
	if (r == ML_OK)
		r = z ? zeros(o, z, q) : 1;
	if (r > 0) {
		o->m->span[x->span].quant = q;
		return ML_OK;
	}
	free(q->scale);
	free(q->zero);
	free(q);
	return r;
}

int ml_onnx_quantise(struct ml_onnx *o)
{
	size_t i;
	int r = ML_OK;

	if (o->ninit == 0)
		return ML_OK;
	qsort(o->init, o->ninit, sizeof *o->init, by_name);
	for (i = 0; r == ML_OK && i < o->nuse; i++)
		r = quantise(o, &o->use[i]);
	return r;
}
