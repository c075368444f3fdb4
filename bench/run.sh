#!/bin/bash
#
# run.sh [option...] [SET...]
#   Measure kyro_rmi against nbtree, hash and BRIN on seeded data sets, on a
#   private cluster with a private copy of PostgreSQL; README.md says what the
#   columns mean.  SET:random, SET:key is a set with another order than -o's.
#
#   -n "N..."   rows per set; several, ascending, for how it scales (default 10000000)
#   -o ORDER    order of the heap: key or random (default key)
#   -p N        look-ups per measurement (default 1000000)
#   -r N        interleaved runs, of which the median counts (default 3)
#   -s PHASES   any of: build probe range array update delete insert mixed
#               vacuum churn (default all)
#   -x VARIANTS other access methods: hash, brin (default "hash brin"); building
#               hash indexes of large tables takes long
#   -f N        fillfactor of the indexes (default 90)
#   -O FILE     CSV, appended (default results/index-<date>.csv)
#   -l          list the data sets

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

sizes=10000000 default_order=key probes=1000000 rounds=3 fillfactor=90 seed=42 list=""
phases="build probe range array update delete insert mixed vacuum churn"
csv="" others="hash brin" command="bench/run.sh $*"
while getopts n:o:p:r:s:x:f:O:l option; do
  case $option in
    n) sizes=$OPTARG ;; o) default_order=$OPTARG ;; p) probes=$OPTARG ;; r) rounds=$OPTARG ;;
    s) phases=$OPTARG ;; x) others=$OPTARG ;; f) fillfactor=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;; l) list=1 ;;
    *) sed -n '3,19s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
sets=("$@")
[ ${#sets[@]} -gt 0 ] || sets=(dense holes uniform timestamps seconds snowflake books fb osm)
for entry in "${sets[@]}"; do
  case $default_order:$entry in key:* | random:*) ;; *) die "-o is key or random" ;; esac
  case $entry in *:key | *:random) ;; *:*) die "no such order: $entry" ;; esac
done
case ${sizes// /}$probes$rounds in *[!0-9]*) die "-n, -p and -r are numbers" ;; esac
for phase in $phases; do
  case $phase in
    build | probe | range | array | update | delete | insert | mixed | vacuum | churn) ;;
    *) die "no such phase: $phase" ;;
  esac
done
for other in $others; do
  case $other in hash | brin) ;; *) die "no such access method: $other" ;; esac
done
[ "$probes" -ge 10000 ] || die "-p is at least 10000"
csv=${csv:-$ROOT/bench/results/index-$(date +%Y-%m-%d).csv}
[ -n "$list" ] || csv_columns "$csv" "$INDEX_COLUMNS"

say "bench: PostgreSQL and the extension, in a copy"
bench_begin
if [ -n "$list" ]; then
  "$W/kyro_datasets" --help
  exit
fi
bench_cluster
bench_psql -f "$SRC/bench/cpu.sql" -f "$SRC/bench/measure.sql"

hardness=()
for entry in "${sets[@]}"; do
  set=${entry%:*} order=$default_order
  [ "$set" = "$entry" ] || order=${entry##*:}
  for rows in $sizes; do
    hardness+=("$("$W/kyro_datasets" "$set" "$rows" "$seed" --pla)")
    say "bench: ${hardness[-1]}, heap in $order order; load $(load)"
    bench_psql -o /dev/null -c 'SELECT bench.forget()'
    "$W/kyro_datasets" "$set" "$rows" "$seed" "$order" -i | bench_psql -c 'COPY bench.keys (v, k) FROM STDIN'
    bench_psql -c "INSERT INTO bench.param
      SELECT '$set', '$order', count(*), $rounds, $probes, $fillfactor, string_to_array('$others', ' ') FROM bench.keys" -c 'VACUUM ANALYZE bench.keys'
    for phase in $phases; do
      say "bench: $set, $rows rows: $phase"
      bench_psql -f "$SRC/bench/$phase.sql"
    done
  done
  # at the largest over that at the smallest
  bench_psql -c "INSERT INTO bench.result (set, heap_order, n, measure, unit, variant, value)
    SELECT l.set, l.heap_order, l.n, format('growth from %s rows: %s', s.n, s.measure), 'x', s.variant, l.value / s.value
    FROM bench.median s JOIN bench.median l USING (set, heap_order, measure, variant)
    WHERE s.set = '$set' AND s.heap_order = '$order' AND s.unit = 'us' AND s.measure ~ 'probe|range' AND s.n < l.n
      AND s.n = (SELECT min(n) FROM bench.median m WHERE (m.set, m.heap_order) = (s.set, s.heap_order))
      AND l.n = (SELECT max(n) FROM bench.median m WHERE (m.set, m.heap_order) = (s.set, s.heap_order))"
done

printf '# %s\n' "${hardness[@]}" >>"$csv"
append_report "$csv" "$command; seed $seed, $probes look-ups, $rounds rounds"
