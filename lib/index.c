/* SPDX-License-Identifier: MIT */
/* Hash chains over the base. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "index.h"

#define NEAR 8 /* bytes hashed for positions indexed one by one */
#define FAR 24 /* bytes hashed for sparsely indexed ones */
#define CHAIN 64 /* candidates looked at */
#define TRIES 24 /* of these, compared */
#define NIL UINT32_MAX
#define PAGE 12 /* log2 of a page */
#define PAGES 384 /* of them kept, when the base is larger than all */

struct ml_index {
	struct ml_src *bsrc;
	uint64_t bsize;
	uint8_t *page;
	uint64_t have[PAGES]; /* page number + 1 */
	unsigned npages;
	uint32_t *pos, *next, *head; /* chained by hash */
	uint8_t *pos_hi;
	uint16_t *tag;
	size_t npos, cap;
	unsigned bits; /* of the hash */
	int has[ML_INDEX_KINDS]; /* which hashes occur */
	struct ml_diag *diag;
	int err;
};

/* The high bits choose the chain, the low ones are kept as a tag, so that few
 * bytes of the base are read in vain. */
static uint64_t hash(const uint8_t *p, unsigned n)
{
	uint64_t h = 0;

	for (; n; n -= 8, p += 8) {
		h = (h ^ ml_load64(p)) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 40;
}

const uint8_t *ml_index_bytes(struct ml_index *x, uint64_t off, size_t *n)
{
	uint64_t no = off >> PAGE, from = no << PAGE;
	size_t slot = no % PAGES, len;

	if (off >= x->bsize || x->err)
		return NULL;
	len = x->bsize - from < 1u << PAGE ? (size_t)(x->bsize - from) :
		1u << PAGE;
	if (x->have[slot] != no + 1) {
		x->err = ml_src_read(x->bsrc, from, x->page + (slot << PAGE),
			len, x->diag);
		if (x->err)
			return NULL;
		x->have[slot] = no + 1;
	}
	*n = len - (size_t)(off - from);
	return x->page + (slot << PAGE) + (off - from);
}

size_t ml_index_len(struct ml_index *x, uint64_t off, const uint8_t *p,
	size_t n)
{
	size_t len = 0, have, k;
	const uint8_t *b;

	while (len < n) {
		b = ml_index_bytes(x, off + len, &have);
		if (!b)
			break;
		if (have > n - len)
			have = n - len;
		k = ml_common(b, p + len, have);
		len += k;
		if (k < have)
			break;
	}
	return len;
}

size_t ml_index_back(struct ml_index *x, uint64_t off, const uint8_t *p,
	size_t max)
{
	size_t k = 0, n;
	const uint8_t *b;

	while (k < max && k < off) {
		b = ml_index_bytes(x, off - k - 1, &n);
		if (!b || *b != *(p - k - 1))
			break;
		k++;
	}
	return k;
}

static void insert(struct ml_index *x, uint64_t off, const uint8_t *p,
	unsigned n)
{
	uint64_t h = hash(p, n);

	if (x->npos == x->cap)
		return;
	x->tag[x->npos] = (uint16_t)h;
	h >>= 64 - x->bits;
	x->pos[x->npos] = (uint32_t)off;
	x->pos_hi[x->npos] = (uint8_t)(off >> 32);
	x->next[x->npos] = x->head[h];
	x->head[h] = (uint32_t)x->npos++;
}

/* Indexes every step-th offset of one span. */
static void index_span(struct ml_index *x, const struct ml_span *sp,
	uint64_t step)
{
	unsigned want = step == 1 ? NEAR : FAR;
	uint64_t off = (sp->off + step - 1) / step * step;
	uint8_t tmp[FAR];
	const uint8_t *p;
	size_t n;

	for (; off < sp->off + sp->len && off + want <= x->bsize;
		off += step) {
		p = ml_index_bytes(x, off, &n);
		if (!p)
			return;
		if (n < want) { /* across two pages */
			x->err = ml_src_read(x->bsrc, off, tmp, want, x->diag);
			if (x->err)
				return;
			p = tmp;
		}
		insert(x, off, p, want);
	}
	x->has[step > 1] = 1;
}

static int fill(struct ml_index *x, const struct ml_model *base)
{
	uint64_t skel = 0, tens = 0, sstep = 1, tstep = 1, room;
	size_t i;

	for (i = 0; i < base->nspan; i++)
		*(base->span[i].kind == ML_TENSOR ? &tens : &skel) +=
			base->span[i].len;
	while (skel / sstep > ML_INDEX_ENTRIES / 2)
		sstep *= 2;
	room = ML_INDEX_ENTRIES - skel / sstep;
	while (tens / tstep > room)
		tstep *= 2;
	x->cap = (size_t)(skel / sstep + tens / tstep) + 2 * base->nspan + 16;
	if (x->cap > ML_INDEX_ENTRIES + 16)
		x->cap = ML_INDEX_ENTRIES + 16;
	for (x->bits = 10; x->bits < 20 && x->cap >> x->bits; x->bits++)
		;
	x->npages = x->bsize >> PAGE < PAGES ?
		(unsigned)(x->bsize >> PAGE) + 1 : PAGES;
	x->page = malloc((size_t)x->npages << PAGE);
	x->pos = malloc(x->cap * sizeof *x->pos);
	x->pos_hi = malloc(x->cap);
	x->tag = malloc(x->cap * sizeof *x->tag);
	x->next = malloc(x->cap * sizeof *x->next);
	x->head = malloc(sizeof *x->head << x->bits);
	if (!x->page || !x->pos || !x->pos_hi || !x->tag || !x->next ||
		!x->head)
		return ml_fail(x->diag, ML_ENOMEM, ML_NOWHERE,
			"out of memory");
	memset(x->head, 0xff, sizeof *x->head << x->bits);
	for (i = 0; i < base->nspan && !x->err; i++)
		index_span(x, &base->span[i],
			base->span[i].kind == ML_TENSOR ? tstep : sstep);
	return x->err;
}

int ml_index_new(struct ml_index **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag)
{
	struct ml_index *x = calloc(1, sizeof *x);
	int r;

	*out = NULL;
	if (!x)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	x->bsrc = bsrc;
	x->bsize = base->size;
	x->diag = diag;
	r = fill(x, base);
	if (r)
		ml_index_free(x);
	else
		*out = x;
	return r;
}

void ml_index_free(struct ml_index *x)
{
	if (!x)
		return;
	free(x->page);
	free(x->pos);
	free(x->pos_hi);
	free(x->tag);
	free(x->next);
	free(x->head);
	free(x);
}

uint64_t ml_index_size(const struct ml_index *x)
{
	return x->bsize;
}

struct ml_src *ml_index_src(const struct ml_index *x)
{
	return x->bsrc;
}

int ml_index_err(const struct ml_index *x)
{
	return x->err;
}

void ml_index_diag(struct ml_index *x, struct ml_diag *diag)
{
	x->diag = diag;
}

void ml_index_look(const struct ml_index *x, unsigned kind, const uint8_t *p,
	size_t n, struct ml_index_look *l)
{
	const unsigned want = kind ? FAR : NEAR;
	uint64_t h;

	l->at = NIL;
	l->seen = l->tried = 0;
	if (!x->has[kind] || n < want)
		return;
	h = hash(p, want);
	l->tag = (uint16_t)h;
	l->at = x->head[h >> (64 - x->bits)];
}

int ml_index_next(const struct ml_index *x, struct ml_index_look *l,
	uint64_t *off)
{
	uint32_t at;

	while (l->at != NIL && l->seen < CHAIN && l->tried < TRIES) {
		at = l->at;
		l->at = x->next[at];
		l->seen++;
		if (x->tag[at] != l->tag)
			continue;
		l->tried++;
		*off = (uint64_t)x->pos_hi[at] << 32 | x->pos[at];
		return 1;
	}
	return 0;
}
