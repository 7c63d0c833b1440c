/* SPDX-License-Identifier: MIT */
/* The tensor-record stream: round trips, and everything a reader must
 * refuse. Streams are made record by record, so that each breaks one rule. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "ml.h"
#include "test.h"

/* ===== streams under construction ======================================= */

struct bytes {
	uint8_t *p;
	size_t n;
};

static void add(struct bytes *b, const void *p, size_t n)
{
	b->p = realloc(b->p, b->n + n + 1);
	if (!b->p)
		abort();
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void add_record(
	struct bytes *b, const char *tag, const void *p, size_t n)
{
	const size_t at = b->n;
	uint8_t v[4];

	add(b, tag, 4);
	ml_store32(v, (uint32_t)n);
	add(b, v, 4);
	add(b, p, n);
	ml_store32(v, ml_crc32(0, b->p + at, 8 + n));
	add(b, v, 4);
}

#define CLS 2 /* memory class of the streams made here */

static void add_head(struct bytes *b, unsigned major, unsigned kind)
{
	uint8_t p[48] = {0};

	p[0] = (uint8_t)major;
	p[2] = (uint8_t)kind;
	p[4] = CLS;
	add(b, "\xd3mls\r\n\x1a\n", 8);
	add_record(b, "HEAD", p, sizeof(p));
}

static void add_span(struct bytes *b, unsigned kind, uint64_t off, uint64_t len)
{
	uint8_t p[24 + 8 + 1] = {0};
	const int tensor = kind == ML_TENSOR;

	p[0] = (uint8_t)kind;
	p[1] = tensor ? 1 : 0;
	p[2] = tensor ? ML_DT_U8 : 0;
	p[4] = tensor ? 1 : 0;
	ml_store64(p + 8, off);
	ml_store64(p + 16, len);
	ml_store64(p + 24, len);
	p[32] = 'w';
	add_record(b, "SPAN", p, tensor ? sizeof(p) : 24);
}

static void add_quant(struct bytes *b, uint32_t n, int32_t axis)
{
	uint8_t p[8 + 3 * 12] = {0};

	ml_store32(p, n);
	ml_store32(p + 4, (uint32_t)axis);
	add_record(b, "qunt", p, 8 + 12 * (n < 3 ? n : 3));
}

static void add_code(struct bytes *b, unsigned coder, uint64_t out)
{
	uint8_t p[25] = {0};

	p[0] = (uint8_t)coder;
	ml_store64(p + 8, out);
	add_record(b, "CODE", p, sizeof(p));
}

static void add_done(struct bytes *b, uint64_t size, uint64_t records,
	const void *data)
{
	struct ml_sha256 *sha;
	struct ml_diag diag;
	uint8_t p[48];

	CHECK(ml_sha256_new(&sha, &diag) == ML_OK);
	ml_sha256_update(sha, data, strlen(data));
	ml_store64(p, size);
	ml_store64(p + 8, records);
	ml_sha256_final(sha, p + 16);
	ml_sha256_free(sha);
	add_record(b, "DONE", p, sizeof(p));
}

/* Reads all records, decoding what can be decoded. */
static int read_all(const struct bytes *b, struct ml_diag *diag)
{
	struct ml_in *in = NULL;
	FILE *f = b->n ? fmemopen(b->p, b->n, "rb") : fopen("/dev/null", "rb");
	const uint8_t *p;
	uint32_t tag;
	size_t n;
	int err;

	if (!f)
		abort();
	diag->why[0] = '\0';
	err = ml_in_open(&in, f, diag);
	while (!err) {
		err = ml_in_next(in, &tag, &p, &n, diag);
		if (err || tag == 0)
			break;
	}
	if (err)
		CHECK(diag->why[0] != '\0');
	ml_in_free(in);
	fclose(f);
	return err;
}

/* Expects `want`, with `why` in the message; empties the stream. */
static void expect(struct bytes *b, int want, const char *why)
{
	struct ml_diag diag;
	const int err = read_all(b, &diag);

	CHECK(err == want);
	if (want)
		CHECK(strstr(diag.why, why) != NULL);
	if (err != want || (want && !strstr(diag.why, why)))
		fprintf(stderr, "wanted %d '%s', got %d '%s'\n", want, why, err,
			diag.why);
	free(b->p);
	b->p = NULL;
	b->n = 0;
}

static int load(const struct bytes *b, struct ml_model *m, struct ml_src **s,
	uint8_t sha[ML_SHA256_LEN], struct ml_diag *diag)
{
	FILE *f = fmemopen(b->p, b->n, "rb");
	uint64_t size;
	int kind, err;

	if (!f)
		abort();
	err = ml_stream_load(f, m, s, &size, &kind, sha, diag);
	if (!err)
		CHECK(size == m->size);
	fclose(f);
	return err;
}

/* ===== tests ============================================================ */

static void round_trip(size_t size, int tensors)
{
	struct ml_model m, back;
	struct ml_src *s, *copy;
	uint8_t sha[ML_SHA256_LEN], want[ML_SHA256_LEN];
	const uint64_t shape[2] = {3, 5};
	struct bytes b = {NULL, 0};
	struct ml_diag diag;
	uint8_t *data = malloc(size + 1), *got = malloc(size + 1);
	char *text = NULL;
	size_t i;
	FILE *f;

	if (!data || !got)
		abort();
	for (i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	CHECK(ml_src_spool(&s, &diag) == ML_OK);
	CHECK(ml_src_append(s, data, size, &diag) == ML_OK);
	ml_model_init(&m);
	if (tensors) {
		CHECK(ml_model_add(&m, "a\0b", 3, ML_DT_U8, 2, shape, 10, 15,
			      &diag) == ML_OK);
		CHECK(ml_quant_new(&m.span[0].quant, 1, 2, &diag) == ML_OK);
		m.span[0].quant->scale[1] = 0.5f;
		m.span[0].quant->zero[1] = -7;
		CHECK(ml_model_add(&m, "e", 1, 999, 0, NULL, 25, 0, &diag) ==
			ML_OK);
		CHECK(ml_model_add(&m, "", 0, ML_DT_F32, 0, NULL, 25,
			      size - 25, &diag) == ML_OK);
	}
	CHECK(ml_model_finish(&m, size, &diag) == ML_OK);
	CHECK(m.nspan == (tensors ? 4u : size > 0));

	f = open_memstream(&text, &b.n);
	if (!f)
		abort();
	CHECK(ml_stream_write(f, &m, s, ML_SHA256, NULL, NULL, &diag) == ML_OK);
	fclose(f);
	b.p = (uint8_t *)text;
	CHECK(read_all(&b, &diag) == ML_OK);
	CHECK(load(&b, &back, &copy, sha, &diag) == ML_OK);
	CHECK(ml_src_sha256(s, want, &diag) == ML_OK);
	CHECK(memcmp(sha, want, sizeof(sha)) == 0);
	CHECK(ml_src_size(copy) == size && back.size == size);
	CHECK(ml_src_read(copy, 0, got, size, &diag) == ML_OK);
	CHECK(memcmp(got, data, size) == 0);
	CHECK(back.nspan == m.nspan);
	for (i = 0; i < m.nspan && i < back.nspan; i++) {
		const struct ml_span *x = &m.span[i], *y = &back.span[i];

		CHECK(x->off == y->off && x->len == y->len);
		CHECK(x->kind == y->kind && x->dtype == y->dtype);
		CHECK(x->rank == y->rank && x->name_len == y->name_len);
		CHECK(memcmp(x->name, y->name, x->name_len) == 0);
		CHECK(x->rank == 0 ||
			memcmp(x->shape, y->shape, 8u * x->rank) == 0);
		CHECK(!x->quant == !y->quant);
		if (x->quant && y->quant) {
			CHECK(y->quant->axis == 1 && y->quant->n == 2);
			CHECK(y->quant->scale[1] == 0.5f);
			CHECK(y->quant->zero[1] == -7);
		}
	}
	ml_model_free(&m);
	ml_model_free(&back);
	ml_src_free(s);
	ml_src_free(copy);
	free(data);
	free(got);
	free(b.p);
}

static void small_stream(struct bytes *b)
{
	add_head(b, 1, ML_KIND_MODEL);
	add_span(b, ML_SKELETON, 0, 3);
	add_record(b, "DATA", "abc", 3);
	add_span(b, ML_TENSOR, 3, 2);
	add_quant(b, 2, 0);
	add_record(b, "DATA", "d", 1);
	add_record(b, "DATA", "e", 1);
	add_done(b, 5, 7, "abcde");
}

static void test_damage(void)
{
	struct bytes b = {NULL, 0};
	struct ml_diag diag;
	size_t i, n;

	small_stream(&b);
	CHECK(read_all(&b, &diag) == ML_OK);
	for (i = 0; i < b.n * 8; i++) {
		b.p[i / 8] ^= (uint8_t)(1u << i % 8);
		CHECK(read_all(&b, &diag) != ML_OK);
		b.p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	n = b.n;
	for (b.n = 0; b.n < n; b.n++)
		CHECK(read_all(&b, &diag) == ML_ETRUNC);
	CHECK(read_all(&b, &diag) == ML_OK);
	free(b.p);
}

static void test_head(void)
{
	struct bytes b = {NULL, 0};
	uint8_t p[49] = {1, 7, ML_KIND_MODEL, 200};

	expect(&b, ML_ETRUNC, "empty input, not a mallorn stream");
	add(&b, "GGUF", 4);
	expect(&b, ML_EFORMAT, "not a mallorn stream");
	add_head(&b, 2, ML_KIND_MODEL);
	expect(&b, ML_EVERSION, "stream of format 2.0: needs a newer");
	add_head(&b, 1, 3);
	expect(&b, ML_EVERSION, "stream of kind 3: needs a newer");

	add(&b, "\xd3mls\r\n\x1a\n", 8);
	add_record(&b, "HEAD", p, 48); /* any minor, any container */
	add_done(&b, 0, 1, "");
	expect(&b, ML_OK, "");
	add(&b, "\xd3mls\r\n\x1a\n", 8);
	add_record(&b, "HEAD", p, 49);
	expect(&b, ML_EFORMAT, "49 bytes");
	p[7] = 1;
	add(&b, "\xd3mls\r\n\x1a\n", 8);
	add_record(&b, "HEAD", p, 48);
	expect(&b, ML_EFORMAT, "reserved");
	p[7] = 0;
	p[4] = 4;
	add(&b, "\xd3mls\r\n\x1a\n", 8);
	add_record(&b, "HEAD", p, 48);
	expect(&b, ML_EVERSION, "memory class 4");
	p[4] = 0;
	add(&b, "\xd3mls\r\n\x1a\n", 8);
	add_record(&b, "HEAD", p, 48);
	add_span(&b, ML_SKELETON, 0, 2);
	add_code(&b, 1, 2);
	expect(&b, ML_EFORMAT, "without a memory class");
	p[47] = 1;
	add(&b, "\xd3mls\r\n\x1a\n", 8);
	add_record(&b, "HEAD", p, 48);
	expect(&b, ML_EFORMAT, "names a base");
	add(&b, "\xd3mls\r\n\x1a\n", 8);
	add_span(&b, ML_SKELETON, 0, 1);
	expect(&b, ML_EFORMAT, "SPAN record where HEAD must be");
	add_head(&b, 1, ML_KIND_MODEL);
	p[47] = 0;
	add_record(&b, "HEAD", p, 48);
	expect(&b, ML_EFORMAT, "second time");
}

static void test_tags(void)
{
	struct bytes b = {NULL, 0};

	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "note", "ignored", 7);
	add_done(&b, 0, 2, "");
	expect(&b, ML_OK, "");
	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "NOTE", "obeyed", 6);
	expect(&b, ML_EVERSION, "NOTE");
	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "no1e", "", 0);
	expect(&b, ML_EFORMAT, "four letters");
}

