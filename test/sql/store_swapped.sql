--
-- Kyro tables whose file was swapped for a plain heap, as tools do that rewrite a table
-- beside its users. They are all log, and become whole with the next seal or VACUUM.
--
\set schema store_swapped
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
-- Make a heap with the rows of a table and the same indexes, with dead and updated rows
-- in its first block, and swap the files of both.
CREATE FUNCTION :"schema".swap(rel regclass, what text DEFAULT 'TABLE ') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	pair record;
BEGIN
	EXECUTE format('CREATE TABLE other (LIKE %s INCLUDING ALL) USING heap', rel);
	IF what <> '' THEN
		EXECUTE format('INSERT INTO other SELECT 100000 + i, k, v || ''dead'', r, a FROM %s, generate_series(1, 2) i WHERE id = 500', rel);
		EXECUTE format('INSERT INTO other %s %s', what, rel);
		BEGIN
			INSERT INTO other VALUES (100005, 0, 'division by zero');
		EXCEPTION WHEN division_by_zero THEN
		END;
		DELETE FROM other WHERE id > 100000;
		-- versions in the first block, and from there to others and back
		UPDATE other SET v = 'x' || v WHERE id < 10 OR id BETWEEN 500 AND 505;
		UPDATE other SET v = substr(v, 2) WHERE v LIKE 'x%';
		UPDATE other SET k = k + 1 WHERE id < 5;
		UPDATE other SET k = k - 1 WHERE id < 5;
		ALTER TABLE other ADD COLUMN gone int;
		ALTER TABLE other DROP COLUMN gone;
	END IF;
	FOR pair IN
		SELECT rel::oid AS x, 'other'::regclass::oid AS y UNION ALL
		SELECT (max(oid) FILTER (WHERE indrelid = rel)), (max(oid) FILTER (WHERE indrelid <> rel))
		FROM (SELECT c.oid, indrelid, relam, indkey::text, coalesce(pg_get_expr(indexprs, indrelid), '') AS expr
			FROM pg_class c JOIN pg_index ON c.oid = indexrelid
			WHERE indrelid IN (rel, 'other'::regclass)) i
		GROUP BY relam, indkey, expr
	LOOP
		UPDATE pg_class c
		SET relfilenode = o.relfilenode, relpages = o.relpages, reltuples = o.reltuples, relallvisible = o.relallvisible,
			relfrozenxid = o.relfrozenxid, relminmxid = o.relminmxid, reltoastrelid = o.reltoastrelid
		FROM pg_class o
		WHERE c.oid IN (pair.x, pair.y) AND o.oid IN (pair.x, pair.y) AND c.oid <> o.oid;
	END LOOP;
	UPDATE pg_depend d SET refobjid = CASE WHEN refobjid = rel THEN 'other'::regclass ELSE rel END
	FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 't' AND refobjid IN (rel, 'other'::regclass);
	DROP TABLE other;
END $$;
-- Read the tables in every way; what differs.
CREATE FUNCTION :"schema".reads(OUT ways int, OUT different text) LANGUAGE plpgsql AS $$
DECLARE
	plan text;
	query text;
	answer text;
