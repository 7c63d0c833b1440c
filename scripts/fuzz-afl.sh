#!/bin/bash
# SPDX-License-Identifier: MIT
# fuzz-afl.sh DIR SECONDS PROGRAM...: as fuzz.sh, by AFL++: the same targets.
set -u
# shellcheck source-path=SCRIPTDIR
. "${BASH_SOURCE%/*}/fuzz-common.sh"
STOP=INT
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_QUIET=1
export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_IGNORE_SEED_PROBLEMS=1
# AFL++ wants these so; a crash is then a signal
export ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0
export UBSAN_OPTIONS=abort_on_error=1:symbolize=0

start() { # program
	rm -rf "${dir:?}/$name"
	setsid afl-fuzz -i "tests/fuzz/corpus/$name" -o "$dir/$name" -m none \
		-t 25000 -- "$1" >"$log" 2>&1 </dev/null &
	pid=$!
}

stat() { # key
	sed -n "s/^$1 *: *//p" "$dir/$name/default/fuzzer_stats" 2>/dev/null
}

tell() { # status
	local s=$1 bad

	bad=$(find "$dir/$name" -path '*/crashes/id*' -o \
		-path '*/hangs/id*' | wc -l)
	[ -n "$(stat execs_done)" ] && [ "$bad" = 0 ] || s=1
	printf '%-12s exit %s, %s s CPU, runs %s, edges %s of %s, kept %s, crashes and hangs %s\n' \
		"$name" "$s" "$used" "$(stat execs_done)" \
		"$(stat edges_found)" "$(stat total_edges)" \
		"$(stat corpus_count)" "$bad"
	return "$s"
}

fuzz "$@"
