/* SPDX-License-Identifier: MIT */
/* ONNX with external data. */
#include "guide.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_guide("d/m.onnx", "d/w", data, size);
	return 0;
}
