/* SPDX-License-Identifier: MIT */
/*
 * Updates in simulated flash, with power failing at every operation, whole
 * and torn: what boots afterwards is the old model or the new one. Takes BIN,
 * the folder of the programs, and MODELS, one of real pairs.
 */
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "flash/nor.h"
#include "patch.h"
#include "test.h"
#include "update.h"

enum { BLOCK = 4096, SLOT = 12 * BLOCK, MARKS = 2 * SLOT,
	JOURNAL = MARKS + 2 * BLOCK, SPARE = JOURNAL + 3 * BLOCK,
	FLASH = SPARE + 2 * BLOCK };

static uint8_t mem[FLASH], factory[FLASH];
static uint32_t wear[FLASH / BLOCK];
static struct ml_nor nor;

/* Ways to get the order of things wrong. */
static enum { RIGHT, BOTH_MARKS, SAME_SLOT, NO_JOURNAL, NO_SPARE } order;

static uint32_t place(uint32_t off)
{
	return order == SAME_SLOT && off < MARKS ? off % SLOT : off;
}

static int on_read(void *ctx, uint32_t off, void *dst, uint32_t n)
{
	return ml_nor_read(ctx, off, dst, n);
}

static int on_erase(void *ctx, uint32_t off)
{
	if (order == BOTH_MARKS && off >= MARKS && off < JOURNAL &&
		ml_nor_erase(ctx, off == MARKS ? MARKS + BLOCK : MARKS))
		return -1;
	if (order == NO_SPARE && off < SLOT && (ml_nor_erase(ctx, SPARE) ||
		ml_nor_erase(ctx, SPARE + BLOCK)))
		return -1;
	return ml_nor_erase(ctx, place(off));
}

static int on_program(void *ctx, uint32_t off, const void *src, uint32_t n)
{
	if (order == NO_JOURNAL && off >= JOURNAL && off < SPARE)
		return 0;
	return ml_nor_program(ctx, place(off), src, n);
}

#define COMMON on_read, on_erase, on_program, NULL, &nor, BLOCK, SLOT
static const struct ml_upd_conf confs[] = {
	/* two slots, and a journal at every block; without one; seldom */
	{ COMMON, { 0, SLOT }, { MARKS, MARKS + BLOCK }, JOURNAL, 3 * BLOCK,
		BLOCK, 0, 0 },
	{ COMMON, { 0, SLOT }, { MARKS, MARKS + BLOCK }, 0, 0, 0, 0, 0 },
	{ COMMON, { 0, SLOT }, { MARKS, MARKS + BLOCK }, JOURNAL, 2 * BLOCK,
		2 * BLOCK, 0, 0 },
	/* in place, with one spare block, with two */
	{ COMMON, { 0, 0 }, { MARKS, MARKS + BLOCK }, JOURNAL, 2 * BLOCK, 0,
		SPARE, 1 },
	{ COMMON, { 0, 0 }, { MARKS, MARKS + BLOCK }, JOURNAL, 3 * BLOCK, 0,
		SPARE, 2 },
};
enum { TWO, BARE, SELDOM, PLACE1, PLACE2, NCONF };
static struct ml_upd_conf conf;

static void configure(unsigned i)
{
	conf = confs[i];
}

/* A device as it leaves the factory: a model in slot 0. */
static void make(const uint8_t *p, size_t n, unsigned release)
{
	uint8_t *m = factory + MARKS + BLOCK;

	memset(factory, 0xff, sizeof(factory));
	if (n)
		memcpy(factory, p, n);
	memset(m, 0, ML_MARK_BODY);
	ml_store32(m, ML_MARK_MAGIC);
	ml_store32(m + 4, 7);
	ml_store32(m + 12, (uint32_t)n);
	ml_store32(m + 16, release);
	sha256(p, n, m + ML_MARK_SHA);
	ml_store32(m + 64, ml_crc32(0, m, 64));
	ml_store32(m + 68, ~ml_crc32(0, m, 64));
}

static void reset(void)
{
	memcpy(mem, factory, sizeof(mem));
	ml_nor_init(&nor, mem, FLASH, BLOCK, 8, wear);
}

static int boot(struct ml_upd *u)
{
	int r;

	ml_upd_init(u, &conf);
	do {
		r = ml_upd_boot(u);
	} while (r == ML_DEC_AGAIN);
	return r;
}

