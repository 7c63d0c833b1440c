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
 * context of the class; the rest as it is. Of GGML's blocks
 * scales, minima and codes in the context of where what the base has lies on the
 * new scale. Ideal is the
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

#include "ideal_blocks.h"

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
	/* in the array; classes are at 0 */
	size_t sign, next, next_ctx, code, scale, minimum;
	const struct form *form;
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
	{.name = "q8_0"}, {.name = "q4_0"}, {.name = "q4_1"},
	{.name = "q5_0"}, {.name = "q5_1"}, {.name = "q2_k"},
	{.name = "q3_k"}, {.name = "q4_k"}, {.name = "q5_k"},
	{.name = "q6_k"},
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

/* A number of w bits that was y, and would be x on the new scale, is z; the
 * context is how near x lies to the border to the next. */
static void number(double *c, struct model *o, unsigned w, double x,
	unsigned z)
{
	const unsigned mask = (1u << w) - 1;
	double bits;
	int p;

	x = x < 0 ? 0 : x > mask ? mask : x;
	p = (int)floor(x + .5);
	bits = cost(c + (unsigned)floor((x + .5 - p) * 16) * (mask + 2),
		(z - (unsigned)p) & mask, mask + 1);
	o->plain += bits;
	o->ctx += bits;
}

/* What the codes of run i are times, and what is added. */
static double run(const struct form *f, const uint8_t *p, unsigned i,
	double *add)
{
	double d = half(load(p + f->d, 16));

	*add = f->m < 0 ? 0 : half(load(p + f->m, 16)) * f->sign;
	if (f->nbits)
		*add *= f->min(p, i);
	if (f->sbits)
		d *= (int)f->scale(p, i) - (int)f->soff;
	return d;
}

/* A block but for its f16: scales and minima by how the f16 changed, codes by
 * where the base's weights lie then. */
static void block(const struct kind *k, struct model *o, const uint8_t *b,
	const uint8_t *t)
{
	const struct form *f = k->form;
	const double db = half(load(b + f->d, 16)), dt = half(load(t + f->d, 16));
	double mb, mt, sb, st, x;
	unsigned i, y;

	for (i = 0; f->sbits && i < f->codes / f->run; i++) {
		x = (int)f->scale(b, i) - (int)f->soff;
		x = (dt != 0 ? x * db / dt : x) + f->soff;
		number(o->n + k->scale, o, f->sbits, x, f->scale(t, i));
	}
	for (i = 0; f->nbits && i < f->codes / f->run; i++) {
		mb = half(load(b + f->m, 16));
		mt = half(load(t + f->m, 16));
		x = f->min(b, i);
		x = mt != 0 ? x * mb / mt : x;
		number(o->n + k->minimum, o, f->nbits, x, f->min(t, i));
	}
	for (i = 0; i < f->codes; i++) {
		sb = run(f, b, i / f->run, &mb);
		st = run(f, t, i / f->run, &mt);
		y = f->code(b, i);
		x = st != 0 ? (sb * ((int)y - (int)f->off) + mb - mt) / st +
			f->off : y;
		number(o->n + k->code, o, f->bits, x, f->code(t, i));
	}
}

static struct kind *find(const char *name)
{
	const size_t all = sizeof(kinds) / sizeof(kinds[0]);
	struct kind *k;
	size_t i, n;

	if (!strncmp(name, "ggml_", 5)) /* plain tensors of a GGUF */
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
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (!strcmp(forms[i].name, name))
			k->form = &forms[i];
	k->scale = k->code + 16 * 257;
	k->minimum = k->scale + 16 * 257;
	for (i = 0; i < MODELS; i++) {
		k->m[i].size = k->minimum + 16 * 257;
		k->m[i].n = room(k->m[i].size, sizeof(double));
	}
	return k;
}

/* Bytes of a tensor by the best model: of a number that lies at `in` of every
 * unit, or of blocks but for such numbers. */
static double tensor(struct kind *k, const uint8_t *b, const uint8_t *t,
	size_t n, size_t unit, size_t in)
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
			if (k->form)
				block(k, o, b + at, t + at);
			else
				element(k, o, load(b + at + in, k->width),
					load(t + at + in, k->width));
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
	const struct form *f;
	uint8_t *old, *new;
	size_t nold, nnew;
	struct kind *k;
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
		f = k->form;
		bytes = tensor(k, old + bo, new + to, n,
			f ? f->bytes : k->width / 8, 0);
		if (f)
			bytes += tensor(find("f16"), old + bo, new + to, n,
				f->bytes, (size_t)f->d);
		if (f && f->m >= 0)
			bytes += tensor(find("f16"), old + bo, new + to, n,
				f->bytes, (size_t)f->m);
		printf("%.2f\n", bytes);
	}
	return 0;
}
