/* SPDX-License-Identifier: MIT */
/* Offsets to tables and vectors only lead forward and never to themselves,
 * so that no chain of them can be a cycle. See
 * flatbuffers.dev/internals. */
#include "flatbuf.h"
#include "bytes.h"

/* Reads n bytes that must lie in the file. */
static int get(const struct ml_fb *fb, uint64_t pos, uint8_t *b, size_t n)
{
	if (pos > fb->size || n > fb->size - pos)
		return ml_fail(fb->diag, ML_EFORMAT, pos,
			"flatbuffer leads to %llu, beyond the file's %llu",
			(unsigned long long)pos,
			(unsigned long long)fb->size);
	return ml_src_read(fb->src, pos, b, n, fb->diag);
}

/* Follows the offset at pos. */
static int follow(const struct ml_fb *fb, uint64_t pos, uint64_t *to)
{
	uint8_t b[4];
	int r = get(fb, pos, b, 4);

	if (r < 0)
		return r;
	*to = pos + ml_load32(b); /* pos < size, a real file's */
	if (*to == pos)
		return ml_fail(fb->diag, ML_EFORMAT, pos,
			"flatbuffer offset at %llu leads to itself",
			(unsigned long long)pos);
	return ML_OK;
}

static int table(const struct ml_fb *fb, uint64_t pos, struct ml_fb_table *t)
{
	uint8_t b[4];
	uint64_t back;
	int r = get(fb, pos, b, 4);

	if (r < 0)
		return r;
	/* a signed distance; towards the end when negative */
	back = ml_load32(b);
	if (back & 0x80000000)
		back |= 0xffffffff00000000;
	*t = (struct ml_fb_table){.pos = pos, .vtab = pos - back};
	r = get(fb, t->vtab, b, 4);
	if (r < 0)
		return r;
	t->vlen = ml_load16(b);
	t->len = ml_load16(b + 2);
	if (t->vlen < 4 || t->vlen % 2 || t->vlen > fb->size - t->vtab ||
		t->len < 4 || t->len > fb->size - pos)
		return ml_fail(fb->diag, ML_EFORMAT, pos,
			"flatbuffer table at %llu has a bad vtable at %llu",
			(unsigned long long)pos,
			(unsigned long long)t->vtab);
	return ML_OK;
}

/* Where a field of `width` bytes lies; 0: absent. */
static int locate(const struct ml_fb *fb, const struct ml_fb_table *t,
	unsigned field, unsigned width, uint64_t *pos)
{
	uint8_t b[2];
	unsigned slot = 4 + 2 * field, off;
	int r;

	*pos = 0;
	if (t->pos == 0 || slot + 2 > t->vlen)
		return ML_OK;
	r = get(fb, t->vtab + slot, b, 2);
	if (r < 0)
		return r;
	off = ml_load16(b);
	if (off == 0)
		return ML_OK;
	if (off < 4 || off + width > t->len)
		return ml_fail(fb->diag, ML_EFORMAT, t->vtab + slot,
			"field %u leaves the flatbuffer table at %llu", field,
			(unsigned long long)t->pos);
	*pos = t->pos + off;
	return ML_OK;
}

int ml_fb_root(const struct ml_fb *fb, struct ml_fb_table *t)
{
	uint64_t pos;
	int r = follow(fb, 0, &pos);

	return r < 0 ? r : table(fb, pos, t);
}

int ml_fb_num(const struct ml_fb *fb, const struct ml_fb_table *t,
	unsigned field, unsigned width, uint64_t dflt, uint64_t *v)
{
	uint8_t b[8] = {0};
	uint64_t pos;
	int r = locate(fb, t, field, width, &pos);

	*v = dflt;
	if (r < 0 || pos == 0)
		return r;
	r = get(fb, pos, b, width);
	if (r < 0)
		return r;
	*v = ml_load64(b);
	return ML_OK;
}

int ml_fb_sub(const struct ml_fb *fb, const struct ml_fb_table *t,
	unsigned field, struct ml_fb_table *sub)
{
	uint64_t pos;
	int r = locate(fb, t, field, 4, &pos);

	*sub = (struct ml_fb_table){0};
	if (r < 0 || pos == 0)
		return r;
	r = follow(fb, pos, &pos);
	return r < 0 ? r : table(fb, pos, sub);
}

int ml_fb_vector(const struct ml_fb *fb, const struct ml_fb_table *t,
	unsigned field, unsigned width, struct ml_fb_vec *v)
{
	uint8_t b[4];
	uint64_t pos;
	int r = locate(fb, t, field, 4, &pos);

	*v = (struct ml_fb_vec){0};
	if (r < 0 || pos == 0)
		return r;
	r = follow(fb, pos, &pos);
	if (r == ML_OK)
		r = get(fb, pos, b, 4);
	if (r < 0)
		return r;
	v->pos = pos + 4;
	v->n = ml_load32(b);
	if (v->n > (fb->size - v->pos) / width)
		return ml_fail(fb->diag, ML_EFORMAT, pos,
			"flatbuffer vector at %llu of %u elements leaves the"
			" file", (unsigned long long)pos, v->n);
	return ML_OK;
}

int ml_fb_at(const struct ml_fb *fb, const struct ml_fb_vec *v, uint32_t i,
	struct ml_fb_table *t)
{
	uint64_t pos;
	int r = follow(fb, v->pos + 4 * (uint64_t)i, &pos);

	return r < 0 ? r : table(fb, pos, t);
}
