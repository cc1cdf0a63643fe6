"""Draw log.jsonl as a small SVG: held-out accuracy against epochs.

    python curve.py --log OUT/log.jsonl --svg ../models/training-curve.svg
"""

import argparse
import json
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 300, 50, 40


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--svg", type=Path, required=True)
    args = parser.parse_args()
    points = [(e["epoch"], e["held_top1"]) for e in map(json.loads, args.log.read_text().splitlines())]
    last, high = points[-1][0], 70

    def x(epoch):
        return LEFT + (WIDTH - LEFT - 20) * epoch / last

    def y(percent):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 20) * percent / high

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="#fff"/>']
    for percent in range(0, high + 1, 10):
        out.append(f'<path d="M{LEFT} {y(percent):.0f}H{WIDTH - 20}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(percent) + 4:.0f}" text-anchor="end">{percent}</text>')
    for epoch in range(0, int(last) + 1, 2):
        out.append(f'<text x="{x(epoch):.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{epoch}</text>')
    line = " ".join(f"{x(e):.1f},{y(a):.1f}" for e, a in points)
    out.append(f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>')
    top = points[-1][1]
    out.append(f'<text x="{x(last) - 4:.0f}" y="{y(top) - 8:.0f}" text-anchor="end">{top:.1f}</text>')
    out.append(f'<text x="{LEFT}" y="14">top-1 of the averaged weights on held-out training pictures, %</text>')
    out.append(f'<text x="{WIDTH - 20}" y="{HEIGHT - 6}" text-anchor="end">epochs</text>')
    args.svg.write_text("\n".join(out) + "\n</svg>\n")


if __name__ == "__main__":
    main()
