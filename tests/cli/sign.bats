#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# ml-sign, ml-verify, and ml-apply -p: with the keys and signatures of
# minisign, and nothing that is not what was signed.
load ../helper

# Keys a and b, without passwords.
keys() {
	for k in a b; do
		minisign -G -W -p $k.pub -s $k.key >/dev/null
	done
}

id() { # of a key's file; minisign leaves zeros out
	printf %016X "0x$(sed -n '1s/.* \([0-9A-F]*\)$/\1/p' "$1")"
}

never() { # text file
	! grep -qF -- "$1" "$2"
}

# A patch of release 5, with and without a signature, and its files.
small() {
	keys
	rand base 700 >base
	echo 'what was not there before' |
		cat <(head -c 300 base) - <(tail -c 380 base) >target
	ml-diff -r 5 base target >patch
	r 0 ml-sign -s a.key patch
	silent
	mv out signed
	echo kept >file
	cp file kept
}

# no STATUS FILE WORDS [OPTION...]: neither program takes it, and both say why.
no() {
	local want=$1 f=$2 why=$3

	shift 3
	refuse "$want" ml-verify -p a.pub "$@" "$f" || return
	says "$why" || return
	[ "$(wc -l <err)" = 1 ] || return
	s=0
	ml-verify -q -p a.pub "$@" "$f" >out 2>err || s=$?
	[ "$s" = "$want" ] && [ ! -s err ] && [ ! -s out ] || return
	refuse "$want" ml-apply -p a.pub "$@" base "$f" || return
	says "$why" || return
	refuse "$want" ml-apply -p a.pub "$@" -o file base "$f" || return
	kept_as_it_was
}

kept_as_it_was() {
	cmp file kept
	[ "$(find . -name '.file*')" = '' ]
}

# yes FILE: verified and applied, in every way.
yes() {
	r 0 ml-verify -p a.pub "$1"
	silent
	r 0 ml-verify -p a.pub <"$1"
	r 0 ml-apply -p a.pub base "$1"
	silent
	cmp out target
	r 0 ml-apply -p a.pub base <"$1"
	cmp out target
	r 0 ml-apply -p a.pub -o made base "$1"
	cmp made target
	r 0 ml-apply -p a.pub -s -o made base "$1"
	cmp made target
	ml-apply -p a.pub -s -o made base < <(cat "$1")
	cmp made target
}

@test "manners: -h, -V, usage, full disk, standard input, -o" {
	small
	for p in ml-sign ml-verify; do
		r 0 $p -h
		silent
		head -n 1 out | grep -q "^usage: $p "
		r 0 $p -V
		grep -q "^$p [0-9][0-9.]* (stream 1, patch 1)\$" out
		for o in -h -V; do
			s=0
			$p $o >/dev/full 2>err || s=$?
			[ $s = 3 ]
		done
		refuse 2 $p -Z
		says "unknown option '-Z'"
		refuse 2 $p patch
		says "is needed"
	done
	refuse 2 ml-sign -s a.key patch patch
	refuse 2 ml-verify -p a.pub patch patch
	refuse 2 ml-verify -p a.pub -r x patch
	refuse 2 ml-verify patch -p
	refuse 3 ml-sign -s a.key absent
	refuse 3 ml-sign -s absent patch
	refuse 3 ml-verify -p absent patch
	refuse 3 ml-verify -p a.pub absent
	refuse 3 ml-verify -p a.pub -m absent patch
	s=0
	ml-sign -s a.key patch >/dev/full 2>err || s=$?
	[ $s = 3 ]
	refuse 3 ml-sign -s a.key -o /dev/full patch
	r 0 ml-sign -s a.key <patch
	cmp out signed
	ml-sign -s a.key >out < <(cat patch)
	cmp out signed
	refuse 0 ml-sign -s a.key -o got patch
	cmp got signed
	cp patch in-place
	refuse 0 ml-sign -s a.key -o in-place in-place
	cmp in-place signed
	refuse 1 ml-sign -s a.key -o file target
	refuse 6 ml-sign -s a.key -o file <(head -c 99 patch)
	kept_as_it_was
	refuse 2 ml-apply -m x base patch
	refuse 2 ml-apply -p a.pub -m x -s -o file base signed
}

