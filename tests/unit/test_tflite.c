/* SPDX-License-Identifier: MIT */
/* The TensorFlow Lite reader: files made here, right and wrong. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "ml.h"
#include "test.h"

#define CAP 1000000

/* A file under construction, front to back: what is led to comes later. */
struct file {
	size_t n;
	uint8_t p[CAP];
};

static size_t zeros(struct file *f, size_t n)
{
	size_t at = f->n;

	CHECK(f->n + n <= CAP);
	memset(f->p + at, 0, n);
	f->n += n;
	return at;
}

static void set32(struct file *f, size_t at, uint32_t v)
{
	ml_store32(f->p + at, v);
}

/* A table with a vtable before it; fields[i] is the width of field i. */
static size_t table(struct file *f, const char *fields)
{
	size_t k = strlen(fields), vt = zeros(f, 4 + 2 * k), at = f->n;
	size_t len = 4, i;

	for (i = 0; i < k; i++) {
		if (fields[i] == '0')
			continue;
		ml_store16(f->p + vt + 4 + 2 * i, (unsigned)len);
		len += (size_t)(fields[i] - '0');
	}
	ml_store16(f->p + vt, (unsigned)(4 + 2 * k));
	ml_store16(f->p + vt + 2, (unsigned)len);
	zeros(f, len);
	set32(f, at, (uint32_t)(at - vt));
	return at;
}

/* Where a field of a table lies. */
static size_t field(const struct file *f, size_t tab, unsigned i)
{
	size_t vt = tab - ml_load32(f->p + tab);

	return tab + ml_load16(f->p + vt + 4 + 2 * i);
}

static void lead(struct file *f, size_t from, size_t to)
{
	CHECK(to > from);
	set32(f, from, (uint32_t)(to - from));
}

/* A vector of zeros for field i of a table; where its elements start. */
static size_t vec(struct file *f, size_t tab, unsigned i, size_t n,
	size_t width)
{
	size_t at = zeros(f, 4 + n * width);

	set32(f, at, (uint32_t)n);
	lead(f, field(f, tab, i), at);
	return at + 4;
}

static void string(struct file *f, size_t tab, unsigned i, const char *s)
{
	memcpy(f->p + vec(f, tab, i, strlen(s), 1), s, strlen(s));
	zeros(f, 1);
}

/* The model's table, with vectors of subgraphs, buffers, metadata. */
struct model {
	size_t root, graphs, buffers, metadata;
};

static struct model start(struct file *f, size_t graphs, size_t buffers,
	size_t metadata)
{
	struct model m;

	f->n = 0;
	zeros(f, 8);
	memcpy(f->p + 4, "TFL3", 4);
	m.root = table(f, "40404040");
	lead(f, 0, m.root);
	set32(f, field(f, m.root, 0), 3);
	m.graphs = vec(f, m.root, 2, graphs, 4);
	m.buffers = vec(f, m.root, 4, buffers, 4);
	m.metadata = vec(f, m.root, 6, metadata, 4);
	return m;
}

/* Element i of the buffers: n bytes of value c; where they lie. */
static size_t buffer(struct file *f, const struct model *m, size_t i,
	size_t n, int c)
{
	size_t t = table(f, n ? "4" : ""), at;

	lead(f, m->buffers + 4 * i, t);
	if (n == 0)
		return 0;
	at = vec(f, t, 0, n, 1);
	memset(f->p + at, c, n);
	return at;
}

/* A tensor of up to two dimensions (0: absent). */
static size_t tensor(struct file *f, size_t from, const char *name,
	unsigned type, unsigned buf, uint32_t d0, uint32_t d1)
{
	size_t t = table(f, "41444"), n = (d0 != 0) + (size_t)(d1 != 0), at;

	lead(f, from, t);
	f->p[field(f, t, 1)] = (uint8_t)type;
	set32(f, field(f, t, 2), buf);
	at = vec(f, t, 0, n, 4);
	if (n > 0)
		set32(f, at, d0);
	if (n > 1)
		set32(f, at + 4, d1);
	string(f, t, 3, name);
	/* an empty table unless quant() makes another */
	lead(f, field(f, t, 4), table(f, ""));
	return t;
}

static size_t quant(struct file *f, size_t t, size_t scales, size_t points,
	uint32_t axis)
{
	size_t q, at, i;

	q = table(f, "0044104");
	lead(f, field(f, t, 4), q);
	at = vec(f, q, 2, scales, 4);
	for (i = 0; i < scales; i++) /* 1.0, 1.0 + 2^-23, ... */
		set32(f, at + 4 * i, 0x3f800000 + (uint32_t)i);
	at = vec(f, q, 3, points, 8);
	for (i = 0; i < points; i++)
		ml_store64(f->p + at + 8 * i, UINT64_MAX - i);
	set32(f, field(f, q, 6), axis);
	return q;
}

