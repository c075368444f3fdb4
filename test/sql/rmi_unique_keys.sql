--
-- Unique indexes: what they refuse, what they let pass, what is said.
--
-- (A server that has not loaded the library beforehand says so with a WARNING
-- at CREATE UNIQUE INDEX; test/t has that.)
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
CREATE SCHEMA uniq;
SET search_path = uniq, public;
CREATE TABLE t (id int, k bigint, pad text) WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX t_k ON t USING kyro_rmi (k);
INSERT INTO t SELECT g, g * 10, 'x' FROM generate_series(1, 5000) g;
\set VERBOSITY default

-- refused: one row, in one statement, within one statement, by UPDATE, by COPY
INSERT INTO t VALUES (9001, 50);
INSERT INTO t VALUES (9001, 55), (9002, 60), (9003, 65);
INSERT INTO t VALUES (9001, 5), (9002, 5);
UPDATE t SET k = 70 WHERE k = 80;
UPDATE t SET k = k + 10;
COPY t (id, k) FROM stdin;
9001	100001
9002	100
\.
SELECT count(*), count(DISTINCT k) FROM t;
\set VERBOSITY sqlstate
INSERT INTO t VALUES (9001, 50);
\set VERBOSITY default

-- allowed: the same key after its row is gone, and in an order that never collides
DELETE FROM t WHERE k = 50;
INSERT INTO t VALUES (9004, 50);
UPDATE t SET k = -k;
UPDATE t SET k = k * 3 - 1 WHERE k < -40000;
UPDATE t SET k = k;
UPDATE t SET pad = 'y' WHERE k BETWEEN -200 AND -100;
BEGIN;
DELETE FROM t WHERE k = -100;
INSERT INTO t VALUES (9005, -100);
DELETE FROM t WHERE k = -100;
INSERT INTO t VALUES (9006, -100);
ROLLBACK;
-- an aborted row does not count
BEGIN;
INSERT INTO t VALUES (9007, 77);
ROLLBACK;
INSERT INTO t VALUES (9008, 77);
BEGIN;
SAVEPOINT s;
INSERT INTO t VALUES (9009, 88);
ROLLBACK TO s;
INSERT INTO t VALUES (9010, 88);
COMMIT;
SELECT count(*), count(DISTINCT k) FROM t;
SELECT * FROM kyro.verify('t_k', true);

-- NULLs are distinct, unless they are not
INSERT INTO t SELECT 10000 + g, NULL FROM generate_series(1, 5000) g;
SELECT count(*) FROM t WHERE k IS NULL;
CREATE TABLE n (id int, k bigint);
CREATE UNIQUE INDEX n_k ON n USING kyro_rmi (k) NULLS NOT DISTINCT;
INSERT INTO n VALUES (1, 1), (2, NULL);
INSERT INTO n VALUES (3, NULL);
DELETE FROM n WHERE k IS NULL;
INSERT INTO n VALUES (3, NULL);
INSERT INTO n VALUES (4, NULL);
UPDATE n SET k = NULL WHERE k = 1;
INSERT INTO n VALUES (5, 5), (6, 9223372036854775807), (7, '-9223372036854775808');
INSERT INTO n VALUES (8, 9223372036854775807);
INSERT INTO n VALUES (8, '-9223372036854775808');
SELECT * FROM n ORDER BY id;

-- built on rows that repeat: refused, live ones only
CREATE TABLE d (id int, k bigint);
INSERT INTO d SELECT g, g % 3000 FROM generate_series(1, 3001) g;
CREATE UNIQUE INDEX d_k ON d USING kyro_rmi (k);
DELETE FROM d WHERE id > 3000;
CREATE UNIQUE INDEX d_k ON d USING kyro_rmi (k);
DROP INDEX d_k;
INSERT INTO d VALUES (1, NULL), (2, NULL);
CREATE UNIQUE INDEX d_k ON d USING kyro_rmi (k);
CREATE UNIQUE INDEX d_k2 ON d USING kyro_rmi (k) NULLS NOT DISTINCT;
DELETE FROM d WHERE k IS NULL AND id = 2;
CREATE UNIQUE INDEX d_k2 ON d USING kyro_rmi (k) NULLS NOT DISTINCT;
\set VERBOSITY sqlstate
INSERT INTO d SELECT g, g + 3000 FROM generate_series(1, 10) g;
CREATE UNIQUE INDEX d_id ON d USING kyro_rmi (id);
\set VERBOSITY default
-- other types show their keys in their own way
CREATE TABLE dt (d date, t timestamp);
INSERT INTO dt VALUES ('2024-02-29', '2024-02-29 12:00:00.000001'), ('2024-02-29', '2024-02-29 12:00:00.000001');
SET datestyle = 'ISO';
CREATE UNIQUE INDEX ON dt USING kyro_rmi (d);
CREATE UNIQUE INDEX ON dt USING kyro_rmi (t);
CREATE UNIQUE INDEX ON dt USING kyro_rmi ((d + 1));

