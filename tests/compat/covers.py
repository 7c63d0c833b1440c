#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""covers.py VECTOR...: what of the formats the good vectors hold, and whether
that is all that a version ever gave a number to: see README.md. By the frames
alone, ml-patch(5) and ml-stream(5)."""
import sys

# What the version that is being made knows. A new number goes here, together
# with a golden file that has it; none is ever taken away.
WANT = {
    'patch format 1', 'chain',
    'class 1', 'class 2', 'class 3', 'flag 0', 'flag 1', 'flag 2',
    'field 01', 'field 0f', 'field 81', 'field 82', 'field 83',
    'release', 'window', 'reset', 'note 1', 'note 2', 'note 3',
    'class 1, coder 2', 'class 2, coder 0', 'class 2, coder 1',
    'class 3, coder 0', 'class 3, coder 1', 'class 3, coder 3',
    'operation 0', 'operation 1', 'operation 2', 'operation 3',
    'operation 4',
    'stream format 1', 'kind 1', 'kind 2', 'stream class 0',
    'stream class 1, coder 2', 'stream class 2, coder 1',
    'stream class 3, coder 1', 'stream class 3, coder 3', 'stream coder 0',
    'cast to 0', 'cast to 1', 'cast to 2', 'cast to 4', 'cast to 5',
    'cast to 6', 'cast to 7', 'cast to 8', 'cast to 9', 'cast to 10',
    'cast to 11', 'stream page', 'stream class 1', 'stream class 2', 'stream class 3',
} | {f'element type {i}' for i in range(42)} | {
    f'element type {i} of coder 2' for i in (53, 54, 55)} | {
    f'record {t}' for t in ('HEAD', 'WRAP', 'CAST', 'SPAN', 'DATA', 'BASE',
                            'CODE', 'DONE')}


class Bytes:
    def __init__(self, b):
        self.b, self.at = b, 0

    def take(self, n):
        self.at += n
        assert self.at <= len(self.b)
        return self.b[self.at - n:self.at]

    def varint(self):
        v = s = 0
        while True:
            c = self.take(1)[0]
            v |= (c & 127) << s
            s += 7
            if c < 128:
                return v

    def more(self):
        return self.at < len(self.b)


def header(p, seen):
    assert p.take(4) == b'\xd3mlp'
    version, cls, flags = p.take(3)
    assert version == 1
    seen |= {'patch format 1', f'class {cls}'} | {
        f'flag {i}' for i in range(8) if flags >> i & 1}
    f = Bytes(p.take(p.varint()))
    p.take(4)
    if f.varint():
        seen.add('release')
    f.varint()
    if flags & 1:
        f.varint()
    body = f.varint()
    if f.varint():
        seen.add('window')
    f.take(64 if flags & 1 else 32)
    while f.more():
        kind, n = f.take(2)
        what = int.from_bytes(f.take(n), 'little')
        if kind == 0x0f:
            seen |= {f'element type {i} of coder 2' for i in range(64)
                     if what >> i & 1}
        seen.add(f'field {kind:02x}')
    return cls, body


def plain(code, n, seen):
    c = Bytes(code)
    while n:
        op = c.take(1)[0]
        kind = c.take(1)[0] if op > 2 else 0
        seen.add(f'operation {op}')
        if op > 2:
            seen.add(f'element type {kind}')
        k = c.varint() * (UNIT[kind] if op > 2 else 1)
        if op in (1, 2, 3):
            c.varint()
        if op in (0, 3, 4):
            c.take(k)
        n -= k
    assert not c.more()


def casts(note, seen):
    """A note of type 3, as far as it can be read without its factors."""
    c = Bytes(note[1:])
    for _ in range(c.varint()):
        to = c.take(1)[0] >> 4
        seen.add(f'cast to {to}')
        if to > 7:
            return
        c.varint()
        c.varint()
        if to > 5:
            c.varint()
            c.varint()
            c.take(4 * c.varint())


def patch(data, seen):
    p, chain = Bytes(data), 0
    while p.more():
        cls, body = header(p, seen)
        chain += 1
        end = p.at + body
        while p.at < end:
            first, n, size = p.take(1)[0], p.varint(), p.varint()
            code = p.take(size)
            p.take(4)
            if first & 15 == 15:
                seen.add(f'note {code[0] if code else "of nothing"}')
                if code[:1] == b'\3':
                    casts(code, seen)
            else:
                seen.add(f'class {cls}, coder {first & 15}')
            if first & 16:
                seen.add('reset')
            if not first & 15:
                plain(code, n, seen)
    if chain > 1:
        seen.add('chain')


def stream(data, seen):
    s = Bytes(data)
    s.take(data.index(b'HEAD'))
    cls = 0
    while s.more():
        tag = s.take(4).decode()
        body = s.take(int.from_bytes(s.take(4), 'little'))
        s.take(4)
        seen.add(f'record {tag}')
        if tag == 'HEAD':
            cls = body[4]
            seen |= {f'stream format {body[0]}', f'kind {body[2]}',
                     f'stream class {cls}'}
            if body[6]:
                seen.add('stream page')
        if tag == 'CODE':
            seen.add(f'stream class {cls}, coder {body[0] & 15}')
            if not body[0] & 15:
                seen.add('stream coder 0')


# bytes of a unit of each element type, ml-patch(5)
UNIT = [1, 1, 2, 4, 8, 2, 2, 4, 8, 1, 1, 1, 18, 20, 22, 24, 34, 36, 84, 110,
        144, 176, 210, 292, 136, 66, 74, 82, 98, 110, 50, 56, 54, 66, 17, 18,
        34, 2, 4, 2, 4, 8]


def main():
    seen = set()
    for path in sys.argv[1:]:
        with open(path, encoding='ascii') as f:
            v = dict(line.rstrip('\n').split(': ', 1) for line in f
                     if ': ' in line)
        try:
            if 'patch' in v:
                patch(bytes.fromhex(v['patch']), seen)
            for kind in 'stream', 'delta':
                if kind in v:
                    stream(bytes.fromhex(v[kind]), seen)
        except (AssertionError, IndexError):
            print(f'not ok {path}: cannot be read by its frames')
    for what in sorted(WANT - seen):
        print(f'not ok no golden file has: {what}')
    if WANT <= seen:
        print(f'ok golden files have all of {len(WANT)} numbers')
    print('# beside these:', ', '.join(sorted(seen - WANT)) or 'nothing')


main()
