/* SPDX-License-Identifier: MIT */
/* What the parts of the ONNX reader share. Private to the library. */
#ifndef ML_ONNX_H
#define ML_ONNX_H

#include "ml.h"

/* A string of the file. */
struct ml_onnx_str {
	uint64_t off, len;
};

/* A tensor whose bytes lie in another file. */
struct ml_onnx_external {
	const char *name;
	size_t name_len;
	const char *location; /* the path of that file, from this one's folder */
	size_t location_len;
	unsigned dtype, rank;
	const uint64_t *shape;
	uint64_t off, len;
};

/* An initializer. Its name is that of m->span[span], which owns it. */
struct ml_onnx_init {
	const char *name;
	size_t name_len, span;
	uint8_t varints; /* the elements are packed varints */
	uint8_t tried; /* scales were looked for */
};

/* A node that says with which scales an initializer is to be read. */
struct ml_onnx_use {
	struct ml_onnx_str x, scale, zero;
	int64_t axis;
};

struct ml_onnx {
	struct ml_src *src;
	struct ml_model *m;
	struct ml_diag *diag;
	char *name; /* SCRATCH_MAX bytes */
	struct ml_onnx_init *init;
	size_t ninit, cinit;
	struct ml_onnx_use *use;
	size_t nuse, cuse;
	/* not NULL: all that is wanted is this, m is NULL */
	int (*external)(void *arg, const struct ml_onnx_external *e);
	void *arg;
};

/* Reads a string of at most ML_NAME_MAX bytes to o->name. */
int ml_onnx_name(struct ml_onnx *o, const struct ml_onnx_str *s);
/* Hangs the scales that nodes told of onto the initializers. */
int ml_onnx_quantise(struct ml_onnx *o);
/* Calls each for every tensor with external data; what it is given lives until
 * it returns. */
int ml_onnx_externals(struct ml_src *s,
	int (*each)(void *arg, const struct ml_onnx_external *e), void *arg,
	struct ml_diag *diag);

#endif
