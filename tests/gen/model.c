/* SPDX-License-Identifier: MIT */
/* Bytes, random numbers, small floats, and models in safetensors. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

/* ===== bytes ============================================================ */

void gen_die(const char *fmt, ...)
{
	va_list ap;

	fputs("mlgen: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

void *gen_alloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (p == NULL)
		gen_die("out of memory");
	return p;
}

void gen_put(struct gen_buf *b, const void *p, size_t n)
{
	if (n > b->cap - b->n) {
		b->cap = (b->n + n) * 2;
		b->p = realloc(b->p, b->cap);
		if (b->p == NULL)
			gen_die("out of memory");
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void gen_put_text(struct gen_buf *b, const char *text)
{
	gen_put(b, text, strlen(text));
}

void gen_store_le(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

uint64_t gen_load_le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

void gen_put_le(struct gen_buf *b, uint64_t v, unsigned bytes)
{
	uint8_t p[8];

	gen_store_le(p, v, bytes);
	gen_put(b, p, bytes);
}

void gen_pad(struct gen_buf *b, size_t align)
{
	while (b->n % align != 0)
		gen_put(b, "", 1);
}

void gen_buf_free(struct gen_buf *b)
{
	free(b->p);
	memset(b, 0, sizeof *b);
}

void gen_save(const char *path, const struct gen_buf *b)
{
	FILE *f = fopen(path, "wb");

	if (f == NULL)
		gen_die("%s: %s", path, strerror(errno));
	if (fwrite(b->p, 1, b->n, f) != b->n || fclose(f) != 0)
		gen_die("%s: %s", path, strerror(errno));
}

/* ===== random numbers =================================================== */

uint64_t gen_u64(struct gen_rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned gen_below(struct gen_rng *r, unsigned n)
{
	return (unsigned)((gen_u64(r) >> 32) * n >> 32);
}

float gen_uniform(struct gen_rng *r)
{
	return (float)(gen_u64(r) >> 40) * 0x1p-24f;
}

/* Twelve 16-bit uniforms have variance 1 and need no libm. */
float gen_normal(struct gen_rng *r)
{
	int64_t sum = -6 * 65535;

	for (int i = 0; i < 3; i++) {
		uint64_t u = gen_u64(r);

		sum += (int64_t)((u & 0xffff) + (u >> 16 & 0xffff) +
			(u >> 32 & 0xffff) + (u >> 48));
	}
	return (float)sum * 0x1p-16f;
}

/* ===== small floats ===================================================== */

uint32_t gen_float_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

static float bits_float(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

uint16_t gen_bf16(float f)
{
	uint32_t u = gen_float_bits(f);

	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

uint16_t gen_f16(float f)
{
	uint32_t u = gen_float_bits(f), sign = u >> 16 & 0x8000;
	float a = fabsf(f);

	if (a >= 65520.0f)
		return (uint16_t)(sign | 0x7c00);
	if (a < 0x1p-14f) /* subnormal: units of 2^-24 */
		return (uint16_t)(sign | (uint32_t)rintf(a * 0x1p24f));
	u &= 0x7fffffff;
	u += 0xfff + (u >> 13 & 1);
	return (uint16_t)(sign | ((u >> 13) - (112 << 10)));
}

float gen_f16_value(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7fff;

	if (mag < 0x400) {
		float f = (float)mag * 0x1p-24f;

		return sign ? -f : f;
	}
	return bits_float(sign | ((mag + (112 << 10)) << 13));
}

unsigned gen_dtype_size(enum gen_dtype d)
{
	return d == GEN_F32 ? 4 : 2;
}

float gen_get(const struct gen_tensor *t, size_t i)
{
	unsigned size = gen_dtype_size(t->dtype);
	uint32_t u = (uint32_t)gen_load_le(t->data + i * size, size);

	if (t->dtype == GEN_F16)
		return gen_f16_value((uint16_t)u);
	return bits_float(t->dtype == GEN_BF16 ? u << 16 : u);
}

void gen_set(struct gen_tensor *t, size_t i, float f)
{
	unsigned size = gen_dtype_size(t->dtype);
	uint32_t u = gen_float_bits(f);

	if (t->dtype == GEN_F16)
		u = gen_f16(f);
	else if (t->dtype == GEN_BF16)
		u = gen_bf16(f);
	gen_store_le(t->data + i * size, u, size);
}

/* ===== a model ========================================================== */

struct gen_tensor *gen_add(struct gen_model *m, size_t at, const char *name,
	enum gen_dtype dtype, size_t rows, size_t cols)
{
	struct gen_tensor *t = &m->t[at];

	if (m->n == GEN_TENSORS || strlen(name) >= sizeof t->name)
		gen_die("too many tensors, or a long name");
	memmove(t + 1, t, (m->n - at) * sizeof *t);
	m->n++;
	memset(t, 0, sizeof *t);
	memcpy(t->name, name, strlen(name) + 1);
	t->dtype = dtype;
	t->rank = cols ? 2 : 1;
	t->shape[0] = rows;
	t->shape[1] = cols;
	t->n = cols ? rows * cols : rows;
	t->data = gen_alloc(t->n, gen_dtype_size(dtype));
	return t;
}

void gen_cast(struct gen_model *m, enum gen_dtype dtype)
{
	for (size_t i = 0; i < m->n; i++) {
		struct gen_tensor old = m->t[i], *t = &m->t[i];

		t->dtype = dtype;
		t->data = gen_alloc(t->n, gen_dtype_size(dtype));
		for (size_t j = 0; j < t->n; j++)
			gen_set(t, j, gen_get(&old, j));
		free(old.data);
	}
}

void gen_model_free(struct gen_model *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->t[i].data);
	m->n = 0;
}

/* ===== safetensors ====================================================== */

static const char *const dtype_name[] = { "F32", "F16", "BF16" };

void gen_write_safetensors(const struct gen_model *m, const char *path)
{
	struct gen_buf head = { 0 }, out = { 0 };
	size_t off = 0;
	char text[256];

	gen_put_text(&head, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (size_t i = 0; i < m->n; i++) {
		const struct gen_tensor *t = &m->t[i];
		size_t len = t->n * gen_dtype_size(t->dtype);

		snprintf(text, sizeof text, ",\"%s\":{\"dtype\":\"%s\","
			"\"shape\":[", t->name, dtype_name[t->dtype]);
		gen_put_text(&head, text);
		for (unsigned d = 0; d < t->rank; d++) {
			snprintf(text, sizeof text, "%s%zu", d ? "," : "",
				t->shape[d]);
			gen_put_text(&head, text);
		}
		snprintf(text, sizeof text, "],\"data_offsets\":[%zu,%zu]}",
			off, off + len);
		gen_put_text(&head, text);
		off += len;
	}
	gen_put_text(&head, "}");
	while (head.n % 8 != 0)
		gen_put_text(&head, " ");

	gen_put_le(&out, head.n, 8);
	gen_put(&out, head.p, head.n);
	for (size_t i = 0; i < m->n; i++)
		gen_put(&out, m->t[i].data,
			m->t[i].n * gen_dtype_size(m->t[i].dtype));
	gen_save(path, &out);
	gen_buf_free(&head);
	gen_buf_free(&out);
}

static uint8_t *read_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	struct gen_buf b = { 0 };
	uint8_t part[4096];
	size_t got;

	if (f == NULL)
		gen_die("%s: %s", path, strerror(errno));
	while ((got = fread(part, 1, sizeof part, f)) > 0)
		gen_put(&b, part, got);
	if (ferror(f))
		gen_die("%s: %s", path, strerror(errno));
	fclose(f);
	*n = b.n;
	return b.p;
}

/* Reads one tensor's entry of the header, which is as written above. */
static const char *load_tensor(struct gen_model *m, const char *p,
	const uint8_t *data, size_t size, const char *path)
{
	size_t shape[GEN_RANK] = { 0 }, begin, end, n = 1;
	unsigned rank = 0;
	char name[64], dtype[8];
	int used = 0;
	struct gen_tensor *t;

	if (sscanf(p, ",\"%63[^\"]\":{\"dtype\":\"%7[^\"]\",\"shape\":[%n",
		name, dtype, &used) != 2 || used == 0)
		gen_die("%s: not a header that mlgen wrote", path);
	p += used;
	while (*p != ']' && rank < GEN_RANK) {
		char *next;

		shape[rank] = strtoul(p, &next, 10);
		n *= shape[rank++];
		p = *next == ',' ? next + 1 : next;
	}
	used = 0;
	if (sscanf(p, "],\"data_offsets\":[%zu,%zu]}%n", &begin, &end,
		&used) != 2 || used == 0)
		gen_die("%s: no offsets of tensor '%s'", path, name);

	t = gen_add(m, m->n, name, GEN_F32, n, 0);
	for (int d = 0; d < 3; d++)
		if (strcmp(dtype, dtype_name[d]) == 0)
			t->dtype = (enum gen_dtype)d;
	t->rank = rank;
	memcpy(t->shape, shape, sizeof shape);
	n *= gen_dtype_size(t->dtype);
	if (begin > end || end > size || end - begin != n)
		gen_die("%s: wrong offsets of tensor '%s'", path, name);
	memcpy(t->data, data + begin, n);
	return p + used;
}

void gen_load(struct gen_model *m, const char *path)
{
	static const char first[] = "{\"__metadata__\":{\"format\":\"pt\"}";
	size_t n, head = 0;
	uint8_t *b = read_file(path, &n);
	const char *p;
	char *text;

	if (n >= 8)
		head = (size_t)gen_load_le(b, 8);
	if (n < 8 || head > n - 8)
		gen_die("%s: not safetensors", path);
	text = gen_alloc(head + 1, 1);
	memcpy(text, b + 8, head);
	p = text;
	if (strncmp(p, first, strlen(first)) != 0)
		gen_die("%s: not a file that mlgen wrote", path);
	p += strlen(first);
	m->n = 0;
	while (*p == ',')
		p = load_tensor(m, p, b + 8 + head, n - 8 - head, path);
	free(text);
	free(b);
}
