/* SPDX-License-Identifier: MIT */
/* The command line of mlgen. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

static const char usage[] =
	"usage: mlgen train [-d DTYPE] [-s SEED] [-n STEPS] [-v] OUT\n"
	"       mlgen finetune [-d DTYPE] [-s SEED] [-n STEPS] [-r RATE] [-H]"
	" [-v] IN OUT\n"
	"       mlgen convert [-t FORMAT] [-d DTYPE] [-q QUANT] IN OUT\n"
	"       mlgen edit -e EDIT IN OUT\n"
	"       mlgen big OUT --bytes N [--seed SEED] [--step]\n"
	"IN is safetensors that mlgen wrote. -H: only the last layer learns\n"
	"DTYPE   f32 f16 bf16\n"
	"FORMAT  safetensors gguf onnx tflite\n"
	"QUANT   q8_0 q4_0 (gguf), int8 (onnx, tflite)\n"
	"EDIT    rename add remove resize move onebyte retrain\n";

struct args {
	const char *in, *out, *dtype, *quant, *format, *edit;
	uint64_t bytes;
	int step;
	struct gen_fit fit;
};

static _Noreturn void bad(const char *what, const char *arg)
{
	fprintf(stderr, "mlgen: %s '%s'\n%s", what, arg, usage);
	exit(2);
}

static uint64_t number(const char *s)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || *end != '\0' || errno != 0)
		bad("not a number", s);
	return v;
}

static int is(const char *arg, const char *brief, const char *full)
{
	return strcmp(arg, brief) == 0 || strcmp(arg, full) == 0;
}

/* Options may stand anywhere, for `big OUT --bytes N`. */
static void parse(struct args *a, int argc, char **argv, int operands)
{
	const char *operand[2] = { NULL, NULL };
	int n = 0;

	for (int i = 2; i < argc; i++) {
		const char *o = argv[i], *v;

		if (o[0] != '-') {
			if (n == operands)
				bad("unexpected", o);
			operand[n++] = o;
			continue;
		}
		if (is(o, "-u", "--step")) {
			a->step = 1;
			continue;
		}
		if (is(o, "-H", "--head")) {
			a->fit.head = 1;
			continue;
		}
		if (is(o, "-v", "--verbose")) {
			a->fit.verbose = 1;
			continue;
		}
		v = argv[i + 1];
		if (v == NULL)
			bad("unknown or incomplete option", o);
		i++;
		if (is(o, "-d", "--dtype"))
			a->dtype = v;
		else if (is(o, "-t", "--to"))
			a->format = v;
		else if (is(o, "-q", "--quant"))
			a->quant = v;
		else if (is(o, "-e", "--edit"))
			a->edit = v;
		else if (is(o, "-s", "--seed"))
			a->fit.seed = number(v);
		else if (is(o, "-n", "--steps"))
			a->fit.steps = (unsigned)number(v);
		else if (is(o, "-r", "--rate"))
			a->fit.rate = strtof(v, NULL);
		else if (is(o, "-b", "--bytes"))
			a->bytes = number(v);
		else
			bad("unknown option", o);
	}
	if (n != operands)
		bad("missing file after", argv[1]);
	a->in = operand[0];
	a->out = operand[operands - 1];
}

/* The place of `word` in `list`, which ends with NULL. */
static int choice(const char *word, const char *const *list)
{
	for (int i = 0; list[i] != NULL; i++)
		if (strcmp(word, list[i]) == 0)
			return i;
	bad("unknown word", word);
}

static void cast(struct gen_model *m, const struct args *a)
{
	static const char *const dtypes[] = { "f32", "f16", "bf16", NULL };

	if (a->dtype != NULL)
		gen_cast(m, (enum gen_dtype)choice(a->dtype, dtypes));
}

static void convert(const struct gen_model *m, const struct args *a)
{
	static const char *const formats[] = { "safetensors", "gguf", "onnx",
		"tflite", NULL };
	static const char *const quants[] = { "none", "q8_0", "q4_0", "int8",
		NULL };
	enum gen_quant q = (enum gen_quant)choice(a->quant, quants);

	switch (choice(a->format, formats)) {
	case 0:
		if (q != GEN_PLAIN)
			gen_die("safetensors has no %s", a->quant);
		gen_write_safetensors(m, a->out);
		break;
	case 1:
		gen_write_gguf(m, q, a->out);
		break;
	case 2:
		gen_write_onnx(m, q, a->out);
		break;
	default:
		gen_write_tflite(m, q, a->out);
		break;
	}
}

int main(int argc, char **argv)
{
	struct args a = { .format = "safetensors", .quant = "none",
		.fit = { .seed = 1 } };
	struct gen_model m = { .n = 0 };

	if (argc < 2)
		bad("which command?", "");
	if (strcmp(argv[1], "-h") == 0) {
		fputs(usage, stdout);
	} else if (strcmp(argv[1], "train") == 0) {
		a.fit.steps = 200;
		a.fit.rate = 1e-3f;
		parse(&a, argc, argv, 1);
		gen_new_net(&m, a.fit.seed);
		gen_train(&m, &a.fit);
		cast(&m, &a);
		gen_write_safetensors(&m, a.out);
	} else if (strcmp(argv[1], "finetune") == 0) {
		a.fit.steps = 200;
		a.fit.rate = 1e-5f;
		a.fit.shifted = 1;
		parse(&a, argc, argv, 2);
		gen_load(&m, a.in);
		gen_train(&m, &a.fit);
		cast(&m, &a);
		gen_write_safetensors(&m, a.out);
	} else if (strcmp(argv[1], "convert") == 0) {
		parse(&a, argc, argv, 2);
		gen_load(&m, a.in);
		cast(&m, &a);
		convert(&m, &a);
	} else if (strcmp(argv[1], "edit") == 0) {
		parse(&a, argc, argv, 2);
		if (a.edit == NULL)
			bad("which -e?", "edit");
		gen_load(&m, a.in);
		gen_edit(&m, a.edit);
		cast(&m, &a);
		gen_write_safetensors(&m, a.out);
	} else if (strcmp(argv[1], "big") == 0) {
		parse(&a, argc, argv, 1);
		gen_big(a.out, a.bytes, a.fit.seed, a.step);
	} else {
		bad("unknown command", argv[1]);
	}
	gen_model_free(&m);
	return 0;
}
