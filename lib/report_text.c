/* SPDX-License-Identifier: MIT */
/* A report as text. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "report.h"
#include "text.h"

#define ROW "  %12s  %12s  %6s  %7s  %-8s  %-11s  %-8s  %s"

/* The name of what a span was made of, "cast of f32 NAME"; to be freed. */
static char *base_text(const struct ml_share *s)
{
	const struct ml_span *sp = s->base;
	char *name = sp ? ml_escaped(sp->name, sp->name_len) : ml_escaped("", 0);
	char *text;
	size_t n = name ? strlen(s->how) + strlen(name) + 2 : 0;

	text = n ? malloc(n) : NULL;
	if (text)
		snprintf(text, n, "%s%s%s", s->how, *s->how ? " " : "", name);
	free(name);
	return text;
}

static int show_row(FILE *f, uint64_t bytes, const struct ml_share *s,
	const char *type, const char *name, struct ml_diag *diag)
{
	char n[24], coded[24], ratio[24], changed[16] = "-";
	char *base = base_text(s);

	if (!base)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	snprintf(n, sizeof(n), "%llu", (unsigned long long)bytes);
	snprintf(coded, sizeof(coded), "%.0f", ml_share_cost(s));
	snprintf(ratio, sizeof(ratio), "%.4f",
		ml_ratio(ml_share_cost(s), (double)bytes));
	if (s->total)
		snprintf(changed, sizeof(changed), "%.1f%%",
			100 * (double)s->changed / (double)s->total);
	fprintf(f, ROW, n, coded, ratio, changed, ml_share_mostly(s),
		*ml_share_type(s) ? ml_share_type(s) : "-", type, name);
	fprintf(f, "%s%s\n", *base ? "  < " : "", base);
	free(base);
	return ML_OK;
}

static int show_tensors(FILE *f, const struct ml_part *r,
	struct ml_diag *diag)
{
	char type[ML_TYPE_TEXT];
	struct ml_share rest;
	int err = ML_OK;
	uint64_t n;
	size_t i;
	char *name;

	fprintf(f, ROW "  < base\n", "bytes", "coded", "ratio", "changed",
		"mostly", "as", "type", "tensor");
	for (i = 0; !err && i < r->m.nspan; i++) {
		const struct ml_span *sp = &r->m.span[i];

		if (sp->kind != ML_TENSOR)
			continue;
		name = ml_escaped(sp->name, sp->name_len);
		err = name ? show_row(f, sp->len, &r->span[i],
			ml_type_text(type, sp), name, diag) :
			ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
		free(name);
	}
	n = ml_part_skeleton(r, &rest);
	if (!err && n)
		err = show_row(f, n, &rest, "skeleton", "-", diag);
	return err;
}

static void show_header(FILE *f, const struct ml_part *r)
{
	const int kind = ml_hdr_sum(&r->h);
	char sha[ML_HEX_TEXT];

	fprintf(f, "  format   version %u\n", r->h.version);
	fprintf(f, "  class    %s, %zu bytes for the model\n",
		ml_class_name(r->h.cls), ml_dec_arena(r->h.cls));
	fprintf(f, "  flags    0x%02x%s\n", r->h.flags,
		r->h.flags & ML_HF_BASE ? ", needs a base" : "");
	if (r->h.page)
		fprintf(f, "  in place pages of %lu bytes, base moved up by %u\n",
			1ul << r->h.page, r->h.lead);
	if (r->h.release)
		fprintf(f, "  release  %llu\n",
			(unsigned long long)r->h.release);
	if (r->h.flags & ML_HF_BASE)
		fprintf(f, "  base     %llu bytes, %s %s\n",
			(unsigned long long)r->h.base_size,
			ml_sum_name(kind), ml_hex(sha, kind, r->base_sha));
	fprintf(f, "  target   %llu bytes, %s %s\n",
		(unsigned long long)r->h.target_size, ml_sum_name(kind),
		ml_hex(sha, kind, r->target_sha));
	if (r->is_signed)
		fprintf(f, "  signed   as by key %016llX, not verified\n",
			(unsigned long long)ml_load64(r->key_id));
	fprintf(f, "  header   %u bytes", r->h.len);
	if (r->h.ext_len)
		fprintf(f, ", %u of them extensions", r->h.ext_len);
	fprintf(f, "\n  body     %llu bytes, window %llu\n",
		(unsigned long long)r->h.body_len,
		(unsigned long long)r->h.window);
}

static int show_part(FILE *f, const struct ml_part *r, struct ml_diag *diag)
{
	int i;

	show_header(f, r);
	for (i = 0; i < ML_NREC; i++)
		if (r->nrec[i])
			fprintf(f, "  records  %s: %llu of %llu bytes\n",
				ml_rec_name[i], (unsigned long long)r->nrec[i],
				(unsigned long long)r->rec[i]);
	fprintf(f, "  ratio    %.4f of the target\n",
		ml_ratio((double)r->size, (double)r->h.target_size));
	if (!r->looked)
		return ML_OK;
	fprintf(f, "  %12s  %12s\n", "bytes", "coded");
	for (i = 0; i < ML_NOP; i++)
		fprintf(f, "  %12llu  %12.0f  %s\n",
			(unsigned long long)r->all.made[i],
			(double)r->all.cost[i] / 256, ml_op_name[i]);
	return show_tensors(f, r, diag);
}

int ml_report_text(FILE *f, const struct ml_report *r, struct ml_diag *diag)
{
	int err = ML_OK;
	size_t i;

	for (i = 0; !err && i < r->n; i++) {
		fprintf(f, "patch %zu of %zu: %llu bytes at %llu\n", i + 1,
			r->n, (unsigned long long)r->part[i].size,
			(unsigned long long)r->part[i].off);
		err = show_part(f, &r->part[i], diag);
	}
	return err;
}
