/* SPDX-License-Identifier: MIT */
/* Rows of a tensor that lie elsewhere in the base: in tensors that were merged
 * or split, between rows that were added or removed, or in another order.
 * Private to the library. */
#ifndef ML_ROWS_H
#define ML_ROWS_H

#include "ml.h"

struct ml_rows;

/* Memory is at most about 3 MiB. */
int ml_rows_new(struct ml_rows **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag);
void ml_rows_free(struct ml_rows *r); /* NULL is allowed */

/* Bytes of a row of sp; 0 for tensors whose rows are not looked for. */
#define ML_ROW_BYTES_MAX 65536
size_t ml_rows_len(const struct ml_span *sp);

/* For each of the n rows at p, the first of which lies at target offset `at`,
 * the displacement (base offset - target offset) of a row of the base that is
 * much like it, or ML_ROWS_NONE. first: a displacement that is likely, or
 * ML_ROWS_NONE. */
#define ML_ROWS_NONE INT64_MIN
int ml_rows_find(struct ml_rows *r, const struct ml_span *sp, uint64_t at,
	const uint8_t *p, size_t n, int64_t first, int64_t *disp, struct ml_diag *diag);

#endif
