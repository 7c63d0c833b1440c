/* SPDX-License-Identifier: MIT */
/*
 * Files of torch.save before 1.6: the pickles of a magic number, a version,
 * facts about the machine, the object, and the list of the keys of its
 * storages; then in that order each storage, as a count of 64 bits and its
 * elements. The layout is that of _legacy_save in torch/serialization.py.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "torch.h"

#define VERSION 1001

enum { FACTS = 2, OBJECT, KEYS, PICKLES }; /* after magic and version */

static const uint8_t magic[10] = {
	0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* Reads the pickles up to the storages, at *pos then. */
static int pickles(struct ml_pickle p[PICKLES], struct ml_src *s,
	uint64_t *pos, struct ml_diag *diag)
{
	const struct ml_pk_node *root;
	int i, err = ML_OK;

	*pos = 0;
	for (i = 0; !err && i < PICKLES; i++) {
		err = ml_pickle_read(&p[i], s, *pos, ml_src_size(s), diag);
		if (err)
			break;
		*pos += p[i].len;
		root = &p[i].node[p[i].root];
		if (i == 0 && (root->kind != ML_PK_LONG ||
				root->u.text.n != sizeof(magic) ||
				memcmp(p[i].text + root->u.text.at, magic,
					sizeof(magic)) != 0))
			err = ml_fail(diag, ML_EFORMAT, 0,
				"no magic number of torch.save");
		else if (i == 1 && (root->kind != ML_PK_INT ||
				root->u.i != VERSION))
			err = ml_fail(diag, ML_EVERSION, *pos,
				"unknown version of torch.save's format");
		else if (i == KEYS && root->kind != ML_PK_LIST)
			err = ml_fail(diag, ML_EFORMAT, *pos,
				"the keys of the storages are no list");
	}
	return err;
}

static int swapped(const struct ml_pickle *facts)
{
	const struct ml_pk_node *n = &facts->node[ml_pk_attr(
		facts, facts->root, "little_endian")];

	return n->kind == ML_PK_BOOL && !n->u.i;
}

static int keys(struct ml_torch *t, const struct ml_pickle *p,
	struct ml_diag *diag)
{
	uint32_t at = p->node[p->root].first;
	const struct ml_pk_node *key;

	t->store = calloc((size_t)p->node[p->root].u.of.count + 1,
		sizeof(*t->store));
	if (!t->store)
		return no_memory(diag);
	for (; at; at = p->item[at - 1].next) {
		key = &p->node[p->item[at - 1].node];
		if (key->kind != ML_PK_TEXT)
			return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
				"the key of a storage is no text");
		t->store[t->n].key = p->text + key->u.text.at;
		t->store[t->n].key_len = key->u.text.n;
		t->n++;
	}
	return ML_OK;
}

/* Finds the storages from pos on. The object says of which type they are, so
 * that one which it does not know hides those behind it. */
static int place(struct ml_torch *t, struct ml_src *s, uint64_t pos,
	struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	struct ml_torch_storage *st;
	uint8_t b[8];
	size_t i;
	int err, lost = 0;

	for (i = 0; i < t->n; i++) {
		st = &t->store[i];
		lost |= st->dtype == ML_DT_OPAQUE;
		st->lost = lost;
		if (lost)
			continue;
		err = ml_src_read(s, pos, b, sizeof(b), diag);
		if (err)
			return err;
		pos += sizeof(b);
		if (ml_load64(b) != st->elems)
			return ml_fail(diag, ML_EFORMAT, pos - sizeof(b),
				"storage of %llu elements, not of %llu",
				(unsigned long long)ml_load64(b),
				(unsigned long long)st->elems);
		if (!ml_mul_ok(st->elems,
			    ml_dtype_find(st->dtype)->block_bytes,
			    &st->len) ||
			st->len > size - pos)
			return ml_fail(diag, ML_ETRUNC, pos,
				"storage of %llu elements leaves the file",
				(unsigned long long)st->elems);
		st->off = pos;
		pos += st->len;
	}
	return ML_OK;
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	struct ml_pickle p[PICKLES];
	struct ml_torch t = {.p = &p[OBJECT]};
	uint64_t pos = 0;
	int i, err;

	memset(p, 0, sizeof(p));
	err = pickles(p, s, &pos, diag);
	if (err || swapped(&p[FACTS]))
		goto out;
	err = keys(&t, &p[KEYS], diag);
	if (!err)
		err = ml_torch_index(&t, diag);
	if (!err)
		err = place(&t, s, pos, diag);
	if (!err)
		err = ml_torch_tensors(&t, "", m, diag);
out:
	ml_torch_free(&t);
	for (i = 0; i < PICKLES; i++)
		ml_pickle_free(&p[i]);
	return err;
}

static int probe(const uint8_t *head, size_t n)
{
	/* PROTO, from 4 on FRAME, LONG1, its length, the number, STOP */
	const size_t at = n > 2 && head[2] == 0x95 ? 11 : 2;

	return n >= at + 13 && head[0] == 0x80 && head[at] == 0x8a &&
		head[at + 1] == sizeof(magic) &&
		memcmp(head + at + 2, magic, sizeof(magic)) == 0 &&
		head[at + 12] == '.';
}

const struct ml_reader ml_reader_torch_legacy = {
	ML_TORCH_LEGACY, "torch-legacy", probe, walk,
};
