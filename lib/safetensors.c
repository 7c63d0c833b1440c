/* SPDX-License-Identifier: MIT */
/*
 * safetensors: a length n, a JSON object of n bytes that says what lies where
 * in the rest of the file, and that rest. The format is described in the
 * README of https://github.com/huggingface/safetensors.
 *
 * The header is parsed as it streams by and is never held in memory. A tree
 * as json-c makes it would be many times the header's 100 MB, end a name at its
 * first NUL, and drop all but the last of equal keys.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "ml.h"

#define LEN_BYTES 8
#define HEADER_MAX 100000000u /* as in the reference implementation */
#define DEPTH_MAX 8 /* nesting of values that are skipped */
#define WINDOW 4096
#define WORD_MAX 16 /* longer than any key or type known here */
#define SHOWN 64 /* bytes of a name in a message */

#define AT_END (-1) /* from peek(); errors are below it */

struct json {
	struct ml_src *s;
	struct ml_diag *diag;
	uint64_t off; /* of win[0] in the file */
	uint64_t end; /* of the header */
	size_t pos, have; /* in win */
	uint8_t win[WINDOW];
};

struct word {
	char text[WORD_MAX];
	size_t n; /* may be more than WORD_MAX, which then was cut */
};

struct entry {
	struct word type;
	uint64_t shape[ML_RANK_MAX];
	unsigned rank;
	uint64_t begin, end;
};

struct state {
	struct json j;
	struct entry e;
	size_t name_len;
	char name[ML_NAME_MAX];
};

static const struct type {
	const char *name;
	uint16_t dtype, bits;
} types[] = {
	{"BOOL", ML_DT_BOOL, 8},
	{"U8", ML_DT_U8, 8},
	{"I8", ML_DT_I8, 8},
	{"U16", ML_DT_U16, 16},
	{"I16", ML_DT_I16, 16},
	{"U32", ML_DT_U32, 32},
	{"I32", ML_DT_I32, 32},
	{"U64", ML_DT_U64, 64},
	{"I64", ML_DT_I64, 64},
	{"F16", ML_DT_F16, 16},
	{"BF16", ML_DT_BF16, 16},
	{"F32", ML_DT_F32, 32},
	{"F64", ML_DT_F64, 64},
	{"C64", ML_DT_C64, 64},
	{"F8_E4M3", ML_DT_F8_E4M3, 8},
	{"F8_E5M2", ML_DT_F8_E5M2, 8},
	{"F8_E8M0", ML_DT_F8_E8M0, 8},
	{"F8_E4M3FNUZ", ML_DT_F8_E4M3FNUZ, 8},
	{"F8_E5M2FNUZ", ML_DT_F8_E5M2FNUZ, 8},
	{"F4", ML_DT_F4_E2M1, 4},
	{"F6_E2M3", ML_DT_OPAQUE, 6},
	{"F6_E3M2", ML_DT_OPAQUE, 6},
};

/* ===== JSON ============================================================= */

static uint64_t where(const struct json *j)
{
	return j->off + j->pos;
}

/* The next byte, AT_END, or an error. */
static int peek(struct json *j)
{
	size_t n = WINDOW;
	int r;

	if (j->pos < j->have)
		return j->win[j->pos];
	j->off += j->have;
	j->pos = j->have = 0;
	if (j->end - j->off < n)
		n = (size_t)(j->end - j->off);
	if (n == 0)
		return AT_END;
	r = ml_src_read(j->s, j->off, j->win, n, j->diag);
	if (r != ML_OK)
		return r;
	j->have = n;
	return j->win[0];
}

/* peek() after white space. */
static int peek_on(struct json *j)
{
	int c;

	while ((c = peek(j)) == ' ' || c == '\n' || c == '\r' || c == '\t')
		j->pos++;
	return c;
}

/* Refuses c, which peek() gave. */
static int bad(struct json *j, int c, const char *want)
{
	if (c < AT_END)
		return c;
	return ml_fail(j->diag, ML_EFORMAT, where(j),
		c == AT_END ? "header ends where %s should be"
			    : "header has something else where %s should be",
		want);
}

static int expect(struct json *j, int c, const char *want)
{
	int got = peek_on(j);

	if (got != c)
		return bad(j, got, want);
	j->pos++;
	return ML_OK;
}

/* Steps to the next item of an array or object whose bracket was read: 1, 0
 * after the closing bracket, or an error. *seen starts at 0. */
