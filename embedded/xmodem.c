/* SPDX-License-Identifier: MIT */
/* XMODEM-CRC receiver, see xmodem.h: SOH, number, its complement, 128 bytes,
 * CRC-16 (1021, highest byte first). */
#include "xmodem.h"

enum { SOH = 1, EOT = 4, ACK = 6, NAK = 0x15, CAN = 0x18 };

/* X_START: no block has come yet. X_NOISE: until the line is silent. */
enum { X_START, X_IDLE, X_PACKET, X_TAKE, X_NOISE, X_OVER };

#define X_EOT 1u /* in `at` while idle: the last byte was one */
#define X_CAN 2u

void ml_xm_init(struct ml_xm *x)
{
	x->state = X_START;
	x->next = 1;
	x->at = x->tries = x->reply = x->begun = 0;
}

void ml_xm_cancel(struct ml_xm *x)
{
	x->state = X_OVER;
	x->reply = CAN;
}

enum ml_xm_event ml_xm_silence(struct ml_xm *x)
{
	x->reply = 0;
	if (x->state == X_OVER || x->tries == ML_XM_TRIES) {
		ml_xm_cancel(x);
		return ML_XM_CANCEL;
	}
	if (x->state == X_TAKE)
		return ML_XM_BLOCK;
	x->tries++;
	x->at = 0;
	if (x->state == X_PACKET || x->state == X_NOISE)
		x->state = x->begun ? X_IDLE : X_START;
	x->reply = x->state == X_START ? 'C' : NAK;
	return ML_XM_NONE;
}

/* A whole packet is there, its CRC right. */
static enum ml_xm_event packet(struct ml_xm *x)
{
	x->tries = 0;
	x->at = 0;
	if (x->num == x->next) {
		x->state = X_TAKE;
		return ML_XM_BLOCK;
	}
	if (x->num == (uint8_t)(x->next - 1) && x->begun) {
		x->state = X_IDLE;
		x->reply = ACK; /* the last one again */
		return ML_XM_NONE;
	}
	ml_xm_cancel(x);
	return ML_XM_CANCEL;
}

static enum ml_xm_event idle(struct ml_xm *x, uint8_t c)
{
	unsigned last = x->at;

	x->at = 0;
	switch (c) {
	case SOH:
		x->state = X_PACKET;
		x->crc = 0;
		break;
	case EOT: /* one may be noise */
		if (last == X_EOT) {
			x->state = X_OVER;
			x->reply = ACK;
			return ML_XM_END;
		}
		x->at = X_EOT;
		x->reply = NAK;
		break;
	case CAN:
		if (last == X_CAN) {
			x->state = X_OVER;
			return ML_XM_CANCEL;
		}
		x->at = X_CAN;
		break;
	default:
		break;
	}
	return ML_XM_NONE;
}

enum ml_xm_event ml_xm_byte(struct ml_xm *x, uint8_t c)
{
	unsigned i;

	x->reply = 0;
	switch (x->state) {
	case X_START:
	case X_IDLE:
		return idle(x, c);
	case X_TAKE:
		return ML_XM_BLOCK;
	case X_PACKET:
		break;
	case X_OVER:
		return ML_XM_CANCEL;
	default:
		return ML_XM_NONE;
	}
	i = x->at++;
	if (i == 0) {
		x->num = c;
		return ML_XM_NONE;
	}
	if (i == 1) {
		if ((c ^ x->num) != 0xff)
			x->state = X_NOISE;
		return ML_XM_NONE;
	}
	if (i < 2 + ML_XM_DATA)
		x->buf[i - 2] = c;
	x->crc ^= (uint16_t)(c << 8);
	for (i = 0; i < 8; i++)
		x->crc = (uint16_t)(x->crc << 1 ^
			(x->crc & 0x8000 ? 0x1021 : 0));
	if (x->at < 2 + ML_XM_DATA + 2)
		return ML_XM_NONE;
	/* The CRC of data and its own CRC is 0. */
	if (!x->crc)
		return packet(x);
	x->state = X_NOISE;
	return ML_XM_NONE;
}

void ml_xm_taken(struct ml_xm *x)
{
	x->next++;
	x->begun = 1;
	x->state = X_IDLE;
	x->reply = ACK;
}
