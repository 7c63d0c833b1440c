/* SPDX-License-Identifier: MIT */
/*
 * Example firmware: takes patches from a serial line and updates the model in
 * flash. Says what it runs, then waits for XMODEM-CRC, or for 'R', a length
 * (four bytes, the lowest first) and so many bytes, of which every 128 are
 * acknowledged by ACK. Ends with a line, and begins again.
 *
 * What is sent is a patch. If the line says "resume N", it may also be the
 * eight bytes D3 6D 6C 72 and N (four bytes, the lowest first), and then the
 * patch from its byte N on.
 */
#include <string.h>

#include "ports/hal.h"
#include "update.h"
#include "xmodem.h"

/* Who says which patches are good, see accept.h; or nobody. */
#ifdef ML_SIGNED
#include "examples/accept.h"
#define ML_HAL_ACCEPT ml_accept_signed
#else
#define ML_HAL_ACCEPT 0
#endif

#define ACK 6
#define CAN 0x18

static const struct ml_upd_conf conf = ML_HAL_CONF;

static struct ml_upd upd;
static struct ml_xm line;

static void text(const char *s)
{
	while (*s)
		ml_hal_put((uint8_t)*s++);
}

static void number(const char *name, uint32_t v)
{
	unsigned i;

	text(name);
	text(" 0x");
	for (i = 32; i; i -= 4)
		ml_hal_put((uint8_t)"0123456789abcdef"[v >> (i - 4) & 15]);
}

/* Slot, size and digest of the model in use; the digest from its mark. */
static void tell(const char *what, int r)
{
	uint8_t b;
	unsigned i;

	text(what);
	if (r < 0)
		number(" error", (uint32_t)-r);
	if (upd.seq) {
		number(" slot", upd.slot);
		number(" size", upd.size);
		number(" release", upd.release);
		text(" sha256 ");
		for (i = 0; i < 32; i++) {
			ml_hal_read(0, conf.mark[upd.page] + ML_MARK_SHA + i,
				&b, 1);
			ml_hal_put((uint8_t)"0123456789abcdef"[b >> 4]);
			ml_hal_put((uint8_t)"0123456789abcdef"[b & 15]);
		}
	}
	if (upd.taken)
		number(" resume", upd.taken);
	number(" stack", ml_hal_stack());
	number(" clock", ml_hal_clock());
	text("\n");
}

/* Until nothing has come for ms. */
static void quiet(unsigned ms)
{
	while (ml_hal_get(ms) >= 0)
		;
}

/* Gives the updater some bytes. */
static int take(const uint8_t *p, size_t n)
{
	size_t used;
	int r;

	do {
		r = ml_upd_feed(&upd, p, n, &used); /* feed the watchdog here */
		p += used;
		n -= used;
	} while (r == ML_DEC_AGAIN || (r == ML_DEC_MORE && n));
	return r;
}

/* Whether the first ones say that the patch goes on: how many they are. */
static unsigned goes_on(const uint8_t *p)
{
	static const uint8_t magic[4] = { 0xd3, 'm', 'l', 'r' };
	unsigned i;

	for (i = 0; i < 8; i++)
		if (p[i] != (i < 4 ? magic[i] :
			upd.taken >> 8 * (i - 4) & 255))
			return 0;
	return ml_upd_resume(&upd) < 0 ? 0 : 8;
}

static int boot(void)
{
	int r;

	ml_upd_init(&upd, &conf);
	do
		r = ml_upd_boot(&upd); /* and here */
	while (r == ML_DEC_AGAIN);
	return r;
}

static int raw(void)
{
	uint32_t left = 0, i, at;
	int c, r = ML_DEC_MORE;

	for (i = 0; i < 32; i += 8) {
		c = ml_hal_get(1000);
		left |= (uint32_t)(c & 255) << i;
	}
	while (left && r == ML_DEC_MORE) {
		for (i = 0; i < ML_XM_DATA && left; i++, left--) {
			c = ml_hal_get(1000);
			if (c < 0)
				return ML_DEC_EFORMAT;
			line.buf[i] = (uint8_t)c;
		}
		at = line.begun || i < 8 ? 0 : goes_on(line.buf);
		line.begun = 1;
		r = take(line.buf + at, i - at);
		ml_hal_put(r < 0 ? CAN : ACK);
	}
	return r;
}

/* Takes a patch, and says how it went. */
static int receive(void)
{
	enum ml_xm_event ev;
	unsigned at;
	int c, r = ML_DEC_MORE;

	ml_xm_init(&line);
	c = -1;
	for (;;) {
		if (c == 'R' && !line.begun && !line.at)
			return raw();
		ev = c < 0 ? ml_xm_silence(&line) :
			ml_xm_byte(&line, (uint8_t)c);
		if (ev == ML_XM_BLOCK) {
			if (r == ML_DEC_MORE) {
				at = line.begun ? 0 : goes_on(line.buf);
				r = take(line.buf + at, ML_XM_DATA - at);
			}
			/* The sender may have lost patience meanwhile. */
			quiet(0);
			if (r < 0) {
				ml_xm_cancel(&line);
				ml_hal_put(CAN);
			} else {
				ml_xm_taken(&line);
			}
		}
		if (line.reply)
			ml_hal_put(line.reply);
		if (r < 0 || ev == ML_XM_END || ev == ML_XM_CANCEL)
			return r;
		c = ml_hal_get(line.begun ? 200 : 1000);
	}
}

int main(void)
{
	int r = boot();

	/* Power may have failed when all of the patch was there. */
	if (r == ML_UPD_EHALF && !ml_upd_resume(&upd)) {
		take(0, 0);
		r = boot();
	}
	for (;;) {
		tell("ready", r);
		do
			r = receive();
		while (r == ML_DEC_MORE && !line.begun);
		/* The sender reads the last ACK before it goes. */
		quiet(500);
		tell(r == ML_DEC_DONE ? "\nupdated" : "\nrefused", r);
		r = boot();
	}
}
