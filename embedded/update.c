/* SPDX-License-Identifier: MIT */
/* A model in flash and its updates, see update.h. */
#include <string.h>

#include "update.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "marks are little-endian"
#endif

enum { P_BOOT, P_TRY, P_IDLE, P_HEADER, P_BASE, P_MARK, P_MOVE, P_ERASE,
	P_DECODE, P_KEEP, P_COPY, P_VERIFY, P_DONE, P_ERROR };

#define IN_PLACE(u) (ML_UPD_IN_PLACE && (u)->c->nspare)
#define FULL (ML_MARK_BODY + ML_MARK_SEALS * ML_UPD_PAGE)

static int rd(struct ml_upd *u, uint32_t off, void *dst, uint32_t n)
{
	return u->c->read(u->c->ctx, off, dst, n) < 0 ? ML_UPD_EFLASH : 0;
}

static int wr(struct ml_upd *u, uint32_t off, const void *src, uint32_t n)
{
	return u->c->program(u->c->ctx, off, src, n) < 0 ? ML_UPD_EFLASH : 0;
}

static int erase(struct ml_upd *u, uint32_t off)
{
	return u->c->erase(u->c->ctx, off) < 0 ? ML_UPD_EFLASH : 0;
}

/* ----- marks ------------------------------------------------------------ */

static uint32_t mark_crc(struct ml_upd *u)
{
	return ml_dec_crc32(0, (const uint8_t *)&u->mem.hash.mark,
		sizeof u->mem.hash.mark);
}

/* Reads a mark. 0: it is sealed; > 0: where its seal would go; or an error. */
ML_SIDE int mark_read(struct ml_upd *u, unsigned page)
{
	const uint32_t from = u->c->mark[page];
	uint32_t at = FULL, s[2], crc;
	int free = FULL, r;

	r = rd(u, from, &u->mem.hash.mark, sizeof u->mem.hash.mark);
	crc = mark_crc(u);
	while (!r && (at -= ML_UPD_PAGE) >= ML_MARK_BODY) {
		r = rd(u, from + at, s, 8);
		if (s[0] == crc && s[1] == ~crc)
			return r;
		if ((s[0] & s[1]) == 0xffffffff)
			free = (int)at;
	}
	return r ? r : free;
}

/* All of a mark but its seal. It also keeps the target's digest while the
 * decoder needs the memory. */
static int mark_write(struct ml_upd *u)
{
	const struct ml_hdr *h = &u->dec.hdr;
	struct ml_mark *m = &u->mem.hash.next;

	memset(m, 0, sizeof *m);
	m->magic = ML_MARK_MAGIC;
	m->seq = u->seq + 1;
	m->slot = !u->slot;
	m->size = (uint32_t)h->target_size;
	m->release = (uint32_t)h->release;
	m->id = u->id;
	memcpy(m->sha, u->mem.hash.sum, 32);
	return wr(u, u->c->mark[!u->page], m, sizeof *m);
}

/* Makes the mark that was read the one that counts. */
static int mark_seal(struct ml_upd *u, uint32_t at)
{
	uint32_t s[ML_UPD_PAGE / 4];

	if (at == FULL)
		return ML_UPD_EFLASH;
	memset(s, 0xff, sizeof s);
	s[0] = mark_crc(u);
	s[1] = ~s[0];
	return wr(u, u->c->mark[!u->page] + at, s, sizeof s);
}

/* ----- digests ---------------------------------------------------------- */

static int hash_begin(struct ml_upd *u, uint32_t n, unsigned phase)
{
	ml_sha_init(&u->mem.hash.sha);
	u->at = 0;
	u->end = n;
	u->phase = (uint8_t)phase;
	return ML_DEC_AGAIN;
}

