#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""keys.py KEY.pub... >keys.c: public keys of minisign as what a firmware trusts,
embedded/examples/accept.h."""
import base64
import sys


def entry(path):
    with open(path, encoding='utf-8') as f:
        key = base64.b64decode(f.read().strip().split('\n')[-1])
    if len(key) != 42 or key[:2] != b'Ed':
        sys.exit(f'keys.py: {path}: not a public key of minisign')
    id_, key = ([f'0x{b:02x}' for b in part] for part in (key[2:10], key[10:]))
    return f'\t{{ {{ {", ".join(id_)} }},\n\t\t{{ {", ".join(key)} }} }},\n'


print('/* Made by keys.py. */\n#include "examples/accept.h"\n\n'
      'const struct ml_trusted ml_trusted[] = {\n' +
      ''.join(entry(p) for p in sys.argv[1:]) +
      f'}};\nconst unsigned ml_ntrusted = {len(sys.argv) - 1};')
