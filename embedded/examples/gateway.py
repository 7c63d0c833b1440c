#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gateway.py [-b baud] [-p key] PATCH TTY: sends a patch, a file or what a URL
gives, to a device with the firmware of main.c on a serial line, by XMODEM-CRC.
Nothing is stored on the way. A device that was cut short says so, and gets, and
the gateway fetches, only what is left. With -p the patch must be signed by a
key of minisign: then all of it is fetched first and given to ml-verify."""
import argparse
import contextlib
import os
import select
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request

SOH, EOT, ACK, NAK, CAN = 1, 4, 6, 0x15, 0x18


class Line:
    def __init__(self, path, baud):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        if os.isatty(self.fd):  # raw: no echo, no translation, 8 bits
            a = termios.tcgetattr(self.fd)
            a[0] = a[1] = a[3] = 0
            a[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
            a[4] = a[5] = getattr(termios, f'B{baud}')
            a[6][termios.VMIN], a[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.fd, termios.TCSANOW, a)

    def get(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            c = os.read(self.fd, 1)
            if not c:
                sys.exit('gateway.py: the line is gone')
            return c[0]
        return None

    def put(self, data):
        while data:
            data = data[os.write(self.fd, data):]

    def text(self, seconds):
        """The next line that says something; the device's Cs are not it."""
        said, end = b'', time.monotonic() + seconds
        while time.monotonic() < end:
            c = self.get(end - time.monotonic())
            if c == 10 and said.strip(b'C\6\r'):
                return said.strip(b'C\6\r').decode('ascii', 'replace')
            said = b'' if c == 10 else said + bytes([c] if c else [])
        return None


def crc16(data):
    c = 0
    for b in data:
        c ^= b << 8
        for _ in range(8):
            c = (c << 1 ^ (0x1021 if c & 0x8000 else 0)) & 0xffff
    return c


def send(line, packet):
    """Until it is answered, as a sender of XMODEM does."""
    for _ in range(20):
        line.put(packet)
        answer = line.get(10)
        while answer is not None and answer not in (ACK, NAK, CAN):
            answer = line.get(10)
        if answer == CAN:
            sys.exit('gateway.py: the device refuses: ' +
                     (line.text(30) or 'and says nothing'))
        if answer == ACK:
            return
    sys.exit('gateway.py: the device does not answer')


def xmodem(line, source):
    while line.get(30) != ord('C'):
        pass
    n, sent = 1, 0
    while True:
        data = b''
        while len(data) < 128 and (more := source.read(128 - len(data))):
            data += more
        if not data:
            break
        sent += len(data)
        data = data.ljust(128, b'\x1a')
        send(line, bytes([SOH, n & 255, ~n & 255]) + data +
             crc16(data).to_bytes(2, 'big'))
        n += 1
    send(line, bytes([EOT]))
    return sent


class Joined:
    """Some bytes and then a source."""

    def __init__(self, first, source):
        self.first, self.source = first, source

    def read(self, n):
        if self.first:
            n, self.first = self.first[:n], self.first[n:]
            return n
        return self.source.read(n)


def fetch(patch, at):
    """The patch from its byte `at` on."""
    if '://' not in patch:
        f = open(patch, 'rb')
        f.seek(at)
        return f
    req = urllib.request.Request(patch)
    if at:
        req.add_header('Range', f'bytes={at}-')
    f = urllib.request.urlopen(req, timeout=60)
    if at and f.status != 206:  # a server that has no ranges
        while at and (got := f.read(min(at, 65536))):
            at -= len(got)
    return f


def verified(patch, key, spool):
    f = fetch(patch, 0)
    while data := f.read(65536):
        spool.write(data)
    spool.flush()
    if subprocess.run(['ml-verify', '-p', key, spool.name],
                      check=False).returncode:
        sys.exit('gateway.py: not signed as it should be')
    return spool.name


def main():
    arg = argparse.ArgumentParser(description=__doc__)
    arg.add_argument('-b', type=int, default=115200, metavar='baud')
    arg.add_argument('-p', metavar='key')
    arg.add_argument('patch')
    arg.add_argument('tty')
    arg = arg.parse_args()
    with contextlib.ExitStack() as stack:
        patch = arg.patch
        if arg.p:
            patch = verified(patch, arg.p, stack.enter_context(
                tempfile.NamedTemporaryFile()))
        line = Line(arg.tty, arg.b)
        # What it runs is said when it starts, or after a transfer that is
        # given up.
        line.put(bytes([CAN, CAN]))
        said = line.text(60)
        while said and not said.startswith('ready'):
            said = line.text(60)
        if not said:
            sys.exit('gateway.py: no device there')
        print(said)
        at = 0
        if ' resume ' in said:
            at = int(said.split(' resume ')[1].split()[0], 16)
        source = fetch(patch, at)
        if at:
            source = Joined(b'\xd3mlr' + at.to_bytes(4, 'little'), source)
        sent = xmodem(line, source)
        said = line.text(60)
        while said and not said.startswith(('updated', 'refused')):
            said = line.text(60)
        print(said or 'the device says nothing')
        print(f'sent {sent} bytes' + (f', from {at} on' if at else ''))
        sys.exit(not (said or '').startswith('updated'))


main()
