#!/usr/bin/python3
"""Train the model of a kyro_rmi index outside of the server, and import it.

Takes the keys and positions of the index's directory (kyro.training_keys), and its
present model (kyro.export_model).  Trains lines with scikit-learn for several sizes of
segments, rounds them to the integers of the format, measures them in exact integers as the server
does, writes the best as a file of docs/model_format.md, imports it
(kyro.import_model), and prints what there was and is.

    bench/train_offline.py [options] index

Needs psql, and Debian's python3-numpy and python3-sklearn.
"""

import argparse
import struct
import subprocess
import sys

MAGIC = b"KYRO_RMI"
LINES_MAX = 4096
M64 = (1 << 64) - 1


# ---- the format ----

def xxh64(data):
    """xxHash64 with seed 0."""
    p1, p2, p3, p4, p5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                          0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)

    def rotl(x, n):
        return ((x << n) | (x >> (64 - n))) & M64

    def round64(acc, lane):
        return rotl((acc + lane * p2) & M64, 31) * p1 & M64

    at, n = 0, len(data)
    if n >= 32:
        v = [(p1 + p2) & M64, p2, 0, -p1 & M64]
        while at + 32 <= n:
            v = [round64(a, lane) for a, lane in zip(v, struct.unpack_from("<4Q", data, at))]
            at += 32
        h = sum(rotl(a, r) for a, r in zip(v, (1, 7, 12, 18))) & M64
        for a in v:
            h = ((h ^ round64(0, a)) * p1 + p4) & M64
    else:
        h = p5
    h = (h + n) & M64
    while at + 8 <= n:
        h = (rotl(h ^ round64(0, struct.unpack_from("<Q", data, at)[0]), 27) * p1 + p4) & M64
        at += 8
    if at + 4 <= n:
        h = (rotl(h ^ struct.unpack_from("<I", data, at)[0] * p1 & M64, 23) * p2 + p3) & M64
        at += 4
    for byte in data[at:]:
        h = rotl(h ^ byte * p5 & M64, 11) * p1 & M64
    h = (h ^ (h >> 33)) * p2 & M64
    h = (h ^ (h >> 29)) * p3 & M64
    return h ^ (h >> 32)


class Line:
    """A line over the entries first .. first + count - 1, in exact integers."""

    def __init__(self, keys, first, count, slope, shift, base):
        self.first, self.count, self.slope, self.shift, self.base = first, count, slope, shift, base
        self.key_min, self.key_max = keys[first], keys[first + count - 1]
        self.eps = max(abs(self.predict(keys[i]) - i) for i in range(first, first + count))

    def predict(self, key):
        key = min(max(key, self.key_min), self.key_max)
        position = self.base + min((key - self.key_min) * self.slope >> self.shift, 1 << 40)
        return min(max(position, self.first), self.first + self.count - 1)

    def steps(self, keys):
        """Comparisons in the windows of all entries."""
        total = 0
        for i in range(self.first, self.first + self.count):
            p = self.predict(keys[i])
            low = max(p - self.eps - 1, self.first)
            high = min(p + self.eps, self.first + self.count - 1)
            total += (high - low).bit_length()
        return total


