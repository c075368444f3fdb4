-- kyro_rmi indexes as those of keys of partitioned tables
SET session_preload_libraries = kyrodb;	-- as far as those are warned who have not
LOAD 'kyrodb';
CREATE SCHEMA keys_partitions;
SET search_path = keys_partitions, public;
\getenv srcdir PG_ABS_SRCDIR
\set shown :srcdir '/lib/shown.psql'
\set ECHO none
\i :shown
\set ECHO all
\set VERBOSITY default

CREATE VIEW indexes AS
	SELECT c.relname AS index, a.amname AS method, shown(i) AS shows, c.reloptions AS options,
		concat_ws(' ', CASE WHEN c.relkind = 'I' THEN 'partitioned' END, CASE WHEN NOT i.indisvalid THEN 'invalid' END, CASE WHEN i.indisunique THEN 'unique' END,
			(SELECT string_agg(k.conname || ':' || k.contype::text || CASE WHEN k.condeferrable THEN ' deferrable' ELSE '' END, ' ' ORDER BY k.conname)
				FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype <> 'f')) AS roles,
		(SELECT p.relname FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent WHERE h.inhrelid = c.oid) AS attached_to
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
	WHERE c.relnamespace = 'keys_partitions'::regnamespace AND i.indrelid::regclass::text <> 'twin' ORDER BY c.relname COLLATE "C";
CREATE VIEW problems AS
	SELECT c.relname, v.problem FROM pg_class c, LATERAL kyro.verify(c.oid, deep => true) v
	WHERE c.relnamespace = 'keys_partitions'::regnamespace AND c.relkind IN ('i', 'I') AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'kyro_rmi');

-- ---- made with the table: new partitions, of several levels, attached ones
CREATE TABLE p (id bigint PRIMARY KEY WITH (kyro_rmi, fillfactor = 70), v int DEFAULT 0, pad text DEFAULT 'x') PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200) PARTITION BY LIST (id);
CREATE TABLE IF NOT EXISTS p2 PARTITION OF p FOR VALUES FROM (100) TO (200) PARTITION BY LIST (id);
CREATE TABLE p21 PARTITION OF p2 FOR VALUES IN (100, 101, 102);
CREATE TABLE p22 PARTITION OF p2 DEFAULT USING kyro;
-- attached: with columns in other places; without a key, with one of ours, with a plain unique index, partitioned itself
CREATE TABLE p3 (pad text DEFAULT 'x', gone int, v int DEFAULT 0, id bigint NOT NULL);
ALTER TABLE p3 DROP COLUMN gone;
INSERT INTO p3 (id) SELECT generate_series(200, 299, 2);
ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (200) TO (300);
CREATE TABLE p4 (id bigint CONSTRAINT p4_named PRIMARY KEY WITH (kyro_rmi), v int DEFAULT 0, pad text DEFAULT 'x');
ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM (300) TO (400);
CREATE TABLE p5 (LIKE p);
CREATE UNIQUE INDEX p5_plain ON p5 USING kyro_rmi (id);
ALTER TABLE p ATTACH PARTITION p5 FOR VALUES FROM (400) TO (500);
CREATE TABLE p6 (v int DEFAULT 0, id bigint NOT NULL, pad text DEFAULT 'x') PARTITION BY HASH (id);
CREATE TABLE p61 PARTITION OF p6 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p62 PARTITION OF p6 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO p6 (id) SELECT generate_series(500, 599, 2);
ALTER TABLE p ATTACH PARTITION p6 FOR VALUES FROM (500) TO (600);
CREATE TABLE p7 (LIKE p INCLUDING ALL);
ALTER TABLE p ATTACH PARTITION p7 DEFAULT;
SELECT * FROM indexes;
SELECT * FROM problems;

