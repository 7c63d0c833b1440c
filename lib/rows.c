/* SPDX-License-Identifier: MIT */
/* Rows found by what training hardly changes of an element: sign and exponent,
 * or the highest bits. A few of these in a row are a key, as in locality
 * sensitive hashing; a row has several, so that one of them is likely to have
 * stayed as it was. What a key finds is compared at more places. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "elem.h"
#include "ops.h"
#include "rows.h"

#define GROUPS 4 /* places of a row that are looked at */
#define UNITS 16 /* elements or blocks there, at most */
#define KEY_MIN 3 /* elements of a key, at least */
#define LOOKS 8 /* rows compared for a key */
#define BITS 16 /* log2 of the chains */
#define ROWS_MAX (1u << 15) /* rows in an index; of more, some */
#define INDEXES 2
#define WHOLE 4096 /* bytes of a row that are read at once */
#define NIL UINT32_MAX

/* How rows of a type and a length are looked at. */
struct shape {
	unsigned dtype, type, unit, groups, units, key;
	unsigned off, width, drop; /* of the number in a unit; bits to drop */
	int is_float;
	size_t len;
};

struct index {
	struct shape s;
	size_t n;
	uint64_t *off; /* of rows in the base */
	uint32_t *next; /* of the keys, GROUPS of each row */
	uint32_t head[1 << BITS];
	uint64_t used;
};

struct ml_rows {
	const struct ml_model *base;
	struct ml_src *bsrc;
	struct index *index[INDEXES];
	uint64_t clock;
	uint8_t row[WHOLE];
	uint8_t a[GROUPS * UNITS * 512], b[GROUPS * UNITS * 512];
};

int ml_rows_new(struct ml_rows **out, const struct ml_model *base,
	struct ml_src *bsrc, struct ml_diag *diag)
{
	struct ml_rows *r = calloc(1, sizeof *r);

	*out = r;
	if (!r)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	r->base = base;
	r->bsrc = bsrc;
	return ML_OK;
}

static void drop(struct index *x)
{
	if (!x)
		return;
	free(x->off);
	free(x->next);
	free(x);
}

void ml_rows_free(struct ml_rows *r)
{
	size_t i;

	for (i = 0; r && i < INDEXES; i++)
		drop(r->index[i]);
	free(r);
}

/* ===== a row, coarsely ================================================== */

static int shape(struct shape *s, const struct ml_span *sp)
{
	const struct ml_type *t;
	unsigned i, kind;
	size_t units;

	memset(s, 0, sizeof *s);
	s->dtype = sp->dtype;
	s->type = ml_type_of(sp->dtype);
	s->unit = ml_type_bytes(s->type);
	if (sp->kind != ML_TENSOR || !s->type || sp->rank < 2 ||
		sp->shape[0] < 2 || sp->len % sp->shape[0] || s->unit > 512 ||
		sp->len / sp->shape[0] > ML_ROW_BYTES_MAX)
		return 0;
	s->len = (size_t)(sp->len / sp->shape[0]);
	if (s->len % s->unit || s->len < 32)
		return 0;
	units = s->len / s->unit;
	t = &ml_types[s->type];
	for (i = 0; i + 1 < t->nfield && t->f[i].kind < ML_K_FLOAT; i++)
		s->off += (unsigned)t->f[i].n * ml_kind_bytes[t->f[i].kind];
	kind = t->f[i].kind;
	s->width = ml_kind_bytes[kind];
	s->is_float = kind >= ML_K_FLOAT;
	/* of a block's scale the highest bits of the mantissa as well */
	s->drop = s->is_float ? s->width * 8 - 1 - ml_kind_ebits[kind] -
		(t->nfield > 1 ? 2 : 0) : s->width * 8 - 3;
	s->groups = units / KEY_MIN < GROUPS ? (unsigned)units / KEY_MIN :
		GROUPS;
	if (!s->groups)
		return 0;
	s->units = units / s->groups < UNITS ? (unsigned)(units / s->groups) :
		UNITS;
	s->key = s->is_float ? 6 : 10;
	if (s->key > s->units)
		s->key = s->units;
	return 1;
}

size_t ml_rows_len(const struct ml_span *sp)
{
	struct shape s;

	return shape(&s, sp) ? s.len : 0;
}

