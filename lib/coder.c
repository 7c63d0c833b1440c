/* SPDX-License-Identifier: MIT */
/* The range encoder and its choices of descriptors; the model itself is
 * mlmodel.h, shared with the decoder. */
#include <stdlib.h>
#include <string.h>

#include "coder.h"
#include "cost.h"
#include "rcenc.h"
#include "seen.h"

#define SAMPLE 16384 /* elements that choose a descriptor, about */
#define ROW_MIN 8 /* elements of a row that columns are worth */
#define MIX_MAX (1u << 20) /* bytes that are mixed, which takes its time */
#define MIX_SMALL 16384 /* bytes of a tensor for which half more is kept */
#define CALM_MIN 8192 /* elements of a tensor that hardly changes its ways */
#define FEW 1024 /* bytes of norms or biases, which are unlike weights */
#define GRID_MAX (1u << 20) /* elements of grids, the same */
#define LIST_MAX (1u << 22) /* elements told by places, the same */

#define ML_RC struct rc_enc
#include "mlmodel.h"
#include "elem.h"
#include "ops.h"

/* A tensor whose rows are known. */
struct rows {
	uint64_t off, end; /* of the target */
	uint32_t row; /* elements */
	uint8_t bytes; /* of an element */
};

struct ml_coder {
	struct ml_state st, st0;
	void *arena, *arena0;
	size_t arena_n;
	int cls;
	struct rc_enc rc;
	uint8_t *swapped; /* elements of an operation */
	uint8_t *line; /* residuals of some, and what tells them */
	uint16_t set_of; /* (type, alone) pairs that got a set, newest last */
	uint8_t sets[4];
	struct rows *rows;
	size_t nrows, rowcap;
	uint64_t mixed; /* bytes that were */
	uint64_t listed; /* elements that were told by places */
	uint64_t gridded; /* the same of grids */
	struct ml_places list, list0;
};

