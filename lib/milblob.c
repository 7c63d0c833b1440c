/* SPDX-License-Identifier: MIT */
/*
 * Core ML's weights/weight.bin, "MIL Blob Storage" of version 2: a header and
 * then blobs, each with 64 bytes about it before its data, all aligned to 64.
 * The format is described in mlmodel/src/MILBlob/Blob/StorageFormat.hpp and
 * BlobDataType.hpp of https://github.com/apple/coremltools.
 *
 * Names and shapes are in the program beside it, so that a blob is a vector
 * with a number.
 */
#include "bytes.h"
#include "ml.h"

#define VERSION 2
#define SENTINEL 0xdeadbeef
#define ALIGN 64 /* and bytes of the header and of what is said of a blob */

/* Bits of an element and the type; those of 1, 2, 3 and 6 bits have none
 * here and stay opaque. */
static const struct {
	uint8_t bits, dtype;
} types[] = {
	{0, 0}, {16, ML_DT_F16}, {32, ML_DT_F32}, {8, ML_DT_U8}, {8, ML_DT_I8},
	{16, ML_DT_BF16}, {16, ML_DT_I16}, {16, ML_DT_U16}, {4, ML_DT_I4},
	{0, 0}, {0, 0}, {4, ML_DT_U4}, {0, 0}, {0, 0}, {32, ML_DT_I32},
	{32, ML_DT_U32}, {8, ML_DT_F8_E4M3}, {8, ML_DT_F8_E5M2},
};

/* Bits of the last byte that belong to no element. */
static uint64_t padding(const uint8_t *meta, unsigned bits)
{
	return bits < 8 ? ml_load64(meta + 24) : 0;
}

/* The blob at *pos; moves *pos behind it. */
static int blob(struct ml_src *s, struct ml_model *m, uint32_t i,
	uint64_t *pos, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	uint8_t meta[ALIGN];
	uint64_t off, len, n;
	uint32_t type;
	char name[24];
	unsigned bits;
	int k, err;

	err = ml_src_read(s, *pos, meta, sizeof(meta), diag);
	if (err)
		return err;
	if (ml_load32(meta) != SENTINEL)
		return ml_fail(diag, ML_EFORMAT, *pos,
			"blob %u is not where it should be", (unsigned)i);
	type = ml_load32(meta + 4);
	len = ml_load64(meta + 8);
	off = ml_load64(meta + 16);
	if (off < *pos + ALIGN || off > size || len > size - off)
		return ml_fail(diag, ML_EFORMAT, *pos,
			"blob %u of %llu bytes at %llu leaves its place",
			(unsigned)i, (unsigned long long)len,
			(unsigned long long)off);
	*pos = off + len;
	if (*pos % ALIGN != 0)
		*pos += ALIGN - *pos % ALIGN;
	if (type >= sizeof(types) / sizeof(types[0]) || types[type].bits == 0)
		return ML_OK;
	bits = types[type].bits;
	n = padding(meta, bits);
	if (n >= 8 || (n > 0 && len == 0) || n % bits != 0 ||
		len % ((bits + 7) / 8) != 0)
		return ml_fail(diag, ML_EFORMAT, off,
			"blob %u of %llu bytes is not of whole elements",
			(unsigned)i, (unsigned long long)len);
	n = bits < 8 ? len * (8 / bits) - n / bits : len / (bits / 8);
	k = snprintf(name, sizeof(name), "blob %u", (unsigned)i);
	return ml_model_add(m, name, (size_t)k, types[type].dtype, 1, &n, off,
		len, diag);
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	uint64_t pos = ALIGN;
	uint8_t head[ALIGN];
	uint32_t i, n;
	int err;

	err = ml_src_read(s, 0, head, sizeof(head), diag);
	if (err)
		return err;
	n = ml_load32(head);
	if (ml_load32(head + 4) != VERSION)
		return ml_fail(diag, ML_EVERSION, 4,
			"blob storage of version %u, not %d",
			(unsigned)ml_load32(head + 4), VERSION);
	if (n > (size - ALIGN) / ALIGN)
		return ml_fail(diag, ML_ETRUNC, 0,
			"%u blobs, but the file has %llu bytes", (unsigned)n,
			(unsigned long long)size);
	for (i = 0; !err && i < n; i++)
		err = blob(s, m, i, &pos, diag);
	return err;
}

static int probe(const uint8_t *head, size_t n)
{
	return n >= 2 * ALIGN && ml_load32(head) > 0 &&
		ml_load32(head + 4) == VERSION &&
		ml_load32(head + ALIGN) == SENTINEL;
}

const struct ml_reader ml_reader_milblob = {
	ML_MILBLOB, "milblob", probe, walk,
};
