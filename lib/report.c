/* SPDX-License-Identifier: MIT */
/* What a patch says of itself and where its bytes go: by kind of operation and
 * by tensor of the target, named by labels or else by its container. */
#include <stdlib.h>
#include <string.h>

#include "hdr.h"
#include "label.h"
#include "report.h"

const char *const ml_op_name[ML_NOP] = {
	"literal", "copy", "self", "residual", "alone"};

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* ===== headers and records ============================================== */

static int count(void *arg, const struct ml_record *rec, struct ml_diag *diag)
{
	struct ml_report *r = arg;
	const unsigned coder = rec->coder & ML_RECORD_CODER;
	const int i = coder == ML_CODER_NOTE ? ML_REC_NOTE :
		coder == ML_CODER_RANGE ? ML_REC_RANGE : ML_REC_PLAIN;

	(void)diag;
	r->nrec[i]++;
	r->rec[i] += rec->code - rec->off + rec->n + 4;
	return ML_OK;
}

int ml_report_read(struct ml_report **out, size_t *n, struct ml_src *psrc,
	struct ml_diag *diag)
{
	uint8_t hbuf[ML_HDR_MAX];
	struct ml_report *r;
	uint64_t off = 0;
	size_t cap = 0;
	int err;

	*out = NULL;
	*n = 0;
	do {
		if (*n == cap) {
			cap = cap ? cap * 2 : 4;
			r = realloc(*out, cap * sizeof(*r));
			if (!r)
				return no_memory(diag);
			*out = r;
		}
		r = &(*out)[*n];
		memset(r, 0, sizeof(*r));
		r->off = off;
		err = ml_patch_walk(psrc, &off, &r->h, hbuf, count, r, diag);
		if (err)
			return err;
		r->size = off - r->off;
		memcpy(r->target_sha, r->h.target_sha, ML_SHA256_LEN);
		if (r->h.flags & ML_HF_BASE)
			memcpy(r->base_sha, r->h.base_sha, ML_SHA256_LEN);
		r->h.target_sha = r->h.base_sha = r->h.ext = NULL;
		(*n)++;
	} while (off < ml_src_size(psrc));
	return ML_OK;
}

void ml_report_free(struct ml_report *r, size_t n)
{
	while (n-- > 0) {
		ml_model_free(&r[n].m);
		free(r[n].span);
	}
	free(r);
}

/* ===== operations ======================================================= */

struct look {
	struct ml_report *r;
	struct ml_unzip *u;
};

/* Adds an operation to the spans that it makes, its cost by their share. */
static void spread(struct ml_report *r, int kind, uint64_t bytes, uint64_t cost)
{
	const struct ml_span *sp;
	uint64_t left, k, part;

	for (; bytes && r->at < r->m.nspan; bytes -= k, cost -= part) {
		struct ml_share *s = &r->span[r->at];
		uint64_t made = 0;
		int i;

		sp = &r->m.span[r->at];
		for (i = 0; i < ML_NOP; i++)
			made += s->made[i];
		left = sp->len - made;
		k = bytes < left ? bytes : left;
		part = k == bytes ? cost :
			(uint64_t)((double)cost * (double)k / (double)bytes);
		if (part > cost)
			part = cost;
		s->made[kind] += k;
		s->cost[kind] += part;
		if (k == left)
			r->at++;
	}
}

static int tell(void *arg, const struct ml_op_info *o, struct ml_diag *diag)
{
	struct ml_report *r = arg;
	int i = 0;

	(void)diag;
	while (i < ML_NOP - 1 && strcmp(o->op, ml_op_name[i]) != 0)
		i++;
	r->all.made[i] += o->bytes;
	r->all.cost[i] += o->cost;
	spread(r, i, o->bytes, o->cost);
	return ML_OK;
}

static int no_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	(void)ctx;
	(void)sp;
	(void)diag;
	return ML_OK;
}

static int look(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	struct look *l = ctx;

	return ml_unzip_look(l->u, b, tell, l->r, diag);
}

static int look_at(struct ml_report *r, struct ml_src *psrc,
	struct ml_src *bsrc, struct ml_diag *diag)
{
	struct look l = {.r = r};
	struct ml_sink sink = {&l, no_span, look};
	uint64_t off = r->off;
	int err;

