/* SPDX-License-Identifier: MIT */
/*
 * Codecs in one process, on one core, on the same buffer: coder 3 with each of
 * its kernels beside memcpy, lz4, zstd, and byte planes with Huffman codes as
 * ZipNN's C core has them (here by libzstd, from whose frames only Huffman
 * remains). Speeds are MB/s of the model, medians.
 *
 *	codec [-j] [-n runs] [-s name] model [base]
 *
 * Of the model the tensors of its commonest element type are taken, one behind
 * the other, and from the base those of the same names and sizes. -s: only
 * rows whose name has this in it.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "fast.h"
#include "mldec.h"
#include "ops.h"

#define PLANE (128u << 10) /* bytes of a plane that ZipNN codes together */
#define SLACK 4096

static int runs = 7, as_json, rows;
static const char *only;

static struct {
	uint8_t *data, *base; /* base NULL: alone */
	size_t n;
	unsigned type, w;
	size_t *cut, ncut; /* ends of tensors */
} in;

static uint8_t *code, *back, *planes;
static size_t cap;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *why, const char *what)
{
	fprintf(stderr, "codec: %s: %s\n", what, why);
	exit(1);
}

static void *must(void *p)
{
	if (!p)
		die("out of memory", "here");
	return p;
}

static int less(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* ===== ways ============================================================= */

static int level;
static ZSTD_CCtx *cctx;
static ZSTD_DCtx *dctx;
static struct ml_faster *faster;
static struct ml_fast *fast;

static size_t copy_in(void)
{
	memcpy(code, in.data, in.n);
	return in.n;
}

static void copy_out(size_t n)
{
	memcpy(back, code, n);
}

static size_t zstd_in(void)
{
	return ZSTD_compressCCtx(cctx, code, cap, in.data, in.n, level);
}

static void zstd_out(size_t n)
{
	ZSTD_decompressDCtx(dctx, back, in.n, code, n);
}

static size_t lz4_in(void)
{
	return (size_t)LZ4_compress_default((char *)in.data, (char *)code,
		(int)in.n, (int)cap);
}

static void lz4_out(size_t n)
{
	LZ4_decompress_safe((char *)code, (char *)back, (int)n, (int)in.n);
}

/* Byte planes of PLANE elements: a float's sign below, so that the exponent
 * is the upper byte; against a base of the exclusive or. Without a base only
 * the upper byte is worth coding, and ZipNN finds that out beforehand. */
static void to_planes(size_t at, size_t n)
{
	size_t i;
	unsigned j;

	if (in.w == 2) {
		for (i = 0; i < n; i++) {
			uint16_t v, b;

			memcpy(&v, in.data + at + 2 * i, 2);
			if (in.base) {
				memcpy(&b, in.base + at + 2 * i, 2);
				v ^= b;
			}
			v = (uint16_t)(v << 1 | v >> 15);
			planes[i] = (uint8_t)v;
			planes[n + i] = (uint8_t)(v >> 8);
		}
	} else {
		for (i = 0; i < n; i++) {
			uint32_t v, b;

			memcpy(&v, in.data + at + 4 * i, 4);
			if (in.base) {
				memcpy(&b, in.base + at + 4 * i, 4);
				v ^= b;
			}
			v = v << 1 | v >> 31;
			for (j = 0; j < 4; j++)
				planes[j * n + i] = (uint8_t)(v >> 8 * j);
		}
	}
}

static void from_planes(size_t at, size_t n)
{
	size_t i;

	if (in.w == 2) {
		for (i = 0; i < n; i++) {
			uint16_t v = (uint16_t)(planes[i] | planes[n + i] << 8);
			uint16_t b;

			v = (uint16_t)(v >> 1 | v << 15);
			if (in.base) {
				memcpy(&b, in.base + at + 2 * i, 2);
				v ^= b;
			}
			memcpy(back + at + 2 * i, &v, 2);
		}
	} else {
		for (i = 0; i < n; i++) {
			uint32_t v = planes[i] | (uint32_t)planes[n + i] << 8 |
				(uint32_t)planes[2 * n + i] << 16 |
				(uint32_t)planes[3 * n + i] << 24, b;

			v = v >> 1 | v << 31;
			if (in.base) {
				memcpy(&b, in.base + at + 4 * i, 4);
				v ^= b;
			}
			memcpy(back + at + 4 * i, &v, 4);
		}
	}
}

static size_t planes_in(void)
{
	const unsigned first = in.base ? 0 : in.w - 1;
	size_t at, k, n, got;
	uint8_t *p = code;
	unsigned j;

	for (at = 0; at < in.n; at += k) {
		k = in.n - at < PLANE * in.w ? in.n - at : PLANE * in.w;
		n = k / in.w;
		to_planes(at, n);
		memcpy(p, planes, n * first);
		p += n * first;
		for (j = first; j < in.w; j++) {
			got = ZSTD_compress2(cctx, p + 4, n + 1024,
				planes + j * n, n);
			if (ZSTD_isError(got) || got >= n) {
				memcpy(p + 4, planes + j * n, n);
				got = n;
			}
			memcpy(p, &got, 4);
			p += 4 + got;
		}
	}
	return (size_t)(p - code);
}

static void planes_out(size_t len)
{
	const unsigned first = in.base ? 0 : in.w - 1;
	const uint8_t *p = code;
	size_t at, k, n;
	uint32_t got;
	unsigned j;

	(void)len;
	for (at = 0; at < in.n; at += k) {
		k = in.n - at < PLANE * in.w ? in.n - at : PLANE * in.w;
		n = k / in.w;
		memcpy(planes, p, n * first);
		p += n * first;
		for (j = first; j < in.w; j++) {
			memcpy(&got, p, 4);
			if (got == n)
				memcpy(planes + j * n, p + 4, n);
			else
				ZSTD_decompressDCtx(dctx, planes + j * n, n,
					p + 4, got);
			p += 4 + got;
		}
		from_planes(at, n);
	}
}

/* Blocks of coder 3, cut at the ends of tensors. */
static size_t fast_in(void)
{
	struct ml_fast_in b = { .type = in.type };
	const uint8_t *p;
	size_t at = 0, i, n;
	uint8_t *to = code;
	uint32_t len;

	for (i = 0; i < in.ncut; i++)
		for (; at < in.cut[i]; at += b.n) {
			b.n = in.cut[i] - at < ML_FAST_MAX ? in.cut[i] - at :
				ML_FAST_MAX;
			b.at = at;
			b.data = in.data + at;
			b.base = in.base ? in.base + at : NULL;
			ml_faster_encode(faster, &b, &p, &n);
			len = (uint32_t)(n ? n : b.n);
			memcpy(to, &len, 4);
			memcpy(to + 4, n ? p : b.data, len);
			to += 4 + len;
		}
	return (size_t)(to - code);
}

static void fast_out(size_t len)
{
	struct ml_fast_head h;
	const uint8_t *p = code;
	size_t at = 0, i, n;
	uint32_t k;

	(void)len;
	for (i = 0; i < in.ncut; i++)
		for (; at < in.cut[i]; at += n) {
			n = in.cut[i] - at < ML_FAST_MAX ? in.cut[i] - at :
				ML_FAST_MAX;
			memcpy(&k, p, 4);
			p += 4;
			if (k == n) {
				memcpy(back + at, p, n);
			} else {
				if (ml_fast_head(&h, p, k, n))
					die("bad block", "coder 3");
				if (ml_fast_decode(fast, &h, p, k, in.base ?
					in.base + at : NULL, back + at, n))
					die("bad block", "coder 3");
			}
			p += k;
		}
}

/* ===== measuring ======================================================== */

static void row(const char *name, size_t (*to)(void), void (*from)(size_t))
{
	double c[64], d[64], t;
	size_t n = 0;
	int i;

	if (only && !strstr(name, only))
		return;
	for (i = 0; i < runs; i++) {
		t = now();
		n = to();
		c[i] = now() - t;
		memset(back, 0, in.n);
		t = now();
		from(n);
		d[i] = now() - t;
		if (memcmp(back, in.data, in.n) != 0)
			die("not what it was", name);
	}
	qsort(c, (size_t)runs, sizeof *c, less);
	qsort(d, (size_t)runs, sizeof *d, less);
	t = (double)in.n * 1e-6;
	printf(as_json ? "%s{\"codec\": \"%s\", \"ratio\": %.5f, "
		"\"in_mbs\": %.0f, \"out_mbs\": %.0f}" :
		"%s%-34s %9.5f %9.0f %9.0f\n", !as_json ? "" : rows++ ?
		",\n  " : "  ", name, (double)n / (double)in.n,
		t / c[runs / 2], t / d[runs / 2]);
	fflush(stdout);
}

static void all(void)
{
	const struct ml_fast_code *k;
	struct ml_diag diag;
	char name[64];
	unsigned i;

	row("memcpy", copy_in, copy_out);
	if (in.n < LZ4_MAX_INPUT_SIZE)
		row("lz4", lz4_in, lz4_out);
	for (level = 1; level <= 3; level += 2) {
		snprintf(name, sizeof name, "zstd -%d", level);
		row(name, zstd_in, zstd_out);
	}
	if (in.w == 2 || in.w == 4) {
		ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, -131072);
		ZSTD_CCtx_setParameter(cctx, ZSTD_c_literalCompressionMode,
			ZSTD_ps_enable);
		row(in.base ? "xor, planes, huffman (zipnn's core)" :
			"planes, huffman (zipnn's core)", planes_in,
			planes_out);
		ZSTD_CCtx_reset(cctx, ZSTD_reset_parameters);
		ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, 1);
		if (in.base)
			row("xor, planes, zstd -1", planes_in, planes_out);
	}
	for (i = 0; (k = ml_fast_code_nth(i)); i++) {
		if (ml_faster_new(&faster, k, &diag))
			die(diag.why, "coder 3");
		fast->kern = k->dec;
		snprintf(name, sizeof name, "coder 3, %s", k->dec->name);
		row(name, fast_in, fast_out);
		ml_faster_free(faster);
	}
}

