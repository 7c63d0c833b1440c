/* SPDX-License-Identifier: MIT */
/* What both kinds of signatures share. Private to the library. */
#ifndef ML_SIGN_H
#define ML_SIGN_H

#include "ml.h"

/* A key's id as minisign(1) shows it. */
unsigned long long ml_key_number(const uint8_t id[8]);
/* Whether one of the keys, of that id, has signed the message. `what` and
 * `at` are for messages. */
int ml_verify_any(const struct ml_pubkey *keys, size_t n, const uint8_t id[8],
	const uint8_t sig[64], const uint8_t *msg, size_t len,
	const char *what, uint64_t at, struct ml_diag *diag);
/* libsodium wants this before anything else; any number of times. */
int ml_sodium(struct ml_diag *diag);

#endif
