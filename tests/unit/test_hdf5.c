/* SPDX-License-Identifier: MIT */
/* The HDF5 reader: files that h5py made, and some made here, wrong. */
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

static void num(struct file *f, uint64_t v, size_t width)
{
	uint8_t b[8];

	ml_store64(b, v);
	put(f, b, width);
}

/* A superblock of version 2, 48 bytes, the root group behind it. */
static void begin(struct file *f)
{
	f->n = 0;
	put(f, "\x89HDF\r\n\x1a\n\2\x08\x08\0", 12);
	num(f, 0, 8);
	num(f, UINT64_MAX, 8);
	num(f, 0, 8);
	num(f, 48, 8);
	num(f, 0, 4);
}

/* An object header of `len` bytes of messages, which are to follow. */
static void header(struct file *f, uint32_t len)
{
	put(f, "OHDR\2\2", 6);
	num(f, len, 4);
}

static void message(struct file *f, unsigned type, unsigned len)
{
	num(f, type, 1);
	num(f, len, 2);
	num(f, 0, 1);
}

static void hard(struct file *f, const char *name, uint64_t addr)
{
	const size_t n = strlen(name);

	message(f, 6, (unsigned)(3 + n + 8));
	put(f, "\1\0", 2);
	num(f, n, 1);
	put(f, name, n);
	num(f, addr, 8);
}

/* A dataset of n bytes at an address. */
static void dataset(struct file *f, uint64_t addr, uint64_t n)
{
	header(f, 4 + 12 + 4 + 12 + 4 + 18);
	message(f, 1, 12);
	put(f, "\2\1\0\1", 4);
	num(f, n, 8);
	message(f, 3, 12);
	put(f, "\x10\0\0\0\1\0\0\0\0\0\x08\0", 12);
	message(f, 8, 18);
	put(f, "\3\1", 2);
	num(f, addr, 8);
	num(f, n, 8);
}

static int load(struct ml_model *m, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	struct ml_src *s;
	int r;

	memset(diag, 0, sizeof(*diag));
	ml_model_init(m);
	CHECK(ml_src_spool(&s, diag) == ML_OK);
	CHECK(ml_src_append(s, p, n, diag) == ML_OK);
	r = ml_model_read(m, s, "hdf5", diag);
	ml_src_free(s);
	return r;
}

static int verdict(const uint8_t *p, size_t n)
{
	struct ml_model m;
	struct ml_diag diag;
	const int r = load(&m, p, n, &diag);

	if (r != ML_OK)
		CHECK(diag.why[0] != 0);
	ml_model_free(&m);
	return r;
}

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

static void slurp(struct file *f, const char *name)
{
	char path[100];
	FILE *in;

	snprintf(path, sizeof(path), "tests/golden/hdf5/%s.h5", name);
	in = fopen(path, "rb");
	CHECK(in != NULL);
	f->n = in ? fread(f->p, 1, CAP, in) : 0;
	CHECK(f->n > 0);
	if (in)
		fclose(in);
}

static void is(const struct ml_model *m, const char *name, unsigned dtype,
	unsigned rank, uint64_t dim, uint64_t off, uint64_t len)
{
	const struct ml_span *sp = find(m, name);

	CHECK(sp->dtype == dtype);
	CHECK(sp->rank == rank && (rank == 0 || sp->shape[0] == dim));
	CHECK(sp->off == off && sp->len == len);
}

/* Offsets are what h5py's Dataset.id.get_offset() says. */
static void test_golden(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	unsigned k;
	uint64_t o;

	for (k = 0; k < 2; k++) {
		slurp(f, k ? "latest" : "earliest");
		o = k ? 512 : 0; /* bytes of the user before the superblock */
		CHECK(load(&m, f->p, f->n, &diag) == ML_OK);
		is(&m, "a/b/w", ML_DT_F32, 2, 2, 2048 + o, 24);
		is(&m, "i", ML_DT_I64, 1, 3, 2072 + o, 24);
		is(&m, "flag", ML_DT_BOOL, 1, 2, 2096 + o, 2);
		is(&m, "half", ML_DT_F16, 1, 4, 2098 + o, 8);
		is(&m, "scalar", ML_DT_F64, 0, 0, 2106 + o, 8);
		is(&m, "u2", ML_DT_U16, 1, 3, 2138 + o, 6);
		is(&m, "whole", ML_DT_U8, 2, 2, k ? 2704 : 2192, 6);
		is(&m, "bf16", ML_DT_BF16, 1, 3, 2212 + o, 6);
		is(&m, "compact", ML_DT_F32, 1, 3, k ? 11440 : 20652, 12);
		CHECK(tensors(&m) == (k ? 9 : 15));
		if (!k) {
			is(&m, "chunk[0,0]", ML_DT_I16, 2, 2, 2144, 8);
			is(&m, "chunk[4,2]", ML_DT_I16, 2, 2, 2184, 8);
		}
		ml_model_free(&m);
	}
}

