-- A kyro table beside a heap table with the same rows: seal, read, change,
-- compact, check.

SELECT least(:rows, 1000000) AS n, least(:probes, 100000) AS looks \gset
SELECT :n / 2 AS middle, :n / 4 AS batch \gset

\echo 'The first' :n 'events, in a heap table with a btree index ...'
CREATE TABLE readings_heap (LIKE events);
INSERT INTO readings_heap SELECT * FROM events WHERE id <= :n;
CREATE INDEX readings_heap_id ON readings_heap (id);
VACUUM ANALYZE readings_heap;

\echo '... and in a kyro table: CREATE TABLE readings (...) USING kyro, CREATE INDEX ... USING kyro_rmi (id)'
CREATE TABLE readings (LIKE events) USING kyro;
CREATE INDEX readings_id ON readings USING kyro_rmi (id);

\echo
\echo 'Rows arrive as in a heap.  kyro.snapshot(''readings'') seals them: packed, in key order, never'
\echo 'to change again.  VACUUM then frees the room they had, for the next ones.  Four batches:'
SELECT s FROM generate_series(0, 3) AS b, LATERAL (VALUES
	(1, format('INSERT INTO readings SELECT * FROM events WHERE id > %s AND id <= %s', b * :batch,
			   CASE b WHEN 3 THEN :n ELSE (b + 1) * :batch END)),
	(2, $$SELECT run, rows, pages, pg_size_pretty(bytes) AS size, duration FROM kyro.snapshot('readings')$$),
	(3, 'VACUUM readings')) v (i, s)
ORDER BY b, i \gexec
ANALYZE readings;

PREPARE sizes AS
	SELECT t AS table,
		   pg_size_pretty(pg_table_size(t::regclass)) AS table_size,
		   pg_size_pretty(pg_indexes_size(t::regclass)) AS index_size,
		   round(pg_table_size(t::regclass) / n::numeric, 1) AS table_bytes_per_row,
		   round(pg_indexes_size(t::regclass) / n::numeric, 1) AS index_bytes_per_row
	FROM (SELECT 'readings_heap' AS t, count(*) AS n FROM readings_heap
		  UNION ALL SELECT 'readings', count(*) FROM readings) s;
\echo 'Sizes; the kyro table has room left where the last batch was before it was sealed:'
EXECUTE sizes;

\pset format unaligned
\pset tuples_only on
\set explain 'EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF)'
\echo 'A point read, heap and btree, then kyro and kyro_rmi.  Buffers of kyro are those of the index:'
\echo 'the row comes from a memory map of the table''s file.'
\echo
\o /dev/null
:explain SELECT * FROM readings_heap WHERE id = :middle;
:explain SELECT * FROM readings WHERE id = :middle;
\o
:explain SELECT * FROM readings_heap WHERE id = :middle;
\echo
:explain SELECT * FROM readings WHERE id = :middle;
\pset tuples_only off
\pset format aligned

\echo
\echo 'A sealed row can be updated and deleted like any other.  Its new version is an ordinary row, at'
\echo 'another place (ctid); the sealed page stays as it is, what happened is written down beside it.'
SELECT ctid, xmin, * FROM readings WHERE id = :middle;
\echo 'UPDATE readings SET value = 0 WHERE id = ...'
UPDATE readings SET value = 0 WHERE id = :middle;
SELECT ctid, xmin, * FROM readings WHERE id = :middle;
\echo 'UPDATE of every 1000th row, DELETE of every 1000th ...'
UPDATE readings SET value = -value WHERE id % 1000 = 7;
DELETE FROM readings WHERE id % 1000 = 8;
\echo '... and what kyro.stat_runs says: rows that were touched, rows that are left'
SELECT relname, run, state, rows, live_rows, touched_rows, pages, pg_size_pretty(bytes) AS size
FROM kyro.stat_runs WHERE relid = 'readings'::regclass ORDER BY run;

\echo 'VACUUM FULL makes one run of all:'
VACUUM FULL readings;
VACUUM ANALYZE readings;
SELECT relname, run, state, rows, live_rows, touched_rows, pages, pg_size_pretty(bytes) AS size
FROM kyro.stat_runs WHERE relid = 'readings'::regclass ORDER BY run;
EXECUTE sizes;

\echo 'kyro.verify(''readings'', deep => true): every page and row, every row through its index; no row is sound'
SELECT * FROM kyro.verify('readings', deep => true);

\echo 'Random point reads with the row,' :looks 'by nested loop; median of 3 interleaved runs:'
SELECT setseed(0.3) \g /dev/null
CREATE TEMP TABLE wanted_readings AS
	SELECT id AS k FROM readings ORDER BY random() LIMIT :looks;
ANALYZE wanted_readings;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_bitmapscan = off;
SET enable_material = off;
SET enable_memoize = off;
CREATE TEMP TABLE timing AS
	SELECT round, t,
		   (demo.without('', format('SELECT sum(r.value) FROM wanted_readings w JOIN %s r ON r.id = w.k', t)) -
			demo.without('', 'SELECT count(*) FROM wanted_readings')) * 1000 / :looks AS us
	FROM generate_series(0, 3) AS round, (VALUES ('readings_heap'), ('readings')) AS v (t);
SELECT round(h::numeric, 2) AS heap_btree_us, round(k::numeric, 2) AS kyro_us,
	   round((h / k)::numeric, 1) || 'x' AS faster
FROM (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY us) FILTER (WHERE t = 'readings_heap') AS h,
			 percentile_cont(0.5) WITHIN GROUP (ORDER BY us) FILTER (WHERE t = 'readings') AS k
	  FROM timing WHERE round > 0) s;
