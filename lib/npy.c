/* SPDX-License-Identifier: MIT */
/*
 * NumPy's .npy, versions 1.0, 2.0 and 3.0: a header that is a literal of
 * Python, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}, and one
 * array. The format is described in numpy/lib/format.py.
 *
 * Of the literal no more is understood than numpy writes. An array whose type
 * has no number here (structures, objects, text, big-endian ones) is stepped
 * over as opaque.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "ml.h"

#define MAGIC "\x93NUMPY"
#define MAGIC_LEN 6
#define HEADER_MAX 65535 /* the longest of version 1; numpy reads 10000 */

struct cursor {
	const char *p;
	size_t n, at;
	uint64_t off; /* of p in the file */
	struct ml_diag *diag;
};

struct header {
	const struct ml_dtype_info *type; /* NULL: has none here */
	unsigned rank;
	uint64_t shape[ML_RANK_MAX];
	int descr, order, dims; /* how often each was seen */
};

static int bad(const struct cursor *c, const char *what)
{
	return ml_fail(c->diag, ML_EFORMAT, c->off + c->at,
		"header of the array: %s", what);
}

/* The next character but blanks, 0 at the end. */
static char peek(struct cursor *c)
{
	while (c->at < c->n && (c->p[c->at] == ' ' || c->p[c->at] == '\n'))
		c->at++;
	return c->at < c->n ? c->p[c->at] : '\0';
}

static int accept(struct cursor *c, char ch)
{
	if (peek(c) != ch)
		return 0;
	c->at++;
	return 1;
}

static int accept_word(struct cursor *c, const char *word)
{
	const size_t n = strlen(word);

	peek(c);
	if (c->n - c->at < n || memcmp(c->p + c->at, word, n) != 0)
		return 0;
	c->at += n;
	return 1;
}

/* Text in quotes as it stands, escapes and all. */
static int text(struct cursor *c, const char **s, size_t *n)
{
	const char quote = peek(c);
	size_t i;

	if (quote != '\'' && quote != '"')
		return bad(c, "no text where one should be");
	for (i = c->at + 1; i < c->n && c->p[i] != quote; i++)
		if (c->p[i] == '\\')
			i++;
	if (i >= c->n)
		return bad(c, "a text without an end");
	*s = c->p + c->at + 1;
	*n = i - c->at - 1;
	c->at = i + 1;
	return ML_OK;
}

/* The type of an array. V2 is what numpy makes of the bfloat16 of ml_dtypes,
 * and f1 of its float8_e5m2; the other types of one byte there share V1. */
static const struct ml_dtype_info *element(const char *s, size_t n)
{
	static const struct {
		char name[4];
		uint16_t dtype;
	} types[] = {
		{"b1", ML_DT_BOOL}, {"i1", ML_DT_I8}, {"u1", ML_DT_U8},
		{"i2", ML_DT_I16}, {"u2", ML_DT_U16}, {"i4", ML_DT_I32},
		{"u4", ML_DT_U32}, {"i8", ML_DT_I64}, {"u8", ML_DT_U64},
		{"f1", ML_DT_F8_E5M2}, {"f2", ML_DT_F16}, {"f4", ML_DT_F32},
		{"f8", ML_DT_F64}, {"c8", ML_DT_C64}, {"c16", ML_DT_C128},
		{"V2", ML_DT_BF16},
	};
	size_t i;

	if (n < 1 || (s[0] != '<' && s[0] != '|'))
		return NULL;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strlen(types[i].name) == n - 1 &&
			memcmp(types[i].name, s + 1, n - 1) == 0)
			return ml_dtype_find(types[i].dtype);
	return NULL;
}

/* Steps over a list, as which structures are described. */
static int skip_list(struct cursor *c)
{
	const char *s;
	size_t n, depth = 0;
	int err;

	do {
		switch (peek(c)) {
		case '\0':
			return bad(c, "a list without an end");
		case '[':
		case '(':
		case '{':
			depth++;
			break;
		case ']':
		case ')':
		case '}':
			depth--;
			break;
		case '\'':
		case '"':
			err = text(c, &s, &n);
			if (err)
				return err;
			continue;
		default:
			break;
		}
		c->at++;
	} while (depth > 0);
	return ML_OK;
}

static int descr(struct cursor *c, struct header *h)
{
	const char *s;
	size_t n;
	int err;

	if (peek(c) == '[' || peek(c) == '(')
		return skip_list(c);
	err = text(c, &s, &n);
	if (!err)
		h->type = element(s, n);
	return err;
}

static int number(struct cursor *c, uint64_t *v)
{
	if (peek(c) < '0' || peek(c) > '9')
		return bad(c, "a shape that is none");
	for (*v = 0; c->at < c->n; c->at++) {
		const char ch = c->p[c->at];

		if (ch < '0' || ch > '9')
			break;
		if (!ml_mul_ok(*v, 10, v) ||
			!ml_add_ok(*v, (uint64_t)(ch - '0'), v))
			return bad(c, "a dimension beyond 64 bits");
	}
	if (c->at < c->n && c->p[c->at] == 'L') /* of Python 2 */
		c->at++;
	return ML_OK;
}

