/* SPDX-License-Identifier: MIT */
/*
 * The model of coder 1, ml-patch(5), written once for both directions.
 *
 * Includer defines, before the include,
 *	ML_RC			the type of its range coder
 *	unsigned rc_bit(ML_RC *rc, uint32_t p0, unsigned y)
 *				codes one bit, p0/65536 the chance of a 0
 *	uint32_t rc_raw(ML_RC *rc, unsigned n, uint32_t v)
 *				codes n <= 16 bits as they are
 * Both return the bit or bits: an encoder those that it was given, a decoder
 * those that it finds (it is given rubbish). So every function below takes a
 * value and returns the value, and encoder and decoder cannot disagree.
 *
 * Residuals are differences of bit patterns in monotone order, their class
 * (bit length) coded in the context of the base's exponent; measurements in
 * HACKING.md. The binary range coder is that of LZMA with 16-bit chances.
 */
#ifndef ML_MODEL_H
#define ML_MODEL_H

#include "mltype.h"
#if ML_DEC_CLASS >= 3
#include "mlseen.h"
#include "mltext.h"

/* What class full remembers beside its chances. */
struct ml_mixed {
	struct ml_mix mix;
	struct ml_text text;
	struct ml_bytes bytes;
	struct ml_cross cross; /* scratch for blocks from other types */
	struct ml_seen seen; /* the last: it is large, and few need it */
};
#endif

/* ----- layouts: how many chances a memory class spends, and where -------- */

/* For elements: how coarse the contexts are. */
struct ml_set {
	uint8_t zs, gs, ns; /* shift of the context: zero flag, class, bits */
	uint8_t tb; /* bits of the class tree */
	uint8_t kb; /* bits of the class as context of the next bits */
	uint8_t nb; /* next bits that are modelled */
	uint8_t es; /* shift of the context: exponents, bytes; 5: no trees */
};

#define ML_SET_ZERO(zs) (16u >> (zs))
#define ML_SET_CLASS(gs, tb) ((16u >> (gs)) * ((1u << (tb)) - 1))
#define ML_SET_NEXT(ns, kb, nb) \
	(((16u >> (ns)) << (kb)) * ((1u << (nb)) - 1))
#define ML_SET_EXP(es) ((16u >> (es)) * 255u)
/* The sign's chance comes first. */
#define ML_SET_SIZE(zs, gs, ns, tb, kb, nb, es) (1 + ML_SET_ZERO(zs) + \
	ML_SET_CLASS(gs, tb) + ML_SET_NEXT(ns, kb, nb) + ML_SET_EXP(es))

struct ml_layout {
	uint32_t nprob;
	uint32_t lit; /* first chance of the literals; 0: coded as I8 */
	uint32_t top; /* of the highest bits of numbers; 0: they are raw */
	uint32_t block; /* of blocks; 0: their types are not of this class */
	uint16_t op, flag, num, setf; /* first chances */
	uint16_t seti, pair; /* int set after the float set, next pair */
	uint8_t opctx; /* contexts of the op */
	uint8_t nkinds, depth; /* of numbers */
	uint8_t pairs; /* of sets */
	uint8_t litshift; /* of the last byte, as context of literals */
	uint8_t banks; /* 1: one rate; 2: a fast and a slow one */
	uint8_t mixed; /* bytes are mixed, mlmix.h */
	struct ml_set f, i;
};

#define ML_NFLAG 4
#define ML_NTOP 144u /* 3 for 6 kinds and 8 lengths of numbers */
#define ML_LAYOUT(OPC, NK, D, PAIRS, LITC, LSH, BANKS, MIX, BLK, FS, IS, F, I) \
	{ 7u * (OPC) + ML_NFLAG + (NK) * (D) + (PAIRS) * ((FS) + (IS)) + \
		255u * (LITC) + (BLK) + ((BLK) ? ML_NTOP : 0), \
	(LITC) ? 7u * (OPC) + ML_NFLAG + (NK) * (D) + \
		(PAIRS) * ((FS) + (IS)) : 0, \
	(BLK) ? 7u * (OPC) + ML_NFLAG + (NK) * (D) + \
		(PAIRS) * ((FS) + (IS)) + 255u * (LITC) + (BLK) : 0, \
	(BLK) ? 7u * (OPC) + ML_NFLAG + (NK) * (D) + \
		(PAIRS) * ((FS) + (IS)) + 255u * (LITC) : 0, \
	0, 7u * (OPC), 7u * (OPC) + ML_NFLAG, \
	7u * (OPC) + ML_NFLAG + (NK) * (D), (FS), (FS) + (IS), \
	(OPC), (NK), (D), (PAIRS), (LSH), (BANKS), (MIX), F, I }
#define ML_SETL(zs, gs, ns, tb, kb, nb, es) { zs, gs, ns, tb, kb, nb, es }

#define ML_MICRO_F(X) X(0, 0, 4, 5, 5, 3, 3)
#define ML_MICRO_I(X) X(0, 0, 4, 4, 4, 3, 5)
#define ML_FULL_F(X) X(0, 0, 0, 5, 5, 3, 2)
#define ML_FULL_I(X) X(0, 0, 4, 4, 4, 3, 1)

static const struct ml_layout ml_layouts[] = { /* from micro on */
	ML_LAYOUT(6, 6, 20, 1, 4, 6, 2, 0, 0, ML_MICRO_F(ML_SET_SIZE),
		ML_MICRO_I(ML_SET_SIZE), ML_MICRO_F(ML_SETL),
		ML_MICRO_I(ML_SETL)),
#if ML_DEC_CLASS >= 3
	ML_LAYOUT(6, 6, 20, 4, 0, 0, 2, 1, ML_B_NPROB, ML_FULL_F(ML_SET_SIZE),
		ML_FULL_I(ML_SET_SIZE), ML_FULL_F(ML_SETL), ML_FULL_I(ML_SETL)),
#endif
};

