#!/bin/bash
#
# events.sh [option...]
#   Measure event logs: kyro.append with a request_id against a plain INSERT into a
#   heap that has a primary key and a unique index on the same columns, by pgbench;
#   and how many events a second kyro.replay returns.  And calls by one session, in processor
#   time and without their commits: kyro.append, and the functions of key-value tables
#   against SQL on the same table.
#
#   -c CLIENTS  clients of pgbench (default "1 16")
#   -t SECONDS  of each run (default 10)
#   -r N        interleaved rounds, of which the median counts (default 3)
#   -n N        events to replay (default 1000000)
#   -O FILE     CSV, appended (default: none)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

clients="1 16" seconds=10 rounds=3 n=1000000 csv=""
command="bench/events.sh $*"
while getopts c:t:r:n:O: option; do
  case $option in
    c) clients=$OPTARG ;; t) seconds=$OPTARG ;; r) rounds=$OPTARG ;; n) n=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $seconds$rounds$n in *[!0-9]*) die "-t, -r and -n are numbers" ;; esac
[ -z "$csv" ] || csv_columns "$csv" "measure,clients,plain,log,ratio"

say "bench: $command; load $load_before"
bench_begin
bench_cluster 'max_connections = 100'
bench_psql -f "$SRC/bench/cpu.sql" -f - <<'SQL'
SELECT kyro.create_log('ev') \g /dev/null
SELECT kyro.create_kv('kv') \g /dev/null
INSERT INTO kv SELECT g, 'value ' || g FROM generate_series(1, 100000) g;
VACUUM ANALYZE kv;
CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
	key bigint, kind text, payload jsonb NOT NULL, request_id uuid UNIQUE);
CREATE TABLE measured (measure text, clients int, variant text, value float8);
-- n times a statement, as PL/pgSQL runs it, with i for a key
CREATE PROCEDURE measure(what text, kind text, n int, statement text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION run(n int) RETURNS void LANGUAGE plpgsql AS %L',
		format('DECLARE keys bigint[] := ARRAY(SELECT g * 97 %% 100000 FROM generate_series(1, 1000) g); o bigint; v text; b boolean; i bigint;
			BEGIN FOR j IN 1 .. n LOOP i := j * 7919::bigint %% 100000 + 1; %s; END LOOP; END', statement));
	PERFORM run(100);
	DECLARE
		begun float8 := bench.cpu();
	BEGIN
		PERFORM run(n);
		INSERT INTO measured VALUES (what || ', calls/s', 1, kind, n / (bench.cpu() - begun) * 1000);
	END;
END $$;
SQL
cat >"$W/plain.sql" <<'SQL'
INSERT INTO plain (payload, key, kind, request_id) VALUES ('{"item": 7, "text": "of some length"}', 5, 'kind', gen_random_uuid()) RETURNING id;
SQL
cat >"$W/log.sql" <<'SQL'
SELECT kyro.append('ev', '{"item": 7, "text": "of some length"}', 5, 'kind', gen_random_uuid());
SQL
chmod a+r "$W"/*.sql

for ((round = 1; round <= rounds; round++)); do
  for c in $clients; do
    for variant in plain log; do
      tps=$(as_server "$BIN/pgbench" -h "$W" -U postgres -n -M prepared -f "$W/$variant.sql" -c "$c" -j 1 -T "$seconds" postgres |
        sed -n 's/^tps = \([0-9.]*\).*/\1/p')
      bench_psql -c "INSERT INTO measured VALUES ('append, transactions/s', $c, '$variant', $tps)"
    done
  done
  say "bench: round $round: append"
done

for ((round = 1; round <= rounds; round++)); do
  bench_psql <<'SQL'
CALL measure('append once', 'plain', 20000, $$INSERT INTO plain (payload, key, kind, request_id)
	VALUES ('{"item": 7, "text": "of some length"}', 5, 'kind', gen_random_uuid()) RETURNING id INTO o$$);
CALL measure('append once', 'log', 20000, $$o := kyro.append('ev', '{"item": 7, "text": "of some length"}', 5, 'kind', gen_random_uuid())$$);
CALL measure('get', 'plain', 20000, 'SELECT value INTO v FROM kv WHERE key = i');
CALL measure('get', 'log', 20000, $$v := kyro.get('kv', i)$$);
CALL measure('exists', 'plain', 20000, 'b := EXISTS (SELECT FROM kv WHERE key = i)');
CALL measure('exists', 'log', 20000, $$b := kyro.exists('kv', i)$$);
CALL measure('put', 'plain', 20000, $$INSERT INTO kv AS t (key, value) VALUES (i, 'new') ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING t.changed_at INTO o$$);
CALL measure('put', 'log', 20000, $$o := kyro.put('kv', i, 'new')$$);
CALL measure('get 1,000 keys', 'plain', 200, 'PERFORM * FROM kv WHERE key = ANY (keys) ORDER BY key');
CALL measure('get 1,000 keys', 'log', 200, $$PERFORM * FROM kyro.get_many('kv', keys)$$);
CALL measure('scan 10 keys', 'plain', 20000, 'PERFORM * FROM kv WHERE key BETWEEN i AND i + 9 ORDER BY key');
CALL measure('scan 10 keys', 'log', 20000, $$PERFORM * FROM kyro.scan('kv', i, i + 9)$$);
SQL
  say "bench: round $round: calls"
done

# Events as they come, in one log; the heap is read in the same order, without the rule.
bench_psql <<SQL
TRUNCATE ev, plain;
INSERT INTO ev (payload, key, kind) SELECT jsonb_build_object('n', g), g % 1000, 'kind' FROM generate_series(1, $n) g;
INSERT INTO plain (payload, key, kind) SELECT jsonb_build_object('n', g), g % 1000, 'kind' FROM generate_series(1, $n) g;
VACUUM ANALYZE ev, plain;
SQL
for ((round = 1; round <= rounds; round++)); do
  bench_psql <<'SQL'
SELECT clock_timestamp() AS t \gset
SELECT count(*) AS n FROM kyro.replay('ev') \gset
INSERT INTO measured SELECT 'replay, events/s', 1, 'log', :n / extract(epoch FROM clock_timestamp() - :'t');
SELECT clock_timestamp() AS t \gset
SELECT count(*) AS n FROM (SELECT id, at, key, kind, payload, request_id FROM plain ORDER BY id OFFSET 0) p \gset
INSERT INTO measured SELECT 'replay, events/s', 1, 'plain', :n / extract(epoch FROM clock_timestamp() - :'t');
SQL
done

report="SELECT measure, clients, round(min(value) FILTER (WHERE variant = 'plain')) AS plain, round(min(value) FILTER (WHERE variant = 'log')) AS log,
	round((min(value) FILTER (WHERE variant = 'plain') / min(value) FILTER (WHERE variant = 'log'))::numeric, 2) AS ratio
	FROM (SELECT measure, clients, variant, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value FROM measured GROUP BY 1, 2, 3) m
	GROUP BY 1, 2 ORDER BY 1, 2"
bench_psql -c "$report"
if [ -n "$csv" ]; then
  say "# $command; load $load_before before, $(load) after; $(machine)" >>"$csv"
  bench_psql --csv -t -c "$report" >>"$csv"
fi
