-- The kyro table as scripts see it: what kyro.snapshot answers, what the views
-- say of a table and its runs, who sees it.  Not in one transaction: rows that
-- an open one deleted would still count as alive.
SELECT no_plan();
SET client_min_messages = error;

SELECT has_function('kyro', 'snapshot', ARRAY['regclass', 'bigint']);
SELECT is((SELECT pg_get_function_arg_default('kyro.snapshot'::regproc, 2)), 'NULL::bigint', 'all rows are sealed unless told otherwise');
SELECT is((SELECT amhandler::regprocedure::text FROM pg_am WHERE amname = 'kyro'), 'kyro.kyro_table_handler(internal)', 'handler of access method kyro');
SELECT isnt(coalesce(obj_description(oid, 'pg_am'), ''), '', 'comment on access method kyro') FROM pg_am WHERE amname = 'kyro';

-- one table through its life
CREATE TABLE public.kv (key bigint PRIMARY KEY, value text) USING kyro;
CREATE INDEX kv_rmi ON public.kv USING kyro_rmi (key);
SELECT results_eq('SELECT run IS NULL, rows, pages, bytes FROM kyro.snapshot(''public.kv'')', $$VALUES (true, 0::bigint, 0::bigint, 0::bigint)$$, 'nothing to seal');
SELECT results_eq('SELECT runs, sealed_rows, live_rows, touched_rows FROM kyro.stat_tables WHERE relid = ''public.kv''::regclass',
	$$VALUES (0::bigint, 0::bigint, 0::bigint, 0::bigint)$$, 'stat_tables of a table without runs');
SELECT is_empty('SELECT * FROM kyro.stat_runs WHERE relid = ''public.kv''::regclass', 'stat_runs of a table without runs');
INSERT INTO public.kv SELECT g, repeat('v', 32) FROM generate_series(1, 5000) g;
CREATE TEMP TABLE sealed AS SELECT * FROM kyro.snapshot(tbl => 'public.kv', max_rows => 3000);
SELECT is((SELECT rows FROM sealed), 3000::bigint, 'max_rows rows are sealed');
SELECT ok((SELECT pages > 0 AND bytes = pages * current_setting('block_size')::bigint AND duration >= '0' FROM sealed), 'pages, bytes and duration of a run');
INSERT INTO sealed SELECT * FROM kyro.snapshot('public.kv');
SELECT results_eq('SELECT rows FROM sealed ORDER BY rows', 'VALUES (2000::bigint), (3000::bigint)', 'then the rest');
SELECT is((SELECT count(DISTINCT run) FROM sealed), 2::bigint, 'each run has a name of its own');
SELECT results_eq('SELECT run, rows, schemaname, relname FROM kyro.stat_runs WHERE relid = ''public.kv''::regclass ORDER BY rows',
	'SELECT run, rows, ''public''::name, ''kv''::name FROM sealed ORDER BY rows', 'stat_runs lists the runs that snapshot made');
SELECT ok(bool_and(live_rows = rows AND touched_rows = 0 AND pages > 0 AND bytes > row_bytes AND sealed_at <= clock_timestamp() AND duration >= '0'), 'stat_runs: untouched runs')
	FROM kyro.stat_runs WHERE relid = 'public.kv'::regclass;
UPDATE public.kv SET value = 'new' WHERE key <= 10;
DELETE FROM public.kv WHERE key BETWEEN 11 AND 15 OR key > 4998;
SELECT results_eq('SELECT runs, sealed_rows, live_rows, touched_rows FROM kyro.stat_tables WHERE relid = ''public.kv''::regclass',
	$$VALUES (2::bigint, 5000::bigint, 4983::bigint, 17::bigint)$$, 'stat_tables: rows that were changed or deleted are touched, and no longer alive in a run');
SELECT results_eq('SELECT live_rows, touched_rows FROM kyro.stat_runs WHERE relid = ''public.kv''::regclass ORDER BY rows',
	$$VALUES (1998::bigint, 2::bigint), (2985::bigint, 15::bigint)$$, 'stat_runs: likewise, run by run');
SELECT is((SELECT count(*) FROM (SELECT FROM public.kv WHERE key BETWEEN 101 AND 110 FOR SHARE) s), 10::bigint, 'ten rows are locked');
SELECT is((SELECT live_rows FROM kyro.stat_tables WHERE relid = 'public.kv'::regclass), 4983::bigint, 'rows that are locked live');
SELECT is((SELECT touched_rows FROM kyro.stat_tables WHERE relid = 'public.kv'::regclass), 27::bigint, 'and are touched');
SELECT ok(size = pg_relation_size(relid) AND sealed_bytes > 0 AND sealed_bytes < size AND last_seal <= clock_timestamp(), 'sizes and times of stat_tables')
	FROM kyro.stat_tables WHERE relid = 'public.kv'::regclass;
