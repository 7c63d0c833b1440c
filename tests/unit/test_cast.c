/* SPDX-License-Identifier: MIT */
/* Casts against the machine's own floats and ggml's reference quantisers;
 * their notes, whole and spoilt; sums of low rank found again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "lowrank.h"
#include "test.h"

static struct ml_diag diag;

static uint32_t rnd(uint32_t *s)
{
	*s = *s * 1664525 + 1013904223;
	return *s >> 8 ^ *s << 16;
}

static uint32_t bits_of(float f)
{
	uint32_t v;

	memcpy(&v, &f, sizeof(v));
	return v;
}

static float float_of(uint32_t v)
{
	float f;

	memcpy(&f, &v, sizeof(f));
	return f;
}

static struct ml_cast make(unsigned from, unsigned to, uint64_t units)
{
	struct ml_cast c = {0};

	c.from = (uint8_t)from;
	c.to = (uint8_t)to;
	c.units = units;
	return c;
}

static void put(uint8_t *p, const float *x, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		ml_store32(p + 4 * i, bits_of(x[i]));
}

/* ===== floats =========================================================== */

/* The value of f16 bits, not a number for what is none. */
static double half(unsigned v)
{
	const unsigned e = v >> 10 & 31;
	const double m = v & 1023, s = v & 0x8000 ? -1 : 1;

	return e == 31 ? (m > 0 ? NAN : s * INFINITY) :
		e ? s * ldexp(1024 + m, (int)e - 25) : s * ldexp(m, -24);
}

/* Whether h is the f16 nearest to x, ties to even. */
static int nearest_half(float x, unsigned h)
{
	const double v = half(h), d = fabs(v - (double)x);
	double other;
	int i;

	if (isnan(x))
		return isnan(v);
	if (isinf(v))
		return fabs((double)x) >= 65520 && (v > 0) == (x > 0);
	for (i = -1; i <= 1; i += 2) {
		if ((h & 0x7fff) == 0 && i < 0)
			continue;
		other = half(h + (unsigned)i);
		if ((h & 0x7fff) == 0x7bff && i > 0)
			other = x > 0 ? 65536 : -65536;
		if (fabs(other - (double)x) < d || (fabs(other - (double)x) ==
			d && (h & 1)))
			return 0;
	}
	return 1;
}

static void floats(void)
{
	static const uint32_t special[] = {0, 0x80000000, 1, 0x80000001,
		0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0x3f800000,
		0x33000000, 0x33000001, 0x32ffffff, 0x387fe000, 0x387ff000,
		0x477fefff, 0x477ff000, 0x477fe000, 0x7f7fffff, 0x007fffff,
		0x00800000, 0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001};
	struct ml_cast h = make(ML_C_F32, ML_C_F16, 1);
	struct ml_cast b = make(ML_C_F32, ML_C_BF16, 1);
	struct ml_cast s = make(ML_C_F16, ML_C_F32, 1);
	struct ml_cast t = make(ML_C_BF16, ML_C_F32, 1);
	struct ml_cast d = make(ML_C_F64, ML_C_F32, 1);
	uint8_t p[8], q[8];
	uint32_t seed = 1, v, i;
	float f;

	for (i = 0; i < 300000; i++) {
		v = i < sizeof(special) / sizeof(*special) ? special[i] :
			i % 3 ? rnd(&seed) : 0x30000000 + rnd(&seed) % 0x20000000;
		f = float_of(v);
		ml_store32(p, v);
		ml_cast_make(&h, 0, 1, p, q);
		CHECK(nearest_half(f, ml_load16(q)));
		ml_cast_make(&b, 0, 1, p, q);
		if (!isnan(f)) {
			const uint32_t w = (uint32_t)ml_load16(q) << 16;

			CHECK(w == ((v + 0x7fff + (v >> 16 & 1)) &
				0xffff0000));
		} else {
			CHECK(isnan(float_of((uint32_t)ml_load16(q) << 16)));
		}
	}
	for (i = 0; i < 65536; i++) {
		ml_store16(p, i);
		ml_cast_make(&s, 0, 1, p, q);
		f = float_of(ml_load32(q));
		CHECK(isnan(half(i)) ? isnan(f) : (double)f == half(i));
		ml_cast_make(&h, 0, 1, q, p); /* and back */
		CHECK(isnan(f) || ml_load16(p) == i);
		ml_store16(p, i);
		ml_cast_make(&t, 0, 1, p, q);
		CHECK(ml_load32(q) == i << 16);
	}
	for (i = 0; i < 100000; i++) {
		double x = ldexp((double)rnd(&seed) + (double)rnd(&seed) /
			4294967296.0, (int)(rnd(&seed) % 300) - 180);
		uint64_t u;

		x = i & 1 ? -x : x;
		memcpy(&u, &x, sizeof(u));
		ml_store64(p, u);
		ml_cast_make(&d, 0, 1, p, q);
		/* subnormals are rounded twice */
		CHECK(fabs(x) < ldexp(1, -126) ||
			ml_load32(q) == bits_of((float)x));
	}
}

/* ===== quantisers ======================================================= */

