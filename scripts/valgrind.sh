#!/bin/bash
# SPDX-License-Identifier: MIT
# valgrind.sh FROM TO: a build folder TO whose programs are those of FROM, each
# with valgrind in front; it exits 99 on an error or a leak. Those of tests/fuzz
# take their inputs as they are, or they would need hours.
set -eu
from=$(cd "$1" && pwd) to=$2
rm -rf "$to"
mkdir -p "$to/bin" "$to/tests/unit" "$to/tests/fuzz"
ln -s "$from/tests/data" "$to/tests/data"
for f in "$from"/bin/* "$from"/tests/unit/* "$from"/tests/fuzz/*; do
	option=
	case $f in
	*.o | *.d) continue ;;
	*/fuzz_*) option=' -w' ;;
	esac
	printf '#!/bin/sh\nexec valgrind -q --error-exitcode=99 %s %s \\\n\t"%s"%s "$@"\n' \
		--leak-check=full --errors-for-leak-kinds=definite,indirect \
		"$f" "$option" >"$to/${f#"$from"/}"
	chmod +x "$to/${f#"$from"/}"
done
