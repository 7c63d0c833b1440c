/* SPDX-License-Identifier: MIT */
/* A model in a flash area of Zephyr. */
#ifndef ML_ZEPHYR_H
#define ML_ZEPHYR_H

#include <zephyr/storage/flash_map.h>

#include "update.h"

/* Divides an opened area, whose flash erases so many bytes at a time; *c must
 * stay as long as it is used. -1: too small. */
int ml_zephyr_conf(struct ml_upd_conf *c, const struct flash_area *fa,
	uint32_t block, int in_place);

#endif