/* Bytes of the chances: per bank 16 bits each, and 8 for the slow one's age;
 * and of what mixes bytes. */
static inline size_t ml_layout_bytes(const struct ml_layout *l)
{
	size_t n = (size_t)l->nprob * (l->banks == 2 ? 5 : 2);

#if ML_DEC_CLASS >= 3
	if (l->mixed)
		n = (n + 7) / 8 * 8 + sizeof(struct ml_mixed);
#endif
	return n;
}

/* NULL: the class has another coder. */
static inline const struct ml_layout *ml_layout_of(int cls)
{
	return cls >= ML_MICRO && cls <= ML_DEC_CLASS ?
		&ml_layouts[cls - ML_MICRO] : NULL;
}

#ifdef ML_RC

#define ML_LAY(s) ((s)->lay)

/* So many chances from i on are as they were at first. */
static void model_clear(struct ml_state *s, uint32_t i, uint32_t n)
{
	const uint32_t end = i + n, slow = s->lay->nprob;
	uint8_t *age = s->lay->banks == 2 ?
		(uint8_t *)(s->prob + 2 * slow) : NULL;

	for (; i < end; i++) {
		s->prob[i] = 0x8000;
		if (!age)
			continue;
		s->prob[i + slow] = 0x8000;
		age[i] = 0;
	}
}

#if ML_DEC_CLASS >= 3
/* The same of those that a set or the blocks have used: their age tells. */
static void model_clear_used(struct ml_state *s, uint32_t i, uint32_t n)
{
	const uint8_t *age = (uint8_t *)(s->prob + 2 * s->lay->nprob);
	const uint32_t end = i + n;
	uint32_t k;
	uint64_t any;

	for (; i < end; i += k) {
		k = end - i < sizeof any ? end - i : (uint32_t)sizeof any;
		any = 0;
		memcpy(&any, age + i, k);
		if (any) {
			model_clear(s, i, k);
			ML_CLEARS(k * 5);
		}
	}
	ML_CLEARS(n / 8); /* for the look at them */
}

/* A reset after the first one, in class full: only what was used. */
static void model_clear_again(struct ml_state *s)
{
	const struct ml_layout *l = s->lay;
	unsigned i;

	model_clear(s, 0, l->setf);
	model_clear(s, l->top, ML_NTOP);
	ML_CLEARS((l->setf + ML_NTOP) * 5);
	for (i = 0; i < l->pairs; i++)
		if (s->used >> i & 1)
			model_clear_used(s, l->setf + (uint32_t)l->pair * i,
				l->pair);
	if (s->used & 128)
		model_clear_used(s, l->block, ML_B_NPROB);
}
#endif

static void model_reset(struct ml_state *s, void *arena,
	const struct ml_layout *l)
{
#if ML_DEC_CLASS >= 3
	/* a fresh state is all zeros */
	const int again = s->mix && s->prob == arena && s->lay == l;

	if (again)
		model_clear_again(s);
	else
#endif
	{
		s->prob = arena;
		s->lay = l;
		model_clear(s, 0, l->nprob);
	}
	s->disp[0] = s->disp[1] = 0;
	s->dist = 0;
	s->e0 = 0;
	s->scale_b = s->scale_t = 0;
	s->ratio_set = 0;
	s->type = s->set = s->k0 = s->c0 = s->tz = 0;
	s->op = ML_OP_LIT;
	s->k1 = s->k2 = 0;
	s->last = 0;
#if ML_DEC_CLASS >= 3
	s->avg = 0;
	s->seen = ML_SEEN_NOT;
	s->calm = 0;
	s->mix = NULL;
	if (l->mixed) {
		size_t at = ((size_t)l->nprob * 5 + 7) / 8 * 8;

		s->used = 0;
		s->mix = (struct ml_mixed *)(void *)((uint8_t *)arena + at);
		if (!again) {
			ml_mix_first(&s->mix->mix);
			ml_text_first(&s->mix->text);
			ml_bytes_first(&s->mix->bytes);
			ml_seen_first(&s->mix->seen);
		}
		ml_mix_reset(&s->mix->mix);
		ml_text_reset(&s->mix->text);
		ml_bytes_reset(&s->mix->bytes);
		ml_seen_reset(&s->mix->seen);
	}
#endif
}

