--
-- kyro.verify() of kyro tables: no false alarm, two rows of one key whatever
-- made them, entries that lead elsewhere, partitions; and what it costs.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
CREATE SCHEMA verify_table;
SET search_path = verify_table, public;
SET default_table_access_method = kyro;
-- What is wrong, without places: the text of each problem, and how often.
CREATE FUNCTION wrong(rel regclass) RETURNS TABLE (problem text, n bigint) LANGUAGE sql AS $$
	SELECT regexp_replace(problem, '\(\d+,\d+\)', '(..)', 'g'), count(*) FROM kyro.verify(rel, true) GROUP BY 1 ORDER BY 1
$$;
-- Run a statement while some indexes, or none, allow what they should refuse.
CREATE FUNCTION unchecked(indexes regclass[], statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	unique_ones regclass[] := ARRAY(SELECT indexrelid::regclass FROM pg_index WHERE indexrelid = ANY (indexes) AND indisunique);
	exclusions regclass[] := ARRAY(SELECT indexrelid::regclass FROM pg_index WHERE indexrelid = ANY (indexes) AND indisexclusion);
	tbl regclass := (SELECT indrelid::regclass FROM pg_index WHERE indexrelid = indexes[1]);
BEGIN
	UPDATE pg_index SET indisunique = false, indisexclusion = false WHERE indexrelid = ANY (indexes);
	-- what is remembered of the table goes by this
	EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', tbl);
	EXECUTE statement;
	UPDATE pg_index SET indisunique = indexrelid = ANY (unique_ones), indisexclusion = indexrelid = ANY (exclusions) WHERE indexrelid = ANY (indexes);
	EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', tbl);
END $$;
-- Run a statement while an index does not count as one.
CREATE FUNCTION without_index(idx regclass, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE pg_index SET indisready = false, indislive = false WHERE indexrelid = idx;
	EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', (SELECT indrelid::regclass FROM pg_index WHERE indexrelid = idx));
	EXECUTE statement;
	UPDATE pg_index SET indisready = true, indislive = true WHERE indexrelid = idx;
	EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', (SELECT indrelid::regclass FROM pg_index WHERE indexrelid = idx));
END $$;

-- tuples of transactions that have not come to be, made when the table had other columns
CREATE TABLE a (id int);
INSERT INTO a VALUES (1);
BEGIN;
ALTER TABLE a ADD COLUMN x int;
INSERT INTO a VALUES (4, 4);
ROLLBACK;
SELECT * FROM wrong('a');
BEGIN;
ALTER TABLE a ADD COLUMN x text, ADD COLUMN y text;
INSERT INTO a VALUES (5, repeat('a', 100), 'b');
ROLLBACK;
ALTER TABLE a ADD COLUMN x bigint, ADD COLUMN y text;
SELECT * FROM wrong('a');
INSERT INTO a VALUES (6, 6, 'six');
-- an aborted version of an update, HOT and not; more columns than there will be
BEGIN;
ALTER TABLE a ADD COLUMN z1 char(100), ADD COLUMN z2 int, ADD COLUMN z3 text;
UPDATE a SET z1 = 'z', z2 = 1, z3 = repeat('z', 300);
CREATE INDEX ON a (z2);
UPDATE a SET z2 = 2;
ROLLBACK;
SELECT * FROM wrong('a');
-- a subtransaction that is gone; our own, before and after
BEGIN;
INSERT INTO a VALUES (7, 7, 'seven');
SAVEPOINT s;
ALTER TABLE a ADD COLUMN w text;
INSERT INTO a VALUES (8, 8, 'eight', repeat('w', 50));
SELECT * FROM wrong('a');
ROLLBACK TO s;
SELECT * FROM wrong('a');
ALTER TABLE a ADD COLUMN w cidr;
INSERT INTO a VALUES (9, 9, 'nine', '10.0.0.0/8');
SELECT * FROM wrong('a');
COMMIT;
SELECT * FROM wrong('a');
-- a seal that is gone, and rows of it that were touched
BEGIN;
ALTER TABLE a ADD COLUMN v text, ADD COLUMN u int;
INSERT INTO a SELECT g, g, 'g', NULL, repeat('v', g), g FROM generate_series(10, 40) g;
SAVEPOINT s;
SELECT rows > 0 AS sealed FROM kyro.snapshot('a');
DELETE FROM a WHERE id % 3 = 0;
UPDATE a SET v = 'new' WHERE id % 3 = 1;
SELECT * FROM wrong('a');
ROLLBACK;
ALTER TABLE a ADD COLUMN v bigint;
SELECT * FROM wrong('a');
TABLE a ORDER BY id;

-- two rows of one key: unique indexes of all kinds, and exclusion constraints of equality
CREATE TABLE u (id int PRIMARY KEY, name text, n int, d date, e int, f int, cls text COLLATE "C",
	EXCLUDE USING hash (e WITH =), EXCLUDE USING btree (f WITH =, n WITH =), UNIQUE (d) DEFERRABLE INITIALLY DEFERRED) WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX u_two ON u (name, n);
CREATE UNIQUE INDEX u_nulls ON u (n, name) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX u_part ON u (n) WHERE id < 100;
CREATE UNIQUE INDEX u_expr ON u (lower(name)) INCLUDE (n);
CREATE UNIQUE INDEX u_rmi ON u USING kyro_rmi ((id + 1000));
CREATE UNIQUE INDEX u_rmi_part ON u USING kyro_rmi (n) WHERE id < 100;
CREATE UNIQUE INDEX u_class ON u (cls text_pattern_ops DESC);
CREATE INDEX u_hash ON u USING hash (name);
INSERT INTO u SELECT g, 'name' || g, g, date '2020-01-01' + g, g, g, 'c' || g FROM generate_series(1, 50) g;
SELECT rows FROM kyro.snapshot('u', 25);
SELECT * FROM wrong('u');
SELECT unchecked('{u_pkey,u_rmi}', $$INSERT INTO u VALUES (5, 'five', 105, '2021-01-05', 105, 105, 'five')$$);
SELECT * FROM wrong('u');
SELECT unchecked('{u_two,u_nulls,u_expr}', $$INSERT INTO u VALUES (201, 'name30', 30, '2021-02-01', 201, 201, 'c201')$$);
SELECT unchecked('{u_nulls}', $$INSERT INTO u VALUES (202, NULL, NULL, '2021-02-02', 202, 202, NULL), (203, NULL, NULL, '2021-02-03', 203, 203, NULL)$$);
SELECT unchecked('{u_part,u_rmi_part}', $$INSERT INTO u VALUES (51, 'p1', 51, '2021-03-01', 301, 301, 'c301'), (52, 'p2', 51, '2021-03-02', 302, 302, 'c302')$$);
SELECT unchecked('{u_e_excl}', $$INSERT INTO u VALUES (401, 'q1', 401, '2021-04-01', 7, 401, 'c401'), (402, 'q2', 402, '2021-04-02', 7, 402, 'c402')$$);
SELECT unchecked('{u_f_n_excl}', $$INSERT INTO u VALUES (501, 'r1', 501, '2021-05-01', 501, 500, 'c501'), (502, 'r2', 501, '2021-05-02', 502, 500, 'c502')$$);
SELECT unchecked('{u_class}', $$INSERT INTO u VALUES (601, 's1', 601, '2021-06-01', 601, 601, 'c30')$$);
SELECT unchecked('{u_d_key}', $$INSERT INTO u VALUES (701, 't1', 701, '2020-01-31', 701, 701, 'c701')$$);
SELECT * FROM wrong('u');
SELECT * FROM wrong('u_rmi');
SELECT * FROM wrong('u_rmi_part');
-- sealed, they are the same
SELECT rows > 0 AS sealed FROM kyro.snapshot('u');
SELECT * FROM wrong('u');
-- without them all is well
DELETE FROM u a USING u b WHERE a.ctid > b.ctid AND a.id = b.id;
DELETE FROM u WHERE id > 50;
SELECT * FROM wrong('u');
VACUUM u;
SELECT * FROM wrong('u');

-- of a heap: its kyro_rmi indexes, and exclusion constraints that use them
CREATE TABLE h (k bigint, j bigint, EXCLUDE USING kyro_rmi (j WITH =)) USING heap WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX h_k ON h USING kyro_rmi (k);
INSERT INTO h SELECT g, g FROM generate_series(1, 500) g;
SELECT i, w.* FROM unnest('{h_k,h_j_excl}'::regclass[]) i, wrong(i) w;
SELECT unchecked('{h_k,h_j_excl}', 'INSERT INTO h VALUES (7, 1007), (1008, 8), (1009, NULL), (NULL, NULL)');
SELECT i, w.* FROM unnest('{h_k,h_j_excl}'::regclass[]) i, wrong(i) w;
DELETE FROM h WHERE k > 1000 OR j > 1000 OR k IS NULL;
SELECT i, w.* FROM unnest('{h_k,h_j_excl}'::regclass[]) i, wrong(i) w;

-- no alarm while a constraint is to be checked later: deferred, or at the end of the statement
CREATE TABLE df (k int UNIQUE DEFERRABLE, j bigint, EXCLUDE USING kyro_rmi (j WITH =) DEFERRABLE INITIALLY DEFERRED, v text) WITH (autovacuum_enabled = off);
INSERT INTO df SELECT g, g, 'v' FROM generate_series(1, 100) g;
SELECT rows FROM kyro.snapshot('df', 50);
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE df SET k = k + 1, j = j + 1 WHERE k % 2 = 0;
INSERT INTO df VALUES (10, 10, 'own'), (90, 90, 'own'), (500, 500, 'own'), (500, 500, 'own');
SELECT count(*) - count(DISTINCT k) AS doubled FROM df;
SELECT * FROM wrong('df');
SELECT * FROM wrong('df_j_excl');
ROLLBACK;
SELECT * FROM wrong('df');
-- and with what others have done, there is
SELECT unchecked('{df_k_key,df_j_excl}', $$INSERT INTO df VALUES (20, 20, 'doubled')$$);
SELECT * FROM wrong('df');
SELECT * FROM wrong('df_j_excl');
BEGIN;
UPDATE df SET v = 'x' WHERE k > 50;
SELECT * FROM wrong('df');
SELECT * FROM wrong('df_j_excl');
ROLLBACK;
DELETE FROM df WHERE v = 'doubled';

-- rows that are found by another key, or should not be found
CREATE TABLE e (id int, k bigint, t text) WITH (autovacuum_enabled = off);
INSERT INTO e SELECT g, g, 't' || g FROM generate_series(1, 100) g;
CREATE INDEX e_b ON e (k);
CREATE INDEX e_p ON e (id) WHERE k < 50;
CREATE INDEX e_h ON e USING hash (t);
CREATE INDEX e_k ON e USING kyro_rmi (k);
SELECT * FROM wrong('e');
SELECT without_index('e_h', $$UPDATE e SET t = 'other' WHERE id IN (3, 4)$$);
SELECT * FROM wrong('e');
-- VACUUM gives their places to others
UPDATE pg_index SET indisready = false, indislive = false WHERE indrelid = 'e'::regclass;
ALTER TABLE e SET (autovacuum_enabled = off);
DELETE FROM e WHERE id BETWEEN 11 AND 20;
VACUUM e;
INSERT INTO e SELECT g, g, 'new' FROM generate_series(51, 53) g;
UPDATE pg_index SET indisready = true, indislive = true WHERE indrelid = 'e'::regclass;
ALTER TABLE e SET (autovacuum_enabled = off);
INSERT INTO e SELECT g, g, 't' || g FROM generate_series(11, 13) g;
SELECT * FROM wrong('e');
REINDEX TABLE e;
SELECT * FROM wrong('e');

-- what it reads of an index is in proportion to the rows, however many have one key
CREATE TABLE q (id int, status int, name text);
INSERT INTO q SELECT g, g % 2, CASE WHEN g % 3 > 0 THEN 'same' END FROM generate_series(1, 6000) g;
CREATE INDEX q_k ON q USING kyro_rmi (status);
CREATE INDEX q_b ON q (status);
CREATE INDEX q_n ON q (name);
CREATE INDEX q_h ON q USING hash (name);
SELECT rows FROM kyro.snapshot('q', 3000);
BEGIN;
SELECT * FROM wrong('q');
SELECT indexrelid::regclass, pg_stat_get_xact_tuples_returned(indexrelid) BETWEEN 4000 AND 12000 AS about_once
	FROM pg_index WHERE indrelid = 'q'::regclass ORDER BY 1;
COMMIT;

-- partitioned tables and indexes: all of them, each problem with its partition
CREATE TABLE p (k bigint, v text) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100) USING kyro;
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (300) PARTITION BY RANGE (k);
CREATE TABLE p21 PARTITION OF p2 FOR VALUES FROM (100) TO (200) USING kyro;
CREATE TABLE p22 PARTITION OF p2 FOR VALUES FROM (200) TO (300) USING heap;
CREATE INDEX p_k ON p USING kyro_rmi (k);
CREATE INDEX p_b ON p (k);
INSERT INTO p SELECT g, 'v' FROM generate_series(0, 299) g;
SELECT rows FROM kyro.snapshot('p21');
SELECT * FROM wrong('p_k');
SET client_min_messages = notice;
SELECT * FROM wrong('p');
SELECT kyro.warmup('p') = kyro.warmup('p1') + kyro.warmup('p21') AS sum,
	kyro.warmup('p_k') = kyro.warmup('p1_k_idx') + kyro.warmup('p21_k_idx') + kyro.warmup('p22_k_idx') AS sum_of_indexes;
SET client_min_messages = error;
SELECT without_index('p1_k_idx', 'INSERT INTO p1 VALUES (50)');
SELECT without_index('p21_k_idx', 'INSERT INTO p21 VALUES (150)');
SELECT without_index('p21_k_idx', 'INSERT INTO p21 VALUES (150)');
SELECT without_index('p22_k_idx', 'INSERT INTO p22 VALUES (250)');
SELECT * FROM wrong('p');
SELECT * FROM wrong('p2');
SELECT * FROM wrong('p_k');
SELECT * FROM wrong('p21_k_idx');
REINDEX TABLE p;
SELECT * FROM wrong('p');
-- for whom
CREATE ROLE regress_kyro_verifier;
GRANT USAGE ON SCHEMA verify_table TO regress_kyro_verifier;
SET ROLE regress_kyro_verifier;
SELECT * FROM kyro.verify('p');
SELECT * FROM kyro.verify('p_k');
SELECT kyro.warmup('p');
SELECT kyro.warmup('p_k');
RESET ROLE;
GRANT SELECT ON p TO regress_kyro_verifier;
SET ROLE regress_kyro_verifier;
SELECT kyro.warmup('p') > 0 AS warm, kyro.warmup('p_k') > 0 AS warm_indexes;
SELECT kyro.warmup('p1');
SELECT * FROM kyro.verify('p');
RESET ROLE;
-- the owner of the parent does not get at others' partitions
ALTER TABLE p OWNER TO regress_kyro_verifier;
ALTER TABLE p22 OWNER TO regress_kyro_verifier;
SET ROLE regress_kyro_verifier;
SELECT * FROM kyro.verify('p');
SELECT * FROM kyro.verify('p_k');
RESET ROLE;
ALTER TABLE p OWNER TO CURRENT_USER;
ALTER TABLE p22 OWNER TO CURRENT_USER;
-- nothing of ours
CREATE TABLE n (k bigint) PARTITION BY RANGE (k);
CREATE INDEX n_b ON n (k);
SELECT * FROM kyro.verify('n');
CREATE TABLE n1 PARTITION OF n FOR VALUES FROM (0) TO (100) USING heap;
SELECT * FROM kyro.verify('n');
SELECT kyro.warmup('n');
SELECT * FROM kyro.verify('n_b');
SELECT * FROM kyro.verify('n1_k_idx');
SELECT kyro.warmup('n1');
DROP OWNED BY regress_kyro_verifier;
DROP ROLE regress_kyro_verifier;