int ml_coder_new(struct ml_coder **out, int cls, struct ml_diag *diag)
{
	struct ml_coder *c = calloc(1, sizeof *c);

	*out = NULL;
	if (c) {
		c->arena_n = ml_dec_arena(cls);
		c->arena = malloc(c->arena_n);
		c->arena0 = malloc(c->arena_n);
		c->swapped = malloc(ML_CODE_MAX);
		c->line = malloc(2 * ML_CODE_MAX);
	}
	if (!c || !c->arena || !c->arena0 || !c->swapped || !c->line ||
		!rc_new(&c->rc)) {
		ml_coder_free(c);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	c->cls = cls;
	ml_coder_reset(c);
	*out = c;
	return ML_OK;
}

void ml_coder_reset(struct ml_coder *c)
{
	model_reset(&c->st, c->arena, ml_layout_of(c->cls));
	c->set_of = 0;
}

void ml_coder_free(struct ml_coder *c)
{
	if (!c)
		return;
	free(c->arena);
	free(c->arena0);
	free(c->swapped);
	free(c->line);
	rc_free(&c->rc);
	free(c->rows);
	free(c);
}

/* Elements of a row: the innermost dimensions, as many as make some. */
static uint32_t row_of(const struct ml_span *sp)
{
	uint64_t n = 1;
	unsigned i;

	if (ml_type_of(sp->dtype) != 1 && !ml_type_seen(ml_type_of(sp->dtype)))
		return 0;
	for (i = sp->rank; i-- && n < ROW_MIN;)
		if (!sp->shape[i] || sp->shape[i] > ML_ROW_MAX / n)
			return 0;
		else
			n *= sp->shape[i];
	return n < ROW_MIN || n >= sp->len /
		ml_type_bytes(ml_type_of(sp->dtype)) ? 0 : (uint32_t)n;
}

int ml_coder_span(struct ml_coder *c, const struct ml_span *sp,
	struct ml_diag *diag)
{
	const uint32_t row = sp->kind == ML_TENSOR ? row_of(sp) : 0;
	size_t cap;
	void *p;

	if (!row || !c->st.mix ||
		(c->nrows && sp->off < c->rows[c->nrows - 1].end))
		return ML_OK; /* or known already */
	if (c->nrows == c->rowcap) {
		cap = c->rowcap ? 2 * c->rowcap : 64;
		p = realloc(c->rows, cap * sizeof *c->rows);
		if (!p)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		c->rows = p;
		c->rowcap = cap;
	}
	c->rows[c->nrows].off = sp->off;
	c->rows[c->nrows].end = sp->off + sp->len;
	c->rows[c->nrows].bytes = (uint8_t)
		ml_type_bytes(ml_type_of(sp->dtype));
	c->rows[c->nrows++].row = row;
	return ML_OK;
}

/* Elements of `bytes` bytes from offset `at` of the target on: those of a row,
 * 0 if that is not known, and where in one the target begins. */
static uint32_t rows_at(const struct ml_coder *c, uint64_t at, unsigned bytes,
	uint32_t *first)
{
	const struct rows *r;
	size_t lo = 0, n = c->nrows, mid;

	while (n) {
		mid = n / 2;
		if (c->rows[lo + mid].end <= at) {
			lo += mid + 1;
			n -= mid + 1;
		} else {
			n = mid;
		}
	}
	*first = 0;
	if (lo == c->nrows)
		return 0;
	r = &c->rows[lo];
	if (r->off > at || r->bytes != bytes)
		return 0;
	*first = (uint32_t)((r->row - r->off / bytes % r->row) % r->row);
	return r->row;
}

/* ----- descriptors ------------------------------------------------------ */

/* For trees that hold fewer classes than there are: the first class, and the
 * context from which classes rise by one per context, at the least cost. */
static void choose_window(const struct ml_set *t, uint32_t cnt[16][66],
	uint8_t *k0, uint8_t *c0)
{
	unsigned esc = (1u << t->tb) - 1, c, k, f, r, g, y, top = 0;
	uint64_t best = UINT64_MAX, bits;

	*k0 = 0;
	*c0 = 15;
	for (c = 0; c < 16; c++)
		for (k = top + 1; k < 66; k++)
			if (cnt[c][k])
				top = k;
	if (esc >= 31 && top <= esc) /* f64 and i64 may have more */
		return;
	for (r = 0; r < 16; r++) {
		for (f = 0; f < 32; f++) {
			uint32_t h[16][32] = { { 0 } };

			for (bits = 0, c = 0; c < 16; c++)
				for (k = 1; k < 66; k++) {
					y = f + 1 + (c > r ? c - r : 0);
					y = k >= y && k - y < esc ? k - y : esc;
					h[c >> t->gs][y] += cnt[c][k];
					bits += y == esc ? 6 * cnt[c][k] : 0;
				}
			for (g = 0; g < 16u >> t->gs; g++)
				bits += ml_entropy(h[g], esc + 1);
			if (bits < best) {
				best = bits;
				*k0 = (uint8_t)f;
				*c0 = (uint8_t)r;
			}
		}
	}
}

/* 0 or 128: which is nearer to most bytes. */
static unsigned choose_centre(const uint8_t *p, size_t n)
{
	uint64_t a = 0, b = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		a += ml_bitlen(p[i] & 128 ? 256u - p[i] : p[i]);
		b += ml_bitlen(p[i] & 128 ? p[i] - 128u : 128u - p[i]);
	}
	return b < a ? 128 : 0;
}

/* Which set of chances serves this type: kinds of data that alternate get
 * their own, as far as there are some. few: a tensor of few elements. */
static unsigned choose_set(struct ml_coder *c, unsigned key, int few)
{
	unsigned i;

	if (few) {
		for (i = 0; i < c->set_of; i++)
			if (c->sets[i] == (key | 128))
				return i;
		if (c->set_of < c->st.lay->pairs && c->st.lay->pairs > 1) {
			c->sets[c->set_of] = (uint8_t)(key | 128);
			return c->set_of++;
		}
	}
	for (i = 0; i < c->set_of; i++)
		if (c->sets[i] == key)
			return i;
	if (c->set_of < c->st.lay->pairs) {
		c->sets[c->set_of] = (uint8_t)key;
		return c->set_of++;
	}
	return key % c->st.lay->pairs;
}

