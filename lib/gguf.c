/* SPDX-License-Identifier: MIT */
/*
 * GGUF, versions 2 and 3, little-endian: counts, key-value metadata, a table
 * of tensors, and their data. The format is described in docs/gguf.md of
 * https://github.com/ggml-org/ggml.
 *
 * Of the metadata only general.alignment matters, as the data begin at a
 * multiple of it; the rest is stepped over in one pass. Every count is
 * compared with the bytes that are left before it is believed, so that the
 * work is linear in the size of the file.
 */
#include <string.h>

#include "bytes.h"
#include "ml.h"

#define MAGIC "GGUF"
#define VERSION_MIN 2 /* version 1 had 32-bit lengths */
#define VERSION_MAX 3
#define ALIGN_DEFAULT 32
#define DEPTH_MAX 8 /* arrays in arrays */
#define KV_LEAST (8 + 4 + 1) /* bytes of the smallest key and value */
#define INFO_LEAST (8 + 4 + 4 + 8) /* bytes of the smallest table entry */
#define SHOWN 64 /* bytes of a name in a message */

enum { T_UINT32 = 4, T_STRING = 8, T_ARRAY = 9, T_COUNT = 13 };

/* Bytes of a metadata value of each type; 0: it says so itself. */
static const uint8_t width[T_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct cursor {
	struct ml_src *s;
	struct ml_diag *diag;
	uint64_t pos, end;
};

static int take(struct cursor *c, void *buf, size_t n, const char *what)
{
	int r;

	if (c->end - c->pos < n)
		return ml_fail(c->diag, ML_ETRUNC, c->pos,
			"file ends in %s", what);
	if ((r = ml_src_read(c->s, c->pos, buf, n, c->diag)) == ML_OK)
		c->pos += n;
	return r;
}

static int take32(struct cursor *c, uint32_t *v, const char *what)
{
	uint8_t b[4];
	int r = take(c, b, sizeof(b), what);

	*v = r == ML_OK ? ml_load32(b) : 0;
	return r;
}

static int take64(struct cursor *c, uint64_t *v, const char *what)
{
	uint8_t b[8];
	int r = take(c, b, sizeof(b), what);

	*v = r == ML_OK ? ml_load64(b) : 0;
	return r;
}

/* Refuses n things of at least `least` bytes that cannot be in the file. */
static int room(const struct cursor *c, uint64_t n, unsigned least,
	const char *what)
{
	if (n <= (c->end - c->pos) / least)
		return ML_OK;
	return ml_fail(c->diag, ML_ETRUNC, c->pos,
		"%llu %s, but %llu bytes are left", (unsigned long long)n,
		what, (unsigned long long)(c->end - c->pos));
}

static int skip(struct cursor *c, uint64_t n, unsigned each, const char *what)
{
	int r = room(c, n, each, what);

	if (r == ML_OK)
		c->pos += n * each;
	return r;
}

static int skip_value(struct cursor *c, uint32_t type, unsigned depth)
{
	uint32_t sub;
	uint64_t n;
	int r;

	if (type >= T_COUNT)
		return ml_fail(c->diag, ML_EFORMAT, c->pos,
			"metadata of unknown type %u", (unsigned)type);
	if (width[type] != 0)
		return skip(c, 1, width[type], "value");
	if (type == T_STRING) {
		if ((r = take64(c, &n, "a string's length")) != ML_OK)
			return r;
		return skip(c, n, 1, "bytes of a string");
	}
	if (depth == DEPTH_MAX)
		return ml_fail(c->diag, ML_ELIMIT, c->pos,
			"metadata is nested deeper than %d levels", DEPTH_MAX);
	if ((r = take32(c, &sub, "an array's type")) != ML_OK ||
		(r = take64(c, &n, "an array's length")) != ML_OK)
		return r;
	if (sub >= T_COUNT)
		return ml_fail(c->diag, ML_EFORMAT, c->pos,
			"metadata of unknown type %u", (unsigned)sub);
	if (width[sub] != 0)
		return skip(c, n, width[sub], "values of an array");
	r = room(c, n, sub == T_STRING ? 8 : 12, "values of an array");
	for (; r == ML_OK && n > 0; n--)
		r = skip_value(c, sub, depth + 1);
	return r;
}

/* One key and value; *align is 0 until general.alignment was seen. */
static int pair(struct cursor *c, uint32_t *align)
{
	static const char wanted[] = "general.alignment";
	char key[sizeof(wanted) - 1];
	uint64_t n;
	uint32_t type;
	int r, hit = 0;

	if ((r = take64(c, &n, "a key's length")) != ML_OK)
		return r;
	if (n == sizeof(key)) {
		if ((r = take(c, key, sizeof(key), "a key")) != ML_OK)
			return r;
		hit = memcmp(key, wanted, sizeof(key)) == 0;
	} else if ((r = skip(c, n, 1, "bytes of a key")) != ML_OK) {
		return r;
	}
	if ((r = take32(c, &type, "a value's type")) != ML_OK)
		return r;
	if (!hit)
		return skip_value(c, type, 0);
	if (type != T_UINT32)
		return ml_fail(c->diag, ML_EFORMAT, c->pos,
			"%s is of type %u, not uint32", wanted,
			(unsigned)type);
	if (*align != 0)
		return ml_fail(c->diag, ML_EFORMAT, c->pos,
			"%s is there twice", wanted);
	if ((r = take32(c, align, wanted)) != ML_OK)
		return r;
	if (*align == 0 || (*align & (*align - 1)) != 0)
		return ml_fail(c->diag, ML_EFORMAT, c->pos - 4,
			"%s is %u, not a power of two", wanted,
			(unsigned)*align);
	return ML_OK;
}

/* The element type of a GGML type number, NULL when unknown. */
static const struct ml_dtype_info *element(uint32_t type)
{
	static const struct {
		uint16_t ggml, dtype;
	} plain[] = {
		{0, ML_DT_F32}, {1, ML_DT_F16}, {24, ML_DT_I8},
		{25, ML_DT_I16}, {26, ML_DT_I32}, {27, ML_DT_I64},
		{28, ML_DT_F64}, {30, ML_DT_BF16},
	};
	const struct ml_dtype_info *d;
	size_t i;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (plain[i].ggml == type)
			return ml_dtype_find(plain[i].dtype);
	if (type > UINT16_MAX - ML_DT_GGML)
		return NULL;
	d = ml_dtype_find(ML_DT_GGML + type);
	return d != NULL && d->block_bytes != 0 ? d : NULL;
}

/* Bytes of a tensor; shape has the rows' dimension last. */
static int length(const struct cursor *c, const struct ml_dtype_info *d,
	const uint64_t *shape, unsigned rank, const char *shown, uint64_t *len)
{
	uint64_t row = rank > 0 ? shape[rank - 1] : 1;
	unsigned i;

	if (row % d->block_elems != 0)
		return ml_fail(c->diag, ML_EFORMAT, c->pos,
			"tensor '%s' has rows of %llu elements, not of whole "
			"blocks of %u", shown, (unsigned long long)row,
			(unsigned)d->block_elems);
	if (!ml_mul_ok(row / d->block_elems, d->block_bytes, len))
		goto big;
	for (i = 0; i + 1 < rank; i++)
		if (!ml_mul_ok(*len, shape[i], len))
			goto big;
	return ML_OK;
big:
	return ml_fail(c->diag, ML_EFORMAT, c->pos,
		"size of tensor '%s' is beyond 64 bits", shown);
}

/* One entry of the table. Where the data begin is known at its end only, so
 * the span added has the offset as it stands in the file. A tensor of an
 * unknown type has no known length and is left to the skeleton. */
static int info(struct cursor *c, struct ml_model *m)
{
	const struct ml_dtype_info *d;
	uint64_t n, off, len = 0, shape[ML_RANK_MAX];
	uint32_t rank, type, i;
	char name[ML_NAME_MAX], shown[SHOWN];
	int r;

	if ((r = take64(c, &n, "a name's length")) != ML_OK)
		return r;
	if (n > ML_NAME_MAX)
		return ml_fail(c->diag, ML_ELIMIT, c->pos - 8,
			"name of %llu bytes, more than %d",
			(unsigned long long)n, ML_NAME_MAX);
	if ((r = take(c, name, (size_t)n, "a name")) != ML_OK)
		return r;
	ml_escape(shown, sizeof(shown), name, (size_t)n);
	if ((r = take32(c, &rank, "a number of dimensions")) != ML_OK)
		return r;
	if (rank > ML_RANK_MAX)
		return ml_fail(c->diag, ML_ELIMIT, c->pos - 4,
			"tensor '%s' has %u dimensions, more than %d", shown,
			(unsigned)rank, ML_RANK_MAX);
	for (i = rank; i > 0; i--) /* the innermost comes first */
		if ((r = take64(c, &shape[i - 1], "a shape")) != ML_OK)
			return r;
	if ((r = take32(c, &type, "a tensor's type")) != ML_OK ||
		(r = take64(c, &off, "a tensor's offset")) != ML_OK)
		return r;
	if ((d = element(type)) == NULL)
		return ML_OK;
	if ((r = length(c, d, shape, rank, shown, &len)) != ML_OK)
		return r;
	return ml_model_add(m, name, (size_t)n, d->id, rank,
		rank > 0 ? shape : NULL, off, len, c->diag);
}

/* Moves the spans from `first` on to where their data are. */
static int place(struct cursor *c, struct ml_model *m, size_t first,
	uint32_t align)
{
	uint64_t start = c->pos, off;
	struct ml_span *sp;
	char shown[SHOWN];

	if (start % align != 0)
		start += align - start % align; /* both are far from 2^64 */
	for (; first < m->nspan; first++) {
		sp = &m->span[first];
		if (!ml_add_ok(start, sp->off, &off) || off > c->end ||
			sp->len > c->end - off) {
			ml_escape(shown, sizeof(shown), sp->name, sp->name_len);
			return ml_fail(c->diag, ML_EFORMAT, start,
				"tensor '%s' of %llu bytes at %llu of the data "
				"is beyond the file's %llu bytes", shown,
				(unsigned long long)sp->len,
				(unsigned long long)sp->off,
				(unsigned long long)c->end);
		}
		sp->off = off;
	}
	return ML_OK;
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	struct cursor c = {s, diag, 0, ml_src_size(s)};
	uint64_t tensors, pairs;
	uint32_t version, align = 0;
	size_t first = m->nspan;
	uint8_t magic[4];
	int r;

	if ((r = take(&c, magic, sizeof(magic), "its magic number")) != ML_OK)
		return r;
	if (memcmp(magic, MAGIC, sizeof(magic)) != 0)
		return ml_fail(diag, ML_EFORMAT, 0, "no GGUF magic number");
	if ((r = take32(&c, &version, "its version")) != ML_OK)
		return r;
	if ((version & 0xffff) == 0 && version != 0)
		return ml_fail(diag, ML_EFORMAT, 4,
			"big-endian gguf is not supported");
	if (version < VERSION_MIN || version > VERSION_MAX)
		return ml_fail(diag, ML_EFORMAT, 4,
			"gguf version %u is not supported", (unsigned)version);
	if ((r = take64(&c, &tensors, "its tensor count")) != ML_OK ||
		(r = take64(&c, &pairs, "its metadata count")) != ML_OK)
		return r;
	if ((r = room(&c, tensors, INFO_LEAST, "tensors")) != ML_OK ||
		(r = room(&c, pairs, KV_LEAST, "metadata pairs")) != ML_OK)
		return r;
	for (; pairs > 0; pairs--)
		if ((r = pair(&c, &align)) != ML_OK)
			return r;
	if ((r = room(&c, tensors, INFO_LEAST, "tensors")) != ML_OK)
		return r;
	for (; tensors > 0; tensors--)
		if ((r = info(&c, m)) != ML_OK)
			return r;
	return place(&c, m, first, align != 0 ? align : ALIGN_DEFAULT);
}

static int probe(const uint8_t *head, size_t n)
{
	return n >= 4 && memcmp(head, MAGIC, 4) == 0;
}

const struct ml_reader ml_reader_gguf = {
	ML_GGUF, "gguf", probe, walk,
};
