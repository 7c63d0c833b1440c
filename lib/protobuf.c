/* SPDX-License-Identifier: MIT */
/* One read of the source per field: a tag and the number or length behind it
 * take at most 20 bytes. See protobuf.dev/programming-guides/encoding. Groups
 * are refused; nothing that we read ever used them. */
#include "protobuf.h"
#include "bytes.h"

#define FIELD_MAX ((1u << 29) - 1) /* the highest field number */

size_t ml_varint(const uint8_t *p, size_t n, uint64_t *v)
{
	size_t i;

	*v = 0;
	for (i = 0; i < n && i < ML_VARINT_MAX; i++) {
		if (i == ML_VARINT_MAX - 1 && p[i] > 1)
			return 0;
		*v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80))
			return i + 1;
	}
	return 0;
}

int ml_pb_next(struct ml_pb *pb, struct ml_pb_field *f, struct ml_diag *diag)
{
	uint8_t b[2 * ML_VARINT_MAX];
	uint64_t left = pb->end - pb->pos, tag, v;
	size_t have = left < sizeof b ? (size_t)left : sizeof b;
	size_t n, k;
	int r;

	if (left == 0)
		return 0;
	r = ml_src_read(pb->src, pb->pos, b, have, diag);
	if (r < 0)
		return r;
	n = ml_varint(b, have, &tag);
	if (n == 0 || tag >> 3 == 0 || tag >> 3 > FIELD_MAX)
		return ml_fail(diag, ML_EFORMAT, pb->pos,
			"bad protobuf tag at %llu",
			(unsigned long long)pb->pos);
	*f = (struct ml_pb_field){.num = (uint32_t)(tag >> 3),
		.wire = (uint8_t)(tag & 7), .at = pb->pos};
	switch (f->wire) {
	case ML_PB_VARINT:
	case ML_PB_LEN: k = ml_varint(b + n, have - n, &v); break;
	case ML_PB_I64: k = 8; break;
	case ML_PB_I32: k = 4; break;
	default:
		return ml_fail(diag, ML_EFORMAT, f->at,
			"protobuf field %u at %llu has wire type %u",
			f->num, (unsigned long long)f->at, f->wire);
	}
	if (k == 0 || k > have - n)
		return ml_fail(diag, ML_EFORMAT, f->at,
			"protobuf field %u at %llu is cut or malformed",
			f->num, (unsigned long long)f->at);
	if (f->wire == ML_PB_I64)
		f->val = ml_load64(b + n);
	else if (f->wire == ML_PB_I32)
		f->val = ml_load32(b + n);
	else if (f->wire == ML_PB_VARINT)
		f->val = v;
	pb->pos += n + k;
	if (f->wire != ML_PB_LEN)
		return 1;
	if (v > pb->end - pb->pos)
		return ml_fail(diag, ML_EFORMAT, f->at,
			"protobuf field %u at %llu has %llu bytes, its"
			" message ends at %llu", f->num,
			(unsigned long long)f->at, (unsigned long long)v,
			(unsigned long long)pb->end);
	f->off = pb->pos;
	f->len = v;
	pb->pos += v;
	return 1;
}

int ml_pb_want(const struct ml_pb_field *f, unsigned wire,
	struct ml_diag *diag)
{
	if (f->wire == wire)
		return ML_OK;
	return ml_fail(diag, ML_EFORMAT, f->at,
		"protobuf field %u at %llu has wire type %u, not %u", f->num,
		(unsigned long long)f->at, f->wire, wire);
}

struct ml_pb ml_pb_enter(const struct ml_pb *pb, const struct ml_pb_field *f)
{
	return (struct ml_pb){pb->src, f->off, f->off + f->len};
}
