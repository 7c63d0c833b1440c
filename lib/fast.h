/* SPDX-License-Identifier: MIT */
/* The encoder of coder 3, and its kernels; the form of a block is in
 * ml-patch(5), the decoder in embedded/mlfast.h. Private to the library. */
#ifndef ML_FAST_CODE_H
#define ML_FAST_CODE_H

#include "ml.h"
#include "mlfast.h"

/* Chances as an encoder needs them: [context * 32 + symbol] or [symbol]. */
struct ml_fast_div {
	uint8_t f[256], c[256];
	uint16_t inv[256]; /* 65535 / f */
	uint8_t inv_lo[256], inv_hi[256]; /* the same, its bytes */
};

/* Bits, the lowest first. At most 64 bytes are written behind p. */
struct ml_fast_bits {
	uint8_t *p;
	uint64_t acc;
	unsigned n; /* in acc, below 8 */
};

/* Kernels; n is a multiple of ML_FAST_GROUP, but of the scalar ones any
 * number, and of `symbols` one of ML_FAST_LANES. Only outputs may be written
 * behind their end, up to ML_FAST_SLACK bytes. */
struct ml_fast_code {
	const struct ml_fast_kern *dec;
	/* The upper 8 bits of each element, a float's sign being its lowest
	 * one, and the k below. */
	void (*split)(const struct ml_fast_elem *e, const uint8_t *in,
		size_t n, uint8_t *val, uint8_t *raw, uint8_t *odd);
	/* Values to symbols, in place; those that become `esc` are appended to
	 * list. Returns how many they are. */
	size_t (*map)(uint8_t *val, size_t n, const uint8_t lut[256],
		uint8_t esc, uint8_t *list);
	/* Which groups differ from the base (NULL: from 0), or, `given`, have
	 * residuals that are not 0; a bit each, set when not. Returns elements
	 * that differ. */
	size_t (*zeros)(unsigned w, const uint8_t *base, const uint8_t *in,
		int given, size_t n, uint8_t *map);
	/* Symbols of the residuals, context * 32 + class, and what they leave:
	 * magnitude * 2 + sign, as elements of the same size. */
	void (*classes)(const struct ml_fast_resid *r, const uint8_t *base,
		const uint8_t *in, int given, size_t n, uint8_t *sym,
		uint8_t *left);
	/* Makes escapes of symbols without chances; returns how many. */
	size_t (*escapes)(uint8_t *sym, size_t n, const uint8_t f[256]);
	/* The low bits of what is left. */
	void (*bits)(const struct ml_fast_resid *r, const uint8_t *sym,
		const uint8_t *left, size_t n, struct ml_fast_bits *b);
	/* The states into dst[0..256), then their bytes; returns how many in
	 * all. At most ML_FAST_STATES + n + ML_FAST_SLACK are written. */
	size_t (*symbols)(const struct ml_fast_div *t, int contexts,
		const uint8_t *sym, size_t n, uint8_t *dst);
};
extern const struct ml_fast_code ml_fast_code_scalar;
/* NULL when this processor has not what it takes. */
const struct ml_fast_code *ml_fast_code_avx512(void);
const struct ml_fast_code *ml_fast_code_avx2(void);
const struct ml_fast_code *ml_fast_code_neon(void);
/* The best there is. */
const struct ml_fast_code *ml_fast_code_best(void);
/* All there are, for tests: NULL behind the last. */
const struct ml_fast_code *ml_fast_code_nth(unsigned i);

/* An encoder of blocks; one thread at a time. */
struct ml_faster;
int ml_faster_new(struct ml_faster **out, const struct ml_fast_code *code,
	struct ml_diag *diag); /* code NULL: the best */
void ml_faster_free(struct ml_faster *x);

/* What a block is made of. */
struct ml_fast_in {
	unsigned type; /* 0 to 10 */
	const uint8_t *data; /* elements, or residuals */
	const uint8_t *base; /* NULL: there is none */
	int given; /* data are residuals against base */
	uint64_t at; /* of the base's bytes in the base */
	size_t n; /* bytes of data, 1 to ML_FAST_MAX */
};
/* A payload of coder 3, alive until the next call, or none (*n is 0) when it
 * would not be shorter than the data by 64 bytes and 1/64. With a base and data
 * that are elements it is the better one of both forms, as far as a sample
 * tells. */
void ml_faster_encode(struct ml_faster *x, const struct ml_fast_in *in,
	const uint8_t **code, size_t *n);

#endif
