/* SPDX-License-Identifier: MIT */
/* Messages, exit statuses, opening and closing: see util.h. */
#define _GNU_SOURCE /* F_SETPIPE_SZ, renameat2, syncfs */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mldec.h"
#include "tree.h"
#include "util.h"

#define BUFFER 65536 /* of a FILE that is written */
#define AHEAD 4096 /* of one that is read: what is larger takes no way round */
#define PIPE (1 << 20) /* asked of the kernel */

static int line_up; /* a progress line is on the terminal */
/* Unfinished files, for exit and signals. */
static char *volatile doomed[OUT_MAX];
/* An unfinished directory, or an old one: its name in the directory that a
 * descriptor is of. */
static char *volatile doomed_tree;
static volatile sig_atomic_t doomed_parent;

/* ===== messages ========================================================= */

static void wipe_line(void)
{
	if (line_up)
		fputs("\r\033[K", stderr);
	line_up = 0;
}

static void report(const char *fmt, va_list ap)
	__attribute__((format(printf, 1, 0)));

static void report(const char *fmt, va_list ap)
{
	const int e = errno;
	const size_t n = strlen(fmt);

	wipe_line();
	fprintf(stderr, "%s: ", ml_prog);
	vfprintf(stderr, fmt, ap);
	if (n > 0 && fmt[n - 1] == ':')
		fprintf(stderr, " %s", strerror(e));
	fputc('\n', stderr);
}

void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(fmt, ap);
	va_end(ap);
}

void die(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(fmt, ap);
	va_end(ap);
	exit(status);
}

int ml_exit_status(int ml_err)
{
	switch (ml_err) {
	case ML_OK: return EX_OK;
	case ML_EFORMAT:
	case ML_ETRUNC:
	case ML_ECHECK:
	case ML_ELIMIT: return EX_INPUT;
	case ML_EVERSION:
	case ML_ECLASS: return EX_VERSION;
	case ML_EBASE: return EX_BASE;
	case ML_EDIGEST: return EX_DIGEST;
	case ML_EAUTH: return EX_AUTH;
	case ML_EOLD: return EX_OLD;
	case ML_EINVAL: return EX_USAGE;
	default: return EX_SYSTEM;
	}
}

const char *show(char buf[SHOW_MAX], const char *text)
{
	return ml_escape(buf, SHOW_MAX, text, strlen(text));
}

int is_dash(const char *path)
{
	return !path || strcmp(path, "-") == 0;
}

static void say_diag(const char *name, const struct ml_diag *d)
{
	char where[40] = "";

	if (d->off != ML_NOWHERE)
		snprintf(where, sizeof(where), "offset %llu: ",
			(unsigned long long)d->off);
	errno = d->errnum;
	if (d->errnum)
		warn("%s: %s%s:", name, where, d->why);
	else
		warn("%s: %s%s", name, where, d->why);
}

void warn_diag(const char *file, const struct ml_diag *d)
{
	char name[SHOW_MAX], quoted[SHOW_MAX + 2];

	if (is_dash(file)) {
		say_diag("standard input", d);
		return;
	}
	snprintf(quoted, sizeof(quoted), "'%s'", show(name, file));
	say_diag(quoted, d);
}

void die_diag(const char *file, int err, const struct ml_diag *d)
{
	warn_diag(file, d);
	exit(ml_exit_status(err));
}

void die_out(int err, const struct ml_diag *d)
{
	say_diag("output", d);
	exit(ml_exit_status(err));
}

void die_either(const char *file, FILE *f, int err, const struct ml_diag *d)
{
	if (ferror(f))
		die_out(err, d);
	die_diag(file, err, d);
}

/* Whether the input begins as a patch does, as far as it goes. */
static int looks_right(struct ml_src *psrc)
{
	const uint64_t size = ml_src_size(psrc);
	const size_t n = size < 4 ? (size_t)size : 4;
	struct ml_diag diag;
	char head[4];

	return ml_src_read(psrc, 0, head, n, &diag) ||
		memcmp(head, ML_PATCH_MAGIC, n) == 0;
}

int patch_status(struct ml_src *psrc, int err, const struct ml_diag *d)
{
	const int is_patch = psrc ? looks_right(psrc) : d->off > 0;
	const int status = ml_exit_status(err);

	return status == EX_INPUT && (is_patch || err != ML_EFORMAT) ?
		EX_PATCH : status;
}

