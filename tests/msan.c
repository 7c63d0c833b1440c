/* SPDX-License-Identifier: MIT */
/*
 * The borders for MemorySanitizer, which sees no writes of libraries that it
 * did not compile: what they wrote is called written here. Only for
 * `make check-msan`, which links with --wrap for each of these functions.
 * What is returned needs nothing, and there is none for libarchive and json-c:
 * what needs those is not run so.
 */
#include <expat.h>
#include <openssl/evp.h>
#include <sanitizer/msan_interface.h>
#include <sodium.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zlib.h>

/* Libraries' own use of the C library is not looked at. */
#define HIDE() __msan_scoped_disable_interceptor_checks()
#define SHOW() __msan_scoped_enable_interceptor_checks()

#define REAL(type, name, args) \
	type __real_##name args; \
	type __wrap_##name args; \
	type __wrap_##name args

/* ===== newer functions of the C library ================================= */

REAL(int, fstat64, (int fd, struct stat *st))
{
	const int r = __real_fstat64(fd, st);

	__msan_unpoison(st, sizeof(*st));
	return r;
}

REAL(int, stat64, (const char *path, struct stat *st))
{
	const int r = __real_stat64(path, st);

	__msan_unpoison(st, sizeof(*st));
	return r;
}

REAL(int, fstatat64, (int fd, const char *path, struct stat *st, int flags))
{
	const int r = __real_fstatat64(fd, path, st, flags);

	__msan_unpoison(st, sizeof(*st));
	return r;
}

/* ===== digests ========================================================== */

/* It reads its configuration when it is used for the first time. */
REAL(int, EVP_DigestInit_ex, (EVP_MD_CTX *c, const EVP_MD *md, ENGINE *e))
{
	int r;

	HIDE();
	r = __real_EVP_DigestInit_ex(c, md, e);
	SHOW();
	return r;
}

REAL(int, EVP_DigestFinal_ex, (EVP_MD_CTX *c, unsigned char *out, unsigned *n))
{
	const int r = __real_EVP_DigestFinal_ex(c, out, n);

	__msan_unpoison(out, 32);
	return r;
}

REAL(void, XXH128_canonicalFromHash, (XXH128_canonical_t *out, XXH128_hash_t h))
{
	__real_XXH128_canonicalFromHash(out, h);
	__msan_unpoison(out, sizeof(*out));
}

/* ===== zlib ============================================================= */

static int made(z_stream *z, const Bytef *from, int r)
{
	__msan_unpoison(z, sizeof(*z));
	if (from)
		__msan_unpoison(from, (size_t)(z->next_out - from));
	return r;
}

REAL(int, deflateInit2_, (z_stream *z, int level, int method, int bits,
	int mem, int strategy, const char *version, int size))
{
	return made(z, NULL, __real_deflateInit2_(z, level, method, bits, mem,
		strategy, version, size));
}

REAL(int, inflateInit2_, (z_stream *z, int bits, const char *version, int size))
{
	return made(z, NULL, __real_inflateInit2_(z, bits, version, size));
}

REAL(int, deflate, (z_stream *z, int flush))
{
	const Bytef *out = z->next_out;

	return made(z, out, __real_deflate(z, flush));
}

REAL(int, inflate, (z_stream *z, int flush))
{
	const Bytef *out = z->next_out;

	return made(z, out, __real_inflate(z, flush));
}

REAL(int, deflateEnd, (z_stream *z))
{
	return made(z, NULL, __real_deflateEnd(z));
}

REAL(int, inflateEnd, (z_stream *z))
{
	return made(z, NULL, __real_inflateEnd(z));
}

/* ===== libsodium ======================================================== */

REAL(int, crypto_generichash_final, (crypto_generichash_state *s,
	unsigned char *out, size_t n))
{
	const int r = __real_crypto_generichash_final(s, out, n);

	__msan_unpoison(out, n);
	return r;
}

REAL(int, crypto_generichash, (unsigned char *out, size_t n,
	const unsigned char *in, unsigned long long len,
	const unsigned char *key, size_t nkey))
{
	const int r = __real_crypto_generichash(out, n, in, len, key, nkey);

	__msan_unpoison(out, n);
	return r;
}

REAL(int, crypto_pwhash_scryptsalsa208sha256, (unsigned char *out,
	unsigned long long n, const char *password, unsigned long long len,
	const unsigned char *salt, unsigned long long ops, size_t mem))
{
	const int r = __real_crypto_pwhash_scryptsalsa208sha256(out, n,
		password, len, salt, ops, mem);

	__msan_unpoison(out, (size_t)n);
	return r;
}

REAL(int, crypto_sign_ed25519_seed_keypair, (unsigned char *pk,
	unsigned char *sk, const unsigned char *seed))
{
	const int r = __real_crypto_sign_ed25519_seed_keypair(pk, sk, seed);

	__msan_unpoison(pk, crypto_sign_ed25519_PUBLICKEYBYTES);
	__msan_unpoison(sk, crypto_sign_ed25519_SECRETKEYBYTES);
	return r;
}

