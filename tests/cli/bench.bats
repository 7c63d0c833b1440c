#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The report of bench/speed.py, and what scripts/bench-compare says of two.
load ../helper

# report NAME SIZE MAKE_MBS MAKE_KIB APPLY_MBS APPLY_KIB [TOOL]: a made-up one
report() {
	cat >"$1" <<-END
	{"version": "0", "rows": [
	 {"case": "one", "tool": "ml-diff", "bytes": 1000, "size": 500,
	  "make": {"mbs_in": 10, "kib": 40000},
	  "apply": {"mbs_out": 100, "kib": 9000}},
	 {"case": "two", "tool": "${7-ml-diff}", "bytes": 1000, "size": $2,
	  "make": {"mbs_in": $3, "kib": $4},
	  "apply": {"mbs_out": $5, "kib": $6}},
	 {"case": "two", "tool": "hdiffz", "skipped": "not installed"}]}
	END
}

# judged STATUS FAILURES WARNINGS BETTER REPORT-FIGURES...
judged() {
	local s=$1 want="$2 failures, $3 warnings, $4 better"

	shift 4
	report b "$@"
	s=0
	"$ROOT/scripts/bench-compare" a b >out 2>err || s=$?
	[ "$s" = "$(($(echo "$want" | cut -d ' ' -f 1) > 0))" ] || return
	tail -n 1 out | grep -q "^10 figures: $want\$" || { cat out; return 1; }
}

@test 'bench-compare: thresholds of size, speed and memory' {
	report a 1000 100 10000 200 5000
	judged 0 0 0 0 1000 100 10000 200 5000
	judged 0 0 0 0 1049 90.1 11900 181 5900
	judged 0 0 1 0 1050 100 10000 200 5000
	judged 0 0 1 0 1099 100 10000 200 5000
	judged 1 1 0 0 1100 100 10000 200 5000
	grep -q '^FAILURE  two, ml-diff: size: 1000 -> 1100 B, +10.0 %$' out
	judged 0 0 1 0 1000 90 10000 200 5000
	judged 0 0 1 0 1000 81 10000 200 5000
	judged 1 1 0 0 1000 80 10000 200 5000
	grep -q '^FAILURE  two, ml-diff: make mbs_in: 100 -> 80 MB/s' out
	judged 1 1 0 0 1000 100 10000 160 5000
	judged 0 0 1 0 1000 100 12000 200 5000
	judged 0 0 1 0 1000 100 10000 200 7499
	judged 1 1 0 0 1000 100 10000 200 7500
	judged 1 2 1 1 1100 79 12500 300 5000
	judged 0 0 0 4 900 120 8000 250 5000
}

@test 'bench-compare: what is gone, what is new, what is of others' {
	report a 1000 100 10000 200 5000
	report b 1000 100 10000 200 5000 'ml pipe'
	r 1 "$ROOT/scripts/bench-compare" a b || [ $? = 1 ]
	grep -q '^FAILURE  two, ml-diff: size: gone$' out
	grep -q '^new      two, ml pipe$' out
	report a 1000 100 10000 200 5000 zstd
	report b 2000 10 90000 20 50000 zstd
	"$ROOT/scripts/bench-compare" a b >out
	tail -n 1 out | grep -q '^5 figures: 0 failures'
	s=0
	"$ROOT/scripts/bench-compare" -a a b >out || s=$?
	[ $s = 1 ]
	tail -n 1 out | grep -q '^10 figures: 5 failures'
}

@test 'bench-compare: usage, and what is no report' {
	report a 1000 100 10000 200 5000
	echo '{' >bad
	echo '{"rows": [{"case": "x"}]}' >odd
	echo '{"rows": []}' >empty
	for args in 'a' 'a a a' '-x a a'; do
		s=0
		# shellcheck disable=SC2086
		"$ROOT/scripts/bench-compare" $args >out 2>err || s=$?
		[ $s = 2 ] && [ ! -s out ]
	done
	for f in bad odd none empty; do
		s=0
		"$ROOT/scripts/bench-compare" $f a >out 2>err || s=$?
		[ $s = 3 ] && [ -s err ]
	done
}

@test 'speed.py measures, compares with what it was given, and reports' {
	command -v hyperfine >/dev/null || skip 'no hyperfine'
	[ -z "$SANITIZED" ] || skip 'sanitizers'
	BIN=$BIN python3 "$ROOT/bench/speed.py" -n 2 -T 2 -o o \
		-l 'ml-diff,ml-diff -H xxh3,ml pipe,ml alone,zstd -1,cat | cat' \
		"$D/old.bf16.st" "$D/new.bf16.st" >out
	jq -e '.version and .commit and .hardware.cpu and
		.hardware.cores > 0 and (.rows | length) >= 6 and
		([.rows[] | select(.failed)] | length) == 0' o/speed.json
	ml-diff -q "$D/old.bf16.st" "$D/new.bf16.st" >p
	jq -e --argjson n "$(size p)" '.rows[] | select(.tool == "ml-diff") |
		.size == $n and .ratio < 1 and .make.mbs_in > 0 and
		.apply.mbs_out > 0 and .make.kib > 1000 and
		.apply.kib > 1000' o/speed.json
	grep -q '^| ml-diff -H xxh3 | ' o/speed.md
	for f in o/speed.svg o/speed-size.svg; do
		python3 -c 'import sys, xml.dom.minidom as x
x.parse(sys.argv[1])' $f
	done
	"$ROOT/scripts/bench-compare" o/speed.json o/speed.json >out
	# a tool that gives back another file is not measured
	mkdir fake
	cp -r "$BIN"/* fake
	rm fake/ml-apply
	printf '#!/bin/sh\necho something\n' >fake/ml-apply
	chmod +x fake/ml-apply
	s=0
	BIN=$PWD/fake python3 "$ROOT/bench/speed.py" -n 2 -o o -l ml-diff \
		"$D/old.bf16.st" "$D/new.bf16.st" >out || s=$?
	[ $s = 1 ]
	grep -q 'does not give back the file' out
}