/* Feeds p[at..n), some bytes at a time. */
static int feed(struct ml_upd *u, const uint8_t *p, size_t at, size_t n,
	size_t chunk)
{
	unsigned long turns = 0;
	size_t k, used;
	int r;

	do {
		k = n - at < chunk ? n - at : chunk;
		r = ml_upd_feed(u, p + at, k, &used);
		CHECK(used <= k);
		at += used;
		CHECK(++turns < 1000000);
		if (turns > 1000000)
			break;
	} while (r == ML_DEC_AGAIN || (r == ML_DEC_MORE && at < n));
	return r;
}

/* Boots and takes a patch. */
static int update(struct ml_upd *u, const uint8_t *p, size_t n, size_t chunk)
{
	int r = boot(u);

	if (r < 0 && r != ML_UPD_ENONE && r != ML_UPD_EHALF)
		return r;
	return feed(u, p, 0, n, chunk);
}

struct pair {
	const uint8_t *old, *new, *patch;
	size_t nold, nnew, npatch;
};

/* 1: the model in use is the old one, 2: the new one, 0: neither. */
static int what(const struct ml_upd *u, const struct pair *p)
{
	const uint8_t *at = mem + conf.slot[u->slot];

	if (u->size == p->nnew && !memcmp(at, p->new, p->nnew))
		return 2;
	if (u->size == p->nold && !memcmp(at, p->old, p->nold))
		return 1;
	return 0;
}

/* What is written to the journal is of one place in memory. */
static struct ml_upd u;

static unsigned long went_on, sent; /* updates, and bytes of these */

/* After a cut: the old model, the new one, or none for now, in place; then
 * goes on, by what is left of the patch or (whole) by all of it. 0: it did
 * not come out well. */
static int recover(const struct pair *p, int whole)
{
	int r = boot(&u);

	if (r == ML_UPD_EHALF ? !conf.nspare || !u.taken :
		r != ML_DEC_DONE || !what(&u, p))
		return 0;
	if (r == ML_DEC_DONE && what(&u, p) == 2)
		return 1;
	if (u.taken && !whole) {
		went_on++;
		sent += p->npatch - u.taken;
		if (u.taken > p->npatch || ml_upd_resume(&u))
			return 0;
		r = feed(&u, p->patch, u.taken, p->npatch, 128);
	} else {
		r = feed(&u, p->patch, 0, p->npatch, 128);
	}
	return r == ML_DEC_DONE && what(&u, p) == 2 &&
		boot(&u) == ML_DEC_DONE && what(&u, p) == 2 && !u.taken;
}

/* Power fails at every operation. Returns how many cuts were tried, 0 when
 * one of them left something else than the old or the new model. */
static unsigned long cuts(const struct pair *p, enum ml_nor_cut how)
{
	unsigned long n;
	int r;

	for (n = 1;; n++) {
		reset();
		nor.seed = (uint32_t)n * 2654435761u;
		ml_nor_power(&nor, (uint32_t)n, how);
		r = update(&u, p->patch, p->npatch, 128);
		if (!nor.dead)
			break;
		if (order == RIGHT)
			CHECK(r == ML_UPD_EFLASH || r == ML_DEC_EIO);
		ml_nor_power(&nor, 0, how);
		if (!recover(p, n & 1))
			return 0;
		if (order == RIGHT)
			CHECK(!nor.fault);
	}
	CHECK(r == ML_DEC_DONE && what(&u, p) == 2 && !nor.fault);
	CHECK(boot(&u) == ML_DEC_DONE && what(&u, p) == 2 && !u.taken);
	return n - 1;
}

/* Power fails again and again, until the update is there at last. */
static void storm(const struct pair *p)
{
	uint32_t seed, n;
	int r;

	for (seed = 1; seed <= 10; seed++) {
		reset();
		nor.seed = seed;
		for (n = 1; n < 1000; n++) {
			ml_nor_power(&nor, n * (nor.seed >> 20) % 4096 + 1,
				n & 1 ? ML_NOR_TORN : ML_NOR_WHOLE);
			r = boot(&u);
			if (u.taken && n % 3 && !ml_upd_resume(&u))
				r = feed(&u, p->patch, u.taken, p->npatch, 61);
			else
				r = feed(&u, p->patch, 0, p->npatch, 61);
			if (r == ML_DEC_DONE || r == ML_UPD_EBASE)
				break;
			CHECK(nor.dead);
			ml_nor_power(&nor, 0, ML_NOR_WHOLE);
			r = boot(&u);
			CHECK((r == ML_DEC_DONE && what(&u, p)) ||
				(r == ML_UPD_EHALF && conf.nspare));
		}
		CHECK(n < 1000);
		ml_nor_power(&nor, 0, ML_NOR_WHOLE);
		CHECK(boot(&u) == ML_DEC_DONE && what(&u, p) == 2);
		CHECK(!nor.fault);
	}
}

