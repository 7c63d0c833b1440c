/* SPDX-License-Identifier: MIT */
/*
 * ideal OLD NEW <LIST: what an ideal coder would spend on tensors that moved,
 * to measure ours by. It shares nothing with the library. A line of LIST is
 *
 *	DTYPE OLD-OFFSET NEW-OFFSET BYTES
 *
 * and the answer to it a line with so many bytes, as a decimal fraction.
 *
 * The model: elements as integers in monotone order; the class (bit length) of
 * the difference in the context of the base's exponent, for integers of the
 * base's highest bits; the sign; three bits under the leading one in the
 * context of the class; the rest as it is. Codes of q8_0 and q4_0 in the
 * context of where the base's weight lies on the new scale. Ideal is the
 * coder: every symbol costs -log2 of its share of those seen so far in its
 * context, in floating point, and counts are never forgotten or rounded.
 *
 * Where there is a choice, the ideal coder makes the better one for every
 * tensor and pays nothing for that: whether counts live on from the last
 * tensor of the dtype or begin anew, and whether the exponent is context of
 * the three bits as well.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 65
#define START .2 /* the count that an unseen symbol begins with */

/* All counts, as one array: of an alphabet of n, n symbols and their sum. */
struct model {
	double *n;
	size_t size;
	double plain, ctx; /* bits of a tensor, by either context */
};

enum { ANEW, LASTING, MODELS };

struct kind {
	const char *name;
	unsigned width, ebits;
	size_t sign, next, next_ctx, code; /* in the array; classes are at 0 */
	struct model m[MODELS];
};

static struct kind kinds[] = {
	{.name = "f64", .width = 64, .ebits = 11},
	{.name = "f32", .width = 32, .ebits = 8},
	{.name = "f16", .width = 16, .ebits = 5},
	{.name = "bf16", .width = 16, .ebits = 8},
	{.name = "f8_e4m3", .width = 8, .ebits = 4},
	{.name = "f8_e5m2", .width = 8, .ebits = 5},
	{.name = "i8", .width = 8},
	{.name = "i16", .width = 16},
	{.name = "i32", .width = 32},
	{.name = "q8_0", .width = 8},
	{.name = "q4_0", .width = 4},
};

static void *room(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p) {
		perror("ideal");
		exit(3);
	}
	return p;
}

/* Bits that symbol s of n costs; it is counted. */
static double cost(double *c, unsigned s, unsigned n)
{
	const double bits = log2((c[n] + START * n) / (c[s] + START));

	c[s]++;
	c[n]++;
	return bits;
}

static uint64_t load(const uint8_t *p, unsigned bits)
{
	uint64_t v = 0;
	unsigned i;

	for (i = bits / 8; i--;)
		v = v << 8 | p[i];
	return v;
}

static unsigned length(uint64_t v)
{
	unsigned n = 0;

	for (; v; v >>= 1)
		n++;
	return n;
}

static uint64_t monotone(uint64_t v, unsigned w)
{
	const uint64_t top = UINT64_C(1) << (w - 1);

	return v & top ? ~v & (2 * top - 1) : v | top;
}

/* An element whose base is b. */
static void element(const struct kind *k, struct model *o, uint64_t b,
	uint64_t t)
{
	const unsigned w = k->width, e = k->ebits;
	const uint64_t mask = UINT64_MAX >> (64 - w);
	unsigned c, n, neg, i, m = 1;
	double bits;
	uint64_t r;

	if (e) {
		c = (unsigned)(b >> (w - 1 - e)) & ((1u << e) - 1);
		b = monotone(b, w);
		t = monotone(t, w);
	} else {
		c = (unsigned)(((b + (UINT64_C(1) << (w - 1))) & mask) >>
			(w - 4));
	}
	r = (t - b) & mask;
	neg = (unsigned)(r >> (w - 1));
	if (neg)
		r = (0 - r) & mask;
	n = length(r);
	bits = cost(o->n + c * (w + 2), n, w + 1);
	if (n)
		bits += cost(o->n + k->sign + n * 3, neg, 2);
	bits += n > 4 ? n - 4 : 0;
	o->plain += bits;
	o->ctx += bits;
	for (i = 2; i < 5 && n >= i; i++) {
		const unsigned y = (unsigned)(r >> (n - i)) & 1;

		o->plain += cost(o->n + k->next + (n * 8 + m) * 3, y, 2);
		o->ctx += cost(o->n + k->next_ctx +
			((c * CLASSES + n) * 8 + m) * 3, y, 2);
		m = 2 * m + y;
	}
}

