/* SPDX-License-Identifier: MIT */
/* The reader of .npy: numpy's own files, and headers right and wrong. */
#include "build.h"

static void test_golden(struct file *f)
{
	static const char *const one[] = {"v1", "v2", "v3", "fortran"};
	static const char *const none[] = {"big-endian", "structure"};
	struct ml_diag diag;
	struct ml_model m;
	char path[64];
	size_t i;

	for (i = 0; i < sizeof(one) / sizeof(one[0]); i++) {
		snprintf(path, sizeof(path), "tests/golden/npy/%s.npy",
			one[i]);
		slurp(f, path);
		CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
		CHECK(!diag.why[0] && m.container == ML_NPY);
		CHECK(tensors(&m) == 1 && has(&m, "", ML_DT_F32, 2, 3));
		CHECK(m.span[1].off == f->n - 24 && m.span[1].len == 24);
		ml_model_free(&m);
	}
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		snprintf(path, sizeof(path), "tests/golden/npy/%s.npy",
			none[i]);
		slurp(f, path);
		CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
		CHECK(!diag.why[0] && m.container == ML_NPY);
		CHECK(tensors(&m) == 0);
		ml_model_free(&m);
	}
}

static void test_types(struct file *f)
{
	static const struct {
		const char *descr;
		unsigned dtype, bytes; /* 0: none */
	} t[] = {
		{"|b1", ML_DT_BOOL, 1}, {"|i1", ML_DT_I8, 1},
		{"|u1", ML_DT_U8, 1}, {"<i2", ML_DT_I16, 2},
		{"<u2", ML_DT_U16, 2}, {"<i4", ML_DT_I32, 4},
		{"<u4", ML_DT_U32, 4}, {"<i8", ML_DT_I64, 8},
		{"<u8", ML_DT_U64, 8}, {"<f2", ML_DT_F16, 2},
		{"<f4", ML_DT_F32, 4}, {"<f8", ML_DT_F64, 8},
		{"<c8", ML_DT_C64, 8}, {"<c16", ML_DT_C128, 16},
		{"<V2", ML_DT_BF16, 2}, {"|V2", ML_DT_BF16, 2},
		{"<f1", ML_DT_F8_E5M2, 1}, {">f4", 0, 0}, {"|O", 0, 0},
		{"<U3", 0, 0}, {"|S4", 0, 0}, {"<f16", 0, 0}, {"|V1", 0, 0},
		{"<M8[ns]", 0, 0}, {"f4", 0, 0}, {"", 0, 0}, {"<", 0, 0},
	};
	struct ml_diag diag;
	struct ml_model m;
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(text, sizeof(text), "{'descr': '%s', "
			"'fortran_order': False, 'shape': (5,), }\n",
			t[i].descr);
		f->n = 0;
		put_npy(f, text, 5 * t[i].bytes);
		CHECK(load(&m, f->p, f->n, "npy", &diag) == ML_OK);
		CHECK(tensors(&m) == (t[i].bytes > 0));
		CHECK(!t[i].bytes || has(&m, "", t[i].dtype, 5, 0));
		ml_model_free(&m);
		if (!t[i].bytes)
			continue;
		f->n--;
		CHECK(verdict(f, "npy") == ML_EFORMAT);
	}
}

#define PRE "{'descr': '<f4', 'fortran_order': False, "

