-- PRIMARY KEY and UNIQUE constraints whose index is a kyro_rmi index
SET session_preload_libraries = kyrodb;	-- as far as those are warned who have not
LOAD 'kyrodb';
CREATE SCHEMA keys_constraints;
SET search_path = keys_constraints, public;
\getenv srcdir PG_ABS_SRCDIR
\set shown :srcdir '/lib/shown.psql'
\set ECHO none
\i :shown
\set ECHO all
\set VERBOSITY default

-- what an index is, and what it shows
CREATE FUNCTION keys() RETURNS TABLE (tbl regclass, index name, method name, kind "char", shows name, options text[], roles text)
LANGUAGE sql AS $$
	SELECT i.indrelid::regclass, c.relname, a.amname, k.contype, shown(i), (SELECT array_agg(o ORDER BY o) FROM unnest(c.reloptions) o),
		   concat_ws(' ', CASE WHEN NOT i.indisvalid THEN 'invalid' END, CASE WHEN i.indisunique THEN 'unique' END, CASE WHEN i.indisprimary THEN 'primary' END,
			CASE WHEN NOT i.indimmediate THEN 'deferrable' END, CASE WHEN i.indnullsnotdistinct THEN 'nulls not distinct' END,
			CASE WHEN i.indisclustered THEN 'clustered' END, CASE WHEN i.indisreplident THEN 'identity' END)
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
		LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype IN ('p', 'u')
	WHERE c.relnamespace = 'keys_constraints'::regnamespace
	ORDER BY i.indrelid::regclass::text COLLATE "C", c.relname COLLATE "C"
$$;

CREATE DOMAIN positive AS bigint CHECK (VALUE > 0);
CREATE TABLE parent (id bigint PRIMARY KEY WITH (kyro_rmi), v text, u int UNIQUE NULLS NOT DISTINCT WITH (kyro_rmi, fillfactor = 70),
	t timestamptz CONSTRAINT at_once UNIQUE WITH (kyro_rmi) DEFERRABLE, d date UNIQUE WITH (kyro_rmi = true), s smallserial UNIQUE WITH (kyro_rmi),
	p positive UNIQUE WITH (kyro_rmi), o int UNIQUE WITH (kyro_rmi = false));
CREATE TABLE child (id serial PRIMARY KEY WITH (kyro_rmi), parent bigint REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, u int REFERENCES parent (u) DEFERRABLE,
	up int REFERENCES child);
CREATE TEMP TABLE temporary (id int PRIMARY KEY WITH (kyro_rmi)) ON COMMIT DELETE ROWS;
CREATE UNLOGGED TABLE unlogged (id timestamp PRIMARY KEY WITH (kyro_rmi));
CREATE TABLE alike (LIKE parent INCLUDING ALL);
CREATE TABLE heir (id bigint CONSTRAINT parent_id_not_null NOT NULL, PRIMARY KEY (id) WITH (kyro_rmi)) INHERITS (parent);	-- the name is for 18, see keys_alter
CREATE TABLE sealed (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY WITH (kyro_rmi), v int) USING kyro;
SELECT * FROM keys();
SELECT class_dependencies('parent_pkey'), class_dependencies('alike_pkey');

