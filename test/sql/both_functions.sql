--
-- The functions and views of schema kyro on sound indexes.
--
\getenv srcdir PG_ABS_SRCDIR
\set oracle :srcdir '/lib/oracle.psql'
\set ECHO none
\i :oracle
\set ECHO all
CREATE SCHEMA func;
SET search_path = func, public;
CREATE TABLE t (id bigint, k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT g, rnd(g, 1), 'x' FROM generate_series(1, 30000) g;
INSERT INTO t SELECT 40000 + g, NULL, 'null' FROM generate_series(1, 3000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE TABLE e (id bigint, k int, pad text);
CREATE INDEX e_k ON e USING kyro_rmi (k);
CREATE TABLE d (id bigint, k date, pad text);
INSERT INTO d SELECT g, date '2000-01-01' + g FROM generate_series(1, 1000) g;
CREATE INDEX d_k ON d USING kyro_rmi (k);

-- verify: sound, both depths, all kinds
SELECT * FROM kyro.verify('t_k');
SELECT * FROM kyro.verify('t_k', true);
SELECT * FROM kyro.verify('t_k', deep => false);
SELECT * FROM kyro.verify('e_k', deep => true);
SELECT * FROM kyro.verify('d_k', deep => true);

-- model: numbers that fit together
SELECT format, router <> '' AS router, leaves > 10 AS leaves, models BETWEEN 1 AND leaves AS models,
	directory_eps_p50 <= directory_eps_p99 AND directory_eps_p99 <= directory_eps_max AS directory_eps,
	leaf_eps_p50 <= leaf_eps_p99 AND leaf_eps_p99 <= leaf_eps_max AS leaf_eps,
	bytes > 0 AS bytes, trained_at BETWEEN now() - interval '1 hour' AND clock_timestamp() AS trained_at, splits_since
	FROM kyro.model('t_k');
SELECT format, leaves, models, directory_eps_max, splits_since FROM kyro.model('e_k');
SELECT format, leaves, models, directory_eps_max, leaf_eps_max, splits_since FROM kyro.model('d_k');

-- one row per stage-1 model; their ranges ascend and their entries add up to the leaves that have a key
SELECT count(*) = (SELECT models FROM kyro.model('t_k')) AS all_models, min(entries) > 0 AS none_empty,
	max(eps) = (SELECT directory_eps_max FROM kyro.model('t_k')) AS eps, bool_and(key_min <= key_max) AS ranges,
	sum(entries) <= (SELECT leaves FROM kyro.model('t_k')) AS entries
	FROM kyro.model_leaves('t_k');
CREATE TABLE m (k bigint);
INSERT INTO m SELECT rnd(g, 8) FROM generate_series(1, 150000) g;
CREATE INDEX m_k ON m USING kyro_rmi (k);
SELECT count(*) > 1 AS several, count(*) = (SELECT models FROM kyro.model('m_k')) AS all_models,
	sum(entries) = (SELECT leaves FROM kyro.model('m_k')) AS entries, bool_and(key_min > before) AS ascending
	FROM (SELECT key_min, lag(key_max) OVER (ORDER BY model) AS before, entries FROM kyro.model_leaves('m_k')) s;
SELECT bool_and(matches = 1 AND true_position BETWEEN window_low AND window_high AND pages_walked = 0) AS found
	FROM generate_series(1, 150000, 100) g, kyro.trace('m_k', rnd(g, 8));
SELECT count(*) FROM kyro.model_leaves('e_k');

-- trace: every key of the table is found, where the window says
SELECT count(*) AS keys, sum(matches) AS matches, bool_and(true_position BETWEEN window_low AND window_high) AS in_window,
	bool_and(pages_walked = 0) AS no_walk, bool_and(leaf > 0) AS leaf,
	bool_and(abs(predicted_slot - true_slot) <= slot_eps) AS in_slots, min(probes) > 0 AS probes
	FROM (SELECT k FROM t WHERE id % 20 = 0 AND k IS NOT NULL) s, kyro.trace('t_k', k);
-- absent keys, ends, and types of other widths
SELECT k, matches FROM unnest(ARRAY[0, 1, -9223372036854775808, 9223372036854775807]) k, kyro.trace('t_k', k);
SELECT matches FROM kyro.trace('e_k', 5);
SELECT matches FROM kyro.trace('d_k', date '2000-01-11');
SELECT matches FROM kyro.trace('d_k', 'infinity');
SELECT DISTINCT source IS NOT NULL AS source FROM kyro.trace('t_k', 7);

-- warmup: all pages, again and again
SELECT kyro.warmup('t_k') = pg_relation_size('t_k') / 8192 AS all_pages;
SELECT kyro.warmup('t_k') = pg_relation_size('t_k') / 8192 AS all_pages;
SELECT kyro.warmup('e_k') > 0 AS some;

-- random inserts split leaves; rebuild folds them in
INSERT INTO t SELECT 100000 + g, rnd(g, 2), 'y' FROM generate_series(1, 30000) g;
SELECT leaves > 10 AS leaves, splits_since >= 0 AS splits FROM kyro.model('t_k');
SELECT splits > 0 AS splits FROM kyro.stat_indexes WHERE indexrelid = 't_k'::regclass;
SELECT * FROM kyro.verify('t_k', true);
CREATE TEMP TABLE before AS SELECT * FROM kyro.model('t_k');
SELECT r.leaves >= b.leaves AS leaves, pages_before > 0 AS pages_before, pages_after > 0 AS pages_after,
	eps_max >= 0 AS eps_max, duration >= interval '0' AS duration FROM before b, kyro.rebuild('t_k') r;
SELECT m.splits_since, m.trained_at > b.trained_at AS newer, m.leaves = r.leaves AS leaves
	FROM before b, kyro.model('t_k') m, kyro.stat_indexes r WHERE r.indexrelid = 't_k'::regclass;
SELECT rebuilds > 1 AS counted FROM kyro.stat_indexes WHERE indexrelid = 't_k'::regclass;
SELECT * FROM kyro.verify('t_k', true);
SELECT oracle_compare('t', oracle_conds('t'), 2, 1, 3);
-- again and again: the file does not grow
CREATE TEMP TABLE size AS SELECT pg_relation_size('t_k') AS bytes;
SELECT count(*) FROM generate_series(1, 20) g, LATERAL (SELECT g, (kyro.rebuild('t_k')).leaves) r;
SELECT pg_relation_size('t_k') <= bytes + 8192 * 8 AS bounded FROM size;
SELECT leaves, pages_before > 0 AS pages FROM kyro.rebuild('e_k');
SELECT * FROM kyro.verify('t_k', true);
-- in a transaction that goes away: the index is as good as before
BEGIN;
INSERT INTO t SELECT 200000 + g, rnd(g, 3), 'z' FROM generate_series(1, 5000) g;
SELECT leaves > 10 AS leaves FROM kyro.rebuild('t_k');
ROLLBACK;
SELECT * FROM kyro.verify('t_k', true);
SELECT oracle_compare('t', oracle_conds('t'), 2, 2, 3);
-- of a table made in the same transaction, of a temporary and an unlogged one
BEGIN;
CREATE TABLE fresh (id bigint, k bigint, pad text);
INSERT INTO fresh SELECT g, rnd(g, 4) FROM generate_series(1, 5000) g;
CREATE INDEX fresh_k ON fresh USING kyro_rmi (k);
INSERT INTO fresh SELECT g, rnd(g, 5) FROM generate_series(1, 5000) g;
SELECT leaves > 2 AS leaves FROM kyro.rebuild('fresh_k');
SELECT * FROM kyro.verify('fresh_k', true);
COMMIT;
SELECT * FROM kyro.verify('fresh_k', true);
CREATE TEMP TABLE tmp (id bigint, k bigint, pad text);
CREATE INDEX tmp_k ON tmp USING kyro_rmi (k);
INSERT INTO tmp SELECT g, rnd(g, 5) FROM generate_series(1, 20000) g;
SELECT leaves > 2 AS leaves FROM kyro.rebuild('tmp_k');
SELECT * FROM kyro.verify('tmp_k', true);
SELECT matches FROM kyro.trace('tmp_k', rnd(77, 5));
CREATE UNLOGGED TABLE unl (id bigint, k bigint, pad text);
CREATE INDEX unl_k ON unl USING kyro_rmi (k);
INSERT INTO unl SELECT g, rnd(g, 5) FROM generate_series(1, 20000) g;
SELECT leaves > 2 AS leaves FROM kyro.rebuild('unl_k');
SELECT * FROM kyro.verify('unl_k', true);

-- views: one row per index of ours, with what the server counts
SELECT indexrelname, relname, size = pg_relation_size(indexrelid) AS size,
		carrier = (SELECT CASE WHEN setting LIKE '%kyrodb%' THEN 'own' ELSE 'generic' END FROM pg_settings WHERE name = 'shared_preload_libraries') AS carrier,
		leaves > 0 AS leaves, directory_pages > 0 AS directory,
	model_pages > 0 AS model, rebuilds > 0 AS rebuilds, trained_at IS NOT NULL AS trained
	FROM kyro.stat_indexes WHERE schemaname = 'func' ORDER BY 1;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM t WHERE k = rnd(1, 1);
SELECT pg_stat_force_next_flush();
SELECT idx_scan > 0 AS scans, idx_tup_read > 0 AS tuples, idx_blks_hit > 0 AS hits FROM kyro.stat_indexes WHERE indexrelid = 't_k'::regclass;
SELECT version = (SELECT extversion FROM pg_extension WHERE extname = 'kyrodb') AS version, postgres <> '' AS postgres, server <> '' AS server,
	kernel IN ('scalar', 'sse2', 'avx2', 'avx512') AS kernel, xxhash ~ '^[0-9.]+$' AS xxhash, preloaded IS NOT NULL AS preloaded, assertions IS NOT NULL AS assertions
	FROM kyro.build_info;

-- another role sees shapes, but no keys
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_kyro_reader;
CREATE ROLE regress_kyro_reader;
RESET client_min_messages;
GRANT USAGE ON SCHEMA func TO regress_kyro_reader;
SET ROLE regress_kyro_reader;
SELECT count(*) > 0 AS sees FROM kyro.stat_indexes;
RESET ROLE;
GRANT SELECT ON t TO regress_kyro_reader;
SET ROLE regress_kyro_reader;
SELECT count(*) > 0 AS sees FROM kyro.stat_indexes;
SELECT count(*) FROM kyro.build_info;
SELECT * FROM kyro.model_leaves('func.t_k');
SELECT * FROM kyro.trace('func.t_k', 1);
RESET ROLE;
DROP OWNED BY regress_kyro_reader;
DROP ROLE regress_kyro_reader;

-- progress of CREATE INDEX and the settings are there
SELECT name, boot_val, unit, vartype, context FROM pg_settings WHERE name LIKE 'kyro.%' AND name NOT LIKE 'kyro.debug%' AND name <> 'kyro.shared_directories' ORDER BY name;
-- it can only be set where the library is preloaded, and not later
SELECT boot_val, unit, vartype, (context = 'postmaster') = (SELECT size IS NOT NULL FROM kyro.shared_directories()) AS fixed FROM pg_settings WHERE name = 'kyro.shared_directories';
SET kyro.directory_cache = 0;
SELECT count(*) FROM t WHERE k > 0 AND k < 1000000000000000;
SELECT oracle_compare('t', oracle_conds('t'), 2, 0, 3);
RESET kyro.directory_cache;
SET kyro.directory_cache = '64kB';
SELECT oracle_compare('t', oracle_conds('t'), 2, 1, 3);
RESET kyro.directory_cache;
