-- Entries of dead rows go without VACUUM, where work leaves them again and
-- again: by unique checks, inserts of further versions, and scans; in logged,
-- unlogged and temporary tables, of both kinds.
CREATE SCHEMA dead;
SET search_path = dead, public;
SET enable_seqscan = off;
SET client_min_messages = error;
CREATE TABLE results (no int GENERATED ALWAYS AS IDENTITY, kind text, am text, storage text, entries text, size text, rows text);

-- One kind of work, 300 transactions, on a new table (k, n, v): are there few
-- entries of the key, or at all, in the end, is the index small, does it have the table's rows?
-- n is indexed, so that no update is HOT.
CREATE PROCEDURE work(kind text, statement text, key bigint, is_unique bool, max_entries int, max_pages int)
LANGUAGE plpgsql AS $$
DECLARE
	storage text;
	am text;
	entries bigint;
	pages bigint;
	through_index text;
	of_table text;
	problems bigint;
BEGIN
	FOREACH am IN ARRAY ARRAY['heap', 'kyro'] LOOP
		FOREACH storage IN ARRAY ARRAY['', 'UNLOGGED', 'TEMP'] LOOP
			EXECUTE format('CREATE %s TABLE work (k bigint, n bigint, v bigint) USING %s', storage, am);
			INSERT INTO work SELECT g, 0, g FROM generate_series(1, 1000) g;
			EXECUTE format('CREATE %s INDEX work_k ON work USING kyro_rmi (k)', CASE WHEN is_unique THEN 'UNIQUE' END);
			CREATE INDEX work_n ON work (n);
			CREATE INDEX work_v ON work (v);
			IF am = 'kyro' THEN
				PERFORM kyro.snapshot('work', 500);
			END IF;
			ANALYZE work;
			COMMIT;
			FOR i IN 1 .. 300 LOOP
				EXECUTE statement USING i;
				IF kind ~ 'undone' THEN
					ROLLBACK;
				ELSE
					COMMIT;
				END IF;
			END LOOP;
			IF key IS NULL THEN
				SELECT sum(matches) INTO entries FROM generate_series(1, 1400) g, kyro.trace('work_k', g);
				-- those of rows of the log that were sealed do not count
				entries := entries - CASE am WHEN 'kyro' THEN 500 ELSE 0 END;
			ELSE
				SELECT matches INTO entries FROM kyro.trace('work_k', key);
			END IF;
			pages := pg_relation_size('work_k') / 8192;
			SET LOCAL enable_bitmapscan = off;
			SELECT count(n) || ' ' || sum(hashint8extended(k, n)) INTO through_index FROM work WHERE k > 0;
			SET LOCAL enable_seqscan = on;
			SET LOCAL enable_indexscan = off;
			SELECT count(n) || ' ' || sum(hashint8extended(k, n)) INTO of_table FROM work WHERE k > 0;
			SELECT count(*) INTO problems FROM kyro.verify('work_k', deep => true);
			INSERT INTO results (kind, am, storage, entries, size, rows) VALUES (kind, am, CASE storage WHEN '' THEN 'logged' ELSE lower(storage) END,
				CASE WHEN entries <= max_entries THEN 'few' ELSE entries || ' entries' END,
				CASE WHEN pages <= max_pages THEN 'small' ELSE pages || ' pages' END,
				CASE WHEN problems = 0 AND through_index IS NOT DISTINCT FROM of_table THEN 'right' ELSE 'WRONG' END);
			DROP TABLE work;
			COMMIT;
		END LOOP;
	END LOOP;
END $$;

CALL work('a row updated, unique key', 'UPDATE work SET n = n + 1 WHERE v = 7', 7, true, 70, 5);
CALL work('deleted and inserted again', 'WITH d AS (DELETE FROM work WHERE v = CASE $1 WHEN 1 THEN 7 ELSE 1 - $1 END RETURNING k) INSERT INTO work SELECT k, $1, - $1 FROM d', 7, true, 70, 5);
CALL work('inserted and undone', 'INSERT INTO work VALUES (7000, $1, - $1)', 7000, true, 70, 5);
CALL work('a row updated', 'UPDATE work SET n = n + 1 WHERE v = 7', 7, false, 150, 5);
CALL work('the last row updated', 'UPDATE work SET n = n + 1 WHERE v = 1000', 1000, false, 150, 5);
CALL work('all rows updated', 'UPDATE work SET n = n + 1 WHERE v / 50 = $1 % 20', 7, false, 12, 6);
-- queues: the first row goes, found through the index; another comes
CALL work('a queue', 'DELETE FROM work WHERE ctid = (SELECT ctid FROM work ORDER BY k LIMIT 1 FOR UPDATE SKIP LOCKED)', NULL, false, 760, 5);
CALL work('a queue that is filled', 'WITH d AS (DELETE FROM work WHERE ctid = (SELECT ctid FROM work ORDER BY k LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING k) INSERT INTO work SELECT k + 1000, $1, - $1 FROM d', NULL, false, 1060, 5);

SELECT kind, am, storage, entries, size, rows FROM results ORDER BY no;

-- NULLs are equal, or each for itself
CREATE TABLE nulls (k bigint, n bigint, v bigint);
INSERT INTO nulls VALUES (NULL, 0, 1), (NULL, 0, 2), (1, 0, 3);
CREATE INDEX nulls_k ON nulls USING kyro_rmi (k);
CREATE INDEX ON nulls (n);
DO $$ BEGIN FOR i IN 1 .. 300 LOOP UPDATE nulls SET n = n + 1 WHERE v = 1; COMMIT; END LOOP; END $$;
SET enable_bitmapscan = off;
SELECT count(n), max(n) FROM nulls WHERE k IS NULL;
SELECT * FROM kyro.verify('nulls_k', deep => true);
-- not by an aborted transaction's word alone, nor one's own
BEGIN;
DELETE FROM nulls WHERE v = 1;
INSERT INTO nulls SELECT NULL, 0, 4 FROM generate_series(1, 200);
SAVEPOINT s;
UPDATE nulls SET n = n + 1 WHERE v = 4;
ROLLBACK TO s;
UPDATE nulls SET n = n + 1 WHERE v = 4;
SELECT count(n), max(n) FROM nulls WHERE k IS NULL;
ROLLBACK;
SELECT count(n), max(n) FROM nulls WHERE k IS NULL;
SELECT * FROM kyro.verify('nulls_k', deep => true);
RESET enable_bitmapscan;
RESET enable_seqscan;
RESET client_min_messages;
RESET search_path;