static double half(uint64_t v)
{
	const int e = (int)(v >> 10 & 31);
	const double m = (double)(v & 1023) + (e ? 1024 : 0);

	return ldexp(v >> 15 ? -m : m, (e ? e : 1) - 25);
}

/* The 32 codes of a block, behind its scale. */
static void codes(const struct kind *k, struct model *o, const uint8_t *b,
	const uint8_t *t)
{
	const unsigned w = k->width, mask = (1u << w) - 1;
	const int bottom = -(1 << (w - 1));
	const double db = half(load(b, 16)), dt = half(load(t, 16));
	double x, bits;
	unsigned i;
	int y, z, p;

	for (i = 0; i < 32; i++) {
		if (w == 8) {
			y = (int8_t)b[2 + i];
			z = (int8_t)t[2 + i];
		} else {
			y = (b[2 + i % 16] >> 4 * (i / 16) & 15) - 8;
			z = (t[2 + i % 16] >> 4 * (i / 16) & 15) - 8;
		}
		x = dt != 0 ? y * db / dt : y;
		x = x < bottom ? bottom : x > -1 - bottom ? -1 - bottom : x;
		p = (int)floor(x + .5);
		bits = cost(o->n + k->code + (unsigned)floor((x + .5 - p) *
			16) * (mask + 2), (unsigned)(z - p) & mask, mask + 1);
		o->plain += bits;
		o->ctx += bits;
	}
}

static struct kind *find(const char *name)
{
	const size_t all = sizeof(kinds) / sizeof(kinds[0]);
	struct kind *k;
	size_t i, n;

	if (!strncmp(name, "ggml_f", 6)) /* plain tensors of a GGUF */
		name += 5;
	for (i = 0; i < all && strcmp(kinds[i].name, name) != 0; i++)
		;
	if (i == all)
		return NULL;
	k = &kinds[i];
	if (k->m[0].n)
		return k;
	n = k->ebits ? (size_t)1 << k->ebits : 16;
	k->sign = n * (k->width + 2);
	k->next = k->sign + CLASSES * 3;
	k->next_ctx = k->next + CLASSES * 8 * 3;
	k->code = k->next_ctx + n * CLASSES * 8 * 3;
	for (i = 0; i < MODELS; i++) {
		k->m[i].size = k->code + 16 * 257;
		k->m[i].n = room(k->m[i].size, sizeof(double));
	}
	return k;
}

/* Bytes of a tensor by the best model: of a number at the begin of every unit,
 * or of the codes behind it. */
static double tensor(struct kind *k, const uint8_t *b, const uint8_t *t,
	size_t n, size_t unit, int coded)
{
	double best = INFINITY;
	struct model *o;
	size_t at;
	int i;

	for (i = 0; i < MODELS; i++) {
		o = &k->m[i];
		if (i == ANEW)
			memset(o->n, 0, o->size * sizeof(double));
		o->plain = o->ctx = 0;
		for (at = 0; at + unit <= n; at += unit)
			if (coded)
				codes(k, o, b + at, t + at);
			else
				element(k, o, load(b + at, k->width),
					load(t + at, k->width));
		best = fmin(best, fmin(o->plain, o->ctx));
	}
	return best / 8;
}

static uint8_t *file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) {
		perror(path);
		exit(3);
	}
	rewind(f);
	*n = (size_t)size;
	p = room(*n + 1, 1);
	if (fread(p, 1, *n, f) != *n) {
		perror(path);
		exit(3);
	}
	fclose(f);
	return p;
}

int main(int argc, char **argv)
{
	unsigned long long bo, to, n;
	struct kind *k, *scale;
	uint8_t *old, *new;
	size_t nold, nnew, unit;
	char name[32];
	double bytes;

	if (argc != 3) {
		fputs("usage: ideal OLD NEW <LIST\n", stderr);
		return 2;
	}
	old = file(argv[1], &nold);
	new = file(argv[2], &nnew);
	while (scanf("%31s %llu %llu %llu", name, &bo, &to, &n) == 4) {
		k = find(name);
		if (!k || bo > nold || n > nold - bo || to > nnew ||
			n > nnew - to) {
			fprintf(stderr, "ideal: bad line: %s\n", name);
			return 1;
		}
		scale = name[0] == 'q' ? find("f16") : NULL;
		unit = scale ? 2 + 4 * k->width : k->width / 8;
		bytes = tensor(k, old + bo, new + to, n, unit, scale != NULL);
		if (scale)
			bytes += tensor(scale, old + bo, new + to, n, unit, 0);
		printf("%.2f\n", bytes);
	}
	return 0;
}
