#!/bin/bash
#
# keys.sh [option...]
#   Measure a table whose only index is that of its primary key, a btree or
#   kyro_rmi: look-ups by key, the check of a foreign key, upserts, new rows, and the
#   memory and disk that the key takes, on a private cluster with a private copy of
#   PostgreSQL; README.md says what the columns mean.
#
#   -n N        rows (default 10000000)
#   -p N        rows per measurement (default 200000)
#   -r N        interleaved rounds, of which the median counts (default 5)
#   -O FILE     CSV, appended (default: none)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=10000000 probes=200000 rounds=5 csv=""
command="bench/keys.sh $*"
while getopts n:p:r:O: option; do
  case $option in
    n) rows=$OPTARG ;; p) probes=$OPTARG ;; r) rounds=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $rows$probes$rounds in *[!0-9]*) die "-n, -p and -r are numbers" ;; esac
if [ "$probes" -lt 1000 ] || [ "$rows" -lt "$probes" ]; then die "-p is at least 1000, and -n no less"; fi
[ -z "$csv" ] || csv_columns "$csv" "date,server,rows,measure,unit,btree,kyro_rmi,ratio"

say "bench: $command"
say "bench: $rows rows, $probes a measurement, $rounds rounds; load $load_before"
say "bench: PostgreSQL and the extension, in a copy"
bench_begin
bench_cluster 'enable_seqscan = off' 'enable_bitmapscan = off' 'synchronous_commit = off' 'max_wal_size = 16GB'

run_psql() { bench_psql -A -t "$@" >/dev/null; }
run_psql -f "$SRC/bench/cpu.sql"
run_psql -v rows="$rows" -v probes="$probes" <<'SQL'
CREATE EXTENSION pg_buffercache;
CREATE TABLE bench.result (measure text, method text, value float8, unit text, at timestamptz DEFAULT clock_timestamp());
-- Medians; ratio is btree / kyro_rmi: above 1, kyro_rmi is faster or smaller.
CREATE VIEW bench.report AS
	SELECT :rows AS rows, measure, unit, round(btree::numeric, 3) AS btree, round(kyro_rmi::numeric, 3) AS kyro_rmi,
		   round((btree / nullif(kyro_rmi, 0))::numeric, 2) AS ratio
	FROM (SELECT measure, unit, min(at) AS at,
				 percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE method = 'btree') AS btree,
				 percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE method = 'kyro_rmi') AS kyro_rmi
		  FROM bench.result GROUP BY 1, 2) medians
	ORDER BY at;

