/* SPDX-License-Identifier: MIT */
/* The reader of tar: files of GNU tar, and headers right and wrong. */
#include "build.h"

#define BLOCK 512
#define ARRAY "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"

static void test_golden(struct file *f)
{
	static const struct {
		const char *name;
		size_t w, b; /* where the arrays lie; 0: there is none */
	} t[] = {
		{"v7", 640, 1664}, {"ustar", 640, 1664}, {"gnu", 640, 1664},
		{"pax", 1664, 3712}, {"gnu-sparse", 5248, 0},
		{"pax-sparse-0.0", 7296, 0}, {"pax-sparse-0.1", 7296, 0},
		{"pax-sparse-1.0", 7808, 0},
	};
	struct ml_diag diag;
	struct ml_model m;
	char path[64], name[200];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(path, sizeof(path), "tests/golden/tar/%s.tar",
			t[i].name);
		slurp(f, path);
		CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
		CHECK(!diag.why[0] && m.container == ML_TAR);
		CHECK(tensors(&m) == (t[i].b ? 2 : 1));
		CHECK(has(&m, "w", ML_DT_F32, 2, 3) &&
			find(&m, "w")->off == t[i].w);
		if (t[i].b)
			CHECK(has(&m, "b", ML_DT_I16, 3, 0) &&
				find(&m, "b")->off == t[i].b);
		CHECK(ml_load32(f->p + t[i].w + 4) == 0x3f800000);
		ml_model_free(&m);
	}
	memset(name, 'd', 90);
	name[90] = '/';
	memset(name + 91, 'e', 90);
	strcpy(name + 181, "/w");
	for (i = 0; i < 2; i++) {
		slurp(f, i ? "tests/golden/tar/pax-long.tar" :
			"tests/golden/tar/gnu-long.tar");
		CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
		CHECK(tensors(&m) == 1 && has(&m, name, ML_DT_F32, 2, 3) &&
			find(&m, name)->off == 1664);
		ml_model_free(&m);
	}
}

/* The sum of the header at `at`. */
static void mend(struct file *f, size_t at)
{
	unsigned sum = 0;
	size_t i;

	memset(f->p + at + 148, ' ', 8);
	for (i = 0; i < BLOCK; i++)
		sum += f->p[at + i];
	snprintf((char *)f->p + at + 148, 8, "%06o", sum);
}

static void header(struct file *f, const char *name, char type, uint64_t len)
{
	const size_t at = f->n;

	fill(f, 0, BLOCK);
	memcpy(f->p + at, name, strlen(name));
	memcpy(f->p + at + 100, "0000644", 8);
	memcpy(f->p + at + 108, "0000000", 8);
	memcpy(f->p + at + 116, "0000000", 8);
	snprintf((char *)f->p + at + 124, 12, "%011llo",
		(unsigned long long)len);
	memcpy(f->p + at + 136, "00000000000", 12);
	f->p[at + 156] = (uint8_t)type;
	memcpy(f->p + at + 257, "ustar\0" "00", 8);
	mend(f, at);
}

/* A member that holds the bytes of p. */
static void member(struct file *f, const char *name, const void *p, size_t n)
{
	header(f, name, '0', n);
	put(f, p, n);
	fill(f, 0, (BLOCK - n % BLOCK) % BLOCK);
}

static void end(struct file *f)
{
	fill(f, 0, 2 * BLOCK);
}

static void arrays(struct file *f)
{
	struct file *a = malloc(sizeof(*a));

	CHECK(a != NULL);
	if (!a)
		exit(1);
	a->n = 0;
	put_npy(a, ARRAY, 12);
	f->n = 0;
	member(f, "a.npy", a->p, a->n);
	member(f, "./b.npy", a->p, a->n);
	end(f);
	free(a);
}

/* A size field of 12 bytes, and what comes of it. */
static int with_size(struct file *f, size_t at, const void *size)
{
	arrays(f);
	memcpy(f->p + at + 124, size, 12);
	mend(f, at);
	return verdict(f, "tar");
}

