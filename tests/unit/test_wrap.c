/* SPDX-License-Identifier: MIT */
/* Deflated parts: tried, seen in the image, carried by streams and patches,
 * deflated again. */
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "hdr.h"
#include "mldec.h"
#include "set.h"
#include "test.h"
#include "wrap.h"

#define CAP (1u << 20)
#define PARTS 4

/* A file with deflated parts, by hand. */
struct file {
	uint8_t *p;
	size_t n;
	struct {
		size_t off, clen, len;
	} part[PARTS];
	struct ml_src *src;
	struct ml_model m;
};

static struct ml_diag diag;

static uint32_t rnd(uint32_t *s)
{
	*s = *s * 1664525 + 1013904223;
	return *s >> 16;
}

/* Bytes that shrink by a half or so. */
static void fill(uint8_t *p, size_t n, uint32_t seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)(rnd(&seed) & 15);
}

static void add_plain(struct file *f, size_t n, uint32_t seed)
{
	fill(f->p + f->n, n, seed);
	f->n += n;
}

static void add_part(struct file *f, size_t i, size_t len, uint32_t seed,
	int level, int mem)
{
	uint8_t *in = malloc(len + 1);
	z_stream z = {0};

	fill(in, len, seed);
	if (len > 100)
		in[len / 2] ^= 1; /* so that versions differ a little */
	if (deflateInit2(&z, level, Z_DEFLATED, -15, mem, 0) != Z_OK)
		abort();
	z.next_in = in;
	z.avail_in = (uInt)len;
	z.next_out = f->p + f->n;
	z.avail_out = (uInt)(CAP - f->n);
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	f->part[i].off = f->n;
	f->part[i].clen = CAP - f->n - z.avail_out;
	f->part[i].len = len;
	f->n += f->part[i].clen;
	deflateEnd(&z);
	free(in);
}

static void start(struct file *f)
{
	memset(f, 0, sizeof(*f));
	f->p = malloc(CAP);
	if (!f->p)
		abort();
}

/* Reads it as a set of four deflated members, with a tensor in each. */
static void finish(struct file *f)
{
	static const uint64_t shape[1] = {8};
	struct ml_src *spool = NULL;
	struct ml_set set;
	char name[2] = "a";
	size_t i, k = 0;

	CHECK(!ml_src_spool(&f->src, &diag));
	CHECK(!ml_src_append(f->src, f->p, f->n, &diag));
	ml_model_init(&f->m);
	f->m.spool = &spool;
	ml_set_init(&set, f->src, &f->m);
	for (i = PARTS; i-- > 0; name[0]++) /* in any order */
		if (f->part[i].len) {
			CHECK(!ml_set_deflated(&set, name, 1, f->part[i].off,
				f->part[i].clen, f->part[i].len, &diag));
			k++;
		}
	CHECK(set.n == k);
	for (i = 0; i < set.n; i++)
		CHECK(!ml_set_tensor(&set, i, "t", 1, ML_DT_U8, 1, shape, 2, 8,
			&diag));
	CHECK(!ml_set_finish(&set, &diag));
	ml_set_free(&set);
	CHECK(f->m.nwrap == k);
	CHECK(!ml_image_new(&f->m, f->src, &spool, &diag));
	CHECK(!spool);
	CHECK(!ml_model_finish(&f->m, f->m.image ? ml_src_size(f->m.image) :
		f->n, &diag));
	f->m.spool = NULL;
}

static void end(struct file *f)
{
	ml_model_free(&f->m);
	ml_src_free(f->src);
	free(f->p);
}

static int gather(void *ctx, const uint8_t *p, size_t n, struct ml_diag *d)
{
	return ml_src_append(ctx, p, n, d);
}

static int equal(struct ml_src *s, const uint8_t *p, size_t n)
{
	uint8_t *q = malloc(n + 1);
	int same = ml_src_size(s) == n && !ml_src_read(s, 0, q, n, &diag) &&
		memcmp(p, q, n) == 0;

	free(q);
	return same;
}

