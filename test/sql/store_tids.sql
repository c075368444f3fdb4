--
-- Rows of kyro tables by their TIDs: ctid, cursors and WHERE CURRENT OF, TID ranges,
-- samples.
--
\set schema store_tids
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
SELECT twin('CREATE TABLE t (id int PRIMARY KEY, n int, v text)');
SELECT twin('INSERT INTO t SELECT g, 0, repeat(''v'', g % 60) FROM generate_series(1, 3000) g');
SELECT seal('t', 2000);

-- a row is found at its TID, sealed or not, and not where it was
CREATE TEMP TABLE old AS SELECT id, ctid AS tid FROM t;
SELECT count(*) AS found FROM t JOIN old ON t.ctid = old.tid AND t.id = old.id;
SELECT count(*) AS found FROM old WHERE (SELECT t.id FROM t WHERE t.ctid = old.tid) = old.id;
SELECT count(*) AS found FROM t WHERE ctid = ANY (ARRAY(SELECT tid FROM old WHERE id % 100 = 7));
UPDATE t SET n = n WHERE ctid = (SELECT tid FROM old WHERE id = 17) RETURNING id, ctid = (SELECT tid FROM old WHERE id = 17) AS in_place;
UPDATE t SET n = n WHERE ctid = (SELECT tid FROM old WHERE id = 17) RETURNING id;
WITH d AS (DELETE FROM t WHERE ctid IN (SELECT tid FROM old WHERE id IN (18, 2900)) RETURNING id) SELECT id FROM d ORDER BY id;
WITH d AS (DELETE FROM t WHERE ctid IN (SELECT tid FROM old WHERE id IN (18, 2900)) RETURNING id) SELECT id FROM d ORDER BY id;
SELECT id FROM t WHERE ctid = (SELECT tid FROM old WHERE id = 19) FOR UPDATE;
SELECT id FROM t WHERE ctid = (SELECT tid FROM old WHERE id = 18) FOR UPDATE;
SELECT id FROM t WHERE ctid = (SELECT tid FROM old WHERE id = 18);
DELETE FROM store_tids_h.t WHERE id IN (18, 2900);
SELECT same('t');
-- TIDs that are nowhere: before the first row, behind the last one of a page, behind the end
SELECT count(*) FROM t WHERE ctid = '(0,0)';
SELECT count(*) FROM t WHERE ctid = '(4294967295,1)';
SELECT count(*) FROM t WHERE ctid = '(1000000,1)';
SELECT count(*) AS wrong FROM (SELECT DISTINCT (tid::text::point)[0]::bigint AS block FROM old) b, LATERAL (SELECT FROM t WHERE ctid = format('(%s,2000)', block)::tid) s;
SELECT count(*) AS wrong FROM (SELECT DISTINCT (tid::text::point)[0]::bigint AS block FROM old) b, LATERAL (SELECT FROM t WHERE ctid = format('(%s,0)', block)::tid) s;
-- every page by itself, with all numbers a row could have: exactly the rows that are there
SELECT count(*) = (SELECT count(*) FROM t) AS all_rows FROM generate_series(0, (pg_relation_size('t') / current_setting('block_size')::int)::int - 1) b, generate_series(1, 300) r,
	LATERAL (SELECT FROM t WHERE ctid = format('(%s,%s)', b, r)::tid) s;

-- the latest version of a row, as old clients ask for it
SELECT currtid2('t', tid) = tid AS same FROM old WHERE id = 20;
-- in one transaction, for what is dead to all may be forgotten
BEGIN;
UPDATE t SET n = 20 WHERE id IN (20, 2800);
SELECT t.id, n FROM t JOIN (SELECT currtid2('t', tid) AS c FROM old WHERE id IN (20, 2800)) s ON ctid = c ORDER BY id;
UPDATE t SET n = 21 WHERE id IN (20, 2800);
SELECT t.id, n FROM t JOIN (SELECT currtid2('t', tid) AS c FROM old WHERE id IN (20, 2800)) s ON ctid = c ORDER BY id;
SELECT seal('t') > 0 AS some;
SELECT t.id, n FROM t JOIN (SELECT currtid2('t', tid) AS c FROM old WHERE id IN (20, 2800)) s ON ctid = c ORDER BY id;
COMMIT;
UPDATE store_tids_h.t SET n = 21 WHERE id IN (20, 2800);
SELECT same('t');