/* whole: no zero bits are left out, as elements that follow may have others. */
static void choose(struct ml_coder *c, const struct ml_op_view *v,
	const uint8_t *base, int whole, struct ml_state *d)
{
	const struct ml_type *t = &ml_types[ml_type_crossed(v->type) ? 0 :
		v->type];
	unsigned kind = t->f[0].kind, w = ml_kind_bytes[kind], e;
	unsigned eb = ml_kind_ebits[kind], bits = ml_kind_bits(kind);
	int diff = v->op == ML_OP_DIFF;
	const uint8_t *p = diff ? base : v->data;
	uint32_t cnt[16][66];
	ml_word or = 0, x, y;
	size_t i, n = v->bytes / w;

	memset(cnt, 0, sizeof cnt);
	d->type = (uint16_t)v->type;
	d->calm = 0;
	d->e0 = d->tz = d->k0 = 0;
	d->c0 = 15;
	d->set = (uint8_t)choose_set(c, (ml_type_crossed(v->type) ?
		ML_TYPE_CROSS : v->type) * 2 + !diff, !diff && eb &&
		v->bytes <= FEW);
	if (ml_type_crossed(v->type)) {
		d->e0 = 15; /* as model_desc has it */
		return;
	}
	for (i = 0; i < t->nfield; i++) {
		e = diff ? ml_top_exponent(v->type, (unsigned)i, p, v->n) :
			ml_best_exponent(v->type, (unsigned)i, p, v->n,
				(1u << d->lay->f.tb) - 1);
		if (e > d->e0)
			d->e0 = (uint16_t)e;
	}
	if (t->nfield > 1 || t->f[0].n > 1 || ml_kind_pair(kind))
		return;
	d->calm = !diff && c->st.mix && (kind == ML_K_I8 || kind == ML_K_BF16 ||
		kind == ML_K_F16) && v->n >= (kind == ML_K_F16 ? CALM_MIN / 2 * 3 :
		CALM_MIN);
	if (kind == ML_K_I8)
		d->e0 = (uint16_t)choose_centre(p, v->bytes);
	for (i = 0; i < n; i++)
		or |= ml_elem_load(v->data + i * w, w);
	if (!diff && eb)
		or &= ((ml_word)1 << (bits - 1 - eb)) - 1;
	/* The window of classes, from a sample of runs of 64. */
	for (i = 0; i < n && (diff || (!eb && w > 1)); i++) {
		if (n > SAMPLE && i % 64 == 0)
			i += n / SAMPLE * 64;
		if (i >= n)
			break;
		x = ml_elem_load(v->data + i * w, w);
		if (diff) { /* the data are residuals */
			y = ml_elem_load(base + i * w, w);
			x = x >> (bits - 1) ? (0 - x) & ml_elem_mask(bits) : x;
			cnt[ml_elem_ctx(bits, eb, d->e0, y)][ml_bitlen(x)]++;
		} else {
			x = ml_sign_extend(x, bits);
			cnt[0][ml_bitlen(x >> 63 ? 0 - x : x)]++;
		}
	}
	e = or ? (unsigned)__builtin_ctzll(or) : 0;
	d->tz = (uint8_t)(e > 31 ? 31 : e);
	if (eb && !diff && !or)
		d->tz = (uint8_t)(bits - 1 - eb > 31 ? 31 : bits - 1 - eb);
	if (whole)
		d->tz = 0;
	if (d->tz) { /* classes are counted without the zeros */
		unsigned j, k;

		for (j = 0; j < 16; j++)
			for (k = 1; k + d->tz < 66; k++)
				cnt[j][k] = cnt[j][k + d->tz];
	}
	if (diff ? 1 : !eb && w > 1)
		choose_window(eb ? &d->lay->f : &d->lay->i, cnt, &d->k0,
			&d->c0);
	if (!eb)
		d->c0 = 15;
}

