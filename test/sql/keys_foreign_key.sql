--
-- Foreign keys to columns with a unique kyro_rmi index that is older than the
-- btree they need.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
LOAD 'kyrodb';
CREATE SCHEMA foreign_key;
SET search_path = foreign_key, public;
-- which index each foreign key depends on, and is every index as it was
CREATE FUNCTION keys() RETURNS TABLE (fk text, target text) LANGUAGE sql AS $$
	SELECT conrelid::regclass || '.' || conname, conindid::regclass::text FROM pg_constraint
		WHERE contype = 'f' AND connamespace = 'foreign_key'::regnamespace
	UNION ALL SELECT indexrelid::regclass::text, 'invalid' FROM pg_index JOIN pg_class c ON c.oid = indexrelid
		WHERE NOT indisvalid AND relnamespace = 'foreign_key'::regnamespace ORDER BY 1
$$;

CREATE TABLE par (id bigint, v int, w int);
CREATE UNIQUE INDEX par_id ON par USING kyro_rmi (id);
CREATE UNIQUE INDEX par_v ON par USING kyro_rmi (v);
CREATE UNIQUE INDEX par_w ON par USING kyro_rmi (w);
INSERT INTO par SELECT g, g + 1000, g FROM generate_series(1, 100) g;
ALTER TABLE par ADD PRIMARY KEY (id), ADD UNIQUE (v);
-- each way to make one
CREATE TABLE c1 (a bigint REFERENCES par (id), b int REFERENCES par (v), c int REFERENCES par);
CREATE TABLE c2 (a bigint, b int);
INSERT INTO c2 SELECT g, g + 1000 FROM generate_series(1, 50) g;
ALTER TABLE c2 ADD FOREIGN KEY (a) REFERENCES par (id) NOT VALID, ADD CONSTRAINT named FOREIGN KEY (b) REFERENCES foreign_key.par (v) ON DELETE CASCADE;
ALTER TABLE c2 VALIDATE CONSTRAINT c2_a_fkey;
ALTER TABLE c2 ADD COLUMN c int REFERENCES par (v);
CREATE TABLE c3 (a int) PARTITION BY RANGE (a);
CREATE TABLE c31 PARTITION OF c3 FOR VALUES FROM (0) TO (1000);
ALTER TABLE c3 ADD FOREIGN KEY (a) REFERENCES par (id);
CREATE TABLE c32 (a int NOT NULL);
ALTER TABLE c3 ATTACH PARTITION c32 FOR VALUES FROM (1000) TO (2000);
CREATE SCHEMA in_schema CREATE TABLE c4 (a bigint REFERENCES foreign_key.par (id));
DO $$ BEGIN ALTER TABLE c2 ADD COLUMN d bigint REFERENCES par (id); END $$;
SELECT * FROM keys();
SELECT conindid::regclass FROM pg_constraint WHERE conrelid = 'in_schema.c4'::regclass;
-- they work
INSERT INTO c1 VALUES (5, 1005, 5);
INSERT INTO c1 VALUES (500, 1005, 5);
DELETE FROM par WHERE id = 5;
DELETE FROM par WHERE id = 60;
-- again, when the column's type changes on either side
ALTER TABLE c2 ALTER COLUMN a TYPE int, ALTER COLUMN b TYPE bigint;
ALTER TABLE par ALTER COLUMN id TYPE int, ALTER COLUMN v TYPE bigint;
REINDEX TABLE CONCURRENTLY par;
ALTER TABLE c1 ADD FOREIGN KEY (a) REFERENCES par (id);
SELECT * FROM keys();
-- to a btree that is no constraint's
CREATE TABLE bare (id int, v int);
CREATE UNIQUE INDEX bare_kyro ON bare USING kyro_rmi (id);
CREATE UNIQUE INDEX bare_btree ON bare (id);
CREATE TABLE bare_child (a int REFERENCES bare (id));
ALTER TABLE bare ALTER id TYPE bigint;
BEGIN;
SAVEPOINT s;
ALTER TABLE bare ALTER id TYPE uuid USING NULL;
ROLLBACK TO s;
CREATE UNIQUE INDEX bare_v ON bare USING kyro_rmi (v);
SELECT * FROM keys() WHERE target = 'invalid';
COMMIT;
ALTER TABLE bare ALTER id TYPE int, ALTER v TYPE bigint;
SELECT * FROM keys() WHERE fk ~ 'bare';
-- to the table itself, with the key made by the same command
CREATE TABLE tree (id int, up int);
CREATE UNIQUE INDEX tree_id ON tree USING kyro_rmi (id);
ALTER TABLE tree ADD FOREIGN KEY (up) REFERENCES tree (id), ADD UNIQUE (id);
ALTER TABLE tree ALTER up TYPE bigint, ALTER id TYPE bigint;
SELECT * FROM keys() WHERE fk ~ 'tree';
-- no btree: refused, and nothing has changed
CREATE TABLE c5 (a int REFERENCES par (w));
ALTER TABLE c2 ADD FOREIGN KEY (b) REFERENCES par (w);
BEGIN;
SAVEPOINT s;
ALTER TABLE c2 ADD FOREIGN KEY (b) REFERENCES par (w);
ROLLBACK TO s;
ALTER TABLE c2 ADD CONSTRAINT second FOREIGN KEY (b) REFERENCES par (v);
COMMIT;
BEGIN;
ALTER TABLE c2 ADD CONSTRAINT third FOREIGN KEY (b) REFERENCES par (v);
ROLLBACK;
SELECT * FROM keys() WHERE fk ~ 'second|third' OR target = 'invalid';
-- what is none of our business stays as it is
CREATE TABLE c6 (a int REFERENCES par (nothing));
CREATE TABLE c6 (a int REFERENCES nowhere (a));
ALTER TABLE nowhere ADD FOREIGN KEY (a) REFERENCES par (id);
ALTER TABLE IF EXISTS nowhere ADD FOREIGN KEY (a) REFERENCES par (id);
CREATE ROLE regress_foreign_key;
GRANT USAGE ON SCHEMA foreign_key TO regress_foreign_key;
SET ROLE regress_foreign_key;
ALTER TABLE c2 ADD FOREIGN KEY (a) REFERENCES par (id);
CREATE TEMP TABLE c7 (a int REFERENCES par (id));
CREATE TEMP TABLE c7 (a int);
ALTER TABLE c7 ADD FOREIGN KEY (a) REFERENCES par (id);
RESET ROLE;
REVOKE ALL ON SCHEMA foreign_key FROM regress_foreign_key;
BEGIN READ ONLY;
ALTER TABLE c2 ADD FOREIGN KEY (a) REFERENCES par (id);
ROLLBACK;
-- an index that nobody refers to, and that the command makes anew, keeps its roles
CREATE TABLE roles (id bigint NOT NULL, v bigint NOT NULL, up int REFERENCES bare (id));
CREATE UNIQUE INDEX roles_id ON roles USING kyro_rmi (id);
CREATE UNIQUE INDEX roles_v ON roles USING kyro_rmi (v);
ALTER TABLE roles CLUSTER ON roles_id, REPLICA IDENTITY USING INDEX roles_v;
ALTER TABLE roles ALTER id TYPE int, ALTER v TYPE int, ALTER up TYPE bigint;
SELECT indexrelid::regclass, indisvalid, indisclustered, indisreplident FROM pg_index WHERE indrelid = 'roles'::regclass ORDER BY 1;
-- as do, of a table that others refer to, those that cannot be a target
CREATE INDEX bare_plain ON bare USING kyro_rmi (id);
ALTER TABLE bare CLUSTER ON bare_plain;
ALTER TABLE bare ALTER id TYPE bigint;
SELECT indexrelid::regclass, indisvalid, indisclustered FROM pg_index WHERE indrelid = 'bare'::regclass AND indisclustered;
-- an index that is the replica identity is so still
ALTER TABLE par REPLICA IDENTITY USING INDEX par_id;
ALTER TABLE par ALTER v SET NOT NULL, ALTER id SET NOT NULL;
ALTER TABLE par REPLICA IDENTITY USING INDEX par_id;
ALTER TABLE c2 ADD CONSTRAINT fourth FOREIGN KEY (a) REFERENCES par (id);
SELECT indexrelid::regclass, indisvalid, indisreplident FROM pg_index WHERE indexrelid = 'par_id'::regclass;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM par WHERE w = 5;
RESET enable_seqscan;
SELECT c.oid::regclass, v.* FROM pg_class c, LATERAL kyro.verify(c.oid, deep => true) v WHERE relnamespace = 'foreign_key'::regnamespace AND relam = (SELECT oid FROM pg_am WHERE amname = 'kyro_rmi');

-- an index that is made anew keeps its roles for the table, though it was hidden meanwhile
CREATE TABLE again (id bigint UNIQUE NOT NULL, up bigint REFERENCES again (id));
CREATE UNIQUE INDEX again_id ON again USING kyro_rmi (id);
ALTER TABLE again CLUSTER ON again_id;
ALTER TABLE again REPLICA IDENTITY USING INDEX again_id;
INSERT INTO again SELECT g, nullif(g / 2, 0) FROM generate_series(1, 100) g;
ALTER TABLE again ALTER id TYPE integer;
SELECT indexrelid::regclass, indisvalid, indisclustered, indisreplident FROM pg_index WHERE indrelid = 'again'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
BEGIN;
SAVEPOINT s;
ALTER TABLE again ALTER id TYPE smallint USING 1 / (id - 50);
ROLLBACK TO s;
ALTER TABLE again ALTER id TYPE bigint;
COMMIT;
SELECT indexrelid::regclass, indisvalid, indisclustered, indisreplident FROM pg_index WHERE indrelid = 'again'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
CLUSTER again;
