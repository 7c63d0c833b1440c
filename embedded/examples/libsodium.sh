#!/bin/bash
# SPDX-License-Identifier: MIT
# libsodium.sh PREFIX: libsodium.a for a Cortex-M4, of Debian's source as it is,
# by its own configure. Takes arm-none-eabi-gcc, libnewlib-arm-none-eabi,
# autoconf, automake, libtool, dpkg-dev; and the network, for apt-get source.
set -eu
prefix=$(mkdir -p "$1" && cd "$1" && pwd)
work=$prefix/work
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
cd "$work"
# no deb-src in the system's own lists is needed
key=/usr/share/keyrings/debian-archive-keyring.gpg
. /etc/os-release
echo "deb-src [signed-by=$key] http://deb.debian.org/debian \
${VERSION_CODENAME} main" >src.list
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/src.list"
	-o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists"
	-o "Dir::Cache=$work/cache")
"${apt[@]}" update
"${apt[@]}" source libsodium
cd libsodium-*/
autoreconf -fi
./configure --host=arm-none-eabi --prefix="$prefix" --disable-shared \
	--disable-ssp --disable-pie --disable-asm --without-pthreads \
	CFLAGS='-mthumb -mcpu=cortex-m4 -Os -ffunction-sections -fdata-sections' \
	LDFLAGS=--specs=nosys.specs
make -C src install
