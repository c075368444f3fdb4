-- Parallel index scans and index-only scans: the same rows as serial ones, each
-- once, forward and backward, over ranges, lists, NULLs and duplicates.
CREATE SCHEMA parallel;
SET search_path = parallel, public;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;

CREATE TABLE t (a bigint, b int, c timestamptz, pad text) WITH (parallel_workers = 3, autovacuum_enabled = off);
INSERT INTO t SELECT CASE WHEN i % 50 = 0 THEN NULL WHEN i % 7 = 0 THEN 5000 ELSE hashint8extended(i, 0) END,
		i % 1000, timestamptz '2026-01-01' + i * interval '1 second', 'x' || i
	FROM generate_series(1, 60000) i;
INSERT INTO t VALUES (-9223372036854775808), (9223372036854775807);
CREATE INDEX t_a ON t USING kyro_rmi (a) WITH (fillfactor = 60);
CREATE INDEX t_b ON t USING kyro_rmi (b);
CREATE INDEX t_c ON t USING kyro_rmi (c);
VACUUM ANALYZE t;

-- what kind of scan a query has, and whether workers share it
CREATE FUNCTION kind(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Index' THEN
			RETURN substring(line, '(?:Parallel )?Index.* using \w+');
		END IF;
	END LOOP;
END $$;

-- Runs a query serially and in parallel; says how it was scanned and, if they
-- differ, what each gave.
CREATE FUNCTION both_ways(query text, OUT scan text, OUT rows bigint, OUT same text) LANGUAGE plpgsql AS $$
DECLARE
	serial text;
	parallel text;
	summary text := format('SELECT format(''%%s %%s'', count(*), sum(hashtextextended(q::text, 0)::numeric)) FROM (%s) q', query);
BEGIN
	SET LOCAL max_parallel_workers_per_gather = 0;
	EXECUTE summary INTO serial;
	SET LOCAL max_parallel_workers_per_gather = 3;
	scan := kind(summary);
	EXECUTE summary INTO parallel;
	rows := split_part(serial, ' ', 1);
	same := CASE WHEN serial = parallel THEN 'same' ELSE format('serial %s, parallel %s', serial, parallel) END;
	-- and without the leader, if there are workers to be had
	SET LOCAL parallel_leader_participation = off;
	EXECUTE summary INTO parallel;
	IF serial <> parallel THEN
		same := format('serial %s, parallel without leader %s', serial, parallel);
	END IF;
END $$;

SELECT q.*, b.* FROM (VALUES
	('SELECT a FROM t WHERE a > 0'),
	('SELECT a FROM t WHERE a IS NOT NULL'),
	('SELECT a FROM t WHERE a IS NULL'),
	('SELECT a FROM t WHERE a = 5000'),
	('SELECT a, pad FROM t WHERE a = 5000'),
	('SELECT a, pad FROM t WHERE a BETWEEN -1000000000000000000 AND 1000000000000000000'),
	('SELECT a, pad FROM t WHERE a >= 9223372036854775807'),
	('SELECT a, pad FROM t WHERE a <= -9223372036854775808'),
	('SELECT a FROM t WHERE a > 5 AND a < 5'),
	('SELECT b FROM t WHERE b = ANY (ARRAY(SELECT generate_series(0, 999, 3)))'),
	('SELECT b, pad FROM t WHERE b = ANY (''{1,2,3,500,998,999,5000,-5}'')'),
	('SELECT b FROM t WHERE b < 900'),
	('SELECT c FROM t WHERE c >= ''2026-01-01 05:00'''),
	('SELECT c, pad FROM t WHERE c < ''2026-01-01 05:00''')) q (query),
	LATERAL both_ways(query) b;

-- a condition that is worth the help of workers
CREATE FUNCTION wanted(x bigint) RETURNS bool LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 AS $$
BEGIN
	RETURN x IS NULL OR x % 5 <> 0;
END $$;

-- in order, both directions: workers return their shares in order
CREATE FUNCTION in_order(query text, op text, OUT scan text, OUT rows bigint, OUT ordered bool) LANGUAGE plpgsql AS $$
DECLARE
	summary text := format('SELECT count(*), coalesce(bool_and(x %s last), true)
		FROM (SELECT x, lag(x) OVER () AS last FROM (%s) s (x)) q', op, query);
BEGIN
	SET LOCAL max_parallel_workers_per_gather = 3;
	scan := kind(summary);
	EXECUTE summary INTO rows, ordered;
END $$;
SELECT * FROM in_order('SELECT a FROM t WHERE a > -5000000000000000000 AND wanted(a) ORDER BY a', '>=');
SELECT * FROM in_order('SELECT a FROM t WHERE a > -5000000000000000000 AND wanted(a) ORDER BY a DESC', '<=');
SELECT * FROM in_order('SELECT b FROM t WHERE b > 3 AND wanted(b + length(pad)) ORDER BY b DESC', '<=');
SELECT b.* FROM both_ways('SELECT a, row_number() OVER (ORDER BY a DESC) FROM t WHERE a IS NOT NULL AND wanted(a)') b;
SELECT b.* FROM both_ways('SELECT b, sum(b) OVER (ORDER BY b ROWS UNBOUNDED PRECEDING) FROM t WHERE b > 100 AND wanted(a)') b;

-- LIMIT ends the scan early; a scan that is run again begins again
SET max_parallel_workers_per_gather = 3;
SELECT count(*), min(b), max(b) FROM (SELECT b FROM t WHERE b >= 17 AND wanted(length(pad)) ORDER BY b LIMIT 200) s;
SET enable_material = off;
SELECT i, n FROM generate_series(1, 3) i, LATERAL (SELECT count(*) AS n FROM t WHERE b < i * 100 AND wanted(length(pad))) s;
RESET enable_material;

-- NULLs at either end
SELECT count(*), count(a) FROM (SELECT a FROM t WHERE wanted(length(pad)) ORDER BY a) s;
SELECT count(*), count(a) FROM (SELECT a FROM t WHERE wanted(length(pad)) ORDER BY a DESC) s;

-- a cursor, and an error in a worker
BEGIN;
DECLARE cur CURSOR FOR SELECT b FROM t WHERE b BETWEEN 10 AND 20 AND wanted(length(pad)) ORDER BY b;
FETCH 3 FROM cur;
MOVE ALL FROM cur;
COMMIT;
DO $$
BEGIN
	PERFORM count(*) FROM t WHERE b >= 0 AND 1 / (b - 500) IS NOT NULL;
EXCEPTION WHEN division_by_zero THEN
	RAISE NOTICE 'division by zero';
END $$;

-- after changes: dead entries, rows of an open transaction, a leaf that is gone
DELETE FROM t WHERE b BETWEEN 300 AND 500;
UPDATE t SET b = b + 1 WHERE b % 10 = 3;
SELECT b.* FROM both_ways('SELECT b FROM t WHERE b < 900') b;
VACUUM t;
SELECT b.* FROM both_ways('SELECT b FROM t WHERE b < 900') b;
SELECT b.* FROM both_ways('SELECT a FROM t WHERE a > 0') b;

-- a kyro table
CREATE TABLE k (a bigint, pad text) USING kyro;
INSERT INTO k SELECT i, 'row ' || i FROM generate_series(1, 40000) i;
CREATE INDEX k_a ON k USING kyro_rmi (a);
SELECT rows FROM kyro.snapshot('k');
UPDATE k SET pad = 'changed' WHERE a % 100 = 0;
INSERT INTO k SELECT i, 'new ' || i FROM generate_series(40001, 41000) i;
ALTER TABLE k SET (parallel_workers = 3);
VACUUM ANALYZE k;
SELECT b.* FROM both_ways('SELECT a, pad FROM k WHERE a BETWEEN 100 AND 40500') b;
SELECT b.* FROM both_ways('SELECT a FROM k WHERE a > 5000') b;
SELECT count(*) FROM kyro.verify('t_a', deep => true);
