#!/bin/bash
# SPDX-License-Identifier: MIT
# data.sh MLGEN DIR: the models of the tests, the same on every machine.
set -euo pipefail
gen=$(realpath "$1")
mkdir -p "$2"
cd "$2"
"$gen" train -n 40 old.f32.st
"$gen" finetune -n 40 old.f32.st new.f32.st
"$gen" finetune -n 20 new.f32.st third.f32.st
for v in old new third; do
	for d in bf16 f16; do
		"$gen" convert -d $d $v.f32.st $v.$d.st
	done
	"$gen" convert -t gguf -d f16 $v.f32.st $v.f16.gguf
	"$gen" convert -t gguf -q q8_0 $v.f32.st $v.q8_0.gguf
	"$gen" convert -t gguf -q q4_0 $v.f32.st $v.q4_0.gguf
	"$gen" convert -t onnx $v.f32.st $v.f32.onnx
	"$gen" convert -t onnx -q int8 $v.f32.st $v.int8.onnx
	"$gen" convert -t tflite $v.f32.st $v.f32.tflite
	"$gen" convert -t tflite -q int8 $v.f32.st $v.int8.tflite
done
for e in rename add remove resize move onebyte retrain; do
	"$gen" edit -e $e old.bf16.st $e.bf16.st
done
touch .done
