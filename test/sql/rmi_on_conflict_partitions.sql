--
-- INSERT ... ON CONFLICT through partitioned tables whose partitions have unique
-- kyro_rmi indexes: the same as with btrees, in every form.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
LOAD 'kyrodb';
CREATE SCHEMA on_conflict_partitions;
SET search_path = on_conflict_partitions, public;

-- a tree of two levels, columns in other places, a default partition; b has btrees, k ours below
CREATE FUNCTION make_tree(t text, method text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %1$s (a int NOT NULL, n int DEFAULT 1, pad text DEFAULT ''x'', m int) PARTITION BY RANGE (a)', t);
	EXECUTE format('CREATE TABLE %1$s_1 PARTITION OF %1$s FOR VALUES FROM (0) TO (100)', t);
	EXECUTE format('CREATE TABLE %1$s_2 (m int, gone int, pad text DEFAULT ''x'', gone2 text, n int DEFAULT 1, a int NOT NULL)', t);
	EXECUTE format('ALTER TABLE %1$s_2 DROP COLUMN gone, DROP COLUMN gone2', t);
	EXECUTE format('ALTER TABLE %1$s ATTACH PARTITION %1$s_2 FOR VALUES FROM (100) TO (200)', t);
	EXECUTE format('CREATE TABLE %1$s_3 (n int DEFAULT 1, a int NOT NULL, m int, pad text DEFAULT ''x'') PARTITION BY LIST (a)', t);
	EXECUTE format('ALTER TABLE %1$s ATTACH PARTITION %1$s_3 FOR VALUES FROM (200) TO (300)', t);
	EXECUTE format('CREATE TABLE %1$s_31 PARTITION OF %1$s_3 FOR VALUES IN (200, 201, 202)', t);
	EXECUTE format('CREATE TABLE %1$s_32 (LIKE %1$s_2 INCLUDING ALL)', t);
	EXECUTE format('ALTER TABLE %1$s_3 ATTACH PARTITION %1$s_32 DEFAULT', t);
	EXECUTE format('CREATE TABLE %1$s_4 PARTITION OF %1$s DEFAULT PARTITION BY HASH (a)', t);
	EXECUTE format('CREATE TABLE %1$s_41 PARTITION OF %1$s_4 FOR VALUES WITH (MODULUS 2, REMAINDER 0)', t);
	EXECUTE format('CREATE TABLE %1$s_42 PARTITION OF %1$s_4 FOR VALUES WITH (MODULUS 2, REMAINDER 1)', t);
	-- arbiters of the whole tree, which are btrees, and one of each partition
	EXECUTE format('CREATE UNIQUE INDEX ON %s (a)', t);
	EXECUTE format('CREATE UNIQUE INDEX ON %1$s_1 USING %2$s (m); CREATE UNIQUE INDEX ON %1$s_2 USING %2$s (m)', t, method);
	EXECUTE format('CREATE UNIQUE INDEX ON %1$s_31 USING %2$s (m); CREATE UNIQUE INDEX ON %1$s_32 USING %2$s (a)', t, method);
	EXECUTE format('CREATE UNIQUE INDEX ON %1$s_41 USING %2$s (a) WHERE n > 5; CREATE UNIQUE INDEX ON %1$s_42 USING %2$s (((a + 1)))', t, method);
	EXECUTE format('INSERT INTO %s SELECT g, 1, ''old'', g FROM generate_series(0, 400, 2) g', t);
END $$;
SELECT make_tree('b', 'btree'), make_tree('k', 'kyro_rmi');

-- the same command on both: what it returns, or how it fails, and what is there afterwards
CREATE FUNCTION outcome(t text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('WITH c AS (%s RETURNING *) SELECT string_agg(c::text, '' '' ORDER BY c.a) FROM c', replace(command, 'TREE', t)) INTO result;
	RETURN coalesce(result, 'nothing');
EXCEPTION WHEN OTHERS THEN
	RETURN regexp_replace(SQLERRM, '\m(v?)' || t || '(_|\M)', '\1TREE\2', 'g');
END $$;
CREATE FUNCTION twins(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := outcome('b', command);
	ours text := outcome('k', command);
BEGIN
	IF ours IS DISTINCT FROM result OR EXISTS (TABLE b EXCEPT ALL TABLE k) OR EXISTS (TABLE k EXCEPT ALL TABLE b) THEN
		RETURN format('DIFFERENT: %s / %s', result, ours);
	END IF;
	RETURN result;
END $$;
SELECT twins(c) FROM unnest(ARRAY[
	'INSERT INTO TREE VALUES (10), (11), (110), (111), (200), (201), (210), (211), (310), (311) ON CONFLICT DO NOTHING',
	'INSERT INTO TREE VALUES (12), (13), (112), (113), (202), (212), (213), (312), (313) ON CONFLICT (a) DO NOTHING',
	'INSERT INTO TREE AS t VALUES (14, 5, ''new''), (114, 6, ''new''), (200, 7, ''new''), (214, 8, ''new''), (314, 9, ''new'') ON CONFLICT (a) DO UPDATE SET n = t.n + excluded.n, pad = t.pad || excluded.pad',
	'INSERT INTO TREE AS t (n, a) SELECT 10, g FROM generate_series(90, 120) g ON CONFLICT (a) DO UPDATE SET n = t.n + excluded.n WHERE t.a % 4 = 0 AND excluded.n = 10',
	'INSERT INTO TREE AS t VALUES (114), (214) ON CONFLICT (a) DO UPDATE SET (pad, n) = (SELECT t.pad || excluded.a || (t).m, (excluded).n + 100)',
	'INSERT INTO TREE AS t VALUES (114), (214) ON CONFLICT (a) DO UPDATE SET pad = t::text || excluded::text',
	'INSERT INTO TREE AS t VALUES (116), (216) ON CONFLICT (a) DO UPDATE SET pad = DEFAULT, n = DEFAULT',
	-- conflicts with another index than the one named, in partitions that have one
	'INSERT INTO TREE VALUES (15, 1, ''m'', 16) ON CONFLICT (a) DO NOTHING',
	'INSERT INTO TREE VALUES (15, 1, ''m'', 16) ON CONFLICT DO NOTHING',
	'INSERT INTO TREE VALUES (115, 1, ''m'', 118) ON CONFLICT (a) DO UPDATE SET n = 0',
	'INSERT INTO TREE VALUES (118, 1, ''m'', 116) ON CONFLICT (a) DO UPDATE SET m = excluded.m',
	-- the same row twice, the key moved, to another partition, nowhere
	'INSERT INTO TREE VALUES (17), (17) ON CONFLICT DO NOTHING',
	'INSERT INTO TREE VALUES (119), (119) ON CONFLICT (a) DO UPDATE SET n = 2',
	'INSERT INTO TREE VALUES (120) ON CONFLICT (a) DO UPDATE SET a = 121, m = 4711',
	'INSERT INTO TREE VALUES (122) ON CONFLICT (a) DO UPDATE SET a = 124',
	'INSERT INTO TREE VALUES (122) ON CONFLICT (a) DO UPDATE SET a = 1',
	'INSERT INTO TREE VALUES (NULL) ON CONFLICT DO NOTHING',
	'INSERT INTO TREE SELECT 10 / (g - 2) FROM generate_series(1, 3) g ON CONFLICT DO NOTHING',
	-- below the top
	'INSERT INTO TREE_3 (a, n) VALUES (200, 1000), (230, 1000) ON CONFLICT (a) DO UPDATE SET n = excluded.n',
	'INSERT INTO TREE_3 (a, n) VALUES (1, 1000) ON CONFLICT (a) DO NOTHING',
	'INSERT INTO TREE_32 (a, n) VALUES (230, 1001) ON CONFLICT (a) DO UPDATE SET n = excluded.n',
	'INSERT INTO TREE VALUES (1) ON CONFLICT (n) DO NOTHING'
]) c;
-- prepared, with plans of both kinds; many partitions to and fro
PREPARE b1(int, int) AS INSERT INTO b VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET n = b.n + excluded.n RETURNING a, n;
PREPARE k1(int, int) AS INSERT INTO k VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET n = k.n + excluded.n RETURNING a, n;
EXECUTE b1(40, 1);
EXECUTE k1(40, 1);
SET plan_cache_mode = force_generic_plan;
EXECUTE b1(140, 1);
EXECUTE k1(140, 1);
EXECUTE b1(240, 1);
EXECUTE k1(240, 1);
RESET plan_cache_mode;
SELECT twins('INSERT INTO TREE AS t SELECT (g * 37) % 400, g FROM generate_series(1, 399) g ON CONFLICT (a) DO UPDATE SET n = t.n + excluded.n') LIKE 'DIFFERENT%' AS different;
\getenv srcdir PG_ABS_SRCDIR
\set explained :srcdir '/lib/explained.psql'
\set ECHO none
\i :explained
\set ECHO all
SELECT explained('INSERT INTO k SELECT g FROM generate_series(90, 120) g ON CONFLICT (a) DO UPDATE SET n = 0');
INSERT INTO b SELECT g FROM generate_series(90, 120) g ON CONFLICT (a) DO UPDATE SET n = 0;

-- commands in commands: in WITH, in a function that the rows come from, in a trigger of a partition
CREATE FUNCTION upsert(t text, a int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I AS t VALUES ($1) ON CONFLICT (a) DO UPDATE SET n = t.n + 1', t) USING a;
	RETURN a + 1;
END $$;
SELECT twins('INSERT INTO TREE AS t SELECT upsert(''TREE'', g) FROM generate_series(95, 205) g ON CONFLICT (a) DO UPDATE SET n = -t.n') LIKE 'DIFFERENT%' AS different;
WITH i AS (INSERT INTO k VALUES (150), (250), (350) ON CONFLICT (a) DO UPDATE SET n = 5 RETURNING a),
	j AS (INSERT INTO k SELECT a + 1 FROM i ON CONFLICT DO NOTHING RETURNING a)
SELECT i.a, j.a FROM i FULL JOIN j ON i.a + 1 = j.a ORDER BY 1, 2;
WITH i AS (INSERT INTO b VALUES (150), (250), (350) ON CONFLICT (a) DO UPDATE SET n = 5 RETURNING a),
	j AS (INSERT INTO b SELECT a + 1 FROM i ON CONFLICT DO NOTHING RETURNING a)
SELECT i.a, j.a FROM i FULL JOIN j ON i.a + 1 = j.a ORDER BY 1, 2;
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.a < 400 THEN
		PERFORM upsert(left(TG_TABLE_NAME, 1), NEW.a + 100);
	END IF;
	NEW.pad := coalesce(NEW.pad, '') || TG_OP;
	RETURN NEW;
END $$;
CREATE TRIGGER echo BEFORE INSERT OR UPDATE ON b FOR EACH ROW EXECUTE FUNCTION echo();
CREATE TRIGGER echo BEFORE INSERT OR UPDATE ON k FOR EACH ROW EXECUTE FUNCTION echo();
SELECT twins('INSERT INTO TREE AS t VALUES (20), (21), (150), (151) ON CONFLICT (a) DO UPDATE SET n = t.n * 2');
DROP TRIGGER echo ON b;
DROP TRIGGER echo ON k;
-- errors inside, caught or not, leave nothing behind
CREATE FUNCTION caught(t text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	n int := 0;
BEGIN
	FOR i IN 1..5 LOOP
		BEGIN
			EXECUTE format('INSERT INTO %I AS t SELECT 98 + 2 * g FROM generate_series(0, 4) g ON CONFLICT (a) DO UPDATE SET n = 10 / (excluded.a - 104)', t);
		EXCEPTION WHEN division_by_zero THEN
			n := n + 1;
		END;
	END LOOP;
	PERFORM upsert(t, 102);
	RETURN n;
END $$;
SELECT caught('b'), caught('k');
SELECT twins('INSERT INTO TREE VALUES (102) ON CONFLICT DO NOTHING');

-- views, row security, permissions, generated columns
ALTER TABLE b ADD COLUMN g int GENERATED ALWAYS AS (n * 2) STORED;
ALTER TABLE k ADD COLUMN g int GENERATED ALWAYS AS (n * 2) STORED;
SELECT twins('INSERT INTO TREE VALUES (30), (130), (230), (330) ON CONFLICT (a) DO UPDATE SET n = excluded.g');
CREATE VIEW vb AS SELECT * FROM b WHERE n < 1000 WITH CHECK OPTION;
CREATE VIEW vk AS SELECT * FROM k WHERE n < 1000 WITH CHECK OPTION;
SELECT twins('INSERT INTO vTREE VALUES (32), (132), (133) ON CONFLICT (a) DO UPDATE SET n = 999');
SELECT twins('INSERT INTO vTREE VALUES (32), (132) ON CONFLICT (a) DO UPDATE SET n = 1000');
CREATE ROLE on_conflict_partitions_user;
GRANT USAGE ON SCHEMA on_conflict_partitions TO on_conflict_partitions_user;
GRANT SELECT, INSERT (a, n), UPDATE (n) ON b, k TO on_conflict_partitions_user;
ALTER TABLE b ENABLE ROW LEVEL SECURITY;
ALTER TABLE k ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON b USING (n < 2000) WITH CHECK (n < 500);
CREATE POLICY p ON k USING (n < 2000) WITH CHECK (n < 500);
SET ROLE on_conflict_partitions_user;
SELECT twins(c) FROM unnest(ARRAY[
	'INSERT INTO TREE (a, n) VALUES (34, 3), (134, 3), (135, 3) ON CONFLICT (a) DO UPDATE SET n = excluded.n + 1',
	'INSERT INTO TREE (a, n) VALUES (134, 3) ON CONFLICT (a) DO UPDATE SET n = 700',
	'INSERT INTO TREE (a, n) VALUES (134, 3) ON CONFLICT (a) DO UPDATE SET pad = ''x'''
]) c;
RESET ROLE;
DROP VIEW vb, vk;
DROP OWNED BY on_conflict_partitions_user;
DROP ROLE on_conflict_partitions_user;

-- uniqueness by partition where the tree has none: no key to name, but any conflict can be passed over
CREATE TABLE logs (id bigint, day date) PARTITION BY RANGE (day);
CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE UNIQUE INDEX ON logs_1 USING kyro_rmi (id);
CREATE UNIQUE INDEX ON logs_2 USING kyro_rmi (id);
INSERT INTO logs VALUES (1, '2026-01-05'), (1, '2026-02-05'), (1, '2026-01-06') ON CONFLICT DO NOTHING RETURNING *;
INSERT INTO logs VALUES (1, '2026-01-05') ON CONFLICT (id) DO NOTHING;
-- which DO UPDATE needs an identity for publications, as a partition's own does
CREATE PUBLICATION on_conflict_partitions FOR TABLE k;
SELECT outcome('k', 'INSERT INTO TREE (a) VALUES (34), (134) ON CONFLICT (a) DO UPDATE SET n = 1');
SELECT outcome('k', 'INSERT INTO TREE (a) VALUES (34), (134) ON CONFLICT (a) DO NOTHING');
DROP PUBLICATION on_conflict_partitions;
SELECT c.oid::regclass, v.* FROM pg_class c, LATERAL kyro.verify(c.oid, deep => true) v
WHERE relnamespace = 'on_conflict_partitions'::regnamespace AND relam = (SELECT oid FROM pg_am WHERE amname = 'kyro_rmi');
DROP SCHEMA on_conflict_partitions CASCADE;