SELECT is((SELECT count(*) FROM kyro.stat_tables WHERE relid = 'public.kv'::regclass), 1::bigint, 'a row for each table');
SELECT is_empty('SELECT * FROM kyro.verify(rel => ''public.kv'', deep => true)', 'verify by names');
SELECT ok((SELECT kyro.warmup('public.kv') > 0), 'warmup counts pages');
SELECT is((SELECT count(*) FROM public.kv), 4993::bigint, 'rows of the table');
-- a seal that is undone
BEGIN;
SELECT rows AS undone FROM kyro.snapshot('public.kv') \gset
ROLLBACK;
SELECT is(:undone::bigint, 10::bigint, 'new versions were sealed');
SELECT is((SELECT count(*) FROM public.kv), 4993::bigint, 'rows after a seal that was undone');
SELECT is((SELECT sealed_rows FROM kyro.stat_tables WHERE relid = 'public.kv'::regclass), 5000::bigint, 'its rows are not counted as sealed');
SELECT is_empty('SELECT * FROM kyro.verify(''public.kv'', true)', 'and the table is sound');
-- errors, with codes that scripts may rely on
SELECT throws_ok('SELECT kyro.snapshot(''pg_catalog.pg_class'')', '42809', NULL, 'not a kyro table: 42809');
SELECT throws_ok('SELECT kyro.snapshot(''public.kv'', 0)', '22023', NULL, 'no rows: 22023');
SELECT throws_ok('SELECT kyro.snapshot(''public.kv'') FROM public.kv LIMIT 1', '55006', NULL, 'in use: 55006');

-- who sees what
CREATE ROLE store_nobody;
SET ROLE store_nobody;
SELECT public.throws_ok('SELECT * FROM kyro.stat_tables', '42501', NULL, 'stat_tables is not for everybody');
SELECT public.ok((SELECT live_rows IS NULL OR live_rows >= 0 FROM kyro.stat_runs WHERE relname = 'kv' LIMIT 1), 'stat_runs is');
SELECT public.throws_ok('SELECT kyro.snapshot(''public.kv'')', '42501', NULL, 'a seal is for the owner: 42501');
SELECT public.throws_ok('SELECT kyro.warmup(''public.kv'')', '42501', NULL, 'warmup is for readers: 42501');
RESET ROLE;
GRANT pg_monitor TO store_nobody;
SET ROLE store_nobody;
SELECT public.ok((SELECT size > 0 FROM kyro.stat_tables WHERE relname = 'kv'), 'pg_monitor sees stat_tables');
RESET ROLE;
DROP ROLE store_nobody;

-- other tables that are listed, and that are not
CREATE TEMP TABLE tmp (id int) USING kyro;
INSERT INTO tmp SELECT g FROM generate_series(1, 100) g;
SELECT is((SELECT rows FROM kyro.snapshot('tmp')), 100::bigint, 'a temporary table');
SELECT is((SELECT live_rows FROM kyro.stat_tables WHERE relid = 'tmp'::regclass), 100::bigint, 'is listed');
CREATE MATERIALIZED VIEW public.mv USING kyro AS SELECT key FROM public.kv;
SELECT is((SELECT rows FROM kyro.snapshot('public.mv')), 4993::bigint, 'a materialized view');
SELECT is((SELECT sealed_rows FROM kyro.stat_tables WHERE relid = 'public.mv'::regclass), 4993::bigint, 'is listed');
CREATE TABLE public.h (id int) USING heap;
CREATE TABLE public.p (id int) PARTITION BY RANGE (id);
SELECT is_empty('SELECT relname FROM kyro.stat_tables WHERE relname IN (''h'', ''p'', ''kv_rmi'', ''kv_pkey'')', 'heaps, parents and indexes are not');
TRUNCATE public.kv;
SELECT results_eq('SELECT runs, sealed_rows FROM kyro.stat_tables WHERE relid = ''public.kv''::regclass', 'VALUES (0::bigint, 0::bigint)', 'TRUNCATE drops the runs');
ALTER TABLE public.kv SET ACCESS METHOD heap;
SELECT is_empty('SELECT relname FROM kyro.stat_tables WHERE relname = ''kv''', 'heap is the way out');

SELECT * FROM finish();
