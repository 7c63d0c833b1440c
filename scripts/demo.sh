#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh: trains a small network, fine-tunes it, and compares the update
# that mallorn makes with those of other tools. BIN says where the programs
# are.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
bin=$(cd "${BIN-$here/build/bin}" && pwd)
PATH=$bin:$PATH
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

have() {
	command -v "$1" >/dev/null
}

for p in ml-split ml-delta ml-zipnn ml-pack ml-diff ml-apply; do
	have $p || { echo "demo.sh: no $p in $bin; run make" >&2; exit 3; }
done
${CC:-cc} -std=c11 -O2 -ffp-contract=off -D_POSIX_C_SOURCE=200809L \
	-D_FILE_OFFSET_BITS=64 -o mlgen "$here"/tests/gen/*.c -lm

echo "A network learns to read digits, then another hand's digits:"
./mlgen train -v old.f32.safetensors
./mlgen convert -d bf16 old.f32.safetensors old.bf16.safetensors
for m in f32 bf16; do
	./mlgen finetune -v old.$m.safetensors new.$m.safetensors
done
for v in old new; do
	./mlgen convert -t gguf -q q8_0 $v.f32.safetensors $v.q8_0.gguf
	./mlgen convert -t tflite -q int8 $v.f32.safetensors $v.int8.tflite
done

# Each peer writes a patch of old ($1) to new ($2) into $3.
peer_bsdiff() { bsdiff "$1" "$2" "$3"; }
peer_xdelta3() { xdelta3 -e -f -9 -S lzma -s "$1" "$2" "$3"; }
peer_zstd() {
	zstd -q -f -19 --long=31 --patch-from="$1" "$2" -o "$3"
}
peer_xz() { xz -9e -c "$2" >"$3"; }
peers=(bsdiff xdelta3 zstd xz)

# The share of elements ($3 bytes each) that differ, in percent. The few bytes
# around the tensors, and the scales of blocks, count as elements too.
changed() {
	{ cmp -l "$1" "$2" || true; } | awk -v w="$3" \
		-v n="$(stat -c %s "$2")" '
		int(($1 - 1) / w) != last || !k {
			last = int(($1 - 1) / w); k++
		}
		END { printf "%.1f%%", 100 * k * w / n }'
}

row() {
	printf '%-18s %9s %8s %9s %9s %9s %9s %9s\n' "$@"
}

echo
echo "Bytes of the new model, and of what takes the old one there:"
row model new changed mallorn bsdiff xdelta3 'zstd -19' 'xz (new)'
absent=()
for m in f32.safetensors:4 bf16.safetensors:2 q8_0.gguf:1 \
	int8.tflite:1; do
	width=${m#*:}
	m=${m%:*}
	old=old.$m new=new.$m

	# the pipeline, then the same by one command
	ml-split "$old" | ml-delta - <(ml-split "$new") | ml-zipnn |
		ml-pack >"$m.pipe"
	ml-diff "$old" "$new" >"$m.mlp"
	for p in "$m.pipe" "$m.mlp"; do
		ml-apply "$old" <"$p" >out
		cmp out "$new"
		[ "$(sha256sum <out)" = "$(sha256sum <"$new")" ]
	done

	size=()
	for p in "${peers[@]}"; do
		if ! have "$p"; then
			size+=(-)
			[[ " ${absent[*]-} " == *" $p "* ]] || absent+=("$p")
		elif "peer_$p" "$old" "$new" peer >/dev/null 2>&1; then
			size+=("$(stat -c %s peer)")
		else
			size+=(failed)
		fi
	done
	row "$m" "$(stat -c %s "$new")" "$(changed "$old" "$new" "$width")" \
		"$(stat -c %s "$m.mlp")" "${size[@]}"
	printf '%s  %s\n' "$(sha256sum <"$new" | cut -c 1-64)" "$m" >>sums
done

echo
echo "xdelta3 -9 -S lzma, zstd --patch-from --long=31, xz -9e without a base"
[ ${#absent[@]} = 0 ] || echo "not installed: ${absent[*]}"
echo "Every patch of mallorn gave back its model, by cmp and SHA-256:"
cat sums
