/* SPDX-License-Identifier: MIT */
/* The safetensors reader: files made here, right and wrong. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "ml.h"
#include "test.h"

/* Reads a file that is `p`; the caller frees *m also after a failure. */
static int load(struct ml_model *m, const void *p, size_t n,
	struct ml_diag *diag)
{
	struct ml_src *s;
	int r;

	memset(diag, 0, sizeof(*diag));
	ml_model_init(m);
	if ((r = ml_src_spool(&s, diag)) != ML_OK)
		return r;
	if ((r = ml_src_append(s, p, n, diag)) == ML_OK)
		r = ml_model_read(m, s, "safetensors", diag);
	ml_src_free(s);
	return r;
}

/* A malloc'ed file of a header and `data` bytes that are zero. */
static uint8_t *make(const char *json, size_t len, size_t data, size_t *n)
{
	uint8_t *p = calloc(1, 8 + len + data);

	CHECK(p != NULL);
	ml_store64(p, len);
	memcpy(p + 8, json, len);
	*n = 8 + len + data;
	return p;
}

static int load_json(struct ml_model *m, const char *json, size_t data,
	struct ml_diag *diag)
{
	size_t n;
	uint8_t *p = make(json, strlen(json), data, &n);
	int r = load(m, p, n, diag);

	free(p);
	return r;
}

/* What loading gives, and nothing else of it. */
static int verdict(const char *json, size_t data)
{
	struct ml_model m;
	struct ml_diag diag;
	int r = load_json(&m, json, data, &diag);

	if (r != ML_OK)
		CHECK(diag.why[0] != 0);
	ml_model_free(&m);
	return r;
}

static const struct ml_span *find(const struct ml_model *m, const char *name,
	size_t len)
{
	size_t i;

	for (i = 0; i < m->nspan; i++)
		if (m->span[i].kind == ML_TENSOR &&
			m->span[i].name_len == len &&
			memcmp(m->span[i].name, name, len) == 0)
			return &m->span[i];
	return NULL;
}

static void test_types(void)
{
	static const struct {
		const char *name;
		unsigned dtype, bits;
	} t[] = {
		{"BOOL", ML_DT_BOOL, 8}, {"U8", ML_DT_U8, 8},
		{"I8", ML_DT_I8, 8}, {"F8_E4M3", ML_DT_F8_E4M3, 8},
		{"F8_E5M2", ML_DT_F8_E5M2, 8}, {"F8_E8M0", ML_DT_F8_E8M0, 8},
		{"F8_E4M3FNUZ", ML_DT_F8_E4M3FNUZ, 8},
		{"F8_E5M2FNUZ", ML_DT_F8_E5M2FNUZ, 8},
		{"F4", ML_DT_F4_E2M1, 4}, {"F6_E2M3", ML_DT_OPAQUE, 6},
		{"F6_E3M2", ML_DT_OPAQUE, 6}, {"I16", ML_DT_I16, 16},
		{"U16", ML_DT_U16, 16}, {"F16", ML_DT_F16, 16},
		{"BF16", ML_DT_BF16, 16}, {"I32", ML_DT_I32, 32},
		{"U32", ML_DT_U32, 32}, {"F32", ML_DT_F32, 32},
		{"I64", ML_DT_I64, 64}, {"U64", ML_DT_U64, 64},
		{"F64", ML_DT_F64, 64}, {"C64", ML_DT_C64, 64},
		{"X9_UNHEARD_OF_AND_LONG", ML_DT_OPAQUE, 8},
	};
	char json[256];
	struct ml_model m;
	struct ml_diag diag;
	const struct ml_span *sp;
	size_t i, bytes;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bytes = 24 * t[i].bits / 8;
		snprintf(json, sizeof(json),
			"{\"__metadata__\":{\"format\":\"pt\"},\"w\":{\"dtype\""
			":\"%s\",\"shape\":[2,3,4],\"data_offsets\":[1,%zu]}} ",
			t[i].name, 1 + bytes);
		CHECK(load_json(&m, json, 1 + bytes + 5, &diag) == ML_OK);
		CHECK(m.container == ML_SAFETENSORS);
		CHECK(m.nspan == 3);
		sp = find(&m, "w", 1);
		CHECK(sp != NULL && sp == &m.span[1]);
		CHECK(sp->dtype == t[i].dtype && sp->rank == 3);
		CHECK(sp->shape[0] == 2 && sp->shape[1] == 3 &&
			sp->shape[2] == 4);
		CHECK(sp->off == 8 + strlen(json) + 1 && sp->len == bytes);
		CHECK(m.span[2].kind == ML_SKELETON && m.span[2].len == 5);
		ml_model_free(&m);
		if (t[i].dtype == ML_DT_OPAQUE && t[i].bits == 8)
			continue;
		json[strlen(json) - 4]++; /* ends a byte too late */
		CHECK(verdict(json, 1 + bytes + 5) == ML_EFORMAT);
	}
}

