/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. A target is one function as libFuzzer wants
 * it; with replay.c it is a program that runs over files. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "ml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must never be. */
#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

/* The base of all patches in the corpora. */
#define FUZZ_BASE 4096
static inline void fuzz_base(uint8_t base[FUZZ_BASE])
{
	uint32_t x = 1;
	size_t i;

	for (i = 0; i < FUZZ_BASE; i++) {
		x = x * 1664525 + 1013904223;
		base[i] = (uint8_t)(i & 1 ? 0x3c + (x >> 30) : x >> 24);
	}
}

static inline struct ml_src *fuzz_spool(const void *p, size_t n)
{
	struct ml_diag diag;
	struct ml_src *s;

	MUST(ml_src_spool(&s, &diag) == 0);
	MUST(n == 0 || ml_src_append(s, p, n, &diag) == 0);
	return s;
}

static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(size + 1);

	MUST(p != NULL);
	p[size] = 0; /* fmemopen(3) takes no buffer of no bytes */
	if (size > 0)
		memcpy(p, data, size);
	return p;
}

/* LEB128; 0 when it does not end within n bytes. */
static inline size_t fuzz_varint(const uint8_t *p, size_t n, uint64_t *v)
{
	size_t i;

	*v = 0;
	for (i = 0; i < n && i < 9; i++) {
		*v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80))
			return i + 1;
	}
	return 0;
}

/* Mutants rarely have the right CRCs: give them these. */
static inline void fuzz_mend_patch(uint8_t *p, size_t n)
{
	uint64_t len;
	size_t at, k;

	if (n < 8 || (k = fuzz_varint(p + 7, n - 7, &len)) == 0 ||
		len > n - 7 - k || n - 7 - k - len < 4)
		return;
	at = 7 + k + (size_t)len;
	ml_store32(p + at, ml_crc32(0, p, at));
	for (at += 4; at < n;) {
		size_t i = at + 1;

		if ((k = fuzz_varint(p + i, n - i, &len)) == 0)
			return;
		i += k;
		if ((k = fuzz_varint(p + i, n - i, &len)) == 0)
			return;
		i += k;
		if (len > n - i || n - i - len < 4)
			return;
		i += (size_t)len;
		ml_store32(p + i, ml_crc32(0, p + at, i - at));
		at = i + 4;
	}
}

static inline void fuzz_mend_stream(uint8_t *p, size_t n)
{
	size_t at = 8;

	while (at < n && n - at >= 12) {
		const size_t len = ml_load32(p + at + 4);

		if (len > n - at - 12)
			return;
		ml_store32(p + at + 8 + len, ml_crc32(0, p + at, 8 + len));
		at += 12 + len;
	}
}

#endif
