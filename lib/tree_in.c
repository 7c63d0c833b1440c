/* SPDX-License-Identifier: MIT */
/*
 * A directory read as the canonical tar of tree.h (POSIX.1-2001, pax): all
 * that is kept is a list of its entries; headers are made and files are read
 * when their bytes are asked for. No header comes from a library, since a
 * base must have the same SHA-256 on every machine and with every version.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "set.h"
#include "tree.h"

#define BLOCK 512
#define END (2 * BLOCK) /* zeros at the end */
#define NO_ENTRY SIZE_MAX
#define OCTAL_11 UINT64_C(077777777777) /* the most that a size field holds */
#define OCTAL_7 07777777
#define OWNER_MAX 256 /* bytes of a user's name that are kept */
#define PAX_MAX 16384 /* of all records of one entry */
#define HEAD_MAX (PAX_MAX + 2 * BLOCK)
#define SHOWN 128

struct entry {
	char *path;
	char *link; /* of a symbolic link; else NULL */
	size_t same; /* the entry that it is a hard link to, or NO_ENTRY */
	uint64_t off; /* of its header in the tar */
	uint64_t size; /* of its data */
	dev_t dev;
	ino_t ino;
	struct timespec mtime;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	uint32_t head; /* bytes of its header */
	int shared; /* the file has other names, here or elsewhere */
};

/* The name that belongs to the last number asked for. */
struct owner {
	int known;
	unsigned long id;
	char name[OWNER_MAX]; /* "": none */
};

struct tree {
	int root; /* descriptor of the directory */
	int keep;
	struct entry *entry; /* sorted by path */
	size_t n, cap;
	uint64_t names; /* bytes of all paths and links */
	uint64_t end; /* of the last entry */
	struct owner user, group;
	int fd; /* of the entry `open`; or -1 */
	size_t open;
	uint8_t head[HEAD_MAX];
};

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* errno, about one path. */
static int fail_at(struct ml_diag *diag, const char *what, const char *path)
{
	char shown[SHOWN], why[SHOWN + 40];
	const int e = errno;

	ml_escape(shown, sizeof(shown), path, strlen(path));
	snprintf(why, sizeof(why), "%s '%s'", what, shown);
	errno = e;
	return ml_fail_errno(diag, why);
}

static int changed(struct ml_diag *diag, const char *path)
{
	char shown[SHOWN];

	return ml_fail(diag, ML_EIO, ML_NOWHERE,
		"'%s' changed while it was read",
		ml_escape(shown, sizeof(shown), path, strlen(path)));
}

/* Opens a path below root step by step, so that a directory which meanwhile
 * became a symbolic link leads nowhere else. */
static int open_below(int root, const char *path, int flags)
{
	char name[NAME_MAX + 1];
	int dir = root, fd, e;
	size_t n;

	for (;;) {
		n = strcspn(path, "/");
		if (n > NAME_MAX) {
			errno = ENAMETOOLONG;
			fd = -1;
		} else {
			memcpy(name, path, n);
			name[n] = '\0';
			fd = openat(dir, name, O_RDONLY | O_NOFOLLOW |
				O_CLOEXEC | (path[n] ? O_DIRECTORY : flags));
		}
		e = errno;
		if (dir != root)
			close(dir);
		errno = e;
		if (fd < 0 || !path[n])
			return fd;
		dir = fd;
		path += n + 1;
	}
}

/* ===== the list of entries ============================================== */

static void tree_free(void *ctx)
{
	struct tree *t = ctx;
	size_t i;

	for (i = 0; i < t->n; i++) {
		free(t->entry[i].path);
		free(t->entry[i].link);
	}
	free(t->entry);
	if (t->fd >= 0)
		close(t->fd);
	if (t->root >= 0)
		close(t->root);
	free(t);
}

/* dir/name, to be freed. */
static int join(char **out, const char *dir, const char *name,
	struct ml_diag *diag)
{
	const size_t n = strlen(dir), len = n + (n > 0) + strlen(name);
	char shown[SHOWN];

	*out = NULL;
	if (len > ML_TREE_PATH_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"a path of more than %d bytes: in '%s'",
			ML_TREE_PATH_MAX,
			ml_escape(shown, sizeof(shown), dir, n));
	*out = malloc(len + 1);
	if (!*out)
		return no_memory(diag);
	snprintf(*out, len + 1, "%s%s%s", dir, n > 0 ? "/" : "", name);
	return ML_OK;
}

