/* SPDX-License-Identifier: MIT */
/* Files that tell what lies in others: ONNX with external data, OpenVINO. */
#include <stdlib.h>
#include <string.h>

#include "set.h"
#include "test.h"

#define CAP 20000

struct buf {
	size_t n;
	uint8_t p[CAP];
};

static void put(struct buf *b, const void *p, size_t n)
{
	CHECK(b->n + n <= CAP);
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void varint(struct buf *b, uint64_t v)
{
	for (; v > 127; v >>= 7)
		put(b, &(uint8_t){(uint8_t)(v | 128)}, 1);
	put(b, &(uint8_t){(uint8_t)v}, 1);
}

static void number(struct buf *b, unsigned field, uint64_t v)
{
	varint(b, field << 3);
	varint(b, v);
}

static void bytes(struct buf *b, unsigned field, const void *p, size_t n)
{
	varint(b, field << 3 | 2);
	varint(b, n);
	put(b, p, n);
}

static void text(struct buf *b, unsigned field, const char *s)
{
	bytes(b, field, s, strlen(s));
}

static void entry(struct buf *t, const char *key, const char *value)
{
	struct buf e = {0};

	if (!value)
		return;
	text(&e, 1, key);
	text(&e, 2, value);
	bytes(t, 13, e.p, e.n);
}

/* An initializer of 2 x 3 elements. */
static void external(struct buf *graph, const char *name, unsigned type,
	const char *location, const char *offset, const char *length)
{
	struct buf t = {0};

	number(&t, 1, 2);
	number(&t, 1, 3);
	number(&t, 2, type);
	text(&t, 8, name);
	entry(&t, "location", location);
	entry(&t, "offset", offset);
	entry(&t, "length", length);
	entry(&t, "checksum", "0");
	number(&t, 14, 1);
	bytes(graph, 5, t.p, t.n);
}

static void onnx(struct buf *model, const struct buf *graph)
{
	model->n = 0;
	number(model, 1, 8);
	bytes(model, 7, graph->p, graph->n);
}

/* A file by its name, in a set with another of `bytes` zeros; where the model
 * then has the tensors is less by `first`. */
static int look(struct ml_model *m, const char *name, const void *p, size_t n,
	const char *other, size_t len, struct ml_diag *diag)
{
	static const uint8_t zeros[4096];
	struct ml_set set;
	struct ml_src *s;
	int r;

	memset(diag, 0, sizeof(*diag));
	ml_model_init(m);
	CHECK(ml_src_spool(&s, diag) == ML_OK);
	CHECK(ml_src_append(s, zeros, len, diag) == ML_OK);
	CHECK(ml_src_append(s, p, n, diag) == ML_OK);
	ml_set_init(&set, s, m);
	CHECK(ml_set_stored(&set, name, strlen(name), len, n, diag) == ML_OK);
	CHECK(ml_set_stored(&set, other, strlen(other), 0, len, diag) == ML_OK);
	r = ml_set_finish(&set, diag);
	ml_set_free(&set);
	ml_src_free(s);
	return r;
}

static void is(const struct ml_model *m, const char *name, unsigned dtype,
	unsigned rank, uint64_t dim, uint64_t off, uint64_t len)
{
	const struct ml_span *sp;
	size_t i;

	for (i = 0; i < m->nspan; i++)
		if (m->span[i].name_len == strlen(name) &&
			memcmp(m->span[i].name, name, strlen(name)) == 0)
			break;
	CHECK(i < m->nspan);
	if (i == m->nspan) {
		fprintf(stderr, "# no %s\n", name);
		return;
	}
	sp = &m->span[i];
	CHECK(sp->dtype == dtype);
	CHECK(sp->rank == rank && (rank == 0 || sp->shape[0] == dim));
	CHECK(sp->off == off && sp->len == len);
}

static void test_onnx(void)
{
	static struct buf graph, file;
	struct ml_model m;
	struct ml_diag diag;
	size_t i;

	external(&graph, "a", 1, "w.data", "0", "24");
	external(&graph, "b", 10, "./w.data", "64", NULL);
	external(&graph, "c", 22, "../d/w.data", "80", "3");
	external(&graph, "odd", 1, "w.data", "96", "20");
	external(&graph, "none", 1, "nothing", "0", "24");
	external(&graph, "self", 1, "m.onnx", "0", "24");
	external(&graph, "nowhere", 1, NULL, "0", "24");
	external(&graph, "start", 3, "w.data", NULL, NULL);
	onnx(&file, &graph);
	CHECK(look(&m, "d/m.onnx", file.p, file.n, "d/w.data", 200, &diag) ==
		ML_OK);
	CHECK(m.note[0] == 0 && m.nspan == 5);
	is(&m, "d/w.data::a", ML_DT_F32, 2, 2, 0, 24);
	is(&m, "d/w.data::b", ML_DT_F16, 2, 2, 64, 12);
	is(&m, "d/w.data::c", ML_DT_I4, 2, 2, 80, 3);
	is(&m, "d/w.data::odd", ML_DT_OPAQUE, 1, 20, 96, 20);
	is(&m, "d/w.data::start", ML_DT_I8, 2, 2, 0, 6);
	ml_model_free(&m);
	for (i = 0; i < file.n; i++) {
		CHECK(look(&m, "d/m.onnx", file.p, i, "d/w.data", 200,
			&diag) == ML_OK);
		ml_model_free(&m);
	}
	for (i = 0; i < 8 * file.n; i++) {
		file.p[i / 8] ^= (uint8_t)(1u << i % 8);
		CHECK(look(&m, "d/m.onnx", file.p, file.n, "d/w.data", 200,
			&diag) == ML_OK);
		ml_model_free(&m);
		file.p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

static void test_onnx_out_of_bounds(void)
{
	static const char *const bad[][2] = {{"180", "24"}, {"201", "0"},
		{"18446744073709551615", "24"}, {"18446744073709551616", "24"},
		{"0", "18446744073709551615"}, {"-1", "24"}, {"0x10", "24"},
		{"000000000000000000000", "24"}};
	static struct buf graph, file;
	struct ml_model m;
	struct ml_diag diag;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		graph.n = 0;
		external(&graph, "a", 1, "w.data", bad[i][0], bad[i][1]);
		onnx(&file, &graph);
		CHECK(look(&m, "m.onnx", file.p, file.n, "w.data", 200,
			&diag) == ML_OK);
		CHECK(m.nspan == 0);
		/* 2^64 - 1 bytes: no length at all */
		CHECK((m.note[0] != 0) == (i != 4));
		ml_model_free(&m);
	}
}

#define HEAD "<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\">\n"

static const char ir[] = HEAD "\t<layers>\n"
	"\t\t<layer id=\"0\" name=\"x\" type=\"Parameter\" version=\"opset1\">\n"
	"\t\t\t<data shape=\"1,3,8,8\" element_type=\"f32\" />\n"
	"\t\t\t<output><port id=\"0\" precision=\"FP32\" names=\"x\">"
	"<dim>1</dim><dim>3</dim><dim>8</dim><dim>8</dim></port></output>\n"
	"\t\t</layer>\n"
	"\t\t<layer id=\"1\" name=\"conv.weight&amp;1\" type=\"Const\""
	" version=\"opset1\">\n"
	"\t\t\t<data element_type=\"f16\" shape=\"2, 3, 1, 1\" offset=\"0\""
	" size=\"12\" />\n"
	"\t\t\t<rt_info><attribute name=\"decompression\" version=\"0\" />"
	"<data offset=\"0\" size=\"1\"/></rt_info>\n"
	"\t\t</layer>\n"
	"\t\t<layer id=\"2\" name=\"nibbles\" type=\"Const\">"
	"<data element_type=\"u4\" shape=\"3,3\" offset=\"12\" size=\"5\"/>"
	"</layer>\n"
	"\t\t<layer id=\"3\" name=\"scalar\" type=\"Const\">"
	"<data element_type=\"i64\" shape=\"\" offset=\"24\" size=\"8\"/>"
	"</layer>\n"
	"\t\t<layer id=\"4\" name=\"odd\" type=\"Const\">"
	"<data element_type=\"f32\" shape=\"9\" offset=\"32\" size=\"8\"/>"
	"</layer>\n"
	"\t\t<layer id=\"5\" name=\"text\" type=\"Const\">"
	"<data element_type=\"string\" shape=\"1\" offset=\"40\" size=\"10\"/>"
	"</layer>\n"
	"\t\t<layer id=\"6\" name=\"conv\" type=\"Convolution\">"
	"<data strides=\"1, 1\" offset=\"0\" size=\"4\"/></layer>\n"
	"\t</layers>\n"
	"\t<edges><edge from-layer=\"0\" from-port=\"0\" to-layer=\"6\""
	" to-port=\"0\"/></edges>\n</net>\n";

static void test_openvino(void)
{
	struct ml_model m;
	struct ml_diag diag;
	size_t i;
	char *cut;

	CHECK(look(&m, "./d/m.xml", ir, sizeof(ir) - 1, "d/m.bin", 64,
		&diag) == ML_OK);
	CHECK(m.note[0] == 0 && m.nspan == 5);
	is(&m, "d/m.bin::conv.weight&1", ML_DT_F16, 4, 2, 0, 12);
	is(&m, "d/m.bin::nibbles", ML_DT_U4, 2, 3, 12, 5);
	is(&m, "d/m.bin::scalar", ML_DT_I64, 0, 0, 24, 8);
	is(&m, "d/m.bin::odd", ML_DT_OPAQUE, 1, 8, 32, 8);
	is(&m, "d/m.bin::text", ML_DT_OPAQUE, 1, 10, 40, 10);
	ml_model_free(&m);
	/* another's constants, or none */
	CHECK(look(&m, "d/m.xml", ir, sizeof(ir) - 1, "d/n.bin", 64, &diag) ==
		ML_OK);
	CHECK(m.note[0] == 0 && m.nspan == 0);
	ml_model_free(&m);
	CHECK(look(&m, "m.xml", ir, sizeof(ir) - 1, "m.bin", 16, &diag) ==
		ML_OK);
	CHECK(m.note[0] != 0);
	ml_model_free(&m);
	for (i = 0; i < sizeof(ir) - 1; i++) {
		cut = malloc(i + 1);
		CHECK(cut != NULL);
		memcpy(cut, ir, i);
		CHECK(look(&m, "m.xml", cut, i, "m.bin", 64, &diag) == ML_OK);
		CHECK(m.nspan <= 5);
		CHECK(m.note[0] != 0 || i == sizeof(ir) - 2);
		ml_model_free(&m);
		free(cut);
	}
}

/* What comes of an .xml, beside a .bin of 64 bytes: whether all was well. */
static int fine(const char *p, size_t n)
{
	struct ml_model m;
	struct ml_diag diag;
	int r;

	CHECK(look(&m, "m.xml", p, n, "m.bin", 64, &diag) == ML_OK);
	r = m.note[0] == 0;
	CHECK(m.nspan == 0);
	ml_model_free(&m);
	return r;
}

static void test_hostile_xml(void)
{
	static const char bomb[] = "<?xml version=\"1.0\"?>\n<!DOCTYPE net ["
		"<!ENTITY a \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\">"
		"<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">"
		"<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">"
		"]>\n<net>&c;</net>";
	static const char extern_entity[] =
		"<!DOCTYPE net SYSTEM \"file:///etc/passwd\"><net/>";
	static const char outside[] = "<net><layer name=\"w\" type=\"Const\">"
		"<data offset=\"60\" size=\"5\"/></layer></net>";
	static const char huge[] = "<net><layer name=\"w\" type=\"Const\">"
		"<data offset=\"18446744073709551615\" size=\"5\"/>"
		"</layer></net>";
	static const char wrong[] = "<net><layer name=\"w\" type=\"Const\">"
		"<data offset=\"-1\" size=\"5\"/><data size=\"5\"/>"
		"<data offset=\"99999999999999999999\" size=\"1\"/>"
		"</layer></net>";
	const size_t n = 3u << 20;
	char *big = malloc(n);
	size_t i;

	CHECK(!fine("", 0));
	CHECK(fine("<net/>", 6));
	CHECK(!fine(bomb, sizeof(bomb) - 1));
	CHECK(!fine(extern_entity, sizeof(extern_entity) - 1));
	CHECK(!fine(outside, sizeof(outside) - 1));
	CHECK(!fine(huge, sizeof(huge) - 1));
	CHECK(fine(wrong, sizeof(wrong) - 1));
	CHECK(!fine("<net>&none;</net>", 17));
	CHECK(big != NULL);
	if (!big)
		return;
	for (i = 0; i + 3 <= n; i += 3) /* depth */
		memcpy(big + i, "<a>", 3);
	CHECK(!fine(big, n));
	memset(big, 'a', n); /* a long token */
	memcpy(big, "<net a='", 8);
	CHECK(!fine(big, n));
	memset(big, ' ', n); /* much of nothing is no token */
	memcpy(big, "<net>", 5);
	memcpy(big + n - 6, "</net>", 6);
	CHECK(fine(big, n));
	free(big);
}

int main(void)
{
	test_onnx();
	test_onnx_out_of_bounds();
	test_openvino();
	test_hostile_xml();
	return 0;
}
