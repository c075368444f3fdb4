--
-- Kyro tables that are written anew, moved, compacted, and what the statistics say of
-- them.
--
\set schema store_rewrite
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
CREATE FUNCTION store_rewrite.am(rel regclass) RETURNS name LANGUAGE sql AS 'SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = rel';
SELECT twin('CREATE TABLE t (id int PRIMARY KEY, n int, v text, big text) WITH (autovacuum_enabled = off)');
SELECT twin('CREATE INDEX t_n ON t (n)');
SELECT twin('CREATE INDEX t_k ON t USING kyro_rmi (n)');
SELECT twin('INSERT INTO t SELECT g, (g * 7919) % 10007, ''v'' || g, CASE WHEN g % 500 = 0 THEN (SELECT string_agg(md5(g || ''/'' || i), '''') FROM generate_series(1, 200) i) END
	FROM generate_series(1, 10000) g');
SELECT seal('t', 8000);
CREATE FUNCTION store_rewrite.change(i int) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT twin(format('UPDATE t SET v = v || ''+'' WHERE id %% 10 = %s', i % 10));
	SELECT twin(format('DELETE FROM t WHERE id %% 17 = %s', i % 17));
	SELECT twin(format('INSERT INTO t SELECT g, g, ''i'', repeat(''b'', 3000) FROM generate_series(%1$s * 1000 + 20000, %1$s * 1000 + 20099) g', i));
	SELECT same('t') $$;

-- compaction: smaller, and all of it sealed
SELECT change(1);
SELECT pg_relation_size('t') AS before \gset
SELECT twin('DELETE FROM t WHERE id % 2 = 1');
VACUUM FULL t;
SELECT same('t'), pg_relation_size('t') < :before * 0.7 AS smaller, seal('t') AS left;
SELECT count(*) AS out_of_order FROM (SELECT id < lag(id) OVER (ORDER BY ctid) AS bad FROM t) s WHERE bad;
SELECT count(DISTINCT xmin::text) AS xmins, max(xmax::text) FROM t;
SELECT change(2);
-- in the order of another index
CLUSTER t USING t_n;
SELECT same('t');
SELECT count(*) AS out_of_order FROM (SELECT n < lag(n) OVER (ORDER BY ctid) AS bad FROM t) s WHERE bad;
SELECT change(3);
CLUSTER t;
SELECT same('t');
SELECT twin('ALTER TABLE t SET WITHOUT CLUSTER');
VACUUM FULL t;
SELECT count(*) AS out_of_order FROM (SELECT id < lag(id) OVER (ORDER BY ctid) AS bad FROM t) s WHERE bad;
SELECT change(4);
-- rolled back; twice in one transaction; right after a seal of the same one
BEGIN;
SELECT seal('t') > 0 AS some;
CLUSTER t USING t_pkey;
SELECT same('t');
SELECT twin('UPDATE t SET v = ''cluster'' WHERE id % 30 = 8');
ROLLBACK;
SELECT same('t');
BEGIN;
SELECT twin('UPDATE t SET v = ''cluster'' WHERE id % 30 = 8');
SELECT twin('DELETE FROM t WHERE id % 30 = 10');
SELECT seal('t') > 0 AS some;
SELECT twin('UPDATE t SET v = ''again'' WHERE id % 60 = 8');
CLUSTER t USING t_n;
SELECT same('t');
SELECT twin('DELETE FROM t WHERE id % 60 = 8');
CLUSTER t USING t_pkey;
SELECT same('t');
COMMIT;
SELECT same('t');
SELECT change(5);
-- of an empty table, of one whose rows are all dead
CREATE TABLE e (id int PRIMARY KEY) USING kyro;
VACUUM FULL e;
INSERT INTO e SELECT g FROM generate_series(1, 5000) g;
SELECT seal('e');
DELETE FROM e;
VACUUM FULL e;
SELECT count(*), pg_relation_size('e') / current_setting('block_size')::int <= 2 AS small FROM e;
INSERT INTO e VALUES (1);
SELECT seal('e');
TABLE e;

-- to a heap and back; rows go into the log so, not into runs, which is in store_load.sql
SET kyro.sealed_load = off;
SELECT twin('ALTER TABLE t ADD later int DEFAULT 5');
SELECT twin('UPDATE t SET later = 6 WHERE id % 4 = 0');
ALTER TABLE t SET ACCESS METHOD heap;
SELECT am('t'), same('t');
SELECT twin('UPDATE t SET later = 7 WHERE id % 8 = 2');
ALTER TABLE t SET ACCESS METHOD kyro;
SELECT am('t'), same('t');
SELECT seal('t') = (SELECT count(*) FROM store_rewrite_h.t) AS all;
SELECT same('t');
ALTER TABLE t SET ACCESS METHOD kyro;
BEGIN;
ALTER TABLE t SET ACCESS METHOD heap;
ROLLBACK;
SELECT am('t'), same('t');
SELECT twin('UPDATE t SET later = 8 WHERE id % 12 = 0');
-- other columns, other types, logged or not: rows are written anew
SELECT twin('ALTER TABLE t ALTER later TYPE bigint USING later + 1');
SELECT same('t');
SELECT seal('t') > 0 AS some;
SELECT twin('ALTER TABLE t ALTER n TYPE bigint, DROP v, ADD x timestamptz DEFAULT ''2024-01-01 00:00+00'' NOT NULL');
SELECT twin('ALTER TABLE t ALTER later TYPE text USING later::text');
SELECT twin('ALTER TABLE t ADD y uuid DEFAULT gen_random_uuid()');
SELECT twin('UPDATE t SET y = NULL');
SELECT same('t');
SELECT seal('t') > 0 AS some;
ALTER TABLE t SET UNLOGGED;
SELECT same('t');
SELECT seal('t') = (SELECT count(*) FROM store_rewrite_h.t) AS all;
SELECT twin('DELETE FROM t WHERE id % 19 = 0');
ALTER TABLE t SET LOGGED;
SELECT same('t');
SELECT seal('t') > 0 AS some;
SELECT twin('DELETE FROM t WHERE id % 23 = 0');
-- to another place and back
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_kyro_space LOCATION '';
ALTER TABLE t SET TABLESPACE regress_kyro_space;
ALTER INDEX t_pkey SET TABLESPACE regress_kyro_space;
SELECT same('t');
SELECT twin('UPDATE t SET n = n + 1 WHERE id % 6 = 0');
SELECT twin('DELETE FROM t WHERE id % 29 = 0');
SELECT seal('t') > 0 AS some;
SELECT same('t');
BEGIN;
ALTER TABLE t SET TABLESPACE pg_default;
SELECT same('t');
ROLLBACK;
SELECT same('t');
VACUUM FULL t;
ALTER TABLE t SET TABLESPACE pg_default;
ALTER INDEX t_pkey SET TABLESPACE pg_default;
DROP TABLESPACE regress_kyro_space;
SELECT same('t');
SELECT v.* FROM kyro.verify('t', true) v;

-- what the planner believes: rows before and after a seal, after VACUUM, after ANALYZE, of the table and of its indexes
CREATE FUNCTION store_rewrite.believes(rel regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	j jsonb;
	bad text;
BEGIN
	EXECUTE format('SELECT count(*) FROM %s', rel) INTO n;
	SELECT string_agg(format('%s %s', oid::regclass, reltuples), ', ') INTO bad FROM pg_class
		WHERE (oid = rel OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = rel AND indpred IS NULL)) AND reltuples NOT BETWEEN n * 0.9 AND n * 1.1 + 1;
	IF bad IS NOT NULL THEN
		RETURN format('WRONG: %s of %s', bad, n);
	END IF;
	EXECUTE format('EXPLAIN (FORMAT JSON) SELECT * FROM %s', rel) INTO j;
	IF (j -> 0 -> 'Plan' ->> 'Plan Rows')::bigint NOT BETWEEN n * 0.8 AND n * 1.2 + 1 THEN
		RETURN format('WRONG: plan for %s rows of %s', j -> 0 -> 'Plan' ->> 'Plan Rows', n);
	END IF;
	RETURN format('%s rows, right', n);
END $$;
CREATE TABLE s (id int PRIMARY KEY, n int, v text) USING kyro WITH (autovacuum_enabled = off);
CREATE INDEX s_k ON s USING kyro_rmi (n);
INSERT INTO s SELECT g, g % 100, 'v' || g FROM generate_series(1, 30000) g;
ANALYZE s;
SELECT believes('s');
SELECT seal('s');
ANALYZE s;
SELECT believes('s');
VACUUM s;
SELECT believes('s');
VACUUM (INDEX_CLEANUP ON) s;
SELECT believes('s');
DELETE FROM s WHERE id % 3 = 0;
ANALYZE s;
SELECT believes('s');
VACUUM (INDEX_CLEANUP ON, ANALYZE) s;
SELECT believes('s');
UPDATE s SET n = n + 1 WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP ON) s;
SELECT believes('s');
SELECT seal('s') > 0 AS some;
VACUUM ANALYZE s;
SELECT believes('s');
-- rows that were locked are there once
SELECT count(*) FROM (SELECT FROM s FOR SHARE) l;
ANALYZE s;
SELECT believes('s');
VACUUM s;
SELECT believes('s');
VACUUM FULL s;
SELECT believes('s');
ANALYZE s;
SELECT believes('s');
-- the table's other numbers
VACUUM s;
SELECT relpages * current_setting('block_size')::int = pg_relation_size(oid) AS pages, relallvisible BETWEEN 1 AND relpages AS visible FROM pg_class WHERE oid = 's'::regclass;
SELECT attname, n_distinct, null_frac FROM pg_stats WHERE schemaname = 'store_rewrite_k' AND tablename = 's' AND attname <> 'v' ORDER BY attname;
-- live and dead rows, as counted
CREATE TABLE c (id int, n int) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO c SELECT g, 0 FROM generate_series(1, 1000) g;
SELECT pg_stat_force_next_flush();
SELECT n_tup_ins, n_live_tup, n_dead_tup FROM pg_stat_user_tables WHERE relid = 'c'::regclass;
SELECT seal('c');
SELECT pg_stat_force_next_flush();
SELECT n_tup_ins, n_tup_upd, n_tup_del, n_live_tup BETWEEN 990 AND 1010 AS live, n_dead_tup > 0 AS dead FROM pg_stat_user_tables WHERE relid = 'c'::regclass;
DELETE FROM c WHERE id <= 100;
SELECT pg_stat_force_next_flush();
SELECT n_tup_del, n_live_tup BETWEEN 890 AND 910 AS live FROM pg_stat_user_tables WHERE relid = 'c'::regclass;
UPDATE c SET n = 1 WHERE id BETWEEN 101 AND 300;
SELECT pg_stat_force_next_flush();
SELECT n_tup_ins + n_tup_upd AS written, n_live_tup BETWEEN 890 AND 910 AS live FROM pg_stat_user_tables WHERE relid = 'c'::regclass;
VACUUM c;
SELECT n_live_tup BETWEEN 890 AND 910 AS live, n_dead_tup FROM pg_stat_user_tables WHERE relid = 'c'::regclass;
ANALYZE c;
SELECT n_live_tup BETWEEN 890 AND 910 AS live, n_dead_tup FROM pg_stat_user_tables WHERE relid = 'c'::regclass;
SELECT seq_scan > 0 AS scans, seq_tup_read >= 1000 AS reads FROM pg_stat_user_tables WHERE relid = 'c'::regclass;
-- the end of a file that is only log is cut off by VACUUM
SELECT pg_relation_size('c') AS before \gset
DELETE FROM c;
VACUUM c;
SELECT pg_relation_size('c') < :before AS cut;
INSERT INTO c VALUES (1, 1);
SELECT seal('c');
TABLE c;
SELECT r AS rel, v.* FROM unnest(ARRAY['t', 's', 'c', 'e']) r, kyro.verify(r::regclass, true) v;
