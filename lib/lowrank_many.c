/* SPDX-License-Identifier: MIT */
/* Looks for low-rank changes in several tensors at the same time: each is work
 * of its own. */
#include <pthread.h>

#include "lowrank.h"

struct queue {
	struct ml_lowrank_try *tries;
	size_t n, next;
	pthread_mutex_t lock;
};

static void one(struct ml_lowrank_try *t)
{
	struct ml_src *b = NULL, *s = NULL;

	t->err = ml_src_share(&b, t->bsrc, &t->diag);
	if (!t->err)
		t->err = ml_src_share(&s, t->tsrc, &t->diag);
	if (!t->err)
		t->err = ml_lowrank_find(
			&t->c, &t->bits, t->b, b, t->t, s, &t->diag);
	ml_src_free(b);
	ml_src_free(s);
}

static void *work(void *arg)
{
	struct queue *q = arg;
	size_t i;

	for (;;) {
		pthread_mutex_lock(&q->lock);
		i = q->next;
		q->next += i < q->n;
		pthread_mutex_unlock(&q->lock);
		if (i == q->n)
			return NULL;
		one(&q->tries[i]);
	}
}

void ml_lowrank_many(struct ml_lowrank_try *tries, size_t n, size_t threads)
{
	struct queue q = {.tries = tries, .n = n};
	pthread_t id[ML_LOWRANK_MANY];
	size_t i, some = 1;

	if (threads > n)
		threads = n;
	pthread_mutex_init(&q.lock, NULL);
	while (some < threads && some < ML_LOWRANK_MANY &&
		!pthread_create(&id[some], NULL, work, &q))
		some++;
	work(&q);
	for (i = 1; i < some; i++)
		pthread_join(id[i], NULL);
	pthread_mutex_destroy(&q.lock);
	for (i = 0; i < n; i++) /* of sources that a function makes */
		if (tries[i].err == ML_EINVAL)
			tries[i].err = ml_lowrank_find(&tries[i].c,
				&tries[i].bits, tries[i].b, tries[i].bsrc,
				tries[i].t, tries[i].tsrc, &tries[i].diag);
}
