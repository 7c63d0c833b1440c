/* SPDX-License-Identifier: MIT */
/* The directory of a zip file (PKWARE APPNOTE.TXT 6.3), zip64 too. Private to
 * the library. */
#ifndef ML_PKZIP_H
#define ML_PKZIP_H

#include "ml.h"

#define ML_PKZIP_STORED 0
#define ML_PKZIP_DEFLATED 8
#define ML_PKZIP_DIR_MAX (256u << 20) /* bytes of the directory */

struct ml_pkzip_entry {
	char *name; /* as stored, may hold NULs; ends in NUL; owned */
	size_t name_len;
	uint64_t off, clen; /* of its bytes in s, which has them all */
	uint64_t len; /* uncompressed: a claim, unless it is stored */
	uint16_t method;
};

struct ml_pkzip {
	uint64_t start; /* where the zip begins: bytes before are not of it */
	struct ml_pkzip_entry *entry; /* in the order of their offsets */
	size_t n;
	size_t *by_name; /* entries by name, then by offset */
};

/* Reads the directory of the zip that ends at the end of s. Entries whose
 * local header contradicts the directory, that overlap others or that are
 * encrypted are an error (ML_EFORMAT); more than ML_MEMBERS_MAX of them or a
 * directory beyond ML_PKZIP_DIR_MAX are ML_ELIMIT. Folders (names that end in
 * '/') are left out. *z is to be freed also on failure. */
int ml_pkzip_read(struct ml_pkzip *z, struct ml_src *s, struct ml_diag *diag);
void ml_pkzip_free(struct ml_pkzip *z);
/* The entry of this name, the last in the file if there are several, or
 * NULL. */
const struct ml_pkzip_entry *ml_pkzip_find(
	const struct ml_pkzip *z, const char *name);

#endif
