/* SPDX-License-Identifier: MIT */
/*
 * Context mixing, class full of ml-patch(5): the chance of each bit of a byte
 * comes from several contexts at once, weighted by how well each did. The
 * method is Matt Mahoney's (lpaq1): hashed slots, stretch and squash, a mixer
 * that learns on line, and a last correction by what came of such chances.
 * Integer arithmetic, the same on every machine. What the contexts are is
 * said by mltext.h, mlbyte.h, mlseen.h and mlgrid.h.
 *
 * A record of ten bytes can reset all this, so a reset only touches what was
 * used since the last one: a line when it is next needed, the rest by notes of
 * what was used.
 */
#ifndef ML_MIX_H
#define ML_MIX_H

#include <stdint.h>
#include <string.h>

#define ML_MIX_CTX 12 /* contexts, at most */
#define ML_MIX_IN 16 /* inputs of the mixer: these, the match, a constant */
#define ML_MIX_BITS 15 /* log2 of the lines of slots */
#define ML_MIX_HEAVY ((1 << 20) - 64) /* largest weight: 16 */
#define ML_MIX_AGES 256

/* For a test: so many bytes were put into their first state by a reset. */
#ifndef ML_CLEARS
#define ML_CLEARS(n) ((void)0)
#endif

/* Weights of one kind of bytes, by the bit's number and the match's length,
 * and by the bits before it; and how chances came true. */
struct ml_mixer {
	int32_t by_bit[32][ML_MIX_IN], by_tree[256][ML_MIX_IN];
	uint16_t came[256][33]; /* chance of a 1, by the bits before it */
	uint16_t match[32]; /* chance that the match is right, by its length */
	uint8_t seen[32]; /* bytes that were coded, a bit each */
	uint8_t limit; /* bits after which a slot learns no slower */
	uint8_t rate; /* of the weights */
};