-- ranges of TIDs, both ends, in both directions
DROP TABLE old;
CREATE TEMP TABLE old AS SELECT id, ctid AS tid FROM t;
SELECT twin('UPDATE t SET n = 5 WHERE id % 10 = 3');
SELECT count(*) FROM t WHERE ctid < '(0,1)';
SELECT count(*) = (SELECT count(*) FROM t) AS all FROM t WHERE ctid >= '(0,0)';
SELECT count(*) = (SELECT count(*) FROM t) AS all FROM t WHERE ctid > '(0,0)' AND ctid <= '(4294967295,65535)';
CREATE FUNCTION store_tids.in_range(a tid, b tid, OUT by_tid bigint, OUT by_filter bigint, OUT backward bigint) LANGUAGE plpgsql AS $$
DECLARE
	c SCROLL CURSOR FOR SELECT t.id FROM t WHERE ctid >= a AND ctid < b;
	r record;
BEGIN
	SELECT sum(id) INTO by_tid FROM t WHERE ctid >= a AND ctid < b;
	SELECT sum(id) INTO by_filter FROM t WHERE ctid::text::tid >= a AND ctid::text::tid < b;
	backward := 0;
	OPEN c;
	MOVE LAST IN c;
	MOVE NEXT IN c;
	LOOP
		FETCH PRIOR FROM c INTO r;
		EXIT WHEN NOT FOUND;
		backward := backward + r.id;
	END LOOP;
	CLOSE c;
END $$;
SELECT count(*) AS ranges, count(*) FILTER (WHERE by_tid IS DISTINCT FROM by_filter OR coalesce(by_tid, 0) <> backward) AS wrong
	FROM (SELECT a.tid AS a, b.tid AS b FROM old a, old b WHERE a.id IN (3, 777, 1999, 2001, 2999, 20, 33) AND b.id IN (5, 1500, 2000, 2500, 2800, 2998)) s, in_range(a, b);
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE ctid > '(0,0)' AND ctid < '(5,5)';
SELECT same('t');