static void test_order(void)
{
	struct bytes b = {NULL, 0};

	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "DATA", "a", 1);
	expect(&b, ML_EFORMAT, "no SPAN waits");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 1, 1);
	expect(&b, ML_EFORMAT, "SPAN at 1");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_span(&b, ML_SKELETON, 1, 1);
	expect(&b, ML_EFORMAT, "SPAN at 1, but the span before it ends at 2");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "DATA", "abc", 3);
	expect(&b, ML_EFORMAT, "leaves its span");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "DATA", "", 0);
	expect(&b, ML_EFORMAT, "DATA record of 0 bytes");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 1);
	add_span(&b, ML_SKELETON, 1, 1);
	add_record(&b, "DATA", "a", 1);
	add_record(&b, "DATA", "b", 1);
	add_done(&b, 2, 5, "ab");
	expect(&b, ML_EFORMAT, "run ahead");
	/* in a coded stream they may, and CODE may cross them */
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_span(&b, ML_TENSOR, 2, 0);
	add_span(&b, ML_TENSOR, 2, 3);
	add_code(&b, 0x11, 3);
	add_record(&b, "DATA", "de", 2);
	add_done(&b, 5, 6, "abcde");
	expect(&b, ML_OK, "");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_span(&b, ML_TENSOR, 2, 3);
	add_code(&b, 1, 1);
	add_record(&b, "DATA", "bc", 2);
	expect(&b, ML_EFORMAT, "leaves its span");
	add_head(&b, 1, ML_KIND_MODEL);
	expect(&b, ML_ETRUNC, "without a DONE record");
}

