/* SPDX-License-Identifier: MIT */
/* SHA-256 as FIPS 180-4 has it; the message schedule is kept in the block's
 * own 64 bytes, as each word of it replaces the one 16 before. */
#include <string.h>

#include "mlsha.h"

#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))

static void block(struct ml_sha *s)
{
	static const uint32_t k[64] = {
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
		0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
		0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7,
		0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
		0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152,
		0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
		0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
		0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
		0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
		0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
		0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
		0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
	};
	const uint8_t *p = (const uint8_t *)s->w;
	uint32_t v[8], t, x, y;
	unsigned i;

	for (i = 0; i < 16; i++, p += 4)
		s->w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
			(uint32_t)p[2] << 8 | p[3];
	memcpy(v, s->h, sizeof v);
	for (i = 0; i < 64; i++) {
		if (i > 15) {
			x = s->w[(i + 1) & 15];
			y = s->w[(i + 14) & 15];
			s->w[i & 15] += (ROR(x, 7) ^ ROR(x, 18) ^ x >> 3) +
				s->w[(i + 9) & 15] +
				(ROR(y, 17) ^ ROR(y, 19) ^ y >> 10);
		}
		t = v[7] + (ROR(v[4], 6) ^ ROR(v[4], 11) ^ ROR(v[4], 25)) +
			(v[6] ^ (v[4] & (v[5] ^ v[6]))) + k[i] + s->w[i & 15];
		x = (ROR(v[0], 2) ^ ROR(v[0], 13) ^ ROR(v[0], 22)) +
			((v[0] & v[1]) | (v[2] & (v[0] | v[1])));
		v[7] = v[6];
		v[6] = v[5];
		v[5] = v[4];
		v[4] = v[3] + t;
		v[3] = v[2];
		v[2] = v[1];
		v[1] = v[0];
		v[0] = t + x;
	}
	for (i = 0; i < 8; i++)
		s->h[i] += v[i];
}

void ml_sha_init(struct ml_sha *s)
{
	static const uint32_t h[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
		0x9b05688c, 0x1f83d9ab, 0x5be0cd19
	};

	memcpy(s->h, h, sizeof h);
	s->n = 0;
}

void ml_sha_update(struct ml_sha *s, const void *p, size_t n)
{
	const uint8_t *q = p;
	size_t k;

	for (; n; q += k, n -= k) {
		k = 64 - (s->n & 63);
		if (k > n)
			k = n;
		memcpy((uint8_t *)s->w + (s->n & 63), q, k);
		s->n += (uint32_t)k;
		if (!(s->n & 63))
			block(s);
	}
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

const uint8_t *ml_sha_final(struct ml_sha *s)
{
	uint8_t *p = (uint8_t *)s->w, b = 0x80;
	const uint32_t n = s->n;
	unsigned i;

	do {
		ml_sha_update(s, &b, 1);
		b = 0;
	} while ((s->n & 63) != 56);
	put32(p + 56, n >> 29);
	put32(p + 60, n << 3);
	block(s);
	for (i = 0; i < 8; i++)
		put32(p + 4 * i, s->h[i]);
	return p;
}
