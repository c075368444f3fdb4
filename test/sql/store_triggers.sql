--
-- Triggers, constraints and rules of all kinds on kyro tables with sealed rows.
--
\set schema store_triggers
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
-- what triggers saw, in both schemas, and in the same order
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT twin('CREATE TABLE seen (n serial, what text)');
CREATE FUNCTION store_triggers.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	sums text := '';
BEGIN
	IF TG_LEVEL = 'STATEMENT' AND TG_WHEN = 'AFTER' THEN
		IF TG_OP <> 'INSERT' THEN
			sums := (SELECT format(' old %s/%s', count(*), sum(id)) FROM old_rows);
		END IF;
		IF TG_OP <> 'DELETE' THEN
			sums := sums || (SELECT format(' new %s/%s', count(*), sum(id)) FROM new_rows);
		END IF;
	END IF;
	EXECUTE format('INSERT INTO %I.seen (what) VALUES ($1)', TG_TABLE_SCHEMA)
		USING concat_ws(' ', TG_NAME, TG_WHEN, TG_OP, TG_LEVEL) || sums ||
			CASE WHEN TG_LEVEL = 'ROW' THEN format(' %s -> %s', OLD, NEW) ELSE '' END;
	IF TG_LEVEL = 'ROW' AND TG_WHEN = 'BEFORE' AND TG_OP = 'UPDATE' AND NEW.n = 13 THEN
		NEW.n := 31;
	END IF;
	IF TG_LEVEL = 'ROW' AND TG_WHEN = 'BEFORE' AND TG_OP <> 'INSERT' AND OLD.id = 66 THEN
		RETURN NULL;
	END IF;
	RETURN coalesce(NEW, OLD);
END $$;
SELECT twin('CREATE TABLE t (id int PRIMARY KEY, n int, v text)');
SELECT twin('INSERT INTO t SELECT g, 0, ''v'' || g FROM generate_series(1, 200) g');
SELECT seal('t', 150);
SELECT twin('CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()');
SELECT twin('CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()');
SELECT twin('CREATE TRIGGER s BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION note()');
SELECT twin('CREATE TRIGGER ti AFTER INSERT ON t REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note()');
SELECT twin('CREATE TRIGGER tu AFTER UPDATE ON t REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note()');
SELECT twin('CREATE TRIGGER td AFTER DELETE ON t REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note()');
SELECT twin('UPDATE t SET n = id WHERE id IN (12, 13, 14, 160)');
SELECT twin('DELETE FROM t WHERE id IN (12, 65, 66, 67)');
SELECT twin('UPDATE t SET v = ''66'' WHERE id = 66');
SELECT twin('INSERT INTO t VALUES (12, 1), (13, 1), (65, 1) ON CONFLICT (id) DO UPDATE SET n = 99');
SELECT twin('MERGE INTO t USING (VALUES (20), (300)) s(id) ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id)');
SELECT twin('WITH d AS (DELETE FROM t WHERE id = 21 RETURNING id) UPDATE t SET n = 22 FROM d WHERE t.id = d.id + 1 RETURNING t.*');
SELECT same('t'), same('seen');
SELECT what FROM seen ORDER BY n LIMIT 24;
-- not fired by a seal
SELECT twin('DELETE FROM seen');
SELECT seal('t') > 0 AS some;
SELECT count(*) FROM seen;
SELECT twin('ALTER TABLE t DISABLE TRIGGER USER');
-- a trigger that changes or locks the row that is being changed
CREATE FUNCTION store_triggers.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v = 'update' THEN
		UPDATE t SET n = n + 1000 WHERE id = NEW.id;
	ELSIF NEW.v = 'delete' THEN
		DELETE FROM t WHERE id = NEW.id;
	ELSIF NEW.v = 'lock' THEN
		PERFORM FROM t WHERE id = NEW.id FOR UPDATE;
	END IF;
	RETURN NEW;
END $$;
SELECT twin('CREATE TRIGGER m BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION meddle()');
SELECT twin('UPDATE t SET v = ''update'' WHERE id = 31');
SELECT twin('UPDATE t SET v = ''delete'' WHERE id = 31');
SELECT twin('UPDATE t SET v = ''lock'' WHERE id IN (31, 170)');
SELECT same('t');
SELECT twin('DROP TRIGGER m ON t');
-- what triggers still have to look at cannot be sealed away
SELECT twin('CREATE CONSTRAINT TRIGGER c AFTER INSERT OR UPDATE OR DELETE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()');
BEGIN;
SELECT twin('UPDATE t SET n = 7 WHERE id IN (40, 41, 171)');
SELECT twin('DELETE FROM t WHERE id = 41');
SELECT twin('UPDATE t SET n = 8 WHERE id = 40');
SELECT twin('INSERT INTO t VALUES (400, 4)');
SAVEPOINT s;
SELECT seal('t');
ROLLBACK TO s;
COMMIT;
SELECT same('t'), same('seen');
SELECT what FROM seen ORDER BY n;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- unique constraints that are looked at later
SELECT twin('CREATE TABLE d (id int PRIMARY KEY, k int, UNIQUE (k) DEFERRABLE)');
SELECT twin('INSERT INTO d SELECT g, g FROM generate_series(1, 100) g');
SELECT seal('d', 80);
SELECT twin('UPDATE d SET k = k + 1');
SELECT twin('UPDATE d SET k = 5 WHERE id = 6');
SELECT twin('UPDATE d SET id = id + 1');
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
SELECT twin('UPDATE d SET k = 10 WHERE id = 1');
SELECT twin('UPDATE d SET k = 2 WHERE id = 9');
SELECT twin('SELECT * FROM d WHERE k IN (2, 10) ORDER BY id');
COMMIT;
SELECT same('d');
SELECT seal('d') > 80 AS some;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE d SET k = 50 WHERE id = 1;
COMMIT;
SELECT same('d');
-- exclusion constraints, NOT NULL, CHECK
SELECT twin('CREATE TABLE x (id int NOT NULL, r int4range, CHECK (id > 0), EXCLUDE USING gist (r WITH &&))');
SELECT twin('INSERT INTO x SELECT g, int4range(g * 10, g * 10 + 5) FROM generate_series(1, 100) g');
SELECT seal('x');
SELECT twin('INSERT INTO x VALUES (200, ''[12,13)'')');
SELECT twin('INSERT INTO x VALUES (200, ''[16,19)'')');
SELECT twin('INSERT INTO x VALUES (201, ''[12,13)'') ON CONFLICT DO NOTHING');
SELECT twin('UPDATE x SET r = ''[11,18)'' WHERE id = 1');
SELECT twin('UPDATE x SET r = ''[11,12)'' WHERE id = 1');
SELECT twin('UPDATE x SET id = NULL WHERE id = 2');
SELECT twin('UPDATE x SET id = -2 WHERE id = 2');
SELECT twin('DELETE FROM x WHERE id = 3');
SELECT twin('INSERT INTO x VALUES (202, ''[30,35)'')');
SELECT same('x');

