/* SPDX-License-Identifier: MIT */
/* Lists of casts, and their bytes in streams and patches: ml-patch(5), CASTS. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "gather.h"
#include "hdr.h"
#include "ops.h"

static uint64_t rows(const struct ml_cast *c)
{
	return c->rank ? c->units / c->inner : 0;
}

/* A copy of n bytes to *to; nothing of none. */
static int copy(void *to, const void *from, uint64_t n)
{
	void *p = NULL;

	if (n) {
		p = malloc((size_t)n);
		if (!p)
			return 1;
		memcpy(p, from, (size_t)n);
	}
	memcpy(to, &p, sizeof(p));
	return 0;
}

int ml_cast_add(struct ml_cast **list, size_t *n, const struct ml_cast *c,
	struct ml_diag *diag)
{
	struct ml_cast *p = *list;
	int32_t *u = NULL, *v = NULL;
	uint32_t *scale = NULL;
	struct ml_gather *g = NULL;

	if ((*n & (*n - 1)) == 0) { /* a power of two: full */
		p = realloc(p, (*n ? *n * 2 : 1) * sizeof(*p));
		if (!p)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		*list = p;
	}
	if (copy(&scale, c->scale, c->nscale * sizeof(*scale)) ||
		copy(&u, c->u, rows(c) * c->rank * sizeof(*u)) ||
		copy(&v, c->v, c->inner * c->rank * sizeof(*v)) ||
		(c->gather && !(g = ml_gather_copy(c->gather)))) {
		free(scale);
		free(u);
		free(v);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	p[*n] = *c;
	p[*n].scale = scale;
	p[*n].u = u;
	p[*n].gather = g;
	p[(*n)++].v = v;
	return ML_OK;
}

static void drop_params(struct ml_cast *c)
{
	free(c->scale);
	free(c->u);
	free(c->v);
	ml_gather_free(c->gather);
}

void ml_cast_free(struct ml_cast *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		drop_params(&list[i]);
	free(list);
}

#define ENTRY_MAX (1 + 6 * (ML_VARINT_MAX + 1)) /* bytes, without the rest */

/* The bits that all numbers of a factor's column fit. */
static unsigned width(const int32_t *a, uint64_t n, unsigned rank, unsigned k)
{
	unsigned w = 1;
	uint64_t i;

	for (i = 0; i < n; i++) {
		const int32_t x = a[i * rank + k];

		while (w < ML_FACTOR_BITS && (x < 0 ? -x : x) >> (w - 1))
			w++;
	}
	return w;
}

uint64_t ml_cast_param_bits(const struct ml_cast *c)
{
	uint64_t bits = 32 * (uint64_t)c->nscale;
	unsigned k;

	for (k = 0; c->gather && k < c->gather->rank; k++)
		bits += 8 * (2 * ML_VARINT_MAX + 2 * ML_VARINT_MAX *
			(uint64_t)c->gather->nrun[k]);
	for (k = 0; k < c->rank; k++)
		bits += 24 + width(c->u, rows(c), c->rank, k) * rows(c) +
			width(c->v, c->inner, c->rank, k) * c->inner;
	return bits;
}

/* Bits, the lowest first. */
struct bits {
	uint8_t *p;
	const uint8_t *end; /* for reading */
	uint64_t acc;
	unsigned n;
	int over; /* read behind the end */
};

static void put_bits(struct bits *b, unsigned w, int32_t v)
{
	b->acc |= (uint64_t)((uint32_t)v & ((UINT32_C(1) << w) - 1)) << b->n;
	for (b->n += w; b->n >= 8; b->n -= 8, b->acc >>= 8)
		*b->p++ = (uint8_t)b->acc;
}

static void put_factor(struct bits *b, const int32_t *a, uint64_t n,
	unsigned rank, unsigned k, unsigned w)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		put_bits(b, w, a[i * rank + k]);
}

/* Exponent, then for each column: bits of u, bits of v, drop, both columns;
 * filled up to a byte at the end. */
