/* SPDX-License-Identifier: MIT */
/*
 * A network that learns to read digits: 256 pixels, 512 and 192 hidden
 * units, 10 answers; Adam on softmax cross-entropy. The digits are drawn,
 * slanted, shifted and soiled by random numbers. Fine-tuning goes on with
 * digits of another hand.
 *
 * Weights lie in the file as rows of one output; inside they are turned, so
 * that the inner loops run over outputs, which compilers can vectorise
 * without changing the order of any sum.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

#define SIDE 16
#define PIXELS (SIDE * SIDE)
#define CLASSES 10
#define BATCH 16
#define WIDEST 1024

/* ===== digits =========================================================== */

/* Five bits a row, the leftmost pixel highest. */
static const uint8_t glyph[CLASSES][7] = {
	{ 14, 17, 19, 21, 25, 17, 14 }, { 4, 12, 4, 4, 4, 4, 14 },
	{ 14, 17, 1, 2, 4, 8, 31 }, { 31, 2, 4, 2, 1, 17, 14 },
	{ 2, 6, 10, 18, 31, 2, 2 }, { 31, 16, 30, 1, 1, 17, 14 },
	{ 6, 8, 16, 30, 17, 17, 14 }, { 31, 1, 2, 4, 8, 8, 8 },
	{ 14, 17, 17, 14, 17, 17, 14 }, { 14, 17, 17, 15, 1, 2, 12 }
};

static float ink(unsigned digit, int x, int y)
{
	if (x < 0 || x > 4 || y < 0 || y > 6)
		return 0;
	return (float)(glyph[digit][y] >> (4 - x) & 1);
}

static void draw(struct gen_rng *r, unsigned digit, int shifted,
	float px[PIXELS])
{
	float size = 1.9f + 0.5f * gen_uniform(r);
	float slant = (gen_uniform(r) - (shifted ? 0.1f : 0.5f)) * 0.5f;
	float cx = 8 + 3 * (gen_uniform(r) - 0.5f);
	float cy = 8 + 2 * (gen_uniform(r) - 0.5f);
	float dark = shifted ? 0.6f : 0.9f;
	unsigned dirt = shifted ? 24 : 12; /* pixels of noise */

	for (int i = 0; i < PIXELS; i++) {
		float y = ((float)(i / SIDE) - cy) / size;
		float x = ((float)(i % SIDE) - cx) / size + slant * y + 2;
		float fx = floorf(x), fy, v;
		int ix = (int)fx, iy;

		y += 3;
		fy = floorf(y);
		iy = (int)fy;
		fx = x - fx;
		fy = y - fy;
		v = (1 - fy) * ((1 - fx) * ink(digit, ix, iy) +
			fx * ink(digit, ix + 1, iy)) +
			fy * ((1 - fx) * ink(digit, ix, iy + 1) +
			fx * ink(digit, ix + 1, iy + 1));
		px[i] = v * dark;
	}
	while (dirt-- > 0) {
		unsigned at = gen_below(r, PIXELS);

		px[at] = gen_uniform(r);
	}
}

/* ===== the layers of a model ============================================ */

static size_t find_bias(const struct gen_model *m, const char *weight)
{
	size_t stem = strlen(weight) - strlen(".weight");

	for (size_t i = 0; i < m->n; i++)
		if (strlen(m->t[i].name) > stem &&
			memcmp(m->t[i].name, weight, stem) == 0 &&
			strcmp(m->t[i].name + stem, ".bias") == 0)
			return i;
	return m->n;
}

/* A model that was edited may have its layers in any order: each time take
 * the first unused one that fits what the last one gave. */
size_t gen_layers(const struct gen_model *m, struct gen_layer l[GEN_LAYERS])
{
	size_t n = 0, width = PIXELS, i;
	int used[GEN_TENSORS] = { 0 };

	do {
		for (i = 0; i < m->n && n < GEN_LAYERS; i++) {
			const struct gen_tensor *t = &m->t[i];
			size_t len = strlen(t->name), bias;

			if (used[i] || t->rank != 2 ||
				t->shape[1] != width || len < 8 ||
				strcmp(t->name + len - 7, ".weight") != 0)
				continue;
			bias = find_bias(m, t->name);
			if (bias == m->n || m->t[bias].n != t->shape[0])
				continue;
			used[i] = 1;
			l[n++] = (struct gen_layer){ i, bias, width,
				t->shape[0], 0 };
			width = t->shape[0];
			break;
		}
	} while (i < m->n && n < GEN_LAYERS);
	return n;
}

