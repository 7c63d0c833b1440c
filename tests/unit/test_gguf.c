/* SPDX-License-Identifier: MIT */
/* The GGUF reader: files made here, right and wrong. */
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

static void put32(struct file *f, uint32_t v)
{
	uint8_t b[4];

	ml_store32(b, v);
	put(f, b, sizeof(b));
}

static void put64(struct file *f, uint64_t v)
{
	uint8_t b[8];

	ml_store64(b, v);
	put(f, b, sizeof(b));
}

static void fill(struct file *f, int c, size_t n)
{
	CHECK(f->n + n <= CAP);
	memset(f->p + f->n, c, n);
	f->n += n;
}

static void text(struct file *f, const char *s)
{
	put64(f, strlen(s));
	put(f, s, strlen(s));
}

static void start(struct file *f, uint64_t tensors, uint64_t pairs)
{
	f->n = 0;
	put(f, "GGUF", 4);
	put32(f, 3);
	put64(f, tensors);
	put64(f, pairs);
}

static void tensor(struct file *f, const char *name, uint32_t rank,
	const uint64_t *dims, uint32_t type, uint64_t off)
{
	uint32_t i;

	text(f, name);
	put32(f, rank);
	for (i = 0; i < rank; i++)
		put64(f, dims[i]);
	put32(f, type);
	put64(f, off);
}

static void pad(struct file *f, size_t align)
{
	while (f->n % align != 0)
		fill(f, 0, 1);
}

/* Reads a file that is p; the caller frees *m also after a failure. */
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
		r = ml_model_read(m, s, "gguf", diag);
	ml_src_free(s);
	return r;
}

/* What loading gives, and nothing else of it. */
static int verdict(const struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	int r = load(&m, f->p, f->n, &diag);

	if (r != ML_OK)
		CHECK(diag.why[0] != 0);
	ml_model_free(&m);
	return r;
}

static const struct ml_span *find(const struct ml_model *m, const char *name)
{
	size_t i;

	for (i = 0; i < m->nspan; i++)
		if (m->span[i].kind == ML_TENSOR &&
			m->span[i].name_len == strlen(name) &&
			memcmp(m->span[i].name, name, strlen(name)) == 0)
			return &m->span[i];
	return NULL;
}

static void test_types(struct file *f)
{
	/* bytes and elements of a block, from ggml-common.h */
	static const struct {
		uint16_t type, dtype, bytes, elems;
	} t[] = {
		{0, ML_DT_F32, 4, 1}, {1, ML_DT_F16, 2, 1},
		{2, ML_DT_GGML + 2, 18, 32}, {3, ML_DT_GGML + 3, 20, 32},
		{6, ML_DT_GGML + 6, 22, 32}, {7, ML_DT_GGML + 7, 24, 32},
		{8, ML_DT_GGML + 8, 34, 32}, {9, ML_DT_GGML + 9, 36, 32},
		{10, ML_DT_GGML + 10, 84, 256},
		{11, ML_DT_GGML + 11, 110, 256},
		{12, ML_DT_GGML + 12, 144, 256},
		{13, ML_DT_GGML + 13, 176, 256},
		{14, ML_DT_GGML + 14, 210, 256},
		{15, ML_DT_GGML + 15, 292, 256},
		{16, ML_DT_GGML + 16, 66, 256},
		{17, ML_DT_GGML + 17, 74, 256},
		{18, ML_DT_GGML + 18, 98, 256},
		{19, ML_DT_GGML + 19, 50, 256},
		{20, ML_DT_GGML + 20, 18, 32},
		{21, ML_DT_GGML + 21, 110, 256},
		{22, ML_DT_GGML + 22, 82, 256},
		{23, ML_DT_GGML + 23, 136, 256},
		{24, ML_DT_I8, 1, 1}, {25, ML_DT_I16, 2, 1},
		{26, ML_DT_I32, 4, 1}, {27, ML_DT_I64, 8, 1},
		{28, ML_DT_F64, 8, 1}, {29, ML_DT_GGML + 29, 56, 256},
		{30, ML_DT_BF16, 2, 1}, {34, ML_DT_GGML + 34, 54, 256},
		{35, ML_DT_GGML + 35, 66, 256},
		{39, ML_DT_GGML + 39, 17, 32},
		{40, ML_DT_GGML + 40, 36, 64},
	};
	struct ml_model m;
	struct ml_diag diag;
	const struct ml_span *sp;
	uint64_t dims[3];
	size_t i, bytes, data;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		dims[0] = 2 * (uint64_t)t[i].elems;
		dims[1] = 3;
		dims[2] = 1;
		bytes = 6 * (size_t)t[i].bytes;
		start(f, 1, 0);
		tensor(f, "w", 3, dims, t[i].type, 64);
		pad(f, 32);
		data = f->n;
		fill(f, 'd', 64 + bytes);
		CHECK(load(&m, f->p, f->n, &diag) == ML_OK);
		CHECK(m.container == ML_GGUF && m.nspan == 2);
		sp = find(&m, "w");
		CHECK(sp != NULL && sp->dtype == t[i].dtype);
		CHECK(sp->rank == 3 && sp->shape[0] == 1 &&
			sp->shape[1] == 3 && sp->shape[2] == dims[0]);
		CHECK(sp->off == data + 64 && sp->len == bytes);
		ml_model_free(&m);
		f->n--;
		CHECK(verdict(f) == ML_EFORMAT);
		if (t[i].elems == 1)
			continue;
		dims[0]++;
		start(f, 1, 0);
		tensor(f, "w", 3, dims, t[i].type, 0);
		fill(f, 'd', 64 + 2 * bytes);
		CHECK(verdict(f) == ML_EFORMAT);
		start(f, 1, 0);
		tensor(f, "w", 0, dims, t[i].type, 0);
		fill(f, 'd', 64 + 2 * bytes);
		CHECK(verdict(f) == ML_EFORMAT);
	}
}

