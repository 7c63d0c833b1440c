/* SPDX-License-Identifier: MIT */
/* PyTorch's files, by PyTorch and made here, and its checkpoint folders. */
#include <stdarg.h>

#include "build.h"
#include "set.h"

#define ENTRIES 16
#define GOLDEN "tests/golden/pytorch/"

/* ===== a zip of stored members ========================================== */

struct zip {
	struct file *f;
	size_t start, n;
	struct {
		const char *name;
		uint32_t at, len;
	} e[ENTRIES];
};

static void begin(struct zip *z, struct file *f)
{
	memset(z, 0, sizeof(*z));
	z->f = f;
	z->start = f->n;
}

static void local(struct zip *z, const char *name, const void *p, size_t n)
{
	struct file *f = z->f;

	CHECK(z->n < ENTRIES);
	z->e[z->n].name = name;
	z->e[z->n].at = (uint32_t)(f->n - z->start);
	z->e[z->n++].len = (uint32_t)n;
	put(f, "PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
	put32(f, (uint32_t)n);
	put32(f, (uint32_t)n);
	put16(f, (unsigned)strlen(name));
	put16(f, 0);
	put(f, name, strlen(name));
	put(f, p, n);
}

static void finish(struct zip *z)
{
	struct file *f = z->f;
	const size_t dir = f->n;
	size_t i, end;

	for (i = 0; i < z->n; i++) {
		put(f, "PK\1\2\24\0\24\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
		put32(f, z->e[i].len);
		put32(f, z->e[i].len);
		put16(f, (unsigned)strlen(z->e[i].name));
		fill(f, 0, 12);
		put32(f, z->e[i].at);
		put(f, z->e[i].name, strlen(z->e[i].name));
	}
	end = f->n;
	put(f, "PK\5\6\0\0\0\0", 8);
	put16(f, (unsigned)z->n);
	put16(f, (unsigned)z->n);
	put32(f, (uint32_t)(end - dir));
	put32(f, (uint32_t)(dir - z->start));
	put16(f, 0);
}

/* A zip of the pickle and of storages "0" of 64 bytes and "1" of 16. */
static void torch_zip(struct file *f, const char *pickle)
{
	static const char data[64] = "data";
	struct zip z;

	begin(&z, f);
	local(&z, "x/data.pkl", pickle, strlen(pickle));
	local(&z, "x/data/0", data, 64);
	local(&z, "x/data/1", data, 16);
	finish(&z);
}

/* ===== pickles, in the opcodes that are text ============================ */

#define STORAGE(cls, key, n) \
	"(S'storage'\nctorch\n" cls "Storage\nS'" key "'\nS'cpu'\nI" n "\ntQ"
#define TENSOR(storage, at, shape, stride) \
	"ctorch._utils\n_rebuild_tensor_v2\n(" storage "I" at "\n(" shape \
	"t(" stride "tI00\nNtR"
#define I(n) "I" #n "\n"
#define F16_8 STORAGE("Half", "1", "8") /* all of storage 1 */

static int zip_verdict(struct file *f, const char *pickle)
{
	f->n = 0;
	torch_zip(f, pickle);
	return verdict(f, "pytorch");
}

/* How many tensors a pickle has; the first has this name. */
static size_t lists(struct file *f, const char *pickle, const char *name)
{
	struct ml_diag diag;
	struct ml_model m;
	size_t n;

	f->n = 0;
	torch_zip(f, pickle);
	CHECK(load(&m, f->p, f->n, "pytorch", &diag) == ML_OK);
	n = tensors(&m);
	CHECK(!name || find(&m, name));
	ml_model_free(&m);
	return n;
}

/* ===== files by PyTorch ================================================= */

static void listed(const struct file *f, const struct ml_model *m,
	const char *line)
{
	char type[16] = "", dims[64] = "", name[128] = "", *p;
	const struct ml_span *sp;
	unsigned crc = 0, rank = 0;

	CHECK(sscanf(line, "%15s %63s %x %127s", type, dims, &crc, name) >= 3);
	sp = find(m, name);
	CHECK(sp != NULL);
	if (!sp) {
		fprintf(stderr, "no tensor %s\n", name);
		return;
	}
	CHECK(ml_dtype_by_name(type) &&
		sp->dtype == ml_dtype_by_name(type)->id);
	for (p = dims; *p && *p != '-'; p += *p == ',', rank++)
		CHECK(rank < sp->rank &&
			strtoul(p, &p, 10) == sp->shape[rank]);
	CHECK(rank == sp->rank);
	CHECK(ml_crc32(0, f->p + sp->off, (size_t)sp->len) == crc);
}

static void golden(struct file *f, const char *name, int container)
{
	struct ml_diag diag;
	struct ml_model m;
	char line[256];
	size_t n = 0;
	FILE *in;

	snprintf(line, sizeof(line), GOLDEN "%s", name);
	slurp(f, line);
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK && !diag.why[0]);
	CHECK(m.container == container);
	snprintf(line, sizeof(line), GOLDEN "%s.txt", name);
	in = fopen(line, "r");
	CHECK(in != NULL);
	while (in && fgets(line, sizeof(line), in)) {
		listed(f, &m, line);
		n++;
	}
	CHECK(n > 0 && tensors(&m) == n);
	if (in)
		fclose(in);
	ml_model_free(&m);
}

static void test_golden(struct file *f)
{
	golden(f, "state.pt", ML_PYTORCH);
	golden(f, "train.pt", ML_PYTORCH);
	golden(f, "module.pt", ML_PYTORCH);
	golden(f, "kinds.pt", ML_PYTORCH);
	golden(f, "top.pt", ML_PYTORCH);
	golden(f, "script.pt", ML_PYTORCH);
	golden(f, "legacy.pth", ML_TORCH_LEGACY);
	golden(f, "protocol4.pth", ML_TORCH_LEGACY);
}

/* ===== tensors ========================================================== */

static void test_tensors(struct file *f)
{
	static const struct {
		const char *cls;
		unsigned dtype, rows; /* of two elements, in 16 bytes */
	} t[] = {
		{"Float", ML_DT_F32, 2}, {"Half", ML_DT_F16, 4},
		{"BFloat16", ML_DT_BF16, 4}, {"Double", ML_DT_F64, 1},
		{"Int", ML_DT_I32, 2}, {"Long", ML_DT_I64, 1},
		{"Short", ML_DT_I16, 4}, {"Char", ML_DT_I8, 8},
		{"Byte", ML_DT_U8, 8}, {"Bool", ML_DT_BOOL, 8},
		{"ComplexFloat", ML_DT_C64, 1}, {"QInt8", ML_DT_I8, 8},
		{"QUInt8", ML_DT_U8, 8}, {"QInt32", ML_DT_I32, 2},
		{"Float8_e4m3fn", ML_DT_F8_E4M3, 8},
		{"Float8_e5m2", ML_DT_F8_E5M2, 8},
	};
	struct ml_diag diag;
	struct ml_model m;
	char p[512];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		f->n = 0;
		snprintf(p, sizeof(p), "}S'w'\nctorch._utils\n"
			"_rebuild_tensor\n((S'storage'\nctorch\n%sStorage\n"
			"S'1'\nS'cpu'\nI%u\ntQI0\n(I%u\nI2\nt(I2\nI1\nttRs.",
			t[i].cls, 2 * t[i].rows, t[i].rows);
		torch_zip(f, p);
		CHECK(load(&m, f->p, f->n, "pytorch", &diag) == ML_OK);
		CHECK(tensors(&m) == 1 &&
			has(&m, "w", t[i].dtype, t[i].rows, 2));
		ml_model_free(&m);
	}
	/* the type beside a storage without one */
	f->n = 0;
	torch_zip(f, "}S'w'\nctorch._utils\n_rebuild_tensor_v3\n("
		STORAGE("Untyped", "1", "16") "I4\n(I3\nt(I1\ntI00\nN"
		"ctorch\nint16\ntRs.");
	CHECK(load(&m, f->p, f->n, "pytorch", &diag) == ML_OK);
	CHECK(has(&m, "w", ML_DT_I16, 3, 0) &&
		memcmp(f->p + find(&m, "w")->off - 8, "data", 4) == 0);
	ml_model_free(&m);
	/* dense in another order, and with gaps */
	CHECK(lists(f, TENSOR(F16_8, "0", I(2) I(4), I(1) I(2)) ".", "") == 1);
	CHECK(lists(f, TENSOR(F16_8, "0", I(2) I(2) I(2), I(2) I(1) I(4)) ".",
		"") == 1);
	CHECK(lists(f, TENSOR(F16_8, "0", I(2) I(1) I(4), I(4) I(77) I(1)) ".",
		"") == 1);
	CHECK(lists(f, "}S'g'\n" TENSOR(F16_8, "0", I(4), I(2)) "s.",
		"g.storage") == 1);
	CHECK(lists(f, "}S'g'\n" TENSOR(F16_8, "0", I(4), I(0)) "s.",
		"g.storage") == 1);
	/* an empty one; its storage counts as unused */
	CHECK(lists(f, "}S'e'\n" TENSOR(F16_8, "8", I(0) I(3), I(3) I(1))
		"s.", "e") == 2);
	/* what is nowhere, or of no known type, is left out */
	CHECK(lists(f, TENSOR(STORAGE("Half", "2", "8"), "0", I(8), I(1)) ".",
		NULL) == 0);
	CHECK(lists(f, TENSOR(STORAGE("Odd", "1", "8"), "0", I(8), I(1)) ".",
		NULL) == 0);
	CHECK(lists(f, TENSOR("N", "0", I(8), I(1)) ".", NULL) == 0);
	CHECK(lists(f, "ctorch._utils\n_rebuild_tensor\n(NtR.", NULL) == 0);
	/* a storage alone */
	CHECK(lists(f, F16_8 ".", "data/1") == 1);
}

