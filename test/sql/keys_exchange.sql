-- one index in the place of another: kyro.swap_index, kyro.replace_btree, kyro.restore_btree
SET session_preload_libraries = kyrodb;	-- as far as those are warned who have not
LOAD 'kyrodb';
CREATE SCHEMA keys_exchange;
SET search_path = keys_exchange, public;
\getenv srcdir PG_ABS_SRCDIR
\set shown :srcdir '/lib/shown.psql'
\set ECHO none
\i :shown
\set ECHO all
\set VERBOSITY default

CREATE FUNCTION indexes(VARIADIC tables regclass[]) RETURNS TABLE (index name, method name, shows name, options text[], roles text, definition text, comment text, target int)
LANGUAGE sql AS $$
	SELECT c.relname, a.amname, shown(i), c.reloptions,
		   concat_ws(' ', CASE WHEN NOT i.indisvalid THEN 'invalid' END, CASE WHEN i.indisunique THEN 'unique' END, CASE WHEN i.indisprimary THEN 'primary' END,
			(SELECT string_agg(k.conname || ':' || k.contype::text, ' ' ORDER BY k.conname) FROM pg_constraint k WHERE k.conindid = c.oid),
			CASE WHEN i.indisclustered THEN 'clustered' END, CASE WHEN i.indisreplident THEN 'identity' END),
		   pg_get_indexdef(c.oid, 1, false) || coalesce(' where ' || pg_get_expr(i.indpred, i.indrelid), ''), obj_description(c.oid, 'pg_class'),
		   (SELECT attstattarget FROM pg_attribute WHERE attrelid = c.oid AND attstattarget >= 0)
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
	WHERE i.indrelid = ANY (tables) ORDER BY i.indrelid, c.relname COLLATE "C"
$$;

CREATE TABLE t (id bigint PRIMARY KEY, v int, at timestamptz, name text UNIQUE, y int UNIQUE DEFERRABLE);
INSERT INTO t SELECT g, g % 1000, '2024-01-01 00:00+00'::timestamptz + g * interval '1 s', g, g FROM generate_series(1, 20000) g;
CREATE TABLE c (t bigint REFERENCES t);
INSERT INTO c VALUES (5);
COMMENT ON INDEX t_pkey IS 'the key';
ALTER TABLE t CLUSTER ON t_pkey;
ALTER TABLE t REPLICA IDENTITY USING INDEX t_pkey;
CREATE INDEX t_v ON t (v) WHERE v > 5;
CREATE INDEX t_at ON t (at DESC);
CREATE INDEX t_e ON t ((v + 1)) WITH (fillfactor = 80);
ALTER INDEX t_e ALTER COLUMN 1 SET STATISTICS 77;
CREATE INDEX t_two ON t (v, at);
CREATE INDEX t_inc ON t (v) INCLUDE (at);

-- by hand
CREATE UNIQUE INDEX t_new ON t USING kyro_rmi (id);
SELECT kyro.swap_index('t_pkey', 't_new');
SELECT * FROM indexes('t') WHERE index IN ('t_pkey', 't_new');
INSERT INTO t VALUES (5, 1) ON CONFLICT (id) DO UPDATE SET v = -1 RETURNING id, v;
INSERT INTO t VALUES (5, 1) ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET v = -2 RETURNING id, v;
DELETE FROM t WHERE id = 5;
SELECT kyro.swap_index('t_pkey', 't_new');
SELECT * FROM indexes('t') WHERE index IN ('t_pkey', 't_new');
SELECT count(*) FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = 't_pkey'::regclass AND refclassid = 'pg_opclass'::regclass;
DROP INDEX t_new;
-- what is no substitute
CREATE INDEX t_new ON t USING kyro_rmi (id);
SELECT kyro.swap_index('t_pkey', 't_new');
SELECT kyro.swap_index('t_v', 't_new');
SELECT kyro.swap_index('t_two', 't_new');
SELECT kyro.swap_index('t_y_key', 't_new');
SELECT kyro.swap_index('t_new', 't_pkey');
SELECT kyro.swap_index('t_new', 't_new');
SELECT kyro.swap_index('t', 't_new');
SELECT kyro.swap_index('t_name_key', 't_new');
CREATE UNIQUE INDEX other ON c USING kyro_rmi (t);
SELECT kyro.swap_index('t_pkey', 'other');
DROP INDEX t_new, other;
CREATE ROLE regress_keys_else;
GRANT USAGE ON SCHEMA keys_exchange TO regress_keys_else;
SET ROLE regress_keys_else;
SELECT kyro.swap_index('t_pkey', 't_v');
SELECT kyro.adopt_index('t_pkey');
CALL kyro.replace_btree('t');
RESET ROLE;
DROP OWNED BY regress_keys_else;
DROP ROLE regress_keys_else;

