/* SPDX-License-Identifier: MIT */
/* What a cast does, in words, for those who look at a patch. */
#include <stdio.h>
#include <string.h>

#include "cast.h"

const struct ml_cast *ml_cast_at(const struct ml_casts *casts, uint64_t off)
{
	uint64_t len;
	size_t i;

	for (i = 0; i < casts->n; i++, off -= len) {
		len = ml_cast_len(&casts->c[i]);
		if (off < len)
			return &casts->c[i];
	}
	return NULL;
}

const struct ml_cast *ml_cast_behind(const struct ml_casts *casts,
	const struct ml_cast *c, uint64_t image)
{
	return c && !c->gather && c->at >= image ?
		ml_cast_at(casts, c->at - image) : c && c->gather ? c : NULL;
}

static int moved(const struct ml_gather *g)
{
	unsigned k;

	for (k = 0; k < g->rank; k++)
		if (g->order[k] != k)
			return 1;
	return 0;
}

void ml_gather_text(char *to, size_t cap, const struct ml_gather *g)
{
	size_t n = 0, k;
	unsigned some = 0;

	for (k = 0; k < g->rank; k++)
		some |= g->nrun[k];
	if (!moved(g)) {
		snprintf(to, cap, some ? "indices" : "bytes");
		return;
	}
	n = (size_t)snprintf(to, cap, "%sorder ", some ? "indices and " : "");
	for (k = 0; k < g->rank; k++)
		n += (size_t)snprintf(to + n, cap - n, "%s%u", k ? "," : "",
			g->order[k]);
}

const char *ml_cast_name(unsigned type)
{
	static const char *const name[] = {"f32", "f16", "bf16", "f64", "q8_0",
		"q4_0", "i8", "u8", "f32", "f16", "bf16"};

	return type < sizeof(name) / sizeof(name[0]) ? name[type] : "?";
}

void ml_casts_text(char *to, size_t cap, const struct ml_casts *casts,
	const struct ml_cast *c, uint64_t image)
{
	const struct ml_cast *g = ml_cast_behind(casts, c, image);
	size_t n = 0;

	*to = '\0';
	if (c && c->rank)
		snprintf(to, cap, "sum of rank %u and", c->rank);
	else if (c && !c->gather)
		n = (size_t)snprintf(to, cap, "cast of %s",
			ml_cast_name(c->from));
	if (g && n)
		n += (size_t)snprintf(to + n, cap - n, ", ");
	if (g) {
		ml_gather_text(to + n, cap - n, g->gather);
		n = strlen(to);
		snprintf(to + n, cap - n, " of");
	}
}