/* 65536 / (n + 1.5): the slow bank learns at first as fast as counting. */
#define ML_AGE_MAX 126
#define ML_AGE_CALM 254
ML_INLINE uint32_t model_rate(unsigned age)
{
	static const uint16_t rate[ML_AGE_CALM + 1] = {
		43691, 26214, 18725, 14564, 11916, 10082, 8738, 7710, 6899,
		6242, 5699, 5243, 4855, 4520, 4228, 3972, 3745, 3542, 3361,
		3197, 3048, 2913, 2789, 2675, 2570, 2473, 2383, 2300, 2222,
		2149, 2081, 2016, 1956, 1900, 1846, 1796, 1748, 1702, 1659,
		1618, 1579, 1542, 1507, 1473, 1440, 1409, 1380, 1351, 1324,
		1298, 1273, 1248, 1225, 1202, 1181, 1160, 1140, 1120, 1101,
		1083, 1066, 1049, 1032, 1016, 1001, 986, 971, 957, 943, 930,
		917, 904, 892, 880, 868, 857, 846, 835, 824, 814, 804, 794, 785,
		776, 767, 758, 749, 741, 732, 724, 716, 708, 701, 694, 686, 679,
		672, 665, 659, 652, 646, 639, 633, 627, 621, 615, 610, 604, 599,
		593, 588, 583, 577, 572, 567, 563, 558, 553, 548, 544, 539, 535,
		531, 526, 522, 518, 514, 510, 506, 502, 498, 495, 491, 487, 484,
		480, 477, 473, 470, 466, 463, 460, 457, 454, 450, 447, 444, 441,
		438, 435, 433, 430, 427, 424, 421, 419, 416, 413, 411, 408, 406,
		403, 401, 398, 396, 394, 391, 389, 387, 384, 382, 380, 378, 376,
		373, 371, 369, 367, 365, 363, 361, 359, 357, 355, 353, 351, 350,
		348, 346, 344, 342, 340, 339, 337, 335, 334, 332, 330, 329, 327,
		325, 324, 322, 320, 319, 317, 316, 314, 313, 311, 310, 308, 307,
		306, 304, 303, 301, 300, 299, 297, 296, 295, 293, 292, 291, 289,
		288, 287, 286, 284, 283, 282, 281, 279, 278, 277, 276, 275, 274,
		272, 271, 270, 269, 268, 267, 266, 265, 264, 263, 262, 261, 260,
		259, 258, 257
	};
	return rate[age];
}

/* One bit by the chances f and g and their age; calm: they change less. */
ML_INLINE unsigned model_two(ML_RC *rc, uint16_t *f, uint16_t *g, uint8_t *age,
	unsigned calm, unsigned y)
{
	const uint32_t r = model_rate(*age), half = calm << 15;
	const unsigned by = 4 + calm;

	y = rc_bit(rc, calm ? ((uint32_t)*f + 7u * *g) >> 3 :
		((uint32_t)*f + *g) >> 1, y);
	*age = (uint8_t)(*age + (*age < (calm ? ML_AGE_CALM : ML_AGE_MAX)));
	if (y) {
		*f = (uint16_t)(*f - (*f >> by));
		*g = (uint16_t)(*g - ((*g * r + half) >> 16));
	} else {
		*f = (uint16_t)(*f + ((0xffffu - *f) >> by));
		*g = (uint16_t)(*g + (((0xffffu - *g) * r + half) >> 16));
	}
	return y;
}

/* Whether chances change less: those of elements alone of a kind that hardly
 * changes its ways. */
#if ML_DEC_CLASS >= 3
#define MODEL_CALM(s) ((s)->calm && (s)->op == ML_OP_ALONE)
#else
#define MODEL_CALM(s) 0
#endif

/* One bit by chance number i. */
ML_INLINE unsigned model_bit(ML_RC *rc, struct ml_state *s, uint32_t i,
	unsigned y)
{
	uint16_t *f = s->prob + i;

	if (ML_LAY(s)->banks == 2)
		return model_two(rc, f, f + ML_LAY(s)->nprob, (uint8_t *)
			(s->prob + 2 * ML_LAY(s)->nprob) + i,
			MODEL_CALM(s), y);
	y = rc_bit(rc, *f, y);
	if (y)
		*f = (uint16_t)(*f - (*f >> 5));
	else
		*f = (uint16_t)(*f + ((0xffffu - *f) >> 5));
	return y;
}

/* `bits` bits, most significant first, by the 2^bits - 1 chances from i. */
ML_INLINE unsigned model_tree(ML_RC *rc, struct ml_state *s, uint32_t i,
	unsigned bits, unsigned v)
{
	unsigned m = 1;

	while (bits--)
		m = m * 2 + model_bit(rc, s, i + m - 1, v >> bits & 1);
	return m;
}

/* As it is, up to 64 bits. */
ML_INLINE ml_word model_raw(ML_RC *rc, unsigned n, ml_word v)
{
	ml_word r = 0;
	unsigned at = 0;

	for (; n > 16; n -= 16, at += 16)
		r |= (ml_word)rc_raw(rc, 16, (uint32_t)(v >> at & 0xffff)) << at;
	if (n)
		r |= (ml_word)rc_raw(rc, n,
			(uint32_t)(v >> at & ((1u << n) - 1))) << at;
	return r;
}

ML_INLINE unsigned model_bits(ml_word v)
{
#if ML_DEC_CLASS >= 3 && defined(__GNUC__)
	return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
#else
	unsigned n = 0;

	while (v)
		n++, v >>= 1;
	return n;
#endif
}

/* ----- numbers, ops, addresses ------------------------------------------ */

enum { ML_N_COPY, ML_N_LIT, ML_N_DISP, ML_N_ELEM, ML_N_SELF, ML_N_DIST };

/* A number v < 2^63 (2^31): Elias-gamma of v + 1, its length in unary by
 * chances up to a depth, then in 6 raw bits. */
