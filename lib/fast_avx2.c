/* SPDX-License-Identifier: MIT */
/* Kernels of coder 3 for AVX2 and BMI2: tables by byte shuffles, bytes are
 * expanded and compressed eight at a time. What is rare is left to the scalar
 * kernels, as in fast_avx512.c. */
#include "fast.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(ML_FAST_SCALAR)
#include <immintrin.h>
#include <string.h>

/* As in fast_avx512.c. */
#define V __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"), \
	no_sanitize("alignment")))
#define VI V static inline __attribute__((always_inline))

/* ===== pieces =========================================================== */

VI __m256i load(const void *p)
{
	__m256i v;

	memcpy(&v, p, sizeof v);
	return v;
}

VI void store(void *p, __m256i v)
{
	memcpy(p, &v, sizeof v);
}

VI __m256i twice(const uint8_t *p) /* 16 bytes */
{
	__m128i v;

	memcpy(&v, p, sizeof v);
	return _mm256_broadcastsi128_si256(v);
}

VI __m256i bytes(int v)
{
	return _mm256_set1_epi8((char)v);
}

VI uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* Entry i, below 16 << bits, of a table of bytes. */
VI __m256i look(const uint8_t *t, unsigned bits, __m256i i)
{
	const __m256i low = _mm256_and_si256(i, bytes(15));
	__m256i v[16], by;
	unsigned k, b;

	for (k = 0; k < 1u << bits; k++)
		v[k] = _mm256_shuffle_epi8(twice(t + 16 * k), low);
	for (b = 0; b < bits; b++) {
		by = _mm256_slli_epi16(i, (int)(3 - b));
		for (k = 0; k < 1u << (bits - 1 - b); k++)
			v[k] = _mm256_blendv_epi8(v[2 * k], v[2 * k + 1], by);
	}
	return v[0];
}

VI __m256i low_bytes(__m256i v)
{
	return _mm256_and_si256(v, _mm256_set1_epi16(255));
}

VI __m256i merge_low(__m256i even, __m256i odd)
{
	return _mm256_or_si256(low_bytes(even), _mm256_slli_epi16(odd, 8));
}

VI __m256i merge_high(__m256i even, __m256i odd)
{
	return _mm256_or_si256(_mm256_srli_epi16(even, 8),
		_mm256_andnot_si256(_mm256_set1_epi16(255), odd));
}

/* Bytes a and b in turn. */
VI void zip(__m256i a, __m256i b, __m256i *x, __m256i *y)
{
	const __m256i lo = _mm256_unpacklo_epi8(a, b);
	const __m256i hi = _mm256_unpackhi_epi8(a, b);

	*x = _mm256_permute2x128_si256(lo, hi, 0x20);
	*y = _mm256_permute2x128_si256(lo, hi, 0x31);
}

/* The low bytes of 16-bit lanes, which must not be above 255. */
VI __m256i pack(__m256i x, __m256i y)
{
	return _mm256_permute4x64_epi64(_mm256_packus_epi16(x, y), 0xd8);
}

/* ===== decoding of symbols ============================================== */

VI void turn(__m256i *lo, __m256i *hi, __m256i f, __m256i c)
{
	const __m256i d = _mm256_sub_epi8(*lo, c);
	const __m256i e = _mm256_add_epi16(_mm256_mullo_epi16(low_bytes(*hi),
		low_bytes(f)), low_bytes(d));
	const __m256i o = _mm256_add_epi16(_mm256_mullo_epi16(
		_mm256_srli_epi16(*hi, 8), _mm256_srli_epi16(f, 8)),
		_mm256_srli_epi16(d, 8));

	*lo = merge_low(e, o);
	*hi = merge_high(e, o);
}

/* Gives 32 states their bytes; want: those whose high byte is 0. */
VI const uint8_t *refill(__m256i *lo, __m256i *hi, __m256i want,
	const uint8_t *p)
{
	uint64_t m[4], e[4];
	int i;

	store(m, want);
	for (i = 0; i < 4; i++) {
		e[i] = _pdep_u64(load64(p), m[i]);
		p += _mm_popcnt_u64(m[i]) >> 3;
	}
	*hi = _mm256_blendv_epi8(*hi, *lo, want);
	*lo = _mm256_blendv_epi8(*lo, _mm256_set_epi64x((int64_t)e[3],
		(int64_t)e[2], (int64_t)e[1], (int64_t)e[0]), want);
	return p;
}

