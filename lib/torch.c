/* SPDX-License-Identifier: MIT */
/*
 * From a pickled value to tensors. How torch takes a tensor apart is in
 * torch/_tensor.py and torch/_utils.py of https://github.com/pytorch/pytorch:
 * a call of _rebuild_tensor_v2 and the like, given a storage (a persistent id
 * of the pickle), an offset, sizes and strides.
 *
 * A value is visited once, by the first path that leads to it, so that shared
 * values cost no more than others.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "torch.h"

#define DEPTH_MAX 256 /* values in values; deeper ones are left out */
#define NAMES_MAX (256u << 20) /* bytes of names, in all */
#define ARGS_MAX 8
#define SHOWN 64 /* bytes of a name in a message */

struct walk {
	struct ml_torch *t;
	const struct ml_pickle *p;
	struct ml_model *m;
	struct ml_diag *diag;
	uint8_t *seen; /* by node */
	size_t names; /* bytes of names so far */
	char name[ML_NAME_MAX];
};

/* A reference to a storage. */
struct ref {
	uint16_t dtype; /* ML_DT_OPAQUE: of a kind that is not known */
	struct ml_torch_storage *st; /* NULL: it is not there */
	uint64_t off, len; /* the part that is meant, in it */
	uint64_t elems;
};

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* ===== element types ==================================================== */

struct type {
	const char *name;
	uint16_t dtype;
};

/* Names of classes, without "Storage" at their end. */
static const struct type classes[] = {
	{"Float", ML_DT_F32}, {"Half", ML_DT_F16}, {"BFloat16", ML_DT_BF16},
	{"Double", ML_DT_F64}, {"Long", ML_DT_I64}, {"Int", ML_DT_I32},
	{"Short", ML_DT_I16}, {"Char", ML_DT_I8}, {"Byte", ML_DT_U8},
	{"Bool", ML_DT_BOOL}, {"ComplexFloat", ML_DT_C64},
	{"ComplexDouble", ML_DT_C128}, {"QInt8", ML_DT_I8},
	{"QUInt8", ML_DT_U8}, {"QInt32", ML_DT_I32}, {"UInt16", ML_DT_U16},
	{"UInt32", ML_DT_U32}, {"UInt64", ML_DT_U64},
	{"Float8_e4m3fn", ML_DT_F8_E4M3}, {"Float8_e5m2", ML_DT_F8_E5M2},
	{"Float8_e4m3fnuz", ML_DT_F8_E4M3FNUZ},
	{"Float8_e5m2fnuz", ML_DT_F8_E5M2FNUZ},
	{"Float8_e8m0fnu", ML_DT_F8_E8M0},
	{"Untyped", ML_DT_U8}, {"_Untyped", ML_DT_U8}, {NULL, 0},
};

/* Names in the module torch. */
static const struct type dtypes[] = {
	{"float32", ML_DT_F32}, {"float16", ML_DT_F16},
	{"bfloat16", ML_DT_BF16}, {"float64", ML_DT_F64},
	{"int64", ML_DT_I64}, {"int32", ML_DT_I32}, {"int16", ML_DT_I16},
	{"int8", ML_DT_I8}, {"uint8", ML_DT_U8}, {"bool", ML_DT_BOOL},
	{"complex64", ML_DT_C64}, {"complex128", ML_DT_C128},
	{"qint8", ML_DT_I8}, {"quint8", ML_DT_U8}, {"qint32", ML_DT_I32},
	{"uint16", ML_DT_U16}, {"uint32", ML_DT_U32}, {"uint64", ML_DT_U64},
	{"float8_e4m3fn", ML_DT_F8_E4M3}, {"float8_e5m2", ML_DT_F8_E5M2},
	{"float8_e4m3fnuz", ML_DT_F8_E4M3FNUZ},
	{"float8_e5m2fnuz", ML_DT_F8_E5M2FNUZ},
	{"float8_e8m0fnu", ML_DT_F8_E8M0}, {NULL, 0},
};

static uint16_t look_up(const struct type *t, const char *name, size_t n)
{
	for (; t->name; t++)
		if (strlen(t->name) == n && memcmp(t->name, name, n) == 0)
			return t->dtype;
	return ML_DT_OPAQUE;
}

