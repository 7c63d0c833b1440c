/* SPDX-License-Identifier: MIT */
/*
 * NOR flash that behaves like NOR flash, for tests and emulated boards.
 *
 * Erasing sets all bits of a block, programming only clears bits, a unit at a
 * time, and never twice. What breaks these rules fails and is remembered in
 * `fault`. Power can fail at any erase or program: before it (whole), or in
 * the middle of it (torn); from then on all fails until ml_nor_power.
 * Freestanding, so that firmware can have one, too.
 */
#ifndef ML_NOR_H
#define ML_NOR_H

#include <stdint.h>

enum ml_nor_status {
	ML_NOR_OK = 0,
	ML_NOR_ERANGE = -1, /* not in the flash */
	ML_NOR_EALIGN = -2, /* not of whole blocks or units */
	ML_NOR_EDIRTY = -3, /* programming what was not erased */
	ML_NOR_ECUT = -4 /* no power */
};

enum ml_nor_cut { ML_NOR_WHOLE, ML_NOR_TORN };

struct ml_nor {
	uint8_t *mem;
	uint32_t size, block, unit; /* unit: fewest bytes to program */
	uint32_t *wear; /* erasures of each block; NULL: not counted */
	uint32_t ops; /* erasures and programs so far */
	uint32_t cut_at; /* power fails at this one, from 1; 0: never */
	enum ml_nor_cut how;
	uint32_t seed; /* of what is torn */
	int dead; /* no power */
	int fault; /* first broken rule, a negative status */
};

/* mem[size] is taken as it is; fill it with 0xff for a new flash. block and
 * unit are powers of two, size a multiple of block. */
void ml_nor_init(struct ml_nor *f, uint8_t *mem, uint32_t size, uint32_t block,
	uint32_t unit, uint32_t *wear);

/* Power comes back, and fails again at operation `cut_at` from now on. */
void ml_nor_power(struct ml_nor *f, uint32_t cut_at, enum ml_nor_cut how);

int ml_nor_read(struct ml_nor *f, uint32_t off, void *dst, uint32_t n);
int ml_nor_erase(struct ml_nor *f, uint32_t off); /* one block */
int ml_nor_program(
	struct ml_nor *f, uint32_t off, const void *src, uint32_t n);

#endif
