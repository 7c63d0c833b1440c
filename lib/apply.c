/* SPDX-License-Identifier: MIT */
/*
 * Applies a patch with the decoder of embedded/: here are only its
 * surroundings. The base is proven before the first byte of the target is
 * written, the target as its last byte is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "cast.h"
#include "crew.h"
#include "fast.h"
#include "feed.h"
#include "wrap.h"

struct job {
	struct ml_feed p; /* the patch */
	struct ml_src *whole; /* of a FILE that was spooled */

	struct ml_src *bsrc; /* the base's image */
	const struct ml_target *t;
	struct ml_sum *sum;
	struct ml_wrap_map map;
	struct ml_src *image; /* of a base with deflated parts, or NULL */
	struct ml_cast_base cast; /* of a base with casts */
	struct ml_rewrap *rewrap; /* for a target with such, or NULL */
	uint64_t written;
	uint64_t nring; /* size of the ring, 0: none */
	uint8_t *ring; /* the last bytes of the target */
	struct ml_src *spool; /* all of it, unless it can be read again */

	void *arena;
	struct ml_fast *fast; /* class full: for fast records */
	uint8_t *buf;
	struct ml_dec_io io;
	struct ml_diag *diag;
};

/* ===== callbacks ======================================================== */

static int io_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct job *j = ctx;

	j->p.err = j->cast.made ? ml_cast_read(j->cast.made, off, dst, n,
		j->diag) : ml_src_read(j->bsrc, off, dst, n, j->diag);
	if (j->p.err == ML_ETRUNC)
		j->p.err = ml_fail(j->diag, ML_EBASE, off,
			"base became shorter while it was read");
	return j->p.err ? -1 : (int)n;
}

/* Bytes of the target that were made before: how many, or an error. */
static int look_back(void *ctx, uint64_t off, uint8_t *dst, size_t n,
	struct ml_diag *diag)
{
	struct job *j = ctx;
	const uint64_t far = j->written < j->nring ? 0 : j->written - j->nring;
	size_t at, k;
	int err;

	if (off < far) { /* farther back than the ring goes */
		k = far - off < n ? (size_t)(far - off) : n;
		err = j->spool ? ml_src_read(j->spool, off, dst, k, diag) :
			j->t->read(j->t->ctx, off, dst, k, diag);
		return err ? err : (int)k;
	}
	at = (size_t)(off % j->nring);
	k = j->nring - at < n ? (size_t)(j->nring - at) : n;
	memcpy(dst, j->ring + at, k);
	return (int)k;
}

static int io_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct job *j = ctx;
	const int k = look_back(j, off, dst, n, j->diag);

	j->p.err = k < 0 ? k : ML_OK;
	return k < 0 ? -1 : k;
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

/* Bytes of the image, in order. */
static int made(void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct job *j = ctx;
	int err = j->rewrap ? ml_rewrap_write(j->rewrap, p, n, diag) :
		to_file(j, p, n, diag);

	if (!err && j->spool)
		err = ml_src_append(j->spool, p, n, diag);
	if (j->nring)
		keep(j, p, n);
	return err;
}

static int io_write(void *ctx, const uint8_t *src, unsigned n)
{
	struct job *j = ctx;

	j->p.err = made(j, src, n, j->diag);
	return j->p.err ? -1 : (int)n;
}

/* ===== header =========================================================== */

/* Reads until the header is whole; it stays in `in`. */
static int header(struct job *j, struct ml_hdr *h, int max_cls,
	struct ml_diag *diag)
{
	const uint64_t start = j->p.at;
	int r, err;

