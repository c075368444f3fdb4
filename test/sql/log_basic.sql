--
-- Event logs: what the functions return, and what they refuse.
--
CREATE SCHEMA elog;
SET search_path = elog, public;
SET client_min_messages = error;	-- where the library is not preloaded, unique indexes warn
SELECT kyro.create_log('orders');
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull, a.attgenerated, pg_get_expr(d.adbin, d.adrelid) AS "default"
	FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
	WHERE attrelid = 'orders'::regclass AND attnum > 0 ORDER BY attnum;
SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = 'orders'::regclass;
SELECT pg_get_indexdef(indexrelid) ~ 'USING kyro_rmi \("offset"' AS by_offset, indisunique
	FROM pg_index WHERE indrelid = 'orders'::regclass ORDER BY 1 DESC;

-- the ways to append
SELECT kyro.append('orders', '{"n": 1}');
SELECT kyro.append('elog.orders', '{"n": 2}', 7, 'new');
SELECT kyro.append('orders', '{"n": 3}', key => 7, kind => 'paid', request_id => '00000000-0000-0000-0000-000000000001');
INSERT INTO orders (payload) VALUES ('{"n": 4}');
COPY orders (key, payload) FROM stdin;
8	{"n": 5}
9	{"n": 6}
\.
SELECT kyro.append_batch('orders', ARRAY['{"n": 7}', '{"n": 8}']::jsonb[], keys => ARRAY[1, 2], kinds => ARRAY['new', NULL]);
SELECT kyro.append_batch('orders', '{}');
SELECT "offset", key, kind, payload, request_id FROM kyro.replay('orders');
SELECT kyro.last_offset('orders'), kyro.stable_offset('orders');

-- a request again: its first offset, and nothing is written, not even an offset taken
SELECT kyro.append('orders', '{"n": "again"}', request_id => '00000000-0000-0000-0000-000000000001');
BEGIN;
SELECT kyro.append('orders', '{"n": "again"}', request_id => '00000000-0000-0000-0000-000000000001');
SELECT pg_current_xact_id_if_assigned();
COMMIT;
SELECT kyro.append_batch('orders', ARRAY['9', '10', '11', '12']::jsonb[], request_ids => ARRAY['00000000-0000-0000-0000-000000000002',
	'00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000003']::uuid[]);
SELECT "offset", payload, request_id FROM kyro.replay('orders', 8);

-- rollback, savepoint, own events
BEGIN;
SELECT kyro.append('orders', '"lost"') > 0 AS taken;
ROLLBACK;
BEGIN;
SELECT kyro.append('orders', '"kept"') > 0 AS taken;
SAVEPOINT s;
SELECT kyro.append('orders', '"lost"') > 0 AS taken;
ROLLBACK TO s;
SELECT kyro.append('orders', '"kept, too"') > 0 AS taken;
-- (which stops at gaps that other transactions have left since it has an xid)
SELECT payload FROM kyro.replay('orders', 13);
COMMIT;
SELECT payload FROM kyro.replay('orders', 12);
DELETE FROM orders WHERE key = 8;
SELECT count(*), min("offset"), max("offset") = kyro.last_offset('orders') AS last, kyro.last_offset('orders') = kyro.stable_offset('orders') AS stable
	FROM kyro.replay('orders');

-- ranges
SELECT "offset" FROM kyro.replay('orders', 2, 4);
SELECT "offset" FROM kyro.replay('orders', "limit" => 2);
SELECT "offset" FROM kyro.replay('orders', 3, NULL, 2);
SELECT "offset" FROM kyro.replay('orders', NULL, 1);
SELECT "offset" FROM kyro.replay('orders', 0, 1);
SELECT count(*) FROM kyro.replay('orders', 4, 2);
SELECT count(*) FROM kyro.replay('orders', "limit" => 0);
SELECT count(*) FROM kyro.replay('orders', kyro.last_offset('orders') + 1);
SELECT count(*) FROM kyro.replay('orders', "from" => 1);

-- sealed, too
SELECT rows FROM kyro.snapshot('orders');
SELECT count(*), sum("offset") = (SELECT sum("offset") FROM orders) AS all_of_them FROM kyro.replay('orders');
SELECT kyro.append('orders', '{"n": 3}', request_id => '00000000-0000-0000-0000-000000000001');
SELECT kyro.append('orders', '"after"') AS last \gset
SELECT kyro.last_offset('orders') = :last AS last;
SELECT * FROM kyro.verify('orders', deep => true);