static int shape(struct cursor *c, struct header *h)
{
	int err;

	if (!accept(c, '('))
		return bad(c, "a shape that is none");
	while (!accept(c, ')')) {
		if (h->rank == ML_RANK_MAX)
			return ml_fail(c->diag, ML_ELIMIT, c->off + c->at,
				"array of more than %d dimensions",
				ML_RANK_MAX);
		err = number(c, &h->shape[h->rank]);
		if (err)
			return err;
		h->rank++;
		if (!accept(c, ',') && (h->rank < 2 || peek(c) != ')'))
			return bad(c, "a shape that is none");
	}
	return ML_OK;
}

static int is(const char *s, size_t n, const char *key)
{
	return strlen(key) == n && memcmp(s, key, n) == 0;
}

static int pair(struct cursor *c, struct header *h)
{
	const char *key;
	size_t n;
	int err = text(c, &key, &n);

	if (err)
		return err;
	if (!accept(c, ':'))
		return bad(c, "a key without a value");
	if (is(key, n, "descr")) {
		h->descr++;
		return descr(c, h);
	}
	if (is(key, n, "shape")) {
		if (h->dims++)
			return bad(c, "two shapes");
		return shape(c, h);
	}
	if (!is(key, n, "fortran_order"))
		return bad(c, "an unknown key");
	h->order++;
	if (!accept_word(c, "True") && !accept_word(c, "False"))
		return bad(c, "an order that is none");
	return ML_OK;
}

static int parse(struct cursor *c, struct header *h)
{
	int err = ML_OK;

	memset(h, 0, sizeof(*h));
	if (!accept(c, '{'))
		return bad(c, "no dictionary");
	while (!err && !accept(c, '}')) {
		err = pair(c, h);
		if (!err && !accept(c, ',') && peek(c) != '}')
			err = bad(c, "pairs without a comma");
	}
	if (!err && (peek(c) != '\0' || c->at < c->n))
		err = bad(c, "something behind the dictionary");
	if (!err && (h->descr != 1 || h->order != 1 || h->dims != 1))
		err = bad(c, "not each of its three keys once");
	return err;
}

/* Bytes of the array; an empty one may have any other dimensions. */
static int length(const struct header *h, uint64_t *len)
{
	unsigned i;

	*len = h->type->block_bytes;
	for (i = 0; i < h->rank; i++)
		if (h->shape[i] == 0)
			*len = 0;
	for (i = 0; *len > 0 && i < h->rank; i++)
		if (!ml_mul_ok(*len, h->shape[i], len))
			return 0;
	return 1;
}

/* Adds the array that the n bytes at c->off describe. */
static int array(struct cursor *c, struct ml_src *s, struct ml_model *m)
{
	const uint64_t at = c->off + c->n;
	struct header h;
	uint64_t len;
	int err = parse(c, &h);

	if (err || !h.type)
		return err;
	if (!length(&h, &len) || len > ml_src_size(s) - at)
		return ml_fail(c->diag, ML_EFORMAT, at,
			"the array ends beyond the file's %llu bytes",
			(unsigned long long)ml_src_size(s));
	return ml_model_add(m, "", 0, h.type->id, h.rank,
		h.rank > 0 ? h.shape : NULL, at, len, c->diag);
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	struct cursor c = {.diag = diag};
	uint8_t b[12];
	char *lit;
	uint32_t n;
	int err;

	err = ml_src_read(s, 0, b, 10, diag);
	if (err)
		return err;
	if (memcmp(b, MAGIC, MAGIC_LEN) != 0)
		return ml_fail(diag, ML_EFORMAT, 0, "no .npy magic number");
	if (b[6] < 1 || b[6] > 3 || b[7] != 0)
		return ml_fail(diag, ML_EVERSION, 6,
			".npy of unknown version %u.%u", b[6], b[7]);
	c.off = b[6] == 1 ? 10 : 12;
	err = ml_src_read(s, 0, b, (size_t)c.off, diag);
	if (err)
		return err;
	n = b[6] == 1 ? ml_load16(b + 8) : ml_load32(b + 8);
	if (n > ml_src_size(s) - c.off)
		return ml_fail(diag, ML_ETRUNC, 8,
			"the file ends in the header of the array");
	if (n > HEADER_MAX)
		return ml_fail(diag, ML_ELIMIT, 8,
			"header of %u bytes, more than %d", (unsigned)n,
			HEADER_MAX);
	lit = malloc((size_t)n + 1);
	if (!lit)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	err = ml_src_read(s, c.off, lit, n, diag);
	c.p = lit;
	c.n = n;
	if (!err)
		err = array(&c, s, m);
	free(lit);
	return err;
}

static int probe(const uint8_t *head, size_t n)
{
	return n >= MAGIC_LEN && memcmp(head, MAGIC, MAGIC_LEN) == 0;
}

const struct ml_reader ml_reader_npy = {
	ML_NPY, "npy", probe, walk,
};