/* A file with all there is: metadata of each type, several tensors. */
static void make_rich(struct file *f)
{
	static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
	static const uint64_t d1[] = {5, 2}, d2[] = {64, 2, 2}, d3[] = {7};
	char key[8] = "k.a";
	uint32_t i;

	start(f, 5, 16);
	for (i = 0; i < 13; i++, key[2]++) {
		text(f, key);
		put32(f, i);
		if (i == 8) {
			text(f, "value");
		} else if (i == 9) {
			put32(f, 5);
			put64(f, 3);
			fill(f, 1, 12);
		} else {
			fill(f, 1, width[i]);
		}
	}
	text(f, "tokens");
	put32(f, 9);
	put32(f, 8);
	put64(f, 3);
	text(f, "a");
	text(f, "");
	text(f, "ccc");
	text(f, "general.alignment");
	put32(f, 4);
	put32(f, 64);
	text(f, "nested");
	put32(f, 9);
	put32(f, 9);
	put64(f, 2);
	put32(f, 9); /* an empty array of arrays */
	put64(f, 0);
	put32(f, 2);
	put64(f, 2);
	fill(f, 1, 4);
	tensor(f, "b", 3, d2, 8, 64);
	tensor(f, "odd", 1, d3, 31, 10000); /* a type that was withdrawn */
	tensor(f, "a", 2, d1, 0, 0);
	tensor(f, "", 0, NULL, 26, 384);
	tensor(f, "odder", 1, d3, 0xffffffff, 0);
	pad(f, 64);
	fill(f, 'd', 448);
}

static void test_rich(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	const struct ml_span *sp;
	uint64_t data;

	make_rich(f);
	data = f->n - 448;
	CHECK(load(&m, f->p, f->n, &diag) == ML_OK);
	CHECK(m.nspan == 7);
	sp = find(&m, "a");
	CHECK(sp == &m.span[1] && sp->off == data && sp->len == 40);
	CHECK(sp->rank == 2 && sp->shape[0] == 2 && sp->shape[1] == 5);
	sp = find(&m, "b");
	CHECK(sp == &m.span[3] && sp->off == data + 64 && sp->len == 272);
	sp = find(&m, "");
	CHECK(sp == &m.span[5] && sp->off == data + 384 && sp->len == 4);
	CHECK(sp->rank == 0 && sp->dtype == ML_DT_I32);
	CHECK(find(&m, "odd") == NULL);
	ml_model_free(&m);
	f->p[4] = 2;
	CHECK(verdict(f) == ML_OK);
	start(f, 0, 0);
	CHECK(verdict(f) == ML_OK);
	start(f, 0, 1);
	text(f, "vocabulary");
	put32(f, 9);
	put32(f, 8);
	put64(f, 1);
	text(f, "only");
	CHECK(verdict(f) == ML_OK);
}

