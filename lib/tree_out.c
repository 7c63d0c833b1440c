/* SPDX-License-Identifier: MIT */
/*
 * A tar written as a directory. Everything in it is hostile, so its list of
 * entries is judged as a whole first; then libarchive writes them, with its
 * own checks on top, relative to the directory as the working directory: a
 * symbolic link on the way to that is none of the tar's. And the removal of
 * directories.
 */
#define _GNU_SOURCE /* O_PATH */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bytes.h"
#include "set.h"
#include "tree.h"

#define PIECE 65536
#define SHOWN 100

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

static int refuse(struct ml_diag *diag, const char *path, const char *why)
{
	char shown[SHOWN];

	return ml_fail(diag, ML_EFORMAT, ML_NOWHERE, "entry '%s' %s",
		ml_escape(shown, sizeof(shown), path, strlen(path)), why);
}

/* ===== reading the tar ================================================== */

/* A source as libarchive reads it. */
struct input {
	struct ml_src *src;
	uint64_t off;
	struct archive *a;
	struct ml_diag *diag;
	int err; /* of the source */
	uint8_t buf[PIECE];
};

static la_ssize_t give(struct archive *a, void *ctx, const void **buf)
{
	struct input *in = ctx;
	const uint64_t left = ml_src_size(in->src) - in->off;
	const size_t n = left < PIECE ? (size_t)left : PIECE;

	*buf = in->buf;
	in->err = ml_src_read(in->src, in->off, in->buf, n, in->diag);
	if (in->err) {
		archive_set_error(a, EIO, "cannot read");
		return -1;
	}
	in->off += n;
	return (la_ssize_t)n;
}

static la_int64_t skip(struct archive *a, void *ctx, la_int64_t n)
{
	struct input *in = ctx;
	const uint64_t left = ml_src_size(in->src) - in->off;

	(void)a;
	if ((uint64_t)n > left)
		n = (la_int64_t)left; /* what misses it will be told */
	in->off += (uint64_t)n;
	return n;
}

/* What libarchive did not like about the tar. */
static int bad_tar(struct input *in)
{
	const char *why = archive_error_string(in->a);

	if (in->err)
		return in->err; /* and *diag */
	if (archive_errno(in->a) == ENOMEM)
		return no_memory(in->diag);
	return ml_fail(in->diag, ML_EFORMAT, ML_NOWHERE, "no tar, or a "
		"damaged one: %s", why ? why : "no reason");
}

static int open_tar(struct input *in, struct ml_src *tar, struct ml_diag *diag)
{
	in->src = tar;
	in->off = 0;
	in->diag = diag;
	in->err = ML_OK;
	in->a = archive_read_new();
	if (!in->a)
		return no_memory(diag);
	if (archive_read_support_format_tar(in->a) == ARCHIVE_OK &&
		archive_read_open2(in->a, in, NULL, give, skip, NULL) ==
			ARCHIVE_OK)
		return ML_OK;
	return bad_tar(in);
}

/* The next entry, NULL at the end. A warning is about a name that is not in
 * the charset of a locale; names stay bytes here. */
static int next_entry(struct input *in, struct archive_entry **e)
{
	const int r = archive_read_next_header(in->a, e);

	if (r == ARCHIVE_EOF)
		*e = NULL;
	else if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return bad_tar(in);
	return ML_OK;
}

/* ===== the list of entries ============================================== */

enum kind { DIRECTORY, FILE_OR_LINK_TO_IT, SYMLINK };

struct item {
	char *path; /* as plain() has it; "" for the directory itself */
	char *target; /* path of the file that this is a hard link to */
	size_t i; /* place in the tar */
	enum kind kind;
};

struct items {
	struct item *item;
	size_t n, cap;
	uint64_t names;
};

static void items_free(struct items *v)
{
	size_t i;

	for (i = 0; i < v->n; i++) {
		free(v->item[i].path);
		free(v->item[i].target);
	}
	free(v->item);
}

/* A path without "." and double slashes, to be freed. what: of the messages,
 * which name `entry`. */
