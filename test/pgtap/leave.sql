-- Leaving: kyro.leave() turns all into heaps and btrees that are what ours were,
-- and before that the extension cannot go and take tables along.
BEGIN;
SELECT no_plan();

CREATE SCHEMA "Odd ""S";
SET LOCAL search_path = "Odd ""S", public;
CREATE TABLE "T USING kyro_rmi" (id bigint PRIMARY KEY, ts timestamptz NOT NULL, v int, d text) USING kyro;
INSERT INTO "T USING kyro_rmi" SELECT g, '2024-01-01'::timestamptz + g * interval '1 s', g % 10, 'x' FROM generate_series(1, 5000) g;
CREATE UNIQUE INDEX "u ""x" ON "T USING kyro_rmi" USING kyro_rmi (ts) WITH (fillfactor = 70);
CREATE INDEX e ON "T USING kyro_rmi" USING kyro_rmi ((v + 1)) WHERE v > 3;
ALTER INDEX e ALTER COLUMN 1 SET STATISTICS 77;
COMMENT ON INDEX e IS 'it''s e';
ALTER TABLE "T USING kyro_rmi" CLUSTER ON "u ""x";
ALTER TABLE "T USING kyro_rmi" REPLICA IDENTITY USING INDEX "u ""x";
SELECT is((kyro.snapshot('"T USING kyro_rmi"')).rows, 5000::bigint, 'a table with a run');
CREATE TABLE h (a int, b int, EXCLUDE USING kyro_rmi (a WITH =) WITH (fillfactor = 60) WHERE (b > 0));
COMMENT ON CONSTRAINT h_a_excl ON h IS 'no two';
CREATE UNIQUE INDEX nn ON h USING kyro_rmi (b) NULLS NOT DISTINCT;
CREATE TABLE p (a int, b bigint) PARTITION BY RANGE (a);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10) USING kyro;
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (b);
CREATE TABLE p21 PARTITION OF p2 FOR VALUES FROM (0) TO (100);
CREATE TABLE p22 PARTITION OF p2 FOR VALUES FROM (100) TO (200) USING kyro;
CREATE INDEX pk ON p USING kyro_rmi (b);
COMMENT ON INDEX p1_b_idx IS 'child';
INSERT INTO p SELECT g % 20, g FROM generate_series(1, 199) g;
CREATE MATERIALIZED VIEW m USING kyro AS SELECT count(*) AS n FROM p;
CREATE TABLE keyed (id bigint PRIMARY KEY WITH (kyro_rmi, fillfactor = 60), o int CONSTRAINT o UNIQUE WITH (kyro_rmi) DEFERRABLE INITIALLY DEFERRED, up bigint REFERENCES keyed ON DELETE CASCADE);
CREATE TABLE refers (k bigint REFERENCES keyed);
INSERT INTO keyed SELECT g, g, nullif(g / 2, 0) FROM generate_series(1, 1000) g;
INSERT INTO refers SELECT g FROM generate_series(1, 500) g;
COMMENT ON INDEX keyed_pkey IS 'the key';
COMMENT ON CONSTRAINT o ON keyed IS 'o';
ALTER TABLE keyed CLUSTER ON keyed_pkey;
CREATE TEMP TABLE mine (k date) USING kyro;
CREATE INDEX ON mine USING kyro_rmi (k);
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_table_access_method = kyro', current_database());
	EXECUTE format('ALTER DATABASE %I SET kyro.constraint_index_method = kyro_rmi', current_database()); END $$;
SET LOCAL default_tablespace = pg_global;	-- nothing must be put there