static void test_sizes(struct file *f)
{
	const size_t len = 10 + strlen(ARRAY) + 12;
	uint8_t big[12] = {0x80};
	size_t k;

	big[11] = (uint8_t)len;
	CHECK(with_size(f, 0, big) == ML_OK);
	for (k = 1; k < 10; k++) {
		big[k] = 1; /* 2^16 to 2^80 more */
		CHECK(with_size(f, 0, big) == ML_EFORMAT);
		CHECK(with_size(f, 2 * BLOCK, big) == ML_EFORMAT);
		big[k] = 0;
	}
	memset(big, 0xff, sizeof(big)); /* -1 and less */
	for (k = 0; k < 12; k++) {
		CHECK(with_size(f, 0, big) == ML_EFORMAT);
		big[11 - k] = (uint8_t)(k % 2 ? 0x80 : 0);
		big[0] |= 0x80;
	}
	CHECK(with_size(f, 0, "77777777777\0") == ML_EFORMAT);
	CHECK(with_size(f, 0, "-7777777777\0") != ML_OK);
	CHECK(with_size(f, 0, "xxxxxxxxxxxx") != ML_ENOMEM);
}

static void test_types(struct file *f)
{
	static const char none[] = "123456SVMNLKDgx\377Z";
	struct ml_diag diag;
	struct ml_model m;
	size_t i;
	int err;

	arrays(f);
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
	CHECK(tensors(&m) == 2 && has(&m, "a", ML_DT_F32, 3, 0) &&
		has(&m, "b", ML_DT_F32, 3, 0));
	ml_model_free(&m);
	for (i = 0; i < sizeof(none) - 1; i++) {
		arrays(f);
		f->p[156] = (uint8_t)none[i];
		mend(f, 0);
		err = load(&m, f->p, f->n, "tar", &diag);
		CHECK(err == ML_OK || err == ML_EFORMAT);
		/* what POSIX calls a file is one, whatever its type */
		CHECK(!find(&m, "a"));
		ml_model_free(&m);
	}
	arrays(f);
	f->p[156] = '7';
	mend(f, 0);
	CHECK(load(&m, f->p, f->n, "tar", &diag) == ML_OK && find(&m, "a"));
	ml_model_free(&m);
	arrays(f);
	f->p[156] = '\0';
	mend(f, 0);
	CHECK(load(&m, f->p, f->n, "tar", &diag) == ML_OK && find(&m, "a"));
	ml_model_free(&m);
}

/* Archives in archives: read down to some depth, opaque beneath. */
static void test_depth(struct file *f)
{
	struct file *in = malloc(sizeof(*in));
	struct ml_diag diag;
	struct ml_model m;
	int depth;

	CHECK(in != NULL);
	if (!in)
		return;
	arrays(f);
	for (depth = 1; depth < 8; depth++) {
		CHECK(load(&m, f->p, f->n, "tar", &diag) == ML_OK);
		CHECK(tensors(&m) == (depth <= ML_DEPTH_MAX ? 2 : 0));
		CHECK((diag.why[0] != '\0') == (depth > ML_DEPTH_MAX));
		ml_model_free(&m);
		memcpy(in->p, f->p, f->n);
		in->n = f->n;
		f->n = 0;
		member(f, "in.tar", in->p, in->n);
		end(f);
	}
	free(in);
}

static void test_damage(struct file *f)
{
	struct ml_diag diag;
	struct ml_model m;
	size_t i;

	arrays(f);
	for (i = 0; i < f->n; i++) {
		load(&m, f->p, i, "tar", &diag);
		CHECK(i >= 3 * BLOCK || !find(&m, "b"));
		ml_model_free(&m);
	}
	for (i = 0; i < 8 * BLOCK; i += 5) {
		f->p[i / 8] ^= (uint8_t)(1u << i % 8);
		load(&m, f->p, f->n, "tar", &diag);
		CHECK(!find(&m, "a") || f->p[0] == 'a');
		ml_model_free(&m);
		mend(f, 0);
		load(&m, f->p, f->n, "tar", &diag);
		ml_model_free(&m);
		arrays(f);
	}
}

int main(void)
{
	struct file *f = malloc(sizeof(*f));

	CHECK(f != NULL);
	if (!f)
		return 1;
	test_golden(f);
	test_sizes(f);
	test_types(f);
	test_depth(f);
	test_damage(f);
	free(f);
	return 0;
}
