/* SPDX-License-Identifier: MIT */
/* The directory of a zip and the reader of zips: files of other programs, and
 * files made here, right and wrong. */
#include "build.h"
#include "pkzip.h"

#define ARRAY "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"
#define ARRAY_LEN (10 + sizeof(ARRAY) - 1 + 12)
#define FULL 0xffffffff

/* An entry to be written. */
struct entry {
	const char *name;
	unsigned flags, method;
	int big; /* 64-bit values in extra fields */
	unsigned pad; /* bytes of another extra field, local only */
	uint64_t len; /* claimed, when it is not stored */
	uint32_t at; /* where it came to lie */
};

static void local(struct file *f, struct entry *e)
{
	const uint32_t n = ARRAY_LEN;
	const uint32_t shown = e->flags & 8 ? 0 : e->big ? FULL : n;

	e->at = (uint32_t)f->n;
	put32(f, 0x04034b50);
	put16(f, 45);
	put16(f, e->flags);
	put16(f, e->method);
	put32(f, 0);
	put32(f, 0);
	put32(f, shown);
	put32(f, shown);
	put16(f, (unsigned)strlen(e->name));
	put16(f, (e->big ? 20 : 0) + (e->pad ? 4 + e->pad : 0));
	put(f, e->name, strlen(e->name));
	if (e->pad) { /* as PyTorch aligns its entries */
		put(f, "FB", 2);
		put16(f, e->pad);
		fill(f, 'Z', e->pad);
	}
	if (e->big) {
		put16(f, 1);
		put16(f, 16);
		put64(f, e->flags & 8 ? 0 : n);
		put64(f, e->flags & 8 ? 0 : n);
	}
	put_npy(f, ARRAY, 12);
	if (e->flags & 8) {
		put32(f, 0x08074b50);
		put32(f, 0);
		put32(f, n);
		put32(f, n);
	}
}

static void central(struct file *f, const struct entry *e, uint32_t start)
{
	const uint32_t n = ARRAY_LEN;
	const uint64_t len = e->method ? e->len : n;

	put32(f, 0x02014b50);
	put16(f, 45);
	put16(f, 45);
	put16(f, e->flags);
	put16(f, e->method);
	put32(f, 0);
	put32(f, 0);
	put32(f, e->big ? FULL : n);
	put32(f, e->big ? FULL : (uint32_t)len);
	put16(f, (unsigned)strlen(e->name));
	put16(f, e->big ? 28 : 0);
	put16(f, 3); /* of comment */
	put16(f, 0);
	put16(f, 0);
	put32(f, 0);
	put32(f, e->big ? FULL : e->at - start);
	put(f, e->name, strlen(e->name));
	if (e->big) {
		put16(f, 1);
		put16(f, 24);
		put64(f, len);
		put64(f, n);
		put64(f, e->at - start);
	}
	put(f, "hi!", 3);
}

/* What the end says. */
struct end {
	uint64_t n, len, off;
	int big;
	const char *comment;
};

static void put_end(struct file *f, const struct end *e, uint64_t start)
{
	if (e->big) {
		put32(f, 0x06064b50);
		put64(f, 44);
		put32(f, 45 | 45 << 16);
		put64(f, 0);
		put64(f, e->n);
		put64(f, e->n);
		put64(f, e->len);
		put64(f, e->off);
		put32(f, 0x07064b50);
		put32(f, 0);
		put64(f, f->n - 8 - 56 - start);
		put32(f, 1);
	}
	put32(f, 0x06054b50);
	put32(f, 0);
	put16(f, e->big ? 0xffff : (unsigned)e->n);
	put16(f, e->big ? 0xffff : (unsigned)e->n);
	put32(f, e->big ? FULL : (uint32_t)e->len);
	put32(f, e->big ? FULL : (uint32_t)e->off);
	put16(f, (unsigned)strlen(e->comment));
	put(f, e->comment, strlen(e->comment));
}

/* A zip of n entries behind what f holds. */
static void zip(struct file *f, struct entry *e, size_t n, int big,
	const char *comment)
{
	const uint32_t start = (uint32_t)f->n;
	struct end end = {.n = n, .big = big, .comment = comment};
	size_t i, dir;

	for (i = 0; i < n; i++)
		local(f, &e[i]);
	dir = f->n;
	for (i = 0; i < n; i++)
		central(f, &e[n - 1 - i], start);
	end.len = f->n - dir;
	end.off = dir - start;
	put_end(f, &end, start);
}

static int directory(struct ml_pkzip *z, const void *p, size_t n,
	struct ml_diag *diag)
{
	struct ml_src *s;
	int err;

