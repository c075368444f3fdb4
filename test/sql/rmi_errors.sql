--
-- Everything that is refused: by what message, and with what SQLSTATE.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
DROP ROLE IF EXISTS regress_kyro_other;
CREATE SCHEMA errors;
SET search_path = errors, public;
\set VERBOSITY default
CREATE TABLE t (k bigint, j bigint, s text, n numeric, u uuid, f float8, b boolean, tm time, i interval, a bigint[]);
INSERT INTO t SELECT g, g FROM generate_series(1, 100) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE INDEX t_btree ON t (k);

-- types
CREATE INDEX ON t USING kyro_rmi (s);
CREATE INDEX ON t USING kyro_rmi (n);
CREATE INDEX ON t USING kyro_rmi (u);
CREATE INDEX ON t USING kyro_rmi (f);
CREATE INDEX ON t USING kyro_rmi (b);
CREATE INDEX ON t USING kyro_rmi (tm);
CREATE INDEX ON t USING kyro_rmi (i);
CREATE INDEX ON t USING kyro_rmi (a);
CREATE INDEX ON t USING kyro_rmi ((k + 0.5));
CREATE INDEX ON t USING kyro_rmi (lower(s));
CREATE INDEX ON t USING kyro_rmi (s text_ops);
CREATE INDEX ON t USING kyro_rmi (k pg_catalog.int8_ops);
-- shape
CREATE INDEX ON t USING kyro_rmi (k, j);
CREATE INDEX ON t USING kyro_rmi (k) INCLUDE (j);
CREATE INDEX ON t USING kyro_rmi (k DESC);
CREATE INDEX ON t USING kyro_rmi (k NULLS FIRST);
CREATE INDEX ON t USING kyro_rmi (k DESC NULLS LAST);
CREATE INDEX ON t USING kyro_rmi (k COLLATE "C");
CREATE INDEX ON t USING kyro_rmi (ctid);
-- these say the same in other words, and pass
CREATE INDEX t_asc ON t USING kyro_rmi (k ASC NULLS LAST);
DROP INDEX t_asc;
-- on a parent, an error as soon as there is a partition
CREATE TABLE pt (k bigint) PARTITION BY RANGE (k);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (100);
CREATE INDEX ON pt USING kyro_rmi (k DESC);
CREATE INDEX pt_k ON pt USING kyro_rmi (k);
CREATE UNIQUE INDEX ON pt USING kyro_rmi (k DESC);

-- options
CREATE INDEX ON t USING kyro_rmi (k) WITH (fillfactor = 9);
CREATE INDEX ON t USING kyro_rmi (k) WITH (fillfactor = 101);
CREATE INDEX ON t USING kyro_rmi (k) WITH (fillfactor = abc);
CREATE INDEX ON t USING kyro_rmi (k) WITH (fillfactor);
CREATE INDEX ON t USING kyro_rmi (k) WITH (nonsense = 1);
CREATE INDEX ON t USING kyro_rmi (k) WITH (deduplicate_items = on);
ALTER INDEX t_k SET (fillfactor = 0);
ALTER INDEX t_k SET (buffering = on);
ALTER INDEX t_k RESET (nonsense);
SET kyro.directory_cache = 'lots';
SET kyro.nonsense = 1;

-- constraints are btree's
CREATE UNIQUE INDEX t_u ON t USING kyro_rmi (j);
CREATE TABLE fk (j bigint REFERENCES t (j));
INSERT INTO t (k, j) VALUES (1, 1) ON CONFLICT ON CONSTRAINT t_u DO NOTHING;
-- concurrent refresh wants a unique btree, before PostgreSQL 18
\getenv srcdir PG_ABS_SRCDIR
\set refresh :srcdir '/lib/refresh.psql'
\set ECHO none
\i :refresh
\set ECHO all
CREATE MATERIALIZED VIEW mv AS SELECT DISTINCT k FROM t WHERE k IS NOT NULL;
CREATE UNIQUE INDEX mv_k ON mv USING kyro_rmi (k);
LOAD 'kyrodb';
SELECT refresh('mv', 'mv_k');
REFRESH MATERIALIZED VIEW mv;
CREATE MATERIALIZED VIEW mv_none AS SELECT 1 AS k;
REFRESH MATERIALIZED VIEW CONCURRENTLY mv_none;
DROP MATERIALIZED VIEW mv_none;

