#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Memory does not grow with the model: a pair of 64 MB.
load ../helper

MIB=$((64 * 1024)) # what a program may have resident, in KiB

# lean PROGRAM...: under a limit of address space; and what it had resident.
lean() {
	(
		ulimit -v 400000
		maxrss rss "$@"
	) || { echo "failed: $*"; return 1; }
	kib=$(cut -d ' ' -f 2 rss)
	echo "# $1: $kib KiB" >&3
	[ "$kib" -le $MIB ] || { echo "$1: $kib KiB"; return 1; }
}

@test "64 MiB are enough for every program" {
	! sanitized || skip 'memory is not what a sanitizer is about'
	n=64000000
	mlgen big old --bytes $n
	mlgen big new --bytes $n --step
	lean ml-split -o s.old old
	lean ml-split -o s.new new
	lean ml-join -o joined s.new
	cmp joined new
	rm joined
	lean ml-delta -o delta s.old s.new
	rm s.old s.new
	lean ml-zipnn -o coded delta
	rm delta
	lean ml-pack -o p coded
	lean ml-apply -o out old p
	cmp out new
	lean ml-apply -s -o out old p
	cmp out new
	lean ml-diff -o q old new
	cmp p q
	lean ml-ls old >list
	lean ml-info p >info
}