-- bytes
SELECT kyro.create_log('raw', 'bytea');
SELECT kyro.append_bytes('raw', '\x00ff', key => 1, request_id => '00000000-0000-0000-0000-000000000001');
SELECT kyro.append_bytes('raw', '\x00ff', request_id => '00000000-0000-0000-0000-000000000001');
SELECT "offset", payload FROM kyro.replay_bytes('raw');
SELECT "offset", payload FROM kyro.replay('raw');
SELECT kyro.append('raw', '1');
SELECT kyro.append_bytes('orders', '\x01');
SELECT * FROM kyro.replay_bytes('orders');

-- names: quoted, and by the search path
SELECT kyro.create_log('"Or""der''s"');
SELECT kyro.append('"Or""der''s"', '1');
SELECT payload FROM kyro.replay('elog."Or""der''s"');
SELECT kyro.append_batch('"Or""der''s"', ARRAY['2']::jsonb[]);
ALTER TABLE "Or""der's" RENAME TO other;
SELECT kyro.append('other', '3');
SELECT kyro.append('"Or""der''s"', '4');
SELECT payload FROM kyro.replay('other');
CREATE SCHEMA elog2;
SELECT kyro.create_log('elog2.orders');
SET search_path = elog2;
SELECT kyro.append('orders', '"the other one"');
SELECT count(*) FROM kyro.replay('orders');
SET search_path = elog;
SELECT count(*) > 5 AS "this one" FROM kyro.replay('orders');
-- a table of that name takes its place: what is prepared goes by what is there now
ALTER TABLE orders RENAME TO orders_old;
ALTER TABLE other RENAME TO orders;
SELECT kyro.append('orders', '"to the new one"');
SELECT payload FROM kyro.replay('orders', 4);
DROP TABLE orders;
ALTER TABLE orders_old RENAME TO orders;
SELECT kyro.append('orders', '"to the old one again"') AS last \gset
SELECT kyro.last_offset('orders') = :last AS last;

-- refused
\set VERBOSITY sqlstate
SELECT kyro.create_log('orders');
SELECT kyro.create_log(NULL);
SELECT kyro.create_log('');
SELECT kyro.create_log('x; DROP TABLE orders');
SELECT kyro.create_log('nowhere.orders');
SELECT kyro.create_log('t', 'text');
SELECT kyro.create_log('t', NULL);
SELECT kyro.create_log(repeat('n', 51));
SELECT kyro.append('nix', '1');
SELECT kyro.append(NULL, '1');
SELECT kyro.append('orders', NULL);
SELECT kyro.append('pg_class', '1');
SELECT kyro.append('orders_pkey1', '1');
SELECT kyro.append('a.b.c.d', '1');
SELECT kyro.append('orders where true', '1');
SELECT kyro.append('orders', 'no json');
SELECT kyro.append_batch('orders', NULL);
SELECT kyro.append_batch('nix', '{}');
SELECT kyro.append_batch('orders', ARRAY['1', '2']::jsonb[], keys => ARRAY[1]);
SELECT kyro.append_batch('orders', ARRAY['1', NULL]::jsonb[]);
SELECT kyro.append_batch('orders', ARRAY['1', '2']::jsonb[], request_ids => ARRAY[NULL, '00000000-0000-0000-0000-000000000001']::uuid[]);
SELECT kyro.replay(NULL);
SELECT kyro.replay('nix');
SELECT kyro.replay('pg_class');
SELECT kyro.replay('orders', -1);
SELECT kyro.replay('orders', 1, -1);
SELECT kyro.replay('orders', 1, NULL, -1);
SELECT kyro.replay('orders', 1000000);
SELECT kyro.last_offset('nix');
SELECT kyro.stable_offset(NULL);
INSERT INTO orders (payload, horizon) VALUES ('1', '0');
\set VERBOSITY default
SELECT kyro.replay('pg_class');
SELECT kyro.replay('orders', 1000000) IS NULL;

