#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A gateway's ml-apply takes a patch from whatever brings it: a pipe, a FIFO, a
# socket, a serial line that never ends.
load ../helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	D=$B/tests/data
	for c in nano full; do
		"${BIN-$B/bin}"/ml-diff -q -c $c -o $c "$D/old.q8_0.gguf" \
			"$D/new.q8_0.gguf"
	done
}

@test "pipe and FIFO, a few bytes at a time" {
	mkfifo line
	for c in nano full; do
		p=$BATS_FILE_TMPDIR/$c
		dd if="$p" bs=7 status=none |
			ml-apply -s "$D/old.q8_0.gguf" | cmp - "$D/new.q8_0.gguf"
		dd if="$p" of=line bs=61 status=none &
		ml-apply -s -o n "$D/old.q8_0.gguf" line
		wait
		cmp n "$D/new.q8_0.gguf"
	done
}

@test "socket" {
	p=$BATS_FILE_TMPDIR/nano
	python3 - "$p" "$BIN/ml-apply" "$D/old.q8_0.gguf" <<-'END'
	import socket, subprocess, sys, threading
	data = open(sys.argv[1], 'rb').read()
	a, b = socket.socketpair()
	def send():
	    for i in range(0, len(data), 100):
	        a.sendall(data[i:i + 100])
	    a.shutdown(socket.SHUT_WR)
	threading.Thread(target=send).start()
	sys.exit(subprocess.run([sys.argv[2], '-s', '-o', 'n', sys.argv[3]],
	                        stdin=b).returncode)
	END
	cmp n "$D/new.q8_0.gguf"
}

@test "serial line, which does not end behind the patch" {
	for c in nano full; do
		rm -f n
		python3 - "$BATS_FILE_TMPDIR/$c" "$BIN/ml-apply" \
			"$D/old.q8_0.gguf" <<-'END'
		import os, pty, subprocess, sys, threading, tty
		data = open(sys.argv[1], 'rb').read()
		master, slave = pty.openpty()
		tty.setraw(slave)
		def send():
		    for i in range(0, len(data), 100):
		        os.write(master, data[i:i + 100])
		threading.Thread(target=send, daemon=True).start()
		sys.exit(subprocess.run([sys.argv[2], '-s', '-o', 'n',
		    sys.argv[3], os.ttyname(slave)], timeout=60).returncode)
		END
		cmp n "$D/new.q8_0.gguf"
	done
}