	memset(z, 0, sizeof(*z));
	memset(diag, 0, sizeof(*diag));
	err = ml_src_spool(&s, diag);
	if (err)
		return err;
	err = ml_src_append(s, p, n, diag);
	if (!err)
		err = ml_pkzip_read(z, s, diag);
	ml_src_free(s);
	return err;
}

static void test_golden(struct file *f)
{
	struct ml_diag diag;
	struct ml_model m;
	struct ml_pkzip z;

	slurp(f, "tests/golden/zip/numpy.npz");
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK && !diag.why[0]);
	CHECK(m.container == ML_ZIP && tensors(&m) == 2 &&
		has(&m, "w", ML_DT_F32, 2, 3) && has(&m, "b", ML_DT_I16, 3, 0));
	CHECK(find(&m, "w") && find(&m, "w")->off == 183 &&
		ml_load32(f->p + 187) == 0x3f800000);
	ml_model_free(&m);

	slurp(f, "tests/golden/zip/piped.zip");
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK && !diag.why[0]);
	CHECK(tensors(&m) == 2 && find(&m, "b") &&
		find(&m, "b")->off == 366);
	ml_model_free(&m);

	slurp(f, "tests/golden/zip/deflated.npz");
	CHECK(directory(&z, f->p, f->n, &diag) == ML_OK && z.n == 2);
	CHECK(ml_pkzip_find(&z, "w.npy") == &z.entry[0] &&
		z.entry[0].method == ML_PKZIP_DEFLATED &&
		z.entry[0].len == 152 && z.entry[0].clen < 152);
	ml_pkzip_free(&z);

	slurp(f, "tests/golden/zip/lzma.zip");
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK && !diag.why[0]);
	CHECK(m.container == ML_ZIP && tensors(&m) == 0);
	ml_model_free(&m);
}

static void test_right(struct file *f)
{
	static const char other_end[] =
		"PK\5\6 and PK\5\6xxxxxxxxxxxxxxxxxxxxxx";
	struct ml_diag diag;
	struct ml_model m;
	struct ml_pkzip z;
	char *comment = malloc(65536);
	unsigned i;

	CHECK(comment != NULL);
	if (!comment)
		return;
	memset(comment, 'c', 65535);
	comment[65535] = '\0';
	for (i = 0; i < 64; i++) {
		struct entry e[] = {
			{.name = "b/x.npy", .big = i & 1, .pad = i & 2 ? 40 : 0},
			{.name = "b/", .flags = i & 8},
			{.name = "b/a.npy", .big = i & 4, .flags = i & 8},
		};
		const size_t pre = i & 16 ? 1000 : 0;

		f->n = 0;
		fill(f, 'p', pre);
		zip(f, e, 3, i & 32, i % 3 == 0 ? comment :
			i % 3 == 1 ? other_end : "");
		CHECK(directory(&z, f->p, f->n, &diag) == ML_OK);
		CHECK(z.start == pre && z.n == 2);
		CHECK(z.n == 2 && ml_pkzip_find(&z, "b/x.npy") == z.entry &&
			ml_pkzip_find(&z, "b/a.npy") == z.entry + 1 &&
			!ml_pkzip_find(&z, "b/") && !ml_pkzip_find(&z, "") &&
			!ml_pkzip_find(&z, "c") &&
			memcmp(f->p + z.entry[1].off, "\x93NUMPY", 6) == 0 &&
			z.entry[1].len == ARRAY_LEN);
		ml_pkzip_free(&z);
		CHECK(load(&m, f->p, f->n, pre ? "zip" : NULL, &diag) ==
			ML_OK);
		CHECK(tensors(&m) == 2 && has(&m, "b/x", ML_DT_F32, 3, 0));
		ml_model_free(&m);
	}
	free(comment);
	f->n = 0;
	zip(f, NULL, 0, 0, "empty");
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK && !diag.why[0]);
	CHECK(m.container == ML_ZIP && tensors(&m) == 0);
	ml_model_free(&m);
}

/* Two plain entries; where the records lie. */
struct spots {
	size_t local[2], dir[2], end;
};

static void plain(struct file *f, struct spots *s)
{
	struct entry e[] = {{.name = "a.npy"}, {.name = "b.npy"}};

	f->n = 0;
	zip(f, e, 2, 0, "");
	s->local[0] = e[0].at;
	s->local[1] = e[1].at;
	s->end = f->n - 22;
	s->dir[1] = s->end - 2 * (46 + 5 + 3);
	s->dir[0] = s->dir[1] + 46 + 5 + 3;
}

static int with16(struct file *f, size_t at, unsigned v)
{
	const unsigned old = ml_load16(f->p + at);
	int err;

	ml_store16(f->p + at, v);
	err = verdict(f, "zip");
	ml_store16(f->p + at, old);
	return err;
}

