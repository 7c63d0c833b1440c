/* SPDX-License-Identifier: MIT */
/* Giving up what a program no longer needs, before it decodes what an
 * attacker may have made. */
#ifndef CONFINE_H
#define CONFINE_H

enum confine {
	CONFINE_FILES, /* no network, no other program or process */
	CONFINE_ALL /* and no file that exists is opened any more */
};

/* From here on the process, with its threads to come, can do no more than
 * that; there is no way back. Where the kernel has no seccomp(2), or will not
 * have a filter, nothing changes. Dies if memory runs out. */
void confine(enum confine how);

/* Whether this was built with it. */
extern const int confine_built;

#endif
