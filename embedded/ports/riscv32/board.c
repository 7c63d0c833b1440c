/* SPDX-License-Identifier: MIT */
/* Start-up and line of QEMU's riscv32 virt board (16550 and CLINT, 10 MHz). */
#include "ports/hal.h"

#define UART ((volatile uint8_t *)0x10000000u)
#define MTIME (*(volatile uint32_t *)0x0200bff8u)

__attribute__((section(".start"), naked)) void ml_start(void);
void ml_start(void)
{
	__asm__("la sp, ml_stack_top\n"
		"la a0, ml_stack_low\n"
		"li a2, 0xa5a5a5a5\n"
		"1: sw a2, 0(a0)\n"
		"addi a0, a0, 4\n"
		"bltu a0, sp, 1b\n"
		"la a0, ml_bss\n"
		"la a1, ml_bss_end\n"
		"2: sw zero, 0(a0)\n"
		"addi a0, a0, 4\n"
		"bltu a0, a1, 2b\n"
		"call ml_hal_init\n"
		"call main\n"
		"3: j 3b\n");
}

uint32_t ml_hal_clock(void)
{
	uint32_t n;

	__asm__ volatile("csrr %0, minstret" : "=r"(n));
	return n;
}

int ml_hal_get(unsigned ms)
{
	const uint32_t from = MTIME;

	do {
		if (UART[5] & 1)
			return UART[0];
	} while (MTIME - from < ms * 10000u);
	return -1;
}

void ml_hal_put(uint8_t c)
{
	while (!(UART[5] & 0x20))
		;
	UART[0] = c;
}
