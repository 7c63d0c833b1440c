/* SPDX-License-Identifier: MIT */
/* How a flash, or a partition of one, is divided when nothing else says it:
 * slots first, then two marks, a journal of two blocks, four spare blocks. */
#ifndef ML_DIVIDE_H
#define ML_DIVIDE_H

#include "update.h"

#define ML_DIVIDE_BLOCKS 8 /* beside the slots */

/* Fills in all but the functions and ctx. -1: the flash is too small, or a
 * block is (a record of the journal is a struct ml_upd). */
static inline int ml_divide(struct ml_upd_conf *c, uint32_t size,
	uint32_t block, int in_place)
{
	const uint32_t rest = ML_DIVIDE_BLOCKS * block;
	const unsigned slots = in_place ? 1 : 2;

	if (sizeof(struct ml_upd) > block || size / block <
		ML_DIVIDE_BLOCKS + slots)
		return -1;
	c->block = block;
	c->slot_size = (size - rest) / (slots * block) * block;
	c->slot[0] = 0;
	c->slot[1] = in_place ? 0 : c->slot_size;
	c->mark[0] = slots * c->slot_size;
	c->mark[1] = c->mark[0] + block;
	c->journal = c->mark[1] + block;
	c->journal_size = 2 * block;
	c->every = 4 * block;
	c->spare = c->journal + 2 * block;
	c->nspare = in_place ? 4 : 0;
	return 0;
}

#endif
