--
-- The planner sees a key with a kyro_rmi index as it sees one with a btree: the
-- same queries over the same tables twice, plans and estimated rows compared.
--
SET session_preload_libraries = kyrodb;	-- as far as those are warned who have not
LOAD 'kyrodb';
CREATE SCHEMA keys_plans_btree;
CREATE SCHEMA keys_plans;
SET max_parallel_workers_per_gather = 0;
SET statement_timeout = '60s';
SET default_statistics_target = 400;	-- samples are the whole tables, so both have the same statistics

-- in whichever schema is first in search_path; the pseudo-random numbers are the same for both
CREATE PROCEDURE keys_plans.fill() LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, joined date);
	CREATE TABLE orders (id bigint PRIMARY KEY, usr bigint NOT NULL REFERENCES users, at timestamptz UNIQUE, n int, note text);
	CREATE TABLE lines (ord bigint NOT NULL REFERENCES orders ON DELETE CASCADE, item int, qty int, PRIMARY KEY (ord, item));
	CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree);
	CREATE TABLE events (id bigint PRIMARY KEY, kind int, at timestamp UNIQUE) WITH (autovacuum_enabled = off);
	CREATE TABLE days (d date UNIQUE, s smallint UNIQUE NULLS NOT DISTINCT, what text);
	INSERT INTO users SELECT g, 'user ' || g, date '2020-01-01' + (g % 1000)::int FROM generate_series(1, 20000) g;
	INSERT INTO orders SELECT g, (g::bigint * 7919) % 20000 + 1, timestamptz '2024-01-01 UTC' + g * interval '1 min', g % 50, repeat('n', 40) FROM generate_series(1, 60000) g;
	INSERT INTO lines SELECT g % 60000 + 1, g / 60000, g % 9 FROM generate_series(0, 119999) g;
	INSERT INTO tree SELECT g, nullif(g / 3, 0) FROM generate_series(1, 30000) g;
	INSERT INTO events SELECT g, g % 10, timestamp '2024-01-01' + g * interval '1 s' FROM generate_series(1, 40000) g;
	INSERT INTO days SELECT date '2000-01-01' + g, g, 'day ' || g FROM generate_series(1, 10000) g;
	CREATE INDEX orders_usr ON orders (usr);
	CREATE INDEX tree_up ON tree (up);
END $$;
SET search_path = keys_plans_btree, public;
CALL keys_plans.fill();
SET search_path = keys_plans, public;
SET kyro.constraint_index_method = kyro_rmi;
CALL keys_plans.fill();
RESET kyro.constraint_index_method;
SELECT count(*) FILTER (WHERE amname = 'kyro_rmi') AS kyro_rmi, count(*) FILTER (WHERE amname = 'btree') AS btree
	FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE relnamespace = 'keys_plans'::regnamespace AND relkind = 'i';
VACUUM ANALYZE keys_plans_btree.users, keys_plans_btree.orders, keys_plans_btree.lines, keys_plans_btree.tree, keys_plans_btree.events, keys_plans_btree.days;
VACUUM ANALYZE users, orders, lines, tree, events, days;
-- keys that came after ANALYZE: their number is known from the ends of the index only
INSERT INTO events SELECT g, g % 10, timestamp '2024-01-01' + g * interval '1 s' FROM generate_series(40001, 60000) g;
INSERT INTO keys_plans_btree.events SELECT * FROM events WHERE id > 40000;

-- a plan with its rows, without costs and widths; and what it is thought to cost
CREATE FUNCTION plan_of(schema text, query text, OUT plan text, OUT cost float8) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	PERFORM set_config('search_path', schema || ', public', true);
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		cost := coalesce(cost, substring(line FROM 'cost=\S+\.\.(\S+)')::float8);
		plan := concat(plan, E'\n', regexp_replace(line, 'cost=\S+ (rows=\d+) width=\d+', '\1'));
	END LOOP;
	PERFORM set_config('search_path', 'keys_plans, public', true);
