/* SPDX-License-Identifier: MIT */
/* The JSON of a safetensors header, the only JSON that is read: the length
 * before it is always right here, so that no mutant is lost to that. 64 bytes
 * of tensors follow. */
#include "container.h"

#define DATA 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(8 + size + DATA);

	MUST(p != NULL);
	ml_store64(p, size);
	if (size > 0)
		memcpy(p + 8, data, size);
	memset(p + 8 + size, 'd', DATA);
	fuzz_container("safetensors", p, 8 + size + DATA);
	free(p);
	return 0;
}
