--
-- Row comparisons, as in pagination by key: the bound of the first column is
-- an index condition, as it is with a btree on that column.  A btree twin says
-- which plans and rows are right.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS kyrodb;
CREATE SCHEMA row_compare;
SET search_path = row_compare, public;
SET client_min_messages = notice;
SET max_parallel_workers_per_gather = 0;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';

-- duplicates, NULLs in either column, other types that compare with the first
CREATE TABLE kt (ts timestamptz, id bigint, d date, k int, pad text) WITH (autovacuum_enabled = off);
INSERT INTO kt SELECT timestamptz '2024-01-01' + (g / 3) * interval '1 minute', g, date '2024-01-01' + g / 4000, g / 5, repeat('x', 30)
	FROM generate_series(1, 40000) g;
INSERT INTO kt SELECT NULL, g, NULL, NULL, 'null first' FROM generate_series(1, 50) g;
INSERT INTO kt SELECT timestamptz '2024-01-10', NULL, date '2024-01-10', 3000, 'null second' FROM generate_series(1, 50) g;
CREATE TABLE bt (LIKE kt) WITH (autovacuum_enabled = off);
INSERT INTO bt SELECT * FROM kt;
CREATE INDEX kt_ts ON kt USING kyro_rmi (ts);
CREATE INDEX kt_d ON kt USING kyro_rmi (d);
CREATE INDEX kt_k ON kt USING kyro_rmi (k);
CREATE INDEX kt_part ON kt USING kyro_rmi (id) WHERE pad = 'null second';
CREATE INDEX kt_expr ON kt USING kyro_rmi ((id * 2));
CREATE INDEX bt_ts ON bt (ts);
CREATE INDEX bt_d ON bt (d);
CREATE INDEX bt_k ON bt (k);
CREATE INDEX bt_part ON bt (id) WHERE pad = 'null second';
CREATE INDEX bt_expr ON bt ((id * 2));
VACUUM ANALYZE kt;
VACUUM ANALYZE bt;

-- Runs a query on TWIN = bt and kt; shows the conditions of the plan, whether
-- a btree's plan is the same, how many rows, and whether they are.
CREATE FUNCTION twin(q text, OUT conditions text, OUT plan text, OUT rows bigint, OUT answer text) LANGUAGE plpgsql AS $$
DECLARE
	line text;
	tables text[] := ARRAY['kt', 'bt'];
	plans text[] := ARRAY['', ''];
	answers text[] := ARRAY['', ''];
	a text;
BEGIN
	FOR i IN 1 .. 2 LOOP
		FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || replace(q, 'TWIN', tables[i]) LOOP
			plans[i] := plans[i] || replace(line, tables[i], 'twin') || E'\n';
			IF i = 1 AND line ~ 'Index Cond' THEN
				conditions := concat_ws('; ', conditions, regexp_replace(regexp_replace(line, '.*Index Cond: ', ''), '\(InitPlan 1\)\.col1|\$0', 'parameter'));
			END IF;
		END LOOP;
		EXECUTE 'SELECT count(*), md5(string_agg(x::text, chr(10))) FROM (' || replace(q, 'TWIN', tables[i]) || ') x' INTO rows, a;
		answers[i] := coalesce(a, 'none');
	END LOOP;
	plan := CASE WHEN plans[1] = plans[2] THEN 'same' ELSE plans[1] || plans[2] END;
	answer := CASE WHEN answers[1] = answers[2] THEN 'same' ELSE 'differs' END;
END $$;

