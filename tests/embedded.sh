#!/bin/bash
# SPDX-License-Identifier: MIT
# Firmware gets real patches over its line, by every way it knows, and answers
# with what it made of them: as a program of this machine, and on boards in
# QEMU. Takes B, BIN and MODELS.
set -u
cd "$(dirname "$0")/.." || exit 3
B=${B-build} BIN=${BIN-build/bin} MODELS=${MODELS-../shared/models}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Made here, so that there is always a pair; it is patched as bytes.
python3 - "$dir" <<'EOF'
import random
import sys

rnd = random.Random(1)
old = bytearray(rnd.randbytes(3000) + bytes(500) + b'mallorn' * 99)
new = old[:1200] + b'inserted' + old[1200:]
for i in range(0, len(new), 90):
    new[i] = (new[i] + 1) & 255
# and one that is a cast
f32, bf16 = bytearray(), bytearray()
for i in range(5000):
    v = 0x3c000000 + rnd.randrange(1 << 26) + rnd.randrange(2) * (1 << 31)
    f32 += v.to_bytes(4, 'little')
    v += rnd.randrange(99) == 0 and 1 << 16
    bf16 += (v + 0x7fff + (v >> 16 & 1) >> 16).to_bytes(2, 'little')


def tensor(kind, data):
    head = b'{"w":{"dtype":"%s","shape":[5000],"data_offsets":[0,%d]}}' % (
        kind, len(data))
    return len(head).to_bytes(8, 'little') + head + data


for name, data in (('old.bin', old), ('new.bin', new),
                   ('old.st', tensor(b'F32', f32)),
                   ('new.st', tensor(b'BF16', bf16))):
    with open(sys.argv[1] + '/' + name, 'wb') as f:
        f.write(data)
EOF
pairs=("bytes $dir/old.bin $dir/new.bin" "cast $dir/old.st $dir/new.st")
for p in tfm-hello-world tfm-seanet-conv10-weights tiny-kws-int8; do
	[ ! -r "$MODELS/$p/old.tflite" ] ||
		pairs+=("$p $MODELS/$p/old.tflite $MODELS/$p/new.tflite")
done
p=g02m-ft-lowlr-safetensors-fp16
[ ! -r "$MODELS/$p/old.safetensors" ] || pairs+=("$p \
	$MODELS/$p/old.safetensors $MODELS/$p/new.safetensors")

for p in "${pairs[@]}"; do
	read -r name old new <<<"$p"
	"$BIN/ml-diff" -q -r 3 -c nano -o "$dir/$name" "$old" "$new" &&
		"$BIN/ml-diff" -q -r 3 -c nano --in-place 4096 \
			-o "$dir/$name-place" "$old" "$new" ||
		echo "not ok $name: no patch"
done

send() { # port firmware name old new how
	local patch=$dir/$3

	[ "${1%-place}" = "$1" ] || patch=$patch-place
	if python3 tests/embedded.py "$1" "$2" "$4" "$patch" "$5" "$6" \
		>"$dir/log" 2>&1; then
		echo "ok $1 $3 $6"
		grep '^# updated' "$dir/log" | sed "s/sha256.*stack/stack/"
	else
		echo "not ok $1 $3 $6"
		cat "$dir/log"
	fi
}

try() { # port firmware
	local p name old new how

	for p in "${pairs[@]}"; do
		read -r name old new <<<"$p"
		how=xmodem
		case $1-$name in
		*-bytes) how='xmodem raw noise sx' ;;
		*-place-cast) ;; # then it is none
		*-cast-cast) how='xmodem raw' ;;
		*-cast-*) continue ;;
		*-cast) how=refuse ;; # has casts, which the others have not
		host-tiny-kws* | host-place-tiny-kws*) how='raw cut again' ;;
		*-int-tiny-kws*) how=refuse ;; # has scales as f32
		cortex-m4-g02m* | cortex-m4-place-g02m* | host-g02m*) ;;
		*-g02m*) continue ;;
		esac
		for how in $how; do
			if [ "$how" = sx ] && ! command -v sx >/dev/null; then
				echo "ok $1 sx # skip lrzsz is not installed"
				continue
			fi
			send "$1" "$2" "$name" "$old" "$new" "$how"
		done
	done
}