/* For 64 states. */
VI const uint8_t *refill2(__m256i lo[2], __m256i hi[2], const uint8_t *p)
{
	const __m256i none = _mm256_setzero_si256();
	const __m256i a = _mm256_cmpeq_epi8(hi[0], none);
	const __m256i b = _mm256_cmpeq_epi8(hi[1], none);
	const uint8_t *start;

	p -= _mm_popcnt_u32((unsigned)_mm256_movemask_epi8(a)) +
		_mm_popcnt_u32((unsigned)_mm256_movemask_epi8(b));
	start = p;
	p = refill(&lo[0], &hi[0], a, p);
	refill(&lo[1], &hi[1], b, p);
	return start;
}

/* A search by halves: after five levels the symbol, and what lies before its
 * slots and at their end. */
VI void down(__m256i *node, __m256i *from, __m256i *to, __m256i last,
	__m256i slot)
{
	const __m256i not = _mm256_cmpeq_epi8(_mm256_max_epu8(last, slot),
		last);

	*node = _mm256_add_epi8(_mm256_add_epi8(*node, *node),
		_mm256_add_epi8(not, bytes(1)));
	*from = _mm256_blendv_epi8(last, *from, not);
	*to = _mm256_blendv_epi8(*to, last, not);
}

VI __m256i in_context(const struct ml_fast_tab *t, __m256i node, __m256i *lo,
	__m256i *hi)
{
	__m256i from = bytes(-1), to = from;

	down(&node, &from, &to, look(t->node0, 0, node), *lo);
	down(&node, &from, &to, look(t->node1, 0, node), *lo);
	down(&node, &from, &to, look(t->node2, 1, node), *lo);
	down(&node, &from, &to, look(t->node3, 2, node), *lo);
	down(&node, &from, &to, look(t->node4, 3, node), *lo);
	turn(lo, hi, _mm256_sub_epi8(to, from),
		_mm256_add_epi8(from, bytes(1)));
	return node;
}

/* Up to 16 symbols: those that end below the slot are counted. */
VI __m256i among_few(const struct ml_fast_tab *t, unsigned nsym, __m256i *lo,
	__m256i *hi)
{
	const __m256i slot = _mm256_xor_si256(*lo, bytes(-128));
	__m256i s = _mm256_setzero_si256();
	unsigned i;

	for (i = 1; i < nsym; i++)
		s = _mm256_sub_epi8(s, _mm256_cmpgt_epi8(slot,
			bytes((uint8_t)(t->c[i] - 1) ^ 128)));
	turn(lo, hi, look(t->f, 0, s), look(t->c, 0, s));
	return s;
}

VI __m256i among_many(const struct ml_fast_tab *t, __m256i *lo, __m256i *hi)
{
	const __m256i s = look(t->map[0], 4, *lo);

	turn(lo, hi, look(t->f, 2, s), look(t->c, 2, s));
	return s;
}

V static int symbols(struct ml_fast_rans *r, const struct ml_fast_tab *t,
	const uint8_t *ctx, uint8_t *sym, size_t n)
{
	__m256i lo[4], hi[4];
	const uint8_t *p = r->p;
	unsigned nsym = 64;
	size_t i;
	int k;

	while (nsym > 1 && !t->f[nsym - 1])
		nsym--;
	for (k = 0; k < 4; k++) {
		lo[k] = load(r->lo + 32 * k);
		hi[k] = load(r->hi + 32 * k);
	}
	for (i = 0; i < n; i += 128) {
		for (k = 0; k < 4; k++)
			store(sym + i + 32 * (unsigned)k, ctx ? in_context(t,
				load(ctx + i + 32 * (unsigned)k), &lo[k],
				&hi[k]) : nsym <= 16 ? among_few(t, nsym,
				&lo[k], &hi[k]) : among_many(t, &lo[k],
				&hi[k]));
		p = refill2(lo, hi, p);
		p = refill2(lo + 2, hi + 2, p);
		if (p < r->begin)
			return -1;
	}
	for (k = 0; k < 4; k++) {
		store(r->lo + 32 * k, lo[k]);
		store(r->hi + 32 * k, hi[k]);
	}
	r->p = p;
	return 0;
}

