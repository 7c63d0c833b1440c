/* SPDX-License-Identifier: MIT */
/* All of the C library that is needed; common/mem.c has it. */
#ifndef ML_STRING_H
#define ML_STRING_H

#include <stddef.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);

#endif
