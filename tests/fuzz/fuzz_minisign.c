/* SPDX-License-Identifier: MIT */
/* The files of minisign: each input as a public key, as a secret key and as a
 * signature. What is taken must be whole, and verify nothing. */
#include "fuzz.h"

static int no_password(void *ctx, char *pw, size_t cap, struct ml_diag *diag)
{
	MUST(ctx != NULL);
	memset(pw, 'x', cap); /* all of it is there */
	return ml_fail(diag, ML_EINVAL, ML_NOWHERE, "no password");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t text[] = "what is signed";
	char *p = (char *)fuzz_copy(data, size);
	struct ml_seckey sec, none = {0};
	struct ml_pubkey pub = {{0}, {0}};
	struct ml_minisig sig;
	struct ml_src *s;
	struct ml_diag diag = {0};
	int err;

	if (ml_pubkey_parse(&pub, p, size, &diag))
		MUST(diag.why[0] != '\0');
	err = ml_seckey_parse(&sec, p, size, no_password, &sec, &diag);
	if (err)
		MUST(diag.why[0] && memcmp(&sec, &none, sizeof(sec)) == 0);
	ml_seckey_wipe(&sec);
	MUST(memcmp(&sec, &none, sizeof(sec)) == 0);
	if (ml_minisig_parse(&sig, p, size, &diag)) {
		MUST(diag.why[0] != '\0');
	} else {
		MUST(sig.comment >= p && sig.ncomment <= size &&
			sig.comment + sig.ncomment <= p + size);
		memcpy(pub.id, sig.id, sizeof(pub.id));
		s = fuzz_spool(text, sizeof(text));
		MUST(ml_minisig_verify(&sig, s, &pub, 1, &diag) == ML_EAUTH);
		ml_src_free(s);
	}
	free(p);
	return 0;
}
