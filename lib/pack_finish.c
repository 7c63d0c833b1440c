/* SPDX-License-Identifier: MIT */
/* The end of packing: header, notes and the records, ml-patch(5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "mldec.h"
#include "pack.h"

#define COPY (1u << 20) /* at most ML_RECORD_MAX, which p->buf has */
#define NANO_MAX (UINT64_C(1) << 31) /* sizes of a nano patch are below */

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

static int put_record(struct ml_packer *p, const struct ml_rec *r, uint64_t *off,
	FILE *f, struct ml_diag *diag)
{
	uint8_t head[ML_REC_HEAD_MAX + ML_OP_HEAD_MAX];
	uint32_t crc = 0;
	size_t k, i;
	int err;

	if (r->whole) {
		err = put_spool(f, p->spool, *off, r->n, p->buf, &crc, diag);
		*off += r->n;
		return err;
	}
	k = ml_record_head(head, r->coder, r->out, r->n);
	crc = ml_crc32(0, head, k);
	err = put(f, head, k, diag);
	for (i = r->first; !err && i < r->end; i++) {
		const struct ml_piece *t = &p->piece[i];

		k = ml_piece_head(head, t);
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
		return small && !p->plain ? ML_NANO : ML_MICRO;
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
	const size_t k = ml_record_head(head, ML_CODER_NOTE, 0, n);

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

/* All that can be wrong, and the header. *note, to be freed, is what comes
 * directly behind it. */
static int header(struct ml_packer *p, const struct ml_patch_info *info,
	uint8_t head[ML_HDR_MAX], size_t *nhead, uint8_t **note, size_t *nnote,
	struct ml_diag *diag)
{
	const uint64_t target = info->target_wraps.n ?
		info->target_wraps.image : info->target_size;
	uint64_t base = info->has_base ? info->base_size : 0;
	uint64_t body = ml_src_size(p->notes);
	struct ml_rec r;
	int cls, err;

	*note = NULL;

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
	for (r.end = 0; ml_next_record(p, &r);)
		body += r.n + (r.whole ? 0 :
			ml_record_head(head, r.coder, r.out, r.n) + 4);
	err = wraps_note(info, note, nnote, diag);
	if (err)
		return err;
	body += *nnote;
	cls = class_of(p, info, body, diag);
	if (cls < 0)
		return cls;
	*nhead = ml_hdr_put(head, info, cls, body, p->window,
		p->types);
	return ML_OK;
}

int ml_pack_finish(struct ml_packer *p, const struct ml_patch_info *info,
	FILE *f, struct ml_diag *diag)
{
	uint64_t off = ML_HDR_MAX; /* in the spool */
	uint8_t head[ML_HDR_MAX], *note;
	size_t nhead, nnote;
	uint32_t crc = 0;
	struct ml_rec r;
	int err = header(p, info, head, &nhead, &note, &nnote, diag);

	if (!err)
		err = put(f, head, nhead, diag);
	if (!err)
		err = put(f, note, nnote, diag);
	free(note);
	if (!err)
		err = put_spool(f, p->notes, 0, ml_src_size(p->notes), p->buf,
			&crc, diag);
	for (r.end = 0; !err && ml_next_record(p, &r);)
		err = put_record(p, &r, &off, f, diag);
	return err;
}

int ml_pack_settle(struct ml_packer *p, const struct ml_patch_info *info,
	struct ml_src **spool, struct ml_src **patch, struct ml_diag *diag)
{
	uint8_t head[ML_HDR_MAX], *note = NULL;
	size_t nhead, nnote;
	uint64_t from;
	int err = ml_pack_close(p, diag);

	*spool = *patch = NULL;
	if (err || ml_src_size(p->notes) || p->npiece > 1 ||
		(p->npiece && p->piece[0].kind != P_RECORD))
		return err;
	err = header(p, info, head, &nhead, &note, &nnote, diag);
	free(note);
	if (err || nnote)
		return err;
	from = ML_HDR_MAX - nhead;
	err = ml_src_put(p->spool, from, head, nhead, diag);
	if (!err)
		err = ml_src_view(patch, p->spool, from,
			ml_src_size(p->spool) - from, diag);
	if (!err) {
		*spool = p->spool;
		p->spool = NULL;
	}
	return err;
}
