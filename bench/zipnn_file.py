#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""zipnn_file.py [-d] FILE >OUT: a file by ZipNN, as the element type that
makes it smallest, or back. -t only says whether ZipNN is there."""
import sys

from zipnn import ZipNN

TYPES = "bfloat16", "float16", "float32"


def smaller(data, dtype):
    z = ZipNN(input_format="byte", bytearray_dtype=dtype)
    return z.compress(bytearray(data))


def main():
    if sys.argv[1] == "-t":
        return
    with open(sys.argv[-1], "rb") as f:
        data = f.read()
    if sys.argv[1] == "-d":
        out = ZipNN(input_format="byte").decompress(data[1:])
        out = out[:len(out) - data[0]]
    else:
        pad = -len(data) % 4  # else ZipNN writes past the end
        out = bytes([pad]) + min((smaller(data + bytes(pad), t)
                                  for t in TYPES), key=len)
    sys.stdout.buffer.write(out)


if __name__ == "__main__":
    main()
