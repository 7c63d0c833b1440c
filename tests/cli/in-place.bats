#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Patches that may replace their base in place, and those that a decoder can
# begin anew in. That an in-place patch works page by page is shown by
# unit/test_update.
load ../helper

# Two files where all moves: something is put in, something taken out, two
# parts change places.
moved() {
	rand a 30000 >a
	rand b 9000 >b
	rand c 20000 >c
	cat a b c >old
	{ rand d 700; head -c 20000 a; tail -c 9500 a; cat c b; } >new
}

# pairs: old and new of several kinds, named by $1.
pairs() {
	moved
	echo old new
	echo new old
	echo /dev/null new
	echo old old
	for e in bf16.st q8_0.gguf f32.onnx int8.tflite; do
		[ ! -e "$D/old.$e" ] || echo "$D/old.$e $D/new.$e"
	done
}

@test "in place: the target comes out, and the header says how" {
	pairs >list
	while read -r old new; do
		for page in 16 256 4096 1048576; do
			for c in nano full; do
				r 0 ml-diff -q -c $c --in-place $page \
					-o p "$old" "$new"
				r 0 ml-apply -o n "$old" p
				cmp n "$new"
				r 0 ml-info p
				grep -q "in place pages of $page bytes" out
			done
		done
	done <list
}

@test "in place costs little when the base may move up" {
	ml-diff -q -c nano -o p "$D/old.bf16.st" "$D/new.bf16.st"
	ml-diff -q -c nano --in-place 4096 -o i "$D/old.bf16.st" \
		"$D/new.bf16.st"
	[ "$(size i)" -le $(($(size p) + 8)) ]
	rand a 60000 >old
	{ rand b 3000; cat old; } >new
	ml-diff -q --in-place 4096 -o i old new
	[ "$(size i)" -lt 3500 ]
	ml-info -j i | jq -e '.patches[0].lead == 1 and
		.patches[0].page == 4096'
}

@test "in place by the pipeline: the same patch" {
	moved
	for c in nano micro full; do
		ml-diff -q -c $c --in-place 512 -o p old new
		ml-delta -q --in-place 512 <(ml-split -qz old) \
			<(ml-split -qz new) | ml-zipnn -q -c $c |
			ml-pack -q -b old >i
		cmp p i
		# there and back again
		ml-pack -d p | ml-zipnn -q -d -b old |
			ml-zipnn -q -b old -c $c | ml-pack -q -b old >i
		ml-info -j i | jq -e '.patches[0].page == 512'
		ml-apply old i | cmp - new
	done
}

@test "restarts: records with a reset, anywhere" {
	pairs >list
	while read -r old new; do
		for n in 1024 4096 65536; do
			for c in nano micro full; do
				r 0 ml-diff -q -c $c --restart $n -o p \
					"$old" "$new"
				r 0 ml-apply -o n "$old" p
				cmp n "$new"
			done
		done
	done <list
	rand e 30000 >>new
	ml-diff -q -c nano --restart 4096 -o p old new
	ml-delta -qz <(ml-split -qz old) <(ml-split -qz new) |
		ml-zipnn -q -c nano --restart 4096 | ml-pack -q -b old >i
	cmp p i
	ml-pack -d p | ml-pack -q -b old | cmp p -
	# records reset at multiples of 4096 bytes, and there only
	python3 - p new >marks <<-'END'
	import sys
	p = open(sys.argv[1], 'rb').read()
	size = len(open(sys.argv[2], 'rb').read())
	def v(at):
	    n = s = 0
	    while True:
	        n |= (p[at] & 127) << s
	        s, at = s + 7, at + 1
	        if p[at - 1] < 128:
	            return n, at
	n, at = v(7)
	at += n + 4
	made = resets = 0
	while at < len(p):
	    coder = p[at]
	    out, at = v(at + 1)
	    n, at = v(at)
	    at += n + 4
	    if coder & 15 != 15:
	        if coder & 16:
	            assert made and made % 4096 == 0, made
	            resets += 1
	        made += out
	assert made == size and resets > 1
	print('well')
	END
	grep -q well marks
}

@test "restarts cost little" {
	for e in bf16.st q8_0.gguf; do
		ml-diff -q -c nano -o p "$D/old.$e" "$D/new.$e"
		ml-diff -q -c nano --restart 65536 -o i "$D/old.$e" \
			"$D/new.$e"
		[ $((100 * $(size i))) -le $((103 * $(size p))) ]
	done
}

@test "usage" {
	moved
	for n in 0 8 1000 4097 x '' 2147483648 -4096; do
		refuse 2 ml-diff --in-place "$n" old new
	done
	for n in 0 1000 x '' 99999999999999999999; do
		refuse 2 ml-diff --restart "$n" old new
	done
	refuse 2 ml-diff --in-place
	refuse 2 ml-diff --nothing old new
	ml-split old >s
	refuse 2 ml-zipnn -d --restart 4096 s
}

@test "inflated parts are refused in place" {
	cp "$D/old.q8_0.gguf" m
	python3 -m zipfile -c old.zip m
	cp "$D/new.q8_0.gguf" m
	python3 -m zipfile -c new.zip m
	ml-split -q old.zip >a
	ml-split -q new.zip >b
	refuse 1 ml-delta --in-place 4096 a b
	says ml-split
	ml-diff -q --in-place 4096 -o p old.zip new.zip
	ml-apply old.zip p | cmp - new.zip
}