-- what an index is, but for its method: names, columns, options, comments, places in trees
CREATE TEMP VIEW shapes AS
	SELECT c.relname, c.relkind, nullif(array_remove(c.reloptions, 'kyro_rmi=true'), '{}') AS reloptions, x.indimmediate, x.indisprimary,
			(SELECT array_agg(k.conname || ' ' || k.contype::text ORDER BY k.conname) FROM pg_constraint k WHERE k.conindid = c.oid) AS constraints, x.indrelid::regclass::text AS tbl, x.indisunique, x.indnullsnotdistinct, x.indisclustered,
		   x.indisreplident, x.indisvalid, pg_get_indexdef(c.oid, 1, false) AS key, pg_get_expr(x.indpred, x.indrelid) AS predicate,
		   (SELECT a.attstattarget FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = 1 AND a.attstattarget >= 0) AS target,
		   obj_description(c.oid, 'pg_class') AS comment, (SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parent,
		   (SELECT obj_description(k.oid, 'pg_constraint') FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype <> 'f') AS constraint_comment
	FROM pg_class c JOIN pg_index x ON x.indexrelid = c.oid
	WHERE c.relnamespace IN ('"Odd ""S"'::regnamespace, pg_my_temp_schema()) AND c.relkind IN ('i', 'I');
CREATE TEMP TABLE shapes_before AS TABLE shapes;
CREATE TEMP VIEW contents AS
	SELECT md5(string_agg(t::text, '|' ORDER BY t.id)) FROM "T USING kyro_rmi" t
	UNION ALL SELECT md5(string_agg(p::text, '|' ORDER BY p.b)) FROM p;
CREATE TEMP TABLE contents_before AS TABLE contents;

SELECT throws_ok('DROP EXTENSION kyrodb CASCADE', '2BP01', 'extension "kyrodb" cannot be dropped while there are kyro tables', 'the extension does not take tables along');
SELECT throws_ok('DROP SCHEMA public CASCADE', '2BP01', 'extension "kyrodb" cannot be dropped while there are kyro tables', 'nor does the schema it was made in');
SELECT throws_ok('DROP OWNED BY CURRENT_USER CASCADE', '2BP01', 'extension "kyrodb" cannot be dropped while there are kyro tables', 'nor does its owner');
CREATE SCHEMA other;
SELECT lives_ok('DROP SCHEMA other CASCADE', 'other schemas can be dropped');
SELECT throws_ok('SELECT kyro.drop_guard()', '39P03', NULL, 'the guard is called by nobody else');

CREATE TEMP TABLE plan AS SELECT * FROM kyro.leave();
SELECT set_eq('SELECT kind, count(*) FROM plan GROUP BY kind',
	$$VALUES ('table', 4::bigint), ('materialized view', 1), ('exclusion constraint', 1), ('primary key', 1), ('unique constraint', 1), ('partitioned index', 1), ('index', 4), ('setting', 2)$$, 'a dry run lists everything');
SELECT is_empty('SELECT * FROM plan WHERE command IS NULL', 'and how it would be done');
SELECT results_eq('TABLE plan', 'SELECT * FROM kyro.leave(dry_run => true)', 'and does nothing');

-- somebody who does not own the tables changes nothing
CREATE ROLE leave_nobody;
GRANT USAGE ON SCHEMA "Odd ""S" TO leave_nobody;
SET LOCAL ROLE leave_nobody;
SELECT throws_ok('SELECT * FROM kyro.leave(dry_run => false)', '42501', NULL, 'only for owners');
RESET ROLE;

SELECT results_eq('SELECT object FROM kyro.leave(dry_run => false)', 'SELECT object FROM plan', 'it is done');
SELECT is_empty('SELECT * FROM kyro.leave()', 'and there is nothing left to do');
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname LIKE 'kyro%'$$, 'nothing is ours any more');
SELECT set_eq('TABLE shapes', 'TABLE shapes_before', 'the indexes are as they were');
SELECT results_eq('TABLE contents', 'TABLE contents_before', 'and so are the rows');
SELECT is((SELECT count(*) FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE c LIKE 'default_table_access_method%' OR c LIKE 'kyro.constraint_index_method%'), 0::bigint, 'new tables will be heaps, with btrees');
SELECT throws_ok('INSERT INTO h VALUES (1, 1), (1, 2)', '23P01', NULL, 'the exclusion constraint holds');
SELECT throws_ok('INSERT INTO refers VALUES (-1)', '23503', NULL, 'foreign keys hold');
SELECT lives_ok('UPDATE keyed SET o = o + 1', 'a deferred constraint waits');
SELECT lives_ok('SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED', 'and is satisfied');
SELECT throws_ok('INSERT INTO h VALUES (5, NULL), (6, NULL)', '23505', NULL, 'nulls are not distinct');
SELECT lives_ok('DROP EXTENSION kyrodb', 'the extension can go');
SELECT is((SELECT count(*) FROM "T USING kyro_rmi" WHERE ts >= '2024-01-01 00:00:01+00'), 5000::bigint, 'and the rows stay');

SELECT * FROM finish();
ROLLBACK;
