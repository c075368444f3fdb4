#!/bin/bash
#
# usage.sh [option...]
#   What counting look-ups costs (statistics of use): instructions of the processor per
#   look-up, index-only and with the row, of a library that counts and of one that is
#   built without it.  Valgrind counts them, so that it does not matter what else the
#   machine does; what it cannot see is waiting for memory, of which counting
#   adds a line or two that stay in the cache.  Needs Debian's valgrind.
#
#   -n N    rows (default 300000)
#   -p N    look-ups (default 20000)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=300000 probes=20000
while getopts n:p: option; do
  case $option in
    n) rows=$OPTARG ;; p) probes=$OPTARG ;;
    *) sed -n '3,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
command -v valgrind >/dev/null || die "there is no valgrind: apt-get install valgrind"

bench_begin
say "rows $rows, look-ups $probes; instructions per look-up"

# instructions QUERY LIMIT: of a server that does this query alone.
instructions() {
  as_server bash -c "cd '$W' && printf '%s\n' \
    'set enable_hashjoin=off; set enable_mergejoin=off; set enable_material=off; set enable_memoize=off;' '' \"$1;\" '' |
    valgrind --tool=callgrind --callgrind-out-file=/dev/null '$BIN/postgres' --single -j -D '$W/data' postgres 2>&1" |
    sed -n 's/.*Collected : //p'
}

declare -A found
for usage in on off; do
  # shellcheck disable=SC2034  # for private_copy
  [ $usage = on ] || export USAGE=off
  bench_cluster
  bench_psql -c "CREATE EXTENSION kyrodb; CREATE TABLE t (k bigint, v int); INSERT INTO t SELECT g * 10, g FROM generate_series(1, $rows) g;
    CREATE INDEX t_k ON t USING kyro_rmi (k);
    CREATE TABLE l AS SELECT (1 + g * 7919 % $rows)::bigint * 10 AS k FROM generate_series(1, 2 * $probes) g;" -c 'VACUUM (FREEZE, ANALYZE)'
  stop_server
  for what in 'count(*)' 'sum(t.v)'; do
    # two runs, for what is not done per look-up
    one=$(instructions "select $what from (select * from l limit $probes) l join t on t.k = l.k" )
    two=$(instructions "select $what from (select * from l limit 2 * $probes) l join t on t.k = l.k")
    found[$usage$what]=$(((two - one) / probes))
  done
  rm -rf "$W/data"
done
for what in 'count(*)' 'sum(t.v)'; do
  on=${found[on$what]} off=${found[off$what]}
  say "$what: $on with counting, $off without: $(awk -v a="$on" -v b="$off" 'BEGIN {printf "%.2f %%", (a / b - 1) * 100}') more"
done
