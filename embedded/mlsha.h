/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4) in 100 bytes: for devices, small rather than fast. */
#ifndef ML_SHA_H
#define ML_SHA_H

#include <stddef.h>
#include <stdint.h>

struct ml_sha {
	uint32_t h[8];
	uint32_t w[16]; /* bytes of the block first, then words of it */
	uint32_t n; /* bytes so far; below 2^32 */
};

void ml_sha_init(struct ml_sha *s);
void ml_sha_update(struct ml_sha *s, const void *p, size_t n);

/* The digest: 32 bytes that lie in *s. Afterwards only init may be called. */
const uint8_t *ml_sha_final(struct ml_sha *s);

#endif
