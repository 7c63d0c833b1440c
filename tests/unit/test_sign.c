/* SPDX-License-Identifier: MIT */
/* Signatures of patches, and the files of minisign: made here from what their
 * descriptions say, and then spoilt in every way. */
#include <sodium.h>

#include "patch.h"
#include "test.h"

#define TEXT 1024

static struct ml_diag diag;

/* ===== keys made by hand ================================================ */

struct pair {
	uint8_t id[8], pk[32], sk[64];
	struct ml_pubkey pub;
	struct ml_seckey sec;
};

static void base64(char *out, const uint8_t *p, size_t n)
{
	sodium_bin2base64(out + strlen(out), TEXT - strlen(out), p, n,
		sodium_base64_VARIANT_ORIGINAL);
}

static void pub_text(char out[TEXT], const struct pair *k)
{
	uint8_t b[42] = "Ed";

	memcpy(b + 2, k->id, 8);
	memcpy(b + 10, k->pk, 32);
	strcpy(out, "untrusted comment: minisign public key\n");
	base64(out, b, sizeof(b));
	strcat(out, "\n");
}

/* pw NULL: not encrypted; sum 0: nor with a checksum. */
static void sec_text(char out[TEXT], const struct pair *k, const char *pw,
	int sum, uint64_t ops, uint64_t mem)
{
	uint8_t b[158] = "Ed\0\0B2", mask[104], text[74] = "Ed";
	size_t i;

	memcpy(b + 54, k->id, 8);
	memcpy(b + 62, k->sk, 64);
	memcpy(text + 2, b + 54, 72);
	if (sum)
		crypto_generichash(b + 126, 32, text, sizeof(text), NULL, 0);
	if (pw) {
		memcpy(b + 2, "Sc", 2);
		memset(b + 6, 0x5a, 32);
		ml_store64(b + 38, ops);
		ml_store64(b + 46, mem);
		if (crypto_pwhash_scryptsalsa208sha256(mask, sizeof(mask), pw,
			strlen(pw), b + 6, ops > 1u << 25 ? 1u << 15 : ops,
			mem > 1u << 30 ? 1u << 20 : (size_t)mem))
			abort();
		for (i = 0; i < sizeof(mask); i++)
			b[54 + i] ^= mask[i];
	}
	strcpy(out, "untrusted comment: minisign encrypted secret key\n");
	base64(out, b, sizeof(b));
	strcat(out, "\n");
}

/* A signature of p[0..n); the text's length. */
static size_t sig_text(char out[TEXT], const struct pair *k, int prehashed,
	const uint8_t *p, size_t n)
{
	static const char comment[] = "timestamp:1 file:x";
	uint8_t b[74] = "Ed", hash[64], both[64 + sizeof(comment)];
	uint8_t global[64];

	if (prehashed) {
		b[1] = 'D';
		crypto_generichash(hash, 64, p, n, NULL, 0);
		p = hash;
		n = 64;
	}
	memcpy(b + 2, k->id, 8);
	crypto_sign_detached(b + 10, NULL, p, n, k->sk);
	memcpy(both, b + 10, 64);
	memcpy(both + 64, comment, sizeof(comment) - 1);
	crypto_sign_detached(
		global, NULL, both, 64 + sizeof(comment) - 1, k->sk);
	strcpy(out, "untrusted comment: signature\n");
	base64(out, b, sizeof(b));
	strcat(out, "\ntrusted comment: ");
	strcat(out, comment);
	strcat(out, "\n");
	base64(out, global, 64);
	strcat(out, "\n");
	return strlen(out);
}

static const char *given; /* the password, NULL: none is to be asked for */

static int password(void *ctx, char *pw, size_t cap, struct ml_diag *d)
{
	CHECK(ctx == &given && given != NULL && cap > 100);
	if (!given)
		return ml_fail(d, ML_EINVAL, ML_NOWHERE, "no password");
	memcpy(pw, given, strlen(given));
	return (int)strlen(given);
}