static uint16_t class_type(const struct ml_pickle *p, uint32_t i)
{
	static const char end[] = "Storage";
	const size_t e = sizeof(end) - 1;
	const struct ml_pk_node *n = &p->node[i];
	const char *name = p->text + n->u.text.name_at;

	if (n->kind != ML_PK_GLOBAL || n->u.text.name_n <= e ||
		memcmp(name + n->u.text.name_n - e, end, e) != 0)
		return ML_DT_OPAQUE;
	return look_up(classes, name, n->u.text.name_n - e);
}

static uint16_t dtype_type(const struct ml_pickle *p, uint32_t i)
{
	const struct ml_pk_node *n = &p->node[i];

	if (n->kind != ML_PK_GLOBAL || n->u.text.name_n == 0)
		return ML_DT_OPAQUE;
	return look_up(
		dtypes, p->text + n->u.text.name_at, n->u.text.name_n);
}

/* All of these have a size. */
static uint64_t size_of(uint16_t dtype)
{
	return ml_dtype_find(dtype)->block_bytes;
}

/* ===== storages ========================================================= */

static int cmp(const char *a, size_t na, const char *b, size_t nb)
{
	const size_t n = na < nb ? na : nb;
	const int c = n ? memcmp(a, b, n) : 0;

	return c ? c : (na > nb) - (na < nb);
}

struct named {
	const struct ml_torch_storage *st;
	size_t i;
};

static int by_key(const void *pa, const void *pb)
{
	const struct named *a = pa, *b = pb;
	const int c = cmp(a->st->key, a->st->key_len, b->st->key,
		b->st->key_len);

	return c ? c : (a->i > b->i) - (a->i < b->i);
}

static struct ml_torch_storage *find(
	const struct ml_torch *t, const char *key, size_t n)
{
	size_t lo = 0, hi = t->n, mid;
	struct ml_torch_storage *st;
	int c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		st = &t->store[t->by_key[mid]];
		c = cmp(st->key, st->key_len, key, n);
		if (c == 0)
			return st;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* A persistent id: ("storage", class, key, location, elements), and in older
 * files None or (key, first element, elements) of a part that is meant.
 * Returns 0 when it is none. */
static int refer(const struct ml_torch *t, uint32_t i, struct ref *r)
{
	const struct ml_pickle *p = t->p;
	const struct ml_pk_node *n = &p->node[i], *key, *elems, *at;
	uint32_t id[6] = {0}, part[3];
	uint64_t size, end;

	if (n->kind != ML_PK_PERSID ||
		p->node[n->u.of.args].kind != ML_PK_TUPLE ||
		ml_pk_items(p, n->u.of.args, id, 6) < 5 ||
		!ml_pk_is(p, id[0], "storage"))
		return 0;
	key = &p->node[id[2]];
	elems = &p->node[id[4]];
	if (key->kind != ML_PK_TEXT || elems->kind != ML_PK_INT ||
		elems->u.i < 0)
		return 0;
	r->dtype = class_type(p, id[1]);
	r->elems = (uint64_t)elems->u.i;
	r->st = r->dtype == ML_DT_OPAQUE ? NULL :
		find(t, p->text + key->u.text.at, key->u.text.n);
	if (r->st && r->st->lost)
		r->st = NULL;
	r->off = 0;
	r->len = r->st ? r->st->len : 0;
	if (!r->st || ml_pk_items(p, id[5], part, 3) != 3)
		return 1;
	at = &p->node[part[1]];
	elems = &p->node[part[2]];
	size = size_of(r->dtype);
	if (at->kind != ML_PK_INT || at->u.i < 0 ||
		elems->kind != ML_PK_INT || elems->u.i < 0 ||
		!ml_mul_ok((uint64_t)at->u.i, size, &r->off) ||
		!ml_mul_ok((uint64_t)elems->u.i, size, &r->len) ||
		!ml_add_ok(r->off, r->len, &end))
		return 0;
	return 1;
}

int ml_torch_index(struct ml_torch *t, struct ml_diag *diag)
{
	struct named *v = malloc((t->n + 1) * sizeof(*v));
	struct ref r;
	size_t i;

	t->by_key = malloc((t->n + 1) * sizeof(*t->by_key));
	if (!v || !t->by_key) {
		free(v);
		return no_memory(diag);
	}
	for (i = 0; i < t->n; i++) {
		v[i].st = &t->store[i];
		v[i].i = i;
	}
	qsort(v, t->n, sizeof(*v), by_key);
	for (i = 0; i < t->n; i++)
		t->by_key[i] = v[i].i;
	free(v);
	for (i = 0; i < t->p->nodes; i++) {
		if (!refer(t, (uint32_t)i, &r) || !r.st ||
			r.st->dtype != ML_DT_OPAQUE)
			continue;
		r.st->dtype = r.dtype;
		r.st->elems = r.elems;
	}
	return ML_OK;
}

void ml_torch_free(struct ml_torch *t)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		free(t->store[i].view);
	free(t->store);
	free(t->by_key);
	memset(t, 0, sizeof(*t));
}

