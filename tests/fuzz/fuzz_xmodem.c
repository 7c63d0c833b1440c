/* SPDX-License-Identifier: MIT */
/* The XMODEM receiver against bytes and silences. No block is claimed, and
 * nothing acknowledged, but for a packet that by a CRC of our own is whole and
 * the next one, or the last one again. Bytes are as they come, but for 7F and
 * the one that follows it:
 *
 *	0 silence, 1 the byte 7F, 2 a right packet whose number and data are
 *	told by the next two bytes, 3 the next block is taken late
 */
#include "fuzz.h"
#include "xmodem.h"

enum { SOH = 1, EOT = 4, ACK = 6, NAK = 0x15, CAN = 0x18, PACKET = 133 };

struct line {
	struct ml_xm x;
	uint8_t last[PACKET], block[ML_XM_DATA];
	size_t n; /* bytes since a silence, or taking a block */
	unsigned silent, blocks;
	int waits; /* a block waits to be taken */
	int late, over;
};

static uint16_t crc16(const uint8_t *p, size_t n)
{
	unsigned c = 0, i;

	for (; n--; p++)
		for (i = 0; i < 8; i++)
			c = c << 1 ^ ((c >> 15 ^ (unsigned)*p >> (7 - i)) & 1 ?
				0x1021 : 0);
	return (uint16_t)c;
}

/* Whether the last bytes are packet number `num`. */
static int whole(const struct line *l, unsigned num)
{
	const uint8_t *p = l->last;

	return l->n >= PACKET && p[0] == SOH && p[1] == (num & 255) &&
		p[2] == 255 - (num & 255) &&
		crc16(p + 3, 128) == (p[131] << 8 | p[132]);
}

static void event(struct line *l, enum ml_xm_event ev, int silence)
{
	const unsigned reply = l->x.reply;

	MUST(reply == 0 || reply == ACK || reply == NAK || reply == CAN ||
		reply == 'C');
	switch (ev) {
	case ML_XM_BLOCK:
		if (l->waits) {
			MUST(!memcmp(l->x.buf, l->block, ML_XM_DATA));
		} else {
			MUST(!silence && whole(l, l->blocks + 1));
			MUST(!memcmp(l->x.buf, l->last + 3, ML_XM_DATA));
			memcpy(l->block, l->x.buf, ML_XM_DATA);
			l->silent = 0;
			l->waits = 1;
		}
		MUST(reply == 0);
		if (l->late) {
			l->late--;
			break;
		}
		ml_xm_taken(&l->x);
		MUST(l->x.reply == ACK);
		l->blocks++;
		l->waits = 0;
		l->n = 0;
		break;
	case ML_XM_END:
		MUST(!l->waits && !silence && reply == ACK && l->n >= 2 &&
			l->last[PACKET - 1] == EOT &&
			l->last[PACKET - 2] == EOT);
		l->over = 1;
		break;
	case ML_XM_CANCEL:
		l->over = 1;
		break;
	case ML_XM_NONE:
		MUST(!l->waits);
		if (reply == ACK) {
			MUST(!silence && l->blocks > 0 && whole(l, l->blocks));
			l->silent = 0;
		}
		MUST(reply != 'C' || l->blocks == 0);
		MUST(l->silent <= ML_XM_TRIES);
		break;
	default:
		MUST(0);
	}
}

static void byte(struct line *l, uint8_t c)
{
	if (l->over)
		return;
	memmove(l->last, l->last + 1, PACKET - 1);
	l->last[PACKET - 1] = c;
	l->n++;
	event(l, ml_xm_byte(&l->x, c), 0);
}

static void silence(struct line *l)
{
	if (l->over)
		return;
	if (!l->waits) {
		l->n = 0;
		l->silent++;
	}
	event(l, ml_xm_silence(&l->x), 1);
}

static void packet(struct line *l, uint8_t num, uint8_t seed)
{
	uint8_t p[PACKET] = {SOH, num, (uint8_t)(255 - num)};
	unsigned i;

	for (i = 0; i < ML_XM_DATA; i++)
		p[3 + i] = (uint8_t)(seed + i * seed);
	p[131] = (uint8_t)(crc16(p + 3, ML_XM_DATA) >> 8);
	p[132] = (uint8_t)crc16(p + 3, ML_XM_DATA);
	for (i = 0; i < PACKET; i++)
		byte(l, p[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line l = {.silent = 0};
	size_t i;

	ml_xm_init(&l.x);
	silence(&l);
	for (i = 0; i < size && !l.over; i++) {
		if (data[i] != 0x7f || i + 1 == size) {
			byte(&l, data[i]);
			continue;
		}
		switch (data[++i]) {
		case 0: silence(&l); break;
		case 1: byte(&l, 0x7f); break;
		case 2:
			if (size - i > 2) {
				packet(&l, data[i + 1], data[i + 2]);
				i += 2;
			}
			break;
		case 3: l.late++; break;
		default: byte(&l, data[i]); break;
		}
	}
	return 0;
}
