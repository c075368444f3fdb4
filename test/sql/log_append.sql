--
-- kyro.append() inserts without a statement where it can.  What an INSERT would do besides
-- happens all the same: each log differs in one thing from those of kyro.create_log().
--
CREATE SCHEMA lapp;
SET search_path = lapp, public;
SET client_min_messages = error;	-- where the library is not preloaded, unique indexes warn
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
-- each is called before and after the log is altered, since sessions remember what a log is like
CREATE FUNCTION try(log text, n int, key bigint DEFAULT NULL, kind text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM kyro.append(log, to_jsonb(n), key, kind, id(n));
	PERFORM kyro.append(log, to_jsonb(n), key, kind);
	-- the same request again
	RETURN format('appended, again %s', kyro.append(log, to_jsonb(n), key, kind, id(n)) < kyro.last_offset(log));
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE FUNCTION show(log regclass, what text DEFAULT 'payload, key, kind, request_id IS NOT NULL AS request') RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT r::text FROM (SELECT %s FROM %s ORDER BY "offset") AS r', what, log);
	EXECUTE format('DELETE FROM %s', log);
END $$;

-- as it is made: number, time, horizon
SELECT kyro.create_log('l');
SELECT try('l', 1, 7, 'k');
SELECT bool_and(at BETWEEN now() - interval '1 hour' AND clock_timestamp()) AS at, bool_and(horizon::text::bigint > xmin::text::bigint) AS horizon,
	array_agg("offset" ORDER BY "offset") FROM l;
SELECT show('l');
-- visible to the next statement, not to its own; with its entries in all indexes
CREATE INDEX ON l (key, kind);
CREATE INDEX ON l USING hash (key);
CREATE INDEX ON l USING gin (payload);
CREATE INDEX ON l USING brin (at);
CREATE INDEX ON l USING kyro_rmi (key);
SELECT kyro.append('l', '{"a": 1}', 5, 'x', id(2)) > 0 AS done, (SELECT count(*) FROM l);
SET enable_seqscan = off;
SELECT count(*) FROM l WHERE key = 5 AND kind = 'x';
SELECT count(*) FROM l WHERE payload @> '{"a": 1}';
SELECT count(*) FROM l WHERE at > now() - interval '1 hour';
SELECT count(*) FROM l WHERE key = 5;
RESET enable_seqscan;
SELECT * FROM kyro.verify('l', deep => true);
-- what has no request has no entry in their index, which is as empty as it was
SELECT kyro.create_log('bytes', 'bytea');
SELECT kyro.append_bytes('bytes', '\x01') > 0 AS done FROM generate_series(1, 3);
SELECT pg_relation_size('bytes_request_id_idx') = current_setting('block_size')::int AS empty;
SELECT kyro.append_bytes('bytes', '\x01', request_id => id(1)) > 0 AS done;
SELECT kyro.append('bytes', '"no bytes"');
-- twice in a statement, from many rows, with large values
SELECT kyro.append('l', '1', request_id => id(3)) = kyro.append('l', '2', request_id => id(3)) AS once;
SELECT count(DISTINCT kyro.append('l', to_jsonb(g), request_id => id(10 + g % 500))) FROM generate_series(1, 1000) g;
SELECT kyro.append('l', to_jsonb(string_agg(md5(g::text), '')), kind => repeat('long', 5000)) > 0 AS done FROM generate_series(1, 5000) g;
SELECT length(payload #>> '{}'), length(kind) FROM l ORDER BY "offset" DESC LIMIT 1;
-- rolled back to a savepoint: not there, so it is appended again
BEGIN;
SAVEPOINT s;
SELECT kyro.append('l', '"lost"', request_id => id(4)) AS lost \gset
ROLLBACK TO s;
SELECT kyro.append('l', '"kept"', request_id => id(4)) > :lost AS again;
COMMIT;
SELECT payload FROM l WHERE request_id = id(4);
SELECT kyro.drop_log('l');

-- triggers
SELECT kyro.create_log('l');
SELECT try('l', 1);
CREATE TABLE seen (op text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_NAME); RETURN NEW; END $$;
CREATE TRIGGER before_row BEFORE INSERT ON l FOR EACH ROW EXECUTE FUNCTION note();
SELECT try('l', 2);
DROP TRIGGER before_row ON l;
CREATE TRIGGER after_row AFTER INSERT ON l FOR EACH ROW EXECUTE FUNCTION note();
SELECT try('l', 3);
DROP TRIGGER after_row ON l;
CREATE TRIGGER before_statement BEFORE INSERT ON l EXECUTE FUNCTION note();
SELECT try('l', 4);
DROP TRIGGER before_statement ON l;
CREATE TRIGGER after_statement AFTER INSERT ON l EXECUTE FUNCTION note();
SELECT try('l', 5);
DROP TRIGGER after_statement ON l;
SELECT op, count(*) FROM seen GROUP BY op ORDER BY op COLLATE "C";
-- one that is for others does no harm, nor does one that was dropped
CREATE TRIGGER after_delete AFTER DELETE ON l EXECUTE FUNCTION note();
SELECT try('l', 6);
SELECT show('l');
SELECT kyro.drop_log('l');

-- constraints
SELECT kyro.create_log('l');
SELECT try('l', 1);
ALTER TABLE l ADD CHECK (key > 0);
SELECT try('l', 2, 1), try('l', 3, -1);
ALTER TABLE l DROP CONSTRAINT l_key_check;
DELETE FROM l;
ALTER TABLE l ALTER kind SET NOT NULL;
SELECT try('l', 4, 1), try('l', 5, 1, 'k');
\set VERBOSITY sqlstate
SELECT kyro.append('l', NULL, kind => 'k');
\set VERBOSITY default
ALTER TABLE l ALTER kind DROP NOT NULL;
CREATE TABLE keys (key bigint PRIMARY KEY);
INSERT INTO keys VALUES (1);
DELETE FROM l;
ALTER TABLE l ADD FOREIGN KEY (key) REFERENCES keys;
SELECT try('l', 6, 1), try('l', 7, 2);
ALTER TABLE l DROP CONSTRAINT l_key_fkey;
DELETE FROM l;
CREATE UNIQUE INDEX one_key ON l (key) INCLUDE (kind);
SELECT kyro.append('l', '1', 3, request_id => id(8)) > 0 AS done;
SELECT try('l', 9, 3);
DROP INDEX one_key;
CREATE UNIQUE INDEX one_lower ON l (lower(kind));
SELECT kyro.append('l', '1', kind => 'A', request_id => id(10)) > 0 AS done;
SELECT try('l', 11, kind => 'a');
DROP INDEX one_lower;
CREATE UNIQUE INDEX of_some ON l (key) WHERE kind = 'only';
SELECT try('l', 12, 8, 'any'), try('l', 13, 9, 'only');
DROP INDEX of_some;
DELETE FROM l;
ALTER TABLE l ADD EXCLUDE USING hash (kind WITH =);
SELECT try('l', 14, 9, 'ex');
ALTER TABLE l DROP CONSTRAINT l_kind_excl;
DELETE FROM l;
ALTER TABLE l ADD UNIQUE (key) DEFERRABLE INITIALLY DEFERRED;
SELECT try('l', 15, 1);
BEGIN;
SELECT kyro.append('l', '1', 2) > 0 AS done;
SELECT kyro.append('l', '1', 2, request_id => id(16)) > 0 AS done;
\set VERBOSITY sqlstate
COMMIT;
\set VERBOSITY default
SELECT kyro.drop_log('l');

-- columns: other types, one more, defaults, identity, another horizon
SELECT kyro.create_log('l');
SELECT try('l', 1, 5, 'k');
ALTER TABLE l ALTER kind TYPE varchar(3);
SELECT try('l', 2, 5, 'abc'), try('l', 3, 5, 'abcd');
ALTER TABLE l ALTER kind TYPE text, ALTER at TYPE timestamptz(0);
SELECT try('l', 3, 5);
SELECT bool_and(at = date_trunc('second', at)) AS seconds FROM l;
ALTER TABLE l ALTER at TYPE timestamptz;
CREATE DOMAIN small AS bigint CHECK (VALUE < 10);
ALTER TABLE l ALTER key TYPE small;
SELECT try('l', 4, 9), try('l', 5, 10);
ALTER TABLE l ALTER key TYPE bigint;
ALTER TABLE l ADD who name DEFAULT current_user, ADD n bigint GENERATED ALWAYS AS IDENTITY, ADD twice bigint GENERATED ALWAYS AS (key * 2) STORED;
SELECT try('l', 6, 4);
SELECT show('l', 'payload, key, who = current_user AS who, n > 0 AS n, twice');
ALTER TABLE l DROP who, DROP n, DROP twice;
SELECT try('l', 7, 4, 'k');
ALTER TABLE l ALTER at SET DEFAULT '2000-01-01 00:00Z';
SELECT try('l', 8);
ALTER TABLE l ALTER at SET DEFAULT clock_timestamp(), ALTER "offset" SET DEFAULT kyro.next_offset('l_offset_seq') + 1000;
SELECT try('l', 9);
SELECT show('l', 'payload, key, kind, at = ''2000-01-01 00:00Z'' AS long_ago, "offset" > 1000 AS more');
-- the request is written by default, too
ALTER TABLE l ALTER "offset" SET DEFAULT kyro.next_offset('l_offset_seq'), ALTER request_id SET DEFAULT id(10);
SELECT try('l', 11);
SELECT show('l');
-- a function that does something else
ALTER TABLE l ALTER request_id DROP DEFAULT;
SELECT try('l', 15);
BEGIN;
CREATE OR REPLACE FUNCTION kyro.event_horizon("offset" bigint) RETURNS xid8 LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT '7'::xid8 $$;
SELECT try('l', 16);
SELECT show('l', 'payload, horizon = ''7'' AS other');
ROLLBACK;
SELECT try('l', 17);
SELECT show('l', 'payload, horizon = ''7'' AS other');
-- without an index of requests, or with several
DROP INDEX l_request_id_idx;
SELECT try('l', 12);
SELECT kyro.append('l', '12') > 0 AS done;
CREATE UNIQUE INDEX ON l (request_id);
SELECT try('l', 13);
CREATE UNIQUE INDEX ON l (request_id) WHERE request_id IS NOT NULL;
SELECT try('l', 14);
SELECT show('l');
SELECT kyro.drop_log('l');

-- rules, kinds of tables
SELECT kyro.create_log('l');
SELECT try('l', 1);
CREATE RULE r AS ON INSERT TO l DO ALSO INSERT INTO seen VALUES ('rule');
SELECT kyro.append('l', '2') > 0 AS done;
SELECT count(*) FROM seen WHERE op = 'rule';
DROP RULE r ON l;
SELECT try('l', 3);
SELECT try('l', 5);
ALTER TABLE l SET UNLOGGED;
SELECT try('l', 6);
ALTER TABLE l SET ACCESS METHOD heap;
SELECT try('l', 7);
ALTER TABLE l SET ACCESS METHOD kyro;
SELECT rows > 0 AS sealed FROM kyro.snapshot('l');
SELECT try('l', 7), try('l', 8);
TRUNCATE l;
SELECT try('l', 7);
SELECT show('l');
BEGIN READ ONLY;
SELECT kyro.append('l', '1');
ROLLBACK;
SELECT kyro.create_log('parts', partition_by => 'offset', every => '10');
SELECT try('parts', 1);
SELECT show('parts');
SELECT try((SELECT relid::regclass::text FROM pg_partition_tree('parts') WHERE isleaf ORDER BY 1 LIMIT 1), 1) ~ '^(0A|23|42)' AS refused;
SELECT kyro.drop_log('parts');

-- privileges, each asked for at each call
CREATE ROLE regress_appender;
GRANT USAGE ON SCHEMA lapp TO regress_appender;
CREATE FUNCTION may(n int) RETURNS TABLE (request text, plain text) LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM kyro.append('l', '1', request_id => id(n));
		request := 'yes';
	EXCEPTION WHEN insufficient_privilege THEN
		request := SQLERRM;
	END;
	BEGIN
		PERFORM kyro.append('l', '1');
		plain := 'yes';
	EXCEPTION WHEN insufficient_privilege THEN
		plain := SQLERRM;
	END;
	RETURN NEXT;
END $$;
SET ROLE regress_appender;
SELECT may(20);
RESET ROLE;
GRANT INSERT ON l TO regress_appender;
SET ROLE regress_appender;
SELECT may(21);
RESET ROLE;
GRANT SELECT ("offset") ON l TO regress_appender;
SET ROLE regress_appender;
SELECT may(22);
RESET ROLE;
GRANT SELECT (request_id) ON l TO regress_appender;
SET ROLE regress_appender;
SELECT may(23);
RESET ROLE;
REVOKE INSERT ON l FROM regress_appender;
GRANT INSERT (payload, key, kind) ON l TO regress_appender;
SET ROLE regress_appender;
SELECT may(24);
RESET ROLE;
GRANT INSERT (request_id) ON l TO regress_appender;
SET ROLE regress_appender;
SELECT may(25);
RESET ROLE;
REVOKE EXECUTE ON FUNCTION kyro.next_offset(regclass) FROM PUBLIC;
SET ROLE regress_appender;
SELECT may(26);
RESET ROLE;
GRANT EXECUTE ON FUNCTION kyro.next_offset(regclass) TO PUBLIC;
REVOKE EXECUTE ON FUNCTION kyro.event_horizon(bigint) FROM PUBLIC;
SET ROLE regress_appender;
SELECT may(27);
RESET ROLE;
GRANT EXECUTE ON FUNCTION kyro.event_horizon(bigint) TO PUBLIC;
SET ROLE regress_appender;
SELECT may(28);
RESET ROLE;
-- row security: the owner is exempt, others are not
ALTER TABLE l ENABLE ROW LEVEL SECURITY;
SET ROLE regress_appender;
SELECT may(29);
RESET ROLE;
CREATE POLICY p ON l USING (true) WITH CHECK (key = 1);
SET ROLE regress_appender;
SELECT may(30);
SELECT kyro.append('l', '1', key => 1, request_id => id(31)) > 0 AS done;
RESET ROLE;
ALTER TABLE l DISABLE ROW LEVEL SECURITY;
SET ROLE regress_appender;
SELECT may(32);
RESET ROLE;
DROP OWNED BY regress_appender;
DROP ROLE regress_appender;
-- a table that keeps a history records it
ALTER TABLE l SET LOGGED;
SELECT kyro.keep_history('l', "for" => '1 day');
SELECT try('l', 33);
SELECT count(*) FROM kyro.changes(NULL::l);
SELECT kyro.drop_history('l');
SELECT * FROM kyro.verify('l', deep => true);
-- children, and being a partition
CREATE TABLE child () INHERITS (l);
INSERT INTO child ("offset", payload, request_id) VALUES (1000, '"child"', id(4));
SELECT kyro.append('l', '4', request_id => id(4));
DROP TABLE child;
SELECT try('l', 34);
SELECT kyro.create_log('m');
CREATE TABLE whole (LIKE m INCLUDING DEFAULTS INCLUDING GENERATED) PARTITION BY RANGE (key);
SELECT try('m', 1, 5);
ALTER TABLE whole ATTACH PARTITION m FOR VALUES FROM (1) TO (10);
SELECT try('m', 2, 5), try('m', 3, 50);
SELECT show('m');
-- offsets are greater than 0, which stands for no event
SELECT kyro.create_log('below');
ALTER SEQUENCE below_offset_seq MINVALUE -5 RESTART 0;
SELECT kyro.append('below', '1');
SELECT kyro.append('below', '1');
