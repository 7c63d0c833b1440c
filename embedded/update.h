/* SPDX-License-Identifier: MIT */
/*
 * Updates a model in flash by a patch, ml-patch(5): two slots, one of which
 * is used while the other one is written; ml-embedded(3).
 *
 *	ml_upd_init(&u, &conf);
 *	while ((r = ml_upd_boot(&u)) == ML_DEC_AGAIN)
 *		;			 then u.slot, u.size: what to use
 *	for (;;) {
 *		r = ml_upd_feed(&u, p, n, &used);
 *		p += used, n -= used;
 *		ML_DEC_MORE	give it more patch bytes
 *		ML_DEC_AGAIN	a piece of work is done: call again
 *		ML_DEC_DONE	u.slot is the new model, proven
 *		< 0		refused, the old model stays in use
 *	}
 *
 * Nothing is erased before header and base are known to be right, and which
 * slot counts is the last thing that is written. So power may fail anywhere:
 * ml_upd_boot finds the old model or the new one, whole.
 */
#ifndef ML_UPD_H
#define ML_UPD_H

#include "mldec.h"
#include "mlsha.h"

/* Bytes that are decoded, and read for a digest, at a time: a multiple of 8. */
#ifndef ML_UPD_BUF
#define ML_UPD_BUF 32
#endif

/* Bytes that are programmed at least: a power of two from 8 to 32, and a
 * multiple of what the flash can. */
#ifndef ML_UPD_PAGE
#define ML_UPD_PAGE 8
#endif

#define ML_UPD_STEP 1024 /* bytes of a digest in one call */

/* Beyond those of ml_dec_status. */
enum ml_upd_status {
	ML_UPD_EBASE = -20, /* the patch is for another model */
	ML_UPD_ESIZE = -21, /* the target does not fit the slot */
	ML_UPD_EOLD = -22, /* its release is older than what is in use */
	ML_UPD_EFLASH = -23, /* the flash failed */
	ML_UPD_EVERIFY = -24, /* what was written is not the target */
	ML_UPD_ENONE = -25 /* no slot holds a model */
};

/* The flash and how it is divided; may lie in ROM. Slots and marks begin at a
 * block; a mark takes a block. Functions return 0, or less than 0 for failure.
 * Offsets are those of the flash; memory has any alignment. */
struct ml_upd_conf {
	int (*read)(void *ctx, uint32_t off, void *dst, uint32_t n);
	int (*erase)(void *ctx, uint32_t off); /* a block, to all ones */
	int (*program)(
		void *ctx, uint32_t off, const void *src, uint32_t n);
	void *ctx;
	uint32_t block; /* bytes that are erased at a time, a power of two */
	uint32_t slot_size; /* of whole blocks, below 2^31 */
	uint32_t slot[2], mark[2];
};

/* A mark, little-endian: magic, sequence number, slot, size, release, three
 * times 0, SHA-256; and, programmed last, CRC-32 of these 64 bytes and its
 * complement. The one with the highest number counts. */
#define ML_MARK_MAGIC 0x736d6c4d /* "Mlms" */
#define ML_MARK_BODY 64
#define ML_MARK_SHA 32

#define ML_UPD_SHA_AT ((ML_DEC_HDR + 3) & ~3)

/* Caller-owned. A result is in what stands first, the rest is private. */
struct ml_upd {
	const struct ml_upd_conf *c;
	uint32_t size, release; /* of the model in use */
	uint32_t seq; /* 0: there is none */
	uint8_t slot, page; /* of it, and its mark */

	uint8_t phase;
	int8_t err;
	uint8_t fill; /* of last */
	uint8_t tries; /* marks not yet looked at */
	uint32_t at; /* in the slot that is hashed or written */
	uint32_t end;
	uint32_t next; /* the release that comes */
	uint32_t clean; /* bytes of the slot that were erased */
	uint8_t last[ML_UPD_PAGE]; /* not yet programmed */
	uint8_t buf[ML_UPD_BUF];
	struct ml_dec_io io;
	struct ml_dec dec;
	/* A digest is made before the chances are needed, when the header
	 * lies below it, or after them. */
	union {
		uint16_t arena[ML_ARENA_NANO / 2];
		struct {
			uint8_t hdr[ML_UPD_SHA_AT];
			struct ml_sha sha;
		} hash;
	} mem;
};

void ml_upd_init(struct ml_upd *u, const struct ml_upd_conf *c);

/* Finds the newest mark whose slot has the digest that it says, else the
 * other one. ML_DEC_AGAIN: call again; ML_DEC_DONE: found; or ML_UPD_ENONE or
 * ML_UPD_EFLASH. Without a model, a patch that needs no base can still come. */
int ml_upd_boot(struct ml_upd *u);

/* Takes patch bytes, *used says how many. One call erases at most one block,
 * and reads at most ML_UPD_STEP bytes for a digest or writes at most
 * ML_UPD_BUF. After DONE or an error: ml_upd_init and ml_upd_boot. */
int ml_upd_feed(struct ml_upd *u, const uint8_t *in, size_t n, size_t *used);

#endif
