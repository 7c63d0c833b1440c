/* SPDX-License-Identifier: MIT */
/* Blocks from weights of another type: every pair of types, whatever the bytes
 * are; by decoders in small buffers; and what is malformed. */
#include "patch.h"
#include "test.h"

#include "rcenc.h"
#define ML_RC struct rc_enc
#include "mlmodel.h"

#include "ops.h"

#define BASE_MAX 8192
#define AT 5 /* of the weights in the base: no multiple of anything */

static uint32_t seed = 1;

static unsigned rnd(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (unsigned)((uint64_t)seed * n >> 32);
}

/* ----- a decoder in pieces ---------------------------------------------- */

struct world {
	const uint8_t *base;
	size_t nbase;
	struct bytes made;
	unsigned slow; /* callbacks do little, or nothing, at a time */
};

static unsigned some(struct world *w, unsigned n)
{
	return !w->slow ? n : rnd(3) ? rnd(n + 1) : 0;
}

static int on_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct world *w = ctx;

	CHECK(n > 0 && off < w->nbase && n <= w->nbase - off);
	n = some(w, n);
	memcpy(dst, w->base + off, n);
	return (int)n;
}

static int on_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	(void)ctx;
	(void)off;
	(void)dst;
	(void)n;
	return -1;
}

static int on_write(void *ctx, const uint8_t *src, unsigned n)
{
	struct world *w = ctx;

	n = some(w, n);
	put(&w->made, src, n);
	return (int)n;
}

static int drive(struct world *w, const struct bytes *p, size_t chunk,
	size_t nbuf)
{
	static uint16_t arena[ML_ARENA_FULL / 2];
	static uint8_t buf[4096];
	struct ml_dec_io io = {w, on_base, on_target, on_write};
	struct ml_dec d;
	size_t at = 0, k, used;
	int r;

	w->made.n = 0;
	ml_dec_init(&d, &io, arena, sizeof arena, buf, nbuf);
	do {
		k = p->n - at < chunk ? p->n - at : chunk;
		r = ml_dec_feed(&d, p->p + at, k, &used);
		at += used;
		if (r == ML_DEC_MORE && at == p->n)
			break;
	} while (r >= 0 && r != ML_DEC_DONE);
	return r;
}

/* ----- patches ---------------------------------------------------------- */

static struct rc_enc rc;
static struct ml_state st;
static uint16_t probs[ML_ARENA_FULL / 2];

static void begin(void)
{
	model_reset(&st, probs, ml_layout_of(ML_FULL));
	rc_start(&rc);
}

static void describe(unsigned form, unsigned from)
{
	model_op(&rc, &st, ML_OP_DESC);
	st.type = (uint16_t)(ML_TYPE_CROSSED | form << 4 | from);
	model_desc(&rc, &st);
}

/* A DIFF or ALONE of so many units, to be followed by its blocks. */
static void operation(unsigned op, unsigned units, uint64_t at)
{
	model_op(&rc, &st, op);
	model_num(&rc, &st, ML_N_ELEM, units - 1);
	if (op == ML_OP_DIFF)
		model_disp(&rc, &st, (ml_soff)at);
	model_begin(&st, op, 0);
}

static void finish(struct bytes *patch, uint64_t made, const uint8_t *base,
	size_t nbase, unsigned flags)
{
	static const uint8_t page[4] = {ML_EXT_PAGE, 2, 12, 0};
	static struct bytes code, body;
	struct head h = {.version = 1, .cls = ML_FULL, .flags = flags,
		.target_size = made, .base_size = nbase, .base = base,
		.nbase = nbase, .target = base, .ntarget = 1};

	if (flags & ML_HF_IN_PLACE) {
		h.ext = page;
		h.next = sizeof page;
	}
	code.n = body.n = 0;
	put(&code, rc.out, rc_end(&rc));
	put_record(&body, 1, made, &code);
	put_header(patch, &h, body.n);
	put(patch, body.p, body.n);
}