static int parse_sec(struct ml_seckey *k, const char *text, size_t n)
{
	char *exact = malloc(n ? n : 1);
	int err;

	if (!exact)
		abort();
	memcpy(exact, text, n);
	err = ml_seckey_parse(k, exact, n, password, &given, &diag);
	free(exact);
	return err;
}

static void make_pair(struct pair *k, uint8_t seed)
{
	uint8_t s[32];
	char text[TEXT];

	memset(s, seed, sizeof(s));
	memset(k->id, seed + 1, sizeof(k->id));
	crypto_sign_seed_keypair(k->pk, k->sk, s);
	pub_text(text, k);
	CHECK(!ml_pubkey_parse(&k->pub, text, strlen(text), &diag));
	sec_text(text, k, NULL, 0, 0, 0);
	given = NULL;
	CHECK(!parse_sec(&k->sec, text, strlen(text)));
	CHECK(!memcmp(k->pub.id, k->id, 8) && !memcmp(k->pub.key, k->pk, 32));
	CHECK(!memcmp(k->sec.id, k->id, 8) && !memcmp(k->sec.key, k->sk, 64));
}

static void test_pubkey(const struct pair *k)
{
	struct ml_pubkey pub;
	char text[TEXT], bad[TEXT];
	const char *line;
	size_t n, i;

	pub_text(text, k);
	n = strlen(text);
	line = strchr(text, '\n') + 1;
	CHECK(!ml_pubkey_parse(&pub, line, 56, &diag)); /* as an argument */
	CHECK(!ml_pubkey_parse(&pub, line, 57, &diag));
	CHECK(!memcmp(&pub, &k->pub, sizeof(pub)));
	for (i = 0; i < n - 1; i++)
		CHECK(ml_pubkey_parse(&pub, text, i, &diag) == ML_EFORMAT);
	CHECK(!ml_pubkey_parse(&pub, text, n - 1, &diag));
	memcpy(bad, text, n);
	bad[n] = '\n';
	CHECK(ml_pubkey_parse(&pub, bad, n + 1, &diag) == ML_EFORMAT);
	bad[n - 1] = '\r';
	CHECK(!ml_pubkey_parse(&pub, bad, n + 1, &diag));
	for (i = (size_t)(line - text); i < n - 1; i++) {
		memcpy(bad, text, n);
		bad[i] = '!';
		CHECK(ml_pubkey_parse(&pub, bad, n, &diag) == ML_EFORMAT);
	}
	memcpy(bad, text, n);
	bad[line - text] = 'S'; /* another algorithm */
	CHECK(ml_pubkey_parse(&pub, bad, n, &diag) == ML_EVERSION);
	sec_text(bad, k, NULL, 0, 0, 0);
	CHECK(ml_pubkey_parse(&pub, bad, strlen(bad), &diag) == ML_EFORMAT);
	CHECK(!strstr(diag.why, line));
}

static void test_seckey(const struct pair *k)
{
	static const struct ml_seckey none;
	struct ml_seckey sec;
	struct pair other = *k;
	char text[TEXT], bad[TEXT];
	size_t n, i, at;

	/* with a checksum, and a wrong one */
	given = NULL;
	sec_text(text, k, NULL, 1, 0, 0);
	n = strlen(text);
	CHECK(!parse_sec(&sec, text, n));
	CHECK(!memcmp(&sec, &k->sec, sizeof(sec)));
	for (i = 0; i < n - 1; i++)
		CHECK(parse_sec(&sec, text, i) == ML_EFORMAT);
	at = (size_t)(strchr(text, '\n') - text) + 1;
	for (i = at; i < n - 1; i++) {
		memcpy(bad, text, n);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		if (i > at + 2 && i < at + 72)
			continue; /* salt and limits, which nobody needs here */
		CHECK(parse_sec(&sec, bad, n));
		CHECK(!memcmp(&sec, &none, sizeof(sec)));
	}
	other.sk[40] ^= 1;
	sec_text(text, &other, NULL, 1, 0, 0);
	CHECK(parse_sec(&sec, text, n) == ML_EFORMAT);
	sec_text(text, &other, NULL, 0, 0, 0);
	CHECK(parse_sec(&sec, text, n) == ML_EFORMAT);

	/* with a password */
	sec_text(text, k, "correct horse", 1, 1 << 15, 1 << 24);
	given = "correct horse";
	CHECK(!parse_sec(&sec, text, strlen(text)));
	CHECK(!memcmp(&sec, &k->sec, sizeof(sec)));
	given = "correct house";
	CHECK(parse_sec(&sec, text, strlen(text)) == ML_EAUTH);
	CHECK(!strstr(diag.why, "house"));
	CHECK(!memcmp(&sec, &none, sizeof(sec)));
	given = "";
	CHECK(parse_sec(&sec, text, strlen(text)) == ML_EAUTH);
	/* one that would keep the machine busy: nothing is asked */
	given = NULL;
	sec_text(text, k, "x", 1, (1 << 25) + 1, 1 << 24);
	CHECK(parse_sec(&sec, text, strlen(text)) == ML_ELIMIT);
	sec_text(text, k, "x", 1, 1 << 15, (UINT64_C(1) << 30) + 1);
	CHECK(parse_sec(&sec, text, strlen(text)) == ML_ELIMIT);
	sec_text(text, k, "x", 1, 1 << 15, UINT64_MAX);
	CHECK(parse_sec(&sec, text, strlen(text)) == ML_ELIMIT);
}

