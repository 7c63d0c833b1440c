#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a program can no longer do once it decodes: cmd/confine.h.
load ../helper

# Skips where nothing is confined: under sanitizers, or without seccomp(2).
confined() { # all | files
	local s=0

	confine "$1" >log 2>&1 || s=$?
	[ $s != 77 ] || skip 'no seccomp in this build or on this machine'
	cat log
	return $s
}

# waits PID: until the process is under a filter.
waits() {
	for _ in $(seq 200); do
		grep -q '^Seccomp:.*2' "/proc/$1/status" && break
		sleep 0.05
	done
	grep -q '^Seccomp:.*2' "/proc/$1/status"
	grep -q '^NoNewPrivs:.*1' "/proc/$1/status"
}

@test 'no file that exists is opened, no network, no process' {
	confined files >/dev/null
	confined all
}

@test 'with directories files are opened, but no network, no process' {
	confined files
}

@test 'ml-apply is confined before it reads of a patch' {
	confined files >/dev/null
	mkfifo pipe
	ml-diff "$D/old.bf16.st" "$D/new.bf16.st" >p
	ml-apply -s -o m "$D/old.bf16.st" pipe 3>&- &
	pid=$!
	exec 9>pipe
	head -c 200 p >&9
	waits $pid
	tail -c +201 p >&9
	exec 9>&-
	wait $pid
	cmp m "$D/new.bf16.st"
}

@test 'ml-apply is confined with directories, and replaces one' {
	confined files >/dev/null
	mkfifo pipe
	mkdir -p a b/c
	cp "$D/old.bf16.st" a/m
	cp "$D/new.bf16.st" b/m
	ln -s ../m b/c/link
	ml-diff a b >p
	ml-apply -s -o a a pipe 3>&- &
	pid=$!
	exec 9>pipe
	head -c 200 p >&9
	waits $pid
	tail -c +201 p >&9
	exec 9>&-
	wait $pid
	diff -r a b
}

@test 'a confined ml-apply makes spools, keeps releases and syncs names' {
	confined files >/dev/null
	ml-diff -r 1 "$D/old.bf16.st" "$D/new.bf16.st" >p1
	ml-diff -r 2 "$D/new.bf16.st" "$D/third.bf16.st" >p2
	cat p1 p2 >p
	cp "$D/old.bf16.st" m
	r 0 ml-apply -R high -o m m p
	silent
	cmp m "$D/third.bf16.st"
	[ "$(cat high)" = 2 ]
}