void die_patch(const char *file, struct ml_src *psrc, int err,
	const struct ml_diag *d)
{
	if (err == ML_EBASE)
		die(EX_BASE, "%s", d->why);
	warn_diag(file, d);
	exit(patch_status(psrc, err, d));
}

/* ===== options ========================================================== */

void usage_error(const char *usage, const char *why)
{
	if (why)
		warn("%s", why);
	fputs(usage, stderr);
	exit(EX_USAGE);
}

void bad_option(const char *usage, int c)
{
	if (c == ':' && optopt < 256)
		warn("option '-%c' needs an argument", optopt);
	else if (c == ':')
		warn("a long option needs an argument");
	else if (optopt == 0)
		warn("unknown long option");
	else if (optopt > ' ' && optopt < 0x7f)
		warn("unknown option '-%c'", optopt);
	fputs(usage, stderr);
	exit(EX_USAGE);
}

int class_option(const char *usage, const char *name)
{
	const int cls = ml_class_by_name(name);

	if (!cls)
		usage_error(usage, "unknown class after '-c'");
	return cls;
}

const char *format_option(const char *usage, const char *name)
{
	if (strcmp(name, "raw") != 0 && !ml_reader_by_name(name))
		usage_error(usage, "unknown format after '-f'");
	return name;
}

int digest_option(const char *usage, const char *name)
{
	const int kind = ml_sum_by_name(name);

	if (kind < 0)
		usage_error(usage, "unknown digest after '-H'");
	return kind;
}

uint64_t release_option(const char *usage, const char *s)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || errno || v >> 63)
		usage_error(usage, "not a number below 2^63 after '-r'");
	return v;
}

unsigned page_option(const char *usage, const char *s)
{
	const uint64_t n = strtoull(s, NULL, 10);
	unsigned log = ML_PAGE_MIN;

	while (log < ML_PAGE_MAX && n > (uint64_t)1 << log)
		log++;
	if (*s < '0' || *s > '9' || strspn(s, "0123456789") != strlen(s) ||
		n != (uint64_t)1 << log)
		usage_error(usage, "not a power of two from 16 to 2^30 after "
			"'--in-place'");
	return log;
}

uint64_t restart_option(const char *usage, const char *s)
{
	unsigned long long n;

	errno = 0;
	n = strtoull(s, NULL, 10);
	if (*s < '0' || *s > '9' || strspn(s, "0123456789") != strlen(s) ||
		errno || n < 1024 || n >> 62)
		usage_error(usage, "not a number from 1024 on after "
			"'--restart'");
	return n;
}

#define THREADS_MAX 256

static int cores(void)
{
	const long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (int)n;
}

int threads_option(const char *usage, const char *s)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || errno || n > THREADS_MAX)
		usage_error(usage, "not a number up to 256 after '-T'");
	return n ? (int)n : cores();
}

int threads_default(void)
{
	return cores() > 1 ? 2 : 1;
}

static void shut_stdout(void)
{
	if (fflush(stdout) == EOF || ferror(stdout) || fclose(stdout) == EOF)
		die(EX_SYSTEM, "cannot write standard output:");
}

void help(const char *usage)
{
	fputs(usage, stdout);
	shut_stdout();
	exit(EX_OK);
}

void version(void)
{
	printf("%s %s (stream %d, patch %d)\n", ml_prog, ML_VERSION_STRING,
		ML_STREAM_VERSION, ML_PATCH_VERSION);
	shut_stdout();
	exit(EX_OK);
}

/* ===== input ============================================================ */

static void widen(FILE *f, size_t buffer)
{
	setvbuf(f, NULL, _IOFBF, buffer);
#ifdef F_SETPIPE_SZ
	/* fails on what is no pipe, and then it does not matter */
	fcntl(fileno(f), F_SETPIPE_SZ, PIPE);
#endif
}

static void refuse_terminal_in(int fd)
{
	if (isatty(fd))
		die(EX_USAGE, "refusing to read binary from a terminal");
}

FILE *in_open(const char *path, int binary)
{
	char name[SHOW_MAX];
	FILE *f = stdin;

	if (!is_dash(path))
		f = fopen(path, "rbe");
	if (!f)
		die(EX_SYSTEM, "cannot open '%s':", show(name, path));
	if (binary && f == stdin)
		refuse_terminal_in(fileno(f));
	widen(f, AHEAD);
	return f;
}

