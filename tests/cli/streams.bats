#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Streams between the programs: part, damaged, of the wrong kind, and all the
# ways in which stages can be left out or repeated.
load ../helper

# A plain, a delta and a coded stream of a few hundred bytes.
small() {
	rand a 500 >a
	{ cat a; echo more; } >b
	ml-split a >s.a
	ml-split b >s.b
	ml-delta s.a s.b >s.delta
	ml-zipnn <s.delta >s.coded
	ml-split b | ml-zipnn >s.alone
}

@test "cut anywhere: status 1" {
	small
	for f in s.a s.delta s.coded s.alone; do
		case $f in
		s.a) progs='ml-join ml-zipnn ml-pack' ;;
		s.alone) progs='ml-pack' ;;
		s.delta) progs='ml-zipnn ml-pack' ;;
		*) progs='ml-pack' ;;
		esac
		for p in $progs; do
			for ((i = 0; i < $(size $f); i += 1 + i / 40)); do
				head -c $i $f >part
				r 1 "$p" part || { echo "$f $i"; false; }
			done
			head -c $(($(size $f) - 1)) $f >part
			r 1 "$p" part
		done
	done
	for f in s.a s.b; do
		head -c 200 $f >part
		refuse 1 ml-delta part s.b
		refuse 1 ml-delta s.a part
		refuse 1 ml-ls part
	done
}

