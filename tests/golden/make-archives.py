#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make-archives.py: makes zip/, npy/ and tar/ beside it anew.

By the programs whose files mallorn must read: numpy, Python's zipfile and
tarfile, Info-ZIP's zip and GNU tar. All hold the same two arrays. The bytes
depend on the versions of these; what the tests ask for does not."""
import io
import os
import subprocess
import tarfile
import tempfile
import zipfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
W = np.arange(6, dtype='<f4').reshape(2, 3)
B = np.array([1, -2, 3], dtype='<i2')


def at(*path):
    return os.path.join(HERE, *path)


def npy(array, version=None):
    f = io.BytesIO()
    np.lib.format.write_array(f, array, version=version)
    return f.getvalue()


def put(path, data):
    with open(path, 'wb') as f:
        f.write(data)


for k in (1, 2, 3):
    put(at('npy', 'v%d.npy' % k), npy(W, (k, 0)))
put(at('npy', 'fortran.npy'), npy(np.asfortranarray(W)))
put(at('npy', 'big-endian.npy'), npy(W.astype('>f4')))
put(at('npy', 'structure.npy'), npy(np.zeros(
    2, dtype=[("it's", '<f4'), ('b', [('c', '<i2', (2,))])])))

np.savez(at('zip', 'numpy.npz'), w=W, b=B)
np.savez_compressed(at('zip', 'deflated.npz'), w=W, b=B)
with zipfile.ZipFile(at('zip', 'lzma.zip'), 'w', zipfile.ZIP_LZMA) as z:
    z.writestr('w.npy', npy(W))

with tempfile.TemporaryDirectory() as d:
    deep = os.path.join('d' * 90, 'e' * 90)
    os.makedirs(os.path.join(d, deep))
    for name, array in (('w.npy', W), ('b.npy', B)):
        put(os.path.join(d, name), npy(array))
        put(os.path.join(d, deep, name), npy(array))
    os.link(os.path.join(d, 'w.npy'), os.path.join(d, 'z.npy'))
    hole = np.zeros(65536, dtype='<f4')
    put(os.path.join(d, 'hole.npy'), npy(hole)[:128])
    os.truncate(os.path.join(d, 'hole.npy'), 128 + hole.nbytes)

    # to a pipe: sizes behind the bytes
    out = subprocess.run(['zip', '-q', '-X', '-0', '-', 'w.npy', 'b.npy'],
                         cwd=d, stdout=subprocess.PIPE, check=True).stdout
    put(at('zip', 'piped.zip'), out)

    def tar(name, *args):
        subprocess.run(['tar', '-b1', '--owner=0', '--group=0', '--mtime=@0',
                        '-C', d, '-cf', at('tar', name)] + list(args),
                       check=True)
    for form in ('v7', 'ustar', 'pax', 'gnu'):
        tar(form + '.tar', '--format=' + form, 'w.npy', 'b.npy', 'z.npy')
    for form in ('pax', 'gnu'):
        tar(form + '-long.tar', '--format=' + form,
            os.path.join(deep, 'w.npy'))
    tar('gnu-sparse.tar', '-S', '--format=gnu', 'hole.npy', 'w.npy')
    for v in ('0.0', '0.1', '1.0'):
        tar('pax-sparse-%s.tar' % v, '-S', '--format=pax',
            '--sparse-version=' + v, 'hole.npy', 'w.npy')
