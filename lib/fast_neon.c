/* SPDX-License-Identifier: MIT */
/* Kernels of coder 3 for NEON: symbols by table look-ups, 16 states at a time;
 * the bytes that states take or give go one by one. Low bits of residuals are
 * left to the scalar kernels. */
#include "fast.h"

#if defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#include <string.h>

#define VI static inline __attribute__((always_inline))

/* Entry i of a table of 16, 32, 64, 128 or 256 bytes. */
VI uint8x16_t look(const uint8_t *t, unsigned n, uint8x16_t i)
{
	const uint8x16_t far = vdupq_n_u8(64);
	uint8x16_t v;
	unsigned k;

	if (n == 16)
		return vqtbl1q_u8(vld1q_u8(t), i);
	if (n == 32)
		return vqtbl2q_u8(vld1q_u8_x2(t), i);
	v = vqtbl4q_u8(vld1q_u8_x4(t), i);
	for (k = 64; k < n; k += 64) {
		i = vsubq_u8(i, far);
		v = vqtbx4q_u8(v, vld1q_u8_x4(t + k), i);
	}
	return v;
}

/* ===== decoding of symbols ============================================== */

/* 16 states take a step. */
VI void turn(uint8_t *lo, uint8_t *hi, uint8x16_t slot, uint8x16_t f,
	uint8x16_t c)
{
	const uint8x16_t h = vld1q_u8(hi), d = vsubq_u8(slot, c);
	const uint16x8_t a = vmlal_u8(vmovl_u8(vget_low_u8(d)),
		vget_low_u8(h), vget_low_u8(f));
	const uint16x8_t b = vmlal_high_u8(vmovl_high_u8(d), h, f);

	vst1q_u8(lo, vuzp1q_u8(vreinterpretq_u8_u16(a),
		vreinterpretq_u8_u16(b)));
	vst1q_u8(hi, vuzp2q_u8(vreinterpretq_u8_u16(a),
		vreinterpretq_u8_u16(b)));
}

VI void down(uint8x16_t *node, uint8x16_t *from, uint8x16_t *to,
	uint8x16_t last, uint8x16_t slot)
{
	const uint8x16_t k = vcgtq_u8(slot, last);

	*node = vsubq_u8(vaddq_u8(*node, *node), k);
	*from = vbslq_u8(k, last, *from);
	*to = vbslq_u8(k, *to, last);
}

VI uint8x16_t in_context(const struct ml_fast_tab *t, uint8x16_t node,
	uint8_t *lo, uint8_t *hi)
{
	const uint8x16_t slot = vld1q_u8(lo);
	uint8x16_t from = vdupq_n_u8(255), to = from;

	down(&node, &from, &to, look(t->node0, 16, node), slot);
	down(&node, &from, &to, look(t->node1, 16, node), slot);
	down(&node, &from, &to, look(t->node2, 32, node), slot);
	down(&node, &from, &to, look(t->node3, 64, node), slot);
	down(&node, &from, &to, look(t->node4, 128, node), slot);
	turn(lo, hi, slot, vsubq_u8(to, from), vaddq_u8(from, vdupq_n_u8(1)));
	return node;
}

VI uint8x16_t alone(const struct ml_fast_tab *t, uint8_t *lo, uint8_t *hi)
{
	const uint8x16_t slot = vld1q_u8(lo);
	const uint8x16_t s = look(t->map[0], 256, slot);

	turn(lo, hi, slot, look(t->f, 64, s), look(t->c, 64, s));
	return s;
}

VI unsigned wanting(const uint8_t *hi)
{
	uint8x16_t n = vdupq_n_u8(0);
	int k;

	for (k = 0; k < 4; k++)
		n = vsubq_u8(n, vceqzq_u8(vld1q_u8(hi + 16 * k)));
	return vaddlvq_u8(n);
}

static int symbols(struct ml_fast_rans *r, const struct ml_fast_tab *t,
	const uint8_t *ctx, uint8_t *sym, size_t n)
{
	const uint8_t *q;
	uint8_t *lo, *hi;
	unsigned k, none;
	size_t at;

	for (at = 0; at < n; at += ML_FAST_GROUP) {
		lo = r->lo + (at & (ML_FAST_LANES - 1));
		hi = r->hi + (at & (ML_FAST_LANES - 1));
		for (k = 0; k < ML_FAST_GROUP; k += 16)
			vst1q_u8(sym + at + k, ctx ? in_context(t,
				vld1q_u8(ctx + at + k), lo + k, hi + k) :
				alone(t, lo + k, hi + k));
		k = wanting(hi);
		if ((size_t)(r->p - r->begin) < k)
			return -1;
		r->p -= k;
		for (q = r->p, k = 0; k < ML_FAST_GROUP; k++) {
			none = !hi[k];
			hi[k] = none ? lo[k] : hi[k];
			lo[k] = none ? *q : lo[k];
			q += none;
		}
	}
	return 0;
}

