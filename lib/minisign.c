/* SPDX-License-Identifier: MIT */
/*
 * The files of minisign(1), as https://jedisct1.github.io/minisign/ has them:
 * lines of a comment and of base64, one after the other. What the lines hold:
 *
 *	public key   "Ed", id, key
 *	secret key   "Ed", "Sc" or zeros, "B2", salt, opslimit, memlimit, and
 *	             by scrypt masked: id, key, BLAKE2b-256 of "Ed" and both
 *	signature    "ED" (of the BLAKE2b-512 of the file) or "Ed" (of the
 *	             file), id, signature; then that of it and of the comment
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "sign.h"

#define UNTRUSTED "untrusted comment: "
#define TRUSTED "trusted comment: "
#define COMMENT_MAX 8192 /* bytes of a trusted comment */
#define PIECE 65536
#define PASSWORD_MAX 1024

/* What a secret key may ask for to be decrypted: as much as minisign does. */
#define OPS_MAX (UINT64_C(1) << 25)
#define MEM_MAX (UINT64_C(1) << 30)

/* Where things are in a line that was decoded. */
enum { PUB_LEN = 42, SIG_LEN = 74, SALT_AT = 6, OPS_AT = 38, MEM_AT = 46,
	MASKED_AT = 54, MASKED_LEN = 104, SEC_LEN = MASKED_AT + MASKED_LEN };

struct line {
	const char *p;
	size_t n;
};

struct text {
	const char *p, *start, *end;
};

/* The next line without its end; an empty one behind the last. */
static struct line next_line(struct text *t)
{
	const size_t left = (size_t)(t->end - t->p);
	const char *nl = left ? memchr(t->p, '\n', left) : NULL;
	struct line l = {t->p, nl ? (size_t)(nl - t->p) : left};

	t->p = nl ? nl + 1 : t->end;
	if (l.n && l.p[l.n - 1] == '\r')
		l.n--;
	return l;
}

/* A line that begins so; then it is what follows. */
static int starts(struct line *l, const char *prefix)
{
	const size_t n = strlen(prefix);

	if (l->n < n || memcmp(l->p, prefix, n) != 0)
		return 0;
	l->p += n;
	l->n -= n;
	return 1;
}

/* Base64 of exactly n bytes. */
static int decode(uint8_t *out, size_t n, struct line l)
{
	size_t got;

	/* some versions of libsodium take AF for a slash */
	for (got = 0; got < l.n; got++)
		if ((unsigned char)l.p[got] > 0x7f)
			return 0;
	return sodium_base642bin(out, n, l.p, l.n, NULL, &got, NULL,
		sodium_base64_VARIANT_ORIGINAL) == 0 && got == n;
}

static int malformed(const struct text *t, const struct line *l,
	const char *what, struct ml_diag *diag)
{
	return ml_fail(diag, ML_EFORMAT, (uint64_t)(l->p - t->start),
		"not %s of minisign", what);
}

/* ===== keys ============================================================= */

int ml_pubkey_parse(struct ml_pubkey *k, const char *text, size_t n,
	struct ml_diag *diag)
{
	struct text t = {text, text, text + n};
	struct line l = next_line(&t);
	uint8_t b[PUB_LEN];
	const int err = ml_sodium(diag);

	if (err)
		return err;
	if (starts(&l, UNTRUSTED))
		l = next_line(&t);
	if (!decode(b, sizeof(b), l) || t.p != t.end)
		return malformed(&t, &l, "a public key", diag);
	if (memcmp(b, "Ed", 2) != 0)
		return ml_fail(diag, ML_EVERSION, (uint64_t)(l.p - text),
			"public key of an unknown kind");
	memcpy(k->id, b + 2, sizeof(k->id));
	memcpy(k->key, b + 10, sizeof(k->key));
	return ML_OK;
}

void ml_seckey_wipe(struct ml_seckey *k)
{
	ml_wipe(k, sizeof(*k));
}

