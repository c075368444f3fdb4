--
-- Every key type, with every operator of its family, against the sequential
-- scan; comparisons between datetime types in a zone with daylight saving.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA types;
SET search_path = types, public;
SET datestyle = 'ISO, YMD';
SET timezone = 'America/New_York';

-- conditions: each operator of the type with each constant, and a few more
CREATE FUNCTION conds(consts text[], arrays text[]) RETURNS text[]
LANGUAGE sql AS $$
	SELECT array_agg('k ' || op || ' ' || c ORDER BY c, op) ||
		ARRAY['k IS NULL', 'k IS NOT NULL'] || arrays
	FROM unnest(consts) c, unnest(ARRAY['=', '<', '<=', '>', '>=']) op
$$;

CREATE FUNCTION fill(tbl text, typ text, expr text, n int) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id bigint, k %s, pad text) WITH (autovacuum_enabled = off)', tbl, typ);
	EXECUTE format('INSERT INTO %I SELECT g, %s, ''x'' FROM generate_series(1, %s) g', tbl, expr, n);
	EXECUTE format('CREATE INDEX %I ON %I USING kyro_rmi (k)', tbl || '_k', tbl);
	-- half of it arrives later, some of it leaves
	EXECUTE format('INSERT INTO %I SELECT g + %s, %s, ''y'' FROM generate_series(1, %s, 2) g', tbl, n, expr, n);
	EXECUTE format('DELETE FROM %I WHERE id %% 10 = 7', tbl);
END $$;

-- smallint
SELECT fill('t2', 'smallint', '((g * 7919) % 65536 - 32768)::smallint', 9000);
INSERT INTO t2 VALUES (100000, -32768), (100001, 32767), (100002, NULL), (100003, 32767), (100004, 0), (100005, -1);
VACUUM t2;
SELECT oracle_compare('t2', conds(ARRAY['5::int2', '(-32768)::int2', '32767::int2', '0::int4', '32768::int4',
	'(-32769)::int4', '2147483647::int4', '(-2147483648)::int4', '123::int8', '40000::int8',
	'(-9223372036854775808)::int8', '9223372036854775807::int8', '(SELECT 77::int4)', '(SELECT NULL::int2)'],
	ARRAY['k = ANY (ARRAY[1, 2, NULL, 2, 32767]::int2[])', 'k = ANY (ARRAY[1, 99999, -99999, -5]::int4[])',
	'k = ANY (ARRAY[32767, 32768, 32767]::int8[])', 'k BETWEEN 100::int8 AND 70000::int8', 'k < ANY (ARRAY[-30000, 99999]::int4[])',
	'~k >= ALL (ARRAY[30000, 32000]::int2[])', '~k > 100.5', '~k + 1 = 6']), 12);

-- integer
SELECT fill('t4', 'integer', '(hashint4(g) / 3)', 9000);
INSERT INTO t4 VALUES (100000, -2147483648), (100001, 2147483647), (100002, NULL), (100003, 5), (100004, 0), (100005, -1);
VACUUM t4;
SELECT oracle_compare('t4', conds(ARRAY['5::int2', '(-32768)::int2', '32767::int2', '0::int4',
	'2147483647::int4', '(-2147483648)::int4', '2147483648::int8', '(-2147483649)::int8', '123::int8',
	'(-9223372036854775808)::int8', '9223372036854775807::int8', '(SELECT 77777::int8)', '(SELECT NULL::int8)'],
	ARRAY['k = ANY (ARRAY[5, 2, NULL, 0, 5]::int2[])', 'k = ANY (ARRAY[5, 99999, -1]::int4[])',
	'k = ANY (ARRAY[2147483647, 2147483648, 5000000000]::int8[])', 'k BETWEEN 100::int2 AND 7000000000::int8',
	'k > ANY (ARRAY[2000000000, 5000000000]::int8[])', '~k = 5.0', '~k < 1e3']), 12);

-- date, with infinities and the ends of the range
SELECT fill('td', 'date', 'date ''2000-01-01'' + (g * 7919) % 12000', 9000);
INSERT INTO td VALUES (100000, 'infinity'), (100001, '-infinity'), (100002, NULL), (100003, '4713-01-01 BC'),
	(100004, '5874897-12-31'), (100005, '1969-12-31'), (100006, '294276-12-31'), (100007, '294277-01-01');
