#!/usr/bin/env python3
"""
table.py PART CSV...        print tables of Markdown
table.py [--check] FILE.md  write them into the file, or see if they are there

PART is one of targets, ratios, sizes, scaling, variants, clients,
store, runs, or all.
In FILE.md they go between the lines

    <!-- bench/table.py PART CSV... -->
    <!-- end -->

with names of CSVs relative to the root of the tree; patterns will do.
"""

import csv
import glob
import os
import re
import sys

from results import SETS, VARIANTS, Results, mean

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ORDERS = ["key", "random"]
CLIENTS = re.compile("clients?$|point read")  # measures of clients.sh


def number(v):
    """Three digits, or all before the point."""
    if v is None:
        return ""
    if v >= 1000:
        return f"{v:,.0f}"
    return f"{v:.{3 if v < 1 else 3 - len(str(int(v)))}f}"


def times(v):
    """A ratio; what lost is bold."""
    if v is None:
        return ""
    text = (f"{v:.0f}" if v >= 10 else f"{v:.1f}" if v >= 2 else f"{v:.2f}") + "x"
    return f"**{text}**" if round(v, 2) < 1 else text


def rows_of(n):
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:g}{unit}"
    return str(n)


def markdown(head, lines):
    if not lines:
        return []
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(line) + " |" for line in lines] + [""]


def with_unit(measure, unit):
    return f"{measure}, {unit.replace('us', 'µs')}"


def set_name(r):
    return f"{r.set}, {r.order} order"


# ---------------------------------------------------------------------------

BASE_AND_OWN = {"index": ("nbtree", "kyro_rmi"), "store": ("heap_nbtree", "kyro")}


def figure(r, name):
    """The figure that a target is for: a value of ours, a share of theirs, or how many times better ours is."""
    base, own = BASE_AND_OWN[r.kind]
    if name == "kyro_rmi":
        return r.values.get(own)
    if name == "share":
        ratio = r.ratio(own, base)
        return ratio and 1 / ratio
    return r.ratio(own if name == "ratio" else name, base)


def table_targets(results):
    lines = []
    with open(os.path.join(ROOT, "bench", "targets.csv"), newline="", encoding="utf-8") as f:
        for t in csv.DictReader(f):
            lines += target_lines(results, t)
    return markdown(["what", "data set, heap order, rows", "nbtree", "kyro", "measured", "target", "met"], lines)


def target_lines(results, t):
    over_sets = t["set"] in ("(mean)", "(worst)")
    least = t["comparison"] == ">="
    goal = ("≥ " if least else "≤ ") + t["target"]
    base, own = BASE_AND_OWN[t["kind"]]
    note = ""
    if t["figure"] == "kyro_generic":
        own, note = t["figure"], ", generic WAL"
    elif t["figure"] == "share":
        note = " of " + base.replace("heap_nbtree", "heap") + "'s"
    elif t["figure"] != "kyro_rmi":
        note = "x"
    if t["figure"] == "kyro_generic":
        note = "x" + note

    found = [r for r in results.find(t["kind"], t["measure"], None if over_sets else t["set"], t["heap_order"] or None)
             if figure(r, t["figure"]) is not None and t["unit"] in ("", r.unit)]
    if not found:
        return [[t["measure"], t["set"], "", "", "not measured", goal, ""]]
    lines = []
    for group in [found] if over_sets else [[r] for r in found]:
        values = [figure(r, t["figure"]) for r in group]
        if t["set"] == "(worst)":
            value = (min if least else max)(values)
            group = [group[values.index(value)]]
        else:
            value = mean(values)
        numbers = ["", ""]
        where = f"geometric mean of {len(group)}, " + "/".join(rows_of(n) for n in sorted({r.n for r in group}))
        if len(group) == 1:
            r = group[0]
            numbers = [number(r.values.get(base)), number(r.values.get(own))]
            where = ("worst: " if t["set"] == "(worst)" else "") + f"{set_name(r)}, {rows_of(r.n)}"
        met = value >= float(t["target"]) if least else value <= float(t["target"])
        lines.append([t["measure"], where] + numbers + [number(value) + note, goal, "yes" if met else "**no**"])
    return lines


def table_ratios(results):
    out = []
    for order in ORDERS:
        found = [r for r in results.find("index", order=order)
                 if r.ratio("kyro_rmi", "nbtree") is not None and r.unit != "x" and not CLIENTS.search(r.measure)]
        sets = [s for s in SETS if any(r.set == s for r in found)]
        measures = []
        for r in results.rows.values():
            if (r.measure, r.unit) not in measures and any((x.measure, x.unit) == (r.measure, r.unit) for x in found):
                measures.append((r.measure, r.unit))
        lines = []
        for measure, unit in measures:
            by_set = {r.set: r.ratio("kyro_rmi", "nbtree") for r in found if (r.measure, r.unit) == (measure, unit)}
            lines.append([with_unit(measure, unit)] + [times(by_set.get(s)) for s in sets] + [times(mean(by_set.values()))])
        if lines:
            out += [f"How many times better than nbtree, heap in {order} order:", ""]
            out += markdown(["measure"] + sets + ["geometric mean"], lines)
    return out


