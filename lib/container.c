/* SPDX-License-Identifier: MIT */
/* Finds the reader of a container. What no reader knows, or what the one
 * that claimed it cannot follow, is one opaque span: any file has a stream. */
#include <string.h>

#include "ml.h"

/* The surest probe first. */
const struct ml_reader *const ml_readers[] = {
	&ml_reader_gguf,
	&ml_reader_safetensors,
	&ml_reader_tflite,
	&ml_reader_onnx,
	NULL,
};

const struct ml_reader *ml_reader_by_name(const char *name)
{
	size_t i;

	for (i = 0; ml_readers[i]; i++)
		if (strcmp(ml_readers[i]->name, name) == 0)
			return ml_readers[i];
	return NULL;
}

const char *ml_container_name(int container)
{
	size_t i;

	if (container == ML_RAW)
		return "raw";
	for (i = 0; ml_readers[i]; i++)
		if (ml_readers[i]->container == container)
			return ml_readers[i]->name;
	return "unknown";
}

static int read_with(struct ml_model *m, struct ml_src *s,
	const struct ml_reader *r, struct ml_diag *diag)
{
	int err;

	ml_model_init(m);
	m->container = r->container;
	err = r->walk(s, m, diag);
	if (!err)
		err = ml_model_finish(m, ml_src_size(s), diag);
	if (err)
		ml_model_free(m);
	return err;
}

static int read_raw(struct ml_model *m, struct ml_src *s, struct ml_diag *diag)
{
	int err;

	ml_model_init(m);
	err = ml_model_finish(m, ml_src_size(s), diag);
	if (err)
		ml_model_free(m);
	return err;
}

/* Whether the bytes are at fault, and not the machine. */
static int input_fault(int err)
{
	return err == ML_EFORMAT || err == ML_ETRUNC || err == ML_ECHECK ||
		err == ML_ELIMIT || err == ML_EVERSION;
}

static int read_any(struct ml_model *m, struct ml_src *s, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	const size_t n = size < ML_PROBE_LEN ? (size_t)size : ML_PROBE_LEN;
	struct ml_diag first = {ML_NOWHERE, 0, ""}, d = first;
	uint8_t head[ML_PROBE_LEN];
	size_t i;
	int err;

	err = ml_src_read(s, 0, head, n, diag);
	if (err)
		return err;
	for (i = 0; ml_readers[i]; i++) {
		if (!ml_readers[i]->probe(head, n))
			continue;
		err = read_with(m, s, ml_readers[i], &d);
		if (!err)
			break;
		if (!input_fault(err)) {
			*diag = d;
			return err;
		}
		if (!first.why[0])
			ml_fail(&first, err, d.off, "%s: %.*s",
				ml_readers[i]->name, ML_DIAG_MAX - 16, d.why);
	}
	if (ml_readers[i])
		first.why[0] = '\0'; /* a later reader did follow it */
	else
		err = read_raw(m, s, &first);
	*diag = first;
	return err;
}

int ml_model_read(struct ml_model *m, struct ml_src *s, const char *format,
	struct ml_diag *diag)
{
	const struct ml_reader *r;

	diag->off = ML_NOWHERE;
	diag->errnum = 0;
	diag->why[0] = '\0';
	ml_model_init(m);
	if (!format)
		return read_any(m, s, diag);
	if (strcmp(format, "raw") == 0)
		return read_raw(m, s, diag);
	r = ml_reader_by_name(format);
	if (!r)
		return ml_fail(
			diag, ML_EINVAL, ML_NOWHERE, "unknown format name");
	return read_with(m, s, r, diag);
}
