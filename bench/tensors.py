#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tensors.py [-o OUT] FOLDER: every tensor of every FOLDER/*/new*, coded
without a base inside its file, beside what other tools make of its bytes
alone: zstd -19, and ZipNN and OpenZL where they are installed. OUT is a TSV;
what is printed are the sums, and the tensors where another tool is smaller.

Equal tensors count once; those inside deflated parts and in directories are
left out. B is the build folder.
"""
import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(os.environ.get("B", os.path.join(HERE, "../build")), "bin")
try:
    from zipnn_file import TYPES, smaller
except ImportError:
    TYPES, smaller = (), None


def tool(name):
    return os.path.join(BIN, name)


def coded(path, tmp):
    """Bytes of each tensor in the patch of a file without a base."""
    patch = os.path.join(tmp, "patch")
    with open(patch, "wb") as f:
        split = subprocess.Popen([tool("ml-split"), path],
                                 stdout=subprocess.PIPE)
        code = subprocess.Popen([tool("ml-zipnn")], stdin=split.stdout,
                                stdout=subprocess.PIPE)
        pack = subprocess.Popen([tool("ml-pack")], stdin=code.stdout,
                                stdout=f)
        if any([p.wait() for p in (split, code, pack)]):
            sys.exit("tensors.py: cannot code " + path)
    info = subprocess.run([tool("ml-info"), "--json", patch],
                          stdout=subprocess.PIPE, check=True).stdout
    return {t["name"]: t["coded"]
            for t in json.loads(info)["patches"][0].get("tensors", [])}


def tensors(path):
    """Name, type and bytes of those that lie in the file as they are."""
    out = subprocess.run([tool("ml-ls"), "--json", path],
                         stdout=subprocess.PIPE, check=True).stdout
    listed = json.loads(out)
    if isinstance(listed, dict):
        listed = listed.get("tensors") or listed.get("spans") or []
    with open(path, "rb") as f:
        data = f.read()
    names = [t["name"] for t in listed]
    for t in listed:
        end = t["offset"] + t["bytes"]
        if names.count(t["name"]) == 1 and t["bytes"] and end <= len(data):
            yield t["name"], t["dtype"], data[t["offset"]:end]


def others(data, tmp):
    """What other tools make of it."""
    src, dst = os.path.join(tmp, "src"), os.path.join(tmp, "dst")
    with open(src, "wb") as f:
        f.write(data)
    subprocess.run(["zstd", "-q", "-f", "-19", src, "-o", dst], check=True)
    sizes = {"zstd": os.path.getsize(dst)}
    if smaller:
        # else ZipNN writes past the end
        whole = data + bytes(-len(data) % 4)
        sizes["zipnn"] = min(len(smaller(whole, t)) for t in TYPES)
    if shutil.which("zli"):
        found = []
        for profile in "serial", "le-u16", "le-u32":
            r = subprocess.run(["zli", "compress", "--force", "--profile",
                                profile, src, "-o", dst],
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
            if r.returncode == 0:
                found.append(os.path.getsize(dst))
        if found:
            sizes["openzl"] = min(found)
    return sizes


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("-o", metavar="OUT", default=os.devnull)
    p.add_argument("folder")
    args = p.parse_args()
    seen, sums, lost = set(), {}, []
    with tempfile.TemporaryDirectory() as tmp, open(args.o, "w") as out:
        print("file\ttensor\ttype\tbytes\tours\tzstd\tzipnn\topenzl", file=out)
        for path in sorted(glob.glob(os.path.join(args.folder, "*/new*"))):
            if os.path.isdir(path):
                continue
            ours = coded(path, tmp)
            name = os.path.basename(os.path.dirname(path))
            for tensor, dtype, data in tensors(path):
                if data in seen or tensor not in ours:
                    continue
                seen.add(data)
                n = round(ours[tensor])
                sizes = others(data, tmp)
                print(name, tensor, dtype, len(data), n, *(sizes.get(k, "-")
                      for k in ("zstd", "zipnn", "openzl")), sep="\t",
                      file=out)
                for k, v in [("bytes", len(data)), ("ours", n),
                             *sizes.items()]:
                    sums[k] = sums.get(k, 0) + v
                least = min(sizes, key=sizes.get)
                if n > sizes[least]:
                    lost.append((n - sizes[least], n, least, sizes[least],
                                 dtype, len(data), name, tensor))
    print(len(seen), "tensors:", ", ".join("%s %d" % i for i in sums.items()))
    print(len(lost), "of them are larger than by another tool:")
    for _, n, k, v, dtype, size, name, tensor in sorted(lost, reverse=True):
        print("  %d, %s %d: %s of %d bytes, %s %s" % (
            n, k, v, dtype, size, name, tensor))


main()
