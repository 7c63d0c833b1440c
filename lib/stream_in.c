/* SPDX-License-Identifier: MIT */
/* Reads a tensor-record stream, ml-stream(5), and believes nothing: what
 * leaves ml_in_next is in order, in bounds and has the right CRC-32. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ml.h"
#include "bytes.h"
#include "cast.h"
#include "mldec.h"
#include "wrap.h"

#define FRAME_LEN 8 /* tag and length */
#define CRC_LEN 4
#define HEAD_LEN 48
#define SPAN_LEN 24 /* before the shape */
#define DONE_LEN 48
#define SCALE_LEN 12
#define WRAP_HEAD 24
#define WRAP_LEN 24
#define OFFSET_MAX (UINT64_MAX >> 1)
#define CODE_OUT_MAX (((uint64_t)1 << 62) - 1)
#define CODER_NANO 2 /* 0 plain, 1 range */
#define CODER_FAST 3
#define CLASS_MAX 3 /* 0 none, 1 nano, 2 micro, 3 full */

static const uint8_t magic[8] = {
	0xd3, 'm', 'l', 's', '\r', '\n', 0x1a, '\n'};

struct ml_in {
	FILE *f;
	uint64_t pos; /* bytes taken from f */
	uint64_t rec; /* offset of the current record */
	struct ml_head head;

	uint64_t records; /* read so far, HEAD included */
	uint32_t last; /* tag of the record before, skipped ones too */
	unsigned last_rank; /* of the last SPAN, */
	int last_kind; /* and its kind */
	int coded; /* a CODE was seen */
	int ahead; /* a SPAN came before the one before it was full */
	int done;

	uint64_t made; /* target bytes that records made so far */
	uint64_t promised; /* end of the last span */
	uint64_t *end; /* ends of the spans not yet full: a queue */
	size_t first, count, cap; /* end[first..count) is waiting */
	uint64_t spans;
	struct {
		struct ml_wrapped of; /* wraps.w is w */
		struct ml_wrap *w;
		size_t cap;
	} side[2];
	struct ml_casts casts; /* .c is cast */
	uint8_t *told; /* of CAST records, until another one comes */
	size_t ntold;
	struct ml_cast *cast;

	uint8_t frame[FRAME_LEN];
	uint8_t buf[ML_REC_MAX + CRC_LEN];
};

static unsigned long long llu(uint64_t v)
{
	return (unsigned long long)v;
}

/* fread that tells an error from an end; *got says how many came. */
static int take(struct ml_in *in, void *p, size_t n, size_t *got,
	struct ml_diag *diag)
{
	errno = 0;
	*got = fread(p, 1, n, in->f);
	in->pos += *got;
	if (*got < n && ferror(in->f))
		return ml_fail_errno(diag, "cannot read the stream");
	return ML_OK;
}

static int is_letter(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* One record, whatever it is: frame, payload, CRC-32. */
static int read_record(
	struct ml_in *in, uint32_t *tag, size_t *n, struct ml_diag *diag)
{
	const char *name = (const char *)in->frame;
	size_t got, i;
	uint32_t len, crc;
	int err;

	in->rec = in->pos;
	err = take(in, in->frame, FRAME_LEN, &got, diag);
	if (err)
		return err;
	if (got == 0)
		return ml_fail(diag, ML_ETRUNC, in->rec,
			"stream ends without a DONE record");
	for (i = 0; i < 4 && i < got; i++)
		if (!is_letter(in->frame[i]))
			return ml_fail(diag, ML_EFORMAT, in->rec,
				"no record here: the tag is not four letters");
	if (got < FRAME_LEN)
		return ml_fail(diag, ML_ETRUNC, in->rec,
			"stream ends within the head of a record");
	*tag = ml_load32(in->frame);
	len = ml_load32(in->frame + 4);
	if (len > ML_REC_MAX)
		return ml_fail(diag, ML_ELIMIT, in->rec,
			"%.4s record of %lu bytes, more than %lu", name,
			(unsigned long)len, (unsigned long)ML_REC_MAX);
	err = take(in, in->buf, len + CRC_LEN, &got, diag);
	if (err)
		return err;
	if (got < len + CRC_LEN)
		return ml_fail(diag, ML_ETRUNC, in->rec,
			"stream ends within a %.4s record", name);
	crc = ml_crc32(0, in->frame, FRAME_LEN);
	crc = ml_crc32(crc, in->buf, len);
	if (crc != ml_load32(in->buf + len))
		return ml_fail(diag, ML_ECHECK, in->rec,
			"%.4s record is damaged: its CRC-32 does not match",
			name);
	*n = len;
	in->records++;
	return ML_OK;
}

static int all_zero(const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i])
			return 0;
	return 1;
}

