/* SPDX-License-Identifier: MIT */
#include "container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_container("milblob", data, size);
	return 0;
}
