/* SPDX-License-Identifier: MIT */
/* A patch in flash, proven before it is applied; see stage.h. What memory it
 * takes is the updater's, which does not yet need it. */
#include <string.h>

#include "stage.h"

void ml_stage_init(
	struct ml_stage *s, struct ml_upd *u, uint32_t from, uint32_t size)
{
	s->u = u;
	s->from = from;
	s->size = size;
	s->at = s->end = 0;
}

int ml_stage_put(struct ml_stage *s, const uint8_t *p, uint32_t n)
{
	const struct ml_upd_conf *c = s->u->c;
	uint32_t k;

	if (s->u->taken)
		return ML_UPD_EHALF;
	for (; n; p += k, n -= k, s->at += k) {
		if (s->at == s->size)
			return ML_UPD_ESIZE;
		k = c->block - (s->at & (c->block - 1));
		if (k == c->block && c->erase(c->ctx, s->from + s->at) < 0)
			return ML_UPD_EFLASH;
		if (k > n)
			k = n;
		if (c->program(c->ctx, s->from + s->at, p, k) < 0)
			return ML_UPD_EFLASH;
	}
	return 0;
}

/* Reads from the patch, within `size`. */
static int get(struct ml_stage *s, uint32_t at, void *p, uint32_t n)
{
	const struct ml_upd_conf *c = s->u->c;

	return c->read(c->ctx, s->from + at, p, n) < 0 ? ML_UPD_EFLASH : 0;
}

static int begin(struct ml_stage *s)
{
	struct ml_upd *u = s->u;
	struct ml_hdr *h = &u->dec.hdr;
	uint8_t *p = (uint8_t *)u->mem.arena;
	uint32_t n = s->size < ML_DEC_HDR ? s->size : ML_DEC_HDR;
	int r = get(s, 0, p, n);

	if (r)
		return r;
	r = ml_hdr_parse(p, n, h);
	if (r <= 0)
		return r ? r : ML_DEC_ECLASS;
	if (h->body_len > s->size - h->len)
		return ML_UPD_ESIZE;
	r = u->c->accept ? u->c->accept(u->c->ctx, h, p) : 0;
	if (r)
		return r;
	if (!h->body_sha)
		return ML_UPD_ESIGN;
	s->at = h->len;
	s->end = h->len + (uint32_t)h->body_len;
	memmove(u->mem.hash.sum, h->body_sha, 32);
	ml_sha_init(&u->mem.hash.sha);
	return ML_DEC_AGAIN;
}

int ml_stage_check(struct ml_stage *s)
{
	struct ml_upd *u = s->u;
	uint32_t k, left = ML_UPD_STEP;
	const uint8_t *p;
	int r = 0;

	if (!s->end)
		return begin(s);
	for (; s->at < s->end; s->at += k, left -= ML_UPD_BUF) {
		if (!left)
			return ML_DEC_AGAIN;
		k = s->end - s->at < ML_UPD_BUF ? s->end - s->at : ML_UPD_BUF;
		r = get(s, s->at, u->buf, k);
		if (r)
			return r;
		ml_sha_update(&u->mem.hash.sha, u->buf, k);
	}
	p = ml_sha_final(&u->mem.hash.sha);
	for (k = 0; k < 32; k++)
		if (p[k] != u->mem.hash.sum[k])
			return ML_UPD_EVERIFY;
	s->at = 0;
	return ML_DEC_DONE;
}

int ml_stage_apply(struct ml_stage *s)
{
	uint8_t b[ML_UPD_BUF];
	uint32_t k = s->end - s->at < sizeof b ? s->end - s->at : sizeof b;
	size_t used;
	int r = k ? get(s, s->at, b, k) : 0;

	if (r)
		return r;
	r = ml_upd_feed(s->u, b, k, &used);
	s->at += (uint32_t)used;
	return r == ML_DEC_MORE && s->at < s->end ? ML_DEC_AGAIN : r;
}
