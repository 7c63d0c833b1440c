/* SPDX-License-Identifier: MIT */
/* A large bf16 file in constant memory, and the same moved by one step: its
 * weights exist only as what two streams of random numbers give. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gen.h"

#define COLS 1024
#define ROWS 2048
#define TENSOR ((uint64_t)COLS * ROWS * 2) /* bytes */
#define SPREAD 0.02f
#define STEP (SPREAD / 1024)

/* Four 16-bit uniforms from one draw, variance 1. */
static float bell(struct gen_rng *r)
{
	uint64_t u = gen_u64(r);
	int32_t sum = (int32_t)((u & 0xffff) + (u >> 16 & 0xffff) +
		(u >> 32 & 0xffff) + (u >> 48)) - 2 * 65535;

	return (float)sum * (1.7320508f / 65536);
}

static void header(struct gen_buf *h, uint64_t data)
{
	char text[160];

	h->n = 0;
	gen_put_text(h, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (uint64_t off = 0; off < data; ) {
		uint64_t len = data - off < TENSOR ? data - off : TENSOR;

		snprintf(text, sizeof text, ",\"layers.%" PRIu64 ".weight\":"
			"{\"dtype\":\"BF16\",\"shape\":[", off / TENSOR);
		gen_put_text(h, text);
		if (len == TENSOR)
			snprintf(text, sizeof text, "%d,%d", ROWS, COLS);
		else
			snprintf(text, sizeof text, "%" PRIu64, len / 2);
		gen_put_text(h, text);
		snprintf(text, sizeof text, "],\"data_offsets\":[%" PRIu64
			",%" PRIu64 "]}", off, off + len);
		gen_put_text(h, text);
		off += len;
	}
	gen_put_text(h, "}");
}

void gen_big(const char *path, uint64_t bytes, uint64_t seed, int step)
{
	static uint8_t part[1 << 16];
	struct gen_rng r = { seed }, move = { ~seed };
	struct gen_buf h = { 0 };
	uint64_t data = bytes & ~(uint64_t)1;
	FILE *f;

	/* the header's length hangs on the data's, and the other way */
	for (;;) {
		header(&h, data);
		if (8 + h.n + data <= bytes)
			break;
		if (8 + h.n + 2 > bytes)
			gen_die("%" PRIu64 " bytes are too few", bytes);
		data = (bytes - 8 - h.n) & ~(uint64_t)1;
	}
	while (8 + h.n + data < bytes)
		gen_put_text(&h, " ");

	f = fopen(path, "wb");
	if (f == NULL)
		gen_die("%s: %s", path, strerror(errno));
	gen_store_le(part, h.n, 8);
	if (fwrite(part, 1, 8, f) != 8 || fwrite(h.p, 1, h.n, f) != h.n)
		gen_die("%s: %s", path, strerror(errno));
	while (data > 0) {
		size_t n = data < sizeof part ? (size_t)data : sizeof part;

		for (size_t i = 0; i < n; i += 2) {
			float w = SPREAD * bell(&r);

			if (step)
				w += STEP * bell(&move);
			gen_store_le(part + i, gen_bf16(w), 2);
		}
		if (fwrite(part, 1, n, f) != n)
			gen_die("%s: %s", path, strerror(errno));
		data -= n;
	}
	if (fclose(f) != 0)
		gen_die("%s: %s", path, strerror(errno));
	gen_buf_free(&h);
}
