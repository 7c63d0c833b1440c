/* SPDX-License-Identifier: MIT */
/*
 * TensorFlow Lite, as in schema.fbs: a FULLY_CONNECTED with fused RELU for
 * every layer, in floats or in int8 with one scale a row.
 *
 * A flatbuffer is written from its end: what is pointed at comes first, and
 * a reference is the distance to the end. So the bytes are gathered in
 * reverse and turned round at last.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

enum { T_FLOAT32 = 0, T_INT32 = 2, T_INT8 = 9 };
enum { FULLY_CONNECTED = 9, FC_OPTIONS = 8, RELU = 1 };

/* ===== flatbuffers ====================================================== */

#define FIELDS 8

struct table {
	uint32_t v[FIELDS]; /* a value, or the place of what is pointed at */
	uint8_t size[FIELDS]; /* 1 or 4 bytes; 0: absent */
	uint8_t ref[FIELDS]; /* v is a place */
};

/* Pads so that after n more bytes the place is a multiple of align. */
static void prep(struct gen_buf *b, size_t n, size_t align)
{
	while ((b->n + n) % align != 0)
		gen_put(b, "", 1);
}

/* Puts a number in reverse: the last byte comes first. */
static void put_num(struct gen_buf *b, uint64_t v, unsigned bytes)
{
	while (bytes-- > 0)
		gen_put_le(b, v >> 8 * bytes, 1);
}

static uint32_t here(const struct gen_buf *b)
{
	return (uint32_t)b->n;
}

static void put_ref(struct gen_buf *b, uint32_t place)
{
	put_num(b, here(b) + 4 - place, 4);
}

static uint32_t put_vector(struct gen_buf *b, const uint8_t *p, size_t n,
	size_t size, size_t align)
{
	prep(b, n * size, align < 4 ? 4 : align);
	for (size_t i = n * size; i-- > 0; )
		gen_put(b, p + i, 1);
	put_num(b, n, 4);
	return here(b);
}

static uint32_t put_string(struct gen_buf *b, const char *s)
{
	size_t n = strlen(s);

	prep(b, n + 1, 4);
	gen_put(b, "", 1);
	while (n-- > 0)
		gen_put(b, s + n, 1);
	put_num(b, strlen(s), 4);
	return here(b);
}

static uint32_t put_ints(struct gen_buf *b, const uint32_t *v, size_t n)
{
	prep(b, n * 4, 4);
	for (size_t i = n; i-- > 0; )
		put_num(b, v[i], 4);
	put_num(b, n, 4);
	return here(b);
}

static uint32_t put_refs(struct gen_buf *b, const uint32_t *place, size_t n)
{
	prep(b, n * 4, 4);
	for (size_t i = n; i-- > 0; )
		put_ref(b, place[i]);
	put_num(b, n, 4);
	return here(b);
}

static void set(struct table *t, unsigned field, uint32_t v, unsigned size)
{
	t->v[field] = v;
	t->size[field] = (uint8_t)size;
}

static void refer(struct table *t, unsigned field, uint32_t place)
{
	set(t, field, place, 4);
	t->ref[field] = 1;
}

/* Fields of four bytes first, that is, last in the file, so that they lie at
 * multiples of four whatever number of single bytes there are. */
static uint32_t put_table(struct gen_buf *b, const struct table *t)
{
	uint32_t at[FIELDS] = { 0 }, place;
	size_t n = 0, start;

	for (unsigned f = 0; f < FIELDS; f++)
		if (t->size[f] > 0)
			n = f + 1;
	prep(b, 0, 4);
	start = b->n;
	for (unsigned f = 0; f < FIELDS; f++)
		if (t->size[f] == 4) {
			if (t->ref[f])
				put_ref(b, t->v[f]);
			else
				put_num(b, t->v[f], 4);
			at[f] = here(b);
		}
	for (unsigned f = 0; f < FIELDS; f++)
		if (t->size[f] == 1) {
			put_num(b, t->v[f], 1);
			at[f] = here(b);
		}
	prep(b, 0, 4);
	place = here(b) + 4;
	/* the distance to the vtable, which comes next: it lies before */
	put_num(b, 2 * n + 4, 4);
	for (size_t f = n; f-- > 0; )
		put_num(b, at[f] ? place - at[f] : 0, 2);
	put_num(b, place - start, 2);
	put_num(b, 2 * n + 4, 2);
	return place;
}

