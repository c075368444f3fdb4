--
-- Runs in the place of empty log pages, and the empty end of a file that VACUUM cuts off.
--
\set schema store_space
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
CREATE FUNCTION store_space.pages(rel text) RETURNS bigint LANGUAGE sql AS $$ SELECT pg_relation_size(rel::regclass) / current_setting('block_size')::int $$;
-- pages of the file by those of its runs
CREATE FUNCTION store_space.factor(rel text) RETURNS numeric LANGUAGE sql AS $$
	SELECT round(store_space.pages(rel) / sum(pages), 2) FROM kyro.stat_runs WHERE relid = rel::regclass $$;

-- a table loaded the old way: its first rows move to the end, the rest is sealed in their place, batch by batch
SELECT twin('CREATE TABLE t (id bigint, v text) WITH (autovacuum_enabled = off)');
SELECT twin('CREATE INDEX t_id ON t (id)');
CREATE INDEX t_k ON t USING kyro_rmi (id);
SELECT twin('INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 20000) g');
SELECT store_space.pages('t') AS before \gset
SELECT twin('UPDATE t SET v = v WHERE id <= 2000');
VACUUM t;
SELECT rows, run < :before AS in_place FROM kyro.snapshot('t', 2000);
VACUUM t;
SELECT rows, run < :before AS in_place FROM kyro.snapshot('t', 3000);
VACUUM t;
SELECT rows, run < :before AS in_place FROM kyro.snapshot('t', 5000);
SELECT same('t');
VACUUM t;
SELECT rows, run < :before AS in_place FROM kyro.snapshot('t');
VACUUM t;
SELECT same('t'), store_space.factor('t');
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT twin('SELECT count(*), sum(id) FROM t WHERE id > 0');
SELECT count(*), sum(id) FROM t WHERE id BETWEEN 500 AND 15000;
RESET enable_seqscan; RESET enable_bitmapscan;
SELECT v.* FROM kyro.verify('t', true) v;

-- rolled back after it was put there: the space is used again
SELECT twin('INSERT INTO t SELECT g, ''more'' FROM generate_series(20001, 30000) g');
SELECT seal('t', 5000);
VACUUM t;
BEGIN;
SELECT rows FROM kyro.snapshot('t', 2000);
SELECT same('t');
ROLLBACK;
SELECT same('t');
VACUUM t;
SELECT v.* FROM kyro.verify('t', true) v;
SELECT seal('t') > 0 AS some;
VACUUM t;
SELECT same('t'), store_space.factor('t') < 2.2 AS bounded;
SELECT v.* FROM kyro.verify('t', true) v;

-- links to ledger tuples that are gone: their pages are a run's by now, or were cut off
SELECT twin('CREATE TABLE l (id int, v text) WITH (autovacuum_enabled = off)');
SELECT twin('CREATE INDEX l_id ON l (id)');
SELECT twin('INSERT INTO l SELECT g, repeat(''x'', 100) FROM generate_series(1, 4000) g');
SELECT seal('l');
VACUUM l;
SELECT twin('DELETE FROM l WHERE id % 2 = 0');
SELECT twin('INSERT INTO l SELECT g, ''y'' FROM generate_series(5001, 5010) g');
VACUUM (INDEX_CLEANUP off) l;
SELECT twin('DELETE FROM l WHERE id % 8 = 1');
VACUUM (INDEX_CLEANUP off) l;
SELECT twin('INSERT INTO l SELECT g, ''z'' FROM generate_series(6001, 7000) g');
SELECT seal('l', 500), seal('l');
VACUUM (INDEX_CLEANUP off) l;
SELECT same('l');
SET enable_seqscan = off;
SELECT twin('SELECT count(*), sum(id) FROM l WHERE id > 0');
RESET enable_seqscan;
SELECT v.* FROM kyro.verify('l', true) v;
SELECT twin('UPDATE l SET v = ''w'' WHERE id % 3 = 0');
VACUUM (INDEX_CLEANUP on) l;
VACUUM l;
SELECT same('l');
SELECT v.* FROM kyro.verify('l', true) v;

-- the end is cut off if VACUUM may do so
SELECT twin('CREATE TABLE c (id int, v text) WITH (autovacuum_enabled = off)');
SELECT twin('INSERT INTO c SELECT g, repeat(''x'', 200) FROM generate_series(1, 3000) g');
SELECT twin('DELETE FROM c WHERE id > 1000');
SELECT store_space.pages('c') AS before \gset
VACUUM (TRUNCATE off) c;
SELECT store_space.pages('c') = :before AS same_length;
ALTER TABLE c SET (vacuum_truncate = off);
VACUUM c;
SELECT store_space.pages('c') = :before AS same_length;
ALTER TABLE c RESET (vacuum_truncate);
VACUUM c;
SELECT store_space.pages('c') < :before * 0.4 AS shorter, same('c');
SELECT twin('DELETE FROM c');
VACUUM c;
SELECT store_space.pages('c'), same('c');
SELECT twin('INSERT INTO c VALUES (1, ''one'')');
SELECT seal('c'), same('c');

-- temporary and unlogged tables; rows of very different sizes, and more of them than have room in one piece
SELECT twin('CREATE UNLOGGED TABLE u (id int, v text)');
SELECT twin('INSERT INTO u SELECT g, repeat(md5(g::text), g % 40) FROM generate_series(1, 3000) g');
SELECT seal('u', 1000);
VACUUM u;
SELECT seal('u', 500), seal('u', 300);
VACUUM u;
SELECT seal('u');
VACUUM u;
SELECT same('u');
SELECT v.* FROM kyro.verify('u', true) v;
CREATE TEMP TABLE tt (id int, v text) USING kyro;
INSERT INTO tt SELECT g, md5(g::text) FROM generate_series(1, 5000) g;
SELECT seal('tt', 2000);
VACUUM tt;
SELECT seal('tt', 1500), seal('tt');
VACUUM tt;
SELECT count(*), sum(id), count(DISTINCT v) FROM tt;
SELECT v.* FROM kyro.verify('tt', true) v;

-- a stream, sealed in batches: little more than its runs and one batch
SELECT twin('CREATE TABLE s (id int, v text) WITH (autovacuum_enabled = off)');
CREATE INDEX s_k ON s USING kyro_rmi (id);
CREATE FUNCTION store_space.add(i int) RETURNS text LANGUAGE sql AS $$
	SELECT twin(format('INSERT INTO s SELECT g, md5(g::text) FROM generate_series(%s, %s) g', i * 2000, i * 2000 + 1999)) $$;
SELECT store_space.add(0);
SELECT store_space.pages('s') AS batch \gset
\o /dev/null
SELECT format('SELECT store_space.add(%s)', i), 'SELECT seal(''s'')', 'VACUUM s' FROM generate_series(1, 25) i \gexec
\o
SELECT same('s'), store_space.pages('s') <= 1.15 * sum(pages) + :batch AS bounded FROM kyro.stat_runs WHERE relid = 's'::regclass;
SELECT v.* FROM kyro.verify('s', true) v;
