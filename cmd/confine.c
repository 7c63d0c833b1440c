/* SPDX-License-Identifier: MIT */
/*
 * What is left to a program after confine(): a list of system calls, by
 * libseccomp; others fail with EPERM. With CONFINE_ALL a file can be opened
 * only by making it, or as a directory (to sync a rename, and for a spool
 * without a name, O_TMPFILE). Paths cannot be judged here: names can still be
 * removed and changed.
 */
#define _GNU_SOURCE /* CLONE_THREAD, O_DIRECTORY */
#include "confine.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

/* Sanitizers and the counts of coverage open files of their own. */
#if defined(HAVE_SECCOMP) && !defined(NO_CONFINE) && \
	!defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) && \
	!__has_feature(memory_sanitizer)
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>

#include "util.h"

const int confine_built = 1;

#define S(name) SCMP_SYS(name)

/* Memory, threads, time, signals to itself, the end; descriptors that it has;
 * names. Numbers below 0 are of calls that this architecture has not. */
static const int common[] = {
	S(read), S(readv), S(pread64), S(preadv), S(write), S(writev),
	S(pwrite64), S(pwritev), S(lseek), S(_llseek), S(close), S(dup),
	S(dup2), S(dup3), S(fcntl), S(fcntl64), S(ftruncate), S(ftruncate64),
	S(fallocate), S(fadvise64), S(fadvise64_64), S(readahead),
	S(copy_file_range), S(splice), S(tee), S(vmsplice), S(sendfile),
	S(sendfile64), S(fsync), S(fdatasync), S(sync_file_range),
	S(sync_file_range2), S(syncfs), S(poll), S(ppoll), S(select),
	S(pselect6), S(ioctl), S(pipe), S(pipe2), S(eventfd2),
	S(fstat), S(fstat64), S(stat), S(stat64), S(lstat), S(lstat64),
	S(newfstatat), S(fstatat64), S(statx), S(fstatfs), S(fstatfs64),
	S(access), S(faccessat), S(faccessat2), S(readlink), S(readlinkat),
	S(getcwd), S(rename), S(renameat), S(renameat2), S(unlink),
	S(unlinkat), S(rmdir), S(fchmod), S(umask),
	S(brk), S(mmap), S(mmap2), S(munmap), S(mremap), S(mprotect),
	S(madvise), S(mlock), S(munlock), S(membarrier), S(futex),
	S(futex_time64), S(rseq), S(set_robust_list), S(set_tid_address),
	S(arch_prctl), S(sched_yield), S(sched_getaffinity),
	S(sched_setaffinity), S(getcpu), S(sysinfo), S(getrlimit),
	S(ugetrlimit), S(clock_gettime), S(clock_gettime64), S(gettimeofday),
	S(clock_nanosleep), S(clock_nanosleep_time64), S(nanosleep),
	S(getrandom), S(rt_sigaction), S(rt_sigprocmask), S(rt_sigreturn),
	S(sigreturn), S(sigaltstack), S(rt_sigtimedwait), S(restart_syscall),
	S(getpid), S(gettid), S(getppid), S(getuid), S(geteuid), S(getgid),
	S(getegid), S(uname), S(tgkill), S(exit), S(exit_group)
};

/* What reading and making a directory takes. */
static const int files[] = {
	S(open), S(openat), S(creat), S(getdents), S(getdents64), S(chdir),
	S(fchdir), S(mkdir), S(mkdirat), S(mknod), S(mknodat), S(link),
	S(linkat), S(symlink), S(symlinkat), S(chmod), S(fchmodat), S(chown),
	S(chown32), S(fchown), S(fchown32), S(lchown), S(lchown32),
	S(fchownat), S(utimensat), S(utimensat_time64), S(futimesat),
	S(utimes), S(utime), S(statfs), S(statfs64), S(getxattr),
	S(lgetxattr), S(fgetxattr), S(setxattr), S(lsetxattr), S(fsetxattr),
	S(listxattr), S(llistxattr), S(flistxattr), S(truncate), S(truncate64),
	S(getgroups), S(getgroups32)
};

static int allow(scmp_filter_ctx f, const int *call, size_t n)
{
	size_t i;
	int r = 0;

	for (i = 0; i < n && r == 0; i++)
		if (call[i] >= 0)
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, call[i], 0);
	return r;
}

/* One argument of a call must have just these of the bits of a mask. */
static int allow_bits(scmp_filter_ctx f, int call, unsigned arg, unsigned mask,
	unsigned bits)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1,
		SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, bits));
}

static int fill(scmp_filter_ctx f, enum confine how)
{
	const unsigned make = O_CREAT | O_EXCL;
	int r = allow(f, common, sizeof(common) / sizeof(common[0]));

	/* threads, and no other process: of clone3 the arguments lie where a
	 * filter cannot look, and glibc then takes clone */
	if (r == 0)
		r = allow_bits(f, S(clone), 0, CLONE_THREAD, CLONE_THREAD);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), S(clone3), 0);
	if (r == 0 && how == CONFINE_FILES)
		r = allow(f, files, sizeof(files) / sizeof(files[0]));
	if (r == 0 && how == CONFINE_ALL)
		r = allow_bits(f, S(openat), 2, make, make);
	if (r == 0 && how == CONFINE_ALL)
		r = allow_bits(f, S(openat), 2, O_DIRECTORY, O_DIRECTORY);
	return r;
}

void confine(enum confine how)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	struct ml_sha256 *sha;
	struct ml_diag diag;
	int r = f ? fill(f, how) : -ENOMEM;

	/* libcrypto reads its configuration when it is first used */
	if (ml_sha256_new(&sha, &diag))
		die(EX_SYSTEM, "%s", diag.why);
	ml_sha256_free(sha);
	if (r == 0)
		r = seccomp_load(f); /* and no new privileges */
	seccomp_release(f);
	if (r == -ENOMEM)
		die(EX_SYSTEM, "out of memory");
}

#else

const int confine_built = 0;

void confine(enum confine how)
{
	(void)how;
}

#endif
