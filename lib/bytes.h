/* SPDX-License-Identifier: MIT */
/* Little-endian loads and stores, byte by byte, and sums and products of
 * hostile numbers that say when they overflow; and how far bytes agree. */
#ifndef ML_BYTES_H
#define ML_BYTES_H

#include <stdint.h>
#include <stddef.h>

static inline uint16_t ml_load16(const uint8_t p[2])
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t ml_load32(const uint8_t p[4])
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
		(uint32_t)p[3] << 24;
}

static inline uint64_t ml_load64(const uint8_t p[8])
{
	return ml_load32(p) | (uint64_t)ml_load32(p + 4) << 32;
}

static inline void ml_store16(uint8_t p[2], unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void ml_store32(uint8_t p[4], uint32_t v)
{
	ml_store16(p, v & 0xffff);
	ml_store16(p + 2, v >> 16);
}

static inline void ml_store64(uint8_t p[8], uint64_t v)
{
	ml_store32(p, (uint32_t)v);
	ml_store32(p + 4, (uint32_t)(v >> 32));
}

static inline uint64_t ml_load48(const uint8_t *p)
{
	return ml_load32(p) | (uint64_t)ml_load16(p + 4) << 32;
}

static inline void ml_store48(uint8_t *p, uint64_t v)
{
	ml_store32(p, (uint32_t)v);
	ml_store16(p + 4, (unsigned)(v >> 32) & 0xffff);
}

/* 1 and the result in *out, or 0 when it does not fit. */
static inline int ml_add_ok(uint64_t a, uint64_t b, uint64_t *out)
{
	*out = a + b;
	return *out >= a;
}

static inline int ml_mul_ok(uint64_t a, uint64_t b, uint64_t *out)
{
	*out = a * b;
	return a == 0 || *out / a == b;
}

/* How many bytes of both are the same, from the first on. */
static inline size_t ml_common(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;
	uint64_t x;

	for (; i + 8 <= n; i += 8) {
		x = ml_load64(a + i) ^ ml_load64(b + i);
		if (x)
			return i + (size_t)__builtin_ctzll(x) / 8;
	}
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

#endif