#define ENTRY(offs) "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":" offs "}"

static void test_names(void)
{
	static const char json[] =
		"{ \"\" : " ENTRY("[0,1]") ",\n\t"
		"\"a\\u0000\\\"\\\\\\/\\b\\f\\n\\r\\t\": " ENTRY("[ 1 , 2 ]")
		",\"\\u00e9\\u20ac\\ud83d\\uDE00\":" ENTRY("[2,3]")
		",\"\xc3\xa9\":" ENTRY("[3,4]") ",\"dup\":" ENTRY("[4,5]")
		",\"dup\":" ENTRY("[5,6]") ",\"same\":" ENTRY("[4,5]")
		",\"scalar\":{\"x\":[{\"y\":[null,-1.5e+3]}],\"shape\":[],"
		"\"data_offsets\":[6,10],\"dtype\":\"F32\"}"
		",\"none\":{\"shape\":[7,0],\"data_offsets\":[6,6],"
		"\"dtype\":\"F32\"}}    ";
	static const char ctl[] = "a\0\"\\/\b\f\n\r\t";
	static const char uni[] = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
	struct ml_model m;
	struct ml_diag diag;
	const struct ml_span *sp;
	uint64_t base = 8 + sizeof(json) - 1;
	size_t i, dups = 0;

	CHECK(load_json(&m, json, 10, &diag) == ML_OK);
	sp = find(&m, "", 0);
	CHECK(sp != NULL && sp->off == base);
	sp = find(&m, ctl, sizeof(ctl) - 1);
	CHECK(sp != NULL && sp->off == base + 1);
	sp = find(&m, uni, sizeof(uni) - 1);
	CHECK(sp != NULL && sp->off == base + 2);
	sp = find(&m, "\xc3\xa9", 2);
	CHECK(sp != NULL && sp->off == base + 3);
	sp = find(&m, "scalar", 6);
	CHECK(sp != NULL && sp->rank == 0 && sp->len == 4);
	for (i = 0; i < m.nspan; i++)
		dups += m.span[i].name_len == 3;
	CHECK(dups == 2);
	CHECK(find(&m, "same", 4) == NULL);
	sp = find(&m, "none", 4);
	if (sp != NULL)
		CHECK(sp->len == 0 && sp->rank == 2 && sp->shape[1] == 0);
	ml_model_free(&m);
}

