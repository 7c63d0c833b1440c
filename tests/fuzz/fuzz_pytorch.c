/* SPDX-License-Identifier: MIT */
/* PyTorch's files; what is neither kind is a pickle alone, which comes farther
 * without a zip around it. */
#include "container.h"
#include "torch.h"

#define STORAGES 4

static void fuzz_pickle(const uint8_t *data, size_t size)
{
	static const char key[STORAGES + 1] = "0123";
	struct ml_src *s = fuzz_spool(data, size);
	struct ml_pickle p;
	struct ml_torch t = {.p = &p};
	struct ml_diag diag;
	struct ml_model m;
	size_t i;

	ml_model_init(&m);
	diag.why[0] = '\0';
	if (ml_pickle_read(&p, s, 0, size, &diag) == ML_OK) {
		MUST(p.len <= size && p.root < p.nodes);
		t.store = calloc(STORAGES, sizeof(*t.store));
		MUST(t.store != NULL);
		for (t.n = 0; t.n < STORAGES; t.n++) {
			t.store[t.n].key = key + t.n;
			t.store[t.n].key_len = 1;
			t.store[t.n].off = 64 * t.n;
			t.store[t.n].len = 64;
		}
		MUST(ml_torch_index(&t, &diag) == ML_OK);
		if (ml_torch_tensors(&t, "", &m, &diag) != ML_OK)
			MUST(diag.why[0] != '\0');
		for (i = 0; i < m.nspan; i++)
			MUST(m.span[i].len <= 64 && m.span[i].off <=
				64 * STORAGES - m.span[i].len);
	} else {
		MUST(diag.why[0] != '\0');
	}
	ml_model_free(&m);
	ml_torch_free(&t);
	ml_pickle_free(&p);
	ml_src_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (ml_reader_pytorch.probe(data, size))
		fuzz_container("pytorch", data, size);
	else if (ml_reader_torch_legacy.probe(data, size))
		fuzz_container("torch-legacy", data, size);
	else
		fuzz_pickle(data, size);
	return 0;
}
