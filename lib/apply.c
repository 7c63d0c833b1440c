/* SPDX-License-Identifier: MIT */
/*
 * Applies a patch with the decoder of embedded/: here are only its
 * surroundings. The base is proven before the first byte of the target is
 * written, the target as its last byte is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "hdr.h"
#include "mldec.h"
#include "wrap.h"

#define IN_LEN 65536
#define BUF_LEN (65536 - 8)

struct job {
	/* the patch: either a part of a source, or a FILE */
	struct ml_src *psrc;
	struct ml_src *whole; /* of a FILE that was spooled */
	FILE *f;
	uint64_t at, end; /* read so far; where the source's part ends */
	uint8_t in[IN_LEN];
	size_t n, used; /* bytes in `in`, and taken from it */
	int eof;

	/* where the decoder is, for messages */
	uint64_t taken; /* offset behind the last byte taken */
	uint64_t rec; /* offset of the record in work; 0: header */
	uint64_t skip; /* bytes of it that are not looked at */
	uint8_t frame[ML_REC_HEAD_MAX];
	size_t nframe;

	struct ml_src *bsrc; /* the base's image */
	const struct ml_target *t;
	struct ml_sum *sum;
	struct ml_sha256 *body; /* of the patch, or NULL */
	struct ml_wrap_map map;
	struct ml_src *image; /* of a base with deflated parts, or NULL */
	struct ml_cast_base cast; /* of a base with casts */
	struct ml_rewrap *rewrap; /* for a target with such, or NULL */
	uint64_t written;
	uint64_t nring; /* size of the ring, 0: none */
	uint8_t *ring; /* the last bytes of the target */
	struct ml_src *spool; /* or all of it */

	void *arena;
	uint8_t *buf;
	struct ml_dec dec;
	struct ml_dec_io io;
	int err; /* of a callback */
	struct ml_diag *diag;
};

/* ===== callbacks ======================================================== */

static int io_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct job *j = ctx;

	j->err = ml_src_read(j->bsrc, off, dst, n, j->diag);
	if (j->err == ML_ETRUNC)
		j->err = ml_fail(j->diag, ML_EBASE, off,
			"base became shorter while it was read");
	return j->err ? -1 : (int)n;
}

static int io_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct job *j = ctx;
	size_t at, k;

	if (!j->nring) {
		j->err = j->spool ?
			ml_src_read(j->spool, off, dst, n, j->diag) :
			j->t->read(j->t->ctx, off, dst, n, j->diag);
		return j->err ? -1 : (int)n;
	}
	at = (size_t)(off % j->nring);
	k = j->nring - at < n ? (size_t)(j->nring - at) : n;
	memcpy(dst, j->ring + at, k);
	return (int)k;
}

static void keep(struct job *j, const uint8_t *p, size_t n)
{
	size_t at, k;

	if (n > j->nring) {
		p += n - j->nring;
		j->written += n - j->nring;
		n = (size_t)j->nring;
	}
	while (n) {
		at = (size_t)(j->written % j->nring);
		k = j->nring - at < n ? (size_t)(j->nring - at) : n;
		memcpy(j->ring + at, p, k);
		j->written += k;
		p += k;
		n -= k;
	}
}

/* Bytes of the target as it is to be. */
static int to_file(void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct job *j = ctx;

	ml_sum_update(j->sum, p, n);
	return j->t->write(j->t->ctx, p, n, diag);
}

static int io_write(void *ctx, const uint8_t *src, unsigned n)
{
	struct job *j = ctx;

	j->err = j->rewrap ? ml_rewrap_write(j->rewrap, src, n, j->diag) :
		to_file(j, src, n, j->diag);
	if (!j->err && j->spool)
		j->err = ml_src_append(j->spool, src, n, j->diag);
	if (j->nring)
		keep(j, src, n);
	return j->err ? -1 : (int)n;
}

/* ===== input ============================================================ */

