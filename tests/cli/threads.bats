#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# -T: any number of threads makes the same bytes, and fails the same way.
load ../helper

# 20 MB of weights and those of a step later; a quarter is copied.
setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mlgen big old --bytes 20000000
	mlgen big new --bytes 20000000 --step
	ml-diff -q -T 1 old new >patch
	ml-diff -q -r 7 -T 1 new old >back
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p spool
	export TMPDIR=$PWD/spool
	ln -s "$BATS_FILE_TMPDIR"/* .
}

# same STATUS COMMAND...: with one and with more threads, the same.
same() {
	local want=$1 prog=$2 s n

	shift 2
	s=0
	"$prog" -T 1 "$@" >out.1 2>err.1 || s=$?
	[ "$s" = "$want" ] || { cat err.1; return 1; }
	for n in 2 5; do
		s=0
		"$prog" -T $n "$@" >out.n 2>err.n || s=$?
		[ "$s" = "$want" ] || { echo "-T $n: $s"; return 1; }
		cmp err.1 err.n || return
		# what was written before a failure may end elsewhere
		[ "$want" != 0 ] || cmp out.1 out.n || return
	done
}

# Bytes that a gather makes are read by all threads, one at a time.
@test 'casts of the base, by threads' {
	python3 - <<'END'
import json, random
n, m = 4096, 5000
a = random.Random(1).randbytes(n * m)
for name, shape, b in (("o", (n, m), [a]), ("n", (m, n), (a[i::m] for i in
        range(m)))):
    h = json.dumps({"w": {"dtype": "I8", "shape": shape, "data_offsets":
        [0, n * m]}}).encode()
    with open(name, "wb") as f:
        f.write(len(h).to_bytes(8, "little") + h)
        f.writelines(b)
END
	ml-diff -q -T 2 o n >p
	[ "$(size p)" -lt 2000 ]
	same 0 ml-apply o p
	cmp out.1 n
}

@test 'the same patch, the same target' {
	for n in 2 3; do
		ml-diff -q -T $n old new >p
		cmp p patch
	done
	same 0 ml-apply old patch
	cmp out.1 new
	ml-diff -q -T 1 -c nano old new >nano
	ml-diff -q -T 3 -c nano old new >p
	cmp p nano
	same 0 ml-apply old nano
	cmp out.1 new
	ml-diff -q -T 3 -c nano --restart 1000000 old new >p
	same 0 ml-apply old p
	cmp out.1 new
	cat patch back >chain
	same 0 ml-apply old chain
	cmp out.1 old
	ml-apply -T 3 -o file old patch
	cmp file new
	ml-diff -1 -q -T 1 old new >p
	ml-diff -1 -q -T 3 old new >q
	cmp p q
	same 0 ml-apply old p
	cmp out.1 new
	ml-info patch >info # more than one part
	[ "$(sed -n 's/.*records  range: \([0-9]*\) .*/\1/p' info)" -gt 3 ]
}

@test 'damage is told alike, wherever it is' {
	n=$(size patch)
	for at in 95 $((n / 4)) $((n / 2)) $((n * 3 / 4)) $((n - 2)); do
		flip patch $at >bad
		same 6 ml-apply old bad # found before anything is done
		s=0
		ml-apply -T 1 -s old bad >out.1 2>err.1 || s=$?
		[ $s = 6 ]
	done
	head -c $((n - 1)) patch >bad
	same 6 ml-apply old bad
	flip old 15000000 >base
	same 4 ml-apply base patch
	same 4 ml-apply new patch
}

