/* SPDX-License-Identifier: MIT */
/* Directories as sources, large files in them, tars as directories, removal. */
#define _GNU_SOURCE /* nftw */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ml.h"
#include "test.h"
#include "tree.h"

#define GIB (UINT64_C(1) << 30)

static struct ml_diag diag;
static char top[] = "/tmp/test-tree.XXXXXX";

static int made(const char *path, uint64_t size, mode_t mode)
{
	const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	int ok = fd >= 0 && ftruncate(fd, (off_t)size) == 0;

	ok = ok && fchmod(fd, mode) == 0;
	if (ok && size > 0)
		ok = pwrite(fd, "z", 1, (off_t)(size - 1)) == 1;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Reads give the same whatever their sizes and order. */
static void pieces(void)
{
	static const size_t steps[] = {1, 7, 511, 512, 513, 4096, 65536, 70001};
	struct ml_src *s = NULL;
	uint64_t off, size;
	uint8_t *all, *part;
	size_t i, n;

	CHECK(mkdir("t", 0755) == 0 && mkdir("t/d", 0700) == 0);
	CHECK(made("t/a", 70000, 0644) && made("t/b", 512, 0755));
	CHECK(made("t/d/c", 1, 0600) && made("t/e", 0, 0600));
	CHECK(symlink("a", "t/s") == 0 && link("t/a", "t/z") == 0);
	CHECK(ml_tree_open(&s, "t", 0, &diag) == ML_OK);
	if (!s)
		return;
	size = ml_src_size(s);
	/* 7 headers; 137 blocks of a, one of b and of c; two at the end */
	CHECK(size == (7 + 137 + 1 + 1 + 2) * 512);
	all = malloc(size);
	part = malloc(size);
	CHECK(ml_src_read(s, 0, all, size, &diag) == ML_OK);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		memset(part, 0xee, size);
		for (off = size; off > 0; off -= n) {
			n = off < steps[i] ? off : steps[i];
			if (ml_src_read(s, off - n, part + off - n, n, &diag))
				break;
		}
		CHECK(off == 0 && memcmp(all, part, size) == 0);
	}
	CHECK(memcmp(all, "a\0", 2) == 0 && all[512 + 69999] == 'z');
	CHECK(ml_tree_check(s, &diag) == ML_OK);
	free(all);
	free(part);
	ml_src_free(s);
}

/* A file beyond what a ustar header can say costs nothing until it is read. */
static void large(void)
{
	struct ml_src *s = NULL;
	uint8_t buf[1024];

	CHECK(mkdir("l", 0755) == 0);
	if (!made("l/big", 9 * GIB, 0644)) {
		puts("ok large # skip no sparse files here");
		return;
	}
	CHECK(made("l/after", 3, 0644) && made("l/last", 3, 0644));
	CHECK(ml_tree_open(&s, "l", 0, &diag) == ML_OK);
	if (!s)
		return;
	CHECK(ml_src_size(s) == 9 * GIB + 1024 + 1536 + 1024 + 1024);
	CHECK(ml_src_read(s, 1024, buf, 1024, &diag) == ML_OK);
	CHECK(memcmp(buf, "PaxHeader", 10) == 0);
	CHECK(memcmp(buf + 512, "19 size=9663676416\n", 19) == 0);
	CHECK(ml_src_read(s, 1024 + 1536 + 9 * GIB - 1, buf, 6, &diag) == 0);
	CHECK(memcmp(buf, "zlast", 6) == 0);
	CHECK(ml_tree_check(s, &diag) == ML_OK);
	ml_src_free(s);
}

/* What is not there, or changed since. */
static void refused(void)
{
	struct ml_src *s = NULL;
	uint8_t buf[1024];

	CHECK(ml_tree_open(&s, "absent", 0, &diag) == ML_EIO && !s);
	CHECK(ml_tree_open(&s, "t/a", 0, &diag) == ML_EIO && !s);
	CHECK(mkdir("c", 0755) == 0 && made("c/f", 10, 0644));
	CHECK(ml_tree_open(&s, "c", 0, &diag) == ML_OK);
	if (!s)
		return;
	CHECK(made("c/f", 11, 0644));
	CHECK(ml_src_read(s, 0, buf, 1024, &diag) == ML_EIO);
	CHECK(strstr(diag.why, "'f' changed") != NULL);
	/* a link to something else is not followed */
	CHECK(unlink("c/f") == 0 && symlink("../t/a", "c/f") == 0);
	CHECK(ml_src_read(s, 0, buf, 1024, &diag) == ML_EIO);
	ml_src_free(s);
	CHECK(ml_tree_open(&s, "c", 0, &diag) == ML_OK && s);
	ml_src_free(s);
	CHECK(mkfifo("c/fifo", 0600) == 0);
	CHECK(ml_tree_open(&s, "c", 0, &diag) == ML_EFORMAT && !s);
	CHECK(strcmp(diag.why, "'fifo' is a FIFO") == 0);
}

/* There and back. */
static void written(void)
{
	struct ml_src *s = NULL, *again = NULL;
	uint8_t sha[2][ML_SHA256_LEN];
	struct stat st;
	int fd;

	CHECK(ml_tree_open(&s, "t", 0, &diag) == ML_OK);
	CHECK(mkdir("w", 0700) == 0);
	fd = open("w", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(ml_tree_write(s, fd, 0750, &diag) == ML_OK);
	CHECK(stat("w", &st) == 0 && (st.st_mode & 07777) == 0750);
	CHECK(stat("w/d/c", &st) == 0); /* the working directory is back */
	close(fd);
	CHECK(ml_tree_open(&again, "w", 0, &diag) == ML_OK);
	CHECK(ml_src_sha256(s, sha[0], &diag) == ML_OK);
	CHECK(ml_src_sha256(again, sha[1], &diag) == ML_OK);
	CHECK(memcmp(sha[0], sha[1], ML_SHA256_LEN) == 0);
	ml_src_free(s);
	ml_src_free(again);
}

static void removed(void)
{
	char name[40];
	int i, fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(ml_tree_remove(fd, "absent") == 0);
	CHECK(ml_tree_remove(fd, "t/a") == ENOTDIR);
	CHECK(mkdir("r", 0700) == 0 && mkdir("outside", 0700) == 0);
	CHECK(made("outside/f", 1, 0600));
	CHECK(symlink("../outside", "r/link") == 0);
	for (i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "r/%d", i);
		CHECK(i % 3 ? made(name, 1, 0) : mkdir(name, 0700) == 0);
		snprintf(name, sizeof(name), "r/%d/f", i);
		CHECK(i % 3 || made(name, 1, 0));
		snprintf(name, sizeof(name), "r/%d", i);
		CHECK(i % 3 || chmod(name, i & 0700) == 0);
	}
	CHECK(mkdir("r/x", 0700) == 0 && chdir("r/x") == 0);
	for (i = 0; i < 100; i++)
		CHECK(mkdir("d", 0700) == 0 && chdir("d") == 0);
	CHECK(fchdir(fd) == 0 && chmod("r", 0) == 0);
	CHECK(ml_tree_remove(fd, "r") == 0);
	CHECK(access("r", F_OK) < 0 && access("outside/f", F_OK) == 0);
	close(fd);
}

static int gone(const char *path, const struct stat *st, int type,
	struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(void)
{
	CHECK(mkdtemp(top) && chdir(top) == 0);
	umask(022);
	pieces();
	large();
	refused();
	written();
	removed();
	CHECK(chdir("/") == 0);
	nftw(top, gone, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
