--
-- A table with a unique kyro_rmi index becomes a partition: what could be made
-- can be made again.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
LOAD 'kyrodb';
CREATE SCHEMA partition_unique;
SET search_path = partition_unique, public;
CREATE TABLE p (a int, n int DEFAULT 1, pad text DEFAULT 'x') PARTITION BY RANGE (a);
CREATE TABLE c (a int, n int DEFAULT 1, pad text DEFAULT 'x') WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX c_a ON c USING kyro_rmi (a);
ALTER TABLE p ATTACH PARTITION c FOR VALUES FROM (0) TO (10000);
CREATE TABLE plain PARTITION OF p FOR VALUES FROM (10000) TO (20000);
CREATE TABLE k (a int, n int DEFAULT 1, pad text DEFAULT 'x') USING kyro;
CREATE UNIQUE INDEX k_a ON k USING kyro_rmi (a);
ALTER TABLE p ATTACH PARTITION k FOR VALUES FROM (20000) TO (30000);
INSERT INTO p SELECT g FROM generate_series(1, 3000) g;
INSERT INTO p SELECT 20000 + g FROM generate_series(1, 3000) g;
SELECT count(*) FROM kyro.snapshot('k');

-- every kind of rebuild
REINDEX INDEX c_a;
REINDEX INDEX CONCURRENTLY c_a;
REINDEX TABLE c;
REINDEX TABLE CONCURRENTLY p;
REINDEX TABLE p;
VACUUM FULL c;
CLUSTER c USING c_a;
VACUUM FULL k;
ALTER TABLE c SET UNLOGGED;
ALTER TABLE c SET LOGGED;
ALTER TABLE c SET ACCESS METHOD kyro;
ALTER TABLE c SET ACCESS METHOD heap;
ALTER TABLE p ALTER COLUMN pad TYPE varchar(100);
TRUNCATE plain;
BEGIN;
TRUNCATE c;
ROLLBACK;
-- an index made on a partition, as a dump does it
CREATE TABLE later PARTITION OF p FOR VALUES FROM (30000) TO (40000);
CREATE UNIQUE INDEX later_a ON later USING kyro_rmi (a);
CREATE UNIQUE INDEX CONCURRENTLY later_n ON later USING kyro_rmi (a) WHERE n = 1;
INSERT INTO p VALUES (30001), (30002);
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid IN ('c'::regclass, 'k'::regclass, 'later'::regclass) ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT c.oid::regclass, v.* FROM pg_class c, LATERAL kyro.verify(c.oid, deep => true) v WHERE relnamespace = 'partition_unique'::regnamespace AND relam = (SELECT oid FROM pg_am WHERE amname = 'kyro_rmi');

-- uniqueness is watched on every way
INSERT INTO p VALUES (5);
INSERT INTO k VALUES (20005);
UPDATE p SET a = 7 WHERE a = 30001;
INSERT INTO p VALUES (30001);
-- ON CONFLICT: where the partition is named, and through the parent (more in rmi_on_conflict_partitions.sql)
INSERT INTO c VALUES (5) ON CONFLICT (a) DO UPDATE SET n = c.n + 1 RETURNING *;
INSERT INTO k VALUES (20005) ON CONFLICT DO NOTHING;
INSERT INTO p VALUES (10001) ON CONFLICT DO NOTHING RETURNING a;
INSERT INTO p VALUES (5) ON CONFLICT DO NOTHING;
INSERT INTO p VALUES (10002), (4000) ON CONFLICT DO NOTHING;
WITH i AS (INSERT INTO p VALUES (30005) ON CONFLICT DO NOTHING RETURNING a) SELECT * FROM i;
PREPARE ins(int) AS INSERT INTO p VALUES ($1) ON CONFLICT DO NOTHING;
EXECUTE ins(10003);
EXECUTE ins(20005);
-- and fails as it would
INSERT INTO p VALUES (-1) ON CONFLICT DO NOTHING;
INSERT INTO p SELECT 10004 / (g - 1) FROM generate_series(1, 2) g ON CONFLICT DO NOTHING;
SELECT a, n FROM p WHERE a IN (5, 4000, 10001, 10002, 10003, 20005, 30005) ORDER BY a;
-- the parent takes one, too
CREATE UNIQUE INDEX ON p USING kyro_rmi (a);
CREATE UNIQUE INDEX ON ONLY p USING kyro_rmi (a);
-- out again
ALTER TABLE p DETACH PARTITION c;
REINDEX TABLE c;
INSERT INTO c VALUES (5) ON CONFLICT (a) DO UPDATE SET n = c.n + 1 RETURNING *;
