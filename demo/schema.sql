-- Tables of the demonstration, and the functions that measure.

CREATE EXTENSION kyrodb;

CREATE TABLE files (inode bigint, mtime timestamptz, size bigint, path text);
CREATE TABLE events (id bigint, ts timestamptz, device int, value real);

CREATE SCHEMA demo;

CREATE TABLE demo.builds (
	tab text,
	col text,
	am text,
	index regclass,
	seconds numeric);

-- A btree and a kyro_rmi index on one column, with the time each took.
CREATE FUNCTION demo.build(tab text, col text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	am text;
	name text;
	started timestamptz;
	seconds numeric;
	result text := format('%s.%s:', tab, col);
BEGIN
	FOREACH am IN ARRAY ARRAY['btree', 'kyro_rmi'] LOOP
		name := format('%s_%s_%s', tab, col, replace(am, 'kyro_rmi', 'kyro'));
		started := clock_timestamp();
		EXECUTE format('CREATE INDEX %I ON %I USING %I (%I)', name, tab, am, col);
		seconds := round(extract(epoch FROM clock_timestamp() - started)::numeric, 2);
		INSERT INTO demo.builds VALUES (tab, col, am, name::regclass, seconds);
		result := format('%s %s %s s', result, am, seconds);
	END LOOP;
	RETURN result;
END $$;

CREATE VIEW demo.sizes AS
	SELECT b.tab || '.' || b.col AS column,
		   c.reltuples::bigint AS rows,
		   pg_size_pretty(b.size) AS btree,
		   pg_size_pretty(k.size) AS kyro_rmi,
		   round(b.size / c.reltuples::numeric, 2) AS btree_bytes_per_row,
		   round(k.size / c.reltuples::numeric, 2) AS kyro_bytes_per_row,
		   round(b.size / k.size::numeric, 1) || 'x' AS smaller,
		   b.seconds AS btree_build_s,
		   k.seconds AS kyro_build_s
	FROM (SELECT *, pg_relation_size(index) AS size FROM demo.builds WHERE am = 'btree') b
	JOIN (SELECT *, pg_relation_size(index) AS size FROM demo.builds WHERE am = 'kyro_rmi') k USING (tab, col)
	JOIN pg_class c ON c.oid = b.tab::regclass
	ORDER BY 1;

-- Run a query as it would run if an index did not exist; its time in ms.
CREATE FUNCTION demo.without(hidden text, query text) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	BEGIN
		IF hidden <> '' THEN
			EXECUTE format('DROP INDEX %s', hidden);
		END IF;
		EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || query INTO plan;
		RAISE EXCEPTION USING errcode = 'KY001';
	EXCEPTION WHEN SQLSTATE 'KY001' THEN
		-- the index is back, the variable keeps its value
	END;
	RETURN (plan->0->>'Execution Time')::float8;
END $$;
