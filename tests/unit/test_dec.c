/* SPDX-License-Identifier: MIT */
/* The decoder of embedded/, driven in every awkward way: patches cut to
 * bytes, buffers of 16 bytes, callbacks that do little or nothing. */
#include "cast.h"
#include "mltype.h"
#include "patch.h"
#include "test.h"

/* Surroundings of a decoder, moody ones if asked. */
struct world {
	const uint8_t *base;
	size_t nbase;
	struct bytes made;
	unsigned mood; /* 0: none; else callbacks take turns */
	unsigned turn;
	uint64_t window;
};

/* How much of n is done now. */
static unsigned some(struct world *w, unsigned n)
{
	if (!w->mood || !n)
		return n;
	w->turn = w->turn * 1103515245u + 12345u;
	switch (w->turn >> 16 & 3) {
	case 0: return 0;
	case 1: return 1;
	case 2: return n < 3 ? n : 3;
	default: return n;
	}
}

static int on_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct world *w = ctx;

	CHECK(off < w->nbase && n <= w->nbase - off && n > 0);
	n = some(w, n);
	memcpy(dst, w->base + off, n);
	return (int)n;
}

static int on_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct world *w = ctx;

	CHECK(off < w->made.n && n <= w->made.n - off && n > 0);
	CHECK(off + w->window >= w->made.n);
	n = some(w, n);
	memcpy(dst, w->made.p + off, n);
	return (int)n;
}

static int on_write(void *ctx, const uint8_t *src, unsigned n)
{
	struct world *w = ctx;

	n = some(w, n);
	put(&w->made, src, n);
	return (int)n;
}

/* Feeds p[0..n), at most `chunk` bytes at a time, each from a buffer of its
 * own so that a read beyond it is seen. Returns the last status. */
static int drive(struct world *w, const uint8_t *p, size_t n, size_t chunk,
	size_t nbuf)
{
	static uint16_t arena[ML_ARENA_FULL / 2];
	struct ml_dec_io io = {w, on_base, on_target, on_write};
	unsigned long long turns = 0;
	struct ml_dec d;
	uint8_t *buf = malloc(nbuf), *in;
	size_t at = 0, k, used;
	int r;

	if (!buf)
		abort();
	w->made.n = 0;
	w->turn = w->mood;
	ml_dec_init(&d, &io, arena, sizeof(arena), buf, nbuf);
	do {
		k = n - at < chunk ? n - at : chunk;
		in = malloc(k ? k : 1);
		if (!in)
			abort();
		memcpy(in, p + at, k);
		r = ml_dec_feed(&d, in, k, &used);
		free(in);
		CHECK(used <= k);
		at += used;
		if (r == ML_DEC_HEADER)
			w->window = d.hdr.window;
		if (r == ML_DEC_MORE && at == n)
			break;
		CHECK(r != ML_DEC_MORE || used);
		CHECK(++turns < 1000000); /* else it hangs */
		if (turns == 1000000)
			break;
	} while (r >= 0 && r != ML_DEC_DONE);
	if (r < 0) { /* and it stays so */
		CHECK(ml_dec_feed(&d, p, 1, &used) == r && used == 0);
	} else if (r == ML_DEC_DONE) {
		CHECK(at == n);
		CHECK(ml_dec_feed(&d, p, 1, &used) == r && used == 0);
	}
	free(buf);
	return r;
}

static void whole(const uint8_t *base, size_t nbase, const uint8_t *target,
	size_t ntarget, const uint8_t *patch, size_t n)
{
	static const size_t chunk[] = {1, 7, 48, 49, CAP, 2, 3, 47, 50, 97};
	static const size_t nbuf[] = {16, 70000, 1000, 17, 24, 64};
	const size_t nc = n > 1000 ? 5 : 10, nb = n > 1000 ? 3 : 6;
	static struct world w;
	size_t i, j, k;

	w.base = base;
	w.nbase = nbase;
	for (i = 0; i < nc; i++)
		for (j = 0; j < nb; j++)
			for (k = 0; k < 3; k++) {
				w.mood = (unsigned)k * 77;
				CHECK(drive(&w, patch, n, chunk[i], nbuf[j]) ==
					ML_DEC_DONE);
				CHECK(w.made.n == ntarget && memcmp(w.made.p,
					target, ntarget) == 0);
			}
}