for port in host host-int host-place host-cast; do
	if make -s B="$B" "$B/embedded/$port/firmware" >"$dir/log" 2>&1; then
		try $port "$B/embedded/$port/firmware"
	else
		echo "not ok $port: does not build"
		cat "$dir/log"
	fi
done
# Devices that take only what is signed: with libsodium of this machine, and
# with one that was built for the board (make embedded-signed).
signed() { # port firmware
	if python3 tests/signed.py "$1" "$2" "$B/embedded/keys" \
		"$dir/old.bin" "$dir/new.bin" >"$dir/log" 2>&1; then
		echo "ok $1 signatures"
	else
		echo "not ok $1 signatures"
	fi
	cat "$dir/log"
}
for port in host-signed host-place-signed; do
	if make -s B="$B" "$B/embedded/$port/firmware" >"$dir/log" 2>&1; then
		signed $port "$B/embedded/$port/firmware"
	else
		echo "not ok $port: does not build"
		cat "$dir/log"
	fi
done
if ! [ -r "$B/embedded/libsodium/lib/libsodium.a" ]; then
	echo 'ok cortex-m4-signed # skip no libsodium for it: make embedded-signed'
elif make -s B="$B" embedded-signed >"$dir/log" 2>&1; then
	signed cortex-m4-signed "$B/embedded/cortex-m4-signed/firmware.elf"
else
	echo 'not ok cortex-m4-signed: does not build'
	cat "$dir/log"
fi

# The glue for ESP-IDF and Zephyr compiles against what it uses of them, and
# their build files name files that are there.
for d in embedded/ports/esp-idf embedded/zephyr; do
	for c in "$d"/*.c; do
		if ${CC-cc} -std=c11 -Wall -Wextra -Werror -fsyntax-only \
			-D_POSIX_C_SOURCE=200809L -DML_DEC_CLASS=1 \
			-DML_DEC_OFF32 -Iembedded -I"$d" -Itests/stubs "$c" \
			2>"$dir/log"; then
			echo "ok $c"
		else
			echo "not ok $c"
			cat "$dir/log"
		fi
	done
	grep -oE '[./a-z_]+\.c\b' "$d/CMakeLists.txt" | while read -r c; do
		[ -r "$d/$c" ] || echo "not ok $d: no $c"
	done
done

# A gateway fetches what a device asks for, after a cut only what is left.
for p in "${pairs[@]}"; do
	read -r name old new <<<"$p"
	[[ $name == tiny-kws* ]] || continue
	for how in host:ranges host:whole host-place:ranges; do
		patch=$dir/$name
		[[ $how != *-place* ]] || patch=$patch-place
		if python3 tests/gateway.py "$B/embedded/${how%:*}/firmware" \
			"$old" "$patch" "$new" "${how#*:}" >"$dir/log" 2>&1; then
			echo "ok gateway $how $name"
			grep '^# the server' "$dir/log"
		else
			echo "not ok gateway $how $name"
			cat "$dir/log"
		fi
	done
done
for port in cortex-m4 cortex-m4-int cortex-m4-place cortex-m4-cast cortex-m0plus \
	cortex-m0plus-int riscv32 riscv32-int riscv32-place lx106 lx106-int; do
	case $port in
	riscv*) cc=riscv64-unknown-elf-gcc qemu=qemu-system-riscv32 ;;
	lx106*) cc=xtensa-lx106-elf-gcc qemu=qemu-system-xtensa ;;
	*) cc=arm-none-eabi-gcc qemu=qemu-system-arm ;;
	esac
	if ! command -v $cc >/dev/null; then
		echo "ok $port # skip $cc is not installed"
	elif ! make -s B="$B" PORTS=$port embedded-size >"$dir/log" 2>&1; then
		echo "not ok $port: build, symbols or size"
		cat "$dir/log"
	elif ! command -v $qemu >/dev/null; then
		echo "ok $port builds"
		echo "ok $port runs # skip $qemu is not installed"
	else
		echo "ok $port builds"
		try $port "$B/embedded/$port/firmware.elf"
	fi
done
