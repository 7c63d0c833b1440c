/* SPDX-License-Identifier: MIT */
/*
 * The directory of a zip file: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 to
 * 4.5.
 *
 * It is found from the end, as all who write zips rely on. What it says of an
 * entry is believed only where the header before the entry's bytes agrees and
 * the bytes are nobody else's, for what two readers would understand in two
 * ways is not a zip.
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "pkzip.h"
#include "set.h"

#define LOCAL_SIG 0x04034b50
#define DIR_SIG 0x02014b50
#define END_SIG 0x06054b50
#define END64_SIG 0x06064b50
#define LOCATOR_SIG 0x07064b50
#define LOCAL 30 /* bytes of the records, without what varies */
#define DIR 46
#define END 22
#define END64 56
#define LOCATOR 20
#define COMMENT_MAX 65535
#define FULL16 0xffff /* see the zip64 record */
#define FULL32 0xffffffff

#define ENCRYPTED 1 /* bits of the flags */
#define SIZES_LATER 8 /* in a descriptor behind the bytes */
#define ZIP64_EXTRA 1
#define SHOWN 64 /* bytes of a name in a message */

typedef unsigned long long ull;

/* The directory: n entries in the bytes at to end, which those of the entries
 * do not reach. `off` is where the zip says that it is. */
struct where {
	uint64_t at, end, off, n;
};

