-- time travel: commands that change tables
\set SHOW_CONTEXT never
CREATE TABLE past_d (id int PRIMARY KEY, v text, dropped int DEFAULT 1) USING kyro;
INSERT INTO past_d SELECT i, 'v' || i FROM generate_series(1, 3) i;
SELECT kyro.keep_history('past_d', '1 day');
SELECT kyro.create_epoch('past d');
UPDATE past_d SET v = 'w' WHERE id = 1;
-- columns that come, with what the rows get then
ALTER TABLE past_d ADD COLUMN seven int DEFAULT 7, ADD COLUMN nothing text, ADD COLUMN at timestamptz DEFAULT '2026-01-01 00:00+00';
UPDATE past_d SET v = 'x', seven = 8 WHERE id = 1;
DELETE FROM past_d WHERE id = 2;
SET timezone = 'UTC';
SELECT * FROM kyro.as_of(NULL::past_d, 'past d') ORDER BY id;
-- that go, and that are named anew
ALTER TABLE past_d DROP COLUMN dropped;
ALTER TABLE past_d RENAME COLUMN v TO w;
ALTER TABLE past_d RENAME TO past_e;
CREATE SCHEMA past_elsewhere;
ALTER TABLE past_e SET SCHEMA past_elsewhere;
ALTER TABLE past_d_changes RENAME TO past_renamed;
INSERT INTO past_elsewhere.past_e VALUES (4, 'new');
SELECT * FROM kyro.as_of(NULL::past_elsewhere.past_e, 'past d') ORDER BY id;
SELECT * FROM kyro.restore_to('past_elsewhere.past_e', 'past d');
ALTER TABLE past_elsewhere.past_e SET SCHEMA public;
-- rows that are written anew, as they were
ALTER TABLE past_e SET ACCESS METHOD heap;
VACUUM FULL past_e;
CLUSTER past_e USING past_d_pkey;
SELECT * FROM kyro.as_of(NULL::past_e, 'past d') ORDER BY id;
-- and with other values
ALTER TABLE past_e ALTER COLUMN seven TYPE bigint;
SELECT * FROM kyro.as_of(NULL::past_e, 'past d') ORDER BY id;
SELECT kyro.create_epoch('past e');
ALTER TABLE past_e ALTER COLUMN seven TYPE bigint USING seven + 1;
SELECT * FROM kyro.as_of(NULL::past_e, 'past e') ORDER BY id;
SELECT kyro.create_epoch('past f');
ALTER TABLE past_e ADD COLUMN r float8 DEFAULT random();
SELECT * FROM kyro.as_of(NULL::past_e, 'past f') ORDER BY id;
ALTER TABLE past_e DROP COLUMN r;
SELECT kyro.create_epoch('past g');
ALTER TABLE past_e ADD COLUMN g bigint GENERATED ALWAYS AS (seven * 2) STORED;
SELECT * FROM kyro.as_of(NULL::past_e, 'past g') ORDER BY id;
SELECT kyro.create_epoch('past h');
DELETE FROM past_e WHERE id = 1;
-- a type that is dropped takes its columns along
CREATE DOMAIN past_domain AS int;
ALTER TABLE past_e ADD COLUMN dom past_domain;
UPDATE past_e SET dom = 1;
DROP DOMAIN past_domain CASCADE;
SELECT id, w, seven, g FROM kyro.as_of(NULL::past_e, 'past h') ORDER BY id;
UPDATE past_e SET w = 'still';
-- a command that is rolled back
BEGIN;
ALTER TABLE past_e ALTER COLUMN w TYPE varchar(100) USING w || '!';
UPDATE past_e SET w = 'rolled back';
ROLLBACK;
UPDATE past_e SET w = 'and on';
SELECT id, w, seven, g FROM kyro.as_of(NULL::past_e, 'past h') ORDER BY id;
-- triggers that are disabled
ALTER TABLE past_e DISABLE TRIGGER kyro_note_change;
SELECT * FROM kyro.as_of(NULL::past_e, 'past h') ORDER BY id;
UPDATE past_e SET w = 'unseen';
ALTER TABLE past_e ENABLE TRIGGER kyro_note_change;
ALTER TABLE past_e ENABLE ALWAYS TRIGGER kyro_note_change;
SELECT * FROM kyro.as_of(NULL::past_e, 'past h') ORDER BY id;
SELECT kyro.create_epoch('past i');
UPDATE past_e SET w = 'seen' WHERE id = 3;
SELECT id, w FROM kyro.as_of(NULL::past_e, 'past i') ORDER BY id;
DROP TRIGGER kyro_note_truncate ON past_e;
SELECT kyro.drop_history('past_e');
-- and where event triggers were off
SELECT kyro.keep_history('past_e', '1 day');
SELECT kyro.create_epoch('past j');
ALTER EVENT TRIGGER kyro_history_ddl DISABLE;
ALTER TABLE past_e ADD COLUMN unseen int;
ALTER EVENT TRIGGER kyro_history_ddl ENABLE ALWAYS;
UPDATE past_e SET w = 'refused';
SELECT kyro.drop_history('past_e');
SELECT kyro.keep_history('past_e', '1 day');
SELECT kyro.create_epoch('past k');
-- or a trigger, and nobody has noticed
INSERT INTO past_e (id, w) VALUES (30, 'there');
ALTER EVENT TRIGGER kyro_history_ddl DISABLE;
ALTER TABLE past_e DISABLE TRIGGER ALL;
DELETE FROM past_e WHERE id = 30;
ALTER TABLE past_e ENABLE ALWAYS TRIGGER kyro_note_change, ENABLE ALWAYS TRIGGER kyro_note_truncate;
ALTER EVENT TRIGGER kyro_history_ddl ENABLE ALWAYS;
SELECT * FROM kyro.as_of(NULL::past_e, 'past k') ORDER BY id;
SELECT * FROM kyro.restore_to('past_e', 'past k') ORDER BY 1;

