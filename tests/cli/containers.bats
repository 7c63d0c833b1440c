#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Containers: found by content, forced, damaged.
load ../helper

# tensors FILE [ARG...]: how many tensors ml-split sees.
tensors() {
	ml-split -v "$@" 2>spans >stream
	grep -vc ' skeleton$' spans || true
}

@test "containers are found by content" {
	n=$(tensors "$D/old.f32.st")
	[ "$n" -ge 4 ]
	for f in "$D"/old.*; do
		cp "$f" nameless
		m=$(tensors nameless)
		[ "$m" -ge "$n" ] || { echo "$f: $m tensors"; false; }
		m=$(tensors <(cat "$f"))
		[ "$m" -ge "$n" ]
	done
}

@test "-f forces, and a wrong guess is refused with status 1" {
	for f in "$D"/old.*; do
		case $f in
		*.st) own=safetensors ;;
		*.gguf) own=gguf ;;
		*.onnx) own=onnx ;;
		*) own=tflite ;;
		esac
		for t in safetensors gguf onnx tflite; do
			if [ $t = $own ]; then
				r 0 ml-split -f $t "$f"
				cmp out <(ml-split "$f")
			else
				refuse 1 ml-split -f $t "$f"
				says "$(basename "$f")"
			fi
		done
		[ "$(tensors -f raw "$f")" -le 1 ]
		ml-split -f raw "$f" | ml-join | cmp - "$f"
	done
}

@test "what is no model is one opaque span" {
	echo 'some text' >text
	rand r 5000 >random
	for f in text random "$BATS_TEST_FILENAME"; do
		r 0 ml-split "$f"
		ml-join <out | cmp - "$f"
		[ "$(tensors "$f")" -le 1 ]
	done
	[ "$(tensors /dev/null)" = 0 ]
}

@test "cut anywhere: it still goes through, -f says what is wrong" {
	for f in "$D"/old.{bf16.st,q4_0.gguf,int8.onnx,int8.tflite}; do
		n=$(size "$f")
		for k in 1 3 7 8 9 20 64 200 500 $((n / 3)) $((n * 6 / 10)) \
			$((n - 1)); do
			head -c "$k" "$f" >part
			ml-split -q part | ml-join | cmp - part
			trip "$f" part
			[ "$k" -lt 1000 ] || trip part "$f"
			case $f in
			*.st) t=safetensors ;;
			*.gguf) t=gguf ;;
			*.onnx) t=onnx ;;
			*) t=tflite ;;
			esac
			s=0
			ml-split -f $t part >out 2>err || s=$?
			[[ $s = [01] ]]
			[ $s = 0 ] || [ ! -s out ]
			case $t in
			# the last byte may be padding
			safetensors | gguf) [ $s = 1 ] || [ "$k" = $((n - 1)) ] ;;
			esac
		done
	done
}

@test "flipped bits: it still goes through" {
	for f in "$D"/old.{bf16.st,q4_0.gguf,int8.onnx,int8.tflite}; do
		n=$(size "$f")
		for k in 0 1 4 8 9 13 17 24 33 40 77 150 301 444 $((n - 1)) \
			$((n - 50)) $((n - 400)) $((n - 1500)); do
			flip "$f" "$k" $((k % 8)) >bad
			ml-split -q bad | ml-join | cmp - bad
			trip "$f" bad
			trip bad "$f"
		done
	done
}

# le N BYTES: a number, little end first.
le() {
	python3 -c 'import sys
sys.stdout.buffer.write((int(sys.argv[1], 0) % 2**64).to_bytes(
	int(sys.argv[2]), "little"))' "$1" "$2"
}

@test "lengths that lie: status 1, no memory taken, at once" {
	{ le 0xffffffffffffffff 8; printf '{}'; } >a.safetensors
	{ le 0x7fffffffffffffff 8; printf '{}'; } >b.safetensors
	{ le 90000000 8; printf '{'; } >c.safetensors
	j='{"a":{"dtype":"F32","shape":[4611686018427387904,4],'
	j=$j'"data_offsets":[0,4]}}'
	{ le ${#j} 8; printf '%s0000' "$j"; } >d.safetensors
	j='{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}'
	{ le ${#j} 8; printf '%s0000' "$j"; } >e.safetensors
	{ printf GGUF; le 3 4; le -1 8; le 0 8; } >a.gguf
	{ printf GGUF; le 3 4; le 0 8; le -1 8; } >b.gguf
	{ printf GGUF; le 3 4; le 0 8; le 1 8; le -1 8; } >c.gguf
	{ printf GGUF; le 3 4; le 0 8; le 1 8; le 1 8; printf a; le 9 4
		le 10 4; le -1 8; } >d.gguf
	{ printf '\10\7\72'; printf '\377\377\377\377\377\377\377\377\177'
		printf 'xxxx'; } >a.onnx
	{ le 0x7fffffff 4; printf TFL3; rand t 100; } >a.tflite
	for f in *.safetensors *.gguf *.onnx *.tflite; do
		(
			sanitized || ulimit -v 300000
			refuse 1 timeout 10 ml-split -f "${f#*.}" "$f"
			[ "$(wc -l <err)" = 1 ]
			ml-split -q "$f" | ml-join | cmp - "$f"
		)
	done
}

@test "hostile names of tensors are shown escaped" {
	j='{"evil\u001b[31m\n":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
	{ le ${#j} 8; printf '%s0000' "$j"; } >m
	r 0 ml-split -v m
	grep -qF 'evil\x1b[31m\x0a' err
	ml-split m | ml-join | cmp - m
	r 0 ml-ls m
	grep -qF 'evil\x1b[31m\x0a' out
	trip m m
}