VACUUM td;
SELECT oracle_compare('td', conds(ARRAY['date ''2010-03-14''', 'date ''infinity''', 'date ''-infinity''',
	'date ''5874897-12-31''', 'date ''4713-01-01 BC''',
	'timestamp ''2010-03-14 00:00''', 'timestamp ''2010-03-14 00:00:00.000001''', 'timestamp ''2010-03-13 23:59:59.999999''',
	'timestamp ''infinity''', 'timestamp ''-infinity''', 'timestamp ''294276-12-31 23:59:59.999999''', 'timestamp ''4713-01-01 00:00 BC''',
	'timestamptz ''2010-03-14 00:00 America/New_York''', 'timestamptz ''2010-03-14 00:00 UTC''', 'timestamptz ''2010-11-07 05:30 UTC''',
	'timestamptz ''infinity''', 'timestamptz ''-infinity''', '(SELECT timestamp ''2015-05-05 12:00'')', '(SELECT NULL::timestamptz)'],
	ARRAY['k = ANY (ARRAY[''2010-03-14'', ''2010-03-14'', NULL, ''infinity'']::date[])',
	'k = ANY (ARRAY[''2010-03-14'', ''2010-03-14 12:00'', ''infinity'']::timestamp[])',
	'k = ANY (ARRAY[''2010-03-14 00:00 America/New_York'', ''2010-03-14 UTC'', NULL]::timestamptz[])',
	'k >= timestamptz ''2010-03-13 00:00'' AND k < timestamptz ''2010-03-16 00:00''', 'k BETWEEN date ''2011-01-01'' AND timestamp ''2011-02-01 10:00''']), 12);

-- timestamp, through both changes of clock in 2021: 02:30 on 14 March does not exist, 01:30 on 7 November is twice
SELECT fill('ts', 'timestamp', 'timestamp ''2021-03-13 00:00'' + g * interval ''30 minutes'' + CASE WHEN g % 5 = 0 THEN interval ''1 microsecond'' ELSE interval ''0'' END', 14000);
INSERT INTO ts VALUES (100000, 'infinity'), (100001, '-infinity'), (100002, NULL), (100003, '4713-01-01 00:00 BC'),
	(100004, '294276-12-31 23:59:59.999999'), (100005, '1969-12-31 23:59:59.999999');
VACUUM ts;
SELECT oracle_compare('ts', conds(ARRAY['timestamp ''2021-03-14 02:30''', 'timestamp ''infinity''', 'timestamp ''-infinity''',
	'timestamp ''294276-12-31 23:59:59.999999''', 'timestamp ''4713-01-01 00:00 BC''',
	'timestamptz ''2021-03-14 06:30 UTC''', 'timestamptz ''2021-03-14 07:00 UTC''', 'timestamptz ''2021-03-14 07:30 UTC''',
	'timestamptz ''2021-11-07 05:30 UTC''', 'timestamptz ''2021-11-07 06:00 UTC''', 'timestamptz ''2021-11-07 06:30 UTC''', 'timestamptz ''2021-11-07 07:00 UTC''',
	'timestamptz ''infinity''', 'timestamptz ''-infinity''', 'timestamptz ''294276-12-31 00:00 UTC''',
	'date ''2021-03-14''', 'date ''2021-11-07''', 'date ''infinity''', 'date ''-infinity''', 'date ''294277-01-01''', 'date ''5874897-12-31''',
	'date ''4713-01-01 BC''', '(SELECT timestamptz ''2021-11-07 06:15 UTC'')'],
	ARRAY['k = ANY (ARRAY[''2021-11-07 05:30 UTC'', ''2021-11-07 06:30 UTC'', ''2021-03-14 07:30 UTC'', NULL]::timestamptz[])',
	'k = ANY (ARRAY[''2021-03-14'', ''2021-11-07'', ''2021-03-14'', ''5874897-12-31'']::date[])',
	'k < ANY (ARRAY[''2021-03-14 06:30 UTC'', ''2021-03-14 07:30 UTC'']::timestamptz[])',
	'k >= date ''2021-03-14'' AND k < date ''2021-03-15''', 'k > timestamptz ''2021-11-07 05:30 UTC'' AND k < timestamptz ''2021-11-07 07:30 UTC''']), 12);

-- timestamptz, the same days
SELECT fill('tz', 'timestamptz', 'timestamptz ''2021-03-13 00:00 UTC'' + g * interval ''30 minutes''', 14000);
INSERT INTO tz VALUES (100000, 'infinity'), (100001, '-infinity'), (100002, NULL), (100003, '4713-01-01 00:00 BC'),
	(100004, '294276-12-31 23:59:59.999999 UTC'), (100005, '1969-12-31 23:59:59.999999 UTC');