static int decode_head(struct ml_in *in, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	struct ml_head *h = &in->head;

	if (n != HEAD_LEN)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"HEAD record of %zu bytes, not %d", n, HEAD_LEN);
	if (p[0] != ML_STREAM_VERSION)
		return ml_fail_newer(diag, in->rec,
			"stream of format %u.%u", p[0], p[1]);
	if (p[2] != ML_KIND_MODEL && p[2] != ML_KIND_DELTA)
		return ml_fail_newer(
			diag, in->rec, "HEAD: stream of kind %u", p[2]);
	if (p[4] > CLASS_MAX)
		return ml_fail_newer(
			diag, in->rec, "HEAD: memory class %u", p[4]);
	if (p[5] > ML_XXH3)
		return ml_fail_newer(
			diag, in->rec, "HEAD: digest %u", p[5]);
	if (p[6] && (p[2] != ML_KIND_DELTA || p[6] < ML_PAGE_MIN ||
		p[6] > ML_PAGE_MAX))
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"HEAD: page of 2^%u bytes", p[6]);
	if (!p[6] && p[7])
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"HEAD: reserved bytes are not 0");
	if (p[2] == ML_KIND_MODEL && !all_zero(p + 8, HEAD_LEN - 8))
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"HEAD: a model stream names a base");
	h->kind = p[2];
	h->container = p[3];
	h->cls = p[4];
	h->sum = p[5];
	h->page = p[6];
	h->lead = p[7];
	h->base_size = ml_load64(p + 8);
	memcpy(h->base_sha, p + 16, ML_SHA256_LEN);
	return ML_OK;
}

int ml_in_open(struct ml_in **out, FILE *f, struct ml_diag *diag)
{
	uint8_t start[sizeof(magic)];
	struct ml_in *in;
	uint32_t tag;
	size_t n;
	int err;

	*out = NULL;
	in = malloc(sizeof(*in));
	if (!in)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	memset(in, 0, offsetof(struct ml_in, buf));
	in->f = f;
	err = take(in, start, sizeof(start), &n, diag);
	if (err)
		goto fail;
	if (n == 0) {
		err = ml_fail(diag, ML_ETRUNC, 0,
			"empty input, not a mallorn stream");
		goto fail;
	}
	if (memcmp(start, magic, n) != 0) {
		err = ml_fail(diag, ML_EFORMAT, 0, "not a mallorn stream");
		goto fail;
	}
	if (n < sizeof(magic)) {
		err = ml_fail(diag, ML_ETRUNC, 0,
			"stream ends within its first %zu bytes",
			sizeof(magic));
		goto fail;
	}
	err = read_record(in, &tag, &n, diag);
	if (!err && tag != ML_HEAD)
		err = ml_fail(diag, ML_EFORMAT, in->rec,
			"%.4s record where HEAD must be",
			(const char *)in->frame);
	if (!err)
		err = decode_head(in, in->buf, n, diag);
	if (err)
		goto fail;
	in->last = ML_HEAD;
	*out = in;
	return ML_OK;
fail:
	free(in);
	return err;
}

void ml_in_free(struct ml_in *in)
{
	if (!in)
		return;
	free(in->end);
	free(in->told);
	ml_cast_free(in->cast, in->casts.n);
	free(in->side[ML_TARGET_SIDE].w);
	free(in->side[ML_BASE_SIDE].w);
	free(in);
}

const struct ml_head *ml_in_head(const struct ml_in *in)
{
	return &in->head;
}

