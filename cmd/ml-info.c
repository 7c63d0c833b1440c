/* SPDX-License-Identifier: MIT */
/*
 * ml-info: what a patch says of itself, and with its base also where its bytes
 * go: by kind of operation and by tensor. All is read before anything is
 * shown, so that a damaged patch shows nothing.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "hdr.h"
#include "label.h"
#include "mldec.h"
#include "prove.h"
#include "util.h"

const char ml_prog[] = "ml-info";

static const char usage[] =
	"usage: ml-info [-hjV] [-b base] [-t target] [patch]\n"
	"Shows what a patch, or each of a chain, says of itself; and if it needs\n"
	"no base or the base is named, where its bytes go.\n"
	"  -b base     the base's file\n"
	"  -t target   the target's file, to save the rebuilding of it\n"
	"  -j, --json  as JSON\n"
	"  -h, -V      this help, the version\n";

enum { PLAIN, RANGE, NOTE, NCODER };
static const char *const coder_name[NCODER] = {"plain", "range", "note"};

#define NKIND 5
static const char *const kind_name[NKIND] = {
	"literal", "copy", "self", "residual", "alone"};

/* Where the bytes of a tensor, or of all, come from. */
struct share {
	uint64_t made[NKIND]; /* target bytes */
	uint64_t cost[NKIND]; /* coded bytes, in 1/256 */
	uint64_t total; /* elements that could be compared with the base's, */
	uint64_t changed; /* and those that differ */
};

struct report {
	uint64_t off, size; /* of the patch in the file */
	struct ml_hdr h; /* without its pointers */
	uint8_t base_sha[ML_SHA256_LEN], target_sha[ML_SHA256_LEN];
	uint64_t nrec[NCODER], rec[NCODER]; /* records and their bytes */
	int looked; /* the rest is known */
	struct ml_model m; /* of the target */
	struct share all, *span; /* for each of m */
	size_t at; /* the span that is being made */
};

struct chain {
	struct report *r;
	size_t n;
};

static void need(const void *p)
{
	if (!p)
		die(EX_SYSTEM, "out of memory");
}

/* A patch is the input here: what is wrong with it has its own status, but
 * what is no patch at all is like any other input. */
static _Noreturn void die_patch(
	const char *path, int err, const struct ml_diag *d, int is_patch)
{
	const int status = ml_exit_status(err);

	if (err == ML_EBASE)
		die(EX_BASE, "%s", d->why);
	warn_diag(path, d);
	exit(status == EX_INPUT && is_patch ? EX_PATCH : status);
}

/* ===== headers and records ============================================== */

static int count(void *arg, const struct ml_record *rec, struct ml_diag *diag)
{
	struct report *r = arg;
	const unsigned coder = rec->coder & ML_RECORD_CODER;
	const int i = coder == ML_CODER_NOTE ? NOTE :
		coder == ML_CODER_RANGE ? RANGE : PLAIN;

	(void)diag;
	r->nrec[i]++;
	r->rec[i] += rec->code - rec->off + rec->n + 4;
	return ML_OK;
}

static void walk(struct chain *c, struct ml_src *psrc, const char *path)
{
	uint8_t hbuf[ML_HDR_MAX];
	struct ml_diag diag;
	struct report *r;
	uint64_t off = 0;
	size_t cap = 0;
	int err;

	do {
		if (c->n == cap) {
			cap = cap ? cap * 2 : 4;
			c->r = realloc(c->r, cap * sizeof(*c->r));
			need(c->r);
		}
		r = &c->r[c->n++];
		memset(r, 0, sizeof(*r));
		r->off = off;
		err = ml_patch_walk(psrc, &off, &r->h, hbuf, count, r, &diag);
		if (err)
			die_patch(path, err, &diag, c->n > 1 || diag.off > 0 ||
				err == ML_ECHECK);
		r->size = off - r->off;
		memcpy(r->target_sha, r->h.target_sha, ML_SHA256_LEN);
		if (r->h.base_sha)
			memcpy(r->base_sha, r->h.base_sha, ML_SHA256_LEN);
		r->h.target_sha = r->h.base_sha = r->h.ext = NULL;
	} while (off < ml_src_size(psrc));
}

/* ===== operations ======================================================= */

struct look {
	struct report *r;
	struct ml_unzip *u;
};