static void test_wrong_tensors(struct file *f)
{
	/* beyond the storage */
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(8), I(1)) ".") == ML_OK);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(9), I(1)) ".") ==
		ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "1", I(8), I(1)) ".") ==
		ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "9", I(0), I(1)) ".") ==
		ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(2) I(8), I(8) I(1)) ".") ==
		ML_EFORMAT);
	/* beyond all numbers */
	CHECK(zip_verdict(f, TENSOR(F16_8, "900000000000000000", I(1), I(1))
		".") == ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(900000000000000000) I(99),
		I(99) I(1)) ".") == ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(900000000000000000) I(0)
		I(900000000000000000), I(1) I(1) I(1)) ".") == ML_OK);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(4294967296) I(4294967296),
		I(4294967296) I(1)) ".") == ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(2) I(4),
		I(900000000000000000) I(1)) ".") == ML_OK);
	CHECK(zip_verdict(f, TENSOR(F16_8, "-1", I(1), I(1)) ".") ==
		ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(-1), I(1)) ".") ==
		ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(1), I(-1)) ".") ==
		ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(1) I(1), I(1)) ".") ==
		ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", "N", I(1)) ".") ==
		ML_EFORMAT);
	CHECK(zip_verdict(f, TENSOR(F16_8, "0", I(1) I(1) I(1) I(1) I(1) I(1)
		I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1), I(1)
		I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1) I(1)
		I(1) I(1) I(1) I(1)) ".") == ML_EFORMAT);
}

