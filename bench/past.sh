#!/bin/bash
#
# past.sh [option...]
#   Measure histories of tables: what changes cost with and without one, what
#   kyro.as_of costs beside a plain scan, in processor time of the session, and sizes.
#
#   -n N        rows of the table (default 1000000)
#   -r N        interleaved rounds, of which the median counts (default 3)
#   -O FILE     CSV, appended (default: none)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

n=1000000 rounds=3 csv=""
command="bench/past.sh $*"
while getopts n:r:O: option; do
  case $option in
    n) n=$OPTARG ;; r) rounds=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $rounds$n in *[!0-9]*) die "-n and -r are numbers" ;; esac
[ -z "$csv" ] || csv_columns "$csv" "measure,rows,plain,history,ratio"

say "bench: $command; load $load_before"
bench_begin
bench_cluster
bench_psql <<SQL
CREATE EXTENSION kyrodb;
CREATE TABLE plain (id bigint PRIMARY KEY, n int, at timestamptz, v text) USING kyro;
CREATE TABLE kept (LIKE plain INCLUDING ALL) USING kyro;
INSERT INTO plain SELECT g, g % 1000, timestamptz '2026-01-01' + g * interval '1 second', 'text of some length ' || g FROM generate_series(1, $n) g;
INSERT INTO kept TABLE plain;
SELECT kyro.keep_history('kept', '1 day') \g /dev/null
CREATE TABLE measured (measure text, rows bigint, variant text, value float8);
-- seconds of processor time of this session so far
CREATE FUNCTION cpu() RETURNS float8 LANGUAGE sql VOLATILE AS \$\$
	SELECT (f[12]::float8 + f[13]::float8) / 100 FROM string_to_array(regexp_replace(pg_read_file('/proc/self/stat'), '^.*[)] ', ''), ' ') f
\$\$;
VACUUM ANALYZE plain, kept;
SQL

# One command as a session, microseconds a row; more rows than a tenth of the table are not changed at once.
change=$((n / 10))
measure() { # measure rows variant statement
  bench_psql <<SQL
SELECT cpu() AS before \g /dev/null
SELECT cpu() AS before \gset
$4 \g /dev/null
INSERT INTO measured SELECT '$1', $2, '$3', (cpu() - :before) * 1e6 / $2;
SQL
}
for ((round = 1; round <= rounds; round++)); do
  bench_psql -c "SELECT kyro.create_epoch('round $round')" >/dev/null
  for variant in plain kept; do
    measure 'UPDATE, us/row' "$change" $variant "UPDATE $variant SET n = n + 1 WHERE id % 10 = $((round % 10))"
    measure 'INSERT, us/row' "$change" $variant "INSERT INTO $variant SELECT g, 1, now(), 'new' FROM generate_series($n + 1 + $change * $round, $n + $change * ($round + 1)) g"
    measure 'DELETE, us/row' "$change" $variant "DELETE FROM $variant WHERE id > $n"
  done
  measure 'read, us/row of the table' "$n" plain "SELECT count(*) FROM (SELECT * FROM plain OFFSET 0) x"
  bench_psql -c "SELECT kyro.create_epoch('now $round')" >/dev/null
  measure 'read, us/row of the table' "$n" kept "SELECT count(*) FROM kyro.as_of(NULL::kept, 'now $round') x"
  if [ "$round" = 1 ]; then
    measure 'read behind that many changes, us/row of the table' "$n" plain "SELECT count(*) FROM (SELECT * FROM plain OFFSET 0) x"
    measure 'read behind that many changes, us/row of the table' "$n" kept "SELECT count(*) FROM kyro.as_of(NULL::kept, 'round 1') x"
  fi
  say "bench: round $round"
done
bench_psql <<'SQL'
INSERT INTO measured SELECT 'size of a change, bytes', count(*), 'kept', pg_total_relation_size('kept_changes')::float8 / count(*) FROM kept_changes;
SELECT kyro.snapshot('kept_changes') \g /dev/null
CALL kyro.compact('kept_changes');
INSERT INTO measured SELECT 'size of a sealed change, bytes', count(*), 'kept', pg_total_relation_size('kept_changes')::float8 / count(*) FROM kept_changes;
SQL
report="SELECT measure, rows, round(min(value) FILTER (WHERE variant = 'plain')::numeric, 2) AS plain, round(min(value) FILTER (WHERE variant = 'kept')::numeric, 2) AS history,
	round((min(value) FILTER (WHERE variant = 'kept') / min(value) FILTER (WHERE variant = 'plain'))::numeric, 2) AS ratio
	FROM (SELECT measure, rows, variant, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value FROM measured GROUP BY 1, 2, 3) m
	GROUP BY 1, 2 ORDER BY 1, 2"
bench_psql -c "$report"
if [ -n "$csv" ]; then
  say "# $command; load $load_before before, $(load) after; $(machine)" >>"$csv"
  bench_psql --csv -t -c "$report" >>"$csv"
fi
