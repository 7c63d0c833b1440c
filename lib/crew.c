/* SPDX-License-Identifier: MIT */
/*
 * Several threads decode one patch. Its body is cut where a decoder may begin:
 * before a record from which on no range-coded one needs the chances that
 * those before it have left. Threads take these parts in order, each keeps
 * what it makes until its turn to write comes, and from then on writes at
 * once. Who wants bytes of the target from before its part waits for its turn
 * as well; the part whose turn it is never waits.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cast.h"
#include "crew.h"
#include "fast.h"
#include "feed.h"

#define PART (4u << 20) /* bytes of the target, at least, but for the last */
#define KEEP (12u << 20) /* bytes that a thread keeps */
#define CREW_MAX 256

struct part {
	uint64_t off; /* in the patch */
	uint64_t pos; /* in the target */
};

struct crew {
	struct ml_src *psrc, *bsrc;
	struct ml_cast_src *made; /* the base with its casts, or NULL */
	const struct ml_hdr *h;
	const struct ml_crew_io *io;
	struct part *part; /* one more than there are: where all ends */
	size_t n, cap;

	pthread_mutex_t reading; /* of sources that cannot be shared */
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t change;
	size_t next; /* part that nobody has taken */
	size_t turn; /* part that may write */
	int stop; /* one has failed, */
	int err; /* with this, */
	struct ml_diag diag; /* as this says */
};

struct worker {
	struct crew *c;
	struct ml_src *psrc, *bsrc; /* its own */
	struct ml_feed *feed;
	struct ml_dec_io io;
	void *arena;
	struct ml_fast *fast; /* class full */
	uint8_t *buf; /* the decoder's */
	uint8_t *kept; /* bytes made and not written, */
	size_t nkept, cap;
	uint64_t pos; /* which lie here in the target */
	size_t part;
	struct ml_diag diag;
};

/* ===== parts ============================================================ */

static int add_part(struct crew *c, uint64_t off, uint64_t pos,
	struct ml_diag *diag)
{
	const size_t cap = c->cap ? c->cap * 2 : 64;
	struct part *p;

