/* SPDX-License-Identifier: MIT */
/*
 * A merged LoRA (Hu et al., 2021) changes a matrix by a product of two thin
 * ones, and the result was rounded to the matrix's type. The product is found
 * again from the difference: a randomised range finder (Halko, Martinsson,
 * Tropp, 2011) tells its rank and a first approximation; weighted least
 * squares, weight 1/ulp^2, sharpen it where the matrix is small. What is left
 * is rounding noise, and costs next to nothing.
 *
 * Only additions, multiplications, divisions and square roots of doubles, in a
 * fixed order: IEEE 754 makes the same of them everywhere. The decoder has
 * integers (cast.c).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "cost.h"
#include "lowrank.h"
#include "ops.h"

#ifdef __clang__ /* gcc has it off with -std=c11 */
#pragma STDC FP_CONTRACT OFF
#endif

#define OVER 4 /* columns more than the rank, for the range finder */
#define ROUNDS 3
#define SUB 128 /* rows and columns of the part that is looked at first, */
#define SEEN 36 /* and one more than the ranks that can be seen in it */
#define SHARPEN_MAX 3e8 /* multiplications of a round of least squares */
#define MIN_DIM 16

struct work {
	const struct ml_span *b, *t;
	struct ml_src *bsrc, *tsrc;
	unsigned type; /* enum ml_cast_type */
	unsigned w; /* bytes of an element */
	size_t rows, cols;
	const size_t *row, *col; /* of a part; NULL: all */
	uint8_t *raw; /* two rows as they are */
	double *d, *ulp; /* a row: difference, rounding step of t */
	uint32_t seed;
};

static double rnd(struct work *k)
{
	k->seed = k->seed * 1664525 + 1013904223;
	return (double)(int32_t)k->seed / 2147483648.0;
}