/* ===== coding of symbols ================================================ */

VI __m256i divide(__m256i x, __m256i f, __m256i c, __m256i inv)
{
	__m256i q = _mm256_mulhi_epu16(x, inv);
	__m256i r = _mm256_sub_epi16(x, _mm256_mullo_epi16(q, f));
	/* both are below 2^15 */
	const __m256i less = _mm256_cmpgt_epi16(f, r);

	q = _mm256_add_epi16(q, _mm256_add_epi16(less,
		_mm256_set1_epi16(1)));
	r = _mm256_sub_epi16(r, _mm256_andnot_si256(less, f));
	return _mm256_add_epi16(_mm256_slli_epi16(q, 8),
		_mm256_add_epi16(r, c));
}

/* 32 states, as even and odd lanes, take symbols. */
VI uint8_t *push(__m256i x[2], const struct ml_fast_div *t, unsigned bits,
	__m256i s, uint8_t *p)
{
	const __m256i f = look(t->f, bits, s), c = look(t->c, bits, s);
	const __m256i il = look(t->inv_lo, bits, s);
	const __m256i ih = look(t->inv_hi, bits, s);
	__m256i hi = merge_high(x[0], x[1]), lo = merge_low(x[0], x[1]);
	const __m256i out = _mm256_cmpeq_epi8(_mm256_max_epu8(hi, f), hi);
	uint64_t m[4], b[4], v;
	int i;

	store(m, out);
	store(b, lo);
	for (i = 0; i < 4; i++) {
		v = _pext_u64(b[i], m[i]);
		memcpy(p, &v, 8);
		p += _mm_popcnt_u64(m[i]) >> 3;
	}
	lo = _mm256_blendv_epi8(lo, hi, out);
	hi = _mm256_andnot_si256(out, hi);
	x[0] = divide(merge_low(lo, hi), low_bytes(f), low_bytes(c),
		merge_low(il, ih));
	x[1] = divide(merge_high(lo, hi), _mm256_srli_epi16(f, 8),
		_mm256_srli_epi16(c, 8), merge_high(il, ih));
	return p;
}

VI uint8_t *push_all(__m256i x[4][2], const struct ml_fast_div *t,
	unsigned bits, const uint8_t *sym, size_t n, uint8_t *p)
{
	for (; n; n -= 128) {
		const uint8_t *s = sym + n - 128;

		p = push(x[2], t, bits, load(s + 64), p);
		p = push(x[3], t, bits, load(s + 96), p);
		p = push(x[0], t, bits, load(s), p);
		p = push(x[1], t, bits, load(s + 32), p);
	}
	return p;
}

V static size_t encode(const struct ml_fast_div *t, int contexts,
	const uint8_t *sym, size_t n, uint8_t *dst)
{
	uint8_t *p = dst + ML_FAST_STATES;
	__m256i x[4][2];
	unsigned nsym = 64;
	int k;

	for (k = 0; k < 4; k++)
		x[k][0] = x[k][1] = _mm256_set1_epi16(256);
	while (nsym > 1 && !t->f[nsym - 1])
		nsym--;
	if (contexts)
		p = push_all(x, t, 4, sym, n, p);
	else if (nsym <= 16)
		p = push_all(x, t, 0, sym, n, p);
	else
		p = push_all(x, t, 2, sym, n, p);
	for (k = 0; k < 4; k++) {
		store(dst + 32 * k, merge_low(x[k][0], x[k][1]));
		store(dst + 128 + 32 * k, merge_high(x[k][0], x[k][1]));
	}
	return (size_t)(p - dst);
}

/* ===== planes =========================================================== */

static const uint8_t three_of_four[16] = {
	0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15
};
static const uint8_t three_and_none[16] = {
	0, 1, 2, 128, 3, 4, 5, 128, 6, 7, 8, 128, 9, 10, 11, 128
};

/* Four elements of 32 bits: 12 bytes to raw, 4 to val. */
VI void split32(__m128i x, uint8_t *raw, uint8_t *val)
{
	__m128i v, by;
	uint32_t top;

	memcpy(&by, three_of_four, sizeof by);
	v = _mm_shuffle_epi8(x, by);
	memcpy(raw, &v, sizeof v);
	top = (uint32_t)_mm_extract_epi32(v, 3);
	memcpy(val, &top, 4);
}

