/* SPDX-License-Identifier: MIT */
/* Ed25519 by libsodium. With another library it is three lines as well, see
 * embedded/README.md. */
#include <sodium/crypto_sign_ed25519.h>

#include "examples/accept.h"

int ml_ed25519(const uint8_t sig[ML_SIG_LEN], const uint8_t *msg, size_t n,
	const uint8_t key[32])
{
	return crypto_sign_ed25519_verify_detached(sig, msg, n, key);
}
