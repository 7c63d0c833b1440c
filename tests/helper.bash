# SPDX-License-Identifier: MIT
# What all bats files share. `bats tests/cli/ml-split.bats` works by itself
# after `make check`; B is the build folder.
# shellcheck shell=bash disable=SC2034
set -o pipefail
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
B=$(cd "${B-$ROOT/build}" && pwd)
BIN=$B/bin
D=$B/tests/data # models: see tests/data.sh
PATH=$BIN:$B/tests:$PATH
export LC_ALL=C BIN D PATH

PROGS='ml-split ml-join ml-delta ml-zipnn ml-pack ml-apply ml-diff ml-ls ml-info'
# those that write binary
FILTERS='ml-split ml-join ml-delta ml-zipnn ml-pack ml-apply ml-diff'

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p spool
	export TMPDIR=$PWD/spool
}

# No test leaves a spool behind.
teardown() {
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/spool" 2>/dev/null)" ]
}

# r STATUS COMMAND...: stdout to the file out, stderr to err. A failure must
# say why, in the name of the program; what is well says nothing.
r() {
	local want=$1 s=0
	shift
	"$@" >out 2>err || s=$?
	if [ "$s" != "$want" ]; then
		echo "status $s, not $want: $*"
		head -n 5 err
		return 1
	fi
	[ "$s" = 0 ] || head -n 1 err | grep -q '^ml-[a-z]*: \|^usage: ' || {
		echo "no message of status $s: $*"
		return 1
	}
}

# As r, for a failure that must not write anything.
refuse() {
	r "$@" || return
	[ ! -s out ] || { echo "wrote $(wc -c <out) bytes: $*"; return 1; }
}

# silent: the last r said nothing on stderr.
silent() {
	[ ! -s err ] || { echo 'not silent:'; cat err; return 1; }
}

says() {
	grep -q -- "$1" err || { echo "no '$1' in:"; cat err; return 1; }
}

size() {
	stat -L -c %s "$1"
}

# rand SEED N: so many bytes that nothing can compress.
rand() {
	python3 -c 'import random, sys
sys.stdout.buffer.write(random.Random(sys.argv[1]).randbytes(int(sys.argv[2])))
' "$1" "$2"
}

# flip FILE OFFSET [BIT]: prints the file with one bit changed.
flip() {
	python3 -c 'import sys
b = bytearray(open(sys.argv[1], "rb").read())
b[int(sys.argv[2])] ^= 1 << int(sys.argv[3])
sys.stdout.buffer.write(b)' "$1" "$2" "${3-0}"
}

# flips FILE 'OFFSETS' [BIT]: flips/OFFSET for each, with one bit changed.
flips() {
	rm -rf flips
	mkdir flips
	python3 -c 'import sys
b = bytearray(open(sys.argv[1], "rb").read())
for i in map(int, sys.argv[2].split()):
	bit = 1 << (int(sys.argv[3]) if sys.argv[3] else i % 8)
	b[i] ^= bit
	open("flips/%d" % i, "wb").write(b)
	b[i] ^= bit' "$1" "$2" "${3-}"
}

mend() {
	python3 "$ROOT/tests/mend.py" "$@"
}

sanitized() {
	nm "$BIN/ml-split" 2>/dev/null | grep __asan_init >/dev/null
}

# samples: one input for every program, in the folder's files s.*.
samples() {
	ml-split "$D/old.bf16.st" >s.old
	ml-split "$D/new.bf16.st" >s.new
	ml-delta s.old s.new >s.delta
	ml-zipnn <s.delta >s.coded
	ml-pack <s.coded >s.patch
}

# args PROGRAM: its operands, for the samples.
args() {
	case $1 in
	ml-split | ml-ls) echo "$D/old.bf16.st" ;;
	ml-join) echo s.old ;;
	ml-delta) echo s.old s.new ;;
	ml-zipnn) echo s.delta ;;
	ml-pack) echo s.coded ;;
	ml-apply) echo "$D/old.bf16.st s.patch" ;;
	ml-diff) echo "$D/old.bf16.st $D/new.bf16.st" ;;
	ml-info) echo s.patch ;;
	esac
}

# trip OLD NEW: ml-diff and ml-apply; leaves the patch in `p`.
trip() {
	if ! { ml-diff -q "$1" "$2" >p && ml-apply -q "$1" <p >trip.out &&
		cmp trip.out "$2"; }; then
		echo "no round trip: $1 $2"
		return 1
	fi
	[ "$(size p)" -le $(($(size "$2") + 160)) ] || {
		echo "$(size p) bytes for $(size "$2"): $1 $2"
		return 1
	}
}

# pipe OLD NEW: the pipeline; leaves the patch in `p`.
pipe() {
	if ! { ml-split -q "$1" | ml-delta -q - <(ml-split -q "$2") |
		ml-zipnn -q | ml-pack -q >p && ml-apply -q "$1" <p >trip.out &&
		cmp trip.out "$2"; }; then
		echo "no round trip: $1 $2"
		return 1
	fi
	[ "$(size p)" -le $(($(size "$2") + 160)) ] || {
		echo "$(size p) bytes for $(size "$2"): $1 $2"
		return 1
	}
}