END $$;
CREATE TABLE queries (n serial, topic text, query text);
INSERT INTO queries (topic, query) VALUES
	('one row', 'SELECT * FROM users WHERE id = 5'),
	('one row', 'SELECT * FROM orders WHERE at = ''2024-01-02 00:00+00'''),
	('one row', 'SELECT id FROM users WHERE id = 5'),
	('one row', 'SELECT * FROM days WHERE s IS NULL'),
	('one row', 'UPDATE users SET name = ''x'' WHERE id = 7'),
	('one row', 'DELETE FROM orders WHERE id = 7'),
	('one row', 'SELECT * FROM users WHERE id = 5 FOR UPDATE'),
	('one row', 'INSERT INTO users VALUES (5, ''x'') ON CONFLICT (id) DO UPDATE SET name = excluded.name'),
	('array', 'SELECT * FROM users WHERE id IN (5, 7, 9000)'),
	('array', 'SELECT * FROM users WHERE id = ANY (ARRAY(SELECT usr FROM orders WHERE id < 20))'),
	('range', 'SELECT * FROM orders WHERE id BETWEEN 100 AND 300'),
	('range', 'SELECT count(*) FROM orders WHERE id < 30000'),
	('range', 'SELECT * FROM days WHERE d >= ''2001-01-01'' AND d < ''2001-02-01'''),
	('range', 'SELECT * FROM orders WHERE id > 100 AND id < 200 OR id = 7000'),
	('join removal', 'SELECT o.id FROM orders o LEFT JOIN users u ON u.id = o.usr'),
	('join removal', 'SELECT o.id, o.n FROM orders o LEFT JOIN days d ON d.s = o.n LEFT JOIN users u ON u.id = o.usr WHERE o.n = 3'),
	('join removal', 'SELECT o.id FROM orders o LEFT JOIN (SELECT at FROM events) e ON e.at = o.at::timestamp'),
	('join removal', 'SELECT DISTINCT o.n FROM orders o LEFT JOIN lines l ON l.ord = o.id'),
	('unique', 'SELECT o.id, u.name FROM orders o JOIN users u ON u.id = o.usr'),
	('unique', 'SELECT * FROM orders o JOIN users u ON u.id = o.usr WHERE o.id < 40'),
	('unique', 'SELECT * FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.id = u.id AND o.n = 3)'),
	('unique', 'SELECT * FROM orders o WHERE o.usr IN (SELECT id FROM users WHERE joined = ''2020-02-01'')'),
	('unique', 'SELECT * FROM orders o WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = o.usr)'),
	('unique', 'SELECT count(*) FROM tree a JOIN tree b ON b.id = a.up JOIN tree c ON c.id = b.up'),
	('group by key', 'SELECT u.id, u.name, count(*) FROM users u JOIN orders o ON o.usr = u.id GROUP BY u.id'),
	('group by key', 'SELECT u.id, u.name, u.joined FROM users u GROUP BY u.id, u.name, u.joined'),
	('group by key', 'SELECT o.*, sum(l.qty) FROM orders o JOIN lines l ON l.ord = o.id WHERE o.id < 50 GROUP BY o.id'),
	('group by key', 'SELECT id, count(*) FROM orders GROUP BY id HAVING count(*) > 1'),
	('group by key', 'SELECT count(DISTINCT id) FROM users WHERE id < 100'),
	('order', 'SELECT * FROM orders ORDER BY id LIMIT 20'),
	('order', 'SELECT * FROM orders ORDER BY id DESC LIMIT 20'),
	('order', 'SELECT * FROM orders WHERE at > ''2024-01-20'' ORDER BY at LIMIT 20'),
	('order', 'SELECT * FROM orders WHERE id > 500 AND n = 7 ORDER BY id LIMIT 5'),
	('order', 'SELECT id FROM orders ORDER BY id'),
	('order', 'SELECT * FROM orders ORDER BY id, n LIMIT 20'),
	('order', 'SELECT * FROM orders ORDER BY id OFFSET 1000 LIMIT 20'),
	('order', 'SELECT * FROM orders WHERE (id, n) > (500, 3) ORDER BY id, n LIMIT 20'),
	('order', 'SELECT id, row_number() OVER (ORDER BY id) FROM orders LIMIT 10'),
	('merge', 'SELECT count(*) FROM orders a JOIN events b ON a.id = b.id'),
	('merge', 'SELECT a.id FROM users a JOIN tree b ON a.id = b.id ORDER BY a.id LIMIT 50'),
	('ends', 'SELECT min(id), max(id) FROM orders'),
	('ends', 'SELECT max(at) FROM orders WHERE at < ''2024-01-20'''),
	('ends', 'SELECT max(id) FROM events'),
	('ends', 'SELECT min(d) FROM days'),
	('ends', 'SELECT max(s) FROM days'),
	('growing', 'SELECT * FROM events WHERE id > 59000'),
	('growing', 'SELECT * FROM events WHERE id > 45000 AND id < 46000'),
	('growing', 'SELECT * FROM events WHERE at >= ''2024-01-01 16:00'''),
	('growing', 'SELECT * FROM events WHERE id > 70000'),
	('growing', 'SELECT count(*) FROM events WHERE id > 20000'),
	('growing', 'SELECT * FROM events e JOIN orders o ON o.id = e.id WHERE e.id > 59900'),
	('foreign key', 'SELECT count(*) FROM orders o JOIN users u ON u.id = o.usr JOIN lines l ON l.ord = o.id'),
	('foreign key', 'SELECT * FROM lines l JOIN orders o ON o.id = l.ord WHERE l.qty = 8'),
	('foreign key', 'SELECT * FROM users u JOIN orders o ON o.usr = u.id WHERE u.joined < ''2020-01-10'''),
	('foreign key', 'SELECT count(*) FROM tree a JOIN tree b ON b.id = a.up WHERE a.id < 100'),
	('nested', 'SELECT (SELECT name FROM users u WHERE u.id = o.usr) FROM orders o WHERE o.id < 100'),
	('nested', 'SELECT * FROM (VALUES (1), (20), (300)) x(i) JOIN users u ON u.id = x.i'),
	('nested', 'WITH RECURSIVE r AS (SELECT id, up FROM tree WHERE id = 20000 UNION ALL SELECT t.id, t.up FROM r JOIN tree t ON t.id = r.up) SELECT * FROM r');
SELECT count(*) > 40 AS enough, count(DISTINCT query) = count(*) AS each_once FROM queries;

-- Another plan is right where the smaller index makes one cheaper that reads all of
-- it in order, for as many rows; everywhere else they are the same.
CREATE TABLE plans AS SELECT q.*, b.plan AS btree, b.cost AS btree_cost, o.plan AS ours, o.cost AS our_cost
	FROM queries q, plan_of('keys_plans_btree', query) b, plan_of('keys_plans', query) o;
SELECT topic, query, btree, ours FROM plans
	WHERE btree <> ours AND (our_cost >= btree_cost OR substring(ours FROM 'rows=\d+') <> substring(btree FROM 'rows=\d+')) ORDER BY n;
SELECT count(*) >= 50 AS "the same", bool_or(ours LIKE '%_pkey%') AS "with keys" FROM plans WHERE ours = btree;

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA keys_plans CASCADE;
DROP SCHEMA keys_plans_btree CASCADE;
