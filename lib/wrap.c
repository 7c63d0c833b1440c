/* SPDX-License-Identifier: MIT */
/*
 * Deflated parts of a file, seen inflated.
 *
 * A writer of zip files deflates with zlib, at one of its levels. Inflated,
 * such a member has tensors like any other, and a patch of it is as small;
 * deflated again in the same way it is the same byte for byte, which is tried
 * before anything relies on it. zlib's output does not depend on how its input
 * is cut; that of another implementation may differ, which the digest of the
 * target shows.
 */
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "bytes.h"
#include "wrap.h"

#define PIECE 65536
#define RATIO_MAX 64 /* what shrinks more is no tensor of weights, or a bomb */
#define WBITS (-15) /* raw deflate, the largest window, as in zip */

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

static int zerror(int z, struct ml_diag *diag)
{
	if (z == Z_MEM_ERROR)
		return no_memory(diag);
	return ml_fail(diag, ML_EFORMAT, ML_NOWHERE, "malformed deflate data");
}

int ml_wrap_legal(const struct ml_wrap *w)
{
	return w->len > 0 && w->pos < UINT64_MAX / 4 &&
		w->len < UINT64_MAX / 4 && w->level >= 1 && w->level <= 9 &&
		w->mem >= 1 && w->mem <= 9 && w->strategy <= 4;
}

/* ===== inflating ======================================================== */

/* Inflates what begins at *off of s, below `end`, to the end of the spool;
 * moves *off behind it. At most max bytes. */
static int inflate_to(struct ml_src *s, uint64_t *off, uint64_t end,
	struct ml_src *spool, uint64_t max, struct ml_diag *diag)
{
	const uint64_t start = ml_src_size(spool);
	uint8_t *in = malloc(2 * PIECE), *out = in + PIECE;
	z_stream z;
	size_t n;
	int r = Z_OK, err = ML_OK, full = 0;

	memset(&z, 0, sizeof(z));
	if (!in || inflateInit2(&z, WBITS) != Z_OK) {
		free(in);
		return no_memory(diag);
	}
	while (!err && r != Z_STREAM_END) {
		if (z.avail_in == 0 && !full) { /* else there is more to come */
			n = end - *off < PIECE ? (size_t)(end - *off) : PIECE;
			if (n == 0) {
				err = ml_fail(diag, ML_ETRUNC, *off,
					"deflate data without an end");
				break;
			}
			err = ml_src_read(s, *off, in, n, diag);
			z.next_in = in;
			z.avail_in = (uInt)n;
			*off += n;
		}
		z.next_out = out;
		z.avail_out = PIECE;
		if (!err)
			r = inflate(&z, Z_NO_FLUSH);
		if (!err && r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
			err = zerror(r, diag);
		n = PIECE - z.avail_out;
		full = z.avail_out == 0;
		if (!err && ml_src_size(spool) - start + n > max)
			err = ml_fail(diag, ML_EFORMAT, *off,
				"deflate data that make too much");
		if (!err)
			err = ml_src_append(spool, out, n, diag);
	}
	*off -= z.avail_in;
	inflateEnd(&z);
	free(in);
	return err;
}

/* ===== trying =========================================================== */

/* Whether spool[at..at+len) deflates to the bytes at w->off. */
static int same(const struct ml_wrap *w, struct ml_src *s,
	struct ml_src *spool, uint8_t *buf, int *again, struct ml_diag *diag)
{
	uint8_t *in = buf, *out = buf + PIECE, *was = buf + 2 * PIECE;
	uint64_t at = 0, done = 0;
	z_stream z;
	size_t n;
	int r = Z_OK, err = ML_OK;

