/* SPDX-License-Identifier: MIT */
/* The exponent that contexts and classes are counted from. */
#include "elem.h"

#define LOOK 16384 /* elements looked at, at most */

unsigned ml_top_exponent(unsigned type, unsigned f, const uint8_t *p,
	size_t units)
{
	const struct ml_type *t = &ml_types[type];
	unsigned kind = t->f[f].kind, w = ml_kind_bytes[kind];
	unsigned eb = ml_kind_ebits[kind], unit = ml_type_bytes(type), j;
	uint32_t cnt[2048] = { 0 };
	size_t at = 0, u, n = 0, few, step;
	unsigned e;

	if (!eb)
		return 0;
	for (j = 0; j < f; j++)
		at += (size_t)t->f[j].n * ml_kind_bytes[t->f[j].kind];
	step = units * t->f[f].n > LOOK ? units * t->f[f].n / LOOK : 1;
	for (u = 0; u < units; u += step)
		for (j = 0; j < t->f[f].n; j++, n++)
			cnt[ml_elem_load(p + u * unit + at + j * w, w) >>
				(w * 8 - 1 - eb) & ((1u << eb) - 1)]++;
	few = n / 200;
	for (e = (1u << eb) - 1; e && cnt[e] <= few; e--)
		few -= cnt[e];
	return e;
}
