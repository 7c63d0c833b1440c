/* SPDX-License-Identifier: MIT */
/* SHA-256 by libcrypto and CRC-32 by libdeflate, both for the instructions
 * that the CPU may have for them. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>

#include "ml.h"

struct ml_sha256 {
	EVP_MD_CTX *ctx;
	int bad; /* libcrypto failed, so the digest is not to be trusted */
};

int ml_sha256_new(struct ml_sha256 **out, struct ml_diag *diag)
{
	struct ml_sha256 *s = malloc(sizeof(*s));

	*out = NULL;
	if (!s)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	s->bad = 0;
	s->ctx = EVP_MD_CTX_new();
	if (!s->ctx || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1) {
		ml_sha256_free(s);
		return ml_fail(
			diag, ML_ENOMEM, ML_NOWHERE, "cannot set up SHA-256");
	}
	*out = s;
	return ML_OK;
}

void ml_sha256_update(struct ml_sha256 *s, const void *p, size_t n)
{
	if (EVP_DigestUpdate(s->ctx, p, n) != 1)
		s->bad = 1;
}

void ml_sha256_final(struct ml_sha256 *s, uint8_t out[ML_SHA256_LEN])
{
	if (EVP_DigestFinal_ex(s->ctx, out, NULL) != 1)
		s->bad = 1;
	/* all zeros match no promised digest: a failure stays one */
	if (s->bad)
		memset(out, 0, ML_SHA256_LEN);
	s->bad = EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1;
}

void ml_sha256_free(struct ml_sha256 *s)
{
	if (!s)
		return;
	EVP_MD_CTX_free(s->ctx);
	free(s);
}

uint32_t ml_crc32(uint32_t crc, const void *p, size_t n)
{
	/* libdeflate takes a null pointer as a wish for the first value */
	return n == 0 ? crc : libdeflate_crc32(crc, p, n);
}
