/* SPDX-License-Identifier: MIT */
/* Whether elements without a base are best told by those before them, as
 * mlseen.h and mlgrid.h have it, and by which. Private to the library. */
#ifndef ML_SEEN_ENC_H
#define ML_SEEN_ENC_H

#include <stddef.h>
#include <stdint.h>

#define ML_PLACES 32768 /* of a list, 0 among them, which is none */
#define ML_PLACES_HEADS 16384

/* The values of a list, found by value: what the decoder's list has. */
struct ml_places {
	uint64_t value[ML_PLACES];
	uint16_t head[ML_PLACES_HEADS], chain[ML_PLACES]; /* by hash */
	unsigned n, next;
};

void ml_places_begin(struct ml_places *l);
/* The place of a value; 0: it has none, and is given one. */
unsigned ml_places_add(struct ml_places *l, uint64_t value);

/* What of an element is in the list: floats leave their sign out. */
uint64_t ml_seen_size(unsigned type);

#define ML_TELLING 60 /* bits that a descriptor which says how costs */

/* A way to tell the elements of an operation. */
struct ml_telling {
	unsigned how; /* enum ml_seen_how */
	uint32_t back; /* of a line */
	uint64_t bits; /* that it costs, about, without a descriptor */
};

/* The best way for n elements of w bytes. row: elements of a row, 0 if that is
 * not known. grid: it may be one. */
struct ml_telling ml_seen_best(unsigned type, const uint8_t *p, size_t n,
	uint32_t row, int grid);
/* What they cost in a list that goes on. */
uint64_t ml_seen_go_on(const struct ml_places *l, unsigned type,
	const uint8_t *p, size_t n);

/* Whether a tensor of n bytes without a base is worth an operation of its own. p
 * is all of it if n is below ML_APART. */
#define ML_APART 256
int ml_seen_apart(unsigned type, const uint8_t *p, uint64_t n);

/* `units` blocks of an element type, coded without a base in the best way. */
uint64_t ml_cost_alone(unsigned type, const uint8_t *p, size_t units);

#endif
