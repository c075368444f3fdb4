-- time travel: what tables were like, who changed them, and back
\set SHOW_CONTEXT never
CREATE TABLE past_a (id int PRIMARY KEY, v text) USING kyro;
INSERT INTO past_a SELECT i, 'first ' || i FROM generate_series(1, 4) i;
SELECT kyro.keep_history('past_a', '30 days');
SELECT kyro.create_epoch('past one');
SELECT name, made_at <= now(), made_by = current_user, era > 0 FROM kyro.epochs WHERE name LIKE 'past %';

-- all that changes rows
BEGIN;
UPDATE past_a SET v = 'second' WHERE id = 1;
SAVEPOINT s;
DELETE FROM past_a WHERE id = 2;
ROLLBACK TO s;
UPDATE past_a SET v = 'third' WHERE id = 1;
COMMIT;
BEGIN;
DELETE FROM past_a;
ROLLBACK;
INSERT INTO past_a VALUES (3, 'conflict'), (5, 'new') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
MERGE INTO past_a USING (VALUES (5), (6)) AS s (id) ON past_a.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'merged');
COPY past_a FROM stdin;
7	copied
8	\N
\.
UPDATE past_a SET id = id + 10 WHERE id >= 7;
SELECT kyro.create_epoch('past two');
TRUNCATE past_a;
INSERT INTO past_a VALUES (1, 'again');
SELECT * FROM kyro.as_of(NULL::past_a, 'past one') ORDER BY id;
SELECT * FROM kyro.as_of(NULL::past_a, 'past two') ORDER BY id;
SELECT "by" = current_user, login = session_user, kind, old, new FROM kyro.changes(NULL::past_a) ORDER BY "offset";
-- sealed, it is the same
SELECT count(*) FROM (SELECT kyro.snapshot('past_a')) x;
SELECT count(*) FROM (SELECT kyro.snapshot('past_a_changes')) x;
SELECT * FROM kyro.as_of(NULL::past_a, 'past two') ORDER BY id;

-- an epoch is of what was committed: its own transaction is not
BEGIN;
INSERT INTO past_a VALUES (20, 'before the epoch');
SELECT kyro.create_epoch('past three');
INSERT INTO past_a VALUES (21, 'behind it');
SELECT * FROM kyro.as_of(NULL::past_a, 'past three') ORDER BY id;
COMMIT;
SELECT * FROM kyro.as_of(NULL::past_a, 'past three') ORDER BY id;

-- back
SELECT * FROM kyro.restore_to('past_a', 'past one');
SELECT * FROM kyro.restore_to('past_a', 'past one', dry_run => false);
TABLE past_a ORDER BY id;
SELECT * FROM kyro.restore_to('past_a', 'past one');
SELECT * FROM kyro.restore_to('past_a', 'past two', false);
TABLE past_a ORDER BY id;

-- rows that refer to others stay, and those to themselves come in any order
CREATE TABLE past_tree (id int PRIMARY KEY, parent int REFERENCES past_tree, v text);
CREATE TABLE past_leaf (tree int REFERENCES past_tree ON DELETE CASCADE);
INSERT INTO past_tree SELECT i, nullif(i / 2, 0), 'v' FROM generate_series(1, 7) i;
INSERT INTO past_leaf VALUES (1), (2);
SELECT kyro.keep_history('past_tree', '1 day');
SELECT kyro.create_epoch('past tree');
DELETE FROM past_tree WHERE id >= 4;
UPDATE past_tree SET v = 'w', parent = NULL;
INSERT INTO past_tree VALUES (10, 3), (11, 10);
SELECT * FROM kyro.restore_to('past_tree', 'past tree', false);
TABLE past_tree ORDER BY id;
TABLE past_leaf;

-- no key, and rows more than once; a row of nothing but NULLs
CREATE TABLE past_bag (v int, w text);
INSERT INTO past_bag VALUES (1), (1), (2), (NULL), (NULL);
SELECT kyro.keep_history('past_bag', '1 day');
SELECT kyro.create_epoch('past bag');
INSERT INTO past_bag VALUES (1), (3), (NULL);
DELETE FROM past_bag WHERE v = 2;
DELETE FROM past_bag WHERE ctid = (SELECT ctid FROM past_bag WHERE v = 1 LIMIT 1);
SELECT v, count(*) FROM kyro.as_of(NULL::past_bag, 'past bag') GROUP BY v ORDER BY v;
SELECT * FROM kyro.restore_to('past_bag', 'past bag', false);
SELECT v, count(*) FROM past_bag GROUP BY v ORDER BY v;

