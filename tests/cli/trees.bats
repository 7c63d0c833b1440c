#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Directories: read as a canonical tar, written all at once.
load ../helper

tree() {
	python3 "$ROOT/tests/gen/tree.py" "$@"
}

# same DIR DIR: names, bytes, modes and links.
same() {
	tree state "$1" >state.1
	tree state "$2" >state.2
	cmp state.1 state.2 || { diff state.1 state.2 | head; false; }
}

# What may not be removed by its owner would stay behind.
teardown() {
	chmod -R u+rwx "$BATS_TEST_TMPDIR"
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/spool" 2>/dev/null)" ]
}

# tar_of DIR [OPTION...]: what the programs take a directory for.
tar_of() {
	local d=$1
	shift
	ml-split -f raw "$@" "$d" | ml-join
}

# whole TAR: a patch that makes a tar of nothing.
whole() {
	ml-split -f raw "$1" | ml-zipnn | ml-pack
}

# left: the names in the folder that no test made.
left() {
	find . -mindepth 1 -maxdepth 1 -name '.*' | sort
}

pair() {
	tree make old
	tree make new new
	ml-diff old new >p
}

@test "the tar is the same on every machine" {
	mkdir -p t/dir "t/$(printf 'x%.0s' {1..120})"
	printf hello >t/dir/file
	printf hello >$'t/\xe9'
	chmod 640 t/dir/file $'t/\xe9'
	chmod 755 t/dir t/x*
	ln -s ../else t/dir/link
	ln t/dir/file t/second
	r 0 ml-split -f raw t
	silent
	ml-join out >tar
	[ "$(size tar)" = 6144 ]
	[ "$(sha256sum <tar)" = 'b105de28202e2e623635acac2c30512d532f1a8cdc29e67705aceec214e0edb4  -' ]
	# nothing but the zeros at the end
	mkdir void
	r 0 ml-split void
	ml-join out | cmp - <(head -c 1024 /dev/zero)
}

@test "other order, times, locale: the same tar" {
	tree make old
	tar_of old >1.tar
	mkdir copy
	# backwards, and not at one time
	(cd old && find . -mindepth 1 -print0 | sort -rz |
		tar -c --no-recursion --null -T -) |
		tar -x --delay-directory-restore -p -C copy
	find copy -exec touch -hd '2001-02-03 04:05:06.7' {} +
	chmod 700 copy # the directory itself does not count
	tar_of copy | cmp - 1.tar
	for l in C.UTF-8 en_US.ISO-8859-1 none; do
		(export LC_ALL=$l; cd / && tar_of "$OLDPWD/copy") | cmp - 1.tar
	done
	(cd copy && tar_of .) | cmp - 1.tar
	ln -s copy link
	tar_of link/ | cmp - 1.tar
}

@test "a patch between directories" {
	pair
	[ "$(size p)" -lt 120000 ]
	r 0 ml-apply -o out.d old p
	silent
	[ ! -s out ]
	same out.d new
	# to nothing, and from nothing
	mkdir void
	ml-diff new void >q
	r 0 ml-apply -o out.v new q
	[ "$(echo out.v/*)" = 'out.v/*' ]
	ml-diff void new >q
	r 0 ml-apply -o out.v out.v q
	same out.v new
	# all of the pipe, and as a tar
	tar_of new >new.tar
	r 0 ml-apply old p
	cmp out new.tar
	mkdir x
	tar -x -p -C x <out
	same x new
	ml-split old | ml-delta - <(ml-split new) | ml-zipnn | ml-pack >pp
	r 0 ml-apply -o out.e old pp
	same out.e new
	r 0 ml-apply -s -o out.f old p
	same out.f new
	# a tar is as good a base
	tar_of old >old.tar
	r 0 ml-apply -x -o out.g old.tar p
	same out.g new
	[ -z "$(left)" ]
}

@test "other readers of tars understand it" {
	tree make old
	tar_of old >tar
	mkdir x y
	tar -x -p -C x -f tar
	same x old
	python3 - <<'END'
import os, tarfile
with tarfile.open("tar") as t:
	for m in t:
		p = os.path.join(b"old", os.fsencode(m.name))
		assert os.path.lexists(p), p
		assert m.mtime == m.uid == m.gid == 0, p
		assert (m.uname, m.gname) == ("", ""), p
END
	! command -v bsdtar || { bsdtar -x -p -C y -f tar && same y old; }
}

