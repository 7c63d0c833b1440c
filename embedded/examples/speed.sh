#!/bin/bash
# SPDX-License-Identifier: MIT
# speed.sh OLD NEW PORT...: instructions per byte of the target for each part
# of an update on the emulated boards, as lines "port, base's digest, decode
# and write, target's digest", tabs between. Takes B and BIN; needs QEMU.
set -eu
cd "$(dirname "$0")/../.."
B=${B-build} BIN=${BIN-build/bin}
old=$1 new=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$BIN/ml-diff" -q -c nano -o "$dir/patch" "$old" "$new"
n=$(stat -c %s "$dir/patch")
for i in 0 8 16 24; do
	printf '%b' "\\x$(printf %02x $((n >> i & 255)))"
done | cat - "$dir/patch" >"$dir/sized"
embedded/examples/factory.py "$old" >"$dir/flash"
for port; do
	make -s B="$B" "$B/embedded/$port/bench.elf"
	case $port in
	riscv32*)
		qemu='qemu-system-riscv32 -M virt -bios none -m 64'
		at=0x81000000 unit=1
		;;
	lx106*) # a tick of 40 MHz is 25
		qemu='qemu-system-xtensa -M sim -cpu lx106 -m 64 -semihosting'
		at=0x61000000 unit=25
		;;
	*) # a tick of 25 MHz is 40 instructions of 1 ns
		qemu='qemu-system-arm -M mps2-an385' at=0x21000000 unit=40
		[ "${port#*m4}" = "$port" ] || qemu=${qemu/385/386}
		;;
	esac
	# shellcheck disable=SC2086 # words
	{ timeout 100 $qemu -kernel "$B/embedded/$port/bench.elf" \
		-display none -monitor none -serial stdio \
		-icount shift=0,sleep=off \
		-device loader,file="$dir/flash",addr=$at,force-raw=on \
		-device loader,file="$dir/sized",addr=$((at + 0x400000)),force-raw=on \
		</dev/null & echo $! >"$dir/pid"; wait; } | {
		read -r line
		kill "$(cat "$dir/pid")"
		echo "$line"
	} >"$dir/line" 2>/dev/null || true
	read -r _ status _ base _ decode _ verify <"$dir/line"
	[ "$status" = 00000004 ] || { echo "$port: status $status" >&2; exit 1; }
	awk -v port="$port" -v unit=$unit -v size="$(stat -c %s "$new")" \
		-v b=$((16#$base)) -v d=$((16#$decode)) -v v=$((16#$verify)) \
		'BEGIN { printf "%s\t%.1f\t%.1f\t%.1f\n", port,
			b * unit / size, d * unit / size, v * unit / size }'
done
