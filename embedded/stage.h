/* SPDX-License-Identifier: MIT */
/*
 * A patch that waits in flash until all of it is proven: for a device that
 * replaces its model in place and may be sent anything. Needs flash for the
 * patch, of whole blocks. Only what the header's signature covers is applied,
 * and only then is the old model touched; ml-security(7).
 *
 *	ml_stage_init(&s, &u, from, size);	after ml_upd_boot
 *	if (!u.taken)				else one is there, half applied
 *		ml_stage_put(&s, p, n);		until all has come
 *	while ((r = ml_stage_check(&s)) == ML_DEC_AGAIN)
 *		;
 *	if (r == ML_DEC_DONE)
 *		while ((r = ml_stage_apply(&s)) == ML_DEC_AGAIN)
 *			;
 */
#ifndef ML_STAGE_H
#define ML_STAGE_H

#include "update.h"

struct ml_stage {
	struct ml_upd *u;
	uint32_t from, size; /* of the flash */
	uint32_t at, end; /* in the patch */
};

void ml_stage_init(
	struct ml_stage *s, struct ml_upd *u, uint32_t from, uint32_t size);

/* Writes bytes of the patch to flash, in multiples of ML_UPD_PAGE; what is
 * behind the patch is ignored. 0, ML_UPD_EFLASH, ML_UPD_ESIZE where it does not
 * fit, or ML_UPD_EHALF: the one that is there is still needed. */
int ml_stage_put(struct ml_stage *s, const uint8_t *p, uint32_t n);

/* Asks `accept` for the header, and compares the body with the SHA-256 there.
 * ML_DEC_AGAIN; ML_DEC_DONE; or why not: what accept or ml_hdr_parse says,
 * ML_UPD_ESIGN (no such SHA-256), ML_UPD_ESIZE (not all of it is there),
 * ML_UPD_EVERIFY, ML_UPD_EFLASH. Nothing is written. */
int ml_stage_check(struct ml_stage *s);

/* After that: as ml_upd_feed, but the bytes come from flash. */
int ml_stage_apply(struct ml_stage *s);

#endif