static void test_totals(void)
{
	struct bytes b = {NULL, 0};

	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "DATA", "a", 1);
	add_done(&b, 2, 3, "a");
	expect(&b, ML_EFORMAT, "DONE after 1 bytes");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 1);
	add_record(&b, "DATA", "a", 1);
	add_done(&b, 2, 3, "a");
	expect(&b, ML_EFORMAT, "DONE says 2 bytes");
	add_head(&b, 1, ML_KIND_MODEL);
	add_done(&b, 0, 2, "");
	expect(&b, ML_EFORMAT, "DONE says 2 records");
	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "DONE", "", 0);
	expect(&b, ML_EFORMAT, "DONE record of 0 bytes");
	add_head(&b, 1, ML_KIND_MODEL);
	add_done(&b, 0, 1, "");
	add(&b, "x", 1);
	expect(&b, ML_EFORMAT, "bytes after the DONE");
}

/* One SPAN record with a field spoilt. */
static void bad_span(size_t at, uint8_t v, int want, const char *why)
{
	uint8_t p[24 + 8 + 1] = {ML_TENSOR, 1, ML_DT_U8, 0, 1};
	struct bytes b = {NULL, 0};

	p[at] = v;
	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "SPAN", p, sizeof(p));
	expect(&b, want, why);
}