static inline ml_off model_num(ML_RC *rc, struct ml_state *s, unsigned kind,
	ml_off v)
{
	static const uint8_t fold[6] = { 0, 1, 2, 0, 1, 2 };
	const struct ml_layout *const l = ML_LAY(s);
	unsigned n = model_bits(v + 1) - 1, i;
	uint32_t at = l->num + (uint32_t)l->depth *
		(l->nkinds == 6 ? kind : fold[kind]);

	for (i = 0; i < l->depth; i++)
		if (!model_bit(rc, s, at + i, i < n))
			break;
	if (i == l->depth)
		i = (unsigned)model_raw(rc, 6, n);
	if (i >= sizeof(ml_off) * 8)
		i = sizeof(ml_off) * 8 - 1;
#if ML_DEC_CLASS >= 3
	if (l->top) { /* the highest bits under the leading one, too */
		unsigned k = i < 2 ? i : 2, m = 1, y;

		at = l->top + 3u * ((unsigned)kind * 8 + (i < 7 ? i : 7));
		for (n = i; k--;) {
			y = model_bit(rc, s, at + m - 1, (v + 1) >> --n & 1);
			m = m * 2 + y;
		}
		return (ml_off)(((ml_word)m << n | model_raw(rc, n, (v + 1) & (((ml_word)1 << n) - 1))) - 1);
	}
#endif
	return (ml_off)(((ml_word)1 << i | model_raw(rc, i, v + 1)) - 1);
}

static inline unsigned model_op(ML_RC *rc, struct ml_state *s, unsigned op)
{
	uint32_t at = ML_LAY(s)->op;

	if (ML_LAY(s)->opctx > 1)
		at += 7u * s->op;
	op = model_tree(rc, s, at, 3, op) & 7;
	s->op = (uint8_t)(op <= ML_OP_DESC ? op : 0);
	return op;
}

#if ML_DEC_CLASS >= 3
/* Elements of a row, and where in one the target begins. */
static inline void model_row(ML_RC *rc, uint32_t *row, uint32_t *first)
{
	const unsigned n = rc_raw(rc, 4, model_bits(*row));

	*row = n ? rc_raw(rc, n, *row) : 0;
	*first = n ? rc_raw(rc, n, *first) : 0;
	if (*row > ML_ROW_MAX)
		*row = 0;
}
#endif

/* Type, exponent of context 0 (or centre of the bytes), set, first class,
 * context where the classes begin to rise, trailing zero bits. */
static inline void model_desc(ML_RC *rc, struct ml_state *s)
{
#if ML_DEC_CLASS >= 3
	const unsigned type = s->type;

	s->type = (uint8_t)rc_raw(rc, 6, s->seen ? ML_TYPE_SEEN :
		ml_type_crossed(type) ? ML_TYPE_CROSS : type);
	s->k1 = s->k2 = 0;
	if (s->type == ML_TYPE_CROSS && s->mix) {
		s->seen = ML_SEEN_NOT;
		s->calm = 0;
		s->type = (uint16_t)(ML_TYPE_CROSSED |
			rc_raw(rc, 8, type & 255));
		s->set = (uint8_t)rc_raw(rc, 2, s->set);
		s->e0 = s->c0 = 15;
		s->k0 = s->tz = 0;
		return;
	}
	if (s->type == ML_TYPE_MIXED && s->mix) {
		struct ml_bytes *k = &s->mix->bytes;

		s->e0 = (uint16_t)(rc_raw(rc, 1, s->e0 >> 7) << 7);
		model_row(rc, &k->row, &k->first);
		s->seen = ML_SEEN_NOT;
		s->calm = 0;
		ml_bytes_forget(k);
		return;
	}
	if (s->type == ML_TYPE_SEEN && s->mix) {
		struct ml_seen *k = &s->mix->seen;

		s->type = (uint8_t)rc_raw(rc, 6, type);
		if (!ml_type_seen(s->type))
			s->type = ML_TYPE_SEEN; /* no type of elements */
		s->seen = (uint8_t)(1 + rc_raw(rc, 2, s->seen - 1u));
		if (s->seen > ML_SEEN_GRID)
			s->type = ML_TYPE_SEEN;
		model_row(rc, &k->row, &k->first);
		ml_seen_forget(k);
	} else {
		s->seen = ML_SEEN_NOT;
	}
#else
	s->type = (uint8_t)rc_raw(rc, 6, s->type);
	s->k1 = s->k2 = 0;
#endif
	s->e0 = (uint16_t)rc_raw(rc, 11, s->e0);
	s->set = (uint8_t)rc_raw(rc, 2, s->set);
	s->k0 = (uint8_t)rc_raw(rc, 5, s->k0);
	s->c0 = (uint8_t)rc_raw(rc, 4, s->c0);
	s->tz = (uint8_t)rc_raw(rc, 5, s->tz);
#if ML_DEC_CLASS >= 3
	if (s->mix)
		s->calm = (uint8_t)rc_raw(rc, 1, s->calm);
#endif
}

/* The displacement (base offset - target offset) of a COPY or DIFF: as the
 * last one, as the one before, one step on from both (where every record of a
 * file has grown by as much), or new. */
static inline ml_soff model_disp(ML_RC *rc, struct ml_state *s, ml_soff disp)
{
	uint32_t at = ML_LAY(s)->flag;
	ml_soff on = (ml_soff)(2 * (ml_off)s->disp[0] - (ml_off)s->disp[1]);
	ml_off d, z;

	if (!model_bit(rc, s, at, disp != s->disp[0]))
		return s->disp[0];
	if (!model_bit(rc, s, at + 1, disp != on)) {
		disp = on;
	} else if (!model_bit(rc, s, at + 2, disp != s->disp[1])) {
		disp = s->disp[1];
	} else {
		d = (ml_off)disp - (ml_off)s->disp[0];
		z = d << 1 ^ (0 - (d >> (sizeof d * 8 - 1)));
		z = model_num(rc, s, ML_N_DISP, z);
		d = z >> 1 ^ (0 - (z & 1));
		disp = (ml_soff)(d + (ml_off)s->disp[0]);
	}
	s->disp[1] = s->disp[0];
	s->disp[0] = disp;
	return disp;
}

