#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""second.py: decode.py, which is written by ml-patch(5) alone, and the
programs agree: on all vectors, good and bad, and on patches of models in every
class and of everything that has rules of its own (casts, blocks, deflated
parts, signatures); with LONG=1 on the real pairs as well. Takes B, the build
folder, and MODELS.
"""
import glob
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import decode  # noqa: E402

B = os.environ.get("B", os.path.join(HERE, "../build"))
BIN = os.path.join(B, "bin")
failed = False


def tell(ok, name, why=""):
    global failed
    print("%s %s%s" % ("ok" if ok else "not ok", name, why))
    failed |= not ok
    sys.stdout.flush()


def apply(patch, base):
    """Status and result, as decode.py has them."""
    try:
        return 0, decode.chain(patch, base)
    except decode.Refused as e:
        return e.status, str(e)


def vector(path):
    fields = {}
    with open(path) as f:
        for line in f:
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    base = fields.get("base")
    status, out = apply(bytes.fromhex(fields["patch"]),
                        None if base is None else bytes.fromhex(base))
    name = "vector " + os.path.relpath(path, HERE)
    want = int(fields["status"])
    if status != want:
        tell(False, name, ": status %d, not %d: %s" % (
            status, want, out if status else ""))
    else:
        tell(status != 0 or out == bytes.fromhex(fields["target"]), name)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def pair(name, old, new, *options):
    p = subprocess.run([os.path.join(BIN, "ml-diff"), "-q", *options, old,
                        new], stdout=subprocess.PIPE, check=True).stdout
    status, out = apply(p, read(old))
    if status:
        tell(False, name, ": status %d: %s" % (status, out))
    else:
        tell(out == read(new), name)


def part(which, dtype, shape, at):
    """A model of one tensor of bytes, the weights of another one: those are
    more than the mixing here is fast enough for."""
    n = shape[0] * (shape[1] if len(shape) > 1 else 1)
    data = read(which + ".int8.tflite")[at:at + n]
    if dtype == "U8":
        data = bytes(b ^ 128 for b in data)
    head = json.dumps({"a": {"dtype": dtype, "shape": shape,
                             "data_offsets": [0, n]}}).encode()
    head += b" " * (-len(head) % 8)
    path = os.path.join(tmp, which)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + data)
    return path


def models():
    os.chdir(os.path.join(B, "tests/data"))
    for c in ("nano", "micro", "full"):
        pair("Q4_0 " + c, "old.q4_0.gguf", "new.q4_0.gguf", "-c", c)
    pair("int8 nano", "old.int8.tflite", "new.int8.tflite", "-c", "nano")
    pair("bf16 nano", "old.bf16.st", "new.bf16.st", "-c", "nano")
    pair("resize", "old.bf16.st", "resize.bf16.st", "-c", "nano")
    none = os.path.join(tmp, "none")
    open(none, "w").close()
    pair("alone, nano", none, "new.q4_0.gguf", "-c", "nano")
    pair("alone, micro", none, "new.int8.tflite", "-c", "micro")
    text = os.path.join(tmp, "text")
    with open(text, "w") as f:  # so much that a slot of Mixing wraps
        rnd = random.Random(1)
        f.write("".join(chr(rnd.randrange(32, 127)) for _ in range(3000)))
    pair("text", none, text)
    for n, (dtype, shape) in enumerate([
            ("I8", [64, 160]), ("U8", [64, 160]), ("U8", [8192]),
            ("I8", [1, 9000])]):
        name = "%s %s" % (dtype, "x".join(map(str, shape)))
        at = 20000 + 40000 * n
        old, new = (part(w, dtype, shape, at) for w in ("old", "new"))
        pair(name, old, new)
        pair(name + ", alone", none, new)
    pair("cast to bf16", "old.f32.st", "old.bf16.st")
    pair("cast to Q8_0", "old.f16.gguf", "old.q8_0.gguf")
    pair("cast to Q4_0", "old.f16.gguf", "old.q4_0.gguf")
    pair("cast to int8", "old.f32.tflite", "old.int8.tflite")
    quant = os.path.join(HERE, "gen/quant.py")
    for n, (old, new) in enumerate([
            ("F32", "Q4_K"), ("F16", "Q6_K"), ("BF16", "Q2_K"),
            ("F32", "Q5_1"), ("BF16", "Q5_0"), ("F16", "Q4_1"),
            ("F32", "Q8_0"), ("F16", "Q4_0"), ("Q8_0", "Q5_K"),
            ("Q6_K", "Q4_0"), ("Q4_K", "Q8_0"), ("Q5_1", "Q3_K")]):
        # noise and rows of any bytes: no cast is as good then
        subprocess.run([quant, tmp, old, new, "3", str(n), "0.1", "1"],
                       check=True)
        name = os.path.join(tmp, "%s.gguf")
        pair("%s from %s" % (new, old), name % "old", name % "new")
    subprocess.run([os.path.join(HERE, "gen/layout.py"), tmp], check=True)
    for name in ("ohwi-tuned-i8", "channels-removed-tuned-i8"):
        d = os.path.join(tmp, name)
        pair("layout " + name, d + "/old", d + "/new")
    pair("layout and cast", os.path.join(tmp, "transposed-f16-same-f32/old"),
         os.path.join(tmp, "transposed-f16-same-f32/new"))


def random_pairs():
    for seed, c in enumerate(["gguf"] * 8 + ["npz", "npz", "pytorch", "zip"]):
        d = os.path.join(tmp, str(seed))
        os.mkdir(d)
        subprocess.run([os.path.join(HERE, "gen/pair.py"), str(seed), d, c],
                       stdout=subprocess.DEVNULL, check=True)
        for cls in ("nano", "micro", "full"):
            pair("seed %d, %s, %s" % (seed, c, cls), d + "/old", d + "/new",
                 "-c", cls)


def real():
    for d in sorted(glob.glob(os.path.join(os.environ["MODELS"], "*"))):
        old, new = glob.glob(d + "/old*"), glob.glob(d + "/new*")
        if old and new and os.path.isfile(old[0]):
            for c in ("nano", "full"):
                pair("real %s %s" % (os.path.basename(d), c), old[0], new[0],
                     "-c", c)


for f in sorted(glob.glob(os.path.join(HERE, "vectors/good/*.hex")) +
                glob.glob(os.path.join(HERE, "vectors/bad/*.hex"))):
    vector(f)
with tempfile.TemporaryDirectory() as tmp:
    models()
    random_pairs()
if os.environ.get("LONG"):
    real()
sys.exit(failed)
