/* SPDX-License-Identifier: MIT */
/* The signature of a patch, ml-patch(5): that of its header, which tells the
 * body's digest. Nothing of a header is used before it is verified but its
 * form. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "hdr.h"
#include "mldec.h"
#include "ops.h"
#include "sign.h"

#define PIECE 65536
#define FIELDS_AT 7 /* of a header: the length of its fields */

int ml_sodium(struct ml_diag *diag)
{
	if (sodium_init() < 0)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
			"cannot set up libsodium");
	return ML_OK;
}

void ml_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}

unsigned long long ml_key_number(const uint8_t id[8])
{
	return ml_load64(id);
}

int ml_verify_any(const struct ml_pubkey *keys, size_t n, const uint8_t id[8],
	const uint8_t sig[64], const uint8_t *msg, size_t len,
	const char *what, uint64_t at, struct ml_diag *diag)
{
	int known = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (memcmp(keys[i].id, id, sizeof(keys[i].id)) != 0)
			continue;
		known = 1;
		if (crypto_sign_ed25519_verify_detached(
			sig, msg, len, keys[i].key) == 0)
			return ML_OK;
	}
	if (known)
		return ml_fail(diag, ML_EAUTH, at,
			"wrong signature: %s is not what key %016llX signed",
			what, ml_key_number(id));
	if (n == 1)
		return ml_fail(diag, ML_EAUTH, at,
			"signed by key %016llX, not by %016llX",
			ml_key_number(id), ml_key_number(keys[0].id));
	return ml_fail(diag, ML_EAUTH, at,
		"signed by key %016llX, which is none of the %zu given",
		ml_key_number(id), n);
}

/* ===== verifying ======================================================== */

int ml_verify_header(const struct ml_hdr *h, const uint8_t *p,
	const struct ml_pubkey *keys, size_t n, uint64_t at,
	struct ml_diag *diag)
{
	const int err = ml_sodium(diag);

	if (err)
		return err;
	if (!h->sig)
		return ml_fail(diag, ML_EAUTH, at, "the patch is not signed");
	return ml_verify_any(keys, n, h->sig - ML_KEY_ID_LEN, h->sig, p,
		h->sig_off, "the header", at, diag);
}

/* Whether all of the body is there. */
static int has_body(struct ml_src *s, uint64_t off, const struct ml_hdr *h,
	struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);

	if (h->body_len > size - off - h->len)
		return ml_fail(diag, ML_ETRUNC, size,
			"patch ends here, but goes to %llu",
			(unsigned long long)(off + h->len + h->body_len));
	return ML_OK;
}

/* Bytes of a source to a digest or, when that is NULL, to a file. */
static int pass(struct ml_src *s, uint64_t off, uint64_t n,
	struct ml_sha256 *sha, FILE *f, struct ml_diag *diag)
{
	uint8_t *buf = malloc(PIECE);
	int err = ML_OK;

	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	while (!err && n) {
		const size_t k = n < PIECE ? (size_t)n : PIECE;

		err = ml_src_read(s, off, buf, k, diag);
		errno = 0;
		if (!err && sha)
			ml_sha256_update(sha, buf, k);
		else if (!err && fwrite(buf, 1, k, f) != k)
			err = ml_fail_errno(diag, "cannot write the patch");
		off += k;
		n -= k;
	}
	free(buf);
	return err;
}

static int digest(struct ml_src *s, uint64_t off, uint64_t n,
	uint8_t out[ML_SHA256_LEN], struct ml_diag *diag)
{
	struct ml_sha256 *sha;
	int err = ml_sha256_new(&sha, diag);

	if (err)
		return err;
	err = pass(s, off, n, sha, NULL, diag);
	ml_sha256_final(sha, out);
	ml_sha256_free(sha);
	return err;
}

int ml_verify_patch(struct ml_src *psrc, uint64_t *off,
	const struct ml_pubkey *keys, size_t n, struct ml_diag *diag)
{
	uint8_t hbuf[ML_HDR_MAX], sha[ML_SHA256_LEN];
	struct ml_hdr h;
	int err;

	err = ml_hdr_read(psrc, *off, &h, hbuf, diag);
	if (!err)
		err = ml_verify_header(&h, hbuf, keys, n, *off, diag);
	if (!err)
		err = has_body(psrc, *off, &h, diag);
	if (!err)
		err = digest(psrc, *off + h.len, h.body_len, sha, diag);
	if (err)
		return err;
	if (memcmp(sha, h.body_sha, sizeof(sha)) != 0)
		return ml_fail(diag, ML_EAUTH, *off + h.len,
			"the body is not the one that was signed");
	*off += h.len + h.body_len;
	return ML_OK;
}