/* The distance of a SELF, from 1. */
static inline ml_off model_dist(ML_RC *rc, struct ml_state *s, ml_off dist)
{
	if (model_bit(rc, s, ML_LAY(s)->flag + 3u, dist != s->dist))
		s->dist = model_num(rc, s, ML_N_DIST, dist - 1) + 1;
	return s->dist;
}

/* ----- elements --------------------------------------------------------- */

ML_INLINE uint32_t model_set(const struct ml_state *s, int isint)
{
	unsigned set = s->set < ML_LAY(s)->pairs ? s->set : 0;

	return ML_LAY(s)->setf + (uint32_t)ML_LAY(s)->pair * set +
		(isint ? ML_LAY(s)->seti : 0u);
}

/* The low n bits under the leading one (or of a mantissa): the first ones in
 * the context of the class k, the rest raw. */
ML_INLINE ml_word model_low(ML_RC *rc, struct ml_state *s,
	const struct ml_set *t, uint32_t at, unsigned c, unsigned k, unsigned n,
	ml_word v)
{
	unsigned m = 1, nb = t->nb, top = (1u << t->kb) - 1;
	ml_word r = 0;

	at += 1 + ML_SET_ZERO(t->zs) + ML_SET_CLASS(t->gs, t->tb);
	at += (((c >> t->ns) << t->kb) + (k < top ? k : top)) *
		((1u << nb) - 1);
	for (; nb && n; nb--) {
		unsigned y = (unsigned)(v >> --n & 1);

		y = model_bit(rc, s, at + m - 1, y);
		m = m * 2 + y;
		r = r * 2 + y;
	}
	return n ? r << n | model_raw(rc, n, v) : r;
}

/* A class, from 1: as distance from `first` in a tree, else in 6 raw bits. */
ML_INLINE unsigned model_class(ML_RC *rc, struct ml_state *s,
	const struct ml_set *t, uint32_t at, unsigned c, unsigned first,
	unsigned k)
{
	unsigned esc = (1u << t->tb) - 1, y;

	at += 1 + ML_SET_ZERO(t->zs) + (c >> t->gs) * esc;
	y = k >= first && k - first < esc ? k - first : esc;
	y = model_tree(rc, s, at, t->tb, y) & esc;
	return y < esc ? y + first : (unsigned)rc_raw(rc, 6, k - 1) + 1;
}

ML_INLINE ml_word model_mask(unsigned width)
{
	return ((ml_word)1 << (width - 1) << 1) - 1;
}

/* Monotone order of floats: negative ones complemented, and back. */
ML_INLINE ml_word model_map(unsigned width, ml_word v)
{
	ml_word sign = (ml_word)1 << (width - 1);

	return v & sign ? ~v & model_mask(width) : v | sign;
}

ML_INLINE ml_word model_unmap(unsigned width, ml_word v)
{
	ml_word sign = (ml_word)1 << (width - 1);

	return v & sign ? v & ~sign : ~v & model_mask(width);
}

/* The context, 0..15, of an element whose base is b. */
ML_INLINE unsigned model_ctx(const struct ml_state *s, unsigned width,
	unsigned ebits, ml_word b)
{
	unsigned e, k;

	if (ebits) {
		e = (unsigned)(b >> (width - 1 - ebits)) & ((1u << ebits) - 1);
		return e >= s->e0 ? 0 : s->e0 - e > 15 ? 15 : s->e0 - e;
	}
	if (width == 4)
		return (unsigned)b;
	if (width == 8)
		return (unsigned)(b - s->e0 + 128) >> 4 & 15;
	if (b >> (width - 1))
		k = 8, b = ~b & model_mask(width);
	else
		k = 0;
	e = model_bits(b) >> (width == 16 ? 1 : width == 32 ? 2 : 3);
	return k + (e > 7 ? 7 : e);
}

/* An element t of a DIFF with base b. */
ML_INLINE ml_word model_diff(ML_RC *rc, struct ml_state *s, unsigned width,
	unsigned ebits, ml_word b, ml_word t)
{
	const struct ml_set *set = ebits ? &ML_LAY(s)->f : &ML_LAY(s)->i;
	uint32_t at = model_set(s, !ebits);
	unsigned c = model_ctx(s, width, ebits, b), k, neg, first;
	ml_word mask = model_mask(width), r, m;

	if (ebits)
		b = model_map(width, b), t = model_map(width, t);
	r = (t - b) & mask;
	neg = (unsigned)(r >> (width - 1));
	m = (neg ? (0 - r) & mask : r) >> s->tz;
	if (!model_bit(rc, s, at + 1 + (c >> set->zs), m != 0)) {
		r = 0;
	} else {
		first = s->k0 + 1u + (ebits && c > s->c0 ? c - s->c0 : 0u);
		k = model_class(rc, s, set, at, c, first, model_bits(m));
		neg = (unsigned)rc_raw(rc, 1, neg);
		if (k > width)
			k = width;
		m = (ml_word)1 << (k - 1) |
			model_low(rc, s, set, at, c, k, k - 1, m);
		m <<= s->tz;
		r = neg ? 0 - m : m;
	}
	t = (b + r) & mask;
	if (!ebits)
		return t;
	t = model_unmap(width, t);
	if (width == 16 && ebits == 5) {
		s->scale_b = (uint16_t)model_unmap(width, b);
		s->scale_t = (uint16_t)t;
		s->ratio_set = 0;
	}
	return t;
}

