--
-- Key-value tables: the functions, and plain SQL on the same tables.
--
CREATE SCHEMA kv;
SET search_path = kv;
SET client_min_messages = error;	-- where the library is not preloaded, unique indexes warn
SELECT kyro.create_kv('settings');
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull FROM pg_attribute a WHERE attrelid = 'settings'::regclass AND attnum > 0 ORDER BY attnum;
SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = 'settings'::regclass;
SELECT kyro.put('settings', 1, 'one') AS a \gset
SELECT kyro.put('kv.settings', 2, 'two') > :a AS later;
SELECT kyro.put('settings'::regclass, 1, 'uno') > :a AS later;
SELECT key, value FROM settings ORDER BY key;
SELECT kyro.get('settings', 1), kyro.get('settings', 7), kyro.get('settings', NULL), kyro.exists('settings', 1), kyro.exists('settings', 7);
-- plain SQL counts as much
INSERT INTO settings VALUES (3, 'three'), (4, 'four');
SELECT changed_at AS b FROM settings WHERE key = 3 \gset
UPDATE settings SET value = 'drei' WHERE key = 3;
SELECT changed_at > :b AS later FROM settings WHERE key = 3;
INSERT INTO settings VALUES (4, 'vier') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
-- nobody writes changed_at by hand
UPDATE settings SET changed_at = 1 WHERE key = 3;
SELECT changed_at > :b AS later FROM settings WHERE key = 3;
SELECT key, value FROM kyro.get_many('settings', ARRAY[4, 1, 99, 1, -5, NULL]);
SELECT count(*) FROM kyro.get_many('settings', '{}');
SELECT count(*) FROM kyro.get_many('settings', NULL);
SELECT key, value FROM kyro.scan('settings');
SELECT key, value FROM kyro.scan('settings', 2, 3);
SELECT key, value FROM kyro.scan('settings', 2, "limit" => 1);
SELECT key, value FROM kyro.scan('settings', NULL, 2);
SELECT key, value FROM kyro.scan('settings', 3, 2);
SELECT count(*) FROM kyro.scan('settings', "limit" => 0);

-- compare and set
SELECT kyro.put('settings', 5, 'first', if_offset => 0) AS c \gset
SELECT kyro.put('settings', 5, 'second', if_offset => 0);
SELECT kyro.put('settings', 5, 'third', if_offset => :c) > :c AS done;
SELECT kyro.put('settings', 5, 'fourth', if_offset => :c);
SELECT kyro.put('settings', 6, 'none', if_offset => :c);
SELECT kyro.get('settings', 5), kyro.exists('settings', 6);
SELECT kyro.delete('settings', 5, if_offset => :c);
SELECT changed_at AS c FROM settings WHERE key = 5 \gset
SELECT kyro.delete('settings', 5, if_offset => :c), kyro.delete('settings', 5), kyro.delete('settings', 4);
-- sealed
SELECT rows FROM kyro.snapshot('settings');
SELECT kyro.get('settings', 1), kyro.put('settings', 1, 'sealed') > :c AS later, kyro.get('settings', 3);
SELECT kyro.get('settings', 1);

-- other types: as their text
SELECT kyro.create_kv('docs', 'jsonb');
SELECT kyro.put('docs', 1, '{"a":  1}') > 0 AS put;
SELECT kyro.get('docs', 1), kyro.get('docs', 1)::jsonb -> 'a' AS a;
\set VERBOSITY terse
SELECT kyro.put('docs', 1, 'no json');
\set VERBOSITY default
SELECT kyro.create_kv('numbers', 'double precision');
SELECT kyro.put('numbers', 1, '0.1') > 0 AS put;
SELECT kyro.get('numbers', 1)::float8 * 3 = 0.1::float8 * 3 AS exact;
SELECT kyro.create_kv('bytes', 'bytea');
SELECT kyro.put('bytes', 9223372036854775807, '\x00ff') > 0 AS put, kyro.put('bytes', -9223372036854775808, '') > 0 AS put;
SELECT * FROM kyro.scan('bytes');

