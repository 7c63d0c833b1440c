# SPDX-License-Identifier: MIT
# peers.sh: the other tools, for size.sh. NAME_is says whether a tool is
# there, NAME_do OLD NEW PATCH writes a patch, NAME_undo OLD PATCH BACK applies
# it. Those that only compress the new file show what a delta is worth.
# shellcheck shell=bash disable=SC2034,SC2154 # they share size.sh's names
peers=(bsdiff bsdiff_xz xdelta3 zstd_from
	hdiffz_zstd hdiffz_lzma2 hdiffz_SD_zstd hdiffz_SD_lzma2 hpatchlite
	detools_lzma detools_crle xor_xz xor_zstd xor_zipnn xor_openzl
	xz zstd zipnn openzl)

bsdiff_is() { command -v bsdiff && command -v bspatch; }
bsdiff_do() { bsdiff "$1" "$2" "$3"; }
bsdiff_undo() { bspatch "$1" "$3" "$2"; }

# The same with its three bzip2 streams as xz.
bsdiff_xz_is() { bsdiff_is && command -v python3; }
bsdiff_xz_do() {
	bsdiff "$1" "$2" "$3.bz2" &&
		python3 "$here/bench/bsdiff_xz.py" <"$3.bz2" >"$3"
}
bsdiff_xz_undo() {
	python3 "$here/bench/bsdiff_xz.py" -d <"$2" >"$2.bz2" &&
		bspatch "$1" "$3" "$2.bz2"
}

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
hdiffz_zstd_do() { hdiffz -f -d -m-1 -p-1 -c-zstd-22 "$1" "$2" "$3"; }
hdiffz_zstd_undo() { hpatchz -f "$1" "$2" "$3"; }
hdiffz_lzma2_is() { hdiffz_zstd_is; }
hdiffz_lzma2_do() { hdiffz -f -d -m-1 -p-1 -c-lzma2-9-64m "$1" "$2" "$3"; }
hdiffz_lzma2_undo() { hpatchz -f "$1" "$2" "$3"; }
hdiffz_SD_zstd_is() { hdiffz_zstd_is; }
hdiffz_SD_zstd_do() { hdiffz -f -d -m-1 -SD -p-1 -c-zstd-22 "$1" "$2" "$3"; }
hdiffz_SD_zstd_undo() { hpatchz -f "$1" "$2" "$3"; }
hdiffz_SD_lzma2_is() { hdiffz_zstd_is; }
hdiffz_SD_lzma2_do() {
	hdiffz -f -d -m-1 -SD -p-1 -c-lzma2-9-64m "$1" "$2" "$3"
}
hdiffz_SD_lzma2_undo() { hpatchz -f "$1" "$2" "$3"; }

# As it would be sent to a microcontroller: a window of 256 bytes.
hpatchlite_is() { command -v hdiffi && command -v hpatchi; }
hpatchlite_do() { hdiffi -f -d -m-1 -c-tuz-256 "$1" "$2" "$3"; }
hpatchlite_undo() { hpatchi -f "$1" "$2" "$3"; }

detools_lzma_is() { command -v detools; }
detools_lzma_do() { detools create_patch -c lzma "$1" "$2" "$3"; }
detools_lzma_undo() { detools apply_patch "$1" "$2" "$3"; }
detools_crle_is() { command -v detools; }
detools_crle_do() { detools create_patch -c crle "$1" "$2" "$3"; }
detools_crle_undo() { detools apply_patch "$1" "$2" "$3"; }

# What many build themselves: the XOR of both files, its bytes in planes of
# two or four, and a compressor. The width is the first byte.
xor_best() { # old new patch compressor...
	local old=$1 new=$2 out=$3 w
	shift 3
	for w in 1 2 4; do
		{ printf %s $w && "$tmp/xorplane" $w "$old" "$new" |
			"$@"; } >"$out.$w" || return
		if [ $w = 1 ] || [ "$(stat -c %s "$out.$w")" -lt \
			"$(stat -c %s "$out")" ]; then
			mv "$out.$w" "$out"
		else
			rm "$out.$w"
		fi
	done
}
xor_back() { # old patch back decompressor...
	local old=$1 patch=$2 out=$3 w
	shift 3
	w=$(head -c 1 "$patch")
	tail -c +2 "$patch" | "$@" >"$out.x" &&
		"$tmp/xorplane" -d "$w" "$old" "$out.x" >"$out"
}
xor_xz_is() { command -v xz; }
xor_xz_do() { xor_best "$1" "$2" "$3" xz -9e -T1 -c; }
xor_xz_undo() { xor_back "$1" "$2" "$3" xz -dc; }
xor_zstd_is() { command -v zstd; }
xor_zstd_do() { xor_best "$1" "$2" "$3" zstd -q -c --ultra -22; }
xor_zstd_undo() { xor_back "$1" "$2" "$3" zstd -q -dc; }

# ZipNN makes planes itself, of the type that it is told: all are tried.
zipnn_is() { python3 "$here/bench/zipnn_file.py" -t; }
zipnn_do() { python3 "$here/bench/zipnn_file.py" "$2" >"$3"; }
zipnn_undo() { python3 "$here/bench/zipnn_file.py" -d "$2" >"$3"; }
xor_zipnn_is() { zipnn_is; }
xor_zipnn_do() {
	"$tmp/xorplane" 1 "$1" "$2" >"$3.x" && zipnn_do "" "$3.x" "$3"
}
xor_zipnn_undo() {
	zipnn_undo "" "$2" "$3.x" && "$tmp/xorplane" -d 1 "$1" "$3.x" >"$3"
}

openzl_is() { command -v zli; }
openzl_do() {
	local p
	for p in serial le-u16 le-u32; do
		zli compress --force --profile $p "$2" -o "$3.$p" || return
		if [ $p = serial ] || [ "$(stat -c %s "$3.$p")" -lt \
			"$(stat -c %s "$3")" ]; then
			mv "$3.$p" "$3"
		else
			rm "$3.$p"
		fi
	done
}
openzl_undo() { zli decompress --force "$2" -o "$3"; }
xor_openzl_is() { openzl_is; }
xor_openzl_do() {
	"$tmp/xorplane" 1 "$1" "$2" >"$3.x" && openzl_do "" "$3.x" "$3"
}
xor_openzl_undo() {
	openzl_undo "" "$2" "$3.x" && "$tmp/xorplane" -d 1 "$1" "$3.x" >"$3"
}

xz_is() { command -v xz; }
xz_do() { xz -9e -T1 -c "$2" >"$3"; }
xz_undo() { xz -dc "$2" >"$3"; }

zstd_is() { command -v zstd; }
zstd_do() { zstd -q -f -19 "$2" -o "$3"; }
zstd_undo() { zstd -q -f -d "$2" -o "$3"; }