-- ---- what core does with rows is right: against a twin with btrees
CREATE TABLE twin (id bigint PRIMARY KEY, v int DEFAULT 0, pad text DEFAULT 'x');
CREATE FUNCTION outcome(t text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('WITH c AS (%s RETURNING id, v, pad) SELECT string_agg(c::text, '' '' ORDER BY c.id) FROM c', replace(command, 'TREE', t)) INTO result;
	RETURN coalesce(result, 'nothing');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE FUNCTION twins(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := outcome('twin', command);
	ours text := outcome('p', command);
BEGIN
	IF ours IS DISTINCT FROM result OR EXISTS (TABLE twin EXCEPT ALL TABLE p) OR EXISTS (TABLE p EXCEPT ALL TABLE twin) THEN
		RETURN format('DIFFERENT: %s / %s', result, ours);
	END IF;
	RETURN result;
END $$;
INSERT INTO twin TABLE p;
SELECT twins('INSERT INTO TREE (id, v) SELECT g, g FROM generate_series(0, 700, 2) g ON CONFLICT (id) DO UPDATE SET v = excluded.v') LIKE 'DIFFERENT%' AS different;
SELECT twins(c) FROM unnest(ARRAY[
	'INSERT INTO TREE (id) VALUES (101)',
	'INSERT INTO TREE (id) VALUES (102)',
	'INSERT INTO TREE (id) VALUES (104), (105) ON CONFLICT DO NOTHING',
	'INSERT INTO TREE AS t (id, v, pad) VALUES (1, 1, ''n''), (2, 2, ''n''), (102, 3, ''n''), (202, 4, ''n''), (203, 4, ''n''), (302, 5, ''n''), (402, 6, ''n''), (502, 7, ''n''), (505, 7, ''n''), (602, 8, ''n'')
		ON CONFLICT (id) DO UPDATE SET v = t.v + excluded.v, pad = t.pad || excluded.pad WHERE t.id <> 302',
	'INSERT INTO TREE AS t (id) VALUES (102), (202) ON CONFLICT ON CONSTRAINT TREE_pkey DO UPDATE SET v = -1',
	'INSERT INTO TREE (id) VALUES (202) ON CONFLICT (id) DO UPDATE SET id = 204',
	'INSERT INTO TREE (id) VALUES (202) ON CONFLICT (id) DO UPDATE SET id = 207',
	'INSERT INTO TREE (id) VALUES (7), (7) ON CONFLICT (id) DO UPDATE SET v = 1',
	'UPDATE TREE SET id = 303 WHERE id = 4',
	'UPDATE TREE SET id = 304 WHERE id = 6',
	'DELETE FROM TREE WHERE id IN (8, 108, 208, 508)'
]) c;
SELECT count(*) FROM kyro.snapshot('p22');
SELECT twins('INSERT INTO TREE AS t (id) VALUES (104), (109) ON CONFLICT (id) DO UPDATE SET v = t.v + 1');
-- the planner knows that it is unique
EXPLAIN (COSTS OFF) SELECT p1.v FROM p1 LEFT JOIN p3 ON p3.id = p1.v;
SELECT id FROM p ORDER BY id LIMIT 3;
SELECT max(id) FROM p;

-- ---- foreign keys, both ways
CREATE TABLE r (id bigint PRIMARY KEY WITH (kyro_rmi), p bigint REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE, up bigint REFERENCES r ON DELETE SET NULL) PARTITION BY RANGE (id);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (100);
CREATE TABLE r2 (up bigint, p bigint, id bigint PRIMARY KEY WITH (kyro_rmi));
ALTER TABLE r ATTACH PARTITION r2 FOR VALUES FROM (100) TO (200);
CREATE TABLE s (p bigint REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO r VALUES (1, 10, NULL), (103, 511, NULL);
INSERT INTO r VALUES (1, 10, NULL), (2, 110, 1), (101, 210, 2), (102, 510, 101);
INSERT INTO r VALUES (3, 510, 102);
DELETE FROM p WHERE id IN (110, 510);
UPDATE p SET id = 11 WHERE id = 10;
TABLE r ORDER BY id;
INSERT INTO s VALUES (12);
BEGIN;
\set VERBOSITY sqlstate
DELETE FROM p WHERE id = 12;
COMMIT;
\set VERBOSITY default
CREATE TABLE p8 PARTITION OF p FOR VALUES FROM (800) TO (900) PARTITION BY RANGE (id);
CREATE TABLE p81 PARTITION OF p8 FOR VALUES FROM (800) TO (900);
INSERT INTO p8 (id) VALUES (801);
INSERT INTO s VALUES (801);
INSERT INTO r VALUES (4, 801);
\set VERBOSITY sqlstate
DELETE FROM p81;
\set VERBOSITY default
TABLE s;
DELETE FROM r WHERE p = 801;
DELETE FROM s WHERE p = 801;
DELETE FROM p WHERE id = 801;

-- ---- out and in again
ALTER TABLE p DETACH PARTITION p8;
ALTER TABLE p DETACH PARTITION p7;
ALTER TABLE p DETACH PARTITION p4 CONCURRENTLY;
INSERT INTO p4 (id) VALUES (302) ON CONFLICT (id) DO NOTHING RETURNING id;
INSERT INTO p4 (id) VALUES (302);
SELECT * FROM indexes WHERE index ~ 'p4|p8';
ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM (300) TO (400);
ALTER TABLE p ATTACH PARTITION p8 FOR VALUES FROM (800) TO (900);
SELECT * FROM indexes WHERE index ~ 'p4|p8';
ALTER TABLE p DETACH PARTITION p8;
DROP TABLE p8;
-- rebuilt in every way
REINDEX TABLE p;
REINDEX INDEX CONCURRENTLY p1_pkey;
REINDEX INDEX CONCURRENTLY p_pkey;
VACUUM FULL p3;
TRUNCATE p, r, s;
INSERT INTO p (id) SELECT generate_series(0, 599);
ALTER TABLE p1 SET ACCESS METHOD kyro;
ALTER TABLE p7 SET UNLOGGED;
SELECT * FROM problems;
SELECT count(*) FROM indexes WHERE method = 'kyro_rmi' AND shows = 'btree' AND options @> '{kyro_rmi=true}' AND roles LIKE '%:p';

-- ---- added to a tree that is there
CREATE TABLE q (id int, u date, t text, w int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (0) TO (100);
CREATE TABLE q2 (t text, id int, u date, w int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE q21 PARTITION OF q2 FOR VALUES FROM (100) TO (150);
CREATE TABLE q22 (LIKE q2);
ALTER TABLE q22 ADD CONSTRAINT mine PRIMARY KEY (id) WITH (kyro_rmi);
ALTER TABLE q2 ATTACH PARTITION q22 FOR VALUES FROM (150) TO (200);
ALTER TABLE q ATTACH PARTITION q2 FOR VALUES FROM (100) TO (200);
INSERT INTO q SELECT g, '2024-01-01', g, g FROM generate_series(0, 199) g;
ALTER TABLE q ADD PRIMARY KEY (id) WITH (kyro_rmi);
ALTER TABLE q ADD PRIMARY KEY (id) WITH (kyro_rmi);
ALTER TABLE q ADD COLUMN z int DEFAULT 7, ADD CONSTRAINT later UNIQUE (id) WITH (kyro_rmi) DEFERRABLE INITIALLY DEFERRED, ADD CHECK (z > 0);
INSERT INTO q SELECT 5, NULL, 'again', 1;
SELECT * FROM indexes WHERE index ~ '^q|mine|later';
-- exchanged by hand in one command; foreign keys in the same
ALTER TABLE q DROP CONSTRAINT q_pkey, DROP CONSTRAINT later, ADD CONSTRAINT q_key UNIQUE (id) WITH (kyro_rmi), ADD FOREIGN KEY (w) REFERENCES q (id);
UPDATE q SET w = 300 WHERE id = 3;
ALTER TABLE q DROP CONSTRAINT q_w_fkey, DROP CONSTRAINT q_key;
-- and where a partition has a key of its own whose column changes its type
ALTER TABLE q1 ADD CONSTRAINT own UNIQUE (w) WITH (kyro_rmi);
ALTER TABLE q ALTER w TYPE bigint, ADD CONSTRAINT q_key UNIQUE (id) WITH (kyro_rmi);
SELECT * FROM indexes WHERE index ~ '^q|own';
ALTER TABLE q1 DROP CONSTRAINT own;
ALTER TABLE q DROP CONSTRAINT q_key;
-- plain unique indexes
CREATE UNIQUE INDEX q_plain ON q USING kyro_rmi (id);
CREATE UNIQUE INDEX IF NOT EXISTS q_plain ON q USING kyro_rmi (id);
CREATE UNIQUE INDEX ON ONLY q USING kyro_rmi (id);
SELECT * FROM indexes WHERE index ~ '^q|mine';
INSERT INTO q SELECT 5, NULL, 'again', 1 ON CONFLICT (id) DO UPDATE SET t = 'once more' RETURNING *;
CREATE TABLE q3 PARTITION OF q FOR VALUES FROM (200) TO (300) PARTITION BY RANGE (id);
CREATE TABLE q31 PARTITION OF q3 FOR VALUES FROM (200) TO (300);
CREATE TABLE s2 (q int REFERENCES q (id));
SELECT * FROM problems;
-- what fails leaves nothing
ALTER TABLE q1 ADD CONSTRAINT q1_fails CHECK (w < 1000);
INSERT INTO q21 VALUES ('dup', 120, NULL, 0);
DROP INDEX q_plain, q_id_idx;
INSERT INTO q21 VALUES ('dup', 120, NULL, 0);
ALTER TABLE q ADD PRIMARY KEY (id) WITH (kyro_rmi);
SELECT * FROM indexes WHERE index ~ '^q';
DELETE FROM q WHERE t = 'dup';

-- ---- the setting: keys that can be
SET kyro.constraint_index_method = kyro_rmi;
CREATE TABLE g (id int PRIMARY KEY, t text) PARTITION BY RANGE (id);
CREATE TABLE g1 PARTITION OF g FOR VALUES FROM (0) TO (100);
ALTER TABLE g ADD UNIQUE (id);
CREATE TABLE gt (t text PRIMARY KEY) PARTITION BY LIST (t);
CREATE TABLE g2 (a int, b int, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
RESET kyro.constraint_index_method;
CREATE TABLE b (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
SET kyro.constraint_index_method = kyro_rmi;
-- what is copied stays what it was, so that it can be attached
CREATE TABLE b1 (LIKE b INCLUDING ALL);
ALTER TABLE b ATTACH PARTITION b1 FOR VALUES FROM (0) TO (100);
CREATE TABLE b2 PARTITION OF b FOR VALUES FROM (100) TO (200);
RESET kyro.constraint_index_method;
SELECT * FROM indexes WHERE index ~ '^[gb]';

-- ---- refused, with what to do
CREATE TABLE e (id int, u int UNIQUE WITH (kyro_rmi)) PARTITION BY RANGE (id);
CREATE TABLE e (a int, b int, UNIQUE (a, b) WITH (kyro_rmi)) PARTITION BY RANGE (a);
CREATE TABLE e (id text PRIMARY KEY WITH (kyro_rmi)) PARTITION BY RANGE (id);
CREATE TABLE e (id int PRIMARY KEY WITH (kyro_rmi)) PARTITION BY RANGE ((id + 1));
ALTER TABLE q ADD COLUMN n int UNIQUE WITH (kyro_rmi);
CREATE UNIQUE INDEX ON q USING kyro_rmi (w);
CREATE UNIQUE INDEX ON q USING kyro_rmi ((id + 1));
CREATE UNIQUE INDEX CONCURRENTLY ON q USING kyro_rmi (id);
ALTER INDEX p_pkey RESET (kyro_rmi);
\set VERBOSITY sqlstate
ALTER TABLE p ALTER COLUMN id TYPE int;
\set VERBOSITY default
ALTER TABLE p1 DROP CONSTRAINT p1_pkey;
DROP INDEX p1_pkey;
SELECT kyro.adopt_index('p_pkey');
CREATE TABLE e (id int PRIMARY KEY, v int);
ALTER TABLE g ATTACH PARTITION e FOR VALUES FROM (200) TO (300);
CREATE TABLE e4 (LIKE g);
ALTER TABLE e4 ADD PRIMARY KEY (id, t);	-- no exchange would help
ALTER TABLE g ATTACH PARTITION e4 FOR VALUES FROM (200) TO (300);
DROP TABLE e4;
CREATE TABLE e2 (id int PRIMARY KEY WITH (kyro_rmi), v int);
ALTER TABLE b ATTACH PARTITION e2 FOR VALUES FROM (200) TO (300);
ALTER TABLE q ATTACH PARTITION nothing FOR VALUES FROM (200) TO (300);
CREATE TABLE q4 (id int NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE p ATTACH PARTITION q4 FOR VALUES FROM (5000) TO (6000);
CREATE TABLE e3 (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE e31 PARTITION OF e3 (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (10);
ALTER TABLE e3 ADD PRIMARY KEY (id) WITH (kyro_rmi);
CREATE FOREIGN DATA WRAPPER keys_partitions_far;
CREATE SERVER keys_partitions_far FOREIGN DATA WRAPPER keys_partitions_far;
CREATE FOREIGN TABLE p9 PARTITION OF p FOR VALUES FROM (900) TO (1000) SERVER keys_partitions_far;
CREATE TABLE f (id bigint NOT NULL) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE f1 PARTITION OF f FOR VALUES FROM (900) TO (1000) SERVER keys_partitions_far;
ALTER TABLE f ADD PRIMARY KEY (id) WITH (kyro_rmi);
CREATE UNIQUE INDEX ON f USING kyro_rmi (id);
SELECT count(*) FROM indexes WHERE index ~ '^f';
SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER keys_partitions_far CASCADE;
-- tables of others
CREATE ROLE regress_keys_partitions;
GRANT USAGE, CREATE ON SCHEMA keys_partitions TO regress_keys_partitions;
SET ROLE regress_keys_partitions;
CREATE TABLE u1 PARTITION OF p FOR VALUES FROM (5000) TO (6000) PARTITION BY RANGE (id);
CREATE UNIQUE INDEX ON p USING kyro_rmi (id);
ALTER TABLE p ADD UNIQUE (id) WITH (kyro_rmi);
CREATE TABLE u (id bigint PRIMARY KEY WITH (kyro_rmi), v int DEFAULT 0, pad text DEFAULT 'x') PARTITION BY RANGE (id);
ALTER TABLE u ATTACH PARTITION p FOR VALUES FROM (0) TO (1000);
ALTER TABLE p ATTACH PARTITION u FOR VALUES FROM (5000) TO (6000);
CALL kyro.replace_btree('b');
-- a partition of somebody else: the owner of the tree decides
ALTER TABLE u ADD UNIQUE (id) WITH (kyro_rmi);
RESET ROLE;
CREATE TABLE u2 PARTITION OF u FOR VALUES FROM (0) TO (10);
SET ROLE regress_keys_partitions;
ALTER TABLE u DROP CONSTRAINT u_id_key;
ALTER TABLE u ADD UNIQUE (id) WITH (kyro_rmi);
CALL kyro.restore_btree('u');
RESET ROLE;
DROP OWNED BY regress_keys_partitions CASCADE;
DROP ROLE regress_keys_partitions;
RESET client_min_messages;

-- ---- exchanged, the whole tree at once, and back
CREATE TABLE before AS SELECT * FROM indexes;
SET client_min_messages = warning;	-- sizes are told
CREATE TABLE x (id bigint PRIMARY KEY, u int, t text) PARTITION BY RANGE (id);
CREATE TABLE x1 PARTITION OF x FOR VALUES FROM (0) TO (1000);
CREATE TABLE x2 PARTITION OF x FOR VALUES FROM (1000) TO (2000) PARTITION BY RANGE (id);
CREATE TABLE x_with_a_name_so_long_that_the_names_of_its_indexes_are_cut_1 PARTITION OF x2 FOR VALUES FROM (1000) TO (1500);
CREATE TABLE x_with_a_name_so_long_that_the_names_of_its_indexes_are_cut_2 PARTITION OF x2 FOR VALUES FROM (1500) TO (2000);
CREATE INDEX ON x (u);
CREATE INDEX ON x (t);
CREATE UNIQUE INDEX x1_u ON x1 (u);
CREATE TABLE xr (x bigint REFERENCES x ON DELETE CASCADE);
INSERT INTO x SELECT g, g, g FROM generate_series(0, 1999) g;
INSERT INTO xr SELECT g FROM generate_series(0, 1999, 100) g;
CREATE TABLE x_before AS SELECT * FROM indexes WHERE index ~ '^x';
-- some of it, and what a stopped one has left
CALL kyro.replace_btree('x1_pkey');
RESET client_min_messages;
CALL kyro.replace_btree('x2');
SET client_min_messages = warning;
CREATE UNIQUE INDEX x1_pkey_exchange ON x1 USING kyro_rmi (id);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'x1_pkey_exchange'::regclass;
CALL kyro.replace_btree('x_pkey');
SELECT index, method, shows, options, roles, attached_to FROM indexes WHERE index ~ '^x';
RESET client_min_messages;
CALL kyro.replace_btree('x_t_idx');
CALL kyro.replace_btree('x_pkey');
SET client_min_messages = warning;
CALL kyro.replace_btree('x');
RESET client_min_messages;
CALL kyro.replace_btree('x');
SELECT index, method FROM indexes WHERE index ~ '^x';
SELECT * FROM problems;
INSERT INTO x VALUES (5), (1005), (1505), (1999) ON CONFLICT (id) DO UPDATE SET t = 'conflict' RETURNING id, t;
INSERT INTO xr VALUES (-1);
DELETE FROM x WHERE id = 1700;
SELECT count(*) FROM xr;
SET client_min_messages = warning;
CALL kyro.restore_btree('x');
(TABLE x_before EXCEPT ALL SELECT * FROM indexes WHERE index ~ '^x') UNION ALL (SELECT * FROM indexes WHERE index ~ '^x' EXCEPT ALL TABLE x_before);
-- two trees of indexes swapped
CREATE UNIQUE INDEX x_new ON x USING kyro_rmi (id);
SELECT kyro.swap_index('x_pkey', 'x_new');
SELECT * FROM indexes WHERE index ~ 'x_new|^x.*pkey|x1_id_idx';
SELECT * FROM problems;
INSERT INTO x VALUES (7), (1007) ON CONFLICT ON CONSTRAINT x_pkey DO UPDATE SET t = 'swapped' RETURNING id, t;
SELECT kyro.swap_index('x_new', 'x_pkey');
SELECT kyro.swap_index('x_pkey', 'x1_id_idx');
SELECT kyro.swap_index('x2_pkey', 'x2_id_idx');
SELECT kyro.swap_index('x1_pkey', 'x1_id_idx');
DROP INDEX x_new;
-- an index of a partition for another one of the same method
CREATE UNIQUE INDEX x1_new ON x1 (id);
SELECT kyro.swap_index('x1_pkey', 'x1_new');
DROP INDEX x1_new;
CREATE UNIQUE INDEX x1_new ON x1 USING kyro_rmi (id);
SELECT kyro.swap_index('x1_pkey', 'x1_new');
SELECT * FROM indexes WHERE index ~ 'x1_(new|pkey)';
DROP INDEX x1_new;
-- all keys are btrees again
CALL kyro.replace_btree('x');
SELECT object, kind FROM kyro.leave(true) WHERE object ~ 'keys_partitions\.(x|p_)';
BEGIN;
SELECT count(*) > 0 FROM kyro.leave(false);
SELECT index, method FROM indexes WHERE method = 'kyro_rmi';
INSERT INTO xr VALUES (-1);
ROLLBACK;
-- a tree that is not of one piece is found
UPDATE pg_class SET relam = (SELECT oid FROM pg_am WHERE amname = 'btree') WHERE oid = 'x2_pkey'::regclass;
SELECT * FROM kyro.verify('x_pkey') WHERE problem LIKE '%attached%' ORDER BY problem;
UPDATE pg_class SET relam = (SELECT oid FROM pg_am WHERE amname = 'kyro_rmi') WHERE oid = 'x2_pkey'::regclass;
UPDATE pg_class SET reloptions = NULL WHERE oid = 'x2_pkey'::regclass;
SELECT * FROM kyro.verify('x_pkey');
DROP SCHEMA keys_partitions CASCADE;
