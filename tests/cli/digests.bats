#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# -H xxh3: digests by XXH3-128, where nobody means harm.
load ../helper

pair() {
	OLD=$D/old.bf16.st NEW=$D/new.bf16.st
	ml-diff -H xxh3 "$OLD" "$NEW" >patch
}

@test 'the patch is applied, and tells which digest it has' {
	pair
	r 0 ml-apply "$OLD" patch
	cmp out "$NEW"
	r 0 ml-apply -s "$OLD" <patch
	cmp out "$NEW"
	ml-info patch >info
	grep -q '^  target .*, XXH3-128 [0-9a-f]\{32\}$' info
	grep -q '^  base .*, XXH3-128 [0-9a-f]\{32\}$' info
	ml-info -j -b "$OLD" -t "$NEW" patch >info
	[ "$(jq -r '.patches[0].target.xxh3 | length' info)" = 32 ]
	[ "$(jq -r '.patches[0].target.sha256' info)" = null ]
	[ "$(jq .patches[0].flags info)" = 5 ]
}

@test 'the digest is what others compute' {
	command -v xxhsum >/dev/null || skip 'no xxhsum'
	pair
	h=$(xxhsum -q -H2 "$NEW")
	[ "$(ml-info -j patch | jq -r '.patches[0].target.xxh3')" = "${h%% *}" ]
	h=$(xxhsum -q -H2 "$OLD")
	[ "$(ml-info -j patch | jq -r '.patches[0].base.xxh3')" = "${h%% *}" ]
}

@test 'the pipeline makes the same patch as ml-diff' {
	pair
	ml-split -H xxh3 "$OLD" >old.s
	ml-split -H xxh3 "$NEW" >new.s
	ml-delta old.s new.s | ml-zipnn | ml-pack >p
	cmp p patch
	r 0 ml-join new.s
	cmp out "$NEW"
	ml-zipnn new.s | ml-zipnn -d | ml-join >out
	cmp out "$NEW"
	ml-pack -d patch >s
	ml-zipnn -d -b "$OLD" s | ml-zipnn | ml-pack >p
	cmp p patch
	ml-split -H sha256 "$NEW" >sha.s
	refuse 1 ml-delta old.s sha.s
	says 'XXH3-128.*SHA-256'
}

@test 'a wrong base and a wrong result are refused' {
	pair
	flip "$OLD" 5000 >base
	refuse 4 ml-apply base patch
	says 'has the size, but not the XXH3-128'
	ml-diff -H xxh3 "$NEW" "$OLD" >back
	cat patch back >chain
	r 0 ml-apply "$OLD" chain
	cmp out "$OLD"
	ml-diff "$NEW" "$OLD" >back
	cat patch back >chain # whose digests cannot be compared
	refuse 4 ml-apply "$OLD" chain
	# the digest of a stream, at its end
	ml-split -H xxh3 "$NEW" >s
	python3 - s <<-'END'
		import sys, zlib
		b = bytearray(open(sys.argv[1], 'rb').read())
		b[-36] ^= 1
		b[-4:] = zlib.crc32(b[-60:-4]).to_bytes(4, 'little')
		open(sys.argv[1], 'wb').write(b)
	END
	r 7 ml-join s
	says XXH3-128
}

@test 'it is neither signed nor trusted' {
	pair
	minisign -G -W -p k.pub -s k.key >/dev/null
	refuse 1 ml-sign -s k.key patch
	says forge
	refuse 8 ml-apply -p k.pub "$OLD" patch
	minisign -S -s k.key -m patch -x sig >/dev/null
	refuse 8 ml-apply -p k.pub -m sig "$OLD" patch
	says forge
	refuse 8 ml-apply -s -p k.pub -o o "$OLD" patch
	[ ! -e o ]
}

@test 'only class full has it' {
	OLD=$D/old.f32.tflite NEW=$D/new.f32.tflite
	refuse 2 ml-diff -H xxh3 -c nano "$OLD" "$NEW"
	ml-diff -H xxh3 "$OLD" "$NEW" >patch
	refuse 5 ml-apply -c micro "$OLD" patch
	refuse 2 ml-diff -H md5 "$OLD" "$NEW"
	refuse 2 ml-split -H md5 "$NEW"
}
