/* SPDX-License-Identifier: MIT */
/* FlatBuffers by themselves: from the root on, every field is taken for a
 * number, a table, a string and a vector of tables. That the depth needs no
 * limit here but the account shows that there are no cycles of offsets. */
#include "flatbuf.h"
#include "fuzz.h"

#define FIELDS 8
#define ACCOUNT 2000

static void table(const struct ml_fb *fb, const struct ml_fb_table *t,
	unsigned depth, unsigned *left)
{
	struct ml_fb_table sub;
	struct ml_fb_vec v;
	unsigned f, w;
	uint64_t num;
	uint32_t i;

	MUST(t->pos < fb->size && t->len <= fb->size - t->pos);
	MUST(t->vtab < fb->size && t->vlen <= fb->size - t->vtab);
	for (f = 0; f < FIELDS && *left > 0; f++) {
		--*left;
		for (w = 1; w <= 8; w *= 2)
			if (!ml_fb_num(fb, t, f, w, 7, &num) && w < 8)
				MUST(num == 7 || num >> (8 * w) == 0);
		if (!ml_fb_sub(fb, t, f, &sub) && sub.pos && depth < 60) {
			MUST(sub.pos > t->pos);
			table(fb, &sub, depth + 1, left);
		}
		if (!ml_fb_vector(fb, t, f, 1, &v) && v.pos)
			MUST(v.pos <= fb->size && v.n <= fb->size - v.pos);
		if (ml_fb_vector(fb, t, f, 4, &v) || !v.pos)
			continue;
		MUST(v.pos <= fb->size && v.n <= (fb->size - v.pos) / 4);
		for (i = 0; i < v.n && *left > 0 && depth < 60; i++) {
			--*left;
			if (!ml_fb_at(fb, &v, i, &sub)) {
				MUST(sub.pos > v.pos);
				table(fb, &sub, depth + 1, left);
			}
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ml_src *s = fuzz_spool(data, size);
	struct ml_diag diag = {0};
	const struct ml_fb fb = {s, size, &diag};
	struct ml_fb_table root;
	unsigned left = ACCOUNT;

	if (ml_fb_root(&fb, &root) == ML_OK)
		table(&fb, &root, 0, &left);
	else
		MUST(diag.why[0] != '\0');
	ml_src_free(s);
	return 0;
}
