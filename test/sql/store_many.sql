-- Sessions with more tables, indexes and runs than fit somewhere.

CREATE SCHEMA many;
SET search_path = many, public;
SET client_min_messages = warning;

-- what a session knows of tables stays from one transaction to the next
CREATE PROCEDURE make_tables(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		EXECUTE format('CREATE TABLE t%s (id int, v text) USING kyro', i);
		EXECUTE format('INSERT INTO t%s SELECT j, md5(j::text) FROM generate_series(1, 20) j', i);
		PERFORM kyro.snapshot(format('t%s', i)::regclass);
	END LOOP;
END $$;
CREATE PROCEDURE read_tables(n int) LANGUAGE plpgsql AS $$
DECLARE
	found int;
BEGIN
	FOR i IN 1..n LOOP
		EXECUTE format('SELECT count(*) FROM t%s WHERE v = md5(id::text)', i) INTO found;
		IF found <> 20 THEN
			RAISE '% rows in table %', found, i;
		END IF;
		COMMIT;
	END LOOP;
END $$;
CREATE FUNCTION contexts(what text) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(*) FROM pg_backend_memory_contexts WHERE name = what $$;
CALL make_tables(150);
CALL read_tables(150);
SELECT contexts('kyrodb table') >= 150 AS all_known;

-- within their bound, the one that was used last in any case
SET kyro.table_cache = '300kB';
CALL read_tables(150);
SELECT contexts('kyrodb table') BETWEEN 1 AND 40 AS few_known;
CALL read_tables(150);
SET kyro.table_cache = 0;
CALL read_tables(10);
SELECT contexts('kyrodb table') AS none_known;
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM t1 ORDER BY id LIMIT 2;
FETCH ALL FROM c;
-- and within a transaction all of them
BEGIN;
DO $$ DECLARE n int; BEGIN
	FOR i IN 1..100 LOOP
		EXECUTE format('SELECT count(*) FROM t%s', i) INTO n;
	END LOOP;
END $$;
SELECT contexts('kyrodb table') >= 100 AS all_known;
COMMIT;
RESET kyro.table_cache;

-- what was dropped is forgotten, rewritten tables are read anew
CALL read_tables(150);
DO $$ BEGIN
	FOR i IN 1..50 LOOP
		EXECUTE format('DROP TABLE t%s', i);
		EXECUTE format('CREATE TABLE t%s AS TABLE t150', i);
	END LOOP;
	FOR i IN 51..100 LOOP
		EXECUTE format('ALTER TABLE t%s ADD COLUMN w float DEFAULT random()', i);
	END LOOP;
END $$;
CALL read_tables(150);
SELECT contexts('kyrodb table') BETWEEN 100 AND 110 AS only_the_last;

-- indexes likewise
DO $$ BEGIN
	FOR i IN 1..30 LOOP
		EXECUTE format('CREATE TABLE w%s (a int)', i);
		FOR j IN 1..40 LOOP
			EXECUTE format('CREATE INDEX ON w%s USING kyro_rmi (a)', i);
		END LOOP;
	END LOOP;
END $$;
CREATE PROCEDURE insert_all() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..30 LOOP
		EXECUTE format('INSERT INTO w%s VALUES (%s)', i, i);
		COMMIT;
	END LOOP;
END $$;
CALL insert_all();
SELECT contexts('kyrodb directory') >= 1200 AS all_known;
SET kyro.directory_cache = 64;
CREATE INDEX one_more ON w1 USING kyro_rmi (a);
INSERT INTO w1 VALUES (1);
SELECT contexts('kyrodb directory') BETWEEN 40 AND 1100 AS some_known;
CALL insert_all();
RESET kyro.directory_cache;
SELECT count(*) AS problems FROM generate_series(1, 30) i, generate_series(1, 40) j,
	LATERAL kyro.verify(format('w%s_a_idx%s', i, nullif(j - 1, 0))::regclass, deep => true);

-- Counters (NULL if the library is not preloaded): those of dropped tables make way,
CREATE TABLE before (a int) USING kyro;
INSERT INTO before VALUES (1);
SELECT rows FROM kyro.snapshot('before');
CREATE PROCEDURE temporary_tables(n int, drop_them bool) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		EXECUTE format('CREATE TEMP TABLE x%s (a int) USING kyro', i);
		EXECUTE format('INSERT INTO x%s VALUES (1)', i);
		PERFORM kyro.snapshot(format('x%s', i)::regclass);
		IF drop_them THEN
			EXECUTE format('DROP TABLE x%s', i);
		END IF;
		IF i % 10 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;
CALL temporary_tables(1100, true);
SELECT coalesce(seals, 1) AS seals, coalesce(rows_sealed, 1) AS rows_sealed
FROM kyro.stat_tables WHERE relname = 'before';
-- not if the drop is rolled back
BEGIN;
SAVEPOINT s;
DROP TABLE before;
ROLLBACK TO s;
COMMIT;
BEGIN;
DROP TABLE before;
ROLLBACK;
SELECT coalesce(seals, 1) AS seals FROM kyro.stat_tables WHERE relname = 'before';
-- and among those that are there the ones not used for longest.
CALL temporary_tables(1100, false);
CREATE TABLE after (a int) USING kyro;
INSERT INTO after VALUES (1);
SELECT rows FROM kyro.snapshot('after');
SELECT relname, coalesce(seals, 1) AS seals, coalesce(rows_sealed, 1) AS rows_sealed
FROM kyro.stat_tables WHERE relname IN ('after', 'x1100') ORDER BY relname;
DISCARD TEMP;

-- Seals in batches: each goes on where the one before has stopped, and none misses a row.
CREATE TABLE batches (id int PRIMARY KEY, filler text) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO batches SELECT i, repeat('x', 100) FROM generate_series(1, 10000) i;
-- Blocks read by a batch: the same, however many rows were sealed before it.
CREATE FUNCTION pages_read(max_rows bigint, OUT rows bigint, OUT pages bigint) LANGUAGE plpgsql AS $$
DECLARE
	before bigint := pg_stat_get_xact_blocks_fetched('batches'::regclass);
BEGIN
	SELECT s.rows INTO rows FROM kyro.snapshot('batches', max_rows) s;
	pages := pg_stat_get_xact_blocks_fetched('batches'::regclass) - before;
END $$;
CREATE TEMP TABLE reads (i int, rows bigint, pages bigint);
CREATE PROCEDURE seal_all() LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR i IN 1..100 LOOP
		SELECT * INTO r FROM pages_read(500);
		INSERT INTO reads VALUES (i, r.rows, r.pages);
		COMMIT;
		EXIT WHEN r.rows = 0;
	END LOOP;
END $$;
CALL seal_all();
SELECT count(*), sum(rows) FROM reads;
SELECT max(pages) FILTER (WHERE i > 10) < 2 * min(pages) FILTER (WHERE i <= 10) AS no_longer FROM reads WHERE rows > 0;
-- rows that take the place of sealed ones, before the place where the last batch stopped
VACUUM batches;
INSERT INTO batches SELECT i, repeat('y', 100) FROM generate_series(10001, 12000) i;
UPDATE batches SET filler = 'z' WHERE id % 1000 = 0;
SELECT rows FROM kyro.snapshot('batches', 700);
DELETE FROM batches WHERE id BETWEEN 10100 AND 10300;
VACUUM batches;
INSERT INTO batches SELECT i, repeat('v', 100) FROM generate_series(12001, 12500) i;
BEGIN;
SELECT rows FROM kyro.snapshot('batches', 700);
ROLLBACK;
TRUNCATE reads;
CALL seal_all();
SELECT rows FROM kyro.snapshot('batches');
SELECT log_pages FROM (SELECT count(*) AS log_pages FROM batches b
	WHERE NOT EXISTS (SELECT FROM kyro.table_runs('batches') r
		WHERE (ctid::text::point)[0] BETWEEN r.run AND r.run + r.pages - 1)) l;
SELECT count(*), sum(id), count(*) FILTER (WHERE filler = 'z') AS z FROM batches;
SELECT * FROM kyro.verify('batches', deep => true);

-- Many runs, in one transaction and in many.
CREATE TABLE runs (id int PRIMARY KEY) USING kyro;
DO $$ BEGIN
	FOR i IN 1..300 LOOP
		INSERT INTO runs VALUES (i);
		PERFORM kyro.snapshot('runs');
	END LOOP;
END $$;
CREATE PROCEDURE more_runs() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 301..600 LOOP
		INSERT INTO runs VALUES (i);
		PERFORM kyro.snapshot('runs');
		IF i % 3 = 0 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END $$;
CALL more_runs();
SELECT count(*), sum(id) FROM runs;
SELECT count(*), count(*) FILTER (WHERE state = 'committed') AS committed FROM kyro.table_runs('runs');
-- what a session remembers of their link pages is in proportion to their rows
SELECT sum(total_bytes) < 2000000 AS little FROM pg_backend_memory_contexts WHERE name = 'kyrodb link pages';
SELECT * FROM kyro.verify('runs', deep => true);
DROP TABLE runs;
RESET client_min_messages;
