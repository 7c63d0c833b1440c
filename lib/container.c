/* SPDX-License-Identifier: MIT */
/* Finds the reader of a container. What no reader knows, or what the one
 * that claimed it cannot follow, is one opaque span: any file has a stream. */
#include <string.h>

#include "container.h"
#include "wrap.h"

/* The surest probe first. */
const struct ml_reader *const ml_readers[] = {
	&ml_reader_gguf,
	&ml_reader_pytorch,
	&ml_reader_torch_legacy,
	&ml_reader_zip,
	&ml_reader_npy,
	&ml_reader_milblob,
	&ml_reader_hdf5,
	&ml_reader_tar,
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

/* Adds the tensors; an input error leaves none. */
static int walk_with(struct ml_model *m, struct ml_src *s,
	const struct ml_reader *r, struct ml_diag *diag)
{
	const int depth = m->depth;
	struct ml_src **spool = m->spool;
	int err;

	m->container = r->container;
	err = r->walk(s, m, diag);
	if (!err)
		err = ml_model_check(m, ml_src_size(s), diag);
	if (err) {
		ml_model_free(m);
		m->depth = depth;
		m->spool = spool;
	}
	return err;
}

int ml_input_fault(int err)
{
	return err == ML_EFORMAT || err == ML_ETRUNC || err == ML_ECHECK ||
		err == ML_ELIMIT || err == ML_EVERSION;
}

int ml_model_walk(struct ml_model *m, struct ml_src *s, struct ml_diag *diag)
{
	const uint64_t size = ml_src_size(s);
	const size_t n = size < ML_PROBE_LEN ? (size_t)size : ML_PROBE_LEN;
	struct ml_diag first = {ML_NOWHERE, 0, ""}, d = first;
	uint8_t head[ML_PROBE_LEN];
	size_t i;
	int err, sure, why = ML_OK;

	err = ml_src_read(s, 0, head, n, diag);
	for (i = 0; !err && ml_readers[i]; i++) {
		sure = ml_readers[i]->probe(head, n);
		if (!sure)
			continue;
		err = walk_with(m, s, ml_readers[i], &d);
		if (!err)
			return ML_OK; /* whatever an earlier one said */
		if (!ml_input_fault(err)) {
			*diag = d;
			return err;
		}
		/* a member that only might have been is not worth a word */
		if (!why && (sure != ML_MAYBE || m->depth == 0))
			ml_fail(&first, err, d.off, "%s: %.*s",
				ml_readers[i]->name, ML_DIAG_MAX - 16, d.why);
		if (!why && first.why[0])
			why = err;
		err = ML_OK;
	}
	if (why)
		*diag = first;
	return err ? err : why;
}

static int read_model(struct ml_model *m, struct ml_src *s,
	const char *format, int as_is, struct ml_diag *diag)
{
	const struct ml_reader *r = NULL;
	struct ml_src *spool = NULL;
	int err = ML_OK, raw = format && strcmp(format, "raw") == 0;

	ml_model_init(m);
	m->spool = as_is ? NULL : &spool;
	diag->off = ML_NOWHERE;
	diag->errnum = 0;
	diag->why[0] = '\0';
	if (format && !raw) {
		r = ml_reader_by_name(format);
		err = r ? walk_with(m, s, r, diag) : ml_fail(diag, ML_EINVAL,
			ML_NOWHERE, "unknown format name");
	} else if (!raw) {
		err = ml_model_walk(m, s, diag);
		if (ml_input_fault(err))
			err = ML_OK; /* one opaque span; *diag says why */
	}
	if (!err && m->note[0])
		memcpy(diag->why, m->note, sizeof(diag->why));
	if (!err)
		err = ml_image_new(m, s, &spool, diag);
	if (!err)
		err = ml_model_finish(m, m->image ? ml_src_size(m->image) :
			ml_src_size(s), diag);
	ml_src_free(spool);
	m->spool = NULL;
	if (err)
		ml_model_free(m);
	return err;
}

int ml_model_read(struct ml_model *m, struct ml_src *s, const char *format,
	struct ml_diag *diag)
{
	return read_model(m, s, format, 0, diag);
}

int ml_model_read_as_is(struct ml_model *m, struct ml_src *s,
	const char *format, struct ml_diag *diag)
{
	return read_model(m, s, format, 1, diag);
}
