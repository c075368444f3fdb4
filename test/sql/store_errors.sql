--
-- Everything about kyro tables that is refused: by what message, and with what
-- SQLSTATE.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
DROP ROLE IF EXISTS regress_kyro_owner, regress_kyro_else;
CREATE SCHEMA store_errors;
SET search_path = store_errors, public;
-- Runs a statement; says what became of it.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	msg text;
	det text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS msg = MESSAGE_TEXT, det = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN format('%s: %s', SQLSTATE, msg) || CASE WHEN det <> '' THEN E'\nDETAIL: ' || det ELSE '' END || CASE WHEN hint <> '' THEN E'\nHINT: ' || hint ELSE '' END;
END $$;
\pset format unaligned
\pset tuples_only on
CREATE TABLE t (id int PRIMARY KEY, v text) USING kyro;
INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 1000) g;
SELECT rows FROM kyro.snapshot('t', 500);

-- kyro.snapshot: of what is not a kyro table
CREATE TABLE h (id int) USING heap;
CREATE TABLE p (id int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10) USING kyro;
CREATE VIEW v AS SELECT * FROM t;
CREATE SEQUENCE s;
CREATE TYPE c AS (a int);
CREATE INDEX t_k ON t USING kyro_rmi (id);
CREATE MATERIALIZED VIEW mvh USING heap AS SELECT * FROM t;
SELECT r AS rel, try(format('SELECT kyro.snapshot(%L)', r)) FROM unnest(ARRAY['h', 'p', 'v', 's', 'c', 't_k', 't_pkey', 'mvh', 'pg_class', 'pg_stat_activity', 'nowhere']) r;
SELECT try('SELECT kyro.snapshot(0)');
SELECT try('SELECT kyro.snapshot(4294967295)');
SELECT try('SELECT kyro.snapshot(reltoastrelid) FROM pg_class WHERE oid = ''t''::regclass') ~ '^42809: ' AS toast;
SELECT try('SELECT kyro.snapshot(''p1'')');
-- numbers of rows
SELECT n, try(format('SELECT kyro.snapshot(''t'', %s)', n)) FROM unnest(ARRAY['0', '-1', '-9223372036854775808', '1.5', '9223372036854775808']) n;
-- NULL for the table is no table
SELECT run, rows FROM kyro.snapshot(NULL);
\set VERBOSITY sqlstate
SELECT kyro.snapshot('h');
SELECT kyro.snapshot('p');
SELECT kyro.snapshot('t', 0);
\set VERBOSITY default