#define ONE(n) TENSOR(STORAGE("Byte", "0", "64"), #n, I(1), I(1))

static void test_names(struct file *f)
{
	CHECK(lists(f, "}S'a'\n](" ONE(0) "(" ONE(1) "tes.", "a.0") == 2);
	CHECK(lists(f, "}S'a'\n](" ONE(0) "(" ONE(1) "tes.", "a.1.0") == 2);
	CHECK(lists(f, "}I-5\n" ONE(0) "s.", "-5") == 1);
	CHECK(lists(f, "}I01\n" ONE(0) "s.", "True") == 1);
	CHECK(lists(f, "}NNs(I1\nt" ONE(0) "s.", "1") == 1);
	CHECK(lists(f, "}S''\n" ONE(0) "s.", "") == 1);
	/* modules: what torch drops from names it drops there only */
	CHECK(lists(f, "ca\nB\n)R}S'_modules'\n}S'l'\nca\nC\n)R}S'_buffers'\n"
		"}S'b'\n" ONE(0) "ssbssb.", "l.b") == 1);
	CHECK(lists(f, "}S'_buffers'\n}S'b'\n" ONE(0) "ss.", "_buffers.b") ==
		1);
	/* arguments of what nobody knows */
	CHECK(lists(f, "ca\nB\n(" ONE(0) "tR.", "") == 1);
	CHECK(lists(f, "ca\nB\n(N" ONE(0) "tR.", "1") == 1);
	CHECK(lists(f, "cos\nsystem\n(S'true'\ntR.", NULL) == 0);
	CHECK(lists(f, "}S'x'\ncos\nsystem\n(S'true'\ntRsS'y'\n" ONE(0) "s.",
		"y") == 1);
	/* Python 2's OrderedDict, parameters, subclasses, lists of a script */
	CHECK(lists(f, "ccollections\nOrderedDict\n((](S'a'\n" ONE(0)
		"eltR.", "a") == 1);
	CHECK(lists(f, "}S'p'\nctorch._utils\n_rebuild_parameter\n(" ONE(0)
		"I00\nNtRs.", "p") == 1);
	CHECK(lists(f, "}S's'\nctorch._tensor\n_rebuild_from_type_v2\n("
		"ctorch._utils\n_rebuild_tensor_v2\nca\nB\n("
		STORAGE("Byte", "0", "64") "I0\n(I1\nt(I1\ntI00\nNt}tRs.",
		"s") == 1);
	CHECK(lists(f, "}S'l'\nctorch.jit._pickle\nrestore_type_tag\n(]"
		ONE(0) "aS'List[Tensor]'\ntRs.", "l.0") == 1);
	/* the second name of a storage is not told */
	CHECK(lists(f, "}S'a'\n" ONE(3) "sS'b'\n" ONE(3) "s.", "a") == 1);
	/* one value in two places, and in itself */
	CHECK(lists(f, "}p0\nS'a'\n" ONE(0) "p1\nsS'b'\ng1\nsS'c'\ng0\ns.",
		"a") == 1);
}