/* No cut and no flipped bit may go unnoticed; `step` 1 for all of them. */
static void damaged(const uint8_t *base, size_t nbase, const uint8_t *patch,
	size_t n, size_t step)
{
	static const size_t chunk[] = {1, 13, CAP};
	static struct world w;
	static struct bytes bad;
	size_t i, j;
	int r;

	w.base = base;
	w.nbase = nbase;
	w.mood = 0;
	for (j = 0; j < 3; j++) {
		for (i = 0; i < n; i += step)
			CHECK(drive(&w, patch, i, chunk[j], 32) == ML_DEC_MORE);
		bad.n = 0;
		put(&bad, patch, n);
		for (i = 0; i < 8 * n; i += step) {
			bad.p[i / 8] ^= (uint8_t)(1u << i % 8);
			r = drive(&w, bad.p, n, chunk[j], 32);
			CHECK(r < 0 || r == ML_DEC_MORE);
			bad.p[i / 8] ^= (uint8_t)(1u << i % 8);
		}
	}
}

/* A patch of one record over the small base. */
static int judge(unsigned coder, uint64_t n_out, const struct bytes *code,
	uint64_t target_size, uint64_t base_size, uint64_t window)
{
	static struct bytes body, patch;
	static uint8_t base[SMALL_BASE];
	static struct world w;
	struct head h = {0};
	int a, b;

	h.version = 1;
	h.cls = 3;
	h.flags = 1;
	h.target_size = target_size;
	h.base_size = base_size;
	h.window = window;
	h.base = base;
	h.target = base;
	body.n = 0;
	put_record(&body, coder, n_out, code);
	put_header(&patch, &h, body.n);
	put(&patch, body.p, body.n);
	put1(&patch, 'x'); /* something behind, not to be touched */
	w.base = base;
	w.nbase = SMALL_BASE;
	a = drive(&w, patch.p, patch.n - 1, CAP, 64);
	b = drive(&w, patch.p, patch.n - 1, 1, 16);
	CHECK(a == b);
	return a;
}