static void test_spans(void)
{
	uint8_t p[24] = {0};
	struct bytes b = {NULL, 0};

	bad_span(0, 2, ML_EFORMAT, "unknown kind 2");
	bad_span(0, 0, ML_EFORMAT, "skeleton with");
	bad_span(1, 17, ML_ELIMIT, "17 dimensions");
	bad_span(1, 2, ML_EFORMAT, "not 41");
	bad_span(4, 2, ML_EFORMAT, "not 34");
	bad_span(6, 1, ML_ELIMIT, "name of 65537");
	bad_span(15, 0x80, ML_EFORMAT, "2^63-1");
	bad_span(23, 0x80, ML_EFORMAT, "2^63-1");
	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "SPAN", p, 24);
	expect(&b, ML_EFORMAT, "empty skeleton");
	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "SPAN", p, 23);
	expect(&b, ML_EFORMAT, "fewer than 24");
	ml_store64(p + 16, (UINT64_MAX >> 1) - 1);
	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "SPAN", p, 24);
	add_span(&b, ML_TENSOR, (UINT64_MAX >> 1) - 1, 2);
	expect(&b, ML_EFORMAT, "2^63-1");
}

static void test_quant(void)
{
	struct bytes b = {NULL, 0};

	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_TENSOR, 0, 0);
	add_quant(&b, 1, -1);
	add_done(&b, 0, 3, "");
	expect(&b, ML_OK, "");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_TENSOR, 0, 0);
	add_quant(&b, 1, 1);
	expect(&b, ML_EFORMAT, "axis 1");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_TENSOR, 0, 0);
	add_quant(&b, 1, -2);
	expect(&b, ML_EFORMAT, "below -1");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_TENSOR, 0, 0);
	add_quant(&b, 0, 0);
	expect(&b, ML_ELIMIT, "0 scales");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_TENSOR, 0, 0);
	add_quant(&b, 5, 0);
	expect(&b, ML_EFORMAT, "not 68");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_TENSOR, 0, 0);
	add_quant(&b, 1, 0);
	add_quant(&b, 1, 0);
	expect(&b, ML_EFORMAT, "does not follow");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 1);
	add_quant(&b, 1, -1);
	expect(&b, ML_EFORMAT, "does not follow");
}

