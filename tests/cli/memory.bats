#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Memory does not grow with the model: a pair of 64 MB.
load ../helper

MIB=$((64 * 1024)) # what a program may have resident, in KiB

# lean PROGRAM...: under a limit of address space; and what it had resident.
lean() {
	(
		ulimit -v 400000
		maxrss "rss.$1" "$@"
	) || { echo "failed: $*" >&3; return 1; }
	kib=$(cut -d ' ' -f 2 "rss.$1")
	echo "# $1: $kib KiB" >&3
	[ "$kib" -le $MIB ] || { echo "$1: $kib KiB" >&3; return 1; }
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

# 8 GB: 500 tensors of two blocks that are one step apart.
eight() {
	mlgen big old.block --bytes 16000000
	mlgen big new.block --bytes 16000000 --step
	python3 - <<-'END'
		import json, struct
		n = 16000000
		head = {'t%03d' % i: {'dtype': 'BF16', 'shape': [4000, 2000],
		    'data_offsets': [i * n, i * n + n]} for i in range(500)}
		head = json.dumps(head).encode()
		for name in 'old', 'new':
		    block = open(name + '.block', 'rb').read()[-n:]
		    with open(name, 'wb') as f:
		        f.write(struct.pack('<Q', len(head)) + head)
		        for i in range(500):
		            f.write(block)
	END
}

@test "8 GB through pipes, within the same memory" {
	[ -n "${LONG-}" ] || skip 'LONG only'
	! sanitized || skip 'memory is not what a sanitizer is about'
	[ "$(df --output=avail -k . | tail -n 1)" -gt 35000000 ] ||
		skip 'needs 35 GB of disk'
	eight
	# shellcheck disable=SC2002 # from a pipe, not from a file
	cat new | lean ml-diff -1 -q -T 2 old - >p
	lean ml-apply -T 2 old <p | cmp - new
	lean ml-apply -s -T 1 old <p | cmp - new
	lean ml-diff -1 -q -T 1 -o q old new
	cmp p q
	rm p q
	lean ml-split new | lean ml-zipnn -1 | lean ml-pack -o p
	lean ml-apply <p | cmp - new
}