static void test_version(struct file *f)
{
	static const struct {
		uint32_t version;
		int verdict;
	} t[] = {
		{0, ML_EFORMAT}, {1, ML_EFORMAT}, {2, ML_OK}, {3, ML_OK},
		{4, ML_EFORMAT}, {0x03000000, ML_EFORMAT},
		{0x02000000, ML_EFORMAT}, {0xffffffff, ML_EFORMAT},
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		start(f, 0, 0);
		ml_store32(f->p + 4, t[i].version);
		CHECK(verdict(f) == t[i].verdict);
	}
	CHECK(ml_reader_gguf.probe(f->p, 4));
	CHECK(!ml_reader_gguf.probe(f->p, 3));
	f->p[0] = 'g';
	CHECK(!ml_reader_gguf.probe(f->p, 4));
	CHECK(verdict(f) == ML_EFORMAT);
}

static int aligned(struct file *f, uint32_t type, uint64_t v, int times)
{
	static const uint64_t dims[] = {1};
	int i;

	start(f, 1, (uint64_t)times);
	for (i = 0; i < times; i++) {
		text(f, "general.alignment");
		put32(f, type);
		if (type == 10)
			put64(f, v);
		else
			put32(f, (uint32_t)v);
	}
	tensor(f, "t", 1, dims, 24, 0);
	pad(f, 4096);
	fill(f, 1, 1);
	return verdict(f);
}

static void test_alignment(struct file *f)
{
	CHECK(aligned(f, 4, 1, 1) == ML_OK);
	CHECK(aligned(f, 4, 8, 1) == ML_OK);
	CHECK(aligned(f, 4, 4096, 1) == ML_OK);
	CHECK(aligned(f, 4, 8192, 1) == ML_EFORMAT); /* beyond the end */
	CHECK(aligned(f, 4, 0x80000000, 1) == ML_EFORMAT);
	CHECK(aligned(f, 4, 0, 1) == ML_EFORMAT);
	CHECK(aligned(f, 4, 48, 1) == ML_EFORMAT);
	CHECK(aligned(f, 4, 0xffffffff, 1) == ML_EFORMAT);
	CHECK(aligned(f, 5, 32, 1) == ML_EFORMAT);
	CHECK(aligned(f, 10, 32, 1) == ML_EFORMAT);
	CHECK(aligned(f, 4, 32, 2) == ML_EFORMAT);
}

/* Every length of the file replaced by large numbers. */
static void test_lengths(struct file *f)
{
	static const uint64_t big[] = {
		1000, 0xfffffff0, 0xffffffff, 0x100000000, 0x100000001,
		0x2000000000000000, INT64_MAX, (uint64_t)INT64_MAX + 1,
		UINT64_MAX / 4 + 1, UINT64_MAX / 8 + 2, UINT64_MAX - 31,
		UINT64_MAX - 8, UINT64_MAX,
	};
	uint64_t dims[16];
	size_t i, k;

	for (i = 0; i < sizeof(big) / sizeof(big[0]); i++) {
		start(f, big[i], 0);
		fill(f, 0, 1000);
		CHECK(verdict(f) == ML_ETRUNC);
		start(f, 0, big[i]);
		fill(f, 0, 1000);
		CHECK(verdict(f) == ML_ETRUNC);
		start(f, 0, 1);
		put64(f, big[i]); /* a key */
		fill(f, 0, 100);
		CHECK(verdict(f) == ML_ETRUNC);
		start(f, 0, 1);
		text(f, "k");
		put32(f, 8); /* a string */
		put64(f, big[i]);
		fill(f, 0, 100);
		CHECK(verdict(f) == ML_ETRUNC);
		for (k = 0; k < 13; k++) { /* arrays */
			start(f, 0, 1);
			text(f, "k");
			put32(f, 9);
			put32(f, (uint32_t)k);
			put64(f, big[i]);
			fill(f, 0, 100);
			CHECK(verdict(f) == ML_ETRUNC);
		}
		start(f, 1, 0);
		put64(f, big[i]); /* a name */
		fill(f, 0, 100);
		CHECK(verdict(f) == (big[i] <= ML_NAME_MAX ? ML_ETRUNC
							   : ML_ELIMIT));
		for (k = 0; k < 16; k++)
			dims[k] = 1;
		start(f, 1, 0);
		tensor(f, "t", 1, dims, 24, big[i]); /* an offset */
		fill(f, 0, 100);
		CHECK(verdict(f) == ML_EFORMAT);
		for (k = 0; k < 4; k++) { /* a shape */
			dims[k] = big[i];
			start(f, 1, 0);
			tensor(f, "t", 4, dims, k % 2 ? 28 : 24, 32);
			fill(f, 0, 100);
			CHECK(verdict(f) == ML_EFORMAT);
		}
		start(f, 1, 0);
		text(f, "t");
		put32(f, (uint32_t)(big[i] | 17)); /* dimensions */
		fill(f, 0, 1000);
		CHECK(verdict(f) == ML_ELIMIT);
	}
	dims[0] = 0; /* overflows only in the middle */
	dims[1] = dims[2] = (uint64_t)1 << 63;
	start(f, 1, 0);
	tensor(f, "t", 3, dims, 24, 0);
	fill(f, 0, 100);
	CHECK(verdict(f) <= ML_OK);
	for (k = 0; k < 16; k++)
		dims[k] = 1;
	start(f, 1, 0);
	tensor(f, "t", 16, dims, 24, 0);
	fill(f, 0, 100);
	CHECK(verdict(f) == ML_OK);
}