V static void split(const struct ml_fast_elem *e, const uint8_t *in, size_t n,
	uint8_t *val, uint8_t *raw, uint8_t *odd)
{
	__m256i x, y;
	__m128i h;
	size_t i;
	int k;

	if (e->o || e->w == 8) {
		ml_fast_code_scalar.split(e, in, n, val, raw, odd);
		return;
	}
	for (i = 0; i < n; i += 32, in += 32 * e->w) {
		if (e->w == 4) {
			for (k = 0; k < 8; k++, raw += 12) {
				memcpy(&h, in + 16 * k, sizeof h);
				if (e->ebits)
					h = _mm_or_si128(_mm_slli_epi32(h, 1),
						_mm_srli_epi32(h, 31));
				split32(h, raw, val + i + 4 *
					(unsigned)k);
			}
			continue;
		}
		x = load(in);
		if (e->w == 1) {
			store(val + i, e->ebits ? _mm256_or_si256(
				_mm256_and_si256(_mm256_slli_epi16(x, 1),
				bytes(-2)), _mm256_and_si256(
				_mm256_srli_epi16(x, 7), bytes(1))) : x);
			continue;
		}
		y = load(in + 32);
		if (e->ebits) {
			x = _mm256_or_si256(_mm256_slli_epi16(x, 1),
				_mm256_srli_epi16(x, 15));
			y = _mm256_or_si256(_mm256_slli_epi16(y, 1),
				_mm256_srli_epi16(y, 15));
		}
		store(raw, pack(low_bytes(x), low_bytes(y)));
		store(val + i, pack(_mm256_srli_epi16(x, 8),
			_mm256_srli_epi16(y, 8)));
		raw += 32;
	}
}

V static size_t map(uint8_t *val, size_t n, const uint8_t lut[256],
	uint8_t esc, uint8_t *list)
{
	const __m256i last = bytes(esc);
	uint8_t old[32];
	__m256i v, s;
	uint32_t m;
	size_t i, k = 0;

	for (i = 0; i < n; i += 32) {
		v = load(val + i);
		s = look(lut, 4, v);
		store(val + i, s);
		m = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(s, last));
		if (!m)
			continue;
		store(old, v);
		for (; m; m &= m - 1)
			list[k++] = old[__builtin_ctz(m)];
	}
	return k;
}

VI void join32(const uint8_t *raw, const uint8_t *top, int is_float,
	uint8_t *out)
{
	__m128i x, by;
	uint32_t v;

	memcpy(&x, raw, sizeof x);
	memcpy(&by, three_and_none, sizeof by);
	memcpy(&v, top, 4);
	x = _mm_or_si128(_mm_shuffle_epi8(x, by), _mm_slli_epi32(
		_mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)v)), 24));
	if (is_float)
		x = _mm_or_si128(_mm_srli_epi32(x, 1), _mm_slli_epi32(x, 31));
	memcpy(out, &x, sizeof x);
}

V static int planes(struct ml_fast_planes *p, const uint8_t *sym, uint8_t *out,
	size_t n)
{
	const __m256i last = bytes((int)p->nsym - 1);
	const size_t k32 = n & ~(size_t)31;
	uint8_t b[32];
	__m256i s, v, x, y;
	uint32_t m;
	size_t i;
	int k;

	if (p->e.w == 8 || p->e.o)
		return ml_fast_scalar.planes(p, sym, out, n);
	for (i = 0; i < k32; i += 32, out += 32 * p->e.w) {
		s = load(sym + i);
		v = p->nsym <= 16 ? look(p->lut, 0, s) : look(p->lut, 2, s);
		m = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(s, last));
		if (m) {
			if (_mm_popcnt_u32(m) > p->esc_end - p->esc)
				return -1;
			store(b, v);
			for (; m; m &= m - 1)
				b[__builtin_ctz(m)] = *p->esc++;
			v = load(b);
		}
		if (p->e.w == 4) {
			store(b, v);
			for (k = 0; k < 8; k++)
				join32(p->raw + 12 * k, b + 4 * k, p->e.ebits,
					out + 16 * k);
			p->raw += 96;
			continue;
		}
		if (p->e.w == 1) {
			store(out, p->e.ebits ? _mm256_or_si256(
				_mm256_and_si256(_mm256_srli_epi16(v, 1),
				bytes(127)), _mm256_and_si256(
				_mm256_slli_epi16(v, 7), bytes(-128))) : v);
			continue;
		}
		zip(load(p->raw), v, &x, &y);
		if (p->e.ebits) {
			x = _mm256_or_si256(_mm256_srli_epi16(x, 1),
				_mm256_slli_epi16(x, 15));
			y = _mm256_or_si256(_mm256_srli_epi16(y, 1),
				_mm256_slli_epi16(y, 15));
		}
		store(out, x);
		store(out + 32, y);
		p->raw += 32;
	}
	return n > k32 ? ml_fast_scalar.planes(p, sym + k32, out, n - k32) : 0;
}

