#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh PROGRAM[-T2]: lets the Nth system call or allocation of a program fail,
# for N = 1 until the program gets through without meeting the fault; unless
# LONG is set, after the first 24 only some. Whatever fails: status 0 means the
# right bytes, a file under its final name is the old one or the whole new one,
# the input is untouched, and nothing temporary stays behind. With -T2 by two
# threads, and models that are large enough for them.
set -uo pipefail
# disks of little room are mounted where nobody else sees them
if [ -z "${FAULT_OWN-}" ] && unshare -m true 2>/dev/null; then
	FAULT_OWN=1 exec unshare -m "$0" "$@"
fi
prog=${1%-T2}
threads=${1#"$prog"}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 3
inject=$B/tests/fault/inject
total=0

if [ ! -x "$BIN/$prog" ]; then
	echo "not ok $prog: not built"
	exit 1
fi
# A pair that takes several reads and writes; for those that call for memory
# often, a small one.
n=120000
case $1 in ml-diff | ml-delta | ml-pack | ml-ls) n=1500 ;; esac
[ -z "$threads" ] || n=2300000 # two parts for ml-apply
python3 - $n <<'END'
import json, struct, sys
n = int(sys.argv[1])
for name, step in ("old", 0), ("new", 1):
	head = {t: {"dtype": "F16", "shape": [n], "data_offsets":
		[2 * n * i, 2 * n * (i + 1)]} for i, t in enumerate("ab")}
	j = json.dumps(head).encode()
	x = 1
	with open(name, "wb") as f:
		f.write(struct.pack("<Q", len(j)) + j)
		again = b""
		for i in range(min(2 * n, 240000)):
			x = (x * 1103515245 + 12345) & 0x7fffffff
			v = 0x3800 + (x >> 16 & 0x3ff)
			again += struct.pack("<H", v + step * (x >> 9 & 3))
		f.write((again * (4 * n // len(again) + 1))[:4 * n])
END
PATH=$BIN:$PATH
ml-split old >s.old && ml-split new >s.new || exit 3
if [ -n "$threads" ]; then
	ml-diff -q -1 -r 1 old new >patch || exit 3
	ml-pack -q -d patch >s.coded || exit 3
else
	ml-delta s.old s.new >s.delta && ml-zipnn s.delta >s.coded || exit 3
	ml-pack -r 1 s.coded >patch || exit 3
fi
minisign -G -W -f -p pub -s key </dev/null >/dev/null 2>&1 || exit 3
ml-sign -s key patch >signed || exit 3
mkdir tree wanted
cp old tree/file
cp new wanted/file
ln -s file wanted/link
ml-diff -q tree wanted >tree.patch || exit 3

modes='file stdout' quiet=-q
case $1 in
ml-apply-T2) args=(-T 2 -p pub -R high old signed) ;;
ml-diff-T2) args=(-1 -T 2 old new) ;;
ml-pack-T2) args=(-T 2 -b old -t new s.coded) modes=file ;;
ml-zipnn-T2) args=(-1 -T 2 s.new) modes=file ;;
ml-split) args=(old) ;;
ml-join) args=(s.old) ;;
ml-delta) args=(s.old s.new) ;;
ml-zipnn) args=(s.delta) ;;
ml-pack) args=(-b old s.coded) ;;
ml-apply) args=(-p pub -R high old signed) modes='file stdout tree' ;;
ml-diff) args=(old new) ;;
ml-ls) args=(old) modes=stdout quiet= ;;
ml-info) args=(-b old patch) modes=stdout quiet= ;;
ml-sign) args=(-s key patch) quiet= ;;
ml-verify) args=(-p pub signed) modes=stdout quiet= ;;
*)
	echo "not ok $prog: not known to this test"
	exit 1
	;;