/* The same for bytes that are mixed. */
static void describe_mixed(struct ml_coder *c, const struct ml_op_view *v,
	const uint8_t *base, uint64_t tpos)
{
	struct ml_state *s = &c->st;
	struct ml_bytes *k = &s->mix->bytes;
	const unsigned e0 = choose_centre(v->op == ML_OP_DIFF ? base : v->data,
		v->bytes);
	uint32_t first;
	const uint32_t row = rows_at(c, tpos, 1, &first);

	if (s->type == ML_TYPE_MIXED && k->row == row && k->first == first &&
		(e0 == s->e0 || v->bytes < 128))
		return;
	model_op(&c->rc, s, ML_OP_DESC);
	s->type = ML_TYPE_MIXED;
	s->seen = ML_SEEN_NOT;
	s->e0 = (uint16_t)e0;
	k->row = row;
	k->first = first;
	model_desc(&c->rc, s);
}

/* Elements as residuals against those so many before them. */
static void as_line(struct ml_coder *c, const struct ml_op_view *v,
	uint32_t back, struct ml_op_view *line, const uint8_t **base)
{
	const unsigned kind = ml_types[v->type].f[0].kind;
	const unsigned w = ml_kind_bytes[kind];
	uint8_t *b = c->line + v->bytes;
	uint64_t i;

	*line = *v;
	line->op = ML_OP_DIFF;
	line->data = c->line;
	*base = b;
	memset(b, 0, back * w < v->bytes ? back * w : v->bytes);
	if (back * w < v->bytes)
		memcpy(b + back * w, v->data, v->bytes - back * w);
	for (i = 0; i < v->bytes; i += w)
		ml_elem_store(c->line + i, w, ml_residual(w * 8,
			ml_kind_ebits[kind], ml_elem_load(b + i, w),
			ml_elem_load(v->data + i, w)));
}

/* Whether all elements end in the zero bits that the descriptor leaves out. */
static int end_in_zeros(const struct ml_op_view *v, unsigned tz)
{
	const unsigned kind = ml_types[v->type].f[0].kind;
	const unsigned w = ml_kind_bytes[kind], eb = ml_kind_ebits[kind];
	ml_word all = 0;
	uint64_t i;

	if (eb && tz > w * 8 - 1 - eb)
		tz = w * 8 - 1 - eb;
	for (i = 0; i < v->bytes; i += w)
		all |= ml_elem_load(v->data + i, w);
	return !(all & (((ml_word)1 << tz) - 1));
}

/* How an operation's elements are told by those before them. *go_on: the
 * descriptor that there is says so. */
static struct ml_telling telling(struct ml_coder *c,
	const struct ml_op_view *v, uint32_t row, uint32_t first, int *go_on)
{
	struct ml_telling t = { ML_SEEN_NOT, 0, 0 };
	const struct ml_state *s = &c->st;
	const struct ml_seen *k = s->mix ? &s->mix->seen : NULL;
	uint64_t bits = UINT64_MAX;
	int same = s->seen && s->type == v->type;

	*go_on = 0;
	if (v->op != ML_OP_ALONE || !k || !ml_type_seen(v->type) ||
		c->listed >= LIST_MAX)
		return t;
	t = ml_seen_best(v->type, v->data, (size_t)v->n, row,
		c->gridded < GRID_MAX);
	if (same && s->seen == ML_SEEN_LIST && k->row == row &&
		k->first == first && end_in_zeros(v, s->tz))
		bits = ml_seen_go_on(&c->list, v->type, v->data, (size_t)v->n);
	if (same && s->seen == t.how && (t.how == ML_SEEN_LINE ?
		t.back == k->row : t.how == ML_SEEN_GRID && k->row == row &&
		k->first == first && end_in_zeros(v, s->tz)))
		bits = t.bits;
	if (bits < t.bits + ML_TELLING) {
		*go_on = 1;
		t.how = s->seen;
	} else if (t.how != ML_SEEN_NOT && t.bits + ML_TELLING >
		ml_cost_unseen(v->type, v->data, (size_t)v->n)) {
		t.how = ML_SEEN_NOT;
	}
	return t;
}

