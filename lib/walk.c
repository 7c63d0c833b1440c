/* SPDX-License-Identifier: MIT */
/* Walks the records of a patch, ml-patch(5): frame and CRCs, not the coded
 * bytes. A CRC is checked before the record is judged, so that damage is
 * called damage. */
#include <stdlib.h>

#include "bytes.h"
#include "hdr.h"
#include "mldec.h"

#define PIECE 65536

int ml_hdr_read(struct ml_src *s, uint64_t off, struct ml_hdr *h,
	uint8_t hbuf[ML_HDR_MAX], struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	const uint64_t left = off < size ? size - off : 0;
	const size_t n = left < ML_HDR_MAX ? (size_t)left : ML_HDR_MAX;
	int r;

	if (n == 0)
		return ml_fail(diag, ML_ETRUNC, off, "no patch: input ends");
	r = ml_src_read(s, off, hbuf, n, diag);
	if (r)
		return r;
	r = ml_hdr_parse(hbuf, n, h);
	if (r > 0)
		return ML_OK;
	if (r == 0)
		return ml_fail(diag, ML_ETRUNC, off,
			"patch ends within its header");
	return ml_hdr_refused(r, h, off, diag);
}

static int check_crc(struct ml_src *s, const struct ml_record *r,
	uint8_t *buf, struct ml_diag *diag)
{
	const uint64_t end = r->code + r->n;
	uint64_t at = r->off;
	uint32_t crc = 0;
	int err;

	while (at < end) {
		const size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;

		err = ml_src_read(s, at, buf, n, diag);
		if (err)
			return err;
		crc = ml_crc32(crc, buf, n);
		at += n;
	}
	err = ml_src_read(s, end, buf, 4, diag);
	if (!err && crc != ml_load32(buf))
		err = ml_fail(diag, ML_ECHECK, r->off,
			"record is damaged: its CRC-32 does not match");
	return err;
}

int ml_record_frame(struct ml_src *s, struct ml_record *r, uint64_t end,
	struct ml_diag *diag)
{
	uint8_t head[ML_REC_HEAD_MAX];
	const uint8_t *p = head + 1;
	const size_t n = end - r->off < sizeof(head) ? (size_t)(end - r->off) :
		sizeof(head);
	int err = ml_src_read(s, r->off, head, n, diag);

	if (err)
		return err;
	r->coder = head[0];
	if (ml_get_varint(&p, head + n, &r->n_out) != 1 ||
		ml_get_varint(&p, head + n, &r->n) != 1)
		return ml_fail(diag, ML_EFORMAT, r->off,
			"malformed head of a record");
	r->code = r->off + (uint64_t)(p - head);
	if (end - r->code < 4 || r->n > end - r->code - 4)
		return ml_fail(diag, ML_EFORMAT, r->off,
			"record of %llu bytes leaves the patch",
			(unsigned long long)r->n);
	return ML_OK;
}

int ml_record_read(struct ml_src *s, struct ml_record *r, uint64_t end,
	struct ml_diag *diag)
{
	uint8_t *buf = malloc(PIECE);
	int err;

	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	err = ml_record_frame(s, r, end, diag);
	if (!err)
		err = check_crc(s, r, buf, diag);
	free(buf);
	return err;
}

/* `left` target bytes are not made yet. */
static int judge(const struct ml_record *r, uint64_t left,
	struct ml_diag *diag)
{
	const unsigned coder = r->coder & ML_RECORD_CODER;

	if (r->coder & ~(ML_RECORD_CODER | ML_RECORD_RESET) ||
		(coder > ML_CODER_FAST &&
			(coder != ML_CODER_NOTE || r->n_out)))
		return ml_fail_newer(
			diag, r->off, "record of coder 0x%02x", r->coder);
	if (coder != ML_CODER_NOTE && r->n_out == 0)
		return ml_fail(diag, ML_EFORMAT, r->off,
			"record that makes nothing");
	if (r->n_out > left)
		return ml_fail(diag, ML_EFORMAT, r->off,
			"record makes %llu bytes, but the target lacks only "
			"%llu", (unsigned long long)r->n_out,
			(unsigned long long)left);
	return ML_OK;
}

int ml_patch_walk(struct ml_src *psrc, uint64_t *off, struct ml_hdr *h,
	uint8_t hbuf[ML_HDR_MAX], int (*each)(void *arg,
	const struct ml_record *r, struct ml_diag *diag), void *arg,
	struct ml_diag *diag)
{
	uint64_t end, made = 0;
	struct ml_record r = {0};
	uint8_t *buf;
	int err = ml_hdr_read(psrc, *off, h, hbuf, diag);

	if (err)
		return err;
	r.off = *off + h->len;
	if (h->body_len > ml_src_size(psrc) - r.off)
		return ml_fail(diag, ML_ETRUNC, ml_src_size(psrc),
			"patch ends here, but goes to %llu",
			(unsigned long long)(r.off + h->body_len));
	end = r.off + h->body_len;
	buf = malloc(PIECE);
	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	while (!err && r.off < end) {
		err = ml_record_frame(psrc, &r, end, diag);
		if (!err)
			err = check_crc(psrc, &r, buf, diag);
		if (!err)
			err = judge(&r, h->target_image - made, diag);
		if (!err && each)
			err = each(arg, &r, diag);
		made += r.n_out;
		r.off = r.code + r.n + 4;
	}
	free(buf);
	if (!err && made != h->target_image)
		err = ml_fail(diag, ML_EFORMAT, end,
			"records make %llu bytes, but the target has %llu",
			(unsigned long long)made,
			(unsigned long long)h->target_image);
	if (!err)
		*off = end;
	return err;
}
