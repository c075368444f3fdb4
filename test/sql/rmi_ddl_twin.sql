--
-- kyro_rmi beside a heap with btrees: what rmi_ddl.sql does not do.  Domains, types,
-- tablespaces as a whole, TRUNCATE of several tables, partitions attached and
-- detached, concurrent builds that fail, other access methods beside, cursors and
-- plans that outlive what they read, row security.  Each answer is that of a twin.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
DROP ROLE IF EXISTS regress_kyro_rls;
CREATE SCHEMA rmi_ddl;
CREATE SCHEMA rmi_ddl_b;
SET search_path = rmi_ddl, public;
-- Runs a statement for tables with kyro_rmi indexes, and for their twins in the other schema with btrees.
CREATE FUNCTION twin(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	path text := current_setting('search_path');
	a text;
	b text;
	kind text := CASE WHEN statement ~* '^\s*(SELECT|WITH|FETCH|VALUES)|RETURNING' THEN 'rows' ELSE 'command' END;
	q text;
	r record;
BEGIN
	FOREACH path IN ARRAY ARRAY['rmi_ddl', 'rmi_ddl_b'] LOOP
		q := replace(CASE path WHEN 'rmi_ddl' THEN statement ELSE replace(replace(statement, 'USING kyro_rmi', 'USING btree'), 'USING kyro', 'USING heap') END, '$s', path);
		PERFORM set_config('search_path', path || ', rmi_ddl, public', true);
		BEGIN
			b := a;
			IF kind = 'rows' THEN
				a := '';
				FOR r IN EXECUTE q LOOP
					a := a || r::text || ' ';
				END LOOP;
			ELSE
				EXECUTE q;
				GET DIAGNOSTICS a = ROW_COUNT;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			a := SQLSTATE || ' ' || SQLERRM;
		END;
	END LOOP;
	PERFORM set_config('search_path', 'rmi_ddl, public', true);
	RETURN CASE WHEN a IS DISTINCT FROM b THEN format('DIFFERENT: %s, not %s', b, a) WHEN length(a) > 100 THEN 'same, ' || length(a) ELSE a END;
END $$;
-- Compares a table with its twin, as read by its index and by a sequential scan, and verifies all of its indexes.
CREATE FUNCTION same(tbl text, key text DEFAULT 'k') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	mode text;
	cond text;
	s text;
BEGIN
	FOREACH mode IN ARRAY ARRAY['seq', 'index', 'bitmap'] LOOP
		PERFORM set_config('enable_seqscan', (mode = 'seq')::text, true), set_config('enable_indexscan', (mode = 'index')::text, true),
			set_config('enable_indexonlyscan', (mode = 'index')::text, true), set_config('enable_bitmapscan', (mode = 'bitmap')::text, true);
		FOREACH cond IN ARRAY ARRAY['%1$I IS NULL', '%1$I IS NOT NULL', '%1$I < 500', '%1$I BETWEEN 300 AND 2000', '%1$I = 77', '%1$I IN (5, 700, -1, 77)'] LOOP
			s := twin(format('SELECT count(*), sum(hashtextextended(t::text, 0)) FROM %2$I t WHERE ' || cond, key, tbl));
			IF s LIKE 'DIFF%' THEN
				RETURN NEXT format('%s, %s: %s', mode, cond, s);
			END IF;
		END LOOP;
		s := twin(format('SELECT array_agg(k) FROM (SELECT %1$I AS k FROM %2$I ORDER BY %1$I DESC) s', key, tbl));
		IF s LIKE 'DIFF%' THEN
			RETURN NEXT format('%s, in order: %s', mode, s);
		END IF;
	END LOOP;
	RETURN QUERY SELECT format('%s: block %s: %s', c.oid::regclass, v.block, v.problem) FROM pg_class c JOIN pg_am a ON a.oid = relam AND amname = 'kyro_rmi' JOIN pg_index i ON indexrelid = c.oid,
		LATERAL kyro.verify(c.oid, true) v WHERE c.relkind = 'i' AND indisvalid AND indrelid IN (SELECT relid FROM pg_partition_tree(('rmi_ddl.' || tbl)::regclass) UNION SELECT ('rmi_ddl.' || tbl)::regclass);
END $$;
CREATE FUNCTION numbers(n int) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT g, CASE WHEN g %% 50 <> 0 THEN (g * 7919) %% 3001 END, ''row '' || g FROM generate_series(1, %s) g', n)
$$;

-- domains, a type over another, types changed with and without the index being made anew
CREATE DOMAIN natural8 AS bigint CHECK (VALUE >= -10);
CREATE DOMAIN smaller AS natural8 CHECK (VALUE < 1000000);
CREATE DOMAIN day AS date;
SELECT twin('CREATE TABLE dom (id int, k smaller, v text)');
SELECT twin('CREATE INDEX dom_k ON dom USING kyro_rmi (k)');
SELECT twin('INSERT INTO dom ' || numbers(3000));
SELECT same('dom');
SELECT twin('INSERT INTO dom VALUES (0, -11)');
SELECT relfilenode AS before FROM pg_class WHERE oid = 'dom_k'::regclass \gset
SELECT twin('ALTER TABLE dom ALTER k TYPE bigint');
SELECT relfilenode = :before AS kept FROM pg_class WHERE oid = 'dom_k'::regclass;
SELECT same('dom');
SELECT twin('ALTER TABLE dom ALTER k TYPE int');
SELECT same('dom');
SELECT twin('ALTER TABLE dom ALTER k TYPE smallint');
SELECT twin('UPDATE dom SET k = k - 100 WHERE id % 3 = 0');
SELECT same('dom');
-- not what the index takes; a btree would
ALTER TABLE dom ALTER k TYPE numeric;
SELECT twin('SELECT count(*) FROM dom');
ALTER TABLE dom ADD d day DEFAULT '2024-02-29';
CREATE INDEX dom_d ON dom USING kyro_rmi (d);
SELECT count(*) FROM dom WHERE d = '2024-02-29';
SET timezone = 'UTC';
SELECT twin('CREATE TABLE ts (id int, k timestamp)');
SELECT twin('CREATE INDEX ts_k ON ts USING kyro_rmi (k)');
SELECT twin('INSERT INTO ts SELECT g, timestamp ''2024-01-01'' + g * interval ''7919 s'' FROM generate_series(1, 2000) g');
SELECT twin('ALTER TABLE ts ALTER k TYPE timestamptz');
SELECT twin('SELECT count(*), min(k), max(k) FROM ts WHERE k > ''2024-02-01 00:00 UTC''');
SELECT twin('ALTER TABLE ts ALTER k TYPE date');
SELECT twin('SELECT count(*), min(k), max(k) FROM ts WHERE k > ''2024-02-01 00:00''');
SELECT * FROM kyro.verify('ts_k', true);
RESET timezone;

-- statistics targets and names of columns of an expression index; options that take effect when it is made anew
SELECT twin('CREATE TABLE t (id int, k bigint, v text) WITH (autovacuum_enabled = off)');
SELECT twin('INSERT INTO t ' || numbers(5000));
SELECT twin('CREATE INDEX t_k ON t USING kyro_rmi (k)');
SELECT twin('CREATE INDEX t_e ON t USING kyro_rmi ((k / 10)) WHERE id % 2 = 0');
SELECT twin('ALTER INDEX t_e ALTER COLUMN 1 SET STATISTICS 500');
SELECT twin('ALTER INDEX t_k ALTER COLUMN 1 SET STATISTICS 500');
SELECT twin('ANALYZE t');
SELECT attname, n_distinct FROM pg_stats WHERE schemaname = 'rmi_ddl' AND tablename = 't_e';
SELECT pg_relation_size('t_k') AS before \gset
ALTER INDEX t_k SET (fillfactor = 50);
SELECT pg_relation_size('t_k') = :before AS not_yet;
REINDEX INDEX t_k;
SELECT pg_relation_size('t_k') > :before AS now;
SELECT same('t');

-- all of a tablespace
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_kyro_all LOCATION '';
ALTER TABLE t SET TABLESPACE regress_kyro_all;
ALTER INDEX t_k SET TABLESPACE regress_kyro_all;
CREATE TABLE inspace (id int, k bigint, v text) TABLESPACE regress_kyro_all;
CREATE INDEX inspace_k ON inspace USING kyro_rmi (k) TABLESPACE regress_kyro_all;
INSERT INTO inspace SELECT * FROM t;
ALTER INDEX ALL IN TABLESPACE regress_kyro_all SET TABLESPACE pg_default;
SELECT relname FROM pg_class WHERE reltablespace = (SELECT oid FROM pg_tablespace WHERE spcname = 'regress_kyro_all') AND relkind = 'i' AND relname NOT LIKE 'pg_toast%';
SELECT same('t');
ALTER INDEX inspace_k SET TABLESPACE regress_kyro_all;
REINDEX (TABLESPACE regress_kyro_all, CONCURRENTLY) INDEX t_k;
ALTER INDEX ALL IN TABLESPACE regress_kyro_all SET TABLESPACE pg_default NOWAIT;
ALTER TABLE ALL IN TABLESPACE regress_kyro_all SET TABLESPACE pg_default;
DROP TABLESPACE regress_kyro_all;
SELECT twin('UPDATE t SET k = k + 1 WHERE id % 10 = 1');
SELECT same('t');
SELECT * FROM kyro.verify('inspace_k', true);

-- TRUNCATE: several at once, with what refers to them and their sequences, in subtransactions that are undone
SELECT twin('CREATE TABLE main (id int PRIMARY KEY, k bigint GENERATED BY DEFAULT AS IDENTITY, v text)');
SELECT twin('CREATE TABLE detail (id int, k bigint, main int REFERENCES main)');
SELECT twin('CREATE INDEX main_k ON main USING kyro_rmi (k)');
SELECT twin('CREATE INDEX detail_k ON detail USING kyro_rmi (k)');
SELECT twin('INSERT INTO main (id, v) SELECT g, ''m'' FROM generate_series(1, 1500) g');
SELECT twin('INSERT INTO detail SELECT g, g, g % 1500 + 1 FROM generate_series(1, 3000) g');
SELECT twin('TRUNCATE main');
BEGIN;
SELECT twin('TRUNCATE main, detail, t RESTART IDENTITY');
SELECT twin('INSERT INTO main (id, v) SELECT g, ''again'' FROM generate_series(1, 500) g');
SELECT same('main'), same('detail'), same('t');
SAVEPOINT a;
SELECT twin('TRUNCATE main CASCADE');
SELECT twin('INSERT INTO main (id, v) SELECT g, ''once more'' FROM generate_series(1, 1000) g');
SAVEPOINT b;
SELECT twin('TRUNCATE main CASCADE');
SELECT same('main');
ROLLBACK TO b;
SELECT twin('DELETE FROM main WHERE k % 3 = 0');
SELECT same('main');
ROLLBACK TO a;
SELECT same('main');
RELEASE a;
ROLLBACK;
SELECT same('main'), same('detail'), same('t');
SELECT twin('TRUNCATE main, detail RESTART IDENTITY');
SELECT twin('INSERT INTO main (id, v) SELECT g, ''new'' FROM generate_series(1, 900) g');
SELECT twin('SELECT min(k), max(k) FROM main');
SELECT same('main'), same('detail');
-- foreign keys beside it: cascades find their rows through the index
SELECT twin('CREATE TABLE child (id int, k int REFERENCES main ON DELETE CASCADE ON UPDATE CASCADE, v text)');
SELECT twin('CREATE INDEX child_k ON child USING kyro_rmi (k)');
SELECT twin('INSERT INTO child SELECT g, g % 900 + 1, ''c'' FROM generate_series(1, 4000) g');
SET enable_seqscan = off;
SELECT twin('DELETE FROM main WHERE id BETWEEN 300 AND 400');
SELECT twin('UPDATE main SET id = id + 10000 WHERE id < 100');
RESET enable_seqscan;
SELECT same('child'), same('main');

-- partitions: attached with an index of their own or without, detached with a wait or without, rows that move, concurrent builds one by one
SELECT twin('CREATE TABLE p (id int, k bigint, v text) PARTITION BY RANGE (id)');
SELECT twin('CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000)');
SELECT twin('CREATE TABLE p2 (v text, k bigint, id int NOT NULL)');
SELECT twin('CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (2000) TO (5000) PARTITION BY LIST ((id % 2))');
SELECT twin('CREATE TABLE p31 PARTITION OF p3 FOR VALUES IN (0) USING kyro');
SELECT twin('CREATE TABLE p32 PARTITION OF p3 DEFAULT');
SELECT twin('INSERT INTO p2 SELECT v, k, id FROM (' || numbers(1999) || ') x (id, k, v) WHERE id >= 1000');
SELECT twin('INSERT INTO p SELECT * FROM (' || numbers(4999) || ') x (id, k, v) WHERE id NOT BETWEEN 1000 AND 1999');
-- one partition after the other, then the parent takes them
SELECT twin('CREATE INDEX p_k ON ONLY p USING kyro_rmi (k)');
SELECT indisvalid FROM pg_index WHERE indexrelid = 'p_k'::regclass;
CREATE INDEX CONCURRENTLY p1_mine ON p1 USING kyro_rmi (k);
CREATE INDEX CONCURRENTLY p31_mine ON p31 USING kyro_rmi (k);
CREATE INDEX CONCURRENTLY p_no ON p USING kyro_rmi (k);
CREATE INDEX p3_mine ON p3 USING kyro_rmi (k);
ALTER INDEX p_k ATTACH PARTITION p1_mine;
ALTER INDEX p_k ATTACH PARTITION p31_mine;
ALTER INDEX p_k ATTACH PARTITION p3_mine;
CREATE INDEX p1_btree ON p1 (k);
ALTER INDEX p_k ATTACH PARTITION p1_btree;
DROP INDEX p1_btree;
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (1000) TO (2000);
CREATE INDEX ON rmi_ddl_b.p1 (k);
CREATE INDEX ON rmi_ddl_b.p3 (k);
ALTER TABLE rmi_ddl_b.p ATTACH PARTITION rmi_ddl_b.p2 FOR VALUES FROM (1000) TO (2000);
SELECT indexrelid::regclass, indisvalid, (SELECT amname FROM pg_am JOIN pg_class c ON c.relam = pg_am.oid WHERE c.oid = indexrelid) AS am
	FROM pg_index WHERE indrelid IN (SELECT relid FROM pg_partition_tree('p')) ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT same('p');
SELECT twin('UPDATE p SET id = id + 1000 WHERE id % 7 = 0 AND id < 3900');
SELECT twin('UPDATE p SET id = 4999 - id, k = -1 WHERE id % 11 = 0');
SELECT twin('DELETE FROM p WHERE k % 5 = 3');
SELECT same('p');
SELECT rows > 0 AS sealed FROM kyro.snapshot('p31');
REINDEX INDEX CONCURRENTLY p_k;
REINDEX TABLE CONCURRENTLY p3;
REINDEX INDEX p_k;
SELECT same('p');
ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY;
ALTER TABLE rmi_ddl_b.p DETACH PARTITION rmi_ddl_b.p2 CONCURRENTLY;
SELECT twin('ALTER TABLE p DETACH PARTITION p1');
SELECT same('p'), same('p1'), same('p2');
SELECT indexrelid::regclass FROM pg_index WHERE indrelid IN ('p1'::regclass, 'p2'::regclass) ORDER BY 1;
SELECT twin('ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (1000)');
DROP INDEX p1_mine;
SELECT twin('INSERT INTO p VALUES (5, 5, ''five'')');
SELECT same('p');
DROP INDEX p_k;
SELECT to_regclass('p1_mine'), to_regclass('p31_mine'), to_regclass('p3_mine');

-- concurrent builds that fail leave an index that is not valid, and harms nobody, until REINDEX makes it good
CREATE TABLE f (id int, k bigint) WITH (autovacuum_enabled = off);
INSERT INTO f SELECT g, g FROM generate_series(1, 2000) g;
INSERT INTO f VALUES (2001, 1000);
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY f_k ON f USING kyro_rmi (k);
CREATE UNIQUE INDEX CONCURRENTLY f_p ON f USING kyro_rmi (k) WHERE id > 500;
CREATE INDEX CONCURRENTLY f_e ON f USING kyro_rmi ((1000 / (k - 77)));
CREATE UNIQUE INDEX CONCURRENTLY f_ok ON f USING kyro_rmi (k) WHERE id <= 2000;
SELECT indexrelid::regclass, indisready, indisvalid FROM pg_index WHERE indrelid = 'f'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
REINDEX INDEX CONCURRENTLY f_k;
SELECT indexrelid::regclass, indisready, indisvalid FROM pg_index WHERE indrelid = 'f'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
DROP INDEX f_k_ccnew;
INSERT INTO f VALUES (2002, 5);
DELETE FROM f WHERE id = 2001 OR k = 77;
VACUUM f;
REINDEX INDEX CONCURRENTLY f_k;
DROP INDEX f_k_ccnew;
DELETE FROM f WHERE id = 2002;
REINDEX INDEX CONCURRENTLY f_k;
REINDEX INDEX CONCURRENTLY f_p;
REINDEX INDEX f_e;
INSERT INTO f VALUES (2003, 5);
\set VERBOSITY default
SELECT indexrelid::regclass, indisready, indisvalid, v.* FROM pg_index LEFT JOIN LATERAL kyro.verify(indexrelid, true) v ON true WHERE indrelid = 'f'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
-- not in a transaction, nor of a temporary table otherwise than at once
BEGIN;
CREATE INDEX CONCURRENTLY f_no ON f USING kyro_rmi (k);
ROLLBACK;
CREATE TEMP TABLE ftmp AS SELECT g AS k FROM generate_series(1, 100) g;
CREATE INDEX CONCURRENTLY ftmp_k ON ftmp USING kyro_rmi (k);
REINDEX INDEX CONCURRENTLY ftmp_k;
SELECT * FROM kyro.verify('ftmp_k', true);

-- beside other kinds of indexes: bitmaps of both
SELECT twin('ALTER TABLE t ADD a int[], ADD h text, ADD n int');
SELECT twin('UPDATE t SET a = ARRAY[id % 7, id % 11], h = v, n = id');
SELECT twin('CREATE INDEX t_a ON t USING gin (a)');
SELECT twin('CREATE INDEX t_h ON t USING hash (h)');
SELECT twin('CREATE INDEX t_n ON t USING brin (n)');
SELECT twin('ANALYZE t');
SET enable_seqscan = off;
SET enable_indexscan = off;
SELECT twin('SELECT count(*), sum(id) FROM t WHERE k BETWEEN 100 AND 900 AND a @> ''{3,4}''');
SELECT twin('SELECT count(*), sum(id) FROM t WHERE k BETWEEN 100 AND 900 OR a @> ''{3,4}'' OR h = ''row 77''');
SELECT twin('SELECT count(*), sum(id) FROM t WHERE k IS NULL AND n BETWEEN 1000 AND 2000');
RESET enable_seqscan;
RESET enable_indexscan;
-- an exclusion constraint watches as a unique index does
SELECT twin('CREATE TABLE ex (k bigint, v text, EXCLUDE USING kyro_rmi (k WITH =) WHERE (v <> ''free''))');
SELECT twin('INSERT INTO ex SELECT g, ''x'' FROM generate_series(1, 1000) g');
INSERT INTO ex VALUES (5, 'y');
SELECT twin('INSERT INTO ex VALUES (5, ''free''), (NULL, ''x''), (NULL, ''x'')');
UPDATE ex SET k = 6 WHERE k = 5 AND v = 'x';
SELECT twin('UPDATE ex SET k = k + 2000 WHERE v = ''x''');
SELECT same('ex');

-- plans that are kept: the index goes, comes, changes its type under them
PREPARE byk(bigint) AS SELECT count(*), sum(id) FROM t WHERE k = $1;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXECUTE byk(77);
EXPLAIN (COSTS OFF) EXECUTE byk(77);
DROP INDEX t_k;
EXECUTE byk(77);
CREATE INDEX t_k ON t USING kyro_rmi (k);
EXPLAIN (COSTS OFF) EXECUTE byk(77);
REINDEX INDEX CONCURRENTLY t_k;
EXECUTE byk(77);
ALTER TABLE t ALTER k TYPE int;
EXECUTE byk(77);
EXPLAIN (COSTS OFF) EXECUTE byk(77);
ALTER TABLE t ALTER k TYPE bigint;
BEGIN;
TRUNCATE t;
EXECUTE byk(77);
ROLLBACK;
EXECUTE byk(77);
SET kyro.sealed_load = off;
ALTER TABLE t SET ACCESS METHOD kyro;
RESET kyro.sealed_load;
EXECUTE byk(77);
SELECT rows FROM kyro.snapshot('t', 3000);
EXECUTE byk(77);
SELECT same('t');
ALTER TABLE t SET ACCESS METHOD heap;
EXECUTE byk(77);
DEALLOCATE byk;
RESET plan_cache_mode;
-- a cursor over what is truncated, dropped or rewritten meanwhile is refused that, as with a btree
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM t WHERE k > 5 ORDER BY k;
FETCH 1 FROM c;
SAVEPOINT s;
REINDEX INDEX t_k;
ROLLBACK TO s;
DROP INDEX t_k;
ROLLBACK TO s;
CREATE INDEX t_new ON t USING kyro_rmi (id);
ROLLBACK TO s;
INSERT INTO t (id, k) SELECT g, 6 FROM generate_series(10000, 12000) g;
FETCH 2 FROM c;
COMMIT;

-- rows locked, skipped, sampled; of whom they may be seen
SELECT twin('SELECT id FROM t WHERE k BETWEEN 70 AND 90 ORDER BY k, id FOR UPDATE SKIP LOCKED');
SELECT twin('SELECT id FROM t WHERE k BETWEEN 70 AND 90 ORDER BY k DESC, id LIMIT 5 FOR SHARE NOWAIT');
WITH gone AS (DELETE FROM t WHERE id IN (SELECT id FROM t WHERE k >= 0 ORDER BY k, id LIMIT 10 FOR UPDATE SKIP LOCKED) RETURNING k) SELECT count(*), max(k) FROM gone;
SELECT count(*) > 0 AS some FROM t TABLESAMPLE BERNOULLI (50) REPEATABLE (1) WHERE k < 1000;
CREATE ROLE regress_kyro_rls;
GRANT USAGE ON SCHEMA rmi_ddl TO regress_kyro_rls;
GRANT SELECT, UPDATE ON t TO regress_kyro_rls;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON t TO regress_kyro_rls USING (id % 2 = 1);
CREATE FUNCTION leak(bigint) RETURNS bool COST 0.0001 LANGUAGE plpgsql AS $$ BEGIN IF $1 % 2 = 0 THEN RAISE NOTICE 'saw %', $1; END IF; RETURN true; END $$;
SET ROLE regress_kyro_rls;
EXPLAIN (COSTS OFF) SELECT count(*) FROM t WHERE k BETWEEN 100 AND 130 AND leak(id);
SELECT count(*) > 0 AS some, bool_and(id % 2 = 1) AS odd FROM t WHERE k BETWEEN 100 AND 130 AND leak(id);
UPDATE t SET v = 'mine' WHERE k = 77 RETURNING id % 2 AS odd;
RESET ROLE;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP OWNED BY regress_kyro_rls;
DROP ROLE regress_kyro_rls;

-- the extension's own: what belongs to it is not dropped or moved by itself, the same version is no update, none is missed
SELECT extversion AS version FROM pg_extension WHERE extname = 'kyrodb' \gset
ALTER EXTENSION kyrodb UPDATE;
SELECT extversion = :'version' AS same FROM pg_extension WHERE extname = 'kyrodb';
SELECT default_version = installed_version AS newest FROM pg_available_extensions WHERE name = 'kyrodb';
ALTER EXTENSION kyrodb UPDATE TO :'version';
SELECT count(*) AS broken FROM pg_extension_update_paths('kyrodb') WHERE path IS NULL AND target = (SELECT default_version FROM pg_available_extensions WHERE name = 'kyrodb');
SET client_min_messages = notice;
DO $$
BEGIN
	ALTER EXTENSION kyrodb UPDATE TO 'nonsense';
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '%: %', SQLSTATE, regexp_replace(SQLERRM, '"[0-9.]+"', '"this version"');
END $$;
SET client_min_messages = error;
ALTER EXTENSION kyrodb SET SCHEMA rmi_ddl;
DROP FUNCTION kyro.rebuild(regclass);
DROP SCHEMA kyro CASCADE;
DROP OPERATOR CLASS kyro.int8_ops USING kyro_rmi;
DROP OPERATOR FAMILY kyro.integer_ops USING kyro_rmi CASCADE;
DROP ACCESS METHOD kyro_rmi;
DROP VIEW kyro.stat_indexes;
CREATE EXTENSION kyrodb;
