/* SPDX-License-Identifier: MIT */
/* What some bytes would cost, in bits, by each way of coding them: static
 * entropies of the model of ml-patch(5), plus what it costs to learn them.
 * Integer arithmetic only, so that every machine chooses alike. Private to
 * the library. */
#ifndef ML_COST_H
#define ML_COST_H

#include <stddef.h>
#include <stdint.h>

/* 256 * log2(v), v >= 1, rounded down. */
uint32_t ml_log2(uint64_t v);

/* Entropy of a histogram, in bits: sum of cnt * log2(total / cnt). */
uint64_t ml_entropy(const uint32_t *cnt, size_t n);

/* Plain bytes. */
uint64_t ml_cost_lit(const uint8_t *p, size_t n);
/* `units` blocks of an element type, coded without a base and without what
 * seen.h has. */
uint64_t ml_cost_unseen(unsigned type, const uint8_t *p, size_t units);
/* As residuals against the blocks at b. */
uint64_t ml_cost_diff(unsigned type, const uint8_t *b, const uint8_t *p,
	size_t units);

#endif
