/* SPDX-License-Identifier: MIT */
/* xorplane [-d] WIDTH OLD FILE: FILE XOR OLD (0 behind its end), with the
 * bytes 0, WIDTH, 2 WIDTH... first, then 1, 1 + WIDTH...; or, with -d, back.
 * To see what other compressors make of a plain difference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char *load(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	unsigned char *p = NULL, *q;
	size_t cap = 0, k;

	*n = 0;
	if (!f) {
		perror(path);
		exit(3);
	}
	do {
		if (*n == cap) {
			cap = cap ? 2 * cap : 1 << 16;
			q = realloc(p, cap);
			if (!q) {
				perror(path);
				exit(3);
			}
			p = q;
		}
		k = fread(p + *n, 1, cap - *n, f);
		*n += k;
	} while (k);
	if (ferror(f)) {
		perror(path);
		exit(3);
	}
	fclose(f);
	return p;
}

int main(int argc, char **argv)
{
	const int back = argc > 1 && !strcmp(argv[1], "-d");
	unsigned char *old, *p, *out;
	size_t nold, n, w, i, k, at = 0;

	argv += back;
	if (argc - back != 4 || (w = (size_t)atoi(argv[1])) < 1) {
		fputs("usage: xorplane [-d] WIDTH OLD FILE\n", stderr);
		return 2;
	}
	old = load(argv[2], &nold);
	p = load(argv[3], &n);
	out = malloc(n + 1);
	if (!out) {
		perror("xorplane");
		return 3;
	}
	for (k = 0; k < w; k++)
		for (i = k; i < n; i += w, at++) {
			const unsigned char x = i < nold ? old[i] : 0;

			if (back)
				out[i] = p[at] ^ x;
			else
				out[at] = p[i] ^ x;
		}
	if (fwrite(out, 1, n, stdout) != n || fflush(stdout) != 0) {
		perror("xorplane");
		return 3;
	}
	free(out);
	free(p);
	free(old);
	return 0;
}
