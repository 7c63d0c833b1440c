#!/bin/bash
# SPDX-License-Identifier: MIT
# lint.sh: manual pages, scripts and the symbols of the library in B, the
# build folder. Says nothing when all is well.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3
B=${B-build}
bad=0

out=$(mandoc -Tlint -Wwarning man/*.[1-7]) || bad=1
[ -z "$out" ] || { echo "$out"; bad=1; }

mapfile -t scripts < <(grep -rlE '^#!/(bin/(ba)?sh|usr/bin/env bats)' .ci \
	bench scripts tests)
# SC2094, SC2125, SC2238: mistaken about names and patterns
shellcheck -x -s bash -e SC2094,SC2125,SC2238 "${scripts[@]}" \
	tests/helper.bash || bad=1

# every global symbol is ml_*, and the library has no writable data
strays=$(nm -g --defined-only "$B/libmallorn.a" |
	awk 'NF == 3 && $3 !~ /^ml_/ { print $3 }')
[ -z "$strays" ] || { echo "global, but not ml_*: ${strays//$'\n'/ }"; bad=1; }
data=$(objdump -t "$B/libmallorn.a" |
	awk '/ \.(t?data|t?bss)\t| \*COM\*\t/ && $NF !~ /^\./ { print $NF }')
[ -z "$data" ] || { echo "writable data in the library: ${data//$'\n'/ }"; bad=1; }

# the decoder core is freestanding: nothing but three functions of memory
for cls in 1 2 3; do
	core=$B/core-$cls
	objects=()
	for c in mldec mlfast; do
		[ $c$cls = mlfast3 ] || [ $c = mldec ] || continue
		${CC-cc} -std=c11 -Os -ffreestanding -fno-stack-protector \
			-Wall -Wextra -Werror -DML_DEC_CLASS=$cls -c \
			-o "$core-$c.o" embedded/$c.c || bad=1
		objects+=("$core-$c.o")
	done
	ld -r -o "$core.o" "${objects[@]}" || bad=1
	need=$(nm -u "$core.o" |
		grep -vE ' (memcpy|memmove|memset|_GLOBAL_OFFSET_TABLE_)$')
	[ -z "$need" ] || { echo "core, class $cls, needs: $need"; bad=1; }
done
exit $bad
