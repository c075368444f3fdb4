-- Functions given a partitioned table or index do its partitions.
SET client_min_messages = notice;
CREATE SCHEMA parts;
SET search_path = parts;
CREATE TABLE t (id bigint, d int, v text) PARTITION BY LIST (d);
CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1) USING kyro;
CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2, 3) PARTITION BY LIST (d);
CREATE TABLE t22 PARTITION OF t2 FOR VALUES IN (2) USING kyro;
CREATE TABLE t23 PARTITION OF t2 FOR VALUES IN (3) USING heap;
CREATE INDEX t_id ON t USING kyro_rmi (id);
INSERT INTO t SELECT g, 1 + g % 3, 'v' || g FROM generate_series(1, 3000) g;
CREATE TABLE twin AS TABLE t;
CREATE VIEW differs AS (TABLE t EXCEPT ALL TABLE twin) UNION ALL (TABLE twin EXCEPT ALL TABLE t);

-- snapshot: at most max_rows of all, in the order in which the partitions were made
SELECT run, rows, pages > 0 AS pages, bytes = pages * 8192 AS bytes, duration IS NOT NULL AS duration FROM kyro.snapshot('t', 1500);
SELECT relname, sealed_rows FROM kyro.stat_tables WHERE schemaname = 'parts' ORDER BY relname;
SELECT run, rows FROM kyro.snapshot('t');
SELECT run, rows, pages, bytes, duration FROM kyro.snapshot('t');
-- a tree within the tree
INSERT INTO t SELECT g, 1 + g % 3, 'w' || g FROM generate_series(3001, 6000) g;
SELECT run, rows FROM kyro.snapshot('t2');
SELECT relname, sealed_rows FROM kyro.stat_tables WHERE schemaname = 'parts' ORDER BY relname;
DELETE FROM twin;
INSERT INTO twin TABLE t;
SELECT count(*) FROM differs;

-- seal, in batches
INSERT INTO t SELECT g, 1 + g % 3, 'x' || g FROM generate_series(6001, 9000) g;
DELETE FROM twin;
INSERT INTO twin TABLE t;
SET client_min_messages = warning;
CALL kyro.seal('t', batch => 500);
SET client_min_messages = notice;
SELECT relname, sealed_rows, runs > 2 AS runs FROM kyro.stat_tables WHERE schemaname = 'parts' ORDER BY relname;
SELECT count(*) FROM differs;
CALL kyro.seal('t2');

-- rebuild, warmup, verify
SELECT leaves > 0 AS leaves, pages_before > 0 AS before, pages_after >= leaves AS after FROM kyro.rebuild('t_id');
SELECT (SELECT leaves FROM kyro.rebuild('t_id')) = sum(leaves) AS all_leaves, min(rebuilds) > 1 AS each FROM kyro.stat_indexes WHERE schemaname = 'parts';
SELECT kyro.warmup('t') > 0 AS pages, kyro.warmup('t_id') > 0 AS index_pages;
SELECT * FROM kyro.verify('t', deep => true);
SELECT * FROM kyro.verify('t_id', deep => true);

-- what is refused
CREATE TABLE e (id bigint) PARTITION BY RANGE (id);
CREATE INDEX e_id ON e USING kyro_rmi (id);
CREATE INDEX e_btree ON e (id);
SELECT * FROM kyro.snapshot('e');
CALL kyro.seal('e');
SELECT * FROM kyro.snapshot('t23');
CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (10) USING heap;
SELECT * FROM kyro.snapshot('e');
CALL kyro.seal('e');
DROP TABLE e1;
SELECT leaves, pages_before, pages_after, eps_max FROM kyro.rebuild('e_id');
SELECT * FROM kyro.rebuild('e_btree');
SELECT * FROM kyro.rebuild('t');
BEGIN;
CALL kyro.seal('t');
ROLLBACK;
-- the owner of the table, and of each partition
CREATE ROLE regress_parts;
GRANT ALL ON SCHEMA parts TO regress_parts;
SET ROLE regress_parts;
SELECT * FROM kyro.snapshot('t');
CALL kyro.seal('t');
SELECT * FROM kyro.rebuild('t_id');
RESET ROLE;
ALTER TABLE t OWNER TO regress_parts;
SET ROLE regress_parts;
INSERT INTO t2 VALUES (1, 2, 'not mine');
SELECT * FROM kyro.snapshot('t');
SELECT * FROM kyro.rebuild('t_id');
RESET ROLE;
ALTER TABLE t1 OWNER TO regress_parts;
ALTER TABLE t2 OWNER TO regress_parts;
ALTER TABLE t22 OWNER TO regress_parts;
ALTER TABLE t23 OWNER TO regress_parts;
INSERT INTO t VALUES (10000, 2, 'y');
SET ROLE regress_parts;
SELECT rows FROM kyro.snapshot('t');
SELECT leaves > 0 AS leaves FROM kyro.rebuild('t_id');
RESET ROLE;
REVOKE ALL ON SCHEMA parts FROM regress_parts;
ALTER TABLE t OWNER TO CURRENT_USER;
ALTER TABLE t1 OWNER TO CURRENT_USER;
ALTER TABLE t2 OWNER TO CURRENT_USER;
ALTER TABLE t22 OWNER TO CURRENT_USER;
ALTER TABLE t23 OWNER TO CURRENT_USER;
DROP ROLE regress_parts;
