/* SPDX-License-Identifier: MIT */
/* The pickle machine: each opcode, what it refuses, and pickles that would
 * hurt whoever believed them. */
#include "build.h"
#include "pickle.h"

static int read_at(struct ml_pickle *p, const void *b, size_t n, uint64_t off,
	uint64_t end)
{
	struct ml_diag diag = {0};
	struct ml_src *s;
	int err;

	memset(p, 0, sizeof(*p));
	if (ml_src_spool(&s, &diag) != ML_OK)
		return ML_EIO;
	err = ml_src_append(s, b, n, &diag);
	if (!err)
		err = ml_pickle_read(p, s, off, end, &diag);
	ml_src_free(s);
	CHECK((err == ML_OK) == (diag.why[0] == '\0'));
	return err;
}

/* Of a literal, which has a NUL at its end. */
#define READ(p, s) read_at(p, s, sizeof(s) - 1, 0, sizeof(s) - 1)

static int says(const void *b, size_t n)
{
	struct ml_pickle p;
	int err = read_at(&p, b, n, 0, n);

	ml_pickle_free(&p);
	return err;
}

#define SAYS(s) says(s, sizeof(s) - 1)

static const struct ml_pk_node *root(const struct ml_pickle *p)
{
	return &p->node[p->root];
}

/* A pickle of one value, without items. */
#define VALUE(s, want, test) \
	do { \
		struct ml_pickle p; \
		const struct ml_pk_node *n; \
		CHECK(READ(&p, s) == ML_OK); \
		n = p.node ? root(&p) : NULL; \
		CHECK(n && n->kind == (want) && (test)); \
		CHECK(p.len == sizeof(s) - 1); \
		ml_pickle_free(&p); \
	} while (0)

static void test_values(void)
{
	VALUE("N.", ML_PK_NONE, 1);
	VALUE("\x88.", ML_PK_BOOL, n->u.i == 1);
	VALUE("\x89.", ML_PK_BOOL, n->u.i == 0);
	VALUE("I01\n.", ML_PK_BOOL, n->u.i == 1);
	VALUE("I00\n.", ML_PK_BOOL, n->u.i == 0);
	VALUE("I-12\n.", ML_PK_INT, n->u.i == -12);
	VALUE("L123L\n.", ML_PK_INT, n->u.i == 123);
	VALUE("L999999999999999999L\n.", ML_PK_INT,
		n->u.i == 999999999999999999);
	VALUE("L1234567890123456789L\n.", ML_PK_OTHER, 1);
	VALUE("J\xfe\xff\xff\xff.", ML_PK_INT, n->u.i == -2);
	VALUE("K\xff.", ML_PK_INT, n->u.i == 255);
	VALUE("M\xff\xff.", ML_PK_INT, n->u.i == 65535);
	VALUE("\x8a\0.", ML_PK_INT, n->u.i == 0);
	VALUE("\x8a\1\xff.", ML_PK_INT, n->u.i == -1);
	VALUE("\x8a\2\0\x80.", ML_PK_INT, n->u.i == -32768);
	VALUE("\x8b\1\0\0\0\x7f.", ML_PK_INT, n->u.i == 127);
	VALUE("\x8a\x8\0\0\0\0\0\0\0\x80.", ML_PK_INT, n->u.i == INT64_MIN);
	VALUE("\x8a\x9" "123456789.", ML_PK_LONG, n->u.text.n == 9 &&
		memcmp(p.text + n->u.text.at, "123456789", 9) == 0);
	VALUE("F1.5\n.", ML_PK_OTHER, 1);
	VALUE("G12345678.", ML_PK_OTHER, 1);
	VALUE("S'ab'\n.", ML_PK_TEXT, ml_pk_is(&p, p.root, "ab"));
	VALUE("Vab\n.", ML_PK_TEXT, ml_pk_is(&p, p.root, "ab"));
	VALUE("T\2\0\0\0ab.", ML_PK_TEXT, ml_pk_is(&p, p.root, "ab"));
	VALUE("U\2ab.", ML_PK_TEXT, ml_pk_is(&p, p.root, "ab"));
	VALUE("X\2\0\0\0ab.", ML_PK_TEXT, ml_pk_is(&p, p.root, "ab"));
	VALUE("\x8c\0.", ML_PK_TEXT, ml_pk_is(&p, p.root, ""));
	VALUE("\x8d\2\0\0\0\0\0\0\0ab.", ML_PK_TEXT,
		ml_pk_is(&p, p.root, "ab") && !ml_pk_is(&p, p.root, "abc") &&
		!ml_pk_is(&p, p.root, "a"));
	VALUE("C\2ab.", ML_PK_OTHER, 1);
	VALUE("B\2\0\0\0ab.", ML_PK_OTHER, 1);
	VALUE("\x8e\2\0\0\0\0\0\0\0ab.", ML_PK_OTHER, 1);
	VALUE("\x96\2\0\0\0\0\0\0\0ab.", ML_PK_OTHER, 1);
	VALUE("\x80\5\x95\2\0\0\0\0\0\0\0N.", ML_PK_NONE, 1);
	VALUE("cos\nsystem\n.", ML_PK_GLOBAL,
		ml_pk_is_global(&p, p.root, "os", "system") &&
		!ml_pk_is_global(&p, p.root, "os", "open") &&
		!ml_pk_is_global(&p, 0, "os", "system"));
	VALUE("U\2osU\6system\x93.", ML_PK_GLOBAL,
		ml_pk_is_global(&p, p.root, "os", "system"));
	VALUE("K\1Q.", ML_PK_PERSID, p.node[n->u.of.args].u.i == 1);
	VALUE("Pab\n.", ML_PK_PERSID, ml_pk_is(&p, n->u.of.args, "ab"));
}

