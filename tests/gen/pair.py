#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pair.py SEED DIR [CONTAINER]: writes DIR/old and DIR/new, two files or
directories that are the same for a seed (and a Python), and tells on
standard output what they are: any container, element types, shapes, orders,
paddings, and what was edited from the one to the other.
"""
import io
import json
import os
import pickle
import random
import struct
import sys
import tarfile
import zipfile

# ===== tensors =============================================================

# type: bytes of a block, elements in it, offsets of f16 in it
GGML = {
    "q4_0": (2, 18, 32, (0,)), "q4_1": (3, 20, 32, (0, 2)),
    "q5_0": (6, 22, 32, (0,)), "q5_1": (7, 24, 32, (0, 2)),
    "q8_0": (8, 34, 32, (0,)), "q2_K": (10, 84, 256, (80, 82)),
    "q3_K": (11, 110, 256, (108,)), "q4_K": (12, 144, 256, (0, 2)),
    "q5_K": (13, 176, 256, (0, 2)), "q6_K": (14, 210, 256, (208,)),
    "q8_K": (15, 292, 256, ()), "iq4_nl": (20, 18, 32, (0,)),
    "iq4_xs": (23, 136, 256, (0,)), "iq2_xxs": (16, 66, 256, (0,)),
    "iq3_s": (21, 110, 256, (0,)), "tq1_0": (34, 54, 256, (52,)),
    "mxfp4": (39, 17, 32, ()),
}
PLAIN = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "i64": 8, "i32": 4,
         "i16": 2, "i8": 1, "u8": 1, "bool": 1, "f8_e4m3": 1, "f8_e5m2": 1}
SAFE = {"f64": "F64", "f32": "F32", "f16": "F16", "bf16": "BF16",
        "i64": "I64", "i32": "I32", "i16": "I16", "i8": "I8", "u8": "U8",
        "bool": "BOOL", "f8_e4m3": "F8_E4M3", "f8_e5m2": "F8_E5M2"}
GGUF_PLAIN = {"f32": 0, "f16": 1, "i8": 24, "i16": 25, "i32": 26, "i64": 27,
              "f64": 28, "bf16": 30}
NUMPY = {"f64": "f8", "f32": "f4", "f16": "f2", "i64": "i8", "i32": "i4",
         "i16": "i2", "i8": "i1", "u8": "u1", "bool": "b1"}
ONNX = {"f32": 1, "u8": 2, "i8": 3, "i16": 5, "i32": 6, "i64": 7, "bool": 9,
        "f16": 10, "f64": 11, "bf16": 16}
TORCH = {"f32": "FloatStorage", "f16": "HalfStorage", "f64": "DoubleStorage",
         "bf16": "BFloat16Storage", "i64": "LongStorage",
         "i32": "IntStorage", "i8": "CharStorage", "u8": "ByteStorage"}


def pack(dtype, xs):
    """Numbers as bytes, little-endian."""
    if dtype in ("f16", "f32", "f64"):
        return struct.pack("<%d%s" % (len(xs), {"f16": "e", "f32": "f",
                                                "f64": "d"}[dtype]), *xs)
    if dtype == "bf16":
        out = bytearray()
        for x in xs:
            v = struct.unpack("<I", struct.pack("<f", x))[0]
            v = v + 0x7FFF + (v >> 16 & 1) >> 16
            out += struct.pack("<H", v & 0xFFFF)
        return bytes(out)
    n = PLAIN[dtype]
    out = bytearray()
    for x in xs:
        out += (int(x * 40) & (1 << 8 * n) - 1).to_bytes(n, "little")
    return bytes(out)


class Tensor:
    def __init__(self, name, dtype, shape, values, data):
        self.name, self.dtype, self.shape = name, dtype, shape
        self.values, self.data = values, data  # values None: blocks

    def copy(self):
        return Tensor(self.name, self.dtype, list(self.shape),
                      self.values and list(self.values), self.data)


def blocks(r, dtype, n):
    _, size, _, halves = GGML[dtype]
    out = bytearray()
    for _ in range(n):
        b = bytearray(r.randbytes(size))
        for at in halves:
            b[at:at + 2] = struct.pack("<e", r.uniform(0.002, 0.02))
        if dtype == "q8_0":
            for i in range(2, 34):
                b[i] = int(r.gauss(0, 40)) & 255
        out += b
    return bytes(out)


def moved_blocks(r, dtype, data):
    """The same weights after a step of training, more or less."""
    _, size, _, halves = GGML[dtype]
    out = bytearray(data)
    for at in range(0, len(out), size):
        for h in halves:
            if r.random() < 0.7:
                x = struct.unpack_from("<e", out, at + h)[0]
                if abs(x) < 1000:
                    struct.pack_into("<e", out, at + h,
                                     x * r.uniform(0.97, 1.03))
        for _ in range(r.randrange(6)):
            i = at + r.randrange(size)
            if i - at not in halves and i - at - 1 not in halves:
                out[i] = out[i] + r.choice((1, -1, 16, -16)) & 255
    return bytes(out)


NAMES = ["w", "model.layers.%d.attn.weight", "bias", "a/b", "x" * 300,
         "\u00fc\u00f1\u00ee", "with space", "quote\"back\\slash", "dup.%d"]


def tensor(r, i, dtypes):
    dtype = r.choice(dtypes)
    name = r.choice(NAMES)
    name = (name % i if "%d" in name else name) + ".%d" % i
    rank = r.choice((0, 1, 1, 2, 2, 2, 3, 4))
    shape = [r.choice((0, 1, 2, 3, 5, 8, 16, 33, 64)) if r.random() < 0.3
             else r.randrange(1, 24) for _ in range(rank)]
    n = 1
    for d in shape:
        n *= d
    while n > 6000:
        shape.pop()
        n = 1
        for d in shape:
            n *= d
    if dtype in GGML:
        _, _, per, _ = GGML[dtype]
        k = r.randrange(0, 12)
        return Tensor(name, dtype, [per * k], None, blocks(r, dtype, k))
    scale = r.choice((0.02, 1.0, 0.0))
    xs = [r.gauss(0, scale) for _ in range(n)]
    return Tensor(name, dtype, shape, xs, pack(dtype, xs))


def permuted(shape, order):
    """The old index of each element in the new order."""
    step = [1] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        step[k] = step[k + 1] * shape[k + 1]
    at = [0]
    for d in order:
        at = [a + i * step[d] for a in at for i in range(shape[d])]
    return at


def fuse(r, ts):
    """Two tensors with rows of the same length become one; or one two."""
    for a in ts:
        for b in ts:
            if a is not b and a.dtype == b.dtype and a.values and b.values \
                    and a.shape and b.shape \
                    and a.shape[1:] == b.shape[1:]:
                a.shape[0] += b.shape[0]
                a.values += b.values
                a.data += b.data
                ts.remove(b)
                return
    for a in ts:
        if a.values and a.shape and a.shape[0] > 1:
            b = a.copy()
            b.name += ".b"
            k = len(a.values) // a.shape[0] * (a.shape[0] // 2)
            b.shape[0] -= a.shape[0] // 2
            a.shape[0] //= 2
            b.values, a.values = b.values[k:], a.values[:k]
            b.data, a.data = pack(b.dtype, b.values), pack(a.dtype, a.values)
            ts.append(b)
            return


# ===== edits ===============================================================


def edit(r, ts, dtypes):
    """Other tensors, and what was done to them."""
    ts = [t.copy() for t in ts]
    told = []
    for _ in range(r.randrange(1, 4)):
        kind = r.choice(("step", "step", "sparse", "retrain", "rename",
                         "order", "add", "remove", "rank", "cast", "flip",
                         "grow", "none", "permuted", "columns",
                         "fused"))
        told.append(kind)
        for t in ts:
            if r.random() < 0.2:
                continue
            if kind == "step" and t.values is None:
                t.data = moved_blocks(r, t.dtype, t.data)
            elif kind in ("step", "sparse") and t.values:
                p = 1 if kind == "step" else 0.03
                for i, x in enumerate(t.values):
                    if r.random() < p:
                        t.values[i] = x + r.gauss(0, 0.001)
                t.data = pack(t.dtype, t.values)
            elif kind == "retrain" and t.values:
                t.values = [r.gauss(0, 0.02) for _ in t.values]
                t.data = pack(t.dtype, t.values)
            elif kind == "rename":
                t.name = "new." + t.name
            elif kind == "cast" and t.values and t.dtype in (
                    "f64", "f32", "f16"):
                # rounds what is there, as a converter does
                to = [d for d in ("f32", "f16", "bf16") if d in dtypes]
                if to and max(map(abs, t.values)) < 60000:
                    t.dtype = r.choice(to)
                    t.data = pack(t.dtype, t.values)
            elif kind == "rank" and t.values and len(t.shape) == 2:
                u = [r.gauss(0, 0.1) for _ in range(t.shape[0])]
                v = [r.gauss(0, 0.1) for _ in range(t.shape[1])]
                t.values = [x + u[i // len(v)] * v[i % len(v)]
                            for i, x in enumerate(t.values)]
                t.data = pack(t.dtype, t.values)
            elif kind == "flip" and t.data:
                b = bytearray(t.data)
                b[r.randrange(len(b))] ^= 1 << r.randrange(8)
                t.data, t.values = bytes(b), None if t.values is None else []
            elif kind == "permuted" and t.values and len(t.shape) > 1:
                order = r.sample(range(len(t.shape)), len(t.shape))
                t.values = [t.values[i] for i in permuted(t.shape, order)]
                t.shape = [t.shape[d] for d in order]
                t.data = pack(t.dtype, t.values)
            elif kind == "columns" and t.values and len(t.shape) == 2:
                n = t.shape[1]
                keep = [j for j in range(n) if r.random() < 0.8] + \
                    [None] * r.choice((0, 0, 2)) or [0]
                t.values = [r.gauss(0, 0.02) if j is None
                            else t.values[i * n + j]
                            for i in range(t.shape[0]) for j in keep]
                t.shape[1] = len(keep)
                t.data = pack(t.dtype, t.values)
            elif kind == "grow" and t.values and t.shape:
                per = len(t.values) // t.shape[0]
                t.shape[0] += 1
                t.values += [r.gauss(0, 0.02) for _ in range(per)]
                t.data = pack(t.dtype, t.values)
        if kind == "order":
            r.shuffle(ts)
        elif kind == "fused":
            fuse(r, ts)
        elif kind == "add":
            ts.insert(r.randrange(len(ts) + 1),
                      tensor(r, 100 + r.randrange(900), dtypes))
        elif kind == "remove" and ts:
            del ts[r.randrange(len(ts))]
    return ts, told


# ===== containers ==========================================================


def safetensors(r, ts):
    head, at, body = {}, 0, bytearray()
    if r.random() < 0.5:
        head["__metadata__"] = {"format": "pt", "n": str(r.random())}
    for t in ts:
        head[t.name] = {"dtype": SAFE[t.dtype], "shape": t.shape,
                        "data_offsets": [at, at + len(t.data)]}
        at += len(t.data)
        body += t.data
    text = json.dumps(head, ensure_ascii=r.random() < 0.5).encode()
    text += b" " * r.choice((0, 0, -len(text) % 8, 100))
    return struct.pack("<Q", len(text)) + text + body


def gguf_string(s):
    s = s.encode()
    return struct.pack("<Q", len(s)) + s


def gguf(r, ts):
    align = r.choice((32, 32, 32, 8, 64, 256))
    kv = [gguf_string("general.architecture") + struct.pack("<I", 8) +
          gguf_string("llama"),
          gguf_string("general.alignment") + struct.pack("<II", 4, align),
          gguf_string("tokens") + struct.pack("<IIQ", 9, 8, 40) + b"".join(
              gguf_string("token%d" % r.randrange(99)) for _ in range(40))]
    out = bytearray(b"GGUF" + struct.pack("<IQQ", r.choice((2, 3)), len(ts),
                                          len(kv)) + b"".join(kv))
    at, body = 0, bytearray()
    for t in ts:
        body += bytes(-len(body) % align)
        at = len(body)
        kind = GGML[t.dtype][0] if t.dtype in GGML else GGUF_PLAIN[t.dtype]
        shape = t.shape[-4:] or [1]
        out += gguf_string(t.name[:60]) + struct.pack("<I", len(shape))
        out += struct.pack("<%dQ" % len(shape), *reversed(shape))
        out += struct.pack("<IQ", kind, at)
        body += t.data
    out += bytes(-len(out) % align)
    return bytes(out + body)


def npy(r, ts):
    t = ts[0]
    v = r.choice((1, 2, 3))
    head = "{'descr': '%s%s', 'fortran_order': %s, 'shape': (%s), }" % (
        "<" if PLAIN[t.dtype] > 1 else "|", NUMPY[t.dtype],
        r.choice(("False", "True")), "".join("%d," % d for d in t.shape))
    n = 10 if v == 1 else 12
    head += " " * (-(n + len(head) + 1) % 64) + "\n"
    size = struct.pack("<H" if v == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes((v, 0)) + size + head.encode() + t.data


def zip_of(r, members, deflated=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            how = r.random() < 0.5 if deflated is None else deflated
            z.writestr(info, data, zipfile.ZIP_DEFLATED if how else
                       zipfile.ZIP_STORED, r.choice((1, 6, 9)))
    return out.getvalue()


def npz(r, ts):
    deflated = r.random() < 0.5
    return zip_of(r, [("arr_%d.npy" % i, npy(r, [t]))
                      for i, t in enumerate(ts)], deflated)


class Storage:
    def __init__(self, *what):
        self.what = what


class Pickler(pickle._Pickler):
    """Pickles names that are not there."""

    def persistent_id(self, obj):
        return obj.what if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(b"c%s\n%s\n" % (obj.module, obj.name))
        elif isinstance(obj, Call):
            self.save(obj.f)
            self.save(obj.args)
            self.write(b"R")
        else:
            pickle._Pickler.save(self, obj, save_persistent_id)


class Global:
    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    def __init__(self, f, args):
        self.f, self.args = f, args


def pytorch(r, ts):
    out, members, state = io.BytesIO(), [], {}
    for i, t in enumerate(ts):
        n = len(t.data) // PLAIN[t.dtype]
        stride, k = [], 1
        for d in reversed(t.shape):
            stride.insert(0, k)
            k *= d
        s = Storage("storage", Global(b"torch", TORCH[t.dtype].encode()),
                    str(i), "cpu", n)
        state[t.name] = Call(
            Global(b"torch._utils", b"_rebuild_tensor_v2"),
            (s, 0, tuple(t.shape), tuple(stride), False,
             Call(Global(b"collections", b"OrderedDict"), ())))
        members.append(("archive/data/%d" % i, t.data))
    Pickler(out, 2).dump(state)
    return zip_of(r, [("archive/data.pkl", out.getvalue())] + members +
                  [("archive/version", b"3\n")], False)


def varint(v):
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def pb(field, v):
    if isinstance(v, int):
        return varint(field << 3) + varint(v)
    return varint(field << 3 | 2) + varint(len(v)) + v


def onnx(r, ts):
    graph = pb(2, b"graph")
    for t in ts:
        x = b"".join(pb(1, d) for d in t.shape) + pb(2, ONNX[t.dtype])
        x += pb(8, t.name.encode()) + pb(9, t.data)
        graph += pb(5, x)
    for _ in range(r.randrange(4)):
        graph += pb(1, pb(4, b"Relu") + pb(3, b"n%d" % r.randrange(99)))
    return pb(1, 8) + pb(2, b"test") + pb(7, graph) + pb(8, pb(2, 17))


def raw(r, ts):
    return b"".join(bytes(r.randrange(3)) + t.data for t in ts)


def text(r, ts):
    return json.dumps([[t.name, t.shape, t.data[:200].hex()] for t in ts],
                      indent=r.choice((None, 1))).encode()


FORMATS = {
    "safetensors": (safetensors, list(SAFE)),
    "gguf": (gguf, list(GGML) + list(GGUF_PLAIN)),
    "npy": (npy, list(NUMPY)), "npz": (npz, list(NUMPY)),
    "pytorch": (pytorch, list(TORCH)), "onnx": (onnx, list(ONNX)),
    "raw": (raw, list(PLAIN)), "text": (text, list(PLAIN)),
}


def one(r, fmt, ts):
    return FORMATS[fmt][0](r, ts)


def damaged(r, data):
    """Sometimes a file is cut, or has a wrong bit, or something before it."""
    x = r.random()
    if x < 0.03:
        return data[:r.randrange(len(data) + 1)]
    if x < 0.06 and data:
        b = bytearray(data)
        b[r.randrange(min(len(b), 400))] ^= 1 << r.randrange(8)
        return bytes(b)
    if x < 0.08:
        return r.randbytes(r.randrange(100)) + data
    return b"" if x > 0.99 else data


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def tar_of(r, members):
    out = io.BytesIO()
    form = r.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT,
                     tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pair(r, path, fmt):
    many = fmt in ("zip", "tar", "directory")
    sub = [r.choice(list(FORMATS)) for _ in range(r.randrange(1, 4))] \
        if many else [fmt]
    old, new, told = [], [], []
    for i, f in enumerate(sub):
        dtypes = FORMATS[f][1]
        if r.random() < 0.5:
            dtypes = [r.choice(dtypes) for _ in range(2)]
        ts = [tensor(r, k, dtypes) for k in range(r.randrange(1, 9))]
        other, how = edit(r, ts, FORMATS[f][1])
        if f == "npy":
            other = other[:1] or ts[:1]
        name = "%s-%d" % (f, i)
        seed = r.random()  # the same whims for both, mostly
        ra, rb = random.Random(seed), random.Random(
            seed if r.random() < 0.7 else r.random())
        old.append((name, damaged(r, one(ra, f, ts))))
        new.append((name, damaged(r, one(rb, f, other))))
        told.append("%s: %s" % (f, ", ".join(how)))
    for which, members in (("old", old), ("new", new)):
        to = os.path.join(path, which)
        if fmt == "directory":
            os.mkdir(to)
            os.mkdir(os.path.join(to, "sub"))
            for name, data in members:
                write(os.path.join(to, "sub" if r.random() < 0.3 else "",
                                   name), data)
            os.symlink("sub", os.path.join(to, "link"))
        elif fmt == "zip":
            write(to, zip_of(r, members))
        elif fmt == "tar":
            write(to, tar_of(r, members))
        else:
            write(to, members[0][1])
    return "%s (%s)" % (fmt, "; ".join(told))


ALL = list(FORMATS) + ["zip", "tar", "directory"]


def main():
    r = random.Random(int(sys.argv[1]))
    fmt = sys.argv[3] if len(sys.argv) > 3 else ALL[
        int(sys.argv[1]) % len(ALL)]
    print(pair(r, sys.argv[2], fmt))


if __name__ == "__main__":
    main()
