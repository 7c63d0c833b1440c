/* SPDX-License-Identifier: MIT */
/* Gathers against a plain loop over all indices, at any offsets; the bytes of
 * their notes; casts of what they made. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "gather.h"
#include "ml.h"
#include "test.h"

static struct ml_diag diag;
static uint64_t state = 1;

static uint64_t rnd(uint64_t below)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (state >> 33) % below;
}

static void orders(void)
{
	static const unsigned all[] = {1, 1, 2, 6, 24, 120, 720};
	uint8_t o[6], was[6] = {0};
	unsigned n, i;

	for (n = 1; n <= 6; n++)
		for (i = 0; i < all[n]; i++) {
			ml_gather_order(o, n, i);
			CHECK(ml_gather_number(o, n) == i);
			CHECK(i == 0 || memcmp(o, was, n) > 0);
			memcpy(was, o, n);
		}
	ml_gather_order(o, 4, 0);
	CHECK(memcmp(o, "\0\1\2\3", 4) == 0);
	ml_gather_order(o, 4, 23);
	CHECK(memcmp(o, "\3\2\1\0", 4) == 0);
}

/* What it makes, the slow way; to be freed. */
static uint8_t *slow(const struct ml_cast *c, const uint8_t *base)
{
	const struct ml_gather *g = c->gather;
	const size_t w = (size_t)1 << c->from;
	uint8_t *to = calloc(c->units, w);
	uint64_t i, left, at, idx, n;
	unsigned d, k, j;
	int zero;

	for (i = 0; i < c->units; i++) {
		uint64_t in[ML_GATHER_DIMS] = {0};

		zero = 0;
		for (d = g->rank, left = i; d-- > 0; left /= n) {
			k = g->order[d];
			n = ml_gather_taken(g, k);
			idx = left % n;
			for (j = 0; g->nrun[k] && g->run[k][j].end <= idx;)
				j++;
			if (!g->nrun[k])
				in[k] = idx;
			else if (g->run[k][j].at == ML_RUN_ZERO)
				zero = 1;
			else
				in[k] = g->run[k][j].at + idx -
					(j ? g->run[k][j - 1].end : 0);
		}
		for (at = 0, k = 0; k < g->rank; k++)
			at = at * g->dim[k] + in[k];
		if (!zero)
			memcpy(to + i * w, base + c->at + at * w, w);
	}
	return to;
}

/* Some gather of a range of at most `most` elements. */
static struct ml_cast some(uint64_t most, unsigned log)
{
	struct ml_cast c = {.from = (uint8_t)log, .to = ML_C_GATHER};
	struct ml_gather *g = calloc(1, sizeof(*g));
	unsigned k, i;
	uint64_t n = 1, end;

	g->rank = (uint8_t)(1 + rnd(6));
	k = 1;
	for (i = 2; i <= g->rank; i++)
		k *= i;
	ml_gather_order(g->order, g->rank, (unsigned)rnd(k));
	for (k = 0; k < g->rank; k++) {
		uint64_t room = most / n;

		if (rnd(3) && room > 12)
			room = 12;
		g->dim[k] = 1 + rnd(room);
		n *= g->dim[k];
	}
	for (k = 0; k < g->rank; k++) {
		if (rnd(2))
			continue;
		g->nrun[k] = (uint32_t)(1 + rnd(4));
		g->run[k] = calloc(g->nrun[k], sizeof(**g->run));
		for (i = 0, end = 0; i < g->nrun[k]; i++) {
			const uint64_t many = 1 + rnd(g->dim[k] > 40 ? 40 :
				g->dim[k]);

			g->run[k][i].at = rnd(4) ? rnd(g->dim[k] - many + 1) :
				ML_RUN_ZERO;
			g->run[k][i].end = end += many;
		}
	}
	c.gather = g;
	c.units = ml_gather_units(g);
	return c;
}