/* ===== residuals ======================================================== */

V static size_t zeros(unsigned w, const uint8_t *base, const uint8_t *in,
	int given, size_t n, uint8_t *bits)
{
	const int based = base && !given;
	const __m256i none = _mm256_setzero_si256();
	size_t i, same = 0;
	uint32_t all, k;
	unsigned j, one;
	__m256i b, v;

	for (i = 0; i < n; i += 64) {
		for (j = 0, all = ~0u; j < 2 * w; j++, in += 32) {
			b = based ? load(base + i * w + 32 * j) : none;
			v = load(in);
			v = w == 1 ? _mm256_cmpeq_epi8(v, b) :
				w == 2 ? _mm256_cmpeq_epi16(v, b) :
				w == 4 ? _mm256_cmpeq_epi32(v, b) :
				_mm256_cmpeq_epi64(v, b);
			k = (uint32_t)_mm256_movemask_epi8(v);
			all &= k;
			same += (size_t)_mm_popcnt_u32(k);
		}
		one = (unsigned)(i / 64 % 8);
		bits[i / 512] = (uint8_t)((one ? bits[i / 512] : 0) |
			(unsigned)!~all << one);
	}
	return n - same / w;
}

VI __m256i order16(__m256i v)
{
	return _mm256_xor_si256(v, _mm256_or_si256(_mm256_srai_epi16(v, 15),
		_mm256_set1_epi16((short)0x8000)));
}

VI __m256i unorder16(__m256i v)
{
	return _mm256_xor_si256(v, _mm256_or_si256(_mm256_xor_si256(
		_mm256_srai_epi16(v, 15), bytes(-1)),
		_mm256_set1_epi16((short)0x8000)));
}

VI __m256i order32(__m256i v)
{
	return _mm256_xor_si256(v, _mm256_or_si256(_mm256_srai_epi32(v, 31),
		_mm256_set1_epi32((int)0x80000000)));
}

VI __m256i unorder32(__m256i v)
{
	return _mm256_xor_si256(v, _mm256_or_si256(_mm256_xor_si256(
		_mm256_srai_epi32(v, 31), bytes(-1)),
		_mm256_set1_epi32((int)0x80000000)));
}

VI __m256i context16(const struct ml_fast_resid *r, __m256i b)
{
	const __m128i by = _mm_cvtsi32_si128(15 - r->e.ebits);
	const __m256i e = _mm256_and_si256(_mm256_srl_epi16(b, by),
		_mm256_set1_epi16((short)((1 << r->e.ebits) - 1)));

	return _mm256_min_epu16(_mm256_subs_epu16(_mm256_set1_epi16(
		(short)r->e0), e), _mm256_set1_epi16(7));
}

VI __m256i context32(const struct ml_fast_resid *r, __m256i b)
{
	const __m256i e = _mm256_sub_epi32(_mm256_set1_epi32((int)r->e0),
		_mm256_and_si256(_mm256_srli_epi32(b, 23),
		_mm256_set1_epi32(255)));

	return _mm256_min_epi32(_mm256_max_epi32(e, _mm256_setzero_si256()),
		_mm256_set1_epi32(7));
}

VI int served(const struct ml_fast_resid *r)
{
	return r->e.ebits && ((r->e.w == 2 && !r->m_any) || r->e.w == 4);
}

