#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What ml-info tells of a patch, and ml-delta -v of its choices.
load ../helper

# info OLD NEW FILTER: what jq finds in the patch's first part.
info() {
	ml-diff "$1" "$2" >p && ml-info -j -b "$1" -t "$2" p |
		jq -c ".patches[0] | $3"
}

@test "ml-info tells how tensors are coded, and of which base tensor" {
	old=$D/old.bf16.st new=$D/new.bf16.st
	n=$(info "$old" "$new" '.tensors | length')
	[ "$n" -ge 4 ]
	[ "$(info "$old" "$new" '[.tensors[] | select(.mostly == "residual" and
		.as == "bf16" and .base == .name)] | length')" -ge 2 ]
	# kinds add up to the tensor, tensors and skeleton to the patch's kinds
	info "$old" "$new" 'all(.tensors[]; .bytes ==
		([.operations[].bytes] | add))' | grep -qx true
	info "$old" "$new" '([.tensors[], .skeleton] |
		map(.operations.residual.bytes // 0) | add) ==
		.operations.residual.bytes' | grep -qx true
	r 0 ml-info -b "$old" -t "$new" p
	grep -q ' residual  bf16 .* < [a-z]' out
}

@test "ml-info tells of blocks, casts and renamed tensors" {
	[ "$(info "$D/old.q8_0.gguf" "$D/new.q8_0.gguf" '[.tensors[] |
		select(.dtype == "q8_0" and .as == "q8_0 blocks")] |
		length')" -ge 2 ]
	[ "$(info "$D/old.f32.st" "$D/old.bf16.st" '[.tensors[] |
		select(.cast == "f32" and .base == .name and
		.mostly == "copy")] | length')" -ge 2 ]
	r 0 ml-info -b "$D/old.f32.st" -t "$D/old.bf16.st" p
	grep -q ' < cast of f32 ' out
	[ "$(info "$D/old.bf16.st" "$D/rename.bf16.st" '[.tensors[] |
		select(.base != null and .base != .name)] | length')" -ge 1 ]
}

@test "ml-delta -v tells what the other choice would have cost" {
	ml-split "$D/old.bf16.st" >old
	ml-split "$D/new.bf16.st" >new
	r 0 ml-delta -v old new
	# the smaller estimate was taken wherever all pieces were of one kind
	awk -F '\t' '
		$6 ~ /, residual / {
			split($6, f, "[ ,]+")
			best = f[4] < f[6] ? f[4] : f[6]
			if ($7 != "bf16" || f[2] > best)
				exit 1
			n++
		}
		END { exit n < 2 }' err
	ml-split "$D/old.f32.st" >old
	ml-split "$D/old.bf16.st" >new
	r 0 ml-delta -v old new
	grep -q '	name, cast [a-z]' err
}

@test "ml-ls as JSON: tensors and the rest are the file, scales are told" {
	local all='[.tensors[], .skeleton[] | .bytes] | add'

	for m in int8.tflite q4_0.gguf bf16.st; do
		ml-ls -a --json "$D/new.$m" >j
		[ "$(jq "$all" j)" = "$(size "$D/new.$m")" ]
		jq -e '.size == ('"$all"') and (.tensors | length > 2)' j
	done
	ml-ls --json "$D/new.int8.tflite" >j
	jq -e 'has("skeleton") | not' j
	jq -e '.tensors[] | select(.name == "fc3.weight") |
		.quant == {"axis": 0, "n": .shape[0]}' j
}
