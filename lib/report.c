/* SPDX-License-Identifier: MIT */
/* What a patch says of itself and where its bytes go: by kind of operation and
 * by tensor of the target, named by labels or else by its container. */
#include <stdlib.h>
#include <string.h>

#include "cast.h"
#include "mltype.h"
#include "report.h"
#include "wrap.h"

const char *const ml_op_name[ML_NOP] = {
	"literal", "copy", "self", "residual", "alone"};
const char *const ml_rec_name[ML_NREC] = {
	"plain", "range", "fast", "note"};

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* ===== headers and records ============================================== */

static int count(void *arg, const struct ml_record *rec, struct ml_diag *diag)
{
	struct ml_part *r = arg;
	const unsigned coder = rec->coder & ML_RECORD_CODER;
	const int i = coder == ML_CODER_NOTE ? ML_REC_NOTE :
		coder == ML_CODER_FAST ? ML_REC_FAST :
		coder == ML_CODER_PLAIN ? ML_REC_PLAIN : ML_REC_RANGE;

	(void)diag;
	r->nrec[i]++;
	r->rec[i] += rec->code - rec->off + rec->n + 4;
	return ML_OK;
}

static int read_part(struct ml_part *r, struct ml_src *psrc, uint64_t *off,
	struct ml_diag *diag)
{
	uint8_t hbuf[ML_HDR_MAX];
	int err;

	memset(r, 0, sizeof(*r));
	r->off = *off;
	err = ml_patch_walk(psrc, off, &r->h, hbuf, count, r, diag);
	if (err)
		return err;
	r->size = *off - r->off;
	memcpy(r->target_sha, r->h.target_sha, ML_SHA256_LEN);
	if (r->h.flags & ML_HF_BASE)
		memcpy(r->base_sha, r->h.base_sha, ML_SHA256_LEN);
	r->is_signed = r->h.sig != NULL;
	if (r->is_signed)
		memcpy(r->key_id, r->h.sig - ML_KEY_ID_LEN, ML_KEY_ID_LEN);
	r->h.ext = r->h.body_sha = r->h.sig = NULL; /* they were in hbuf */
	return ML_OK;
}

static int read_parts(struct ml_report *r, struct ml_src *psrc,
	struct ml_diag *diag)
{
	struct ml_part *p;
	uint64_t off = 0;
	size_t cap = 0, i;
	int err;

	do {
		if (r->n == cap) {
			cap = cap ? cap * 2 : 4;
			p = realloc(r->part, cap * sizeof(*p));
			if (!p)
				return no_memory(diag);
			r->part = p;
		}
		err = read_part(&r->part[r->n], psrc, &off, diag);
		if (err)
			return err;
		r->n++;
	} while (off < ml_src_size(psrc));
	for (i = 0; i < r->n; i++) { /* they do not move any more */
		p = &r->part[i];
		p->h.target_sha = p->target_sha;
		p->h.base_sha = p->h.flags & ML_HF_BASE ? p->base_sha : NULL;
	}
	return ML_OK;
}

int ml_report_new(struct ml_report **out, struct ml_src *psrc,
	struct ml_diag *diag)
{
	struct ml_report *r = calloc(1, sizeof(*r));
	int err;

	*out = NULL;
	if (!r)
		return no_memory(diag);
	err = read_parts(r, psrc, diag);
	if (err)
		ml_report_free(r);
	else
		*out = r;
	return err;
}

void ml_report_free(struct ml_report *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->n; i++) {
		ml_model_free(&r->part[i].m);
		ml_model_free(&r->part[i].base);
		ml_map_free(&r->part[i].map);
		free(r->part[i].span);
	}
	free(r->part);
	free(r);
}

const struct ml_hdr *ml_report_header(const struct ml_report *r, size_t i)
{
	return i < r->n ? &r->part[i].h : NULL;
}

/* ===== operations ======================================================= */

struct look {
	struct ml_part *r;
	struct ml_unzip *u;
};

/* Of the types of a span's operations, the one that leads when all that are
 * not it have been set against it. */
