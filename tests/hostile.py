#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hostile.py [PARSER...]: what every parser makes of input that lies. Takes
BIN, the programs, and B, the build folder.

First in one process, by its fuzz target: a small file cut at every byte, every
bit flipped, and at every byte numbers near the ends of 32 and 64 bits; the
target says what must hold. Then the cases of gen/hostile.py by the programs,
with 300 MB of memory and ten seconds: status 0, or one that the manual tells
with a message that names the file, the offset and the reason, and never a
signal. Counts are printed for each parser.
"""
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "gen"))
import hostile  # noqa: E402

B = os.environ.get("B", os.path.join(HERE, "../build"))
BIN = os.environ.get("BIN", os.path.join(B, "bin"))
CORPUS = os.path.join(HERE, "fuzz/corpus")
SANITIZED = os.environ.get("SANITIZED")
MEMORY = 300 << 20
SECONDS = 10 if not SANITIZED else 60
FORMATS = ("safetensors", "gguf", "onnx", "tflite", "pytorch",
    "torch-legacy", "npy", "zip", "tar", "hdf5", "milblob")

# Of which target, which file (one of its corpus, or a whole one made here).
EXHAUSTIVE = (
    ("safetensors", "safetensors", None), ("json", "json", "two"),
    ("gguf", "gguf", None), ("onnx", "onnx", None),
    ("external", "external", "four"), ("tflite", "tflite", None),
    ("protobuf", "protobuf", "external"), ("flatbuf", "flatbuf", None),
    ("pytorch", "pytorch", None), ("torch-legacy", "pytorch", None),
    ("pickle", "pickle", "protocol-4"), ("npy", "npy", None),
    ("zip", "zip", "numpy.npz"), ("tar", "tar", None),
    ("tree", "tree", None), ("hdf5", "hdf5", "implicit"),
    ("milblob", "milblob", None), ("openvino", "openvino", "small"),
    ("dcp", "dcp", "0a636ec531"), ("stream", "stream", "arr"),
    ("patch", "patch", "signed-move"), ("decoder", "decoder", "run-alone"),
    ("notes", "notes", "cast-sum"), ("keys", "minisign", "secret"),
    ("signatures", "minisign", "hashed"), ("xmodem", "xmodem", "zeros-right"),
    ("update", "update", "move-nano"),
)

# What is made here of a format is a file for these parsers, too.
WHOLE = {"flatbuf": "tflite", "tree": "tar"}

# A message tells where: an offset or, when the bytes that lie are those of a
# tree that was made of the file, what it is about. These are all without one:
WHERE = re.compile(r"\boffset \d+|"
    r"tensor '[^']*' (has|begins|ends|at \d+)|"  # named by a pickle; or in it
    r"the key of a storage is no text|"  # a value of a pickle
    r"the result has not the (SHA|XXH)|"  # all of it
    r"more than \d+ bytes|"  # of a key's file
    r"too many tflite tables, or they share|"  # a sum over all of the file
    r"hdf5 (dataset at \d+ leaves|heap makes no sense)|"
    r"tar: [A-Z]")  # libarchive's words

bad = 0


def fail(what, why):
    global bad
    bad += 1
    print("not ok %s: %s" % (what, why))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def exhaust(parser, target, name, tmp):
    path = os.path.join(CORPUS, target, name or "")
    if not name:
        path = os.path.join(tmp, "whole")
        with open(path, "wb") as f:
            f.write(hostile.whole(WHOLE.get(parser, parser), None))
    p = subprocess.run([os.path.join(B, "tests/fuzz/fuzz_" + target), "-e",
        path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = re.search(rb"# (\d+ truncations, \d+ flips, \d+ numbers)",
        p.stdout)
    if p.returncode or not said:
        fail(parser, "status %d on damage to %s:\n%s" % (p.returncode,
            name or "a whole file", p.stderr.decode(errors="replace")[-2000:]))
        return "damage not survived"
    return said.group(1).decode()


def limits():
    """Also of this program: what it starts inherits them, and a function to
    be called between fork and exec would make that slow."""
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(*args):
    try:
        p = subprocess.run([os.path.join(BIN, args[0])] + list(args[1:]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, timeout=SECONDS, close_fds=False)
    except subprocess.TimeoutExpired:
        return None, ""
    return p.returncode, p.stderr.decode(errors="replace")


def judge(what, path, program, got, words, statuses, fine=None):
    """A status of those, and a message when it is not 0."""
    if got is None:
        fail(what, "%s takes more than %d s" % (program, SECONDS))
    elif got < 0:
        fail(what, "%s: signal %d\n%s" % (program, -got, words))
    elif got not in statuses:
        fail(what, "%s: status %d, not of %s: %s" % (program, got, statuses,
            words))
    elif got and not re.search(r"^%s: .*'?%s'?: (offset \d+: )?\S+" % (program,
            re.escape(path)), words, re.M):
        fail(what, "%s: status %d without the file's name: %s" % (program,
            got, words))
    elif got and not WHERE.search(words):
        fail(what, "%s does not say where: %s" % (program, words))
    elif got == 0 and fine is False:
        fail(what, "%s takes it for right" % program)
    elif got and fine:
        fail(what, "%s refuses it: %s" % (program, words))


def containers(parser, tmp):
    golden = read(os.path.join(HERE, "golden/hdf5/latest.h5"))
    refused = n = 0
    for name, b in hostile.cases(parser, golden):
        path = os.path.join(tmp, "model")
        with open(path, "wb") as f:
            f.write(b)
        what = "%s: %s" % (parser, name)
        got, words = run("ml-split", "-q", "-f", parser, path)
        judge(what, path, "ml-split", got, words, (0, 1, 5), None if
            name.startswith("either") else "fine" in name.split(": ")[:1])
        refused += got != 0
        got, words = run("ml-ls", path)
        judge(what, path, "ml-ls", got, words, (0,))
        n += 1
    return "%d cases, %d refused" % (n, refused)


# ===== guides ===========================================================


def guide_cases(parser):
    if parser == "openvino":
        def xml(data):
            return (b'<?xml version="1.0"?><net><layer name="w" type="Const">'
                + data + b"</layer></net>")
        yield "fine", xml(b'<data offset="0" size="8" shape="8"'
            b' element_type="u8"/>')
        for v in hostile.B32 + hostile.B64 + (2**64,):
            yield "offset %d" % v, xml(b'<data offset="%d" size="8"/>' % v)
            yield "size %d" % v, xml(b'<data offset="8" size="%d"/>' % v)
            yield "dimension %d" % v, xml(b'<data offset="8" size="8" '
                b'shape="%d" element_type="u8"/>' % v)
        yield "laughs", (b"<!DOCTYPE n [<!ENTITY a0 'ha'>" + b"".join(
            b"<!ENTITY a%d '%s'>" % (i, b"&a%d;" % (i - 1) * 10)
            for i in range(1, 20)) + b"]><net>&a19;</net>")
        yield "an entity of itself", (b"<!DOCTYPE n [<!ENTITY a '&a;'>]>"
            b"<net>&a;</net>")
        yield "another file", (b"<!DOCTYPE n SYSTEM 'file:///etc/passwd'>"
            b"<net/>")
        yield "nested", b"<a>" * 10**6
        yield "long token", b"<a b='" + b"x" * (4 << 20)
        yield "long name", xml(b"").replace(b'"w"', b'"%s"' %
            hostile.LONG.encode())
        yield "no name", xml(b'<data offset="0" size="4"/>').replace(
            b'name="w"', b"")
        yield "10^5 of the same", xml(b'<data offset="0" size="4"/>' * 10**5)
        yield "bad utf-8", xml(b"\xff\xfe")
        return
    for name, b in hostile.pickles():
        yield name, b


def guides(parser, tmp):
    names = {"openvino": ("m.xml", "m.bin"), "dcp": (".metadata", "a")}
    n = noted = 0
    for name, b in guide_cases(parser):
        path = os.path.join(tmp, "%s.d" % parser)
        os.makedirs(path, exist_ok=True)
        for k, data in zip(names[parser], (b, b"d" * 64)):
            with open(os.path.join(path, k), "wb") as f:
                f.write(data)
        got, words = run("ml-ls", path)
        judge("%s: %s" % (parser, name), path, "ml-ls", got, words, (0,))
        noted += words != ""
        n += 1
    return "%d cases, %d noted" % (n, noted)


# ===== streams, patches, keys ===========================================


def crc(b):
    return b + hostile.le(4, hostile.zlib.crc32(b))


def stream_cases():
    le = hostile.le
    whole = read(os.path.join(CORPUS, "stream/one"))
    tags, at = [], 8
    while at + 12 <= len(whole):
        n = int.from_bytes(whole[at + 4:at + 8], "little")
        tags.append((at, n))
        at += 12 + n
    yield "fine", whole
    for at, n in tags:
        for v in hostile.B32:
            yield "record of %d at %d" % (v, at), hostile.poked(whole, at + 4,
                4, v)
        for i in range(n // 8):  # each number in it
            for v in hostile.B64:
                r = hostile.poked(whole[at:at + 8 + n], 8 + 8 * i, 8, v)
                yield "number %d of the record at %d is %d" % (i, at, v), (
                    whole[:at] + crc(r) + whole[at + 12 + n:])
        r = whole[at:at + 12 + n]
        yield "record at %d twice" % at, whole[:at] + r + whole[at:]
        yield "record at %d missing" % at, whole[:at] + whole[at + len(r):]
        yield "unknown record at %d" % at, (whole[:at] + crc(b"ZZZZ" +
            le(4, 4) + b"abcd") + whole[at:])
    yield "10^5 records", whole[:8] + crc(b"SPAN" + le(4, 0)) * 10**5


def patch_cases():
    v9 = hostile.varint
    sha = b"s" * 32

    def head(*numbers, ext=b"", cls=3, flags=0):
        f = b"".join(map(v9, numbers)) + sha + ext
        return crc(b"\xd3mlp" + bytes([1, cls, flags]) + v9(len(f)) + f)

    for v in hostile.B32 + hostile.B64[:3]:
        yield "body of %d" % v, head(0, 10, v, 0)
        yield "window of %d" % v, head(0, 10, 3, v) + b"abc"
        yield "record of %d" % v, head(0, 10, 40, 0) + crc(b"\0" + v9(10) +
            v9(v)) + b"x" * 40
        yield "record that makes %d" % v, head(0, v, 9, 0) + crc(b"\0" +
            v9(v) + b"\0") + b"x" * 40
        yield "field of %d" % v, (b"\xd3mlp\1\3\0" + v9(v) + b"x" * 40)
    yield "number without end", b"\xd3mlp\1\3\0" + b"\xff" * 60
    for i in range(256):
        yield "extension %02x" % i, head(0, 0, 0, 0, ext=bytes([i, 255]) +
            b"e" * 255)
        yield "flags %02x" % i, head(0, 0, 0, 0, flags=i)
    for n in (0, 1, 4, 255):
        yield "chain of %d empty ones" % n, head(0, 0, 0, 0) * n
    note = crc(b"\x0f\0" + v9(1) + b"\7")
    yield "10^5 notes", head(0, 0, len(note) * 10**5, 0) + note * 10**5
    yield "10^5 resets", head(0, 10**5, 10**5 * 9, 0) + crc(
        b"\x10\1\2\0\1") * 10**5


def key_cases():
    import base64
    whole = base64.b64encode(b"Ed" + b"i" * 8 + b"k" * 32)
    yield "fine", b"untrusted comment: c\n" + whole + b"\n"
    yield "nothing", b""
    yield "one line", b"untrusted comment: c\n"
    yield "no line", b"untrusted comment: " + b"c" * 10**6
    yield "long key", b"untrusted comment: c\n" + b"A" * 10**6 + b"\n"
    yield "zeros", b"\0" * 10**6
    yield "lines", b"\n" * 10**6
    for i in range(len(whole)):
        yield "cut at %d" % i, b"untrusted comment: c\n" + whole[:i] + b"\n"
    for c in (0, 10, 13, 61, 255):
        yield "byte %d" % c, (b"untrusted comment: c\n" + whole[:20] +
            bytes([c]) + whole[21:] + b"\n")
    for alg in (b"ED", b"RW", b"\0\0", b"\xff\xff"):
        yield "algorithm %r" % alg, b"untrusted comment: c\n" + \
            base64.b64encode(alg + b"i" * 8 + b"k" * 32) + b"\n"


def others(parser, tmp):
    n = refused = 0
    path = os.path.join(tmp, "input")
    signed = os.path.join(CORPUS, "patch/signed-move")
    key = os.path.join(tmp, "key.pub")
    with open(key, "wb") as f:
        f.write(next(key_cases())[1])
    for name, b in {"stream": stream_cases, "patch": patch_cases,
            "keys": key_cases}[parser]():
        with open(path, "wb") as f:
            f.write(b)
        what = "%s: %s" % (parser, name)
        if parser == "stream":
            runs = (("ml-join", path), ("ml-ls", path), ("ml-zipnn", path))
            may = (0, 1, 4, 5, 6, 7)
        elif parser == "patch":
            runs = (("ml-info", path), ("ml-apply", "-o", "/dev/null",
                "/dev/null", path), ("ml-verify", "-p", key, path))
            may = (0, 1, 4, 5, 6, 7, 8)
        else:
            runs = (("ml-verify", "-p", path, signed),)
            may = (1, 5, 8)
        for r in runs:
            got, words = run(*r)
            judge(what, r[-1] if parser != "keys" or got == 8 else path, r[0],
                got, words, may)
            refused += got != 0
        n += 1
    return "%d cases, %d refusals" % (n, refused)


def main():
    want = sys.argv[1:]
    limits()
    seen = []
    for parser, target, name in EXHAUSTIVE:
        if want and parser not in want:
            continue
        before, start = bad, time.time()
        with tempfile.TemporaryDirectory() as tmp:
            words = exhaust(parser, target, name, tmp)
            if parser in FORMATS:
                words += "; " + containers(parser, tmp)
            elif parser in ("openvino", "dcp"):
                words += "; " + guides(parser, tmp)
            elif parser in ("stream", "patch", "keys"):
                words += "; " + others(parser, tmp)
        seen.append(parser)
        if bad == before:
            print("ok %s" % parser)
        print("# %s: %s (%.1f s)" % (parser, words, time.time() - start))
        sys.stdout.flush()
    missing = [p for p in want if p not in seen]
    if missing:
        sys.exit("hostile.py: no such parser: " + " ".join(missing))
    sys.exit(bad > 0)


main()
