#!/bin/bash
#
# dead_entries.sh [option...]
#   Measure kyro_rmi against nbtree where dead entries come faster than VACUUM:
#   hot rows, queues, churn; README.md says what the columns mean.
#
#   -k KINDS    pattern of the kinds of work, see dead_entries.sql (default: all)
#   -s WHAT     any of: LOGGED UNLOGGED TEMP (default all)
#   -r N        interleaved rounds, of which the median counts (default 3)
#   -O FILE     CSV, appended (default: none)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

kinds=. what="LOGGED UNLOGGED TEMP" rounds=3 csv=""
command="bench/dead_entries.sh $*"
while getopts k:s:r:O: option; do
  case $option in
    k) kinds=$OPTARG ;; s) what=$OPTARG ;; r) rounds=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $rounds in *[!0-9]*) die "-r is a number" ;; esac
for w in $what; do
  case $w in LOGGED | UNLOGGED | TEMP) ;; *) die "no such storage: $w" ;; esac
done
[ -z "$csv" ] || csv_columns "$csv" "kind,storage,variant,us,of_nbtree,kb,kb_of_nbtree"

say "bench: $command; load $load_before"
bench_begin
bench_cluster 'enable_seqscan = off' 'synchronous_commit = off'
bench_psql -f "$SRC/bench/cpu.sql" -f "$SRC/bench/dead_entries.sql"
bench_psql -A -t -v kinds="$kinds" >"$W/kinds" <<<"SELECT kind FROM bench.dead_kind WHERE kind ~ :'kinds' ORDER BY no"
for ((round = 1; round <= rounds; round++)); do
  while read -r kind; do
    for w in $what; do
      for variant in btree kyro_rmi kyro_generic; do
        # each in a session of its own: temporary tables go with it
        bench_psql -v kind="$kind" -v w="$w" -v variant="$variant" <<<"CALL bench.dead(:'kind', :'w', :'variant')"
      done
    done
    say "bench: round $round: $kind"
  done <"$W/kinds"
done
bench_psql -c "SELECT * FROM bench.dead_report"
if [ -n "$csv" ]; then
  say "# $command; load $load_before before, $(load) after; $(machine)" >>"$csv"
  bench_psql --csv -t -c "SELECT * FROM bench.dead_report" >>"$csv"
fi
