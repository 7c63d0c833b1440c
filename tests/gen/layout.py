#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""layout.py DIR: pairs of small safetensors files that differ by the layout of
their tensors, DIR/KIND-VALUES-TYPE/{old,new}, where KIND is what became of the
layout ("none" of it for comparison), VALUES is "same" or "tuned" (all numbers
moved a little, as after a fine-tune), and TYPE f32 or i8.

layout.py MODEL OUT: the tensors of a model as OUT, a safetensors file in which
all matrices are the other way round and all names are others.
"""
import array
import json
import os
import random
import struct
import subprocess
import sys

OUT, IN = 160, 128


class T:
    """A tensor of numbers, row by row."""

    def __init__(self, shape, v):
        self.shape, self.v = list(shape), v

    def order(self, dims):
        n = self.shape
        step = [1] * len(n)
        for k in range(len(n) - 2, -1, -1):
            step[k] = step[k + 1] * n[k + 1]
        at = [0]
        for d in dims:
            at = [a + i * step[d] for a in at for i in range(n[d])]
        return T([n[d] for d in dims], [self.v[a] for a in at])

    def take(self, rows, columns):
        """Of a matrix; None is a new row or column, of what new() gives."""
        n = self.shape[1]
        return T([len(rows), len(columns)], [
            new() if i is None or j is None else self.v[i * n + j]
            for i in rows for j in columns])

    def split(self, shape):
        return T(shape, self.v)


rnd = random.Random(5)


def new():
    return rnd.gauss(0, 0.05)


def fresh(*shape):
    n = 1
    for d in shape:
        n *= d
    # channels of different scale, so that a wrong order is no base
    row = n // shape[0]
    v = []
    for _ in range(shape[0]):
        s = rnd.choice((0.02, 0.05, 0.1))
        v += [rnd.gauss(0, s) for _ in range(row)]
    return T(shape, v)


def tuned(t):
    return T(t.shape, [x * (1 + rnd.gauss(0, 0.004)) + rnd.gauss(0, 0.0002)
                       for x in t.v])


def write(path, tensors, dtype):
    head, body = {}, b""
    for name, t in tensors.items():
        if isinstance(t, tuple):
            t, kind = t
        else:
            kind = dtype
        if kind == "f32":
            data = array.array("f", t.v).tobytes()
        elif kind == "f16":
            data = struct.pack("<%de" % len(t.v), *t.v)
        else:
            data = bytes(max(-127, min(127, round(x * 400))) & 255
                         for x in t.v)
        head[name] = {"dtype": {"f32": "F32", "f16": "F16", "i8": "I8"}[kind],
                      "shape": t.shape,
                      "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


def keep(n, drop):
    r = random.Random(n)
    return [i for i in range(n) if r.random() >= drop]


def dense():
    return {"block.%d.%s.weight" % (i, x): fresh(OUT, IN)
            for i in range(3) for x in ("up", "gate")}


def conv():
    return {"conv.%d.weight" % i: fresh(32, 24, 3, 3) for i in range(6)}


def flat():
    ts = {"conv.weight": fresh(32, 8, 3, 3)}
    ts.update(("fc.%d.weight" % i, fresh(OUT, IN)) for i in range(2))
    return ts


def attention():
    return {"layer.%d.%s_proj.weight" % (i, x): fresh(IN, IN)
            for i in range(3) for x in "qkvo"}


def fuse(ts):
    out = {}
    for i in range(3):
        p = "layer.%d." % i
        parts = [ts[p + x + "_proj.weight"] for x in "qkv"]
        out[p + "qkv.weight"] = T([3 * IN, IN], sum((t.v for t in parts), []))
        out[p + "o_proj.weight"] = ts[p + "o_proj.weight"]
    return out


def renamed(ts, f=lambda t: t):
    return {"n%d/kernel" % i: f(t) for i, t in enumerate(ts.values())}


def each(ts, f):
    return {k: f(t) for k, t in ts.items()}


# kind: old tensors, and what becomes of them (None: the other way round)
KINDS = {
    "none-dense": (dense, lambda ts: ts),
    "none-conv": (conv, lambda ts: ts),
    "none-attention": (attention, lambda ts: ts),
    "transposed": (dense, lambda ts: each(ts, lambda t: t.order((1, 0)))),
    "transposed-renamed": (
        dense, lambda ts: renamed(ts, lambda t: t.order((1, 0)))),
    "square-transposed": (
        attention, lambda ts: each(ts, lambda t: t.order((1, 0)))),
    "ohwi": (conv, lambda ts: each(ts, lambda t: t.order((0, 2, 3, 1)))),
    "hwio-renamed": (
        conv, lambda ts: renamed(ts, lambda t: t.order((2, 3, 1, 0)))),
    "heads-swapped": (attention, lambda ts: each(ts, lambda t: T(
        t.shape, t.split((4, 2, 16, IN)).order((0, 2, 1, 3)).v))),
    "flattened": (flat, lambda ts: {k: t if len(t.shape) > 2 else T(
        t.shape, t.split((OUT, 32, IN // 32)).order((0, 2, 1)).v)
        for k, t in ts.items()}),
    "flattened-transposed": (flat, lambda ts: {
        k: t if len(t.shape) > 2 else T(
            (IN, OUT), t.split((OUT, 32, IN // 32)).order((2, 1, 0)).v)
        for k, t in ts.items()}),
    "none-flat": (flat, lambda ts: ts),
    "heads-renamed-f16": (attention, lambda ts: renamed(ts, lambda t: (T(
        t.shape, t.split((4, 2, 16, IN)).order((0, 2, 1, 3)).v), "f16"))),
    "transposed-f16": (dense, lambda ts: each(
        ts, lambda t: (t.order((1, 0)), "f16"))),
    "rows-removed": (dense, lambda ts: each(
        ts, lambda t: t.take(keep(OUT, 0.2), range(IN)))),
    "columns-removed": (dense, lambda ts: each(
        ts, lambda t: t.take(range(OUT), keep(IN, 0.2)))),
    "both-removed": (dense, lambda ts: each(
        ts, lambda t: t.take(keep(OUT, 0.2), keep(IN, 0.2)))),
    "columns-added": (dense, lambda ts: each(
        ts, lambda t: t.take(range(OUT), list(range(IN)) + [None] * 16))),
    "both-added": (dense, lambda ts: each(ts, lambda t: t.take(
        list(range(OUT)) + [None] * 16, list(range(IN)) + [None] * 16))),
    "channels-removed": (conv, lambda ts: each(ts, lambda t: T(
        (32, 19, 3, 3), t.order((0, 2, 3, 1)).split((32 * 9, 24)).take(
            range(32 * 9), [i for i in range(24) if i % 5 != 2]).split(
            (32, 3, 3, 19)).order((0, 3, 1, 2)).v))),
    "fused": (attention, fuse),
    "split": (attention, None),
}


def turned(model, to):
    ls = json.loads(subprocess.check_output(["ml-ls", "--json", model]))
    tensors = {}
    with open(model, "rb") as f:
        for t in ls["tensors"]:
            f.seek(t["offset"])
            v = array.array("f", f.read(t["bytes"]))
            x = T(t["shape"], list(v))
            tensors["k/" + t["name"]] = x.order((1, 0)) \
                if len(x.shape) == 2 else x
    write(to, tensors, "f32")


def main():
    if len(sys.argv) == 3:
        return turned(*sys.argv[1:])
    to = sys.argv[1]
    for kind, (make, change) in KINDS.items():
        for values in ("same", "tuned"):
            rnd.seed(7)
            old = make()
            ts = old if values == "same" else each(old, tuned)
            new_ = fuse(ts) if change is None else change(ts)
            if change is None:
                old, new_ = fuse(old), ts
            for dtype in ("f32", "i8"):
                if kind.endswith("-f16") and dtype == "i8":
                    continue
                d = os.path.join(to, "%s-%s-%s" % (kind, values, dtype))
                os.makedirs(d, exist_ok=True)
                write(os.path.join(d, "old"), old, dtype)
                write(os.path.join(d, "new"), new_, dtype)


if __name__ == "__main__":
    main()
