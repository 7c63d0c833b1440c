/* SPDX-License-Identifier: MIT */
/* What literals of class full are expected from, ml-patch(5): the bytes before
 * them in the target, their place, and where the last literals stood before. */
#ifndef ML_TEXT_H
#define ML_TEXT_H

#include "mlmix.h"

#define ML_TEXT_RING (1u << 18) /* bytes that are remembered */
#define ML_TEXT_HASH 14 /* log2 of places remembered by what came before */
#define ML_TEXT_PART 256 /* places that are reset together, or not */

struct ml_text {
	/* The last bytes made by range-coded records: literals, elements that
	 * are mixed, and copies of these; zeros for all others, which a coder
	 * need not have. */
	uint8_t ring[ML_TEXT_RING];
	uint32_t n; /* of all of them */
	uint32_t last; /* the last four, the newest lowest */
	uint32_t place[1 << ML_TEXT_HASH]; /* literals by the four before */
	uint32_t used; /* of the ring since the last reset; and the places' */
	uint8_t parts[(1 << ML_TEXT_HASH) / ML_TEXT_PART];
	uint32_t from; /* what the match says comes next: a number like n */
	uint32_t len; /* of the match, 0: none */
	uint32_t run; /* bytes of this LIT so far */
};

static inline void ml_text_first(struct ml_text *t)
{
	t->used = ML_TEXT_RING;
	memset(t->parts, 1, sizeof t->parts);
}

static inline void ml_text_reset(struct ml_text *t)
{
	unsigned i;

	memset(t->ring, 0, t->used);
	ML_CLEARS(t->used);
	for (i = 0; i < sizeof t->parts; i++) {
		if (!t->parts[i])
			continue;
		memset(t->place + i * ML_TEXT_PART, 0, ML_TEXT_PART * 4);
		ML_CLEARS(ML_TEXT_PART * 4);
	}
	memset(t->parts, 0, sizeof t->parts);
	t->used = t->n = t->last = t->from = t->len = t->run = 0;
}

/* n bytes of the ring are going to be written. */
static inline void ml_text_use(struct ml_text *t, uint64_t n)
{
	t->used = n > ML_TEXT_RING - t->used ? ML_TEXT_RING :
		t->used + (uint32_t)n;
}

static inline void ml_text_last(struct ml_text *t)
{
	unsigned i;

	for (t->last = 0, i = 4; i; i--)
		t->last = t->last << 8 | t->ring[(t->n - i) % ML_TEXT_RING];
}

/* n bytes were made that nobody needs to know. */
static inline void ml_text_other(struct ml_text *t, uint64_t n)
{
	uint32_t at, k, all = n > ML_TEXT_RING ? ML_TEXT_RING : (uint32_t)n;

	ml_text_use(t, n);
	t->n += (uint32_t)n - all;
	for (; all; all -= k) {
		at = t->n % ML_TEXT_RING;
		k = ML_TEXT_RING - at < all ? ML_TEXT_RING - at : all;
		memset(t->ring + at, 0, k);
		t->n += k;
	}
	ml_text_last(t);
}

/* A SELF made n bytes. */
static inline void ml_text_again(struct ml_text *t, uint64_t n, uint64_t dist)
{
	if (dist > ML_TEXT_RING) {
		ml_text_other(t, n);
		return;
	}
	ml_text_use(t, n);
	for (; n; n--, t->n++)
		t->ring[t->n % ML_TEXT_RING] =
			t->ring[(t->n - (uint32_t)dist) % ML_TEXT_RING];
	ml_text_last(t);
}

/* How many bytes before number `from` are those before number n. */
static inline uint32_t ml_text_same(const struct ml_text *t, uint32_t from)
{
	uint32_t len = 0;

	if (t->n - from >= ML_TEXT_RING - 32)
		return 0;
	while (len < 31 && t->ring[(from - 1 - len) % ML_TEXT_RING] ==
		t->ring[(t->n - 1 - len) % ML_TEXT_RING])
		len++;
	return len;
}

/* Contexts of the next literal, at an offset of the target. */
static inline void ml_text_expect(struct ml_text *t, struct ml_mix *x,
	uint64_t at)
{
	const uint32_t h = t->last;
	uint32_t *c = x->ctx, slot;

	if (t->len && t->ring[t->from % ML_TEXT_RING] == (h & 255)) {
		t->len += t->len < 31;
		t->from++;
	} else {
		t->len = 0;
	}
	slot = ml_mix_hash(h, 99) >> (32 - ML_TEXT_HASH);
	if (!t->len && t->place[slot]) {
		t->from = t->place[slot];
		t->len = ml_text_same(t, t->from);
		if (t->len < 3)
			t->len = 0;
	}
	t->place[slot] = t->n;
	t->parts[slot / ML_TEXT_PART] = 1;
	x->expect = t->len ? t->ring[t->from % ML_TEXT_RING] : -1;
	x->sure = t->len;
	*c++ = ml_mix_hash(0, 0);
	*c++ = ml_mix_hash(h & 0xff, 1);
	*c++ = ml_mix_hash(h & 0xffff, 2);
	*c++ = ml_mix_hash(h & 0xffffff, 3);
	*c++ = ml_mix_hash(h, 4);
	*c++ = ml_mix_hash(t->run < 255 ? t->run : 255, 5);
	*c++ = ml_mix_hash(((uint32_t)at & 3) << 8 | (h & 0xff), 6);
	*c++ = ml_mix_hash(h >> 24, 7);
	x->n = (unsigned)(c - x->ctx);
	ml_mix_begin(x, &x->text);
}

/* The next byte is v. */
static inline void ml_text_learn(struct ml_text *t, unsigned v)
{
	ml_text_use(t, 1);
	t->ring[t->n++ % ML_TEXT_RING] = (uint8_t)v;
	t->last = t->last << 8 | v;
	t->run++;
}

#endif
