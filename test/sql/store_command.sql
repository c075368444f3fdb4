--
-- kyro.snapshot() in the middle of a command: what it writes is seen, or the call
-- is refused, by whatever comes later in that command, and no row is there twice.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
CREATE SCHEMA store_command;
SET search_path = store_command, public;
-- all rows of a table, by each way to them
CREATE FUNCTION counts(rel regclass, OUT seq bigint, OUT ids bigint, OUT by_index bigint) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL enable_indexscan = off;
	SET LOCAL enable_indexonlyscan = off;
	SET LOCAL enable_bitmapscan = off;
	EXECUTE format('SELECT count(*), count(DISTINCT id) FROM %s', rel) INTO seq, ids;
	RESET enable_indexscan;
	RESET enable_indexonlyscan;
	RESET enable_bitmapscan;
	SET LOCAL enable_seqscan = off;
	EXECUTE format('SELECT count(*) FROM %s WHERE id > -1', rel) INTO by_index;
	RESET enable_seqscan;
END $$;
CREATE TABLE k (id int PRIMARY KEY, v int) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO k VALUES (1, 1);
-- one call for each column
SET client_min_messages = notice;
SELECT (kyro.snapshot('k')).rows, (kyro.snapshot('k')).rows;
SET client_min_messages = error;
SELECT count(*) FROM (SELECT (kyro.snapshot('k')).* OFFSET 0) s;
SELECT * FROM counts('k');
SELECT count(*) FROM kyro.table_runs('k');
INSERT INTO k SELECT g, g FROM generate_series(2, 1000) g;
SELECT count(*) FROM (SELECT (kyro.snapshot('k', 100)).* OFFSET 0) s;
SELECT * FROM counts('k');
SELECT (s).rows FROM (SELECT kyro.snapshot('k', 200) AS s FROM generate_series(1, 4) OFFSET 0) s;
SELECT * FROM counts('k');
INSERT INTO k VALUES (0, 0);
BEGIN;
SELECT count(*) FROM (SELECT (kyro.snapshot('k')).* OFFSET 0) s;
SELECT * FROM counts('k');
ROLLBACK;
SELECT * FROM counts('k');

