/* SPDX-License-Identifier: MIT */
/* GGUF version 3, as in ggml's docs/gguf.md; blocks as in ggml-quants.c. */
#include <math.h>
#include <string.h>

#include "gen.h"

#define ALIGN 32
#define BLOCK 32

enum { T_F32 = 0, T_F16 = 1, T_Q4_0 = 2, T_Q8_0 = 8, T_BF16 = 30 };
enum { KV_U32 = 4, KV_STRING = 8, KV_ARRAY = 9 };

static void put_string(struct gen_buf *b, const char *s)
{
	gen_put_le(b, strlen(s), 8);
	gen_put_text(b, s);
}

static void put_u32(struct gen_buf *b, const char *key, uint32_t v)
{
	put_string(b, key);
	gen_put_le(b, KV_U32, 4);
	gen_put_le(b, v, 4);
}

static void put_q8_0(struct gen_buf *b, const float x[BLOCK])
{
	float peak = 0, d;

	for (int i = 0; i < BLOCK; i++)
		peak = fmaxf(peak, fabsf(x[i]));
	d = peak / 127;
	gen_put_le(b, gen_f16(d), 2);
	for (int i = 0; i < BLOCK; i++) {
		float q = d > 0 ? roundf(x[i] / d) : 0;

		gen_put_le(b, (uint8_t)(int8_t)q, 1);
	}
}

static void put_q4_0(struct gen_buf *b, const float x[BLOCK])
{
	float peak = 0, d;
	uint8_t q[BLOCK];

	for (int i = 0; i < BLOCK; i++)
		if (fabsf(x[i]) > fabsf(peak))
			peak = x[i];
	d = peak / -8;
	gen_put_le(b, gen_f16(d), 2);
	for (int i = 0; i < BLOCK; i++) {
		float v = (d < 0 || d > 0 ? x[i] / d : 0) + 8.5f;

		q[i] = v > 15 ? 15 : (uint8_t)v;
	}
	for (int i = 0; i < BLOCK / 2; i++)
		gen_put_le(b, (uint64_t)(q[i] | q[i + BLOCK / 2] << 4), 1);
}

/* Matrices of whole blocks are quantised, all else stays as it is. */
static unsigned type_of(const struct gen_tensor *t, enum gen_quant q)
{
	static const unsigned plain[] = { T_F32, T_F16, T_BF16 };

	if (q != GEN_PLAIN && t->rank == 2 && t->shape[1] % BLOCK == 0)
		return q == GEN_Q8_0 ? T_Q8_0 : T_Q4_0;
	/* ggml keeps vectors in full precision */
	return t->rank == 1 || q != GEN_PLAIN ? T_F32 : plain[t->dtype];
}

static void put_tensor(struct gen_buf *b, const struct gen_tensor *t,
	unsigned type)
{
	float x[BLOCK];

	if (type == T_Q8_0 || type == T_Q4_0) {
		for (size_t i = 0; i < t->n; i += BLOCK) {
			for (size_t j = 0; j < BLOCK; j++)
				x[j] = gen_get(t, i + j);
			if (type == T_Q8_0)
				put_q8_0(b, x);
			else
				put_q4_0(b, x);
		}
	} else if (type == T_F32) {
		for (size_t i = 0; i < t->n; i++)
			gen_put_le(b, gen_float_bits(gen_get(t, i)), 4);
	} else {
		gen_put(b, t->data, 2 * t->n);
	}
}

void gen_write_gguf(const struct gen_model *m, enum gen_quant q,
	const char *path)
{
	static const char *const label[] = { "zero", "one", "two", "three",
		"four", "five", "six", "seven", "eight", "nine" };
	struct gen_buf b = { 0 }, data = { 0 };

	if (q == GEN_INT8)
		gen_die("gguf has q8_0 and q4_0, not int8");
	gen_put_text(&b, "GGUF");
	gen_put_le(&b, 3, 4);
	gen_put_le(&b, m->n, 8);
	gen_put_le(&b, 4, 8);
	put_string(&b, "general.architecture");
	gen_put_le(&b, KV_STRING, 4);
	put_string(&b, "mlp");
	put_u32(&b, "general.alignment", ALIGN);
	put_u32(&b, "general.quantization_version", 2);
	put_string(&b, "mlp.labels");
	gen_put_le(&b, KV_ARRAY, 4);
	gen_put_le(&b, KV_STRING, 4);
	gen_put_le(&b, 10, 8);
	for (int i = 0; i < 10; i++)
		put_string(&b, label[i]);

	for (size_t i = 0; i < m->n; i++) {
		const struct gen_tensor *t = &m->t[i];
		unsigned type = type_of(t, q);

		put_string(&b, t->name);
		gen_put_le(&b, t->rank, 4);
		for (unsigned d = t->rank; d-- > 0; ) /* innermost first */
			gen_put_le(&b, t->shape[d], 8);
		gen_put_le(&b, type, 4);
		gen_put_le(&b, data.n, 8);
		put_tensor(&data, t, type);
		gen_pad(&data, ALIGN);
	}
	gen_pad(&b, ALIGN);
	gen_put(&b, data.p, data.n);
	gen_save(path, &b);
	gen_buf_free(&b);
	gen_buf_free(&data);
}
