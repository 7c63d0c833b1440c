/* SPDX-License-Identifier: MIT */
/* Two slots and two marks in flash, see update.h. */
#include <string.h>

#include "update.h"

enum { P_BOOT, P_TRY, P_IDLE, P_HEADER, P_BASE, P_MARK, P_DECODE, P_VERIFY,
	P_DONE, P_ERROR };

struct mark {
	uint32_t seq, slot, size, release;
};

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
		(uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static int differ(const uint8_t *p, const uint8_t *q, unsigned n)
{
	while (n--)
		if (*p++ != *q++)
			return 1;
	return 0;
}

static int rd(struct ml_upd *u, uint32_t off, void *dst, unsigned n)
{
	return u->c->read(u->c->ctx, off, dst, n) < 0 ? ML_UPD_EFLASH : 0;
}

/* ----- marks ------------------------------------------------------------ */

/* CRC-32 of a mark's body. */
static int mark_crc(struct ml_upd *u, unsigned page, uint32_t *crc)
{
	unsigned i;
	int r;

	*crc = 0;
	for (i = 0; i < ML_MARK_BODY; i += 8) {
		r = rd(u, u->c->mark[page] + i, u->buf, 8);
		if (r)
			return r;
		*crc = ml_dec_crc32(*crc, u->buf, 8);
	}
	return 0;
}

/* 1: it is valid. */
static int mark_read(struct ml_upd *u, unsigned page, struct mark *m)
{
	uint32_t crc;
	int r = mark_crc(u, page, &crc);

	if (!r)
		r = rd(u, u->c->mark[page] + ML_MARK_BODY, u->buf, 8);
	if (r)
		return r;
	if (get32(u->buf) != crc || get32(u->buf + 4) != ~crc)
		return 0;
	r = rd(u, u->c->mark[page], u->buf, 8);
	if (r)
		return r;
	m->seq = get32(u->buf + 4);
	if (get32(u->buf) != ML_MARK_MAGIC || !m->seq)
		return 0;
	r = rd(u, u->c->mark[page] + 8, u->buf, 12);
	m->slot = get32(u->buf);
	m->size = get32(u->buf + 4);
	m->release = get32(u->buf + 8);
	return r ? r : m->slot < 2 && m->size <= u->c->slot_size;
}

/* All of a mark but what makes it count. It keeps the target's digest, too,
 * while the decoder needs the memory. */
static int mark_write(struct ml_upd *u)
{
	const struct ml_hdr *h = &u->dec.hdr;
	const uint32_t to = u->c->mark[!u->page];
	uint8_t *p = u->buf;
	unsigned i, k;

	for (i = 0; i < ML_MARK_BODY; i += ML_UPD_PAGE)
		for (k = 0; k < ML_UPD_PAGE; k += 4) {
			switch (i + k) {
			case 0: put32(p + k, ML_MARK_MAGIC); break;
			case 4: put32(p + k, u->seq + 1); break;
			case 8: put32(p + k, !u->slot); break;
			case 12: put32(p + k, (uint32_t)h->target_size); break;
			case 16: put32(p + k, (uint32_t)h->release); break;
			default:
				if (i + k < ML_MARK_SHA)
					put32(p + k, 0);
				else
					memcpy(p + k, h->target_sha + i + k -
						ML_MARK_SHA, 4);
			}
			if (k + 4 == ML_UPD_PAGE && u->c->program(u->c->ctx,
				to + i, p, ML_UPD_PAGE) < 0)
				return ML_UPD_EFLASH;
		}
	return 0;
}

/* The rest, in one go. */
static int mark_commit(struct ml_upd *u)
{
	uint32_t crc;
	int r = mark_crc(u, !u->page, &crc);

	if (r)
		return r;
	memset(u->last, 0xff, ML_UPD_PAGE);
	put32(u->last, crc);
	put32(u->last + 4, ~crc);
	if (u->c->program(u->c->ctx, u->c->mark[!u->page] + ML_MARK_BODY,
		u->last, ML_UPD_PAGE) < 0)
		return ML_UPD_EFLASH;
	return 0;
}

/* ----- digests ---------------------------------------------------------- */

static void hash_begin(struct ml_upd *u, uint32_t n)
{
	ml_sha_init(&u->mem.hash.sha);
	u->at = 0;
	u->end = n;
}

/* A step over a slot. 0: done. */
static int hash(struct ml_upd *u, unsigned slot)
{
	unsigned k, left = ML_UPD_STEP;
	int r;

	while (u->at < u->end) {
		if (!left)
			return ML_DEC_AGAIN;
		k = left < ML_UPD_BUF ? left : ML_UPD_BUF;
		if (k > u->end - u->at)
			k = (unsigned)(u->end - u->at);
		r = rd(u, u->c->slot[slot] + u->at, u->buf, k);
		if (r)
			return r;
		ml_sha_update(&u->mem.hash.sha, u->buf, k);
		u->at += k;
		left -= k;
	}
	return 0;
}

/* Whether it is the digest of a mark: 0, or `other`. */
static int is_mark(struct ml_upd *u, unsigned page, int other)
{
	const uint8_t *sha = ml_sha_final(&u->mem.hash.sha);
	unsigned i;
	int r;

	for (i = 0; i < 32; i += 8) {
		r = rd(u, u->c->mark[page] + ML_MARK_SHA + i, u->buf, 8);
		if (r)
			return r;
		if (differ(u->buf, sha + i, 8))
			return other;
	}
	return 0;
}

/* ----- callbacks of the decoder ----------------------------------------- */

static int on_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct ml_upd *u = ctx;

	return rd(u, u->c->slot[u->slot] + (uint32_t)off, dst, n) ? -1 : (int)n;
}