static double value(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* The step between floats near t. */
static double step(unsigned type, double t)
{
	const int mant = type == ML_C_F32 ? 23 : type == ML_C_BF16 ? 7 : 10;
	const int least = type == ML_C_F16 ? -14 : -126;
	uint64_t bits;
	double one;
	int e;

	memcpy(&bits, &t, sizeof(bits));
	e = (int)(bits >> 52 & 0x7ff) - 1023; /* t is no subnormal double */
	e = e == 1024 ? -1 : e < least ? least : e; /* of no number: any */
	bits = (uint64_t)(1023 + e - mant) << 52;
	memcpy(&one, &bits, sizeof(one));
	return one;
}

/* An element as a double; the common types without a call. */
static inline double element(unsigned type, const uint8_t *p)
{
	return value(type == ML_C_BF16 ? (uint32_t)ml_load16(p) << 16 :
		type == ML_C_F32 ? ml_load32(p) : ml_cast_f32(type, p));
}

/* Row i to k->d and k->ulp. */
static int load_row(struct work *k, size_t i, struct ml_diag *diag)
{
	const size_t full = (size_t)k->t->shape[k->t->rank - 1];
	const uint64_t at = (uint64_t)(k->row ? k->row[i] : i) * full * k->w;
	uint8_t *x = k->raw, *y = k->raw + full * k->w;
	size_t j, from;
	int err = ml_src_read(k->tsrc, k->t->off + at, x, full * k->w, diag);

	if (!err)
		err = ml_src_read(
			k->bsrc, k->b->off + at, y, full * k->w, diag);
	for (j = 0; !err && j < k->cols; j++) {
		from = (k->col ? k->col[j] : j) * k->w;
		const double t = element(k->type, x + from);

		k->d[j] = t - element(k->type, y + from);
		k->ulp[j] = step(k->type, t);
		if (!(k->d[j] > -1e30 && k->d[j] < 1e30))
			k->d[j] = 0; /* no number */
	}
	return err;
}

/* Makes the n columns of a (rows of k numbers) orthonormal; what vanishes
 * becomes 0. */
static void orthonormal(double *a, size_t rows, size_t n)
{
	size_t i, j, r, pass;
	double s, norm;

	for (j = 0; j < n; j++) {
		for (pass = 0; pass < 2; pass++)
			for (i = 0; i < j; i++) {
				for (s = 0, r = 0; r < rows; r++)
					s += a[r * n + i] * a[r * n + j];
				for (r = 0; r < rows; r++)
					a[r * n + j] -= s * a[r * n + i];
			}
		for (norm = 0, r = 0; r < rows; r++)
			norm += a[r * n + j] * a[r * n + j];
		norm = sqrt(norm);
		for (r = 0; r < rows; r++)
			a[r * n + j] = norm > 1e-300 ? a[r * n + j] / norm : 0;
	}
}

/* y = D q and, when z is not NULL, z = D' y of the y that was there. */
static int multiply(struct work *k, const double *q, double *y, double *z,
	size_t n, double *energy, double *noise, struct ml_diag *diag)
{
	size_t i, j, c;
	int err = ML_OK;

	if (z)
		memset(z, 0, k->cols * n * sizeof(*z));
	*energy = *noise = 0;
	for (i = 0; !err && i < k->rows; i++) {
		double *yi = y + i * n;

		err = load_row(k, i, diag);
		if (q)
			memset(yi, 0, n * sizeof(*yi));
		for (j = 0; !err && j < k->cols; j++) {
			const double d = k->d[j];

			*energy += d * d;
			*noise += k->ulp[j] * k->ulp[j] / 12;
			if (d == 0) /* as mostly where rows did not change */
				continue;
			for (c = 0; q && c < n; c++)
				yi[c] += d * q[j * n + c];
			for (c = 0; z && c < n; c++)
				z[j * n + c] += d * yi[c];
		}
	}
	return err;
}

/* Eigenvectors of a symmetric matrix by Jacobi's rotations, largest first: m
 * becomes diagonal, e has them as columns. */
static void eigen(double *m, double *e, size_t n)
{
	size_t p, q, i, sweep;
	double th, t, c, s, a, b;

	for (p = 0; p < n; p++)
		for (q = 0; q < n; q++)
			e[p * n + q] = p == q;
	for (sweep = 0; sweep < 30; sweep++)
		for (p = 0; p < n; p++)
			for (q = p + 1; q < n; q++) {
				if (m[p * n + q] == 0)
					continue;
				th = (m[q * n + q] - m[p * n + p]) /
					(2 * m[p * n + q]);
				t = 1 / ((th < 0 ? -th : th) +
					sqrt(th * th + 1));
				t = th < 0 ? -t : t;
				c = 1 / sqrt(t * t + 1);
				s = t * c;
				for (i = 0; i < n; i++) {
					a = m[i * n + p];
					b = m[i * n + q];
					m[i * n + p] = c * a - s * b;
					m[i * n + q] = s * a + c * b;
				}
				for (i = 0; i < n; i++) {
					a = m[p * n + i];
					b = m[q * n + i];
					m[p * n + i] = c * a - s * b;
					m[q * n + i] = s * a + c * b;
				}
				for (i = 0; i < n; i++) {
					a = e[i * n + p];
					b = e[i * n + q];
					e[i * n + p] = c * a - s * b;
					e[i * n + q] = s * a + c * b;
				}
			}
	for (p = 0; p < n; p++) { /* sorted by choosing */
		for (i = p, q = p + 1; q < n; q++)
			if (m[q * n + q] > m[i * n + i])
				i = q;
		if (i == p)
			continue;
		a = m[p * n + p];
		m[p * n + p] = m[i * n + i];
		m[i * n + i] = a;
		for (q = 0; q < n; q++) {
			a = e[q * n + p];
			e[q * n + p] = e[q * n + i];
			e[q * n + i] = a;
		}
	}
}

/* a (rows of n) times e (n by n), in place. */
static void rotate(double *a, size_t rows, const double *e, size_t n)
{
	double x[ML_FACTORS_MAX + OVER];
	size_t r, i, j;

	for (r = 0; r < rows; r++) {
		for (j = 0; j < n; j++)
			for (x[j] = 0, i = 0; i < n; i++)
				x[j] += a[r * n + i] * e[i * n + j];
		memcpy(a + r * n, x, n * sizeof(*x));
	}
}

/* The range finder with n columns: y has orthonormal columns, z = D' y, both
 * turned so that the strongest come first. *rank is how many of them stand out
 * of the noise. */
static int range(struct work *k, double *y, double *z, size_t n,
	size_t *rank, struct ml_diag *diag)
{
	const size_t nn = n * n;
	double *m = calloc(2 * nn, sizeof(*m)), *e, energy, noise, floor;
	size_t i, j, r, c;
	int err = ML_OK;

	if (!m)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	e = m + nn;
	for (j = 0; j < k->cols * n; j++)
		z[j] = rnd(k);
	for (r = 0; !err && r < ROUNDS; r++) {
		orthonormal(z, k->cols, n);
		err = multiply(k, z, y, NULL, n, &energy, &noise, diag);
		orthonormal(y, k->rows, n);
		if (!err)
			err = multiply(k, NULL, y, z, n, &energy, &noise,
				diag);
	}
	for (c = 0; !err && c < k->cols; c++)
		for (i = 0; i < n; i++)
			for (j = 0; j < n; j++)
				m[i * n + j] += z[c * n + i] * z[c * n + j];
	if (!err) {
		eigen(m, e, n);
		rotate(y, k->rows, e, n);
		rotate(z, k->cols, e, n);
		/* the largest singular value that noise would have */
		noise /= (double)k->rows * (double)k->cols;
		floor = sqrt((double)k->rows) + sqrt((double)k->cols);
		floor = 2 * floor * floor * noise;
		for (r = 0; r < n && m[r * n + r] > floor; r++)
			;
		*rank = r;
	}
	free(m);
	return err;
}

/* ===== sharpening ======================================================= */

/* Solves a x = b, a symmetric and positive, n by n, by Cholesky; in place. */
static void solve(double *a, double *b, size_t n)
{
	size_t i, j, l;
	double s;

	for (j = 0; j < n; j++) {
		for (s = a[j * n + j], l = 0; l < j; l++)
			s -= a[j * n + l] * a[j * n + l];
		a[j * n + j] = s > 1e-300 ? sqrt(s) : 1e150;
		for (i = j + 1; i < n; i++) {
			for (s = a[i * n + j], l = 0; l < j; l++)
				s -= a[i * n + l] * a[j * n + l];
			a[i * n + j] = s / a[j * n + j];
		}
	}
	for (i = 0; i < n; i++) {
		for (s = b[i], l = 0; l < i; l++)
			s -= a[i * n + l] * b[l];
		b[i] = s / a[i * n + i];
	}
	for (i = n; i-- > 0;) {
		for (s = b[i], l = i + 1; l < n; l++)
			s -= a[l * n + i] * b[l];
		b[i] = s / a[i * n + i];
	}
}

static void gather(double *a, double *b, const double *x, double d, double w,
	size_t n)
{
	size_t i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j <= i; j++)
			a[i * n + j] += w * x[i] * x[j];
		b[i] += w * d * x[i];
	}
}