/* ----- every pair of types ---------------------------------------------- */

/* Blocks of any bytes, or of codes near to what the weights say. */
static void make(enum ml_bform form, unsigned from, const uint8_t *base,
	unsigned units, struct bytes *target, int wild)
{
	const unsigned n = ml_x_weights(form, from), w = ml_b_bytes(form);
	const unsigned need = ml_x_from_bytes(from, n);
	struct ml_cross *x = &st.mix->cross;
	struct ml_qblock k;
	uint8_t t[256];
	unsigned u, i, j;

	for (u = 0; u < units; u++) {
		memcpy(x->raw, base + u * need, need);
		ml_x_load(x, from, n);
		for (i = 0; i < n; i += ml_b_weights(form)) {
			for (j = 0; j < w; j++)
				t[j] = (uint8_t)rnd(256);
			ml_qblock_begin(&k, (unsigned)form, 0, st.avg);
			ml_qblock_cross(&k, x, i);
			ml_qblock_bits(form, &k.t, t, 0);
			if (!wild) {
				k.t.d = k.b.d;
				k.t.m = k.b.m;
			}
			ml_qblock_bits(form, &k.t, t, 1);
			put(target, t, w);
			while (k.step < k.steps)
				model_block(&rc, &st, &k);
		}
	}
}

static void test_pairs(void)
{
	static uint8_t base[BASE_MAX];
	static struct bytes target, patch;
	static struct world w;
	unsigned type, form, from, n, units, round, i;
	float f;

	for (type = 0; type < 256; type++) {
		form = type >> 4;
		from = type & 15;
		if (!ml_cross_known(ML_TYPE_CROSSED | type)) {
			CHECK(form >= 10 || from >= 13 || from == form + 3);
			continue;
		}
		n = ml_x_weights((enum ml_bform)form, from);
		CHECK(n == 32 || n == 256);
		CHECK(ml_type_bytes(ML_TYPE_CROSSED | type) % ml_type_bytes(
			ML_TYPE_BLOCK + form) == 0);
		CHECK(ml_type_base(ML_TYPE_CROSSED | type) ==
			ml_x_from_bytes(from, n));
		units = 3;
		for (round = 0; round < 3; round++) {
			/* any bytes; weights; the ends of numbers */
			for (i = 0; i < sizeof base; i++)
				base[i] = (uint8_t)(round < 2 ? rnd(256) :
					rnd(2) ? 255 : rnd(2) ? 127 : 0);
			for (i = 0; !from && round == 1 && i < 800; i++) {
				f = (float)(int)(rnd(2000) - 1000) / 50000;
				memcpy(base + AT + 4 * i, &f, 4);
			}
			begin();
			describe(form, from);
			operation(ML_OP_DIFF, units, AT);
			target.n = 0;
			make((enum ml_bform)form, from, base + AT, units,
				&target, round != 1);
			w.base = base;
			/* not a byte more than it needs */
			w.nbase = AT + (size_t)units * ml_x_from_bytes(from, n);
			finish(&patch, target.n, base, w.nbase, 1);
			for (i = 0; i < 4; i++) {
				w.slow = i > 1;
				CHECK(drive(&w, &patch, i & 1 ? 1 : 60000,
					i > 1 ? 16 : 4096) == ML_DEC_DONE);
				CHECK(w.made.n == target.n && !memcmp(
					w.made.p, target.p, target.n));
			}
			/* nor a byte less than that */
			w.nbase--;
			w.slow = 0;
			finish(&patch, target.n, base, w.nbase, 1);
			CHECK(drive(&w, &patch, 60000, 4096) ==
				ML_DEC_EFORMAT);
		}
	}
}

/* ----- what is malformed ------------------------------------------------ */

static int judged(const struct bytes *patch)
{
	static uint8_t base[BASE_MAX];
	static struct world w;

	w.base = base;
	w.nbase = sizeof base;
	return drive(&w, patch, 60000, 4096);
}

