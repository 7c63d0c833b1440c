/* SPDX-License-Identifier: MIT */
#include "guide.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_guide("d/m.xml", "d/m.bin", data, size);
	return 0;
}
