#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""dup.py DIR: old.st and, of f16 weights that moved a little, new.st, beside
9 MB that stayed; tied-old.st and tied-new.st have the first tensor once more
behind those; parts.st has parts of it there, and some.st 2 KB only."""
import json
import random
import struct
import sys

r = random.Random(9)
N = 600000 # elements of the first tensor
HIGH = bytes((0x28 + (i & 7)) | (i & 0x80) for i in range(256))


def weights(n):
    b = bytearray(2 * n)
    b[0::2] = r.randbytes(n)
    b[1::2] = r.randbytes(n).translate(HIGH)
    return bytes(b)


def moved(b):
    n = len(b) // 2
    step = int.from_bytes(r.randbytes(n), "little")
    step &= int.from_bytes(b"\x0f" * n, "little")
    low = int.from_bytes(b[0::2], "little") ^ step
    b = bytearray(b)
    b[0::2] = low.to_bytes(n, "little")
    return bytes(b)


def save(name, *tensors):
    header, data = {}, b""
    for i, b in enumerate(tensors):
        header["t%d" % i] = {"dtype": "F16", "shape": [len(b) // 2],
                             "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open("%s/%s.st" % (sys.argv[1], name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


old = weights(N)
new = moved(old)
rest = weights(4600000)
save("old", old, rest)
save("new", new, rest)
save("tied-old", old, rest, old)
save("tied-new", new, rest, new)
save("parts", new, rest, weights(777) + new[200000:500000] + weights(3001) +
     new[800006:808006] + weights(100))
save("others", new, rest, weights(777) + weights(3001) + weights(100))
save("some", new, rest, weights(777) + new[200000:202000] + weights(777))
