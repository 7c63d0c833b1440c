/* SPDX-License-Identifier: MIT */
/* A zip file: its entries are the members of an archive. Those of another
 * method than stored and deflated stay opaque. */
#include <string.h>

#include "pkzip.h"
#include "set.h"

static int list(struct ml_set *set, const struct ml_pkzip *z,
	struct ml_diag *diag)
{
	size_t i;
	int err = ML_OK;

	for (i = 0; !err && i < z->n; i++) {
		const struct ml_pkzip_entry *e = &z->entry[i];

		if (e->method == ML_PKZIP_STORED)
			err = ml_set_stored(set, e->name, e->name_len, e->off,
				e->clen, diag);
		else if (e->method == ML_PKZIP_DEFLATED)
			err = ml_set_deflated(set, e->name, e->name_len,
				e->off, e->clen, e->len, diag);
	}
	return err;
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	struct ml_pkzip z;
	struct ml_set set;
	int err;

	if (m->depth >= ML_DEPTH_MAX)
		return ml_fail(diag, ML_ELIMIT, ML_NOWHERE,
			"more than %d archives in each other", ML_DEPTH_MAX);
	ml_set_init(&set, s, m);
	err = ml_pkzip_read(&z, s, diag);
	if (!err)
		err = list(&set, &z, diag);
	ml_pkzip_free(&z);
	if (!err)
		err = ml_set_finish(&set, diag);
	ml_set_free(&set);
	return err;
}

/* By its first entry, or by its end when it has none. */
static int probe(const uint8_t *head, size_t n)
{
	return n >= 4 && (memcmp(head, "PK\3\4", 4) == 0 ||
		memcmp(head, "PK\5\6", 4) == 0);
}

const struct ml_reader ml_reader_zip = {
	ML_ZIP, "zip", probe, walk,
};