static unsigned coarse(const struct shape *s, const uint8_t *p)
{
	ml_word v;

	p += s->off;
	v = ml_elem_load(p, s->width);
	if (ml_type_swapped(s->type))
		v = s->width == 2 ? (v & 255) << 8 | v >> 8 : s->width == 4 ?
			__builtin_bswap32((uint32_t)v) : __builtin_bswap64(v);
	if (!s->is_float) /* to the nearest, so that 0 is not at a border */
		v += (ml_word)1 << (s->drop - 1);
	return (unsigned)(v >> s->drop) & 0xffff;
}

/* The bytes of a row that are looked at, from all of it. */
static void pick(const struct shape *s, const uint8_t *row, uint8_t *out)
{
	const size_t units = s->len / s->unit, n = (size_t)s->units * s->unit;
	unsigned g;

	for (g = 0; g < s->groups; g++)
		memcpy(out + g * n, row + units * g / s->groups * s->unit, n);
}

static int look(struct ml_rows *r, const struct shape *s, uint64_t off,
	uint8_t *out, struct ml_diag *diag)
{
	const size_t units = s->len / s->unit, n = (size_t)s->units * s->unit;
	unsigned g;
	int err = ML_OK;

	if (s->len <= WHOLE) {
		err = ml_src_read(r->bsrc, off, r->row, s->len, diag);
		if (!err)
			pick(s, r->row, out);
		return err;
	}
	for (g = 0; g < s->groups && !err; g++)
		err = ml_src_read(r->bsrc, off + units * g / s->groups *
			s->unit, out + g * n, n, diag);
	return err;
}

/* A key of what was looked at, or NIL where all is the same. */
static uint32_t key(const struct shape *s, const uint8_t *p, unsigned g)
{
	uint32_t h = g, same = 1, first = 0, v;
	unsigned i;

	p += (size_t)g * s->units * s->unit;
	for (i = 0; i < s->key; i++, p += s->unit) {
		v = coarse(s, p);
		first = i ? first : v;
		same &= v == first;
		h = (h ^ v) * 0x9e3779b1u;
		h ^= h >> 15;
	}
	return same ? NIL : h >> (32 - BITS);
}

static unsigned alike(const struct shape *s, const uint8_t *a,
	const uint8_t *b)
{
	unsigned i, n = 0;

	for (i = 0; i < s->groups * s->units; i++)
		n += coarse(s, a + (size_t)i * s->unit) ==
			coarse(s, b + (size_t)i * s->unit);
	return n;
}

/* ===== the base's rows ================================================== */

static int add_rows(struct ml_rows *r, struct index *x,
	const struct ml_span *sp, uint64_t *skip, uint64_t step,
	struct ml_diag *diag)
{
	const struct shape *s = &x->s;
	uint64_t off = sp->off + *skip * s->len;
	const uint64_t end = sp->off + sp->len;
	uint32_t k, *e;
	unsigned g;
	int err;

	for (; off < end && x->n < ROWS_MAX; off += step * s->len, x->n++) {
		err = look(r, s, off, r->a, diag);
		if (err)
			return err;
		x->off[x->n] = off;
		for (g = 0; g < s->groups; g++) {
			k = key(s, r->a, g);
			e = &x->next[x->n * GROUPS + g];
			*e = NIL;
			if (k == NIL)
				continue;
			*e = x->head[k];
			x->head[k] = (uint32_t)(x->n * GROUPS + g);
		}
	}
	*skip = off < end ? 0 : (off - end) / s->len;
	return ML_OK;
}

static int same_shape(const struct shape *a, const struct shape *b)
{
	return a->dtype == b->dtype && a->len == b->len;
}

static int build(struct ml_rows *r, struct index *x, struct ml_diag *diag)
{
	const struct ml_model *m = r->base;
	uint64_t rows = 0, skip = 0, step;
	struct shape s;
	size_t i;
	int err = ML_OK;

	for (i = 0; i < m->nspan; i++)
		if (shape(&s, &m->span[i]) && same_shape(&s, &x->s))
			rows += m->span[i].shape[0];
	step = rows / ROWS_MAX + 1;
	rows = rows / step + 1;
	x->off = malloc((size_t)rows * sizeof *x->off);
	x->next = malloc((size_t)rows * GROUPS * sizeof *x->next);
	if (!x->off || !x->next)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	memset(x->head, 255, sizeof x->head);
	for (i = 0; i < m->nspan && !err; i++)
		if (shape(&s, &m->span[i]) && same_shape(&s, &x->s))
			err = add_rows(r, x, &m->span[i], &skip, step, diag);
	return err;
}

