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
          [(256, 64)])


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


def q8_0(x):
    d = max(map(abs, x)) / 127
    return struct.pack("<e32b", d, *(round(v / d) if d else 0 for v in x))


def q4_0(x):
    d = max(x, key=abs) / -8
    q = [min(15, int(v / d + 8.5)) if d else 8 for v in x]
    return struct.pack("<e16B", d, *(a | b << 4
                                     for a, b in zip(q[:16], q[16:])))


BLOCKS = {"Q8_0": (8, q8_0), "Q4_0": (2, q4_0)}


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
    number, form = BLOCKS[dtype]
    info, data = b"", b""
    for i, t in enumerate(tensors):
        name = b"t%d" % i
        info += struct.pack("<Q", len(name)) + name + struct.pack(
            "<IQIQ", 1, len(t), number, len(data))
        data += b"".join(form(t[j:j + 32]) for j in range(0, len(t), 32))
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