@test "a tar of others as a directory" {
	tree make old
	chmod 750 old
	mkdir names
	touch names/good $'names/\xe9' $'names/\xc3\xa9'
	names=$(printf 'y%.0s' {1..130})
	touch "names/$names"$'\xe9' "names/$names"$'\xc3\xa9'
	for f in gnu pax ustar v7; do
		d=old
		[ $f != v7 ] && [ $f != ustar ] || d=a
		[ $d = old ] || { rm -rf a && cp -a old/a a && chmod 750 a; }
		tar -c --format=$f -C $d . >tar
		whole tar >p
		r 0 ml-apply -x -o "out.$f" <p
		same "out.$f" $d
		[ "$(stat -c %a "out.$f")" = 750 ] # it has an entry for it
		[ $f = gnu ] || [ $f = pax ] || continue
		LC_ALL=C.UTF-8 tar -c --format=$f -C names . >tar
		whole tar >p
		r 0 ml-apply -x -o "names.$f" <p
		same "names.$f" names
	done
	# files before their directory, and none for it
	python3 - <<'END'
import io, tarfile
with tarfile.open("tar", "w") as t:
	for n, k, m in ("d/e/f", "0", 0o640), ("d", "5", 0o700):
		i = tarfile.TarInfo(n)
		i.type, i.mode, i.mtime = k.encode(), m, 86400
		t.addfile(i, io.BytesIO(b""))
END
	whole tar >p
	r 0 ml-apply -x -o out.n <p
	[ "$(stat -c '%a %Y' out.n/d out.n/d/e/f | xargs)" = \
		'700 86400 640 86400' ]
	# what is no tar
	whole <(echo hello, world) >p
	refuse 1 ml-apply -x -o out.x <p
	says 'no tar'
	# nor a whole one
	tar_of old | head -c 60000 >tar
	whole tar >p
	refuse 1 ml-apply -x -o out.x <p
	[ ! -e out.x ]
	[ -z "$(left)" ]
}

@test "-p keeps times and owners of the new one" {
	tree make old
	tree make new new
	find new -exec touch -hd '2001-02-03 04:05:06' {} +
	touch -d '1969-12-31' new/plain
	owner=0
	! chown 12345:54321 new/void 2>/dev/null || owner=1
	ml-diff old new >p
	ml-diff -p old new >pp
	[ "$(sha256sum <p)" != "$(sha256sum <pp)" ]
	r 0 ml-apply -o out.d old pp
	same out.d new
	[ $owner = 0 ] || {
		tree state new keep >state.1
		tree state out.d keep >state.2
		cmp state.1 state.2
	}
	[ "$(stat -c %Y out.d/a/x)" = "$(stat -c %Y new/a/x)" ]
	[ "$(stat -c %Y out.d/plain)" -lt 0 ]
	r 0 ml-apply -o out.e old p
	[ "$(stat -c %Y out.e/a/x)" != "$(stat -c %Y new/a/x)" ]
	# the base is without them, so the next patch has another base
	tar_of new -p >kept.tar
	r 0 ml-apply old pp
	cmp out kept.tar
	ml-diff new old >back
	r 0 ml-apply -o out.f out.d back
	cat pp back >chain
	refuse 4 ml-apply -o out.g old chain
	ml-diff old new >p
	cat p back >chain
	r 0 ml-apply -o out.g old chain
	same out.g old
	# of a file there is nothing to keep
	r 0 ml-split -p "$D/old.bf16.st"
	ml-split "$D/old.bf16.st" | cmp - out
}

@test "hostile tars are refused, and nothing is written" {
	mkdir in
	cd in || return
	echo untouched >../evil
	cp ../evil ../kept
	for k in up up-inside up-end absolute behind-link before-link \
		behind-dot-link link-then-file behind-file hard-up \
		hard-absolute hard-absent hard-to-link hard-to-dir twice \
		device block fifo no-name own-place top-link long; do
		tree hostile $k tar
		whole tar >p
		refuse 1 ml-apply -x -o out.d <p || { echo "$k"; false; }
		says "'out.d': " || { echo "$k"; false; }
		says entry
		[ "$(wc -l <err)" = 1 ]
		[ ! -e out.d ]
		[ -z "$(left)" ]
		[ ! -e evil ]
		cmp ../evil ../kept
		# nor is what was there touched
		mkdir -p there/d
		refuse 1 ml-apply -x -o there <p
		[ "$(echo there/* there/*/*)" = 'there/d there/*/*' ]
	done
}