-- values come back as they were, whatever the settings
CREATE TYPE past_mood AS ENUM ('fine', 'bad');
CREATE TYPE past_pair AS (x int, t text);
CREATE DOMAIN past_even AS int CHECK (VALUE % 2 = 0);
CREATE TABLE past_types (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n numeric, f float8, r float4, b bytea, t timestamptz, d date, i interval, j json, jb jsonb,
	a int[], m past_mood, p past_pair, e past_even, c char(5), g int GENERATED ALWAYS AS (id * 2) STORED, k regclass, y money);
INSERT INTO past_types (n, f, r, b, t, d, i, j, jb, a, m, p, e, c, k, y) VALUES
	(1.500, 0.1 + 0.2, 1e-7, '\xdeadbeef', '2026-03-01 12:00+05', '0044-03-15 BC', '1 year -2 days 03:04:05.678', '{"b" : 1, "b":2}', '{"b": 1}',
	 '[2:3]={7,NULL}', 'bad', ROW(NULL, 'a,"b'), 4, 'ab', 'past_a', 12.34),
	('NaN', '-0', 'Infinity', '', 'infinity', '-infinity', '0', '[]', 'null', '{{1},{2}}', NULL, NULL, NULL, '', NULL, NULL);
CREATE TABLE past_types_copy AS TABLE past_types;
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Tokyo';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = 0;
SET bytea_output = 'escape';
SELECT kyro.keep_history('past_types', '1 day');
SELECT kyro.create_epoch('past types');
UPDATE past_types SET n = 0, f = 0, t = now(), i = '1 day', j = '{}', b = 'x', c = 'x', a = NULL, k = NULL, y = 0;
RESET datestyle;
RESET timezone;
SET intervalstyle = 'iso_8601';
DELETE FROM past_types;
SELECT count(*) FROM kyro.as_of(NULL::past_types, 'past types') p JOIN past_types_copy c ON p.*::text = c.*::text;
SELECT * FROM kyro.restore_to('past_types', 'past types', false);
SELECT count(*) FROM past_types p JOIN past_types_copy c ON p.*::text = c.*::text;
RESET ALL;

-- who may
CREATE ROLE past_owner;
CREATE ROLE past_reader;
CREATE ROLE past_writer;
CREATE SCHEMA past_schema AUTHORIZATION past_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE past_owner GRANT SELECT ON TABLES TO PUBLIC;
SET ROLE past_owner;
CREATE TABLE past_schema.s (id int PRIMARY KEY, who text);
REVOKE ALL ON past_schema.s FROM PUBLIC;
GRANT USAGE ON SCHEMA past_schema TO PUBLIC;
GRANT INSERT, UPDATE, DELETE, SELECT (id) ON past_schema.s TO past_writer;
INSERT INTO past_schema.s VALUES (1, 'owner');
SELECT kyro.keep_history('past_schema.s', '1 day');
SELECT kyro.create_epoch('past rights');
SET ROLE past_writer;
INSERT INTO past_schema.s VALUES (2, 'writer');
UPDATE past_schema.s SET who = 'writer' WHERE id = 1;
-- no more than of the table
SELECT * FROM kyro.as_of(NULL::past_schema.s, 'past rights');
SELECT * FROM past_schema.s_changes;
SELECT * FROM kyro.changes(NULL::past_schema.s);
SELECT kyro.restore_to('past_schema.s', 'past rights');
SELECT kyro.drop_history('past_schema.s');
SELECT kyro.keep_history('past_schema.s', '2 days');
SELECT kyro.prune_history('past_schema.s');
SELECT kyro.forget_history('past_schema.s');
SELECT kyro.drop_epoch('past rights');
SELECT kyro.create_epoch_as_owner('forged', 'past_owner');
INSERT INTO kyro.epochs VALUES ('forged', now(), 'past_owner', 1, '1:1:');
RESET ROLE;
GRANT SELECT ON past_schema.s TO past_reader;
SET ROLE past_reader;
SELECT * FROM kyro.as_of(NULL::past_schema.s, 'past rights');
SELECT * FROM past_schema.s_changes;
RESET ROLE;
-- policies are not for rows of the past
ALTER TABLE past_schema.s ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON past_schema.s USING (who = current_user);
SET ROLE past_reader;
SELECT * FROM kyro.as_of(NULL::past_schema.s, 'past rights');
SET ROLE past_owner;
SELECT * FROM kyro.as_of(NULL::past_schema.s, 'past rights');
SELECT "by", kind, old, new FROM kyro.changes(NULL::past_schema.s);
SELECT * FROM kyro.restore_to('past_schema.s', 'past rights', false);
SELECT kyro.drop_epoch('past rights');
RESET ROLE;
ALTER DEFAULT PRIVILEGES FOR ROLE past_owner REVOKE SELECT ON TABLES FROM PUBLIC;

