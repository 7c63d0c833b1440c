/* SPDX-License-Identifier: MIT */
/* The ONNX reader: files made here, right and wrong. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "ml.h"
#include "test.h"

#define CAP 300000

/* A file under construction. */
struct file {
	size_t n;
	uint8_t p[CAP];
};

static void put(struct file *f, const void *p, size_t n)
{
	CHECK(f->n + n <= CAP);
	memcpy(f->p + f->n, p, n);
	f->n += n;
}

static size_t code(uint8_t b[10], uint64_t v)
{
	size_t n = 0;

	for (; v > 127; v >>= 7)
		b[n++] = (uint8_t)(v | 128);
	b[n++] = (uint8_t)v;
	return n;
}

static void varint(struct file *f, uint64_t v)
{
	uint8_t b[10];

	put(f, b, code(b, v));
}

static void tag(struct file *f, unsigned field, unsigned wire)
{
	varint(f, field << 3 | wire);
}

static void number(struct file *f, unsigned field, uint64_t v)
{
	tag(f, field, 0);
	varint(f, v);
}

static void bytes(struct file *f, unsigned field, const void *p, size_t n)
{
	tag(f, field, 2);
	varint(f, n);
	put(f, p, n);
}

static void text(struct file *f, unsigned field, const char *s)
{
	bytes(f, field, s, strlen(s));
}

static void floats(struct file *f, unsigned field, const float *v, size_t n)
{
	uint32_t bits;
	uint8_t b[4];
	size_t i;

	tag(f, field, 2);
	varint(f, 4 * n);
	for (i = 0; i < n; i++) {
		memcpy(&bits, &v[i], 4);
		ml_store32(b, bits);
		put(f, b, 4);
	}
}

/* A message from here to end(), which writes its length. */
static size_t begin(struct file *f, unsigned field)
{
	tag(f, field, 2);
	return f->n;
}

static void end(struct file *f, size_t at)
{
	uint8_t b[10];
	size_t n = f->n - at, k = code(b, n);

	CHECK(f->n + k <= CAP);
	memmove(f->p + at + k, f->p + at, n);
	memcpy(f->p + at, b, k);
	f->n += k;
}

/* A TensorProto of zeros. */
static void raw(struct file *f, unsigned field, const char *name,
	unsigned type, uint64_t dim, size_t len)
{
	static const uint8_t zero[4096];
	size_t at = begin(f, field);

	number(f, 1, dim);
	number(f, 2, type);
	if (*name)
		text(f, 8, name);
	CHECK(len <= sizeof zero);
	bytes(f, 9, zero, len);
	end(f, at);
}

static int load(struct ml_model *m, const char *format, const uint8_t *p,
	size_t n, struct ml_diag *diag)
{
	struct ml_src *s;
	int r;

	ml_model_init(m);
	CHECK(ml_src_spool(&s, diag) == ML_OK);
	CHECK(ml_src_append(s, p, n, diag) == ML_OK);
	r = ml_model_read(m, s, format, diag);
	ml_src_free(s);
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
	unsigned rank, uint64_t dim, uint64_t len)
{
	const struct ml_span *sp = find(m, name);

	CHECK(sp->kind == ML_TENSOR && sp->rank == rank);
	CHECK(sp->dtype == dtype && sp->len == len);
	CHECK(rank == 0 || (sp->rank > 0 && sp->shape[0] == dim));
}

