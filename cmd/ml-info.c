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

#include "label.h"
#include "mldec.h"
#include "prove.h"
#include "report.h"
#include "util.h"

const char ml_prog[] = "ml-info";

static const char usage[] =
	"usage: ml-info [-hjV] [-b base] [-t target] [patch]\n"
	"Shows what a patch, or each of a chain, says of itself; and if it\n"
	"needs no base or the base is named, where its bytes go.\n"
	"  -b base     the base's file\n"
	"  -t target   the target's file, to save the rebuilding of it\n"
	"  -j, --json  as JSON\n"
	"  -h, -V      this help, the version\n";

static const char *const coder_name[ML_NREC] = {"plain", "range", "note"};

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

/* The target of each patch is the base of the next. */
static void look_all(struct ml_report *r, size_t n, struct ml_src *psrc,
	const char *path, struct ml_src *base, const char *target_path)
{
	struct ml_src *from = base, *to;
	struct ml_diag diag;
	uint64_t off;
	size_t i;
	int err;

	for (i = 0; i < n; i++, r++) {
		off = r->off;
		if (target_path && i + 1 == n) {
			to = in_src(target_path);
			if (r->h.flags & ML_HF_BASE && !is_file(from,
				r->h.base_size, r->base_sha))
				die(EX_BASE, "not the base of the patch");
			if (!is_file(to, r->h.target_size, r->target_sha))
				die(EX_INPUT, "not the target of the patch");
			err = ML_OK;
		} else {
			err = ml_apply_spool(psrc, &off, from, &to, &diag);
		}
		if (!err)
			err = ml_report_look(r, psrc, from, to, &diag);
		if (err)
			die_patch(path, err, &diag, 1);
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

static double cost(const struct ml_share *s)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < ML_NOP; i++)
		n += s->cost[i];
	return (double)n / 256;
}

/* The kind that makes most of a tensor. */
static const char *dominant(const struct ml_share *s)
{
	int i, best = 0;

	for (i = 1; i < ML_NOP; i++)
		if (s->made[i] > s->made[best])
			best = i;
	return s->made[best] ? ml_op_name[best] : "-";
}

/* Sums up what is no tensor; its length is returned. */
static uint64_t skeleton(const struct ml_report *r, struct ml_share *sum)
{
	uint64_t n = 0;
	size_t i;
	int k;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < r->m.nspan; i++) {
		if (r->m.span[i].kind == ML_TENSOR)
			continue;
		n += r->m.span[i].len;
		for (k = 0; k < ML_NOP; k++) {
			sum->made[k] += r->span[i].made[k];
			sum->cost[k] += r->span[i].cost[k];
		}
	}
	return n;
}

static void show_row(FILE *f, uint64_t bytes, const struct ml_share *s,
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

static void show_tensors(FILE *f, const struct ml_report *r)
{
	char type[ML_TYPE_TEXT];
	struct ml_share rest;
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

static void show_report(FILE *f, const struct ml_report *r, size_t at, size_t n)
{
	char sha[2 * ML_SHA256_LEN + 1];
	int i;

	fprintf(f, "patch %zu of %zu: %llu bytes at %llu\n", at + 1, n,
		(unsigned long long)r->size, (unsigned long long)r->off);
	fprintf(f, "  format   version %u\n", r->h.version);
	fprintf(f, "  class    %s, %zu bytes for the model\n",
		class_name(r->h.cls), ml_dec_arena(r->h.cls));
	fprintf(f, "  flags    0x%02x%s\n", r->h.flags,
		r->h.flags & ML_HF_BASE ? ", needs a base" : "");
	if (r->h.release)
		fprintf(f, "  release  %llu\n",
			(unsigned long long)r->h.release);
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
	for (i = 0; i < ML_NREC; i++)
		if (r->nrec[i])
			fprintf(f, "  records  %s: %llu of %llu bytes\n",
				coder_name[i], (unsigned long long)r->nrec[i],
				(unsigned long long)r->rec[i]);
	fprintf(f, "  ratio    %.4f of the target\n",
		ratio((double)r->size, (double)r->h.target_size));
	if (!r->looked)
		return;
	fprintf(f, "  %12s  %12s\n", "bytes", "coded");
	for (i = 0; i < ML_NOP; i++)
		fprintf(f, "  %12llu  %12.0f  %s\n",
			(unsigned long long)r->all.made[i],
			(double)r->all.cost[i] / 256, ml_op_name[i]);
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
	const struct ml_share *s)
{
	add_number(o, "bytes", bytes);
	add_real(o, "coded", cost(s));
	add_real(o, "ratio", ratio(cost(s), (double)bytes));
	if (s->total)
		add_real(o, "changed",
			ratio((double)s->changed, (double)s->total));
	add_text(o, "mostly", dominant(s));
}

static void add_look(struct json_object *to, const struct ml_report *r)
{
	struct json_object *ops = add_object(to, "operations"), *o;
	struct json_object *list = json_object_new_array();
	char type[ML_TYPE_TEXT];
	struct ml_share rest;
	uint64_t n;
	size_t i;
	int k;

	for (k = 0; k < ML_NOP; k++) {
		o = add_object(ops, ml_op_name[k]);
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

static struct json_object *report_json(const struct ml_report *r)
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
	for (i = 0; i < ML_NREC; i++) {
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

static void show_json(FILE *f, const char *path, const struct ml_report *r,
	size_t n)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	const char *s;
	size_t i;

	need(o);
	add_escaped(o, "file", path, strlen(path));
	add(o, "patches", list);
	for (i = 0; i < n; i++)
		append(list, report_json(&r[i]));
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
	struct ml_report *report;
	int json = 0, c, err;
	struct ml_diag diag;
	struct out out;
	size_t i, n;

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
	err = ml_report_read(&report, &n, psrc, &diag);
	if (err)
		die_patch(path, err, &diag,
			n > 0 || diag.off > 0 || err == ML_ECHECK);
	if (base_path)
		base = in_src(base_path);
	if (base || !(report[0].h.flags & ML_HF_BASE))
		look_all(report, n, psrc, path, base, target);
	else if (target)
		usage_error(usage, "'-t' needs '-b'");
	out_open(&out, NULL, 0);

	/* show */
	if (json)
		show_json(out.f, path, report, n);
	else
		for (i = 0; i < n; i++)
			show_report(out.f, &report[i], i, n);

	/* close */
	ml_report_free(report, n);
	ml_src_free(base);
	ml_src_free(psrc);
	return out_close(&out);
}