/* A step over a slot; then whether that has this digest: 0 or EVERIFY. */
ML_SIDE int hash(struct ml_upd *u, unsigned slot, const uint8_t *sha)
{
	const uint8_t *p;
	uint32_t k, left = ML_UPD_STEP;
	int r = 0;

	for (; !r && u->at < u->end; u->at += k, left -= ML_UPD_BUF) {
		if (!left)
			return ML_DEC_AGAIN;
		k = u->end - u->at < ML_UPD_BUF ? u->end - u->at : ML_UPD_BUF;
		r = rd(u, u->c->slot[slot] + u->at, u->buf, k);
		ml_sha_update(&u->mem.hash.sha, u->buf, k);
	}
	p = ml_sha_final(&u->mem.hash.sha);
	for (k = 0; !r && k < 32; k++)
		if (p[k] != sha[k])
			r = ML_UPD_EVERIFY;
	return r;
}

/* ----- the journal ------------------------------------------------------ */

/* CRC-32 of bytes in flash, a multiple of 4. */
static uint32_t crc_of(struct ml_upd *u, uint32_t off, uint32_t n)
{
	uint32_t crc = 0, v;

	for (; n; n -= 4, off += 4)
		crc = rd(u, off, &v, 4) ? 0 :
			ml_dec_crc32(crc, (const uint8_t *)&v, 4);
	return crc;
}

/* Writes down all that is known. What is done after this can be done again
 * from here. */
ML_SIDE int keep(struct ml_upd *u)
{
	const uint32_t last = u->c->block - 1;
	uint32_t at = u->rec;
	int r = 0;

	if ((at & last) + sizeof *u > last + 1)
		at = (at | last) + 1;
	if (at >= u->c->journal_size)
		at = 0;
	if (!(at & last))
		r = erase(u, u->c->journal + at);
	u->rec = at;
	u->num++;
	u->crc = ml_dec_crc32(0, (const uint8_t *)u + 4, sizeof *u - 4);
	if (!r)
		r = wr(u, u->c->journal + at, u, sizeof *u);
	u->rec = at + sizeof *u;
	return r ? r : ML_DEC_AGAIN;
}

/* Finds the newest record. Its update can go on while its mark is there and
 * not sealed, and this is the program that wrote it. */
static int look(struct ml_upd *u)
{
	const uint32_t last = u->c->block - 1;
	uint32_t at, v[2];
	struct {
		uint32_t seq, id, taken;
		uint8_t slot, page, phase;
		int8_t err;
	} was;
	const uint8_t *mine = (const uint8_t *)&u->c;
	uint8_t its;
	int r = 0;

	u->taken = u->num = u->rec = 0;
	u->phase = P_IDLE;
	for (at = 0; !r && at < u->c->journal_size; at += sizeof *u) {
		if ((at & last) + sizeof *u > last + 1) {
			at = (uint32_t)((at | last) + 1 - sizeof *u); /* next block */
			continue;
		}
		r = rd(u, u->c->journal + at, v, 8);
		if ((u->rec && (int32_t)(v[1] - u->num) < 0) || v[0] !=
			crc_of(u, u->c->journal + at + 4, sizeof *u - 4))
			continue;
		u->num = v[1];
		u->at = u->c->journal + at;
		/* Power may have failed in writing the next one. */
		u->rec = (at | last) + 1;
	}
	if (!u->rec || r)
		return r;
	r = rd(u, u->at + offsetof(struct ml_upd, seq), &was, sizeof was);
	for (at = offsetof(struct ml_upd, c); !r && at < offsetof(struct ml_upd,
		size); at++) {
		r = rd(u, u->at + at, &its, 1);
		if (its != *mine++)
			return r;
	}
	if (r)
		return r;
	r = mark_read(u, !was.page);
	if (r > 0 && u->mem.hash.mark.id == was.id &&
		u->mem.hash.mark.seq == was.seq + 1)
		u->taken = was.taken;
	return r < 0 ? r : 0;
}

int ml_upd_resume(struct ml_upd *u)
{
	int r = u->taken ? rd(u, u->at, u, sizeof *u) : ML_UPD_ENONE;

	u->rec = (u->rec | (u->c->block - 1)) + 1;
	return r;
}

/* ----- callbacks of the decoder ----------------------------------------- */

/* The block in which a page is made before it is put in its place; the last
 * one for turn 1. */
