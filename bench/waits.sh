#!/bin/bash
#
# waits.sh [option...]
#   What clients of a kyro table feel while it is sealed: look-ups and changes of single rows (an UPDATE, a
#   row lock, a DELETE, an INSERT) at the pace of an application that is not at its limit, while nothing else goes
#   on (idle), while a session copies as many rows as fast as it can from a table of no concern, with an
#   index of its own (copy, in transactions of a batch), and while CALL kyro.seal seals all rows (seal).
#   Microseconds from the start of a transaction to its end.  The clients' own commits do not wait for the
#   disk, which the others keep busy; those of the seal do.  On a private cluster with a private copy of
#   PostgreSQL.
#
#   -n N        rows, (bigint, 32-byte text), with a kyro_rmi index on the key (default 1000000)
#   -b N        rows of a batch (default 20000)
#   -R N        look-ups a second, and as many changes (default 500)
#   -c N        clients that look up, and as many that change (default 2)
#   -r N        rounds (default 3); medians of them are printed, but the longest of all
#   -O FILE     CSV, appended (default results/waits-<date>.csv)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=1000000 batch=20000 rate=500 clients=2 rounds=3 csv=""
command="bench/waits.sh $*"
while getopts n:b:R:c:r:O: option; do
  case $option in
    n) rows=$OPTARG ;; b) batch=$OPTARG ;; R) rate=$OPTARG ;; c) clients=$OPTARG ;; r) rounds=$OPTARG ;;
    O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,19s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $rows$batch$rate$clients$rounds in *[!0-9]*) die "-n, -b, -R, -c and -r are numbers" ;; esac
csv=${csv:-$ROOT/bench/results/waits-$(date +%Y-%m-%d).csv}
csv_columns "$csv" "date,rows,round,phase,who,transactions,p50_us,p99_us,p999_us,longest_us"

say "bench: $command"
say "bench: $rows rows; load $load_before"
bench_begin
bench_cluster
bench_psql -c "CREATE EXTENSION kyrodb"
bench_psql -c "CREATE TABLE other AS SELECT g::bigint AS key, md5(g::text) AS value FROM generate_series(1, $rows) g" -c "CREATE INDEX ON other (key)" -c "VACUUM ANALYZE other"
cat >"$W/look.sql" <<SQL
\set key random(1, $rows)
SELECT value FROM t WHERE key = :key;
SQL
cat >"$W/change.sql" <<SQL
\set key random(1, $rows)
\set what random(1, 100)
\if :what <= 60
UPDATE t SET value = md5(value) WHERE key = :key;
\elif :what <= 75
SELECT FROM t WHERE key = :key FOR UPDATE;
\elif :what <= 80
DELETE FROM t WHERE key = :key;
\else
INSERT INTO t VALUES ($rows + :key, 'new');
\endif
SQL
cat >"$W/copy.sql" <<SQL
CREATE PROCEDURE copy_all() LANGUAGE plpgsql AS \$\$
BEGIN
  FOR i IN 0..($rows - 1) / $batch LOOP
    INSERT INTO copied SELECT * FROM other WHERE key > i::bigint * $batch AND key <= (i + 1)::bigint * $batch;
    COMMIT;
  END LOOP;
END \$\$;
SQL
bench_psql -f "$W/copy.sql"
chmod a+r "$W"/*.sql

# pace LOG SCRIPT: clients, until they are killed
pace() {
  as_server bash -c "cd '$W' && exec env PGOPTIONS='-c synchronous_commit=off' '$BIN/pgbench' -h '$W' -U postgres -n -M prepared -T 100000 -c $clients -R $rate -l --log-prefix='$1' -f '$2.sql' postgres >'$2.log' 2>&1" &
}

# around ROUND PHASE COMMAND...: clients before, beside and until the end of the command
around() {
  local round=$1 phase=$2

  shift 2
  pace "look.$round.$phase" look
  pace "change.$round.$phase" change
  sleep 1                       # until all are connected and have planned
  from=$(date +%s.%N)
  "$@"
  to=$(date +%s.%N)
  sleep 2                       # the log is behind, and its rest is lost
  pkill -f "pgbench -h $W" || true
  { wait; } 2>/dev/null
  for who in look change; do
      cat "$W/$who.$round.$phase".* | awk -v from="$from" -v to="$to" '{done = $5 + $6 / 1e6; took = $3 - $7; if (done >= from && done - took / 1e6 <= to) print took}' |
      sort -n | awk -v head="$(date +%F),$rows,$round,$phase,$who" '{t[NR] = $1} END {
        if (!NR) exit 1
        printf "%s,%d,%d,%d,%d,%d\n", head, NR, t[int(NR * 0.5) + 1], t[int(NR * 0.99) + 1], t[int(NR * 0.999) + 1], t[NR] }' | tee -a "$csv" "$W/result.csv"
  done
}

say "# $command; load $load_before before; $(machine)" >>"$csv"
for round in $(seq "$rounds"); do
  bench_psql -c "DROP TABLE IF EXISTS t, copied" -c "CREATE TABLE t (key bigint, value text) USING kyro" -c "CREATE INDEX ON t USING kyro_rmi (key)" \
    -c "INSERT INTO t SELECT * FROM other" -c "CREATE TABLE copied (key bigint, value text)" -c "CREATE INDEX ON copied (key)" -c "VACUUM ANALYZE t" -c CHECKPOINT
  around "$round" idle sleep 15
  around "$round" copy bench_psql -c "CALL copy_all()"
  around "$round" seal bench_psql -c "SET client_min_messages = notice" -c "CALL kyro.seal('t', batch => $batch)"
  bench_psql -A -t -c "SELECT format('sealed %s rows in %s runs, %s of them dead from birth or since; copied %s rows', sealed_rows, runs, sealed_rows - live_rows, (SELECT count(*) FROM copied)) FROM kyro.stat_tables WHERE relid = 't'::regclass"
done
for phase in idle copy seal; do
  for who in look change; do
    awk -F , -v phase=$phase -v who=$who '
      function median(a, n,  i, j, v) { for (i = 2; i <= n; i++) { v = a[i]; for (j = i - 1; j >= 1 && a[j] > v; j--) a[j + 1] = a[j]; a[j + 1] = v } return a[int((n + 1) / 2)] }
      $4 == phase && $5 == who {n++; p50[n] = $7; p99[n] = $8; p999[n] = $9; if ($10 > longest) longest = $10}
      END {printf "%-5s %-7s p50 %6d  p99 %6d  p99.9 %6d  longest %7d us\n", phase, who, median(p50, n), median(p99, n), median(p999, n), longest}' "$W/result.csv"
  done
done
say "load $load_before before, $(load) after"
say "bench: appended to $csv"
