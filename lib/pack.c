/* SPDX-License-Identifier: MIT */
/*
 * Framing of blocks into a patch, ml-patch(5).
 *
 * Plain blocks in a row become one record, and an operation that goes on
 * where the one before it ended becomes part of it, across blocks too: so a
 * copy of a whole file is one operation however it was cut on its way here.
 * The head of such an operation is known only at its end. Therefore the spool
 * holds pieces: data of one operation whose head is yet to be written, or
 * finished operations. A block adds at most three of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blockio.h"
#include "bytes.h"
#include "cast.h"
#include "elem.h"
#include "hdr.h"
#include "mldec.h"
#include "ops.h"

#define COPY 65536
#define NANO_MAX (UINT64_C(1) << 31) /* sizes of a nano patch are below */
#define BLOCK_CODE_MAX (ML_CODE_MAX - ML_CODE_HEAD)

enum piece_kind { P_OPS, P_OP, P_RANGE }; /* the last: any coder's */

struct piece {
	uint64_t n; /* bytes in the spool, in order of the pieces */
	uint64_t out; /* target bytes that they make */
	uint64_t arg; /* of an operation */
	uint8_t kind; /* enum piece_kind */
	uint8_t op, type; /* of an operation */
	uint8_t coder; /* first byte of the record */
};

struct ml_packer {
	struct ml_src *spool, *notes;
	struct piece *piece;
	size_t npiece, cap;
	uint64_t made; /* target bytes */
	uint64_t window;
	uint64_t base_end; /* of what copies and residuals use */
	int ranged; /* has range-coded records */
	int fast; /* has fast ones */
	int reset; /* for the next range-coded record */
	uint8_t *buf; /* what a block adds to the spool */
	size_t nbuf;
};

int ml_pack_new(struct ml_packer **out, struct ml_diag *diag)
{
	struct ml_packer *p = calloc(1, sizeof(*p));
	int err = ML_ENOMEM;

	*out = NULL;
	if (p)
		p->buf = malloc(BLOCK_CODE_MAX);
	if (!p || !p->buf)
		ml_fail(diag, err, ML_NOWHERE, "out of memory");
	else
		err = ml_src_spool(&p->spool, diag);
	if (!err)
		err = ml_src_spool(&p->notes, diag);
	if (err) {
		ml_pack_free(p);
		return err;
	}
	*out = p;
	return ML_OK;
}

void ml_pack_free(struct ml_packer *p)
{
	if (!p)
		return;
	ml_src_free(p->spool);
	ml_src_free(p->notes);
	free(p->piece);
	free(p->buf);
	free(p);
}

static struct piece *last_piece(const struct ml_packer *p)
{
	return p->npiece ? &p->piece[p->npiece - 1] : NULL;
}

static int push(struct ml_packer *p, const struct piece *piece,
	struct ml_diag *diag)
{
	struct piece *more;
	size_t cap;

	if (p->npiece == p->cap) {
		cap = p->cap ? p->cap * 2 : 64;
		more = realloc(p->piece, cap * sizeof(*more));
		if (!more)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		p->piece = more;
		p->cap = cap;
	}
	p->piece[p->npiece++] = *piece;
	return ML_OK;
}

/* ===== plain operations ================================================= */

/* Reads an operation; elements without a base are bytes to a decoder. */
static int read_op(const uint8_t **q, const uint8_t *end,
	struct ml_op_view *v, struct ml_diag *diag)
{
	const int err = ml_op_read(q, end, v, diag);

	if (!err) /* what every decoder knows */
		v->type = ml_plain_twin(v->type);
	if (!err && v->op == ML_OP_ALONE) {
		v->op = ML_OP_LIT;
		v->type = 0;
		v->n = v->bytes;
	}
	return err;
}

/* Whether v goes on where (op, type, arg) ended after `out` bytes. */
static int goes_on(unsigned op, unsigned type, uint64_t arg, uint64_t out,
	const struct ml_op_view *v)
{
	if (v->op != op || v->type != type)
		return 0;
	if (op == ML_OP_LIT)
		return 1;
	return v->arg == (op == ML_OP_SELF ? arg : arg + out);
}