/* As in ggml-quants.c. */
static void q8_0(const float *x, uint8_t *y)
{
	float most = 0, d, id;
	int i;

	for (i = 0; i < 32; i++)
		most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
	d = most / 127.0f;
	id = d != 0 ? 1.0f / d : 0.0f;
	for (i = 0; i < 32; i++)
		y[i] = (uint8_t)(int)roundf(x[i] * id);
}

static void q4_0(const float *x, uint8_t *y)
{
	float most = 0, max = 0, d, id;
	int i, v;

	for (i = 0; i < 32; i++)
		if (most < fabsf(x[i])) {
			most = fabsf(x[i]);
			max = x[i];
		}
	d = max / -8;
	id = d != 0 ? 1.0f / d : 0.0f;
	for (i = 0; i < 32; i++) {
		v = (int)(x[i] * id + 8.5f);
		v = v > 15 ? 15 : v;
		if (i < 16)
			y[i] = (uint8_t)v;
		else
			y[i - 16] = (uint8_t)(y[i - 16] | v << 4);
	}
}

static void quantisers(void)
{
	struct ml_cast c8 = make(ML_C_F32, ML_C_Q8_0, 1);
	struct ml_cast c4 = make(ML_C_F32, ML_C_Q4_0, 1);
	uint32_t scale[3], seed = 5, round, off = 0;
	struct ml_cast ci = make(ML_C_F32, ML_C_I8, 32);
	uint8_t p[128], q[34], want[32];
	float x[32], s[3];
	int i, v;

	for (i = 0; i < 3; i++) {
		s[i] = 0.011f + 0.007f * (float)i;
		scale[i] = bits_of(s[i]);
	}
	ci.scale = scale;
	ci.nscale = 3;
	ci.inner = 4;
	ci.zero = 3;
	for (round = 0; round < 20000; round++) {
		for (i = 0; i < 32; i++)
			x[i] = round == 0 ? 0 : ((float)(rnd(&seed) % 20001) -
				10000) / (float)(rnd(&seed) % 9000 + 3);
		put(p, x, 32);
		ml_cast_make(&c8, 0, 1, p, q);
		q8_0(x, want);
		CHECK(memcmp(q + 2, want, 32) == 0);
		ml_cast_make(&c4, 0, 1, p, q);
		q4_0(x, want);
		off += memcmp(q + 2, want, 16) != 0;
		ml_cast_make(&ci, 0, 32, p, q);
		for (i = 0; i < 32; i++) {
			v = (int)roundf(x[i] / s[i / 4 % 3]) + 3;
			v = v > 127 ? 127 : v < -128 ? -128 : v;
			CHECK((int8_t)q[i] == v);
		}
	}
	/* the sum with 8.5 is not rounded here: a hair's breadth */
	CHECK(off < 20);
}

/* ===== notes ============================================================ */

static void notes(void)
{
	int32_t u[6] = {1, -2, 8388607, -8388608, 5, 0};
	int32_t v[4] = {-1, 3, 0, 7};
	uint32_t scale[2] = {0x3f800000, 0x3c23d70a};
	struct ml_cast list[3] = {make(ML_C_F32, ML_C_BF16, 100),
		make(ML_C_F16, ML_C_U8, 50),
		make(ML_C_F32, ML_C_SUM, 6)}, *back;
	struct ml_casts casts = {list, 3};
	uint8_t *p, *spoilt;
	size_t n, m, i, k;

	list[0].at = 900;
	list[1].at = 16;
	list[1].inner = 25;
	list[1].nscale = 2;
	list[1].scale = scale;
	list[1].zero = -7;
	list[2].at = 40;
	list[2].inner = 2;
	list[2].rank = 2;
	list[2].exp = -60;
	list[2].drop[1] = 5;
	list[2].u = u;
	list[2].v = v;
	CHECK(!ml_cast_encode(&p, &n, &casts, &diag));
	CHECK(!ml_cast_decode(&back, &m, p, n, 2000, &diag) && m == 3);
	CHECK(back[0].at == 900 && back[0].units == 100);
	CHECK(back[1].zero == -7 && back[1].nscale == 2 &&
		back[1].inner == 25 && back[1].scale[1] == scale[1]);
	CHECK(back[2].rank == 2 && back[2].exp == -60 && back[2].drop[1] == 5);
	CHECK(memcmp(back[2].u, u, sizeof(u)) == 0);
	CHECK(memcmp(back[2].v, v, sizeof(v)) == 0);
	ml_cast_free(back, m);
	CHECK(ml_cast_decode(&back, &m, p, n, 1299, &diag) == ML_EFORMAT);
	ml_cast_free(back, m);
	for (i = 0; i < n; i++) { /* cut anywhere */
		spoilt = malloc(i + 1);
		memcpy(spoilt, p, i);
		CHECK(ml_cast_decode(&back, &m, spoilt, i, 2000, &diag));
		ml_cast_free(back, m);
		free(spoilt);
	}
	for (i = 0; i < n; i++) /* any byte anything: no harm */
		for (k = 1; k < 256; k++) {
			p[i] ^= (uint8_t)k;
			ml_cast_decode(&back, &m, p, n, 2000, &diag);
			ml_cast_free(back, m);
			p[i] ^= (uint8_t)k;
		}
	test_count++;
	free(p);
}

