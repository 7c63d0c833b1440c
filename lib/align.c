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

static int cmp_name(const void *x, const void *y)
{
	const struct ml_span *a = *(const struct ml_span *const *)x;
	const struct ml_span *b = *(const struct ml_span *const *)y;
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(a->name, b->name, n);

	if (c || a->name_len != b->name_len)
		return c ? c : a->name_len < b->name_len ? -1 : 1;
	return a->off < b->off ? -1 : a->off > b->off;
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

static int cmp_label(const struct ml_span *a, const struct ml_span *b)
{
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(a->name, b->name, n);

	return c ? c : (a->name_len > b->name_len) -
		(a->name_len < b->name_len);
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

int ml_align_find(struct ml_align *a, const struct ml_span *sp,
	struct ml_src *tsrc, const struct ml_span **found, const char **how,
	struct ml_diag *diag)
{
	unsigned type = ml_type_of(sp->dtype), unit, tries;
	const struct ml_span *b, *next = NULL;
	uint64_t at, bits, least, alone;
	uint8_t p[SAMPLE];
	size_t i, n;
	int r;

	*found = NULL;
	*how = "";
	if (sp->kind != ML_TENSOR || !sp->len || !a->n)
		return ML_OK;
	unit = ml_type_bytes(type);
	n = sp->len < SAMPLE ? (size_t)sp->len : SAMPLE;
	n -= n % unit;
	if (!n)
		return ML_OK;
	at = (sp->len - n) / 2;
	at -= at % unit;
	r = ml_src_read(tsrc, sp->off + at, p, n, diag);
	if (r)
		return r;
	alone = ml_cost_alone(type, p, n / unit);
	least = alone;
	i = lower(a->by_name, a->n, sp, cmp_label);
	if (sp->name_len && i < a->n && !cmp_label(a->by_name[i], sp) &&
		rows_fit(a->by_name[i], sp)) {
		b = a->by_name[i];
		if (b->len != sp->len) { /* look where both have bytes */
			at = b->len < sp->len ? b->len : sp->len;
			n = n < at ? n : (size_t)(at - at % unit);
			at = (at - n) / 2;
			at -= at % unit;
			r = ml_src_read(tsrc, sp->off + at, p, n, diag);
			if (r)
				return r;
			least = alone = ml_cost_alone(type, p, n / unit);
		}
		r = judge(a, b, type, at, p, n, &bits, diag);
		if (r)
			return r;
		if (bits < least) {
			least = bits;
			*found = b;
			*how = "name";
		}
		/* Clearly the same tensor: look no farther. */
		if (bits <= alone / 4 * 3) {
			a->last = b;
			return ML_OK;
		}
	}
	/* The one after the last found first, then all in file order. */
	if (a->last && a->last + 1 < a->base->span + a->base->nspan)
		next = a->last + 1;
	i = lower(a->by_size, a->n, sp, cmp_kind);
	for (tries = 0; tries < TRIES; tries++) {
		if (tries == 0 && next && next->kind == ML_TENSOR &&
			!cmp_kind(next, sp))
			b = next;
		else if (i < a->n && !cmp_kind(a->by_size[i], sp))
			b = a->by_size[i++];
		else if (tries)
			break;
		else
			continue;
		r = judge(a, b, type, at, p, n, &bits, diag);
		if (r)
			return r;
		/* Another name must be clearly better. */
		if (bits < least - least / 8) {
			least = bits;
			*found = b;
			*how = "shape";
			if (!bits)
				break;
		}
	}
	if (*found)
		a->last = *found;
	return ML_OK;
}