const struct ml_wrapped *ml_in_wrapped(
	const struct ml_in *in, enum ml_side side)
{
	return &in->side[side].of;
}

const struct ml_casts *ml_in_casts(const struct ml_in *in)
{
	return &in->casts;
}

uint64_t ml_in_offset(const struct ml_in *in)
{
	return in->rec;
}

/* ===== payloads ========================================================= */

/* All that can be wrong with a SPAN by itself. */
static int span_check(const uint8_t *p, size_t n, struct ml_diag *diag)
{
	uint64_t off, len;
	uint32_t name;
	size_t want;

	if (n < SPAN_LEN)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"SPAN record of %zu bytes, fewer than %d", n, SPAN_LEN);
	if (p[0] != ML_SKELETON && p[0] != ML_TENSOR)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"SPAN: unknown kind %u", p[0]);
	if (p[1] > ML_RANK_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"SPAN: %u dimensions, more than %d", p[1],
			ML_RANK_MAX);
	name = ml_load32(p + 4);
	if (name > ML_NAME_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"SPAN: name of %lu bytes, more than %d",
			(unsigned long)name, ML_NAME_MAX);
	want = SPAN_LEN + 8u * p[1] + name;
	if (n != want)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"SPAN record of %zu bytes, not %zu", n, want);
	off = ml_load64(p + 8);
	len = ml_load64(p + 16);
	if (off > OFFSET_MAX || len > OFFSET_MAX - off)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"SPAN: offset and length add up to more than 2^63-1");
	if (p[0] != ML_SKELETON)
		return ML_OK;
	if (p[1] != 0 || ml_load16(p + 2) != ML_DT_OPAQUE || name != 0)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"SPAN: skeleton with a shape, an element type or a "
			"name");
	if (len == 0)
		return ml_fail(
			diag, ML_EFORMAT, ML_NOWHERE, "SPAN: empty skeleton");
	return ML_OK;
}

static int quant_check(const uint8_t *p, size_t n, struct ml_diag *diag)
{
	uint32_t count;

	if (n < 8)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"qunt record of %zu bytes, fewer than 8", n);
	count = ml_load32(p);
	if (count < 1 || count > ML_QUANT_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"qunt: %lu scales, not 1 to %d", (unsigned long)count,
			ML_QUANT_MAX);
	if (n != 8 + (size_t)count * SCALE_LEN)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"qunt record of %zu bytes, not %zu", n,
			8 + (size_t)count * SCALE_LEN);
	if ((int32_t)ml_load32(p + 4) < -1)
		return ml_fail(
			diag, ML_EFORMAT, ML_NOWHERE, "qunt: axis below -1");
	return ML_OK;
}

int ml_span_decode(struct ml_span *sp, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	int err = span_check(p, n, diag);
	unsigned i;

	memset(sp, 0, sizeof(*sp));
	if (err)
		return err;
	sp->kind = p[0];
	sp->rank = p[1];
	sp->dtype = ml_load16(p + 2);
	sp->name_len = ml_load32(p + 4);
	sp->off = ml_load64(p + 8);
	sp->len = ml_load64(p + 16);
	sp->name = malloc((size_t)sp->name_len + 1);
	sp->shape = malloc((sp->rank + 1u) * sizeof(*sp->shape));
	if (!sp->name || !sp->shape) {
		ml_span_clear(sp);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	p += SPAN_LEN;
	for (i = 0; i < sp->rank; i++, p += 8)
		sp->shape[i] = ml_load64(p);
	memcpy(sp->name, p, sp->name_len);
	sp->name[sp->name_len] = '\0';
	return ML_OK;
}

int ml_quant_decode(struct ml_quant **q, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	int err = quant_check(p, n, diag);
	uint32_t i;

	*q = NULL;
	if (!err)
		err = ml_quant_new(
			q, (int32_t)ml_load32(p + 4), ml_load32(p), diag);
	if (err)
		return err;
	p += 8;
	for (i = 0; i < (*q)->n; i++, p += SCALE_LEN) {
		const uint32_t bits = ml_load32(p);

		memcpy(&(*q)->scale[i], &bits, sizeof(bits));
		(*q)->zero[i] = (int64_t)ml_load64(p + 4);
	}
	return ML_OK;
}

int ml_done_decode(struct ml_done *d, const uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	if (n != DONE_LEN)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"DONE record of %zu bytes, not %d", n, DONE_LEN);
	d->size = ml_load64(p);
	d->records = ml_load64(p + 8);
	memcpy(d->sha, p + 16, ML_SHA256_LEN);
	return ML_OK;
}

