/* SPDX-License-Identifier: MIT */
/* The simulated flash must be as hard as a real one. */
#include <string.h>

#include "flash/nor.h"
#include "test.h"

enum { SIZE = 1024, BLOCK = 128, UNIT = 8 };

static uint8_t mem[SIZE];
static uint32_t wear[SIZE / BLOCK];

static void fresh(struct ml_nor *f)
{
	memset(mem, 0xff, sizeof(mem));
	ml_nor_init(f, mem, SIZE, BLOCK, UNIT, wear);
}

static void rules(void)
{
	static const uint8_t data[16] = "0123456789abcde";
	struct ml_nor f;
	uint8_t got[16];

	fresh(&f);
	CHECK(!ml_nor_program(&f, 8, data, 16));
	CHECK(!ml_nor_read(&f, 8, got, 16) && !memcmp(got, data, 16));
	CHECK(!f.fault && f.ops == 1);
	CHECK(ml_nor_program(&f, 16, data, 8) == ML_NOR_EDIRTY);
	CHECK(f.fault == ML_NOR_EDIRTY);
	CHECK(!memcmp(mem + 8, data, 16)); /* as it was */
	CHECK(!ml_nor_erase(&f, 0) && mem[8] == 0xff && wear[0] == 1);
	CHECK(!ml_nor_program(&f, 16, data, 8));
	CHECK(ml_nor_erase(&f, 64) == ML_NOR_EALIGN);
	CHECK(ml_nor_erase(&f, SIZE) == ML_NOR_ERANGE);
	CHECK(ml_nor_program(&f, 28, data, 8) == ML_NOR_EALIGN);
	CHECK(ml_nor_program(&f, 32, data, 4) == ML_NOR_EALIGN);
	CHECK(ml_nor_program(&f, 32, data, 0) == ML_NOR_EALIGN);
	CHECK(ml_nor_program(&f, SIZE - 8, data, 16) == ML_NOR_ERANGE);
	CHECK(ml_nor_program(&f, 0xfffffff8, data, 16) == ML_NOR_ERANGE);
	CHECK(ml_nor_read(&f, SIZE, got, 1) == ML_NOR_ERANGE);
	CHECK(!ml_nor_read(&f, SIZE, got, 0));
	CHECK(f.fault == ML_NOR_EDIRTY); /* the first one stays */
	CHECK(wear[0] == 1 && wear[1] == 0);
}

/* Nothing is changed by power that fails before an operation, some bits are
 * by power that fails in it, never the wrong way. */
static void cuts(void)
{
	uint8_t data[64], old[BLOCK];
	struct ml_nor f;
	unsigned i, same = 0, whole = 0;
	uint32_t seed;

	memset(data, 0x5a, sizeof(data));
	fresh(&f);
	ml_nor_power(&f, 2, ML_NOR_WHOLE);
	CHECK(!ml_nor_erase(&f, 0));
	CHECK(ml_nor_program(&f, 0, data, 64) == ML_NOR_ECUT);
	CHECK(mem[0] == 0xff);
	CHECK(ml_nor_read(&f, 0, old, 1) == ML_NOR_ECUT);
	CHECK(ml_nor_erase(&f, 128) == ML_NOR_ECUT && wear[1] == 0);
	ml_nor_power(&f, 0, ML_NOR_WHOLE);
	CHECK(!ml_nor_program(&f, 0, data, 64));
	CHECK(!f.fault);

	for (seed = 1; seed < 200; seed++) {
		fresh(&f);
		f.seed = seed * 2654435761u;
		ml_nor_power(&f, 1, ML_NOR_TORN);
		CHECK(ml_nor_program(&f, 0, data, 64) == ML_NOR_ECUT);
		for (i = 0; i < 64; i++)
			CHECK((mem[i] & 0x5a) == 0x5a);
		same += mem[0] == 0xff;
		whole += !memcmp(mem, data, 8);
		CHECK(memcmp(mem, data, 64) != 0);
		CHECK(mem[64] == 0xff);

		memset(mem, 0x11, BLOCK);
		ml_nor_power(&f, 1, ML_NOR_TORN);
		CHECK(ml_nor_erase(&f, 0) == ML_NOR_ECUT);
		for (i = 0; i < BLOCK; i++)
			CHECK((mem[i] & 0x11) == 0x11);
		CHECK(mem[BLOCK] == 0xff);
	}
	CHECK(same && whole > 100);
}

int main(void)
{
	rules();
	cuts();
	return 0;
}