/* ===== patches ========================================================== */

static struct ml_src *spool(const uint8_t *p, size_t n)
{
	struct ml_src *s;

	if (ml_src_spool(&s, &diag) || (n && ml_src_append(s, p, n, &diag)))
		abort();
	return s;
}

static int sign(struct bytes *out, const struct bytes *patch,
	const struct pair *k)
{
	struct ml_src *s = spool(patch->p, patch->n);
	FILE *f = tmpfile();
	uint64_t off = 0;
	int err;

	if (!f)
		abort();
	err = ml_sign_patch(s, &off, &k->sec, f, &diag);
	CHECK(err || off == patch->n);
	rewind(f);
	out->n = fread(out->p, 1, CAP, f);
	fclose(f);
	ml_src_free(s);
	return err;
}

static int verify(const uint8_t *p, size_t n, const struct ml_pubkey *keys,
	size_t nkeys)
{
	struct ml_src *s = spool(p, n);
	const int err = ml_verify_chain(s, keys, nkeys, &diag);

	CHECK(!err || diag.why[0]);
	ml_src_free(s);
	return err;
}

/* The CRC of a header whose fields are at most 16383 bytes. */
static void mend(struct bytes *b)
{
	size_t at = 8, len = b->p[7] & 127;

	if (b->p[7] & 128)
		len |= (size_t)b->p[at++] << 7;
	at += len;
	if (at + 4 <= b->n)
		ml_store32(b->p + at, ml_crc32(0, b->p, at));
}

static void test_flips(const struct bytes *good, const struct pair *k)
{
	static struct bytes b;
	struct ml_hdr h;
	const int len = ml_hdr_parse(good->p, good->n, &h);
	size_t i;

	for (i = 0; i < good->n * 8; i++) {
		b = *good;
		b.p[i / 8] ^= (uint8_t)(1 << i % 8);
		CHECK(verify(b.p, b.n, &k->pub, 1));
		/* by one who knows what a CRC-32 is */
		mend(&b);
		if (i / 8 >= (size_t)len - 4 && i / 8 < (size_t)len)
			CHECK(!verify(b.p, b.n, &k->pub, 1)); /* its own */
		else
			CHECK(verify(b.p, b.n, &k->pub, 1));
	}
	for (i = 0; i < good->n; i++)
		CHECK(verify(good->p, i, &k->pub, 1));
	b = *good;
	put1(&b, 0);
	CHECK(verify(b.p, b.n, &k->pub, 1) == ML_EFORMAT);
	put(&b, "what follows", 12);
	CHECK(verify(b.p, b.n, &k->pub, 1) == ML_EFORMAT);
}

