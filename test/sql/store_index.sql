--
-- Indexes of all kinds on kyro tables: made before a seal, after it, concurrently, again;
-- each answers as a heap would.
--
\set schema store_index
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
-- Runs queries with plans of each kind; shows answers that differ.
CREATE FUNCTION store_index.queries(VARIADIC q text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	mode text;
	s text;
	answer text;
BEGIN
	FOREACH mode IN ARRAY ARRAY['index', 'bitmap', 'seq'] LOOP
		PERFORM set_config('enable_seqscan', (mode = 'seq')::text, true), set_config('enable_indexscan', (mode = 'index')::text, true),
			set_config('enable_indexonlyscan', (mode = 'index')::text, true), set_config('enable_bitmapscan', (mode = 'bitmap')::text, true);
		FOREACH s IN ARRAY q LOOP
			answer := twin(s);
			IF answer LIKE 'DIFF%' THEN
				RETURN NEXT format(E'%s: %s\n%s', mode, s, answer);
			END IF;
		END LOOP;
	END LOOP;
	RETURN NEXT format('%s queries', cardinality(q));
END $$;
CREATE FUNCTION store_index.answers() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT queries('SELECT * FROM t WHERE id = 77', 'SELECT count(*), sum(id) FROM t WHERE id BETWEEN 200 AND 700', 'SELECT id FROM t WHERE id IN (1, 500, 1500, 2500, 3500) ORDER BY id DESC',
		'SELECT count(*), sum(n) FROM t WHERE n = 5', 'SELECT count(*), sum(id) FROM t WHERE n BETWEEN 10 AND 60', 'SELECT id FROM t WHERE v = ''v 123''', 'SELECT sum(id) FROM t WHERE v LIKE ''v 12%''',
		'SELECT count(*), sum(id) FROM t WHERE k BETWEEN 5000 AND 90000', 'SELECT id FROM t WHERE k = 12 * 37', 'SELECT count(*) FROM t WHERE k IS NULL', 'SELECT k FROM t WHERE k > 100 ORDER BY k LIMIT 5',
		'SELECT id FROM t WHERE a @> ''{3, 7}'' ORDER BY id', 'SELECT count(*) FROM t WHERE a && ''{1, 2}''', 'SELECT count(*), sum(id) FROM t WHERE p <@ box ''(10,10),(30,30)''',
		'SELECT id, p FROM t ORDER BY p <-> point ''(20.1,20.2)'', id LIMIT 5', 'SELECT count(*), sum(id) FROM t WHERE r && ''[100,140)''', 'SELECT id FROM t WHERE r @> 555 ORDER BY id',
		'SELECT count(*), sum(id) FROM t WHERE lower(v) = ''v 99''', 'SELECT id FROM t WHERE n = 9 AND id > 1000 ORDER BY id', 'SELECT count(*) FROM t WHERE id % 3 = 1 AND n < 5',
		'SELECT count(*), sum(id) FROM t WHERE n = 5 OR v = ''v 7'' OR id BETWEEN 10 AND 20', 'SELECT count(*) FROM t WHERE ts <@ ''[2024-01-01,2024-02-01)''::tsrange', 'SELECT min(n), max(n), min(k), max(k) FROM t')
$$;
SELECT twin('CREATE TABLE t (id int PRIMARY KEY, n int, k bigint, v text, a int[], p point, r int4range, ts timestamp)');
SELECT twin('ALTER TABLE t SET (autovacuum_enabled = off)');
CREATE FUNCTION store_index.fill(a int, b int) RETURNS text LANGUAGE sql AS $$
	SELECT twin(format('INSERT INTO t SELECT g, g %% 97, CASE WHEN g %% 10 > 0 THEN g * 37 END, ''v '' || g, ARRAY[g %% 5, g %% 7, g %% 11, g], point(g %% 50, g %% 61),
		int4range(g, g + g %% 20), timestamp ''2024-01-01'' + g * interval ''1 hour'' FROM generate_series(%s, %s) g', a, b)) $$;
SELECT fill(1, 2000);
-- made before
SELECT twin('CREATE INDEX t_n ON t (n)');
SELECT twin('CREATE INDEX t_k ON t USING kyro_rmi (k)');
SELECT twin('CREATE INDEX t_v ON t USING hash (v)');
SELECT twin('CREATE INDEX t_a ON t USING gin (a)');
SELECT twin('CREATE INDEX t_p ON t USING gist (p)');
SELECT twin('CREATE INDEX t_r ON t USING spgist (r)');
SELECT twin('CREATE INDEX t_b ON t USING brin (id) WITH (pages_per_range = 2)');
SELECT twin('CREATE INDEX t_tsb ON t USING brin (ts) WITH (pages_per_range = 1, autosummarize = off)');
SELECT twin('CREATE INDEX t_e ON t (lower(v))');
SELECT twin('CREATE INDEX t_i ON t (n, id) INCLUDE (v)');
SELECT twin('CREATE INDEX t_w ON t (n) WHERE id % 3 = 1');
SELECT twin('CREATE UNIQUE INDEX t_u ON t USING kyro_rmi (k)');
SELECT answers();
SELECT seal('t', 1500);
SELECT answers();
SELECT fill(2001, 3000);
SELECT twin('UPDATE t SET n = n + 1, a = a || 3 WHERE id % 10 IN (1, 2)');
SELECT twin('DELETE FROM t WHERE id % 10 = 4');
SELECT answers();
SELECT seal('t');
SELECT answers();
SELECT same('t');
SELECT brin_summarize_new_values('t_b') >= 0 AS summarized;
SELECT answers();
SELECT twin('INSERT INTO t (id, k) VALUES (5000, 37)');
SELECT twin('INSERT INTO t (id, k) VALUES (11, -1)');
-- cleaned
VACUUM (INDEX_CLEANUP ON) t;
SELECT answers();
SELECT twin('UPDATE t SET n = n - 1 WHERE id % 10 IN (2, 3)');
SELECT twin('DELETE FROM t WHERE id % 10 = 5');
VACUUM (INDEX_CLEANUP OFF) t;
SELECT answers();
VACUUM (FREEZE, INDEX_CLEANUP ON, PARALLEL 0) t;
SELECT answers();
SELECT fill(4000, 4500);
SELECT gin_clean_pending_list('t_a') >= 0 AS cleaned;
SELECT answers();

-- made after: of sealed rows, changed and deleted ones, and the log
SELECT twin('UPDATE t SET n = n + 1 WHERE id % 10 = 6');
SELECT twin('DELETE FROM t WHERE id % 100 = 7');
SELECT twin('DROP INDEX ' || string_agg(i, ', ')) FROM unnest(ARRAY['t_n', 't_k', 't_v', 't_a', 't_p', 't_r', 't_b', 't_tsb', 't_e', 't_i', 't_w', 't_u']) i;
SELECT answers();
SELECT twin('CREATE INDEX t_n ON t (n)');
SELECT twin('CREATE UNIQUE INDEX t_k ON t USING kyro_rmi (k)');
SELECT twin('CREATE INDEX t_v ON t USING hash (v)');
SELECT twin('CREATE INDEX t_a ON t USING gin (a)');
SELECT twin('CREATE INDEX t_p ON t USING gist (p)');
SELECT twin('CREATE INDEX t_r ON t USING spgist (r)');
SELECT twin('CREATE INDEX t_b ON t USING brin (id) WITH (pages_per_range = 2)');
SELECT twin('CREATE INDEX t_tsb ON t USING brin (ts) WITH (pages_per_range = 1)');
SELECT twin('CREATE INDEX t_e ON t (lower(v))');
SELECT twin('CREATE UNIQUE INDEX t_i ON t (n, id) INCLUDE (v)');
SELECT twin('CREATE INDEX t_w ON t (n) WHERE id % 3 = 1');
SELECT answers();
SELECT twin('CREATE UNIQUE INDEX t_dup ON t (n)');
SELECT twin('CREATE UNIQUE INDEX t_dup ON t USING kyro_rmi (n)');
-- again, and beside others at work
REINDEX TABLE t;
SELECT answers();
CREATE INDEX CONCURRENTLY t_c1 ON t (n, k);
CREATE INDEX CONCURRENTLY t_c2 ON t USING kyro_rmi (n);
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY t_dup ON t (n);
\set VERBOSITY default
SELECT indexrelid::regclass, indisready, indisvalid FROM pg_index WHERE indrelid = 't'::regclass AND NOT indisvalid;
SELECT twin('DELETE FROM t WHERE id % 50 = 8');
SELECT fill(6000, 6100);
SELECT seal('t') > 0 AS some;
DROP INDEX t_dup;
REINDEX INDEX CONCURRENTLY t_k;
REINDEX TABLE CONCURRENTLY t;
SELECT answers();
SELECT same('t');
-- by several workers
SET min_parallel_table_scan_size = 0;
SET max_parallel_maintenance_workers = 2;
ALTER TABLE t SET (parallel_workers = 2);
CREATE INDEX t_par ON t (k, n);
REINDEX INDEX t_n;
RESET min_parallel_table_scan_size;
RESET max_parallel_maintenance_workers;
ALTER TABLE t RESET (parallel_workers);
SELECT answers();
-- in the transaction that sealed, and in the one that filled
BEGIN;
SELECT fill(7000, 7100);
SELECT seal('t') > 0 AS some;
SELECT twin('DELETE FROM t WHERE id BETWEEN 7000 AND 7010');
CREATE INDEX t_own ON t (n, v);
SELECT twin('UPDATE t SET n = 3 WHERE id BETWEEN 7011 AND 7020');
SELECT answers();
COMMIT;
SELECT answers();
-- an index on a column that was added later
SELECT twin('ALTER TABLE t ADD late int DEFAULT 77');
SELECT twin('CREATE INDEX t_late ON t (late, id)');
SELECT queries('SELECT count(*) FROM t WHERE late = 77', 'SELECT id FROM t WHERE late = 77 AND id < 20 ORDER BY id');
SELECT twin('UPDATE t SET late = id WHERE id % 4 = 0');
SELECT queries('SELECT count(*) FROM t WHERE late = 77', 'SELECT sum(id) FROM t WHERE late < 2000');
-- btree cleans up by itself what updates leave behind
SELECT twin('CREATE TABLE c (id int PRIMARY KEY, n int)');
SELECT twin('INSERT INTO c SELECT g, 0 FROM generate_series(1, 400) g');
SELECT twin('CREATE INDEX c_n ON c (n)');
SELECT seal('c');
SELECT twin(format('UPDATE c SET n = %s WHERE id %% 3 = %s', g, g % 3)) FROM generate_series(1, 60) g WHERE g > 57;
DO $$
BEGIN
	FOR i IN 1..60 LOOP
		PERFORM twin('UPDATE c SET n = n + 1 WHERE id <= 200');
		IF i % 20 = 0 THEN
			PERFORM seal('c');
		END IF;
	END LOOP;
END $$;
SELECT same('c');
SELECT queries('SELECT count(*), sum(id) FROM c WHERE n > 50', 'SELECT count(*) FROM c WHERE n < 60', 'SELECT sum(n) FROM c WHERE id > 0');
SELECT r AS rel, v.* FROM unnest(ARRAY['t', 'c', 't_k', 't_c2']) r, kyro.verify(r::regclass, true) v;
-- entries of a seal that was rolled back stay until VACUUM
CREATE TABLE undone (k bigint) USING kyro WITH (autovacuum_enabled = off);
CREATE INDEX undone_k ON undone USING kyro_rmi (k);
INSERT INTO undone SELECT g FROM generate_series(1, 100) g;
BEGIN;
SELECT rows FROM kyro.snapshot('undone');
ROLLBACK;
SELECT matches FROM kyro.trace('undone_k', 50);
VACUUM undone;
SELECT matches FROM kyro.trace('undone_k', 50);
SELECT count(*) FROM undone WHERE k > 0;
