#!/bin/bash
# SPDX-License-Identifier: MIT
# lora.sh [PAIR...]: what updates of real TFLite models cost over a LoRa link of
# 250 bit/s, computed from patches made now: as lines "pair, bytes of the new
# model, of its xz, of the patch (class nano, two slots; and in place); minutes
# on air for these four; hours with a duty cycle of 1 % for the model and for
# the patch", tabs between. On air a frame carries 51 bytes of payload and has 13
# of its own, as LoRaWAN does at its slowest rate. Takes BIN and MODELS.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN-build/bin} MODELS=${MODELS-../shared/models} RATE=250
[ $# -gt 0 ] || set -- mp-knift-400-to-1k mp-selfie-landscape \
	tfm-person-detect-vela tiny-toycar-int8-a tiny-vww-int8-a \
	tiny-resnet-int8 tiny-kws-int8 esp-okay-nabu-v2 tfm-micro-speech
printf 'pair\tnew\txz\tpatch\tin place\tmin new\tmin xz\tmin patch\t'
printf 'min in place\th new, 1 %%\th patch, 1 %%\n'
for p; do
	old=$MODELS/$p/old.tflite new=$MODELS/$p/new.tflite
	[ -r "$new" ] || { echo "lora.sh: no $p in $MODELS" >&2; exit 3; }
	echo "$p $(stat -c %s "$new") $(xz -9e -c "$new" | wc -c)" \
		"$("$BIN/ml-diff" -q -c nano "$old" "$new" | wc -c)" \
		"$("$BIN/ml-diff" -q -c nano --in-place 4096 "$old" "$new" |
			wc -c)"
done | awk -v rate=$RATE '
	function min(n) { # whole frames
		return (n + 13 * int((n + 50) / 51)) * 8 / rate / 60
	}
	{
		printf "%s\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.1f\n",
			$1, $2, $3, $4, $5, min($2), min($3), min($4), min($5),
			min($2) * 100 / 60, min($4) * 100 / 60
	}'
