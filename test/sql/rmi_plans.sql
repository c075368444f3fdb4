--
-- When the planner takes the index and when it does not, and what a probe
-- costs: one index buffer.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS kyrodb;
RESET client_min_messages;
CREATE SCHEMA plans;
SET search_path = plans, public;
SET max_parallel_workers_per_gather = 0;
SET statement_timeout = '60s';

CREATE TABLE p (k bigint, r bigint, v int, t timestamptz, pad text) WITH (autovacuum_enabled = off);
INSERT INTO p SELECT g, hashint8extended(g, 1), g % 100, timestamptz '2024-01-01 UTC' + g * interval '1 second', repeat('x', 60)
	FROM generate_series(1, 50000) g;
CREATE INDEX p_k ON p USING kyro_rmi (k);
CREATE INDEX p_r ON p USING kyro_rmi (r);
CREATE INDEX p_t ON p USING kyro_rmi (t);
CREATE INDEX p_v ON p USING kyro_rmi (v);
VACUUM ANALYZE p;

-- yes: a few rows, an order with a limit, ends, joins from a small side
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k = 5;
EXPLAIN (COSTS OFF) SELECT k FROM p WHERE k = 5;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k = 5::int2;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE 5 = k;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k IN (5, 6, 7);
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k BETWEEN 100 AND 200;
EXPLAIN (COSTS OFF) SELECT k FROM p WHERE k > 49990;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE r BETWEEN 0 AND 1000000000000000;
EXPLAIN (COSTS OFF) SELECT * FROM p ORDER BY k LIMIT 10;
EXPLAIN (COSTS OFF) SELECT * FROM p ORDER BY r DESC LIMIT 10;
-- without what some versions say of parameters
CREATE FUNCTION plan_of(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		RETURN NEXT regexp_replace(line, ' \(returns .*\)', '');
	END LOOP;
END $$;
SELECT * FROM plan_of('SELECT min(k), max(r) FROM p') AS plan;
EXPLAIN (COSTS OFF) SELECT k FROM p WHERE k IS NULL;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE t >= date '2024-01-01' AND t < timestamp '2024-01-01 00:10';
EXPLAIN (COSTS OFF) SELECT p.* FROM (VALUES (1), (20), (300)) x(i) JOIN p ON p.k = x.i;
EXPLAIN (COSTS OFF) SELECT count(*) FROM p WHERE v = 7 AND pad = 'y';
EXPLAIN (COSTS OFF) SELECT count(*) FROM p WHERE k < 200 OR r BETWEEN 0 AND 1000000000000000;

-- no: most of the table, a condition that is none of an integer, an order of something else
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k > 10;
EXPLAIN (COSTS OFF) SELECT * FROM p;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k <> 5;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k = 5.0;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k + 1 = 5;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE r > -8000000000000000000 AND pad = 'y';
EXPLAIN (COSTS OFF) SELECT * FROM p ORDER BY r;
EXPLAIN (COSTS OFF) SELECT * FROM p ORDER BY k NULLS FIRST LIMIT 10;
EXPLAIN (COSTS OFF) SELECT * FROM p a JOIN p b ON a.k = b.r;

-- sizes of ranges are estimated, from statistics that ANALYZE makes
CREATE FUNCTION estimate(q text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	j jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO j;
	RETURN (j -> 0 -> 'Plan' ->> 'Plan Rows')::bigint;
END $$;
SELECT estimate('SELECT * FROM p WHERE k BETWEEN 1001 AND 2000') BETWEEN 800 AND 1200 AS good;
SELECT estimate('SELECT * FROM p WHERE k = 77') AS one;

-- the index is taken beside a btree on another column, and for the same one it costs no more
CREATE TABLE both_kinds (k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO both_kinds SELECT g, 'x' FROM generate_series(1, 50000) g;
CREATE INDEX both_btree ON both_kinds (k);
CREATE INDEX both_kyro ON both_kinds USING kyro_rmi (k);
VACUUM ANALYZE both_kinds;
SELECT pg_relation_size('both_kyro') < pg_relation_size('both_btree') AS smaller;
EXPLAIN (COSTS OFF) SELECT * FROM both_kinds WHERE k = 5;
EXPLAIN (COSTS OFF) SELECT k FROM both_kinds WHERE k BETWEEN 5 AND 900;

-- a unique index: the planner knows that there is at most one row (joins that add nothing go away)
CREATE TABLE dim (k bigint, name text) WITH (autovacuum_enabled = off);
INSERT INTO dim SELECT g, 'n' || g FROM generate_series(1, 1000) g;
SET client_min_messages = error;
CREATE UNIQUE INDEX dim_k ON dim USING kyro_rmi (k);
RESET client_min_messages;
VACUUM ANALYZE dim;
SELECT count(*) FILTER (WHERE plan ~ 'Join|Loop|dim') = 0 AS only_one_table FROM plan_of('SELECT p.v FROM p LEFT JOIN dim ON dim.k = p.k') AS plan;

-- keys that grow: the planner looks at the true end of the index
CREATE TABLE growing (k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO growing SELECT g, 'x' FROM generate_series(1, 10000) g;
CREATE INDEX growing_k ON growing USING kyro_rmi (k);
ANALYZE growing;
INSERT INTO growing SELECT g, 'x' FROM generate_series(10001, 15000) g;
SELECT estimate('SELECT * FROM growing WHERE k > 10500') > 100 AS sees_the_end;

-- The number of index buffers that n probes touch.  Probes are random, through
-- a nested loop, index-only, on a table whose rows are all visible.
CREATE FUNCTION index_buffers(tbl text, idx text, n int, top bigint, OUT loops bigint, OUT hits bigint, OUT heap_fetches bigint, OUT buffers bigint)
LANGUAGE plpgsql AS $$
DECLARE
	j jsonb;
	s jsonb;
BEGIN
	EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON)
		SELECT count(x.k) FROM (SELECT (g * 7919) %% %s + 1 AS i FROM generate_series(1, %s) g OFFSET 0) v, LATERAL (SELECT k FROM %I WHERE k = v.i OFFSET 0) x',
		top, n, tbl) INTO j;
	s := jsonb_path_query_first(j, 'strict $.**?(@."Index Name" == $i)', jsonb_build_object('i', idx));
	loops := (s ->> 'Actual Loops')::bigint;
	hits := (jsonb_path_query_first(j, '$[0].Plan.Plans[0]') ->> 'Actual Rows')::numeric;
	heap_fetches := (s ->> 'Heap Fetches')::bigint;
	buffers := (s ->> 'Shared Hit Blocks')::bigint + (s ->> 'Shared Read Blocks')::bigint;
END $$;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_memoize = off;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
CREATE TABLE probe (k bigint) WITH (autovacuum_enabled = off);
INSERT INTO probe SELECT g * 3 FROM generate_series(1, 300000) g;
CREATE INDEX probe_k ON probe USING kyro_rmi (k);
VACUUM (FREEZE, ANALYZE) probe;
SELECT kyro.warmup('probe_k') = pg_relation_size('probe_k') / 8192 AS warm, leaves > 10 AS many_leaves FROM kyro.model('probe_k');
-- warm up the backend: it makes its own copy of the directory when that pays
SELECT loops FROM index_buffers('probe', 'probe_k', 5000, 900000);
-- With n more probes there are n more index buffers, one each.  An absent key
-- reads no row, so only the index; a present one also looks at the visibility
-- map, through a pin that the scan keeps: no buffer access counted per probe.
WITH b AS (SELECT (index_buffers('probe', 'probe_k', 1000, 900000)).* UNION ALL SELECT (index_buffers('probe', 'probe_k', 4000, 900000)).*)
SELECT max(loops) AS probes, sum(heap_fetches) AS heap_fetches, max(buffers) - min(buffers) <= 3000 + 10 AS one_each FROM b;
-- the same after inserts that split pages, once VACUUM has been
INSERT INTO probe SELECT g * 3 + 1 FROM generate_series(1, 300000, 7) g ORDER BY hashint8extended(g, 5);
VACUUM (FREEZE, ANALYZE) probe;
SELECT splits_since FROM kyro.model('probe_k');
SELECT loops FROM index_buffers('probe', 'probe_k', 5000, 900000);
WITH b AS (SELECT (index_buffers('probe', 'probe_k', 1000, 900000)).* UNION ALL SELECT (index_buffers('probe', 'probe_k', 4000, 900000)).*)
SELECT max(loops) AS probes, sum(heap_fetches) AS heap_fetches, max(buffers) - min(buffers) <= 3000 + 10 AS one_each FROM b;
-- ORDER BY k LIMIT 1 does not read more than a few pages either
DO $$
DECLARE
	j jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) SELECT k FROM probe ORDER BY k DESC LIMIT 1' INTO j;
	IF (j -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::int + (j -> 0 -> 'Plan' ->> 'Shared Read Blocks')::int > 5 THEN
		RAISE EXCEPTION 'too many buffers: %', j;
	END IF;
END $$;