static int plain(char **out, const char *path, const char *entry,
	const char *what, struct ml_diag *diag)
{
	const size_t len = path ? strlen(path) : 0;
	char why[64];
	size_t n = 0, k;
	char *p;

	*out = NULL;
	why[0] = '\0';
	if (len == 0)
		snprintf(why, sizeof(why), "has an empty %s", what);
	else if (path[0] == '/')
		snprintf(why, sizeof(why), "has an absolute %s", what);
	else if (len > ML_TREE_PATH_MAX)
		snprintf(why, sizeof(why), "has a %s of more than %d bytes",
			what, ML_TREE_PATH_MAX);
	if (why[0])
		return refuse(diag, entry, why);
	p = malloc(len + 1);
	if (!p)
		return no_memory(diag);
	for (; *path; path += k + (path[k] == '/')) {
		k = strcspn(path, "/");
		if (k == 2 && path[0] == '.' && path[1] == '.') {
			free(p);
			snprintf(why, sizeof(why), "has '..' in its %s", what);
			return refuse(diag, entry, why);
		}
		if (k == 0 || (k == 1 && path[0] == '.'))
			continue;
		if (n > 0)
			p[n++] = '/';
		memcpy(p + n, path, k);
		n += k;
	}
	p[n] = '\0';
	*out = p;
	return ML_OK;
}

