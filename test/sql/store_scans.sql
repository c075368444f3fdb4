--
-- Plans of all kinds on kyro tables: index-only scans without heap fetches, bitmaps exact
-- and lossy, parallel workers, prepared statements, rescans.
--
\set schema store_scans
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set explained :tests /lib/explained.psql
\set ECHO none
\i :lib
\i :explained
\set ECHO all
-- Heap fetches of an index-only scan, or what the plan is instead.
CREATE FUNCTION store_scans.fetches(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	j jsonb;
BEGIN
	SET LOCAL enable_seqscan = off;
	SET LOCAL enable_bitmapscan = off;
	SET LOCAL max_parallel_workers_per_gather = 0;
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q INTO j;
	RETURN coalesce(jsonb_path_query_first(j, '$.**?(@."Node Type" == "Index Only Scan")."Heap Fetches"')::text, j::text);
END $$;
-- The sum of a key over a plan: 'Exact Heap Blocks', 'Lossy Heap Blocks'.
CREATE FUNCTION store_scans.plan_sum(q text, key text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	j jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q INTO j;
	RETURN (SELECT sum((v ->> key)::bigint) FROM jsonb_path_query(j, 'strict $.**?(@."Node Type" != "")') v);
END $$;

-- index-only scans: none of the heap is read once VACUUM has seen it, sealed or not
SELECT twin('CREATE TABLE t (id int PRIMARY KEY, k bigint, n int, v text) WITH (autovacuum_enabled = off)');
SELECT twin('INSERT INTO t SELECT g, g * 3, g % 1000, ''v'' || g FROM generate_series(1, 20000) g');
SELECT twin('CREATE INDEX t_k ON t USING kyro_rmi (k)');
SELECT seal('t');
VACUUM (INDEX_CLEANUP ON) t;
SELECT fetches('SELECT id FROM t WHERE id BETWEEN 100 AND 15000'), fetches('SELECT k FROM t WHERE k BETWEEN 100 AND 15000'), fetches('SELECT count(*) FROM t');
SELECT explained('SELECT k FROM t WHERE k BETWEEN 100 AND 1000');
-- rows of touched pages are looked at, and are right
SELECT twin('DELETE FROM t WHERE id BETWEEN 5000 AND 5009');
SELECT fetches('SELECT id FROM t WHERE id BETWEEN 100 AND 4000'), fetches('SELECT id FROM t WHERE id BETWEEN 4990 AND 5010') <> '0' AS looked;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT twin('SELECT id FROM t WHERE id BETWEEN 4998 AND 5012');
SELECT twin('SELECT k FROM t WHERE k BETWEEN 14994 AND 15036');
SELECT twin('SELECT count(*) FROM t WHERE id > 0');
BEGIN;
SELECT twin('DELETE FROM t WHERE id BETWEEN 6000 AND 6009');
SELECT twin('SELECT count(*) FROM t WHERE id > 0');
ROLLBACK;
SELECT twin('SELECT count(*) FROM t WHERE id > 0');
BEGIN;
SELECT twin('SELECT count(*) FROM (SELECT FROM t WHERE id BETWEEN 7000 AND 7009 FOR UPDATE) s');
COMMIT;
SELECT twin('SELECT count(*) FROM t WHERE id > 0');
-- a seal brings rows to new pages, which VACUUM has not seen
SELECT twin('UPDATE t SET v = ''new'' WHERE id % 1000 = 0');
SELECT seal('t');
SELECT twin('SELECT count(*), sum(id) FROM t WHERE id > 0');
RESET enable_seqscan;
RESET enable_bitmapscan;
VACUUM (INDEX_CLEANUP ON) t;
SELECT fetches('SELECT id FROM t WHERE id BETWEEN 19350 AND 19650'), fetches('SELECT id FROM t WHERE id = 20000');
SELECT same('t');
-- plans know what VACUUM and ANALYZE know: an index-only scan without being told
VACUUM ANALYZE t;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE id BETWEEN 100 AND 200;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE k = 300;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE n = 3;

-- bitmaps: of all pages, too many to remember each row of
SELECT twin('CREATE TABLE w (id int, n int, pad text) WITH (autovacuum_enabled = off)');
SELECT twin('ALTER TABLE w ALTER pad SET STORAGE PLAIN');
SELECT twin('INSERT INTO w SELECT g, g % 100, repeat(''p'', 3600) FROM generate_series(1, 2600) g');
SELECT twin('CREATE INDEX w_id ON w (id)');
SELECT twin('CREATE INDEX w_n ON w (n)');
SELECT seal('w', 2300);
SELECT twin('UPDATE w SET n = n + 1 WHERE id % 10 = 7');
SELECT twin('DELETE FROM w WHERE id % 10 = 8');
SET enable_seqscan = off;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET max_parallel_workers_per_gather = 0;
SELECT plan_sum('SELECT * FROM w WHERE id > 0', 'Lossy Heap Blocks') AS lossy, plan_sum('SELECT * FROM w WHERE id > 0', 'Exact Heap Blocks') > 1100 AS exact;
SELECT twin('SELECT count(*), sum(id), sum(n) FROM w WHERE id > 0');
SELECT twin('SELECT count(*), sum(id) FROM w WHERE n = 8 AND id BETWEEN 100 AND 2500');
SELECT twin('SELECT count(*), sum(id) FROM w WHERE n IN (7, 8) OR id < 300');
SET work_mem = '64kB';
SELECT plan_sum('SELECT * FROM w WHERE id > 0', 'Lossy Heap Blocks') > 100 AS lossy;
SELECT twin('SELECT count(*), sum(id), sum(n) FROM w WHERE id > 0');
SELECT twin('SELECT count(*), sum(id), sum(n) FROM w WHERE id > 10 AND n BETWEEN 7 AND 97');
SELECT twin('SELECT count(*), sum(id) FROM w WHERE n > 5 OR id BETWEEN 100 AND 2500');
-- ahead of the page that is read, not at all, and far; scans that are left in the middle and begun again
SET effective_io_concurrency = 0;
SELECT twin('SELECT count(*), sum(id), sum(n) FROM w WHERE id > 0');
SET effective_io_concurrency = 3;
SELECT twin('SELECT count(*), sum(id), sum(n) FROM w WHERE id > 0');
SET effective_io_concurrency = 1000;
SELECT twin('SELECT count(*), sum(id), sum(n) FROM w WHERE id > 0');
SELECT twin('SELECT v.i, x.c FROM (VALUES (2), (700), (2000), (2590), (1)) v(i), LATERAL (SELECT count(*) AS c FROM (SELECT FROM w WHERE id >= v.i AND n > 1 LIMIT 3) y) x');
SELECT twin('SELECT v.i, (SELECT count(*) FROM w WHERE id > v.i AND n > 5) FROM (VALUES (2), (700), (2000), (2590), (1)) v(i)');
RESET effective_io_concurrency;
-- by workers that share the bitmap
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;
SET cpu_operator_cost = 1;
ALTER TABLE w SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT count(*), sum(id) FROM w WHERE id > 10 AND length(pad) > 1;
SELECT twin('SELECT count(*), sum(id) FROM w WHERE id > 10 AND length(pad) > 1');
RESET work_mem;
SELECT twin('SELECT count(*), sum(id) FROM w WHERE id > 10 AND length(pad) > 1');

RESET cpu_operator_cost;
-- parallel scans of other kinds
RESET enable_seqscan;
SET enable_bitmapscan = off;
ALTER TABLE t SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT count(*), sum(n) FROM t;
SELECT twin('SELECT count(*), sum(n) FROM t');
SELECT twin('SELECT count(*), sum(id) FROM t WHERE v LIKE ''%7''');
SELECT twin('SELECT count(*) FROM t JOIN w USING (id) WHERE t.v <> w.pad');
SELECT twin('SELECT n, count(*) FROM t WHERE n < 3 GROUP BY n ORDER BY n');
SET parallel_leader_participation = off;
SELECT twin('SELECT count(*), sum(n), sum(hashtext(v)::bigint) FROM t');
BEGIN;
SELECT twin('UPDATE t SET n = -1 WHERE id % 50 = 0');
SELECT twin('INSERT INTO t SELECT 20000 + g, -g, 5, ''own'' FROM generate_series(1, 100) g');
SELECT twin('SELECT count(*), sum(n), sum(hashtext(v)::bigint) FROM t');
SELECT seal('t');
SELECT twin('SELECT count(*), sum(n), sum(hashtext(v)::bigint) FROM t');
SELECT twin('DELETE FROM t WHERE id > 20050');
SELECT twin('SELECT count(*), sum(n), sum(hashtext(v)::bigint) FROM t');
COMMIT;
SELECT twin('SELECT count(*), sum(n), sum(hashtext(v)::bigint) FROM t');
RESET enable_indexscan;
RESET enable_indexonlyscan;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*), sum(n) FROM t WHERE id > 100;
SELECT twin('SELECT count(*), sum(n) FROM t WHERE id > 100');
SELECT twin('SELECT count(*) FROM t WHERE id > 100');
SELECT twin('SELECT count(*), sum(length(v)) FROM t WHERE k > 100');
SELECT twin('CREATE TABLE pctas AS SELECT id, n FROM t WHERE n <> 3');
SELECT same('pctas');
RESET parallel_leader_participation;
RESET max_parallel_workers_per_gather;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- scans that start again, with other keys and with the same; LATERAL, subqueries, joins of all kinds
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SET enable_memoize = off;
SELECT twin('SELECT sum(s.n) FROM generate_series(1, 40) g, LATERAL (SELECT count(*) AS n FROM t WHERE n = g % 3 AND id > g) s');
SELECT twin('SELECT count(*), sum(b.id) FROM generate_series(1, 300) g JOIN t b ON b.id = g * 7');
SELECT twin('SELECT count(*) FROM (SELECT * FROM w WHERE id < 15) a, (SELECT * FROM w WHERE id % 500 = 1) b');
SELECT twin('SELECT count(*) FROM t a WHERE id < 50 AND EXISTS (SELECT FROM t b WHERE b.k = a.k * 2) AND NOT EXISTS (SELECT FROM t c WHERE c.id = a.id + 5000)');
RESET enable_hashjoin;
SELECT twin('SELECT count(*) FROM t a JOIN t b USING (k) WHERE a.n = b.n');
RESET enable_mergejoin;
SET enable_hashjoin = off;
SELECT twin('SELECT count(*) FROM t a JOIN t b USING (id) FULL JOIN w USING (id)');
RESET enable_hashjoin;
RESET enable_material;
RESET enable_memoize;
-- several scans side by side, stopped early
SELECT twin('SELECT count(*) FROM (SELECT id FROM t LIMIT 3000) a');
SELECT (SELECT count(*) FROM (SELECT FROM t LIMIT 100) a) + (SELECT count(*) FROM (SELECT FROM t LIMIT 5000) a) AS rows;
SELECT twin('SELECT count(*) FROM (SELECT id FROM t UNION ALL SELECT id FROM w UNION ALL SELECT -id FROM t) s');
-- prepared, with plans of both kinds, across a seal
PREPARE one(int) AS SELECT id, n, v FROM t WHERE id = $1;
PREPARE many(int) AS SELECT count(*), sum(id) FROM t WHERE n = $1;
PREPARE upd(int, int) AS UPDATE t SET n = $2 WHERE id = $1 RETURNING id, n;
EXECUTE one(50);
EXECUTE many(5);
SET plan_cache_mode = force_generic_plan;
EXECUTE one(50);
EXECUTE upd(50, 51);
SELECT seal('t') > 0 AS some;
EXECUTE one(50);
EXECUTE many(51);
EXECUTE upd(50, 5);
EXECUTE one(50);
RESET plan_cache_mode;
EXECUTE upd(50, -1);
EXECUTE many(5);
SELECT same('t');
-- more rows than a table that is scanned in step with others, in any order
SET synchronize_seqscans = off;
SELECT twin('SELECT count(*), sum(id) FROM w');
RESET synchronize_seqscans;
SELECT r AS rel, v.* FROM unnest(ARRAY['t', 'w', 'pctas']) r, kyro.verify(r::regclass, true) v;