static int with32(struct file *f, size_t at, uint32_t v)
{
	const uint32_t old = ml_load32(f->p + at);
	int err;

	ml_store32(f->p + at, v);
	err = verdict(f, "zip");
	ml_store32(f->p + at, old);
	return err;
}

static void test_wrong(struct file *f)
{
	static const uint32_t far[] = {1, 46, 0x7fffffff, FULL - 1, FULL};
	struct spots s;
	size_t i;

	plain(f, &s);
	CHECK(verdict(f, "zip") == ML_OK);
	CHECK(with32(f, s.end + 16, 0) == ML_EFORMAT); /* not the directory */
	CHECK(with16(f, s.end + 4, 1) == ML_EFORMAT); /* disks */
	CHECK(with16(f, s.end + 8, 1) == ML_EFORMAT);
	CHECK(with16(f, s.dir[0] + 34, 1) == ML_EFORMAT);
	CHECK(with32(f, s.end + 8, 1 | 1 << 16) == ML_EFORMAT); /* entries */
	CHECK(with32(f, s.end + 8, 3 | 3 << 16) == ML_EFORMAT);
	CHECK(with32(f, s.end + 8, FULL) == ML_EFORMAT);
	CHECK(with32(f, s.end + 8, 0) == ML_EFORMAT);
	CHECK(with16(f, s.end + 20, 1) == ML_EFORMAT); /* comment */
	for (i = 0; i < 2; i++) {
		CHECK(with16(f, s.dir[i] + 8, 1) == ML_EFORMAT); /* secret */
		CHECK(with16(f, s.local[i] + 6, 1) == ML_EFORMAT);
		CHECK(with16(f, s.dir[i] + 10, 8) == ML_EFORMAT); /* method */
		CHECK(with16(f, s.local[i] + 8, 8) == ML_EFORMAT);
		CHECK(with16(f, s.dir[i] + 46, 'x') == ML_EFORMAT); /* name */
		CHECK(with16(f, s.local[i] + 30, 'x') == ML_EFORMAT);
		CHECK(with16(f, s.local[i] + 26, 4) == ML_EFORMAT);
		CHECK(with16(f, s.local[i] + 26, 0xffff) == ML_EFORMAT);
		CHECK(with16(f, s.local[i] + 28, 0xffff) == ML_EFORMAT);
		CHECK(with16(f, s.dir[i] + 28, 0xffff) == ML_EFORMAT);
		CHECK(with16(f, s.dir[i] + 30, 0xffff) == ML_EFORMAT);
		CHECK(with16(f, s.dir[i] + 32, 4) == ML_EFORMAT);
		CHECK(with32(f, s.dir[i], 0) == ML_EFORMAT);
		CHECK(with32(f, s.local[i], 0) == ML_EFORMAT);
		CHECK(with32(f, s.local[i] + 18, 1) == ML_EFORMAT); /* sizes */
		CHECK(with32(f, s.local[i] + 22, 1) == ML_EFORMAT);
		CHECK(with32(f, s.dir[i] + 20, 1) == ML_EFORMAT);
		CHECK(with32(f, s.dir[i] + 24, 1) == ML_EFORMAT);
		CHECK(with32(f, s.dir[i] + 42, (uint32_t)s.local[1 - i]) ==
			ML_EFORMAT); /* the other's */
	}
	for (i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		CHECK(with32(f, s.end + 12, far[i]) == ML_EFORMAT);
		CHECK(with32(f, s.end + 16, far[i]) == ML_EFORMAT);
		CHECK(with32(f, s.dir[0] + 42, far[i]) == ML_EFORMAT);
	}
	/* an entry over its neighbour, or over the directory */
	for (i = 0; i < 2; i++) {
		const uint32_t n = ARRAY_LEN + (i ? 1 : 60);

		plain(f, &s);
		ml_store32(f->p + s.local[i] + 18, n);
		ml_store32(f->p + s.local[i] + 22, n);
		ml_store32(f->p + s.dir[i] + 20, n);
		ml_store32(f->p + s.dir[i] + 24, n);
		CHECK(verdict(f, "zip") == ML_EFORMAT);
	}
}

