--
-- Changes of sealed rows of kyro tables in transactions and savepoints, seals among
-- them, and statements that read what they change.
--
\set schema store_dml
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
SELECT twin('CREATE TABLE t (id int PRIMARY KEY, n int, v text)');
SELECT twin('INSERT INTO t SELECT g, 0, ''v'' || g FROM generate_series(1, 1000) g');
SELECT seal('t');

-- rolled back: nothing happened
BEGIN;
SELECT twin('UPDATE t SET n = 1 WHERE id <= 100');
SELECT twin('DELETE FROM t WHERE id BETWEEN 50 AND 150');
SELECT twin('INSERT INTO t VALUES (60, 60, ''again'')');
SELECT same('t');
ROLLBACK;
SELECT same('t');
SELECT count(*), sum(n) FROM t;
-- and then it does happen to the same rows
SELECT twin('UPDATE t SET n = 2 WHERE id <= 10');
SELECT twin('DELETE FROM t WHERE id BETWEEN 91 AND 100');
SELECT same('t');

-- savepoints
BEGIN;
SELECT twin('UPDATE t SET n = 10 WHERE id = 11');
SAVEPOINT a;
SELECT twin('UPDATE t SET n = n + 1 WHERE id IN (11, 12)');
SAVEPOINT b;
SELECT twin('DELETE FROM t WHERE id IN (11, 12, 13)');
SELECT twin('SELECT id, n FROM t WHERE id BETWEEN 11 AND 14 ORDER BY id');
ROLLBACK TO b;
SELECT twin('SELECT id, n FROM t WHERE id BETWEEN 11 AND 14 ORDER BY id');
ROLLBACK TO a;
SELECT twin('SELECT id, n FROM t WHERE id BETWEEN 11 AND 14 ORDER BY id');
SELECT twin('DELETE FROM t WHERE id = 12');
RELEASE a;
SAVEPOINT c;
SELECT twin('UPDATE t SET n = 13 WHERE id = 13');
RELEASE c;
COMMIT;
SELECT twin('SELECT id, n FROM t WHERE id BETWEEN 11 AND 14 ORDER BY id');
SELECT same('t');
-- locked in a savepoint that is rolled back, then changed; locked and then deleted; locked twice
BEGIN;
SAVEPOINT a;
SELECT twin('SELECT id FROM t WHERE id IN (15, 16) ORDER BY id FOR UPDATE');
ROLLBACK TO a;
SELECT twin('UPDATE t SET n = 15 WHERE id = 15');
SELECT twin('SELECT id FROM t WHERE id IN (16, 17) ORDER BY id FOR KEY SHARE');
SELECT twin('SELECT id FROM t WHERE id IN (16, 17) ORDER BY id FOR NO KEY UPDATE');
SAVEPOINT b;
SELECT twin('SELECT id FROM t WHERE id IN (16, 17) ORDER BY id FOR UPDATE');
SELECT twin('DELETE FROM t WHERE id = 16');
SELECT twin('UPDATE t SET n = 17 WHERE id = 17');
COMMIT;
SELECT same('t');
BEGIN;
SELECT twin('SELECT id FROM t WHERE id IN (18, 19) ORDER BY id FOR SHARE');
SAVEPOINT a;
SELECT twin('UPDATE t SET n = 18 WHERE id IN (18, 19)');
ROLLBACK TO a;
SELECT twin('SELECT id, n FROM t WHERE id IN (18, 19) ORDER BY id FOR UPDATE');
COMMIT;
SELECT same('t');

