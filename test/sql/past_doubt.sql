-- time travel: where it might answer wrongly, or let somebody do what he may not
\set SHOW_CONTEXT never
-- what users register themselves must be a history, for commands of all look at it
CREATE ROLE past_stranger;
GRANT CREATE ON SCHEMA public TO past_stranger;
SET ROLE past_stranger;
CREATE UNLOGGED TABLE past_quick (v int);
CREATE TABLE past_any (v int);
CREATE TABLE past_other (v int);
SELECT kyro.register_history('past_quick', 'past_any', '1 day');
SELECT kyro.register_history('past_other', 'past_any', '1 day');
SELECT kyro.keep_history('past_other', '1 day');
SELECT kyro.register_history('past_other', 'past_any', '1 day');
SELECT kyro.register_history('past_other', 'past_other_changes', '250000 years');
SELECT kyro.note_pruned('past_other', NULL, NULL, '290000-01-01');
SELECT pruned_at + keep * 2 < now() + interval '3 days' FROM kyro.histories WHERE relation = 'past_other'::regclass;
SELECT kyro.sees_histories();
SELECT kyro.check_history_table('past_quick');
SELECT kyro.drop_history('past_other');
RESET ROLE;
CREATE TEMP TABLE past_innocent (v int);

-- triggers that are not those that record all
CREATE TABLE past_half (id int PRIMARY KEY, v text);
INSERT INTO past_half VALUES (1, 'first'), (2, 'first');
SELECT kyro.keep_history('past_half', '1 day');
SELECT kyro.create_epoch('past half');
DROP TRIGGER kyro_note_change ON past_half;
CREATE TRIGGER kyro_note_change AFTER INSERT ON past_half FOR EACH ROW EXECUTE FUNCTION kyro.note_change();
ALTER TABLE past_half ENABLE ALWAYS TRIGGER kyro_note_change;
SELECT * FROM kyro.as_of(NULL::past_half, 'past half');
SELECT kyro.drop_history('past_half');

-- partitions that come with a schema, or are foreign
CREATE TABLE past_parts (i int, v text) PARTITION BY RANGE (i);
CREATE TABLE past_parts1 PARTITION OF past_parts FOR VALUES FROM (0) TO (10);
SELECT kyro.keep_history('past_parts', '1 day');
CREATE SCHEMA past_with CREATE TABLE parts2 PARTITION OF public.past_parts FOR VALUES FROM (10) TO (20);
INSERT INTO past_parts VALUES (1, 'one'), (11, 'eleven');
SELECT kyro.create_epoch('past parts');
TRUNCATE past_with.parts2;
SELECT * FROM kyro.as_of(NULL::past_parts, 'past parts') ORDER BY i;
CREATE FOREIGN DATA WRAPPER past_wrapper;
CREATE SERVER past_server FOREIGN DATA WRAPPER past_wrapper;
CREATE FOREIGN TABLE past_foreign PARTITION OF past_parts FOR VALUES FROM (20) TO (30) SERVER past_server;
CREATE TEMP TABLE past_innocent2 (v int);
-- a snapshot that does not see all rows of a partition
CREATE TABLE past_later (i int, v text);
BEGIN ISOLATION LEVEL REPEATABLE READ;
ALTER TABLE past_parts ATTACH PARTITION past_later FOR VALUES FROM (30) TO (40);
ROLLBACK;

-- tables of a type
CREATE TYPE past_of AS (a int, b text);
CREATE TABLE past_typed OF past_of;
SELECT kyro.keep_history('past_typed', '1 day');
INSERT INTO past_typed VALUES (1, 'one');
SELECT kyro.create_epoch('past typed');
ALTER TYPE past_of ADD ATTRIBUTE c int CASCADE;
INSERT INTO past_typed VALUES (2, 'two', 2);
SELECT * FROM kyro.as_of(NULL::past_typed, 'past typed');
ALTER TYPE past_of DROP ATTRIBUTE b CASCADE;
UPDATE past_typed SET c = 3;
SELECT * FROM kyro.as_of(NULL::past_typed, 'past typed');

-- a history that begins anew in the transaction in which it has begun
BEGIN;
CREATE TABLE past_twice (id int PRIMARY KEY, v text);
SELECT kyro.keep_history('past_twice', '1 day');
INSERT INTO past_twice VALUES (1, 'abc');
ALTER TABLE past_twice ALTER v TYPE int USING length(v);
UPDATE past_twice SET v = 4;
COMMIT;
SELECT kind, old, new FROM kyro.changes(NULL::past_twice);