static void test_refused(void)
{
	static const char *const json[] = {
		"", " {}", "[]", "{", "{}x", "{},", "{,}",
		"{\"a\"}", "{\"a\":}",
		"{a:1}", "{\"a\":1}", "{\"a\":{}}", "{\"a\":[]}",
		"{\"a\":" ENTRY("[0,1]") ",}", "{\"a\":" ENTRY("[0,1]") "",
		"{\"a\":" ENTRY("[0,1]") " \"b\":" ENTRY("[1,2]") "}",
		"{\"a\":" ENTRY("[1,0]") "}", "{\"a\":" ENTRY("[0,2]") "}",
		"{\"a\":" ENTRY("[0,0]") "}", "{\"a\":" ENTRY("[16,17]") "}",
		"{\"a\":" ENTRY("[17,18]") "}", "{\"a\":" ENTRY("[0]") "}",
		"{\"a\":" ENTRY("[0,1,2]") "}", "{\"a\":" ENTRY("[]") "}",
		"{\"a\":" ENTRY("[0,1.0]") "}", "{\"a\":" ENTRY("[-0,1]") "}",
		"{\"a\":" ENTRY("[0,01]") "}", "{\"a\":" ENTRY("[00,1]") "}",
		"{\"a\":" ENTRY("[0,1e0]") "}", "{\"a\":" ENTRY("[\"0\",1]")
		"}", "{\"a\":" ENTRY("[4294967296,4294967297]") "}",
		"{\"a\":" ENTRY("[18446744073709551615,0]") "}",
		"{\"a\":" ENTRY("[0,18446744073709551615]") "}",
		"{\"a\":" ENTRY("[0,18446744073709551616]") "}",
		"{\"a\":" ENTRY("[0,18446744073709551617]") "}",
		"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}",
		"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}",
		"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}",
		"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}",
		"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],"
		"\"data_offsets\":[0,1]}}",
		"{\"a\":{\"dtype\":\"F4\",\"shape\":[1],"
		"\"data_offsets\":[0,1]}}",
		"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],"
		"\"data_offsets\":[0,0]}}",
		"{\"a\":{\"dtype\":\"U16\",\"shape\":[9223372036854775808],"
		"\"data_offsets\":[0,0]}}",
		"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],"
		"\"data_offsets\":[0,1]}}",
		"{\"\\ud800\":" ENTRY("[0,1]") "}", "{\"\\udc00\":" ENTRY(
		"[0,1]") "}", "{\"\\ud800\\u0041\":" ENTRY("[0,1]") "}",
		"{\"\\ud800\\n\":" ENTRY("[0,1]") "}", "{\"\\u12g4\":" ENTRY(
		"[0,1]") "}", "{\"\\x41\":" ENTRY("[0,1]") "}",
		"{\"a\nb\":" ENTRY("[0,1]") "}", "{\"a", "{\"a\\", "{\"a\\u",
		"{\"__metadata__\":}", "{\"__metadata__\":{\"a\":\"b\"]}",
		"{\"__metadata__\":{\"a\" \"b\"}}",
	};
	size_t i;

	for (i = 0; i < sizeof(json) / sizeof(json[0]); i++)
		CHECK(verdict(json[i], 16) == ML_EFORMAT);
	CHECK(verdict("{}", 0) == ML_OK);
	CHECK(verdict("{}   \t\n", 0) == ML_OK);
	CHECK(verdict("{\"a\":" ENTRY("[15,16]") "}", 16) == ML_OK);
}

static void test_lengths(void)
{
	static const uint64_t n[] = {
		3, 100000000, 100000001, 0xffffffff, 0x100000000,
		UINT64_MAX - 8, UINT64_MAX - 7, UINT64_MAX, INT64_MAX,
	};
	struct ml_model m;
	struct ml_diag diag;
	uint8_t file[10] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
	size_t i;
	int r;

	CHECK(load(&m, file, sizeof(file), &diag) == ML_OK);
	CHECK(m.nspan == 1 && m.span[0].len == 10);
	ml_model_free(&m);
	CHECK(ml_reader_safetensors.probe(file, sizeof(file)));
	CHECK(!ml_reader_safetensors.probe(file, 8));
	for (i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		ml_store64(file, n[i]);
		r = load(&m, file, sizeof(file), &diag);
		CHECK(r == (n[i] > 100000000 ? ML_ELIMIT : ML_ETRUNC));
		ml_model_free(&m);
		CHECK(ml_reader_safetensors.probe(file, sizeof(file)) ==
			(n[i] <= 100000000));
	}
	ml_store64(file, 2);
	file[8] = ' ';
	CHECK(!ml_reader_safetensors.probe(file, sizeof(file)));
}

/* {"__metadata__": [[[...]]]} with `depth` brackets; then a million open. */
static void test_nesting(void)
{
	static const char head[] = "{\"__metadata__\":";
	char *json = malloc(1000100);
	size_t depth, n;

	CHECK(json != NULL);
	for (depth = 1; depth < 20; depth++) {
		n = sizeof(head) - 1;
		memcpy(json, head, n);
		memset(json + n, '[', depth);
		memset(json + n + depth, ']', depth);
		strcpy(json + n + 2 * depth, "}");
		CHECK(verdict(json, 0) == (depth <= 7 ? ML_OK : ML_ELIMIT));
	}
	n = sizeof(head) - 1;
	memset(json + n, '[', 1000000);
	json[n + 1000000] = 0;
	CHECK(verdict(json, 0) == ML_ELIMIT);
	free(json);
}

