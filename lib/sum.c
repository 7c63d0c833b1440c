/* SPDX-License-Identifier: MIT */
/* The digest that a header promises, of either kind. SHA-256 costs more than
 * all else that is done with a byte at speed, so it may go on in a thread of
 * its own, which gets copies; that thread begins when there is something for
 * it to do. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "ml.h"

#define SLOT 262144 /* bytes handed over at once */
#define SLOTS 4
#define PIECE 1048576 /* bytes of a source read at once */

struct ml_sum {
	int kind;
	struct ml_sha256 *sha; /* or */
	XXH3_state_t *xxh;

	int aside; /* a thread is wanted, */
	int running; /* and there is one */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	uint8_t *slot; /* SLOTS of them */
	size_t n[SLOTS];
	unsigned put, got; /* slots handed over, and done */
	size_t fill; /* of slot[put % SLOTS] */
	int stop;
};

static void take(struct ml_sum *s, const void *p, size_t n)
{
	if (s->sha)
		ml_sha256_update(s->sha, p, n);
	else
		XXH3_128bits_update(s->xxh, p, n);
}

int ml_sum_new(struct ml_sum **out, int kind, int threads,
	struct ml_diag *diag)
{
	struct ml_sum *s = calloc(1, sizeof(*s));
	int err = ML_OK;

	*out = NULL;
	if (!s)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	s->kind = kind;
	s->aside = threads > 1 && kind == ML_SHA256;
	if (kind == ML_SHA256) {
		err = ml_sha256_new(&s->sha, diag);
	} else {
		s->xxh = XXH3_createState();
		if (!s->xxh)
			err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		else
			XXH3_128bits_reset(s->xxh);
	}
	if (err) {
		ml_sum_free(s);
		return err;
	}
	*out = s;
	return ML_OK;
}

/* ===== the thread ======================================================= */

static void *work(void *arg)
{
	struct ml_sum *s = arg;
	unsigned at;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->got == s->put && !s->stop)
			pthread_cond_wait(&s->change, &s->lock);
		if (s->got == s->put)
			break;
		at = s->got % SLOTS;
		pthread_mutex_unlock(&s->lock);
		take(s, s->slot + (size_t)at * SLOT, s->n[at]);
		pthread_mutex_lock(&s->lock);
		s->got++;
		pthread_cond_broadcast(&s->change);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* What cannot have a thread does without. */
static void start(struct ml_sum *s)
{
	s->aside = 0;
	s->slot = malloc((size_t)SLOT * SLOTS);
	if (!s->slot)
		return;
	s->put = s->got = 0;
	s->fill = 0;
	s->stop = 0;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->change, NULL);
	s->running = pthread_create(&s->thread, NULL, work, s) == 0;
	if (s->running)
		return;
	pthread_cond_destroy(&s->change);
	pthread_mutex_destroy(&s->lock);
	free(s->slot);
	s->slot = NULL;
}

static void hand_over(struct ml_sum *s)
{
	pthread_mutex_lock(&s->lock);
	s->n[s->put % SLOTS] = s->fill;
	s->put++;
	s->fill = 0;
	pthread_cond_broadcast(&s->change);
	while (s->put - s->got == SLOTS)
		pthread_cond_wait(&s->change, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void stop(struct ml_sum *s)
{
	if (!s->running)
		return;
	if (s->fill)
		hand_over(s);
	pthread_mutex_lock(&s->lock);
	s->stop = 1;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->change);
	pthread_mutex_destroy(&s->lock);
	free(s->slot);
	s->slot = NULL;
	s->running = 0;
	s->aside = 1;
}

/* ===== the digest ======================================================= */

void ml_sum_update(struct ml_sum *s, const void *p, size_t n)
{
	const uint8_t *b = p;
	size_t k;

	if (s->aside && n >= SLOT / 8) /* not for a few bytes */
		start(s);
	while (s->running && n) {
		k = SLOT - s->fill < n ? SLOT - s->fill : n;
		memcpy(s->slot + (size_t)(s->put % SLOTS) * SLOT + s->fill, b,
			k);
		s->fill += k;
		b += k;
		n -= k;
		if (s->fill == SLOT)
			hand_over(s);
	}
	if (n)
		take(s, b, n);
}

void ml_sum_final(struct ml_sum *s, uint8_t out[ML_SHA256_LEN])
{
	XXH128_canonical_t c;

	stop(s);
	if (s->sha) {
		ml_sha256_final(s->sha, out);
		return;
	}
	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(s->xxh));
	memset(out, 0, ML_SHA256_LEN);
	memcpy(out, c.digest, sizeof(c.digest));
	XXH3_128bits_reset(s->xxh);
}

