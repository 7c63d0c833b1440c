/* SPDX-License-Identifier: MIT */
/*
 * Blocks of GGML's quantised types as what they mean: scales and codes.
 *
 * A fine-tune moves every scale a little, so equal weights get other codes.
 * With both blocks' scales known, the base's weight says where the new code
 * should lie, and how near to the border between two codes: ml-patch(5). All
 * in integers, so that every machine predicts the same. The order of bits is
 * that of GGML's block structs (ggml-common.h).
 */
#ifndef ML_QUANT_H
#define ML_QUANT_H

#include <stdint.h>
#include <string.h>

/* The formats, in the order of their element types from ML_TYPE_BLOCK. */
enum ml_bform {
	ML_B_Q4_K, ML_B_Q5_K, ML_B_Q6_K, ML_B_Q3_K, ML_B_Q2_K, ML_B_Q4_1,
	ML_B_Q5_0, ML_B_Q5_1, ML_B_Q4_0, ML_B_Q8_0, ML_NBFORM
};

struct ml_bform_info {
	uint8_t nsub, len; /* runs of codes of one scale; codes in one */
	uint8_t qbits, qoff; /* of a code; what stands for 0 */
	uint8_t sbits, soff; /* of a scale of a run, 0: none */
	uint8_t nbits; /* of a minimum of a run, 0: none */
	int8_t min; /* the second f16: 0 none, else what it is times */
};

static const struct ml_bform_info ml_bforms[ML_NBFORM] = {
	{ 8, 32, 4, 0, 6, 0, 6, -1 }, /* Q4_K */
	{ 8, 32, 5, 0, 6, 0, 6, -1 }, /* Q5_K */
	{ 16, 16, 6, 32, 8, 128, 0, 0 }, /* Q6_K */
	{ 16, 16, 3, 4, 6, 32, 0, 0 }, /* Q3_K */
	{ 16, 16, 2, 0, 4, 0, 4, -1 }, /* Q2_K */
	{ 1, 32, 4, 0, 0, 0, 0, 1 }, /* Q4_1 */
	{ 1, 32, 5, 16, 0, 0, 0, 0 }, /* Q5_0 */
	{ 1, 32, 5, 0, 0, 0, 0, 1 }, /* Q5_1 */
	{ 1, 32, 4, 8, 0, 0, 0, 0 }, /* Q4_0 */
	{ 1, 32, 8, 128, 0, 0, 0, 0 } /* Q8_0 */
};

struct ml_qblock_parts {
	uint16_t d, m; /* f16: scale and minimum of all */
	uint8_t s[16], n[16]; /* of runs: scales, minima */
	uint8_t q[256];
};

/* ----- bits ------------------------------------------------------------- */

/* The low four bits lie in pairs: 32 codes in the low halves of 32 bytes, the
 * next 32 in the high ones. With `up`, half as many bytes of 16. */
static inline void ml_b_nibbles(uint8_t *q, uint8_t *b, unsigned n,
	unsigned half, int pack)
{
	unsigned i, j;

	for (i = 0; i < n; i += 2 * half, b += half)
		for (j = 0; j < half; j++)
			if (pack) {
				b[j] = (uint8_t)((q[i + j] & 15) |
					(q[i + half + j] & 15) << 4);
			} else {
				q[i + j] = b[j] & 15;
				q[i + half + j] = b[j] >> 4;
			}
}

/* Bits `at` and up of the codes, `w` of them, from bytes that hold those of
 * 8 / w codes that are `step` apart. */
static inline void ml_b_bits(uint8_t *q, uint8_t *b, unsigned nb,
	unsigned step, unsigned w, unsigned at, int pack)
{
	unsigned i, k, mask = (1u << w) - 1;

	for (i = 0; i < nb; i++)
		for (k = 0; k * w < 8; k++) {
			uint8_t *c = q + i + k * step;

			if (pack)
				b[i] = (uint8_t)((b[i] & ~(mask << k * w)) |
					((unsigned)*c >> at & mask) << k * w);
			else
				*c = (uint8_t)(*c | ((unsigned)b[i] >> k * w &
					mask) << at);
		}
}

