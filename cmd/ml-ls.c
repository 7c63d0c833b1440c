/* SPDX-License-Identifier: MIT */
/* ml-ls: the tensors of a model file, of a stream, or of what a patch makes.
 * What the input is, its first bytes say. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "label.h"
#include "mldec.h"
#include "prove.h"
#include "util.h"

const char ml_prog[] = "ml-ls";

static const char usage[] =
	"usage: ml-ls [-ahjV] [-b base] [-f format] [file]\n"
	"Lists the tensors of a model file, of a tensor-record stream or of\n"
	"what a patch makes: offset, bytes, element type, shape, name.\n"
	"  -a          what is no tensor, too\n"
	"  -b base     the base's file, for patches without labels\n"
	"  -f format   a model: raw, safetensors, gguf, onnx or tflite\n"
	"  -j, --json  as JSON\n"
	"  -h, -V      this help, the version\n";

#define HEAD 8 /* bytes that tell what it is */
static const uint8_t stream_magic[HEAD] = {
	0xd3, 'm', 'l', 's', '\r', '\n', 0x1a, '\n'};

/* ===== reading ========================================================== */

static void need(const void *p)
{
	if (!p)
		die(EX_SYSTEM, "out of memory");
}

/* Labels of a stream of any kind; the bytes pass by. */
static int read_stream(FILE *f, struct ml_model *m, struct ml_diag *diag)
{
	struct ml_in *in = NULL;
	struct ml_span sp;
	const uint8_t *p;
	struct ml_done d;
	uint32_t tag = 0;
	size_t n;
	int err = ml_in_open(&in, f, diag);

	ml_model_init(m);
	while (!err && tag != ML_DONE) {
		err = ml_in_next(in, &tag, &p, &n, diag);
		if (err)
			break;
		if (tag == ML_SPAN) {
			err = ml_span_decode(&sp, p, n, diag);
			if (err)
				break;
			err = ml_model_add(m, sp.name, sp.name_len, sp.dtype,
				sp.rank, sp.shape, sp.off, sp.len, diag);
			if (!err)
				m->span[m->nspan - 1].kind = sp.kind;
			ml_span_clear(&sp);
		} else if (tag == ML_QUNT) {
			err = ml_quant_decode(&m->span[m->nspan - 1].quant, p,
				n, diag);
		} else if (tag == ML_DONE) {
			err = ml_done_decode(&d, p, n, diag);
			m->size = d.size;
		}
	}
	if (!err)
		m->container = ml_in_head(in)->container;
	ml_in_free(in);
	return err;
}

/* A patch is the input here: what is wrong with it has its own status. */
static _Noreturn void die_patch(
	const char *path, int err, const struct ml_diag *d)
{
	const int status = ml_exit_status(err);

	if (err == ML_EBASE)
		die(EX_BASE, "%s", d->why);
	warn_diag(path, d);
	exit(status == EX_INPUT ? EX_PATCH : status);
}

/* What the patches of a chain make, one after the other. */
static struct ml_src *rebuild(struct ml_src *psrc, const char *path,
	struct ml_src *base)
{
	struct ml_src *from = base, *to;
	struct ml_diag diag;
	uint64_t off = 0;
	int err;

	do {
		err = ml_apply_spool(psrc, &off, from, &to, &diag);
		if (err)
			die_patch(path, err, &diag);
		if (from != base)
			ml_src_free(from);
		from = to;
	} while (off < ml_src_size(psrc));
	return from;
}