/* ===== names ============================================================ */

/* Puts a part behind the n bytes of the name; *n is what it has then, and 0
 * is returned when it has no room. */
static int join(struct walk *w, const char *part, size_t len, size_t *n)
{
	const size_t dot = *n > 0;

	if (len > ML_NAME_MAX - dot || *n > ML_NAME_MAX - dot - len)
		return 0;
	w->names += len + dot;
	if (dot)
		w->name[(*n)++] = '.';
	if (len)
		memcpy(w->name + *n, part, len);
	*n += len;
	return 1;
}

static int join_number(struct walk *w, int64_t i, size_t *n)
{
	char s[24];

	snprintf(s, sizeof(s), "%lld", (long long)i);
	return join(w, s, strlen(s), n);
}

/* A key that is no text and no number is told by its place. */
static int join_key(struct walk *w, uint32_t key, int64_t place, size_t *n)
{
	const struct ml_pk_node *k = &w->p->node[key];

	if (k->kind == ML_PK_TEXT)
		return join(w, w->p->text + k->u.text.at, k->u.text.n, n);
	if (k->kind == ML_PK_BOOL)
		return k->u.i ? join(w, "True", 4, n) : join(w, "False", 5, n);
	return join_number(w, k->kind == ML_PK_INT ? k->u.i : place, n);
}

static int add(struct walk *w, const char *name, size_t n, uint16_t dtype,
	unsigned rank, const uint64_t *shape, uint64_t off, uint64_t len)
{
	w->names += n;
	if (w->names > NAMES_MAX)
		return ml_fail(w->diag, ML_ELIMIT, ML_NOWHERE,
			"more than %u bytes of names", NAMES_MAX);
	return ml_model_add(w->m, name, n, dtype, rank, rank ? shape : NULL,
		off, len, w->diag);
}

static int bad(struct walk *w, size_t n, const char *why)
{
	char shown[SHOWN];

	return ml_fail(w->diag, ML_EFORMAT, ML_NOWHERE, "tensor '%s' %s",
		ml_escape(shown, sizeof(shown), w->name, n), why);
}

/* ===== tensors ========================================================== */

/* Numbers of a tuple, all of them at least 0. Returns -1 when it is not that,
 * or too long, else how many. */
static int numbers(
	const struct ml_pickle *p, uint32_t i, uint64_t v[ML_RANK_MAX])
{
	uint32_t item[ML_RANK_MAX];
	size_t n, k;

	n = ml_pk_items(p, i, item, ML_RANK_MAX);
	if (p->node[i].kind != ML_PK_TUPLE || n > ML_RANK_MAX)
		return -1;
	for (k = 0; k < n; k++) {
		if (p->node[item[k]].kind != ML_PK_INT ||
			p->node[item[k]].u.i < 0)
			return -1;
		v[k] = (uint64_t)p->node[item[k]].u.i;
	}
	return (int)n;
}

/* Whether the elements lie side by side, in whatever order of dimensions. */
static int dense(int rank, const uint64_t *shape, const uint64_t *stride)
{
	int left = 0, i, next;
	int open[ML_RANK_MAX];
	uint64_t step = 1;

	for (i = 0; i < rank; i++)
		if (shape[i] != 1)
			open[left++] = i;
	while (left > 0) {
		for (i = next = 0; i < left; i++)
			if (stride[open[i]] < stride[open[next]])
				next = i;
		if (stride[open[next]] != step ||
			!ml_mul_ok(step, shape[open[next]], &step))
			return 0;
		open[next] = open[--left];
	}
	return 1;
}

/* The name of a view with gaps is kept for its storage. */
static int keep_view(struct walk *w, struct ml_torch_storage *st, size_t n)
{
	if (st->view)
		return ML_OK;
	w->names += n;
	st->view = malloc(n + 1);
	if (!st->view)
		return no_memory(w->diag);
	memcpy(st->view, w->name, n);
	st->view_len = n;
	return ML_OK;
}

/* A tensor under the n bytes of the name: storage, offset, sizes, strides. A
 * view with gaps is left out; its storage may be added in its place. */