int is_dir(const char *path)
{
	struct stat st;

	return !is_dash(path) && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

struct ml_src *in_src(const char *path)
{
	return in_src_keep(path, 0);
}

struct ml_src *in_src_keep(const char *path, int keep)
{
	struct ml_diag diag;
	struct ml_src *s;
	int err;

	if (is_dash(path)) {
		refuse_terminal_in(STDIN_FILENO);
		err = ml_src_fd(&s, STDIN_FILENO, &diag);
	} else if (is_dir(path)) {
		err = ml_tree_open(&s, path, keep, &diag);
	} else {
		err = ml_src_open(&s, path, &diag);
	}
	if (err)
		die_diag(path, err, &diag);
	return s;
}

void in_model(struct ml_model *m, struct ml_src *s, const char *path,
	const char *format, int as_is, int quiet)
{
	struct ml_diag diag;
	const int err = as_is ? ml_model_read_as_is(m, s, format, &diag) :
		ml_model_read(m, s, format, &diag);

	if (err)
		die_diag(path, err, &diag);
	if (diag.why[0] && !quiet) {
		warn_diag(path, &diag);
		warn("taking it as opaque");
	}
}

/* ===== output =========================================================== */

static void remove_doomed(void)
{
	int i;

	for (i = 0; i < OUT_MAX; i++)
		if (doomed[i])
			unlink(doomed[i]);
	if (doomed_tree)
		ml_tree_remove(doomed_parent, doomed_tree);
}

static void on_signal(int sig)
{
	remove_doomed();
	raise(sig); /* the default action: see SA_RESETHAND */
}

static void guard_exits(void)
{
	static const int sigs[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};
	static int armed;
	struct sigaction sa, old;
	size_t i;

	if (armed)
		return;
	armed = 1;
	atexit(remove_doomed);
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	sa.sa_flags = (int)SA_RESETHAND;
	sigemptyset(&sa.sa_mask);
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		if (sigaction(sigs[i], NULL, &old) == 0 &&
			old.sa_handler != SIG_IGN)
			sigaction(sigs[i], &sa, NULL);
}

static void doom(char *tmp)
{
	int i;

	for (i = 0; i < OUT_MAX && doomed[i]; i++)
		;
	if (i == OUT_MAX) {
		unlink(tmp);
		die(EX_SYSTEM, "too many outputs at a time");
	}
	doomed[i] = tmp;
}

/* No signal shall come between making a file and knowing that. */
static void hold_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, before);
}

static void spare(const char *tmp)
{
	int i;

	for (i = 0; i < OUT_MAX; i++)
		if (doomed[i] == tmp)
			doomed[i] = NULL;
}

static void *need(void *p)
{
	if (!p)
		die(EX_SYSTEM, "out of memory");
	return p;
}

/* The directory part of a path, with its slash; "" when there is none. */
static size_t dir_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

/* A name beside o->path, and a descriptor of the new file there. */
static int temp_beside(struct out *o, mode_t mode)
{
	const size_t dir = dir_len(o->path);
	const size_t cap = strlen(o->path) + sizeof("..XXXXXX");
	char name[SHOW_MAX];
	sigset_t before;
	int fd;

	o->tmp = need(malloc(cap));
	/* the longest of names leave no room for six letters more */
	snprintf(o->tmp, cap, "%.*s.%.200s.XXXXXX", (int)dir, o->path,
		o->path + dir);
	hold_signals(&before);
	fd = mkstemp(o->tmp);
	if (fd >= 0)
		doom(o->tmp);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (fd < 0)
		die(EX_SYSTEM, "cannot make a file beside '%s':",
			show(name, o->path));
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fchmod(fd, mode) < 0)
		die(EX_SYSTEM, "cannot set up a file beside '%s':",
			show(name, o->path));
	return fd;
}

static mode_t mode_by_umask(mode_t mode)
{
	const mode_t mask = umask(0);

	umask(mask);
	return mode & ~mask;
}

