/* SPDX-License-Identifier: MIT */
/* The bytes of the target before and about those being coded, and hash chains
 * over them. Private to the library. */
#ifndef ML_WINDOW_H
#define ML_WINDOW_H

#include "ml.h"

#define ML_WINDOW_BACK (1u << 20) /* farthest copy found here */

struct ml_window {
	uint8_t *win; /* history and the piece being coded */
	uint64_t from; /* target offset of win[0] */
	size_t n, done; /* bytes in win, of these indexed */
	uint32_t *head, *prev; /* by target offset */
};

int ml_window_init(struct ml_window *w, struct ml_diag *diag);
void ml_window_free(struct ml_window *w);
/* Puts p behind the window; what is too far back falls out. */
void ml_window_push(struct ml_window *w, const uint8_t *p, size_t n);
/* Bytes that come next and of which no copies are looked for, or which there
 * are not even to be copied by whoever knows where. */
void ml_window_skip(struct ml_window *w, const uint8_t *p, size_t n);
void ml_window_jump(struct ml_window *w, uint64_t n);
/* Makes win[0..to) known. */
void ml_window_index(struct ml_window *w, size_t to);

/* Places before win[i] where its bytes may be, nearest first. */
struct ml_window_look {
	size_t i;
	uint32_t at;
	unsigned seen, after;
};
void ml_window_look(const struct ml_window *w, size_t i, size_t end,
	struct ml_window_look *l);
/* The distance of the next one; 0: there is none. */
uint32_t ml_window_next(const struct ml_window *w, struct ml_window_look *l);

#endif
