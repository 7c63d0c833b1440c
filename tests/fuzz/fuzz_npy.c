/* SPDX-License-Identifier: MIT */
#include "container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_container("npy", data, size);
	return 0;
}