/* ===== order ============================================================ */

/* Forgets the spans that are full. */
static void settle(struct ml_in *in)
{
	while (in->first < in->count && in->end[in->first] <= in->made)
		in->first++;
	if (in->first == in->count)
		in->first = in->count = 0;
}

static int push_end(struct ml_in *in, uint64_t end, struct ml_diag *diag)
{
	uint64_t *p;
	size_t cap;

	if (in->count == in->cap && in->first > in->cap / 2) {
		in->count -= in->first;
		memmove(in->end, in->end + in->first,
			in->count * sizeof(*in->end));
		in->first = 0;
	}
	if (in->count == in->cap) {
		cap = in->cap ? in->cap * 2 : 64;
		p = realloc(in->end, cap * sizeof(*p));
		if (!p)
			return ml_fail(
				diag, ML_ENOMEM, in->rec, "out of memory");
		in->end = p;
		in->cap = cap;
	}
	in->end[in->count++] = end;
	return ML_OK;
}

/* One wrap of a WRAP record. */
static int add_wrap(struct ml_in *in, unsigned side, uint64_t image,
	const uint8_t *p, struct ml_diag *diag)
{
	struct ml_wraps *all = &in->side[side].of.wraps;
	const struct ml_wrap *last = all->n ? &all->w[all->n - 1] : NULL;
	struct ml_wrap w = {0}, *more;
	size_t cap;

	w.pos = ml_load64(p);
	w.len = ml_load64(p + 8);
	w.level = p[16];
	w.mem = p[17];
	w.strategy = p[18];
	if (!ml_wrap_legal(&w) || !all_zero(p + 19, WRAP_LEN - 19) ||
		(last && w.pos < last->pos + last->len) ||
		w.pos + w.len > image)
		return ml_fail(diag, ML_EFORMAT, in->rec, "WRAP: malformed, "
			"or out of order or bounds, at %llu", llu(w.pos));
	if (all->n >= ML_WRAPS_MAX)
		return ml_fail(diag, ML_ELIMIT, in->rec,
			"WRAP: more than %u parts", ML_WRAPS_MAX);
	if (all->n == in->side[side].cap) {
		cap = all->n ? all->n * 2 : 16;
		more = realloc(in->side[side].w, cap * sizeof(*more));
		if (!more)
			return ml_fail(
				diag, ML_ENOMEM, in->rec, "out of memory");
		all->w = in->side[side].w = more;
		in->side[side].cap = cap;
	}
	in->side[side].w[all->n++] = w;
	return ML_OK;
}

static int on_wrap(struct ml_in *in, size_t n, struct ml_diag *diag)
{
	const uint8_t *p = in->buf;
	struct ml_wrapped *of;
	size_t i;
	int err = ML_OK;

	if (in->spans || in->head.page ||
		(in->last != ML_HEAD && in->last != ML_WRAP))
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"WRAP record that does not follow HEAD");
	if (n <= WRAP_HEAD || (n - WRAP_HEAD) % WRAP_LEN ||
		n > ML_DATA_MAX || p[0] > ML_BASE_SIDE || !all_zero(p + 1, 7))
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"WRAP record that is malformed");
	of = &in->side[p[0]].of;
	if (p[0] == ML_BASE_SIDE && in->head.kind != ML_KIND_DELTA)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"WRAP record of a base in a model stream");
	if (of->wraps.n && (of->size != ml_load64(p + 8) ||
		of->wraps.image != ml_load64(p + 16)))
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"WRAP records that contradict each other");
	of->size = ml_load64(p + 8);
	of->wraps.image = ml_load64(p + 16);
	for (i = WRAP_HEAD; !err && i < n; i += WRAP_LEN)
		err = add_wrap(in, p[0], of->wraps.image, p + i, diag);
	return err;
}

