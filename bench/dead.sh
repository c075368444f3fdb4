#!/bin/bash
#
# dead.sh [option...]
#   Measure what dead rows cost whoever meets them, without VACUUM: kyro tables,
#   sealed, against heap tables, on a private cluster with a private copy of
#   PostgreSQL; README.md says what the columns mean.
#
#   -n N        rows (default 400000)
#   -r N        interleaved rounds, of which the median counts (default 3)
#   -O FILE     CSV, appended (default: none)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=400000 rounds=3 csv=""
command="bench/dead.sh $*"
while getopts n:r:O: option; do
  case $option in
    n) rows=$OPTARG ;; r) rounds=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $rows$rounds in *[!0-9]*) die "-n and -r are numbers" ;; esac
[ "$rows" -ge 10000 ] || die "-n is at least 10000"
[ -z "$csv" ] || csv_columns "$csv" "date,server,rows,what,index,metric,heap,kyro,unit,times_heap"

say "bench: $command"
say "bench: $rows rows, $rounds rounds; load $load_before"
say "bench: PostgreSQL and the extension, in a copy"
bench_begin
bench_cluster 'enable_seqscan = off' 'enable_bitmapscan = off' 'synchronous_commit = off'

run_psql() { bench_psql -A -t "$@" >/dev/null; }
run_psql -f "$SRC/bench/cpu.sql"
run_psql <<'SQL'
CREATE TABLE bench.result (what text, am text, index_am text, metric text, value float8, unit text, at timestamptz DEFAULT clock_timestamp());
-- Medians; times_heap is kyro / heap: the smaller, the better.
CREATE VIEW bench.report AS
	SELECT what, index_am AS index, metric, round(heap::numeric, 3) AS heap, round(kyro::numeric, 3) AS kyro, unit,
		   round((kyro / nullif(heap, 0))::numeric, 2) AS times_heap
	FROM (SELECT what, index_am, metric, unit, min(at) AS at,
				 percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE am = 'heap') AS heap,
				 percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE am = 'kyro') AS kyro
		  FROM bench.result GROUP BY 1, 2, 3, 4) medians
	ORDER BY at;

-- How many pages a statement asks for.
CREATE FUNCTION bench.explained(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ' || query INTO plan;
	RETURN (plan->0->'Plan'->>'Shared Hit Blocks')::bigint + (plan->0->'Plan'->>'Shared Read Blocks')::bigint;
END $$;

-- n transactions, of which each takes the first row of a queue.
CREATE PROCEDURE bench.dequeue(n int) LANGUAGE plpgsql AS $$
DECLARE
	first bigint;
BEGIN
	FOR i IN 1 .. n LOOP
		SELECT id INTO first FROM bench.t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
		DELETE FROM bench.t WHERE id = first;
		COMMIT;
	END LOOP;
END $$;
-- From `first` on, n transactions, of which each deletes the oldest rows.
CREATE PROCEDURE bench.retain(first int, step int, n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		DELETE FROM bench.t WHERE id <= first + step * i;
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE bench.make(am text, index_am text, n int) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE bench.t (id bigint, value text) USING %I', am);
	INSERT INTO bench.t SELECT g, md5(g::text) FROM generate_series(1, n) g;
	EXECUTE format('CREATE INDEX ON bench.t USING %I (id)', index_am);
	IF am = 'kyro' THEN
		PERFORM kyro.snapshot('bench.t');
	END IF;
END $$;
CREATE PROCEDURE bench.measure(am text, index_am text, n int) LANGUAGE plpgsql AS $$
DECLARE
	since float8;
	lsn pg_lsn;
	pages bigint;
	queue int := n / 10;
	step int := n / 100;
BEGIN
	CHECKPOINT;
	since := bench.cpu();
	lsn := pg_current_wal_insert_lsn();
	CALL bench.dequeue(queue);
	INSERT INTO bench.result VALUES ('queue', am, index_am, 'processor time', (bench.cpu() - since) * 1000 / queue, 'us/row'),
		('queue', am, index_am, 'WAL', (pg_current_wal_insert_lsn() - lsn) / queue, 'bytes/row');
	pages := bench.explained('SELECT id FROM bench.t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED');
	pages := pages + bench.explained(format('DELETE FROM bench.t WHERE id = %s', queue + 1));
	INSERT INTO bench.result VALUES ('queue', am, index_am, 'pages asked for by the last one', pages, 'pages');
	COMMIT;
	CHECKPOINT;
	since := bench.cpu();
	lsn := pg_current_wal_insert_lsn();
	CALL bench.retain(queue, step, 40);
	INSERT INTO bench.result VALUES ('removal of old rows', am, index_am, 'processor time', (bench.cpu() - since) * 1000 / (40 * step), 'us/row'),
		('removal of old rows', am, index_am, 'WAL', (pg_current_wal_insert_lsn() - lsn) / (40 * step), 'bytes/row');
	pages := bench.explained(format('DELETE FROM bench.t WHERE id <= %s', queue + 41 * step));
	INSERT INTO bench.result VALUES ('removal of old rows', am, index_am, 'pages asked for by the last one', pages::float8 / step, 'pages/row');
	COMMIT;
	since := bench.cpu();
	pages := bench.explained('SELECT min(id) FROM bench.t');
	INSERT INTO bench.result VALUES ('first of those left', am, index_am, 'the first time', (bench.cpu() - since) * 1000, 'us');
	PERFORM bench.explained('SELECT min(id) FROM bench.t');
	since := bench.cpu();
	FOR i IN 1 .. 10 LOOP
		pages := bench.explained('SELECT min(id) FROM bench.t');
	END LOOP;
	INSERT INTO bench.result VALUES ('first of those left', am, index_am, 'then', (bench.cpu() - since) * 100, 'us'),
		('first of those left', am, index_am, 'pages asked for', pages, 'pages');
	PERFORM set_config('enable_seqscan', 'on', false), set_config('enable_indexscan', 'off', false);
	PERFORM count(value) FROM bench.t;
	since := bench.cpu();
	PERFORM count(value) FROM bench.t;
	INSERT INTO bench.result VALUES ('first of those left', am, index_am, 'sequential scan', (bench.cpu() - since) * 1000, 'us');
	DROP TABLE bench.t;
	COMMIT;
END $$;
SQL

for ((round = 1; round <= rounds; round++)); do
  for index in btree kyro_rmi; do
    for am in heap kyro; do
      run_psql -c "CALL bench.make('$am', '$index', $rows)" -c "VACUUM ANALYZE bench.t" \
        -c "CALL bench.measure('$am', '$index', $rows)"
    done
  done
done
if [ -z "$csv" ]; then
  bench_psql -c "SELECT * FROM bench.report"
else
  append_report "$csv" "$command"
fi