static void test_numbers(void)
{
	const uint64_t big = UINT64_MAX >> 1;
	static const uint64_t dist[] = {0, 4, 5, 9, 100, UINT64_MAX >> 1};
	static struct bytes c;
	unsigned type;
	size_t i;

	/* copies that leave the base */
	c.n = 0;
	put_op(&c, 1, 4, 60);
	CHECK(judge(0, 4, &c, 4, 64, 0) == ML_DEC_DONE);
	CHECK(judge(0, 4, &c, 4, 63, 0) == ML_DEC_EFORMAT);
	c.n = 0;
	put_op(&c, 1, 1, big);
	CHECK(judge(0, 1, &c, 1, 64, 0) == ML_DEC_EFORMAT);
	c.n = 0;
	put_op(&c, 1, big, 1);
	CHECK(judge(0, big, &c, big, big, 0) == ML_DEC_EFORMAT);
	c.n = 0;
	put_op(&c, 1, big, big);
	CHECK(judge(0, big, &c, big, big, 0) == ML_DEC_EFORMAT);
	c.n = 0;
	put_op(&c, 1, 0, 0);
	CHECK(judge(0, 1, &c, 1, 64, 0) == ML_DEC_EFORMAT);

	/* lengths whose product with the unit wraps around */
	for (type = 0; type < ML_NTYPE; type++) {
		static const uint64_t n[] = {1u << 31, UINT64_C(1) << 32,
			UINT64_C(1) << 55, UINT64_C(1) << 61,
			UINT64_C(1) << 62, UINT64_MAX >> 1,
			UINT64_C(0x0e38e38e38e38e39),
			UINT64_C(0x4000000000000001)};

		for (i = 0; i < sizeof(n) / sizeof(*n); i++) {
			c.n = 0;
			put_elems(&c, 3, type, n[i], 0, "12345678", 8);
			CHECK(judge(0, 8, &c, 8, 64, 0) == ML_DEC_EFORMAT);
			/* beyond the base even where it fits the target */
			CHECK(judge(0, big, &c, big, 64, 0) == ML_DEC_EFORMAT);
			c.n = 0;
			put_elems(&c, 4, type, n[i], 0, "12345678", 8);
			CHECK(judge(0, 8, &c, 8, 64, 0) == ML_DEC_EFORMAT);
		}
	}

	/* windows */
	for (i = 0; i < sizeof(dist) / sizeof(*dist); i++) {
		c.n = 0;
		put_lit(&c, "abcdefghi", 9);
		put_op(&c, 2, 6, dist[i]);
		CHECK(judge(0, 15, &c, 15, 64, 4) ==
			(dist[i] == 4 ? ML_DEC_DONE : ML_DEC_EFORMAT));
		CHECK(judge(0, 15, &c, 15, 64, big) ==
			(dist[i] && dist[i] < 10 ? ML_DEC_DONE :
				ML_DEC_EFORMAT));
	}

	/* records that do not add up */
	c.n = 0;
	put_lit(&c, "abcdefghi", 9);
	CHECK(judge(0, 9, &c, 9, 64, 0) == ML_DEC_DONE);
	CHECK(judge(0, 9, &c, 10, 64, 0) == ML_DEC_EFORMAT);
	CHECK(judge(0, 9, &c, 8, 64, 0) == ML_DEC_EFORMAT);
	CHECK(judge(0, 8, &c, 8, 64, 0) == ML_DEC_EFORMAT);
	CHECK(judge(0, 10, &c, 10, 64, 0) == ML_DEC_EFORMAT);
	CHECK(judge(0, 0, &c, 0, 64, 0) == ML_DEC_EFORMAT);
	CHECK(judge(0, big, &c, big, 64, 0) == ML_DEC_EFORMAT);
	put1(&c, 0);
	CHECK(judge(0, 9, &c, 9, 64, 0) == ML_DEC_EFORMAT);

	/* what is unknown */
	c.n = 0;
	put_lit(&c, "abcdefghi", 9);
	CHECK(judge(2, 9, &c, 9, 64, 0) == ML_DEC_EVERSION);
	CHECK(judge(14, 9, &c, 9, 64, 0) == ML_DEC_EVERSION);
	CHECK(judge(15, 9, &c, 9, 64, 0) == ML_DEC_EVERSION);
	CHECK(judge(32, 9, &c, 9, 64, 0) == ML_DEC_EVERSION);
	CHECK(judge(64, 9, &c, 9, 64, 0) == ML_DEC_EVERSION);
	CHECK(judge(128, 9, &c, 9, 64, 0) == ML_DEC_EVERSION);
	c.p[0] = 5;
	CHECK(judge(0, 9, &c, 9, 64, 0) == ML_DEC_EFORMAT);
	c.n = 0;
	put_elems(&c, 4, 63, 1, 0, "1234", 4);
	CHECK(judge(0, 4, &c, 4, 64, 0) == ML_DEC_EVERSION);

	/* numbers in a longer form than needed, or of 64 bits */
	c.n = 0;
	put(&c, "\0\x81\0x", 4);
	CHECK(judge(0, 1, &c, 1, 64, 0) == ML_DEC_EFORMAT);
	c.n = 0;
	put(&c, "\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 12);
	CHECK(judge(0, 1, &c, 1, 64, 0) == ML_DEC_EFORMAT);
}

/* The length of a record is more than the patch has. */
static void test_long_record(void)
{
	static const uint64_t len[] = {10, 11, 12, 13, 14, 15, 1000, 5000,
		UINT64_C(1) << 32, UINT64_MAX >> 1};
	static struct bytes body, patch;
	static struct world w;
	struct head h = {0};
	unsigned coder;
	size_t i, k;

	h.version = 1;
	h.cls = 1;
	h.target_size = 5000;
	h.target = patch.p;
	for (coder = 0; coder < 16; coder++)
		for (i = 0; i < sizeof(len) / sizeof(*len); i++) {
			body.n = 0;
			put1(&body, coder);
			putv(&body, coder == 15 ? 0 : 5000);
			putv(&body, len[i]);
			put(&body, "\0\x88\x27" "0123456789", 13);
			put_header(&patch, &h, body.n);
			put(&patch, body.p, body.n);
			for (k = 0; k < 3000; k++)
				put1(&patch, 0);
			CHECK(drive(&w, patch.p, patch.n, CAP, 64) < 0);
			CHECK(drive(&w, patch.p, patch.n, 1, 64) < 0);
		}
}

static void test_header(void)
{
	static const uint8_t ok[] = {2, 3, 1, 2, 3, 0x7f, 0};
	static const uint8_t crit[] = {0x81, 1, 0};
	static const uint8_t cut[] = {2, 3, 1, 2}, half[] = {2};
	static uint8_t fill[300];
	static struct bytes p;
	struct head h = {0};
	struct ml_hdr got;
	size_t i;

	h.version = 1;
	h.cls = 2;
	h.target = fill;
	h.release = UINT64_MAX >> 1;
	h.ext = ok;
	h.next = sizeof(ok);
	put_header(&p, &h, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == (int)p.n);
	CHECK(got.cls == 2 && got.release == UINT64_MAX >> 1 && !got.base_sha);
	CHECK(got.ext_len == sizeof(ok) && got.len == p.n);
	for (i = 0; i < p.n; i++)
		CHECK(ml_hdr_parse(p.p, i, &got) == 0);
	h.ext = crit;
	h.next = sizeof(crit);
	put_header(&p, &h, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == ML_DEC_EVERSION);
	h.ext = cut;
	h.next = sizeof(cut);
	put_header(&p, &h, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == ML_DEC_EFORMAT);
	h.ext = half;
	h.next = sizeof(half);
	put_header(&p, &h, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == ML_DEC_EFORMAT);
	h.next = 0;
	h.version = 2;
	put_header(&p, &h, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == ML_DEC_EVERSION);
	h.version = 1;
	h.flags = 64;
	put_header(&p, &h, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == ML_DEC_EVERSION);
	h.flags = 0;
	h.cls = 4;
	put_header(&p, &h, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == ML_DEC_EVERSION);
	h.cls = 0;
	put_header(&p, &h, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == ML_DEC_EVERSION);
	h.cls = 1;
	fill[1] = 254; /* an extension field of 256 bytes, and zeros */
	h.ext = fill;
	for (h.next = 256; h.next < 300; h.next += 2) {
		put_header(&p, &h, 0);
		CHECK((ml_hdr_parse(p.p, p.n, &got) > 0) == (p.n <= 384));
	}
	h.next = 0;
	h.pad = 1; /* the CRC is not where it says */
	put_header(&p, &h, 0);
	put1(&p, 0);
	CHECK(ml_hdr_parse(p.p, p.n, &got) == ML_DEC_ECRC);
}

static void test_empty(void)
{
	static struct bytes p;
	static struct world w;
	struct head h = {0};

	h.version = 1;
	h.cls = 1;
	h.target = p.p;
	put_header(&p, &h, 0);
	CHECK(drive(&w, p.p, p.n, 1, 16) == ML_DEC_DONE && w.made.n == 0);
	h.target_size = 1;
	put_header(&p, &h, 0);
	CHECK(drive(&w, p.p, p.n, 1, 16) == ML_DEC_EFORMAT);
}

/* ===== range-coded patches ============================================== */

struct sink {
	struct ml_packer *p;
	unsigned ranged;
};

static int no_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	(void)ctx;
	(void)sp;
	(void)diag;
	return ML_OK;
}