/* The image, deflated again in pieces of `step`, is the file. */
static void again(const struct file *f, size_t step)
{
	struct ml_src *image = ml_model_src(&f->m, f->src), *to;
	struct ml_rewrap *r;
	uint8_t buf[4096];
	uint64_t at;
	size_t n;

	CHECK(!ml_src_spool(&to, &diag));
	CHECK(!ml_rewrap_new(&r, f->m.wrap, f->m.nwrap, gather, to, &diag));
	for (at = 0; at < f->m.size; at += n) {
		n = f->m.size - at < step ? (size_t)(f->m.size - at) : step;
		CHECK(!ml_src_read(image, at, buf, n, &diag));
		CHECK(!ml_rewrap_write(r, buf, n, &diag));
	}
	CHECK(equal(to, f->p, f->n));
	ml_rewrap_free(r);
	ml_src_free(to);
}

/* The same image, made of the file and where its parts are in it. */
static void image_of(const struct file *f)
{
	struct ml_wrap w[PARTS];
	struct ml_src *image;
	size_t n = f->m.nwrap, i;
	uint8_t *p = malloc(f->m.size);

	memset(w, 0, sizeof(w));
	for (i = 0; i < n; i++) {
		w[i].pos = f->m.wrap[i].pos;
		w[i].len = f->m.wrap[i].len;
	}
	CHECK(!ml_image_of(&image, f->src, w, n, f->m.size, &diag));
	CHECK(!ml_src_read(image, 0, p, f->m.size, &diag));
	CHECK(equal(f->m.image, p, f->m.size));
	ml_src_free(image);
	free(p);
	CHECK(ml_image_of(&image, f->src, w, n, f->m.size + 1, &diag) ==
		ML_EFORMAT);
	w[n - 1].len--;
	CHECK(ml_image_of(&image, f->src, w, n, f->m.size - 1, &diag) ==
		ML_EFORMAT);
	w[0].pos++;
	CHECK(ml_image_of(&image, f->src, w, n, f->m.size, &diag) ==
		ML_EFORMAT);
	w[0].pos = UINT64_MAX / 8;
	CHECK(ml_image_of(&image, f->src, w, n, f->m.size, &diag) ==
		ML_EFORMAT);
}

static void stream(const struct file *f)
{
	char *p = NULL;
	size_t n = 0, i;
	FILE *s = open_memstream(&p, &n), *out;
	uint8_t sha[ML_SHA256_LEN], want[ML_SHA256_LEN];
	struct ml_src *bytes, *joined;
	struct ml_model m;
	struct ml_in *in;
	uint64_t size;
	int kind;

	CHECK(!ml_stream_write(s, &f->m, f->src, ML_SHA256, NULL, NULL, &diag));
	fclose(s);
	s = fmemopen(p, n, "rb");
	CHECK(!ml_stream_load(s, &m, &bytes, &size, &kind, sha, &diag));
	fclose(s);
	CHECK(!ml_src_sha256(f->src, want, &diag));
	CHECK(memcmp(sha, want, sizeof(sha)) == 0);
	CHECK(size == f->n && m.size == f->m.size && m.nwrap == f->m.nwrap);
	CHECK(m.nspan == f->m.nspan);
	for (i = 0; i < m.nspan; i++)
		CHECK(m.span[i].off == f->m.span[i].off);
	ml_model_free(&m);
	ml_src_free(bytes);

	s = fmemopen(p, n, "rb");
	out = tmpfile();
	CHECK(!ml_in_open(&in, s, &diag));
	CHECK(!ml_stream_join(in, out, NULL, NULL, &diag));
	fflush(out);
	CHECK(!ml_src_fd(&joined, fileno(out), &diag));
	CHECK(equal(joined, f->p, f->n));
	ml_src_free(joined);
	fclose(out);
	ml_in_free(in);
	fclose(s);
	free(p);
}

