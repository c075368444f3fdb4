"""The CSVs of run.sh, clients.sh and store.sh, for table.py and plot.py."""

import csv
import math
import re
import sys

SETS = ["dense", "holes", "uniform", "timestamps", "seconds", "snowflake", "books", "fb", "osm"]
ROWS = 10**7  # what the targets are for
VARIANTS = ["nbtree", "kyro_rmi", "kyro_generic", "hash", "brin"]


def more_is_better(unit):
    return unit in ("tps", "hit ratio", "rows/s")


class Result:
    """One measure of one set: values by variant."""

    def __init__(self, kind, set_, order, n, measure, unit):
        self.kind, self.set, self.order, self.n = kind, set_, order, n
        self.measure, self.unit, self.values = measure, unit, {}

    def ratio(self, variant, base):
        """How many times better than the base the variant is, or None."""
        v, b = self.values.get(variant), self.values.get(base)
        if v is None or b is None or v <= 0 or b <= 0:
            return None
        return v / b if more_is_better(self.unit) else b / v


class Results:
    def __init__(self, files):
        self.rows = {}  # in the order of the files; what comes later counts
        self.runs = []  # (file, comment): commands, machines
        self.builds = []
        self.hardness = {}  # (set, n): lines per million keys at error 32, 4096
        for name in files:
            try:
                self.read(name)
            except OSError as e:
                sys.exit(f"{name}: {e.strerror}")

    def read(self, name):
        comment = ""
        columns = None
        with open(name, newline="", encoding="utf-8") as f:
            for line in f:
                if line.startswith("#"):
                    pla = re.match(r"# (\w+) n=(\d+) seed=\d+ PLA-32=(\S+) PLA-4096=(\S+)", line)
                    if pla:
                        self.hardness[pla[1], int(pla[2])] = f"{pla[3]} / {pla[4]}"
                        continue
                    comment = line[1:].strip()
                    self.runs.append((name, comment))
                    continue
                fields = next(csv.reader([line]))
                if columns is None:
                    columns = fields
                    continue
                row = dict(zip(columns, fields))
                if "what" in columns:
                    self.add_store(row, comment)
                else:
                    self.add_index(row)

    def add(self, key, build):
        if build not in self.builds:
            self.builds.append(build)
        old = self.rows.pop(key, None)
        return self.rows.setdefault(key, old or Result(*key))

    def add_index(self, row):
        key = ("index", row["set"], row["heap_order"], int(row["n"]), row["measure"], row["unit"])
        r = self.add(key, row["build"])
        r.values = {v: float(row[v]) for v in VARIANTS if row.get(v)}

    def add_store(self, row, comment):
        # the set and the order are in the comment
        found = re.search(r"; (\w+), (\w+) order", comment)
        set_, order = found.groups() if found else ("uniform", "key")
        r = self.add(("store", set_, order, int(row["rows"]), row["metric"], row["unit"]), row["server"])
        r.what = row["what"]
        r.values[row["variant"]] = float(row["value"])

    def find(self, kind, measure=None, set_=None, order=None, one_size=True):
        """Results in order; by default of one size for each set and order: ROWS, or else the largest; for growth the largest."""
        found = [r for r in self.rows.values()
                 if r.kind == kind and measure in (None, r.measure) and set_ in (None, r.set) and order in (None, r.order)]
        if one_size:
            chosen = {}
            for r in found:
                key = (r.set, r.order, r.measure, r.unit)
                chosen[key] = max(chosen.get(key, 0), r.n, key=lambda n: (n == ROWS and not r.measure.startswith("growth"), n))
            found = [r for r in found if r.n == chosen[r.set, r.order, r.measure, r.unit]]
        return sorted(found, key=lambda r: SETS.index(r.set) if r.set in SETS else len(SETS))


def mean(values):
    """The geometric mean, or None."""
    values = [v for v in values if v is not None]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None