REAL(int, crypto_sign_keypair, (unsigned char *pk, unsigned char *sk))
{
	const int r = __real_crypto_sign_keypair(pk, sk);

	__msan_unpoison(pk, crypto_sign_PUBLICKEYBYTES);
	__msan_unpoison(sk, crypto_sign_SECRETKEYBYTES);
	return r;
}

REAL(int, crypto_sign_ed25519_detached, (unsigned char *sig,
	unsigned long long *n, const unsigned char *m, unsigned long long len,
	const unsigned char *sk))
{
	const int r = __real_crypto_sign_ed25519_detached(sig, n, m, len, sk);

	__msan_unpoison(sig, crypto_sign_ed25519_BYTES);
	if (n)
		__msan_unpoison(n, sizeof(*n));
	return r;
}

REAL(int, crypto_sign_seed_keypair, (unsigned char *pk, unsigned char *sk,
	const unsigned char *seed))
{
	const int r = __real_crypto_sign_seed_keypair(pk, sk, seed);

	__msan_unpoison(pk, crypto_sign_PUBLICKEYBYTES);
	__msan_unpoison(sk, crypto_sign_SECRETKEYBYTES);
	return r;
}

REAL(int, crypto_sign_detached, (unsigned char *sig, unsigned long long *n,
	const unsigned char *m, unsigned long long len,
	const unsigned char *sk))
{
	const int r = __real_crypto_sign_detached(sig, n, m, len, sk);

	__msan_unpoison(sig, crypto_sign_BYTES);
	if (n)
		__msan_unpoison(n, sizeof(*n));
	return r;
}

REAL(int, sodium_base642bin, (unsigned char *bin, size_t cap, const char *b64,
	size_t len, const char *ignore, size_t *n, const char **end,
	int variant))
{
	const int r = __real_sodium_base642bin(
		bin, cap, b64, len, ignore, n, end, variant);

	if (n) {
		__msan_unpoison(n, sizeof(*n));
		if (*n <= cap)
			__msan_unpoison(bin, *n);
	}
	if (end)
		__msan_unpoison(end, sizeof(*end));
	return r;
}

REAL(char *, sodium_bin2base64, (char *b64, size_t cap,
	const unsigned char *bin, size_t len, int variant))
{
	char *r = __real_sodium_bin2base64(b64, cap, bin, len, variant);

	__msan_unpoison(b64, cap);
	return r;
}

REAL(void, sodium_memzero, (void *p, size_t n))
{
	__real_sodium_memzero(p, n);
	__msan_unpoison(p, n);
}

/* ===== expat: it calls back, with arguments that nobody saw written ====== */

#define UNSEEN __attribute__((no_sanitize("memory")))

REAL(XML_Parser, XML_ParserCreate, (const XML_Char *encoding))
{
	XML_Parser p;

	HIDE();
	p = __real_XML_ParserCreate(encoding);
	SHOW();
	return p;
}

REAL(enum XML_Status, XML_ParseBuffer, (XML_Parser p, int n, int final))
{
	enum XML_Status r;

	HIDE();
	r = __real_XML_ParseBuffer(p, n, final);
	SHOW();
	return r;
}

static XML_StartElementHandler on_start;
static XML_EndElementHandler on_end;
static XML_DefaultHandler on_other;
static XML_StartDoctypeDeclHandler on_doctype;

UNSEEN static void XMLCALL start(
	void *arg, const XML_Char *tag, const XML_Char **attr)
{
	size_t i;

	__msan_unpoison_string(tag);
	for (i = 0; attr[i]; i++)
		__msan_unpoison_string(attr[i]);
	__msan_unpoison(attr, (i + 1) * sizeof(*attr));
	SHOW();
	on_start(arg, tag, attr);
	HIDE();
}

UNSEEN static void XMLCALL end(void *arg, const XML_Char *tag)
{
	__msan_unpoison_string(tag);
	SHOW();
	on_end(arg, tag);
	HIDE();
}

UNSEEN static void XMLCALL other(void *arg, const XML_Char *s, int n)
{
	__msan_unpoison(s, (size_t)n);
	SHOW();
	on_other(arg, s, n);
	HIDE();
}

UNSEEN static void XMLCALL doctype(void *arg, const XML_Char *name,
	const XML_Char *sys, const XML_Char *pub, int subset)
{
	SHOW();
	on_doctype(arg, name, sys, pub, subset);
	HIDE();
}

REAL(void, XML_SetElementHandler, (XML_Parser p, XML_StartElementHandler s,
	XML_EndElementHandler e))
{
	on_start = s;
	on_end = e;
	__real_XML_SetElementHandler(p, start, end);
}

REAL(void, XML_SetDefaultHandler, (XML_Parser p, XML_DefaultHandler h))
{
	on_other = h;
	__real_XML_SetDefaultHandler(p, other);
}

REAL(void, XML_SetStartDoctypeDeclHandler, (XML_Parser p,
	XML_StartDoctypeDeclHandler h))
{
	on_doctype = h;
	__real_XML_SetStartDoctypeDeclHandler(p, doctype);
}