static void test_hostile(struct file *f)
{
	static char p[150000];
	size_t n = 0, i;

	/* lists of ten times the last one, a hundred deep */
	n += (size_t)sprintf(p + n, "]p0\n");
	for (i = 0; i < 100; i++)
		n += (size_t)sprintf(p + n, "](g0\ng0\ng0\ng0\ng0\ng0\ng0\n"
			"g0\ng0\ng0\nep0\n");
	strcpy(p + n, ".");
	CHECK(lists(f, p, NULL) == 0);
	/* too deep to follow */
	memset(p, '(', 50000);
	strcpy(p + 50000, ONE(0));
	n = strlen(p);
	memset(p + n, 't', 50000);
	strcpy(p + n + 50000, ".");
	CHECK(lists(f, p, "data/0") == 1);
	/* subclasses of subclasses */
	CHECK(lists(f, "ctorch._tensor\n_rebuild_from_type_v2\np0\n(g0\nN("
		"g0\nN(tttR.", NULL) == 0);
}

/* ===== files ============================================================ */

static void test_zips(struct file *f)
{
	static const char value[] = "}S'w'\n" TENSOR(F16_8, "0", I(8), I(1))
		"s.";
	struct ml_diag diag;
	struct ml_model m;
	struct zip z;
	size_t k;

	/* no data.pkl, or not where it belongs */
	for (k = 0; k < 3; k++) {
		f->n = 0;
		begin(&z, f);
		if (k)
			local(&z, k == 1 ? "a/b/data.pkl" : "xdata.pkl", "N.",
				2);
		local(&z, "x/data/1", value, 16);
		finish(&z);
		CHECK(verdict(f, "pytorch") == ML_EFORMAT);
	}
	/* without a folder; other members do not matter */
	f->n = 0;
	begin(&z, f);
	local(&z, "data.pkl", value, sizeof(value) - 1);
	local(&z, "data/1", value, 16);
	local(&z, "data/10", value, 16);
	local(&z, "version", "3\n", 2);
	local(&z, "byteorder", "little", 6);
	finish(&z);
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
	CHECK(m.container == ML_PYTORCH && tensors(&m) == 1 &&
		has(&m, "w", ML_DT_F16, 8, 0));
	ml_model_free(&m);
	/* of another byte order */
	f->n = 0;
	begin(&z, f);
	local(&z, "x/data.pkl", value, sizeof(value) - 1);
	local(&z, "x/data/1", value, 16);
	local(&z, "x/byteorder", "big", 3);
	finish(&z);
	CHECK(load(&m, f->p, f->n, "pytorch", &diag) == ML_OK);
	CHECK(tensors(&m) == 0);
	ml_model_free(&m);
	/* the constants of a script are apart */
	f->n = 0;
	begin(&z, f);
	local(&z, "x/constants/1", value, 16);
	local(&z, "x/constants.pkl", "(" F16_8 "t.", strlen("(" F16_8 "t."));
	local(&z, "x/data.pkl", value, sizeof(value) - 1);
	local(&z, "x/data/1", value, 16);
	finish(&z);
	CHECK(load(&m, f->p, f->n, "pytorch", &diag) == ML_OK);
	CHECK(tensors(&m) == 2 && find(&m, "constants/1") && find(&m, "w") &&
		find(&m, "constants/1")->off < find(&m, "w")->off);
	ml_model_free(&m);
	/* three, one after another; other bytes before them end the search */
	f->n = 0;
	for (k = 0; k < 3; k++)
		torch_zip(f, value);
	CHECK(load(&m, f->p, f->n, "pytorch", &diag) == ML_OK);
	CHECK(tensors(&m) == 3);
	ml_model_free(&m);
	memset(f->p + f->n / 3 - 22, 'x', 22);
	CHECK(load(&m, f->p, f->n, "pytorch", &diag) == ML_OK);
	CHECK(tensors(&m) == 2);
	ml_model_free(&m);
	/* as PyTorch writes them: with zip64 ends that tell where they are in
	 * a file of their own */
	slurp(f, GOLDEN "top.pt");
	k = f->n;
	put(f, f->p, k);
	put(f, f->p, k);
	CHECK(load(&m, f->p, f->n, "pytorch", &diag) == ML_OK);
	CHECK(tensors(&m) == 3);
	ml_model_free(&m);
}

