#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""speed.py [-o OUT] [-n RUNS] [-T N] [-c CODEC] [-l TOOL,...] OLD NEW...

Times the programs and other tools on pairs of files, side by side in one run,
and writes OUT/speed.json, speed.md, speed.svg (ratio against speed) and
speed-size.svg (bytes of every pair). What every tool has made is applied and
compared with NEW before it is timed. See bench/README.md.
"""
import argparse
import filecmp
import json
import math
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from xml.sax.saxutils import escape

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BIN = os.path.abspath(os.environ.get('BIN', ROOT + '/build/bin'))
MB = 1e6
LARGE = 64 << 20  # what tools that take hours or tens of times the size get


class Tool:
    """make and back are commands for sh: $old, $new, $p the patch, $out."""

    def __init__(self, name, needs, make, back, limit=None):
        self.name, self.needs, self.limit = name, needs, limit
        self.make, self.back = make, back

    def why_not(self, size):
        missing = [n for n in self.needs if not shutil.which(n)]
        if missing:
            return 'not installed: ' + ' '.join(missing)
        if self.limit and size > self.limit:
            return 'file too large for it'
        return None


def program(name):
    return shlex.quote(os.path.join(BIN, name))


def ours(threads):
    """Levels count as far as the ml-diff at hand has them."""
    diff, apply = program('ml-diff'), program('ml-apply')
    words = subprocess.run([BIN + '/ml-diff', '-h'], check=True,
                           capture_output=True, text=True).stdout
    back = f'{apply} -q -T {threads} $old <$p >$out'
    need = [BIN + '/ml-diff', BIN + '/ml-apply']
    levels = [''] + ([f'-{n} ' for n in (1, 3, 6, 9)]
                     if '-1' in words else [])
    for level in levels:
        for digest in 'sha256', 'xxh3':
            if digest == 'xxh3' and level not in ('', '-1 '):
                continue
            name = 'ml-diff ' + (level or '') + \
                ('-H xxh3' if digest == 'xxh3' else '')
            yield Tool(name.strip(), need,
                       f'{diff} -q {level}-H {digest} -T {threads} '
                       '$old $new >$p', back)
    split, delta = program('ml-split'), program('ml-delta')
    zipnn, pack = program('ml-zipnn'), program('ml-pack')
    for level in '', '-1 ':
        if level and level not in levels:
            continue
        yield Tool(f'ml pipe {level}'.strip(),
                   need + [BIN + '/ml-split', BIN + '/ml-zipnn'],
                   f'{split} -q $old >$p.s && {split} -q $new | '
                   f'{delta} -q $p.s - | {zipnn} -q {level}| {pack} -q >$p',
                   back)
        yield Tool(f'ml alone {level}'.strip(), need + [BIN + '/ml-split'],
                   f'{split} -q $new | {zipnn} -q {level}| {pack} -q >$p',
                   f'{apply} -q -T {threads} <$p >$out')


def others(threads):
    t = f'-T{threads}'
    for n in 1, 3, 19:
        yield Tool(f'zstd -{n}', ['zstd'], f'zstd -q -c {t} -{n} $new >$p',
                   'zstd -q -dc <$p >$out', LARGE if n > 9 else None)
    yield Tool('lz4 -1', ['lz4'], 'lz4 -q -c -1 $new >$p',
               'lz4 -q -dc <$p >$out')
    yield Tool('xz -6', ['xz'], f'xz -c {t} -6 $new >$p', 'xz -dc <$p >$out',
               LARGE)
    yield Tool('zstd -3 --patch-from', ['zstd'],
               'zstd -q -f -3 --long=31 --patch-from=$old $new -o $p',
               'zstd -q -f -d --long=31 --patch-from=$old $p -o $out')
    yield Tool('zstd -19 --patch-from', ['zstd'],
               'zstd -q -f -19 --long=31 --patch-from=$old $new -o $p',
               'zstd -q -f -d --long=31 --patch-from=$old $p -o $out', LARGE)
    yield Tool('bsdiff', ['bsdiff', 'bspatch'], 'bsdiff $old $new $p',
               'bspatch $old $out $p', LARGE)
    yield Tool('xdelta3 -1', ['xdelta3'],
               'xdelta3 -e -1 -f -s $old $new $p',
               'xdelta3 -d -f -s $old $p $out')
    yield Tool('hdiffz -s', ['hdiffz', 'hpatchz'],
               'hdiffz -f -s-64 -SD -c-zstd-3 $old $new $p',
               'hpatchz -f $old $p $out')
    # a module or a program of the same name; both by their own interface
    zip_ = 'import sys, zipnn; z = zipnn.ZipNN(bytearray_dtype="bfloat16"); '
    if subprocess.run([sys.executable, '-c', 'import zipnn'],
                      capture_output=True).returncode == 0:
        py = shlex.quote(sys.executable) + " -c '" + zip_
        yield Tool('ZipNN', [], py + 'sys.stdout.buffer.write('
                   "z.compress(sys.stdin.buffer.read()))' <$new >$p",
                   py + 'sys.stdout.buffer.write('
                   "z.decompress(sys.stdin.buffer.read()))' <$p >$out")
    else:
        yield Tool('ZipNN', ['zipnn'], '', '')
    yield Tool('OpenZL', ['zli'], 'zli compress -f $new -o $p --profile serial',
               'zli decompress -f $p -o $out')
    yield Tool('cat | cat', ['cat'], 'cat $new | cat >$p', 'cat $p | cat >$out')


def variables(d, old, new):
    return {'old': old, 'new': new, 'p': d + '/p', 'out': d + '/out'}


def script(command, env):
    for k, v in env.items():
        command = command.replace('$' + k + '.s', shlex.quote(v + '.s'))
        command = command.replace('$' + k, shlex.quote(v))
    return command


def peak(maxrss, d, command):
    """Runs once; KiB of the largest process, or None when it failed."""
    r = subprocess.run([maxrss, d + '/t', 'sh', '-c', command],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if r.returncode:
        return None
    with open(d + '/t') as f:
        return int(f.read().split()[1])


def timed(d, command, runs):
    out = d + '/h.json'
    r = subprocess.run(['hyperfine', '--style', 'none', '-w', '1', '-r',
                        str(runs), '--export-json', out, command],
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                       text=True)
    if r.returncode:
        raise SystemExit('speed.py: ' + r.stderr)
    with open(out) as f:
        r = json.load(f)['results'][0]
    return {'seconds': round(r['median'], 6), 'cpu': round(
        r['user'] + r['system'], 6)}


def rates(t, into, out, kib):
    t['mbs_in'] = round(into / t['seconds'] / MB, 3)
    t['mbs_out'] = round(out / t['seconds'] / MB, 3)
    t['kib'] = kib
    return t


def one(tool, case, old, new, o, maxrss):
    size = os.path.getsize(new)
    row = {'case': case, 'tool': tool.name, 'bytes': size}
    why = tool.why_not(size)
    if why:
        return dict(row, skipped=why)
    with tempfile.TemporaryDirectory(dir=o.work) as d:
        env = variables(d, old, new)
        make, back = script(tool.make, env), script(tool.back, env)
        made = peak(maxrss, d, make)
        took = made and peak(maxrss, d, back)
        if not took or not filecmp.cmp(new, d + '/out', shallow=False):
            return dict(row, failed='does not give back the file')
        n = os.path.getsize(d + '/p')
        row.update(size=n, ratio=round(n / size, 6) if size else 0)
        row['make'] = rates(timed(d, make, o.runs), size, n, made)
        row['apply'] = rates(timed(d, back, o.runs), n, size, took)
    return row


def hardware():
    cpu = platform.machine()
    try:
        with open('/proc/cpuinfo') as f:
            names = [x.split(':', 1)[1].strip() for x in f
                     if x.startswith(('model name', 'Model'))]
        cpu = names[0] if names else cpu
    except OSError:
        pass
    return {'cpu': cpu, 'cores': os.cpu_count(),
            'memory_kib': os.sysconf('SC_PAGE_SIZE') *
            os.sysconf('SC_PHYS_PAGES') // 1024,
            'system': platform.system() + ' ' + platform.release()}


def text_of(command):
    r = subprocess.run(command, capture_output=True, text=True)
    return r.stdout.strip() if r.returncode == 0 else None


def codecs(program_, pairs, runs):
    """The codecs in one process, without files: see codec.c."""
    found = []
    for case, old, new in pairs:
        r = subprocess.run([program_, '-j', '-n', str(runs), new, old],
                           capture_output=True, text=True)
        if r.returncode:
            print('speed.py: codec: ' + r.stderr.strip(), file=sys.stderr)
            continue
        found.append(dict(json.loads(r.stdout), case=case))
    return found


# ===== what is written ====================================================

def markdown(report):
    h = report['hardware']
    out = [f'mallorn {report["version"]} ({report["commit"]}), {h["cpu"]}, '
           f'{h["cores"]} cores, {report["threads"]} threads, medians of '
           f'{report["runs"]} runs; MB/s of the new file, MiB of the largest '
           'process.', '']
    for case in dict.fromkeys(r['case'] for r in report['rows']):
        rows = [r for r in report['rows'] if r['case'] == case]
        out += [f'### {case}, {rows[0]["bytes"]:,} bytes', '',
                '| tool | size | ratio | make MB/s | MiB | apply MB/s | MiB |',
                '|---|--:|--:|--:|--:|--:|--:|']
        for r in sorted(rows, key=lambda r: r.get('ratio', 9)):
            if 'make' not in r:
                why = r.get('failed') or r['skipped']
                out.append(f'| {r["tool"]} | {why} | | | | | |')
                continue
            m, a = r['make'], r['apply']
            out.append(f'| {r["tool"]} | {r["size"]:,} | {r["ratio"]:.4f} | '
                       f'{m["mbs_in"]:.1f} | {m["kib"] / 1024:.0f} | '
                       f'{a["mbs_out"]:.1f} | {a["kib"] / 1024:.0f} |')
        out.append('')
    for c in report['codec']:
        out += [f'### {c["case"]}, in one process on one core', '',
                '| codec | ratio | compress MB/s | decompress MB/s |',
                '|---|--:|--:|--:|']
        for r in c['rows']:
            v = list(r.values())
            out.append(f'| {v[0]} | {v[1]:.4f} | {v[2]:.0f} | {v[3]:.0f} |')
        out.append('')
    return '\n'.join(out)


def color(name):
    return '#c33' if name.startswith('ml') else '#248'


def geomean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def pareto_svg(report):
    """Means over the cases that every tool shown has."""
    cases = {r['case'] for r in report['rows']}
    dots = []
    for tool in dict.fromkeys(r['tool'] for r in report['rows']):
        rows = [r for r in report['rows'] if r['tool'] == tool and
                r.get('size') and 'make' in r]
        if {r['case'] for r in rows} == cases:
            dots.append((tool, geomean([r['ratio'] for r in rows]),
                         geomean([r['make']['mbs_in'] for r in rows]),
                         geomean([r['apply']['mbs_out'] for r in rows])))
    wide, high, left, top, gap = 460, 360, 60, 40, 80
    p = [f'<svg xmlns="http://www.w3.org/2000/svg" '
         f'width="{left + 2 * wide + gap + 120}" height="{high + 90}" '
         'font-family="sans-serif" font-size="11">',
         '<rect width="100%" height="100%" fill="white"/>']
    if not dots:
        return '\n'.join(p + ['</svg>'])
    lo = math.log(min(d[1] for d in dots) / 1.2)
    hi = math.log(max(d[1] for d in dots) * 1.2)
    for k, title in (2, 'make'), (3, 'apply'):
        x0 = left + (k - 2) * (wide + gap)
        a = math.log(min(d[k] for d in dots) / 1.5)
        b = math.log(max(d[k] for d in dots) * 2)

        def x(v):
            return x0 + wide * (math.log(v) - a) / (b - a)

        def y(v):
            return top + high * (hi - math.log(v)) / (hi - lo)

        p.append(f'<text x="{x0}" y="20" font-size="14">{title}: ratio '
                 'against MB/s (lower and farther right is better)</text>'
                 f'<rect x="{x0}" y="{top}" width="{wide}" height="{high}" '
                 'fill="none" stroke="#999"/>')
        for e in range(-1, 6):
            if a < math.log(10.0 ** e) < b:
                p.append(f'<path d="M{x(10.0 ** e):.1f} {top}V{top + high}" '
                         f'stroke="#ddd"/><text x="{x(10.0 ** e):.1f}" '
                         f'y="{top + high + 16}" text-anchor="middle">'
                         f'{10.0 ** e:g}</text>')
        for v in .001, .002, .005, .01, .02, .05, .1, .2, .5, 1:
            if lo < math.log(v) < hi:
                p.append(f'<path d="M{x0} {y(v):.1f}h{wide}" stroke="#ddd"/>'
                         f'<text x="{x0 - 6}" y="{y(v) + 4:.1f}" '
                         f'text-anchor="end">{v:g}</text>')
        front, best = [], math.inf
        for d in sorted(dots, key=lambda d: -d[k]):
            if d[1] < best:
                best = d[1]
                front.append(f'{x(d[k]):.1f} {y(d[1]):.1f}')
        p.append(f'<path d="M{"L".join(front)}" fill="none" stroke="#2a7"/>')
        for d in dots:
            p.append(f'<circle cx="{x(d[k]):.1f}" cy="{y(d[1]):.1f}" r="4" '
                     f'fill="{color(d[0])}"/><text x="{x(d[k]) + 6:.1f}" '
                     f'y="{y(d[1]) - 4:.1f}">{escape(d[0])}</text>')
    return '\n'.join(p + ['</svg>'])


def size_svg(report):
    rows = [r for r in report['rows'] if 'ratio' in r]
    most = max([r['ratio'] for r in rows] + [1e-9])
    p, y = [], 30
    for case in dict.fromkeys(r['case'] for r in rows):
        p.append(f'<text x="8" y="{y + 12}" font-size="13">{escape(case)}'
                 '</text>')
        y += 20
        for r in sorted((r for r in rows if r['case'] == case),
                        key=lambda r: r['ratio']):
            p.append(f'<text x="190" y="{y + 11}" text-anchor="end">'
                     f'{escape(r["tool"])}</text><rect x="196" y="{y + 2}" '
                     f'width="{480 * r["ratio"] / most:.1f}" height="11" '
                     f'fill="{color(r["tool"])}"/><text '
                     f'x="{200 + 480 * r["ratio"] / most:.1f}" y="{y + 11}">'
                     f'{r["size"]:,}</text>')
            y += 15
        y += 10
    return '\n'.join(['<svg xmlns="http://www.w3.org/2000/svg" width="800" '
                      f'height="{y}" font-family="sans-serif" '
                      'font-size="11">', '<rect width="100%" height="100%" '
                      'fill="white"/>', '<text x="8" y="20" font-size="14">'
                      'Bytes of the patch, or of the file alone</text>'] +
                     p + ['</svg>'])


def main():
    a = argparse.ArgumentParser(usage=__doc__.split('\n', 1)[0])
    a.add_argument('-o', dest='out', default=ROOT + '/build/bench')
    a.add_argument('-n', dest='runs', type=int, default=5)
    a.add_argument('-T', dest='threads', type=int, default=os.cpu_count())
    a.add_argument('-c', dest='codec')
    a.add_argument('-l', dest='only', help='tools, separated by commas')
    a.add_argument('files', nargs='+')
    o = a.parse_args()
    if len(o.files) % 2:
        a.error('files come in pairs')
    if not shutil.which('hyperfine'):
        sys.exit('speed.py: no hyperfine; scripts/deps.sh bench')
    if o.codec and not shutil.which(o.codec):
        sys.exit('speed.py: no program ' + o.codec)
    pairs = []
    for old, new in zip(o.files[::2], o.files[1::2]):
        old, new = os.path.abspath(old), os.path.abspath(new)
        name = os.path.basename(new)
        if name.startswith('new'):
            name = os.path.basename(os.path.dirname(new))
        pairs.append((name, old, new))
    os.makedirs(o.out, exist_ok=True)
    o.work = os.environ.get('TMPDIR', '/tmp')
    tools = list(ours(o.threads)) + list(others(o.threads))
    if o.only:
        want = o.only.split(',')
        tools = [t for t in tools if t.name in want]
    version = text_of([BIN + '/ml-diff', '-V']).split()[1]
    report = {'version': version, 'commit': text_of(
        ['git', '-C', ROOT, 'describe', '--always', '--dirty']) or 'unknown',
        'hardware': hardware(), 'threads': o.threads, 'runs': o.runs,
        'rows': [], 'codec': []}
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([os.environ.get('CC', 'cc'), '-std=c11', '-O2',
                        '-D_POSIX_C_SOURCE=200809L', '-o', d + '/maxrss',
                        HERE + '/maxrss.c'], check=True)
        for case, old, new in pairs:
            for t in tools:
                row = one(t, case, old, new, o, d + '/maxrss')
                report['rows'].append(row)
                if 'make' in row:
                    print('%-28s %-22s %12d %7.4f %9.1f %9.1f' % (
                        case[-28:], t.name, row['size'], row['ratio'],
                        row['make']['mbs_in'], row['apply']['mbs_out']))
                else:
                    print('%-28s %-22s %s' % (
                        case[-28:], t.name,
                        row.get('failed') or row['skipped']))
                sys.stdout.flush()
    if o.codec:
        report['codec'] = codecs(o.codec, pairs, o.runs)
    for name, text in (('speed.json', json.dumps(report, indent=1)),
                       ('speed.md', markdown(report)),
                       ('speed.svg', pareto_svg(report)),
                       ('speed-size.svg', size_svg(report))):
        with open(os.path.join(o.out, name), 'w') as f:
            f.write(text + '\n')
    print(f'written: {o.out}/speed.json speed.md speed.svg speed-size.svg')
    bad = [r for r in report['rows']
           if 'failed' in r and r['tool'].startswith('ml')]
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
