#!/bin/bash
# SPDX-License-Identifier: MIT
# models.sh PAIR: what must hold for a pair of real models, old.* and new.*
# in $MODELS/PAIR, or the directories old and new.
set -uo pipefail
PATH=$BIN:$PATH
pair=$1
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT

old=$(echo "$MODELS/$pair"/old*) new=$(echo "$MODELS/$pair"/new*)
if [ -d "$old" ] && [ -d "$new" ]; then
	n=$(ml-split -f raw "$new" | ml-join | wc -c)
elif [ -f "$old" ] && [ -f "$new" ]; then
	n=$(stat -c %s "$new")
else
	echo "not ok $pair: no old.* and new.*"
	exit 1
fi
if [ -n "$SANITIZED" ] && [ -z "$LONG" ] && [ "$n" -gt 600000 ]; then
	echo "ok $pair # skip too large for a sanitizer; LONG=1 takes it"
	exit 0
fi
cd "$dir" || exit 3

fail() {
	echo "not ok $pair: $1"
	cat err 2>/dev/null
	exit 1
}

sizes() { # file
	[ "$(stat -c %s "$1")" -le $((n + 160)) ] ||
		fail "$(stat -c %s "$1") bytes for $n ($2)"
}

# is_new RESULT: the new one's bytes, or its files with their modes.
is_new() {
	if [ -d "$new" ]; then
		diff -r "$1" "$new" && cmp <(modes "$1") <(modes "$new")
	else
		cmp "$1" "$new"
	fi
}

modes() {
	(cd "$1" && find . -mindepth 1 -printf '%P %y %m\n' | sort)
}

# the pipeline
ml-split "$old" | ml-delta - <(ml-split "$new") | ml-zipnn |
	ml-pack >p 2>err || fail 'pipeline'
ml-apply -o out "$old" <p 2>err || fail 'ml-apply of the pipeline'
is_new out || fail 'the pipeline is not exact'
sizes p pipeline
# one command, and other classes as small
ml-diff -o d "$old" "$new" 2>err || fail ml-diff
sizes d ml-diff
if ! cmp -s d p; then
	ml-apply -o out2 "$old" d 2>err || fail 'ml-apply of ml-diff'
	is_new out2 || fail 'ml-diff is not exact'
fi
echo "ok $pair: $n -> $(stat -c %s d)"
if [ -d "$new" ]; then
	cp -r --preserve=mode "$old" inplace
	ml-apply -o inplace inplace d 2>err || fail 'in place'
	is_new inplace || fail 'in place, it is not exact'
	exit 0
fi

# ml-split f | ml-join, of the files as they are, cut and damaged
for f in "$old" "$new"; do
	k=$(stat -c %s "$f")
	ml-split "$f" | ml-join | cmp - "$f" || fail "split, join: $f"
	head -c $((k * 6 / 10)) "$f" >part
	ml-split -q part | ml-join | cmp - part || fail "split, join: cut $f"
	# a bit at the front, where the container is described, and one inside
	for at in 5 $((k / 97)) $((k / 2)) $((k - 100)); do
		if [ $at -lt 0 ] || [ $at -ge "$k" ]; then
			continue
		fi
		cp "$f" flipped && chmod u+w flipped
		byte=$(od -An -tu1 -j$at -N1 flipped)
		# shellcheck disable=SC2059
		printf "\\$(printf %o $((byte ^ 16)))" |
			dd of=flipped bs=1 seek=$at conv=notrunc 2>/dev/null
		cmp -s flipped "$f" && fail 'nothing was flipped'
		ml-split -q flipped | ml-join | cmp - flipped ||
			fail "split, join: bit at $at of $f"
	done
done
echo "ok $pair: split and join, cut, flipped"
