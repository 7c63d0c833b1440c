/* SPDX-License-Identifier: MIT */
/* What is shown of a model, as text. */
#include <stdlib.h>
#include <string.h>

#include "text.h"

char *ml_escaped(const char *text, size_t n)
{
	char *s;

	if (n > (SIZE_MAX - 1) / 4)
		return NULL;
	s = malloc(4 * n + 1); /* \xNN at worst */
	return s ? ml_escape(s, 4 * n + 1, text, n) : NULL;
}

char *ml_shape_text(char buf[ML_SHAPE_TEXT], const struct ml_span *sp)
{
	size_t at = 0;
	unsigned i;

	if (sp->rank == 0)
		memcpy(buf, "-", 2);
	for (i = 0; i < sp->rank && i < ML_RANK_MAX; i++)
		at += (size_t)snprintf(buf + at, ML_SHAPE_TEXT - at, "%s%llu",
			i ? "x" : "", (unsigned long long)sp->shape[i]);
	return buf;
}

char *ml_type_text(char buf[ML_TYPE_TEXT], const struct ml_span *sp)
{
	const struct ml_dtype_info *type = ml_dtype_find(sp->dtype);

	if (sp->kind == ML_SKELETON)
		snprintf(buf, ML_TYPE_TEXT, "skeleton");
	else if (type)
		snprintf(buf, ML_TYPE_TEXT, "%s", type->name);
	else
		snprintf(buf, ML_TYPE_TEXT, "type-%u", sp->dtype);
	return buf;
}

char *ml_hex(char buf[ML_HEX_TEXT], int kind, const uint8_t sum[ML_SHA256_LEN])
{
	size_t i;

	for (i = 0; i < ml_sum_len(kind); i++)
		snprintf(buf + 2 * i, 3, "%02x", sum[i]);
	return buf;
}
