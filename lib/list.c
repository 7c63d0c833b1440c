/* SPDX-License-Identifier: MIT */
/* A model as a table and as JSON: what ml-ls shows. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "text.h"

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* ===== the table ======================================================== */

struct width {
	int off, len, type, shape;
};

static int shown(const struct ml_span *sp, int all)
{
	return all || sp->kind == ML_TENSOR;
}

static int digits(uint64_t v)
{
	int n = 1;

	for (; v > 9; v /= 10)
		n++;
	return n;
}

static void widen(int *width, int n)
{
	if (n > *width)
		*width = n;
}

static struct width measure(const struct ml_model *m, int all)
{
	char shape[ML_SHAPE_TEXT], type[ML_TYPE_TEXT];
	struct width w = {1, 1, 1, 1};
	size_t i;

	for (i = 0; i < m->nspan; i++) {
		const struct ml_span *sp = &m->span[i];

		if (!shown(sp, all))
			continue;
		widen(&w.off, digits(sp->off));
		widen(&w.len, digits(sp->len));
		widen(&w.type, (int)strlen(ml_type_text(type, sp)));
		widen(&w.shape, (int)strlen(ml_shape_text(shape, sp)));
	}
	return w;
}

int ml_model_table(FILE *f, const struct ml_model *m, int all,
	struct ml_diag *diag)
{
	const struct width w = measure(m, all);
	char shape[ML_SHAPE_TEXT], type[ML_TYPE_TEXT];
	size_t i;

	for (i = 0; i < m->nspan; i++) {
		const struct ml_span *sp = &m->span[i];
		char *name;

		if (!shown(sp, all))
			continue;
		name = ml_escaped(sp->name, sp->name_len);
		if (!name)
			return no_memory(diag);
		fprintf(f, "%*llu  %*llu  %-*s  %-*s  %s\n", w.off,
			(unsigned long long)sp->off, w.len,
			(unsigned long long)sp->len, w.type,
			ml_type_text(type, sp), w.shape,
			ml_shape_text(shape, sp),
			sp->kind == ML_TENSOR ? name : "-");
		free(name);
	}
	return ML_OK;
}

/* ===== JSON ============================================================= */

/* The objects do not outlive one value, however many there are. */
static void put(struct ml_json *j, FILE *f, struct json_object *o)
{
	ml_json_put(j, f, o,
		JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static struct json_object *span(struct ml_json *j, const struct ml_span *sp)
{
	struct json_object *o = json_object_new_object(), *a;
	char type[ML_TYPE_TEXT];
	unsigned i;

	if (sp->kind == ML_TENSOR) {
		ml_json_add(j, o, "name",
			ml_json_escaped(j, sp->name, sp->name_len));
		ml_json_text(j, o, "dtype", ml_type_text(type, sp));
		a = ml_json_add(j, o, "shape", json_object_new_array());
		for (i = 0; i < sp->rank; i++)
			ml_json_number(j, a, NULL, sp->shape[i]);
	}
	ml_json_number(j, o, "offset", sp->off);
	ml_json_number(j, o, "bytes", sp->len);
	if (sp->quant) {
		a = ml_json_object(j, o, "quant");
		ml_json_add(j, a, "axis",
			json_object_new_int(sp->quant->axis));
		ml_json_number(j, a, "n", sp->quant->n);
	}
	return o;
}

static void put_spans(struct ml_json *j, FILE *f, const struct ml_model *m,
	int kind)
{
	const char *sep = "\n";
	size_t i;

	for (i = 0; !j->failed && i < m->nspan; i++) {
		if (m->span[i].kind != kind)
			continue;
		fputs(sep, f);
		put(j, f, span(j, &m->span[i]));
		sep = ",\n";
	}
}

int ml_model_json(FILE *f, const struct ml_model *m, int all, const char *file,
	const char *container, struct ml_diag *diag)
{
	struct ml_json j = {0};

	fputs("{\"file\":", f);
	put(&j, f, ml_json_escaped(&j, file, strlen(file)));
	fputs(",\"container\":", f);
	if (container)
		put(&j, f, json_object_new_string(container));
	else
		fputs("null", f);
	fprintf(f, ",\"size\":%llu,\"tensors\":[", (unsigned long long)m->size);
	put_spans(&j, f, m, ML_TENSOR);
	if (all) {
		fputs("],\"skeleton\":[", f);
		put_spans(&j, f, m, ML_SKELETON);
	}
	fputs("]}\n", f);
	return j.failed ? no_memory(diag) : ML_OK;
}
