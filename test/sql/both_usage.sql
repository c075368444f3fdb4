--
-- Statistics of use: exact counts for known work.  Where the library is not preloaded
-- nothing is counted, and the columns are NULL.
--
CREATE SCHEMA usage;
SET search_path = usage, public;
-- is: in counters of an index or a table, those that differ from what they should be
CREATE FUNCTION preloaded() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS
	$$ SELECT setting LIKE '%kyrodb%' FROM pg_settings WHERE name = 'shared_preload_libraries' $$;
CREATE FUNCTION counters(rel regclass) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(i) FROM kyro.stat_indexes i WHERE indexrelid = rel
	UNION ALL SELECT to_jsonb(t) FROM kyro.stat_tables t WHERE relid = rel
$$;
CREATE FUNCTION is(rel regclass, wanted jsonb) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s is %s, not %s', w.key, c.c -> w.key, w.value)
	FROM (SELECT counters(rel)) c(c), jsonb_each(wanted) w
	WHERE CASE WHEN preloaded() THEN c.c -> w.key IS DISTINCT FROM w.value ELSE c.c -> w.key <> 'null' END
$$;
-- a condition of a row of the views; true where nothing is counted
CREATE FUNCTION holds(rel regclass, condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	result boolean;
BEGIN
	IF rel = ANY (SELECT indexrelid FROM kyro.stat_indexes) THEN
		EXECUTE format('SELECT %s FROM kyro.stat_indexes WHERE indexrelid = $1', condition) INTO result USING rel;
	ELSE
		EXECUTE format('SELECT %s FROM kyro.stat_tables WHERE relid = $1', condition) INTO result USING rel;
	END IF;
	RETURN coalesce(result, NOT preloaded());
END $$;
CREATE FUNCTION reset(rel regclass) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN IF preloaded() THEN PERFORM kyro.stat_reset(rel); END IF; END $$;

SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET max_parallel_workers_per_gather = 0;

-- nothing was done yet
CREATE TABLE t (k bigint, v int) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT g * 10, g FROM generate_series(1, 20000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
SELECT * FROM is('t_k', '{"lookups": 0, "compared": [0, 0, 0, 0, 0, 0], "found_at_prediction": 0, "found_beside": 0, "landings_off": 0, "pages_walked": 0,
	"without_model": 0, "inserts_append": 0, "inserts_run": 0, "inserts_merge": 0, "inserts_split": 0, "inserts_bulk": 0, "dead_removed": 0, "vacuum_removed": 0}');

-- a session's first look-ups go through the shared directory
SELECT v FROM t WHERE k = 10;
SELECT v FROM t WHERE k = 110000;
SELECT v FROM t WHERE k = 200000;
SELECT v FROM t WHERE k = 15;
SELECT * FROM is('t_k', '{"lookups": 4, "without_model": 4}');
-- and the others by the model; of equidistant keys each is found at once, which takes two comparisons
SELECT count(v) FROM generate_series(1, 1000) g, LATERAL (SELECT v FROM t WHERE k = g * 200 OFFSET 0) s;
SELECT * FROM is('t_k', '{"lookups": 1004, "without_model": 4, "landings_off": 0, "pages_walked": 0}');
SELECT holds('t_k', 'found_at_prediction > 990 AND found_at_prediction + found_beside = 1004');
SELECT holds('t_k', '(SELECT sum(c) FROM unnest(compared) c) = 1004 AND compared[2] + compared[3] = 1004');
-- a range is one, whatever its length; so is an array whose keys are on one page, and NULLs, and a scan of all
SELECT count(v) FROM t WHERE k BETWEEN 100 AND 50000;
SELECT count(v) FROM t WHERE k = ANY ('{10, 20, 30}');
SELECT count(v) FROM t WHERE k IS NULL;
SELECT v FROM t ORDER BY k DESC LIMIT 1;
SELECT * FROM is('t_k', '{"lookups": 1008, "without_model": 4}');
-- bitmap scans, index-only scans; not EXPLAIN
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SELECT count(v) FROM t WHERE k = 500;
RESET enable_indexscan;
SET enable_bitmapscan = off;
VACUUM t;
SELECT count(*) FROM t WHERE k = 500;
EXPLAIN (COSTS OFF) SELECT v FROM t WHERE k = 500;
SELECT * FROM is('t_k', '{"lookups": 1010}');
-- those of a transaction that is rolled back were done
BEGIN;
SELECT v FROM t WHERE k = 20;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT v FROM t WHERE k = 20;
ROLLBACK TO s;
COMMIT;
SELECT * FROM is('t_k', '{"lookups": 1012}');

-- look-ups that are timed
SELECT reset('t_k');
SET kyro.sample_rate = 1;
SELECT count(v) FROM generate_series(1, 100) g, LATERAL (SELECT v FROM t WHERE k = g * 200 OFFSET 0) s;
RESET kyro.sample_rate;
SELECT v FROM t WHERE k = 20;
SELECT * FROM is('t_k', '{"lookups": 101, "samples": 100, "rebuild_samples": 0, "rebuild_us_p50": null}');
SELECT holds('t_k', 'us_p50 > 0 AND us_p50 <= us_p99 AND us_p99 <= us_p999');
SELECT reset('t_k');
SELECT * FROM is('t_k', '{"samples": 0, "us_p50": null, "us_p99": null, "us_p999": null}');
SET kyro.sample_rate = 2;

-- inserts by way
CREATE TABLE i (k bigint, pad int) WITH (autovacuum_enabled = off);
CREATE INDEX i_k ON i USING kyro_rmi (k);
INSERT INTO i SELECT g FROM generate_series(1, 1000) g;
SELECT * FROM is('i_k', '{"inserts_append": 1000, "inserts_run": 0, "inserts_merge": 0, "inserts_split": 0, "lookups": 0}');
INSERT INTO i SELECT 500 FROM generate_series(1, 10);
SELECT * FROM is('i_k', '{"inserts_append": 1000, "inserts_run": 10, "inserts_merge": 0, "inserts_split": 0}');
-- the run has room for 64
INSERT INTO i SELECT 500 FROM generate_series(1, 55);
SELECT * FROM is('i_k', '{"inserts_append": 1000, "inserts_run": 64, "inserts_merge": 1, "inserts_split": 0}');
INSERT INTO i SELECT hashint8(g) FROM generate_series(1, 20000) g;
SELECT holds('i_k', 'inserts_append + inserts_run + inserts_merge + inserts_split = 21065 AND inserts_split BETWEEN 1 AND 1000');
-- a seal puts many in at once
CREATE TABLE s (k bigint, v int) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO s SELECT g, g FROM generate_series(1, 3000) g;
CREATE INDEX s_k ON s USING kyro_rmi (k);
SELECT rows FROM kyro.snapshot('s');
SELECT holds('s_k', 'inserts_bulk + inserts_append + inserts_run + inserts_merge + inserts_split = 3000 AND inserts_bulk > 2000');

-- models by what they were trained for; misses and searches since
CREATE TABLE m (k bigint) WITH (autovacuum_enabled = off);
INSERT INTO m SELECT g FROM generate_series(1, 1000) g;
CREATE INDEX m_k ON m USING kyro_rmi (k);
SELECT * FROM is('m_k', '{"trained_build": 1, "trained_rebuild": 0, "trained_autopilot": 0, "trained_import": 0, "trained_vacuum": 0, "trained_insert": 0, "trained_leaves": 1}');
SELECT leaves FROM kyro.rebuild('m_k');
REINDEX INDEX m_k;
SELECT * FROM is('m_k', '{"trained_build": 2, "trained_rebuild": 1, "trained_leaves": 3, "searches_since": 0, "landings_off_since": 0}');
INSERT INTO m SELECT hashint8(g) FROM generate_series(1, 100000) g;
SELECT holds('m_k', 'trained_insert > 0 AND trained_leaves > 3 AND training_seconds > 0 AND trained_vacuum = 0 AND searches_since BETWEEN 1 AND 99999 AND landings_off_since <= searches_since');
DELETE FROM m WHERE k % 2 = 0;
INSERT INTO m SELECT hashint8(g) FROM generate_series(100001, 103000) g;
VACUUM (INDEX_CLEANUP ON) m;
SELECT holds('m_k', 'trained_vacuum = 1 AND searches_since = 0');

-- dead entries, by VACUUM and without
DELETE FROM t WHERE k <= 1000;
VACUUM (INDEX_CLEANUP ON) t;
SELECT * FROM is('t_k', '{"vacuum_removed": 100, "dead_removed": 0}');
CREATE TABLE q (id int) WITH (autovacuum_enabled = off);
CREATE INDEX q_id ON q USING kyro_rmi (id);
INSERT INTO q SELECT g FROM generate_series(1, 400) g;
DELETE FROM q WHERE id <= 300;
-- who finds them dead removes them
SELECT id FROM q ORDER BY id LIMIT 1;
SELECT id FROM q ORDER BY id LIMIT 1;
SELECT holds('q_id', 'dead_removed BETWEEN 32 AND 300 AND vacuum_removed = 0');

-- a table: reads of sealed pages, their checksums, copies for rows that are touched
SELECT reset('s');
SELECT reset('s_k');
SELECT count(*), sum(v) FROM s;
SELECT holds('s', 'mmap_reads + buffer_reads >= (SELECT pages FROM kyro.stat_runs r WHERE r.relid = $1) AND verified_pages <= (SELECT pages FROM kyro.stat_runs r WHERE r.relid = $1)');
SELECT * FROM is('s', '{"seals": 0, "rows_sealed": 0, "seal_wal_bytes": 0, "failed_seals": 0, "ledger_copies": 0}');
SET kyro.mmap = off;
SELECT reset('s');
SELECT sum(v) FROM s;
SELECT * FROM is('s', '{"mmap_reads": 0}');
SELECT holds('s', 'buffer_reads >= (SELECT pages FROM kyro.stat_runs r WHERE r.relid = $1)');
RESET kyro.mmap;
SELECT v FROM s WHERE k = 100 FOR UPDATE;
SELECT * FROM is('s', '{"ledger_copies": 1}');
INSERT INTO s SELECT g, g FROM generate_series(3001, 4000) g;
SELECT rows FROM kyro.snapshot('s');
SELECT * FROM is('s', '{"seals": 1, "rows_sealed": 1000}');
SELECT holds('s', 'seal_wal_bytes > 1000 AND seal_seconds > 0');

-- reset: one, or all; others are left alone
SELECT reset('t_k');
SELECT * FROM is('t_k', '{"lookups": 0, "compared": [0, 0, 0, 0, 0, 0], "vacuum_removed": 0}');
SELECT holds('i_k', 'inserts_append > 0');
SELECT reset(NULL);
SELECT * FROM is('i_k', '{"inserts_append": 0, "inserts_run": 0}');
SELECT * FROM is('s', '{"seals": 0, "rows_sealed": 0}');

-- counters are an index's, whatever file it has and whatever it is called
SELECT v FROM t WHERE k = 20000;
SELECT * FROM is('t_k', '{"lookups": 1}');
REINDEX INDEX t_k;
VACUUM FULL t;
ALTER INDEX t_k RENAME TO t_k2;
SELECT * FROM is('t_k2', '{"lookups": 1}');
TRUNCATE t;
SELECT * FROM is('t_k2', '{"lookups": 1}');
INSERT INTO t SELECT g * 10, g FROM generate_series(1, 1000) g;
SELECT reset('t_k2');
SELECT v FROM t WHERE k = 2000;
CREATE INDEX t_new ON t USING kyro_rmi (k);
SELECT kyro.swap_index('t_k2', 't_new');
SELECT * FROM is('t_k2', '{"lookups": 0}');
SELECT * FROM is('t_new', '{"lookups": 1}');
DROP INDEX t_new;
SELECT v FROM t WHERE k = 2000;
SELECT * FROM is('t_k2', '{"lookups": 1}');
-- this makes another index
REINDEX INDEX CONCURRENTLY t_k2;
SELECT * FROM is('t_k2', '{"lookups": 0}');

-- temporary and unlogged tables, partitions
CREATE TEMP TABLE tmp (k bigint);
CREATE INDEX tmp_k ON tmp USING kyro_rmi (k);
INSERT INTO tmp SELECT generate_series(1, 100);
SELECT count(*) FROM tmp WHERE k = 5;
SELECT * FROM is('tmp_k', '{"lookups": 1, "inserts_append": 100}');
CREATE UNLOGGED TABLE unl (k bigint);
CREATE INDEX unl_k ON unl USING kyro_rmi (k);
INSERT INTO unl SELECT generate_series(1, 100);
SELECT count(*) FROM unl WHERE k = 5;
SELECT * FROM is('unl_k', '{"lookups": 1, "inserts_append": 100}');
CREATE TABLE p (k bigint) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
CREATE INDEX p_k ON p USING kyro_rmi (k);
INSERT INTO p SELECT generate_series(0, 199);
SELECT count(*) FROM p WHERE k = 150;
SELECT * FROM is('p1_k_idx', '{"lookups": 0, "inserts_append": 100}');
SELECT * FROM is('p2_k_idx', '{"lookups": 1, "inserts_append": 100}');

-- what a function has done it sees at once, though its expressions are prepared only once
CREATE TABLE u (k bigint, v int) WITH (autovacuum_enabled = off);
INSERT INTO u SELECT g, g FROM generate_series(1, 1000) g;
CREATE INDEX u_k ON u USING kyro_rmi (k);
CREATE FUNCTION looks() RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint;
	lookups bigint;
BEGIN
	FOR i IN 1..3 LOOP
		before := lookups;
		PERFORM v FROM u WHERE k = 10;
		lookups := (kyro.index_counters('u_k'::regclass)).lookups;
		RETURN NEXT CASE WHEN preloaded() THEN lookups - before END;
	END LOOP;
END $$;
SELECT count(*) FILTER (WHERE l = 1) + CASE WHEN preloaded() THEN 0 ELSE 2 END AS seen FROM looks() l;

-- reset: partitions by their table or index, and nothing that is not counted
CREATE TABLE part (k int, v int) PARTITION BY RANGE (k);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (100) USING kyro;
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (k);
CREATE TABLE part21 PARTITION OF part2 FOR VALUES FROM (100) TO (200) USING kyro;
CREATE TABLE part3 PARTITION OF part FOR VALUES FROM (200) TO (300);
CREATE INDEX part_k ON part USING kyro_rmi (k);
INSERT INTO part SELECT g, g FROM generate_series(0, 299) g;
SELECT rows FROM kyro.snapshot('part');
SELECT * FROM is('part1', '{"seals": 1, "rows_sealed": 100}');
SELECT * FROM is('part21', '{"seals": 1, "rows_sealed": 100}');
SET client_min_messages = warning;
SELECT * FROM reset('part');
RESET client_min_messages;
SELECT * FROM is('part1', '{"seals": 0, "rows_sealed": 0}');
SELECT * FROM is('part21', '{"seals": 0, "rows_sealed": 0}');
SELECT * FROM is('part1_k_idx', '{"inserts_append": 100, "inserts_bulk": 100}');
SELECT * FROM reset('part_k');
SELECT * FROM is('part1_k_idx', '{"inserts_append": 0, "inserts_bulk": 0}');
SELECT * FROM is('part21_k_idx', '{"inserts_append": 0, "inserts_bulk": 0}');
SELECT * FROM is('part3_k_idx', '{"inserts_append": 0}');
CREATE VIEW w AS SELECT * FROM u;
SELECT kyro.stat_reset('u');
SELECT kyro.stat_reset('w');
SELECT kyro.stat_reset('pg_class_oid_index');
SELECT kyro.stat_reset(0);

-- who may reset
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_kyro_usage;
CREATE ROLE regress_kyro_usage;
RESET client_min_messages;
GRANT USAGE ON SCHEMA usage TO regress_kyro_usage;
ALTER TABLE t OWNER TO regress_kyro_usage;
SET ROLE regress_kyro_usage;
SELECT kyro.stat_reset();
SELECT kyro.stat_reset('t_k2');
RESET ROLE;
GRANT EXECUTE ON FUNCTION kyro.stat_reset TO regress_kyro_usage;
SET ROLE regress_kyro_usage;
DO $$
BEGIN
	IF preloaded() THEN
		PERFORM kyro.stat_reset('t_k2');
	ELSE
		BEGIN
			PERFORM kyro.stat_reset();
			RAISE EXCEPTION 'there is something to reset';
		EXCEPTION WHEN object_not_in_prerequisite_state THEN
			NULL;
		END;
	END IF;
END $$;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION kyro.stat_reset FROM regress_kyro_usage;
DROP OWNED BY regress_kyro_usage;
DROP ROLE regress_kyro_usage;
SET client_min_messages = error;
DROP SCHEMA usage CASCADE;
