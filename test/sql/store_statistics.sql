--
-- What the planner and autovacuum are told of a kyro table: numbers of rows, pages and visible
-- pages in pg_class, and what has changed since ANALYZE.
--
CREATE SCHEMA store_statistics;
SET search_path = store_statistics;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS kyrodb;
RESET client_min_messages;

-- What is known of a table and its indexes, where it is not true.
CREATE FUNCTION wrong(tbl regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	all_rows bigint;
	rows bigint;
	block int := current_setting('block_size');
	c record;
BEGIN
	EXECUTE 'SELECT count(*) FROM ' || tbl INTO all_rows;
	FOR c IN SELECT r.*, i.indpred IS NOT NULL AS part FROM pg_class r LEFT JOIN pg_index i ON i.indexrelid = r.oid
			 WHERE r.oid = tbl OR i.indrelid = tbl ORDER BY r.oid LOOP
		rows := all_rows;
		IF c.part THEN
			EXECUTE format('SELECT count(*) FROM %s WHERE id %% 10 = 0', tbl) INTO rows;
		END IF;
		IF c.reltuples <> rows THEN
			RETURN NEXT format('%s: %s rows, of %s', c.relname, c.reltuples, rows);
		END IF;
		IF c.relpages <> pg_relation_size(c.oid) / block THEN
			RETURN NEXT format('%s: %s pages, of %s', c.relname, c.relpages, pg_relation_size(c.oid) / block);
		END IF;
		IF c.relallvisible > c.relpages THEN
			RETURN NEXT format('%s: more visible pages than pages', c.relname);
		END IF;
	END LOOP;
END $$;
CREATE VIEW modified AS SELECT relname, n_live_tup, n_mod_since_analyze AS modified FROM pg_stat_user_tables WHERE schemaname = 'store_statistics';
CREATE TABLE t (id int, k bigint, v text) USING kyro WITH (autovacuum_enabled = off);
CREATE INDEX t_id ON t (id);
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE INDEX t_part ON t (id) WHERE id % 10 = 0;
-- in no order
INSERT INTO t SELECT g * 7919 % 20000, g, 'row ' || g FROM generate_series(1, 20000) g;
SELECT FROM pg_stat_force_next_flush();
ANALYZE t;
SELECT wrong('t');
SELECT abs(correlation) < 0.5 AS no_order FROM pg_stats WHERE schemaname = 'store_statistics' AND tablename = 't' AND attname = 'id';
SELECT FROM pg_stat_force_next_flush();
TABLE modified;

-- a seal puts rows in order, and has autoanalyze see that
CLUSTER t USING t_id;
SELECT FROM pg_stat_force_next_flush();
TABLE modified;
INSERT INTO t SELECT g, g, 'later' FROM generate_series(20001, 24000) g;
SELECT FROM pg_stat_force_next_flush();
ANALYZE t;
SELECT abs(correlation) > 0.9 AS ordered FROM pg_stats WHERE schemaname = 'store_statistics' AND tablename = 't' AND attname = 'id';
SELECT wrong('t');
SELECT rows FROM kyro.snapshot('t');
SELECT FROM pg_stat_force_next_flush();
TABLE modified;
SELECT reltuples FROM pg_class WHERE oid = 't'::regclass;
VACUUM (INDEX_CLEANUP ON) t;
SELECT wrong('t');
SELECT FROM pg_stat_force_next_flush();
TABLE modified;

-- changes of sealed rows and of the log
DELETE FROM t WHERE id % 5 = 3;
UPDATE t SET v = 'new' WHERE id % 7 = 3;
VACUUM (INDEX_CLEANUP ON) t;
SELECT wrong('t');
CREATE INDEX t_late ON t (v);
SELECT wrong('t');
REINDEX TABLE t;
SELECT wrong('t');
ANALYZE t;
SELECT wrong('t');
SELECT rows > 0 AS sealed FROM kyro.snapshot('t');
VACUUM (INDEX_CLEANUP ON, ANALYZE) t;
SELECT wrong('t');
VACUUM t;
SELECT wrong('t');
-- not all pages have to be read
DELETE FROM t WHERE id BETWEEN 5000 AND 5100;
VACUUM (INDEX_CLEANUP OFF) t;
SELECT reltuples = (SELECT count(*) FROM t) AS rows FROM pg_class WHERE oid = 't'::regclass;
VACUUM (INDEX_CLEANUP ON) t;
SELECT wrong('t');
VACUUM FULL t;
SELECT wrong('t');
VACUUM t;
SELECT wrong('t');
SELECT relallvisible > relpages * 0.9 AS visible FROM pg_class WHERE oid = 't'::regclass;
-- rolled back: nothing but what stays
BEGIN;
DELETE FROM t WHERE id > 10000;
INSERT INTO t SELECT g, g, 'undone' FROM generate_series(30001, 31000) g;
ROLLBACK;
VACUUM (INDEX_CLEANUP ON) t;
SELECT wrong('t');
TRUNCATE t;
SELECT relname, reltuples, relpages, relallvisible FROM pg_class WHERE relname LIKE 't%' AND relnamespace = 'store_statistics'::regnamespace ORDER BY 1;
VACUUM (INDEX_CLEANUP ON) t;
SELECT relname, reltuples > 0 AS rows FROM pg_class WHERE relname LIKE 't%' AND relnamespace = 'store_statistics'::regnamespace ORDER BY 1;
