/* SPDX-License-Identifier: MIT */
/* Writes the records of a tensor-record stream, ml-stream(5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "ml.h"
#include "bytes.h"
#include "cast.h"

#define WRAP_HEAD 24
#define WRAP_LEN 24

static const uint8_t magic[8] = {
	0xd3, 'm', 'l', 's', '\r', '\n', 0x1a, '\n'};

#define LARGE 16384 /* bytes of a record that are not to be copied to a buffer */

/* Writes the parts past the buffer of f, as far as that goes; moves over what
 * was written. What is left, and why, put() finds out. */
static void put_at_once(FILE *f, struct iovec *v, int n)
{
	const int fd = fileno(f);
	ssize_t k;
	int i;

	if (fd < 0 || fflush(f) == EOF)
		return;
	for (i = 0; i < n;) {
		k = writev(fd, v + i, n - i);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return;
		for (; i < n && (size_t)k >= v[i].iov_len; i++) {
			k -= (ssize_t)v[i].iov_len;
			v[i].iov_len = 0;
		}
		if (i < n) {
			v[i].iov_base = (uint8_t *)v[i].iov_base + k;
			v[i].iov_len -= (size_t)k;
		}
	}
}

static int put(FILE *f, const void *p, size_t n, struct ml_diag *diag)
{
	errno = 0;
	if (n > 0 && fwrite(p, 1, n, f) != n)
		return ml_fail_errno(diag, "cannot write the stream");
	return ML_OK;
}

/* writev(2) does not know that it writes to nothing there. */
static struct iovec part(const void *p, size_t n)
{
	union {
		const void *from;
		void *to;
	} u = {p};
	struct iovec v = {u.to, n};

	return v;
}

int ml_out_open(struct ml_out *o, FILE *f, const struct ml_head *h,
	struct ml_diag *diag)
{
	uint8_t p[48] = {0};
	int err;

	o->f = f;
	o->records = 0;
	p[0] = ML_STREAM_VERSION;
	p[2] = h->kind;
	p[3] = h->container;
	p[4] = h->cls;
	p[5] = h->sum;
	if (h->kind == ML_KIND_DELTA) {
		p[6] = h->page;
		p[7] = h->lead;
		ml_store64(p + 8, h->base_size);
		memcpy(p + 16, h->base_sha, ML_SHA256_LEN);
	}
	err = put(f, magic, sizeof(magic), diag);
	return err ? err : ml_out_record(o, ML_HEAD, p, sizeof(p), diag);
}

int ml_out_record(struct ml_out *o, uint32_t tag, const void *payload,
	size_t n, struct ml_diag *diag)
{
	return ml_out_record2(o, tag, payload, n, NULL, 0, diag);
}

int ml_out_record2(struct ml_out *o, uint32_t tag, const void *a, size_t na,
	const void *b, size_t nb, struct ml_diag *diag)
{
	uint8_t frame[8], end[4];
	struct iovec v[4];
	uint32_t crc;
	int err = ML_OK, i;

	if (na > ML_REC_MAX || nb > ML_REC_MAX - na)
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"record of more than %lu bytes",
			(unsigned long)ML_REC_MAX);
	ml_store32(frame, tag);
	ml_store32(frame + 4, (uint32_t)(na + nb));
	crc = ml_crc32(0, frame, sizeof(frame));
	crc = ml_crc32(crc, a, na);
	crc = ml_crc32(crc, b, nb);
	ml_store32(end, crc);
	v[0] = part(frame, sizeof(frame));
	v[1] = part(a, na);
	v[2] = part(b, nb);
	v[3] = part(end, sizeof(end));
	if (na + nb >= LARGE)
		put_at_once(o->f, v, 4);
	for (i = 0; !err && i < 4; i++)
		err = put(o->f, v[i].iov_base, v[i].iov_len, diag);
	o->records++;
	return err;
}

