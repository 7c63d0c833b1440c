# SPDX-License-Identifier: MIT
"""tree.py make DIR [new]: a directory with all that a tree may hold.
tree.py state DIR [keep]: a line per entry: type, mode, bytes, links; keep: and
time and owner. tree.py hostile NAME FILE: a tar that must be refused."""
import hashlib
import io
import os
import random
import stat
import sys
import tarfile

LONG = b"/".join([b"d" * 60] * 5)


def make(root, new):
    os.umask(0o022)
    os.mkdir(root)
    here = os.getcwd()
    os.chdir(root)

    def put(path, n, mode=0o644):
        data = bytearray(random.Random(len(path) + n).randbytes(n))
        if new and n > 50:
            data[40:47] = b"changed"
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, mode)

    os.mkdir(b"a-b")
    os.mkdir(b"a")
    os.makedirs(LONG)
    os.makedirs(b"empty/in it")
    put(b"plain", 1000)
    put(b"a/x", 10)
    put(b"a.b", 10)
    put(b"name with spaces", 511)
    put(b"new\nline", 512)
    put(b"-dash", 513)
    put(b"back\\slash", 1)
    put(b"\x01control\x7f", 1)
    put(b"lat\xe9n", 1025)
    put("utf-8 \u00e9\u6f22".encode(), 70000)
    put(b"e\xe9" * 100, 10)
    put("\u6f22".encode() * 80, 10)
    put(b"n" * 100, 20)
    put(b"n" * 101, 20)
    put(b"n" * 255, 20)
    for n in 90, 99, 100, 101, 150:
        put(LONG + b"/" + b"f" * n, 3)
        os.mkdir(LONG + b"/" + b"g" * n)
    os.makedirs(b"p" * 54 + b"/" + b"q" * 100)
    for n in 99, 100, 101:
        put(b"p" * 54 + b"/" + b"q" * 100 + b"/" + b"f" * n, 3)
        os.mkdir(b"p" * 54 + b"/" + b"q" * 100 + b"/" + b"g" * n)
    if new:
        put(b"only new", 99999)
    else:
        put(b"only old", 5)
        os.mkdir(b"old dir")
    os.symlink(b"plain", b"sym")
    os.symlink(b"a", b"sym to dir")
    os.symlink(b"/nowhere/\xff", b"dangling")
    os.symlink(b"../" * 60, b"long link")
    os.symlink("\u00e9".encode() * 70, b"utf-8 link")
    os.link(b"plain", b"zlink")
    os.link(b"plain", b"a/link")
    os.link(LONG + b"/" + b"f" * 150, b"z2")
    put(b"void", 0)
    for m in 0o600, 0o755, 0o555, 0o4755, 0o2755, 0o1644, 0o444, 0o400:
        put(b"mode %o" % m, 5, m)
    for m in 0o700, 0o555, 0o1777, 0o2755, 0o500:
        os.mkdir(b"dir %o" % m)
        put(b"dir %o/f" % m, 5)
        os.chmod(b"dir %o" % m, m)
    os.chdir(here)


def state(root, keep):
    first = {}
    for path, dirs, files in os.walk(root):
        dirs.sort()
        for name in sorted(dirs + files):
            full = os.path.join(path, name)
            s = os.lstat(full)
            what = b""
            if stat.S_ISLNK(s.st_mode):
                what = os.readlink(full)
            elif stat.S_ISREG(s.st_mode):
                with open(full, "rb") as f:
                    what = hashlib.sha256(f.read()).hexdigest()
            rel = os.path.relpath(full, root)
            same = first.setdefault(s.st_ino, rel)
            print(rel, oct(s.st_mode), what, same if same != rel else "",
                (int(s.st_mtime), s.st_uid, s.st_gid) if keep else "")


def hostile(kind, path):
    t = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)

    def put(name, type=tarfile.REGTYPE, link="", data=b""):
        i = tarfile.TarInfo(name)
        i.type, i.linkname, i.size, i.mode = type, link, len(data), 0o755
        t.addfile(i, io.BytesIO(data))

    link, hard = tarfile.SYMTYPE, tarfile.LNKTYPE
    put("good", data=b"good")
    if kind == "up":
        put("../evil", data=b"evil")
    elif kind == "up-inside":
        put("d", tarfile.DIRTYPE)
        put("d/../../evil", data=b"evil")
    elif kind == "up-end":
        put("d/..", tarfile.DIRTYPE)
    elif kind == "absolute":
        put(os.path.abspath("evil"), data=b"evil")
    elif kind == "behind-link":
        put("l", link, "..")
        put("l/evil", data=b"evil")
    elif kind == "before-link":
        put("l/evil", data=b"evil")
        put("l", link, "..")
    elif kind == "behind-dot-link":
        put("./l", link, "..")
        put(".//l/./evil", data=b"evil")
    elif kind == "link-then-file":
        put("l", link, "../evil")
        put("l", data=b"evil")
    elif kind == "behind-file":
        put("good/evil", data=b"evil")
    elif kind == "hard-up":
        put("h", hard, "../../x")
    elif kind == "hard-absolute":
        put("h", hard, "/etc/passwd")
    elif kind == "hard-absent":
        put("h", hard, "later")
        put("later", data=b"later")
    elif kind == "hard-to-link":
        put("l", link, "../evil")
        put("h", hard, "l")
    elif kind == "hard-to-dir":
        put("d", tarfile.DIRTYPE)
        put("h", hard, "d")
    elif kind == "twice":
        put("./good", data=b"evil")
    elif kind == "device":
        put("dev", tarfile.CHRTYPE)
    elif kind == "block":
        put("dev", tarfile.BLKTYPE)
    elif kind == "fifo":
        put("fifo", tarfile.FIFOTYPE)
    elif kind == "no-name":
        put("", data=b"evil")
    elif kind == "own-place":
        put(".", data=b"evil")
    elif kind == "top-link":
        put("./", link, "..")
    elif kind == "long":
        put("x/" * 3000 + "y", data=b"evil")
    else:
        sys.exit("unknown kind " + kind)
    t.close()


if sys.argv[1] == "make":
    make(os.fsencode(sys.argv[2]), len(sys.argv) > 3)
elif sys.argv[1] == "state":
    state(os.fsencode(sys.argv[2]), len(sys.argv) > 3)
else:
    hostile(sys.argv[2], sys.argv[3])
