/* SPDX-License-Identifier: MIT */
/* Operations and element types of ml-patch(5): what all coders share. */
#ifndef ML_TYPE_H
#define ML_TYPE_H

#include "mldec.h"

#ifdef ML_DEC_OFF32
typedef uint32_t ml_word; /* no 64-bit elements */
typedef int32_t ml_sword;
#else
typedef uint64_t ml_word;
typedef int64_t ml_sword;
#endif
#define ML_W (sizeof(ml_word) * 8)

/* ----- operations ------------------------------------------------------- */

enum ml_op {
	ML_OP_LIT = 0, /* bytes */
	ML_OP_COPY = 1, /* bytes of the base */
	ML_OP_SELF = 2, /* bytes of the target, already made */
	ML_OP_DIFF = 3, /* elements as residuals against the base */
	ML_OP_ALONE = 4, /* elements without a base */
	ML_OP_DESC = 5 /* sets the descriptor (coder 1 only) */
};

/* ----- element types ---------------------------------------------------- */

/* The types whose unit is an element: all that small devices know. */
#define ML_NSIMPLE 12
#define ML_HOW_BYTES 15u
#define ML_HOW_FLOAT 16u
#define ML_HOW_PAIR 32u
static const uint8_t ml_type_how[ML_NSIMPLE] = {
	1, 1, 2, 4, 8, 16 | 2, 16 | 2, 16 | 4, 16 | 8, 16 | 1, 16 | 1, 32 | 1
};

/* Types 53 to 55 of coder 2 are casts: to floats, blocks, codes. With what they
 * are cast from and to they are kept as 64 + 16 * (type - 53) + 4 * to + from,
 * numbers as in mlcast.h. */
#define ML_TYPE_CAST 53
#define ML_TYPE_CAST_N 3
#define ML_TYPE_KEPT 64
#define ML_TYPE_KEPT_END (ML_TYPE_KEPT + 16 * ML_TYPE_CAST_N)
#define ML_TYPE_CODES (ML_TYPE_KEPT + 32) /* from here on with a scale */
#define ML_CAST_FROM(type) ((type) & 3u)
#define ML_CAST_FROM_BYTES(type) ((type) & 3u ? 2u : 4u)

/* Type 57 of coder 1, class full: blocks from weights of another type. With
 * both it is kept as 256 + 16 * form + from, numbers as in mlcross.h. */
#define ML_TYPE_CROSS 57
#define ML_TYPE_CROSSED 256u
#if ML_DEC_CLASS >= 3
#define ML_CROSS_FORM(type) ((enum ml_bform)((type) >> 4 & 15))
#define ML_CROSS_FROM(type) ((type) & 15u)
#define ml_type_crossed(type) ((type) >= ML_TYPE_CROSSED)
static inline int ml_cross_known(unsigned type)
{
	return ML_CROSS_FORM(type) < ML_NBFORM &&
		ML_CROSS_FROM(type) < ML_X_NFROM &&
		ML_CROSS_FROM(type) != ML_X_FORM + (type >> 4 & 15);
}
#else
#define ml_type_crossed(type) 0
#endif

/* The type of the elements that are made, 255 for none; and the number that a
 * descriptor tells. */
#if ML_DEC_CASTS
static inline unsigned ml_type_made(unsigned type)
{
	static const uint8_t to[4 * ML_TYPE_CAST_N] = {
		7, 5, 6, 255, 36, 35, 255, 255, 1, 1, 255, 255
	};

	return type < ML_TYPE_KEPT || ml_type_crossed(type) ? type :
		to[(type - ML_TYPE_KEPT) >> 2];
}

static inline unsigned ml_type_told(unsigned type)
{
	return type < ML_TYPE_KEPT ? type :
		ml_type_crossed(type) ? ML_TYPE_CROSS : ML_TYPE_CAST + ((type - ML_TYPE_KEPT) >> 4);
}
#else
#define ml_type_made(type) (type)
#define ml_type_told(type) (type)
#endif

#if ML_DEC_CLASS < 2
#define ML_NTYPE ML_NSIMPLE
static inline unsigned ml_type_bytes(unsigned type)
{
	return ml_type_how[type] & ML_HOW_BYTES;
}
#else

