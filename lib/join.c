/* SPDX-License-Identifier: MIT */
/* A plain model stream to its file: what ml-join does. */
#include <errno.h>
#include <string.h>

#include "wrap.h"

struct join {
	FILE *f;
	struct ml_sum *sum;
};

static int put(void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct join *j = ctx;

	ml_sum_update(j->sum, p, n);
	errno = 0;
	if (fwrite(p, 1, n, j->f) != n)
		return ml_fail_errno(diag, "cannot write");
	return ML_OK;
}

int ml_stream_join(struct ml_in *in, FILE *f,
	void (*progress)(void *arg, uint64_t done), void *arg,
	struct ml_diag *diag)
{
	const struct ml_wraps *w = &ml_in_wrapped(in, ML_TARGET_SIDE)->wraps;
	struct ml_rewrap *rewrap = NULL;
	struct join j = {.f = f};
	uint8_t sha[ML_SHA256_LEN];
	struct ml_done done;
	uint64_t made = 0;
	uint32_t tag = 0;
	const uint8_t *p;
	size_t n;
	int err;

	if (ml_in_head(in)->kind == ML_KIND_DELTA)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"a delta stream needs its base: use ml-pack and "
			"ml-apply");
	err = ml_sum_new(
		&j.sum, ml_in_head(in)->sum, 2, diag);
	while (!err && tag != ML_DONE) {
		err = ml_in_next(in, &tag, &p, &n, diag);
		if (!err && tag == ML_CODE)
			err = ml_fail(diag, ML_EFORMAT, ml_in_offset(in),
				"a coded stream: decode it first with "
				"ml-zipnn -d");
		if (!err && tag == ML_DONE)
			err = ml_done_decode(&done, p, n, diag);
		if (err || tag != ML_DATA)
			continue;
		if (!rewrap)
			err = ml_rewrap_new(
				&rewrap, w->w, w->n, put, &j, diag);
		if (!err)
			err = ml_rewrap_write(rewrap, p, n, diag);
		made += n;
		if (progress)
			progress(arg, made);
	}
	if (!err) {
		ml_sum_final(j.sum, sha);
		if (memcmp(sha, done.sha, ML_SHA256_LEN) != 0)
			err = ml_fail(diag, ML_EDIGEST, ml_in_offset(in),
				"the bytes do not have the %s that DONE "
				"says%s", ml_sum_name(ml_in_head(in)->sum), w->n ? " (deflated parts depend on "
				"the version of zlib)" : "");
	}
	ml_rewrap_free(rewrap);
	ml_sum_free(j.sum);
	return err;
}
