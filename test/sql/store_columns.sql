--
-- Rows of every shape in kyro tables: all types, NULLs, many columns, columns
-- that came or went before and after a seal, wide rows, TOAST.
--
\set schema store_columns
\getenv tests PG_ABS_SRCDIR
\set lib :tests /lib/store_twin.sql
\set ECHO none
\i :lib
\set ECHO all

-- every kind of type: by value and not, of fixed and of variable length, all alignments
CREATE TYPE store_columns.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE store_columns.pair AS (a int, b text);
CREATE DOMAIN store_columns.posint AS int CHECK (VALUE > 0);
SELECT twin('CREATE TABLE types (id int PRIMARY KEY, c_bool bool, c_char "char", c_char3 char(3), c_int2 int2, c_int8 int8, c_float4 float4,
	c_float8 float8, c_numeric numeric, c_money money, c_date date, c_time time, c_timetz timetz, c_ts timestamp, c_tstz timestamptz,
	c_interval interval, c_uuid uuid, c_bytea bytea, c_text text, c_varchar varchar(20), c_name name, c_inet inet, c_cidr cidr, c_mac macaddr,
	c_mac8 macaddr8, c_bit bit(5), c_varbit varbit, c_point point, c_box box, c_path path, c_json json, c_jsonb jsonb, c_range int4range,
	c_multi int4multirange, c_tsv tsvector, c_tsq tsquery, c_oid oid, c_tid tid, c_xid xid, c_lsn pg_lsn, c_ints int[], c_texts text[][],
	c_pair pair, c_pairs pair[], c_mood mood, c_posint posint)');
SELECT twin($$INSERT INTO types VALUES
	(1, true, 'x', 'abc', 1, 2, 3.5, 4.5, 1234567890.123456789, 12.34, '2024-02-29', '12:34:56', '12:34:56+02', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56+00',
	'1 mon 2 days 03:04:05', '00112233-4455-6677-8899-aabbccddeeff', '\x00ff00', 'text', 'varchar', 'name', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03',
	'08:00:2b:01:02:03:04:05', B'10101', B'1', '(1,2)', '(3,4),(1,2)', '((0,0),(1,1),(2,0))', '{"a": 1}', '{"a": [1, 2, null]}', '[1,10)', '{[1,3),[5,7)}',
	'a fat cat', 'fat & cat', 42, '(1,2)', '3', '0/16B3748', '{1,2,NULL}', '{{a,b},{c,d}}', '(1,one)', '{"(1,one)","(2,)"}', 'happy', 7)$$);
SELECT twin('INSERT INTO types (id) VALUES (2)');
SELECT twin($$INSERT INTO types (id, c_text, c_varchar, c_bytea, c_ints, c_texts, c_numeric, c_char3) VALUES (3, '', '', '', '{}', '{}', 'NaN', '')$$);
-- from that, rows with every other pattern of NULLs
SELECT twin(format('INSERT INTO types (id, %1$s) SELECT %2$s, %1$s FROM types WHERE id = 1', string_agg(attname, ', ' ORDER BY attnum), p))
	FROM generate_series(4, 40) p, pg_attribute WHERE attrelid = 'types'::regclass AND attnum > 1 AND hashint4extended(attnum, p) % 3 <> 0 GROUP BY p HAVING p IN (4, 5) ORDER BY p;
DO $$
DECLARE p int; cols text;
BEGIN
	FOR p IN 6..300 LOOP
		SELECT string_agg(attname, ', ' ORDER BY attnum) INTO cols FROM pg_attribute
			WHERE attrelid = 'types'::regclass AND attnum > 1 AND hashint4extended(attnum, p) % (2 + p % 4) <> 0;
		PERFORM twin(format('INSERT INTO types (id, %1$s) SELECT %2$s, %1$s FROM types WHERE id = 1', cols, p));
	END LOOP;
