/* SPDX-License-Identifier: MIT */
/* The members of an archive, looked into. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "container.h"
#include "set.h"
#include "wrap.h"

/* The order matters where two know the same member: the first keeps it. */
const struct ml_guide *const ml_guides[] = {
	&ml_guide_dcp,
	&ml_guide_onnx,
	&ml_guide_openvino,
	NULL,
};

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

void ml_set_init(struct ml_set *set, struct ml_src *s, struct ml_model *m)
{
	memset(set, 0, sizeof(*set));
	set->s = s;
	set->m = m;
}

void ml_set_free(struct ml_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++) {
		ml_src_free(set->member[i].src);
		ml_model_free(&set->member[i].model);
		free(set->member[i].name);
	}
	free(set->member);
	free(set->by_name);
	memset(set, 0, sizeof(*set));
}

static int add(struct ml_set *set, const char *name, size_t name_len,
	uint64_t off, uint64_t len, uint32_t wrap, struct ml_diag *diag)
{
	struct ml_member *m;
	size_t cap;

	if (set->n >= ML_MEMBERS_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %u members", ML_MEMBERS_MAX);
	if (set->n == set->cap) {
		cap = set->cap ? set->cap * 2 : 16;
		m = realloc(set->member, cap * sizeof(*m));
		if (!m)
			return no_memory(diag);
		set->member = m;
		set->cap = cap;
	}
	m = &set->member[set->n];
	memset(m, 0, sizeof(*m));
	m->name = malloc(name_len + 1);
	if (!m->name)
		return no_memory(diag);
	memcpy(m->name, name, name_len);
	m->name[name_len] = '\0';
	m->name_len = name_len;
	m->off = off;
	m->len = len;
	m->wrap = wrap;
	set->n++;
	return ML_OK;
}

int ml_set_stored(struct ml_set *set, const char *name, size_t name_len,
	uint64_t off, uint64_t len, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(set->s);
	char shown[64];

	if (off > size || len > size - off)
		return ml_fail(diag, ML_EFORMAT, off,
			"member '%s' leaves the archive",
			ml_escape(shown, sizeof(shown), name, name_len));
	return add(set, name, name_len, off, len, 0, diag);
}

int ml_set_deflated(struct ml_set *set, const char *name, size_t name_len,
	uint64_t off, uint64_t clen, uint64_t len, struct ml_diag *diag)
{
	struct ml_wrap w = {.off = off, .clen = clen, .len = len};
	int again = 0, err;

	if (!set->m->spool || clen == 0)
		return ML_OK;
	err = *set->m->spool ? ML_OK : ml_src_spool(set->m->spool, diag);
	if (!err)
		err = ml_wrap_try(&w, set->s, *set->m->spool, &again, diag);
	if (err || !again)
		return err;
	err = ml_wrap_add(set->m, &w, diag);
	if (err)
		return err;
	return add(set, name, name_len, 0, len, (uint32_t)set->m->nwrap, diag);
}

int ml_set_src(struct ml_set *set, size_t i, struct ml_src **out,
	struct ml_diag *diag)
{
	struct ml_member *m = &set->member[i];
	const struct ml_wrap *w = m->wrap ? &set->m->wrap[m->wrap - 1] : NULL;
	int err = ML_OK;

	if (!m->src)
		err = ml_src_view(&m->src, w ? *set->m->spool : set->s,
			w ? w->at : m->off, m->len, diag);
	*out = m->src;
	return err;
}

/* ===== by path ========================================================== */

static int cmp(const char *a, size_t na, const char *b, size_t nb)
{
	const int c = memcmp(a, b, na < nb ? na : nb);

	return c ? c : (na > nb) - (na < nb);
}

/* "./x" of a tar is "x". */
static const char *plain(const struct ml_member *m, size_t *n)
{
	const char *p = m->name;

	*n = m->name_len;
	while (*n >= 2 && p[0] == '.' && p[1] == '/') {
		p += 2;
		*n -= 2;
	}
	return p;
}

struct named {
	const char *name;
	size_t n, i;
};

static int by_name(const void *pa, const void *pb)
{
	const struct named *a = pa, *b = pb;
	const int c = cmp(a->name, a->n, b->name, b->n);

	return c ? c : (a->i > b->i) - (a->i < b->i);
}

static int sort_names(struct ml_set *set, struct ml_diag *diag)
{
	struct named *v = malloc((set->n + 1) * sizeof(*v));
	size_t i;

	set->by_name = malloc((set->n + 1) * sizeof(*set->by_name));
	if (!v || !set->by_name) {
		free(v);
		return no_memory(diag);
	}
	for (i = 0; i < set->n; i++) {
		v[i].name = plain(&set->member[i], &v[i].n);
		v[i].i = i;
	}
	qsort(v, set->n, sizeof(*v), by_name);
	for (i = 0; i < set->n; i++)
		set->by_name[i] = v[i].i;
	free(v);
	return ML_OK;
}

static size_t find(const struct ml_set *set, const char *name, size_t n)
{
	size_t lo = 0, hi = set->n, mid, len;
	const char *p;
	int c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		p = plain(&set->member[set->by_name[mid]], &len);
		c = cmp(p, len, name, n);
		if (c == 0)
			return set->by_name[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return ML_NOT_FOUND;
}

/* Removes the last part of a path of n bytes; returns what is left of n. */
static size_t parent(const char *p, size_t n)
{
	while (n > 0 && p[n - 1] != '/')
		n--;
	return n > 0 ? n - 1 : 0;
}

size_t ml_set_near(
	const struct ml_set *set, size_t i, const char *path, size_t n)
{
	size_t len, k, found;
	const char *dir = plain(&set->member[i], &len);
	char *full = malloc(len + n + 2);

	if (!full || !set->by_name) {
		free(full);
		return ML_NOT_FOUND;
	}
	len = parent(dir, len);
	memcpy(full, dir, len);
	for (; n > 0; path += k, n -= k) {
		for (k = 0; k < n && path[k] != '/'; k++)
			;
		if (k == 2 && path[0] == '.' && path[1] == '.') {
			len = parent(full, len);
		} else if (k > 1 || (k == 1 && path[0] != '.')) {
			if (len > 0)
				full[len++] = '/';
			memcpy(full + len, path, k);
			len += k;
		}
		k += k < n;
	}
	found = find(set, full, len);
	free(full);
	return found;
}

/* ===== looking in ======================================================= */

int ml_set_tensor(struct ml_set *set, size_t i, const char *name,
	size_t name_len, unsigned dtype, unsigned rank, const uint64_t *shape,
	uint64_t off, uint64_t len, struct ml_diag *diag)
{
	struct ml_member *m = &set->member[i];
	char shown[64];

	if (off > m->len || len > m->len - off)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"tensor '%s' leaves its file",
			ml_escape(shown, sizeof(shown), name, name_len));
	m->taken = 1;
	return ml_model_add(&m->model, name, name_len, dtype, rank, shape, off,
		len, diag);
}

/* Keeps why something stays opaque; the first reason is enough. */
static void note(struct ml_set *set, size_t i, const struct ml_diag *d)
{
	char shown[64];

	if (set->m->note[0])
		return;
	ml_escape(shown, sizeof(shown), set->member[i].name,
		set->member[i].name_len);
	snprintf(set->m->note, sizeof(set->m->note), "member '%s': %.*s",
		shown, ML_DIAG_MAX - 80, d->why);
}

static int guide(struct ml_set *set, size_t i, struct ml_diag *diag)
{
	const struct ml_member *m = &set->member[i];
	size_t g;
	int err;

	for (g = 0; ml_guides[g]; g++) {
		if (!ml_guides[g]->match(m->name, m->name_len))
			continue;
		err = ml_guides[g]->walk(set, i, diag);
		if (err && !ml_input_fault(err))
			return err;
		if (err)
			note(set, i, diag);
	}
	return ML_OK;
}

static int look(struct ml_set *set, size_t i, struct ml_diag *diag)
{
	struct ml_member *m = &set->member[i];
	struct ml_src *src;
	int err = ml_set_src(set, i, &src, diag);

	if (err || m->taken)
		return err;
	m->model.depth = set->m->depth + 1;
	m->model.spool = m->wrap ? NULL : set->m->spool;
	err = ml_model_walk(&m->model, src, diag);
	if (err && !ml_input_fault(err))
		return err;
	if (err)
		note(set, i, diag);
	else if (m->model.note[0]) {
		memcpy(diag->why, m->model.note, ML_DIAG_MAX);
		note(set, i, diag);
	}
	return ML_OK;
}

/* The tensor's name in the archive, to be freed. */
static char *full_name(const struct ml_member *m, const struct ml_span *sp,
	size_t *n, struct ml_diag *diag)
{
	size_t len = m->name_len, sep = sp->name_len ? 2 : 0;
	const char *p = plain(m, &len);
	char *name;

	/* numpy's own name for a member of an .npz */
	if (!sep && m->model.container == ML_NPY && len > 4 &&
		memcmp(p + len - 4, ".npy", 4) == 0)
		len -= 4;
	*n = len + sep + sp->name_len;
	if (*n > ML_NAME_MAX) { /* the tensor's own name is worth more */
		len = sep = 0;
		*n = sp->name_len;
	}
	name = malloc(*n + 1);
	if (!name) {
		no_memory(diag);
		return NULL;
	}
	memcpy(name, p, len);
	memcpy(name + len, "::", sep);
	memcpy(name + len + sep, sp->name, sp->name_len);
	name[*n] = '\0';
	return name;
}

static int graft(struct ml_set *set, struct ml_member *m, struct ml_diag *diag)
{
	const uint32_t wraps = (uint32_t)set->m->nwrap;
	struct ml_span *sp, *to;
	char *name;
	size_t k, n;
	int err = ML_OK;

	for (k = 0; !err && k < m->model.nwrap; k++) {
		m->model.wrap[k].off += m->off;
		err = ml_wrap_add(set->m, &m->model.wrap[k], diag);
	}
	for (k = 0; !err && k < m->model.nspan; k++) {
		sp = &m->model.span[k];
		if (sp->kind != ML_TENSOR)
			continue;
		name = full_name(m, sp, &n, diag);
		if (!name)
			return ML_ENOMEM;
		err = ml_model_add(set->m, name, n, sp->dtype, sp->rank,
			sp->shape, sp->off + (sp->wrap ? 0 : m->off), sp->len,
			diag);
		free(name);
		if (err)
			return err;
		to = &set->m->span[set->m->nspan - 1];
		to->wrap = sp->wrap ? sp->wrap + wraps : m->wrap;
		to->quant = sp->quant;
		sp->quant = NULL;
	}
	return err;
}

int ml_set_finish(struct ml_set *set, struct ml_diag *diag)
{
	int err = sort_names(set, diag);
	size_t i;

	for (i = 0; !err && i < set->n; i++)
		err = guide(set, i, diag);
	for (i = 0; !err && i < set->n; i++) {
		err = look(set, i, diag);
		if (!err)
			err = graft(set, &set->member[i], diag);
		ml_src_free(set->member[i].src);
		set->member[i].src = NULL;
		ml_model_free(&set->member[i].model);
	}
	return err;
}