-- triggers of a subscription's worker are others; deferred triggers are late
SET session_replication_role = replica;
UPDATE past_a SET v = 'replicated' WHERE id = 1;
RESET session_replication_role;
SELECT kind, new FROM kyro.changes(NULL::past_a) ORDER BY "offset" DESC LIMIT 1;
CREATE FUNCTION past_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v <> 'late' THEN
		UPDATE past_a SET v = 'late' WHERE id = NEW.id;
	END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER past_late AFTER UPDATE ON past_a DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION past_late();
SELECT kyro.create_epoch('past late');
BEGIN;
UPDATE past_a SET v = 'soon' WHERE id = 1;
COMMIT;
SELECT v FROM past_a WHERE id = 1;
SELECT v FROM kyro.as_of(NULL::past_a, 'past late') WHERE id = 1;
DROP TRIGGER past_late ON past_a;

-- a nested statement's changes are noted before those of the outer one
CREATE FUNCTION past_nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 3 AND NEW.v = 'outer' THEN
		UPDATE past_a SET v = 'inner' WHERE id = 1;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER past_nested BEFORE UPDATE ON past_a FOR EACH ROW EXECUTE FUNCTION past_nested();
SELECT kyro.create_epoch('past nested');
CREATE TABLE past_a_copy AS TABLE past_a;
UPDATE past_a SET v = 'outer' WHERE id IN (1, 3);
SELECT count(*) FROM kyro.as_of(NULL::past_a, 'past nested') EXCEPT ALL SELECT count(*) FROM past_a_copy;
SELECT * FROM kyro.as_of(NULL::past_a, 'past nested') EXCEPT ALL TABLE past_a_copy;
DROP TRIGGER past_nested ON past_a;

-- what is not there, and what cannot be
SELECT * FROM kyro.as_of(NULL::past_a, 'no such epoch');
SELECT * FROM kyro.as_of(NULL::past_a, NULL::text);
SELECT * FROM kyro.as_of(1, 'past one');
SELECT * FROM kyro.as_of(NULL::past_pair, 'past one');
SELECT * FROM kyro.as_of(NULL::past_leaf, 'past one');
SELECT * FROM kyro.as_of(NULL::past_bag, 'past one');
SELECT * FROM kyro.as_of(NULL::past_a, now() + interval '1 hour');
SELECT kyro.create_epoch(NULL);
SELECT kyro.create_epoch('');
SELECT kyro.create_epoch('past one');
SELECT kyro.drop_epoch('no such epoch');
SELECT kyro.keep_history(NULL, '1 day');
SELECT kyro.keep_history('past_leaf', NULL);
SELECT kyro.keep_history('past_leaf', '0');
SELECT kyro.keep_history('past_leaf', '1001 years');
SELECT kyro.keep_history('pg_class', '1 day') IS NULL;
CREATE VIEW past_view AS SELECT 1 AS one;
SELECT kyro.keep_history('past_view', '1 day');
CREATE TEMP TABLE past_temp (v int);
SELECT kyro.keep_history('past_temp', '1 day');
CREATE UNLOGGED TABLE past_unlogged (v int);
SELECT kyro.keep_history('past_unlogged', '1 day');
SELECT kyro.restore_to('past_leaf', 'past one');
SELECT kyro.restore_to('past_a', NULL::text);
SELECT kyro.restore_to('past_a', 'past one', NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT kyro.restore_to('past_a', 'past one', false);
ROLLBACK;
SELECT kyro.image_row(1, '{}');
SELECT kyro.row_image(ROW(1, 2));
CREATE TRIGGER past_wrong BEFORE INSERT ON past_leaf FOR EACH ROW EXECUTE FUNCTION kyro.note_change();
INSERT INTO past_leaf VALUES (1);
DROP TRIGGER past_wrong ON past_leaf;

-- the end
SELECT kyro.keep_history('past_bag', '2 days');
SELECT relation, keep FROM kyro.histories WHERE relation = 'past_bag'::regclass;
SELECT kyro.prune_history('past_bag');
SELECT count(*) FROM kyro.as_of(NULL::past_bag, 'past bag');
SELECT kyro.drop_history('past_bag');
SELECT kyro.drop_history('past_bag');
SELECT to_regclass('past_bag_changes');
INSERT INTO past_bag VALUES (9);
SELECT kyro.drop_epoch('past one');
SELECT * FROM kyro.as_of(NULL::past_a, 'past one');
DROP TABLE past_leaf, past_tree;
SELECT count(*) FROM kyro.histories WHERE relation::text LIKE '%past_tree%';
-- what has the history stays, for those who want to know
SELECT count(*) FROM past_tree_changes;
-- without it nobody changes the table unseen
DROP TABLE past_types_changes;
UPDATE past_types SET n = 1;
SELECT kyro.drop_history('past_types');
UPDATE past_types SET n = 1;
