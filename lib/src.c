/* SPDX-License-Identifier: MIT */
/* Random access to bytes: pread on a descriptor, which for anything but a
 * regular file belongs to an unlinked temporary file; or a part of another
 * source; or what a function makes. Never mapped, so that a model larger than
 * the memory costs no more than the cache. */
#define _GNU_SOURCE /* copy_file_range */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ml.h"
#include "bytes.h"
#include "temp.h"

#define CACHE 65536
/* Read of it where nothing says that it goes on from there; less of what has to
 * be made. */
#define AHEAD 4096
#define AHEAD_MADE 512
#define COPY 262144 /* bytes per read when spooling */

struct ml_src {
	uint64_t size;
	struct ml_src *of; /* a view: of this; else NULL */
	uint64_t base; /* where it begins there, or in fd */
	const struct ml_src_ops *ops; /* made by a function; else NULL */
	void *ctx;
	int fd; /* all others */
	int own; /* whether fd is ours to close */
	uint64_t at; /* offset of cache[0] */
	size_t n; /* valid bytes in the cache; all below size */
	size_t ahead; /* bytes read last to fill it */
	uint8_t cache[]; /* CACHE bytes, but for a view */
};

static struct ml_src *src_new(int fd, int own, uint64_t size)
{
	struct ml_src *s = malloc(sizeof(*s) + CACHE);

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->own = own;
	s->size = size;
	return s;
}

