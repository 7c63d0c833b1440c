/* SPDX-License-Identifier: MIT */
/* The notes of a patch that tell of deflated parts and casts. They come
 * deflated and with CRCs, where mutants do not get far: so here the bytes are
 * those inside. Three bytes: log2 of the images of base and target, and how
 * many of the rest are of deflated parts; casts follow. */
#include <zlib.h>

#include "fuzz.h"
#include "cast.h"
#include "hdr.h"
#include "mldec.h"
#include "wrap.h"

static size_t varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v > 127; v >>= 7)
		p[n++] = (uint8_t)(v | 128);
	p[n++] = (uint8_t)v;
	return n;
}

/* A note of a type with that payload. */
static void note(struct ml_src *s, unsigned type, const uint8_t *p, size_t n)
{
	uint8_t *q = malloc(n + 32);
	struct ml_diag diag;
	size_t k = 0;

	MUST(q != NULL);
	q[k++] = ML_CODER_NOTE;
	k += varint(q + k, 0);
	k += varint(q + k, n + 1);
	q[k++] = (uint8_t)type;
	if (n > 0)
		memcpy(q + k, p, n);
	k += n;
	ml_store32(q + k, ml_crc32(0, q, k));
	MUST(!ml_src_append(s, q, k + 4, &diag));
	free(q);
}

static void wraps(struct ml_src *s, const uint8_t *p, size_t n)
{
	z_stream z = {0};
	uint8_t *q;
	uLong cap;

	MUST(deflateInit2(&z, 1, Z_DEFLATED, -15, 1, Z_DEFAULT_STRATEGY) ==
		Z_OK);
	cap = deflateBound(&z, (uLong)n);
	q = malloc(cap);
	MUST(q != NULL);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = q;
	z.avail_out = (uInt)cap;
	MUST(deflate(&z, Z_FINISH) == Z_STREAM_END);
	note(s, ML_NOTE_WRAPS, q, z.total_out);
	deflateEnd(&z);
	free(q);
}

/* In order, apart, and within an image. */
static void apart(const struct ml_wrap *w, size_t n, uint64_t size)
{
	uint64_t at = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		MUST(w[i].pos >= at && w[i].len > 0 && w[i].pos <= size &&
			w[i].len <= size - w[i].pos);
		at = w[i].pos + w[i].len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ml_src *s = fuzz_spool("", 0);
	struct ml_hdr h = {.cls = ML_FULL};
	struct ml_wrap_map m;
	struct ml_diag diag;
	uint64_t casts = 0;
	size_t i, n;

	if (size < 3)
		goto out;
	n = data[2];
	if (n > size - 3)
		n = size - 3;
	h.base_image = UINT64_C(1) << data[0] % 63;
	h.target_image = UINT64_C(1) << data[1] % 63;
	wraps(s, data + 3, n);
	if (size - 3 > n)
		note(s, ML_NOTE_CASTS, data + 3 + n, size - 3 - n);
	h.body_len = ml_src_size(s);
	diag.why[0] = '\0';
	if (ml_map_read(&m, s, 0, &h, &diag)) {
		MUST(diag.why[0] != '\0' && !m.base && !m.target && !m.cast);
		goto out;
	}
	apart(m.base, m.nbase, m.base_image);
	apart(m.target, m.ntarget, h.target_image);
	for (i = 0; i < m.ncast; i++)
		casts += ml_cast_len(&m.cast[i]);
	MUST(m.base_image <= h.base_image &&
		casts == h.base_image - m.base_image);
	ml_map_free(&m);
out:
	ml_src_free(s);
	return 0;
}