static int read_link(struct entry *e, int dir, const char *name,
	struct ml_diag *diag)
{
	char target[PATH_MAX];
	const ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n < 0)
		return fail_at(diag, "cannot read the link", e->path);
	if ((size_t)n >= sizeof(target))
		return changed(diag, e->path);
	e->link = malloc((size_t)n + 1);
	if (!e->link)
		return no_memory(diag);
	memcpy(e->link, target, (size_t)n);
	e->link[n] = '\0';
	return ML_OK;
}

static int fill(struct entry *e, int dir, const char *name,
	struct ml_diag *diag)
{
	char shown[SHOWN];
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_at(diag, "cannot stat", e->path);
	e->same = NO_ENTRY;
	e->dev = st.st_dev;
	e->ino = st.st_ino;
	e->mtime = st.st_mtim;
	e->uid = st.st_uid;
	e->gid = st.st_gid;
	e->mode = st.st_mode;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR: return ML_OK;
	case S_IFLNK: return read_link(e, dir, name, diag);
	case S_IFREG:
		e->size = (uint64_t)st.st_size;
		e->shared = st.st_nlink > 1;
		return ML_OK;
	default: break;
	}
	ml_escape(shown, sizeof(shown), e->path, strlen(e->path));
	return ml_fail(diag, ML_EFORMAT, ML_NOWHERE, "'%s' is a %s", shown,
		S_ISSOCK(st.st_mode) ? "socket" :
		S_ISFIFO(st.st_mode) ? "FIFO" : "device");
}

