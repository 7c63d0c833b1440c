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
out=$here/build/bench
jobs=$(nproc)
quick=0

usage() {
	cat <<-END
	usage: size.sh [-m MODELS] [-o OUT] [-p PEERS.tsv] [-j N] [-q]
	               [PAIR...]
	  -m  folder of pairs, each with old.EXT and new.EXT
	  -o  folder for size.tsv, size.json and size.svg
	  -p  sizes of peers measured elsewhere: a table with the columns
	      pair, target_bytes, best_peer_bytes, best_peer
	      (MODELS/peers-best.tsv when it exists)
	  -j  pairs at a time
	  -q  quick: run no peers, only -p counts
	END
}

while getopts hm:o:p:j:q o; do
	case $o in
	h) usage; exit 0 ;;
	m) models=$OPTARG ;;
	o) out=$OPTARG ;;
	p) extern=$OPTARG ;;
	j) jobs=$OPTARG ;;
	q) quick=1 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))

[ -d "$models" ] || { echo "size.sh: no folder $models" >&2; exit 2; }
[ -n "$extern" ] || extern=$models/peers-best.tsv
for p in ml-diff ml-apply; do
	[ -x "$bin/$p" ] ||
		{ echo "size.sh: no $p in $bin; run make" >&2; exit 3; }
done
command -v jq >/dev/null || { echo 'size.sh: no jq' >&2; exit 3; }

# ===== peers ============================================================

# NAME_do OLD NEW PATCH writes a patch, NAME_undo OLD PATCH BACK applies it,
# and NAME_is says whether the tool is there. The two that only compress the
# new file show what a delta is worth.
peers=(bsdiff xdelta3 zstd_from hdiffz_zstd hdiffz_lzma2 detools xz zstd)

bsdiff_is() { command -v bsdiff && command -v bspatch; }
bsdiff_do() { bsdiff "$1" "$2" "$3"; }
bsdiff_undo() { bspatch "$1" "$3" "$2"; }

xdelta3_is() { command -v xdelta3; }
xdelta3_do() { xdelta3 -e -9 -S lzma -f -s "$1" "$2" "$3"; }
xdelta3_undo() { xdelta3 -d -f -s "$1" "$2" "$3"; }

zstd_from_is() { command -v zstd; }
zstd_from_do() {
	zstd -q -f --ultra -22 --long=31 --patch-from="$1" "$2" -o "$3"
}
zstd_from_undo() {
	zstd -q -f -d --long=31 --patch-from="$1" "$2" -o "$3"
}

hdiffz_zstd_is() { command -v hdiffz && command -v hpatchz; }
hdiffz_zstd_do() { hdiffz -f -m-1 -SD -c-zstd-22 "$1" "$2" "$3"; }
hdiffz_zstd_undo() { hpatchz -f "$1" "$2" "$3"; }
hdiffz_lzma2_is() { hdiffz_zstd_is; }
hdiffz_lzma2_do() { hdiffz -f -m-1 -SD -c-lzma2-9 "$1" "$2" "$3"; }
hdiffz_lzma2_undo() { hpatchz -f "$1" "$2" "$3"; }

detools_is() { command -v detools; }
detools_do() { detools create_patch -c lzma "$1" "$2" "$3"; }
detools_undo() { detools apply_patch "$1" "$2" "$3"; }

xz_is() { command -v xz; }
xz_do() { xz -9e -T1 -c "$2" >"$3"; }
xz_undo() { xz -dc "$2" >"$3"; }

zstd_is() { command -v zstd; }
zstd_do() { zstd -q -f -19 "$2" -o "$3"; }
zstd_undo() { zstd -q -f -d "$2" -o "$3"; }

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
	rm -f "$4/$1" "$4/$1.out"
}

# ===== one pair =========================================================

# Writes the pair's row, tab-separated, to $tmp/PAIR.row.
one() {
	local name=$1 old new dir ours=failed row p s
	local ds=- dm=- as=- am=-

	old=$(echo "$models/$name"/old.*)
	new=$(echo "$models/$name"/new.*)
	dir=$tmp/$name
	mkdir "$dir"
	if "$tmp/maxrss" "$dir/t" "$bin/ml-diff" "$old" "$new" >"$dir/p" \
		2>"$dir/err"; then
		read -r ds dm <"$dir/t"
		if "$tmp/maxrss" "$dir/t" "$bin/ml-apply" "$old" <"$dir/p" \
			>"$dir/o" 2>"$dir/err" && cmp -s "$dir/o" "$new"; then
			read -r as am <"$dir/t"
			ours=$(stat -c %s "$dir/p")
		fi
	fi
	if [ "$ours" = failed ]; then
		[ -s "$dir/err" ] || echo 'not the new file' >"$dir/err"
		echo "size.sh: $name: ours failed: $(head -n 1 "$dir/err")" >&2
	fi
	row="$name"$'\t'"$(stat -c %s "$new")"$'\t'"$ours"
	for p in "${peers[@]}"; do
		s=$(peer "$p" "$old" "$new" "$dir")
		row+=$'\t'"$s"
	done
	printf '%s\t%s\t%s\t%s\t%s\n' "$row" "$ds" "$dm" "$as" "$am" \
		>"$tmp/$name.row"
	rm -rf "$dir"
}