/* What the target and the base allow at this place. */
static int check_op(struct ml_packer *p, const struct ml_op_view *v,
	uint64_t left, struct ml_diag *diag)
{
	if (v->bytes > left)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operation makes more than its block says");
	if (v->op == ML_OP_SELF) {
		if (v->arg == 0 || v->arg > p->made)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"copy from before the target's begin");
		if (v->arg > p->window)
			p->window = v->arg;
	} else if (v->op != ML_OP_LIT) {
		if (v->arg > ML_SIZE_MAX)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"copy from behind the base's end");
		if (v->arg + v->bytes > p->base_end)
			p->base_end = v->arg + v->bytes;
	}
	p->made += v->bytes;
	return ML_OK;
}

/* Takes the operation at *q and all that go on from it: *v is their sum but
 * for the data. */
static int group(struct ml_packer *p, const uint8_t **q, const uint8_t *end,
	uint64_t *left, struct ml_op_view *v, struct ml_diag *diag)
{
	const uint8_t *ahead;
	struct ml_op_view w;
	int err = read_op(q, end, v, diag);

	if (!err)
		err = check_op(p, v, *left, diag);
	if (!err)
		*left -= v->bytes;
	while (!err && *q < end) {
		ahead = *q;
		err = read_op(&ahead, end, &w, diag);
		if (err || !goes_on(v->op, v->type, v->arg, v->bytes, &w))
			break;
		err = check_op(p, &w, *left, diag);
		if (err)
			break;
		*left -= w.bytes;
		*q = ahead;
		v->bytes += w.bytes;
		v->n += w.n;
	}
	return err;
}

/* The data of the operations at q[0..end) to buf. They are read a second
 * time, so nothing can be wrong. */
static void gather(struct ml_packer *p, const uint8_t *q, const uint8_t *end,
	struct ml_diag *diag)
{
	struct ml_op_view v;

	while (q < end && !read_op(&q, end, &v, diag))
		if (v.data) {
			memcpy(p->buf + p->nbuf, v.data, v.bytes);
			p->nbuf += v.bytes;
		}
}

/* One group: to the last piece, to the finished ones, or a new piece. */
static int place(struct ml_packer *p, const uint8_t *start,
	const uint8_t *q, const uint8_t *end, const struct ml_op_view *v,
	struct ml_diag *diag)
{
	struct piece *last = last_piece(p), new = {0};
	const size_t before = p->nbuf;

	if (last && !p->reset && last->kind == P_OP &&
		goes_on(last->op, last->type, last->arg, last->out, v)) {
		gather(p, start, q, diag);
		last->n += p->nbuf - before;
		last->out += v->bytes;
		return ML_OK;
	}
	if (q == end) {
		gather(p, start, q, diag);
		new.kind = P_OP;
		new.op = (uint8_t)v->op;
		new.type = (uint8_t)v->type;
		new.arg = v->arg;
	} else {
		p->nbuf += ml_op_head(
			p->buf + p->nbuf, v->op, v->type, v->n, v->arg);
		gather(p, start, q, diag);
		if (last && !p->reset && last->kind == P_OPS) {
			last->n += p->nbuf - before;
			last->out += v->bytes;
			return ML_OK;
		}
		new.kind = P_OPS;
	}
	new.n = p->nbuf - before;
	new.out = v->bytes;
	new.coder = p->reset ? ML_RECORD_RESET : 0;
	p->reset = 0;
	return push(p, &new, diag);
}

static int pack_plain(struct ml_packer *p, const struct ml_block *b,
	struct ml_diag *diag)
{
	const uint8_t *q = b->code, *end = q + b->n, *start;
	uint64_t left = b->n_out;
	struct ml_op_view v;
	int err = ML_OK;