-- concurrently: a failure leaves an invalid index, which REINDEX heals
INSERT INTO dt SELECT date '2025-01-01' + g, now() FROM generate_series(1, 3000) g;
CREATE UNIQUE INDEX CONCURRENTLY dt_d ON dt USING kyro_rmi (d);
SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = 'dt_d'::regclass;
SELECT * FROM dt WHERE d = '2024-02-29' LIMIT 0;
DELETE FROM dt WHERE ctid = (SELECT min(ctid) FROM dt);
REINDEX INDEX CONCURRENTLY dt_d;
SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = 'dt_d'::regclass;
INSERT INTO dt VALUES ('2024-02-29');
SELECT * FROM kyro.verify('dt_d', true);

-- many versions of a few keys over many pages: found among them all
CREATE TABLE v (id int, k bigint, pad int) WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX v_k ON v USING kyro_rmi (k);
CREATE INDEX v_pad ON v (pad);
INSERT INTO v SELECT g, g, 0 FROM generate_series(1, 20) g;
DO $$
BEGIN
	FOR i IN 1 .. 400 LOOP
		UPDATE v SET pad = pad + 1;
	END LOOP;
END $$;
INSERT INTO v VALUES (100, 7);
INSERT INTO v VALUES (100, 20);
INSERT INTO v VALUES (100, 1);
DELETE FROM v WHERE k = 7;
INSERT INTO v VALUES (100, 7);
INSERT INTO v VALUES (101, 7);
VACUUM v;
INSERT INTO v VALUES (101, 7);
SELECT count(*), count(DISTINCT k) FROM v;
SELECT * FROM kyro.verify('v_k', true);
-- HOT chains: the key is found through an update that left the index alone
CREATE TABLE h (k bigint, pad int) WITH (fillfactor = 50, autovacuum_enabled = off);
CREATE UNIQUE INDEX h_k ON h USING kyro_rmi (k);
INSERT INTO h SELECT g, 0 FROM generate_series(1, 500) g;
UPDATE h SET pad = 1;
UPDATE h SET pad = 2 WHERE k % 2 = 0;
INSERT INTO h VALUES (250, 0);
SELECT pad, count(*) FROM h GROUP BY pad ORDER BY pad;

-- unique in part, and of an expression
CREATE TABLE part (id int, k bigint, live boolean);
CREATE UNIQUE INDEX part_k ON part USING kyro_rmi (k) WHERE live;
INSERT INTO part VALUES (1, 1, true), (2, 1, false), (3, 1, false);
INSERT INTO part VALUES (4, 1, true);
UPDATE part SET live = true WHERE id = 2;
CREATE UNIQUE INDEX part_expr ON part USING kyro_rmi ((id % 1000));
INSERT INTO part VALUES (1001, 5, true);
SELECT count(*) FROM part;

-- random order, many rows: splits, runs and merges keep watch all the same
CREATE TABLE big (k bigint) WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX big_k ON big USING kyro_rmi (k);
INSERT INTO big SELECT hashint8extended(g, 1) FROM generate_series(1, 20000) g;
DO $$
DECLARE
	refused int := 0;
BEGIN
	FOR i IN 1 .. 20000 BY 41 LOOP
		BEGIN
			INSERT INTO big VALUES (hashint8extended(i, 1));
		EXCEPTION WHEN unique_violation THEN
			refused := refused + 1;
		END;
	END LOOP;
	RAISE INFO 'refused % of %', refused, (20000 + 40) / 41;
END $$;
SELECT count(*), count(DISTINCT k) FROM big;
SELECT * FROM kyro.verify('big_k', true);

-- exclusion constraints by equality: a constraint, so it may be deferred and be an arbiter
CREATE TABLE ex (id int, k bigint, CONSTRAINT ex_k EXCLUDE USING kyro_rmi (k WITH =));
INSERT INTO ex SELECT g, g * 2 FROM generate_series(1, 3000) g;
INSERT INTO ex VALUES (1, 100);
INSERT INTO ex VALUES (1, 101), (2, 101);
INSERT INTO ex VALUES (1, NULL), (2, NULL);
LOAD 'kyrodb';
INSERT INTO ex VALUES (1, 100), (2, 103) ON CONFLICT DO NOTHING;
INSERT INTO ex VALUES (1, 100), (2, 105) ON CONFLICT ON CONSTRAINT ex_k DO NOTHING;
INSERT INTO ex VALUES (1, 100) ON CONFLICT ON CONSTRAINT ex_k DO UPDATE SET id = 0;
UPDATE ex SET k = 102 WHERE k = 104;
DELETE FROM ex WHERE k = 100;
INSERT INTO ex VALUES (7, 100);
SELECT id, k FROM ex WHERE k BETWEEN 98 AND 106 ORDER BY k;
ALTER TABLE ex ADD CONSTRAINT ex_id EXCLUDE USING kyro_rmi (id WITH =) WHERE (id > 10 AND id <= 3000) DEFERRABLE INITIALLY DEFERRED;
BEGIN;
UPDATE ex SET id = id + 1 WHERE id BETWEEN 11 AND 2999;
DELETE FROM ex WHERE id = 3000;
COMMIT;
BEGIN;
INSERT INTO ex VALUES (50, 1000001);
COMMIT;
SELECT count(*) FROM ex;
SELECT * FROM kyro.verify('ex_k', true);
SELECT * FROM kyro.verify('ex_id', true);
