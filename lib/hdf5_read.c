/* SPDX-License-Identifier: MIT */
/* HDF5: bytes, numbers and version 1 B-trees (III.A.1 of the specification),
 * each read paid for. */
#include <string.h>

#include "bytes.h"
#include "hdf5.h"

#define NEAR 65536 /* what the source has at hand */
#define COST_NEAR 8 /* of a read besides its bytes */
#define COST_FAR 1024
#define LEVELS_MAX 24 /* of a tree */

uint64_t ml_h5_num(struct ml_h5_cur *c, unsigned width)
{
	uint64_t v = 0;
	unsigned i;

	if (c->n < width || width > 8) {
		c->bad = 1;
		c->n = 0;
		return 0;
	}
	for (i = 0; i < width; i++)
		v |= (uint64_t)c->p[i] << 8 * i;
	c->p += width;
	c->n -= width;
	return v;
}

uint64_t ml_h5_addr(const struct ml_h5 *h, struct ml_h5_cur *c)
{
	const uint64_t v = ml_h5_num(c, h->osize);

	return v == UINT64_MAX >> (64 - 8 * h->osize) ? ML_H5_UNDEF : v;
}

static int pay(struct ml_h5 *h, uint64_t *account, uint64_t n)
{
	if (n > *account)
		return ml_fail(h->diag, ML_ELIMIT, ML_NOWHERE,
			"too many hdf5 structures, or they share their bytes");
	*account -= n;
	return ML_OK;
}

int ml_h5_name(struct ml_h5 *h, uint64_t n)
{
	return pay(h, &h->names, n);
}

int ml_h5_get(struct ml_h5 *h, uint64_t addr, void *buf, size_t n,
	const char *what)
{
	const uint64_t size = ml_src_size(h->src);
	const uint64_t gap = addr > h->last ? addr - h->last : h->last - addr;
	uint64_t at, end;
	int r;

	if (!ml_add_ok(addr, h->base, &at) || !ml_add_ok(at, n, &end) ||
		end > size)
		return ml_fail(h->diag, ML_ETRUNC, at,
			"hdf5 %s at %llu is beyond the file's %llu bytes", what,
			(unsigned long long)addr, (unsigned long long)size);
	r = pay(h, &h->work, n + (gap < NEAR ? COST_NEAR : COST_FAR));
	if (r < 0)
		return r;
	h->last = addr;
	return ml_src_read(h->src, at, buf, n, h->diag);
}

int ml_h5_signed(struct ml_h5 *h, uint64_t addr, void *buf, size_t n,
	const char *sig)
{
	const int r = ml_h5_get(h, addr, buf, n, sig);

	if (r < 0 || memcmp(buf, sig, 4) == 0)
		return r;
	return ml_fail(h->diag, ML_EFORMAT, h->base + addr,
		"no hdf5 %s at %llu", sig, (unsigned long long)addr);
}

/* level: what the node's must be, -1 for that of the root. */
static int node(struct ml_h5 *h, uint64_t addr, unsigned type, size_t key,
	int level, int (*leaf)(void *arg, const uint8_t *key, uint64_t child),
	void *arg)
{
	uint8_t b[ML_H5_KEY_MAX + 8];
	struct ml_h5_cur c;
	const size_t head = 8 + 2 * h->osize, each = key + h->osize;
	uint64_t child;
	unsigned i, n;
	int r = ml_h5_signed(h, addr, b, head, "TREE");

	if (r < 0)
		return r;
	if (b[4] != type || b[5] > LEVELS_MAX ||
		(level >= 0 && b[5] != level))
		return ml_fail(h->diag, ML_EFORMAT, h->base + addr,
			"hdf5 tree at %llu is of type %u and level %u",
			(unsigned long long)addr, b[4], b[5]);
	level = b[5];
	n = ml_load16(b + 6);
	for (i = 0; i < n; i++) {
		/* the head was read, so that this does not overflow */
		r = ml_h5_get(h, addr + head + i * each, b, each, "tree");
		if (r < 0)
			return r;
		c = (struct ml_h5_cur){b + key, h->osize, 0};
		child = ml_h5_addr(h, &c);
		if (level == 0)
			r = leaf(arg, b, child);
		else
			r = node(h, child, type, key, level - 1, leaf, arg);
		if (r < 0)
			return r;
	}
	return ML_OK;
}

int ml_h5_tree(struct ml_h5 *h, uint64_t addr, unsigned type, size_t key,
	int (*leaf)(void *arg, const uint8_t *key, uint64_t child), void *arg)
{
	return node(h, addr, type, key, -1, leaf, arg);
}
