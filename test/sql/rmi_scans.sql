--
-- Ways to move through an index: backwards, turning round, jumping, marking
-- and restoring, rescanning, stopping early, and changing rows on the way.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA scans;
SET search_path = scans, public;

-- a: dense keys, b: every key three times, u: scattered; several leaves each
CREATE TABLE a (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO a SELECT g, g, 'a' FROM generate_series(1, 30000) g;
CREATE INDEX a_k ON a USING kyro_rmi (k);
CREATE TABLE b (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO b SELECT g, (g / 3) * 2, 'b' FROM generate_series(1, 12000) g ORDER BY rnd(g, 1);
CREATE INDEX b_k ON b USING kyro_rmi (k);
CREATE TABLE u (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO u SELECT g, rnd(g, 2), 'u' FROM generate_series(1, 6000) g;
CREATE INDEX u_k ON u USING kyro_rmi (k);
VACUUM ANALYZE a, b, u;

SET enable_seqscan = off;
SET enable_sort = off;
SET enable_bitmapscan = off;

-- cursors: forwards, backwards, jumps, ends
EXPLAIN (COSTS OFF) SELECT k FROM a WHERE k > 100 ORDER BY k;
EXPLAIN (COSTS OFF) SELECT k FROM a WHERE k > 100 ORDER BY k DESC;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT k FROM a WHERE k BETWEEN 100 AND 29900 ORDER BY k;
FETCH BACKWARD 1 FROM c;
FETCH FORWARD 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH BACKWARD 5 FROM c;
FETCH NEXT FROM c;
FETCH ABSOLUTE 20000 FROM c;
FETCH RELATIVE -15000 FROM c;
FETCH RELATIVE 0 FROM c;
FETCH LAST FROM c;
FETCH FORWARD 2 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH ABSOLUTE -3 FROM c;
FETCH FIRST FROM c;
FETCH PRIOR FROM c;
MOVE FORWARD ALL FROM c;
MOVE BACKWARD ALL FROM c;
FETCH FORWARD 2 FROM c;
COMMIT;

-- the same, backward scan
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT k, pad FROM a WHERE k BETWEEN 100 AND 29900 ORDER BY k DESC;
FETCH FORWARD 2 FROM c;
FETCH ABSOLUTE 20000 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH FORWARD 3 FROM c;
FETCH LAST FROM c;
FETCH NEXT FROM c;
FETCH PRIOR FROM c;
FETCH FIRST FROM c;
COMMIT;

-- turning round at every place of a scan, against an array
CREATE FUNCTION zigzag(q text, step int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	keys bigint[];
	c refcursor;
	i int := 0;
	k bigint;
	n int;
	turns int := 0;
BEGIN
	EXECUTE 'SELECT array_agg(k) FROM (' || q || ') s' INTO keys;
	n := cardinality(keys);
	OPEN c SCROLL FOR EXECUTE q;
	-- three steps forward and two back, as far as it goes
	WHILE i + 3 * step <= n LOOP
		MOVE RELATIVE 3 * step FROM c;
		i := i + 3 * step;
		FETCH RELATIVE 0 FROM c INTO k;
		IF k IS DISTINCT FROM keys[i] THEN
			RETURN format('at %s: %s, not %s', i, k, keys[i]);
		END IF;
		FOR j IN 1 .. 2 * step LOOP
			FETCH PRIOR FROM c INTO k;
			i := i - 1;
			IF k IS DISTINCT FROM keys[i] THEN
				RETURN format('back at %s: %s, not %s', i, k, keys[i]);
			END IF;
		END LOOP;
		turns := turns + 2;
	END LOOP;
	CLOSE c;
	RETURN format('%s turns', turns);
END $$;
SELECT zigzag('SELECT k FROM a ORDER BY k LIMIT 10000', 97);
SELECT zigzag('SELECT k FROM a ORDER BY k DESC', 997);
SELECT zigzag('SELECT k, pad FROM b ORDER BY k', 61);
SELECT zigzag('SELECT k, pad FROM b WHERE k BETWEEN 300 AND 1200 ORDER BY k DESC', 1);
SELECT zigzag('SELECT k FROM u ORDER BY k', 31);
SELECT zigzag('SELECT k FROM u WHERE k < 0 ORDER BY k DESC', 17);
SELECT zigzag('SELECT k FROM b WHERE k = ANY (ARRAY[10, 2000, 20, 7000, 21, 20, NULL, 7998]) ORDER BY k', 1);
SELECT zigzag('SELECT k FROM b WHERE k = ANY (ARRAY[10, 2000, 20, 7000, 21, 20, NULL, 7998]) ORDER BY k DESC', 1);

SELECT zigzag('SELECT k FROM a WHERE k BETWEEN 7000 AND 7400 ORDER BY k', 3);
SELECT zigzag('SELECT k, pad FROM a WHERE k BETWEEN 7000 AND 7400 ORDER BY k DESC', 1);

-- short ranges are decoded at once: with entries in the insert run, extras and
-- dead slots, over the edges of leaves and blocks, some of them empty
CREATE TABLE s (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off, fillfactor = 50);
INSERT INTO s SELECT g, rnd(g, 5) % 20000, 's' FROM generate_series(1, 15000) g;
CREATE INDEX s_k ON s USING kyro_rmi (k);
UPDATE s SET pad = 't', k = CASE WHEN id % 2 = 0 THEN k ELSE k + 1 END WHERE id % 17 = 0;
DELETE FROM s WHERE k BETWEEN 500 AND 600 OR id % 13 = 0;
VACUUM s;
INSERT INTO s SELECT g, rnd(g, 6) % 20000, 'u' FROM generate_series(15001, 15300) g;
CREATE FUNCTION short_ranges(dir text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	lo bigint;
	hi bigint;
	got bigint[];
	want bigint[];
	most int := 0;
BEGIN
	FOR i IN 1 .. 400 LOOP
		lo := rnd(i, 7) % 20100;
		hi := lo + abs(rnd(i, 8)) % CASE WHEN i % 3 = 0 THEN 900 ELSE 60 END;
		EXECUTE format('SELECT array_agg(k) FROM (SELECT k FROM s WHERE k BETWEEN $1 AND $2 ORDER BY k %s) x', dir) INTO got USING lo, hi;
		EXECUTE format('SELECT array_agg(k ORDER BY k %s) FROM s WHERE k + 0 BETWEEN $1 AND $2', dir) INTO want USING lo, hi;
		IF got IS DISTINCT FROM want THEN
			RETURN format('%s to %s: %s, not %s', lo, hi, got, want);
		END IF;
		most := greatest(most, cardinality(want));
	END LOOP;
	RETURN format('the same, %s', CASE WHEN most > 300 THEN 'up to hundreds' ELSE 'but never many' END);
END $$;
EXPLAIN (COSTS OFF) SELECT k FROM s WHERE k BETWEEN 100 AND 200 ORDER BY k;
SELECT short_ranges('ASC');
SELECT short_ranges('DESC');
SELECT zigzag('SELECT k FROM s WHERE k BETWEEN -3000 AND -2700 ORDER BY k', 1);
SELECT zigzag('SELECT k, pad FROM s WHERE k BETWEEN 400 AND 700 ORDER BY k DESC', 2);

-- arrays come in order, both ways, without repeats
EXPLAIN (COSTS OFF) SELECT k FROM b WHERE k IN (500, 20, 499, 20, 6000) ORDER BY k;
SELECT k FROM b WHERE k IN (500, 20, 499, 20, 6000) ORDER BY k;
SELECT k FROM b WHERE k IN (500, 20, 499, 20, 6000) ORDER BY k DESC LIMIT 4;
SELECT count(*), count(DISTINCT id) FROM b WHERE k = ANY (ARRAY(SELECT g % 4000 FROM generate_series(1, 9000) g));

-- LIMIT stops early; min and max read one end
SELECT k FROM a WHERE k > 29990 ORDER BY k LIMIT 3;
SELECT k FROM a WHERE k < 10 ORDER BY k DESC LIMIT 3 OFFSET 2;
SELECT k FROM a WHERE k > 29990 ORDER BY k OFFSET 8;
SELECT min(k) = (SELECT min(k + 0) FROM u), max(k) = (SELECT max(k + 0) FROM u) FROM u;
SELECT min(k), max(k) FROM a WHERE k > 12345 AND k < 23456;
SELECT min(k), max(k) FROM a WHERE k > 30000;
-- each row's next neighbour
SELECT count(*), sum(n.k - v.k) FROM (SELECT k FROM b WHERE id <= 500) v,
	LATERAL (SELECT k FROM b WHERE b.k > v.k ORDER BY k LIMIT 1) n;
SELECT count(*), sum(v.k - n.k) FROM (SELECT k FROM b WHERE id <= 500) v,
	LATERAL (SELECT k FROM b WHERE b.k < v.k ORDER BY k DESC LIMIT 1) n;

-- merge joins: duplicates on both sides make the inner side go back to its mark
SET enable_hashjoin = off;
SET enable_nestloop = off;
SET enable_material = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM b x JOIN b y ON x.k = y.k;
SELECT count(*), sum(x.id * y.id) FROM b x JOIN b y ON x.k = y.k;
SELECT count(*), sum(a.k) FROM a JOIN b ON a.k = b.k;
SELECT count(*), count(b.id) FROM a LEFT JOIN b ON a.k = b.k;
SELECT count(*), count(a.id), count(b.id) FROM a FULL JOIN b ON a.k = b.k;
EXPLAIN (COSTS OFF) SELECT x.k FROM b x JOIN b y ON x.k = y.k ORDER BY x.k DESC LIMIT 5;
SELECT x.k FROM b x JOIN b y ON x.k = y.k ORDER BY x.k DESC LIMIT 5;
SELECT count(*) FROM b x JOIN b y ON x.k = y.k WHERE x.k BETWEEN 100 AND 3000 AND y.k BETWEEN 2000 AND 4000;
-- long runs of one key on both sides
CREATE TABLE runs (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO runs SELECT g, g / 700, 'r' FROM generate_series(0, 4899) g;
CREATE INDEX runs_k ON runs USING kyro_rmi (k);
SELECT count(*), sum(x.k) FROM runs x JOIN runs y ON x.k = y.k;
SELECT count(*) FROM runs x JOIN runs y ON x.k = y.k WHERE x.pad = y.pad AND x.k = ANY (ARRAY[1, 3, 5]) AND y.k = ANY (ARRAY[5, 4, 3]);
RESET enable_material;
RESET enable_nestloop;

-- nested loops: one rescan per outer row
SET enable_mergejoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM b x JOIN a y ON x.k = y.k;
SELECT count(*), sum(y.id) FROM b x JOIN a y ON x.k = y.k;
SELECT count(*), sum(y.id) FROM u x LEFT JOIN u y ON x.k = y.k;
SELECT count(*) FROM (SELECT id FROM a WHERE k <= 50) x JOIN b y ON y.k BETWEEN x.id * 100 AND x.id * 100 + 8;
SELECT count(*) FROM (SELECT id FROM a WHERE k <= 50) x JOIN b y ON y.k = ANY (ARRAY[x.id, x.id * 2, x.id + 1000]);
SELECT count(*) FROM generate_series(1, 100) g WHERE EXISTS (SELECT 1 FROM b WHERE k = g AND pad = 'b');
SELECT count(*) FROM generate_series(1, 100) g WHERE NOT EXISTS (SELECT 1 FROM b WHERE k = g);
-- a bitmap scan, rescanned
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = on;
EXPLAIN (COSTS OFF) SELECT count(*) FROM (SELECT id FROM a WHERE k <= 50) x JOIN b y ON y.k BETWEEN x.id * 100 AND x.id * 100 + 8;
SELECT count(*) FROM (SELECT id FROM a WHERE k <= 50) x JOIN b y ON y.k BETWEEN x.id * 100 AND x.id * 100 + 8;
-- of two conditions, and lossy
SET work_mem = '64kB';
SELECT count(*), sum(id) FROM a WHERE k < 28000 AND pad = 'a';
SELECT count(*), sum(id) FROM b WHERE k < 1000 OR k > 7000 OR k = 5000;
SELECT count(*) FROM u WHERE k > 0 AND (k < 1000000000000000000 OR k > 8000000000000000000);
RESET work_mem;
RESET enable_indexscan;
RESET enable_indexonlyscan;
RESET enable_mergejoin;
RESET enable_hashjoin;
SET enable_bitmapscan = off;

-- WITH HOLD: the rows outlive the transaction
BEGIN;
DECLARE h SCROLL CURSOR WITH HOLD FOR SELECT k FROM a WHERE k % 5000 = 0 ORDER BY k DESC;
FETCH 2 FROM h;
COMMIT;
DELETE FROM a WHERE k = 15000;
FETCH 2 FROM h;
FETCH FIRST FROM h;
CLOSE h;

-- rows changed under the cursor that finds them
BEGIN;
DECLARE w CURSOR FOR SELECT id, k FROM a WHERE k BETWEEN 501 AND 506 ORDER BY k FOR UPDATE;
FETCH 1 FROM w;
UPDATE a SET k = k + 100000 WHERE CURRENT OF w;
FETCH 1 FROM w;
DELETE FROM a WHERE CURRENT OF w;
FETCH 2 FROM w;
UPDATE a SET pad = 'changed' WHERE CURRENT OF w;
FETCH ALL FROM w;
COMMIT;
SELECT id, k, pad FROM a WHERE k BETWEEN 500 AND 506 OR k > 100000 ORDER BY k;

-- an update that moves rows ahead of its own scan does not meet them again
SET enable_hashjoin = off;
UPDATE b SET k = k + 5 WHERE k BETWEEN 100 AND 1000;
SELECT count(*) FROM b WHERE k % 2 = 1;
SELECT oracle_compare('b', oracle_conds('b'), 4);

-- statements see what the ones before them did, cursors do not
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM a WHERE k BETWEEN 1000 AND 1004 ORDER BY k;
FETCH 1 FROM c;
INSERT INTO a SELECT 50000 + g, 1002, 'late' FROM generate_series(1, 2000) g;
DELETE FROM a WHERE k = 1003;
FETCH ALL FROM c;
SELECT k, count(*) FROM a WHERE k BETWEEN 1000 AND 1004 GROUP BY k ORDER BY k;
ROLLBACK;
SELECT k, count(*) FROM a WHERE k BETWEEN 1000 AND 1004 GROUP BY k ORDER BY k;

-- scans of one index inside one another
SELECT count(*) FROM (SELECT k FROM a WHERE k < 200 ORDER BY k) x
	WHERE EXISTS (SELECT 1 FROM a y WHERE y.k = x.k + 1) AND (SELECT max(z.k) FROM a z WHERE z.k < x.k) IS NOT NULL;
WITH RECURSIVE distinct_keys AS (
	(SELECT k FROM b ORDER BY k LIMIT 1)
	UNION ALL
	SELECT (SELECT k FROM b WHERE b.k > d.k ORDER BY k LIMIT 1) FROM distinct_keys d WHERE d.k IS NOT NULL
)
SELECT count(k) = (SELECT count(DISTINCT k) FROM b) AS same FROM distinct_keys;

-- index scans and parallel plans live together; see rmi_parallel.sql
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*), sum(k) FROM b WHERE k BETWEEN 1000 AND 5000;
SELECT count(*), sum(x.k) FROM b x JOIN a y ON x.k = y.k;
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SELECT count(*), sum(k) FROM b WHERE k BETWEEN 1000 AND 5000;