static int next(struct json *j, int close, int *seen)
{
	int c = peek_on(j);

	if (c == close) {
		j->pos++;
		return 0;
	}
	if (*seen) {
		if (c != ',')
			return bad(j, c, "a comma or bracket");
		j->pos++;
	}
	*seen = 1;
	return 1;
}

static int hex4(struct json *j, uint32_t *out)
{
	uint32_t v = 0;
	int i, c;

	for (i = 0; i < 4; i++) {
		c = peek(j);
		if (c >= '0' && c <= '9')
			c -= '0';
		else if (c >= 'a' && c <= 'f')
			c -= 'a' - 10;
		else if (c >= 'A' && c <= 'F')
			c -= 'A' - 10;
		else
			return bad(j, c, "a hexadecimal digit");
		v = v << 4 | (uint32_t)c;
		j->pos++;
	}
	*out = v;
	return ML_OK;
}

/* The code point of \uXXXX or \uXXXX\uXXXX after its "\u", as UTF-8; returns
 * the number of bytes or an error. */
static int unicode(struct json *j, char utf8[4])
{
	uint32_t v, low;
	int r, c;

	if ((r = hex4(j, &v)) != ML_OK)
		return r;
	if (v >= 0xd800 && v < 0xe000) {
		if (v >= 0xdc00)
			return bad(j, 0, "a leading surrogate");
		if ((c = peek(j)) != '\\')
			return bad(j, c, "a trailing surrogate");
		j->pos++;
		if ((c = peek(j)) != 'u')
			return bad(j, c, "a trailing surrogate");
		j->pos++;
		if ((r = hex4(j, &low)) != ML_OK)
			return r;
		if (low < 0xdc00 || low >= 0xe000)
			return bad(j, 0, "a trailing surrogate");
		v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
	}
	if (v < 0x80) {
		utf8[0] = (char)v;
		return 1;
	}
	if (v < 0x800) {
		utf8[0] = (char)(0xc0 | v >> 6);
		utf8[1] = (char)(0x80 | (v & 0x3f));
		return 2;
	}
	if (v < 0x10000) {
		utf8[0] = (char)(0xe0 | v >> 12);
		utf8[1] = (char)(0x80 | (v >> 6 & 0x3f));
		utf8[2] = (char)(0x80 | (v & 0x3f));
		return 3;
	}
	utf8[0] = (char)(0xf0 | v >> 18);
	utf8[1] = (char)(0x80 | (v >> 12 & 0x3f));
	utf8[2] = (char)(0x80 | (v >> 6 & 0x3f));
	utf8[3] = (char)(0x80 | (v & 0x3f));
	return 4;
}

/* The character of an escape after its backslash, as unicode(). */
static int escape(struct json *j, char utf8[4])
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p;
	int c = peek(j);

	if (c <= 0)
		return bad(j, c, "an escape");
	j->pos++;
	if (c == 'u')
		return unicode(j, utf8);
	p = strchr(from, c);
	if (p == NULL)
		return bad(j, c, "an escape");
	utf8[0] = to[p - from];
	return 1;
}

/* A string, decoded into text[0..cap). *len is its whole length, even when
 * that is more than cap. Bytes from 0x80 are taken as they come. */
static int string(struct json *j, char *text, size_t cap, size_t *len)
{
	size_t n = 0;
	char utf8[4];
	int r, c, i, m;

	if ((r = expect(j, '"', "a string")) != ML_OK)
		return r;
	while ((c = peek(j)) != '"') {
		if (c < ' ')
			return bad(j, c, "the rest of a string");
		j->pos++;
		utf8[0] = (char)c;
		m = c == '\\' ? escape(j, utf8) : 1;
		if (m < 0)
			return m;
		for (i = 0; i < m; i++, n++)
			if (n < cap)
				text[n] = utf8[i];
	}
	j->pos++;
	*len = n;
	return ML_OK;
}

static int word(struct json *j, struct word *w)
{
	return string(j, w->text, sizeof(w->text), &w->n);
}

static int word_is(const struct word *w, const char *text)
{
	return w->n == strlen(text) && memcmp(w->text, text, w->n) == 0;
}

