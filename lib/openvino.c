/* SPDX-License-Identifier: MIT */
/* OpenVINO IR, versions 10 and 11: an .xml file tells where the constants of
 * the .bin file beside it lie. See "Operation Sets" and "Intermediate
 * Representation" at docs.openvino.ai.
 *
 * XML is expat's to parse. A document type, with the entities that it could
 * define, is refused as it begins, so that nothing expands whatever expat's
 * version; the depth and the length of a token are bounded, so that neither
 * its stack nor its looking again at what was cut are at a file's mercy. */
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "fit.h"
#include "set.h"

#define XML_MAX (64u << 20) /* bytes of the file */
#define PIECE 65536
#define TOKEN_MAX (1u << 20)
#define DEPTH_MAX 64

struct ir {
	XML_Parser xml;
	struct ml_set *set;
	size_t bin; /* the member with the constants */
	struct ml_diag *diag;
	int err;
	unsigned depth, layer; /* layer: depth of the Const, or 0 */
	char *name; /* of the layer; owned */
	size_t silent; /* bytes since the last event */
};

static const struct {
	const char *name;
	unsigned dtype;
} types[] = {{"f32", ML_DT_F32}, {"f16", ML_DT_F16}, {"bf16", ML_DT_BF16},
	{"f64", ML_DT_F64}, {"i8", ML_DT_I8}, {"i16", ML_DT_I16},
	{"i32", ML_DT_I32}, {"i64", ML_DT_I64}, {"u8", ML_DT_U8},
	{"u16", ML_DT_U16}, {"u32", ML_DT_U32}, {"u64", ML_DT_U64},
	{"boolean", ML_DT_BOOL}, {"i4", ML_DT_I4}, {"u4", ML_DT_U4},
	{"f8e4m3", ML_DT_F8_E4M3}, {"f8e5m2", ML_DT_F8_E5M2},
	{"f8e8m0", ML_DT_F8_E8M0}, {"f4e2m1", ML_DT_F4_E2M1}};

static void stop(struct ir *ir, int err)
{
	ir->err = err;
	XML_StopParser(ir->xml, XML_FALSE);
}

/* The value of an attribute, or NULL. */
static const char *get(const XML_Char **attr, const char *key)
{
	for (; attr[0]; attr += 2)
		if (strcmp(attr[0], key) == 0)
			return attr[1];
	return NULL;
}

/* A decimal number at *s, which is moved behind it. */
static int number(const char **s, uint64_t *v)
{
	const char *p = *s;

	*v = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (!ml_mul_ok(*v, 10, v) ||
			!ml_add_ok(*v, (uint64_t)(*p - '0'), v))
			return 0;
	if (p == *s)
		return 0;
	*s = p;
	return 1;
}

static int alone(const char *s, uint64_t *v)
{
	return s && number(&s, v) && *s == '\0';
}

/* "1,2,3"; a rank above ML_RANK_MAX when it cannot be read. */
static unsigned dims(const char *s, uint64_t shape[ML_RANK_MAX])
{
	unsigned rank = 0;

	if (!s)
		return ML_RANK_MAX + 1;
	while (*s) {
		while (*s == ' ')
			s++;
		if (rank == ML_RANK_MAX || !number(&s, &shape[rank++]))
			return ML_RANK_MAX + 1;
		while (*s == ' ')
			s++;
		if (*s && *s++ != ',')
			return ML_RANK_MAX + 1;
	}
	return rank;
}

static void constant(struct ir *ir, const XML_Char **attr)
{
	const char *type = get(attr, "element_type");
	uint64_t shape[ML_RANK_MAX] = {0}, off, len;
	unsigned dtype = ML_DT_OPAQUE, rank;
	size_t i;
	int r;

	if (!alone(get(attr, "offset"), &off) ||
		!alone(get(attr, "size"), &len))
		return;
	for (i = 0; type && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i].name) == 0)
			dtype = types[i].dtype;
	rank = dims(get(attr, "shape"), shape);
	if (ml_fit_bytes(dtype, rank, shape) != len) {
		/* the length is a fact, the shape a claim */
		dtype = ML_DT_OPAQUE;
		rank = 1;
		shape[0] = len;
	}
	r = ml_set_tensor(ir->set, ir->bin, ir->name, strlen(ir->name), dtype,
		rank, rank ? shape : NULL, off, len, ir->diag);
	if (r < 0)
		stop(ir, r);
}

static void layer(struct ir *ir, const XML_Char **attr)
{
	const char *type = get(attr, "type"), *name = get(attr, "name");
	size_t n;

	if (!type || strcmp(type, "Const") != 0)
		return;
	n = name ? strlen(name) : 0;
	if (n > ML_NAME_MAX)
		n = 0;
	free(ir->name);
	ir->name = malloc(n + 1);
	if (!ir->name) {
		stop(ir, ml_fail(ir->diag, ML_ENOMEM, ML_NOWHERE,
			"out of memory"));
		return;
	}
	if (n > 0)
		memcpy(ir->name, name, n);
	ir->name[n] = '\0';
	ir->layer = ir->depth;
}

