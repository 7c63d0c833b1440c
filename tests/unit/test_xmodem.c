/* SPDX-License-Identifier: MIT */
/* The XMODEM receiver against senders good and bad. */
#include <string.h>

#include "test.h"
#include "xmodem.h"

enum { SOH = 1, EOT = 4, ACK = 6, NAK = 0x15, CAN = 0x18 };

static uint16_t crc16(const uint8_t *p, size_t n)
{
	uint16_t c = 0;
	unsigned i;

	for (; n--; p++)
		for (c ^= (uint16_t)(*p << 8), i = 0; i < 8; i++)
			c = (uint16_t)(c << 1 ^ (c & 0x8000 ? 0x1021 : 0));
	return c;
}

/* A packet with number n and data of v. */
static void packet(uint8_t p[133], unsigned n, unsigned v)
{
	uint16_t c;
	unsigned i;

	p[0] = SOH;
	p[1] = (uint8_t)n;
	p[2] = (uint8_t)(255 - n);
	for (i = 0; i < 128; i++)
		p[3 + i] = (uint8_t)(v + i * i);
	c = crc16(p + 3, 128);
	p[131] = (uint8_t)(c >> 8);
	p[132] = (uint8_t)c;
}

/* Pushes n bytes; the last event. None before that may have one. */
static enum ml_xm_event push(struct ml_xm *x, const uint8_t *p, size_t n)
{
	enum ml_xm_event ev = ML_XM_NONE;

	while (n--) {
		CHECK(ev == ML_XM_NONE);
		ev = ml_xm_byte(x, *p++);
	}
	return ev;
}

static void begin(struct ml_xm *x)
{
	ml_xm_init(x);
	CHECK(ml_xm_silence(x) == ML_XM_NONE && x->reply == 'C');
}

/* Taken as it should be. */
static void good(struct ml_xm *x, unsigned n, unsigned v)
{
	uint8_t p[133];

	packet(p, n, v);
	CHECK(push(x, p, 133) == ML_XM_BLOCK);
	CHECK(!memcmp(x->buf, p + 3, 128));
	ml_xm_taken(x);
	CHECK(x->reply == ACK);
}

static void transfer(void)
{
	struct ml_xm x;
	unsigned i;

	CHECK(crc16((const uint8_t *)"123456789", 9) == 0x31c3);
	begin(&x);
	CHECK(ml_xm_silence(&x) == ML_XM_NONE && x.reply == 'C');
	for (i = 1; i < 700; i++) /* numbers wrap twice */
		good(&x, i & 255, i);
	CHECK(ml_xm_byte(&x, EOT) == ML_XM_NONE && x.reply == NAK);
	CHECK(ml_xm_byte(&x, EOT) == ML_XM_END && x.reply == ACK);
	CHECK(ml_xm_byte(&x, SOH) == ML_XM_CANCEL);
}

static void again(void)
{
	struct ml_xm x;
	uint8_t p[133];
	unsigned i;

	begin(&x);
	for (i = 1; i < 260; i++) {
		good(&x, i & 255, i);
		packet(p, i & 255, i);
		CHECK(push(&x, p, 133) == ML_XM_NONE && x.reply == ACK);
	}
	/* one that is not the next */
	packet(p, (i + 1) & 255, 0);
	CHECK(push(&x, p, 133) == ML_XM_CANCEL && x.reply == CAN);

	/* block 0 before any other is not "the last one again" */
	begin(&x);
	packet(p, 0, 0);
	CHECK(push(&x, p, 133) == ML_XM_CANCEL && x.reply == CAN);
}

static void damage(void)
{
	struct ml_xm x;
	uint8_t p[133];
	unsigned at;

	for (at = 0; at < 133; at++) {
		begin(&x);
		packet(p, 1, at);
		p[at] ^= 0x40;
		CHECK(push(&x, p, 133) == ML_XM_NONE && !x.reply);
		CHECK(ml_xm_silence(&x) == ML_XM_NONE && x.reply == 'C');
	}
	good(&x, 1, 0);
	for (at = 0; at < 133; at++) { /* one is lost */
		packet(p, (at + 2) & 255, at);
		memmove(p + at, p + at + 1, 132 - at);
		CHECK(push(&x, p, 132) == ML_XM_NONE && !x.reply);
		CHECK(ml_xm_silence(&x) == ML_XM_NONE && x.reply == NAK);
		good(&x, (at + 2) & 255, at);
	}
	/* noise between blocks, one EOT of it */
	CHECK(push(&x, (const uint8_t *)"ab\x04q\x18z", 6) == ML_XM_NONE);
	CHECK(ml_xm_silence(&x) == ML_XM_NONE && x.reply == NAK);
	good(&x, 135, 1);
}

static void giving_up(void)
{
	struct ml_xm x;
	uint8_t p[133];
	unsigned i;

	begin(&x);
	good(&x, 1, 0);
	CHECK(ml_xm_byte(&x, CAN) == ML_XM_NONE);
	CHECK(ml_xm_byte(&x, CAN) == ML_XM_CANCEL);

	begin(&x);
	packet(p, 1, 9);
	CHECK(push(&x, p, 133) == ML_XM_BLOCK);
	CHECK(ml_xm_byte(&x, 'x') == ML_XM_BLOCK); /* still to be taken */
	CHECK(ml_xm_silence(&x) == ML_XM_BLOCK);
	ml_xm_cancel(&x);
	CHECK(x.reply == CAN);
	CHECK(ml_xm_byte(&x, SOH) == ML_XM_CANCEL);

	begin(&x);
	for (i = 1; i < ML_XM_TRIES; i++)
		CHECK(ml_xm_silence(&x) == ML_XM_NONE);
	CHECK(ml_xm_silence(&x) == ML_XM_CANCEL && x.reply == CAN);
}

int main(void)
{
	transfer();
	again();
	damage();
	giving_up();
	return 0;
}
