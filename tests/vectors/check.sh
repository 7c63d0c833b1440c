#!/bin/bash
# SPDX-License-Identifier: MIT
# Every vector by ml-apply, from a file and from a pipe as it arrives, and by
# the reader in ml-patch(5). Takes BIN, the folder of the programs, and CC.
set -u
cd "$(dirname "$0")" || exit 3
BIN=${BIN-$PWD/../../build/bin}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
../../scripts/extract-c ../../man/ml-patch.5 >"$dir/reader.c" &&
	"${CC-cc}" -std=c11 -o "$dir/reader" "$dir/reader.c" || exit 3

value() { # key file
	sed -n "s/^$1: *//p" "$2"
}

# Runs a command on the vector; its status and what it wrote must be right.
try() { # how status command...
	local how=$1 want=$2 got

	shift 2
	: >"$dir/out"
	"$@" <"$dir/patch" >"$dir/out" 2>"$dir/err"
	got=$?
	if [ $got != "$want" ]; then
		echo "not ok $name $how: status $got, not $want"
		cat "$dir/err"
	elif [ $got = 0 ] && ! cmp -s "$dir/out" "$dir/target"; then
		echo "not ok $name $how: not the target"
	elif [ $got != 0 ] && [ $got != 7 ] && [ "$how" != stream ] &&
		[ -s "$dir/out" ]; then
		echo "not ok $name $how: wrote something"
	else
		echo "ok $name $how"
	fi
}

for f in good/*.hex bad/*.hex; do
	name=${f%.hex}
	status=$(value status "$f")
	value patch "$f" | xxd -r -p >"$dir/patch"
	value target "$f" | xxd -r -p >"$dir/target"
	value base "$f" | xxd -r -p >"$dir/base"
	base=()
	! grep -q '^base:' "$f" || base=("$dir/base")
	try file "$status" "$BIN/ml-apply" "${base[@]}"
	case $name in
	*/chain*) continue ;; # one patch only, those two
	esac
	try stream "$status" "$BIN/ml-apply" -s "${base[@]}"
	case $name in
	bad/digest | bad/base | good/range-*) continue ;; # no SHA-256 there
	esac
	case $status in
	5 | 4) ;;
	*) status=$((status != 0)) ;;
	esac
	try reader "$status" "$dir/reader" "${base[@]}"
done
