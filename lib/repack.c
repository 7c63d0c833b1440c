/* SPDX-License-Identifier: MIT */
/* Between a stream and a patch: what ml-pack does, both ways. */
#include <stdlib.h>
#include <string.h>

#include "blockio.h"
#include "hdr.h"
#include "mldec.h"

/* ===== a stream to a patch ============================================== */

static int pack_label(struct ml_packer *p, const uint8_t *payload, size_t n,
	struct ml_diag *diag)
{
	struct ml_span sp;
	int err = ml_span_decode(&sp, payload, n, diag);

	if (err)
		return err;
	err = ml_pack_span(p, &sp, diag);
	ml_span_clear(&sp);
	return err;
}

int ml_pack_stream(struct ml_packer *p, struct ml_in *in, int labels,
	struct ml_patch_info *info, void (*progress)(void *arg, uint64_t done),
	void *arg, struct ml_diag *diag)
{
	const struct ml_head *h = ml_in_head(in);
	const struct ml_wrapped *w;
	uint8_t *lit = malloc(ML_LITERAL_MAX);
	struct ml_done done = {0};
	const uint8_t *payload;
	uint64_t made = 0;
	struct ml_block b;
	uint32_t tag = 0;
	size_t n;
	int err = ML_OK;

	if (!lit)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	while (!err && tag != ML_DONE) {
		err = ml_in_next(in, &tag, &payload, &n, diag);
		if (err)
			break;
		if (tag == ML_SPAN && labels) {
			err = pack_label(p, payload, n, diag);
		} else if (tag == ML_DONE) {
			err = ml_done_decode(&done, payload, n, diag);
		} else if (tag == ML_DATA || tag == ML_CODE) {
			if (tag == ML_DATA)
				ml_block_literal(&b, lit, payload, n);
			else
				ml_block_decode(&b, payload, n);
			err = ml_pack_block(p, &b, diag);
			made += b.n_out;
			if (progress)
				progress(arg, made);
		}
	}
	if (err && diag->off == ML_NOWHERE)
		diag->off = ml_in_offset(in);
	free(lit);
	info->cls = h->cls;
	info->sum = h->sum;
	info->page = h->page;
	info->lead = h->lead;
	info->has_base = h->kind == ML_KIND_DELTA;
	info->base_size = h->base_size;
	info->target_size = done.size;
	w = ml_in_wrapped(in, ML_TARGET_SIDE);
	info->target_wraps = w->wraps;
	if (w->wraps.n)
		info->target_size = w->size;
	info->base_wraps = ml_in_wrapped(in, ML_BASE_SIDE)->wraps;
	info->casts = *ml_in_casts(in);
	memcpy(info->base_sha, h->base_sha, ML_SHA256_LEN);
	memcpy(info->target_sha, done.sha, ML_SHA256_LEN);
	return err;
}

/* ===== a patch to a stream ============================================== */

static int put_span(
	void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	return ml_out_span(ctx, sp, diag);
}

static int put_block(
	void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	return ml_out_block(ctx, b, diag);
}

static int put_map(struct ml_out *out, const struct ml_wrap_map *m,
	const struct ml_hdr *h, struct ml_diag *diag)
{
	const struct ml_wrapped base = {
		h->base_size, {m->base_image, m->base, m->nbase}};
	const struct ml_casts casts = {m->cast, m->ncast};
	const struct ml_wrapped target = {
		h->target_size, {h->target_image, m->target, m->ntarget}};
	int err = ml_out_wraps(out, ML_BASE_SIDE, &base, diag);

	if (!err)
		err = ml_out_wraps(out, ML_TARGET_SIDE, &target, diag);
	return err ? err : ml_out_casts(out, &casts, diag);
}

static int ranged(void *arg, const struct ml_record *r, struct ml_diag *diag)
{
	const unsigned coder = r->coder & ML_RECORD_CODER;
	int *any = arg;

	(void)diag;
	*any |= coder == ML_CODER_RANGE || coder == ML_CODER_NANO ||
		coder == ML_CODER_FAST;
	return ML_OK;
}

int ml_unpack_stream(struct ml_src *psrc, FILE *f, struct ml_diag *diag)
{
	uint8_t hbuf[ML_HDR_MAX];
	struct ml_head head = {0};
	struct ml_out out;
	struct ml_sink sink = {&out, put_span, put_block};
	struct ml_hdr h;
	uint64_t off = 0;
	struct ml_wrap_map map = {0};
	int any = 0, err;

	err = ml_patch_walk(psrc, &off, &h, hbuf, ranged, &any, diag);
	if (!err && off != ml_src_size(psrc))
		err = ml_fail(diag, ML_EFORMAT, off,
			"more than one patch, or bytes after it");
	if (err)
		return err;
	head.kind = h.flags & ML_HF_BASE ? ML_KIND_DELTA : ML_KIND_MODEL;
	head.cls = any ? h.cls : 0;
	head.sum = (uint8_t)ml_hdr_sum(&h);
	head.page = h.page;
	head.lead = h.lead;
	head.base_size = h.base_size;
	if (h.base_sha)
		memcpy(head.base_sha, h.base_sha, ML_SHA256_LEN);
	if (h.wrapped)
		err = ml_map_read(&map, psrc, h.len, &h, diag);
	off = 0;
	if (!err)
		err = ml_out_open(&out, f, &head, diag);
	if (!err)
		err = put_map(&out, &map, &h, diag);
	if (!err)
		err = ml_unpack(psrc, &off, &sink, diag);
	if (!err)
		err = ml_out_done(&out, h.target_image, h.target_sha, diag);
	ml_map_free(&map);
	return err;
}
