/* SPDX-License-Identifier: MIT */
/* How much work an update is: takes a flash image and, 4 MiB above it, a
 * length and a patch; says the clock for each part. */
#include <string.h>

#include "ports/hal.h"
#include "update.h"

extern uint8_t ml_flash_mem[];

static const struct ml_upd_conf conf = ML_HAL_CONF;

static struct ml_upd upd;

void ml_hal_init(void)
{
}

int ml_hal_read(void *ctx, uint32_t off, void *dst, uint32_t n)
{
	(void)ctx;
	memcpy(dst, ml_flash_mem + off, n);
	return 0;
}

int ml_hal_erase(void *ctx, uint32_t off)
{
	(void)ctx;
	(void)off;
	return 0;
}

int ml_hal_program(void *ctx, uint32_t off, const void *src, uint32_t n)
{
	(void)ctx;
	memcpy(ml_flash_mem + off, src, n);
	return 0;
}

static void tell(const char *name, uint32_t v)
{
	unsigned i;

	while (*name)
		ml_hal_put((uint8_t)*name++);
	for (i = 32; i; i -= 4)
		ml_hal_put((uint8_t)"0123456789abcdef"[v >> (i - 4) & 15]);
}

int main(void)
{
	const uint8_t *p = ml_flash_mem + 0x400000;
	uint32_t n = (uint32_t)p[0] | (uint32_t)p[1] << 8 |
		(uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	uint32_t t, part[3] = { 0, 0, 0 };
	size_t used;
	int r, taking;

	p += 4;
	ml_upd_init(&upd, &conf);
	do
		r = ml_upd_boot(&upd);
	while (r == ML_DEC_AGAIN);
	taking = 0;
	do {
		t = ml_hal_clock();
		r = ml_upd_feed(&upd, p, n < 128 ? n : 128, &used);
		if (!taking && upd.dec.tpos)
			taking = 1;
		if (taking == 1 && r == ML_DEC_AGAIN && !n && !used)
			taking = 2;
		part[taking] += ml_hal_clock() - t;
		p += used;
		n -= (uint32_t)used;
	} while (r == ML_DEC_AGAIN || (r == ML_DEC_MORE && n));
	tell("status ", (uint32_t)r);
	tell(" base ", part[0]);
	tell(" decode ", part[1]);
	tell(" verify ", part[2]);
	ml_hal_put('\n');
	for (;;)
		;
}
