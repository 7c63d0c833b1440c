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
	python3 - <<'END'
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
print(len(good))
END
	[ "$(cat file)" = kept ]
	[ "$(find . -name '.file*')" = '' ]
}