/* The ints in the first items of the root must be 1, 2, 3... */
static size_t counted(const struct ml_pickle *p)
{
	uint32_t item[8];
	size_t i, n = ml_pk_items(p, p->root, item, 8);

	for (i = 0; i < n && i < 8; i++)
		if (p->node[item[i]].kind != ML_PK_INT ||
			p->node[item[i]].u.i != (int64_t)i + 1)
			return 1000;
	return n;
}

static void test_containers(void)
{
	VALUE(").", ML_PK_TUPLE, counted(&p) == 0);
	VALUE("(t.", ML_PK_TUPLE, counted(&p) == 0);
	VALUE("(K\1K\2K\3K\4t.", ML_PK_TUPLE, counted(&p) == 4);
	VALUE("K\1\x85.", ML_PK_TUPLE, counted(&p) == 1);
	VALUE("K\1K\2\x86.", ML_PK_TUPLE, counted(&p) == 2);
	VALUE("K\1K\2K\3\x87.", ML_PK_TUPLE, counted(&p) == 3);
	VALUE("].", ML_PK_LIST, counted(&p) == 0);
	VALUE("(K\1K\2l.", ML_PK_LIST, counted(&p) == 2);
	VALUE("]K\1aK\2a(K\3K\4e(e.", ML_PK_LIST, counted(&p) == 4);
	VALUE("\x8f(K\1K\2\x90.", ML_PK_SET, counted(&p) == 2);
	VALUE("(K\1K\2\x91.", ML_PK_SET, counted(&p) == 2);
	VALUE("}K\1K\2s(K\3K\4u.", ML_PK_DICT,
		counted(&p) == 4 && n->pairs);
	VALUE("(K\1K\2d.", ML_PK_DICT, counted(&p) == 2);
	VALUE("(K\1(K\2K\3K\0001K\2t.", ML_PK_TUPLE, counted(&p) == 2);
	VALUE("K\1(02\x86.", ML_PK_TUPLE, ml_pk_items(&p, p.root, NULL, 0) ==
		2);
	VALUE("(U\1aK\5U\1bK\6d.", ML_PK_DICT,
		p.node[ml_pk_attr(&p, p.root, "b")].u.i == 6 &&
		ml_pk_attr(&p, p.root, "c") == ML_PK_NIL);
	/* objects */
	VALUE("ca\nb\nK\1\x85R.", ML_PK_OBJECT,
		ml_pk_is_global(&p, n->u.of.fn, "a", "b") &&
		p.node[n->u.of.args].u.of.count == 1 && !n->u.of.state);
	VALUE("ca\nb\n)\x81}U\1xK\7sb.", ML_PK_OBJECT,
		p.node[ml_pk_attr(&p, p.root, "x")].u.i == 7);
	VALUE("ca\nb\n)}\x92.", ML_PK_OBJECT, n->u.of.fn && n->u.of.args);
	VALUE("(ca\nb\nK\1K\2o.", ML_PK_OBJECT,
		ml_pk_is_global(&p, n->u.of.fn, "a", "b") &&
		p.node[n->u.of.args].u.of.count == 2 &&
		p.item[p.node[n->u.of.args].first - 1].next ==
			p.node[n->u.of.args].last);
	VALUE("(ca\nb\no.", ML_PK_OBJECT,
		p.node[n->u.of.args].u.of.count == 0 &&
		ml_pk_items(&p, n->u.of.args, NULL, 0) == 0);
	VALUE("(K\1ia\nb\n.", ML_PK_OBJECT,
		ml_pk_is_global(&p, n->u.of.fn, "a", "b") &&
		p.node[n->u.of.args].u.of.count == 1);
	VALUE("ca\nb\n)R(K\1K\2u.", ML_PK_OBJECT, n->pairs &&
		counted(&p) == 2);
	VALUE("ca\nb\n)RK\1a(K\2e.", ML_PK_OBJECT, !n->pairs &&
		counted(&p) == 2);
	/* the memo */
	VALUE("K\1q\0K\2q\1h\0h\1\x86.", ML_PK_TUPLE, counted(&p) == 2);
	VALUE("K\1r\0\0\0\0j\0\0\0\0K\2\x86.", ML_PK_TUPLE,
		counted(&p) == 2);
	VALUE("K\1p0\n0g0\nK\2\x86.", ML_PK_TUPLE, counted(&p) == 2);
	VALUE("K\1\x94K\2\x94" "00h\0h\1\x86.", ML_PK_TUPLE,
		counted(&p) == 2);
	VALUE("]q\0h\0a.", ML_PK_LIST, p.item[0].node == p.root);
}

