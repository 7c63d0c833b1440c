#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Tensors without a base are never larger than zstd -19 makes them, but for what
# a patch says of itself and of the file around them.
load ../helper

FRAME=190

setup_file() {
	export ALONE=$BATS_FILE_TMPDIR
	python3 "$ROOT/tests/gen/alone.py" "$ALONE"
}

# patch CLASS FILE: to p; it makes the file.
patch() {
	ml-split "$2" | ml-zipnn -q -c "$1" | ml-pack >p
	ml-apply -q <p | cmp - "$2"
}

@test "at most what zstd -19 and the frame are" {
	command -v zstd >/dev/null || skip 'no zstd'
	for f in "$ALONE"/*.raw; do
		patch full "${f%.raw}.safetensors"
		z=$(zstd -q -19 -c "$f" | wc -c)
		echo "${f##*/}: $(size p), zstd $z"
		[ "$(size p)" -le $((z + FRAME)) ]
	done
}

@test "few values are told by a list, steps by a line, columns by a grid" {
	for f in "$ALONE"/li*.safetensors "$ALONE"/grid*.safetensors; do
		patch full "$f"
		n=${f##*/}
		how=$(ml-info -j p | jq -r '.patches[0].tensors[0].as')
		echo "$n: $how"
		[ "${how##* }" = "${n%%-*}" ]
	done
}

@test "sixteen values cost four bits and little more" {
	patch full "$ALONE/list-f32-16.safetensors"
	[ "$(size p)" -le $((16384 * 102 / 200 + FRAME)) ]
}

@test "a table of cosines costs its values once" {
	# 1,493 of them, up to the sign, of 16,384
	patch full "$ALONE/list-f32-cosines.safetensors"
	[ "$(size p)" -le $((1493 * 4 + 1800)) ]
}

@test "blocks of quantised weights alone are smaller than by zstd -19" {
	command -v zstd >/dev/null || skip 'no zstd'
	# Not Q6_K, Q3_K: a fifth of these blocks are of one code, which real
	# ones are not, and which zstd copies.
	for t in Q4_K Q5_K Q2_K Q4_1 Q5_0 Q5_1 Q4_0 Q8_0; do
		python3 "$ROOT/tests/gen/quant.py" . F32 $t 512 3
		patch full new.gguf
		z=$(zstd -q -19 -c new.gguf | wc -c)
		echo "$t: $(size p), zstd $z"
		[ "$(size p)" -lt "$z" ]
	done
}

@test "the other classes" {
	for f in "$ALONE"/*-f32-16.safetensors "$ALONE"/line-*.safetensors; do
		patch micro "$f"
		patch nano "$f"
	done
}

@test "the way back to operations" {
	for f in "$ALONE"/li*.safetensors "$ALONE"/grid*.safetensors; do
		ml-split "$f" >s
		ml-zipnn -q <s | ml-zipnn -q -d | ml-join | cmp - "$f"
	done
}
