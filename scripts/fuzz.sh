#!/bin/bash
# SPDX-License-Identifier: MIT
# fuzz.sh DIR SECONDS PROGRAM...: runs libFuzzer's programs, each for so many
# seconds of CPU time; keeps logs and what they find in DIR, and prints a line
# for each.
set -u
# shellcheck source-path=SCRIPTDIR
. "${BASH_SOURCE%/*}/fuzz-common.sh"
STOP=USR1

start() { # program
	mkdir -p "$dir/$name.corpus"
	setsid "$1" -timeout=25 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$dir/$name-" "$dir/$name.corpus" \
		"tests/fuzz/corpus/$name" >"$log" 2>&1 </dev/null &
	pid=$!
}

last() { # word: the number behind it
	grep -o "$1: [0-9]*" "$log" | sed -n "\$s/.*: //p"
}

tell() { # status
	local runs

	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	printf '%-12s exit %s, %s s CPU, runs %s, edges %s, features %s\n' \
		"$name" "$1" "$used" "${runs:-?}" "$(last cov)" "$(last ft)"
	return "$1"
}

fuzz "$@"
