#!/bin/bash
# SPDX-License-Identifier: MIT
# What any released version wrote is still there, byte for byte, and is still
# read: see README.md. Takes BIN, the folder of the programs.
set -u
cd "$(dirname "$0")" || exit 3
BIN=${BIN-$PWD/../../build/bin}
PATH=$BIN:$PATH
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

value() { # key file
	sed -n "s/^$1: *//p" "$2"
}

# verdict NAME COMMAND...: it ends with 0 and makes $dir/target, or nothing.
verdict() {
	local name=$1

	shift
	if ! "$@" >"$dir/out" 2>"$dir/err"; then
		echo "not ok $name: $*"
		cat "$dir/err"
	elif [ -s "$dir/out" ] && ! cmp -s "$dir/out" "$dir/target"; then
		echo "not ok $name: not the target"
	else
		echo "ok $name"
	fi
}

# shellcheck disable=SC2317 # called by verdict
unpacked() { # delta: packed and applied
	ml-pack -q -b "$dir/base" "$1" >"$dir/packed" &&
		ml-apply -q "$dir/base" "$dir/packed"
}
# shellcheck disable=SC2317
decoded() { # model, coded
	ml-zipnn -q -d "$1" >"$dir/plain" && ml-join -q "$dir/plain"
}
# shellcheck disable=SC2317
plain() { # delta, coded: decoded first
	ml-zipnn -q -d -b "$dir/base" "$1" >"$dir/plain" &&
		unpacked "$dir/plain"
}

for v in [0-9]*/; do
	v=${v%/}
	if ! sha256sum --quiet -c "$v/SHA256SUMS" >"$dir/err" 2>&1; then
		echo "not ok $v: a golden file is gone or another one"
		cat "$dir/err"
	else
		echo "ok $v: $(wc -l <"$v/SHA256SUMS") files as they were"
	fi
	for f in "$v"/*.hex; do
		name=${f%.hex}
		of=$(value of "$f")
		[ -n "$of" ] || continue # a pair
		p=../vectors/good/$of.hex
		[ -r "$p" ] || p=$v/$of.hex
		value base "$p" | xxd -r -p >"$dir/base"
		value target "$p" | xxd -r -p >"$dir/target"
		for kind in patch delta stream; do
			! grep -q "^$kind:" "$f" || break
		done
		value "$kind" "$f" | xxd -r -p >"$dir/in"
		value minisig "$f" | xxd -r -p >"$dir/sig"
		key=$(value key "$f")
		case $kind in
		patch)
			verdict "$name" ml-apply -q "$dir/base" "$dir/in"
			verdict "$name -s" ml-apply -q -s "$dir/base" "$dir/in"
			verdict "$name info" sh -c "ml-info '$dir/in' |
				grep -q target"
			;;
		delta)
			verdict "$name" unpacked "$dir/in"
			verdict "$name -d" plain "$dir/in"
			;;
		stream) verdict "$name" decoded "$dir/in" ;;
		esac
		if [ -s "$dir/sig" ]; then
			verdict "$name -m" ml-verify -p "$key" \
				-m "$dir/sig" "$dir/in"
		elif [ -n "$key" ]; then
			verdict "$name -p" ml-verify -p "$key" "$dir/in"
		fi
	done
done
python3 covers.py ../vectors/good/*.hex ../vectors/stream/[!b]*.hex \
	../vectors/stream/b[!a]*.hex ./*/*.hex
