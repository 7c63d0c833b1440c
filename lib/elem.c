/* SPDX-License-Identifier: MIT */
/* Blocks field by field; the exponent that contexts are counted from. */
#include "elem.h"

#define LOOK 16384 /* elements looked at, at most */

/* Counts the exponents of field f; returns how many elements it saw. */
static size_t count(unsigned type, unsigned f, const uint8_t *p, size_t units,
	uint32_t cnt[2048])
{
	const struct ml_type *t = &ml_types[type];
	unsigned kind = t->f[f].kind, w = ml_kind_bytes[kind];
	unsigned eb = ml_kind_ebits[kind], unit = ml_type_bytes(type), j;
	size_t at = 0, u, n = 0, step;

	for (j = 0; j < f; j++)
		at += (size_t)t->f[j].n * ml_kind_bytes[t->f[j].kind];
	step = units * t->f[f].n > LOOK ? units * t->f[f].n / LOOK : 1;
	for (u = 0; u < units; u += step)
		for (j = 0; j < t->f[f].n; j++, n++)
			cnt[ml_elem_load(p + u * unit + at + j * w, w) >>
				(w * 8 - 1 - eb) & ((1u << eb) - 1)]++;
	return n;
}

unsigned ml_top_exponent(unsigned type, unsigned f, const uint8_t *p,
	size_t units)
{
	unsigned eb = ml_kind_ebits[ml_types[type].f[f].kind], e;
	uint32_t cnt[2048] = { 0 };
	size_t few;

	if (!eb)
		return 0;
	few = count(type, f, p, units, cnt) / 200;
	for (e = (1u << eb) - 1; e && cnt[e] <= few; e--)
		few -= cnt[e];
	return e;
}

unsigned ml_best_exponent(unsigned type, unsigned f, const uint8_t *p,
	size_t units, unsigned span)
{
	unsigned eb = ml_kind_ebits[ml_types[type].f[f].kind], e, best = 0;
	uint32_t cnt[2048] = { 0 };
	size_t in = 0, most = 0;

	if (!eb)
		return 0;
	count(type, f, p, units, cnt);
	cnt[0] = 0; /* zeros have their own code */
	for (e = 0; e < 1u << eb; e++) {
		in += cnt[e];
		if (e >= span)
			in -= cnt[e - span];
		/* among equals the highest, where its neighbours are */
		if (in > most || (in == most && cnt[e])) {
			most = in;
			best = e;
		}
	}
	return best;
}

/* r = t - b, or t = b + r. */
static void fields(unsigned type, const uint8_t *b, const uint8_t *x,
	uint8_t *out, int back)
{
	const struct ml_type *t = &ml_types[type];
	unsigned f, j;

	for (f = 0; f < t->nfield; f++) {
		const unsigned kind = t->f[f].kind, w = ml_kind_bytes[kind];
		const unsigned eb = ml_kind_ebits[kind];

		for (j = 0; j < t->f[f].n; j++, b += w, x += w, out += w) {
			const ml_word p = ml_elem_load(b, w);
			ml_word v = ml_elem_load(x, w);

			if (ml_kind_pair(kind) && back)
				v = ((p + v) & 15) |
					(((p & 0xf0) + (v & 0xf0)) & 0xf0);
			else if (ml_kind_pair(kind))
				v = ((v - p) & 15) |
					(((v & 0xf0) - (p & 0xf0)) & 0xf0);
			else if (back)
				v = ml_unresidual(w * 8, eb, p, v);
			else
				v = ml_residual(w * 8, eb, p, v);
			ml_elem_store(out, w, v);
		}
	}
}

void ml_qblock_residual(unsigned type, const uint8_t *b, const uint8_t *t,
	uint8_t *r)
{
	fields(type, b, t, r, 0);
}

void ml_qblock_unresidual(unsigned type, const uint8_t *b, const uint8_t *r,
	uint8_t *t)
{
	fields(type, b, r, t, 1);
}