@test "in place of an old one" {
	pair
	cp -a old dir
	chmod 711 dir
	before=$(stat -c %i dir)
	r 0 ml-apply -o dir dir p
	silent
	same dir new
	[ "$(stat -c %a dir)" = 711 ]
	[ "$(stat -c %i dir)" != "$before" ]
	# with slashes, and through links
	r 0 ml-apply -o dir/// old p
	r 0 ml-apply -o ./fresh// old p
	same fresh new
	mkdir real
	ln -s real link
	ln -s ../dir real/to
	echo junk >dir/junk
	r 0 ml-apply -o link/to old p
	[ -L link/to ]
	same dir new
	r 0 ml-apply -o link/new old p
	same real/new new
	(cd dir && ml-apply -o . ../old ../p)
	same dir new
	[ -z "$(left)" ]
	[ "$(find real -mindepth 1 -maxdepth 1 | sort | tr '\n' ' ')" = \
		'real/new real/to ' ]
	# umask
	(umask 077 && ml-apply -o mask old p)
	[ "$(stat -c %a mask)" = 700 ]
	same mask new
	(umask 0 && ml-apply -o mask old p)
	[ "$(stat -c %a mask)" = 700 ]
	same mask new
}

@test "what cannot be a directory's name" {
	pair
	echo file >file
	mkfifo fifo
	ln -s nowhere link
	for n in file fifo link absent/x file/x / /dev/null; do
		refuse 3 ml-apply -o $n old p
	done
	[ "$(cat file)" = file ]
	refuse 2 ml-apply -x old p
	says "'-x' needs '-o'"
	refuse 2 ml-apply -x -o - old p
	[ -z "$(left)" ]
	# a directory that makes a file
	ml-diff old "$D/new.bf16.st" >q
	r 0 ml-apply old q
	cmp out "$D/new.bf16.st"
	refuse 1 ml-apply -o out.d old q
	says 'no tar'
	# and the other way
	ml-diff "$D/new.bf16.st" new >q
	r 0 ml-apply -x -o out.d "$D/new.bf16.st" q
	same out.d new
	[ -z "$(left)" ]
}

@test "a wrong base directory: status 4, the old one untouched" {
	pair
	cp -a old dir
	for c in 'chmod 601 dir/void' 'touch dir/more' 'rm dir/void' \
		'echo x >dir/void' 'ln -sf x dir/sym'; do
		rm -rf dir
		cp -a old dir
		eval "$c"
		tree state dir >state.1
		refuse 4 ml-apply -o dir dir p || { echo "$c"; false; }
		tree state dir >state.2
		cmp state.1 state.2
	done
	# status 6 and 7
	mend target <p >bad
	rm -rf dir
	cp -a old dir
	refuse 7 ml-apply -o dir dir bad
	head -c 5000 p >bad
	refuse 6 ml-apply -o dir dir bad
	refuse 6 ml-apply -s -o dir dir bad
	same dir old
	[ -z "$(left)" ]
}

@test "what no tar can hold is named" {
	mkdir -p t/d
	mkfifo $'t/d/fi\nfo'
	refuse 1 ml-split t
	grep -qF "'d/fi\\x0afo' is a FIFO" err
	rm t/d/fi*
	python3 -c 'import socket; socket.socket(1).bind("t/d/sock")'
	refuse 1 ml-diff t t
	says "'d/sock' is a socket"
	rm t/d/sock
	mkdir deep
	python3 -c 'import os
os.chdir("deep")
for i in range(30):
	os.mkdir("x" * 200)
	os.chdir("x" * 200)'
	refuse 1 ml-split deep
	says 'path of more than'
	rm -rf deep
	[ "$(id -u)" = 0 ] || {
		touch t/d/secret
		chmod 0 t/d/secret
		refuse 3 ml-split t
		says d/secret
		chmod 0 t/d
		refuse 3 ml-split t
		says "'d'"
	}
}

@test "a file that changes meanwhile is named" {
	mkdir t
	rand x 3000000 >t/big
	echo 1 >t/small
	mkfifo fifo
	for how in 'echo 22 >t/small' 'rm t/small' 'ln -sf big t/small'; do
		ml-split -f raw -o fifo t 2>err &
		pid=$!
		exec 7<fifo
		head -c 1000 <&7 >/dev/null
		eval "$how"
		cat <&7 >/dev/null
		s=0
		wait $pid || s=$?
		exec 7<&-
		[ $s = 3 ]
		says "small'"
		rm -f t/small
		echo 1 >t/small
	done
}

