#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the vectors of plain patches, good/*.hex and bad/*.hex, by ml-patch(5)
and nothing else of the project. A vector is lines "key: value": why it is
there, the exit status of ml-apply (bad ones), base and patch in hex, and of
good ones the target. usage: make.py FOLDER"""
import hashlib
import os
import struct
import sys
import zlib

BASE = bytes((i * 37 + 11) & 255 for i in range(64))


def v(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def crc(b):
    return b + struct.pack('<I', zlib.crc32(b))


def lit(b):
    return b'\0' + v(len(b)) + b


def copy(n, at):
    return b'\1' + v(n) + v(at)


def self_(n, dist):
    return b'\2' + v(n) + v(dist)


def diff(kind, units, at, res):
    return b'\3' + bytes([kind]) + v(units) + v(at) + res


def alone(kind, units, data):
    return b'\4' + bytes([kind]) + v(units) + data


def record(n, code, coder=0):
    return crc(bytes([coder]) + v(n) + v(len(code)) + code)


def header(target, body, base=BASE, release=0, window=0, cls=1, version=1,
           flags=None, size=None, length=None, base_size=None, ext=b'',
           sha=None):
    flags = (1 if base is not None else 0) if flags is None else flags
    f = v(release) + v(len(target) if size is None else size)
    if flags & 1:
        f += v(len(base) if base_size is None else base_size)
    f += v(len(body) if length is None else length) + v(window)
    f += sha or hashlib.sha256(target).digest()
    if flags & 1:
        f += hashlib.sha256(base).digest()
    f += ext
    return crc(b'\xd3mlp' + bytes([version, cls, flags]) + v(len(f)) + f)


def patch(target, *recs, **kw):
    body = b''.join(recs)
    return header(target, body, **kw) + body


def body_field(body):
    return b'\x01\x20' + hashlib.sha256(body).digest()


def signature(algorithm):
    return b'\x81\x49' + bytes([algorithm]) + bytes(range(72))


# Widths and kinds of the element types: n halves of a byte, i integer, f float
TYPES = [
    'i1', 'i1', 'i2', 'i4', 'i8', 'f2', 'f2', 'f4', 'f8', 'f1', 'f1', 'n1',
    'f2 n1*16', 'f2*2 n1*16', 'f2 i1*4 n1*16', 'f2*2 i1*4 n1*16', 'f2 i1*32',
    'f2*2 i1*32', 'n1*80 f2*2', 'i1*108 f2', 'f2*2 i1*12 n1*128',
    'f2*2 i1*44 n1*128', 'n1*128 i1*64 i1*16 f2', 'f4 i1*256 i2*16',
    'f2 i2 i1*4 n1*128', 'f2 i2*32', 'f2 i2*32 i1*8', 'f2 i1*80',
    'f2 i1*64 i4*8', 'f2 i1*108', 'f2 i1*32 i2*8', 'i1*56', 'i1*52 f2',
    'i1*64 f2', 'i1 n1*16', 'f2 n1*16', 'f2 i1*32',
    'i2', 'i4', 'f2', 'f4', 'f8']
SWAPPED = 37  # big-endian from this one on


def fields(kind):
    for f in TYPES[kind].split():
        what, _, n = f.partition('*')
        for _ in range(int(n or 1)):
            yield what[0], int(what[1])


def unit(kind):
    return sum(w for _, w in fields(kind))


def apply_diff(kind, units, base, res):
    out, at = b'', 0
    order = 'big' if kind >= SWAPPED else 'little'
    for _ in range(units):
        for what, w in fields(kind):
            b = int.from_bytes(base[at:at + w], order)
            r = int.from_bytes(res[at:at + w], 'little')
            sign, mask = 1 << (8 * w - 1), (1 << (8 * w)) - 1
            if what == 'n':
                x = (b + r) & 15 | ((b >> 4) + (r >> 4) & 15) << 4
            elif what == 'i':
                x = b + r & mask
            else:
                m = (b ^ mask if b & sign else b | sign) + r & mask
                x = m ^ sign if m & sign else m ^ mask
            out += x.to_bytes(w, order)
            at += w
    return out


# ===== fast planes ========================================================

def rans(pairs):
    """128 states over pairs (frequency, sum before); states, sequence."""
    x, out = [256] * 128, b''
    for at in range(len(pairs) - 64, -1, -64):
        for i in range(64):
            f, c = pairs[at + i]
            y = x[at % 128 + i]
            if y >= f * 256:
                out += bytes([y & 255])
                y >>= 8
            x[at % 128 + i] = y // f * 256 + y % f + c
    return bytes(y & 255 for y in x) + bytes(y >> 8 for y in x), out


def coded(symbols, tables):
    """symbols: (context, symbol); tables: frequencies by context."""
    symbols = symbols + [(0, 0)] * (-len(symbols) % 128)
    return rans([(tables[c][s], sum(tables[c][:s])) for c, s in symbols])


def frequencies(symbols, n):
    """256 in all for the symbols that are there, the first one among them."""
    f = [int(s in symbols or s == 0) for s in range(n)]
    f[n - 1] = max(f[n - 1], 1)
    f[0] += 256 - sum(f) - 9
    f[n - 1] += 9
    return f


def fast_planes(x, seldom):
    """bf16 without a base; the value `seldom` is not in the list."""
    values = sorted({v >> 7 & 255 for v in x} - {seldom})
    s = [values.index(v >> 7 & 255) if v >> 7 & 255 != seldom else len(values)
         for v in x]
    f = frequencies(s, len(values) + 1)
    states, code = coded([(0, k) for k in s], [f])
    esc = bytes(seldom for k in s if k == len(values))
    return (bytes([0, 6, 0, 8, len(values)]) + bytes(values) + bytes(f) +
            v(len(code)) + v(len(esc)) + states + code + esc +
            bytes((v << 1 | v >> 15) & 255 for v in x))


def fast_residuals(base, x, at):
    """bf16 against a base; residuals of 200 and more are escapes."""
    def order(a):
        return a ^ 0xffff if a & 0x8000 else a | 0x8000
    e0, syms, esc, rest, left = 120, [], b'', 0, 0
    for b, t in zip(base, x):
        r = (order(t) - order(b) + 0x8000 & 0xffff) - 0x8000
        c = min(max(e0 - (b >> 7 & 255), 0), 7)
        q, k = abs(r), abs(r).bit_length()
        s = q if q < 2 else 2 * k - 2 + (q >> k - 2 & 1)
        if q >= 200:
            s = 31
            esc += struct.pack('<H', r & 0xffff)
        elif s:
            low = max(k - 2, 0)
            bits = int(r < 0) | (q & (1 << low) - 1) << 1
            rest |= bits << left
            left += low + 1
        syms.append((c, s))
    tables, sets = [], b''
    for c in range(8):
        f = frequencies({s for k, s in syms if k == c}, 32)
        tables.append(f)
        sets += struct.pack('<I', sum((n > 0) << i for i, n in enumerate(f)))
        sets += bytes(n for n in f if n)
    states, code = coded(syms, tables)
    return (b'\1\6' + v(at) + b'\0' + struct.pack('<H', e0) + bytes(8) + sets +
            v(len(code)) + v(len(esc) // 2) + v(left) + states + code + esc +
            rest.to_bytes((left + 7) // 8, 'little'))


def fast(add_good, add_bad):
    x = [0x3c00 + (i * 7919 & 0x1ff) + (i * 31 & 0x8000) for i in range(300)]
    x[77] = x[200] = 0x4123
    y = [a + (i * i & 15) - 7 if i % 5 else a for i, a in enumerate(x)]
    y[10], y[299] = 0x7fc0, 0x8000
    pack = lambda a: struct.pack('<%dH' % len(a), *a)
    base, t = b'..' + pack(x), pack(y)
    p = fast_planes(x, 0x4123 >> 7)
    r = fast_residuals(x, y, 2)

    def one(code, n, **kw):
        return patch(kw.pop('t'), record(n, code, 3), cls=3, **kw)
    add_good('planes', 'fast planes', None, one(p, 600, t=pack(x), base=None),
             pack(x))
    add_good('planes-residuals', 'residuals in context', base,
             one(r, 600, t=t, base=base), t)
    fill = b'\2\5' + b'ab' + v(2) + v(3) + b'cd' + v(0) + b'ef'
    full = b'ab' * 3 + b'cdef' + b'ab' * 2
    add_good('planes-fill', 'one element and exceptions', None,
             one(fill, 14, t=full, base=None), full)
    change = b'\3\2' + v(4) + v(1) + v(2) + b'\2\1'
    new = bytearray(BASE[4:14])
    new[4:6] = struct.pack('<H', struct.unpack('<H', BASE[8:10])[0] + 0x102 &
                           0xffff)
    add_good('planes-change', 'the base and an exception', BASE,
             one(change, 10, t=bytes(new)), bytes(new))
    add_bad('planes-class', 'fast planes in class micro', 5,
            patch(full, record(14, fill, 3), base=None, cls=2), None)
    add_bad('planes-form', 'an unknown form', 5,
            one(b'\4' + fill[1:], 14, t=full, base=None), None)
    add_bad('planes-type', 'an element type without planes', 5,
            one(b'\2\x0b' + fill[2:], 14, t=full, base=None), None)
    add_bad('planes-odd', 'half an element', 6,
            one(fill, 13, t=full[:13], base=None), None)
    add_bad('planes-behind', 'a byte behind the end', 6,
            one(fill + b'\0', 14, t=full, base=None), None)
    add_bad('planes-outside', 'an exception behind the end', 6,
            one(b'\2\5ab' + v(1) + v(7) + b'cd', 14, t=full, base=None),
            None)
    add_bad('planes-base', 'leaves the base', 6,
            one(b'\3\2' + v(60) + change[3:], 10, t=bytes(new)))
    add_bad('planes-sum', 'frequencies that are not 256', 6,
            one(p[:5 + p[4]] + bytes([p[5 + p[4]] ^ 1]) + p[6 + p[4]:], 600,
                t=pack(x), base=None), None)
    add_bad('planes-state', 'a state that does not end as it began', 6,
            one(p[:9 + 2 * p[4]] + bytes([p[9 + 2 * p[4]] ^ 16]) +
                p[10 + 2 * p[4]:], 600, t=pack(x), base=None), None)
    add_bad('planes-short', 'ends early', 6,
            one(p[:-1], 600, t=pack(x), base=None), None)


def zigzag(d):
    return v(2 * d if d >= 0 else -2 * d - 1)


def gathers(add_good, add_bad):
    stored = b'\1\2\0\xfd\xff\0\0'  # raw deflate of no parts of either file

    def one(base, target, image, casts, *ops):
        ext = v(len(target)) + v(image)
        return patch(target, record(0, b'\2' + stored, 15),
                     record(0, b'\3' + casts, 15),
                     record(len(target), b''.join(ops)), base=base, cls=3,
                     ext=b'\x82' + bytes([len(ext)]) + ext)

    def cast(log, at, head, dims, rest=b''):
        return bytes([log | 11 << 4]) + zigzag(at) + v(head) + b''.join(
            v(n) for n in dims) + rest
    turned = bytes(BASE[i * 8 + j] for j in range(8) for i in range(8))
    add_good('gather', 'a matrix the other way round', BASE,
             one(BASE, turned, 128, v(1) + cast(0, 0, 2 | 1 << 4, (8, 8)),
                 copy(64, 64)), turned)
    # 2 * 4 * 3 elements of 2 bytes from offset 6 on, in the order (1, 2, 0);
    # of the 4 the last two, nothing, the first; of the 3 the last
    def at(i, j, k):
        off = 6 + 2 * (12 * i + 3 * j + k)
        return BASE[off:off + 2]
    want = b''.join(bytes(2) if j is None else at(i, j, 2)
                    for j in (2, 3, None, 0) for i in (0, 1))
    runs = (v(0) + v(3) + v(2 * 2) + zigzag(2) + v(2 * 1 + 1) + v(2 * 1) +
            zigzag(-4) + v(1) + v(2) + zigzag(2))
    third = 3 | 8 | 3 << 4
    add_good('gather-runs', 'runs of indices, some of zeros', BASE,
             one(BASE, want, 80, v(1) + cast(1, 6, third, (2, 4, 3), runs),
                 copy(16, 64)), want)
    floats = struct.pack('<6f', 1, -2, 3.5, 0, 1e9, 0.25)
    order = [floats[4 * (i + 3 * j):][:4] for i in range(3) for j in (0, 1)]
    want = b''.join(struct.pack('<H', (n + 0x7fff + (n >> 16 & 1)) >> 16)
                    for n in struct.unpack('<6I', b''.join(order)))
    twice = v(2) + cast(2, 0, 2 | 1 << 4, (2, 3)) + bytes([2 << 4]) + \
        zigzag(0) + v(6)
    add_good('gather-cast', 'what a gather made as bf16', floats,
             one(floats, want, 60, twice, copy(12, 48)), want)

    def refused(name, why, casts, image=128, status=6):
        add_bad('gather-' + name, why, status,
                one(BASE, turned, image, casts, copy(64, 64)), BASE)
    refused('rank', 'a gather without dimensions', v(1) + cast(0, 0, 0, ()))
    refused('many', 'seven dimensions', v(1) + cast(0, 0, 7, (2,) * 7), 192)
    refused('order', 'an order that is none',
            v(1) + cast(0, 0, 2 | 2 << 4, (8, 8)))
    refused('far', 'leaves the base', v(1) + cast(0, 1, 2, (8, 8)))
    refused('nothing', 'a dimension of 0', v(1) + cast(0, 0, 2, (8, 0)), 64)
    refused('large', 'more elements than a number holds',
            v(1) + cast(0, 0, 2, (1 << 32, 1 << 32)), 64)
    refused('wide', 'elements of 16 bytes', v(1) + cast(4, 0, 1, (4,)))
    refused('run', 'a run that leaves its dimension', v(1) + cast(
        0, 0, 1 | 8, (64,), v(1) + v(2 * 64) + zigzag(1)))
    refused('empty', 'a run of nothing', v(1) + cast(
        0, 0, 1 | 8, (64,), v(2) + v(2 * 64) + zigzag(0) + v(0) + zigzag(0)))
    refused('behind', 'a gather of a gather', v(2) + cast(0, 0, 1, (64,)) +
            cast(0, 0, 1, (64,)), 192)
    refused('between', 'a cast of a gather that is not directly before',
            v(3) + cast(2, 0, 1, (16,)) + bytes([0]) + zigzag(-64) + v(16) +
            bytes([0]) + zigzag(0) + v(16), 256)
    refused('half', 'a cast of the base and of a gather',
            v(2) + cast(2, 0, 1, (16,)) + bytes([0]) + zigzag(-4) + v(16),
            192)


def vectors():
    """(folder, name, why, status, base, patch, target)"""
    def good(name, why, base, p, target):
        out.append(('good', name, why, 0, base, p, target))

    def bad(name, why, status, p, base=BASE):
        out.append(('bad', name, why, status, base, p, None))

    out = []
    t = b'mallorn'
    rec = record(7, lit(t))
    ok = patch(t, rec)

    good('empty', 'empty target without base', None, patch(b'', base=None),
         b'')
    good('empty-base', 'empty base', b'', patch(t, rec, base=b''), t)
    good('literal', 'one LIT', None, patch(t, rec, base=None), t)
    good('copy', 'the base itself', BASE,
         patch(BASE, record(64, copy(64, 0))), BASE)
    good('swap', 'two copies the other way round', BASE,
         patch(BASE[20:] + BASE[:20], record(64, copy(44, 20) + copy(20, 0))),
         BASE[20:] + BASE[:20])
    s = b'abc' + b'abc' * 33 + b'a'
    good('repeat', 'a self-copy that overlaps itself', None,
         patch(s, record(len(s), lit(b'abc') + self_(100, 3)), base=None,
               window=3), s)
    good('alone', 'ALONE is like LIT', None,
         patch(b'12345678', record(8, alone(7, 2, b'12345678')), base=None),
         b'12345678')
    good('records', 'many records, notes and resets between them', BASE,
         patch(t + BASE[5:9] + t, record(0, b'\1nonsense', 15), rec,
               record(0, b'', 31), record(4, copy(4, 5), 16),
               record(0, b'\x7f', 15), rec), t + BASE[5:9] + t)
    good('extension', 'an unknown field that is not critical', None,
         patch(t, rec, base=None, ext=b'\x02\x03abc\x7f\0'), t)
    good('signed', 'a signature, which this reader passes over', BASE,
         patch(t, rec, ext=body_field(rec) + signature(1)), t)
    good('in-place', 'each page of 16 bytes of what is still there', BASE,
         patch(BASE[1:17] + BASE[16:32] + BASE[33:35] + BASE[33:47],
               record(48, copy(16, 1) + copy(16, 16) + copy(2, 33) +
                      copy(14, 33)), flags=3, ext=b'\x83\2\4\0'),
         BASE[1:17] + BASE[16:32] + BASE[33:35] + BASE[33:47])
    good('lead', 'the same with a base that is moved up by two pages', BASE,
         patch(t + BASE, record(71, lit(t) + copy(64, 0)), flags=3,
               ext=b'\x83\2\4\2'), t + BASE)
    good('release', 'a large release counter, a window that is not used',
         None, patch(t, rec, base=None, release=2**63 - 1, window=2**40,
                     cls=3), t)
    for kind in range(len(TYPES)):
        n = unit(kind)
        units = max(1, 24 // n)
        base = bytes(i * 73 + kind * 11 & 255 for i in range(n * units + 3))
        res = bytes((i * 151 + 7 & 255) if i % 5 else 255
                    for i in range(n * units))
        target = apply_diff(kind, units, base[3:], res)
        good('diff-%02d' % kind, 'residuals of type %d' % kind, base,
             patch(target, record(len(target), diff(kind, units, 3, res)),
                   base=base), target)
    a, b = BASE[:30], BASE[::-1]
    good('chain', 'two patches, one after the other', BASE,
         patch(a, record(30, copy(30, 0))) +
         patch(b, record(64, lit(b)), base=a), b)

    bad('not', 'no patch at all', 1, b'hello, world\n')
    bad('nothing', 'no byte', 6, b'')
    bad('cut-header', 'ends within the header', 6, ok[:50])
    bad('cut-body', 'ends within the body', 6, ok[:-1])
    bad('behind', 'a byte behind the patch', 6, ok + b'\0')
    bad('header-crc', 'wrong CRC-32 of the header', 6,
        ok[:20] + bytes([ok[20] ^ 1]) + ok[21:])
    bad('record-crc', 'wrong CRC-32 of a record', 6,
        ok[:-6] + bytes([ok[-6] ^ 1]) + ok[-5:])
    bad('version', 'version 2', 5, patch(t, rec, version=2))
    bad('class', 'class 4', 5, patch(t, rec, cls=4))
    bad('flag', 'a reserved flag', 5, patch(t, rec, flags=129))
    # XXH3-128 of no bytes, as its authors publish it
    xxh3 = bytes.fromhex('99aa06d3014798d86001c324468d497f') + bytes(16)
    good('xxh3', 'digests by XXH3-128', None,
         patch(b'', base=None, flags=4, cls=3, sha=xxh3), b'')
    bad('xxh3-class', 'digests by XXH3-128 in class micro', 6,
        patch(b'', base=None, flags=4, cls=2, sha=xxh3), None)
    bad('xxh3-digest', 'XXH3-128 with a byte behind it that is not 0', 7,
        patch(b'', base=None, flags=4, cls=3, sha=xxh3[:-1] + b'\1'), None)
    bad('xxh3-signed', 'digests by XXH3-128 in a signed patch', 6,
        patch(t, rec, flags=5, cls=3, ext=body_field(rec) + signature(1)))
    bad('page-none', 'in place, but no page', 6, patch(t, rec, flags=3))
    bad('page-alone', 'a page, but not in place', 6,
        patch(t, rec, ext=b'\x83\2\4\0'))
    bad('page-size', 'a page of 8 bytes', 6,
        patch(t, rec, flags=3, ext=b'\x83\2\3\0'))
    bad('page-base', 'in place without a base', 6,
        patch(t, rec, base=None, flags=2, ext=b'\x83\2\4\0'), None)
    bad('page-gone', 'a page that uses one before it', 6,
        patch(bytes(16) + BASE[:1], record(17, lit(bytes(16)) + copy(1, 0)),
              flags=3, ext=b'\x83\2\4\0'))
    bad('page-across', 'a copy that reaches into the next page', 6,
        patch(BASE[:1] + BASE[:32], record(33, copy(1, 0) + copy(32, 0)),
              flags=3, ext=b'\x83\2\4\0'))
    bad('lead-less', 'a base that is not moved up far enough', 6,
        patch(bytes(33) + BASE[:1], record(34, lit(bytes(33)) + copy(1, 0)),
              flags=3, ext=b'\x83\2\4\1'))
    bad('critical', 'an unknown critical field', 5,
        patch(t, rec, ext=b'\x81\0'))
    bad('signature', 'a signature of an unknown algorithm', 5,
        patch(t, rec, ext=body_field(rec) + signature(2)))
    bad('signed-last', 'a field behind the signature', 6,
        patch(t, rec, ext=body_field(rec) + signature(1) + b'\x02\0'))
    bad('field', 'a field that leaves the header', 6,
        patch(t, rec, ext=b'\x01\x02x'))
    bad('long', 'a header of more than 384 bytes', 6,
        patch(t, rec, ext=b'\x01\xf0' + bytes(240) + b'\x01\x40' + bytes(64)))
    bad('coder', 'an unknown coder', 5, patch(t, record(7, lit(t), 4)))
    bad('coder-bits', 'reserved bits of a record', 5,
        patch(t, record(7, lit(t), 32)))
    bad('note', 'a note that makes something', 5,
        patch(t, record(7, lit(t), 15)))
    bad('type', 'an unknown element type', 5,
        patch(t, record(7, alone(63, 7, t))))
    bad('op', 'an unknown operation', 6, patch(t, record(7, b'\5' + lit(t))))
    bad('zero', 'an operation that makes nothing', 6,
        patch(t, record(7, copy(0, 0) + lit(t))))
    bad('record-zero', 'a record that makes nothing', 6,
        patch(t, record(0, b''), rec))
    bad('record-long', 'a record that leaves the body', 6,
        patch(t, b'\0\7\x14' + lit(t) + b'1234'))
    bad('less', 'records make too little', 6, patch(t, rec, size=8))
    bad('more', 'records make too much', 6, patch(t, rec, size=6))
    bad('op-more', 'an operation makes too much', 6,
        patch(t, record(6, lit(t)), size=6))
    bad('op-less', 'operations make too little', 6,
        patch(t, record(8, lit(t)), size=8))
    bad('rest', 'payload that is not used up', 6,
        patch(t, record(7, lit(t) + b'\0')))
    bad('copy-behind', 'a copy from behind the base', 6,
        patch(t, record(7, copy(7, 58))))
    bad('copy-far', 'a copy from 2^63-1', 6,
        patch(t, record(7, copy(7, 2**63 - 1))))
    bad('copy-no-base', 'a copy without a base', 6,
        patch(t, record(7, copy(7, 0)), base=None), None)
    bad('wrap', 'units that make 2^64 bytes', 6,
        patch(t, record(8, diff(4, 2**61, 0, bytes(8))), size=8))
    bad('window', 'a self-copy from beyond the window', 6,
        patch(t * 2, record(14, lit(t) + self_(7, 7)), window=6))
    bad('self-far', 'a self-copy from before the target', 6,
        patch(t * 2, record(14, lit(t) + self_(7, 8)), window=100))
    bad('self-zero', 'a self-copy of distance 0', 6,
        patch(t * 2, record(14, lit(t) + self_(7, 0)), window=100))
    bad('varint-long', 'a number in more bytes than it needs', 6,
        patch(t, record(7, b'\0\x87\0' + t)))
    bad('varint-large', 'a number of 64 bits', 6,
        patch(t, record(7, b'\0' + b'\xff' * 9 + b'\1' + t)))
    bad('base', 'another base', 4, ok, BASE[::-1])
    bad('base-size', 'a base of another size', 4, ok, BASE[:-1])
    bad('base-none', 'no base', 4, ok, None)
    bad('digest', 'another target than promised', 7,
        patch(t, rec, sha=hashlib.sha256(b'x').digest()))
    bad('chain-gap', 'a chain that does not fit', 4, ok + ok)
    bad('chain-alone', 'a chain whose second patch needs no base', 6,
        ok + patch(t, rec, base=None))
    fast(good, bad)
    gathers(good, bad)
    return out


def main():
    for folder, name, why, status, base, p, target in vectors():
        d = os.path.join(sys.argv[1], folder)
        os.makedirs(d, exist_ok=True)
        with open(os.path.join(d, name + '.hex'), 'w') as f:
            f.write('why: %s\nstatus: %d\n' % (why, status))
            if base is not None:
                f.write('base: %s\n' % base.hex())
            f.write('patch: %s\n' % p.hex())
            if target is not None:
                f.write('target: %s\n' % target.hex())


main()
