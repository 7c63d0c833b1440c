/* SPDX-License-Identifier: MIT */
/* A sink whose blocks are worked on by a thread of its own, in order, while the
 * caller makes the next ones. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ml.h"

#define SLOTS 3

struct slot {
	struct ml_block b;
	uint8_t *code, *base; /* copies */
	size_t ncode, nbase; /* room there */
};

struct ml_relay {
	struct ml_sink next;
	int threads;
	int running;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct slot slot[SLOTS];
	unsigned put, got; /* blocks given, and done with */
	int stop;
	int err; /* of the thread */
	struct ml_diag diag;
};

int ml_relay_new(struct ml_relay **out, const struct ml_sink *next,
	int threads, struct ml_diag *diag)
{
	struct ml_relay *r = calloc(1, sizeof(*r));

	*out = r;
	if (!r)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	r->next = *next;
	r->threads = threads;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->change, NULL);
	return ML_OK;
}

/* ===== the other side =================================================== */

static void *work(void *arg)
{
	struct ml_relay *r = arg;
	struct ml_diag diag;
	unsigned at;
	int err = ML_OK;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		while (r->got == r->put && !r->stop)
			pthread_cond_wait(&r->change, &r->lock);
		if (r->got == r->put)
			break;
		at = r->got % SLOTS;
		pthread_mutex_unlock(&r->lock);
		if (!err) /* after one, only empty the slots */
			err = r->next.block(
				r->next.ctx, &r->slot[at].b, &diag);
		pthread_mutex_lock(&r->lock);
		if (err && !r->err) {
			r->err = err;
			r->diag = diag;
		}
		r->got++;
		pthread_cond_broadcast(&r->change);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Until at most n blocks wait; what has failed so far. */
static int wait_for(struct ml_relay *r, unsigned n, struct ml_diag *diag)
{
	int err;

	pthread_mutex_lock(&r->lock);
	while (r->put - r->got > n)
		pthread_cond_wait(&r->change, &r->lock);
	err = r->err;
	if (err)
		*diag = r->diag;
	pthread_mutex_unlock(&r->lock);
	return err;
}

/* ===== this side ======================================================== */

static int copy(uint8_t **to, size_t *room, const uint8_t *p, size_t n)
{
	if (n > *room) {
		free(*to);
		*to = malloc(n);
		*room = *to ? n : 0;
		if (!*to)
			return -1;
	}
	if (n)
		memcpy(*to, p, n);
	return 0;
}

static int fill(struct slot *s, const struct ml_block *b, struct ml_diag *diag)
{
	s->b = *b;
	if (copy(&s->code, &s->ncode, b->code, b->n) ||
		copy(&s->base, &s->nbase, b->base, b->nbase))
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	s->b.code = s->code;
	s->b.base = b->base ? s->base : NULL;
	return ML_OK;
}

/* The first block waits until there is a second: for one alone no thread is
 * worth its while. */
int ml_relay_block(struct ml_relay *r, const struct ml_block *b,
	struct ml_diag *diag)
{
	int err;

	if (r->threads < 2)
		return r->next.block(r->next.ctx, b, diag);
	if (r->put && !r->running) {
		r->running = !pthread_create(&r->thread, NULL, work, r);
		if (!r->running) {
			r->threads = 1;
			err = r->next.block(
				r->next.ctx, &r->slot[0].b, diag);
			r->got++;
			return err ? err :
				r->next.block(r->next.ctx, b, diag);
		}
	}
	err = wait_for(r, SLOTS - 1, diag);
	if (!err)
		err = fill(&r->slot[r->put % SLOTS], b, diag);
	if (err)
		return err;
	pthread_mutex_lock(&r->lock);
	r->put++;
	pthread_cond_broadcast(&r->change);
	pthread_mutex_unlock(&r->lock);
	return ML_OK;
}

int ml_relay_end(struct ml_relay *r, struct ml_diag *diag)
{
	if (r->running)
		return wait_for(r, 0, diag);
	if (r->got == r->put)
		return ML_OK;
	r->got++;
	return r->next.block(r->next.ctx, &r->slot[0].b, diag);
}

int ml_relay_span(struct ml_relay *r, const struct ml_span *sp,
	struct ml_diag *diag)
{
	int err = ml_relay_end(r, diag);

	return err ? err : r->next.span(r->next.ctx, sp, diag);
}

void ml_relay_free(struct ml_relay *r)
{
	int i;

	if (!r)
		return;
	if (r->running) {
		pthread_mutex_lock(&r->lock);
		r->stop = 1;
		pthread_cond_broadcast(&r->change);
		pthread_mutex_unlock(&r->lock);
		pthread_join(r->thread, NULL);
	}
	for (i = 0; i < SLOTS; i++) {
		free(r->slot[i].code);
		free(r->slot[i].base);
	}
	pthread_cond_destroy(&r->change);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
