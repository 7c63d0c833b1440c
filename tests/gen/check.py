#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py SAFETENSORS FILE...: reads files that mlgen converted, with
readers that share no code with it, and compares every value with the
safetensors file that they were made from."""
import json
import struct
import sys

U = struct.unpack_from


def floats(kind, b):
    if kind == "F32":
        return list(U("<%df" % (len(b) // 4), b))
    if kind == "F16":
        return list(U("<%de" % (len(b) // 2), b))
    assert kind == "BF16", kind
    return [U("<f", b"\0\0" + b[i:i + 2])[0] for i in range(0, len(b), 2)]


def safetensors(b):
    n = U("<Q", b)[0]
    head = json.loads(b[8:8 + n])
    head.pop("__metadata__", None)
    end, out = 0, {}
    for name, t in sorted(head.items(), key=lambda x: x[1]["data_offsets"]):
        lo, hi = t["data_offsets"]
        assert lo == end, name
        end = hi
        v = floats(t["dtype"], b[8 + n + lo:8 + n + hi])
        size = 1
        for d in t["shape"]:
            size *= d
        assert size == len(v), name
        out[name] = (t["shape"], v, 0)
    assert 8 + n + end == len(b)
    return out


def gguf(b):
    at = 4

    def num(f):
        nonlocal at
        v = U("<" + f, b, at)[0]
        at += struct.calcsize(f)
        return v

    def text():
        nonlocal at
        n = num("Q")
        at += n
        return b[at - n:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            kind, n = num("I"), num("Q")
            return [value(kind) for _ in range(n)]
        return num("BbHhIif?"[kind] if kind < 8 else "Qqd"[kind - 10])

    assert num("I") == 3
    tensors, pairs = num("Q"), num("Q")
    meta = {}
    for _ in range(pairs):
        key = text()
        meta[key] = value(num("I"))
    infos = []
    for _ in range(tensors):
        name = text()
        shape = [num("Q") for _ in range(num("I"))][::-1]
        infos.append((name, shape, num("I"), num("Q")))
    align = meta["general.alignment"]
    base = (at + align - 1) // align * align
    out = {}
    for name, shape, kind, off in infos:
        assert off % align == 0, name
        n = 1
        for d in shape:
            n *= d
        p, v, err = base + off, [], 0
        if kind in (0, 1, 30):
            size = n * (4 if kind == 0 else 2)
            assert p + size <= len(b)
            v = floats({0: "F32", 1: "F16", 30: "BF16"}[kind], b[p:p + size])
        elif kind == 8:
            for i in range(n // 32):
                d, *q = U("<e32b", b, p + 34 * i)
                v += [d * x for x in q]
                err = max(err, d * .6)
        else:
            assert kind == 2, kind
            for i in range(n // 32):
                d, q = U("<e16s", b, p + 18 * i)
                v += [d * ((x & 15) - 8) for x in q]
                v += [d * ((x >> 4) - 8) for x in q]
                err = max(err, abs(d) * 1.05)
        out[name] = (shape, v, err)
    return out


def proto(b):
    at, out = 0, {}

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            c = b[at]
            at += 1
            v |= (c & 127) << shift
            shift += 7
            if c < 128:
                return v

    while at < len(b):
        key = varint()
        if key & 7 == 2:
            n = varint()
            assert at + n <= len(b)
            out.setdefault(key >> 3, []).append(b[at:at + n])
            at += n
        else:
            assert key & 7 == 0, key
            out.setdefault(key >> 3, []).append(varint())
    return out


def onnx(b):
    graph = proto(proto(b)[7][0])
    raw = {}
    for t in graph[5]:
        t = proto(t)
        name, kind, data = t[8][0].decode(), t[2][0], t[9][0]
        dims = []
        for c in t[1][0]:  # packed varints below 2^14
            if dims and dims[-1][1]:
                dims[-1] = (dims[-1][0] | (c & 127) << 7, c > 127)
            else:
                dims.append((c & 127, c > 127))
        shape = [d[0] for d in dims]
        if kind == 3:
            v = list(U("<%db" % len(data), data))
        else:
            v = floats({1: "F32", 10: "F16", 16: "BF16"}[kind], data)
        raw[name] = (shape, v, 0)
    ready, out = set(raw) | {"pixels"}, {}
    for node in map(proto, graph[1]):
        ins = [i.decode() for i in node[1]]
        assert all(i in ready for i in ins), ins
        ready.add(node[2][0].decode())
        if node[4][0] == b"DequantizeLinear":
            (shape, q, _), (_, s, _) = raw.pop(ins[0]), raw.pop(ins[1])
            assert not any(raw.pop(ins[2])[1])
            cols = shape[1]
            out[node[2][0].decode()] = (shape, [
                s[i // cols] * x for i, x in enumerate(q)], max(s) * .51)
    assert "digit" in ready
    return {**raw, **out}


def tflite(b):
    def ref(p):
        return p + U("<I", b, p)[0]

    def field(t, n):
        v = t - U("<i", b, t)[0]
        size = U("<H", b, v)[0]
        assert t % 4 == 0 and v % 2 == 0
        off = U("<H", b, v + 4 + 2 * n)[0] if 4 + 2 * n < size else 0
        assert off < U("<H", b, v + 2)[0] or off == 0
        return t + off if off else 0

    def scalar(t, n, fmt, default=0):
        p = field(t, n)
        assert p % struct.calcsize(fmt) == 0
        return U("<" + fmt, b, p)[0] if p else default

    def vector(t, n, fmt):
        p = field(t, n)
        if not p:
            return []
        p = ref(p)
        assert (p + 4) % struct.calcsize(fmt) == 0
        return list(U("<%d%s" % (U("<I", b, p)[0], fmt), b, p + 4))

    def tables(t, n):
        p = ref(field(t, n))
        return [ref(p + 4 + 4 * i) for i in range(U("<I", b, p)[0])]

    model = ref(0)
    assert b[4:8] == b"TFL3" and scalar(model, 0, "I") == 3
    code, = tables(model, 1)
    assert scalar(code, 0, "b") == scalar(code, 3, "i") == 9
    graph, = tables(model, 2)
    buffers = tables(model, 4)
    assert not field(buffers[0], 0)
    tensors, out, names = tables(graph, 0), {}, []
    for t in tensors:
        shape, kind = vector(t, 0, "i"), scalar(t, 1, "b")
        p = ref(field(t, 3))
        n = U("<I", b, p)[0]
        name = b[p + 4:p + 4 + n].decode()
        assert b[p + 4 + n] == 0
        names.append(name)
        buf = buffers[scalar(t, 2, "I")]
        data = bytes(vector(buf, 0, "B"))
        q = field(t, 4)
        scale = vector(ref(q), 2, "f") if q else []
        zero = vector(ref(q), 3, "q") if q else []
        assert len(scale) == len(zero)
        if not data:
            continue
        assert (ref(field(buf, 0)) + 4) % 16 == 0
        n = 1
        for d in shape:
            n *= d
        if kind == 0:
            v, err = floats("F32", data), 0
        else:
            fmt = {2: "i", 9: "b"}[kind]
            assert len(scale) == shape[0] and not any(zero)
            v = U("<%d%s" % (n, fmt), data)
            v = [scale[i * shape[0] // n] * x for i, x in enumerate(v)]
            err = max(scale) * .51
        assert len(v) == n, name
        out[name] = (shape, v, err)
    have, = vector(graph, 1, "i")
    for op in tables(graph, 3):
        x, w, bias = vector(op, 1, "i")
        assert x == have and names[w][-7:] == ".weight", names[w]
        assert names[bias][-5:] == ".bias"
        assert scalar(op, 3, "B") == 8
        scalar(ref(field(op, 4)), 0, "b")
        have, = vector(op, 2, "i")
    assert [have] == vector(graph, 2, "i")
    return out


def read(path):
    with open(path, "rb") as f:
        b = f.read()
    if b[:4] == b"GGUF":
        return gguf(b)
    if b[4:8] == b"TFL3":
        return tflite(b)
    if b[8:10] == b'{"':
        return safetensors(b)
    return onnx(b)


def main():
    want = read(sys.argv[1])
    for path in sys.argv[2:]:
        got = read(path)
        assert set(got) == set(want), (path, set(got) ^ set(want))
        for name, (shape, v, err) in got.items():
            shape0, v0, _ = want[name]
            assert shape == shape0, (path, name, shape, shape0)
            far = max(abs(x - y) for x, y in zip(v, v0))
            assert far <= err, (path, name, far, err)
        print("%s: %d tensors agree" % (path, len(got)))


if __name__ == "__main__":
    main()