-- history
SELECT kyro.create_kv('prices', 'numeric', history => true);
SELECT kyro.put('prices', 1, '10') AS p1 \gset
SELECT clock_timestamp() AS t1 \gset
SELECT kyro.put('prices', 1, '12.50') AS p2 \gset
UPDATE prices SET value = value + 1 WHERE key = 1;
SELECT changed_at AS p3 FROM prices \gset
BEGIN;
SELECT kyro.put('prices', 1, '0') > 0 AS put;
ROLLBACK;
SELECT kyro.delete('prices', 1);
SELECT kyro.last_offset('prices_history') AS p4 \gset
SELECT kyro.put('prices', 1, '20') > :p4 AS put;
SELECT kyro.get('prices', 1, as_of => :p1), kyro.get('prices', 1, as_of => :p2 - 1), kyro.get('prices', 1, as_of => :p2), kyro.get('prices', 1, as_of => :p3),
	kyro.get('prices', 1, as_of => :p4), kyro.get('prices', 1, as_of => :p4 + 10), kyro.get('prices', 1, as_of => 0), kyro.get('prices', 2, as_of => :p4);
SELECT kyro.get('prices', 1, as_of => :'t1'::timestamptz), kyro.get('prices', 1, as_of => clock_timestamp()), kyro.get('prices', 1, as_of => '-infinity'::timestamptz);
UPDATE prices SET key = 2;
SELECT key, kind, payload FROM kyro.replay('prices_history');
SELECT p.key, p.value = kyro.get('prices', p.key, as_of => p.changed_at)::numeric AS same FROM prices p;
SELECT * FROM kyro.verify('prices', deep => true);
-- put again by the statement that deletes it
WITH gone AS (DELETE FROM prices RETURNING key) INSERT INTO prices SELECT key, 30 FROM gone;
SELECT kyro.get('prices', 2), kyro.get('prices', 2, as_of => clock_timestamp());
SELECT kyro.put('prices', 1, '31') > 0 AS put;
UPDATE prices SET key = 3 - key WHERE key = 2 AND kyro.delete('prices', 1);
SELECT kyro.get('prices', 1, as_of => clock_timestamp()), kyro.get('prices', 2, as_of => clock_timestamp());
-- what is kept does not depend on how the writer's session writes values
SELECT kyro.create_kv('days', 'date', history => true), kyro.create_kv('halves', 'float8', history => true);
SET datestyle = 'SQL, DMY';
SET extra_float_digits = -10;
SELECT kyro.put('days', 1, '01/12/2026'), kyro.put('halves', 1, '0.1234567890123456');
RESET datestyle;
RESET extra_float_digits;
SELECT kyro.get('days', 1, as_of => 1)::date = value AS same FROM days;
SELECT kyro.get('halves', 1, as_of => 1)::float8 = value AS same FROM halves;

-- values are refused and not cut, as by INSERT
SELECT kyro.create_kv('short', 'varchar'), kyro.create_kv('flags', 'varbit');
ALTER TABLE short ALTER value TYPE varchar(3);
ALTER TABLE flags ALTER value TYPE bit(3);
SELECT kyro.put('short', 1, 'abc'), kyro.put('flags', 1, '101');
\set VERBOSITY terse
SELECT kyro.put('short', 1, 'abcdef');
SELECT kyro.put('flags', 1, '101010');
\set VERBOSITY default
SELECT kyro.get('short', 1), kyro.get('flags', 1);
-- types are found by the search path, as names are
CREATE TYPE mood AS ENUM ('good', 'bad');
SELECT kyro.create_kv('moods', 'mood'), kyro.create_kv('many_moods', 'mood[]');
SELECT kyro.put('moods', 1, 'good'), kyro.put('many_moods', 1, '{good,bad}');
-- other sequences of the table are none of our business
ALTER TABLE days ADD COLUMN id serial;
ALTER TABLE moods ADD COLUMN id serial;
SELECT kyro.put('days', 1, '2026-12-01') > 0 AS put, kyro.put('days', 2, '2026-12-02') > 0 AS put;
SELECT kyro.get('days', 2, as_of => changed_at) FROM days WHERE key = 2;
SELECT kyro.put('moods', 2, 'good') > 0 AS put;
-- a log that is named like a history, and is none
SELECT kyro.create_log('moods_history');
SELECT kyro.append('moods_history', '"mine"', key => 1);
\set VERBOSITY terse
SELECT kyro.get('moods', 1, as_of => 100);
\set VERBOSITY default
SELECT kyro.drop_kv('moods');
SELECT payload FROM kyro.replay('moods_history');
-- renamed with its history only
ALTER TABLE days RENAME TO dates;
SELECT kyro.put('dates'::regclass, 3, '2026-12-03');
ALTER TABLE days_history RENAME TO dates_history;
SELECT kyro.put('dates', 3, '2026-12-03') > 0 AS put;
SELECT kyro.get('dates', 3, as_of => clock_timestamp());

