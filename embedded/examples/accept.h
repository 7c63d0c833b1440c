/* SPDX-License-Identifier: MIT */
/* Takes only patches that were signed by a key which the firmware holds:
 *
 *	conf.accept = ml_accept_signed;
 *
 * It is asked before anything is erased. keys.py makes ml_trusted of
 * minisign's .pub files; ed25519_sodium.c gives ml_ed25519 by libsodium. */
#ifndef ML_ACCEPT_H
#define ML_ACCEPT_H

#include "update.h"

struct ml_trusted {
	uint8_t id[ML_KEY_ID_LEN];
	uint8_t key[32];
};
extern const struct ml_trusted ml_trusted[];
extern const unsigned ml_ntrusted;

/* Any Ed25519 of RFC 8032. 0: this key has signed the message. */
int ml_ed25519(const uint8_t sig[ML_SIG_LEN], const uint8_t *msg, size_t n,
	const uint8_t key[32]);

int ml_accept_signed(void *ctx, const struct ml_hdr *h, const uint8_t *p);

#endif