	if (c->n == c->cap) {
		p = realloc(c->part, cap * sizeof(*p));
		if (!p)
			return ml_fail(diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		c->part = p;
		c->cap = cap;
	}
	c->part[c->n].off = off;
	c->part[c->n++].pos = pos;
	return ML_OK;
}

static int is_ranged(const struct ml_record *r)
{
	const unsigned coder = r->coder & ML_RECORD_CODER;

	return coder == ML_CODER_RANGE || coder == ML_CODER_NANO;
}

/* Only frames are looked at. Parts before records that are not range-coded are
 * as long in doubt as no range-coded one has followed. */
static int find_parts(struct crew *c, uint64_t off, struct ml_diag *diag)
{
	const uint64_t end = off + c->h->body_len;
	struct ml_record r = {.off = off};
	uint64_t pos = 0;
	size_t sure = 1;
	int err = add_part(c, off, 0, diag);

	while (!err && r.off < end) {
		err = ml_record_frame(c->psrc, &r, end, diag);
		if (err)
			break;
		if (is_ranged(&r) && !(r.coder & ML_RECORD_RESET))
			c->n = sure;
		else if (pos - c->part[c->n - 1].pos >= PART)
			err = add_part(c, r.off, pos, diag);
		if (is_ranged(&r))
			sure = c->n;
		if (r.n_out > c->h->target_image - pos) {
			c->n = 1; /* who decodes will say what is wrong */
			break;
		}
		pos += r.n_out;
		r.off = r.code + r.n + 4;
	}
	if (!err)
		err = add_part(c, end, c->h->target_image, diag);
	c->n--;
	return err;
}

/* ===== turns ============================================================ */

/* Waits for the turn. -1: there is none any more. */
static int wait_turn(struct worker *w)
{
	struct crew *c = w->c;
	int go_on;

	pthread_mutex_lock(&c->lock);
	while (c->turn != w->part && !c->stop)
		pthread_cond_wait(&c->change, &c->lock);
	go_on = !c->stop;
	pthread_mutex_unlock(&c->lock);
	return go_on ? 0 : -1;
}

static int is_turn(struct worker *w)
{
	int is;

	pthread_mutex_lock(&w->c->lock);
	is = w->c->turn == w->part;
	pthread_mutex_unlock(&w->c->lock);
	return is;
}

/* Writes what was kept, it being the turn. */
static int drain(struct worker *w)
{
	const struct ml_crew_io *io = w->c->io;
	int err = w->nkept ? io->write(io->ctx, w->kept, w->nkept, &w->diag) :
		ML_OK;

	w->pos += w->nkept;
	w->nkept = 0;
	return err;
}

static int keep(struct worker *w, const uint8_t *p, size_t n)
{
	size_t cap = w->cap ? w->cap : PART / 4;
	uint8_t *more;

	while (cap < w->nkept + n)
		cap *= 2;
	if (cap > KEEP)
		cap = KEEP;
	if (cap > w->cap) {
		more = realloc(w->kept, cap);
		if (!more)
			return ml_fail(&w->diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		w->kept = more;
		w->cap = cap;
	}
	memcpy(w->kept + w->nkept, p, n);
	w->nkept += n;
	return ML_OK;
}

/* ===== the decoder's callbacks ========================================== */

static int io_base(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	struct worker *w = ctx;

	if (w->c->made) {
		pthread_mutex_lock(&w->c->reading);
		w->feed->err = ml_cast_read(w->c->made, off, dst, n, &w->diag);
		pthread_mutex_unlock(&w->c->reading);
	} else {
		w->feed->err = ml_src_read(w->bsrc, off, dst, n, &w->diag);
	}
	if (w->feed->err == ML_ETRUNC)
		w->feed->err = ml_fail(&w->diag, ML_EBASE, off,
			"base became shorter while it was read");
	return w->feed->err ? -1 : (int)n;
}

static int io_target(void *ctx, ml_off off, uint8_t *dst, unsigned n)
{
	const struct ml_crew_io *io;
	struct worker *w = ctx;
	int k;

	if (off >= w->pos) {
		const size_t at = (size_t)(off - w->pos), left = w->nkept - at;

		n = left < n ? (unsigned)left : n;
		memcpy(dst, w->kept + at, n);
		return (int)n;
	}
	if (w->pos - off < n)
		n = (unsigned)(w->pos - off);
	if (wait_turn(w))
		return -1;
	io = w->c->io;
	k = io->target(io->ctx, off, dst, n, &w->diag);
	w->feed->err = k < 0 ? k : ML_OK;
	return k < 0 ? -1 : k;
}

static int io_write(void *ctx, const uint8_t *src, unsigned n)
{
	struct worker *w = ctx;
	const struct ml_crew_io *io = w->c->io;
	int err;

	if (!is_turn(w)) {
		if (w->nkept + n <= KEEP) {
			w->feed->err = keep(w, src, n);
			return w->feed->err ? -1 : (int)n;
		}
		if (wait_turn(w))
			return -1;
	}
	err = drain(w);
	if (!err) {
		err = io->write(io->ctx, src, n, &w->diag);
		w->pos += n;
	}
	w->feed->err = err;
	return err ? -1 : (int)n;
}

/* ===== work ============================================================= */

static int one_part(struct worker *w)
{
	const struct part *p = &w->c->part[w->part];
	struct ml_feed *f = w->feed;

	memset(f, 0, sizeof(*f));
	f->psrc = w->psrc;
	f->at = f->taken = f->rec = p->off;
	f->end = p[1].off;
	f->err = ML_ENOMEM; /* of who lost its turn; nobody will see it */
	w->pos = p->pos;
	w->nkept = 0;
	ml_dec_init(&f->dec, &w->io, w->arena, ml_dec_arena(w->c->h->cls),
		w->buf, ML_FEED_BUF);
	f->dec.fast = w->fast;
	f->dec.crc32 = ml_crc32;
	ml_dec_part(&f->dec, w->c->h, p->pos, p[1].pos, p[1].off - p->off);
	return ml_feed_run(f, &w->diag);
}

/* Takes parts until there is none, or one has failed. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct crew *c = w->c;
	int err, late;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		w->part = c->stop ? c->n : c->next;
		c->next += w->part < c->n;
		pthread_mutex_unlock(&c->lock);
		if (w->part == c->n)
			return NULL;
		err = one_part(w);
		if (wait_turn(w))
			return NULL;
		late = drain(w);
		pthread_mutex_lock(&c->lock);
		c->turn++;
		if (err || late) {
			c->stop = 1;
			c->err = err ? err : late;
			c->diag = w->diag;
		}
		pthread_cond_broadcast(&c->change);
		pthread_mutex_unlock(&c->lock);
	}
}

/* A source for another thread: of the same descriptor, or else one that only
 * one of them reads at a time. */
struct locked {
	pthread_mutex_t *lock;
	struct ml_src *of;
};

static int locked_read(void *ctx, uint64_t off, void *buf, size_t n,
	struct ml_diag *diag)
{
	struct locked *l = ctx;
	int err;

	pthread_mutex_lock(l->lock);
	err = ml_src_read(l->of, off, buf, n, diag);
	pthread_mutex_unlock(l->lock);
	return err;
}

static int share(struct ml_src **out, struct ml_src *of, struct crew *c,
	struct ml_diag *diag)
{
	static const struct ml_src_ops ops = {locked_read, free};
	struct locked *l;
	int err = ml_src_share(out, of, diag);

	if (err != ML_EINVAL)
		return err;
	l = malloc(sizeof(*l));
	if (!l)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	l->lock = &c->reading;
	l->of = of;
	return ml_src_made(out, ml_src_size(of), &ops, l, diag);
}

static int worker_init(struct worker *w, struct crew *c, struct ml_diag *diag)
{
	int err = share(&w->psrc, c->psrc, c, diag);

	w->c = c;
	if (!err && c->bsrc && !c->made)
		err = share(&w->bsrc, c->bsrc, c, diag);
	if (err)
		return err;
	w->io.ctx = w;
	w->io.base = io_base;
	w->io.target = io_target;
	w->io.write = io_write;
	w->feed = malloc(sizeof(*w->feed));
	w->arena = malloc(ml_dec_arena(c->h->cls));
	w->buf = malloc(ML_FEED_BUF);
	if (c->h->cls == ML_FULL) {
		w->fast = malloc(sizeof(*w->fast));
		if (w->fast)
			w->fast->kern = ml_fast_code_best()->dec;
	}
	return w->feed && w->arena && w->buf && (w->fast ||
		c->h->cls < ML_FULL) ? ML_OK :
		ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
}

static void worker_free(struct worker *w)
{
	ml_src_free(w->psrc);
	ml_src_free(w->bsrc);
	free(w->feed);
	free(w->arena);
	free(w->fast);
	free(w->buf);
	free(w->kept);
}

/* The caller works, too, and does all of it when there can be no others. */
static int run(struct crew *c, int threads, struct ml_diag *diag)
{
	struct worker *w = calloc((size_t)threads, sizeof(*w));
	pthread_t *id = calloc((size_t)threads, sizeof(*id));
	int i, n = 0, err = ML_OK;

	if (!w || !id)
		err = ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	for (i = 0; !err && i < threads; i++)
		err = worker_init(&w[i], c, diag);
	if (!err) {
		for (n = 1; n < threads; n++)
			if (pthread_create(&id[n], NULL, work, &w[n]))
				break;
		work(&w[0]);
		for (i = 1; i < n; i++)
			pthread_join(id[i], NULL);
		err = c->err;
		if (err)
			*diag = c->diag;
	}
	for (i = 0; w && i < threads; i++)
		worker_free(&w[i]);
	free(w);
	free(id);
	return err;
}

int ml_crew(struct ml_src *psrc, uint64_t off, const struct ml_hdr *h,
	struct ml_src *bsrc, struct ml_cast_src *made, int threads,
	const struct ml_crew_io *io, int *done, struct ml_diag *diag)
{
	struct crew c = {.psrc = psrc, .bsrc = bsrc, .made = made, .h = h,
		.io = io};
	int err;

	*done = 0;
	if (h->target_image < 2 * PART)
		return ML_OK;
	err = find_parts(&c, off, diag);
	if (!err && c.n > 1) {
		*done = 1;
		if (threads > CREW_MAX)
			threads = CREW_MAX;
		if ((size_t)threads > c.n)
			threads = (int)c.n;
		pthread_mutex_init(&c.reading, NULL);
		pthread_mutex_init(&c.lock, NULL);
		pthread_cond_init(&c.change, NULL);
		err = run(&c, threads, diag);
		pthread_cond_destroy(&c.change);
		pthread_mutex_destroy(&c.lock);
		pthread_mutex_destroy(&c.reading);
	}
	free(c.part);
	return err;
}
