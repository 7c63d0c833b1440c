/* SPDX-License-Identifier: MIT */
/* Range-coded blocks back to plain operations, and a look at what each
 * operation cost. */
#include <stdlib.h>
#include <string.h>

#include "blockbuf.h"
#include "cost.h"
#include "mlcast.h"
#include "mlrc.h"
#include "elem.h"
#include "fast.h"
#include "hdr.h"
#include "ops.h"

#define PIECE 4096 /* bytes of an operation made at a time */
#define MADE_MAX (UINT64_C(1) << 62)

struct ml_unzip {
	struct ml_state st;
	struct ml_rc rc;
	struct ml_nano nano;
	const struct ml_layout *lay; /* NULL: coder 2 */
	void *arena;
	struct ml_src *bsrc;
	struct ml_sink next;
	struct ml_blockbuf buf;
	uint64_t tpos;
	struct ml_fast *fast; /* once there is a block for it */
	int coded; /* coder 2: the LIT is of elements of type 0 */
	uint8_t data[PIECE], base[PIECE];
	uint8_t from[8 * PIECE]; /* what base is cast from */
};

static int hand_on(void *arg, const struct ml_block *b, struct ml_diag *diag)
{
	struct ml_unzip *u = arg;

	return u->next.block(u->next.ctx, b, diag);
}

static void reset(struct ml_unzip *u)
{
	if (u->lay)
		model_reset(&u->st, u->arena, u->lay);
	else
		nano_reset(&u->nano, u->arena);
}

int ml_unzip_new(struct ml_unzip **out, int cls, struct ml_src *bsrc,
	const struct ml_sink *next, struct ml_diag *diag)
{
	struct ml_unzip *u;
	int r;

	*out = NULL;
	if (cls && !ml_dec_arena(cls))
		return ml_fail(diag, ML_ECLASS, ML_NOWHERE,
			"no such memory class");
	u = calloc(1, sizeof *u);
	if (!u)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (next)
		u->next = *next;
	u->bsrc = bsrc;
	r = ml_blockbuf_init(&u->buf, hand_on, u, diag);
	if (!r && cls) {
		u->lay = ml_layout_of(cls);
		u->arena = malloc(ml_dec_arena(cls));
		if (u->arena)
			reset(u);
		else
			r = ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
	}
	if (r) {
		ml_unzip_free(u);
		return r;
	}
	*out = u;
	return ML_OK;
}

void ml_unzip_base(struct ml_unzip *u, struct ml_src *bsrc)
{
	u->bsrc = bsrc;
}

void ml_unzip_free(struct ml_unzip *u)
{
	if (!u)
		return;
	ml_blockbuf_free(&u->buf);
	free(u->fast);
	free(u->arena);
	free(u);
}

/* ----- one operation ---------------------------------------------------- */

/* Reads the head of the next operation but descriptors; arg is absolute for
 * base references. */
static int head(struct ml_unzip *u, uint64_t left, struct ml_op_view *v,
	struct ml_diag *diag)
{
	static const uint8_t kind[5] = {
		ML_N_LIT, ML_N_COPY, ML_N_SELF, ML_N_ELEM, ML_N_ELEM
	};
	struct ml_rc *rc = &u->rc;
	struct ml_state *s = &u->st;
	unsigned unit;

	while ((v->op = model_op(rc, s, 0)) == ML_OP_DESC) {
		model_desc(rc, s);
		if (ml_type_crossed(s->type) ? !ml_cross_known(s->type) :
			s->type >= ML_NTYPE ||
			(s->type >= ML_TYPE_BLOCK && !s->lay->block))
			return ml_fail_newer(diag, ML_NOWHERE,
				"element type %u", ml_type_told(s->type));
		if (rc->p == rc->lim && rc->code == 0)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"block ends in descriptors");
	}
	if (v->op > ML_OP_DESC)
		return ml_fail_newer(
			diag, ML_NOWHERE, "operation %u", v->op);
	v->type = v->op == ML_OP_DIFF || v->op == ML_OP_ALONE ? s->type : 0;
	v->data = NULL;
	v->arg = 0;
	unit = v->type ? ml_type_bytes(v->type) : 1;
	v->n = model_num(rc, s, kind[v->op], 0) + 1;
	if (!v->n || v->n > left / unit ||
		(v->op == ML_OP_ALONE && ml_type_crossed(v->type)))
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operation exceeds its block");
	v->bytes = v->n * unit;
	if (v->op == ML_OP_COPY || v->op == ML_OP_DIFF)
		v->arg = (uint64_t)model_disp(rc, s, 0) + u->tpos;
	else if (v->op == ML_OP_SELF)
		v->arg = model_dist(rc, s, 0);
	if (v->op == ML_OP_SELF ? !v->arg || v->arg > u->tpos :
		v->arg > MADE_MAX)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operation's address is out of range");
	return ML_OK;
}

