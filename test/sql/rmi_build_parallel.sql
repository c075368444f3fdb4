--
-- Indexes built by parallel workers: the same as a serial build makes, and the
-- same answers as a sequential scan gives.
--
-- (How many workers there are, and that none leaves anything: test/t.)
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA build_parallel;
SET search_path = build_parallel, public;
SET client_min_messages = error;	-- a WARNING where the library was not loaded beforehand
\set VERBOSITY terse
SET max_parallel_maintenance_workers = 2;

-- Rows with NULLs and duplicates, some dead or moved, in some hundred pages.
CREATE TABLE t (id bigint, k bigint, pad text) WITH (parallel_workers = 2, autovacuum_enabled = off);
CREATE TABLE kt (LIKE t) USING kyro;
ALTER TABLE kt SET (parallel_workers = 2, autovacuum_enabled = off);
CREATE PROCEDURE fill(tbl text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I SELECT g, CASE WHEN g %% 11 = 0 THEN NULL WHEN g %% 7 = 0 THEN g %% 3 ELSE rnd(g, 1) END, repeat(''x'', 100)
		FROM generate_series(1, 12000) g', tbl);
	EXECUTE format('INSERT INTO %I VALUES (0, -9223372036854775808), (0, 9223372036854775807)', tbl);
	EXECUTE format('DELETE FROM %I WHERE id %% 13 = 0', tbl);
	EXECUTE format('UPDATE %I SET k = k / 2 WHERE id %% 17 = 0', tbl);
	EXECUTE format('UPDATE %I SET pad = ''y'' WHERE id %% 19 = 0', tbl);
END $$;

-- Builds an index serially and in parallel, and shows in what the second one is not as the first.
CREATE FUNCTION build(def text, OUT problem text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	mem text;
	serial bigint;
	tuples float4;
BEGIN
	FOREACH mem IN ARRAY ARRAY['64MB', '1MB'] LOOP
		PERFORM set_config('maintenance_work_mem', mem, true);
		SET LOCAL max_parallel_maintenance_workers = 0;
		EXECUTE 'CREATE ' || format(def, 's');
		SET LOCAL max_parallel_maintenance_workers = 2;
		EXECUTE 'CREATE ' || format(def, 'p');
		SELECT pg_relation_size('s'), reltuples INTO serial, tuples FROM pg_class WHERE oid = 's'::regclass;
		IF pg_relation_size('p') <> serial THEN
			RETURN QUERY SELECT format('%s: %s bytes, not %s', def, pg_relation_size('p'), serial);
		END IF;
		RETURN QUERY SELECT format('%s: %s tuples, not %s', def, reltuples, tuples) FROM pg_class WHERE oid = 'p'::regclass AND reltuples <> tuples;
		RETURN QUERY SELECT format('%s: %s', def, v.problem) FROM kyro.verify('p', true) v;
		REINDEX INDEX p;
		RETURN QUERY SELECT format('%s again: %s', def, v.problem) FROM kyro.verify('p', true) v;
		DROP INDEX s, p;
	END LOOP;
END $$;

CALL fill('t');
CALL fill('kt');
SELECT * FROM build('INDEX %s ON t USING kyro_rmi (k)');
SELECT * FROM build('INDEX %s ON t USING kyro_rmi (id) WITH (fillfactor = 70)');
SELECT * FROM build('INDEX %s ON t USING kyro_rmi (k) WHERE id %% 3 = 0 OR k IS NULL');
SELECT * FROM build('INDEX %s ON t USING kyro_rmi (k) WHERE k IS NULL');
SELECT * FROM build('INDEX %s ON t USING kyro_rmi (k) WHERE id < 0');
SELECT * FROM build('INDEX %s ON t USING kyro_rmi ((length(pad) + k / 1000))');
SELECT * FROM build('UNIQUE INDEX %s ON t USING kyro_rmi (id) WHERE id > 0');
-- more rows than 1MB holds, so that at least one process writes several runs
CREATE TABLE big (id int, k bigint) WITH (parallel_workers = 2, autovacuum_enabled = off);
INSERT INTO big SELECT g, CASE WHEN g % 3 > 0 THEN rnd(g, 3) / 1000000000000 END FROM generate_series(1, 120000) g;
SELECT * FROM build('INDEX %s ON big USING kyro_rmi (k)');
SELECT * FROM build('INDEX %s ON big USING kyro_rmi (id)');
-- changes of the transaction that builds
BEGIN;
UPDATE t SET pad = 'z' WHERE id % 5 = 0;
DELETE FROM t WHERE id % 23 = 0;
SELECT * FROM build('INDEX %s ON t USING kyro_rmi (k)');
SELECT * FROM build('UNIQUE INDEX %s ON t USING kyro_rmi (id) WHERE id > 0');
ROLLBACK;

-- kyro tables: in the log, sealed, sealed and changed since, sealed by the transaction that builds
SELECT * FROM build('INDEX %s ON kt USING kyro_rmi (k)');
SELECT rows > 0 AS sealed FROM kyro.snapshot('kt');
SELECT * FROM build('INDEX %s ON kt USING kyro_rmi (k)');
UPDATE kt SET k = k / 3 WHERE id % 29 = 0;
DELETE FROM kt WHERE id % 31 = 0;
INSERT INTO kt SELECT g, rnd(g, 2), 'new' FROM generate_series(12001, 15000) g;
SELECT * FROM build('INDEX %s ON kt USING kyro_rmi (k) WHERE id %% 3 > 0');
SELECT * FROM build('UNIQUE INDEX %s ON kt USING kyro_rmi (id) WHERE id > 0');
BEGIN;
SELECT rows > 0 AS sealed FROM kyro.snapshot('kt');
UPDATE kt SET k = k + 1 WHERE id % 37 = 0;
SELECT * FROM build('INDEX %s ON kt USING kyro_rmi (k)');
COMMIT;
CREATE INDEX kt_k ON kt USING kyro_rmi (k);
SELECT * FROM kyro.verify('kt_k', true);

-- every kind of scan of an index built from runs on disk, on rows of which some are dead
CREATE INDEX ON t (id);
SET maintenance_work_mem = '1MB';
CREATE INDEX t_k ON t USING kyro_rmi (k);
VACUUM t;
SELECT * FROM oracle_compare('t', oracle_conds('t'), 4);
-- with a snapshot of the leader
REINDEX INDEX CONCURRENTLY t_k;
SELECT * FROM oracle_compare('t', oracle_conds('t'), 4, 0, 3);
DROP INDEX t_k;
UPDATE t SET pad = 'w' WHERE id % 7 = 0;
CREATE INDEX CONCURRENTLY t_k ON t USING kyro_rmi (k);
SELECT * FROM oracle_compare('t', oracle_conds('t'), 4, 1, 3);
CREATE INDEX CONCURRENTLY kt_c ON kt USING kyro_rmi (id);
SELECT * FROM kyro.verify('kt_c', true);
RESET maintenance_work_mem;

-- What a worker comes across is reported as if there were none: a duplicate, ...
CREATE TABLE u (k bigint) WITH (parallel_workers = 2, autovacuum_enabled = off);
INSERT INTO u SELECT g FROM generate_series(1, 30000) g;
INSERT INTO u VALUES (29000);
\set VERBOSITY default
CREATE UNIQUE INDEX u_k ON u USING kyro_rmi (k);
CREATE UNIQUE INDEX CONCURRENTLY u_k ON u USING kyro_rmi (k);
\set VERBOSITY terse
DROP INDEX u_k;
-- (dead rows and NULLs are none)
DELETE FROM u WHERE ctid = (SELECT max(ctid) FROM u WHERE k = 29000);
INSERT INTO u VALUES (NULL), (NULL);
BEGIN;
UPDATE u SET k = 30001 - k WHERE k IS NOT NULL;
CREATE UNIQUE INDEX u_k ON u USING kyro_rmi (k);
CREATE UNIQUE INDEX u_n ON u USING kyro_rmi (k) NULLS NOT DISTINCT;
ROLLBACK;
CREATE UNIQUE INDEX u_k ON u USING kyro_rmi (k);
SELECT * FROM kyro.verify('u_k', true);

-- ... and an error: the leader waits with its first row until a worker has it
CREATE FUNCTION only_leader(k bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	IF (SELECT leader_pid IS NOT NULL FROM pg_stat_activity WHERE pid = pg_backend_pid()) THEN
		RAISE EXCEPTION 'a worker was here';
	END IF;
	LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
CREATE INDEX u_e ON u USING kyro_rmi (only_leader(k));

-- No process to be had: the leader does it alone, as where a function must not be called by workers.
CREATE FUNCTION alone(k bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE AS $$
BEGIN
	IF (SELECT leader_pid IS NOT NULL FROM pg_stat_activity WHERE pid = pg_backend_pid()) THEN
		RAISE EXCEPTION 'a worker was here';
	END IF;
	RETURN k / 2;
END $$;
CREATE TABLE a AS SELECT g AS k FROM generate_series(1, 3000) g;
ALTER TABLE a SET (parallel_workers = 2);
CREATE INDEX a_k ON a USING kyro_rmi (alone(k));
SELECT * FROM kyro.verify('a_k', true);
SET max_parallel_workers = 0;
REINDEX INDEX u_k;
SELECT * FROM kyro.verify('u_k', true);
RESET max_parallel_workers;

-- an empty table, and one emptied by the transaction that made it
BEGIN;
CREATE TABLE e (k bigint) WITH (parallel_workers = 2);
CREATE INDEX e_k ON e USING kyro_rmi (k);
INSERT INTO e SELECT generate_series(1, 5000);
REINDEX INDEX e_k;
SELECT * FROM kyro.verify('e_k', true);
TRUNCATE e;
INSERT INTO e SELECT generate_series(1, 100);
COMMIT;
SELECT * FROM kyro.verify('e_k', true);
-- temporary tables are nothing for workers, also when a commit empties them
CREATE TEMP TABLE tmp (k bigint) WITH (parallel_workers = 2) ON COMMIT DELETE ROWS;
BEGIN;
INSERT INTO tmp SELECT generate_series(1, 5000);
CREATE INDEX tmp_k ON tmp USING kyro_rmi (k);
SELECT count(*) FROM tmp WHERE k > 4000;
COMMIT;
SELECT count(*) FROM tmp;
-- an unlogged one is
CREATE UNLOGGED TABLE l WITH (parallel_workers = 2) AS SELECT g * 2 AS k FROM generate_series(1, 20000) g;
CREATE INDEX l_k ON l USING kyro_rmi (k);
SELECT * FROM kyro.verify('l_k', true);
