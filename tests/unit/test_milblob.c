/* SPDX-License-Identifier: MIT */
/* The reader of Core ML's weights: files made here, right and wrong. */
#include "build.h"

static void start(struct file *f, uint32_t n)
{
	f->n = 0;
	put32(f, n);
	put32(f, 2);
	fill(f, 0, 56);
}

static void blob(struct file *f, uint32_t type, uint64_t len, uint64_t padding)
{
	fill(f, 0, (64 - f->n % 64) % 64);
	put32(f, 0xdeadbeef);
	put32(f, type);
	put64(f, len);
	put64(f, f->n + 48); /* this field begins 16 into 64 */
	put64(f, padding);
	fill(f, 0, 32);
	fill(f, 'd', (size_t)len);
}

static void test_types(struct file *f)
{
	static const struct {
		unsigned dtype;
		uint64_t len, padding, n;
	} t[] = {
		{0, 3, 0, 0}, {ML_DT_F16, 6, 0, 3}, {ML_DT_F32, 12, 0, 3},
		{ML_DT_U8, 3, 0, 3}, {ML_DT_I8, 3, 9, 3},
		{ML_DT_BF16, 6, 0, 3}, {ML_DT_I16, 6, 0, 3},
		{ML_DT_U16, 6, 0, 3}, {ML_DT_I4, 2, 4, 3}, {0, 1, 5, 0},
		{0, 1, 2, 0}, {ML_DT_U4, 2, 0, 4}, {0, 2, 7, 0}, {0, 3, 6, 0},
		{ML_DT_I32, 12, 0, 3}, {ML_DT_U32, 12, 0, 3},
		{ML_DT_F8_E4M3, 3, 0, 3}, {ML_DT_F8_E5M2, 3, 0, 3}, {0, 3, 0, 0},
	};
	const uint32_t n = sizeof(t) / sizeof(t[0]);
	struct ml_diag diag;
	struct ml_model m;
	size_t count = 0;
	char name[24];
	uint32_t i;

	start(f, n);
	for (i = 0; i < n; i++)
		blob(f, i, t[i].len, t[i].padding);
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK && !diag.why[0]);
	CHECK(m.container == ML_MILBLOB);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "blob %u", (unsigned)i);
		CHECK((find(&m, name) != NULL) == (t[i].dtype != 0));
		if (!t[i].dtype)
			continue;
		count++;
		CHECK(has(&m, name, t[i].dtype, t[i].n, 0));
		CHECK(find(&m, name)->len == t[i].len &&
			find(&m, name)->off % 64 == 0 &&
			f->p[find(&m, name)->off] == 'd');
	}
	CHECK(tensors(&m) == count);
	ml_model_free(&m);
}

static void set64(struct file *f, size_t off, uint64_t v, int err)
{
	uint8_t old[8];

	memcpy(old, f->p + off, 8);
	ml_store64(f->p + off, v);
	CHECK(verdict(f, "milblob") == err);
	memcpy(f->p + off, old, 8);
}

static void test_wrong(struct file *f)
{
	size_t cuts, flips;

	start(f, 2);
	blob(f, 2, 8, 0);
	blob(f, 1, 70, 0);
	CHECK(verdict(f, "milblob") == ML_OK);
	set64(f, 0, 2 | UINT64_C(1) << 32, ML_EVERSION);
	set64(f, 0, 3 | UINT64_C(2) << 32, ML_ETRUNC);
	set64(f, 0, UINT64_C(0x2ffffffff), ML_ETRUNC);
	set64(f, 0, UINT64_C(0x200000000), ML_OK);
	set64(f, 64, 1, ML_EFORMAT); /* sentinel */
	set64(f, 72, 7, ML_EFORMAT); /* length */
	set64(f, 72, UINT64_MAX, ML_EFORMAT);
	set64(f, 72, f->n - 127, ML_EFORMAT);
	set64(f, 80, 64, ML_EFORMAT); /* offset */
	set64(f, 80, UINT64_MAX - 3, ML_EFORMAT);
	ml_store32(f->p + 68, 11);
	set64(f, 88, 3, ML_EFORMAT); /* padding */
	set64(f, 88, 8, ML_EFORMAT);
	set64(f, 88, UINT64_MAX, ML_EFORMAT);
	set64(f, 88, 4, ML_OK);
	ml_store32(f->p + 68, 2);
	damage(f, "milblob", &cuts, &flips);
	CHECK(cuts == 0 && flips > 8 * 78 && flips < 8 * f->n);
}

int main(void)
{
	struct file *f = malloc(sizeof(*f));

	CHECK(f != NULL);
	if (!f)
		return 1;
	test_types(f);
	test_wrong(f);
	free(f);
	return 0;
}