/* Every place where the schema has a tensor, every way to store it. */
static void rich(struct file *f)
{
	static const float two[] = {0.5f, 0.25f};
	static const uint8_t nibbles[] = {0x21, 0x03}, ones[] = {1, 1, 2, 2};
	static const uint8_t dims[] = {2, 2}, big[] = {0x80, 0x01, 5};
	static const uint8_t zeros[] = {3, 0xfd, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0x01}; /* 3, -3 */
	static const uint8_t eight[16] = {1};
	size_t g, n, a, t, h, i;

	f->n = 0;
	number(f, 1, 8);
	text(f, 2, "test");
	g = begin(f, 7);
	/* a constant, named by an output that comes later */
	n = begin(f, 1);
	a = begin(f, 5);
	text(f, 1, "value");
	raw(f, 5, "", 1, 3, 12);
	end(f, a);
	text(f, 4, "Constant");
	text(f, 2, "const_out");
	end(f, n);
	/* one that has only a name, and two tensors in a list */
	n = begin(f, 1);
	text(f, 3, "node");
	a = begin(f, 5);
	raw(f, 10, "", 3, 5, 5);
	raw(f, 10, "second", 3, 6, 6);
	end(f, a);
	/* a sparse attribute */
	a = begin(f, 5);
	t = begin(f, 22);
	raw(f, 1, "spv", 1, 1, 4);
	raw(f, 2, "spi", 7, 1, 8);
	end(f, t);
	end(f, a);
	end(f, n);
	/* a branch */
	n = begin(f, 1);
	text(f, 4, "If");
	a = begin(f, 5);
	h = begin(f, 6);
	raw(f, 5, "inner", 10, 4, 8);
	end(f, h);
	h = begin(f, 11);
	raw(f, 5, "inner2", 16, 4, 8);
	end(f, h);
	end(f, a);
	end(f, n);
	/* scales along axis 0 */
	n = begin(f, 1);
	text(f, 1, "w");
	text(f, 1, "w_scale");
	text(f, 1, "w_zero");
	text(f, 2, "w_f32");
	text(f, 4, "DequantizeLinear");
	a = begin(f, 5);
	text(f, 1, "axis");
	number(f, 3, UINT64_MAX - 1); /* -2 */
	number(f, 20, 2);
	end(f, a);
	end(f, n);
	/* one scale, no zero point */
	n = begin(f, 1);
	text(f, 1, "x");
	text(f, 1, "x_scale");
	text(f, 1, "x_zero");
	text(f, 1, "wc");
	text(f, 1, "x_scale");
	text(f, 4, "QLinearConv");
	end(f, n);
	text(f, 2, "graph");
	/* name and type after the data, packed dims */
	t = begin(f, 5);
	bytes(f, 9, ones, 4);
	text(f, 8, "w");
	number(f, 2, 3);
	bytes(f, 1, dims, 2);
	end(f, t);
	t = begin(f, 5);
	number(f, 1, 2);
	number(f, 2, 1);
	floats(f, 4, two, 2);
	text(f, 8, "w_scale");
	end(f, t);
	t = begin(f, 5);
	number(f, 1, 2);
	number(f, 2, 3);
	bytes(f, 5, zeros, sizeof zeros);
	text(f, 8, "w_zero");
	end(f, t);
	raw(f, 5, "wc", 3, 7, 7);
	t = begin(f, 5);
	number(f, 2, 1);
	floats(f, 4, two, 1);
	text(f, 8, "x_scale");
	end(f, t);
	/* doubles, varints, nibbles */
	t = begin(f, 5);
	number(f, 1, 2);
	number(f, 2, 11);
	bytes(f, 10, eight, 16);
	text(f, 8, "doubles");
	end(f, t);
	t = begin(f, 5);
	number(f, 1, 2);
	number(f, 2, 7);
	bytes(f, 7, big, 3);
	text(f, 8, "longs");
	end(f, t);
	t = begin(f, 5);
	number(f, 1, 3);
	number(f, 2, 22);
	bytes(f, 9, nibbles, 2);
	text(f, 8, "nibbles");
	end(f, t);
	/* shapes that do not fit */
	raw(f, 5, "flat", 1, 9, 8);
	raw(f, 5, "odd", 1, 2, 7);
	raw(f, 5, "huge", 1, UINT64_MAX, 4);
	raw(f, 5, "newtype", 99, 4, 4);
	t = begin(f, 5);
	for (i = 0; i < 20; i++)
		number(f, 1, 1);
	number(f, 2, 2);
	bytes(f, 9, nibbles, 2);
	text(f, 8, "rank20");
	end(f, t);
	/* not added: pieces, elsewhere, number by number, empty */
	t = begin(f, 5);
	number(f, 2, 1);
	floats(f, 4, two, 1);
	floats(f, 4, two, 1);
	text(f, 8, "pieces");
	end(f, t);
	t = begin(f, 5);
	number(f, 2, 1);
	text(f, 8, "elsewhere");
	number(f, 14, 1);
	bytes(f, 9, eight, 4);
	end(f, t);
	t = begin(f, 5);
	number(f, 2, 1);
	text(f, 8, "single");
	tag(f, 4, 5);
	put(f, eight, 4);
	end(f, t);
	raw(f, 5, "empty", 1, 0, 0);
	/* a sparse initializer */
	t = begin(f, 15);
	raw(f, 1, "sv", 1, 2, 8);
	raw(f, 2, "si", 7, 2, 16);
	end(f, t);
	end(f, g);
	/* a function and a training graph */
	g = begin(f, 25);
	n = begin(f, 7);
	text(f, 2, "fn_out");
	a = begin(f, 5);
	raw(f, 5, "", 9, 3, 3);
	end(f, a);
	end(f, n);
	end(f, g);
	g = begin(f, 20);
	h = begin(f, 1);
	raw(f, 5, "train", 13, 2, 16);
	end(f, h);
	end(f, g);
	number(f, 77, 1); /* of a later version */
}