/* A code t of a DIFF on the scale of its block, both u4 (offset 8) or i8. */
ML_INLINE unsigned model_requant(ML_RC *rc, struct ml_state *s, unsigned width,
	unsigned b, unsigned t)
{
	const struct ml_set *set = &ML_LAY(s)->i;
	unsigned off = width == 4 ? 8 : 0, mask = (1u << width) - 1;
	uint32_t at = model_set(s, 1);
	unsigned c, k, p, r, neg, m;

	if (!s->ratio_set) {
		s->ratio = ml_requant_ratio(s->scale_b, s->scale_t);
		s->ratio_set = 1;
	}
	p = ml_requant(s->ratio, width, (b - off) & mask, &c);
	r = (t - off - p) & mask;
	neg = r >> (width - 1);
	m = neg ? (0 - r) & mask : r;
	if (!model_bit(rc, s, at + 1 + (c >> set->zs), m != 0))
		return (p + off) & mask;
	k = model_class(rc, s, set, at, c, 1, model_bits(m));
	/* The nearer border is crossed more often. */
	neg = model_bit(rc, s, at, neg ^ (c < 8)) ^ (c < 8);
	if (k > width)
		k = width;
	m = 1u << (k - 1) |
		(unsigned)model_low(rc, s, set, at, c, k, k - 1, m);
	return (p + off + (neg ? 0 - m : m)) & mask;
}

/* The exponent of an element without a base: bit by bit where there is room
 * for that, else as distance below e0, or raw. */
ML_INLINE unsigned model_exponent(ML_RC *rc, struct ml_state *s,
	const struct ml_set *t, uint32_t at, unsigned c, unsigned ebits,
	unsigned e)
{
	unsigned esc = (1u << t->tb) - 1, n = ebits < 8 ? ebits : 8, k;

	at += 1 + ML_SET_ZERO(t->zs);
	if (t->es < 5) {
		at += ML_SET_CLASS(t->gs, t->tb) +
			ML_SET_NEXT(t->ns, t->kb, t->nb) + (c >> t->es) * 255u;
		k = model_tree(rc, s, at, n, e >> (ebits - n));
		k &= (1u << n) - 1;
		return k << (ebits - n) |
			(unsigned)model_raw(rc, ebits - n, e);
	}
	at += (c >> t->gs) * esc;
	k = e <= s->e0 && s->e0 - e < esc ? s->e0 - e : esc;
	k = model_tree(rc, s, at, t->tb, k) & esc;
	if (k < esc && k <= s->e0)
		return s->e0 - k;
	return (unsigned)rc_raw(rc, ebits, e);
}

static inline unsigned model_neighbours(const struct ml_state *s)
{
	unsigned c = (unsigned)s->k1 + s->k2;

	return c > 15 ? 15 : c;
}

static inline void model_remember(struct ml_state *s, unsigned k)
{
	s->k2 = s->k1;
	s->k1 = (uint8_t)(k > 15 ? 15 : k);
}

/* A byte of a tensor, bit by bit, where there is room for that: in trees of
 * its set, else in those of the literals. */
ML_INLINE unsigned model_byte(ML_RC *rc, struct ml_state *s,
	const struct ml_set *t, uint32_t at, unsigned c, unsigned v)
{
	if (t->es < 5)
		at += 1 + ML_SET_ZERO(t->zs) + ML_SET_CLASS(t->gs, t->tb) +
			ML_SET_NEXT(t->ns, t->kb, t->nb) + (c >> t->es) * 255u;
	else
		at = ML_LAY(s)->lit + (c >> 2) * 255u;
	return model_tree(rc, s, at, 8, v) & 255;
}

/* An element coded without a base: an integer as its distance from a centre,
 * a float by sign, exponent below e0 (its class) and mantissa. */
ML_INLINE ml_word model_alone(ML_RC *rc, struct ml_state *s,
	unsigned width, unsigned ebits, ml_word t)
{
	const struct ml_set *set = ebits ? &ML_LAY(s)->f : &ML_LAY(s)->i;
	uint32_t at = model_set(s, !ebits);
	unsigned c = model_neighbours(s), k, neg;
	unsigned e, mb;
	ml_word mask = model_mask(width), m, centre;

	if (!ebits) {
		centre = width == 4 ? 8 : width == 8 ? s->e0 : 0;
		t = (t - centre) & mask;
		if (width == 8 && (set->es < 5 || ML_LAY(s)->lit)) {
			t = model_byte(rc, s, set, at, c, (unsigned)t);
			m = t >> 7 ? 256 - t : t;
			model_remember(s, model_bits(m));
			return (t + centre) & mask;
		}
		neg = (unsigned)(t >> (width - 1));
		m = (neg ? (0 - t) & mask : t) >> s->tz;
		if (!model_bit(rc, s, at + 1 + (c >> set->zs), m != 0)) {
			model_remember(s, 0);
			return centre & mask;
		}
		k = model_class(rc, s, set, at, c, s->k0 + 1u, model_bits(m));
		neg = model_bit(rc, s, at, neg);
		if (k > width)
			k = width;
		m = (ml_word)1 << (k - 1) |
			model_low(rc, s, set, at, c, k, k - 1, m);
		m <<= s->tz;
		model_remember(s, width > 16 ? k >> 1 : k);
		return (centre + (neg ? 0 - m : m)) & mask;
	}
	if (!model_bit(rc, s, at + 1 + (c >> set->zs), t != 0)) {
		model_remember(s, 7);
		return 0;
	}
	mb = width - 1 - ebits;
	e = (unsigned)(t >> mb) & ((1u << ebits) - 1);
	e = model_exponent(rc, s, set, at, c, ebits, e);
	k = e <= s->e0 && s->e0 - e < 15 ? s->e0 - e + 1u : 15;
	neg = model_bit(rc, s, at, (unsigned)(t >> (width - 1)));
	m = (t & (((ml_word)1 << mb) - 1)) >> (s->tz < mb ? s->tz : mb);
	m = model_low(rc, s, set, at, c, k, s->tz < mb ? mb - s->tz : 0, m)
		<< (s->tz < mb ? s->tz : mb);
	model_remember(s, k);
	return (ml_word)neg << (width - 1) | (ml_word)e << mb | m;
}