	*again = 0;
	memset(&z, 0, sizeof(z));
	if (deflateInit2(&z, w->level, Z_DEFLATED, WBITS, w->mem,
		w->strategy) != Z_OK)
		return no_memory(diag);
	while (!err && r != Z_STREAM_END) {
		if (z.avail_in == 0 && at < w->len) {
			n = w->len - at < PIECE ? (size_t)(w->len - at) : PIECE;
			err = ml_src_read(spool, w->at + at, in, n, diag);
			z.next_in = in;
			z.avail_in = (uInt)n;
			at += n;
		}
		z.next_out = out;
		z.avail_out = PIECE;
		if (!err)
			r = deflate(&z, at < w->len ? Z_NO_FLUSH : Z_FINISH);
		n = PIECE - z.avail_out;
		if (err || n > w->clen - done)
			break;
		err = ml_src_read(s, w->off + done, was, n, diag);
		if (err || memcmp(was, out, n) != 0)
			break;
		done += n;
	}
	*again = !err && r == Z_STREAM_END && done == w->clen;
	deflateEnd(&z);
	return err;
}

int ml_wrap_try(struct ml_wrap *w, struct ml_src *s, struct ml_src *spool,
	int *again, struct ml_diag *diag)
{
	/* Python's, Java's and most others' first, then all there are */
	static const uint8_t level[] = {6, 9, 1, 2, 3, 4, 5, 7, 8};
	static const uint8_t mem[] = {8, 9};
	const uint64_t start = ml_src_size(spool);
	uint64_t end = w->off;
	struct ml_diag why;
	uint8_t *buf;
	size_t i, k;
	int err;

	*again = 0;
	if (w->len == 0 || w->len / RATIO_MAX > w->clen)
		return ML_OK;
	w->at = start;
	err = inflate_to(s, &end, w->off + w->clen, spool, w->len, &why);
	if (err == ML_EFORMAT || err == ML_ETRUNC || (!err &&
		(end != w->off + w->clen ||
			ml_src_size(spool) - start != w->len))) {
		ml_src_cut(spool, start);
		return ML_OK; /* not what the archive says: opaque */
	}
	if (err) {
		*diag = why;
		return err;
	}
	buf = malloc(3 * PIECE);
	if (!buf)
		return no_memory(diag);
	for (i = 0; !err && !*again && i < sizeof(mem); i++)
		for (k = 0; !err && !*again && k < sizeof(level); k++) {
			w->level = level[k];
			w->mem = mem[i];
			err = same(w, s, spool, buf, again, diag);
		}
	free(buf);
	if (!*again)
		ml_src_cut(spool, start);
	return err;
}

/* ===== the image ======================================================== */

int ml_wrap_add(
	struct ml_model *m, const struct ml_wrap *w, struct ml_diag *diag)
{
	size_t cap = m->nwrap;
	struct ml_wrap *p;

	if (m->nwrap >= ML_WRAPS_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %u deflated parts", ML_WRAPS_MAX);
	if ((cap & (cap - 1)) == 0) { /* a power of two: full */
		p = realloc(m->wrap, (cap ? cap * 2 : 1) * sizeof(*p));
		if (!p)
			return no_memory(diag);
		m->wrap = p;
	}
	m->wrap[m->nwrap++] = *w;
	return ML_OK;
}

/* A file and a spool with what its deflated parts make. */
struct image {
	struct ml_src *file, *spool;
	struct ml_wrap *w;
	size_t n;
};

static void image_free(void *ctx)
{
	struct image *im = ctx;

	ml_src_free(im->spool);
	free(im->w);
	free(im);
}

/* The first wrap that ends behind `at`. */
static size_t wrap_at(const struct ml_wrap *w, size_t n, uint64_t at)
{
	size_t lo = 0, mid;

	while (n) {
		mid = n / 2;
		if (w[lo + mid].pos + w[lo + mid].len <= at) {
			lo += mid + 1;
			n -= mid + 1;
		} else {
			n = mid;
		}
	}
	return lo;
}

static int image_read(void *ctx, uint64_t off, void *buf, size_t n,
	struct ml_diag *diag)
{
	struct image *im = ctx;
	uint8_t *p = buf;
	size_t i = wrap_at(im->w, im->n, off), k;
	uint64_t from;
	int err = ML_OK;

	for (; n && !err; off += k, p += k, n -= k) {
		const struct ml_wrap *w = &im->w[i];

		if (i < im->n && off >= w->pos) {
			from = off - w->pos;
			k = w->len - from < n ? (size_t)(w->len - from) : n;
			err = ml_src_read(im->spool, w->at + from, p, k, diag);
			i += from + k == w->len;
			continue;
		}
		k = i < im->n && w->pos - off < n ? (size_t)(w->pos - off) : n;
		from = off;
		if (i > 0)
			from = im->w[i - 1].off + im->w[i - 1].clen + off -
				(im->w[i - 1].pos + im->w[i - 1].len);
		err = ml_src_read(im->file, from, p, k, diag);
	}
	return err;
}

/* Takes the spool, and a copy of the wraps. */
static int image_new(struct ml_src **out, struct ml_src *file,
	struct ml_src *spool, const struct ml_wrap *w, size_t n,
	struct ml_diag *diag)
{
	static const struct ml_src_ops ops = {image_read, image_free};
	const struct ml_wrap *last = &w[n - 1];
	struct image *im = calloc(1, sizeof(*im));