static int tensor(struct walk *w, const uint32_t *arg, uint16_t dtype,
	size_t n)
{
	const struct ml_pk_node *at = &w->p->node[arg[1]];
	uint64_t shape[ML_RANK_MAX], stride[ML_RANK_MAX], size, off, len;
	struct ref r;
	int rank, i;

	if (!refer(w->t, arg[0], &r) || !r.st)
		return ML_OK;
	if (dtype == ML_DT_OPAQUE)
		dtype = r.dtype;
	rank = numbers(w->p, arg[2], shape);
	if (at->kind != ML_PK_INT || at->u.i < 0 || rank < 0 ||
		numbers(w->p, arg[3], stride) != rank)
		return bad(w, n, "has no proper shape");
	size = size_of(dtype);
	for (i = 0, len = size; i < rank && len; i++)
		len = shape[i] ? len : 0;
	for (i = 0; len && i < rank; i++)
		if (!ml_mul_ok(len, shape[i], &len))
			return bad(w, n, "has a size beyond 64 bits");
	if (!ml_mul_ok((uint64_t)at->u.i, size, &off) || off > r.len ||
		r.off + r.len > r.st->len)
		return bad(w, n, "begins beyond its storage");
	if (len > 0 && !dense(rank, shape, stride))
		return keep_view(w, r.st, n);
	if (len > r.len - off)
		return bad(w, n, "ends beyond its storage");
	r.st->used |= len > 0;
	return add(w, w->name, n, dtype, (unsigned)rank, shape,
		r.st->off + r.off + off, len);
}

/* ===== the value ======================================================== */

static int visit(struct walk *w, uint32_t i, size_t n, int depth);

/* Items of a list, or keys and values; `hide`: the parts of a module of torch
 * do not show in names. */
static int items(struct walk *w, uint32_t i, size_t n, int hide, int depth)
{
	const struct ml_pk_node *node = &w->p->node[i];
	uint32_t at = node->first, key = 0, value;
	int64_t place;
	size_t to;
	int err = ML_OK;

	for (place = 0; !err && at; place++) {
		if (node->pairs) {
			key = w->p->item[at - 1].node;
			at = w->p->item[at - 1].next;
		}
		value = w->p->item[at - 1].node;
		at = w->p->item[at - 1].next;
		if (w->p->node[value].kind < ML_PK_TUPLE || w->seen[value])
			continue;
		to = n;
		if (w->names > NAMES_MAX)
			err = ml_fail(w->diag, ML_ELIMIT, ML_NOWHERE,
				"more than %u bytes of names", NAMES_MAX);
		else if ((hide && (ml_pk_is(w->p, key, "_parameters") ||
				ml_pk_is(w->p, key, "_buffers") ||
				ml_pk_is(w->p, key, "_modules"))) ||
			(node->pairs ? join_key(w, key, place, &to) :
				join_number(w, place, &to)))
			err = visit(w, value, to, depth);
	}
	return err;
}

/* A list of (key, value), which Python 2 makes an OrderedDict of. */
static int pairs(struct walk *w, uint32_t i, size_t n, int depth)
{
	uint32_t at, kv[2];
	int64_t place = 0;
	size_t to;
	int err = ML_OK;

	if (w->seen[i])
		return ML_OK;
	w->seen[i] = 1;
	for (at = w->p->node[i].first; !err && at; place++) {
		const uint32_t item = w->p->item[at - 1].node;

		at = w->p->item[at - 1].next;
		to = n;
		if (ml_pk_items(w->p, item, kv, 2) == 2 &&
			w->p->node[kv[1]].kind >= ML_PK_TUPLE &&
			!w->seen[kv[1]] && w->names <= NAMES_MAX &&
			join_key(w, kv[0], place, &to))
			err = visit(w, kv[1], to, depth);
	}
	return err;
}

static size_t arguments(
	const struct ml_pickle *p, uint32_t i, uint32_t arg[ARGS_MAX])
{
	memset(arg, 0, ARGS_MAX * sizeof(*arg));
	return p->node[i].kind == ML_PK_TUPLE ?
		ml_pk_items(p, i, arg, ARGS_MAX) : 0;
}

