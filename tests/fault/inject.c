/* SPDX-License-Identifier: MIT */
/*
 * inject CALLS N FAULT COMMAND...: runs the command and spoils the Nth system
 * call among CALLS (read,pread,write,close,fsync,rename,open,mkdir,unlink) on
 * which nothing of the program's start is counted: FAULT is an errno name (EIO,
 * ENOSPC, EINTR, ENOMEM, EACCES, EINVAL), or "short" to let a read or write
 * move half of its bytes, or KILL, TERM, INT or PIPE for that signal before the
 * call. With N followed by "+" all later ones fail, too.
 *
 * Done with ptrace, because stdio reaches the kernel by ways that a preloaded
 * library does not see. The status is the command's; 100: the fault was never
 * reached, and the command ended with 0; 101: this system cannot trace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <elf.h>

#define NO_TRACE 101
#define NOT_REACHED 100

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(NO_TRACE);
}

/* ===== registers ======================================================== */

#if defined(__x86_64__)
typedef struct user_regs_struct regs;

static long call_of(const regs *r)
{
	return (long)r->orig_rax;
}
static uint64_t arg_of(const regs *r, int i)
{
	return i == 0 ? r->rdi : r->rdx;
}
static void halve_count(regs *r)
{
	r->rdx /= 2;
}
static void set_result(regs *r, long v)
{
	r->rax = (unsigned long long)v;
}
static void forget_call(pid_t pid, regs *r)
{
	(void)pid;
	r->orig_rax = (unsigned long long)-1;
}
#elif defined(__aarch64__)
typedef struct user_regs_struct regs;

static long call_of(const regs *r)
{
	return (long)r->regs[8];
}
static uint64_t arg_of(const regs *r, int i)
{
	return r->regs[i == 0 ? 0 : 2];
}
static void halve_count(regs *r)
{
	r->regs[2] /= 2;
}
static void set_result(regs *r, long v)
{
	r->regs[0] = (unsigned long long)v;
}
static void forget_call(pid_t pid, regs *r)
{
	int none = -1;
	struct iovec v = {&none, sizeof(none)};

	(void)r;
	if (ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &v))
		fail("system call");
}
#else
#define NO_REGISTERS
#endif

#ifdef NO_REGISTERS
int main(void)
{
	return NO_TRACE;
}
#else

static void get(pid_t pid, regs *r)
{
	struct iovec v = {r, sizeof(*r)};

	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &v))
		fail("registers");
}

static void set(pid_t pid, regs *r)
{
	struct iovec v = {r, sizeof(*r)};

	if (ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &v))
		fail("registers");
}

/* ===== which call, which fault ========================================== */

static const struct {
	const char *name;
	long nr[3];
} calls[] = {
	{"read", {SYS_read, SYS_readv, -1}},
	{"pread", {SYS_pread64, SYS_preadv, -1}},
	{"write", {SYS_write, SYS_writev, SYS_pwrite64}},
	{"fsync", {SYS_fsync, SYS_fdatasync, SYS_syncfs}},
	{"rename", {SYS_renameat, SYS_renameat2,
#ifdef SYS_rename
		SYS_rename
#else
		-1
#endif
		}},
	{"open", {SYS_openat, -1, -1}},
	{"close", {SYS_close, -1, -1}},
#ifdef SYS_mkdir
	{"mkdir", {SYS_mkdirat, SYS_mkdir, -1}},
	{"unlink", {SYS_unlinkat, SYS_unlink, SYS_rmdir}},
#else
	{"mkdir", {SYS_mkdirat, -1, -1}},
	{"unlink", {SYS_unlinkat, -1, -1}},
#endif
};

/* Words of the user on stderr are not what is tested. */
static int chosen(const char *list, const regs *r)
{
	size_t i, k, n;
	const char *p;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		n = strlen(calls[i].name);
		for (p = list; *p; p += strcspn(p, ","), p += *p == ',')
			if (strncmp(p, calls[i].name, n) == 0 &&
				(p[n] == ',' || p[n] == '\0'))
				break;
		if (!*p)
			continue;
		for (k = 0; k < 3; k++)
			if (calls[i].nr[k] >= 0 &&
				calls[i].nr[k] == call_of(r))
				return call_of(r) != SYS_write ||
					arg_of(r, 0) != STDERR_FILENO;
	}
	return 0;
}

static int fault_by_name(const char *s)
{
	static const struct {
		const char *name;
		int e;
	} names[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR},
		{"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"EINVAL", EINVAL},
		{"short", 0}, {"KILL", -SIGKILL}, {"TERM", -SIGTERM},
		{"INT", -SIGINT}, {"PIPE", -SIGPIPE}};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(s, names[i].name) == 0)
			return names[i].e;
	fprintf(stderr, "inject: unknown fault '%s'\n", s);
	exit(2);
}

/* ===== the command ====================================================== */

static int next_stop(pid_t pid, int sig)
{
	int status;

	if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)sig))
		fail("ptrace");
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	return status;
}

int main(int argc, char **argv)
{
	unsigned long n, count = 0;
	int status, error, sig = 0, started = 0, all, hit = 0, entry = 1;
	char *end;
	pid_t pid;
	regs r;

	if (argc < 5) {
		fputs("usage: inject CALLS N FAULT COMMAND...\n", stderr);
		return 2;
	}
	n = strtoul(argv[2], &end, 10);
	all = *end == '+';
	error = fault_by_name(argv[3]);

	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(NO_TRACE);
		raise(SIGSTOP);
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return NO_TRACE;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		(void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)))
		fail("ptrace");

	for (;;) {
		status = next_stop(pid, sig);
		sig = 0;
		if (WIFEXITED(status)) {
			if (WEXITSTATUS(status) == 0 && !hit)
				return NOT_REACHED;
			return WEXITSTATUS(status);
		}
		if (WIFSIGNALED(status))
			return 128 + WTERMSIG(status);
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			if (WSTOPSIG(status) != SIGTRAP)
				sig = WSTOPSIG(status);
			continue;
		}
		entry = !entry;
		if (entry)
			continue; /* the way out of a call */
		get(pid, &r);
		/* the loader is done when it hands back its memory map */
		if (call_of(&r) == SYS_munmap)
			started = 1;
		if (!started || !chosen(argv[1], &r))
			continue;
		count++;
		if (count < n || (count > n && !all))
			continue;
		hit = 1;
		if (error == 0) {
			if (arg_of(&r, 2) > 1) {
				halve_count(&r);
				set(pid, &r);
			}
			continue;
		}
		if (error < 0) {
			kill(pid, -error);
			if (-error != SIGKILL)
				continue;
			waitpid(pid, &status, 0);
			return 128 + SIGKILL;
		}
		forget_call(pid, &r);
		set(pid, &r);
		status = next_stop(pid, 0);
		entry = 1;
		if (!WIFSTOPPED(status))
			return NO_TRACE;
		get(pid, &r);
		set_result(&r, -error);
		set(pid, &r);
	}
}
#endif