static void test_rich(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	const struct ml_span *sp;

	rich(f);
	CHECK(load(&m, NULL, f->p, f->n, &diag) == ML_OK);
	CHECK(m.container == ML_ONNX && diag.why[0] == 0);
	is(&m, "const_out", ML_DT_F32, 1, 3, 12);
	is(&m, "node/value", ML_DT_I8, 1, 5, 5);
	is(&m, "second", ML_DT_I8, 1, 6, 6);
	is(&m, "spv", ML_DT_F32, 1, 1, 4);
	is(&m, "spi", ML_DT_I64, 1, 1, 8);
	is(&m, "inner", ML_DT_F16, 1, 4, 8);
	is(&m, "inner2", ML_DT_BF16, 1, 4, 8);
	is(&m, "w", ML_DT_I8, 2, 2, 4);
	is(&m, "w_scale", ML_DT_F32, 1, 2, 8);
	is(&m, "w_zero", ML_DT_OPAQUE, 1, 11, 11);
	is(&m, "wc", ML_DT_I8, 1, 7, 7);
	is(&m, "x_scale", ML_DT_F32, 0, 0, 4);
	is(&m, "doubles", ML_DT_F64, 1, 2, 16);
	is(&m, "longs", ML_DT_OPAQUE, 1, 3, 3);
	is(&m, "nibbles", ML_DT_I4, 1, 3, 2);
	is(&m, "flat", ML_DT_F32, 1, 2, 8);
	is(&m, "odd", ML_DT_OPAQUE, 1, 7, 7);
	is(&m, "huge", ML_DT_F32, 1, 1, 4);
	is(&m, "newtype", ML_DT_OPAQUE, 1, 4, 4);
	is(&m, "rank20", ML_DT_U8, 1, 2, 2);
	is(&m, "sv", ML_DT_F32, 1, 2, 8);
	is(&m, "si", ML_DT_I64, 1, 2, 16);
	is(&m, "fn_out", ML_DT_BOOL, 1, 3, 3);
	is(&m, "train", ML_DT_U64, 1, 2, 16);
	CHECK(tensors(&m) == 24);
	sp = find(&m, "w");
	CHECK(f->p[sp->off] == 1 && f->p[sp->off + 3] == 2);
	CHECK(sp->quant && sp->quant->axis == 0 && sp->quant->n == 2);
	CHECK(sp->quant->scale[0] > 0.4f && sp->quant->scale[1] < 0.3f);
	CHECK(sp->quant->zero[0] == 3 && sp->quant->zero[1] == -3);
	sp = find(&m, "wc");
	CHECK(sp->quant && sp->quant->axis == -1 && sp->quant->n == 1);
	CHECK(sp->quant->zero[0] == 0);
	CHECK(find(&m, "nibbles")->quant == NULL);
	ml_model_free(&m);
}

static int probe(const void *p, size_t n)
{
	return ml_reader_onnx.probe(p, n);
}

