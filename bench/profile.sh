#!/bin/bash
#
# profile.sh [option...] [SET[:random]...]
#   Where the time of a random index-only probe goes, in nbtree and in kyro_rmi, by
#   perf's clock: no hardware counters are needed, but root is, and `perf` (Debian's
#   linux-perf).  Names of the server's static functions are known only if it is
#   not stripped.
#
#   -n N        rows (default 10000000)
#   -p N        look-ups per run (default 1000000)
#   -s PERCENT  functions with less are left out (default 1)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=10000000 probes=1000000 percent=1
while getopts n:p:s: option; do
  case $option in
    n) rows=$OPTARG ;; p) probes=$OPTARG ;; s) percent=$OPTARG ;;
    *) sed -n '3,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- dense uniform:random
[ "$(id -u)" = 0 ] || die "only root may look into the server's processes"
command -v perf >/dev/null || die "there is no perf: apt-get install linux-perf"

bench_begin
bench_cluster
bench_psql -f "$SRC/bench/cpu.sql" -f "$SRC/bench/measure.sql"
for entry in "$@"; do
  order=key
  [ "${entry%:random}" = "$entry" ] || order=random
  bench_psql -o /dev/null -c 'SELECT bench.forget()'
  "$W/kyro_datasets" "${entry%:*}" "$rows" 42 "$order" -i | bench_psql -c 'COPY bench.keys (v, k) FROM STDIN'
  bench_psql -c "INSERT INTO bench.param SELECT '${entry%:*}', '$order', count(*), 1, $probes, 90, '{}' FROM bench.keys" \
    -c 'VACUUM ANALYZE bench.keys' -f "$SRC/bench/fill.sql"
  for am in btree kyro_rmi; do
    rm -f "$W/pid"
    bench_psql -A -t >"$W/time" <<SQL &
\i $SRC/bench/lists.sql
SELECT bench.drop_indexes() \g /dev/null
SELECT bench.create_index('$am') \g /dev/null
VACUUM bench.t;
SELECT count(*) FROM bench.list l JOIN bench.t ON t.k = l.k \g /dev/null
SELECT pg_backend_pid() \g $W/pid
SELECT bench.cpu() AS before \gset
SELECT (SELECT count(*) FROM bench.list l JOIN bench.t ON t.k = l.k WHERE g > 0) FROM generate_series(1, 10) g \g /dev/null
SELECT round(((bench.cpu() - :before) * 1000 / 10 / (SELECT count(*) FROM bench.list))::numeric, 3);
SQL
    until [ -s "$W/pid" ]; do
      sleep 0.1
    done
    run=$!
    # ends with the process, if that is sooner
    perf record -q -e cpu-clock -F 5000 -p "$(cat "$W/pid")" -o "$W/perf" -- sleep 4 >/dev/null 2>&1 &
    wait $! || true
    wait $run
    say "
$entry, $rows rows, $am: $(cat "$W/time") us per look-up, reading the list included"
    perf report -q -i "$W/perf" --sort dso 2>/dev/null | awk -v p="$percent" '$1 + 0 >= p'
    perf report -q -i "$W/perf" --sort sym --percent-limit "$percent" 2>/dev/null | grep -v '^$'
  done
done