/* One round of alternating least squares on u (rows of n) and v. */
static int sharpen(struct work *k, double *u, double *v, size_t n,
	struct ml_diag *diag)
{
	const size_t nn = n * n;
	double *a = malloc(nn * sizeof(*a));
	double *ca = calloc(k->cols * nn, sizeof(*ca));
	double *cb = calloc(k->cols * n, sizeof(*cb)), w;
	size_t i, j;
	int err = ML_OK;

	if (!a || !ca || !cb)
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; !err && i < k->rows; i++) {
		double *ui = u + i * n;

		err = load_row(k, i, diag);
		if (err)
			break;
		memset(a, 0, nn * sizeof(*a));
		memset(ui, 0, n * sizeof(*ui));
		for (j = 0; j < k->cols; j++) {
			w = 1 / (k->ulp[j] * k->ulp[j]);
			gather(a, ui, v + j * n, k->d[j], w, n);
		}
		solve(a, ui, n);
		for (j = 0; j < k->cols; j++) {
			w = 1 / (k->ulp[j] * k->ulp[j]);
			gather(ca + j * nn, cb + j * n, ui, k->d[j], w, n);
		}
	}
	for (j = 0; !err && j < k->cols; j++) {
		solve(ca + j * nn, cb + j * n, n);
		memcpy(v + j * n, cb + j * n, n * sizeof(*v));
	}
	free(a);
	free(ca);
	free(cb);
	return err;
}

/* ===== factors as integers ============================================== */

static double most(const double *a, size_t rows, size_t n, size_t c)
{
	double m = 0;
	size_t i;

	for (i = 0; i < rows; i++) {
		const double x = a[i * n + c];

		m = x > m ? x : -x > m ? -x : m;
	}
	return m;
}

