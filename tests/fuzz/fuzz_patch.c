/* SPDX-License-Identifier: MIT */
/* Patches applied to a small base, walked, and cut up into a stream. */
#include "fuzz.h"
#include "hdr.h"
#include "mldec.h"

#define WRITE_MAX (1u << 20) /* a short patch may say "a gigabyte of zeros" */

static int take(void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	size_t *left = ctx;

	(void)p;
	if (n > *left)
		return ml_fail(diag, ML_EIO, ML_NOWHERE, "enough");
	*left -= n;
	return ML_OK;
}

static int label(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	(void)diag;
	MUST(ctx && sp->name && sp->rank <= ML_RANK_MAX);
	return ML_OK;
}

static int block(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	size_t *left = ctx;

	(void)diag;
	MUST(b->n_out > 0 && b->n > 0 && b->n <= ML_CODE_MAX - ML_CODE_HEAD);
	return (*left)-- > 0 ? ML_OK :
		ml_fail(diag, ML_EIO, ML_NOWHERE, "enough");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t base[FUZZ_BASE], hbuf[ML_HDR_MAX], *p = fuzz_copy(data, size);
	size_t left = WRITE_MAX, blocks = 4096;
	struct ml_target t = {.ctx = &left, .write = take};
	struct ml_sink sink = {&blocks, label, block};
	struct ml_src *psrc, *bsrc;
	struct ml_diag diag;
	struct ml_hdr h;
	uint64_t off = 0;
	FILE *f;

	fuzz_base(base);
	fuzz_mend_patch(p, size);
	bsrc = fuzz_spool(base, sizeof(base));
	psrc = fuzz_spool(p, size);
	if (ml_apply(psrc, &off, bsrc, ML_FULL, &t, &diag))
		MUST(diag.why[0] != '\0');
	off = 0;
	left = WRITE_MAX;
	if (ml_apply(psrc, &off, NULL, ML_NANO, &t, &diag))
		MUST(diag.why[0] != '\0');
	off = 0;
	if (ml_patch_walk(psrc, &off, &h, hbuf, NULL, NULL, &diag) == 0) {
		MUST(off <= size);
		off = 0;
		(void)ml_unpack(psrc, &off, &sink, &diag);
	}
	left = WRITE_MAX;
	f = fmemopen(p, size ? size : 1, "rb");
	MUST(f != NULL);
	(void)ml_apply_stream(f, bsrc, ML_FULL, &t, &diag);
	fclose(f);
	ml_src_free(psrc);
	ml_src_free(bsrc);
	free(p);
	return 0;
}