enum ml_kind {
	ML_K_U4, /* two in a byte, low half first */
	ML_K_I8, ML_K_I16, ML_K_I32, ML_K_I64,
	ML_K_R4, ML_K_R8, /* codes of the scale that the last f16 is */
	ML_K_F8E4, ML_K_F8E5, ML_K_F16, ML_K_BF16, ML_K_F32, ML_K_F64
};
#define ML_K_FLOAT ML_K_F8E4 /* this one and all after it */

/* A block is up to four fields of equal elements. */
struct ml_type {
	uint8_t nfield;
	struct {
		uint8_t kind;
		uint16_t n; /* elements; a U4 pair counts as one */
	} f[4];
};

/* From here on blocks whose scales and codes are told apart, mlquant.h. In a
 * plain record they are as their plain twins. */
#define ML_TYPE_BLOCK 42
#if ML_DEC_CLASS >= 3
#define ML_TYPE_MIXED (ML_TYPE_BLOCK + ML_NBFORM) /* 52: i8, mlbyte.h */
#define ML_NTYPE (ML_TYPE_MIXED + 1)
#define ML_TYPE_SEEN 56 /* only told: of another one, mlseen.h */
#else
#define ML_NTYPE ML_TYPE_BLOCK
#endif
#define ML_TYPE_SWAPPED 37 /* this one to 41: big-endian */
#define ML_NKIND 13

static const uint8_t ml_kind_bytes[ML_NKIND] = {
	1, 1, 2, 4, 8, 1, 1, 1, 1, 2, 2, 4, 8
};
static const uint8_t ml_kind_ebits[ML_NKIND] = {
	0, 0, 0, 0, 0, 0, 0, 4, 5, 5, 8, 8, 11
};

/* Whether a byte of this kind holds two numbers. */
static inline int ml_kind_pair(unsigned kind)
{
	return kind == ML_K_U4 || kind == ML_K_R4;
}

