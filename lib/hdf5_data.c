/* SPDX-License-Identifier: MIT */
/* HDF5: datasets, whose bytes lie in one piece, in the object header or in
 * chunks. Chunks that went through filters (compression) stay opaque, as do
 * those whose index is a fixed or extensible array or a version 2 B-tree. */
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "hdf5.h"

#define HEAD_MAX 512 /* bytes of a message that are looked at */
#define SUFFIX_MAX (ML_RANK_MAX * 21 + 3) /* of a chunk's name */

/* types of messages */
enum {
	SPACE = 0x01, TYPE = 0x03, EXTERNAL = 0x07, LAYOUT = 0x08, FILTER = 0x0b
};
enum { COMPACT = 0, CONTIGUOUS = 1, CHUNKED = 2 };
/* how a chunk is found: kinds that go on after CHUNKED */
enum { SINGLE = 3, IMPLICIT = 4, NONE = 5 };
enum { CLASS_FIXED = 0, CLASS_FLOAT = 1, CLASS_ENUM = 8 };

/* ===== messages ========================================================= */

static int space(struct ml_h5 *h, struct ml_h5_data *d, struct ml_h5_cur *c)
{
	const uint64_t version = ml_h5_num(c, 1), rank = ml_h5_num(c, 1);
	uint64_t type;
	unsigned i;

	ml_h5_num(c, 1); /* flags: the largest extent does not matter */
	type = ml_h5_num(c, 1); /* of version 2 */
	if (version == 1)
		ml_h5_num(c, 4);
	if ((version != 1 && version != 2) || rank > ML_RANK_MAX ||
		(version == 2 && type > 1)) {
		d->seen |= ML_H5_ODD;
		return ML_OK;
	}
	d->rank = (unsigned)rank;
	for (i = 0; i < rank; i++)
		d->shape[i] = ml_h5_num(c, h->lsize);
	d->seen |= ML_H5_SPACE;
	return ML_OK;
}

static unsigned fixed(struct ml_h5_cur *c, unsigned bits, uint64_t size)
{
	static const uint8_t dtypes[2][4] = {
		{ML_DT_U8, ML_DT_U16, ML_DT_U32, ML_DT_U64},
		{ML_DT_I8, ML_DT_I16, ML_DT_I32, ML_DT_I64}};
	const uint64_t offset = ml_h5_num(c, 2), precision = ml_h5_num(c, 2);
	unsigned i;

	for (i = 0; i < 4 && size != 1u << i; i++)
		;
	if (i == 4 || offset != 0 || precision != 8 * size ||
		(size > 1 && bits & 1)) /* big-endian */
		return ML_DT_OPAQUE;
	return dtypes[bits >> 3 & 1][i];
}

static unsigned floating(struct ml_h5_cur *c, unsigned bits, uint64_t size)
{
	static const struct {
		uint8_t size, exp_at, exp, man;
		unsigned dtype;
	} known[] = {{2, 10, 5, 10, ML_DT_F16}, {2, 7, 8, 7, ML_DT_BF16},
		{4, 23, 8, 23, ML_DT_F32}, {8, 52, 11, 52, ML_DT_F64}};
	uint8_t b[8];
	size_t i;

	for (i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)ml_h5_num(c, 1);
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (size == known[i].size && ml_load16(b) == 0 &&
			ml_load16(b + 2) == 8 * size &&
			b[4] == known[i].exp_at && b[5] == known[i].exp &&
			b[6] == 0 && b[7] == known[i].man &&
			(bits & 0x41) == 0 && (bits >> 8 & 0xff) == 8 * size - 1)
			return known[i].dtype;
	return ML_DT_OPAQUE;
}

/* An enumeration is its integers, but for what h5py makes of a bool. */
static unsigned enumeration(struct ml_h5_cur *c, unsigned bits,
	unsigned version)
{
	/* names of versions 1 and 2 are padded to 8 bytes */
	static const char padded[] = "FALSE\0\0\0TRUE\0\0\0\0\0\1";
	static const char packed[] = "FALSE\0TRUE\0\0\1";
	const char *want = version < 3 ? padded : packed;
	const size_t n = version < 3 ? sizeof(padded) - 1 : sizeof(packed) - 1;
	unsigned base, dtype;
	uint64_t size;

	base = (unsigned)ml_h5_num(c, 4);
	size = ml_h5_num(c, 4);
	if ((base & 15) != CLASS_FIXED)
		return ML_DT_OPAQUE;
	dtype = fixed(c, base >> 8, size);
	if (dtype == ML_DT_I8 && (bits & 0xffff) == 2 && c->n >= n &&
		memcmp(c->p, want, n) == 0)
		return ML_DT_BOOL;
	return dtype;
}

