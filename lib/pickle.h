/* SPDX-License-Identifier: MIT */
/* Python's pickle, read without running anything: what a pickle would call is
 * kept as a node that says so. Private to the library. */
#ifndef ML_PICKLE_H
#define ML_PICKLE_H

#include "ml.h"

#define ML_PICKLE_MAX (64u << 20) /* bytes, but for strings not kept */
#define ML_PICKLE_NODES (1u << 22)
#define ML_PICKLE_ATTRS 64 /* entries that ml_pk_attr looks at */

enum ml_pk_kind {
	ML_PK_NONE, ML_PK_BOOL, ML_PK_INT,
	ML_PK_LONG, /* an int beyond 64 bits: little-endian bytes as text */
	ML_PK_TEXT,
	ML_PK_OTHER, /* not kept: floats, bytes, text beyond ML_NAME_MAX */
	ML_PK_TUPLE, ML_PK_LIST, ML_PK_SET, /* items */
	ML_PK_DICT, /* items: key, value, key, value ... */
	ML_PK_GLOBAL, /* a class or function by its name */
	ML_PK_PERSID, /* what the pickler keeps elsewhere; args: its name */
	ML_PK_OBJECT /* what fn(*args) would make, then items and state */
};

#define ML_PK_NIL 0 /* the node of None, also for "there is none" */

/* A value. Nodes and items refer to each other by index, may be shared and
 * may form cycles. */
struct ml_pk_node {
	uint8_t kind; /* enum ml_pk_kind */
	uint8_t pairs; /* items are keys and values */
	uint32_t first, last; /* indices of items + 1; 0: none */
	union {
		int64_t i; /* INT, BOOL */
		struct {
			uint32_t at, n; /* TEXT, LONG; GLOBAL: its module */
			uint32_t name_at, name_n; /* GLOBAL */
		} text;
		struct {
			uint32_t count; /* items */
			uint32_t fn, args, state; /* OBJECT, PERSID: args */
		} of;
	} u;
};

struct ml_pk_item {
	uint32_t node;
	uint32_t next; /* index + 1; 0: it is the last */
};

struct ml_pickle {
	struct ml_pk_node *node;
	struct ml_pk_item *item;
	char *text;
	uint32_t nodes, node_cap, items, item_cap, texts, text_cap;
	uint32_t root; /* the pickled value */
	uint64_t len; /* bytes of the pickle, STOP included */
};

/* Reads the pickle that begins at off of s and ends by end, which must lie
 * within s. *p is to be freed also on failure. Unknown opcodes are
 * ML_EFORMAT. */
int ml_pickle_read(struct ml_pickle *p, struct ml_src *s, uint64_t off,
	uint64_t end, struct ml_diag *diag);
void ml_pickle_free(struct ml_pickle *p);

/* Whether a node is this text, or this class or function. */
int ml_pk_is(const struct ml_pickle *p, uint32_t i, const char *text);
int ml_pk_is_global(const struct ml_pickle *p, uint32_t i, const char *module,
	const char *name);
/* The first items of a node, at most cap; returns how many there are in all,
 * 0 when it has none. */
size_t ml_pk_items(
	const struct ml_pickle *p, uint32_t i, uint32_t *out, size_t cap);
/* The value of a key of a dict, or of an object's state; else ML_PK_NIL. */
uint32_t ml_pk_attr(const struct ml_pickle *p, uint32_t i, const char *key);

#endif
