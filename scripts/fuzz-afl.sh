#!/bin/bash
# SPDX-License-Identifier: MIT
# fuzz-afl.sh DIR SECONDS PROGRAM...: as fuzz.sh, by AFL++: the same targets,
# one by one, each for so many seconds of CPU time with all its processes.
set -u
cd "$(dirname "$0")/.." || exit 3
dir=$1 seconds=$2 status=0
shift 2
mkdir -p "$dir"
hz=$(getconf CLK_TCK)
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_QUIET=1
export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_IGNORE_SEED_PROBLEMS=1
# AFL++ wants these so; a crash is then a signal
export ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0
export UBSAN_OPTIONS=abort_on_error=1:symbolize=0

# Of a session: what its processes used, and those of theirs that ended.
cpu() { # session
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' |
		awk -v s="$1" -v hz="$hz" '$4 == s { t += $12 + $13 + $14 + $15 }
			END { print int(t / hz) }'
}

for f; do
	name=${f##*/fuzz_} used=0
	log=$dir/$name.log out=$dir/$name
	rm -rf "$out"
	setsid afl-fuzz -i "tests/fuzz/corpus/$name" -o "$out" -m none \
		-t 25000 -- "$f" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		now=$(cpu $pid)
		[ "$now" -le "$used" ] || used=$now
		[ "$used" -lt "$seconds" ] || kill -INT $pid 2>/dev/null
		sleep 1
	done
	wait $pid
	s=$?
	stats=$out/default/fuzzer_stats
	stat() { sed -n "s/^$1 *: *//p" "$stats" 2>/dev/null; }
	bad=$(find "$out" -path '*/crashes/id*' -o -path '*/hangs/id*' |
		wc -l)
	[ -s "$stats" ] && [ "$bad" = 0 ] || s=1
	[ $s = 0 ] || status=1
	printf '%-12s exit %s, %s s CPU, runs %s, edges %s of %s, kept %s, crashes and hangs %s\n' \
		"$name" "$s" "$used" "$(stat execs_done)" \
		"$(stat edges_found)" "$(stat total_edges)" \
		"$(stat corpus_count)" "$bad" | tee -a "$dir/summary"
	[ $s = 0 ] || tail -n 40 "$log"
done
exit $status