/* Puts more bytes of the patch behind those in `in`. */
static int fill(struct job *j, struct ml_diag *diag)
{
	size_t room, got;
	int err;

	memmove(j->in, j->in + j->used, j->n - j->used);
	j->n -= j->used;
	j->used = 0;
	room = sizeof(j->in) - j->n;
	if (j->f) {
		errno = 0;
		got = fread(j->in + j->n, 1, room, j->f);
		if (got < room && ferror(j->f))
			return ml_fail_errno(diag, "cannot read the patch");
	} else {
		got = j->end - j->at < room ? (size_t)(j->end - j->at) : room;
		err = ml_src_read(j->psrc, j->at, j->in + j->n, got, diag);
		if (err)
			return err;
	}
	j->n += got;
	j->at += got;
	j->eof = got == 0;
	return ML_OK;
}

/* Follows the frames of the records in what the decoder took, to know which
 * one it is in. */
static void follow(struct job *j, const uint8_t *p, size_t n)
{
	const uint8_t *q;
	uint64_t out, len;

	for (; n; n--, p++) {
		if (j->skip >= n) {
			j->skip -= n;
			j->taken += n;
			return;
		}
		j->taken += j->skip;
		p += j->skip;
		n -= (size_t)j->skip;
		j->skip = 0;
		if (j->nframe == 0)
			j->rec = j->taken;
		j->taken++;
		j->frame[j->nframe++] = *p;
		q = j->frame + 1;
		if (j->nframe > 1 &&
			ml_get_varint(&q, j->frame + j->nframe, &out) == 1 &&
			ml_get_varint(&q, j->frame + j->nframe, &len) == 1) {
			j->skip = len + 4;
			j->nframe = 0;
		} else if (j->nframe == sizeof(j->frame)) {
			j->nframe = 0; /* the decoder refused it */
		}
	}
	if (j->skip == 0 && j->nframe == 0)
		j->rec = j->taken;
}

static int refused(struct job *j, int r, struct ml_diag *diag)
{
	const uint64_t at = j->skip || j->nframe ? j->rec : j->taken;

	if (r == ML_DEC_EIO)
		return j->err;
	if (r == ML_DEC_ECRC)
		return ml_fail(diag, ML_ECHECK, at,
			"record is damaged: its CRC-32 does not match");
	if (r == ML_DEC_EVERSION)
		return ml_fail(diag, ML_EVERSION, at,
			"record with a coder or an element type that is "
			"unknown here");
	return ml_fail(diag, ml_dec_err(r), at, "malformed record");
}

/* ===== header =========================================================== */

/* Reads until the header is whole; it stays in `in`. */
static int header(struct job *j, struct ml_hdr *h, int max_cls,
	struct ml_diag *diag)
{
	const uint64_t start = j->at;
	int r, err;

	while ((r = ml_hdr_parse(j->in, j->n, h)) == 0) {
		err = fill(j, diag);
		if (err)
			return err;
		if (j->eof)
			return ml_fail(diag, ML_ETRUNC, start + j->n, j->n ?
				"patch ends within its header" :
				"no patch: input ends");
	}
	if (r == ML_DEC_ECRC)
		return ml_fail(diag, ML_ECHECK, start,
			"header of the patch is damaged: its CRC-32 does not "
			"match");
	if (r == ML_DEC_EVERSION)
		return ml_fail(diag, ML_EVERSION, start,
			"patch of a version or with a feature that is unknown "
			"here");
	if (r < 0 && h->version) /* so the magic was right */
		return ml_fail(diag, ML_EFORMAT, start + 4,
			"malformed header of a patch");
	if (r < 0)
		return ml_fail(diag, ML_EFORMAT, start, "not a mallorn patch");
	if (h->cls > max_cls || !ml_dec_arena(h->cls))
		return ml_fail(diag, ML_ECLASS, start,
			"patch of memory class %s, but no more than %s is "
			"allowed here", ml_class_name(h->cls),
			ml_class_name(max_cls));
	if (j->f)
		return ML_OK;
	if (h->body_len > j->end - start - h->len)
		return ml_fail(diag, ML_ETRUNC, j->end,
			"patch ends here, but goes to %llu",
			(unsigned long long)(start + h->len + h->body_len));
	j->end = start + h->len + h->body_len;
	if (j->at > j->end) { /* of the next patch */
		j->n -= (size_t)(j->at - j->end);
		j->at = j->end;
	}
	return ML_OK;
}

