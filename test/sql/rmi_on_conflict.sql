--
-- INSERT ... ON CONFLICT with unique kyro_rmi indexes, in every form.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
LOAD 'kyrodb';
CREATE SCHEMA onconflict;
SET search_path = onconflict, public;
CREATE TABLE t (k bigint, n int DEFAULT 1, pad text) WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX t_k ON t USING kyro_rmi (k);
INSERT INTO t SELECT g * 2, 1, 'x' FROM generate_series(1, 5000) g;

-- direct
INSERT INTO t VALUES (10) ON CONFLICT (k) DO NOTHING;
INSERT INTO t VALUES (11) ON CONFLICT (k) DO NOTHING;
INSERT INTO t VALUES (10) ON CONFLICT DO NOTHING;
INSERT INTO t VALUES (13) ON CONFLICT DO NOTHING;
INSERT INTO t VALUES (10) ON CONFLICT (k) DO UPDATE SET n = t.n + 1;
INSERT INTO t VALUES (15, 7, 'new') ON CONFLICT (k) DO UPDATE SET n = t.n + excluded.n, pad = excluded.pad;
INSERT INTO t VALUES (15, 7, 'old') ON CONFLICT (k) DO UPDATE SET n = t.n + excluded.n, pad = excluded.pad WHERE t.n < 14;
INSERT INTO t VALUES (15, 7, 'old') ON CONFLICT (k) DO UPDATE SET n = t.n + excluded.n, pad = excluded.pad WHERE t.n < 14;
INSERT INTO t AS target (k, n) VALUES (12, 5), (17, 5), (14, 5) ON CONFLICT (k) DO UPDATE SET n = target.n + excluded.n RETURNING k, n;
SELECT k, n, pad FROM t WHERE k BETWEEN 10 AND 17 ORDER BY k;
-- from a query, rows that are there and rows that are not
INSERT INTO t SELECT g, 100 FROM generate_series(9990, 10010) g ON CONFLICT (k) DO UPDATE SET n = excluded.n;
SELECT count(*), sum(n) FROM t WHERE k >= 9990;
-- the same row twice
INSERT INTO t VALUES (20), (20) ON CONFLICT (k) DO NOTHING;
INSERT INTO t VALUES (21), (21) ON CONFLICT (k) DO NOTHING;
INSERT INTO t VALUES (23), (23) ON CONFLICT (k) DO UPDATE SET n = 2;
-- the update moves the key away, or onto another one
INSERT INTO t VALUES (30) ON CONFLICT (k) DO UPDATE SET k = 31;
INSERT INTO t VALUES (32) ON CONFLICT (k) DO UPDATE SET k = 34;
SELECT k FROM t WHERE k BETWEEN 29 AND 35 ORDER BY k;
-- NULLs never conflict
INSERT INTO t VALUES (NULL), (NULL) ON CONFLICT (k) DO UPDATE SET n = 9;
INSERT INTO t VALUES (NULL) ON CONFLICT DO NOTHING;
SELECT count(*) FROM t WHERE k IS NULL;
-- no such arbiter
INSERT INTO t VALUES (1) ON CONFLICT (n) DO NOTHING;
INSERT INTO t VALUES (1) ON CONFLICT ON CONSTRAINT t_k DO NOTHING;

-- prepared, with plans of both kinds
PREPARE ins(bigint, int) AS INSERT INTO t VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET n = t.n + excluded.n RETURNING k, n;
EXECUTE ins(40, 1);
EXECUTE ins(41, 1);
EXECUTE ins(41, 10);
SET plan_cache_mode = force_generic_plan;
EXECUTE ins(40, 100);
EXECUTE ins(43, 100);
RESET plan_cache_mode;
PREPARE nothing(bigint) AS INSERT INTO t VALUES ($1) ON CONFLICT DO NOTHING RETURNING k;
EXECUTE nothing(40);
EXECUTE nothing(45);
EXECUTE nothing(45);

