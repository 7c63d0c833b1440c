/* SPDX-License-Identifier: MIT */
/*
 * The model of coder 2, ml-patch(5), written once for both directions as that
 * of coder 1 is; see mlmodel.h for what the includer defines. It is made for
 * the smallest machines: few chances, one rate, few decisions an element.
 *
 * Which classes (bit lengths) an element of a context can have at most, and
 * which contexts share chances, is not learnt but told by the encoder, in a
 * descriptor. From there downwards a class is found in unary: mostly the first
 * or second step, as residuals fill their range.
 */
#ifndef ML_NANO_H
#define ML_NANO_H

#include "mltype.h"

/* Chances: of operations, of numbers, and of elements. */
#define ML_NANO_OP 0
#define ML_NANO_FLAG 7
#define ML_NANO_NUM (ML_NANO_FLAG + 3)
#define ML_NANO_DEPTH 8 /* of the unary part of a number */
#define ML_NANO_ZERO (ML_NANO_NUM + 3 * ML_NANO_DEPTH) /* by context */
#define ML_NANO_GROUP (ML_NANO_ZERO + 16) /* of contexts; each of them has: */
#define ML_NANO_STEPS 8 /* steps down to the class */
#define ML_NANO_NEXT 4 /* trees of the next two bits, by steps */
#define ML_NANO_STRIDE (ML_NANO_STEPS + 3 * ML_NANO_NEXT)
#define ML_NANO_SIGN (ML_NANO_GROUP + 4 * ML_NANO_STRIDE)
#if ML_HAS_REQUANT
#define ML_NANO_NPROB (ML_NANO_SIGN + 1)
#else
#define ML_NANO_NPROB ML_NANO_SIGN
#endif

#ifdef ML_RC


static inline void nano_reset(struct ml_nano *s, void *arena)
{
	unsigned i;

	memset(s, 0, sizeof *s);
	s->prob = arena;
	for (i = 0; i < ML_NANO_NPROB; i++)
		s->prob[i] = 0x8000;
	for (i = 0; i < 16; i++) /* bytes, until told otherwise */
		s->desc[1].ctx[i] = (uint8_t)(7 << 2 | i >> 2);
}

ML_HOT unsigned nano_bit(ML_RC *rc, uint16_t *f, unsigned y)
{
	uint32_t p = *f;

	y = rc_bit(rc, p, y);
	*f = (uint16_t)(y ? p - (p >> 5) : p + ((0xffff - p) >> 5));
	return y;
}

/* The same where speed does not matter. */
ML_SIDE unsigned nano_slow(ML_RC *rc, uint16_t *f, unsigned y)
{
	return nano_bit(rc, f, y);
}

static inline unsigned nano_bits(ml_word v)
{
	unsigned n = 0;

	for (; v; v >>= 1)
		n++;
	return n;
}

/* As it is, up to a word. */
ML_INLINE ml_word nano_raw(ML_RC *rc, unsigned n, ml_word v)
{
	ml_word r = 0;
	unsigned at = 0;

	for (; n > 16; n -= 16, at += 16)
		r |= (ml_word)rc_raw(rc, 16, (uint32_t)(v >> at & 0xffff)) << at;
	return r | (ml_word)rc_raw(rc, n,
		(uint32_t)(v >> at & ((1u << n) - 1))) << at;
}

/* ----- operations ------------------------------------------------------- */

static inline unsigned nano_op(ML_RC *rc, struct ml_nano *s, unsigned op)
{
	unsigned m = 1, i;

	for (i = 3; i--;)
		m = m * 2 + nano_slow(rc, s->prob + ML_NANO_OP - 1 + m,
			op >> i & 1);
	return m & 7;
}

/* A number v from 0: Elias-gamma of v + 1, its length in unary. */
static inline ml_off nano_num(ML_RC *rc, struct ml_nano *s, unsigned kind,
	ml_off v)
{
	uint16_t *f = s->prob + ML_NANO_NUM + kind * ML_NANO_DEPTH;
	unsigned n = nano_bits((ml_word)v + 1), i = 0;

	while (i < sizeof(ml_off) * 8 - 1 && nano_slow(rc, f, i + 1 < n)) {
		i++;
		f += i < ML_NANO_DEPTH;
	}
	return (ml_off)(((ml_word)1 << i |
		nano_raw(rc, i, (ml_word)v + 1)) - 1);
}

