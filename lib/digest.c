/* SPDX-License-Identifier: MIT */
/* SHA-256 by libcrypto and CRC-32 by libdeflate, both for the instructions
 * that the CPU may have for them. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>

#include "ml.h"

#define PIECE 262144

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

int ml_src_sha256(
	struct ml_src *s, uint8_t out[ML_SHA256_LEN], struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	struct ml_sha256 *sha = NULL;
	uint64_t off = 0;
	uint8_t *buf = NULL;
	int err = ml_sha256_new(&sha, diag);

	if (err)
		return err;
	buf = malloc(PIECE);
	if (!buf) {
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
		goto out;
	}
	while (off < size) {
		const size_t n =
			size - off < PIECE ? (size_t)(size - off) : PIECE;

		err = ml_src_read(s, off, buf, n, diag);
		if (err)
			goto out;
		ml_sha256_update(sha, buf, n);
		off += n;
	}
	ml_sha256_final(sha, out);
out:
	free(buf);
	ml_sha256_free(sha);
	return err;
}

int ml_src_is_base(struct ml_src *s, uint64_t size,
	const uint8_t sha[ML_SHA256_LEN], struct ml_diag *diag)
{
	uint8_t own[ML_SHA256_LEN];
	int err;

	if (ml_src_size(s) != size)
		return ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"wrong base: it has %llu bytes, not %llu",
			(unsigned long long)ml_src_size(s),
			(unsigned long long)size);
	err = ml_src_sha256(s, own, diag);
	if (!err && memcmp(own, sha, sizeof(own)) != 0)
		err = ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"wrong base: it has the size, but not the SHA-256");
	return err;
}

uint32_t ml_crc32(uint32_t crc, const void *p, size_t n)
{
	/* libdeflate takes a null pointer as a wish for the first value */
	return n == 0 ? crc : libdeflate_crc32(crc, p, n);
}