-- plpgsql, SQL functions, DO
CREATE FUNCTION upsert(bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	r int;
BEGIN
	INSERT INTO t VALUES ($1) ON CONFLICT (k) DO UPDATE SET n = t.n + 1 RETURNING n INTO r;
	RETURN r;
END $$;
SELECT upsert(50), upsert(51), upsert(51), upsert(50);
CREATE FUNCTION upsert_sql(bigint) RETURNS int LANGUAGE sql AS
	'INSERT INTO t VALUES ($1) ON CONFLICT (k) DO UPDATE SET n = t.n + 1 RETURNING n';
SELECT upsert_sql(52), upsert_sql(53), upsert_sql(53);
DO $$ BEGIN INSERT INTO t VALUES (54) ON CONFLICT DO NOTHING; INSERT INTO t VALUES (55) ON CONFLICT DO NOTHING; END $$;
SELECT k, n FROM t WHERE k BETWEEN 50 AND 55 ORDER BY k;
-- with a subtransaction around it
CREATE FUNCTION upsert_caught(bigint, int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO t VALUES ($1) ON CONFLICT (k) DO UPDATE SET n = 1 / $2;
	RETURN 'done';
EXCEPTION WHEN division_by_zero THEN
	RETURN 'caught';
END $$;
SELECT upsert_caught(50, 0), upsert_caught(57, 0), upsert_caught(50, 1);

-- in a CTE, used and unused, two at once
WITH i AS (INSERT INTO t VALUES (60), (61) ON CONFLICT (k) DO UPDATE SET n = t.n + 1 RETURNING k, n) SELECT * FROM i ORDER BY k;
WITH i AS (INSERT INTO t VALUES (60), (63) ON CONFLICT (k) DO NOTHING) SELECT 1 AS one;
WITH i AS (INSERT INTO t VALUES (60) ON CONFLICT (k) DO UPDATE SET n = t.n + 1 RETURNING k),
	 j AS (INSERT INTO t VALUES (65) ON CONFLICT DO NOTHING RETURNING k)
SELECT (SELECT k FROM i), (SELECT k FROM j);
WITH src AS (SELECT g FROM generate_series(66, 69) g)
INSERT INTO t SELECT g FROM src ON CONFLICT (k) DO UPDATE SET n = -1;
SELECT k, n FROM t WHERE k BETWEEN 60 AND 69 ORDER BY k;

-- in a trigger, on a table with triggers, and by a rule
CREATE TABLE log (k bigint, n int DEFAULT 1);
CREATE UNIQUE INDEX log_k ON log USING kyro_rmi (k);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log VALUES (new.k % 10) ON CONFLICT (k) DO UPDATE SET n = log.n + 1;
	RETURN new;
END $$;
CREATE TABLE watched (k bigint);
CREATE TRIGGER note BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO watched SELECT g FROM generate_series(1, 25) g;
SELECT * FROM log ORDER BY k;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO t VALUES (70), (71) ON CONFLICT (k) DO UPDATE SET n = t.n + 1;
SELECT * FROM log ORDER BY k;
DROP TRIGGER note ON t;
CREATE VIEW tv AS SELECT k, n FROM t;
INSERT INTO tv VALUES (72), (73) ON CONFLICT (k) DO UPDATE SET n = excluded.n + 41;
SELECT k, n FROM t WHERE k IN (72, 73) ORDER BY k;
CREATE RULE quiet AS ON INSERT TO watched WHERE new.k = 100 DO INSTEAD INSERT INTO t VALUES (new.k) ON CONFLICT DO NOTHING;
INSERT INTO watched VALUES (100);

-- EXPLAIN, which inserts nothing, and EXPLAIN ANALYZE, which does
\getenv srcdir PG_ABS_SRCDIR
\set explained :srcdir '/lib/explained.psql'
\set ECHO none
\i :explained
\set ECHO all
EXPLAIN (COSTS OFF) INSERT INTO t VALUES (80) ON CONFLICT (k) DO UPDATE SET n = 1;
SELECT explained('INSERT INTO t VALUES (80), (81) ON CONFLICT (k) DO UPDATE SET n = t.n + 1 WHERE t.k > 0');
SELECT explained('INSERT INTO t VALUES (80), (83) ON CONFLICT DO NOTHING');
SELECT k, n FROM t WHERE k BETWEEN 80 AND 83 ORDER BY k;

-- a primary key beside it: either one is the arbiter, both are watched
CREATE TABLE b (id int PRIMARY KEY, k bigint, n int DEFAULT 1);
CREATE UNIQUE INDEX b_k ON b USING kyro_rmi (k);
INSERT INTO b SELECT g, g * 10 FROM generate_series(1, 100) g;
INSERT INTO b VALUES (5, 55) ON CONFLICT (id) DO UPDATE SET n = b.n + 1;
INSERT INTO b VALUES (105, 50) ON CONFLICT (k) DO UPDATE SET n = b.n + 1;
INSERT INTO b VALUES (6, 50) ON CONFLICT DO NOTHING;
INSERT INTO b VALUES (106, 60) ON CONFLICT DO NOTHING;
INSERT INTO b VALUES (107, 1070) ON CONFLICT DO NOTHING;
-- the other one is violated
INSERT INTO b VALUES (5, 555) ON CONFLICT (k) DO UPDATE SET n = 0;
INSERT INTO b VALUES (555, 50) ON CONFLICT (id) DO UPDATE SET n = 0;
SELECT * FROM b WHERE id IN (5, 6) OR id > 100 ORDER BY id;
-- ours made first, and one more unique btree
CREATE TABLE c (k bigint, id int, e int);
CREATE UNIQUE INDEX c_k ON c USING kyro_rmi (k);
ALTER TABLE c ADD PRIMARY KEY (id);
ALTER TABLE c ADD UNIQUE (e);
INSERT INTO c VALUES (1, 1, 1) ON CONFLICT (id) DO UPDATE SET k = 9;
INSERT INTO c VALUES (1, 2, 2) ON CONFLICT (k) DO UPDATE SET e = excluded.e;
INSERT INTO c VALUES (3, 3, 2) ON CONFLICT (e) DO UPDATE SET k = excluded.k;
INSERT INTO c VALUES (3, 4, 4) ON CONFLICT (e) DO NOTHING;
SELECT * FROM c;
-- partial, expression, NULLS NOT DISTINCT, other types
CREATE TABLE p (k int, live boolean, d date);
CREATE UNIQUE INDEX p_k ON p USING kyro_rmi (k) WHERE live;
CREATE UNIQUE INDEX p_e ON p USING kyro_rmi ((k % 100));
CREATE UNIQUE INDEX p_d ON p USING kyro_rmi (d) NULLS NOT DISTINCT;
INSERT INTO p VALUES (1, true, '2024-01-01') ON CONFLICT (k) WHERE live DO UPDATE SET live = false;
INSERT INTO p VALUES (1, true, '2024-01-02') ON CONFLICT (k) WHERE live DO UPDATE SET k = 2;
INSERT INTO p VALUES (102, false, '2024-01-03') ON CONFLICT ((k % 100)) DO UPDATE SET k = excluded.k;
INSERT INTO p VALUES (3, true, NULL) ON CONFLICT (d) DO NOTHING;
INSERT INTO p VALUES (4, true, NULL) ON CONFLICT (d) DO UPDATE SET k = excluded.k;
SELECT * FROM p ORDER BY k;
-- temporary and unlogged tables, a row that is deleted and inserted again
CREATE TEMP TABLE tmp (k bigint, n int DEFAULT 1);
CREATE UNIQUE INDEX tmp_k ON tmp USING kyro_rmi (k);
INSERT INTO tmp SELECT g % 100 FROM generate_series(1, 100) g ON CONFLICT (k) DO UPDATE SET n = tmp.n + 1;
INSERT INTO tmp SELECT g FROM generate_series(1, 300) g ON CONFLICT (k) DO UPDATE SET n = tmp.n + 1;
DELETE FROM tmp WHERE k < 50;
INSERT INTO tmp SELECT g FROM generate_series(1, 300) g ON CONFLICT (k) DO NOTHING;
SELECT n, count(*) FROM tmp GROUP BY n ORDER BY n;
-- what conflicts is one row of many versions
UPDATE t SET k = k WHERE k BETWEEN 200 AND 300;
UPDATE t SET k = k WHERE k BETWEEN 200 AND 300;
INSERT INTO t SELECT g FROM generate_series(200, 300) g ON CONFLICT (k) DO UPDATE SET n = t.n + 10;
SELECT n, count(*) FROM t WHERE k BETWEEN 200 AND 300 GROUP BY n ORDER BY n;
-- inherited and partitioned tables: the arbiter of one table only
CREATE TABLE child () INHERITS (t);
INSERT INTO child VALUES (10), (10);
INSERT INTO t VALUES (10) ON CONFLICT (k) DO UPDATE SET n = t.n + 1 RETURNING n;
-- COPY and MERGE beside it
MERGE INTO t USING (VALUES (400), (401)) v(k) ON t.k = v.k AND t.tableoid = 't'::regclass
	WHEN MATCHED THEN UPDATE SET n = 400 WHEN NOT MATCHED THEN INSERT VALUES (v.k, 401);
SELECT k, n FROM ONLY t WHERE k IN (400, 401) ORDER BY k;
SELECT i AS index, v.* FROM unnest(ARRAY['t_k', 'b_k', 'c_k', 'log_k', 'p_k', 'p_e', 'p_d', 'tmp_k']::regclass[]) i, kyro.verify(i, true) v;
