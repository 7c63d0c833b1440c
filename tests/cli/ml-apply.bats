#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# ml-apply: every refusal with its status, and nothing half written.
load ../helper

# A patch of a few hundred bytes with copies, residuals and literals.
small() {
	rand base 700 >base
	flip base 400 3 | tail -c 380 >tail
	echo 'what was not there before' | cat <(head -c 300 base) - tail >target
	ml-diff base target >patch
	[ "$(size patch)" -lt 400 ]
	r 0 ml-apply base patch
	cmp out target
	echo kept >file
	cp file kept
}

# kept_as_it_was: the last run has not touched `file`, nor left anything.
kept_as_it_was() {
	cmp file kept
	[ "$(find . -name '.file*')" = '' ]
}

@test "a wrong base: status 4, before anything is written" {
	small
	flip base 699 >wrong
	refuse 4 ml-apply wrong patch
	says base
	head -c 699 base >short
	refuse 4 ml-apply short patch
	refuse 4 ml-apply /dev/null patch
	refuse 4 ml-apply target patch
	refuse 4 ml-apply -o file wrong patch
	kept_as_it_was
	refuse 4 ml-apply -s -o file wrong patch
	kept_as_it_was
	refuse 4 ml-apply -s wrong patch
	# the first base of a chain
	ml-diff target base >back
	cat patch back >chain
	refuse 4 ml-apply wrong chain
}

@test "a truncated patch: status 6 at every length" {
	small
	n=$(size patch)
	for ((i = 0; i < n; i++)); do
		head -c $i patch >part
		refuse 6 ml-apply base part || { echo "at $i"; false; }
		r 6 ml-apply -s base part || { echo "-s at $i"; false; }
		! cmp -s out target || { echo "whole at $i"; false; }
	done
	head -c $((n - 1)) patch >part
	refuse 6 ml-apply -o file base part
	kept_as_it_was
	refuse 6 ml-apply -s -o file base part
	kept_as_it_was
}

