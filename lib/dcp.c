/* SPDX-License-Identifier: MIT */
/*
 * The folder of a checkpoint of torch.distributed: `.metadata` is a pickle
 * that tells for each part of a tensor where in which file beside it a zip of
 * torch.save holds that part. The classes are those of
 * torch/distributed/checkpoint/metadata.py and filesystem.py of PyTorch.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "container.h"
#include "pickle.h"
#include "set.h"

static const char leaf[] = ".metadata";

struct folder {
	struct ml_set *set;
	const struct ml_pickle *p;
	struct ml_diag *diag;
	size_t meta; /* the member .metadata */
	uint64_t left; /* bytes that parts may have yet, all in all */
};

static int match(const char *name, size_t n)
{
	const size_t len = sizeof(leaf) - 1;

	return n >= len && memcmp(name + n - len, leaf, len) == 0 &&
		(n == len || name[n - len - 1] == '/');
}

/* A number that is an offset or a length. */
static int size(const struct ml_pickle *p, uint32_t i, uint64_t *v)
{
	const struct ml_pk_node *n = &p->node[i];

	*v = (uint64_t)n->u.i;
	return n->kind == ML_PK_INT && n->u.i >= 0;
}

/* Gives the tensors of a zip, which begins at off of member j, to the set;
 * their names follow that of the part. */
static int give(struct folder *f, size_t j, uint64_t off,
	const struct ml_model *m, const char *name, size_t n)
{
	const struct ml_span *sp;
	char *full;
	size_t i, len;
	int err = ML_OK;

	for (i = 0; !err && i < m->nspan; i++) {
		sp = &m->span[i];
		len = n + (sp->name_len ? sp->name_len + 1 : 0);
		if (len > ML_NAME_MAX)
			continue;
		full = malloc(len + 1);
		if (!full)
			return ml_fail(f->diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		memcpy(full, name, n);
		full[n] = '.';
		if (sp->name_len)
			memcpy(full + n + 1, sp->name, sp->name_len);
		err = ml_set_tensor(f->set, j, full, len, sp->dtype, sp->rank,
			sp->shape, off + sp->off, sp->len, f->diag);
		free(full);
	}
	return err;
}

/* One part. What is no zip of torch.save stays opaque. */
static int part(struct folder *f, size_t j, uint64_t off, uint64_t len,
	const char *name, size_t n)
{
	struct ml_diag why;
	struct ml_src *file, *v = NULL;
	struct ml_model m;
	int err = ml_set_src(f->set, j, &file, f->diag);

	if (err)
		return err;
	if (off > ml_src_size(file) || len > ml_src_size(file) - off)
		return ml_fail(f->diag, ML_EFORMAT, ML_NOWHERE,
			"part of a tensor at %llu leaves its file",
			(unsigned long long)off);
	/* parts do not overlap: more bytes than there are is an attack */
	if (len > f->left)
		return ml_fail(f->diag, ML_ELIMIT, ML_NOWHERE,
			"parts of tensors that overlap");
	f->left -= len;
	err = ml_src_view(&v, file, off, len, f->diag);
	if (err)
		return err;
	ml_model_init(&m);
	m.depth = ML_DEPTH_MAX;
	err = ml_reader_pytorch.walk(v, &m, &why);
	if (!err)
		err = ml_model_check(&m, len, &why);
	if (!err)
		err = give(f, j, off, &m, name, n);
	else if (ml_input_fault(err))
		err = ML_OK;
	else
		*f->diag = why;
	ml_model_free(&m);
	ml_src_free(v);
	return err;
}

/* An entry: MetadataIndex(fqn, ...) to _StorageInfo(relative_path, offset,
 * length). Files are in the same folder. */
static int entry(struct folder *f, uint32_t index, uint32_t info)
{
	const struct ml_pickle *p = f->p;
	const struct ml_pk_node *name = &p->node[ml_pk_attr(p, index, "fqn")];
	const struct ml_pk_node *path = &p->node[ml_pk_attr(
		p, info, "relative_path")];
	uint64_t off, len;
	size_t j;

	if (name->kind != ML_PK_TEXT || path->kind != ML_PK_TEXT ||
		!size(p, ml_pk_attr(p, info, "offset"), &off) ||
		!size(p, ml_pk_attr(p, info, "length"), &len) ||
		memchr(p->text + path->u.text.at, '/', path->u.text.n))
		return ML_OK;
	j = ml_set_near(f->set, f->meta, p->text + path->u.text.at,
		path->u.text.n);
	if (j == ML_NOT_FOUND || j == f->meta)
		return ML_OK;
	return part(f, j, off, len, p->text + name->u.text.at,
		name->u.text.n);
}

static int entries(struct folder *f)
{
	const struct ml_pickle *p = f->p;
	const uint32_t dict = ml_pk_attr(p, p->root, "storage_data");
	uint32_t at, key;
	size_t i;
	int err = ML_OK;

	if (p->node[dict].kind != ML_PK_DICT)
		return ml_fail(f->diag, ML_EFORMAT, ML_NOWHERE,
			"no metadata of torch.distributed.checkpoint");
	for (i = 0; i < f->set->n; i++)
		if (!ml_add_ok(f->left, f->set->member[i].len, &f->left))
			f->left = UINT64_MAX;
	for (at = p->node[dict].first; !err && at;
		at = p->item[at - 1].next) {
		key = p->item[at - 1].node;
		at = p->item[at - 1].next;
		err = entry(f, key, p->item[at - 1].node);
	}
	return err;
}

static int walk(struct ml_set *set, size_t i, struct ml_diag *diag)
{
	struct ml_pickle p = {0};
	struct folder f = {set, &p, diag, i, 0};
	struct ml_src *s;
	int err;

	/* of several with one name, which could name the same files */
	if (ml_set_near(set, i, leaf, sizeof(leaf) - 1) != i)
		return ML_OK;
	err = ml_set_src(set, i, &s, diag);
	if (!err)
		err = ml_pickle_read(&p, s, 0, ml_src_size(s), diag);
	if (!err)
		err = entries(&f);
	ml_pickle_free(&p);
	return err;
}

const struct ml_guide ml_guide_dcp = {"torch checkpoint", match, walk};
