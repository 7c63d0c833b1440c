/* SPDX-License-Identifier: MIT */
/*
 * XMODEM-CRC, the receiving side: blocks of 128 bytes, pushed in a byte at a
 * time, no clock and no line of its own.
 *
 *	ml_xm_init(&x);
 *	ml_xm_silence(&x); send(x.reply);	the first "C"
 *	for (;;) {
 *		c = get(1 s);
 *		ev = c < 0 ? ml_xm_silence(&x) : ml_xm_byte(&x, c);
 *		ML_XM_BLOCK	take x.buf; then ml_xm_taken(&x)
 *		ML_XM_END	all has come
 *		ML_XM_CANCEL	the other side gave up, or we have
 *		if (x.reply) send(x.reply);
 *	}
 *
 * A block is acknowledged only when it was taken, however long that takes: the
 * sender repeats it then, and repeated blocks are acknowledged and dropped.
 */
#ifndef ML_XM_H
#define ML_XM_H

#include <stdint.h>

enum ml_xm_event { ML_XM_NONE, ML_XM_BLOCK, ML_XM_END, ML_XM_CANCEL };

#define ML_XM_DATA 128
#define ML_XM_TRIES 20 /* silences in a row until it gives up */

struct ml_xm {
	uint16_t crc;
	uint8_t at; /* bytes of the packet so far */
	uint8_t next; /* number of the block that is expected */
	uint8_t num; /* number of the one that is coming */
	uint8_t state, tries;
	uint8_t begun; /* a block was taken */
	uint8_t reply; /* byte to be sent now; 0: none */
	uint8_t buf[ML_XM_DATA];
};

void ml_xm_init(struct ml_xm *x);

/* Each sets reply. After END or CANCEL only init may be called. */
enum ml_xm_event ml_xm_byte(struct ml_xm *x, uint8_t c);
/* Nothing has come for a while: 1 s, or less once blocks are coming. Also
 * starts the transfer. */
enum ml_xm_event ml_xm_silence(struct ml_xm *x);
/* The block was taken; reply says so. */
void ml_xm_taken(struct ml_xm *x);
/* Gives up: send reply twice. */
void ml_xm_cancel(struct ml_xm *x);

#endif