static int to_packer(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	struct sink *s = ctx;

	s->ranged += (b->coder & 15) != 0;
	return ml_pack_block(s->p, b, diag);
}

static unsigned rnd(unsigned *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 16;
}

/* ----- casts, which only coder 2 has in its operations ------------------ */

#define CASTS 21
#define CAST_AT 3000 /* in the base, where all kinds of numbers are */

static const uint32_t scales[3] = {0x3c23d70a, 0x3a83126f, 0};

/* Every cast, of two rows of 32 elements, and what it makes behind base. */
static void make_casts(struct ml_cast c[CASTS], struct bytes *base)
{
	static const uint32_t odd[] = {0, 0x80000000, 1, 0x80000001,
		0x007fffff, 0x00800000, 0x7f800000, 0xff800000, 0x7fc00001,
		0x7f800001, 0xffffffff, 0x477fe000, 0x477ff000, 0x33000001,
		0x3f808000, 0x3f818000, 0x38800000, 0x387fffff, 0x7f7fffff};
	unsigned i, k, seed = 7;

	for (i = 0; i < 32; i++) {
		uint8_t *p = base->p + CAST_AT + 4 * i;

		ml_store32(p, odd[i % (sizeof(odd) / sizeof(*odd))]);
		memset(p + 128, 0, 4); /* zeros, and then weights */
		ml_store32(p + 256, 0x3c000000 + (rnd(&seed) << 7) +
			(rnd(&seed) << 31));
	}
	for (i = 0; i < CASTS; i++) {
		static uint8_t made[64 * 4];

		memset(&c[i], 0, sizeof(c[i]));
		c[i].to = (uint8_t)(i / 3 < 3 ? i / 3 : i / 3 + 1);
		c[i].from = (uint8_t)(i % 3);
		c[i].at = CAST_AT + (c[i].from == ML_C_F32 ? 128 * (i & 1) :
			64 * (i % 4)) + (i == 4);
		k = ml_cast_elems(c[i].to);
		c[i].units = 64 / k;
		if (c[i].to == ML_C_I8 || c[i].to == ML_C_U8) {
			c[i].inner = 16 + i;
			c[i].nscale = 3;
			c[i].scale = (uint32_t *)(uintptr_t)scales;
			c[i].zero = c[i].to == ML_C_I8 ? -3 : 128;
		}
		CHECK(ml_cast_legal(&c[i], base->n));
		ml_cast_make(&c[i], 0, c[i].units, base->p + c[i].at, made);
		put(base, made, ml_cast_len(&c[i]));
	}
}

