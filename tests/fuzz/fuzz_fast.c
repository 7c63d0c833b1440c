/* SPDX-License-Identifier: MIT */
/* Blocks of coder 3: the first two bytes say how much one makes, the rest is
 * its payload. All kernels agree on it. */
#include "fuzz.h"
#include "fast.h"

#define MOST 8192

static int decode(const struct ml_fast_kern *k, struct ml_fast *f,
	const uint8_t *p, size_t n, const uint8_t *base, uint8_t *out,
	size_t n_out)
{
	struct ml_fast_head h;
	int r = ml_fast_head(&h, p, n, n_out);

	f->kern = k;
	return r ? r : ml_fast_decode(f, &h, p, n, base, out, n_out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t base[MOST + ML_FAST_SLACK];
	static uint8_t out[2][MOST + ML_FAST_SLACK];
	struct ml_fast *f;
	size_t n_out;
	uint8_t *p;
	unsigned i;
	int r, s;

	if (size < 3 || size > ML_FAST_MAX)
		return 0;
	n_out = 1 + (size_t)(data[0] | data[1] << 8) % MOST;
	data += 2;
	size -= 2;
	fuzz_base(base);
	memcpy(base + FUZZ_BASE, base, FUZZ_BASE);
	f = malloc(sizeof *f);
	p = malloc(size + ML_FAST_SLACK);
	MUST(f && p);
	memcpy(p, data, size);
	memset(p + size, 0xa5, ML_FAST_SLACK);
	r = decode(ml_fast_code_nth(0)->dec, f, p, size, base, out[0], n_out);
	for (i = 1; ml_fast_code_nth(i); i++) {
		s = decode(ml_fast_code_nth(i)->dec, f, p, size, base, out[1],
			n_out);
		MUST(r == s);
		MUST(r || !memcmp(out[0], out[1], n_out));
	}
	free(p);
	free(f);
	return 0;
}