-- cursors: forwards, backwards, holdable
SELECT twin('UPDATE t SET n = 6 WHERE id % 10 = 4');
CREATE TEMP TABLE seen (id int, way text);
CREATE FUNCTION store_tids.fetch_all(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c refcursor;
	r record;
	there int[];
	back int[];
BEGIN
	OPEN c SCROLL FOR EXECUTE query;
	LOOP FETCH c INTO r; EXIT WHEN NOT FOUND; there := there || r.id; END LOOP;
	LOOP FETCH PRIOR FROM c INTO r; EXIT WHEN NOT FOUND; back := r.id || back; END LOOP;
	FETCH ABSOLUTE 1000 FROM c INTO r;
	FETCH RELATIVE -1 FROM c INTO r;
	FETCH RELATIVE 2 FROM c INTO r;
	CLOSE c;
	RETURN format('%s rows, %s, %s', cardinality(there), CASE WHEN there = back THEN 'the same backwards' ELSE 'DIFFERENT' END,
		CASE WHEN r.id = there[1001] THEN 'the same across' ELSE 'DIFFERENT' END);
END $$;
SELECT fetch_all('SELECT id FROM t');
SELECT fetch_all('SELECT id FROM t WHERE ctid > ''(0,0)''');
SELECT fetch_all('SELECT id FROM t ORDER BY id');
SET enable_sort = off;
SELECT fetch_all('SELECT id FROM t WHERE id > 100 ORDER BY id');
RESET enable_sort;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id;
FETCH 2 FROM c;
COMMIT;
DELETE FROM t WHERE id = 3;
SELECT seal('t') > 0 AS some;
FETCH 2 FROM c;
CLOSE c;
DELETE FROM store_tids_h.t WHERE id = 3;
-- WHERE CURRENT OF, on sealed rows and others, after moves in both directions
BEGIN;
SET LOCAL enable_sort = off;
SET LOCAL enable_bitmapscan = off;
DECLARE c SCROLL CURSOR FOR SELECT id, n FROM t WHERE id < 9 ORDER BY id;
FETCH 3 FROM c;
UPDATE t SET n = 100 WHERE CURRENT OF c RETURNING id;
FETCH NEXT FROM c;
DELETE FROM t WHERE CURRENT OF c RETURNING id;
FETCH PRIOR FROM c;
UPDATE t SET n = n + 1 WHERE CURRENT OF c RETURNING id, n;
CLOSE c;
DECLARE c CURSOR FOR SELECT id, n FROM t WHERE id < 9 ORDER BY id FOR UPDATE;
MOVE 4 FROM c;
UPDATE t SET n = 200 WHERE CURRENT OF c RETURNING n;
UPDATE t SET n = n + 1 WHERE CURRENT OF c RETURNING n;
DELETE FROM t WHERE CURRENT OF c RETURNING n;
DELETE FROM t WHERE CURRENT OF c RETURNING n;
CLOSE c;
SELECT count(*), sum(n) FROM t WHERE id < 9;
ROLLBACK;
SELECT id, n FROM t WHERE id < 9 ORDER BY id;
DO $$
DECLARE
	r record;
	s text;
	c refcursor;
BEGIN
	FOREACH s IN ARRAY ARRAY['h', 'k'] LOOP
		EXECUTE format('SET LOCAL search_path = store_tids_%s, store_tids', s);
		c := 'cur_' || s;
		OPEN c FOR EXECUTE 'SELECT id FROM t WHERE id % 3 = 0 FOR NO KEY UPDATE';
		LOOP
			FETCH c INTO r;
			EXIT WHEN NOT FOUND;
			IF r.id % 2 = 0 THEN
				EXECUTE format('UPDATE t SET n = id WHERE CURRENT OF cur_%s', s);
			ELSIF r.id % 5 = 0 THEN
				EXECUTE format('DELETE FROM t WHERE CURRENT OF cur_%s', s);
			END IF;
		END LOOP;
		CLOSE c;
	END LOOP;
END $$;
SELECT same('t');
-- the table cannot be sealed under a cursor of the same session
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id;
FETCH 1 FROM c;
SELECT seal('t');
ROLLBACK;

-- samples: all of it, none of it, the same twice, a part of it
SELECT count(*) = (SELECT count(*) FROM t) AS all, sum(id) = (SELECT sum(id) FROM t) AS right FROM t TABLESAMPLE bernoulli (100);
SELECT count(*) = (SELECT count(*) FROM t) AS all, sum(id) = (SELECT sum(id) FROM t) AS right FROM t TABLESAMPLE system (100);
SELECT count(*) FROM t TABLESAMPLE system (0);
SELECT count(*) FROM t TABLESAMPLE bernoulli (0);
SELECT count(*) AS different FROM ((SELECT id FROM t TABLESAMPLE bernoulli (30) REPEATABLE (7)) EXCEPT ALL (SELECT id FROM t TABLESAMPLE bernoulli (30) REPEATABLE (7))) s;
SELECT count(*) AS different FROM ((SELECT id FROM t TABLESAMPLE system (50) REPEATABLE (7)) EXCEPT ALL (SELECT id FROM t TABLESAMPLE system (50) REPEATABLE (7))) s;
SELECT count(*) BETWEEN 500 AND 1300 AS about, count(*) = count(DISTINCT id) AS once FROM t TABLESAMPLE bernoulli (30) REPEATABLE (1);
SELECT count(*) AS strange FROM (SELECT * FROM t TABLESAMPLE system (50) EXCEPT SELECT * FROM t) s;
-- pages are drawn as often as their rows are many: each sealed row with the others of its page, or not at all
SELECT count(*) AS torn FROM (SELECT (ctid::text::point)[0] AS block, count(*) AS n FROM t GROUP BY 1) p
	JOIN (SELECT (ctid::text::point)[0] AS block, count(*) AS n FROM t TABLESAMPLE system (50) REPEATABLE (3) GROUP BY 1) s USING (block) WHERE s.n <> p.n;
SELECT v.* FROM kyro.verify('t', true) v;
