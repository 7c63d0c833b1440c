#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bsdiff_xz.py [-d] <patch >patch: a patch of bsdiff with xz in the place of
bzip2, or back: what its method is worth with a stronger compressor."""
import bz2
import lzma
import struct
import sys


def main():
    data = sys.stdin.buffer.read()
    out = sys.stdout.buffer
    magic, a, b, new = struct.unpack("<8sQQQ", data[:32])
    data = data[32:]
    parts = [data[:a], data[a:a + b], data[a + b:]]
    if len(sys.argv) > 1 and sys.argv[1] == "-d":
        parts = [bz2.compress(lzma.decompress(p)) for p in parts]
    else:
        assert magic == b"BSDIFF40"
        parts = [lzma.compress(bz2.decompress(p),
                               preset=9 | lzma.PRESET_EXTREME)
                 for p in parts]
    out.write(struct.pack("<8sQQQ", magic, len(parts[0]), len(parts[1]), new))
    for p in parts:
        out.write(p)


main()
