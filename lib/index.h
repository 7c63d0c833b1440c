/* SPDX-License-Identifier: MIT */
/* Where bytes are in the base: hash chains over it, of skeleton spans at every
 * byte, of tensors as densely as ML_INDEX_ENTRIES allows. Memory is at most
 * about 40 MiB. Private to the library. */
#ifndef ML_INDEX_H
#define ML_INDEX_H

#include "ml.h"

#define ML_INDEX_ENTRIES (1u << 21)

struct ml_index;
int ml_index_new(struct ml_index **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag);
void ml_index_free(struct ml_index *x); /* NULL is allowed */

uint64_t ml_index_size(const struct ml_index *x); /* of the base */
struct ml_src *ml_index_src(const struct ml_index *x);
/* Of a read that failed, or ML_OK: then there are no more bytes. What it has
 * to say goes to the diag given last. */
int ml_index_err(const struct ml_index *x);
void ml_index_diag(struct ml_index *x, struct ml_diag *diag);

/* Base bytes from `off`, at least one; *n says how many. NULL at the end of
 * the base or after an error. */
const uint8_t *ml_index_bytes(struct ml_index *x, uint64_t off, size_t *n);
/* How far p[0..n) agrees with the base at off. */
size_t ml_index_len(struct ml_index *x, uint64_t off, const uint8_t *p,
	size_t n);
/* How far the bytes before p agree with those before off, at most `max`. */
size_t ml_index_back(struct ml_index *x, uint64_t off, const uint8_t *p,
	size_t max);

/* Places where bytes such as those at p, n of them, may be. */
struct ml_index_look {
	uint32_t at;
	uint16_t tag;
	uint8_t seen, tried;
};
/* kind: 0, those indexed one by one; 1, the others. */
#define ML_INDEX_KINDS 2
void ml_index_look(const struct ml_index *x, unsigned kind, const uint8_t *p,
	size_t n, struct ml_index_look *l);
/* The next one of them; 0: there is none. */
int ml_index_next(const struct ml_index *x, struct ml_index_look *l,
	uint64_t *off);

#endif
