/* SPDX-License-Identifier: MIT */
/* What tests of container readers share: a file under construction, and what
 * a reader makes of it. */
#ifndef BUILD_H
#define BUILD_H

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "ml.h"
#include "test.h"

#define BUILD_MAX 200000

struct file {
	size_t n;
	uint8_t p[BUILD_MAX];
};

static inline void put(struct file *f, const void *p, size_t n)
{
	CHECK(n <= BUILD_MAX - f->n);
	if (n > BUILD_MAX - f->n)
		exit(1);
	if (n > 0)
		memcpy(f->p + f->n, p, n);
	f->n += n;
}

static inline void fill(struct file *f, int c, size_t n)
{
	CHECK(n <= BUILD_MAX - f->n);
	if (n > BUILD_MAX - f->n)
		exit(1);
	memset(f->p + f->n, c, n);
	f->n += n;
}

static inline void put16(struct file *f, unsigned v)
{
	uint8_t b[2];

	ml_store16(b, v);
	put(f, b, sizeof(b));
}

static inline void put32(struct file *f, uint32_t v)
{
	uint8_t b[4];

	ml_store32(b, v);
	put(f, b, sizeof(b));
}

static inline void put64(struct file *f, uint64_t v)
{
	uint8_t b[8];

	ml_store64(b, v);
	put(f, b, sizeof(b));
}

static inline void slurp(struct file *f, const char *path)
{
	FILE *in = fopen(path, "rb");

	CHECK(in != NULL);
	f->n = 0;
	if (!in)
		return;
	f->n = fread(f->p, 1, BUILD_MAX, in);
	CHECK(f->n > 0 && f->n < BUILD_MAX);
	fclose(in);
}

/* Reads by the reader of that name, or by content when it is NULL; m is to be
 * freed whatever comes of it. */
static inline int load(struct ml_model *m, const void *p, size_t n,
	const char *format, struct ml_diag *diag)
{
	struct ml_src *s;
	int err;

	memset(diag, 0, sizeof(*diag));
	ml_model_init(m);
	err = ml_src_spool(&s, diag);
	if (err)
		return err;
	err = ml_src_append(s, p, n, diag);
	if (!err)
		err = ml_model_read(m, s, format, diag);
	if (err) {
		CHECK(diag->why[0] != '\0');
		CHECK(m->nspan == 0);
	}
	ml_src_free(s);
	return err;
}

/* What loading gives, and nothing else of it. */
static inline int verdict(const struct file *f, const char *format)
{
	struct ml_diag diag;
	struct ml_model m;
	int err = load(&m, f->p, f->n, format, &diag);

	ml_model_free(&m);
	return err;
}

static inline size_t tensors(const struct ml_model *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->nspan; i++)
		n += m->span[i].kind == ML_TENSOR;
	return n;
}

static inline const struct ml_span *find(
	const struct ml_model *m, const char *name)
{
	const size_t n = strlen(name);
	size_t i;

	for (i = 0; i < m->nspan; i++)
		if (m->span[i].kind == ML_TENSOR && m->span[i].name_len == n &&
			memcmp(m->span[i].name, name, n) == 0)
			return &m->span[i];
	return NULL;
}

/* Whether there is such a tensor; d1 0: of one dimension. */
static inline int has(const struct ml_model *m, const char *name,
	unsigned dtype, uint64_t d0, uint64_t d1)
{
	const struct ml_span *sp = find(m, name);

	return sp && sp->dtype == dtype && sp->rank == (d1 ? 2 : 1) &&
		sp->shape[0] == d0 && (!d1 || sp->shape[1] == d1);
}

/* Every truncation and every flipped bit ends in a verdict; says how many
 * truncations and flips were read without a complaint. */
static inline void damage(const struct file *f, const char *format,
	size_t *cuts, size_t *flips)
{
	uint8_t *p = malloc(f->n + 1);
	struct ml_diag diag;
	struct ml_model m;
	size_t i;

	*cuts = *flips = 0;
	CHECK(p != NULL);
	if (!p)
		return;
	memcpy(p, f->p, f->n);
	for (i = 0; i < f->n; i++) {
		*cuts += load(&m, p, i, format, &diag) == ML_OK;
		ml_model_free(&m);
	}
	for (i = 0; i < 8 * f->n; i++) {
		p[i / 8] ^= (uint8_t)(1u << i % 8);
		*flips += load(&m, p, f->n, format, &diag) == ML_OK;
		ml_model_free(&m);
		p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	free(p);
}

/* A .npy of version 1.0, without padding. */
static inline void put_npy(struct file *f, const char *header, size_t data)
{
	put(f, "\x93NUMPY\1\0", 8);
	put16(f, (unsigned)strlen(header));
	put(f, header, strlen(header));
	fill(f, 'd', data);
}

#endif