/* The index of rows such as s; the one that was not used for longest goes. */
static int index_of(struct ml_rows *r, const struct shape *s,
	struct index **out, struct ml_diag *diag)
{
	struct index **old = &r->index[0], *x;
	size_t i;
	int err;

	for (i = 0; i < INDEXES; i++) {
		x = r->index[i];
		if (x && same_shape(&x->s, s)) {
			x->used = ++r->clock;
			*out = x;
			return ML_OK;
		}
		if (!x || (*old && x->used < (*old)->used))
			old = &r->index[i];
	}
	drop(*old);
	*old = x = calloc(1, sizeof *x);
	if (!x)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	x->s = *s;
	x->used = ++r->clock;
	*out = x;
	err = build(r, x, diag);
	if (err) {
		drop(x);
		*old = NULL;
	}
	return err;
}

/* ===== rows of the target =============================================== */

struct want {
	struct ml_rows *r;
	const struct shape *s;
	uint64_t at; /* of the row in the target */
	unsigned least; /* to be alike */
	unsigned best;
	int64_t disp;
	struct ml_diag *diag;
};

/* Compares the row that was looked at, in r->a, with the base's at disp. */
static int compare(struct want *w, int64_t disp)
{
	const uint64_t off = w->at + (uint64_t)disp;
	const uint64_t size = w->r->base->size;
	unsigned n;
	int err;

	if (disp == ML_ROWS_NONE || disp == w->disp || off >= size ||
		size - off < w->s->len)
		return ML_OK;
	err = look(w->r, w->s, off, w->r->b, w->diag);
	if (err)
		return err;
	n = alike(w->s, w->r->a, w->r->b);
	if (n >= w->least && n > w->best) {
		w->best = n;
		w->disp = disp;
	}
	return ML_OK;
}

static int by_keys(struct want *w, const struct index *x)
{
	const unsigned all = w->s->groups * w->s->units;
	unsigned g, n;
	uint32_t k, e;
	int err;

	for (g = 0; g < w->s->groups && w->best < all; g++) {
		k = key(w->s, w->r->a, g);
		e = k == NIL ? NIL : x->head[k];
		for (n = 0; e != NIL && n < LOOKS && w->best < all; n++) {
			err = e % GROUPS != g ? ML_OK : compare(w,
				(int64_t)(x->off[e / GROUPS] - w->at));
			if (err)
				return err;
			e = x->next[e];
		}
	}
	return ML_OK;
}

int ml_rows_find(struct ml_rows *r, const struct ml_span *sp, uint64_t at,
	const uint8_t *p, size_t n, int64_t first, int64_t *disp, struct ml_diag *diag)
{
	struct want w = {.r = r, .diag = diag};
	struct index *x = NULL;
	struct shape s;
	unsigned all;
	size_t i;
	int err;

	for (i = 0; i < n; i++)
		disp[i] = ML_ROWS_NONE;
	if (!shape(&s, sp))
		return ML_OK;
	err = index_of(r, &s, &x, diag);
	w.s = &s;
	all = s.groups * s.units;
	for (i = 0; i < n && !err; i++) {
		w.at = at + i * s.len;
		w.least = all * 3 / 4 + (all < 16);
		w.best = 0;
		w.disp = ML_ROWS_NONE;
		pick(&s, p + i * s.len, r->a);
		err = compare(&w, i ? disp[i - 1] : first);
		if (!err && i && w.best < all)
			err = compare(&w, first);
		if (!err && w.best < all - all / 8)
			err = by_keys(&w, x);
		disp[i] = w.disp;
	}
	for (i = n; i > 1 && !err; i--) { /* as the row after it */
		if (disp[i - 2] != ML_ROWS_NONE || disp[i - 1] == ML_ROWS_NONE)
			continue;
		w.at = at + (i - 2) * s.len;
		w.best = 0;
		w.disp = ML_ROWS_NONE;
		pick(&s, p + (i - 2) * s.len, r->a);
		err = compare(&w, disp[i - 1]);
		disp[i - 2] = w.disp;
	}
	return err;
}
