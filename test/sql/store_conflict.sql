--
-- INSERT ... ON CONFLICT and MERGE that meet sealed rows of kyro tables.
--
\set schema store_conflict
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
SELECT twin('CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 1, v text)');
SELECT twin('INSERT INTO t SELECT g * 2, 1, ''sealed'' FROM generate_series(1, 500) g');
SELECT seal('t');
SELECT twin('INSERT INTO t SELECT g * 2, 1, ''log'' FROM generate_series(501, 600) g');

-- nothing to do
SELECT twin('INSERT INTO t VALUES (10) ON CONFLICT (id) DO NOTHING');
SELECT twin('INSERT INTO t VALUES (10) ON CONFLICT DO NOTHING');
SELECT twin('INSERT INTO t VALUES (11) ON CONFLICT (id) DO NOTHING');
SELECT twin('INSERT INTO t VALUES (12) ON CONFLICT ON CONSTRAINT t_pkey DO NOTHING RETURNING *');
SELECT twin('INSERT INTO t VALUES (12)');
-- the sealed row is changed; then its new version is
SELECT twin('INSERT INTO t VALUES (10, 5) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n RETURNING *');
SELECT twin('INSERT INTO t VALUES (10, 5) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n RETURNING *');
SELECT twin('INSERT INTO t VALUES (14), (16), (15), (1002) ON CONFLICT (id) DO UPDATE SET n = 100, v = t.v || ''!'' RETURNING *');
SELECT twin('INSERT INTO t VALUES (18, 7) ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE t.n > 1 RETURNING *');
SELECT twin('INSERT INTO t VALUES (10, 7) ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE t.n > 1 RETURNING *');
SELECT twin('INSERT INTO t SELECT g, 200 FROM generate_series(21, 40) g ON CONFLICT (id) DO UPDATE SET n = excluded.n');
SELECT same('t');
-- a row twice in one command
SELECT twin('INSERT INTO t VALUES (42), (42) ON CONFLICT (id) DO UPDATE SET n = 2');
SELECT twin('INSERT INTO t VALUES (42), (42) ON CONFLICT (id) DO NOTHING');
SELECT twin('INSERT INTO t VALUES (43), (43) ON CONFLICT (id) DO NOTHING');
SELECT twin('INSERT INTO t VALUES (45), (45) ON CONFLICT (id) DO UPDATE SET n = 2');
-- the key moves: to a free one, onto another sealed row, onto itself
SELECT twin('INSERT INTO t VALUES (50) ON CONFLICT (id) DO UPDATE SET id = 51');
SELECT twin('INSERT INTO t VALUES (52) ON CONFLICT (id) DO UPDATE SET id = 54');
SELECT twin('INSERT INTO t VALUES (52) ON CONFLICT (id) DO UPDATE SET id = 50');
SELECT twin('INSERT INTO t VALUES (56) ON CONFLICT (id) DO UPDATE SET id = t.id');
-- no conflict with a sealed row that was deleted, nor after a rollback of that
SELECT twin('DELETE FROM t WHERE id IN (60, 62)');
SELECT twin('INSERT INTO t VALUES (60, 6) ON CONFLICT (id) DO UPDATE SET n = -6 RETURNING *');
BEGIN;
SELECT twin('DELETE FROM t WHERE id = 64');
SELECT twin('INSERT INTO t VALUES (64, 6) ON CONFLICT (id) DO UPDATE SET n = -6 RETURNING *');
SELECT seal('t') > 0 AS some;
SELECT twin('INSERT INTO t VALUES (64, 7) ON CONFLICT (id) DO UPDATE SET n = -7 RETURNING *');
ROLLBACK;
SELECT twin('INSERT INTO t VALUES (64, 8) ON CONFLICT (id) DO UPDATE SET n = -8 RETURNING *');
SELECT twin('INSERT INTO t VALUES (62) ON CONFLICT DO NOTHING RETURNING *');
SELECT same('t');
-- of a row that was only locked
BEGIN;
SELECT twin('SELECT id FROM t WHERE id IN (70, 72) ORDER BY id FOR UPDATE');
SELECT twin('INSERT INTO t VALUES (70, 70) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING *');
COMMIT;
SELECT twin('INSERT INTO t VALUES (72, 72) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING *');
-- insert, seal and upsert of the same row in one transaction
BEGIN;
SELECT twin('INSERT INTO t VALUES (81, 1, ''own'')');
SELECT seal('t') > 0 AS some;
SELECT twin('INSERT INTO t VALUES (81, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + 1 RETURNING *');
SELECT seal('t');
SELECT twin('INSERT INTO t VALUES (81, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + 1 RETURNING *');
SELECT twin('INSERT INTO t VALUES (81, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + 1 RETURNING *');
COMMIT;
SELECT same('t');

