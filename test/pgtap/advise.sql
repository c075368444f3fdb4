-- kyro.advise(): predictions against what is then built, within 15 %, on ten sets of keys and
-- three kinds of rows, read as a whole and by a sample; verdicts and their reasons; commands that
-- work; who may.  Not in one transaction: indexes are built concurrently.
SELECT no_plan();
SET client_min_messages = error;
SET maintenance_work_mem = '256MB';

CREATE SCHEMA adv;
-- 450,000 rows: btrees of more than 1,000 pages, which are sampled
SELECT setseed(0.42);
CREATE UNLOGGED TABLE adv.keys AS
	SELECT g AS seq, g * 16 + (g % 7) AS gaps,
		   hashint8extended(g, 1) AS random_order,
		   sum(1 + (hashint8extended(g, 2) & 4095)) OVER (ORDER BY g) AS clustered,
		   timestamptz '2024-01-01' + g * interval '1 second' + (hashint8extended(g, 3) & 1048575) * interval '1 microsecond' AS jittered,
		   ((1700000000000 + g / 4) << 22) | ((g % 32) << 12) | (g % 4) AS snowflake,
		   (hashint8extended(g, 4) & 1023)::int AS few,
		   exp(20 * ((hashint8extended(g, 5) & 16777215) / 16777216.0))::bigint AS lognormal,
		   (hashint8extended(g, 6) & 2147483647)::int AS random_int,
		   date '2000-01-01' + (g / 300)::int AS day,
		   CASE WHEN g % 3 > 0 THEN (g / 50) * 1000000 + (hashint8extended(g, 7) & 255) END AS bursts
	FROM generate_series(1::bigint, 450000) g;
ALTER TABLE adv.keys ALTER clustered TYPE bigint;
CREATE TEMP TABLE sets AS SELECT attname AS name FROM pg_attribute WHERE attrelid = 'adv.keys'::regclass AND attnum > 0;
SELECT format('CREATE INDEX keys_%s ON adv.keys (%1$I)', name) FROM sets \gexec
ANALYZE adv.keys;
CREATE TEMP TABLE predicted AS SELECT index::text AS name, size, predicted_size, predicted_us FROM kyro.advise('adv') WHERE kind = 'btree';
SELECT is((SELECT count(*) FROM predicted WHERE predicted_us > 0), 11::bigint, 'a prediction for each');
SELECT format('DROP INDEX adv.keys_%s; CREATE INDEX keys_%1$s ON adv.keys USING kyro_rmi (%1$I)', name) FROM sets \gexec
SELECT ok(abs(predicted_size - pg_relation_size(name::regclass)) <= 0.15 * pg_relation_size(name::regclass),
		format('%s: predicted %s, is %s', name, predicted_size, pg_relation_size(name::regclass))) FROM predicted ORDER BY name;
SELECT format('DROP INDEX adv.keys_%s', name) FROM sets \gexec

-- read as a whole: near to exact
CREATE TABLE adv.small AS SELECT random_order, few, bursts FROM adv.keys LIMIT 150000;
SELECT format('CREATE INDEX small_%s ON adv.small (%1$I)', name) FROM unnest(ARRAY['random_order', 'few', 'bursts']) name \gexec
TRUNCATE predicted;
INSERT INTO predicted SELECT index::text, size, predicted_size, predicted_us FROM kyro.advise('adv') WHERE kind = 'btree' AND "table" = 'adv.small'::regclass;
SELECT format('DROP INDEX adv.small_%s; CREATE INDEX small_%1$s ON adv.small USING kyro_rmi (%1$I)', name) FROM unnest(ARRAY['random_order', 'few', 'bursts']) name \gexec
SELECT ok(abs(predicted_size - pg_relation_size(name::regclass)) <= 3 * 8192, format('%s: predicted %s, is %s', name, predicted_size, pg_relation_size(name::regclass))) FROM predicted ORDER BY name;

