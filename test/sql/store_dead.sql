--
-- Who meets dead sealed rows pays once, as with a heap, and needs no VACUUM for
-- that; queues and the removal of old rows cost about what they cost there.
-- Counts of pages of twin tables are compared, so nothing else may hold snapshots.
--
CREATE SCHEMA store_dead;
SET search_path = store_dead;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS kyrodb;
RESET client_min_messages;
SET max_parallel_workers_per_gather = 0;

-- Run a statement by the index, or as the settings say; how many pages it asks for.
CREATE FUNCTION pages(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || statement INTO plan;
	plan := plan -> 0 -> 'Plan';
	RETURN (plan ->> 'Shared Hit Blocks')::bigint + (plan ->> 'Shared Read Blocks')::bigint
		+ (plan ->> 'Local Hit Blocks')::bigint + (plan ->> 'Local Read Blocks')::bigint;
END $$;
CREATE FUNCTION index_pages(t text) RETURNS bigint LANGUAGE sql AS $$
	SELECT pg_indexes_size(t::regclass) / current_setting('block_size')::bigint $$;
-- The same for a twin: is it at most n times as many, and m more?
CREATE FUNCTION at_most(what text, kyro bigint, heap bigint, times numeric, more bigint DEFAULT 0) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s: %s', what, CASE WHEN kyro <= times * heap + more THEN 'ok'
		ELSE format('%s pages, of a heap %s', kyro, heap) END) $$;

CREATE PROCEDURE plans(mode text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('enable_seqscan', (mode = 'seq')::text, false), set_config('enable_bitmapscan', (mode = 'bitmap')::text, false),
		set_config('enable_indexscan', (mode = 'index')::text, false), set_config('enable_indexonlyscan', (mode = 'index')::text, false);
END $$;
CREATE PROCEDURE make(t text, am text, index_am text, kind text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE %s TABLE %I (id bigint, v text) USING %s WITH (autovacuum_enabled = off)', kind, t, am);
	EXECUTE format('INSERT INTO %I SELECT g, ''row '' || g FROM generate_series(1, 30000) g', t);
	EXECUTE format('CREATE INDEX ON %I USING %s (id)', t, index_am);
	IF am = 'kyro' THEN
		EXECUTE format('SELECT FROM kyro.snapshot(%L)', t);
	END IF;
END $$;
CREATE PROCEDURE dequeue(t text, n int, INOUT total bigint DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
	first bigint;
BEGIN
	FOR i IN 1 .. n LOOP
		total := total + pages(format('SELECT id FROM %I ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED', t));
		EXECUTE format('SELECT id FROM %I ORDER BY id LIMIT 1', t) INTO first;
		total := total + pages(format('DELETE FROM %I WHERE id = %s', t, first));
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE retain(t text, below int, step int, n int, INOUT total bigint DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		total := total + pages(format('DELETE FROM %I WHERE id <= %s', t, below + step * i));
		COMMIT;
	END LOOP;
END $$;
-- psql variables: t, index_am
\getenv tests PG_ABS_SRCDIR
\set lib :tests '/lib/store_dead.psql'
\set index_am btree
\i :lib
\set index_am kyro_rmi
\i :lib
