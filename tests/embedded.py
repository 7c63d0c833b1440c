#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""embedded.py PORT FIRMWARE OLD PATCH NEW [HOW]: boots the firmware in QEMU with
OLD in its flash, sends PATCH and compares what it answers with NEW. HOW it is
sent: raw, xmodem, noise (damaged blocks), sx; or refuse, and then it keeps OLD;
or cut (host only): it loses its power in the middle, is asked from where to go
on, and gets only the rest; or again, and then all of it. COUNT=1 counts
instructions instead of keeping time."""
import hashlib
import importlib.util
import os
import select
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
spec = importlib.util.spec_from_file_location(
    'factory', ROOT + '/embedded/examples/factory.py')
factory = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(factory)

# QEMU has no board with a Cortex-M0+ and room for models: the code of one runs
# on the Cortex-M3 of mps2-an385, whose instructions include it.
MACHINES = {
    'cortex-m4': (['qemu-system-arm', '-M', 'mps2-an386'], 0x21000000),
    'cortex-m0plus': (['qemu-system-arm', '-M', 'mps2-an385'], 0x21000000),
    'riscv32': (['qemu-system-riscv32', '-M', 'virt', '-bios', 'none', '-m',
                 '64'], 0x81000000),
    # Its calls to the simulator reach our pipes only without a serial line:
    # through one, QEMU 7.2 fills and empties a buffer in two threads at once,
    # without a lock, and loses bytes.
    'lx106': (['qemu-system-xtensa', '-M', 'sim', '-cpu', 'lx106', '-m', '64',
               '-semihosting', '-serial', 'none'], 0x61000000),
}
SOH, EOT, ACK, NAK, CAN = 1, 4, 6, 0x15, 0x18


class Device:
    def __init__(self, port, firmware, flash):
        for variant in '-signed', '-int', '-place', '-cast':
            port = port.removesuffix(variant)
        qemu, at = MACHINES.get(port, ([], 0))
        args = [firmware, flash] if not qemu else qemu + [
            '-kernel', firmware, '-display', 'none', '-monitor', 'none',
            '-device', f'loader,file={flash},addr={at:#x},force-raw=on']
        if qemu and '-serial' not in qemu:
            args += ['-serial', 'stdio']
        if qemu and os.environ.get('COUNT'):
            args += ['-icount', 'shift=0,sleep=off']
        self.p = subprocess.Popen(args, bufsize=0, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)

    def put(self, data):
        self.p.stdin.write(data)

    def get(self, seconds=20.0, silent=False):
        if not select.select([self.p.stdout], [], [], seconds)[0]:
            if silent:
                return None
            raise SystemExit('the device says nothing')
        c = self.p.stdout.read(1)
        if not c:
            raise SystemExit('the device is gone')
        return c[0]

    def line(self):
        text = b''
        end = time.monotonic() + 30
        while not text.endswith(b'\n'):
            if time.monotonic() > end:
                raise SystemExit(f'no line from the device, but {text}')
            text += bytes([self.get()])
        return text.decode('latin-1').strip('\nC\x06')

    def stop(self):
        self.p.kill()
        self.p.wait()


def crc16(data):
    c = 0
    for b in data:
        c ^= b << 8
        for _ in range(8):
            c = (c << 1) ^ (0x1021 if c & 0x8000 else 0)
        c &= 0xffff
    return c


def packet(n, data):
    data = data.ljust(128, b'\x1a')
    return bytes([SOH, n & 255, ~n & 255]) + data + crc16(data).to_bytes(
        2, 'big')


def say(d, p):
    """Sends a good packet until it is answered. On a busy machine the device
    may lose patience in the middle of it."""
    for _ in range(20):
        d.put(p)
        answer = d.get(3, True)
        while answer == ord('C'):
            answer = d.get(3, True)
        if answer not in (NAK, None):
            return answer
    raise SystemExit('the device does not understand')


def xmodem(d, patch, noise):
    while d.get() != ord('C'):
        pass
    n = 1
    for at in range(0, len(patch), 128):
        good = packet(n, patch[at:at + 128])
        bad = []
        if noise and n % 5 == 1:  # a damaged block, one cut off, and a repeat
            spoilt = bytearray(good)
            spoilt[9 + n % 100] ^= 4
            bad = [bytes(spoilt), good[:50], good]
        for p in bad + [good]:
            answer = say(d, p) if p == good else d.put(p) or d.get()
            if answer == CAN:
                return
            if answer not in ((ACK,) if p == good else (NAK, ord('C'))):
                raise SystemExit(f'block {n}: answer {answer}')
        n += 1
    for want in NAK, ACK:
        d.put(bytes([EOT]))
        if d.get() != want:
            raise SystemExit('EOT was not understood')


def cut(d, port, firmware, flash, patch, again):
    """Sends half of it, and the rest to the device when it is on again."""
    while d.get() != ord('C'):
        pass
    n = 1
    for at in range(0, len(patch) // 2, 128):
        say(d, packet(n, patch[at:at + 128]))
        n += 1
    d.stop()
    d = Device(port, firmware, flash)
    hello = d.line()
    print('#', hello)
    at = int(hello.partition(' resume ')[2].split()[0], 16)
    if not 0 < at <= len(patch) // 2 + 128:
        raise SystemExit('it does not go on')
    print(f'# {len(patch) - at} of {len(patch)} bytes remain')
    xmodem(d, patch if again else b'\xd3mlr' + at.to_bytes(4, 'little') +
           patch[at:], False)
    return d


def raw(d, patch):
    while d.get() != ord('C'):
        pass
    d.put(b'R' + len(patch).to_bytes(4, 'little'))
    for at in range(0, len(patch), 128):
        d.put(patch[at:at + 128])
        c = d.get()
        while c == ord('C'):
            c = d.get()
        if c != ACK:
            return


def sx(d, path):
    while d.get() != ord('C'):
        pass
    s = subprocess.run(['sx', '-X', '-q', path], stdin=d.p.stdout,
                       stdout=d.p.stdin, stderr=subprocess.DEVNULL,
                       timeout=100, check=False)
    if s.returncode:
        print(f'# sx ended with {s.returncode}')


def main():
    port, firmware, old, path, new = sys.argv[1:6]
    how = (sys.argv + ['xmodem'])[6]
    with open(old, 'rb') as f:
        flash = factory.image(f.read(), 2)
    with open(path, 'rb') as f:
        patch = f.read()
    with open(new, 'rb') as f:
        new = f.read()
    with tempfile.NamedTemporaryFile() as f:
        f.write(flash)
        f.flush()
        d = Device(port, firmware, f.name)
        try:
            hello = d.line()
            start = time.monotonic()
            if how == 'raw':
                raw(d, patch)
            elif how in ('cut', 'again'):
                d = cut(d, port, firmware, f.name, patch, how == 'again')
            elif how == 'sx':
                sx(d, path)
            else:
                xmodem(d, patch, how == 'noise')
            # A sender such as sx may swallow a line that comes too soon; the
            # next one says what the device then runs.
            answer = again = d.line()
            while not again.startswith('ready'):
                answer, again = again, d.line()
            if how == 'sx' and not answer.startswith('updated'):
                answer = again.replace('ready', 'updated', 1)
        finally:
            d.stop()
    print('#', hello)
    print('#', answer, f'{time.monotonic() - start:.1f} s')
    want = (f'updated slot 0x{1:08x} size 0x{len(new):08x} release '
            f'0x{3:08x} sha256 {hashlib.sha256(new).hexdigest()} stack')
    slot = 1
    if how == 'refuse':  # an element type that it has not
        want, slot = 'refused error 0x00000002 slot 0x00000000', 0
    if not answer.startswith(want) or f'slot 0x{slot:08x}' not in again:
        raise SystemExit('not the target')


if __name__ == '__main__':
    main()
