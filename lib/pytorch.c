/* SPDX-License-Identifier: MIT */
/*
 * PyTorch's zip, of torch.save since 1.6 and of TorchScript: the pickle
 * PREFIX/data.pkl refers to the storages PREFIX/data/KEY, and constants.pkl to
 * constants/KEY. The layout is that of torch/serialization.py and
 * caffe2/serialize/inline_container.h.
 *
 * Several of them one after another, as torch.distributed.checkpoint writes
 * them, are found from the last one on, as a zip tells where it begins.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "container.h"
#include "pkzip.h"
#include "torch.h"

#define ZIPS_MAX 65536 /* one after another; those before them are opaque */

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

/* Whether the entry is PREFIX + name, or PREFIX + name + anything. */
static int is_at(const struct ml_pkzip_entry *e, const char *prefix, size_t n,
	const char *name, int more)
{
	const size_t len = strlen(name);

	return (more ? e->name_len >= n + len : e->name_len == n + len) &&
		memcmp(e->name, prefix, n) == 0 &&
		memcmp(e->name + n, name, len) == 0;
}

/* The entry PREFIX + name, or NULL. */
static const struct ml_pkzip_entry *member(const struct ml_pkzip *z,
	const char *prefix, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < z->n; i++)
		if (is_at(&z->entry[i], prefix, n, name, 0))
			return &z->entry[i];
	return NULL;
}

/* data.pkl in the one folder of the zip, or outside of any. */
static const struct ml_pkzip_entry *find_pickle(const struct ml_pkzip *z)
{
	static const char name[] = "data.pkl";
	const size_t len = sizeof(name) - 1;
	size_t i, n;

	for (i = 0; i < z->n; i++) {
		const struct ml_pkzip_entry *e = &z->entry[i];

		if (e->name_len < len)
			continue;
		n = e->name_len - len;
		if (memcmp(e->name + n, name, len) == 0 &&
			(n == 0 || memchr(e->name, '/', n) == e->name + n - 1))
			return e;
	}
	return NULL;
}

/* Whether the elements are big-endian, which no element type here is. */
static int swapped(const struct ml_pkzip *z, struct ml_src *s,
	const char *prefix, size_t n, int *yes, struct ml_diag *diag)
{
	const struct ml_pkzip_entry *e = member(z, prefix, n, "byteorder");
	char order[3];
	int err;

	*yes = 0;
	if (!e || e->method != ML_PKZIP_STORED || e->len != sizeof(order))
		return ML_OK;
	err = ml_src_read(s, e->off, order, sizeof(order), diag);
	*yes = !err && memcmp(order, "big", sizeof(order)) == 0;
	return err;
}

/* The storages in the folder `dir` of the prefix. Deflated ones are not
 * there: their bytes are no elements. */
static int storages(struct ml_torch *t, const struct ml_pkzip *z,
	const char *prefix, size_t n, const char *dir, struct ml_diag *diag)
{
	const size_t skip = n + strlen(dir);
	struct ml_torch_storage *st;
	size_t i;

	t->store = calloc(z->n + 1, sizeof(*t->store));
	if (!t->store)
		return no_memory(diag);
	for (i = 0; i < z->n; i++) {
		const struct ml_pkzip_entry *e = &z->entry[i];

		if (!is_at(e, prefix, n, dir, 1) ||
			e->method != ML_PKZIP_STORED)
			continue;
		st = &t->store[t->n++];
		st->key = e->name + skip;
		st->key_len = e->name_len - skip;
		st->path = e->name + n; /* the prefix is the file's own name */
		st->path_len = e->name_len - n;
		st->off = e->off;
		st->len = e->len;
	}
	return ML_OK;
}

/* The tensors of one pickle and its folder, named behind `under`. */
static int pickled(const struct ml_pkzip *z, struct ml_src *s,
	const struct ml_pkzip_entry *e, size_t n, const char *dir,
	const char *under, struct ml_model *m, struct ml_diag *diag)
{
	struct ml_pickle p = {0};
	struct ml_torch t = {.p = &p};
	int err;

	if (e->method != ML_PKZIP_STORED)
		return ml_fail(diag, ML_EFORMAT, e->off,
			"the pickle is deflated");
	err = ml_pickle_read(&p, s, e->off, e->off + e->len, diag);
	if (!err)
		err = storages(&t, z, e->name, n, dir, diag);
	if (!err)
		err = ml_torch_index(&t, diag);
	if (!err)
		err = ml_torch_tensors(&t, under, m, diag);
	ml_torch_free(&t);
	ml_pickle_free(&p);
	return err;
}

/* The zip at the end of s; *start is where it begins. */
static int zip(struct ml_src *s, struct ml_model *m, uint64_t *start,
	struct ml_diag *diag)
{
	const struct ml_pkzip_entry *data, *constants;
	struct ml_pkzip z;
	size_t n;
	int big, err = ml_pkzip_read(&z, s, diag);

	*start = z.start;
	data = err ? NULL : find_pickle(&z);
	if (!err && !data)
		err = ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"a zip without data.pkl");
	if (err)
		goto out;
	n = data->name_len - strlen("data.pkl");
	err = swapped(&z, s, data->name, n, &big, diag);
	if (err || big)
		goto out;
	err = pickled(&z, s, data, n, "data/", "", m, diag);
	constants = member(&z, data->name, n, "constants.pkl");
	if (!err && constants)
		err = pickled(&z, s, constants, n, "constants/", "constants",
			m, diag);
out:
	ml_pkzip_free(&z);
	return err;
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	struct ml_diag other;
	struct ml_src *v;
	uint64_t start = 0, end;
	unsigned i;
	int err = zip(s, m, &start, diag);

	for (i = 1; !err && start > 0 && i < ZIPS_MAX; i++) {
		end = start;
		err = ml_src_view(&v, s, 0, end, diag);
		if (err)
			break;
		err = zip(v, m, &start, &other);
		ml_src_free(v);
		if (err && ml_input_fault(err))
			return ML_OK; /* no other zip there */
		if (err)
			*diag = other;
		if (start >= end)
			break;
	}
	return err;
}

static int probe(const uint8_t *head, size_t n)
{
	return n >= 4 && memcmp(head, "PK\3\4", 4) == 0;
}

const struct ml_reader ml_reader_pytorch = {
	ML_PYTORCH, "pytorch", probe, walk,
};