@test "directories wherever a file is taken" {
	pair
	ml-split old | ml-delta - <(ml-split new) | ml-zipnn -b old >z
	r 0 ml-zipnn -d -b old z
	r 0 ml-pack -b old -t new z
	cmp out p
	refuse 7 ml-pack -b old -t old z
	r 0 ml-info -b old -t new p
	mkdir m
	cp "$D/old.bf16.st" m/model.safetensors
	r 0 ml-ls m
	[ -s out ]
	r 0 ml-ls -a -f raw m
	r 0 ml-ls -b old p
	refuse 1 ml-ls -f gguf m
}

# interrupted SIGNAL N: N runs that replace a directory, each ended after a
# little more of its time. Whatever that time is, it must be well.
interrupted() {
	local start took hit=0 pid i
	pair
	tar_of old >old.tar
	tar_of new >new.tar
	cp -a old dir
	start=$(date +%s%N)
	ml-apply -o dir old p
	took=$(($(date +%s%N) - start))
	for ((i = 0; i < $2; i++)); do
		rm -rf dir
		cp -a old dir
		ml-apply -o dir old p &
		pid=$!
		sleep "$(awk "BEGIN { print $took * $i / $2 / 1e9 }")"
		! kill "-$1" $pid 2>/dev/null || hit=$((hit + 1))
		wait $pid || :
		tar_of dir >now
		cmp -s now old.tar || cmp -s now new.tar || {
			echo "neither old nor new after run $i"
			return 1
		}
		if [ "$1" = KILL ]; then
			! left | grep -v '^\./\.dir\.[A-Za-z]\{6\}$' || return
			chmod -R u+rwx .dir.?????? 2>/dev/null || :
			rm -rf .dir.??????
		fi
		[ -z "$(left)" ] || { left; return 1; }
		chmod -R u+rwx dir
	done
	[ $hit -gt 0 ]
}

@test "kill -9 leaves the old or the new one" {
	interrupted KILL 40
}

@test "kill -TERM leaves nothing else" {
	interrupted TERM 15
	[ -z "$(left)" ]
}

@test "a file system that cannot exchange names" {
	pair
	cp -a old dir
	s=0
	"$B/tests/fault/inject" rename 1 EINVAL ml-apply -o dir old p \
		2>err || s=$?
	[ $s != 101 ] || skip 'no ptrace here'
	[ $s = 3 ]
	says 'cannot exchange two names'
	same dir old
	[ -z "$(left)" ]
	"$B/tests/fault/inject" rename 1 EINVAL ml-apply -o fresh old p
	same fresh new
}

@test "without being root" {
	[ "$(id -u)" = 0 ] || skip 'the other tests are'
	command -v setpriv >/dev/null || skip 'no setpriv(1)'
	as() {
		setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
	}
	chmod 777 .
	as test -x "$BIN/ml-apply" || skip 'others may not enter here'
	as test -w . || skip 'others may not enter here'
	tree make old
	tree make new new
	chown -hR 65534:65534 old new
	find old new -name 'mode 4755' -exec chmod 4755 {} +
	export TMPDIR=. # those above may be closed
	as ml-diff old new >p
	as cp -a old dir
	r 0 as ml-apply -o dir dir p
	same dir new
	# what its owner could not read goes, too
	as sh -c 'mkdir -p dir/q/r; echo >dir/q/r/f; chmod 0 dir/q/r dir/q'
	r 0 as ml-apply -o dir old p
	same dir new
	[ -z "$(left)" ]
	# modes that its owner cannot read
	python3 - <<'END'
import io, tarfile
with tarfile.open("tar", "w") as t:
	for n, k, m in ("d", "5", 0o111), ("d/f", "0", 0), ("d/e", "5", 0):
		i = tarfile.TarInfo(n)
		i.type, i.mode, i.uid = k.encode(), m, 7
		t.addfile(i, io.BytesIO(b""))
END
	whole tar >p
	r 0 as ml-apply -x -o dir2 - p <tar
	[ "$(stat -c %a dir2/d dir2/d/f dir2/d/e | xargs)" = '111 0 0' ]
	r 0 as ml-apply -x -o dir2 - p <tar
	[ -z "$(left)" ]
}