static void legacy(struct file *f, const char *facts, const char *object,
	const char *keys)
{
	f->n = 0;
	put(f, "\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\2M\xe9\3.", 21);
	put(f, facts, strlen(facts));
	put(f, object, strlen(object));
	put(f, keys, strlen(keys));
}

static void test_legacy(struct file *f)
{
	static const char object[] = "}S'w'\n"
		TENSOR(STORAGE("Half", "11", "4"), "0", I(2) I(2), I(2) I(1))
		"sS'v'\n" TENSOR("(S'storage'\nctorch\nCharStorage\nS'7'\nS"
			"'cpu'\nI8\n(S'8'\nI2\nI4\nttQ", "1", I(3), I(1))
		"s.";
	static const char keys[] = "(S'11'\nS'7'\nl.";
	struct ml_diag diag;
	struct ml_model m;
	size_t i, n;

	legacy(f, "}.", object, keys);
	put64(f, 4);
	fill(f, 'h', 8);
	put64(f, 8);
	put(f, "01234567", 8);
	CHECK(load(&m, f->p, f->n, NULL, &diag) == ML_OK);
	CHECK(m.container == ML_TORCH_LEGACY && tensors(&m) == 2);
	CHECK(has(&m, "w", ML_DT_F16, 2, 2) && has(&m, "v", ML_DT_I8, 3, 0));
	CHECK(f->p[find(&m, "w")->off] == 'h' &&
		f->p[find(&m, "v")->off] == '3');
	ml_model_free(&m);
	n = f->n;
	for (i = 0; i < n; i++) {
		f->n = i;
		CHECK(verdict(f, "torch-legacy") != ML_OK);
	}
	f->n = n;
	f->p[n - 16] = 9; /* elements */
	CHECK(verdict(f, "torch-legacy") == ML_EFORMAT);
	legacy(f, "}S'little_endian'\nI00\ns.", object, keys);
	put64(f, 4);
	fill(f, 'h', 8);
	CHECK(load(&m, f->p, f->n, "torch-legacy", &diag) == ML_OK);
	CHECK(tensors(&m) == 0);
	ml_model_free(&m);
	/* a storage that nobody knows hides those behind it */
	legacy(f, "}.", object, "(S'11'\nS'5'\nS'7'\nl.");
	put64(f, 4);
	fill(f, 'h', 80);
	CHECK(load(&m, f->p, f->n, "torch-legacy", &diag) == ML_OK);
	CHECK(tensors(&m) == 1 && has(&m, "w", ML_DT_F16, 2, 2));
	ml_model_free(&m);
	legacy(f, "}.", object, "(I1\nl.");
	CHECK(verdict(f, "torch-legacy") == ML_EFORMAT);
	legacy(f, "}.", object, "}.");
	CHECK(verdict(f, "torch-legacy") == ML_EFORMAT);
	f->p[17] = 1;
	CHECK(verdict(f, "torch-legacy") != ML_OK);
	legacy(f, "}.", "(S'storage'\nctorch\nLongStorage\nS'1'\nS'cpu'\n"
		"I900000000000000000\ntQ.", "(S'1'\nl.");
	put64(f, 900000000000000000);
	CHECK(verdict(f, "torch-legacy") == ML_ETRUNC);
	/* not even the magic number */
	f->n = 0;
	put(f, "\x80\2K\1.", 5);
	CHECK(verdict(f, "torch-legacy") == ML_EFORMAT);
}

