/* SPDX-License-Identifier: MIT */
/* Encoder kernels of coder 3 without vectors, and the choice among all. */
#include <string.h>

#include "elem.h"
#include "fast.h"

static void split(const struct ml_fast_elem *e, const uint8_t *in, size_t n,
	uint8_t *val, uint8_t *raw, uint8_t *odd)
{
	const unsigned bits = e->w * 8u;
	uint64_t v, o = 0;
	size_t i;
	unsigned j;

	if (e->w == 2 && e->ebits && !e->o) {
		for (i = 0; i < n; i++) {
			const unsigned x = ml_load16(in + 2 * i);

			val[i] = (uint8_t)(x >> 7);
			raw[i] = (uint8_t)(x << 1 | x >> 15);
		}
		return;
	}
	for (i = 0; i < n; i++, in += e->w) {
		v = ml_elem_load(in, e->w);
		if (e->ebits)
			v = (v << 1 | v >> (bits - 1)) & ml_elem_mask(bits);
		val[i] = (uint8_t)(v >> e->k);
		for (j = 0; j < e->a; j++, v >>= 8)
			*raw++ = (uint8_t)v;
		if (!e->o)
			continue;
		o |= (v & ((1u << e->o) - 1)) << (i % 8 * e->o);
		if (i % 8 < 7 && i + 1 < n)
			continue;
		for (j = 0; j < e->o; j++, o >>= 8)
			*odd++ = (uint8_t)o;
		o = 0;
	}
}

static size_t map(uint8_t *val, size_t n, const uint8_t lut[256], uint8_t esc,
	uint8_t *list)
{
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		const uint8_t s = lut[val[i]];

		if (s == esc)
			list[k++] = val[i];
		val[i] = s;
	}
	return k;
}

static size_t zeros(unsigned w, const uint8_t *base, const uint8_t *in,
	int given, size_t n, uint8_t *bits)
{
	size_t i, j, k, differ = 0, g;

	for (i = g = 0; i < n; i += k, g++) {
		const size_t before = differ;

		k = n - i < ML_FAST_GROUP ? n - i : ML_FAST_GROUP;
		for (j = i; j < i + k; j++)
			differ += ml_elem_load(in + j * w, w) !=
				(base && !given ? ml_elem_load(base + j * w,
				w) : 0);
		if (g % 8 == 0)
			bits[g / 8] = 0;
		bits[g / 8] = (uint8_t)(bits[g / 8] |
			(differ == before) << g % 8);
	}
	return differ;
}

static inline __attribute__((always_inline)) void classes_of(
	const struct ml_fast_resid *r, const uint8_t *base, const uint8_t *in,
	int given, size_t n, uint8_t *sym, uint8_t *left, const unsigned w,
	const unsigned eb)
{
	const unsigned bits = w * 8;
	unsigned c, ctx, s, e;
	uint64_t b, d, neg, q;

	for (; n--; base += w, in += w, left += w) {
		b = ml_elem_load(base, w);
		d = ml_elem_load(in, w);
		if (!given)
			d = ml_residual(bits, eb, b, d);
		if (eb) {
			e = (unsigned)(b >> (bits - 1 - eb)) & ((1u << eb) - 1);
			ctx = e >= r->e0 ? 0 : r->e0 - e > 7 ? 7 : r->e0 - e;
		} else {
			ctx = ml_fast_context(&r->e, r->e0, b);
		}
		neg = d >> (bits - 1);
		d = ((d ^ (0 - neg)) + neg) & ml_elem_mask(bits);
		q = d >> r->m[ctx];
		c = ml_bitlen(q);
		s = c < 2 ? c : 2 * (c - 1) + (unsigned)(q >> (c - 2) & 1);
		if (s > ML_FAST_ESCAPE)
			s = ML_FAST_ESCAPE;
		*sym++ = (uint8_t)(ctx << 5 | s);
		ml_elem_store(left, w, (d << 1 | neg) & ml_elem_mask(bits));
	}
}