int ml_out_wraps(struct ml_out *o, enum ml_side side,
	const struct ml_wrapped *w, struct ml_diag *diag)
{
	const size_t most = (ML_DATA_MAX - WRAP_HEAD) / WRAP_LEN;
	uint8_t *p, *at;
	size_t i, k, n;
	int err = ML_OK;

	if (w->wraps.n == 0)
		return ML_OK;
	p = malloc(WRAP_HEAD + most * WRAP_LEN);
	if (!p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; !err && i < w->wraps.n; i += n) {
		n = w->wraps.n - i < most ? w->wraps.n - i : most;
		memset(p, 0, WRAP_HEAD + n * WRAP_LEN);
		p[0] = (uint8_t)side;
		ml_store64(p + 8, w->size);
		ml_store64(p + 16, w->wraps.image);
		for (k = 0, at = p + WRAP_HEAD; k < n; k++, at += WRAP_LEN) {
			const struct ml_wrap *one = &w->wraps.w[i + k];

			ml_store64(at, one->pos);
			ml_store64(at + 8, one->len);
			at[16] = one->level;
			at[17] = one->mem;
			at[18] = one->strategy;
		}
		err = ml_out_record(
			o, ML_WRAP, p, (size_t)(at - p), diag);
	}
	free(p);
	return err;
}

int ml_out_casts(struct ml_out *o, const struct ml_casts *casts,
	struct ml_diag *diag)
{
	uint8_t *p;
	size_t n, at, k;
	int err;

	if (casts->n == 0)
		return ML_OK;
	err = ml_cast_encode(&p, &n, casts, diag);
	for (at = 0; !err && at < n; at += k) {
		k = n - at < ML_DATA_MAX ? n - at : ML_DATA_MAX;
		err = ml_out_record(o, ML_CAST, p + at, k, diag);
	}
	free(p);
	return err;
}

static int out_quant(
	struct ml_out *o, const struct ml_quant *q, struct ml_diag *diag)
{
	const size_t n = 8 + (size_t)q->n * 12;
	uint8_t *p = malloc(n), *at = p;
	uint32_t i;
	int err;

	if (!p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	ml_store32(at, q->n);
	ml_store32(at + 4, (uint32_t)q->axis);
	at += 8;
	for (i = 0; i < q->n; i++, at += 12) {
		uint32_t bits;

		memcpy(&bits, &q->scale[i], sizeof(bits));
		ml_store32(at, bits);
		ml_store64(at + 4, (uint64_t)q->zero[i]);
	}
	err = ml_out_record(o, ML_QUNT, p, n, diag);
	free(p);
	return err;
}

int ml_out_span(struct ml_out *o, const struct ml_span *sp,
	struct ml_diag *diag)
{
	uint8_t p[24 + 8 * ML_RANK_MAX];
	unsigned i;
	int err;

	if (sp->rank > ML_RANK_MAX || sp->name_len > ML_NAME_MAX)
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"span that no stream can hold");
	p[0] = sp->kind;
	p[1] = sp->rank;
	ml_store16(p + 2, sp->dtype);
	ml_store32(p + 4, sp->name_len);
	ml_store64(p + 8, sp->off);
	ml_store64(p + 16, sp->len);
	for (i = 0; i < sp->rank; i++)
		ml_store64(p + 24 + 8 * i, sp->shape[i]);
	err = ml_out_record2(o, ML_SPAN, p, 24 + 8 * (size_t)sp->rank,
		sp->name, sp->name_len, diag);
	if (!err && sp->quant)
		err = out_quant(o, sp->quant, diag);
	return err;
}

int ml_out_done(struct ml_out *o, uint64_t size,
	const uint8_t sha[ML_SHA256_LEN], struct ml_diag *diag)
{
	uint8_t p[16];

	ml_store64(p, size);
	ml_store64(p + 8, o->records);
	return ml_out_record2(
		o, ML_DONE, p, sizeof(p), sha, ML_SHA256_LEN, diag);
}
