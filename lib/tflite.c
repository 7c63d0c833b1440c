/* SPDX-License-Identifier: MIT */
/* TensorFlow Lite models: a FlatBuffer with the identifier "TFL3", after
 * tensorflow/compiler/mlir/lite/schema/schema.fbs. Tensors name buffers by
 * number; the bytes of a buffer lie in the FlatBuffer or behind it.
 *
 * The tables of a hostile file may all lead to the same bytes, so work and
 * memory are paid from accounts that grow with the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ml.h"
#include "bytes.h"
#include "fit.h"
#include "flatbuf.h"

#define SCRATCH_MAX (ML_NAME_MAX + 16)
#define LOOSE_MIN 64 /* bytes of a tensorless buffer that is worth a span */
#define VISITS_MAX (1u << 18) /* elements of the vectors of tables, in all */
#define SHARE 4 /* how often honest tables may share names and scales */

/* numbers of fields in the schema */
enum { MODEL_SUBGRAPHS = 2, MODEL_BUFFERS = 4, MODEL_METADATA = 6 };
enum { SUBGRAPH_TENSORS = 0 };
enum { BUFFER_DATA = 0, BUFFER_OFFSET = 1, BUFFER_SIZE = 2 };
enum { METADATA_NAME = 0, METADATA_BUFFER = 1 };
enum {
	TENSOR_SHAPE = 0, TENSOR_TYPE = 1, TENSOR_BUFFER = 2, TENSOR_NAME = 3,
	TENSOR_QUANT = 4
};
enum {
	QUANT_SCALE = 2, QUANT_ZERO = 3, QUANT_DETAILS_TYPE = 4, QUANT_AXIS = 6
};

struct tflite {
	struct ml_fb fb;
	struct ml_model *m;
	struct ml_diag *diag;
	struct ml_fb_vec buffers;
	uint8_t *used; /* of every buffer: whether it has its span */
	char *name; /* SCRATCH_MAX bytes */
	uint64_t visits; /* elements of vectors that may still be met */
	uint64_t bytes; /* of names and scales that may still be kept */
};

static const uint16_t dtypes[] = {ML_DT_F32, ML_DT_F16, ML_DT_I32, ML_DT_U8,
	ML_DT_I64, ML_DT_STRING, ML_DT_BOOL, ML_DT_I16, ML_DT_C64, ML_DT_I8,
	ML_DT_F64, ML_DT_C128, ML_DT_U64, ML_DT_OPAQUE, ML_DT_OPAQUE,
	ML_DT_U32, ML_DT_U16, ML_DT_I4, ML_DT_BF16};

static int pay(struct tflite *t, uint64_t *account, uint64_t n)
{
	if (n > *account)
		return ml_fail(t->diag, ML_ELIMIT, ML_NOWHERE,
			"too many tflite tables, or they share their bytes");
	*account -= n;
	return ML_OK;
}

/* Where the bytes of a buffer lie. */
static int extent(struct tflite *t, uint32_t i, uint64_t *off, uint64_t *len)
{
	struct ml_fb_table b;
	struct ml_fb_vec data;
	int r = ml_fb_at(&t->fb, &t->buffers, i, &b);

	if (r == ML_OK)
		r = ml_fb_num(&t->fb, &b, BUFFER_OFFSET, 8, 0, off);
	if (r == ML_OK)
		r = ml_fb_num(&t->fb, &b, BUFFER_SIZE, 8, 0, len);
	if (r == ML_OK)
		r = ml_fb_vector(&t->fb, &b, BUFFER_DATA, 1, &data);
	if (r < 0)
		return r;
	if (*off <= 1) { /* 1 is a placeholder of the writer */
		*off = data.pos;
		*len = data.n;
	} else if (*off > t->fb.size || *len > t->fb.size - *off) {
		return ml_fail(t->diag, ML_EFORMAT, *off,
			"tflite buffer %u of %llu bytes at %llu leaves the"
			" file's %llu", i, (unsigned long long)*len,
			(unsigned long long)*off,
			(unsigned long long)t->fb.size);
	}
	return ML_OK;
}

/* Appends a string of the file to the n bytes of t->name. */
static int name(struct tflite *t, const struct ml_fb_table *from,
	unsigned field, size_t *n)
{
	struct ml_fb_vec s;
	int r = ml_fb_vector(&t->fb, from, field, 1, &s);

	if (r < 0)
		return r;
	if (s.n > ML_NAME_MAX - *n)
		return ml_fail(t->diag, ML_ELIMIT, s.pos,
			"tflite name of %u bytes at %llu", s.n,
			(unsigned long long)s.pos);
	r = pay(t, &t->bytes, s.n);
	if (r < 0 || s.n == 0)
		return r;
	r = ml_src_read(t->fb.src, s.pos, t->name + *n, s.n, t->diag);
	*n += s.n;
	return r;
}