/* ===== patches ========================================================== */

static int zip_span(void *ctx, const struct ml_span *sp, struct ml_diag *d)
{
	return ml_zip_span(ctx, sp, d);
}

static int zip_block(void *ctx, const struct ml_block *b, struct ml_diag *d)
{
	return ml_zip_block(ctx, b, d);
}

static int pack_span(void *ctx, const struct ml_span *sp, struct ml_diag *d)
{
	return ml_pack_span(ctx, sp, d);
}

static int pack_block(void *ctx, const struct ml_block *b, struct ml_diag *d)
{
	return ml_pack_block(ctx, b, d);
}

/* The note cut anywhere, and with any byte changed, is refused or harmless. */
static void spoil_note(const struct ml_wrap_map *m)
{
	struct ml_wraps base = {UINT64_C(1) << 40, m->base, m->nbase};
	struct ml_wraps target = {UINT64_C(1) << 40, m->target, m->ntarget};
	struct ml_hdr h = {.base_image = 1 << 20, .target_image = 1 << 20};
	struct ml_wrap_map back;
	uint8_t *note, *rec;
	size_t n, cut, k, i;
	struct ml_src *s;

	CHECK(!ml_map_encode(&note, &n, &base, &target, &diag));
	rec = malloc(n + 64);
	for (cut = 0; cut <= 2 * n; cut++) {
		const size_t len = cut < n ? cut : n;

		k = 0;
		rec[k++] = ML_CODER_NOTE;
		rec[k++] = 0;
		rec[k++] = (uint8_t)len; /* below 128 */
		memcpy(rec + k, note, len);
		if (cut > n)
			rec[k + cut - n - 1] ^= 0x55;
		k += len;
		for (i = 0; i < 4; i++)
			rec[k + i] = (uint8_t)(ml_crc32(0, rec, k) >> 8 * i);
		k += 4;
		CHECK(!ml_src_spool(&s, &diag));
		CHECK(!ml_src_append(s, rec, k, &diag));
		h.body_len = k;
		i = ml_map_read(&back, s, 0, &h, &diag) == ML_OK;
		CHECK(cut == n ? i == 1 : cut > n || i == 0);
		if (cut == n)
			CHECK(back.nbase == m->nbase &&
				back.ntarget == m->ntarget &&
				back.target[0].pos == m->target[0].pos &&
				back.target[0].level == m->target[0].level);
		ml_map_free(&back);
		ml_src_free(s);
	}
	free(rec);
	free(note);
}

static void patch(const struct file *old, const struct file *new)
{
	struct ml_patch_info info = {.cls = ML_FULL, .has_base = 1};
	struct ml_sink to_pack = {NULL, pack_span, pack_block};
	struct ml_sink to_zip = {NULL, zip_span, zip_block};
	struct ml_src *made, *image;
	struct ml_wrap_map map;
	const struct ml_proof how = {.target = new->src, .threads = 2};
	struct ml_proven proven;
	struct ml_packer *p;
	struct ml_zip *zip;
	uint8_t hbuf[ML_HDR_MAX];
	struct ml_hdr h;
	uint64_t off = 0;

	CHECK(!ml_pack_new(&p, &diag));
	to_pack.ctx = p;
	CHECK(!ml_zip_new(&zip, ML_FULL, &to_pack, &diag));
	to_zip.ctx = zip;
	CHECK(!ml_delta(&old->m, ml_model_src(&old->m, old->src), &new->m,
		ml_model_src(&new->m, new->src), NULL, &to_zip, &diag));
	CHECK(!ml_zip_end(zip, &diag));
	info.base_size = old->n;
	info.target_size = new->n;
	info.base_wraps = ml_model_wraps(&old->m);
	info.target_wraps = ml_model_wraps(&new->m);
	CHECK(!ml_src_sha256(old->src, info.base_sha, &diag));
	CHECK(!ml_src_sha256(new->src, info.target_sha, &diag));
	CHECK(!ml_pack_proven(p, &info, old->src, &how, &proven, &diag));
	CHECK(!ml_apply_spool(proven.patch, &off, old->src, &made, &diag));
	CHECK(equal(made, new->p, new->n));
	ml_src_free(made);

	off = 0;
	CHECK(!ml_patch_walk(
		proven.patch, &off, &h, hbuf, NULL, NULL, &diag));
	CHECK(h.wrapped == (old->m.nwrap || new->m.nwrap));
	CHECK(h.target_image == new->m.size);
	if (h.wrapped) {
		CHECK(!ml_map_read(&map, proven.patch, h.len, &h, &diag));
		CHECK(map.nbase == old->m.nwrap);
		CHECK(map.ntarget == new->m.nwrap);
		if (map.nbase && map.ntarget)
			spoil_note(&map);
		ml_map_free(&map);
	}
	image = new->m.image;
	CHECK(!image || ml_src_size(image) == new->m.size);
	ml_zip_free(zip);
	ml_pack_free(p);
	ml_proven_free(&proven);
}

