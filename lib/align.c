/* SPDX-License-Identifier: MIT */
/* Alignment of tensors: by name, by what names are but for their numbers, by
 * type and size; and always by an estimate from a look at the bytes, since
 * names are renumbered and reused. */
#include <stdlib.h>
#include <string.h>

#include "align.h"
#include "cost.h"
#include "ops.h"
#include "seen.h"

#define PARTS 4 /* places of a tensor where candidates are compared */
#define PART 1024 /* bytes there */
#define SAMPLE (PARTS * PART)
#define TRIES 96 /* candidates of equal type and size looked at */
#define SURE 16 /* parts of its cost alone, by which there is no better one */
/* Bytes of the target that allow one look more, which takes a few percent of
 * their time; and how many are saved up for small tensors. */
#define LOOK (16u << 10)
#define CREDIT (4u << 20)
#define RIVALS 8 /* of those before, and behind, the one of the same name */

struct ml_align {
	const struct ml_model *base;
	struct ml_src *bsrc;
	const struct ml_span **by_name, **by_size, **by_role;
	size_t n;
	const struct ml_span *last; /* found last: its successor is likely */
	uint64_t credit; /* bytes of the target that looks are paid with */
	int astray; /* the last one had another name */
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

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Own names, in which one number is as good as another. */
static int cmp_role_name(const struct ml_span *a, const struct ml_span *b)
{
	size_t na, nb, i = 0, j = 0;
	const char *pa = own_name(a, &na), *pb = own_name(b, &nb);

	while (i < na && j < nb) {
		if (is_digit(pa[i]) && is_digit(pb[j])) {
			while (i < na && is_digit(pa[i]))
				i++;
			while (j < nb && is_digit(pb[j]))
				j++;
		} else if (pa[i] != pb[j]) {
			return (unsigned char)pa[i] < (unsigned char)pb[j] ?
				-1 : 1;
		} else {
			i++;
			j++;
		}
	}
	return (i < na) - (j < nb);
}

static int cmp_role(const void *x, const void *y)
{
	const struct ml_span *a = *(const struct ml_span *const *)x;
	const struct ml_span *b = *(const struct ml_span *const *)y;
	int c = cmp_kind(a, b);

	c = c ? c : cmp_role_name(a, b);
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
		a->by_role = malloc(cap * sizeof *a->by_role);
	}
	if (!a || !a->by_name || !a->by_size || !a->by_role) {
		ml_align_free(a);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	a->credit = CREDIT;
	a->base = base;
	a->bsrc = bsrc;
	for (i = 0; base && i < base->nspan; i++)
		if (base->span[i].kind == ML_TENSOR && base->span[i].len) {
			a->by_name[a->n] = a->by_role[a->n] = &base->span[i];
			a->by_size[a->n++] = &base->span[i];
		}
	qsort(a->by_name, a->n, sizeof *a->by_name, cmp_name);
	qsort(a->by_size, a->n, sizeof *a->by_size, cmp_size);
	qsort(a->by_role, a->n, sizeof *a->by_role, cmp_role);
	*out = a;
	return ML_OK;
}

void ml_align_free(struct ml_align *a)
{
	if (!a)
		return;
	free(a->by_name);
	free(a->by_size);
	free(a->by_role);
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

/* What is looked at of the target's tensor, and what was found for it. */
struct search {
	const struct ml_span *sp;
	struct ml_src *tsrc;
	unsigned type;
	uint64_t at[PARTS]; /* offsets of the sample's parts in the tensor */
	size_t part, n; /* bytes of a part, and of all */
	uint8_t p[SAMPLE];
	uint64_t alone, least; /* bits: without a base, with the best one */
	const struct ml_span *found;
	const char *how;
};

/* The sample's bytes from a span. */
static int take(const struct search *s, struct ml_src *src,
	const struct ml_span *sp, uint8_t *p, struct ml_diag *diag)
{
	size_t i, k;
	int r = ML_OK;

	for (i = k = 0; k < s->n && !r; i++, k += s->part)
		r = ml_src_read(src, sp->off + s->at[i], p + k, s->part, diag);
	return r;
}

/* A sample from all of the first `len` bytes. */
static int sample(struct search *s, uint64_t len, struct ml_diag *diag)
{
	const unsigned unit = ml_type_bytes(s->type);
	size_t i;
	int r;

	s->part = PART - PART % unit;
	s->n = PARTS * s->part;
	if (len < SAMPLE) {
		s->n = s->part = (size_t)(len - len % unit);
		s->at[0] = 0;
	}
	for (i = 0; len >= SAMPLE && i < PARTS; i++) {
		s->at[i] = (len - s->part) / (PARTS - 1) * i;
		s->at[i] -= s->at[i] % unit;
	}
	r = take(s, s->tsrc, s->sp, s->p, diag);
	s->least = s->alone = r ? 0 : ml_cost_alone(
		s->type, s->p, s->n / unit);
	return r;
}

/* Estimated bits of the sample as residuals against b. */
static int judge(struct ml_align *a, const struct search *s,
	const struct ml_span *b, uint64_t *bits, struct ml_diag *diag)
{
	uint8_t base[SAMPLE];
	int r;

	*bits = UINT64_MAX;
	if (!s->n || s->at[s->n / s->part - 1] + s->part > b->len)
		return ML_OK;
	r = take(s, a->bsrc, b, base, diag);
	if (!r)
		*bits = memcmp(base, s->p, s->n) ? ml_cost_diff(s->type, base,
			s->p, s->n / ml_type_bytes(s->type)) : 0;
	return r;
}

/* Takes b when it is better by more than `margin` bits. */
static int consider(struct ml_align *a, struct search *s,
	const struct ml_span *b, uint64_t margin, const char *how,
	struct ml_diag *diag)
{
	uint64_t bits;
	int r = judge(a, s, b, &bits, diag);

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

/* The one after the last found, if it is of the same type and size. */
static int successor(struct ml_align *a, struct search *s,
	struct ml_diag *diag)
{
	const struct ml_span *end = a->base->span + a->base->nspan;
	const struct ml_span *next = a->last ? a->last + 1 : end;

	if (next == end || next->kind != ML_TENSOR || cmp_kind(next, s->sp))
		return ML_OK;
	return consider(a, s, next, s->least / 8, "shape", diag);
}

/* A tensor of the same role, unless all looks are spent. */
static int rival(struct ml_align *a, struct search *s,
	const struct ml_span *named, size_t i, struct ml_diag *diag)
{
	if (i >= a->n || !s->least || cmp_kind(a->by_role[i], s->sp) ||
		cmp_role_name(a->by_role[i], named))
		return ML_OK;
	if (!a->astray) {
		if (a->credit < LOOK)
			return ML_OK;
		a->credit -= LOOK;
	}
	return consider(a, s, a->by_role[i], s->least / 16, "shape", diag);
}

/* One of the same name need not be the best: layers were removed, added or put
 * in another order. Those of the same name but for numbers are looked at,
 * nearest first. */
static int rivals(struct ml_align *a, struct search *s, struct ml_diag *diag)
{
	const struct ml_span *named = s->found;
	size_t i, first = 0, n = a->n, mid;
	int r = successor(a, s, diag);

	while (n) { /* where that one is in the list */
		mid = n / 2;
		if (cmp_role(&a->by_role[first + mid], &named) < 0) {
			first += mid + 1;
			n -= mid + 1;
		} else {
			n = mid;
		}
	}
	for (i = 1; i <= RIVALS && !r; i++) {
		r = rival(a, s, named, first + i, diag);
		if (!r && i <= first)
			r = rival(a, s, named, first - i, diag);
	}
	a->astray = s->found != named;
	return r;
}

/* Those of the same type and size: the one after the last found first, then
 * all in file order. Another name must be clearly better. */
static int shaped(struct ml_align *a, struct search *s, struct ml_diag *diag)
{
	size_t i = lower(a->by_size, a->n, s->sp, cmp_kind), tries;
	int r = successor(a, s, diag);

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
	a->credit += sp->len < CREDIT ? sp->len : CREDIT;
	a->credit = a->credit < CREDIT ? a->credit : CREDIT;
	r = sample(&s, sp->len, diag);
	if (!r)
		r = named(a, &s, diag);
	if (!r && s.found && s.found->len == sp->len &&
		s.least > s.alone / SURE)
		r = rivals(a, &s, diag);
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