VACUUM tz;
SELECT oracle_compare('tz', conds(ARRAY['timestamptz ''2021-03-14 07:00 UTC''', 'timestamptz ''infinity''', 'timestamptz ''-infinity''',
	'timestamptz ''294276-12-31 23:59:59.999999 UTC''',
	'timestamp ''2021-03-14 01:30''', 'timestamp ''2021-03-14 02:00''', 'timestamp ''2021-03-14 02:30''', 'timestamp ''2021-03-14 03:00''',
	'timestamp ''2021-11-07 00:30''', 'timestamp ''2021-11-07 01:00''', 'timestamp ''2021-11-07 01:30''', 'timestamp ''2021-11-07 02:00''',
	'timestamp ''infinity''', 'timestamp ''-infinity''', 'timestamp ''294276-12-31 23:59:59.999999''', 'timestamp ''4713-01-01 00:00 BC''',
	'date ''2021-03-14''', 'date ''2021-03-15''', 'date ''2021-11-07''', 'date ''2021-11-08''', 'date ''infinity''', 'date ''-infinity''',
	'date ''294277-01-01''', 'date ''5874897-12-31''', '(SELECT date ''2021-11-07'')', '(SELECT NULL::timestamp)'],
	ARRAY['k = ANY (ARRAY[''2021-11-07 01:30'', ''2021-03-14 02:30'', ''2021-03-14 03:30'', NULL]::timestamp[])',
	'k = ANY (ARRAY[''2021-03-14'', ''2021-11-07'', ''2021-03-14'', ''5874897-12-31'']::date[])',
	'k >= ANY (ARRAY[''2021-12-14'', ''2021-11-07'']::date[])',
	'k >= date ''2021-03-14'' AND k < date ''2021-03-15''', 'k >= timestamp ''2021-11-07 01:00'' AND k <= timestamp ''2021-11-07 02:00''']), 12);

-- the zone of the query counts, not that of the build
SET timezone = 'Asia/Kathmandu';
SELECT oracle_compare('tz', conds(ARRAY['timestamp ''2021-03-14 02:30''', 'date ''2021-03-14''', 'timestamp ''2021-11-07 06:30'''], '{}'), 3);
SELECT oracle_compare('ts', conds(ARRAY['timestamptz ''2021-03-14 06:45 UTC''', 'timestamptz ''2021-11-07 05:15 UTC'''], '{}'), 3);
SELECT oracle_compare('td', conds(ARRAY['timestamptz ''2010-03-13 18:15 UTC''', 'timestamptz ''2010-03-14 00:00 UTC'''], '{}'), 3);
-- across the date line, one day does not exist
SET timezone = 'Pacific/Apia';
SELECT fill('tapia', 'timestamptz', 'timestamptz ''2011-12-28 00:00 UTC'' + g * interval ''10 minutes''', 1000);
SELECT oracle_compare('tapia', conds(ARRAY['date ''2011-12-29''', 'date ''2011-12-30''', 'date ''2011-12-31''',
	'timestamp ''2011-12-30 12:00''', 'timestamp ''2011-12-29 23:50'''], '{}'), 3);

-- a prepared statement that outlives a change of zone
SET timezone = 'America/New_York';
SET plan_cache_mode = force_generic_plan;
SET enable_indexonlyscan = off;	-- depends on what VACUUM could mark all-visible
SET enable_bitmapscan = off;
PREPARE day(date) AS SELECT count(*), min(k) AT TIME ZONE 'UTC' AS first FROM tz WHERE k >= $1 AND k < $1 + 1;
EXPLAIN (COSTS OFF) EXECUTE day('2021-03-14');
EXECUTE day('2021-03-14');
EXECUTE day('2021-11-07');
SET timezone = 'UTC';
EXECUTE day('2021-03-14');
EXECUTE day('2021-11-07');
RESET enable_indexonlyscan;
RESET enable_bitmapscan;

-- what only a stable function knows: the index serves these too
SET enable_seqscan = off;
INSERT INTO tz SELECT 200000 + g, now() + g * interval '1 hour' FROM generate_series(-60, 60) g;
EXPLAIN (COSTS OFF) SELECT id FROM tz WHERE k >= current_date AND k < current_date + 1;
EXPLAIN (COSTS OFF) SELECT id FROM tz WHERE k > localtimestamp - interval '1 day' AND k <= now();
SELECT count(*) FROM tz WHERE k >= now() - interval '5 hours' AND k <= now();
SELECT (SELECT count(*) FROM tz WHERE k >= current_date AND k < current_date + 1) =
	   (SELECT count(*) FROM tz WHERE (k || '')::timestamptz >= current_date AND (k || '')::timestamptz < current_date + 1) AS same;
RESET enable_seqscan;
RESET plan_cache_mode;
RESET timezone;

-- a domain over a supported type is that type
CREATE DOMAIN positive AS bigint CHECK (VALUE > 0);
CREATE TABLE tdom (id bigint, k positive, pad text);
INSERT INTO tdom SELECT g, g * 3 FROM generate_series(1, 3000) g;
CREATE INDEX tdom_k ON tdom USING kyro_rmi (k);
SELECT oracle_compare('tdom', ARRAY['k = 300', 'k < 100::int2', 'k = ANY (ARRAY[3, 6, 7]::bigint[])', 'k BETWEEN 300 AND 400'], 4);
SELECT current_setting('oracle.checks') AS checks_done;