-- insert, seal, update, delete in one transaction
BEGIN;
SELECT twin('INSERT INTO t SELECT g, 0, ''new'' FROM generate_series(2001, 2100) g');
SELECT twin('UPDATE t SET n = 1 WHERE id BETWEEN 2001 AND 2010');
SELECT twin('DELETE FROM t WHERE id BETWEEN 2011 AND 2015');
SELECT seal('t');
SELECT same('t');
SELECT twin('UPDATE t SET n = n + 1 WHERE id BETWEEN 2006 AND 2020 RETURNING id, n');
SELECT twin('DELETE FROM t WHERE id BETWEEN 2019 AND 2022 RETURNING id, n');
SELECT twin('INSERT INTO t VALUES (2011, 5, ''after'')');
SELECT same('t');
SELECT seal('t');
SELECT same('t');
SELECT twin('UPDATE t SET n = n + 100 WHERE id > 2000 AND n > 0');
COMMIT;
SELECT same('t');
-- the same, rolled back
BEGIN;
SELECT twin('INSERT INTO t SELECT g, 0, ''gone'' FROM generate_series(3001, 3100) g');
SELECT seal('t') > 100 AS some;
SELECT twin('UPDATE t SET n = 1 WHERE id > 2090');
SELECT seal('t');
SELECT twin('DELETE FROM t WHERE id % 2 = 0');
SELECT same('t');
ROLLBACK;
SELECT same('t');
SELECT count(*) FROM t WHERE id > 3000;
-- a seal in a savepoint that is rolled back, after which the rows are changed and sealed again
BEGIN;
SELECT twin('INSERT INTO t SELECT g, 0, ''new'' FROM generate_series(4001, 4100) g');
SAVEPOINT a;
SELECT seal('t') > 100 AS some;
SELECT twin('UPDATE t SET n = 1 WHERE id <= 4050 AND id > 4000');
SELECT twin('DELETE FROM t WHERE id > 4090');
SELECT same('t');
ROLLBACK TO a;
SELECT same('t');
SELECT twin('UPDATE t SET n = 2 WHERE id > 4080');
SELECT same('t');
SAVEPOINT b;
SELECT seal('t', 20);
SAVEPOINT c;
SELECT twin('DELETE FROM t WHERE id > 4050 AND id <= 4060');
SELECT seal('t') > 80 AS some;
RELEASE c;
RELEASE b;
SELECT same('t');
SAVEPOINT d;
SELECT twin('DELETE FROM t WHERE id > 4000');
ROLLBACK TO d;
COMMIT;
SELECT same('t');
SELECT twin('SELECT n, count(*) FROM t WHERE id > 4000 GROUP BY n');
-- an error ends the transaction of a seal
SELECT twin('INSERT INTO t VALUES (4500, 0, ''error'')');
BEGIN;
SELECT seal('t') > 0 AS some;
SELECT 1 / (SELECT count(*) FROM t WHERE id < 0);
COMMIT;
SELECT same('t');
SELECT seal('t') > 0 AS some;
-- a caught error undoes the seal
SELECT twin('INSERT INTO t VALUES (4501, 0, ''error'')');
DO $$
BEGIN
	PERFORM seal('t');
	UPDATE t SET n = 1 / n WHERE id = 4501;
EXCEPTION WHEN division_by_zero THEN
	RAISE INFO 'caught, % rows left to seal', seal('t');
END $$;
SELECT same('t');
-- a function counts around its own seal
BEGIN;
SELECT twin('INSERT INTO t SELECT g, 0, ''fetched'' FROM generate_series(4601, 4700) g');
CREATE FUNCTION store_dml.count_then_seal(OUT before bigint, OUT sealed bigint, OUT after bigint) LANGUAGE plpgsql AS $$
BEGIN
	before := (SELECT count(*) FROM t);
	sealed := seal('t');
	after := (SELECT count(*) FROM t);
END $$;
SELECT before = after AS same, sealed FROM count_then_seal();
-- the statement's own snapshot is older than the seal in it
SELECT twin('INSERT INTO t SELECT g, 0, ''mixed'' FROM generate_series(4701, 4710) g');
CREATE FUNCTION store_dml.count_t() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM t WHERE id > 4600';
SELECT seal('t'), count_t();
SELECT count_t();
COMMIT;
SELECT same('t');

