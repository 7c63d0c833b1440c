/* SPDX-License-Identifier: MIT */
/* JSON by json-c: see json.h. */
#include <stdlib.h>

#include "json.h"
#include "text.h"

struct json_object *ml_json_add(struct ml_json *j, struct json_object *to,
	const char *key, struct json_object *o)
{
	if (to && o && (key ? json_object_object_add(to, key, o) :
		json_object_array_add(to, o)) == 0)
		return o;
	j->failed = 1;
	json_object_put(o);
	return NULL;
}

struct json_object *ml_json_object(struct ml_json *j, struct json_object *to,
	const char *key)
{
	return ml_json_add(j, to, key, json_object_new_object());
}

void ml_json_number(struct ml_json *j, struct json_object *to,
	const char *key, uint64_t v)
{
	ml_json_add(j, to, key, json_object_new_uint64(v));
}

void ml_json_real(struct ml_json *j, struct json_object *to, const char *key,
	double v)
{
	char text[40];

	snprintf(text, sizeof(text), "%.6f", v);
	ml_json_add(j, to, key, json_object_new_double_s(v, text));
}

void ml_json_text(struct ml_json *j, struct json_object *to, const char *key,
	const char *s)
{
	ml_json_add(j, to, key, json_object_new_string(s));
}

struct json_object *ml_json_escaped(struct ml_json *j, const char *s,
	size_t n)
{
	char *text = ml_escaped(s, n);
	struct json_object *o = text ? json_object_new_string(text) : NULL;

	j->failed |= !o;
	free(text);
	return o;
}

void ml_json_put(struct ml_json *j, FILE *f, struct json_object *o,
	int flags)
{
	const char *s = NULL;

	if (!j->failed && o)
		s = json_object_to_json_string_ext(o, flags);
	if (s)
		fputs(s, f);
	else
		j->failed = 1;
	json_object_put(o);
}