/* Sends a descriptor when this operation needs one, or is worth one. */
static void describe(struct ml_coder *c, const struct ml_op_view *v,
	const uint8_t *base, uint64_t tpos)
{
	struct ml_state d = c->st, *s = &c->st;
	uint32_t first = 0;
	const uint32_t row = v->op == ML_OP_ALONE && ml_type_seen(v->type) ?
		rows_at(c, tpos, ml_type_bytes(v->type), &first) : 0;
	struct ml_op_view line;
	struct ml_telling t;
	int go_on;

	t = telling(c, v, row, first, &go_on);
	if (go_on)
		return;
	if (t.how == ML_SEEN_LINE) {
		as_line(c, v, t.back, &line, &base);
		v = &line;
	}
	choose(c, v, base, t.how == ML_SEEN_LINE, &d);
	if (t.how) {
		s->mix->seen.row = t.how == ML_SEEN_LINE ? t.back : row;
		s->mix->seen.first = t.how == ML_SEEN_LINE ? 0 : first;
		ml_places_begin(&c->list);
	} else if ((!s->seen || v->op == ML_OP_DIFF) &&
		(d.calm == s->calm || v->op == ML_OP_DIFF) &&
		d.type == s->type && d.set == s->set && d.tz >= s->tz &&
		(v->bytes < 128 ||
			(d.e0 == s->e0 && d.k0 == s->k0 && d.c0 == s->c0 &&
				d.tz == s->tz))) {
		return;
	}
	model_op(&c->rc, s, ML_OP_DESC);
	s->seen = (uint8_t)t.how;
	s->type = d.type;
	s->set = d.set;
	s->e0 = d.e0;
	s->k0 = d.k0;
	s->c0 = d.c0;
	s->tz = d.tz;
	s->calm = d.calm;
	model_desc(&c->rc, s);
}

/* ----- operations ------------------------------------------------------- */

/* Blocks whose scales and codes are told apart. */
static void blocks(struct ml_coder *c, const struct ml_op_view *v,
	const uint8_t *base)
{
	const enum ml_bform form = (enum ml_bform)(v->type - ML_TYPE_BLOCK);
	const uint8_t *p = v->data, *end = p + v->bytes;
	const size_t w = ml_type_bytes(v->type);
	uint8_t b[256], t[256];
	struct ml_qblock k;

	for (; p < end && !c->rc.full; p += w) {
		memcpy(t, p, w);
		ml_qblock_begin(&k, form, v->op == ML_OP_ALONE, c->st.avg);
		if (v->op == ML_OP_DIFF) {
			memcpy(b, base, w);
			base += w;
			ml_qblock_unresidual(v->type, b, t, t);
			ml_qblock_bits(form, &k.b, b, 0);
		}
		ml_qblock_bits(form, &k.t, t, 0);
		while (k.step < k.steps)
			model_block(&c->rc, &c->st, &k);
	}
}

/* The same from weights of another type. */
static void crossed(struct ml_coder *c, const struct ml_op_view *v,
	const uint8_t *base)
{
	const enum ml_bform form = ML_CROSS_FORM(v->type);
	const unsigned from = ML_CROSS_FROM(v->type), w = ml_b_bytes(form);
	const unsigned n = ml_x_weights(form, from);
	struct ml_cross *x = &c->st.mix->cross;
	const uint8_t *p = v->data, *end = p + v->bytes;
	uint8_t t[256];
	struct ml_qblock k;
	unsigned i;

	while (p < end) {
		memcpy(x->raw, base, ml_type_base(v->type));
		base += ml_type_base(v->type);
		ml_x_load(x, from, n);
		for (i = 0; i < n; i += ml_b_weights(form), p += w) {
			if (c->rc.full)
				return;
			memcpy(t, p, w);
			ml_qblock_begin(&k, form, 0, c->st.avg);
			ml_qblock_cross(&k, x, i);
			ml_qblock_bits(form, &k.t, t, 0);
			while (k.step < k.steps)
				model_block(&c->rc, &c->st, &k);
		}
	}
}