/* The same of blocks whose scales and codes are told apart. */
static void blocks(struct ml_unzip *u, const struct ml_op_view *v, size_t n)
{
	const enum ml_bform form = (enum ml_bform)(v->type - ML_TYPE_BLOCK);
	const size_t w = ml_type_bytes(v->type);
	struct ml_qblock k;
	size_t at;

	for (at = 0; at < n; at += w) {
		ml_qblock_begin(&k, form, v->op == ML_OP_ALONE, u->st.avg);
		if (v->op == ML_OP_DIFF)
			ml_qblock_bits(form, &k.b, u->base + at, 0);
		while (k.step < k.steps)
			model_block(&u->rc, &u->st, &k);
		ml_qblock_bits(form, &k.t, u->data + at, 1);
		if (v->op == ML_OP_DIFF)
			ml_qblock_residual(v->type, u->base + at, u->data + at,
				u->data + at);
	}
}

/* n bytes of elements: to u->data the elements, or the residuals of a DIFF
 * against u->base. */
static void elements(struct ml_unzip *u, const struct ml_op_view *v, size_t n,
	uint64_t at)
{
	const struct ml_type *t = &ml_types[v->type];
	struct ml_rc *rc = &u->rc;
	struct ml_state *s = &u->st;
	uint8_t *p = u->data, *b = u->base, *end = p + n;
	unsigned f, j;

	if (ml_type_block(v->type)) {
		blocks(u, v, n);
		return;
	}
	for (f = 0; p < end; f = (f + 1) % t->nfield) {
		unsigned kind = t->f[f].kind, w = ml_kind_bytes[kind];
		unsigned bits = ml_kind_bits(kind), eb = ml_kind_ebits[kind];

		for (j = 0; j < t->f[f].n; j++, p += w, b += w) {
			ml_word x, y = ml_elem_load(b, w);

			if (v->type == ML_TYPE_MIXED) {
				x = v->op == ML_OP_ALONE ? 0 : y;
				x = (model_mixed_elem(rc, s, at++,
					(unsigned)x, 0) - x) & 255;
			} else if (v->op == ML_OP_ALONE && s->seen) {
				x = model_seen(rc, s, bits, eb, 0, 0);
			} else if (v->op == ML_OP_ALONE) {
				x = model_alone(rc, s, bits, eb, 0);
				if (ml_kind_pair(kind))
					x |= model_alone(rc, s, 4, 0, 0) << 4;
			} else if (kind == ML_K_R8) {
				x = (model_requant(rc, s, 8, (unsigned)y, 0) -
					y) & 255;
			} else if (kind == ML_K_R4) {
				x = (model_requant(rc, s, 4, y & 15, 0) - y) &
					15;
				x |= ((model_requant(rc, s, 4, (unsigned)y >>
					4, 0) - (y >> 4)) & 15) << 4;
			} else if (kind == ML_K_U4) {
				x = (model_diff(rc, s, 4, 0, y & 15, 0) - y) &
					15;
				x |= ((model_diff(rc, s, 4, 0, y >> 4, 0) -
					(y >> 4)) & 15) << 4;
			} else {
				x = ml_residual(bits, eb, y, model_diff(rc, s,
					bits, eb, y, 0));
			}
			ml_elem_store(p, w, x);
		}
	}
}

/* The same of coder 2. What a DIFF or ALONE of type 0 makes was a LIT. */
static int nano_head(struct ml_unzip *u, uint64_t left, struct ml_op_view *v,
	struct ml_diag *diag)
{
	struct ml_rc *rc = &u->rc;
	struct ml_nano *s = &u->nano;
	unsigned unit, type, i;