static int add(struct tree *t, int dir, const char *dir_path,
	const char *name, struct ml_diag *diag)
{
	struct entry *e;
	size_t cap;
	int err;

	if (t->n >= ML_MEMBERS_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %u entries", ML_MEMBERS_MAX);
	if (t->n == t->cap) {
		cap = t->cap ? t->cap * 2 : 16;
		e = realloc(t->entry, cap * sizeof(*e));
		if (!e)
			return no_memory(diag);
		t->entry = e;
		t->cap = cap;
	}
	e = &t->entry[t->n];
	memset(e, 0, sizeof(*e));
	err = join(&e->path, dir_path, name, diag);
	if (err)
		return err;
	t->n++;
	err = fill(e, dir, name, diag);
	if (err)
		return err;
	t->names += strlen(e->path) + (e->link ? strlen(e->link) : 0);
	if (t->names > ML_TREE_NAMES_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %llu bytes of names",
			(unsigned long long)ML_TREE_NAMES_MAX);
	return ML_OK;
}

/* Adds what is in one directory, "" for the root. */
static int read_dir(struct tree *t, const char *path, struct ml_diag *diag)
{
	const int fd = open_below(t->root, *path ? path : ".", O_DIRECTORY);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *d;
	int err = ML_OK;

	if (!dir) {
		err = fail_at(diag, "cannot read", *path ? path : ".");
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err) {
		errno = 0;
		d = readdir(dir);
		if (!d && errno)
			err = fail_at(diag, "cannot read", *path ? path : ".");
		if (!d)
			break;
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			err = add(t, fd, path, d->d_name, diag);
	}
	closedir(dir);
	return err;
}

static int by_path(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;

	return strcmp(a->path, b->path);
}

static int by_file(const void *pa, const void *pb)
{
	const struct entry *a = *(const struct entry *const *)pa;
	const struct entry *b = *(const struct entry *const *)pb;

	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* The later names of a file become links to the first. */
static int find_links(struct tree *t, struct ml_diag *diag)
{
	struct entry **v = malloc((t->n + 1) * sizeof(struct entry *));
	size_t i, n = 0, first = 0;

	if (!v)
		return no_memory(diag);
	for (i = 0; i < t->n; i++)
		if (t->entry[i].shared)
			v[n++] = &t->entry[i];
	qsort(v, n, sizeof(*v), by_file);
	for (i = 1; i < n; i++) {
		if (v[i]->dev != v[first]->dev || v[i]->ino != v[first]->ino) {
			first = i;
			continue;
		}
		v[i]->same = (size_t)(v[first] - t->entry);
		v[i]->size = 0;
	}
	free(v);
	return ML_OK;
}

/* ===== headers ========================================================== */

/* A number in n - 1 octal digits and a NUL. */
static void octal(uint8_t *p, size_t n, uint64_t v)
{
	p[--n] = '\0';
	while (n-- > 0) {
		p[n] = (uint8_t)('0' + (v & 7));
		v >>= 3;
	}
}

/* A size that has no room as digits, as GNU tar writes it. */
static void binary(uint8_t *p, size_t n, uint64_t v)
{
	while (n-- > 0) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
	p[0] |= 0x80;
}

/* As much of a text as has room. */
static void text(uint8_t *p, size_t n, const char *s)
{
	const size_t len = strlen(s);

	memcpy(p, s, len < n ? len : n);
}

/* "LEN key=value\n", where LEN counts itself; a buffer of the header's size
 * has room for the records of one entry. */
static size_t record(uint8_t *p, const char *key, const char *value)
{
	const size_t rest = strlen(key) + strlen(value) + 3;
	size_t len = rest, before;
	char digits[24];

	do {
		before = len;
		len = rest + (size_t)snprintf(
			digits, sizeof(digits), "%zu", before);
	} while (len != before);
	/* one more for the NUL, which what follows replaces */
	snprintf((char *)p, len + 1, "%zu %s=%s\n", len, key, value);
	return len;
}

static int is_utf8(const char *s)
{
	char shown[8];

	/* what is not UTF-8 is escaped */
	for (; *s; s++) {
		const unsigned char c = (unsigned char)*s;
		size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

		if (c < 0x80)
			continue;
		if (strnlen(s, n) < n)
			return 0;
		ml_escape(shown, sizeof(shown), s, n);
		if (memcmp(shown, s, n) != 0)
			return 0;
		s += n - 1;
	}
	return 1;
}

/* Where a path is cut for the fields prefix and name; 0: not at all;
 * NO_ENTRY: it does not fit. */
static size_t cut(const char *path, size_t n)
{
	const char *slash;

	if (n <= 100)
		return 0;
	slash = strchr(path + (n - 101), '/');
	/* of "/", the name would be empty */
	if (!slash || slash == path || !slash[1] || slash - path > 155)
		return NO_ENTRY;
	return (size_t)(slash - path);
}

static const char *user_name(struct tree *t, uid_t uid)
{
	struct owner *o = &t->user;
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (!o->known || o->id != uid) {
		o->known = 1;
		o->id = uid;
		o->name[0] = '\0';
		if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) == 0 &&
			found && strlen(pw.pw_name) < OWNER_MAX)
			memcpy(o->name, pw.pw_name, strlen(pw.pw_name) + 1);
	}
	return o->name;
}

static const char *group_name(struct tree *t, gid_t gid)
{
	struct owner *o = &t->group;
	struct group gr, *found = NULL;
	char buf[65536]; /* groups have many members */

	if (!o->known || o->id != gid) {
		o->known = 1;
		o->id = gid;
		o->name[0] = '\0';
		if (getgrgid_r(gid, &gr, buf, sizeof(buf), &found) == 0 &&
			found && strlen(gr.gr_name) < OWNER_MAX)
			memcpy(o->name, gr.gr_name, strlen(gr.gr_name) + 1);
	}
	return o->name;
}

/* The last steps to a header: what is the same in all, and the sum. */
static void seal(uint8_t *h)
{
	unsigned sum = 0;
	size_t i;

	memcpy(h + 257, "ustar\00000", 8);
	memset(h + 148, ' ', 8);
	for (i = 0; i < BLOCK; i++)
		sum += h[i];
	octal(h + 148, 7, sum);
}

/* What is known of one entry, ready for its header. */
struct facts {
	char path[ML_TREE_PATH_MAX + 2]; /* of a directory: with a slash */
	const char *link, *user, *group;
	int64_t mtime;
	uid_t uid;
	gid_t gid;
	char type;
};

