--
-- Many keys at once: k = ANY (array).  Entries of several keys of a leaf are
-- taken together, so what matters is how many keys, and rows of each, a leaf has.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA arrays;
SET search_path = arrays, public;
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_material = off;

-- d: dense, 256 keys and more to a block; w: wide keys, few to a leaf; r: repeated keys, some of them
-- over several leaves; e: the ends of the type, and gaps; with dead slots, extras and a run
CREATE TABLE d (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO d SELECT g, g, 'd' FROM generate_series(1, 30000) g;
CREATE TABLE w (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO w SELECT g, rnd(g, 2), 'w' FROM generate_series(1, 12000) g;
CREATE TABLE r (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO r SELECT g, CASE WHEN g % 3 = 0 THEN 500 WHEN g % 3 = 1 THEN 70 * (g / 100) ELSE g % 5000 END, 'r' FROM generate_series(1, 20000) g ORDER BY rnd(g, 3);
CREATE TABLE e (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO e SELECT g, CASE WHEN g % 4 = 0 THEN -9223372036854775808 + g / 8 WHEN g % 4 = 1 THEN 9223372036854775807 - g / 8 WHEN g % 40 = 2 THEN NULL ELSE g * 3 END, 'e'
	FROM generate_series(1, 6000) g;
CREATE INDEX d_k ON d USING kyro_rmi (k);
CREATE INDEX w_k ON w USING kyro_rmi (k);
CREATE INDEX r_k ON r USING kyro_rmi (k);
CREATE INDEX e_k ON e USING kyro_rmi (k);
VACUUM ANALYZE d, w, r, e;

-- An array of n keys for a table: of rows (near one another, or anywhere), their neighbours, none's,
-- NULLs, some more than once, in no order.
CREATE FUNCTION some_keys(tbl text, n int, seed int) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	a bigint[];
	keys bigint[];
	many int;
	i int;
	k bigint;
BEGIN
	EXECUTE format('SELECT array_agg(k + 0 ORDER BY k + 0) FROM %I WHERE k IS NOT NULL', tbl) INTO keys;
	many := cardinality(keys);
	FOR g IN 1 .. n LOOP
		i := CASE WHEN seed % 3 = 0 THEN (abs(rnd(1, seed) % many) + abs(rnd(g, seed + 7)) % 300) % many ELSE abs(rnd(g, seed + 7) % many) END;
		k := keys[1 + i];
		a := a || CASE abs(rnd(g, seed + 100) % 12)
			WHEN 0 THEN NULL
			WHEN 1 THEN CASE WHEN k < 9223372036854775807 THEN k + 1 ELSE k - 1 END
			WHEN 2 THEN rnd(g, seed) WHEN 3 THEN rnd(g, seed) % 30000
			WHEN 4 THEN CASE WHEN g % 2 = 0 THEN 9223372036854775807 ELSE -9223372036854775808 END
			ELSE k END;
	END LOOP;
	RETURN a;
END $$;

-- Arrays of all sizes by every kind of scan, both ways and with a few steps back, against filters.
CREATE FUNCTION compare(tbl text, sizes int[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	n int;
	a bigint[];
	want bigint[];
	turned bigint[];
	got bigint[];
	want_ids numeric;
	ids numeric;
	mode text;
	dir text;
	x bigint;
	c refcursor;
	i int;
	tested int := 0;
BEGIN
	FOREACH n IN ARRAY sizes LOOP
		a := some_keys(tbl, n, n);
		PERFORM oracle_mode('seq');
		EXECUTE format('SELECT array_agg(k ORDER BY k), sum(hash_record_extended(row(id, k), 0)) FROM %I WHERE k IN (SELECT unnest($1))', tbl) INTO want, want_ids USING a;
		FOREACH mode IN ARRAY ARRAY['index', 'indexonly', 'bitmap'] LOOP
			PERFORM oracle_mode(mode);
			EXECUTE format('SELECT array_agg(k ORDER BY k), sum(hash_record_extended(row(%s, k), 0)) FROM %I WHERE k = ANY ($1)',
				CASE mode WHEN 'indexonly' THEN '0' ELSE 'id' END, tbl) INTO got, ids USING a;
			IF got IS DISTINCT FROM want OR mode <> 'indexonly' AND ids IS DISTINCT FROM want_ids THEN
				RETURN NEXT format('%s, %s keys: %s scan gives other rows', tbl, n, mode);
			END IF;
			tested := tested + 1;
			CONTINUE WHEN mode = 'bitmap' OR want IS NULL;

			-- in order, and turning round: a step on, sometimes some back and on again
			FOREACH dir IN ARRAY ARRAY['', 'DESC'] LOOP
				EXECUTE format('SELECT array_agg(k ORDER BY k %s) FROM unnest($1) k', dir) INTO turned USING want;
				EXECUTE format('SELECT array_agg(k) FROM (SELECT k %s FROM %I WHERE k = ANY ($1) ORDER BY k %s) s',
					CASE mode WHEN 'index' THEN ', pad' ELSE '' END, tbl, dir) INTO got USING a;
				IF got IS DISTINCT FROM turned THEN
					RETURN NEXT format('%s, %s keys: %s scan %s is not in order', tbl, n, mode, dir);
				END IF;
				OPEN c SCROLL FOR EXECUTE format('SELECT k %s FROM %I WHERE k = ANY ($1) ORDER BY k %s',
					CASE mode WHEN 'index' THEN ', pad' ELSE '' END, tbl, dir) USING a;
				i := 0;
				WHILE i < least(cardinality(turned), 1500) LOOP
					FETCH NEXT FROM c INTO x;
					i := i + 1;
					IF x IS DISTINCT FROM turned[i] THEN
						RETURN NEXT format('%s, %s keys: %s scan %s: %s at %s, not %s', tbl, n, mode, dir, x, i, turned[i]);
						EXIT;
					END IF;
					IF i % 37 = 0 THEN
						FOR j IN 1 .. 1 + i % 150 LOOP
							FETCH PRIOR FROM c INTO x;
							EXIT WHEN x IS NULL;
							IF x IS DISTINCT FROM turned[i - j] THEN
								RETURN NEXT format('%s, %s keys: %s scan %s: back, %s at %s, not %s', tbl, n, mode, dir, x, i - j, turned[i - j]);
								EXIT;
							END IF;
						END LOOP;
						MOVE ABSOLUTE i IN c;
					END IF;
				END LOOP;
				CLOSE c;
				tested := tested + 2;
			END LOOP;
		END LOOP;
	END LOOP;
	PERFORM oracle_mode_reset();
	RETURN NEXT format('%s: compared %s times', tbl, tested);
END $$;

EXPLAIN (COSTS OFF) SELECT k FROM d WHERE k = ANY (some_keys('d', 100, 1)) ORDER BY k DESC;
SELECT compare('d', ARRAY[1, 2, 3, 20, 63, 64, 65, 66, 130, 600, 3000]);
SELECT compare('w', ARRAY[1, 2, 3, 20, 64, 65, 150, 1000, 3000]);
SELECT compare('r', ARRAY[1, 2, 3, 6, 30, 64, 99]);
SELECT compare('e', ARRAY[1, 3, 30, 64, 65, 129, 900]);

-- the same when leaves have been split, entries have gone, and others are in runs
INSERT INTO w SELECT g, rnd(g, 5), 'w' FROM generate_series(12001, 24000) g;
INSERT INTO r SELECT g, 70 * (g % 300), 'r' FROM generate_series(20001, 26000) g;
UPDATE d SET k = k + 1 WHERE id % 7 = 0;
DELETE FROM d WHERE id % 5 = 0 OR k BETWEEN 9000 AND 12000;
DELETE FROM e WHERE id % 3 = 0;
SELECT compare('d', ARRAY[3, 66, 600]);
SELECT compare('w', ARRAY[3, 65, 1000]);
SELECT compare('r', ARRAY[2, 30, 99]);
SELECT compare('e', ARRAY[3, 65]);
VACUUM d, w, r, e;
INSERT INTO d SELECT g, g + 5, 'd' FROM generate_series(1, 29999, 900) g;
SELECT compare('d', ARRAY[21, 129, 601]);
SELECT compare('w', ARRAY[21, 129]);
SELECT compare('r', ARRAY[21, 65]);
SELECT compare('e', ARRAY[21, 129]);

-- each way of an early end: a LIMIT, a rescan in the midst of an array, another array each time
SET enable_bitmapscan = off;
CREATE TABLE args AS SELECT g, some_keys('w', 70, g) AS a FROM generate_series(1, 40) g;
ANALYZE args;
SELECT g FROM args,
	LATERAL (SELECT array_agg(k) AS l FROM (SELECT k FROM w WHERE k = ANY (a) ORDER BY k LIMIT g) s) x,
	LATERAL (SELECT array_agg(k) AS l FROM (SELECT DISTINCT k FROM unnest(a) u (k) WHERE EXISTS (SELECT 1 FROM w WHERE w.k = u.k) ORDER BY k LIMIT g) s) y
WHERE x.l IS DISTINCT FROM y.l;
PREPARE run(bigint[]) AS SELECT count(*), sum(k), sum(id) FROM d WHERE k = ANY ($1) AND pad = 'd';
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE run('{1}');
EXECUTE run('{5, 5, 4, NULL, 5, 20000, -3}');
EXECUTE run('{}');
EXECUTE run(NULL);
EXECUTE run('{NULL}');
RESET plan_cache_mode;

-- marks: both sides of a merge join are arrays, with repeated keys
SET enable_hashjoin = off;
SET enable_nestloop = off;
SET enable_material = off;
CREATE FUNCTION multiples(n int) RETURNS bigint[] LANGUAGE sql IMMUTABLE RETURN ARRAY(SELECT 70 * g FROM generate_series(0, n) g);
SELECT count(*), sum(x.id * y.id) FROM r x JOIN r y ON x.k = y.k WHERE x.k = ANY (multiples(120)) AND y.k = ANY (multiples(90)) AND x.k <> 0;
SELECT count(*), sum(x.id * y.id) FROM r x JOIN r y ON x.k = y.k WHERE x.k = ANY (multiples(120)) AND y.k = ANY (multiples(90)) AND x.k <> 0 AND x.pad = y.pad;
SET enable_mergejoin = off;
SET enable_hashjoin = on;
SET enable_seqscan = on;
SELECT count(*), sum(x.id * y.id) FROM r x JOIN r y ON x.k = y.k WHERE x.k IN (SELECT unnest(multiples(120))) AND y.k IN (SELECT unnest(multiples(90))) AND x.k <> 0;
RESET ALL;
SET client_min_messages = warning;
DROP SCHEMA arrays CASCADE;
