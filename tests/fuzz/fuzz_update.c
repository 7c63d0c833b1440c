/* SPDX-License-Identifier: MIT */
/*
 * The updater on flash that behaves like flash, fed what is hostile, in slices,
 * while power fails twice. Whatever comes: what boots is the old model, or one
 * that has the digest that an accepted header tells; in place there may be
 * none once erasing began; and then a right patch is still taken.
 *
 * Five bytes before the patch: how it is divided (bits 0 and 1), whether the
 * header is the one that is trusted and only the body is hostile (bit 2), torn
 * (bit 3); of what length the slices are; at which operation power fails for
 * the first time (two bytes, 0: never); and for the second.
 */
#include "../unit/patch.h"
#include "flash/nor.h"
#include "fuzz.h"
#include "update.h"

enum { BLOCK = sizeof(struct ml_upd) > 2048 ? 4096 : 2048,
	SLOT = 6 * 2048 / BLOCK * BLOCK, MARKS = 2 * SLOT,
	JOURNAL = MARKS + 2 * BLOCK, SPARE = JOURNAL + 3 * BLOCK,
	FLASH = SPARE + 2 * BLOCK, BODY = 300, WINDOW = 64 };

_Static_assert(sizeof(struct ml_upd) <= BLOCK, "a record fits a block");

static uint8_t mem[FLASH], base[FUZZ_BASE];
static uint32_t wear[FLASH / BLOCK];
static struct ml_nor nor;

/* The last header that was accepted; the one that is trusted, or NULL. */
static uint8_t sha[32];
static uint32_t size_of;
static int accepted;
static const struct bytes *trusted;

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

static int on_accept(void *ctx, const struct ml_hdr *h, const uint8_t *p)
{
	MUST(ctx == &nor && h->len <= ML_HDR_MAX && !nor.dead);
	if (trusted && (h->len > trusted->n || memcmp(p, trusted->p, h->len)))
		return ML_UPD_ESIGN;
	memcpy(sha, h->target_sha, 32);
	size_of = (uint32_t)h->target_size;
	MUST(size_of == h->target_size && size_of <= SLOT);
	accepted = 1;
	return 0;
}

#define COMMON on_read, on_erase, on_program, on_accept, &nor, BLOCK, SLOT
static const struct ml_upd_conf confs[4] = {
	{ COMMON, { 0, SLOT }, { MARKS, MARKS + BLOCK }, JOURNAL, 3 * BLOCK,
		BLOCK, 0, 0 },
	{ COMMON, { 0, SLOT }, { MARKS, MARKS + BLOCK }, 0, 0, 0, 0, 0 },
	{ COMMON, { 0, 0 }, { MARKS, MARKS + BLOCK }, JOURNAL, 2 * BLOCK, 0,
		SPARE, 1 },
	{ COMMON, { 0, 0 }, { MARKS, MARKS + BLOCK }, JOURNAL, 3 * BLOCK, 0,
		SPARE, 2 },
};
static const struct ml_upd_conf *conf;
static struct ml_upd u;

static void factory(void)
{
	uint8_t *m = mem + MARKS + BLOCK;

	fuzz_base(base);
	memset(mem, 0xff, sizeof(mem));
	memcpy(mem, base, FUZZ_BASE);
	memset(m, 0, ML_MARK_BODY);
	ml_store32(m, ML_MARK_MAGIC);
	ml_store32(m + 4, 7);
	ml_store32(m + 12, FUZZ_BASE);
	ml_store32(m + 16, 3);
	sha256(base, FUZZ_BASE, m + ML_MARK_SHA);
	ml_store32(m + 64, ml_crc32(0, m, 64));
	ml_store32(m + 68, ~ml_crc32(0, m, 64));
	ml_nor_init(&nor, mem, FLASH, BLOCK, 8, wear);
	accepted = 0;
}

/* A right patch of BODY bytes: for the base, or (alone) for nothing. */
static void good(struct bytes *b, struct bytes *target, int alone, int place)
{
	static const uint8_t ext[] = {ML_EXT_PAGE, 2, 10, 0};
	static struct bytes code, body;
	struct head h = {.version = 1, .cls = 1, .flags = 1};
	uint8_t text[BODY];
	size_t n = BODY;

	/* the target: text and what follows it in the base */
	memset(text, alone ? 'a' : 't', sizeof(text));
	do {
		body.n = code.n = target->n = 0;
		put_lit(&code, text, --n);
		put(target, text, n);
		if (!alone) {
			put_op(&code, 1, FUZZ_BASE - n, n);
			put(target, base + n, FUZZ_BASE - n);
		}
		put_record(&body, 0, target->n, &code);
	} while (body.n > BODY);
	MUST(body.n == BODY);
	h.release = 0xffff0000;
	h.base_size = FUZZ_BASE;
	h.window = WINDOW;
	h.base = base;
	h.nbase = FUZZ_BASE;
	if (alone) {
		h.flags = 0;
	} else if (place) {
		h.flags = 3;
		h.ext = ext;
		h.next = sizeof(ext);
	}
	h.target = target->p;
	h.ntarget = h.target_size = target->n;
	put_header(b, &h, body.n);
	put(b, body.p, body.n);
}

