/* SPDX-License-Identifier: MIT */
/* The members of an archive: files in a file, each read like one of its own.
 * Readers of archives list them, then ml_set_finish looks into them. Private
 * to the library. */
#ifndef ML_SET_H
#define ML_SET_H

#include "ml.h"

#define ML_MEMBERS_MAX (1u << 20)
#define ML_NOT_FOUND SIZE_MAX

struct ml_member {
	char *name; /* the path as the archive has it; may hold NULs */
	size_t name_len;
	uint64_t off, len; /* of its bytes in the archive, or in the wrap */
	uint32_t wrap; /* as in ml_span */
	int taken; /* a guide told its tensors */
	struct ml_src *src; /* its bytes, once ml_set_src was asked */
	struct ml_model model; /* its tensors, by offset in the member */
};

struct ml_set {
	struct ml_src *s; /* the archive */
	struct ml_model *m; /* where the tensors go at the end */
	struct ml_member *member;
	size_t n, cap;
	size_t *by_name; /* made by ml_set_finish */
};

/* Both are borrowed until ml_set_free. */
void ml_set_init(struct ml_set *set, struct ml_src *s, struct ml_model *m);
void ml_set_free(struct ml_set *set);
/* A member whose bytes lie in the archive as they are; ML_EFORMAT when they
 * leave it. */
int ml_set_stored(struct ml_set *set, const char *name, size_t name_len,
	uint64_t off, uint64_t len, struct ml_diag *diag);
/* A member of `len` bytes that is deflated (raw) there. What zlib does not
 * make again is left out: it stays opaque. */
int ml_set_deflated(struct ml_set *set, const char *name, size_t name_len,
	uint64_t off, uint64_t clen, uint64_t len, struct ml_diag *diag);
/* Looks into all members, first by guides, then by content, and gives their
 * tensors to the model. A tensor keeps the name that it has in its member,
 * after the member's path and "::"; without one it has that of the member. A
 * member that cannot be followed stays opaque, and m->note says why. */
int ml_set_finish(struct ml_set *set, struct ml_diag *diag);

/* For guides, below. */

/* The bytes of a member; owned by the set. */
int ml_set_src(struct ml_set *set, size_t i, struct ml_src **out,
	struct ml_diag *diag);
/* The member at `path` seen from the directory of member i (both with '/';
 * "." and ".." are followed, not beyond the root), or ML_NOT_FOUND. */
size_t ml_set_near(
	const struct ml_set *set, size_t i, const char *path, size_t n);
/* Adds a tensor by its offset in member i, which is taken then. One that
 * leaves the member is ML_EFORMAT. */
int ml_set_tensor(struct ml_set *set, size_t i, const char *name,
	size_t name_len, unsigned dtype, unsigned rank, const uint64_t *shape,
	uint64_t off, uint64_t len, struct ml_diag *diag);

/* A file that tells what lies in others beside it. walk is called for every
 * member whose name matches, before any is read by content; it adds tensors to
 * the members it knows. What it cannot follow is no fault of the archive: an
 * input error only leaves things opaque. */
struct ml_guide {
	const char *name; /* for messages */
	int (*match)(const char *name, size_t n);
	int (*walk)(struct ml_set *set, size_t i, struct ml_diag *diag);
};
extern const struct ml_guide *const ml_guides[]; /* ends with NULL */
extern const struct ml_guide ml_guide_dcp, ml_guide_onnx, ml_guide_openvino;

#endif
