# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What fuzz.sh and fuzz-afl.sh share: DIR SECONDS PROGRAM... are taken from $@,
# and the programs run one by one, each for so many seconds of CPU time with all
# its processes, so that a busy machine does not cheat. Who sources this has
#	start PROGRAM	which starts it on the corpus of $name, as a session
#			of its own, with its words to $log, and sets $pid
#	STOP		the signal that ends it in order
#	tell STATUS	which prints a line for it, and returns its verdict
cd "$(dirname "$0")/.." || exit 3
dir=$1 seconds=$2
shift 2
mkdir -p "$dir"
hz=$(getconf CLK_TCK)

# Of a session: what its processes used, and those of theirs that ended.
cpu() { # session
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' |
		awk -v s="$1" -v hz="$hz" '$4 == s { t += $12 + $13 + $14 + $15 }
			END { print int(t / hz) }'
}

fuzz() { # program...
	local f now status=0

	for f; do
		name=${f##*/fuzz_} used=0 pid=
		log=$dir/$name.log
		start "$f"
		while kill -0 "$pid" 2>/dev/null; do
			now=$(cpu "$pid")
			[ "$now" -le "$used" ] || used=$now
			# it says how far it came before it ends
			[ "$used" -lt "$seconds" ] ||
				kill -s "$STOP" "$pid" 2>/dev/null
			sleep 1
		done
		wait "$pid"
		tell $? >"$dir/$name.line" || status=1
		tee -a "$dir/summary" <"$dir/$name.line"
		grep -q ' exit 0,' "$dir/$name.line" || tail -n 40 "$log"
	done
	return $status
}