static uint8_t *put_factors(uint8_t *p, const struct ml_cast *c)
{
	struct bits b = {p, NULL, 0, 0, 0};
	unsigned k, wu, wv;

	put_bits(&b, 16, c->exp);
	for (k = 0; k < c->rank; k++) {
		wu = width(c->u, rows(c), c->rank, k);
		wv = width(c->v, c->inner, c->rank, k);
		put_bits(&b, 8, (int32_t)wu);
		put_bits(&b, 8, (int32_t)wv);
		put_bits(&b, 8, c->drop[k]);
		put_factor(&b, c->u, rows(c), c->rank, k, wu);
		put_factor(&b, c->v, c->inner, c->rank, k, wv);
	}
	if (b.n)
		put_bits(&b, 8 - b.n, 0);
	return b.p;
}

/* w bits with their sign. */
static int32_t get_bits(struct bits *b, unsigned w)
{
	uint32_t v;

	for (; b->n < w; b->n += 8) {
		b->over |= b->p == b->end;
		b->acc |= (uint64_t)(b->over ? 0 : *b->p++) << b->n;
	}
	v = (uint32_t)b->acc & ((UINT32_C(1) << w) - 1);
	b->acc >>= w;
	b->n -= w;
	return v >> (w - 1) ? (int32_t)v - (INT32_C(1) << w) : (int32_t)v;
}

/* The same back; what is not enough, or leaves a bound, is no factor. */
static int get_factors(struct ml_cast *c, const uint8_t **p,
	const uint8_t *end)
{
	struct bits b = {NULL, end, 0, 0, 0};
	const uint64_t n = rows(c);
	unsigned k, wu, wv;
	uint64_t i;

	/* a byte holds no more than eight numbers */
	if (n > ML_FACTOR_NUMBERS_MAX || c->inner > ML_FACTOR_NUMBERS_MAX ||
		(n + c->inner) * c->rank > ML_FACTOR_NUMBERS_MAX || n > (uint64_t)(end - *p) * 8 || c->inner > (uint64_t)(end - *p) *
		8 || (n + c->inner) * c->rank > (uint64_t)(end - *p) * 8)
		return 0;
	c->u = calloc((size_t)(n * c->rank) + 1, sizeof(*c->u));
	c->v = calloc((size_t)(c->inner * c->rank) + 1, sizeof(*c->v));
	if (!c->u || !c->v)
		return -1;
	memcpy(&b.p, p, sizeof(b.p)); /* only read from */
	c->exp = (int16_t)get_bits(&b, 16);
	for (k = 0; k < c->rank; k++) {
		wu = (unsigned)get_bits(&b, 8);
		wv = (unsigned)get_bits(&b, 8);
		c->drop[k] = (uint8_t)get_bits(&b, 8);
		if (wu < 1 || wu > ML_FACTOR_BITS || wv < 1 ||
			wv > ML_FACTOR_BITS ||
			wv + c->drop[k] > ML_FACTOR_BITS + 6)
			return 0;
		for (i = 0; i < n; i++)
			c->u[i * c->rank + k] = get_bits(&b, wu);
		for (i = 0; i < c->inner; i++)
			c->v[i * c->rank + k] = get_bits(&b, wv);
	}
	*p = b.p;
	return !b.over;
}

/* Order and rank, dimensions, runs. */
static uint8_t *put_gather(uint8_t *p, const struct ml_gather *g)
{
	uint64_t end, at;
	unsigned k, some = 0;
	uint32_t i;

	for (k = 0; k < g->rank; k++)
		some |= g->nrun[k];
	p += ml_put_varint(p, g->rank | (some ? 8 : 0) |
		(uint64_t)ml_gather_number(g->order, g->rank) << 4);
	for (k = 0; k < g->rank; k++)
		p += ml_put_varint(p, g->dim[k]);
	for (k = 0; some && k < g->rank; k++) {
		p += ml_put_varint(p, g->nrun[k]);
		for (i = 0, end = at = 0; i < g->nrun[k]; i++) {
			const struct ml_run *r = &g->run[k][i];
			const int zero = r->at == ML_RUN_ZERO;

			p += ml_put_varint(p, (r->end - end) << 1 |
				(uint64_t)zero);
			if (!zero) {
				p += ml_put_varint(p, ml_zigzag(r->at, at));
				at = r->at + (r->end - end);
			}
			end = r->end;
		}
	}
	return p;
}

/* The same back: 1, or 0 when malformed, -1 without memory. `left` is how many
 * runs there may be. */