static void learn(struct tree *t, const struct entry *e, struct facts *f)
{
	f->type = S_ISDIR(e->mode) ? '5' : S_ISLNK(e->mode) ? '2' :
		e->same != NO_ENTRY ? '1' : '0';
	snprintf(f->path, sizeof(f->path), "%s%s", e->path,
		f->type == '5' ? "/" : "");
	f->link = e->link ? e->link :
		e->same != NO_ENTRY ? t->entry[e->same].path : "";
	f->mtime = t->keep ? (int64_t)e->mtime.tv_sec : 0;
	f->uid = t->keep ? e->uid : 0;
	f->gid = t->keep ? e->gid : 0;
	f->user = t->keep ? user_name(t, e->uid) : "";
	f->group = t->keep ? group_name(t, e->gid) : "";
}

static size_t number(uint8_t *p, const char *key, int64_t v)
{
	char value[24];

	snprintf(value, sizeof(value), "%lld", (long long)v);
	return record(p, key, value);
}

/* The records of what has no room in a ustar header. */
static size_t extended(uint8_t *p, const struct facts *f, uint64_t size)
{
	const int path = cut(f->path, strlen(f->path)) == NO_ENTRY;
	const int link = strlen(f->link) > 100;
	size_t n = 0;

	if ((path && !is_utf8(f->path)) || (link && !is_utf8(f->link)))
		n += record(p + n, "hdrcharset", "BINARY");
	if (path)
		n += record(p + n, "path", f->path);
	if (link)
		n += record(p + n, "linkpath", f->link);
	if (size > OCTAL_11)
		n += number(p + n, "size", (int64_t)size);
	if (f->mtime < 0 || (uint64_t)f->mtime > OCTAL_11)
		n += number(p + n, "mtime", f->mtime);
	if (f->uid > OCTAL_7)
		n += number(p + n, "uid", f->uid);
	if (f->gid > OCTAL_7)
		n += number(p + n, "gid", f->gid);
	if (strlen(f->user) > 31)
		n += record(p + n, "uname", f->user);
	if (strlen(f->group) > 31)
		n += record(p + n, "gname", f->group);
	return n;
}

