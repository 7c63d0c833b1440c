#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""report.py ROWS EXTERN MANIFEST OUT: what size.sh measured, as size.tsv,
size.json and size.svg in the folder OUT, and in words. The status is 1 when
one of our patches failed."""
import csv
import json
import math
import os
import re
import sys

sys.dont_write_bytecode = True
import plot  # noqa: E402

FIRST = "pair", "target_bytes", "ours", "ours_nano"
LAST = "diff_s", "diff_kib", "apply_s", "apply_kib"
SLACK = 160  # bytes: the price of two digests


def table(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f, delimiter="\t"))


def number(text):
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text if text == "failed" else None


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def is_count(v):
    return isinstance(v, int) and not isinstance(v, bool)


# ===== kinds of updates =====================================================

def share(m, key):
    try:
        return float(m[key])
    except (KeyError, ValueError):
        return None


def group(m):
    """The kind of update as the targets have it, by what MANIFEST.tsv says."""
    if not m:
        return "unknown"
    kind, dtype, note = m["kind"], m["dtype"], m["note"]
    same = m["same_tensor_layout"] == "yes"
    changed = share(m, "frac_bytes_changed")
    found = share(m, "frac_new_tensor_bytes_found_whole_in_old")
    if "export" in kind or kind == "re-compile" or (
            kind == "release" and (dtype == "metadata only" or
                                   changed == 0 or (found or 0) > .9)):
        return "re-export"
    if (re.search("vocab|layer removed|dtype change|format change", kind) or
            kind == "fine-tune" and re.search(r"\bheads?\b", note)):
        return "changed layout or type"
    if kind.startswith(("fine-tune", "consecutive")) and (
            same or m["format"].startswith("pt")):
        how = "LoRA " if "LoRA" in kind else "moved "
        for name, like in (("bf16", "bf16"), ("fp16", "fp16|F16$"),
                           ("fp32", "fp32"), ("GGUF quantised", "Q")):
            if re.match(like, dtype):
                return how + name
        return how + "other"
    if kind == "unrelated" or not same or (changed or 0) > .5:
        return "retrained"
    return "other release"


# What must hold, of which groups: the geometric mean of ours / best.
MEANS = (
    ("moved bf16", ["moved bf16", "LoRA bf16"], .78),
    ("moved bf16, without merged LoRA", ["moved bf16"], .78),
    ("moved fp16", ["moved fp16", "LoRA fp16"], .82),
    ("moved fp32", ["moved fp32", "LoRA fp32"], .95),
    ("moved fp32, without merged LoRA", ["moved fp32"], .95),
    ("moved GGUF quantised", ["moved GGUF quantised"], .70),
    ("changed layout or type", ["changed layout or type"], .75),
    ("retrained", ["retrained"], .985),
)


def check(rows):
    """(what, figure, limit, whether it holds, pairs that do not)."""
    out = []
    known = [r for r in rows if r["ratio"]]

    def add(what, figure, limit, good, misses=()):
        out.append({"check": what, "figure": figure, "limit": limit,
                    "pass": good, "misses": sorted(misses)})

    far = [r["pair"] for r in known if r["ours"] > r["best_bytes"] + SLACK]
    add("every pair: bytes above the best peer, at most",
        max(r["ours"] - r["best_bytes"] for r in known), SLACK, not far, far)
    large = [r for r in known if r["best_bytes"] > 10240]
    if large:
        lost = [r["pair"] for r in large if r["ours"] >= r["best_bytes"]]
        won = 1 - len(lost) / len(large)
        add("share of pairs above 10 KB that are smaller", won, .9, won >= .9,
            lost)
    for what, groups, limit in MEANS:
        of = [r for r in known if r["group"] in groups]
        if of:
            m = mean([r["ratio"] for r in of])
            add("geometric mean, " + what, m, limit, m <= limit,
                [r["pair"] for r in of if r["ratio"] > limit])
    of = [r for r in known if r["group"] == "re-export"]
    if of:
        above = [r["pair"] for r in of if r["ours"] > r["best_bytes"] + SLACK]
        add("re-exports: pairs above best + 160", len(above), 0, not above,
            above)
        above = [r["pair"] for r in of if r["ours"] > r["best_bytes"]]
        add("re-exports: share above best", len(above) / len(of), .5,
            len(above) * 2 < len(of), above)
    of = [r for r in known if r["group"] == "retrained"]
    if of:
        above = [r["pair"] for r in of if r["ratio"] > 1]
        add("retrained: pairs above best", len(above), 0, not above, above)
    both = [r for r in rows if is_count(r["ours"]) and
            is_count(r["ours_nano"])]
    if both:
        n = (sum(r["ours_nano"] for r in both) /
             sum(r["ours"] for r in both))
        add("class nano / full, bytes of all", n, 1.05, n <= 1.05)
    return out


def summary(rows):
    out = []
    for g in sorted({r["group"] for r in rows}):
        of = [r for r in rows if r["group"] == g]
        known = [r for r in of if r["ratio"]]
        out.append({
            "group": g, "pairs": len(of),
            "geomean": mean([r["ratio"] for r in known]) if known else None,
            "wins": sum(r["ratio"] < 1 for r in known),
            "ties": sum(r["ratio"] == 1 for r in known),
            "losses": sum(r["ratio"] > 1 for r in known),
            "target_bytes": sum(r["target_bytes"] for r in known),
            "ours": sum(r["ours"] for r in known),
            "best_bytes": sum(r["best_bytes"] for r in known)})
    return out


# ===== all of it ============================================================

def judge(rows, peers, extern, manifest):
    """Adds to each row what is known of its pair, and the best peer. A peer
    measured elsewhere counts only for a target of the same size."""
    for r in rows:
        m = manifest.get(r["pair"])
        r["group"] = group(m)
        r["kind"] = m["kind"] if m else None
        r["dtype"] = m["dtype"] if m else None
        r["changed"] = share(m, "frac_elements_changed") if m else None
        sizes = [(r[p], p) for p in peers if is_count(r[p])]
        e = extern.get(r["pair"])
        if e and int(e["target_bytes"]) == r["target_bytes"]:
            sizes.append((int(e["best_peer_bytes"]), "*" + e["best_peer"]))
        r["best_bytes"], r["best_peer"] = min(
            sizes, key=lambda s: s[0], default=(None, None))
        r["ratio"] = None
        if r["best_bytes"] and is_count(r["ours"]):
            r["ratio"] = round(r["ours"] / r["best_bytes"], 6)


def put(v):
    return "-" if v is None else str(v)


def short(v):
    return "-" if v is None else "%.4f" % v


def peers_of(rows, peers):
    """Of each peer the pairs that it failed on, and the bytes of all others
    beside ours."""
    out = []
    for p in peers:
        of = [r for r in rows if is_count(r[p]) and is_count(r["ours"])]
        failed = [r["pair"] for r in rows if r[p] == "failed"]
        if of or failed:
            out.append({
                "peer": p, "pairs": len(of), "failed": failed,
                "bytes": sum(r[p] for r in of),
                "ours": sum(r["ours"] for r in of),
                "geomean": mean([r["ours"] / r[p] for r in of])
                if of else None})
    return out


def worst(rows, key):
    r = max(rows, key=lambda r: r[key] or 0)
    return "%s, %s" % (put(r[key]), r["pair"])


def tell(rows, report):
    print("%-42s %10s %9s %9s %7s %8s  %s" % (
        "pair", "target", "ours", "best", "ratio", "changed", "by"))
    for r in sorted(rows, key=lambda r: (r["ratio"] or 9, r["pair"])):
        print("%-42s %10d %9s %9s %7s %8s  %s" % (
            r["pair"], r["target_bytes"], put(r["ours"]),
            put(r["best_bytes"]), short(r["ratio"]),
            "-" if r["changed"] is None else "%.1f%%" % (100 * r["changed"]),
            put(r["best_peer"])))
    print("\n%-24s %5s %8s %5s %5s %5s %11s %11s" % (
        "kind of update", "pairs", "geomean", "wins", "ties", "loses",
        "ours", "best"))
    for s in report["groups"]:
        print("%-24s %5d %8s %5d %5d %5d %11d %11d" % (
            s["group"], s["pairs"],
            short(s["geomean"]), s["wins"],
            s["ties"], s["losses"], s["ours"], s["best_bytes"]))
    print("\n%-24s %5s %8s %11s %11s %6s" % (
        "ours / peer", "pairs", "geomean", "ours", "peer", "failed"))
    for s in report["peers"]:
        print("%-24s %5d %8s %11d %11d %6d" % (
            s["peer"], s["pairs"],
            short(s["geomean"]), s["ours"],
            s["bytes"], len(s["failed"])))
    print()
    for c in report["checks"]:
        print("%s  %s: %s (%s)%s" % (
            "PASS" if c["pass"] else "MISS", c["check"],
            round(c["figure"], 4), c["limit"],
            "; " + " ".join(c["misses"]) if c["misses"] else ""))
    print("\n%d pairs, %d failed; ours / best: geomean %s, %d wins, %d ties, "
          "%d losses" % (report["pairs"], report["failed"],
                         short(report["geomean"]), report["wins"],
                         report["ties"], report["losses"]))
    for what, key in (("slowest ml-diff, s", "diff_s"),
                      ("largest ml-diff, KiB", "diff_kib"),
                      ("largest ml-apply, KiB", "apply_kib")):
        print("%s: %s" % (what, worst(rows, key)))


def main():
    paths, out = sys.argv[1:4], sys.argv[4]
    rows = table(paths[0])
    peers = [k for k in rows[0] if k not in FIRST + LAST]
    extern = {r["pair"]: r for r in table(paths[1])}
    manifest = {r["pair"]: r for r in table(paths[2])}
    rows = [{k: v if k == "pair" else number(v) for k, v in r.items()}
            for r in rows]
    judge(rows, peers, extern, manifest)
    known = [r["ratio"] for r in rows if r["ratio"]]
    report = {
        "pairs": len(rows), "compared": len(known),
        "failed": sum("failed" in (r["ours"], r["ours_nano"]) for r in rows),
        "geomean": mean(known) if known else None,
        "wins": sum(v < 1 for v in known),
        "ties": sum(v == 1 for v in known),
        "losses": sum(v > 1 for v in known),
        "checks": check(rows) if known else [],
        "groups": summary(rows), "peers": peers_of(rows, peers),
        "rows": rows}
    columns = (FIRST[:2] + ("group", "dtype", "changed") + FIRST[2:] +
               tuple(peers) + LAST + ("best_peer", "best_bytes", "ratio"))
    with open(os.path.join(out, "size.tsv"), "w") as f:
        for r in [dict(zip(columns, columns))] + rows:
            print(*(put(r[c]) for c in columns), sep="\t", file=f)
    with open(os.path.join(out, "size.json"), "w") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    with open(os.path.join(out, "size.svg"), "w") as f:
        f.write(plot.chart(rows))
    tell(rows, report)
    print("written: %s/size.tsv size.json size.svg" % out)
    sys.exit(report["failed"] > 0)


main()
