/* SPDX-License-Identifier: MIT */
/*
 * inject CALLS N FAULT COMMAND...: runs the command and spoils the Nth system
 * call among CALLS (read,pread,write,close,fsync,rename,open,mkdir,unlink,
 * thread) on which nothing of the program's start is counted: FAULT is an errno
 * name (EIO, ENOSPC, EINTR, ENOMEM, EACCES, EINVAL, EAGAIN), or "short" to let a
 * read or write move half of its bytes, or KILL, TERM, INT or PIPE for that
 * signal before the call. With N followed by "+" all later ones fail, too.
 * Calls of all threads count.
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
	if (ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &v) &&
		errno != ESRCH)
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

/* 0: it is being killed. */
static int get(pid_t pid, regs *r)
{
	struct iovec v = {r, sizeof(*r)};

	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &v)) {
		if (errno != ESRCH)
			fail("registers");
		return 0;
	}
	return 1;
}

static void set(pid_t pid, regs *r)
{
	struct iovec v = {r, sizeof(*r)};

	if (ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &v) &&
		errno != ESRCH)
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
	{"thread", {SYS_clone,
#ifdef SYS_clone3
		SYS_clone3,
#else
		-1,
#endif
		-1}},
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
		{"EAGAIN", EAGAIN},
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

/* A thread, and where it is between the two stops of a call. */
#define THREADS_MAX 64
struct thread {
	pid_t id; /* 0: free */
	int inside; /* of a call */
	int spoilt; /* what that call returns, or 0 */
};

static struct thread threads[THREADS_MAX];

static struct thread *find(pid_t id)
{
	struct thread *free = NULL;
	int i;

	for (i = 0; i < THREADS_MAX; i++) {
		if (threads[i].id == id)
			return &threads[i];
		if (!threads[i].id && !free)
			free = &threads[i];
	}
	if (!free)
		fail("more threads than expected");
	memset(free, 0, sizeof(*free));
	free->id = id;
	return free;
}

/* Whether it stopped on its way into a call. Threads begin on the way out of
 * the one that made them, which they tell or not. */
static int is_entry(pid_t id, const struct thread *t)
{
#ifdef PTRACE_GET_SYSCALL_INFO
	struct __ptrace_syscall_info i;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, id, sizeof(i), &i) > 0)
		return i.op == PTRACE_SYSCALL_INFO_ENTRY;
#endif
	return !t->inside;
}

int main(int argc, char **argv)
{
	unsigned long n, count = 0;
	int status, error, sig, started = 0, all, hit = 0;
	struct thread *t;
	pid_t pid, id;
	char *end;
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
		(void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL |
			PTRACE_O_TRACECLONE)))
		fail("ptrace");

	for (id = pid, sig = 0;;) {
		/* one that is being killed cannot go on, and need not */
		if (ptrace(PTRACE_SYSCALL, id, NULL, (void *)(intptr_t)sig) &&
			errno != ESRCH)
			fail("ptrace");
		sig = 0;
		do {
			id = waitpid(-1, &status, __WALL);
			if (id < 0)
				fail("waitpid");
			t = find(id);
			if (!WIFSTOPPED(status))
				t->id = 0;
		} while (!WIFSTOPPED(status) && id != pid);
		if (WIFSIGNALED(status))
			return 128 + WTERMSIG(status);
		if (WIFEXITED(status))
			return WEXITSTATUS(status) == 0 && !hit ? NOT_REACHED :
				WEXITSTATUS(status);
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			/* SIGSTOP is how a thread begins */
			if (WSTOPSIG(status) != SIGTRAP &&
				WSTOPSIG(status) != SIGSTOP)
				sig = WSTOPSIG(status);
			continue;
		}
		t->inside = is_entry(id, t);
		if (!get(id, &r))
			continue;
		if (!t->inside) { /* the way out of a call */
			if (t->spoilt) {
				set_result(&r, -t->spoilt);
				set(id, &r);
				t->spoilt = 0;
			}
			continue;
		}
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
				set(id, &r);
			}
		} else if (error < 0) {
			kill(pid, -error);
		} else {
			forget_call(id, &r);
			set(id, &r);
			t->spoilt = error;
		}
	}
}
#endif
