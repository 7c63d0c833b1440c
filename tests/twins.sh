#!/bin/bash
# SPDX-License-Identifier: MIT
# twins.sh: a container costs next to nothing. The patch of a real pair is
# hardly larger than that of its twin, the same tensors as safetensors files
# (bench/twin.py).
set -uo pipefail
PATH=$BIN:$PATH
if [ ! -d "$MODELS" ]; then
	echo 'ok twins # skip no real pairs'
	exit 0
elif [ -n "$SANITIZED" ] && [ -z "$LONG" ]; then
	echo 'ok twins # skip sizes are the same under a sanitizer; LONG=1'
	exit 0
elif ! command -v python3 >/dev/null; then
	echo 'ok twins # skip no python3'
	exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 3
bad=0

# twins NAME OLD NEW PERMILLE: the patch from OLD to NEW is at most so much
# larger than its twin's.
twins() {
	local v a b

	for v in "$2" "$3"; do
		ml-split "$v" | python3 "$ROOT/bench/twin.py" >twin.st ||
			{ echo "not ok twins: $1: no twin"; bad=1; return; }
		# what a reader does not find is missing in both
		[ "$(stat -c %s twin.st)" -gt \
			$(($(ml-split -f raw "$v" | ml-join | wc -c) / 2)) ] ||
			{ echo "not ok twins: $1: half a twin"; bad=1; return; }
		mv twin.st "twin.${v##*/}.st"
	done
	a=$(ml-diff "$2" "$3" | wc -c) || bad=1
	b=$(ml-diff "twin.${2##*/}.st" "twin.${3##*/}.st" | wc -c) || bad=1
	if [ "$a" -le $((b + b * $4 / 1000)) ]; then
		echo "ok twins: $1: $a, twin $b"
	else
		echo "not ok twins: $1: $a, twin $b, more than $4 per mille"
		bad=1
	fi
}

pair() { # NAME PERMILLE
	if [ -d "$MODELS/$1" ]; then
		twins "$1" "$(echo "$MODELS/$1"/old*)" \
			"$(echo "$MODELS/$1"/new*)" "$2"
	else
		echo "ok twins: $1 # skip not in MODELS"
	fi
}

for p in g02m-ft-full-pt-fp32 g02m-ft-head-pt-fp16 \
	g02m-ckpt-1step-a-train-pt linzaer-pth-320-to-640 \
	g02m-ft-full-npz-fp32 g02m-ft-head-npz-fp16 \
	g02m-ft-lora-npzc-fp32 \
	g02m-ckpt-1step-a-dcp g02m-ckpt-10step-b-dcp-2rank \
	g02m-ft-full-sharded-bf16 digits-cnn-external-data; do
	pair $p 10
done
# The keys of its storages are addresses, other ones with every save, and each
# stands in the pickle, in the zip's directory and before the member; and 2 KB
# of what the pickle says beside tensors changed.
pair yunet-pth-n 20
# TorchScript has programs beside its tensors, which changed, and HDF5 its
# tables.
pair silero-jit-v51-to-v6 50
pair tiny-sww-h5 50

# a tar of a folder, with times and an owner of its own
p=g02m-ft-full-sharded-bf16
if [ -d "$MODELS/$p" ]; then
	for v in old=1700000000 new=1700086400; do
		tar -C "$MODELS/$p/${v%=*}" --sort=name --format=gnu \
			--owner=someone:1000 --group=someone:1000 \
			--mtime="@${v#*=}" -cf "${v%=*}.tar" . || bad=1
	done
	twins "$p as tars" old.tar new.tar 10
else
	echo "ok twins: tar # skip no $p in MODELS"
fi
exit $bad
