/* SPDX-License-Identifier: MIT */
#include "ml_zephyr.h"
#include "ports/divide.h"

static int on_read(void *ctx, uint32_t off, void *dst, uint32_t n)
{
	return flash_area_read(ctx, (off_t)off, dst, n) < 0 ? -1 : 0;
}

static int on_program(void *ctx, uint32_t off, const void *src, uint32_t n)
{
	return flash_area_write(ctx, (off_t)off, src, n) < 0 ? -1 : 0;
}

static int erase(void *ctx, uint32_t off, uint32_t n)
{
	return flash_area_erase(ctx, (off_t)off, n) < 0 ? -1 : 0;
}

#define ERASE(n) \
	static int erase_##n(void *ctx, uint32_t off) \
	{ \
		return erase(ctx, off, n); \
	}
ERASE(1024)
ERASE(2048)
ERASE(4096)
ERASE(8192)
ERASE(16384)
ERASE(65536)

int ml_zephyr_conf(struct ml_upd_conf *c, const struct flash_area *fa,
	uint32_t block, int in_place)
{
	switch (block) {
	case 1024: c->erase = erase_1024; break;
	case 2048: c->erase = erase_2048; break;
	case 4096: c->erase = erase_4096; break;
	case 8192: c->erase = erase_8192; break;
	case 16384: c->erase = erase_16384; break;
	case 65536: c->erase = erase_65536; break;
	default: return -1;
	}
	c->read = on_read;
	c->program = on_program;
	c->accept = NULL;
	c->ctx = (void *)(uintptr_t)fa;
	return ml_divide(c, (uint32_t)fa->fa_size, block, in_place);
}