/* The distance of a SELF, else the displacement (base offset - target offset):
 * as last time; or moved on as it moved before, or by something else. */
static inline ml_off nano_arg(ML_RC *rc, struct ml_nano *s, unsigned self,
	ml_off v)
{
	uint16_t *f = s->prob + ML_NANO_FLAG + self;
	ml_off d = v - s->arg[self];

	if (!nano_slow(rc, f, d != 0))
		return s->arg[self];
	if (self) {
		d = nano_num(rc, s, 2, v - 1) + 1 - s->arg[1];
	} else if (nano_slow(rc, f + 2, d != s->moved)) {
		d = d << 1 ^ (0 - (d >> (sizeof d * 8 - 1)));
		d = nano_num(rc, s, 2, d);
		s->moved = d >> 1 ^ (0 - (d & 1));
		d = s->moved;
	} else {
		d = s->moved;
	}
	return s->arg[self] += d;
}

#if ML_DEC_CASTS
/* What is told of each cast to codes. */
static inline void nano_scale(ML_RC *rc, struct ml_nano *s, uint32_t scale,
	int zero)
{
	s->scale = (uint32_t)nano_raw(rc, 32, scale);
	if (rc_raw(rc, 1, zero != s->zero)) {
		zero = (int)rc_raw(rc, 10, (unsigned)zero & 0x3ff);
		s->zero = (int16_t)((zero ^ 0x200) - 0x200);
	}
}
#endif

/* A descriptor. Classes are told as differences to the context before. */
static inline void nano_desc(ML_RC *rc, struct ml_desc *d)
{
	unsigned i, k, top = 0, group = 0;

	k = rc_raw(rc, 6, ml_type_told(d->type));
#if ML_DEC_CASTS
	if (k - ML_TYPE_CAST < ML_TYPE_CAST_N)
		k = ML_TYPE_KEPT + 16 * (k - ML_TYPE_CAST) +
			rc_raw(rc, 4, d->type & 15u);
#endif
	d->type = (uint8_t)k;
	d->s = (uint8_t)(rc_raw(rc, 6, d->s) & (ML_W - 1));
	d->tz = (uint8_t)rc_raw(rc, 5, d->tz);
	d->h = (int16_t)rc_raw(rc, 12, (unsigned)d->h & 0xfff);
	d->h = (int16_t)((d->h ^ 0x800) - 0x800);
	for (i = 0; i < 16; i++) {
		k = (d->ctx[i] >> 2) - top + 1;
		k = (unsigned)rc_raw(rc, 2, k < 3 ? k : 3);
		top += k - 1;
		if (k == 3)
			top = rc_raw(rc, 6, d->ctx[i] >> 2);
		if (rc_raw(rc, 1, group != (d->ctx[i] & 3u)))
			group = rc_raw(rc, 2, d->ctx[i] & 3u);
		d->ctx[i] = (uint8_t)((top & (ML_W - 1)) << 2 | group);
	}
}

/* ----- elements --------------------------------------------------------- */

/* A magnitude m, and *neg: whether it is 0; steps from the highest class that
 * its context has down to its own; the bits below the leading one, of which two
 * are modelled; and the sign, by a chance if there is one for it. *down is how
 * many steps it took, and one for each class where m is 0. */
ML_HOT ml_word nano_value(ML_RC *rc, uint16_t *prob, unsigned c,
	unsigned entry, uint16_t *sign, ml_word m, unsigned *neg,
	unsigned *down)
{
	const unsigned top = (entry >> 2) + 1;
	uint16_t *f = prob + ML_NANO_ZERO + c;
	uint16_t *g = prob + ML_NANO_GROUP +
		(entry & 3) * (unsigned)ML_NANO_STRIDE;
	uint16_t *const last = g + ML_NANO_STEPS - 1;
	unsigned want = nano_bits(m), k = top + 1, n, i, j;
	ml_word raw;

	while (nano_bit(rc, f, want && want < k)) {
		if (--k == 1)
			break;
		f = g;
		g += g < last;
	}
	*down = k > top ? top : top - k;
	if (k > top)
		return 0;
	f = last + (*down < ML_NANO_NEXT ? *down : ML_NANO_NEXT - 1) * 3;
	for (n = k - 1, i = 2, j = 1; i && n; i--) {
		n--;
		j = j * 2 + nano_bit(rc, f + j, (unsigned)(m >> n) & 1);
	}
	if (sign) {
		*neg = nano_bit(rc, sign, *neg);
		raw = nano_raw(rc, n, m);
	} else {
		raw = nano_raw(rc, n + 1, m << 1 | *neg);
		*neg = (unsigned)raw & 1;
		raw >>= 1;
	}
	return (ml_word)j << n | (raw & (((ml_word)1 << n) - 1));
}

