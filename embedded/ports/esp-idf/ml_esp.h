/* SPDX-License-Identifier: MIT */
/* A model in a data partition of ESP-IDF. */
#ifndef ML_ESP_H
#define ML_ESP_H

#include "esp_partition.h"
#include "update.h"

/* Divides a partition; *c must stay as long as it is used. -1: too small. */
int ml_esp_conf(struct ml_upd_conf *c, const esp_partition_t *p, int in_place);

#endif
