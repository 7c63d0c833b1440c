/* SPDX-License-Identifier: MIT */
/* Of ESP-IDF 5.1, what embedded/ports/esp-idf uses: to compile it only. */
#include <stddef.h>
#include <stdint.h>

typedef int esp_err_t;
#define ESP_OK 0

typedef struct {
	uint32_t address, size, erase_size;
	char label[17];
} esp_partition_t;

esp_err_t esp_partition_read(const esp_partition_t *partition,
	size_t src_offset, void *dst, size_t size);
esp_err_t esp_partition_write(const esp_partition_t *partition,
	size_t dst_offset, const void *src, size_t size);
esp_err_t esp_partition_erase_range(const esp_partition_t *partition,
	size_t offset, size_t size);
