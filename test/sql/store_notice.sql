--
-- Who rewrites a sealed table with kyro.sealed_load off is told that its rows go back to the log, and how
-- to seal them again.  Nobody else is told anything.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS kyrodb;
RESET client_min_messages;
CREATE SCHEMA store_notice;
SET search_path = store_notice, public;
SET kyro.sealed_load = off;
CREATE TABLE t (id int, n int, v text) USING kyro;
CREATE TABLE "it's" (id int, n int, v text) USING kyro;
CREATE TABLE never (id int, n int) USING kyro;
CREATE TABLE h (id int, n int);
INSERT INTO t SELECT g, g, g FROM generate_series(1, 1000) g;
INSERT INTO "it's" SELECT g, g, g FROM generate_series(1, 1000) g;
INSERT INTO never SELECT g, g FROM generate_series(1, 1000) g;
INSERT INTO h SELECT g, g FROM generate_series(1, 1000) g;
SELECT count(*) FROM kyro.snapshot('t') a, kyro.snapshot('"it''s"') b;
-- rewrites
ALTER TABLE t ALTER n TYPE bigint;
ALTER TABLE "it's" ALTER n TYPE bigint, ADD u uuid DEFAULT gen_random_uuid();
SELECT count(*) FROM kyro.snapshot('store_notice."it''s"');
SELECT count(*) FROM kyro.snapshot('t');
ALTER TABLE t SET UNLOGGED;
ALTER TABLE t SET LOGGED;
SELECT count(*) FROM kyro.snapshot('t');
BEGIN;
ALTER TABLE t SET UNLOGGED;
ROLLBACK;
-- not if it seals again
SET kyro.sealed_load = auto;
ALTER TABLE t SET LOGGED;
ALTER TABLE t SET UNLOGGED;
ALTER TABLE t SET LOGGED;
SELECT rows FROM kyro.snapshot('t');
SET kyro.sealed_load = off;
-- of tables that are not sealed, or not any more, and heaps
ALTER TABLE never ALTER n TYPE bigint;
ALTER TABLE h ALTER n TYPE bigint;
-- no rewrite, or one that seals again
ALTER TABLE t ADD later int DEFAULT 5, ALTER v TYPE varchar, DROP n;
ALTER TABLE t SET ACCESS METHOD kyro;
ALTER TABLE t SET (fillfactor = 50);
VACUUM FULL t;
-- to a heap: that is what is wanted
ALTER TABLE t SET ACCESS METHOD heap;
ALTER TABLE t SET ACCESS METHOD kyro;
SELECT count(*) FROM kyro.snapshot('t');
-- partitions and children, each by its name; a type that tables are made of
CREATE TABLE p (id int, n int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100) USING kyro;
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (200) TO (300) USING kyro;
INSERT INTO p SELECT g, g FROM generate_series(1, 299) g;
SELECT count(*) FROM kyro.snapshot('p1') a, kyro.snapshot('p3') b;
ALTER TABLE p ALTER n TYPE bigint;
CREATE TYPE typ AS (id int, n int);
CREATE TABLE of_type OF typ USING kyro;
INSERT INTO of_type VALUES (1, 1);
SELECT count(*) FROM kyro.snapshot('of_type');
ALTER TYPE typ ALTER ATTRIBUTE n TYPE bigint CASCADE;
-- called by anybody else
SELECT kyro.on_rewrite();
SELECT kyro.before_ddl();
SELECT kyro.after_ddl();