/* Header of one, body of the other. */
static void cross(struct bytes *out, const struct bytes *a,
	const struct bytes *b)
{
	struct ml_hdr ha, hb;

	CHECK(ml_hdr_parse(a->p, a->n, &ha) > 0);
	CHECK(ml_hdr_parse(b->p, b->n, &hb) > 0);
	out->n = 0;
	put(out, a->p, ha.len);
	put(out, b->p + hb.len, b->n - hb.len);
}

static void literal(struct bytes *out, const char *text, uint64_t release)
{
	static struct bytes code, body;
	struct head h = {.version = 1, .cls = 1, .release = release,
		.target = (const uint8_t *)text, .ntarget = strlen(text),
		.target_size = strlen(text)};

	code.n = body.n = 0;
	put_lit(&code, text, strlen(text));
	put_record(&body, 0, strlen(text), &code);
	put_header(out, &h, body.n);
	put(out, body.p, body.n);
}

static void test_swaps(const struct pair *k)
{
	static struct bytes a, b, c, sa, sb, sc, x;

	literal(&a, "one text", 1);
	literal(&b, "two text", 2);
	literal(&c, "three text", 3);
	CHECK(!sign(&sa, &a, k) && !sign(&sb, &b, k) && !sign(&sc, &c, k));
	CHECK(!verify(sa.p, sa.n, &k->pub, 1));
	cross(&x, &sa, &sb);
	CHECK(verify(x.p, x.n, &k->pub, 1) == ML_EAUTH);
	CHECK(strstr(diag.why, "body"));
	cross(&x, &sb, &sa);
	CHECK(verify(x.p, x.n, &k->pub, 1) == ML_EAUTH);
	cross(&x, &sa, &sc);
	CHECK(verify(x.p, x.n, &k->pub, 1) == ML_EAUTH);
	cross(&x, &sc, &sa);
	CHECK(verify(x.p, x.n, &k->pub, 1) == ML_ETRUNC);
	cross(&x, &a, &sa);
	CHECK(verify(x.p, x.n, &k->pub, 1) == ML_EAUTH);
	CHECK(strstr(diag.why, "not signed"));
	/* chains: all of them, or none */
	x = sa;
	put(&x, sb.p, sb.n);
	put(&x, sc.p, sc.n);
	CHECK(!verify(x.p, x.n, &k->pub, 1));
	x = sa;
	put(&x, b.p, b.n);
	CHECK(verify(x.p, x.n, &k->pub, 1) == ML_EAUTH && diag.off == sa.n);
}

static void test_keys(const struct bytes *good, const struct pair *k)
{
	struct ml_pubkey keys[3];
	static struct bytes again;
	struct pair other;

	make_pair(&other, 77);
	keys[0] = other.pub;
	CHECK(verify(good->p, good->n, keys, 1) == ML_EAUTH);
	CHECK(strstr(diag.why, "0202020202020202") &&
		strstr(diag.why, "4E4E4E4E4E4E4E4E"));
	keys[1] = k->pub;
	CHECK(!verify(good->p, good->n, keys, 2));
	CHECK(verify(good->p, good->n, keys, 0) == ML_EAUTH);
	/* a key that only claims to be the one */
	memcpy(keys[0].id, k->id, 8);
	CHECK(verify(good->p, good->n, keys, 1) == ML_EAUTH);
	CHECK(strstr(diag.why, "wrong signature"));
	CHECK(!verify(good->p, good->n, keys, 2));
	/* signed anew */
	CHECK(!sign(&again, good, k));
	CHECK(again.n == good->n && !memcmp(again.p, good->p, good->n));
	CHECK(!sign(&again, good, &other) && again.n == good->n);
	CHECK(verify(again.p, again.n, &k->pub, 1) == ML_EAUTH);
	CHECK(!verify(again.p, again.n, &other.pub, 1));
}

/* ===== the core ========================================================= */

struct world {
	const struct small *s;
	struct bytes made;
};

static int on_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	memcpy(dst, ((struct world *)ctx)->s->base + off, n);
	return (int)n;
}

static int on_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	memcpy(dst, ((struct world *)ctx)->made.p + off, n);
	return (int)n;
}

static int on_write(void *ctx, const uint8_t *src, unsigned n)
{
	put(&((struct world *)ctx)->made, src, n);
	return (int)n;
}

