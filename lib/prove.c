/* SPDX-License-Identifier: MIT */
/* Patches that are applied to see what they make: into a spool, or only to
 * prove that they make what they promise. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ml.h"
#include "mldec.h"
#include "temp.h"

#define PIECE 65536

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

struct proof {
	const struct ml_proof *how;
	uint64_t at; /* bytes made */
	uint8_t *buf;
};

/* Throws the target away, but for the comparison. */
static int compare(
	void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct proof *pf = ctx;
	size_t k, i;
	int err;

	for (; n; n -= k, p += k) {
		k = n < PIECE ? n : PIECE;
		if (pf->how->target) {
			err = ml_src_read(
				pf->how->target, pf->at, pf->buf, k, diag);
			if (err == ML_ETRUNC)
				return ml_fail(diag, ML_EDIGEST, pf->at,
					"the patch makes more than the "
					"target");
			if (err)
				return err;
			for (i = 0; i < k && pf->buf[i] == p[i];)
				i++;
			if (i < k)
				return ml_fail(diag, ML_EDIGEST, pf->at + i,
					"the patch does not make the target");
		}
		pf->at += k;
	}
	if (pf->how->progress)
		pf->how->progress(pf->how->arg, pf->at);
	return ML_OK;
}

/* What was written is there already; where it is not, the digest will tell. */
static int there(
	void *ctx, uint64_t off, uint8_t *p, size_t n, struct ml_diag *diag)
{
	const struct proof *pf = ctx;

	return ml_src_read(pf->how->target ? pf->how->target : pf->how->again,
		off, p, n, diag);
}

static int prove(struct ml_src *patch, struct ml_src *base, struct proof *pf,
	struct ml_diag *diag)
{
	struct ml_target t = {.ctx = pf, .write = compare,
		.threads = pf->how->threads,
		.base_known = pf->how->base_known};
	uint64_t off = 0;
	int err;

	if (pf->how->target || pf->how->again)
		t.read = there;
	pf->buf = malloc(PIECE);
	if (!pf->buf)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	err = ml_apply(patch, &off, base, ML_FULL, &t, diag);
	free(pf->buf);
	if (!err && off != ml_src_size(patch))
		err = ml_fail(diag, ML_EFORMAT, off, "bytes after the patch");
	if (!err && pf->how->target && pf->at != ml_src_size(pf->how->target))
		err = ml_fail(diag, ML_EDIGEST, pf->at,
			"the patch makes less than the target");
	return err;
}

static int scratch(FILE **f, struct ml_diag *diag)
{
	int fd, err = ml_temp_fd(&fd, diag);

	if (err)
		return err;
	*f = fdopen(fd, "w+b");
	if (*f)
		return ML_OK;
	err = ml_fail_errno(diag, "cannot make a temporary file");
	close(fd);
	return err;
}

static int rewrite(struct ml_packer *p, const struct ml_patch_info *info,
	struct ml_proven *out, struct ml_diag *diag)
{
	int err = scratch(&out->f, diag);

	if (!err)
		err = ml_pack_finish(p, info, out->f, diag);
	errno = 0;
	if (!err && fflush(out->f) == EOF)
		err = ml_fail_errno(diag, "cannot write the patch");
	return err ? err : ml_src_fd(&out->patch, fileno(out->f), diag);
}

int ml_pack_proven(struct ml_packer *p, const struct ml_patch_info *info,
	struct ml_src *base, const struct ml_proof *how,
	struct ml_proven *out, struct ml_diag *diag)
{
	struct proof pf = {.how = how};
	int err;

	out->f = NULL;
	err = ml_pack_settle(p, info, &out->spool, &out->patch, diag);
	if (!err && !out->patch)
		err = rewrite(p, info, out, diag);
	if (!err)
		err = prove(out->patch, base, &pf, diag);
	return err;
}

void ml_proven_free(struct ml_proven *p)
{
	ml_src_free(p->patch);
	ml_src_free(p->spool);
	if (p->f)
		fclose(p->f);
	p->patch = p->spool = NULL;
	p->f = NULL;
}
