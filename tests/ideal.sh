#!/bin/bash
# SPDX-License-Identifier: MIT
# ideal.sh: tensors that moved cost hardly more than the ideal adaptive code
# length of the model, per element type: class full at most 2 % more, class nano
# as much but for small types, for which it has few chances; blocks but Q8_0 and
# Q4_0 it takes as bytes, and what they cost is shown only. tests/ideal.c says
# what is ideal, ml-info what was spent.
set -uo pipefail
PATH=$BIN:$PATH
for p in jq python3; do
	command -v $p >/dev/null || { echo "ok ideal # skip no $p"; exit 0; }
done
if [ -n "$SANITIZED" ] && [ -z "$LONG" ]; then
	echo 'ok ideal # skip sizes are the same under a sanitizer; LONG=1'
	exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 3
bad=0

# The tensors of one size and element type in both files, of those types that
# tests/ideal.c knows: DTYPE OLD-OFFSET NEW-OFFSET BYTES NAME.
# shellcheck disable=SC2016 # jq's variables
both='($old[0].tensors | map({(.name): .}) | add) as $b | .tensors[] |
	select(.dtype | test("^(ggml_)?(b?f16|f32|f64|f8_e4m3|f8_e5m2|i8|" +
		"i16|i32|q8_0|q[45]_[01]|q[2-6]_k)$"; "i")) |
	select($b[.name].bytes == .bytes and $b[.name].dtype == .dtype) |
	[(.dtype | ascii_downcase), $b[.name].offset, .offset, .bytes, .name] | @tsv'

# measure NAME OLD NEW: both classes, each element type that has some bytes.
measure() {
	local c s=0

	ml-ls -j "$2" >old.json && ml-ls -j "$3" |
		jq -r --slurpfile old old.json "$both" >list &&
		cut -f 1-4 list | "$B/tests/ideal" "$2" "$3" >ideal || s=1
	for c in full nano; do
		ml-diff -c $c "$2" "$3" >p &&
			ml-info -j -b "$2" -t "$3" p |
			jq -r '.patches[0].tensors[] | [.name, .coded] |
				@tsv' >spent || s=1
		paste list ideal | awk -F '\t' -v pair="$1" -v class=$c '
			function percent(t) {
				if (class == "full")
					return 2
				if (t == "q4_0")
					return 15
				if (t ~ /^f8/)
					return 7
				return t == "bf16" ? 5 : 2
			}
			FNR == NR { spent[$1] = $2; next }
			{
				if (!($5 in spent))
					bad = 1
				bytes[$1] += $4
				ours[$1] += spent[$5]
				ideal[$1] += $6
			}
			END {
				for (t in bytes) {
					if (bytes[t] < 32768)
						continue
					n++
					most = ideal[t] * (1 + percent(t) / 100)
					ok = !bad && most > 0 && ours[t] <= most
					shown = class == "nano"
					if (t !~ /^q/ || t ~ /^q[48]_0$/)
						shown = 0
					word = ok ? "ok" : "not ok"
					if (shown)
						word = "#"
					printf "%s ideal: %s, %s, %s: %d" \
						" bytes, ideal %d, %.4f\n",
						word, pair, class,
						t, ours[t], ideal[t],
						ours[t] / ideal[t]
					if (!ok && !shown)
						bad = 1
				}
				exit bad || !n
			}' spent - || s=1
	done
	[ $s = 0 ] || { echo "not ok ideal: $1"; bad=1; }
}

python3 "$ROOT/tests/gen/moved.py" . || bad=1
for t in F64 F32 F16 BF16 F8_E4M3 F8_E5M2 I8 I16 I32 Q8_0 Q4_0 Q4_1 Q5_0 \
	Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K; do
	measure "made $t" old.$t new.$t
done
for p in g2m-ft-full-safetensors-bf16 g2m-ft-lowlr-safetensors-bf16 \
	g05m-ckpt-1step-a-safetensors-bf16 g02m-ft-full-safetensors-fp16 \
	g02m-ft-lowlr-safetensors-fp16 g02m-ft-full-safetensors-fp32 \
	g02m-ckpt-1step-a-safetensors-fp32 digits-mlp-int8-ft \
	g2m-ft-full-gguf-Q8_0 g2m-ft-full-gguf-Q4_0 \
	g2m-ft-full-gguf-Q4_K_M g2m-ft-lowlr-gguf-Q4_K_M; do
	if [ -d "$MODELS/$p" ]; then
		measure "$p" "$(echo "$MODELS/$p"/old*)" \
			"$(echo "$MODELS/$p"/new*)"
	else
		echo "ok ideal: $p # skip not in MODELS"
	fi
done
exit $bad
