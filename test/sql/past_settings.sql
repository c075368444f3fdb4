--
-- Histories: columns that are added, changes and restores, under settings on which texts of values depend; and
-- the settings of the session are what they were.
--
CREATE SCHEMA pset;
SET search_path = pset, public;
CREATE TABLE t (id int PRIMARY KEY);
SELECT kyro.keep_history('t', "for" => '1 day');
INSERT INTO t VALUES (1), (2);
SELECT kyro.create_epoch('pset 1');
CREATE FUNCTION odd(n int) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('datestyle', CASE n WHEN 1 THEN 'SQL, DMY' ELSE 'German' END, false),
		set_config('timezone', CASE n WHEN 1 THEN 'Asia/Tokyo' ELSE 'America/New_York' END, false),
		set_config('intervalstyle', CASE n WHEN 1 THEN 'sql_standard' ELSE 'iso_8601' END, false),
		set_config('extra_float_digits', CASE n WHEN 1 THEN '-10' ELSE '0' END, false),
		set_config('bytea_output', CASE n WHEN 1 THEN 'escape' ELSE 'hex' END, false),
		set_config('xmloption', 'document', false)
$$;
CREATE FUNCTION settings() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(current_setting(name), ' | ' ORDER BY n)
	FROM unnest('{datestyle,timezone,intervalstyle,extra_float_digits,bytea_output,xmloption,search_path}'::text[]) WITH ORDINALITY AS s(name, n)
$$;
-- the values are written under one kind of settings, and read under another
SELECT odd(1);
BEGIN;
SELECT settings();
ALTER TABLE t ADD d date DEFAULT '2026-02-01'::date, ADD t timestamptz DEFAULT timestamptz '2026-02-01 12:00+00', ADD i interval DEFAULT interval '-1 day 2 hours',
	ADD f float8 DEFAULT 0.1::float8 + 0.2::float8, ADD b bytea DEFAULT '\x00ff'::bytea, ADD y money DEFAULT 12.34::money;
SELECT settings();
COMMIT;
INSERT INTO t (id) VALUES (3);
SELECT odd(2);
SELECT kyro.create_epoch('pset 2');
UPDATE t SET d = d + 1, t = t + interval '1 day', i = i * 2, f = f / 3, b = b || b, y = y * 2 WHERE id = 3;
DELETE FROM t WHERE id < 3;
SELECT odd(1);
CREATE FUNCTION as_added(r t) RETURNS boolean LANGUAGE sql AS $$
	SELECT r.d = '2026-02-01'::date AND r.t = timestamptz '2026-02-01 12:00+00' AND r.i = interval '-1 day 2 hours' AND r.f = 0.1::float8 + 0.2::float8
		AND r.b = '\x00ff'::bytea AND r.y = 12.34::money
$$;
SELECT id, as_added(r) FROM kyro.as_of(NULL::t, 'pset 1') AS r ORDER BY id;
SELECT id, as_added(r) FROM kyro.as_of(NULL::t, 'pset 2') AS r ORDER BY id;
BEGIN;
SELECT kind, (old).id, as_added(old) AS old, (new).id, as_added(new) AS new FROM kyro.changes(NULL::t) ORDER BY "offset";
SELECT settings();
SELECT * FROM kyro.restore_to('t', 'pset 2');
SELECT * FROM kyro.restore_to('t', 'pset 2', dry_run => false);
SELECT settings();
SELECT id, as_added(t.*) FROM t ORDER BY id;
COMMIT;
-- by itself it holds to the end of the transaction, and no longer
BEGIN;
SELECT kyro.pin_settings();
SELECT pset.settings();
COMMIT;
SELECT settings();
RESET ALL;
SELECT kyro.drop_epoch(name) FROM kyro.epochs WHERE name LIKE 'pset %';
