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

-- rows and bytes in the log
SELECT results_eq('SELECT state, log_bytes FROM kyro.stat_tables WHERE relid = ''public.kv''::regclass',
	'SELECT ''ok'', size - sealed_bytes FROM kyro.stat_tables WHERE relid = ''public.kv''::regclass', 'what is in no run is the log');
CREATE TABLE public.lg (id int) USING kyro;
INSERT INTO public.lg SELECT g FROM generate_series(1, 1000) g;
SELECT rows AS sealed FROM kyro.snapshot('public.lg', 300) \gset
DELETE FROM public.lg WHERE id <= 10 OR id > 990;
ANALYZE public.lg;
SELECT results_eq('SELECT log_rows, live_rows, sealed_rows, log_bytes = size - sealed_bytes FROM kyro.stat_tables WHERE relid = ''public.lg''::regclass',
	'VALUES (690::bigint, 290::bigint, 300::bigint, true)', 'rows in the log and in runs');

-- who sees what: one rule for all views and their helpers
CREATE INDEX lg_k ON public.lg USING kyro_rmi (id);
CREATE FUNCTION public.may_fail(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN IF current_setting('public.fail', true) = 'on' THEN RAISE 'failed'; END IF; RETURN $1; END $$;
CREATE INDEX lg_f ON public.lg (public.may_fail(id));
SET public.fail = 'on';
SELECT throws_ok('SELECT kyro.snapshot(''public.lg'')', 'P0001', 'failed', 'a seal that fails');
RESET public.fail;
DROP INDEX public.lg_f;
CREATE FUNCTION public.seen() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ',
		(SELECT string_agg('index', ' ') FROM kyro.stat_indexes WHERE relname = 'lg' AND state = 'ok' AND leaves > 0),
		(SELECT string_agg('run', ' ') FROM kyro.stat_runs WHERE relname = 'lg' AND rows = 300),
		(SELECT string_agg('table', ' ') FROM kyro.stat_tables WHERE relname = 'lg' AND log_bytes > 0),
		(SELECT 'counters' FROM kyro.build_info, kyro.table_counters('public.lg'::regclass) c WHERE NOT preloaded OR c.failed_seals > 0),
		(SELECT 'error' FROM kyro.build_info, kyro.table_counters('public.lg'::regclass) c WHERE NOT preloaded OR c.last_error <> ''))
$$;
SELECT is(public.seen(), 'index run table counters error', 'a superuser sees everything');
CREATE ROLE store_nobody;
CREATE ROLE store_reader;
CREATE ROLE store_owner;
CREATE ROLE store_monitor IN ROLE pg_monitor;
GRANT SELECT ON public.lg TO store_reader;
GRANT CREATE ON SCHEMA public TO store_owner;
ALTER TABLE public.lg OWNER TO store_owner;
SET ROLE store_nobody;
SELECT public.is(replace(public.seen(), 'counters error', ''), '', 'who may do nothing sees nothing');
SELECT public.throws_ok('SELECT * FROM kyro.table_runs(''public.lg'')', '42501', NULL, 'nor directly: runs');
SELECT public.throws_ok('SELECT * FROM kyro.table_shape(''public.lg'')', '42501', NULL, 'nor directly: table');
SELECT public.throws_ok('SELECT * FROM kyro.index_shape(''public.lg_k'')', '42501', NULL, 'nor directly: index');
SELECT public.throws_ok('SELECT kyro.snapshot(''public.lg'')', '42501', NULL, 'a seal is for the owner: 42501');
SELECT public.throws_ok('SELECT kyro.warmup(''public.lg'')', '42501', NULL, 'warmup is for readers: 42501');
SET ROLE store_reader;
SELECT public.is(public.seen(), CASE WHEN preloaded THEN 'index run table counters' ELSE 'index run table counters error' END, 'who may read sees all but errors') FROM kyro.build_info;
SET ROLE store_owner;
SELECT public.is(public.seen(), 'index run table counters error', 'the owner sees all');
SET ROLE store_monitor;
SELECT public.is(public.seen(), 'index run table counters error', 'pg_monitor sees all');
RESET ROLE;
ALTER TABLE public.lg OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA public FROM store_owner;
REVOKE ALL ON public.lg FROM store_reader;
DROP ROLE store_nobody, store_reader, store_owner, store_monitor;

-- other tables that are listed, and that are not
CREATE TEMP TABLE tmp (id int) USING kyro;
INSERT INTO tmp SELECT g FROM generate_series(1, 100) g;
SELECT is((SELECT rows FROM kyro.snapshot('tmp')), 100::bigint, 'a temporary table');
SELECT is((SELECT live_rows FROM kyro.stat_tables WHERE relid = 'tmp'::regclass), 100::bigint, 'is listed');
SET kyro.sealed_load = off;
CREATE MATERIALIZED VIEW public.mv USING kyro AS SELECT key FROM public.kv;
RESET kyro.sealed_load;
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
