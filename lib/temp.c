/* SPDX-License-Identifier: MIT */
/* Temporary files without a name. */
#define _GNU_SOURCE /* O_TMPFILE */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "temp.h"

int ml_temp_fd(int *fd, struct ml_diag *diag)
{
	static const char leaf[] = "/ml-spool.XXXXXX";
	const char *dir = getenv("TMPDIR");
	char *path;
	size_t len;

	if (!dir || !*dir)
		dir = "/tmp";
	*fd = -1;
#ifdef O_TMPFILE
	do
		*fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	while (*fd < 0 && errno == EINTR);
	if (*fd >= 0)
		return ML_OK;
#endif
	/* a file system without it: the name lives for a moment */
	len = strlen(dir);
	path = malloc(len + sizeof(leaf));
	if (!path)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	memcpy(path, dir, len);
	memcpy(path + len, leaf, sizeof(leaf));
	*fd = mkstemp(path);
	if (*fd >= 0) {
		unlink(path);
		fcntl(*fd, F_SETFD, FD_CLOEXEC);
	}
	free(path);
	return *fd >= 0 ? ML_OK :
		ml_fail_errno(diag, "cannot make a temporary file");
}
