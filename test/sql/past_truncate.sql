--
-- Histories: triggers of TRUNCATE that change the rows of the tables that are truncated, before and after.
--
CREATE SCHEMA ptru;
SET search_path = ptru;
SET client_min_messages = error;
CREATE TABLE t (id int, v text);
CREATE TABLE k (id int, v text) USING kyro;
CREATE TABLE p (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (100);
SELECT kyro.keep_history(x, "for" => '1 day') FROM unnest('{t,k,p}'::regclass[]) x;
-- rows as of an epoch that differ from a copy that was made then, of all tables
CREATE TABLE copies (epoch text, tbl text, id int, v text);
CREATE FUNCTION epoch(name text) RETURNS void LANGUAGE sql AS $$
	SELECT kyro.create_epoch('ptru ' || name);
	INSERT INTO copies SELECT name, 't', * FROM t UNION ALL SELECT name, 'k', * FROM k UNION ALL SELECT name, 'p', * FROM p
$$;
CREATE FUNCTION differ() RETURNS TABLE (epoch text, tbl text, id int, v text, more bigint) LANGUAGE sql AS $$
	SELECT x.epoch, x.tbl, x.id, x.v, sum(x.n) FROM (
		SELECT substr(e.name, 6) AS epoch, a.*, 1 AS n FROM kyro.epochs e, LATERAL (
			SELECT 't' AS tbl, * FROM kyro.as_of(NULL::t, e.name) UNION ALL SELECT 'k', * FROM kyro.as_of(NULL::k, e.name)
			UNION ALL SELECT 'p', * FROM kyro.as_of(NULL::p, e.name)) a
		WHERE e.name LIKE 'ptru %'
		UNION ALL SELECT *, -1 FROM copies) x
	GROUP BY 1, 2, 3, 4 HAVING sum(x.n) <> 0 ORDER BY 1, 2, 3, 4
$$;
CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
	INSERT INTO t SELECT i, 'first' FROM generate_series(1, 5) i;
	INSERT INTO k SELECT i, 'first' FROM generate_series(1, 5) i;
	INSERT INTO p SELECT i, 'first' FROM generate_series(5, 15) i
$$;
SELECT fill();
SELECT epoch('1 filled');

-- before, by name on either side of the trigger of the history
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('DELETE FROM %I WHERE id IN (1, 5)', TG_TABLE_NAME);
	EXECUTE format('UPDATE %I SET v = v || %L WHERE id IN (2, 8)', TG_TABLE_NAME, TG_NAME);
	EXECUTE format('INSERT INTO %I VALUES (9, %L)', TG_TABLE_NAME, TG_NAME);
	RETURN NULL;
END $$;
CREATE TRIGGER zz BEFORE TRUNCATE ON t EXECUTE FUNCTION change();
CREATE TRIGGER aa BEFORE TRUNCATE ON t EXECUTE FUNCTION change();
CREATE TRIGGER zz BEFORE TRUNCATE ON k EXECUTE FUNCTION change();
CREATE TRIGGER zz BEFORE TRUNCATE ON p1 EXECUTE FUNCTION change();
TRUNCATE t;
SELECT epoch('2 t truncated');
TRUNCATE k, p1;
SELECT epoch('3 k and p1 truncated');
SELECT * FROM differ();
SELECT (SELECT count(*) FROM t) AS t, (SELECT count(*) FROM k) AS k, (SELECT count(*) FROM p) AS p;
-- what is changed later is recorded as ever
SELECT fill();
SELECT epoch('4 filled again');
UPDATE t SET v = 'changed';
DELETE FROM k WHERE id = 3;
-- rolled back to before, and done again
BEGIN;
SAVEPOINT s;
TRUNCATE t, k, p;
ROLLBACK TO s;
INSERT INTO t VALUES (20, 'after a rollback');
TRUNCATE k;
COMMIT;
SELECT epoch('5 k truncated');
SELECT * FROM differ();

-- tables change one another while they are truncated, and rows move to partitions that are not
CREATE FUNCTION change_others() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM t WHERE id = 2;
	UPDATE k SET v = 'by another';
	UPDATE p SET id = id + 10 WHERE id < 10;
	INSERT INTO t VALUES (3, 'by another');
	RETURN NULL;
END $$;
CREATE TRIGGER yy BEFORE TRUNCATE ON k EXECUTE FUNCTION change_others();
CREATE TRIGGER yy BEFORE TRUNCATE ON p1 EXECUTE FUNCTION change_others();
SELECT fill();
SELECT epoch('6 filled again');
TRUNCATE t, k;
SELECT epoch('7 t and k truncated');
SELECT fill();
TRUNCATE p1, k;
SELECT epoch('8 p1 and k truncated');
SELECT * FROM differ();

-- after: the table is empty, and what is written is recorded
CREATE TRIGGER after AFTER TRUNCATE ON t EXECUTE FUNCTION change();
CREATE TRIGGER after AFTER TRUNCATE ON k EXECUTE FUNCTION change();
SELECT fill();
TRUNCATE t, k;
SELECT * FROM t;
SELECT epoch('9 truncated, with a row');
DELETE FROM t;
DELETE FROM k;
SELECT * FROM differ();

-- a table that may keep its file, as it got it in the same transaction: one cannot tell whether it is truncated yet
BEGIN;
TRUNCATE k;
SAVEPOINT s;
TRUNCATE k;
ROLLBACK TO s;
DROP TRIGGER after ON k;
TRUNCATE k;
ROLLBACK;
DROP TRIGGER zz ON k;
DROP TRIGGER yy ON k;
DROP TRIGGER after ON k;
BEGIN;
INSERT INTO k VALUES (1, 'one');
TRUNCATE k;
INSERT INTO k VALUES (2, 'two');
TRUNCATE k;
INSERT INTO k VALUES (3, 'three');
COMMIT;
SELECT epoch('a truncated twice');
DELETE FROM k;
SELECT * FROM differ();
SELECT kyro.drop_epoch(name) FROM kyro.epochs WHERE name LIKE 'ptru %';
