/* SPDX-License-Identifier: MIT */
/* A report as JSON. */
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "json.h"
#include "report.h"
#include "text.h"

static void add_file(struct ml_json *j, struct json_object *to,
	const char *key, uint64_t size, int kind,
	const uint8_t sum[ML_SHA256_LEN])
{
	struct json_object *o = ml_json_object(j, to, key);
	char text[ML_HEX_TEXT];

	ml_json_number(j, o, "size", size);
	ml_json_text(j, o, kind == ML_XXH3 ? "xxh3" : "sha256",
		ml_hex(text, kind, sum));
}

static void add_op(struct ml_json *j, struct json_object *to, int kind,
	uint64_t bytes, uint64_t cost)
{
	struct json_object *o = ml_json_object(j, to, ml_op_name[kind]);

	ml_json_number(j, o, "bytes", bytes);
	ml_json_real(j, o, "coded", (double)cost / 256);
}

static void add_share(struct ml_json *j, struct json_object *o, uint64_t bytes,
	const struct ml_share *s)
{
	struct json_object *ops;
	int k;

	ml_json_number(j, o, "bytes", bytes);
	ml_json_real(j, o, "coded", ml_share_cost(s));
	ml_json_real(j, o, "ratio", ml_ratio(ml_share_cost(s), (double)bytes));
	if (s->total)
		ml_json_real(j, o, "changed",
			ml_ratio((double)s->changed, (double)s->total));
	ml_json_text(j, o, "mostly", ml_share_mostly(s));
	if (*ml_share_type(s))
		ml_json_text(j, o, "as", ml_share_type(s));
	if (s->base)
		ml_json_add(j, o, "base",
			ml_json_escaped(j, s->base->name, s->base->name_len));
	if (s->cast && s->cast->rank)
		ml_json_number(j, o, "rank", s->cast->rank);
	else if (s->cast && !s->cast->gather)
		ml_json_text(j, o, "cast", ml_cast_name(s->cast->from));
	if (s->gather) {
		char text[ML_CAST_TEXT];

		ml_gather_text(text, sizeof(text), s->gather->gather);
		ml_json_text(j, o, "gather", text);
	}
	ops = ml_json_object(j, o, "operations");
	for (k = 0; k < ML_NOP; k++)
		if (s->made[k])
			add_op(j, ops, k, s->made[k], s->cost[k]);
}

static void add_look(struct ml_json *j, struct json_object *to,
	const struct ml_part *r)
{
	struct json_object *ops = ml_json_object(j, to, "operations"), *o;
	struct json_object *list;
	char type[ML_TYPE_TEXT];
	struct ml_share rest;
	uint64_t n;
	size_t i;
	int k;

	for (k = 0; k < ML_NOP; k++)
		add_op(j, ops, k, r->all.made[k], r->all.cost[k]);
	list = ml_json_add(j, to, "tensors", json_object_new_array());
	for (i = 0; i < r->m.nspan; i++) {
		const struct ml_span *sp = &r->m.span[i];

		if (sp->kind != ML_TENSOR)
			continue;
		o = ml_json_object(j, list, NULL);
		ml_json_add(j, o, "name",
			ml_json_escaped(j, sp->name, sp->name_len));
		ml_json_text(j, o, "dtype", ml_type_text(type, sp));
		add_share(j, o, sp->len, &r->span[i]);
	}
	n = ml_part_skeleton(r, &rest);
	add_share(j, ml_json_object(j, to, "skeleton"), n, &rest);
}

static struct json_object *part(struct ml_json *j, const struct ml_part *r)
{
	struct json_object *o = json_object_new_object(), *recs, *rec;
	const int kind = ml_hdr_sum(&r->h);
	char key[17];
	int i;

	ml_json_number(j, o, "offset", r->off);
	ml_json_number(j, o, "size", r->size);
	ml_json_number(j, o, "version", r->h.version);
	ml_json_text(j, o, "class", ml_class_name(r->h.cls));
	ml_json_number(j, o, "memory", ml_dec_arena(r->h.cls));
	ml_json_number(j, o, "flags", r->h.flags);
	ml_json_number(j, o, "release", r->h.release);
	if (r->h.page) {
		ml_json_number(j, o, "page", 1ul << r->h.page);
		ml_json_number(j, o, "lead", r->h.lead);
	}
	if (r->h.flags & ML_HF_BASE)
		add_file(j, o, "base", r->h.base_size, kind, r->base_sha);
	add_file(j, o, "target", r->h.target_size, kind, r->target_sha);
	ml_json_number(j, o, "header", r->h.len);
	ml_json_number(j, o, "extensions", r->h.ext_len);
	if (r->is_signed) {
		snprintf(key, sizeof(key), "%016llX",
			(unsigned long long)ml_load64(r->key_id));
		ml_json_text(j, o, "key", key);
	}
	ml_json_number(j, o, "body", r->h.body_len);
	ml_json_number(j, o, "window", r->h.window);
	recs = ml_json_object(j, o, "records");
	for (i = 0; i < ML_NREC; i++) {
		rec = ml_json_object(j, recs, ml_rec_name[i]);
		ml_json_number(j, rec, "count", r->nrec[i]);
		ml_json_number(j, rec, "bytes", r->rec[i]);
	}
	ml_json_real(j, o, "ratio",
		ml_ratio((double)r->size, (double)r->h.target_size));
	if (r->looked)
		add_look(j, o, r);
	return o;
}

int ml_report_json(FILE *f, const struct ml_report *r, const char *file,
	struct ml_diag *diag)
{
	struct json_object *o = json_object_new_object(), *list;
	struct ml_json j = {0};
	size_t i;

	ml_json_add(&j, o, "file", ml_json_escaped(&j, file, strlen(file)));
	list = ml_json_add(&j, o, "patches", json_object_new_array());
	for (i = 0; i < r->n; i++)
		ml_json_add(&j, list, NULL, part(&j, &r->part[i]));
	ml_json_put(&j, f, o, JSON_C_TO_STRING_PRETTY |
		JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
	fputc('\n', f);
	if (j.failed)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	return ML_OK;
}