/* Numbers as in ml-patch(5). Fields as in GGML's block structs. */
static const struct ml_type ml_types[ML_NTYPE] = {
	{ 1, { { ML_K_I8, 1 } } }, /* 0 bytes */
	{ 1, { { ML_K_I8, 1 } } },
	{ 1, { { ML_K_I16, 1 } } },
	{ 1, { { ML_K_I32, 1 } } },
	{ 1, { { ML_K_I64, 1 } } },
	{ 1, { { ML_K_F16, 1 } } }, /* 5 */
	{ 1, { { ML_K_BF16, 1 } } },
	{ 1, { { ML_K_F32, 1 } } },
	{ 1, { { ML_K_F64, 1 } } },
	{ 1, { { ML_K_F8E4, 1 } } },
	{ 1, { { ML_K_F8E5, 1 } } }, /* 10 */
	{ 1, { { ML_K_U4, 1 } } },
	{ 2, { { ML_K_F16, 1 }, { ML_K_U4, 16 } } }, /* IQ4_NL */
	{ 2, { { ML_K_F16, 2 }, { ML_K_U4, 16 } } }, /* Q4_1 */
	{ 3, { { ML_K_F16, 1 }, { ML_K_I8, 4 }, { ML_K_U4, 16 } } }, /* Q5_0 */
	{ 3, { { ML_K_F16, 2 }, { ML_K_I8, 4 }, { ML_K_U4, 16 } } }, /* Q5_1 */
	{ 2, { { ML_K_F16, 1 }, { ML_K_I8, 32 } } }, /* 16 */
	{ 2, { { ML_K_F16, 2 }, { ML_K_I8, 32 } } }, /* Q8_1 */
	{ 2, { { ML_K_U4, 80 }, { ML_K_F16, 2 } } }, /* Q2_K */
	{ 2, { { ML_K_I8, 108 }, { ML_K_F16, 1 } } }, /* Q3_K */
	{ 3, { { ML_K_F16, 2 }, { ML_K_I8, 12 }, { ML_K_U4, 128 } } }, /* Q4_K */
	{ 3, { { ML_K_F16, 2 }, { ML_K_I8, 44 }, { ML_K_U4, 128 } } }, /* Q5_K */
	{ 4, { { ML_K_U4, 128 }, { ML_K_I8, 64 }, { ML_K_I8, 16 },
		{ ML_K_F16, 1 } } }, /* Q6_K */
	{ 3, { { ML_K_F32, 1 }, { ML_K_I8, 256 }, { ML_K_I16, 16 } } }, /* Q8_K */
	{ 4, { { ML_K_F16, 1 }, { ML_K_I16, 1 }, { ML_K_I8, 4 },
		{ ML_K_U4, 128 } } }, /* IQ4_XS */
	{ 2, { { ML_K_F16, 1 }, { ML_K_I16, 32 } } }, /* 25 IQ2_XXS */
	{ 3, { { ML_K_F16, 1 }, { ML_K_I16, 32 }, { ML_K_I8, 8 } } }, /* IQ2_XS */
	{ 2, { { ML_K_F16, 1 }, { ML_K_I8, 80 } } }, /* IQ2_S */
	{ 3, { { ML_K_F16, 1 }, { ML_K_I8, 64 }, { ML_K_I32, 8 } } }, /* IQ3_XXS */
	{ 2, { { ML_K_F16, 1 }, { ML_K_I8, 108 } } }, /* IQ3_S */
	{ 3, { { ML_K_F16, 1 }, { ML_K_I8, 32 }, { ML_K_I16, 8 } } }, /* IQ1_S */
	{ 1, { { ML_K_I8, 56 } } }, /* IQ1_M */
	{ 2, { { ML_K_I8, 52 }, { ML_K_F16, 1 } } }, /* TQ1_0 */
	{ 2, { { ML_K_I8, 64 }, { ML_K_F16, 1 } } }, /* TQ2_0 */
	{ 2, { { ML_K_I8, 1 }, { ML_K_U4, 16 } } }, /* MXFP4 */
	{ 2, { { ML_K_F16, 1 }, { ML_K_R4, 16 } } }, /* 35 Q4_0 */
	{ 2, { { ML_K_F16, 1 }, { ML_K_R8, 32 } } }, /* Q8_0 */
	{ 1, { { ML_K_I16, 1 } } }, /* 37 big-endian from here on */
	{ 1, { { ML_K_I32, 1 } } },
	{ 1, { { ML_K_F16, 1 } } },
	{ 1, { { ML_K_F32, 1 } } }, /* 40 */
	{ 1, { { ML_K_F64, 1 } } },
#if ML_DEC_CLASS >= 3
	/* 42: as 20, 21, 22, 19, 18, 13, 14, 15, 35 and 36 */
	{ 3, { { ML_K_F16, 2 }, { ML_K_I8, 12 }, { ML_K_U4, 128 } } }, /* Q4_K */
	{ 3, { { ML_K_F16, 2 }, { ML_K_I8, 44 }, { ML_K_U4, 128 } } }, /* Q5_K */
	{ 4, { { ML_K_U4, 128 }, { ML_K_I8, 64 }, { ML_K_I8, 16 },
		{ ML_K_F16, 1 } } }, /* Q6_K */
	{ 2, { { ML_K_I8, 108 }, { ML_K_F16, 1 } } }, /* Q3_K */
	{ 2, { { ML_K_U4, 80 }, { ML_K_F16, 2 } } }, /* Q2_K */
	{ 2, { { ML_K_F16, 2 }, { ML_K_U4, 16 } } }, /* Q4_1 */
	{ 3, { { ML_K_F16, 1 }, { ML_K_I8, 4 }, { ML_K_U4, 16 } } }, /* Q5_0 */
	{ 3, { { ML_K_F16, 2 }, { ML_K_I8, 4 }, { ML_K_U4, 16 } } }, /* Q5_1 */
	{ 2, { { ML_K_F16, 1 }, { ML_K_U4, 16 } } }, /* Q4_0 */
	{ 2, { { ML_K_F16, 1 }, { ML_K_I8, 32 } } }, /* Q8_0 */
	{ 1, { { ML_K_I8, 1 } } } /* 52 */
#endif
};

#if ML_DEC_CLASS >= 3
static inline int ml_type_block(unsigned type)
{
	return type >= ML_TYPE_BLOCK && type < ML_TYPE_MIXED;
}