static void classes(const struct ml_fast_resid *r, const uint8_t *base,
	const uint8_t *in, int given, size_t n, uint8_t *sym, uint8_t *left)
{
	switch (r->e.w << 4 | r->e.ebits) {
	case 2 << 4 | 8:
		classes_of(r, base, in, given, n, sym, left, 2, 8);
		return;
	case 4 << 4 | 8:
		classes_of(r, base, in, given, n, sym, left, 4, 8);
		return;
	default:
		classes_of(r, base, in, given, n, sym, left, r->e.w,
			r->e.ebits);
	}
}

static size_t escapes(uint8_t *sym, size_t n, const uint8_t f[256])
{
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		if (!f[sym[i]])
			sym[i] |= ML_FAST_ESCAPE;
		k += (sym[i] & 31) == ML_FAST_ESCAPE;
	}
	return k;
}

static inline void put_bits(struct ml_fast_bits *b, uint64_t v, unsigned n)
{
	const unsigned all = b->n + n;

	b->acc |= v << b->n;
	ml_store64(b->p, b->acc);
	b->p += all >> 3;
	if (all >= 64) /* n < 64: b->n is above 0 */
		b->acc = v >> (64 - b->n);
	else
		b->acc >>= all & ~7u;
	b->n = all & 7;
}

static void bits(const struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *left, size_t n, struct ml_fast_bits *b)
{
	const unsigned w = r->e.w;
	unsigned s, m, k;

	for (; n--; left += w) {
		s = *sym & 31;
		m = r->m[*sym++ >> 5];
		if (s == ML_FAST_ESCAPE || !(s | m))
			continue;
		k = (s < 2 ? 0 : s / 2 - 1) + m + 1;
		put_bits(b, ml_elem_load(left, w) & (((uint64_t)1 << k) - 1),
			k);
	}
}

static size_t symbols(const struct ml_fast_div *t, int contexts,
	const uint8_t *sym, size_t n, uint8_t *dst)
{
	uint16_t x[ML_FAST_LANES];
	uint8_t *p = dst + ML_FAST_STATES;
	unsigned i, s, v;

	(void)contexts;
	for (i = 0; i < ML_FAST_LANES; i++)
		x[i] = 256;
	for (; n; n -= ML_FAST_GROUP) {
		const uint8_t *from = sym + n - ML_FAST_GROUP;
		uint16_t *y = x + ((n - ML_FAST_GROUP) & (ML_FAST_LANES - 1));

		for (i = 0; i < ML_FAST_GROUP; i++) {
			s = from[i];
			v = y[i];
			if (v >> 8 >= t->f[s]) {
				*p++ = (uint8_t)v;
				v >>= 8;
			}
			y[i] = (uint16_t)(v / t->f[s] * 256 + v % t->f[s] +
				t->c[s]);
		}
	}
	for (i = 0; i < ML_FAST_LANES; i++) {
		dst[i] = (uint8_t)x[i];
		dst[ML_FAST_LANES + i] = (uint8_t)(x[i] >> 8);
	}
	return (size_t)(p - dst);
}

const struct ml_fast_code ml_fast_code_scalar = {
	&ml_fast_scalar, split, map, zeros, classes, escapes, bits, symbols
};

/* ===== the choice ======================================================= */

const struct ml_fast_code *ml_fast_code_nth(unsigned i)
{
	const struct ml_fast_code *all[] = {
		ml_fast_code_avx512(), ml_fast_code_avx2(),
		ml_fast_code_neon(), &ml_fast_code_scalar
	};
	unsigned k;

	for (k = 0; k < sizeof all / sizeof *all; k++)
		if (all[k] && !i--)
			return all[k];
	return NULL;
}

const struct ml_fast_code *ml_fast_code_best(void)
{
	return ml_fast_code_nth(0);
}
