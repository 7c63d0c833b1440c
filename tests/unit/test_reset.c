/* SPDX-License-Identifier: MIT */
/* Resets of class full touch only what was used, and leave nothing behind: the
 * decoder itself, its work counted. */
#include "patch.h"
#include "test.h"

static unsigned long long cleared; /* bytes put into their first state */
#define ML_CLEARS(n) (cleared += (n))

#include "../../embedded/mldec.c"

#include "../../lib/coder.h"

/* ----- a model that is reset, and one that is always new ---------------- */

static uint32_t seed = 1;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

struct side {
	struct ml_state st;
	struct ml_rc rc;
	uint16_t arena[ML_ARENA_FULL / 2];
};

static struct side used, fresh;

/* What both decode of the same bytes; rubbish, but the same. */
static uint64_t some(struct side *s, unsigned what, uint32_t arg, uint64_t at)
{
	static const uint8_t widths[7][2] = {
		{ 4, 0 }, { 8, 0 }, { 16, 0 }, { 32, 0 }, { 16, 5 }, { 16, 8 },
		{ 32, 8 }
	};
	const unsigned bits = widths[arg % 7][0], eb = widths[arg % 7][1];
	const unsigned n = arg >> 8 & 7;
	struct ml_state *st = &s->st;
	uint64_t v = 0;
	unsigned i, alone = what & 1;
	struct ml_qblock k;

	switch (what >> 1) {
	case 0:
		model_op(&s->rc, st, 0);
		return (uint64_t)model_num(&s->rc, st, arg % 6, 0) ^
			(uint64_t)model_disp(&s->rc, st, 0) ^
			model_dist(&s->rc, st, 0);
	case 1: /* bytes as LIT, or as copies */
		if (arg % 50 == 0)
			model_made(st, ML_OP_COPY, 0, arg, 0);
		else if (arg % 4 == 0)
			model_made(st, ML_OP_SELF, 0, arg % 999, arg % 77 + 1);
		else
			model_begin(st, ML_OP_LIT, at);
		for (i = 0; i < n; i++)
			v = v * 31 + model_lit(&s->rc, st, at + i, 0);
		return v;
	case 2: /* mixed, with rows and without */
		st->type = ML_TYPE_MIXED;
		if (arg & 1)
			model_desc(&s->rc, st);
		st->type = ML_TYPE_MIXED;
		model_begin(st, alone ? ML_OP_ALONE : ML_OP_DIFF, at);
		for (i = 0; i < n; i++)
			v = v * 31 + model_mixed_elem(&s->rc, st, at + i,
				alone ? 0 : arg & 255, 0);
		return v;
	case 3: /* by those before */
		st->type = (uint8_t)(2 + arg % 9);
		st->set = arg >> 12 & 3;
		if (arg & 32)
			model_desc(&s->rc, st);
		st->type = (uint8_t)(2 + arg % 9);
		if (st->seen != (arg & 16 ? ML_SEEN_LIST : ML_SEEN_LINE)) {
			st->seen = arg & 16 ? ML_SEEN_LIST : ML_SEEN_LINE;
			ml_seen_forget(&st->mix->seen);
		}
		model_begin(st, ML_OP_ALONE, at);
		for (i = 0; i < n * 9; i++)
			v = v * 31 + model_seen(&s->rc, st, bits > 8 ? bits :
				32, bits > 8 ? eb : 8, 0, 0);
		return v;
	case 4: /* blocks */
		st->type = (uint8_t)(ML_TYPE_BLOCK + arg % 10);
		st->set = arg >> 12 & 3;
		model_begin(st, alone ? ML_OP_ALONE : ML_OP_DIFF, at);
		memset(&k, 0, sizeof k);
		ml_qblock_begin(&k, (enum ml_bform)(arg % 10), (int)alone,
			st->avg);
		while (k.step < k.steps)
			model_block(&s->rc, st, &k);
		for (i = 0; i < sizeof k.t.q; i++)
			v = v * 31 + k.t.q[i];
		return v;
	default:
		st->type = (uint8_t)(arg % 12);
		st->set = arg >> 12 & 3;
		st->e0 = (uint16_t)(arg >> 16 & 255);
		model_begin(st, alone ? ML_OP_ALONE : ML_OP_DIFF, at);
		for (i = 0; i < n; i++)
			v = v * 31 + (alone ?
				model_alone(&s->rc, st, bits, eb, 0) :
				model_diff(&s->rc, st, bits, eb,
					(ml_word)arg * 0x9e3779b1u &
						model_mask(bits), 0));
		return v + (arg % 3 ? 0 : model_requant(&s->rc, st,
			arg & 1 ? 4 : 8, arg & 15, 0));
	}
}