-- functions: on tables, views, sequences, btrees, partitioned indexes, nothing, NULL
CREATE VIEW v AS SELECT k FROM t;
CREATE SEQUENCE seq;
CREATE FUNCTION try(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	msg text;
	det text;
	hint text;
	code text;
	n bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM ' || call || ' f WHERE f IS NOT NULL' INTO n;
	RETURN n || ' rows';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS msg = MESSAGE_TEXT, det = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, code = RETURNED_SQLSTATE;
	RETURN code || ' ' || msg || CASE WHEN det <> '' THEN E'\nDETAIL: ' || det ELSE '' END || CASE WHEN hint <> '' THEN E'\nHINT: ' || hint ELSE '' END;
END $$;
CREATE VIEW calls AS SELECT row_number() OVER () AS nr, f FROM unnest(ARRAY['kyro.rebuild(%s)', 'kyro.warmup(%s)', 'kyro.verify(%s)',
	'kyro.verify(%s, true)', 'kyro.model(%s)', 'kyro.model_leaves(%s)', 'kyro.trace(%s, 1)', 'kyro.index_shape(%s)', 'kyro.export_model(%s)', 'kyro.training_keys(%s)', 'kyro.model_history(%s)',
	'kyro.explain(%s, 1)', 'kyro.import_model(%s, ''x'')']) f;
\t on
\pset format unaligned
SELECT format(f, arg), try(format(f, arg)) FROM calls, unnest(ARRAY[$$'t'$$, $$'t_btree'$$, $$'v'$$, $$'seq'$$, $$'pt_k'$$, $$'pt'$$,
	$$'mv'$$, $$4294967295$$, $$0$$, $$1259$$, $$'pg_class_oid_index'$$, $$'nonexistent'$$, $$NULL$$]) WITH ORDINALITY u(arg, o) ORDER BY o, nr;
SELECT format(f, arg), try(format(f, arg)) FROM (VALUES ('kyro.verify(%s)', $$'t_k', NULL$$), ('kyro.trace(%s)', $$'t_k', NULL$$),
	('kyro.trace(%s)', $$'t_k'$$), ('kyro.rebuild(%s)', $$'t_k', 1$$)) x(f, arg);

-- other people's indexes
CREATE ROLE regress_kyro_other;
GRANT USAGE ON SCHEMA errors TO regress_kyro_other;
GRANT SELECT ON calls TO regress_kyro_other;
SET ROLE regress_kyro_other;
SELECT format(f, arg), try(format(f, arg)) FROM calls, unnest(ARRAY[$$'t_k'$$]) arg ORDER BY nr;
RESET ROLE;
GRANT SELECT ON t TO regress_kyro_other;
GRANT pg_monitor TO regress_kyro_other;
SET ROLE regress_kyro_other;
SELECT format(f, arg), try(format(f, arg)) FROM calls, unnest(ARRAY[$$'t_k'$$]) arg ORDER BY nr;
\set VERBOSITY sqlstate
REINDEX INDEX t_k;
\set VERBOSITY default
DROP INDEX t_k;
RESET ROLE;
\pset format aligned
\t off

-- an index that is not valid
CREATE TABLE dup AS SELECT g % 10 AS k FROM generate_series(1, 20) g;
CREATE UNIQUE INDEX CONCURRENTLY dup_k ON dup USING kyro_rmi (k);
\t on
\pset format unaligned
SELECT format(f, arg), try(format(f, arg)) FROM calls, unnest(ARRAY[$$'dup_k'$$]) arg ORDER BY nr;
\pset format aligned
\t off
DROP INDEX dup_k;

-- not in a read-only transaction
BEGIN READ ONLY;
SELECT * FROM kyro.rebuild('t_k');
ROLLBACK;
BEGIN READ ONLY;
SELECT kyro.warmup('t_k') > 0 AS warm;
SELECT count(*) FROM kyro.verify('t_k', true);
ROLLBACK;

-- and the codes alone
\set VERBOSITY sqlstate
CREATE INDEX ON t USING kyro_rmi (s);
CREATE INDEX ON t USING kyro_rmi (n);
CREATE INDEX ON t USING kyro_rmi (k, j);
CREATE INDEX ON t USING kyro_rmi (k) INCLUDE (j);
CREATE INDEX ON t USING kyro_rmi (k DESC);
CREATE INDEX ON t USING kyro_rmi (k NULLS FIRST);
CREATE INDEX ON t USING kyro_rmi ((k + 0.5));
CREATE UNIQUE INDEX ON pt USING kyro_rmi (k DESC);
CREATE INDEX ON t USING kyro_rmi (k) WITH (fillfactor = 1);
CREATE INDEX ON t USING kyro_rmi (k) WITH (fillfactor = abc);
CREATE INDEX ON t USING kyro_rmi (k) WITH (nonsense = 1);
SET kyro.directory_cache = -1;
SELECT * FROM kyro.rebuild('t');
SELECT * FROM kyro.rebuild('t_btree');
SELECT * FROM kyro.model('pt_k');
SELECT * FROM kyro.rebuild(4294967295);
SELECT * FROM kyro.model('nonexistent');
\set VERBOSITY default
-- after all that, what there was is as it was
SELECT count(*) FROM kyro.verify('t_k', true);
SELECT count(*) FROM kyro.verify('t_u', true);
DROP OWNED BY regress_kyro_other;
DROP ROLE regress_kyro_other;