-- in a transaction with a fixed snapshot, that may not write, with the table in use
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT kyro.snapshot('t');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT kyro.snapshot('t');
ROLLBACK;
BEGIN READ ONLY;
SELECT kyro.snapshot('t');
ROLLBACK;
SET default_transaction_read_only = on;
SELECT kyro.snapshot('t');
RESET default_transaction_read_only;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM t ORDER BY id;
FETCH 1 FROM c;
SELECT kyro.snapshot('t');
ROLLBACK;
SELECT kyro.snapshot('t') FROM t LIMIT 1;
SELECT (SELECT rows FROM kyro.snapshot('t')), (SELECT count(*) FROM t);
INSERT INTO t SELECT rows + 2000, 'own' FROM kyro.snapshot('t');
CREATE TABLE d (id int UNIQUE DEFERRABLE INITIALLY DEFERRED) USING kyro;
BEGIN;
INSERT INTO d VALUES (1), (1);
SELECT kyro.snapshot('d');
ROLLBACK;
CREATE FUNCTION seal_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM kyro.snapshot(TG_RELID); RETURN NEW; END $$;
CREATE TABLE trg (id int) USING kyro;
CREATE TRIGGER a BEFORE INSERT ON trg FOR EACH ROW EXECUTE FUNCTION seal_it();
INSERT INTO trg VALUES (1);
DROP TRIGGER a ON trg;
CREATE TRIGGER a AFTER INSERT ON trg FOR EACH STATEMENT EXECUTE FUNCTION seal_it();
INSERT INTO trg VALUES (1);
DROP TRIGGER a ON trg;
CREATE FUNCTION seal_by(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM kyro.snapshot('store_errors.trg'); RETURN $1; END $$;
CREATE INDEX trg_e ON trg (seal_by(id));
INSERT INTO trg VALUES (1);
DROP INDEX trg_e;
INSERT INTO trg VALUES (1);
CREATE INDEX trg_e ON trg (seal_by(id));
-- rows that this transaction has locked stay in the log, locked
BEGIN;
SELECT id FROM t WHERE id = 999 FOR UPDATE;
SELECT rows > 400 AS most FROM kyro.snapshot('t');
SELECT xmax <> 0 AS locked FROM t WHERE id = 999;
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT id FROM t WHERE id = 999 FOR KEY SHARE;
SAVEPOINT b;
SELECT rows > 400 AS most FROM kyro.snapshot('t');
SELECT rows FROM kyro.snapshot('t');
ROLLBACK TO b;
SELECT xmax <> 0 AS locked FROM t WHERE id = 999;
ROLLBACK;
-- locks that are gone are no hindrance, nor those of sealed rows
BEGIN;
SELECT id FROM t WHERE id = 1 FOR UPDATE;
SELECT rows > 400 AS most FROM kyro.snapshot('t');
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT id FROM t WHERE id = 998 FOR UPDATE;
ROLLBACK TO a;
SELECT rows > 400 AS most FROM kyro.snapshot('t');
ROLLBACK;
BEGIN;
SELECT id FROM t WHERE id = 998 FOR UPDATE;
COMMIT;
SELECT rows > 400 AS most FROM kyro.snapshot('t');

-- by whom: the owner and those who are one, nobody else
CREATE ROLE regress_kyro_owner;
CREATE ROLE regress_kyro_else;
GRANT USAGE ON SCHEMA store_errors TO regress_kyro_owner, regress_kyro_else;
GRANT CREATE ON SCHEMA store_errors TO regress_kyro_owner;
SET ROLE regress_kyro_owner;
CREATE TABLE mine (id int PRIMARY KEY) USING kyro;
INSERT INTO mine SELECT g FROM generate_series(1, 100) g;
SELECT rows FROM kyro.snapshot('mine', 50);
GRANT ALL ON mine TO regress_kyro_else;
SET ROLE regress_kyro_else;
SELECT kyro.snapshot('mine');
SELECT kyro.snapshot('t');
SELECT try('SELECT count(*) FROM kyro.verify(''mine'')');
SELECT try('SELECT kyro.warmup(''mine'')');
SELECT try('SELECT count(*) FROM kyro.verify(''t'')');
SELECT try('SELECT kyro.warmup(''t'')');
SELECT count(*) FROM mine;
SELECT count(*) FROM t;
\set VERBOSITY sqlstate
SELECT kyro.snapshot('mine');
\set VERBOSITY default
RESET ROLE;
SELECT rows FROM kyro.snapshot('mine', 10);
GRANT regress_kyro_owner TO regress_kyro_else;
SET ROLE regress_kyro_else;
SELECT rows FROM kyro.snapshot('mine');
RESET ROLE;
-- a seal runs expressions of indexes as the owner, and undoes their settings
SET ROLE regress_kyro_owner;
CREATE TABLE trap (id int) USING kyro;
CREATE TABLE caught (who text);
CREATE FUNCTION snare(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE INDEX trap_i ON trap (snare(id));
CREATE OR REPLACE FUNCTION snare(int) RETURNS int VOLATILE LANGUAGE plpgsql AS $$ BEGIN INSERT INTO store_errors.caught VALUES (current_user); PERFORM set_config('work_mem', '999kB', false); RETURN $1; END $$;
INSERT INTO trap VALUES (1);
RESET ROLE;
RESET work_mem;
TRUNCATE caught;
SELECT rows FROM kyro.snapshot('trap');
SELECT count(*) > 0 AS ran, bool_and(who = 'regress_kyro_owner') AS as_owner FROM caught;
SHOW work_mem;
DROP TABLE mine, trap, caught;
DROP FUNCTION snare;
REVOKE ALL ON SCHEMA store_errors FROM regress_kyro_owner, regress_kyro_else;
DROP ROLE regress_kyro_owner, regress_kyro_else;

-- tables that the access method does not make
CREATE VIEW vv USING kyro AS SELECT 1;
CREATE TABLE o (id int) USING kyro WITH (nonsense = 1);
CREATE TABLE o (id int) USING kyro WITH (kyro.page = 1);
CREATE TABLE o (id int) USING kyro_rmi;
SET default_table_access_method = kyro_rmi;
ALTER TABLE t SET ACCESS METHOD kyro_rmi;
ALTER TABLE t SET (fillfactor = 5);
-- the extension stays while one of its tables does (others may be left by other tests, and fill the detail)
SELECT try('DROP EXTENSION kyrodb') LIKE '2BP01: cannot drop extension kyrodb because other objects depend on it%' AS refused;
SELECT deptype FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = 't'::regclass AND refclassid = 'pg_am'::regclass;
DROP ACCESS METHOD kyro;
DROP FUNCTION kyro.kyro_table_handler(internal);
-- a violated constraint names the row, wherever it is
INSERT INTO t VALUES (1, 'again'), (2000, NULL);
ALTER TABLE t ADD CHECK (id < 900);
ALTER TABLE t ADD UNIQUE (v), ADD EXCLUDE (v WITH =);
CREATE UNIQUE INDEX ON t ((id / 2));
ALTER TABLE t ALTER v TYPE int USING v::int;
SELECT count(*), sum(id) FROM t;
UPDATE t SET id = 1 / (id - 700) WHERE id = 700;
SELECT rows FROM kyro.snapshot('t');
SELECT r AS rel, f.* FROM unnest(ARRAY['t', 'd', 'trg', 'p1']) r, kyro.verify(r::regclass, true) f;
