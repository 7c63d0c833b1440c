/* SPDX-License-Identifier: MIT */
/* JSON by json-c, for writers that look at the end whether the memory was
 * enough. Private to the library. */
#ifndef ML_JSON_H
#define ML_JSON_H

#include <json-c/json.h>

#include "ml.h"

struct ml_json {
	int failed; /* out of memory: what was made is to be thrown away */
};

/* Gives o to an object, or with a NULL key to an array. Any of both may be
 * NULL for want of memory. Returns o. */
struct json_object *ml_json_add(struct ml_json *j, struct json_object *to,
	const char *key, struct json_object *o);
struct json_object *ml_json_object(struct ml_json *j, struct json_object *to,
	const char *key); /* a new one */
void ml_json_number(struct ml_json *j, struct json_object *to,
	const char *key, uint64_t v);
void ml_json_real(struct ml_json *j, struct json_object *to, const char *key,
	double v);
void ml_json_text(struct ml_json *j, struct json_object *to, const char *key,
	const char *s);
/* A hostile text, escaped. */
struct json_object *ml_json_escaped(struct ml_json *j, const char *s,
	size_t n);
/* Writes o, unless something has failed, and frees it in any case. */
void ml_json_put(struct ml_json *j, FILE *f, struct json_object *o,
	int flags);

#endif
