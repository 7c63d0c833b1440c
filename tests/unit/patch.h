/* SPDX-License-Identifier: MIT */
/* Patches made by hand, byte by byte, for the tests of their readers. */
#ifndef TEST_PATCH_H
#define TEST_PATCH_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "ml.h"
#include "mldec.h"

#define CAP 60000

struct bytes {
	size_t n;
	uint8_t p[CAP];
};

static inline void put(struct bytes *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	if (n > CAP - b->n)
		abort();
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static inline void put1(struct bytes *b, unsigned v)
{
	const uint8_t byte = (uint8_t)v;

	put(b, &byte, 1);
}

static inline void put32(struct bytes *b, uint32_t v)
{
	uint8_t p[4];

	ml_store32(p, v);
	put(b, p, 4);
}

static inline void putv(struct bytes *b, uint64_t v)
{
	for (; v > 127; v >>= 7)
		put1(b, (unsigned)(v & 127) | 128);
	put1(b, (unsigned)v);
}

static inline void sha256(const void *p, size_t n, uint8_t out[32])
{
	struct ml_sha256 *s;
	struct ml_diag diag;

	if (ml_sha256_new(&s, &diag))
		abort();
	ml_sha256_update(s, p, n);
	ml_sha256_final(s, out);
	ml_sha256_free(s);
}

/* What a header says; the digests are made of the bytes. */
struct head {
	unsigned version, cls, flags;
	uint64_t release, target_size, base_size, window;
	const uint8_t *base, *target;
	size_t nbase, ntarget;
	const uint8_t *ext;
	size_t next;
	unsigned pad; /* spoils the length of the fields */
};

static inline void put_header(
	struct bytes *out, const struct head *h, uint64_t body)
{
	static struct bytes f;
	uint8_t sha[32];

	f.n = 0;
	putv(&f, h->release);
	putv(&f, h->target_size);
	if (h->flags & 1)
		putv(&f, h->base_size);
	putv(&f, body);
	putv(&f, h->window);
	sha256(h->target, h->ntarget, sha);
	put(&f, sha, 32);
	if (h->flags & 1) {
		sha256(h->base, h->nbase, sha);
		put(&f, sha, 32);
	}
	put(&f, h->ext, h->next);
	out->n = 0;
	put(out, "\xd3mlp", 4);
	put1(out, h->version);
	put1(out, h->cls);
	put1(out, h->flags);
	putv(out, f.n + h->pad);
	put(out, f.p, f.n);
	put32(out, ml_crc32(0, out->p, out->n));
}

static inline void put_record(struct bytes *out, unsigned coder, uint64_t n_out,
	const struct bytes *code)
{
	const size_t start = out->n;

	put1(out, coder);
	putv(out, n_out);
	putv(out, code->n);
	put(out, code->p, code->n);
	put32(out, ml_crc32(0, out->p + start, out->n - start));
}

static inline void put_op(struct bytes *b, unsigned op, uint64_t n, uint64_t at)
{
	put1(b, op);
	putv(b, n);
	if (op == 1 || op == 2)
		putv(b, at);
}

static inline void put_lit(struct bytes *b, const void *p, size_t n)
{
	put_op(b, 0, n, 0);
	put(b, p, n);
}

static inline void put_elems(struct bytes *b, unsigned op, unsigned type,
	uint64_t units, uint64_t at, const void *p, size_t n)
{
	put1(b, op);
	put1(b, type);
	putv(b, units);
	if (op == 3)
		putv(b, at);
	put(b, p, n);
}

/* A small patch that uses every operation, and what it must make. */
#define SMALL_BASE 64
struct small {
	uint8_t base[SMALL_BASE];
	struct bytes target, patch;
	struct head head;
};

/* Says what the patch makes, by other code than the decoder's. */
static inline uint16_t small_f16(uint16_t b, uint16_t r)
{
	int32_t x = b & 0x8000 ? -(int32_t)(b & 0x7fff) - 1 : b;

	x = (x + 0x8000 + r) & 0xffff;
	x -= 0x8000;
	return (uint16_t)(x < 0 ? 0x8000 | -(x + 1) : x);
}

static inline void small_make(struct small *s)
{
	static const uint8_t res[18] = {
		1, 0, 0xff, 0xff, 0x10, 0x80, 3, 4, 5, 6, 7, 8, 9, 0x1f, 0xf1,
		0xaa, 0x55, 0x99
	};
	static const uint8_t span[] = {
		1, /* a label */
		1, 1, 12, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0,
		0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 'a', '.', 'w'
	};
	static struct bytes code, body;
	struct bytes *t = &s->target;
	unsigned i;
	uint8_t v[2];

	memset(s, 0, sizeof(*s));
	for (i = 0; i < SMALL_BASE; i++)
		s->base[i] = (uint8_t)(i * 37 + 11);

	/* a note, then DIFF of a Q4_0 block, COPY */
	body.n = code.n = 0;
	put(&code, span, sizeof(span));
	put_record(&body, 15, 0, &code);
	code.n = 0;
	put_elems(&code, 3, 12, 1, 7, res, 18);
	ml_store16(v, small_f16((uint16_t)(s->base[7] | s->base[8] << 8), 1));
	put(t, v, 2);
	for (i = 2; i < 18; i++)
		put1(t, (unsigned)(((s->base[7 + i] & 15) + (res[i] & 15)) & 15) |
			(unsigned)(((s->base[7 + i] >> 4) + (res[i] >> 4)) & 15)
				<< 4);
	put_op(&code, 1, 9, 55);
	put(t, s->base + 55, 9);
	put_record(&body, 0, t->n, &code);

	/* LIT, SELF that overlaps itself, DIFF of bf16, ALONE, SELF far */
	code.n = 0;
	i = (unsigned)t->n;
	put_lit(&code, "mallorn", 7);
	put(t, "mallorn", 7);
	put_op(&code, 2, 20, 3);
	while (t->n < i + 27)
		put1(t, t->p[t->n - 3]);
	put_elems(&code, 3, 6, 3, 20, res, 6);
	for (unsigned k = 0; k < 3; k++) {
		ml_store16(v, small_f16((uint16_t)(s->base[20 + 2 * k] |
			s->base[21 + 2 * k] << 8), (uint16_t)(res[2 * k] |
			res[2 * k + 1] << 8)));
		put(t, v, 2);
	}
	put_elems(&code, 4, 7, 2, 0, "12345678", 8);
	put(t, "12345678", 8);
	put_op(&code, 2, 10, 60);
	for (unsigned k = 0; k < 10; k++)
		put1(t, t->p[t->n - 60]);
	put_record(&body, 0x10, t->n - i, &code);

	s->head.version = 1;
	s->head.cls = 1;
	s->head.flags = 1;
	s->head.release = 300;
	s->head.target_size = t->n;
	s->head.base_size = SMALL_BASE;
	s->head.window = 60;
	s->head.base = s->base;
	s->head.nbase = SMALL_BASE;
	s->head.target = t->p;
	s->head.ntarget = t->n;
	put_header(&s->patch, &s->head, body.n);
	put(&s->patch, body.p, body.n);
}

#endif