static void read_patch(struct ml_src *psrc, const char *path,
	const char *base_path, struct ml_model *m, int *known)
{
	struct ml_src *base = NULL, *target;
	uint64_t off = 0, last;
	uint8_t hbuf[ML_HDR_MAX];
	int needs = -1, err;
	struct ml_diag diag;
	struct ml_hdr h;
	size_t i;

	do {
		last = off;
		err = ml_patch_walk(psrc, &off, &h, hbuf, NULL, NULL, &diag);
		if (err)
			die_patch(path, err, &diag);
		if (needs < 0)
			needs = h.flags & ML_HF_BASE;
	} while (off < ml_src_size(psrc));
	off = last;
	err = ml_patch_labels(psrc, &off, m, &diag);
	if (err)
		die_patch(path, err, &diag);
	*known = 0;
	for (i = 0; i < m->nspan; i++)
		if (m->span[i].kind == ML_TENSOR)
			return;
	if (needs && !base_path)
		die(EX_INPUT, "the patch has no labels: name the base's file "
			"with '-b' to see what it makes");
	ml_model_free(m);
	if (base_path)
		base = in_src(base_path);
	target = rebuild(psrc, path, base);
	err = ml_model_read(m, target, NULL, &diag);
	if (err)
		die_diag(path, err, &diag);
	if (diag.why[0])
		warn_diag("what the patch makes", &diag);
	*known = 1;
	ml_src_free(target);
	ml_src_free(base);
}

/* All that is left of f, behind what was read of it. */
static struct ml_src *spool(FILE *f, const uint8_t *head, size_t n)
{
	static uint8_t buf[65536];
	struct ml_diag diag;
	struct ml_src *s;
	int err = ml_src_spool(&s, &diag);

	memcpy(buf, head, n);
	while (!err && n > 0) {
		err = ml_src_append(s, buf, n, &diag);
		n = fread(buf, 1, sizeof(buf), f);
	}
	if (!err && ferror(f))
		die(EX_SYSTEM, "cannot read the input:");
	if (err)
		die_out(err, &diag);
	return s;
}

/* Puts the look ahead back. More than one byte is beyond the promises of
 * ISO C, but not of C libraries as long as it is what was read. */
static void put_back(FILE *f, const uint8_t *head, size_t n)
{
	while (n-- > 0)
		if (ungetc(head[n], f) == EOF)
			die(EX_SYSTEM, "cannot look ahead in the input");
}

static void read_any(const char *path, const char *format,
	const char *base_path, struct ml_model *m, int *known)
{
	FILE *f = in_open(path, 1);
	uint8_t head[HEAD];
	size_t n = fread(head, 1, sizeof(head), f);
	struct ml_src *s;
	struct ml_diag diag;
	struct stat st;
	int err;

	if (n < sizeof(head) && ferror(f))
		die(EX_SYSTEM, "cannot read the input:");
	*known = 1;
	if (!format && n == HEAD && memcmp(head, stream_magic, HEAD) == 0) {
		put_back(f, head, n);
		err = read_stream(f, m, &diag);
		if (err)
			die_diag(path, err, &diag);
		fclose(f);
		return;
	}
	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode)) {
		err = ml_src_fd(&s, fileno(f), &diag);
		if (err)
			die_diag(path, err, &diag);
	} else {
		s = spool(f, head, n);
	}
	if (!format && n >= 4 && memcmp(head, ML_PATCH_MAGIC, 4) == 0) {
		read_patch(s, path, base_path, m, known);
	} else {
		err = ml_model_read(m, s, format, &diag);
		if (err)
			die_diag(path, err, &diag);
		if (diag.why[0])
			warn_diag(path, &diag);
	}
	ml_src_free(s);
	fclose(f);
}

/* ===== writing ========================================================== */

static int shown(const struct ml_span *sp, int all)
{
	return all || sp->kind == ML_TENSOR;
}

static int digits(uint64_t v)
{
	int n = 1;

	for (; v > 9; v /= 10)
		n++;
	return n;
}

static void list(FILE *f, const struct ml_model *m, int all)
{
	char shape[ML_SHAPE_TEXT], type[ML_TYPE_TEXT];
	int off = 1, len = 1, dtype = 1, dims = 1, k;
	const struct ml_span *sp;
	char *name;
	size_t i;

	for (i = 0; i < m->nspan; i++) {
		sp = &m->span[i];
		if (!shown(sp, all))
			continue;
		off = digits(sp->off); /* ascending */
		if (digits(sp->len) > len)
			len = digits(sp->len);
		k = (int)strlen(ml_type_text(type, sp));
		if (k > dtype)
			dtype = k;
		k = (int)strlen(ml_shape_text(shape, sp));
		if (k > dims)
			dims = k;
	}
	for (i = 0; i < m->nspan; i++) {
		sp = &m->span[i];
		if (!shown(sp, all))
			continue;
		name = ml_escaped(sp->name, sp->name_len);
		need(name);
		fprintf(f, "%*llu  %*llu  %-*s  %-*s  %s\n", off,
			(unsigned long long)sp->off, len,
			(unsigned long long)sp->len, dtype,
			ml_type_text(type, sp), dims,
			ml_shape_text(shape, sp),
			sp->kind == ML_TENSOR ? name : "-");
		free(name);
	}
}