/* Takes the mask of the password off b. */
static int unmask(uint8_t b[SEC_LEN], int (*password)(void *ctx, char *pw,
	size_t cap, struct ml_diag *diag), void *ctx, struct ml_diag *diag)
{
	const uint64_t ops = ml_load64(b + OPS_AT), mem = ml_load64(b + MEM_AT);
	uint8_t mask[MASKED_LEN];
	char pw[PASSWORD_MAX];
	size_t i;
	int n, err = ML_OK;

	if (ops > OPS_MAX || mem > MEM_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"secret key that asks for more work or memory than "
			"minisign does");
	n = password(ctx, pw, sizeof(pw), diag);
	if (n >= 0 && crypto_pwhash_scryptsalsa208sha256(mask, sizeof(mask), pw,
		(unsigned long long)n, b + SALT_AT, ops, (size_t)mem) != 0)
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
			"no memory to decrypt the secret key: it needs %llu "
			"MiB", (unsigned long long)(mem >> 20));
	ml_wipe(pw, sizeof(pw));
	if (n < 0 || err)
		return n < 0 ? n : err;
	for (i = 0; i < MASKED_LEN; i++)
		b[MASKED_AT + i] ^= mask[i];
	ml_wipe(mask, sizeof(mask));
	return ML_OK;
}

/* Whether the checksum is right. One that is not encrypted may have none. */
static int sum_ok(const uint8_t b[SEC_LEN], int encrypted)
{
	const uint8_t *sum = b + SEC_LEN - 32;
	crypto_generichash_state s;
	uint8_t own[32];

	if (!encrypted && sodium_is_zero(sum, sizeof(own)))
		return 1;
	crypto_generichash_init(&s, NULL, 0, sizeof(own));
	crypto_generichash_update(&s, b, 2);
	crypto_generichash_update(&s, b + MASKED_AT, 8 + 64);
	crypto_generichash_final(&s, own, sizeof(own));
	return sodium_memcmp(own, sum, sizeof(own)) == 0;
}

/* Whether both halves of a secret key belong together: a signature made with
 * others gives the key away. */
static int halves_ok(const uint8_t key[64])
{
	uint8_t pk[32], sk[64];
	int ok;

	crypto_sign_ed25519_seed_keypair(pk, sk, key);
	ok = sodium_memcmp(pk, key + 32, sizeof(pk)) == 0;
	ml_wipe(sk, sizeof(sk));
	return ok;
}

static int take_key(struct ml_seckey *k, uint8_t b[SEC_LEN],
	int (*password)(void *ctx, char *pw, size_t cap, struct ml_diag *diag),
	void *ctx, struct ml_diag *diag)
{
	const int encrypted = memcmp(b + 2, "Sc", 2) == 0;
	int err = ML_OK;

	if (memcmp(b, "Ed", 2) != 0 || memcmp(b + 4, "B2", 2) != 0 ||
		(!encrypted && memcmp(b + 2, "\0\0", 2) != 0))
		return ml_fail(diag, ML_EVERSION, ML_NOWHERE,
			"secret key of an unknown kind");
	if (encrypted)
		err = unmask(b, password, ctx, diag);
	if (err)
		return err;
	if (!sum_ok(b, encrypted))
		return encrypted ? ml_fail(diag, ML_EAUTH, ML_NOWHERE,
			"wrong password for the secret key") :
			ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"damaged secret key");
	if (!halves_ok(b + MASKED_AT + 8))
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"damaged secret key");
	memcpy(k->id, b + MASKED_AT, sizeof(k->id));
	memcpy(k->key, b + MASKED_AT + 8, sizeof(k->key));
	return ML_OK;
}

int ml_seckey_parse(struct ml_seckey *k, const char *text, size_t n,
	int (*password)(void *ctx, char *pw, size_t cap, struct ml_diag *diag),
	void *ctx, struct ml_diag *diag)
{
	struct text t = {text, text, text + n};
	struct line l = next_line(&t);
	uint8_t b[SEC_LEN];
	int err = ml_sodium(diag);

	memset(k, 0, sizeof(*k));
	if (err)
		return err;
	if (!starts(&l, UNTRUSTED))
		return malformed(&t, &l, "a secret key", diag);
	l = next_line(&t);
	if (!decode(b, sizeof(b), l) || t.p != t.end)
		err = malformed(&t, &l, "a secret key", diag);
	else
		err = take_key(k, b, password, ctx, diag);
	ml_wipe(b, sizeof(b));
	return err;
}