/* Adds an operation to the spans that it makes, its cost by their share. */
static void spread(struct report *r, int kind, uint64_t bytes, uint64_t cost)
{
	const struct ml_span *sp;
	uint64_t left, k, part;

	for (; bytes && r->at < r->m.nspan; bytes -= k, cost -= part) {
		struct share *s = &r->span[r->at];
		uint64_t made = 0;
		int i;

		sp = &r->m.span[r->at];
		for (i = 0; i < NKIND; i++)
			made += s->made[i];
		left = sp->len - made;
		k = bytes < left ? bytes : left;
		part = k == bytes ? cost :
			(uint64_t)((double)cost * (double)k / (double)bytes);
		if (part > cost)
			part = cost;
		s->made[kind] += k;
		s->cost[kind] += part;
		if (k == left)
			r->at++;
	}
}

static int tell(void *arg, const struct ml_op_info *o, struct ml_diag *diag)
{
	struct report *r = arg;
	int i = 0;

	(void)diag;
	while (i < NKIND - 1 && strcmp(o->op, kind_name[i]) != 0)
		i++;
	r->all.made[i] += o->bytes;
	r->all.cost[i] += o->cost;
	spread(r, i, o->bytes, o->cost);
	return ML_OK;
}

static int no_span(void *ctx, const struct ml_span *sp, struct ml_diag *diag)
{
	(void)ctx;
	(void)sp;
	(void)diag;
	return ML_OK;
}

static int look(void *ctx, const struct ml_block *b, struct ml_diag *diag)
{
	struct look *l = ctx;

	return ml_unzip_look(l->u, b, tell, l->r, diag);
}

static void look_at(struct report *r, struct ml_src *psrc, const char *path,
	struct ml_src *base)
{
	struct look l = {.r = r};
	struct ml_sink sink = {&l, no_span, look};
	uint64_t off = r->off;
	struct ml_diag diag;
	int err;

	r->span = calloc(r->m.nspan + 1, sizeof(*r->span));
	need(r->span);
	err = ml_unzip_new(&l.u, r->h.cls, base, &sink, &diag);
	if (!err)
		err = ml_unpack(psrc, &off, &sink, &diag);
	if (err)
		die_patch(path, err, &diag, 1);
	ml_unzip_free(l.u);
}

/* ===== what has changed ================================================= */