# What is wrong, but has the right CRC-32: found by the decoder only.
@test 'a malformed record in a later part' {
	cat >mend.py <<-'END'
		import sys, zlib
		b = bytearray(open(sys.argv[1], 'rb').read())
		def v(at):
		    n = s = 0
		    while True:
		        n |= (b[at] & 127) << s
		        s += 7
		        at += 1
		        if b[at - 1] < 128:
		            return n, at
		n, at = v(7)
		at += n + 4
		nth = int(sys.argv[2])
		while True:
		    start = at
		    n, at = v(at + 1)
		    n, at = v(at)
		    end = at + n
		    if nth == 0:
		        for i in range(at + 5, end):
		            b[i] ^= 255
		        b[end:end + 4] = zlib.crc32(b[start:end]).to_bytes(4, 'little')
		        break
		    at = end + 4
		    nth -= 1
		sys.stdout.buffer.write(b)
	END
	for nth in 0 9 18; do
		python3 mend.py patch $nth >bad
		s=0
		ml-apply -T 1 old bad >out.1 2>err.1 || s=$?
		[[ $s = [567] ]] || { echo "$nth: $s"; cat err.1; false; }
		same $s ml-apply old bad
	done
}

# Copies from the target itself reach into parts before; one part is much
# longer than what a thread may keep.
@test 'what parts need of each other' {
	rand a 700000 >block
	rand b 5000000 >noise
	{
		for _ in $(seq 9); do cat block; done
		cat noise
		for _ in $(seq 20); do cat block; done
	} >target
	: >empty
	ml-split target | ml-zipnn | ml-pack >p
	same 0 ml-apply empty p
	cmp out.1 target
}

# Small equal tensors among large ones that are coded as fast blocks.
@test 'a model alone at level 1' {
	python3 - <<-'END'
		import json, random, struct
		r = random.Random(5)
		large = r.randbytes(300000)
		small = r.randbytes(1024)
		head, data = {}, b''
		for i in range(12):
		    p = small if i % 2 else large[i * 1000:]
		    head['t%02d' % i] = {'dtype': 'BF16', 'shape': [len(p) // 2],
		        'data_offsets': [len(data), len(data) + len(p)]}
		    data += p
		head = json.dumps(head).encode()
		open('model', 'wb').write(struct.pack('<Q', len(head)) + head + data)
	END
	for n in 1 3; do
		ml-split model | ml-zipnn -$n >coded
		ml-zipnn -d coded | ml-join >out
		cmp out model
		ml-pack coded | ml-apply >out
		cmp out model
	done
}

@test 'memory: 32 MiB and 16 for each thread' {
	[ -z "$SANITIZED" ] || skip 'sanitizers'
	for n in 1 2 4; do
		maxrss t ml-apply -T $n old patch >out
		cmp out new
		read -r _ kib <t
		[ "$kib" -lt $((1024 * (n == 1 ? 64 : 32 + 16 * n))) ]
		maxrss t ml-diff -q -T $n old new >out
		read -r _ kib <t
		[ "$kib" -lt $((1024 * (n == 1 ? 64 : 32 + 16 * n))) ]
	done
}

@test 'numbers that are none, and an output that is full' {
	refuse 2 ml-apply -T x old patch
	refuse 2 ml-apply -T 257 old patch
	refuse 2 ml-diff -T -1 old new
	refuse 2 ml-pack -T '' old
	# nobody reads: the first thread that writes tells it
	s=0
	ml-apply -T 4 old patch 2>err >/dev/full || s=$?
	[ $s = 3 ]
	[ "$(wc -l <err)" = 1 ]
}

@test 'levels: the same bytes at any number of threads, and the way back' {
	for e in bf16.st f32.st q8_0.gguf; do
		ml-split "$D/new.$e" >s
		for n in 1 2 5; do
			r 0 ml-zipnn -q -1 -T $n -o z$n s
			r 0 ml-diff -q -1 -l -T $n -o p$n "$D/old.$e" \
				"$D/new.$e"
			cmp z1 z$n
			cmp p1 p$n
		done
		ml-zipnn -d z1 | ml-join | cmp - "$D/new.$e"
		r 0 ml-apply -o out "$D/old.$e" p1
		cmp out "$D/new.$e"
	done
}

# The same of a larger one, where threads have much to do at a time.
@test 'fast blocks keep their place among the labels' {
	ml-split new | ml-zipnn -q -1 -T 1 >z1
	ml-split new | ml-zipnn -q -1 -T 4 >z4
	cmp z1 z4
	ml-zipnn -d z4 | ml-join | cmp - new
}