	/* a group is never longer than what it was made of: buf suffices */
	p->nbuf = 0;
	while (!err && q < end) {
		start = q;
		err = group(p, &q, end, &left, &v, diag);
		if (!err)
			err = place(p, start, q, end, &v, diag);
	}
	if (!err && left)
		err = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"block makes fewer bytes than it says");
	return err ? err : ml_src_append(p->spool, p->buf, p->nbuf, diag);
}

/* ===== blocks and labels ================================================ */

/* A fast block: what it uses of the base. */
static int check_fast(struct ml_packer *p, const struct ml_block *b,
	struct ml_diag *diag)
{
	struct ml_fast_head h;

	if (ml_fast_head(&h, b->code, b->n, b->n_out))
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"malformed fast block");
	if (ML_FAST_BASED(h.form) && h.at > ML_SIZE_MAX)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"residuals against bytes behind the base's end");
	if (ML_FAST_BASED(h.form) && h.at + b->n_out > p->base_end)
		p->base_end = h.at + b->n_out;
	p->fast = 1;
	return ML_OK;
}

int ml_pack_block(struct ml_packer *p, const struct ml_block *b,
	struct ml_diag *diag)
{
	const unsigned coder = b->coder & ML_RECORD_CODER;
	struct piece piece = {0};
	int err;

	if (b->coder & ~(ML_RECORD_CODER | ML_RECORD_RESET) ||
		(coder > ML_CODER_RANGE && coder != ML_CODER_FAST))
		return ml_fail(diag, ML_EVERSION, ML_NOWHERE,
			"unknown coder %u", b->coder);
	if (b->n_out == 0 || b->n > BLOCK_CODE_MAX)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"block of %zu bytes that makes %llu", b->n,
			(unsigned long long)b->n_out);
	if (b->n_out >= ML_SIZE_MAX - p->made)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"target of 2^62 bytes or more");
	if (b->coder & ML_RECORD_RESET)
		p->reset = 1; /* the record of what comes next */
	if (coder == ML_CODER_PLAIN)
		return pack_plain(p, b, diag);
	if (coder == ML_CODER_FAST) {
		err = check_fast(p, b, diag);
		if (err)
			return err;
	}
	piece.kind = P_RANGE;
	piece.n = b->n;
	piece.out = b->n_out;
	piece.coder = (uint8_t)(coder | (p->reset ? ML_RECORD_RESET : 0));
	err = push(p, &piece, diag);
	if (!err)
		err = ml_src_append(p->spool, b->code, b->n, diag);
	p->ranged |= coder == ML_CODER_RANGE;
	p->reset = 0;
	p->made += b->n_out;
	if (b->window > p->window)
		p->window = b->window;
	return err;
}

int ml_pack_literal(struct ml_packer *p, struct ml_src *s,
	struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	uint8_t *buf = malloc(ML_CHUNK + ML_LITERAL_MAX);
	struct ml_block b;
	uint64_t at;
	size_t n;
	int err = ML_OK;

	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (at = 0; !err && at < size; at += n) {
		n = size - at < ML_CHUNK ? (size_t)(size - at) : ML_CHUNK;
		err = ml_src_read(s, at, buf, n, diag);
		ml_block_literal(&b, buf + ML_CHUNK, buf, n);
		if (!err)
			err = ml_pack_block(p, &b, diag);
	}
	free(buf);
	return err;
}

/* The head of a record; returns its length. */
static size_t record_head(uint8_t *p, unsigned coder, uint64_t out, uint64_t n)
{
	size_t k = 0;

	p[k++] = (uint8_t)coder;
	k += ml_put_varint(p + k, out);
	k += ml_put_varint(p + k, n);
	return k;
}

/* What lies between tensors needs no label: that it has none says it. */
int ml_pack_span(
	struct ml_packer *p, const struct ml_span *sp, struct ml_diag *diag)
{
	const size_t n = 1 + 24 + 8 * (size_t)sp->rank + sp->name_len;
	uint8_t head[ML_REC_HEAD_MAX], *rec, *at;
	size_t k, i;
	int err;

