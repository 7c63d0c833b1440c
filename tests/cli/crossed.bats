#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Blocks of GGML's types whose base is of another type: every pair of types, and
# every way on which such operations go.
load ../helper

# quant OLD NEW [ROWS [SEED [NOISE [WILD [HEADS]]]]]: old.gguf and new.gguf.
quant() {
	python3 "$ROOT/tests/gen/quant.py" . "$@"
}

# cheap PERCENT: of the new file, which the patch makes.
cheap() {
	ml-diff -q old.gguf new.gguf >p
	ml-apply -q old.gguf <p | cmp - new.gguf
	echo "$(size p) of $(size new.gguf) bytes, at most $1 %"
	[ "$(size p)" -le $((160 + $(size new.gguf) * $1 / 100)) ]
}

@test "the same weights as another type cost a few percent" {
	for new in Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K; do
		for old in F32 F16 BF16 Q8_0; do
			[ "$old" != "$new" ] || continue
			echo "$old to $new"
			quant "$old" "$new" 8
			cheap 8
		done
	done
}

# What was rounded to few bits tells little of what has more.
@test "coarser types from finer ones, and finer ones from coarser ones" {
	for pair in Q6_K,Q4_K,9 Q6_K,Q4_0,18 Q5_K,Q3_K,9 Q5_1,Q4_1,11 \
		Q5_0,Q2_K,13 Q4_K,Q3_K,14 Q4_K,Q4_0,27 Q4_0,Q4_K,20 \
		Q4_K,Q8_0,52 Q3_K,Q6_K,41; do
		IFS=, read -r old new most <<<"$pair"
		echo "$old to $new"
		quant "$old" "$new" 16
		cheap "$most"
	done
}

@test "what is in nobody's range: rows of any bytes in the base" {
	i=0
	for pair in F32,Q4_K F32,Q8_0 F16,Q6_K BF16,Q3_K Q8_0,Q5_K Q4_K,Q5_1 \
		F32,Q4_0 Q5_1,Q2_K; do
		echo "$pair"
		quant "${pair%,*}" "${pair#*,}" 12 $((i += 1)) 0.05 5
		cheap 70
	done
}

@test "a part of a tensor is nearer to that of its own type" {
	quant parts
	cheap 30
	ml-info --json -b old.gguf p >info
	jq -e '.patches[0].tensors[0].operations.copy.bytes >= 36864' info
}

@test "it says what is made of what" {
	quant F16 Q4_K 8
	r 0 ml-diff -v old.gguf new.gguf
	says 'from f16 a0'
	ml-diff -q old.gguf new.gguf >p
	ml-info -b old.gguf p | grep -q 'q4_K of f16.*b0  < b0'
	ml-info --json -b old.gguf p | grep -q '"q4_K of f16"'
}

@test "types of one file each by itself, found by other names, too" {
	quant F32,Q8_0,F16 Q4_K,Q6_K,Q5_0 16
	cheap 8
	z='\x00\x00\x00\x00\x00\x00\x00'
	LC_ALL=C sed "s/\\x02${z}a/\\x02${z}x/g" old.gguf >other
	run cmp -s old.gguf other
	[ "$status" -eq 1 ]
	n=$(size p)
	ml-diff -q other new.gguf >p
	ml-apply -q other <p | cmp - new.gguf
	echo "$n, $(size p) by other names"
	[ "$(size p)" -le $((n + 200)) ]
}

@test "rows in another order, as those of attention heads are" {
	for old in F32 F16 BF16; do
		for new in Q4_K Q6_K Q2_K Q5_1; do
			echo "$old to $new"
			quant $old $new 64 1 0 0 4
			cheap 11
			ml-info -b old.gguf p | grep -q 'order 0,2,1,3 of a0'
			ml-info -b old.gguf p | grep -q 'order 0,2,1,3 of b0'
		done
	done
	# by pipes as well; class nano has no such thing
	ml-split old.gguf >o
	ml-split new.gguf >n
	ml-delta -q o n >d
	ml-zipnn <d | ml-pack | cmp - p
	ml-diff -q -c nano old.gguf new.gguf >p
	ml-apply -q old.gguf <p | cmp - new.gguf
	# too little to be worth a cast
	quant F16 Q4_K 8 1 0 0 4
	ml-diff -q old.gguf new.gguf >p
	ml-apply -q old.gguf <p | cmp - new.gguf
}

@test "a base of the same type is taken where it is better" {
	quant Q4_K,F16 Q4_K,Q4_K 16
	cp new.gguf two.gguf
	ml-diff -q old.gguf two.gguf >p
	ml-apply -q old.gguf <p | cmp - two.gguf
	ml-info -b old.gguf p | grep -q 'copy.*a0  < a0'
	ml-info -b old.gguf p | grep -q 'q4_K of f16.*a1  < a1'
}

@test "in pipes: coded, plain, of lesser classes, and back" {
	quant F16,Q8_0 Q4_K,Q5_1 16
	ml-split old.gguf >o
	ml-split new.gguf >n
	ml-delta -q o n >d
	ml-zipnn <d | ml-pack >full
	ml-diff -q old.gguf new.gguf >p
	for c in full micro nano; do
		ml-zipnn -c $c <d | ml-pack >"$c"
		ml-apply -q old.gguf <"$c" | cmp - new.gguf
	done
	cmp full p
	[ "$(size full)" -lt $(($(size micro) / 4)) ]
	# without a coder they are bytes, which every decoder knows
	ml-pack <d >plain
	ml-apply -q old.gguf <plain | cmp - new.gguf
	# and a stream made of the patch has them without their base
	ml-pack -d <full >z
	ml-zipnn -d -b old.gguf <z >back
	ml-pack <back | ml-apply -q old.gguf | cmp - new.gguf
	ml-zipnn -2 <d | ml-pack | ml-apply -q old.gguf | cmp - new.gguf
	ml-zipnn -d <n >/dev/null
}

@test "levels, threads, restarts, class nano, in place" {
	quant F16,Q6_K Q4_K,Q8_0 64
	for o in -1 -2 -4 -9 '-T 2' '--restart 4096' '-c nano' '-c micro' -z \
		'--in-place 4096'; do
		echo "$o"
		# shellcheck disable=SC2086
		ml-diff -q $o old.gguf new.gguf >p
		ml-apply -q old.gguf <p | cmp - new.gguf
	done
	ml-diff -q old.gguf new.gguf >p
	ml-diff -q -T 2 old.gguf new.gguf | cmp - p
	ml-apply -q -T 2 old.gguf <p | cmp - new.gguf
}

@test "damaged: refused, never another model" {
	quant F16 Q4_K 2
	ml-diff -q old.gguf new.gguf >p
	n=$(size p)
	for ((i = 0; i < n; i += 3)); do
		flip p $i $((i % 8)) >q
		s=0
		ml-apply -q -o made old.gguf <q 2>err || s=$?
		[ $s -gt 0 ]
		[ ! -e made ]
	done
	# of a base that is too short, or of another one
	head -c 900 old.gguf >short
	refuse 4 ml-apply -q short <p
}
