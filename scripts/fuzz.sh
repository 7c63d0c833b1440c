#!/bin/bash
# SPDX-License-Identifier: MIT
# fuzz.sh DIR SECONDS PROGRAM...: runs libFuzzer's programs one by one, each
# for so many seconds of CPU time, so that a busy machine does not cheat;
# keeps logs and what they find in DIR, and prints a line for each.
set -u
cd "$(dirname "$0")/.." || exit 3
dir=$1 seconds=$2 status=0
shift 2
mkdir -p "$dir"
hz=$(getconf CLK_TCK)

cpu() { # pid: seconds that it has used
	local w

	read -r -a w < <(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)
	[ ${#w[@]} -gt 12 ] && echo $(((w[11] + w[12]) / hz))
}

for f; do
	name=${f##*/fuzz_} used=0
	log=$dir/$name.log found=$dir/$name.corpus
	mkdir -p "$found"
	"$f" -timeout=25 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$dir/$name-" "$found" \
		"tests/fuzz/corpus/$name" >"$log" 2>&1 </dev/null &
	pid=$!
	while now=$(cpu $pid) && [ -n "$now" ]; do
		used=$now
		# it stops of itself, and says how far it came
		[ "$used" -lt "$seconds" ] || kill -USR1 $pid 2>/dev/null
		sleep 1
	done
	wait $pid
	s=$?
	[ $s = 0 ] || status=1
	edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
	ft=$(grep -o 'ft: [0-9]*' "$log" | tail -n 1)
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	printf '%-12s exit %s, %s s CPU, runs %s, edges %s, features %s\n' \
		"$name" "$s" "$used" "${runs:-?}" "${edges#cov: }" \
		"${ft#ft: }" | tee -a "$dir/summary"
	[ $s = 0 ] || tail -n 40 "$log"
done
exit $status
