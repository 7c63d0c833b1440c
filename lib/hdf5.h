/* SPDX-License-Identifier: MIT */
/* What the parts of the HDF5 reader share: reading that is paid for, and the
 * datasets. Addresses count from the superblock. Private to the library. */
#ifndef ML_HDF5_H
#define ML_HDF5_H

#include "ml.h"

#define ML_H5_UNDEF UINT64_MAX /* the address of nothing */

struct ml_h5 {
	struct ml_src *src;
	struct ml_model *m;
	struct ml_diag *diag;
	uint64_t base; /* where the superblock lies */
	unsigned osize, lsize; /* bytes of an address and of a length */
	uint64_t last; /* address of the last read */
	/* The structures of a hostile file may all lead to the same bytes:
	 * accounts of what may still be read and be kept as names. */
	uint64_t work, names;
};

/* Bytes in memory, read as numbers. */
struct ml_h5_cur {
	const uint8_t *p;
	size_t n;
	int bad; /* more was asked for than there was */
};

/* Numbers of 0 to 8 bytes; 0 when they are not there. */
uint64_t ml_h5_num(struct ml_h5_cur *c, unsigned width);
uint64_t ml_h5_addr(const struct ml_h5 *h, struct ml_h5_cur *c);

/* Reads n bytes at an address; `what` is for messages. */
int ml_h5_get(struct ml_h5 *h, uint64_t addr, void *buf, size_t n,
	const char *what);
/* The same for a structure that begins with a signature of 4 bytes. */
int ml_h5_signed(struct ml_h5 *h, uint64_t addr, void *buf, size_t n,
	const char *sig);
/* Pays n bytes of names. */
int ml_h5_name(struct ml_h5 *h, uint64_t n);

/* Calls leaf for every child of the leaves of a version 1 B-tree, with the key
 * before it. */
#define ML_H5_KEY_MAX (8 + 8 * (ML_RANK_MAX + 1))
enum { ML_H5_GROUPS = 0, ML_H5_CHUNKS = 1 };
int ml_h5_tree(struct ml_h5 *h, uint64_t addr, unsigned type, size_t key,
	int (*leaf)(void *arg, const uint8_t *key, uint64_t child), void *arg);

/* A group that keeps its links in a fractal heap: calls link for each link
 * message, which is n bytes at an address. What lies in huge or filtered
 * objects is left out. */
int ml_h5_dense(struct ml_h5 *h, uint64_t heap, uint64_t index,
	int (*link)(void *arg, uint64_t addr, size_t n), void *arg);

/* What the messages of an object header say of a dataset. */
struct ml_h5_data {
	unsigned seen; /* bits of enum ml_h5_seen */
	unsigned dtype; /* ML_DT_OPAQUE: no tensor */
	uint64_t esize; /* bytes of an element */
	unsigned rank;
	uint64_t shape[ML_RANK_MAX];
	unsigned kind; /* of layout */
	uint64_t addr, len; /* of the bytes, or of the index of the chunks */
	unsigned nchunk; /* dimensions of a chunk, the element's bytes last */
	uint64_t chunk[ML_RANK_MAX + 1];
};
enum ml_h5_seen {
	ML_H5_TYPE = 1, ML_H5_SPACE = 2, ML_H5_LAYOUT = 4, ML_H5_ALL = 7,
	ML_H5_ODD = 8 /* it has what we do not follow */
};
/* Reads a message of n bytes; those that are not of datasets are ignored. */
int ml_h5_message(struct ml_h5 *h, struct ml_h5_data *d, unsigned type,
	unsigned flags, uint64_t addr, size_t n);
/* Adds the tensors. `path` has room for ML_NAME_MAX bytes and is changed
 * behind its len bytes. */
int ml_h5_add(struct ml_h5 *h, const struct ml_h5_data *d, char *path,
	size_t len);

#endif
