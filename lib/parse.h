/* SPDX-License-Identifier: MIT */
/* The cheapest sequence of operations for some bytes of the target, by
 * estimated prices. Private to the library. */
#ifndef ML_PARSE_H
#define ML_PARSE_H

#include "ml.h"

#define ML_PARSE_LEN 4096 /* bytes that are parsed together, at most */
#define ML_PARSE_NICE 512 /* a match of so many bytes is taken at once */
#define ML_PARSE_CANDS 40

/* A match of the bytes from somewhere on. */
struct ml_cand {
	unsigned op; /* ML_OP_COPY, ML_OP_SELF */
	uint32_t len;
	uint64_t arg; /* base offset, or distance */
};

/* What the coder remembers of operations before. */
struct ml_reps {
	int64_t disp[2]; /* base offset - target offset, the last two */
	uint64_t dist; /* of the last SELF */
};

/* A step of the way. */
struct ml_step {
	uint32_t at, len; /* in the window */
	uint64_t arg; /* as of a match; ML_OP_DIFF: base offset */
	unsigned op; /* ML_OP_LIT, COPY, SELF, DIFF of bytes */
};

struct ml_parse;
/* Finds up to ML_PARSE_CANDS matches of win[i..end), each longer than those
 * that cost less, reps among them. */
struct ml_parse_ops {
	size_t (*find)(void *arg, size_t i, size_t end,
		const struct ml_reps *reps, struct ml_cand *c);
	/* The byte of the base at off, or -1. */
	int (*base)(void *arg, uint64_t off);
};

int ml_parse_new(struct ml_parse **out, struct ml_diag *diag);
void ml_parse_free(struct ml_parse *p); /* NULL is allowed */
const struct ml_litprice *ml_parse_prices(const struct ml_parse *p);
/* Bytes that are about to be parsed, for a first idea of their prices. */
void ml_parse_prior(struct ml_parse *p, const uint8_t *b, size_t n);
/* Parses win[i..end), end - i <= ML_PARSE_LEN, which begins at target offset
 * `off`. described: whether residuals of bytes were used before. The steps lie in the struct until the next call; they
 * cover all or, when a nice match was found, end with it; *bits is their price
 * but for that. Moves *reps on. */
size_t ml_parse_run(struct ml_parse *p, const struct ml_parse_ops *ops,
	void *arg, const uint8_t *win, size_t i, size_t end, uint64_t off,
	int described, struct ml_reps *reps, const struct ml_step **steps,
	uint64_t *bits);

#endif