/* ===== detached signatures ============================================== */

int ml_minisig_parse(struct ml_minisig *s, const char *text, size_t n,
	struct ml_diag *diag)
{
	struct text t = {text, text, text + n};
	struct line l = next_line(&t);
	uint8_t b[SIG_LEN];
	const int err = ml_sodium(diag);

	if (err)
		return err;
	if (!starts(&l, UNTRUSTED))
		return malformed(&t, &l, "a signature", diag);
	l = next_line(&t);
	if (!decode(b, sizeof(b), l))
		return malformed(&t, &l, "a signature", diag);
	if (memcmp(b, "Ed", 2) != 0 && memcmp(b, "ED", 2) != 0)
		return ml_fail(diag, ML_EVERSION, (uint64_t)(l.p - text),
			"signature of an unknown kind");
	s->prehashed = b[1] == 'D';
	memcpy(s->id, b + 2, sizeof(s->id));
	memcpy(s->sig, b + 10, sizeof(s->sig));
	l = next_line(&t);
	if (!starts(&l, TRUSTED) || l.n > COMMENT_MAX)
		return malformed(&t, &l, "a signature", diag);
	s->comment = l.p;
	s->ncomment = l.n;
	l = next_line(&t);
	if (!decode(s->global, sizeof(s->global), l) || t.p != t.end)
		return malformed(&t, &l, "a signature", diag);
	return ML_OK;
}

static int blake2b(struct ml_src *s, uint8_t out[64], struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	crypto_generichash_state b;
	uint8_t *buf = malloc(PIECE);
	uint64_t off = 0;
	int err = ML_OK;

	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	crypto_generichash_init(&b, NULL, 0, 64);
	while (!err && off < size) {
		const size_t k = size - off < PIECE ? (size_t)(size - off) :
			PIECE;

		err = ml_src_read(s, off, buf, k, diag);
		if (!err)
			crypto_generichash_update(&b, buf, k);
		off += k;
	}
	crypto_generichash_final(&b, out, 64);
	free(buf);
	return err;
}

/* What the signature is of, to *msg, to be freed. */
static int message(const struct ml_minisig *sig, struct ml_src *s,
	uint8_t **msg, size_t *n, struct ml_diag *diag)
{
	const uint64_t size = sig->prehashed ? 64 : ml_src_size(s);

	if (size > ML_LEGACY_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"a signature of the old kind, of more than %u MiB: "
			"sign the file with minisign -S -H",
			ML_LEGACY_MAX >> 20);
	*n = (size_t)size;
	*msg = malloc(*n ? *n : 1);
	if (!*msg)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (sig->prehashed)
		return blake2b(s, *msg, diag);
	return ml_src_read(s, 0, *msg, *n, diag);
}

int ml_minisig_verify(const struct ml_minisig *sig, struct ml_src *s,
	const struct ml_pubkey *keys, size_t n, struct ml_diag *diag)
{
	uint8_t text[64 + COMMENT_MAX], *msg = NULL;
	size_t len = 0;
	int err = ml_sodium(diag);

	if (!err && sig->ncomment > COMMENT_MAX)
		err = ml_fail(diag, ML_EINVAL, ML_NOWHERE, "no such comment");
	if (err)
		return err;
	memcpy(text, sig->sig, 64);
	memcpy(text + 64, sig->comment, sig->ncomment);
	err = ml_verify_any(keys, n, sig->id, sig->global, text,
		64 + sig->ncomment, "the comment", ML_NOWHERE, diag);
	if (!err)
		err = message(sig, s, &msg, &len, diag);
	if (!err)
		err = ml_verify_any(keys, n, sig->id, sig->sig, msg, len,
			"the file", ML_NOWHERE, diag);
	free(msg);
	return err;
}