static void vote(struct ml_share *s, int kind, const char *type, uint64_t n)
{
	if (s->type[kind] == type) {
		s->lead[kind] += n;
	} else if (s->lead[kind] >= n) {
		s->lead[kind] -= n;
	} else {
		s->lead[kind] = n - s->lead[kind];
		s->type[kind] = type;
	}
}

/* Adds an operation to the spans that it makes, its cost by their share. */
static void spread(struct ml_part *r, int kind, const struct ml_op_info *o)
{
	uint64_t bytes = o->bytes, cost = o->cost, arg = o->arg;
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
		vote(s, kind, o->type, k);
		if ((kind == ML_OP_COPY || kind == ML_OP_DIFF) &&
			k > s->longest) {
			s->longest = k;
			s->arg = arg;
		}
		/* where the base has more or fewer bytes than are made */
		arg += o->from == o->bytes ? k : (uint64_t)((double)o->from *
			(double)k / (double)o->bytes);
		if (k == left)
			r->at++;
	}
}

static int tell(void *arg, const struct ml_op_info *o, struct ml_diag *diag)
{
	struct ml_part *r = arg;
	int i = 0;

	(void)diag;
	while (i < ML_NOP - 1 && strcmp(o->op, ml_op_name[i]) != 0)
		i++;
	r->all.made[i] += o->bytes;
	r->all.cost[i] += o->cost;
	spread(r, i, o);
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

static int look_at(struct ml_part *r, struct ml_src *psrc,
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
static int compare(struct ml_part *r, struct ml_src *tsrc,
	struct ml_src *bsrc, struct ml_diag *diag)
{
	const struct ml_model *m = &r->base;
	struct ml_span **key, *sp, **hit;
	uint8_t *buf = malloc(2 * PIECE);
	size_t i, n = 0;
	int err = ML_OK;

	key = malloc((m->nspan + 1) * sizeof(*key));
	if (!buf || !key)
		err = no_memory(diag);
	for (i = 0; !err && i < m->nspan; i++)
		if (m->span[i].kind == ML_TENSOR)
			key[n++] = &m->span[i];
	if (n)
		qsort(key, n, sizeof(*key), by_name);
	bsrc = ml_model_src(m, bsrc);
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
	return err;
}

/* ===== where base bytes come from ======================================= */

/* The tensor of the base's image that holds this offset, or NULL. */
static const struct ml_span *span_at(const struct ml_model *m, uint64_t off)
{
	size_t lo = 0, hi = m->nspan, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (m->span[mid].off + m->span[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->nspan && m->span[lo].kind == ML_TENSOR &&
		m->span[lo].off <= off ? &m->span[lo] : NULL;
}

/* Says of each span which tensor of the base it was made of. */
static void name_bases(struct ml_part *r)
{
	const struct ml_wrap_map *map = &r->map;
	const uint64_t image = r->h.wrapped ? map->base_image : r->h.base_size;
	const struct ml_casts casts = {map->cast, map->ncast};
	size_t i;

	if (image != r->base.size)
		return; /* seen with other eyes than the writer's */
	for (i = 0; i < r->m.nspan; i++) {
		struct ml_share *s = &r->span[i];

		if (!s->longest)
			continue;
		s->cast = s->arg < image ? NULL :
			ml_cast_at(&casts, s->arg - image);
		s->gather = ml_cast_behind(&casts, s->cast, image);
		ml_casts_text(s->how, sizeof(s->how), &casts, s->cast, image);
		s->base = span_at(&r->base, s->gather ? s->gather->at :
			s->cast ? s->cast->at : s->arg);
	}
}

/* ===== all of it ======================================================== */

/* The images of both files, as the patch has them; NULL: the file itself. */
static int images(struct ml_part *r, struct ml_src *psrc,
	struct ml_src **bsrc, struct ml_src *tsrc, struct ml_src *image[2],
	struct ml_cast_base *cast, struct ml_diag *diag)
{
	struct ml_wrap_map *map = &r->map;
	struct ml_casts casts;
	int err;

	if (!r->h.wrapped)
		return ML_OK;
	err = ml_map_read(map, psrc, r->off + r->h.len, &r->h, diag);
	casts.c = map->cast;
	casts.n = map->ncast;
	if (!err && *bsrc)
		err = ml_base_open(bsrc, &image[ML_BASE_SIDE], cast, map->base,
			map->nbase, map->base_image, &casts, diag);
	if (!err && map->ntarget)
		err = ml_image_of(&image[ML_TARGET_SIDE], tsrc, map->target,
			map->ntarget, r->h.target_image, diag);
	return err;
}

static int name_tensors(struct ml_part *r, struct ml_src *psrc,
	struct ml_src *tsrc, struct ml_diag *diag)
{
	uint64_t off = r->off;
	int err = ml_patch_labels(psrc, &off, &r->m, diag);

	if (err || ml_model_has_tensors(&r->m))
		return err;
	ml_model_free(&r->m);
	err = ml_model_read(&r->m, tsrc, NULL, diag);
	if (err || r->m.size == r->h.target_image)
		return err;
	ml_model_free(&r->m); /* seen with other eyes than the writer's */
	return ml_model_finish(&r->m, r->h.target_image, diag);
}

static int look_part(struct ml_part *r, struct ml_src *psrc,
	struct ml_src *bsrc, struct ml_src *tsrc, struct ml_diag *diag)
{
	const int needs = r->h.flags & ML_HF_BASE;
	struct ml_src *image[2] = {NULL, NULL}, *from = needs ? bsrc : NULL;
	struct ml_cast_base cast = {0};
	int err = name_tensors(r, psrc, tsrc, diag);

	if (!err)
		err = images(r, psrc, &from, tsrc, image, &cast, diag);
	if (!err)
		err = look_at(r, psrc, from, diag);
	if (!err && needs)
		err = ml_model_read(&r->base, bsrc, NULL, diag);
	if (!err && needs)
		err = compare(r, image[ML_TARGET_SIDE] ?
			image[ML_TARGET_SIDE] : tsrc, bsrc, diag);
	if (!err && needs)
		name_bases(r);
	ml_cast_base_free(&cast);
	ml_src_free(image[ML_BASE_SIDE]);
	ml_src_free(image[ML_TARGET_SIDE]);
	r->looked = !err;
	return err;
}

/* The target of each patch is the base of the next. */
int ml_report_look(struct ml_report *r, struct ml_src *psrc,
	struct ml_src *base, struct ml_src *target, struct ml_diag *diag)
{
	struct ml_src *from = base, *to;
	int err = ML_OK;
	size_t i;

	for (i = 0; !err && i < r->n; i++) {
		struct ml_part *p = &r->part[i];
		uint64_t off = p->off;

		to = NULL;
		if (!target || i + 1 < r->n)
			err = ml_apply_spool(psrc, &off, from, &to, diag);
		else if (p->h.flags & ML_HF_BASE)
			err = ml_src_is_base(from, ml_hdr_sum(&p->h),
				p->h.base_size, p->base_sha, diag);
		if (!err)
			err = look_part(p, psrc, from, to ? to : target, diag);
		if (from != base)
			ml_src_free(from);
		from = to;
	}
	if (from != base)
		ml_src_free(from);
	return err;
}

/* ===== sums ============================================================= */

uint64_t ml_part_skeleton(const struct ml_part *r, struct ml_share *sum)
{
	uint64_t n = 0;
	size_t i;
	int k;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < r->m.nspan; i++) {
		if (r->m.span[i].kind == ML_TENSOR)
			continue;
		n += r->m.span[i].len;
		for (k = 0; k < ML_NOP; k++) {
			sum->made[k] += r->span[i].made[k];
			sum->cost[k] += r->span[i].cost[k];
		}
	}
	return n;
}

double ml_share_cost(const struct ml_share *s)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < ML_NOP; i++)
		n += s->cost[i];
	return (double)n / 256;
}

/* The kind that makes most; -1: none. */
static int most(const struct ml_share *s)
{
	int i, best = 0;

	for (i = 1; i < ML_NOP; i++)
		if (s->made[i] > s->made[best])
			best = i;
	return s->made[best] ? best : -1;
}

const char *ml_share_mostly(const struct ml_share *s)
{
	const int i = most(s);

	return i < 0 ? "-" : ml_op_name[i];
}

const char *ml_share_type(const struct ml_share *s)
{
	const int i = most(s);

	return i < 0 || !s->type[i] ? "" : s->type[i];
}

double ml_ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}