	r->span = calloc(r->m.nspan + 1, sizeof(*r->span));
	if (!r->span)
		return no_memory(diag);
	err = ml_unzip_new(&l.u, r->h.cls, bsrc, &sink, diag);
	if (!err)
		err = ml_unpack(psrc, &off, &sink, diag);
	ml_unzip_free(l.u);
	return err;
}

/* ===== what has changed ================================================= */

static int by_name(const void *a, const void *b)
{
	const struct ml_span *x = *(struct ml_span *const *)a;
	const struct ml_span *y = *(struct ml_span *const *)b;
	const size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	const int c = memcmp(x->name, y->name, n);

	if (c)
		return c;
	return (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

#define PIECE 65536

/* x has room for two pieces. */
static int count_changed(struct ml_share *s, const struct ml_span *t,
	struct ml_src *tsrc, const struct ml_span *b, struct ml_src *bsrc,
	uint8_t *x, struct ml_diag *diag)
{
	const struct ml_dtype_info *type = ml_dtype_find(t->dtype);
	size_t unit = type && type->block_bytes ? type->block_bytes : 1;
	uint8_t *y = x + PIECE;
	uint64_t at;
	size_t n, i;
	int err;

	if (t->len % unit)
		unit = 1;
	for (at = 0; at < t->len; at += n) {
		n = PIECE - PIECE % unit;
		if (t->len - at < n)
			n = (size_t)(t->len - at);
		err = ml_src_read(tsrc, t->off + at, x, n, diag);
		if (!err)
			err = ml_src_read(bsrc, b->off + at, y, n, diag);
		if (err)
			return err;
		for (i = 0; i < n; i += unit)
			s->changed += memcmp(x + i, y + i, unit) != 0;
		s->total += n / unit;
	}
	return ML_OK;
}

/* Compares each tensor with that of the same name and length in the base. */
static int compare(struct ml_report *r, struct ml_src *tsrc,
	struct ml_src *bsrc, struct ml_diag *diag)
{
	struct ml_span **key, *sp, **hit;
	uint8_t *buf = malloc(2 * PIECE);
	struct ml_model m;
	size_t i, n = 0;
	int err;

	err = ml_model_read(&m, bsrc, NULL, diag);
	if (err) {
		free(buf);
		return err;
	}
	key = malloc((m.nspan + 1) * sizeof(*key));
	if (!buf || !key)
		err = no_memory(diag);
	for (i = 0; !err && i < m.nspan; i++)
		if (m.span[i].kind == ML_TENSOR)
			key[n++] = &m.span[i];
	if (n)
		qsort(key, n, sizeof(*key), by_name);
	for (i = 0; !err && n && i < r->m.nspan; i++) {
		sp = &r->m.span[i];
		if (sp->kind != ML_TENSOR)
			continue;
		hit = bsearch(&sp, key, n, sizeof(*key), by_name);
		if (hit && (*hit)->len == sp->len)
			err = count_changed(&r->span[i], sp, tsrc, *hit, bsrc,
				buf, diag);
	}
	free(key);
	free(buf);
	ml_model_free(&m);
	return err;
}

/* ===== all of it ======================================================== */

static int name_tensors(struct ml_report *r, struct ml_src *psrc,
	struct ml_src *tsrc, struct ml_diag *diag)
{
	uint64_t off = r->off;
	size_t i;
	int err = ml_patch_labels(psrc, &off, &r->m, diag);

	if (err)
		return err;
	for (i = 0; i < r->m.nspan; i++)
		if (r->m.span[i].kind == ML_TENSOR)
			return ML_OK;
	ml_model_free(&r->m);
	return ml_model_read(&r->m, tsrc, NULL, diag);
}

int ml_report_look(struct ml_report *r, struct ml_src *psrc,
	struct ml_src *bsrc, struct ml_src *tsrc, struct ml_diag *diag)
{
	const int needs = r->h.flags & ML_HF_BASE;
	int err = name_tensors(r, psrc, tsrc, diag);

	if (!err)
		err = look_at(r, psrc, needs ? bsrc : NULL, diag);
	if (!err && needs)
		err = compare(r, tsrc, bsrc, diag);
	r->looked = !err;
	return err;
}
