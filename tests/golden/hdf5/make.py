#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# Makes the files here, with h5py 3.7 on libhdf5 1.10.8; `corpus DIR` makes
# seeds for the fuzz target. Only times, and checksums over them, differ from
# run to run.
import sys

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t


def low(f, name, how, type, shape, data=None):
    ds = h5d.create(f.id, name, type, h5s.create_simple(shape), how)
    if data is not None:
        ds.write(h5s.ALL, h5s.ALL, data)


def rich(f):
    f['a/b/w'] = np.arange(6, dtype='f4').reshape(2, 3)
    f['i'] = np.arange(3, dtype='i8')
    f['flag'] = np.array([True, False])
    f['half'] = np.ones(4, 'f2')
    f['scalar'] = np.float64(1)
    f['be'] = np.arange(2, dtype='>f4')
    f['text'] = b'fixed'
    f['empty'] = np.zeros(0, 'f4')
    f['u2'] = np.arange(3, dtype='u2')
    f['a/alias'] = f['i']
    f['a/root'] = f['/']
    f['soft'] = h5py.SoftLink('/i')
    f.create_dataset('chunk', data=np.arange(15, dtype='i2').reshape(5, 3),
                     chunks=(2, 2))
    f.create_dataset('whole', data=np.arange(6, dtype='u1').reshape(2, 3),
                     chunks=(2, 3))
    f.create_dataset('zip', data=np.arange(6, dtype='u1'), chunks=(6,),
                     compression=1)
    how = h5p.create(h5p.DATASET_CREATE)
    how.set_layout(h5d.COMPACT)
    low(f, b'compact', how, h5t.IEEE_F32LE, (3,), np.ones(3, 'f4'))
    bf16 = h5t.IEEE_F32LE.copy()
    bf16.set_fields(15, 7, 8, 0, 7)
    bf16.set_precision(16)
    bf16.set_size(2)
    bf16.set_ebias(127)
    low(f, b'bf16', None, bf16, (3,), np.ones(3, 'f4'))


def implicit(f):
    how = h5p.create(h5p.DATASET_CREATE)
    how.set_chunk((4, 3))
    how.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    low(f, b'implicit', how, h5t.IEEE_F32LE, (10, 7))


def dense(f):
    for i in range(40):
        f['l%d' % i] = (np.arange(i, dtype='u1') if i % 9 == 1 else
                        h5py.SoftLink('/l1'))


def groups(f):
    for i in range(6):
        f.create_group('g/' * i + 'x')
    f['g/g/v'] = np.arange(3, dtype='i4')
    f['g/up'] = f['/']


def make(path, fill, libver='latest', userblock=0):
    with h5py.File(path, 'w', libver=libver, userblock_size=userblock) as f:
        fill(f)


if len(sys.argv) == 3 and sys.argv[1] == 'corpus':
    make(sys.argv[2] + '/implicit', implicit)
    make(sys.argv[2] + '/dense', dense)
    make(sys.argv[2] + '/groups', groups, 'earliest')
else:
    make('earliest.h5', rich, 'earliest')
    make('latest.h5', rich, userblock=512)
