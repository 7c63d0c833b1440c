/* SPDX-License-Identifier: MIT */
/* Kernels of coder 3 for AVX-512 with VBMI2 (Ice Lake, Zen 4): all tables lie
 * in registers, bytes are expanded and compressed there. What is rare (64-bit
 * elements, integers of 16 bits) is left to the scalar kernels. */
#include "fast.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(ML_FAST_SCALAR)
#include <immintrin.h>
#include <string.h>

/* gcc 12 makes wrong code of the vectors below with -fsanitize=alignment. */
#define V __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq," \
	"avx512cd,avx512vbmi,avx512vbmi2,bmi,bmi2,lzcnt,popcnt"), \
	no_sanitize("alignment")))
#define VI V static inline __attribute__((always_inline))
#define ODD 0xaaaaaaaaaaaaaaaau /* bytes */
#define SLOTS 64

/* ===== pieces =========================================================== */

VI __m512i load(const void *p)
{
	__m512i v;

	memcpy(&v, p, sizeof v);
	return v;
}

VI void store(void *p, __m512i v)
{
	memcpy(p, &v, sizeof v);
}

VI void store16(void *p, __m128i v)
{
	memcpy(p, &v, sizeof v);
}

/* A table of 256 bytes. */
struct t256 {
	__m512i a, b, c, d;
};

VI struct t256 table(const uint8_t *p)
{
	const struct t256 t = {
		load(p), load(p + 64), load(p + 128), load(p + 192)
	};
	return t;
}

VI __m512i look(const struct t256 *t, __m512i i)
{
	return _mm512_mask_blend_epi8(_mm512_movepi8_mask(i),
		_mm512_permutex2var_epi8(t->a, i, t->b),
		_mm512_permutex2var_epi8(t->c, i, t->d));
}

VI __m512i low_bytes(__m512i v)
{
	return _mm512_and_si512(v, _mm512_set1_epi16(255));
}

/* Bytes of the even and of the odd 16-bit lanes' low or high halves. */
VI __m512i merge_low(__m512i even, __m512i odd)
{
	return _mm512_mask_blend_epi8(ODD, even, _mm512_slli_epi16(odd, 8));
}

VI __m512i merge_high(__m512i even, __m512i odd)
{
	return _mm512_mask_blend_epi8(ODD, _mm512_srli_epi16(even, 8), odd);
}

/* ===== decoding of symbols ============================================== */

/* 64 states take a step, given frequency and start of their symbols. */
VI const uint8_t *step(__m512i *lo, __m512i *hi, __m512i f, __m512i c,
	const uint8_t *p)
{
	const __m512i d = _mm512_sub_epi8(*lo, c);
	__m512i e, o;
	__mmask64 k;

	e = _mm512_add_epi16(_mm512_mullo_epi16(low_bytes(*hi), low_bytes(f)),
		low_bytes(d));
	o = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_srli_epi16(*hi, 8),
		_mm512_srli_epi16(f, 8)), _mm512_srli_epi16(d, 8));
	*lo = merge_low(e, o);
	*hi = merge_high(e, o);
	k = _mm512_testn_epi8_mask(*hi, *hi);
	p -= _mm_popcnt_u64(k);
	*hi = _mm512_mask_mov_epi8(*hi, k, *lo);
	*lo = _mm512_mask_expand_epi8(*lo, k, load(p));
	return p;
}

/* A search: the node, and the slots between which the symbol's lie. */
struct found {
	__m512i node, from, to; /* these two less 1 */
};

/* One level of it. */
VI void down(struct found *n, __m512i last, __m512i slot)
{
	const __mmask64 k = _mm512_cmpgt_epu8_mask(slot, last);

	n->node = _mm512_add_epi8(n->node, n->node);
	n->node = _mm512_mask_sub_epi8(n->node, k, n->node,
		_mm512_set1_epi8(-1));
	n->from = _mm512_mask_mov_epi8(n->from, k, last);
	n->to = _mm512_mask_mov_epi8(last, k, n->to);
}

struct nodes {
	__m512i n[4], a, b;
};

VI struct found search(const struct nodes *t, __m512i node, __m512i slot)
{
	const __m512i all = _mm512_set1_epi8(-1); /* both before 0 and 255 */
	struct found n = { node, all, all };
	int i;

	for (i = 0; i < 4; i++)
		down(&n, _mm512_permutexvar_epi8(n.node, t->n[i]), slot);
	down(&n, _mm512_permutex2var_epi8(t->a, n.node, t->b), slot);
	return n;
}

V static int symbols_in_context(struct ml_fast_rans *r,
	const struct ml_fast_tab *t, const uint8_t *ctx, uint8_t *sym,
	size_t n)
{
	const struct nodes nodes = {
		{ load(t->node0), load(t->node1), load(t->node2),
		load(t->node3) }, load(t->node4), load(t->node4 + 64)
	};
	__m512i lo0 = load(r->lo), hi0 = load(r->hi);
	__m512i lo1 = load(r->lo + 64), hi1 = load(r->hi + 64);
	const __m512i one = _mm512_set1_epi8(1);
	const uint8_t *p = r->p;
	struct found s0, s1;
	size_t i;

	for (i = 0; i < n; i += 128) {
		s0 = search(&nodes, load(ctx + i), lo0);
		s1 = search(&nodes, load(ctx + i + 64), lo1);
		store(sym + i, s0.node);
		store(sym + i + 64, s1.node);
		p = step(&lo0, &hi0, _mm512_sub_epi8(s0.to, s0.from),
			_mm512_add_epi8(s0.from, one), p);
		p = step(&lo1, &hi1, _mm512_sub_epi8(s1.to, s1.from),
			_mm512_add_epi8(s1.from, one), p);
		if (p < r->begin)
			return -1;
	}
	store(r->lo, lo0);
	store(r->hi, hi0);
	store(r->lo + 64, lo1);
	store(r->hi + 64, hi1);
	r->p = p;
	return 0;
}

