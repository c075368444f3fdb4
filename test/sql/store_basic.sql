--
-- Table access method kyro: rows go in and out, before a seal, after it, and
-- after the next one.
--
\set schema store_basic
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all

-- it is a table
CREATE TABLE store_basic_k.t (id int PRIMARY KEY, v text) USING kyro;
CREATE TABLE store_basic_h.t (id int PRIMARY KEY, v text) USING heap;
SELECT amname, amtype FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = 't'::regclass;
-- nothing to seal
SELECT run, rows, pages, bytes FROM kyro.snapshot('t');
SELECT * FROM t;
SELECT twin('DELETE FROM t');
SELECT twin('UPDATE t SET v = v RETURNING id');

-- all of it in the log
SELECT twin('INSERT INTO t SELECT g, ''v'' || g FROM generate_series(1, 3000) g');
SELECT twin('DELETE FROM t WHERE id % 10 = 0');
SELECT twin('UPDATE t SET v = v || ''u'' WHERE id % 10 = 1');
SELECT same('t');
-- sealed: the rows that are there, once
SELECT run IS NOT NULL AS run, rows, pages > 0 AS pages, bytes > 0 AS bytes, duration >= '0' AS duration FROM kyro.snapshot('t');
SELECT same('t');
SELECT rows FROM kyro.snapshot('t');
SELECT count(*), count(DISTINCT ctid), min(id), max(id), sum(id) FROM t;
SELECT twin('SELECT * FROM t WHERE id IN (1, 2, 10, 11, 2999, 3000) ORDER BY id');
-- reads of all kinds
SELECT twin('SELECT count(*), sum(id), md5(string_agg(v, '','' ORDER BY id)) FROM t');
SELECT twin('SELECT id FROM t ORDER BY id DESC LIMIT 3');
SELECT twin('SELECT id FROM t WHERE v = ''v1234''');
SELECT twin('SELECT count(*) FROM t a JOIN t b USING (id) WHERE a.v = b.v');
-- changes of sealed rows, and of rows that came since
SELECT twin('UPDATE t SET v = ''sealed'' WHERE id BETWEEN 100 AND 104 RETURNING *');
SELECT twin('DELETE FROM t WHERE id BETWEEN 105 AND 108 RETURNING t');
SELECT twin('UPDATE t SET v = v || ''!'' WHERE id BETWEEN 103 AND 112 RETURNING *');
SELECT twin('INSERT INTO t VALUES (100, ''twice'')');
SELECT twin('INSERT INTO t VALUES (105, ''again''), (-1, ''new'') RETURNING *');
SELECT twin('UPDATE t SET id = id + 10000 WHERE id BETWEEN 1 AND 5 RETURNING *');
SELECT twin('UPDATE t SET id = 11 WHERE id = 12');
SELECT twin('DELETE FROM t WHERE id > 10000 AND id % 2 = 0');
SELECT same('t');
-- the next run takes the new rows only
SELECT rows FROM kyro.snapshot('t');
SELECT same('t');
SELECT twin('UPDATE t SET v = ''third'' WHERE id BETWEEN 98 AND 110');
SELECT twin('DELETE FROM t WHERE id % 7 = 0');
SELECT twin('INSERT INTO t SELECT g, ''late'' FROM generate_series(4001, 4100) g');
SELECT same('t');
-- a part at a time; all of it goes in the end
SELECT rows FROM kyro.snapshot('t', 10);
SELECT same('t');
SELECT rows FROM kyro.snapshot('t', max_rows => 1);
SELECT rows FROM kyro.snapshot(tbl => 't', max_rows => 1000000);
SELECT rows FROM kyro.snapshot('t', NULL);
SELECT same('t');
-- a change of every row, and back
SELECT twin('UPDATE t SET id = -id');
SELECT same('t');
SELECT rows = count FROM kyro.snapshot('t'), (SELECT count(*) FROM store_basic_h.t) c;
SELECT twin('UPDATE t SET id = -id');
SELECT same('t');
SELECT rows = count FROM kyro.snapshot('t'), (SELECT count(*) FROM store_basic_h.t) c;
VACUUM t;
SELECT same('t');
-- all of it goes, and it is used again
SELECT twin('DELETE FROM t');
SELECT same('t');
VACUUM t;
SELECT same('t');
SELECT rows FROM kyro.snapshot('t');
SELECT twin('INSERT INTO t SELECT g, repeat(''x'', g % 50) FROM generate_series(1, 500) g');
SELECT rows FROM kyro.snapshot('t');
SELECT same('t');
SELECT * FROM kyro.verify('t', true);