-- hash and BRIN indexes, by rows
CREATE INDEX keys_hash ON adv.keys USING hash (random_order);
CREATE INDEX keys_brin ON adv.keys USING brin (clustered);
TRUNCATE predicted;
INSERT INTO predicted SELECT index::text, size, predicted_size, predicted_us FROM kyro.advise('adv') WHERE kind IN ('hash', 'brin');
CREATE INDEX keys_hash_2 ON adv.keys USING kyro_rmi (random_order);
CREATE INDEX keys_brin_2 ON adv.keys USING kyro_rmi (clustered);
SELECT ok(abs(predicted_size - pg_relation_size((name || '_2')::regclass)) <= 0.15 * pg_relation_size((name || '_2')::regclass),
		format('%s: predicted %s, is %s', name, predicted_size, pg_relation_size((name || '_2')::regclass))) FROM predicted ORDER BY name;
DROP TABLE adv.keys, adv.small;

-- tables
CREATE TABLE adv.narrow AS SELECT g AS id, g % 10 AS n FROM generate_series(1, 400000) g;
CREATE TABLE adv.texts AS SELECT g AS id, repeat('x', 1 + (hashint8(g) & 63)) AS v, CASE WHEN g % 5 = 0 THEN now() END AS at FROM generate_series(1, 100000) g;
CREATE TABLE adv.wide AS SELECT g AS id, repeat(md5(g::text), 30) AS v FROM generate_series(1, 5000) g;
DELETE FROM adv.texts WHERE id % 4 = 0;
VACUUM ANALYZE adv.narrow, adv.texts, adv.wide;
TRUNCATE predicted;
INSERT INTO predicted SELECT "table"::text, size, predicted_size FROM kyro.advise('adv') WHERE kind = 'heap';
SELECT results_eq('SELECT "table"::text, verdict FROM kyro.advise(''adv'') WHERE kind = ''heap'' ORDER BY 1', $$VALUES ('adv.narrow', 'maybe'), ('adv.texts', 'yes'), ('adv.wide', 'no')$$, 'verdicts of tables');
SELECT string_agg(ddl, E'\n') AS ddl FROM kyro.advise('adv') WHERE kind = 'heap' AND verdict <> 'no' \gset
:ddl
ALTER TABLE adv.wide SET ACCESS METHOD kyro;
VACUUM FULL adv.wide;
SELECT ok(abs(predicted_size - pg_relation_size(name::regclass)) <= 0.15 * pg_relation_size(name::regclass),
		format('%s: predicted %s, is %s', name, predicted_size, pg_relation_size(name::regclass))) FROM predicted ORDER BY name;
SELECT ok((SELECT runs = 1 AND sealed_rows = 75000 FROM kyro.stat_tables WHERE relname = 'texts'), 'what the command did');
DROP TABLE adv.narrow, adv.texts, adv.wide;

-- verdicts of indexes
CREATE TABLE adv.t (id bigint PRIMARY KEY, n int, b bigint, s text, ts timestamptz, EXCLUDE (b WITH =));
INSERT INTO adv.t SELECT g, g, g, g::text, now() + g * interval '1 s' FROM generate_series(1, 60000) g;
CREATE UNIQUE INDEX t_unique ON adv.t (n) WHERE n > 10;
CREATE INDEX t_two ON adv.t (n, b);
CREATE INDEX t_include ON adv.t (n) INCLUDE (b);
CREATE INDEX t_desc ON adv.t (n DESC);
CREATE INDEX t_text ON adv.t (s);
CREATE INDEX "T Expression" ON adv.t ((id + 1));
CREATE INDEX t_small ON adv.t (n) WHERE n < 5;
CREATE TABLE adv.pt (id bigint, d int) PARTITION BY LIST (d);
CREATE TABLE adv.pt1 PARTITION OF adv.pt FOR VALUES IN (1);
CREATE INDEX pt_id ON adv.pt (id);
INSERT INTO adv.pt SELECT g, 1 FROM generate_series(1, 60000) g;
ANALYZE adv.t, adv.pt;
SELECT results_eq('SELECT index::text, verdict, CASE WHEN verdict = ''no'' THEN split_part(reason, '':'', 1) END FROM kyro.advise(''adv'') WHERE index IS NOT NULL ORDER BY index::text COLLATE "C"', $$VALUES
	('adv."T Expression"', 'yes', NULL),
	('adv.pt1_id_idx', 'no', 'it is part of the index of a partitioned table'),
	('adv.t_b_excl', 'no', 'it is the index of an exclusion constraint'),
	('adv.t_desc', 'no', 'it is in descending order, or has NULLs first'),
	('adv.t_include', 'no', 'it has more than one column'),
	('adv.t_pkey', 'yes', NULL),
	('adv.t_small', 'no', 'it is too small to matter'),
	('adv.t_text', 'no', 'kyro_rmi has no keys of type text'),
	('adv.t_two', 'no', 'it has more than one column'),
	('adv.t_unique', 'yes', NULL)$$, 'verdicts and reasons');
