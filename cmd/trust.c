/* SPDX-License-Identifier: MIT */
/* Keys, signatures and the highest release accepted: see trust.h. What is
 * read of secrets does not pass through stdio, which would keep a copy. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "trust.h"

#define KEY_LINE 56 /* letters of a public key */

/* ===== small files ====================================================== */

/* All of a file that has at most cap bytes. */
static size_t read_small(const char *path, char *buf, size_t cap)
{
	char name[SHOW_MAX];
	size_t n = 0;
	ssize_t k;
	char more;
	int fd;

	show(name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		die(EX_SYSTEM, "cannot open '%s':", name);
	do {
		k = n < cap ? read(fd, buf + n, cap - n) : read(fd, &more, 1);
		if (k > 0 && n == cap)
			die(EX_INPUT, "'%s': more than %zu bytes", name, cap);
		if (k > 0)
			n += (size_t)k;
	} while (k > 0 || (k < 0 && errno == EINTR));
	if (k < 0)
		die(EX_SYSTEM, "cannot read '%s':", name);
	close(fd);
	return n;
}

/* ===== public keys ====================================================== */

void keys_add(struct keys *k, const char *usage, const char *arg)
{
	char text[ML_KEY_TEXT_MAX];
	struct ml_diag diag;
	size_t n;
	int err;

	if (k->n == KEYS_MAX)
		usage_error(usage, "more than 16 keys");
	if (strlen(arg) == KEY_LINE && ml_pubkey_parse(
		&k->key[k->n], arg, KEY_LINE, &diag) == ML_OK) {
		k->n++;
		return;
	}
	n = read_small(arg, text, sizeof(text));
	err = ml_pubkey_parse(&k->key[k->n], text, n, &diag);
	if (err)
		die_diag(arg, err, &diag);
	k->n++;
}

int keys_verify(const struct keys *k, struct ml_src *psrc,
	const char *minisig, struct ml_diag *diag)
{
	char text[ML_KEY_TEXT_MAX];
	struct ml_minisig sig;
	size_t n;
	int err;

	if (!minisig)
		return ml_verify_chain(psrc, k->key, k->n, diag);
	n = read_small(minisig, text, sizeof(text));
	err = ml_minisig_parse(&sig, text, n, diag);
	if (err)
		die_diag(minisig, err, diag);
	return ml_minisig_verify(&sig, psrc, k->key, k->n, diag);
}

/* ===== the secret key =================================================== */

/* A line, which may end with the file; -1 when it does not fit. */
static int read_line(int fd, char *buf, size_t cap)
{
	size_t n = 0;
	ssize_t k;
	char c = 0;

	do {
		k = read(fd, &c, 1);
		if (k > 0 && c != '\n') {
			if (n == cap)
				return -1;
			buf[n++] = c;
		}
	} while ((k > 0 && c != '\n') || (k < 0 && errno == EINTR));
	if (k < 0)
		die(EX_SYSTEM, "cannot read the password:");
	if (n && buf[n - 1] == '\r')
		n--;
	ml_wipe(&c, 1);
	return (int)n;
}

/* A line from the terminal that does not show there. Signals wait until it
 * shows again what is typed. */
static int ask(char *buf, size_t cap)
{
	static const char prompt[] = "password of the secret key: ";
	struct termios on, off;
	sigset_t all, before;
	int n, fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || tcgetattr(fd, &on) < 0)
		die(EX_SYSTEM, "no terminal to ask for the password of the "
			"secret key: give a file by '-w':");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	off = on;
	off.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(fd, TCSAFLUSH, &off) < 0 ||
		write(fd, prompt, sizeof(prompt) - 1) < 0)
		die(EX_SYSTEM, "cannot use the terminal:");
	n = read_line(fd, buf, cap);
	tcsetattr(fd, TCSAFLUSH, &on);
	if (write(fd, "\n", 1) < 0)
		n = -1;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fd);
	return n;
}

/* Where a password comes from. */
struct source {
	const char *path; /* NULL: the terminal */
};

static int password(void *ctx, char *pw, size_t cap, struct ml_diag *diag)
{
	const char *path = ((const struct source *)ctx)->path;
	char name[SHOW_MAX];
	int n, fd;

	if (path) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			die(EX_SYSTEM, "cannot open '%s':", show(name, path));
		n = read_line(fd, pw, cap);
		close(fd);
	} else {
		n = ask(pw, cap);
	}
	if (n < 0)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"password of more than %zu bytes", cap);
	return n;
}

void secret_key(struct ml_seckey *k, const char *path, const char *pwfile)
{
	struct source from = {pwfile};
	char text[ML_KEY_TEXT_MAX];
	struct ml_diag diag;
	const size_t n = read_small(path, text, sizeof(text));
	const int err = ml_seckey_parse(k, text, n, password, &from, &diag);

	ml_wipe(text, sizeof(text));
	if (err)
		die_diag(path, err, &diag);
}

/* ===== the highest release ============================================== */

void floor_load(struct floor *f)
{
	char text[32], name[SHOW_MAX];
	uint64_t v = 0;
	size_t n, i;

	if (!f->path || (access(f->path, F_OK) < 0 && errno == ENOENT))
		return;
	show(name, f->path);
	n = read_small(f->path, text, sizeof(text));
	if (n && text[n - 1] == '\n')
		n--;
	for (i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		v = v * 10 + (uint64_t)(text[i] - '0');
	/* 19 digits do not overflow */
	if (n == 0 || i < n || n > 19 || v >> 63)
		die(EX_SYSTEM, "'%s': not the number of a release", name);
	f->accepted = v;
}

int floor_check(struct floor *f, uint64_t release, struct ml_diag *diag)
{
	char name[SHOW_MAX];

	if (!f->back && release < f->accepted)
		return ml_fail(diag, ML_EOLD, ML_NOWHERE,
			"release %llu is older than %llu, which was accepted "
			"before ('%.80s')", (unsigned long long)release,
			(unsigned long long)f->accepted, show(name, f->path));
	if (!f->back && release < f->least)
		return ml_fail(diag, ML_EOLD, ML_NOWHERE,
			"release %llu is older than %llu",
			(unsigned long long)release,
			(unsigned long long)f->least);
	if (f->path && release > f->accepted)
		out_open(&f->out, f->path, 0);
	return ML_OK;
}

void floor_save(struct floor *f, uint64_t release)
{
	if (!f->out.f)
		return;
	fprintf(f->out.f, "%llu\n", (unsigned long long)release);
	out_close(&f->out);
}
