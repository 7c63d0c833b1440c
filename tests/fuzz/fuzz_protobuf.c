/* SPDX-License-Identifier: MIT */
/* Protobuf by itself: every payload is entered as if it were a message, to a
 * depth and as long as the account lasts. */
#include "fuzz.h"
#include "protobuf.h"

#define DEPTH 12

static void message(struct ml_pb pb, unsigned depth, unsigned *left)
{
	const uint64_t begin = pb.pos;
	struct ml_pb_field f;
	struct ml_diag diag;
	int r = 0;

	diag.why[0] = '\0';
	while (*left > 0 && (r = ml_pb_next(&pb, &f, &diag)) == 1) {
		--*left;
		MUST(f.at >= begin && f.at < pb.pos && pb.pos <= pb.end);
		MUST(f.num > 0 && f.num < 1u << 29);
		MUST((ml_pb_want(&f, f.wire, &diag) == ML_OK));
		if (f.wire != ML_PB_LEN) {
			MUST(f.off == 0 && f.len == 0);
			continue;
		}
		MUST(f.val == 0 && f.off > f.at && f.off + f.len == pb.pos);
		if (depth < DEPTH)
			message(ml_pb_enter(&pb, &f), depth + 1, left);
	}
	if (r < 0)
		MUST(r == ML_EFORMAT && diag.why[0] != '\0');
	else if (*left > 0)
		MUST(r == 0 && pb.pos == pb.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ml_src *s = fuzz_spool(data, size);
	unsigned left = 4096;
	uint64_t v;
	const size_t n = ml_varint(data, size, &v);

	MUST(n <= size && n <= ML_VARINT_MAX);
	message((struct ml_pb){s, 0, size}, 0, &left);
	ml_src_free(s);
	return 0;
}
