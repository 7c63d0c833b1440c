/* SPDX-License-Identifier: MIT */
/* Not linked: the sizes of these arrays say how the RAM is divided. */
#include "update.h"
#include "xmodem.h"

#define DEC (sizeof(struct ml_dec) + sizeof(((struct ml_upd *)0)->mem) + \
	ML_UPD_BUF)

extern char ml_size_decoder[], ml_size_updater[], ml_size_xmodem[];
char ml_size_decoder[DEC];
char ml_size_updater[sizeof(struct ml_upd) - DEC];
char ml_size_xmodem[sizeof(struct ml_xm)];