-- generated columns, identity, sequences, defaults
SELECT twin('CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY, s serial, a int DEFAULT 5, b int GENERATED ALWAYS AS (a * 2) STORED, c text GENERATED ALWAYS AS (''t'' || a) STORED)');
SELECT twin('INSERT INTO g (a) SELECT x FROM generate_series(1, 50) x');
SELECT twin('INSERT INTO g DEFAULT VALUES RETURNING *');
SELECT seal('g');
SELECT twin('UPDATE g SET a = a + 1 WHERE id % 2 = 0');
SELECT twin('UPDATE g SET b = 1');
SELECT twin('UPDATE g SET a = DEFAULT, s = DEFAULT WHERE id = 7 RETURNING *');
SELECT twin('INSERT INTO g (id) VALUES (5)');
SELECT twin('INSERT INTO g (id) OVERRIDING SYSTEM VALUE VALUES (5) RETURNING *');
SELECT twin('ALTER TABLE g ALTER c DROP EXPRESSION');
SELECT twin('UPDATE g SET c = c || ''!'' WHERE id < 10');
SELECT same('g');

-- views, with and without check option, rules
SELECT twin('CREATE VIEW v AS SELECT id, n FROM t WHERE n < 50 WITH CHECK OPTION');
SELECT twin('UPDATE v SET n = 49 WHERE id BETWEEN 80 AND 85');
SELECT twin('UPDATE v SET n = 50 WHERE id = 86');
SELECT twin('DELETE FROM v WHERE id = 80 RETURNING *');
SELECT twin('INSERT INTO v VALUES (81, 1) ON CONFLICT (id) DO UPDATE SET n = 48 RETURNING *');
SELECT twin('INSERT INTO v VALUES (501, 51)');
SELECT twin('CREATE RULE r AS ON DELETE TO t WHERE old.id = 90 DO INSTEAD UPDATE t SET n = -90 WHERE id = old.id');
SELECT twin('DELETE FROM t WHERE id IN (90, 91)');
SELECT same('t');
SELECT twin('SELECT * FROM t WHERE id IN (80, 81, 90, 91) ORDER BY id');

-- row level security
SELECT twin('ALTER TABLE t ENABLE ROW LEVEL SECURITY');
SELECT twin('CREATE POLICY p ON t USING (id % 2 = 0) WITH CHECK (n < 1000)');
CREATE ROLE regress_kyro_row;
GRANT USAGE ON SCHEMA store_triggers, store_triggers_k, store_triggers_h TO regress_kyro_row;
GRANT ALL ON t, store_triggers_h.t, seen, store_triggers_h.seen TO regress_kyro_row;
GRANT USAGE ON SEQUENCE seen_n_seq, store_triggers_h.seen_n_seq TO regress_kyro_row;
SET ROLE regress_kyro_row;
SELECT twin('SELECT count(*) FROM t');
SELECT twin('UPDATE t SET n = 500 WHERE id BETWEEN 100 AND 104 RETURNING id');
SELECT twin('DELETE FROM t WHERE id BETWEEN 105 AND 108');
SELECT twin('UPDATE t SET n = 5000 WHERE id = 100');
SELECT twin('INSERT INTO t VALUES (103, 1) ON CONFLICT (id) DO UPDATE SET n = 1');
SELECT twin('INSERT INTO t VALUES (104, 1) ON CONFLICT (id) DO UPDATE SET n = 1 RETURNING *');
SELECT seal('t');
RESET ROLE;
SELECT same('t');
DROP OWNED BY regress_kyro_row;
DROP ROLE regress_kyro_row;
SELECT seal('t') > 0 AS some;
SELECT same('t');
SELECT r AS rel, v.* FROM unnest(ARRAY['t', 'd', 'x', 'g', 'seen']) r, kyro.verify(r::regclass, true) v;
-- an update that changes nothing is seen as such, sealed or not
CREATE TABLE same_bytes (f1 text, f2 int, f3 int) USING kyro;
INSERT INTO same_bytes VALUES ('a', 1, 2), ('b', 2, NULL);
CREATE TRIGGER z BEFORE UPDATE ON same_bytes FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT rows FROM kyro.snapshot('same_bytes');
WITH u AS (UPDATE same_bytes SET f1 = f1 RETURNING 1) SELECT count(*) FROM u;
WITH u AS (UPDATE same_bytes SET f2 = 3 RETURNING 1) SELECT count(*) FROM u;
