/* SPDX-License-Identifier: MIT */
#include "fast.h"

const struct ml_fast_code *ml_fast_code_neon(void)
{
	return NULL;
}
