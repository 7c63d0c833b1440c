/* SPDX-License-Identifier: MIT */
/* Digests: of known bytes, and the same with a thread and without. */
#include <stdlib.h>
#include <string.h>

#include "ml.h"
#include "test.h"

#define BIG 3000001

static uint8_t big[BIG];

static void of(int kind, int threads, const uint8_t *p, size_t n, size_t step,
	uint8_t out[ML_SHA256_LEN])
{
	struct ml_diag diag;
	struct ml_sum *s;
	size_t k;

	if (ml_sum_new(&s, kind, threads, &diag))
		abort();
	for (; n; n -= k, p += k) {
		k = n < step ? n : step;
		ml_sum_update(s, p, k);
	}
	ml_sum_final(s, out);
	ml_sum_free(s);
}

static void known(void)
{
	static const uint8_t none[16] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47,
		0x98, 0xd8, 0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
	static const uint8_t abc[16] = {0x06, 0xb0, 0x5a, 0xb6, 0x73, 0x3a,
		0x61, 0x85, 0x78, 0xaf, 0x5f, 0x94, 0x89, 0x2f, 0x39, 0x50};
	static const uint8_t sha[4] = {0xba, 0x78, 0x16, 0xbf}, zero[16];
	uint8_t out[ML_SHA256_LEN];

	of(ML_XXH3, 1, big, 0, 1, out);
	CHECK(!memcmp(out, none, 16) && !memcmp(out + 16, zero, 16));
	of(ML_XXH3, 1, (const uint8_t *)"abc", 3, 2, out);
	CHECK(!memcmp(out, abc, 16) && !memcmp(out + 16, zero, 16));
	of(ML_SHA256, 1, (const uint8_t *)"abc", 3, 1, out);
	CHECK(!memcmp(out, sha, 4));
}

static void threads(void)
{
	static const size_t steps[] = {1000, 32767, 32768, 262144, 300000, BIG};
	static const size_t sizes[] = {
		0, 1, 32768, 262143, 262144, 262145, 1048576, 1048577, BIG};
	uint8_t want[ML_SHA256_LEN], got[ML_SHA256_LEN];
	size_t i, j;
	int kind;

	for (kind = ML_SHA256; kind <= ML_XXH3; kind++)
		for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
			for (j = 0; j < sizeof(steps) / sizeof(*steps); j++) {
				of(kind, 1, big, sizes[i], BIG, want);
				of(kind, 2, big, sizes[i], steps[j], got);
				CHECK(!memcmp(want, got, sizeof(got)));
			}
}

/* final starts anew, and one that is not finished can be freed. */
static void again(void)
{
	uint8_t want[ML_SHA256_LEN], got[ML_SHA256_LEN];
	struct ml_diag diag;
	struct ml_sum *s;
	int kind;

	for (kind = ML_SHA256; kind <= ML_XXH3; kind++) {
		of(kind, 1, big, BIG, BIG, want);
		CHECK(!ml_sum_new(&s, kind, 2, &diag));
		ml_sum_update(s, big, 700000);
		ml_sum_final(s, got);
		CHECK(memcmp(want, got, sizeof(got)));
		ml_sum_update(s, big, BIG);
		ml_sum_final(s, got);
		CHECK(!memcmp(want, got, sizeof(got)));
		ml_sum_update(s, big, BIG);
		ml_sum_free(s);
	}
}

static void of_sources(void)
{
	uint8_t want[ML_SHA256_LEN], got[2][ML_SHA256_LEN];
	uint8_t *const out[2] = {got[0], got[1]};
	struct ml_src *s[2];
	struct ml_diag diag;
	int which, kind, t;

	CHECK(!ml_src_spool(&s[0], &diag));
	CHECK(!ml_src_spool(&s[1], &diag));
	CHECK(!ml_src_append(s[0], big, BIG, &diag));
	CHECK(!ml_src_append(s[1], big, 100, &diag));
	for (kind = ML_SHA256; kind <= ML_XXH3; kind++)
		for (t = 1; t <= 2; t++) {
			CHECK(!ml_src_sums(s, kind, out, t, &which, &diag));
			of(kind, 1, big, BIG, BIG, want);
			CHECK(!memcmp(got[0], want, sizeof(want)));
			CHECK(!ml_src_is_base(s[0], kind, BIG, want, &diag));
			CHECK(ml_src_is_base(s[0], kind, BIG - 1, want,
				&diag) == ML_EBASE);
			CHECK(ml_src_is_base(s[0], 1 - kind, BIG, want,
				&diag) == ML_EBASE);
			of(kind, 1, big, 100, 100, want);
			CHECK(!memcmp(got[1], want, sizeof(want)));
		}
	ml_src_free(s[0]);
	ml_src_free(s[1]);
}

int main(void)
{
	uint32_t x = 1;
	size_t i;

	for (i = 0; i < BIG; i++) {
		x = x * 1664525 + 1013904223;
		big[i] = (uint8_t)(x >> 24);
	}
	known();
	threads();
	again();
	of_sources();
	CHECK(ml_sum_by_name("sha256") == ML_SHA256);
	CHECK(ml_sum_by_name("xxh3") == ML_XXH3);
	CHECK(ml_sum_by_name("md5") < 0);
	return 0;
}
