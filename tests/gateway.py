#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gateway.py FIRMWARE OLD PATCH NEW [ranges]: the gateway of embedded/examples
brings PATCH from an HTTP server of ours (one that has ranges or has not) to a
device that is a program, behind a pseudo terminal. It loses its power in the
middle; what is left is brought to it then, and it must have NEW."""
import hashlib
import http.server
import importlib.util
import os
import pty
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GATEWAY = ROOT + '/embedded/examples/gateway.py'
spec = importlib.util.spec_from_file_location(
    'factory', ROOT + '/embedded/examples/factory.py')
factory = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(factory)


def server(patch, ranges):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            want = self.headers.get('Range') if ranges else None
            at = int(want[6:].rstrip('-')) if want else 0
            self.send_response(206 if want else 200)
            self.send_header('Content-Length', str(len(patch) - at))
            self.end_headers()
            try:
                self.wfile.write(patch[at:])
                self.server.sent += len(patch) - at
            except OSError:
                pass  # the gateway was killed

        def log_message(self, *args):
            pass

    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    s.sent = 0
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s


def main():
    firmware, old, path, new = sys.argv[1:5]
    with open(path, 'rb') as f:
        patch = f.read()
    with open(old, 'rb') as f:
        flash = factory.image(f.read(), 2)
    with open(new, 'rb') as f:
        half = len(f.read()) // 2
        f.seek(0)
        new = hashlib.sha256(f.read()).hexdigest()
    s = server(patch, 'ranges' in sys.argv)
    url = f'http://127.0.0.1:{s.server_port}/patch'
    master, slave = pty.openpty()
    tty.setraw(slave)
    with tempfile.NamedTemporaryFile() as f:
        f.write(flash)
        f.flush()

        def start():
            d = subprocess.Popen([firmware, f.name], stdin=master,
                                 stdout=master)
            return d, subprocess.Popen(
                [sys.executable, GATEWAY, url, os.ttyname(slave)],
                stdout=subprocess.PIPE, text=True)

        d, g = start()
        # until half of the other slot is there; in place, until the third
        # record of the journal, two blocks behind the marks
        mark = factory.SLOT + half
        if '-place' in firmware:
            mark = 2 * factory.SLOT + 2 * factory.BLOCK + 2 * 1024
        for _ in range(3000):
            with open(f.name, 'rb') as image:
                image.seek(mark)
                if image.read(64) != bytes([255]) * 64:
                    break
            time.sleep(.01)
        d.kill()
        g.kill()
        d.wait()
        g.wait()
        tty.setraw(slave)  # and what was on the line is lost
        termios.tcflush(slave, termios.TCIOFLUSH)
        termios.tcflush(master, termios.TCIOFLUSH)
        before = s.sent
        d, g = start()
        said = g.communicate(timeout=100)[0]
        d.kill()
        d.wait()
    print('# ' + said.strip().replace('\n', '\n# '))
    print(f'# the server sent {s.sent - before} bytes of {len(patch)}')
    if g.returncode or new not in said or ' resume 0x' not in said:
        raise SystemExit('not updated')
    if 'ranges' in sys.argv and s.sent - before >= len(patch):
        raise SystemExit('all of it was fetched again')


main()
