/* SPDX-License-Identifier: MIT */
/* What a patch says of itself and where its bytes go. Private to the library
 * and ml-info. */
#ifndef ML_REPORT_H
#define ML_REPORT_H

#include "ml.h"
#include "mldec.h"

enum { ML_REC_PLAIN, ML_REC_RANGE, ML_REC_NOTE, ML_NREC };

#define ML_NOP 5 /* kinds of operations */
extern const char *const ml_op_name[ML_NOP];

/* Where the bytes of a span, or of all, come from. */
struct ml_share {
	uint64_t made[ML_NOP]; /* target bytes */
	uint64_t cost[ML_NOP]; /* coded bytes, in 1/256 */
	uint64_t total; /* elements that could be compared with the base's, */
	uint64_t changed; /* and those that differ */
};

struct ml_report {
	uint64_t off, size; /* of the patch in the file */
	struct ml_hdr h; /* without its pointers */
	uint8_t base_sha[ML_SHA256_LEN], target_sha[ML_SHA256_LEN];
	uint64_t nrec[ML_NREC], rec[ML_NREC]; /* records and their bytes */
	int looked; /* the rest is known */
	struct ml_model m; /* of the target */
	struct ml_share all, *span; /* for each of m */
	size_t at; /* the span that is being made */
};

/* Reads all patches of a chain; on failure *n says how many were read. To be
 * freed by ml_report_free whatever the outcome. */
int ml_report_read(struct ml_report **r, size_t *n, struct ml_src *psrc,
	struct ml_diag *diag);
void ml_report_free(struct ml_report *r, size_t n);

/* Looks at the operations of a patch. bsrc may be NULL when it needs none;
 * that both are the files that it means is the caller's to know. */
int ml_report_look(struct ml_report *r, struct ml_src *psrc,
	struct ml_src *bsrc, struct ml_src *tsrc, struct ml_diag *diag);

#endif