BEGIN
	ways := 0;
	FOREACH plan IN ARRAY ARRAY['seqscan', 'indexscan', 'indexonlyscan', 'bitmapscan', 'tidscan'] LOOP
		PERFORM set_config('enable_' || p, CASE WHEN p = plan OR p = 'indexscan' AND plan = 'indexonlyscan' THEN 'on' ELSE 'off' END, true)
		FROM unnest(ARRAY['seqscan', 'indexscan', 'indexonlyscan', 'bitmapscan', 'tidscan']) p;
		FOREACH query IN ARRAY ARRAY[
			'SELECT * FROM t',
			'SELECT id FROM t WHERE id < 700',
			'SELECT id FROM t WHERE id >= 0 ORDER BY id DESC',
			'SELECT * FROM t WHERE id IN (1, 3, 5, 500, 501, 1999, 100001)',
			'SELECT * FROM t WHERE k BETWEEN 5 AND 5100',
			'SELECT k FROM t WHERE k > 0 ORDER BY k',
			'SELECT * FROM t WHERE id % 2 = 0 AND 1000 / k = 2',
			'SELECT * FROM t WHERE v = md5(''501'')',
			'SELECT * FROM t WHERE r && int4range(400, 600)',
			'SELECT * FROM t WHERE a @> ARRAY[5]',
			'SELECT * FROM t WHERE a @> ARRAY[5] AND k < 3000',
			'SELECT * FROM t WHERE id < 300 OR k > 15000',
			'SELECT * FROM t WHERE ctid = ANY (ARRAY(SELECT ctid FROM t WHERE id < 20))',
			'SELECT count(*) FROM t WHERE ctid >= ''(0,0)''',
			'SELECT * FROM t TABLESAMPLE SYSTEM (100)',
			'SELECT * FROM t TABLESAMPLE BERNOULLI (100)',
			'SELECT x.id FROM t x JOIN t y ON x.k = y.id * 10']
		LOOP
			ways := ways + 1;
			answer := twin(query);
			IF answer LIKE 'DIFFERENT%' THEN
				different := left(concat_ws(E'\n', different, plan, query, regexp_replace(answer, '(.{50}).*\n', '\1\n')), 1000);
			END IF;
		END LOOP;
	END LOOP;
	PERFORM set_config('enable_' || p, 'on', true) FROM unnest(ARRAY['seqscan', 'indexscan', 'indexonlyscan', 'bitmapscan', 'tidscan']) p;
END $$;
-- Is there a list in the first block?
CREATE FUNCTION :"schema".state() RETURNS text LANGUAGE plpgsql AS
	$$ BEGIN RETURN CASE WHEN EXISTS (SELECT FROM store_swapped_k.t WHERE ctid < '(1,0)') THEN 'all log' ELSE 'whole' END; END $$;
CREATE FUNCTION :"schema".fill() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN concat_ws(', ', twin('DROP TABLE IF EXISTS t'), twin('CREATE TABLE t (id int PRIMARY KEY, k bigint, v text, r int4range, a int[])'),
		twin('CREATE INDEX t_k ON t USING kyro_rmi (k)'), twin('CREATE INDEX t_v ON t USING hash (v)'), twin('CREATE INDEX t_r ON t USING gist (r)'),
		twin('CREATE INDEX t_a ON t USING gin (a)'), twin('CREATE INDEX t_b ON t USING brin (id) WITH (pages_per_range = 2)'),
		twin('CREATE INDEX t_x ON t ((1000 / k)) WHERE id % 2 = 0'), twin('CREATE INDEX t_s ON t USING spgist (v)'),
		twin('INSERT INTO t SELECT i, i * 10, md5(i::text), int4range(i, i + 3), ARRAY[i, i % 7] FROM generate_series(1, 2000) i'),
		twin('UPDATE t SET v = repeat(v, 300) WHERE id % 400 = 1'));
