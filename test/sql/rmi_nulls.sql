--
-- NULLs: they are the tail of the index, and only IS NULL asks for them.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA nulls;
SET search_path = nulls, public;
CREATE TABLE t (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT g, CASE WHEN g % 3 = 0 THEN NULL ELSE g END, 'x' FROM generate_series(1, 15000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
VACUUM ANALYZE t;
SELECT oracle_compare('t', oracle_conds('t'), 4);

-- the largest key is no NULL
INSERT INTO t VALUES (20001, 9223372036854775807), (20002, NULL), (20003, 9223372036854775807);
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_bitmapscan = off;
SELECT id FROM t WHERE k = 9223372036854775807 ORDER BY id + 0 LIMIT 0;
SELECT k, count(*) FROM t WHERE k >= 14999 OR k IS NULL GROUP BY k ORDER BY k;
(SELECT k FROM t ORDER BY k OFFSET 9998 LIMIT 5);
(SELECT k FROM t ORDER BY k DESC LIMIT 2);
(SELECT k FROM t WHERE k IS NOT NULL ORDER BY k DESC LIMIT 3);
SELECT min(k), max(k) FROM t;

-- a comparison with NULL finds nothing, known before or during execution
SELECT count(*) FROM t WHERE k = NULL;
SELECT count(*) FROM t WHERE k = (SELECT NULL::bigint);
SELECT count(*) FROM t WHERE k > (SELECT NULL::bigint) AND k < 100;
SELECT count(*) FROM t WHERE k IN (1, NULL, 2);
SELECT count(*) FROM t WHERE k NOT IN (1, NULL, 2);
SELECT count(*) FROM t WHERE k IS NULL AND k = 5;
SELECT count(*) FROM t WHERE k IS NULL AND k IS NOT NULL;
SELECT count(*) FROM t WHERE k IS NULL AND k >= (SELECT 5::bigint);
SELECT count(*) FROM (VALUES (NULL::bigint), (1), (NULL), (2), (3)) v(x) JOIN t ON t.k = v.x;

-- from the keys into the NULLs and back with one cursor
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT k FROM t WHERE k > 14996 OR k IS NULL ORDER BY k;
DECLARE d SCROLL CURSOR FOR SELECT k FROM t ORDER BY k;
MOVE FORWARD 9997 FROM d;
FETCH FORWARD 6 FROM d;
FETCH BACKWARD 5 FROM d;
FETCH LAST FROM d;
FETCH FIRST FROM d;
FETCH ABSOLUTE 10003 FROM d;
FETCH PRIOR FROM d;
FETCH PRIOR FROM d;
COMMIT;
RESET enable_bitmapscan;

-- from NULL to a key and back
UPDATE t SET k = id WHERE k IS NULL AND id % 2 = 0;
UPDATE t SET k = NULL WHERE k % 100 = 1;
SELECT oracle_compare('t', oracle_conds('t'), 4);
DELETE FROM t WHERE k IS NULL AND id % 4 <> 1;
VACUUM t;
SELECT oracle_compare('t', oracle_conds('t'), 4);
DELETE FROM t WHERE k IS NULL;
VACUUM t;
SELECT oracle_compare('t', oracle_conds('t'), 4);
INSERT INTO t SELECT 30000 + g, NULL FROM generate_series(1, 6000) g;
INSERT INTO t SELECT 40000 + g, 40000 + g FROM generate_series(1, 6000) g;
SELECT oracle_compare('t', oracle_conds('t'), 4);
DELETE FROM t WHERE k IS NOT NULL;
VACUUM t;
SELECT oracle_compare('t', oracle_conds('t'), 4);
SELECT leaves > 0 AS rebuilt FROM kyro.rebuild('t_k');
SELECT oracle_compare('t', oracle_conds('t'), 4);
INSERT INTO t SELECT 50000 + g, g FROM generate_series(1, 6000) g;
SELECT oracle_compare('t', oracle_conds('t'), 4);

-- joins on columns with NULLs match none of them
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT count(*) FROM t a JOIN t b ON a.k = b.k;
SELECT count(*), count(b.id) FROM t a LEFT JOIN t b ON a.k = b.k;
SELECT current_setting('oracle.checks') AS checks_done;

-- the first of several leaves of NULLs is emptied, and NULLs come back to the addresses that it had
CREATE TABLE many (k bigint) WITH (autovacuum_enabled = off);
INSERT INTO many SELECT NULL FROM generate_series(1, 50000);
CREATE INDEX many_k ON many USING kyro_rmi (k);
SELECT leaves > 3 AS several FROM kyro.index_shape('many_k');
DELETE FROM many WHERE ctid < '(90,0)';
VACUUM many;
INSERT INTO many SELECT NULL FROM generate_series(1, 20000);
SELECT count(*) > 1000 AS come_back FROM many WHERE ctid < '(90,0)';
SET enable_seqscan = off;
SELECT count(*) = (SELECT count(*) FROM many WHERE ctid > '(0,0)') AS all_found FROM many WHERE k IS NULL;
SELECT * FROM kyro.verify('many_k', deep => true);