static void test_headers(struct file *f)
{
	static const struct {
		const char *text;
		int err, rank; /* -1: no tensor */
	} t[] = {
		{PRE "'shape': ()}", 0, 0},
		{PRE "'shape': (1,)}", 0, 1},
		{PRE "'shape': (1L, 1L)}", 0, 2},
		{PRE "'shape': (1, 1, )}", 0, 2},
		{PRE "'shape':(1,1,1),}  \n", 0, 3},
		{"{\"shape\": (1,), \"fortran_order\": True, "
			"\"descr\": \"<f4\"}", 0, 1},
		{PRE "'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}", 0, 16},
		{PRE "'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}",
			ML_ELIMIT, 0},
		{PRE "'shape': (0, 18446744073709551615, 9)}", 0, 3},
		{PRE "'shape': (18446744073709551616,)}", ML_EFORMAT, 0},
		{PRE "'shape': (4294967296, 4294967296)}", ML_EFORMAT, 0},
		{PRE "'shape': (4611686018427387905,)}", ML_EFORMAT, 0},
		{PRE "'shape': (2,)}", ML_EFORMAT, 0},
		{PRE "'shape': (1)}", ML_EFORMAT, 0},
		{PRE "'shape': (-1,)}", ML_EFORMAT, 0},
		{PRE "'shape': (,)}", ML_EFORMAT, 0},
		{PRE "'shape': (1,,)}", ML_EFORMAT, 0},
		{PRE "'shape': (1 1)}", ML_EFORMAT, 0},
		{PRE "'shape': (1,}", ML_EFORMAT, 0},
		{PRE "'shape': (1,", ML_EFORMAT, 0},
		{PRE "'shape': [1]}", ML_EFORMAT, 0},
		{PRE "'shape': (1,), 'shape': (1,)}", ML_EFORMAT, 0},
		{PRE "'shape': (1,), 'descr': '<f4'}", ML_EFORMAT, 0},
		{PRE "'shape': (1,), 'other': '<f4'}", ML_EFORMAT, 0},
		{PRE "'shape': (1,)} x", ML_EFORMAT, 0},
		{PRE "'shape': (1,)", ML_EFORMAT, 0},
		{PRE "'shape' (1,)}", ML_EFORMAT, 0},
		{PRE "'shape: (1,)}", ML_EFORMAT, 0},
		{PRE "}", ML_EFORMAT, 0},
		{PRE ",'shape': (1,)}", ML_EFORMAT, 0},
		{"{}", ML_EFORMAT, 0}, {"{", ML_EFORMAT, 0},
		{"", ML_EFORMAT, 0}, {"[]", ML_EFORMAT, 0},
		{"{'descr': '<f4' 'shape': ()}", ML_EFORMAT, 0},
		{"{'descr': <f4, 'fortran_order': True, 'shape': ()}",
			ML_EFORMAT, 0},
		{"{'descr': '<f4', 'fortran_order': 0, 'shape': ()}",
			ML_EFORMAT, 0},
		{"{'descr': [('a', '<f4'), ('b]', [('c', '<i2', (2,))])], "
			"'fortran_order': False, 'shape': (9,)}", 0, -1},
		{"{'descr': ('<f4', (2,)), 'fortran_order': False, "
			"'shape': (9,)}", 0, -1},
		{"{'descr': [('it\\'s', '<f4')], 'fortran_order': False, "
			"'shape': (9,)}", 0, -1},
		{"{'descr': [[[[[[", ML_EFORMAT, 0},
		{"{'descr': ['a", ML_EFORMAT, 0},
		{"{'descr': ['a\\", ML_EFORMAT, 0},
	};
	struct ml_diag diag;
	struct ml_model m;
	size_t i;
	int err;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		f->n = 0;
		put_npy(f, t[i].text, 4);
		err = load(&m, f->p, f->n, "npy", &diag);
		CHECK(err == t[i].err);
		if (err != t[i].err)
			fprintf(stderr, "%s: %d %s\n", t[i].text, err,
				diag.why);
		if (!err && t[i].rank >= 0)
			CHECK(tensors(&m) == 1 && find(&m, "") != NULL &&
				find(&m, "")->rank == t[i].rank);
		else
			CHECK(tensors(&m) == 0);
		ml_model_free(&m);
	}
	f->n = 0; /* brackets beyond counting cost no stack */
	put(f, "\x93NUMPY\1\0\xff\xff{'descr':", 19);
	fill(f, '[', 65535 - 9);
	CHECK(verdict(f, "npy") == ML_EFORMAT);
	f->n = 0;
	put(f, "\x93NUMPY\2\0\0\0\1\0", 12);
	fill(f, ' ', 65536);
	CHECK(verdict(f, "npy") == ML_ELIMIT);
	memcpy(f->p + 8, "\xff\xff\xff\xff", 4);
	CHECK(verdict(f, "npy") == ML_ETRUNC);
	f->p[6] = 4;
	CHECK(verdict(f, "npy") == ML_EVERSION);
	f->p[6] = 0;
	CHECK(verdict(f, "npy") == ML_EVERSION);
	f->p[0] = 0;
	CHECK(verdict(f, "npy") == ML_EFORMAT);
}

int main(void)
{
	struct file *f = malloc(sizeof(*f));
	size_t cuts, flips;

	CHECK(f != NULL);
	if (!f)
		return 1;
	test_golden(f);
	test_types(f);
	test_headers(f);
	slurp(f, "tests/golden/npy/v1.npy");
	damage(f, "npy", &cuts, &flips);
	CHECK(cuts == 0 && flips >= 8 * 24 && flips < 8 * f->n);
	free(f);
	return 0;
}
