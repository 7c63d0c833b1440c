/* SPDX-License-Identifier: MIT */
/*
 * Directories are tars: one is read as if it were the tar that tree_in.c
 * makes of it, and written from any tar by tree_out.c. Private to the library
 * and the programs.
 *
 * The canonical tar of a directory has its entries in the order of strcmp(3)
 * by path, without the directory itself; paths without "./" before them;
 * directories, regular files, symbolic links, and hard links for the second
 * and later names of a file; permissions, but owner 0, group 0 and time 0,
 * unless kept, and no other attributes. It is POSIX ustar where that has
 * room, else pax, and ends with two blocks of zeros. So the same files give
 * the same bytes on every machine.
 */
#ifndef ML_TREE_H
#define ML_TREE_H

#include "ml.h"

#define ML_TREE_PATH_MAX 4095 /* bytes of a path in a tree */
#define ML_TREE_NAMES_MAX (UINT64_C(1) << 28) /* of all paths and links */

/* The canonical tar of a directory; keep: with owners and times in seconds.
 * File data is read when it is asked for. A file that changed since is ML_EIO
 * then; sockets, FIFOs and devices are ML_EFORMAT, and more than
 * ML_MEMBERS_MAX entries ML_ELIMIT. */
int ml_tree_open(struct ml_src **out, const char *path, int keep,
	struct ml_diag *diag);

/* Whether all entries of a tar may be written: files, directories and links,
 * each below the directory, none twice, none through what is no directory,
 * hard links only to files before them. Else ML_EFORMAT or ML_ELIMIT. */
int ml_tree_check(struct ml_src *tar, struct ml_diag *diag);
/* The same, then writes all entries into the empty directory that dir is a
 * descriptor of: with the modes of the tar, with its times that are not 0,
 * and, for root, with its owners if it has some. The directory itself gets
 * `mode`, unless the tar has an entry for it. The working directory is
 * changed while this works. */
int ml_tree_write(struct ml_src *tar, int dir, unsigned mode,
	struct ml_diag *diag);
/* Removes the directory `name` in parent with all in it, whatever the modes;
 * not there is well. Returns 0 or an errno. Only calls that a signal handler
 * may make. */
int ml_tree_remove(int parent, const char *name);

#endif
