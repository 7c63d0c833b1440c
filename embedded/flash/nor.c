/* SPDX-License-Identifier: MIT */
/* NOR flash in memory, see nor.h. */
#include <string.h>

#include "nor.h"

void ml_nor_init(struct ml_nor *f, uint8_t *mem, uint32_t size, uint32_t block,
	uint32_t unit, uint32_t *wear)
{
	uint32_t i;

	memset(f, 0, sizeof *f);
	f->mem = mem;
	f->size = size;
	f->block = block;
	f->unit = unit;
	f->wear = wear;
	f->seed = 1;
	for (i = 0; wear && i < size / block; i++)
		wear[i] = 0;
}

void ml_nor_power(struct ml_nor *f, uint32_t cut_at, enum ml_nor_cut how)
{
	f->dead = 0;
	f->ops = 0;
	f->cut_at = cut_at;
	f->how = how;
}

static int broken(struct ml_nor *f, int status)
{
	if (!f->fault)
		f->fault = status;
	return status;
}

static unsigned dice(struct ml_nor *f)
{
	f->seed = f->seed * 1664525u + 1013904223u;
	return f->seed >> 24;
}

/* Whether this operation is the one at which power fails. */
static int cut(struct ml_nor *f)
{
	if (++f->ops != f->cut_at)
		return 0;
	f->dead = 1;
	return 1;
}

int ml_nor_read(struct ml_nor *f, uint32_t off, void *dst, uint32_t n)
{
	if (f->dead)
		return ML_NOR_ECUT;
	if (off > f->size || n > f->size - off)
		return broken(f, ML_NOR_ERANGE);
	memcpy(dst, f->mem + off, n);
	return ML_NOR_OK;
}

int ml_nor_erase(struct ml_nor *f, uint32_t off)
{
	uint32_t i;

	if (f->dead)
		return ML_NOR_ECUT;
	if (off >= f->size)
		return broken(f, ML_NOR_ERANGE);
	if (off & (f->block - 1))
		return broken(f, ML_NOR_EALIGN);
	if (cut(f)) {
		/* Some bits have come up, anywhere. */
		for (i = 0; f->how == ML_NOR_TORN && i < f->block; i++)
			f->mem[off + i] |= (uint8_t)(dice(f) | dice(f));
		return ML_NOR_ECUT;
	}
	if (f->wear)
		f->wear[off / f->block]++;
	memset(f->mem + off, 0xff, f->block);
	return ML_NOR_OK;
}

int ml_nor_program(
	struct ml_nor *f, uint32_t off, const void *src, uint32_t n)
{
	const uint8_t *p = src;
	uint32_t i, done;
	int dead;

	if (f->dead)
		return ML_NOR_ECUT;
	if (off > f->size || n > f->size - off)
		return broken(f, ML_NOR_ERANGE);
	if (!n || (off | n) & (f->unit - 1))
		return broken(f, ML_NOR_EALIGN);
	for (i = 0; i < n; i++)
		if (f->mem[off + i] != 0xff)
			return broken(f, ML_NOR_EDIRTY);
	dead = cut(f);
	done = n;
	if (dead) {
		/* Units up to one are there, of that one some bits. */
		done = f->how == ML_NOR_TORN ?
			dice(f) % (n / f->unit) * f->unit : 0;
		for (i = done; f->how == ML_NOR_TORN && i < done + f->unit; i++)
			f->mem[off + i] &= (uint8_t)(p[i] | dice(f));
	}
	for (i = 0; i < done; i++)
		f->mem[off + i] &= p[i];
	return dead ? ML_NOR_ECUT : ML_NOR_OK;
}