V static int symbols(struct ml_fast_rans *r, const struct ml_fast_tab *t,
	const uint8_t *ctx, uint8_t *sym, size_t n)
{
	const struct t256 map = table(t->map[0]);
	const __m512i f = load(t->f), c = load(t->c);
	__m512i lo0 = load(r->lo), hi0 = load(r->hi), s0, s1;
	__m512i lo1 = load(r->lo + 64), hi1 = load(r->hi + 64);
	const uint8_t *p = r->p;
	size_t i;

	if (ctx)
		return symbols_in_context(r, t, ctx, sym, n);
	for (i = 0; i < n; i += 128) {
		s0 = look(&map, lo0);
		s1 = look(&map, lo1);
		store(sym + i, s0);
		store(sym + i + 64, s1);
		p = step(&lo0, &hi0, _mm512_permutexvar_epi8(s0, f),
			_mm512_permutexvar_epi8(s0, c), p);
		p = step(&lo1, &hi1, _mm512_permutexvar_epi8(s1, f),
			_mm512_permutexvar_epi8(s1, c), p);
		if (p < r->begin)
			return -1;
	}
	store(r->lo, lo0);
	store(r->hi, hi0);
	store(r->lo + 64, lo1);
	store(r->hi + 64, hi1);
	r->p = p;
	return 0;
}

/* ===== coding of symbols ================================================ */

struct lanes {
	__m512i even, odd; /* states of the even and the odd lanes */
};

VI __m512i divide(__m512i x, __m512i f, __m512i c, __m512i inv)
{
	__m512i q = _mm512_mulhi_epu16(x, inv);
	__m512i r = _mm512_sub_epi16(x, _mm512_mullo_epi16(q, f));
	const __mmask32 k = _mm512_cmpge_epu16_mask(r, f);

	q = _mm512_mask_add_epi16(q, k, q, _mm512_set1_epi16(1));
	r = _mm512_mask_sub_epi16(r, k, r, f);
	return _mm512_add_epi16(_mm512_slli_epi16(q, 8),
		_mm512_add_epi16(r, c));
}

VI uint8_t *push(struct lanes *x, __m512i f, __m512i c, __m512i inv_even,
	__m512i inv_odd, uint8_t *p)
{
	__m512i hi = merge_high(x->even, x->odd);
	__m512i lo = merge_low(x->even, x->odd);
	const __mmask64 k = _mm512_cmpge_epu8_mask(hi, f);

	store(p, _mm512_maskz_compress_epi8(k, lo));
	p += _mm_popcnt_u64(k);
	lo = _mm512_mask_mov_epi8(lo, k, hi);
	hi = _mm512_maskz_mov_epi8(~k, hi);
	x->even = divide(merge_low(lo, hi), low_bytes(f), low_bytes(c),
		inv_even);
	x->odd = divide(merge_high(lo, hi), _mm512_srli_epi16(f, 8),
		_mm512_srli_epi16(c, 8), inv_odd);
	return p;
}

VI uint8_t *push_few(struct lanes *x, const __m512i t[4], __m512i s,
	uint8_t *p)
{
	return push(x, _mm512_permutexvar_epi8(s, t[0]),
		_mm512_permutexvar_epi8(s, t[1]),
		_mm512_permutex2var_epi16(t[2], low_bytes(s), t[3]),
		_mm512_permutex2var_epi16(t[2], _mm512_srli_epi16(s, 8), t[3]),
		p);
}

VI uint8_t *push_many(struct lanes *x, const struct t256 t[4], __m512i s,
	uint8_t *p)
{
	const __m512i lo = look(&t[2], s), hi = look(&t[3], s);

	return push(x, look(&t[0], s), look(&t[1], s), merge_low(lo, hi),
		merge_high(lo, hi), p);
}

VI size_t finish(const struct lanes x[2], uint8_t *dst, const uint8_t *p)
{
	int i;

	for (i = 0; i < 2; i++) {
		store(dst + 64 * i, merge_low(x[i].even, x[i].odd));
		store(dst + 128 + 64 * i, merge_high(x[i].even, x[i].odd));
	}
	return (size_t)(p - dst);
}