END $$;
SELECT same('types');
SELECT seal('types');
SELECT same('types');
SELECT twin('SELECT c_pair, (c_pairs[1]).b, c_jsonb -> ''a'', c_text || c_name, c_box, c_texts[2][1] FROM types WHERE id = 1');
SELECT twin('SELECT count(*) FROM types WHERE c_bool AND c_int8 = 2 AND c_mood = ''happy'' AND c_uuid IS NOT NULL');
SELECT twin('SELECT count(c_lsn), count(c_tid), count(c_varbit), count(c_posint) FROM types');
SELECT twin('UPDATE types SET c_text = NULL, c_int2 = 5, c_bool = NOT c_bool WHERE id % 5 = 0');
SELECT twin('UPDATE types SET c_posint = -1 WHERE id = 1');
SELECT twin('UPDATE types SET c_pair.b = ''two'', c_ints[2] = 22 WHERE id = 1 RETURNING c_pair, c_ints');
SELECT same('types');
SELECT seal('types');
SELECT same('types');

-- columns that come and go: rows of any age in one run
SELECT twin('CREATE TABLE cols (id int PRIMARY KEY, a int, b text, c int)');
SELECT twin('INSERT INTO cols SELECT g * 4, g, ''b'' || g, g FROM generate_series(1, 300) g');
SELECT twin('ALTER TABLE cols ADD d int DEFAULT 42, ADD e text DEFAULT ''missing'', ADD f int');
SELECT twin('INSERT INTO cols SELECT g * 4 + 1, g, ''b'' || g, g, g, ''e'' || g, g FROM generate_series(1, 300) g');
SELECT twin('ALTER TABLE cols DROP b');
SELECT twin('INSERT INTO cols SELECT g * 4 + 2, g, g, g, ''e'' || g, g FROM generate_series(1, 300) g');
SELECT seal('cols');
SELECT same('cols');
SELECT twin('SELECT * FROM cols WHERE id BETWEEN 40 AND 43 ORDER BY id');
SELECT twin('ALTER TABLE cols ADD g numeric DEFAULT 1.5 NOT NULL, ADD h text, ADD i timestamptz DEFAULT ''2024-01-01 00:00:00+00''');
SELECT same('cols');
SELECT twin('ALTER TABLE cols ALTER d SET DEFAULT 7, ALTER e DROP DEFAULT');
SELECT same('cols');
SELECT twin('SELECT * FROM cols WHERE id BETWEEN 40 AND 43 ORDER BY id');
SELECT twin('SELECT count(*) FROM cols WHERE d = 42 AND g = 1.5 AND h IS NULL');
-- locked, changed and deleted while columns are missing
SELECT twin('SELECT * FROM cols WHERE id IN (44, 45) ORDER BY id FOR UPDATE');
SELECT twin('UPDATE cols SET a = -1 WHERE id BETWEEN 48 AND 51 RETURNING *');
SELECT twin('DELETE FROM cols WHERE id BETWEEN 52 AND 55 RETURNING *');
SELECT twin('UPDATE cols SET h = ''h'' WHERE id BETWEEN 44 AND 47 RETURNING cols');
SELECT twin('ALTER TABLE cols DROP c, DROP e');
SELECT same('cols');
SELECT twin('INSERT INTO cols (id, a) SELECT g * 4 + 3, g FROM generate_series(1, 300) g');
SELECT seal('cols');
SELECT same('cols');
SELECT twin('ALTER TABLE cols ADD j int GENERATED ALWAYS AS (a * 2) STORED');
SELECT same('cols');
SELECT twin('ALTER TABLE cols RENAME a TO aa');
SELECT twin('SELECT * FROM cols WHERE id BETWEEN 48 AND 51 ORDER BY id');
-- a default that must be computed for each row; a constraint on what is there
SELECT twin('ALTER TABLE cols ADD k int DEFAULT pg_backend_pid() % 1');
SELECT same('cols');
SELECT twin('ALTER TABLE cols ADD CHECK (d > 41)');
SELECT twin('ALTER TABLE cols ADD CHECK (g = 1.5), ALTER aa SET NOT NULL');
SELECT twin('ALTER TABLE cols DROP d, DROP f, DROP g, DROP h, DROP i, DROP j, DROP k, DROP aa');
SELECT same('cols');
SELECT twin('ALTER TABLE cols DROP id');
SELECT same('cols');