/* A decoder of class nano, fed byte by byte, that looks at the signature when
 * it has the header. */
static void test_nano(const struct small *s, const struct bytes *good,
	const struct pair *k)
{
	static uint16_t arena[ML_ARENA_NANO / 2];
	static struct world w;
	struct ml_dec_io io = {&w, on_base, on_target, on_write};
	uint8_t buf[16], sha[32];
	struct ml_dec d;
	size_t at = 0, used;
	int r, seen = 0;

	w.s = s;
	ml_dec_init(&d, &io, arena, sizeof(arena), buf, sizeof(buf));
	do {
		r = ml_dec_feed(&d, good->p + at, at < good->n, &used);
		at += used;
		if (r != ML_DEC_HEADER)
			continue;
		seen++;
		CHECK(at == d.hdr.len && d.hdr.sig && d.hdr.body_sha);
		CHECK(!memcmp(d.hdr.sig - ML_KEY_ID_LEN, k->id, 8));
		/* the header is still in the arena: no copy of it */
		CHECK(d.hdr.sig == (uint8_t *)arena + d.hdr.sig_off);
		CHECK(!crypto_sign_verify_detached(d.hdr.sig,
			d.hdr.sig - d.hdr.sig_off, d.hdr.sig_off, k->pk));
		sha256(good->p + at, good->n - at, sha);
		CHECK(!memcmp(d.hdr.body_sha, sha, 32));
	} while (r >= 0 && r != ML_DEC_DONE && (r != ML_DEC_MORE || used));
	CHECK(r == ML_DEC_DONE && seen == 1);
	CHECK(w.made.n == s->target.n &&
		!memcmp(w.made.p, s->target.p, s->target.n));
}

/* Fields that break a rule. */
static void test_form(void)
{
	static const struct {
		uint8_t type, n, alg;
	} f[][3] = {
		{{0x81, 73, 1}, {0, 0, 0}, {0, 0, 0}}, /* no digest */
		{{0x01, 31, 0}, {0x81, 73, 1}, {0, 0, 0}},
		{{0x01, 33, 0}, {0x81, 73, 1}, {0, 0, 0}},
		{{0x01, 0, 0}, {0, 0, 0}, {0, 0, 0}},
		{{0x01, 32, 0}, {0x01, 32, 0}, {0x81, 73, 1}},
		{{0x01, 32, 0}, {0x81, 73, 1}, {0x81, 73, 1}},
		{{0x01, 32, 0}, {0x81, 73, 1}, {0x02, 1, 0}},
		{{0x81, 73, 1}, {0x01, 32, 0}, {0, 0, 0}},
		{{0x01, 32, 0}, {0x81, 73, 0}, {0, 0, 0}},
		{{0x01, 32, 0}, {0x81, 73, 2}, {0, 0, 0}},
		{{0x01, 32, 0}, {0x81, 72, 1}, {0, 0, 0}},
		{{0x01, 32, 0}, {0x81, 74, 1}, {0, 0, 0}},
		{{0x01, 32, 0}, {0x81, 0, 0}, {0, 0, 0}},
		{{0x01, 32, 0}, {0x02, 40, 9}, {0x81, 73, 1}}, /* good */
		{{0x01, 32, 0}, {0x7f, 0, 0}, {0x02, 3, 3}}, /* good */
	};
	static const int want[] = {ML_DEC_EFORMAT, ML_DEC_EFORMAT,
		ML_DEC_EFORMAT, ML_DEC_EFORMAT, ML_DEC_EFORMAT,
		ML_DEC_EFORMAT, ML_DEC_EFORMAT, ML_DEC_EFORMAT,
		ML_DEC_EVERSION, ML_DEC_EVERSION, ML_DEC_EVERSION,
		ML_DEC_EVERSION, ML_DEC_EVERSION, 1, 1};
	static struct bytes p;
	struct head h = {.version = 1, .cls = 1};
	struct ml_hdr got;
	uint8_t ext[300];
	size_t i, j, n;
	int r;

	h.target = ext;
	for (i = 0; i < sizeof(want) / sizeof(*want); i++) {
		for (n = j = 0; j < 3 && f[i][j].type; j++) {
			memset(ext + n, 0, 80);
			ext[n] = f[i][j].type;
			ext[n + 1] = f[i][j].n;
			ext[n + 2] = f[i][j].alg;
			n += 2u + f[i][j].n;
		}
		h.ext = ext;
		h.next = n;
		put_header(&p, &h, 0);
		r = ml_hdr_parse(p.p, p.n, &got);
		CHECK((r > 0 ? 1 : r) == want[i]);
	}
}