/* Opens o->path, which this may replace by what a symbolic link leads to. */
static int open_target(struct out *o)
{
	char name[SHOW_MAX];
	struct stat st;
	int fd;

	if (stat(o->path, &st) < 0) {
		if (errno != ENOENT)
			die(EX_SYSTEM, "cannot write '%s':",
				show(name, o->path));
		return temp_beside(o, mode_by_umask(0666));
	}
	if (S_ISREG(st.st_mode)) {
		char *real = realpath(o->path, NULL);

		if (real) {
			free(o->path);
			o->path = real;
		}
		return temp_beside(o, st.st_mode & 0777);
	}
	fd = open(o->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		die(EX_SYSTEM, "cannot write '%s':", show(name, o->path));
	return fd;
}

void out_open(struct out *o, const char *path, int binary)
{
	guard_exits();
	o->f = stdout;
	o->path = NULL;
	o->tmp = NULL;
	if (!is_dash(path)) {
		o->path = need(strdup(path));
		o->f = need(fdopen(open_target(o), "wb"));
	}
	if (binary && isatty(fileno(o->f)))
		die(EX_USAGE, "refusing to write binary to a terminal");
	widen(o->f, BUFFER);
}

/* A rename is only safe from a crash when its directory is on the disk. */
static int sync_fd(int fd)
{
	return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP;
}

static int sync_dir(const char *path)
{
	char *dir = need(strdup(path));
	const size_t n = dir_len(path);
	int fd, ok;

	dir[n] = '\0';
	fd = open(n ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (fd < 0)
		return errno == EACCES; /* may write there, not read */
	ok = sync_fd(fd);
	close(fd);
	return ok;
}

int out_close(struct out *o)
{
	char name[SHOW_MAX];

	if (!o->path) {
		shut_stdout();
		o->f = NULL;
		return EX_OK;
	}
	show(name, o->path);
	if (fflush(o->f) == EOF || ferror(o->f))
		die(EX_SYSTEM, "cannot write '%s':", name);
	if (o->tmp && fsync(fileno(o->f)) < 0)
		die(EX_SYSTEM, "cannot write '%s':", name);
	if (fclose(o->f) == EOF)
		die(EX_SYSTEM, "cannot write '%s':", name);
	o->f = NULL;
	if (o->tmp) {
		if (rename(o->tmp, o->path) < 0)
			die(EX_SYSTEM, "cannot rename to '%s':", name);
		spare(o->tmp);
		if (!sync_dir(o->path))
			die(EX_SYSTEM, "cannot sync the directory of '%s':",
				name);
	}
	free(o->tmp);
	free(o->path);
	o->tmp = o->path = NULL;
	return EX_OK;
}

/* ===== output of a directory ============================================ */

/* Whether the path is not the directory's own name. */
static int leads_on(const char *path)
{
	const char *leaf = path + dir_len(path);
	struct stat st;

	return strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0 ||
		(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
}

/* Where the path leads, without slashes at its end, and whether there is a
 * directory already. */
static void locate(struct out_tree *o, const char *path)
{
	char name[SHOW_MAX], *real;
	struct stat st;
	size_t n;

	show(name, path);
	o->mode = mode_by_umask(0777);
	o->replaces = stat(path, &st) == 0;
	if (!o->replaces && errno != ENOENT)
		die(EX_SYSTEM, "cannot write '%s':", name);
	if (o->replaces && !S_ISDIR(st.st_mode))
		die(EX_SYSTEM, "'%s' exists and is no directory", name);
	if (o->replaces)
		o->mode = st.st_mode & 07777;
	o->path = need(strdup(path));
	for (n = strlen(path); n > 0 && path[n - 1] == '/'; n--)
		o->path[n - 1] = '\0';
	if (leads_on(o->path)) {
		if (!o->replaces)
			die(EX_SYSTEM, "'%s' is a link that leads nowhere",
				name);
		real = realpath(o->path, NULL);
		if (!real)
			die(EX_SYSTEM, "cannot resolve '%s':", name);
		free(o->path);
		o->path = real;
	}
	o->leaf = o->path + dir_len(o->path);
	if (!*o->leaf)
		die(EX_SYSTEM, "cannot replace '%s'", name);
}

/* mkdtemp(3) in a directory that a descriptor is of. */
static int temp_dir(int parent, char *tmp)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char *const end = tmp + strlen(tmp);
	unsigned char r[6];
	int i, tries;

	for (tries = 0; tries < 100; tries++) {
		if (getentropy(r, sizeof(r)) < 0)
			return -1;
		for (i = 0; i < 6; i++)
			end[i - 6] = letters[r[i] % (sizeof(letters) - 1)];
		if (mkdirat(parent, tmp, 0700) == 0)
			return 0;
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

void out_tree_open(struct out_tree *o, const char *path)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	char name[SHOW_MAX], *up;
	sigset_t before;
	struct stat st;
	size_t n;
	int ok;

	guard_exits();
	locate(o, path);
	show(name, o->path);
	n = dir_len(o->path);
	up = need(strdup(n ? o->path : "."));
	up[n ? n : 1] = '\0';
	o->parent = open(up, flags);
	if (o->parent < 0)
		die(EX_SYSTEM, "cannot open the directory of '%s':", name);
	free(up);
	n = strlen(o->leaf) + sizeof("..XXXXXX");
	o->tmp = need(malloc(n));
	snprintf(o->tmp, n, ".%.200s.XXXXXX", o->leaf);
	hold_signals(&before);
	ok = temp_dir(o->parent, o->tmp) == 0;
	if (ok) {
		doomed_parent = o->parent;
		doomed_tree = o->tmp;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (!ok)
		die(EX_SYSTEM, "cannot make a directory beside '%s':", name);
	o->dir = openat(o->parent, o->tmp, flags | O_NOFOLLOW);
	if (o->dir < 0 || fstat(o->dir, &st) < 0)
		die(EX_SYSTEM, "cannot set up a directory beside '%s':", name);
	if (!o->replaces)
		o->mode |= st.st_mode & S_ISGID; /* from above */
}

/* Exchanges the names of the old and the new one, or gives the new one its
 * name. */
static void switch_tree(const struct out_tree *o)
{
	char name[SHOW_MAX];
	int r = renameat2(o->parent, o->tmp, o->parent, o->leaf,
		o->replaces ? RENAME_EXCHANGE : RENAME_NOREPLACE);

	/* a directory never takes the place of anything but an empty one */
	if (r < 0 && !o->replaces && (errno == EINVAL || errno == ENOSYS))
		r = renameat(o->parent, o->tmp, o->parent, o->leaf);
	if (r == 0)
		return;
	show(name, o->path);
	if (o->replaces && (errno == EINVAL || errno == ENOSYS))
		die(EX_SYSTEM, "cannot replace '%s': its file system cannot "
			"exchange two names, so write to a new name", name);
	die(EX_SYSTEM, "cannot %s '%s':",
		o->replaces ? "replace" : "rename to", name);
}

int out_tree_close(struct out_tree *o, struct ml_src *tar)
{
	char name[SHOW_MAX], tmp[SHOW_MAX];
	struct ml_diag diag;
	int err;

	err = ml_tree_write(tar, o->dir, o->mode, &diag);
	if (err)
		die_diag(o->path, err, &diag);
	show(name, o->path);
	if (syncfs(o->dir) < 0)
		die(EX_SYSTEM, "cannot write '%s':", name);
	close(o->dir);
	switch_tree(o);
	if (!sync_fd(o->parent))
		die(EX_SYSTEM, "cannot sync the directory of '%s':", name);
	errno = ml_tree_remove(o->parent, o->tmp);
	doomed_tree = NULL;
	if (errno)
		die(EX_SYSTEM, "'%s' is new, but the old one is left as "
			"'%s' beside it:", name, show(tmp, o->tmp));
	close(o->parent);
	free(o->tmp);
	free(o->path);
	return EX_OK;
}

/* ===== progress ========================================================= */

static double seconds(const struct timespec *a, const struct timespec *b)
{
	return (double)(b->tv_sec - a->tv_sec) +
		(double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

void progress_start(struct progress *p, uint64_t total, int quiet)
{
	p->on = !quiet && isatty(STDERR_FILENO);
	p->done = 0;
	p->total = total;
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	p->last = p->start;
}

void progress_add(struct progress *p, uint64_t n)
{
	const double mib = 1048576.0;
	struct timespec now;
	double all, rate;

	p->done += n;
	if (!p->on)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	all = seconds(&p->start, &now);
	if (all < 1.0 || seconds(&p->last, &now) < 0.2)
		return;
	p->last = now;
	rate = (double)p->done / all;
	fprintf(stderr, "\r%s: %.0f MiB", ml_prog, (double)p->done / mib);
	if (p->total > 0)
		fprintf(stderr, " of %.0f", (double)p->total / mib);
	fprintf(stderr, ", %.0f MiB/s", rate / mib);
	if (p->total > p->done && p->done > 0)
		fprintf(stderr, ", %.0f s left",
			(double)(p->total - p->done) / rate);
	fputs("\033[K", stderr);
	line_up = 1;
}

void progress_told(void *arg, uint64_t done)
{
	struct progress *p = arg;

	progress_add(p, done - p->done);
}

void progress_end(struct progress *p)
{
	p->on = 0;
	wipe_line();
}