V static size_t encode(const struct ml_fast_div *t, int contexts,
	const uint8_t *sym, size_t n, uint8_t *dst)
{
	const __m512i start = _mm512_set1_epi16(256);
	struct lanes x[2] = { { start, start }, { start, start } };
	uint8_t *p = dst + ML_FAST_STATES;

	if (contexts) {
		const struct t256 many[4] = {
			table(t->f), table(t->c), table(t->inv_lo),
			table(t->inv_hi)
		};

		for (; n; n -= 128) {
			p = push_many(&x[1], many, load(sym + n - 64), p);
			p = push_many(&x[0], many, load(sym + n - 128), p);
		}
	} else {
		const __m512i few[4] = {
			load(t->f), load(t->c), load(t->inv), load(t->inv + 32)
		};

		for (; n; n -= 128) {
			p = push_few(&x[1], few, load(sym + n - 64), p);
			p = push_few(&x[0], few, load(sym + n - 128), p);
		}
	}
	return finish(x, dst, p);
}

/* ===== planes =========================================================== */

static const uint8_t even_bytes[64] = {
	0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
	32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62,
	64, 66, 68, 70, 72, 74, 76, 78, 80, 82, 84, 86, 88, 90, 92, 94,
	96, 98, 100, 102, 104, 106, 108, 110, 112, 114, 116, 118, 120, 122,
	124, 126
};
static const uint8_t count[64] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
};
static const uint8_t zip_bytes[64] = { /* of two vectors */
	0, 64, 1, 65, 2, 66, 3, 67, 4, 68, 5, 69, 6, 70, 7, 71,
	8, 72, 9, 73, 10, 74, 11, 75, 12, 76, 13, 77, 14, 78, 15, 79,
	16, 80, 17, 81, 18, 82, 19, 83, 20, 84, 21, 85, 22, 86, 23, 87,
	24, 88, 25, 89, 26, 90, 27, 91, 28, 92, 29, 93, 30, 94, 31, 95
};
static const uint8_t three_of_four[64] = {
	0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18, 20,
	21, 22, 24, 25, 26, 28, 29, 30, 32, 33, 34, 36, 37, 38, 40, 41,
	42, 44, 45, 46, 48, 49, 50, 52, 53, 54, 56, 57, 58, 60, 61, 62
};
static const uint8_t three_and_one[64] = {
	0, 1, 2, 64, 3, 4, 5, 65, 6, 7, 8, 66, 9, 10, 11, 67,
	12, 13, 14, 68, 15, 16, 17, 69, 18, 19, 20, 70, 21, 22, 23, 71,
	24, 25, 26, 72, 27, 28, 29, 73, 30, 31, 32, 74, 33, 34, 35, 75,
	36, 37, 38, 76, 39, 40, 41, 77, 42, 43, 44, 78, 45, 46, 47, 79
};

VI __m512i ror8(__m512i v)
{
	return _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(v, 1),
		_mm512_set1_epi8(127)), _mm512_and_si512(
		_mm512_slli_epi16(v, 7), _mm512_set1_epi8(-128)));
}

VI __m512i rol8(__m512i v)
{
	return _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi16(v, 1),
		_mm512_set1_epi8(-2)), _mm512_and_si512(
		_mm512_srli_epi16(v, 7), _mm512_set1_epi8(1)));
}

/* o bits of each of 64 bytes, packed, and back. */
VI uint8_t *pack_odd(uint8_t *p, __m512i v, unsigned o)
{
	const uint64_t m = 0x0101010101010101u * ((1u << o) - 1);
	uint64_t b[8], x;
	int i;

	store(b, v);
	for (i = 0; i < 8; i++, p += o) {
		x = _pext_u64(b[i], m);
		memcpy(p, &x, 8);
	}
	return p;
}

VI __m512i unpack_odd(const uint8_t *p, unsigned o)
{
	const uint64_t m = 0x0101010101010101u * ((1u << o) - 1);
	uint64_t b[8], x;
	int i;

	for (i = 0; i < 8; i++, p += o) {
		memcpy(&x, p, 8);
		b[i] = _pdep_u64(x, m);
	}
	return load(b);
}

V static void split(const struct ml_fast_elem *e, const uint8_t *in, size_t n,
	uint8_t *val, uint8_t *raw, uint8_t *odd)
{
	const __m512i even = load(even_bytes), three = load(three_of_four);
	const __m512i others = _mm512_add_epi8(even, _mm512_set1_epi8(1));
	const __m512i low = _mm512_set1_epi8((char)((1 << e->o) - 1));
	const __m512i all = _mm512_set1_epi8((char)(255 >> e->o));
	const __m128i by = _mm_cvtsi32_si128(e->o);
	__m512i x, y;
	size_t i;
	int j;

	if (e->w == 8 || (e->w == 4 && e->o)) {
		ml_fast_code_scalar.split(e, in, n, val, raw, odd);
		return;
	}
	for (i = 0; i < n; i += 64, in += 64 * e->w) {
		if (e->w == 4) {
			for (j = 0; j < 4; j++, raw += 48) {
				x = load(in + 64 * j);
				if (e->ebits)
					x = _mm512_rol_epi32(x, 1);
				store16(val + i + 16 * j, _mm512_cvtepi32_epi8(
					_mm512_srli_epi32(x, 24)));
				store(raw, _mm512_permutexvar_epi8(three, x));
			}
			continue;
		}
		x = load(in);
		if (e->w == 2) {
			y = load(in + 64);
			if (e->ebits) {
				x = _mm512_shldi_epi16(x, x, 1);
				y = _mm512_shldi_epi16(y, y, 1);
			}
			store(raw, _mm512_permutex2var_epi8(x, even, y));
			raw += 64;
			x = _mm512_permutex2var_epi8(x, others, y);
		} else if (e->ebits) {
			x = rol8(x);
		}
		if (e->o) {
			odd = pack_odd(odd, _mm512_and_si512(x, low), e->o);
			x = _mm512_and_si512(_mm512_srl_epi16(x, by), all);
		}
		store(val + i, x);
	}
}