END $$;
\set ECHO all
-- the whole of it, before
SELECT fill();
SELECT seal('t');
SELECT swap('t');
SELECT state(), same('t');
SELECT * FROM reads();
SELECT * FROM kyro.verify('t', deep => true);
SELECT relname, runs, sealed_rows FROM kyro.stat_tables WHERE schemaname = 'store_swapped_k';
ANALYZE t;
SELECT reltuples FROM pg_class WHERE oid = 't'::regclass;
-- written in every way
BEGIN;
SELECT twin('INSERT INTO t SELECT i, i * 10, md5(i::text), int4range(i, i + 3), ARRAY[i, i % 7] FROM generate_series(2001, 2100) i');
SELECT twin('INSERT INTO t VALUES (7, 1, ''twice'') ON CONFLICT (id) DO UPDATE SET v = excluded.v || t.v RETURNING id, k');
SELECT twin('INSERT INTO t VALUES (7, 1)');
SELECT twin('UPDATE t SET v = v || ''!'' WHERE id % 3 = 0');
SELECT twin('UPDATE t SET k = k + 5 WHERE id % 5 = 0');
SELECT twin('DELETE FROM t WHERE id % 7 = 0 RETURNING id');
SELECT twin('SELECT id FROM t WHERE id < 40 ORDER BY id FOR UPDATE');
SELECT twin('MERGE INTO t USING generate_series(1, 10) g ON id = g WHEN MATCHED AND g % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = ''merged'' WHEN NOT MATCHED THEN INSERT VALUES (g, 1, ''new'')');
SELECT * FROM reads();
ROLLBACK;
SELECT same('t'), twin('UPDATE t SET v = v || ''!'' WHERE id % 3 = 0'), twin('UPDATE t SET k = k + 5 WHERE id % 5 = 0'), twin('DELETE FROM t WHERE id % 7 = 0');
SELECT * FROM reads();
COPY (SELECT 3000, 7) TO STDOUT;
COPY t (id, k) FROM STDIN;
3000	7
\.
INSERT INTO store_swapped_h.t (id, k) VALUES (3000, 7);
-- indexes
SELECT twin('CREATE INDEX t_n ON t (k, id)'), twin('CREATE UNIQUE INDEX t_u ON t USING kyro_rmi (id)'), twin('REINDEX INDEX t_pkey');
CREATE INDEX CONCURRENTLY t_c ON t (v);
SELECT state(), r.* FROM reads() r;
SELECT * FROM kyro.verify('t', deep => true);
-- the next seal makes it whole, and every row has its place in every index
SELECT seal('t'), state(), same('t');
SELECT * FROM reads();
SELECT * FROM kyro.verify('t', deep => true);
VACUUM t;
SELECT * FROM reads();
SELECT * FROM kyro.verify('t', deep => true);

-- VACUUM makes it whole as well; nothing is sealed then
SELECT fill();
SELECT swap('t');
SELECT twin('DELETE FROM t WHERE id BETWEEN 3 AND 8'), twin('UPDATE t SET v = ''hot'' WHERE id BETWEEN 9 AND 12'), state();
VACUUM t;
SELECT state(), same('t'), r.* FROM reads() r;
SELECT runs, sealed_rows FROM kyro.stat_tables WHERE schemaname = 'store_swapped_k';
SELECT * FROM kyro.verify('t', deep => true);
-- no index knows a row of the first block any more: pages fill up and are cleaned
SELECT twin('UPDATE t SET k = k + 1') FROM generate_series(1, 5);
SELECT * FROM reads();
SELECT seal('t', 500), seal('t', 500), same('t');
SELECT seal('t'), same('t'), seal('t');
SELECT * FROM reads();
SELECT * FROM kyro.verify('t', deep => true);