	while ((v->op = nano_op(rc, s, 0)) == ML_OP_DESC) {
		i = rc_raw(rc, 1, 0);
		nano_desc(rc, &s->desc[i]);
		type = s->desc[i].type;
		if (ml_type_made(type) >= ML_TYPE_BLOCK ||
			(type >= ML_TYPE_KEPT &&
			(i || ML_CAST_FROM(type) > ML_CAST_BF16)))
			return ml_fail_newer(diag, ML_NOWHERE,
				"element type %u", ml_type_told(type));
		if (rc->p == rc->lim && rc->code == 0)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"block ends in descriptors");
	}
	if (v->op > ML_OP_DESC)
		return ml_fail_newer(
			diag, ML_NOWHERE, "operation %u", v->op);
	u->coded = v->op != ML_OP_LIT;
	v->type = v->op < ML_OP_DIFF ? 0 : s->desc[v->op == ML_OP_ALONE].type;
	v->data = NULL;
	v->arg = 0;
	unit = v->op < ML_OP_DIFF ? 1 : ml_type_bytes(ml_type_made(v->type));
	v->n = nano_num(rc, s, v->op & 1, 0) + 1;
	if (!v->n || v->n > left / unit)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operation exceeds its block");
	v->bytes = v->n * unit;
	if (v->op == ML_OP_COPY || v->op == ML_OP_DIFF)
		v->arg = nano_arg(rc, s, 0, 0) + u->tpos;
	else if (v->op == ML_OP_SELF)
		v->arg = nano_arg(rc, s, 1, 0);
	if (v->op == ML_OP_SELF ? !v->arg || v->arg > u->tpos :
		v->arg > MADE_MAX)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operation's address is out of range");
	if (v->type >= ML_TYPE_CODES)
		nano_scale(rc, s, 0, 0);
	if (v->op == ML_OP_ALONE && !v->type)
		v->op = ML_OP_LIT;
	return ML_OK;
}

static ml_word nano_one(struct ml_unzip *u, unsigned kind, unsigned slot,
	int alone, ml_word b)
{
	const unsigned w = ml_kind_bits(kind), up = 64 - w;
	ml_word t;

	if (!alone && (kind == ML_K_R4 || kind == ML_K_R8))
		return nano_requant(&u->rc, &u->nano, slot, w,
			(unsigned)b, 0);
	t = nano_element(&u->rc, &u->nano, slot, alone, kind >= ML_K_FLOAT, w,
		b << up, 0) >> up;
	if (!alone && kind == ML_K_F16) {
		u->nano.scale_b = (uint16_t)b;
		u->nano.scale_t = (uint16_t)t;
	}
	return t;
}

static void nano_elements(struct ml_unzip *u, const struct ml_op_view *v,
	size_t n)
{
	const unsigned type = ml_type_made(v->type);
	const struct ml_type *t = &ml_types[type];
	const int alone = v->op != ML_OP_DIFF;
	const int residual = !alone && v->type < ML_TYPE_KEPT;
	uint8_t *p = u->data, *b = u->base, *end = p + n;
	unsigned f, j, i;

	for (f = 0; p < end; f = (f + 1) % t->nfield) {
		unsigned kind = t->f[f].kind, w = ml_kind_bytes[kind];
		unsigned pair = (unsigned)ml_kind_pair(kind), up;
		unsigned slot = ml_type_slot(type, kind, alone);

		for (j = 0; j < t->f[f].n; j++, p += w, b += w) {
			ml_word x = 0, y = ml_elem_load(b, w), z, r;

			for (i = 0; i <= pair; i++) {
				up = 4 * i;
				z = pair ? y >> up & 15 : y;
				r = nano_one(u, kind, slot, alone, z);
				if (residual)
					r = ml_residual(ml_kind_bits(kind),
						ml_kind_ebits[kind], z, r);
				x |= r << up;
			}
			ml_elem_store(p, w, x);
		}
	}
}

static void nano_literal(struct ml_unzip *u, size_t n)
{
	static const struct ml_op_view v = { .op = ML_OP_ALONE };
	size_t i;

	if (u->coded)
		nano_elements(u, &v, n);
	else
		for (i = 0; i < n; i++)
			u->data[i] = (uint8_t)rc_byte(&u->rc);
}

/* n bytes of a cast to u->base, whose source is at *at, and moves that on. */
static int cast_base(struct ml_unzip *u, unsigned type, uint64_t *at, size_t n,
	struct ml_diag *diag)
{
	const unsigned w = ML_CAST_FROM_BYTES(type), made = ml_type_made(type);
	const unsigned to = type >> 2 & 3, unit = ml_type_bytes(made);
	const int block = made >= ML_NSIMPLE;
	const size_t elems = n / unit * (block ? ML_CAST_BLOCK : 1);
	uint8_t *q = u->base;
	uint32_t x[ML_CAST_BLOCK], v;
	size_t i;
	int r;

