/* SPDX-License-Identifier: MIT */
/*
 * Updates in place of a device that may be sent anything: what it promises when
 * the patch waits in flash until it is proven, and what is lost when there is
 * no room for that. Takes BIN, the folder of the programs.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "flash/nor.h"
#include "ml.h"
#include "stage.h"
#include "test.h"

enum { BLOCK = 4096, SLOT = 7 * BLOCK, MARKS = SLOT, JOURNAL = MARKS + 2 *
	BLOCK, SPARE = JOURNAL + 2 * BLOCK, STAGE = SPARE + BLOCK,
	ROOM = 2 * BLOCK, FLASH = STAGE + ROOM, MODEL = 20000,
	CAP = 8 * BLOCK };

static uint8_t mem[FLASH], factory[FLASH], old[MODEL], new[MODEL];
static struct ml_nor nor;
static struct ml_upd u; /* what is in the journal is of one place in memory */
static struct ml_stage s;
static struct ml_pubkey trusted;

static int on_read(void *ctx, uint32_t off, void *dst, uint32_t n)
{
	return ml_nor_read(ctx, off, dst, n);
}

static int on_erase(void *ctx, uint32_t off)
{
	return ml_nor_erase(ctx, off);
}

static int on_program(void *ctx, uint32_t off, const void *src, uint32_t n)
{
	return ml_nor_program(ctx, off, src, n);
}

static int signed_by(void *ctx, const struct ml_hdr *h, const uint8_t *p)
{
	struct ml_diag diag;

	(void)ctx;
	return ml_verify_header(h, p, &trusted, 1, 0, &diag) ? ML_UPD_ESIGN : 0;
}

static struct ml_upd_conf conf = { on_read, on_erase, on_program, signed_by,
	&nor, BLOCK, SLOT, { 0, 0 }, { MARKS, MARKS + BLOCK }, JOURNAL,
	2 * BLOCK, 0, SPARE, 1 };

struct patch {
	uint8_t p[CAP];
	size_t n, head; /* of the header */
};

static void parse(struct patch *p)
{
	struct ml_hdr h;

	memset(p->p + p->n, 0, CAP - p->n); /* as a line pads it */
	p->head = ml_hdr_parse(p->p, p->n, &h) > 0 ? h.len : 0;
	CHECK(p->head > 0);
}

static void sha256(const void *p, size_t n, uint8_t out[32])
{
	struct ml_sha m;

	ml_sha_init(&m);
	ml_sha_update(&m, p, n);
	memcpy(out, ml_sha_final(&m), 32);
}

static void reset(void)
{
	uint8_t *m = factory + MARKS;

	memset(factory, 0xff, sizeof(factory));
	memcpy(factory, old, MODEL);
	memset(m, 0, ML_MARK_BODY);
	ml_store32(m, ML_MARK_MAGIC);
	ml_store32(m + 4, 1);
	ml_store32(m + 12, MODEL);
	sha256(old, MODEL, m + ML_MARK_SHA);
	ml_store32(m + 64, ml_crc32(0, m, 64));
	ml_store32(m + 68, ~ml_crc32(0, m, 64));
	memcpy(mem, factory, sizeof(mem));
	ml_nor_init(&nor, mem, FLASH, BLOCK, 8, NULL);
}

static int boot(void)
{
	int r;

	ml_upd_init(&u, &conf);
	do
		r = ml_upd_boot(&u);
	while (r == ML_DEC_AGAIN);
	return r;
}

/* Boots; takes a patch unless one is half applied; proves and applies it. */
static int staged(const struct patch *p)
{
	size_t at;
	int r = boot();

	if (r != ML_DEC_DONE && r != ML_UPD_EHALF)
		return r;
	ml_stage_init(&s, &u, STAGE, ROOM);
	for (r = 0, at = 0; !u.taken && !r && at < p->n; at += 128)
		r = ml_stage_put(&s, p->p + at, 128);
	if (r)
		return r;
	ml_stage_init(&s, &u, STAGE, ROOM);
	do
		r = ml_stage_check(&s);
	while (r == ML_DEC_AGAIN);
	if (r != ML_DEC_DONE)
		return r;
	do
		r = ml_stage_apply(&s);
	while (r == ML_DEC_AGAIN);
	return r;
}

/* Boots and takes it as it comes. */
static int direct(const struct patch *p)
{
	size_t at = 0, used;
	int r;

	boot();
	do {
		r = ml_upd_feed(&u, p->p + at, p->n - at, &used);
		at += used;
	} while (r == ML_DEC_AGAIN || (r == ML_DEC_MORE && at < p->n));
	return r;
}

