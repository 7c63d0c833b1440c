/* SPDX-License-Identifier: MIT */
/* What literals will cost, for the parser: counts of bytes behind the last one
 * at its place in a word, the last two, and the fourth last one; a rough
 * picture of what class full mixes. Private to the library. */
#ifndef ML_LITPRICE_H
#define ML_LITPRICE_H

#include <stddef.h>
#include <stdint.h>

#define ML_LITPRICE_CTX 3

struct ml_litprice {
	uint32_t n0, c0[256];
	uint32_t n[ML_LITPRICE_CTX][1024];
	uint16_t c[ML_LITPRICE_CTX][1024][256];
};

void ml_litprice_reset(struct ml_litprice *l);
/* Bytes are about to come: what is common in them is likely. */
void ml_litprice_prior(struct ml_litprice *l, const uint8_t *p, size_t n);
/* The price of v at an offset, in 1/8 bit; h: the four bytes before it, the
 * newest lowest. */
uint32_t ml_litprice(const struct ml_litprice *l, uint32_t h, uint64_t at,
	unsigned v);
/* The price of p[0..n), in bits. */
uint64_t ml_litprice_all(const struct ml_litprice *l, uint64_t at,
	const uint8_t *p, size_t n);
/* It was a literal. */
void ml_litprice_learn(struct ml_litprice *l, uint32_t h, uint64_t at,
	unsigned v);

#endif
