/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over files, for builds without libFuzzer: each as it is,
 * cut short at every so many bytes, and with single bits flipped. */
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

int main(int argc, char **argv)
{
	static uint8_t buf[1 << 20];
	int i;

	for (i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n;

		if (!f) {
			perror(argv[i]);
			return 3;
		}
		fprintf(stderr, "# %s\n", argv[i]);
		n = fread(buf, 1, sizeof(buf), f);
		fclose(f);
		variants(buf, n);
		printf("ok %s\n", argv[i]);
		fflush(stdout);
	}
	printf("# %lu runs\n", runs);
	return 0;
}
