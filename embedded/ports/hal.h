/* SPDX-License-Identifier: MIT */
/* What a board must give the example firmware: five functions. */
#ifndef ML_HAL_H
#define ML_HAL_H

#include <stdint.h>

/* The next byte of the line, or -1 when none has come for ms. */
int ml_hal_get(unsigned ms);
void ml_hal_put(uint8_t c);

/* The flash, as in struct ml_upd_conf; ctx is not used. */
int ml_hal_read(void *ctx, uint32_t off, void *dst, uint32_t n);
int ml_hal_erase(void *ctx, uint32_t off);
int ml_hal_program(void *ctx, uint32_t off, const void *src, uint32_t n);

/* How the flash is divided: 4 KiB blocks; two slots, two marks, a journal of
 * two blocks and four spare ones. In place the second slot is not used, else
 * the spare blocks are not. */
#define ML_HAL_BLOCK 4096u
#define ML_HAL_SLOT (1024u * 1024u)
#define ML_HAL_MARK (2 * ML_HAL_SLOT)
#define ML_HAL_JOURNAL (ML_HAL_MARK + 2 * ML_HAL_BLOCK)
#define ML_HAL_SPARE (ML_HAL_JOURNAL + 2 * ML_HAL_BLOCK)
#define ML_HAL_FLASH (ML_HAL_SPARE + 4 * ML_HAL_BLOCK)
#define ML_HAL_CONF { ml_hal_read, ml_hal_erase, ml_hal_program, \
	ML_HAL_ACCEPT, 0, \
	ML_HAL_BLOCK, ML_HAL_SLOT, \
	{ 0, ML_UPD_IN_PLACE ? 0 : ML_HAL_SLOT }, \
	{ ML_HAL_MARK, ML_HAL_MARK + ML_HAL_BLOCK }, \
	ML_HAL_JOURNAL, 2 * ML_HAL_BLOCK, 4 * ML_HAL_BLOCK, \
	ML_HAL_SPARE, ML_UPD_IN_PLACE ? 4 : 0 }

/* Bytes of stack that were ever used, from start-up code that paints it; and
 * a number of the board's clock, for measurements. */
uint32_t ml_hal_stack(void);
uint32_t ml_hal_clock(void);

/* The emulated boards' flash is memory, which main must not know. */
void ml_hal_init(void);

int main(void);

#endif