/* ===== coding of symbols ================================================ */

VI uint16x8_t divide(uint16x8_t x, uint8x8_t f8, uint8x8_t c8, uint16x8_t inv)
{
	const uint16x8_t f = vmovl_u8(f8);
	uint16x8_t q = vcombine_u16(
		vshrn_n_u32(vmull_u16(vget_low_u16(x), vget_low_u16(inv)), 16),
		vshrn_n_u32(vmull_high_u16(x, inv), 16));
	uint16x8_t r = vmlsq_u16(x, q, f);
	const uint16x8_t k = vcgeq_u16(r, f);

	q = vsubq_u16(q, k);
	r = vsubq_u16(r, vandq_u16(k, f));
	return vaddq_u16(vshlq_n_u16(q, 8), vaddw_u8(r, c8));
}

/* 16 states take symbols. */
VI uint8_t *push(uint16_t *x, const struct ml_fast_div *t, unsigned n,
	uint8x16_t s, uint8_t *p)
{
	const uint8x16_t f = look(t->f, n, s), c = look(t->c, n, s);
	const uint8x16_t il = look(t->inv_lo, n, s);
	const uint8x16_t ih = look(t->inv_hi, n, s);
	const uint8x16_t a = vreinterpretq_u8_u16(vld1q_u16(x));
	const uint8x16_t b = vreinterpretq_u8_u16(vld1q_u16(x + 8));
	uint8x16_t lo = vuzp1q_u8(a, b), hi = vuzp2q_u8(a, b);
	const uint8x16_t out = vcgeq_u8(hi, f);
	uint8_t m[16], l[16];
	int i;

	vst1q_u8(m, out);
	vst1q_u8(l, lo);
	for (i = 0; i < 16; i++) {
		*p = l[i];
		p += m[i] & 1;
	}
	lo = vbslq_u8(out, hi, lo);
	hi = vbicq_u8(hi, out);
	vst1q_u16(x, divide(vreinterpretq_u16_u8(vzip1q_u8(lo, hi)),
		vget_low_u8(f), vget_low_u8(c),
		vreinterpretq_u16_u8(vzip1q_u8(il, ih))));
	vst1q_u16(x + 8, divide(vreinterpretq_u16_u8(vzip2q_u8(lo, hi)),
		vget_high_u8(f), vget_high_u8(c),
		vreinterpretq_u16_u8(vzip2q_u8(il, ih))));
	return p;
}

static size_t encode(const struct ml_fast_div *t, int contexts,
	const uint8_t *sym, size_t n, uint8_t *dst)
{
	uint16_t x[ML_FAST_LANES];
	uint8_t *p = dst + ML_FAST_STATES;
	unsigned i, k;

	for (i = 0; i < ML_FAST_LANES; i++)
		x[i] = 256;
	for (; n; n -= ML_FAST_GROUP) {
		const size_t from = n - ML_FAST_GROUP;

		k = (unsigned)from & (ML_FAST_LANES - 1);
		for (i = 0; i < ML_FAST_GROUP; i += 16)
			p = contexts ? push(x + k + i, t, 256,
				vld1q_u8(sym + from + i), p) :
				push(x + k + i, t, 64,
				vld1q_u8(sym + from + i), p);
	}
	for (i = 0; i < ML_FAST_LANES; i++) {
		dst[i] = (uint8_t)x[i];
		dst[ML_FAST_LANES + i] = (uint8_t)(x[i] >> 8);
	}
	return (size_t)(p - dst);
}

/* ===== planes =========================================================== */

static void split(const struct ml_fast_elem *e, const uint8_t *in, size_t n,
	uint8_t *val, uint8_t *raw, uint8_t *odd)
{
	uint16x8_t x, y;
	size_t i;

	if (e->w != 2 || !e->ebits || e->o) {
		ml_fast_code_scalar.split(e, in, n, val, raw, odd);
		return;
	}
	for (i = 0; i < n; i += 16, in += 32) {
		x = vreinterpretq_u16_u8(vld1q_u8(in));
		y = vreinterpretq_u16_u8(vld1q_u8(in + 16));
		x = vsriq_n_u16(vshlq_n_u16(x, 1), x, 15);
		y = vsriq_n_u16(vshlq_n_u16(y, 1), y, 15);
		vst1q_u8(raw + i, vuzp1q_u8(vreinterpretq_u8_u16(x),
			vreinterpretq_u8_u16(y)));
		vst1q_u8(val + i, vuzp2q_u8(vreinterpretq_u8_u16(x),
			vreinterpretq_u8_u16(y)));
	}
}