static void test_malformed(void)
{
	static uint8_t base[BASE_MAX];
	static struct bytes patch, target;
	unsigned type;

	/* types that are not there */
	for (type = 0; type < 256; type++) {
		if (ml_cross_known(ML_TYPE_CROSSED | type))
			continue;
		begin();
		describe(type >> 4, type & 15);
		operation(ML_OP_DIFF, 1, 0);
		finish(&patch, 34, base, sizeof base, 1);
		CHECK(judged(&patch) == ML_DEC_EVERSION);
	}
	/* without a base; in place; more than the record makes */
	begin();
	describe(ML_B_Q8_0, ML_CAST_F32);
	operation(ML_OP_ALONE, 1, 0);
	finish(&patch, 34, base, sizeof base, 1);
	CHECK(judged(&patch) == ML_DEC_EFORMAT);
	begin();
	describe(ML_B_Q8_0, ML_CAST_F32);
	operation(ML_OP_DIFF, 1, 0);
	target.n = 0;
	make(ML_B_Q8_0, ML_CAST_F32, base, 1, &target, 0);
	finish(&patch, 34, base, sizeof base, 1 | ML_HF_IN_PLACE);
	CHECK(judged(&patch) == ML_DEC_EFORMAT);
	finish(&patch, 34, base, sizeof base, 1);
	CHECK(judged(&patch) == ML_DEC_DONE);
	begin();
	describe(ML_B_Q8_0, ML_CAST_F32);
	operation(ML_OP_DIFF, 2, 0);
	finish(&patch, 67, base, sizeof base, 1);
	CHECK(judged(&patch) == ML_DEC_EFORMAT);
	/* lengths and places whose products and sums leave 64 bits */
	begin();
	describe(ML_B_Q8_0, ML_CAST_F32);
	model_op(&rc, &st, ML_OP_DIFF);
	model_num(&rc, &st, ML_N_ELEM, (UINT64_C(1) << 57) + 1);
	model_disp(&rc, &st, 0);
	finish(&patch, 68, base, sizeof base, 1);
	CHECK(judged(&patch) == ML_DEC_EFORMAT);
	for (type = 0; type < 64; type++) {
		begin();
		describe(ML_B_Q8_0, ML_CAST_F32);
		operation(ML_OP_DIFF, 1, UINT64_MAX - type * 4);
		finish(&patch, 34, base, sizeof base, 1);
		CHECK(judged(&patch) == ML_DEC_EFORMAT);
		if (type && type < 62) {
			begin();
			describe(ML_B_Q8_0, ML_CAST_F32);
			operation(ML_OP_DIFF, 1, UINT64_C(1) << type);
			finish(&patch, 34, base, sizeof base, 1);
			CHECK((judged(&patch) == ML_DEC_EFORMAT) ==
				(type > 12));
		}
	}
}

/* Plain operations of a stream, which are not of patches. */
static void test_plain(void)
{
	static uint8_t base[1024];
	uint8_t op[64] = {ML_OP_DIFF, ML_TYPE_CROSS, ML_B_Q8_0 << 4, 1, 0};
	struct ml_op_view v;
	const uint8_t *p = op;
	struct bytes *patch = calloc(1, sizeof *patch);
	struct bytes *code = calloc(1, sizeof *code);
	struct bytes *body = calloc(1, sizeof *body);
	struct head h = {.version = 1, .cls = ML_FULL, .flags = 1,
		.target_size = 34, .base_size = sizeof base, .base = base,
		.nbase = sizeof base, .target = base, .ntarget = 1};
	struct ml_diag diag;

	if (!patch || !code || !body)
		abort();
	CHECK(!ml_op_read(&p, op + 39, &v, &diag));
	CHECK(p == op + 39 && v.bytes == 34 && v.from == 128 && v.n == 1);
	ml_op_uncross(&v);
	CHECK(v.op == ML_OP_ALONE && v.type == ML_TYPE_BLOCK + ML_B_Q8_0 &&
		v.n == 1 && v.from == 0 && v.bytes == 34);
	p = op;
	CHECK(ml_op_read(&p, op + 38, &v, &diag) == ML_ETRUNC);
	CHECK(ml_op_read(&p, op + 2, &v, &diag) == ML_EVERSION);
	op[2] = 0xa0;
	CHECK(ml_op_read(&p, op + 39, &v, &diag) == ML_EVERSION);
	op[2] = ML_B_Q8_0 << 4;
	op[0] = ML_OP_ALONE;
	CHECK(ml_op_read(&p, op + 39, &v, &diag) == ML_EVERSION);
	op[0] = ML_OP_DIFF;
	put(code, op, 39);
	put_record(body, 0, 34, code);
	put_header(patch, &h, body->n);
	put(patch, body->p, body->n);
	CHECK(judged(patch) == ML_DEC_EVERSION);
	free(patch);
	free(code);
	free(body);
}

