/* SPDX-License-Identifier: MIT */
/* ml-ls: the tensors of a model file, of a stream, or of what a patch makes.
 * What the input is, its first bytes say. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mldec.h"
#include "util.h"

const char ml_prog[] = "ml-ls";

static const char usage[] =
	"usage: ml-ls [-ahjV] [-b base] [-f format] [file]\n"
	"Lists the tensors of a model file or directory, of a tensor-record\n"
	"stream or of what a patch makes: offset, bytes, element type, shape, name.\n"
	"  -a          what is no tensor, too\n"
	"  -b base     the base's file, for patches without labels\n"
	"  -f format   a model: raw, safetensors, gguf, onnx, tflite, pytorch,\n"
	"              torch-legacy, npy, zip, tar, hdf5 or milblob\n"
	"  -j, --json  as JSON\n"
	"  -h, -V      this help, the version\n";

#define HEAD 8 /* bytes that tell what it is */
static const uint8_t stream_magic[HEAD] = {
	0xd3, 'm', 'l', 's', '\r', '\n', 0x1a, '\n'};

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
			die_patch(path, psrc, err, &diag);
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

	do {
		last = off;
		err = ml_patch_walk(psrc, &off, &h, hbuf, NULL, NULL, &diag);
		if (err)
			die_patch(path, psrc, err, &diag);
		if (needs < 0)
			needs = h.flags & ML_HF_BASE;
	} while (off < ml_src_size(psrc));
	off = last;
	err = ml_patch_labels(psrc, &off, m, &diag);
	if (err)
		die_patch(path, psrc, err, &diag);
	*known = 0;
	if (ml_model_has_tensors(m))
		return;
	if (needs && !base_path)
		die(EX_BASE, "the patch has no labels: name the base's file "
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

static void read_model(struct ml_src *s, const char *path, const char *format,
	struct ml_model *m)
{
	struct ml_diag diag;
	const int err = ml_model_read(m, s, format, &diag);

	if (err)
		die_diag(path, err, &diag);
	if (diag.why[0])
		warn_diag(path, &diag);
}

static void read_any(const char *path, const char *format,
	const char *base_path, struct ml_model *m, int *known)
{
	uint8_t head[HEAD];
	struct ml_diag diag;
	struct ml_src *s;
	struct stat st;
	size_t n;
	FILE *f;
	int err;

	if (is_dir(path)) {
		s = in_src(path);
		read_model(s, path, format, m);
		*known = 1;
		ml_src_free(s);
		return;
	}
	f = in_open(path, 1);
	n = fread(head, 1, sizeof(head), f);
	if (n < sizeof(head) && ferror(f))
		die(EX_SYSTEM, "cannot read the input:");
	*known = 1;
	if (!format && n == HEAD && memcmp(head, stream_magic, HEAD) == 0) {
		put_back(f, head, n);
		err = ml_stream_labels(f, m, &diag);
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
		read_model(s, path, format, m);
	}
	ml_src_free(s);
	fclose(f);
}

int main(int argc, char **argv)
{
	static const struct option longer[] = {
		{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	const char *format = NULL, *base = NULL, *path;
	int all = 0, json = 0, known, c, err;
	struct ml_diag diag;
	struct ml_model m;
	struct out out;

	/* arguments */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:ab:f:hjV", longer, NULL)) !=
		-1) {
		switch (c) {
		case 'a': all = 1; break;
		case 'b': base = optarg; break;
		case 'f': format = format_option(usage, optarg); break;
		case 'h': help(usage);
		case 'j': json = 1; break;
		case 'V': version();
		default: bad_option(usage, c);
		}
	}
	if (argc - optind > 1)
		usage_error(usage, "more than one file");
	path = optind < argc ? argv[optind] : "-";
	if (base && is_dash(base) && is_dash(path))
		usage_error(usage,
			"base and file cannot both be standard input");

	/* prepare */
	read_any(path, format, base, &m, &known);
	out_open(&out, NULL, 0);

	/* list */
	err = json ? ml_model_json(out.f, &m, all, path, known ?
		ml_container_name(m.container) : NULL, &diag) :
		ml_model_table(out.f, &m, all, &diag);
	if (err)
		die_out(err, &diag);

	/* close */
	ml_model_free(&m);
	return out_close(&out);
}