/* The shape; a rank of ML_RANK_MAX + 1 when there is none to be had. */
static int dims(struct tflite *t, const struct ml_fb_table *tensor,
	unsigned *rank, uint64_t shape[ML_RANK_MAX])
{
	uint8_t b[4 * ML_RANK_MAX];
	struct ml_fb_vec v;
	unsigned i;
	int r = ml_fb_vector(&t->fb, tensor, TENSOR_SHAPE, 4, &v);

	*rank = ML_RANK_MAX + 1;
	if (r < 0 || v.n > ML_RANK_MAX)
		return r;
	if (v.n > 0)
		r = ml_src_read(t->fb.src, v.pos, b, 4 * v.n, t->diag);
	if (r < 0)
		return r;
	for (i = 0; i < v.n; i++) {
		shape[i] = ml_load32(b + 4 * i);
		if (shape[i] > INT32_MAX)
			return ML_OK;
	}
	*rank = v.n;
	return ML_OK;
}

static int quant_fill(struct tflite *t, struct ml_quant *q,
	const struct ml_fb_vec *scale, const struct ml_fb_vec *zero)
{
	uint32_t i, bits;
	uint64_t z;
	uint8_t b[8];
	int r;

	for (i = 0; i < q->n; i++) {
		r = ml_src_read(t->fb.src, scale->pos + 4 * (uint64_t)i, b, 4,
			t->diag);
		if (r < 0)
			return r;
		bits = ml_load32(b);
		memcpy(&q->scale[i], &bits, 4);
		if (zero->n == 0)
			continue;
		r = ml_src_read(t->fb.src, zero->pos + 8 * (uint64_t)i, b, 8,
			t->diag);
		if (r < 0)
			return r;
		z = ml_load64(b);
		memcpy(&q->zero[i], &z, 8);
	}
	return ML_OK;
}

/* Hangs the quantisation onto the span just added, when it makes sense. */
static int quant(struct tflite *t, const struct ml_fb_table *tensor)
{
	struct ml_span *sp = &t->m->span[t->m->nspan - 1];
	struct ml_fb_table q;
	struct ml_fb_vec scale, zero;
	uint64_t details, axis;
	int r = ml_fb_sub(&t->fb, tensor, TENSOR_QUANT, &q);

	if (r == ML_OK)
		r = ml_fb_num(&t->fb, &q, QUANT_DETAILS_TYPE, 1, 0, &details);
	if (r == ML_OK)
		r = ml_fb_num(&t->fb, &q, QUANT_AXIS, 4, 0, &axis);
	if (r == ML_OK)
		r = ml_fb_vector(&t->fb, &q, QUANT_SCALE, 4, &scale);
	if (r == ML_OK)
		r = ml_fb_vector(&t->fb, &q, QUANT_ZERO, 8, &zero);
	if (r < 0)
		return r;
	if (details != 0 || scale.n == 0 || scale.n > ML_QUANT_MAX ||
		(zero.n != 0 && zero.n != scale.n))
		return ML_OK;
	if (scale.n > 1 && (axis >= sp->rank || sp->shape[axis] != scale.n))
		return ML_OK;
	r = pay(t, &t->bytes, 12 * (uint64_t)scale.n);
	if (r == ML_OK)
		r = ml_quant_new(&sp->quant, scale.n == 1 ? -1 : (int32_t)axis,
			scale.n, t->diag);
	return r < 0 ? r : quant_fill(t, sp->quant, &scale, &zero);
}

static int tensor(struct tflite *t, const struct ml_fb_table *tensor)
{
	uint64_t shape[ML_RANK_MAX], type, buf, off, len;
	unsigned rank = 0;
	size_t n = 0;
	int r = ml_fb_num(&t->fb, tensor, TENSOR_BUFFER, 4, 0, &buf);

	if (r < 0)
		return r;
	if (buf >= t->buffers.n)
		return ml_fail(t->diag, ML_EFORMAT, tensor->pos,
			"tflite tensor at %llu has buffer %llu of %u",
			(unsigned long long)tensor->pos,
			(unsigned long long)buf, t->buffers.n);
	if (t->used[buf])
		return ML_OK;
	r = extent(t, (uint32_t)buf, &off, &len);
	if (r < 0 || len == 0)
		return r;
	t->used[buf] = 1;
	r = ml_fb_num(&t->fb, tensor, TENSOR_TYPE, 1, 0, &type);
	if (r == ML_OK)
		r = name(t, tensor, TENSOR_NAME, &n);
	if (r == ML_OK)
		r = dims(t, tensor, &rank, shape);
	if (r < 0)
		return r;
	r = ml_fit_add(t->m, t->name, n,
		type < sizeof dtypes / sizeof *dtypes ? dtypes[type]
						      : ML_DT_OPAQUE,
		rank, shape, off, len, t->diag);
	return r < 0 ? r : quant(t, tensor);
}