static void test_coded(void)
{
	uint8_t p[25] = {0};
	struct bytes b = {NULL, 0};

	add_head(&b, 1, ML_KIND_DELTA);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "BASE", "ab", 2);
	add_code(&b, 0, 2);
	add_done(&b, 2, 4, "ab");
	expect(&b, ML_OK, "");
	add_head(&b, 1, ML_KIND_DELTA);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "BASE", "ab", 2);
	add_code(&b, 1, 2);
	expect(&b, ML_EFORMAT, "coder 1 after a BASE");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_code(&b, 4, 2);
	expect(&b, ML_EVERSION, "coder 4: needs a newer");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "CODE", p, 24);
	expect(&b, ML_EFORMAT, "fewer than 25");
	add_head(&b, 1, ML_KIND_DELTA);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "BASE", "ab", 2);
	add_record(&b, "DATA", "ab", 2);
	expect(&b, ML_EFORMAT, "DATA record after BASE");
	add_head(&b, 1, ML_KIND_MODEL);
	add_record(&b, "BASE", "ab", 2);
	expect(&b, ML_EFORMAT, "BASE record in a model stream");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_code(&b, 0x21, 2);
	expect(&b, ML_EFORMAT, "reserved bits");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_code(&b, 1, 3);
	expect(&b, ML_EFORMAT, "makes 3 bytes");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, UINT64_MAX >> 1);
	add_code(&b, 1, (uint64_t)1 << 62);
	expect(&b, ML_EFORMAT, "not 1 to 2^62-1");
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_code(&b, 1, 0);
	expect(&b, ML_EFORMAT, "makes 0 bytes");
	p[7] = 1;
	p[8] = 1;
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "CODE", p, 25);
	expect(&b, ML_EFORMAT, "reserved bits");
	add_head(&b, 1, ML_KIND_MODEL);
	add(&b, "CODE\x01\x04\x10\x00", 8);
	expect(&b, ML_ELIMIT, "CODE record of 1049601 bytes");
}

