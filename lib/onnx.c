/* SPDX-License-Identifier: MIT */
/* ONNX models: protobuf messages after onnx/onnx.proto, a ModelProto at the
 * root. Tensors are found wherever the schema has a TensorProto with values;
 * fields may come in any order, so a message is read to its end before its
 * tensor is added, and a node twice: for its names, then for its tensors.
 * With o->external, only tensors whose bytes lie in other files are told. */
#include <stdlib.h>
#include <string.h>

#include "ml.h"
#include "bytes.h"
#include "fit.h"
#include "onnx.h"
#include "protobuf.h"

#define DEPTH_MAX 32 /* graphs inside graphs; protobuf itself stops at 100 */
#define INPUTS 6 /* of a node, as far as scales may be found there */
#define SCRATCH_MAX (ML_NAME_MAX + 16)
#define OPNAME_MAX 32

/* numbers of fields in the schema */
enum {
	MODEL_IR_VERSION = 1, MODEL_VERSION = 5, MODEL_GRAPH = 7,
	MODEL_TRAINING = 20, MODEL_FUNCTIONS = 25
};
enum { TRAINING_INIT = 1, TRAINING_ALGORITHM = 2 };
enum { FUNCTION_NODE = 7, FUNCTION_ATTRIBUTE = 11 };
enum { GRAPH_NODE = 1, GRAPH_INIT = 5, GRAPH_SPARSE = 15 };
enum {
	NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4,
	NODE_ATTRIBUTE = 5
};
enum {
	ATTR_NAME = 1, ATTR_INT = 3, ATTR_TENSOR = 5, ATTR_GRAPH = 6,
	ATTR_TENSORS = 10, ATTR_GRAPHS = 11, ATTR_SPARSE = 22,
	ATTR_SPARSES = 23
};
enum { SPARSE_VALUES = 1, SPARSE_INDICES = 2 };
enum {
	TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_FLOATS = 4,
	TENSOR_INT32S = 5, TENSOR_INT64S = 7, TENSOR_NAME = 8,
	TENSOR_RAW = 9, TENSOR_DOUBLES = 10, TENSOR_UINT64S = 11,
	TENSOR_EXTERNAL = 13, TENSOR_LOCATION = 14, TENSOR_FIELDS = 16
};
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum { TYPE_COMPLEX64 = 14, TYPE_COMPLEX128 = 15 };

/* What a nameless tensor of a node is called, once. */
struct alias {
	struct ml_onnx_str s;
	const char *suffix;
};

static const uint16_t dtypes[] = {ML_DT_OPAQUE, ML_DT_F32, ML_DT_U8, ML_DT_I8,
	ML_DT_U16, ML_DT_I16, ML_DT_I32, ML_DT_I64, ML_DT_STRING, ML_DT_BOOL,
	ML_DT_F16, ML_DT_F64, ML_DT_U32, ML_DT_U64, ML_DT_C64, ML_DT_C128,
	ML_DT_BF16, ML_DT_F8_E4M3, ML_DT_F8_E4M3FNUZ, ML_DT_F8_E5M2,
	ML_DT_F8_E5M2FNUZ, ML_DT_U4, ML_DT_I4, ML_DT_F4_E2M1, ML_DT_F8_E8M0};

/* Operators with quantised constants: the inputs x, scale and zero point
 * start at `first`. */
static const struct {
	const char *op;
	unsigned first;
	int axis; /* unless an attribute says otherwise */
} users[] = {
	{"DequantizeLinear", 0, 1}, {"QLinearConv", 3, 0},
	{"QLinearMatMul", 0, -1}, {"QLinearMatMul", 3, -1}};