static void test_nesting(struct file *f)
{
	size_t i, depth;

	for (depth = 1; depth < 12; depth++) {
		start(f, 0, 1);
		text(f, "k");
		put32(f, 9);
		for (i = 1; i < depth; i++) {
			put32(f, 9);
			put64(f, 1);
		}
		put32(f, 0);
		put64(f, 1);
		fill(f, 1, 1);
		CHECK(verdict(f) == (depth <= 8 ? ML_OK : ML_ELIMIT));
	}
	start(f, 0, 1);
	text(f, "k");
	put32(f, 9);
	for (i = 0; i < 20000; i++) {
		put32(f, 9);
		put64(f, 1);
	}
	CHECK(verdict(f) == ML_ELIMIT);
	start(f, 0, 1); /* wide, not deep */
	text(f, "k");
	put32(f, 9);
	put32(f, 9);
	put64(f, 20000);
	for (i = 0; i < 20000; i++) {
		put32(f, 9);
		put64(f, 0);
	}
	CHECK(verdict(f) == ML_OK);
	for (i = 13; i < 0x100000000; i = i * 2 + 1) {
		start(f, 0, 1);
		text(f, "k");
		put32(f, (uint32_t)i);
		fill(f, 0, 100);
		CHECK(verdict(f) == ML_EFORMAT);
		start(f, 0, 1);
		text(f, "k");
		put32(f, 9);
		put32(f, (uint32_t)i);
		put64(f, 0);
		CHECK(verdict(f) == ML_EFORMAT);
	}
}

static void test_names(struct file *f)
{
	static const uint64_t dims[] = {1};
	struct ml_model m;
	struct ml_diag diag;
	size_t n, i, dups = 0;

	for (n = 65534; n <= 65537; n++) {
		start(f, 1, 1);
		put64(f, n); /* keys have no limit but the file */
		fill(f, 'k', n);
		put32(f, 0);
		fill(f, 0, 1);
		put64(f, n);
		fill(f, 'n', n);
		put32(f, 0);
		put32(f, 24);
		put64(f, 0);
		fill(f, 0, 40);
		CHECK(verdict(f) == (n <= ML_NAME_MAX ? ML_OK : ML_ELIMIT));
	}
	start(f, 3, 0);
	tensor(f, "dup", 1, dims, 0, 0);
	tensor(f, "dup", 1, dims, 0, 32);
	tensor(f, "same", 1, dims, 0, 33); /* overlaps */
	pad(f, 32);
	fill(f, 0, 64);
	CHECK(load(&m, f->p, f->n, &diag) == ML_OK);
	for (i = 0; i < m.nspan; i++)
		dups += m.span[i].kind == ML_TENSOR && m.span[i].name_len == 3;
	CHECK(dups == 2 && find(&m, "same") == NULL);
	ml_model_free(&m);
}

/* Every truncation and every flipped bit ends in a verdict. */
static void test_damage(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	size_t i, ok = 0;
	uint8_t *cut;

	make_rich(f);
	for (i = 0; i < f->n; i++) {
		cut = malloc(i > 0 ? i : 1); /* exact, for the sanitizer */
		CHECK(cut != NULL);
		memcpy(cut, f->p, i);
		CHECK((load(&m, cut, i, &diag) == ML_OK) ==
			(i >= f->n - 60)); /* the last 60 bytes are spare */
		ml_model_free(&m);
		free(cut);
	}
	for (i = 0; i < 8 * f->n; i++) {
		f->p[i / 8] ^= (uint8_t)(1u << i % 8);
		ok += load(&m, f->p, f->n, &diag) == ML_OK;
		ml_model_free(&m);
		f->p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	CHECK(ok >= 8 * 448 && ok < 8 * f->n); /* the data may change */
}

int main(void)
{
	struct file *f = malloc(sizeof(*f));

	CHECK(f != NULL);
	test_types(f);
	test_rich(f);
	test_version(f);
	test_alignment(f);
	test_lengths(f);
	test_nesting(f);
	test_names(f);
	test_damage(f);
	free(f);
	return 0;
}