/* 32-bit lanes to the bytes that they are. */
VI void put8(uint8_t *p, __m256i v)
{
	const __m128i x = _mm_packus_epi32(_mm256_castsi256_si128(v),
		_mm256_extracti128_si256(v, 1));
	const uint64_t b = (uint64_t)_mm_cvtsi128_si64(
		_mm_packus_epi16(x, x));

	memcpy(p, &b, 8);
}

V static void contexts(const struct ml_fast_resid *r, const uint8_t *base,
	uint8_t *ctx, size_t n)
{
	const size_t k32 = n & ~(size_t)31;
	size_t i;

	if (!served(r)) {
		ml_fast_scalar.contexts(r, base, ctx, n);
		return;
	}
	for (i = 0; i < k32 && r->e.w == 2; i += 32)
		store(ctx + i, pack(context16(r, load(base + 2 * i)),
			context16(r, load(base + 2 * i + 32))));
	for (; i < k32; i += 8)
		put8(ctx + i, context32(r, load(base + 4 * i)));
	if (n > k32)
		ml_fast_scalar.contexts(r, base + k32 * r->e.w, ctx + k32,
			n - k32);
}

/* As in fast_avx512.c; here bits that might round up are cleared first, and
 * 2^31 comes out as 31. */
VI __m256i halves(__m256i q)
{
	const __m256i v = _mm256_andnot_si256(_mm256_srli_epi32(q, 2), q);
	const __m256i s = _mm256_sub_epi32(_mm256_srli_epi32(
		_mm256_castps_si256(_mm256_cvtepi32_ps(v)), 22),
		_mm256_set1_epi32(254));

	return _mm256_min_epi32(_mm256_max_epi32(s, _mm256_min_epu32(q,
		_mm256_set1_epi32(1))), _mm256_set1_epi32(31));
}

VI __m256i classes16(const struct ml_fast_resid *r, const uint8_t *base,
	const uint8_t *in, int given, uint8_t *left)
{
	const __m256i b = load(base);
	__m256i d = load(in), mag, s;

	if (!given)
		d = _mm256_sub_epi16(order16(d), order16(b));
	mag = _mm256_abs_epi16(d);
	store(left, _mm256_or_si256(_mm256_slli_epi16(mag, 1),
		_mm256_srli_epi16(d, 15)));
	s = _mm256_or_si256(halves(_mm256_and_si256(mag,
		_mm256_set1_epi32(0xffff))), _mm256_slli_epi32(halves(
		_mm256_srli_epi32(mag, 16)), 16));
	return _mm256_or_si256(s, _mm256_slli_epi16(context16(r, b), 5));
}

VI __m256i windows(const struct ml_fast_resid *r)
{
	uint64_t m;

	memcpy(&m, r->m, sizeof m);
	return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)m));
}

V static void classes(const struct ml_fast_resid *r, const uint8_t *base,
	const uint8_t *in, int given, size_t n, uint8_t *sym, uint8_t *left)
{
	const __m256i m = windows(r);
	__m256i b, c, d, mag;
	size_t i;

	if (!served(r)) {
		ml_fast_code_scalar.classes(r, base, in, given, n, sym, left);
		return;
	}
	for (i = 0; i < n && r->e.w == 2; i += 32) {
		b = classes16(r, base + 2 * i, in + 2 * i, given,
			left + 2 * i);
		d = classes16(r, base + 2 * i + 32, in + 2 * i + 32, given,
			left + 2 * i + 32);
		store(sym + i, pack(b, d));
	}
	for (; i < n; i += 8) {
		b = load(base + 4 * i);
		d = load(in + 4 * i);
		if (!given)
			d = _mm256_sub_epi32(order32(d), order32(b));
		c = context32(r, b);
		mag = _mm256_abs_epi32(d);
		store(left + 4 * i, _mm256_or_si256(_mm256_slli_epi32(mag, 1),
			_mm256_srli_epi32(d, 31)));
		mag = halves(_mm256_srlv_epi32(mag,
			_mm256_permutevar8x32_epi32(m, c)));
		put8(sym + i, _mm256_or_si256(mag, _mm256_slli_epi32(c, 5)));
	}
}

