/* SPDX-License-Identifier: MIT */
/* A checkpoint folder of two files: the length of .metadata in two bytes, its
 * bytes, and those of the file beside it. */
#include "fuzz.h"
#include "set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char meta[] = "./.metadata", file[] = "./a";
	struct ml_src *s = fuzz_spool(data, size);
	struct ml_diag diag;
	struct ml_model m;
	struct ml_set set;
	uint64_t n;
	size_t i;

	if (size < 2 || size - 2 < (n = ml_load16(data))) {
		ml_src_free(s);
		return 0;
	}
	ml_model_init(&m);
	ml_set_init(&set, s, &m);
	MUST(!ml_set_stored(&set, meta, sizeof(meta) - 1, 2, n, &diag));
	MUST(!ml_set_stored(
		&set, file, sizeof(file) - 1, 2 + n, size - 2 - n, &diag));
	MUST(ml_set_finish(&set, &diag) == ML_OK);
	for (i = 0; i < m.nspan; i++)
		MUST(m.span[i].len <= size &&
			m.span[i].off <= size - m.span[i].len);
	ml_set_free(&set);
	ml_model_free(&m);
	ml_src_free(s);
	return 0;
}
