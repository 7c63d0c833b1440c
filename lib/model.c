/* SPDX-License-Identifier: MIT */
/* A model as the spans of a file: tensors where a container says they lie,
 * skeleton everywhere else, in order and without a gap. */
#include <stdlib.h>
#include <string.h>

#include "ml.h"
#include "bytes.h"
#include "container.h"

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

void ml_model_init(struct ml_model *m)
{
	memset(m, 0, sizeof(*m));
}

void ml_span_clear(struct ml_span *sp)
{
	free(sp->shape);
	free(sp->name);
	if (sp->quant) {
		free(sp->quant->scale);
		free(sp->quant->zero);
		free(sp->quant);
	}
	memset(sp, 0, sizeof(*sp));
}

void ml_model_free(struct ml_model *m)
{
	size_t i;

	for (i = 0; i < m->nspan; i++)
		ml_span_clear(&m->span[i]);
	free(m->span);
	free(m->wrap);
	ml_src_free(m->image);
	ml_model_init(m);
}

struct ml_src *ml_model_src(const struct ml_model *m, struct ml_src *s)
{
	return m->image ? m->image : s;
}

struct ml_wraps ml_model_wraps(const struct ml_model *m)
{
	const struct ml_wraps w = {m->size, m->wrap, m->nwrap};

	return w;
}

static int grow(struct ml_model *m, struct ml_diag *diag)
{
	const size_t cap = m->cap ? m->cap * 2 : 64;
	struct ml_span *p;

	if (m->nspan < m->cap)
		return ML_OK;
	p = realloc(m->span, cap * sizeof(*p));
	if (!p)
		return no_memory(diag);
	m->span = p;
	m->cap = cap;
	return ML_OK;
}

int ml_model_add(struct ml_model *m, const char *name, size_t name_len,
	unsigned dtype, unsigned rank, const uint64_t *shape, uint64_t off,
	uint64_t len, struct ml_diag *diag)
{
	struct ml_span sp = {0};
	char shown[64];
	int err;

	if (rank > ML_RANK_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"tensor '%s' has %u dimensions, more than %d",
			ml_escape(shown, sizeof(shown), name, name_len), rank,
			ML_RANK_MAX);
	if (name_len > ML_NAME_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"tensor '%s' has a name of %zu bytes, more than %d",
			ml_escape(shown, sizeof(shown), name, name_len),
			name_len, ML_NAME_MAX);
	if (dtype > UINT16_MAX || (rank > 0 && !shape))
		return ml_fail(diag, ML_EINVAL, ML_NOWHERE,
			"tensor '%s' cannot be described",
			ml_escape(shown, sizeof(shown), name, name_len));
	if (m->nspan >= ML_SPANS_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %u spans", ML_SPANS_MAX);
	err = grow(m, diag);
	if (err)
		return err;
	sp.name = malloc(name_len + 1);
	if (!sp.name)
		return no_memory(diag);
	if (name_len > 0)
		memcpy(sp.name, name, name_len);
	sp.name[name_len] = '\0';
	if (rank > 0) {
		sp.shape = malloc(rank * sizeof(*shape));
		if (!sp.shape) {
			free(sp.name);
			return no_memory(diag);
		}
		memcpy(sp.shape, shape, rank * sizeof(*shape));
	}
	sp.off = off;
	sp.len = len;
	sp.kind = ML_TENSOR;
	sp.rank = (uint8_t)rank;
	sp.dtype = (uint16_t)dtype;
	sp.name_len = (uint32_t)name_len;
	m->span[m->nspan++] = sp;
	return ML_OK;
}

int ml_model_add_span(struct ml_model *m, const struct ml_span *sp,
	struct ml_diag *diag)
{
	const struct ml_quant *q = sp->quant;
	struct ml_span *copy;
	int err = ml_model_add(m, sp->name, sp->name_len, sp->dtype, sp->rank,
		sp->shape, sp->off, sp->len, diag);

	if (err)
		return err;
	copy = &m->span[m->nspan - 1];
	copy->kind = sp->kind;
	if (!q)
		return ML_OK;
	err = ml_quant_new(&copy->quant, q->axis, q->n, diag);
	if (err)
		return err;
	memcpy(copy->quant->scale, q->scale, q->n * sizeof(*q->scale));
	memcpy(copy->quant->zero, q->zero, q->n * sizeof(*q->zero));
	return ML_OK;
}

int ml_model_has_tensors(const struct ml_model *m)
{
	size_t i;

	for (i = 0; i < m->nspan; i++)
		if (m->span[i].kind == ML_TENSOR)
			return 1;
	return 0;
}

/* What the tensors are sorted by; the place in the array makes it stable. */
struct key {
	uint64_t off;
	size_t i;
	int full; /* an empty tensor comes before its neighbour's bytes */
};

static int by_offset(const void *pa, const void *pb)
{
	const struct key *a = pa, *b = pb;

	if (a->off != b->off)
		return a->off < b->off ? -1 : 1;
	if (a->full != b->full)
		return a->full - b->full;
	return a->i < b->i ? -1 : a->i > b->i;
}

static int sorted_keys(
	struct key **out, const struct ml_model *m, struct ml_diag *diag)
{
	struct key *key = malloc((m->nspan + 1) * sizeof(*key));
	int sorted = 1;
	size_t i;

	*out = NULL;
	if (!key)
		return no_memory(diag);
	for (i = 0; i < m->nspan; i++) {
		key[i].off = m->span[i].off;
		key[i].i = i;
		key[i].full = m->span[i].len > 0;
		if (i > 0 && by_offset(&key[i - 1], &key[i]) > 0)
			sorted = 0;
	}
	if (!sorted)
		qsort(key, m->nspan, sizeof(*key), by_offset);
	*out = key;
	return ML_OK;
}

static int add_skeleton(
	struct ml_model *m, uint64_t off, uint64_t end, struct ml_diag *diag)
{
	int err;

	if (off == end)
		return ML_OK;
	err = ml_model_add(
		m, "", 0, ML_DT_OPAQUE, 0, NULL, off, end - off, diag);
	if (!err)
		m->span[m->nspan - 1].kind = ML_SKELETON;
	return err;
}

int ml_model_check(
	const struct ml_model *m, uint64_t size, struct ml_diag *diag)
{
	size_t i;

	for (i = 0; i < m->nspan; i++) {
		const struct ml_span *sp = &m->span[i];
		const uint64_t room = sp->wrap ? m->wrap[sp->wrap - 1].len :
			size;
		uint64_t end;
		char shown[64];

		if (ml_add_ok(sp->off, sp->len, &end) && end <= room)
			continue;
		ml_escape(shown, sizeof(shown), sp->name, sp->name_len);
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"tensor '%s' at %llu of %llu bytes leaves the file of "
			"%llu",
			shown, (unsigned long long)sp->off,
			(unsigned long long)sp->len, (unsigned long long)room);
	}
	return ML_OK;
}

