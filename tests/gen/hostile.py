# SPDX-License-Identifier: MIT
"""Files that lie, for hostile.py: of each format whole() is a small file that
is as it should be, and cases() gives (name, bytes) of what is not: lengths
near 2^32 and 2^64, nesting, names doubled, empty and long, tensors that
overlap or leave the file, bombs, circles. A case whose name begins with "fine"
is read without a complaint, one with "either" may be, every other is refused.

What is fine, though its format forbids it to who loads a model, is so because
we load none: tensors only say which bytes belong together, all bytes are kept,
and a file that is not understood would cost its user a larger patch and save
nobody. Refused is what would have us read where nothing is, or beyond a limit
of ml-stream(5). Beside each: what the format says."""
import gzip
import io
import json
import pickle
import struct
import sys
import tarfile
import zipfile
import zlib

B32 = (2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1)
B64 = (2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)
LONG = "n" * 65536  # a byte more than a name may have


def le(n, v):
    return (v & (1 << 8 * n) - 1).to_bytes(n, "little")


def varint(v):
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


# ===== safetensors ======================================================


def safetensors(head, data=b"d" * 64, n=None):
    if not isinstance(head, bytes):
        head = json.dumps(head).encode()
    return le(8, len(head) if n is None else n) + head + data


def entry(shape, begin, end, dtype="U8"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_cases():
    ok = {"a": entry([64], 0, 64)}
    yield "fine", safetensors(ok)
    for v in B32 + B64:
        yield "header of %d" % v, safetensors(ok, n=v)
        yield "end at %d" % v, safetensors({"a": entry([64], 0, v)})
        yield "begin at %d" % v, safetensors({"a": entry([64], v, v + 64)})
        yield "dimension %d" % v, safetensors({"a": entry([v], 0, 64)})
    yield "shape wraps", safetensors({"a": entry([2**32, 2**32], 0, 64)})
    yield "17 dimensions", safetensors({"a": entry([1] * 17, 0, 1)}, b"d")
    # The format wants no holes, no overlaps, no key twice ("Not all parsers
    # may respect this"); empty names, and long ones, it does not speak of.
    yield "fine: overlap", safetensors({"a": entry([40], 0, 40),
        "b": entry([40], 24, 64)})
    yield "fine: gap", safetensors({"a": entry([8], 0, 8), "b": entry([8], 56, 64)})
    yield "out of range", safetensors({"a": entry([65], 0, 65)})
    yield "backwards", safetensors({"a": entry([8], 8, 0)})
    one = json.dumps(entry([32], 0, 32)).encode()
    two = json.dumps(entry([32], 32, 64)).encode()
    yield "fine: a name twice", safetensors(
        b'{"a":' + one + b',"a":' + two + b"}")
    yield "fine: no name", safetensors({"": entry([64], 0, 64)})
    yield "fine: long name", safetensors({LONG[1:]: entry([64], 0, 64)})
    yield "too long a name", safetensors({LONG: entry([64], 0, 64)})
    yield "nested", safetensors(b'{"__metadata__":' + b"[" * 10**6)
    yield "nested objects", safetensors(b'{"a":' * 10**5)
    yield "open string", safetensors(b'{"' + b"a" * 10**6)
    yield "digits", safetensors(b'{"a":{"shape":[' + b"9" * 10**6)
    yield "lone surrogate", safetensors(rb'{"\ud800":{}}')


# ===== GGUF =============================================================


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return le(8, len(s)) + s


def gguf(kv=b"", nkv=0, tensors=(), n=None, data=b"d" * 64, pad=32):
    out = b"GGUF" + le(4, 3) + le(8, len(tensors) if n is None else n)
    out += le(8, nkv) + kv + b"".join(tensors)
    return out + b"\0" * (-len(out) % pad) + data


def gtensor(name="a", dims=(16,), kind=0, off=0):
    return text(name) + le(4, len(dims)) + b"".join(
        le(8, d) for d in dims) + le(4, kind) + le(8, off)


def gguf_cases():
    yield "fine", gguf(tensors=[gtensor()])
    for v in B32 + B64:
        yield "%d tensors" % v, gguf(n=v)
        yield "%d keys" % v, gguf(nkv=v)
        yield "key of %d" % v, gguf(le(8, v) + b"a", 1)
        yield "array of %d" % v, gguf(
            text("k") + le(4, 9) + le(4, 4) + le(8, v), 1)
        yield "array of %d strings" % v, gguf(
            text("k") + le(4, 9) + le(4, 8) + le(8, v) + text("x"), 1)
        yield "dimension %d" % v, gguf(tensors=[gtensor(dims=(v,))])
        yield "offset %d" % v, gguf(tensors=[gtensor(off=v & ~31)])
    yield "shape wraps", gguf(tensors=[gtensor(dims=(2**32, 2**32))])
    # "Currently at most 4, but this may change in the future."
    yield "fine: 5 dimensions", gguf(tensors=[gtensor(dims=(1,) * 5)])
    for v in (0, 3, 2**31, 2**32 - 1):
        yield "alignment %d" % v, gguf(text("general.alignment") + le(4, 4) +
            le(4, v), 1, [gtensor()])
    yield "nested arrays", gguf(text("k") + le(4, 9) + (le(4, 9) +
        le(8, 1)) * 10**5, 1)
    # Offsets are only to be multiples of the alignment; llama.cpp wants them
    # one behind the other, and names once, of at most 64 bytes.
    yield "fine: overlap", gguf(tensors=[gtensor("a"), gtensor("b")])
    yield "out of range", gguf(tensors=[gtensor(off=32)])
    yield "fine: a name twice", gguf(tensors=[gtensor("a", (8,)),
        gtensor("a", (8,), 0, 32)])
    yield "fine: no name", gguf(tensors=[gtensor("")])
    yield "fine: long name", gguf(tensors=[gtensor(LONG[1:])])
    yield "too long a name", gguf(tensors=[gtensor(LONG)])


# ===== protobuf: ONNX ===================================================


def number(f, v):
    return varint(f << 3) + varint(v)


def field(f, b):
    b = b.encode() if isinstance(b, str) else b
    return varint(f << 3 | 2) + varint(len(b)) + b


def initializer(name="a", dims=(16,), raw=b"d" * 64, kind=1, more=b""):
    return field(5, b"".join(number(1, d) for d in dims) + number(2, kind) +
        field(8, name) + field(9, raw) + more)


def onnx(graph):
    return number(1, 8) + field(2, "hostile") + field(7, graph)


def onnx_cases():
    yield "fine", onnx(initializer())
    # raw_data says how long it is, and dims are then no more than a label,
    # which is left out when it is not the same; ONNX's checker refuses.
    for v in B32 + B64:
        yield "payload of %d" % v, number(1, 8) + varint(7 << 3 | 2) + varint(
            v) + b"x" * 50
        yield "inner payload of %d" % v, onnx(varint(5 << 3 | 2) + varint(v))
        yield "fine: dimension %d" % v, onnx(initializer(dims=(v,)))
    yield "fine: shape wraps", onnx(initializer(dims=(2**32, 2**32)))
    yield "fine: 17 dimensions", onnx(initializer(dims=(1,) * 17,
        raw=b"dddd"))
    yield "varint without end", number(1, 8) + b"\x3a" + b"\xff" * 50
    yield "field 0", onnx(number(0, 1))
    yield "group", onnx(varint(1 << 3 | 3))
    graph = initializer()
    for _ in range(300):  # a graph in a node's attribute, and so on
        graph = field(1, field(5, field(6, graph)))
    yield "nested graphs", onnx(graph)
    deep = b""
    for _ in range(3000):
        deep = field(1, field(5, field(6, deep)))
    yield "deeper graphs", onnx(deep)
    # names are to be unique in a graph, and may be empty
    yield "fine: a name twice", onnx(initializer() + initializer())
    yield "fine: no name", onnx(initializer(""))
    yield "fine: long name", onnx(initializer(LONG[1:]))
    yield "too long a name", onnx(initializer(LONG))


# ===== FlatBuffers: TFLite ==============================================


def flat(layout):
    """Bytes of parts (name, bytes, {offset in it: name of part it leads to})
    one behind the other; relative offsets are filled in."""
    at, pos = {}, 0
    for name, b, _ in layout:
        at[name] = pos
        pos += len(b)
    out = bytearray()
    for name, b, links in layout:
        b = bytearray(b)
        for o, to in links.items():
            b[o:o + 4] = le(4, at[to] - at[name] - o)
        out += b
    return bytes(out)


def table(name, fields):
    """A vtable and behind it a table of 4-byte fields: numbers, or names of
    parts; None is absent."""
    have = [f for f in fields if f is not None]
    vt, pos, body, links = b"", 4, b"", {}
    for f in fields:
        if f is None:
            vt += le(2, 0)
            continue
        vt += le(2, pos)
        if isinstance(f, str):
            links[pos] = f
            body += le(4, 0)
        else:
            body += le(4, f)
        pos += 4
    vt = le(2, 4 + len(vt)) + le(2, 4 + 4 * len(have)) + vt
    if len(vt) % 4:
        vt += b"\0\0"
    return [(name + ".vt", vt, {}), (name, le(4, len(vt)) + body, links)]


def vector(name, items):
    return [(name, le(4, len(items)) + b"".join(
        le(4, 0 if isinstance(i, str) else i) for i in items),
        {4 + 4 * k: i for k, i in enumerate(items) if isinstance(i, str)})]


def string(name, s):
    s = s.encode()
    return [(name, le(4, len(s)) + s + b"\0" * (4 - len(s) % 4), {})]


def tflite(names=("a",), dims=(16,), data=64, buffers=None, shared=0):
    n = len(names)
    out = [("root", b"\0\0\0\0TFL3", {0: "model"})]
    out += table("model", [3, None, "graphs", None, "buffers"])
    out += vector("graphs", ["graph"])
    out += table("graph", ["tensors"])
    out += vector("tensors", ["t%d" % (0 if shared else i)
        for i in range(shared or n)])
    for i, name in enumerate(names):
        out += table("t%d" % i, ["s%d" % i, None, 1, "n%d" % i])
        out += vector("s%d" % i, dims) + string("n%d" % i, name)
    out += vector("buffers", ["b0", "b1"] if buffers is None else buffers)
    out += table("b0", []) + table("b1", ["data"])
    return flat(out + [("data", le(4, data) + b"d" * 64, {})])


def tflite_cases():
    yield "fine", tflite()
    # The vector in the buffer says how long it is; the shape as in ONNX. Of
    # names the schema says nothing but that they are strings.
    for v in B32:
        yield "vector of %d" % v, tflite(data=v)
        yield "fine: dimension %d" % v, tflite(dims=(v,))
    yield "fine: shape wraps", tflite(dims=(2**31 - 1,) * 4)
    yield "fine: 17 dimensions", tflite(dims=(1,) * 17)
    for v in (0, 4, 2**31, 2**32 - 4):
        yield "root at %d" % v, le(4, v) + tflite()[4:]
    yield "a table of itself", le(4, 8) + b"TFL3" + le(4, 0) + le(4, 0) * 8
    b = tflite()
    at = int.from_bytes(b[:4], "little")
    for v in (0, 4, 2**31, 2**31 - 1, 2**32 - 4):
        yield "vtable at %d" % v, b[:at] + le(4, v) + b[at + 4:]
    yield "one tensor 3 x 10^5 times", tflite(shared=3 * 10**5)
    yield "fine: a name twice", tflite(("a", "a"))
    yield "fine: no name", tflite(("",))
    yield "fine: long name", tflite((LONG[1:],))
    yield "too long a name", tflite((LONG,))


# ===== PyTorch ==========================================================


def stored(members, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, b in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            z.writestr(info, b)
    return out.getvalue()


def torch(pkl, data=b"d" * 64):
    return stored([("m/data.pkl", pkl), ("m/data/0", data),
        ("m/version", b"3\n")])


def i8(v):
    n = (v.bit_length() + 8) // 8
    return b"\x8a" + bytes([n]) + v.to_bytes(n, "little", signed=True)


def storage(n=16, key=b"0"):
    return (b"(X\7\0\0\0storagectorch\nFloatStorage\nX" + le(4, len(key)) +
        key + b"X\3\0\0\0cpu" + i8(n) + b"tQ")


def rebuilt(off=0, shape=(16,), stride=(1,), n=16, key=b"0"):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(n, key) +
        i8(off) + b"(" + b"".join(map(i8, shape)) + b"t(" +
        b"".join(map(i8, stride)) + b"t\x89}tR")


def state(*tensors):
    return b"\x80\2}(" + b"".join(b"X" + le(4, len(k)) + k + t
        for k, t in tensors) + b"u."


def pickles():
    yield "nothing", b""
    yield "no STOP", b"\x80\2}"
    yield "empty stack", b"."
    yield "unknown opcode", b"\x80\2\xff."
    for v in B32:
        yield "text of %d" % v, b"X" + le(4, v) + b"a."
        yield "long of %d" % v, b"\x8b" + le(4, v) + b"a."
        yield "memo %d" % v, b"Nr" + le(4, v) + b"j" + le(4, v) + b"."
    for v in B64:
        yield "text of %d bytes" % v, b"\x8d" + le(8, v) + b"a."
        # To pickle.py a hint how much to read ahead, which it does not check;
        # _pickle.c refuses; PEP 3154 does not say. We read ahead nothing.
        yield "fine: frame of %d" % v, b"\x80\4\x95" + le(8, v) + b"N."
    # These are right, if unusual; what is called in them we only note.
    yield "fine: 10^6 marks", b"(" * 10**6 + b"t" * 10**6 + b"."
    yield "fine: 10^6 tuples in tuples", b"N" + b"\x85" * 10**6 + b"."
    yield "fine: doubled 10^5 times", b"N" + b"2\x86" * 10**5 + b"."
    yield "fine: a list of itself", b"]q\0h\0a."
    yield "fine: a dict of itself", b"}q\0X\1\0\0\0ah\0s."
    yield "fine: state that is itself", (b"cm\nC\n)\x81q\0}q\1X\1\0\0\0ah\0s"
        b"b.")
    yield "fine: system", b"cos\nsystem\n(X\4\0\0\0truetR."


def pytorch_cases():
    a = b"a"
    yield "fine", torch(state((a, rebuilt())))
    for name, b in pickles():
        yield name, torch(b)
    for v in B32 + B64:
        yield "offset %d" % v, torch(state((a, rebuilt(off=v))))
        yield "dimension %d" % v, torch(state((a, rebuilt(shape=(v,)))))
        # A view with gaps is no run of bytes: its storage is shown instead,
        # whether or not the view leaves it, as set_() would complain.
        yield ("fine: " if v < 2**63 else "") + "stride %d" % v, torch(state(
            (a, rebuilt(stride=(v,)))))
        # the member has its own length, and that is what lies in the file
        yield "fine: storage of %d" % v, torch(state((a, rebuilt(n=v))))
    yield "offset -1", torch(state((a, rebuilt(off=-1))))
    yield "shape wraps", torch(state((a, rebuilt(
        shape=(2**32, 2**32), stride=(0, 0)))))
    yield "fine: 10^5 names of one storage", torch(state(*[(b"%d" % i,
        rebuilt()) for i in range(3000)]))
    yield "fine: overlap", torch(state((a, rebuilt(shape=(10,))),
        (b"b", rebuilt(off=4, shape=(10,)))))
    # to torch an error, here no bytes to speak of
    yield "fine: no such storage", torch(state((a, rebuilt(key=b"7"))))
    yield "fine: a name twice", torch(state((a, rebuilt()), (a, rebuilt())))
    yield "fine: no name", torch(state((b"", rebuilt())))
    yield "fine: long name", torch(state((LONG.encode(), rebuilt())))


def legacy(pkl, keys=b"\x80\2]X\1\0\0\0" + b"0a.", sizes=le(8, 16)):
    return (pickle.dumps(0x1950a86a20f9469cfc6c, 2) + pickle.dumps(1001, 2) +
        pickle.dumps({"little_endian": True}, 2) + pkl + keys + sizes +
        b"d" * 64)


def legacy_cases():
    t = state((b"a", b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storage"
        b"ctorch\nFloatStorage\nX\1\0\0\0" + b"0X\3\0\0\0cpu" + i8(16) +
        b"NtQ" + i8(0) + b"(" + i8(16) + b"t(" + i8(1) + b"t\x89}tR"))
    yield "fine", legacy(t)
    for name, b in pickles():
        yield name, legacy(b)  # an object without tensors is fine, too
        yield "keys: " + name, legacy(t, keys=b)  # no list of texts
    for v in B64:
        yield "storage of %d" % v, legacy(t, sizes=le(8, v))
    # which of the two is meant nobody can tell, so that none is taken
    yield "fine: a key twice", legacy(t, b"\x80\2](X\1\0\0\0" + b"0X\1\0\0\0" +
        b"0e.")


# ===== NumPy ============================================================


def npy(head, version=1, n=None, data=b"d" * 64):
    head = head.encode()
    k = 2 if version == 1 else 4
    return (b"\x93NUMPY" + bytes([version, 0]) + le(k, len(head)
        if n is None else n) + head + data)


def nhead(shape="(16,)", descr="'<f4'", order="False"):
    return ("{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n" %
        (descr, order, shape))


def npy_cases():
    yield "fine", npy(nhead())
    for v in B32:
        yield "header of %d" % v, npy(nhead(), 2, v)
    yield "header of 65535", npy(nhead(), 1, 65535)
    for v in B32 + B64:
        yield "dimension %d" % v, npy(nhead("(%d,)" % v))
    yield "shape wraps", npy(nhead("(4294967296, 4294967296)"))
    yield "17 dimensions", npy(nhead("(" + "1," * 17 + ")"), data=b"dddd")
    yield "dimension -1", npy(nhead("(-1,)"))
    yield "nested type", npy(nhead(descr="[('a'," * 3000), 2)
    yield "nested shape", npy(nhead("(" * 3000), 2)
    yield "too little", npy(nhead("(17,)"))
    yield "open string", npy("{'descr': '" + "a" * 60000, 2)
    yield "a key twice", npy("{'shape': (16,), 'descr': '<f4', 'shape': (1,),"
        " 'fortran_order': False, }\n")
    # NumPy allows 2^32 - 1 bytes, and reads 10,000 unless told otherwise
    yield "long name of a field", npy(nhead("(16,)",
        "[('%s', '<f4')]" % LONG), 2)


# ===== zip ==============================================================


def poked(b, i, n, v):
    return b[:i] + le(n, v) + b[i + n:]


def zip_cases():
    two = stored([("a.npy", npy(nhead())), ("b.npy", npy(nhead()))])
    yield "fine", two
    eocd = two.rindex(b"PK\5\6")
    cd = int.from_bytes(two[eocd + 16:eocd + 20], "little")
    for v in B32:
        yield "directory at %d" % v, poked(two, eocd + 16, 4, v)
        yield "directory of %d" % v, poked(two, eocd + 12, 4, v)
        yield "member at %d" % v, poked(two, cd + 42, 4, v)
        yield "member that has %d" % v, poked(poked(two, cd + 20, 4, v),
            cd + 24, 4, v)
    yield "65534 members", poked(two, eocd + 10, 2, 65534)
    second = two.index(b"PK\1\2", cd + 4)
    yield "two entries of one member", poked(two, second + 42, 4, 0)
    yield "a member that has the directory", poked(poked(two, cd + 20,
        4, len(two)), cd + 24, 4, len(two))
    for v in B64:  # zip64
        b = bytearray(two[:cd])
        dir64 = bytearray(two[cd:second])
        dir64[20:28] = b"\xff" * 8
        dir64[30:32] = le(2, 20)
        dir64 += b"\1\0" + le(2, 16) + le(8, v) + le(8, v)
        b += dir64
        end = len(b)
        b += (b"PK\6\6" + le(8, 44) + le(2, 45) * 2 + le(4, 0) * 2 + le(8, 1) *
            2 + le(8, len(dir64)) + le(8, cd))
        b += b"PK\6\7" + le(4, 0) + le(8, end) + le(4, 1)
        tail = (b"PK\5\6" + le(2, 0) * 2 + le(2, 65535) * 2 +
            le(4, 2**32 - 1) * 2 + le(2, 0))
        yield "zip64 member of %d" % v, bytes(b) + tail
        yield "zip64 directory at %d" % v, poked(bytes(b), end + 48, 8,
            v) + tail
        yield "zip64 end at %d" % v, poked(bytes(b), len(b) - 12, 8, v) + tail
        yield "%d members" % v, poked(poked(bytes(b), end + 24, 8, v),
            end + 32, 8, v) + tail
    bomb = stored([("a", b"\0" * (1 << 26))], zipfile.ZIP_DEFLATED)
    # What shrinks to less than a 64th stays as it is. APPNOTE says nothing of
    # depth, and a name may have length 0.
    yield "fine: bomb, 64 MiB of 64 KiB", bomb
    yield "fine: bombs", stored([("%d" % i, b"\0" * (1 << 22))
        for i in range(8)], zipfile.ZIP_DEFLATED)
    b = two
    for i in range(40):
        b = stored([("in.zip", b)])
    yield "fine: 40 zips in zips", b
    b = stored([("a", b"\0" * (1 << 24))], zipfile.ZIP_DEFLATED)
    for i in range(5):
        b = stored([("%d" % k, b) for k in range(3)], zipfile.ZIP_DEFLATED)
    yield "fine: bombs in zips", b
    yield "fine: no name", stored([("", npy(nhead()))])
    yield "fine: long name", stored([(LONG[1:], npy(nhead()))])
    yield "fine: a bad member", stored([("a.safetensors", safetensors(b"{"))])


# ===== tar ==============================================================


def block(name=b"a.npy", size=0, kind=b"0", link=b"", num=None):
    size = b"%011o\0" % size if num is None else num
    h = bytearray(name[:100].ljust(100, b"\0") + b"0000644\0" +
        b"0000000\0" * 2 + size + b"00000000000\0" + b" " * 8 + kind +
        link.ljust(100, b"\0") + b"ustar\00000").ljust(512, b"\0")
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)


