#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""coverage.py BUILD: line coverage of lib/ and embedded/ by what was run of
the programs in BUILD, which are built with --coverage: a line for each file,
the sum, and the functions that nothing called. A header counts once, whoever
includes it."""
import collections
import json
import os
import subprocess
import sys


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: coverage.py BUILD")
    root = os.getcwd()
    data = []
    for folder in ("lib", "embedded"):
        for at, _, names in os.walk(os.path.join(sys.argv[1], folder)):
            data += [os.path.join(root, at, n) for n in names
                if n.endswith(".gcda")]
    if not data:
        sys.exit("coverage.py: nothing was run in " + sys.argv[1])
    lines = collections.defaultdict(collections.Counter)
    calls = collections.defaultdict(collections.Counter)
    out = subprocess.run(["gcov", "--json-format", "--stdout"] +
        sorted(data), stdout=subprocess.PIPE, check=True).stdout
    for doc in out.splitlines():
        for f in json.loads(doc)["files"]:
            name = os.path.relpath(os.path.join(root, f["file"]), root)
            if not name.startswith(("lib/", "embedded/")):
                continue
            for n in f["lines"]:
                lines[name][n["line_number"]] += n["count"]
            for n in f["functions"]:
                calls[name][n["name"]] += n["execution_count"]
    total = hit = 0
    for name in sorted(lines):
        counts = lines[name].values()
        some = sum(1 for n in counts if n)
        total += len(counts)
        hit += some
        print("%6.1f %%  %5d of %5d  %s" % (100 * some / len(counts),
            some, len(counts), name))
    print("%6.1f %%  %5d of %5d  lines in all" % (100 * hit / total, hit,
        total))
    never = [(f, n) for f in sorted(calls) for n in sorted(calls[f])
        if not calls[f][n]]
    print("%d of %d functions were never called%s" % (len(never),
        sum(len(c) for c in calls.values()), ":" if never else ""))
    for f, n in never:
        print("  %s: %s" % (f, n))


main()