static void mixed(struct ml_coder *c, const struct ml_op_view *v,
	const uint8_t *base, uint64_t tpos)
{
	size_t i;
	unsigned b;

	for (i = 0; i < v->bytes && !c->rc.full; i++) {
		b = v->op == ML_OP_DIFF ? base[i] : 0;
		model_mixed_elem(&c->rc, &c->st, tpos + i, b,
			(b + v->data[i]) & 255);
	}
}

static void elements(struct ml_coder *c, const struct ml_op_view *v,
	const uint8_t *base)
{
	const struct ml_type *t = &ml_types[ml_type_crossed(v->type) ? 0 :
		v->type];
	const uint8_t *p = v->data, *end = p + v->bytes;
	struct rc_enc *rc = &c->rc;
	struct ml_state *s = &c->st;
	unsigned f = 0, j;

	if (ml_type_crossed(v->type)) {
		crossed(c, v, base);
		return;
	}
	if (ml_type_block(v->type)) {
		blocks(c, v, base);
		return;
	}
	while (p < end) {
		unsigned kind = t->f[f].kind, w = ml_kind_bytes[kind];
		unsigned bits = ml_kind_bits(kind), eb = ml_kind_ebits[kind];

		for (j = 0; j < t->f[f].n; j++, p += w) {
			ml_word x = ml_elem_load(p, w), y;

			if (v->op == ML_OP_ALONE && s->seen) {
				model_seen(rc, s, bits, eb, x, s->seen ==
					ML_SEEN_LIST ? ml_places_add(&c->list,
					x & ml_seen_size(v->type)) : 0);
				continue;
			}
			if (v->op == ML_OP_ALONE) {
				model_alone(rc, s, bits, eb,
					ml_kind_pair(kind) ? x & 15 : x);
				if (ml_kind_pair(kind))
					model_alone(rc, s, 4, 0, x >> 4);
				continue;
			}
			y = ml_elem_load(base, w);
			base += w;
			if (kind == ML_K_R8) {
				model_requant(rc, s, 8, (unsigned)y,
					(unsigned)(y + x) & 255);
			} else if (kind == ML_K_R4) {
				model_requant(rc, s, 4, y & 15, (y + x) & 15);
				model_requant(rc, s, 4, (unsigned)y >> 4,
					((y >> 4) + (x >> 4)) & 15);
			} else if (kind == ML_K_U4) {
				model_diff(rc, s, 4, 0, y & 15, (y + x) & 15);
				model_diff(rc, s, 4, 0, y >> 4,
					((y >> 4) + (x >> 4)) & 15);
			} else {
				model_diff(rc, s, bits, eb, y,
					ml_unresidual(bits, eb, y, x));
			}
		}
		if (++f == t->nfield)
			f = 0;
	}
}

/* Big-endian elements are coded as the little-endian ones they were; their
 * residuals are little-endian already. */
static void swap(struct ml_coder *c, struct ml_op_view *v, const uint8_t **base)
{
	const unsigned w = ml_type_bytes(v->type);

	memcpy(c->swapped, v->op == ML_OP_DIFF ? *base : v->data, v->bytes);
	ml_swap(c->swapped, w, v->bytes / w);
	if (v->op == ML_OP_DIFF)
		*base = c->swapped;
	else
		v->data = c->swapped;
}