static void test_load(void)
{
	uint8_t sha[ML_SHA256_LEN];
	struct bytes b = {NULL, 0};
	struct ml_diag diag;
	struct ml_model m;
	struct ml_src *s;

	add_head(&b, 1, ML_KIND_DELTA);
	add_done(&b, 0, 1, "");
	CHECK(load(&b, &m, &s, sha, &diag) == ML_EFORMAT);
	CHECK(strstr(diag.why, "needs its base") != NULL);
	b.n = 0;
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_code(&b, 1, 2);
	CHECK(load(&b, &m, &s, sha, &diag) == ML_EFORMAT);
	CHECK(strstr(diag.why, "decode it first") != NULL);
	b.n = 0;
	add_head(&b, 1, ML_KIND_MODEL);
	add_span(&b, ML_SKELETON, 0, 2);
	add_record(&b, "DATA", "ab", 2);
	add_done(&b, 2, 3, "aX");
	CHECK(load(&b, &m, &s, sha, &diag) == ML_EDIGEST);
	CHECK(m.nspan == 0 && s == NULL);
	free(b.p);
}

static void test_finish(void)
{
	struct ml_diag diag;
	struct ml_model m;

	ml_model_init(&m);
	CHECK(!ml_model_add(&m, "c", 1, 1, 0, NULL, 6, 2, &diag));
	CHECK(!ml_model_add(&m, "a", 1, 1, 0, NULL, 2, 4, &diag));
	CHECK(!ml_model_add(&m, "tied", 4, 1, 0, NULL, 2, 4, &diag));
	CHECK(!ml_model_add(&m, "over", 4, 1, 0, NULL, 5, 2, &diag));
	CHECK(!ml_model_add(&m, "zero", 4, 1, 0, NULL, 6, 0, &diag));
	CHECK(!ml_model_add(&m, "in", 2, 1, 0, NULL, 3, 0, &diag));
	CHECK(!ml_model_add(&m, "end", 3, 1, 0, NULL, 10, 0, &diag));
	CHECK(ml_model_finish(&m, 10, &diag) == ML_OK);
	CHECK(m.nspan == 6);
	if (m.nspan == 6) {
		CHECK(m.span[0].kind == ML_SKELETON && m.span[0].len == 2);
		CHECK(strcmp(m.span[1].name, "a") == 0);
		CHECK(strcmp(m.span[2].name, "zero") == 0);
		CHECK(strcmp(m.span[3].name, "c") == 0);
		CHECK(m.span[4].kind == ML_SKELETON && m.span[4].len == 2);
		CHECK(strcmp(m.span[5].name, "end") == 0);
	}
	ml_model_free(&m);
	CHECK(!ml_model_add(&m, "x\n", 2, 1, 0, NULL, 8, 3, &diag));
	CHECK(ml_model_finish(&m, 10, &diag) == ML_EFORMAT);
	CHECK(strstr(diag.why, "'x\\x0a'") != NULL);
	ml_model_free(&m);
	CHECK(!ml_model_add(&m, "x", 1, 1, 0, NULL, UINT64_MAX, 3, &diag));
	CHECK(ml_model_finish(&m, 10, &diag) == ML_EFORMAT);
	ml_model_free(&m);
}

static int escaped(const char *text, size_t cap, const char *want)
{
	char buf[64];

	ml_escape(buf, cap, text, strlen(text));
	return strcmp(buf, want) == 0;
}

static void test_escape(void)
{
	CHECK(escaped("a b", 64, "a b"));
	CHECK(escaped("a\033\\\x7f", 64, "a\\x1b\\x5c\\x7f"));
	CHECK(escaped("\xc3\xa9\xe2\x82\xac", 64, "\xc3\xa9\xe2\x82\xac"));
	CHECK(escaped("\xc3", 64, "\\xc3"));
	CHECK(escaped("\xc2\x9b", 64, "\\xc2\\x9b")); /* a C1 control */
	CHECK(escaped("\xc0\x80", 64, "\\xc0\\x80")); /* overlong */
	CHECK(escaped("\xed\xa0\x80", 64, "\\xed\\xa0\\x80")); /* surrogate */
	CHECK(escaped("\xf4\x90\x80\x80", 64, "\\xf4\\x90\\x80\\x80"));
	CHECK(escaped("abcdef", 7, "abcdef"));
	CHECK(escaped("abcdefg", 7, "abc..."));
	CHECK(escaped("ab\n\n\n", 10, "ab\\x0a..."));
	CHECK(escaped("ab", 1, ""));
	CHECK(escaped("abc", 3, ".."));
}