@test "any flipped bit: status 1, or 5 for what is unknown" {
	small
	for f in s.a s.delta s.coded; do
		p=ml-pack
		[ $f != s.a ] || p=ml-join
		list=
		for ((i = 0; i < $(size $f); i += 1 + i / 200)); do
			list+=" $i"
		done
		flips $f "$list"
		for bad in flips/*; do
			s=0
			$p "$bad" >out 2>err || s=$?
			[[ $s = [15] ]] || { echo "$f $bad: $s"; false; }
		done
	done
}

@test "bytes after DONE: status 1" {
	small
	for f in s.a s.delta s.coded; do
		{ cat $f; printf '\0'; } >bad
		r 1 ml-pack bad
		{ cat $f $f; } >bad
		r 1 ml-pack bad
	done
	cat s.a s.b >bad
	r 1 ml-join bad
	r 1 ml-zipnn bad
	refuse 1 ml-delta bad s.b
}

@test "no stream at all: status 1" {
	echo 'no stream' >text
	small
	for p in ml-join ml-zipnn ml-pack; do
		for f in text /dev/null "$D/old.bf16.st"; do
			refuse 1 "$p" "$f"
		done
	done
	refuse 1 ml-zipnn -d text
	refuse 1 ml-pack -d text
	refuse 1 ml-pack -d s.a
	refuse 1 ml-delta text s.b
	refuse 1 ml-delta s.a text
	ml-diff a b >p
	refuse 1 ml-join p
	refuse 1 ml-pack p
}

@test "a stream of the wrong kind is refused with a hint" {
	small
	r 1 ml-join s.delta
	r 1 ml-join s.coded
	refuse 1 ml-delta s.coded s.b
	refuse 1 ml-delta s.alone s.b
	says decode
	refuse 1 ml-delta s.delta s.b
}

@test "ml-split f | ml-join is cat f" {
	printf 'text\n' >text
	rand x 70000 >random
	head -c 300000 /dev/zero >zeros
	printf '' >empty
	for f in "$D"/old.* "$D"/*.bf16.st text random zeros empty /dev/null; do
		ml-split -q "$f" | ml-join | cmp - "$f"
	done
}

@test "ml-split f | ml-zipnn | ml-zipnn -d is ml-split f" {
	for f in "$D"/old.* /dev/null "$BATS_TEST_FILENAME"; do
		ml-split -q "$f" >s
		ml-zipnn <s >z
		ml-zipnn -d <z >d
		cmp d s
		ml-zipnn -d <z | ml-join | cmp - "$f"
	done
}

@test "without ml-delta: a compressed model" {
	for f in "$D"/old.* /dev/null; do
		ml-split -q "$f" | ml-zipnn | ml-pack >z
		ml-apply <z | cmp - "$f"
		[ "$(size z)" -le $(($(size "$f") + 4096)) ]
		ml-pack -d <z | ml-zipnn -d | ml-join | cmp - "$f"
	done
	ml-split "$D/old.bf16.st" | ml-zipnn | ml-pack >z
	[ "$(size z)" -lt $(($(size "$D/old.bf16.st") * 9 / 10)) ]
}

@test "without ml-zipnn, and with nothing but ml-pack" {
	for m in bf16.st q8_0.gguf f32.onnx int8.tflite; do
		old=$D/old.$m new=$D/new.$m
		ml-split "$old" | ml-delta - <(ml-split "$new") | ml-pack >p
		ml-apply "$old" <p | cmp - "$new"
		[ "$(size p)" -le $(($(size "$new") + 160 + 4096)) ]
		ml-split "$new" | ml-pack >q
		ml-apply <q | cmp - "$new"
	done
}

@test "ml-zipnn twice is ml-zipnn once" {
	small
	ml-zipnn <s.coded >twice
	cmp twice s.coded
	ml-zipnn <s.alone >twice
	cmp twice s.alone
	ml-zipnn -d <s.a >same
	cmp same s.a
}

@test "coded, decoded and coded again: the same patch" {
	for m in bf16.st q4_0.gguf int8.tflite; do
		old=$D/old.$m new=$D/new.$m
		ml-split "$old" | ml-delta - <(ml-split "$new") >delta
		ml-zipnn <delta >z
		ml-zipnn -d -b "$old" <z >d
		ml-zipnn -b "$old" <d >again
		ml-pack <again >p
		ml-apply "$old" <p | cmp - "$new"
		ml-pack <d >p
		ml-apply "$old" <p | cmp - "$new"
	done
}

@test "ml-pack -d and back: the same patch" {
	for m in bf16.st q4_0.gguf; do
		old=$D/old.$m new=$D/new.$m
		ml-diff "$old" "$new" >p
		ml-pack -d <p >s
		ml-pack <s >again
		cmp again p
		ml-pack -b "$old" -t "$new" <s >again
		cmp again p
	done
}

@test "the levels of fast planes: decoded, told and damaged" {
	local old=$D/old.bf16.st new=$D/new.bf16.st

	ml-split -q "$new" >s
	ml-zipnn -q -1 s >z
	[ "$(size z)" -lt "$(size s)" ]
	ml-zipnn -d z | cmp - s
	ml-diff -q -1 "$old" "$new" >p
	ml-pack -d p >c
	refuse 4 ml-zipnn -d -o none c # residuals want the base
	ml-zipnn -q -d -b "$old" c | ml-zipnn -q -1 | ml-pack -q -b "$old" >q
	ml-apply "$old" q | cmp - "$new"
	# what it tells of the target adds up to it
	r 0 ml-info -j -b "$old" p
	python3 - "$(size "$new")" <<'END'
import json, sys
p = json.load(open("out"))["patches"][0]
assert p["records"]["fast"]["count"] > 0, p
assert sum(o["bytes"] for o in p["operations"].values()) == int(
    sys.argv[1]), p
END
	python3 - <<'END'
b = bytearray(open("z", "rb").read())
for i in range(len(b) // 2, len(b) // 2 + 40):
    open("bad.%d" % i, "wb").write(b[:i] + bytes([b[i] ^ 16]) + b[i + 1:])
END
	for i in bad.*; do
		refuse 1 ml-zipnn -d -o none "$i"
	done
	[ ! -e none ]
}

@test "the classes: nano, micro and full" {
	old=$D/old.bf16.st new=$D/new.bf16.st
	for c in nano micro full; do
		r 0 ml-diff -c $c "$old" "$new"
		mv out p
		r 0 ml-apply -c $c "$old" p
		cmp out "$new"
		z=-z
		[ $c != full ] || z=
		ml-split $z "$old" | ml-delta $z - <(ml-split $z "$new") |
			ml-zipnn -c $c | ml-pack >q
		cmp p q
	done
	# what only the class full can do is no class nano in silence
	ml-split "$old" | ml-delta - <(ml-split "$new") >delta
	r 5 ml-zipnn -c nano delta
	refuse 5 ml-apply -c nano "$old" p
}

@test "the pipeline and ml-diff make the same patch" {
	for m in bf16.st f32.st q8_0.gguf int8.onnx int8.tflite; do
		pipe "$D/old.$m" "$D/new.$m"
		mv p piped
		trip "$D/old.$m" "$D/new.$m"
		cmp p piped
	done
}

@test "a filter of one's own between the stages" {
	ml-split "$D/old.bf16.st" | cat | dd bs=777 2>dd.err | ml-join |
		cmp - "$D/old.bf16.st"
	ml-split "$D/old.bf16.st" | zstd -q | zstd -q -d | ml-join |
		cmp - "$D/old.bf16.st"
}

@test "ml-pack proves: a wrong base or target is refused" {
	small
	refuse 4 ml-pack -b b s.coded
	refuse 7 ml-pack -b a -t a s.coded
	r 0 ml-pack -b a -t b s.coded
	refuse 7 ml-pack -b a -t a -o p s.coded
	[ ! -e p ]
	r 7 ml-pack -t a s.alone
	r 0 ml-pack -t b s.alone
}

@test "the release counter is carried" {
	small
	ml-pack -r 4711 s.coded >p
	ml-apply a <p | cmp - b
	ml-apply -v a <p 2>err >out
	says 'release 4711'
	ml-diff -r 9 a b >p
	ml-apply -v a <p 2>err >out
	says 'release 9'
}

@test "casts in class nano: operations tell, with a base" {
	python3 - <<'END'
import random, struct
r = random.Random(4)
def st(kind, data):
	head = b'{"w":{"dtype":"%s","shape":[3000],"data_offsets":[0,%d]}}' % (
		kind, len(data))
	return struct.pack("<Q", len(head)) + head + data
v = [0x3c000000 + r.randrange(1 << 26) for _ in range(3000)]
open("old.st", "wb").write(st(b"F32", struct.pack("<3000I", *v)))
open("new.st", "wb").write(st(b"BF16", struct.pack("<3000H", *[
	(a + 0x7fff + (a >> 16 & 1)) >> 16 for a in v])))
END
	ml-split old.st | ml-delta - <(ml-split new.st) >delta
	r 4 ml-zipnn -c nano delta
	ml-zipnn -c nano -b old.st delta >z
	ml-pack <z >p
	[ "$(stat -c %s p)" -lt 200 ]
	ml-diff -c nano old.st new.st | cmp - p
	ml-apply old.st <p | cmp - new.st
	ml-info -b old.st p | grep -q 'bf16 of f32'
	ml-zipnn -d -b old.st z | ml-pack | ml-apply old.st | cmp - new.st
	# not for who leaves it out, nor in place
	ml-diff -c nano -z old.st new.st >q
	[ "$(stat -c %s q)" -gt 3000 ]
	ml-diff -c nano --in-place 4096 old.st new.st >q
	[ "$(stat -c %s q)" -gt 3000 ]
}
