#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Rows that lie elsewhere: what moved a little costs hardly more then.
load ../helper

setup_file() {
	export ROWS=$BATS_FILE_TMPDIR
	python3 "$ROOT/tests/gen/rows.py" "$ROWS"
}

# made CLASS OLD NEW: the size of a patch that makes NEW.
made() {
	ml-diff -q -c "$1" "$2" "$3" >p
	ml-apply -q "$2" <p | cmp - "$3"
	size p
}

# cheap KIND PERCENT: against what the same costs where all is in its place.
cheap() {
	for t in F32 F16 I8; do
		for c in full nano; do
			old=$ROWS/old-$t.safetensors
			same=$(made $c "$old" "$ROWS/same-$t.safetensors")
			n=$(made $c "$old" "$ROWS/$1-$t.safetensors")
			echo "$1 $t $c: $n, same $same"
			[ "$n" -le $((same * (100 + $2) / 100)) ]
		done
	done
}

@test "rows removed" {
	cheap removed 4
}

@test "rows added in the middle" {
	cheap added 5
}

@test "tensors merged" {
	cheap merged 2
}

@test "a tensor split, under other names" {
	cheap split 2
}

@test "rows in another order" {
	cheap shuffled 40
}

@test "a base whose rows are of other lengths, and none" {
	old=$ROWS/old-F32.safetensors
	trip "$D/old.f32.onnx" "$old"
	trip "$old" "$D/old.f32.onnx"
	printf '' >empty
	trip empty "$old"
}
