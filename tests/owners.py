#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""owners.py numpy|h5py|torch: mallorn and the library that owns a format say
the same of a file: names, element types, shapes, and the bytes at the offsets
that ml-ls gives. Works in the current folder; takes BIN and MODELS from the
environment. Files are made by the library with numbers that are the same each
time, and real ones are taken from MODELS."""
import glob
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import types
import warnings

BIN = os.environ['BIN']
MODELS = os.environ.get('MODELS', '')
warnings.simplefilter('ignore')
failed = False


# ===== what mallorn says ==================================================

def run(*words):
    return subprocess.run([os.path.join(BIN, words[0]), *words[1:]],
                          check=True, stdout=subprocess.PIPE).stdout


def image(path):
    """The bytes that offsets count in: those of all DATA of the stream."""
    stream, at, data = run('ml-split', path), 8, []
    while at < len(stream):
        tag, n = struct.unpack_from('<4sI', stream, at)
        if tag == b'DATA':
            data.append(stream[at + 8:at + 8 + n])
        at += 12 + n
    return b''.join(data)


def ours(path):
    """{name: (element type, shape, bytes)}"""
    said, data = json.loads(run('ml-ls', '-j', path)), image(path)
    assert said['size'] == len(data)
    found = {}
    for t in said['tensors']:
        assert t['name'] not in found, 'twice: ' + t['name']
        found[t['name']] = (t['dtype'], tuple(t['shape']),
                            data[t['offset']:t['offset'] + t['bytes']])
    return found


# ===== comparing ==========================================================

def differ(found, wanted, others):
    """The first difference, or ''. wanted has what ours() has, and a name's
    value may be a list of names in place of it: those of shared bytes, one of
    which is enough. others: names beside these are no fault."""
    names = set(wanted)
    for name, want in wanted.items():
        if isinstance(want, list):
            names.update(want)
            if name not in found and not any(n in found for n in want):
                return name + ' is missing, under all of its names'
            continue
        if name not in found:
            return name + ' is missing'
        for what, a, b in zip(('element type', 'shape'), found[name], want):
            if a != b:
                return '%s: %s %s, not %s' % (name, what, a, b)
        if found[name][2] != want[2]:
            return name + ': other bytes'
    more = sorted(set(found) - names)
    return '' if others or not more else more[0] + ' is unknown to the owner'


def check(what, path, wanted, others=False):
    global failed
    try:
        why = differ(ours(path), wanted, others)
        if not why and not wanted:
            why = 'nothing to compare'
    except (AssertionError, ValueError, subprocess.CalledProcessError) as e:
        why = str(e)
    failed = failed or bool(why)
    print('not ok owners: %s: %s' % (what, why) if why else
          'ok owners: %s: %d tensors' % (what, len(wanted)))


def skip(what, why):
    print('ok owners: %s # skip %s' % (what, why))


def pairs(*ends):
    """The real files that end so: (what to call it, path)."""
    for end in ends:
        for path in sorted(glob.glob(os.path.join(MODELS, '*', '*' + end))):
            yield '/'.join(path.split('/')[-2:]), path


# ===== numpy ==============================================================

def plain_types():
    import numpy as np
    return {np.dtype(k): v for k, v in {
        'f2': 'f16', 'f4': 'f32', 'f8': 'f64', 'u1': 'u8', 'i1': 'i8',
        'u2': 'u16', 'i2': 'i16', 'u4': 'u32', 'i4': 'i32', 'u8': 'u64',
        'i8': 'i64', '?': 'bool', 'c8': 'c64', 'c16': 'c128'}.items()}


def of_array(a):
    turned = a.flags.f_contiguous and not a.flags.c_contiguous
    return plain_types()[a.dtype], a.shape, a.tobytes('F' if turned else 'C')


def arrays():
    """Arrays of all types and some shapes, and those that stay skeleton."""
    import numpy as np
    made = {}
    for i, t in enumerate(plain_types()):
        made['of.' + t.name] = (np.arange(24 + i) % 7).astype(t)
    made['scalar'] = np.array(2.5)
    made['deep/er'] = np.arange(24, dtype='f4').reshape(2, 1, 3, 4)
    made['columns'] = np.asfortranarray(
        np.arange(6, dtype='f4').reshape(2, 3))
    made['long'] = np.sin(np.arange(70000, dtype='f4')).reshape(700, 100)
    left = {'text': np.array(['a', 'bc']),
            'swapped': np.arange(3, dtype='>f4'),
            'mixed': np.zeros(2, dtype=[('a', 'f4'), ('b', 'i2')])}
    return made, left


def numpy_checks():
    import numpy as np
    made, left = arrays()
    for k in ('of.float16', 'scalar', 'deep/er', 'columns', 'long'):
        np.save('one.npy', made[k])
        check('.npy ' + k, 'one.npy', {'': of_array(made[k])})
    wanted = {k: of_array(a) for k, a in made.items()}
    np.savez('stored.npz', **made, **left)
    check('.npz', 'stored.npz', wanted)
    np.savez_compressed('deflated.npz', **made, **left)
    check('.npz deflated', 'deflated.npz', wanted)
    for what, path in pairs('.npz'):
        with np.load(path) as z:
            check(what, path, {k: of_array(z[k]) for k in z.files})


# ===== h5py ===============================================================

def datasets(f):
    """What of the datasets of a file is to be found: those of numbers that
    went through no filter. Of chunked ones each chunk, after its place."""
    import numpy as np
    wanted, types = {}, plain_types()

    def one(name, d):
        if not hasattr(d, 'dtype') or d.dtype not in types or not d.size \
                or d.compression or d.id.get_offset() is None and \
                d.chunks is None and d.id.get_create_plist().get_layout():
            return
        if d.chunks is None or d.id.get_num_chunks() == 1 and \
                d.chunks == d.shape:
            wanted[name] = (types[d.dtype], d.shape,
                            np.asarray(d).tobytes())
            return
        for i in range(d.id.get_num_chunks()):
            at = d.id.get_chunk_info(i).chunk_offset
            wanted['%s[%s]' % (name, ','.join(map(str, at)))] = (
                types[d.dtype], d.chunks, d.id.read_direct_chunk(at)[1])

    f.visititems(one)
    return wanted


def h5py_checks():
    import h5py
    made, left = arrays()
    for version in ('earliest', 'latest'):
        path = version + '.h5'
        with h5py.File(path, 'w', libver=version) as f:
            for k, a in made.items():
                if a.dtype.kind != 'c':
                    f['some/where/' + k] = a
            f['swapped'] = left['swapped']
            f['text'] = b'words'
            if version == 'earliest': # later ones have other indices
                f.create_dataset('chunks', data=made['deep/er'],
                                 chunks=(1, 1, 2, 3))
            f.create_dataset('deflated', data=made['long'],
                             compression='gzip')
        with h5py.File(path, 'r') as f:
            check('.h5 ' + version, path, datasets(f))
    for what, path in pairs('.h5'):
        with h5py.File(path, 'r') as f:
            check(what, path, datasets(f))


# ===== torch ==============================================================

def in_memory(t):
    """The bytes of a tensor in the order in which they lie."""
    import torch
    t = t.detach()
    if t.dim():
        t = t.permute(sorted(range(t.dim()), key=lambda d: -t.stride(d)))
    t = t.contiguous().reshape(-1)
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def of_tensor(t):
    import torch
    types = {torch.float32: 'f32', torch.float64: 'f64',
             torch.float16: 'f16', torch.bfloat16: 'bf16',
             torch.int64: 'i64', torch.int32: 'i32', torch.int16: 'i16',
             torch.int8: 'i8', torch.uint8: 'u8', torch.bool: 'bool',
             torch.complex64: 'c64'}
    return types[t.dtype], tuple(t.shape), in_memory(t)


def tensors(value, name=''):
    import torch
    if isinstance(value, torch.Tensor):
        yield name, value
        return
    if hasattr(value, 'state_dict'):
        value = value.state_dict()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return
    for k, v in items:
        yield from tensors(v, name + '.' + str(k) if name else str(k))


def expected(listed):
    """Tensors that begin at the same bytes are known by one of their names."""
    wanted, first = {}, {}
    for name, t in listed:
        at = t.data_ptr() if t.numel() else None
        if at in first:
            old = wanted.pop(first[at])
            names = old if isinstance(old, list) else [first[at]]
            wanted[first[at]] = names + [name]
            continue
        if at is not None:
            first[at] = name
        wanted[name] = of_tensor(t)
    return wanted


def first_network():
    import torch
    torch.manual_seed(1)
    torch.set_num_threads(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4),
        torch.nn.Flatten(), torch.nn.Linear(16, 5))


def made_by_torch():
    import torch
    net = first_network()
    state = net.state_dict()
    state['half'] = torch.rand(3, 5).half()
    state['brain'] = torch.rand(3, 5).bfloat16()
    state['turned'] = torch.rand(3, 5).t()
    state['tied'] = state['3.weight']
    for t in (torch.int32, torch.int16, torch.int8, torch.uint8,
              torch.bool, torch.float64):
        state['of.' + str(t)] = (torch.arange(9) % 5).to(t)
    yield 'state_dict', state, {}
    yield 'legacy', state, {'_use_new_zipfile_serialization': False}
    yield 'protocol 4', state, {'pickle_protocol': 4}
    adam = torch.optim.Adam(net.parameters())
    net(torch.rand(3, 2, 4, 4)).sum().backward()
    adam.step()
    yield 'optimizer', {'step': 1, 'model': net.state_dict(),
                        'optimizer': adam.state_dict(),
                        'random': torch.get_rng_state()}, {}
    yield 'module', net, {}


class Anything:
    """In place of all classes that are no tensors: so nothing of a file is
    executed, and it may come from other versions."""

    def __init__(self, *args):
        self.args = args

    def __setstate__(self, state):
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key, value):
        pass

    def __hash__(self):
        return id(self)


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        import torch
        if (module, name) == ('builtins', 'getattr'): # members of enums
            return lambda *args: None
        if (module, name) == ('torch', 'Size'):
            return tuple
        if (module, name) == ('collections', 'OrderedDict') or \
                module == 'torch._utils' and name.startswith('_rebuild') or \
                module.startswith('torch') and name.endswith('Storage') or \
                module == 'torch' and isinstance(
                    getattr(torch, name, None), torch.dtype):
            return super().find_class(module, name)
        return type(name, (Anything,), {})


def load(f):
    """The value in a file of torch.save, by the Unpickler above."""
    import torch
    careful = types.ModuleType('careful')
    careful.__dict__.update(pickle.__dict__)
    careful.Unpickler = Unpickler
    careful.load = lambda f, **how: Unpickler(f, **how).load()
    # 1.13 forgets what it is given as pickle_module
    torch.serialization.pickle = careful
    try:
        return torch.load(f, 'cpu', careful)
    finally:
        torch.serialization.pickle = pickle


def parts(folder):
    """The tensors of a checkpoint of torch.distributed, a part each."""
    with open(os.path.join(folder, '.metadata'), 'rb') as f:
        meta = Unpickler(f).load()
    for index, at in meta.storage_data.items():
        about = meta.state_dict_metadata[index.fqn]
        if type(about).__name__ != 'TensorStorageMetadata':
            continue
        path = os.path.join(folder, at.relative_path)
        with open(path, 'rb') as f:
            f.seek(at.offset)
            t = load(io.BytesIO(f.read(at.length)))
        yield at.relative_path + '::' + index.fqn, t


def torch_checks():
    import torch
    for what, value, how in made_by_torch():
        torch.save(value, 'made.pt', **how)
        check('torch ' + what, 'made.pt',
              expected(tensors(value)))
    torch.jit.script(first_network()).save('made.pt')
    check('TorchScript', 'made.pt',
          expected(tensors(torch.jit.load('made.pt'))))
    for what, path in pairs('.pt', '.pth', '.jit'):
        script = path.endswith('.jit')
        try:
            value = torch.jit.load(path, map_location='cpu') if script \
                else load(path)
        except Exception as e: # of a later version, or of classes not here
            skip(what, 'torch %s cannot load it: %s' % (
                torch.__version__, str(e).strip().split('\n')[0][:80]))
            continue
        # attributes that are no state are tensors as well
        check(what, path, expected(tensors(value)), others=script)
    for what, path in pairs('/.metadata'):
        folder = os.path.dirname(path)
        name = '/'.join(folder.split('/')[-2:])
        check(name, folder, dict(
            (k, of_tensor(t)) for k, t in parts(folder)))


{'numpy': numpy_checks, 'h5py': h5py_checks,
 'torch': torch_checks}[sys.argv[1]]()
sys.exit(failed)
