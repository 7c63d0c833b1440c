/* SPDX-License-Identifier: MIT */
/* HDF5: links in a fractal heap (III.G), found by a version 2 B-tree
 * (III.A.2). Only what the library writes for links is followed: managed
 * objects without filters. */
#include <stdlib.h>

#include "bytes.h"
#include "hdf5.h"

#define NODE_MAX 65536 /* bytes of a node of the tree */
#define DEPTH_MAX 8 /* of the tree, of indirect blocks */
#define BY_NAME 5 /* type of the tree */
#define RECORD (4 + 7) /* a hash and the id of the link in the heap */

/* A link as the tree tells of it. */
struct id {
	uint64_t off, len; /* in the heap */
};

struct dense {
	struct ml_h5 *h;
	struct id *id;
	size_t n, cap;
	/* the direct block last used: its bytes of the heap, its address */
	uint64_t first, size, block;
	/* the heap */
	uint64_t start, direct; /* bytes of its smallest and largest blocks */
	uint64_t root;
	unsigned width, rows; /* of the root; 0 rows: it is a direct block */
	unsigned off_size, len_size; /* of an id's parts */
	/* the tree: of nodes of a depth, how many records they may have, and
	 * how many bytes numbers of records take */
	uint64_t node;
	uint64_t max[DEPTH_MAX + 1];
	unsigned count, total[DEPTH_MAX + 1];
};

static unsigned log2_of(uint64_t v)
{
	unsigned n = 0;

	while (v >>= 1)
		n++;
	return n;
}

static int odd(struct dense *d, const char *what)
{
	return ml_fail(d->h->diag, ML_EFORMAT, ML_NOWHERE,
		"hdf5 %s makes no sense", what);
}

/* ===== the heap ========================================================= */

/* *follow is 0 when it is of a kind that we leave alone. */
static int heap(struct dense *d, uint64_t addr, int *follow)
{
	const size_t o = d->h->osize, l = d->h->lsize;
	uint8_t b[22 + 12 * 8 + 3 * 8];
	struct ml_h5_cur c = {b, 22 + 12 * l + 3 * o, 0};
	uint64_t id, filter, managed;
	unsigned bits, dir;
	int r = ml_h5_signed(d->h, addr, b, c.n, "FRHP");

	if (r < 0)
		return r;
	c.p += 5;
	c.n -= 5;
	id = ml_h5_num(&c, 2);
	filter = ml_h5_num(&c, 2);
	ml_h5_num(&c, 1);
	managed = ml_h5_num(&c, 4);
	c.p += 10 * l + 2 * o;
	c.n -= 10 * l + 2 * o;
	d->width = (unsigned)ml_h5_num(&c, 2);
	d->start = ml_h5_num(&c, d->h->lsize);
	d->direct = ml_h5_num(&c, d->h->lsize);
	bits = (unsigned)ml_h5_num(&c, 2);
	ml_h5_num(&c, 2);
	d->root = ml_h5_addr(d->h, &c);
	d->rows = (unsigned)ml_h5_num(&c, 2);
	if (c.bad)
		return odd(d, "heap");
	*follow = id == RECORD - 4 && filter == 0 && d->root != ML_H5_UNDEF;
	if (!*follow)
		return ML_OK;
	d->off_size = (bits + 7) / 8;
	dir = log2_of(d->direct) / 8 + 1;
	d->len_size = log2_of(managed) / 8 + 1;
	if (dir < d->len_size)
		d->len_size = dir;
	if (d->width == 0 || (d->width & (d->width - 1)) ||
		d->start == 0 || (d->start & (d->start - 1)) ||
		(d->direct & (d->direct - 1)) || d->direct < d->start ||
		bits > 64 || d->rows > 64 ||
		log2_of(d->start) + log2_of(d->width) > 63 ||
		d->off_size + d->len_size + 1 > RECORD - 4)
		return odd(d, "heap");
	return ML_OK;
}

/* Finds the direct block with an offset of the heap. */
static int direct(struct dense *d, uint64_t off)
{
	const unsigned wide = log2_of(d->start) + log2_of(d->width);
	const unsigned directs = log2_of(d->direct) - log2_of(d->start) + 2;
	uint64_t at = d->root, size = d->start, base, entry, first = 0;
	unsigned rows = d->rows, row, depth;
	struct ml_h5_cur c;
	uint8_t b[8];
	int r;

	for (depth = 0; rows > 0; depth++) {
		if (depth > DEPTH_MAX)
			return odd(d, "heap");
		/* the first two rows are of blocks of the same size */
		row = off >> wide ? log2_of(off >> wide) + 1 : 0;
		if (row >= rows)
			return odd(d, "heap's offset");
		base = row ? (uint64_t)1 << (wide + row - 1) : 0;
		size = d->start << (row ? row - 1 : 0);
		entry = (off - base) / size;
		off = (off - base) % size;
		first += base + entry * size;
		r = ml_h5_signed(d->h, at, b, 4, "FHIB");
		if (r < 0)
			return r;
		r = ml_h5_get(d->h, at + 5 + d->h->osize + d->off_size +
			(row * (uint64_t)d->width + entry) * d->h->osize, b,
			d->h->osize, "heap");
		if (r < 0)
			return r;
		c = (struct ml_h5_cur){b, d->h->osize, 0};
		at = ml_h5_addr(d->h, &c);
		if (at == ML_H5_UNDEF)
			return odd(d, "heap's offset");
		rows = 0;
		if (row >= directs && log2_of(size) < wide)
			return odd(d, "heap");
		if (row >= directs)
			rows = log2_of(size) - wide + 1;
	}
	d->first = first;
	d->size = size;
	d->block = at;
	return ML_OK;
}

