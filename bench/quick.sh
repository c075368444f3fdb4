#!/bin/bash
#
# quick.sh
#   A small subset of the benchmarks: installs what is missing, works on private
#   clusters with a private copy of PostgreSQL, and removes them.  The CSVs stay
#   in build/bench.  Small tables flatter nbtree: its tree is one level lower,
#   and more of it fits the processor's caches.
#
#   BENCH_ROWS=n   rows of each data set (default 1000000)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools/common.sh"
cd "$ROOT"

rows=${BENCH_ROWS:-1000000}
start=$(now_ms)
out=build/bench					# the command goes into the CSV: no path of this machine

bash tools/setup.sh bench
mkdir -p "$out"
rm -f "$out"/index.csv "$out"/store.csv

# run COMMAND...: with its progress, without its table
run() { "$@" | { grep --line-buffered '^bench:' || true; }; }

run bench/run.sh -n "$rows" -r 1 -p 200000 -s "build probe range array update delete insert vacuum" \
  -O "$out/index.csv" dense uniform:random
run bench/clients.sh -n "$rows" -r 1 -t 5 -s tails -O "$out/index.csv" uniform
run bench/store.sh -n "$((rows / 2 > 100000 ? rows / 2 : 100000))" -r 1 -s "size point" -O "$out/store.csv"

say ""
bench/table.py targets "$out/index.csv" "$out/store.csv"
bench/table.py ratios "$out/index.csv"
say "bench: $((($(now_ms) - start) / 1000)) s; the CSVs are in build/bench. More tables of them:"
say "bench: bench/table.py all build/bench/index.csv build/bench/store.csv"
