#!/bin/bash
# SPDX-License-Identifier: MIT
# size.sh: the size of our patches against those of other tools, over a
# folder of pairs. See bench/README.md.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")/.." && pwd)
bin=${BIN-$here/build/bin}
models=$here/../shared/models
extern=
again=
out=$here/build/bench
jobs=$(nproc)
quick=0

usage() {
	cat <<-END
	usage: size.sh [-m MODELS] [-o OUT] [-p PEERS.tsv] [-r SIZE.tsv]
	               [-j N] [-q] [PAIR...]
	  -m  folder of pairs, each with old.EXT and new.EXT, or with folders
	      old and new
	  -o  folder for size.tsv, size.json and size.svg
	  -p  sizes of peers measured elsewhere: a table with the columns
	      pair, target_bytes, best_peer_bytes, best_peer
	      (MODELS/peers-best.tsv when it exists)
	  -r  an earlier size.tsv: the peers that it has sizes of are not run
	  -j  pairs at a time
	  -q  quick: run no peers, only -p and -r count
	END
}

while getopts hm:o:p:r:j:q o; do
	case $o in
	h) usage; exit 0 ;;
	m) models=$OPTARG ;;
	o) out=$OPTARG ;;
	p) extern=$OPTARG ;;
	r) again=$OPTARG ;;
	j) jobs=$OPTARG ;;
	q) quick=1 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))

[ -d "$models" ] || { echo "size.sh: no folder $models" >&2; exit 2; }
[ -z "$again" ] || [ -f "$again" ] ||
	{ echo "size.sh: no file $again" >&2; exit 2; }
[ -n "$extern" ] || extern=$models/peers-best.tsv
for p in ml-diff ml-apply; do
	[ -x "$bin/$p" ] ||
		{ echo "size.sh: no $p in $bin; run make" >&2; exit 3; }
done
command -v python3 >/dev/null || { echo 'size.sh: no python3' >&2; exit 3; }
# shellcheck source=bench/peers.sh
. "$here/bench/peers.sh"

# ===== one pair =========================================================

# What an earlier run found for a pair and a peer; nothing, if nothing.
before() { # pair target_bytes peer
	[ -z "$again" ] || awk -F '\t' -v pair="$1" -v n="$2" -v peer="$3" '
		NR == 1 {
			for (i = 1; i <= NF; i++)
				at[$i] = i
		}
		NR > 1 && $1 == pair && $(at["target_bytes"]) == n &&
			(peer in at) && $(at[peer]) ~ /^[0-9]+$|^failed$/ {
			print $(at[peer])
		}' "$again"
}

# Prints the size of the peer's patch, "-" when it was not run, "failed" when
# what it restores is not the new file.
peer() { # name old new dir
	if [ $quick = 1 ] || ! "$1_is" >/dev/null 2>&1; then
		echo -
	elif "$1_do" "$2" "$3" "$4/$1" >/dev/null 2>&1 &&
		"$1_undo" "$2" "$4/$1" "$4/$1.out" >/dev/null 2>&1 &&
		cmp -s "$4/$1.out" "$3"; then
		stat -c %s "$4/$1"
	else
		echo failed
	fi
	rm -f "$4/$1" "$4/$1".*
}

# A folder as other tools get it.
tarred() { # folder tar
	tar -C "$1" --sort=name --format=ustar --owner=0 --group=0 \
		--numeric-owner --mtime=@0 -cf "$2" .
}

# ours CLASS OLD NEW DIR: makes and applies a patch; prints its size, the
# seconds and the KiB of both.
ours() {
	local d=$4 t="- -" a="- -" n=failed

	rm -rf "$d/o"
	if "$tmp/maxrss" "$d/t" "$bin/ml-diff" -c "$1" "$2" "$3" \
		>"$d/p" 2>"$d/err"; then
		t=$(cat "$d/t")
		if "$tmp/maxrss" "$d/t" "$bin/ml-apply" -o "$d/o" "$2" \
			<"$d/p" 2>"$d/err" && diff -r "$d/o" "$3" >"$d/err"
		then
			a=$(cat "$d/t")
			n=$(stat -c %s "$d/p")
		fi
	fi
	if [ "$n" = failed ]; then
		[ -s "$d/err" ] || echo 'not the new file' >"$d/err"
		echo "size.sh: ${4##*/}: $1 failed: $(head -n 1 "$d/err")" >&2
	fi
	echo "$n $t $a"
}

# Writes the pair's row, tab-separated, to $tmp/PAIR.row.
one() {
	local name=$1 old new dir row p s n full nano

	old=$(echo "$models/$name"/old*)
	new=$(echo "$models/$name"/new*)
	dir=$tmp/$name
	mkdir "$dir"
	full=$(ours full "$old" "$new" "$dir")
	nano=$(ours nano "$old" "$new" "$dir")
	rm -rf "$dir/o"
	if [ -d "$new" ]; then
		tarred "$old" "$dir/old.tar"
		tarred "$new" "$dir/new.tar"
		old=$dir/old.tar
		new=$dir/new.tar
	fi
	n=$(stat -c %s "$new")
	row="$name"$'\t'"$n"$'\t'"${full%% *}"$'\t'"${nano%% *}"
	for p in "${peers[@]}"; do
		s=$(before "$name" "$n" "$p")
		[ -n "$s" ] || s=$(peer "$p" "$old" "$new" "$dir")
		row+=$'\t'"$s"
	done
	full=${full#* }
	printf '%s\t%s\n' "$row" "${full// /$'\t'}" >"$tmp/$name.row"
	rm -rf "$dir"
}

# ===== all pairs ========================================================

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for p in maxrss xorplane; do
	${CC:-cc} -std=c11 -O2 -D_POSIX_C_SOURCE=200809L -o "$tmp/$p" \
		"$here/bench/$p.c"
done
mkdir -p "$out"

if [ $# = 0 ]; then
	for d in "$models"/*/; do
		d=${d%/}
		set -- "$@" "${d##*/}"
	done
fi
names=()
for d; do
	# one of each, both files or both folders
	if compgen -G "$models/$d/old*" >/dev/null &&
		compgen -G "$models/$d/new*" >/dev/null; then
		names+=("$d")
	else
		echo "size.sh: $d: no old and new, skipped" >&2
	fi
done
[ ${#names[@]} -gt 0 ] || { echo 'size.sh: no pairs' >&2; exit 2; }

running=0
for d in "${names[@]}"; do
	if [ $running -ge "$jobs" ]; then
		wait -n
		running=$((running - 1))
	fi
	one "$d" &
	running=$((running + 1))
done
wait

{
	printf 'pair\ttarget_bytes\tours\tours_nano'
	printf '\t%s' "${peers[@]}"
	printf '\tdiff_s\tdiff_kib\tapply_s\tapply_kib\n'
	for d in "${names[@]}"; do
		cat "$tmp/$d.row"
	done
} >"$tmp/rows"
[ -f "$extern" ] || extern=/dev/null
manifest=$models/MANIFEST.tsv
[ -f "$manifest" ] || manifest=/dev/null
python3 "$here/bench/report.py" "$tmp/rows" "$extern" "$manifest" "$out"