int ml_src_made(struct ml_src **out, uint64_t size,
	const struct ml_src_ops *ops, void *ctx, struct ml_diag *diag)
{
	*out = src_new(-1, 0, size);
	if (!*out) {
		if (ops->free)
			ops->free(ctx);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	(*out)->ops = ops;
	(*out)->ctx = ctx;
	return ML_OK;
}

int ml_src_view(struct ml_src **out, struct ml_src *of, uint64_t off,
	uint64_t n, struct ml_diag *diag)
{
	struct ml_src *s;

	*out = NULL;
	if (off > of->size || n > of->size - off)
		return ml_fail(diag, ML_EFORMAT, off,
			"a part of %llu bytes leaves the file of %llu",
			(unsigned long long)n, (unsigned long long)of->size);
	s = calloc(1, sizeof(*s));
	if (!s)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	s->of = of;
	s->base = off;
	s->size = n;
	*out = s;
	return ML_OK;
}

int ml_src_share(struct ml_src **out, const struct ml_src *of,
	struct ml_diag *diag)
{
	uint64_t base = of->base, size = of->size;

	*out = NULL;
	for (; of->of; base += of->base)
		of = of->of;
	if (of->ops)
		return ML_EINVAL;
	*out = src_new(of->fd, 0, size);
	if (!*out)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	(*out)->base = base;
	return ML_OK;
}

int ml_src_stamp(const struct ml_src *s, struct ml_stamp *st)
{
	struct stat now;

	while (s->of)
		s = s->of;
	memset(st, 0, sizeof(*st));
	if (s->ops || fstat(s->fd, &now) < 0)
		return 0;
	st->file[0] = now.st_dev;
	st->file[1] = now.st_ino;
	st->size = (uint64_t)now.st_size;
	st->written[0] = now.st_mtim.tv_sec;
	st->written[1] = now.st_mtim.tv_nsec;
	st->changed[0] = now.st_ctim.tv_sec;
	st->changed[1] = now.st_ctim.tv_nsec;
	return 1;
}

int ml_src_spool(struct ml_src **out, struct ml_diag *diag)
{
	int fd, err = ml_temp_fd(&fd, diag);

	*out = NULL;
	if (err)
		return err;
	*out = src_new(fd, 1, 0);
	if (!*out) {
		close(fd);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	return ML_OK;
}

static int write_at(struct ml_src *s, uint64_t off, const uint8_t *b, size_t n,
	struct ml_diag *diag)
{
	while (n > 0) {
		const ssize_t k = pwrite(s->fd, b, n, (off_t)off);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return ml_fail_errno(
				diag, "cannot write a temporary file");
		off += (uint64_t)k;
		if (off > s->size)
			s->size = off;
		b += k;
		n -= (size_t)k;
	}
	return ML_OK;
}

int ml_src_append(
	struct ml_src *s, const void *p, size_t n, struct ml_diag *diag)
{
	return write_at(s, s->size, p, n, diag);
}

int ml_src_put(struct ml_src *s, uint64_t off, const void *p, size_t n,
	struct ml_diag *diag)
{
	s->n = 0;
	return write_at(s, off, p, n, diag);
}

void ml_src_cut(struct ml_src *s, uint64_t size)
{
	s->size = size;
	s->n = 0;
}

/* Appends what is left to read from fd. */
static int drain(struct ml_src *s, int fd, struct ml_diag *diag)
{
	uint8_t *buf = malloc(COPY);
	int err = ML_OK;

	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (;;) {
		const ssize_t k = read(fd, buf, COPY);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			err = ml_fail_errno(diag, "cannot read");
		if (k <= 0)
			break;
		err = ml_src_append(s, buf, (size_t)k, diag);
		if (err)
			break;
	}
	free(buf);
	return err;
}

int ml_src_fd_head(struct ml_src **out, int fd, const void *head, size_t n,
	struct ml_diag *diag)
{
	int err = ml_src_spool(out, diag);

	if (err)
		return err;
	err = ml_src_append(*out, head, n, diag);
	if (!err)
		err = drain(*out, fd, diag);
	if (err) {
		ml_src_free(*out);
		*out = NULL;
	}
	return err;
}

int ml_src_fd(struct ml_src **out, int fd, struct ml_diag *diag)
{
	struct stat st;

	*out = NULL;
	if (fstat(fd, &st) < 0)
		return ml_fail_errno(diag, "cannot stat");
	if (!S_ISREG(st.st_mode))
		return ml_src_fd_head(out, fd, "", 0, diag);
	*out = src_new(fd, 0, (uint64_t)st.st_size);
	if (!*out)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	return ML_OK;
}

int ml_src_open(struct ml_src **out, const char *path, struct ml_diag *diag)
{
	int fd, err;

	*out = NULL;
	do
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return ml_fail_errno(diag, "cannot open");
	err = ml_src_fd(out, fd, diag);
	if (!err && (*out)->fd == fd)
		(*out)->own = 1;
	else
		close(fd);
	return err;
}

void ml_src_free(struct ml_src *s)
{
	if (!s)
		return;
	if (s->own)
		close(s->fd);
	if (s->ops && s->ops->free)
		s->ops->free(s->ctx);
	free(s);
}

uint64_t ml_src_size(const struct ml_src *s)
{
	return s->size;
}

/* pread until n bytes came. */
static int read_at(struct ml_src *s, uint64_t off, uint8_t *b, size_t n,
	struct ml_diag *diag)
{
	if (s->ops)
		return s->ops->read(s->ctx, off, b, n, diag);
	off += s->base;
	while (n > 0) {
		const ssize_t k = pread(s->fd, b, n, (off_t)off);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return ml_fail_errno(diag, "cannot read");
		if (k == 0)
			return ml_fail(diag, ML_ETRUNC, off,
				"file became shorter while it was read");
		off += (uint64_t)k;
		b += k;
		n -= (size_t)k;
	}
	return ML_OK;
}

int ml_src_read(struct ml_src *s, uint64_t off, void *buf, size_t n,
	struct ml_diag *diag)
{
	const size_t least = s->ops ? AHEAD_MADE : AHEAD;
	uint64_t end;
	size_t want;
	int err;

	if (!ml_add_ok(off, n, &end) || end > s->size)
		return ml_fail(diag, ML_ETRUNC, off,
			"%zu bytes wanted, but the file ends at %llu", n,
			(unsigned long long)s->size);
	if (n == 0)
		return ML_OK;
	if (s->of)
		return ml_src_read(s->of, s->base + off, buf, n, diag);
	if (n >= CACHE)
		return read_at(s, off, buf, n, diag);
	if (off < s->at || end > s->at + s->n) {
		/* more and more while it goes on about where it ended */
		s->ahead = off < s->at || off - s->at > s->n + least ||
			!s->ahead ? least : s->ahead < CACHE / 4 ?
			4 * s->ahead : CACHE;
		want = s->ahead < n ? n : s->ahead;
		if (want > s->size - off)
			want = (size_t)(s->size - off);
		s->n = 0;
		err = read_at(s, off, s->cache, want, diag);
		if (err)
			return err;
		s->at = off;
		s->n = want;
	}
	memcpy(buf, s->cache + (off - s->at), n);
	return ML_OK;
}

/* How many bytes of a source's file the kernel has copied to that of f, without
 * their coming here. What keeps it from that, read and write will tell. */
static uint64_t pass_on(const struct ml_src *s, FILE *f)
{
	const uint64_t size = s->size;
	uint64_t base = s->base, done = 0;
	int range = 1, to;
	ssize_t k = 1;
	off_t at;

	for (; s->of; base += s->base)
		s = s->of;
	to = fileno(f);
	if (s->ops || to < 0 || fflush(f) == EOF)
		return 0;
	while (done < size && (k > 0 || errno == EINTR)) {
		const uint64_t left = size - done;
		const size_t n = left < 1u << 30 ? (size_t)left : 1u << 30;

		at = (off_t)(base + done);
		k = range ? copy_file_range(s->fd, &at, to, NULL, n, 0) : -1;
		if (k <= 0 && range && done == 0) {
			range = 0; /* not between such files */
			k = sendfile(to, s->fd, &at, n);
		} else if (k < 0 && !range) {
			k = sendfile(to, s->fd, &at, n);
		}
		if (k > 0)
			done += (uint64_t)k;
		else if (k == 0)
			break;
	}
	return done;
}

int ml_src_copy(struct ml_src *s, FILE *f, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	uint8_t *buf = malloc(COPY);
	uint64_t off = pass_on(s, f);
	int err = ML_OK;

	if (!buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	while (!err && off < size) {
		const size_t n = size - off < COPY ? (size_t)(size - off) :
			COPY;

		err = ml_src_read(s, off, buf, n, diag);
		if (err)
			break;
		errno = 0;
		if (fwrite(buf, 1, n, f) != n)
			err = ml_fail_errno(diag, "cannot write");
		off += n;
	}
	free(buf);
	return err;
}
