#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""size.py FOLDER...: code, RAM and stack of every part of the ports built in
the folders, as lines "port, part, code bytes, RAM bytes, stack bytes", tabs
between. Status 1 past a budget.

Code is that of the linked program, tables and start values included. Stack is
the deepest chain of calls as GCC's call graph and frame sizes have it: an
upper bound, which a measurement does not reach. A part's stack is what it and
all that it calls take."""
import glob
import os
import re
import subprocess
import sys

# Budgets, here and nowhere else: part: (code, RAM, stack), of any port.
BUDGET = {
    'cortex-m4': {'decoder': (4150, 490, 270),
                  'total': (9100, 1070, 350)},
    'cortex-m4-int': {'decoder': (4150, 490, 270),
                      'total': (9100, 1070, 350)},
    'cortex-m4-place': {'decoder': (4150, 490, 270),
                        'total': (9600, 1080, 350)},
    'cortex-m4-cast': {'decoder': (5650, 500, 425),
                       'total': (10550, 1235, 510)},
    'cortex-m0plus': {'decoder': (4250, 490, 300),
                      'total': (9700, 1090, 370)},
    'cortex-m0plus-int': {'decoder': (4250, 490, 300),
                          'total': (9700, 1090, 370)},
    'riscv32': {'decoder': (4800, 490, 290),
                'total': (10700, 1140, 420)},
    'riscv32-int': {'decoder': (4800, 490, 290),
                    'total': (10700, 1140, 420)},
    'riscv32-place': {'decoder': (4800, 490, 290),
                      'total': (11200, 1150, 420)},
    'lx106': {'decoder': (4900, 490, 340),
              'total': (10700, 1160, 440)},
    'lx106-int': {'decoder': (4900, 490, 340),
                  'total': (10700, 1160, 440)},
}

# Object files of the parts. What is not here belongs to the emulation.
PARTS = {'decoder': ['mldec'], 'sha256': ['mlsha'], 'updater': ['update'],
         'xmodem': ['xmodem'], 'main': ['main', 'mem', 'board']}

# Calls through pointers: from the objects, to the functions.
POINTERS = {'mldec': ['on_base', 'on_target', 'on_write'],
            'update': ['ml_hal_read', 'ml_hal_erase', 'ml_hal_program']}


def tool(folder, name):
    arch = subprocess.run(['file', '-b', folder + '/mldec.o'], text=True,
                          capture_output=True, check=True).stdout
    return ('arm-none-eabi-' if 'ARM' in arch else 'xtensa-lx106-elf-'
            if 'Xtensa' in arch else 'riscv64-unknown-elf-') + name


def run(*args):
    return subprocess.run(args, text=True, capture_output=True,
                          check=True).stdout


class Calls:
    """The call graph of all objects of a folder."""

    def __init__(self, folder):
        self.frame, self.calls, self.home, self.done = {}, {}, {}, {}
        for path in glob.glob(folder + '/*.ci'):
            obj = os.path.basename(path)[:-3]
            text = open(path, encoding='utf-8').read()
            for name, label in re.findall(
                    r'node: \{ title: "([^"]*)" label: "([^"]*)"', text):
                size = re.search(r'(\d+) bytes \(', label)
                if size:
                    self.frame[name] = int(size.group(1))
                    self.home[name] = obj
            for a, b in re.findall(
                    r'sourcename: "([^"]*)" targetname: "([^"]*)"', text):
                if b == '__indirect_call':
                    for c in POINTERS[obj]:
                        self.calls.setdefault(a, set()).add('?' + c)
                else:
                    self.calls.setdefault(a, set()).add(b)
        plain = {n.rsplit(':', 1)[-1]: n for n in self.frame}
        self.calls = {a: {plain.get(b[1:], b) if b[0] == '?' else b
                          for b in s} for a, s in self.calls.items()}

    def depth(self, name):
        if name not in self.done:
            self.done[name] = 0  # a cycle counts once; there is none
            self.done[name] = self.frame.get(name, 0) + max(
                [self.depth(c) for c in self.calls.get(name, ())] + [0])
        return self.done[name]


def code(folder):
    """Bytes of each object in the linked program's code, by the map."""
    total, section = {}, ''
    for line in open(folder + '/firmware.map', encoding='utf-8'):
        if re.match(r'[.\w]', line):
            section = line.split()[0]
        m = re.search(r'0x[0-9a-f]+\s+(0x[0-9a-f]+) (\S+)$', line.rstrip())
        if m and section == '.text':
            obj = re.sub(r'.*[/(]|\.o\)?$', '', m.group(2))
            total[obj] = total.get(obj, 0) + int(m.group(1), 16)
    return total


def ram(folder):
    """Bytes of each part: the decoder's are inside the updater's."""
    size = {}
    for line in run(tool(folder, 'nm'), '-S', folder + '/sizes.o').split('\n'):
        f = line.split()
        if len(f) == 4 and f[3].startswith('ml_size_'):
            size[f[3][8:]] = int(f[1], 16)
    return size


def main():
    bad = False
    for folder in sys.argv[1:]:
        port = os.path.basename(folder)
        calls, sizes, mem = Calls(folder), code(folder), ram(folder)
        elf = [x.split() for x in run(
            tool(folder, 'size'), '-A', folder + '/firmware.elf').split('\n')]
        elf = {x[0]: int(x[1]) for x in elf if len(x) == 3 and x[0][0] == '.'}
        rows = []
        known = [o for p in PARTS.values() for o in p]
        for part, objs in PARTS.items():
            n = sum(sizes.get(o, 0) for o in objs)
            if part == 'main':  # and the compiler's own functions
                n += sum(v for o, v in sizes.items()
                         if o not in known + ['sim', 'nor'])
            depth = max([calls.depth(f) for f in calls.frame
                         if calls.home[f] in objs] + [0])
            rows.append((part, n, mem.get(part, 0), depth))
        stack = calls.depth('main')
        rows.append(('total', sum(r[1] for r in rows),
                     elf['.bss'] + stack, stack))
        for part, *n in rows:
            print(port, part, *n, sep='\t')
            for what, have, most in zip(
                    ('code', 'RAM', 'stack'), n,
                    BUDGET.get(port, {}).get(part, n)):
                if have > most:
                    print(f'size.py: {port}: {part}: {have} bytes of {what},'
                          f' {have - most} more than the budget',
                          file=sys.stderr)
                    bad = True
    sys.exit(bad)


main()