	if (im)
		im->w = malloc(n * sizeof(*w));
	if (!im || !im->w) {
		free(im);
		ml_src_free(spool);
		return no_memory(diag);
	}
	memcpy(im->w, w, n * sizeof(*w));
	im->n = n;
	im->file = file;
	im->spool = spool;
	return ml_src_made(out, last->pos + last->len + ml_src_size(file) -
		(last->off + last->clen), &ops, im, diag);
}

static int by_off(const void *pa, const void *pb)
{
	const struct ml_wrap *a = pa, *b = pb;

	return (a->off > b->off) - (a->off < b->off);
}

/* Where a span of the file lies in the image; 0 when it is none, since it
 * has bytes of a wrap. */
static int moved(struct ml_span *sp, const struct ml_wrap *w, size_t n)
{
	size_t lo = 0, hi = n, mid;

	while (lo < hi) { /* the first wrap that ends behind the span's begin */
		mid = lo + (hi - lo) / 2;
		if (w[mid].off + w[mid].clen <= sp->off)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < n && sp->off + sp->len > w[lo].off)
		return 0;
	if (lo > 0)
		sp->off += w[lo - 1].pos + w[lo - 1].len - w[lo - 1].off -
			w[lo - 1].clen;
	return 1;
}

/* Sorts the wraps by offset, leaves out those that share bytes with another
 * and says in place[] where each has gone; SIZE_MAX for those. */
static void sort_wraps(struct ml_model *m, size_t *place)
{
	struct ml_wrap *w = m->wrap;
	uint64_t shift = 0;
	size_t i, k, was;

	for (i = 0; i < m->nwrap; i++)
		w[i].pos = i; /* for now */
	qsort(w, m->nwrap, sizeof(*w), by_off);
	for (i = k = 0; i < m->nwrap; i++) {
		was = (size_t)w[i].pos;
		place[was] = SIZE_MAX;
		if (k && w[i].off < w[k - 1].off + w[k - 1].clen)
			continue;
		w[k] = w[i];
		w[k].pos = w[k].off + shift;
		shift += w[k].len - w[k].clen; /* modulo 2^64 */
		place[was] = k++;
	}
	m->nwrap = k;
}

int ml_image_new(struct ml_model *m, struct ml_src *s, struct ml_src **spool,
	struct ml_diag *diag)
{
	struct ml_src *taken = *spool;
	struct ml_span *sp;
	size_t *place, i, k;
	int stays;

	if (m->nwrap == 0)
		return ML_OK;
	place = malloc(m->nwrap * sizeof(*place));
	if (!place)
		return no_memory(diag);
	sort_wraps(m, place);
	for (i = k = 0; i < m->nspan; i++) {
		sp = &m->span[i];
		if (sp->wrap) {
			const size_t to = place[sp->wrap - 1];

			stays = to != SIZE_MAX;
			if (stays)
				sp->off += m->wrap[to].pos;
			sp->wrap = 0;
		} else {
			stays = moved(sp, m->wrap, m->nwrap);
		}
		if (!stays)
			ml_span_clear(sp);
		else
			m->span[k++] = *sp;
	}
	m->nspan = k;
	free(place);
	*spool = NULL;
	return image_new(&m->image, s, taken, m->wrap, m->nwrap, diag);
}

int ml_image_of(struct ml_src **out, struct ml_src *file, struct ml_wrap *w,
	size_t n, uint64_t size, struct ml_diag *diag)
{
	uint64_t off = 0, end = 0;
	struct ml_src *spool;
	size_t i;
	int err = ml_src_spool(&spool, diag);

	*out = NULL;
	for (i = 0; !err && i < n; i++) {
		if (w[i].pos - end > ml_src_size(file) - off) {
			err = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"deflated part behind the base's end");
			break;
		}
		off += w[i].pos - end;
		end = w[i].pos + w[i].len;
		w[i].off = off;
		w[i].at = ml_src_size(spool);
		err = inflate_to(file, &off, ml_src_size(file), spool,
			w[i].len, diag);
		w[i].clen = off - w[i].off;
		if (!err && ml_src_size(spool) - w[i].at != w[i].len)
			err = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"deflated part of the base that makes too "
				"little");
	}
	if (err) {
		ml_src_free(spool);
		return err;
	}
	err = image_new(out, file, spool, w, n, diag);
	if (!err && ml_src_size(*out) != size) {
		ml_src_free(*out);
		*out = NULL;
		err = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"the base has no image of %llu bytes",
			(unsigned long long)size);
	}
	return err;
}

