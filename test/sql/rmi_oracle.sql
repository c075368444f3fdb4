--
-- Twelve shapes of keys, each with the heap in key order and in random order:
-- after every kind of change, every condition through every kind of scan must
-- give the sequential scan's rows.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA oracle;
SET search_path = oracle, public;
\pset null '(null)'

-- keys of a shape: n of them, in order of i, usually ascending
CREATE FUNCTION keys(shape text, n int) RETURNS TABLE (i bigint, k bigint)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT g, k::bigint FROM (SELECT g, %s) s',
		replace(CASE shape
			WHEN 'dense' THEN 'g'
			WHEN 'holes' THEN 'sum((rnd(g, 1) & 255 >= 215)::int + 1) OVER (ORDER BY g)'
			WHEN 'uniform' THEN 'rnd(g, 2) & 9223372036854775807'
			-- microseconds since 2000, diurnal Poisson, with pauses
			WHEN 'timestamps' THEN '779000000000000 + sum(round(-ln(1 - rnd01(g, 3)) * 5000 / (1 + 0.8 * sin(g / 900.0))
				+ CASE WHEN rnd01(g, 4) < 0.02 THEN -ln(1 - rnd01(g, 5)) * 200000 ELSE 0 END)) OVER (ORDER BY g)'
			-- whole seconds, more than one row per key, with bursts
			WHEN 'seconds' THEN '1700000000 + floor(sum(-ln(1 - rnd01(g, 6)) * (1 + 0.8 * sin(g / 700.0))
				* CASE WHEN (g / 64) % 50 = 7 THEN 0.02 ELSE 0.9 END) OVER (ORDER BY g))'
			WHEN 'snowflake' THEN '((1300000000000 + floor(sum(-ln(1 - rnd01(g, 7)) * 3) OVER (ORDER BY g)))::bigint << 22)
				| ((rnd(g, 8) & 31) << 12) | (rnd(g, 9) & 3)'
			-- heavy-tailed gaps over the whole range of bigint
			WHEN 'books' THEN 'round(-9.2e18::numeric + 1.8e19 * (sum(gap) OVER (ORDER BY g) / sum(gap) OVER ())::numeric) AS k
				FROM (SELECT g, 0.35 * power(1 - (g - 1) / ($n + 1.0), -0.65) * exp(rndn(g, 10) * 1.4) AS gap
					  FROM generate_series(1, $n::bigint) g) gaps'
			-- long runs of tight gaps, and five outliers at k * 2^64 / 9
			WHEN 'fb' THEN 'CASE WHEN g > $n - 5 THEN (g - $n + 9)::numeric * 2049638230412172401 - 9223372036854775808
				ELSE round(-9223372036000000000 + (sum(386 * exp(rndn(g, 11) * 2) * exp(rndn(g / 100, 12) * 1.5))
				OVER (ORDER BY g))::numeric) END'
			-- clusters, half of them on a grid
			WHEN 'osm' THEN '(rnd(floor(power(40, rnd01(g, 13)))::bigint, 14) & ~1048575) +
				CASE WHEN g % 2 = 0 THEN (rnd(g, 15) & 1023) << 10 ELSE (rndn(g, 16) * 50000)::bigint END'
			-- dense in the middle, sparse at both ends
			WHEN 'normal' THEN '(rndn(g, 17) * 1e17)::bigint'
			-- nanoseconds: more than a 53-bit mantissa
			WHEN 'nanos' THEN '1700000000000000000 + g * 977 + (rnd(g, 18) & 511)'
			-- both signs, ever larger steps
			WHEN 'powers' THEN 'CASE WHEN g % 2 = 0 THEN 1 ELSE -1 END * floor(exp(g * 43.0 / $n))::bigint'
		END || CASE shape WHEN 'books' THEN '' ELSE ' AS k FROM generate_series(1, $n::bigint) g' END, '$n', n::text));
END $$;
\set VERBOSITY terse

CREATE TABLE shapes (shape text, n int);
INSERT INTO shapes VALUES
	('dense', 24000), ('holes', 14000), ('uniform', 3000), ('timestamps', 5000), ('seconds', 8000),
	('snowflake', 5000), ('books', 3000), ('fb', 4000), ('osm', 4000), ('normal', 3000),
	('nanos', 5000), ('powers', 4000);
CREATE VIEW tables AS
	SELECT shape, shape || '_' || o AS tbl, n, o FROM shapes, (VALUES ('key'), ('random')) v(o)
	ORDER BY shape, o;

DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM tables LOOP
		EXECUTE format('CREATE TABLE %I (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off)', t.tbl);
		EXECUTE format('INSERT INTO %I SELECT i, CASE WHEN i %% 101 = 0 THEN NULL ELSE k END, ''x'' FROM keys(%L, %s) ORDER BY %s',
					   t.tbl, t.shape, t.n, CASE t.o WHEN 'key' THEN 'k' ELSE 'rnd(i, 99)' END);
		EXECUTE format('CREATE INDEX ON %I (id)', t.tbl);
		EXECUTE format('CREATE INDEX %I ON %I USING kyro_rmi (k)', t.tbl || '_k', t.tbl);
	END LOOP;