	if (sp->kind == ML_SKELETON)
		return ML_OK;
	if (sp->rank > ML_RANK_MAX || sp->name_len > ML_NAME_MAX)
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"span that no note can hold");
	k = record_head(head, ML_CODER_NOTE, 0, n);
	rec = malloc(k + n + 4);
	if (!rec)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	memcpy(rec, head, k);
	at = rec + k;
	*at++ = ML_NOTE_LABEL;
	at[0] = sp->kind;
	at[1] = sp->rank;
	ml_store16(at + 2, sp->dtype);
	ml_store32(at + 4, sp->name_len);
	ml_store64(at + 8, sp->off);
	ml_store64(at + 16, sp->len);
	for (at += 24, i = 0; i < sp->rank; i++, at += 8)
		ml_store64(at, sp->shape[i]);
	memcpy(at, sp->name, sp->name_len);
	ml_store32(rec + k + n, ml_crc32(0, rec, k + n));
	err = ml_src_append(p->notes, rec, k + n + 4, diag);
	free(rec);
	return err;
}

/* ===== the patch ======================================================== */

/* The pieces of one record: [first, end). */
struct rec {
	size_t first, end;
	uint64_t out, n;
	unsigned coder;
};

/* The head of a piece in a record; 0 when it has none. */
static size_t piece_head(uint8_t p[ML_OP_HEAD_MAX], const struct piece *t)
{
	uint64_t units = t->out;

	if (t->kind != P_OP)
		return 0;
	if (t->op == ML_OP_DIFF)
		units /= ml_type_bytes(t->type);
	return ml_op_head(p, t->op, t->type, units, t->arg);
}

/* The record that begins with piece r->end. 0: there is none. */
static int next_record(const struct ml_packer *p, struct rec *r)
{
	uint8_t head[ML_OP_HEAD_MAX];
	const struct piece *t;

	r->first = r->end;
	r->out = r->n = 0;
	if (r->end == p->npiece)
		return 0;
	r->coder = p->piece[r->end].coder;
	do {
		t = &p->piece[r->end++];
		r->out += t->out;
		r->n += t->n + piece_head(head, t);
	} while (t->kind != P_RANGE && r->end < p->npiece &&
		p->piece[r->end].kind != P_RANGE && !p->piece[r->end].coder);
	return 1;
}

static int put(FILE *f, const void *b, size_t n, struct ml_diag *diag)
{
	errno = 0;
	if (n && fwrite(b, 1, n, f) != n)
		return ml_fail_errno(diag, "cannot write the patch");
	return ML_OK;
}

/* Copies bytes of a spool; *crc goes on. */
static int put_spool(FILE *f, struct ml_src *s, uint64_t off, uint64_t n,
	uint8_t *buf, uint32_t *crc, struct ml_diag *diag)
{
	int err = ML_OK;

	while (!err && n) {
		const size_t k = n < COPY ? (size_t)n : COPY;

		err = ml_src_read(s, off, buf, k, diag);
		if (err)
			break;
		*crc = ml_crc32(*crc, buf, k);
		err = put(f, buf, k, diag);
		off += k;
		n -= k;
	}
	return err;
}

static int put_record(struct ml_packer *p, const struct rec *r, uint64_t *off,
	FILE *f, struct ml_diag *diag)
{
	uint8_t head[ML_REC_HEAD_MAX + ML_OP_HEAD_MAX];
	uint32_t crc;
	size_t k, i;
	int err;

	k = record_head(head, r->coder, r->out, r->n);
	crc = ml_crc32(0, head, k);
	err = put(f, head, k, diag);
	for (i = r->first; !err && i < r->end; i++) {
		const struct piece *t = &p->piece[i];

		k = piece_head(head, t);
		crc = ml_crc32(crc, head, k);
		err = put(f, head, k, diag);
		if (!err)
			err = put_spool(
				f, p->spool, *off, t->n, p->buf, &crc, diag);
		*off += t->n;
	}
	ml_store32(head, crc);
	return err ? err : put(f, head, 4, diag);
}

