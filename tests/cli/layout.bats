#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Tensors in another layout: they cost hardly more than in the same one.
load ../helper

setup_file() {
	export LAYOUT=$BATS_FILE_TMPDIR
	python3 "$ROOT/tests/gen/layout.py" "$LAYOUT"
}

# made KIND-VALUES-TYPE: the size of a patch that makes the new file.
made() {
	ml-diff -q "$LAYOUT/$1/old" "$LAYOUT/$1/new" >p
	ml-apply -q "$LAYOUT/$1/old" <p | cmp - "$LAYOUT/$1/new"
	size p
}

# cheap KIND LIKE BYTES PERCENT: when nothing but the layout changed, BYTES at
# most; when all numbers moved, PERCENT more than the same does in layout LIKE.
cheap() {
	for t in f32 i8; do
		n=$(made "$1-same-$t")
		echo "$1 $t: $n"
		[ "$n" -le "$3" ]
		n=$(made "$1-tuned-$t")
		like=$(made "$2-tuned-$t")
		echo "$1 $t: $n, like $like"
		[ "$n" -le $((like * (100 + $4) / 100)) ]
	done
}

@test "matrices the other way round" {
	cheap transposed none-dense 250 2
	cheap transposed-renamed none-dense 280 2
	cheap square-transposed none-attention 280 2
}

@test "dimensions of kernels in another order" {
	cheap ohwi none-conv 250 4
	cheap hwio-renamed none-conv 280 5
}

@test "heads interleaved" {
	cheap heads-swapped none-attention 280 2
}

@test "flattened with the channels inside" {
	cheap flattened none-flat 250 2
	cheap flattened-transposed none-flat 250 2
}

@test "the other way round, and another type" {
	python3 "$ROOT/tests/gen/layout.py" "$D/old.f32.tflite" turned
	for n in int8.tflite int8.onnx q8_0.gguf q4_0.gguf f16.gguf; do
		ml-diff -q "$D/old.f32.tflite" "$D/old.$n" >p
		like=$(size p)
		ml-diff -q turned "$D/old.$n" >p
		ml-apply -q turned <p | cmp - "$D/old.$n"
		echo "$n: $(size p), like $like"
		[ "$(size p)" -le $((like + 200)) ]
	done
	[ "$(made transposed-f16-same-f32)" -le 400 ]
	# f16 of numbers that moved: 11 bits of them are left
	[ "$(made transposed-f16-tuned-f32)" -le 100000 ]
}

@test "heads interleaved, under other names and cast" {
	# as what a converter to GGUF does to q and k of a llama
	[ "$(made heads-renamed-f16-same-f32)" -le 900 ]
}

@test "columns, rows and columns, channels removed" {
	# of what is left, by share: 0.785, 0.58, 0.79
	cheap columns-removed none-dense 600 -15
	cheap both-removed none-dense 1000 -30
	cheap channels-removed none-conv 400 -10
}

@test "columns added" {
	# 16 new ones beside 128 cost 53 KB, 13 KB as bytes
	[ "$(made columns-added-tuned-f32)" -le $(($(made \
		none-dense-tuned-f32) + 56000)) ]
	[ "$(made columns-added-tuned-i8)" -le $(($(made \
		none-dense-tuned-i8) + 14000)) ]
}

@test "ml-info and ml-delta tell of layouts" {
	d=$LAYOUT/transposed-f16-tuned-f32
	ml-diff -q "$d/old" "$d/new" | ml-info -b "$d/old" >out
	grep -q ' < cast of f32, order 1,0 of block.0.up.weight' out
	ml-diff -q "$d/old" "$d/new" | ml-info --json -b "$d/old" >out
	grep -q '"gather": *"order 1,0"' out
	d=$LAYOUT/columns-removed-tuned-f32
	ml-diff -q "$d/old" "$d/new" | ml-info -b "$d/old" >out
	grep -q ' < indices of block.0.up.weight' out
	ml-delta -v -o delta <(ml-split "$d/old") <(ml-split "$d/new") 2>err
	grep -q '	name, indices of block' err
	ml-delta -z -v -o delta <(ml-split "$d/old") <(ml-split "$d/new") 2>err
	[ "$(grep -c 'indices' err)" = 0 ]
}
