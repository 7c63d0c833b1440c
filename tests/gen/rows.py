#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rows.py DIR: old.safetensors, and as KIND.safetensors what releases make of
rows: all weights moved a little, and then some rows removed, added in the
middle, or in another order, tensors merged or split; of f32, f16 and i8."""
import json
import random
import struct
import sys

ROWS, COLUMNS = 600, 48
r = random.Random(5)
PACK = {"F32": "f", "F16": "e", "I8": "b"}


def normal():
    return sum(r.random() for i in range(6)) - 3


def fit(dtype, v):
    return max(-127, min(127, round(v))) if dtype == "I8" else v


def rows(dtype, n):
    scale = 30 if dtype == "I8" else .05
    return [[fit(dtype, scale * normal()) for i in range(COLUMNS)]
            for j in range(n)]


def moved(dtype, t):
    step = .7 if dtype == "I8" else .0005
    return [[fit(dtype, v + step * normal()) for v in row] for row in t]


def save(name, tensors):
    header, data = {}, b""
    for name_, dtype, t in tensors:
        b = b"".join(struct.pack("<%d%s" % (len(row), PACK[dtype]), *row)
                     for row in t)
        header[name_] = {"dtype": dtype, "shape": [len(t), COLUMNS],
                         "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open("%s/%s.safetensors" % (sys.argv[1], name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def main():
    for dtype in PACK:
        emb = rows(dtype, ROWS)
        qkv = [rows(dtype, 100) for i in range(3)]
        save("old-" + dtype, [("emb", dtype, emb)] +
             [(n, dtype, t) for n, t in zip("qkv", qkv)])
        emb = moved(dtype, emb)
        qkv = [moved(dtype, t) for t in qkv]
        parts = [(n, dtype, t) for n, t in zip("qkv", qkv)]
        order = list(range(ROWS))
        r.shuffle(order)
        kinds = {
            "same": emb,
            "removed": [v for i, v in enumerate(emb) if i % 7],
            "added": emb[:200] + emb[500:520] + emb[200:],
            "shuffled": [emb[i] for i in order],
        }
        for kind, t in kinds.items():
            save("%s-%s" % (kind, dtype), [("emb", dtype, t)] + parts)
        save("merged-" + dtype, [("emb", dtype, emb),
                                 ("qkv", dtype, sum(qkv, []))])
        save("split-" + dtype, [("a", dtype, emb[:250]),
                                ("b", dtype, emb[250:])] + parts)


main()