	r = ml_src_read(u->bsrc, *at, u->from, elems * w, diag);
	*at += elems * w;
	for (i = 0; !r && i < elems; i++) {
		v = ml_cast_from(ML_CAST_FROM(type),
			(uint32_t)ml_elem_load(u->from + i * w, w));
		if (block) {
			x[i % ML_CAST_BLOCK] = v;
			if (i % ML_CAST_BLOCK < ML_CAST_BLOCK - 1)
				continue;
			ml_cast_quantise((int)to, x, q);
		} else if (type >= ML_TYPE_CODES) {
			*q = ml_cast_code(ml_num_of(v), u->nano.scale,
				u->nano.zero, !to);
		} else {
			ml_elem_store(q, unit, ml_cast_to(to, v));
		}
		q += unit;
	}
	return r;
}

/* Blocks from weights of another type, which go on without a base. */
static int crossed(struct ml_unzip *u, const struct ml_op_view *v, int look,
	struct ml_diag *diag)
{
	const enum ml_bform form = ML_CROSS_FORM(v->type);
	const unsigned from = ML_CROSS_FROM(v->type), w = ml_b_bytes(form);
	const unsigned n = ml_x_weights(form, from), need = ml_type_base(v->type);
	struct ml_cross *x = &u->st.mix->cross;
	uint64_t left, at = v->arg;
	struct ml_qblock k;
	size_t made;
	unsigned i;
	int r = ML_OK;

	if (!u->bsrc)
		return ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"residuals cannot be read without the base");
	for (left = v->n; left && !r; left--, at += need) {
		r = ml_src_read(u->bsrc, at, x->raw, need, diag);
		if (r)
			break;
		ml_x_load(x, from, n);
		for (made = 0, i = 0; i < n; i += ml_b_weights(form)) {
			ml_qblock_begin(&k, form, 0, u->st.avg);
			ml_qblock_cross(&k, x, i);
			while (k.step < k.steps)
				model_block(&u->rc, &u->st, &k);
			ml_qblock_bits(form, &k.t, u->data + made, 1);
			made += w;
		}
		if (!look)
			r = ml_blockbuf_op(&u->buf, ML_OP_ALONE, ML_TYPE_BLOCK +
				form, made / w, 0, u->data, NULL, made, diag);
	}
	return r;
}

/* Makes the operation in pieces and emits them, unless only looked at. */
static int body(struct ml_unzip *u, const struct ml_op_view *v, int look,
	struct ml_diag *diag)
{
	const unsigned type = ml_type_made(v->type);
	const int cast = v->type != type;
	size_t unit = v->type ? ml_type_bytes(type) : 1, k, i;
	uint64_t left, at = v->arg, made = u->tpos;
	int r = ML_OK;

	if (u->lay) {
		model_begin(&u->st, v->op, u->tpos);
		model_made(&u->st, v->op, v->type, v->bytes, v->arg);
	}
	if (ml_type_crossed(v->type))
		return crossed(u, v, look, diag);
	if (v->op == ML_OP_COPY || v->op == ML_OP_SELF)
		return look ? ML_OK : ml_blockbuf_op(&u->buf, v->op, 0, v->n,
			v->arg, NULL, NULL, v->bytes, diag);
	for (left = v->bytes; left && !r; left -= k, made += k) {
		k = left < PIECE ? (size_t)left : PIECE - PIECE % unit;
		if (v->op == ML_OP_LIT) {
			if (u->lay)
				for (i = 0; i < k; i++)
					u->data[i] = (uint8_t)model_lit(&u->rc,
						&u->st, made + i, 0);
			else
				nano_literal(u, k);
		} else {
			if (v->op == ML_OP_DIFF && !u->bsrc)
				return ml_fail(diag, ML_EBASE, ML_NOWHERE,
					"residuals cannot be read without "
					"the base");
			if (cast)
				r = cast_base(u, v->type, &at, k, diag);
			else if (v->op == ML_OP_DIFF)
				r = ml_src_read(u->bsrc, at, u->base, k, diag);
			if (r)
				break;
			if (v->op == ML_OP_DIFF && ml_type_swapped(v->type))
				ml_swap(u->base, (unsigned)unit, k / unit);
			if (u->lay)
				elements(u, v, k, made);
			else
				nano_elements(u, v, k);
			if (ml_type_swapped(v->type))
				ml_swap(v->op == ML_OP_DIFF ? u->base :
					u->data, (unsigned)unit, k / unit);
		}
		/* elements made of a cast are not residuals against the base */
		if (!look)
			r = ml_blockbuf_op(&u->buf, cast ? ML_OP_ALONE : v->op,
				type == ML_TYPE_MIXED ? 1 : type, k / unit, at,
				u->data, u->base, k, diag);
		at += cast ? 0 : k;
	}
	return r;
}

