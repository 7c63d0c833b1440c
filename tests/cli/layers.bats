#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Names that are right no more: layers removed, swapped, repeated. What moved a
# little costs what it costs with a base whose names are.
load ../helper

setup_file() {
	export M=$BATS_FILE_TMPDIR
	python3 "$ROOT/tests/gen/layers.py" "$M"
}

# made OPTIONS... OLD NEW: the size of a patch that makes NEW.
made() {
	ml-diff -q "$@" >p
	ml-apply -q "${@: -2:1}" p | cmp - "${@: -1}"
	size p
}

# cheap KIND
cheap() {
	for t in F16 BF16; do
		for how in full nano; do
			best=$(made -c $how "$M/order-$1-$t.st" "$M/$1-$t.st")
			n=$(made -c $how "$M/old-$t.st" "$M/$1-$t.st")
			echo "$1 $t $how: $n, best $best"
			[ "$n" -le $((best * 1003 / 1000 + 150)) ]
		done
	done
}

@test "layers removed, and the others renumbered" {
	cheap pruned
}

@test "layers swapped" {
	cheap swapped
}

@test "layers repeated" {
	cheap repeated
}

@test "names that are right stay" {
	cheap same
	ml-diff -v "$M/old-F16.st" "$M/same-F16.st" 2>log >/dev/null
	[ "$(grep -c '	name h\.' log)" = 30 ]
}