@test "signed: verified, applied, and by who does not look" {
	small
	yes signed
	r 0 ml-verify -p b.pub -p a.pub signed
	r 0 ml-verify -p "$(tail -n 1 a.pub)" signed
	r 0 ml-apply -p "$(tail -n 1 a.pub)" base signed
	cmp out target
	r 0 ml-apply base signed
	cmp out target
	r 0 ml-apply -s base signed
	cmp out target
	[ $(($(size signed) - $(size patch))) -le 110 ]
	r 0 ml-info signed
	grep -q "^  signed .*$(id a.pub)" out
	r 0 ml-info -j signed
	[ "$(jq -r '.patches[0].key' out)" = "$(id a.pub)" ]
	r 0 ml-info patch
	never signed out
}

@test "signed already: only with -f" {
	small
	refuse 1 ml-sign -s b.key signed
	says 'signed already'
	r 0 ml-sign -f -s a.key signed
	cmp out signed
	r 0 ml-sign -f -s b.key signed
	mv out other
	refuse 8 ml-verify -p a.pub other
	r 0 ml-verify -p b.pub other
}

@test "what is not as it was signed, each with its own words" {
	small
	no 8 patch 'the patch is not signed'
	ml-sign -s b.key patch >other
	no 8 other "signed by key $(id b.pub), not by $(id a.pub)"
	refuse 8 ml-verify -p a.pub -p a.pub other
	says "signed by key $(id b.pub), which is none of the 2 given"
	# a key that only has the id of the other
	python3 - <<'END'
import base64
def line(f):
    return base64.b64decode(open(f).read().split("\n")[1])
a, b = line("a.pub"), line("b.pub")
key = base64.b64encode(a[:10] + b[10:]).decode()
open("c.pub", "w").write("untrusted comment: x\n" + key + "\n")
END
	refuse 8 ml-verify -p c.pub signed
	says "wrong signature: the header is not what key $(id a.pub) signed"
	refuse 8 ml-apply -p c.pub base signed
	no 9 signed 'release 5 is older than 6' -r 6
	r 0 ml-verify -p a.pub -r 5 signed
	# swapped header and body
	cp target second
	printf WHAT | dd of=second bs=1 seek=300 conv=notrunc 2>/dev/null
	for f in target second; do # not coded: of the same length
		ml-delta <(ml-split base) <(ml-split $f) | ml-pack -r 6 |
			ml-sign -s a.key >signed.$f
	done
	python3 - <<'END'
def cut(name):
    b = open(name, "rb").read()
    n = 9 + (b[7] & 127 | b[8] << 7) + 4
    return b[:n], b[n:]
(h1, b1), (h2, b2) = cut("signed.target"), cut("signed.second")
assert len(b1) == len(b2) and b1 != b2 and h1 != h2
open("h1b2", "wb").write(h1 + b2)
open("h2b1", "wb").write(h2 + b1)
END
	no 8 h1b2 'the body is not the one that was signed'
	no 8 h2b1 'the body is not the one that was signed'
	for o in h1b2 h2b1; do
		refuse 6 ml-apply -s -p a.pub -o file base $o
		kept_as_it_was
		says 'the body has not the SHA-256 that the header tells'
	done
	# a header with a field more, its CRC right
	mend ext 2 <signed >more
	no 6 more 'malformed header'
	mend target <signed >flipped
	no 8 flipped 'wrong signature'
	{ cat signed; printf x; } >bad
	no 6 bad 'bytes after the patch'
	no 1 target 'not a mallorn patch'
}

