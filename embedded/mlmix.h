/* SPDX-License-Identifier: MIT */
/*
 * Logistic mixing of the chances of literal bytes, class full of ml-patch(5):
 * the model's own and those in the context of the last one, two and three
 * literals, weighted by how well each did. The method is Matt Mahoney's
 * (lpaq1); integer arithmetic, the same on every machine.
 */
#ifndef ML_MIX_H
#define ML_MIX_H

#include <stdint.h>

#define ML_MIX_IN 4 /* chances that are mixed */
#define ML_MIX_BITS 17 /* of the hash of longer contexts */
#define ML_MIX_LIMIT 20 /* bits after which a chance learns no slower */
#define ML_MIX_HEAVY (1 << 22) /* largest weight */

struct ml_mix {
	int32_t weight[256][ML_MIX_IN]; /* by the bits of the byte so far */
	int16_t stretch[4096];
	/* Chance of a 0 in the high 11 bits and 5 bits' count of bits seen. */
	uint16_t one[65536], two[1 << ML_MIX_BITS], three[1 << ML_MIX_BITS];
	/* Of the bit being coded. */
	uint16_t *used[ML_MIX_IN - 1];
	int32_t in[ML_MIX_IN];
	int32_t *w;
	int32_t p;
};

/* x / 2^n, rounded down, also for negative x > -2^30. */
static inline int32_t ml_mix_shift(int32_t x, unsigned n)
{
	return (int32_t)(((uint32_t)x + (1u << 31)) >> n) -
		(int32_t)((1u << 31) >> n);
}

/* 4096 / (1 + e^(-d/256)) for -2048 < d < 2048, by interpolation. */
static inline int32_t ml_mix_squash(int32_t d)
{
	static const int16_t t[33] = {
		1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101,
		1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975, 4022,
		4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094
	};
	int32_t i, w;

	if (d > 2047)
		return 4095;
	if (d < -2047)
		return 0;
	d += 2048;
	w = d & 127;
	i = d >> 7;
	return (t[i] * (128 - w) + t[i + 1] * w + 64) >> 7;
}

static inline void ml_mix_reset(struct ml_mix *x)
{
	int32_t d, i, j;

	for (d = -2047, i = 0; d <= 2047; d++) { /* the inverse of squash */
		j = ml_mix_squash(d);
		for (; i <= j; i++)
			x->stretch[i] = (int16_t)d;
	}
	for (; i < 4096; i++)
		x->stretch[i] = 2047;
	for (i = 0; i < 256; i++)
		for (j = 0; j < ML_MIX_IN; j++)
			x->weight[i][j] = j ? 6000 : 60000;
	for (i = 0; i < 65536; i++)
		x->one[i] = 0x8000;
	for (i = 0; i < 1 << ML_MIX_BITS; i++)
		x->two[i] = x->three[i] = 0x8000;
}

/* The chance of a 0, in 1/65536, of the next bit of a byte: m is 1 and its
 * bits so far, hist the bytes before it, own what the model says itself. */
static inline uint32_t ml_mix_chance(struct ml_mix *x, uint32_t hist,
	unsigned m, uint32_t own)
{
	const uint32_t mask = (1u << ML_MIX_BITS) - 1;
	uint32_t h2 = (hist & 0xffff) * 0x9e3779b1u >> (32 - ML_MIX_BITS);
	uint32_t h3 = (hist & 0xffffff) * 0x85ebca6bu >> (32 - ML_MIX_BITS);
	int64_t dot = 0;
	unsigned i;

	x->used[0] = &x->one[(hist & 255) << 8 | m];
	x->used[1] = &x->two[(h2 + m * 769u) & mask];
	x->used[2] = &x->three[(h3 + m * 7919u) & mask];
	x->w = x->weight[m];
	x->in[0] = x->stretch[own >> 4];
	for (i = 1; i < ML_MIX_IN; i++)
		x->in[i] = x->stretch[(*x->used[i - 1] >> 5) * 2 + 1];
	for (i = 0; i < ML_MIX_IN; i++)
		dot += (int64_t)x->w[i] * x->in[i];
	if (dot > INT64_C(2047) << 16)
		dot = INT64_C(2047) << 16;
	if (dot < -(INT64_C(2047) << 16))
		dot = -(INT64_C(2047) << 16);
	x->p = ml_mix_squash(ml_mix_shift((int32_t)dot, 16));
	if (x->p < 2)
		x->p = 2;
	if (x->p > 4093)
		x->p = 4093;
	return (uint32_t)x->p << 4;
}

static inline void ml_mix_learn(struct ml_mix *x, unsigned y)
{
	int32_t err = ((y ? 0 : 4095) - x->p) * 14;
	unsigned i;

	for (i = 0; i < ML_MIX_IN; i++) {
		x->w[i] += ml_mix_shift(x->in[i] * err + 0x8000, 16);
		if (x->w[i] > ML_MIX_HEAVY)
			x->w[i] = ML_MIX_HEAVY;
		if (x->w[i] < -ML_MIX_HEAVY)
			x->w[i] = -ML_MIX_HEAVY;
	}
	for (i = 0; i < ML_MIX_IN - 1; i++) {
		uint32_t v = *x->used[i], p = v >> 5, n = v & 31;

		if (y)
			p -= p * 2 / (2 * n + 3);
		else
			p += (2047 - p) * 2 / (2 * n + 3);
		n += n < ML_MIX_LIMIT;
		*x->used[i] = (uint16_t)(p << 5 | n);
	}
}

#endif