static int on_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct ml_upd *u = ctx;
	const uint32_t at = (uint32_t)off;

	if (at >= u->at) { /* not yet programmed */
		if (n > u->fill - (at - u->at))
			n = (unsigned)(u->fill - (at - u->at));
		memcpy(dst, u->last + (at - u->at), n);
		return (int)n;
	}
	if (n > u->at - at)
		n = (unsigned)(u->at - at);
	return rd(u, u->c->slot[!u->slot] + at, dst, n) ? -1 : (int)n;
}

/* Programs n bytes, whole pages, as far as erased; u->at says how far. 1:
 * erased a block instead, to be called again. */
static int program(struct ml_upd *u, const uint8_t *src, uint32_t n)
{
	const uint32_t to = u->c->slot[!u->slot] + u->at;

	if (u->at == u->clean) {
		if (u->c->erase(u->c->ctx, to) < 0)
			return -1;
		u->clean += u->c->block;
		return 1;
	}
	if (n > u->clean - u->at)
		n = u->clean - u->at;
	if (u->c->program(u->c->ctx, to, src, n) < 0)
		return -1;
	u->at += n;
	return 0;
}

/* What does not fill a page waits in `last`. */
static int on_write(void *ctx, const uint8_t *src, unsigned n)
{
	struct ml_upd *u = ctx;
	unsigned done = 0, k;
	uint32_t at;
	int r;

	while (done < n || u->fill == ML_UPD_PAGE) {
		k = n - done;
		if (u->fill == ML_UPD_PAGE) {
			r = program(u, u->last, ML_UPD_PAGE);
			if (!r)
				u->fill = 0;
		} else if (!u->fill && k >= ML_UPD_PAGE) {
			at = u->at;
			r = program(u, src + done, k & ~(ML_UPD_PAGE - 1u));
			done += (unsigned)(u->at - at);
		} else {
			if (k > ML_UPD_PAGE - (unsigned)u->fill)
				k = ML_UPD_PAGE - (unsigned)u->fill;
			memcpy(u->last + u->fill, src + done, k);
			u->fill = (uint8_t)(u->fill + k);
			done += k;
			r = 0;
		}
		if (r)
			return r < 0 ? r : (int)done;
	}
	return (int)done;
}

/* ----- phases ----------------------------------------------------------- */

void ml_upd_init(struct ml_upd *u, const struct ml_upd_conf *c)
{
	memset(u, 0, sizeof *u);
	u->c = c;
	u->tries = 3;
	u->io.ctx = u;
	u->io.base = on_base;
	u->io.target = on_target;
	u->io.write = on_write;
}

static int fail(struct ml_upd *u, int err)
{
	u->phase = P_ERROR;
	u->err = (int8_t)err;
	return err;
}

/* Picks the newest mark of those left. */
static int pick(struct ml_upd *u)
{
	struct mark m = { 0, 0, 0, 0 };
	unsigned page;
	int r;

	u->seq = 0;
	for (page = 0; page < 2; page++) {
		if (!(u->tries >> page & 1))
			continue;
		r = mark_read(u, page, &m);
		if (r < 0)
			return r;
		if (!r || (u->seq && (int32_t)(m.seq - u->seq) < 0))
			continue;
		u->seq = m.seq;
		u->slot = (uint8_t)m.slot;
		u->page = (uint8_t)page;
		u->size = m.size;
		u->release = m.release;
	}
	if (!u->seq) {
		/* The first model goes to slot 0, its mark to page 0. */
		u->slot = u->page = 1;
		u->size = u->release = 0;
		u->phase = P_IDLE;
		return ML_UPD_ENONE;
	}
	u->tries = (uint8_t)(u->tries & ~(1u << u->page));
	hash_begin(u, u->size);
	u->phase = P_TRY;
	return ML_DEC_AGAIN;
}