/* The class that the header says, or an error. */
static int class_of(const struct ml_packer *p,
	const struct ml_patch_info *info, uint64_t body, struct ml_diag *diag)
{
	const int small = info->target_size < NANO_MAX && body < NANO_MAX &&
		(!info->has_base || info->base_size < NANO_MAX);

	if (ml_info_wrapped(info) || info->sum != ML_SHA256)
		return ML_FULL;
	if (p->fast && info->cls != ML_FULL)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"fast blocks are of class full");
	if (p->fast)
		return ML_FULL;
	if (!p->ranged)
		return small ? ML_NANO : ML_MICRO;
	if (!ml_dec_arena(info->cls))
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"no such memory class");
	if (info->cls == ML_NANO && !small)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"2 GiB or more are too large for a nano patch");
	return info->cls;
}

/* Appends a record with a note. */
static int add_note(uint8_t **out, size_t *len, const uint8_t *note, size_t n,
	struct ml_diag *diag)
{
	uint8_t head[ML_REC_HEAD_MAX], *p;
	const size_t k = record_head(head, ML_CODER_NOTE, 0, n);

	p = realloc(*out, *len + k + n + 4);
	if (!p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	*out = p;
	p += *len;
	memcpy(p, head, k);
	memcpy(p + k, note, n);
	ml_store32(p + k + n, ml_crc32(0, p, k + n));
	*len += k + n + 4;
	return ML_OK;
}

/* The records that tell deflated parts and casts; none when there are none. */
static int wraps_note(const struct ml_patch_info *info, uint8_t **out,
	size_t *len, struct ml_diag *diag)
{
	uint8_t *map, *note;
	size_t n;
	int err;

	*out = NULL;
	*len = 0;
	if (!ml_info_wrapped(info))
		return ML_OK;
	err = ml_map_encode(
		&map, &n, &info->base_wraps, &info->target_wraps, diag);
	if (!err) {
		err = add_note(out, len, map, n, diag);
		free(map);
	}
	if (err || !info->casts.n)
		return err;
	err = ml_cast_encode(&map, &n, &info->casts, diag);
	if (err)
		return err;
	note = malloc(n + 1);
	if (note) {
		note[0] = ML_NOTE_CASTS;
		memcpy(note + 1, map, n);
		err = add_note(out, len, note, n + 1, diag);
	} else {
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	free(note);
	free(map);
	return err;
}

int ml_pack_finish(struct ml_packer *p, const struct ml_patch_info *info,
	FILE *f, struct ml_diag *diag)
{
	const uint64_t target = info->target_wraps.n ?
		info->target_wraps.image : info->target_size;
	uint64_t base = info->has_base ? info->base_size : 0;
	uint8_t head[ML_HDR_MAX];
	uint64_t body = ml_src_size(p->notes), off = 0;
	struct rec r;
	uint32_t crc = 0;
	uint8_t *note;
	size_t nnote;
	int cls, err;

	if (info->has_base)
		base = ml_info_base_image(info);
	if (p->made != target)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"the blocks make %llu bytes, but the target has %llu",
			(unsigned long long)p->made,
			(unsigned long long)target);
	if (p->base_end > base)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"the blocks use %llu bytes of the base, which has %llu",
			(unsigned long long)p->base_end,
			(unsigned long long)base);
	if (info->release >> 63 || base >= ML_SIZE_MAX)
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"number too large for a header");
	for (r.end = 0; next_record(p, &r);)
		body += record_head(head, r.coder, r.out, r.n) + r.n + 4;
	err = wraps_note(info, &note, &nnote, diag);
	if (err) {
		free(note);
		return err;
	}
	body += nnote;
	cls = class_of(p, info, body, diag);
	if (cls < 0) {
		free(note);
		return cls;
	}
	err = put(f, head, ml_hdr_put(head, info, cls, body, p->window), diag);
	if (!err)
		err = put(f, note, nnote, diag);
	free(note);
	if (!err)
		err = put_spool(f, p->notes, 0, ml_src_size(p->notes), p->buf,
			&crc, diag);
	for (r.end = 0; !err && next_record(p, &r);)
		err = put_record(p, &r, &off, f, diag);
	return err;
}
