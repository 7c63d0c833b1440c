#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh PROGRAM: lets the Nth system call or allocation of a program fail,
# for N = 1 until the program gets through without meeting the fault. Whatever
# fails: status 0 means the right bytes, a file under its final name is the
# old one or the whole new one, and nothing temporary stays behind.
set -uo pipefail
prog=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 3
inject=$B/tests/fault/inject
max=400
[ -z "$LONG" ] || max=100000

if [ ! -x "$BIN/$prog" ]; then
	echo "not ok $prog: not built"
	exit 1
fi
# A pair that takes several reads and writes; for ml-diff, which calls for
# memory often, a small one.
n=120000
[ "$prog" != ml-diff ] || n=1500
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
		for i in range(2 * n):
			x = (x * 1103515245 + 12345) & 0x7fffffff
			v = 0x3800 + (x >> 16 & 0x3ff)
			f.write(struct.pack("<H", v + step * (x >> 9 & 3)))
END
case $prog in
ml-apply)
	"$BIN"/ml-diff old new >patch || exit 3
	args=(old patch) want=new
	mkdir tree wanted
	cp old tree/file
	cp new wanted/file
	ln -s file wanted/link
	"$BIN"/ml-diff -q tree wanted >tree.patch || exit 3
	;;
ml-diff)
	"$BIN"/ml-diff old new >want || exit 3
	args=(old new) want=want
	;;
*)
	"$BIN/$prog" old >want || exit 3
	args=(old) want=want
	;;
esac
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
	[ "$s" != 137 ] || rm -rf out/.f.??????
	[ "$s" -le 128 ] || rm -f spool/ml-spool.??????
	if [ "$s" -ge 8 ] && [ "$s" != 137 ] && [ "$s" != 143 ]; then
		echo "status $s"
	elif [ "$2" = stdout ]; then
		[ "$s" != 0 ] || cmp -s stdout "$want" ||
			echo 'status 0, but wrong bytes'
	elif [ "$2" = tree ]; then
		if diff -r out/f wanted >/dev/null; then
			:
		elif [ "$s" = 0 ]; then
			echo 'status 0, but a wrong directory'
		elif ! diff -r out/f tree >/dev/null; then
			echo 'neither the old nor the new directory'
		fi
	elif [ "$s" = 0 ] && ! cmp -s out/f "$want"; then
		echo 'status 0, but a wrong file'
	elif ! cmp -s out/f "$want" && ! cmp -s out/f keep; then
		echo 'neither the old nor the new file'
	fi
	[ "$(ls -A out)" = f ] || echo "left: $(ls -A out)"
	[ -z "$(ls -A spool)" ] || echo "left: $(ls -A spool)"
	[ "$s" = 0 ] || [ "$s" -gt 128 ] || [ -s err ] || echo "status $s without a word"
}

# sweep NAME MODE WRAPPER...: @ in the wrapper is N.
sweep() {
	local name=$1 mode=$2 n=0 s why
	shift 2
	while n=$((n + 1)); [ $n -le $max ]; do
		rm -rf hit out/f
		cp keep out/f
		if [ "$mode" = tree ]; then
			rm out/f
			cp -r tree out/f
			timeout 20 "${@//@/$n}" "$BIN/$prog" -q -o out/f \
				tree tree.patch >stdout 2>err
		elif [ "$mode" = stdout ]; then
			timeout 20 "${@//@/$n}" "$BIN/$prog" -q "${args[@]}" \
				>stdout 2>err
		else
			timeout 20 "${@//@/$n}" "$BIN/$prog" -q -o out/f \
				"${args[@]}" 2>err
		fi
		s=$?
		if [ $s = 101 ]; then
			echo "ok $prog $name # skip: no ptrace here"
			return
		fi
		why=$(judge $s "$mode")
		if [ -n "$why" ]; then
			echo "not ok $prog $name, call $n: $why"
			cat err
			rm -rf out/ spool/
			mkdir out spool
			return
		fi
		[ $s != 100 ] || break
		[ "$1" != env ] || [ -e hit ] || break
	done
	echo "ok $prog $name, $mode: $((n - 1)) faults"
}

modes='file stdout'
[ "$prog" != ml-apply ] || modes="$modes tree"
for mode in $modes; do
	sweep 'read EIO' "$mode" "$inject" read,pread @ EIO
	sweep 'read short' "$mode" "$inject" read,pread @ short
	sweep 'reads short' "$mode" "$inject" pread @+ short
	sweep 'read EINTR' "$mode" "$inject" read,pread @ EINTR
	sweep 'write ENOSPC' "$mode" "$inject" write @ ENOSPC
	sweep 'write short' "$mode" "$inject" write @ short
	sweep 'write EINTR' "$mode" "$inject" write @ EINTR
	sweep 'all writes ENOSPC' "$mode" "$inject" write @+ ENOSPC
	sweep 'open EACCES' "$mode" "$inject" open @ EACCES
	if [ -n "$SANITIZED" ]; then
		echo "ok $prog malloc, $mode # skip: the sanitizer's own malloc"
	else
		sweep 'malloc' "$mode" env FAULT_N=@ FAULT_DONE=hit \
			LD_PRELOAD="$B/tests/fault/nomem.so"
		sweep 'malloc from there on' "$mode" env FAULT_N=@ FAULT_ALL=1 \
			FAULT_DONE=hit LD_PRELOAD="$B/tests/fault/nomem.so"
	fi
done
for mode in ${modes/stdout/}; do
	sweep 'fsync EIO' "$mode" "$inject" fsync @ EIO
	sweep 'rename EIO' "$mode" "$inject" rename @ EIO
done
case $prog in
ml-apply)
	all=open,write,fsync,rename,mkdir,unlink
	for mode in file tree; do
		sweep 'kill -9' "$mode" "$inject" $all @ KILL
		sweep 'kill -TERM' "$mode" "$inject" $all @ TERM
	done
	;;
esac