-- in the transaction that changed rows; rolled back, the table is whole all the same
SELECT fill();
SELECT swap('t');
BEGIN;
SELECT twin('DELETE FROM t WHERE id BETWEEN 3 AND 8'), twin('UPDATE t SET v = ''hot'' WHERE id BETWEEN 9 AND 12'), twin('INSERT INTO t VALUES (5000, 8)');
SELECT seal('t'), state(), same('t');
SELECT * FROM reads();
ROLLBACK;
SELECT state(), same('t'), r.* FROM reads() r;
SELECT * FROM kyro.verify('t', deep => true);
VACUUM t;
SELECT state(), same('t'), r.* FROM reads() r;
-- an expression of an index that fails after all: nothing happens
SELECT fill();
SELECT swap('t');
CREATE FUNCTION store_swapped.fails(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN $1 / current_setting('store_swapped.divisor')::int; END $$;
SET store_swapped.divisor = 1;
CREATE INDEX t_f ON t (store_swapped.fails(id));
SET store_swapped.divisor = 0;
\set VERBOSITY terse
SELECT seal('t');
\set VERBOSITY default
SET store_swapped.divisor = 1;
SELECT state(), same('t'), r.* FROM reads() r;
SELECT * FROM kyro.verify('t', deep => true);
SELECT seal('t'), state(), same('t'), r.* FROM reads() r;
VACUUM t;
SELECT same('t'), r.* FROM reads() r;
SELECT * FROM kyro.verify('t', deep => true);

-- VACUUM FULL, CLUSTER and TRUNCATE
SELECT fill();
SELECT swap('t');
VACUUM FULL t;
SELECT state(), same('t'), r.* FROM reads() r;
SELECT swap('t');
SELECT state();
CLUSTER t USING t_k;
SELECT state(), same('t'), r.* FROM reads() r;
SELECT swap('t');
SELECT twin('ALTER TABLE t ADD COLUMN w float DEFAULT random()'), twin('ALTER TABLE t DROP COLUMN w');
SELECT state(), same('t'), r.* FROM reads() r;
SELECT swap('t');
SELECT twin('TRUNCATE t'), twin('INSERT INTO t VALUES (1, 1)'), same('t');
-- and into another access method, and back
SELECT fill();
SELECT swap('t');
ALTER TABLE t SET ACCESS METHOD heap;
SELECT same('t');
ALTER TABLE t SET ACCESS METHOD kyro;
SELECT state(), same('t'), r.* FROM reads() r;

-- an empty file
SELECT fill();
SELECT twin('TRUNCATE t');
SELECT swap('t', '');
SELECT pg_relation_size('t'), same('t'), r.* FROM reads() r;
SELECT * FROM kyro.verify('t', deep => true);
VACUUM t;
SELECT pg_relation_size('t'), same('t');
SELECT swap('t', '');
SELECT seal('t'), pg_relation_size('t'), same('t');
SELECT swap('t', '');
SELECT twin('INSERT INTO t VALUES (1, 1)'), state(), same('t'), seal('t');
SELECT * FROM kyro.verify('t', deep => true);

-- rows as wide and as narrow as can be
SELECT twin('CREATE TABLE narrow (a int)'), twin('INSERT INTO narrow SELECT FROM generate_series(1, 1000)'), twin('CREATE TABLE wide (a text)'), twin('CREATE INDEX ON narrow (a)');
ALTER TABLE wide ALTER a SET STORAGE plain;
SELECT twin('INSERT INTO wide SELECT repeat(i::text, 8000) FROM generate_series(1, 9) i');
CREATE TABLE other (a int) USING heap;
INSERT INTO other SELECT FROM generate_series(1, 1000);
UPDATE pg_class c SET relfilenode = o.relfilenode FROM pg_class o WHERE c.oid IN ('other'::regclass, 'narrow'::regclass) AND o.oid IN ('other'::regclass, 'narrow'::regclass) AND c.oid <> o.oid;
DROP TABLE other;
CREATE TABLE other (a text) USING heap;
ALTER TABLE other ALTER a SET STORAGE plain;
INSERT INTO other TABLE wide;
UPDATE pg_class c SET relfilenode = o.relfilenode FROM pg_class o WHERE c.oid IN ('other'::regclass, 'wide'::regclass) AND o.oid IN ('other'::regclass, 'wide'::regclass) AND c.oid <> o.oid;
DROP TABLE other;
REINDEX TABLE narrow;
SELECT same('narrow'), same('wide'), seal('narrow'), seal('wide'), same('narrow'), same('wide');
SELECT * FROM kyro.verify('narrow', true) UNION ALL SELECT * FROM kyro.verify('wide', true);

-- The other way round: a kyro table's file under a heap.
CREATE TABLE heap (a int, b text) USING heap;
CREATE TABLE other (a int, b text) USING kyro;
INSERT INTO other SELECT i, i FROM generate_series(1, 1000) i;
UPDATE pg_class c SET relfilenode = o.relfilenode, reltoastrelid = o.reltoastrelid FROM pg_class o WHERE c.oid IN ('other'::regclass, 'heap'::regclass) AND o.oid IN ('other'::regclass, 'heap'::regclass) AND c.oid <> o.oid;
INSERT INTO other VALUES (1, 'the heap''s');
SELECT count(*), sum(a) FROM other;
SELECT rows FROM kyro.snapshot('other');
SELECT count(*), sum(a) FROM heap;
UPDATE heap SET b = a WHERE a % 2 = 0;
DELETE FROM heap WHERE a % 3 = 0;
VACUUM heap;
CREATE INDEX ON heap (a);
SELECT count(*), sum(a) FROM heap WHERE a > 0;
VACUUM FULL heap;
SELECT count(*), sum(a) FROM heap;
CLUSTER heap USING heap_a_idx;
SELECT count(*), sum(a) FROM heap;