-- several unique indexes: a partial one, one on an expression, one with NULLs, one of ours
SELECT twin('CREATE TABLE u (a int, b int, c text, d bigint, e int, live bool DEFAULT true)');
SELECT twin('CREATE UNIQUE INDEX u_a ON u (a)');
SELECT twin('CREATE UNIQUE INDEX u_b ON u (b) WHERE live');
SELECT twin('CREATE UNIQUE INDEX u_c ON u (lower(c))');
SELECT twin('CREATE UNIQUE INDEX u_d ON u USING kyro_rmi (d)');
SELECT twin('CREATE UNIQUE INDEX u_e ON u (e) NULLS NOT DISTINCT');
SELECT twin('INSERT INTO u SELECT g, g * 10, ''Name'' || g, g * 100, g, g % 2 = 0 FROM generate_series(1, 200) g');
SELECT seal('u');
SELECT twin('INSERT INTO u VALUES (5, 999, ''x'', 999, 999) ON CONFLICT (a) DO UPDATE SET b = -5 RETURNING *');
SELECT twin('INSERT INTO u VALUES (999, 60, ''x'', 999, 999) ON CONFLICT (b) WHERE live DO UPDATE SET live = false RETURNING *');
SELECT twin('INSERT INTO u VALUES (999, 60, ''x'', 999, 999) ON CONFLICT (b) WHERE live DO UPDATE SET live = false RETURNING *');
SELECT twin('INSERT INTO u VALUES (998, 998, ''NAME7'', 998, 998) ON CONFLICT (lower(c)) DO UPDATE SET c = excluded.c RETURNING *');
SELECT twin('INSERT INTO u VALUES (997, 997, ''y'', 800, 997) ON CONFLICT (d) DO UPDATE SET d = -800 RETURNING *');
SELECT twin('INSERT INTO u VALUES (996, 996, ''z'', 996, 9) ON CONFLICT (e) DO UPDATE SET e = NULL RETURNING *');
SELECT twin('INSERT INTO u VALUES (995, 995, ''w'', 995, NULL) ON CONFLICT (e) DO UPDATE SET e = -9 RETURNING *');
-- another one is violated than the one that was named; none was named
SELECT twin('INSERT INTO u VALUES (11, 994, ''v'', 1200, 994) ON CONFLICT (a) DO UPDATE SET d = 1300');
SELECT twin('INSERT INTO u VALUES (994, 994, ''v'', 1200, 994) ON CONFLICT (a) DO NOTHING');
SELECT twin('INSERT INTO u VALUES (994, 994, ''NAME20'', 994, 994) ON CONFLICT DO NOTHING');
SELECT twin('INSERT INTO u VALUES (994, 994, ''v'', 1200, 994) ON CONFLICT DO NOTHING');
SELECT twin('UPDATE u SET d = d + 100 WHERE a BETWEEN 100 AND 110');
SELECT twin('UPDATE u SET live = true WHERE a IN (101, 6, 999)');
SELECT same('u');
SELECT twin('UPDATE u SET c = upper(c), e = e + 1000');
SELECT same('u');
SELECT seal('u') = (SELECT count(*) FROM store_conflict_h.u) AS all;
SELECT twin('INSERT INTO u SELECT * FROM u ON CONFLICT DO NOTHING');
SELECT twin('INSERT INTO u SELECT * FROM u ON CONFLICT (a) DO UPDATE SET e = u.e + 1000 WHERE u.a < 100');
SELECT same('u');

