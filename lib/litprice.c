/* SPDX-License-Identifier: MIT */
/* Prices of literals from adaptive counts. */
#include <string.h>

#include "cost.h"
#include "litprice.h"

#define PRIOR 64 /* bytes that a histogram counts as */
#define FLOOR 3 /* the least price */

void ml_litprice_reset(struct ml_litprice *l)
{
	memset(l, 0, sizeof *l);
}

void ml_litprice_prior(struct ml_litprice *l, const uint8_t *p, size_t n)
{
	uint32_t hist[256] = { 0 };
	size_t i;

	for (i = 0; i < n; i++)
		hist[p[i]]++;
	for (i = 0; i < 256; i++) /* in 1/16 */
		l->c0[i] += (uint32_t)((uint64_t)hist[i] * PRIOR * 16 / n) + 1;
	l->n0 += PRIOR * 16 + 256;
}

/* Of c in n, where the chance is p / 65536 before anything is known. */
static uint32_t price(uint32_t c, uint32_t n, uint32_t p)
{
	return (ml_log2((uint64_t)(n + 2) << 16) -
		ml_log2(((uint64_t)c << 16) + 2 * p)) / 32;
}

static void contexts(unsigned ctx[ML_LITPRICE_CTX], uint32_t h, uint64_t at)
{
	ctx[0] = (h & 255) << 2 | (unsigned)(at & 3);
	ctx[1] = (h & 0xffff) * 40503u >> 6 & 1023;
	ctx[2] = h >> 24;
}

uint32_t ml_litprice(const struct ml_litprice *l, uint32_t h, uint64_t at,
	unsigned v)
{
	const uint32_t p0 = (uint32_t)((uint64_t)l->c0[v] * 65535 /
		(l->n0 + 1)) + 1;
	unsigned ctx[ML_LITPRICE_CTX], i;
	uint32_t least = UINT32_MAX, p;

	contexts(ctx, h, at);
	for (i = 0; i < ML_LITPRICE_CTX; i++) {
		p = price(l->c[i][ctx[i]][v], l->n[i][ctx[i]], p0);
		least = p < least ? p : least;
	}
	return least < FLOOR ? FLOOR : least;
}

uint64_t ml_litprice_all(const struct ml_litprice *l, uint64_t at,
	const uint8_t *p, size_t n)
{
	uint64_t all = 0;
	uint32_t h = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		all += ml_litprice(l, h, at + i, p[i]);
		h = h << 8 | p[i];
	}
	return all / 8;
}

void ml_litprice_learn(struct ml_litprice *l, uint32_t h, uint64_t at,
	unsigned v)
{
	unsigned ctx[ML_LITPRICE_CTX], i;

	contexts(ctx, h, at);
	for (i = 0; i < ML_LITPRICE_CTX; i++)
		if (l->n[i][ctx[i]] < 60000) {
			l->n[i][ctx[i]]++;
			l->c[i][ctx[i]][v]++;
		}
	l->c0[v] += 16;
	l->n0 += 16;
}
