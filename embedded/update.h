/* SPDX-License-Identifier: MIT */
/*
 * Updates a model in flash by a patch, ml-patch(5); ml-embedded(3). Two slots,
 * one of which is used while the other one is written; or one slot, in which
 * page after page of the new model takes the place of the old one.
 *
 *	ml_upd_init(&u, &conf);
 *	while ((r = ml_upd_boot(&u)) == ML_DEC_AGAIN)
 *		;			 then u.slot, u.size: what to use
 *	if (u.taken)			an update was cut short: ask for the
 *		ml_upd_resume(&u);	patch from byte u.taken on, then
 *	for (;;) {
 *		r = ml_upd_feed(&u, p, n, &used);
 *		p += used, n -= used;
 *		ML_DEC_MORE	give it more patch bytes
 *		ML_DEC_AGAIN	a piece of work is done: call again
 *		ML_DEC_DONE	u.slot is the new model, proven
 *		< 0		refused: ml_upd_init and boot tell what is used
 *	}
 *
 * Nothing is erased before header and base are known to be right, and which
 * model counts is the last thing that is written. So power may fail anywhere:
 * ml_upd_boot finds the old model or the new one, whole, or, in place, says
 * that the update has to go on first.
 *
 * To go on after a cut, the updater writes its own memory to a journal now and
 * then. A patch may also come again from its begin: when its header is that of
 * the update that was cut short, what was already used of it is passed over.
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

/* 0 leaves out what replaces a model in place. */
#ifndef ML_UPD_IN_PLACE
#define ML_UPD_IN_PLACE 1
#endif

#define ML_UPD_STEP 1024 /* bytes of a digest in one call */

/* Beyond those of ml_dec_status. */
enum ml_upd_status {
	ML_UPD_EBASE = -20, /* the patch is for another model */
	ML_UPD_ESIZE = -21, /* the target does not fit the slot */
	ML_UPD_EOLD = -22, /* its release is older than what is in use */
	ML_UPD_EFLASH = -23, /* the flash failed */
	ML_UPD_EVERIFY = -24, /* what was written is not the target */
	ML_UPD_ENONE = -25, /* no slot holds a model */
	ML_UPD_EHALF = -26, /* an update in place has to go on first */
	ML_UPD_EPLACE = -27, /* not made for replacing in place here */
	ML_UPD_ESIGN = -28 /* for accept: not signed as it should be */
};

/* The flash and how it is divided; may lie in ROM. Slots, marks, journal and
 * spare begin at a block; a mark takes a block. Functions return 0, or less
 * than 0 for failure. Offsets are those of the flash; memory has any
 * alignment. */
struct ml_upd_conf {
	int (*read)(void *ctx, uint32_t off, void *dst, uint32_t n);
	int (*erase)(void *ctx, uint32_t off); /* a block, to all ones */
	int (*program)(
		void *ctx, uint32_t off, const void *src, uint32_t n);
	/* Unless NULL, asked before anything is erased: 0, or the status less
	 * than 0 that refuses the patch. To check a signature of the header
	 * p[0..h->len), which has the target's digest. */
	int (*accept)(void *ctx, const struct ml_hdr *h, const uint8_t *p);
	void *ctx;
	uint32_t block; /* bytes that are erased at a time, a power of two */
	uint32_t slot_size; /* of whole blocks, below 2^31 */
	uint32_t slot[2], mark[2];
	/* The journal: two blocks or more, or none; a block must hold a struct
	 * ml_upd. Two slots: it is written every so many bytes of the target,
	 * a power of two of blocks; 0: never. */
	uint32_t journal, journal_size, every;
	/* In place: both slots are the same, and each page is made in one of
	 * so many spare blocks, in turn: a power of two. Else 0. */
	uint32_t spare, nspare;
};

/* A mark, little-endian. Behind it are, programmed last, its CRC-32 and the
 * complement of that: its seal, without which it does not count. A seal that
 * power cut short is written again behind that, up to ML_MARK_SEALS times. Of
 * two marks the one with the higher number counts. */
struct ml_mark {
	uint32_t magic, seq, slot, size, release;
	uint32_t id; /* CRC-32 of the header of the patch that made it */
	uint32_t none[2];
	uint8_t sha[32];
};
#define ML_MARK_MAGIC 0x736d6c4d /* "Mlms" */
#define ML_MARK_BODY 64
#define ML_MARK_SHA 32
#define ML_MARK_SEALS 8

/* Caller-owned, and at the same place each time when updates are to go on
 * after a cut. A result is in what stands first, the rest is private. */
struct ml_upd {
	_Alignas(ML_UPD_PAGE) uint32_t crc; /* of the rest, in the journal */
	uint32_t num; /* of its records, ever */
	uint32_t seq; /* of the mark; 0: there is no model */
	uint32_t id; /* CRC-32 of the patch's header */
	uint32_t taken; /* bytes of the patch; 0: nothing to go on with */
	uint8_t slot, page; /* of the model, and its mark */
	uint8_t phase;
	int8_t err;
	/* What follows is the same as long as the program is. */
	const struct ml_upd_conf *c;
	struct ml_dec_io io;
	uint32_t size, release; /* of the model */
	uint8_t fill; /* of last */
	uint8_t tries; /* marks not yet looked at */
	uint8_t made; /* all of the target */
	uint32_t at; /* in the slot that is hashed or written; or of a record */
	uint32_t end; /* of a digest; of what is moved */
	uint32_t clean; /* bytes of the target's place that were erased */
	uint32_t skip; /* bytes of the patch that were taken already */
	uint32_t rec; /* of the journal, where the next record goes */
#if ML_UPD_IN_PLACE
	uint32_t lead; /* bytes that the base was moved up */
	uint32_t spare; /* CRC-32 of what waits there */
#endif
	uint8_t last[ML_UPD_PAGE]; /* not yet programmed */
	uint8_t buf[ML_UPD_BUF];
	struct ml_dec dec;
	/* The header, then what is kept of it while the base's digest is made;
	 * the chances; marks and the target's digest. */
	union {
		uint16_t arena[ML_ARENA_NANO / 2];
		struct {
			union {
				uint8_t sum[64]; /* target's, base's */
				struct ml_mark mark; /* that was read */
			};
			union {
				struct ml_sha sha;
				struct ml_mark next; /* to be written */
			};
		} hash;
	} mem;
};

void ml_upd_init(struct ml_upd *u, const struct ml_upd_conf *c);

/* Finds the newest mark whose slot has the digest that it says, else the
 * other one. ML_DEC_AGAIN: call again; ML_DEC_DONE: found; or ML_UPD_ENONE,
 * ML_UPD_EHALF or ML_UPD_EFLASH. Without a model, a patch that needs no base
 * can still come. u->taken is where an update that was cut short goes on. */
int ml_upd_boot(struct ml_upd *u);

/* After boot, with u->taken: what is fed next is the patch from there on. */
int ml_upd_resume(struct ml_upd *u);

/* Takes patch bytes, *used says how many. One call erases at most one block,
 * and reads at most ML_UPD_STEP bytes for a digest, writes at most ML_UPD_BUF,
 * or copies a block. After DONE or an error: ml_upd_init and ml_upd_boot. */
int ml_upd_feed(struct ml_upd *u, const uint8_t *in, size_t n, size_t *used);

#endif
