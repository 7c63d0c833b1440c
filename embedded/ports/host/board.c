/* SPDX-License-Identifier: MIT */
/* A device that is a program: its line is standard input and output, its
 * flash an image that it is given as argument. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "flash/nor.h"
#include "ports/hal.h"

static struct ml_nor nor;

/* main() is the firmware's. */
__attribute__((constructor)) static void load(int argc, char **argv)
{
	const int fd = argc > 1 ? open(argv[1], O_RDWR) : -1;
	uint8_t *mem = mmap(NULL, ML_HAL_FLASH, PROT_READ | PROT_WRITE,
		MAP_SHARED, fd, 0);

	if (fd < 0 || mem == MAP_FAILED)
		exit(3);
	ml_nor_init(&nor, mem, ML_HAL_FLASH, ML_HAL_BLOCK, 8, NULL);
}

int ml_hal_get(unsigned ms)
{
	struct pollfd p = { 0, POLLIN, 0 };
	uint8_t c;

	if (poll(&p, 1, (int)ms) <= 0)
		return -1;
	if (read(0, &c, 1) != 1)
		exit(0);
	return c;
}

void ml_hal_put(uint8_t c)
{
	if (write(1, &c, 1) != 1)
		exit(0);
}

int ml_hal_read(void *ctx, uint32_t off, void *dst, uint32_t n)
{
	(void)ctx;
	return ml_nor_read(&nor, off, dst, n);
}

int ml_hal_erase(void *ctx, uint32_t off)
{
	(void)ctx;
	return ml_nor_erase(&nor, off);
}

int ml_hal_program(void *ctx, uint32_t off, const void *src, uint32_t n)
{
	(void)ctx;
	return ml_nor_program(&nor, off, src, n);
}

uint32_t ml_hal_stack(void)
{
	return 0;
}

uint32_t ml_hal_clock(void)
{
	return (uint32_t)clock();
}
