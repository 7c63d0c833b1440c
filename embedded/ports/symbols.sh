#!/bin/bash
# SPDX-License-Identifier: MIT
# symbols.sh OBJECT...: what the objects of a port need from outside must be
# on this list: three functions of memory, the board's five and two for
# measuring, the linker script's names, and the compiler's help where a
# machine cannot divide.
set -euo pipefail
allowed='memcpy memmove memset main ml_board ml_start ml_stop
	ml_hal_get ml_hal_put ml_hal_read ml_hal_erase ml_hal_program
	ml_hal_stack ml_hal_clock ml_hal_init
	ml_flash_mem ml_stack_low ml_stack_top ml_bss ml_bss_end
	__aeabi_uidiv __aeabi_uidivmod __aeabi_idiv __gnu_thumb1_case_uqi __gnu_thumb1_case_sqi
	__gnu_thumb1_case_uhi'
nm="nm"
case $(file -b "$1") in
*ARM*) nm=arm-none-eabi-nm ;;
*RISC-V*) nm=riscv64-unknown-elf-nm ;;
*Xtensa*) nm=xtensa-lx106-elf-nm ;;
esac
strays=$(comm -23 \
	<("$nm" -u "$@" | awk '$1 == "U" { print $2 }' | sort -u) \
	<({ tr -s ' \t\n' '\n' <<<"$allowed"
		"$nm" -g --defined-only "$@" | awk 'NF == 3 { print $3 }'
	} | sort -u))
[ -z "$strays" ] || {
	echo "symbols.sh: ${1%/*} needs: ${strays//$'\n'/ }" >&2
	exit 1
}
