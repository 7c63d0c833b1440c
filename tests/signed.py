#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""signed.py PORT FIRMWARE KEYS OLD NEW: a device that takes only what is signed
gets patches from OLD to NEW that are right and that are not. What is refused by
its header has touched nothing: the flash is the same, byte for byte. Takes
$BIN."""
import importlib.util
import os
import subprocess
import sys
import tempfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
spec = importlib.util.spec_from_file_location(
    'embedded', ROOT + '/tests/embedded.py')
embedded = importlib.util.module_from_spec(spec)
spec.loader.exec_module(embedded)

EFORMAT, ECRC, EBASE, EOLD, EVERIFY, ESIGN = 1, 4, 20, 22, 24, 28
BIN = os.environ.get('BIN', 'build/bin') + '/'


def run(*args, **more):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE,
                          **more).stdout


def cut(patch):
    n = 8 + (patch[7] >> 7)
    n += (patch[7] & 127 | (patch[8] << 7 if patch[7] > 127 else 0)) + 4
    return bytearray(patch[:n]), patch[n:]


def sealed(head, body):
    """With the CRC-32 of what the header is now."""
    return bytes(head[:-4]) + zlib.crc32(head[:-4]).to_bytes(4, 'little') + body


def cases(place, keys, old, new):
    """Of each: name, patch, what it is refused with (none: 0), and whether by
    its header."""
    with tempfile.TemporaryDirectory() as d:
        third = d + '/third'
        with open(new, 'rb') as f, open(third, 'wb') as g:
            data = bytearray(f.read())
            data[len(data) // 2] ^= 0x55
            g.write(data)

        def diff(release, base=old, target=new):
            return run(BIN + 'ml-diff', '-q', '-c', 'nano', '-r',
                       str(release), *place, base, target)

        def sign(patch, key):
            return run(BIN + 'ml-sign', '-s', f'{keys}/{key}.key',
                       input=patch)
        plain = diff(3)
        good, other = sign(plain, 'new'), sign(plain, 'other')
        yield 'signed by the new key', good, 0, False
        yield 'signed by the old key', sign(plain, 'old'), 0, False
        yield 'not signed', plain, ESIGN, True
        yield 'signed by another key', other, ESIGN, True
        head, body = cut(good)
        head[-76:-68] = cut(good)[0][-76:-68]
        false = cut(other)[0]
        false[-76:-68] = head[-76:-68]
        yield 'by another key with a known id', sealed(false, body), ESIGN, True
        # unit/test_update changes every bit
        for i in range(9, len(head) - 4, 13):
            bad = bytearray(head)
            bad[i] ^= 1
            yield f'header changed at {i}', sealed(bad, body), None, True
        bad = bytearray(head)
        bad[30] ^= 1
        yield 'header damaged', bytes(bad) + body, ECRC, True
        yield 'older', sign(diff(1), 'new'), EOLD, True
        yield 'older and not signed', diff(1), EOLD, True
        yield 'of another model', sign(diff(3, third), 'new'), EBASE, True
        yield 'only a signature', bytes(head[-68:]) + body, EFORMAT, True
        if place:
            return
        second = sign(diff(3, old, third), 'new')
        yield 'body of another', bytes(head) + cut(second)[1], None, False
        yield 'header of another', bytes(cut(second)[0]) + body, None, False
        # what only the digest of the whole can find
        yield ('body changed', bytes(head) + changed(head, body, old), EVERIFY,
               False)


def changed(head, body, old):
    """A byte of the last record is another one, its CRC-32 right, so that there
    is a target, but not the one of the header."""
    at = 0
    while True:
        start, n = at, []
        at += 1
        for _ in range(2):
            v = s = 0
            while body[at] & 128:
                v |= (body[at] & 127) << s
                s += 7
                at += 1
            n.append(v | body[at] << s)
            at += 1
        if at + n[1] + 4 == len(body):
            break
        at += n[1] + 4
    for i in range(at, at + n[1]):
        b = bytearray(body[:-4])
        b[i] ^= 1
        made = bytes(b) + zlib.crc32(b[start:]).to_bytes(4, 'little')
        with tempfile.NamedTemporaryFile() as f:
            f.write(bytes(head) + made)
            f.flush()
            # the last thing that is found, after all records
            if b'the body has not the SHA-256' in subprocess.run(
                    [BIN + 'ml-apply', old, f.name], capture_output=True,
                    check=False).stderr:
                return made
    raise SystemExit('no byte makes another target')


def one(port, firmware, image, patch):
    """What the device answers, what it runs then, and its flash."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(image)
        f.flush()
        d = embedded.Device(port, firmware, f.name)
        try:
            d.line()
            embedded.raw(d, patch)
            answer = again = d.line()
            while not again.startswith('ready'):
                answer, again = again, d.line()
        finally:
            d.stop()
        with open(f.name, 'rb') as g:
            return answer, again, g.read()


def main():
    port, firmware, keys, old, new = sys.argv[1:6]
    place = ['--in-place', '4096'] if '-place' in port else []
    host = port.startswith('host')
    with open(old, 'rb') as f:
        image = embedded.factory.image(f.read(), 2)
    size = os.path.getsize(new)
    count = same = stack = 0
    for name, patch, error, early in cases(place, keys, old, new):
        answer, again, flash = one(port, firmware, image, patch)
        count += 1
        if ' stack 0x' in answer:
            stack = max(stack, int(answer.split(' stack ')[1].split()[0], 16))
        if error == 0:
            if not answer.startswith('updated') or (
                    f'size 0x{size:08x} release 0x00000003' not in again):
                raise SystemExit(f'{name}: {answer}')
            continue
        if not answer.startswith('refused') or (
                'slot 0x00000000' not in again or
                'release 0x00000002' not in again):
            raise SystemExit(f'{name}: {answer}, {again}')
        if error and f'refused error 0x{error:08x}' not in answer:
            raise SystemExit(f'{name}: {answer}')
        if early and host:
            if flash != image:
                raise SystemExit(f'{name}: the flash was touched')
            same += 1
    print(f'# {count} patches, {same} refused with the flash as it was, '
          f'stack at most {stack}')


main()
