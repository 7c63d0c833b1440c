/* SPDX-License-Identifier: MIT */
/* Hash chains over the target's last bytes. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "window.h"

#define LEN 4 /* bytes hashed */
#define BITS 16
#define CHAIN 64 /* candidates looked at */
#define AFTER (1u << 14) /* entries passed over that do not lie before */
#define NIL UINT32_MAX
#define RING (ML_WINDOW_BACK + ML_BLOCK_OUT)

int ml_window_init(struct ml_window *w, struct ml_diag *diag)
{
	memset(w, 0, sizeof *w);
	w->win = malloc(RING);
	w->head = malloc(sizeof *w->head << BITS);
	w->prev = malloc(sizeof *w->prev * RING);
	if (!w->win || !w->head || !w->prev)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	memset(w->head, 0xff, sizeof *w->head << BITS);
	return ML_OK;
}

void ml_window_free(struct ml_window *w)
{
	free(w->win);
	free(w->head);
	free(w->prev);
}

void ml_window_push(struct ml_window *w, const uint8_t *p, size_t n)
{
	size_t drop;

	if (w->n + n > RING) {
		drop = w->n > ML_WINDOW_BACK ? w->n - ML_WINDOW_BACK : 0;
		if (w->n - drop + n > RING)
			drop = w->n + n - RING;
		memmove(w->win, w->win + drop, w->n - drop);
		w->n -= drop;
		w->done = w->done > drop ? w->done - drop : 0;
		w->from += drop;
	}
	memcpy(w->win + w->n, p, n);
	w->n += n;
}

void ml_window_skip(struct ml_window *w, const uint8_t *p, size_t n)
{
	if (n > ML_WINDOW_BACK) {
		w->from += n - ML_WINDOW_BACK;
		p += n - ML_WINDOW_BACK;
		n = ML_WINDOW_BACK;
		w->from += w->n;
		w->n = 0;
	}
	ml_window_push(w, p, n);
	w->done = w->n;
}

void ml_window_jump(struct ml_window *w, uint64_t n)
{
	w->from += w->n + n;
	w->n = w->done = 0;
}

static uint32_t hash(const uint8_t *p)
{
	return ml_load32(p) * 2654435761u >> (32 - BITS);
}

void ml_window_index(struct ml_window *w, size_t to)
{
	uint32_t h, at;

	for (; w->done < to && w->done + LEN <= w->n; w->done++) {
		h = hash(w->win + w->done);
		at = (uint32_t)((w->from + w->done) % RING);
		w->prev[at] = w->head[h];
		w->head[h] = (uint32_t)(w->from + w->done);
	}
}

void ml_window_look(const struct ml_window *w, size_t i, size_t end,
	struct ml_window_look *l)
{
	l->i = i;
	l->seen = l->after = 0;
	l->at = end - i < LEN ? NIL : w->head[hash(w->win + i)];
}

uint32_t ml_window_next(const struct ml_window *w, struct ml_window_look *l)
{
	const uint32_t here = (uint32_t)(w->from + l->i);
	uint32_t d;

	while (l->at != NIL && l->seen < CHAIN) {
		d = here - l->at;
		if (!d || d >= UINT32_MAX / 2) { /* not before: a second look */
			l->at = l->after++ < AFTER ? w->prev[l->at % RING] :
				NIL;
			continue;
		}
		if (d > l->i || d > ML_WINDOW_BACK)
			break;
		l->seen++;
		l->at = w->prev[(here - d) % RING];
		if (here - l->at <= d)
			l->at = NIL; /* overwritten */
		return d;
	}
	return 0;
}