static void test_files_made_here(struct file *f)
{
	struct ml_model m;
	struct ml_diag diag;
	size_t i, n;

	begin(f);
	header(f, 2 * 16);
	hard(f, "w", 200);
	hard(f, "r", 48); /* the root in itself */
	num(f, 0, 4);
	while (f->n < 200)
		num(f, 0, 1);
	dataset(f, 20, 10);
	CHECK(load(&m, f->p, f->n, &diag) == ML_OK);
	CHECK(tensors(&m) == 1);
	is(&m, "w", ML_DT_U8, 1, 10, 20, 10);
	ml_model_free(&m);

	/* a dataset that leaves the file */
	f->n = 200;
	dataset(f, 20, 1000000);
	CHECK(verdict(f->p, f->n) == ML_EFORMAT);
	f->n = 200;
	dataset(f, UINT64_MAX - 5, 10);
	CHECK(verdict(f->p, f->n) == ML_EFORMAT);

	/* a link to where nothing is */
	f->n = 200;
	CHECK(verdict(f->p, f->n) == ML_ETRUNC);
	num(f, 0, 8);
	num(f, 0, 8);
	CHECK(verdict(f->p, f->n) == ML_EFORMAT);

	/* a message that leaves its header */
	begin(f);
	header(f, 8);
	message(f, 1, 5);
	num(f, 0, 8);
	CHECK(verdict(f->p, f->n) == ML_EFORMAT);
	/* a continuation that leads to itself */
	begin(f);
	header(f, 20);
	message(f, 0x10, 16);
	num(f, 48 + 10 + 20, 8);
	num(f, 4 + 20 + 4, 8);
	put(f, "OCHK", 4);
	message(f, 0x10, 16);
	num(f, 48 + 10 + 20, 8);
	num(f, 4 + 20 + 4, 8);
	num(f, 0, 4);
	CHECK(verdict(f->p, f->n) == ML_ELIMIT);
	/* a tree that is its own child, and a heap for it */
	begin(f);
	header(f, 20);
	message(f, 0x11, 16);
	num(f, 100, 8);
	num(f, 200, 8);
	while (f->n < 100)
		num(f, 0, 1);
	put(f, "TREE\0\1\1\0", 8);
	num(f, UINT64_MAX, 8);
	num(f, UINT64_MAX, 8);
	num(f, 0, 8);
	num(f, 100, 8);
	while (f->n < 200)
		num(f, 0, 1);
	put(f, "HEAP\0\0\0\0", 8);
	num(f, 8, 8);
	num(f, 0, 8);
	num(f, 100, 8);
	CHECK(verdict(f->p, f->n) == ML_EFORMAT);

	/* groups in groups */
	begin(f);
	for (i = 0; i < 3000; i++) {
		n = f->n + 10 + 16;
		header(f, 16);
		hard(f, "g", n);
	}
	dataset(f, 0, 8);
	CHECK(load(&m, f->p, f->n, &diag) == ML_OK);
	CHECK(tensors(&m) == 1 && m.span[0].name_len == 5999);
	CHECK(memcmp(m.span[0].name, "g/g/g", 5) == 0);
	ml_model_free(&m);
}

static void test_superblocks(struct file *f)
{
	static const uint8_t sizes[] = {0, 1, 3, 7, 9, 16, 255};
	size_t i;

	begin(f);
	header(f, 0);
	num(f, 0, 8);
	CHECK(verdict(f->p, f->n) == ML_OK);
	CHECK(ml_reader_hdf5.probe(f->p, f->n));
	CHECK(!ml_reader_hdf5.probe(f->p, 7));
	CHECK(!ml_reader_hdf5.probe(f->p + 1, f->n - 1));
	CHECK(verdict(f->p + 1, f->n - 1) == ML_EFORMAT);
	for (i = 4; i < 256; i++) {
		f->p[8] = (uint8_t)i;
		CHECK(verdict(f->p, f->n) == ML_EVERSION);
	}
	f->p[8] = 2;
	for (i = 0; i < sizeof(sizes); i++) {
		f->p[9] = sizes[i];
		CHECK(verdict(f->p, f->n) == ML_EVERSION);
		f->p[9] = 8;
		f->p[10] = sizes[i];
		CHECK(verdict(f->p, f->n) == ML_EVERSION);
		f->p[10] = 8;
	}
}

static void test_damage(struct file *f, const char *name)
{
	size_t i, at;
	uint32_t x = 1;

	slurp(f, name);
	for (i = 0; i < f->n; i++) {
		/* its own block, for the address sanitizer */
		uint8_t *cut = malloc(i + 1);

		CHECK(cut != NULL);
		memcpy(cut, f->p, i);
		verdict(cut, i);
		free(cut);
	}
	for (i = 0; i < 20000; i++) {
		uint8_t was;

		x = x * 1664525 + 1013904223;
		at = (x >> 8) % f->n;
		was = f->p[at];
		f->p[at] = (uint8_t)(i & 1 ? x : 0xff);
		verdict(f->p, f->n);
		f->p[at] = was;
	}
}

int main(void)
{
	struct file *f = malloc(sizeof(*f));

	CHECK(f != NULL);
	test_golden(f);
	test_files_made_here(f);
	test_superblocks(f);
	test_damage(f, "earliest");
	test_damage(f, "latest");
	free(f);
	return 0;
}
