#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""steps.py OUTDIR [--params 138M|35M|7M]: large files that are real updates of
each other. Trains a network like GPT's for a few steps of AdamW on text that
any Debian has, and writes step0, step1 (one step later) and ft (a short
fine-tune), each in fp32 and bf16, and train0 and train1 (weights and both
moments). Needs PyTorch: Debian's python3-torch. The model is hardly trained,
so this is for speed and memory rather than for claims about ratios."""
import argparse
import glob
import json
import math
import os
import re
import struct
import zlib

import torch
import torch.nn as nn
import torch.nn.functional as F

SIZES = {'138M': dict(vocab=16384, d=768, h=12, ffn=2048, layers=16),
         '35M': dict(vocab=8192, d=512, h=8, ffn=1408, layers=8),
         '7M': dict(vocab=4096, d=256, h=8, ffn=768, layers=6)}


class RMSNorm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return x * torch.rsqrt(
            x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, f = c['d'], c['ffn']
        self.h = c['h']
        for n in 'qkvo':
            setattr(self, n + '_proj', nn.Linear(d, d, bias=False))
        self.gate_proj = nn.Linear(d, f, bias=False)
        self.up_proj = nn.Linear(d, f, bias=False)
        self.down_proj = nn.Linear(f, d, bias=False)
        self.input_layernorm, self.post_layernorm = RMSNorm(d), RMSNorm(d)

    def forward(self, x, mask):
        b, t, d = x.shape
        y = self.input_layernorm(x)
        q, k, v = [getattr(self, n + '_proj')(y).view(b, t, self.h, -1)
                   .transpose(1, 2) for n in 'qkv']
        a = (q @ k.transpose(-1, -2) / math.sqrt(d // self.h) +
             mask).softmax(-1)
        x = x + self.o_proj((a @ v).transpose(1, 2).reshape(b, t, d))
        y = self.post_layernorm(x)
        return x + self.down_proj(
            F.silu(self.gate_proj(y)) * self.up_proj(y))


class GPT(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c['vocab'], c['d'])
        self.layers = nn.ModuleList([Block(c) for _ in range(c['layers'])])
        self.norm = RMSNorm(c['d'])
        self.lm_head = nn.Linear(c['d'], c['vocab'], bias=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, 0, 0.02)

    def forward(self, ids, tgt):
        t = ids.shape[1]
        mask = torch.full((t, t), float('-inf')).triu(1)
        x = self.embed_tokens(ids)
        for b in self.layers:
            x = b(x, mask)
        return F.cross_entropy(
            self.lm_head(self.norm(x)).flatten(0, 1), tgt.flatten())


def tokens(vocab):
    """Words of text that ships with Debian, hashed to ids."""
    text = ''
    for name in sorted(glob.glob('/usr/share/common-licenses/*')):
        with open(name, errors='replace') as f:
            text += f.read()
    return torch.tensor([zlib.crc32(w.encode()) % vocab
                         for w in re.findall(r'\w+|\W', text)])


def batches(ids, seed, b=2, t=128):
    g = torch.Generator().manual_seed(seed)
    while True:
        at = torch.randint(len(ids) - t - 1, (b,), generator=g)
        yield (torch.stack([ids[i:i + t] for i in at]),
               torch.stack([ids[i + 1:i + t + 1] for i in at]))


def save(tensors, path):
    """safetensors as its library lays it out: sorted, header padded to 8."""
    names, off = {torch.float32: 'F32', torch.bfloat16: 'BF16'}, 0
    head = {'__metadata__': {'format': 'pt'}}
    for k in sorted(tensors):
        t = tensors[k]
        n = t.numel() * t.element_size()
        head[k] = {'dtype': names[t.dtype], 'shape': list(t.shape),
                   'data_offsets': [off, off + n]}
        off += n
    b = json.dumps(head, separators=(',', ':')).encode()
    b += b' ' * (-len(b) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(b)) + b)
        for k in sorted(tensors):
            t = tensors[k].detach().contiguous()
            if t.dtype == torch.bfloat16:
                t = t.view(torch.int16)
            f.write(t.numpy().tobytes())


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('outdir')
    a.add_argument('--params', choices=SIZES, default='138M')
    a.add_argument('--warmup', type=int, default=20,
                   help='steps before the first file')
    a = a.parse_args()
    os.makedirs(a.outdir, exist_ok=True)
    torch.manual_seed(7)
    c = SIZES[a.params]
    m, ids = GPT(c), tokens(c['vocab'])
    names = {id(p): n for n, p in m.named_parameters()}

    def dump(tag, opt=None):
        sd = m.state_dict()
        save(sd, f'{a.outdir}/{tag}-fp32.safetensors')
        save({k: v.bfloat16() for k, v in sd.items()},
             f'{a.outdir}/{tag}-bf16.safetensors')
        if opt:
            full = dict(sd)
            for s in ('exp_avg', 'exp_avg_sq'):
                full.update({f'optimizer.{s}.{names[id(p)]}': q[s]
                             for p, q in opt.state.items()})
            tag = tag.replace('step', 'train')
            save(full, f'{a.outdir}/{tag}-fp32.safetensors')

    def run(opt, it, n):
        for _ in range(n):
            loss = m(*next(it))
            opt.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(m.parameters(), 1.0)
            opt.step()
            print(f'loss {loss.item():.3f}', flush=True)

    opt = torch.optim.AdamW(m.parameters(), lr=3e-4, betas=(0.9, 0.95))
    it = batches(ids, 1)
    run(opt, it, a.warmup)
    dump('step0', opt)
    run(opt, it, 1)
    dump('step1', opt)
    opt = torch.optim.AdamW(m.parameters(), lr=2e-5, weight_decay=0.0)
    run(opt, batches(ids, 2), 10)
    dump('ft')


if __name__ == '__main__':
    main()