-- its owner is the table's
CREATE ROLE past_ddl_owner;
GRANT CREATE ON SCHEMA public TO past_ddl_owner;
ALTER TABLE past_e OWNER TO past_ddl_owner;
SELECT relowner::regrole FROM pg_class WHERE relname = 'past_e_changes';
SET ROLE past_ddl_owner;
DELETE FROM past_e WHERE id = 3;
SELECT kind FROM kyro.changes(NULL::past_e) ORDER BY "offset" DESC LIMIT 1;
RESET ROLE;
ALTER TABLE past_e SET UNLOGGED;
REVOKE CREATE ON SCHEMA public FROM past_ddl_owner;

-- partitions, with columns in another order
CREATE TABLE past_p (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE past_p1 PARTITION OF past_p FOR VALUES FROM (0) TO (10) USING kyro;
CREATE TABLE past_p2 (v text, x int, id int NOT NULL);
ALTER TABLE past_p2 DROP COLUMN x;
INSERT INTO past_p2 VALUES ('attached', 11);
SELECT kyro.keep_history('past_p1', '1 day');
SELECT kyro.keep_history('past_p', '1 day');
SELECT kyro.create_epoch('past p');
ALTER TABLE past_p ATTACH PARTITION past_p2 FOR VALUES FROM (10) TO (20);
SELECT * FROM kyro.as_of(NULL::past_p, 'past p') ORDER BY id;
SELECT kyro.create_epoch('past q');
INSERT INTO past_p SELECT i, 'x' || i FROM generate_series(1, 15, 3) i;
UPDATE past_p SET id = id + 8 WHERE id < 5;
INSERT INTO past_p1 VALUES (5, 'into the partition');
TRUNCATE past_p2;
-- an empty one changes nothing
CREATE TABLE past_p3 PARTITION OF past_p FOR VALUES FROM (20) TO (30);
INSERT INTO past_p VALUES (20, '20');
SELECT * FROM kyro.as_of(NULL::past_p, 'past q') ORDER BY id;
ALTER TABLE past_p ADD COLUMN added text DEFAULT 'added';
UPDATE past_p SET added = 'changed' WHERE id = 20;
SELECT * FROM kyro.as_of(NULL::past_p, 'past q') ORDER BY id;
TRUNCATE past_p;
SELECT kind, old, new FROM kyro.changes(NULL::past_p) ORDER BY "offset";
SELECT * FROM kyro.as_of(NULL::past_p, 'past q') ORDER BY id;
SELECT * FROM kyro.as_of(NULL::past_p1, 'past q') ORDER BY id;
SELECT * FROM kyro.restore_to('past_p', 'past q', false);
TABLE past_p;
SELECT kyro.create_epoch('past r');
ALTER TABLE past_p DETACH PARTITION past_p2;
SELECT * FROM kyro.as_of(NULL::past_p, 'past r') ORDER BY id;
INSERT INTO past_p2 VALUES ('free', 12);
TRUNCATE past_p2;
SELECT kyro.create_epoch('past s');
DROP TABLE past_p3;
SELECT * FROM kyro.as_of(NULL::past_p, 'past s') ORDER BY id;
SELECT kyro.drop_history('past_p');
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'past\_p%';

-- a child's rows are its own
CREATE TABLE past_parent (id int);
CREATE TABLE past_child () INHERITS (past_parent);
INSERT INTO past_parent VALUES (1);
INSERT INTO past_child VALUES (2);
SELECT kyro.keep_history('past_parent', '1 day');
SELECT kyro.create_epoch('past parent');
UPDATE past_parent SET id = id + 10;
SELECT * FROM kyro.as_of(NULL::past_parent, 'past parent');
SELECT * FROM kyro.restore_to('past_parent', 'past parent', false);
TABLE past_parent ORDER BY id;