-- one table after the other
CREATE TABLE part (id int, v int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE part0 PARTITION OF part FOR VALUES FROM (0) TO (100) USING kyro WITH (autovacuum_enabled = off);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (100) TO (200) USING kyro WITH (autovacuum_enabled = off);
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (200) TO (300) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO part SELECT g, g FROM generate_series(0, 249) g;
SELECT relname, s.rows FROM pg_class, kyro.snapshot(oid) s
 WHERE relname LIKE 'part_' AND relnamespace = 'store_command'::regnamespace ORDER BY 1;
SELECT count(*), count(DISTINCT id) FROM part;
INSERT INTO part SELECT g, g FROM generate_series(250, 259) g;
SELECT relname, (s).rows FROM (SELECT relname, kyro.snapshot(oid) AS s FROM pg_class
 WHERE relname LIKE 'part_' AND relnamespace = 'store_command'::regnamespace OFFSET 0) s ORDER BY 1;
SELECT * FROM counts('part');
UPDATE part SET v = -1 WHERE id % 10 = 0;
DO $$ DECLARE r regclass; BEGIN
	FOR r IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'part'::regclass LOOP PERFORM kyro.snapshot(r); END LOOP;
END $$;
SELECT * FROM counts('part');

-- who comes later in the command: readers with its snapshot and with one of their own, and writers
CREATE FUNCTION see_stable() RETURNS bigint STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN count(*) FROM k; END $$;
CREATE FUNCTION see_new() RETURNS text VOLATILE LANGUAGE plpgsql AS $$ BEGIN RETURN counts('k'); END $$;
CREATE FUNCTION see_sql() RETURNS bigint VOLATILE LANGUAGE sql AS $$ SELECT kyro.snapshot('k'); SELECT count(*) FROM k $$;
CREATE FUNCTION change(what text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; BEGIN EXECUTE what; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END $$;
INSERT INTO k SELECT g, g FROM generate_series(1001, 1010) g;
SELECT see_stable(), (kyro.snapshot('k')).rows, see_stable(), see_new(), see_sql();
INSERT INTO k SELECT g, g FROM generate_series(1011, 1020) g;
SELECT (kyro.snapshot('k')).rows, change('UPDATE k SET v = v + 1 WHERE id > 1005'), see_stable(), see_new(),
	change('DELETE FROM k WHERE id BETWEEN 1015 AND 1016'), see_stable(), see_new();
INSERT INTO k SELECT g, g FROM generate_series(1021, 1030) g;
SELECT change('UPDATE k SET v = v + 1 WHERE id > 1005'), (kyro.snapshot('k')).rows, (kyro.snapshot('k')).rows,
	change('UPDATE k SET v = v + 1 WHERE id > 1020'), (kyro.snapshot('k')).rows, see_new();
SELECT change('INSERT INTO k VALUES (1031, 1)'), (kyro.snapshot('k')).rows, change('INSERT INTO k VALUES (1031, 2)');
SELECT change('INSERT INTO k VALUES (1031, 1)'), (kyro.snapshot('k')).rows,
	change('INSERT INTO k VALUES (1031, 2) ON CONFLICT DO NOTHING'),
	change('INSERT INTO k VALUES (1031, 2) ON CONFLICT (id) DO UPDATE SET v = excluded.v'), (kyro.snapshot('k')).rows;
SELECT * FROM k WHERE id = 1031;
SELECT sum(v) FROM k;
SELECT * FROM counts('k');

-- in the command of a writer, or reader, of the table itself
SELECT count(*), (SELECT rows FROM kyro.snapshot('k')) FROM k;
SELECT (SELECT rows FROM kyro.snapshot('k')) FROM k LIMIT 1;
INSERT INTO k SELECT 2000 + rows, 1 FROM kyro.snapshot('k');
UPDATE k SET v = 0 WHERE id = 1 AND (kyro.snapshot('k')).rows > 0;
DELETE FROM k WHERE (kyro.snapshot('k')).rows > 0;
WITH gone AS (DELETE FROM k RETURNING id) SELECT (kyro.snapshot('k')).rows FROM gone;
WITH sealed AS (SELECT rows FROM kyro.snapshot('k')), gone AS (DELETE FROM k USING sealed) SELECT rows FROM sealed;
MERGE INTO k USING (SELECT rows::int AS n FROM kyro.snapshot('k')) s ON id = n WHEN MATCHED THEN DELETE;
COPY (SELECT kyro.snapshot('k') FROM k) TO STDOUT;
SELECT * FROM counts('k');
-- one that opens it only when it comes there
INSERT INTO part SELECT g, 1 FROM generate_series(260, 269) g;
INSERT INTO part SELECT 270 + g, (SELECT rows FROM kyro.snapshot('part2')) FROM generate_series(0, 9) g;
SELECT * FROM counts('part');
INSERT INTO part SELECT 265 + g, (SELECT rows FROM kyro.snapshot('part2')) FROM generate_series(0, 9) g
	ON CONFLICT (id) DO UPDATE SET v = 1000 + part.v;
SELECT id, v FROM part WHERE id >= 264 ORDER BY id;
INSERT INTO part SELECT 275 + g, (SELECT rows FROM kyro.snapshot('part2')) FROM generate_series(0, 9) g
	ON CONFLICT DO NOTHING;
SELECT * FROM counts('part');
INSERT INTO part SELECT 285 + g, (kyro.snapshot('part2')).rows FROM generate_series(0, 1) g;
CREATE TABLE from_here (id int, v int) USING heap;
INSERT INTO from_here VALUES (290, 1);
MERGE INTO part USING (SELECT id FROM from_here WHERE (SELECT rows FROM kyro.snapshot('part1')) = 0) f ON part.id = f.id
	WHEN NOT MATCHED THEN INSERT VALUES (f.id, 1);
SELECT * FROM counts('part');

-- cursors: of the table; of what reads it later
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM k;
SELECT kyro.snapshot('k');
ROLLBACK;
INSERT INTO k SELECT g, g FROM generate_series(1041, 1050) g;
BEGIN;
DECLARE c CURSOR FOR SELECT see_stable() FROM generate_series(1, 3);
DECLARE held CURSOR WITH HOLD FOR SELECT see_stable() FROM generate_series(1, 3);
FETCH c;
SELECT rows FROM kyro.snapshot('k');
FETCH c;
DELETE FROM k WHERE id > 1045;
FETCH c;
COMMIT;
FETCH ALL held;
CLOSE held;
SELECT * FROM counts('k');

-- blocks of plpgsql that fail, procedures that commit
INSERT INTO k SELECT g, g FROM generate_series(1051, 1060) g;
DO $$ BEGIN
	BEGIN
		PERFORM kyro.snapshot('k', 5);
		PERFORM kyro.snapshot('k', 2), 1 / (SELECT 0);
	EXCEPTION WHEN division_by_zero THEN
		RAISE INFO 'undone: %', counts('k');
	END;
	BEGIN
		PERFORM kyro.snapshot('k', 3), kyro.snapshot('k', 2);
		PERFORM change('UPDATE k SET v = -1 WHERE id > 1050'), kyro.snapshot('k', 4);
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	RAISE INFO 'done: %', counts('k');
END $$;
SELECT * FROM counts('k');
SELECT sum(v) FROM k WHERE id > 1050;
CREATE PROCEDURE seal_steps() LANGUAGE plpgsql AS $$ BEGIN
	WHILE (SELECT rows > 0 FROM kyro.snapshot('k', 4)) LOOP COMMIT; END LOOP;
END $$;
INSERT INTO k SELECT g, g FROM generate_series(1061, 1070) g;
CALL seal_steps();
SELECT * FROM counts('k');

-- triggers: of another table, with a foreign key to this one; of the table; of the end of the transaction
CREATE FUNCTION seal_k() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM kyro.snapshot('k'); RETURN NEW; END $$;
CREATE TABLE child (id int PRIMARY KEY, k int REFERENCES k ON DELETE CASCADE) USING kyro WITH (autovacuum_enabled = off);
CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON child FOR EACH ROW EXECUTE FUNCTION seal_k();
INSERT INTO k SELECT g, g FROM generate_series(1071, 1080) g;
INSERT INTO child SELECT g, 1070 + g FROM generate_series(1, 10) g;
SELECT * FROM counts('k');
INSERT INTO k VALUES (1081, 1);
UPDATE child SET k = 1081 WHERE id < 3;
INSERT INTO k VALUES (1082, 1);
SELECT change('INSERT INTO child VALUES (20, 1082)'), change('DELETE FROM k WHERE id = 1082');
SELECT count(*) FROM child;
CREATE TRIGGER a AFTER UPDATE ON k FOR EACH ROW EXECUTE FUNCTION seal_k();
UPDATE k SET v = 0 WHERE id = 1;
DROP TRIGGER a ON k;
CREATE CONSTRAINT TRIGGER z AFTER INSERT ON child DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION seal_k();
BEGIN;
INSERT INTO k VALUES (1083, 1);
INSERT INTO child VALUES (21, 1083), (22, 1083);
INSERT INTO k VALUES (1084, 1);
COMMIT;
SELECT * FROM counts('k');
SELECT * FROM counts('child');

-- an expression of an index that changes the table, while it is sealed
CREATE TABLE odd (id int PRIMARY KEY, v int) USING kyro WITH (autovacuum_enabled = off);
CREATE FUNCTION expr(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE INDEX ON odd (expr(id));
INSERT INTO odd SELECT g, g FROM generate_series(1, 3) g;
CREATE OR REPLACE FUNCTION expr(int) RETURNS int VOLATILE LANGUAGE plpgsql AS $$
DECLARE what text = current_setting('my.odd', true);
BEGIN
	IF what <> '' THEN
		PERFORM set_config('my.odd', '', true);
		EXECUTE what;
	END IF;
	RETURN $1;
END $$;
BEGIN;
SET LOCAL my.odd = 'UPDATE store_command.odd SET v = 0';
SELECT kyro.snapshot('odd');
ROLLBACK;
BEGIN;
SET LOCAL my.odd = 'DELETE FROM store_command.odd WHERE id = 3';
SELECT kyro.snapshot('odd');
ROLLBACK;
BEGIN;
SET LOCAL my.odd = 'INSERT INTO store_command.odd VALUES (4, 4)';
SELECT rows FROM kyro.snapshot('odd');
COMMIT;
SELECT * FROM counts('odd');
DROP TABLE odd;

-- kyro.rebuild() changes no row, and may come anywhere
CREATE TABLE b (id int) USING kyro WITH (autovacuum_enabled = off);
CREATE INDEX b_id ON b USING kyro_rmi (id);
INSERT INTO b SELECT g FROM generate_series(1, 2000) g;
SELECT (kyro.rebuild('b_id')).leaves > 0 AS one, (kyro.rebuild('b_id')).leaves > 0 AS two;
SET enable_seqscan = off;
SELECT count(*), count(DISTINCT id) FROM b WHERE id > 0 AND (id % 400 <> 0 OR (kyro.rebuild('b_id')).leaves > 0);
RESET enable_seqscan;
INSERT INTO b SELECT id + 2000 FROM b WHERE id % 400 <> 0 OR (kyro.rebuild('b_id')).leaves > 0;
UPDATE b SET id = id + 10000 WHERE id > 3500 AND (id % 100 <> 0 OR (kyro.rebuild('b_id')).leaves > 0);
DELETE FROM b WHERE id BETWEEN 2000 AND 3000 AND (id % 100 <> 0 OR (kyro.rebuild('b_id')).leaves > 0);
SELECT (kyro.snapshot('b')).rows, (kyro.rebuild('b_id')).leaves > 0, (kyro.snapshot('b')).rows;
SELECT * FROM counts('b');
BEGIN;
INSERT INTO b VALUES (0);
SELECT (kyro.rebuild('b_id')).leaves > 0, (kyro.snapshot('b')).rows;
ROLLBACK;
SELECT * FROM counts('b');

SELECT c.relname, f.* FROM pg_class c, kyro.verify(c.oid::regclass, deep => true) f
 WHERE c.relnamespace = 'store_command'::regnamespace AND c.relkind IN ('r', 'i') AND c.relam IN (SELECT oid FROM pg_am WHERE amname IN ('kyro', 'kyro_rmi'));