/* An unsigned integer without fraction and exponent. */
static int number(struct json *j, uint64_t *out)
{
	uint64_t v = 0;
	int c = peek_on(j), digits;

	for (digits = 0; c >= '0' && c <= '9'; digits++) {
		if (digits == 1 && v == 0)
			return bad(j, c, "a number without leading zeros");
		if (!ml_mul_ok(v, 10, &v) ||
			!ml_add_ok(v, (uint64_t)(c - '0'), &v))
			return ml_fail(j->diag, ML_EFORMAT, where(j),
				"number in the header is beyond 64 bits");
		j->pos++;
		c = peek(j);
	}
	if (digits == 0)
		return bad(j, c, "an unsigned integer");
	*out = v;
	return ML_OK;
}

/* Passes over any value. Numbers and bare words are not judged: nothing
 * depends on them. */
static int skip(struct json *j, unsigned depth)
{
	int c = peek_on(j), close, r, n = 0, seen = 0;
	size_t len;

	if (c == '"')
		return string(j, NULL, 0, &len);
	if (c != '{' && c != '[') {
		while ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			c == '-' || c == '+' || c == '.' || c == 'E') {
			j->pos++;
			n = 1;
			c = peek(j);
		}
		return n ? ML_OK : bad(j, c, "a value");
	}
	if (depth == DEPTH_MAX)
		return ml_fail(j->diag, ML_ELIMIT, where(j),
			"header is nested deeper than %d levels", DEPTH_MAX);
	close = c == '{' ? '}' : ']';
	j->pos++;
	while ((r = next(j, close, &seen)) > 0) {
		if (c == '{') {
			if ((r = string(j, NULL, 0, &len)) != ML_OK)
				return r;
			if ((r = expect(j, ':', "a colon")) != ML_OK)
				return r;
		}
		if ((r = skip(j, depth + 1)) != ML_OK)
			return r;
	}
	return r;
}

/* ===== tensors ========================================================== */

static int shape(struct state *st)
{
	struct json *j = &st->j;
	struct entry *e = &st->e;
	int r, seen = 0;

	if ((r = expect(j, '[', "an array")) != ML_OK)
		return r;
	while ((r = next(j, ']', &seen)) > 0) {
		if (e->rank == ML_RANK_MAX)
			return ml_fail(j->diag, ML_ELIMIT, where(j),
				"tensor with more than %d dimensions",
				ML_RANK_MAX);
		if ((r = number(j, &e->shape[e->rank])) != ML_OK)
			return r;
		e->rank++;
	}
	return r;
}

static int offsets(struct state *st)
{
	struct json *j = &st->j;
	int r;

	if ((r = expect(j, '[', "an array")) != ML_OK ||
		(r = number(j, &st->e.begin)) != ML_OK ||
		(r = expect(j, ',', "a comma")) != ML_OK ||
		(r = number(j, &st->e.end)) != ML_OK)
		return r;
	return expect(j, ']', "the end of two offsets");
}

/* Reads the object that describes one tensor. */
static int entry(struct state *st)
{
	static const char *const known[] = {"dtype", "shape", "data_offsets"};
	struct json *j = &st->j;
	struct word key;
	unsigned had = 0, i;
	int r, seen = 0;

	memset(&st->e, 0, sizeof(st->e));
	if ((r = expect(j, '{', "a tensor's object")) != ML_OK)
		return r;
	while ((r = next(j, '}', &seen)) > 0) {
		if ((r = word(j, &key)) != ML_OK)
			return r;
		if ((r = expect(j, ':', "a colon")) != ML_OK)
			return r;
		for (i = 0; i < 3 && !word_is(&key, known[i]); i++)
			;
		if (had & 1u << i)
			return ml_fail(j->diag, ML_EFORMAT, where(j),
				"tensor has its %s twice", known[i]);
		if (i == 0)
			r = word(j, &st->e.type);
		else if (i == 1)
			r = shape(st);
		else if (i == 2)
			r = offsets(st);
		else
			r = skip(j, 2);
		if (r != ML_OK)
			return r;
		if (i < 3)
			had |= 1u << i;
	}
	if (r != 0)
		return r;
	for (i = 0; i < 3; i++)
		if (!(had & 1u << i))
			return ml_fail(j->diag, ML_EFORMAT, where(j),
				"tensor without %s", known[i]);
	return ML_OK;
}

static const struct type *find_type(const struct word *w)
{
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (word_is(w, types[i].name))
			return &types[i];
	return NULL;
}

/* Judges what entry() read against the file and its type, and adds it. A type
 * unknown here has no size to check, but its bytes are still one tensor. */
