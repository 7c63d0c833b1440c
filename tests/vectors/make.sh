#!/bin/bash
# SPDX-License-Identifier: MIT
# make.sh: makes the vectors good/range-*, good/fast-* and stream/* anew with the programs
# of B/bin (make.py makes the others). Only for a new version of a format: what
# was released must be read for ever. `make.sh pin` only notes what the encoder
# writes now.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
B=$(cd "${B-$here/../../build}" && pwd)
PATH=$B/bin:$PATH
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# The bases and targets: small tensors whose values drift, text, runs.
python3 - <<'END'
import io, json, math, struct, zipfile
x = 1


def rnd(n):
	global x
	x = (x * 1103515245 + 12345) & 0x7fffffff
	return (x >> 12) % n


def st(tensors, note):
	head, data = {"__metadata__": {"note": note}}, b""
	for name, dtype, b, *shape in tensors:
		size = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1, "I64": 8,
			"I32": 4}[dtype]
		head[name] = {"dtype": dtype, "shape": shape or [len(b) // size],
			"data_offsets": [len(data), len(data) + len(b)]}
		data += b
	j = json.dumps(head).encode()
	return struct.pack("<Q", len(j)) + j + data


def write(name, base, target):
	open(name + ".base", "wb").write(base)
	open(name + ".target", "wb").write(target)


bf = [0x3c00 + rnd(0x300) + 0x8000 * rnd(2) for _ in range(400)]
f = [0x3f000000 + rnd(1 << 23) for _ in range(60)]
q = [rnd(256) for _ in range(90)]
drift = lambda v, k: [a + (rnd(2 * k + 1) - k if rnd(3) else 0) for a in v]
pack = lambda c, v: struct.pack("<%d%s" % (len(v), c), *v)
old = st([("w", "BF16", pack("H", bf)), ("b", "F32", pack("I", f)),
	("q", "I8", bytes(q))], "one")
new = st([("w", "BF16", pack("H", drift(bf, 3))),
	("b", "F32", pack("I", drift(f, 900))),
	("q2", "I8", bytes(q[:50] + [rnd(256) for _ in range(40)]))], "two")
write("model", old, new)
write("same", old, old)
write("text", b"one two three four five six seven\n" * 3,
	b"one two three, four five six seven\n" * 4 + b"eight\n")
write("empty", old, b"")
be = [0x3f000000 + rnd(1 << 23) for _ in range(500)]
packbe = lambda v: struct.pack(">%dI" % len(v), *v)
write("swapped", b"one" + packbe(be), b"two" + packbe(drift(be, 9000)))


def archive(v, note):
	f = io.BytesIO()
	with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as z:
		head = b"{'descr': '<f4', 'fortran_order': False, " \
			b"'shape': (%d,), }" % len(v)
		head += b" " * (117 - len(head)) + b"\n"
		for name, b in (("w.npy", b"\x93NUMPY\1\0" +
			struct.pack("<H", len(head)) + head + pack("I", v)),
				("note.txt", note * 20)):
			z.writestr(zipfile.ZipInfo(name), b,
				zipfile.ZIP_DEFLATED)
	return f.getvalue()


few = [0x3f000000 + (rnd(1 << 8) << 15) for _ in range(300)]
write("zip", archive(few, b"first"), archive(drift(few, 2), b"second"))
write("run", bytes(300), b"abc" * 200 + bytes(200))
gauss = lambda: sum(rnd(1 << 20) for _ in range(6)) / (3 << 20) - 1
flo = [struct.unpack("<I", struct.pack("<f", gauss() / 50))[0]
	for _ in range(2400)]
bf = [v >> 16 for v in flo]
zero = bf[:900] + [0] * 300 + bf[1200:]
few = bf[:]
few[1111] += 1
tensors = lambda b, f, z, s: [("b", "BF16", pack("H", b)),
	("f", "F32", pack("I", f)), ("i", "I8", bytes(v >> 2 & 15 for v in f +
	f)), ("s", "BF16", pack("H", s)), ("z", "BF16", pack("H", z))]
write("planes", st(tensors(bf, flo, bf, bf), "one"),
	st(tensors(drift(bf, 3), drift(flo, 99), zero, few), "two"))


def gguf(tensors):
	info, data = b"", b""
	for i, (number, n, b) in enumerate(tensors):
		name = b"t%d" % i
		info += struct.pack("<Q", len(name)) + name + struct.pack(
			"<IQIQ", 1, n, number, len(data))
		data += b + bytes(-len(b) % 32)
	head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 0) + info
	return head + bytes(-len(head) % 32) + data


