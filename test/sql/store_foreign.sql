--
-- Foreign keys between kyro tables, and between them and heaps, with sealed rows on both
-- sides.
--
\set schema store_foreign
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
SELECT twin('CREATE TABLE parent (id int PRIMARY KEY, alt int UNIQUE, v text)');
SELECT twin('INSERT INTO parent SELECT g, g + 1000, ''p'' || g FROM generate_series(1, 200) g');
SELECT twin('CREATE TABLE child (id int PRIMARY KEY, pid int REFERENCES parent, alt int REFERENCES parent (alt) ON UPDATE CASCADE)');
SELECT seal('parent', 150);
-- a child of a sealed parent, and of none
SELECT twin('INSERT INTO child SELECT g, g, g + 1000 FROM generate_series(1, 100) g');
SELECT twin('INSERT INTO child VALUES (500, 500, 1001)');
SELECT twin('INSERT INTO child VALUES (500, 180, 1180), (501, NULL, NULL)');
SELECT seal('child', 60);
SELECT twin('UPDATE child SET pid = 101 WHERE id IN (1, 2, 70)');
SELECT twin('UPDATE child SET pid = 999 WHERE id = 3');
-- a parent that is needed, and one that is not
SELECT twin('DELETE FROM parent WHERE id = 5');
SELECT twin('DELETE FROM parent WHERE id = 150 RETURNING *');
SELECT twin('DELETE FROM parent WHERE id = 190 RETURNING *');
SELECT twin('UPDATE parent SET id = -5 WHERE id = 5');
SELECT twin('UPDATE parent SET id = -151 WHERE id = 151');
SELECT twin('UPDATE parent SET alt = -alt WHERE id IN (6, 7, 152, 180)');
SELECT twin('UPDATE parent SET v = ''x'' WHERE id BETWEEN 8 AND 20');
SELECT twin('SELECT * FROM child WHERE id IN (6, 7, 500) ORDER BY id');
SELECT same('parent'), same('child');
-- children go first, in the same transaction, the parents sealed between
BEGIN;
SELECT twin('DELETE FROM child WHERE pid = 10');
SELECT seal('parent') > 0 AS some;
SELECT twin('DELETE FROM parent WHERE id = 10');
SAVEPOINT a;
SELECT twin('INSERT INTO child VALUES (600, 10)');
ROLLBACK TO a;
SELECT twin('INSERT INTO parent VALUES (10, 1010, ''back'')');
SELECT seal('parent');
SELECT twin('INSERT INTO child VALUES (600, 10, 1010)');
COMMIT;
SELECT same('parent'), same('child');

-- every action, on rows of the log and sealed ones
SELECT twin('CREATE TABLE p2 (id int PRIMARY KEY)');
SELECT twin('INSERT INTO p2 SELECT g FROM generate_series(0, 60) g');
SELECT twin('CREATE TABLE c_cascade (id serial, pid int REFERENCES p2 ON DELETE CASCADE ON UPDATE CASCADE)');
SELECT twin('CREATE TABLE c_null (id serial, pid int REFERENCES p2 ON DELETE SET NULL ON UPDATE SET NULL)');
SELECT twin('CREATE TABLE c_default (id serial, pid int DEFAULT 0 REFERENCES p2 ON DELETE SET DEFAULT ON UPDATE SET DEFAULT)');
SELECT twin('CREATE TABLE c_restrict (id serial, pid int REFERENCES p2 ON DELETE RESTRICT)');
SELECT twin('CREATE TABLE c_late (id serial, pid int REFERENCES p2 DEFERRABLE INITIALLY DEFERRED)');
SELECT twin(format('INSERT INTO %s (pid) SELECT g %% 50 FROM generate_series(1, 300) g', r)) FROM unnest(ARRAY['c_cascade', 'c_null', 'c_default']) r;
SELECT twin(format('INSERT INTO %s (pid) SELECT 50 + g %% 5 FROM generate_series(1, 20) g', r)) FROM unnest(ARRAY['c_restrict', 'c_late']) r;
SELECT seal(r, 200) FROM unnest(ARRAY['c_cascade', 'c_null', 'c_default', 'c_restrict', 'c_late']) r;
SELECT seal('p2', 55);
SELECT twin('DELETE FROM p2 WHERE id IN (1, 2, 3)');
SELECT twin('UPDATE p2 SET id = id + 100 WHERE id IN (4, 5, 6)');
SELECT twin('DELETE FROM p2 WHERE id = 104');
SELECT regexp_replace(twin('DELETE FROM p2 WHERE id = 51'), '^23(503|001): .*', 'refused');	-- with another SQLSTATE from 18 on
SELECT twin('DELETE FROM c_restrict WHERE pid = 51');
SELECT twin('DELETE FROM p2 WHERE id = 60');
SELECT r AS rel, same(r) FROM unnest(ARRAY['p2', 'c_cascade', 'c_null', 'c_default', 'c_restrict', 'c_late']) r;
SELECT seal(r) > 0 AS some FROM unnest(ARRAY['c_cascade', 'c_null', 'c_default', 'p2']) r;
SELECT twin('DELETE FROM p2 WHERE id % 7 = 0 AND id BETWEEN 7 AND 49');
SELECT twin('UPDATE p2 SET id = id + 200 WHERE id % 5 = 2 AND id < 50');
SELECT r AS rel, same(r) FROM unnest(ARRAY['p2', 'c_cascade', 'c_null', 'c_default', 'c_restrict', 'c_late']) r;
-- a check at the end: the parent comes back, or does not
BEGIN;
DELETE FROM c_restrict WHERE pid = 53;
DELETE FROM p2 WHERE id = 53;
INSERT INTO p2 VALUES (53);
COMMIT;
BEGIN;
DELETE FROM c_restrict WHERE pid = 54;
DELETE FROM p2 WHERE id = 54;
INSERT INTO c_late (pid) VALUES (54);
COMMIT;
BEGIN;
INSERT INTO c_late (pid) VALUES (700);
SAVEPOINT a;
SELECT seal('c_late');
ROLLBACK TO a;
SELECT seal('p2');
INSERT INTO p2 VALUES (700);
COMMIT;
SELECT count(*) FROM c_late WHERE pid IN (53, 54, 700);
-- a heap's parent, a kyro table's parent
CREATE TABLE hp (id int PRIMARY KEY) USING heap;
CREATE TABLE kc (pid int REFERENCES hp ON DELETE CASCADE) USING kyro;
CREATE TABLE hc (pid int REFERENCES p2 ON DELETE CASCADE) USING heap;
INSERT INTO hp SELECT g FROM generate_series(1, 20) g;
INSERT INTO kc SELECT g FROM generate_series(1, 20) g;
INSERT INTO hc SELECT id FROM p2 WHERE id BETWEEN 20 AND 40;
SELECT rows FROM kyro.snapshot('kc');
DELETE FROM hp WHERE id > 15;
DELETE FROM p2 WHERE id BETWEEN 30 AND 40 AND id % 7 > 0;
SELECT (SELECT count(*) FROM kc) AS kc, (SELECT count(*) FROM hc) AS hc, (SELECT count(*) FROM hc WHERE pid >= 30) AS orphans;
INSERT INTO kc VALUES (16);

