#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What all programs have in common.
load ../helper

@test "-h writes the usage, status 0" {
	for p in $PROGS; do
		r 0 "$p" -h
		silent
		head -n 1 out | grep -q "^usage: $p "
	done
}

@test "-V names software and formats" {
	for p in $PROGS; do
		r 0 "$p" -V
		silent
		grep -q "^$p [0-9][0-9.]* (stream 1, patch 1)\$" out
	done
}

@test "-h and -V do not lose a full disk" {
	for p in $PROGS; do
		for o in -h -V; do
			s=0
			"$p" $o >/dev/full 2>err || s=$?
			[ $s = 3 ]
		done
	done
}

@test "usage errors: status 2, the usage, nothing on stdout" {
	samples
	for p in $PROGS; do
		refuse 2 "$p" -Z
		says "usage: $p"
		says "unknown option '-Z'"
		refuse 2 "$p" a b c d
		says "usage: $p"
	done
	for p in $FILTERS; do
		refuse 2 "$p" -o
		says "needs an argument"
		# shellcheck disable=SC2046 # words
		refuse 2 "$p" -o never $(args "$p") x y z
		[ ! -e never ]
	done
	refuse 2 ml-delta s.old
	refuse 2 ml-diff "$D/old.bf16.st"
	refuse 2 ml-diff - -
	refuse 2 ml-delta - -
	refuse 2 ml-apply - -
	refuse 2 ml-apply -
	refuse 2 ml-split -f pickle "$D/old.bf16.st"
	refuse 2 ml-zipnn -c huge s.delta
	refuse 2 ml-apply -c huge "$D/old.bf16.st" s.patch
	refuse 2 ml-diff -c huge "$D/old.bf16.st" "$D/new.bf16.st"
	refuse 2 ml-pack -r x s.coded
	refuse 2 ml-pack -r -1 s.coded
	refuse 2 ml-pack -d -b s.old s.patch
}

@test "success is silent" {
	samples
	for p in $PROGS; do
		# shellcheck disable=SC2046
		r 0 "$p" $(args "$p")
		silent
		[ -s out ]
	done
}

@test "what cannot be opened: status 3 and its name" {
	samples
	refuse 3 ml-split absent
	refuse 3 ml-join absent
	refuse 3 ml-delta absent s.new
	refuse 3 ml-delta s.old absent
	refuse 3 ml-zipnn absent
	refuse 3 ml-pack absent
	refuse 3 ml-apply absent s.patch
	refuse 3 ml-apply "$D/old.bf16.st" absent
	refuse 3 ml-diff absent "$D/new.bf16.st"
	refuse 3 ml-diff "$D/old.bf16.st" absent
	refuse 3 ml-ls absent
	refuse 3 ml-info absent
	says "'absent'"
	refuse 3 ml-join .
}

@test "hostile names are escaped in messages" {
	samples
	bad=$'x\e]2;pwned\a\nline'
	printf 'no model' >"$bad"
	for p in ml-join ml-zipnn ml-pack ml-info; do
		refuse 1 "$p" "$bad"
		[ "$(wc -l <err)" = 1 ]
		grep -qF 'x\x1b]2;pwned\x07\x0aline' err
	done
	refuse 1 ml-apply "$D/old.bf16.st" "$bad"
	grep -qF 'x\x1b]2;pwned\x07\x0aline' err
	refuse 3 ml-split "absent$bad"
	grep -qF 'x\x1b]2;pwned\x07\x0aline' err
}

@test "a full disk: status 3" {
	samples
	for p in $PROGS; do
		s=0
		# shellcheck disable=SC2046
		"$p" $(args "$p") >/dev/full 2>err || s=$?
		[ $s = 3 ]
		says "$p: "
	done
	for p in $FILTERS; do
		# shellcheck disable=SC2046
		refuse 3 "$p" -o /dev/full $(args "$p")
	done
}

@test "-o FILE writes the same, and nothing to stdout" {
	samples
	for p in $FILTERS; do
		# shellcheck disable=SC2046
		r 0 "$p" $(args "$p")
		mv out want
		# shellcheck disable=SC2046
		refuse 0 "$p" -o got $(args "$p")
		cmp got want
		[ "$(stat -c %a got)" = "$(stat -c %a want)" ]
		rm got
		# shellcheck disable=SC2046
		r 0 "$p" -o - $(args "$p")
		cmp out want
	done
}

@test "-o FILE keeps the mode, and what a symbolic link leads to" {
	samples
	echo old >real
	chmod 640 real
	ln -s real link
	for p in $FILTERS; do
		# shellcheck disable=SC2046
		r 0 "$p" -o link $(args "$p")
		[ -L link ]
		[ "$(stat -c %a real)" = 640 ]
	done
}