int ml_upd_boot(struct ml_upd *u)
{
	int r;

	if (u->phase == P_BOOT) {
		r = pick(u);
		return r == ML_UPD_EFLASH ? fail(u, r) : r;
	}
	if (u->phase != P_TRY)
		return u->phase == P_ERROR ? u->err : u->seq ? ML_DEC_DONE :
			ML_UPD_ENONE;
	r = hash(u, u->slot);
	if (!r)
		r = is_mark(u, u->page, ML_UPD_EVERIFY);
	if (r == ML_UPD_EVERIFY) { /* roll back */
		u->phase = P_BOOT;
		return ML_DEC_AGAIN;
	}
	if (r)
		return r < 0 ? fail(u, r) : r;
	u->phase = P_IDLE;
	return ML_DEC_DONE;
}

static int header(struct ml_upd *u)
{
	const struct ml_hdr *h = &u->dec.hdr;

	if (h->target_size > u->c->slot_size)
		return ML_UPD_ESIZE;
	if (h->release < u->release || h->release >> 16 >> 16)
		return ML_UPD_EOLD;
	u->next = (uint32_t)h->release;
	u->phase = P_MARK;
	if (!(h->flags & ML_HF_BASE))
		return ML_DEC_AGAIN;
	if (!u->seq || h->base_size != u->size)
		return ML_UPD_EBASE;
	hash_begin(u, u->size);
	u->phase = P_BASE;
	return ML_DEC_AGAIN;
}

/* One step; r is what the decoder said in a phase that has one. */
ML_SIDE int step(struct ml_upd *u, int r)
{
	switch (u->phase) {
	case P_BOOT:
	case P_TRY:
		return ML_UPD_ENONE;
	case P_IDLE:
		ml_dec_init(&u->dec, &u->io, u->mem.arena, sizeof u->mem.arena,
			u->buf, sizeof u->buf);
		u->phase = P_HEADER;
		return ML_DEC_AGAIN;
	case P_HEADER:
		return r == ML_DEC_HEADER ? header(u) : r;
	case P_BASE:
		r = hash(u, u->slot);
		if (r)
			return r;
		if (differ(ml_sha_final(&u->mem.hash.sha), u->dec.hdr.base_sha,
			32))
			return ML_UPD_EBASE;
		u->phase = P_MARK;
		return ML_DEC_AGAIN;
	case P_MARK: /* here the erasing begins */
		if (u->c->erase(u->c->ctx, u->c->mark[!u->page]) < 0)
			return ML_UPD_EFLASH;
		r = mark_write(u);
		u->at = 0;
		u->phase = P_DECODE;
		return r ? r : ML_DEC_AGAIN;
	case P_DECODE:
		if (r == ML_DEC_FULL)
			return ML_DEC_AGAIN;
		if (r != ML_DEC_DONE)
			return r;
		if (u->fill) { /* the last page, filled up with ones */
			memset(u->last + u->fill, 0xff, ML_UPD_PAGE - u->fill);
			r = program(u, u->last, ML_UPD_PAGE);
			if (r)
				return r < 0 ? ML_UPD_EFLASH : ML_DEC_AGAIN;
			u->at -= ML_UPD_PAGE - u->fill;
		}
		hash_begin(u, u->at);
		u->phase = P_VERIFY;
		return ML_DEC_AGAIN;
	case P_VERIFY:
		r = hash(u, !u->slot);
		if (!r)
			r = is_mark(u, !u->page, ML_UPD_EVERIFY);
		if (!r)
			r = mark_commit(u);
		if (r)
			return r;
		u->page = !u->page;
		u->slot = !u->slot;
		u->seq++;
		u->size = u->end;
		u->release = u->next;
		u->phase = P_DONE;
		return ML_DEC_DONE;
	case P_DONE:
		return ML_DEC_DONE;
	default:
		return u->err;
	}
}

int ml_upd_feed(struct ml_upd *u, const uint8_t *in, size_t n, size_t *used)
{
	int r = 0;

	/* Not in step: the decoder has the longest chain of calls. */
	*used = 0;
	if (u->phase == P_HEADER || u->phase == P_DECODE)
		r = ml_dec_feed(&u->dec, in, n, used);
	r = step(u, r);
	return r < 0 ? fail(u, r) : r;
}
