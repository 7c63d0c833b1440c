#!/bin/bash
# SPDX-License-Identifier: MIT
# deps.sh [build|check|neon|afl|valgrind|demo|bench|steps]: installs what is
# missing on Debian. Runs nothing, and needs neither network nor root, when nothing is missing.
set -eu

build='gcc libc6-dev make pkg-config libssl-dev libdeflate-dev zlib1g-dev
	libarchive-dev libexpat1-dev libjson-c-dev libsodium-dev
	libxxhash-dev libseccomp-dev'
demo='bsdiff xdelta3 zstd xz-utils'

case ${1-build} in
build) want=$build ;;
check) want="$build bats jq mandoc shellcheck clang xxd zstd python3 minisign" ;;
demo) want="$build $demo" ;;
bench) want="$build $demo hyperfine lz4 libzstd-dev liblz4-dev xxhash jq time python3" ;;
neon) want="$build gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" ;;
afl) want="$build clang afl++" ;;
valgrind) want="$build valgrind xxd python3" ;;
steps) want='python3-torch' ;;
*)
	echo "usage: deps.sh [build|check|neon|afl|valgrind|demo|bench|steps]" >&2
	exit 2
	;;
esac

fail() {
	echo "deps.sh: $1; missing:$missing" >&2
	exit 3
}

missing=
if command -v dpkg-query >/dev/null; then
	for p in $want; do
		# shellcheck disable=SC2016 # dpkg-query's own ${...}
		state=$(dpkg-query -W -f '${db:Status-Status}' "$p" \
			2>/dev/null) || state=
		# pkg-config is pkgconf's on newer systems
		[ "$state" = installed ] ||
			{ [ "$p" = pkg-config ] && command -v pkg-config \
				>/dev/null; } ||
			missing="$missing $p"
	done
else
	# not Debian: judge by the programs, and leave the libraries to the
	# compiler
	for p in $want; do
		case $p in
		lib*) continue ;;
		xz-utils) c=xz ;;
		xxhash) c=xxhsum ;;
		*) c=$p ;;
		esac
		command -v "$c" >/dev/null || missing="$missing $p"
	done
fi
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || fail 'no apt-get here, install by hand'
root=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || fail 'neither root nor sudo'
	root=(sudo -n)
	sudo -n true 2>/dev/null || root=(sudo)
fi

echo "installing:$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
get() {
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
		-o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 </dev/null
}
# shellcheck disable=SC2086 # a list of words
if ! get install --no-install-recommends $missing; then
	# the lists may be old, or not there yet
	if ! get update ||
		! get install --no-install-recommends $missing; then
		tail -n 5 "$log" >&2
		fail 'apt-get failed'
	fi
fi