static int get_gather(struct ml_gather *g, const uint8_t **p,
	const uint8_t *end, uint64_t *left)
{
	uint64_t v, n, at, made;
	unsigned k, some;
	uint32_t i;

	if (ml_get_varint(p, end, &v) != 1)
		return 0;
	g->rank = (uint8_t)(v & 7);
	some = v & 8;
	v >>= 4;
	for (k = 1, n = 1; k <= g->rank; k++)
		n *= k;
	if (g->rank < 1 || g->rank > ML_GATHER_DIMS || v >= n)
		return 0;
	ml_gather_order(g->order, g->rank, (unsigned)v);
	for (k = 0; k < g->rank; k++)
		if (ml_get_varint(p, end, &g->dim[k]) != 1)
			return 0;
	for (k = 0; some && k < g->rank; k++) {
		/* a run takes at least a byte */
		if (ml_get_varint(p, end, &n) != 1 || n > *left ||
			n > (uint64_t)(end - *p))
			return 0;
		if (n == 0)
			continue;
		*left -= n;
		g->run[k] = malloc((size_t)n * sizeof(**g->run));
		if (!g->run[k])
			return -1;
		for (i = 0, at = made = 0; i < n; i++) {
			struct ml_run *r = &g->run[k][i];

			if (ml_get_varint(p, end, &v) != 1)
				return 0;
			r->at = ML_RUN_ZERO;
			r->end = made + (v >> 1);
			if (!(v & 1)) {
				uint64_t z;

				if (ml_get_varint(p, end, &z) != 1)
					return 0;
				r->at = ml_unzigzag(z, at);
				if (r->at > ML_RUN_ZERO / 4)
					return 0;
				at = r->at + (v >> 1);
			}
			made = r->end;
			if (made > ML_RUN_ZERO / 4)
				return 0;
		}
		g->nrun[k] = (uint32_t)n;
	}
	return 1;
}

int ml_cast_encode(uint8_t **out, size_t *n, const struct ml_casts *casts,
	struct ml_diag *diag)
{
	size_t cap = ML_VARINT_MAX + casts->n * ENTRY_MAX, i, j, k = 0;
	uint64_t end = 0;
	uint8_t *p;

	for (i = 0; i < casts->n; i++)
		cap += (size_t)(ml_cast_param_bits(&casts->c[i]) / 8) + 16;
	p = malloc(cap);
	*out = p;
	if (!p)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	k += ml_put_varint(p + k, casts->n);
	for (i = 0; i < casts->n; i++) {
		const struct ml_cast *c = &casts->c[i];

		p[k++] = (uint8_t)(c->from | c->to << 4);
		k += ml_put_varint(p + k, ml_zigzag(c->at, end));
		end = c->at + ml_cast_from_len(c);
		if (c->gather) {
			k = (size_t)(put_gather(p + k, c->gather) - p);
			continue;
		}
		k += ml_put_varint(p + k, c->units);
		if (c->rank) {
			k += ml_put_varint(p + k, c->inner);
			k += ml_put_varint(p + k, c->rank);
			k = (size_t)(put_factors(p + k, c) - p);
		}
		if (!c->nscale)
			continue;
		k += ml_put_varint(p + k, c->inner);
		k += ml_put_varint(p + k, ml_zigzag(
			(uint64_t)(int64_t)c->zero, 0));
		k += ml_put_varint(p + k, c->nscale);
		for (j = 0; j < c->nscale; j++, k += 4)
			ml_store32(p + k, c->scale[j]);
	}
	*n = k;
	return ML_OK;
}