/* Residuals, none and some, against all of each, and copies that care for no
 * border; at is where the casts begin. Returns the bytes that these make. */
static uint64_t put_casts(struct bytes *code, struct bytes *bb,
	const struct bytes *base, uint64_t at, const struct ml_cast *c,
	unsigned *seed)
{
	uint8_t res[256];
	uint64_t n, made = 0;
	unsigned i, j, type;

	for (i = 0; i < CASTS; i++, at += n) {
		n = ml_cast_len(&c[i]);
		type = c[i].to == ML_C_F32 ? 7 : c[i].to == ML_C_F16 ? 5 :
			c[i].to == ML_C_BF16 ? 6 : c[i].to == ML_C_Q8_0 ? 51 :
			c[i].to == ML_C_Q4_0 ? 35 : 1;
		for (j = 0; j < n; j++)
			res[j] = rnd(seed) & 7 || !(i & 1) ? 0 :
				(uint8_t)rnd(seed);
		put_elems(code, 3, type, c[i].units, at, res, (size_t)n);
		put(bb, base->p + at, (size_t)n);
		put_op(code, 1, n, at); /* the same again */
		made += 2 * n;
		if (i + 1 == CASTS || i == 0)
			continue;
		put_op(code, 1, n, at - 5);
		/* of another type, and not at its border */
		put_elems(code, 3, 3, n / 4, at + 3, res, (size_t)(n & ~3u));
		put(bb, base->p + at + 3, (size_t)(n & ~3u));
		made += n + (n & ~UINT64_C(3));
	}
	return made;
}

/* One plain block of every kind of element and of operation, coded. `plains`:
 * between range-coded blocks go plain ones, which must not touch the model. */