static void test_zip64(struct file *f)
{
	static const uint64_t absurd[] = {
		1, 3, 1000000, UINT64_C(1) << 32, UINT64_C(1) << 62,
		UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX,
	};
	struct entry e[] = {{.name = "a.npy", .big = 1}};
	const size_t back = 22 + 20 + 56; /* of the zip64 end record */
	uint8_t old[8];
	size_t i, k, at;

	f->n = 0;
	zip(f, e, 1, 1, "");
	CHECK(verdict(f, "zip") == ML_OK);
	/* count, count, length, offset; then those of the entry */
	for (k = 0; k < 7; k++) {
		at = k < 4 ? f->n - back + 24 + 8 * k :
			f->n - back - 3 - 24 + 8 * (k - 4);
		memcpy(old, f->p + at, 8);
		for (i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
			if (k < 2 && absurd[i] == 1)
				continue;
			ml_store64(f->p + at, absurd[i]);
			CHECK(verdict(f, "zip") == ML_EFORMAT);
			if (k != 0)
				continue;
			ml_store64(f->p + at + 8, absurd[i]); /* both */
			CHECK(verdict(f, "zip") == ML_EFORMAT);
			ml_store64(f->p + at + 8, 1);
		}
		memcpy(f->p + at, old, 8);
	}
	/* a locator that leads nowhere: the record is before it */
	for (i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
		memcpy(old, f->p + f->n - 22 - 12, 8);
		ml_store64(f->p + f->n - 22 - 12, absurd[i]);
		CHECK(verdict(f, "zip") == ML_OK);
		memcpy(f->p + f->n - 22 - 12, old, 8);
	}
	CHECK(with32(f, f->n - back, 0) == ML_EFORMAT);
	CHECK(with32(f, f->n - 22 - 4, 2) == ML_EFORMAT); /* disks */
	/* an end that says something else than the zip64 end */
	CHECK(with16(f, f->n - 22 + 8, 2) == ML_EFORMAT);
	CHECK(with32(f, f->n - 22 + 12, 5) == ML_EFORMAT);
	CHECK(with32(f, f->n - 22 + 16, 0) == ML_EFORMAT);
	/* an extra field that is too short, or longer than it can be */
	at = f->n - back - 3 - 24 - 2;
	CHECK(with16(f, at, 16) == ML_EFORMAT);
	CHECK(with16(f, at, 25) == ML_EFORMAT);
	CHECK(with16(f, at - 2, 2) == ML_EFORMAT);
}

/* What is claimed of deflated bytes is not made room for. */
static void test_bomb(struct file *f)
{
	struct entry e[] = {
		{.name = "bomb", .method = 8, .big = 1,
			.len = UINT64_C(1) << 40, .flags = 8},
		{.name = "a.npy"},
		{.name = "more", .method = 8, .big = 1, .len = UINT64_MAX,
			.flags = 8},
		{.name = "none", .method = 8, .flags = 8},
		{.name = "other", .method = 99, .len = 7, .flags = 8},
	};
	struct ml_diag diag;
	struct ml_model m;

	f->n = 0;
	zip(f, e, 5, 0, "");
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
	CHECK(m.container == ML_ZIP && tensors(&m) == 1 &&
		has(&m, "a", ML_DT_F32, 3, 0));
	ml_model_free(&m);
}

/* Names that are the same, empty, or have a NUL. */
static void test_names(struct file *f)
{
	struct entry e[] = {
		{.name = "a.npy"}, {.name = ""}, {.name = "a.npy"},
		{.name = "b.npy"}, {.name = "a.np"}, {.name = "a.npyz"},
	};
	struct ml_diag diag;
	struct ml_model m;
	struct ml_pkzip z;
	size_t i;

	f->n = 0;
	zip(f, e, 6, 0, "");
	for (i = 0; i + 5 < f->n; i++)
		if (memcmp(f->p + i, "b.npy", 5) == 0)
			f->p[i + 1] = '\0';
	CHECK(directory(&z, f->p, f->n, &diag) == ML_OK && z.n == 6);
	CHECK(ml_pkzip_find(&z, "a.npy") == z.entry + 2);
	CHECK(ml_pkzip_find(&z, "") == z.entry + 1);
	CHECK(!ml_pkzip_find(&z, "b") && !ml_pkzip_find(&z, "b.npy"));
	CHECK(ml_pkzip_find(&z, "a.np") == z.entry + 4 &&
		ml_pkzip_find(&z, "a.npyz") == z.entry + 5);
	ml_pkzip_free(&z);
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
	CHECK(tensors(&m) == 6 && find(&m, "a") && find(&m, ""));
	ml_model_free(&m);
}

static void test_damage(struct file *f)
{
	struct entry e[] = {
		{.name = "a.npy", .big = 1}, {.name = "b", .flags = 8},
	};
	size_t cuts, flips;
	int big;

	for (big = 0; big < 2; big++) {
		f->n = 0;
		zip(f, e, 2, big, "x");
		damage(f, "zip", &cuts, &flips);
		CHECK(cuts == 0 && flips > 16 * ARRAY_LEN &&
			flips < 8 * f->n);
	}
}

int main(void)
{
	struct file *f = malloc(sizeof(*f));

	CHECK(f != NULL);
	if (!f)
		return 1;
	test_golden(f);
	test_right(f);
	test_wrong(f);
	test_zip64(f);
	test_bomb(f);
	test_names(f);
	test_damage(f);
	free(f);
	return 0;
}