static void against_slow(uint64_t size, unsigned rounds)
{
	uint8_t *base = malloc(size), *all, *part, *p;
	FILE *f = tmpfile();
	struct ml_src *src, *made;
	struct ml_casts casts;
	unsigned i, j;
	size_t n, m;

	for (n = 0; n < size; n++)
		base[n] = (uint8_t)(rnd(255) + 1);
	fwrite(base, 1, size, f);
	fflush(f);
	CHECK(!ml_src_fd(&src, fileno(f), &diag));
	for (i = 0; i < rounds; i++) {
		const unsigned log = (unsigned)rnd(4);
		struct ml_cast c = some(size >> (log + 1), log), *back;
		uint64_t len;

		if (c.units > 1 << 21) {
			ml_gather_free(c.gather);
			continue;
		}
		c.at = rnd(size - ml_cast_from_len(&c) + 1);
		CHECK(ml_cast_legal(&c, size));
		CHECK(!ml_cast_legal(&c, c.at + ml_cast_from_len(&c) - 1));
		casts.c = &c;
		casts.n = 1;
		CHECK(!ml_cast_encode(&p, &n, &casts, &diag));
		CHECK(!ml_cast_decode(&back, &m, p, n, size, &diag));
		CHECK(m == 1 && back->units == c.units);
		free(p);
		all = slow(&c, base);
		ml_gather_free(c.gather);
		len = ml_cast_len(back);
		casts.c = back;
		CHECK(!ml_cast_src(&made, NULL, src, &casts, &diag));
		CHECK(ml_src_size(made) == size + len);
		part = malloc(len);
		CHECK(!ml_src_read(made, size, part, len, &diag));
		CHECK(memcmp(part, all, len) == 0);
		for (j = 0; j < 20; j++) {
			const uint64_t at = rnd(len);
			const size_t k = (size_t)(1 + rnd(len - at));

			CHECK(!ml_src_read(made, size + at, part, k, &diag));
			CHECK(memcmp(part, all + at, k) == 0);
		}
		for (len = ml_cast_len(back), j = 0; j < len && j < 9000;
			j += 300) { /* on and on */
			n = len - j < 300 ? len - j : 300;
			CHECK(!ml_src_read(made, size + j, part, n, &diag));
			CHECK(memcmp(part, all + j, n) == 0);
		}
		ml_src_free(made);
		ml_cast_free(back, m);
		free(part);
		free(all);
	}
	ml_src_free(src);
	fclose(f);
	free(base);
}

/* A cast of two gathers' making, and of what must not be cast. */
static void behind(void)
{
	float base[12], want[12], got[12];
	struct ml_run run = {2, 1};
	struct ml_gather g = {.rank = 2, .order = {1, 0}, .dim = {2, 3}};
	struct ml_gather h = {.rank = 1, .dim = {6}};
	struct ml_cast c[4] = {
		{.from = 2, .to = ML_C_GATHER, .units = 6, .gather = &g},
		{.from = 2, .to = ML_C_GATHER, .units = 6, .at = 24,
			.gather = &h},
		{.from = ML_C_F32, .to = ML_C_BF16, .units = 12, .at = 48},
	};
	struct ml_casts casts = {c, 3};
	struct ml_src *src, *made;
	FILE *f = tmpfile();
	uint8_t out[24];
	unsigned i;

	for (i = 0; i < 12; i++)
		base[i] = (float)i;
	for (i = 0; i < 6; i++)
		want[i] = base[i % 2 * 3 + i / 2], want[6 + i] = base[6 + i];
	fwrite(base, 4, 12, f);
	fflush(f);
	CHECK(ml_cast_fit(c, 3, 48));
	CHECK(!ml_src_fd(&src, fileno(f), &diag));
	CHECK(!ml_cast_src(&made, NULL, src, &casts, &diag));
	CHECK(!ml_src_read(made, 48, got, 48, &diag));
	CHECK(memcmp(got, want, 48) == 0);
	CHECK(!ml_src_read(made, 96, out, 24, &diag));
	for (i = 0; i < 12; i++) {
		uint32_t v;

		memcpy(&v, &want[i], 4);
		CHECK(ml_load16(out + 2 * i) == v >> 16);
	}
	ml_src_free(made);
	ml_src_free(src);
	fclose(f);
	c[2].at = 52; /* one more than they made */
	CHECK(!ml_cast_fit(c, 3, 48));
	c[2].at = 44; /* across the end of the image */
	CHECK(!ml_cast_fit(c, 3, 48));
	c[2].at = 48;
	c[3] = c[2]; /* not directly before any more */
	CHECK(!ml_cast_fit(c, 4, 48));
	c[3].at = 96; /* of a cast */
	c[3].units = 6;
	CHECK(!ml_cast_fit(c, 4, 48));
	c[1].at = 48; /* a gather of a gather */
	CHECK(!ml_cast_fit(c, 3, 48));
	/* runs and dimensions that are not there */
	g.nrun[1] = 1;
	g.run[1] = &run;
	c[0].units = 2;
	CHECK(ml_cast_legal(c, 48));
	run.at = 3;
	CHECK(!ml_cast_legal(c, 48));
	run.at = 0;
	run.end = 0;
	CHECK(!ml_cast_legal(c, 48));
	run.end = UINT64_MAX / 8;
	CHECK(!ml_cast_legal(c, 48));
	run.at = ML_RUN_ZERO;
	run.end = UINT64_C(1) << 49;
	c[0].units = 2 * run.end;
	CHECK(ml_cast_legal(c, 48));
	run.end *= 2;
	c[0].units = 2 * run.end;
	CHECK(!ml_cast_legal(c, 48));
	g.nrun[1] = 0;
	c[0].units = 6;
	g.order[0] = 0;
	CHECK(!ml_cast_legal(c, 48));
	g.order[0] = 1;
	g.dim[0] = UINT64_C(1) << 40;
	CHECK(!ml_cast_legal(c, 48));
}

