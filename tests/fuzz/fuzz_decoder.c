/* SPDX-License-Identifier: MIT */
/* The decoder core by itself: bytes come in slices of any size, callbacks are
 * not always ready, and what comes out must not hang on either. */
#include "fuzz.h"
#include "mldec.h"

#define WRITE_MAX (1u << 18)

struct world {
	uint8_t base[FUZZ_BASE];
	uint8_t target[WRITE_MAX];
	size_t made;
	ml_off base_size; /* that the header claims */
	uint32_t x; /* of the random numbers */
	int lazy; /* callbacks say "not now", slices are short */
	int full; /* the target is as long as this test goes */
};

static unsigned some(struct world *w, unsigned n)
{
	if (!w->lazy)
		return n;
	w->x = w->x * 1664525 + 1013904223;
	if (w->x >> 28 == 0)
		return 0;
	return 1 + (w->x >> 8) % n;
}

static int from_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct world *w = ctx;
	unsigned i;

	MUST(n > 0 && off <= w->base_size && n <= w->base_size - off);
	n = some(w, n);
	for (i = 0; i < n; i++)
		dst[i] = w->base[(off + i) % FUZZ_BASE];
	return (int)n;
}

static int from_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct world *w = ctx;

	MUST(n > 0 && off <= w->made && n <= w->made - off);
	n = some(w, n);
	memcpy(dst, w->target + off, n);
	return (int)n;
}

static int to_target(void *ctx, const uint8_t *src, unsigned n)
{
	struct world *w = ctx;

	MUST(n > 0);
	n = some(w, n);
	if (n > WRITE_MAX - w->made) {
		w->full = 1;
		return -1;
	}
	memcpy(w->target + w->made, src, n);
	w->made += n;
	return (int)n;
}

static int decode(struct world *w, const uint8_t *p, size_t n, size_t arena_n,
	size_t buf_n)
{
	const struct ml_dec_io io = {w, from_base, from_target, to_target};
	void *arena = malloc(arena_n), *buf = malloc(buf_n);
	size_t at = 0, used;
	struct ml_dec d;
	int r;

	MUST(arena && buf);
	w->made = 0;
	w->full = 0;
	ml_dec_init(&d, &io, arena, arena_n, buf, buf_n);
	for (;;) {
		size_t k = n - at;

		if (k > 0 && w->lazy)
			k = some(w, k > 40 ? 40 : (unsigned)k);
		r = ml_dec_feed(&d, p + at, k, &used);
		MUST(used <= k);
		at += used;
		if (r == ML_DEC_HEADER)
			w->base_size = d.hdr.base_size;
		if (r < 0 || r == ML_DEC_DONE ||
			(r == ML_DEC_MORE && at == n))
			break;
	}
	if (r == ML_DEC_DONE)
		MUST(w->made == d.hdr.target_size);
	free(arena);
	free(buf);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world a, b;
	uint8_t *p = fuzz_copy(data, size);
	int ra, rb;

	fuzz_mend_patch(p, size);
	fuzz_base(a.base);
	fuzz_base(b.base);
	b.lazy = 1;
	b.x = ml_crc32(0, data, size);
	ra = decode(&a, p, size, ML_ARENA_FULL, 65528);
	rb = decode(&b, p, size, ML_ARENA_FULL, ML_DEC_BUF_MIN);
	if (!a.full && !b.full) {
		MUST(ra == rb);
		if (ra == ML_DEC_DONE)
			MUST(a.made == b.made &&
				memcmp(a.target, b.target, a.made) == 0);
	}
	(void)decode(&b, p, size, ML_HDR_MAX, 64);
	free(p);
	return 0;
}
