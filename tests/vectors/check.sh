#!/bin/bash
# SPDX-License-Identifier: MIT
# Every patch by ml-apply, from a file and from a pipe as it arrives, and by
# the reader in ml-patch(5); every stream by ml-join and by the reader in
# ml-stream(5). Takes BIN, the folder of the programs, and CC.
set -u
cd "$(dirname "$0")" || exit 3
BIN=${BIN-$PWD/../../build/bin}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for n in patch stream; do
	# shellcheck disable=SC2086 # CC may have arguments
	../../scripts/extract-c ../../man/ml-$n.5 >"$dir/$n.c" &&
		${CC-cc} -std=c11 -o "$dir/$n-reader" "$dir/$n.c" || exit 3
done

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
	bad/digest | bad/xxh3-digest | bad/base | good/range-* | good/fast-* | */planes* | */gather*) continue ;; # no SHA-256 there
	esac
	case $status in
	5 | 4) ;;
	*) status=$((status != 0)) ;;
	esac
	try reader "$status" "$dir/patch-reader" "${base[@]}"
done

# ===== streams ==========================================================

for f in stream/*.hex; do
	name=${f%.hex}
	status=$(value status "$f")
	value stream "$f" | xxd -r -p >"$dir/patch"
	value file "$f" | xxd -r -p >"$dir/target"
	try stream "$status" "$BIN/ml-join"
	"$dir/stream-reader" <"$dir/patch" >"$dir/out" 2>"$dir/err"
	got=$?
	if [ $got != $((status != 0)) ]; then
		echo "not ok $name reader: status $got"
	else
		echo "ok $name reader"
	fi
	[ "$status" = 0 ] || continue
	if "$BIN/ml-split" -q "$dir/target" | cmp - "$dir/patch"; then
		echo "ok $name ml-split"
	else
		echo "not ok $name ml-split"
	fi
done

# ===== the encoder ======================================================

# The same bytes on every machine. A better encoder moves these pins, by
# make.sh pin, and a line of the CHANGELOG.
while read -r sum n class; do
	how="-c $class"
	f=good/range-$n-$class.hex
	if [ "$class" = fast ]; then
		how=-1
		f=good/fast-$n.hex
	fi
	value base "$f" | xxd -r -p >"$dir/base"
	value target "$f" | xxd -r -p >"$dir/target"
	# shellcheck disable=SC2086 # an option and its argument
	got=$("$BIN/ml-diff" $how "$dir/base" "$dir/target" |
		sha256sum | cut -c 1-64)
	if [ "$got" = "$sum" ]; then
		echo "ok encoder $n $class"
	else
		echo "not ok encoder $n $class: other bytes than before"
	fi
done <encoder.sha256
