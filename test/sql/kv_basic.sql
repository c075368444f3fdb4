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
