#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""decode.py [BASE] < PATCH > TARGET

Applies a patch, or a chain of them, by the text of ml-patch(5) and nothing
else: a second opinion on what the page says and mallorn does. Slow, and whole
in memory. Exits with the status of ml-apply.
"""
import ctypes
import hashlib
import itertools
import math
import sys
import zlib
from fractions import Fraction

M32 = 0xFFFFFFFF
M64 = (1 << 64) - 1
NUM_MAX = (1 << 63) - 1


class Refused(Exception):
    def __init__(self, status, why):
        Exception.__init__(self, why)
        self.status = status


def need(ok, why, status=6):
    if not ok:
        raise Refused(status, why)


# ===== bytes ===============================================================


class Bytes:
    """Bytes from at to end, taken one after the other."""

    def __init__(self, data, at=0, end=None):
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def u8(self):
        need(self.at < self.end, "truncated")
        self.at += 1
        return self.data[self.at - 1]

    def take(self, n):
        need(n <= self.end - self.at, "truncated")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "little")

    def varint(self):
        v = 0
        for i in range(9):
            b = self.u8()
            v |= (b & 127) << 7 * i
            if b < 128:
                need(b or not i, "not the shortest form")
                return v
        raise Refused(6, "a number of 2^63 or more")

    def zigzag(self):
        v = self.varint()
        return -(v + 1) // 2 if v & 1 else v // 2


def crc_after(data, start, at, end):
    need(end - at >= 4, "truncated")
    need(zlib.crc32(data[start:at]) == int.from_bytes(data[at:at + 4],
         "little"), "wrong CRC-32")


# ===== element types =======================================================

# name: bytes, exponent bits of a float or 0
KINDS = {
    "u4": (1, 0), "i8": (1, 0), "i16": (2, 0), "i32": (4, 0), "i64": (8, 0),
    "r4": (1, 0), "r8": (1, 0), "e4": (1, 4), "e5": (1, 5), "f16": (2, 5),
    "bf16": (2, 8), "f32": (4, 8), "f64": (8, 11),
}
TYPES = [
    "i8", "i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64", "e4", "e5",
    "u4", "f16 16u4", "2f16 16u4", "f16 4i8 16u4", "2f16 4i8 16u4",
    "f16 32i8", "2f16 32i8", "80u4 2f16", "108i8 f16", "2f16 12i8 128u4",
    "2f16 44i8 128u4", "128u4 64i8 16i8 f16", "f32 256i8 16i16",
    "f16 i16 4i8 128u4", "f16 32i16", "f16 32i16 8i8", "f16 80i8",
    "f16 64i8 8i32", "f16 108i8", "f16 32i8 8i16", "56i8", "52i8 f16",
    "64i8 f16", "i8 16u4", "f16 16r4", "f16 32r8", "i16", "i32", "f16",
    "f32", "f64",
]
MIXED = 52
SEEN = 56
SEEN_TYPES = set(range(2, 11)) | set(range(37, 42))
CROSS = 57
CASTS_OF_NANO = {53: (7, 5, 6), 54: (36, 35), 55: (1, 1)}
BLOCK_TYPES = {42: 20, 43: 21, 44: 22, 45: 19, 46: 18, 47: 13, 48: 14,
               49: 15, 50: 35, 51: 36}
LIKE = {MIXED: 1, **BLOCK_TYPES}


def fields(type_):
    """A unit as a list of kinds."""
    out = []
    for word in TYPES[LIKE.get(type_, type_)].split():
        i = 0
        while word[i].isdigit():
            i += 1
        out += [word[i:]] * int(word[:i] or 1)
    return out


UNITS = {t: fields(t) for t in list(range(len(TYPES))) + list(LIKE)}
UNIT_LEN = {t: sum(KINDS[k][0] for k in u) for t, u in UNITS.items()}


def order(type_):
    return "big" if 37 <= type_ <= 41 else "little"


def add(kind, b, r):
    """The element of base b and residual r."""
    n, exponent = KINDS[kind]
    top = 1 << (8 * n - 1)
    mask = 2 * top - 1
    if kind in ("u4", "r4"):
        return (b + r) & 15 | ((b >> 4) + (r >> 4) & 15) << 4
    if not exponent:
        return (b + r) & mask
    m = ~b & mask if b & top else b | top
    m = (m + r) & mask
    return m & ~top if m & top else ~m & mask


# ===== the range coder =====================================================


class Layout:
    """Where the chances of a class lie."""

    def __init__(self, cls):
        self.n = 0
        self.op = self.room(6 * 7)
        self.flag = self.room(4)
        self.num = self.room(6 * 20)
        self.sets = 4 if cls == 3 else 1
        shape = {
            2: ((0, 0, 4, 5, 5, 3, 3), (0, 0, 4, 4, 4, 3, None)),
            3: ((0, 0, 0, 5, 5, 3, 2), (0, 0, 4, 4, 4, 3, 1)),
        }[cls]
        self.floats = [Set(self, *shape[0]) for _ in range(self.sets)]
        self.ints = [Set(self, *shape[1]) for _ in range(self.sets)]
        self.lit = self.room(4 * 255) if cls == 2 else None
        self.block = self.room(2 * 306 * 66) if cls == 3 else None
        self.trees = self.room(13584) if cls == 3 else None
        self.top = self.room(6 * 8 * 3) if cls == 3 else None

    def room(self, n):
        self.n += n
        return self.n - n


class Set:
    def __init__(self, lay, zs, gs, ns, tb, kb, nb, es):
        self.zs, self.gs, self.ns, self.tb = zs, gs, ns, tb
        self.kb, self.nb, self.es = kb, nb, es
        self.sign = lay.room(1)
        self.zero = lay.room(16 >> zs)
        self.cls = lay.room((16 >> gs) * ((1 << tb) - 1))
        self.next = lay.room((16 >> ns) * (1 << kb) * ((1 << nb) - 1))
        self.exp = None if es is None else lay.room((16 >> es) * 255)


T = [1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546,
     2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975, 4022, 4050, 4068, 4079,
     4085, 4089, 4092, 4093, 4094]


def squash(d):
    if d < -2047:
        return 0
    if d > 2047:
        return 4095
    d += 2048
    w, i = d & 127, d >> 7
    return (T[i] * (128 - w) + T[i + 1] * w + 64) // 128


def make_stretch():
    out = [2047] * 4096
    p = 0
    for d in range(-2047, 2048):
        while p < 4096 and squash(d) >= p:
            out[p] = d
            p += 1
    return out


STRETCH = make_stretch()
RATE = [(2 * 131072 + 2 * t + 3) // (2 * (2 * t + 3)) for t in range(255)]


class Coder:
    """What both range coders have."""

    def start(self, payload):
        self.p = payload
        self.at = 0
        self.range = M32
        self.code = 0
        for _ in range(4):
            self.code = self.code << 8 | self.byte()
        self.held = self.nheld = 0

    def byte(self):
        self.at += 1
        return self.p[self.at - 1] if self.at <= len(self.p) else 0

    def raw(self, n):
        v = done = 0
        while n > 0:
            k = min(n, 16)
            while self.nheld < k:
                self.held |= self.byte() << self.nheld
                self.nheld += 8
            v |= (self.held & (1 << k) - 1) << done
            self.held >>= k
            self.nheld -= k
            done += k
            n -= k
        return v

    def split(self, p):
        bound = (self.range >> 16) * p
        if self.code < bound:
            bit = 0
            self.range = bound
        else:
            bit = 1
            self.range -= bound
            self.code -= bound
        while self.range < 1 << 24:
            self.range = self.range << 8 & M32
            self.code = (self.code << 8 | self.byte()) & M32
        return bit

    def tree(self, i, n):
        m = 1
        for _ in range(n):
            m = 2 * m + self.bit(i + m - 1)
        return m - (1 << n)

    def ratio(self):
        """Of sb to st, and whether their signs differ."""
        def parts(x):
            e = x >> 10 & 31
            return (x & 1023) | (1024 if e else 0), max(e, 1)
        mb, eb = parts(self.sb)
        mt, et = parts(self.st)
        if not mb or not mt or abs(eb - et) > 6:
            return 4096, 0
        q = mb * 4096 // mt
        if eb >= et:
            if q >= 1 << 18 and eb > et:
                return 4096, 0
            q <<= eb - et
        else:
            q >>= et - eb
        if q > 1 << 18:
            return 4096, 0
        return q, (self.sb ^ self.st) >> 15

    def predict(self, b, w):
        """What a code should be, and where between two."""
        ratio, differ = self.ratio()
        code = b - 8 if w == 4 else (b ^ 0x80) - 0x80
        x = abs(code) * ratio + 2048
        c = x >> 8 & 15
        p = x // 4096
        if (code < 0) != bool(differ):
            c = (16 - c) % 16
            p = -min(p, 1 << w - 1)
        else:
            p = min(p, (1 << w - 1) - 1)
        return p, c


class Model(Coder):
    """Coder 1."""

    def __init__(self, cls):
        self.cls = cls
        self.lay = Layout(cls)
        self.reset()

    def reset(self):
        n = self.lay.n
        self.f = [0x8000] * n
        self.g = [0x8000] * n
        self.t = [0] * n
        self.last_op = 0
        self.d0 = self.d1 = self.dist = 0
        self.type = self.e0 = self.set = self.k0 = self.c0 = self.tz = 0
        self.calm = 0
        self.k1 = self.k2 = 0
        self.last = 0
        self.sb = self.st = 0
        self.avg = 0
        if self.cls == 3:
            self.ring = Ring()
            self.match = Match(self.ring)
            slots = Slots()
            self.lits = Mixer(slots, 60, 60)
            self.elements = Elements(Mixer(slots, 28, 250))
            self.listed = List(Mixer(slots, 28, 250), Mixer(slots, 28, 250))
            self.seen = None

    def bit(self, i):
        f, g, t = self.f, self.g, self.t
        block = self.lay.block
        calm = block is not None and (block <= i < block + 53976 or
                                      self.calm and self.last_op == 4)
        p = f[i] + 7 * g[i] >> 3 if calm else f[i] + g[i] >> 1
        by, half, most = (5, 0x8000, 254) if calm else (4, 0, 126)
        bit = self.split(p)
        r = RATE[t[i]]
        if bit:
            f[i] -= f[i] >> by
            g[i] -= g[i] * r + half >> 16
        else:
            f[i] += 0xFFFF - f[i] >> by
            g[i] += (0xFFFF - g[i]) * r + half >> 16
        if t[i] < most:
            t[i] += 1
        return bit

    # -- numbers

    def count(self, op):
        """Units, and of which type."""
        n = self.num((1, 0, 4, 3, 3)[op]) + 1
        return n, self.type if op > 2 else 0

    def num(self, kind):
        lay = self.lay
        at = lay.num + kind * 20
        i = 0
        while i < 20 and self.bit(at + i):
            i += 1
        if i == 20:
            i = self.raw(6)
        v, rest = 1, i
        if lay.top is not None:
            rest -= min(i, 2)
            v = 1 << i - rest | self.tree(
                lay.top + (kind * 8 + min(i, 7)) * 3, i - rest)
        return (v << rest | self.raw(rest)) - 1

    def displacement(self):
        flag = self.lay.flag
        if not self.bit(flag):
            return self.d0
        if not self.bit(flag + 1):
            d = 2 * self.d0 - self.d1
        elif not self.bit(flag + 2):
            d = self.d1
        else:
            z = self.num(2)
            d = self.d0 - (z + 1) // 2 if z & 1 else self.d0 + z // 2
        self.d1 = self.d0
        self.d0 = d & M64
        return self.d0

    def distance(self):
        if self.bit(self.lay.flag + 3):
            self.dist = self.num(5) + 1
        return self.dist

    def operation(self):
        op = self.tree(self.lay.op + 7 * self.last_op, 3)
        need(op < 6, "unknown operation", 5)
        self.last_op = op
        return op

    def descriptor(self):
        self.type = self.raw(6)
        self.k1 = self.k2 = 0
        if self.type == CROSS and self.cls == 3:
            self.source, form = self.raw(4), self.raw(4)
            need(form < 10 and self.source < 13 and self.source != form + 3,
                 "unknown type", 5)
            self.form = 42 + form
            self.seen = None
            self.calm = 0
            self.set = self.raw(2)
            self.e0 = self.c0 = 15
            self.k0 = self.tz = 0
            return
        if self.type == MIXED and self.cls == 3:
            self.e0 = 128 * self.raw(1)
            n = self.raw(4)
            row = self.raw(n)
            self.elements.describe(self.e0, row, self.raw(n))
            self.seen = None
            self.calm = 0
            return
        if self.cls == 3:
            self.seen = None
        if self.type == SEEN and self.cls == 3:
            self.type = self.raw(6)
            need(self.type in SEEN_TYPES, "unknown type", 5)
            how = self.raw(2)
            need(how < 3, "unknown version", 5)
            self.seen = (self.next_listed, self.next_in_line,
                         self.next_in_grid)[how]
            n = self.raw(4)
            row = self.raw(n)
            self.listed.describe(row, self.raw(n))
        self.e0 = self.raw(11)
        self.set = self.raw(2)
        self.k0 = self.raw(5)
        self.c0 = self.raw(4)
        self.tz = self.raw(5)
        self.calm = self.raw(1) if self.cls == 3 else 0
        need(self.type in UNITS, "unknown type", 5)
        need(self.type < 42 or self.cls == 3, "blocks need class full", 5)

    def sets(self, floats):
        all_ = self.lay.floats if floats else self.lay.ints
        return all_[self.set if self.set < self.lay.sets else 0]

    # -- bytes of a LIT

    def literal(self, i, o):
        """The byte behind i others of its LIT, at o in the target."""
        if self.cls == 2:
            self.last = self.tree(self.lay.lit + (self.last >> 6) * 255, 8)
            return self.last
        h = self.ring.last4()
        b = self.lits.byte(self, [
            hash_(0, 0), hash_(h & 0xFF, 1), hash_(h & 0xFFFF, 2),
            hash_(h & 0xFFFFFF, 3), hash_(h, 4), hash_(min(i, 255), 5),
            hash_((o & 3) << 8 | h & 0xFF, 6), hash_(h >> 24, 7)],
            *self.match.next(h))
        self.ring.put(b)
        return b

    # -- classes and low bits

    def class_(self, s, c, first):
        j = self.tree(s.cls + (c >> s.gs) * ((1 << s.tb) - 1), s.tb)
        if j != (1 << s.tb) - 1:
            return j + first
        return self.raw(6) + 1

    def low(self, s, c, k, n):
        at = s.next + (((c >> s.ns) << s.kb) + min(k, (1 << s.kb) - 1)) * (
            (1 << s.nb) - 1)
        coded = min(n, s.nb)
        v = self.tree(at, coded)
        rest = n - coded
        return v << rest | self.raw(rest)

    # -- elements

    def residual(self, s, c, first, w):
        if not self.bit(s.zero + (c >> s.zs)):
            return 0
        k = self.class_(s, c, first)
        sign = self.raw(1)
        k = min(k, w)
        r = (1 << k - 1 | self.low(s, c, k, k - 1)) << self.tz
        return (-r if sign else r) & (1 << w) - 1

    def against(self, kind, b):
        """An element whose base's is b."""
        n, exponent = KINDS[kind]
        w = 8 * n
        if kind == "u4":
            lo = self.half(b & 15)
            return lo | self.half(b >> 4) << 4
        if kind == "r4":
            lo = self.predicted(b & 15, 4)
            return lo | self.predicted(b >> 4, 4) << 4
        if kind == "r8":
            return self.predicted(b, 8)
        s = self.sets(exponent > 0)
        first = self.k0 + 1
        if exponent:
            e = b >> (w - 1 - exponent) & (1 << exponent) - 1
            c = max(0, min(15, self.e0 - e))
            first += max(c - self.c0, 0)
        elif kind == "i8":
            c = (b - self.e0 + 128) >> 4 & 15
        else:
            negative = b >> (w - 1)
            v = b ^ (1 << w) - 1 if negative else b
            c = min(7, v.bit_length() // (w // 8)) + 8 * negative
        v = add(kind, b, self.residual(s, c, first, w))
        if kind == "f16":
            self.sb, self.st = b, v
        return v

    def half(self, b):
        r = self.residual(self.sets(False), b, self.k0 + 1, 4)
        return (b + r) & 15

    def predicted(self, b, w):
        p, c = self.predict(b, w)
        s = self.sets(False)
        if self.bit(s.zero + (c >> s.zs)):
            k = self.class_(s, c, 1)
            sign = self.bit(s.sign)
            if c < 8:
                sign ^= 1
            k = min(k, w)
            v = 1 << k - 1 | self.low(s, c, k, k - 1)
            p += -v if sign else v
        return (p + (8 if w == 4 else 0)) & (1 << w) - 1

    def alone(self, kind):
        if kind in ("u4", "r4"):
            lo = self.number_alone(4, 8)
            return lo | self.number_alone(4, 8) << 4
        n, exponent = KINDS[kind]
        if exponent:
            return self.float_alone(8 * n, exponent)
        if kind in ("i8", "r8"):
            s = self.sets(False)
            c = min(self.k1 + self.k2, 15)
            if s.exp is None:
                v = self.tree(self.lay.lit + (c >> 2) * 255, 8)
            else:
                v = self.tree(s.exp + (c >> s.es) * 255, 8)
            self.remember((256 - v if v > 127 else v).bit_length())
            return (v + self.e0) & 255
        return self.number_alone(8 * n, self.e0 if n == 1 else 0)

    def next_in_line(self, kind):
        line, row = self.listed.line, self.listed.row
        b = line[-row] if row and len(line) >= row else 0
        line.append(self.against(kind, b))
        return line[-1]

    def next_in_grid(self, kind):
        n, exponent = KINDS[kind]
        sign = exponent > 0
        tops = min(8, 8 * n - sign)
        rest = 8 * n - sign - tops
        g = self.listed
        top = g.top(self) & (1 << tops) - 1
        v = top << rest
        neg = low = 0
        if sign:
            neg = g.grid_sign(self, top)
            v |= neg << 8 * n - 1
        k = min(3, max(0, rest - self.tz))
        if k:
            rest -= k
            low = g.grid_low(self, top, k)
            v |= low << rest | self.raw(rest - self.tz) << self.tz
        g.grid_was(top, neg, low)
        return v

    def next_listed(self, kind):
        n, exponent = KINDS[kind]
        size = (1 << 8 * n - (exponent > 0)) - 1
        k = self.listed
        place = k.place(self)
        if place:
            v = k.values[place] if place < len(k.values) else 0
            if exponent:
                was = v > size
                sign = k.sign(self, place, was)
                v = v & size | (size + 1 if sign else 0)
                k.flip(sign != was)
            if place < len(k.values):
                k.values[place] = v
            k.came(place, False)
        else:
            v = self.alone(kind)
            k.came(k.join(v), True)
        return v

    def remember(self, k):
        self.k2 = self.k1
        self.k1 = min(k, 15)

    def number_alone(self, w, centre):
        s = self.sets(False)
        c = min(self.k1 + self.k2, 15)
        if not self.bit(s.zero + (c >> s.zs)):
            self.remember(0)
            return centre & (1 << w) - 1
        k = self.class_(s, c, self.k0 + 1)
        sign = self.bit(s.sign)
        k = min(k, w)
        v = (1 << k - 1 | self.low(s, c, k, k - 1)) << self.tz
        self.remember(k // 2 if w > 16 else k)
        return (centre + (-v if sign else v)) & (1 << w) - 1

    def float_alone(self, w, exponent):
        s = self.sets(True)
        c = min(self.k1 + self.k2, 15)
        if not self.bit(s.zero + (c >> s.zs)):
            self.remember(7)
            return 0
        n = min(exponent, 8)
        e = self.tree(s.exp + (c >> s.es) * 255, n)
        e = e << exponent - n | self.raw(exponent - n)
        k = self.e0 - e + 1
        k = k if e <= self.e0 and k < 15 else 15
        sign = self.bit(s.sign)
        mant = w - 1 - exponent
        v = 0
        if self.tz < mant:
            v = self.low(s, c, k, mant - self.tz) << self.tz
        self.remember(k)
        return sign << w - 1 | e << mant | v


class Descriptor:
    def __init__(self, top, group):
        self.type = self.h = self.s = self.tz = 0
        self.top, self.group = top, group


class Nano(Coder):
    """Coder 2."""

    OP, FLAG, NUM, ZERO, STEP, NEXT, SIGN = 0, 7, 10, 34, 50, 82, 130
    cls = 1

    def __init__(self):
        self.reset()

    def reset(self):
        self.f = [0x8000] * 131
        self.disp = self.moved = self.dist = 0
        self.d = [Descriptor([1] * 16, [0] * 16),
                  Descriptor([8] * 16, [c // 4 for c in range(16)])]
        self.k1 = self.k2 = 0
        self.sb = self.st = 0
        self.zero = 0

    def bit(self, i):
        f = self.f
        b = self.split(f[i])
        f[i] += -(f[i] >> 5) if b else 0xFFFF - f[i] >> 5
        return b

    def num(self, kind):
        i = 0
        while i < 63 and self.bit(self.NUM + 8 * kind + min(i, 7)):
            i += 1
        return (1 << i) + self.raw(i) - 1

    def operation(self):
        op = self.tree(self.OP, 3)
        need(op < 6, "unknown operation", 5)
        return op

    def count(self, op):
        n = self.num(1 if op in (1, 3) else 0) + 1
        if op < 3:
            return n, 0
        type_ = self.d[op - 3].type
        if type_ in CASTS_OF_NANO:
            type_ = CASTS_OF_NANO[type_][self.d[0].cast[1]]
        self.own = op - 3
        self.float = KINDS[UNITS[type_][0]][1] > 0
        return n, type_

    def descriptor(self):
        d = Descriptor([], [])
        which = self.raw(1)
        d.type = self.raw(6)
        if d.type in CASTS_OF_NANO:
            v = self.raw(4)
            d.cast = v & 3, v >> 2
            need(which == 0 and v & 3 < 3 and
                 v >> 2 < len(CASTS_OF_NANO[d.type]), "unknown cast", 5)
        else:
            need(d.type < 42, "unknown type", 5)
        d.s, d.tz, d.h = (self.raw(n) for n in (6, 5, 12))
        d.h -= d.h >> 11 << 12
        top, group = 1, 0
        for _ in range(16):
            how = self.raw(2)
            top = self.raw(6) + 1 if how == 3 else top + how - 1
            top = (top - 1) % 64 + 1
            if self.raw(1):
                group = self.raw(2)
            d.top.append(top)
            d.group.append(group)
        self.d[which] = d

    def literal(self, i, o):
        need(self.at < len(self.p), "a literal that is not there")
        return self.byte()

    def displacement(self):
        if self.bit(self.FLAG):
            if self.bit(self.FLAG + 2):
                z = self.num(2)
                self.moved = -(z + 1) // 2 if z & 1 else z // 2
            self.disp = self.disp + self.moved & M64
        return self.disp

    def casts(self, t, n, at):
        """The bytes that a DIFF is against, where they are cast."""
        d = self.d[0]
        if d.type not in CASTS_OF_NANO:
            return None
        need(not t.page, "a cast in place")
        frm, to = d.cast
        width = FLOATS[frm][0]
        n *= 32 if d.type == 54 else 1
        scale = None
        if d.type == 55:
            bits = self.raw(32)
            if self.raw(1):
                self.zero = self.raw(10)
                self.zero -= self.zero >> 9 << 10
            scale = number(*value(bits, 4, 8))
        need(at <= len(t.base) and n * width <= len(t.base) - at,
             "leaves the base")
        xs = []
        for i in range(at, at + n * width, width):
            sign, x, m, mant = value(int.from_bytes(
                t.base[i:i + width], "little"), *FLOATS[frm])
            xs.append((sign, x, m, mant))
        if d.type == 53:
            return cast_floats(xs, to)
        if d.type == 54:
            return b"".join(quant_block([number(*x) for x in xs[i:i + 32]],
                                        4 + to)
                            for i in range(0, n, 32))
        return bytes(code(number(*x), scale, self.zero, to == 0)
                     for x in xs)

    def distance(self):
        if self.bit(self.FLAG + 1):
            self.dist = self.num(2) + 1
        return self.dist

    def value(self, d, c, signed=None):
        """A value, its sign and the steps; signed: where a modelled sign
        must be inverted, or not."""
        if not self.bit(self.ZERO + c):
            return 0, 0, d.top[c]
        k, q, group = d.top[c], 0, d.group[c]
        while k > 1 and self.bit(self.STEP + 8 * group + min(q, 7)):
            q += 1
            k -= 1
        n = min(k - 1, 2)
        v = 1 << n | self.tree(self.NEXT + 12 * group + 3 * min(q, 3), n)
        if signed is None:
            sign = self.raw(1)
        else:
            sign = self.bit(self.SIGN) ^ signed
        rest = k - 1 - n
        return v << rest | self.raw(rest), sign, q

    def element(self, kind, w, b):
        exponent = KINDS[kind][1]
        own = self.own if (exponent > 0) == self.float else 1 - self.own
        d = self.d[own]
        if b is None:
            c = min(self.k1 + self.k2, 15)
            v, sign, k = self.value(d, c)
            self.k2, self.k1 = self.k1, k
            v <<= d.tz
            at = d.h << d.s
            if not exponent:
                return (at - v if sign else at + v) & (1 << w) - 1
            if not v & (1 << w) - 1:
                return 0
            return sign << w - 1 | at - v & (1 << w - 1) - 1
        if kind in ("r4", "r8"):
            p, c = self.predict(b, w)
            v, sign, _ = self.value(d, c, c < 8)
            v = p - v if sign else p + v
            return (v + (8 if w == 4 else 0)) & (1 << w) - 1
        if exponent:
            c = d.h - ((2 * b & (1 << w) - 1) >> d.s)
        else:
            c = d.h - ((b ^ 1 << w - 1) - (1 << w - 1) >> d.s)
        v, sign, _ = self.value(d, c if 0 <= c <= 15 else 15)
        v <<= d.tz
        r = (-v if sign else v) & (1 << w) - 1
        if w == 4:
            return (b + r) & 15
        v = add(kind, b, r)
        if kind == "f16":
            self.sb, self.st = b, v
        return v

    def against(self, kind, b):
        if kind in ("u4", "r4"):
            lo = self.element(kind, 4, b & 15)
            return lo | self.element(kind, 4, b >> 4) << 4
        return self.element(kind, 8 * KINDS[kind][0], b)

    def alone(self, kind):
        if kind in ("u4", "r4"):
            lo = self.element(kind, 4, None)
            return lo | self.element(kind, 4, None) << 4
        return self.element(kind, 8 * KINDS[kind][0], None)


# ===== mixing ==============================================================


def hash_(a, b):
    x = a * 0x9E3779B1 & M32 ^ (b + 1) * 0x85EBCA6B & M32
    x ^= x >> 15
    x = x * 0x2C1B3C6D & M32
    return x ^ x >> 12


class Ring:
    """The last bytes that range-coded records made."""

    SIZE = 1 << 18

    def __init__(self):
        self.n = 0
        self.b = bytearray(self.SIZE)

    def at(self, place):
        return self.b[place % self.SIZE]

    def put(self, byte):
        self.b[self.n % self.SIZE] = byte
        self.n = self.n + 1 & M32

    def again(self, n, dist):
        if dist > self.SIZE:
            self.zeros(n)
            return
        for _ in range(n):
            self.put(self.at(self.n - dist))

    def zeros(self, n):
        for _ in range(min(n, self.SIZE)):
            self.put(0)
        self.n = self.n + max(n - self.SIZE, 0) & M32

    def last4(self):
        return sum(self.at(self.n - 1 - i) << 8 * i for i in range(4))


class Match:
    """Which byte may come next."""

    def __init__(self, ring):
        self.ring = ring
        self.f = self.l = 0
        self.places = [0] * (1 << 14)

    def next(self, h):
        """The byte that is expected, or None, and the length."""
        ring = self.ring
        if self.l and ring.at(self.f) == ring.at(ring.n - 1):
            self.f = self.f + 1 & M32
            self.l = min(self.l + 1, 31)
        else:
            self.l = 0
        s = hash_(h, 99) >> 18
        if not self.l and self.places[s]:
            self.f = self.places[s]
            n = 0
            while n < 31 and ring.at(self.f - 1 - n) == ring.at(
                    ring.n - 1 - n):
                n += 1
            far = (ring.n - self.f & M32) >= (1 << 18) - 32
            self.l = 0 if n < 3 or far else n
        self.places[s] = ring.n
        return ring.at(self.f) if self.l else None, self.l


class Slots:
    def __init__(self):
        self.p = [1 << 21] * (1 << 19)
        self.count = bytearray(1 << 19)


SLOT_RATE = [131072 // (2 * c + 3) for c in range(256)]


class Mixer:
    def __init__(self, slots, rate, most):
        self.slots, self.rate, self.most = slots, rate, most
        self.bit = [[9800] * 16 for _ in range(32)]
        self.tree = [[9800] * 16 for _ in range(256)]
        self.match = [49152] * 32
        self.came = [[16 * squash((j - 16) * 128) for j in range(33)]
                     for _ in range(256)]

    def byte(self, coder, contexts, expected, length, bits=8):
        p, count = self.slots.p, self.slots.count
        match, big = self.match, (1 << 20) - 64
        m = 1
        for k in range(8):
            if k < 8 - bits:
                if k % 4 == 0:
                    lines = [hash_(c, m) >> 17 << 4 for c in contexts]
                m *= 2
                continue
            if k % 4 == 0:
                lines = [hash_(c, m) >> 17 << 4 for c in contexts]
            j = 1 << k % 4
            j |= m & j - 1
            used = [line + j for line in lines]
            # the inputs that are not 0, and their numbers
            inputs = [(i, STRETCH[p[s] >> 10])
                      for i, s in enumerate(used) if count[s]]
            q = 0
            if expected is not None and (expected | 256) >> 8 - k != m:
                expected = None
            if expected is not None:
                want = expected >> 7 - k & 1
                v = STRETCH[match[length] >> 4]
                inputs.append((12, v if want else -v))
                q = 3 if length > 15 else 2 if length > 7 else 1
            inputs.append((13, 80))
            w0, w1 = self.bit[8 * q + k], self.tree[m]
            d = sum((w0[i] + w1[i] >> 6) * v for i, v in inputs) >> 11
            d = max(-2047, min(2047, d))
            s = squash(d)
            came, at, w = self.came[m], d + 2048 >> 7, d + 2048 & 127
            y = came[at] * (128 - w) + came[at + 1] * w >> 7
            x = max(16, min(65520, (32 * s + y) // 3))
            b = coder.split(65536 - x)
            err = ((4095 if b else 0) - s) * self.rate
            for i, v in inputs:
                v = v * err + 32768 >> 16
                w0[i] = max(-big, min(big, w0[i] + v))
                w1[i] = max(-big, min(big, w1[i] + v))
            to = (1 << 22) - 1 if b else 0
            for i in used:
                c = count[i]
                v = p[i] + (((to - p[i]) >> 7) * SLOT_RATE[c] >> 9)
                p[i] = max(0, v)
                if c < self.most:
                    count[i] = c + 1
            if expected is not None:
                v = match[length]
                match[length] += 65535 - v >> 6 if b == want else -(v >> 6)
            at += w >= 64
            came[at] += 65535 - came[at] >> 6 if b else -(came[at] >> 6)
            m = 2 * m + b
        return m - 256


def size_of(v):
    return 256 - v if v > 127 else v


def level_of(x):
    y = x + 256
    k = y.bit_length() - 1
    return (k - 8) * 4 + (y >> k - 2 & 3)


class Elements:
    """Type 52, and what its contexts are made of."""

    def __init__(self, mixer):
        self.mixer = mixer
        self.based = True
        self.describe(0, 0, 0)

    def describe(self, e0, row, first):
        self.e0, self.row, self.first = e0, row if row <= 8191 else 0, first
        self.forget()

    def forget(self):
        self.v = [0] * 4
        self.near = 0
        self.up = [0] * self.row
        self.mean = [0] * self.row

    def begin(self, based, o):
        if based != self.based:
            self.forget()
        self.based = based
        if self.row:
            self.column = (o + self.first) % self.row

    def next(self, coder, o, base):
        v1, v2, v3, v4 = self.v
        z = size_of(v1).bit_length() * 9 + size_of(v2).bit_length()
        near, t = level_of(self.near), 0 if self.row else 50
        if self.row:
            up = self.up[self.column]
            mean = level_of(self.mean[self.column])
        if base is None:
            contexts = [hash_(0, t), hash_(z, t + 1), hash_(v1, t + 2),
                        hash_(near, t + 3)]
            if self.row:
                contexts += [hash_(mean, 4), hash_(mean << 8 | near, 5),
                             hash_(up, 6), hash_(self.column, 7)]
            else:
                contexts += [hash_(v4, 54), hash_((o & 3) << 8 | v1, 55),
                             hash_(v2 << 8 | v1, 56)]
        else:
            b = base - self.e0 & 255
            c = b + 128 >> 4 & 15
            contexts = [
                hash_(0, 100 + t), hash_(z, 101 + t), hash_(c, 102 + t),
                hash_(b, 103 + t), hash_((o & 3) << 8 | v4, 104 + t),
                hash_(b << 8 | v1, 105 + t), hash_(near << 4 | c, 106 + t),
                hash_(near << 4 | size_of(b).bit_length(), 107 + t)]
            if self.row:
                contexts += [hash_(mean << 4 | c, 108),
                             hash_(self.column, 109)]
            else:
                contexts += [hash_(b << 8 | v4, 158),
                             hash_((o & 3) << 8 | v3, 159)]
        v = self.mixer.byte(coder, contexts, None, 0)
        s = 256 * size_of(v)
        self.near += s - self.near >> 3
        if self.row:
            i = self.column
            self.mean[i] += s - self.mean[i] >> 2
            self.up[i] = v
            self.column = (i + 1) % self.row
        self.v = [v, v1, v2, v3]
        return v + (self.e0 if base is None else base) & 255


class Trail:
    """What stood beside places when they came before."""

    def __init__(self, sides):
        self.next, self.back = sides  # of each place, shared by the columns
        self.last = self.after = self.before = self.sure = self.flips = 0
        self.mirror = False

    def expects(self):
        return self.before if self.mirror else self.after

    def come(self, v, new):
        r = 0 if new else v
        if self.expects() == r:
            self.sure = min(self.sure + 1, 31)
        else:
            self.sure = 0
            if r and self.before == r:
                self.mirror = True
            elif self.after == r:
                self.mirror = False
        if new:
            self.next[v] = self.back[v] = 0
        self.after, self.before = self.next.get(v, 0), self.back.get(v, 0)
        self.next[self.last] = v
        self.back[v] = self.last
        self.last = v


class List:
    """Elements by those before: places in a list, and how they are told."""

    MOST = 32767

    def __init__(self, low, rest):
        self.low, self.rest = low, rest
        self.describe(0, 0)

    def describe(self, row, first):
        self.row, self.first = row if row <= 8191 else 0, first
        self.values = [0]  # of a list: nothing is at place 0
        self.line = []
        self.next = 1
        self.p = [0] * 4
        self.column = 0
        self.along = Trail(({}, {}))
        sides = {}, {}
        self.down = [Trail(sides) for _ in range(self.row)]
        # of a grid: for each column u, uu, us, ul and mean
        self.above = [(0, 0, 0, 0, 0)] * max(1, self.row)
        self.a1 = self.a2 = self.sn = self.near = 0

    def begin(self, o, w):
        self.column = (o // w + self.first) % self.row if self.row else 0

    def top(self, coder):
        u, uu, _, _, mean = self.above[self.column]
        n, m, x = self.near >> 8, mean >> 8, self.column
        c = [0, self.a1, self.a2 << 8 | self.a1, u, u << 8 | self.a1,
             uu << 8 | u, x, x << 8 | u, n, n << 8 | m, m << 8 | u]
        return self.low.byte(coder, [hash_(v, 280 + i)
                                     for i, v in enumerate(c)], None, 0)

    def grid_sign(self, coder, top):
        u, _, us, _, _ = self.above[self.column]
        c = [us, us << 1 | self.sn, self.column << 1 | us,
             top << 9 | u << 1 | us]
        return self.rest.byte(coder, [hash_(v, 300 + i)
                                      for i, v in enumerate(c)], None, 0, 1)

    def grid_low(self, coder, top, bits):
        u, _, _, ul, _ = self.above[self.column]
        c = [top, top << 16 | u << 8 | ul, self.column << 8 | top]
        return self.rest.byte(coder, [hash_(v, 310 + i) for i, v in
                                      enumerate(c)], None, 0, bits)

    def grid_was(self, top, sign, low):
        u, _, _, _, mean = self.above[self.column]
        mean += 256 * top - mean >> 2
        self.above[self.column] = top, u, sign, low, mean
        self.near += 256 * top - self.near >> 3
        self.a1, self.a2, self.sn = top, self.a1, sign
        if self.row:
            self.column = (self.column + 1) % self.row

    def place(self, coder):
        p1, p2, p3, p4 = self.p
        c = [0, p1, p2 << 16 | p1]
        c.append(hash_(c[2], p3))
        c.append(hash_(c[3], p4))
        c.append(p2)
        x, self.length = self.along.expects(), self.along.sure
        c.append(x << 5 | self.length)
        if self.row:
            t = self.down[self.column]
            f = t.expects()
            c += [f << 5 | t.sure, x << 16 | f, t.last, t.last << 16 | p1,
                  self.column]
            if t.sure > self.length:
                x, self.length = f, t.sure
        self.contexts = c
        bits = (len(self.values) - 1).bit_length()
        h = 0
        if bits > 8:
            h = self.rest.byte(coder, [hash_(y, 200 + i) for i, y in
                                       enumerate(c)], x >> 8, self.length,
                               bits - 8)
        v = self.low.byte(coder, [hash_(y ^ hash_(h, 251), 220 + i)
                                  for i, y in enumerate(c)],
                          x & 255 if x >> 8 == h else None, self.length,
                          min(bits, 8))
        return h << 8 | v

    def sign(self, coder, place, was):
        f = self.along.flips
        c = [hash_(x ^ hash_(place, 252), 240 + i)
             for i, x in enumerate(self.contexts[:3])]
        c += [hash_((f & 255) << 1 | was, 260),
              hash_(place << 3 | (f & 3) << 1 | was, 261)]
        if self.row:
            g = self.down[self.column].flips
            c += [hash_((g & 255) << 1 | was, 262),
                  hash_((f & 15) << 5 | (g & 15) << 1 | was, 263),
                  hash_(place << 5 | (g & 3) << 3 | (f & 3) << 1 | was, 264)]
        return self.rest.byte(coder, c, None, self.length, 1)

    def flip(self, changed):
        for t in [self.along] + self.down[self.column:self.column + 1]:
            t.flips = (t.flips << 1 | changed) & 0xFFFF

    def join(self, v):
        """The place that it gets."""
        place = self.next
        if len(self.values) <= self.MOST:
            self.values.append(v)
        else:
            self.values[place] = v
        self.next = place % self.MOST + 1
        return place

    def came(self, place, new):
        at = place if place < len(self.values) else 0
        self.along.come(at, new)
        self.p = [0 if new else place] + self.p[:3]
        if self.row:
            self.down[self.column].come(at, new)
            self.column = (self.column + 1) % self.row


# ===== blocks ==============================================================

# type: runs, codes in a run, their bits and zero, bits and zero of a scale,
# bits of a minimum, sign of the second f16
BLOCKS = {
    42: (8, 32, 4, 0, 6, 0, 6, -1), 43: (8, 32, 5, 0, 6, 0, 6, -1),
    44: (16, 16, 6, 32, 8, 128, 0, 0), 45: (16, 16, 3, 4, 6, 32, 0, 0),
    46: (16, 16, 2, 0, 4, 0, 4, -1), 47: (1, 32, 4, 0, 0, 0, 0, 1),
    48: (1, 32, 5, 16, 0, 0, 0, 0), 49: (1, 32, 5, 0, 0, 0, 0, 1),
    50: (1, 32, 4, 8, 0, 0, 0, 0), 51: (1, 32, 8, 128, 0, 0, 0, 0),
}


def places(type_):
    """Where the bits of a block's numbers lie: the offsets of d and m, and of
    scales, minima and codes a list of (byte, shift, bits) pieces each, the
    lowest first. As ggml-common.h and its dequantize functions have them."""
    if type_ in (50, 47, 48, 49):
        two = type_ in (47, 49)
        high = 4 if two else 2
        at = high + (4 if type_ in (48, 49) else 0)
        codes = []
        for i in range(32):
            c = [(at + i % 16, 4 * (i // 16), 4)]
            if type_ in (48, 49):
                c.append((high + i // 8, i % 8, 1))
            codes.append(c)
        return 0, 2 if two else None, [], [], codes
    if type_ == 51:
        return 0, None, [], [], [[(2 + i, 0, 8)] for i in range(32)]
    if type_ == 46:
        codes = [[(16 + 32 * (i // 128) + i % 32, 2 * (i % 128 // 32), 2)]
                 for i in range(256)]
        return (80, 82, [[(i, 0, 4)] for i in range(16)],
                [[(i, 4, 4)] for i in range(16)], codes)
    if type_ == 45:
        codes = [[(32 + 32 * (i // 128) + i % 32, 2 * (i % 128 // 32), 2),
                  (i % 32, i // 32, 1)] for i in range(256)]
        scales = [[(96 + i % 8, 4 * (i // 8), 4),
                   (104 + i % 4, 2 * (i // 4), 2)] for i in range(16)]
        return 108, None, scales, [], codes
    if type_ in (42, 43):
        scales, minima = [], []
        for j in range(8):
            if j < 4:
                scales.append([(4 + j, 0, 6)])
                minima.append([(8 + j, 0, 6)])
            else:
                scales.append([(8 + j, 0, 4), (j, 6, 2)])
                minima.append([(8 + j, 4, 4), (4 + j, 6, 2)])
        at = 16 if type_ == 42 else 48
        codes = []
        for i in range(256):
            c = [(at + 32 * (i // 64) + i % 32, 4 * (i % 64 // 32), 4)]
            if type_ == 43:
                c.append((16 + i % 32, i // 32, 1))
            codes.append(c)
        return 0, 2, scales, minima, codes
    codes = []
    for i in range(256):
        n, j, l = i // 128, i % 128 // 32, i % 32
        codes.append([(64 * n + l + 32 * (j & 1), 4 * (j // 2), 4),
                      (128 + 32 * n + l, 2 * j, 2)])
    return 208, None, [[(192 + i, 0, 8)] for i in range(16)], [], codes


PLACES = {t: places(t) for t in BLOCKS}


def get_bits(block, pieces):
    v = done = 0
    for byte, shift, bits in pieces:
        v |= (block[byte] >> shift & (1 << bits) - 1) << done
        done += bits
    return v


def put_bits(block, pieces, v):
    for byte, shift, bits in pieces:
        block[byte] |= (v & (1 << bits) - 1) << shift
        v >>= bits


def signed_at(type_, what):
    """Numbers that are signed bytes, whose highest bit is inverted."""
    return 0x80 if (type_, what) in ((44, "scale"), (51, "code")) else 0


class Numbers:
    """The numbers of a block."""

    def __init__(self, type_, block):
        d, m, scales, minima, codes = PLACES[type_]
        self.d = int.from_bytes(block[d:d + 2], "little")
        self.m = 0 if m is None else int.from_bytes(block[m:m + 2], "little")
        self.scales = [get_bits(block, p) ^ signed_at(type_, "scale")
                       for p in scales]
        self.minima = [get_bits(block, p) for p in minima]
        self.codes = [get_bits(block, p) ^ signed_at(type_, "code")
                      for p in codes]

    def block(self, type_):
        out = bytearray(UNIT_LEN[type_])
        d, m, scales, minima, codes = PLACES[type_]
        out[d:d + 2] = self.d.to_bytes(2, "little")
        if m is not None:
            out[m:m + 2] = self.m.to_bytes(2, "little")
        for p, v in zip(scales, self.scales):
            put_bits(out, p, v ^ signed_at(type_, "scale"))
        for p, v in zip(minima, self.minima):
            put_bits(out, p, v)
        for p, v in zip(codes, self.codes):
            put_bits(out, p, v ^ signed_at(type_, "code"))
        return out


def big_f(x):
    """An f16 times 2^24."""
    e, m = x >> 10 & 31, x & 1023
    v = m if e == 0 else (1024 + m) << e - 1
    return -v if x >> 15 else v


def quotient(a, b):
    q = abs(a) // abs(b)
    return -q if (a < 0) != (b < 0) else q


def limit(v, bits):
    return max(-(1 << bits), min(1 << bits, v))


def line(num_b, num_t, shift, zero):
    """by and at."""
    if num_t == 0:
        return 4096, 0
    by = limit(quotient(num_b * 4096, num_t), 24)
    at = limit(quotient(shift * 4096, num_t), 40)
    return by, at + (4096 - by) * zero


class BlockReader:
    def __init__(self, model, type_):
        self.m = model
        self.type = type_
        (self.runs, self.per, self.bits, self.zero, self.sbits, self.szero,
         self.mbits, self.sign) = BLOCKS[type_]
        self.table = model.lay.block + (306 * 66 if self.bits > 4 else 0)
        self.trees = model.lay.trees
        for t in range(42, type_):
            _, _, bits, _, sbits, _, mbits, _ = BLOCKS[t]
            self.trees += sum(n * ((1 << b) - 1) for n, b in (
                (24, bits), (4, sbits), (4, mbits)))

    def near(self, by, at, b, bits):
        """The prediction, whether it is low, and how near a border."""
        x = at + by * b + 2048
        top = (1 << bits) - 1
        if x < 0:
            p, c = 0, 8
        elif x // 4096 > top:
            p, c = top, 8
        else:
            p, c = x // 4096, x >> 8 & 15
        return p, c < 8, 8 - c if c < 8 else c - 8

    def number(self, row, p, low, bits):
        m = self.m
        at = self.table + row * 66
        if not m.bit(at):
            return p, 0
        below = m.bit(at + 1)
        if low:
            below ^= 1
        k = 1
        while k < bits and m.bit(at + 1 + k):
            k += 1
        n = min(k - 1, 3)
        off = 1 << n | m.tree(at + 10 + 7 * (k - 1), n)
        rest = k - 1 - n
        off = off << rest | m.raw(rest)
        return (p - off if below else p + off) & (1 << bits) - 1, off

    def level(self):
        for i, top in enumerate((1, 4, 16, 32, 48, 72, 112)):
            if self.m.avg < top:
                return i
        return 7

    def weight(self, n, run):
        """S and A of a run."""
        s = big_f(n.d)
        if self.sbits:
            s *= n.scales[run] - self.szero
        a = big_f(n.m) * self.sign
        if self.mbits:
            a *= n.minima[run]
        return s, a

    def read(self, base):
        b = Numbers(self.type, base) if base is not None else None
        n = Numbers(self.type, bytes(UNIT_LEN[self.type]))
        m = self.m
        n.d = m.against("f16", b.d) if b else m.alone("f16")
        if self.sign:
            n.m = m.against("f16", b.m) if b else m.alone("f16")
        if not b:
            return self.alone_all(n)
        if self.sbits:
            self.small(n.scales, b.scales, b.d, n.d,
                       self.sbits, self.szero, 288)
        if self.mbits:
            self.small(n.minima, b.minima, b.m, n.m,
                       self.mbits, 0, 289)
        for run in range(self.runs):
            sb, ab = self.weight(b, run)
            st, at_ = self.weight(n, run)
            by, at = line(sb, st, ab - at_, self.zero)
            for i in range(run * self.per, (run + 1) * self.per):
                p, low, near = self.near(by, at, b.codes[i], self.bits)
                low_end, high = self.bits == 8, (1 << self.bits) - 1
                place = (0 if p <= low_end else 1 if p == high else
                         2 if b.codes[i] <= low_end or
                         b.codes[i] == high else 3)
                if place == 0 and low or place == 1 and not low:
                    near, low = 0, False
                row = (near * 4 + place) * 8 + self.level()
                n.codes[i], off = self.number(row, p, low, self.bits)
                m.avg += 2 * off - (m.avg >> 3)
        return n.block(self.type)

    def alone(self, out, bits, at, codes):
        """A run of numbers without a base."""
        ends = 0
        for i in range(len(out)):
            c = ends * 6 + (len(out) - i).bit_length() - 1 if codes else ends
            out[i] = v = self.m.tree(at + c * ((1 << bits) - 1), bits)
            ends |= (v <= (codes and bits > 5)) | (v == (1 << bits) - 1) << 1
        return at + (24 if codes else 4) * ((1 << bits) - 1)

    def alone_all(self, n):
        scales = self.trees + 24 * ((1 << self.bits) - 1)
        minima = self.alone(n.scales, self.sbits, scales, False)
        self.alone(n.minima, self.mbits, minima, False)
        for i in range(0, self.runs * self.per, self.per):
            run = n.codes[i:i + self.per]
            self.alone(run, self.bits, self.trees, True)
            n.codes[i:i + self.per] = run
        return n.block(self.type)

    def small(self, out, base, fb, ft, bits, zero, row):
        for run in range(self.runs):
            by, at = line(big_f(fb), big_f(ft), 0, zero)
            p, low, near = self.near(by, at, base[run], bits)
            out[run], _ = self.number(row + near * 2, p, low, bits)


# ===== records =============================================================


class Target:
    """What is made, and the base that it is made of."""

    def __init__(self, base, size, window, page, lead):
        self.base, self.size, self.window = base, size, window
        self.page, self.lead = page, lead
        self.out = bytearray()

    def reach(self, n, at):
        """n bytes of the base from at on are there for the next n."""
        need(at <= len(self.base) and n <= len(self.base) - at,
             "leaves the base")
        if self.page:
            t = len(self.out)
            across = t % self.page + n > self.page
            need(at + self.lead >= (t if across else t - t % self.page),
                 "no longer there")

    def copy(self, n, at):
        self.reach(n, at)
        self.out += self.base[at:at + n]

    def again(self, n, dist):
        need(0 < dist <= len(self.out) and dist <= self.window,
             "wrong distance")
        for _ in range(n):
            self.out.append(self.out[-dist])

    def units(self, type_, n, at, element, cast=None):
        """n units; at: of the base, or None; element(kind, base's). With a
        cast, that is the base."""
        kinds, how = UNITS[type_], order(type_)
        base = self.base if cast is None else cast
        if cast is not None:
            at = 0
        elif at is not None:
            self.reach(n * UNIT_LEN[type_], at)
        for _ in range(n):
            for k in kinds:
                w = KINDS[k][0]
                b = None
                if at is not None:
                    b = int.from_bytes(base[at:at + w], how)
                    at += w
                self.out += element(k, b).to_bytes(w, how)


def plain(t, payload, end):
    src = Bytes(payload)
    while len(t.out) < end:
        op = src.u8()
        need(op < 5, "unknown operation")
        type_ = src.u8() if op > 2 else 0
        need(type_ in UNITS, "unknown type", 5)
        n = src.varint()
        arg = src.varint() if op in (1, 2, 3) else 0
        unit = UNIT_LEN[type_]
        need(0 < n and n * unit <= end - len(t.out), "wrong length")
        if op == 0 or op == 4:
            t.out += src.take(n * unit)
        elif op == 1:
            t.copy(n, arg)
        elif op == 2:
            t.again(n, arg)
        else:
            t.units(type_, n, arg, lambda k, b: add(
                k, b, src.number(KINDS[k][0])))
    need(src.at == src.end, "payload not used up")


def ranged(t, model, payload, end):
    model.start(payload)
    while len(t.out) < end:
        op = model.operation()
        left = end - len(t.out)
        if op == 5:
            model.descriptor()
            # what makes nothing costs nothing: there is an end to it
            need(model.at < len(payload) + (1 << 16), "no end")
            continue
        n, type_ = model.count(op)
        if type_ == CROSS:
            need(op == 3 and not t.page, "not what this type is for")
            at = None
            cross(t, model, n, left)
            continue
        unit = UNIT_LEN[type_]
        need(n * unit <= left, "wrong length")
        start = len(t.out)
        dist = 0
        if op == 0:
            for i in range(n):
                t.out.append(model.literal(i, start + i))
            continue
        if op == 1:
            t.copy(n, (model.displacement() + start) & M64)
        elif op == 2:
            dist = model.distance()
            t.again(n, dist)
        else:
            at = None
            if op == 3:
                at = (model.displacement() + start) & M64
            if type_ == MIXED:
                mixed(t, model, n, at)
                continue
            if type_ in BLOCKS:
                blocks(t, model, n, at)
            elif op == 3:
                cast = model.casts(t, n, at) if model.cls == 1 else None
                t.units(type_, n, at, model.against, cast)
            elif model.cls == 3 and model.seen:
                model.listed.begin(start, unit)
                t.units(type_, n, None, lambda k, b: model.seen(k))
            else:
                t.units(type_, n, None, lambda k, b: model.alone(k))
        if model.cls == 3 and dist:
            model.ring.again(n, dist)
        elif model.cls == 3:
            model.ring.zeros(n * unit)
    need(model.at >= len(payload), "payload not used up")


def mixed(t, model, n, at):
    if at is not None:
        t.reach(n, at)
    model.elements.begin(at is not None, len(t.out))
    for i in range(n):
        v = model.elements.next(model, len(t.out),
                                None if at is None else t.base[at + i])
        t.out.append(v)
        model.ring.put(v)


def blocks(t, model, n, at):
    r = BlockReader(model, model.type)
    unit = UNIT_LEN[model.type]
    if at is not None:
        t.reach(n * unit, at)
    for _ in range(n):
        b = None
        if at is not None:
            b = t.base[at:at + unit]
            at += unit
        t.out += r.read(b)


class CrossReader(BlockReader):
    """Blocks from weights of another type."""

    FITTED = {42: (15, -10, 20), 43: (31, -5, 15), 46: (3, -5, 15)}

    def floats(self, block, source):
        """The weights of a block of the base, as (sign, rational)."""
        b = CrossReader(self.m, source)
        n = Numbers(source, block)
        out = []
        for i in range(b.runs * b.per):
            s, a = b.weight(n, i // b.per)
            x = r24((s * (n.codes[i] - b.zero) + a) * Fraction(1, 1 << 24))
            out.append((x < 0, x))
        return out

    def runs_of(self, xs):
        self.k, self.x, self.fits, self.best = [], [], [], []
        for run in range(self.runs):
            part = [x for _, x in xs[run * self.per:(run + 1) * self.per]]
            top = max(abs(x) for x in part)
            k = 0
            if top:
                while top * Fraction(2) ** -k < 1 << 19:
                    k -= 1
                while top * Fraction(2) ** -k >= 1 << 20:
                    k += 1
            v = [nearest(x * Fraction(2) ** -k) for x in part]
            self.k.append(k)
            self.x.append(v)
            best, fits = 0, []
            if self.type in self.FITTED:
                best, fits = self.with_minimum(v, *self.FITTED[self.type])
            elif self.type in (44, 45):
                fits = [(self.of_peak(v), 0)]
            self.best.append(best)
            self.fits.append([(limit(s, 30), limit(m, 30)) for s, m in fits])

    def with_minimum(self, v, top, first, last):
        two = self.type == 46
        lo = min(v + [0])
        r = max(v) - lo
        if r == 0:
            return 0, [(0, 256 * lo)]
        mean = math.isqrt(sum(x * x for x in v) // len(v))
        w = [abs(x) >> 9 if two else abs(x) + mean >> 10 for x in v]
        a, b = sum(w), sum(i * x for i, x in zip(w, v))
        fits, errors = [], []
        for t in range(-1, last + 1):
            rate = (10 * top + (first + t if t >= 0 else 0) << 40) // (10 * r)
            ls = [min(top, ((x - lo) * rate + (1 << 39)) >> 40) for x in v]
            c = sum(i * q for i, q in zip(w, ls))
            d = sum(i * q * q for i, q in zip(w, ls))
            e = sum(i * q * x for i, q, x in zip(w, ls, v))
            s, m = 256 * r // top, 256 * lo
            if t >= 0:
                det = a * d - c * c
                if det <= 0:
                    continue
                least = d * b - c * e
                if least > 0:
                    s, m = quotient(256 * e, d), 0
                else:
                    s = quotient(256 * (a * e - b * c), det)
                    m = quotient(256 * least, det)
            z = [limit(quotient(s * q + m - 256 * x, 16), 22)
                 for q, x in zip(ls, v)]
            fits.append((s, m))
            errors.append(sum(i * (abs(j) if two else j * j)
                              for i, j in zip(w, z)))
        return errors.index(min(errors)), fits

    def of_peak(self, v):
        """The scale of a run that has no minimum."""
        peak = max(v, key=abs)
        if peak == 0:
            return 0
        w = [x * x >> 27 for x in v]

        def codes(rate, top):
            return [max(-top, min(top - 1, x * rate + (1 << 39) >> 40))
                    for x in v]

        def sums(ls):
            return (sum(i * x * q for i, x, q in zip(w, v, ls)),
                    sum(i * q * q for i, q in zip(w, ls)))

        def score(e, d):
            return quotient(e, 4096) ** 2 // d if d > 0 else 0

        if self.type == 44:
            most, scale = -1, 0
            for t in [0] + list(range(-9, 0)) + list(range(1, 10)):
                e, d = sums(codes(quotient((-320 - t) << 40, 10 * peak), 32))
                if d > 0 and score(e, d) > most:
                    most, scale = score(e, d), quotient(256 * e, d)
            return scale
        ls = codes(quotient(-4 << 40, peak), 4)
        e, d = sums(ls)
        for _ in range(5):
            changed = False
            for i, x in enumerate(v):
                e1, d1 = e - w[i] * x * ls[i], d - w[i] * ls[i] ** 2
                if e1 <= 0:
                    continue
                q = max(-4, min(3, (2 * x * d1 + e1) // (2 * e1)))
                if q == ls[i]:
                    continue
                e1, d1 = e1 + w[i] * x * q, d1 + w[i] * q * q
                if d1 > 0 and score(e1, d1) > score(e, d):
                    ls[i], e, d, changed = q, e1, d1, True
            if not changed:
                break
        return quotient(256 * e, d) if d > 0 else 0

    def number_of(self, run, v):
        return r24(v * Fraction(2) ** (self.k[run] - 8))

    def guess(self, xs):
        """d and m as (sign, number)."""
        scales = [self.number_of(r, f[b][0]) for r, (f, b) in
                  enumerate(zip(self.fits, self.best)) if f]
        minima = [self.number_of(r, -f[b][1]) for r, (f, b) in
                  enumerate(zip(self.fits, self.best)) if f]
        none = (False, Fraction(0))
        if self.type in self.FITTED:
            by = (1 << self.sbits) - 1
            return ((False, r24(max(scales + [Fraction(0)]) / by)),
                    (False, r24(max(minima + [Fraction(0)]) / by)))
        if self.type in (44, 45):
            s = max(scales, key=abs)
            if s == 0:
                return none, none
            d = r24(1 / r24(-(1 << self.sbits - 1) / s))
            return (d < 0, d), none
        if self.type in (50, 48, 51):
            x = max((x for _, x in xs), key=abs)
            if self.type == 51:
                return (False, r24(abs(x) / 127)), none
            d = r24(x / (-8 if self.type == 50 else -16))
            return (d < 0 or x == 0, d), none
        m = min(xs, key=lambda p: p[1])
        d = r24(r24(max(x for _, x in xs) - m[1]) /
                (15 if self.type == 47 else 31))
        return (d < 0, d), m

    def over(self, a, half):
        f = r24(Fraction(big_f(half), 1 << 24))
        return limit(math.trunc(r24(a / f) * 4096), 48) if f else 0

    def make(self, xs):
        """A block, from its weights."""
        m = self.m
        self.runs_of(xs)
        d, least = self.guess(xs)
        n = Numbers(self.type, bytes(UNIT_LEN[self.type]))
        d16 = to_float(*d, 2, 5)
        m16 = to_float(*least, 2, 5)
        n.d = m.against("f16", d16)
        if self.sign:
            n.m = m.against("f16", m16)
        expected = []
        for run in range(self.runs if self.sbits else 0):
            s = self.fits[run][self.best[run]][0]
            at = self.over(self.number_of(run, s), n.d) + 4096 * self.szero
            p, low, near = self.near(0, at, 0, self.sbits)
            n.scales[run], _ = self.number(288 + 2 * near, p, low, self.sbits)
            expected.append(p)
        for run in range(self.runs if self.mbits else 0):
            fits, pick = self.fits[run], self.best[run]
            if expected[run] != n.scales[run]:
                want = limit(math.trunc(big_f(n.d) * n.scales[run] *
                                   Fraction(2) ** (-16 - self.k[run])), 48)
                off = [abs(s - want) for s, _ in fits]
                pick = off.index(min(off))
            at = self.over(self.number_of(run, -fits[pick][1]), n.m)
            p, low, near = self.near(0, at, 0, self.mbits)
            n.minima[run], _ = self.number(289 + 2 * near, p, low, self.mbits)
        high, low_end = (1 << self.bits) - 1, self.bits == 8
        for run in range(self.runs):
            k = self.k[run]
            s, a = (limit(math.trunc(x * Fraction(2) ** (-12 - k)), 48)
                    for x in self.weight(n, run))
            if not self.sbits and n.d == d16:
                s = limit(math.trunc(d[1] * Fraction(2) ** (12 - k)), 48)
            if not self.sbits and self.sign and n.m == m16:
                a = limit(math.trunc(least[1] * Fraction(2) ** (12 - k)), 48)
            for i, x in enumerate(self.x[run]):
                at = 4096 * self.zero
                if s:
                    at += quotient((4096 * x - a) * 4096, s)
                p, low, near = self.near(0, at, 0, self.bits)
                place = 0 if p <= low_end else 1 if p == high else 3
                if place == 0 and low or place == 1 and not low:
                    near, low = 0, False
                row = (near * 4 + place) * 8 + self.level()
                i += run * self.per
                n.codes[i], off = self.number(row, p, low, self.bits)
                m.avg += 2 * off - (m.avg >> 3)
        return n.block(self.type)


def cross(t, model, n, left):
    form, source = model.form, model.source
    r = CrossReader(model, form)
    each = r.runs * r.per
    per = 1 if source < 3 else BLOCKS[39 + source][0] * BLOCKS[39 + source][1]
    weights = max(each, per)
    need(n * (weights // each) * UNIT_LEN[form] <= left, "wrong length")
    size = (4, 2, 2)[source] if source < 3 else UNIT_LEN[39 + source]
    at = (model.displacement() + len(t.out)) & M64
    t.reach(n * (weights // per) * size, at)
    made = len(t.out)
    for _ in range(n):
        xs = []
        for _ in range(weights // per):
            raw = t.base[at:at + size]
            at += size
            if source > 2:
                xs += r.floats(raw, 39 + source)
                continue
            f = value(int.from_bytes(raw, "little"), size,
                      (8, 5, 8)[source])
            x = number(*f)
            xs.append((bool(f[0]), x))
        for i in range(0, weights, each):
            t.out += r.make(xs[i:i + each])
    model.ring.zeros(len(t.out) - made)


# ===== fast planes =========================================================


def bits_of(data):
    return int.from_bytes(data, "little")


def symbols(src, n, size, context, tables):
    """n symbols from 128 states and the sequence of so many bytes."""
    low, high = src.take(128), src.take(128)
    seq = src.take(size)
    x = [a | b << 8 for a, b in zip(low, high)]
    out, left = [], size
    wide = {}
    for c, freq in tables.items():
        of = []
        for s, f in freq:
            of += [(s, f, len(of))] * f
        need(len(of) == 256, "frequencies are not 256 in all")
        wide[c] = of
    for first in range(0, (n + 127) // 128 * 128, 64):
        base = first % 128
        for i in range(64):
            c = context[first + i] if first + i < n else 0
            s, f, start = wide[c][x[base + i] % 256]
            x[base + i] = f * (x[base + i] // 256) + x[base + i] % 256 - start
            if first + i < n:
                out.append(s)
        want = [i for i in range(base, base + 64) if x[i] < 256]
        need(len(want) <= left, "sequence too short")
        left -= len(want)
        for k, i in enumerate(want):
            x[i] = x[i] << 8 | seq[left + k]
    need(left == 0 and all(v == 256 for v in x), "sequence not used up")
    return out


def planes(t, payload, size):
    src = Bytes(payload)
    form, type_ = src.u8(), src.u8()
    need(form < 4 and type_ < 11, "unknown form or type", 5)
    kind = UNITS[type_][0]
    w, exponent = KINDS[kind]
    need(size <= 524288 and len(payload) <= 524288 and size % w == 0,
         "malformed block")
    n = size // w
    base = None
    if form & 1:
        at = src.varint()
        t.reach(size, at)
        base = [bits_of(t.base[i:i + w]) for i in range(at, at + size, w)]
    if form > 1:
        out = base or [src.number(w)] * n
        at = -1
        for _ in range(src.varint()):
            at += src.varint() + 1
            need(at < n, "exception behind the end")
            v = src.number(w)
            out[at] = add(kind, out[at], v) if form == 3 else v
    else:
        out = list(base) if base else [0] * n
        keep = range(n)
        mapped = src.u8()
        need(mapped < 2, "malformed map")
        if mapped:
            zero = bits_of(src.take(((n + 63) // 64 + 7) // 8))
            keep = [i for i in keep if not zero >> i // 64 & 1]
        made = (residuals if base else high_bits)(
            src, [out[i] for i in keep], kind, w, exponent)
        for i, v in zip(keep, made):
            out[i] = v
    need(src.at == src.end, "payload not used up")
    for v in out:
        t.out += v.to_bytes(w, "little")


def high_bits(src, elements, kind, w, exponent):
    n, b = len(elements), 8 * w
    k, s = src.u8(), src.u8()
    need(b - 8 <= k <= b - 4 and 1 <= s <= 63, "malformed planes")
    values = list(src.take(s))
    freq = list(enumerate(src.take(s + 1)))
    size, escapes = src.varint(), src.varint()
    got = symbols(src, n, size, [0] * n, {0: freq})
    need(got.count(s) == escapes, "wrong number of escapes")
    other = iter(src.take(escapes))
    high = [values[g] if g < s else next(other) for g in got]
    need(all(v < 1 << b - k for v in high), "value too large")
    low = [src.number(k // 8) for _ in range(n)]
    rest = bits_of(src.take((n * (k % 8) + 7) // 8))
    out = []
    for i in range(n):
        v = high[i] << k | low[i]
        v |= (rest >> i * (k % 8) & (1 << k % 8) - 1) << k // 8 * 8
        out.append(v >> 1 | (v & 1) << b - 1 if exponent else v)
    return out


def residuals(src, base, kind, w, exponent):
    n, b = len(base), 8 * w
    e0, m = src.number(2), src.take(8)
    tables = {}
    for c in range(8):
        which = src.number(4)
        tables[c] = [(s, src.u8()) for s in range(32) if which >> s & 1] or [
            (0, 128), (31, 128)]
    size, escapes, nbits = src.varint(), src.varint(), src.varint()
    context = []
    for x in base:
        if exponent:
            level = x >> b - 1 - exponent & (1 << exponent) - 1
        else:
            level = (x ^ (1 << b) - 1 if x >> b - 1 else x).bit_length()
        context.append(max(0, min(7, e0 - level)))
    got = symbols(src, n, size, context, tables)
    need(got.count(31) == escapes, "wrong number of escapes")
    other = [src.number(w) for _ in range(escapes)]
    rest = bits_of(src.take((nbits + 7) // 8))
    used, out = 0, []
    for i, s in enumerate(got):
        k = m[context[i]]
        if s == 31:
            out.append(add(kind, base[i], other.pop(0)))
            continue
        q, below = s, k
        if s > 1:
            below += s // 2 - 1
            q = 2 | s & 1
        r = 0
        if s or k:
            sign = rest >> used & 1
            r = q << below | rest >> used + 1 & (1 << below) - 1
            used += 1 + below
            r = -r if sign else r
        out.append(add(kind, base[i], r & (1 << b) - 1))
    need(used == nbits, "rests not used up")
    return out


# ===== images ==============================================================


def read_parts(payload):
    """Parts of base and target, of a note of type 2."""
    d = zlib.decompressobj(-15)
    try:
        raw = d.decompress(payload, 64 << 20)
    except zlib.error as e:
        raise Refused(6, "note of parts: " + str(e))
    need(d.eof and not d.unused_data, "note of parts")
    src = Bytes(raw)
    at, base = 0, []
    for _ in range(src.varint()):
        gap, n = src.varint(), src.varint()
        need(n > 0, "empty part")
        base.append((at + gap, n, gap))
        at += gap + n
    at, target, args = 0, [], None
    for i in range(src.varint()):
        _, was, was_gap = base[i] if i < len(base) else (0, 0, 0)
        gap = was_gap + src.zigzag()
        v = src.varint()
        z = v >> 1
        n = was + (-(z + 1) // 2 if z & 1 else z // 2)
        if v & 1:
            args = tuple(src.take(3))
        need(n > 0 and gap >= 0 and args, "malformed part")
        target.append((at + gap, n, args))
        at += gap + n
    need(src.at == src.end, "note of parts: more than it says")
    return [(a, n) for a, n, _ in base], target


def inflate_parts(data, parts):
    """The image of a file."""
    out, at = bytearray(), 0
    for pos, n in parts:
        gap = pos - len(out)
        need(gap >= 0 and gap <= len(data) - at, "parts leave the base")
        out += data[at:at + gap]
        at += gap
        d = zlib.decompressobj(-15)
        try:
            made = d.decompress(data[at:])
        except zlib.error:
            raise Refused(4, "the base has no such part")
        need(d.eof and len(made) == n, "the base has no such part")
        out += made
        at = len(data) - len(d.unused_data)
    return out + data[at:]


def deflate_parts(image, parts):
    out, at = bytearray(), 0
    for pos, n, (level, mem, strategy) in parts:
        need(pos >= at and n <= len(image) - pos, "parts leave the image")
        out += image[at:pos]
        z = zlib.compressobj(level, zlib.DEFLATED, -15, mem, strategy)
        out += z.compress(bytes(image[pos:pos + n])) + z.flush()
        at = pos + n
    return out + image[at:]


# ===== casts ===============================================================

FLOATS = {0: (4, 8), 1: (2, 5), 2: (2, 8), 3: (8, 11)}  # bytes, exponent


def round_to(x, bits):
    """A rational to so many bits of mantissa: ties to even."""
    if x == 0:
        return x
    a = abs(x)
    e = a.numerator.bit_length() - a.denominator.bit_length()
    if Fraction(2) ** e > a:
        e -= 1
    unit = Fraction(2) ** (e - bits + 1)
    q = a / unit
    n = q.numerator // q.denominator
    rest = q - n
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and n & 1):
        n += 1
    return n * unit if x > 0 else -n * unit


def r24(x):
    return round_to(x, 24)


def value(v, n, exponent):
    """A float's bits: (sign, rational), or (sign, None, mantissa, its bits)
    for what is not finite."""
    mant = 8 * n - 1 - exponent
    sign = v >> 8 * n - 1
    e = v >> mant & (1 << exponent) - 1
    m = v & (1 << mant) - 1
    if e == (1 << exponent) - 1:
        return sign, None, m, mant
    bias = (1 << exponent - 1) - 1
    x = m * Fraction(2) ** (1 - bias - mant) if e == 0 else (
        (1 << mant) + m) * Fraction(2) ** (e - bias - mant)
    return sign, -x if sign else x, m, mant


def to_float(sign, x, n, exponent):
    """The bits of a rational."""
    mant = 8 * n - 1 - exponent
    bias = (1 << exponent - 1) - 1
    top = sign << 8 * n - 1
    a = abs(x)
    if a == 0:
        return top
    e = a.numerator.bit_length() - a.denominator.bit_length()
    if Fraction(2) ** e > a:
        e -= 1
    e = max(e, 1 - bias)
    q = a / Fraction(2) ** (e - mant)
    m = q.numerator // q.denominator
    rest = q - m
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and m & 1):
        m += 1
    bits = (e + bias - 1 << mant) + m if m >> mant else m
    return top | min(bits, (1 << exponent) - 1 << mant)


def special(sign, m, mant, n, exponent):
    """Infinity or NaN in another type."""
    to = 8 * n - 1 - exponent
    top = sign << 8 * n - 1 | (1 << exponent) - 1 << to
    if m == 0:
        return top
    m = m << to - mant if to >= mant else m >> mant - to | 1 << to - 1
    return top | m


def nearest(x):
    """To an integer, ties away from 0."""
    n = (abs(x) + Fraction(1, 2)).__floor__()
    return -n if x < 0 else n


class Bits:
    def __init__(self, src):
        self.src, self.v, self.n = src, 0, 0

    def take(self, n):
        while self.n < n:
            self.v |= self.src.u8() << self.n
            self.n += 8
        r = self.v & (1 << n) - 1
        self.v >>= n
        self.n -= n
        return r - (1 << n) if r >> n - 1 else r

    def plain(self, n):
        r = self.take(n)
        return r & (1 << n) - 1


def number(sign, x, m, mant):
    """What is not finite, too, as a rational."""
    if x is not None:
        return x
    x = (1 + Fraction(m << 23 >> mant, 1 << 23)) * (1 << 128)
    return -x if sign else x


def cast_floats(xs, to):
    out = bytearray()
    for sign, x, m, mant in xs:
        v = special(sign, m, mant, *FLOATS[to]) if x is None else \
            to_float(sign, x, *FLOATS[to])
        out += v.to_bytes(FLOATS[to][0], "little")
    return out


def code(x, scale, zero, signed):
    c = zero if not scale else nearest(r24(x / scale)) + zero
    lo, hi = (-128, 127) if signed else (0, 255)
    return max(lo, min(hi, c)) & 255


def cast_all(src, image):
    """What the casts of a note of type 3 make."""
    out = bytearray()
    at = total = runs = gathers = 0
    gathered = len(image)  # behind the last cast that is no gather
    for _ in range(src.varint()):
        types = src.u8()
        frm, to = types & 15, types >> 4
        if to == 11:
            need(frm < 4, "malformed cast")
            at += src.zigzag()
            made, n, some = gather(src, image, at, 1 << frm)
            out += made
            at += n
            gathers += 1
            runs += some
            need(gathers <= 1 << 16 and runs <= 1 << 18, "too many gathers")
            continue
        need((frm < 4 or (frm == 6 and to == 6)) and to != 3 and to < 11,
             "unknown cast", 5)
        at += src.zigzag()
        units = src.varint()
        per = 32 if to in (4, 5) else 1
        n = units * per
        width = 1 if frm == 6 else FLOATS[frm][0]
        need(0 <= at and (n * width <= len(image) - at or (
            gathered <= at and n * width <= len(image) + len(out) - at)),
             "cast leaves the base")
        source = image if at < len(image) else image + bytes(out)
        if to in (6, 7):
            inner, zero = src.varint(), src.zigzag()
            scales = [src.number(4) for _ in range(src.varint())]
            need(inner > 0 and scales, "malformed cast")
        if to >= 8:
            columns, rank = src.varint(), src.varint()
            need(columns and n % columns == 0 and 1 <= rank <= 64,
                 "malformed cast")
            total += rank * (n // columns + columns)
            need(total <= 1 << 25, "too many factors")
            exp, drop, u, v = factors(src, n // columns, columns, rank)
        xs = []
        for i in range(n):
            raw = int.from_bytes(source[at + i * width:at + (i + 1) * width],
                                 "little")
            if frm == 6:
                x = Fraction((raw ^ 0x80) - 0x80)
                xs.append((int(x < 0), x, 0, 0))
            else:
                sign, x, m, mant = value(raw, *FLOATS[frm])
                xs.append((sign, None if x is None else r24(x), m, mant))
        at += n * width
        if to < 3:
            out += cast_floats(xs, to)
        elif to == 4 or to == 5:
            for b in range(units):
                out += quant_block([number(*x) for x in
                                    xs[32 * b:32 * b + 32]], to)
        elif to < 8:
            for i, x in enumerate(xs):
                s = number(*value(scales[i // inner % len(scales)], 4, 8))
                out.append(code(number(*x), s, zero, to == 6))
        else:
            kind = FLOATS[to - 8]
            for i, (sign, x, m, mant) in enumerate(xs):
                r, c = divmod(i, columns)
                if x is None:
                    bits = special(sign, m, mant, *kind)
                else:
                    s = sum(u[k][r] * v[k][c] << drop[k] for k in range(rank))
                    y = r24(x + r24(s * Fraction(2) ** exp))
                    bits = to_float(int(y < 0 or (y == 0 and sign and s == 0)),
                                    y, *kind)
                out += bits.to_bytes(kind[0], "little")
        gathered = len(image) + len(out)
    need(src.at == src.end, "note of casts: more than it says")
    return out


def gather(src, image, at, width):
    """What one makes of the range from `at` on; bytes of that, and runs."""
    head = src.varint()
    d, number = head & 7, head >> 4
    need(1 <= d <= 6 and number < math.factorial(d), "malformed gather")
    order = list(itertools.permutations(range(d)))[number]
    dims = [src.varint() for _ in range(d)]
    size = width * math.prod(dims)
    need(0 < size <= width << 50, "malformed gather")
    taken, many = [range(n) for n in dims], 0
    for k in range(d if head & 8 else 0):
        n, was = src.varint(), 0
        if n:
            taken[k] = []
        for _ in range(n):
            v = src.varint()
            need(v > 1, "empty run")
            need(math.prod(map(len, taken)) <= 1 << 26, "too much for this")
            if v & 1:
                taken[k] += [None] * (v >> 1)
                continue
            was += src.zigzag()
            need(0 <= was and was + (v >> 1) <= dims[k], "malformed run")
            taken[k] += range(was, was + (v >> 1))
            was += v >> 1
        many += n
    need(0 <= at and size <= len(image) - at, "cast leaves the base")
    step = [math.prod(dims[k + 1:]) for k in range(d)]
    out = bytearray()
    for index in itertools.product(*(taken[k] for k in order)):
        if None in index:
            out += bytes(width)
            continue
        off = at + width * sum(i * step[k] for i, k in zip(index, order))
        out += image[off:off + width]
    return out, size, many


def factors(src, rows, columns, rank):
    bits = Bits(src)
    exp = bits.take(16)
    need(-2000 <= exp <= 2000, "malformed factors")
    u, v, drop = [], [], []
    for _ in range(rank):
        nu, nv, d = bits.plain(8), bits.plain(8), bits.plain(8)
        need(1 <= nu <= 24 and 1 <= nv <= 24 and d + nv <= 30,
             "malformed factors")
        drop.append(d)
        u.append([bits.take(nu) for _ in range(rows)])
        v.append([bits.take(nv) for _ in range(columns)])
    return exp, drop, u, v


def quant_block(x, to):
    big = max(abs(e) for e in x)
    if to == 4:
        d = r24(big / 127)
    else:
        first = next(e for e in x if abs(e) == big)
        d = r24(first / -8)
    minus = d < 0 or (to == 5 and big == 0)
    out = bytearray(to_float(int(minus), d, 2, 5).to_bytes(2, "little"))
    inv = r24(1 / d) if d else Fraction(0)
    if to == 4:
        for e in x:
            out.append(nearest(r24(e * inv)) & 255)
        return out
    codes = [max(0, min(15, (r24(e * inv) + Fraction(17, 2)).__floor__()))
             for e in x]
    for i in range(16):
        out.append(codes[i] | codes[16 + i] << 4)
    return out


# ===== a patch =============================================================


def sha256(data):
    return hashlib.sha256(data).digest()


def xxh3(data):
    """By its authors' library; zeros behind it, as the page says."""
    class Pair(ctypes.Structure):
        _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]
    lib = ctypes.CDLL("libxxhash.so.0")
    lib.XXH3_128bits.restype = Pair
    lib.XXH3_128bits.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
    h = lib.XXH3_128bits(bytes(data), len(data))
    return (h.high << 64 | h.low).to_bytes(16, "big") + bytes(16)


def header(data, start):
    src = Bytes(data, start)
    need(src.take(4) == b"\xd3mlp", "no patch", 1)
    need(src.u8() == 1, "unknown version", 5)
    h = {"cls": src.u8(), "flags": src.u8(), "ext": {}}
    need(1 <= h["cls"] <= 3 and h["flags"] <= 7, "unknown class or flag", 5)
    n = src.varint()
    end = src.at + n
    need(end + 4 - start <= 384, "header too long")
    crc_after(data, start, end, len(data))
    f = Bytes(data, src.at, end)
    based, weak = h["flags"] & 1, h["flags"] >> 2
    need(not weak or h["cls"] == 3, "XXH3 below class full")
    h["release"], h["target"] = f.varint(), f.varint()
    h["base"] = f.varint() if based else None
    h["body"], h["window"] = f.varint(), f.varint()
    h["sha"] = f.take(32)
    h["base_sha"] = f.take(32) if based else None
    signed = False
    while f.at < end:
        need(not signed, "behind the signature")
        kind, size = f.u8(), f.u8()
        what = f.take(size)
        signed = kind == 0x81
        need(kind < 0x80 or kind in (0x81, 0x82, 0x83), "unknown field", 5)
        need(not signed or (size == 73 and what[0] == 1), "signature", 5)
        need(not signed or 1 in h["ext"], "signature without a digest")
        need(not signed or not weak, "XXH3 with a signature")
        need(kind not in (1, 0x82, 0x83) or kind not in h["ext"],
             "field twice")
        h["ext"][kind] = what
    page = h["ext"].get(0x83)
    need((page is not None) == bool(h["flags"] & 2), "page without flag 1")
    h["page"] = h["lead"] = 0
    if page is not None:
        need(len(page) == 2 and 4 <= page[0] <= 30 and based and
             0x82 not in h["ext"], "malformed page")
        h["page"] = 1 << page[0]
        h["lead"] = page[1] << page[0]
    h["digest"] = xxh3 if weak else sha256
    return h, end + 4


def record(data, at, end):
    src = Bytes(data, at, end)
    flags, n, size = src.u8(), src.varint(), src.varint()
    payload = src.take(size)
    crc_after(data, at, src.at, end)
    need(flags < 32 and flags & 15 in (0, 1, 2, 3, 15), "unknown coder", 5)
    need(flags & 15 != 15 or n == 0, "note that makes bytes", 5)
    need(flags & 15 == 15 or n > 0, "empty record")
    return flags & 15, flags >> 4, n, payload, src.at + 4


def apply(data, start, base):
    h, at = header(data, start)
    need(h["flags"] & 1 or not start, "a patch without a base in a chain")
    end = at + h["body"]
    need(end <= len(data), "truncated")
    if h["flags"] & 1:
        need(base is not None and len(base) == h["base"] and
             h["digest"](base) == h["base_sha"], "not the base", 4)
    else:
        base = b""
    body = sha256(data[at:end])
    need(h["ext"].get(1, body) == body, "not the body")
    image, size, parts = base, h["target"], None
    images = h["ext"].get(0x82)
    if images is not None:
        need(h["cls"] == 3, "images need class full")
        src = Bytes(images)
        size, base_size = src.varint(), src.varint()
        coder, _, _, note, at = record(data, at, end)
        need(coder == 15 and note[:1] == b"\x02", "no note of parts")
        base_parts, parts = read_parts(note[1:])
        image = inflate_parts(base, base_parts)
        if len(image) < base_size:
            coder, _, _, note, at = record(data, at, end)
            need(coder == 15 and note[:1] == b"\x03", "no note of casts")
            image = image + cast_all(Bytes(note, 1), image)
        need(len(image) == base_size, "not the image of the base")
    t = Target(image, size, h["window"], h["page"], h["lead"])
    model = Nano() if h["cls"] == 1 else Model(h["cls"])
    while at < end:
        coder, reset, n, payload, at = record(data, at, end)
        if reset:
            model.reset()
        if coder == 15:
            continue
        stop = len(t.out) + n
        need(stop <= size, "more than the target")
        if coder == 0:
            plain(t, payload, stop)
        elif coder == 3:
            need(h["cls"] == 3, "fast planes need class full", 5)
            planes(t, payload, n)
        else:
            need((coder == 2) == (h["cls"] == 1), "coder of another class", 5)
            ranged(t, model, payload, stop)
    need(len(t.out) == size, "less than the target")
    out = t.out if parts is None else deflate_parts(t.out, parts)
    need(len(out) == h["target"] and h["digest"](out) == h["sha"],
         "wrong digest", 7)
    return bytes(out), end


def chain(data, base):
    need(data, "empty")
    at = 0
    while at < len(data):
        base, at = apply(data, at, base)
    return base


def main():
    data = sys.stdin.buffer.read()
    base = None
    if len(sys.argv) > 1:
        with open(sys.argv[1], "rb") as f:
            base = f.read()
    try:
        base = chain(data, base)
    except Refused as e:
        sys.stderr.write("decode.py: %s\n" % e)
        return e.status
    sys.stdout.buffer.write(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