static int type(struct ml_h5_data *d, struct ml_h5_cur *c)
{
	const unsigned head = (unsigned)ml_h5_num(c, 4), bits = head >> 8;
	const unsigned version = head >> 4 & 15;

	d->esize = ml_h5_num(c, 4);
	d->dtype = ML_DT_OPAQUE;
	switch (head & 15) {
	case CLASS_FIXED: d->dtype = fixed(c, bits, d->esize); break;
	case CLASS_FLOAT: d->dtype = floating(c, bits, d->esize); break;
	case CLASS_ENUM:
		d->dtype = enumeration(c, bits, version);
		break;
	default: return ML_OK;
	}
	d->seen |= ML_H5_TYPE;
	return ML_OK;
}

static void chunk(struct ml_h5_data *d, struct ml_h5_cur *c, uint64_t n,
	unsigned width)
{
	unsigned i;

	d->nchunk = (unsigned)n;
	for (i = 0; i < n && i <= ML_RANK_MAX; i++)
		d->chunk[i] = ml_h5_num(c, width);
}

static void chunked4(struct ml_h5 *h, struct ml_h5_data *d,
	struct ml_h5_cur *c)
{
	const uint64_t flags = ml_h5_num(c, 1), n = ml_h5_num(c, 1);
	const uint64_t width = ml_h5_num(c, 1);
	uint64_t index;

	chunk(d, c, n, width <= 8 ? (unsigned)width : 9);
	index = ml_h5_num(c, 1);
	d->kind = NONE;
	if (index == 1 && !(flags & 2)) /* the bit is of filters */
		d->kind = SINGLE;
	else if (index == 2)
		d->kind = IMPLICIT;
	if (d->kind != NONE)
		d->addr = ml_h5_addr(h, c);
}

/* `at` is the message's address. */
static int layout(struct ml_h5 *h, struct ml_h5_data *d, struct ml_h5_cur *c,
	uint64_t at)
{
	const uint8_t *start = c->p;
	const uint64_t version = ml_h5_num(c, 1);
	uint64_t n = 0, kind;

	if (version < 1 || version > 4)
		return ML_OK;
	if (version < 3)
		n = ml_h5_num(c, 1);
	kind = ml_h5_num(c, 1);
	if (kind > CHUNKED || n > ML_RANK_MAX + 1)
		return ML_OK;
	d->kind = (unsigned)kind;
	d->addr = ML_H5_UNDEF;
	d->len = ML_H5_UNDEF; /* not said */
	if (version < 3) {
		ml_h5_num(c, 5);
		if (kind != COMPACT)
			d->addr = ml_h5_addr(h, c);
		chunk(d, c, n, 4);
		if (kind == COMPACT)
			d->len = ml_h5_num(c, 4);
	} else if (kind == COMPACT) {
		d->len = ml_h5_num(c, 2);
	} else if (kind == CONTIGUOUS) {
		d->addr = ml_h5_addr(h, c);
		d->len = ml_h5_num(c, h->lsize);
	} else if (version == 3) {
		n = ml_h5_num(c, 1);
		d->addr = ml_h5_addr(h, c);
		chunk(d, c, n, 4);
	} else {
		chunked4(h, d, c);
	}
	if (kind == COMPACT)
		d->addr = at + (uint64_t)(c->p - start);
	d->seen |= ML_H5_LAYOUT;
	return ML_OK;
}

int ml_h5_message(struct ml_h5 *h, struct ml_h5_data *d, unsigned msg,
	unsigned flags, uint64_t addr, size_t n)
{
	uint8_t b[HEAD_MAX];
	struct ml_h5_cur c = {b, n < sizeof(b) ? n : sizeof(b), 0};
	const int known = msg == SPACE || msg == TYPE || msg == LAYOUT;
	int r;

	if (msg == EXTERNAL || (known && flags & 2))
		d->seen |= ML_H5_ODD; /* elsewhere: other files, shared types */
	if ((!known && msg != FILTER) || d->seen & ML_H5_ODD)
		return ML_OK;
	r = ml_h5_get(h, addr, b, c.n, "message");
	if (r < 0)
		return r;
	switch (msg) {
	case SPACE: r = space(h, d, &c); break;
	case TYPE: r = type(d, &c); break;
	case LAYOUT: r = layout(h, d, &c, addr); break;
	default:
		if (n < 2 || b[1] > 0)
			d->seen |= ML_H5_ODD;
		break;
	}
	if (r == ML_OK && c.bad)
		r = ml_fail(h->diag, ML_EFORMAT, h->base + addr,
			"hdf5 message of type %u at %llu is cut", msg,
			(unsigned long long)addr);
	return r;
}

/* ===== tensors ========================================================== */

struct chunks {
	struct ml_h5 *h;
	const struct ml_h5_data *d;
	char *path;
	size_t len;
	uint64_t bytes; /* of a chunk */
};