-- all that can be of a table, and back
CREATE TABLE before AS SELECT * FROM indexes('t', 'c');
SET client_min_messages = warning;	-- sizes are told
CALL kyro.replace_btree('t');
SELECT * FROM indexes('t');
SELECT index, problem FROM indexes('t'), kyro.verify(('keys_exchange.' || index)::regclass, deep => true) WHERE method = 'kyro_rmi';
CALL kyro.replace_btree('t');
INSERT INTO c VALUES (-5);
DELETE FROM t WHERE id = 5;
CALL kyro.restore_btree('t');
(TABLE before EXCEPT ALL SELECT * FROM indexes('t', 'c')) UNION ALL (SELECT * FROM indexes('t', 'c') EXCEPT ALL TABLE before);
RESET client_min_messages;
-- one index, with the reason if it cannot be
CALL kyro.replace_btree('t_at');
CALL kyro.replace_btree('t_y_key');
CALL kyro.replace_btree('t_name_key');
CALL kyro.replace_btree('t_two');
CALL kyro.replace_btree('t_inc');
BEGIN;
CALL kyro.replace_btree('t');
ROLLBACK;
DO $$ BEGIN CALL kyro.replace_btree('t'); END $$;
CALL kyro.replace_btree(NULL);
CALL kyro.replace_btree('pg_class');
CREATE VIEW vw AS SELECT 1;
CALL kyro.replace_btree('vw');
CREATE TABLE t_pkey_exchange ();
CALL kyro.replace_btree('t_pkey');
DROP TABLE t_pkey_exchange;
CREATE UNIQUE INDEX t_pkey_exchange ON t (id);
CALL kyro.replace_btree('t_pkey');
DROP INDEX t_pkey_exchange;
-- what a stopped one has left is gone on with
CREATE UNIQUE INDEX t_pkey_exchange ON t USING kyro_rmi (id);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_pkey_exchange'::regclass;
SET client_min_messages = warning;
CALL kyro.replace_btree('t_pkey');
SELECT * FROM indexes('t') WHERE index LIKE 't_pkey%';
CREATE UNIQUE INDEX t_pkey_exchange ON t (id);
CALL kyro.replace_btree('t_pkey');
SELECT * FROM indexes('t') WHERE index LIKE 't_pkey%';
-- other kinds of tables, and names
\getenv srcdir PG_ABS_SRCDIR
\set refresh :srcdir '/lib/refresh.psql'
\set ECHO none
\i :refresh
\set ECHO all
CREATE MATERIALIZED VIEW mv AS SELECT id FROM t;
CREATE UNIQUE INDEX mv_id ON mv (id);
CALL kyro.replace_btree('mv');	-- up to 17 passed over, for REFRESH
SELECT method = CASE WHEN current_setting('server_version_num')::int < 180000 THEN 'btree' ELSE 'kyro_rmi' END AS right FROM indexes('mv');
REFRESH MATERIALIZED VIEW CONCURRENTLY mv;
CALL kyro.replace_btree('mv_id');
SELECT refresh('mv', 'mv_id');
CALL kyro.restore_btree('mv');
REFRESH MATERIALIZED VIEW CONCURRENTLY mv;
CREATE TABLE "A ""strange"" name that is as long as a name of anything may be at the most" (k int PRIMARY KEY) USING kyro;
INSERT INTO "A ""strange"" name that is as long as a name of anything may be at the most" SELECT generate_series(1, 1000);
CALL kyro.replace_btree('"A ""strange"" name that is as long as a name of anything may be at the most"');
SELECT method, roles FROM indexes('"A ""strange"" name that is as long as a name of anything may be at the most"');
CALL kyro.restore_btree('"A ""strange"" name that is as long as a name of anything may be at the most"');
SELECT method, roles FROM indexes('"A ""strange"" name that is as long as a name of anything may be at the most"');
RESET client_min_messages;
-- whoever has locked the table can exchange the index of a deferrable constraint
BEGIN;
LOCK TABLE t IN ACCESS EXCLUSIVE MODE;
CREATE UNIQUE INDEX t_y ON t USING kyro_rmi (y);
SELECT kyro.swap_index('t_y_key', 't_y');
DROP INDEX t_y;
COMMIT;
UPDATE t SET y = y + 1;
SELECT method, roles FROM indexes('t') WHERE index = 't_y_key';
SELECT * FROM kyro.verify('t_y_key', deep => true);
