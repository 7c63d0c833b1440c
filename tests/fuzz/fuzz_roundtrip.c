/* SPDX-License-Identifier: MIT */
/* The whole way there and back: the first two bytes cut the rest into a base
 * and a target, taken for what they look like. */
#include "fuzz.h"
#include "mldec.h"

static int to_zip_span(void *z, const struct ml_span *sp, struct ml_diag *d)
{
	return ml_zip_span(z, sp, d);
}

static int to_zip(void *z, const struct ml_block *b, struct ml_diag *d)
{
	return ml_zip_block(z, b, d);
}

static int to_pack_span(void *p, const struct ml_span *sp, struct ml_diag *d)
{
	(void)p;
	(void)sp;
	(void)d;
	return ML_OK;
}

static int to_pack(void *p, const struct ml_block *b, struct ml_diag *d)
{
	return ml_pack_block(p, b, d);
}

struct want {
	const uint8_t *p;
	size_t n;
};

static int compare(void *ctx, const uint8_t *p, size_t n, struct ml_diag *d)
{
	struct want *w = ctx;

	(void)d;
	MUST(n <= w->n && memcmp(p, w->p, n) == 0);
	w->p += n;
	w->n -= n;
	return ML_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ml_src *bsrc, *tsrc, *psrc, *bimage;
	struct ml_cast_base cast = {0};
	struct ml_delta_opt opt = {0};
	struct ml_patch_info info = {.cls = ML_FULL, .has_base = 1};
	struct ml_sink to_packer = {NULL, to_pack_span, to_pack};
	struct ml_sink to_coder = {NULL, to_zip_span, to_zip};
	struct ml_target t = {.write = compare};
	struct ml_model bm, tm;
	struct ml_packer *pk;
	struct ml_diag diag;
	struct ml_zip *z;
	struct want w;
	char *patch = NULL;
	size_t cut, n = 0;
	uint64_t off = 0;
	FILE *f;

	if (size < 3)
		return 0;
	info.cls = 1 + data[0] % 3;
	cut = (size_t)(data[1] | (data[2] & 0x3f) << 8) % (size - 2);
	data += 3;
	size -= 3;
	bsrc = fuzz_spool(data, cut);
	tsrc = fuzz_spool(data + cut, size - cut);
	w.p = data + cut;
	w.n = size - cut;
	t.ctx = &w;
	ml_model_init(&bm);
	ml_model_init(&tm);
	if (info.cls == ML_FULL) {
		MUST(ml_model_read(&bm, bsrc, NULL, &diag) == 0);
		MUST(ml_model_read(&tm, tsrc, NULL, &diag) == 0);
	} else {
		MUST(ml_model_read_as_is(&bm, bsrc, NULL, &diag) == 0);
		MUST(ml_model_read_as_is(&tm, tsrc, NULL, &diag) == 0);
	}
	bimage = ml_model_src(&bm, bsrc);
	if (info.cls == ML_FULL)
		MUST(ml_cast_plan(&cast, &bm, bimage, &tm,
			ml_model_src(&tm, tsrc), &diag) == 0);
	opt.crossed = cast.crossed;
	opt.ncrossed = cast.ncrossed;
	MUST(ml_pack_new(&pk, &diag) == 0);
	to_packer.ctx = pk;
	MUST(ml_zip_new(&z, info.cls, &to_packer, &diag) == 0);
	to_coder.ctx = z;
	MUST(ml_delta(cast.src ? &cast.m : &bm, cast.src ? cast.src : bimage,
		&tm, ml_model_src(&tm, tsrc), &opt, &to_coder, &diag) == 0);
	MUST(ml_zip_end(z, &diag) == 0);
	info.base_wraps = ml_model_wraps(&bm);
	info.target_wraps = ml_model_wraps(&tm);
	info.casts.c = cast.c;
	info.casts.n = cast.n;
	info.base_size = cut;
	info.target_size = size - cut;
	MUST(ml_src_sha256(bsrc, info.base_sha, &diag) == 0);
	MUST(ml_src_sha256(tsrc, info.target_sha, &diag) == 0);
	f = open_memstream(&patch, &n);
	MUST(f != NULL);
	MUST(ml_pack_finish(pk, &info, f, &diag) == 0);
	fclose(f);
	/* ml-diff falls back where inflated parts or casts cost more */
	MUST(n <= size - cut + ML_PATCH_OVERHEAD || info.casts.n ||
		info.base_wraps.n || info.target_wraps.n);
	psrc = fuzz_spool(patch, n);
	MUST(ml_apply(psrc, &off, bsrc, info.cls, &t, &diag) == 0);
	MUST(off == n && w.n == 0);
	free(patch);
	ml_src_free(psrc);
	ml_pack_free(pk);
	ml_zip_free(z);
	ml_cast_base_free(&cast);
	ml_model_free(&bm);
	ml_model_free(&tm);
	ml_src_free(bsrc);
	ml_src_free(tsrc);
	return 0;
}
