#!/bin/bash
# SPDX-License-Identifier: MIT
# owners.sh: files of numpy, h5py and torch are for mallorn what they are for
# these: see owners.py. A library may belong to another Python than the first.
set -uo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 3
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
bad=0

for lib in numpy h5py torch; do
	with=
	for python in python3 /usr/bin/python3; do
		if "$python" -c "import numpy, $lib" 2>/dev/null; then
			with=$python
			break
		fi
	done
	if [ -z "$with" ]; then
		echo "ok owners: $lib # skip no python3 here has it"
		continue
	fi
	"$with" "$ROOT/tests/owners.py" "$lib" 2>err || {
		# a failed check was told; anything else is worth its last words
		bad=1
		[ ! -s err ] || { echo "not ok owners: $lib"; tail -n 5 err; }
	}
done
exit $bad
