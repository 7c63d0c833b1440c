/* SPDX-License-Identifier: MIT */
/* The three functions of memory that all else needs, where there is no libc. */
#include <string.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	unsigned char *p = dst;
	const unsigned char *q = src;

	while (n--)
		*p++ = *q++;
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	unsigned char *p = dst;
	const unsigned char *q = src;

	if (p < q)
		return memcpy(dst, src, n);
	while (n--)
		p[n] = q[n];
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	unsigned char *p = dst;

	while (n--)
		*p++ = (unsigned char)c;
	return dst;
}