#if ML_DEC_CLASS >= 3
/* A byte by the chances of contexts that were set. */
static unsigned model_mixed(ML_RC *rc, struct ml_mix *x, unsigned v)
{
	unsigned bit = 8 - x->bit, y;

	while (bit--) {
		y = rc_bit(rc, ml_mix_chance(x), v >> bit & 1);
		ml_mix_learn(x, y);
	}
	v = x->m & 255;
	x->x->seen[v >> 3] = (uint8_t)(x->x->seen[v >> 3] | 1u << (v & 7));
	return v;
}

/* An element t of type ML_TYPE_MIXED; b is the base's, if there is one. */
static unsigned model_mixed_elem(ML_RC *rc, struct ml_state *s, uint64_t at,
	unsigned b, unsigned t)
{
	struct ml_bytes *k = &s->mix->bytes;
	const unsigned from = k->alone ? s->e0 : b;
	unsigned v;

	ml_bytes_expect(k, &s->mix->mix, at, (b - s->e0) & 255);
	v = model_mixed(rc, &s->mix->mix, (t - from) & 255);
	ml_bytes_learn(k, v);
	t = (v + from) & 255;
	ml_text_learn(&s->mix->text, t);
	return t;
}
#endif

#if ML_DEC_CLASS >= 3
/* An element t of a grid: its highest bits, sign, next ones, and the rest. */
static ml_word model_grid(ML_RC *rc, struct ml_state *s, unsigned width,
	unsigned sign, ml_word t)
{
	const unsigned all = width - sign, tops = all < 8 ? all : 8;
	unsigned left = all - tops, n, top, neg = 0, low = 0;
	struct ml_seen *k = &s->mix->seen;
	struct ml_mix *x = &s->mix->mix;
	ml_word v;

	ml_grid_expect(&k->grid, x, k->column);
	top = model_mixed(rc, x, (unsigned)(t >> left) & ((1u << tops) - 1)) &
		((1u << tops) - 1);
	v = (ml_word)top << left;
	if (sign) {
		ml_grid_sign(&k->grid, x, k->column, top);
		neg = model_mixed(rc, x, (unsigned)(t >> all) & 1);
		v |= (ml_word)neg << all;
	}
	n = left > s->tz ? left - s->tz : 0;
	n = n < ML_GRID_LOW ? n : ML_GRID_LOW;
	if (n) {
		left -= n;
		ml_grid_low(&k->grid, x, k->column, top, n);
		low = model_mixed(rc, x, (unsigned)(t >> left) &
			((1u << n) - 1));
		v |= (ml_word)low << left;
		left -= s->tz;
		v |= model_raw(rc, left, t >> s->tz &
			(((ml_word)1 << left) - 1)) << s->tz;
	}
	ml_grid_was(&k->grid, k->column, top, neg, low);
	ml_seen_next(k);
	return v;
}

/* An element t without a base, by those before it: v is its place in the list,
 * for an encoder. */
static inline ml_word model_seen(ML_RC *rc, struct ml_state *s, unsigned width,
	unsigned ebits, ml_word t, unsigned v)
{
	struct ml_seen *k = &s->mix->seen;
	struct ml_mix *x = &s->mix->mix;
	const ml_word size = model_mask(width) >> (ebits != 0);
	unsigned n, high = 0;

	if (s->seen == ML_SEEN_LINE) {
		t = model_diff(rc, s, width, ebits, ml_seen_back(k), t);
		ml_seen_on(k, t);
		return t;
	}
	if (s->seen == ML_SEEN_GRID)
		return model_grid(rc, s, width, ebits != 0, t);
	n = ml_seen_expect(k);
	if (n > 8) {
		ml_seen_part(k, x, ML_SEEN_HIGH, 0, n - 8, 0);
		high = model_mixed(rc, x, v >> 8);
		n = 8;
	}
	ml_seen_part(k, x, ML_SEEN_LOW, high, n, 0);
	v = high << 8 | model_mixed(rc, x, v & 255);
	if (!v) {
		t = model_alone(rc, s, width, ebits, t);
		ml_seen_join(k, t);
	} else {
		const ml_word was = ml_seen_value(k, v);

		n = was > size;
		if (ebits) {
			ml_seen_part(k, x, ML_SEEN_SIGN, v, 1, n);
			n = model_mixed(rc, x, t > size);
			ml_seen_sign(k, n != (was > size));
		}
		t = (was & size) | (n ? size + 1 : 0);
		if (v <= k->n)
			k->value[v] = t;
	}
	ml_seen_place(k, v);
	return t;
}

/* A bit of a block: its numbers hardly change their ways. */
ML_INLINE unsigned model_calm(ML_RC *rc, struct ml_state *s, uint32_t i,
	unsigned y)
{
	uint16_t *f = s->prob + i;

	return model_two(rc, f, f + ML_LAY(s)->nprob, (uint8_t *)
		(s->prob + 2 * ML_LAY(s)->nprob) + i, 1, y);
}