static void test_other_files_are_no_onnx(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	uint32_t x = 1;
	size_t i, k, yes = 0;

	CHECK(!probe("", 0));
	CHECK(!probe("Hello, world, this is a text", 28));
	CHECK(!probe("# a comment\nname = 1\n", 21));
	CHECK(!probe("{\"a\": 1}", 8));
	CHECK(!probe("\x7f\x45LF\2\1\1", 7));
	CHECK(!probe("PK\3\4", 4));
	CHECK(!probe("GGUF\3\0\0\0", 8));
	CHECK(!probe("\x1c\0\0\0TFL3", 8));
	CHECK(!probe("\x0a\x03" "abc", 5)); /* another protobuf */
	for (k = 0; k < 2000; k++) {
		for (i = 0; i < 4096; i++) {
			x = x * 1664525 + 1013904223;
			f->p[i] = (uint8_t)(x >> 24);
		}
		if (!probe(f->p, 4096))
			continue;
		yes++;
		CHECK(load(&m, "onnx", f->p, 4096, &diag) == ML_EFORMAT);
		ml_model_free(&m);
	}
	CHECK(yes < 40);
	/* fields of a ModelProto, but no graph */
	f->n = 0;
	number(f, 1, 8);
	text(f, 2, "someone else");
	CHECK(probe(f->p, f->n));
	CHECK(load(&m, "onnx", f->p, f->n, &diag) == ML_EFORMAT);
	ml_model_free(&m);
	CHECK(load(&m, NULL, f->p, f->n, &diag) == ML_OK);
	CHECK(m.container == ML_RAW && m.nspan == 1);
	ml_model_free(&m);
}

/* Graphs in attributes of nodes of graphs. */
static void nest(struct file *f, unsigned depth, unsigned field)
{
	size_t at = begin(f, field), n, a;

	if (depth == 0) {
		raw(f, 5, "deep", 2, 4, 4);
	} else {
		n = begin(f, 1);
		a = begin(f, 5);
		nest(f, depth - 1, 6);
		end(f, a);
		end(f, n);
	}
	end(f, at);
}

static void test_depth_is_capped(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;

	f->n = 0;
	nest(f, 32, 7);
	CHECK(load(&m, "onnx", f->p, f->n, &diag) == ML_OK);
	is(&m, "deep", ML_DT_U8, 1, 4, 4);
	ml_model_free(&m);
	f->n = 0;
	nest(f, 33, 7);
	CHECK(load(&m, "onnx", f->p, f->n, &diag) == ML_ELIMIT);
	ml_model_free(&m);
	f->n = 0;
	nest(f, 3000, 7);
	CHECK(load(&m, "onnx", f->p, f->n, &diag) == ML_ELIMIT);
	ml_model_free(&m);
}

/* What stands in the graph, raw. */
static int with_graph(struct file *f, const void *p, size_t n)
{
	struct ml_model m;
	struct ml_diag diag;
	int r;

	f->n = 0;
	number(f, 1, 8);
	bytes(f, 7, p, n);
	diag.why[0] = 0;
	r = load(&m, "onnx", f->p, f->n, &diag);
	CHECK(r == ML_OK || diag.why[0] != 0);
	ml_model_free(&m);
	return r;
}

