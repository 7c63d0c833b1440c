/* SPDX-License-Identifier: MIT */
/* Operations that use base bytes which are no longer there when a patch is
 * applied in place: what comes out keeps the rule of ml-patch(5), IN PLACE, for
 * every byte, makes the same target, and still uses what it may. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blockbuf.h"
#include "bytes.h"
#include "inplace.h"
#include "ml.h"
#include "ops.h"
#include "test.h"

enum { BASE = 50000, MOST = 200000, F32 = 7 };

static struct ml_diag diag;
static uint8_t base[BASE], target[MOST], made[MOST];
static size_t ntarget, nmade;
static unsigned page, lead;
static uint64_t used; /* bytes made of the base */
static uint32_t state;

static uint32_t rnd(uint32_t below)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % below;
}

static int there(uint64_t b, uint64_t t)
{
	return b + ((uint64_t)lead << page) >= t - t % ((uint64_t)1 << page);
}

static int span(void *ctx, const struct ml_span *sp, struct ml_diag *d)
{
	(void)ctx;
	(void)sp;
	(void)d;
	return ML_OK;
}

/* A reader of the man page: residuals here are all 0. */
static int take(void *ctx, const struct ml_block *b, struct ml_diag *d)
{
	const uint8_t *p = b->code, *end = p + b->n, *q = b->base;
	struct ml_op_view v;
	uint64_t i;

	(void)ctx;
	while (p < end) {
		CHECK(!ml_op_read(&p, end, &v, d));
		CHECK(v.bytes > 0 && v.bytes <= MOST - nmade);
		for (i = 0; i < v.bytes; i++, nmade++)
			switch (v.op) {
			case ML_OP_DIFF:
			case ML_OP_COPY:
				CHECK(v.op == ML_OP_COPY || (v.data[i] == 0 &&
					q[i] == base[v.arg + i]));
				CHECK(there(v.arg + i, nmade));
				made[nmade] = base[v.arg + i];
				used++;
				break;
			case ML_OP_SELF:
				made[nmade] = made[nmade - v.arg];
				break;
			default:
				made[nmade] = v.data[i];
			}
		if (v.op == ML_OP_DIFF)
			q += v.bytes;
	}
	return ML_OK;
}

static int hand_on(void *arg, const struct ml_block *b, struct ml_diag *d)
{
	return ml_inplace_block(arg, b, d);
}

/* Bytes of it that may be of the base, when a unit may only be as a whole. */
static uint64_t may(uint64_t at, uint64_t n, unsigned unit)
{
	uint64_t i, k, yes, sum = 0;

	for (i = 0; i < n; i += unit) {
		for (k = 0, yes = 1; k < unit; k++)
			yes &= (uint64_t)there(at + i + k, ntarget + i + k);
		sum += yes * unit;
	}
	return sum;
}

static void some(unsigned seed)
{
	static const uint8_t zeros[40000];
	const struct ml_sink sink = {NULL, span, take};
	uint64_t shape[1];
	struct ml_span sp = {.kind = ML_TENSOR, .dtype = ML_DT_F32, .rank = 1,
		.shape = shape};
	struct ml_blockbuf buf;
	struct ml_inplace *ip;
	struct ml_model m;
	struct ml_src *src;
	FILE *f = tmpfile();
	uint64_t n, at, copied = 0, others = 0, bytes = 0;
	unsigned op, i;
	struct { unsigned op; uint64_t n, at; } list[40];

	state = seed;
	page = 4 + rnd(11);
	lead = rnd(3);
	ntarget = nmade = 0;
	used = 0;
	for (i = 0; i < BASE; i++)
		base[i] = (uint8_t)rnd(256);
	for (i = 0; i < 40; i++) {
		op = rnd(4);
		n = (uint64_t)1 + rnd(rnd(2) ? 40 : 4000);
		if (op == ML_OP_DIFF)
			n *= 4;
		at = rnd((uint32_t)(BASE - n));
		if (rnd(2)) /* about where it was */
			at = ntarget < BASE - n - 64 ? ntarget + rnd(64) : at;
		if (op == ML_OP_SELF && !ntarget)
			op = ML_OP_LIT;
		if (op == ML_OP_SELF) {
			at = 1 + rnd((uint32_t)ntarget);
			n = n < at ? n : at;
			memcpy(target + ntarget, target + ntarget - at, n);
		} else {
			memcpy(target + ntarget, base + at, n);
		}
		if (op == ML_OP_COPY)
			copied += may(at, n, 1);
		if (op == ML_OP_DIFF)
			others += may(at, n, 4);
		bytes += op & 1 ? n : 0;
		list[i].op = op;
		list[i].n = n;
		list[i].at = at;
		ntarget += n;
	}
	CHECK(f && fwrite(target, 1, ntarget, f) == ntarget && !fflush(f));
	CHECK(!ml_src_fd(&src, fileno(f), &diag));
	ml_model_init(&m);
	sp.off = 8;
	sp.len = ntarget / 2 / 4 * 4;
	shape[0] = sp.len / 4;
	CHECK(!ml_model_add_span(&m, &sp, &diag));
	m.size = ntarget;
	CHECK(!ml_inplace_new(&ip, page, lead, &m, src, &sink, &diag));
	CHECK(!ml_blockbuf_init(&buf, hand_on, ip, &diag));
	for (i = 0, at = 0; i < 40; at += list[i++].n) {
		const unsigned d = list[i].op == ML_OP_DIFF;

		CHECK(!ml_blockbuf_op(&buf, list[i].op, d ? F32 : 0,
			d ? list[i].n / 4 : list[i].n, list[i].op == ML_OP_LIT ?
			0 : list[i].at, list[i].op == ML_OP_LIT ? target + at :
			d ? zeros : NULL, d ? base + list[i].at : NULL,
			(size_t)list[i].n, &diag));
	}
	CHECK(!ml_blockbuf_flush(&buf, &diag));
	CHECK(!ml_inplace_end(ip, &diag));
	CHECK(nmade == ntarget && !memcmp(made, target, ntarget));
	CHECK(used == copied + others);
	CHECK(used < bytes || page > 12 || lead); /* or nothing was tried */
	ml_inplace_free(ip);
	ml_blockbuf_free(&buf);
	ml_model_free(&m);
	ml_src_free(src);
	if (f)
		fclose(f);
}

int main(void)
{
	unsigned seed;

	for (seed = 1; seed <= 300; seed++)
		some(seed);
	return 0;
}
