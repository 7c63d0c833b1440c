/* SPDX-License-Identifier: MIT */
/* The bytes of a patch into a decoder, and where they are when it refuses
 * them. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "feed.h"

int ml_feed_fill(struct ml_feed *f, struct ml_diag *diag)
{
	size_t room, got;
	ssize_t r;
	int err;

	memmove(f->in, f->in + f->used, f->n - f->used);
	f->n -= f->used;
	f->used = 0;
	room = sizeof(f->in) - f->n;
	if (f->f && fileno(f->f) < 0) { /* in memory */
		errno = 0;
		got = fread(f->in + f->n, 1, room, f->f);
		if (got < room && ferror(f->f))
			return ml_fail_errno(diag, "cannot read the patch");
	} else if (f->f) {
		/* What there is: a serial line has no end to wait for. */
		do
			r = read(fileno(f->f), f->in + f->n, room);
		while (r < 0 && errno == EINTR);
		if (r < 0)
			return ml_fail_errno(diag, "cannot read the patch");
		got = (size_t)r;
	} else {
		got = f->end - f->at < room ? (size_t)(f->end - f->at) : room;
		err = ml_src_read(f->psrc, f->at, f->in + f->n, got, diag);
		if (err)
			return err;
	}
	f->n += got;
	f->at += got;
	f->eof = got == 0;
	return ML_OK;
}

/* Follows the frames of the records in what the decoder took, to know which
 * one it is in. */
static void follow(struct ml_feed *f, const uint8_t *p, size_t n)
{
	const uint8_t *q;
	uint64_t out, len;

	for (; n; n--, p++) {
		if (f->skip >= n) {
			f->skip -= n;
			f->taken += n;
			return;
		}
		f->taken += f->skip;
		p += f->skip;
		n -= (size_t)f->skip;
		f->skip = 0;
		if (f->nframe == 0)
			f->rec = f->taken;
		f->taken++;
		f->frame[f->nframe++] = *p;
		q = f->frame + 1;
		if (f->nframe > 1 &&
			ml_get_varint(&q, f->frame + f->nframe, &out) == 1 &&
			ml_get_varint(&q, f->frame + f->nframe, &len) == 1) {
			f->skip = len + 4;
			f->nframe = 0;
		} else if (f->nframe == sizeof(f->frame)) {
			f->nframe = 0; /* the decoder refused it */
		}
	}
	if (f->skip == 0 && f->nframe == 0)
		f->rec = f->taken;
}

static int refused(struct ml_feed *f, int r, struct ml_diag *diag)
{
	const uint64_t at = f->skip || f->nframe ? f->rec : f->taken;

	if (r == ML_DEC_EIO)
		return f->err;
	if (r == ML_DEC_ECRC)
		return ml_fail(diag, ML_ECHECK, at,
			"record is damaged: its CRC-32 does not match");
	if (r == ML_DEC_EVERSION)
		return ml_fail_newer(diag, at,
			"record with an unknown coder or element type, or "
			"damage");
	return ml_fail(diag, ml_dec_err(r), at, "malformed record");
}

int ml_feed_run(struct ml_feed *f, struct ml_diag *diag)
{
	size_t used;
	int r, err;

	for (;;) {
		r = ml_dec_feed(
			&f->dec, f->in + f->used, f->n - f->used, &used);
		if (r != ML_DEC_HEADER)
			follow(f, f->in + f->used, used);
		else
			f->taken = f->rec = f->taken + used;
		if (r != ML_DEC_HEADER && f->body)
			ml_sha256_update(f->body, f->in + f->used, used);
		f->used += used;
		if (r < 0)
			return refused(f, r, diag);
		if (r == ML_DEC_DONE)
			return ML_OK;
		if (r != ML_DEC_MORE)
			continue;
		err = ml_feed_fill(f, diag);
		if (err)
			return err;
		if (f->eof)
			return ml_fail(diag, ML_ETRUNC, f->at,
				"patch ends within the record at %llu",
				(unsigned long long)f->rec);
	}
}