-- many columns, and a bitmap of NULLs that is long
SELECT twin('CREATE TABLE many (id int PRIMARY KEY, ' || string_agg(format('c%s %s', g, (ARRAY['int', 'text', 'int8', 'bool', 'numeric'])[1 + g % 5]), ', ') || ')') FROM generate_series(1, 400) g;
DO $$
BEGIN
	FOR i IN 1..40 LOOP
		PERFORM twin((SELECT format('INSERT INTO many (id, %s) VALUES (%s, %s)', string_agg('c' || g, ', '), i, string_agg(quote_literal((g + i) % 2), ', '))
			FROM generate_series(1, 400) g WHERE hashint4extended(g, i) & 3 = 0));
	END LOOP;
END $$;
SELECT twin('INSERT INTO many (id) SELECT g FROM generate_series(41, 2000) g');
SELECT seal('many');
SELECT same('many');
SELECT twin('UPDATE many SET c400 = ''1'', c1 = ''x'' WHERE id % 3 = 0');
SELECT same('many');
SELECT twin('SELECT count(c1), count(c200), count(c399), count(c400) FROM many');
SELECT twin('CREATE TABLE widest (' || string_agg(format('c%s int', g), ', ') || ')') FROM generate_series(1, 1600) g;
SELECT twin('INSERT INTO widest (c1, c1600) SELECT g, -g FROM generate_series(1, 100) g');
SELECT seal('widest');
SELECT twin('UPDATE widest SET c800 = c1 WHERE c1 % 10 = 0 RETURNING c1, c800, c1600');
SELECT same('widest');

-- rows as wide as a page; some of them cannot be sealed, all are there
SELECT twin('CREATE TABLE wide (id int, v text)');
SELECT twin('ALTER TABLE wide ALTER v SET STORAGE PLAIN');
SELECT twin('INSERT INTO wide SELECT g, repeat(chr(97 + g % 26), g) FROM generate_series(8000, 8200) g');
SELECT twin('INSERT INTO wide SELECT g, repeat(chr(97 + g % 26), g) FROM generate_series(8000, 8128) g');
SELECT twin('INSERT INTO wide SELECT g, repeat(chr(97 + g % 26), g) FROM generate_series(1, 8000, 100) g');
SELECT seal('wide') >= 80 AS most;
SELECT same('wide');
SELECT twin('UPDATE wide SET id = -id WHERE id % 2 = 0');
SELECT same('wide');
SELECT twin('DELETE FROM wide WHERE id % 3 = 0');
SELECT twin('SELECT id, length(v) FROM wide FOR UPDATE');
SELECT seal('wide') > 0 AS some;
SELECT same('wide');
SELECT twin('UPDATE wide SET v = v || ''x'' WHERE length(v) = 8128');
SELECT same('wide');
VACUUM wide;
SELECT same('wide');

-- TOAST: compressed in place, out of line, both; chunks are neither lost nor left behind
CREATE FUNCTION store_columns.toasted() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	s text;
	n bigint[];
	c bigint;
BEGIN
	FOREACH s IN ARRAY ARRAY['h', 'k'] LOOP
		EXECUTE format('SELECT count(DISTINCT chunk_id) FROM %s', (SELECT reltoastrelid::regclass FROM pg_class
			WHERE oid = ('store_columns_' || s || '.tst')::regclass)) INTO c;
		n := n || c;
	END LOOP;
	RETURN CASE WHEN n[1] = n[2] THEN 'same ' || n[1] || ' values' ELSE 'DIFFERENT: ' || n::text END;