def member(b, **more):
    return block(size=len(b), **more) + b + b"\0" * (-len(b) % 512)


END = b"\0" * 1024


def pax(key, value):
    n = len(key) + len(value) + 3
    while len(b"%d" % n) + len(key) + len(value) + 3 != n:
        n = len(b"%d" % n) + len(key) + len(value) + 3
    return member(b"%d %s=%s\n" % (n, key, value), name=b"pax", kind=b"x")


def tar_cases():
    m = member(npy(nhead()))
    yield "fine", m + END
    for v in B64:
        yield "member of %d" % v, block(num=b"\x80" + v.to_bytes(11, "big")) + m
        yield "pax size %d" % v, pax(b"size", b"%d" % v) + m + END
    yield "member of 2^33 - 1", block(num=b"7" * 11 + b"\0") + m
    yield "negative size", block(num=b"\xff" * 12) + m
    # POSIX leaves to who unpacks what a link, a name twice, or one that leads
    # up is good for; here nothing is unpacked (tree.py makes those for that)
    yield "fine: link to itself", block(kind=b"2", link=b"a.npy") + END
    yield "fine: hard link to itself", block(kind=b"1", link=b"a.npy") + END
    for v in B64:
        yield "sparse of %d" % v, (pax(b"GNU.sparse.realsize",
            b"%d" % v) + m + END)
    yield "a pax header of a pax header", pax(b"a", b"b") * 2000
    yield "long name without end", block(b"././@LongLink", 2**33 - 1, b"L")
    yield "fine: long name", member((LONG[1:] + "\0").encode(),
        name=b"././@LongLink", kind=b"L") + m + END
    yield "name of 1 MB", member(b"n" * (1 << 20) + b"\0",
        name=b"././@LongLink", kind=b"L") + m + END
    yield "fine: no name", member(b"x" * 9, name=b"") + END
    yield "fine: a name twice", m + m + END
    yield "fine: up", member(npy(nhead()), name=b"../../a.npy") + END
    b = m + END
    for i in range(40):
        b = member(b, name=b"in.tar") + END
    yield "fine: 40 tars in tars", b
    yield "fine: a bomb in it", member(stored([("a", b"\0" * (1 << 24))],
        zipfile.ZIP_DEFLATED), name=b"a.zip") + END