/* Q4_K's and Q5_K's twelve bytes: eight scales and eight minima of six bits. */
static inline void ml_b_scales12(struct ml_qblock_parts *p, uint8_t *b, int pack)
{
	unsigned j;

	for (j = 0; j < 4; j++)
		if (pack) {
			b[j] = (uint8_t)((p->s[j] & 63) |
				(p->s[j + 4] & 63) >> 4 << 6);
			b[j + 4] = (uint8_t)((p->n[j] & 63) |
				(p->n[j + 4] & 63) >> 4 << 6);
			b[j + 8] = (uint8_t)((p->s[j + 4] & 15) |
				(p->n[j + 4] & 15) << 4);
		} else {
			p->s[j] = b[j] & 63;
			p->n[j] = b[j + 4] & 63;
			p->s[j + 4] = (uint8_t)((b[j + 8] & 15) |
				b[j] >> 6 << 4);
			p->n[j + 4] = (uint8_t)(b[j + 8] >> 4 |
				b[j + 4] >> 6 << 4);
		}
}

/* Q3_K's twelve bytes: sixteen scales of six bits. */
static inline void ml_b_scales16(struct ml_qblock_parts *p, uint8_t *b, int pack)
{
	unsigned i, k;

	for (i = 0; i < 16; i++) {
		uint8_t *low = b + (i & 7), *high = b + 8 + (i & 3);

		k = i >> 2;
		if (!pack) {
			p->s[i] = (uint8_t)((*low >> (i >> 3) * 4 & 15) |
				(*high >> 2 * k & 3) << 4);
			continue;
		}
		*low = (uint8_t)((*low & ~(15u << (i >> 3) * 4)) |
			(p->s[i] & 15u) << (i >> 3) * 4);
		*high = (uint8_t)((*high & ~(3u << 2 * k)) |
			(p->s[i] >> 4 & 3u) << 2 * k);
	}
}

static inline void ml_b_half(uint16_t *v, uint8_t *b, int pack)
{
	if (pack) {
		b[0] = (uint8_t)*v;
		b[1] = (uint8_t)(*v >> 8);
	} else {
		*v = (uint16_t)(b[0] | b[1] << 8);
	}
}

/* A block's bytes to its parts, or back. */
static inline void ml_qblock_bits(enum ml_bform form, struct ml_qblock_parts *p,
	uint8_t *b, int pack)
{
	unsigned i;

	if (!pack)
		memset(p, 0, sizeof *p);
	switch (form) {
	case ML_B_Q4_K:
	case ML_B_Q5_K:
		ml_b_half(&p->d, b, pack);
		ml_b_half(&p->m, b + 2, pack);
		ml_b_scales12(p, b + 4, pack);
		b += 16;
		ml_b_nibbles(p->q, form == ML_B_Q5_K ? b + 32 : b, 256, 32,
			pack);
		if (form == ML_B_Q5_K)
			ml_b_bits(p->q, b, 32, 32, 1, 4, pack);
		break;
	case ML_B_Q6_K:
		for (i = 0; i < 2; i++) {
			/* 64 codes in the low halves, 64 in the high ones */
			ml_b_nibbles(p->q + 128 * i, b + 64 * i, 128, 64,
				pack);
			ml_b_bits(p->q + 128 * i, b + 128 + 32 * i, 32, 32, 2,
				4, pack);
		}
		for (i = 0; i < 16; i++) /* signed: from 128 */
			if (pack)
				b[192 + i] = p->s[i] ^ 128;
			else
				p->s[i] = b[192 + i] ^ 128;
		ml_b_half(&p->d, b + 208, pack);
		break;
	case ML_B_Q3_K:
	case ML_B_Q2_K:
		for (i = 0; i < 2; i++)
			ml_b_bits(p->q + 128 * i, b + (form == ML_B_Q3_K ? 32 :
				16) + 32 * i, 32, 32, 2, 0, pack);
		if (form == ML_B_Q3_K) {
			ml_b_bits(p->q, b, 32, 32, 1, 2, pack);
			ml_b_scales16(p, b + 96, pack);
			ml_b_half(&p->d, b + 108, pack);
			break;
		}
		for (i = 0; i < 16; i++)
			if (pack) {
				b[i] = (uint8_t)((p->s[i] & 15) |
					(p->n[i] & 15) << 4);
			} else {
				p->s[i] = b[i] & 15;
				p->n[i] = b[i] >> 4;
			}
		ml_b_half(&p->d, b + 80, pack);
		ml_b_half(&p->m, b + 82, pack);
		break;
	case ML_B_Q8_0:
		ml_b_half(&p->d, b, pack);
		for (i = 0; i < 32; i++) /* signed: from 128 */
			if (pack)
				b[2 + i] = p->q[i] ^ 128;
			else
				p->q[i] = b[2 + i] ^ 128;
		break;
	case ML_B_Q4_0:
	case ML_B_Q4_1:
	case ML_B_Q5_0:
	case ML_B_Q5_1:
		ml_b_half(&p->d, b, pack);
		b += 2;
		if (ml_bforms[form].min) {
			ml_b_half(&p->m, b, pack);
			b += 2;
		}
		if (ml_bforms[form].qbits == 4) {
			ml_b_nibbles(p->q, b, 32, 16, pack);
			break;
		}
		ml_b_nibbles(p->q, b + 4, 32, 16, pack);
		/* bit i of the four bytes is that of code i */
		for (i = 0; i < 32; i++)
			if (pack)
				b[i / 8] = (uint8_t)((b[i / 8] &
					~(1u << i % 8)) |
					(p->q[i] >> 4 & 1u) << i % 8);
			else
				p->q[i] = (uint8_t)(p->q[i] |
					(b[i / 8] >> i % 8 & 1) << 4);
		break;
	case ML_NBFORM:
	default:
		break;
	}
}