END $$;
SELECT count(*) AS tables, min(pg_relation_size((tbl || '_k')::regclass) / 8192) > 4 AS several_pages FROM tables;

-- Every table meets a quarter of the conditions, another one in each phase.
CREATE FUNCTION compare_all(phase int) RETURNS SETOF text
LANGUAGE sql AS $$
	SELECT oracle_compare(tbl, oracle_conds(tbl), 2, phase + rn::int, 4)
	FROM (SELECT *, row_number() OVER (ORDER BY tbl) AS rn FROM tables) t
$$;

-- after the build
SELECT * FROM compare_all(1);

-- with all rows visible to all: index-only scans without the heap
SELECT 'VACUUM ' || string_agg(tbl, ', ') FROM tables \gexec
SELECT * FROM compare_all(2);

-- inserts everywhere: keys between the old ones, repeated keys, beyond both ends
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM tables LOOP
		EXECUTE format('INSERT INTO %1$I SELECT id + 1000000, k + (rnd(id, 20) & 3), ''new'' FROM %1$I WHERE id %% 13 = 0 ORDER BY %2$s',
					   t.tbl, CASE t.o WHEN 'key' THEN 'id' ELSE 'rnd(id, 21)' END);
		EXECUTE format('INSERT INTO %1$I SELECT 2000000 + g, (SELECT max(k) FROM %1$I), ''max'' FROM generate_series(1, 100) g', t.tbl);
		EXECUTE format('INSERT INTO %1$I SELECT 3000000 + g, (SELECT min(k) FROM %1$I), ''min'' FROM generate_series(1, 100) g', t.tbl);
		EXECUTE format('INSERT INTO %1$I VALUES (4000000, ''-9223372036854775808''), (4000001, 9223372036854775807)', t.tbl);
		-- the rightmost ever, then below it again
		EXECUTE format('INSERT INTO %1$I SELECT 5000000 + g, 9223372036854775807 - 2 * g FROM generate_series(1, 300) g', t.tbl);
	END LOOP;
END $$;
SELECT * FROM compare_all(3);

-- updates: of the key (a new place), of another indexed column (the same key, a new tid)
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM tables LOOP
		EXECUTE format('UPDATE %I SET id = id + 10000000 WHERE id %% 31 = 5', t.tbl);
		EXECUTE format('UPDATE %I SET k = -k WHERE id %% 43 = 6 AND k > -9223372036854775808', t.tbl);
		EXECUTE format('UPDATE %I SET k = k / 2 WHERE id %% 47 = 7', t.tbl);
		EXECUTE format('UPDATE %I SET k = NULL WHERE id %% 307 = 8', t.tbl);
		EXECUTE format('UPDATE %I SET k = id WHERE k IS NULL AND id %% 2 = 0', t.tbl);
	END LOOP;
END $$;
SELECT * FROM compare_all(4);

-- deletes: one in ten at random, and a range; then half of it comes back
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM tables LOOP
		EXECUTE format('DELETE FROM %I WHERE rnd(id, 22) & 1023 < 102', t.tbl);
		EXECUTE format('DELETE FROM %I WHERE id BETWEEN %s AND %s', t.tbl, t.n / 3, t.n / 2);
	END LOOP;
END $$;
SELECT * FROM compare_all(5);
SELECT 'VACUUM ' || string_agg(tbl, ', ') FROM tables \gexec
SELECT * FROM compare_all(6);
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM tables LOOP
		EXECUTE format('INSERT INTO %I SELECT i, k, ''again'' FROM keys(%L, %s) WHERE i BETWEEN %s AND %s ORDER BY %s',
					   t.tbl, t.shape, t.n, t.n / 3, t.n * 5 / 12, CASE t.o WHEN 'key' THEN 'k' ELSE 'rnd(i, 23)' END);
	END LOOP;
END $$;
SELECT * FROM compare_all(7);

-- rebuild, and life after it
SELECT count(*) FROM tables, kyro.rebuild((tbl || '_k')::regclass) r WHERE r.leaves > 0 AND r.pages_after > 0;
SELECT * FROM compare_all(8);
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM tables LOOP
		EXECUTE format('INSERT INTO %1$I SELECT id + 6000000, k, pad FROM %1$I WHERE id %% 29 = 3 AND id < 1000000', t.tbl);
		EXECUTE format('DELETE FROM %I WHERE id %% 17 = 11', t.tbl);
	END LOOP;
END $$;
SELECT 'VACUUM ' || string_agg(tbl, ', ') FROM tables \gexec
SELECT * FROM compare_all(9);

-- and the same rows from a fresh build
REINDEX SCHEMA oracle;
SELECT * FROM compare_all(10);
SELECT current_setting('oracle.checks') AS checks_done;