/* Room for one more element in an array that doubles. */
static int grow(struct ml_onnx *o, void **p, size_t n, size_t *cap, size_t each)
{
	size_t want = *cap ? 2 * *cap : 64;
	void *q;

	if (n < *cap)
		return ML_OK;
	if (want > ML_SPANS_MAX)
		return ml_fail(o->diag, ML_ELIMIT, ML_NOWHERE,
			"more than %u onnx tensors", ML_SPANS_MAX);
	q = realloc(*p, want * each);
	if (!q)
		return ml_fail(
			o->diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	*p = q;
	*cap = want;
	return ML_OK;
}

int ml_onnx_name(struct ml_onnx *o, const struct ml_onnx_str *s)
{
	if (s->len > ML_NAME_MAX)
		return ml_fail(o->diag, ML_ELIMIT, s->off,
			"onnx name of %llu bytes at %llu",
			(unsigned long long)s->len,
			(unsigned long long)s->off);
	return ml_src_read(o->src, s->off, o->name, (size_t)s->len, o->diag);
}

/* Notes a string field. */
static int note(struct ml_onnx *o, const struct ml_pb_field *f,
	struct ml_onnx_str *s)
{
	*s = (struct ml_onnx_str){f->off, f->len};
	return ml_pb_want(f, ML_PB_LEN, o->diag);
}

/* Whether a string of the file is `text`; negative on failure. */
static int is(struct ml_onnx *o, const struct ml_onnx_str *s, const char *text)
{
	char b[OPNAME_MAX];
	int r;

	if (s->len != strlen(text) || s->len > sizeof b)
		return 0;
	r = ml_src_read(o->src, s->off, b, (size_t)s->len, o->diag);
	return r < 0 ? r : memcmp(b, text, (size_t)s->len) == 0;
}

/* ===== tensors ========================================================== */

struct tensor {
	uint64_t shape[ML_RANK_MAX];
	unsigned rank; /* above ML_RANK_MAX: too many dimensions */
	uint64_t type, location;
	struct ml_onnx_str name;
	struct ml_onnx_str where, off, len; /* of external data */
	struct ml_onnx_str data[TENSOR_FIELDS]; /* by field number */
	unsigned parts[TENSOR_FIELDS]; /* how often it occurs, up to 2 */
};

static void dim(struct tensor *t, uint64_t n)
{
	if (t->rank < ML_RANK_MAX)
		t->shape[t->rank] = n;
	if (t->rank <= ML_RANK_MAX)
		t->rank++;
}

static int dims(struct ml_onnx *o, const struct ml_pb_field *f,
	struct tensor *t)
{
	uint8_t b[ML_VARINT_MAX];
	uint64_t at = f->off, left = f->len, v;
	size_t n;
	int r;

	if (f->wire == ML_PB_VARINT) {
		dim(t, f->val);
		return ML_OK;
	}
	for (r = ml_pb_want(f, ML_PB_LEN, o->diag);
		r == ML_OK && left > 0 && t->rank <= ML_RANK_MAX;
		at += n, left -= n) {
		n = left < sizeof b ? (size_t)left : sizeof b;
		r = ml_src_read(o->src, at, b, n, o->diag);
		if (r < 0)
			return r;
		n = ml_varint(b, n, &v);
		if (n == 0)
			return ml_fail(o->diag, ML_EFORMAT, at,
				"bad onnx dimension at %llu",
				(unsigned long long)at);
		dim(t, v);
	}
	return r;
}

/* A key and a value that tell where external data lie. */
static int entry(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f, struct tensor *t)
{
	struct ml_pb pb = ml_pb_enter(in, f);
	struct ml_pb_field g;
	struct ml_onnx_str key = {0, 0}, value = {0, 0};
	int r = ml_pb_want(f, ML_PB_LEN, o->diag);

	if (r < 0)
		return r;
	while ((r = ml_pb_next(&pb, &g, o->diag)) > 0) {
		if (g.num == ENTRY_KEY)
			r = note(o, &g, &key);
		else if (g.num == ENTRY_VALUE)
			r = note(o, &g, &value);
		if (r < 0)
			return r;
	}
	if (r == ML_OK && (r = is(o, &key, "location")) > 0)
		t->where = value;
	if (r == ML_OK && (r = is(o, &key, "offset")) > 0)
		t->off = value;
	if (r == ML_OK && (r = is(o, &key, "length")) > 0)
		t->len = value;
	return r < 0 ? r : ML_OK;
}

static int tensor_fields(struct ml_onnx *o, struct ml_pb *pb, struct tensor *t)
{
	struct ml_pb_field f;
	int r;

	while ((r = ml_pb_next(pb, &f, o->diag)) > 0) {
		r = ML_OK;
		switch (f.num) {
		case TENSOR_DIMS: r = dims(o, &f, t); break;
		case TENSOR_TYPE:
			r = ml_pb_want(&f, ML_PB_VARINT, o->diag);
			t->type = f.val;
			break;
		case TENSOR_LOCATION:
			r = ml_pb_want(&f, ML_PB_VARINT, o->diag);
			t->location = f.val;
			break;
		case TENSOR_EXTERNAL:
			if (o->external)
				r = entry(o, pb, &f, t);
			break;
		case TENSOR_NAME: r = note(o, &f, &t->name); break;
		case TENSOR_RAW:
		case TENSOR_FLOATS:
		case TENSOR_DOUBLES:
		case TENSOR_INT32S:
		case TENSOR_INT64S:
		case TENSOR_UINT64S:
			t->data[f.num] = (struct ml_onnx_str){f.off, f.len};
			if (t->parts[f.num] < 2)
				t->parts[f.num]++;
			break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	return r;
}

/* A decimal number; *v stays as it is where there is none. */
static int decimal(struct ml_onnx *o, const struct ml_onnx_str *s, uint64_t *v)
{
	uint8_t b[20];
	uint64_t n = 0;
	size_t i;
	int r;

	if (s->len == 0)
		return ML_OK;
	r = s->len > sizeof b ? ML_EFORMAT :
		ml_src_read(o->src, s->off, b, (size_t)s->len, o->diag);
	for (i = 0; r == ML_OK && i < s->len; i++)
		if (b[i] < '0' || b[i] > '9' || !ml_mul_ok(n, 10, &n) ||
			!ml_add_ok(n, b[i] - '0', &n))
			r = ML_EFORMAT;
	if (r == ML_EFORMAT)
		return ml_fail(o->diag, r, s->off,
			"bad onnx number at %llu", (unsigned long long)s->off);
	*v = n;
	return r;
}

static int external(struct ml_onnx *o, const struct tensor *t)
{
	unsigned dtype = t->type < sizeof dtypes / sizeof *dtypes ?
		dtypes[t->type] : ML_DT_OPAQUE;
	uint64_t whole = dtype == ML_DT_OPAQUE ? ML_NOWHERE :
		ml_fit_bytes(dtype, t->rank, t->shape);
	uint64_t len = whole, off = 0;
	struct ml_onnx_external e;
	char *path;
	int r = decimal(o, &t->off, &off);

	if (r == ML_OK)
		r = decimal(o, &t->len, &len);
	if (r < 0 || len == ML_NOWHERE || t->where.len == 0 ||
		t->where.len > ML_NAME_MAX)
		return r;
	path = malloc((size_t)t->where.len);
	if (!path)
		return ml_fail(
			o->diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	r = ml_src_read(o->src, t->where.off, path, (size_t)t->where.len,
		o->diag);
	if (r == ML_OK)
		r = ml_onnx_name(o, &t->name);
	e = (struct ml_onnx_external){o->name, (size_t)t->name.len, path,
		(size_t)t->where.len, dtype, t->rank, t->shape, off, len};
	if (len != whole) { /* as in ml_fit_add: the length is a fact */
		e.dtype = ML_DT_OPAQUE;
		e.rank = 1;
		e.shape = &len;
	}
	if (r == ML_OK)
		r = o->external(o->arg, &e);
	free(path);
	return r;
}

/* Adds a TensorProto when its bytes lie in one piece in the file. */
static int tensor(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f, struct alias *alias, int init)
{
	static const uint8_t fields[] = {TENSOR_RAW, TENSOR_FLOATS,
		TENSOR_DOUBLES, TENSOR_INT32S, TENSOR_INT64S, TENSOR_UINT64S};
	struct ml_pb pb = ml_pb_enter(in, f);
	struct tensor t = {0};
	struct ml_onnx_str s;
	unsigned i, field = 0, dtype = ML_DT_OPAQUE;
	size_t len;
	void *p;
	int r = ml_pb_want(f, ML_PB_LEN, o->diag);

	if (r == ML_OK)
		r = tensor_fields(o, &pb, &t);
	if (r < 0)
		return r;
	if (o->external)
		return t.location == 1 ? external(o, &t) : ML_OK;
	/* a field that comes in pieces, or number by number, is none */
	for (i = 0; i < sizeof fields && field == 0; i++)
		if (t.parts[fields[i]] == 1 && t.data[fields[i]].len > 0)
			field = fields[i];
	if (field == 0 || t.location != 0)
		return ML_OK;
	if (field == TENSOR_RAW) {
		if (t.type < sizeof dtypes / sizeof *dtypes)
			dtype = dtypes[t.type];
	} else if (field == TENSOR_FLOATS) {
		dtype = t.type == TYPE_COMPLEX64 ? ML_DT_C64 : ML_DT_F32;
	} else if (field == TENSOR_DOUBLES) {
		dtype = t.type == TYPE_COMPLEX128 ? ML_DT_C128 : ML_DT_F64;
	}
	s = t.name;
	if (s.len == 0 && alias)
		s = alias->s;
	r = ml_onnx_name(o, &s);
	if (r < 0)
		return r;
	len = (size_t)s.len;
	if (t.name.len == 0 && alias && alias->suffix) {
		memcpy(o->name + len, alias->suffix, strlen(alias->suffix));
		len += strlen(alias->suffix);
	}
	/* once, lest a node of many tensors multiply a long name */
	if (t.name.len == 0 && alias)
		*alias = (struct alias){{0, 0}, NULL};
	if (len > ML_NAME_MAX)
		len = 0;
	r = ml_fit_add(o->m, o->name, len, dtype, t.rank, t.shape,
		t.data[field].off, t.data[field].len, o->diag);
	if (r < 0 || !init || len == 0)
		return r;
	p = o->init;
	r = grow(o, &p, o->ninit, &o->cinit, sizeof *o->init);
	if (r < 0)
		return r;
	o->init = p;
	o->init[o->ninit++] = (struct ml_onnx_init){
		.name = o->m->span[o->m->nspan - 1].name, .name_len = len,
		.span = o->m->nspan - 1, .varints = field == TENSOR_INT32S};
	return ML_OK;
}

static int sparse(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f, struct alias *alias)
{
	struct ml_pb pb = ml_pb_enter(in, f);
	struct ml_pb_field g;
	int r = ml_pb_want(f, ML_PB_LEN, o->diag);

	if (r < 0)
		return r;
	while ((r = ml_pb_next(&pb, &g, o->diag)) > 0) {
		if (g.num == SPARSE_VALUES)
			r = tensor(o, &pb, &g, alias, 0);
		else if (g.num == SPARSE_INDICES)
			r = tensor(o, &pb, &g, NULL, 0);
		if (r < 0)
			return r;
	}
	return r;
}

/* ===== graphs =========================================================== */

static int graph(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f, unsigned depth);

/* Leaves *axis alone unless this is the attribute "axis". */
static int attribute(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f, struct alias *alias, int64_t *axis,
	unsigned depth)
{
	struct ml_pb pb = ml_pb_enter(in, f);
	struct ml_pb_field g;
	struct ml_onnx_str s = {0, 0};
	uint64_t v = 0;
	int r = ml_pb_want(f, ML_PB_LEN, o->diag);

	if (r < 0)
		return r;
	while ((r = ml_pb_next(&pb, &g, o->diag)) > 0) {
		switch (g.num) {
		case ATTR_NAME: r = note(o, &g, &s); break;
		case ATTR_INT:
			r = ml_pb_want(&g, ML_PB_VARINT, o->diag);
			v = g.val;
			break;
		case ATTR_TENSOR:
		case ATTR_TENSORS: r = tensor(o, &pb, &g, alias, 0); break;
		case ATTR_GRAPH:
		case ATTR_GRAPHS: r = graph(o, &pb, &g, depth + 1); break;
		case ATTR_SPARSE:
		case ATTR_SPARSES: r = sparse(o, &pb, &g, alias); break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	if (r == ML_OK)
		r = is(o, &s, "axis");
	if (r > 0)
		*axis = v > INT64_MAX ? -(int64_t)~v - 1 : (int64_t)v;
	return r < 0 ? r : ML_OK;
}

/* Remembers the node when it gives scales to a constant. */
static int use(struct ml_onnx *o, const struct ml_onnx_str *op,
	const struct ml_onnx_str input[INPUTS], const int64_t *axis)
{
	size_t i;
	void *p;
	int r;

	for (i = 0; i < sizeof users / sizeof *users; i++) {
		const struct ml_onnx_str *x = &input[users[i].first];

		r = is(o, op, users[i].op);
		if (r < 0)
			return r;
		if (r == 0 || x[0].len == 0 || x[1].len == 0 ||
			x[0].len > ML_NAME_MAX || x[1].len > ML_NAME_MAX ||
			x[2].len > ML_NAME_MAX)
			continue;
		p = o->use;
		r = grow(o, &p, o->nuse, &o->cuse, sizeof *o->use);
		if (r < 0)
			return r;
		o->use = p;
		o->use[o->nuse++] = (struct ml_onnx_use){x[0], x[1], x[2],
			*axis == INT64_MAX ? users[i].axis : *axis};
	}
	return ML_OK;
}

static int node(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f, unsigned depth)
{
	struct ml_pb pb = ml_pb_enter(in, f);
	struct ml_pb_field g;
	struct ml_onnx_str input[INPUTS] = {{0, 0}}, out = {0, 0}, own = {0, 0};
	struct ml_onnx_str op = {0, 0}, ignored;
	struct alias alias;
	int64_t axis = INT64_MAX;
	unsigned nin = 0, nout = 0;
	int r = ml_pb_want(f, ML_PB_LEN, o->diag);

	if (r < 0)
		return r;
	while ((r = ml_pb_next(&pb, &g, o->diag)) > 0) {
		switch (g.num) {
		case NODE_INPUT:
			r = note(o, &g, nin < INPUTS ? &input[nin] : &ignored);
			nin += nin < INPUTS;
			break;
		case NODE_OUTPUT:
			r = note(o, &g, nout == 0 ? &out : &ignored);
			nout = 1;
			break;
		case NODE_NAME: r = note(o, &g, &own); break;
		case NODE_OP: r = note(o, &g, &op); break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	alias = (struct alias){out, NULL};
	if (out.len == 0 && own.len > 0)
		alias = (struct alias){own, "/value"};
	pb = ml_pb_enter(in, f);
	while ((r = ml_pb_next(&pb, &g, o->diag)) > 0) {
		if (g.num == NODE_ATTRIBUTE)
			r = attribute(o, &pb, &g, &alias, &axis, depth);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : use(o, &op, input, &axis);
}

static int graph(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f, unsigned depth)
{
	struct ml_pb pb = ml_pb_enter(in, f);
	struct ml_pb_field g;
	int r = ml_pb_want(f, ML_PB_LEN, o->diag);

	if (depth > DEPTH_MAX)
		return ml_fail(o->diag, ML_ELIMIT, f->at,
			"onnx graph at %llu is nested more than %u deep",
			(unsigned long long)f->at, DEPTH_MAX);
	if (r < 0)
		return r;
	while ((r = ml_pb_next(&pb, &g, o->diag)) > 0) {
		switch (g.num) {
		case GRAPH_NODE: r = node(o, &pb, &g, depth); break;
		case GRAPH_INIT: r = tensor(o, &pb, &g, NULL, 1); break;
		case GRAPH_SPARSE: r = sparse(o, &pb, &g, NULL); break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	return r;
}

static int function(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f)
{
	struct ml_pb pb = ml_pb_enter(in, f);
	struct ml_pb_field g;
	int64_t axis;
	int r = ml_pb_want(f, ML_PB_LEN, o->diag);

	if (r < 0)
		return r;
	while ((r = ml_pb_next(&pb, &g, o->diag)) > 0) {
		if (g.num == FUNCTION_NODE)
			r = node(o, &pb, &g, 0);
		else if (g.num == FUNCTION_ATTRIBUTE)
			r = attribute(o, &pb, &g, NULL, &axis, 0);
		if (r < 0)
			return r;
	}
	return r;
}

static int training(struct ml_onnx *o, const struct ml_pb *in,
	const struct ml_pb_field *f)
{
	struct ml_pb pb = ml_pb_enter(in, f);
	struct ml_pb_field g;
	int r = ml_pb_want(f, ML_PB_LEN, o->diag);

	if (r < 0)
		return r;
	while ((r = ml_pb_next(&pb, &g, o->diag)) > 0) {
		if (g.num == TRAINING_INIT || g.num == TRAINING_ALGORITHM)
			r = graph(o, &pb, &g, 0);
		if (r < 0)
			return r;
	}
	return r;
}

/* ===== the reader ======================================================= */

/* The wire type of a field of ModelProto, -1 when there is no such field. */
static int model_wire(uint64_t num)
{
	if (num == MODEL_IR_VERSION || num == MODEL_VERSION)
		return ML_PB_VARINT;
	return (num >= 2 && num <= 8) || num == 14 || num == 20 ||
		num == 25 || num == 26 ? ML_PB_LEN : -1;
}

/* There is no magic: the fields must be a ModelProto's until they reach the
 * graph or leave what we see. */
static int probe(const uint8_t *head, size_t n)
{
	uint64_t tag, v;
	size_t at = 0, k;

	while (at < n) {
		k = ml_varint(head + at, n - at, &tag);
		if (k == 0)
			return at > 0 && n - at < ML_VARINT_MAX ? ML_MAYBE : 0;
		if (model_wire(tag >> 3) != (int)(tag & 7))
			return 0;
		at += k;
		k = ml_varint(head + at, n - at, &v);
		if (k == 0)
			return n - at < ML_VARINT_MAX ? ML_MAYBE : 0;
		at += k;
		if (tag >> 3 == MODEL_GRAPH)
			return ML_MAYBE;
		if ((tag & 7) == ML_PB_LEN) {
			if (v > n - at)
				return ML_MAYBE;
			at += (size_t)v;
		}
	}
	return n > 0 ? ML_MAYBE : 0;
}

static int model(struct ml_onnx *o)
{
	struct ml_pb pb = {o->src, 0, ml_src_size(o->src)};
	struct ml_pb_field f;
	int r, graphs = 0, wire;

	while ((r = ml_pb_next(&pb, &f, o->diag)) > 0) {
		wire = model_wire(f.num);
		r = wire < 0 ? ML_OK : ml_pb_want(&f, (unsigned)wire, o->diag);
		if (r < 0)
			return r;
		if (f.num == MODEL_GRAPH) {
			r = graph(o, &pb, &f, 0);
			graphs = 1;
		} else if (f.num == MODEL_TRAINING) {
			r = training(o, &pb, &f);
		} else if (f.num == MODEL_FUNCTIONS) {
			r = function(o, &pb, &f);
		}
		if (r < 0)
			return r;
	}
	if (r == ML_OK && !graphs)
		r = ml_fail(o->diag, ML_EFORMAT, 0, "no onnx graph");
	return r;
}

static int walk(struct ml_src *s, struct ml_model *m, struct ml_diag *diag)
{
	struct ml_onnx o = {.src = s, .m = m, .diag = diag};
	int r;

	o.name = malloc(SCRATCH_MAX);
	if (!o.name)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	r = model(&o);
	if (r == ML_OK && o.nuse > 0)
		r = ml_onnx_quantise(&o);
	free(o.use);
	free(o.init);
	free(o.name);
	return r;
}

int ml_onnx_externals(struct ml_src *s,
	int (*each)(void *arg, const struct ml_onnx_external *e), void *arg,
	struct ml_diag *diag)
{
	struct ml_onnx o = {
		.src = s, .diag = diag, .external = each, .arg = arg};
	int r;

	o.name = malloc(SCRATCH_MAX);
	if (!o.name)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	r = model(&o);
	free(o.use);
	free(o.name);
	return r;
}

const struct ml_reader ml_reader_onnx = {
	.container = ML_ONNX, .name = "onnx", .probe = probe, .walk = walk};
