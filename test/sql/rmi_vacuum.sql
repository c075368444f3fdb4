--
-- VACUUM: what is dead goes, pages are used again, counts are right.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA vac;
SET search_path = vac, public;
CREATE TABLE v (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO v SELECT g, rnd(g, 1), 'x' FROM generate_series(1, 20000) g;
CREATE INDEX v_id ON v (id);
CREATE INDEX v_k ON v USING kyro_rmi (k);
VACUUM v;
SELECT reltuples, relpages = pg_relation_size(oid) / 8192 AS pages_right FROM pg_class WHERE oid = 'v_k'::regclass;

-- nothing to do
VACUUM v;
SELECT reltuples FROM pg_class WHERE oid = 'v_k'::regclass;

-- a tenth at random
DELETE FROM v WHERE id % 10 = 3;
VACUUM v;
SELECT reltuples FROM pg_class WHERE oid = 'v_k'::regclass;
SELECT oracle_compare('v', oracle_conds('v'), 2, 0, 3);

-- a range in the middle: whole pages become empty
DELETE FROM v WHERE k BETWEEN -4000000000000000000 AND 4000000000000000000;
VACUUM v;
SELECT reltuples = (SELECT count(*) FROM v) AS right FROM pg_class WHERE oid = 'v_k'::regclass;
SELECT oracle_compare('v', oracle_conds('v'), 2, 1, 3);

-- both ends
DELETE FROM v WHERE k < -8000000000000000000 OR k > 8000000000000000000;
VACUUM v;
SELECT oracle_compare('v', oracle_conds('v'), 2, 2, 3);

-- all of it
DELETE FROM v;
VACUUM v;
SELECT reltuples FROM pg_class WHERE oid = 'v_k'::regclass;
SELECT oracle_compare('v', oracle_conds('v'), 2, 0, 3);

-- fill and empty it again and again: freed pages are used, the file stops growing
CREATE TABLE sizes (round int, bytes bigint);
\set ECHO none
SELECT format(c, i) FROM generate_series(1, 8) i, unnest(ARRAY[
	'INSERT INTO v SELECT g, rnd(g + %1$s * 100000, 2), ''again'' FROM generate_series(1, 15000) g',
	'VACUUM v', 'INSERT INTO sizes VALUES (%1$s, pg_relation_size(''v_k''))', 'DELETE FROM v', 'VACUUM v'])
	WITH ORDINALITY u(c, o) ORDER BY i, o \gexec
\set ECHO all
SELECT max(bytes) <= 1.6 * min(bytes) AS bounded FROM sizes WHERE round > 1;
SELECT oracle_compare('v', oracle_conds('v'), 2, 1, 3);

-- a hundred times, with few rows in random order or in ascending or the other, dense or far apart
CREATE TABLE r (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
CREATE INDEX r_k ON r USING kyro_rmi (k);
TRUNCATE sizes;
\set ECHO none
SELECT format(c, i) FROM generate_series(1, 100) i, unnest(ARRAY[
	'INSERT INTO r SELECT g, CASE %1$s %% 5 WHEN 0 THEN rnd(g, %1$s) WHEN 1 THEN %1$s * 100000 + g WHEN 2 THEN %1$s * 100000 - g * 1000 WHEN 3 THEN g %% 7 ELSE nullif(g %% 3, 0) * (rnd(g, %1$s) / 7) END, ''r'' FROM generate_series(1, 2500) g',
	'INSERT INTO sizes VALUES (%1$s, pg_relation_size(''r_k''))', 'DELETE FROM r', 'VACUUM r'])
	WITH ORDINALITY u(c, o) ORDER BY i, o \gexec
\set ECHO all
SELECT count(*), max(bytes) FILTER (WHERE round > 20) <= 1.6 * max(bytes) FILTER (WHERE round <= 20) AS bounded FROM sizes;
INSERT INTO r SELECT g, rnd(g, 5), 'r' FROM generate_series(1, 2500) g;
SELECT oracle_compare('r', oracle_conds('r'), 2, 0, 3);

-- a queue: keys enter at the right and leave at the left
CREATE TABLE q (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
CREATE INDEX q_k ON q USING kyro_rmi (k);
TRUNCATE sizes;
\set ECHO none
SELECT format(c, i) FROM generate_series(1, 10) i, unnest(ARRAY[
	'INSERT INTO q SELECT g, g * 1000 + (rnd(g, 3) & 511), ''q'' FROM generate_series(%1$s * 8000, %1$s * 8000 + 7999) g',
	'DELETE FROM q WHERE id < (%1$s - 1) * 8000', 'VACUUM q', 'INSERT INTO sizes VALUES (%1$s, pg_relation_size(''q_k''))'])
	WITH ORDINALITY u(c, o) ORDER BY i, o \gexec
\set ECHO all
SELECT max(bytes) <= 1.6 * min(bytes) AS bounded FROM sizes WHERE round > 3;
SELECT oracle_compare('q', oracle_conds('q'), 2, 2, 3);
SELECT reltuples = (SELECT count(*) FROM q) AS right FROM pg_class WHERE oid = 'q_k'::regclass;

-- updates only: versions come and go at the same keys
CREATE TABLE upd (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO upd SELECT g, g, 'u' FROM generate_series(1, 5000) g;
CREATE INDEX upd_id ON upd (id);
CREATE INDEX upd_k ON upd USING kyro_rmi (k);
\set ECHO none
SELECT c FROM generate_series(1, 12) i, unnest(ARRAY['UPDATE upd SET id = id + 1 WHERE (id + ' || i || ') % 3 = 0', 'VACUUM upd'])
	WITH ORDINALITY u(c, o) ORDER BY i, o \gexec
\set ECHO all
SELECT oracle_compare('upd', oracle_conds('upd'), 2, 0, 3);
SELECT pg_relation_size('upd_k') < 20 * 8192 AS small FROM pg_class WHERE oid = 'upd_k'::regclass;

-- rows that are dead only for some are kept for the others: VACUUM must not touch them
BEGIN;
INSERT INTO upd SELECT 90000 + g, g, 'w' FROM generate_series(1, 3000) g;
ROLLBACK;
VACUUM (INDEX_CLEANUP ON) upd;
SELECT oracle_compare('upd', oracle_conds('upd'), 2, 1, 3);

-- in other ways: without the index, with parallel workers, FULL, with FREEZE
DELETE FROM upd WHERE id % 4 = 1;
VACUUM (INDEX_CLEANUP OFF) upd;
SELECT oracle_compare('upd', oracle_conds('upd'), 2, 2, 3);
SET min_parallel_index_scan_size = 0;
DELETE FROM upd WHERE id % 4 = 2;
VACUUM (PARALLEL 2, INDEX_CLEANUP ON) upd;
SELECT oracle_compare('upd', oracle_conds('upd'), 2, 0, 3);
VACUUM (FREEZE, INDEX_CLEANUP ON, DISABLE_PAGE_SKIPPING) upd;
SELECT oracle_compare('upd', oracle_conds('upd'), 2, 1, 3);
VACUUM FULL upd;
SELECT oracle_compare('upd', oracle_conds('upd'), 2, 2, 3);

-- many passes over the index in one VACUUM: a small memory for dead rows
CREATE TABLE many (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO many SELECT g, rnd(g, 9), 'm' FROM generate_series(1, 200000) g;
CREATE INDEX many_k ON many USING kyro_rmi (k);
SET maintenance_work_mem = '1MB';
DELETE FROM many WHERE id % 100 <> 0;
VACUUM many;
RESET maintenance_work_mem;
SELECT oracle_compare('many', oracle_conds('many'), 2, 0, 3);
SELECT reltuples FROM pg_class WHERE oid = 'many_k'::regclass;
-- a partial index counts its own rows
CREATE INDEX many_part ON many USING kyro_rmi (k) WHERE id % 1000 = 0;
DELETE FROM many WHERE id % 2000 = 0;
VACUUM many;
SELECT reltuples FROM pg_class WHERE oid = 'many_part'::regclass;
SELECT * FROM kyro.verify('many_part', true);
-- a HOT chain whose root has another key than the entry, all of it dead but not yet pruned
CREATE TABLE hot (id int, n int);
INSERT INTO hot SELECT g, 0 FROM generate_series(1, 10) g;
UPDATE hot SET id = 50 WHERE id = 5;
CREATE INDEX hot_id ON hot USING kyro_rmi (id);
DELETE FROM hot;
SELECT * FROM kyro.verify('hot_id', true);

-- leaves that have lost much are joined: freed pages are used again, and an index is not much larger than a new one
CREATE FUNCTION leaves(idx regclass) RETURNS bigint LANGUAGE sql AS $$ SELECT leaves FROM kyro.index_shape(idx) $$;
CREATE TABLE few (what text, fresh bigint, found bigint);
\set ECHO none
SELECT c FROM unnest(ARRAY['g', 'rnd(g, 6)', 'g * 1000 + (rnd(g, 7) & 511)', 'g % 700', 'nullif(g % 2, 0) * rnd(g, 8)']) WITH ORDINALITY k (key, i),
	LATERAL (VALUES (1, format('CREATE TABLE j%s (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off)', i)),
		(2, format('INSERT INTO j%s SELECT g, %s, ''j'' FROM generate_series(1, 20000) g ORDER BY 2', i, key)),
		(3, format('CREATE INDEX j%s_k ON j%1$s USING kyro_rmi (k)', i)),
		(4, format('DELETE FROM j%s WHERE id %% 4 <> 1', i)),
		(5, format('VACUUM j%s', i)),
		(6, format($$INSERT INTO few SELECT 'few', 0, leaves('j%s_k')$$, i)),
		(7, format('SELECT oracle_compare(%L, oracle_conds(%1$L), 2, 0, 2)', 'j' || i)),
		(8, format('REINDEX INDEX j%s_k', i)),
		(9, format($$UPDATE few SET what = %L, fresh = leaves('j%s_k') WHERE fresh = 0$$, key, i)),
		-- every row gets a second entry, far away in the table, and loses the first
		(10, format('UPDATE j%s SET id = id, k = k WHERE id %% 2 = 1; INSERT INTO j%1$s SELECT id, k, pad FROM j%1$s', i)),
		(11, format('DELETE FROM j%s a USING j%1$s b WHERE a.id = b.id AND a.ctid < b.ctid', i)),
		(12, format('VACUUM j%s', i)),
		(13, format($$INSERT INTO few SELECT 'few', 0, leaves('j%s_k')$$, i)),
		(14, format('SELECT oracle_compare(%L, oracle_conds(%1$L), 2, 0, 2)', 'j' || i)),
		(15, format('REINDEX INDEX j%s_k', i)),
		(16, format($$UPDATE few SET what = 'twice, ' || %L, fresh = leaves('j%s_k') WHERE fresh = 0$$, key, i))) s (step, c)
	ORDER BY i, step \gexec
\set ECHO all
SELECT what, found <= fresh * 1.4 + 1 AS few FROM few;

-- sealed at once, and as it comes; with VACUUM the leaves are as many as in a new index
CREATE TABLE sealed (id bigint, k bigint, pad text) USING kyro WITH (autovacuum_enabled = off);
CREATE INDEX sealed_k ON sealed USING kyro_rmi (k);
INSERT INTO sealed SELECT g, rnd(g, 9), 's' FROM generate_series(1, 20000) g;
SELECT rows FROM kyro.snapshot('sealed');
VACUUM sealed;
SELECT leaves('sealed_k') AS found, pg_relation_size('sealed_k') AS found_size \gset
SELECT oracle_compare('sealed', oracle_conds('sealed'), 2, 0, 2);
REINDEX INDEX sealed_k;
SELECT :found <= leaves('sealed_k') * 1.3 + 1 AS few, :found_size <= pg_relation_size('sealed_k') * 1.3 + 40960 AS short;
-- the file becomes shorter, unless the table says no
ALTER TABLE sealed SET (vacuum_truncate = off);
SELECT pg_relation_size('sealed_k') AS before \gset
DELETE FROM sealed WHERE id % 20 <> 0;
VACUUM sealed;
SELECT pg_relation_size('sealed_k') >= :before AS kept;
ALTER TABLE sealed RESET (vacuum_truncate);
VACUUM sealed;
SELECT pg_relation_size('sealed_k') < :before / 2 AS shorter;
SELECT oracle_compare('sealed', oracle_conds('sealed'), 2, 0, 2);
CREATE TABLE stream (id bigint, k bigint, pad text) USING kyro WITH (autovacuum_enabled = off);
CREATE INDEX stream_k ON stream USING kyro_rmi (k);
\set ECHO none
SELECT format(c, i) FROM generate_series(0, 9) i, unnest(ARRAY[
	'INSERT INTO stream SELECT g, g * 1000 + (rnd(g, 7) & 511), ''s'' FROM generate_series(%1$s * 4000, %1$s * 4000 + 3999) g',
	'SELECT FROM kyro.snapshot(''stream'')', 'VACUUM stream'])
	WITH ORDINALITY u(c, o) ORDER BY i, o \gexec
\set ECHO all
SELECT leaves('stream_k') AS found, pg_relation_size('stream_k') AS found_size \gset
SELECT oracle_compare('stream', oracle_conds('stream'), 2, 0, 2);
REINDEX INDEX stream_k;
SELECT :found <= leaves('stream_k') * 1.3 + 1 AS few, :found_size <= pg_relation_size('stream_k') * 2 AS small;
-- what is left over of some leaves joined is joined to the leaves behind them
CREATE TABLE batches (id bigint, k bigint, pad text) USING kyro WITH (autovacuum_enabled = off);
CREATE INDEX batches_k ON batches USING kyro_rmi (k);
INSERT INTO batches SELECT g, rnd(g, 10), 'b' FROM generate_series(1, 100000) g;
CALL kyro.seal('batches');
VACUUM batches;
SELECT leaves('batches_k') AS found \gset
SELECT * FROM kyro.verify('batches_k', true);
SELECT oracle_compare('batches', oracle_conds('batches'), 2, 0, 2);
REINDEX INDEX batches_k;
SELECT :found <= leaves('batches_k') * 1.03 + 1 AS few;