/* Monotone order of floats, for words with the sign as their highest bit. */
ML_HOT ml_word nano_map(ml_word v)
{
	return v ^ ((ml_word)((ml_sword)v >> (ML_W - 1)) |
		(ml_word)1 << (ML_W - 1));
}

ML_HOT ml_word nano_unmap(ml_word v)
{
	return v ^ ((ml_word)((ml_sword)~v >> (ML_W - 1)) |
		(ml_word)1 << (ML_W - 1));
}

/* An element t of w bits, the highest one the highest of the word, and b its
 * base, which has them there, too. Without a base an integer is a distance
 * from a centre, and a float's magnitude one below a bound. */
ML_HOT ml_word nano_element(ML_RC *rc, struct ml_nano *s, unsigned slot,
	int alone, int isfloat, unsigned w, ml_word b, ml_word t)
{
	const struct ml_desc *d = &s->desc[slot];
	const unsigned up = (unsigned)ML_W - w;
	unsigned c, neg, down;
	ml_word m;

	if (alone) {
		c = (unsigned)s->k1 + s->k2;
		b = (ml_word)(ml_sword)d->h << d->s << up;
	} else {
		c = isfloat ? (unsigned)(b << 1 >> up >> d->s) :
			(unsigned)((ml_sword)b >> up >> d->s);
		c = (unsigned)d->h - c;
		if (isfloat)
			b = nano_map(b), t = nano_map(t);
	}
	if (c > 15)
		c = 15;
	if (alone && isfloat) {
		neg = (unsigned)(t >> (ML_W - 1));
		m = t ? (b - t) << 1 >> 1 : 0;
	} else {
		/* A word's low bits are rubbish where it was complemented. */
		m = ((t >> up) - (b >> up)) << up;
		neg = (unsigned)(m >> (ML_W - 1));
		m = neg ? 0 - m : m;
	}
	m = nano_value(rc, s->prob, c, d->ctx[c], NULL,
		m >> up >> d->tz, &neg, &down);
	m = m << d->tz << up;
	if (alone) {
		s->k2 = s->k1;
		s->k1 = (uint8_t)down;
		if (isfloat)
			return m ? (b - m) << 1 >> 1 |
				(ml_word)neg << (ML_W - 1) : 0;
	}
	t = b + (neg ? 0 - m : m);
	return isfloat ? nano_unmap(t) : t;
}

#if ML_HAS_REQUANT
/* A code t of w bits on the scale that the last f16 before it is, both u4
 * (offset 8) or i8, as numbers. */
static unsigned nano_requant(ML_RC *rc, struct ml_nano *s, unsigned slot,
	unsigned w, unsigned b, unsigned t)
{
	const unsigned off = w == 4 ? 8 : 0, mask = (1u << w) - 1;
	unsigned c, p, r, neg, down, m;

	p = ml_requant(ml_requant_ratio(s->scale_b, s->scale_t), w,
		(b - off) & mask, &c);
	r = (t - off - p) & mask;
	neg = r >> (w - 1);
	m = neg ? (0 - r) & mask : r;
	neg ^= c < 8; /* the nearer border is crossed more often */
	m = (unsigned)nano_value(rc, s->prob, c, s->desc[slot].ctx[c], s->prob + ML_NANO_SIGN, m, &neg, &down);
	neg ^= c < 8;
	return (p + off + (neg ? 0 - m : m)) & mask;
}
#endif

#endif /* ML_RC */
#endif
