/* SPDX-License-Identifier: MIT */
/* Plain operations: reading and writing them, and which element type of the
 * patch serves which dtype. */
#include "elem.h"
#include "ops.h"

size_t ml_put_varint(uint8_t *dst, uint64_t v)
{
	size_t n = 0;

	for (; v > 127; v >>= 7)
		dst[n++] = (uint8_t)(v | 128);
	dst[n++] = (uint8_t)v;
	return n;
}

static int get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	unsigned shift;

	for (*v = 0, shift = 0; *p < end && shift < 63; shift += 7) {
		uint8_t b = *(*p)++;

		*v |= (uint64_t)(b & 127) << shift;
		if (b < 128)
			return b || !shift;
	}
	return 0;
}

int ml_op_read(const uint8_t **p, const uint8_t *end, struct ml_op_view *v,
	struct ml_diag *diag)
{
	const uint8_t *q = *p;
	unsigned unit = 1, from = 0;

	v->type = 0;
	v->arg = 0;
	v->data = NULL;
	if (q == end)
		return ml_fail(diag, ML_ETRUNC, ML_NOWHERE,
			"operation cut off");
	v->op = *q++;
	if (v->op > ML_OP_ALONE)
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"unknown operation %u", v->op);
	if (v->op == ML_OP_DIFF || v->op == ML_OP_ALONE) {
		v->type = q < end ? *q++ : ML_NTYPE;
		if (v->type == ML_TYPE_CROSS && v->op == ML_OP_DIFF && q < end)
			v->type = ML_TYPE_CROSSED | *q++;
		if (ml_type_crossed(v->type) ? !ml_cross_known(v->type) :
			v->type >= ML_NTYPE)
			return ml_fail_newer(
				diag, ML_NOWHERE, "unknown element type");
		unit = ml_type_bytes(v->type);
		from = v->op == ML_OP_DIFF ? ml_type_base(v->type) : 0;
	}
	if (!get_varint(&q, end, &v->n) || !v->n ||
		v->n > (UINT64_C(1) << 62) / (from > unit ? from : unit))
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"bad length of an operation");
	v->bytes = v->n * unit;
	v->from = v->n * from;
	if (v->op != ML_OP_LIT && v->op != ML_OP_ALONE &&
		!get_varint(&q, end, &v->arg))
		return ml_fail(diag, ML_EFORMAT, ML_NOWHERE,
			"bad address of an operation");
	if (v->op != ML_OP_COPY && v->op != ML_OP_SELF) {
		if ((uint64_t)(end - q) < v->bytes)
			return ml_fail(diag, ML_ETRUNC, ML_NOWHERE,
				"operation's data cut off");
		v->data = q;
		q += v->bytes;
	}
	*p = q;
	return ML_OK;
}

void ml_op_uncross(struct ml_op_view *v)
{
	if (!ml_type_crossed(v->type))
		return;
	v->op = ML_OP_ALONE;
	v->type = ML_TYPE_BLOCK + ML_CROSS_FORM(v->type);
	v->n = v->bytes / ml_type_bytes(v->type);
	v->arg = v->from = 0;
}

size_t ml_op_head(uint8_t dst[ML_OP_HEAD_MAX], unsigned op, unsigned type,
	uint64_t n, uint64_t arg)
{
	size_t k = 0;

	dst[k++] = (uint8_t)op;
	if (op == ML_OP_DIFF || op == ML_OP_ALONE)
		dst[k++] = (uint8_t)ml_type_told(type);
	if (op == ML_OP_DIFF && ml_type_crossed(type))
		dst[k++] = (uint8_t)type;
	k += ml_put_varint(dst + k, n);
	if (op != ML_OP_LIT && op != ML_OP_ALONE)
		k += ml_put_varint(dst + k, arg);
	return k;
}

unsigned ml_type_of(unsigned dtype)
{
	static const uint8_t plain[] = {
		[ML_DT_U8] = 1, [ML_DT_I8] = 1, [ML_DT_BOOL] = 1,
		[ML_DT_U16] = 2, [ML_DT_I16] = 2,
		[ML_DT_U32] = 3, [ML_DT_I32] = 3,
		[ML_DT_U64] = 4, [ML_DT_I64] = 4,
		[ML_DT_F16] = 5, [ML_DT_BF16] = 6, [ML_DT_F32] = 7,
		[ML_DT_C64] = 7, [ML_DT_F64] = 8, [ML_DT_C128] = 8,
		[ML_DT_F8_E4M3] = 9, [ML_DT_F8_E4M3FNUZ] = 9,
		[ML_DT_F8_E5M2] = 10, [ML_DT_F8_E5M2FNUZ] = 10,
		[ML_DT_F8_E8M0] = 1, [ML_DT_U4] = 11, [ML_DT_I4] = 11,
		[ML_DT_F4_E2M1] = 11
	};
	static const uint8_t ggml[] = {
		[0] = 7, [1] = 5, [2] = 50, [3] = 47, [6] = 48, [7] = 49,
		[8] = 51, [9] = 17, [10] = 46, [11] = 45, [12] = 42,
		[13] = 43, [14] = 44, [15] = 23, [16] = 25, [17] = 26,
		[18] = 28, [19] = 30, [20] = 12, [21] = 29, [22] = 27,
		[23] = 24, [24] = 1, [25] = 2, [26] = 3, [27] = 4, [28] = 8,
		[29] = 31, [30] = 6, [34] = 32, [35] = 33, [39] = 34
	};

	if (dtype < sizeof plain)
		return plain[dtype];
	if (dtype >= ML_DT_GGML && dtype - ML_DT_GGML < sizeof ggml)
		return ggml[dtype - ML_DT_GGML];
	return 0;
}