-- MERGE: all actions on sealed rows, on rows of the log, on rows that are not there
SELECT twin('CREATE TABLE src AS SELECT g AS id, g % 7 AS n FROM generate_series(100, 160) g');
SELECT seal('t') > 0 AS some;
SELECT twin('UPDATE t SET n = 3 WHERE id BETWEEN 100 AND 120 AND id % 3 = 0');
SELECT twin('MERGE INTO t USING src s ON t.id = s.id
	WHEN MATCHED AND s.n = 0 THEN DELETE
	WHEN MATCHED AND s.n = 1 THEN DO NOTHING
	WHEN MATCHED THEN UPDATE SET n = t.n + s.n, v = ''merged''
	WHEN NOT MATCHED AND s.n < 5 THEN INSERT VALUES (s.id, s.n, ''made'')
	WHEN NOT MATCHED THEN DO NOTHING');
SELECT same('t');
SELECT twin('SELECT v, count(*), sum(n) FROM t WHERE id BETWEEN 100 AND 160 GROUP BY v ORDER BY v');
SELECT twin('MERGE INTO t USING (VALUES (200), (200)) s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = 0');
SELECT twin('MERGE INTO t USING (VALUES (200), (200)) s(id) ON t.id = s.id WHEN MATCHED THEN DELETE');
SELECT twin('MERGE INTO t USING (VALUES (201), (201)) s(id) ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (s.id)');
SELECT twin('MERGE INTO t USING t s ON t.id = s.id + 2 WHEN MATCHED AND t.id < 300 THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT VALUES (s.id + 2, s.n)');
SELECT same('t');
BEGIN;
SELECT twin('MERGE INTO t USING src s ON t.id = s.id + 200 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id + 200)');
SELECT seal('t') > 0 AS some;
SELECT twin('MERGE INTO t USING src s ON t.id = s.id + 200 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id + 200)');
SELECT same('t');
ROLLBACK;
SELECT same('t');

-- a partitioned table with parts of both kinds
SELECT twin('CREATE TABLE part (id int PRIMARY KEY, n int DEFAULT 1) PARTITION BY RANGE (id)');
SELECT twin('CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (100)');
SELECT twin('CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (100) TO (200) USING heap');
SELECT twin('CREATE TABLE part3 PARTITION OF part FOR VALUES FROM (200) TO (300)');
SELECT twin('INSERT INTO part SELECT g FROM generate_series(0, 298, 2) g');
SELECT seal('part1'), seal('part3', 20);
SELECT twin('INSERT INTO part SELECT g FROM generate_series(90, 220) g ON CONFLICT (id) DO UPDATE SET n = part.n + 1');
SELECT twin('INSERT INTO part SELECT g FROM generate_series(80, 230) g ON CONFLICT DO NOTHING');
SELECT twin('MERGE INTO part USING generate_series(70, 240) s(id) ON part.id = s.id WHEN MATCHED AND s.id % 3 = 0 THEN DELETE
	WHEN MATCHED AND s.id % 3 = 1 THEN UPDATE SET id = part.id + 1000 WHEN MATCHED THEN UPDATE SET n = 50 WHEN NOT MATCHED THEN INSERT VALUES (s.id)');
SELECT twin('MERGE INTO part USING generate_series(70, 240) s(id) ON part.id = s.id WHEN MATCHED AND s.id % 3 = 0 THEN DELETE
	WHEN MATCHED THEN UPDATE SET n = 50 WHEN NOT MATCHED THEN INSERT VALUES (s.id)');
SELECT same('part'), same('part1'), same('part2'), same('part3');
SELECT seal('part1') > 0 AS some, seal('part3') > 0 AS some;
-- rows go from part to part
SELECT twin('UPDATE part SET id = (id + 100) % 300 WHERE id % 10 = 8 AND id < 100');
SELECT twin('DELETE FROM part WHERE id % 10 = 8');
SELECT twin('UPDATE part SET id = (id + 107) % 300 WHERE id % 10 = 1');
SELECT same('part'), same('part1'), same('part2'), same('part3');
SELECT r AS rel, v.* FROM unnest(ARRAY['t', 'u', 'part1', 'part3']) r, kyro.verify(r::regclass, true) v;
