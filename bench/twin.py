#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""twin.py <stream >file: the tensors of a plain tensor-record stream as a
safetensors file, to compare what other containers cost."""
import json
import struct
import sys

DTYPES = {
    1: "U8", 2: "I8", 3: "U16", 4: "I16", 5: "U32", 6: "I32", 7: "U64",
    8: "I64", 9: "F16", 10: "BF16", 11: "F32", 12: "F64", 13: "F8_E4M3",
    14: "F8_E5M2", 15: "BOOL", 16: "C64",
}


def records(f):
    f.read(8)
    while True:
        head = f.read(8)
        tag, n = head[:4].decode(), struct.unpack("<I", head[4:])[0]
        yield tag, f.read(n)
        f.read(4)
        if tag == "DONE":
            return


def main():
    header, data, into, left = {}, [], None, 0
    at = 0
    for tag, p in records(sys.stdin.buffer):
        if tag == "SPAN":
            kind, rank, dtype, name_len, _, left = struct.unpack(
                "<BBHIQQ", p[:24])
            shape = struct.unpack("<%dQ" % rank, p[24:24 + 8 * rank])
            name = p[24 + 8 * rank:].decode("utf-8", "replace")
            into = None
            if kind == 1 and dtype in DTYPES:
                while name in header:
                    name += "'"
                header[name] = {"dtype": DTYPES[dtype], "shape": list(shape),
                                "data_offsets": [at, at + left]}
                at += left
                into = data
        elif tag == "DATA" and into is not None:
            into.append(p)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    out = sys.stdout.buffer
    out.write(struct.pack("<Q", len(text)) + text)
    for p in data:
        out.write(p)


main()