static void test_damage(struct file *f)
{
	size_t cuts, flips;

	f->n = 0;
	torch_zip(f, "}S'w'\n" TENSOR(F16_8, "0", I(8), I(1)) "s.");
	damage(f, "pytorch", &cuts, &flips);
	CHECK(cuts == 0 && flips >= 80 * 8 && flips < 8 * f->n);
}

/* ===== checkpoint folders =============================================== */

#define INDEX(name) "cm\nMetadataIndex\n)R}S'fqn'\nS'" name "'\nsb"
#define INFO(path, off, len) "cm\n_StorageInfo\n)R}(S'relative_path'\nS'" \
	path "'\nS'offset'\nI" off "\nS'length'\nI" len "\nub"
#define META(entries) "cm\nMetadata\n)R}S'storage_data'\n}(" entries "usb."

/* A folder of .metadata and of a file "a": three zips of about n bytes. */
static size_t folder(struct file *f, struct ml_set *set, struct ml_src **s,
	struct ml_model *m, const char *meta, size_t *n)
{
	static const char top[] = TENSOR(F16_8, "0", I(8), I(1)) ".";
	const size_t at = strlen(meta);
	struct ml_diag diag;

	f->n = 0;
	put(f, meta, at);
	torch_zip(f, top);
	*n = f->n - at;
	torch_zip(f, top);
	torch_zip(f, "}S'x'\n" TENSOR(F16_8, "0", I(8), I(1)) "s.");
	CHECK(ml_src_spool(s, &diag) == ML_OK);
	CHECK(ml_src_append(*s, f->p, f->n, &diag) == ML_OK);
	ml_model_init(m);
	ml_set_init(set, *s, m);
	CHECK(!ml_set_stored(set, "d/.metadata", 11, 0, at, &diag));
	CHECK(!ml_set_stored(set, "d/a", 3, at, f->n - at, &diag));
	CHECK(!ml_set_stored(set, "e", 1, at, f->n - at, &diag));
	CHECK(ml_set_finish(set, &diag) == ML_OK);
	return at;
}