/* All that is promised of one pair. */
static void every(const struct pair *p, const char *name, unsigned which)
{
	static const size_t chunk[] = { 1, 7, 128, 100000 };
	unsigned long whole, torn;
	unsigned i, most = 0;

	configure(which);
	make(p->old, p->nold, 3);
	for (i = 0; i < 4; i++) {
		reset();
		CHECK(update(&u, p->patch, p->npatch, chunk[i]) ==
			ML_DEC_DONE);
		CHECK(what(&u, p) == 2 && !nor.fault);
		CHECK(u.slot == 1 && u.seq == 8 && u.page == 0);
		CHECK(boot(&u) == ML_DEC_DONE && what(&u, p) == 2);
		CHECK(u.slot == 1 && u.seq == 8 && u.page == 0 && !u.taken);
	}
	for (i = 0; i < SLOT / BLOCK; i++) /* once, once more if it moved */
		CHECK(conf.nspare ? wear[i] <= 2 : !wear[i] &&
			wear[SLOT / BLOCK + i] <= 1);
	for (i = SPARE / BLOCK; i < FLASH / BLOCK; i++)
		most = wear[i] > most ? wear[i] : most;
	went_on = sent = 0;
	whole = cuts(p, ML_NOR_WHOLE);
	torn = cuts(p, ML_NOR_TORN);
	CHECK(whole > 5 && torn > 5);
	printf("# %s, %s: %lu cuts whole, %lu torn; %lu went on, with %lu of "
		"%lu bytes on average; spare blocks erased %u times\n", name,
		conf.nspare ? "in place" : "two slots", whole, torn, went_on,
		went_on ? sent / went_on : 0, (unsigned long)p->npatch, most);
	storm(p);
}

/* A wrong order must be found by what finds none in the right one. */
static void wrong_order(const struct pair *p)
{
	configure(BARE);
	make(p->old, p->nold, 0);
	order = BOTH_MARKS;
	CHECK(!cuts(p, ML_NOR_WHOLE));
	CHECK(!cuts(p, ML_NOR_TORN));
	order = SAME_SLOT;
	CHECK(!cuts(p, ML_NOR_WHOLE));
	CHECK(!cuts(p, ML_NOR_TORN));
	order = RIGHT;
}

static void wrong_place(const struct pair *p)
{
	unsigned i;

	for (i = PLACE1; i <= PLACE2; i++) {
		configure(i);
		make(p->old, p->nold, 0);
		order = NO_JOURNAL;
		CHECK(!cuts(p, ML_NOR_WHOLE));
		CHECK(!cuts(p, ML_NOR_TORN));
		order = NO_SPARE;
		CHECK(!cuts(p, ML_NOR_WHOLE));
		CHECK(!cuts(p, ML_NOR_TORN));
		order = RIGHT;
	}
}