static void save(struct gen_buf *b, uint32_t root, const char *path)
{
	prep(b, 8, 16);
	gen_put_text(b, "3LFT");
	put_ref(b, root);
	for (size_t i = 0; i < b->n / 2; i++) {
		uint8_t c = b->p[i];

		b->p[i] = b->p[b->n - 1 - i];
		b->p[b->n - 1 - i] = c;
	}
	gen_save(path, b);
}

/* ===== the model ======================================================== */

#define TENSORS (2 * GEN_TENSORS)

struct lite {
	struct gen_buf b;
	uint32_t buffer[TENSORS], nbuffer;
	uint32_t tensor[TENSORS], ntensor;
};

static void add_buffer(struct lite *l, const void *p, size_t n)
{
	struct table t = { 0 };

	if (n > 0)
		refer(&t, 0, put_vector(&l->b, p, n, 1, 16));
	l->buffer[l->nbuffer++] = put_table(&l->b, &t);
}

/* n scales, one for all when n is 1; the zero points are all the same. */
static uint32_t put_quant(struct gen_buf *b, const float *scale, size_t n,
	int64_t zero)
{
	struct table t = { 0 };
	uint32_t *bits = gen_alloc(n, sizeof *bits);

	for (size_t i = 0; i < n; i++)
		bits[i] = gen_float_bits(scale[i]);
	refer(&t, 2, put_ints(b, bits, n));
	prep(b, n * 8, 8);
	for (size_t i = 0; i < n; i++)
		put_num(b, (uint64_t)zero, 8);
	put_num(b, n, 4);
	refer(&t, 3, here(b));
	free(bits);
	return put_table(b, &t);
}

/* Returns the tensor's number. */
static uint32_t add_tensor(struct lite *l, const char *name,
	const size_t *shape, unsigned rank, unsigned type, uint32_t buffer,
	uint32_t quant)
{
	struct table t = { 0 };
	uint32_t dims[GEN_RANK];

	for (unsigned d = 0; d < rank; d++)
		dims[d] = (uint32_t)shape[d];
	refer(&t, 0, put_ints(&l->b, dims, rank));
	set(&t, 1, type, 1);
	set(&t, 2, buffer, 4);
	refer(&t, 3, put_string(&l->b, name));
	if (quant != 0)
		refer(&t, 4, quant);
	l->tensor[l->ntensor] = put_table(&l->b, &t);
	return l->ntensor++;
}

static void add_floats(struct lite *l, const struct gen_tensor *t)
{
	struct gen_buf raw = { 0 };

	for (size_t i = 0; i < t->n; i++)
		gen_put_le(&raw, gen_float_bits(gen_get(t, i)), 4);
	add_buffer(l, raw.p, raw.n);
	gen_buf_free(&raw);
	add_tensor(l, t->name, t->shape, t->rank, T_FLOAT32, l->nbuffer - 1,
		0);
}

static void add_int8(struct lite *l, const struct gen_tensor *t, float *scale)
{
	int8_t *q = gen_alloc(t->n, 1);

	gen_int8(t, q, scale);
	add_buffer(l, q, t->n);
	free(q);
	add_tensor(l, t->name, t->shape, t->rank, T_INT8, l->nbuffer - 1,
		put_quant(&l->b, scale, t->shape[0], 0));
}

/* A bias is int32 in units of the products that it is added to. */
static void add_bias(struct lite *l, const struct gen_tensor *t, float in,
	float *scale)
{
	struct gen_buf raw = { 0 };

	for (size_t i = 0; i < t->n; i++) {
		scale[i] *= in;
		gen_put_le(&raw, (uint32_t)(int32_t)rintf(gen_get(t, i) /
			scale[i]), 4);
	}
	add_buffer(l, raw.p, raw.n);
	gen_buf_free(&raw);
	add_tensor(l, t->name, t->shape, t->rank, T_INT32, l->nbuffer - 1,
		put_quant(&l->b, scale, t->n, 0));
}

/* What flows between the layers, without bytes in the file. */
static uint32_t add_flow(struct lite *l, const char *name, size_t width,
	enum gen_quant q, float scale, int64_t zero)
{
	size_t shape[2] = { 1, width };