V static size_t escapes(uint8_t *sym, size_t n, const uint8_t f[256])
{
	const __m256i low = bytes(31), none = _mm256_setzero_si256();
	size_t i, k = 0;
	__m256i s;

	for (i = 0; i < n; i += 32) {
		s = load(sym + i);
		s = _mm256_or_si256(s, _mm256_and_si256(low,
			_mm256_cmpeq_epi8(look(f, 4, s), none)));
		store(sym + i, s);
		k += (size_t)_mm_popcnt_u32((unsigned)_mm256_movemask_epi8(
			_mm256_cmpeq_epi8(_mm256_and_si256(s, low), low)));
	}
	return k;
}

/* Bytes by symbol: of 16-bit masks, and of what a symbol says of the
 * magnitude. */
static const uint8_t mask_lo[32] = {
	0, 1, 1, 1, 3, 3, 7, 7, 15, 15, 31, 31, 63, 63, 127, 127,
	255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
	255, 0
}, mask_hi[32] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 1, 1, 3, 3, 7, 7, 15, 15, 31, 31, 63, 63, 127, 0
}, top_lo[32] = {
	0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 0, 128
}, top_hi[32] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	1, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 0
};

VI __m256i wide32(const uint8_t *p) /* 8 bytes */
{
	return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)load64(p)));
}

/* How far up a symbol's bits go without its window, 0 for 0 and 1. */
VI __m256i rise(__m256i s)
{
	const __m256i one = _mm256_set1_epi32(1);

	return _mm256_sub_epi32(_mm256_max_epi32(_mm256_srli_epi32(s, 1),
		one), one);
}

VI __m256i masks32(__m256i m, __m256i x)
{
	const __m256i s = _mm256_and_si256(x, _mm256_set1_epi32(31));
	const __m256i ms = _mm256_permutevar8x32_epi32(m,
		_mm256_srli_epi32(x, 5));
	const __m256i one = _mm256_set1_epi32(1);
	const __m256i n = _mm256_add_epi32(_mm256_add_epi32(rise(s), ms), one);
	const __m256i no = _mm256_or_si256(_mm256_cmpeq_epi32(
		_mm256_or_si256(s, ms), _mm256_setzero_si256()),
		_mm256_cmpeq_epi32(s, _mm256_set1_epi32(31)));

	return _mm256_andnot_si256(no, _mm256_sub_epi32(_mm256_sllv_epi32(one,
		n), one));
}

/* Of 32 elements, as 64-bit words. */
VI void masks(const struct ml_fast_resid *r, __m256i m, const uint8_t *sym,
	uint64_t *to)
{
	__m256i s, x, y;
	int k;

	if (r->e.w == 2) {
		s = _mm256_and_si256(load(sym), bytes(31));
		zip(look(mask_lo, 1, s), look(mask_hi, 1, s), &x, &y);
		store(to, x);
		store(to + 4, y);
		return;
	}
	for (k = 0; k < 4; k++)
		store(to + 4 * k, masks32(m, wide32(sym + 8 * k)));
}

V static void bits(const struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *left, size_t n, struct ml_fast_bits *b)
{
	const unsigned words = 4u * r->e.w;
	const __m256i win = windows(r);
	uint64_t m[16], v, acc = b->acc;
	unsigned have = b->n, k, j;
	uint8_t *p = b->p;
	size_t i;

	if (!served(r)) {
		ml_fast_code_scalar.bits(r, sym, left, n, b);
		return;
	}
	for (i = 0; i < n; i += 32) {
		masks(r, win, sym + i, m);
		for (j = 0; j < words; j++, left += 8) {
			v = _pext_u64(load64(left), m[j]);
			k = (unsigned)_mm_popcnt_u64(m[j]) + have;
			acc |= v << have;
			memcpy(p, &acc, 8);
			p += k >> 3;
			if (k >= 64) /* have is above 0 */
				acc = v >> (64 - have);
			else
				acc >>= k & ~7u;
			have = k & 7;
		}
	}
	b->p = p;
	b->acc = acc;
	b->n = have;
}

/* 32 residuals are put into their places among the magnitudes' words d. */
static int escaped(struct ml_fast_resid *r, const uint8_t *sym, uint8_t *d)
{
	unsigned i;

	for (i = 0; i < 32; i++) {
		if ((sym[i] & 31) != ML_FAST_ESCAPE)
			continue;
		if ((size_t)(r->esc_end - r->esc) < r->e.w)
			return -1;
		memcpy(d + i * r->e.w, r->esc, r->e.w);
		r->esc += r->e.w;
	}
	return 0;
}