-- in the middle of a statement
CREATE TABLE past_amid (id int PRIMARY KEY, v text);
INSERT INTO past_amid VALUES (1, 'a'), (2, 'b');
SELECT kyro.keep_history('past_amid', '1 day');
SELECT kyro.create_epoch('past amid');
CREATE FUNCTION past_look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '%', (SELECT string_agg(a.v, ' ' ORDER BY a.id) FROM kyro.as_of(NULL::past_amid, 'past amid') a);
	RETURN NULL;
END $$;
CREATE TRIGGER a AFTER UPDATE OR DELETE ON past_amid FOR EACH ROW EXECUTE FUNCTION past_look();
UPDATE past_amid SET v = 'n';
DELETE FROM past_amid;
DROP TRIGGER a ON past_amid;
CREATE TABLE past_beside (v int);
CREATE TRIGGER a AFTER INSERT ON past_beside FOR EACH ROW EXECUTE FUNCTION past_look();
BEGIN;
UPDATE past_amid SET v = 'n';
INSERT INTO past_beside VALUES (1);
COMMIT;
CREATE OR REPLACE FUNCTION past_look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM kyro.restore_to('past_amid', 'past amid');
	RETURN NULL;
END $$;
INSERT INTO past_beside VALUES (1);
-- the same where only the partition is named
INSERT INTO past_parts VALUES (2, 'two');
SELECT kyro.create_epoch('past partition');
CREATE FUNCTION past_look_parts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '%', (SELECT count(*) FROM kyro.as_of(NULL::past_parts, 'past partition'));
	RETURN NULL;
END $$;
CREATE TRIGGER a AFTER DELETE ON past_parts1 FOR EACH ROW EXECUTE FUNCTION past_look_parts();
DELETE FROM past_parts1;
DROP TRIGGER a ON past_parts1;

-- policies, also for the owner
SET ROLE past_stranger;
CREATE TABLE past_policy (id int PRIMARY KEY, v text);
SELECT kyro.keep_history('past_policy', '1 day');
SELECT kyro.create_epoch('past policy');
INSERT INTO past_policy VALUES (1, 'a'), (2, 'b');
ALTER TABLE past_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY s ON past_policy FOR SELECT USING (true);
CREATE POLICY d ON past_policy FOR DELETE USING (id = 1);
SELECT * FROM kyro.restore_to('past_policy', 'past policy');
SELECT * FROM kyro.restore_to('past_policy', 'past policy', dry_run => false);
RESET ROLE;

-- keys that are equal and look different
CREATE TABLE past_scale (n numeric, m text, v text, PRIMARY KEY (n, m));
CREATE TABLE past_refers (n numeric, m text, FOREIGN KEY (n, m) REFERENCES past_scale ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO past_scale VALUES (1.0, 'm', 'a'), (2, 'm', 'b'), (3, 'm', 'c');
INSERT INTO past_refers VALUES (1, 'm');
SELECT kyro.keep_history('past_scale', '1 day');
SELECT kyro.create_epoch('past scale');
UPDATE past_scale SET n = 1.00, v = 'b' WHERE n = 1;
DELETE FROM past_scale WHERE n = 2;
UPDATE past_scale SET n = 4 WHERE n = 3;
SELECT * FROM kyro.restore_to('past_scale', 'past scale', dry_run => false);
TABLE past_scale ORDER BY n;
SELECT count(*) FROM past_refers;
-- rows that were not unique by the key of today cannot come back
CREATE TABLE past_rekeyed (id int, v int);
INSERT INTO past_rekeyed VALUES (1, 1), (1, 2);
SELECT kyro.keep_history('past_rekeyed', '1 day');
SELECT kyro.create_epoch('past rekeyed');
DELETE FROM past_rekeyed WHERE v = 2;
UPDATE past_rekeyed SET v = 3;
ALTER TABLE past_rekeyed ADD PRIMARY KEY (id);
SELECT * FROM kyro.restore_to('past_rekeyed', 'past rekeyed');
SELECT * FROM kyro.restore_to('past_rekeyed', 'past rekeyed', dry_run => false);

-- the end
DROP TABLE past_quick, past_any, past_other, past_half, past_parts, past_later, past_typed, past_twice, past_amid, past_beside, past_policy, past_refers, past_scale, past_rekeyed;
DROP TABLE past_parts_changes, past_typed_changes, past_twice_changes, past_amid_changes, past_policy_changes, past_scale_changes, past_rekeyed_changes;
DROP SCHEMA past_with;
DROP SERVER past_server;
DROP FOREIGN DATA WRAPPER past_wrapper;
DROP TYPE past_of;
DROP FUNCTION past_look, past_look_parts;
SELECT kyro.drop_epoch(name) FROM kyro.epochs WHERE name IN ('past half', 'past parts', 'past typed', 'past amid', 'past partition', 'past policy', 'past scale', 'past rekeyed');
DROP OWNED BY past_stranger;
DROP ROLE past_stranger;