/* Whether those before may tell its elements, mlseen.h. */
static inline int ml_type_seen(unsigned type)
{
	return (type >= 2 && type < ML_NSIMPLE - 1) ||
		(type >= ML_TYPE_SWAPPED && type < ML_TYPE_BLOCK);
}
#endif

/* Coder 2: the descriptor of a kind of elements in a unit: that of the
 * operation for what comes first, the other one where floats and integers are
 * mixed. */
static inline unsigned ml_type_slot(unsigned type, unsigned kind, int alone)
{
	const unsigned first = ml_types[type].f[0].kind >= ML_K_FLOAT;

	return (unsigned)alone ^ (first ^ (kind >= ML_K_FLOAT));
}

static inline int ml_type_swapped(unsigned type)
{
	return type >= ML_TYPE_SWAPPED && type < ML_TYPE_BLOCK;
}

/* Turns n elements of w bytes from big- to little-endian, or back. */
static inline void ml_swap(uint8_t *p, unsigned w, size_t n)
{
	unsigned i;
	uint8_t b;

	for (; n--; p += w)
		for (i = 0; i < w / 2; i++) {
			b = p[i];
			p[i] = p[w - 1 - i];
			p[w - 1 - i] = b;
		}
}

/* Bytes of one block of a type: of as many as it takes to be whole blocks of
 * the base's, too. */
static inline unsigned ml_type_bytes(unsigned type)
{
	unsigned i, n = 0;

#if ML_DEC_CLASS >= 3
	if (ml_type_crossed(type))
		return ml_x_from_bytes(ML_X_FORM + ML_CROSS_FORM(type),
			ml_x_weights(ML_CROSS_FORM(type),
			ML_CROSS_FROM(type)));
#endif
	for (i = 0; i < ml_types[type].nfield; i++)
		n += (unsigned)ml_types[type].f[i].n *
			ml_kind_bytes[ml_types[type].f[i].kind];
	return n;
}

/* Bytes of the base that belong to it. */
static inline unsigned ml_type_base(unsigned type)
{
#if ML_DEC_CLASS >= 3
	if (ml_type_crossed(type))
		return ml_x_from_bytes(ML_CROSS_FROM(type), ml_x_weights(
			ML_CROSS_FORM(type), ML_CROSS_FROM(type)));
#endif
	return ml_type_bytes(type);
}

/* ----- requantised codes ------------------------------------------------ */

/* A scale moves in every block, so equal weights get other codes: the base's
 * code times the ratio of both scales says where the weight lies on the new
 * scale, and how near to the border between two codes. */

/* Base's scale divided by the target's, times 4096; bit 31: opposite signs.
 * Both are f16. 4096 when nothing sensible comes out. */
static inline uint32_t ml_requant_ratio(unsigned b, unsigned t)
{
	unsigned eb = b >> 10 & 31, et = t >> 10 & 31;
	uint32_t mb = (b & 1023) | (eb ? 1024u : 0), r;
	uint32_t mt = (t & 1023) | (et ? 1024u : 0);

	eb += !eb;
	et += !et;
	if (!mb || !mt || eb + 6 < et || et + 6 < eb)
		return 4096;
	r = (mb << 12) / mt; /* below 2^23 */
	if (eb <= et)
		r >>= et - eb;
	else if (r < 1u << 18)
		r <<= eb - et;
	if (r > 1u << 18)
		return 4096;
	return r | ((b ^ t) & 0x8000u) << 16;
}

/* The new code that b, a signed code of w bits, should become; *c is the
 * context, 0..15: 0 next to the code below, 8 exact, 15 next to that above. */
static inline unsigned ml_requant(uint32_t ratio, unsigned w, unsigned b,
	unsigned *c)
{
	unsigned half = 1u << (w - 1), mask = 2 * half - 1, neg = b & half;
	uint32_t x = (neg ? (0 - b) & mask : b) * (ratio & 0x7fffffff);

	/* Rounded on the positive side, mirrored for negative codes. */
	x += 2048;
	*c = x >> 8 & 15;
	x >>= 12;
	if (neg)
		neg = 1;
	if (ratio >> 31)
		neg ^= 1;
	if (neg) {
		*c = (16 - *c) & 15;
		x = x > half ? half : x;
		return (0 - x) & mask;
	}
	return x >= half ? half - 1 : x;
}

#endif
#endif
