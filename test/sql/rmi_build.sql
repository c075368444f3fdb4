-- Building an index of more entries than maintenance_work_mem holds: runs in
-- temporary files, of keys and of NULLs, merged at the end.
CREATE SCHEMA build;
SET search_path = build, public;

-- NULLs fill the memory before the first key comes; a few keys that each run has
CREATE TABLE spill (id bigint, k bigint) WITH (autovacuum_enabled = off);
INSERT INTO spill SELECT g, CASE WHEN g % 3 = 0 OR g < 70000 THEN NULL WHEN g % 7 = 0 THEN g % 2 ELSE hashint8extended(g, 0) END
	FROM generate_series(1, 300000) g;
INSERT INTO spill VALUES (0, -9223372036854775808), (0, 9223372036854775807);

SET maintenance_work_mem = '1MB';	-- 65536 entries
-- it does write files
SET temp_file_limit = '1MB';
\set VERBOSITY sqlstate
CREATE INDEX spill_k ON spill USING kyro_rmi (k);
\set VERBOSITY default
RESET temp_file_limit;
CREATE INDEX spill_k ON spill USING kyro_rmi (k);
-- keys from files, NULLs from memory; the reverse; and keys that need no sorting
CREATE INDEX spill_few_nulls ON spill USING kyro_rmi (k) WHERE k IS NOT NULL OR id > 299000;
CREATE INDEX spill_few_keys ON spill USING kyro_rmi (k) WHERE k IS NULL OR id > 299000;
CREATE INDEX spill_id ON spill USING kyro_rmi (id);
RESET maintenance_work_mem;

-- verify sorts by the same code: once in memory, once in files
SELECT i, v.* FROM unnest('{spill_k,spill_few_nulls,spill_few_keys,spill_id}'::regclass[]) i, LATERAL kyro.verify(i, deep => true) v;
SET maintenance_work_mem = '1MB';
SELECT i, v.* FROM unnest('{spill_k,spill_few_nulls,spill_few_keys,spill_id}'::regclass[]) i, LATERAL kyro.verify(i, deep => true) v;
RESET maintenance_work_mem;
