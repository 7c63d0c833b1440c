/* SPDX-License-Identifier: MIT */
/* Keys, signatures and the highest release accepted, for the programs that
 * deal with them. As in util.h, what fails ends the program, unless it returns
 * an enum ml_err. */
#ifndef ML_TRUST_H
#define ML_TRUST_H

#include "util.h"

#define KEYS_MAX 16
struct keys {
	struct ml_pubkey key[KEYS_MAX];
	size_t n;
};

/* The argument of '-p': the text of a public key, or a file that has one. */
void keys_add(struct keys *k, const char *usage, const char *arg);
/* Whether every patch of psrc is signed by one of the keys; with the file
 * minisig, not NULL, whether all of psrc is, by that. */
int keys_verify(const struct keys *k, struct ml_src *psrc,
	const char *minisig, struct ml_diag *diag);

/* The secret key in a file. The password comes from the first line of pwfile
 * or, when that is NULL, from the terminal, and only if there is one. */
void secret_key(struct ml_seckey *k, const char *path, const char *pwfile);

/* What release the result of a patch must have. */
struct floor {
	const char *path; /* file of the highest one accepted, or NULL */
	uint64_t least;
	uint64_t accepted; /* as in the file */
	int back; /* not to be enforced */
	struct out out; /* the new file, while it is being made */
};
/* The file's number; one that is not there is as one that says 0. */
void floor_load(struct floor *f);
/* ML_EOLD for a release below; else, if the file is to change, makes sure
 * that it can. */
int floor_check(struct floor *f, uint64_t release, struct ml_diag *diag);
/* Writes the new number, if it is higher. */
void floor_save(struct floor *f, uint64_t release);

#endif
