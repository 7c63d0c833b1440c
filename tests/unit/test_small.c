/* SPDX-License-Identifier: MIT */
/* The decoder as a microcontroller has it: class nano, offsets of 32 bits, and
 * casts. Golden patches, in bytes and whole, in buffers of all sizes, with
 * callbacks that do little or nothing. */
#define ML_DEC_CLASS 1
#define ML_DEC_OFF32
#define ML_DEC_CASTS 1
/* not those of the library */
#define ml_dec_init small_init
#define ml_dec_feed small_feed
#define ml_dec_arena small_arena
#define ml_dec_crc32 small_crc32
#define ml_hdr_parse small_parse
#include "../../embedded/mldec.c"

#include <stdio.h>
#include <stdlib.h>

#include "test.h"

#define FILE_MAX 20000

struct data {
	size_t n;
	uint8_t p[FILE_MAX];
};

static struct data patch, base, target;

static struct {
	struct data made;
	unsigned turn; /* 0: callbacks do all at once */
} world;

static unsigned some(unsigned n)
{
	if (!world.turn)
		return n;
	world.turn = world.turn * 1103515245u + 12345u;
	switch (world.turn >> 16 & 3) {
	case 0: return 0;
	case 1: return 1;
	case 2: return n < 3 ? n : 3;
	default: return n;
	}
}

static int on_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	(void)ctx;
	CHECK(n > 0 && off < base.n && n <= base.n - off);
	n = some(n);
	memcpy(dst, base.p + off, n);
	return (int)n;
}

static int on_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	(void)ctx;
	CHECK(n > 0 && off < world.made.n && n <= world.made.n - off);
	n = some(n);
	memcpy(dst, world.made.p + off, n);
	return (int)n;
}

static int on_write(void *ctx, const uint8_t *src, unsigned n)
{
	(void)ctx;
	n = some(n);
	if (n > FILE_MAX - world.made.n)
		return -1;
	memcpy(world.made.p + world.made.n, src, n);
	world.made.n += n;
	return (int)n;
}

/* Bytes in hex behind `key: `. */
static void get(struct data *d, const char *text, const char *key)
{
	const char *p = strstr(text, key);
	unsigned v;

	d->n = 0;
	CHECK(p != NULL);
	if (!p)
		return;
	for (p += strlen(key); d->n < FILE_MAX && sscanf(p, "%2x", &v) == 1 &&
		*p != '\n'; p += 2)
		d->p[d->n++] = (uint8_t)v;
}

static void load(const char *name)
{
	static char text[8 * FILE_MAX];
	char path[128];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof path, "tests/vectors/good/range-%s-nano.hex",
		name);
	f = fopen(path, "r");
	CHECK(f != NULL);
	if (f) {
		n = fread(text, 1, sizeof text - 1, f);
		fclose(f);
	}
	text[n] = 0;
	get(&patch, text, "\npatch: ");
	get(&base, text, "\nbase: ");
	get(&target, text, "\ntarget: ");
}

/* Returns the last status. */
static int drive(size_t chunk, size_t nbuf, unsigned mood)
{
	static uint16_t arena[ML_ARENA_NANO / 2];
	const struct ml_dec_io io = { NULL, on_base, on_target, on_write };
	uint8_t *buf = malloc(nbuf), *in;
	unsigned long turns = 0;
	struct ml_dec d;
	size_t at = 0, k, used;
	int r;

	if (!buf)
		abort();
	world.made.n = 0;
	world.turn = mood;
	ml_dec_init(&d, &io, arena, sizeof arena, buf, nbuf);
	do {
		k = patch.n - at < chunk ? patch.n - at : chunk;
		in = malloc(k ? k : 1); /* so that reading on is seen */
		if (!in)
			abort();
		memcpy(in, patch.p + at, k);
		r = ml_dec_feed(&d, in, k, &used);
		free(in);
		at += used;
		CHECK(used <= k && ++turns < 2000000);
	} while (r >= 0 && r != ML_DEC_DONE && turns < 2000000 &&
		(r != ML_DEC_MORE || at < patch.n));
	free(buf);
	return r;
}

