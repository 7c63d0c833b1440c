/* SPDX-License-Identifier: MIT */
/* Patches in the library: packed, walked, applied and unpacked. */
#include "hdr.h"
#include "mltype.h"
#include "ops.h"
#include "patch.h"
#include "test.h"

#define BIG 9500000u

/* A target in memory. */
struct made {
	uint8_t *p;
	size_t n, cap;
};

static int to_mem(void *ctx, const uint8_t *p, size_t n, struct ml_diag *diag)
{
	struct made *m = ctx;

	if (n > m->cap - m->n)
		return ml_fail(diag, ML_EIO, ML_NOWHERE, "full");
	memcpy(m->p + m->n, p, n);
	m->n += n;
	return ML_OK;
}

static int from_mem(void *ctx, uint64_t off, uint8_t *p, size_t n,
	struct ml_diag *diag)
{
	struct made *m = ctx;

	(void)diag;
	CHECK(off < m->n && n <= m->n - off);
	memcpy(p, m->p + off, n);
	return ML_OK;
}

static struct ml_src *src_of(const void *p, size_t n)
{
	struct ml_diag diag;
	struct ml_src *s;

	if (ml_src_spool(&s, &diag) || ml_src_append(s, p, n, &diag))
		abort();
	return s;
}

static FILE *file_of(const void *p, size_t n)
{
	FILE *f = tmpfile();

	if (!f || fwrite(p, 1, n, f) != n || fflush(f))
		abort();
	rewind(f);
	return f;
}

/* All three ways to look at one patch. */
static void three(const void *p, size_t n, struct ml_src *base, int r[3],
	struct made m[2], struct ml_diag diag[3])
{
	struct ml_src *s = src_of(p, n);
	FILE *f = file_of(p, n);
	struct ml_target t = {0};
	uint8_t hbuf[384];
	struct ml_hdr h;
	uint64_t off = 0;
	int i;

	for (i = 0; i < 3; i++)
		memset(&diag[i], 0, sizeof(diag[i]));
	t.write = to_mem;
	m[0].n = m[1].n = 0;
	r[0] = ml_patch_walk(s, &off, &h, hbuf, NULL, NULL, &diag[0]);
	CHECK(r[0] ? off == 0 : off <= n);
	off = 0;
	t.ctx = &m[0];
	r[1] = ml_apply(s, &off, base, 3, &t, &diag[1]);
	CHECK(r[1] ? off == 0 : off <= n);
	t.ctx = &m[1];
	r[2] = ml_apply_stream(f, base, 3, &t, &diag[2]);
	for (i = 0; i < 3; i++)
		CHECK(!r[i] == !diag[i].why[0]);
	ml_src_free(s);
	fclose(f);
}

static void test_small(void)
{
	static struct small s;
	static uint8_t mem[2][5000];
	struct made m[2] = {{mem[0], 0, 5000}, {mem[1], 0, 5000}};
	struct ml_diag diag[3];
	struct ml_src *base, *wrong;
	size_t i, body;
	int r[3], k;

	small_make(&s);
	base = src_of(s.base, SMALL_BASE);
	three(s.patch.p, s.patch.n, base, r, m, diag);
	CHECK(!r[0] && !r[1] && !r[2]);
	for (k = 0; k < 2; k++)
		CHECK(m[k].n == s.target.n &&
			memcmp(m[k].p, s.target.p, m[k].n) == 0);

	/* wrong bases: nothing is written */
	three(s.patch.p, s.patch.n, NULL, r, m, diag);
	CHECK(!r[0] && r[1] == ML_EBASE && r[2] == ML_EBASE);
	CHECK(m[0].n + m[1].n == 0);
	wrong = src_of(s.base, SMALL_BASE - 1);
	three(s.patch.p, s.patch.n, wrong, r, m, diag);
	CHECK(!r[0] && r[1] == ML_EBASE && r[2] == ML_EBASE);
	CHECK(m[0].n + m[1].n == 0);
	ml_src_free(wrong);
	wrong = src_of(s.target.p, SMALL_BASE);
	three(s.patch.p, s.patch.n, wrong, r, m, diag);
	CHECK(!r[0] && r[1] == ML_EBASE && r[2] == ML_EBASE);
	CHECK(m[0].n + m[1].n == 0);
	ml_src_free(wrong);

	/* cut */
	for (i = 0; i < s.patch.n; i++) {
		three(s.patch.p, i, base, r, m, diag);
		CHECK(r[0] == ML_ETRUNC && r[1] == ML_ETRUNC);
		CHECK(r[2] == ML_ETRUNC && m[0].n == 0);
	}

	/* damaged: a flip behind the header is found in its record */
	body = s.patch.p[7] + 8u + 4;
	CHECK(s.patch.p[7] < 128);
	for (i = 0; i < 8 * s.patch.n; i++) {
		s.patch.p[i / 8] ^= (uint8_t)(1u << i % 8);
		three(s.patch.p, s.patch.n, base, r, m, diag);
		CHECK(r[0] && r[1] && r[2]);
		if (i / 8 >= body)
			CHECK(r[0] == ML_ECHECK || r[0] == ML_EFORMAT);
		if (i / 8 >= body)
			for (k = 0; k < 3; k++)
				CHECK(diag[k].off >= body &&
					diag[k].off <= i / 8);
		s.patch.p[i / 8] ^= (uint8_t)(1u << i % 8);
	}

	/* something behind: another patch for ml_apply, an error for a pipe */
	put1(&s.patch, 0xd3);
	three(s.patch.p, s.patch.n, base, r, m, diag);
	CHECK(!r[0] && !r[1] && r[2] == ML_EFORMAT);

	/* a wrong promise */
	i = s.patch.n - 1;
	s.head.target = s.base;
	memcpy(mem[0], s.patch.p + body, i - body);
	put_header(&s.patch, &s.head, i - body);
	put(&s.patch, mem[0], i - body);
	three(s.patch.p, s.patch.n, base, r, m, diag);
	CHECK(!r[0] && r[1] == ML_EDIGEST && r[2] == ML_EDIGEST);
	ml_src_free(base);
}