-- they do what keys do
INSERT INTO parent (id, v, u, t, d, p) SELECT g, 'x', g, '2024-01-01 00:00+00'::timestamptz + g * interval '1 h', '2000-01-01'::date + g, g FROM generate_series(1, 2000) g;
INSERT INTO child (parent, u, up) SELECT g, g, nullif(g / 2, 0) FROM generate_series(1, 1000) g;
INSERT INTO child (parent) VALUES (99999);
INSERT INTO child (up) VALUES (99999);
DELETE FROM parent WHERE id = 2000;
UPDATE parent SET id = 100000 WHERE id = 8;
SELECT id, parent, u FROM child WHERE parent IN (7, 8, 100000);
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE parent SET u = -u WHERE id < 100;
UPDATE child SET u = -u WHERE parent < 100;
COMMIT;
INSERT INTO parent (id, v) VALUES (9, 'again') ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING id, v;
INSERT INTO parent (id, v) VALUES (9, 'again') ON CONFLICT ON CONSTRAINT parent_pkey DO NOTHING;
INSERT INTO parent (id) VALUES (9);
INSERT INTO parent (id, u) VALUES (-1, NULL);
INSERT INTO parent (id, u) VALUES (-2, NULL);
UPDATE parent SET t = t + interval '1 h' WHERE t IS NOT NULL;	-- passes, deferrable
BEGIN;
SET CONSTRAINTS at_once DEFERRED;
UPDATE parent SET t = t + interval '1 h' WHERE t IS NOT NULL;
COMMIT;
INSERT INTO sealed (v) SELECT g FROM generate_series(1, 1000) g;
SELECT rows FROM kyro.snapshot('sealed');
INSERT INTO sealed OVERRIDING SYSTEM VALUE VALUES (500, 0);
INSERT INTO sealed OVERRIDING SYSTEM VALUE VALUES (500, 0) ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING *;
EXPLAIN (COSTS OFF) SELECT child.id FROM child LEFT JOIN parent ON parent.id = child.parent;

-- what cannot be says so
CREATE TABLE r (a int, b int, PRIMARY KEY (a, b) WITH (kyro_rmi));
CREATE TABLE r (a text PRIMARY KEY WITH (kyro_rmi));
CREATE TABLE r (a int, b int, CONSTRAINT named UNIQUE (a) INCLUDE (b) WITH (kyro_rmi));
ALTER TABLE parent ADD CONSTRAINT texts UNIQUE (v) WITH (kyro_rmi);
ALTER TABLE parent ADD COLUMN n numeric UNIQUE WITH (kyro_rmi);
ALTER INDEX parent_pkey RESET (kyro_rmi);
ALTER INDEX parent_pkey SET (kyro_rmi = false);
ALTER TABLE parent_pkey SET (kyro_rmi = false);
ALTER INDEX parent_pkey SET (fillfactor = 80);

-- ALTER TABLE
CREATE TABLE a (id int, k bigint);
ALTER TABLE a ADD PRIMARY KEY (id) WITH (kyro_rmi), ADD COLUMN n bigserial UNIQUE WITH (kyro_rmi), ADD COLUMN m int, ADD UNIQUE (m) WITH (kyro_rmi);
INSERT INTO a (id, k, m) SELECT g, g, g FROM generate_series(1, 100) g;
ALTER TABLE a ALTER id TYPE bigint, ALTER m TYPE text;
ALTER TABLE parent ALTER id TYPE int;
ALTER TABLE parent ALTER t TYPE timestamp USING t AT TIME ZONE 'UTC';
SELECT * FROM keys() WHERE tbl IN ('a'::regclass, 'parent'::regclass);
INSERT INTO child (parent) VALUES (-99999);
BEGIN;
ALTER TABLE a ALTER id TYPE int;
SAVEPOINT s;
ALTER TABLE a ALTER id TYPE smallint;
ROLLBACK TO s;
INSERT INTO a (id) VALUES (50) ON CONFLICT (id) DO NOTHING;
COMMIT;
CREATE UNIQUE INDEX a_k ON a USING kyro_rmi (k);
ALTER TABLE a ADD COLUMN z timestamp;
CREATE UNIQUE INDEX a_z ON a USING kyro_rmi (z);
ALTER TABLE a ADD CONSTRAINT zz UNIQUE USING INDEX a_z, ADD COLUMN y int;
ALTER TABLE a ADD CONSTRAINT zz UNIQUE USING INDEX a_z;
ALTER TABLE a DROP CONSTRAINT a_pkey;
SELECT kyro.adopt_index('a_k', 'a_new', "primary" => true);
SELECT kyro.adopt_index('a_new');
SELECT kyro.adopt_index('a_m_key');
CREATE INDEX a_plain ON a USING kyro_rmi (k);
SELECT kyro.adopt_index('a_plain');
CREATE UNIQUE INDEX a_part ON a USING kyro_rmi (k) WHERE k > 5;
SELECT kyro.adopt_index('a_part');
ALTER TABLE a RENAME CONSTRAINT a_new TO a_newer;
REINDEX INDEX a_newer;
REINDEX TABLE CONCURRENTLY a;
ALTER TABLE a SET ACCESS METHOD kyro;
ALTER TABLE a SET UNLOGGED;
SELECT * FROM keys() WHERE tbl = 'a'::regclass;
SELECT class_dependencies('a_newer'), class_dependencies('zz'), class_dependencies('a_plain');
INSERT INTO a (k) VALUES (7);