static int runs(const uint8_t *model)
{
	return boot() == ML_DEC_DONE && u.size == MODEL &&
		!memcmp(mem, model, MODEL);
}

/* Nothing but the place for the patch was touched. */
static int untouched(void)
{
	return !memcmp(mem, factory, STAGE) && !nor.fault;
}

/* The right CRC-32 for all records whose frames are whole. */
static void seal(uint8_t *p, size_t n, size_t at)
{
	size_t start, len, i, k;

	while (at < n) {
		start = at++;
		for (i = 0; i < 2; i++)
			for (len = k = 0; at < n && k < 63; k += 7) {
				len |= (size_t)(p[at] & 127) << k;
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

/* Each bit flipped, with right checksums; each length: the old model stays. */
static void damage(const struct patch *good)
{
	static struct patch bad;
	size_t i, flips = 0, cut;
	int r;

	for (i = 0; i < 8 * good->n; i++) {
		bad = *good;
		bad.p[i / 8] ^= (uint8_t)(1u << i % 8);
		if (i / 8 >= bad.head)
			seal(bad.p, bad.n, bad.head);
		else if (i / 8 < bad.head - 4)
			ml_store32(bad.p + bad.head - 4,
				ml_crc32(0, bad.p, bad.head - 4));
		if (!memcmp(bad.p, good->p, bad.n))
			continue; /* a checksum, put right again */
		flips++;
		reset();
		r = staged(&bad);
		CHECK(r < 0 && (i / 8 < bad.head || r == ML_UPD_EVERIFY));
		CHECK(untouched());
	}
	CHECK(runs(old));
	for (cut = 0; cut < good->n; cut++) {
		bad = *good;
		memset(bad.p + cut, 0xff, CAP - cut);
		reset();
		CHECK(staged(&bad) < 0 && untouched());
	}
	CHECK(runs(old));
	printf("# signed patch in place, %zu bytes: %zu flips with right "
		"checksums, %zu lengths refused, the old model untouched\n",
		good->n, flips, cut);
}

static void cuts(const struct patch *p)
{
	unsigned long n, half = 0;
	unsigned how;
	int r;

	for (how = ML_NOR_WHOLE; how <= ML_NOR_TORN; how++)
		for (n = 1;; n++) {
			reset();
			nor.seed = (uint32_t)n * 2654435761u;
			ml_nor_power(&nor, (uint32_t)n,
				(enum ml_nor_cut)how);
			r = staged(p);
			if (!nor.dead)
				break;
			CHECK(r == ML_UPD_EFLASH || r == ML_DEC_EIO);
			ml_nor_power(&nor, 0, ML_NOR_WHOLE);
			r = boot();
			half += r == ML_UPD_EHALF;
			CHECK(r == ML_UPD_EHALF || (r == ML_DEC_DONE &&
				(runs(old) || runs(new))));
			/* what is there is all that is needed */
			if (r == ML_UPD_EHALF) {
				static const struct patch none;

				CHECK(ml_stage_put((ml_stage_init(&s, &u,
					STAGE, ROOM), &s), p->p, 128) ==
					ML_UPD_EHALF);
				r = staged(&none);
			} else {
				r = runs(new) ? ML_DEC_DONE : staged(p);
			}
			CHECK(r == ML_DEC_DONE && runs(new) && !nor.fault);
		}
	CHECK(r == ML_DEC_DONE && runs(new) && half > 20);
	printf("# staged: power cut at %lu operations, whole and torn; %lu times it "
		"went on from the flash alone\n", n - 1, half);
}

/* Without room for the patch: what is lost, and what is not. */
static void unstaged(const struct patch *good, const struct patch *fresh)
{
	static struct patch bad;
	size_t i, lost = 0, kept = 0, same = 0;
	int r;

	for (i = good->head; i < good->n; i += 7) {
		bad = *good;
		bad.p[i] ^= 0x11;
		seal(bad.p, bad.n, bad.head);
		if (!memcmp(bad.p, good->p, bad.n))
			continue;
		reset();
		r = direct(&bad);
		/* the signed model, the old one, or none; never another */
		if (boot() == ML_DEC_DONE) {
			CHECK(runs(r == ML_DEC_DONE ? new : old));
			same += r == ML_DEC_DONE;
			kept += r != ML_DEC_DONE;
		} else {
			CHECK(r != ML_DEC_DONE);
			lost++;
		}
		/* and what needs no base, signed, brings a model again */
		CHECK(direct(fresh) == ML_DEC_DONE && runs(new));
	}
	CHECK(lost > 0);
	/* a header that was not signed loses nothing */
	bad = *good;
	bad.p[bad.head - 8] ^= 1;
	ml_store32(bad.p + bad.head - 4, ml_crc32(0, bad.p, bad.head - 4));
	reset();
	CHECK(direct(&bad) == ML_UPD_ESIGN && !nor.ops && runs(old));
	printf("# not staged: of %zu bodies that were not signed, under a "
		"header that was, %zu took the old model away, %zu made the "
		"signed one\n", lost + kept + same, lost, same);
}

static const char *env(const char *name, const char *none)
{
	return getenv(name) ? getenv(name) : none;
}

static void save(const char *path, const uint8_t *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	CHECK(f && fwrite(p, 1, n, f) == n);
	if (f)
		fclose(f);
}

static void sign(struct patch *p, const struct ml_seckey *key)
{
	FILE *f = tmpfile();
	struct ml_src *src;
	struct ml_diag diag;
	uint64_t off = 0;

	CHECK(!ml_src_spool(&src, &diag) &&
		!ml_src_append(src, p->p, p->n, &diag));
	CHECK(f && !ml_sign_patch(src, &off, key, f, &diag));
	if (f) {
		rewind(f);
		p->n = fread(p->p, 1, CAP, f);
		fclose(f);
	}
	ml_src_free(src);
	parse(p);
}

/* What a command of the shell writes. */
static void made(struct patch *p, const char *dir, const char *words)
{
	char cmd[4096];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "PATH=$(cd '%s' && pwd):$PATH; cd '%s' && %s",
		env("BIN", "build/bin"), dir, words);
	f = popen(cmd, "r");
	p->n = f ? fread(p->p, 1, CAP, f) : 0;
	CHECK(f && !pclose(f) && p->n > 0);
	parse(p);
}

int main(void)
{
	static struct patch plain, good, other, fresh;
	struct ml_seckey key = { .id = "a key id" };
	char dir[1024], path[1100];
	uint32_t x = 1;
	size_t i;

	/* what changed is little, so that all of a patch can be damaged */
	for (i = 0; i < MODEL; i++) {
		x = x * 1664525 + 1013904223;
		new[i] = old[i] = (uint8_t)(x >> 24);
	}
	for (i = 100; i < MODEL; i += 1500)
		memset(new + i, (int)i, 8);
	snprintf(dir, sizeof(dir), "%s/stage.XXXXXX", env("TMPDIR", "/tmp"));
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/old", dir);
	save(path, old, MODEL);
	snprintf(path, sizeof(path), "%s/new", dir);
	save(path, new, MODEL);
	made(&plain, dir, "ml-diff -q -c nano --in-place 4096 old new");
	made(&other, dir, "head -c 9000 new >part; tail -c +9001 old >>part; "
		"ml-diff -q -c nano --in-place 4096 old part; rm part");
	made(&fresh, dir, "ml-split -q new | ml-zipnn -c nano | ml-pack -L; "
		"rm old new");
	CHECK(!rmdir(dir));
	CHECK(!crypto_sign_keypair(trusted.key, key.key));
	memcpy(trusted.id, key.id, sizeof(key.id));
	good = plain;
	sign(&good, &key);
	sign(&other, &key);
	sign(&fresh, &key);

	reset();
	CHECK(runs(old));
	CHECK(staged(&good) == ML_DEC_DONE && runs(new) && !nor.fault);
	reset();
	CHECK(staged(&plain) == ML_UPD_ESIGN && untouched());
	trusted.key[5] ^= 1;
	CHECK(staged(&good) == ML_UPD_ESIGN && untouched());
	trusted.key[5] ^= 1;
	/* the body of another signed patch */
	memmove(other.p + good.head, other.p + other.head,
		other.n - other.head);
	memcpy(other.p, good.p, good.head);
	other.n = other.n - other.head + good.head;
	CHECK(staged(&other) == ML_UPD_EVERIFY && untouched());
	/* no room: the header tells, and it may not be left out */
	CHECK(staged(&fresh) == ML_UPD_ESIZE && untouched() && runs(old));
	conf.accept = NULL;
	CHECK(staged(&plain) == ML_UPD_ESIGN && untouched() && runs(old));
	conf.accept = signed_by;
	damage(&good);
	cuts(&good);
	unstaged(&good, &fresh);
	return 0;
}