/* Casts may be told by several records: all are kept until the last. */
static int on_cast(struct ml_in *in, size_t n, struct ml_diag *diag)
{
	uint8_t *p;

	if (in->spans || in->head.kind != ML_KIND_DELTA || in->head.page ||
		(in->last != ML_HEAD && in->last != ML_WRAP &&
			in->last != ML_CAST))
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"CAST record that does not follow HEAD of a delta");
	if (n == 0 || n > ML_DATA_MAX || in->ntold > ML_CAST_BYTES_MAX - n)
		return ml_fail(diag, ML_ELIMIT, in->rec,
			"CAST record of %zu bytes", n);
	p = realloc(in->told, in->ntold + n);
	if (!p)
		return ml_fail(diag, ML_ENOMEM, in->rec, "out of memory");
	memcpy(p + in->ntold, in->buf, n);
	in->told = p;
	in->ntold += n;
	return ML_OK;
}

/* All CAST records came. */
static int end_casts(struct ml_in *in, struct ml_diag *diag)
{
	const struct ml_wraps *w = &in->side[ML_BASE_SIDE].of.wraps;
	int err = ml_cast_decode(&in->cast, &in->casts.n, in->told, in->ntold,
		w->n ? w->image : in->head.base_size, diag);

	in->casts.c = in->cast;
	free(in->told);
	in->told = NULL;
	return err;
}

static int on_span(struct ml_in *in, size_t n, struct ml_diag *diag)
{
	const uint8_t *p = in->buf;
	const int err = span_check(p, n, diag);
	uint64_t off;

	if (err)
		return err;
	off = ml_load64(p + 8);
	if (off != in->promised)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"SPAN at %llu, but the span before it ends at %llu",
			llu(off), llu(in->promised));
	if (++in->spans > ML_SPANS_MAX)
		return ml_fail(diag, ML_ELIMIT, in->rec,
			"SPAN: more than %u of them", ML_SPANS_MAX);
	if (in->first < in->count)
		in->ahead = 1;
	in->last_kind = p[0];
	in->last_rank = p[1];
	in->promised = off + ml_load64(p + 16);
	return in->promised == off ? ML_OK : push_end(in, in->promised, diag);
}

static int on_quant(struct ml_in *in, size_t n, struct ml_diag *diag)
{
	const int err = quant_check(in->buf, n, diag);
	int32_t axis;

	if (err)
		return err;
	if (in->last != ML_SPAN || in->last_kind != ML_TENSOR)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"qunt record that does not follow a tensor's SPAN");
	axis = (int32_t)ml_load32(in->buf + 4);
	if (axis >= 0 && (unsigned)axis >= in->last_rank)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"qunt: axis %ld of a tensor with %u dimensions",
			(long)axis, in->last_rank);
	return ML_OK;
}

static int on_data(struct ml_in *in, size_t n, struct ml_diag *diag)
{
	if (n < 1 || n > ML_DATA_MAX)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"DATA record of %zu bytes, not 1 to %u", n,
			ML_DATA_MAX);
	if (in->first == in->count)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"DATA record, but no SPAN waits for bytes");
	if (n > in->end[in->first] - in->made)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"DATA record of %zu bytes leaves its span, which "
			"lacks only %llu",
			n, llu(in->end[in->first] - in->made));
	in->made += n;
	return ML_OK;
}

static int on_code(struct ml_in *in, size_t n, struct ml_diag *diag)
{
	const uint8_t *p = in->buf;
	unsigned coder;
	uint64_t out;

	if (n <= ML_CODE_HEAD)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"CODE record of %zu bytes, fewer than %d", n,
			ML_CODE_HEAD + 1);
	coder = p[0] & 0x0fu;
	if ((p[0] & 0xe0) != 0 || !all_zero(p + 1, coder == CODER_NANO ? 0 : 7))
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"CODE: reserved bits are not 0");
	if (coder > CODER_NANO && (coder != CODER_FAST ||
		in->head.cls < CLASS_MAX))
		return ml_fail_newer(
			diag, in->rec, "CODE: coder %u", coder);
	if (coder != 0 && in->head.cls == 0)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"CODE: coder %u in a stream without a memory class",
			coder);
	if (coder != 0 && in->last == ML_BASE)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"CODE: coder %u after a BASE record, not 0", coder);
	out = ml_load64(p + 8);
	if (out < 1 || out > CODE_OUT_MAX)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"CODE: makes %llu bytes, not 1 to 2^62-1", llu(out));
	if (out > in->promised - in->made)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"CODE: makes %llu bytes, but the spans lack only %llu",
			llu(out), llu(in->promised - in->made));
	in->made += out;
	in->coded = 1;
	return ML_OK;
}