# ===== all pairs ========================================================

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
${CC:-cc} -std=c11 -O2 -D_POSIX_C_SOURCE=200809L -o "$tmp/maxrss" \
	"$here/bench/maxrss.c"
mkdir -p "$out"

if [ $# = 0 ]; then
	for d in "$models"/*/; do
		d=${d%/}
		set -- "$@" "${d##*/}"
	done
fi
names=()
for d; do
	if [ -d "$models/$d/old" ] && [ -d "$models/$d/new" ]; then
		echo "size.sh: $d: folders, skipped" >&2
	elif compgen -G "$models/$d/old.*" >/dev/null &&
		compgen -G "$models/$d/new.*" >/dev/null; then
		names+=("$d")
	else
		echo "size.sh: $d: no old.* and new.*, skipped" >&2
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
	printf 'pair\ttarget_bytes\tours'
	printf '\t%s' "${peers[@]}"
	printf '\tdiff_s\tdiff_kib\tapply_s\tapply_kib\n'
	for d in "${names[@]}"; do
		cat "$tmp/$d.row"
	done
} >"$tmp/rows"
[ -f "$extern" ] || extern=/dev/null

# Adds the best of the peers measured here and elsewhere, and the ratio. A
# peer measured elsewhere counts only for a target of the same size.
awk -F '\t' -v OFS='\t' -v np=${#peers[@]} '
	FILENAME != ARGV[ARGC - 1] {
		if (FNR > 1) {
			target[$1] = $2; size[$1] = $3; by[$1] = $4
		}
		next
	}
	FNR == 1 {
		for (i = 1; i <= NF; i++)
			name[i] = $i
		print $0, "best_peer", "best_bytes", "ratio"
		next
	}
	{
		best = ""; who = "-"
		for (i = 4; i < 4 + np; i++)
			if ($i ~ /^[0-9]+$/ && (best == "" || $i + 0 < best)) {
				best = $i + 0; who = name[i]
			}
		if (($1 in size) && target[$1] == $2 &&
			(best == "" || size[$1] + 0 < best)) {
			best = size[$1] + 0; who = by[$1]
		}
		ratio = "-"
		if (best != "" && best > 0 && $3 ~ /^[0-9]+$/)
			ratio = sprintf("%.4f", $3 / best)
		print $0, who, best == "" ? "-" : best, ratio
	}
' "$extern" "$tmp/rows" >"$out/size.tsv"

jq -R -s '
	def value: if test("^[0-9]+([.][0-9]+)?$") then tonumber
		elif . == "-" then null else . end;
	split("\n") | map(select(. != "") | split("\t")) |
	.[0] as $head | .[1:] |
	map([$head, .] | transpose |
		map({ (.[0]): (if .[0] == "pair" then .[1]
			else (.[1] | value) end) }) | add) as $pairs |
	($pairs | map(.ratio | select(type == "number"))) as $r |
	{
		pairs: ($pairs | length),
		compared: ($r | length),
		failed: ($pairs | map(select(.ours == "failed")) | length),
		geomean: (if $r == [] then null else
			($r | map(log) | add / length | exp) end),
		wins: ($r | map(select(. < 1)) | length),
		ties: ($r | map(select(. == 1)) | length),
		losses: ($r | map(select(. > 1)) | length),
		peers_failed: ($pairs | map(to_entries[] |
			select(.value == "failed" and .key != "ours") |
			.key) | group_by(.) |
			map({ (.[0]): length }) | add // {}),
		rows: $pairs
	}
' "$out/size.tsv" >"$out/size.json"

if command -v python3 >/dev/null; then
	python3 "$here/bench/plot.py" "$out/size.tsv" >"$out/size.svg"
else
	echo 'size.sh: no python3, no size.svg' >&2
fi

{
	printf 'pair\ttarget\tours\tbest peer\tby\tratio\n'
	awk -F '\t' -v OFS='\t' 'NR > 1 {
		print $1, $2, $3, $(NF - 1), $(NF - 2), $NF
	}' "$out/size.tsv" | sort -t $'\t' -k 6,6g
} | awk -F '\t' '{ printf "%-44s %9s %9s %9s  %-14s %7s\n",
	$1, $2, $3, $4, $5, $6 }'
jq -r '"\n\(.pairs) pairs, \(.failed) failed; ours/best: geomean " +
	"\(.geomean | if . then . * 10000 | round / 10000 else "-" end), " +
	"\(.wins) wins, " +
	"\(.ties) ties, \(.losses) losses",
	(.peers_failed | to_entries[] | "\(.key): failed on \(.value) pairs"),
	(.rows | sort_by(.diff_s // 0) | last |
		"slowest ml-diff: \(.diff_s) s, \(.pair)"),
	(.rows | sort_by(.diff_kib // 0) | last |
		"largest ml-diff: \(.diff_kib) KiB, \(.pair)"),
	(.rows | sort_by(.apply_kib // 0) | last |
		"largest ml-apply: \(.apply_kib) KiB, \(.pair)")' \
	"$out/size.json"
echo "written: $out/size.tsv size.json size.svg"
[ "$(jq .failed "$out/size.json")" = 0 ]
