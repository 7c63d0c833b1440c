/* SPDX-License-Identifier: MIT */
/* Preloaded: the allocation number FAULT_N fails, and, with FAULT_ALL, those
 * after it. FAULT_DONE names a file that is made when one failed. libcrypto's
 * and libarchive's are spared: they crash by themselves when their first ones
 * fail; libseccomp's, which are many and always the same, unless FAULT_SECCOMP
 * is set. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long count, at;
static struct {
	uintptr_t from, to;
} spared[3];
static size_t spared_n;
static int all;
static const char *done;

static int find_spared(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *name = info->dlpi_name;
	int i;

	(void)size;
	(void)arg;
	if (!strstr(name, "libcrypto") && !strstr(name, "libarchive") &&
		(!strstr(name, "libseccomp") || getenv("FAULT_SECCOMP")))
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_X) &&
			spared_n < 3) {
			spared[spared_n].from = info->dlpi_addr + p->p_vaddr;
			spared[spared_n].to =
				spared[spared_n].from + p->p_memsz;
			spared_n++;
		}
	}
	return 0;
}

/* Counts from here on: what the loader takes is not ours. */
__attribute__((constructor)) static void begin(void)
{
	const char *n = getenv("FAULT_N");

	dl_iterate_phdr(find_spared, NULL);
	all = getenv("FAULT_ALL") != NULL;
	done = getenv("FAULT_DONE");
	at = n ? strtoul(n, NULL, 10) : 0;
}

static int fails(const void *caller)
{
	const uintptr_t a = (uintptr_t)caller;
	size_t i;

	for (i = 0; i < spared_n; i++)
		if (a >= spared[i].from && a < spared[i].to)
			return 0;
	if (at == 0)
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
	return fails(__builtin_return_address(0)) ? NULL :
		__libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails(__builtin_return_address(0)) ? NULL :
		__libc_realloc(p, n);
}