/* More than one record of a stream can hold. */
static void records(void)
{
	static uint32_t scale[65536];
	struct ml_head head = {.kind = ML_KIND_DELTA, .base_size = 1 << 20};
	struct ml_cast list[6];
	struct ml_casts casts = {list, 6};
	const uint8_t zeros[ML_SHA256_LEN] = {0}, *p;
	char *bytes = NULL;
	size_t n = 0, i, some = 0;
	struct ml_out o;
	struct ml_in *in;
	uint32_t tag;
	FILE *f = open_memstream(&bytes, &n);

	for (i = 0; i < 6; i++) {
		list[i] = make(ML_C_F32, ML_C_I8, 1000 + i);
		list[i].inner = 1;
		list[i].nscale = 65536;
		list[i].scale = scale;
		list[i].at = 100 * i;
	}
	scale[65535] = 0x3f800000;
	CHECK(!ml_out_open(&o, f, &head, &diag));
	CHECK(!ml_out_casts(&o, &casts, &diag));
	CHECK(!ml_out_done(&o, 0, zeros, &diag));
	fclose(f);
	f = fmemopen(bytes, n, "rb");
	CHECK(!ml_in_open(&in, f, &diag));
	do {
		CHECK(!ml_in_next(in, &tag, &p, &n, &diag));
		some += tag == ML_CAST;
	} while (tag == ML_CAST);
	CHECK(tag == ML_DONE && some == 2);
	CHECK(ml_in_casts(in)->n == 6);
	CHECK(ml_in_casts(in)->c[5].units == 1005);
	CHECK(ml_in_casts(in)->c[5].scale[65535] == 0x3f800000);
	ml_in_free(in);
	fclose(f);
	free(bytes);
}

/* ===== sums ============================================================= */

#define ROWS 96
#define COLS 80

static struct ml_src *source(const float *x, size_t n, int brain)
{
	struct ml_src *s;
	uint8_t p[4];
	size_t i;

	CHECK(!ml_src_spool(&s, &diag));
	for (i = 0; i < n; i++) {
		uint32_t v = bits_of(x[i]);

		if (brain)
			v = (v + 0x7fff + (v >> 16 & 1)) >> 16;
		ml_store32(p, v);
		CHECK(!ml_src_append(s, p, brain ? 2 : 4, &diag));
	}
	return s;
}

/* A change of this rank, 0: of full rank. Returns bits per element. */
static double sums(unsigned rank, int brain)
{
	static float a[ROWS * COLS], b[ROWS * COLS];
	static double u[ROWS * 8], v[COLS * 8];
	uint64_t shape[2] = {ROWS, COLS}, bits;
	struct ml_span sp = {0};
	struct ml_src *x, *y;
	struct ml_cast c;
	uint32_t seed = 9 + rank;
	size_t i, j, k;

	for (i = 0; i < ROWS * 8; i++)
		u[i] = (double)(rnd(&seed) % 2001) / 1000 - 1;
	for (i = 0; i < COLS * 8; i++)
		v[i] = (double)(rnd(&seed) % 2001) / 1e5 - 0.01;
	for (i = 0; i < ROWS; i++)
		for (j = 0; j < COLS; j++) {
			double d = 0;

			for (k = 0; k < rank; k++)
				d += u[i * 8 + k] * v[j * 8 + k];
			if (rank == 0)
				d = (double)(rnd(&seed) % 2001) / 1e5 - 0.01;
			a[i * COLS + j] = (float)((double)(rnd(&seed) % 2001) /
				1e4 - 0.1);
			if (brain)
				a[i * COLS + j] = float_of(bits_of(
					a[i * COLS + j]) & 0xffff0000);
			b[i * COLS + j] = (float)((double)a[i * COLS + j] + d);
		}
	x = source(a, ROWS * COLS, brain);
	y = source(b, ROWS * COLS, brain);
	sp.kind = ML_TENSOR;
	sp.dtype = brain ? ML_DT_BF16 : ML_DT_F32;
	sp.rank = 2;
	sp.shape = shape;
	sp.len = ml_src_size(x);
	CHECK(!ml_lowrank_find(&c, &bits, &sp, x, &sp, y, &diag));
	if (bits != UINT64_MAX) {
		CHECK(c.rank == rank);
		CHECK(ml_cast_legal(&c, sp.len));
	}
	free(c.u);
	free(c.v);
	ml_src_free(x);
	ml_src_free(y);
	return bits == UINT64_MAX ? 99 : (double)bits / (ROWS * COLS);
}

int main(void)
{
	floats();
	quantisers();
	notes();
	records();
	/* factors of 8: 176 * 8 numbers for 7680 elements */
	CHECK(sums(8, 0) < 7);
	CHECK(sums(3, 0) < 4);
	CHECK(sums(8, 1) < 3.5);
	CHECK(sums(1, 1) < 1.5);
	CHECK(sums(0, 0) == 99);
	CHECK(sums(0, 1) == 99);
	return 0;
}
