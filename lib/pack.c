/* SPDX-License-Identifier: MIT */
/*
 * Framing of blocks into a patch, ml-patch(5).
 *
 * Plain blocks in a row become one record, and an operation that goes on
 * where the one before it ended becomes part of it, across blocks too: so a
 * copy of a whole file is one operation however it was cut on its way here.
 * The head of such an operation is known only at its end. Therefore the spool
 * holds pieces: data of one operation whose head is yet to be written, or
 * finished operations, or whole records. A block adds at most three of them.
 * Where operations end, the few that there mostly are become a record as well;
 * if all is records in the end, the spool is the patch, but for its header.
 */
#include <stdlib.h>
#include <string.h>

#include "blockio.h"
#include "bytes.h"
#include "elem.h"
#include "mldec.h"
#include "pack.h"

#define SMALL (1u << 18) /* bytes of operations that are written anew */

int ml_pack_new(struct ml_packer **out, struct ml_diag *diag)
{
	static const uint8_t room[ML_HDR_MAX];
	struct ml_packer *p = calloc(1, sizeof(*p));
	int err = ML_ENOMEM;

	*out = NULL;
	if (p)
		p->buf = malloc(ML_RECORD_MAX);
	if (!p || !p->buf)
		ml_fail(diag, err, ML_NOWHERE, "out of memory");
	else
		err = ml_src_spool(&p->spool, diag);
	if (!err)
		err = ml_src_append(p->spool, room, sizeof(room), diag);
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

static struct ml_piece *last_piece(const struct ml_packer *p)
{
	return p->npiece ? &p->piece[p->npiece - 1] : NULL;
}

static int push(struct ml_packer *p, const struct ml_piece *piece,
	struct ml_diag *diag)
{
	struct ml_piece *more;
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

	if (!err) { /* what every decoder knows */
		ml_op_uncross(v);
		v->type = ml_plain_twin(v->type);
	}
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
	struct ml_piece *last = last_piece(p), new = {0};
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

/* ===== records ========================================================== */

size_t ml_record_head(uint8_t *p, unsigned coder, uint64_t out, uint64_t n)
{
	size_t k = 0;

	p[k++] = (uint8_t)coder;
	k += ml_put_varint(p + k, out);
	k += ml_put_varint(p + k, n);
	return k;
}

size_t ml_piece_head(uint8_t p[ML_OP_HEAD_MAX], const struct ml_piece *t)
{
	uint64_t units = t->out;

	if (t->kind != P_OP)
		return 0;
	if (t->op == ML_OP_DIFF)
		units /= ml_type_bytes(t->type);
	return ml_op_head(p, t->op, t->type, units, t->arg);
}

int ml_next_record(const struct ml_packer *p, struct ml_rec *r)
{
	uint8_t head[ML_OP_HEAD_MAX];
	const struct ml_piece *t;

	r->first = r->end;
	r->out = r->n = 0;
	if (r->end == p->npiece)
		return 0;
	r->coder = p->piece[r->end].coder;
	r->whole = p->piece[r->end].kind == P_RECORD;
	do {
		t = &p->piece[r->end++];
		r->out += t->out;
		r->n += t->n + ml_piece_head(head, t);
	} while (!r->whole && r->end < p->npiece &&
		p->piece[r->end].kind != P_RECORD && !p->piece[r->end].coder);
	return 1;
}

/* Whole records that lie at the end of the spool. */
static int push_records(struct ml_packer *p, uint64_t n, uint64_t out,
	struct ml_diag *diag)
{
	const struct ml_piece piece = {.kind = P_RECORD, .n = n, .out = out};
	struct ml_piece *last = last_piece(p);

	if (!last || last->kind != P_RECORD)
		return push(p, &piece, diag);
	last->n += n;
	last->out += out;
	return ML_OK;
}

/* The record r, whose data lie at *from, to *to. */
static void build(const struct ml_packer *p, const struct ml_rec *r,
	const uint8_t **from, uint8_t **to)
{
	uint8_t *start = *to;
	size_t i;

	*to += ml_record_head(*to, r->coder, r->out, r->n);
	for (i = r->first; i < r->end; i++) {
		*to += ml_piece_head(*to, &p->piece[i]);
		memcpy(*to, *from, (size_t)p->piece[i].n);
		*to += p->piece[i].n;
		*from += p->piece[i].n;
	}
	ml_store32(*to, ml_crc32(0, start, (size_t)(*to - start)));
	*to += 4;
}

int ml_pack_close(struct ml_packer *p, struct ml_diag *diag)
{
	const size_t each = ML_REC_HEAD_MAX + ML_OP_HEAD_MAX + 4;
	size_t first = p->npiece, room;
	uint64_t n = 0, out = 0;
	const uint8_t *from;
	uint8_t *old, *new, *to;
	struct ml_rec r;
	int err;

	while (first && p->piece[first - 1].kind != P_RECORD) {
		n += p->piece[--first].n;
		out += p->piece[first].out;
	}
	room = p->npiece - first;
	if (room == 0 || n > SMALL || room > SMALL / each)
		return ML_OK;
	old = malloc((size_t)n * 2 + room * each + 1);
	if (!old)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	from = old;
	new = to = old + n;
	err = ml_src_read(p->spool, ml_src_size(p->spool) - n, old, (size_t)n,
		diag);
	if (!err) {
		for (r.end = first; ml_next_record(p, &r);)
			build(p, &r, &from, &to);
		p->npiece = first;
		ml_src_cut(p->spool, ml_src_size(p->spool) - n);
		err = push_records(p, (uint64_t)(to - new), out, diag);
	}
	if (!err)
		err = ml_src_append(p->spool, new, (size_t)(to - new), diag);
	free(old);
	return err;
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
	int err;

	if (b->coder & ~(ML_RECORD_CODER | ML_RECORD_RESET) ||
		coder > ML_CODER_FAST)
		return ml_fail_newer(
			diag, ML_NOWHERE, "coder 0x%02x", b->coder);
	if (b->n_out == 0 || b->n > ML_BLOCK_CODE_MAX)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"block of %zu bytes that makes %llu", b->n,
			(unsigned long long)b->n_out);
	if (b->n_out >= ML_SIZE_MAX - p->made)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"target of 2^62 bytes or more");
	if (b->coder & ML_RECORD_RESET)
		p->reset = 1; /* the record of what comes next */
	if (coder == ML_CODER_PLAIN) {
		p->plain = 1;
		return pack_plain(p, b, diag);
	}
	if (coder == ML_CODER_FAST) {
		err = check_fast(p, b, diag);
		if (err)
			return err;
	}
	err = ml_pack_close(p, diag);
	if (err)
		return err;
	p->nbuf = ml_record_head(p->buf, coder | (p->reset ? ML_RECORD_RESET : 0),
		b->n_out, b->n);
	memcpy(p->buf + p->nbuf, b->code, b->n);
	p->nbuf += b->n;
	ml_store32(p->buf + p->nbuf, ml_crc32(0, p->buf, p->nbuf));
	p->nbuf += 4;
	err = push_records(p, p->nbuf, b->n_out, diag);
	if (!err)
		err = ml_src_append(p->spool, p->buf, p->nbuf, diag);
	p->ranged |= coder != ML_CODER_FAST;
	p->reset = 0;
	p->made += b->n_out;
	if (b->window > p->window)
		p->window = b->window;
	p->types |= b->types;
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
	k = ml_record_head(head, ML_CODER_NOTE, 0, n);
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