static size_t map(uint8_t *val, size_t n, const uint8_t lut[256],
	uint8_t esc, uint8_t *list)
{
	const uint8x16_t last = vdupq_n_u8(esc);
	uint8x16_t v, s;
	uint8_t old[16];
	size_t i, k = 0;
	unsigned j;

	for (i = 0; i < n; i += 16) {
		v = vld1q_u8(val + i);
		s = look(lut, 256, v);
		vst1q_u8(val + i, s);
		if (!vmaxvq_u8(vceqq_u8(s, last)))
			continue;
		vst1q_u8(old, v);
		for (j = 0; j < 16; j++)
			if (val[i + j] == esc)
				list[k++] = old[j];
	}
	return k;
}

static int planes(struct ml_fast_planes *p, const uint8_t *sym, uint8_t *out,
	size_t n)
{
	const uint8x16_t last = vdupq_n_u8((uint8_t)(p->nsym - 1));
	const size_t k16 = n & ~(size_t)15;
	uint8x16_t s, v, raw;
	uint16x8_t x, y;
	uint8_t b[16];
	size_t i;
	unsigned j;

	if (p->e.w != 2 || !p->e.ebits || p->e.o)
		return ml_fast_scalar.planes(p, sym, out, n);
	for (i = 0; i < k16; i += 16, out += 32, p->raw += 16) {
		s = vld1q_u8(sym + i);
		v = look(p->lut, 64, s);
		if (vmaxvq_u8(vceqq_u8(s, last))) {
			vst1q_u8(b, v);
			for (j = 0; j < 16; j++) {
				if (sym[i + j] != p->nsym - 1)
					continue;
				if (p->esc == p->esc_end)
					return -1;
				b[j] = *p->esc++;
			}
			v = vld1q_u8(b);
		}
		raw = vld1q_u8(p->raw);
		x = vreinterpretq_u16_u8(vzip1q_u8(raw, v));
		y = vreinterpretq_u16_u8(vzip2q_u8(raw, v));
		x = vsliq_n_u16(vshrq_n_u16(x, 1), x, 15);
		y = vsliq_n_u16(vshrq_n_u16(y, 1), y, 15);
		vst1q_u8(out, vreinterpretq_u8_u16(x));
		vst1q_u8(out + 16, vreinterpretq_u8_u16(y));
	}
	return n > k16 ? ml_fast_scalar.planes(p, sym + k16, out, n - k16) : 0;
}

/* ===== residuals ======================================================== */

static size_t escapes(uint8_t *sym, size_t n, const uint8_t f[256])
{
	const uint8x16_t low = vdupq_n_u8(ML_FAST_ESCAPE);
	size_t i, k = 0;
	uint8x16_t s;

	for (i = 0; i < n; i += 16) {
		s = vld1q_u8(sym + i);
		s = vorrq_u8(s, vandq_u8(low, vceqzq_u8(look(f, 256, s))));
		vst1q_u8(sym + i, s);
		k += vaddvq_u8(vshrq_n_u8(vceqq_u8(vandq_u8(s, low), low), 7));
	}
	return k;
}

static size_t zeros(unsigned w, const uint8_t *base, const uint8_t *in,
	int given, size_t n, uint8_t *bits)
{
	return ml_fast_code_scalar.zeros(w, base, in, given, n, bits);
}

static void contexts(const struct ml_fast_resid *r, const uint8_t *base,
	uint8_t *ctx, size_t n)
{
	ml_fast_scalar.contexts(r, base, ctx, n);
}

static void classes(const struct ml_fast_resid *r, const uint8_t *base,
	const uint8_t *in, int given, size_t n, uint8_t *sym, uint8_t *left)
{
	ml_fast_code_scalar.classes(r, base, in, given, n, sym, left);
}

static void bits(const struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *left, size_t n, struct ml_fast_bits *b)
{
	ml_fast_code_scalar.bits(r, sym, left, n, b);
}

static int resid(struct ml_fast_resid *r, const uint8_t *sym,
	const uint8_t *base, uint8_t *out, size_t n)
{
	return ml_fast_scalar.resid(r, sym, base, out, n);
}

/* ===== the table ======================================================== */

static const struct ml_fast_kern decoder = {
	"neon", symbols, planes, contexts, resid
};

static const struct ml_fast_code coder = {
	&decoder, split, map, zeros, classes, escapes, bits, encode
};

const struct ml_fast_code *ml_fast_code_neon(void)
{
	return &coder;
}

#else

const struct ml_fast_code *ml_fast_code_neon(void)
{
	return NULL;
}

#endif