static int boot(void)
{
	int r;

	ml_upd_init(&u, conf);
	do {
		r = ml_upd_boot(&u);
	} while (r == ML_DEC_AGAIN);
	return r;
}

/* Feeds p[at..n). */
static int feed(const uint8_t *p, size_t at, size_t n, size_t slice)
{
	unsigned long turns = 0;
	size_t k, used;
	int r;

	do {
		k = n - at < slice ? n - at : slice;
		r = ml_upd_feed(&u, p + at, k, &used);
		MUST(used <= k && ++turns < 200000);
		at += used;
	} while (r == ML_DEC_AGAIN || (r == ML_DEC_MORE && at < n));
	return r;
}

static int is(const void *p, size_t n)
{
	return u.size == n && !memcmp(mem + conf->slot[u.slot], p, n);
}

/* What there is after power came back. 0: no model; 1: the old one; 2: one
 * that was accepted. */
static int judge(int r)
{
	uint8_t mine[32];
	uint32_t i, erased = 0;

	MUST(!nor.fault);
	if (r == ML_DEC_DONE) {
		if (is(base, FUZZ_BASE))
			return 1;
		sha256(mem + conf->slot[u.slot], u.size, mine);
		MUST(accepted && u.size == size_of && !memcmp(mine, sha, 32));
		return 2;
	}
	for (i = 0; i < SLOT / BLOCK; i++)
		erased += wear[i];
	MUST(r == ML_UPD_ENONE || (r == ML_UPD_EHALF && u.taken));
	MUST(conf->nspare && accepted && (erased > 0 || nor.ops > 0));
	return 0;
}

static void attack(const uint8_t *d, const uint8_t *p, size_t n)
{
	const enum ml_nor_cut how = d[0] & 8 ? ML_NOR_TORN : ML_NOR_WHOLE;
	const size_t slice = 1 + d[1] % 200;
	int r;

	nor.seed = d[1];
	ml_nor_power(&nor, ml_load16(d + 2), how);
	r = boot();
	if (r == ML_DEC_DONE)
		r = feed(p, 0, n, slice);
	MUST(r != ML_DEC_DONE || judge(r));
	ml_nor_power(&nor, 0, how);
	r = boot();
	(void)judge(r);
	if (r == ML_DEC_DONE && is(base, FUZZ_BASE) && !u.taken && d[4] & 1)
		return;
	ml_nor_power(&nor, d[4], how);
	/* it goes on, or from the begin */
	if (u.taken && d[4] & 2 && u.taken <= n && !ml_upd_resume(&u))
		(void)feed(p, u.taken, n, slice);
	else
		(void)feed(p, 0, n, slice);
	ml_nor_power(&nor, 0, how);
	(void)judge(boot());
}

/* The machine is not lost. What a hostile body left in the journal may spoil
 * one more try, of a patch with the same header. */
static void rescue(int place)
{
	static struct bytes patch, target;
	int r = boot(), what = judge(r), poisoned = u.taken > 0;

	trusted = NULL;
	good(&patch, &target, what != 1, place);
	r = feed(patch.p, 0, patch.n, 64);
	if (r < 0 && poisoned) {
		what = judge(boot());
		good(&patch, &target, what != 1, place);
		r = feed(patch.p, 0, patch.n, 64);
	}
	if (r == ML_UPD_EOLD) { /* it has the highest release there is */
		MUST(what == 2 && u.release > 0xffff0000);
		return;
	}
	MUST(r == ML_DEC_DONE && is(target.p, target.n) && !nor.fault);
	MUST(boot() == ML_DEC_DONE && is(target.p, target.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes patch, target;
	uint8_t *p;
	size_t n;

	if (size < 5)
		return 0;
	conf = &confs[data[0] & 3];
	factory();
	trusted = NULL;
	if (data[0] & 4) {
		/* the header of a right patch, and no body of its own */
		good(&patch, &target, 0, conf->nspare != 0);
		n = patch.n - BODY;
		patch.n = n;
		p = malloc(n + size - 5 + 1);
		MUST(p != NULL);
		memcpy(p, patch.p, n);
		memcpy(p + n, data + 5, size - 5);
		n += size - 5;
		trusted = &patch;
	} else {
		n = size - 5;
		p = fuzz_copy(data + 5, n);
	}
	fuzz_mend_patch(p, n);
	attack(data, p, n);
	rescue(conf->nspare != 0);
	free(p);
	return 0;
}