static void make_ranged(int cls, int plains, struct bytes *base,
	struct bytes *target, struct bytes *patch)
{
	static struct bytes code, before;
	struct ml_patch_info info = {0};
	struct ml_sink next = {0};
	struct sink s = {0};
	struct ml_zip *z;
	struct ml_diag diag;
	struct world w = {0};
	struct head h = {0};
	unsigned seed = 1, type, i, k, unit, round;
	uint8_t res[600], *data;
	uint64_t made;
	FILE *f = tmpfile();
	struct ml_cast cast[CASTS];
	const struct ml_casts casts = {cast, CASTS};
	struct ml_src *image = NULL;
	struct ml_hdr hdr;
	size_t own;
	long size;

	base->n = target->n = 0;
	for (i = 0; i < 4000; i++)
		put1(base, i & 1 ? 0x3c : rnd(&seed));
	CHECK(f && !ml_pack_new(&s.p, &diag));
	next.ctx = &s;
	next.span = no_span;
	next.block = to_packer;
	CHECK(!ml_zip_new(&z, cls, &next, &diag));
	own = base->n;
	if (cls == 1) {
		make_casts(cast, base);
		CHECK(!ml_src_spool(&image, &diag) &&
			!ml_src_append(image, base->p, base->n, &diag));
		CHECK(!ml_zip_casts(z, &casts, image, own, &diag));
	}
	code.n = 0;
	made = 0;
	before.n = 0;
	for (round = 0; round < 2; round++) {
		struct ml_block b = {0};
		static struct bytes bb;

		code.n = bb.n = 0;
		made = 0;
		for (type = 0; type < ML_NTYPE; type++) {
			unit = ml_type_bytes(type);
			k = unit > 60 ? 1 : 60 / unit;
			for (i = 0; i < k * unit; i++)
				res[i] = (uint8_t)(i % unit &&
					type < ML_TYPE_BLOCK ? 0 :
					rnd(&seed) & 3);
			put_elems(&code, 3, type, k, type * 3, res, k * unit);
			put(&bb, base->p + type * 3, k * unit);
			made += k * unit;
			put_elems(&code, 4, type, k, 0, base->p + type,
				k * unit);
			made += k * unit;
			put_lit(&code, "literal text", 12);
			put_op(&code, 1, 100 + type, 70 * type);
			put_op(&code, 2, 30 + type, 11 + type);
			made += 12 + 100 + type + 30 + type;
		}
		if (cls == 1)
			made += put_casts(&code, &bb, base, own, cast, &seed);
		b.n_out = made;
		b.code = code.p;
		b.n = code.n;
		b.base = bb.p;
		b.nbase = bb.n;
		CHECK(!ml_zip_block(z, &b, &diag));
		put(&before, code.p, code.n);
		if (plains && round == 0) {
			CHECK(!ml_zip_end(z, &diag));
			/* random bytes cannot be coded: a plain block */
			code.n = 0;
			for (i = 0; i < 600; i++)
				res[i] = (uint8_t)rnd(&seed);
			put_elems(&code, 4, 6, 150, 0, res, 300);
			put_elems(&code, 4, 3, 75, 0, res + 300, 300);
			memset(&b, 0, sizeof(b));
			b.n_out = 600;
			b.code = code.p;
			b.n = code.n;
			CHECK(!ml_zip_block(z, &b, &diag));
			CHECK(!ml_zip_end(z, &diag));
			put(&before, code.p, code.n);
			made += 600;
		}
		h.target_size += made;
	}
	CHECK(!ml_zip_end(z, &diag));
	CHECK(s.ranged > 0);
	ml_zip_free(z);

	/* what the plain operations make is the target */
	h.version = h.cls = h.flags = 1;
	h.base_size = base->n;
	h.window = 1000;
	h.base = base->p;
	h.nbase = base->n;
	code.n = 0;
	put_record(&code, 0, h.target_size, &before);
	put_header(patch, &h, code.n);
	put(patch, code.p, code.n);
	w.base = base->p;
	w.nbase = base->n;
	CHECK(drive(&w, patch->p, patch->n, CAP, 1000) == ML_DEC_DONE);
	put(target, w.made.p, w.made.n);
	ml_src_free(image);
	base->n = own;

