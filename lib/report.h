/* SPDX-License-Identifier: MIT */
/* What a patch says of itself and where its bytes go. Private to the library.
 */
#ifndef ML_REPORT_H
#define ML_REPORT_H

#include "ml.h"
#include "hdr.h"
#include "mldec.h"

enum { ML_REC_PLAIN, ML_REC_RANGE, ML_REC_FAST, ML_REC_NOTE, ML_NREC };
extern const char *const ml_rec_name[ML_NREC];

#define ML_NOP 5 /* kinds of operations */
extern const char *const ml_op_name[ML_NOP];

/* Where the bytes of a span, or of all, come from. */
struct ml_share {
	uint64_t made[ML_NOP]; /* target bytes */
	uint64_t cost[ML_NOP]; /* coded bytes, in 1/256 */
	/* The element type of residuals and elements alone that most of them
	 * have, and by how many bytes it leads. */
	const char *type[ML_NOP];
	uint64_t lead[ML_NOP];
	/* The longest operation that takes base bytes: how long, and from
	 * where. */
	uint64_t longest, arg;
	const struct ml_span *base; /* the tensor they are of, or NULL */
	const struct ml_cast *cast; /* by this cast, or NULL, */
	const struct ml_cast *gather; /* and this one, which may be the same */
	char how[80]; /* both in words, ML_CAST_TEXT */
	uint64_t total; /* elements that could be compared with the base's, */
	uint64_t changed; /* and those that differ */
};

/* One patch. */
struct ml_part {
	uint64_t off, size; /* of the patch in the file */
	struct ml_hdr h; /* without extensions */
	uint8_t base_sha[ML_SHA256_LEN], target_sha[ML_SHA256_LEN];
	int is_signed; /* by this key, it says */
	uint8_t key_id[ML_KEY_ID_LEN];
	uint64_t nrec[ML_NREC], rec[ML_NREC]; /* records and their bytes */
	int looked; /* the rest is known */
	struct ml_model m; /* of the target */
	struct ml_model base; /* empty without one */
	struct ml_wrap_map map; /* parts and casts */
	struct ml_share all, *span; /* for each of m */
	size_t at; /* the span that is being made */
};

struct ml_report {
	struct ml_part *part;
	size_t n;
};

/* Sums up what is no tensor; its length is returned. */
uint64_t ml_part_skeleton(const struct ml_part *r, struct ml_share *sum);
/* Coded bytes in all. */
double ml_share_cost(const struct ml_share *s);
/* The kind that makes most of a tensor, and the element type that it has
 * there, "" if none. */
const char *ml_share_mostly(const struct ml_share *s);
const char *ml_share_type(const struct ml_share *s);
/* a / b, or 0. */
double ml_ratio(double a, double b);

#endif
