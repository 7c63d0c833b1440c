/* SPDX-License-Identifier: MIT */
/* Element types and the blocks they come in. The GGML block sizes are those
 * of the block structures in ggml-common.h and the type table of ggml.c. */
#include <string.h>

#include "ml.h"

#define G(n) (ML_DT_GGML + (n))

/* Ascending by id, for the binary search. */
static const struct ml_dtype_info table[] = {
	{ML_DT_OPAQUE, "opaque", 1, 1},
	{ML_DT_U8, "u8", 1, 1},
	{ML_DT_I8, "i8", 1, 1},
	{ML_DT_U16, "u16", 2, 1},
	{ML_DT_I16, "i16", 2, 1},
	{ML_DT_U32, "u32", 4, 1},
	{ML_DT_I32, "i32", 4, 1},
	{ML_DT_U64, "u64", 8, 1},
	{ML_DT_I64, "i64", 8, 1},
	{ML_DT_F16, "f16", 2, 1},
	{ML_DT_BF16, "bf16", 2, 1},
	{ML_DT_F32, "f32", 4, 1},
	{ML_DT_F64, "f64", 8, 1},
	{ML_DT_F8_E4M3, "f8_e4m3", 1, 1},
	{ML_DT_F8_E5M2, "f8_e5m2", 1, 1},
	{ML_DT_BOOL, "bool", 1, 1},
	{ML_DT_C64, "c64", 8, 1},
	{ML_DT_C128, "c128", 16, 1},
	{ML_DT_U4, "u4", 1, 2},
	{ML_DT_I4, "i4", 1, 2},
	{ML_DT_F8_E4M3FNUZ, "f8_e4m3fnuz", 1, 1},
	{ML_DT_F8_E5M2FNUZ, "f8_e5m2fnuz", 1, 1},
	{ML_DT_F8_E8M0, "f8_e8m0", 1, 1},
	{ML_DT_F4_E2M1, "f4_e2m1", 1, 2},
	{ML_DT_STRING, "string", 0, 0},
	{G(0), "ggml_f32", 4, 1},
	{G(1), "ggml_f16", 2, 1},
	{G(2), "q4_0", 18, 32},
	{G(3), "q4_1", 20, 32},
	{G(6), "q5_0", 22, 32},
	{G(7), "q5_1", 24, 32},
	{G(8), "q8_0", 34, 32},
	{G(9), "q8_1", 36, 32},
	{G(10), "q2_K", 84, 256},
	{G(11), "q3_K", 110, 256},
	{G(12), "q4_K", 144, 256},
	{G(13), "q5_K", 176, 256},
	{G(14), "q6_K", 210, 256},
	{G(15), "q8_K", 292, 256},
	{G(16), "iq2_xxs", 66, 256},
	{G(17), "iq2_xs", 74, 256},
	{G(18), "iq3_xxs", 98, 256},
	{G(19), "iq1_s", 50, 256},
	{G(20), "iq4_nl", 18, 32},
	{G(21), "iq3_s", 110, 256},
	{G(22), "iq2_s", 82, 256},
	{G(23), "iq4_xs", 136, 256},
	{G(24), "ggml_i8", 1, 1},
	{G(25), "ggml_i16", 2, 1},
	{G(26), "ggml_i32", 4, 1},
	{G(27), "ggml_i64", 8, 1},
	{G(28), "ggml_f64", 8, 1},
	{G(29), "iq1_m", 56, 256},
	{G(30), "ggml_bf16", 2, 1},
	{G(34), "tq1_0", 54, 256},
	{G(35), "tq2_0", 66, 256},
	{G(39), "mxfp4", 17, 32},
	{G(40), "nvfp4", 36, 64},
};

#define COUNT (sizeof(table) / sizeof(table[0]))

const struct ml_dtype_info *ml_dtype_find(unsigned id)
{
	size_t lo = 0, hi = COUNT;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (table[mid].id == id)
			return &table[mid];
		if (table[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct ml_dtype_info *ml_dtype_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < COUNT; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}