\x on
-- pages forward and back, from either side
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) > ('2024-01-06 12:00', 23761) ORDER BY ts, id LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) >= ('2024-01-06 12:00', 23761) ORDER BY ts, id LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) < ('2024-01-06 12:00', 23761) ORDER BY ts DESC, id DESC LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) <= ('2024-01-06 12:00', 23761) ORDER BY ts DESC, id DESC LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (timestamptz '2024-01-06 12:00', 23761) < (ts, id) ORDER BY ts, id LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) > ('2024-01-06 12:00', 23761) AND ts < '2024-01-06 13:00' ORDER BY ts, id$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id, pad) > ('2024-01-06 12:00', 23761, 'a') AND (ts, id) < ('2024-01-06 14:00', 24000) ORDER BY ts, id, pad$$);
-- NULLs in the rows, and on the other side
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) >= ('2024-01-10', 5) AND ts <= '2024-01-10' ORDER BY ts, id, pad$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) > ('2024-01-09 23:00', NULL) AND ts < '2024-01-10 01:00' ORDER BY ts, id, pad$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) > (NULL, 5) ORDER BY ts, id, pad$$);
-- other types of the family, expressions, partial indexes
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (ts, id) > (date '2024-01-10', 23761) ORDER BY ts, id LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (d, id) > (timestamptz '2024-01-10 12:00', 23761) AND d < timestamp '2024-01-11 12:00' ORDER BY d, id, pad$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (k, id) > (7000::bigint, 35000) ORDER BY k, id LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (k, pad) < (5::smallint, 'a') ORDER BY k DESC, pad, id LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (id * 2, pad) > (79000, 'a') ORDER BY id * 2, pad LIMIT 20$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (id, k) > (5, 5) AND pad = 'null second' ORDER BY id, k LIMIT 20$$);
-- under OR, in a bitmap, in a join, from outside
SELECT * FROM twin($$SELECT count(*) FROM TWIN WHERE (ts, id) < ('2024-01-01 00:20', 1000) OR (k, id) > (7990, 0)$$);
SELECT * FROM twin($$SELECT o.k AS ok, i.* FROM (VALUES (30, 5), (500, 9), (7999, 0)) o(k, id), LATERAL (SELECT * FROM TWIN WHERE (TWIN.k, TWIN.id) > (o.k, o.id) ORDER BY k, id LIMIT 3) i$$);
SELECT * FROM twin($$SELECT count(*) FROM (VALUES (30, 5), (500, 9), (7999, 0)) o(k, id) JOIN TWIN ON (TWIN.k, TWIN.id) >= (o.k, o.id) AND TWIN.k <= o.k + 1$$);
SELECT * FROM twin($$SELECT * FROM TWIN WHERE (k, id) > (SELECT 7000, 35000) ORDER BY k, id LIMIT 20$$);
-- nothing to derive: the column comes second, or on both sides
SELECT * FROM twin($$SELECT count(*) FROM TWIN WHERE (pad, k) > ('n', 5)$$);
SELECT * FROM twin($$SELECT count(*) FROM TWIN WHERE (k, id) > (k, 39990)$$);
SELECT * FROM twin($$SELECT count(*) FROM TWIN WHERE (k, id) IS DISTINCT FROM (5, 25) AND (k, id) <> (6, 30)$$);
-- the rest of a page that ends in the middle of a key is read again, and no more
\x off
CREATE FUNCTION buffers(q text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	j jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || q INTO j;
	RETURN (j -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (j -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END $$;
SELECT buffers($$SELECT * FROM kt WHERE (ts, id) > ('2024-01-06 12:00', 23761) ORDER BY ts, id LIMIT 20$$) <=
	   buffers($$SELECT * FROM bt WHERE (ts, id) > ('2024-01-06 12:00', 23761) ORDER BY ts, id LIMIT 20$$) + 2 AS as_cheap;

-- A second column that is the index's as well: no bound, since nobody could scan by both; the answer is right.
SELECT count(*) FROM kt WHERE (k, k) > (7990, 5);
SELECT count(*) FROM kt WHERE (k, id, k) > (7990, 5, 7);
SELECT count(*) FROM (SELECT k AS a, k AS b, id FROM kt UNION ALL SELECT k, id::int, id FROM kt) u WHERE (a, b) > (7990, 7995);

-- the selectivity of the comparison counts once
CREATE FUNCTION estimate(q text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	j jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO j;
	RETURN (j -> 0 -> 'Plan' ->> 'Plan Rows')::bigint;
END $$;
SELECT abs(estimate(q) - estimate(replace(q, 'kt', 'bt'))) < 200 AS as_btree, estimate(q) BETWEEN 1500 AND 2500 AS good
	FROM (VALUES ($$SELECT * FROM kt WHERE (k, id) > (7600, 38000)$$)) v(q);

-- prepared statements, of either kind
SET plan_cache_mode = force_generic_plan;
PREPARE page(timestamptz, bigint) AS SELECT ts, id FROM kt WHERE (ts, id) > ($1, $2) ORDER BY ts, id LIMIT 4;
EXPLAIN (COSTS OFF) EXECUTE page('2024-01-06 12:00', 23761);
EXECUTE page('2024-01-06 12:00', 23761);
EXECUTE page('2024-01-10', NULL);
EXECUTE page(NULL, NULL);
RESET plan_cache_mode;
EXECUTE page('2024-01-06 12:00', 23761);

-- partitions and children: each by its own index
CREATE FUNCTION conditions_of(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		IF line ~ 'Index' THEN
			RETURN NEXT trim(line);
		END IF;
	END LOOP;
END $$;
CREATE TABLE pt (ts timestamptz, id bigint) PARTITION BY RANGE (ts);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (MINVALUE) TO ('2024-01-06');
CREATE TABLE pt2 (id bigint, ts timestamptz);
ALTER TABLE pt ATTACH PARTITION pt2 FOR VALUES FROM ('2024-01-06') TO (MAXVALUE);
INSERT INTO pt SELECT ts, id FROM kt WHERE ts IS NOT NULL;
CREATE INDEX ON pt USING kyro_rmi (ts);
ANALYZE pt;
SELECT plan_line FROM conditions_of('SELECT * FROM pt WHERE (ts, id) > (''2024-01-05 23:58'', 21594) ORDER BY ts, id LIMIT 10') plan_line WHERE plan_line ~ 'Cond';
SELECT * FROM pt WHERE (ts, id) > ('2024-01-05 23:58', 21594) ORDER BY ts, id LIMIT 10;
CREATE TABLE parent (k int, id bigint);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent SELECT g, g FROM generate_series(1, 5000) g;
INSERT INTO child SELECT g, -g FROM generate_series(1, 5000) g;
CREATE INDEX parent_k ON parent USING kyro_rmi (k);
CREATE INDEX child_k ON child (k);
ANALYZE parent, child;
EXPLAIN (COSTS OFF) SELECT * FROM parent WHERE (k, id) > (2500, 0) ORDER BY k, id LIMIT 3;
SELECT * FROM parent WHERE (k, id) > (2500, 0) ORDER BY k, id LIMIT 3;

-- in parallel
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM kt WHERE (k, id) > (1000, 5000);
SELECT count(*) FROM kt WHERE (k, id) > (1000, 5000);
SELECT count(*) FROM bt WHERE (k, id) > (1000, 5000);