/* A source whose byte at x is a hash of x, and that counts what it gives. */
static uint8_t hashed(uint64_t x)
{
	return (uint8_t)(x * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

static int counting(void *ctx, uint64_t off, void *buf, size_t n,
	struct ml_diag *d)
{
	uint8_t *to = buf;
	size_t i;

	(void)d;
	*(uint64_t *)ctx += n;
	for (i = 0; i < n; i++)
		to[i] = hashed(off + i);
	return ML_OK;
}

/* A patch that wants a byte here and a byte there of what a gather makes does
 * not have much more made. */
static void jumps(void)
{
	static const struct ml_src_ops ops = {counting, NULL};
	enum { SIDE = 1024, JUMPS = 2000, EACH = 1024 };
	struct ml_gather g = {.rank = 2, .order = {1, 0}, .dim = {SIDE, SIDE}};
	struct ml_cast c = {.from = 0, .to = ML_C_GATHER, .units = SIDE * SIDE,
		.gather = &g};
	struct ml_casts casts = {&c, 1};
	struct ml_cast_src *made;
	struct ml_src *src, *all;
	uint64_t count = 0, at;
	uint8_t b;
	unsigned i;

	CHECK(!ml_src_made(&src, SIDE * SIDE, &ops, &count, &diag));
	CHECK(!ml_cast_src(&all, &made, src, &casts, &diag));
	for (i = 0; i < JUMPS; i++) {
		at = rnd(SIDE * SIDE);
		CHECK(!ml_cast_read(made, SIDE * SIDE + at, &b, 1, &diag));
		CHECK(b == hashed(at % SIDE * SIDE + at / SIDE));
	}
	CHECK(count <= (uint64_t)JUMPS * EACH);
	CHECK(ml_cast_read(made, 2 * SIDE * SIDE, &b, 1, &diag) == ML_ETRUNC);
	CHECK(ml_cast_read(made, UINT64_MAX, &b, 1, &diag) == ML_ETRUNC);
	ml_src_free(all);
	ml_src_free(src);
}

/* Any byte anything: no harm. */
static void spoilt(void)
{
	struct ml_cast c[2] = {some(1000, 2), some(1000, 1)}, *back;
	struct ml_casts casts = {c, 2};
	uint8_t *p, *q;
	size_t n, m, i, k;

	CHECK(!ml_cast_encode(&p, &n, &casts, &diag));
	for (i = 0; i < n; i++) {
		q = malloc(i + 1);
		memcpy(q, p, i);
		CHECK(ml_cast_decode(&back, &m, q, i, 4000, &diag));
		ml_cast_free(back, m);
		free(q);
		for (k = 1; k < 256; k++) {
			p[i] ^= (uint8_t)k;
			if (!ml_cast_decode(&back, &m, p, n, 4000, &diag))
				CHECK(m == 2 && ml_cast_fit(back, m, 4000));
			ml_cast_free(back, m);
			p[i] ^= (uint8_t)k;
		}
	}
	free(p);
	ml_gather_free(c[0].gather);
	ml_gather_free(c[1].gather);
}

int main(void)
{
	unsigned i;

	orders();
	against_slow(4000, 300);
	against_slow(3 << 20, 12);
	behind();
	jumps();
	for (i = 0; i < 5; i++)
		spoilt();
	return 0;
}