/* ----- what is expected ------------------------------------------------- */

/* Weights that are on a scale exactly: its numbers, and all codes, are as
 * expected; and so when every f16 that is told is another one. */
static void test_exact(void)
{
	static struct ml_cross x;
	struct ml_qblock k;
	uint8_t t[256];
	unsigned i, j, pred, low, row, form, off;
	enum ml_b_what what;
	float f;

	for (i = 0; i < 4000; i++)
		CHECK(ml_x_root(i) <= 63 && ml_x_root(i) * ml_x_root(i) <= i &&
			(ml_x_root(i) + 1) * (ml_x_root(i) + 1) > i);
	CHECK(ml_x_root(UINT64_C(1) << 40) == 1u << 20);
	for (form = 0; form < ML_NBFORM; form++) {
		for (i = 0; i < 256; i++) {
			/* every run has its ends, and 0 */
			j = i % 16 * 3 % 16;
			f = (float)((int)j - 8) / 1024 *
				(float)(1 + (i / 64 & 1));
			memcpy(x.raw + 4 * i, &f, 4);
		}
		ml_x_load(&x, ML_CAST_F32, 256);
		ml_qblock_begin(&k, form, 0, 0);
		ml_qblock_cross(&k, &x, 0);
		k.t = k.b;
		CHECK(k.b.d && k.b.d != 0x7c00);
		for (; k.step < k.steps; ml_qblock_next(&k, what, 0)) {
			what = ml_qblock_what(&k, &i);
			if (what == ML_B_D || what == ML_B_M)
				continue;
			ml_qblock_expect(&k, what, i, &pred, &low, &row);
			CHECK(row < 2 * ML_B_ROWS);
			if (what == ML_B_S)
				k.t.s[i] = (uint8_t)pred;
			else if (what == ML_B_N)
				k.t.n[i] = (uint8_t)pred;
			else
				k.t.q[i] = (uint8_t)pred;
		}
		/* the block of what was expected has these weights, nearly */
		ml_qblock_bits((enum ml_bform)form, &k.t, t, 1);
		memcpy(x.raw, t, ml_b_bytes((enum ml_bform)form));
		ml_x_load(&x, ML_X_FORM + form,
			ml_b_weights((enum ml_bform)form));
		for (off = 0, i = 0; i < ml_b_weights((enum ml_bform)form);
			i++) {
			memcpy(&f, &x.x[i], 4);
			j = i % 16 * 3 % 16;
			f -= (float)((int)j - 8) / 1024 *
				(float)(1 + (i / 64 & 1));
			f = f < 0 ? -f : f;
			/* half a step of the coarsest scale there is */
			off += f > (form == ML_B_Q2_K ? 3.f : form ==
				ML_B_Q3_K ? 1.6f : 0.8f) / 1024 *
				(float)(1 + (i / 64 & 1));
		}
		CHECK(off == 0);
	}
}

int main(void)
{
	(void)model_mixed_elem; /* of the model, not needed here */
	if (!rc_new(&rc))
		abort();
	test_exact();
	test_pairs();
	test_malformed();
	test_plain();
	rc_free(&rc);
	return 0;
}