static int load(struct ml_model *m, const char *format, const uint8_t *p,
	size_t n, struct ml_diag *diag)
{
	struct ml_src *s;
	int r;

	ml_model_init(m);
	CHECK(ml_src_spool(&s, diag) == ML_OK);
	CHECK(ml_src_append(s, p, n, diag) == ML_OK);
	diag->why[0] = 0;
	r = ml_model_read(m, s, format, diag);
	CHECK(r == ML_OK || diag->why[0] != 0);
	ml_src_free(s);
	return r;
}

/* What a damaged file gives. */
static int code(const struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	int r = load(&m, "tflite", f->p, f->n, &diag);

	ml_model_free(&m);
	return r;
}

/* A span that is no tensor when there is none of that name. */
static const struct ml_span *find(const struct ml_model *m, const char *name)
{
	static const struct ml_span none = {0};
	size_t i;

	for (i = 0; i < m->nspan; i++)
		if (m->span[i].kind == ML_TENSOR &&
			m->span[i].name_len == strlen(name) &&
			memcmp(m->span[i].name, name, strlen(name)) == 0)
			return &m->span[i];
	return &none;
}

static size_t tensors(const struct ml_model *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->nspan; i++)
		n += m->span[i].kind == ML_TENSOR;
	return n;
}

static void is(const struct ml_model *m, const char *name, unsigned dtype,
	unsigned rank, uint64_t dim, uint64_t off, uint64_t len)
{
	const struct ml_span *sp = find(m, name);

	CHECK(sp->kind == ML_TENSOR && sp->rank == rank);
	CHECK(sp->dtype == dtype);
	CHECK(sp->off == off && sp->len == len);
	CHECK(rank == 0 || (sp->rank > 0 && sp->shape[0] == dim));
}

/* Two subgraphs, all kinds of tensors and buffers. */
static void rich(struct file *f, size_t at[8])
{
	struct model m = start(f, 2, 9, 2);
	size_t g, v, t, b;

	g = table(f, "4");
	lead(f, m.graphs, g);
	v = vec(f, g, 0, 7, 4);
	quant(f, tensor(f, v, "conv", 9, 1, 3, 4), 3, 3, 0);
	quant(f, tensor(f, v + 4, "bias", 2, 2, 3, 0), 1, 1, 0);
	tensor(f, v + 8, "activation", 9, 0, 5, 6);
	tensor(f, v + 12, "nibbles", 17, 3, 3, 0);
	tensor(f, v + 16, "sparse", 0, 4, 100, 100);
	tensor(f, v + 20, "conv again", 9, 1, 12, 0);
	tensor(f, v + 24, "behind", 1, 5, 2, 0);
	g = table(f, "4");
	lead(f, m.graphs + 4, g);
	v = vec(f, g, 0, 1, 4);
	tensor(f, v, "in the second", 99, 6, 4, 0);
	at[0] = buffer(f, &m, 0, 0, 0);
	at[1] = buffer(f, &m, 1, 12, 1);
	at[2] = buffer(f, &m, 2, 12, 2);
	at[3] = buffer(f, &m, 3, 2, 3);
	at[4] = buffer(f, &m, 4, 8, 4);
	b = table(f, "488");
	lead(f, m.buffers + 4 * 5, b);
	zeros(f, 4);
	lead(f, field(f, b, 0), f->n - 4);
	at[6] = buffer(f, &m, 6, 4, 6);
	at[7] = buffer(f, &m, 7, 64, 7);
	buffer(f, &m, 8, 63, 8);
	t = table(f, "44");
	lead(f, m.metadata, t);
	string(f, t, 0, "min_runtime");
	set32(f, field(f, t, 1), 7);
	t = table(f, "44");
	lead(f, m.metadata + 4, t);
	string(f, t, 0, "lost");
	set32(f, field(f, t, 1), 1000);
	at[5] = zeros(f, 4);
	ml_store64(f->p + field(f, b, 1), at[5]);
	ml_store64(f->p + field(f, b, 2), 4);
}

