/* SPDX-License-Identifier: MIT */
/* Tensors whose declared shape may not match their bytes. */
#ifndef ML_FIT_H
#define ML_FIT_H

#include "ml.h"

/* As ml_model_add, but the shape is kept only where it explains the length;
 * else the tensor becomes a vector of its type, or of opaque bytes. A rank
 * above ML_RANK_MAX stands for a shape that is not known; shape is then not
 * read. */
int ml_fit_add(struct ml_model *m, const char *name, size_t name_len,
	unsigned dtype, unsigned rank, const uint64_t *shape, uint64_t off,
	uint64_t len, struct ml_diag *diag);

/* The bytes that a shape of a type takes; ML_NOWHERE when that is not known or
 * is beyond 64 bits. A rank above ML_RANK_MAX is as above. */
uint64_t ml_fit_bytes(unsigned dtype, unsigned rank, const uint64_t *shape);

#endif
