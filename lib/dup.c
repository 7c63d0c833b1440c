/* SPDX-License-Identifier: MIT */
/* A hash rolls over all of the target. At places that the bytes themselves
 * choose, and where a span begins, it is kept in a table of fixed size; what is
 * there already may be the same bytes, and is compared. The larger the target,
 * the farther apart are the places, and the longer the runs that are found. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "dup.h"

#define HASHED 64 /* bytes that the hash depends on */
#define SLOTS (1u << 18) /* of the table, at most */
#define WAYS 4 /* slots for a hash */
#define LEAST 7 /* log2 of the bytes between places, on average */
#define LOOKS 256 /* comparisons in vain, in a piece */
#define CHUNK 4096 /* bytes compared at a time */
/* From farther back than ML_WINDOW_MAX bytes are taken only where there are
 * many: to read them again, who writes to a pipe has to keep all of the
 * target. */
#define FAR_MIN 4096
#define FAR_SHARE 14 /* log2: of the target's size, at least */
#define FAR_MOST (1u << 19)

struct ml_dup {
	struct ml_src *tsrc;
	int quick;
	uint64_t gear[256];
	unsigned rate, bits; /* log2: bytes between places; sets of slots */
	uint64_t *pos; /* behind the bytes hashed; 0: none */
	uint32_t *sum;
	uint8_t *turn; /* of a set: the slot to be used next */
	uint64_t h, far_min;
	uint64_t dist, until; /* of the run that goes on; 0: none */
	struct ml_dup_run run[ML_BLOCK_OUT / ML_DUP_MIN + 1];
	size_t n;
	uint8_t buf[CHUNK];
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

int ml_dup_new(struct ml_dup **out, struct ml_src *tsrc, uint64_t size,
	int quick, struct ml_diag *diag)
{
	struct ml_dup *d = calloc(1, sizeof *d);
	size_t slots;
	unsigned i;

	*out = d;
	if (!d)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	d->tsrc = tsrc;
	d->quick = quick;
	for (i = 0; i < 256; i++)
		d->gear[i] = mix((i + 1) * UINT64_C(0x9e3779b97f4a7c15));
	for (d->rate = LEAST; size >> d->rate > SLOTS / 2; d->rate++)
		;
	for (d->bits = 4; size >> d->rate > (uint64_t)WAYS / 2 << d->bits;
		d->bits++)
		;
	d->far_min = size >> FAR_SHARE;
	d->far_min = d->far_min < FAR_MIN ? FAR_MIN :
		d->far_min > FAR_MOST ? FAR_MOST : d->far_min;
	slots = (size_t)WAYS << d->bits;
	d->pos = calloc(slots, sizeof *d->pos);
	d->sum = calloc(slots, sizeof *d->sum);
	d->turn = calloc(slots / WAYS, 1);
	if (d->pos && d->sum && d->turn)
		return ML_OK;
	ml_dup_free(d);
	*out = NULL;
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

void ml_dup_free(struct ml_dup *d)
{
	if (!d)
		return;
	free(d->pos);
	free(d->sum);
	free(d->turn);
	free(d);
}

/* How far p[0..n) agrees with the target at off. */
static int ahead(struct ml_dup *d, uint64_t off, const uint8_t *p, size_t n,
	size_t *len, struct ml_diag *diag)
{
	size_t k, same;
	int r;

	for (*len = 0; *len < n; *len += same) {
		k = n - *len < CHUNK ? n - *len : CHUNK;
		r = ml_src_read(d->tsrc, off + *len, d->buf, k, diag);
		if (r)
			return r;
		same = ml_common(d->buf, p + *len, k);
		if (same < k) {
			*len += same;
			break;
		}
	}
	return ML_OK;
}

/* How far the bytes before p agree with those before off, at most `max`. */
static int back(struct ml_dup *d, uint64_t off, const uint8_t *p, size_t max,
	size_t *len, struct ml_diag *diag)
{
	size_t k, i;
	int r;

	if (max > off)
		max = (size_t)off;
	for (*len = 0; *len < max; *len += k) {
		k = max - *len < CHUNK ? max - *len : CHUNK;
		r = ml_src_read(d->tsrc, off - *len - k, d->buf, k, diag);
		if (r)
			return r;
		for (i = k; i && d->buf[i - 1] == *(p - *len - k + i - 1); i--)
			;
		if (i) {
			*len += k - i;
			break;
		}
	}
	return ML_OK;
}

/* Whether a run is long enough, which from far back may be told only by bytes
 * that are yet to come. */
static int worth(struct ml_dup *d, const struct ml_dup_run *x, uint64_t end,
	int *is, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(d->tsrc);
	uint8_t next[CHUNK];
	uint64_t len = x->len;
	size_t k, same;
	int r;

	*is = len >= ML_DUP_MIN;
	if (!*is || x->at - x->from <= ML_WINDOW_MAX || len >= d->far_min)
		return ML_OK;
	*is = 0;
	for (; x->at + len >= end && len < d->far_min; len += k) {
		k = d->far_min - len < CHUNK ? (size_t)(d->far_min - len) :
			CHUNK;
		if (size - x->at < len + k)
			return ML_OK;
		r = ml_src_read(d->tsrc, x->at + len, next, k, diag);
		if (!r)
			r = ahead(d, x->from + len, next, k, &same, diag);
		if (r || same < k)
			return r;
	}
	*is = len >= d->far_min;
	return ML_OK;
}

/* The longest run about p[i] of those that set h knows, behind the last run.
 */
static int look(struct ml_dup *d, uint64_t at, const uint8_t *p, size_t i,
	size_t n, size_t done, uint64_t h, struct ml_dup_run *best,
	unsigned *looks, struct ml_diag *diag)
{
	const size_t set = (size_t)(h >> 32 & ((1u << d->bits) - 1)) * WAYS;
	size_t w, before, after;
	int r;

	best->len = 0;
	for (w = set; w < set + WAYS && *looks < LOOKS; w++) {
		if (!d->pos[w] || d->sum[w] != (uint32_t)h)
			continue;
		++*looks;
		r = ahead(d, d->pos[w], p + i, n - i, &after, diag);
		if (!r)
			r = back(d, d->pos[w], p + i, i - done, &before, diag);
		if (r)
			return r;
		if (before + after <= best->len)
			continue;
		best->len = before + after;
		best->at = at + i - before;
		best->from = d->pos[w] - before;
	}
	return ML_OK;
}

static void keep(struct ml_dup *d, uint64_t pos, uint64_t h)
{
	const size_t set = (size_t)(h >> 32 & ((1u << d->bits) - 1));
	const size_t w = set * WAYS + d->turn[set];

	d->turn[set] = (uint8_t)((d->turn[set] + 1) % WAYS);
	d->pos[w] = pos;
	d->sum[w] = (uint32_t)h;
}

/* A run that the last piece ended in goes on. */
static int go_on(struct ml_dup *d, uint64_t at, const uint8_t *p, size_t n,
	size_t *done, struct ml_diag *diag)
{
	int r = ML_OK;

	if (d->dist && d->until == at) {
		r = ahead(d, at - d->dist, p, n, done, diag);
		if (!r && *done) {
			d->run[0].at = at;
			d->run[0].from = at - d->dist;
			d->run[d->n++].len = *done;
		}
	}
	d->dist = 0;
	return r;
}

/* Where the next place may be, from p[i] on; n: none. */
static size_t place(struct ml_dup *d, const uint8_t *p, size_t i, size_t n)
{
	const unsigned down = 64 - d->rate;
	uint64_t h = d->h;

	while (i < n) {
		h = (h << 1) + d->gear[p[i++]];
		if (!(h >> down))
			break;
	}
	d->h = h;
	return i;
}

int ml_dup_find(struct ml_dup *d, uint64_t at, const uint8_t *p, size_t n,
	int begins, const struct ml_dup_run **run, size_t *nrun,
	struct ml_diag *diag)
{
	const size_t stop = !d->quick ? n : begins && n >= HASHED ? HASHED : 0;
	size_t i = 0, done = 0, least = 0;
	struct ml_dup_run x = { 0 };
	unsigned looks = 0;
	uint64_t h;
	int r, is;

	d->n = 0;
	r = go_on(d, at, p, n, &done, diag);
	if (begins)
		d->h = 0;
	while (!r && i < stop) {
		i = place(d, p, i, begins && i < HASHED && n >= HASHED ?
			HASHED : stop);
		if (i < least || (d->h >> (64 - d->rate) && i != HASHED))
			continue;
		least = i + ((size_t)1 << d->rate) / 4;
		if (i <= done)
			continue; /* bytes that are known */
		h = mix(d->h);
		is = 0;
		r = look(d, at, p, i, n, done, h, &x, &looks, diag);
		if (!r && x.len)
			r = worth(d, &x, at + n, &is, diag);
		if (r)
			break;
		if (!is) {
			keep(d, at + i, h);
			continue;
		}
		d->run[d->n++] = x;
		done = (size_t)(x.at + x.len - at);
		looks = 0;
	}
	if (d->n && done == n) {
		x = d->run[d->n - 1];
		d->dist = x.at - x.from;
		d->until = at + n;
	}
	*run = d->run;
	*nrun = d->n;
	return r;
}

const struct ml_dup_run *ml_dup_at(const struct ml_dup_run *run, size_t n,
	uint64_t off)
{
	size_t lo = 0, left = n, mid;

	while (left) {
		mid = left / 2;
		if (run[lo + mid].at + run[lo + mid].len <= off) {
			lo += mid + 1;
			left -= mid + 1;
		} else {
			left = mid;
		}
	}
	return lo < n ? run + lo : NULL;
}