static int add(struct state *st, struct ml_model *m)
{
	const struct entry *e = &st->e;
	const struct type *t = find_type(&e->type);
	struct ml_diag *diag = st->j.diag;
	uint64_t base = st->j.end, room = ml_src_size(st->j.s) - base;
	uint64_t bits;
	unsigned i;
	char shown[SHOWN];

	ml_escape(shown, sizeof(shown), st->name, st->name_len);
	if (e->begin > e->end || e->end > room)
		return ml_fail(diag, ML_EFORMAT, where(&st->j),
			"tensor '%s' at %llu to %llu of %llu bytes of data",
			shown, (unsigned long long)e->begin,
			(unsigned long long)e->end, (unsigned long long)room);
	if (t != NULL) {
		bits = t->bits;
		for (i = 0; i < e->rank; i++)
			if (!ml_mul_ok(bits, e->shape[i], &bits))
				return ml_fail(diag, ML_EFORMAT, where(&st->j),
					"size of tensor '%s' is beyond 64 bits",
					shown);
		if (bits % 8 != 0 || bits / 8 != e->end - e->begin)
			return ml_fail(diag, ML_EFORMAT, where(&st->j),
				"tensor '%s' has %llu bits of elements in "
				"%llu bytes",
				shown, (unsigned long long)bits,
				(unsigned long long)(e->end - e->begin));
	}
	return ml_model_add(m, st->name, st->name_len,
		t != NULL ? t->dtype : ML_DT_OPAQUE, e->rank,
		e->rank > 0 ? e->shape : NULL, base + e->begin,
		e->end - e->begin, diag);
}

/* The header from its '{' to its end. Equal names are forbidden by the format
 * but do no harm here: all are added. */
static int header(struct state *st, struct ml_model *m)
{
	static const char meta[] = "__metadata__";
	struct json *j = &st->j;
	int c, r, seen = 0;

	if ((c = peek(j)) != '{')
		return bad(j, c, "a '{'");
	j->pos++;
	while ((r = next(j, '}', &seen)) > 0) {
		r = string(j, st->name, sizeof(st->name), &st->name_len);
		if (r != ML_OK)
			return r;
		if (st->name_len > ML_NAME_MAX)
			return ml_fail(j->diag, ML_ELIMIT, where(j),
				"name of %zu bytes, more than %d",
				st->name_len, ML_NAME_MAX);
		if ((r = expect(j, ':', "a colon")) != ML_OK)
			return r;
		if (st->name_len == sizeof(meta) - 1 &&
			memcmp(st->name, meta, sizeof(meta) - 1) == 0)
			r = skip(j, 1);
		else if ((r = entry(st)) == ML_OK)
			r = add(st, m);
		if (r != ML_OK)
			return r;
	}
	if (r != 0)
		return r;
	c = peek_on(j);
	return c == AT_END ? ML_OK : bad(j, c, "only padding");
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	uint64_t size = ml_src_size(s), n;
	struct state *st;
	uint8_t len[LEN_BYTES];
	int r;

	if (size < LEN_BYTES)
		return ml_fail(diag, ML_ETRUNC, size,
			"file ends in the length of its header");
	if ((r = ml_src_read(s, 0, len, sizeof(len), diag)) != ML_OK)
		return r;
	n = ml_load64(len);
	if (n > HEADER_MAX)
		return ml_fail(diag, ML_ELIMIT, 0,
			"header of %llu bytes, more than %u",
			(unsigned long long)n, HEADER_MAX);
	if (n > size - LEN_BYTES)
		return ml_fail(diag, ML_ETRUNC, 0,
			"header of %llu bytes in a file of %llu",
			(unsigned long long)n, (unsigned long long)size);
	st = malloc(sizeof(*st));
	if (st == NULL)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	st->j.s = s;
	st->j.diag = diag;
	st->j.off = LEN_BYTES;
	st->j.end = LEN_BYTES + n;
	st->j.pos = st->j.have = 0;
	r = header(st, m);
	free(st);
	return r;
}

static int probe(const uint8_t *head, size_t n)
{
	return n > LEN_BYTES && ml_load64(head) <= HEADER_MAX &&
		head[LEN_BYTES] == '{';
}

const struct ml_reader ml_reader_safetensors = {
	ML_SAFETENSORS, "safetensors", probe, walk,
};