static void test_long_names(void)
{
	static const char rest[] = "\":" ENTRY("[0,1]") "}";
	char *json = malloc(2 * 65536 + 100);
	struct ml_model m;
	struct ml_diag diag;
	size_t n;

	CHECK(json != NULL);
	for (n = 65534; n <= 65537; n++) {
		memcpy(json, "{\"", 2);
		memset(json + 2, 'n', n);
		strcpy(json + 2 + n, rest);
		CHECK(load_json(&m, json, 1, &diag) ==
			(n <= ML_NAME_MAX ? ML_OK : ML_ELIMIT));
		if (n <= ML_NAME_MAX)
			CHECK(find(&m, json + 2, n) != NULL);
		ml_model_free(&m);
	}
	/* metadata may be of any length */
	strcpy(json, "{\"__metadata__\":{\"k\":\"");
	n = strlen(json);
	memset(json + n, 'v', 100000);
	strcpy(json + n + 100000, "\"}}");
	CHECK(verdict(json, 0) == ML_OK);
	free(json);
}

static void test_rank(void)
{
	char json[256];
	size_t i, rank;

	for (rank = 0; rank < 20; rank++) {
		strcpy(json, "{\"a\":{\"dtype\":\"I8\",\"shape\":[");
		for (i = 0; i < rank; i++)
			strcat(json, i == 0 ? "1" : ",1");
		strcat(json, "],\"data_offsets\":[0,1]}}");
		CHECK(verdict(json, 1) ==
			(rank <= ML_RANK_MAX ? ML_OK : ML_ELIMIT));
	}
}

/* Spans that overlap are the model's affair, but must not upset anything. */
static void test_overlap(void)
{
	struct ml_model m;
	struct ml_diag diag;
	uint64_t at = 0;
	size_t i;

	CHECK(load_json(&m,
		"{\"a\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[2,8]}"
		",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}"
		",\"c\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}"
		"}", 9, &diag) == ML_OK);
	for (i = 0; i < m.nspan; i++) {
		CHECK(m.span[i].off == at);
		at += m.span[i].len;
	}
	CHECK(at == m.size);
	ml_model_free(&m);
}

/* Every truncation and every flipped bit ends in a verdict. */
static void test_damage(void)
{
	static const char json[] =
		"{\"__metadata__\":{\"a\":\"\\u00e9\"},\"w.\\ud83d\\ude00\":{"
		"\"dtype\":\"BF16\",\"shape\":[3,2],\"data_offsets\":[0,12]},"
		"\"b\":{\"dtype\":\"F4\",\"shape\":[8],\"data_offsets\":[12,"
		"16],\"z\":[{},true]}} ";
	struct ml_model m;
	struct ml_diag diag;
	size_t n, i, ok = 0;
	uint8_t *p = make(json, sizeof(json) - 1, 16, &n), *cut;

	CHECK(load(&m, p, n, &diag) == ML_OK && m.nspan == 3);
	ml_model_free(&m);
	for (i = 0; i < n; i++) {
		cut = malloc(i > 0 ? i : 1); /* exact, for the sanitizer */
		CHECK(cut != NULL);
		memcpy(cut, p, i);
		CHECK(load(&m, cut, i, &diag) < 0);
		ml_model_free(&m);
		free(cut);
	}
	for (i = 0; i < 8 * n; i++) {
		p[i / 8] ^= (uint8_t)(1u << i % 8);
		ok += load(&m, p, n, &diag) == ML_OK;
		ml_model_free(&m);
		p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	CHECK(ok >= 8 * 16 && ok < 8 * n / 2); /* the data may change */
	free(p);
}

int main(void)
{
	test_types();
	test_names();
	test_refused();
	test_lengths();
	test_nesting();
	test_long_names();
	test_rank();
	test_overlap();
	test_damage();
	return 0;
}
