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

@test "few values are told by a list, steps by a line" {
	for f in "$ALONE"/li*.safetensors; do
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

@test "the other classes" {
	for f in "$ALONE"/*-f32-16.safetensors "$ALONE"/line-*.safetensors; do
		patch micro "$f"
		patch nano "$f"
	done
}

@test "the way back to operations" {
	for f in "$ALONE"/li*.safetensors; do
		ml-split "$f" >s
		ml-zipnn -q <s | ml-zipnn -q -d | ml-join | cmp - "$f"
	done
}
