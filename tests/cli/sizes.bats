#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the size of a patch may be, and that every size of file goes through.
load ../helper

SIZES='0 1 2 3 100 65535 65536 65537 262143 262144 262145 1048575 1048576
	1048577 5000000'

@test "never larger: unrelated random files of all sizes" {
	for n in $SIZES; do
		rand "old$n" "$n" >old
		rand "new$n" "$n" >new
		trip old new
		[ "$n" -ge 1048577 ] && sanitized && continue
		pipe old new
	done
}

@test "never larger: from nothing, to nothing" {
	printf '' >empty
	for n in $SIZES; do
		rand "new$n" "$n" >new
		trip empty new
		trip new empty
		[ "$(size p)" -le 160 ]
		trip /dev/null new
	done
}

@test "sizes around the blocks, with small changes" {
	for n in 1 262143 262144 262145 1048577; do
		rand "m$n" "$n" >old
		flip old $((n / 2)) >new
		trip old new
		[ "$(size p)" -le 200 ]
		{ printf abc; cat old; } >new
		trip old new
		[ "$(size p)" -le 220 ]
		head -c $((n - 1)) old >new
		trip old new
		[ "$(size p)" -le 200 ]
		cat old old old >new
		trip old new
		[ "$(size p)" -le 260 ]
	done
}

@test "an unchanged model: at most 160 bytes" {
	for f in "$D"/old.* /dev/null; do
		trip "$f" "$f"
		[ "$(size p)" -le 160 ] || { echo "$f: $(size p)"; false; }
		pipe "$f" "$f"
		[ "$(size p)" -le 160 ] || { echo "$f: $(size p)"; false; }
	done
}

@test "one byte changed: at most 40 more" {
	for f in "$D"/old.*; do
		n=$(size "$f")
		for at in 0 9 $((n / 3)) $((n / 2)) $((n - 1)); do
			flip "$f" "$at" 5 >new
			trip "$f" new
			[ "$(size p)" -le 200 ] || {
				echo "$f at $at: $(size p)"
				false
			}
		done
	done
}

@test "long runs and repeats" {
	head -c 3000000 /dev/zero >zeros
	printf '' >empty
	trip empty zeros
	[ "$(size p)" -le 220 ]
	{ yes 'a line of text that repeats' || true; } | head -c 3000000 >text
	trip zeros text
	[ "$(size p)" -le 1000 ]
	trip text zeros
}

@test "edits of a model: renamed, added, removed, resized, moved, retrained" {
	old=$D/old.bf16.st
	for e in rename add remove resize move onebyte retrain; do
		trip "$old" "$D/$e.bf16.st"
		s=$(size p)
		echo "$e: $s"
		case $e in
		rename | remove | move) [ "$s" -lt 2500 ] ;;
		onebyte) [ "$s" -le 200 ] ;;
		add) [ "$s" -lt 6000 ] ;;
		esac
		pipe "$old" "$D/$e.bf16.st"
		trip "$D/$e.bf16.st" "$old"
	done
}

@test "casts and other containers of the same model" {
	for f in "$D"/new.*; do
		trip "$D/old.bf16.st" "$f"
		trip "$f" "$D/old.f32.st"
	done
}
