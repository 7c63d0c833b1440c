/* SPDX-License-Identifier: MIT */
/* Preloaded: the allocation number FAULT_N fails, and, with FAULT_ALL, those
 * after it. FAULT_DONE names a file that is made when one failed. libcrypto's
 * are spared: it crashes by itself when its first ones fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long count, at;
static int ready, all;
static const char *done;

/* Counts from main on: what the loader takes is not ours. */
__attribute__((constructor)) static void begin(void)
{
	const char *n = getenv("FAULT_N");

	at = n ? strtoul(n, NULL, 10) : 0;
	all = getenv("FAULT_ALL") != NULL;
	done = getenv("FAULT_DONE");
	ready = 1;
}

static int fails(const void *caller)
{
	Dl_info who;

	if (!ready || at == 0)
		return 0;
	if (dladdr(caller, &who) && who.dli_fname &&
		strstr(who.dli_fname, "libcrypto"))
		return 0;
	if (++count < at || (count > at && !all))
		return 0;
	if (done && count == at)
		close(open(done, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
	errno = ENOMEM;
	return 1;
}

/* glibc's own, so that nothing is looked up while it is needed */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}