/* Where bytes of the heap lie. */
static int managed(struct dense *d, const struct id *id, uint64_t *addr)
{
	int r = ML_OK;

	if (id->off < d->first || id->off - d->first >= d->size)
		r = direct(d, id->off);
	if (r < 0)
		return r;
	if (id->off < d->first || id->off - d->first > d->size ||
		id->len > d->size - (id->off - d->first) ||
		!ml_add_ok(d->block, id->off - d->first, addr))
		return odd(d, "heap's offset");
	return ML_OK;
}

/* ===== the tree ========================================================= */

/* The sizes within nodes follow from those of nodes. */
static int tree(struct dense *d, uint64_t addr, uint64_t *root,
	unsigned *depth, uint64_t *n)
{
	uint8_t b[16 + 8 + 2];
	struct ml_h5_cur c = {b + 6, 10 + d->h->osize + 2, 0};
	uint64_t record, pointer, all;
	unsigned i;
	int r = ml_h5_signed(d->h, addr, b, 6 + c.n, "BTHD");

	if (r < 0)
		return r;
	d->node = ml_h5_num(&c, 4);
	record = ml_h5_num(&c, 2);
	*depth = (unsigned)ml_h5_num(&c, 2);
	ml_h5_num(&c, 2);
	*root = ml_h5_addr(d->h, &c);
	*n = ml_h5_num(&c, 2);
	if (b[5] != BY_NAME || record != RECORD || *depth > DEPTH_MAX ||
		d->node > NODE_MAX || d->node < 64)
		return odd(d, "tree of links");
	all = d->max[0] = (d->node - 10) / RECORD;
	d->count = log2_of(d->max[0]) / 8 + 1;
	d->total[0] = 0;
	for (i = 1; i <= *depth; i++) {
		pointer = d->h->osize + d->count + d->total[i - 1];
		if (d->node < 10 + pointer + RECORD + pointer)
			return odd(d, "tree of links");
		d->max[i] = (d->node - 10 - pointer) / (RECORD + pointer);
		if (!ml_mul_ok(d->max[i] + 1, all, &all) ||
			!ml_add_ok(all, d->max[i], &all))
			return odd(d, "tree of links");
		d->total[i] = log2_of(all) / 8 + 1;
	}
	return ML_OK;
}

static int record(struct dense *d, uint64_t addr)
{
	uint8_t b[RECORD];
	struct ml_h5_cur c = {b + 5, RECORD - 5, 0};
	const size_t cap = d->cap ? 2 * d->cap : 64;
	struct id *p;
	int r = ml_h5_get(d->h, addr, b, sizeof(b), "tree of links");

	if (r < 0 || b[4] & 0x30)
		return r;
	if (d->n == d->cap) {
		p = realloc(d->id, cap * sizeof(*p));
		if (!p)
			return ml_fail(d->h->diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		d->id = p;
		d->cap = cap;
	}
	p = &d->id[d->n++];
	p->off = ml_h5_num(&c, d->off_size);
	p->len = ml_h5_num(&c, d->len_size);
	return ML_OK;
}

static int records(struct dense *d, uint64_t addr, unsigned depth, uint64_t n)
{
	uint8_t b[8 + 8];
	struct ml_h5_cur c;
	const size_t each = depth ?
		d->h->osize + d->count + d->total[depth - 1] : 0;
	uint64_t i, child, many;
	int r = ml_h5_signed(d->h, addr, b, 4, depth ? "BTIN" : "BTLF");

	if (r == ML_OK && n > d->max[depth])
		r = odd(d, "tree of links");
	addr += 6;
	for (i = 0; r == ML_OK && i < n; i++)
		r = record(d, addr + i * RECORD);
	addr += n * RECORD;
	for (i = 0; r == ML_OK && depth > 0 && i <= n; i++) {
		c = (struct ml_h5_cur){b, d->h->osize + d->count, 0};
		r = ml_h5_get(d->h, addr + i * each, b, c.n, "tree of links");
		if (r < 0)
			return r;
		child = ml_h5_addr(d->h, &c);
		many = ml_h5_num(&c, d->count);
		r = records(d, child, depth - 1, many);
	}
	return r;
}

static int by_offset(const void *pa, const void *pb)
{
	const struct id *a = pa, *b = pb;

	if (a->off != b->off)
		return a->off < b->off ? -1 : 1;
	return a->len < b->len ? -1 : a->len > b->len;
}

int ml_h5_dense(struct ml_h5 *h, uint64_t at, uint64_t index,
	int (*link)(void *arg, uint64_t addr, size_t n), void *arg)
{
	struct dense d = {.h = h};
	uint64_t root, n, addr = 0;
	unsigned depth;
	size_t i;
	int follow = 0, r = heap(&d, at, &follow);

	if (r < 0 || !follow)
		return r;
	r = tree(&d, index, &root, &depth, &n);
	if (r == ML_OK && n > 0)
		r = records(&d, root, depth, n);
	/* the tree goes by hashes, the heap by time: this saves reads */
	if (r == ML_OK && d.n > 0)
		qsort(d.id, d.n, sizeof(*d.id), by_offset);
	for (i = 0; r == ML_OK && i < d.n; i++) {
		r = managed(&d, &d.id[i], &addr);
		if (r == ML_OK)
			r = link(arg, addr, (size_t)d.id[i].len);
	}
	free(d.id);
	return r;
}