static int32_t whole(double x)
{
	const double top = (1 << (ML_FACTOR_BITS - 1)) - 1;

	x = floor(x + 0.5);
	return (int32_t)(x > top ? top : x < -top ? -top : x);
}

/* u and v so that every column of v has its greatest number near 1; then steps
 * of 2^-eu and 2^-ev, fine enough for an error of `err` in the product. */
static void integers(struct ml_cast *c, const struct work *k, double *u,
	double *v, size_t n, double err)
{
	double top = 0, m;
	size_t i, j, r;
	int eu, ev, drop;

	for (r = 0; r < n; r++) {
		m = most(v, k->cols, n, r);
		for (i = 0; m > 0 && i < k->rows; i++)
			u[i * n + r] *= m;
		for (j = 0; m > 0 && j < k->cols; j++)
			v[j * n + r] /= m;
		m = most(u, k->rows, n, r);
		top = m > top ? m : top;
	}
	err /= sqrt((double)n);
	frexp(err, &eu);
	eu = 1 - eu; /* steps of u: at most err */
	frexp(top, &ev);
	while (eu + ev > ML_FACTOR_BITS - 1)
		eu--; /* no finer than there is room for */
	frexp(top > 0 ? err / top : 1, &ev);
	ev = 1 - ev;
	ev = ev > ML_FACTOR_BITS - 2 ? ML_FACTOR_BITS - 2 : ev < 0 ? 0 : ev;
	c->exp = (int16_t)-(eu + ev);
	for (r = 0; r < n; r++) {
		/* a weak column needs fewer bits of v */
		m = most(u, k->rows, n, r);
		for (drop = 0; drop < ev - 1 && m > 0 &&
			ldexp(m, drop + 2) <= top; drop++)
			;
		c->drop[r] = (uint8_t)drop;
		for (i = 0; i < k->rows; i++)
			c->u[i * n + r] = whole(ldexp(u[i * n + r], eu));
		for (j = 0; j < k->cols; j++)
			c->v[j * n + r] = whole(ldexp(v[j * n + r],
				ev - drop));
	}
}

/* Estimated bits of the target by the cast, from some of its rows. */
static int judge(struct work *k, const struct ml_cast *c, uint64_t *bits,
	struct ml_diag *diag)
{
	const unsigned type = ml_type_of(k->t->dtype);
	const size_t n = k->cols * k->w;
	const size_t some = k->rows < 16 ? k->rows : 16;
	uint8_t *want = malloc(3 * some * n), *from = want + some * n;
	uint8_t *to = want + 2 * some * n;
	size_t i, r;
	int err = want ? ML_OK :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");

	for (i = 0; !err && i < some; i++) {
		r = i * k->rows / some;
		err = ml_src_read(k->tsrc, k->t->off + r * n, want + i * n, n,
			diag);
		if (!err)
			err = ml_src_read(k->bsrc, k->b->off + r * n,
				from + i * n, n, diag);
		if (!err)
			ml_cast_make(c, (uint64_t)r * k->cols, k->cols,
				from + i * n, to + i * n);
	}
	if (!err) {
		const uint64_t part = ml_cost_diff(
			type, to, want, some * k->cols);

		*bits = part / some * k->rows + ml_cast_param_bits(c);
	}
	free(want);
	return err;
}

/* Tries some precisions of the factors and keeps the best. */
static int choose(struct work *k, struct ml_cast *c, double *u, double *v,
	size_t n, uint64_t *bits, struct ml_diag *diag)
{
	static const double fine[] = {1, 0.25, 4};
	double energy, noise, best = 0;
	uint64_t least = UINT64_MAX, b;
	size_t i;
	int err;

	c->u = calloc(k->rows * n + 1, sizeof(*c->u));
	c->v = calloc(k->cols * n + 1, sizeof(*c->v));
	if (!c->u || !c->v)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	c->rank = (uint16_t)n;
	err = multiply(k, NULL, u, NULL, n, &energy, &noise, diag);
	noise = sqrt(noise / ((double)k->rows * (double)k->cols));
	for (i = 0; !err && i < sizeof(fine) / sizeof(*fine); i++) {
		integers(c, k, u, v, n, noise * fine[i]);
		err = judge(k, c, &b, diag);
		if (!err && b < least) {
			least = b;
			best = fine[i];
		}
	}
	if (!err)
		integers(c, k, u, v, n, noise * best);
	*bits = least;
	return err;
}