static void test_wrong(void)
{
	CHECK(SAYS("") == ML_ETRUNC);
	CHECK(SAYS(".") == ML_EFORMAT);
	CHECK(SAYS("(.") == ML_EFORMAT);
	CHECK(SAYS("\x80\6N.") == ML_EVERSION);
	CHECK(SAYS("\x97.") == ML_EFORMAT); /* NEXT_BUFFER */
	CHECK(SAYS("\x82\1.") == ML_EFORMAT); /* EXT1 */
	CHECK(SAYS("\xff.") == ML_EFORMAT);
	/* of an empty stack, or of a mark */
	CHECK(SAYS("0.") == ML_EFORMAT && SAYS("1.") == ML_EFORMAT);
	CHECK(SAYS("2.") == ML_EFORMAT && SAYS("(2.") == ML_EFORMAT);
	CHECK(SAYS("t.") == ML_EFORMAT && SAYS("\x85.") == ML_EFORMAT);
	CHECK(SAYS("N\x86.") == ML_EFORMAT && SAYS("N(N\x87.") == ML_EFORMAT);
	CHECK(SAYS("Na.") == ML_EFORMAT && SAYS("](a.") == ML_EFORMAT);
	CHECK(SAYS("e.") == ML_EFORMAT && SAYS("(e.") == ML_EFORMAT);
	CHECK(SAYS("((e.") == ML_EFORMAT && SAYS("}NNNs.") == ML_EFORMAT);
	CHECK(SAYS("R.") == ML_EFORMAT && SAYS("NR.") == ML_EFORMAT);
	CHECK(SAYS("(NR.") == ML_EFORMAT && SAYS("N\x92.") == ML_EFORMAT);
	CHECK(SAYS("(o.") == ML_EFORMAT && SAYS("o.") == ML_EFORMAT);
	CHECK(SAYS("ia\nb\n.") == ML_EFORMAT);
	CHECK(SAYS("b.") == ML_EFORMAT && SAYS("Nb.") == ML_EFORMAT);
	CHECK(SAYS("Q.") == ML_EFORMAT && SAYS("U\1a\x93.") == ML_EFORMAT);
	/* of the wrong kind */
	CHECK(SAYS("NNb.") == ML_EFORMAT && SAYS("NNa.") == ML_EFORMAT);
	CHECK(SAYS(")Na.") == ML_EFORMAT && SAYS("}Na.") == ML_EFORMAT);
	CHECK(SAYS("]NNs.") == ML_EFORMAT && SAYS("](NNu.") == ML_EFORMAT);
	CHECK(SAYS("}(Nu.") == ML_EFORMAT && SAYS("(Nd.") == ML_EFORMAT);
	CHECK(SAYS("ca\nb\n)RNaNNs.") == ML_EFORMAT);
	CHECK(SAYS("NN\x93.") == ML_EFORMAT);
	CHECK(SAYS("I\n.") == ML_EFORMAT && SAYS("I1x\n.") == ML_EFORMAT);
	CHECK(SAYS("L-\n.") == ML_EFORMAT && SAYS("I--1\n.") == ML_EFORMAT);
	/* the memo */
	CHECK(SAYS("q\0.") == ML_EFORMAT && SAYS("(q\0.") == ML_EFORMAT);
	CHECK(SAYS("h\0.") == ML_EFORMAT && SAYS("Nq\0h\1.") == ML_EFORMAT);
	CHECK(SAYS("Nr\xff\xff\xff\xff.") == ML_EFORMAT);
	CHECK(SAYS("Nj\xff\xff\xff\xff.") == ML_EFORMAT);
	CHECK(SAYS("Np99999999\n.") == ML_EFORMAT);
	CHECK(SAYS("Np-1\n.") == ML_EFORMAT && SAYS("Ng\n.") == ML_EFORMAT);
	CHECK(SAYS("Np9999999999999999999\n.") == ML_EFORMAT);
	/* lengths beyond the end */
	CHECK(SAYS("T\xff\xff\xff\xff.") == ML_ETRUNC);
	CHECK(SAYS("U\1a.") == ML_OK && SAYS("U\3a.") == ML_ETRUNC);
	CHECK(SAYS("\x8d\xff\xff\xff\xff\xff\xff\xff\xff.") == ML_ETRUNC);
	CHECK(SAYS("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.") == ML_ETRUNC);
	CHECK(SAYS("\x8b\xff\xff\xff\xff.") == ML_ETRUNC);
	CHECK(SAYS("\x8a\xff.") == ML_ETRUNC);
}

