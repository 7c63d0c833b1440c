#!/bin/bash
# SPDX-License-Identifier: MIT
# mem.sh [BYTES]: the peak memory of every program on a pair of big files
# (500 MB by default), which mlgen makes.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
bin=$(cd "${BIN-$here/build/bin}" && pwd)
bytes=${1-500000000}
case $bytes in
'' | *[!0-9]*) echo 'usage: mem.sh [BYTES]' >&2; exit 2 ;;
esac

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
${CC:-cc} -std=c11 -O2 -D_POSIX_C_SOURCE=200809L -o maxrss \
	"$here/bench/maxrss.c"
${CC:-cc} -std=c11 -O2 -ffp-contract=off -D_POSIX_C_SOURCE=200809L \
	-D_FILE_OFFSET_BITS=64 -o mlgen "$here"/tests/gen/*.c -lm
./mlgen big old --bytes "$bytes"
./mlgen big new --bytes "$bytes" --step

# Spools go to the same place, and count as disk, not as memory.
export TMPDIR=$dir

printf '%-10s %9s %10s %12s\n' program seconds 'peak KiB' 'output bytes'
run() { # input output program argument...
	local in=$1 to=$2 name=$3
	shift 3
	if [ ! -x "$bin/$name" ]; then
		printf '%-10s %9s %10s %12s\n' "$name" - - -
		return 1
	fi
	./maxrss t "$bin/$name" "$@" <"$in" >"$to" || {
		echo "mem.sh: $name failed" >&2
		return 1
	}
	read -r s kib <t
	printf '%-10s %9s %10s %12s\n' "$name" "$s" "$kib" \
		"$(stat -c %s "$to")"
}

run old old.s ml-split
run new new.s ml-split
run new.s new.j ml-join
cmp new.j new
rm new.j
run old.s delta ml-delta - new.s
rm old.s new.s
run delta coded ml-zipnn
rm delta
run coded patch ml-pack
rm coded
run patch out ml-apply old
cmp out new
rm out patch
run /dev/null patch ml-diff old new
run patch out ml-apply old
cmp out new