int ml_model_finish(struct ml_model *m, uint64_t size, struct ml_diag *diag)
{
	struct ml_model done;
	struct key *key = NULL;
	uint64_t end = 0;
	size_t i;
	int err;

	ml_model_init(&done);
	err = ml_model_check(m, size, diag);
	if (!err)
		err = sorted_keys(&key, m, diag);
	for (i = 0; !err && i < m->nspan; i++) {
		struct ml_span *sp = &m->span[key[i].i];

		if (sp->off < end)
			continue; /* shares bytes with the last one kept */
		err = add_skeleton(&done, end, sp->off, diag);
		if (!err && done.nspan >= ML_SPANS_MAX)
			err = ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
				"more than %u spans", ML_SPANS_MAX);
		if (!err)
			err = grow(&done, diag);
		if (err)
			break;
		end = sp->off + sp->len;
		done.span[done.nspan++] = *sp;
		memset(sp, 0, sizeof(*sp)); /* the strings have moved */
	}
	if (!err)
		err = add_skeleton(&done, end, size, diag);
	free(key);
	if (err) {
		ml_model_free(&done);
		return err;
	}
	for (i = 0; i < m->nspan; i++)
		ml_span_clear(&m->span[i]);
	free(m->span);
	m->span = done.span;
	m->nspan = done.nspan;
	m->cap = done.cap;
	m->size = size;
	return ML_OK;
}

int ml_quant_new(
	struct ml_quant **q, int32_t axis, size_t n, struct ml_diag *diag)
{
	struct ml_quant *p;

	*q = NULL;
	if (n < 1 || n > ML_QUANT_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"%zu scales, not 1 to %d", n, ML_QUANT_MAX);
	p = malloc(sizeof(*p));
	if (!p)
		return no_memory(diag);
	p->axis = axis;
	p->n = (uint32_t)n;
	p->scale = calloc(n, sizeof(*p->scale));
	p->zero = calloc(n, sizeof(*p->zero));
	if (!p->scale || !p->zero) {
		free(p->scale);
		free(p->zero);
		free(p);
		return no_memory(diag);
	}
	*q = p;
	return ML_OK;
}