void gen_new_net(struct gen_model *m, uint64_t seed)
{
	static const size_t width[] = { PIXELS, 512, 192, CLASSES };
	struct gen_rng r = { seed };
	char name[32];

	m->n = 0;
	for (size_t i = 0; i < 3; i++) {
		float spread = sqrtf(2.0f / (float)width[i]);
		struct gen_tensor *t;

		snprintf(name, sizeof name, "fc%zu.weight", i + 1);
		t = gen_add(m, m->n, name, GEN_F32, width[i + 1], width[i]);
		for (size_t j = 0; j < t->n; j++)
			gen_set(t, j, spread * gen_normal(&r));
		snprintf(name, sizeof name, "fc%zu.bias", i + 1);
		gen_add(m, m->n, name, GEN_F32, width[i + 1], 0);
	}
}

/* ===== the network ====================================================== */

struct net {
	size_t n, params;
	struct gen_layer l[GEN_LAYERS];
	size_t w[GEN_LAYERS], b[GEN_LAYERS]; /* where in the arrays below */
	float *p, *grad, *mean, *var;
	float act[GEN_LAYERS + 1][WIDEST], err[GEN_LAYERS + 1][WIDEST];
};

static void turn(struct net *net, struct gen_model *m, int back)
{
	for (size_t k = 0; k < net->n; k++) {
		const struct gen_layer *l = &net->l[k];
		struct gen_tensor *w = &m->t[l->weight];
		struct gen_tensor *b = &m->t[l->bias];

		for (size_t o = 0; o < l->out; o++)
			for (size_t i = 0; i < l->in; i++) {
				float *p = &net->p[net->w[k] + i * l->out + o];

				if (back)
					gen_set(w, o * l->in + i, *p);
				else
					*p = gen_get(w, o * l->in + i);
			}
		for (size_t o = 0; o < l->out; o++)
			if (back)
				gen_set(b, o, net->p[net->b[k] + o]);
			else
				net->p[net->b[k] + o] = gen_get(b, o);
	}
}

static struct net *net_new(const struct gen_model *m)
{
	struct net *net = gen_alloc(1, sizeof *net);

	net->n = gen_layers(m, net->l);
	for (size_t k = 0; k < net->n; k++) {
		if (net->l[k].out > WIDEST)
			gen_die("a layer is wider than %d", WIDEST);
		net->w[k] = net->params;
		net->params += net->l[k].in * net->l[k].out;
		net->b[k] = net->params;
		net->params += net->l[k].out;
	}
	net->p = gen_alloc(net->params, sizeof(float));
	net->grad = gen_alloc(net->params, sizeof(float));
	net->mean = gen_alloc(net->params, sizeof(float));
	net->var = gen_alloc(net->params, sizeof(float));
	return net;
}

static void net_free(struct net *net)
{
	free(net->p);
	free(net->grad);
	free(net->mean);
	free(net->var);
	free(net);
}

/* y += a x */
static void axpy(size_t n, float a, const float *restrict x,
	float *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] += a * x[i];
}

static float dot(size_t n, const float *x, const float *y)
{
	float s[4] = { 0 };
	size_t i;

	for (i = 0; i + 4 <= n; i += 4)
		for (size_t j = 0; j < 4; j++)
			s[j] += x[i + j] * y[i + j];
	for (; i < n; i++)
		s[0] += x[i] * y[i];
	return (s[0] + s[1]) + (s[2] + s[3]);
}

static void forward(struct net *net)
{
	for (size_t k = 0; k < net->n; k++) {
		const struct gen_layer *l = &net->l[k];
		float *y = net->act[k + 1];

		memcpy(y, net->p + net->b[k], l->out * sizeof *y);
		for (size_t i = 0; i < l->in; i++)
			if (net->act[k][i] != 0)
				axpy(l->out, net->act[k][i],
					net->p + net->w[k] + i * l->out, y);
		for (size_t o = 0; k + 1 < net->n && o < l->out; o++)
			if (y[o] < 0)
				y[o] = 0;
	}
}

static unsigned answer(const struct net *net)
{
	const float *y = net->act[net->n];
	unsigned best = 0;

	for (unsigned c = 1; c < CLASSES; c++)
		if (y[c] > y[best])
			best = c;
	return best;
}

