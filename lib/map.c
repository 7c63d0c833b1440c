/* SPDX-License-Identifier: MIT */
/* The notes of a patch that tell the deflated parts of base and target, and
 * casts, see ml-patch(5). */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bytes.h"
#include "cast.h"
#include "hdr.h"
#include "mldec.h"
#include "ops.h"
#include "wrap.h"

#define ENTRY_MAX (2 * (ML_VARINT_MAX + 1) + 3) /* bytes of one part */

static size_t put_args(uint8_t *p, const struct ml_wrap *w)
{
	p[0] = w->level;
	p[1] = w->mem;
	p[2] = w->strategy;
	return 3;
}

/* The gap before w[i]. */
static uint64_t gap(const struct ml_wrap *w, size_t i)
{
	return i ? w[i].pos - w[i - 1].pos - w[i - 1].len : w[i].pos;
}

/* The type of the note and then p[0..k) deflated, for members of an archive
 * are much alike. Frees p. */
static int squeeze(uint8_t **out, size_t *n, uint8_t *p, size_t k,
	struct ml_diag *diag)
{
	z_stream z = {0};
	uint8_t *q = NULL;
	uLong cap;
	int ok = deflateInit2(&z, 9, Z_DEFLATED, -15, 9,
		Z_DEFAULT_STRATEGY) == Z_OK;

	if (ok) {
		cap = deflateBound(&z, (uLong)k);
		q = malloc(cap + 1);
		z.next_in = p;
		z.avail_in = (uInt)k;
		if (q) {
			q[0] = ML_NOTE_WRAPS;
			z.next_out = q + 1;
			z.avail_out = (uInt)cap;
			ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
		}
		*n = 1 + z.total_out;
		deflateEnd(&z);
	}
	free(p);
	*out = q;
	return ok && q ? ML_OK :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* p[0..n) inflated, at most ML_NOTE_WRAPS_MAX; *p is replaced. */
static int unsqueeze(uint8_t **p, size_t *n, struct ml_diag *diag)
{
	size_t cap = 4096;
	z_stream z = {0};
	uint8_t *q = NULL, *more;
	int r = Z_OK;

	if (inflateInit2(&z, -15) != Z_OK)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	z.next_in = *p + 1;
	z.avail_in = (uInt)(*n - 1);
	do {
		cap *= 2;
		more = cap <= ML_NOTE_WRAPS_MAX ? realloc(q, cap) : NULL;
		if (!more)
			break;
		q = more;
		z.next_out = q + z.total_out;
		z.avail_out = (uInt)(cap - z.total_out);
		r = inflate(&z, Z_FINISH);
	} while (r == Z_BUF_ERROR && z.avail_out == 0);
	inflateEnd(&z);
	free(*p);
	*p = q;
	*n = z.total_out;
	if (r == Z_STREAM_END && z.avail_in == 0)
		return ML_OK;
	return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
		"malformed note of deflated parts");
}

