/* SPDX-License-Identifier: MIT */
/* What is shown of a model, as text. Private to the library. */
#ifndef ML_TEXT_H
#define ML_TEXT_H

#include "ml.h"

/* ml_escape into memory of the right size, which the caller frees. NULL: out
 * of memory. The result is UTF-8. */
char *ml_escaped(const char *text, size_t n);

/* "128x64"; "-" without dimensions. Returns buf. */
#define ML_SHAPE_TEXT (ML_RANK_MAX * 21 + 1)
char *ml_shape_text(char buf[ML_SHAPE_TEXT], const struct ml_span *sp);

/* "bf16", or "type-77" for an unknown type, or "skeleton". Returns buf. */
#define ML_TYPE_TEXT 24
char *ml_type_text(char buf[ML_TYPE_TEXT], const struct ml_span *sp);

/* A digest of a kind (enum ml_sum_kind) in hexadecimal. Returns buf. */
#define ML_HEX_TEXT (2 * ML_SHA256_LEN + 1)
char *ml_hex(char buf[ML_HEX_TEXT], int kind,
	const uint8_t sum[ML_SHA256_LEN]);

#endif
