--
-- What happens to tables and indexes: made, rebuilt, moved, cut, dropped,
-- rolled back.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA ddl;
SET search_path = ddl, public;

CREATE TABLE t (id bigint, k int, pad text) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT g, (g * 7919) % 100003, 'x' FROM generate_series(1, 12000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE FUNCTION check_t(part int DEFAULT 0) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT oracle_compare('t', ARRAY['k = 7919', 'k < 1000', 'k > 29000', 'k BETWEEN 5000 AND 5500', 'k = ANY (ARRAY[1, 2, 3, 7919, NULL])',
		'k IS NULL', 'k IS NOT NULL', 'k >= 0'], 2)
$$;
SELECT check_t();

-- REINDEX in all its forms; options
REINDEX INDEX t_k;
SELECT check_t();
REINDEX INDEX CONCURRENTLY t_k;
SELECT check_t();
REINDEX (VERBOSE OFF) TABLE t;
REINDEX TABLE CONCURRENTLY t;
SELECT check_t();
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 't'::regclass;
ALTER INDEX t_k SET (fillfactor = 70);
REINDEX INDEX t_k;
SELECT reloptions FROM pg_class WHERE oid = 't_k'::regclass;
SELECT check_t();
CREATE INDEX t_full ON t USING kyro_rmi (k) WITH (fillfactor = 100);
CREATE INDEX t_half ON t USING kyro_rmi (k) WITH (fillfactor = 50);
SELECT pg_relation_size('t_full') < pg_relation_size('t_half') AS smaller;
ALTER INDEX t_k RESET (fillfactor);
DROP INDEX t_full, t_half;
SELECT pg_get_indexdef('t_k'::regclass);

-- CREATE INDEX CONCURRENTLY
CREATE INDEX CONCURRENTLY t_c ON t USING kyro_rmi (k);
SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = 't_c'::regclass;
SELECT * FROM kyro.verify('t_c', true);
DROP INDEX CONCURRENTLY t_c;
CREATE INDEX IF NOT EXISTS t_k ON t USING kyro_rmi (k);
-- names of its own making
CREATE INDEX ON t USING kyro_rmi (k);
CREATE INDEX ON t USING kyro_rmi ((id % 10));
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 't'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
DROP INDEX t_k_idx;
ALTER INDEX t_expr_idx RENAME TO t_mod;

-- of an expression, of a part
CREATE INDEX t_e ON t USING kyro_rmi (((id % 10)::bigint));
CREATE INDEX t_p ON t USING kyro_rmi (id) WHERE k > 50000;
ANALYZE t;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM t WHERE (id % 10)::bigint = 3;
SELECT count(*) FROM t WHERE (id % 10)::bigint = 3;
EXPLAIN (COSTS OFF) SELECT k FROM t WHERE id = 5 AND k > 50000;
EXPLAIN (COSTS OFF) SELECT pad FROM t WHERE id = 5 AND k > 60000;
SELECT count(*) FROM t WHERE id BETWEEN 100 AND 1000 AND k > 50000;
INSERT INTO t SELECT 20000 + g, 49990 + g, 'y' FROM generate_series(1, 20) g;
UPDATE t SET k = k + 15 WHERE id > 20000;
SELECT count(*) FROM t WHERE id > 20000 AND k > 50000;
RESET enable_seqscan;
SELECT * FROM kyro.verify('t_e', true);
SELECT * FROM kyro.verify('t_p', true);

-- rewrites of the table
ALTER TABLE t ALTER k TYPE bigint;
SELECT pg_get_indexdef('t_k'::regclass);
SELECT check_t();
ALTER TABLE t ALTER k TYPE smallint USING k % 30000;
SELECT check_t();
DROP INDEX t_p;
ALTER TABLE t ALTER k TYPE text;
ALTER TABLE t ALTER k TYPE bigint;
ALTER TABLE t ADD COLUMN extra int DEFAULT 5, ADD COLUMN at timestamptz DEFAULT now();
CLUSTER t USING t_k;
SELECT check_t();
SELECT count(*) FROM (SELECT k, lag(k) OVER (ORDER BY ctid) AS before FROM t) s WHERE k < before;
SELECT indisclustered FROM pg_index WHERE indexrelid = 't_k'::regclass;
DELETE FROM t WHERE id % 7 = 0;
CLUSTER t;
SELECT check_t();
VACUUM FULL t;
SELECT check_t();
SELECT oracle_mode_reset();
ALTER TABLE t DROP COLUMN extra;
ALTER TABLE t SET UNLOGGED;
SELECT check_t();
ALTER TABLE t SET LOGGED;
SELECT check_t();
ALTER TABLE t RENAME k TO kk;
ALTER TABLE t RENAME kk TO k;
SELECT check_t();

-- moved to another tablespace, back, and rolled back
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_kyro_space LOCATION '';
ALTER INDEX t_k SET TABLESPACE regress_kyro_space;
SELECT check_t();
INSERT INTO t (id, k) VALUES (30000, 77);
BEGIN;
ALTER INDEX t_k SET TABLESPACE pg_default;
INSERT INTO t (id, k) SELECT 30001, g FROM generate_series(1, 3000) g;
SELECT check_t();
ROLLBACK;
SELECT check_t();
ALTER TABLE t SET TABLESPACE regress_kyro_space;
REINDEX (TABLESPACE pg_default) INDEX t_k;
SELECT check_t();
ALTER TABLE t SET TABLESPACE pg_default;
DROP TABLESPACE regress_kyro_space;
SELECT check_t();

-- TRUNCATE: alone, rolled back, in the transaction that made the table, twice
BEGIN;
TRUNCATE t;
SELECT check_t();
INSERT INTO t (id, k) SELECT g, g FROM generate_series(1, 500) g;
SELECT check_t();
ROLLBACK;
SELECT check_t();
TRUNCATE t;
SELECT check_t();
INSERT INTO t (id, k) SELECT g, g FROM generate_series(1, 5000) g;
SELECT check_t();
BEGIN;
CREATE TABLE n (id bigint, k bigint, pad text);
CREATE INDEX n_k ON n USING kyro_rmi (k);
INSERT INTO n SELECT g, rnd(g, 1) FROM generate_series(1, 8000) g;
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 1000000000000000'], 1);
TRUNCATE n;
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 1000000000000000'], 1);
INSERT INTO n SELECT g, g FROM generate_series(1, 300) g;
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 100'], 1);
SAVEPOINT s;
TRUNCATE n;
INSERT INTO n SELECT g, -g FROM generate_series(1, 30) g;
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 100'], 1);
ROLLBACK TO s;
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 100'], 1);
COMMIT;
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 100'], 1);

-- an index made and undone, with rows in between
BEGIN;
CREATE INDEX n_2 ON n USING kyro_rmi (id);
INSERT INTO n SELECT g, g FROM generate_series(301, 600) g;
SAVEPOINT s;
DROP INDEX n_2;
CREATE INDEX n_2 ON n USING kyro_rmi (k);
INSERT INTO n SELECT g, g FROM generate_series(601, 900) g;
ROLLBACK TO s;
INSERT INTO n SELECT g, g FROM generate_series(901, 1200) g;
SELECT * FROM kyro.verify('n_2', true);
ROLLBACK;
SELECT to_regclass('n_2');
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 100'], 1);
BEGIN;
DROP INDEX n_k;
INSERT INTO n SELECT g, g FROM generate_series(2001, 2100) g;
ROLLBACK;
INSERT INTO n SELECT g, g FROM generate_series(3001, 3100) g;
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 100'], 1);
BEGIN;
REINDEX INDEX n_k;
INSERT INTO n SELECT g, g FROM generate_series(4001, 4100) g;
ROLLBACK;
SELECT oracle_compare('n', ARRAY['k > 0', 'k IS NULL', 'k < 100'], 1);

-- temporary tables: rows that go at COMMIT, tables that go, the same name again
CREATE TEMP TABLE tmp (id bigint, k bigint, pad text) ON COMMIT DELETE ROWS;
CREATE INDEX tmp_k ON tmp USING kyro_rmi (k);
BEGIN;
INSERT INTO tmp SELECT g, rnd(g, 2) FROM generate_series(1, 8000) g;
SELECT oracle_compare('tmp', ARRAY['k > 0', 'k IS NULL', 'k < 1000000000000000'], 1);
COMMIT;
SELECT oracle_compare('tmp', ARRAY['k > 0', 'k IS NULL', 'k < 1000000000000000'], 1);
BEGIN;
INSERT INTO tmp SELECT g, g FROM generate_series(1, 100) g;
SELECT oracle_compare('tmp', ARRAY['k > 0', 'k IS NULL', 'k < 50'], 1);
COMMIT;
BEGIN;
INSERT INTO tmp SELECT g, rnd(g, 3) FROM generate_series(1, 8000) g;
SELECT oracle_compare('tmp', ARRAY['k > 0', 'k IS NULL', 'k < 1000000000000000'], 1);
ROLLBACK;
SELECT count(*) FROM tmp;
BEGIN;
CREATE TEMP TABLE gone (k bigint) ON COMMIT DROP;
CREATE INDEX gone_k ON gone USING kyro_rmi (k);
INSERT INTO gone SELECT g FROM generate_series(1, 1000) g;
COMMIT;
DROP TABLE tmp;
CREATE TEMP TABLE tmp (id bigint, k timestamp, pad text);
CREATE INDEX tmp_k ON tmp USING kyro_rmi (k);
INSERT INTO tmp SELECT g, timestamp '2024-01-01' + g * interval '1 minute' FROM generate_series(1, 5000) g;
DELETE FROM tmp WHERE id % 3 = 0;
VACUUM tmp;
SELECT oracle_compare('tmp', ARRAY['k > ''2024-01-02''', 'k IS NULL', 'k < ''2024-01-01 05:00'''], 1);

-- unlogged tables
CREATE UNLOGGED TABLE unl (id bigint, k bigint, pad text);
CREATE INDEX unl_k ON unl USING kyro_rmi (k);
INSERT INTO unl SELECT g, rnd(g, 4) FROM generate_series(1, 8000) g;
SELECT oracle_compare('unl', ARRAY['k > 0', 'k IS NULL', 'k < 1000000000000000'], 1);
SELECT pg_relation_size('unl_k', 'init') > 0 AS init_fork;
TRUNCATE unl;
INSERT INTO unl SELECT g, g FROM generate_series(1, 800) g;
SELECT oracle_compare('unl', ARRAY['k > 0', 'k IS NULL', 'k < 100'], 1);

-- partitions: an index on the parent, queries across, attach and detach
CREATE TABLE pt (id bigint, k bigint, pad text) PARTITION BY RANGE (k);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (5000);
CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM (5000) TO (10000);
CREATE INDEX pt_k ON pt USING kyro_rmi (k);
INSERT INTO pt SELECT g, g FROM generate_series(0, 9999) g;
CREATE TABLE pt3 (id bigint, k bigint, pad text);
INSERT INTO pt3 SELECT g, g FROM generate_series(10000, 14999) g;
CREATE INDEX pt3_mine ON pt3 USING kyro_rmi (k);
ALTER TABLE pt ATTACH PARTITION pt3 FOR VALUES FROM (10000) TO (15000);
SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'pt_k'::regclass ORDER BY inhrelid::regclass::text COLLATE "C";
ANALYZE pt;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM pt WHERE k = 7000;
EXPLAIN (COSTS OFF) SELECT * FROM pt WHERE k BETWEEN 4990 AND 5010 ORDER BY k;
SELECT count(*), min(k), max(k) FROM pt WHERE k BETWEEN 4990 AND 10010;
SELECT k FROM pt WHERE k > 4997 ORDER BY k LIMIT 5;
SELECT k FROM pt WHERE k < 5002 ORDER BY k DESC LIMIT 5;
UPDATE pt SET k = k + 5000 WHERE k BETWEEN 4000 AND 4005;
SELECT tableoid::regclass, count(*) FROM pt WHERE k BETWEEN 9000 AND 9005 GROUP BY 1;
RESET enable_seqscan;
RESET enable_bitmapscan;
ALTER TABLE pt DETACH PARTITION pt2;
SELECT i, v.* FROM unnest(ARRAY['pt1_k_idx', 'pt2_k_idx', 'pt3_mine']::regclass[]) i, kyro.verify(i, true) v;
DROP INDEX pt_k;
SELECT to_regclass('pt1_k_idx'), to_regclass('pt2_k_idx'), to_regclass('pt3_mine');
-- inheritance
CREATE TABLE parent (id bigint, k bigint, pad text);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent SELECT g, g * 2 FROM generate_series(1, 3000) g;
INSERT INTO child SELECT g, g * 2 + 1 FROM generate_series(1, 3000) g;
CREATE INDEX parent_k ON parent USING kyro_rmi (k);
CREATE INDEX child_k ON child USING kyro_rmi (k);
ANALYZE parent, child;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT k FROM parent WHERE k < 20 ORDER BY k;
SELECT k FROM parent WHERE k < 10 ORDER BY k;
RESET enable_seqscan;
-- CREATE TABLE LIKE copies it
CREATE TABLE copy (LIKE parent INCLUDING ALL);
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'copy'::regclass;

-- materialized views, dropped columns before the key, tables without rows
CREATE MATERIALIZED VIEW mv AS SELECT id, k::bigint AS k, pad FROM t;
CREATE INDEX mv_k ON mv USING kyro_rmi (k);
SELECT oracle_compare('mv', ARRAY['k = 7', 'k < 100', 'k IS NULL'], 1);
UPDATE t SET k = k + 10000;
REFRESH MATERIALIZED VIEW mv;
SELECT oracle_compare('mv', ARRAY['k = 10007', 'k < 10100', 'k IS NULL'], 1);
REFRESH MATERIALIZED VIEW mv WITH NO DATA;
REFRESH MATERIALIZED VIEW mv;
SELECT oracle_compare('mv', ARRAY['k = 10007', 'k < 10100', 'k IS NULL'], 1);
CREATE TABLE dropped (a int, id bigint, b text, k bigint, pad text);
ALTER TABLE dropped DROP COLUMN a, DROP COLUMN b;
CREATE INDEX dropped_k ON dropped USING kyro_rmi (k);
INSERT INTO dropped SELECT g, g FROM generate_series(1, 1000) g;
SELECT oracle_compare('dropped', ARRAY['k = 7', 'k < 100', 'k IS NULL'], 1);
-- generated columns and identity
CREATE TABLE gen (id bigint GENERATED ALWAYS AS IDENTITY, x int, k bigint GENERATED ALWAYS AS (x * 10) STORED, pad text);
CREATE INDEX gen_k ON gen USING kyro_rmi (k);
CREATE INDEX gen_id ON gen USING kyro_rmi (id);
INSERT INTO gen (x) SELECT g FROM generate_series(1, 2000) g;
UPDATE gen SET x = x + 1 WHERE id % 2 = 0;
SELECT oracle_compare('gen', ARRAY['k = 70', 'k < 1000', 'k IS NULL'], 1);

-- statistics of an expression, comments, dependencies
COMMENT ON INDEX gen_k IS 'a comment';
SELECT obj_description('gen_k'::regclass);
ALTER TABLE gen DROP COLUMN k;
SELECT to_regclass('gen_k');
-- dropped in a transaction that a cursor still reads from
BEGIN;
SET LOCAL enable_sort = off;
DECLARE c CURSOR FOR SELECT id FROM gen ORDER BY id;
FETCH 1 FROM c;
SAVEPOINT s;
DROP TABLE gen;
ROLLBACK TO s;
FETCH 1 FROM c;
CLOSE c;
DROP TABLE gen;
COMMIT;