static void same(void)
{
	const struct ml_layout *l = ml_layout_of(ML_FULL);
	static uint8_t in[65536];
	uint32_t round, i, n, what, arg;

	memset(&used.arena, 0xa5, sizeof used.arena);
	for (round = 0; round < 600; round++) {
		for (i = 0; i < sizeof in; i++)
			in[i] = (uint8_t)rnd(256);
		model_reset(&used.st, used.arena, l);
		memset(&fresh.st, 0, sizeof fresh.st);
		if (round % 8 == 0)
			memset(&fresh.arena, (int)rnd(256), sizeof fresh.arena);
		model_reset(&fresh.st, fresh.arena, l);
		used.rc.p = fresh.rc.p = in;
		used.rc.lim = fresh.rc.lim = in + sizeof in;
		rc_start(&used.rc);
		rc_start(&fresh.rc);
		n = round % 10 ? rnd(12) : rnd(1500);
		for (i = 0; i < n; i++) {
			what = rnd(12);
			arg = rnd(0xffffffff);
			/* each in turn alone, too */
			if (round % 3)
				what = round / 3 % 12;
			if (some(&used, what, arg, i) !=
				some(&fresh, what, arg, i))
				break;
		}
		CHECK(i == n);
		CHECK(used.rc.p == fresh.rc.p &&
			used.rc.range == fresh.rc.range &&
			used.rc.code == fresh.rc.code);
		if (round == 300) /* as after 2^32 resets */
			used.st.mix->mix.age = UINT32_MAX - 3;
	}
}

/* ----- what a hostile patch can ask for --------------------------------- */

static int on_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	(void)ctx;
	(void)off;
	memset(dst, 7, n);
	return (int)n;
}

static int on_write(void *ctx, const uint8_t *src, unsigned n)
{
	(void)src;
	*(uint64_t *)ctx += n;
	return (int)n;
}

#define RECORDS 600u

/* So many records of one operation, each with a reset: of `units` of a type.
 * Returns bytes cleared per byte of the patch, and per record. */