int ml_base_open(struct ml_src **base, struct ml_src **image,
	struct ml_cast_base *cast, struct ml_wrap *w, size_t n, uint64_t size,
	const struct ml_casts *casts, struct ml_diag *diag)
{
	int err = n ? ml_image_of(image, *base, w, n, size, diag) : ML_OK;

	if (!err && n)
		*base = *image;
	if (!err && ml_src_size(*base) != size)
		err = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"the base has no image of %llu bytes",
			(unsigned long long)size);
	if (!err)
		err = ml_cast_known(cast, *base, casts, diag);
	if (!err && cast->src)
		*base = cast->src;
	return err;
}

/* ===== deflating again ================================================== */

struct ml_rewrap {
	const struct ml_wrap *w;
	size_t n, i; /* wraps; that in work or to come */
	uint64_t at; /* image bytes taken */
	int open; /* z is in use, for w[i] */
	int (*write)(void *ctx, const uint8_t *p, size_t n,
		struct ml_diag *diag);
	void *ctx;
	z_stream z;
	uint8_t out[PIECE];
};

int ml_rewrap_new(struct ml_rewrap **out, const struct ml_wrap *w, size_t n,
	int (*write)(void *ctx, const uint8_t *p, size_t n,
	struct ml_diag *diag), void *ctx, struct ml_diag *diag)
{
	struct ml_rewrap *r = calloc(1, sizeof(*r));

	*out = r;
	if (!r)
		return no_memory(diag);
	r->w = w;
	r->n = n;
	r->write = write;
	r->ctx = ctx;
	return ML_OK;
}

void ml_rewrap_free(struct ml_rewrap *r)
{
	if (!r)
		return;
	if (r->open)
		deflateEnd(&r->z);
	free(r);
}

/* Deflates n bytes of the wrap in work, the last ones or not. */
static int deflate_more(struct ml_rewrap *r, const uint8_t *p, size_t n,
	int last, struct ml_diag *diag)
{
	z_stream *z = &r->z;
	int k, err;

	z->next_in = p;
	z->avail_in = (uInt)n;
	do {
		z->next_out = r->out;
		z->avail_out = sizeof(r->out);
		k = deflate(z, last ? Z_FINISH : Z_NO_FLUSH);
		if (k != Z_OK && k != Z_STREAM_END && k != Z_BUF_ERROR)
			return zerror(k, diag);
		err = r->write(r->ctx, r->out, sizeof(r->out) - z->avail_out,
			diag);
		if (err)
			return err;
	} while (z->avail_out == 0 || (last && k != Z_STREAM_END));
	return ML_OK;
}

static int begin(struct ml_rewrap *r, struct ml_diag *diag)
{
	const struct ml_wrap *w = &r->w[r->i];

	memset(&r->z, 0, sizeof(r->z));
	if (deflateInit2(&r->z, w->level, Z_DEFLATED, WBITS, w->mem,
		w->strategy) != Z_OK)
		return no_memory(diag);
	r->open = 1;
	return ML_OK;
}

int ml_rewrap_write(struct ml_rewrap *r, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	const struct ml_wrap *w;
	uint64_t end;
	size_t k;
	int err = ML_OK;

	for (; n && !err; p += k, n -= k, r->at += k) {
		w = r->i < r->n ? &r->w[r->i] : NULL;
		if (!w || r->at < w->pos) {
			end = w ? w->pos : UINT64_MAX;
			k = end - r->at < n ? (size_t)(end - r->at) : n;
			err = r->write(r->ctx, p, k, diag);
			continue;
		}
		end = w->pos + w->len;
		k = end - r->at < n ? (size_t)(end - r->at) : n;
		if (k > UINT32_MAX / 2)
			k = UINT32_MAX / 2;
		if (!r->open)
			err = begin(r, diag);
		if (!err)
			err = deflate_more(r, p, k, r->at + k == end, diag);
		if (!err && r->at + k == end) {
			deflateEnd(&r->z);
			r->open = 0;
			r->i++;
		}
	}
	return err;
}