/* Adds the gradient of one example to net->grad. */
static void backward(struct net *net, unsigned digit, size_t from)
{
	float *y = net->act[net->n], *e = net->err[net->n], sum = 0;
	float top = y[answer(net)];

	for (unsigned c = 0; c < CLASSES; c++)
		sum += e[c] = expf(y[c] - top);
	for (unsigned c = 0; c < CLASSES; c++)
		e[c] = (e[c] / sum - (c == digit ? 1.0f : 0.0f)) / BATCH;

	for (size_t k = net->n; k-- > from; ) {
		const struct gen_layer *l = &net->l[k];
		const float *x = net->act[k];

		e = net->err[k + 1];
		axpy(l->out, 1, e, net->grad + net->b[k]);
		for (size_t i = 0; i < l->in; i++) {
			size_t at = net->w[k] + i * l->out;

			net->err[k][i] = 0;
			if (x[i] == 0) /* a unit at rest learns nothing */
				continue;
			axpy(l->out, x[i], e, net->grad + at);
			if (k > from)
				net->err[k][i] = dot(l->out, net->p + at, e);
		}
	}
}

static void adam(struct net *net, size_t first, float rate, float fix1,
	float fix2)
{
	const float b1 = 0.9f, b2 = 0.999f;
	float *restrict p = net->p, *restrict g = net->grad;
	float *restrict m = net->mean, *restrict v = net->var;

	for (size_t i = first; i < net->params; i++) {
		m[i] = b1 * m[i] + (1 - b1) * g[i];
		v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
		p[i] -= rate * (m[i] / fix1) / (sqrtf(v[i] / fix2) + 1e-8f);
		g[i] = 0;
	}
}

static void report(struct net *net, const struct gen_fit *fit)
{
	struct gen_rng r = { 99 };
	unsigned right = 0, tries = 500;

	for (unsigned i = 0; i < tries; i++) {
		unsigned digit = gen_below(&r, CLASSES);

		draw(&r, digit, fit->shifted, net->act[0]);
		forward(net);
		right += answer(net) == digit;
	}
	fprintf(stderr, "%zu parameters, %u of %u digits read\n", net->params,
		right, tries);
}

void gen_train(struct gen_model *m, const struct gen_fit *fit)
{
	struct net *net = net_new(m);
	struct gen_rng r = { fit->seed ^ 0x6469676974 };
	float fix1 = 1, fix2 = 1;
	size_t from;

	if (net->n == 0 || net->l[net->n - 1].out != CLASSES)
		gen_die("no layers that read digits");
	turn(net, m, 0);
	from = fit->head ? net->n - 1 : 0;
	for (unsigned step = 0; step < fit->steps; step++) {
		for (int i = 0; i < BATCH; i++) {
			unsigned digit = gen_below(&r, CLASSES);

			draw(&r, digit, fit->shifted, net->act[0]);
			forward(net);
			backward(net, digit, from);
		}
		fix1 *= 0.9f;
		fix2 *= 0.999f;
		adam(net, net->w[from], fit->rate, 1 - fix1, 1 - fix2);
	}
	turn(net, m, 1);
	if (fit->verbose)
		report(net, fit);
	net_free(net);
}

/* What static quantisation needs: how large the values get. */
void gen_calibrate(const struct gen_model *m, struct gen_layer *l, size_t n)
{
	struct gen_model copy = *m;
	struct net *net = net_new(m);
	struct gen_rng r = { 7 };

	turn(net, &copy, 0);
	for (size_t k = 0; k < n; k++)
		l[k].peak = 1e-3f;
	for (int i = 0; i < 64; i++) {
		draw(&r, gen_below(&r, CLASSES), 0, net->act[0]);
		forward(net);
		for (size_t k = 0; k < n; k++)
			for (size_t o = 0; o < l[k].out; o++)
				l[k].peak = fmaxf(l[k].peak,
					fabsf(net->act[k + 1][o]));
	}
	net_free(net);
}

void gen_int8(const struct gen_tensor *t, int8_t *q, float *scale)
{
	size_t cols = t->n / t->shape[0];

	for (size_t row = 0; row < t->shape[0]; row++) {
		float peak = 1e-9f;

		for (size_t i = 0; i < cols; i++)
			peak = fmaxf(peak, fabsf(gen_get(t, row * cols + i)));
		scale[row] = peak / 127;
		for (size_t i = 0; i < cols; i++)
			q[row * cols + i] = (int8_t)rintf(
				gen_get(t, row * cols + i) / scale[row]);
	}
}