-- plans are kept: more calls than it takes to plan for all keys, after changes of the table, and of what it is called
SELECT kyro.create_kv('often');
SELECT count(kyro.put('often', g, g::text)) FROM generate_series(1, 20) g;
SELECT string_agg(kyro.get('often', g), ' ' ORDER BY g) FROM generate_series(1, 20) g;
SELECT count(*) FILTER (WHERE kyro.exists('often', g)) FROM generate_series(1, 40) g;
SELECT count(s.*), min(s.key), max(s.key) FROM generate_series(1, 10) g, kyro.scan('often', g, g + 4) s;
SELECT count(m.*) FROM generate_series(1, 10) g, kyro.get_many('often', ARRAY[g, g + 15, NULL]) m;
ALTER TABLE often ADD COLUMN more text DEFAULT 'more';
ALTER TABLE often ALTER value TYPE bigint USING value::bigint * 2;
SELECT kyro.put('often', 21, '42') > 0 AS put, kyro.get('often', 3), kyro.get('often', 20);
ALTER TABLE often RENAME TO rare;
ALTER SEQUENCE often_changed_at_seq RENAME TO rare_changed_at_seq;
SELECT kyro.create_kv('often', 'boolean');
SELECT kyro.put('often', 3, 't') > 0 AS put, kyro.get('often', 3), kyro.get('rare', 3);
CREATE TYPE level AS ENUM ('low', 'high');
SELECT kyro.create_kv('levels', 'level');
SELECT kyro.put('levels', 1, 'low') > 0 AS put;
ALTER TYPE level RENAME TO grade;
SELECT kyro.put('levels', 1, 'high') > 0 AS put, kyro.get('levels', 1);
SELECT kyro.delete('levels', 1), kyro.delete('levels', 1), kyro.delete('levels', 1, 7);
-- values as a cast to text makes them
SELECT kyro.create_kv('chars', 'bpchar'), kyro.create_kv('addresses', 'inet');
SELECT kyro.put('chars', 1, 'a  ') > 0 AS put, kyro.put('addresses', 1, '10.0.0.1') > 0 AS put;
SELECT kyro.get('chars', 1) || '.' AS c, kyro.get('addresses', 1) AS a, (SELECT value::text || '.' FROM chars) AS c, (SELECT value::text FROM addresses) AS a;
SELECT kyro.put('settings', 100, repeat('long ', 100000)) > 0 AS put;
SELECT length(kyro.get('settings', 100)), kyro.delete('settings', 100);
-- operators and types of others that come first in the search path are not used
CREATE SCHEMA trap;
CREATE FUNCTION trap.eq(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR trap.= (FUNCTION = trap.eq, LEFTARG = bigint, RIGHTARG = bigint);
CREATE OPERATOR trap.<= (FUNCTION = trap.eq, LEFTARG = bigint, RIGHTARG = bigint);
CREATE OPERATOR trap.>= (FUNCTION = trap.eq, LEFTARG = bigint, RIGHTARG = bigint);
CREATE DOMAIN trap.text AS pg_catalog.text CHECK (VALUE = 'never');
SET search_path = trap, pg_catalog, kv;
SELECT kyro.create_kv('kv.trapped', 'pg_catalog.text');
SELECT kyro.put('trapped', 1, 'one') > 0 AS put, kyro.put('trapped', 2, 'two', 0) > 0 AS put;
SELECT kyro.get('trapped', 2), kyro.get('trapped', 3), kyro.exists('trapped', 3), kyro.delete('trapped', 3), kyro.put('trapped', 3, 'three', 7);
SELECT count(*) FROM kyro.scan('trapped', 2, 2) UNION ALL SELECT count(*) FROM kyro.get_many('trapped', ARRAY[2]) ORDER BY 1;
SET search_path = kv;
DROP SCHEMA trap CASCADE;
-- anything with such columns will do
CREATE VIEW over AS SELECT key, upper(value) AS value, changed_at FROM trapped;
SELECT kyro.get('over', 1), kyro.exists('over', 3), kyro.delete('over', 2), (SELECT count(*) FROM kyro.scan('over'));

-- refused
\set VERBOSITY sqlstate
SELECT kyro.create_kv('settings');
SELECT kyro.create_kv(NULL);
SELECT kyro.create_kv('t', NULL);
SELECT kyro.create_kv('t', 'text); DROP TABLE settings; --');
SELECT kyro.create_kv('t', 'no_such_type');
SELECT kyro.create_kv('t', 'numeric(10,2)');
SELECT kyro.create_kv('x; DROP TABLE settings');
SELECT kyro.create_kv(repeat('n', 43));
SELECT kyro.put('nix', 1, 'v');
SELECT kyro.put(NULL::text, 1, 'v');
SELECT kyro.put(NULL::regclass, 1, 'v');
SELECT kyro.get(1::oid::regclass, 1);
SELECT kyro.get('settings_changed_at_seq', 1);
SELECT kyro.put('pg_class', 1, 'v');
SELECT kyro.put('settings', NULL, 'v');
SELECT kyro.put('settings', 1, NULL);
SELECT kyro.get('pg_class', 1);
SELECT kyro.get('settings', 1, as_of => 1);
SELECT kyro.get('nix', 1, as_of => 1);
SELECT kyro.scan('settings', "limit" => -1);
SELECT kyro.delete('pg_class', 1);
SELECT kyro.exists('', 1);
-- privileges
CREATE ROLE regress_kv_reader;
GRANT USAGE ON SCHEMA kv TO regress_kv_reader;
GRANT SELECT ON settings TO regress_kv_reader;
SET ROLE regress_kv_reader;
SELECT kyro.get('settings', 1);
SELECT kyro.put('settings', 1, 'mine');
SELECT kyro.delete('settings', 1);
SELECT kyro.get('docs', 1);
RESET ROLE;
GRANT SELECT, INSERT, UPDATE ON settings TO regress_kv_reader;
SET ROLE regress_kv_reader;
SELECT kyro.put('settings', 1, 'mine') > 0 AS put;
RESET ROLE;
-- a table of another's that is named like the one of a history
GRANT CREATE ON SCHEMA kv TO regress_kv_reader;
SELECT kyro.create_log('theirs_history');
SET ROLE regress_kv_reader;
CREATE TABLE theirs (key bigint, value text, changed_at bigint);
CREATE TRIGGER t BEFORE INSERT ON theirs FOR EACH ROW EXECUTE FUNCTION kyro.stamp_change();
INSERT INTO theirs VALUES (1);
RESET ROLE;
DROP OWNED BY regress_kv_reader;
DROP ROLE regress_kv_reader;
-- the trigger by itself
CREATE TABLE plain (key bigint);
CREATE TRIGGER t BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION kyro.stamp_change();
INSERT INTO plain VALUES (1);
CREATE TRIGGER t2 AFTER DELETE ON settings FOR EACH ROW EXECUTE FUNCTION kyro.stamp_change();
DELETE FROM settings;
DROP TRIGGER t2 ON settings;
SELECT kyro.drop_kv('docs');
SELECT kyro.create_kv('gone', history => true);
SELECT kyro.drop_kv('gone');
SELECT kyro.drop_kv('gone');
SELECT count(*) FROM pg_class WHERE relnamespace = 'kv'::regnamespace AND relname LIKE 'gone%';