static int subgraphs(struct tflite *t, const struct ml_fb_table *model)
{
	struct ml_fb_vec graphs, tensors;
	struct ml_fb_table g, tab;
	uint32_t i, k;
	int r = ml_fb_vector(&t->fb, model, MODEL_SUBGRAPHS, 4, &graphs);

	for (i = 0; r == ML_OK && i < graphs.n; i++) {
		r = pay(t, &t->visits, 1);
		if (r == ML_OK)
			r = ml_fb_at(&t->fb, &graphs, i, &g);
		if (r == ML_OK)
			r = ml_fb_vector(
				&t->fb, &g, SUBGRAPH_TENSORS, 4, &tensors);
		if (r == ML_OK)
			r = pay(t, &t->visits, tensors.n);
		for (k = 0; r == ML_OK && k < tensors.n; k++) {
			r = ml_fb_at(&t->fb, &tensors, k, &tab);
			if (r == ML_OK)
				r = tensor(t, &tab);
		}
	}
	return r;
}

/* A buffer that no tensor names, under the n bytes of t->name. */
static int loose(struct tflite *t, uint32_t i, size_t n)
{
	uint64_t off, len;
	int r = extent(t, i, &off, &len);

	if (r < 0 || len < LOOSE_MIN)
		return r;
	t->used[i] = 1;
	return ml_fit_add(t->m, t->name, n, ML_DT_OPAQUE, 1, &len, off, len,
		t->diag);
}

static int metadata(struct tflite *t, const struct ml_fb_table *model)
{
	static const char prefix[] = "metadata:";
	struct ml_fb_vec v;
	struct ml_fb_table meta;
	uint64_t buf;
	uint32_t i;
	size_t n;
	int r = ml_fb_vector(&t->fb, model, MODEL_METADATA, 4, &v);

	if (r == ML_OK)
		r = pay(t, &t->visits, v.n);
	if (r == ML_OK)
		r = pay(t, &t->visits, t->buffers.n);
	for (i = 0; r == ML_OK && i < v.n; i++) {
		r = ml_fb_at(&t->fb, &v, i, &meta);
		if (r == ML_OK)
			r = ml_fb_num(&t->fb, &meta, METADATA_BUFFER, 4, 0,
				&buf);
		if (r < 0 || buf >= t->buffers.n || t->used[buf])
			continue;
		n = sizeof prefix - 1;
		memcpy(t->name, prefix, n);
		r = name(t, &meta, METADATA_NAME, &n);
		if (r == ML_OK)
			r = loose(t, (uint32_t)buf, n);
	}
	for (i = 0; r == ML_OK && i < t->buffers.n; i++) {
		if (t->used[i])
			continue;
		n = (size_t)snprintf(t->name, SCRATCH_MAX, "buffer:%u", i);
		r = loose(t, i, n);
	}
	return r;
}

static int probe(const uint8_t *head, size_t n)
{
	return n >= 8 && memcmp(head + 4, "TFL3", 4) == 0;
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	struct tflite t = {.fb = {s, ml_src_size(s), diag}, .m = m,
		.diag = diag};
	struct ml_fb_table model;
	uint8_t head[8];
	int r = ml_src_read(s, 0, head, sizeof head, diag);

	if (r < 0)
		return r;
	if (!probe(head, sizeof head))
		return ml_fail(diag, ML_EFORMAT, 4, "no tflite identifier");
	/* vectors take 4 bytes an element, unless they share them */
	t.visits = t.fb.size / 4;
	if (t.visits > VISITS_MAX)
		t.visits = VISITS_MAX;
	if (!ml_mul_ok(t.fb.size, SHARE, &t.bytes))
		t.bytes = UINT64_MAX;
	r = ml_fb_root(&t.fb, &model);
	if (r == ML_OK)
		r = ml_fb_vector(
			&t.fb, &model, MODEL_BUFFERS, 4, &t.buffers);
	if (r < 0)
		return r;
	t.used = calloc((size_t)t.buffers.n + 1, 1);
	t.name = malloc(SCRATCH_MAX);
	if (!t.used || !t.name)
		r = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (r == ML_OK)
		r = subgraphs(&t, &model);
	if (r == ML_OK)
		r = metadata(&t, &model);
	free(t.name);
	free(t.used);
	return r;
}

const struct ml_reader ml_reader_tflite = {
	.container = ML_TFLITE, .name = "tflite", .probe = probe, .walk = walk};