/* A header that has no room for a signature, and the longest that has. */
static void test_room(const struct pair *k)
{
	static uint8_t ext[400];
	static struct bytes p, out;
	struct head h = {.version = 1, .cls = 1, .release = UINT64_MAX >> 1,
		.target = ext, .ext = ext};
	struct ml_hdr got;
	size_t n, longest = 0;
	int err;

	ext[0] = 2;
	for (n = 0; n < 256; n++) {
		ext[1] = (uint8_t)n;
		h.next = n + 2;
		put_header(&p, &h, 0);
		err = sign(&out, &p, k);
		CHECK(err == ML_OK || err == ML_ELIMIT);
		CHECK((err == ML_OK) == (p.n + 109 + (p.p[7] < 128) <= 384));
		if (err)
			continue;
		longest = out.n;
		CHECK(ml_hdr_parse(out.p, out.n, &got) == (int)out.n);
		CHECK(got.release == h.release && got.ext[0] == 2);
		CHECK(!verify(out.p, out.n, &k->pub, 1));
	}
	CHECK(longest == ML_HDR_MAX);
}

/* ===== patches as they arrive =========================================== */

struct arrival {
	const struct pair *k;
	size_t written;
	int asked;
};

static int take(void *ctx, const uint8_t *p, size_t n, struct ml_diag *d)
{
	(void)p;
	(void)d;
	((struct arrival *)ctx)->written += n;
	CHECK(((struct arrival *)ctx)->asked == 1);
	return ML_OK;
}

static int accept_one(void *ctx, const struct ml_hdr *h, const uint8_t *p,
	struct ml_diag *d)
{
	struct arrival *a = ctx;

	a->asked++;
	return ml_verify_header(h, p, &a->k->pub, 1, 0, d);
}

static int arrive(struct arrival *a, const struct small *s, uint8_t *p,
	size_t n)
{
	struct ml_target t = {.ctx = a, .write = take, .accept = accept_one};
	struct ml_src *base = spool(s->base, SMALL_BASE);
	FILE *f = fmemopen(p, n, "rb");
	int err;

	if (!f)
		abort();
	a->asked = 0;
	a->written = 0;
	err = ml_apply_stream(f, base, ML_MICRO, &t, &diag);
	fclose(f);
	ml_src_free(base);
	return err;
}

static void test_arrival(const struct small *s, const struct bytes *good,
	const struct pair *k)
{
	static struct bytes b;
	struct arrival a = {k, 0, 0};
	struct ml_hdr h;
	const int len = ml_hdr_parse(good->p, good->n, &h);
	const size_t last = good->n - (size_t)len;
	uint8_t *note;
	size_t i;

	b = *good;
	CHECK(arrive(&a, s, b.p, b.n) == ML_OK);
	CHECK(a.written == s->target.n && a.asked == 1);
	for (i = 0; i < (size_t)len * 8; i++) {
		b = *good;
		b.p[i / 8] ^= (uint8_t)(1 << i % 8);
		mend(&b);
		if (i / 8 >= (size_t)len - 4)
			continue;
		CHECK(arrive(&a, s, b.p, b.n) && a.written == 0);
	}
	b = s->patch;
	CHECK(arrive(&a, s, b.p, b.n) == ML_EAUTH && a.written == 0);
	/* a body that makes the right target, but is not what was signed: a
	 * letter of the label, and the CRC-32 mended */
	b = *good;
	note = b.p + len;
	CHECK(last > 40 && note[0] == 15 && note[2] == 36);
	note[3 + 35] ^= 1;
	ml_store32(note + 39, ml_crc32(0, note, 39));
	CHECK(arrive(&a, s, b.p, b.n) == ML_ECHECK);
	CHECK(a.written == s->target.n && strstr(diag.why, "body"));
	CHECK(verify(b.p, b.n, &k->pub, 1) == ML_EAUTH);
}