/* ===== input ============================================================ */

struct file {
	struct ml_src *src;
	struct ml_model m;
};

static void open_file(struct file *f, const char *path)
{
	struct ml_diag diag;

	if (ml_src_open(&f->src, path, &diag) ||
		ml_model_read(&f->m, f->src, NULL, &diag))
		die(diag.why, path);
}

static const struct ml_span *find(const struct file *f,
	const struct ml_span *sp)
{
	size_t i;

	for (i = 0; i < f->m.nspan; i++) {
		const struct ml_span *b = &f->m.span[i];

		if (b->kind == ML_TENSOR && b->len == sp->len &&
			b->dtype == sp->dtype && b->name_len == sp->name_len &&
			!memcmp(b->name, sp->name, sp->name_len))
			return b;
	}
	return NULL;
}

static void take(const struct file *f, const struct file *base)
{
	uint64_t sum[64] = {0};
	const struct ml_span *sp, *b = NULL;
	struct ml_diag diag;
	size_t i, most = 0;
	unsigned type;

	for (i = 0; i < f->m.nspan; i++) {
		sp = &f->m.span[i];
		type = ml_type_of(sp->dtype);
		if (sp->kind == ML_TENSOR && type < ML_FAST_TYPES)
			sum[type] += sp->len;
	}
	for (i = 1; i < ML_FAST_TYPES; i++)
		if (sum[i] > sum[most])
			most = i;
	in.type = (unsigned)most;
	in.w = ml_type_bytes(in.type);
	in.data = must(malloc((size_t)sum[most] + SLACK));
	in.base = base ? must(malloc((size_t)sum[most] + SLACK)) : NULL;
	in.cut = must(malloc((f->m.nspan + 1) * sizeof *in.cut));
	for (i = 0; i < f->m.nspan; i++) {
		sp = &f->m.span[i];
		if (sp->kind != ML_TENSOR || ml_type_of(sp->dtype) != most ||
			(base && !(b = find(base, sp))))
			continue;
		if (ml_src_read(ml_model_src(&f->m, f->src), sp->off, in.data +
			in.n, (size_t)sp->len, &diag) || (base && ml_src_read(
			ml_model_src(&base->m, base->src), b->off, in.base +
			in.n, (size_t)sp->len, &diag)))
			die(diag.why, "tensor");
		in.n += (size_t)sp->len;
		in.cut[in.ncut++] = in.n;
	}
	if (!in.n)
		die("no tensors to measure", "model");
}