struct ml_mix {
	/* A line of 16 serves half a byte in one context. Chance of a 1 in
	 * the high 22 bits, bits seen in the low 10. The first is no slot: a
	 * line in which it is not `age` is as it was at first. */
	uint32_t slot[1 << ML_MIX_BITS][16];
	uint32_t age; /* resets */
	struct ml_mixer text, byte, place, rest;
	int16_t stretch[4096];
	uint16_t pace[ML_MIX_AGES]; /* 65536 / (n + 1.5) */
	/* Of the byte being coded. */
	struct ml_mixer *x;
	uint32_t ctx[ML_MIX_CTX];
	uint32_t *line[ML_MIX_CTX];
	unsigned n; /* of these */
	unsigned m; /* 1 and its bits so far */
	unsigned bit; /* their number */
	int expect; /* the byte that the match says, or -1 */
	unsigned sure; /* the match's length, at most 31 */
	/* Of the bit being coded. */
	int16_t in[ML_MIX_IN];
	int32_t *w1, *w2;
	int32_t p; /* the mixer's chance of a 1, 12 bits */
	uint16_t *near; /* in came */
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

static inline uint32_t ml_mix_hash(uint32_t a, uint32_t b)
{
	uint32_t h = a * 0x9e3779b1u ^ (b + 1) * 0x85ebca6bu;

	h ^= h >> 15;
	h *= 0x2c1b3c6du;
	return h ^ h >> 12;
}

static inline void ml_mixer_reset(struct ml_mixer *x, unsigned limit,
	unsigned rate)
{
	uint16_t came[33];
	unsigned i, j, v;

	x->limit = (uint8_t)limit;
	x->rate = (uint8_t)rate;
	for (i = 0; i < sizeof x->seen && !x->seen[i]; i++)
		;
	if (i == sizeof x->seen)
		return;
	for (i = 0; i < 32; i++) {
		for (j = 0; j < ML_MIX_IN; j++)
			x->by_bit[i][j] = 9800;
		x->match[i] = 49152;
	}
	ML_CLEARS(sizeof x->by_bit + sizeof x->match);
	for (j = 0; j < 33; j++)
		came[j] = (uint16_t)(ml_mix_squash(
			((int32_t)j - 16) * 128) * 16);
	/* of each byte the bits before each of its bits */
	for (v = 0; v < 256; v++) {
		if (!(x->seen[v >> 3] >> (v & 7) & 1))
			continue;
		for (i = (v | 256) >> 1; i; i >>= 1) {
			for (j = 0; j < ML_MIX_IN; j++)
				x->by_tree[i][j] = 9800;
			memcpy(x->came[i], came, sizeof came);
			ML_CLEARS(sizeof x->by_tree[i] + sizeof came);
		}
	}
	memset(x->seen, 0, sizeof x->seen);
}

/* What needs to be done only once; ml_mix_reset must follow. */
static inline void ml_mix_first(struct ml_mix *x)
{
	int32_t d, i, j;

	for (d = -2047, i = 0; d <= 2047; d++) { /* the inverse of squash */
		j = ml_mix_squash(d);
		for (; i <= j; i++)
			x->stretch[i] = (int16_t)d;
	}
	for (; i < 4096; i++)
		x->stretch[i] = 2047;
	for (i = 0; i < ML_MIX_AGES; i++)
		x->pace[i] = (uint16_t)(131072 / (2 * i + 3));
	memset(x->text.seen, 255, sizeof x->text.seen);
	memset(x->byte.seen, 255, sizeof x->byte.seen);
	memset(x->place.seen, 255, sizeof x->place.seen);
	memset(x->rest.seen, 255, sizeof x->rest.seen);
	x->age = UINT32_MAX;
}

static inline void ml_mix_reset(struct ml_mix *x)
{
	unsigned i;

	if (!++x->age) {
		for (i = 0; i < 1u << ML_MIX_BITS; i++)
			x->slot[i][0] = 0;
		ML_CLEARS(sizeof x->slot);
		x->age = 1;
	}
	ml_mixer_reset(&x->text, 60, 60);
	ml_mixer_reset(&x->byte, 250, 28);
	ml_mixer_reset(&x->place, 250, 28);
	ml_mixer_reset(&x->rest, 250, 28);
}

/* Finds the lines for the next half of the byte. */
static inline void ml_mix_half(struct ml_mix *x)
{
	unsigned i, j;

	for (i = 0; i < x->n; i++) {
		uint32_t *l = x->slot[ml_mix_hash(x->ctx[i], x->m) >>
			(32 - ML_MIX_BITS)];

		x->line[i] = l;
		if (l[0] == x->age)
			continue;
		l[0] = x->age;
		for (j = 1; j < 16; j++)
			l[j] = 1u << 31;
		ML_CLEARS(sizeof x->slot[0]);
	}
}

/* A byte begins: x->ctx, x->n, x->expect and x->sure have been set. */
static inline void ml_mix_begin(struct ml_mix *x, struct ml_mixer *w)
{
	unsigned i;

	x->x = w;
	x->m = 1;
	x->bit = 0;
	for (i = 0; i < ML_MIX_IN; i++)
		x->in[i] = 0;
	ml_mix_half(x);
}

/* The byte's highest n bits are known to be 0, and not coded. */
static inline void ml_mix_skip(struct ml_mix *x, unsigned n)
{
	if (n >= 4) {
		x->m = 1 << 4;
		ml_mix_half(x);
	}
	x->m = 1u << n;
	x->bit = n;
}

/* Where a bit's slot lies in its line. */
static inline unsigned ml_mix_at(const struct ml_mix *x)
{
	const unsigned k = x->bit & 3;

	return 1u << k | (x->m & ((1u << k) - 1));
}

/* The chance of a 0, in 1/65536, of the next bit. */
static inline uint32_t ml_mix_chance(struct ml_mix *x)
{
	struct ml_mixer *w = x->x;
	const unsigned at = ml_mix_at(x);
	int32_t dot = 0, d, p;
	unsigned i;

	for (i = 0; i < x->n; i++) {
		const uint32_t s = x->line[i][at];

		x->in[i] = s & 1023 ? x->stretch[s >> 20] : 0;
	}
	if (x->expect >= 0 &&
		((unsigned)x->expect | 256) >> (8 - x->bit) != x->m)
		x->expect = -1;
	x->in[ML_MIX_CTX] = 0;
	if (x->expect >= 0) {
		d = x->stretch[w->match[x->sure] >> 4];
		x->in[ML_MIX_CTX] = (int16_t)(
			x->expect >> (7 - x->bit) & 1 ? d : -d);
	}
	x->in[ML_MIX_CTX + 1] = 80;
	x->w1 = w->by_bit[(x->expect < 0 ? 0u : x->sure > 15 ? 3u :
		x->sure > 7 ? 2u : 1u) * 8 + x->bit];
	x->w2 = w->by_tree[x->m];
	for (i = 0; i < ML_MIX_IN; i++) /* below 2^30 */
		dot += ml_mix_shift(x->w1[i] + x->w2[i], 6) * x->in[i];
	d = ml_mix_shift(dot, 11);
	d = d > 2047 ? 2047 : d < -2047 ? -2047 : d;
	x->p = ml_mix_squash(d);
	/* what came of such chances after these bits */
	d += 2048;
	i = (unsigned)d >> 7;
	p = (w->came[x->m][i] * (128 - (d & 127)) +
		w->came[x->m][i + 1] * (d & 127)) >> 7;
	x->near = &w->came[x->m][i + ((uint32_t)d >> 6 & 1)];
	p = (x->p * 32 + p) / 3;
	return (uint32_t)(65536 - (p < 16 ? 16 : p > 65520 ? 65520 : p));
}

static inline int32_t ml_mix_heavy(int32_t w)
{
	return w > ML_MIX_HEAVY ? ML_MIX_HEAVY :
		w < -ML_MIX_HEAVY ? -ML_MIX_HEAVY : w;
}

static inline void ml_mix_learn(struct ml_mix *x, unsigned y)
{
	struct ml_mixer *w = x->x;
	const unsigned at = ml_mix_at(x);
	const int32_t err = ((y ? 4095 : 0) - x->p) * w->rate;
	const int32_t goal = y ? (1 << 22) - 1 : 0;
	unsigned i;

	for (i = 0; i < ML_MIX_IN; i++) {
		const int32_t d = ml_mix_shift(x->in[i] * err + 0x8000, 16);

		x->w1[i] = ml_mix_heavy(x->w1[i] + d);
		x->w2[i] = ml_mix_heavy(x->w2[i] + d);
	}
	for (i = 0; i < x->n; i++) {
		uint32_t *s = &x->line[i][at], n = *s & 1023;
		int32_t p = (int32_t)(*s >> 10);

		p += ml_mix_shift(ml_mix_shift(goal - p, 7) * x->pace[n], 9);
		p = p < 0 ? 0 : p;
		*s = (uint32_t)p << 10 | (n + (n < w->limit));
	}
	if (x->expect >= 0) {
		uint16_t *f = &w->match[x->sure];

		if ((x->expect >> (7 - x->bit) & 1) == (int)y)
			*f = (uint16_t)(*f + ((65535 - *f) >> 6));
		else
			*f = (uint16_t)(*f - (*f >> 6));
	}
	*x->near = (uint16_t)(y ? *x->near + ((65535 - *x->near) >> 6) :
		*x->near - (*x->near >> 6));
	x->m = x->m * 2 + y;
	if (++x->bit == 4)
		ml_mix_half(x);
}

#endif