/* What is refused, and that nothing was erased then. */
static void refusals(const struct small *s, const struct pair *p)
{
	static struct small t;
	static struct bytes b;
	size_t i, body = s->patch.n;
	int r;

	configure(TWO);
	make(p->old, p->nold, 3);
	reset();
	CHECK(ml_upd_feed((ml_upd_init(&u, &conf), &u), p->patch, 1, &i) < 0);

	make(p->old, p->nold, 301);
	reset();
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_UPD_EOLD);
	CHECK(update(&u, p->patch, p->npatch - 1, 128) == ML_UPD_EOLD);
	make(p->old, p->nold - 1, 3);
	reset();
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_UPD_EBASE);
	memcpy(b.p, p->old, b.n = p->nold);
	b.p[5] ^= 1;
	make(b.p, b.n, 3);
	reset();
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_UPD_EBASE);
	CHECK(!nor.ops);

	/* too large for the slot, of another class */
	make(p->old, p->nold, 3);
	reset();
	t = *s;
	t.head.target_size = SLOT + 1;
	put_header(&b, &t.head, body);
	CHECK(update(&u, b.p, b.n, 128) == ML_UPD_ESIZE);
	t.head = s->head;
	t.head.cls = 2;
	put_header(&b, &t.head, body);
	CHECK(update(&u, b.p, b.n, 128) == ML_DEC_ECLASS);
	t.head = s->head;
	t.head.release = (uint64_t)1 << 32;
	put_header(&b, &t.head, body);
	CHECK(update(&u, b.p, b.n, 128) == ML_UPD_EOLD);
	CHECK(!nor.ops);

	/* every damaged byte is found, and the old model stays */
	for (i = 0; i < p->npatch; i++) {
		reset();
		memcpy(b.p, p->patch, b.n = p->npatch);
		b.p[i] ^= 0x10;
		r = update(&u, b.p, b.n, 128);
		CHECK(r < 0 || r == ML_DEC_MORE);
		CHECK(boot(&u) == ML_DEC_DONE && what(&u, p) == 1);
	}
	/* cut off, and then whole */
	for (i = 0; i < p->npatch; i += 5) {
		reset();
		CHECK(update(&u, p->patch, i, 50) == ML_DEC_MORE);
		CHECK(update(&u, p->patch, p->npatch, 50) == ML_DEC_DONE);
		CHECK(what(&u, p) == 2 && !nor.fault);
	}
	/* right but for the digest of the target */
	t = *s;
	t.head.target = t.base;
	put_header(&b, &t.head, 0);
	for (i = 0; i < b.n; i++) /* the old header's length is the same */
		if (i >= b.n - 4 || memcmp(b.p, t.patch.p, 8) != 0)
			break;
	put_header(&b, &t.head, s->patch.n - b.n);
	put(&b, s->patch.p + b.n, s->patch.n - b.n);
	reset();
	CHECK(update(&u, b.p, b.n, 128) == ML_UPD_EVERIFY);
	CHECK(boot(&u) == ML_DEC_DONE && what(&u, p) == 1);
}

/* A device with a key built in asks for a signature of the header, which has
 * the digest of the target, before it erases anything. */
static struct ml_pubkey trusted;

static int signed_by(void *ctx, const struct ml_hdr *h, const uint8_t *p)
{
	struct ml_diag diag;

	CHECK(ctx == &nor);
	return ml_verify_header(h, p, &trusted, 1, 0, &diag) ? ML_UPD_ESIGN : 0;
}

/* Puts the right CRC-32 on all records whose frames are whole. */
static void seal_records(uint8_t *p, size_t n, size_t at)
{
	size_t start, len, i, s;

	while (at < n) {
		start = at++;
		for (i = 0; i < 2; i++)
			for (len = s = 0; at < n && s < 63; s += 7) {
				len |= (size_t)(p[at] & 127) << s;
				if (!(p[at++] & 128))
					break;
			}
		if (n - at < 4 || len > n - at - 4)
			return;
		at += len;
		ml_store32(p + at, ml_crc32(0, p + start, at - start));
		at += 4;
	}
}

/* A signed patch, each bit of it flipped, with right checksums and without:
 * what is in the header is refused before anything is erased, and a body never
 * makes another model than the one that was signed (a note is free to lie). */
static void signed_damage(const struct pair *p, const uint8_t *good, size_t n)
{
	static uint8_t bad[4096];
	const size_t head = 8u + (good[7] & 127) + 4 +
		(good[7] & 128 ? 1u + (unsigned)(good[8] << 7) : 0);
	size_t i, sealed, right = 0;
	int r;

	for (i = 0; i < 16 * n; i++) {
		sealed = i / 8 / n;
		reset();
		memcpy(bad, good, n);
		bad[i / 8 % n] ^= (uint8_t)(1u << i % 8);
		if (sealed && i / 8 % n < head) {
			if (i / 8 % n >= head - 4)
				continue;
			ml_store32(bad + head - 4,
				ml_crc32(0, bad, head - 4));
		} else if (sealed) {
			seal_records(bad, n, head);
		}
		if (!memcmp(bad, good, n)) /* a checksum, put right again */
			continue;
		r = update(&u, bad, n, 128);
		/* MORE: a longer header, or body, and no more bytes */
		CHECK(r < 0 || r == ML_DEC_MORE ||
			(r == ML_DEC_DONE && sealed && i / 8 % n >= head));
		CHECK(i / 8 % n >= head || !nor.ops);
		CHECK(boot(&u) == ML_DEC_DONE &&
			what(&u, p) == (r == ML_DEC_DONE ? 2 : 1));
		right += r == ML_DEC_DONE;
	}
	CHECK(right < 8 * 60);
	printf("# signed patch of %zu bytes, each bit flipped, with right "
		"checksums and without: %zu make the signed model all the "
		"same, all others nothing\n", n, right);
}

