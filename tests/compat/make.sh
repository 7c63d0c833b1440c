#!/bin/bash
# SPDX-License-Identifier: MIT
# make.sh: the golden files of the version that is being made, lib/ml.h, with the
# programs of B/bin; see README.md. Not of one that was released.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
B=$(cd "${B-$root/build}" && pwd)
PATH=$B/bin:$PATH
v=$(sed -n 's/^#define ML_VERSION_STRING "\(.*\)"/\1/p' "$root/lib/ml.h")
grep -q "^## $v (not released)" "$root/CHANGELOG.md" || {
	echo "make.sh: $v was released: what it wrote is kept" >&2
	exit 1
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
to=$here/$v
rm -rf "$to"
mkdir -p "$to"

# pair NAME: $dir/base and $dir/target, of a vector or of what is made here.
pair() {
	local key f=$root/tests/vectors/good/$1.hex

	of=$1
	[ -r "$f" ] || f=$to/$1.hex
	for key in base target; do
		sed -n "s/^$key: *//p" "$f" | xxd -r -p >"$dir/$key"
	done
}

# golden KIND NAME [LINE]: standard input, a patch or a stream, of the pair.
golden() {
	local data

	data=$(xxd -p | tr -d '\n')
	{
		echo "of: $of"
		[ -z "${3-}" ] || echo "$3"
		echo "$1: $data"
	} >"$to/$2.hex"
}

# a pair of a tensor that was cast, which no vector is
python3 - "$to/pair-cast.hex" <<'END'
import json, random, struct, sys

rnd = random.Random(5)
w = [struct.unpack("<f", struct.pack("<f", rnd.gauss(0, .02)))[0]
     for _ in range(1500)]


def st(dtype, size, data):
    head = json.dumps({"w": {"dtype": dtype, "shape": [30, 50],
                             "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(head)) + head + data


base = st("F32", 4, struct.pack("<1500f", *w))
target = st("F16", 2, struct.pack("<1500e", *w))
open(sys.argv[1], "w").write("base: %s\ntarget: %s\n" % (
    base.hex(), target.hex()))
END

# and tensors that gained a sum of rank 2
python3 - "$to" <<'END'
import json, random, struct, sys

N = 40
rnd = random.Random(6)


def bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def bf16(x):
    return (bits(x) + 0x7fff + (bits(x) >> 16 & 1)) >> 16


def put(dtype, w):
    if dtype == "BF16":
        return struct.pack("<%dH" % len(w), *map(bf16, w))
    return struct.pack("<%d%s" % (len(w), "f" if dtype == "F32" else "e"), *w)


def get(dtype, b):
    if dtype == "BF16":
        return [struct.unpack("<f", struct.pack("<I", x << 16))[0]
                for x in struct.unpack("<%dH" % (len(b) // 2), b)]
    n = 4 if dtype == "F32" else 2
    return struct.unpack("<%d%s" % (len(b) // n, "f" if n == 4 else "e"), b)


def st(dtype, data):
    head = json.dumps({"w": {"dtype": dtype, "shape": [N, N],
                             "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(head)) + head + data


u = [[rnd.gauss(0, 1) for _ in range(2)] for _ in range(N)]
v = [[rnd.gauss(0, .01) for _ in range(2)] for _ in range(N)]
for dtype in "F32", "F16", "BF16":
    base = put(dtype, [rnd.gauss(0, .05) for _ in range(N * N)])
    target = put(dtype, [a + sum(p * q for p, q in zip(u[i // N], v[i % N]))
                         for i, a in enumerate(get(dtype, base))])
    open("%s/pair-sum-%s.hex" % (sys.argv[1], dtype.lower()), "w").write(
        "base: %s\ntarget: %s\n" % (st(dtype, base).hex(),
                                    st(dtype, target).hex()))
END

# ----- patches ----------------------------------------------------------
pair range-model-full
d=("$dir/base" "$dir/target")
ml-diff -H xxh3 "${d[@]}" | golden patch xxh3
for c in nano micro full; do
	ml-diff -c $c --in-place 256 "${d[@]}" | golden patch place-$c
done
ml-diff -c full --restart 1024 "${d[@]}" | golden patch restart
for l in 1 2 5 9; do
	ml-diff -$l "${d[@]}" | golden patch level-$l
done
minisign -G -W -p "$dir/pub" -s "$dir/key" >/dev/null
ml-diff -r 7 "${d[@]}" | ml-sign -s "$dir/key" |
	golden patch signed "key: $(tail -n 1 "$dir/pub")"
ml-diff "${d[@]}" >"$dir/p"
minisign -S -s "$dir/key" -m "$dir/p" -x "$dir/sig" -t golden >/dev/null
golden patch detached "key: $(tail -n 1 "$dir/pub")
minisig: $(xxd -p "$dir/sig" | tr -d '\n')" <"$dir/p"
pair pair-cast
ml-diff "${d[@]}" | golden patch cast
for t in f32 f16 bf16; do
	pair pair-sum-$t
	ml-diff "${d[@]}" | golden patch sum-$t
done

# ----- streams ----------------------------------------------------------
streams() { # PAIR NAME CLASS...
	pair "$1"
	ml-split "$dir/base" >"$dir/b"
	ml-split "$dir/target" >"$dir/t"
	ml-delta "$dir/b" "$dir/t" >"$dir/d"
	golden delta "delta-$2" <"$dir/d"
	for c in "${@:3}"; do
		ml-zipnn -c "$c" -b "$dir/base" "$dir/d" |
			golden delta "delta-$2-$c"
	done
}
streams range-model-full model nano micro full
for c in nano micro full; do
	ml-zipnn -c $c "$dir/t" | golden stream "coded-$c"
done
ml-delta --in-place 256 "$dir/b" "$dir/t" | golden delta delta-place
streams range-zip-full zip full
pair fast-planes
ml-split "$dir/base" >"$dir/b"
ml-split "$dir/target" >"$dir/t"
ml-zipnn -1 "$dir/t" | golden stream coded-1
ml-delta "$dir/b" "$dir/t" | ml-zipnn -1 -b "$dir/base" | golden delta delta-1
streams pair-cast cast full

# ----- and all vectors that must be read --------------------------------
cd "$here"
sha256sum "$v"/*.hex ../vectors/good/*.hex ../vectors/bad/*.hex \
	../vectors/stream/*.hex >"$v/SHA256SUMS"
