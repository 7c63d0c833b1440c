/* SPDX-License-Identifier: MIT */
/* The range decoder of coders 1 and 2, ml-patch(5), and their models on
 * top of it. */
#ifndef ML_RC_H
#define ML_RC_H

#include "mldec.h"

/* Behind the end there are zeros: an encoder cuts those that it would send. */
ML_HOT unsigned rc_byte(struct ml_rc *rc)
{
	return rc->p < rc->lim ? *rc->p++ : 0;
}

/* LZMA's binary range decoder with 16-bit chances. */
ML_HOT unsigned rc_bit(struct ml_rc *rc, uint32_t p0, unsigned y)
{
	uint32_t bound = (rc->range >> 16) * p0;

	if (rc->code < bound) {
		rc->range = bound;
		y = 0;
	} else {
		rc->range -= bound;
		rc->code -= bound;
		y = 1;
	}
	while (rc->range < ML_TOP) {
		rc->range <<= 8;
		rc->code = rc->code << 8 | rc_byte(rc);
	}
	return y;
}

/* Raw bits come from a reservoir that is filled from the same bytes at the
 * moment of need: cheaper than coding them, and one input serves both. */
ML_INLINE uint32_t rc_raw(struct ml_rc *rc, unsigned n, uint32_t v)
{
	while (rc->nraw < n) {
		rc->raw |= (uint32_t)rc_byte(rc) << rc->nraw;
		rc->nraw += 8;
	}
	v = rc->raw & ((1u << n) - 1);
	rc->raw >>= n;
	rc->nraw -= n;
	return v;
}

static inline void rc_start(struct ml_rc *rc)
{
	unsigned i;

	rc->range = 0xffffffff;
	rc->code = 0;
	for (i = 0; i < 4; i++)
		rc->code = rc->code << 8 | rc_byte(rc);
	rc->raw = rc->nraw = 0;
}

#define ML_RC struct ml_rc
#include "mlnano.h"
#if ML_DEC_CLASS >= 2
#include "mlmodel.h"
#endif

#endif
