/* SPDX-License-Identifier: MIT */
/* A test program checks with CHECK and returns from main; what it found is
 * told as it exits: "ok FILE: N checks", or "not ok" and status 1. */
#ifndef TEST_H
#define TEST_H

#include <stdio.h>
#include <unistd.h>

static unsigned long test_count, test_failed;

/* Goes on after a failure, up to a screenful of them. */
#define CHECK(cond) \
	do { \
		test_count++; \
		if (!(cond) && ++test_failed <= 20) \
			fprintf(stderr, "%s:%d: not ok: %s\n", __FILE__, \
				__LINE__, #cond); \
	} while (0)

__attribute__((destructor)) static void test_report(void)
{
	if (test_failed)
		printf("not ok %s: %lu of %lu checks failed\n", __BASE_FILE__,
			test_failed, test_count);
	else
		printf("ok %s: %lu checks\n", __BASE_FILE__, test_count);
	fflush(stdout);
	if (test_failed)
		_exit(1);
}

#endif
