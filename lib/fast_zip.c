/* SPDX-License-Identifier: MIT */
/* Blocks of coder 3 by several threads, in order; see fast_zip.h. Only the
 * caller's thread calls the sink. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fast_zip.h"
#include "hdr.h"
#include "mltype.h"
#include "ops.h"

#define THREADS_MAX 64u
#define CODE_CAP (ML_CODE_MAX - ML_CODE_HEAD)

enum { FREE, WAITS, RUNS, DONE };

struct job {
	int state;
	struct ml_fast_in in;
	struct ml_block b; /* once done */
	uint8_t *data, *base, *code;
};

struct ml_fast_zip {
	struct ml_sink next;
	unsigned threads, njobs;
	struct job *job; /* a ring */
	unsigned first, n; /* of those that are not free */
	struct ml_faster *own; /* without threads */
	/* with threads; all above is shared under the lock */
	pthread_mutex_t lock;
	pthread_cond_t more, done;
	pthread_t thread[THREADS_MAX];
	unsigned started;
	int stop;
};

/* Codes a job into a block whose bytes are the job's. */
static void work(struct ml_faster *x, struct job *j)
{
	struct ml_block *b = &j->b;
	const uint8_t *p;
	size_t n;

	memset(b, 0, sizeof *b);
	b->n_out = j->in.n;
	b->code = j->code;
	ml_faster_encode(x, &j->in, &p, &n);
	if (n) {
		memcpy(j->code, p, n);
		b->coder = ML_CODER_FAST;
		b->n = n;
		return;
	}
	if (j->in.given) {
		b->n = ml_op_head(j->code, ML_OP_DIFF, j->in.type, j->in.n /
			ml_type_bytes(j->in.type), j->in.at);
		b->base = j->in.base;
		b->nbase = j->in.n;
	} else {
		b->n = ml_op_head(j->code, ML_OP_LIT, 0, j->in.n, 0);
	}
	memcpy(j->code + b->n, j->in.data, j->in.n);
	b->n += j->in.n;
}

static void *worker(void *arg)
{
	struct ml_fast_zip *z = arg;
	struct ml_faster *x = NULL;
	struct ml_diag diag;
	struct job *j;
	unsigned i;

	if (ml_faster_new(&x, NULL, &diag))
		return NULL; /* the caller's thread works as well */
	pthread_mutex_lock(&z->lock);
	while (!z->stop) {
		for (i = 0, j = NULL; i < z->n && !j; i++) {
			j = &z->job[(z->first + i) % z->njobs];
			if (j->state != WAITS)
				j = NULL;
		}
		if (!j) {
			pthread_cond_wait(&z->more, &z->lock);
			continue;
		}
		j->state = RUNS;
		pthread_mutex_unlock(&z->lock);
		work(x, j);
		pthread_mutex_lock(&z->lock);
		j->state = DONE;
		pthread_cond_signal(&z->done);
	}
	pthread_mutex_unlock(&z->lock);
	ml_faster_free(x);
	return NULL;
}

int ml_fast_zip_new(struct ml_fast_zip **out, unsigned threads,
	const struct ml_sink *next, struct ml_diag *diag)
{
	struct ml_fast_zip *z = calloc(1, sizeof *z);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned i;

	*out = NULL;
	if (!z)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	if (!threads)
		threads = cores > 0 ? (unsigned)cores : 1;
	z->threads = threads > THREADS_MAX ? THREADS_MAX : threads;
	z->next = *next;
	pthread_mutex_init(&z->lock, NULL);
	pthread_cond_init(&z->more, NULL);
	pthread_cond_init(&z->done, NULL);
	z->njobs = z->threads > 1 ? 2 * z->threads + 1 : 1;
	z->job = calloc(z->njobs, sizeof *z->job);
	for (i = 0; z->job && i < z->njobs; i++) {
		struct job *j = &z->job[i];

		j->data = malloc(ML_FAST_MAX);
		j->base = malloc(ML_FAST_MAX);
		j->code = malloc(CODE_CAP);
		if (!j->data || !j->base || !j->code)
			break;
	}
	if (!z->job || i < z->njobs) {
		ml_fast_zip_free(z);
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	}
	if (ml_faster_new(&z->own, NULL, diag)) {
		ml_fast_zip_free(z);
		return ML_ENOMEM;
	}
	/* Threads that cannot be had are done without. */
	for (i = 0; z->threads > 1 && i < z->threads; i++, z->started++)
		if (pthread_create(&z->thread[i], NULL, worker, z))
			break;
	*out = z;
	return ML_OK;
}