static int check_base(struct job *j, const struct ml_hdr *h,
	struct ml_diag *diag)
{
	if (!(h->flags & ML_HF_BASE))
		return ML_OK;
	if (!j->bsrc)
		return ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"the patch needs a base of %llu bytes",
			(unsigned long long)h->base_size);
	return ml_src_is_base(j->bsrc, ml_hdr_sum(h), h->base_size,
		h->base_sha, diag);
}

/* A patch from a pipe to a spool: what it begins with may be as long as it
 * likes. It ends at `end`. */
static int take_all(struct job *j, uint64_t end, struct ml_diag *diag)
{
	uint8_t *buf = malloc(IN_LEN);
	size_t n = 0;
	int err = buf ? ml_src_spool(&j->whole, diag) :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");

	if (!err)
		err = ml_src_append(j->whole, j->in, j->n, diag);
	while (!err && (n = fread(buf, 1, IN_LEN, j->f)) > 0)
		err = ml_src_append(j->whole, buf, n, diag);
	if (!err && ferror(j->f))
		err = ml_fail_errno(diag, "cannot read the patch");
	if (!err && ml_src_size(j->whole) < end)
		err = ml_fail(diag, ML_ETRUNC, ml_src_size(j->whole),
			"patch ends here, but goes to %llu",
			(unsigned long long)end);
	if (!err && ml_src_size(j->whole) > end)
		err = ml_fail(
			diag, ML_EFORMAT, end, "bytes after the patch");
	free(buf);
	j->psrc = j->whole;
	j->end = end;
	j->f = NULL;
	return err;
}

/* What the header says of deflated parts. */
static int unwrap(struct job *j, const struct ml_hdr *h, uint64_t body,
	struct ml_diag *diag)
{
	struct ml_casts casts;
	int err;

	if (!h->wrapped)
		return ML_OK;
	err = j->f ? take_all(j, body + h->body_len, diag) : ML_OK;
	if (!err)
		err = ml_map_read(&j->map, j->psrc, body, h, diag);
	if (!err && (j->map.nbase || j->map.ncast) && !j->bsrc)
		err = ml_fail(diag, ML_EFORMAT, body,
			"parts of a base, but no base");
	casts.c = j->map.cast;
	casts.n = j->map.ncast;
	if (!err && j->bsrc)
		err = ml_base_open(&j->bsrc, &j->image, &j->cast, j->map.base,
			j->map.nbase, j->map.base_image, &casts, diag);
	if (!err && j->map.ntarget)
		err = ml_rewrap_new(&j->rewrap, j->map.target,
			j->map.ntarget, to_file, j, diag);
	return err;
}

