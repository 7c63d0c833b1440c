#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Patches and streams of formats to come: every program that reads them refuses
# them with status 5, before it writes anything, and says what to upgrade.
load ../helper

files() { # of all kinds
	rand base 700 >base
	{ head -c 300 base; echo 'what is new'; tail -c 380 base; } >target
	ml-split base >old
	ml-split target >model
	ml-delta old model >delta
	ml-pack -b base <delta >plain
	ml-diff -c full base target >coded
	minisign -G -W -p key.pub -s key >/dev/null
	mkdir patches streams deltas
	# by the pages of the formats, not by our library
	python3 - <<'END'
import struct, zlib


def crc(b):
    return bytes(b) + struct.pack("<I", zlib.crc32(bytes(b)))


plain = bytearray(open("plain", "rb").read())
assert plain[7] < 128
end = 8 + plain[7]
head, body = plain[:end], plain[end + 4:]


def patch(name, head, body=body):
    open("patches/" + name, "wb").write(crc(head) + body)


def put(at, v):
    h = bytearray(head)
    h[at] = v
    return h


def field(f):
    h = head + f
    h[7] += len(f)
    return h


patch("version", put(4, 2))
# one that has nothing of what is behind the version today
open("patches/version-3", "wb").write(
    b"\xd3mlp\x03\xff\xff\xff\xff" + bytes(500))
patch("class", put(5, 4))
patch("flag", put(6, head[6] | 8))
patch("field", field(b"\xf0\x02ab"))
patch("signature", field(b"\x01\x20" + bytes(32) + b"\x81\x09\x02" + bytes(8)))


def record(b):
    """The first record, which is plain, with another head or code."""
    i, n = 1, []
    for _ in range(2):
        v = s = 0
        while True:
            v |= (body[i] & 127) << s
            s += 7
            i += 1
            if body[i - 1] < 128:
                break
        n.append(v)
    return i, n[1]


at, n = record(body)
for name, first in ("coder", 4), ("bits", 32):
    patch(name, head, crc(bytes([first]) + body[1:at + n]) + body[at + n + 4:])
assert body[0] == 0
code = bytearray(body[:at + n])
code[at:at + 2] = b"\x03\x3f"  # a DIFF of type 63
patch("type", head, crc(code) + body[at + n + 4:])


def stream(name):
    b = open(name, "rb").read()
    i, out = b.index(b"HEAD"), []
    out.append(b[:i])
    while i < len(b):
        n = struct.unpack("<I", b[i + 4:i + 8])[0]
        out.append(b[i:i + 8 + n])
        i += n + 12
    return out


def write(name, records):
    open(name, "wb").write(records[0] + b"".join(crc(r) for r in records[1:]))


for kind in "model", "delta":
    s = stream(kind)
    for name, at, v in (("version", 8, 2), ("kind", 10, 3), ("class", 12, 4),
                        ("digest", 13, 2)):
        h = bytearray(s[1])
        h[at] = v
        write("%ss/%s" % (kind.replace("model", "stream"), name),
              [s[0], h] + s[2:])
    write("%ss/record" % kind.replace("model", "stream"),
          s[:2] + [b"NEWR\x04\0\0\0abcd"] + s[2:])
s = stream("delta")
k = next(i for i, r in enumerate(s) if r[:4] == b"CODE")
for name, at, v in ("coder", 8, 4), ("type", 33, 63):
    c = bytearray(s[k])
    c[at] = v
    if name == "type":
        c[32] = 3
    write("deltas/" + name, s[:k] + [c] + s[k + 1:])
END
	echo kept >file
}

# newer COMMAND...: refused, with words that help.
newer() {
	refuse 5 "$@" || return
	says "needs a newer mallorn than " || return
	says "patch format 1, stream format 1" || return
	[ "$(wc -l <err)" = 1 ]
}

# late COMMAND...: the same of a stage of a pipe, which may have begun: what it
# wrote is no whole stream.
late() {
	r 5 "$@" || return
	says "needs a newer mallorn than " || return
	! grep -q DONE out
}

@test "patches" {
	files
	for p in patches/*; do
		newer ml-apply base "$p" || { echo "$p"; false; }
		newer ml-apply base <"$p"
		newer ml-apply -s base "$p"
		newer ml-apply -s base <"$p"
		newer ml-apply -o file base "$p"
		newer ml-apply -s -o file base "$p"
		late ml-pack -d "$p"
		case $p in
		*/type) continue ;; # is not looked at without a decoder
		esac
		newer ml-info "$p"
		newer ml-info -j "$p"
		newer ml-ls "$p"
		newer ml-sign -s key "$p"
		case $p in
		*/coder | */bits) continue ;; # the header is fine, but not signed
		esac
		newer ml-verify -p key.pub "$p"
		newer ml-apply -p key.pub base "$p"
		newer ml-apply -s -p key.pub -o file base "$p"
	done
	[ "$(cat file)" = kept ]
	[ "$(find . -name '.file*')" = '' ]
}

@test "streams" {
	files
	for s in streams/*; do
		newer ml-join "$s" || { echo "$s"; false; }
		newer ml-ls "$s"
		late ml-zipnn "$s"
		newer ml-pack "$s"
		newer ml-delta "$s" model
		newer ml-delta model "$s"
		newer ml-join -o file "$s"
	done
	for s in deltas/*; do
		late ml-zipnn -b base "$s" || { echo "$s"; false; }
		newer ml-pack -b base "$s"
		case $s in
		*/type) continue ;;
		esac
		newer ml-ls "$s"
		late ml-zipnn -d -b base "$s"
	done
	[ "$(cat file)" = kept ]
}

@test "in the second patch of a chain" {
	files
	ml-diff -c full target base >back
	for p in patches/*; do
		case $p in
		*/type | */version-3) continue ;;
		esac
		cat coded back "$p" >chain
		newer ml-apply base chain
		newer ml-info chain
		newer ml-apply -o file base chain
	done
}

@test "what may be ignored is ignored" {
	files
	python3 - <<'END'
import struct, zlib
b = bytearray(open("plain", "rb").read())
end = 8 + b[7]
head = b[:end] + b"\x70\x03abc"
head[7] += 5
crc = lambda b: bytes(b) + struct.pack("<I", zlib.crc32(bytes(b)))
note = crc(b"\x0f\x00\x05\x63abcd")
body = note + b[end + 4:] + note
# the length of the body is one byte: behind release and sizes
i = 8
for _ in range(3):
    while head[i] > 127:
        i += 1
    i += 1
n = (head[i] & 127 | head[i + 1] << 7) if head[i] > 127 else head[i]
new, w = n + 2 * len(note), 1 + (head[i] > 127)
v = bytes([new & 127 | 128, new >> 7]) if new > 127 else bytes([new])
assert len(v) == w
head[i:i + w] = v
open("later", "wb").write(crc(head) + body)
s = open("model", "rb").read()
i = s.index(b"HEAD") + 60
done = s.rindex(b"DONE")
d = bytearray(s[done:done + 56])
d[16] += 1
h = bytearray(s[i - 60:i - 4])
h[9] = 7  # a later minor version
open("later.s", "wb").write(s[:i - 60] + crc(h) + crc(b"newr\x02\0\0\0ab") +
                            s[i:done] + crc(d))
END
	r 0 ml-apply base later
	cmp out target
	r 0 ml-apply -s base later
	cmp out target
	r 0 ml-info later
	r 0 ml-join later.s
	cmp out target
}