static void test_source(void)
{
	struct ml_diag diag;
	struct ml_src *s;
	uint8_t b[4];
	int fd[2];

	CHECK(ml_src_spool(&s, &diag) == ML_OK);
	CHECK(ml_src_append(s, "abc", 3, &diag) == ML_OK);
	CHECK(ml_src_read(s, 1, b, 2, &diag) == ML_OK && b[0] == 'b');
	CHECK(ml_src_append(s, "def", 3, &diag) == ML_OK);
	CHECK(ml_src_read(s, 2, b, 4, &diag) == ML_OK && b[3] == 'f');
	CHECK(ml_src_read(s, 6, b, 0, &diag) == ML_OK);
	CHECK(ml_src_read(s, 3, b, 4, &diag) == ML_ETRUNC && diag.off == 3);
	CHECK(ml_src_read(s, UINT64_MAX, b, 2, &diag) == ML_ETRUNC);
	ml_src_free(s);
	if (pipe(fd) < 0)
		abort();
	CHECK(write(fd[1], "cd", 2) == 2);
	close(fd[1]);
	CHECK(ml_src_fd_head(&s, fd[0], "ab", 2, &diag) == ML_OK);
	CHECK(ml_src_size(s) == 4);
	CHECK(ml_src_read(s, 0, b, 4, &diag) == ML_OK);
	CHECK(memcmp(b, "abcd", 4) == 0);
	ml_src_free(s);
	close(fd[0]);
	CHECK(ml_src_open(&s, "/nonexistent", &diag) == ML_EIO);
	CHECK(diag.errnum != 0);
	CHECK(ml_src_open(&s, "/", &diag) == ML_EIO);
}

static void test_dtypes(void)
{
	const struct ml_dtype_info *t = ml_dtype_find(ML_DT_GGML + 14);
	unsigned id, known = 0;

	CHECK(t && t->block_bytes == 210 && t->block_elems == 256);
	for (id = 0; id < 0x10000; id++) {
		t = ml_dtype_find(id);
		known += t != NULL;
		CHECK(!t || ml_dtype_by_name(t->name) == t);
	}
	CHECK(known == 25 + 33);
	CHECK(ml_dtype_by_name("f31") == NULL);
}

static void test_digests(void)
{
	static const uint8_t abc[4] = {0xba, 0x78, 0x16, 0xbf};
	uint8_t sha[ML_SHA256_LEN];
	struct ml_sha256 *s;
	struct ml_diag diag;
	int i;

	CHECK(ml_crc32(0, "123456789", 9) == 0xcbf43926);
	CHECK(ml_crc32(ml_crc32(0, "1234", 4), "56789", 5) == 0xcbf43926);
	CHECK(ml_crc32(7, NULL, 0) == 7);
	CHECK(ml_sha256_new(&s, &diag) == ML_OK);
	for (i = 0; i < 2; i++) { /* it starts anew */
		ml_sha256_update(s, "ab", 2);
		ml_sha256_update(s, "c", 1);
		ml_sha256_final(s, sha);
		CHECK(memcmp(sha, abc, sizeof(abc)) == 0);
	}
	ml_sha256_free(s);
}

int main(void)
{
	round_trip(0, 0);
	round_trip(1, 0);
	round_trip(ML_CHUNK - 1, 0);
	round_trip(ML_CHUNK, 0);
	round_trip(ML_CHUNK + 1, 0);
	round_trip(30, 1);
	round_trip(25 + 3 * ML_CHUNK, 1);
	test_damage();
	test_head();
	test_tags();
	test_order();
	test_totals();
	test_spans();
	test_quant();
	test_coded();
	test_load();
	test_finish();
	test_escape();
	test_source();
	test_dtypes();
	test_digests();
	return 0;
}