/* ===== detached signatures ============================================== */

static int detached(const char *text, size_t n, const uint8_t *p, size_t np,
	const struct ml_pubkey *keys, size_t nkeys)
{
	struct ml_minisig sig;
	struct ml_src *s = spool(p, np);
	char *exact = malloc(n ? n : 1);
	int err;

	if (!exact)
		abort();
	memcpy(exact, text, n);
	err = ml_minisig_parse(&sig, exact, n, &diag);
	if (!err)
		err = ml_minisig_verify(&sig, s, keys, nkeys, &diag);
	free(exact);
	ml_src_free(s);
	return err;
}

static void test_detached(const struct bytes *file, const struct pair *k,
	int prehashed)
{
	static struct bytes b;
	struct pair other;
	char text[TEXT], bad[TEXT];
	const size_t n = sig_text(text, k, prehashed, file->p, file->n);
	const size_t first = (size_t)(strchr(text, '\n') - text);
	size_t i;

	make_pair(&other, 3);
	CHECK(!detached(text, n, file->p, file->n, &k->pub, 1));
	CHECK(detached(text, n, file->p, file->n, &other.pub, 1) == ML_EAUTH);
	CHECK(detached(text, n, file->p, file->n - 1, &k->pub, 1) == ML_EAUTH);
	CHECK(detached(text, n, file->p, 0, &k->pub, 1) == ML_EAUTH);
	for (i = 0; i < file->n; i += 7) {
		b = *file;
		b.p[i] ^= 0x10;
		CHECK(detached(text, n, b.p, b.n, &k->pub, 1) == ML_EAUTH);
	}
	for (i = 0; i < n - 1; i++)
		CHECK(detached(text, i, file->p, file->n, &k->pub, 1));
	CHECK(!detached(text, n - 1, file->p, file->n, &k->pub, 1));
	/* all but the comment that is untrusted */
	for (i = first * 8; i < n * 8 - 8; i++) {
		memcpy(bad, text, n);
		bad[i / 8] = (char)(bad[i / 8] ^ 1 << i % 8);
		CHECK(detached(bad, n, file->p, file->n, &k->pub, 1));
	}
	/* a line too many */
	memcpy(bad, text, n);
	bad[n] = 'x';
	CHECK(detached(bad, n + 1, file->p, file->n, &k->pub, 1) ==
		ML_EFORMAT);
}

static void test_long_comment(const struct pair *k)
{
	static char text[20000];
	struct ml_minisig sig;
	char small[TEXT];
	const size_t n = sig_text(small, k, 1, k->id, 8);
	const char *at = strstr(small, "timestamp");
	size_t head = (size_t)(at - small), len;

	for (len = 8190; len < 8196; len++) {
		memcpy(text, small, head);
		memset(text + head, 'c', len);
		at = strchr(small + head, '\n');
		memcpy(text + head + len, at, n - (size_t)(at - small));
		CHECK((ml_minisig_parse(&sig, text, head + len + n -
			(size_t)(at - small), &diag) == 0) == (len <= 8192));
	}
}

int main(void)
{
	static struct small s;
	static struct bytes good;
	struct pair k;

	if (sodium_init() < 0)
		abort();
	make_pair(&k, 1);
	test_pubkey(&k);
	test_seckey(&k);
	small_make(&s);
	CHECK(!sign(&good, &s.patch, &k));
	CHECK(good.n == s.patch.n + 110);
	CHECK(!verify(good.p, good.n, &k.pub, 1));
	test_flips(&good, &k);
	test_swaps(&k);
	test_keys(&good, &k);
	test_nano(&s, &good, &k);
	test_form();
	test_room(&k);
	test_arrival(&s, &good, &k);
	test_detached(&good, &k, 1);
	test_detached(&good, &k, 0);
	test_long_comment(&k);
	return 0;
}
