/* SPDX-License-Identifier: MIT */
/* What a container says of a tensor's shape is a claim; its length is a
 * fact. Sparse tensors, packed nibbles and plain errors make them differ. */
#include "fit.h"
#include "bytes.h"

uint64_t ml_fit_bytes(unsigned dtype, unsigned rank, const uint64_t *shape)
{
	const struct ml_dtype_info *t = ml_dtype_find(dtype);
	uint64_t n = 1;
	unsigned i;

	if (!t || t->block_bytes == 0 || t->block_elems == 0 ||
		rank > ML_RANK_MAX)
		return ML_NOWHERE;
	/* a zero hides an overflow of the others, but then there are none */
	for (i = 0; i < rank; i++)
		if (!ml_mul_ok(n, shape[i], &n))
			return ML_NOWHERE;
	n = n / t->block_elems + (n % t->block_elems != 0);
	return ml_mul_ok(n, t->block_bytes, &n) ? n : ML_NOWHERE;
}

int ml_fit_add(struct ml_model *m, const char *name, size_t name_len,
	unsigned dtype, unsigned rank, const uint64_t *shape, uint64_t off,
	uint64_t len, struct ml_diag *diag)
{
	const struct ml_dtype_info *t = ml_dtype_find(dtype);
	uint64_t flat = len;

	if (dtype == ML_DT_STRING && rank <= ML_RANK_MAX)
		return ml_model_add(m, name, name_len, dtype, rank,
			rank ? shape : NULL, off, len, diag);
	if (!t || t->block_bytes == 0 || t->block_elems == 0 ||
		len % t->block_bytes != 0)
		dtype = ML_DT_OPAQUE;
	if (dtype != ML_DT_OPAQUE) {
		if (ml_fit_bytes(dtype, rank, shape) == len)
			return ml_model_add(m, name, name_len, dtype, rank,
				rank ? shape : NULL, off, len, diag);
		if (!ml_mul_ok(len / t->block_bytes, t->block_elems, &flat)) {
			dtype = ML_DT_OPAQUE;
			flat = len;
		}
	}
	return ml_model_add(
		m, name, name_len, dtype, 1, &flat, off, len, diag);
}
