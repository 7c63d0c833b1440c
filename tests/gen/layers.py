#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""layers.py DIR: old-T.st, of layers that are alike, and what releases make of
them, all weights moved a little: KIND-T.st with layers removed and those behind
renumbered, two of them swapped, one repeated, or as they were. order-KIND-T.st
is old with its layers as KIND has them: what a base is that knows."""
import json
import random
import struct
import sys

r = random.Random(7)
LAYERS = 10
KINDS = {
    "same": range(LAYERS),
    "pruned": [0, 1, 4, 5, 6, 7, 8, 9],
    "swapped": [0, 7, 2, 3, 4, 5, 6, 1, 8, 9],
    "repeated": [0, 1, 2, 3, 2, 3, 4, 5, 6, 7, 8, 9],
}


def normal(n, mean, spread):
    return [mean + spread * (sum(r.random() for i in range(6)) - 3)
            for j in range(n)]


def near(t, spread):
    return [a + b for a, b in zip(t, normal(len(t), 0, spread))]


def pack(dtype, t):
    if dtype == "F16":
        return struct.pack("<%de" % len(t), *t)
    b = struct.pack("<%df" % len(t), *t)
    return b"".join(b[i:i + 2] for i in range(2, len(b), 4))


def save(name, dtype, layers):
    header, data = {}, b""
    for i, layer in enumerate(layers):
        for part, t in layer.items():
            b = pack(dtype, t)
            header["h.%d.%s" % (i, part)] = {
                "dtype": dtype, "shape": [len(t)],
                "data_offsets": [len(data), len(data) + len(b)]}
            data += b
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open("%s/%s-%s.st" % (sys.argv[1], name, dtype), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


first = {"attn": normal(6000, 0, .05), "mlp": normal(6000, 0, .05),
         "norm": normal(2000, 1, .02)}
old = [{n: near(t, .01) for n, t in first.items()} for i in range(LAYERS)]
new = [{n: near(t, .0004) for n, t in layer.items()} for layer in old]
for dtype in "F16", "BF16":
    save("old", dtype, old)
    for kind, order in KINDS.items():
        save(kind, dtype, [new[i] for i in order])
        save("order-" + kind, dtype, [old[i] for i in order])