@test "-o FILE after a failure: no new file, the old one untouched" {
	samples
	rand x 9000 >junk
	mkdir d
	echo old >d/kept
	for p in $FILTERS; do
		s=0
		case $p in
		ml-split) a='-f gguf junk' ;;
		ml-delta) a='s.old junk' ;;
		ml-apply) a='junk s.patch' ;;
		ml-diff) a='-f gguf junk junk' ;;
		*) a=junk ;;
		esac
		for o in d/kept d/new; do
			s=0
			# shellcheck disable=SC2086
			"$p" -o $o $a 2>err || s=$?
			[ $s != 0 ]
		done
		[ "$(ls -A d)" = kept ]
		[ "$(cat d/kept)" = old ]
	done
	for p in ml-join ml-zipnn ml-pack; do # which see the end only late
		a=$(args "$p")
		head -c $(($(size "$a") - 9)) "$a" >part
		refuse 1 "$p" -o d/kept part
		refuse 1 "$p" -o d/new <part
		[ "$(ls -A d)" = kept ]
		[ "$(cat d/kept)" = old ]
	done
}

@test "-o into a folder that is not there, or is a folder" {
	samples
	mkdir folder
	for p in $FILTERS; do
		# shellcheck disable=SC2046
		refuse 3 "$p" -o absent/file $(args "$p")
		says absent/file
		# shellcheck disable=SC2046
		refuse 3 "$p" -o folder $(args "$p")
	done
}

@test "standard input is '-' and the default" {
	samples
	for p in ml-split ml-join ml-zipnn ml-pack ml-ls ml-info; do
		a=$(args "$p")
		r 0 "$p" "$a"
		mv out want
		r 0 "$p" <"$a"
		cmp out want
		r 0 "$p" - <"$a"
		cmp out want
	done
	r 0 ml-apply "$D/old.bf16.st" - <s.patch
	cmp out "$D/new.bf16.st"
	r 0 ml-apply - s.patch <"$D/old.bf16.st"
	cmp out "$D/new.bf16.st"
	r 0 ml-delta - s.new <s.old
	cmp out s.delta
	r 0 ml-delta s.old - <s.new
	cmp out s.delta
	r 0 ml-diff "$D/old.bf16.st" "$D/new.bf16.st"
	mv out want
	r 0 ml-diff - "$D/new.bf16.st" <"$D/old.bf16.st"
	cmp out want
	r 0 ml-diff "$D/old.bf16.st" - <"$D/new.bf16.st"
	cmp out want
}

@test "pipes, FIFOs and process substitutions do as files" {
	samples
	mkfifo fifo
	for p in $PROGS; do
		a=$(args "$p")
		# shellcheck disable=SC2086
		r 0 "$p" $a
		mv out want
		first=${a%% *}
		rest=${a#"$first"}
		# shellcheck disable=SC2086
		r 0 "$p" <(cat "$first") $rest
		cmp out want
		cat "$first" >fifo &
		# shellcheck disable=SC2086
		r 0 "$p" fifo $rest
		wait $!
		cmp out want
		[ -z "$rest" ] || {
			r 0 "$p" "$first" <(cat "${rest# }")
			cmp out want
		}
		case $p in
		ml-apply | ml-delta | ml-diff) ;;
		*)
			"$p" >out < <(cat "$first")
			cmp out want
			;;
		esac
	done
}

@test "same bytes on every run, wherever spools lie" {
	samples
	mkdir other
	for p in $PROGS; do
		# shellcheck disable=SC2046
		r 0 "$p" $(args "$p")
		mv out want
		# shellcheck disable=SC2046
		TMPDIR=$PWD/other r 0 "$p" $(args "$p")
		cmp out want
	done
	[ -z "$(ls -A other)" ]
}

# terminal COMMAND: runs it with stdin and stdout on a terminal.
terminal() {
	command -v script >/dev/null ||
		skip 'no script(1): binary to a terminal is not tested'
	script -qec "$1; echo status \$?" typescript </dev/null >/dev/null
	tr -d '\r' <typescript >typed
}

@test "binary to a terminal is refused" {
	samples
	for p in $FILTERS; do
		terminal "$BIN/$p $(args "$p")"
		grep -q "^$p: refusing to write binary to a terminal" typed
		grep -q '^status 2$' typed
	done
}

@test "binary from a terminal is refused" {
	samples
	for p in ml-split ml-join ml-zipnn ml-pack ml-ls ml-info; do
		terminal "$BIN/$p >typed.out"
		[ ! -s typed.out ]
		grep -q "^$p: refusing to read binary from a terminal" typed
		grep -q '^status 2$' typed
	done
}

@test "no program needs a place for spools when its operands are files" {
	samples
	for p in ml-split ml-apply ml-ls; do
		# shellcheck disable=SC2046
		TMPDIR=/nonexistent r 0 "$p" $(args "$p")
	done
	TMPDIR=/nonexistent refuse 3 ml-split <(cat s.old)
}
