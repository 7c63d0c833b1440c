#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make.py: makes the files beside it anew, by PyTorch.

Each FILE.txt lists what PyTorch finds in FILE: element type, shape ("-" for
none), CRC-32 of the bytes in the order of memory, name. The bytes depend on
the version of PyTorch and, in older files, on chance; what the test asks for
does not."""
import collections
import os
import zlib

import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {
    torch.float32: 'f32', torch.bfloat16: 'bf16', torch.float16: 'f16',
    torch.int64: 'i64', torch.uint8: 'u8', torch.bool: 'bool',
    torch.complex64: 'c64', torch.quint8: 'u8',
}


def at(name):
    return os.path.join(HERE, name)


def in_memory(t):
    t = t.detach()
    if t.is_quantized:
        t = t.int_repr()
    if t.dim():
        t = t.permute(sorted(range(t.dim()), key=lambda d: -t.stride(d)))
    t = t.contiguous().reshape(-1)
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def tensors(value, name=''):
    if isinstance(value, torch.Tensor):
        yield name, value
        return
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return
    for k, v in items:
        yield from tensors(v, name + '.' + str(k) if name else str(k))


def note(name, listed):
    with open(at(name + '.txt'), 'w') as f:
        for path, t in listed:
            print(TYPES[t.dtype],
                  ','.join(str(d) for d in t.shape) or '-',
                  '%08x' % zlib.crc32(in_memory(t)), path, file=f)


def save(name, value, **how):
    torch.save(value, at(name), **how)
    note(name, tensors(torch.load(at(name))))


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.pair = [torch.rand(2), torch.rand(1)]

    def forward(self, x):
        return self.linear(x) + self.pair[0].sum() + self.pair[1]


torch.manual_seed(1)
net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
state = collections.OrderedDict(net.state_dict())
state['half'] = torch.rand(2, 3).bfloat16()
save('state.pt', state)
save('legacy.pth', state, _use_new_zipfile_serialization=False)
save('protocol4.pth', {'w': torch.rand(3)}, pickle_protocol=4,
     _use_new_zipfile_serialization=False)
save('module.pt', net)

adam = torch.optim.Adam(net.parameters())
net(torch.rand(2, 3)).sum().backward()
adam.step()
save('train.pt', {'epoch': 7, 'model': net.state_dict(),
                  'optimizer': adam.state_dict()})

whole = torch.arange(24, dtype=torch.uint8)
save('kinds.pt', {
    'part': whole[8:14].view(2, 3), 'turned': torch.rand(2, 3).t(),
    'last': torch.rand(1, 2, 2, 3).contiguous(
        memory_format=torch.channels_last),
    'parameter': nn.Parameter(torch.rand(2)), 'list': [torch.tensor(3.5)],
    'z': torch.zeros(1, dtype=torch.complex64), 5: torch.ones(2).bool(),
    'q': torch.quantize_per_tensor(torch.rand(2), 0.1, 3, torch.quint8),
})
save('top.pt', torch.rand(2, 2).half())

scripted = torch.jit.script(Scripted())
scripted.save(at('script.pt'))
linear = scripted.linear.state_dict()
note('script.pt', [('linear.' + k, v) for k, v in linear.items()] +
     [('pair.%d' % i, v) for i, v in enumerate(scripted.pair)])