static int no_memory(struct ml_diag *diag)
{
	return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

static int has_sig(struct ml_src *s, uint64_t off, uint32_t sig, int *yes,
	struct ml_diag *diag)
{
	uint8_t b[4];
	int err;

	*yes = 0;
	if (ml_src_size(s) < 4 || off > ml_src_size(s) - 4)
		return ML_OK;
	err = ml_src_read(s, off, b, sizeof(b), diag);
	*yes = !err && ml_load32(b) == sig;
	return err;
}

/* ===== the end ========================================================== */

/* The end record: the last whose comment ends with the file. */
static int find_end(struct ml_src *s, uint64_t *at, uint8_t rec[END],
	struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	const size_t n = size < END + COMMENT_MAX ? (size_t)size :
		END + COMMENT_MAX;
	uint8_t *tail;
	size_t i;
	int err;

	if (n < END)
		return ml_fail(diag, ML_EFORMAT, 0, "too short for a zip");
	tail = malloc(n);
	if (!tail)
		return no_memory(diag);
	err = ml_src_read(s, size - n, tail, n, diag);
	for (i = n - END + 1; !err && i-- > 0;) {
		if (ml_load32(tail + i) != END_SIG ||
			ml_load16(tail + i + 20) != n - END - i)
			continue;
		*at = size - n + i;
		memcpy(rec, tail + i, END);
		free(tail);
		return ML_OK;
	}
	free(tail);
	return err ? err : ml_fail(diag, ML_EFORMAT, size,
		"no end of a zip's directory");
}

/* Whether a field of the end record may stand for a 64-bit one. */
static int stands_for(uint64_t old, uint64_t full, uint64_t v)
{
	return old == v || old == full;
}

/* The zip64 end record, if the locator before the end record at `end` leads
 * to one: *found. */
static int find_end64(struct ml_src *s, uint64_t end, uint64_t *at,
	uint8_t rec[END64], int *found, struct ml_diag *diag)
{
	uint8_t b[LOCATOR];
	uint64_t here;
	int err;

	*found = 0;
	if (end < LOCATOR + END64)
		return ML_OK;
	here = end - LOCATOR;
	err = ml_src_read(s, here, b, sizeof(b), diag);
	if (err || ml_load32(b) != LOCATOR_SIG)
		return err;
	if (ml_load32(b + 4) != 0 || ml_load32(b + 16) > 1)
		return ml_fail(diag, ML_EFORMAT, here, "zip on several disks");
	/* right here, or, with something between them, where it says: that may
	 * be the record of another zip when several lie one after another */
	*at = here - END64;
	err = has_sig(s, *at, END64_SIG, found, diag);
	if (!err && !*found && ml_load64(b + 8) < here - END64) {
		*at = ml_load64(b + 8);
		err = has_sig(s, *at, END64_SIG, found, diag);
	}
	return err || !*found ? err : ml_src_read(s, *at, rec, END64, diag);
}

/* Where the directory is: right before its end, or, with something between
 * them, where the zip says. */
static int place(struct where *w, struct ml_src *s, uint64_t len,
	uint64_t *start, struct ml_diag *diag)
{
	uint64_t at;
	int yes = 0, err = ML_OK;

	if (len > w->end || w->off > w->end - len)
		return ml_fail(diag, ML_EFORMAT, w->end,
			"directory of %llu bytes at %llu ends beyond %llu",
			(ull)len, (ull)w->off, (ull)w->end);
	if (len > ML_PKZIP_DIR_MAX)
		return ml_fail(diag, ML_ELIMIT, w->end,
			"directory of %llu bytes, more than %u", (ull)len,
			ML_PKZIP_DIR_MAX);
	if (w->n > len / DIR)
		return ml_fail(diag, ML_EFORMAT, w->end,
			"directory of %llu bytes for %llu entries", (ull)len,
			(ull)w->n);
	if (w->n > ML_MEMBERS_MAX)
		return ml_fail(diag, ML_ELIMIT, w->end,
			"%llu entries, more than %u", (ull)w->n,
			ML_MEMBERS_MAX);
	at = w->end - len;
	if (w->n > 0 && at != w->off)
		err = has_sig(s, at, DIR_SIG, &yes, diag);
	*start = yes || w->n == 0 ? at - w->off : 0;
	w->at = *start + w->off;
	w->end = w->at + len;
	return err;
}

static int find_directory(struct where *w, struct ml_src *s, uint64_t *start,
	struct ml_diag *diag)
{
	uint8_t e[END] = {0}, e64[END64] = {0};
	uint64_t len, on_disk, at = 0;
	int big = 0, err;

	err = find_end(s, &w->end, e, diag);
	if (!err)
		err = find_end64(s, w->end, &at, e64, &big, diag);
	if (err)
		return err;
	on_disk = ml_load16(e + 8);
	w->n = ml_load16(e + 10);
	len = ml_load32(e + 12);
	w->off = ml_load32(e + 16);
	if (big) {
		if (!stands_for(on_disk, FULL16, ml_load64(e64 + 24)) ||
			!stands_for(w->n, FULL16, ml_load64(e64 + 32)) ||
			!stands_for(len, FULL32, ml_load64(e64 + 40)) ||
			!stands_for(w->off, FULL32, ml_load64(e64 + 48)))
			return ml_fail(diag, ML_EFORMAT, at,
				"the zip's two ends disagree");
		w->end = at;
		on_disk = ml_load64(e64 + 24);
		w->n = ml_load64(e64 + 32);
		len = ml_load64(e64 + 40);
		w->off = ml_load64(e64 + 48);
	}
	if (on_disk != w->n || (ml_load16(e + 4) != 0 &&
		!(big && ml_load16(e + 4) == FULL16)) ||
		(big && ml_load32(e64 + 16) != 0))
		return ml_fail(diag, ML_EFORMAT, w->end,
			"zip on several disks");
	return place(w, s, len, start, diag);
}

/* ===== entries ========================================================== */

/* Takes 64-bit values from the extra field of n bytes at off for those of v
 * that are full, in their order. Without such a field they mean themselves. */
static int extra(struct ml_src *s, uint64_t off, size_t n, uint64_t *const *v,
	size_t nv, struct ml_diag *diag)
{
	uint8_t b[8];
	size_t i, len = 0;
	int err;

	for (i = 0; i < nv && *v[i] != FULL32; i++)
		;
	if (i == nv)
		return ML_OK;
	for (; n >= 4; off += len, n -= len) {
		err = ml_src_read(s, off, b, 4, diag);
		if (err)
			return err;
		off += 4;
		n -= 4;
		len = ml_load16(b + 2);
		if (len > n)
			return ml_fail(diag, ML_EFORMAT, off,
				"extra field ends beyond its entry");
		if (ml_load16(b) == ZIP64_EXTRA)
			break;
	}
	if (n < 4)
		return ML_OK;
	for (; i < nv; i++) {
		if (*v[i] != FULL32)
			continue;
		if (len < 8)
			return ml_fail(diag, ML_EFORMAT, off,
				"zip64 field is too short");
		err = ml_src_read(s, off, b, 8, diag);
		if (err)
			return err;
		*v[i] = ml_load64(b);
		off += 8;
		len -= 8;
	}
	return ML_OK;
}

/* Reads the entry of the directory at *pos, which ends at `end`. e->off is
 * that of its local header. */
static int read_entry(struct ml_pkzip *z, struct ml_src *s,
	const struct where *w, uint64_t *pos, struct ml_diag *diag)
{
	struct ml_pkzip_entry *e = &z->entry[z->n];
	uint64_t *const v[] = {&e->len, &e->clen, &e->off};
	const uint64_t at = *pos;
	char shown[SHOWN];
	uint8_t b[DIR];
	size_t nx, nc;
	int err;

	if (w->end - at < DIR)
		return ml_fail(diag, ML_EFORMAT, at,
			"directory ends in entry %zu", z->n);
	err = ml_src_read(s, at, b, DIR, diag);
	if (err)
		return err;
	if (ml_load32(b) != DIR_SIG)
		return ml_fail(diag, ML_EFORMAT, at,
			"entry %zu of the directory is none", z->n);
	e->name_len = ml_load16(b + 28);
	nx = ml_load16(b + 30);
	nc = ml_load16(b + 32);
	if (w->end - at - DIR < e->name_len + nx + nc)
		return ml_fail(diag, ML_EFORMAT, at,
			"directory ends in entry %zu", z->n);
	e->name = malloc(e->name_len + 1);
	if (!e->name)
		return no_memory(diag);
	e->name[e->name_len] = '\0';
	z->n++;
	err = ml_src_read(s, at + DIR, e->name, e->name_len, diag);
	if (err)
		return err;
	ml_escape(shown, sizeof(shown), e->name, e->name_len);
	if (ml_load16(b + 8) & ENCRYPTED)
		return ml_fail(diag, ML_EFORMAT, at,
			"entry '%s' is encrypted", shown);
	if (ml_load16(b + 34) != 0 && ml_load16(b + 34) != FULL16)
		return ml_fail(diag, ML_EFORMAT, at,
			"entry '%s' is on another disk", shown);
	e->method = ml_load16(b + 10);
	e->clen = ml_load32(b + 20);
	e->len = ml_load32(b + 24);
	e->off = ml_load32(b + 42);
	err = extra(s, at + DIR + e->name_len, nx, v, 3, diag);
	if (err)
		return err;
	if (e->method == ML_PKZIP_STORED && e->clen != e->len)
		return ml_fail(diag, ML_EFORMAT, at,
			"entry '%s' of %llu bytes is stored in %llu", shown,
			(ull)e->len, (ull)e->clen);
	if (!ml_add_ok(e->off, z->start, &e->off) || e->off > w->at)
		return ml_fail(diag, ML_EFORMAT, at,
			"entry '%s' begins beyond the directory", shown);
	*pos = at + DIR + e->name_len + nx + nc;
	return ML_OK;
}

/* Whether s has the n bytes of name at off. */
static int same_name(struct ml_src *s, uint64_t off, const char *name,
	size_t n, int *same, struct ml_diag *diag)
{
	char b[256];
	size_t k;
	int err = ML_OK;

	for (*same = 1; !err && *same && n > 0; n -= k, name += k, off += k) {
		k = n < sizeof(b) ? n : sizeof(b);
		err = ml_src_read(s, off, b, k, diag);
		*same = !err && memcmp(b, name, k) == 0;
	}
	return err;
}

/* Compares an entry with its local header, which must be at `from` or behind
 * and end, with the bytes, at `end` or before, and moves it to its bytes. */
static int read_local(struct ml_pkzip_entry *e, struct ml_src *s,
	uint64_t from, uint64_t end, struct ml_diag *diag)
{
	uint64_t len, clen, *const v[] = {&len, &clen};
	const uint64_t at = e->off;
	const char *what;
	char shown[SHOWN];
	uint8_t b[LOCAL];
	uint64_t head;
	int err, same;

	ml_escape(shown, sizeof(shown), e->name, e->name_len);
	what = "overlaps another";
	if (at < from)
		goto bad;
	what = "overlaps the directory";
	if (end - at < LOCAL)
		goto bad;
	err = ml_src_read(s, at, b, LOCAL, diag);
	if (err)
		return err;
	head = LOCAL + (uint64_t)ml_load16(b + 26) + ml_load16(b + 28);
	what = "is not where the directory says";
	if (ml_load32(b) != LOCAL_SIG)
		goto bad;
	what = "overlaps the directory";
	if (end - at < head || end - at - head < e->clen)
		goto bad;
	what = "has another name in the directory";
	if (ml_load16(b + 26) != e->name_len)
		goto bad;
	err = same_name(s, at + LOCAL, e->name, e->name_len, &same, diag);
	if (err)
		return err;
	if (!same)
		goto bad;
	what = "is encrypted";
	if (ml_load16(b + 6) & ENCRYPTED)
		goto bad;
	what = "has another method in the directory";
	if (ml_load16(b + 8) != e->method)
		goto bad;
	clen = ml_load32(b + 18);
	len = ml_load32(b + 22);
	err = extra(s, at + LOCAL + e->name_len, ml_load16(b + 28), v, 2,
		diag);
	if (err)
		return err;
	what = "has another size in the directory";
	if (!(ml_load16(b + 6) & SIZES_LATER) &&
		(clen != e->clen || len != e->len))
		goto bad;
	e->off = at + head;
	return ML_OK;
bad:
	return ml_fail(diag, ML_EFORMAT, at, "entry '%s' %s", shown, what);
}

/* ===== the whole ======================================================== */

static int by_offset(const void *pa, const void *pb)
{
	const struct ml_pkzip_entry *a = pa, *b = pb;

	return (a->off > b->off) - (a->off < b->off);
}

/* The order of names: a shorter one before what it begins. */
static int cmp(const char *a, size_t na, const char *b, size_t nb)
{
	const int c = memcmp(a, b, na < nb ? na : nb);

	return c ? c : (na > nb) - (na < nb);
}

struct named {
	const struct ml_pkzip_entry *e;
	size_t i;
};

static int by_name(const void *pa, const void *pb)
{
	const struct named *a = pa, *b = pb;
	const int c = cmp(a->e->name, a->e->name_len, b->e->name,
		b->e->name_len);

	return c ? c : (a->i > b->i) - (a->i < b->i);
}

static int sort_names(struct ml_pkzip *z, struct ml_diag *diag)
{
	struct named *v = malloc((z->n + 1) * sizeof(*v));
	size_t i;

	z->by_name = malloc((z->n + 1) * sizeof(*z->by_name));
	if (!v || !z->by_name) {
		free(v);
		return no_memory(diag);
	}
	for (i = 0; i < z->n; i++) {
		v[i].e = &z->entry[i];
		v[i].i = i;
	}
	qsort(v, z->n, sizeof(*v), by_name);
	for (i = 0; i < z->n; i++)
		z->by_name[i] = v[i].i;
	free(v);
	return ML_OK;
}

static void drop_folders(struct ml_pkzip *z)
{
	size_t i, n = 0;

	for (i = 0; i < z->n; i++) {
		struct ml_pkzip_entry *e = &z->entry[i];

		if (e->name_len > 0 && e->name[e->name_len - 1] == '/')
			free(e->name);
		else
			z->entry[n++] = *e;
	}
	z->n = n;
}

int ml_pkzip_read(struct ml_pkzip *z, struct ml_src *s, struct ml_diag *diag)
{
	struct where w = {0};
	uint64_t pos;
	size_t i;
	int err;

	memset(z, 0, sizeof(*z));
	err = find_directory(&w, s, &z->start, diag);
	if (err)
		return err;
	z->entry = calloc((size_t)w.n + 1, sizeof(*z->entry));
	if (!z->entry)
		return no_memory(diag);
	pos = w.at;
	while (!err && z->n < w.n)
		err = read_entry(z, s, &w, &pos, diag);
	if (err)
		return err;
	if (pos != w.end)
		return ml_fail(diag, ML_EFORMAT, pos,
			"directory goes on behind its %llu entries",
			(ull)w.n);
	qsort(z->entry, z->n, sizeof(*z->entry), by_offset);
	pos = z->start;
	for (i = 0; i < z->n; i++) {
		err = read_local(&z->entry[i], s, pos, w.at, diag);
		if (err)
			return err;
		pos = z->entry[i].off + z->entry[i].clen;
	}
	drop_folders(z);
	return sort_names(z, diag);
}

void ml_pkzip_free(struct ml_pkzip *z)
{
	size_t i;

	for (i = 0; i < z->n; i++)
		free(z->entry[i].name);
	free(z->entry);
	free(z->by_name);
	memset(z, 0, sizeof(*z));
}

const struct ml_pkzip_entry *ml_pkzip_find(
	const struct ml_pkzip *z, const char *name)
{
	const size_t n = strlen(name);
	const struct ml_pkzip_entry *e, *found = NULL;
	size_t lo = 0, hi = z->n, mid;
	int c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		e = &z->entry[z->by_name[mid]];
		c = cmp(e->name, e->name_len, name, n);
		if (c == 0)
			found = e; /* perhaps another one behind it */
		if (c <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return found;
}