# GGML's number, weights and bytes of a block, where its f16 lie
old, new = [], []
for number, n, size, at in ((12, 256, 144, (0, 2)), (13, 256, 176, (0, 2)),
		(14, 256, 210, (208,)), (11, 256, 110, (108,)),
		(10, 256, 84, (80, 82)), (3, 32, 20, (0, 2)),
		(6, 32, 22, (0,)), (7, 32, 24, (0, 2)), (2, 32, 18, (0,)),
		(8, 32, 34, (0,))):
	b, t = b"", b""
	for _ in range(1152 // size):
		p = bytearray(rnd(256) for _ in range(size))
		q = bytearray(v ^ 1 << rnd(8) if rnd(9) == 0 else v for v in p)
		for i in at:
			h = 0x2000 + rnd(0x400) + 0x8000 * (rnd(9) == 0)
			p[i:i + 2] = struct.pack("<H", h)
			q[i:i + 2] = struct.pack("<H", h + rnd(30))
		b, t = b + p, t + q
	old.append((number, 1152 // size * n, b))
	new.append((number, 1152 // size * n, t))
write("blocks", gguf(old), gguf(new))

# Weights, and what makes casts hard: zeros, subnormals, what is not finite.
odd = [0, 1 << 31, 1, 0x80000001, 0x7fffff, 0x800000, 0x7f800000, 0xff800000,
	0x7fc00001, 0xffffffff, 0x477fe000, 0x477ff000, 0x33000001, 0x387fffff,
	0x3f808000, 0x3f818000, 0x7f7fffff, 0x00018000]
single = odd + [struct.unpack("<I", struct.pack("<f", gauss() / 50))[0]
	for _ in range(1500)]
half = [v & 0xffff for v in range(0, 1 << 16, 97)]
brain = [v >> 16 for v in single]


def f_of(v):
	return struct.unpack("<f", struct.pack("<I", v))[0]


def to_bf16(v):
	nan = v & 0x7fffffff > 0x7f800000
	return v >> 16 | 64 if nan else (v + 0x7fff + (v >> 16 & 1)) >> 16


def to_f16(v):
	if v & 0x7fffffff >= 0x477ff000: # too large, or not finite
		return v >> 16 & 0x8000 | 0x7c00 | (v & 0x7fffff > 0 and
			v & 0x7fffffff > 0x7f800000) * 0x200
	return struct.unpack("<H", struct.pack("<e", f_of(v)))[0]


def of_f16(v):
	if v & 0x7c00 == 0x7c00:
		return (v & 0x8000) << 16 | 0x7f800000 | (v & 1023) << 13
	return struct.unpack("<I", struct.pack("<f",
		struct.unpack("<e", struct.pack("<H", v))[0]))[0]


few = lambda v: [a ^ (rnd(90) == 0) for a in v]
write("casts", st([("a", "F32", pack("I", single)),
	("b", "F32", pack("I", single[::-1])), ("c", "F16", pack("H", half)),
	("d", "BF16", pack("H", brain))], "one"),
	st([("a", "BF16", pack("H", few(map(to_bf16, single)))),
	("b", "F16", pack("H", few(map(to_f16, single[::-1])))),
	("c", "F32", pack("I", few(map(of_f16, half)))),
	("d", "F32", pack("I", few([v << 16 for v in brain])))], "two"))


def quantised(v, bits):
	out = b""
	for i in range(0, len(v), 32):
		x = v[i:i + 32]
		big = max(x, key=abs)
		d = abs(big) / 127 if bits == 8 else big / -8
		k = 1 / d if d else 0
		out += struct.pack("<e", d)
		if bits == 8:
			out += bytes(round(a * k) & 255 for a in x)
		else:
			q = [min(15, int(a * k + 8.5)) for a in x]
			out += bytes(q[j] | q[j + 16] << 4 for j in range(16))
	return out


weights = [f_of(v) for v in single[32:32 + 1280]] + [0.0] * 64
n = len(weights)
s32 = struct.pack("<%df" % n, *weights)
s16 = struct.pack("<%de" % n, *weights)
b16 = struct.pack("<%dH" % n, *[v[0] >> 16 for v in struct.iter_unpack("<I", s32)])
kinds = (0, s32), (1, s16), (30, b16)
as_is = {0: weights, 1: [v[0] for v in struct.iter_unpack("<e", s16)],
	30: [f_of(v[0] << 16) for v in struct.iter_unpack("<H", b16)]}
write("quantised", gguf([(k, n, b) for k, b in kinds + kinds]),
	gguf([(8, n, quantised(as_is[k], 8)) for k, _ in kinds] +
	[(2, n, quantised(as_is[k], 4)) for k, _ in kinds]))


# Elements that those before them tell: few values, more of them than a byte
# counts, rows that follow the row before, steps; with none that are new at
# first, a sign that hangs on the value, and -0.
palette = [single[40 + i] for i in range(20)] + [1 << 31, 0]
many = [single[100 + i] for i in range(700)]
skew = lambda v: v[min(rnd(len(v)), rnd(len(v)))]
write("seen", b"", st([("f", "F32", pack("I", [skew(palette)
	for _ in range(900)])), ("h", "BF16", pack("H", [skew(brain[20:60])
	for _ in range(600)])), ("i", "I64", pack("Q", [5 + 3 * i // 2
	for i in range(300)])), ("j", "I32", pack("I", [rnd(3) * 70000
	for _ in range(700)])), ("m", "F32", pack("I", many + [skew(many)
	for _ in range(5000)])), ("n", "F16", pack("H", [0x3000 + 9 * i
	for i in range(400)]))], "two"))

# A table of windowed cosines: rows and columns that are their own mirrors, up
# to the sign.
cosine = lambda i: math.cos(math.pi * (i % 128) / 64)
cosines = [0.5 * (1 - cosine(j * 2)) * cosine(i * j * 2)
	for i in range(40) for j in range(64)]
write("sines", b"", st([("w", "F32", struct.pack("<2560f", *(round(v * 2 ** 20) /
	2 ** 20 for v in cosines)), 40, 64)], "two"))

# Columns of one scale each.
line = [2.0 ** (rnd(16) - 8) for j in range(24)]
alike = [[v * gauss() for v in line] for _ in range(150)]
flat = [struct.unpack("<I", struct.pack("<f", v))[0] for r in alike for v in r]
write("grid", b"", st([("f", "BF16", pack("H", [v >> 16 for v in flat]), 150, 24),
	("g", "F16", b"".join(struct.pack("<e", v) for r in alike for v in r),
	150, 24), ("h", "F32", pack("I", [v & ~0xfff for v in flat]), 150, 24)],
	"two"))

# So many elements that their chances are calm, in no rows.
write("calm", b"", st([("w", "BF16", pack("H", [struct.unpack("<I",
	struct.pack("<f", gauss() / 50))[0] >> 16 for _ in range(8200)]))], "two"))

# Codes of eight bits: an ONNX of weights, and one of what they were rounded to.
def pb(number, v):
	key = lambda wire: bytes([number << 3 & 127 | wire |
		(128 if number > 15 else 0)] + [number >> 4] * (number > 15))
	num = lambda n: bytes([n & 127 | 128]) + num(n >> 7) if n > 127 else \
		bytes([n])
	if isinstance(v, int):
		return key(0) + num(v)
	return key(2) + num(len(v)) + v


def initializer(name, kind, dims, data):
	return pb(5, b"".join(pb(1, d) for d in dims) + pb(2, kind) +
		pb(8, name) + pb(9, data))


def onnx(*parts):
	return pb(1, 8) + pb(7, b"".join(parts) + pb(2, b"g")) + pb(8, pb(2, 13))


def codes(rows, zero, low):
	out, s = b"", []
	for row in rows:
		s.append(f_of(struct.unpack("<I", struct.pack("<f",
			max(map(abs, row)) / 127))[0]))
		out += bytes(max(low, min(low + 255, round(a / s[-1]) +
			zero)) & 255 for a in row)
	return s, out


weights = [f_of(v) for v in single[32:32 + 960]]
rows = [weights[i:i + 40] for i in range(0, 480, 40)]
one = [weights[480:]]
sa, a = codes(rows, 0, -128)
sb, b = codes(one, 131, 0)
axis = pb(5, pb(1, b"axis") + pb(3, 0) + pb(20, 2))
node = lambda x, *attr: pb(1, b"".join(pb(1, x + s) for s in
	(b"_quantized", b"_scale", b"_zero_point")) + pb(2, x) +
	pb(4, b"DequantizeLinear") + b"".join(attr))
write("codes", onnx(initializer(b"a", 1, (12, 40),
	struct.pack("<480f", *weights[:480])), initializer(b"b", 1, (480,),
	struct.pack("<480f", *weights[480:]))),
	onnx(initializer(b"a_quantized", 3, (12, 40), a),
	initializer(b"a_scale", 1, (12,), struct.pack("<12f", *sa)),
	initializer(b"a_zero_point", 3, (12,), bytes(12)),
	initializer(b"b_quantized", 2, (480,), b),
	initializer(b"b_scale", 1, (), struct.pack("<f", *sb)),
	initializer(b"b_zero_point", 2, (), bytes([131])),
	node(b"a", axis), node(b"b")))
END

# blocks from weights of another type
python3 "$here/../gen/quant.py" . \
	F32,F16,BF16,Q8_0,Q6_K,Q4_K,Q5_1,Q5_K,Q4_1,Q2_K \
	Q4_K,Q5_K,Q6_K,Q3_K,Q2_K,Q4_1,Q5_0,Q5_1,Q4_0,Q8_0 1 7 0.1
mv old.gguf crossed.base
mv new.gguf crossed.target
# such blocks alone
python3 "$here/../gen/quant.py" . F32,F32,F32,F32,F32,F32,F32,F32,F32,F32 \
	Q4_K,Q5_K,Q6_K,Q3_K,Q2_K,Q4_1,Q5_0,Q5_1,Q4_0,Q8_0 8 7 0.1
: >alone.base
mv new.gguf alone.target

# key FILE: its line of a vector.
key() {
	printf '%s: %s\n' "$1" "$(xxd -p "$2" | tr -d '\n')"
}

# ===== vectors ==========================================================

if [ "${1-}" != pin ]; then
	rm -f "$here"/good/range-*.hex "$here"/stream/*.hex
	mkdir -p "$here/stream"
	for n in model same text empty run swapped zip blocks casts quantised codes \
		crossed alone seen sines grid; do
		for c in nano micro full; do
			ml-diff -c $c $n.base $n.target >patch
			{
				echo "why: $n, class $c"
				echo 'status: 0'
				key base $n.base
				key patch patch
				key target $n.target
			} >"$here/good/range-$n-$c.hex"
		done
		ml-split $n.target >$n.stream
		{
			echo "why: $n"
			echo 'status: 0'
			key stream $n.stream
			key file $n.target
		} >"$here/stream/$n.hex"
	done
	ml-split model.target | ml-zipnn | ml-pack >patch
	{
		echo 'why: no base'
		echo 'status: 0'
		key patch patch
		key target model.target
	} >"$here/good/range-no-base.hex"

	ml-split calm.target | ml-zipnn | ml-pack >patch
	{
		echo 'why: many elements, calm chances'
		echo 'status: 0'
		key patch patch
		key target calm.target
	} >"$here/good/range-calm.hex"

	rm -f "$here"/good/fast-*.hex
	n=planes
	ml-diff -1 $n.base $n.target >patch
	{
		echo "why: $n, level 1"
		echo 'status: 0'
		key base $n.base
		key patch patch
		key target $n.target
	} >"$here/good/fast-$n.hex"
	ml-split planes.target | ml-zipnn -1 | ml-pack >patch
	{
		echo 'why: fast planes without a base'
		echo 'status: 0'
		key patch patch
		key target planes.target
	} >"$here/good/fast-alone.hex"

	bad() { # NAME STATUS WHY; the stream is standard input
		cat >bad
		{
			echo "why: $3"
			echo "status: $2"
			key stream bad
		} >"$here/stream/$1.hex"
	}
	# change OFFSET XOR, and the CRC of HEAD made right when it lies there
	change() {
		python3 -c 'import struct, sys, zlib
b = bytearray(sys.stdin.buffer.read())
at = int(sys.argv[1])
b[at] ^= int(sys.argv[2])
if 8 <= at < 64:
	b[64:68] = struct.pack("<I", zlib.crc32(b[8:64]))
sys.stdout.buffer.write(b)' "$1" "$2" <text.stream
	}
	n=$(stat -c %s text.stream)
	head -c $((n - 1)) text.stream | bad bad-cut 1 'the last byte is gone'
	head -c 60 text.stream | bad bad-cut-head 1 'ends in HEAD'
	head -c $((n - 60)) text.stream | bad bad-no-done 1 'DONE is gone'
	{ cat text.stream; printf x; } | bad bad-behind 1 'a byte behind DONE'
	change 3 4 | bad bad-magic 1 'not the magic'
	change 16 3 | bad bad-major 5 'major version 2'
	change 18 7 | bad bad-kind 5 'an unknown kind'
	change 20 7 | bad bad-class 5 'an unknown memory class'
	change 22 1 | bad bad-reserved 1 'a reserved byte is not 0'
	change 24 1 | bad bad-base 1 'a model stream with a base'
	change 80 4 | bad bad-span 1 'a flipped bit in SPAN'
	change 130 4 | bad bad-data 1 'a flipped bit in DATA'
	change $((n - 20)) 4 | bad bad-done 1 'a flipped bit in DONE'
fi

# ===== what the encoder writes ==========================================

for n in model same text empty run swapped zip blocks casts quantised codes \
		crossed alone seen sines grid; do
	for c in nano micro full; do
		printf '%s  %s %s\n' "$(ml-diff -c $c $n.base $n.target |
			sha256sum | cut -c 1-64)" "$n" $c
	done
done >"$here/encoder.sha256"
printf '%s  planes fast\n' "$(ml-diff -1 planes.base planes.target |
	sha256sum | cut -c 1-64)" >>"$here/encoder.sha256"
# what is golden was made of these
[ "${1-}" = pin ] || B=$B "$here/../compat/make.sh"