/* ===== all of it ======================================================== */

/* Every so manieth of n, at most SUB. */
static size_t spread(size_t *at, size_t n)
{
	const size_t some = n < SUB ? n : SUB;
	size_t i;

	for (i = 0; i < some; i++)
		at[i] = i * n / some;
	return some;
}

/* Whether some rows and columns have a change of low rank, and which. */
static int look(struct work *k, size_t *rank, struct ml_diag *diag)
{
	const size_t rows = k->rows, cols = k->cols;
	size_t row[SUB], col[SUB], n;
	double *y;
	int err = ML_OK;

	k->rows = spread(row, rows);
	k->cols = spread(col, cols);
	k->row = row;
	k->col = col;
	n = (k->rows < k->cols ? k->rows : k->cols) / 3;
	n = n > SEEN ? SEEN : n;
	*rank = 0;
	y = malloc((k->rows + k->cols) * n * sizeof(*y));
	err = y ? range(k, y, y + k->rows * n, n, rank, diag) :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (*rank + 2 > n)
		*rank = 0; /* full rank, as far as can be seen */
	free(y);
	k->rows = rows;
	k->cols = cols;
	k->row = k->col = NULL;
	return err;
}

static int find(struct work *k, struct ml_cast *c, uint64_t *bits,
	struct ml_diag *diag)
{
	double *u = NULL, *v = NULL;
	size_t rank, n, got, i, r;
	int err = look(k, &rank, diag);

	if (err || rank == 0)
		return err;
	n = rank + OVER;
	u = malloc(k->rows * n * sizeof(*u));
	v = malloc(k->cols * n * sizeof(*v));
	if (!u || !v)
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (!err)
		err = range(k, u, v, n, &got, diag);
	if (!err && got < n && got > 0) {
		for (i = 0; i < k->rows; i++) /* only what stands out */
			for (r = 0; r < got; r++)
				u[i * got + r] = u[i * n + r];
		for (i = 0; i < k->cols; i++)
			for (r = 0; r < got; r++)
				v[i * got + r] = v[i * n + r];
		for (i = 0; !err && i < 2 && (double)k->rows *
			(double)k->cols * (double)(got * got) < SHARPEN_MAX;
			i++)
			err = sharpen(k, u, v, got, diag);
		if (!err)
			err = choose(k, c, u, v, got, bits, diag);
	}
	free(u);
	free(v);
	return err;
}

int ml_lowrank_find(struct ml_cast *c, uint64_t *bits,
	const struct ml_span *b, struct ml_src *bsrc, const struct ml_span *t,
	struct ml_src *tsrc, struct ml_diag *diag)
{
	struct work k = {.b = b, .t = t, .bsrc = bsrc, .tsrc = tsrc};
	uint64_t rows = 1;
	unsigned i;
	int err = ML_OK;

	*bits = UINT64_MAX;
	k.type = ml_cast_type(t->dtype, 1);
	if (k.type > ML_C_BF16 || t->dtype != b->dtype || t->len != b->len ||
		t->rank < 2)
		return ML_OK;
	for (i = 0; i + 1 < t->rank; i++)
		if (!ml_mul_ok(rows, t->shape[i], &rows))
			return ML_OK;
	k.w = ml_cast_bytes(k.type);
	k.cols = (size_t)t->shape[t->rank - 1];
	k.rows = (size_t)rows;
	if (rows < MIN_DIM || k.cols < MIN_DIM || rows > 1u << 20 ||
		t->shape[t->rank - 1] > 1u << 20 ||
		rows * k.cols * k.w != t->len)
		return ML_OK;
	memset(c, 0, sizeof(*c));
	c->from = (uint8_t)k.type;
	c->to = (uint8_t)(ML_C_SUM + k.type);
	c->at = b->off;
	c->units = rows * k.cols;
	c->inner = k.cols;
	k.seed = 1;
	k.raw = malloc(2 * k.cols * k.w);
	k.d = malloc(2 * k.cols * sizeof(*k.d));
	if (!k.raw || !k.d)
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	k.ulp = k.d + k.cols;
	if (!err)
		err = find(&k, c, bits, diag);
	free(k.raw);
	free(k.d);
	return err;
}
