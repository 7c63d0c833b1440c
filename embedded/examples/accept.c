/* SPDX-License-Identifier: MIT */
/* See accept.h. The signature is of the header up to itself, ml-patch(5); the
 * id before it only says which key to try. */
#include "examples/accept.h"

static int is(const uint8_t *a, const uint8_t *b, unsigned n)
{
	while (n && *a == *b)
		a++, b++, n--;
	return !n;
}

int ml_accept_signed(void *ctx, const struct ml_hdr *h, const uint8_t *p)
{
	const struct ml_trusted *t = ml_trusted;
	unsigned n = ml_ntrusted;

	(void)ctx;
	for (; h->sig && n; n--, t++)
		if (is(t->id, h->sig - ML_KEY_ID_LEN, ML_KEY_ID_LEN) &&
			!ml_ed25519(h->sig, p, h->sig_off, t->key))
			return 0;
	return ML_UPD_ESIGN;
}
