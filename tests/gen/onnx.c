/* SPDX-License-Identifier: MIT */
/* ONNX, as in onnx.proto: initialisers with raw_data, and a Gemm and a Relu
 * for every layer. Messages are built inside out, for their lengths. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

enum { T_FLOAT = 1, T_INT8 = 3, T_FLOAT16 = 10, T_BFLOAT16 = 16 };

static void put_varint(struct gen_buf *b, uint64_t v)
{
	for (; v > 127; v >>= 7)
		gen_put_le(b, (v & 127) | 128, 1);
	gen_put_le(b, v, 1);
}

static void put_int(struct gen_buf *b, unsigned field, uint64_t v)
{
	put_varint(b, field << 3);
	put_varint(b, v);
}

static void put_bytes(struct gen_buf *b, unsigned field, const void *p,
	size_t n)
{
	put_varint(b, field << 3 | 2);
	put_varint(b, n);
	gen_put(b, p, n);
}

static void put_str(struct gen_buf *b, unsigned field, const char *s)
{
	put_bytes(b, field, s, strlen(s));
}

/* Puts a message and frees it. */
static void put_msg(struct gen_buf *b, unsigned field, struct gen_buf *msg)
{
	put_bytes(b, field, msg->p, msg->n);
	gen_buf_free(msg);
}

static void put_initializer(struct gen_buf *graph, const char *name,
	const size_t *shape, unsigned rank, unsigned type, const void *p,
	size_t n)
{
	struct gen_buf t = { 0 }, dims = { 0 };

	for (unsigned d = 0; d < rank; d++)
		put_varint(&dims, shape[d]);
	put_msg(&t, 1, &dims);
	put_int(&t, 2, type);
	put_str(&t, 8, name);
	put_bytes(&t, 9, p, n);
	put_msg(graph, 5, &t);
}

static void put_attr(struct gen_buf *node, const char *name, uint64_t v)
{
	struct gen_buf a = { 0 };

	put_str(&a, 1, name);
	put_int(&a, 3, v);
	put_int(&a, 20, 2); /* INT */
	put_msg(node, 5, &a);
}

/* `in` ends with NULL. */
static void put_node(struct gen_buf *graph, const char *op,
	const char *const *in, const char *out, const char *attr)
{
	struct gen_buf node = { 0 };

	for (; *in != NULL; in++)
		put_str(&node, 1, *in);
	put_str(&node, 2, out);
	put_str(&node, 3, out);
	put_str(&node, 4, op);
	if (attr != NULL) /* transB is 1; the axis of scales is 0 */
		put_attr(&node, attr, strcmp(attr, "transB") == 0);
	put_msg(graph, 1, &node);
}

static void put_value(struct gen_buf *graph, unsigned field, const char *name,
	unsigned type, size_t width)
{
	struct gen_buf v = { 0 }, ty = { 0 }, te = { 0 }, sh = { 0 };
	struct gen_buf dim = { 0 };

	put_str(&dim, 2, "batch");
	put_msg(&sh, 1, &dim);
	put_int(&dim, 1, width);
	put_msg(&sh, 1, &dim);
	put_int(&te, 1, type);
	put_msg(&te, 2, &sh);
	put_msg(&ty, 1, &te);
	put_str(&v, 1, name);
	put_msg(&v, 2, &ty);
	put_msg(graph, field, &v);
}

/* An int8 matrix, its scales and zero points, and the node that turns it
 * back into floats under the tensor's name. */
static void put_quantised(struct gen_buf *nodes, struct gen_buf *init,
	const struct gen_tensor *t)
{
	char q[96], s[96], z[96];
	const char *in[] = { q, s, z, NULL };
	int8_t *v = gen_alloc(t->n, 1), *zero = gen_alloc(t->shape[0], 1);
	float *scale = gen_alloc(t->shape[0], sizeof *scale);
	struct gen_buf raw = { 0 };

	gen_int8(t, v, scale);
	for (size_t i = 0; i < t->shape[0]; i++)
		gen_put_le(&raw, gen_float_bits(scale[i]), 4);
	snprintf(q, sizeof q, "%s_quantized", t->name);
	snprintf(s, sizeof s, "%s_scale", t->name);
	snprintf(z, sizeof z, "%s_zero_point", t->name);
	put_initializer(init, q, t->shape, 2, T_INT8, v, t->n);
	put_initializer(init, s, t->shape, 1, T_FLOAT, raw.p, raw.n);
	put_initializer(init, z, t->shape, 1, T_INT8, zero, t->shape[0]);
	put_node(nodes, "DequantizeLinear", in, t->name, "axis");
	gen_buf_free(&raw);
	free(v);
	free(zero);
	free(scale);
}

void gen_write_onnx(const struct gen_model *m, enum gen_quant q,
	const char *path)
{
	static const unsigned types[] = { T_FLOAT, T_FLOAT16, T_BFLOAT16 };
	struct gen_layer l[GEN_LAYERS];
	size_t n = gen_layers(m, l);
	struct gen_buf out = { 0 }, graph = { 0 }, init = { 0 }, opset = { 0 };
	struct gen_model f32;
	char from[32] = "pixels", to[32];
	unsigned type = types[m->n > 0 ? m->t[0].dtype : GEN_F32];

	if (q != GEN_PLAIN && q != GEN_INT8)
		gen_die("onnx has int8, not q8_0 or q4_0");
	if (n == 0)
		gen_die("the model has no layers");
	f32.n = 0;
	for (size_t i = 0; i < m->n; i++) {
		const struct gen_tensor *t = &m->t[i];
		struct gen_tensor *c = gen_add(&f32, f32.n, t->name,
			q == GEN_INT8 ? GEN_F32 : t->dtype, t->n, 0);

		for (size_t j = 0; j < t->n; j++)
			gen_set(c, j, gen_get(t, j));
		if (q == GEN_INT8 && t->rank == 2)
			put_quantised(&graph, &init, t);
		else
			put_initializer(&init, t->name, t->shape, t->rank,
				types[c->dtype], c->data,
				c->n * gen_dtype_size(c->dtype));
	}
	if (q == GEN_INT8)
		type = T_FLOAT;

	for (size_t k = 0; k < n; k++) {
		const char *in[] = { from, m->t[l[k].weight].name,
			m->t[l[k].bias].name, NULL };
		const char *relu[] = { to, NULL };

		snprintf(to, sizeof to, "sum%zu", k + 1);
		put_node(&graph, "Gemm", in, k + 1 < n ? to : "digit",
			"transB");
		if (k + 1 < n) {
			snprintf(from, sizeof from, "hidden%zu", k + 1);
			put_node(&graph, "Relu", relu, from, NULL);
		}
	}
	put_str(&graph, 2, "digits");
	gen_put(&graph, init.p, init.n);
	put_value(&graph, 11, "pixels", type, l[0].in);
	put_value(&graph, 12, "digit", type, l[n - 1].out);

	put_int(&out, 1, 8); /* ir_version */
	put_str(&out, 2, "mlgen");
	put_msg(&out, 7, &graph);
	put_str(&opset, 1, "");
	put_int(&opset, 2, 17);
	put_msg(&out, 8, &opset);
	gen_save(path, &out);
	gen_buf_free(&out);
	gen_buf_free(&init);
	gen_model_free(&f32);
}
