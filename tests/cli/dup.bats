#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What is in the target twice is sent once, however far it is away.
load ../helper

setup_file() {
	export M=$BATS_FILE_TMPDIR
	python3 "$ROOT/tests/gen/dup.py" "$M"
}

# made OPTIONS... OLD NEW: the size of a patch that makes NEW.
made() {
	ml-diff -q "$@" >p
	ml-apply -q "${@: -2:1}" p | cmp - "${@: -1}"
	size p
}

# more BYTES OPTIONS: what the copy costs, with a base that has it too, with
# one that has not, and without one.
# shellcheck disable=SC2086 # options
more() {
	one=$(made $2 "$M/old.st" "$M/new.st")
	[ "$one" -gt 200000 ]
	for old in old tied-old; do
		two=$(made $2 "$M/$old.st" "$M/tied-new.st")
		echo "$old $2: $two, once $one"
		[ "$two" -le $((one + $1)) ]
	done
}

@test "a tied tensor, both copies moved" {
	more 150 "-c full"
	more 150 "-c nano"
	more 250 "-3"
}

@test "without a base" {
	one=$(made /dev/null "$M/new.st")
	two=$(made /dev/null "$M/tied-new.st")
	[ "$two" -le $((one + 150)) ]
}

@test "both through pipes" {
	ml-split "$M/tied-old.st" | ml-delta - <(ml-split "$M/tied-new.st") |
		ml-zipnn | ml-pack -b "$M/tied-old.st" -o p
	ml-diff -q "$M/tied-old.st" "$M/tied-new.st" >q
	cmp p q
}

@test "parts of a tensor" {
	none=$(made "$M/old.st" "$M/others.st")
	n=$(made "$M/old.st" "$M/parts.st")
	echo "$n, without the parts $none"
	[ "$n" -le $((none + 2500)) ]
}

@test "threads; the output is read again, or kept in a spool" {
	made "$M/tied-old.st" "$M/tied-new.st"
	for t in 1 2; do
		ml-apply -q -T $t "$M/tied-old.st" p | cmp - "$M/tied-new.st"
		TMPDIR=/nowhere ml-apply -q -T $t -o new "$M/tied-old.st" p
		cmp new "$M/tied-new.st"
		rm new
		ml-apply -q -s -T $t "$M/tied-old.st" <p | cmp - "$M/tied-new.st"
		TMPDIR=/nowhere refuse 3 ml-apply -q -T $t "$M/tied-old.st" p
	done
}

@test "a chain" {
	ml-diff -q "$M/old.st" "$M/tied-new.st" >p
	ml-diff -q "$M/tied-new.st" "$M/tied-old.st" >>p
	ml-apply -q "$M/old.st" p | cmp - "$M/tied-old.st"
	ml-apply -q -o new "$M/old.st" p
	cmp new "$M/tied-old.st"
}

@test "in place" {
	more 300 "--in-place 4096"
}

@test "no spool for a few bytes" {
	made "$M/old.st" "$M/some.st"
	ml-apply -q -v "$M/old.st" p 2>err >/dev/null
	window=$(sed -n 's/.*window \([0-9]*\),.*/\1/p' err)
	[ "$window" -le 8388608 ]
}