void ml_sum_free(struct ml_sum *s)
{
	if (!s)
		return;
	stop(s);
	ml_sha256_free(s->sha);
	XXH3_freeState(s->xxh);
	free(s);
}

static const char *const names[] = {"sha256", "xxh3"};

int ml_sum_by_name(const char *name)
{
	int kind;

	for (kind = ML_SHA256; kind <= ML_XXH3; kind++)
		if (strcmp(name, names[kind]) == 0)
			return kind;
	return -1;
}

const char *ml_sum_name(int kind)
{
	return kind == ML_XXH3 ? "XXH3-128" : "SHA-256";
}

size_t ml_sum_len(int kind)
{
	return kind == ML_XXH3 ? 16 : ML_SHA256_LEN;
}

/* ===== of a source ====================================================== */

int ml_src_sum(struct ml_src *s, int kind, uint8_t out[ML_SHA256_LEN],
	struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	struct ml_sum *sum;
	uint64_t off;
	uint8_t *buf;
	size_t n;
	int err = ml_sum_new(&sum, kind, 1, diag);

	if (err)
		return err;
	buf = malloc(size < PIECE ? (size_t)size + 1 : PIECE);
	if (!buf)
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (off = 0; !err && off < size; off += n) {
		n = size - off < PIECE ? (size_t)(size - off) : PIECE;
		err = ml_src_read(s, off, buf, n, diag);
		if (!err)
			ml_sum_update(sum, buf, n);
	}
	if (!err)
		ml_sum_final(sum, out);
	free(buf);
	ml_sum_free(sum);
	return err;
}

struct both {
	struct ml_src *s;
	int kind, err;
	uint8_t *out;
	struct ml_diag diag;
};

static void *one(void *arg)
{
	struct both *b = arg;

	b->err = ml_src_sum(b->s, b->kind, b->out, &b->diag);
	return NULL;
}

int ml_src_sums(struct ml_src *const s[2], int kind,
	uint8_t *const out[2], int threads, int *which, struct ml_diag *diag)
{
	struct both first = {s[0], kind, ML_OK, out[0], {0}};
	pthread_t thread;
	int err, aside = threads > 1 && ml_src_size(s[0]) > PIECE &&
		pthread_create(&thread, NULL, one, &first) == 0;

	*which = 1;
	err = ml_src_sum(s[1], kind, out[1], diag);
	if (aside)
		pthread_join(thread, NULL);
	else
		one(&first);
	if (first.err) {
		*which = 0;
		*diag = first.diag;
		err = first.err;
	}
	return err;
}

int ml_src_sha256(
	struct ml_src *s, uint8_t out[ML_SHA256_LEN], struct ml_diag *diag)
{
	return ml_src_sum(s, ML_SHA256, out, diag);
}

int ml_src_is_base(struct ml_src *s, int kind, uint64_t size,
	const uint8_t sum[ML_SHA256_LEN], struct ml_diag *diag)
{
	uint8_t own[ML_SHA256_LEN];
	int err;

	if (ml_src_size(s) != size)
		return ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"wrong base: it has %llu bytes, not %llu",
			(unsigned long long)ml_src_size(s),
			(unsigned long long)size);
	err = ml_src_sum(s, kind, own, diag);
	if (!err && memcmp(own, sum, sizeof(own)) != 0)
		err = ml_fail(diag, ML_EBASE, ML_NOWHERE,
			"wrong base: it has the size, but not the %s",
			ml_sum_name(kind));
	return err;
}
