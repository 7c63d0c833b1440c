#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""factory.py MODEL [RELEASE] >IMAGE: the flash of a device as it leaves the
factory: the model in slot 0 and its mark, as embedded/update.h has it."""
import hashlib
import struct
import sys
import zlib

BLOCK, SLOT = 4096, 1024 * 1024  # as in embedded/ports/hal.h


def image(model, release=0):
    if len(model) > SLOT:
        sys.exit('factory.py: the model does not fit the slot')
    flash = bytearray(b'\xff') * (2 * SLOT + 8 * BLOCK)
    flash[:len(model)] = model
    body = struct.pack('<8I', 0x736d6c4d, 1, 0, len(model), release, 0, 0, 0)
    body += hashlib.sha256(model).digest()
    crc = zlib.crc32(body)
    flash[2 * SLOT:2 * SLOT + 72] = body + struct.pack(
        '<2I', crc, crc ^ 0xffffffff)
    return bytes(flash)


if __name__ == '__main__':
    if len(sys.argv) not in (2, 3):
        sys.exit('usage: factory.py model [release] >image')
    with open(sys.argv[1], 'rb') as f:
        sys.stdout.buffer.write(image(f.read(), int((sys.argv + [0])[2])))