static void whole(const char *name)
{
	static const size_t chunks[] = { 1, 31, 33, FILE_MAX };
	size_t i, nbuf;

	load(name);
	for (i = 0; i < sizeof chunks / sizeof *chunks; i++)
		for (nbuf = ML_DEC_BUF_MIN; nbuf < 4096;
			nbuf += nbuf < 48 ? 1 : nbuf) {
			CHECK(drive(chunks[i], nbuf, (unsigned)(nbuf * i)) ==
				ML_DEC_DONE);
			CHECK(world.made.n == target.n && !memcmp(
				world.made.p, target.p, target.n));
		}
}

/* The CRC-32 of the only record made right: what is wrong inside it must do
 * no harm. */
static void hostile(const char *name)
{
	struct ml_hdr h;
	unsigned seed = 1, i, k;
	uint32_t crc;
	uint8_t was[4], *p;
	size_t at[4];

	load(name);
	CHECK(ml_hdr_parse(patch.p, patch.n, &h) > 0);
	CHECK(h.body_len == patch.n - h.len);
	for (i = 0; i < 3000; i++) {
		for (k = 0; k < 4; k++) {
			seed = seed * 1664525u + 1013904223u;
			at[k] = h.len + 6u + (seed >> 8) % (patch.n - h.len -
				10);
			was[k] = patch.p[at[k]];
			if (k <= i % 4)
				patch.p[at[k]] = (uint8_t)(seed >> 24);
		}
		crc = ml_dec_crc32(0, patch.p + h.len, patch.n - h.len - 4);
		for (p = patch.p + patch.n - 4; p < patch.p + patch.n; p++) {
			*p = (uint8_t)crc;
			crc >>= 8;
		}
		k = (unsigned)drive(1 + i % 40, 16 + i % 99, i & 1 ? i : 0);
		CHECK((int)k < 0 || k == ML_DEC_DONE);
		for (k = 4; k--;)
			patch.p[at[k]] = was[k];
	}
}

/* The same patch as one in place: a field 83 and its flag more. */
static void placed(void)
{
	static const uint8_t field[4] = { ML_EXT_PAGE, 2, 12, 0 };
	struct ml_hdr h;
	size_t end, i;
	uint32_t crc;

	CHECK(ml_hdr_parse(patch.p, patch.n, &h) > 0);
	end = h.len - 4u;
	memmove(patch.p + end + 4, patch.p + end, patch.n - end);
	memcpy(patch.p + end, field, 4);
	patch.n += 4;
	patch.p[6] |= ML_HF_IN_PLACE;
	/* the length, of a byte or two, which stay as many */
	CHECK((patch.p[7] & 127) + 4 < 128);
	patch.p[7] = (uint8_t)(patch.p[7] + 4);
	end += 4;
	crc = ml_dec_crc32(0, patch.p, end);
	for (i = 0; i < 4; i++, crc >>= 8)
		patch.p[end + i] = (uint8_t)crc;
	CHECK(ml_hdr_parse(patch.p, patch.n, &h) > 0 && h.page == 12);
}

int main(void)
{
	load("model");
	placed();
	CHECK(drive(FILE_MAX, 64, 0) == ML_DEC_DONE);
	load("casts"); /* whose base may be gone when they want it */
	placed();
	CHECK(drive(FILE_MAX, 64, 0) == ML_DEC_EFORMAT);
	load("codes");
	placed();
	CHECK(drive(FILE_MAX, 64, 0) == ML_DEC_EFORMAT);
	whole("model");
	whole("casts");
	whole("codes");
	hostile("casts");
	hostile("codes");
	load("quantised"); /* blocks are not for such */
	CHECK(drive(FILE_MAX, 64, 0) == ML_DEC_EVERSION && !world.made.n);
	return 0;
}
