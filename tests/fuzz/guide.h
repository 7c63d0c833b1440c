/* SPDX-License-Identifier: MIT */
/* The target of guides: an archive of two files, of which one tells what lies
 * in the other. The first byte is the length of the other. */
#include "fuzz.h"
#include "set.h"

static void fuzz_guide(const char *name, const char *other,
	const uint8_t *p, size_t n)
{
	const size_t len = n > 0 ? p[0] : 0;
	static const uint8_t zeros[256];
	struct ml_src *s;
	struct ml_diag diag;
	struct ml_model m;
	struct ml_set set;
	size_t i;

	if (n == 0)
		return;
	s = fuzz_spool(zeros, len);
	MUST(!ml_src_append(s, p + 1, n - 1, &diag));
	ml_model_init(&m);
	ml_set_init(&set, s, &m);
	MUST(!ml_set_stored(&set, name, strlen(name), len, n - 1, &diag));
	MUST(!ml_set_stored(&set, other, strlen(other), 0, len, &diag));
	MUST(ml_set_finish(&set, &diag) == ML_OK);
	for (i = 0; i < m.nspan; i++)
		MUST(m.span[i].off <= len + n - 1 &&
			m.span[i].len <= len + n - 1 - m.span[i].off);
	ml_set_free(&set);
	ml_model_free(&m);
	ml_src_free(s);
}