/* ===== what does not come again ========================================= */

static void refused(void)
{
	struct ml_src *s, *spool;
	struct ml_wrap w = {0};
	struct file f;
	int yes;

	start(&f);
	add_part(&f, 0, 50000, 1, 6, 8);
	CHECK(!ml_src_spool(&s, &diag));
	CHECK(!ml_src_spool(&spool, &diag));
	CHECK(!ml_src_append(s, f.p, f.n, &diag));
	w.clen = f.part[0].clen;
	w.len = 50000;
	CHECK(!ml_wrap_try(&w, s, spool, &yes, &diag) && yes);
	CHECK(ml_src_size(spool) == 50000 && w.level == 6);
	w.len = 49999; /* makes more than it says */
	CHECK(!ml_wrap_try(&w, s, spool, &yes, &diag) && !yes);
	w.len = 50001;
	CHECK(!ml_wrap_try(&w, s, spool, &yes, &diag) && !yes);
	w.len = UINT64_MAX / 2; /* a bomb */
	CHECK(!ml_wrap_try(&w, s, spool, &yes, &diag) && !yes);
	w.len = 50000;
	w.clen--;
	CHECK(!ml_wrap_try(&w, s, spool, &yes, &diag) && !yes);
	w.clen = 5;
	CHECK(!ml_wrap_try(&w, s, spool, &yes, &diag) && !yes);
	CHECK(ml_src_size(spool) == 50000); /* as it was */
	ml_src_free(s);
	ml_src_free(spool);
	free(f.p);
}

int main(void)
{
	static const int level[PARTS] = {6, 1, 9, 4};
	struct file none, old, new, few;
	size_t i;

	start(&none);
	add_plain(&none, 30000, 5);
	finish(&none);
	start(&old);
	start(&new);
	start(&few);
	add_plain(&new, 7, 1);
	for (i = 0; i < PARTS; i++) {
		add_plain(&old, i * 11, 2);
		add_part(&old, i, 70000 * i + 10, 3, level[i], 8);
		add_plain(&new, i * 11, 2);
		add_part(&new, PARTS - 1 - i, 70000 * i + 10, 3, 6,
			i == 2 ? 9 : 8);
	}
	add_plain(&old, 99, 2);
	add_part(&few, 1, 200000, 3, 6, 8); /* first to last byte */
	finish(&old);
	finish(&new);
	finish(&few);
	again(&none, 1000);
	again(&old, 4096);
	again(&new, 1);
	again(&few, 7);
	image_of(&old);
	stream(&none);
	stream(&old);
	stream(&few);
	patch(&old, &new);
	patch(&new, &old);
	patch(&none, &old);
	patch(&old, &none);
	patch(&few, &few);
	patch(&old, &few);
	end(&none);
	end(&old);
	end(&new);
	end(&few);
	refused();
	return 0;
}
