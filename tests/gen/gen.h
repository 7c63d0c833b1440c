/* SPDX-License-Identifier: MIT */
/*
 * mlgen makes small real models for the tests: a network that is trained
 * here, so that a clone needs no download. All that it writes is a function
 * of its arguments: own random numbers, sums in a fixed order (compile with
 * -ffp-contract=off), nothing from the clock or the environment.
 *
 * Unlike the library it trusts its input, which it wrote itself, and ends
 * the program when something is wrong.
 */
#ifndef GEN_H
#define GEN_H

#include <stddef.h>
#include <stdint.h>

/* ===== bytes ============================================================ */

struct gen_buf {
	uint8_t *p;
	size_t n, cap;
};

_Noreturn void gen_die(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
void *gen_alloc(size_t n, size_t size); /* zeroed */
void gen_put(struct gen_buf *b, const void *p, size_t n);
void gen_put_text(struct gen_buf *b, const char *text);
void gen_put_le(struct gen_buf *b, uint64_t v, unsigned bytes);
void gen_pad(struct gen_buf *b, size_t align);
void gen_buf_free(struct gen_buf *b);
void gen_store_le(uint8_t *p, uint64_t v, unsigned bytes);
uint64_t gen_load_le(const uint8_t *p, unsigned bytes);
void gen_save(const char *path, const struct gen_buf *b);

/* ===== random numbers =================================================== */

struct gen_rng {
	uint64_t s; /* splitmix64 */
};

uint64_t gen_u64(struct gen_rng *r);
unsigned gen_below(struct gen_rng *r, unsigned n);
float gen_uniform(struct gen_rng *r); /* [0, 1) */
float gen_normal(struct gen_rng *r); /* a sum of uniforms: |x| < 6 */

/* ===== a model ========================================================== */

enum gen_dtype { GEN_F32, GEN_F16, GEN_BF16 };

#define GEN_TENSORS 64
#define GEN_RANK 4

struct gen_tensor {
	char name[64];
	enum gen_dtype dtype;
	unsigned rank;
	size_t shape[GEN_RANK];
	size_t n; /* elements */
	uint8_t *data; /* as in the file */
};

struct gen_model {
	struct gen_tensor t[GEN_TENSORS];
	size_t n;
};

uint32_t gen_float_bits(float f);
uint16_t gen_f16(float f); /* nearest, ties to even */
float gen_f16_value(uint16_t h);
uint16_t gen_bf16(float f); /* nearest, ties to even */
unsigned gen_dtype_size(enum gen_dtype d);
float gen_get(const struct gen_tensor *t, size_t i);
void gen_set(struct gen_tensor *t, size_t i, float f);
/* Puts a tensor of zeros before tensor `at`. */
struct gen_tensor *gen_add(struct gen_model *m, size_t at, const char *name,
	enum gen_dtype dtype, size_t rows, size_t cols); /* cols 0: rank 1 */
void gen_cast(struct gen_model *m, enum gen_dtype dtype);
void gen_load(struct gen_model *m, const char *path); /* safetensors */
void gen_write_safetensors(const struct gen_model *m, const char *path);
void gen_model_free(struct gen_model *m);

/* ===== the network ====================================================== */

#define GEN_LAYERS 8

/* A dense layer: NAME.weight, rows x cols, and NAME.bias. */
struct gen_layer {
	size_t weight, bias; /* numbers of tensors */
	size_t in, out;
	float peak; /* the largest output, by gen_calibrate */
};

struct gen_fit {
	uint64_t seed;
	unsigned steps;
	float rate;
	int shifted; /* the task of the fine-tuned model */
	int head; /* only the last layer learns */
	int verbose;
};

void gen_new_net(struct gen_model *m, uint64_t seed);
/* The layers that feed each other; returns how many. */
size_t gen_layers(const struct gen_model *m, struct gen_layer l[GEN_LAYERS]);
void gen_train(struct gen_model *m, const struct gen_fit *fit);
void gen_calibrate(const struct gen_model *m, struct gen_layer *l, size_t n);

/* ===== what is written ================================================== */

enum gen_quant { GEN_PLAIN, GEN_Q8_0, GEN_Q4_0, GEN_INT8 };

void gen_write_gguf(const struct gen_model *m, enum gen_quant q,
	const char *path);
void gen_write_onnx(const struct gen_model *m, enum gen_quant q,
	const char *path);
void gen_write_tflite(const struct gen_model *m, enum gen_quant q,
	const char *path);
/* Symmetric int8, one scale a row. */
void gen_int8(const struct gen_tensor *t, int8_t *q, float *scale);

/* A change of the kind `name`; ends the program when it is unknown. */
void gen_edit(struct gen_model *m, const char *name);
void gen_big(const char *path, uint64_t bytes, uint64_t seed, int step);

#endif
