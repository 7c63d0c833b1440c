/* SPDX-License-Identifier: MIT */
/* Temporary files without a name. Private to the library. */
#ifndef ML_TEMP_H
#define ML_TEMP_H

#include "ml.h"

/* A new file for reading and writing in $TMPDIR, or /tmp, that is gone when
 * *fd is closed, however the program ends. */
int ml_temp_fd(int *fd, struct ml_diag *diag);

#endif
