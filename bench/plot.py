#!/usr/bin/env python3
"""
plot.py [-o DIR] CSV...
  Draw what run.sh and clients.sh measured, as PNG and SVG in DIR (default
  bench/results): time of look-ups and size against rows, bytes per row of each
  data set, times of point reads during a rebuild.  What was not measured is not
  drawn.  Needs gnuplot: tools/setup.sh plots.
"""

import os
import re
import subprocess
import sys

from results import SETS, Results

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COLORS = {"nbtree": "#b0562b", "kyro_rmi": "#1f5fa8", "hash": "#8a8a8a"}
STYLE = """
set encoding utf8
set grid ytics lt 1 lc rgb '#dddddd'
set border 3
set tics nomirror
set key outside right top
"""


def draw(directory, name, title, body, data):
    blocks = "".join(f"${k} << END\n{v}END\n" for k, v in data.items())
    for terminal, ending in (("pngcairo size 1000,560 noenhanced font 'Sans,11'", "png"),
                             ("svg size 1000,560 noenhanced font 'Sans,13' background 'white'", "svg")):
        out = os.path.join(directory, f"{name}.{ending}")
        script = f"set terminal {terminal}\nset output '{out}'\n{STYLE}set title '{title}'\n{blocks}{body}"
        try:
            subprocess.run(["gnuplot"], input=script, text=True, check=True)
        except subprocess.CalledProcessError:
            sys.exit(f"plot.py: gnuplot could not draw {out}")
        except FileNotFoundError:
            sys.exit("plot.py: no gnuplot: run tools/setup.sh plots")
        print(f"plot.py: {os.path.relpath(out)}")


def against_rows(results, directory, name, title, y, measure, order, value):
    """One line for each set and variant, where there are two sizes at least."""
    curves, data = [], {}
    found = results.find("index", measure, order=order, one_size=False)
    for point, set_ in enumerate(s for s in SETS if len({r.n for r in found if r.set == s}) > 1):
        for variant in ("nbtree", "kyro_rmi"):
            block = f"d{len(data)}"
            rows = sorted((r.n, value(r, variant)) for r in found if r.set == set_ and variant in r.values)
            data[block] = "".join(f"{n} {v}\n" for n, v in rows)
            curves.append(f"${block} using 1:2 with linespoints lw 2 pt {point + 4} lc rgb '{COLORS[variant]}' title '{variant}, {set_}'")
    if curves:
        log = "set logscale y\n" if measure.startswith("size") else "set yrange [0:*]\n"
        ticks = ", ".join(str(n) for n in sorted({r.n for r in found}))
        draw(directory, f"{name}-{order}", f"{title}, heap in {order} order",
             f"set logscale x\nset autoscale xfix\n{log}set format x '%.0s%c'\nset xtics ({ticks})\nset xlabel 'rows'\nset ylabel '{y}'\nset offsets graph 0.02, graph 0.02, 0, 0\n"
             "plot " + ", ".join(curves) + "\n", data)


def bars(directory, name, title, y, lines, columns, log):
    """lines: (label, value of each column); columns without any value are left out"""
    kept = [i for i in range(len(columns)) if any(values[i] is not None for _, values in lines)]
    columns = [columns[i] for i in kept]
    lines = [(label, [values[i] for i in kept]) for label, values in lines]
    data = {"d": "".join('"%s" %s\n' % (label, " ".join("NaN" if v is None else str(v) for v in values)) for label, values in lines)}
    plots = ", ".join(f"$d using {i + 2}:xtic(1) lc rgb '{COLORS[c]}' title '{c}'" for i, c in enumerate(columns))
    draw(directory, name, title,
         ("set logscale y\n" if log else "set yrange [0:*]\n") +
         f"set style data histogram\nset style histogram clustered gap 1\nset style fill solid 0.9\nset ylabel '{y}'\n"
         f"set xtics rotate by -30\nplot {plots}\n", data)


def main():
    args = sys.argv[1:]
    directory = os.path.join(ROOT, "bench", "results")
    if args[:1] == ["-o"] and len(args) > 1:
        directory, args = args[1], args[2:]
    if not args or args[0].startswith("-"):
        sys.exit(__doc__.strip())
    results = Results(args)
    os.makedirs(directory, exist_ok=True)
    for order in ("key", "random"):
        against_rows(results, directory, "probe", "Random look-ups, index-only, all cached", "µs per look-up",
                     "probe, index-only", order, lambda r, v: r.values[v])
        against_rows(results, directory, "probe-with-row", "Random look-ups with the row, all cached", "µs per look-up",
                     "probe, with row", order, lambda r, v: r.values[v])
        against_rows(results, directory, "size", "Size of the index", "MB", "size after build", order,
                     lambda r, v: r.values[v] * r.n / 1e6)
        found = results.find("index", "size after build", order=order)
        if found:
            columns = ("nbtree", "kyro_rmi", "hash")
            bars(directory, f"bytes-per-row-{order}", f"Bytes per row after CREATE INDEX, heap in {order} order", "bytes per row",
                 [(r.set, [r.values.get(c) for c in columns]) for r in found], columns, False)
    for set_ in SETS:
        lines = []
        for r in results.find("index", set_=set_):
            m = re.fullmatch(r"point read (p[0-9.]+), (.*)", r.measure)
            if m:
                lines.append((f"{m[1]}, {m[2]}", [r.values.get(v) for v in ("nbtree", "kyro_rmi")]))
        if lines:
            bars(directory, f"tails-{set_}", f"Point reads of a client while others write and the index is built anew, {set_}",
                 "µs", lines, ("nbtree", "kyro_rmi"), True)


if __name__ == "__main__":
    main()
