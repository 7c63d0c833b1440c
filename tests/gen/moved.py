#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""moved.py DIR: a model of each dtype, old.DTYPE, and the same after a few
steps of training, as it were, new.DTYPE: tensors with scales of their own,
every weight moved by a share of its tensor's scale; safetensors, of quantised
dtypes GGUF. For tests of what moved weights cost; the same on every machine
(sums of uniform numbers, no libm)."""
import json
import random
import struct
import sys

SHAPES = ([(256, 64)] + [(64, 64), (64, 192), (192, 64), (64,)] * 3 +
          [(256, 64)]) * 2


def rounded(x, ebits, mbits):
    """The bits of x as a small float, rounded to nearest, never infinite."""
    sign, x = (1, -x) if x < 0 else (0, x)
    bias = (1 << (ebits - 1)) - 1
    u = struct.unpack("<I", struct.pack("<f", x))[0]
    e, m = (u >> 23) - 127 + bias, u & 0x7fffff
    if e <= 0:
        v = round(x * 2.0 ** (bias - 1 + mbits))
    else:
        v = (e << mbits) + ((m + (1 << (22 - mbits))) >> (23 - mbits))
    top = (1 << (ebits + mbits)) - 1 - (1 << mbits)
    return sign << (ebits + mbits) | min(v, top)


FORMS = {
    "F64": lambda x: struct.pack("<d", x),
    "F32": lambda x: struct.pack("<f", x),
    "F16": lambda x: struct.pack("<e", x),
    "BF16": lambda x: struct.pack("<H", rounded(x, 8, 7)),
    "F8_E4M3": lambda x: bytes([rounded(x * 64, 4, 3)]),
    "F8_E5M2": lambda x: bytes([rounded(x * 64, 5, 2)]),
    "I8": lambda x: struct.pack("b", max(-127, min(127, round(x * 400)))),
    "I16": lambda x: struct.pack("<h", round(x * 32768)),
    "I32": lambda x: struct.pack("<i", round(x * 2 ** 31)),
}


def half(x):
    return struct.unpack("<e", struct.pack("<e", x))[0]


def nearest(v, most, least=0):
    return max(least, min(most, round(v)))


def pairs(q, half):
    """Codes of four bits, as GGML packs them: low halves, then high ones."""
    return bytes(q[i + j] | q[i + half + j] << 4
                 for i in range(0, len(q), 2 * half) for j in range(half))


def bits(q, n, step, width, at):
    """Some bits of codes that are `step` apart, in n bytes."""
    return bytes(sum((q[i + k * step] >> at & (1 << width) - 1) << k * width
                     for k in range(8 // width)) for i in range(n))


def signed(x, run, most, smost):
    """d, scales and codes of weights about 0, a scale for each run."""
    scales = [max(x[i:i + run], key=abs) / -most
              for i in range(0, len(x), run)]
    if not smost:
        d = half(scales[0])
        return d, [], [nearest(v / d + most, 2 * most - 1) if d else most
                       for v in x]
    d = half(max(scales, key=abs) / -smost)
    s = [nearest(v / d, smost - 1, -smost) if d else 0 for v in scales]
    return d, s, [nearest(v / (d * s[i // run]) + most, 2 * most - 1)
                  if d * s[i // run] else most for i, v in enumerate(x)]


def affine(x, run, most, smost):
    """d, m, scales, minima and codes of weights above a minimum."""
    low = [min(0, *x[i:i + run]) for i in range(0, len(x), run)]
    scales = [(max(x[i:i + run]) - v) / most
              for i, v in zip(range(0, len(x), run), low)]
    d = half(max(scales) / smost)
    m = half(-min(low) / smost)
    s = [nearest(v / d, smost) if d else 0 for v in scales]
    n = [nearest(-v / m, smost) if m else 0 for v in low]
    return d, m, s, n, [
        nearest((v + m * n[i // run]) / (d * s[i // run]), most)
        if d * s[i // run] else 0 for i, v in enumerate(x)]


def q8_0(x):
    d = max(map(abs, x)) / 127
    return struct.pack("<e32b", d, *(round(v / d) if d else 0 for v in x))


def q4_0(x):
    d = max(x, key=abs) / -8
    q = [min(15, int(v / d + 8.5)) if d else 8 for v in x]
    return struct.pack("<e", d) + pairs(q, 16)


def q5_0(x):
    d, _, q = signed(x, 32, 16, 0)
    high = sum((v >> 4) << i for i, v in enumerate(q))
    return struct.pack("<eI", d, high) + pairs([v & 15 for v in q], 16)


def q4_1(x):
    d, m, _, _, q = affine(x, 32, 15, 1)
    return struct.pack("<ee", d, -m) + pairs(q, 16)


def q5_1(x):
    d, m, _, _, q = affine(x, 32, 31, 1)
    high = sum((v >> 4) << i for i, v in enumerate(q))
    return struct.pack("<eeI", d, -m, high) + pairs([v & 15 for v in q], 16)


def twelve(s, n):
    """Eight scales and eight minima of six bits in twelve bytes."""
    return bytes([s[i] & 63 | s[i + 4] >> 4 << 6 for i in range(4)] +
                 [n[i] & 63 | n[i + 4] >> 4 << 6 for i in range(4)] +
                 [s[i + 4] & 15 | (n[i + 4] & 15) << 4 for i in range(4)])


def q2_k(x):
    d, m, s, n, q = affine(x, 16, 3, 15)
    return (bytes(a | b << 4 for a, b in zip(s, n)) +
            bits(q[:128], 32, 32, 2, 0) + bits(q[128:], 32, 32, 2, 0) +
            struct.pack("<ee", d, m))


def q3_k(x):
    d, s, q = signed(x, 16, 4, 32)
    s = [v + 32 for v in s]
    return (bits(q, 32, 32, 1, 2) + bits(q[:128], 32, 32, 2, 0) +
            bits(q[128:], 32, 32, 2, 0) +
            bytes(s[i] & 15 | (s[i + 8] & 15) << 4 for i in range(8)) +
            bytes(sum((s[i + 4 * k] >> 4) << 2 * k for k in range(4))
                  for i in range(4)) + struct.pack("<e", d))


def q4_k(x):
    d, m, s, n, q = affine(x, 32, 15, 63)
    return struct.pack("<ee", d, m) + twelve(s, n) + pairs(q, 32)


def q5_k(x):
    d, m, s, n, q = affine(x, 32, 31, 63)
    return (struct.pack("<ee", d, m) + twelve(s, n) +
            bits(q, 32, 32, 1, 4) + pairs([v & 15 for v in q], 32))


def q6_k(x):
    d, s, q = signed(x, 16, 32, 128)
    low = [v & 15 for v in q]
    return (pairs(low, 64) + bits(q[:128], 32, 32, 2, 4) +
            bits(q[128:], 32, 32, 2, 4) + struct.pack("<16be", *s, d))


# GGML's number of the type, weights of a block
BLOCKS = {"Q8_0": (8, 32, q8_0), "Q4_0": (2, 32, q4_0), "Q4_1": (3, 32, q4_1),
          "Q5_0": (6, 32, q5_0), "Q5_1": (7, 32, q5_1), "Q2_K": (10, 256, q2_k),
          "Q3_K": (11, 256, q3_k), "Q4_K": (12, 256, q4_k),
          "Q5_K": (13, 256, q5_k), "Q6_K": (14, 256, q6_k)}


def weights():
    """Pairs of lists, a tensor's weights before and after."""
    r = random.Random(7)

    def normal():
        return sum(r.random() for i in range(6)) - 3

    for shape in SHAPES:
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        scale = .02 + .1 * r.random()
        step = scale * .01 * (1 + r.random())
        x = [scale * normal() for i in range(n)]
        yield x, [v + step * normal() for v in x]


def save(path, dtype, tensors):
    header, at = {}, 0
    data = [b"".join(map(FORMS[dtype], t)) for t in tensors]
    for i, d in enumerate(data):
        header["t%d" % i] = {"dtype": dtype, "shape": SHAPES[i],
                             "data_offsets": [at, at + len(d)]}
        at += len(d)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def save_blocks(path, dtype, tensors):
    number, size, form = BLOCKS[dtype]
    tensors = [t for t in tensors if len(t) % size == 0]
    info, data = b"", b""
    for i, t in enumerate(tensors):
        name = b"t%d" % i
        info += struct.pack("<Q", len(name)) + name + struct.pack(
            "<IQIQ", 1, len(t), number, len(data))
        data += b"".join(form(t[j:j + size])
                         for j in range(0, len(t), size))
        data += bytes(-len(data) % 32)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 0) + info
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % 32) + data)


def main():
    old, new = zip(*weights())
    for name, tensors in ("old", old), ("new", new):
        for dtype in FORMS:
            save("%s/%s.%s" % (sys.argv[1], name, dtype), dtype, tensors)
        for dtype in BLOCKS:
            save_blocks("%s/%s.%s" % (sys.argv[1], name, dtype), dtype,
                        tensors)


main()