int ml_map_encode(uint8_t **out, size_t *n, const struct ml_wraps *base,
	const struct ml_wraps *target, struct ml_diag *diag)
{
	static const struct ml_wrap none = {0};
	const struct ml_wrap *last = &none, *w;
	uint64_t g, len;
	uint8_t *p;
	size_t i, k = 0;
	int other;

	*out = NULL;
	p = malloc(2 * ML_VARINT_MAX + (base->n + target->n) * ENTRY_MAX + 1);
	if (!p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	k += ml_put_varint(p + k, base->n);
	for (i = 0; i < base->n; i++) {
		k += ml_put_varint(p + k, gap(base->w, i));
		k += ml_put_varint(p + k, base->w[i].len);
	}
	k += ml_put_varint(p + k, target->n);
	for (i = 0; i < target->n; i++, last = w) {
		w = &target->w[i];
		g = i < base->n ? gap(base->w, i) : 0;
		len = i < base->n ? base->w[i].len : 0;
		other = w->level != last->level || w->mem != last->mem ||
			w->strategy != last->strategy;
		k += ml_put_varint(p + k, ml_zigzag(gap(target->w, i), g));
		k += ml_put_varint(p + k,
			ml_zigzag(w->len, len) << 1 | (unsigned)other);
		if (other)
			k += put_args(p + k, w);
	}
	return squeeze(out, n, p, k, diag);
}

/* ===== reading ========================================================== */

/* The number of parts that follow, each of at least 2 bytes. */
static int count(const uint8_t **p, const uint8_t *end, struct ml_wrap **w,
	size_t *n, struct ml_diag *diag)
{
	uint64_t v;

	if (ml_get_varint(p, end, &v) != 1 || v > ML_WRAPS_MAX ||
		v > (uint64_t)(end - *p) / 2)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"malformed number of deflated parts");
	*n = (size_t)v;
	*w = calloc(*n + 1, sizeof(**w));
	return *w ? ML_OK :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

static int bad_part(struct ml_diag *diag)
{
	return ml_fail(
		diag, ML_EFORMAT, ML_NOWHERE, "malformed deflated part");
}

/* Puts a part behind `end` of an image of `size` bytes; moves *end. */
static int place(struct ml_wrap *w, uint64_t g, uint64_t len, uint64_t *end,
	uint64_t size)
{
	if (g > size - *end || len > size - *end - g || len == 0)
		return 0;
	w->pos = *end + g;
	w->len = len;
	*end = w->pos + len;
	return 1;
}

static int parse(struct ml_wrap_map *m, const uint8_t *p, const uint8_t *end,
	const struct ml_hdr *h, struct ml_diag *diag)
{
	uint64_t g, len, at = 0;
	struct ml_wrap *w, args = {0};
	size_t i;
	int err;

	err = count(&p, end, &m->base, &m->nbase, diag);
	for (i = 0; !err && i < m->nbase; i++)
		if (ml_get_varint(&p, end, &g) != 1 ||
			ml_get_varint(&p, end, &len) != 1 ||
			!place(&m->base[i], g, len, &at, m->base_image))
			err = bad_part(diag);
	if (!err)
		err = count(&p, end, &m->target, &m->ntarget, diag);
	for (i = 0, at = 0; !err && i < m->ntarget; i++) {
		w = &m->target[i];
		if (ml_get_varint(&p, end, &g) != 1 ||
			ml_get_varint(&p, end, &len) != 1)
			return bad_part(diag);
		if (len & 1 && end - p >= 3) {
			args.level = *p++;
			args.mem = *p++;
			args.strategy = *p++;
		} else if (len & 1) {
			return bad_part(diag);
		}
		*w = args;
		g = ml_unzigzag(g, i < m->nbase ? gap(m->base, i) : 0);
		len = ml_unzigzag(len >> 1, i < m->nbase ? m->base[i].len : 0);
		if (!place(w, g, len, &at, h->target_image) ||
			!ml_wrap_legal(w))
			return bad_part(diag);
	}
	if (!err && p < end)
		err = bad_part(diag);
	return err;
}

/* The note of a type that begins at *off, into memory; moves *off behind it.
 * *p is NULL when another record is there. */
static int read_note(struct ml_src *psrc, uint64_t *off, uint64_t end,
	unsigned type, uint8_t **p, size_t *n, struct ml_diag *diag)
{
	struct ml_record r = {.off = *off};
	uint8_t first = 0;
	int err;

	*p = NULL;
	err = ml_record_read(psrc, &r, end, diag);
	if (!err && r.n)
		err = ml_src_read(psrc, r.code, &first, 1, diag);
	if (err || (r.coder & ML_RECORD_CODER) != ML_CODER_NOTE ||
		first != type)
		return err;
	if (r.n > ML_NOTE_WRAPS_MAX)
		return ml_fail(diag, ML_ELIMIT, *off, "note of %llu bytes",
			(unsigned long long)r.n);
	*n = (size_t)r.n;
	*p = malloc(*n);
	if (!*p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	*off = r.code + r.n + 4;
	return ml_src_read(psrc, r.code, *p, *n, diag);
}

/* The casts lie behind the image, and are part of the header's size of it. */
static int parse_casts(struct ml_wrap_map *m, const uint8_t *p, size_t n,
	const struct ml_hdr *h, struct ml_diag *diag)
{
	uint64_t len = 0, k;
	size_t i;
	int err = ml_cast_parse(&m->cast, &m->ncast, p + 1, n - 1, diag);

	for (i = 0; !err && i < m->ncast; i++) {
		k = ml_cast_len(&m->cast[i]);
		if (k > h->base_image - len)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"casts of more than the base's image");
		len += k;
	}
	m->base_image = h->base_image - len;
	if (!err && !ml_cast_fit(m->cast, m->ncast, m->base_image))
		err = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"cast of what is not in the base");
	return err;
}

int ml_map_read(struct ml_wrap_map *m, struct ml_src *psrc, uint64_t off,
	const struct ml_hdr *h, struct ml_diag *diag)
{
	const uint64_t end = off + h->body_len, start = off;
	uint8_t *p, *q = NULL;
	size_t n, k = 0;
	int err;

	memset(m, 0, sizeof(*m));
	m->base_image = h->base_image;
	err = read_note(psrc, &off, end, ML_NOTE_WRAPS, &p, &n, diag);
	if (!err && !p)
		err = ml_fail(diag, ML_EFORMAT, off,
			"patch of inflated files without the note that tells "
			"their parts");
	if (!err && off < end)
		err = read_note(psrc, &off, end, ML_NOTE_CASTS, &q, &k, diag);
	if (!err && q)
		err = parse_casts(m, q, k, h, diag);
	if (!err)
		err = unsqueeze(&p, &n, diag);
	if (!err)
		err = parse(m, p, p + n, h, diag);
	free(p);
	free(q);
	if (err) {
		ml_map_free(m);
		if (diag->off == ML_NOWHERE)
			diag->off = start;
	}
	return err;
}

void ml_map_free(struct ml_wrap_map *m)
{
	free(m->base);
	free(m->target);
	ml_cast_free(m->cast, m->ncast);
	memset(m, 0, sizeof(*m));
}