static void signatures(const struct pair *p)
{
	static uint8_t buf[4096];
	uint32_t ops;
	struct ml_seckey key = { .id = "a key id" };
	struct ml_src *src;
	struct ml_diag diag;
	uint64_t off = 0;
	size_t n = 0;
	FILE *f = tmpfile();

	CHECK(!crypto_sign_keypair(trusted.key, key.key));
	memcpy(trusted.id, key.id, sizeof(key.id));
	CHECK(!ml_src_spool(&src, &diag) &&
		!ml_src_append(src, p->patch, p->npatch, &diag));
	CHECK(f && !ml_sign_patch(src, &off, &key, f, &diag));
	if (f) {
		rewind(f);
		n = fread(buf, 1, sizeof(buf), f);
		fclose(f);
	}
	ml_src_free(src);
	configure(TWO);
	conf.accept = signed_by;
	make(p->old, p->nold, 3);
	reset();
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_UPD_ESIGN);
	CHECK(!nor.ops);
	trusted.key[5] ^= 1;
	CHECK(update(&u, buf, n, 128) == ML_UPD_ESIGN && !nor.ops);
	trusted.key[5] ^= 1;
	signed_damage(p, buf, n);
	/* cut short: another patch does not go on with it, and is asked for */
	reset();
	CHECK(update(&u, buf, n - 9, 128) == ML_DEC_MORE && nor.ops);
	ops = nor.ops;
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_UPD_ESIGN);
	CHECK(nor.ops == ops && boot(&u) == ML_DEC_DONE && what(&u, p) == 1);
	CHECK(update(&u, buf, n, 128) == ML_DEC_DONE && what(&u, p) == 2);
	/* older than what is in use, signed or not */
	make(p->old, p->nold, 301);
	reset();
	CHECK(update(&u, buf, n, 128) == ML_UPD_EOLD);
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_UPD_EOLD && !nor.ops);
	CHECK(boot(&u) == ML_DEC_DONE && what(&u, p) == 1);
}

/* A new slot that does not verify at boot is not used. */
static void rolls_back(const struct pair *p)
{

	make(p->old, p->nold, 3);
	reset();
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_DEC_DONE);
	mem[SLOT + 3] ^= 4;
	CHECK(boot(&u) == ML_DEC_DONE && what(&u, p) == 1 && u.slot == 0);
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_DEC_DONE);
	CHECK(what(&u, p) == 2 && u.slot == 1);
	mem[SLOT + 3] ^= 4;
	mem[3] ^= 4;
	CHECK(boot(&u) == ML_UPD_ENONE);
	CHECK(update(&u, p->patch, p->npatch, 128) == ML_UPD_EBASE);
}

/* The first model of an empty flash needs no base. */
static void first(void)
{
	static struct bytes code, body, b;
	struct head h = { .version = 1, .cls = 1 };

	configure(TWO);
	put_lit(&code, "a model", 7);
	put_record(&body, 0, 7, &code);
	h.target = (const uint8_t *)"a model";
	h.ntarget = h.target_size = 7;
	put_header(&b, &h, body.n);
	put(&b, body.p, body.n);
	memset(mem, 0xff, sizeof(mem));
	ml_nor_init(&nor, mem, FLASH, BLOCK, 8, wear);
	CHECK(boot(&u) == ML_UPD_ENONE);
	CHECK(update(&u, b.p, b.n, 128) == ML_DEC_DONE);
	CHECK(boot(&u) == ML_DEC_DONE && u.slot == 0 && u.size == 7);
	CHECK(!memcmp(mem, "a model", 7));
	CHECK(update(&u, b.p, b.n, 128) == ML_DEC_DONE && u.slot == 1);
	CHECK(update(&u, b.p, b.n, 128) == ML_DEC_DONE && u.slot == 0);
	CHECK(u.seq == 3 && !nor.fault);
}

static void digests(void)
{
	static uint8_t p[300];
	struct ml_sha s;
	uint8_t want[32];
	size_t n, k;

	for (n = 0; n < sizeof(p); n++) {
		p[n] = (uint8_t)(n * n);
		sha256(p, n, want);
		ml_sha_init(&s);
		for (k = 0; k < n; k += 1 + k % 9)
			ml_sha_update(&s, p + k,
				n - k < 1 + k % 9 ? n - k : 1 + k % 9);
		CHECK(!memcmp(ml_sha_final(&s), want, 32));
	}
}