/* What a call would return. */
static int call(struct walk *w, uint32_t fn, uint32_t args, size_t n,
	int depth)
{
	static const char utils[] = "torch._utils";
	const struct ml_pickle *p = w->p;
	uint32_t arg[ARGS_MAX];
	size_t count = arguments(p, args, arg);

	/* of a subclass: (function, class, its arguments, ...) */
	if (count >= 3 && (ml_pk_is_global(p, fn, "torch._tensor",
			"_rebuild_from_type_v2") ||
		ml_pk_is_global(p, fn, "torch._tensor",
			"_rebuild_from_type"))) {
		fn = arg[0];
		args = arg[2];
		count = arguments(p, args, arg);
	}
	if (ml_pk_is_global(p, fn, utils, "_rebuild_tensor_v2") ||
		ml_pk_is_global(p, fn, utils, "_rebuild_tensor") ||
		ml_pk_is_global(p, fn, utils, "_rebuild_qtensor"))
		return count < 4 ? ML_OK : tensor(w, arg, ML_DT_OPAQUE, n);
	if (ml_pk_is_global(p, fn, utils, "_rebuild_tensor_v3"))
		return count < 7 || dtype_type(p, arg[6]) == ML_DT_OPAQUE ?
			ML_OK : tensor(w, arg, dtype_type(p, arg[6]), n);
	if (ml_pk_is_global(p, fn, utils, "_rebuild_parameter") ||
		ml_pk_is_global(p, fn, utils, "_rebuild_parameter_with_state"))
		return visit(w, arg[0], n, depth);
	if (ml_pk_is_global(
		p, fn, "torch.jit._pickle", "restore_type_tag"))
		return visit(w, arg[0], n, depth);
	if (count == 1 &&
		ml_pk_is_global(p, fn, "collections", "OrderedDict") &&
		p->node[arg[0]].kind == ML_PK_LIST)
		return pairs(w, arg[0], n, depth);
	return visit(w, count == 1 ? arg[0] : args, n, depth);
}

static int object(struct walk *w, uint32_t i, size_t n, int depth)
{
	const struct ml_pk_node *node = &w->p->node[i];
	const uint32_t state = node->u.of.state;
	int err = call(w, node->u.of.fn, node->u.of.args, n, depth);

	if (!err)
		err = items(w, i, n, 0, depth);
	if (err || w->seen[state])
		return err;
	if (w->p->node[state].kind != ML_PK_DICT)
		return visit(w, state, n, depth);
	w->seen[state] = 1;
	return items(w, state, n, 1, depth);
}

/* The value of a node, under the first n bytes of the name. */
static int visit(struct walk *w, uint32_t i, size_t n, int depth)
{
	const unsigned kind = w->p->node[i].kind;

	if (depth == 0 || w->seen[i])
		return ML_OK;
	w->seen[i] = 1;
	if (kind == ML_PK_OBJECT)
		return object(w, i, n, depth - 1);
	if (kind == ML_PK_TUPLE || kind == ML_PK_LIST || kind == ML_PK_SET ||
		kind == ML_PK_DICT)
		return items(w, i, n, 0, depth - 1);
	return ML_OK;
}

/* A storage that no tensor lies in. */
static int lone(struct walk *w, size_t i)
{
	const struct ml_torch_storage *st = &w->t->store[i];
	const uint64_t elems = st->len / size_of(st->dtype);
	const char *name = st->view ? st->view : st->path;
	size_t n = 0;

	if (!name)
		(void)(join(w, "storage", 7, &n) &&
			join_number(w, (int64_t)i, &n));
	else if (!join(w, name, st->view ? st->view_len : st->path_len, &n) ||
		(st->view && !join(w, "storage", 7, &n)))
		return ML_OK;
	return add(w, w->name, n, st->dtype, 1, &elems, st->off,
		elems * size_of(st->dtype));
}

int ml_torch_tensors(struct ml_torch *t, const char *prefix,
	struct ml_model *m, struct ml_diag *diag)
{
	struct walk *w = malloc(sizeof(*w));
	size_t n = 0, i;
	int err;

	if (!w)
		return no_memory(diag);
	w->t = t;
	w->p = t->p;
	w->m = m;
	w->diag = diag;
	w->names = 0;
	w->seen = calloc(t->p->nodes, 1);
	if (!w->seen) {
		free(w);
		return no_memory(diag);
	}
	(void)join(w, prefix, strlen(prefix), &n);
	err = visit(w, t->p->root, n, DEPTH_MAX);
	for (i = 0; !err && i < t->n; i++)
		if (!t->store[i].used && t->store[i].dtype != ML_DT_OPAQUE &&
			!t->store[i].lost && t->store[i].len > 0)
			err = lone(w, i);
	free(w->seen);
	free(w);
	return err;
}
