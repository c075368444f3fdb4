-- Look-ups of present keys: a nested loop takes them from a list.  The time to
-- read the list is taken off.
\ir fill.sql
SELECT bench.create_index('btree'), bench.create_index('kyro_rmi') \g /dev/null

DROP TABLE IF EXISTS bench.list, bench.sorted, bench.ranges;
SELECT setseed(0.5) \g /dev/null
CREATE UNLOGGED TABLE bench.list AS
	SELECT k FROM bench.keys
	WHERE random() < (SELECT 1.2 * probes / n FROM bench.param) ORDER BY random() LIMIT (SELECT probes FROM bench.param);
CREATE UNLOGGED TABLE bench.sorted AS SELECT k FROM bench.list ORDER BY k;
-- from a key to the one 99 further on
CREATE UNLOGGED TABLE bench.ranges AS
	SELECT k, hi FROM (SELECT k, lead(k, 99) OVER (ORDER BY k) AS hi FROM bench.keys) s
	WHERE hi IS NOT NULL AND random() < (SELECT 0.012 * probes / n FROM bench.param)
	ORDER BY random() LIMIT (SELECT probes / 100 FROM bench.param);
VACUUM ANALYZE bench.list, bench.sorted, bench.ranges;

SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_bitmapscan = off;
SET enable_material = off;
SET enable_memoize = off;

DO $$
DECLARE
	q record;
	x record;
	us float8;
	items bigint;
BEGIN
	FOR round IN 0 .. (SELECT rounds FROM bench.param) LOOP		-- run 0 warms up
		FOR q IN
			SELECT * FROM (VALUES
				('probe, index-only', 'list',
				 'SELECT count(*) FROM bench.list l JOIN bench.t ON t.k = l.k'),
				('probe, with row', 'list',
				 'SELECT sum(t.v) FROM bench.list l JOIN bench.t ON t.k = l.k'),
				('sorted probe, index-only', 'sorted',
				 'SELECT count(*) FROM bench.sorted l JOIN bench.t ON t.k = l.k'),
				('100-key range, index-only', 'ranges',
				 'SELECT count(*) FROM bench.ranges l JOIN bench.t ON t.k BETWEEN l.k AND l.hi')
			) AS v (measure, list, query)
		LOOP
			EXECUTE format('SELECT count(*) FROM bench.%I', q.list) INTO items;
			FOR x IN SELECT * FROM (VALUES ('btree', 'kyro_rmi'), ('kyro_rmi', 'btree')) AS v (am, other) LOOP
				us := (bench.without('t_' || x.other, q.query) -
					   bench.without('', format('SELECT count(*) FROM bench.%I', q.list))) * 1000 / items;
				IF round > 0 THEN
					PERFORM bench.note(q.measure, 'us', x.am, us);
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