static int by_name(const void *a, const void *b)
{
	const struct ml_span *x = *(struct ml_span *const *)a;
	const struct ml_span *y = *(struct ml_span *const *)b;
	const size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	const int c = memcmp(x->name, y->name, n);

	if (c)
		return c;
	return (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static int count_changed(struct share *s, const struct ml_span *t,
	struct ml_src *tsrc, const struct ml_span *b, struct ml_src *bsrc,
	struct ml_diag *diag)
{
	static uint8_t x[65536], y[65536];
	const struct ml_dtype_info *type = ml_dtype_find(t->dtype);
	size_t unit = type && type->block_bytes ? type->block_bytes : 1;
	uint64_t at;
	size_t n, i;
	int err;

	if (t->len % unit)
		unit = 1;
	for (at = 0; at < t->len; at += n) {
		n = sizeof(x) - sizeof(x) % unit;
		if (t->len - at < n)
			n = (size_t)(t->len - at);
		err = ml_src_read(tsrc, t->off + at, x, n, diag);
		if (!err)
			err = ml_src_read(bsrc, b->off + at, y, n, diag);
		if (err)
			return err;
		for (i = 0; i < n; i += unit)
			s->changed += memcmp(x + i, y + i, unit) != 0;
		s->total += n / unit;
	}
	return ML_OK;
}

/* Compares each tensor with that of the same name and length in the base. */
static void compare(struct report *r, struct ml_src *tsrc, struct ml_src *bsrc)
{
	struct ml_span **key, *sp, **hit;
	struct ml_model m;
	struct ml_diag diag;
	size_t i, n = 0;
	int err = ml_model_read(&m, bsrc, NULL, &diag);

	if (err)
		die_diag("base", err, &diag);
	key = malloc((m.nspan + 1) * sizeof(*key));
	need(key);
	for (i = 0; i < m.nspan; i++)
		if (m.span[i].kind == ML_TENSOR)
			key[n++] = &m.span[i];
	qsort(key, n, sizeof(*key), by_name);
	for (i = 0; !err && i < r->m.nspan; i++) {
		sp = &r->m.span[i];
		if (sp->kind != ML_TENSOR || n == 0)
			continue;
		hit = bsearch(&sp, key, n, sizeof(*key), by_name);
		if (hit && (*hit)->len == sp->len)
			err = count_changed(
				&r->span[i], sp, tsrc, *hit, bsrc, &diag);
	}
	if (err)
		die_out(err, &diag);
	free(key);
	ml_model_free(&m);
}

/* ===== a patch and its files ============================================ */

/* Whether a file is the one that a header means. */
static int is_file(struct ml_src *s, uint64_t size,
	const uint8_t sha[ML_SHA256_LEN])
{
	uint8_t own[ML_SHA256_LEN];
	struct ml_diag diag;
	int err;

	if (ml_src_size(s) != size)
		return 0;
	err = ml_src_sha256(s, own, &diag);
	if (err)
		die_out(err, &diag);
	return memcmp(own, sha, sizeof(own)) == 0;
}

/* The names of the target's tensors: labels, or else its container's. */
static void name_tensors(struct report *r, struct ml_src *psrc,
	const char *path, struct ml_src *target)
{
	uint64_t off = r->off;
	struct ml_diag diag;
	size_t i;
	int err = ml_patch_labels(psrc, &off, &r->m, &diag);

	if (err)
		die_patch(path, err, &diag, 1);
	for (i = 0; i < r->m.nspan; i++)
		if (r->m.span[i].kind == ML_TENSOR)
			return;
	ml_model_free(&r->m);
	err = ml_model_read(&r->m, target, NULL, &diag);
	if (err)
		die_out(err, &diag);
}

/* Takes the target's source for the next patch, or frees it. */
static void look_all(struct chain *c, struct ml_src *psrc, const char *path,
	struct ml_src *base, const char *target_path)
{
	struct ml_src *from = base, *to;
	struct ml_diag diag;
	size_t i;

	for (i = 0; i < c->n; i++) {
		struct report *r = &c->r[i];
		const int needs = (r->h.flags & ML_HF_BASE) != 0;
		uint64_t off = r->off;
		int err;

		if (target_path && i + 1 == c->n) {
			to = in_src(target_path);
			if (needs && !is_file(from, r->h.base_size,
				r->base_sha))
				die(EX_BASE, "not the base of the patch");
			if (!is_file(to, r->h.target_size, r->target_sha))
				die(EX_INPUT, "not the target of the patch");
		} else {
			err = ml_apply_spool(psrc, &off, from, &to, &diag);
			if (err)
				die_patch(path, err, &diag, 1);
		}
		name_tensors(r, psrc, path, to);
		look_at(r, psrc, path, needs ? from : NULL);
		if (needs)
			compare(r, to, from);
		r->looked = 1;
		if (from != base)
			ml_src_free(from);
		from = to;
	}
	if (from != base)
		ml_src_free(from);
}

/* ===== showing ========================================================== */

static const char *class_name(int cls)
{
	return cls == ML_NANO ? "nano" : cls == ML_MICRO ? "micro" : "full";
}

static const char *hex(char buf[2 * ML_SHA256_LEN + 1],
	const uint8_t sha[ML_SHA256_LEN])
{
	int i;

	for (i = 0; i < ML_SHA256_LEN; i++)
		snprintf(buf + 2 * i, 3, "%02x", sha[i]);
	return buf;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static double cost(const struct share *s)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < NKIND; i++)
		n += s->cost[i];
	return (double)n / 256;
}

/* The kind that makes most of a tensor. */
static const char *dominant(const struct share *s)
{
	int i, best = 0;

	for (i = 1; i < NKIND; i++)
		if (s->made[i] > s->made[best])
			best = i;
	return s->made[best] ? kind_name[best] : "-";
}

/* Sums up what is no tensor; its length is returned. */
static uint64_t skeleton(const struct report *r, struct share *sum)
{
	uint64_t n = 0;
	size_t i;
	int k;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < r->m.nspan; i++) {
		if (r->m.span[i].kind == ML_TENSOR)
			continue;
		n += r->m.span[i].len;
		for (k = 0; k < NKIND; k++) {
			sum->made[k] += r->span[i].made[k];
			sum->cost[k] += r->span[i].cost[k];
		}
	}
	return n;
}

static void show_row(FILE *f, uint64_t bytes, const struct share *s,
	const char *type, const char *name)
{
	char changed[16] = "-";

	if (s->total)
		snprintf(changed, sizeof(changed), "%.1f%%",
			100 * (double)s->changed / (double)s->total);
	fprintf(f, "  %12llu  %12.0f  %6.4f  %7s  %-8s  %-8s  %s\n",
		(unsigned long long)bytes, cost(s),
		ratio(cost(s), (double)bytes), changed, dominant(s), type,
		name);
}

