/* SPDX-License-Identifier: MIT */
/* Flash of an emulated board: memory above that of the application, behind
 * the simulator so that a broken rule shows. Painted stack; and the functions
 * of memory, which a freestanding compiler may call. */
#include <string.h>

#include "flash/nor.h"
#include "ports/hal.h"

#define PAINT 0xa5a5a5a5u

extern uint32_t ml_stack_low[], ml_stack_top[]; /* linker script */
extern uint8_t ml_flash_mem[];

static struct ml_nor ml_nor __attribute__((section(".sim")));

void ml_hal_init(void)
{
	ml_nor_init(&ml_nor, ml_flash_mem, ML_HAL_FLASH, ML_HAL_BLOCK, 8, 0);
}

int ml_hal_read(void *ctx, uint32_t off, void *dst, uint32_t n)
{
	(void)ctx;
	return ml_nor_read(&ml_nor, off, dst, n);
}

int ml_hal_erase(void *ctx, uint32_t off)
{
	(void)ctx;
	return ml_nor_erase(&ml_nor, off);
}

int ml_hal_program(void *ctx, uint32_t off, const void *src, uint32_t n)
{
	(void)ctx;
	return ml_nor_program(&ml_nor, off, src, n);
}

uint32_t ml_hal_stack(void)
{
	const uint32_t *p = ml_stack_low;

	while (p < ml_stack_top && *p == PAINT)
		p++;
	return (uint32_t)((ml_stack_top - p) * 4);
}
