--
-- Bulk loads of kyro tables that go straight into runs: what is loaded so, who sees it, and what
-- other statements make of it in the same transaction.
--
\set schema store_load
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all
-- how many of the rows are sealed
CREATE FUNCTION store_load.where(rel text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	sealed bigint;
BEGIN
	EXECUTE format('WITH r AS MATERIALIZED (SELECT run, run + pages AS ends FROM kyro.stat_runs WHERE relid = %L::regclass)
		SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM r WHERE block >= run AND block < ends)) FROM (SELECT (ctid::text::point)[0] AS block FROM %s) s', rel, rel)
		INTO n, sealed;
	RETURN format('%s of %s sealed', sealed, n);
END $$;
CREATE FUNCTION store_load.copy(rel text, rows int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	file text := current_setting('data_directory') || '/store_load.copy';
BEGIN
	EXECUTE format('COPY (SELECT g, md5(g::text) FROM generate_series(1, %s) g) TO %L', rows, file);
	RETURN twin(format('COPY %s (id, v) FROM %L', rel, file));
END $$;

-- CREATE TABLE AS, SELECT INTO, materialized views, rewrites
SELECT twin('CREATE TABLE a AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 5000) g');
SELECT same('a'), store_load.where('a');
SELECT pg_relation_size('a') < 0.65 * pg_relation_size('store_load_h.a') AS small;
CREATE TEMP TABLE temporary USING kyro AS SELECT * FROM a;
SELECT count(*), sum(id), store_load.where('temporary') FROM temporary;
SELECT twin('CREATE UNLOGGED TABLE au AS SELECT * FROM a');
SELECT same('au'), store_load.where('au');
SELECT twin('CREATE TABLE nothing AS SELECT * FROM a WHERE false');
SELECT same('nothing'), store_load.where('nothing');
SET default_table_access_method = kyro;
SELECT * INTO b FROM a;
SET default_table_access_method = heap;
SELECT count(*), store_load.where('b') FROM b;
SELECT twin('CREATE MATERIALIZED VIEW m AS SELECT * FROM a WHERE id % 2 = 0');
SELECT same('m'), store_load.where('m');
SELECT twin('UPDATE a SET v = ''new'' WHERE id < 100');
SELECT twin('DELETE FROM a WHERE id % 7 = 0');
SELECT twin('REFRESH MATERIALIZED VIEW m');
SELECT same('m'), store_load.where('m');
SELECT twin('CREATE UNIQUE INDEX m_id ON m (id)');
SELECT twin('UPDATE a SET v = ''newer'' WHERE id < 50');
SELECT twin('REFRESH MATERIALIZED VIEW CONCURRENTLY m');
SELECT same('m');
SELECT twin('DROP MATERIALIZED VIEW m');
SELECT twin('ALTER TABLE a ALTER id TYPE bigint');
SELECT same('a'), store_load.where('a');
SELECT twin('ALTER TABLE a ADD PRIMARY KEY (id), ADD x text DEFAULT random()::text, ALTER v TYPE varchar(40)');
SELECT twin('UPDATE a SET x = NULL');
ALTER TABLE a SET UNLOGGED;
SELECT same('a'), store_load.where('a');
ALTER TABLE a SET LOGGED;
SELECT same('a'), store_load.where('a');
ALTER TABLE a SET ACCESS METHOD heap;
ALTER TABLE a SET ACCESS METHOD kyro;
SELECT same('a'), store_load.where('a');
SELECT v.* FROM kyro.verify('a', true) v;
-- off
SET kyro.sealed_load = off;
SELECT twin('CREATE TABLE c AS SELECT * FROM a');
SELECT same('c'), store_load.where('c');
RESET kyro.sealed_load;

-- COPY: into a new table, before and after it has an index
BEGIN;
SELECT twin('CREATE TABLE n (id int, v text, twice int GENERATED ALWAYS AS (id * 2) STORED, d int DEFAULT 7, CHECK (id > 0))');
SELECT store_load.copy('n', 5000);
SELECT twin('SELECT count(*), sum(id), sum(twice), min(v), sum(d) FROM n');
-- ordinary statements on the rows
SELECT twin('UPDATE n SET v = ''new'' WHERE id % 10 = 0');
SELECT twin('DELETE FROM n WHERE id % 11 = 0');
SELECT twin('SELECT count(*) FROM (SELECT id FROM n WHERE id < 100 FOR UPDATE) s');
SELECT same('n'), store_load.where('n');
SAVEPOINT s;
SELECT store_load.copy('n', 3000);
SELECT twin('DELETE FROM n WHERE id < 1000');
SELECT same('n'), store_load.where('n');
ROLLBACK TO s;
SELECT same('n'), store_load.where('n');
SELECT store_load.copy('n', 300);
RELEASE s;
SELECT twin('CREATE INDEX n_id ON n (id)');
CREATE INDEX n_k ON n USING kyro_rmi (id);
SELECT store_load.copy('n', 40);
SELECT twin('UPDATE n SET id = id + 100000 WHERE id BETWEEN 20 AND 30');
SELECT same('n'), store_load.where('n');
COMMIT;
SELECT same('n'), store_load.where('n');
SET enable_seqscan = off;
SELECT twin('SELECT count(*), sum(id) FROM n WHERE id BETWEEN 10 AND 3000');
RESET enable_seqscan;
VACUUM n;
SELECT v.* FROM kyro.verify('n', true) v;
SELECT state, rows, live_rows FROM kyro.stat_runs WHERE relid = 'n'::regclass ORDER BY run;
-- truncated in the transaction; an error in the middle
CREATE FUNCTION store_load.bad(i int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN i < 4000 OR 1 / (i - 4000) > -1; END $$;
SELECT twin('CREATE TABLE e (id int, v text)');
BEGIN;
SELECT twin('TRUNCATE e');
SELECT store_load.copy('e', 5000);
SELECT store_load.where('e');
SAVEPOINT s;
SELECT twin('ALTER TABLE e ADD CONSTRAINT bad CHECK (store_load.bad(id)) NOT VALID');
SELECT store_load.copy('e', 5000);
SELECT same('e'), store_load.where('e');
ROLLBACK TO s;
SELECT same('e'), store_load.where('e');
SELECT twin('INSERT INTO e SELECT g, ''i'' FROM generate_series(1, 1000) g');
SELECT store_load.copy('e', 100);
COMMIT;
SELECT same('e'), store_load.where('e');
BEGIN;
SELECT twin('TRUNCATE e');
SELECT store_load.copy('e', 10);
ROLLBACK;
SELECT same('e'), store_load.where('e');
VACUUM e;
SELECT v.* FROM kyro.verify('e', true) v;
-- FREEZE
SELECT current_setting('data_directory') || '/store_load.copy' AS file \gset
COPY (SELECT g, md5(g::text) FROM generate_series(1, 2000) g) TO :'file';
BEGIN;
TRUNCATE e, store_load_h.e;
COPY e FROM :'file' (FREEZE);
COPY store_load_h.e FROM :'file' (FREEZE);
SELECT same('e'), store_load.where('e');
SELECT twin('DELETE FROM e WHERE id = 5');
COMMIT;
SELECT same('e'), count(DISTINCT xmin::text) AS xmins FROM e;
-- prepared
BEGIN;
SELECT twin('CREATE TABLE p (id int, v text)');
SELECT store_load.copy('p', 1000);
PREPARE TRANSACTION 'store_load';
COMMIT PREPARED 'store_load';
SELECT same('p'), store_load.where('p');
SELECT twin('TRUNCATE p');
BEGIN;
SELECT store_load.copy('p', 1000);
PREPARE TRANSACTION 'store_load';
SELECT count(*), store_load.where('p') FROM p;
ROLLBACK PREPARED 'store_load';
SELECT count(*) FROM p;
VACUUM p;
SELECT v.* FROM kyro.verify('p', true) v;

-- COPY into an empty table of before; the next one finds it in use
SELECT twin('CREATE TABLE o (id int, v text)');
SELECT store_load.copy('o', 3000);
SELECT same('o'), store_load.where('o');
SELECT store_load.copy('o', 100);
SELECT same('o'), store_load.where('o');
SELECT twin('DELETE FROM o WHERE id % 3 = 0');
SELECT twin('UPDATE o SET v = ''new'' WHERE id % 5 = 0');
SELECT same('o');
SELECT twin('CREATE INDEX ON o (id)');
VACUUM o;
SELECT v.* FROM kyro.verify('o', true) v;
-- more than is kept in memory at a time
SET maintenance_work_mem = '1MB';
SELECT twin('CREATE TABLE o2 (id int, v text)');
SELECT store_load.copy('o2', 60000);
SELECT same('o2'), runs > 2 AS runs, sealed_rows FROM kyro.stat_tables WHERE relid = 'o2'::regclass;
SELECT twin('CREATE TABLE o3 (id int, v text)');
BEGIN;
SELECT store_load.copy('o3', 60000);
SELECT twin('DELETE FROM o3 WHERE id % 2 = 0');
SELECT same('o3');
ROLLBACK;
SELECT same('o3');
SELECT store_load.copy('o3', 10);
SELECT same('o3');
VACUUM o3;
SELECT v.* FROM kyro.verify('o3', true) v;
RESET maintenance_work_mem;

-- partitions, in turns
SELECT twin('CREATE TABLE pt (id int, v text) PARTITION BY HASH (id)');
SELECT count(twin(format('CREATE TABLE pt%s PARTITION OF pt FOR VALUES WITH (MODULUS 40, REMAINDER %s)', i, i))) FROM generate_series(0, 39) i;
SELECT store_load.copy('pt', 20000);
SELECT same('pt'), max(runs) <= 8 AS few FROM kyro.stat_tables WHERE schemaname = 'store_load_k' AND relname LIKE 'pt%';

-- triggers: some read the table in the middle of the load, some get rows by TID, some copy themselves
CREATE FUNCTION store_load.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	IF new.id % 100 = 0 THEN
		EXECUTE format('SELECT count(*) FROM %I.%I', tg_table_schema, tg_table_name) INTO n;
		new.v := 'row ' || n;
	END IF;
	RETURN new;
END $$;
CREATE FUNCTION store_load.after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.id % 250 = 0 THEN
		EXECUTE format('UPDATE %I.%I SET v = v || ''+'' WHERE id = %s', tg_table_schema, tg_table_name, new.id - 1);
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION store_load.total() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I.totals SELECT count(*), sum(id) FROM new_rows', tg_table_schema);
	RETURN NULL;
END $$;
SELECT twin('CREATE TABLE totals (n bigint, s bigint)');
BEGIN;
SELECT twin('CREATE TABLE t (id int, v text)');
SELECT twin('CREATE TRIGGER before BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION store_load.note()');
SELECT store_load.copy('t', 2000);
SELECT same('t'), store_load.where('t');
SELECT twin('DROP TRIGGER before ON t');
SELECT twin('TRUNCATE t');
SELECT twin('CREATE TRIGGER after AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION store_load.after()');
SELECT twin('CREATE TRIGGER total AFTER INSERT ON t REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION store_load.total()');
SELECT store_load.copy('t', 2000);
SELECT same('t'), store_load.where('t');
SELECT same('totals');
COMMIT;
SELECT twin('CREATE TABLE ta (LIKE t)');
SELECT twin('CREATE TRIGGER after AFTER INSERT ON ta FOR EACH ROW EXECUTE FUNCTION store_load.after()');
SELECT store_load.copy('ta', 500);
SELECT same('ta'), store_load.where('ta');
-- an exception block around each row's work; the function inserts into the table that is loaded
CREATE FUNCTION store_load.guarded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.id % 400 = 0 THEN
		BEGIN
			EXECUTE format('INSERT INTO %I.%I VALUES (%s, ''guarded'')', tg_table_schema, tg_table_name, -new.id);
			IF new.id % 800 = 0 THEN
				RAISE 'no';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			new.v := sqlerrm;
		END;
	END IF;
	RETURN new;
END $$;
BEGIN;
SELECT twin('CREATE TABLE tg (id int, v text)');
SELECT twin('CREATE TRIGGER guarded BEFORE INSERT ON tg FOR EACH ROW WHEN (new.id > 0) EXECUTE FUNCTION store_load.guarded()');
SELECT store_load.copy('tg', 4000);
SELECT same('tg'), store_load.where('tg');
COMMIT;
SELECT same('tg');
SELECT v.* FROM kyro.verify('tg', true) v;
-- foreign keys, at once and deferred
SELECT twin('CREATE TABLE parent (id int PRIMARY KEY)');
SELECT twin('INSERT INTO parent SELECT generate_series(1, 1000)');
BEGIN;
SELECT twin('CREATE TABLE child (id int REFERENCES parent, v text, later int DEFAULT 1 REFERENCES parent DEFERRABLE INITIALLY DEFERRED)');
SELECT store_load.copy('child', 1000);
SELECT same('child'), store_load.where('child');
SAVEPOINT s;
SELECT store_load.copy('child', 1001);
ROLLBACK TO s;
SELECT same('child');
COMMIT;
SELECT same('child');

-- long values: compressed, moved out, and rows that are too wide for a run
BEGIN;
SELECT twin('CREATE TABLE w (id int, v text)');
SELECT twin('ALTER TABLE w ALTER v SET STORAGE external');
\set long 'SELECT g, string_agg(md5(g || \'/\' || i), \'\') AS v FROM generate_series(1, 300) g, generate_series(1, 1 + g % 200) i GROUP BY g'
SELECT twin(format('CREATE TABLE w2 AS SELECT * FROM (%s) s', :'long'));
COMMIT;
SELECT same('w2'), store_load.where('w2');
SELECT twin('ALTER TABLE w2 ALTER g TYPE bigint');
SELECT same('w2'), store_load.where('w2');
SELECT twin('DELETE FROM w2 WHERE g % 3 = 0');
SELECT twin('UPDATE w2 SET v = v || ''!'' WHERE g % 3 = 1');
SELECT same('w2');
SELECT v.* FROM kyro.verify('w2', true) v;
BEGIN;
SELECT twin('CREATE TABLE wide (v text)');
SELECT twin('ALTER TABLE wide ALTER v SET STORAGE plain');
SELECT twin('CREATE TABLE src AS SELECT g, repeat(chr(97 + g % 26), CASE WHEN g % 50 = 0 THEN 8120 ELSE 20 END) AS v FROM generate_series(1, 1000) g');
SELECT format('%s/store_load.wide', current_setting('data_directory')) AS wide \gset
SELECT twin(format('COPY (SELECT v FROM src ORDER BY g) TO %L', :'wide'));
SELECT twin(format('COPY wide FROM %L', :'wide'));
SELECT same('wide'), store_load.where('wide');
COMMIT;
SELECT same('wide'), runs <= 8 AS few FROM kyro.stat_tables WHERE relid = 'wide'::regclass;

-- who reads the table while it is being made
CREATE FUNCTION store_load.peek(i int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	IF i % 1000 <> 0 THEN RETURN 0; END IF;
	EXECUTE 'SELECT count(*) FROM peeked' INTO n;
	RETURN n;
END $$;
SELECT twin('CREATE TABLE peeked AS SELECT g AS id, store_load.peek(g) AS n FROM generate_series(1, 5000) g');
SELECT same('peeked'), store_load.where('peeked');
SELECT twin('SELECT id, n FROM peeked WHERE n > 0 ORDER BY id');

-- cursors of before
SELECT twin('CREATE TABLE cu (id int, v text)');
BEGIN;
DECLARE early CURSOR FOR SELECT count(*) FROM cu;
DECLARE held SCROLL CURSOR WITH HOLD FOR SELECT id FROM cu;
SELECT store_load.copy('cu', 1000);
FETCH ALL FROM early;
DECLARE late CURSOR FOR SELECT id FROM cu ORDER BY id LIMIT 2;
FETCH 1 FROM late;
SELECT twin('DELETE FROM cu WHERE id < 10');
FETCH 1 FROM late;
COMMIT;
FETCH ALL FROM held;
CLOSE held;
SELECT same('cu');
-- ON COMMIT, and temporary tables of before
CREATE TEMP TABLE tt (id int, v text) USING kyro ON COMMIT DELETE ROWS;
BEGIN;
COPY tt FROM :'file';
SELECT count(*), store_load.where('tt') FROM tt;
COMMIT;
SELECT count(*) FROM tt;
-- what the statistics say of loads: rows inserted, as many as live
SELECT pg_stat_force_next_flush();
SELECT relname, n_tup_ins, n_live_tup, n_dead_tup FROM pg_stat_user_tables WHERE schemaname = 'store_load_k' AND relname IN ('b', 'cu') ORDER BY relname;
ANALYZE b;
SELECT reltuples FROM pg_class WHERE oid = 'b'::regclass;