VI int any_escape(const uint8_t *sym)
{
	const __m256i low = bytes(31);

	return _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(
		load(sym), low), low));
}

V static int resid(struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *base, uint8_t *out, size_t n)
{
	const unsigned words = 4u * r->e.w, w = r->e.w;
	const size_t k32 = n & ~(size_t)31;
	const __m256i win = windows(r);
	uint64_t m[16], v;
	uint8_t d[128];
	__m256i s, x, t[2], sign, ms;
	unsigned j, sh;
	size_t i;
	int k;

	if (!served(r))
		return ml_fast_scalar.resid(r, sym, base, out, n);
	for (i = 0; i < k32; i += 32) {
		masks(r, win, sym + i, m);
		for (j = 0; j < words; j++) {
			const uint8_t *p = r->bits + (r->pos >> 3);

			sh = (unsigned)r->pos & 7;
			v = load64(p) >> sh;
			if (w == 4) /* more than 57 bits may be asked for */
				v |= (uint64_t)p[8] << 1 << (63 - sh);
			v = _pdep_u64(v, m[j]);
			memcpy(d + 8 * j, &v, 8);
			r->pos += (uint64_t)_mm_popcnt_u64(m[j]);
		}
		if (r->pos > r->nbits)
			return -1;
		s = _mm256_and_si256(load(sym + i), bytes(31));
		if (w == 2)
			zip(look(top_lo, 1, s), look(top_hi, 1, s), &t[0],
				&t[1]);
		for (k = 0; k < (int)w; k++) {
			x = load(d + 32 * k);
			if (w == 2) {
				sign = _mm256_sub_epi16(_mm256_setzero_si256(),
					_mm256_and_si256(x,
					_mm256_set1_epi16(1)));
				x = _mm256_or_si256(t[k],
					_mm256_srli_epi16(x, 1));
				x = _mm256_sub_epi16(_mm256_xor_si256(x,
					sign), sign);
				store(d + 32 * k, x);
				continue;
			}
			s = wide32(sym + i + 8 * k);
			ms = _mm256_permutevar8x32_epi32(win,
				_mm256_srli_epi32(s, 5));
			s = _mm256_and_si256(s, _mm256_set1_epi32(31));
			t[0] = _mm256_or_si256(_mm256_and_si256(s,
				_mm256_set1_epi32(1)), _mm256_and_si256(
				_mm256_cmpgt_epi32(s, _mm256_set1_epi32(1)),
				_mm256_set1_epi32(2)));
			t[0] = _mm256_sllv_epi32(t[0], _mm256_add_epi32(
				rise(s), ms));
			sign = _mm256_sub_epi32(_mm256_setzero_si256(),
				_mm256_and_si256(x, _mm256_set1_epi32(1)));
			x = _mm256_or_si256(t[0], _mm256_srli_epi32(x, 1));
			x = _mm256_sub_epi32(_mm256_xor_si256(x, sign), sign);
			store(d + 32 * k, x);
		}
		if (any_escape(sym + i) && escaped(r, sym + i, d))
			return -1;
		for (k = 0; k < (int)w; k++) {
			x = load(base + i * w + 32 * (unsigned)k);
			x = w == 2 ? unorder16(_mm256_add_epi16(order16(x),
				load(d + 32 * k))) :
				unorder32(_mm256_add_epi32(order32(x),
				load(d + 32 * k)));
			store(out + i * w + 32 * (unsigned)k, x);
		}
	}
	return n > k32 ? ml_fast_scalar.resid(r, sym + k32, base + k32 * w,
		out + k32 * w, n - k32) : 0;
}

/* ===== the table ======================================================== */

static const struct ml_fast_kern decoder = {
	"avx2", symbols, planes, contexts, resid
};

static const struct ml_fast_code coder = {
	&decoder, split, map, zeros, classes, escapes, bits, encode
};

const struct ml_fast_code *ml_fast_code_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") &&
		__builtin_cpu_supports("bmi2") ? &coder : NULL;
}

#else

const struct ml_fast_code *ml_fast_code_avx2(void)
{
	return NULL;
}

#endif
