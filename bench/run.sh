#!/bin/bash
#
# run.sh [option...] [SET...]
#   Measure kyro_rmi against nbtree on seeded data sets, on a private cluster
#   with a private copy of PostgreSQL; README.md says what the columns mean.
#
#   -n N        rows per set (default 10000000)
#   -o ORDER    order of the heap: key or random (default key)
#   -p N        look-ups per measurement (default 1000000)
#   -r N        interleaved runs, of which the median counts (default 3)
#   -s PHASES   any of: build probe update delete insert (default all)
#   -f N        fillfactor of both (default 90)
#   -O FILE     CSV, appended (default results/<date>.csv)
#   -l          list the data sets

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=10000000 order=key probes=1000000 rounds=3 fillfactor=90 seed=42 list=""
phases="build probe update delete insert"
csv=""
while getopts n:o:p:r:s:f:O:l option; do
  case $option in
    n) rows=$OPTARG ;; o) order=$OPTARG ;; p) probes=$OPTARG ;; r) rounds=$OPTARG ;;
    s) phases=$OPTARG ;; f) fillfactor=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;; l) list=1 ;;
    *) sed -n '3,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
sets=("$@")
[ ${#sets[@]} -gt 0 ] || sets=(dense holes uniform timestamps seconds snowflake books fb osm)
case $order in key | random) ;; *) die "-o is key or random" ;; esac
csv=${csv:-$ROOT/bench/results/$(date +%Y-%m-%d).csv}

say "bench: PostgreSQL and the extension, in a copy"
bench_begin
if [ -n "$list" ]; then
  "$W/kyro_datasets" --help
  exit
fi
bench_cluster
bench_psql -f "$SRC/bench/measure.sql"

for set in "${sets[@]}"; do
  say "bench: $("$W/kyro_datasets" "$set" "$rows" "$seed" --pla), heap in $order order"
  bench_psql -c 'TRUNCATE bench.keys, bench.param'
  "$W/kyro_datasets" "$set" "$rows" "$seed" "$order" -i | bench_psql -c 'COPY bench.keys (v, k) FROM STDIN'
  bench_psql -c "INSERT INTO bench.param
    SELECT '$set', '$order', count(*), $rounds, $probes, $fillfactor FROM bench.keys" -c 'VACUUM ANALYZE bench.keys'
  for phase in $phases; do
    say "bench: $set: $phase"
    bench_psql -f "$SRC/bench/$phase.sql"
  done
done

mkdir -p "$(dirname "$csv")"
version="kyrodb $(version_of_control) on PostgreSQL $(bench_psql -A -t -c 'SHOW server_version')"
[ -s "$csv" ] || say "time,build,set,heap_order,n,measure,unit,nbtree,kyro_rmi,ratio" >"$csv"
bench_psql --csv -t -c "SELECT '$(date -u +%FT%TZ)', '$version', r.* FROM bench.report r" >>"$csv"
bench_psql -c "SELECT * FROM bench.report"
say "bench: appended to $csv"