static void test_rich(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	const struct ml_span *sp;
	size_t at[8];

	rich(f, at);
	CHECK(load(&m, NULL, f->p, f->n, &diag) == ML_OK);
	CHECK(m.container == ML_TFLITE && diag.why[0] == 0);
	is(&m, "conv", ML_DT_I8, 2, 3, at[1], 12);
	is(&m, "bias", ML_DT_I32, 1, 3, at[2], 12);
	is(&m, "nibbles", ML_DT_I4, 1, 3, at[3], 2);
	is(&m, "sparse", ML_DT_F32, 1, 2, at[4], 8);
	is(&m, "behind", ML_DT_F16, 1, 2, at[5], 4);
	is(&m, "in the second", ML_DT_OPAQUE, 1, 4, at[6], 4);
	is(&m, "metadata:min_runtime", ML_DT_OPAQUE, 1, 64, at[7], 64);
	CHECK(tensors(&m) == 7);
	sp = find(&m, "conv");
	CHECK(sp->quant && sp->quant->axis == 0 && sp->quant->n == 3);
	CHECK(sp->quant->scale[1] > 1.0f && sp->quant->scale[2] < 1.1f);
	CHECK(sp->quant->zero[0] == -1 && sp->quant->zero[2] == -3);
	sp = find(&m, "bias");
	CHECK(sp->quant && sp->quant->axis == -1 && sp->quant->n == 1);
	CHECK(find(&m, "sparse")->quant == NULL);
	ml_model_free(&m);
}

/* One tensor "t" of 3 x 4 bytes in buffer 0 of one; *tab is its table. */
static struct model simple(struct file *f, size_t *tab)
{
	struct model m = start(f, 1, 1, 0);
	size_t g = table(f, "4");

	lead(f, m.graphs, g);
	*tab = tensor(f, vec(f, g, 0, 1, 4), "t", 9, 0, 3, 4);
	buffer(f, &m, 0, 12, 1);
	return m;
}

static void test_scales_that_do_not_fit_are_left(struct file *f)
{
	static const struct {
		size_t scales, points;
		uint32_t axis;
		int details, left;
	} c[] = {{3, 3, 0, 0, 0}, {4, 4, 1, 0, 0}, {3, 0, 0, 0, 0},
		{1, 1, 77, 0, 0}, {3, 3, 1, 0, 1}, {3, 2, 0, 0, 1},
		{3, 3, 2, 0, 1}, {3, 3, UINT32_MAX, 0, 1}, {0, 0, 0, 0, 1},
		{3, 3, 0, 1, 1}, {ML_QUANT_MAX + 1, 0, 0, 0, 1}};
	struct ml_model m;
	struct ml_diag diag;
	const struct ml_quant *q;
	size_t i, t;

	for (i = 0; i < sizeof c / sizeof *c; i++) {
		simple(f, &t);
		t = quant(f, t, c[i].scales, c[i].points, c[i].axis);
		f->p[field(f, t, 4)] = (uint8_t)c[i].details;
		CHECK(load(&m, "tflite", f->p, f->n, &diag) == ML_OK);
		q = find(&m, "t")->quant;
		CHECK((q == NULL) == c[i].left);
		if (q && c[i].points == 0)
			CHECK(q->zero[0] == 0 && q->zero[2] == 0);
		ml_model_free(&m);
	}
}

static void test_offsets_that_lead_astray_are_refused(struct file *f)
{
	static const uint32_t bad[] = {0, 0x7fffffff, 0x80000000, 0xfffffff0,
		0xffffffff};
	struct model m;
	size_t t, i, k;

	simple(f, &t);
	CHECK(code(f) == ML_OK);
	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		for (k = 0; k < 6; k++) {
			m = simple(f, &t);
			switch (k) {
			case 0: set32(f, 0, bad[i]); break;
			case 1: set32(f, m.graphs, bad[i]); break;
			case 2: set32(f, m.buffers, bad[i]); break;
			case 3: set32(f, field(f, t, 0), bad[i]); break;
			case 4: set32(f, field(f, t, 3), bad[i]); break;
			default: set32(f, field(f, t, 4), bad[i]); break;
			}
			CHECK(code(f) == ML_EFORMAT);
		}
		if (bad[i] == 0)
			continue;
		/* a vtable elsewhere; lengths of vectors; a buffer's number */
		m = simple(f, &t);
		set32(f, t, bad[i] == 0xffffffff ? 4u : bad[i]);
		CHECK(code(f) == ML_EFORMAT);
		m = simple(f, &t);
		set32(f, m.graphs - 4, bad[i]);
		CHECK(code(f) == ML_EFORMAT);
		m = simple(f, &t);
		set32(f, m.buffers - 4, bad[i]);
		CHECK(code(f) == ML_EFORMAT);
		m = simple(f, &t);
		set32(f, field(f, t, 2), bad[i]);
		CHECK(code(f) == ML_EFORMAT);
	}
	/* a table that is its own vtable, and a vtable of odd length */
	simple(f, &t);
	set32(f, t, 0);
	CHECK(code(f) == ML_EFORMAT);
	simple(f, &t);
	f->p[t - ml_load32(f->p + t)]++;
	CHECK(code(f) == ML_EFORMAT);
}

