/* SPDX-License-Identifier: MIT */
/* The byte differ: finds bytes of the target in the base or earlier in the
 * target and writes plain operations, for skeletons and for tensors that no
 * base tensor helps. Private to the library. */
#ifndef ML_MATCH_H
#define ML_MATCH_H

#include "dup.h"
#include "ml.h"

struct ml_match;

/* Indexes the base (NULL: none). */
int ml_match_new(struct ml_match **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag);
void ml_match_free(struct ml_match *m); /* NULL is allowed */
/* Base bytes only as a patch in place may use them, see inplace.h. */
void ml_match_page(struct ml_match *m, unsigned page, unsigned lead);

/* Target bytes that are coded by other means, from the base at displacement
 * disp (base offset - target offset), so that later ones can be copied from
 * them. All bytes of the target pass in order through this
 * function or those below. */
int ml_match_skip(struct ml_match *m, const uint8_t *p, size_t n, int64_t disp,
	struct ml_diag *diag);

/* The same without a base. */
void ml_match_pass(struct ml_match *m, const uint8_t *p, size_t n);

/* The same of bytes that nothing is to be copied from. */
void ml_match_jump(struct ml_match *m, uint64_t n, int64_t disp);

/* Runs that were in the target before, however far back, for the bytes that
 * come next; they belong to the caller. n 0: none. */
void ml_match_far(struct ml_match *m, const struct ml_dup_run *run, size_t n);

/* Covers p[0..n), n <= ML_BLOCK_OUT, by operations that it gives to emit in
 * order. type: element type (ml_type_of) of the bytes; 0: unknown, and then
 * differences and elements of common types are tried. What is emitted is the
 * head and the data of one operation (data NULL for COPY and SELF); a DIFF
 * has its residuals in data and the base bytes in base. */
typedef int ml_emit(void *arg, unsigned op, unsigned type, uint64_t units,
	uint64_t at, const uint8_t *data, const uint8_t *base, size_t bytes,
	struct ml_diag *diag);
int ml_match_run(struct ml_match *m, const uint8_t *p, size_t n, unsigned type,
	ml_emit *emit, void *arg, struct ml_diag *diag);

#endif
