/* SPDX-License-Identifier: MIT */
/* Tensors of PyTorch in a pickled value: what the zip, the older files and
 * checkpoint folders share. Private to the library. */
#ifndef ML_TORCH_H
#define ML_TORCH_H

#include "pickle.h"

/* A piece of the file that tensors lie in. */
struct ml_torch_storage {
	const char *key; /* its name in the pickle; borrowed */
	size_t key_len;
	const char *path; /* its name in the file; borrowed, may be NULL */
	size_t path_len;
	uint64_t off, len; /* where it lies */
	int lost; /* nobody knows where it lies */
	/* made by ml_torch_index: of the first that refers to it, */
	uint16_t dtype; /* ML_DT_OPAQUE: nobody does */
	uint64_t elems;
	/* made by ml_torch_tensors */
	int used; /* a tensor lies in it */
	char *view; /* a tensor that is a part of it with gaps; owned */
	size_t view_len;
};

struct ml_torch {
	const struct ml_pickle *p;
	struct ml_torch_storage *store; /* owned; the caller fills it */
	size_t n;
	size_t *by_key; /* made by ml_torch_index */
};

/* Finds out which storages the pickle refers to. */
int ml_torch_index(struct ml_torch *t, struct ml_diag *diag);
/* Adds the tensors of the pickled value, under the path of keys, indices and
 * attributes that lead to them, joined by dots, behind `prefix`. A storage
 * that none of them lies in is added as one of one dimension. Tensors of
 * storages that are not there are left out. */
int ml_torch_tensors(struct ml_torch *t, const char *prefix,
	struct ml_model *m, struct ml_diag *diag);
void ml_torch_free(struct ml_torch *t);

#endif
