/* SPDX-License-Identifier: MIT */
/*
 * A tar file: its regular files are the members of an archive. libarchive
 * reads the headers, of ustar, pax and GNU tar, and steps over the files
 * without reading them.
 *
 * Where a file's bytes lie is where libarchive stands after its header. That
 * is taken only if the block right before is the header of a plain file; what
 * comes in another way, like sparse files and their maps, stays opaque.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "container.h"
#include "set.h"

#define BLOCK 512
#define PIECE 4096 /* bytes read at a time */
#define CHECKSUM 148 /* of a header: where it lies, of 8 bytes */
#define TYPE 156

struct tar {
	struct ml_src *s;
	struct ml_diag *diag;
	int err; /* of s, with *diag */
	uint64_t pos;
	uint8_t buf[PIECE];
};

/* ===== what libarchive reads with ======================================= */

static la_ssize_t read_piece(struct archive *a, void *ctx, const void **buf)
{
	struct tar *t = ctx;
	const uint64_t left = ml_src_size(t->s) - t->pos;
	const size_t n = left < PIECE ? (size_t)left : PIECE;

	*buf = t->buf;
	t->err = ml_src_read(t->s, t->pos, t->buf, n, t->diag);
	if (t->err) {
		archive_set_error(a, EIO, "cannot read");
		return -1;
	}
	t->pos += n;
	return (la_ssize_t)n;
}

static la_int64_t skip(struct archive *a, void *ctx, la_int64_t n)
{
	struct tar *t = ctx;
	const uint64_t left = ml_src_size(t->s) - t->pos;

	(void)a;
	if (n < 0)
		return 0;
	if ((uint64_t)n > left)
		n = (la_int64_t)left;
	t->pos += (uint64_t)n;
	return n;
}

static la_int64_t seek(struct archive *a, void *ctx, la_int64_t off, int whence)
{
	struct tar *t = ctx;
	const la_int64_t size = (la_int64_t)ml_src_size(t->s);

	if (whence == SEEK_CUR)
		off += (la_int64_t)t->pos;
	else if (whence == SEEK_END)
		off += size;
	if (off < 0 || off > size) {
		archive_set_error(a, EINVAL, "beyond the file");
		return ARCHIVE_FATAL;
	}
	t->pos = (uint64_t)off;
	return off;
}

/* ===== members ========================================================== */

/* The sum that a header has of its own bytes, with blanks for the sum. Old
 * writers took the bytes as signed. */
static int sum_is_right(const uint8_t h[BLOCK])
{
	const uint8_t *p = h + CHECKSUM;
	long u = 8L * ' ', s = 8L * ' ', want = 0;
	size_t i = 0, digits = 0;

	while (i < 8 && p[i] == ' ')
		i++;
	for (; i < 8 && p[i] >= '0' && p[i] <= '7'; i++, digits++)
		want = want * 8 + (p[i] - '0');
	if (digits == 0)
		return 0;
	for (i = 0; i < BLOCK; i++) {
		if (i >= CHECKSUM && i < CHECKSUM + 8)
			continue;
		u += h[i];
		s += (int8_t)h[i];
	}
	return want == u || want == s;
}

/* Whether the file at off lies there as it is. */
static int is_plain(struct tar *t, uint64_t off, int *plain)
{
	uint8_t h[BLOCK];
	int err;

	*plain = 0;
	if (off < BLOCK || off > ml_src_size(t->s))
		return ML_OK;
	err = ml_src_read(t->s, off - BLOCK, h, BLOCK, t->diag);
	*plain = !err && sum_is_right(h) &&
		(h[TYPE] == '0' || h[TYPE] == '\0' || h[TYPE] == '7');
	return err;
}

static int member(struct tar *t, struct ml_set *set, struct archive *a,
	struct archive_entry *e)
{
	const la_int64_t at = archive_filter_bytes(a, -1);
	const char *name = archive_entry_pathname(e);
	int err, plain;

	if (!name)
		name = archive_entry_pathname_utf8(e);
	if (!name || archive_entry_filetype(e) != AE_IFREG ||
		archive_entry_hardlink(e) || archive_entry_hardlink_utf8(e) ||
		archive_entry_sparse_count(e) > 0 ||
		archive_entry_size(e) < 0 || at < 0)
		return ML_OK;
	err = is_plain(t, (uint64_t)at, &plain);
	if (err || !plain)
		return err;
	return ml_set_stored(set, name, strlen(name), (uint64_t)at,
		(uint64_t)archive_entry_size(e), t->diag);
}

static int failed(struct tar *t, struct archive *a)
{
	const char *why = archive_error_string(a);
	char shown[ML_DIAG_MAX - 40];

	if (t->err)
		return t->err;
	if (archive_errno(a) == ENOMEM)
		return ml_fail(t->diag, ML_ENOMEM, ML_NOWHERE,
			"out of memory");
	if (!why)
		why = "cannot be followed";
	ml_escape(shown, sizeof(shown), why, strlen(why));
	return ml_fail(t->diag, ML_EFORMAT, ML_NOWHERE, "tar: %s", shown);
}

static int list(struct tar *t, struct ml_set *set, struct archive *a)
{
	struct archive_entry *e;
	int r, err = ML_OK;

	r = archive_read_support_format_tar(a);
	if (r == ARCHIVE_OK)
		r = archive_read_set_callback_data(a, t);
	if (r == ARCHIVE_OK)
		r = archive_read_set_read_callback(a, read_piece);
	if (r == ARCHIVE_OK)
		r = archive_read_set_skip_callback(a, skip);
	if (r == ARCHIVE_OK)
		r = archive_read_set_seek_callback(a, seek);
	if (r == ARCHIVE_OK)
		r = archive_read_open1(a);
	if (r != ARCHIVE_OK)
		return failed(t, a);
	for (;;) {
		r = archive_read_next_header(a, &e);
		if (r == ARCHIVE_EOF)
			return ML_OK;
		/* a warning is of a name or a date */
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return failed(t, a);
		err = member(t, set, a, e);
		if (err)
			return err;
	}
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	struct tar t = {.s = s, .diag = diag};
	struct archive *a;
	struct ml_set set;
	int err;

	if (m->depth >= ML_DEPTH_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %d archives in each other", ML_DEPTH_MAX);
	a = archive_read_new();
	if (!a)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	ml_set_init(&set, s, m);
	err = list(&t, &set, a);
	archive_read_free(a);
	if (!err)
		err = ml_set_finish(&set, diag);
	ml_set_free(&set);
	return err;
}

static int probe(const uint8_t *head, size_t n)
{
	return n >= BLOCK && sum_is_right(head);
}

const struct ml_reader ml_reader_tar = {
	ML_TAR, "tar", probe, walk,
};