@test "a flipped bit: refused with its status, at every byte" {
	small
	n=$(size patch)
	first=$((12 + $(od -An -tu1 -j7 -N1 patch))) # the first record
	flips patch "$(seq -s ' ' 0 $((n - 1)))"
	for ((i = 0; i < n; i++)); do
		bad=flips/$i
		for o in '' -s; do
			s=0
			# shellcheck disable=SC2086
			ml-apply $o -o file base $bad 2>err || s=$?
			case $i in
			0 | 1 | 2 | 3) want=1 ;; # no patch at all
			4 | 5 | 6) want='[56]' ;; # version, class, flags
			*)
				want=6
				# looked at before the CRC of the record
				[ -z "$o" ] || [ $i -lt $first ] || want='[56]'
				;;
			esac
			# shellcheck disable=SC2053 # a pattern
			[[ $s = $want ]] || {
				echo "byte $i $o: status $s, not $want"
				cat err
				false
			}
			kept_as_it_was
		done
	done
	# all bits of the header
	for b in 0 1 2 3 4 5 6 7; do
		flips patch "$(seq -s ' ' 7 $((first - 1)))" $b
		for bad in flips/*; do
			refuse 6 ml-apply base "$bad" ||
				{ echo "at $bad.$b"; false; }
		done
	done
}

@test "what the decoder does not know: status 5" {
	small
	for how in 'version 0' 'version 2' 'version 255' 'class 4' 'class 0' \
		'flags 65' 'flags 129' 'ext 0xff' 'coder 2' 'coder 14'; do
		# shellcheck disable=SC2086
		mend $how <patch >bad
		for o in '' -s; do
			# shellcheck disable=SC2086
			r 5 ml-apply $o base bad || { echo "$how"; false; }
			# shellcheck disable=SC2086
			refuse 5 ml-apply $o -o file base bad
			kept_as_it_was
		done
	done
	mend class 3 <patch >full
	refuse 5 ml-apply -c nano base full
	refuse 5 ml-apply -c micro base full
	says class
	# bits that are no version but reserved
	mend coder 0x21 <patch >bad
	s=0
	ml-apply base bad >out 2>err || s=$?
	[[ $s = [56] ]]
}

@test "what a decoder may pass over" {
	small
	for how in 'ext 0x7f' 'ext 2' note; do
		# shellcheck disable=SC2086
		mend $how <patch >good
		r 0 ml-apply base good
		cmp out target
		r 0 ml-apply -s base good
		cmp out target
	done
}

@test "a result with the wrong digest: status 7" {
	small
	mend target <patch >bad
	r 7 ml-apply base bad
	says SHA-256
	r 7 ml-apply -s base bad
	refuse 7 ml-apply -o file base bad
	kept_as_it_was
	refuse 7 ml-apply -s -o file base bad
	kept_as_it_was
	mend base <patch >bad
	refuse 4 ml-apply base bad
}

@test "a copy that leaves the base: status 6" {
	small
	mend copy <patch >bad
	r 6 ml-apply base bad
	refuse 6 ml-apply -o file base bad
	kept_as_it_was
	r 6 ml-apply -s base bad
}

@test "no patch at all: status 1" {
	small
	refuse 1 ml-apply base target
	refuse 1 ml-apply -s base target
	refuse 1 ml-apply base <(echo hello, world)
	refuse 1 ml-apply base <(ml-split base)
}

@test "a patch that needs a base, and none is given" {
	small
	refuse 4 ml-apply <patch
	refuse 4 ml-apply -s <patch
}

@test "a patch without a base" {
	small
	ml-split target | ml-zipnn | ml-pack >alone
	r 0 ml-apply <alone
	cmp out target
	r 0 ml-apply -s <alone
	cmp out target
	r 0 ml-apply -o file <alone
	cmp file target
}

@test "bytes after the patch: status 6" {
	small
	{ cat patch; printf x; } >bad
	refuse 6 ml-apply base bad
	r 6 ml-apply -s base bad
	{ cat patch; head -c 20 patch; } >bad
	refuse 6 ml-apply base bad
}

@test "a chain of patches: cat p12 p23" {
	for m in bf16.st q8_0.gguf int8.tflite; do
		ml-diff "$D/old.$m" "$D/new.$m" >p12
		ml-diff "$D/new.$m" "$D/third.$m" >p23
		cat p12 p23 >p13
		r 0 ml-apply "$D/old.$m" <p13
		cmp out "$D/third.$m"
		r 0 ml-apply -o file "$D/old.$m" p13
		cmp file "$D/third.$m"
		cat p13 <(ml-diff "$D/third.$m" "$D/old.$m") >round
		r 0 ml-apply "$D/old.$m" <round
		cmp out "$D/old.$m"
		cp file kept
		cat p23 p12 >bad
		refuse 4 ml-apply -o file "$D/new.$m" bad
		kept_as_it_was
		refuse 4 ml-apply "$D/old.$m" bad
		r 6 ml-apply -s "$D/old.$m" p13 # not for chains
	done
}

@test "-s applies a patch as it arrives" {
	for m in f32.st f16.gguf f32.onnx int8.tflite; do
		ml-diff "$D/old.$m" "$D/new.$m" >p
		ml-apply -s "$D/old.$m" >out < <(cat p)
		cmp out "$D/new.$m"
	done
}

@test "-o is safe in place" {
	cp "$D/old.bf16.st" m
	ml-diff m "$D/new.bf16.st" >p
	r 0 ml-apply -o m m p
	cmp m "$D/new.bf16.st"
}

@test "-v tells a line per patch on stderr" {
	small
	r 0 ml-apply -v base patch
	cmp out target
	[ "$(wc -l <err)" = 1 ]
}

@test "INT, TERM and HUP leave neither file nor temporary file" {
	small
	rand long 2000000 >target
	ml-diff base target >patch
	mkfifo fifo
	for sig in INT TERM HUP; do
		mkdir d
		(
			trap - INT # a background job ignores it
			exec python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' ml-apply -s -o d/f base fifo
		) 2>err &
		pid=$!
		exec 7>fifo
		head -c 1000000 patch >&7
		for ((i = 0; i < 100; i++)); do
			[ -z "$(ls -A d)" ] || break
			sleep 0.05
		done
		[ -n "$(ls -A d)" ] # the temporary file is there
		kill -$sig $pid
		s=0
		wait $pid || s=$?
		exec 7>&-
		[ $s -gt 128 ]
		[ -z "$(ls -A d)" ]
		rmdir d
	done
}
