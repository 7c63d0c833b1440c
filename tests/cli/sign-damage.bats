#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A signed patch, every bit of it flipped and every length it can be cut to:
# refused, and nothing written.
load ../helper

@test "every bit flipped, every length: refused, nothing written" {
	minisign -G -W -p key.pub -s key >/dev/null
	rand base 700 >base
	echo 'what was not there before' |
		cat <(head -c 300 base) - <(tail -c 380 base) >target
	ml-diff -r 5 base target | ml-sign -s key >signed
	r 0 ml-apply -p key.pub base signed
	cmp out target
	[ "$(size signed)" -lt 400 ]
	echo kept >file
	# by python, since bats takes its time for every command
	python3 - <<'END' >&3
import subprocess
good = open("signed", "rb").read()
verify = ["ml-verify", "-p", "key.pub", "bad"]
apply = ["ml-apply", "-p", "key.pub", "base", "bad"]
stream = ["ml-apply", "-s", "-p", "key.pub", "-o", "file", "base", "bad"]


def refused(bad, commands, status, what):
    open("bad", "wb").write(bad)
    for c in commands:
        p = subprocess.run(c, capture_output=True, close_fds=False)
        assert p.returncode in status, (what, p)
        assert not p.stdout and p.stderr, (what, p)


for i in range(len(good) * 8):
    bad = bytearray(good)
    bad[i // 8] ^= 1 << i % 8
    refused(bad, [verify, apply] + [stream] * (i % 8 == i // 8 % 8),
            (1, 5, 6, 8), "bit %d" % i)
for n in range(len(good)):
    refused(good[:n], [verify, apply, stream], (6,), "length %d" % n)
print("# signed patch of %d bytes: %d bits flipped and %d lengths, 2 to 3 "
      "commands each: all refused" % (len(good), len(good) * 8, len(good)))
END
	[ "$(cat file)" = kept ]
	[ "$(find . -name '.file*')" = '' ]
}

@test "larger ones, bits at random: refused, each with its words" {
	minisign -G -W -p key.pub -s key >/dev/null
	echo kept >file
	for m in bf16.st q8_0.gguf; do
		ml-diff -r 5 "$D/old.$m" "$D/new.$m" | ml-sign -s key >"$m"
	done
	ml-diff -1 -r 5 "$D/old.bf16.st" "$D/new.bf16.st" |
		ml-sign -s key >fast
	cat bf16.st <(ml-diff -r 6 "$D/new.bf16.st" "$D/third.bf16.st" |
		ml-sign -s key) >chain
	python3 - "$D" <<'END' >&3
import collections, os, random, subprocess, sys
models = sys.argv[1]
rnd = random.Random(7)
count = int(os.environ.get("FLIPS", "60"))
for name, base in (("bf16.st", "old.bf16.st"), ("q8_0.gguf", "old.q8_0.gguf"),
                   ("fast", "old.bf16.st"), ("chain", "old.bf16.st")):
    good = open(name, "rb").read()
    base = models + "/" + base
    why = collections.Counter()
    for i in range(count):
        bad = bytearray(good)
        at = rnd.randrange(len(good) * 8)
        bad[at // 8] ^= 1 << at % 8
        open("bad", "wb").write(bad)
        for c in (["ml-verify", "-p", "key.pub", "bad"],
                  ["ml-apply", "-p", "key.pub", base, "bad"],
                  ["ml-apply", "-s", "-p", "key.pub", "-o", "file", base,
                   "bad"])[:2 + (i % 4 == 0 and name != "chain")]:
            p = subprocess.run(c, capture_output=True, close_fds=False)
            assert p.returncode in (1, 5, 6, 8), (name, at, p)
            assert not p.stdout and p.stderr, (name, at, p)
            why[p.returncode] += 1
    print("# %s of %d bytes: %d bits flipped, status %s" % (
        name, len(good), count, dict(why)))
END
	[ "$(cat file)" = kept ]
	[ "$(find . -name '.file*')" = '' ]
}