int main(int argc, char **argv)
{
	struct file f, base;
	int c;

	while ((c = getopt(argc, argv, "jn:s:")) != -1) {
		if (c == 'j')
			as_json = 1;
		else if (c == 's')
			only = optarg;
		else if (c == 'n' && atoi(optarg) > 0 && atoi(optarg) <= 64)
			runs = atoi(optarg);
		else
			die("usage: codec [-j] [-n runs] [-s name] model [base]", "?");
	}
	if (argc - optind < 1 || argc - optind > 2)
		die("usage: codec [-j] [-n runs] [-s name] model [base]", "?");
	open_file(&f, argv[optind]);
	if (argc - optind == 2)
		open_file(&base, argv[optind + 1]);
	take(&f, argc - optind == 2 ? &base : NULL);
	cap = in.n + in.n / 8 + (1u << 20);
	code = must(malloc(cap));
	back = must(malloc(in.n + SLACK));
	planes = must(malloc(8 * PLANE));
	fast = must(malloc(sizeof *fast));
	cctx = must(ZSTD_createCCtx());
	dctx = must(ZSTD_createDCtx());
	memset(code, 1, cap);
	memset(back, 1, in.n);
	if (as_json)
		printf("{\"bytes\": %zu, \"type\": %u, \"rows\": [\n", in.n,
			in.type);
	else
		printf("%zu bytes of element type %u%s\n%-34s %9s %9s %9s\n",
			in.n, in.type, in.base ? ", against a base" : "",
			"codec", "ratio", "MB/s in", "out");
	all();
	if (as_json)
		printf("\n]}\n");
	return 0;
}
