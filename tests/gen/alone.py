#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""alone.py DIR: tensors without a base, a file each: few values, many zeros,
steps, rows that repeat, tables of cosines, columns of other scales, numbers
that are kept in more bits than they need; and beside each file its tensor's bytes, for others to compress."""
import json
import math
import os
import random
import struct
import sys

N, ROW = 16384, 128
r = random.Random(5)
F = {"F32": "f", "F64": "d", "F16": "e", "I32": "i", "I64": "q", "I16": "h"}


def single(v):
    return struct.unpack("<f", struct.pack("<f", v))[0]


def cut(v, bits):
    """A f32 without its lowest bits."""
    n, = struct.unpack("<I", struct.pack("<f", v))
    return struct.unpack("<f", struct.pack("<I", n >> bits << bits))[0]


def made(name, dtype, values, row=ROW):
    data = struct.pack("<%d%s" % (len(values), F[dtype]), *values)
    head = json.dumps({"w": {
        "dtype": dtype, "shape": [len(values) // row, row],
        "data_offsets": [0, len(data)]}}).encode()
    head += b" " * (-len(head) % 8)
    with open(name + ".safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + data)
    with open(name + ".raw", "wb") as f:
        f.write(data)


os.chdir(sys.argv[1])
gauss = [r.gauss(0, .05) for _ in range(N)]
for n in 2, 16, 256, 1000:
    values = [r.gauss(0, .05) for _ in range(n)]
    index = [min(r.randrange(n), r.randrange(n)) for _ in range(N)]
    made("list-f32-%d" % n, "F32", [values[i] for i in index])
    made("list-f64-%d" % n, "F64", [values[i] for i in index])
    if n < 999:
        made("list-f16-%d" % n, "F16", [values[i] for i in index])
made("list-i32", "I32", [r.randrange(9) * 1001 for _ in range(N)])
made("any-i64-mask", "I64", [int(r.random() < .1) for _ in range(N)])
# codes times the scale of their row: another list in each row
made("list-f32-dequantised", "F32", [
    single(round(v / .002) * single(.001 + .01 * random.Random(i // ROW)
                                    .random()))
    for i, v in enumerate(gauss)])
# what a short-time Fourier transform multiplies by: its own mirror, both ways
made("list-f32-cosines", "F32", [
    single(.5 * (1 - math.cos(math.pi * j / 64)) *
           math.cos(math.pi * (i * j % 128) / 64))
    for i in range(N // ROW) for j in range(ROW)])
# columns of one scale each, rows that are nearly the same
scale = [2.0 ** r.randrange(-9, 9) for _ in range(ROW)]
made("grid-f16-columns", "F16", [
    max(-6e4, min(6e4, v * 20 * scale[i % ROW])) for i, v in enumerate(gauss)])
token = [r.gauss(0, .3) for _ in range(ROW)]
made("grid-f16-tokens", "F16", [
    token[i % ROW] + r.gauss(0, .05 if i // ROW % 5 else .3)
    for i in range(N)])
made("line-i64-ids", "I64", list(range(N)))
made("line-i32-steps", "I32", [7 * i + (i % 5 > 3) for i in range(N)])
made("line-f32-rows", "F32", [
    1 + math.sin(i % ROW) + i // ROW * 1e-4 + gauss[i] * 1e-5
    for i in range(N)])
made("any-f32", "F32", gauss)
made("any-f16", "F16", gauss)
made("any-f32-bf16", "F32", [cut(v, 16) for v in gauss])
made("any-f32-sparse", "F32", [
    v if r.random() < .1 else 0 for v in gauss])
made("any-f32-half", "F32", [v if r.random() < .5 else 0 for v in gauss])
made("any-f32-zeros", "F32", [0] * N)
made("any-i16", "I16", [round(v * 20000) for v in gauss])
made("any-f32-repeat", "F32", (gauss[:ROW * 8] * (N // ROW // 8)))
