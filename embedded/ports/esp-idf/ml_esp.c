/* SPDX-License-Identifier: MIT */
#include "ml_esp.h"
#include "ports/divide.h"

static const esp_partition_t *part(const void *ctx)
{
	return ctx;
}

static int on_read(void *ctx, uint32_t off, void *dst, uint32_t n)
{
	return esp_partition_read(part(ctx), off, dst, n) == ESP_OK ? 0 : -1;
}

static int on_erase(void *ctx, uint32_t off)
{
	return esp_partition_erase_range(part(ctx), off,
		part(ctx)->erase_size) == ESP_OK ? 0 : -1;
}

static int on_program(void *ctx, uint32_t off, const void *src, uint32_t n)
{
	return esp_partition_write(part(ctx), off, src, n) == ESP_OK ? 0 : -1;
}

int ml_esp_conf(struct ml_upd_conf *c, const esp_partition_t *p, int in_place)
{
	c->read = on_read;
	c->erase = on_erase;
	c->program = on_program;
	c->accept = NULL;
	c->ctx = (void *)(uintptr_t)p;
	return ml_divide(c, p->size, p->erase_size, in_place);
}
