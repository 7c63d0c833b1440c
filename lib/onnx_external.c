/* SPDX-License-Identifier: MIT */
/* An ONNX model beside files with its external data: the model says which
 * tensors lie in them, and where. Of a tree of files only those of the same
 * archive or folder are known, by paths from the model's own folder. */
#include <string.h>

#include "onnx.h"
#include "set.h"

struct guide {
	struct ml_set *set;
	size_t i; /* the model */
	struct ml_diag *diag;
};

static int each(void *arg, const struct ml_onnx_external *e)
{
	const struct guide *g = arg;
	const size_t k =
		ml_set_near(g->set, g->i, e->location, e->location_len);

	if (k == ML_NOT_FOUND || k == g->i)
		return ML_OK;
	return ml_set_tensor(g->set, k, e->name, e->name_len, e->dtype,
		e->rank, e->rank ? e->shape : NULL, e->off, e->len, g->diag);
}

static int walk(struct ml_set *set, size_t i, struct ml_diag *diag)
{
	struct guide g = {set, i, diag};
	struct ml_src *src;
	const int r = ml_set_src(set, i, &src, diag);

	return r < 0 ? r : ml_onnx_externals(src, each, &g, diag);
}

static int match(const char *name, size_t n)
{
	return n > 5 && memcmp(name + n - 5, ".onnx", 5) == 0;
}

const struct ml_guide ml_guide_onnx = {"onnx", match, walk};