static void operation(struct ml_coder *c, const struct ml_op_view *v,
	const uint8_t *base, uint64_t tpos)
{
	static const uint8_t kind[5] = {
		ML_N_LIT, ML_N_COPY, ML_N_SELF, ML_N_ELEM, ML_N_ELEM
	};
	struct rc_enc *rc = &c->rc;
	struct ml_op_view own = *v;
	uint64_t i;

	if (!c->st.lay->block) {
		ml_op_uncross(&own);
		if (own.type >= ML_TYPE_BLOCK)
			own.type = ml_plain_twin(own.type);
	}
	if (v->op >= ML_OP_DIFF && v->type <= 1 && c->st.mix &&
		c->mixed < (v->bytes > MIX_SMALL ? MIX_MAX :
		MIX_MAX + MIX_MAX / 2)) {
		own.type = ML_TYPE_MIXED;
		c->mixed += v->bytes;
	}
	if (ml_type_swapped(v->type))
		swap(c, &own, &base);
	v = &own;
	if (v->type == ML_TYPE_MIXED && v->op >= ML_OP_DIFF)
		describe_mixed(c, v, base, tpos);
	else if (v->op == ML_OP_DIFF || v->op == ML_OP_ALONE)
		describe(c, v, base, tpos);
	if (v->op == ML_OP_ALONE && c->st.seen == ML_SEEN_LIST)
		c->listed += v->n;
	if (v->op == ML_OP_ALONE && c->st.seen == ML_SEEN_GRID)
		c->gridded += v->n;
	model_op(rc, &c->st, v->op);
	model_num(rc, &c->st, kind[v->op], v->n - 1);
	if (v->op == ML_OP_COPY || v->op == ML_OP_DIFF)
		model_disp(rc, &c->st, (int64_t)(v->arg - tpos));
	else if (v->op == ML_OP_SELF)
		model_dist(rc, &c->st, v->arg);
	model_begin(&c->st, v->op, tpos);
	model_made(&c->st, v->op, v->type, v->bytes, v->arg);
	if (v->type == ML_TYPE_MIXED && v->op >= ML_OP_DIFF)
		mixed(c, v, base, tpos);
	else if (v->op == ML_OP_DIFF || v->op == ML_OP_ALONE)
		elements(c, v, base);
	else if (v->op == ML_OP_LIT)
		for (i = 0; i < v->n && !rc->full; i++)
			model_lit(rc, &c->st, tpos + i, v->data[i]);
}

/* Bytes of the arena that a block which is not coded must leave as they are. A
 * list, line or grid that is not in use begins anew whatever is there. */
static size_t to_keep(const struct ml_coder *c)
{
	return c->st.mix && c->st.seen == ML_SEEN_NOT ? (size_t)(
		(const uint8_t *)&c->st.mix->seen - (const uint8_t *)c->arena) :
		c->arena_n;
}

int ml_coder_encode(struct ml_coder *c, const struct ml_block *b,
	uint64_t tpos, size_t limit, const uint8_t **code, size_t *n,
	struct ml_diag *diag)
{
	const uint8_t *p = b->code, *end = p + b->n, *base = b->base;
	uint64_t made = 0;
	size_t nbase = b->nbase, kept;
	struct ml_op_view v;
	uint16_t sets = c->set_of;
	uint64_t mixed = c->mixed, listed = c->listed, gridded = c->gridded;
	int r;

	*n = 0;
	kept = to_keep(c);
	memcpy(c->arena0, c->arena, kept);
	c->st0 = c->st;
	if (c->st.seen == ML_SEEN_LIST)
		c->list0 = c->list;
	rc_start(&c->rc);
	while (p < end) {
		r = ml_op_read(&p, end, &v, diag);
		if (r)
			return r;
		if (v.bytes > b->n_out - made ||
			v.from > nbase)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"operation exceeds its block");
		if (!c->rc.full)
			operation(c, &v, base, tpos + made);
		base = v.from ? base + v.from : base;
		nbase -= (size_t)v.from;
		made += v.bytes;
	}
	if (made != b->n_out || nbase)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"block makes %llu bytes, not %lu",
			(unsigned long long)made, (unsigned long)b->n_out);
	if (!c->rc.full)
		*n = rc_end(&c->rc);
	if (c->rc.full || *n >= limit) {
		memcpy(c->arena, c->arena0, kept);
		c->st = c->st0;
		if (c->st.seen == ML_SEEN_LIST)
			c->list = c->list0;
		c->set_of = sets;
		c->mixed = mixed;
		c->listed = listed;
		c->gridded = gridded;
		*n = 0;
		return ML_OK;
	}
	*code = c->rc.out;
	return ML_OK;
}