static void test_malformed_fields_are_refused(struct file *f)
{
	static const uint64_t lengths[] = {1, 0x7fffffff, 0x80000000,
		0xffffffff, 0x100000000, INT64_MAX, UINT64_MAX - 20,
		UINT64_MAX - 1, UINT64_MAX};
	uint8_t b[16] = {0x2a}; /* an initializer */
	struct file *in = malloc(sizeof *in);
	size_t i;

	CHECK(in != NULL);
	CHECK(with_graph(f, "", 0) == ML_OK);
	for (i = 0; i < sizeof lengths / sizeof *lengths; i++)
		CHECK(with_graph(f, b, 1 + code(b + 1, lengths[i])) ==
			ML_EFORMAT);
	CHECK(with_graph(f, "\x53\x54", 2) == ML_EFORMAT); /* a group */
	CHECK(with_graph(f, "\x56\x00", 2) == ML_EFORMAT); /* wire type 6 */
	CHECK(with_graph(f, "\x02\x00", 2) == ML_EFORMAT); /* field 0 */
	CHECK(with_graph(f, "\x08", 1) == ML_EFORMAT);
	CHECK(with_graph(f, "\x29\0\0\0\0\0\0\0", 8) == ML_EFORMAT);
	CHECK(with_graph(f, "\x35\0\0\0", 4) == ML_EFORMAT);
	CHECK(with_graph(f, "\x28\x01", 2) == ML_EFORMAT); /* no message */
	CHECK(with_graph(f, "\x08\x01", 2) == ML_EFORMAT);
	/* varints of 10 and 11 bytes, and of more than 64 bits */
	CHECK(with_graph(f, "\x50\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		11) == ML_OK);
	CHECK(with_graph(f, "\x50\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		11) == ML_EFORMAT);
	CHECK(with_graph(f,
		"\x50\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0", 12) ==
		ML_EFORMAT);
	/* packed dimensions that break off */
	CHECK(with_graph(f, "\x2a\x03\x0a\x01\x80", 5) == ML_EFORMAT);
	/* a name over the cap */
	in->n = 0;
	i = begin(in, 5);
	tag(in, 8, 2);
	varint(in, ML_NAME_MAX + 1);
	CHECK(in->n + ML_NAME_MAX + 1 <= CAP);
	memset(in->p + in->n, 'n', ML_NAME_MAX + 1);
	in->n += ML_NAME_MAX + 1;
	text(in, 9, "data");
	end(in, i);
	CHECK(with_graph(f, in->p, in->n) == ML_ELIMIT);
	free(in);
}

static void test_a_node_lends_its_name_once(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	size_t g, n, a, i, sum = 0;

	f->n = 0;
	g = begin(f, 7);
	n = begin(f, 1);
	tag(f, 2, 2);
	varint(f, 60000);
	memset(f->p + f->n, 'n', 60000);
	f->n += 60000;
	a = begin(f, 5);
	for (i = 0; i < 5000; i++)
		raw(f, 10, "", 2, 4, 4);
	end(f, a);
	end(f, n);
	end(f, g);
	CHECK(load(&m, "onnx", f->p, f->n, &diag) == ML_OK);
	CHECK(tensors(&m) == 5000);
	for (i = 0; i < m.nspan; i++)
		sum += m.span[i].name_len;
	CHECK(sum == 60000);
	ml_model_free(&m);
}

static void test_scales_that_do_not_fit_are_left(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	unsigned k;
	size_t g, n, i;

	/* scales, zero points, both right */
	for (k = 0; k < 3; k++) {
		f->n = 0;
		g = begin(f, 7);
		for (i = 0; i < 3; i++) {
			n = begin(f, 1);
			text(f, 1, "w");
			text(f, 1, "s");
			text(f, 1, i == 1 ? "none" : "z");
			text(f, 4, "DequantizeLinear");
			end(f, n);
		}
		n = begin(f, 5);
		number(f, 1, 2);
		number(f, 1, 4);
		number(f, 2, 3);
		bytes(f, 9, "12345678", 8);
		text(f, 8, "w");
		end(f, n);
		raw(f, 5, "s", 1, k == 0 ? 2 : 4, k == 0 ? 8 : 16);
		raw(f, 5, "z", 3, k == 1 ? 3 : 4, k == 1 ? 3 : 4);
		end(f, g);
		CHECK(load(&m, "onnx", f->p, f->n, &diag) == ML_OK);
		CHECK((find(&m, "w")->quant != NULL) == (k == 2));
		if (k == 2)
			CHECK(find(&m, "w")->quant->axis == 1);
		ml_model_free(&m);
	}
}

static void test_damage(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	uint8_t *cut;
	uint32_t x = 7;
	size_t i, at, ok = 0;

	rich(f);
	for (i = 0; i < f->n; i++) {
		/* its own block, for the address sanitizer */
		cut = malloc(i + 1);
		CHECK(cut != NULL);
		memcpy(cut, f->p, i);
		ok += load(&m, "onnx", cut, i, &diag) == ML_OK;
		ml_model_free(&m);
		free(cut);
	}
	CHECK(ok == 3); /* between the fields after the graph */
	for (i = 0, ok = 0; i < 8 * f->n; i++) {
		f->p[i / 8] ^= (uint8_t)(1u << i % 8);
		ok += load(&m, "onnx", f->p, f->n, &diag) == ML_OK;
		ml_model_free(&m);
		f->p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	CHECK(ok > 2 * f->n && ok < 8 * f->n);
	for (i = 0; i < 4000; i++) {
		x = x * 1664525 + 1013904223;
		at = (x >> 8) % f->n;
		f->p[at] = (uint8_t)(x >> 3);
		if (i % 4 == 3) {
			load(&m, "onnx", f->p, f->n, &diag);
			ml_model_free(&m);
			rich(f);
		}
	}
}

int main(void)
{
	struct file *f = malloc(sizeof *f);

	CHECK(f != NULL);
	test_rich(f);
	test_other_files_are_no_onnx(f);
	test_depth_is_capped(f);
	test_malformed_fields_are_refused(f);
	test_a_node_lends_its_name_once(f);
	test_scales_that_do_not_fit_are_left(f);
	test_damage(f);
	free(f);
	return 0;
}