/* ----- blocks ----------------------------------------------------------- */

static void tell_op(const struct ml_unzip *u, const struct ml_op_view *v,
	struct ml_op_info *o)
{
	static const char *const name[] = {
		"literal", "copy", "self", "residual", "alone"
	};
	static const char *const cast[3 * ML_TYPE_CAST_N][3] = {
		{ "f32 of f32", "f32 of f16", "f32 of bf16" },
		{ "f16 of f32", "f16 of f16", "f16 of bf16" },
		{ "bf16 of f32", "bf16 of f16", "bf16 of bf16" },
		{ "q8_0 of f32", "q8_0 of f16", "q8_0 of bf16" },
		{ "q4_0 of f32", "q4_0 of f16", "q4_0 of bf16" }, { "" },
		{ "i8 of f32", "i8 of f16", "i8 of bf16" },
		{ "u8 of f32", "u8 of f16", "u8 of bf16" }, { "" }
	};
	static const char *const type[ML_NTYPE] = {
		"bytes", "i8", "i16", "i32", "i64", /* 5 */ "f16", "bf16",
		"f32", "f64", "f8_e4", /* 10 */ "f8_e5", "u4", "iq4_nl",
		"q4_1", "q5_0", /* 15 */ "q5_1", "f16+i8", "q8_1", "q2_K",
		"q3_K", /* 20 */ "q4_K", "q5_K", "q6_K", "q8_K", "iq4_xs",
		/* 25 */ "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s",
		/* 30 */ "iq1_s", "iq1_m", "tq1_0", "tq2_0", "mxfp4",
		/* 35 */ "q4_0", "q8_0", "i16be", "i32be", "f16be",
		/* 40 */ "f32be", "f64be", "q4_K blocks", "q5_K blocks",
		"q6_K blocks", /* 45 */ "q3_K blocks", "q2_K blocks",
		"q4_1 blocks", "q5_0 blocks", "q5_1 blocks",
		/* 50 */ "q4_0 blocks", "q8_0 blocks", "i8 mixed"
	};
#define CROSSED(t) { t " of f32", t " of f16", t " of bf16", t " of q4_K", \
	t " of q5_K", t " of q6_K", t " of q3_K", t " of q2_K", t " of q4_1", \
	t " of q5_0", t " of q5_1", t " of q4_0", t " of q8_0" }
	static const char *const crossed[ML_NBFORM][ML_X_NFROM] = {
		CROSSED("q4_K"), CROSSED("q5_K"), CROSSED("q6_K"),
		CROSSED("q3_K"), CROSSED("q2_K"), CROSSED("q4_1"),
		CROSSED("q5_0"), CROSSED("q5_1"), CROSSED("q4_0"),
		CROSSED("q8_0")
	};

	/* by those before: a list, a line, a grid, of the types 2 to 10, 37 to 41 */
#define SEEN(how) { "i16 " how, "i32 " how, "i64 " how, "f16 " how, "bf16 " how, \
	"f32 " how, "f64 " how, "f8_e4 " how, "f8_e5 " how, "i16be " how, \
	"i32be " how, "f16be " how, "f32be " how, "f64be " how }
	static const char *const seen[3][14] = {
		SEEN("list"), SEEN("line"), SEEN("grid")
	};
	const unsigned k = v->type - ML_TYPE_KEPT;

	o->op = name[v->op];
	if (v->op == ML_OP_ALONE && u->lay && u->st.seen)
		o->type = seen[u->st.seen - 1][v->type < ML_NSIMPLE ?
			v->type - 2 : v->type - ML_TYPE_SWAPPED + 9];
	else
		o->type = v->op != ML_OP_DIFF && v->op != ML_OP_ALONE ? "" :
			v->type < ML_TYPE_KEPT ? type[v->type] :
			ml_type_crossed(v->type) ?
			crossed[ML_CROSS_FORM(v->type)]
			[ML_CROSS_FROM(v->type)] :
			cast[3 * (k >> 4) + (k >> 2 & 3)][ML_CAST_FROM(k)];
	o->target = u->tpos;
	o->bytes = v->bytes;
	o->arg = v->arg;
	o->from = ml_type_crossed(v->type) ? v->n * ml_type_base(v->type) :
		v->bytes;
}