static void XMLCALL start(void *arg, const XML_Char *tag, const XML_Char **attr)
{
	struct ir *ir = arg;

	ir->silent = 0;
	if (ir->err)
		return;
	if (++ir->depth > DEPTH_MAX)
		stop(ir, ml_fail(ir->diag, ML_ELIMIT, ML_NOWHERE,
			"xml is nested deeper than %d levels", DEPTH_MAX));
	else if (strcmp(tag, "layer") == 0 && !ir->layer)
		layer(ir, attr);
	else if (strcmp(tag, "data") == 0 && ir->layer &&
		ir->depth == ir->layer + 1)
		constant(ir, attr);
}

static void XMLCALL end(void *arg, const XML_Char *tag)
{
	struct ir *ir = arg;

	(void)tag;
	ir->silent = 0;
	if (ir->layer == ir->depth)
		ir->layer = 0;
	ir->depth--;
}

static void XMLCALL other(void *arg, const XML_Char *text, int n)
{
	struct ir *ir = arg;

	(void)text;
	(void)n;
	ir->silent = 0;
}

static void XMLCALL doctype(void *arg, const XML_Char *name,
	const XML_Char *sys, const XML_Char *pub, int subset)
{
	struct ir *ir = arg;

	(void)name;
	(void)sys;
	(void)pub;
	(void)subset;
	if (!ir->err)
		stop(ir, ml_fail(ir->diag, ML_EFORMAT, ML_NOWHERE,
			"xml has a document type"));
}

static int parse(struct ir *ir, struct ml_src *src)
{
	const uint64_t size = ml_src_size(src);
	uint64_t at = 0;
	enum XML_Status ok = XML_STATUS_OK;
	size_t n;
	void *buf;
	int r;

	if (size > XML_MAX)
		return ml_fail(ir->diag, ML_ELIMIT, ML_NOWHERE,
			"xml of more than %u bytes", XML_MAX);
	do {
		n = size - at < PIECE ? (size_t)(size - at) : PIECE;
		buf = XML_GetBuffer(ir->xml, PIECE);
		if (!buf)
			return ml_fail(ir->diag, ML_ENOMEM, ML_NOWHERE,
				"out of memory");
		r = ml_src_read(src, at, buf, n, ir->diag);
		if (r < 0)
			return r;
		at += n;
		ir->silent += n;
		ok = XML_ParseBuffer(ir->xml, (int)n, at == size);
		if (ir->err)
			return ir->err;
		if (ok == XML_STATUS_OK && ir->silent > TOKEN_MAX)
			return ml_fail(ir->diag, ML_ELIMIT, at,
				"xml has a token of more than %u bytes",
				TOKEN_MAX);
	} while (ok == XML_STATUS_OK && at < size);
	if (ok == XML_STATUS_OK)
		return ML_OK;
	if (XML_GetErrorCode(ir->xml) == XML_ERROR_NO_MEMORY)
		return ml_fail(
			ir->diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	return ml_fail(ir->diag, ML_EFORMAT, ML_NOWHERE, "malformed xml: %s",
		XML_ErrorString(XML_GetErrorCode(ir->xml)));
}

/* The member beside i of the same stem. */
static size_t beside(struct ml_set *set, size_t i)
{
	const struct ml_member *m = &set->member[i];
	size_t at = m->name_len, n, found = ML_NOT_FOUND;
	char *name;

	while (at > 0 && m->name[at - 1] != '/')
		at--;
	n = m->name_len - at;
	name = malloc(n);
	if (!name)
		return found;
	memcpy(name, m->name + at, n);
	memcpy(name + n - 4, ".bin", 4);
	found = ml_set_near(set, i, name, n);
	free(name);
	return found;
}

static int walk(struct ml_set *set, size_t i, struct ml_diag *diag)
{
	struct ir ir = {.set = set, .diag = diag, .bin = beside(set, i)};
	struct ml_src *src;
	int r;

	if (ir.bin == ML_NOT_FOUND)
		return ML_OK;
	r = ml_set_src(set, i, &src, diag);
	if (r < 0)
		return r;
	ir.xml = XML_ParserCreate(NULL);
	if (!ir.xml)
		return ml_fail(diag, ML_ENOMEM, ML_NOWHERE, "out of memory");
	XML_SetUserData(ir.xml, &ir);
	XML_SetElementHandler(ir.xml, start, end);
	XML_SetStartDoctypeDeclHandler(ir.xml, doctype);
	XML_SetDefaultHandler(ir.xml, other);
	r = parse(&ir, src);
	XML_ParserFree(ir.xml);
	free(ir.name);
	return r;
}

static int match(const char *name, size_t n)
{
	return n > 4 && memcmp(name + n - 4, ".xml", 4) == 0;
}

const struct ml_guide ml_guide_openvino = {"openvino", match, walk};
