#!/bin/bash
#
# space.sh [option...]
#   Bytes per row of table, index and WAL of a kyro table, (bigint, 32-byte text) with a kyro_rmi index on
#   the key: loaded into runs, loaded into the log and sealed in batches with VACUUM in between, and as a
#   stream.  On a private cluster with a private copy of PostgreSQL.
#
#   -n N        rows (default 1000000)
#   -b N        rows of a batch of the stream (default 20000)
#   -O FILE     CSV, appended (default results/space-<date>.csv)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=1000000 batch=20000 csv=""
command="bench/space.sh $*"
while getopts n:b:O: option; do
  case $option in
    n) rows=$OPTARG ;; b) batch=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $rows$batch in *[!0-9]*) die "-n and -b are numbers" ;; esac
csv=${csv:-$ROOT/bench/results/space-$(date +%Y-%m-%d).csv}
csv_columns "$csv" "date,rows,how,step,table,index,wal"

say "bench: $command"
say "bench: $rows rows; load $load_before"
bench_begin
bench_cluster
bench_psql -c "CREATE EXTENSION kyrodb"
echo "# $command, load $load_before" >>"$csv"

one() { bench_psql -A -t -c "$1"; }

# note HOW STEP: what there is now, and what was logged since the step before
note() {
  local line
  line=$(one "SELECT round(pg_relation_size('t') / ${3:-$rows}.0, 1), round(pg_indexes_size('t') / ${3:-$rows}.0, 1), round((pg_current_wal_insert_lsn() - '$before') / ${3:-$rows}.0, 1)" | tr '|' ' ')
  printf '%-10s %-28s table %6s  index %6s  WAL %6s\n' "$1" "$2" $line
  echo "$(date +%F),$rows,$1,$2,${line// /,}" >>"$csv"
  before=$(one 'SELECT pg_current_wal_insert_lsn()')
}

new_table() {
  one "DROP TABLE IF EXISTS t" >/dev/null
  before=$(one 'SELECT pg_current_wal_insert_lsn()')
}

data() { echo "SELECT g::bigint AS key, md5(g::text) AS value FROM generate_series($1, $2) g"; }

new_table
one "CREATE TABLE t USING kyro AS $(data 1 "$rows")" >/dev/null
note runs "CREATE TABLE AS"
one "CREATE INDEX ON t USING kyro_rmi (key)" >/dev/null
note runs "CREATE INDEX"
one "VACUUM t" >/dev/null
note runs VACUUM

new_table
one "CREATE TABLE t (key bigint, value text) USING kyro" >/dev/null
one "CREATE INDEX ON t USING kyro_rmi (key)" >/dev/null
one "INSERT INTO t $(data 1 "$rows")" >/dev/null
note log "load"
one "UPDATE t SET value = value WHERE ctid < format('(%s,0)', pg_relation_size('t') / 8192 / 16)::tid" >/dev/null
one "VACUUM t" >/dev/null
note log "a sixteenth moved"
take=$((rows / 10))
until [ "$(one "SELECT rows FROM kyro.snapshot('t', $take)")" = 0 ]; do
  one "VACUUM t" >/dev/null
  take=$((take * 17 / 10))
done
one "VACUUM t" >/dev/null
note log "sealed, VACUUM in between"

new_table
one "CREATE TABLE t (key bigint, value text) USING kyro" >/dev/null
one "CREATE INDEX ON t USING kyro_rmi (key)" >/dev/null
for ((i = 0; i < rows; i += batch)); do
  one "INSERT INTO t $(data $((i + 1)) $((i + batch)))" >/dev/null
  one "SELECT rows FROM kyro.snapshot('t')" >/dev/null
  one "VACUUM t" >/dev/null
done
note stream "insert, seal, VACUUM"
say "bench: appended to $csv"