	while ((r = ml_hdr_parse(j->p.in, j->p.n, h)) == 0) {
		err = ml_feed_fill(&j->p, diag);
		if (err)
			return err;
		if (j->p.eof)
			return ml_fail(diag, ML_ETRUNC, start + j->p.n, j->p.n ?
				"patch ends within its header" :
				"no patch: input ends");
	}
	if (r < 0)
		return ml_hdr_refused(r, h, start, diag);
	if (h->cls > max_cls || !ml_dec_arena(h->cls))
		return ml_fail(diag, ML_ECLASS, start,
			"patch of memory class %s, but no more than %s is "
			"allowed here", ml_class_name(h->cls),
			ml_class_name(max_cls));
	if (j->p.f)
		return ML_OK;
	if (h->body_len > j->p.end - start - h->len)
		return ml_fail(diag, ML_ETRUNC, j->p.end,
			"patch ends here, but goes to %llu",
			(unsigned long long)(start + h->len + h->body_len));
	j->p.end = start + h->len + h->body_len;
	if (j->p.at > j->p.end) { /* of the next patch */
		j->p.n -= (size_t)(j->p.at - j->p.end);
		j->p.at = j->p.end;
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
	if (j->t->base_known && ml_src_size(j->bsrc) == h->base_size)
		return ML_OK;
	return ml_src_is_base(j->bsrc, ml_hdr_sum(h), h->base_size,
		h->base_sha, diag);
}

/* A patch from a pipe to a spool: what it begins with may be as long as it
 * likes. It ends at `end`. */
static int take_all(struct job *j, uint64_t end, struct ml_diag *diag)
{
	uint8_t *buf = malloc(ML_FEED_LEN);
	size_t n = 0;
	int err = buf ? ml_src_spool(&j->whole, diag) :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");

	if (!err)
		err = ml_src_append(j->whole, j->p.in, j->p.n, diag);
	while (!err && (n = fread(buf, 1, ML_FEED_LEN, j->p.f)) > 0)
		err = ml_src_append(j->whole, buf, n, diag);
	if (!err && ferror(j->p.f))
		err = ml_fail_errno(diag, "cannot read the patch");
	if (!err && ml_src_size(j->whole) < end)
		err = ml_fail(diag, ML_ETRUNC, ml_src_size(j->whole),
			"patch ends here, but goes to %llu",
			(unsigned long long)end);
	if (!err && ml_src_size(j->whole) > end)
		err = ml_fail(
			diag, ML_EFORMAT, end, "bytes after the patch");
	free(buf);
	j->p.psrc = j->whole;
	j->p.end = end;
	j->p.f = NULL;
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
	err = j->p.f ? take_all(j, body + h->body_len, diag) : ML_OK;
	if (!err)
		err = ml_map_read(&j->map, j->p.psrc, body, h, diag);
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
	int err = ml_sum_new(&j->sum, ml_hdr_sum(h), j->t->threads, diag);

	if (!err && h->body_sha)
		err = ml_sha256_new(&j->p.body, diag);
	if (err)
		return err;
	if (window > ML_WINDOW_MAX && !again) {
		err = ml_src_spool(&j->spool, diag);
		if (err)
			return err;
	}
	if (window) {
		j->nring = window < ML_WINDOW_MAX ? window : ML_WINDOW_MAX;
		j->ring = malloc((size_t)j->nring);
		if (!j->ring)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
	}
	j->arena = malloc(arena);
	j->buf = malloc(ML_FEED_BUF);
	if (h->cls == ML_FULL)
		j->fast = malloc(sizeof(*j->fast));
	if (!j->arena || !j->buf || (h->cls == ML_FULL && !j->fast))
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	j->io.ctx = j;
	j->io.base = io_base;
	j->io.target = io_target;
	j->io.write = io_write;
	ml_dec_init(&j->p.dec, &j->io, j->arena, arena, j->buf, ML_FEED_BUF);
	if (j->fast)
		j->fast->kern = ml_fast_code_best()->dec;
	j->p.dec.fast = j->fast;
	j->p.dec.crc32 = ml_crc32;
	return ML_OK;
}

/* ===== the work ========================================================= */

/* Nothing may follow a patch from a pipe. */
static int at_end(struct job *j, struct ml_diag *diag)
{
	int err = ML_OK;

	/* a serial line goes on */
	if (j->p.f && j->p.used == j->p.n && !isatty(fileno(j->p.f)))
		err = ml_feed_fill(&j->p, diag);
	if (!err && j->p.used < j->p.n)
		err = ml_fail(diag, ML_EFORMAT, j->p.taken,
			"bytes after the patch");
	return err;
}

/* Several threads leave the body to be hashed apart. */
static int hash_body(struct job *j, uint64_t at, struct ml_diag *diag)
{
	int err = ML_OK;
	size_t n;

	for (; !err && at < j->p.end; at += n) {
		n = j->p.end - at < ML_FEED_BUF ? (size_t)(j->p.end - at) :
			ML_FEED_BUF;
		err = ml_src_read(j->p.psrc, at, j->buf, n, diag);
		if (!err)
			ml_sha256_update(j->p.body, j->buf, n);
	}
	return err;
}

static int decode(struct job *j, const struct ml_hdr *h, uint64_t body,
	struct ml_diag *diag)
{
	const struct ml_crew_io io = {j, made, look_back};
	int err, done = 0;

	if (j->p.psrc && j->t->threads > 1) {
		err = ml_crew(j->p.psrc, body, h, j->bsrc, j->cast.made,
			j->t->threads, &io, &done, diag);
		if (!err && done && j->p.body)
			err = hash_body(j, body, diag);
		if (err || done)
			return err;
	}
	err = ml_feed_run(&j->p, diag);
	return err ? err : at_end(j, diag);
}

static int apply(struct job *j, int max_cls, struct ml_diag *diag)
{
	uint8_t sha[ML_SHA256_LEN], promised[ML_SHA256_LEN];
	uint8_t body[ML_SHA256_LEN];
	const uint64_t start = j->p.at;
	struct ml_hdr h;
	int kind, err;

	j->p.taken = j->p.at;
	j->diag = diag;
	err = header(j, &h, max_cls, diag);
	if (!err && j->t->accept)
		err = j->t->accept(j->t->ctx, &h, j->p.in, diag);
	if (!err)
		err = check_base(j, &h, diag);
	if (!err)
		err = unwrap(j, &h, j->p.taken + h.len, diag);
	if (!err)
		err = prepare(j, &h, diag);
	if (err)
		return err;
	kind = ml_hdr_sum(&h);
	memcpy(promised, h.target_sha, sizeof(promised));
	if (j->p.body)
		memcpy(body, h.body_sha, sizeof(body));
	err = decode(j, &h, start + h.len, diag);
	if (err)
		return err;
	if (j->p.body) {
		ml_sha256_final(j->p.body, sha);
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
	ml_sha256_free(j->p.body);
	ml_src_free(j->spool);
	ml_cast_base_free(&j->cast);
	ml_src_free(j->image);
	ml_src_free(j->whole);
	ml_rewrap_free(j->rewrap);
	ml_map_free(&j->map);
	free(j->ring);
	free(j->arena);
	free(j->fast);
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
	j->p.psrc = psrc;
	j->p.at = *off;
	j->p.end = ml_src_size(psrc) > *off ? ml_src_size(psrc) : *off;
	j->bsrc = bsrc;
	j->t = t;
	err = apply(j, max_cls, diag);
	if (!err)
		*off = j->p.end;
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
	j->p.f = f;
	j->bsrc = bsrc;
	j->t = t;
	err = apply(j, max_cls, diag);
	job_free(j);
	return err;
}
