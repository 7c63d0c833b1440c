/* SPDX-License-Identifier: MIT */
/* Changes of a model that a delta must cope with, one by one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

static struct gen_tensor *largest(struct gen_model *m)
{
	struct gen_tensor *t = m->t;

	for (size_t i = 1; i < m->n; i++)
		if (m->t[i].n > t->n)
			t = &m->t[i];
	return t;
}

/* Every tensor gets a longer name. */
static void edit_rename(struct gen_model *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct gen_tensor *t = &m->t[i], old = *t;
		int n = snprintf(t->name, sizeof t->name, "model.%s",
			old.name);

		if (n < 0 || (size_t)n >= sizeof t->name)
			gen_die("the name '%s' is too long", old.name);
	}
}

/* A new tensor in the middle of the file. */
static void edit_add(struct gen_model *m)
{
	struct gen_rng r = { 41 };
	struct gen_tensor *t = gen_add(m, m->n / 2, "adapter.weight",
		m->t[0].dtype, 16, 96);

	for (size_t i = 0; i < t->n; i++)
		gen_set(t, i, 0.05f * gen_normal(&r));
}

/* The tensor in the middle goes. */
static void edit_remove(struct gen_model *m)
{
	size_t at = m->n / 2;

	free(m->t[at].data);
	m->n--;
	memmove(&m->t[at], &m->t[at + 1], (m->n - at) * sizeof m->t[0]);
}

/* Makes a tensor of another shape; what is new is near what was there. */
static void reshape(struct gen_tensor *t, size_t rows, size_t cols)
{
	struct gen_rng r = { 42 };
	struct gen_tensor old = *t;
	size_t old_cols = t->rank > 1 ? t->shape[1] : 1;

	t->n = rows * cols;
	t->shape[0] = rows;
	if (t->rank > 1)
		t->shape[1] = cols;
	t->data = gen_alloc(t->n, gen_dtype_size(t->dtype));
	for (size_t i = 0; i < t->n; i++) {
		size_t row = i / cols, col = i % cols;
		float noise = 0;

		if (row >= old.shape[0] || col >= old_cols)
			noise = 0.01f * gen_normal(&r);
		row %= old.shape[0];
		gen_set(t, i, gen_get(&old, row * old_cols +
			col % old_cols) + noise);
	}
	free(old.data);
}

/* The first layer gets a sixteenth more outputs, so the second gets longer
 * rows. */
static void edit_resize(struct gen_model *m)
{
	struct gen_layer l[GEN_LAYERS];
	size_t n = gen_layers(m, l), wider;

	if (n < 2)
		gen_die("the model has not two layers");
	wider = l[0].out + l[0].out / 16;
	reshape(&m->t[l[0].weight], wider, l[0].in);
	reshape(&m->t[l[0].bias], wider, 1);
	reshape(&m->t[l[1].weight], l[1].out, wider);
}

/* The tensors lie in the opposite order. */
static void edit_move(struct gen_model *m)
{
	for (size_t i = 0; i < m->n / 2; i++) {
		struct gen_tensor t = m->t[i];

		m->t[i] = m->t[m->n - 1 - i];
		m->t[m->n - 1 - i] = t;
	}
}

/* The lowest bit of one element. */
static void edit_onebyte(struct gen_model *m)
{
	struct gen_tensor *t = largest(m);

	t->data[t->n / 2 * gen_dtype_size(t->dtype)] ^= 1;
}

/* The largest tensor starts anew; all others stay. */
static void edit_retrain(struct gen_model *m)
{
	struct gen_rng r = { 43 };
	struct gen_tensor *t = largest(m);

	for (size_t i = 0; i < t->n; i++)
		gen_set(t, i, 0.08f * gen_normal(&r));
}

void gen_edit(struct gen_model *m, const char *name)
{
	static const struct {
		const char *name;
		void (*edit)(struct gen_model *m);
	} edits[] = { { "rename", edit_rename }, { "add", edit_add },
		{ "remove", edit_remove }, { "resize", edit_resize },
		{ "move", edit_move }, { "onebyte", edit_onebyte },
		{ "retrain", edit_retrain } };

	if (m->n == 0)
		gen_die("the model has no tensors");
	for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++)
		if (strcmp(name, edits[i].name) == 0) {
			edits[i].edit(m);
			return;
		}
	gen_die("unknown edit '%s'", name);
}
