#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mend.py HOW [N] <patch: changes a patch so that all its CRCs are right and
only one thing is wrong (or new).

  target    flips a bit of the target's digest
  base      flips a bit of the base's digest
  version, class, flags N
  ext N     adds an extension field of type N
  coder N   makes the first record one of coder N
  note      adds a note of an unknown type before the first record
  copy      is a patch of one copy that leaves the base"""
import struct
import sys
import zlib


def varint(b, at):
    v = k = 0
    while True:
        v |= (b[at] & 127) << k
        k += 7
        at += 1
        if b[at - 1] < 128:
            return v, at


def put(v):
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def crc(b):
    return b + struct.pack("<I", zlib.crc32(b))


def record(coder, n_out, payload):
    return crc(bytes([coder]) + put(n_out) + put(len(payload)) + payload)


def main():
    b = sys.stdin.buffer.read()
    how = sys.argv[1]
    n = int(sys.argv[2], 0) if len(sys.argv) > 2 else 0
    magic, version, cls, flags = b[:4], b[4], b[5], b[6]
    length, at = varint(b, 7)
    end = at + length
    f = {}
    names = ["release", "target"] + ["base"] * (flags & 1) + ["body",
                                                             "window"]
    for name in names:
        f[name], at = varint(b, at)
    tsha, at = b[at:at + 32], at + 32
    bsha = b""
    if flags & 1:
        bsha, at = b[at:at + 32], at + 32
    ext = b[at:end]
    body = b[end + 4:]
    flip = lambda s: bytes([s[0] ^ 1]) + s[1:]
    if how == "target":
        tsha = flip(tsha)
    elif how == "base":
        bsha = flip(bsha)
    elif how == "version":
        version = n
    elif how == "class":
        cls = n
    elif how == "flags":
        flags = n
    elif how == "ext":
        ext += bytes([n, 3]) + b"abc"
    elif how == "coder":
        n_out, p = varint(body, 1)
        size, p = varint(body, p)
        body = (record(n, n_out, body[p:p + size]) + body[p + size + 4:])
    elif how == "note":
        body = record(15, 0, b"\xc8what") + body
    elif how == "copy":
        body = record(0, f["target"], b"\1" + put(f["target"])
                      + put(f["base"]))
    else:
        sys.exit(__doc__)
    f["body"] = len(body)
    fields = b"".join(put(f[k]) for k in names) + tsha + bsha + ext
    sys.stdout.buffer.write(crc(magic + bytes([version, cls, flags])
                                + put(len(fields)) + fields) + body)


main()