static struct json_object *text(const char *s, size_t n)
{
	char *name = ml_escaped(s, n);
	struct json_object *o;

	need(name);
	o = json_object_new_string(name);
	need(o);
	free(name);
	return o;
}

static void add(struct json_object *to, const char *key, struct json_object *o)
{
	need(o);
	if (json_object_object_add(to, key, o))
		need(NULL);
}

/* One value; the objects do not outlive it, however many there are. */
static void put_json(FILE *f, struct json_object *o)
{
	const char *s = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	need(s);
	fputs(s, f);
	json_object_put(o);
}

static struct json_object *span_json(const struct ml_span *sp)
{
	struct json_object *o = json_object_new_object(), *a;
	char type[ML_TYPE_TEXT];
	unsigned i;

	need(o);
	if (sp->kind == ML_TENSOR) {
		add(o, "name", text(sp->name, sp->name_len));
		add(o, "dtype",
			json_object_new_string(ml_type_text(type, sp)));
		a = json_object_new_array();
		add(o, "shape", a);
		for (i = 0; i < sp->rank; i++)
			if (json_object_array_add(a,
				json_object_new_uint64(sp->shape[i])))
				need(NULL);
	}
	add(o, "offset", json_object_new_uint64(sp->off));
	add(o, "bytes", json_object_new_uint64(sp->len));
	if (sp->quant) {
		a = json_object_new_object();
		add(o, "quant", a);
		add(a, "axis", json_object_new_int(sp->quant->axis));
		add(a, "n", json_object_new_int64(sp->quant->n));
	}
	return o;
}

static void put_spans(FILE *f, const struct ml_model *m, int kind)
{
	const char *sep = "\n";
	size_t i;

	for (i = 0; i < m->nspan; i++) {
		if (m->span[i].kind != kind)
			continue;
		fputs(sep, f);
		put_json(f, span_json(&m->span[i]));
		sep = ",\n";
	}
}

static void list_json(FILE *f, const char *path, const struct ml_model *m,
	int known, int all)
{
	fputs("{\"file\":", f);
	put_json(f, text(path, strlen(path)));
	fputs(",\"container\":", f);
	if (known)
		put_json(f, json_object_new_string(
			ml_container_name(m->container)));
	else
		fputs("null", f);
	fprintf(f, ",\"size\":%llu,\"tensors\":[", (unsigned long long)m->size);
	put_spans(f, m, ML_TENSOR);
	if (all) {
		fputs("],\"skeleton\":[", f);
		put_spans(f, m, ML_SKELETON);
	}
	fputs("]}\n", f);
}

int main(int argc, char **argv)
{
	static const struct option longer[] = {
		{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	const char *format = NULL, *base = NULL, *path;
	int all = 0, json = 0, known, c;
	struct ml_model m;
	struct out out;

	/* arguments */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:ab:f:hjV", longer, NULL)) !=
		-1) {
		switch (c) {
		case 'a': all = 1; break;
		case 'b': base = optarg; break;
		case 'f': format = optarg; break;
		case 'h': help(usage);
		case 'j': json = 1; break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	if (format && strcmp(format, "raw") != 0 && !ml_reader_by_name(format))
		usage_error(usage, "unknown format after '-f'");
	path = optind < argc ? argv[optind] : "-";
	if (base && strcmp(base, "-") == 0 && strcmp(path, "-") == 0)
		usage_error(usage,
			"base and file cannot both be standard input");

	/* prepare */
	read_any(path, format, base, &m, &known);
	out_open(&out, NULL, 0);

	/* list */
	if (json)
		list_json(out.f, path, &m, known, all);
	else
		list(out.f, &m, all);

	/* close */
	ml_model_free(&m);
	return out_close(&out);
}