END $$;
SELECT twin('CREATE TABLE tst (id int PRIMARY KEY, n int, a text, b text, c text)');
SELECT twin('ALTER TABLE tst ALTER b SET STORAGE EXTERNAL');
SELECT twin($$INSERT INTO tst SELECT g, 0, repeat('a', 5000 + g), (SELECT string_agg(md5(g || '-' || i), '') FROM generate_series(1, 100) i),
	CASE WHEN g % 5 = 0 THEN (SELECT string_agg(md5(g || '+' || i), '') FROM generate_series(1, 3000) i) END FROM generate_series(1, 60) g$$);
SELECT seal('tst');
SELECT same('tst'), toasted();
VACUUM tst;
SELECT same('tst'), toasted();
SELECT twin('SELECT id, substr(b, 3000, 10), length(c) FROM tst WHERE id % 20 = 0 ORDER BY id');
SELECT count(*) = (SELECT count(*) FROM store_columns_h.tst x JOIN tst USING (id) WHERE pg_column_size(x.b) = pg_column_size(tst.b) AND pg_column_size(x.a) = pg_column_size(tst.a)) AS as_large FROM tst;
-- a change of another column keeps the values, also of a row that was locked before, and when rolled back
SELECT twin('SELECT count(*) FROM (SELECT FROM tst WHERE id IN (5, 6) FOR NO KEY UPDATE) s');
SELECT twin('UPDATE tst SET n = 1 WHERE id BETWEEN 5 AND 20');
BEGIN;
SELECT twin('UPDATE tst SET n = 2, b = ''short'' WHERE id BETWEEN 10 AND 30');
SELECT twin('DELETE FROM tst WHERE id > 30');
ROLLBACK;
VACUUM store_columns_h.tst, tst;
SELECT same('tst'), toasted();
-- they go with the row, or when they are replaced
SELECT twin('DELETE FROM tst WHERE id BETWEEN 15 AND 25');
SELECT twin('UPDATE tst SET b = NULL, c = repeat(md5(id::text), 500) WHERE id > 50');
SELECT twin('UPDATE tst SET b = b || ''.'' WHERE id BETWEEN 5 AND 6');
VACUUM store_columns_h.tst, tst;
SELECT same('tst'), toasted();
SELECT seal('tst') > 0 AS some;
VACUUM store_columns_h.tst, tst;
SELECT same('tst'), toasted();
-- a seal that is rolled back leaves them alone
SELECT twin('UPDATE tst SET n = 3 WHERE id < 10');
BEGIN;
SELECT seal('tst');
SELECT same('tst');
ROLLBACK;
VACUUM tst;
SELECT same('tst');
SELECT twin('INSERT INTO tst SELECT id + 1000, n, a, b, c FROM tst');
VACUUM FULL tst;
SELECT same('tst'), toasted();
-- those of a column that was dropped go when rows are written anew, and a moved row does not look for them
SELECT seal('tst') >= 0 AS done;
SELECT twin('ALTER TABLE tst DROP c');
SELECT twin('UPDATE tst SET n = 4 WHERE id % 3 = 0');
SELECT twin('DELETE FROM tst WHERE id % 4 = 0');
SELECT twin('UPDATE tst SET b = b || b WHERE id % 5 = 0');
SELECT same('tst');
VACUUM FULL store_columns_h.tst;
VACUUM FULL tst;
SELECT same('tst'), toasted();
SELECT twin('UPDATE tst SET n = 5 WHERE id % 7 = 0');
SELECT twin('UPDATE tst SET a = b, b = a WHERE id % 11 = 0');
SELECT twin('DELETE FROM tst');
VACUUM store_columns_h.tst, tst;
SELECT same('tst'), toasted();
SELECT r AS rel, v.* FROM unnest(ARRAY['types', 'cols', 'many', 'widest', 'wide', 'tst']) r, kyro.verify(r::regclass, true) v;
