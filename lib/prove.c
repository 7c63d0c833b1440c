/* SPDX-License-Identifier: MIT */
/* Patches that are applied to see what they make: into a spool, or only to
 * prove that they make what they promise. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mldec.h"
#include "prove.h"

#define COPY 65536

static int to_spool(
	void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	return ml_src_append(ctx, p, n, diag);
}

static int from_spool(
	void *ctx, uint64_t off, uint8_t *p, size_t n, struct ml_diag *diag)
{
	return ml_src_read(ctx, off, p, n, diag);
}

int ml_apply_spool(struct ml_src *psrc, uint64_t *off, struct ml_src *bsrc,
	struct ml_src **target, struct ml_diag *diag)
{
	struct ml_target t = {.write = to_spool, .read = from_spool};
	int err = ml_src_spool(target, diag);

	if (err)
		return err;
	t.ctx = *target;
	err = ml_apply(psrc, off, bsrc, ML_FULL, &t, diag);
	if (err) {
		ml_src_free(*target);
		*target = NULL;
	}
	return err;
}

struct nowhere {
	void (*progress)(void *arg, uint64_t done);
	void *arg;
	uint64_t done;
};

static int to_nowhere(
	void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct nowhere *to = ctx;

	(void)p;
	(void)diag;
	to->done += n;
	if (to->progress)
		to->progress(to->arg, to->done);
	return ML_OK;
}

/* An unlinked file where the spools lie. */
static int scratch(FILE **f, struct ml_diag *diag)
{
	static const char leaf[] = "/ml-patch.XXXXXX";
	const char *dir = getenv("TMPDIR");
	size_t len;
	char *path;
	int fd;

	if (!dir || !*dir)
		dir = "/tmp";
	len = strlen(dir);
	path = malloc(len + sizeof(leaf));
	if (!path)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	memcpy(path, dir, len);
	memcpy(path + len, leaf, sizeof(leaf));
	fd = mkstemp(path);
	if (fd >= 0) {
		unlink(path);
		*f = fdopen(fd, "w+b");
		if (!*f)
			close(fd);
	}
	free(path);
	if (!*f)
		return ml_fail_errno(diag, "cannot make a temporary file");
	return ML_OK;
}

int ml_pack_proven(struct ml_packer *p, const struct ml_patch_info *info,
	struct ml_src *bsrc, void (*progress)(void *arg, uint64_t done),
	void *arg, struct ml_proven *out, struct ml_diag *diag)
{
	struct nowhere to = {progress, arg, 0};
	struct ml_target t = {.ctx = &to, .write = to_nowhere};
	uint64_t off = 0;
	int err;

	out->f = NULL;
	out->patch = NULL;
	err = scratch(&out->f, diag);
	if (!err)
		err = ml_pack_finish(p, info, out->f, diag);
	errno = 0;
	if (!err && fflush(out->f) == EOF)
		err = ml_fail_errno(diag, "cannot write the patch");
	if (!err)
		err = ml_src_fd(&out->patch, fileno(out->f), diag);
	if (!err)
		err = ml_apply(out->patch, &off, bsrc, ML_FULL, &t, diag);
	if (!err && off != ml_src_size(out->patch))
		err = ml_fail(diag, ML_EFORMAT, off, "bytes after the patch");
	return err;
}

void ml_proven_free(struct ml_proven *p)
{
	ml_src_free(p->patch);
	if (p->f)
		fclose(p->f);
	p->patch = NULL;
	p->f = NULL;
}

int ml_src_copy(struct ml_src *s, FILE *f, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	uint8_t *buf = malloc(COPY);
	uint64_t off = 0;
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
