/* SPDX-License-Identifier: MIT */
/* Readers of the tensor-record stream. */
#include "fuzz.h"

static void walk(FILE *f)
{
	struct ml_in *in = NULL;
	struct ml_diag diag;
	const uint8_t *p;
	struct ml_quant *q;
	struct ml_span sp;
	struct ml_done done;
	uint32_t tag = 1;
	size_t n;

	if (ml_in_open(&in, f, &diag) == 0) {
		while (tag && ml_in_next(in, &tag, &p, &n, &diag) == 0) {
			if (tag == ML_SPAN) {
				MUST(!ml_span_decode(&sp, p, n, &diag));
				ml_span_clear(&sp);
			} else if (tag == ML_QUNT) {
				MUST(!ml_quant_decode(&q, p, n, &diag));
				free(q->scale);
				free(q->zero);
				free(q);
			} else if (tag == ML_DONE) {
				MUST(!ml_done_decode(&done, p, n, &diag));
			}
		}
	}
	ml_in_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t sha[ML_SHA256_LEN], *p = fuzz_copy(data, size);
	uint64_t file;
	struct ml_src *bytes = NULL;
	struct ml_diag diag;
	struct ml_model m;
	int kind;
	FILE *f;

	fuzz_mend_stream(p, size);
	f = fmemopen(p, size ? size : 1, "rb");
	MUST(f != NULL);
	walk(f);
	rewind(f);
	ml_model_init(&m);
	if (ml_stream_load(f, &m, &bytes, &file, &kind, sha, &diag) == 0) {
		MUST(ml_src_size(bytes) == m.size);
		ml_src_free(bytes);
		ml_model_free(&m);
	} else {
		MUST(diag.why[0] != '\0');
	}
	fclose(f);
	free(p);
	return 0;
}