/* ===== packing ========================================================== */

struct ops {
	uint8_t *p;
	size_t n, cap;
};

static size_t finish(struct ml_packer *p, const struct ml_patch_info *info,
	uint8_t **out)
{
	struct ml_diag diag;
	FILE *f = tmpfile();
	size_t n;

	CHECK(f && !ml_pack_finish(p, info, f, &diag));
	n = (size_t)ftell(f);
	rewind(f);
	*out = malloc(n);
	CHECK(*out && fread(*out, 1, n, f) == n);
	fclose(f);
	return n;
}

/* Operations as plain blocks, cut where `seed` says: between operations and
 * within them. */
struct cutter {
	struct ml_packer *p;
	uint8_t code[4096];
	size_t n;
	uint64_t out;
	unsigned seed;
};

static unsigned rnd(unsigned *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 16;
}

static void cut(struct cutter *c)
{
	struct ml_block b = {0};
	struct ml_diag diag;

	if (!c->n)
		return;
	b.code = c->code;
	b.n = c->n;
	b.n_out = c->out;
	CHECK(!ml_pack_block(c->p, &b, &diag));
	c->n = 0;
	c->out = 0;
}

static void cut_op(struct cutter *c, unsigned op, unsigned type,
	uint64_t units, uint64_t at, const uint8_t *data)
{
	const unsigned unit = op >= 3 ? ml_type_bytes(type) : 1;
	uint64_t k;

	while (units) {
		k = c->seed ? 1 + rnd(&c->seed) % units : units;
		c->n += ml_op_head(c->code + c->n, op, type, k, at);
		if (op != 1 && op != 2) {
			memcpy(c->code + c->n, data, k * unit);
			c->n += k * unit;
			data += k * unit;
		}
		if (op == 1 || op == 3)
			at += k * unit;
		c->out += k * unit;
		units -= k;
		if (c->seed && rnd(&c->seed) % 3 == 0)
			cut(c);
	}
}

/* However the operations are cut, the patch is the same. */
static void test_merge(void)
{
	static uint8_t data[1000];
	struct ml_patch_info info = {0};
	uint8_t *first = NULL, *p;
	size_t nfirst = 0, n, i;
	struct ml_diag diag;
	unsigned seed;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 3));
	info.has_base = 1;
	info.base_size = 1000;
	for (seed = 0; seed < 200; seed++) {
		struct cutter c = {0};

		CHECK(!ml_pack_new(&c.p, &diag));
		c.seed = seed;
		cut_op(&c, 0, 0, 40, 0, data);
		cut_op(&c, 1, 0, 300, 100, NULL);
		cut_op(&c, 1, 0, 50, 500, NULL);
		cut_op(&c, 2, 0, 200, 33, NULL);
		cut_op(&c, 3, 6, 100, 10, data);
		cut_op(&c, 3, 5, 10, 210, data);
		cut_op(&c, 3, 12, 7, 300, data);
		cut_op(&c, 4, 6, 30, 0, data);
		cut_op(&c, 0, 0, 30, 0, data);
		cut_op(&c, 2, 0, 200, 50, NULL);
		cut_op(&c, 2, 0, 1, 51, NULL);
		cut(&c);
		info.target_size = 40 + 300 + 50 + 200 + 200 + 20 + 126 + 60 +
			30 + 200 + 1;
		n = finish(c.p, &info, &p);
		ml_pack_free(c.p);
		if (!first) {
			first = p;
			nfirst = n;
			continue;
		}
		CHECK(n == nfirst && memcmp(p, first, n) == 0);
		free(p);
	}
	free(first);
}