V static size_t map(uint8_t *val, size_t n, const uint8_t lut[256],
	uint8_t esc, uint8_t *list)
{
	const struct t256 t = table(lut);
	const __m512i last = _mm512_set1_epi8((char)esc);
	uint8_t *const start = list;
	__m512i v, s;
	__mmask64 k;
	size_t i;

	for (i = 0; i < n; i += 64) {
		v = load(val + i);
		s = look(&t, v);
		store(val + i, s);
		k = _mm512_cmpeq_epi8_mask(s, last);
		if (k) {
			store(list, _mm512_maskz_compress_epi8(k, v));
			list += _mm_popcnt_u64(k);
		}
	}
	return (size_t)(list - start);
}

/* 64 elements of which `top` are the upper bytes. */
VI void join(const struct ml_fast_planes *p, __m512i top, uint8_t *out)
{
	const __m512i zip = load(zip_bytes), three = load(three_and_one);
	__m512i x, y;
	int j;

	if (p->e.w == 1) {
		store(out, p->e.ebits ? ror8(top) : top);
	} else if (p->e.w == 2) {
		x = load(p->raw);
		y = _mm512_permutex2var_epi8(x, _mm512_add_epi8(zip,
			_mm512_set1_epi8(32)), top);
		x = _mm512_permutex2var_epi8(x, zip, top);
		if (p->e.ebits) {
			x = _mm512_shrdi_epi16(x, x, 1);
			y = _mm512_shrdi_epi16(y, y, 1);
		}
		store(out, x);
		store(out + 64, y);
	} else {
		for (j = 0; j < 4; j++) {
			x = _mm512_permutex2var_epi8(load(p->raw + 48 * j),
				_mm512_mask_add_epi8(three,
				0x8888888888888888u, three,
				_mm512_set1_epi8((char)(16 * j))), top);
			if (p->e.ebits)
				x = _mm512_ror_epi32(x, 1);
			store(out + 64 * j, x);
		}
	}
}

V static int planes(struct ml_fast_planes *p, const uint8_t *sym, uint8_t *out,
	size_t n)
{
	const __m512i lut = load(p->lut);
	const __m512i last = _mm512_set1_epi8((char)(p->nsym - 1));
	const __m512i all = _mm512_set1_epi8((char)(255 >> p->e.o));
	const __m128i by = _mm_cvtsi32_si128(p->e.o);
	size_t i, k64 = n & ~(size_t)63, k;
	__m512i s, v;
	__mmask64 m;

	if (p->e.w == 8 || (p->e.w == 4 && p->e.o))
		return ml_fast_scalar.planes(p, sym, out, n);
	for (i = 0; i < k64; i += 64, out += 64 * p->e.w) {
		s = load(sym + i);
		v = _mm512_permutexvar_epi8(s, lut);
		m = _mm512_cmpeq_epi8_mask(s, last);
		if (m) {
			k = (size_t)_mm_popcnt_u64(m);
			if (k > (size_t)(p->esc_end - p->esc))
				return -1;
			v = _mm512_mask_expand_epi8(v, m, _mm512_and_si512(
				load(p->esc), all));
			p->esc += k;
		}
		if (p->e.o) {
			v = _mm512_or_si512(_mm512_sll_epi16(v, by),
				unpack_odd(p->odd, p->e.o));
			p->odd += 8 * p->e.o;
		}
		join(p, v, out);
		p->raw += 64 * p->e.a;
	}
	return n > k64 ? ml_fast_scalar.planes(p, sym + k64, out, n - k64) : 0;
}

/* ===== residuals ======================================================== */

V static size_t zeros(unsigned w, const uint8_t *base, const uint8_t *in,
	int given, size_t n, uint8_t *bits)
{
	const int based = base && !given;
	const __m512i none = _mm512_setzero_si512();
	size_t i, differ = 0;
	uint64_t any, k;
	unsigned j, one;

	for (i = 0; i < n; i += 64) {
		for (j = 0, any = 0; j < w; j++, in += 64) {
			__m512i b = based ? load(base + i * w + 64 * j) : none;
			__m512i v = load(in);

			k = w == 1 ? _mm512_cmpneq_epi8_mask(v, b) :
				w == 2 ? _mm512_cmpneq_epi16_mask(v, b) :
				w == 4 ? _mm512_cmpneq_epi32_mask(v, b) :
				_mm512_cmpneq_epi64_mask(v, b);
			any |= k;
			differ += (size_t)_mm_popcnt_u64(k);
		}
		one = (unsigned)(i / 64 % 8);
		bits[i / 512] = (uint8_t)((one ? bits[i / 512] : 0) |
			(unsigned)!any << one);
	}
	return differ;
}

VI __m512i order16(__m512i v)
{
	return _mm512_xor_si512(v, _mm512_or_si512(_mm512_srai_epi16(v, 15),
		_mm512_set1_epi16((short)0x8000)));
}

