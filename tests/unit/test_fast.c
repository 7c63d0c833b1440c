/* SPDX-License-Identifier: MIT */
/* Coder 3: all kernels write the same bytes and read them back, of any
 * elements and any number of them; of hostile blocks they make the same. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "fast.h"
#include "mldec.h"
#include "test.h"

#define MAX_CODES 4

static const struct ml_fast_code *code[MAX_CODES];
static struct ml_faster *enc[MAX_CODES];
static unsigned ncode;
static struct ml_fast *dec;
static uint8_t base[ML_FAST_MAX + ML_FAST_SLACK], data[ML_FAST_MAX];
static uint8_t got[ML_FAST_MAX + ML_FAST_SLACK];
static uint8_t first[ML_FAST_MAX + ML_FAST_SLACK];
static uint8_t bad[ML_FAST_MAX + ML_FAST_SLACK];
static unsigned long coded[4]; /* blocks of each form */

static uint32_t seed = 1;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* Number of leading zeros of random bits: small mostly. */
static unsigned few(void)
{
	unsigned n = 0;

	while (n < 30 && rnd() & 0x10000)
		n++;
	return n;
}

static void put(uint8_t *p, unsigned w, uint64_t v)
{
	for (; w--; v >>= 8)
		*p++ = (uint8_t)v;
}

static uint64_t get(const uint8_t *p, unsigned w)
{
	uint64_t v = 0;

	while (w--)
		v = v << 8 | p[w];
	return v;
}

/* Kinds of data. */
enum { RANDOM, WEIGHTS, NEAR, SPARSE, ROWS, ODD, SAME, SPECIAL, NKIND };

static uint64_t number(const struct ml_fast_elem *e)
{
	const unsigned bits = e->w * 8u, m = bits - 1 - e->ebits;
	uint64_t v = (uint64_t)rnd() << 32 | rnd();

	if (!e->ebits)
		return v >> (64 - bits) >> few() % bits;
	v >>= 64 - m;
	v |= (uint64_t)(((1u << (e->ebits - 1)) - 4 - few()) &
		((1u << e->ebits) - 1)) << m;
	return v | (uint64_t)(rnd() >> 31) << (bits - 1);
}

static void make(int kind, const struct ml_fast_elem *e, size_t n)
{
	static const uint64_t special[] = {
		0, 1, UINT64_MAX, 0x8000000000000000, 0x7ff0000000000000,
		0xfff8000000000001, 0x7f80000000000000, 0xff80000000000000
	};
	const unsigned w = e->w;
	size_t i;
	uint64_t b, t;

	for (i = 0; i < n; i++) {
		b = number(e);
		t = number(e);
		switch (kind) {
		case RANDOM: b = (uint64_t)rnd() << 32 | rnd();
			t = (uint64_t)rnd() << 32 | rnd(); break;
		case NEAR: t = b + few() * few() - few(); break;
		case SPARSE: t = rnd() % 1000 ? b : b + 1; break;
		case ROWS: t = i / 300 % 3 ? b : b + few(); 
			if (i / 300 % 3 == 2)
				t = b = 0;
			break;
		case ODD: t = rnd() % 50 ? b + few() :
			((uint64_t)rnd() << 32 | rnd()); break;
		case SAME: b = t = 0x3c3c3c3c3c3c3c3c; break;
		case SPECIAL: b = special[rnd() % 8] >> (64 - w * 8);
			t = special[rnd() % 8] >> (64 - w * 8); break;
		default: break;
		}
		put(base + i * w, w, b);
		put(data + i * w, w, t);
	}
}

static int decode(unsigned k, const struct ml_fast_in *in, const uint8_t *p,
	size_t n, uint8_t *out)
{
	struct ml_fast_head h;
	int r = ml_fast_head(&h, p, n, in->n);

	dec->kern = code[k]->dec;
	if (r)
		return r;
	memset(out, 0x55, in->n);
	if (k & 1 && ML_FAST_BASED(h.form)) { /* in place */
		memcpy(out, base, in->n);
		return ml_fast_decode(dec, &h, p, n, out, out, in->n);
	}
	return ml_fast_decode(dec, &h, p, n, base, out, in->n);
}