-- of a table to itself: a tree
SELECT twin('CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE)');
SELECT twin('INSERT INTO tree SELECT g, nullif(g / 2, 0) FROM generate_series(1, 255) g');
SELECT seal('tree', 128);
SELECT twin('DELETE FROM tree WHERE id = 5');
SELECT twin('UPDATE tree SET up = 3 WHERE id IN (16, 200)');
SELECT twin('UPDATE tree SET up = 5 WHERE id = 17');
SELECT same('tree');
SELECT seal('tree') > 0 AS some;
SELECT twin('WITH RECURSIVE r AS (SELECT id, 0 AS depth FROM tree WHERE up IS NULL UNION ALL SELECT t.id, depth + 1 FROM tree t JOIN r ON t.up = r.id)
	SELECT depth, count(*) FROM r GROUP BY depth ORDER BY depth');
SELECT twin('DELETE FROM tree WHERE up = 3');
SELECT same('tree');
-- added to what is sealed: right, wrong, NOT VALID and validated later
SELECT twin('CREATE TABLE late (pid int)');
SELECT twin('INSERT INTO late SELECT g FROM generate_series(21, 29) g WHERE g % 7 > 0 AND g % 5 <> 2');
SELECT seal('late');
SELECT twin('ALTER TABLE late ADD CONSTRAINT fk FOREIGN KEY (pid) REFERENCES p2');
SELECT twin('DELETE FROM p2 WHERE id = 24');
SELECT twin('ALTER TABLE late DROP CONSTRAINT fk');
SELECT twin('INSERT INTO late VALUES (9999)');
SELECT seal('late');
SELECT twin('ALTER TABLE late ADD CONSTRAINT fk FOREIGN KEY (pid) REFERENCES p2');
SELECT twin('ALTER TABLE late ADD CONSTRAINT fk FOREIGN KEY (pid) REFERENCES p2 NOT VALID');
SELECT twin('ALTER TABLE late VALIDATE CONSTRAINT fk');
SELECT twin('DELETE FROM late WHERE pid = 9999');
SELECT twin('ALTER TABLE late VALIDATE CONSTRAINT fk');
-- locks that checks leave do not keep rows from being changed or sealed later
SELECT twin('INSERT INTO child SELECT 1000 + g, 20 + g % 10 FROM generate_series(1, 50) g');
SELECT twin('UPDATE parent SET v = ''after'' WHERE id BETWEEN 20 AND 30');
SELECT twin('INSERT INTO child SELECT 1100 + g, 20 + g % 10 FROM generate_series(1, 50) g');
SELECT seal('parent') > 0 AS some;
VACUUM (FREEZE) parent;
SELECT twin('INSERT INTO child SELECT 1200 + g, 20 + g % 10 FROM generate_series(1, 50) g');
VACUUM parent;
SELECT twin('DELETE FROM parent WHERE id = 25');
SELECT same('parent'), same('child');
SELECT r AS rel, v.* FROM unnest(ARRAY['parent', 'child', 'p2', 'c_cascade', 'c_null', 'c_default', 'c_restrict', 'c_late', 'kc', 'tree', 'late']) r, kyro.verify(r::regclass, true) v;