@test "real pairs, chains, directories" {
	keys
	for m in bf16.st q8_0.gguf int8.tflite f32.onnx; do
		for c in nano micro full; do
			ml-diff -c $c "$D/old.$m" "$D/new.$m" |
				ml-sign -s a.key >p
			r 0 ml-verify -p a.pub p
			r 0 ml-apply -c $c -p a.pub "$D/old.$m" p
			cmp out "$D/new.$m"
			r 0 ml-apply -c $c -s -p a.pub -o made "$D/old.$m" p
			cmp made "$D/new.$m"
		done
	done
	# deflated parts: a patch with the field 82
	python3 - "$D" <<'END'
import sys, zipfile
for v in "old", "new":
    with zipfile.ZipFile(v + ".zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.write("%s/%s.bf16.st" % (sys.argv[1], v), "m", compresslevel=6)
END
	ml-diff old.zip new.zip | ml-sign -s a.key >p
	r 0 ml-apply -p a.pub old.zip p
	cmp out new.zip
	r 0 ml-apply -s -p a.pub -o made old.zip p
	cmp made new.zip
	# chains
	m=bf16.st
	ml-diff -r 2 "$D/old.$m" "$D/new.$m" >p12
	ml-diff -r 3 "$D/new.$m" "$D/third.$m" >p23
	cat p12 p23 >p13
	r 0 ml-sign -s a.key p13
	mv out chain
	cat <(ml-sign -s a.key p12) <(ml-sign -s a.key p23) | cmp - chain
	r 0 ml-verify -p a.pub -r 3 chain
	r 0 ml-apply -p a.pub -r 3 "$D/old.$m" chain
	cmp out "$D/third.$m"
	refuse 9 ml-verify -p a.pub -r 4 chain
	cat <(ml-sign -s a.key p12) p23 >half
	refuse 8 ml-verify -p a.pub half
	says "offset $(size <(ml-sign -s a.key p12)): the patch is not signed" ||
		says 'the patch is not signed'
	refuse 8 ml-apply -p a.pub "$D/old.$m" half
	cat <(ml-sign -s a.key p23) <(ml-sign -s a.key p12) >wrong
	refuse 4 ml-apply -p a.pub "$D/new.$m" wrong
	# directories
	mkdir v1 v2
	cp "$D/old.$m" v1/m
	cp "$D/new.$m" v2/m
	ml-diff v1 v2 | ml-sign -s a.key >tree
	r 0 ml-apply -p a.pub -o v1 v1 tree
	diff -r v1 v2
	ml-diff v1 v2 >tree
	refuse 8 ml-apply -p a.pub -o v1 v1 tree
}

@test "-s with -p writes to a regular file only" {
	small
	refuse 2 ml-apply -s -p a.pub base signed
	says "needs '-o'"
	refuse 2 ml-apply -s -p a.pub -o - base signed
	mkfifo fifo
	cat fifo >got &
	refuse 2 ml-apply -s -p a.pub -o fifo base signed
	wait $!
	[ ! -s got ]
	refuse 8 ml-apply -s -p a.pub -o file base patch
	says 'not signed'
	kept_as_it_was
	refuse 8 ml-apply -s -p b.pub -o file base signed
	kept_as_it_was
	refuse 8 ml-apply -p a.pub absent-base patch # before the base is opened
	refuse 8 ml-apply -s -p b.pub -o file target signed
}

@test "while it streams nothing is there yet" {
	small
	half=$(($(size signed) - 9))
	mkfifo fifo
	# to a file: the old one is there until the last byte has proven all
	ml-apply -s -p a.pub -o file base fifo 2>err &
	pid=$!
	exec 7>fifo
	head -c $half signed >&7
	for _ in $(seq 200); do # until it made some of the target
		part=$(find . -name '.file*')
		[ -z "$part" ] || break
		sleep 0.05
	done
	[ -n "$part" ]
	cmp file kept
	tail -c 9 signed >&7
	exec 7>&-
	wait $pid
	cmp file target
	# and stays, if it goes away in the middle, whatever the way
	for sig in KILL TERM; do
		cp kept file
		ml-apply -s -p a.pub -o file base fifo 2>err &
		pid=$!
		exec 7>fifo
		head -c $half signed >&7
		for _ in $(seq 200); do
			[ -z "$(find . -name '.file*')" ] || break
			sleep 0.05
		done
		kill -$sig $pid
		s=0
		wait $pid || s=$?
		exec 7>&-
		[ $s -gt 128 ]
		cmp file kept
		[ $sig = KILL ] || [ "$(find . -name '.file*')" = '' ]
		rm -f .file*
	done
	# to a pipe: not a byte before all of the patch is verified
	ml-apply -p a.pub base fifo >got 2>err &
	pid=$!
	exec 7>fifo
	head -c $half signed >&7
	sleep 0.3
	[ ! -s got ]
	tail -c 9 signed >&7
	exec 7>&-
	wait $pid
	cmp got target
	# the last byte is another one: nothing at all
	{ head -c -1 signed; printf '\0'; } >bad
	cmp -s bad signed && printf '\1' | dd of=bad bs=1 \
		seek=$(($(size signed) - 1)) conv=notrunc 2>/dev/null
	cp kept file
	refuse 8 ml-apply -p a.pub base bad
	refuse 6 ml-apply -s -p a.pub -o file base bad
	kept_as_it_was
}

@test "-r and -R: no way back" {
	small
	ml-diff -r 4 target base | ml-sign -s a.key >back
	ml-diff base target | ml-sign -s a.key >none
	no 9 signed 'release 5 is older than 6' -r 6
	refuse 9 ml-apply -s -r 6 -p a.pub -o file base signed
	kept_as_it_was
	r 0 ml-apply -B -r 6 base signed
	# the file is made, kept, and never lowered
	for o in '' '-p a.pub' '-s -p a.pub -o made' '-s'; do
		rm -f state
		# shellcheck disable=SC2086
		r 0 ml-apply $o -R state base signed
		silent
		[ "$(cat state)" = 5 ]
		# shellcheck disable=SC2086
		r 0 ml-apply $o -R state base signed # the same again
		# shellcheck disable=SC2086
		refuse 9 ml-apply $o -R state target back
		says "release 4 is older than 5, which was accepted before"
		# shellcheck disable=SC2086
		refuse 9 ml-apply $o -R state base none
		[ "$(cat state)" = 5 ]
		# shellcheck disable=SC2086
		r 0 ml-apply $o -B -R state target back
		[ "$(cat state)" = 5 ]
		echo 3 >state
		# shellcheck disable=SC2086
		r 0 ml-apply $o -R state target back
		[ "$(cat state)" = 4 ]
	done
	# nothing is accepted by a patch that fails
	rm state
	refuse 8 ml-apply -p b.pub -R state base signed
	refuse 4 ml-apply -p a.pub -R state -o file target signed
	mend target <patch >bad
	r 7 ml-apply -R state base bad
	[ ! -e state ]
	[ "$(find . -name '.state*')" = '' ]
	kept_as_it_was
	# files that are none
	for bad in '' 5x -5 ' 5' '5 ' 99999999999999999999 \
		9223372036854775808 $'5\n6'; do
		printf %s "$bad" >state
		refuse 3 ml-apply -R state -o file base signed
		says 'not the number of a release'
	done
	rand x 100 >state
	refuse 1 ml-apply -R state -o file base signed
	refuse 3 ml-apply -R absent/state -o file base signed
	kept_as_it_was
	printf 9223372036854775807 >state
	refuse 9 ml-apply -R state -o file base signed
}

@test "a patch that is swapped after it was verified" {
	small
	# the copy is what counts: the file may be gone
	cp signed p
	mkfifo hold
	ml-apply -p a.pub hold p >out &
	pid=$!
	exec 7>hold # it has opened the base, so it has verified
	rand y 300 >p
	cat base >&7
	exec 7>&-
	wait $pid
	cmp out target
}

@test "minisign: its detached signatures, hashed and not" {
	small
	for o in -H -l; do
		minisign -S $o -s a.key -m patch -x sig -t 'a comment' >/dev/null
		r 0 ml-verify -p a.pub -m sig patch
		silent
		r 0 ml-verify -p a.pub -m sig <patch
		r 0 ml-apply -p a.pub -m sig base patch
		cmp out target
		r 0 ml-apply -p a.pub -m sig -o made base < <(cat patch)
		cmp made target
		no 8 signed 'wrong signature: the file is not' -m sig
		flip patch 100 >bad
		no 8 bad 'wrong signature: the file is not' -m sig
		refuse 8 ml-verify -p b.pub -m sig patch
		says "signed by key $(id a.pub), not by $(id b.pub)"
		sed 's/a comment/b comment/' sig >sig2
		no 8 patch 'wrong signature: the comment is not' -m sig2
		no 9 patch 'release 5 is older than 6' -m sig -r 6
		for n in 1 2 3; do
			head -n $n sig >part
			refuse 1 ml-verify -p a.pub -m part patch
			says 'not a signature of minisign'
		done
		refuse 1 ml-apply -p a.pub -m a.pub base patch
	done
	# and a signed patch is a file like any other
	minisign -S -s a.key -m signed -x sig >/dev/null
	minisign -V -q -p a.pub -m signed -x sig
	r 0 ml-verify -p a.pub -m sig signed
	# that is no patch
	minisign -S -s a.key -m target -x sig >/dev/null
	refuse 1 ml-verify -p a.pub -m sig target
}

@test "minisign: a key with a password" {
	small
	printf 'pass word\npass word\n' |
		minisign -G -f -p e.pub -s e.key >/dev/null 2>&1 ||
		skip 'minisign cannot make a key here (1 GB of memory)'
	echo 'pass word' >pw
	r 0 ml-sign -s e.key -w pw patch
	silent
	mv out other
	r 0 ml-verify -p e.pub other
	refuse 8 ml-verify -p a.pub other
}

# lock PASSWORD: the key a as l.key, with a password that is quick to check.
lock() {
	python3 - "$1" <<'END'
import base64, hashlib, sys
b = base64.b64decode(open("a.key").read().split("\n")[1])
secret = b[54:126]
secret += hashlib.blake2b(b"Ed" + secret, digest_size=32).digest()
salt = bytes(range(32))
limits = (1 << 15).to_bytes(8, "little") + (1 << 24).to_bytes(8, "little")
mask = hashlib.scrypt(sys.argv[1].encode(), salt=salt, n=1024, r=8, p=1,
                      dklen=104)
b = b"EdScB2" + salt + limits + bytes(x ^ y for x, y in zip(secret, mask))
open("l.key", "w").write("untrusted comment: x\n" +
                         base64.b64encode(b).decode() + "\n")
END
}

@test "passwords from a file" {
	small
	lock 'pass word'
	for end in '\n' '\r\n' '' '\nmore\n'; do
		printf %b "pass word$end" >pw
		r 0 ml-sign -s l.key -w pw patch
		silent
		cmp out signed
	done
	echo 'pass-word' >pw
	refuse 8 ml-sign -s l.key -w pw -o file patch
	says 'wrong password'
	never pass-word err
	refuse 8 ml-sign -s l.key -w /dev/null patch
	refuse 3 ml-sign -s l.key -w absent patch
	head -c 2000 /dev/zero >pw
	refuse 1 ml-sign -s l.key -w pw -o file patch
	# no terminal to ask
	refuse 3 setsid -w ml-sign -s l.key -o file patch
	says 'no terminal'
	kept_as_it_was
	# and stock minisign knows this key
	cp l.key m.key
	echo 'pass word' | minisign -S -s m.key -m patch >/dev/null 2>&1
	r 0 ml-verify -p a.pub -m patch.minisig patch
}

@test "the password is asked for on the terminal, where it does not show" {
	command -v script >/dev/null || skip 'no script(1)'
	small
	lock tiger
	mkfifo type
	script -qfec "ml-sign -s l.key -o got patch; echo status \$?" typed \
		<type >/dev/null &
	exec 7>type
	for ((i = 0; i < 100; i++)); do # typed when it asks
		! grep -qs 'password of' typed || break
		sleep 0.05
	done
	echo tiger >&7
	wait $!
	exec 7>&-
	grep -q 'status 0' typed
	never tiger typed
	cmp got signed
}

@test "files that are no keys" {
	small
	for f in patch target a.key /dev/null; do
		refuse 1 ml-verify -p $f signed
		says 'not a public key of minisign'
	done
	for f in patch target a.pub /dev/null; do
		refuse 1 ml-sign -s $f patch
		says 'not a secret key of minisign'
	done
	head -c 20000 /dev/zero >long
	refuse 1 ml-verify -p long signed
	says 'more than 16384 bytes'
	refuse 1 ml-sign -s long patch
	refuse 1 ml-verify -p a.pub -m long signed
	{ cat a.pub; echo more; } >bad
	refuse 1 ml-verify -p bad signed
	# nothing of a secret in a message
	{ cat a.key; echo more; } >bad
	refuse 1 ml-sign -s bad patch
	never "$(sed -n 2p a.key | cut -c 80-100)" err
	sed '2s/A/B/30' a.key >bad
	s=0
	ml-sign -s bad patch >out 2>err || s=$?
	never "$(sed -n 2p a.key | cut -c 80-100)" err
}