	if (q == GEN_PLAIN)
		return add_tensor(l, name, shape, 2, T_FLOAT32, 0, 0);
	return add_tensor(l, name, shape, 2, T_INT8, 0,
		put_quant(&l->b, &scale, 1, zero));
}

static uint32_t put_operator(struct gen_buf *b, const uint32_t in[3],
	uint32_t out, int relu)
{
	struct table op = { 0 }, opt = { 0 };

	if (relu)
		set(&opt, 0, RELU, 1);
	set(&op, 0, 0, 4);
	refer(&op, 1, put_ints(b, in, 3));
	refer(&op, 2, put_ints(b, &out, 1));
	set(&op, 3, FC_OPTIONS, 1);
	refer(&op, 4, put_table(b, &opt));
	return put_table(b, &op);
}

static uint32_t put_graph(struct lite *l, const uint32_t *op, size_t n,
	uint32_t in, uint32_t out)
{
	struct table t = { 0 };

	refer(&t, 0, put_refs(&l->b, l->tensor, l->ntensor));
	refer(&t, 1, put_ints(&l->b, &in, 1));
	refer(&t, 2, put_ints(&l->b, &out, 1));
	refer(&t, 3, put_refs(&l->b, op, n));
	refer(&t, 4, put_string(&l->b, "main"));
	return put_table(&l->b, &t);
}

void gen_write_tflite(const struct gen_model *m, enum gen_quant q,
	const char *path)
{
	struct gen_layer ly[GEN_LAYERS];
	size_t n = gen_layers(m, ly);
	struct lite *l = gen_alloc(1, sizeof *l);
	struct table code = { 0 }, model = { 0 };
	float *scale[GEN_TENSORS] = { NULL }, unit = 1.0f / 255;
	uint32_t op[GEN_LAYERS], first, flow, place;
	int done[GEN_TENSORS] = { 0 };

	if (q != GEN_PLAIN && q != GEN_INT8)
		gen_die("tflite has int8, not q8_0 or q4_0");
	if (n == 0)
		gen_die("the model has no layers");
	add_buffer(l, NULL, 0); /* by convention the first is empty */
	gen_calibrate(m, ly, n);

	/* tensors in the model's order, so that numbers are the same */
	for (size_t k = 0; q == GEN_INT8 && k < n; k++) {
		float in = k == 0 ? unit : ly[k - 1].peak / 255;
		const struct gen_tensor *w = &m->t[ly[k].weight];

		scale[k] = gen_alloc(w->shape[0], sizeof **scale);
		ly[k].weight = l->ntensor;
		add_int8(l, w, scale[k]);
		done[w - m->t] = 1;
		done[ly[k].bias] = 1;
		place = l->ntensor;
		add_bias(l, &m->t[ly[k].bias], in, scale[k]);
		ly[k].bias = place;
		free(scale[k]);
	}
	for (size_t i = 0; i < m->n; i++)
		if (!done[i])
			add_floats(l, &m->t[i]);

	first = flow = add_flow(l, "pixels", ly[0].in, q, unit, -128);
	for (size_t k = 0; k < n; k++) {
		uint32_t in[3] = { flow, (uint32_t)ly[k].weight,
			(uint32_t)ly[k].bias };

		if (k + 1 < n)
			flow = add_flow(l, "hidden", ly[k].out, q,
				ly[k].peak / 255, -128);
		else
			flow = add_flow(l, "digit", ly[k].out, q,
				ly[k].peak / 127, 0);
		op[k] = put_operator(&l->b, in, flow, k + 1 < n);
	}

	set(&code, 0, FULLY_CONNECTED, 1);
	set(&code, 2, q == GEN_INT8 ? 4 : 1, 4);
	set(&code, 3, FULLY_CONNECTED, 4);
	place = put_table(&l->b, &code);
	set(&model, 0, 3, 4); /* version */
	refer(&model, 1, put_refs(&l->b, &place, 1));
	place = put_graph(l, op, n, first, flow);
	refer(&model, 2, put_refs(&l->b, &place, 1));
	refer(&model, 3, put_string(&l->b, "mlgen"));
	refer(&model, 4, put_refs(&l->b, l->buffer, l->nbuffer));
	place = put_table(&l->b, &model);
	save(&l->b, place, path);
	gen_buf_free(&l->b);
	free(l);
}