static void test_buffers_behind_the_tables_are_checked(struct file *f)
{
	static const struct {
		uint64_t off, len;
		int r;
	} c[] = {{100, 12, ML_OK}, {2, 0, ML_OK}, {CAP + 1, 0, ML_EFORMAT},
		{2, UINT64_MAX, ML_EFORMAT}, {UINT64_MAX, 2, ML_EFORMAT},
		{UINT64_MAX - 1, UINT64_MAX, ML_EFORMAT}, {1, 99, ML_OK}};
	struct model m;
	size_t t, b, i;

	for (i = 0; i < sizeof c / sizeof *c; i++) {
		m = simple(f, &t);
		b = table(f, "088");
		lead(f, m.buffers, b);
		ml_store64(f->p + field(f, b, 1), c[i].off);
		ml_store64(f->p + field(f, b, 2), c[i].len);
		CHECK(code(f) == c[i].r);
	}
}

static void test_shapes_that_make_no_sense_are_flattened(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	size_t t, i;

	simple(f, &t);
	set32(f, vec(f, t, 0, 2, 4), 0xffffffff);
	CHECK(load(&m, "tflite", f->p, f->n, &diag) == ML_OK);
	CHECK(find(&m, "t")->rank == 1 && find(&m, "t")->shape[0] == 12);
	ml_model_free(&m);
	simple(f, &t);
	i = vec(f, t, 0, 17, 4);
	for (; i < f->n; i += 4)
		set32(f, i, 1);
	CHECK(load(&m, "tflite", f->p, f->n, &diag) == ML_OK);
	CHECK(find(&m, "t")->rank == 1 && find(&m, "t")->dtype == ML_DT_I8);
	ml_model_free(&m);
	simple(f, &t);
	f->p[field(f, t, 1)] = 11; /* complex128 */
	CHECK(load(&m, "tflite", f->p, f->n, &diag) == ML_OK);
	CHECK(find(&m, "t")->dtype == ML_DT_OPAQUE);
	ml_model_free(&m);
}

/* Tables that all lead to the same bytes. */
static void test_sharing_does_not_multiply(struct file *f)
{
	struct model m;
	size_t g, t, v, i, n = 100000;

	/* the same subgraph over and over */
	m = start(f, n, 1, 0);
	g = table(f, "4");
	for (i = 0; i < n; i++)
		lead(f, m.graphs + 4 * i, g);
	v = vec(f, g, 0, n, 4);
	t = tensor(f, v, "t", 9, 0, 3, 4);
	for (i = 0; i < n; i++)
		lead(f, v + 4 * i, t);
	buffer(f, &m, 0, 12, 1);
	CHECK(code(f) == ML_ELIMIT);
	/* the same long name, on tensors of a buffer each */
	n = 2000;
	m = start(f, 1, n, 0);
	g = table(f, "4");
	lead(f, m.graphs, g);
	v = vec(f, g, 0, n, 4);
	for (i = 0; i < n; i++) {
		buffer(f, &m, i, 1, 1);
		tensor(f, v + 4 * i, "t", 9, (unsigned)i, 1, 0);
	}
	CHECK(code(f) == ML_OK);
	t = zeros(f, 4 + 60000);
	set32(f, t, 60000);
	for (i = 0; i < n; i++) {
		g = v + 4 * i;
		lead(f, field(f, g + ml_load32(f->p + g), 3), t);
	}
	CHECK(code(f) == ML_ELIMIT);
}

static void test_damage(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	uint8_t *cut;
	uint32_t x = 7;
	size_t at[8], i, k, ok = 0;

	rich(f, at);
	for (i = 0; i < f->n; i++) {
		/* its own block, for the address sanitizer */
		cut = malloc(i + 1);
		CHECK(cut != NULL);
		memcpy(cut, f->p, i);
		ok += load(&m, "tflite", cut, i, &diag) == ML_OK;
		ml_model_free(&m);
		free(cut);
	}
	CHECK(ok == 0);
	for (i = 0; i < 8 * f->n; i++) {
		f->p[i / 8] ^= (uint8_t)(1u << i % 8);
		ok += load(&m, "tflite", f->p, f->n, &diag) == ML_OK;
		ml_model_free(&m);
		f->p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	CHECK(ok > 2 * f->n && ok < 8 * f->n);
	for (i = 0; i < 4000; i++) {
		x = x * 1664525 + 1013904223;
		k = (x >> 8) % f->n;
		f->p[k] = (uint8_t)(x >> 3);
		if (i % 4 == 3) {
			load(&m, "tflite", f->p, f->n, &diag);
			ml_model_free(&m);
			rich(f, at);
		}
	}
}

int main(void)
{
	struct file *f = malloc(sizeof *f);

	CHECK(f != NULL);
	test_rich(f);
	test_scales_that_do_not_fit_are_left(f);
	test_offsets_that_lead_astray_are_refused(f);
	test_buffers_behind_the_tables_are_checked(f);
	test_shapes_that_make_no_sense_are_flattened(f);
	test_sharing_does_not_multiply(f);
	test_damage(f);
	free(f);
	return 0;
}