/* What the coder has used of its input, in 1/256 byte. */
static uint64_t used(const struct ml_unzip *u, const uint8_t *start)
{
	return (uint64_t)(u->rc.p - start) * 256 + 1024 -
		u->rc.nraw * 32 - ml_log2(u->rc.range) / 8;
}

static int ranged(struct ml_unzip *u, const struct ml_block *b,
	int (*tell)(void *, const struct ml_op_info *, struct ml_diag *),
	void *arg, struct ml_diag *diag)
{
	struct ml_op_view v = { 0 };
	struct ml_op_info o;
	uint64_t left = b->n_out, before = 0;
	int r;

	if (!u->arena || (b->coder & 15) != (u->lay ? 1 : 2))
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"block of a coder that is not of this class");
	if (b->coder & 16)
		reset(u);
	u->rc.p = b->code;
	u->rc.lim = b->code + b->n;
	rc_start(&u->rc);
	while (left) {
		r = (u->lay ? head : nano_head)(u, left, &v, diag);
		if (!r)
			r = body(u, &v, tell != NULL, diag);
		if (r)
			return r;
		if (tell) {
			tell_op(u, &v, &o);
			o.cost = used(u, b->code);
			o.cost = o.cost > before ? o.cost - before : 0;
			before += o.cost;
			r = tell(arg, &o, diag);
			if (r)
				return r;
		}
		left -= v.bytes;
		u->tpos += v.bytes;
	}
	if (u->rc.p != u->rc.lim)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"bytes behind the last operation of a block");
	return ML_OK;
}

static int plain(struct ml_unzip *u, const struct ml_block *b,
	int (*tell)(void *, const struct ml_op_info *, struct ml_diag *),
	void *arg, struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n, *q;
	struct ml_op_view v;
	struct ml_op_info o;
	uint64_t left = b->n_out;
	int r;

	while (p < end) {
		q = p;
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			return r;
		if (v.bytes > left)
			break;
		tell_op(u, &v, &o);
		o.cost = (uint64_t)(p - q) * 256;
		r = tell(arg, &o, diag);
		if (r)
			return r;
		left -= v.bytes;
		u->tpos += v.bytes;
	}
	if (left || p < end)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operations do not make what their block says");
	return ML_OK;
}

/* A plain block of a coded stream: its residuals get their base bytes. */
static int rebase(struct ml_unzip *u, const struct ml_block *b,
	struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n, *data;
	uint64_t left = b->n_out, n, at;
	struct ml_op_view v;
	size_t unit, k;
	int r;

	while (p < end) {
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			return r;
		if (v.bytes > left)
			break;
		left -= v.bytes;
		u->tpos += v.bytes;
		if (v.op != ML_OP_DIFF) {
			r = ml_blockbuf_op(&u->buf, v.op, v.type, v.n, v.arg,
				v.data, NULL, v.bytes, diag);
			if (r)
				return r;
			continue;
		}
		if (!u->bsrc)
			return ml_fail(diag, ML_EBASE, ML_NOWHERE,
				"residuals cannot be read without the base");
		if (ml_type_crossed(v.type)) { /* it could not go on */
			ml_op_uncross(&v);
			r = ml_blockbuf_op(&u->buf, v.op, v.type, v.n, 0,
				v.data, NULL, v.bytes, diag);
			if (r)
				return r;
			continue;
		}
		unit = ml_type_bytes(v.type);
		data = v.data;
		for (n = v.bytes, at = v.arg; n; n -= k, at += k, data += k) {
			k = n < PIECE ? (size_t)n : PIECE - PIECE % unit;
			r = ml_src_read(u->bsrc, at, u->base, k, diag);
			if (!r)
				r = ml_blockbuf_op(&u->buf, v.op, v.type,
					k / unit, at, data, u->base, k, diag);
			if (r)
				return r;
		}
	}
	if (left || p < end)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operations do not make what their block says");
	return ML_OK;
}