static int packs(const struct ml_block *b, const struct ml_patch_info *info)
{
	struct ml_packer *p = NULL;
	struct ml_diag diag;
	FILE *f = tmpfile();
	int r;

	CHECK(f && !ml_pack_new(&p, &diag));
	r = ml_pack_block(p, b, &diag);
	if (!r)
		r = ml_pack_finish(p, info, f, &diag);
	fclose(f);
	ml_pack_free(p);
	return r;
}

static void test_refused(void)
{
	struct ml_patch_info info = {0};
	struct ml_block b = {0};
	static struct bytes c;

	info.cls = 1;
	info.target_size = 5;
	put_lit(&c, "12345", 5);
	b.code = c.p;
	b.n = c.n;
	b.n_out = 5;
	CHECK(packs(&b, &info) == ML_OK);
	info.target_size = 6;
	CHECK(packs(&b, &info) == ML_EFORMAT);
	b.n_out = 6;
	CHECK(packs(&b, &info) == ML_EFORMAT);
	b.n_out = 4;
	CHECK(packs(&b, &info) == ML_EFORMAT);
	b.n_out = 0;
	CHECK(packs(&b, &info) == ML_EFORMAT);
	b.n_out = UINT64_C(1) << 62;
	CHECK(packs(&b, &info) == ML_ELIMIT);
	b.n_out = 6;
	b.coder = 4;
	CHECK(packs(&b, &info) == ML_EVERSION);
	b.coder = 32;
	CHECK(packs(&b, &info) == ML_EVERSION);
	b.coder = 0;
	c.n = 0;
	put_lit(&c, "12345", 5);
	put_op(&c, 2, 1, 6);
	b.n = c.n;
	CHECK(packs(&b, &info) == ML_EFORMAT);
	c.n = 0;
	put_op(&c, 1, 6, 10);
	b.n = c.n;
	CHECK(packs(&b, &info) == ML_EFORMAT);
	info.has_base = 1;
	info.base_size = 15;
	CHECK(packs(&b, &info) == ML_EFORMAT);
	info.base_size = 16;
	CHECK(packs(&b, &info) == ML_OK);
	info.release = UINT64_C(1) << 63;
	CHECK(packs(&b, &info) == ML_EINVAL);
	info.release = 0;
	b.coder = 1;
	info.target_size = UINT64_C(1) << 31;
	b.n_out = info.target_size;
	CHECK(packs(&b, &info) == ML_ELIMIT);
	info.cls = 2;
	CHECK(packs(&b, &info) == ML_OK);
}

/* ===== larger ones ====================================================== */

static struct ml_packer *again;

static int again_span(void *ctx, const struct ml_span *sp,
	struct ml_diag *diag)
{
	size_t *n = ctx;

	++*n;
	return ml_pack_span(again, sp, diag);
}

static int again_block(void *ctx, const struct ml_block *b,
	struct ml_diag *diag)
{
	(void)ctx;
	CHECK(b->n <= ML_CODE_MAX - ML_CODE_HEAD && b->n_out > 0);
	return ml_pack_block(again, b, diag);
}