static int on_base(struct ml_in *in, size_t n, struct ml_diag *diag)
{
	if (in->head.kind != ML_KIND_DELTA)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"BASE record in a model stream");
	if (n < 1 || n > ML_DATA_MAX)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"BASE record of %zu bytes, not 1 to %u", n,
			ML_DATA_MAX);
	return ML_OK;
}

static int on_done(struct ml_in *in, size_t n, struct ml_diag *diag)
{
	const struct ml_wraps *w = &in->side[ML_TARGET_SIDE].of.wraps;
	struct ml_done d;
	uint8_t byte;
	size_t got;
	int err = ml_done_decode(&d, in->buf, n, diag);

	if (err)
		return err;
	if (in->made != in->promised)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"DONE after %llu bytes, but the spans end at %llu",
			llu(in->made), llu(in->promised));
	if (d.size != in->made)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"DONE says %llu bytes, but %llu came", llu(d.size),
			llu(in->made));
	if (d.records != in->records - 1)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"DONE says %llu records, but %llu came",
			llu(d.records), llu(in->records - 1));
	if (in->ahead && !in->coded)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"SPAN records run ahead in a stream without CODE");
	if (w->n && w->image != d.size)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"DONE says %llu bytes, but WRAP %llu", llu(d.size),
			llu(w->image));
	err = take(in, &byte, 1, &got, diag);
	if (err)
		return err;
	if (got > 0)
		return ml_fail(diag, ML_EFORMAT, in->pos - 1,
			"bytes after the DONE record");
	in->done = 1;
	return ML_OK;
}

/* Judges the record in the buffer by its tag. */
static int on_record(struct ml_in *in, uint32_t tag, size_t n, int *known,
	struct ml_diag *diag)
{
	*known = 1;
	if (in->last == ML_BASE && tag != ML_CODE)
		return ml_fail(diag, ML_EFORMAT, in->rec,
			"%.4s record after BASE, where CODE must be",
			(const char *)in->frame);
	if (in->told && tag != ML_CAST) {
		const int err = end_casts(in, diag);

		if (err)
			return err;
	}
	switch (tag) {
	case ML_WRAP: return on_wrap(in, n, diag);
	case ML_CAST: return on_cast(in, n, diag);
	case ML_SPAN: return on_span(in, n, diag);
	case ML_QUNT: return on_quant(in, n, diag);
	case ML_DATA: return on_data(in, n, diag);
	case ML_CODE: return on_code(in, n, diag);
	case ML_BASE: return on_base(in, n, diag);
	case ML_DONE: return on_done(in, n, diag);
	case ML_HEAD:
		return ml_fail(
			diag, ML_EFORMAT, in->rec, "HEAD record a second time");
	default: break;
	}
	*known = 0;
	if (in->frame[0] <= 'Z')
		return ml_fail_newer(diag, in->rec, "critical record %.4s",
			(const char *)in->frame);
	return ML_OK;
}

int ml_in_next(struct ml_in *in, uint32_t *tag, const uint8_t **payload,
	size_t *n, struct ml_diag *diag)
{
	int err, known;

	*tag = 0;
	*payload = in->buf;
	*n = 0;
	if (in->done)
		return ML_OK;
	do {
		err = read_record(in, tag, n, diag);
		if (!err)
			err = on_record(in, *tag, *n, &known, diag);
		if (err) {
			if (diag->off == ML_NOWHERE)
				diag->off = in->rec;
			return err;
		}
		in->last = *tag;
		settle(in);
	} while (!known);
	return ML_OK;
}