SELECT is((SELECT count(*) FROM kyro.advise('adv') WHERE (verdict = 'no') <> (ddl IS NULL)), 0::bigint, 'a command where there is something to do');
SELECT is((SELECT count(*) FROM kyro.advise('nowhere')), 0::bigint, 'no such schema');
SELECT cmp_ok((SELECT count(*) FROM kyro.advise()), '>=', (SELECT count(*) FROM kyro.advise('adv')), 'all schemas');
SELECT is((SELECT count(*) FROM kyro.advise() WHERE "table" IN ('pg_class'::regclass, 'kyro.policies'::regclass)), 0::bigint, 'but none of the server''s');

-- the commands, there and back
SELECT ddl FROM kyro.advise('adv') WHERE index = 'adv.t_pkey'::regclass \gset
:ddl
SELECT is((SELECT amname::text FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = 'adv.t_pkey'::regclass), 'kyro_rmi', 'the index of a key');
SELECT ddl, split_part(split_part(ddl, 'to go back: ', 2), ';', 1) AS back FROM kyro.advise('adv') WHERE index = 'adv.t_unique'::regclass \gset
:ddl
SELECT is(pg_get_indexdef('adv.t_unique_kyro'::regclass), 'CREATE UNIQUE INDEX t_unique_kyro ON adv.t USING kyro_rmi (n) WHERE (n > 10)', 'another one');
CREATE TEMP TABLE def AS SELECT pg_get_indexdef('adv.t_unique'::regclass) AS def;
DROP INDEX CONCURRENTLY adv.t_unique;
:back ;
SELECT is(pg_get_indexdef('adv.t_unique'::regclass), (SELECT def FROM def), 'and back');
SELECT ddl FROM kyro.advise('adv') WHERE index = 'adv."T Expression"'::regclass \gset
:ddl
SELECT is(pg_get_indexdef('adv."T Expression_kyro"'::regclass), 'CREATE INDEX "T Expression_kyro" ON adv.t USING kyro_rmi (((id + 1)))', 'names that must be quoted');

-- who may
CREATE ROLE adv_nobody;
CREATE ROLE adv_owner;
CREATE ROLE adv_monitor IN ROLE pg_monitor;
ALTER TABLE adv.pt1 OWNER TO adv_owner;
GRANT USAGE ON SCHEMA adv TO adv_owner;
SET ROLE adv_nobody;
SELECT public.is_empty('SELECT * FROM kyro.advise(''adv'')', 'nobody sees what is not theirs');
SELECT public.throws_ok(format('SELECT kyro.predict_index(%s::regclass)', (SELECT oid FROM pg_class WHERE relname = 't_desc')), '42501', 'permission denied for table t', 'nor behind the view');
SELECT public.throws_ok(format('SELECT kyro.predict_table(%s::regclass)', (SELECT oid FROM pg_class WHERE relname = 't' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'adv'))), '42501', 'permission denied for table t', 'neither of tables');
SET ROLE adv_owner;
SELECT public.results_eq('SELECT DISTINCT "table"::text FROM kyro.advise(''adv'')', $$VALUES ('adv.pt1')$$, 'owners see theirs');
SET ROLE adv_monitor;
SELECT public.cmp_ok((SELECT count(*) FROM kyro.advise('adv')), '>', 10::bigint, 'monitors see all');
RESET ROLE;
SELECT throws_ok('SELECT kyro.predict_index(''adv.t'')', '42809', NULL, 'a table is no index');
DROP SCHEMA adv CASCADE;
DROP ROLE adv_nobody, adv_owner, adv_monitor;

SELECT * FROM finish();