/* ----- fast blocks ------------------------------------------------------ */

/* The head of a fast block as an operation. */
static int fast_op(struct ml_unzip *u, const struct ml_block *b,
	struct ml_fast_head *h, struct ml_op_view *v, struct ml_diag *diag)
{
	if (ml_fast_head(h, b->code, b->n, b->n_out))
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"malformed fast block");
	v->op = ML_FAST_BASED(h->form) ? ML_OP_DIFF : ML_OP_ALONE;
	v->type = h->type;
	v->n = b->n_out / h->w;
	v->bytes = b->n_out;
	v->arg = h->at;
	if (v->op == ML_OP_DIFF && v->arg > MADE_MAX)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"operation's address is out of range");
	if (v->op == ML_OP_DIFF && !u->bsrc)
		return ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"residuals cannot be read without the base");
	return ML_OK;
}

/* Elements, or residuals against a base that is read anew for them. */
static int fast(struct ml_unzip *u, const struct ml_block *b,
	struct ml_diag *diag)
{
	struct ml_op_view v = { 0 };
	struct ml_fast_head h;
	struct ml_fast *f;
	size_t at, k, i, n;
	unsigned bits, eb;
	int r = fast_op(u, b, &h, &v, diag);

	if (r)
		return r;
	if (!u->fast)
		u->fast = malloc(sizeof *u->fast);
	f = u->fast;
	if (!f)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	f->kern = ml_fast_code_best()->dec;
	n = (size_t)b->n_out;
	memcpy(f->in, b->code, b->n);
	if (v.op == ML_OP_DIFF)
		r = ml_src_read(u->bsrc, v.arg, f->out, n, diag);
	if (!r && ml_fast_decode(f, &h, f->in, b->n, f->out, f->out, n))
		r = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"malformed fast block");
	bits = h.w * 8u;
	eb = ml_kind_ebits[ml_types[h.type].f[0].kind];
	for (at = 0; !r && at < n; at += k) {
		k = n - at < PIECE ? n - at : PIECE;
		if (v.op == ML_OP_DIFF)
			r = ml_src_read(u->bsrc, v.arg + at, u->base, k, diag);
		for (i = 0; !r && v.op == ML_OP_DIFF && i < k; i += h.w)
			ml_elem_store(f->out + at + i, h.w, ml_residual(bits,
				eb, ml_elem_load(u->base + i, h.w),
				ml_elem_load(f->out + at + i, h.w)));
		if (!r)
			r = ml_blockbuf_op(&u->buf, v.op, v.type, k / h.w,
				v.arg + at, f->out + at, u->base, k, diag);
	}
	u->tpos += b->n_out;
	return r;
}

static int look_fast(struct ml_unzip *u, const struct ml_block *b,
	int (*tell)(void *, const struct ml_op_info *, struct ml_diag *),
	void *arg, struct ml_diag *diag)
{
	struct ml_op_view v = { 0 };
	struct ml_fast_head h;
	struct ml_op_info o;
	int r = fast_op(u, b, &h, &v, diag);

	if (r)
		return r;
	tell_op(u, &v, &o);
	o.cost = (uint64_t)b->n * 256;
	u->tpos += b->n_out;
	return tell(arg, &o, diag);
}

int ml_unzip_block(struct ml_unzip *u, const struct ml_block *b,
	struct ml_diag *diag)
{
	if ((b->coder & 15) == ML_CODER_FAST)
		return fast(u, b, diag);
	return (b->coder & 15) ? ranged(u, b, NULL, NULL, diag) :
		rebase(u, b, diag);
}

int ml_unzip_look(struct ml_unzip *u, const struct ml_block *b,
	int (*tell)(void *arg, const struct ml_op_info *o,
	struct ml_diag *diag), void *arg, struct ml_diag *diag)
{
	if ((b->coder & 15) == ML_CODER_FAST)
		return look_fast(u, b, tell, arg, diag);
	return (b->coder & 15) ? ranged(u, b, tell, arg, diag) :
		plain(u, b, tell, arg, diag);
}

int ml_unzip_end(struct ml_unzip *u, struct ml_diag *diag)
{
	return ml_blockbuf_flush(&u->buf, diag);
}