static void test_folder(struct file *f)
{
	static const struct {
		const char *meta;
		unsigned n; /* tensors of the guide */
	} bad[] = {
		{"N.", 0}, {"(", 0}, {"cm\nMetadata\n)R.", 0},
		{META(""), 0}, {META("NN"), 0},
		{META(INDEX("w") INFO("b", "0", "9")), 0},
		{META(INDEX("w") INFO("../e", "0", "9")), 0},
		{META(INDEX("w") INFO(".metadata", "0", "9")), 0},
		{META(INDEX("w") INFO("a", "-1", "9")), 0},
		{META(INDEX("w") INFO("a", "0", "900000000000000000")), 0},
		{META(INDEX("w") INFO("a", "900000000000000000", "9")), 0},
		{META(INDEX("w") INFO("a", "0", "9")), 0},
	};
	struct ml_src *s;
	struct ml_model m;
	struct ml_set set;
	char meta[1024], off[3][24];
	size_t n, at, i;

	folder(f, &set, &s, &m, META(""), &n);
	ml_set_free(&set);
	ml_model_free(&m);
	ml_src_free(s);
	for (i = 0; i < 3; i++)
		snprintf(off[i], sizeof(off[i]), "%zu", i * n);
	/* two parts of one tensor, then the zip of a dict */
	snprintf(meta, sizeof(meta), META(INDEX("w") INFO("a", "0", "%s")
		INDEX("w") INFO("a", "%s", "%s") INDEX("o")
		INFO("a", "%s", "%zu")), off[1], off[1], off[1], off[2],
		f->n - strlen(META("")) - 2 * n);
	at = folder(f, &set, &s, &m, meta, &n);
	CHECK(m.nspan > 3 && has(&m, "d/a::w", ML_DT_F16, 8, 0) &&
		has(&m, "d/a::o.x", ML_DT_F16, 8, 0));
	CHECK(m.nspan > 1 && m.span[1].name_len == 6 &&
		m.span[1].off == m.span[0].off + n &&
		m.span[0].off > at && m.span[0].off < at + n);
	ml_set_free(&set);
	ml_model_free(&m);
	ml_src_free(s);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		folder(f, &set, &s, &m, bad[i].meta, &n);
		CHECK(!find(&m, "d/a::w")); /* but by its own reader */
		CHECK(find(&m, "d/a::x") && find(&m, "e::x"));
		ml_set_free(&set);
		ml_model_free(&m);
		ml_src_free(s);
	}
}

int main(void)
{
	struct file *f = malloc(sizeof(*f));

	CHECK(f != NULL);
	if (!f)
		return 1;
	test_golden(f);
	test_tensors(f);
	test_wrong_tensors(f);
	test_names(f);
	test_hostile(f);
	test_zips(f);
	test_legacy(f);
	test_damage(f);
	test_folder(f);
	free(f);
	return 0;
}