static uint32_t spare(const struct ml_upd *u, uint32_t turn)
{
	return u->c->spare + ((u->num - turn) & (u->c->nspare - 1)) *
		u->c->block;
}

/* Where a byte of the target is, or goes. */
static uint32_t place(const struct ml_upd *u, uint32_t at)
{
	if (IN_PLACE(u) && at >= u->clean - u->c->block)
		return spare(u, 0) + (at & (u->c->block - 1));
	return u->c->slot[!u->slot] + at;
}

static int on_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct ml_upd *u = ctx;
	uint32_t at = (uint32_t)off;

#if ML_UPD_IN_PLACE
	at += u->lead;
	if (IN_PLACE(u) && at < u->clean - u->c->block)
		return -1; /* no longer there */
#endif
	return rd(u, u->c->slot[u->slot] + at, dst, n) ? -1 : (int)n;
}

static int on_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct ml_upd *u = ctx;
	const uint32_t at = (uint32_t)off;
	uint32_t end = u->at;

	if (at >= end) { /* not yet programmed */
		end += u->fill;
		if (n > end - at)
			n = (unsigned)(end - at);
		memcpy(dst, u->last + (at - u->at), n);
		return (int)n;
	}
	if (IN_PLACE(u) && at < u->clean - u->c->block)
		end = u->clean - u->c->block;
	if (n > end - at)
		n = (unsigned)(end - at);
	return rd(u, place(u, at), dst, n) ? -1 : (int)n;
}

static int program(struct ml_upd *u, const uint8_t *src, uint32_t n)
{
	const int r = wr(u, place(u, u->at), src, n);

	u->at += n;
	return r;
}

/* What does not fill a page waits in `last`. 0: a block has to be erased
 * before. */