-- the setting
SET kyro.constraint_index_method = kyro_rmi;
CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text UNIQUE, u smallint UNIQUE, x int UNIQUE WITH (deduplicate_items = off), a int, b int, UNIQUE (a, b),
	FOREIGN KEY (x) REFERENCES g (id));
ALTER TABLE g ADD COLUMN w date UNIQUE, ADD COLUMN nt text UNIQUE, ADD UNIQUE (a);
CREATE TABLE gp (id int PRIMARY KEY) PARTITION BY RANGE (id);
RESET kyro.constraint_index_method;
SELECT * FROM keys() WHERE tbl IN ('g'::regclass, 'gp'::regclass);
ALTER TABLE g DROP CONSTRAINT g_w_key;
ALTER TABLE g ADD UNIQUE (w);
SELECT method FROM keys() WHERE index = 'g_w_key';

SELECT i.indexrelid::regclass, v.* FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam AND a.amname = 'kyro_rmi',
	LATERAL kyro.verify(i.indexrelid, deep => true) v WHERE c.relnamespace = 'keys_constraints'::regnamespace;

-- temporal keys, of PostgreSQL 18
DO $$
DECLARE
	why text;
BEGIN
	EXECUTE 'CREATE TABLE temporal (id int, at int4range, PRIMARY KEY (id, at WITHOUT OVERLAPS) WITH (kyro_rmi))';
	RAISE 'it was made';
EXCEPTION
	WHEN syntax_error THEN
		ASSERT current_setting('server_version_num')::int < 180000;
	WHEN feature_not_supported THEN
		GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
		ASSERT why = 'It has more than one column.';
END $$;
-- kyro.verify looks at the catalogs, too
CREATE TABLE looked (id bigint PRIMARY KEY WITH (kyro_rmi));
BEGIN;
UPDATE pg_class SET reloptions = NULL WHERE oid = 'looked_pkey'::regclass;
SELECT * FROM kyro.verify('looked_pkey');
ROLLBACK;
BEGIN;
DELETE FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = 'looked_pkey'::regclass AND refclassid = 'pg_opclass'::regclass;
SELECT * FROM kyro.verify('looked_pkey');
ROLLBACK;
BEGIN;
UPDATE pg_index SET indclass = (SELECT oid::text::oidvector FROM pg_opclass WHERE opcname = 'int8_ops' AND opcnamespace = 'kyro'::regnamespace AND oid <> indclass[0]) WHERE indexrelid = 'looked_pkey'::regclass;
SELECT count(*), bool_and(problem ~ 'shows? .* operator class') AS right FROM kyro.verify('looked_pkey');
ROLLBACK;
SELECT * FROM kyro.verify('looked_pkey');

-- what a REINDEX CONCURRENTLY leaves that fails at another index, once it is whole
CREATE FUNCTION fails(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN IF current_setting(''keys.fail'', true) = ''on'' THEN RAISE ''it fails''; END IF; RETURN $1; END';
CREATE TABLE left_over (id bigint NOT NULL, n int);
INSERT INTO left_over VALUES (1, 1);
CREATE INDEX left_over_n ON left_over (fails(n));
ALTER TABLE left_over ADD PRIMARY KEY (id) WITH (kyro_rmi);
SET keys.fail = on;
\set VERBOSITY terse
REINDEX TABLE CONCURRENTLY left_over;
\set VERBOSITY default
RESET keys.fail;
REINDEX TABLE left_over;
SELECT * FROM keys() WHERE tbl = 'left_over'::regclass;
SELECT i.indexrelid::regclass, v.problem FROM pg_index i, LATERAL kyro.verify(i.indexrelid) v WHERE i.indrelid = 'left_over'::regclass AND i.indisunique;