VI __m512i unorder16(__m512i v)
{
	return _mm512_xor_si512(v, _mm512_or_si512(_mm512_xor_si512(
		_mm512_srai_epi16(v, 15), _mm512_set1_epi16(-1)),
		_mm512_set1_epi16((short)0x8000)));
}

VI __m512i order32(__m512i v)
{
	return _mm512_xor_si512(v, _mm512_or_si512(_mm512_srai_epi32(v, 31),
		_mm512_set1_epi32((int)0x80000000)));
}

VI __m512i unorder32(__m512i v)
{
	return _mm512_xor_si512(v, _mm512_or_si512(_mm512_xor_si512(
		_mm512_srai_epi32(v, 31), _mm512_set1_epi32(-1)),
		_mm512_set1_epi32((int)0x80000000)));
}

VI __m512i context16(const struct ml_fast_resid *r, __m512i b)
{
	const __m128i by = _mm_cvtsi32_si128(15 - r->e.ebits);
	const __m512i e = _mm512_and_si512(_mm512_srl_epi16(b, by),
		_mm512_set1_epi16((short)((1 << r->e.ebits) - 1)));

	return _mm512_min_epu16(_mm512_subs_epu16(_mm512_set1_epi16(
		(short)r->e0), e), _mm512_set1_epi16(7));
}

VI __m512i context32(const struct ml_fast_resid *r, __m512i b)
{
	__m512i e;

	if (r->e.ebits)
		e = _mm512_and_si512(_mm512_srli_epi32(b, 23),
			_mm512_set1_epi32(255));
	else
		e = _mm512_sub_epi32(_mm512_set1_epi32(32),
			_mm512_lzcnt_epi32(_mm512_xor_si512(b,
			_mm512_srai_epi32(b, 31))));
	e = _mm512_sub_epi32(_mm512_set1_epi32((int)r->e0), e);
	return _mm512_min_epi32(_mm512_max_epi32(e, _mm512_setzero_si512()),
		_mm512_set1_epi32(7));
}

/* Whether the kernels here serve these elements. */
VI int served(const struct ml_fast_resid *r)
{
	return (r->e.w == 2 && r->e.ebits && !r->m_any) || r->e.w == 4;
}

V static void contexts(const struct ml_fast_resid *r, const uint8_t *base,
	uint8_t *ctx, size_t n)
{
	const size_t k64 = n & ~(size_t)63;
	const __m512i even = load(even_bytes);
	size_t i;

	if (!served(r)) {
		ml_fast_scalar.contexts(r, base, ctx, n);
		return;
	}
	for (i = 0; i < k64 && r->e.w == 2; i += 64)
		store(ctx + i, _mm512_permutex2var_epi8(
			context16(r, load(base + 2 * i)), even,
			context16(r, load(base + 2 * i + 64))));
	for (; i < k64; i += 16)
		store16(ctx + i, _mm512_cvtepi32_epi8(context32(r,
			load(base + 4 * i))));
	if (n > k64)
		ml_fast_scalar.contexts(r, base + k64 * r->e.w, ctx + k64,
			n - k64);
}