CREATE TABLE bench.list (i int, id bigint);
CREATE TABLE bench.free (ref bigint);	-- what a row costs without a foreign key
-- The tables of a method, named after it, from the same rows.
CREATE PROCEDURE bench.make(method text, n int) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('kyro.constraint_index_method', method, false);
	EXECUTE format('CREATE TABLE bench.t_%1$s (id bigint PRIMARY KEY, v int, pad text) WITH (fillfactor = 90);
		INSERT INTO bench.t_%1$s SELECT g, 0, ''a row of some length'' FROM generate_series(1, %2$s) g;
		CREATE TABLE bench.child_%1$s (ref bigint REFERENCES bench.t_%1$s);', method, n);
END $$;
CALL bench.make('btree', :rows);
CALL bench.make('kyro_rmi', :rows);

CREATE PROCEDURE bench.timed(what text, method text, n int, statement text) LANGUAGE plpgsql AS $$
DECLARE
	since float8 := bench.cpu();
BEGIN
	EXECUTE replace(statement, '@', method);
	INSERT INTO bench.result VALUES (what, method, (bench.cpu() - since) * 1000 / n, 'us/row');
	COMMIT;
END $$;
-- Single rows as a client would send them, but without the client: plans are kept.
CREATE PROCEDURE bench.measure(method text, n int) LANGUAGE plpgsql AS $$
BEGIN
	CALL bench.timed('look-up by key', method, n, 'DO $d$ DECLARE x bigint; r record; BEGIN
		FOR r IN SELECT id FROM bench.list ORDER BY i LOOP SELECT v INTO x FROM bench.t_@ WHERE id = r.id; END LOOP; END $d$');
	CALL bench.timed('insert of a row that refers to a key', method, n, 'INSERT INTO bench.child_@ SELECT id FROM bench.list ORDER BY i');
	CALL bench.timed('insert of a row without a foreign key', method, n, 'INSERT INTO bench.free SELECT id FROM bench.list ORDER BY i');
	CALL bench.timed('upsert, the key is there', method, n, 'INSERT INTO bench.t_@ SELECT id, 1, '''' FROM bench.list ORDER BY i ON CONFLICT (id) DO UPDATE SET v = t_@.v + 1');
	CALL bench.timed('ON CONFLICT DO NOTHING, the key is there', method, n, 'INSERT INTO bench.t_@ SELECT id, 1, '''' FROM bench.list ORDER BY i ON CONFLICT (id) DO NOTHING');
	CALL bench.timed('upsert, the key is new', method, n, format('INSERT INTO bench.t_@ SELECT (SELECT max(id) FROM bench.t_@) + g, 1, '''' FROM generate_series(1, %s) g ON CONFLICT (id) DO UPDATE SET v = t_@.v + 1', n));
END $$;
SQL
run_psql -c "VACUUM ANALYZE bench.t_btree, bench.t_kyro_rmi"
run_psql -c "INSERT INTO bench.result SELECT m.what, a.amname, m.bytes / 1048576.0, 'MB'
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam,
    LATERAL (VALUES ('index of the key, on disk', pg_relation_size(i.indexrelid)), ('table and index, on disk', pg_total_relation_size(i.indrelid))) m (what, bytes)
  WHERE i.indrelid IN ('bench.t_btree'::regclass, 'bench.t_kyro_rmi'::regclass) AND i.indisprimary"

for ((round = 1; round <= rounds; round++)); do
  run_psql -c "TRUNCATE bench.list, bench.free, bench.child_btree, bench.child_kyro_rmi" -c "SELECT setseed($round / 100.0)" \
    -c "INSERT INTO bench.list SELECT g, (random() * ($rows - 1))::bigint + 1 FROM (SELECT generate_series(1, $probes)) x(g)" -c "DELETE FROM bench.list a USING bench.list b WHERE a.id = b.id AND a.i > b.i" \
    -c "VACUUM ANALYZE bench.list" -c CHECKPOINT
  n=$(bench_psql -A -t -c "SELECT count(*) FROM bench.list")
  # the pages of the index that look-ups of these keys bring into memory
  if [ "$round" = 1 ]; then
    stop_server
    start_server
    for method in btree kyro_rmi; do
      run_psql -c "SELECT count(t.v) FROM bench.list l JOIN bench.t_$method t ON t.id = l.id"
      run_psql -c "INSERT INTO bench.result SELECT 'index of the key, in memory after ' || $n || ' look-ups', '$method', count(*) / 128.0, 'MB'
        FROM pg_buffercache WHERE relfilenode = pg_relation_filenode('bench.t_${method}_pkey') AND reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
    done
  fi
  # each goes first every other time
  if [ $((round % 2)) = 1 ]; then order="btree kyro_rmi"; else order="kyro_rmi btree"; fi
  for method in $order; do
    run_psql -c "CALL bench.measure('$method', $n)"
  done
done
problems=$(bench_psql -A -t -c "SELECT count(*) FROM kyro.verify('bench.t_kyro_rmi_pkey', deep => true)")
[ "$problems" = 0 ] || die "kyro.verify found $problems problems"
if [ -z "$csv" ]; then
  bench_psql -c "SELECT * FROM bench.report"
else
  append_report "$csv" "$command"
fi