static int on_write(void *ctx, const uint8_t *src, unsigned n)
{
	struct ml_upd *u = ctx;

	if (u->fill || n < ML_UPD_PAGE) {
		if (n > ML_UPD_PAGE - (unsigned)u->fill)
			n = ML_UPD_PAGE - (unsigned)u->fill;
		if (u->fill + n < ML_UPD_PAGE) {
			memcpy(u->last + u->fill, src, n);
			u->fill = (uint8_t)(u->fill + n);
			return (int)n;
		}
	}
	if (u->at == u->clean)
		return 0;
	if (u->fill) {
		memcpy(u->last + u->fill, src, n);
		u->fill = 0;
		return program(u, u->last, ML_UPD_PAGE) ? -1 : (int)n;
	}
	n &= ~(ML_UPD_PAGE - 1u);
	if (n > u->clean - u->at)
		n = (unsigned)(u->clean - u->at);
	return program(u, src, n) ? -1 : (int)n;
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

/* Picks the newest mark of those left. */
static int pick(struct ml_upd *u)
{
	struct ml_mark *m = &u->mem.hash.mark;
	unsigned page;
	int r;

	u->seq = 0;
	for (page = 0; page < 2; page++) {
		if (!(u->tries >> page & 1))
			continue;
		r = mark_read(u, page);
		if (r < 0)
			return r;
		if (r || m->magic != ML_MARK_MAGIC || m->slot > 1 ||
			m->size > u->c->slot_size ||
			(u->seq && (int32_t)(m->seq - u->seq) < 0))
			continue;
		u->seq = m->seq;
		u->page = (uint8_t)page;
	}
	if (!u->seq) {
		/* The first model goes to slot 0, its mark to page 0. */
		u->slot = u->page = 1;
		u->size = u->release = 0;
		r = look(u);
		return r ? r : u->taken ? ML_UPD_EHALF : ML_UPD_ENONE;
	}
	r = mark_read(u, u->page);
	if (r < 0)
		return r;
	u->slot = (uint8_t)m->slot;
	u->size = m->size;
	u->release = m->release;
	u->tries = (uint8_t)(u->tries & ~(1u << u->page));
	return hash_begin(u, u->size, P_TRY);
}

static int fail(struct ml_upd *u, int err)
{
	/* With two slots another try begins anew. In place there is no way
	 * back: a better patch may go on from the last record. */
	if (u->phase >= P_ERASE && u->phase < P_DONE && !IN_PLACE(u) &&
		err != ML_UPD_EFLASH && err != ML_DEC_EIO)
		erase(u, u->c->mark[!u->page]);
	u->phase = P_ERROR;
	u->err = (int8_t)err;
	return err;
}

int ml_upd_boot(struct ml_upd *u)
{
	int r;

	if (u->phase == P_BOOT) {
		r = pick(u);
	} else if (u->phase == P_TRY) {
		r = hash(u, u->slot, u->mem.hash.mark.sha);
		if (r == ML_UPD_EVERIFY) { /* roll back */
			u->phase = P_BOOT;
			r = ML_DEC_AGAIN;
		} else if (!r) {
			r = look(u);
			r = r ? r : ML_DEC_DONE;
		}
	} else {
		return u->phase == P_ERROR ? u->err : u->seq ? ML_DEC_DONE :
			u->taken ? ML_UPD_EHALF : ML_UPD_ENONE;
	}
	return r == ML_UPD_EFLASH ? fail(u, r) : r;
}

/* The patch is for this device: 0. */
static int fits(struct ml_upd *u, const struct ml_hdr *h)
{
	if (h->target_size > u->c->slot_size)
		return ML_UPD_ESIZE;
	if (h->release < u->release || h->release >> 16 >> 16)
		return ML_UPD_EOLD;
	if (!(h->flags & ML_HF_BASE))
		return 0;
	if (!u->seq || h->base_size != u->size)
		return ML_UPD_EBASE;
#if ML_UPD_IN_PLACE
	if (IN_PLACE(u)) {
		u->lead = (uint32_t)h->lead << h->page;
		if (!h->page || u->c->block >> h->page == 0 ||
			u->lead & (u->c->block - 1))
			return ML_UPD_EPLACE;
		if (u->lead > u->c->slot_size - u->size)
			return ML_UPD_ESIZE;
	}
#endif
	return 0;
}

static int header(struct ml_upd *u)
{
	const struct ml_hdr *h = &u->dec.hdr;
	const uint32_t len = h->len;
	uint32_t id;
	int r;

	memcpy(&u->id, (const uint8_t *)u->mem.arena + len - 4, 4);
	if (u->taken) {
		r = rd(u, u->at + offsetof(struct ml_upd, id), &id, 4);
		if (r)
			return r;
		if (id == u->id) { /* the same once more */
			r = ml_upd_resume(u);
			u->skip = u->taken - len;
			return r ? r : ML_DEC_AGAIN;
		}
	}
	r = fits(u, h);
	if (!r && u->c->accept)
		r = u->c->accept(u->c->ctx, h, (const uint8_t *)u->mem.arena);
	if (r)
		return r;
	u->taken = len;
	/* The base's follows the target's. What else is in the header's place
	 * is not needed any more. */
	memmove(u->mem.hash.sum, h->target_sha, 64);
	return hash_begin(u, h->flags & ML_HF_BASE ? u->size : 0,
		h->flags & ML_HF_BASE ? P_BASE : P_MARK);
}

#if ML_UPD_IN_PLACE
static int copy(struct ml_upd *u, uint32_t to, uint32_t from)
{
	const uint32_t end = to + u->c->block;
	uint8_t b[32];
	int r = erase(u, to);

	for (; !r && to < end; to += sizeof b, from += sizeof b) {
		r = rd(u, from, b, sizeof b);
		if (!r)
			r = wr(u, to, b, sizeof b);
	}
	return r;
}

/* Moves the base up, the last block first. What was not moved is whole until
 * as many blocks were moved as it is moved up by. */
static int move(struct ml_upd *u)
{
	const uint32_t slot = u->c->slot[0];
	int r;

	if (!u->clean) {
		u->phase = P_ERASE;
		return ML_DEC_AGAIN;
	}
	if (u->end - u->clean == u->lead) {
		u->end = u->clean;
		return keep(u);
	}
	u->clean -= u->c->block;
	r = copy(u, slot + u->lead + u->clean, slot + u->clean);
	return r ? r : ML_DEC_AGAIN;
}

/* The page goes where it belongs, unless its spare block is used again: then
 * it did before power failed. */
static int put(struct ml_upd *u)
{
	const uint32_t from = spare(u, 1);
	int r = 0;

	if (crc_of(u, from, u->c->block) == u->spare)
		r = copy(u, u->c->slot[0] + ((u->at - 1) &
			~(u->c->block - 1)), from);
	u->phase = P_ERASE;
	if (!r && u->made)
		r = hash_begin(u, u->at, P_VERIFY);
	return r ? r : ML_DEC_AGAIN;
}
#endif

/* The next block of the target is wanted, or all are made. */
static int block_done(struct ml_upd *u)
{
	u->phase = P_ERASE;
	if (IN_PLACE(u) ? u->at > 0 : u->at && u->c->every && !u->made &&
		!(u->at & (u->c->every - 1)))
		u->phase = P_KEEP;
	else if (u->made)
		hash_begin(u, u->at, P_VERIFY);
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
		r = hash(u, u->slot, u->mem.hash.sum + 32);
		if (r)
			return r == ML_UPD_EVERIFY ? ML_UPD_EBASE : r;
		u->phase = P_MARK;
		return ML_DEC_AGAIN;
	case P_MARK: /* here the erasing begins */
		r = erase(u, u->c->mark[!u->page]);
		if (!r)
			r = mark_write(u);
		u->at = u->clean = 0;
		u->phase = P_ERASE;
#if ML_UPD_IN_PLACE
		if (u->lead) {
			u->clean = u->end = (u->size + u->c->block - 1) &
				~(u->c->block - 1);
			u->phase = P_MOVE;
		}
#endif
		return r ? r : ML_DEC_AGAIN;
#if ML_UPD_IN_PLACE
	case P_MOVE:
		return move(u);
	case P_COPY:
		return put(u);
#endif
	case P_ERASE:
		u->clean = u->at + u->c->block;
		u->phase = P_DECODE;
		r = erase(u, place(u, u->at));
		return r ? r : ML_DEC_AGAIN;
	case P_DECODE:
		if (r == ML_DEC_FULL)
			return block_done(u);
		if (r != ML_DEC_DONE)
			return r;
		if (u->fill && u->at == u->clean)
			return block_done(u);
		u->made = 1;
		if (u->fill) { /* the last page, filled up with ones */
			memset(u->last + u->fill, 0xff, ML_UPD_PAGE - u->fill);
			r = program(u, u->last, ML_UPD_PAGE);
			u->at -= ML_UPD_PAGE - u->fill;
			u->fill = 0;
			if (r)
				return r;
		}
		return block_done(u);
	case P_KEEP:
		u->phase = P_ERASE;
#if ML_UPD_IN_PLACE
		if (IN_PLACE(u)) {
			u->phase = P_COPY;
			u->spare = crc_of(u, spare(u, 0), u->c->block);
		}
#endif
		return keep(u);
	case P_VERIFY:
		/* the mark's place is not the digest's */
		if (u->at == 0) {
			r = mark_read(u, !u->page);
			if (r < 0)
				return r;
		}
		r = hash(u, !u->slot, u->mem.hash.mark.sha);
		if (r)
			return r;
		r = mark_read(u, !u->page);
		if (r > 0)
			r = mark_seal(u, (uint32_t)r);
		if (r)
			return r;
		u->page = !u->page;
		u->slot = !u->slot;
		u->seq++;
		u->size = u->end;
		u->release = u->mem.hash.mark.release;
		u->taken = 0;
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
	if (u->phase == P_HEADER) {
		r = ml_dec_feed(&u->dec, in, n, used);
	} else if (u->phase == P_DECODE) {
		if (u->skip) {
			*used = n < u->skip ? n : u->skip;
			u->skip -= (uint32_t)*used;
			return u->skip ? ML_DEC_MORE : ML_DEC_AGAIN;
		}
		r = ml_dec_feed(&u->dec, in, n, used);
		u->taken += (uint32_t)*used;
	}
	r = step(u, r);
	return r < 0 ? fail(u, r) : r;
}