static uint8_t *load(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = NULL;
	struct stat st;

	*n = 0;
	if (f && !fstat(fileno(f), &st) && (p = malloc((size_t)st.st_size + 1)))
		*n = fread(p, 1, (size_t)st.st_size, f);
	if (f)
		fclose(f);
	return p;
}

static const char *env(const char *name, const char *none)
{
	return getenv(name) ? getenv(name) : none;
}

/* A pair of files, by a patch of ml-diff with these options. */
static int diff(struct pair *p, const char *old, const char *new,
	const char *options)
{
	char cmd[8192], out[256];

	snprintf(out, sizeof(out), "%s/update.%d", env("TMPDIR", "/tmp"),
		(int)getpid());
	snprintf(cmd, sizeof(cmd), "'%s/ml-diff' -q -r 3 %s -o '%s' '%s' '%s'",
		env("BIN", "build/bin"), options, out, old, new);
	CHECK(!system(cmd));
	p->old = load(old, &p->nold);
	p->new = load(new, &p->nnew);
	p->patch = load(out, &p->npatch);
	remove(out);
	CHECK(p->nold && p->nnew && p->npatch);
	return p->nold && p->nnew && p->npatch;
}

static void undiff(struct pair *p)
{
	free((void *)(uintptr_t)p->old);
	free((void *)(uintptr_t)p->new);
	free((void *)(uintptr_t)p->patch);
}

static void real(const char *old, const char *new, const char *name)
{
	struct pair p;

	if (diff(&p, old, new, "-c nano"))
		every(&p, name, TWO);
	undiff(&p);
	if (diff(&p, old, new, "-c nano --in-place 4096")) {
		every(&p, name, PLACE1);
		every(&p, name, PLACE2);
		every(&p, name, SELDOM); /* it may also go to another slot */
	}
	undiff(&p);
	/* what was not made for it is refused, before anything is erased */
	if (diff(&p, old, new, "-c nano --in-place 8192")) {
	
		configure(PLACE1);
		make(p.old, p.nold, 3);
		reset();
		CHECK(update(&u, p.patch, p.npatch, 128) == ML_UPD_EPLACE);
		CHECK(!nor.ops);
	}
	undiff(&p);
}

static void save(const char *path, const uint8_t *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	CHECK(f && fwrite(p, 1, n, f) == n);
	if (f)
		fclose(f);
}

/* Random bytes; the new ones have more before them and some changed, so that
 * in place the old ones have to be moved up. */
static void moved(void)
{
	static uint8_t old[30000], new[31700];
	char a[256], b[256];
	struct pair p;
	uint32_t x = 1;
	size_t i;

	for (i = 0; i < sizeof(new); i++) {
		x = x * 1664525 + 1013904223;
		new[i] = (uint8_t)(x >> 24);
	}
	memcpy(old, new + 1700, sizeof(old));
	for (i = 0; i < sizeof(new); i += 997)
		new[i] ^= 0x55;
	snprintf(a, sizeof(a), "%s/old.%d", env("TMPDIR", "/tmp"),
		(int)getpid());
	snprintf(b, sizeof(b), "%s/new.%d", env("TMPDIR", "/tmp"),
		(int)getpid());
	save(a, old, sizeof(old));
	save(b, new, sizeof(new));
	real(a, b, "moved");
	if (diff(&p, a, b, "-c nano --in-place 4096")) {
		CHECK(p.npatch < 3000); /* or it would not move */
		wrong_place(&p);
	}
	undiff(&p);
	remove(a);
	remove(b);
}

int main(void)
{
	static const char *const name[] = { "tfm-hello-world",
		"tfm-micro-speech" };
	static struct small s;
	struct pair p;
	char old[2048], new[2048];
	unsigned i;

	digests();
	small_make(&s);
	p.old = s.base;
	p.nold = SMALL_BASE;
	p.new = s.target.p;
	p.nnew = s.target.n;
	p.patch = s.patch.p;
	p.npatch = s.patch.n;
	every(&p, "small", TWO);
	every(&p, "small", BARE);
	wrong_order(&p);
	refusals(&s, &p);
	rolls_back(&p);
	signatures(&p);
	first();
	moved();
	for (i = 0; i < 2; i++) {
		snprintf(old, sizeof(old), "%s/%s/old.tflite",
			env("MODELS", ""), name[i]);
		snprintf(new, sizeof(new), "%s/%s/new.tflite",
			env("MODELS", ""), name[i]);
		if (access(old, R_OK)) {
			printf("ok %s # skip not in MODELS\n", name[i]);
			continue;
		}
		real(old, new, name[i]);
	}
	return 0;
}