/* A number v of w bits, by the chances of a tree. */
static unsigned model_calm_tree(ML_RC *rc, struct ml_state *s, uint32_t at,
	unsigned w, unsigned v)
{
	unsigned m = 1;

	while (w--)
		m = m * 2 + model_calm(rc, s, at + m - 1, v >> w & 1);
	return m;
}

/* A number v of a block: how far it is from pred, towards the nearer border
 * or not. */
static unsigned model_off(ML_RC *rc, struct ml_state *s, uint32_t at,
	unsigned width, unsigned pred, unsigned low, unsigned v, unsigned *off)
{
	const unsigned mask = (1u << width) - 1;
	unsigned neg = v < pred, m = neg ? pred - v : v - pred, k, n, y, i;

	*off = 0;
	if (!model_calm(rc, s, at, m != 0))
		return pred;
	neg = model_calm(rc, s, at + 1, neg ^ low) ^ low;
	k = model_bits(m); /* 1 to 8 */
	for (i = 1; i < width && model_calm(rc, s, at + 1 + i, i < k); i++)
		;
	k = i;
	y = 1;
	for (n = k - 1, i = 0; n && i < 3; i++) {
		n--;
		y = y * 2 + model_calm(rc, s, at + 9 + (k - 1) * 7 + y,
			m >> n & 1);
	}
	m = y << n | (n ? (unsigned)model_raw(rc, n, m & ((1u << n) - 1)) : 0);
	*off = m;
	return (neg ? pred - m : pred + m) & mask;
}

/* The next number of a block: of k->t for an encoder, into it for a decoder. */
static void model_block(ML_RC *rc, struct ml_state *s, struct ml_qblock *k)
{
	unsigned i, pred, low, row, width, v, off = 0;
	const enum ml_b_what what = ml_qblock_what(k, &i);
	uint8_t *t = what == ML_B_Q ? k->t.q : what == ML_B_S ? k->t.s :
		k->t.n;

	if (what == ML_B_D || what == ML_B_M) {
		uint16_t *h = what == ML_B_D ? &k->t.d : &k->t.m;

		v = what == ML_B_D ? k->b.d : k->b.m;
		*h = (uint16_t)(k->alone ? model_alone(rc, s, 16, 5, *h) :
			model_diff(rc, s, 16, 5, v, *h));
	} else if (k->alone) {
		width = ml_qblock_alone(k, what, i, &row);
		v = model_calm_tree(rc, s, ML_LAY(s)->block + row, width,
			t[i]) & ((1u << width) - 1);
		t[i] = (uint8_t)v;
		ml_qblock_was(k, what, width, v);
	} else {
		width = ml_qblock_expect(k, what, i, &pred, &low, &row);
		t[i] = (uint8_t)model_off(rc, s, ML_LAY(s)->block +
			row * ML_B_ROW, width, pred, low, t[i], &off);
	}
	ml_qblock_next(k, what, off);
	s->avg = k->avg;
}
#endif

/* An operation begins, at an offset of the target. */
ML_INLINE void model_begin(struct ml_state *s, unsigned op, uint64_t at)
{
#if ML_DEC_CLASS >= 3
	if (!s->mix)
		return;
	if (op == ML_OP_LIT)
		s->mix->text.run = 0;
	else if (s->type == ML_TYPE_MIXED && op >= ML_OP_DIFF)
		ml_bytes_begin(&s->mix->bytes, at, op == ML_OP_ALONE);
	else if (op >= ML_OP_DIFF) {
		if (s->seen && op == ML_OP_ALONE)
			ml_seen_begin(&s->mix->seen, at /
				ml_type_bytes(s->type));
		s->used = (uint8_t)(s->used | 1u << (s->set < s->lay->pairs ?
			s->set : 0) | (s->type >= ML_TYPE_BLOCK ? 128 : 0));
	}
#else
	(void)s, (void)op, (void)at;
#endif
}

/* An operation made n bytes, from `dist` bytes back if it is a SELF. */
ML_INLINE void model_made(struct ml_state *s, unsigned op, unsigned type,
	ml_off n, ml_off dist)
{
#if ML_DEC_CLASS >= 3
	if (!s->mix || op == ML_OP_LIT ||
		(op >= ML_OP_DIFF && type == ML_TYPE_MIXED))
		return;
	if (op == ML_OP_SELF)
		ml_text_again(&s->mix->text, n, dist);
	else
		ml_text_other(&s->mix->text, n);
#else
	(void)s, (void)op, (void)type, (void)n, (void)dist;
#endif
}

/* A byte of a LIT, at an offset of the target. */
ML_INLINE unsigned model_lit(ML_RC *rc, struct ml_state *s, ml_off at,
	unsigned v)
{
#if ML_DEC_CLASS >= 3
	if (s->mix) {
		ml_text_expect(&s->mix->text, &s->mix->mix, at);
		v = model_mixed(rc, &s->mix->mix, v);
		ml_text_learn(&s->mix->text, v);
		return v;
	}
#endif
	(void)at;
	if (ML_LAY(s)->lit) {
		v = model_tree(rc, s, ML_LAY(s)->lit +
			255u * (s->last >> ML_LAY(s)->litshift), 8, v) & 255;
		s->last = (uint8_t)v;
		return v;
	}
	{
		uint16_t e0 = s->e0;
		uint8_t tz = s->tz, k0 = s->k0;

		s->e0 = s->tz = s->k0 = 0;
		v = (unsigned)model_alone(rc, s, 8, 0, v);
		s->e0 = e0, s->tz = tz, s->k0 = k0;
	}
	return v;
}

#endif /* ML_RC */
#endif