static void show_tensors(FILE *f, const struct report *r)
{
	char type[ML_TYPE_TEXT];
	struct share rest;
	uint64_t n;
	size_t i;
	char *name;

	fprintf(f, "  %12s  %12s  %6s  %7s  %-8s  %-8s  %s\n", "bytes",
		"coded", "ratio", "changed", "mostly", "type", "tensor");
	for (i = 0; i < r->m.nspan; i++) {
		const struct ml_span *sp = &r->m.span[i];

		if (sp->kind != ML_TENSOR)
			continue;
		name = ml_escaped(sp->name, sp->name_len);
		need(name);
		show_row(f, sp->len, &r->span[i], ml_type_text(type, sp), name);
		free(name);
	}
	n = skeleton(r, &rest);
	if (n)
		show_row(f, n, &rest, "skeleton", "-");
}

static void show_report(FILE *f, const struct chain *c, size_t at)
{
	const struct report *r = &c->r[at];
	char sha[2 * ML_SHA256_LEN + 1];
	int i;

	fprintf(f, "patch %zu of %zu: %llu bytes at %llu\n", at + 1, c->n,
		(unsigned long long)r->size, (unsigned long long)r->off);
	fprintf(f, "  format   version %u\n", r->h.version);
	fprintf(f, "  class    %s, %zu bytes for the model\n",
		class_name(r->h.cls), ml_dec_arena(r->h.cls));
	fprintf(f, "  flags    0x%02x%s\n", r->h.flags,
		r->h.flags & ML_HF_BASE ? ", needs a base" : "");
	if (r->h.release)
		fprintf(f, "  release  %llu\n", (unsigned long long)r->h.release);
	if (r->h.flags & ML_HF_BASE)
		fprintf(f, "  base     %llu bytes, SHA-256 %s\n",
			(unsigned long long)r->h.base_size,
			hex(sha, r->base_sha));
	fprintf(f, "  target   %llu bytes, SHA-256 %s\n",
		(unsigned long long)r->h.target_size, hex(sha, r->target_sha));
	fprintf(f, "  header   %u bytes", r->h.len);
	if (r->h.ext_len)
		fprintf(f, ", %u of them extensions", r->h.ext_len);
	fprintf(f, "\n  body     %llu bytes, window %llu\n",
		(unsigned long long)r->h.body_len,
		(unsigned long long)r->h.window);
	for (i = 0; i < NCODER; i++)
		if (r->nrec[i])
			fprintf(f, "  records  %s: %llu of %llu bytes\n",
				coder_name[i], (unsigned long long)r->nrec[i],
				(unsigned long long)r->rec[i]);
	fprintf(f, "  ratio    %.4f of the target\n",
		ratio((double)r->size, (double)r->h.target_size));
	if (!r->looked)
		return;
	fprintf(f, "  %12s  %12s\n", "bytes", "coded");
	for (i = 0; i < NKIND; i++)
		fprintf(f, "  %12llu  %12.0f  %s\n",
			(unsigned long long)r->all.made[i],
			(double)r->all.cost[i] / 256, kind_name[i]);
	show_tensors(f, r);
}

/* ===== the same as JSON ================================================= */

static void add(struct json_object *to, const char *key, struct json_object *o)
{
	need(o);
	if (json_object_object_add(to, key, o))
		need(NULL);
}

static void add_number(struct json_object *to, const char *key, uint64_t v)
{
	add(to, key, json_object_new_uint64(v));
}

static void add_text(struct json_object *to, const char *key, const char *s)
{
	add(to, key, json_object_new_string(s));
}

static void add_real(struct json_object *to, const char *key, double v)
{
	char text[40];

	snprintf(text, sizeof(text), "%.6f", v);
	add(to, key, json_object_new_double_s(v, text));
}

static struct json_object *add_object(struct json_object *to, const char *key)
{
	struct json_object *o = json_object_new_object();

	add(to, key, o);
	return o;
}

static void add_escaped(struct json_object *to, const char *key, const char *s,
	size_t n)
{
	char *name = ml_escaped(s, n);

	need(name);
	add_text(to, key, name);
	free(name);
}

static void append(struct json_object *array, struct json_object *o)
{
	need(o);
	if (json_object_array_add(array, o))
		need(NULL);
}

static void add_file(struct json_object *to, const char *key, uint64_t size,
	const uint8_t sha[ML_SHA256_LEN])
{
	struct json_object *o = add_object(to, key);
	char text[2 * ML_SHA256_LEN + 1];

	add_number(o, "size", size);
	add_text(o, "sha256", hex(text, sha));
}