	info.cls = cls;
	info.has_base = 1;
	info.base_size = base->n;
	info.target_size = target->n;
	sha256(base->p, base->n, info.base_sha);
	sha256(target->p, target->n, info.target_sha);
	CHECK(!ml_pack_finish(s.p, &info, f, &diag));
	ml_pack_free(s.p);
	size = ftell(f);
	rewind(f);
	data = patch->p;
	patch->n = fread(data, 1, CAP, f);
	CHECK(size > 0 && patch->n == (size_t)size);
	fclose(f);
	CHECK(ml_hdr_parse(patch->p, patch->n, &hdr) > 0);
	/* all kinds of casts are there */
	CHECK(hdr.types >> ML_TYPE_CAST == (cls == 1 ? 7 : 0));
}

/* Payloads that no encoder made, with the right CRC-32: whatever comes of
 * them, it is the same however the bytes come. */
static void test_hostile(int cls, const struct bytes *base,
	const struct bytes *patch)
{
	static struct bytes code, body, bad;
	static struct world a, b;
	struct head h = {0};
	struct ml_hdr hdr;
	unsigned seed = (unsigned)cls, i, k, n, from;
	int r;

	CHECK(ml_hdr_parse(patch->p, patch->n, &hdr) > 0);
	h.version = h.flags = 1;
	h.cls = (unsigned)cls;
	h.base = base->p;
	h.nbase = base->n;
	h.base_size = base->n;
	h.window = 5000;
	h.target = patch->p;
	a.base = b.base = base->p;
	a.nbase = b.nbase = base->n;
	for (i = 0; i < 400; i++) {
		/* all random, or what an encoder made with some wrong bytes */
		code.n = 0;
		n = 20 + rnd(&seed) % 1000;
		from = hdr.len + 5u;
		if (n > patch->n - from)
			n = (unsigned)(patch->n - from);
		put(&code, patch->p + from, n);
		for (k = 0; k < n && !(i & 1); k++)
			code.p[k] = (uint8_t)rnd(&seed);
		for (k = rnd(&seed) % 8; k; k--)
			code.p[rnd(&seed) % n] = (uint8_t)rnd(&seed);
		body.n = 0;
		h.target_size = 1 + rnd(&seed) % 5000;
		put_record(&body, cls == 1 ? 2 : 1, h.target_size, &code);
		put_header(&bad, &h, body.n);
		put(&bad, body.p, body.n);
		r = drive(&a, bad.p, bad.n, CAP, 4096);
		CHECK(r == ML_DEC_DONE || r < 0);
		CHECK(drive(&b, bad.p, bad.n, 1 + i % 60, 64) == r);
		if (r == ML_DEC_DONE)
			CHECK(a.made.n == b.made.n && !memcmp(a.made.p,
				b.made.p, a.made.n));
	}
}

int main(void)
{
	static struct small s;
	static struct bytes base, target, patch;
	int cls;

	/* who declares an arena by these has enough */
	CHECK(ml_dec_arena(ML_NANO) <= ML_ARENA_NANO);
	CHECK(ml_dec_arena(ML_MICRO) <= ML_ARENA_MICRO);
	CHECK(ml_dec_arena(ML_FULL) <= ML_ARENA_FULL);
	small_make(&s);
	whole(s.base, SMALL_BASE, s.target.p, s.target.n, s.patch.p,
		s.patch.n);
	damaged(s.base, SMALL_BASE, s.patch.p, s.patch.n, 1);
	test_header();
	test_empty();
	test_numbers();
	test_long_record();
	for (cls = 1; cls <= 3; cls++) {
		make_ranged(cls, 0, &base, &target, &patch);
		whole(base.p, base.n, target.p, target.n, patch.p, patch.n);
		make_ranged(cls, 1, &base, &target, &patch);
		whole(base.p, base.n, target.p, target.n, patch.p, patch.n);
		damaged(base.p, base.n, patch.p, patch.n, 1499);
		test_hostile(cls, &base, &patch);
	}
	return 0;
}