-- rows with a key are sealed in its order, others as they came
SELECT twin('CREATE TABLE o (k int, n int)');
SELECT twin('CREATE TABLE p (k int PRIMARY KEY, n int)');
SELECT twin(format('INSERT INTO %s SELECT (g * 7919) %% 5003, g FROM generate_series(1, 5000) g', r)) FROM unnest(ARRAY['o', 'p']) r;
SELECT rows FROM kyro.snapshot('o');
SELECT rows FROM kyro.snapshot('p');
SELECT same('o'), same('p');
SELECT count(*) AS out_of_order FROM (SELECT n < lag(n) OVER (ORDER BY ctid) AS bad FROM o) s WHERE bad;
SELECT count(*) AS out_of_order FROM (SELECT k < lag(k) OVER (ORDER BY ctid) AS bad FROM p) s WHERE bad;
-- CLUSTER ON beats the primary key, an index of ours does where there is none
CREATE INDEX p_n ON p (n);
ALTER TABLE p CLUSTER ON p_n;
CREATE INDEX o_k ON o USING kyro_rmi (k);
UPDATE o SET k = k;
UPDATE p SET n = -n;
SELECT rows FROM kyro.snapshot('o');
SELECT rows FROM kyro.snapshot('p');
SELECT count(*) AS out_of_order FROM (SELECT k < lag(k) OVER (ORDER BY ctid) AS bad FROM o) s WHERE bad;
SELECT count(*) AS out_of_order FROM (SELECT n < lag(n) OVER (ORDER BY ctid) AS bad FROM p) s WHERE bad;
SELECT same('o');
-- NULLs and equal keys too
CREATE TABLE nn (k bigint, n int) USING kyro;
CREATE INDEX nn_k ON nn USING kyro_rmi (k);
INSERT INTO nn SELECT CASE WHEN g % 3 > 0 THEN g % 7 END, g FROM generate_series(1, 1000) g;
SELECT rows FROM kyro.snapshot('nn');
SELECT k, count(*), sum(n) FROM nn GROUP BY k ORDER BY k;
SELECT count(*) FROM nn WHERE k IS NULL;

-- system columns
SELECT count(*), count(DISTINCT ctid) AS tids, count(DISTINCT xmin::text) AS xmins, max(xmax::text), max(cmin::text), min(tableoid::regclass::text) FROM p;
SELECT ctid = (SELECT ctid FROM p WHERE k = 77) AS found FROM p WHERE ctid = (SELECT ctid FROM p WHERE k = 77);
UPDATE p SET n = 0 WHERE k = 77;
SELECT xmin = pg_current_xact_id()::xid AS mine, xmax FROM p WHERE k = 77;
BEGIN;
UPDATE p SET n = 1 WHERE k IN (77, 78);
SELECT k, xmin = pg_current_xact_id()::xid AS mine, xmax, cmin FROM p WHERE k IN (77, 78) ORDER BY k;
ROLLBACK;
SELECT k, n FROM p WHERE k = 77;

-- xmin as a token: it is that of the seal, whatever is done to the row that does not change it, and
-- what was read before a change is refused after it, sealed or not, compacted or not
CREATE TABLE x (k bigint PRIMARY KEY, n int, wide text) USING kyro;
ALTER TABLE x ALTER wide SET STORAGE EXTERNAL;
CREATE INDEX x_n ON x USING kyro_rmi (n);
INSERT INTO x SELECT g, g, CASE WHEN g % 50 = 0 THEN repeat('w', 9000) END FROM generate_series(1, 500) g;
BEGIN;
SELECT rows FROM kyro.snapshot('x');
SELECT count(*) FROM x WHERE xmin = pg_current_xact_id()::xid;
COMMIT;
CREATE FUNCTION token(key bigint) RETURNS xid LANGUAGE sql AS 'SELECT xmin FROM x WHERE k = key';
SELECT token(5) AS sealed, token(6) AS locked, token(50) AS wide \gset
SELECT :'sealed' = :'locked' AND :'sealed' = :'wide' AND :'sealed'::text::bigint > 2 AS one_xmin;
SELECT xmin = :'sealed' AS same FROM x WHERE k = 6 FOR UPDATE;
BEGIN; UPDATE x SET n = 0 WHERE k IN (6, 50); DELETE FROM x WHERE k = 5; ROLLBACK;
SELECT count(*) FROM x WHERE k IN (5, 6, 50) AND xmin = :'sealed';
VACUUM (FREEZE) x;
SELECT count(*) FROM x WHERE xmin = :'sealed';
-- who read it first is the first to write; then it has another one
UPDATE x SET n = n + 1 WHERE k IN (5, 50) AND xmin = :'sealed' RETURNING k, n, xmin = pg_current_xact_id()::xid AS mine;
UPDATE x SET n = -1 WHERE k IN (5, 50) AND xmin = :'sealed';
SELECT rows FROM kyro.snapshot('x');
UPDATE x SET n = -1 WHERE k IN (5, 50) AND xmin = :'sealed';
DELETE FROM x WHERE k = 5 AND xmin = :'sealed';
SELECT count(*), count(*) FILTER (WHERE xmin = :'sealed') AS untouched, count(*) FILTER (WHERE age(xmin) < age(:'sealed'::xid)) AS since FROM x;
-- by index, by bitmap and by TID it is the same
SET enable_seqscan = off;
SELECT count(*) FROM x WHERE k > 0 AND xmin = :'sealed';
SELECT count(*) FROM x WHERE n < 1000 AND xmin = :'sealed';
SET enable_indexscan = off;
SELECT count(*) FROM x WHERE n < 1000 AND xmin = :'sealed';
RESET enable_indexscan;
RESET enable_seqscan;
SELECT count(*) FROM x a, LATERAL (SELECT xmin AS by_tid FROM x b WHERE b.ctid = a.ctid) b WHERE by_tid = :'sealed';
SELECT count(*) FROM x TABLESAMPLE BERNOULLI (100) WHERE xmin = :'sealed';
-- compaction makes all tokens new
SELECT token(7) AS before \gset
VACUUM FULL x;
SELECT token(7) AS after \gset
SELECT :'before' <> :'after' AND :'after'::text::bigint > 2 AS new, count(DISTINCT xmin::text) FROM x;
UPDATE x SET n = -1 WHERE k = 7 AND xmin = :'before';
UPDATE x SET n = 8 WHERE k = 7 AND xmin = :'after';
SELECT rows FROM kyro.snapshot('x');
VACUUM FULL x;
UPDATE x SET n = -1 WHERE k = 7 AND xmin = :'after';
SELECT k, n FROM x WHERE k IN (5, 7);

