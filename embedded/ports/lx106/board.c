/* SPDX-License-Identifier: MIT */
/* Start-up and line of QEMU's xtensa sim with the core lx106, whose console
 * is reached by calls to the simulator; CCOUNT counts at 40 MHz. Without a
 * divider: the flash's simulator needs one. */
#include "ports/hal.h"

void ml_reset(void);
__asm__(".section .reset, \"ax\"\n"
	".global ml_reset\n"
	"ml_reset:\n"
	"	j 1f\n"
	"	.align 4\n"
	"2:	.word ml_start\n"
	"1:	l32r a0, 2b\n"
	"	jx a0\n"
	".text\n"
	"	.align 4\n"
	"	.literal_position\n"
	"	.global ml_start\n"
	"ml_start:\n"
	"	movi a1, ml_stack_top\n"
	"	movi a2, ml_stack_low\n"
	"	movi a3, 0xa5a5a5a5\n"
	"1:	s32i a3, a2, 0\n"
	"	addi a2, a2, 4\n"
	"	bltu a2, a1, 1b\n"
	"	movi a2, ml_bss\n"
	"	movi a3, ml_bss_end\n"
	"	movi a4, 0\n"
	"2:	s32i a4, a2, 0\n"
	"	addi a2, a2, 4\n"
	"	bltu a2, a3, 2b\n"
	"	call0 ml_hal_init\n"
	"	call0 main\n"
	"3:	j 3b\n");

enum { SYS_READ = 3, SYS_WRITE = 4, SYS_SELECT_ONE = 29 };

static int call(int what, int a, uintptr_t b, int c)
{
	register int r2 __asm__("a2") = what;
	register int r3 __asm__("a3") = a;
	register uintptr_t r4 __asm__("a4") = b;
	register int r5 __asm__("a5") = c;

	__asm__ volatile("simcall" : "+r"(r2), "+r"(r3) : "r"(r4), "r"(r5) :
		"memory");
	return r2;
}

uint32_t ml_hal_clock(void)
{
	uint32_t n;

	__asm__ volatile("rsr %0, ccount" : "=r"(n));
	return n;
}

int ml_hal_get(unsigned ms)
{
	static const uint32_t now[2]; /* a timeval: does not wait */
	const uint32_t from = ml_hal_clock();
	uint8_t c;

	do {
		if (call(SYS_SELECT_ONE, 0, 1, (int)(uintptr_t)now) > 0 &&
			call(SYS_READ, 0, (uintptr_t)&c, 1) == 1)
			return c;
	} while (ml_hal_clock() - from < ms * 40000u);
	return -1;
}

void ml_hal_put(uint8_t c)
{
	call(SYS_WRITE, 1, (uintptr_t)&c, 1);
}

uint32_t __udivsi3(uint32_t n, uint32_t d);
uint32_t __umodsi3(uint32_t n, uint32_t d);
uint32_t __udivsi3(uint32_t n, uint32_t d)
{
	uint32_t q = 0, r = 0;
	unsigned i;

	for (i = 32; i--;) {
		r = r << 1 | (n >> i & 1);
		if (r >= d) {
			r -= d;
			q |= 1u << i;
		}
	}
	return q;
}

uint32_t __umodsi3(uint32_t n, uint32_t d)
{
	return n - __udivsi3(n, d) * d;
}
