# SPDX-License-Identifier: MIT
"""A bar for every pair, our patch against the best peer's on a logarithmic
axis, the smallest ratio on top. Part of report.py."""
import math
from xml.sax.saxutils import escape

ROW, LEFT, WIDTH, TOP = 16, 330, 560, 48
TICKS = .0001, .001, .01, .05, .1, .2, .3, .5, .7, 1, 1.5, 2, 5


def chart(rows):
    bars = sorted((max(r["ratio"], 1e-4), r["pair"], r["best_peer"])
                  for r in rows if r["ratio"])
    lo = min([b[0] for b in bars] + [.5])
    hi = max([b[0] for b in bars] + [1.25])
    lo, hi = math.log(lo / 1.1), math.log(hi * 1.15)

    def x(v):
        return LEFT + WIDTH * (math.log(v) - lo) / (hi - lo)

    high = TOP + ROW * len(bars) + 16
    p = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
         'font-family="sans-serif" font-size="11">' % (LEFT + WIDTH + 150,
                                                       high),
         '<rect width="100%" height="100%" fill="white"/>',
         '<text x="8" y="18" font-size="14">Size of our patch / size of the '
         'best peer\'s, %d pairs (left of 1: smaller)</text>' % len(bars)]
    for tick in TICKS:
        if lo < math.log(tick) < hi:
            p.append('<path d="M%.1f %dV%d" stroke="%s"/><text x="%.1f" '
                     'y="%d" text-anchor="middle">%g</text>' % (
                         x(tick), TOP - 6, high - 12,
                         "black" if tick == 1 else "#ddd", x(tick),
                         TOP - 10, tick))
    for i, (v, pair, peer) in enumerate(bars):
        y = TOP + ROW * i
        a, b = sorted((x(v), x(1)))
        p.append('<text x="%d" y="%d" text-anchor="end">%s</text>'
                 '<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>'
                 '<text x="%.1f" y="%d">%.3f %s</text>' % (
                     LEFT - 6, y + 11, escape(pair), a, y + 2,
                     max(b - a, .5), ROW - 4,
                     "#2a7" if v < 1 else "#c44", b + 4, y + 11, v,
                     escape(peer)))
    return "\n".join(p) + "\n</svg>\n"