-- a row changed twice in one statement, and rows that a statement's own work would meet again
SELECT twin('UPDATE t SET n = s.i FROM (VALUES (1), (2)) s(i) WHERE id = 201');
SELECT twin('UPDATE t SET n = 7 WHERE id = 201');
SELECT twin('UPDATE t SET id = id + 100000 WHERE id BETWEEN 300 AND 400');
SELECT twin('UPDATE t SET id = id - 100000 WHERE id > 100000');
SELECT same('t');
WITH u AS (UPDATE t SET n = 5 WHERE id = 202 RETURNING id), d AS (DELETE FROM t WHERE id = 202 RETURNING id) SELECT (SELECT count(*) FROM u) + (SELECT count(*) FROM d) AS once;
SELECT twin('DELETE FROM t WHERE id = 202');
-- from itself
SELECT twin('INSERT INTO t SELECT id + 10000, n, v FROM t WHERE id <= 500');
SELECT twin('INSERT INTO t SELECT (t).id + 20000, (t).n, (t).v FROM t WHERE id <= 50');
SELECT same('t');
SELECT twin('CREATE TABLE copy (LIKE t)');
SELECT twin('INSERT INTO copy SELECT * FROM t');
SELECT twin('INSERT INTO copy TABLE copy');
SELECT same('copy');
SELECT seal('copy') = (SELECT count(*) FROM store_dml_h.copy) AS all;
SELECT twin('INSERT INTO copy SELECT * FROM copy WHERE id % 10 = 0');
SELECT twin('UPDATE copy SET n = c.n + 1, v = c.v || ''+'' FROM copy c WHERE copy.id = c.id - 1 AND copy.id < 100');
SELECT twin('DELETE FROM copy USING t WHERE t.id = copy.id AND t.id % 3 = 0');
SELECT same('copy');
SELECT twin('WITH gone AS (DELETE FROM copy WHERE id % 5 = 0 RETURNING *) INSERT INTO t SELECT DISTINCT id + 200000, n, ''moved'' FROM gone ON CONFLICT DO NOTHING RETURNING id');
SELECT same('copy'), same('t');
SELECT twin('SELECT count(*), sum(a.n) FROM copy a JOIN copy b ON a.id = b.id + 1 LEFT JOIN t ON t.id = a.id');
SELECT twin('SELECT count(*) FROM t WHERE EXISTS (SELECT FROM copy c WHERE c.id = t.id) AND id NOT IN (SELECT id FROM copy WHERE n > 0)');
SELECT twin('UPDATE t SET (n, v) = (SELECT count(*), min(v) FROM copy c WHERE c.id = t.id) WHERE id BETWEEN 30 AND 60');
-- a log row that came from a sealed one that was locked, and its columns alone
SELECT twin('SELECT count(*) FROM (SELECT FROM copy WHERE id < 50 FOR UPDATE) s');
SELECT twin('INSERT INTO copy SELECT * FROM copy WHERE id < 50');
SELECT twin('UPDATE copy SET v = NULL WHERE id < 25');
SELECT twin('INSERT INTO copy SELECT * FROM copy WHERE id < 50');
SELECT same('copy');
SELECT seal('copy') > 0 AS some;
SELECT same('copy');

-- every row many times, with seals in between
CREATE FUNCTION store_dml.churn(rounds int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	i int;
	answer text;
BEGIN
	FOR i IN 1..rounds LOOP
		PERFORM twin(format('UPDATE t SET n = n + 1 WHERE hashint4extended(id, %s) %% 5 = 0', i));
		PERFORM twin(format('DELETE FROM t WHERE hashint4extended(id, %s) %% 11 = 0', i + 100));
		PERFORM twin(format('INSERT INTO t SELECT g, 0, ''churn'' FROM generate_series(%s, %s) g ON CONFLICT DO NOTHING', i * 50, i * 50 + 99));
		IF i % 3 = 0 THEN
			PERFORM seal('t', CASE WHEN i % 2 = 0 THEN 100 END);
		END IF;
		BEGIN
			PERFORM seal('t', 50);
			PERFORM twin('UPDATE t SET n = -1 WHERE id % 4 = 0');
			RAISE EXCEPTION 'undo';
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
		answer := same('t');
		IF answer LIKE 'DIFF%' THEN
			RETURN format('round %s: %s', i, answer);
		END IF;
	END LOOP;
	RETURN answer;
END $$;
SELECT churn(24);
VACUUM t;
SELECT churn(12);
VACUUM (FREEZE, INDEX_CLEANUP ON) t;
SELECT same('t');
SELECT r AS rel, v.* FROM unnest(ARRAY['t', 'copy']) r, kyro.verify(r::regclass, true) v;
