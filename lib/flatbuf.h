/* SPDX-License-Identifier: MIT */
/* FlatBuffers, read in place. Every table, vtable and vector is checked
 * against the file when it is met; no alignment is assumed. Fields are named
 * by their number in the schema. */
#ifndef ML_FLATBUF_H
#define ML_FLATBUF_H

#include "ml.h"

struct ml_fb {
	struct ml_src *src;
	uint64_t size; /* of the file */
	struct ml_diag *diag;
};

/* pos 0: there is none; all its fields are then absent. */
struct ml_fb_table {
	uint64_t pos, vtab; /* in the file */
	uint16_t vlen, len; /* bytes of the vtable and of the table */
};

struct ml_fb_vec {
	uint64_t pos; /* of the first element; 0: absent */
	uint32_t n; /* elements, all inside the file */
};

int ml_fb_root(const struct ml_fb *fb, struct ml_fb_table *t);
/* An unsigned number of 1, 2, 4 or 8 bytes; `dflt` when absent. */
int ml_fb_num(const struct ml_fb *fb, const struct ml_fb_table *t,
	unsigned field, unsigned width, uint64_t dflt, uint64_t *v);
int ml_fb_sub(const struct ml_fb *fb, const struct ml_fb_table *t,
	unsigned field, struct ml_fb_table *sub);
/* A vector, or a string, whose elements take `width` bytes. */
int ml_fb_vector(const struct ml_fb *fb, const struct ml_fb_table *t,
	unsigned field, unsigned width, struct ml_fb_vec *v);
/* Element i < n of a vector of tables (width 4). */
int ml_fb_at(const struct ml_fb *fb, const struct ml_fb_vec *v, uint32_t i,
	struct ml_fb_table *t);

#endif