static double hostile(const char *name, int coded, unsigned op, unsigned type,
	unsigned units, double *each)
{
	static uint8_t arena[ML_ARENA_FULL], buf[4096], base[4096];
	static uint8_t data[4096];
	static struct bytes patch, body, plain, code;
	const unsigned unit = op >= 3 ? ml_type_bytes(type) : 1;
	const unsigned made = units * unit;
	struct head head = {.version = 1, .cls = ML_FULL, .flags = 1,
		.target_size = (uint64_t)made * RECORDS,
		.base_size = sizeof base, .window = 1 << 20,
		.base = base, .nbase = 1, .target = base, .ntarget = 1};
	uint64_t out = 0;
	struct ml_dec_io io = {&out, on_base, on_base, on_write};
	struct ml_block b = {.n_out = made};
	struct ml_coder *c;
	struct ml_diag diag;
	struct ml_dec d;
	const uint8_t *p;
	size_t n, left;
	unsigned i;
	int r;

	if (ml_coder_new(&c, ML_FULL, &diag))
		abort();
	memset(base, 7, sizeof base);
	for (i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(type == 3 ? i / 4 * 37 % 5 + i % 4 :
			i * i / 7 + 97);
	body.n = 0;
	for (i = 0; i < RECORDS && body.n < CAP - 400; i++) {
		plain.n = code.n = 0;
		if (op == ML_OP_LIT)
			put_lit(&plain, data, units);
		else if (op == ML_OP_COPY || op == ML_OP_SELF)
			put_op(&plain, op, units, i ? 1 : 0);
		else
			put_elems(&plain, op, type, units, 0, data, made);
		if (coded) {
			ml_coder_reset(c);
			b.code = plain.p;
			b.n = plain.n;
			b.base = base;
			b.nbase = op == ML_OP_DIFF ? made : 0;
			if (ml_coder_encode(c, &b, (uint64_t)i * made,
				1 << 20, &p, &n, &diag) || !n)
				abort();
			put(&code, p, n);
		}
		put_record(&body, 0x10u | (unsigned)coded, made,
			coded ? &code : &plain);
	}
	ml_coder_free(c);
	head.target_size = (uint64_t)made * i;
	put_header(&patch, &head, body.n);
	put(&patch, body.p, body.n);
	ml_dec_init(&d, &io, arena, sizeof arena, buf, sizeof buf);
	p = patch.p;
	left = patch.n;
	cleared = 0;
	do {
		const uint64_t before = out;

		r = ml_dec_feed(&d, p, left, &n);
		p += n;
		left -= n;
		if (r == ML_DEC_HEADER) {
			r = ml_dec_feed(&d, p, 0, &n); /* the first reset */
			cleared = 0;
		}
		if (r == ML_DEC_MORE && !left && before == out && !n)
			break;
	} while (r >= 0 && r != ML_DEC_DONE);
	CHECK(r == ML_DEC_DONE);
	CHECK(out == head.target_size);
	*each = (double)cleared / i;
	printf("# %s: patch %zu bytes, %u resets, each clears %.0f bytes: "
		"%.0f per byte of it\n", name, patch.n, i, *each,
		(double)cleared / (double)patch.n);
	return (double)cleared / (double)patch.n;
}

int main(void)
{
	double each, all = 0;

	same();
	/* A full clearing would be some 3 MB each time. What a reset costs
	 * that follows a record of next to nothing, */
	CHECK(hostile("plain LIT of 1", 0, ML_OP_LIT, 0, 1, &all) < 1000);
	CHECK(hostile("coded LIT of 1", 1, ML_OP_LIT, 0, 1, &each) < 1000);
	CHECK(each < 8000);
	CHECK(hostile("DIFF of 1 i8", 1, ML_OP_DIFF, 1, 1, &each) < 1000);
	CHECK(hostile("DIFF of 1 bf16", 1, ML_OP_DIFF, 6, 1, &each) < 1000);
	CHECK(hostile("ALONE of 1 f32", 1, ML_OP_ALONE, 7, 1, &each) < 1000);
	CHECK(hostile("DIFF of a Q4_K", 1, ML_OP_DIFF, 42, 1, &each) < 1000);
	CHECK(hostile("DIFF of a Q6_K", 1, ML_OP_DIFF, 44, 1, &each) < 1000);
	CHECK(hostile("COPY of 1", 1, ML_OP_COPY, 0, 1, &each) < 1000);
	/* and when more was made: by what that touched. */
	CHECK(hostile("LIT of 1000", 1, ML_OP_LIT, 0, 1000, &each) < 1000);
	CHECK(each - all < 1000 * 1024);
	CHECK(hostile("ALONE of 900 i32 in a list", 1, ML_OP_ALONE, 3, 900,
		&each) < 1000);
	CHECK(each - all < 900 * 1024);
	CHECK(hostile("COPY of 4000", 1, ML_OP_COPY, 0, 4000, &each) < 1000);
	CHECK(each - all < 4000 * 2);
	return 0;
}