static size_t padded(size_t n)
{
	return (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* Makes the header of an entry in t->head; returns its length. */
static uint32_t make_header(struct tree *t, const struct entry *e)
{
	uint8_t *h = t->head;
	struct facts f;
	size_t n, at;

	learn(t, e, &f);
	memset(h, 0, BLOCK);
	n = extended(h + BLOCK, &f, e->size);
	if (n > 0) {
		text(h, 100, "PaxHeader");
		octal(h + 100, 8, 0644);
		octal(h + 108, 8, 0);
		octal(h + 116, 8, 0);
		octal(h + 124, 12, n);
		octal(h + 136, 12, 0);
		h[156] = 'x';
		seal(h);
		memset(h + BLOCK + n, 0, padded(n) - n);
		h += BLOCK + padded(n);
	}
	memset(h, 0, BLOCK);
	at = cut(f.path, strlen(f.path));
	if (at == NO_ENTRY) {
		text(h, 100, f.path);
	} else if (at > 0) {
		memcpy(h + 345, f.path, at);
		text(h, 100, f.path + at + 1);
	} else {
		text(h, 100, f.path);
	}
	octal(h + 100, 8, f.type == '2' ? 0777 : e->mode & 07777);
	octal(h + 108, 8, f.uid > OCTAL_7 ? 0 : f.uid);
	octal(h + 116, 8, f.gid > OCTAL_7 ? 0 : f.gid);
	if (e->size > OCTAL_11)
		binary(h + 124, 12, e->size);
	else
		octal(h + 124, 12, e->size);
	octal(h + 136, 12, f.mtime < 0 || (uint64_t)f.mtime > OCTAL_11 ? 0 :
		(uint64_t)f.mtime);
	h[156] = (uint8_t)f.type;
	text(h + 157, 100, f.link);
	text(h + 265, 31, f.user);
	text(h + 297, 31, f.group);
	octal(h + 329, 8, 0);
	octal(h + 337, 8, 0);
	seal(h);
	return (uint32_t)(h + BLOCK - t->head);
}

/* Gives every entry its place. */
static int lay_out(struct tree *t, struct ml_diag *diag)
{
	uint64_t off = 0, next;
	struct entry *e;
	size_t i;

	for (i = 0; i < t->n; i++) {
		e = &t->entry[i];
		e->off = off;
		e->head = make_header(t, e);
		if (e->size > INT64_MAX / 2 ||
			!ml_add_ok(off, e->head + (e->size + BLOCK - 1) /
				BLOCK * BLOCK, &next) ||
			next > INT64_MAX - END)
			return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
				"the directory has too many bytes");
		off = next;
	}
	t->end = off;
	return ML_OK;
}

/* ===== reading ========================================================== */

/* Opens the file of entry i, unless it is open, and sees that it is still
 * what it was. */
static int open_file(struct tree *t, size_t i, struct ml_diag *diag)
{
	const struct entry *e = &t->entry[i];
	struct stat st;

	if (t->fd >= 0 && t->open != i) {
		close(t->fd);
		t->fd = -1;
	}
	if (t->fd < 0) {
		t->fd = open_below(t->root, e->path, O_NONBLOCK | O_NOCTTY);
		if (t->fd < 0)
			return fail_at(diag, "cannot open", e->path);
		t->open = i;
	}
	if (fstat(t->fd, &st) < 0)
		return fail_at(diag, "cannot stat", e->path);
	if (st.st_dev != e->dev || st.st_ino != e->ino ||
		(uint64_t)st.st_size != e->size ||
		st.st_mtim.tv_sec != e->mtime.tv_sec ||
		st.st_mtim.tv_nsec != e->mtime.tv_nsec)
		return changed(diag, e->path);
	return ML_OK;
}

static int read_file(struct tree *t, size_t i, uint64_t off, uint8_t *buf,
	size_t n, struct ml_diag *diag)
{
	const struct entry *e = &t->entry[i];
	int err = open_file(t, i, diag);

	while (!err && n > 0) {
		const ssize_t k = pread(t->fd, buf, n, (off_t)off);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return fail_at(diag, "cannot read", e->path);
		if (k == 0)
			return changed(diag, e->path);
		off += (uint64_t)k;
		buf += k;
		n -= (size_t)k;
	}
	return err;
}

/* The entry that holds the byte at off, which is before the end. */
static size_t find(const struct tree *t, uint64_t off)
{
	size_t lo = 0, hi = t->n, mid;

	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (t->entry[mid].off <= off)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static size_t least(size_t n, uint64_t left)
{
	return left < n ? (size_t)left : n;
}

static int tree_read(void *ctx, uint64_t off, void *buf, size_t n,
	struct ml_diag *diag)
{
	struct tree *t = ctx;
	uint8_t *p = buf;
	size_t i = t->n > 0 && off < t->end ? find(t, off) : t->n, k;
	int err = ML_OK;

	for (; !err && n > 0; p += k, off += k, n -= k) {
		const struct entry *e = &t->entry[i];
		uint64_t at;

		if (i == t->n) {
			memset(p, 0, n);
			break;
		}
		at = off - e->off;
		if (at < e->head) {
			k = least(n, e->head - at);
			make_header(t, e);
			memcpy(p, t->head + at, k);
			continue;
		}
		at -= e->head;
		if (at < e->size) {
			k = least(n, e->size - at);
			err = read_file(t, i, at, p, k, diag);
			continue;
		}
		k = least(n, (BLOCK - at % BLOCK) % BLOCK);
		memset(p, 0, k);
		i += k < n;
	}
	return err;
}

int ml_tree_open(struct ml_src **out, const char *path, int keep,
	struct ml_diag *diag)
{
	static const struct ml_src_ops ops = {tree_read, tree_free};
	struct tree *t = calloc(1, sizeof(*t));
	size_t i;
	int err;

	*out = NULL;
	if (!t)
		return no_memory(diag);
	t->keep = keep;
	t->fd = -1;
	t->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = t->root < 0 ? ml_fail_errno(diag, "cannot open") :
		read_dir(t, "", diag);
	for (i = 0; !err && i < t->n; i++)
		if (S_ISDIR(t->entry[i].mode))
			err = read_dir(t, t->entry[i].path, diag);
	if (!err && t->n > 0)
		qsort(t->entry, t->n, sizeof(*t->entry), by_path);
	if (!err)
		err = find_links(t, diag);
	if (!err)
		err = lay_out(t, diag);
	if (err) {
		tree_free(t);
		return err;
	}
	return ml_src_made(out, t->end + END, &ops, t, diag);
}