-- whole rows
SELECT o FROM o WHERE k = 5;
SELECT o IS NULL, o IS NOT NULL, (o).k, to_jsonb(o) FROM o WHERE k = 5;
CREATE FUNCTION twice(r o) RETURNS int LANGUAGE sql RETURN r.k * 2;
SELECT twice(o), o.twice FROM o WHERE k = 5;
SELECT count(*) FROM o a, o b WHERE a = b AND a.k < 100;
DELETE FROM o WHERE k = 5 RETURNING o, o.*, twice(o), tableoid::regclass;
UPDATE o SET n = 0 WHERE k = 6 RETURNING o;

-- no columns
CREATE TABLE z () USING kyro;
INSERT INTO z DEFAULT VALUES;
INSERT INTO z SELECT FROM generate_series(1, 1999);
SELECT count(*) FROM z;
SELECT rows FROM kyro.snapshot('z');
SELECT count(*) FROM z;
DELETE FROM z WHERE ctid IN (SELECT ctid FROM z LIMIT 10);
INSERT INTO z SELECT FROM z LIMIT 5;
SELECT count(*), count(z) FROM z;
SELECT rows FROM kyro.snapshot('z');
ALTER TABLE z ADD c int DEFAULT 5;
SELECT count(*), sum(c) FROM z;
UPDATE z SET c = 6 WHERE ctid IN (SELECT ctid FROM z LIMIT 100);
SELECT c, count(*) FROM z GROUP BY c ORDER BY c;
SELECT rows FROM kyro.snapshot('z');
ALTER TABLE z DROP c;
SELECT count(*) FROM z;

-- COPY in and out, both formats
CREATE TABLE c (id int, v text) USING kyro;
COPY c FROM stdin;
1	one
2	\N
3	three
\.
SELECT rows FROM kyro.snapshot('c');
COPY c FROM stdin (FORMAT csv);
4,four
5,
\.
COPY c TO stdout;
COPY (SELECT * FROM c WHERE id > 2) TO stdout (FORMAT csv, HEADER);
COPY c (v, id) FROM stdin WHERE id > 6;
six	6
seven	7
\.
-- in the transaction that made it, with FREEZE
BEGIN;
CREATE TABLE cf (id int) USING kyro;
COPY cf FROM stdin (FREEZE);
1
2
\.
SELECT rows FROM kyro.snapshot('cf');
SELECT * FROM cf ORDER BY id;
COMMIT;
SELECT * FROM cf ORDER BY id;
SELECT * FROM c ORDER BY id;
-- more runs than a page lists, each in a transaction of its own, some undone; then all in one
SELECT twin('CREATE TABLE r (id int PRIMARY KEY, n int)');
DO $$
BEGIN
	FOR i IN 1..250 LOOP
		PERFORM twin(format('INSERT INTO r SELECT %s * 10 + g, 0 FROM generate_series(0, 4) g', i));
		PERFORM twin(format('UPDATE r SET n = n + 1 WHERE id = %s', i * 5));
		PERFORM twin(format('DELETE FROM r WHERE id = %s', i * 7));
		PERFORM kyro.snapshot('r');
		IF i % 10 = 3 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END $$;
SELECT same('r');
SELECT state, count(*) FROM kyro.stat_runs WHERE relid = 'r'::regclass GROUP BY state ORDER BY state;
SELECT * FROM kyro.verify('r', true);
VACUUM r;
SELECT same('r');
VACUUM FULL r;
SELECT same('r');
SELECT state, count(*), sum(rows) = sum(live_rows) AS compact FROM kyro.stat_runs WHERE relid = 'r'::regclass GROUP BY state;
SELECT r AS rel, v.* FROM unnest(ARRAY['t', 'o', 'p', 'nn', 'z', 'c', 'cf', 'r']) r, kyro.verify(r::regclass, true) v;
