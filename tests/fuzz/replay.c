/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over files, for builds without libFuzzer: each as it is,
 * cut short at every so many bytes, and with single bits flipped. After -w:
 * only as it is. After -e: cut at every byte, every bit flipped, and at every
 * byte numbers that are near the ends of 32 and 64 bits, or where they stand. */
#include <stdio.h>

#include "fuzz.h"

#define CUTS 24
#define FLIPS 40

static unsigned long runs;

static void run(const uint8_t *p, size_t n)
{
	/* a block of its own, so that reading beyond it is seen */
	uint8_t *exact = malloc(n ? n : 1);

	MUST(exact != NULL);
	if (n > 0)
		memcpy(exact, p, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	runs++;
}

static void variants(uint8_t *p, size_t n)
{
	uint32_t x = (uint32_t)n;
	size_t i;

	run(p, n);
	for (i = 0; i < CUTS; i++)
		run(p, n * i / CUTS);
	for (i = 0; n > 0 && i < FLIPS; i++) {
		const uint8_t bit = (uint8_t)(1u << (i & 7));

		x = x * 1664525 + 1013904223;
		p[x % n] ^= bit;
		run(p, n);
		p[x % n] ^= bit;
	}
}

/* A number of k bytes, little-endian, in the place of those at i. */
static void poke(uint8_t *p, size_t n, size_t i, size_t k, uint64_t v)
{
	uint8_t old[8], b[8];

	if (n < k || i > n - k)
		return;
	memcpy(old, p + i, k);
	ml_store64(b, v);
	memcpy(p + i, b, k);
	run(p, n);
	memcpy(p + i, old, k);
}

static void exhaust(uint8_t *p, size_t n)
{
	unsigned long cuts, flips;
	size_t i;

	run(p, n);
	for (i = 0; i < n; i++)
		run(p, i);
	cuts = runs - 1;
	for (i = 0; i < 8 * n; i++) {
		p[i / 8] ^= (uint8_t)(1u << i % 8);
		run(p, n);
		p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	flips = runs - 1 - cuts;
	for (i = 0; i < n; i++) {
		poke(p, n, i, 4, 0xffffffff);
		poke(p, n, i, 4, 0xfffffffc);
		poke(p, n, i, 4, 0x7fffffff);
		poke(p, n, i, 4, i);
		poke(p, n, i, 8, UINT64_MAX);
		poke(p, n, i, 8, UINT64_MAX - 7);
		poke(p, n, i, 8, INT64_MAX);
		poke(p, n, i, 8, UINT64_C(1) << 32);
		poke(p, n, i, 8, i);
	}
	printf("# %lu truncations, %lu flips, %lu numbers\n", cuts, flips,
		runs - 1 - cuts - flips);
}

int main(int argc, char **argv)
{
	static uint8_t buf[1 << 20];
	const int all = argc > 1 && strcmp(argv[1], "-e") == 0;
	const int whole = argc > 1 && strcmp(argv[1], "-w") == 0;
	int i;

	for (i = 1 + (all || whole); i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n;

		if (!f) {
			perror(argv[i]);
			return 3;
		}
		fprintf(stderr, "# %s\n", argv[i]);
		n = fread(buf, 1, sizeof(buf), f);
		fclose(f);
		if (all)
			exhaust(buf, n);
		else if (whole)
			run(buf, n);
		else
			variants(buf, n);
		printf("ok %s\n", argv[i]);
		fflush(stdout);
	}
	printf("# %lu runs\n", runs);
	return 0;
}