static int add(struct items *v, struct archive_entry *e, struct ml_diag *diag)
{
	const char *path = archive_entry_pathname(e);
	const char *target = archive_entry_hardlink(e);
	struct item *it;
	size_t cap;
	int err;

	if (v->n >= ML_MEMBERS_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %u entries", ML_MEMBERS_MAX);
	if (v->n == v->cap) {
		cap = v->cap ? v->cap * 2 : 16;
		it = realloc(v->item, cap * sizeof(*it));
		if (!it)
			return no_memory(diag);
		v->item = it;
		v->cap = cap;
	}
	it = &v->item[v->n];
	memset(it, 0, sizeof(*it));
	it->i = v->n++;
	path = path ? path : "";
	err = plain(&it->path, path, path, "path", diag);
	if (!err && target)
		err = plain(&it->target, target, path, "link", diag);
	if (err)
		return err;
	v->names += strlen(it->path) + (target ? strlen(it->target) : 0);
	if (v->names > ML_TREE_NAMES_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %llu bytes of names",
			(unsigned long long)ML_TREE_NAMES_MAX);
	it->kind = FILE_OR_LINK_TO_IT;
	if (target)
		return archive_entry_size(e) > 0 ?
			refuse(diag, path, "is a link with data") : ML_OK;
	if (archive_entry_filetype(e) == AE_IFDIR)
		it->kind = DIRECTORY;
	else if (archive_entry_filetype(e) == AE_IFLNK)
		it->kind = SYMLINK;
	else if (archive_entry_filetype(e) != AE_IFREG)
		return refuse(diag, path,
			"is neither a file, a directory nor a link");
	if (!it->path[0] && it->kind != DIRECTORY)
		return refuse(diag, path, "is in the directory's own place");
	return ML_OK;
}

/* The slash goes before all, so that what is in a directory follows it
 * directly. */
static int rank(char c)
{
	return c == '\0' ? 0 : c == '/' ? 1 : 1 + (unsigned char)c;
}

static int compare(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return rank(*a) - rank(*b);
}

static int by_path(const void *pa, const void *pb)
{
	const struct item *a = pa, *b = pb;
	const int c = compare(a->path, b->path);

	return c ? c : a->i < b->i ? -1 : a->i > b->i;
}

static const struct item *find(const struct items *v, const char *path)
{
	size_t lo = 0, hi = v->n, mid;
	int c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		c = compare(v->item[mid].path, path);
		if (c == 0)
			return &v->item[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Whether path is below the one of n bytes. */
static int below(const char *path, const char *dir, size_t n)
{
	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

static int judge(struct items *v, struct ml_diag *diag)
{
	const struct item *it, *end, *leaf = NULL, *file;

	if (v->n == 0)
		return ML_OK;
	end = v->item + v->n;
	qsort(v->item, v->n, sizeof(*v->item), by_path);
	for (it = v->item; it < end; it++) {
		if (it > v->item && strcmp(it[-1].path, it->path) == 0)
			return refuse(diag, it->path, "is there twice");
		if (leaf && below(it->path, leaf->path, strlen(leaf->path)))
			return refuse(diag, it->path, leaf->kind == SYMLINK ?
				"lies behind a symbolic link" :
				"lies in what is no directory");
		if (it->kind != DIRECTORY)
			leaf = it;
	}
	for (it = v->item; it < end; it++) {
		if (!it->target)
			continue;
		file = find(v, it->target);
		if (!file || file->kind != FILE_OR_LINK_TO_IT ||
			file->i >= it->i)
			return refuse(diag, it->path,
				"is a hard link to no file before it");
	}
	return ML_OK;
}

/* The check; *has_top: whether there is an entry for the directory itself. */
static int check(struct ml_src *tar, int *has_top, struct ml_diag *diag)
{
	struct input *in = malloc(sizeof(*in));
	struct items v = {0};
	struct archive_entry *e = NULL;
	int err = in ? open_tar(in, tar, diag) : no_memory(diag);

	while (!err) {
		err = next_entry(in, &e);
		if (err || !e)
			break;
		err = add(&v, e, diag);
	}
	if (!err)
		err = judge(&v, diag);
	*has_top = !err && v.n > 0 && !v.item[0].path[0];
	items_free(&v);
	if (in)
		archive_read_free(in->a);
	free(in);
	return err;
}

int ml_tree_check(struct ml_src *tar, struct ml_diag *diag)
{
	int has_top;

	return check(tar, &has_top, diag);
}

/* ===== writing ========================================================== */

/* What failed while an entry was written: mostly an errno. */
static int bad_write(struct archive *disk, struct archive_entry *e,
	struct ml_diag *diag)
{
	const char *path = archive_entry_pathname(e);
	const char *text = archive_error_string(disk);
	char shown[SHOWN], why[SHOWN + 20];
	const int code = archive_errno(disk);

	ml_escape(shown, sizeof(shown), path, strlen(path));
	if (code <= 0)
		return ml_fail(diag, ML_EIO, ML_NOWHERE, "cannot write '%s': "
			"%.80s", shown, text ? text : "no reason");
	snprintf(why, sizeof(why), "cannot write '%s'", shown);
	errno = code;
	return ml_fail_errno(diag, why);
}

/* Whether an entry says whose it is. */
static int has_owner(struct archive_entry *e)
{
	const char *user = archive_entry_uname(e);
	const char *group = archive_entry_gname(e);

	return archive_entry_uid(e) != 0 || archive_entry_gid(e) != 0 ||
		(user && *user) || (group && *group);
}

/* Leaves in an entry what is to be written. gid: of a new file there. */
static int prepare(struct archive_entry *e, gid_t gid, struct ml_diag *diag)
{
	const char *target = archive_entry_hardlink(e);
	char *path = NULL, *link = NULL;
	int err = plain(&path, archive_entry_pathname(e), "", "path", diag);

	if (!err && target)
		err = plain(&link, target, path, "link", diag);
	if (!err) {
		archive_entry_copy_pathname(e, *path ? path : ".");
		if (target)
			archive_entry_copy_hardlink(e, link);
	}
	free(path);
	free(link);
	if (err)
		return err;
	if (geteuid() != 0 || !has_owner(e)) {
		/* libarchive keeps set-id bits only for the right owner */
		archive_entry_set_uid(e, geteuid());
		archive_entry_set_gid(e, gid);
		archive_entry_copy_uname(e, NULL);
		archive_entry_copy_gname(e, NULL);
	}
	if (archive_entry_mtime(e) == 0)
		archive_entry_unset_mtime(e);
	archive_entry_unset_atime(e);
	return ML_OK;
}

static int write_entry(struct archive *disk, struct archive_entry *e,
	struct input *in)
{
	const void *p;
	la_int64_t off;
	size_t n;
	int r;

	if (archive_write_header(disk, e) != ARCHIVE_OK)
		return bad_write(disk, e, in->diag);
	while (archive_entry_size(e) > 0) {
		r = archive_read_data_block(in->a, &p, &n, &off);
		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return bad_tar(in);
		if (archive_write_data_block(disk, p, n, off) != ARCHIVE_OK)
			return bad_write(disk, e, in->diag);
	}
	if (archive_write_finish_entry(disk) != ARCHIVE_OK)
		return bad_write(disk, e, in->diag);
	return ML_OK;
}

/* All entries, into the working directory. */
static int write_all(struct input *in, struct archive *disk, gid_t gid)
{
	struct archive_entry *e = NULL;
	int flags = ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
		ARCHIVE_EXTRACT_SECURE_SYMLINKS |
		ARCHIVE_EXTRACT_SECURE_NODOTDOT |
		ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS;
	int err;

	if (geteuid() == 0)
		flags |= ARCHIVE_EXTRACT_OWNER;
	if (archive_write_disk_set_options(disk, flags) != ARCHIVE_OK ||
		archive_write_disk_set_standard_lookup(disk) != ARCHIVE_OK)
		return no_memory(in->diag);
	for (;;) {
		err = next_entry(in, &e);
		if (err || !e)
			break;
		err = prepare(e, gid, in->diag);
		if (!err)
			err = write_entry(disk, e, in);
		if (err)
			break;
	}
	/* now come the modes and times of directories */
	if (archive_write_close(disk) != ARCHIVE_OK && !err)
		err = ml_fail(in->diag, ML_EIO, ML_NOWHERE,
			"cannot finish the directories: %.100s",
			archive_error_string(disk));
	return err;
}

static int write_here(struct ml_src *tar, gid_t gid, struct ml_diag *diag)
{
	struct archive *disk = archive_write_disk_new();
	struct input *in = malloc(sizeof(*in));
	int err = in ? open_tar(in, tar, diag) : no_memory(diag);

	if (!err && !disk)
		err = no_memory(diag);
	if (!err)
		err = write_all(in, disk, gid);
	archive_write_free(disk);
	if (in)
		archive_read_free(in->a);
	free(in);
	return err;
}

int ml_tree_write(struct ml_src *tar, int dir, unsigned mode,
	struct ml_diag *diag)
{
	int has_top, back, err = check(tar, &has_top, diag);
	struct stat st;

	if (err)
		return err;
	back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (back < 0)
		return ml_fail_errno(diag, "cannot open '.'");
	if (fstat(dir, &st) < 0 || fchdir(dir) < 0)
		err = ml_fail_errno(diag, "cannot enter the new directory");
	else
		err = write_here(tar, st.st_gid, diag);
	if (fchdir(back) < 0 && !err)
		err = ml_fail_errno(diag, "cannot go back");
	if (!err && !has_top && fchmod(dir, mode) < 0)
		err = ml_fail_errno(diag, "cannot set the directory's mode");
	close(back);
	return err;
}

/* ===== removing ========================================================= */

/* As the kernel gives directory entries: getdents64(2). */
struct dent {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* Opens a directory by name, also one that may not be read, for removing
 * what is in it. */
static int enter(int parent, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	char proc[] = "/proc/self/fd/..........";
	int fd = openat(parent, name, flags), p, n, i;
	struct stat st;

	if (fd < 0 && errno == EACCES) {
		p = openat(parent, name, flags | O_PATH);
		if (p < 0)
			return -1;
		/* O_PATH has no fchmod, and a name could be exchanged */
		i = (int)sizeof("/proc/self/fd/") - 1;
		for (n = p; n >= 10; n /= 10)
			i++;
		proc[i + 1] = '\0';
		for (n = p; i >= (int)sizeof("/proc/self/fd/") - 1; n /= 10)
			proc[i--] = (char)('0' + n % 10);
		n = chmod(proc, 0700);
		close(p);
		if (n < 0)
			return -1;
		fd = openat(parent, name, flags);
	}
	if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0300) != 0300)
		fchmod(fd, 0700); /* if it fails, so will unlinkat */
	return fd;
}

enum outcome { EMPTY, FULL, FAILED };

/* Removes what is in fd up to the first directory that is not empty, whose
 * descriptor then is *down. */
static enum outcome sweep(int fd, int *down)
{
	_Alignas(struct dent) char buf[8192];
	const struct dent *d;
	long n, i;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return FAILED;
	for (;;) {
		n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
		if (n < 0)
			return FAILED;
		if (n == 0)
			return EMPTY;
		for (i = 0; i < n; i += d->len) {
			const void *at = buf + i;

			d = at;
			if (strcmp(d->name, ".") == 0 ||
				strcmp(d->name, "..") == 0)
				continue;
			/* Linux says EISDIR, POSIX EPERM */
			if (unlinkat(fd, d->name, 0) == 0 || errno == ENOENT)
				continue;
			if (errno != EISDIR && errno != EPERM)
				return FAILED;
			if (unlinkat(fd, d->name, AT_REMOVEDIR) == 0)
				continue;
			if (errno == ENOTDIR)
				errno = EPERM; /* what unlinking said */
			if (errno != ENOTEMPTY && errno != EEXIST)
				return FAILED;
			*down = enter(fd, d->name);
			return *down < 0 ? FAILED : FULL;
		}
	}
}

/* From the top again for every directory that became empty: the way back up
 * by ".." would lead astray where someone moves directories. */
int ml_tree_remove(int parent, const char *name)
{
	int fd, down = -1, depth = 1, e = 0;
	enum outcome o = FULL;

	for (;;) {
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 ||
			errno == ENOENT)
			return 0;
		/* depth 0: it was found empty already, but it is not */
		if ((errno != ENOTEMPTY && errno != EEXIST) || depth == 0)
			return errno;
		fd = enter(parent, name);
		if (fd < 0)
			return errno == ENOENT ? 0 : errno;
		for (depth = 0;; depth++, fd = down) {
			o = sweep(fd, &down);
			e = errno;
			close(fd);
			if (o != FULL)
				break;
		}
		if (o == FAILED)
			return e;
	}
}