void ml_fast_zip_free(struct ml_fast_zip *z)
{
	unsigned i;

	if (!z)
		return;
	pthread_mutex_lock(&z->lock);
	z->stop = 1;
	pthread_cond_broadcast(&z->more);
	pthread_mutex_unlock(&z->lock);
	for (i = 0; i < z->started; i++)
		pthread_join(z->thread[i], NULL);
	for (i = 0; z->job && i < z->njobs; i++) {
		free(z->job[i].data);
		free(z->job[i].base);
		free(z->job[i].code);
	}
	free(z->job);
	ml_faster_free(z->own);
	pthread_mutex_destroy(&z->lock);
	pthread_cond_destroy(&z->more);
	pthread_cond_destroy(&z->done);
	free(z);
}

/* Hands the oldest job on, once it is done; what nobody has begun is done
 * here. */
static int emit(struct ml_fast_zip *z, struct ml_diag *diag)
{
	struct job *j = &z->job[z->first];
	int r;

	pthread_mutex_lock(&z->lock);
	while (j->state == RUNS)
		pthread_cond_wait(&z->done, &z->lock);
	if (j->state == WAITS) {
		j->state = RUNS;
		pthread_mutex_unlock(&z->lock);
		work(z->own, j);
		pthread_mutex_lock(&z->lock);
	}
	pthread_mutex_unlock(&z->lock);
	r = z->next.block(z->next.ctx, &j->b, diag);
	pthread_mutex_lock(&z->lock);
	j->state = FREE;
	z->first = (z->first + 1) % z->njobs;
	z->n--;
	pthread_mutex_unlock(&z->lock);
	return r;
}

/* A job that is free, behind all others. */
static int next_job(struct ml_fast_zip *z, struct job **j,
	struct ml_diag *diag)
{
	int r = z->n == z->njobs ? emit(z, diag) : ML_OK;

	*j = &z->job[(z->first + z->n) % z->njobs];
	return r;
}

static void submit(struct ml_fast_zip *z, struct job *j, int state)
{
	pthread_mutex_lock(&z->lock);
	j->state = state;
	z->n++;
	pthread_cond_signal(&z->more);
	pthread_mutex_unlock(&z->lock);
}

int ml_fast_zip_add(struct ml_fast_zip *z, const struct ml_fast_in *in,
	struct ml_diag *diag)
{
	struct job *j;
	int r = next_job(z, &j, diag);

	if (r)
		return r;
	j->in = *in;
	if (!z->started) { /* at once, without a copy */
		work(z->own, j);
		return z->next.block(z->next.ctx, &j->b, diag);
	}
	memcpy(j->data, in->data, in->n);
	j->in.data = j->data;
	if (in->base) {
		memcpy(j->base, in->base, in->n);
		j->in.base = j->base;
	}
	submit(z, j, WAITS);
	return ML_OK;
}

int ml_fast_zip_block(struct ml_fast_zip *z, const struct ml_block *b,
	struct ml_diag *diag)
{
	struct job *j;
	int r;

	if (!z->n)
		return z->next.block(z->next.ctx, b, diag);
	if (b->nbase > ML_FAST_MAX) { /* more than a job holds: all out */
		r = ml_fast_zip_end(z, diag);
		return r ? r : z->next.block(z->next.ctx, b, diag);
	}
	r = next_job(z, &j, diag);
	if (r)
		return r;
	j->b = *b;
	memcpy(j->code, b->code, b->n);
	j->b.code = j->code;
	if (b->nbase)
		memcpy(j->base, b->base, b->nbase);
	j->b.base = j->base;
	submit(z, j, DONE);
	return ML_OK;
}

int ml_fast_zip_end(struct ml_fast_zip *z, struct ml_diag *diag)
{
	int r = ML_OK;

	while (z->n && !r)
		r = emit(z, diag);
	return r;
}
