/* SPDX-License-Identifier: MIT */
/* Alignment of tensors: by name, else by type and size, and always by a look
 * at the bytes, since names are renumbered and reused. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "cost.h"
#include "ops.h"

#define SAMPLE 4096 /* bytes compared to judge a candidate */
#define TRIES 96 /* candidates of equal type and size looked at */

struct ml_align {
	const struct ml_model *base;
	struct ml_src *bsrc;
	const struct ml_span **by_name, **by_size;
	size_t n;
	const struct ml_span *last; /* found last: its successor is likely */
};

/* A tensor's own name, without the member of an archive that it is in. */
static const char *own_name(const struct ml_span *sp, size_t *n)
{
	size_t i = sp->name_len;

	while (i >= 2 && (sp->name[i - 1] != ':' || sp->name[i - 2] != ':'))
		i--;
	if (i < 2)
		i = 0;
	*n = sp->name_len - i;
	return sp->name + i;
}

static int cmp_bytes(const char *a, size_t na, const char *b, size_t nb)
{
	int c = memcmp(a, b, na < nb ? na : nb);

	return c ? c : (na > nb) - (na < nb);
}

int ml_own_name_cmp(const struct ml_span *a, const struct ml_span *b)
{
	size_t na, nb;
	const char *pa = own_name(a, &na), *pb = own_name(b, &nb);

	return cmp_bytes(pa, na, pb, nb);
}

static int cmp_label(const struct ml_span *a, const struct ml_span *b)
{
	int c = ml_own_name_cmp(a, b);

	return c ? c : cmp_bytes(a->name, a->name_len, b->name, b->name_len);
}

static int cmp_name(const void *x, const void *y)
{
	const struct ml_span *a = *(const struct ml_span *const *)x;
	const struct ml_span *b = *(const struct ml_span *const *)y;
	int c = cmp_label(a, b);

	return c ? c : a->off < b->off ? -1 : a->off > b->off;
}

static int cmp_kind(const struct ml_span *a, const struct ml_span *b)
{
	if (a->dtype != b->dtype)
		return a->dtype < b->dtype ? -1 : 1;
	return a->len < b->len ? -1 : a->len > b->len;
}

static int cmp_size(const void *x, const void *y)
{
	const struct ml_span *a = *(const struct ml_span *const *)x;
	const struct ml_span *b = *(const struct ml_span *const *)y;
	int c = cmp_kind(a, b);

	return c ? c : a->off < b->off ? -1 : a->off > b->off;
}

