#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""property.py [-n COUNT | -t SECONDS] [SEED]: what must hold for any two
files, on random containers of gen/pair.py, from a seed on, for so many of them
or for as long as one lets it. Takes BIN, the folder of the programs. A pair
for which something does not hold is kept, and its seed told.
"""
import getopt
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("BIN", os.path.join(HERE, "../build/bin"))
counts = {"pairs": 0, "patches": 0, "flips": 0, "cuts": 0, "decoded": 0}


class Broken(Exception):
    pass


def must(ok, why):
    if not ok:
        raise Broken(why)


def run(*args, data=None, status=0):
    """Output of a program, whose status must be this one, or among them."""
    path = args[0] if os.path.isabs(args[0]) else os.path.join(BIN, args[0])
    p = subprocess.run((path,) + args[1:], input=data, timeout=300,
                       stdin=subprocess.DEVNULL if data is None else None,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    want = status if isinstance(status, tuple) else (status,)
    must(p.returncode in want, "%s: status %d, not %s: %s" % (
        " ".join(args), p.returncode, want, p.stderr[-300:]))
    must(p.returncode == 0 or p.stderr, "%s: status %d without a word" % (
        args[0], p.returncode))
    return p.stdout


REFUSED = (1, 4, 5, 6, 7, 8)


def wholes(path):
    """The bytes of a file, or of the tar that a directory is read as."""
    if os.path.isdir(path):
        return run("ml-join", data=run("ml-split", "-f", "raw", path))
    with open(path, "rb") as f:
        return f.read()


def applies(patch, old, new, args=()):
    out = run("ml-apply", *args, old, "-", data=patch)
    must(out == new, "ml-apply %s makes another file" % " ".join(args))


def refused(patch, old, dir_, what):
    """Neither status 0 nor anything under the name."""
    to = os.path.join(dir_, "out")
    run("ml-apply", "-o", to, old, "-", data=patch, status=REFUSED)
    must(not os.path.exists(to), what + ": wrote a file")
    must(not [n for n in os.listdir(dir_) if n.startswith(".")],
         what + ": left a temporary file")


def check(seed, dir_):
    r = random.Random(seed * 7919 + 1)
    told = run(os.path.join(HERE, "gen/pair.py"), str(seed), dir_)
    old, new = os.path.join(dir_, "old"), os.path.join(dir_, "new")
    a, b = wholes(old), wholes(new)
    for path, data in ((old, a), (new, b)):
        stream = run("ml-split", "-q", path)
        must(run("ml-join", data=stream) == data, "split | join: " + path)
        coded = run("ml-zipnn", "-q", data=stream)
        must(run("ml-join", data=run("ml-zipnn", "-d", data=coded)) == data,
             "split | zipnn | zipnn -d | join: " + path)
        run("ml-ls", path)
    best = None
    small = []
    for cls in ("nano", "micro", "full"):
        p = run("ml-diff", "-q", "-c", cls, old, new)
        counts["patches"] += 1
        must(len(p) <= len(b) + 160, "%d bytes for %d, class %s" % (
            len(p), len(b), cls))
        applies(p, old, b, ("-c", cls))
        best = p
        small.append(p)
    must(run("ml-diff", "-q", old, new) == best, "ml-diff: other bytes")
    applies(best, old, b, ("-s",))
    run("ml-info", "-b", old, data=best)
    # the pipeline
    s_old, s_new = os.path.join(dir_, "s.old"), os.path.join(dir_, "s.new")
    for path, to in ((old, s_old), (new, s_new)):
        with open(to, "wb") as f:
            f.write(run("ml-split", "-q", path))
    delta = run("ml-delta", s_old, s_new)
    piped = run("ml-pack", data=run("ml-zipnn", data=delta))
    applies(piped, old, b)
    must(run("ml-delta", s_old, s_new) == delta, "ml-delta: other bytes")
    os.unlink(s_old)
    os.unlink(s_new)
    # a second opinion
    if len(b) < 30000 and not os.path.isdir(old):
        # class micro, and nano with casts; for others see second.py
        for p in small[0 if b"cast" in told else 1:2]:
            out = run(os.path.join(HERE, "decode.py"), old, data=p)
            must(out == b, "decode.py makes another file")
            counts["decoded"] += 1
    # a directory, when it is one
    if os.path.isdir(old):
        to = os.path.join(dir_, "tree")
        shutil.copytree(old, to, symlinks=True)
        run("ml-apply", "-o", to, to, "-", data=best)
        must(wholes(to) == b, "ml-apply -o: another directory")
        shutil.rmtree(to)
    # wrong bases and damage
    if a != b:
        refused(best, new, dir_, "a wrong base")
    for _ in range(4):
        q = bytearray(best)
        q[r.randrange(len(q))] ^= 1 << r.randrange(8)
        refused(bytes(q), old, dir_, "a flipped bit")
        counts["flips"] += 1
        refused(best[:r.randrange(len(best))], old, dir_, "a cut patch")
        counts["cuts"] += 1
    counts["pairs"] += 1
    return told.decode().strip()


def main():
    n = seconds = None
    opts, args = getopt.getopt(sys.argv[1:], "n:t:v")
    verbose = False
    for o, v in opts:
        if o == "-n":
            n = int(v)
        elif o == "-t":
            seconds = int(v)
        else:
            verbose = True
    seed = int(args[0]) if args else 0
    start = time.time()
    bad = 0
    while not ((n is not None and counts["pairs"] + bad >= n) or
               (seconds is not None and time.time() - start > seconds)):
        dir_ = tempfile.mkdtemp(prefix="ml-pair-%d-" % seed)
        try:
            told = check(seed, dir_)
            print("ok seed %d%s" % (seed, ": " + told if verbose else ""))
            shutil.rmtree(dir_)
        except Broken as e:
            print("not ok seed %d: %s\n# kept in %s" % (seed, e, dir_))
            bad += 1
        sys.stdout.flush()
        seed += 1
    print("# " + ", ".join("%d %s" % (v, k) for k, v in counts.items()))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
