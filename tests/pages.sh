#!/bin/bash
# SPDX-License-Identifier: MIT
# pages.sh: the manual pages are true. Their examples run, in order, each page
# in a folder with models old.* new.* v1.gguf v2.gguf v3.gguf; a block after
# the comment "not run" is left out, one after "file: NAME" is written to that
# file. The dumps in section 5 are what the programs write, and the readers
# there compile without a warning and read what the programs write.
set -uo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
D=$B/tests/data
PATH=$BIN:$PATH
man=$ROOT/man
cd "$dir" || exit 3

ok() { # name status
	if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1"; fi
}

# examples PAGE: the commands, as one script.
examples() {
	awk '
	/^\.Sh / { on = /^\.Sh EXAMPLES/; next }
	!on { next }
	/^\.\\" not run/ { how = "skip"; next }
	/^\.\\" file: / { how = "file"; name = $3; next }
	/^\.Bd -literal/ {
		block = 1
		if (how == "file") print "cat >" name " <<\x27END-OF-FILE\x27"
		next
	}
	/^\.Ed/ {
		if (how == "file") print "END-OF-FILE"
		block = 0; how = ""; next
	}
	block && how != "skip" {
		sub(/^\\&/, ""); gsub(/\\e/, "\\"); print
	}' "$1"
}

# dump PAGE: the bytes of the hex dump in its examples.
dump() {
	sed -n '/^\.Sh EXAMPLES/,$s/^ *[0-9][0-9]*  \(\([0-9A-F][0-9A-F] \)*[0-9A-F][0-9A-F]\)  .*/\1/p' "$1" |
		xxd -r -p
}

# ===== examples =========================================================

if ! make -s -C "$ROOT" B="$B" DESTDIR= PREFIX="$dir/usr" install \
	>install.log 2>&1; then
	echo 'not ok make install'
	cat install.log
	exit 1
fi
mkdir cc
first=${CC%% *}
printf '#!/bin/sh\nexec %s %s "$@"\n' "$(command -v "$first")${CC#"$first"}" \
	"$CFLAGS" >cc/cc
chmod +x cc/cc
for page in "$man"/*.[17]; do
	name=$(basename "$page")
	mkdir "$name" && cd "$name" || exit 3
	for v in old new; do
		cp "$D/$v.bf16.st" $v.safetensors
		cp "$D/$v.q8_0.gguf" $v.gguf
		cp "$D/$v.f32.onnx" $v.onnx
		cp "$D/$v.f32.tflite" $v.tflite
	done
	cp old.gguf v1.gguf
	cp new.gguf v2.gguf
	cp "$D/third.q8_0.gguf" v3.gguf
	examples "$page" >../run
	if [ ! -s ../run ]; then
		echo "not ok examples of $name: there are none"
	elif PATH=$dir/cc:$PATH PKG_CONFIG_PATH=$dir/usr/lib/pkgconfig \
		MAKEFLAGS='' bash -e -u -o pipefail ../run >../log 2>&1; then
		echo "ok examples of $name"
	else
		echo "not ok examples of $name"
		tail -n 15 ../log
	fi
	cd ..
done

# ===== section 5 ========================================================

printf hello >hello
dump "$man/ml-stream.5" >stream
ml-split hello | cmp - stream
ok 'the dump of ml-stream.5' $?
printf 'hello world\n' >base
printf 'hello, old world\n' >target
dump "$man/ml-patch.5" >patch
ml-apply base patch | cmp - target
ok 'the dump of ml-patch.5' $?

for n in stream patch; do
	# shellcheck disable=SC2086 # CC may have arguments
	"$ROOT/scripts/extract-c" "$man/ml-$n.5" >$n-reader.c &&
		$CC -std=c11 -pedantic -Wall -Wextra -O1 -g -o $n-reader \
			$n-reader.c 2>log
	s=$?
	[ ! -s log ] || { cat log; s=1; }
	ok "the reader of ml-$n.5 compiles" $s
done

bad=0
for f in "$D"/old.*; do
	ml-split "$f" | ./stream-reader >list || bad=1
	[ "$(grep -c ' type [^0]' list)" -ge 1 ] || bad=1
	ml-delta -z <(ml-split "$f") <(ml-split "${f/old/new}") |
		ml-pack >p
	./patch-reader "$f" <p | cmp - "${f/old/new}" || bad=1
done
ok 'the readers read what the programs write' $bad