int ml_align_new(struct ml_align **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag)
{
	struct ml_align *a = calloc(1, sizeof *a);
	size_t i, cap = base ? base->nspan + 1 : 1;

	*out = NULL;
	if (a) {
		a->by_name = malloc(cap * sizeof *a->by_name);
		a->by_size = malloc(cap * sizeof *a->by_size);
	}
	if (!a || !a->by_name || !a->by_size) {
		ml_align_free(a);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	a->base = base;
	a->bsrc = bsrc;
	for (i = 0; base && i < base->nspan; i++)
		if (base->span[i].kind == ML_TENSOR && base->span[i].len) {
			a->by_name[a->n] = &base->span[i];
			a->by_size[a->n++] = &base->span[i];
		}
	qsort(a->by_name, a->n, sizeof *a->by_name, cmp_name);
	qsort(a->by_size, a->n, sizeof *a->by_size, cmp_size);
	*out = a;
	return ML_OK;
}

void ml_align_free(struct ml_align *a)
{
	if (!a)
		return;
	free(a->by_name);
	free(a->by_size);
	free(a);
}

/* The first place in a sorted list that is not before sp. */
static size_t lower(const struct ml_span **list, size_t n,
	const struct ml_span *sp,
	int (*cmp)(const struct ml_span *, const struct ml_span *))
{
	size_t lo = 0, mid;

	while (n) {
		mid = n / 2;
		if (cmp(list[lo + mid], sp) < 0) {
			lo += mid + 1;
			n -= mid + 1;
		} else {
			n = mid;
		}
	}
	return lo;
}

/* Residuals only make sense between rows of equal length. */
static int rows_fit(const struct ml_span *a, const struct ml_span *b)
{
	unsigned i;

	if (a->dtype != b->dtype)
		return 0;
	if (a->len == b->len)
		return 1;
	if (a->rank != b->rank || a->rank == 0)
		return 0;
	for (i = 1; i < a->rank; i++)
		if (a->shape[i] != b->shape[i])
			return 0;
	return 1;
}

/* Estimated bits of a piece of the target as residuals against b. */
static int judge(struct ml_align *a, const struct ml_span *b, unsigned type,
	uint64_t at, const uint8_t *p, size_t n, uint64_t *bits,
	struct ml_diag *diag)
{
	uint8_t base[SAMPLE];
	int r;

	*bits = UINT64_MAX;
	if (at + n > b->len)
		return ML_OK;
	r = ml_src_read(a->bsrc, b->off + at, base, n, diag);
	if (!r)
		*bits = memcmp(base, p, n) ?
			ml_cost_diff(type, base, p, n / ml_type_bytes(type)) :
			0;
	return r;
}

/* What is looked at of the target's tensor, and what was found for it. */
struct search {
	const struct ml_span *sp;
	struct ml_src *tsrc;
	unsigned type;
	uint64_t at; /* offset of the sample in the tensor */
	size_t n;
	uint8_t p[SAMPLE];
	uint64_t alone, least; /* bits: without a base, with the best one */
	const struct ml_span *found;
	const char *how;
};

/* A sample from the middle of the first `len` bytes. */
static int sample(struct search *s, uint64_t len, struct ml_diag *diag)
{
	const unsigned unit = ml_type_bytes(s->type);
	int r;

	s->n = len < SAMPLE ? (size_t)len : SAMPLE;
	s->n -= s->n % unit;
	s->at = (len - s->n) / 2;
	s->at -= s->at % unit;
	r = ml_src_read(s->tsrc, s->sp->off + s->at, s->p, s->n, diag);
	s->least = s->alone = r ? 0 : ml_cost_alone(
		s->type, s->p, s->n / unit);
	return r;
}

/* Takes b when it is better by more than `margin` bits. */
static int consider(struct ml_align *a, struct search *s,
	const struct ml_span *b, uint64_t margin, const char *how,
	struct ml_diag *diag)
{
	uint64_t bits;
	int r = judge(a, b, s->type, s->at, s->p, s->n, &bits, diag);

	if (!r && bits < s->least - margin) {
		s->least = bits;
		s->found = b;
		s->how = how;
	}
	return r;
}

/* Those of the same name; of the same own name in other members of an archive
 * when there is none: a tensor may move from shard to shard. */
static int named(struct ml_align *a, struct search *s, struct ml_diag *diag)
{
	int (*cmp)(const struct ml_span *, const struct ml_span *) = cmp_label;
	const struct ml_span *sp = s->sp, *other = NULL, *b;
	size_t i = lower(a->by_name, a->n, sp, cmp), tries;
	int r;

	if (!sp->name_len)
		return ML_OK;
	if (i == a->n || cmp(a->by_name[i], sp)) {
		cmp = ml_own_name_cmp;
		i = lower(a->by_name, a->n, sp, cmp);
	}
	for (tries = 0; tries < TRIES && i < a->n; tries++, i++) {
		b = a->by_name[i];
		if (cmp(b, sp))
			break;
		if (!rows_fit(b, sp))
			continue;
		if (b->len != sp->len) {
			other = other ? other : b;
			continue;
		}
		r = consider(a, s, b, 0, "name", diag);
		if (r || !s->least)
			return r;
	}
	if (s->found || !other)
		return ML_OK;
	/* more rows or fewer: look where both have bytes */
	r = sample(s, other->len < sp->len ? other->len : sp->len, diag);
	return r ? r : consider(a, s, other, 0, "name", diag);
}

/* Those of the same type and size: the one after the last found first, then
 * all in file order. Another name must be clearly better. */
static int shaped(struct ml_align *a, struct search *s, struct ml_diag *diag)
{
	const struct ml_span *end = a->base->span + a->base->nspan;
	const struct ml_span *next = a->last ? a->last + 1 : end;
	size_t i = lower(a->by_size, a->n, s->sp, cmp_kind), tries;
	int r = ML_OK;

	if (next < end && next->kind == ML_TENSOR && !cmp_kind(next, s->sp))
		r = consider(a, s, next, s->least / 8, "shape", diag);
	for (tries = 0; !r && s->least && tries < TRIES && i < a->n &&
		!cmp_kind(a->by_size[i], s->sp); tries++, i++)
		r = consider(a, s, a->by_size[i], s->least / 8, "shape", diag);
	return r;
}

int ml_align_find(struct ml_align *a, const struct ml_span *sp,
	struct ml_src *tsrc, const struct ml_span **found, const char **how,
	struct ml_diag *diag)
{
	struct search s = {.sp = sp, .tsrc = tsrc, .how = ""};
	int r;

	*found = NULL;
	*how = "";
	s.type = ml_type_of(sp->dtype);
	if (sp->kind != ML_TENSOR || !a->n || sp->len < ml_type_bytes(s.type))
		return ML_OK;
	r = sample(&s, sp->len, diag);
	if (!r)
		r = named(a, &s, diag);
	/* Clearly the same tensor: look no farther. */
	if (!r && (!s.found || s.least > s.alone / 4 * 3))
		r = shaped(a, &s, diag);
	if (r)
		return r;
	*found = s.found;
	*how = s.how;
	if (s.found)
		a->last = s.found;
	return ML_OK;
}
