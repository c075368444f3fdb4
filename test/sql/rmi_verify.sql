--
-- kyro.verify(deep): an index that lacks rows, has others, or has a key twice; of
-- all kinds of indexes and tables.  (Damage to pages: test/t/rmi_verify.pl.)
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
CREATE SCHEMA verify;
SET search_path = verify, public;
-- What is wrong, without places: the text of each problem, and how often.
CREATE FUNCTION wrong(rel regclass) RETURNS TABLE (problem text, n bigint) LANGUAGE sql AS $$
	SELECT regexp_replace(problem, '\(\d+,\d+\)', '(..)', 'g'), count(*) FROM kyro.verify(rel, true) GROUP BY 1 ORDER BY 1
$$;
-- Run a statement while the index does not count as one.
CREATE FUNCTION without_index(idx regclass, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE pg_index SET indisready = false, indislive = false WHERE indexrelid = idx;
	-- what is remembered of the table goes by this
	EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', (SELECT indrelid::regclass FROM pg_index WHERE indexrelid = idx));
	EXECUTE statement;
	UPDATE pg_index SET indisready = true, indislive = true WHERE indexrelid = idx;
END $$;

CREATE TABLE t (id int, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT g, CASE WHEN g % 10 > 0 THEN g * 3 END, 'x' FROM generate_series(1, 3000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE INDEX t_part ON t USING kyro_rmi (k) WHERE id % 2 = 0;
CREATE INDEX t_expr ON t USING kyro_rmi ((id % 100));
CREATE INDEX t_u ON t USING kyro_rmi (id);
SELECT i, w.* FROM unnest(ARRAY['t_k', 't_part', 't_expr', 't_u']::regclass[]) i, wrong(i) w;

-- rows that are missing: keys, NULLs, of a part, of an expression
SELECT without_index('t_k', 'INSERT INTO t SELECT g, CASE WHEN g % 5 > 0 THEN g END, ''new'' FROM generate_series(5001, 5010) g');
SELECT without_index('t_part', 'INSERT INTO t SELECT g, g, ''new'' FROM generate_series(6001, 6010) g');
SELECT without_index('t_expr', 'UPDATE t SET id = id + 1, k = 5 WHERE id = 6010');
SELECT i, w.* FROM unnest(ARRAY['t_k', 't_part', 't_expr', 't_u']::regclass[]) i, wrong(i) w;
-- an update that is HOT, as if the index were not there: its entry has the key of the old version, which is gone after VACUUM
CREATE TABLE h (id int, k bigint) WITH (autovacuum_enabled = off);
CREATE INDEX h_k ON h USING kyro_rmi (k);
INSERT INTO h SELECT g, g FROM generate_series(1, 100) g;
SELECT * FROM wrong('h_k');
SELECT without_index('h_k', 'UPDATE h SET k = k + 1000 WHERE id <= 3');
SELECT * FROM wrong('h_k');
VACUUM (INDEX_CLEANUP off) h;
SELECT * FROM wrong('h_k');
REINDEX TABLE h;
SELECT * FROM wrong('h_k');

-- entries without rows: VACUUM has given the places away behind the index's back
SELECT without_index('t_k', 'DELETE FROM t WHERE id BETWEEN 101 AND 110');
UPDATE pg_index SET indisready = false, indislive = false WHERE indexrelid IN ('t_k'::regclass, 't_u'::regclass, 't_expr'::regclass, 't_part'::regclass);
VACUUM t;
UPDATE pg_index SET indisready = true, indislive = true WHERE indexrelid IN ('t_k'::regclass, 't_u'::regclass, 't_expr'::regclass, 't_part'::regclass);
SELECT i, w.* FROM unnest(ARRAY['t_u', 't_expr', 't_part']::regclass[]) i, wrong(i) w;
-- and they are used again
SELECT without_index('t_u', 'INSERT INTO t SELECT g, 1000000 + g, ''reused'' FROM generate_series(9001, 9030) g');
SELECT * FROM wrong('t_u');
REINDEX TABLE t;
SELECT i, w.* FROM unnest(ARRAY['t_k', 't_part', 't_expr', 't_u']::regclass[]) i, wrong(i) w;

-- a key twice in a unique index
CREATE TABLE d (k bigint, v int) WITH (autovacuum_enabled = off);
INSERT INTO d SELECT g % 98, g FROM generate_series(1, 100) g;
INSERT INTO d VALUES (NULL, 1), (NULL, 2), (NULL, 3);
CREATE INDEX d_k ON d USING kyro_rmi (k);
CREATE INDEX d_p ON d USING kyro_rmi (k) WHERE v > 50;
SELECT * FROM wrong('d_k');
UPDATE pg_index SET indisunique = true WHERE indexrelid IN ('d_k'::regclass, 'd_p'::regclass);
SELECT * FROM wrong('d_k');
SELECT * FROM wrong('d_p');
UPDATE pg_index SET indnullsnotdistinct = true WHERE indexrelid = 'd_k'::regclass;
SELECT * FROM wrong('d_k');
DELETE FROM d WHERE k IS NULL OR v > 98;
SELECT * FROM wrong('d_k');
-- versions of one row, and rows of this transaction, are no duplicates
BEGIN;
UPDATE d SET v = v + 1;
UPDATE d SET k = k + 1000 WHERE k < 50;
INSERT INTO d SELECT k - 1000, 0 FROM d WHERE k >= 1000;
SELECT * FROM wrong('d_k');
SAVEPOINT s;
DELETE FROM d;
INSERT INTO d SELECT g, g FROM generate_series(1, 100) g;
SELECT * FROM wrong('d_k');
ROLLBACK TO s;
SELECT * FROM wrong('d_k');
COMMIT;
SELECT * FROM wrong('d_k');

-- of kyro tables: both ways, sealed and not
CREATE TABLE s (id int, k bigint, v text) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO s SELECT g, g, 'v' FROM generate_series(1, 2000) g;
CREATE INDEX s_k ON s USING kyro_rmi (k);
CREATE INDEX s_b ON s (k);
CREATE INDEX s_h ON s USING hash (id);
SELECT rows FROM kyro.snapshot('s', 1500);
SELECT i, w.* FROM unnest(ARRAY['s', 's_k']::regclass[]) i, wrong(i) w;
SELECT without_index('s_k', 'INSERT INTO s VALUES (3000, 3000, ''new'')');
SELECT without_index('s_b', 'INSERT INTO s VALUES (3001, 3001, ''new'')');
SELECT without_index('s_h', 'UPDATE s SET v = ''changed'' WHERE k = 7');
SELECT i, w.* FROM unnest(ARRAY['s', 's_k']::regclass[]) i, wrong(i) w;
REINDEX TABLE s;
SELECT without_index('s_k', 'DELETE FROM s WHERE k BETWEEN 100 AND 105');
SELECT i, w.* FROM unnest(ARRAY['s', 's_k']::regclass[]) i, wrong(i) w;

-- what a log of a kyro table cannot hold: ids of before relfrozenxid, columns that are longer than their tuple
CREATE TABLE x (id int, n int) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO x VALUES (1, 1), (2, 2), (3, 3);
SELECT relfrozenxid AS frozen FROM pg_class WHERE oid = 'x'::regclass \gset
UPDATE pg_class SET relfrozenxid = pg_current_xact_id()::text::xid WHERE oid = 'x'::regclass;
SELECT problem FROM kyro.verify('x');
UPDATE pg_class SET relfrozenxid = :'frozen' WHERE oid = 'x'::regclass;
SELECT problem FROM kyro.verify('x');
UPDATE pg_attribute SET attlen = 400, attbyval = false WHERE attrelid = 'x'::regclass AND attname = 'n';
SELECT problem FROM kyro.verify('x');
UPDATE pg_attribute SET attlen = -1, attstorage = 'x' WHERE attrelid = 'x'::regclass AND attname = 'n';
SELECT count(*) > 0 AS some FROM kyro.verify('x');
UPDATE pg_attribute SET attlen = 4, attbyval = true, attstorage = 'p' WHERE attrelid = 'x'::regclass AND attname = 'n';
SELECT problem FROM kyro.verify('x', true);
TABLE x;

-- temporary, unlogged, partitions, views, empty; in a transaction that only reads, and in one with a snapshot of before
CREATE TEMP TABLE tmp (k bigint);
CREATE INDEX tmp_k ON tmp USING kyro_rmi (k);
INSERT INTO tmp SELECT g FROM generate_series(1, 5000) g;
SELECT without_index('tmp_k', 'INSERT INTO tmp VALUES (-1)');
SELECT * FROM wrong('tmp_k');
CREATE UNLOGGED TABLE ul (k bigint);
CREATE INDEX ul_k ON ul USING kyro_rmi (k);
SELECT without_index('ul_k', 'INSERT INTO ul VALUES (-1)');
SELECT * FROM wrong('ul_k');
CREATE TABLE pt (k bigint) PARTITION BY RANGE (k);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (100);
CREATE INDEX pt_k ON pt USING kyro_rmi (k);
SELECT without_index('pt1_k_idx', 'INSERT INTO pt VALUES (1)');
SELECT * FROM wrong('pt1_k_idx');
CREATE MATERIALIZED VIEW mv AS SELECT k FROM t;
CREATE INDEX mv_k ON mv USING kyro_rmi (k);
SELECT * FROM wrong('mv_k');
BEGIN READ ONLY;
SELECT * FROM wrong('ul_k');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM h;
SELECT * FROM wrong('ul_k');
COMMIT;
-- a version that HOT updates left, from before the index: not for a snapshot that sees it
UPDATE h SET id = id + 1;
BEGIN;
UPDATE h SET id = id + 1;
CREATE INDEX h_id ON h USING kyro_rmi (id);
SELECT * FROM wrong('h_id');
COMMIT;
SELECT * FROM wrong('h_id');

-- all is well again, for who looks at what this left
REINDEX INDEX tmp_k;
REINDEX INDEX ul_k;
REINDEX INDEX pt1_k_idx;
REINDEX TABLE s;
UPDATE pg_index SET indisunique = false, indnullsnotdistinct = false WHERE indexrelid IN ('d_k'::regclass, 'd_p'::regclass);
SELECT i, w.* FROM unnest(ARRAY['t_k', 't_part', 't_expr', 't_u', 'h_k', 'd_k', 'd_p', 's', 's_k', 'tmp_k', 'ul_k', 'pt1_k_idx', 'mv_k']::regclass[]) i, wrong(i) w;