# ===== HDF5 =============================================================


def hdf5_cases(golden):
    """What leads somewhere leads elsewhere: to its begin, to itself, beyond.
    What looks like an address may also be a size or part of the data, and an
    object that nothing can be made of is only not shown, so that either may
    come of it."""
    yield "fine", golden
    size = len(golden)
    where = [i for i in range(0, size - 8) if
        0 < int.from_bytes(golden[i:i + 8], "little") < size and
        golden[i + 4:i + 8] == b"\0" * 4 and golden[i] % 8 == 0][:90]
    for i in where[::3]:
        for v in (i, 48, 96, 2**32 - 1, 2**63, 2**64 - 2):
            yield "either: %d leads to %d" % (i, v), poked(golden, i, 8, v)


# ===== Core ML ==========================================================


def blob(out, n=64, kind=2, off=None, pad=0, said=None):
    out += b"\0" * (-len(out) % 64)
    return (out + le(4, 0xdeadbeef) + le(4, kind) + le(8, n if said is None
        else said) + le(8, len(out) + 64 if off is None else off) +
        le(8, pad) + b"\0" * 32 + b"d" * n)


def milblob_cases():
    head = le(4, 1) + le(4, 2) + b"\0" * 56
    yield "fine", blob(head)
    for v in B32:
        yield "%d blobs" % v, blob(le(4, v) + head[4:])
    for v in B64:
        yield "blob of %d" % v, blob(head, said=v)
        yield "blob at %d" % v, blob(head, off=v)
        yield "padding of %d" % v, blob(head, kind=8, pad=v)
    yield "blob in its own head", blob(head, off=64)
    yield "blob over the header", blob(head, off=0)


def whole(kind, golden):
    return next(cases(kind, golden))[1]


def cases(kind, golden=None):
    if kind == "hdf5":
        return hdf5_cases(golden)
    return {
        "safetensors": safetensors_cases, "gguf": gguf_cases,
        "onnx": onnx_cases, "tflite": tflite_cases,
        "pytorch": pytorch_cases, "torch-legacy": legacy_cases,
        "npy": npy_cases, "zip": zip_cases, "tar": tar_cases,
        "milblob": milblob_cases,
    }[kind]()
