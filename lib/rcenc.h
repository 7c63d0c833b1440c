/* SPDX-License-Identifier: MIT */
/* The range encoder of coders 1 and 2, and the reservoir of raw bits. Private
 * to the library. */
#ifndef ML_RCENC_H
#define ML_RCENC_H

#include <stdint.h>
#include <stdlib.h>

#include "ml.h"
#include "mldec.h"

#define RC_CAP (ML_CODE_MAX + ML_BLOCK_OUT / 2)

/* The decoder fetches bytes of the range coder and of the reservoir of raw
 * bits from one input, in the order in which it needs them. So each fetch
 * gets its place in `out` when it will happen; a byte of the range coder is
 * known only later (carries) and put there at the end. */
struct rc_enc {
	uint32_t low, range;
	uint8_t *byte; /* the range coder's bytes */
	uint32_t *place; /* where each belongs */
	size_t nbyte, nplace;
	uint8_t *out;
	size_t nout, keep; /* so many are not cut off at the end */
	size_t raw; /* place of the reservoir's byte in use */
	unsigned rawbits; /* bits used of it */
	int full;
};

ML_INLINE void rc_fetch(struct rc_enc *rc)
{
	rc->place[rc->nplace++] = (uint32_t)rc->nout;
	rc->out[rc->nout++] = 0;
}

ML_INLINE unsigned rc_bit(struct rc_enc *rc, uint32_t p0, unsigned y)
{
	uint32_t bound = (rc->range >> 16) * p0;
	size_t i;

	if (rc->full)
		return y;
	if (y) {
		rc->low += bound;
		if (rc->low < bound)
			for (i = rc->nbyte; i-- && !++rc->byte[i];)
				;
		rc->range -= bound;
	} else {
		rc->range = bound;
	}
	while (rc->range < ML_TOP) {
		rc->byte[rc->nbyte++] = (uint8_t)(rc->low >> 24);
		rc->low <<= 8;
		rc->range <<= 8;
		rc_fetch(rc);
	}
	rc->full = rc->nout > RC_CAP - 16;
	return y;
}

ML_INLINE uint32_t rc_raw(struct rc_enc *rc, unsigned n, uint32_t v)
{
	uint32_t left = v;
	unsigned m;

	if (rc->full)
		return v;
	while (n) {
		if (rc->rawbits == 8) {
			rc->raw = rc->nout;
			rc->out[rc->nout++] = 0;
			rc->rawbits = 0;
		}
		m = 8 - rc->rawbits < n ? 8 - rc->rawbits : n;
		rc->out[rc->raw] = (uint8_t)(rc->out[rc->raw] |
			(left & ((1u << m) - 1)) << rc->rawbits);
		left >>= m;
		rc->rawbits += m;
		n -= m;
	}
	rc->full = rc->nout > RC_CAP - 16;
	return v;
}

/* A byte as it is, in its place. */
static inline void rc_byte(struct rc_enc *rc, unsigned v)
{
	if (rc->full)
		return;
	rc->out[rc->nout++] = (uint8_t)v;
	rc->keep = rc->nout;
	rc->full = rc->nout > RC_CAP - 16;
}

static inline int rc_new(struct rc_enc *rc)
{
	rc->byte = malloc(RC_CAP);
	rc->out = malloc(RC_CAP);
	rc->place = malloc(RC_CAP * sizeof *rc->place);
	return rc->byte && rc->out && rc->place;
}

static inline void rc_free(struct rc_enc *rc)
{
	free(rc->byte);
	free(rc->out);
	free(rc->place);
}

static inline void rc_start(struct rc_enc *rc)
{
	unsigned i;

	rc->low = 0;
	rc->range = 0xffffffff;
	rc->nbyte = rc->nplace = rc->nout = rc->keep = 0;
	rc->rawbits = 8;
	rc->full = 0;
	for (i = 0; i < 4; i++)
		rc_fetch(rc);
}

/* Ends on a number inside the last interval that has the most zero bits,
 * puts all bytes in place and cuts the zeros that the decoder makes itself. */
static inline size_t rc_end(struct rc_enc *rc)
{
	uint64_t v, m;
	size_t i;

	for (m = 0xffffffff; m; m >>= 1) {
		v = ((uint64_t)rc->low + m) & ~m;
		if (v - rc->low < rc->range)
			break;
	}
	if (!m)
		v = rc->low;
	if (v >> 32)
		for (i = rc->nbyte; i-- && !++rc->byte[i];)
			;
	for (i = 0; i < 4; i++)
		rc->byte[rc->nbyte++] = (uint8_t)(v >> (24 - 8 * i));
	for (i = 0; i < rc->nplace; i++)
		rc->out[rc->place[i]] = rc->byte[i];
	while (rc->nout > rc->keep && !rc->out[rc->nout - 1])
		rc->nout--;
	return rc->nout;
}

#endif
