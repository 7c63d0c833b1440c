/* SPDX-License-Identifier: MIT */
/* The labels of a patch. */
#include <stdlib.h>
#include <string.h>

#include "hdr.h"
#include "mldec.h"

#define LABEL_MAX (1 + 24 + 8 * ML_RANK_MAX + ML_NAME_MAX)

struct labels {
	struct ml_src *s;
	struct ml_model *m;
	uint8_t buf[LABEL_MAX];
};

static int label(void *arg, const struct ml_record *r, struct ml_diag *diag)
{
	struct labels *l = arg;
	struct ml_span sp;
	int err;

	if ((r->coder & ML_RECORD_CODER) != ML_CODER_NOTE || r->n == 0)
		return ML_OK;
	err = ml_src_read(l->s, r->code, l->buf, 1, diag);
	if (err || l->buf[0] != ML_NOTE_LABEL)
		return err;
	if (r->n > LABEL_MAX)
		return ml_fail(diag, ML_ELIMIT, r->off,
			"label of %llu bytes, more than %d",
			(unsigned long long)r->n, LABEL_MAX);
	err = ml_src_read(l->s, r->code, l->buf, (size_t)r->n, diag);
	if (!err)
		err = ml_span_decode(&sp, l->buf + 1, (size_t)r->n - 1, diag);
	if (!err) {
		if (sp.kind == ML_TENSOR)
			err = ml_model_add(l->m, sp.name, sp.name_len,
				sp.dtype, sp.rank, sp.shape, sp.off, sp.len,
				diag);
		ml_span_clear(&sp);
	}
	if (err && diag->off == ML_NOWHERE)
		diag->off = r->off;
	return err;
}

int ml_patch_labels(struct ml_src *psrc, uint64_t *off, struct ml_model *m,
	struct ml_diag *diag)
{
	struct labels *l = malloc(sizeof(*l));
	uint8_t hbuf[ML_HDR_MAX];
	struct ml_hdr h;
	int err;

	ml_model_init(m);
	if (!l)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	l->s = psrc;
	l->m = m;
	err = ml_patch_walk(psrc, off, &h, hbuf, label, l, diag);
	free(l);
	if (!err)
		err = ml_model_finish(m, h.target_image, diag);
	if (err)
		ml_model_free(m);
	return err;
}