/* A pickle ends where it says, or where it must. */
static void test_range(void)
{
	static const char two[] = "xK\1.K\2.";
	struct ml_pickle p;

	CHECK(read_at(&p, two, 7, 1, 7) == ML_OK && p.len == 3 &&
		root(&p)->u.i == 1);
	ml_pickle_free(&p);
	CHECK(read_at(&p, two, 7, 4, 7) == ML_OK && p.len == 3 &&
		root(&p)->u.i == 2);
	ml_pickle_free(&p);
	CHECK(read_at(&p, two, 7, 4, 6) == ML_ETRUNC);
	ml_pickle_free(&p);
	CHECK(read_at(&p, two, 7, 7, 7) == ML_ETRUNC);
	ml_pickle_free(&p);
}

/* A long text is stepped over, a long line refused. */
static void test_long(struct file *f)
{
	struct ml_pickle p;
	unsigned n;

	for (n = ML_NAME_MAX; n <= ML_NAME_MAX + 1; n++) {
		f->n = 0;
		put(f, "X", 1);
		put32(f, n);
		fill(f, 'a', n);
		put(f, ".", 1);
		CHECK(read_at(&p, f->p, f->n, 0, f->n) == ML_OK);
		CHECK(root(&p)->kind == (n > ML_NAME_MAX ? ML_PK_OTHER :
			ML_PK_TEXT));
		ml_pickle_free(&p);
		f->n = 0;
		put(f, "V", 1);
		fill(f, 'a', n);
		put(f, "\n.", 2);
		CHECK(says(f->p, f->n) ==
			(n > ML_NAME_MAX ? ML_ELIMIT : ML_OK));
	}
}

/* What is small in the file stays small: nested without end, shared over and
 * over, and marks. */
static void test_bombs(struct file *f)
{
	struct ml_pickle p;
	unsigned i;

	f->n = 0;
	put(f, "]", 1); /* lists of ten times the last one */
	for (i = 0; i < 100; i++)
		put(f, "q\0000](h\0h\0h\0h\0h\0h\0h\0h\0h\0h\0e", 26);
	put(f, ".", 1);
	CHECK(read_at(&p, f->p, f->n, 0, f->n) == ML_OK);
	CHECK(p.nodes < f->n && p.items < f->n);
	ml_pickle_free(&p);
	f->n = 0;
	fill(f, ']', 100000);
	fill(f, 'a', 99999);
	put(f, ".", 1);
	CHECK(says(f->p, f->n) == ML_OK);
	f->n = 0;
	fill(f, '(', 50000);
	fill(f, 't', 50000);
	put(f, ".", 1);
	CHECK(says(f->p, f->n) == ML_OK);
	f->p[f->n - 1] = 't';
	put(f, ".", 1);
	CHECK(says(f->p, f->n) == ML_EFORMAT);
}

/* Every truncation and every other byte ends in a verdict. */
static void test_damage(void)
{
	static const char s[] = "\x80\2}q\0(X\1\0\0\0aq\1ctorch\nx\nq\2(K\1"
		"M\2\1J\1\2\3\4\x8a\1\5U\1bNtq\3Rq\4}U\1cK\1sbh\1](K\1"
		"F1\nh\4eI2\nPx\n\x94u.";
	char t[sizeof(s)];
	size_t i;
	unsigned c;

	CHECK(says(s, sizeof(s) - 1) == ML_OK);
	for (i = 0; i < sizeof(s) - 1; i++)
		CHECK(says(s, i) != ML_OK);
	memcpy(t, s, sizeof(s));
	for (i = 0; i < sizeof(s) - 1; i++) {
		for (c = 0; c < 256; c += 3) {
			t[i] = (char)c;
			(void)says(t, sizeof(s) - 1);
		}
		t[i] = s[i];
	}
}

int main(void)
{
	struct file *f = malloc(sizeof(*f));

	CHECK(f != NULL);
	if (!f)
		return 1;
	test_values();
	test_containers();
	test_wrong();
	test_range();
	test_long(f);
	test_bombs(f);
	test_damage();
	free(f);
	return 0;
}
