#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same weights as two types: quant.py DIR OLD NEW [ROWS] [SEED] [0.002]
[WILD] [HEADS] writes DIR/old.gguf and DIR/new.gguf.

Types, one or several with commas between them, are F32, F16, BF16 and GGML's
Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K.
The quantisers are the obvious ones, by the range of a run or its largest
weight: not those of llama.cpp, which search for better scales. A row has 256
weights; some are all 0, all equal, of one sign, tiny, or have an outlier.
0.002: that of the old weights, relative to their spread. WILD: that many rows
of half of the old tensors are random bytes, infinities and NaNs among them.
HEADS: the rows of the old ones are of so many heads, with the halves of each
one after the other; in the new ones they are interleaved, as in llama.cpp's
files.
"""

import random
import struct
import sys

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7,
         "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13,
         "Q6_K": 14, "BF16": 30}


def half(x):
    x = max(-65504.0, min(65504.0, x))
    return struct.unpack("<e", struct.pack("<e", x))[0]


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def rounded(x, lo, hi):
    return max(lo, min(hi, int(x + 0.5) if x >= 0 else -int(0.5 - x)))


def nibbles(q, run):
    """Runs of codes in pairs: one in the low halves, one in the high ones."""
    out = bytearray()
    for i in range(0, len(q), 2 * run):
        out += bytes(q[i + j] & 15 | (q[i + run + j] & 15) << 4
                     for j in range(run))
    return out


def small(kind, x):
    """A block of 32."""
    top = max(x, key=abs)
    lo, hi = min(x), max(x)
    if kind == "Q8_0":
        d = abs(top) / 127
        q = [rounded(v / d if d else 0, -127, 127) & 255 for v in x]
        return struct.pack("<e", half(d)) + bytes(q)
    if kind in ("Q4_0", "Q5_0"):
        n = 16 if kind == "Q4_0" else 32
        d = top / -(n // 2)
        q = [rounded(v / d + n // 2 if d else n // 2, 0, n - 1) for v in x]
        head = struct.pack("<e", half(d))
    else:
        n = 16 if kind == "Q4_1" else 32
        d = (hi - lo) / (n - 1)
        q = [rounded((v - lo) / d if d else 0, 0, n - 1) for v in x]
        head = struct.pack("<ee", half(d), half(lo))
    if n == 32:
        head += struct.pack("<I", sum((c >> 4) << i for i, c in enumerate(q)))
    return head + nibbles(q, 16)


def with_minimum(kind, x):
    """Q4_K, Q5_K, Q2_K."""
    run, top, most = {"Q4_K": (32, 15, 63), "Q5_K": (32, 31, 63),
                      "Q2_K": (16, 3, 15)}[kind]
    parts = [x[i:i + run] for i in range(0, 256, run)]
    lows = [-min(0.0, min(p)) for p in parts]
    scales = [(max(p) + m) / top for p, m in zip(parts, lows)]
    d, m = half(max(scales + [0.0]) / most), half(max(lows) / most)
    s = [rounded(v / d if d else 0, 0, most) for v in scales]
    n = [rounded(v / m if m else 0, 0, most) for v in lows]
    q = []
    for p, i, j in zip(parts, s, n):
        q += [rounded((v + m * j) / (d * i) if d * i else 0, 0, top)
              for v in p]
    two = struct.pack("<ee", d, m)
    if kind == "Q2_K":
        return (bytes(i | j << 4 for i, j in zip(s, n)) + crumbs(q) + two)
    packed = bytes(s[j] | s[j + 4] >> 4 << 6 for j in range(4))
    packed += bytes(n[j] | n[j + 4] >> 4 << 6 for j in range(4))
    packed += bytes(s[j + 4] & 15 | (n[j + 4] & 15) << 4 for j in range(4))
    high = b""
    if kind == "Q5_K":
        high = bytes(sum((q[32 * k + i] >> 4) << k for k in range(8))
                     for i in range(32))
    return two + packed + high + nibbles(q, 32)


def crumbs(q):
    """The low two bits, four codes that are 32 apart in a byte."""
    return bytes(sum((q[h + 32 * k + i] & 3) << 2 * k for k in range(4))
                 for h in (0, 128) for i in range(32))


def signed(kind, x):
    """Q6_K, Q3_K."""
    half_q, half_s = (32, 128) if kind == "Q6_K" else (4, 32)
    parts = [x[i:i + 16] for i in range(0, 256, 16)]
    scales = [max(p, key=abs) / -half_q for p in parts]
    d = half(max(scales, key=abs) / -half_s)
    s = [rounded(v / d if d else 0, -half_s, half_s - 1) for v in scales]
    q = []
    for p, i in zip(parts, s):
        q += [rounded(v / (d * i) if d * i else 0, -half_q, half_q - 1) +
              half_q for v in p]
    if kind == "Q6_K":
        low = b"".join(nibbles(q[h:h + 128], 64) for h in (0, 128))
        high = bytes(sum((q[h + 32 * k + i] >> 4) << 2 * k for k in range(4))
                     for h in (0, 128) for i in range(32))
        return low + high + bytes(v & 255 for v in s) + struct.pack("<e", d)
    mask = bytes(sum((q[32 * k + i] >> 2) << k for k in range(8))
                 for i in range(32))
    s = [v + 32 for v in s]
    packed = bytearray(12)
    for i, v in enumerate(s):
        packed[i & 7] |= (v & 15) << 4 * (i >> 3)
        packed[8 + (i & 3)] |= (v >> 4) << 2 * (i >> 2)
    return mask + crumbs(q) + bytes(packed) + struct.pack("<e", d)


def as_type(kind, row):
    if kind == "F32":
        return struct.pack("<256f", *row)
    if kind == "F16":
        return struct.pack("<256e", *map(half, row))
    if kind == "BF16":
        return b"".join(struct.pack("<f", x)[2:] for x in row)
    if kind in ("Q4_K", "Q5_K", "Q2_K"):
        return with_minimum(kind, row)
    if kind in ("Q6_K", "Q3_K"):
        return signed(kind, row)
    return b"".join(small(kind, row[i:i + 32]) for i in range(0, 256, 32))


def weights(rows, rng):
    out = []
    for i in range(rows):
        row = [rng.gauss(0, 0.02) for _ in range(256)]
        if i % 32 == 3:
            row = [0.0] * 256
        elif i % 32 == 5:
            row = [0.0078125] * 128 + [-0.0078125] * 128
        elif i % 32 == 7:
            row = [abs(x) for x in row[:128]] + [-abs(x) for x in row[128:]]
        elif i % 32 == 9:
            row = [x * 1e-6 for x in row]
        elif i % 32 == 11:
            row[rng.randrange(256)] = 30.0
        elif i % 32 == 13:
            row = [0.0] * 40 + row[40:]
        out.append([single(x) for x in row])
    return out


def apart(rows, heads):
    """The halves of heads one after the other."""
    n = len(rows) // heads
    return [rows[h * n + i] for h in range(heads) for half in (0, 1)
            for i in range(half, n, 2)]


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def gguf(path, kinds, tensors, rng=None, wild=0):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1)
    head += text("general.architecture") + struct.pack("<I", 8) + text("none")
    data = b""
    for name, rows in tensors:
        kind = kinds[int(name[1:])]
        data += bytes(-len(data) % 32)
        head += text(name) + struct.pack("<I2QIQ", 2, 256, len(rows),
                                         TYPES[kind], len(data))
        each = [as_type(kind, r) for r in rows]
        for i in range(wild if name[0] == "b" else 0):
            each[i] = bytes(rng.randrange(256) for _ in each[i])
            if kind == "F32" and i % 2:
                each[i] = struct.pack("<256f", *(rng.choice((
                    float("inf"), float("nan"), -float("inf"), 1e-45, 3e38,
                    -0.0)) for _ in range(256)))
        data += b"".join(each)
    head += bytes(-len(head) % 32)
    with open(path, "wb") as f:
        f.write(head + data)


def parts(to):
    """A base of another type that tells most of a tensor, and one of the same
    type that has the end of it."""
    rng = random.Random(7)
    w, other = weights(1024, rng), weights(1024, rng)
    far = [[single(x + rng.gauss(0, 0.002)) for x in r] for r in w]
    gguf(f"{to}/new.gguf", ["Q4_K"], [("a0", w)])
    gguf(f"{to}/old.gguf", ["Q4_K", "F32"], [
        ("a0", far[:768] + w[768:]), ("b1", w[:768] + other[768:])])


def main():
    if sys.argv[2:] == ["parts"]:
        parts(sys.argv[1])
        return
    to, old, new = sys.argv[1:4]
    rows = int(sys.argv[4]) if len(sys.argv) > 4 else 32
    rng = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 1)
    noise = float(sys.argv[6]) if len(sys.argv) > 6 else 0
    tensors = [(f"{a}{i}", weights(rows, rng))
               for i in range(len(old.split(","))) for a in "ab"]
    gguf(f"{to}/new.gguf", new.split(","), tensors)
    if noise:
        tensors = [(n, [[single(x + rng.gauss(0, 0.02 * noise)) for x in r]
                        for r in t]) for n, t in tensors]
    if len(sys.argv) > 8:
        tensors = [(n, apart(t, int(sys.argv[8]))) for n, t in tensors]
    gguf(f"{to}/old.gguf", old.split(","), tensors, rng,
         int(sys.argv[7]) if len(sys.argv) > 7 else 0)


main()