/* Memory that depends on the header. */
static int prepare(struct job *j, const struct ml_hdr *h, struct ml_diag *diag)
{
	const uint64_t window = h->window < h->target_image ? h->window :
		h->target_image;
	/* the file cannot be read as the image that copies count in */
	const int again = j->t->read && !h->wrapped;
	const size_t arena = ml_dec_arena(h->cls);
	int err = ml_sum_new(&j->sum, ml_hdr_sum(h), 2, diag);

	if (!err && h->body_sha)
		err = ml_sha256_new(&j->body, diag);
	if (err)
		return err;
	if (window > ML_WINDOW_MAX && !again) {
		err = ml_src_spool(&j->spool, diag);
		if (err)
			return err;
	} else if (window && !again) {
		j->ring = malloc((size_t)window);
		if (!j->ring)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		j->nring = window;
	}
	j->arena = malloc(arena);
	j->buf = malloc(BUF_LEN);
	if (!j->arena || !j->buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	j->io.ctx = j;
	j->io.base = io_base;
	j->io.target = io_target;
	j->io.write = io_write;
	ml_dec_init(&j->dec, &j->io, j->arena, arena, j->buf, BUF_LEN);
	return ML_OK;
}

/* ===== the work ========================================================= */

static int decode(struct job *j, struct ml_diag *diag)
{
	size_t used;
	int r, err;

	for (;;) {
		r = ml_dec_feed(
			&j->dec, j->in + j->used, j->n - j->used, &used);
		if (r != ML_DEC_HEADER)
			follow(j, j->in + j->used, used);
		else
			j->taken = j->rec = j->taken + used;
		if (r != ML_DEC_HEADER && j->body)
			ml_sha256_update(j->body, j->in + j->used, used);
		j->used += used;
		if (r < 0)
			return refused(j, r, diag);
		if (r == ML_DEC_DONE)
			return ML_OK;
		if (r != ML_DEC_MORE)
			continue;
		err = fill(j, diag);
		if (err)
			return err;
		if (j->eof)
			return ml_fail(diag, ML_ETRUNC, j->at,
				"patch ends within the record at %llu",
				(unsigned long long)j->rec);
	}
}

/* Nothing may follow a patch from a pipe. */
static int at_end(struct job *j, struct ml_diag *diag)
{
	int err = ML_OK;

	if (j->f && j->used == j->n)
		err = fill(j, diag);
	if (!err && j->used < j->n)
		err = ml_fail(diag, ML_EFORMAT, j->taken,
			"bytes after the patch");
	return err;
}

static int apply(struct job *j, int max_cls, struct ml_diag *diag)
{
	uint8_t sha[ML_SHA256_LEN], promised[ML_SHA256_LEN];
	uint8_t body[ML_SHA256_LEN];
	struct ml_hdr h;
	int kind, err;

	j->taken = j->at;
	j->diag = diag;
	err = header(j, &h, max_cls, diag);
	if (!err && j->t->accept)
		err = j->t->accept(j->t->ctx, &h, j->in, diag);
	if (!err)
		err = check_base(j, &h, diag);
	if (!err)
		err = unwrap(j, &h, j->taken + h.len, diag);
	if (!err)
		err = prepare(j, &h, diag);
	if (err)
		return err;
	kind = ml_hdr_sum(&h);
	memcpy(promised, h.target_sha, sizeof(promised));
	if (j->body)
		memcpy(body, h.body_sha, sizeof(body));
	err = decode(j, diag);
	if (!err)
		err = at_end(j, diag);
	if (err)
		return err;
	if (j->body) {
		ml_sha256_final(j->body, sha);
		if (memcmp(sha, body, sizeof(sha)) != 0)
			return ml_fail(diag, ML_ECHECK, ML_NOWHERE,
				"the body has not the SHA-256 that the header "
				"tells");
	}
	ml_sum_final(j->sum, sha);
	if (memcmp(sha, promised, sizeof(sha)) != 0)
		return ml_fail(diag, ML_EDIGEST, ML_NOWHERE,
			"the result has not the %s that the patch promises",
			ml_sum_name(kind));
	return ML_OK;
}

static void job_free(struct job *j)
{
	ml_sum_free(j->sum);
	ml_sha256_free(j->body);
	ml_src_free(j->spool);
	ml_cast_base_free(&j->cast);
	ml_src_free(j->image);
	ml_src_free(j->whole);
	ml_rewrap_free(j->rewrap);
	ml_map_free(&j->map);
	free(j->ring);
	free(j->arena);
	free(j->buf);
	free(j);
}

int ml_apply(struct ml_src *psrc, uint64_t *off, struct ml_src *bsrc,
	int max_cls, const struct ml_target *t, struct ml_diag *diag)
{
	struct job *j = calloc(1, sizeof(*j));
	int err;

	if (!j)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	j->psrc = psrc;
	j->at = *off;
	j->end = ml_src_size(psrc) > *off ? ml_src_size(psrc) : *off;
	j->bsrc = bsrc;
	j->t = t;
	err = apply(j, max_cls, diag);
	if (!err)
		*off = j->end;
	job_free(j);
	return err;
}

int ml_apply_stream(FILE *f, struct ml_src *bsrc, int max_cls,
	const struct ml_target *t, struct ml_diag *diag)
{
	struct job *j = calloc(1, sizeof(*j));
	int err;

	if (!j)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	j->f = f;
	j->bsrc = bsrc;
	j->t = t;
	err = apply(j, max_cls, diag);
	job_free(j);
	return err;
}