-- a sequence that keeps offsets for later cannot be a log's
SELECT kyro.create_log('cached');
SELECT kyro.append('cached', '1');
ALTER SEQUENCE cached_offset_seq CACHE 10;
SELECT kyro.append('cached', '2');
ALTER SEQUENCE cached_offset_seq CACHE 1 CYCLE;
INSERT INTO cached (payload) VALUES ('2');
ALTER SEQUENCE cached_offset_seq NO CYCLE INCREMENT BY -1;
INSERT INTO cached (payload) VALUES ('2');
ALTER SEQUENCE cached_offset_seq INCREMENT BY 1;
SELECT kyro.append('cached', '2');
\set VERBOSITY terse
SELECT kyro.next_offset('cached') > 0;
\set VERBOSITY default
SELECT kyro.last_offset('cached'), kyro.stable_offset('cached');
DELETE FROM cached;
SELECT kyro.last_offset('cached'), kyro.stable_offset('cached');
SELECT kyro.replay('cached', 3);

-- privileges: those of the table
CREATE ROLE regress_log_reader;
CREATE ROLE regress_log_writer;
GRANT USAGE ON SCHEMA elog TO regress_log_reader, regress_log_writer;
GRANT SELECT ON orders TO regress_log_reader;
GRANT INSERT, SELECT ("offset", request_id) ON orders TO regress_log_writer;
SET ROLE regress_log_reader;
SELECT count(*) > 0 AS reads, kyro.stable_offset('orders') > 0 AS stable FROM kyro.replay('orders');
SELECT kyro.append('orders', '1');
SELECT kyro.replay('orders', 1000000) IS NULL;
\set VERBOSITY terse
SELECT kyro.drop_log('orders');
\set VERBOSITY default
SET ROLE regress_log_writer;
SELECT kyro.append('orders', '"written"') > 0 AS writes;
SELECT kyro.append('orders', '"written"', request_id => '00000000-0000-0000-0000-000000000009') = kyro.append('orders', '"again"', request_id => '00000000-0000-0000-0000-000000000009') AS once;
SELECT kyro.append_batch('orders', ARRAY['1']::jsonb[]) IS NOT NULL AS writes;
SELECT kyro.replay('orders');
\set VERBOSITY terse
SELECT kyro.create_log('mine');
\set VERBOSITY default
RESET ROLE;
-- one who may insert some columns only cannot choose offsets
REVOKE INSERT ON orders FROM regress_log_writer;
GRANT INSERT (payload, key, kind, request_id) ON orders TO regress_log_writer;
SET ROLE regress_log_writer;
SELECT kyro.append('orders', '"written"') > 0 AS writes;
INSERT INTO orders ("offset", payload) VALUES (1000, '1');
SELECT kyro.next_offset('orders_offset_seq') > 0 AS taken;
SELECT kyro.next_offset('raw_offset_seq');
RESET ROLE;
-- row security counts
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY nines ON orders FOR SELECT USING (key = 9);
CREATE POLICY all_in ON orders FOR INSERT WITH CHECK (key IS NULL OR key <> 13);
SET ROLE regress_log_reader;
SELECT payload FROM kyro.replay('orders');
SET ROLE regress_log_writer;
SELECT kyro.append('orders', '1', 13);
\set VERBOSITY terse
SELECT kyro.append('orders', '"hidden"', request_id => '00000000-0000-0000-0000-000000000009');
\set VERBOSITY default
RESET ROLE;
ALTER TABLE orders DISABLE ROW LEVEL SECURITY;

-- a trigger that leaves events out
CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.kind = 'out' THEN RETURN NULL; END IF; RETURN NEW; END $$;
CREATE TRIGGER leave_out BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION leave_out();
SELECT kyro.append('orders', '1', kind => 'out');
SELECT kyro.append('orders', '1', kind => 'in') AS last \gset
SELECT kyro.last_offset('orders') = :last AS last;

-- other sequences of the table are none of our business
ALTER TABLE orders ADD COLUMN id serial;
SELECT kyro.append('orders', '1') AS last \gset
SELECT kyro.last_offset('orders') = :last AS last;
SELECT count(*) FROM kyro.replay('orders', kyro.last_offset('orders') + 1);
ALTER TABLE orders DROP COLUMN id;

-- what a log is dropped with, and what only bears the name
DROP TABLE raw_leases;
CREATE TABLE raw_leases (mine int);
SELECT kyro.drop_log('raw');
SELECT to_regclass('raw'), to_regclass('raw_offset_seq'), to_regclass('raw_consumers'), to_regclass('raw_leases');
DROP TABLE raw_leases;
SELECT kyro.drop_log('raw');
DROP OWNED BY regress_log_reader, regress_log_writer;
DROP ROLE regress_log_reader, regress_log_writer;