static int add(struct ml_h5 *h, const struct ml_h5_data *d, const char *name,
	size_t name_len, const uint64_t *shape, uint64_t addr, uint64_t len)
{
	uint64_t at;
	int r = ml_h5_name(h, name_len);

	if (r < 0)
		return r;
	if (!ml_add_ok(addr, h->base, &at))
		return ml_fail(h->diag, ML_EFORMAT, ML_NOWHERE,
			"hdf5 dataset at %llu leaves the file",
			(unsigned long long)addr);
	return ml_model_add(h->m, name, name_len, d->dtype, d->rank,
		d->rank ? shape : NULL, at, len, h->diag);
}

/* The product of a shape and the bytes of an element, 0 when too large. */
static uint64_t volume(const struct ml_h5_data *d, const uint64_t *shape)
{
	uint64_t n = d->esize;
	unsigned i;

	for (i = 0; i < d->rank; i++)
		if (!ml_mul_ok(n, shape[i], &n))
			return 0;
	return n;
}

/* A chunk that begins at these elements; its shape is that of all chunks,
 * also at the edges. One for the whole dataset bears the name of that. */
static int one(struct chunks *k, const uint64_t *begin, uint64_t addr)
{
	const struct ml_h5_data *d = k->d;
	int alone = 1;
	size_t n = k->len;
	unsigned i;

	if (addr == ML_H5_UNDEF)
		return ML_OK;
	for (i = 0; i < d->rank; i++)
		alone = alone && d->chunk[i] >= d->shape[i];
	if (!alone && n + SUFFIX_MAX > ML_NAME_MAX)
		return ML_OK;
	for (i = 0; !alone && i < d->rank; i++)
		n += (size_t)snprintf(k->path + n, SUFFIX_MAX, "%c%llu",
			i ? ',' : '[', (unsigned long long)begin[i]);
	if (!alone)
		k->path[n++] = ']';
	return add(k->h, d, k->path, n, d->chunk, addr, k->bytes);
}

static int keyed(void *arg, const uint8_t *key, uint64_t child)
{
	struct chunks *k = arg;
	uint64_t begin[ML_RANK_MAX];
	unsigned i;

	if (ml_load32(key) != k->bytes || ml_load32(key + 4) != 0)
		return ML_OK;
	for (i = 0; i < k->d->rank; i++)
		begin[i] = ml_load64(key + 8 + 8 * i);
	return one(k, begin, child);
}

/* Chunks one behind the other, the last dimension running fastest. */
static int implicit(struct chunks *k)
{
	const struct ml_h5_data *d = k->d;
	const uint64_t size = ml_src_size(k->h->src);
	uint64_t begin[ML_RANK_MAX] = {0}, addr = d->addr;
	unsigned i;
	int r;

	for (i = 0; i < d->rank; i++)
		if (d->shape[i] == 0)
			return ML_OK;
	for (;;) {
		if (addr > size || k->bytes > size - addr)
			return ml_fail(k->h->diag, ML_EFORMAT, ML_NOWHERE,
				"hdf5 chunks at %llu leave the file",
				(unsigned long long)d->addr);
		r = one(k, begin, addr);
		if (r < 0)
			return r;
		addr += k->bytes;
		for (i = d->rank; i > 0; i--) {
			if (d->chunk[i - 1] < d->shape[i - 1] - begin[i - 1]) {
				begin[i - 1] += d->chunk[i - 1];
				break;
			}
			begin[i - 1] = 0;
		}
		if (i == 0)
			return ML_OK;
	}
}

static int chunks(struct ml_h5 *h, const struct ml_h5_data *d, char *path,
	size_t len)
{
	static const uint64_t zero[ML_RANK_MAX];
	struct chunks k = {h, d, path, len, volume(d, d->chunk)};

	if (d->nchunk != d->rank + 1 || d->chunk[d->rank] != d->esize ||
		k.bytes == 0)
		return ML_OK;
	if (d->kind == CHUNKED)
		return ml_h5_tree(h, d->addr, ML_H5_CHUNKS,
			8 + 8 * (size_t)d->nchunk, keyed, &k);
	return d->kind == SINGLE ? one(&k, zero, d->addr) : implicit(&k);
}

int ml_h5_add(struct ml_h5 *h, const struct ml_h5_data *d, char *path,
	size_t len)
{
	uint64_t n;

	if (d->seen != ML_H5_ALL || d->dtype == ML_DT_OPAQUE ||
		d->addr == ML_H5_UNDEF || d->kind == NONE)
		return ML_OK;
	if (d->kind >= CHUNKED)
		return chunks(h, d, path, len);
	n = volume(d, d->shape);
	if (n == 0 || (d->len != n && d->len != ML_H5_UNDEF))
		return ML_OK;
	return add(h, d, path, len, d->shape, d->addr, n);
}
