/* SPDX-License-Identifier: MIT */
/*
 * The manners that all programs share: messages, exit statuses, opening and
 * closing. Every function here ends the program when it fails, with a message
 * on stderr and the status that fits. A main file defines ml_prog.
 *
 * Whatever ends the program before out_close() - an exit, a signal - removes
 * the unfinished file of out_open(), and so it is with out_tree_close().
 */
#ifndef ML_UTIL_H
#define ML_UTIL_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "ml.h"

/* The program's name, for messages: const char ml_prog[] = "ml-split"; */
extern const char ml_prog[];

enum {
	EX_OK = 0,
	EX_INPUT = 1, /* the input is malformed */
	EX_USAGE = 2,
	EX_SYSTEM = 3, /* input/output, memory */
	EX_BASE = 4, /* not the base that the patch was made for, or none */
	EX_VERSION = 5, /* unknown format version, or a class is refused */
	EX_PATCH = 6, /* the patch is corrupt, cut short or empty */
	EX_DIGEST = 7, /* the result is not what was promised */
	EX_AUTH = 8, /* not signed by a key that is trusted */
	EX_OLD = 9 /* a release below the least that is accepted */
};

/* ===== messages ========================================================= */

/* "prog: message" on stderr. A format that ends in ':' is followed by what
 * errno means. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void die(int status, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The exit status for an enum ml_err. */
int ml_exit_status(int ml_err);
/* "prog: 'file': offset N: why", the name escaped. die_diag exits with
 * ml_exit_status(err); file NULL or "-" is shown as standard input. */
void warn_diag(const char *file, const struct ml_diag *d);
_Noreturn void die_diag(const char *file, int err, const struct ml_diag *d);
/* The same for a diag that is about the output. */
_Noreturn void die_out(int err, const struct ml_diag *d);
/* The same for a diag that is about the output when writing to f has failed,
 * else about the file. */
_Noreturn void die_either(const char *file, FILE *f, int err,
	const struct ml_diag *d);
/* The same where the input is a patch, so that what is wrong with it has its
 * own status; only what does not even begin as a patch is like any other
 * input. psrc NULL: it came as a stream. */
int patch_status(struct ml_src *psrc, int err, const struct ml_diag *d);
_Noreturn void die_patch(const char *file, struct ml_src *psrc, int err,
	const struct ml_diag *d);

#define SHOW_MAX 256
/* A hostile text in a form fit for a terminal; returns buf. */
const char *show(char buf[SHOW_MAX], const char *text);

/* ===== options ========================================================== */

/* What getopt(3) did not like: prints it and the usage on stderr, exits with
 * EX_USAGE. Give getopt an option string that starts with ':'. */
_Noreturn void bad_option(const char *usage, int c);
/* The same with a reason of one's own; NULL: only the usage. */
_Noreturn void usage_error(const char *usage, const char *why);
/* -h: the usage on stdout, EX_OK. */
_Noreturn void help(const char *usage);
/* -V: "prog 0.1.0 (stream 1, patch 1)" on stdout, EX_OK. */
_Noreturn void version(void);

/* The arguments of '-c', '-f' and '-r', or a usage error. */
int class_option(const char *usage, const char *name);
const char *format_option(const char *usage, const char *name);
int digest_option(const char *usage, const char *name); /* -H */
uint64_t release_option(const char *usage, const char *s);

/* Long options, for getopt_long(3) with an option string that starts with
 * "+:", and their arguments. */
enum { OPT_IN_PLACE = 256, OPT_RESTART };
#define LONG_IN_PLACE { "in-place", 1, NULL, OPT_IN_PLACE }
#define LONG_RESTART { "restart", 1, NULL, OPT_RESTART }
#define LONG_END { NULL, 0, NULL, 0 }
unsigned page_option(const char *usage, const char *s); /* its log2 */
uint64_t restart_option(const char *usage, const char *s);
/* -T: 1 to 256; 0 is as many as there are cores. */
int threads_option(const char *usage, const char *s);
/* Without -T: two, which 64 MiB are enough for, or one. */
int threads_default(void);
/* Whether a path means standard input or output: NULL or "-". */
int is_dash(const char *path);

/* ===== input ============================================================ */

/* Opens a stream for reading; path NULL or "-" is standard input. Binary input
 * is refused from a terminal. */
FILE *in_open(const char *path, int binary);
/* The same for random access: a directory is read as its canonical tar, with
 * times and owners if they are to be kept; what else is no regular file is
 * spooled. */
struct ml_src *in_src(const char *path);
struct ml_src *in_src_keep(const char *path, int keep);
/* Whether a path, which may be NULL, leads to a directory. */
int is_dir(const char *path);
/* Reads a model, with its deflated parts as they are or inflated, saying what
 * of it cannot be read unless that is quiet. */
void in_model(struct ml_model *m, struct ml_src *s, const char *path,
	const char *format, int as_is, int quiet);

/* ===== output =========================================================== */

struct out {
	FILE *f;
	char *path; /* NULL: standard output */
	char *tmp; /* what becomes path; NULL: written directly */
};

/* Opens an output; path NULL or "-" is standard output. Binary output to a
 * terminal is refused. A regular file is written under a temporary name in
 * its directory and appears only at out_close, with the mode of the file it
 * replaces; what exists and is no regular file is written directly. At most
 * OUT_MAX outputs at a time. */
#define OUT_MAX 4
void out_open(struct out *o, const char *path, int binary);
/* Sees all to the disk (or to the pipe) and the file to its name. Returns
 * EX_OK, for the end of main. */
int out_close(struct out *o);

/* A directory that appears, or takes the place of an old one, all at once. */
struct out_tree {
	char *path; /* where it shall be, links resolved */
	const char *leaf; /* the last part of that */
	char *tmp; /* the name beside it that it has until then */
	int parent, dir; /* descriptors of where both are, and of it */
	int replaces; /* whether there is an old one */
	unsigned mode; /* for the new one, unless the tar says */
};

/* Makes the empty directory under a temporary name beside path, or beside
 * what path leads to if that is a directory. One at a time. */
void out_tree_open(struct out_tree *o, const char *path);
/* Writes the entries of the tar, sees all to the disk, switches, and removes
 * the old directory. Returns EX_OK, for the end of main. */
int out_tree_close(struct out_tree *o, struct ml_src *tar);

/* ===== progress ========================================================= */

/* One line on stderr, only when that is a terminal and the work lasts more
 * than a second. */
struct progress {
	int on;
	uint64_t done, total; /* total 0: unknown */
	struct timespec start, last;
};
void progress_start(struct progress *p, uint64_t total, int quiet);
void progress_add(struct progress *p, uint64_t n);
/* For the library: arg is a struct progress. */
void progress_told(void *arg, uint64_t done);
void progress_end(struct progress *p); /* wipes the line */

#endif