static void add_share(struct json_object *o, uint64_t bytes,
	const struct share *s)
{
	add_number(o, "bytes", bytes);
	add_real(o, "coded", cost(s));
	add_real(o, "ratio", ratio(cost(s), (double)bytes));
	if (s->total)
		add_real(o, "changed",
			ratio((double)s->changed, (double)s->total));
	add_text(o, "mostly", dominant(s));
}

static void add_look(struct json_object *to, const struct report *r)
{
	struct json_object *ops = add_object(to, "operations"), *o;
	struct json_object *list = json_object_new_array();
	char type[ML_TYPE_TEXT];
	struct share rest;
	uint64_t n;
	size_t i;
	int k;

	for (k = 0; k < NKIND; k++) {
		o = add_object(ops, kind_name[k]);
		add_number(o, "bytes", r->all.made[k]);
		add_real(o, "coded", (double)r->all.cost[k] / 256);
	}
	add(to, "tensors", list);
	for (i = 0; i < r->m.nspan; i++) {
		const struct ml_span *sp = &r->m.span[i];

		if (sp->kind != ML_TENSOR)
			continue;
		o = json_object_new_object();
		append(list, o);
		add_escaped(o, "name", sp->name, sp->name_len);
		add_text(o, "dtype", ml_type_text(type, sp));
		add_share(o, sp->len, &r->span[i]);
	}
	n = skeleton(r, &rest);
	add_share(add_object(to, "skeleton"), n, &rest);
}

static struct json_object *report_json(const struct report *r)
{
	struct json_object *o = json_object_new_object(), *recs, *rec;
	int i;

	need(o);
	add_number(o, "offset", r->off);
	add_number(o, "size", r->size);
	add_number(o, "version", r->h.version);
	add_text(o, "class", class_name(r->h.cls));
	add_number(o, "memory", ml_dec_arena(r->h.cls));
	add_number(o, "flags", r->h.flags);
	add_number(o, "release", r->h.release);
	if (r->h.flags & ML_HF_BASE)
		add_file(o, "base", r->h.base_size, r->base_sha);
	add_file(o, "target", r->h.target_size, r->target_sha);
	add_number(o, "header", r->h.len);
	add_number(o, "extensions", r->h.ext_len);
	add_number(o, "body", r->h.body_len);
	add_number(o, "window", r->h.window);
	recs = add_object(o, "records");
	for (i = 0; i < NCODER; i++) {
		rec = add_object(recs, coder_name[i]);
		add_number(rec, "count", r->nrec[i]);
		add_number(rec, "bytes", r->rec[i]);
	}
	add_real(o, "ratio",
		ratio((double)r->size, (double)r->h.target_size));
	if (r->looked)
		add_look(o, r);
	return o;
}

static void show_json(FILE *f, const char *path, const struct chain *c)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	const char *s;
	size_t i;

	need(o);
	add_escaped(o, "file", path, strlen(path));
	add(o, "patches", list);
	for (i = 0; i < c->n; i++)
		append(list, report_json(&c->r[i]));
	s = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
		JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
	need(s);
	fprintf(f, "%s\n", s);
	json_object_put(o);
}

int main(int argc, char **argv)
{
	static const struct option longer[] = {
		{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	const char *base_path = NULL, *target = NULL, *path;
	struct ml_src *psrc, *base = NULL;
	struct chain chain = {NULL, 0};
	int json = 0, c;
	struct out out;
	size_t i;

	/* arguments */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:b:hjt:V", longer, NULL)) !=
		-1) {
		switch (c) {
		case 'b': base_path = optarg; break;
		case 'h': help(usage);
		case 'j': json = 1; break;
		case 't': target = optarg; break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one patch");
	path = optind < argc ? argv[optind] : "-";
	if ((base_path && strcmp(base_path, "-") == 0) +
		(target && strcmp(target, "-") == 0) +
		(strcmp(path, "-") == 0) > 1)
		usage_error(usage, "only one file can be standard input");

	/* prepare */
	psrc = in_src(path);
	walk(&chain, psrc, path);
	if (base_path)
		base = in_src(base_path);
	if (base || !(chain.r[0].h.flags & ML_HF_BASE))
		look_all(&chain, psrc, path, base, target);
	else if (target)
		usage_error(usage, "'-t' needs '-b'");
	out_open(&out, NULL, 0);

	/* show */
	if (json)
		show_json(out.f, path, &chain);
	else
		for (i = 0; i < chain.n; i++)
			show_report(out.f, &chain, i);

	/* close */
	for (i = 0; i < chain.n; i++) {
		ml_model_free(&chain.r[i].m);
		free(chain.r[i].span);
	}
	free(chain.r);
	ml_src_free(base);
	ml_src_free(psrc);
	return out_close(&out);
}
