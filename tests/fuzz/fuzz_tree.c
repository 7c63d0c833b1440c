/* SPDX-License-Identifier: MIT */
/* Tars that want to become directories: judged without a crash, and twice the
 * same. */
#include "fuzz.h"
#include "tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ml_src *s = fuzz_spool(data, size);
	struct ml_diag diag;
	const int err = ml_tree_check(s, &diag);

	MUST(err == ML_OK || err == ML_EFORMAT || err == ML_ELIMIT);
	MUST(ml_tree_check(s, &diag) == err);
	ml_src_free(s);
	return 0;
}
