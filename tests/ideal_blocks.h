/* SPDX-License-Identifier: MIT */
/* Blocks of GGML's quantised types, for ideal.c: written by ggml-common.h and
 * the dequantize functions of ggml-quants.c, and by nothing of the library. A
 * weight is d * s * (q - off) + m * n * sign. */
#include <stdint.h>

struct form {
	const char *name;
	unsigned bytes, codes, run; /* of a block; codes of one scale */
	unsigned bits, off; /* of a code */
	unsigned sbits, soff, nbits; /* of a scale, of a minimum; 0: none */
	int d, m, sign; /* where the two f16 lie; -1: no minimum */
	unsigned (*code)(const uint8_t *p, unsigned i);
	unsigned (*scale)(const uint8_t *p, unsigned i);
	unsigned (*min)(const uint8_t *p, unsigned i);
};

static unsigned low4(const uint8_t *q, unsigned i, unsigned half)
{
	return q[i / (2 * half) * half + i % half] >> i / half % 2 * 4 & 15;
}

static unsigned low2(const uint8_t *q, unsigned i)
{
	return q[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
}

static unsigned q8_0(const uint8_t *p, unsigned i)
{
	return p[2 + i] ^ 128u;
}

static unsigned q4_0(const uint8_t *p, unsigned i)
{
	return low4(p + 2, i, 16);
}

static unsigned q4_1(const uint8_t *p, unsigned i)
{
	return low4(p + 4, i, 16);
}

static unsigned q5_0(const uint8_t *p, unsigned i)
{
	return low4(p + 6, i, 16) | (p[2 + i / 8] >> i % 8 & 1u) << 4;
}

static unsigned q5_1(const uint8_t *p, unsigned i)
{
	return low4(p + 8, i, 16) | (p[4 + i / 8] >> i % 8 & 1u) << 4;
}

static unsigned q4_k(const uint8_t *p, unsigned i)
{
	return low4(p + 16, i, 32);
}

static unsigned q5_k(const uint8_t *p, unsigned i)
{
	return low4(p + 48, i, 32) | (p[16 + i % 32] >> i / 32 & 1u) << 4;
}

static unsigned s45(const uint8_t *p, unsigned i)
{
	return i < 4 ? p[4 + i] & 63u :
		(p[8 + i] & 15u) | (unsigned)p[i] >> 6 << 4;
}

static unsigned n45(const uint8_t *p, unsigned i)
{
	return i < 4 ? p[8 + i] & 63u :
		(unsigned)p[8 + i] >> 4 | (unsigned)p[4 + i] >> 6 << 4;
}

static unsigned q6_k(const uint8_t *p, unsigned i)
{
	return low4(p, i, 64) | low2(p + 128, i) << 4;
}

static unsigned s6(const uint8_t *p, unsigned i)
{
	return p[192 + i] ^ 128u;
}

static unsigned q3_k(const uint8_t *p, unsigned i)
{
	return low2(p + 32, i) | (p[i % 32] >> i / 32 & 1u) << 2;
}

static unsigned s3(const uint8_t *p, unsigned i)
{
	return (p[96 + i % 8] >> i / 8 * 4 & 15u) |
		(p[104 + i % 4] >> i / 4 * 2 & 3u) << 4;
}

static unsigned q2_k(const uint8_t *p, unsigned i)
{
	return low2(p + 16, i);
}

static unsigned s2(const uint8_t *p, unsigned i)
{
	return p[i] & 15u;
}

static unsigned n2(const uint8_t *p, unsigned i)
{
	return p[i] >> 4;
}

static const struct form forms[] = {
	{"q8_0", 34, 32, 32, 8, 128, 0, 0, 0, 0, -1, 0, q8_0, 0, 0},
	{"q4_0", 18, 32, 32, 4, 8, 0, 0, 0, 0, -1, 0, q4_0, 0, 0},
	{"q4_1", 20, 32, 32, 4, 0, 0, 0, 0, 0, 2, 1, q4_1, 0, 0},
	{"q5_0", 22, 32, 32, 5, 16, 0, 0, 0, 0, -1, 0, q5_0, 0, 0},
	{"q5_1", 24, 32, 32, 5, 0, 0, 0, 0, 0, 2, 1, q5_1, 0, 0},
	{"q2_k", 84, 256, 16, 2, 0, 4, 0, 4, 80, 82, -1, q2_k, s2, n2},
	{"q3_k", 110, 256, 16, 3, 4, 6, 32, 0, 108, -1, 0, q3_k, s3, 0},
	{"q4_k", 144, 256, 32, 4, 0, 6, 0, 6, 0, 2, -1, q4_k, s45, n45},
	{"q5_k", 176, 256, 32, 5, 0, 6, 0, 6, 0, 2, -1, q5_k, s45, n45},
	{"q6_k", 210, 256, 16, 6, 32, 8, 128, 0, 208, -1, 0, q6_k, s6, 0},
};