def table_sizes(results):
    lines = []
    found = results.find("index", "size after build")
    for order in ORDERS:
        for r in (r for r in found if r.order == order):
            lines.append([set_name(r), rows_of(r.n), results.hardness.get((r.set, r.n), "")] +
                         [number(r.values.get(v)) for v in VARIANTS if v != "kyro_generic"] +
                         [times(r.ratio("kyro_rmi", "nbtree"))])
    return markdown(["bytes per row", "rows", "PLA-32 / PLA-4096", "nbtree", "kyro_rmi", "hash", "BRIN", "nbtree / kyro_rmi"], lines)


def table_scaling(results):
    lines = []
    for measure in ("probe, index-only", "probe, with row"):
        found = results.find("index", measure, one_size=False)
        for key in dict.fromkeys((r.set, r.order) for r in found):
            some = sorted((r for r in found if (r.set, r.order) == key), key=lambda r: r.n)
            if len(some) < 2:
                continue
            for r in some:
                lines.append([f"{measure}, µs", set_name(r), rows_of(r.n), number(r.values.get("nbtree")),
                              number(r.values.get("kyro_rmi")), times(r.ratio("kyro_rmi", "nbtree"))])
    return markdown(["what", "data set", "rows", "nbtree", "kyro_rmi", "ratio"], lines)


def table_variants(results):
    lines = []
    for variant, name in (("kyro_generic", "kyro_rmi by generic WAL"), ("hash", "hash"), ("brin", "BRIN")):
        for r in results.find("index"):
            if variant in r.values and not r.measure.startswith("size") and r.unit != "x" and r.ratio("kyro_rmi", "nbtree"):
                lines.append([name, with_unit(r.measure, r.unit), set_name(r), number(r.values.get("nbtree")),
                              number(r.values.get("kyro_rmi")), number(r.values[variant]), times(r.ratio(variant, "nbtree"))])
    return markdown(["variant", "what", "data set", "nbtree", "kyro_rmi", "it", "nbtree / it"], lines)


def table_clients(results):
    lines = [[with_unit(r.measure, r.unit), set_name(r) + ", " + rows_of(r.n), number(r.values.get("nbtree")),
              number(r.values.get("kyro_rmi")), times(r.ratio("kyro_rmi", "nbtree"))]
             for r in results.find("index") if CLIENTS.search(r.measure)]
    return markdown(["what", "data set", "nbtree", "kyro_rmi", "times better"], lines)


def table_store(results):
    variants = ["heap_nbtree", "heap_kyro_rmi", "kyro", "kyro_buffers", "kyro_full"]
    names = ["heap + nbtree", "heap + kyro_rmi", "kyro", "without maps", "after VACUUM FULL"]
    lines = []
    for r in results.find("store"):
        where = f"{r.set}, {rows_of(r.n)}"
        what = f"{r.what}: {with_unit(r.measure, r.unit)}"
        own = "kyro" if "kyro" in r.values else "kyro_kyro_rmi"
        values = [number(r.values.get(v)) for v in variants]
        values[2] = number(r.values.get(own))
        lines.append([what, where] + values + [times(r.ratio(own, "heap_nbtree"))])
        for v in r.values:
            if v not in variants and v != own:
                lines.append([f"{what}: {v}", where, values[0], "", number(r.values[v]), "", "", times(r.ratio(v, "heap_nbtree"))])
    return markdown(["what", "data set, rows"] + names + ["kyro against heap + nbtree"], lines)


def table_runs(results):
    return [f"- `{os.path.basename(name)}`: {comment}" for name, comment in results.runs] + \
        ["- " + "; ".join(dict.fromkeys(re.sub(r"^kyrodb \S+ on ", "", b) for b in results.builds)), ""]


PARTS = {"targets": table_targets, "ratios": table_ratios, "sizes": table_sizes, "scaling": table_scaling,
         "variants": table_variants, "clients": table_clients, "store": table_store, "runs": table_runs}


def tables(part, patterns):
    files = []
    for pattern in patterns:
        some = sorted(glob.glob(os.path.join(ROOT, pattern)))
        if not some:
            sys.exit(f"table.py: no file {pattern}")
        files += some
    if not files or part not in list(PARTS) + ["all"]:
        sys.exit(__doc__.strip())
    results = Results(files)
    out = []
    for p in PARTS if part == "all" else [part]:
        out += PARTS[p](results)
    return "\n".join(out).rstrip("\n") + "\n"


def main():
    args = sys.argv[1:]
    check = args[:1] == ["--check"]
    if check:
        args = args[1:]
    if len(args) == 1 and args[0].endswith(".md"):
        with open(args[0], encoding="utf-8") as f:
            old = f.read()
        new, n = re.subn(r"(<!-- bench/table\.py (\w+) ([^\n]*?) *-->\n).*?(<!-- end -->)",
                         lambda m: m[1] + "\n" + tables(m[2], m[3].split()) + "\n" + m[4], old, flags=re.S)
        if n == 0:
            sys.exit(f"table.py: {args[0]} has no lines for tables")
        if check:
            sys.exit(0 if new == old else f"table.py: {args[0]} is not what the CSVs say: run bench/table.py {args[0]}")
        with open(args[0], "w", encoding="utf-8") as f:
            f.write(new)
    elif len(args) >= 2:
        print(tables(args[0], [os.path.abspath(a) for a in args[1:]]), end="")
    else:
        sys.exit(__doc__.strip())


if __name__ == "__main__":
    main()
