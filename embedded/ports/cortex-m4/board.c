/* SPDX-License-Identifier: MIT */
/* Start-up and line of QEMU's mps2 boards (CMSDK UART and timer, 25 MHz). */
#include "ports/hal.h"

#define REG(a) (*(volatile uint32_t *)(a))
#define UART 0x40004000u
#define TIMER 0x40000000u

void ml_start(void);

/* Stack pointer, reset; faults stop. */
__asm__(".section .vectors, \"a\"\n"
	".word ml_stack_top, ml_start, ml_stop, ml_stop, ml_stop, ml_stop\n"
	".text\n");

void ml_stop(void);
void ml_stop(void)
{
	for (;;)
		;
}

/* Nothing is on the stack yet. */
__attribute__((noreturn, naked)) void ml_start(void)
{
	__asm__(".syntax unified\n"
		"ldr r0, =ml_stack_low\n"
		"ldr r1, =ml_stack_top\n"
		"ldr r2, =0xa5a5a5a5\n"
		"1: str r2, [r0]\n"
		"adds r0, #4\n"
		"cmp r0, r1\n"
		"blo 1b\n"
		"ldr r0, =ml_bss\n"
		"ldr r1, =ml_bss_end\n"
		"movs r2, #0\n"
		"2: str r2, [r0]\n"
		"adds r0, #4\n"
		"cmp r0, r1\n"
		"blo 2b\n"
		"bl ml_board\n"
		"bl main\n"
		"3: b 3b\n"
		".ltorg\n");
}

void ml_board(void);
void ml_board(void)
{
	REG(UART + 0x10) = 16;
	REG(UART + 8) = 3;
	REG(TIMER) = 0;
	REG(TIMER + 4) = 0xffffffff;
	REG(TIMER + 8) = 0xffffffff;
	REG(TIMER) = 1;
	ml_hal_init();
}

uint32_t ml_hal_clock(void)
{
	return ~REG(TIMER + 4);
}

int ml_hal_get(unsigned ms)
{
	const uint32_t from = ml_hal_clock();

	do {
		if (REG(UART + 4) & 2)
			return (int)(REG(UART) & 255);
	} while (ml_hal_clock() - from < ms * 25000u);
	return -1;
}

void ml_hal_put(uint8_t c)
{
	while (REG(UART + 4) & 1)
		;
	REG(UART) = c;
}