int ml_verify_chain(struct ml_src *psrc, const struct ml_pubkey *keys,
	size_t n, struct ml_diag *diag)
{
	uint64_t off = 0, start;
	int err;

	do {
		start = off;
		err = ml_verify_patch(psrc, &off, keys, n, diag);
		if (err == ML_EFORMAT && start && diag->off == start)
			ml_fail(diag, err, start, "bytes after the patch");
	} while (!err && off < ml_src_size(psrc));
	return err;
}

/* ===== signing ========================================================== */

/* The fields of h but for digest and signature, which are then new. Returns
 * their length; those of hbuf end at h->len - 4. */
static size_t new_fields(uint8_t f[ML_HDR_MAX + ML_SIG_FIELD + 36],
	const struct ml_hdr *h, const uint8_t *hbuf,
	const uint8_t sha[ML_SHA256_LEN], const struct ml_seckey *k)
{
	const uint8_t *p = hbuf + FIELDS_AT, *e, *end = h->ext + h->ext_len;
	uint64_t len;
	size_t n;

	ml_get_varint(&p, end, &len); /* it was parsed before */
	n = (size_t)(h->ext - p);
	memcpy(f, p, n);
	for (e = h->ext; e < end; e += 2 + e[1]) {
		if (e[0] == ML_EXT_BODY || e[0] == ML_EXT_SIG)
			continue;
		memcpy(f + n, e, 2u + e[1]);
		n += 2u + e[1];
	}
	f[n++] = ML_EXT_BODY;
	f[n++] = ML_SHA256_LEN;
	memcpy(f + n, sha, ML_SHA256_LEN);
	n += ML_SHA256_LEN;
	f[n++] = ML_EXT_SIG;
	f[n++] = ML_SIG_FIELD;
	f[n++] = ML_SIG_ED25519;
	memcpy(f + n, k->id, ML_KEY_ID_LEN);
	return n + ML_KEY_ID_LEN + ML_SIG_LEN;
}

/* The header with a signature; its length to *len. */
static int sign_header(uint8_t out[ML_HDR_MAX], size_t *len,
	const struct ml_hdr *h, const uint8_t *hbuf,
	const uint8_t sha[ML_SHA256_LEN], const struct ml_seckey *k,
	struct ml_diag *diag)
{
	uint8_t f[ML_HDR_MAX + ML_SIG_FIELD + 36], size[10];
	const size_t n = new_fields(f, h, hbuf, sha, k);
	const size_t nsize = ml_put_varint(size, n);
	uint8_t *sig = out + FIELDS_AT + nsize + n - ML_SIG_LEN;

	if (FIELDS_AT + nsize + n + 4 > ML_HDR_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"no room for a signature: the header would be longer "
			"than %u bytes", ML_HDR_MAX);
	memcpy(out, hbuf, FIELDS_AT);
	memcpy(out + FIELDS_AT, size, nsize);
	memcpy(out + FIELDS_AT + nsize, f, n - ML_SIG_LEN);
	/* a fault while signing could give the key away: look at the result */
	if (crypto_sign_ed25519_detached(
		sig, NULL, out, (size_t)(sig - out), k->key) != 0 ||
		crypto_sign_ed25519_verify_detached(sig, out,
			(size_t)(sig - out), k->key + 32) != 0)
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"this key does not make good signatures");
	ml_store32(sig + ML_SIG_LEN,
		ml_crc32(0, out, (size_t)(sig + ML_SIG_LEN - out)));
	*len = (size_t)(sig + ML_SIG_LEN + 4 - out);
	return ML_OK;
}

int ml_sign_patch(struct ml_src *psrc, uint64_t *off,
	const struct ml_seckey *k, FILE *f, struct ml_diag *diag)
{
	uint8_t hbuf[ML_HDR_MAX], head[ML_HDR_MAX], sha[ML_SHA256_LEN];
	struct ml_hdr h;
	size_t n = 0;
	int err = ml_sodium(diag);

	if (!err)
		err = ml_hdr_read(psrc, *off, &h, hbuf, diag);
	if (!err)
		err = has_body(psrc, *off, &h, diag);
	if (!err && h.flags & ML_HF_XXH3)
		err = ml_fail(diag, ML_EINVAL, *off,
			"its digests are XXH3, which anyone can forge");
	if (!err)
		err = digest(psrc, *off + h.len, h.body_len, sha, diag);
	if (!err)
		err = sign_header(head, &n, &h, hbuf, sha, k, diag);
	errno = 0;
	if (!err && fwrite(head, 1, n, f) != n)
		err = ml_fail_errno(diag, "cannot write the patch");
	if (!err)
		err = pass(psrc, *off + h.len, h.body_len, NULL, f, diag);
	if (!err)
		*off += h.len + h.body_len;
	return err;
}