esac
# shellcheck disable=SC2086 # an option or none
"$prog" $quiet "${args[@]}" >want || exit 3
sha256sum old new s.* patch signed key pub tree.patch tree/* >inputs
echo old content >keep
mkdir out spool
export TMPDIR=$dir/spool

# judge STATUS MODE: what the failed run has left. The status 100 is the
# injector's: nothing failed.
judge() {
	local s=$1

	[ "$s" != 100 ] || s=0
	# what may be left: of an output by a kill, of a spool by any signal
	# while it gets rid of its name
	[ "$s" != 137 ] || rm -rf out/.f.?????? .high.??????
	[ "$s" -le 128 ] || rm -f spool/ml-spool.??????
	# an old directory that may not be removed, of which it was told
	! grep -q 'but the old one is left as' err || rm -rf out/.f.??????
	if [ "$s" -ge 8 ] && [ "$s" -lt 129 ]; then
		echo "status $s"
	elif [ "$2" = stdout ]; then
		[ "$s" != 0 ] || cmp -s stdout want ||
			echo 'status 0, but wrong bytes'
	elif [ "$2" = tree ]; then
		if diff -r out/f wanted >/dev/null; then
			:
		elif [ "$s" = 0 ]; then
			echo 'status 0, but a wrong directory'
		elif ! diff -r out/f tree >/dev/null; then
			echo 'neither the old nor the new directory'
		fi
	elif [ "$s" = 0 ] && ! cmp -s out/f want; then
		echo 'status 0, but a wrong file'
	elif ! cmp -s out/f want && ! cmp -s out/f keep; then
		echo 'neither the old nor the new file'
	fi
	[ "$(ls -A out)" = f ] || echo "left: $(ls -A out)"
	[ -z "$(ls -A spool)" ] || echo "left: $(ls -A spool)"
	[ -z "$(compgen -G '.high.*')" ] || echo "left: $(compgen -G '.high.*')"
	[ ! -e high ] || [ "$(cat high)" = 1 ] ||
		echo 'the file of the release is broken'
	[ "$s" = 0 ] || [ "$s" -gt 128 ] || [ -s err ] ||
		echo "status $s without a word"
}

# once MODE WRAPPER...: one run.
once() {
	local mode=$1 s
	shift
	rm -rf hit out/f high
	cp keep out/f
	if [ "$mode" = tree ]; then
		rm out/f
		cp -r tree out/f
		timeout 20 "$@" "$BIN/$prog" -q -o out/f tree tree.patch \
			>stdout 2>err
	elif [ "$mode" = stdout ]; then
		# shellcheck disable=SC2086
		timeout 20 "$@" "$BIN/$prog" $quiet "${args[@]}" >stdout 2>err
	else
		# shellcheck disable=SC2086
		timeout 20 "$@" "$BIN/$prog" $quiet -o out/f "${args[@]}" \
			2>err
	fi
}

dense=24
[ -z "$threads" ] || dense=6

# sweep NAME MODE WRAPPER...: @ in the wrapper is N.
sweep() {
	local name=$1 mode=$2 n=0 runs=0 s why
	shift 2
	while :; do
		n=$((n < dense || ${#LONG} ? n + 1 : n + n / 3 + 1))
		[ $n -lt 100000 ] || break
		once "$mode" "${@//@/$n}"
		s=$?
		if [ $s = 101 ]; then
			echo "ok $prog $name # skip: no ptrace here"
			return
		fi
		why=$(judge $s "$mode")
		if [ -n "$why" ]; then
			echo "not ok $prog $name, $mode, call $n: $why"
			cat err
			rm -rf out/ spool/
			mkdir out spool
			return
		fi
		[ $s != 100 ] || break
		[ "$1" != env ] || [ -e hit ] || break
		runs=$((runs + 1))
	done
	total=$((total + runs))
	echo "ok $prog $name, $mode: $runs faults"
}

names=open,write,fsync,rename,mkdir,unlink
for mode in $modes; do
	sweep 'read EIO' "$mode" "$inject" read,pread @ EIO
	sweep 'read short' "$mode" "$inject" read,pread @ short
	sweep 'reads short' "$mode" "$inject" read,pread @+ short
	sweep 'read EINTR' "$mode" "$inject" read,pread @ EINTR
	sweep 'write ENOSPC' "$mode" "$inject" write @ ENOSPC
	sweep 'write short' "$mode" "$inject" write @ short
	sweep 'write EINTR' "$mode" "$inject" write @ EINTR
	sweep 'all writes ENOSPC' "$mode" "$inject" write @+ ENOSPC
	sweep 'open EACCES' "$mode" "$inject" open @ EACCES
	sweep 'close EIO' "$mode" "$inject" close @ EIO
	[ -z "$threads" ] || {
		sweep 'no thread' "$mode" "$inject" thread @ EAGAIN
		sweep 'no threads' "$mode" "$inject" thread @+ EAGAIN
	}
	[ "$mode" != tree ] || {
		sweep 'mkdir ENOSPC' "$mode" "$inject" mkdir @ ENOSPC
		sweep 'unlink EACCES' "$mode" "$inject" unlink @ EACCES
	}
	if [ -n "$SANITIZED" ]; then
		echo "ok $prog malloc, $mode # skip: the sanitizer's own malloc"
	else
		sweep 'malloc' "$mode" env FAULT_N=@ FAULT_DONE=hit \
			LD_PRELOAD="$B/tests/fault/nomem.so"
		sweep 'malloc from there on' "$mode" env FAULT_N=@ FAULT_ALL=1 \
			FAULT_DONE=hit LD_PRELOAD="$B/tests/fault/nomem.so"
	fi
	[ "$mode" != stdout ] || continue
	sweep 'fsync EIO' "$mode" "$inject" fsync @ EIO
	sweep 'rename EIO' "$mode" "$inject" rename @ EIO
	for sig in KILL TERM INT PIPE; do
		sweep "kill -$sig" "$mode" "$inject" $names @ $sig
	done
done

# Killed after some time, wherever that is.
moments() {
	local mode=$1 i why hits=0

	for i in $(seq $((${#LONG} ? 100 : 12))); do
		once "$mode" timeout -s KILL "0.0$((i * 7 % 90 + 10))" \
			2>/dev/null # bash says "Killed"
		s=$?
		why=$(judge $s "$mode")
		if [ -n "$why" ]; then
			echo "not ok $prog killed, $mode, run $i: $why"
			return
		fi
		[ $s != 137 ] || hits=$((hits + 1))
	done
	total=$((total + hits))
	echo "ok $prog killed at $hits moments, $mode"
}
for mode in ${modes/stdout/}; do
	moments "$mode"
done

# What is full or closed from the start. What fits in one buffer is only
# written at the end: that must be seen as well.
fulls="/dev/full &-"
[ -s want ] || fulls= # ml-verify tells by its status
for to in $fulls; do
	rm -f high
	# shellcheck disable=SC2086
	case $to in
	/dev/full) "$prog" $quiet "${args[@]}" >/dev/full 2>err ;;
	*) "$prog" $quiet "${args[@]}" >&- 2>err ;;
	esac
	s=$?
	if [ $s = 3 ] && [ -s err ]; then
		echo "ok $prog >$to"
	else
		echo "not ok $prog >$to: status $s"
	fi
	total=$((total + 1))
done

# A disk with some room: any amount up to that of the result.
full() {
	local k s size ok=1

	for k in 0 1 2 3 4 5 6 7; do
		size=$(((($(stat -c %s want) * k / 8) / 4096 + 1) * 4096))
		mount -t tmpfs -o size=$size none out || {
			echo "ok $prog on a full disk # skip: may not mount"
			return
		}
		rm -f high
		# shellcheck disable=SC2086
		"$prog" $quiet -o out/f "${args[@]}" 2>err
		s=$?
		[ $s = 3 ] || [ $s = 0 ] || ok=0
		[ $s != 0 ] || cmp -s out/f want || ok=0
		[ $s = 0 ] || [ -z "$(ls -A out)" ] || ok=0
		umount out
		# and where the spool lies
		mount -t tmpfs -o size=$size none spool
		rm -f high
		# shellcheck disable=SC2086
		"$prog" $quiet -o out/f "${args[@]}" 2>err
		s=$?
		[ $s = 3 ] || [ $s = 0 ] || ok=0
		[ $s != 0 ] || cmp -s out/f want || ok=0
		[ $s = 0 ] || [ -z "$(ls -A out)" ] || ok=0
		[ -z "$(ls -A spool)" ] || ok=0
		rm -f out/f
		umount spool
		total=$((total + 2))
	done
	[ $ok = 1 ] && echo "ok $prog on a disk of little room" ||
		echo "not ok $prog on a disk of little room: status $s"
}
case $modes in
*file*)
	rm -rf out/f
	if [ -n "${FAULT_OWN-}" ]; then
		full
	else
		echo "ok $prog on a disk of little room # skip: may not mount"
	fi
	;;
esac

# A reader that goes away, as head does. A pipe may hold 1 MiB that was written
# before.
if [ "$(stat -c %s want)" -gt 200000 ]; then
	rm -f high
	# shellcheck disable=SC2086
	"$prog" $quiet "${args[@]}" 2>err | head -c 1 >/dev/null
	s=${PIPESTATUS[0]}
	total=$((total + 1))
	[ "$s" != 0 ] || [ "$(stat -c %s want)" -gt 2000000 ] || s=141
	if [ "$s" = 141 ] && [ -z "$(ls -A spool)" ]; then
		echo "ok $prog into a pipe that nobody reads"
	else
		echo "not ok $prog into a pipe that nobody reads: status $s"
	fi
fi

if sha256sum --quiet -c inputs; then
	echo "ok $prog: the inputs are as they were"
else
	echo "not ok $prog: an input was changed"
fi
echo "# $1: $total faults"