/* One cast at *p; its scales stay where they are, *scales. */
static int get(struct ml_cast *c, const uint8_t **p, const uint8_t *end,
	uint64_t at, const uint8_t **scales, uint64_t *runs)
{
	uint64_t v, zero, n;
	int r;

	memset(c, 0, sizeof(*c));
	if (*p == end)
		return 0;
	c->from = **p & 15;
	c->to = *(*p)++ >> 4;
	if (c->to >= ML_C_NTYPE || c->from >= ML_C_NTYPE)
		return 0;
	if (ml_get_varint(p, end, &v) != 1)
		return 0;
	c->at = ml_unzigzag(v, at);
	if (c->to == ML_C_GATHER) {
		c->gather = calloc(1, sizeof(*c->gather));
		if (!c->gather)
			return -1;
		r = get_gather(c->gather, p, end, runs);
		c->units = r > 0 ? ml_gather_units(c->gather) : 0;
		return r;
	}
	if (ml_get_varint(p, end, &c->units) != 1)
		return 0;
	if (c->to >= ML_C_SUM) {
		if (ml_get_varint(p, end, &c->inner) != 1 ||
			ml_get_varint(p, end, &n) != 1 || n < 1 ||
			n > ML_FACTORS_MAX || c->inner < 1 ||
			c->units % c->inner)
			return 0;
		c->rank = (uint16_t)n;
		return get_factors(c, p, end);
	}
	if (c->to != ML_C_I8 && c->to != ML_C_U8)
		return 1;
	if (ml_get_varint(p, end, &c->inner) != 1 ||
		ml_get_varint(p, end, &zero) != 1 ||
		ml_get_varint(p, end, &n) != 1 || n > ML_QUANT_MAX ||
		n > (uint64_t)(end - *p) / 4)
		return 0;
	zero = ml_unzigzag(zero, 0);
	if (zero + 65536 > 2 * 65536)
		return 0;
	c->zero = (int32_t)(int64_t)zero;
	c->nscale = (uint32_t)n;
	*scales = *p;
	*p += 4 * n;
	return 1;
}

int ml_cast_parse(struct ml_cast **list, size_t *count, const uint8_t *p,
	size_t n, struct ml_diag *diag)
{
	const uint8_t *end = p + n, *scales = NULL;
	uint64_t casts, at = 0, numbers = 0, runs = ML_RUNS_MAX, gathers = 0;
	struct ml_cast c;
	size_t i, j;
	int err = ML_OK;

	*list = NULL;
	*count = 0;
	if (ml_get_varint(&p, end, &casts) != 1 || casts > ML_CASTS_MAX)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"malformed number of casts");
	for (i = 0; !err && i < casts; i++) {
		const int r = get(&c, &p, end, at, &scales, &runs);

		if (r <= 0 || !ml_cast_legal(&c, UINT64_MAX / 4)) {
			drop_params(&c);
			return r < 0 ? ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory") : ml_fail(diag, ML_EFORMAT,
				ML_NOWHERE, "malformed cast");
		}
		numbers += (rows(&c) + c.inner) * c.rank;
		gathers += c.gather != NULL;
		if (numbers > ML_FACTOR_NUMBERS_MAX ||
			gathers > ML_GATHERS_MAX) {
			drop_params(&c);
			return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
				"casts with more than %u numbers in factors, "
				"or more than %u gathers",
				ML_FACTOR_NUMBERS_MAX, ML_GATHERS_MAX);
		}
		at = c.at + ml_cast_from_len(&c);
		if (c.nscale) {
			c.scale = malloc(c.nscale * sizeof(*c.scale));
			if (!c.scale) {
				drop_params(&c);
				return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
					"out of memory");
			}
		}
		for (j = 0; j < c.nscale; j++)
			c.scale[j] = ml_load32(scales + 4 * j);
		err = ml_cast_add(list, count, &c, diag);
		drop_params(&c);
	}
	if (!err && p < end)
		err = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"bytes behind the last cast");
	return err;
}

int ml_cast_fit(const struct ml_cast *list, size_t n, uint64_t image)
{
	uint64_t end = image, gathered = image; /* since the last other cast */
	size_t i;

	for (i = 0; i < n; i++) {
		const struct ml_cast *c = &list[i];
		const int behind = c->at >= image && !c->gather;

		if (!ml_cast_legal(c, behind ? end : image) ||
			(behind && c->at < gathered) ||
			ml_cast_len(c) > UINT64_MAX / 4 - end)
			return 0;
		end += ml_cast_len(c);
		if (!c->gather)
			gathered = end;
	}
	return 1;
}

int ml_cast_decode(struct ml_cast **list, size_t *count, const uint8_t *p,
	size_t n, uint64_t size, struct ml_diag *diag)
{
	const int err = ml_cast_parse(list, count, p, n, diag);

	return err || ml_cast_fit(*list, *count, size) ? err :
		ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"cast of what is not in the base");
}
