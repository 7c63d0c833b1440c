/* SPDX-License-Identifier: MIT */
/* The target of all container readers: what they make of any bytes is a model
 * that covers the file without a gap, or an error with a reason. */
#include "fuzz.h"

static void fuzz_container(const char *format, const uint8_t *p, size_t n)
{
	struct ml_src *s = fuzz_spool(p, n);
	struct ml_diag diag;
	struct ml_model m;
	uint64_t at = 0;
	size_t i;

	ml_model_init(&m);
	if (ml_model_read(&m, s, format, &diag) == 0) {
		for (i = 0; i < m.nspan; i++) {
			const struct ml_span *sp = &m.span[i];

			MUST(sp->off == at && sp->len <= m.size - at);
			MUST(sp->rank <= ML_RANK_MAX && sp->name != NULL);
			MUST(!sp->quant || (sp->quant->n > 0 &&
				sp->quant->axis < sp->rank));
			at += sp->len;
		}
		MUST(at == m.size && (m.image || at == n));
	} else {
		MUST(diag.why[0] != '\0');
	}
	ml_model_free(&m);
	ml_src_free(s);
}
