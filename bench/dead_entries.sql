-- For dead_entries.sh, after cpu.sql: work that leaves dead entries in an index again
-- and again, without VACUUM.  All kinds work on a table (k, n, v) with
-- the measured index on k; n and v are in btrees, so that no update is HOT.
CREATE TABLE bench.dead_result (
	kind text,
	storage text,
	variant text,
	us float8,					-- processor time of a transaction
	kb float8,					-- the index in the end
	at timestamptz DEFAULT clock_timestamp());

-- Medians, and what part of nbtree's they are: above 1, kyro_rmi lost.
CREATE VIEW bench.dead_report AS
	SELECT kind, storage, variant, round(us::numeric, 2) AS us, round((us / b_us)::numeric, 2) AS of_nbtree,
		   kb, round((kb / b_kb)::numeric, 2) AS kb_of_nbtree
	FROM (SELECT *, min(us) FILTER (WHERE variant = 'btree') OVER w AS b_us,
				 min(kb) FILTER (WHERE variant = 'btree') OVER w AS b_kb, min(at) OVER w AS first
		  FROM (SELECT kind, storage, variant, min(at) AS at,
					   percentile_cont(0.5) WITHIN GROUP (ORDER BY us) AS us,
					   percentile_cont(0.5) WITHIN GROUP (ORDER BY kb) AS kb
				FROM bench.dead_result GROUP BY 1, 2, 3) medians
		  WINDOW w AS (PARTITION BY kind, storage)) s
	ORDER BY first, at;

-- One kind of work: how the table begins, what is done over and over.
CREATE TABLE bench.dead_kind (
	no int GENERATED ALWAYS AS IDENTITY,
	kind text PRIMARY KEY,
	is_unique bool,
	rows int,					-- at the beginning, k = v from 1
	times int,					-- transactions
	work text);					-- one of them; $1 is its number, from 1
INSERT INTO bench.dead_kind (kind, is_unique, rows, times, work) VALUES
	('hot row, unique key', true, 1000, 20000, 'UPDATE dead SET n = n + 1 WHERE v = 7'),
	('deleted and inserted again', true, 1000, 20000,
	 'WITH d AS (DELETE FROM dead WHERE v = CASE $1 WHEN 1 THEN 7 ELSE 1 - $1 END RETURNING k) INSERT INTO dead SELECT k, $1, - $1 FROM d'),
	('inserted and rolled back', true, 1000, 20000, 'INSERT INTO dead VALUES (7000, $1, - $1)'),
	('hot row', false, 1000, 20000, 'UPDATE dead SET n = n + 1 WHERE k = 7'),
	('hot row, the last', false, 1000, 20000, 'UPDATE dead SET n = n + 1 WHERE k = 1000'),
	('hot row among equal ones', false, 1000, 20000, 'UPDATE dead SET n = n + 1 WHERE v = 7'),
	('queue', false, 20000, 15000,
	 'DELETE FROM dead WHERE ctid = (SELECT ctid FROM dead ORDER BY k LIMIT 1 FOR UPDATE SKIP LOCKED)'),
	('queue, refilled', false, 100, 20000,
	 'WITH d AS (DELETE FROM dead WHERE ctid = (SELECT ctid FROM dead ORDER BY k LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING k) INSERT INTO dead SELECT k + 100, $1, - $1 FROM d'),
	('all rows, by one statement', false, 20000, 30, 'UPDATE dead SET n = n + 1'),
	('all rows, one by one', false, 5000, 60000, 'UPDATE dead SET n = n + 1 WHERE v = 1 + $1::bigint * 7919 % 5000');

-- Do work of one kind, with a new table; the time of a transaction and the size
-- of the index afterwards.  storage: LOGGED, UNLOGGED, TEMP.
CREATE PROCEDURE bench.dead(of_kind text, storage text, variant text)
LANGUAGE plpgsql AS $$
DECLARE
	d bench.dead_kind;
	since float8;
BEGIN
	SELECT * INTO d FROM bench.dead_kind x WHERE x.kind = of_kind;
	DROP TABLE IF EXISTS dead;
	EXECUTE format('CREATE %s TABLE dead (k bigint, n bigint, v bigint) WITH (autovacuum_enabled = off)', nullif(storage, 'LOGGED'));
	INSERT INTO dead SELECT CASE of_kind WHEN 'hot row among equal ones' THEN 7 ELSE g END, 0, g FROM generate_series(1, d.rows) g;
	CREATE INDEX ON dead (v);
	CREATE INDEX ON dead (n);
	PERFORM set_config('kyro.resource_manager', CASE variant WHEN 'kyro_generic' THEN 'off' ELSE 'on' END, false);
	EXECUTE format('CREATE %s INDEX dead_k ON dead USING %s (k)', CASE WHEN d.is_unique THEN 'UNIQUE' END,
				   CASE variant WHEN 'btree' THEN 'btree' ELSE 'kyro_rmi' END);
	ANALYZE dead;
	COMMIT;
	since := bench.cpu();
	FOR i IN 1 .. d.times LOOP
		EXECUTE d.work USING i;
		IF of_kind = 'inserted and rolled back' THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
	INSERT INTO bench.dead_result
		VALUES (of_kind, storage, variant, (bench.cpu() - since) * 1000 / d.times, pg_relation_size('dead_k') / 1024);
	COMMIT;
END $$;
