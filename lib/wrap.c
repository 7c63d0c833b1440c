/* SPDX-License-Identifier: MIT */
/* Deflated parts of a file, seen inflated. */
#include "wrap.h"

int ml_wrap_try(struct ml_wrap *w, struct ml_src *s, struct ml_src *spool,
	int *again, struct ml_diag *diag)
{
	(void)w; (void)s; (void)spool; (void)diag;
	*again = 0;
	return ML_OK;
}
int ml_wrap_add(
	struct ml_model *m, const struct ml_wrap *w, struct ml_diag *diag)
{
	(void)m; (void)w; (void)diag;
	return ML_OK;
}
int ml_image_new(struct ml_model *m, struct ml_src *s, struct ml_src **spool,
	struct ml_diag *diag)
{
	(void)m; (void)s; (void)spool; (void)diag;
	return ML_OK;
}
