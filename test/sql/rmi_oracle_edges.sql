--
-- The oracle again, on the awkward tables: few keys, one key, the ends of the
-- range, nothing at all, NULLs only, and expressions and parts of tables.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA edges;
SET search_path = edges, public;

CREATE TABLE edges (name text, content text);
INSERT INTO edges VALUES
	('empty', 'SELECT 0, 0 WHERE false'),
	('single', 'SELECT 1, 42'),
	('equal', 'SELECT g, 7 FROM generate_series(1, 12000) g'),
	('repeated', 'SELECT g, CASE WHEN g BETWEEN 2000 AND 14000 THEN 4242 ELSE g END FROM generate_series(1, 16000) g'),
	('two', 'SELECT g, (g % 2) * 1000000000000 FROM generate_series(1, 9000) g'),
	('limits', 'SELECT g, CASE g % 3 WHEN 0 THEN -9223372036854775808 WHEN 1 THEN 9223372036854775807 ELSE g END
		FROM generate_series(1, 9000) g'),
	('minimum', 'SELECT g, ''-9223372036854775808''::bigint FROM generate_series(1, 6000) g'),
	('maximum', 'SELECT g, 9223372036854775807 FROM generate_series(1, 6000) g'),
	('alternating', 'SELECT g, CASE WHEN g % 2 = 0 THEN g ELSE 9223372036854775807 - g END FROM generate_series(1, 9000) g'),
	('descending', 'SELECT g, -g FROM generate_series(1, 9000) g'),
	('nulls', 'SELECT g, NULL::bigint FROM generate_series(1, 9000) g'),
	('mostly_null', 'SELECT g, CASE WHEN g % 50 = 0 THEN g END FROM generate_series(1, 12000) g');

-- built from the rows
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM edges LOOP
		EXECUTE format('CREATE TABLE %I (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off)', t.name);
		EXECUTE format('INSERT INTO %I SELECT i, k, ''x'' FROM (%s) s(i, k)', t.name, t.content);
		EXECUTE format('CREATE INDEX ON %I (id)', t.name);
		EXECUTE format('CREATE INDEX %I ON %I USING kyro_rmi (k)', t.name || '_k', t.name);
	END LOOP;
END $$;
SELECT 'VACUUM ' || string_agg(name, ', ') FROM edges \gexec
CREATE FUNCTION compare_all(phase int) RETURNS SETOF text
LANGUAGE sql AS $$
	SELECT oracle_compare(name, oracle_conds(name), 2, phase + rn::int, 4)
	FROM (SELECT *, row_number() OVER (ORDER BY name) AS rn FROM edges) t
$$;
SELECT * FROM compare_all(1);

-- more of the same, row by row
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM edges LOOP
		EXECUTE format('INSERT INTO %I SELECT i + 100000, k, ''y'' FROM (%s) s(i, k) WHERE i %% 3 <> 0', t.name, t.content);
		EXECUTE format('UPDATE %I SET id = id + 1000000 WHERE id %% 5 = 0', t.name);
	END LOOP;
END $$;
SELECT * FROM compare_all(2);

-- all gone but a few
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM edges LOOP
		EXECUTE format('DELETE FROM %I WHERE id %% 97 <> 3', t.name);
	END LOOP;
END $$;
SELECT 'VACUUM ' || string_agg(name, ', ') FROM edges \gexec
SELECT * FROM compare_all(3);

-- all gone
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM edges LOOP
		EXECUTE format('DELETE FROM %I', t.name);
	END LOOP;
END $$;
SELECT 'VACUUM ' || string_agg(name, ', ') FROM edges \gexec
SELECT * FROM compare_all(4);

-- filled again through the index, some of it twice, and rebuilt
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM edges LOOP
		EXECUTE format('INSERT INTO %I SELECT i, k, ''z'' FROM (%s) s(i, k) ORDER BY rnd(i, 1)', t.name, t.content);
		EXECUTE format('INSERT INTO %I SELECT i + 50000, k, ''z'' FROM (%s) s(i, k) WHERE i %% 2 = 0', t.name, t.content);
	END LOOP;
END $$;
SELECT * FROM compare_all(5);
SELECT count(*) FROM edges, kyro.rebuild((name || '_k')::regclass);
SELECT * FROM compare_all(6);
REINDEX SCHEMA edges;
SELECT * FROM compare_all(7);

-- an index created on the empty table, filled afterwards, at random and at the right edge
CREATE TABLE late (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
CREATE INDEX late_k ON late USING kyro_rmi (k);
INSERT INTO late SELECT g, (g * 7919) % 20011 FROM generate_series(1, 20000) g;
SELECT oracle_compare('late', oracle_conds('late'), 2, 1, 2);
INSERT INTO late SELECT g, g FROM generate_series(30000, 50000) g;
SELECT oracle_compare('late', oracle_conds('late'), 2, 1, 2);

-- a few hot keys updated over and over: versions of one key across pages
CREATE TABLE hot (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO hot SELECT g, g * 1000 FROM generate_series(1, 50) g;
CREATE INDEX ON hot (id);
CREATE INDEX hot_k ON hot USING kyro_rmi (k);
DO $$
BEGIN
	FOR i IN 1 .. 150 LOOP
		UPDATE hot SET id = id + 1;
	END LOOP;
END $$;
SELECT oracle_compare('hot', oracle_conds('hot'), 2, 1, 2);
VACUUM hot;
SELECT oracle_compare('hot', oracle_conds('hot'), 2, 1, 2);

-- rows of an aborted transaction are in the index and in no answer
BEGIN;
INSERT INTO hot SELECT g, g FROM generate_series(1, 5000) g;
SAVEPOINT s;
INSERT INTO hot SELECT g, 60000 - g FROM generate_series(1, 5000) g;
SELECT oracle_compare('hot', oracle_conds('hot'), 4, 1, 3);
ROLLBACK TO s;
SELECT oracle_compare('hot', oracle_conds('hot'), 4, 2, 3);
ROLLBACK;
SELECT oracle_compare('hot', oracle_conds('hot'), 4, 0, 3);
SELECT current_setting('oracle.checks') AS checks_done;