/* Residuals in place of elements. */
static void residuals(const struct ml_fast_elem *e, size_t n, uint8_t *to)
{
	const unsigned w = e->w;
	const uint64_t s = (uint64_t)1 << (w * 8 - 1), m = 2 * s - 1;
	size_t i;

	for (i = 0; i < n; i++) {
		uint64_t b = get(base + i * w, w), t = get(data + i * w, w);

		if (e->ebits) {
			b = b & s ? ~b & m : b | s;
			t = t & s ? ~t & m : t | s;
		}
		put(to + i * w, w, t - b);
	}
}

/* What it was coded to. */
static size_t there_and_back(struct ml_fast_in *in)
{
	const uint8_t *p;
	size_t n, n0 = 0;
	unsigned k;

	for (k = 0; k < ncode; k++) {
		ml_faster_encode(enc[k], in, &p, &n);
		if (k == 0) {
			memcpy(first, p, n);
			n0 = n;
		}
		CHECK(n == n0 && memcmp(p, first, n) == 0);
	}
	if (!n0)
		return 0;
	CHECK(n0 < in->n);
	coded[first[0]]++;
	for (k = 0; k < ncode; k++) {
		CHECK(decode(k, in, first, n0, got) == 0);
		CHECK(memcmp(got, data, in->n) == 0);
	}
	return n0;
}

/* All make the same of damaged blocks. */
static void hostile(const struct ml_fast_in *in, size_t n, unsigned tries)
{
	static uint8_t other[ML_FAST_MAX + ML_FAST_SLACK];
	unsigned k;
	size_t m;

	while (tries--) {
		memcpy(bad, first, n);
		m = n;
		if (rnd() & 1)
			bad[rnd() % (rnd() & 1 ? n : n < 400 ? n : 400)] ^=
				(uint8_t)(1u << (rnd() & 7));
		else if (rnd() & 1)
			bad[rnd() % n] = (uint8_t)rnd();
		else
			m = rnd() % n;
		int r = decode(0, in, bad, m, got);

		for (k = 1; k < ncode; k++) {
			CHECK(decode(k, in, bad, m, other) == r);
			CHECK(r || memcmp(got, other, in->n) == 0);
		}
	}
}

static void all(unsigned type, int kind, size_t n)
{
	static uint8_t res[ML_FAST_MAX];
	struct ml_fast_in in = { .type = type, .data = data, .at = 12345 };
	struct ml_fast_elem e;
	size_t k;

	ml_fast_elem(&e, type);
	in.n = n * e.w;
	make(kind, &e, n);
	k = there_and_back(&in);
	if (k)
		hostile(&in, k, n < 5000 ? 8 : 2);
	in.base = base;
	k = there_and_back(&in);
	if (k)
		hostile(&in, k, n < 5000 ? 8 : 2);
	residuals(&e, n, res);
	in.data = res;
	in.given = 1;
	k = there_and_back(&in);
	if (k)
		hostile(&in, k, n < 5000 ? 8 : 2);
}

int main(void)
{
	static const size_t sizes[] = { 1, 2, 3, 63, 64, 65, 127, 128, 129,
		511, 512, 513, 700, 1000, 2047, 2048, 2049, 4095, 4097, 9001,
		20000, 40001 };
	struct ml_diag diag;
	unsigned type, i;
	int kind;

	dec = malloc(sizeof *dec);
	while (ncode < MAX_CODES && ml_fast_code_nth(ncode)) {
		code[ncode] = ml_fast_code_nth(ncode);
		CHECK(ml_faster_new(&enc[ncode], code[ncode], &diag) == 0);
		fprintf(stderr, "# kernels: %s\n", code[ncode]->dec->name);
		ncode++;
	}
	for (type = 0; type < ML_FAST_TYPES; type++)
		for (kind = 0; kind < NKIND; kind++)
			for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
				all(type, kind, sizes[i]);
	for (i = 500; i < 720; i++) /* every length */
		for (type = 5; type < 8; type++)
			all(type, i % 2 ? NEAR : WEIGHTS, i);
	for (kind = 0; kind < NKIND; kind++) {
		all(6, kind, ML_FAST_MAX / 2);
		all(7, kind, ML_FAST_MAX / 4);
		all(1, kind, ML_FAST_MAX);
	}
	for (i = 0; i < 4; i++)
		CHECK(coded[i] > 50); /* every form was seen */
	for (i = 0; i < ncode; i++)
		ml_faster_free(enc[i]);
	free(dec);
	return 0;
}