/* Unpacked and packed it is the same patch; applied it makes the target. */
static void there_and_back(const struct ml_patch_info *info,
	const uint8_t *patch, size_t n, const uint8_t *base,
	const uint8_t *target, size_t spans)
{
	struct ml_src *s = src_of(patch, n), *b = NULL;
	struct made m = {malloc(info->target_size + 1), 0,
		info->target_size};
	struct ml_target t = {.ctx = &m, .write = to_mem};
	struct ml_sink sink = {0};
	struct ml_diag diag;
	uint64_t off = 0;
	size_t got = 0, n2;
	uint8_t *p2;

	if (info->has_base)
		b = src_of(base, info->base_size);
	CHECK(!ml_apply(s, &off, b, 3, &t, &diag) && off == n);
	CHECK(m.n == info->target_size && !memcmp(m.p, target, m.n));
	t.read = from_mem;
	m.n = 0;
	off = 0;
	CHECK(!ml_apply(s, &off, b, 3, &t, &diag) && off == n);
	CHECK(m.n == info->target_size && !memcmp(m.p, target, m.n));

	sink.ctx = &got;
	sink.span = again_span;
	sink.block = again_block;
	off = 0;
	CHECK(!ml_pack_new(&again, &diag));
	CHECK(!ml_unpack(s, &off, &sink, &diag) && off == n);
	CHECK(got == spans);
	n2 = finish(again, info, &p2);
	ml_pack_free(again);
	CHECK(n2 == n && !memcmp(patch, p2, n));
	free(p2);
	free(m.p);
	ml_src_free(s);
	ml_src_free(b);
}

static void send(struct ml_packer *p, unsigned op, uint64_t n, uint64_t at,
	const uint8_t *data)
{
	static uint8_t code[ML_CODE_MAX - ML_CODE_HEAD];
	struct ml_block b = {0};
	struct ml_diag diag;
	uint64_t k;

	for (; n; n -= k) {
		k = data && n > ML_BLOCK_OUT ? ML_BLOCK_OUT : n;
		b.n_out = k;
		b.code = code;
		b.n = ml_op_head(code, op, 0, k, at);
		if (data) {
			memcpy(code + b.n, data, k);
			b.n += k;
			data += k;
		}
		CHECK(!ml_pack_block(p, &b, &diag));
	}
}

static void test_big(void)
{
	uint8_t *a = malloc(BIG), *t = malloc(2 * BIG), *patch;
	uint64_t shape[2] = {1000, 1000};
	char name[] = "w";
	struct ml_span sp = {0};
	struct ml_patch_info info = {0};
	struct ml_packer *p;
	struct ml_diag diag;
	unsigned seed = 7;
	size_t i, n;

	CHECK(a && t);
	for (i = 0; i < BIG; i++)
		a[i] = (uint8_t)rnd(&seed);

	/* nothing but literals */
	CHECK(!ml_pack_new(&p, &diag));
	send(p, 0, BIG, 0, a);
	info.target_size = BIG;
	sha256(a, BIG, info.target_sha);
	n = finish(p, &info, &patch);
	ml_pack_free(p);
	CHECK(n <= BIG + ML_PATCH_OVERHEAD);
	there_and_back(&info, patch, n, NULL, a, 1);
	free(patch);

	/* the same file */
	CHECK(!ml_pack_new(&p, &diag));
	send(p, 1, BIG / 2, 0, NULL);
	send(p, 1, BIG - BIG / 2, BIG / 2, NULL);
	info.has_base = 1;
	info.base_size = BIG;
	memcpy(info.base_sha, info.target_sha, 32);
	n = finish(p, &info, &patch);
	ml_pack_free(p);
	CHECK(n <= ML_PATCH_OVERHEAD);
	there_and_back(&info, patch, n, a, a, 1);
	free(patch);

	/* a far window: the spool; and labels with gaps */
	CHECK(!ml_pack_new(&p, &diag));
	sp.kind = ML_TENSOR;
	sp.rank = 2;
	sp.shape = shape;
	sp.name = name;
	sp.name_len = 1;
	sp.dtype = 1;
	sp.off = 1000;
	sp.len = 1000000;
	CHECK(!ml_pack_span(p, &sp, &diag));
	sp.off += sp.len;
	sp.len = 0;
	CHECK(!ml_pack_span(p, &sp, &diag));
	send(p, 0, 3000000, 0, a + 17);
	memcpy(t, a + 17, 3000000);
	send(p, 1, BIG - 1, 1, NULL);
	memcpy(t + 3000000, a + 1, BIG - 1);
	i = 3000000 + BIG - 1;
	send(p, 2, 2000000, 9000001, NULL);
	memcpy(t + i, t + i - 9000001, 2000000);
	i += 2000000;
	info.target_size = i;
	sha256(t, i, info.target_sha);
	n = finish(p, &info, &patch);
	ml_pack_free(p);
	there_and_back(&info, patch, n, a, t, 4);
	free(patch);
	free(a);
	free(t);
}

int main(void)
{
	test_small();
	test_merge();
	test_refused();
	test_big();
	return 0;
}