/* ----- prediction ------------------------------------------------------- */

/* A f16 in units of 2^-24; infinities and NaNs as if they were numbers. */
static inline int64_t ml_b_fixed(unsigned h)
{
	const unsigned e = h >> 10 & 31;
	const int64_t v = (int64_t)((h & 1023) | (e ? 1024u : 0))
		<< (e ? e - 1 : 0);

	return h & 0x8000 ? -v : v;
}

/* A line x = (at + by * q) / 4096 that leads from a number of the base's scale
 * to one of the target's. */
struct ml_b_line {
	int64_t at, by;
};

#define ML_B_STEEP ((int64_t)1 << 24) /* of `by`, either way */
#define ML_B_FAR ((int64_t)1 << 40)

static inline int64_t ml_b_clamp(int64_t v, int64_t most)
{
	return v > most ? most : v < -most ? -most : v;
}

/* num * 4096 / den, towards 0; den is not 0. No overflow: a f16 is below 2^41
 * here, and times a scale, or two of these, below 2^50. */
static inline int64_t ml_b_ratio(int64_t num, int64_t den)
{
	return num * 4096 / den;
}

static inline struct ml_b_line ml_b_same(void)
{
	const struct ml_b_line l = { 0, 4096 };

	return l;
}

/* From the scale of a run in the base to that in the target. */
static inline struct ml_b_line ml_b_scale_line(unsigned off, unsigned db,
	unsigned dt)
{
	const int64_t b = ml_b_fixed(db), t = ml_b_fixed(dt);
	struct ml_b_line l;

	if (!t)
		return ml_b_same();
	l.by = ml_b_clamp(ml_b_ratio(b, t), ML_B_STEEP);
	l.at = ((int64_t)4096 - l.by) * (int64_t)off;
	return l;
}

/* What the codes of run i are multiplied by, and what is added. */
static inline void ml_b_run(const struct ml_bform_info *f,
	const struct ml_qblock_parts *p, unsigned i, int64_t *scale,
	int64_t *add)
{
	*scale = ml_b_fixed(p->d) *
		(f->sbits ? (int)p->s[i] - (int)f->soff : 1);
	*add = f->min ? ml_b_fixed(p->m) * f->min * (f->nbits ? p->n[i] : 1) :
		0;
}

/* From codes of run i of the base to those of the target. */
static inline struct ml_b_line ml_b_code_line(const struct ml_bform_info *f,
	const struct ml_qblock_parts *b, const struct ml_qblock_parts *t,
	unsigned i)
{
	int64_t sb, ab, st, at;
	struct ml_b_line l;

	ml_b_run(f, b, i, &sb, &ab);
	ml_b_run(f, t, i, &st, &at);
	if (!st)
		return ml_b_same();
	l.by = ml_b_clamp(ml_b_ratio(sb, st), ML_B_STEEP);
	l.at = ml_b_clamp(ml_b_ratio(ab - at, st), ML_B_FAR) +
		((int64_t)4096 - l.by) * f->qoff;
	return l;
}

/* Where a number of the base comes to lie, 0 to max; *c is 0 next to the
 * border to the number below, 8 in the middle, 15 next to the one above. */
static inline unsigned ml_b_predict(const struct ml_b_line *l, unsigned v,
	unsigned max, unsigned *c)
{
	const int64_t x = l->at + l->by * (int64_t)v + 2048;

	*c = 8;
	if (x < 0)
		return 0;
	if (x >> 12 > (int64_t)max)
		return max;
	*c = (unsigned)(x >> 8) & 15;
	return (unsigned)(x >> 12);
}

#endif