/* 2 * class + next bit - 2, of 16 numbers; what is above 31 does not count. */
VI __m512i halves(__m512i q)
{
	const __m512 f = _mm512_cvt_roundepu32_ps(q,
		_MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
	const __m512i s = _mm512_sub_epi32(_mm512_srli_epi32(
		_mm512_castps_si512(f), 22), _mm512_set1_epi32(254));

	return _mm512_min_epi32(_mm512_max_epi32(s, _mm512_min_epu32(q,
		_mm512_set1_epi32(1))), _mm512_set1_epi32(31));
}

/* Of 32 numbers of 16 bits. */
VI __m512i halves16(__m512i q)
{
	const __m512i even = _mm512_and_si512(q, _mm512_set1_epi32(0xffff));

	return _mm512_or_si512(halves(even), _mm512_slli_epi32(
		halves(_mm512_srli_epi32(q, 16)), 16));
}

VI __m512i classes16(const struct ml_fast_resid *r, const uint8_t *base,
	const uint8_t *in, int given, uint8_t *left)
{
	const __m512i b = load(base);
	__m512i d = load(in), neg, mag;

	if (!given)
		d = _mm512_sub_epi16(order16(d), order16(b));
	neg = _mm512_srli_epi16(d, 15);
	mag = _mm512_abs_epi16(d);
	store(left, _mm512_or_si512(_mm512_slli_epi16(mag, 1), neg));
	return _mm512_or_si512(halves16(mag), _mm512_slli_epi16(
		context16(r, b), 5));
}

V static void classes(const struct ml_fast_resid *r, const uint8_t *base,
	const uint8_t *in, int given, size_t n, uint8_t *sym, uint8_t *left)
{
	const __m512i even = load(even_bytes);
	uint32_t ms[16] = {0};
	__m512i b, d, c, mag, m, x;
	size_t i;

	if (!served(r)) {
		ml_fast_code_scalar.classes(r, base, in, given, n, sym, left);
		return;
	}
	for (i = 0; i < n && r->e.w == 2; i += 64) {
		x = classes16(r, base + 2 * i, in + 2 * i, given,
			left + 2 * i);
		d = classes16(r, base + 2 * i + 64, in + 2 * i + 64, given,
			left + 2 * i + 64);
		store(sym + i, _mm512_permutex2var_epi8(x, even, d));
	}
	if (r->e.w == 2)
		return;
	for (i = 0; i < 8; i++)
		ms[i] = r->m[i];
	m = load(ms);
	for (i = 0; i < n; i += 16) {
		b = load(base + 4 * i);
		d = load(in + 4 * i);
		if (!given)
			d = r->e.ebits ? _mm512_sub_epi32(order32(d),
				order32(b)) : _mm512_sub_epi32(d, b);
		c = context32(r, b);
		mag = _mm512_abs_epi32(d);
		x = _mm512_srlv_epi32(mag, _mm512_permutexvar_epi32(c, m));
		x = _mm512_or_si512(halves(x), _mm512_slli_epi32(c, 5));
		store16(sym + i, _mm512_cvtepi32_epi8(x));
		store(left + 4 * i, _mm512_or_si512(_mm512_slli_epi32(mag, 1),
			_mm512_srli_epi32(d, 31)));
	}
}

V static size_t escapes(uint8_t *sym, size_t n, const uint8_t f[256])
{
	const struct t256 t = table(f);
	const __m512i low = _mm512_set1_epi8(31);
	size_t i, k = 0;
	__m512i s;

	for (i = 0; i < n; i += 64) {
		s = load(sym + i);
		const __m512i fs = look(&t, s);

		s = _mm512_or_si512(s, _mm512_maskz_mov_epi8(
			_mm512_testn_epi8_mask(fs, fs), low));
		store(sym + i, s);
		k += (size_t)_mm_popcnt_u64(_mm512_cmpeq_epi8_mask(
			_mm512_and_si512(s, low), low));
	}
	return k;
}

/* Masks of the bits that 32 elements of 16 bits, or 16 of 32, leave. */
VI __m512i masks16(__m512i sym)
{
	static const uint16_t t[32] = {
		0, 1, 1, 1, 3, 3, 7, 7, 15, 15, 31, 31, 63, 63, 127, 127,
		255, 255, 511, 511, 1023, 1023, 2047, 2047, 4095, 4095,
		8191, 8191, 16383, 16383, 32767, 0
	};

	return _mm512_permutexvar_epi16(sym, load(t));
}

struct low32 {
	__m512i m, a, b; /* by context; by symbol */
};

VI struct low32 low32(const struct ml_fast_resid *r)
{
	static const uint32_t t[32] = {
		1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7,
		8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 0
	};
	uint32_t ms[16] = {0};
	struct low32 l;
	int i;

	for (i = 0; i < 8; i++)
		ms[i] = r->m[i];
	l.m = load(ms);
	l.a = load(t);
	l.b = load(t + 16);
	return l;
}

/* x: context * 32 + symbol. */
VI __m512i masks32(const struct low32 *l, __m512i x)
{
	const __m512i s = _mm512_and_si512(x, _mm512_set1_epi32(31));
	const __m512i m = _mm512_permutexvar_epi32(_mm512_srli_epi32(x, 5),
		l->m);
	const __m512i one = _mm512_set1_epi32(1);
	const __m512i n = _mm512_add_epi32(m, _mm512_permutex2var_epi32(l->a,
		s, l->b));
	const __m512i none = _mm512_or_si512(s, m);
	__mmask16 k = _mm512_test_epi32_mask(none, none);

	k = _mm512_mask_cmpneq_epi32_mask(k, s, _mm512_set1_epi32(31));
	return _mm512_maskz_sub_epi32(k, _mm512_sllv_epi32(one, n), one);
}

VI __m512i wide16(const uint8_t *p) /* 32 bytes */
{
	__m256i v;

	memcpy(&v, p, sizeof v);
	return _mm512_cvtepu8_epi16(v);
}

VI __m512i wide32(const uint8_t *p) /* 16 bytes */
{
	__m128i v;

	memcpy(&v, p, sizeof v);
	return _mm512_cvtepu8_epi32(v);
}

/* For 64 elements, as 64-bit words. */
VI void masks(const struct ml_fast_resid *r, const struct low32 *l,
	const uint8_t *sym, uint64_t *m)
{
	const __m512i low = _mm512_set1_epi16(31);

	if (r->e.w == 2) {
		store(m, masks16(_mm512_and_si512(wide16(sym), low)));
		store(m + 8, masks16(_mm512_and_si512(wide16(sym + 32), low)));
		return;
	}
	store(m, masks32(l, wide32(sym)));
	store(m + 8, masks32(l, wide32(sym + 16)));
	store(m + 16, masks32(l, wide32(sym + 32)));
	store(m + 24, masks32(l, wide32(sym + 48)));
}

VI void pack_bits(const struct ml_fast_resid *r, unsigned words,
	const uint8_t *sym, const uint8_t *left, size_t n,
	struct ml_fast_bits *b)
{
	const struct low32 l = low32(r);
	uint64_t m[32], v, acc = b->acc;
	unsigned have = b->n, k, j;
	uint8_t *p = b->p;
	size_t i;

	for (i = 0; i < n; i += 64) {
		masks(r, &l, sym + i, m);
		for (j = 0; j < words; j++, left += 8) {
			memcpy(&v, left, 8);
			v = _pext_u64(v, m[j]);
			k = (unsigned)_mm_popcnt_u64(m[j]);
			acc |= v << have;
			memcpy(p, &acc, 8);
			k += have;
			p += k >> 3;
			if (words > 16 && k >= 64) /* have is above 0 */
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

V static void bits(const struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *left, size_t n, struct ml_fast_bits *b)
{
	if (!served(r))
		ml_fast_code_scalar.bits(r, sym, left, n, b);
	else if (r->e.w == 2) /* at most 56 bits of a word */
		pack_bits(r, 16, sym, left, n, b);
	else
		pack_bits(r, 32, sym, left, n, b);
}

/* Sums of the 64-bit lanes before each. */
VI __m512i sums_before(__m512i t)
{
	const __m512i none = _mm512_setzero_si512();

	t = _mm512_alignr_epi64(t, none, 7);
	t = _mm512_add_epi64(t, _mm512_alignr_epi64(t, none, 7));
	t = _mm512_add_epi64(t, _mm512_alignr_epi64(t, none, 6));
	return _mm512_add_epi64(t, _mm512_alignr_epi64(t, none, 4));
}

/* Where the bits of 32 elements begin, n of each, and in *pos where the last
 * ones end. All lie in the 64 bytes from *pos on. */
VI __m512i starts16(__m512i n, uint64_t *pos)
{
	static const uint64_t each[8] = {
		0x0100010001000100, 0x0908090809080908, 0x0100010001000100,
		0x0908090809080908, 0x0100010001000100, 0x0908090809080908,
		0x0100010001000100, 0x0908090809080908
	};
	__m512i a = _mm512_add_epi16(n, _mm512_slli_epi64(n, 16));

	a = _mm512_add_epi16(a, _mm512_slli_epi64(a, 32));
	a = _mm512_add_epi16(a, _mm512_shuffle_epi8(sums_before(
		_mm512_srli_epi64(a, 48)), load(each)));
	n = _mm512_add_epi16(_mm512_sub_epi16(a, n),
		_mm512_set1_epi16((short)(*pos & 7)));
	*pos += (uint64_t)_mm_extract_epi16(_mm512_extracti32x4_epi32(a, 3),
		7);
	return n;
}

/* The same of 16 elements. */
VI __m512i starts32(__m512i n, uint64_t *pos)
{
	__m512i a = _mm512_add_epi32(n, _mm512_slli_epi64(n, 32));

	a = _mm512_add_epi32(a, _mm512_shuffle_epi32(sums_before(
		_mm512_srli_epi64(a, 32)), (_MM_PERM_ENUM)0xa0));
	n = _mm512_add_epi32(_mm512_sub_epi32(a, n),
		_mm512_set1_epi32((int)(*pos & 7)));
	*pos += (uint64_t)(uint32_t)_mm_extract_epi32(
		_mm512_extracti32x4_epi32(a, 3), 3);
	return n;
}

/* The bits from each start on, at least 17. */
VI __m512i bits_at16(__m512i bytes, __m512i at)
{
	static const uint64_t first[8] = { /* of each 32-bit lane */
		0x0404040400000000, 0x0c0c0c0c08080808, 0x0404040400000000,
		0x0c0c0c0c08080808, 0x0404040400000000, 0x0c0c0c0c08080808,
		0x0404040400000000, 0x0c0c0c0c08080808
	};
	const __m512i next = _mm512_set1_epi32(0x03020100);
	const __m512i seven = _mm512_set1_epi32(7);
	__m512i half[2] = {
		_mm512_cvtepu16_epi32(_mm512_castsi512_si256(at)),
		_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(at, 1))
	}, i;
	int k;

	for (k = 0; k < 2; k++) {
		i = _mm512_shuffle_epi8(_mm512_srli_epi32(half[k], 3),
			load(first));
		i = _mm512_permutexvar_epi8(_mm512_add_epi8(i, next), bytes);
		half[k] = _mm512_srlv_epi32(i, _mm512_and_si512(half[k],
			seven));
	}
	return _mm512_permutex2var_epi16(half[0], _mm512_slli_epi16(
		_mm512_cvtepu8_epi16(_mm512_castsi512_si256(load(count))), 1),
		half[1]);
}

/* At least 33, of 16 elements. */
VI __m512i bits_at32(__m512i bytes, __m512i at)
{
	static const uint64_t first[8] = {
		0, 0x0808080808080808, 0, 0x0808080808080808,
		0, 0x0808080808080808, 0, 0x0808080808080808
	};
	const __m512i next = _mm512_set1_epi64(0x0706050403020100);
	const __m512i seven = _mm512_set1_epi64(7);
	__m512i half[2] = {
		_mm512_cvtepu32_epi64(_mm512_castsi512_si256(at)),
		_mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(at, 1))
	}, i;
	int k;

	for (k = 0; k < 2; k++) {
		i = _mm512_shuffle_epi8(_mm512_srli_epi64(half[k], 3),
			load(first));
		i = _mm512_permutexvar_epi8(_mm512_add_epi8(i, next), bytes);
		half[k] = _mm512_srlv_epi64(i, _mm512_and_si512(half[k],
			seven));
	}
	return _mm512_permutex2var_epi32(half[0], _mm512_slli_epi32(
		_mm512_cvtepu8_epi32(_mm512_castsi512_si128(load(count))), 1),
		half[1]);
}

/* Residuals of escapes, where they belong. */
VI __m512i escaped(struct ml_fast_resid *r, __m512i v, uint64_t k)
{
	uint8_t b[64];
	unsigned i;

	store(b, v);
	for (i = 0; k; i++, k >>= 1) {
		if (!(k & 1))
			continue;
		if (r->e.w == 2)
			memcpy(b + 2 * i, r->esc, 2);
		else
			memcpy(b + 4 * i, r->esc, 4);
		r->esc += r->e.w;
	}
	return load(b);
}

static const uint16_t tops[32] = { /* of the magnitude, by symbol */
	0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384,
	512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384,
	24576, 32768, 0
};

VI int resid16(struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *base, uint8_t *out, size_t n)
{
	static const uint16_t lens[32] = {
		0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9,
		10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 0
	};
	const __m512i len = load(lens), top = load(tops);
	const __m512i low = _mm512_set1_epi16(31), one = _mm512_set1_epi16(1);
	__m512i v, s, sign, bytes, at;
	uint64_t k;
	size_t i;

	for (i = 0; i < n; i += 32) {
		s = _mm512_and_si512(wide16(sym + i), low);
		bytes = load(r->bits + (r->pos >> 3));
		at = starts16(_mm512_permutexvar_epi16(s, len), &r->pos);
		if (r->pos > r->nbits)
			return -1;
		v = _mm512_and_si512(bits_at16(bytes, at), masks16(s));
		sign = _mm512_sub_epi16(_mm512_setzero_si512(),
			_mm512_and_si512(v, one));
		v = _mm512_or_si512(_mm512_permutexvar_epi16(s, top),
			_mm512_srli_epi16(v, 1));
		v = _mm512_sub_epi16(_mm512_xor_si512(v, sign), sign);
		k = _mm512_cmpeq_epi16_mask(s, low);
		if (k) {
			if ((size_t)(r->esc_end - r->esc) <
				2 * (size_t)_mm_popcnt_u64(k))
				return -1;
			v = escaped(r, v, k);
		}
		v = _mm512_add_epi16(order16(load(base + 2 * i)), v);
		store(out + 2 * i, unorder16(v));
	}
	return 0;
}

VI int resid32(struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *base, uint8_t *out, size_t n)
{
	const struct low32 l = low32(r);
	const __m512i low = _mm512_set1_epi32(31), one = _mm512_set1_epi32(1);
	__m512i v, s, m, sign, bytes, at, ends;
	uint64_t k;
	size_t i;

	for (i = 0; i < n; i += 16) {
		s = wide32(sym + i);
		m = _mm512_permutexvar_epi32(_mm512_srli_epi32(s, 5), l.m);
		ends = masks32(&l, s);
		s = _mm512_and_si512(s, low);
		bytes = load(r->bits + (r->pos >> 3));
		at = starts32(_mm512_sub_epi32(_mm512_set1_epi32(32),
			_mm512_lzcnt_epi32(ends)), &r->pos);
		if (r->pos > r->nbits)
			return -1;
		v = _mm512_and_si512(bits_at32(bytes, at), ends);
		sign = _mm512_sub_epi32(_mm512_setzero_si512(),
			_mm512_and_si512(v, one));
		/* the upper halves look up entry 0, which is 0 */
		v = _mm512_or_si512(_mm512_sllv_epi32(
			_mm512_permutexvar_epi16(s, load(tops)), m),
			_mm512_srli_epi32(v, 1));
		v = _mm512_sub_epi32(_mm512_xor_si512(v, sign), sign);
		k = _mm512_cmpeq_epi32_mask(s, low);
		if (k) {
			if ((size_t)(r->esc_end - r->esc) <
				4 * (size_t)_mm_popcnt_u64(k))
				return -1;
			v = escaped(r, v, k);
		}
		s = load(base + 4 * i);
		v = r->e.ebits ? unorder32(_mm512_add_epi32(order32(s), v)) :
			_mm512_add_epi32(s, v);
		store(out + 4 * i, v);
	}
	return 0;
}

V static int resid(struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *base, uint8_t *out, size_t n)
{
	const size_t k64 = n & ~(size_t)63;
	int err;

	if (!served(r))
		return ml_fast_scalar.resid(r, sym, base, out, n);
	err = r->e.w == 2 ? resid16(r, sym, base, out, k64) :
		resid32(r, sym, base, out, k64);
	return err || n == k64 ? err : ml_fast_scalar.resid(r, sym + k64,
		base + k64 * r->e.w, out + k64 * r->e.w, n - k64);
}

/* ===== the table ======================================================== */

static const struct ml_fast_kern decoder = {
	"avx512", symbols, planes, contexts, resid
};

static const struct ml_fast_code coder = {
	&decoder, split, map, zeros, classes, escapes, bits, encode
};

const struct ml_fast_code *ml_fast_code_avx512(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512vbmi2") &&
		__builtin_cpu_supports("avx512vbmi") &&
		__builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512cd") &&
		__builtin_cpu_supports("bmi2") ? &coder : NULL;
}

#else

const struct ml_fast_code *ml_fast_code_avx512(void)
{
	return NULL;
}

#endif