class Model:
    def __init__(self, key_type, segment, lines):
        self.key_type, self.segment, self.lines = key_type, segment, lines

    def eps(self, part=100):
        eps = sorted(line.eps for line in self.lines)
        return eps[(len(eps) - 1) * part // 100]

    def steps(self, keys):
        """What kyro.import_model() judges by: one comparison in the root counts as half."""
        return (len(self.lines) - 1).bit_length() / 2 + sum(line.steps(keys) for line in self.lines) / len(keys)

    def write(self):
        n = sum(line.count for line in self.lines)
        size = 64 + 56 * len(self.lines) + 8
        data = struct.pack("<8sIIQIIIIqqQ", MAGIC, 1, size, self.key_type, n, len(self.lines), self.segment,
                           self.eps(), self.lines[0].key_min, self.lines[-1].key_max, 0)
        for x in self.lines:
            data += struct.pack("<qqQiIIIII", x.key_min, x.key_max, x.slope, x.base, x.first, x.count, x.eps, x.shift, 0)
        data += struct.pack("<%dq" % len(self.lines), *(x.key_min for x in self.lines))
        return data + struct.pack("<Q", xxh64(data))


def read_model(data, keys):
    """A file as a model of these keys; what a file of the server's says is checked here, too."""
    magic, version, size, key_type, n, count, segment = struct.unpack_from("<8sIIQIII", data)
    if magic != MAGIC or version != 1 or size != len(data) or n != len(keys):
        sys.exit("this is not a model of these keys")
    if struct.unpack_from("<Q", data, size - 8)[0] != xxh64(data[:-8]):
        sys.exit("the hash of the model is not right")
    lines = []
    for i in range(count):
        _, _, slope, base, first, entries, eps, shift, _ = struct.unpack_from("<qqQiIIIII", data, 64 + 48 * i)
        lines.append(Line(keys, first, entries, slope, shift, base))
        if lines[-1].eps != eps:
            sys.exit("line %d: the server says that its error is %d, and it is %d" % (i, eps, lines[-1].eps))
    return Model(key_type, segment, lines)


# ---- training ----

def fixed_point(slope):
    """A slope as an integer of 64 bits at most, and how far it is to be shifted."""
    if slope <= 0:
        return 0, 0
    numerator, denominator = float(slope).as_integer_ratio()
    for shift in range(127, -1, -1):
        fixed = (numerator << shift) // denominator
        if fixed <= M64:
            return fixed, shift
    return M64, 0


def with_best_base(keys, first, count, slope, shift):
    """The line of this slope whose largest error is least, before clamping."""
    diffs = [i - ((keys[i] - keys[first]) * slope >> shift) for i in range(first, first + count)]
    base = (min(diffs) + max(diffs)) // 2
    return Line(keys, first, count, slope, shift, min(max(base, -(1 << 31)), (1 << 31) - 1))


def train_line(keys, first, count, rounds):
    """
    The best of: least squares, robust regression, and a line that is fitted again and again with more weight
    where it is worst (Lawson), which comes close to the least largest error.
    """
    import numpy
    from sklearn.linear_model import HuberRegressor, LinearRegression

    if count == 1 or keys[first] == keys[first + count - 1]:
        return with_best_base(keys, first, count, 0, 0)
    span = keys[first + count - 1] - keys[first]
    # distances as parts of the span: floats have 53 bits
    x = numpy.array([(keys[i] - keys[first]) / span for i in range(first, first + count)]).reshape(-1, 1)
    y = numpy.arange(count, dtype=float)
    slopes = [count - 1.0]
    weights = numpy.full(count, 1.0 / count)
    for _ in range(rounds):
        fit = LinearRegression().fit(x, y, sample_weight=weights)
        slopes.append(fit.coef_[0])
        errors = numpy.abs(fit.predict(x) - y)
        weights = weights * (errors + 1e-9)
        weights /= weights.sum()
    try:
        slopes.append(HuberRegressor(max_iter=200).fit(x, y).coef_[0])
    except ValueError:
        pass                    # it did not converge
    lines = []
    for slope in slopes:
        fixed, shift = fixed_point(slope / span)
        lines.append(with_best_base(keys, first, count, fixed, shift))
    return min(lines, key=lambda line: (line.steps(keys), line.eps))


def train(keys, key_type, segment, rounds):
    lines = [train_line(keys, first, min(segment, len(keys) - first), rounds) for first in range(0, len(keys), segment)]
    return Model(key_type, segment, lines)


# ---- the server ----

def query(args, sql):
    run = subprocess.run(["psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-v", "index=" + args.index, "-d", args.dbname],
                         input=sql, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode != 0:
        sys.exit(run.stderr.strip())
    return [line.split("\t") for line in run.stdout.splitlines()]


def show(what, model, keys):
    print("%-22s %8d %8d %6d %6d %6d %8.2f %9d" % (what, model.segment, len(model.lines), model.eps(50), model.eps(99), model.eps(),
                                                  model.steps(keys), 72 + 56 * len(model.lines)))


def main():
    parser = argparse.ArgumentParser(description="Train the model of a kyro_rmi index outside of the server, and import it.")
    parser.add_argument("index", help="its name, with the schema if need be")
    parser.add_argument("-d", "--dbname", default="", help="database or connection string of psql")
    parser.add_argument("-s", "--segments", default="8,16,32,64,128", help="entries per line to try (default: %(default)s)")
    parser.add_argument("-r", "--rounds", type=int, default=8, help="fits of each line (default: %(default)s)")
    parser.add_argument("-o", "--output", help="write the file here as well")
    parser.add_argument("-n", "--dry-run", action="store_true", help="train and compare, but do not import")
    args = parser.parse_args()
    if not args.dbname:
        args.dbname = "dbname="
    try:
        import numpy            # noqa: F401
        import sklearn          # noqa: F401
    except ImportError as e:
        print("skipped: %s; Debian has it in python3-numpy and python3-sklearn" % e)
        sys.exit(77)

    keys = [int(key) for position, key in query(args, 'SELECT "position", key FROM kyro.training_keys(:\'index\') ORDER BY 1')]
    present = bytes.fromhex(query(args, "SELECT encode(kyro.export_model(:'index'), 'hex')")[0][0])
    model = read_model(present, keys)
    print("%-22s %8s %8s %6s %6s %6s %8s %9s" % ("model of %d leaves" % len(keys), "segment", "lines", "eps50", "eps99", "max", "steps", "bytes"))
    show("present", model, keys)

    trained = []
    for segment in sorted({min(int(s), len(keys)) for s in args.segments.split(",")}):
        if segment < 1 or (len(keys) + segment - 1) // segment > LINES_MAX:
            continue
        trained.append(train(keys, model.key_type, segment, args.rounds))
        show("trained", trained[-1], keys)
    if not trained:
        sys.exit("no segment is large enough for %d leaves" % len(keys))
    best = min(trained, key=lambda m: (m.steps(keys), len(m.lines)))
    data = best.write()
    if args.output:
        with open(args.output, "wb") as f:
            f.write(data)
    if args.dry_run:
        return
    if best.segment != model.segment and best.steps(keys) >= model.steps(keys):
        print("the present model is as good: nothing to import")
        return
    names = ["leaves_taken", "leaves_kept", "eps_max_before", "eps_max_after", "steps_before", "steps_after", "bytes_before", "bytes_after"]
    row = query(args, "SELECT %s FROM kyro.import_model(:'index', decode('%s', 'hex'))" % (", ".join(names), data.hex()))[0]
    print("imported: " + ", ".join("%s %s" % (name, value) for name, value in zip(names, row)))
    now = read_model(bytes.fromhex(query(args, "SELECT encode(kyro.export_model(:'index'), 'hex')")[0][0]), keys)
    show("now", now, keys)


if __name__ == "__main__":
    main()
