/* SPDX-License-Identifier: MIT */
/* Patches that are applied to see what they make. Private to the library and
 * the programs. */
#ifndef ML_PROVE_H
#define ML_PROVE_H

#include "ml.h"

/* Applies the patch at *off, moves *off behind it, and gives its target as a
 * spool, which the caller frees. bsrc may be NULL as for ml_apply. */
int ml_apply_spool(struct ml_src *psrc, uint64_t *off, struct ml_src *bsrc,
	struct ml_src **target, struct ml_diag *diag);

/* A finished patch in an unlinked temporary file. */
struct ml_proven {
	FILE *f;
	struct ml_src *patch;
};

/* Finishes a packer and applies the patch to the base; it must make what info
 * promises. Progress, when not NULL, is told the target bytes done. To be
 * given to ml_proven_free whatever the outcome. */
int ml_pack_proven(struct ml_packer *p, const struct ml_patch_info *info,
	struct ml_src *bsrc, void (*progress)(void *arg, uint64_t done),
	void *arg, struct ml_proven *out, struct ml_diag *diag);
void ml_proven_free(struct ml_proven *p);

/* Writes all bytes of a source. */
int ml_src_copy(struct ml_src *s, FILE *f, struct ml_diag *diag);

#endif
